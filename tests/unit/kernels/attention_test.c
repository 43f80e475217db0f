/* attention_test.c: attention equals a double-precision softmax over all visible keys, and a row's
 * bits depend on nothing but the row and its past. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/kernels.h"

#define MAX_THREADS_TRIED 3

/* One sequence with random queries and cached rows. */
struct timeline {
    struct attend_shape shape;
    int32_t n; /* positions 0 .. n - 1 */
    float *q;  /* [t, h * d_k] */
    float *kv; /* [t, row_dim], what the cached rows stand for */
    unsigned char *rows;
    int64_t row_bytes;
};

static float noise(uint64_t seed, uint64_t i)
{
    return (float)(2.0 * rng_uniform(seed, 1, i) - 1.0);
}

static struct compute start(const char *cpu, int n_threads)
{
    struct compute c;
    struct mk_error err;

    assert_int_equal(compute_init(&c, cpu, n_threads, &err), 0);
    return c;
}

static void timeline_init(struct timeline *l, const struct attend_shape *shape, int32_t n,
                          uint64_t seed)
{
    struct compute c = start("ref", 1);
    size_t n_q = (size_t)n * (size_t)(shape->n_heads * shape->d_k);
    size_t n_kv = (size_t)n * (size_t)shape->row_dim;

    *l = (struct timeline){.shape = *shape, .n = n};
    l->row_bytes = kv_row_bytes(shape->row_dtype, shape->row_dim);
    l->q = malloc(n_q * sizeof *l->q);
    l->kv = malloc(n_kv * sizeof *l->kv);
    l->rows = malloc((size_t)n * (size_t)l->row_bytes);
    for (size_t i = 0; i < n_q; i++)
        l->q[i] = 4.0f * noise(seed, i);
    for (size_t i = 0; i < n_kv; i++)
        l->kv[i] = noise(seed + 1, i);
    c.k->store_rows(&c, shape->row_dtype, l->rows, l->kv, shape->row_dim, n, shape->row_dim);
    c.k->load_rows(&c, shape->row_dtype, l->rows, l->kv, shape->row_dim, n, shape->row_dim);
    compute_release(&c);
}

static void timeline_release(struct timeline *l)
{
    free(l->q);
    free(l->kv);
    free(l->rows);
}

static struct attend_seq seq_of(const struct timeline *l, int32_t position, int32_t n_rows,
                                float *out)
{
    return (struct attend_seq){.q = l->q + (int64_t)position * l->shape.n_heads * l->shape.d_k,
                               .q_stride = l->shape.n_heads * l->shape.d_k,
                               .n_rows = n_rows,
                               .position = position,
                               .rows = l->rows,
                               .out = out,
                               .out_stride = l->shape.n_heads * l->shape.d_v};
}

/* One head of one row by the textbook; `bound` is the sum of |weight * value|. Returns ln of the
 * sum of e^score. */
static double textbook(const struct timeline *l, int32_t row, int32_t head, double *out,
                       double *bound)
{
    const struct attend_shape *s = &l->shape;
    int32_t kv = head / (s->n_heads / s->n_kv_heads);
    int32_t first = s->window > 0 && row >= s->window ? row - s->window + 1 : 0;
    const float *q = l->q + ((int64_t)row * s->n_heads + head) * s->d_k;
    double max = -INFINITY, sum = 0.0, *score = malloc((size_t)(row + 1) * sizeof *score);

    for (int32_t i = first; i <= row; i++) {
        score[i] = 0.0;
        for (int32_t c = 0; c < s->d_k; c++)
            score[i] +=
                (double)q[c] * l->kv[(int64_t)i * s->row_dim + s->k_offset + kv * s->k_stride + c];
        score[i] *= s->scale;
        max = fmax(max, score[i]);
    }
    for (int32_t i = first; i <= row; i++)
        sum += score[i] = exp(score[i] - max);
    for (int32_t c = 0; c < s->d_v; c++) {
        out[c] = bound[c] = 0.0;
        for (int32_t i = first; i <= row; i++) {
            double term = score[i] / sum *
                          l->kv[(int64_t)i * s->row_dim + s->v_offset + kv * s->v_stride + c];

            out[c] += term;
            bound[c] += fabs(term);
        }
    }
    free(score);
    return max + log(sum);
}

