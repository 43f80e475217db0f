/* recipe_fuzz.c: any bytes as a recipe; one that is accepted must read back from what it writes. */
#include <stdint.h>
#include <stdlib.h>

#include "train/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct recipe r, again;
    struct mk_error err;
    struct buf b;

    if (recipe_parse(&r, (const char *)data, bytes, "fuzz", NULL, 0, &err))
        return 0;
    buf_init(&b, (size_t)1 << 24);
    if (!recipe_write(&r, &b, &err)) {
        if (recipe_parse(&again, b.data, b.n, "written", NULL, 0, &err))
            abort();
        recipe_release(&again);
    }
    buf_release(&b);
    recipe_release(&r);
    return 0;
}
