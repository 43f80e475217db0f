/* narrow_test.c: training in bf16 and FP8: what is multiplied is what is rounded, gradients stay
 * close to those of f32, and the bits stay the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/folder.h"
#include "formats/safetensors.h"
#include "kernels/fp8.h"
#include "kernels/low_precision.h"
#include "model/convert.h"
#include "support/golden.h"
#include "support/golden_gradients.h"
#include "train/narrow.h"
#include "train/pass.h"

#define V3 "tests/golden/models/v3"
#define DENSE "tests/golden/models/qwen3" /* no router that chooses other experts */

struct fixture {
    struct params params;
    struct model model;
    struct compute compute;
    struct arena memory;
    double loss;
};

/* cpu NULL: the best. False: the machine has no such. */
static bool run_on(struct fixture *f, const char *cpu, const char *name, enum dtype type,
                   int threads, int32_t n_passes, bool mtp)
{
    struct model_options o = {.mla = MK_MLA_EXPANDED, .with_mtp = mtp};
    struct pass_options po = {.scale = 1.0 / 28, .mtp_weight = 0.3, .keep_bytes = 1 << 30};
    int32_t n, *ids, targets[64];
    struct train_seq seq = {.targets = targets};
    struct pass_result r = {0};
    struct model_file file;
    struct mk_error err;

    *f = (struct fixture){0};
    if (compute_init(&f->compute, cpu, threads, &err))
        return false;
    seq.ids = ids = golden_ids(V3 "/expected/ids_29.txt", &n);
    seq.n_ids = n;
    memcpy(targets, ids + 1, (size_t)(n - 1) * sizeof *ids);
    targets[n - 1] = -1;
    arena_init(&f->memory, (size_t)1 << 30);
    if (model_file_open(&file, name, &err) || params_read(&f->params, &file, mtp, &err) ||
        params_take_gradients(&f->params, &err))
        fail_msg("%s", err.text);
    if (type != MK_F32)
        compute_round_inputs(&f->compute);
    if (narrow_init(&f->params, type, f->compute.ex, &err) ||
        params_pack(&f->params, &f->model, &o, &err))
        fail_msg("%s", err.text);
    for (int32_t i = 0; i < n_passes; i++)
        if (pass_run(&f->model, &f->params, &f->compute, &f->memory, &seq, 1, &po, &r, &err))
            fail_msg("%s", err.text);
    params_join(&f->params);
    f->loss = r.loss / (n - 1) / n_passes;
    model_file_release(&file);
    free(ids);
    return true;
}

static void run(struct fixture *f, const char *name, enum dtype type, int threads, int32_t n_passes)
{
    assert_true(run_on(f, NULL, name, type, threads, n_passes, true));
}

static void close_fixture(struct fixture *f)
{
    arena_release(&f->memory);
    compute_release(&f->compute);
    model_release(&f->model);
    params_release(&f->params);
}

static void weights_lie_in_their_types(void **state)
{
    struct fixture f;
    int n[3] = {0};

    (void)state;
    run(&f, V3, MK_F8_E4M3, 1, 1);
    for (int64_t i = 0; i < f.params.n_items; i++) {
        const struct param *q = &f.params.items[i];
        bool inside = q->n_dims == 2 && q->role != W_ROUTER;

        assert_int_equal(q->compute,
                         !inside ? MK_F32
                         : q->role == W_EMBED || q->role == W_HEAD || q->role == W_MTP_PROJ
                             ? MK_BF16
                             : MK_F8_E4M3);
        n[0] += q->compute == MK_F32;
        n[1] += q->compute == MK_BF16;
        n[2] += q->compute == MK_F8_E4M3;
    }
    assert_true(n[0] > 10 && n[1] == 3 && n[2] > 50);
    close_fixture(&f);
}

/* What products take instead of a master. */
static float used(const struct param *q, int64_t j)
{
    return q->compute == MK_BF16 ? bf16_to_f32(f32_to_bf16(q->w[j])) : param_used(q)[j];
}

/* The panels of the forward pass hold what the backward pass multiplies with. */
static void forward_and_backward_take_the_same_weights(void **state)
{
    const enum dtype types[] = {MK_BF16, MK_F8_E4M3};

    (void)state;
    for (int t = 0; t < 2; t++) {
        struct fixture f;
        const struct param *head, *q;
        float row[512];
        int64_t n_moved = 0;

        run(&f, V3, types[t], 1, 1);
        head = params_head(&f.params);
        assert_true(head->shape[1] <= 512);
        for (int64_t r = 0; r < head->shape[0]; r++) {
            packed_row(&f.model.head, r, row);
            for (int64_t k = 0; k < head->shape[1]; k++)
                assert_true(row[k] == used(head, r * head->shape[1] + k));
        }
        q = params_get(&f.params, W_O, 1, 0);
        for (int64_t j = 0; j < q->n; j++) {
            n_moved += used(q, j) != q->w[j];
            if (q->compute == MK_F8_E4M3) { /* rows of less than 128: one scale for a row's block */
                float s = q->scales[j / q->shape[1] / FP8_TILE];

                assert_true(q->shape[1] <= FP8_TILE);
                assert_true(e4m3_to_f32(q->bytes[j]) * s == q->rounded[j]);
            }
        }
        assert_true(n_moved > q->n / 2);
        close_fixture(&f);
    }
}

