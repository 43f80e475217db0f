/* ids.c: a growing list of token ids. */
#include <stdlib.h>

#include "tokenizer/tokenizer.h"

int ids_append(struct ids *ids, int32_t id, struct mk_error *err)
{
    if (ids->n == ids->capacity) {
        size_t want = ids->capacity ? 2 * ids->capacity : 64;
        int32_t *data = realloc(ids->data, want * sizeof *data);

        if (!data)
            return mk_error_memory(err, want * sizeof *data);
        ids->data = data;
        ids->capacity = want;
    }
    ids->data[ids->n++] = id;
    return 0;
}

void ids_release(struct ids *ids)
{
    free(ids->data);
    *ids = (struct ids){0};
}
