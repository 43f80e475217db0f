/* lora_test.c: adapters against PyTorch autograd (tools/golden/lora.py) and against full gradients;
 * what they must not touch, and their bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/folder.h"
#include "formats/adapter.h"
#include "formats/model_file.h"
#include "formats/safetensors.h"
#include "kernels/low_precision.h"
#include "support/golden.h"
#include "support/golden_gradients.h"
#include "train/narrow.h"
#include "train/optim.h"
#include "train/pass.h"

#define MODELS "tests/golden/models/"
#define ADAPTERS "tests/golden/lora/"

struct fixture {
    struct params params;
    struct model model;
    struct compute compute;
    struct arena memory;
};

static const struct lora_options all_layers = {
    .rank = 2, .alpha = 6, .targets = "*", .base = "base", .seed = 7};

/* o NULL: without adapters. adapter: a folder of them, or NULL. */
static void open_model(struct fixture *f, const char *name, bool mtp, const struct lora_options *o,
                       const char *adapter, enum dtype type, int threads)
{
    struct model_file file;
    struct mk_error err;
    char path[256];

    *f = (struct fixture){0};
    snprintf(path, sizeof path, MODELS "%s", name);
    if (model_file_open(&file, path, &err) || params_read(&f->params, &file, mtp, &err) ||
        (o && lora_init(&f->params, o, &err)) ||
        (adapter && lora_read(&f->params, adapter, &err)) ||
        params_take_gradients(&f->params, &err) || compute_init(&f->compute, NULL, threads, &err))
        fail_msg("%s", err.text);
    if (type != MK_F32)
        compute_round_inputs(&f->compute);
    if (narrow_init(&f->params, type, f->compute.ex, &err))
        fail_msg("%s", err.text);
    model_file_release(&file);
    arena_init(&f->memory, (size_t)1 << 30);
}

static void close_model(struct fixture *f)
{
    arena_release(&f->memory);
    compute_release(&f->compute);
    if (f->model.memory.first)
        model_release(&f->model);
    params_release(&f->params);
}

static void pack(struct fixture *f)
{
    struct model_options o = {.mla = MK_MLA_EXPANDED, .with_mtp = f->params.arch.n_mtp > 0};
    struct mk_error err;

    lora_merge(&f->params, f->compute.ex);
    narrow_round(&f->params, f->compute.ex);
    if (params_pack(&f->params, &f->model, &o, &err))
        fail_msg("%s", err.text);
}

/* Gradients of the 29 tokens in pieces of `piece`; returns the mean loss with that of MTP. */
static double run(struct fixture *f, const char *name, int32_t piece)
{
    struct pass_options o = {.mtp_weight = 0.3, .keep_bytes = 1 << 30};
    struct pass_result r = {0};
    struct mk_error err;
    char path[256];
    int32_t n, length, *ids, targets[64];

    snprintf(path, sizeof path, MODELS "%s/expected/ids_29.txt", name);
    ids = golden_ids(path, &n);
    memcpy(targets, ids + 1, (size_t)(n - 1) * sizeof *ids);
    targets[n - 1] = -1;
    o.scale = 1.0 / (n - 1);
    params_zero_gradients(&f->params, NULL);
    length = piece < n ? 7 : n; /* of a document */
    for (int32_t at = 0; at < n; at += piece) {
        struct train_seq seqs[64];
        int32_t n_seqs = 0;

        for (int32_t i = at; i < n && i < at + piece; i += length) {
            int32_t left = n - i < length ? n - i : length;

            seqs[n_seqs++] =
                (struct train_seq){.ids = ids + i, .targets = targets + i, .n_ids = left};
        }
        if (pass_run(&f->model, &f->params, &f->compute, &f->memory, seqs, n_seqs, &o, &r, &err))
            fail_msg("%s", err.text);
    }
    params_join(&f->params);
    free(ids);
    return (r.loss + 0.3 * r.mtp_loss[0]) * o.scale;
}

/* ---- Gradients ------------------------------------------------------------------------------ */

static void gradients_are_those_of_autograd(void **state)
{
    static const char *const names[] = {"qwen2-tied", "v3"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        char adapter[128], path[256];
        double loss;

        snprintf(adapter, sizeof adapter, ADAPTERS "%s", names[i]);
        snprintf(path, sizeof path, "%s/gradients.txt", adapter);
        open_model(&f, names[i], false, &all_layers, adapter, MK_F32, 2);
        pack(&f);
        loss = run(&f, names[i], 64);
        golden_gradients_check(&f.params, path, loss);
        close_model(&f);
    }
}