/* Largest |difference| / sum of |terms| over all rows, all at once as a prefill; of the logarithms
 * of sums |difference| / (1 + |value|). */
static double worst_error(const struct timeline *l, const char *cpu)
{
    const struct attend_shape *s = &l->shape;
    struct compute c = start(cpu, 2);
    struct mk_error err;
    int64_t n_out = (int64_t)l->n * s->n_heads * s->d_v;
    float *out = malloc((size_t)n_out * sizeof *out);
    float *lse = malloc((size_t)(l->n * s->n_heads) * sizeof *lse);
    double *want = malloc((size_t)s->d_v * sizeof *want);
    double *bound = malloc((size_t)s->d_v * sizeof *bound), worst = 0.0;
    struct attend_seq seq = seq_of(l, 0, l->n, out);

    seq.lse = lse;
    assert_int_equal(c.k->attend(&c, s, &seq, 1, &err), 0);
    for (int32_t row = 0; row < l->n; row++)
        for (int32_t head = 0; head < s->n_heads; head++) {
            const float *got = out + ((int64_t)row * s->n_heads + head) * s->d_v;
            double sum = textbook(l, row, head, want, bound);

            worst = fmax(worst, fabs(lse[row * s->n_heads + head] - sum) / (1 + fabs(sum)));
            for (int32_t i = 0; i < s->d_v; i++)
                worst = fmax(worst, fabs(got[i] - want[i]) / bound[i]);
        }
    free(out);
    free(lse);
    free(want);
    free(bound);
    compute_release(&c);
    return worst;
}

static struct attend_shape gqa(int32_t n_heads, int32_t n_kv_heads, int32_t d)
{
    return (struct attend_shape){.n_heads = n_heads,
                                 .n_kv_heads = n_kv_heads,
                                 .d_k = d,
                                 .d_v = d,
                                 .k_stride = d,
                                 .v_offset = n_kv_heads * d,
                                 .v_stride = d,
                                 .row_dtype = MK_F32,
                                 .row_dim = 2 * n_kv_heads * d,
                                 .scale = 1.0f / sqrtf((float)d)};
}

static struct attend_shape mla(int32_t n_heads, int32_t latent, int32_t rope)
{
    return (struct attend_shape){.n_heads = n_heads,
                                 .n_kv_heads = 1,
                                 .d_k = latent + rope,
                                 .d_v = latent,
                                 .row_dtype = MK_F32,
                                 .row_dim = latent + rope,
                                 .scale = 1.0f / sqrtf((float)(latent + rope))};
}

static const char *const cpus[] = {"ref", "avx2", "avx512"};

/* Calls `claim` with every instruction set of this machine. */
static void on_every_cpu(void (*claim)(const char *cpu))
{
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        struct compute c;
        struct mk_error err;

        if (compute_init(&c, cpus[i], 1, &err))
            continue;
        compute_release(&c);
        claim(cpus[i]);
    }
}

static void check_textbook(const char *cpu)
{
    struct attend_shape shapes[] = {gqa(9, 3, 64), gqa(4, 4, 24),  gqa(6, 2, 18),
                                    gqa(5, 1, 7),  mla(6, 48, 16), mla(40, 33, 5)};

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct timeline l;

        timeline_init(&l, &shapes[i], 150, i);
        /* d_k + keys terms of 2^-24 each and the weights' 4e-7: far below this. */
        assert_true(worst_error(&l, cpu) < 4e-6);
        timeline_release(&l);
    }
}

static void attention_is_a_softmax_over_the_visible_keys(void **state)
{
    (void)state;
    on_every_cpu(check_textbook);
}

static void check_windows(const char *cpu)
{
    for (int32_t window = 1; window < 200; window += 33) {
        struct attend_shape shape = gqa(6, 2, 16);
        struct timeline l;

        shape.window = window;
        timeline_init(&l, &shape, 170, 3);
        assert_true(worst_error(&l, cpu) < 4e-6);
        timeline_release(&l);
    }
}

static void a_window_hides_what_lies_before_it(void **state)
{
    (void)state;
    on_every_cpu(check_windows);
}

