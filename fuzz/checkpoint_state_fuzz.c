/* checkpoint_state_fuzz.c: any bytes as the state.json of a run. */
#include <stdint.h>

#include "train/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct trainer_state s;
    struct mixture_state m;
    struct mk_error err;
    int64_t steps;

    checkpoint_parse_state((const char *)data, bytes, "fuzz", &s, &m, bytes % 3, &steps, &err);
    return 0;
}
