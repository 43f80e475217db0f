/* checkpoint_state_fuzz.c: any bytes as the state.json of a run. */
#include <stdint.h>

#include "train/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct mixture sources = {.n_sources = bytes % 3,
                                    .sources = {{.name = "a", .n_sequences = 1},
                                                {.name = "b", .n_sequences = 2}}};
    struct trainer_state s;
    struct mixture_state m;
    struct mk_error err;
    int64_t steps;

    checkpoint_parse_state((const char *)data, bytes, "fuzz", &sources, &s, &m, &steps, &err);
    return 0;
}