static void check_narrow_rows(const char *cpu)
{
    static const enum dtype types[] = {MK_BF16, MK_I8};

    for (int i = 0; i < 2; i++) {
        struct attend_shape shapes[] = {gqa(6, 3, 20), mla(5, 40, 12), gqa(2, 2, 33)};

        for (int j = 0; j < 3; j++) {
            struct timeline l;

            shapes[j].row_dtype = types[i];
            timeline_init(&l, &shapes[j], 130, 9);
            assert_true(worst_error(&l, cpu) < 4e-6);
            timeline_release(&l);
        }
    }
}

static void narrow_rows_count_as_what_they_store(void **state)
{
    (void)state;
    on_every_cpu(check_narrow_rows);
}

/* ---- The same bits --------------------------------------------------------------------------- */

/* Rows 0 .. n - 1, `chunk` at a time. out [n, n_heads * d_v], lse [n, n_heads] or NULL. */
static void run_in_chunks(const struct timeline *l, const char *cpu, int n_threads, int32_t chunk,
                          float *out, float *lse)
{
    struct compute c = start(cpu, n_threads);
    struct mk_error err;

    for (int32_t at = 0; at < l->n; at += chunk) {
        int32_t n = at + chunk > l->n ? l->n - at : chunk;
        struct attend_seq seq =
            seq_of(l, at, n, out + (int64_t)at * l->shape.n_heads * l->shape.d_v);

        seq.lse = lse ? lse + at * l->shape.n_heads : NULL;
        assert_int_equal(c.k->attend(&c, &l->shape, &seq, 1, &err), 0);
    }
    compute_release(&c);
}

static void check_chunks(const struct attend_shape *shape, int32_t n, const char *cpu)
{
    static const int32_t chunks[] = {1, 7, 64};
    size_t n_out = (size_t)n * (size_t)(shape->n_heads * shape->d_v);
    size_t bytes = (n_out + (size_t)n * (size_t)shape->n_heads) * sizeof(float);
    float *whole = malloc(bytes), *cut = malloc(bytes);
    struct timeline l;

    timeline_init(&l, shape, n, 21);
    run_in_chunks(&l, cpu, 1, n, whole, whole + n_out);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        for (int t = 1; t <= MAX_THREADS_TRIED; t++) {
            memset(cut, 0xff, bytes);
            run_in_chunks(&l, cpu, t, chunks[i], cut, cut + n_out);
            assert_memory_equal(whole, cut, bytes);
        }
    timeline_release(&l);
    free(whole);
    free(cut);
}

static void check_chunks_of_shapes(const char *cpu)
{
    static const enum dtype types[] = {MK_F32, MK_BF16, MK_I8};
    struct attend_shape shape;

    for (int i = 0; i < 3; i++) {
        shape = gqa(9, 3, 20);
        shape.row_dtype = types[i];
        check_chunks(&shape, 140, cpu);
        shape.window = 50;
        check_chunks(&shape, 140, cpu);
        shape = mla(40, 18, 6);
        shape.row_dtype = types[i];
        check_chunks(&shape, 70, cpu);
    }
}

static void bits_do_not_depend_on_chunks_or_threads(void **state)
{
    (void)state;
    on_every_cpu(check_chunks_of_shapes);
}

/* Long enough for several parts, which threads share when there is one row. */
static void check_long_rows(const char *cpu)
{
    struct attend_shape shapes[] = {gqa(2, 1, 8), gqa(2, 1, 8), mla(3, 8, 4)};

    shapes[1].window = 700;
    for (int i = 0; i < 3; i++) {
        int32_t n = 1100, width = shapes[i].n_heads * shapes[i].d_v;
        float *whole = malloc((size_t)n * (size_t)width * sizeof *whole);
        float *lse = malloc((size_t)(n * shapes[i].n_heads) * sizeof *lse);
        float one[3 * 8], one_lse[3];
        struct mk_error err;
        struct timeline l;

        timeline_init(&l, &shapes[i], n, 5);
        run_in_chunks(&l, cpu, 2, n, whole, lse);
        for (int t = 1; t <= MAX_THREADS_TRIED; t++) {
            struct compute c = start(cpu, t);

            for (int32_t row = n - 1; row > 400; row -= 119) {
                struct attend_seq seq = seq_of(&l, row, 1, one);

                seq.lse = one_lse;
                assert_int_equal(c.k->attend(&c, &l.shape, &seq, 1, &err), 0);
                assert_memory_equal(one, whole + (int64_t)row * width, (size_t)width * 4);
                assert_memory_equal(one_lse, lse + row * shapes[i].n_heads,
                                    (size_t)shapes[i].n_heads * sizeof *lse);
            }
            compute_release(&c);
        }
        assert_true(worst_error(&l, cpu) < 4e-6);
        timeline_release(&l);
        free(whole);
        free(lse);
    }
}

