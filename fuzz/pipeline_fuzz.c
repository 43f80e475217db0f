/* pipeline_fuzz.c: any bytes as a pipeline; the stages of one that is accepted can be written. */
#include <stdint.h>

#include "train/pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct pipeline p;
    struct mk_error err;
    struct buf b;

    if (pipeline_parse(&p, (const char *)data, bytes, "fuzz", NULL, 0, &err))
        return 0;
    buf_init(&b, (size_t)1 << 26);
    for (int32_t i = 0; i < p.n; i++)
        recipe_write(&p.stages[i].recipe, &b, &err);
    buf_release(&b);
    pipeline_release(&p);
    return 0;
}