static void fill(struct param *q, float size)
{
    uint32_t x = (uint32_t)params_hash(q->name);

    for (int64_t i = 0; i < q->n; i++) {
        x = x * 1664525 + 1013904223;
        q->w[i] = size * ((float)(x >> 8) / (1 << 23) - 1);
    }
}

/* dA = s B^T dW and dB = s dW A^T with dW of the same model trained whole; MTP, whose head is used
 * twice, and all. */
static void gradients_follow_from_those_of_the_whole_matrix(void **state)
{
    struct fixture f, g;
    int64_t n = 0;

    (void)state;
    open_model(&f, "v3", true, &all_layers, NULL, MK_F32, 1);
    open_model(&g, "v3", true, NULL, NULL, MK_F32, 1);
    for (int64_t i = 0; i < f.params.n_items; i++)
        if (f.params.items[i].adapter)
            fill(&f.params.items[i], 0.1f);
    pack(&f);
    for (int64_t i = 0; i < g.params.n_items; i++)
        memcpy(g.params.items[i].w, f.params.items[i].w,
               (size_t)g.params.items[i].n * sizeof(float));
    pack(&g);
    assert_true(run(&f, "v3", 64) == run(&g, "v3", 64));
    for (int64_t i = 0; i < g.params.n_items; i++) {
        const struct param *w = &g.params.items[i];
        const struct lora *l = f.params.items[i].lora;
        double sum = 0, off = 0;

        if (!l)
            continue;
        n++;
        for (int64_t k = 0; k < 2; k++)
            for (int64_t c = 0; c < w->shape[1]; c++) {
                double want = 0;

                for (int64_t r = 0; r < w->shape[0]; r++)
                    want += 3.0 * (double)l->b->w[r * 2 + k] * (double)w->grad[r * w->shape[1] + c];
                sum += want * want;
                off += pow(want - l->a->grad[k * w->shape[1] + c], 2);
            }
        for (int64_t r = 0; r < w->shape[0]; r++)
            for (int64_t k = 0; k < 2; k++) {
                double want = 0;

                for (int64_t c = 0; c < w->shape[1]; c++)
                    want += 3.0 * (double)w->grad[r * w->shape[1] + c] *
                            (double)l->a->w[k * w->shape[1] + c];
                sum += want * want;
                off += pow(want - l->b->grad[r * 2 + k], 2);
            }
        if (!(off <= 1e-10 * sum))
            fail_msg("%s: %.1e of the norm away", w->name, sqrt(off / sum));
    }
    assert_true(n > 80);
    close_model(&f);
    close_model(&g);
}

static void gradients_are_the_same_bits_however_a_step_is_cut(void **state)
{
    const enum dtype types[] = {MK_F32, MK_BF16};

    (void)state;
    for (int t = 0; t < 2; t++) {
        struct fixture f, g;

        open_model(&f, "v3", true, &all_layers, NULL, types[t], 1);
        open_model(&g, "v3", true, &all_layers, NULL, types[t], 3);
        for (int64_t i = 0; i < f.params.n_items; i++)
            if (f.params.items[i].adapter) {
                fill(&f.params.items[i], 0.1f);
                fill(&g.params.items[i], 0.1f);
            }
        pack(&f);
        pack(&g);
        run(&f, "v3", 28);
        run(&g, "v3", 7);
        for (int64_t i = 0; i < f.params.n_items; i++)
            if (f.params.items[i].grad &&
                memcmp(f.params.items[i].grad, g.params.items[i].grad,
                       (size_t)f.params.items[i].n * sizeof(float)))
                fail_msg("the gradient of %s differs", f.params.items[i].name);
        close_model(&f);
        close_model(&g);
    }
}

/* ---- What they leave alone ------------------------------------------------------------------ */

static void an_adapted_model_begins_as_its_base(void **state)
{
    const enum dtype types[] = {MK_F32, MK_BF16, MK_F8_E4M3};

    (void)state;
    for (int t = 0; t < 3; t++) {
        struct fixture f, g;

        open_model(&f, "v3", true, &all_layers, NULL, types[t], 2);
        open_model(&g, "v3", true, NULL, NULL, types[t], 2);
        pack(&f);
        pack(&g);
        assert_true(run(&f, "v3", 64) == run(&g, "v3", 64));
        for (int64_t i = 0; i < g.params.n_items; i++)
            assert_memory_equal(f.params.items[i].w, g.params.items[i].w,
                                (size_t)g.params.items[i].n * sizeof(float));
        close_model(&f);
        close_model(&g);
    }
}

