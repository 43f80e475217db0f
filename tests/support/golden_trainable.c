/* golden_trainable.c: see golden_trainable.h. */
#include "support/golden_trainable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "formats/model_file.h"

void golden_trainable_open(struct golden_trainable *g, const char *name,
                           const struct model_options *o, int threads)
{
    struct model_file file;
    struct mk_error err;
    char path[256];

    *g = (struct golden_trainable){0};
    snprintf(path, sizeof path, "tests/golden/models/%s", name);
    if (model_file_open(&file, path, &err) || params_read(&g->params, &file, o->with_mtp, &err) ||
        params_take_gradients(&g->params, &err) || compute_init(&g->compute, NULL, threads, &err) ||
        params_pack(&g->params, &g->model, o, &err))
        fail_msg("%s", err.text);
    model_file_release(&file);
    arena_init(&g->memory, (size_t)1 << 30);
}

void golden_trainable_close(struct golden_trainable *g)
{
    arena_release(&g->memory);
    compute_release(&g->compute);
    model_release(&g->model);
    params_release(&g->params);
}

void golden_trainable_run(struct golden_trainable *g, const struct train_seq *seqs, int32_t n,
                          int32_t n_at_once, const struct pass_options *o, struct pass_result *r)
{
    struct mk_error err;

    for (int32_t i = 0; i < n; i += n_at_once)
        if (pass_run(&g->model, &g->params, &g->compute, &g->memory, seqs + i,
                     i + n_at_once < n ? n_at_once : n - i, o, r, &err))
            fail_msg("%s", err.text);
    params_join(&g->params);
}
