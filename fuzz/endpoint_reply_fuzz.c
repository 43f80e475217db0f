/* endpoint_reply_fuzz.c: whatever a server may send in place of a chat completion. */
#include <stdlib.h>
#include <string.h>

#include "distill/endpoint_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct teacher_answer a = {0};
    struct mk_error err = {0};
    struct arena memory;
    char said[200];

    arena_init(&memory, (size_t)1 << 26);
    if (endpoint_reply_read((const char *)data, size, &a, &memory, &err)) {
        if (!*err.text)
            abort();
    } else {
        float sum = 0;

        for (int32_t i = 0; i < a.n_logprobs; i++)
            sum += a.logprobs[i];
        if (strlen(a.text) != a.n || a.n_tokens < 0 || (sum > 0 && !a.logprobs))
            abort();
    }
    endpoint_reply_error((const char *)data, size, said);
    if (strlen(said) >= sizeof said)
        abort();
    arena_release(&memory);
    return 0;
}