static void a_decoded_row_equals_the_prefilled_one_over_many_parts(void **state)
{
    (void)state;
    on_every_cpu(check_long_rows);
}

static void check_neighbours(const char *cpu)
{
    struct attend_shape shape = gqa(6, 2, 12);
    struct timeline l[8];
    struct attend_seq seqs[8];
    float *out[8], alone[4 * 6 * 12];
    struct mk_error err;
    struct compute c = start(cpu, 2);

    for (int i = 0; i < 8; i++) {
        timeline_init(&l[i], &shape, 90 + 100 * (i % 3), 40 + (uint64_t)i);
        out[i] = malloc(4 * 6 * 12 * sizeof(float));
        seqs[i] = seq_of(&l[i], l[i].n - 1 - i % 4, 1 + i % 4, out[i]);
    }
    for (int n = 1; n <= 8; n++) {
        assert_int_equal(c.k->attend(&c, &shape, seqs, n, &err), 0);
        for (int i = 0; i < n; i++) {
            struct attend_seq seq = seqs[i];

            seq.out = alone;
            assert_int_equal(c.k->attend(&c, &shape, &seq, 1, &err), 0);
            assert_memory_equal(out[i], alone, (size_t)seq.n_rows * 6 * 12 * sizeof(float));
        }
    }
    for (int i = 0; i < 8; i++) {
        timeline_release(&l[i]);
        free(out[i]);
    }
    compute_release(&c);
}

static void bits_do_not_depend_on_neighbours(void **state)
{
    (void)state;
    on_every_cpu(check_neighbours);
}

/* The last rows of a timeline, `n_shared` of whose rows lie in a copy too; its own whole panels of
 * them are destroyed. */
static void check_one_shared(struct compute *c, const struct timeline *l, int32_t n_shared,
                             int32_t n_rows)
{
    int64_t n_out = (int64_t)l->shape.n_heads * l->shape.d_v * n_rows;
    size_t bytes = (size_t)(l->n * l->row_bytes);
    float *alone = malloc((size_t)n_out * sizeof *alone);
    float *out = malloc((size_t)n_out * sizeof *out);
    unsigned char *own = malloc(bytes);
    struct attend_seq seqs[2] = {seq_of(l, l->n - n_rows, n_rows, alone)};
    struct mk_error err;

    assert_int_equal(c->k->attend(c, &l->shape, seqs, 1, &err), 0);
    memcpy(own, l->rows, bytes);
    memset(own, 0xff, (size_t)(n_shared / 16 * 16 * l->row_bytes)); /* NaN */
    seqs[1] = seqs[0];
    seqs[1].rows = own;
    seqs[1].shared = l->rows;
    seqs[1].n_shared = n_shared;
    seqs[1].out = out;
    assert_int_equal(c->k->attend(c, &l->shape, seqs, 2, &err), 0);
    assert_memory_equal(alone, out, (size_t)n_out * sizeof *out);
    free(alone);
    free(out);
    free(own);
}

static void check_shared(const char *cpu)
{
    static const int32_t n_shared[] = {1, 15, 16, 30, 63, 64, 70, 128, 290};
    static const enum dtype types[] = {MK_F32, MK_BF16, MK_I8};
    struct compute c = start(cpu, 2);

    for (int i = 0; i < 9; i++)
        for (int j = 0; j < 6; j++) {
            struct attend_shape shape = j % 2 ? gqa(6, 2, 12) : mla(4, 40, 12);
            struct timeline l;

            shape.row_dtype = types[j / 2];
            shape.window = i % 3 == 2 ? 50 : 0;
            timeline_init(&l, &shape, n_shared[i] + 20, 60);
            check_one_shared(&c, &l, n_shared[i], 1);
            check_one_shared(&c, &l, n_shared[i], 9);
            timeline_release(&l);
        }
    compute_release(&c);
}