/* `minke convert --to fp8` writes the bytes and scales that FP8 training multiplies with. */
static void the_export_holds_what_training_multiplied_with(void **state)
{
    struct convert_options o = {.to = MK_F8_E4M3};
    struct convert_report report;
    struct tensors file;
    struct fixture f;
    struct mk_error err;
    char dir[64], name[200];
    int n = 0;

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/minke-narrow-%ld", (long)getpid());
    run(&f, V3, MK_F8_E4M3, 1, 1);
    if (convert_model(V3, dir, &o, &report, &err) || safetensors_open(&file, dir, &err))
        fail_msg("%s", err.text);
    for (int64_t i = 0; i < f.params.n_items; i++) {
        const struct param *q = &f.params.items[i];
        const struct file_tensor *w = tensors_find(&file, q->name), *s;

        if (q->compute != MK_F8_E4M3)
            continue;
        snprintf(name, sizeof name, "%s_scale_inv", q->name);
        s = tensors_find(&file, name);
        assert_true(w && s && w->dtype == MK_F8_E4M3 && w->bytes == (uint64_t)q->n);
        assert_memory_equal(w->data, q->bytes, w->bytes);
        assert_memory_equal(s->data, q->scales, s->bytes);
        n++;
    }
    assert_true(n > 50);
    tensors_release(&file);
    folder_remove(dir);
    close_fixture(&f);
}

/* ---- Against PyTorch ------------------------------------------------------------------------- */

struct away {
    int n, n_equal; /* of the last layer's experts: gradients, and those within 1e-5 */
};

/* Sums are of another order than PyTorch's, so now and then a value falls to the code beside its
 * own: in the last layer's experts that is one token of one expert, further down every gradient has
 * passed through some. A rule in the wrong place moves all of them by a hundredth or more. */
static void check_away(void *user, const struct param *q, double away)
{
    struct away *a = user;
    bool last = q->layer == 2 && q->role >= W_ROUTER && q->role <= W_SHARED_DOWN;
    bool near = last || (q->layer == 2 && q->role == W_O);

    if (!(away < (near ? 0.01 : 0.15)))
        fail_msg("the gradient of %s is %.1e of its norm away", q->name, away);
    a->n += last;
    a->n_equal += last && away < 1e-5;
}

/* V3's scheme written out in PyTorch (tools/golden/fp8_gradients.py): which rule rounds what, what
 * is sent to experts and back, what is kept. */
static void fp8_gradients_are_those_of_the_report(void **state)
{
    const char *const cpus[] = {"ref", "avx2", "avx512"};
    const char *path = V3 "/expected/gradients_fp8.txt";

    (void)state;
    for (int i = 0; i < 3; i++) {
        FILE *in = fopen(path, "r");
        struct away a = {0};
        struct fixture f;
        double loss;

        assert_non_null(in);
        assert_int_equal(fscanf(in, "loss %lf", &loss), 1);
        if (run_on(&f, cpus[i], V3, MK_F8_E4M3, 2, 1, false)) {
            golden_gradients_each(in, &f.params, check_away, &a, path);
            assert_true(fabs(f.loss / loss - 1) < 1e-6);
            assert_true(a.n == 40 && a.n_equal > a.n / 2);
            close_fixture(&f);
        }
        fclose(in);
    }
}

/* ---- Beside f32 ------------------------------------------------------------------------------ */

static double distance(const struct params *a, const struct params *b)
{
    double sum = 0, all = 0;

    for (int64_t i = 0; i < a->n_items; i++)
        for (int64_t j = 0; a->items[i].grad && j < a->items[i].n; j++) {
            double x = a->items[i].grad[j], y = b->items[i].grad[j];

            sum += (x - y) * (x - y);
            all += x * x;
        }
    return sqrt(sum / all);
}

/* A bit of precision less is twice the distance: bf16 has 8, E4M3 4. */
static void gradients_are_as_close_as_the_type_allows(void **state)
{
    struct fixture f32, bf16, fp8;

    (void)state;
    run(&f32, DENSE, MK_F32, 2, 1);
    run(&bf16, DENSE, MK_BF16, 2, 1);
    run(&fp8, DENSE, MK_F8_E4M3, 2, 1);
    assert_true(distance(&f32.params, &bf16.params) > 1e-4);
    assert_true(distance(&f32.params, &bf16.params) < 0.02);
    assert_true(distance(&f32.params, &fp8.params) > distance(&f32.params, &bf16.params));
    assert_true(distance(&f32.params, &fp8.params) < 0.3);
    assert_true(fabs(bf16.loss / f32.loss - 1) < 0.001);
    assert_true(fabs(fp8.loss / f32.loss - 1) < 0.01);
    close_fixture(&f32);
    close_fixture(&bf16);
    close_fixture(&fp8);
}

static void threads_do_not_change_a_bit(void **state)
{
    const enum dtype types[] = {MK_BF16, MK_F8_E4M3};

    (void)state;
    for (int t = 0; t < 2; t++) {
        struct fixture a, b;

        run(&a, V3, types[t], 1, 2);
        run(&b, V3, types[t], 3, 2);
        assert_true(distance(&a.params, &b.params) == 0);
        close_fixture(&a);
        close_fixture(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_lie_in_their_types),
        cmocka_unit_test(forward_and_backward_take_the_same_weights),
        cmocka_unit_test(the_export_holds_what_training_multiplied_with),
        cmocka_unit_test(fp8_gradients_are_those_of_the_report),
        cmocka_unit_test(gradients_are_as_close_as_the_type_allows),
        cmocka_unit_test(threads_do_not_change_a_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