static void only_adapters_learn(void **state)
{
    struct lora_options o = {
        .rank = 4, .alpha = 8, .targets = "*.1.self_attn.*,*experts.3.*", .base = ""};
    struct optim_options oo = optim_defaults();
    struct fixture f, base;
    struct mk_error err;
    struct optim op;
    double first, last = 0;
    int64_t n_adapted = 0, n_moved = 0;

    (void)state;
    open_model(&base, "v3", false, NULL, NULL, MK_F32, 1);
    open_model(&f, "v3", false, &o, NULL, MK_F32, 1);
    assert_int_equal(optim_init(&op, &f.params, &oo, &err), 0);
    pack(&f);
    first = run(&f, "v3", 64);
    for (int step = 0; step < 10; step++) {
        assert_int_equal(optim_step(&op, &f.compute, 1e-2, optim_norm(&op, f.compute.ex), &err), 0);
        pack(&f);
        last = run(&f, "v3", 64);
    }
    assert_true(last < first - 0.01);
    for (int64_t i = 0; i < base.params.n_items; i++) {
        const struct param *was = &base.params.items[i], *is = &f.params.items[i];
        size_t bytes = (size_t)was->n * sizeof(float);

        assert_memory_equal(is->lora ? is->lora->base : is->w, was->w, bytes);
        n_adapted += is->lora != NULL;
        n_moved += is->lora && memcmp(is->w, was->w, bytes);
        assert_true(!is->grad);
    }
    assert_int_equal(n_adapted, 5 + 3 * 2); /* five of layer 1; expert 3 of layers 1 and 2 */
    assert_true(n_moved > 5);
    assert_int_equal(f.params.n_items, base.params.n_items + 2 * n_adapted);
    optim_release(&op);
    close_model(&f);
    close_model(&base);
}

static void what_no_adapter_fits_is_refused(void **state)
{
    struct lora_options o = {.rank = 2, .alpha = 1, .targets = "*norm*,*embed*,*.mlp.gate.weight"};
    struct fixture f;
    struct mk_error err;

    (void)state;
    open_model(&f, "v3", false, NULL, NULL, MK_F32, 1);
    assert_int_equal(lora_init(&f.params, &o, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "lora.targets"));
    close_model(&f);
    open_model(&f, "qwen2-tied", false, &all_layers, NULL, MK_F32, 1);
    assert_int_equal(lora_read(&f.params, ADAPTERS "v3", &err), MK_EFORMAT);
    close_model(&f);
}

/* ---- Files ---------------------------------------------------------------------------------- */

static void adapters_are_written_as_peft_has_them(void **state)
{
    char dir[64];
    struct fixture f, g;
    struct mk_error err;
    struct adapter file;
    struct arena memory;
    struct low_rank low;
    bool there;

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/minke-lora-%ld", (long)getpid());
    open_model(&f, "v3", false, &all_layers, ADAPTERS "v3", MK_F32, 1);
    if (lora_write(&f.params, dir, &err))
        fail_msg("%s", err.text);
    open_model(&g, "v3", false, &all_layers, dir, MK_F32, 1);
    for (int64_t i = 0; i < f.params.n_items; i++)
        assert_memory_equal(f.params.items[i].w, g.params.items[i].w,
                            (size_t)f.params.items[i].n * sizeof(float));
    assert_int_equal(adapter_open(&file, dir, &err), 0);
    arena_init(&memory, 1 << 20);
    assert_int_equal(adapter_get(&file, "model.layers.1.mlp.experts.2.down_proj.weight", 80, 28,
                                 &memory, &low, &there, &err),
                     0);
    assert_true(there && low.rank == 2 && low.scale == 3.0f);
    assert_non_null(tensors_find(
        &file.tensors, "base_model.model.model.layers.1.mlp.experts.2.down_proj.lora_B.weight"));
    arena_release(&memory);
    adapter_release(&file);
    folder_remove(dir);
    close_model(&f);
    close_model(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_autograd),
        cmocka_unit_test(gradients_follow_from_those_of_the_whole_matrix),
        cmocka_unit_test(gradients_are_the_same_bits_however_a_step_is_cut),
        cmocka_unit_test(an_adapted_model_begins_as_its_base),
        cmocka_unit_test(only_adapters_learn),
        cmocka_unit_test(what_no_adapter_fits_is_refused),
        cmocka_unit_test(adapters_are_written_as_peft_has_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