/* Rows at nine positions behind the same beginning, each with itself and all in one call. */
static void check_joint(struct compute *c, const struct timeline *l, int32_t n_shared)
{
    static const int32_t ahead[] = {5, 0, 40, 1, 64, 17, 100, 299, 200};
    int64_t n_out = (int64_t)l->shape.n_heads * l->shape.d_v;
    size_t own_bytes = (size_t)(l->n * l->row_bytes);
    float *alone = malloc((size_t)n_out * 9 * sizeof *alone);
    float *out = malloc((size_t)n_out * 9 * sizeof *out);
    unsigned char *own = malloc(own_bytes);
    struct attend_seq seqs[9];
    struct mk_error err;

    memcpy(own, l->rows, own_bytes);
    memset(own, 0xff, (size_t)(n_shared / 16 * 16 * l->row_bytes)); /* NaN */
    for (int i = 0; i < 9; i++) {
        seqs[i] = seq_of(l, n_shared + ahead[i], 1, alone + i * n_out);
        assert_int_equal(c->k->attend(c, &l->shape, &seqs[i], 1, &err), 0);
        seqs[i].rows = own;
        seqs[i].shared = l->rows;
        seqs[i].n_shared = n_shared;
        seqs[i].out = out + i * n_out;
    }
    assert_int_equal(c->k->attend(c, &l->shape, seqs, 9, &err), 0);
    assert_memory_equal(alone, out, (size_t)n_out * 9 * sizeof *out);
    free(alone);
    free(out);
    free(own);
}

static void check_joint_rows(const char *cpu)
{
    static const int32_t n_shared[] = {16, 30, 64, 70, 250};

    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 6; j++) {
            struct attend_shape shapes[] = {gqa(6, 2, 12), mla(4, 40, 12), gqa(3, 3, 33)};
            struct compute c = start(cpu, 1 + j % 2);
            struct timeline l;

            timeline_init(&l, &shapes[j / 2], n_shared[i] + 300, 70);
            check_joint(&c, &l, n_shared[i]);
            timeline_release(&l);
            compute_release(&c);
        }
}

static void rows_behind_one_beginning_are_those_of_each(void **state)
{
    (void)state;
    on_every_cpu(check_joint_rows);
}

static void rows_that_sequences_share_count_as_their_own(void **state)
{
    (void)state;
    on_every_cpu(check_shared);
}

static void check_future(const char *cpu)
{
    struct attend_shape shape = gqa(2, 1, 8);
    struct timeline l;
    float clean[64 * 16], out[64 * 16];

    timeline_init(&l, &shape, 64, 2);
    run_in_chunks(&l, cpu, 1, 64, clean, NULL);
    for (int32_t i = 40 * shape.row_dim; i < 64 * shape.row_dim; i++)
        ((float *)(void *)l.rows)[i] = i % 2 ? NAN : INFINITY;
    run_in_chunks(&l, cpu, 1, 64, out, NULL);
    assert_memory_equal(clean, out, 40 * 16 * sizeof(float));
    assert_true(isnan(out[50 * 16]));
    timeline_release(&l);
}

static void even_infinite_future_rows_do_not_reach_the_past(void **state)
{
    (void)state;
    on_every_cpu(check_future);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_a_softmax_over_the_visible_keys),
        cmocka_unit_test(a_window_hides_what_lies_before_it),
        cmocka_unit_test(narrow_rows_count_as_what_they_store),
        cmocka_unit_test(bits_do_not_depend_on_chunks_or_threads),
        cmocka_unit_test(a_decoded_row_equals_the_prefilled_one_over_many_parts),
        cmocka_unit_test(bits_do_not_depend_on_neighbours),
        cmocka_unit_test(rows_that_sequences_share_count_as_their_own),
        cmocka_unit_test(rows_behind_one_beginning_are_those_of_each),
        cmocka_unit_test(even_infinite_future_rows_do_not_reach_the_past),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
