/* attention_check.c: the four inner functions of attention on one block each, and the whole. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernelcheck/check.h"
#include "kernels/cpu/attention_rows.h"

#define EPS 0x1p-24
#define TINY 1e-37
#define EXP_ERROR 4e-7

static void check_pack_keys(struct check *c)
{
    int32_t d = check_size(c, 200), n_keys = check_range(c, 1, MK_KEY_BLOCK);
    int32_t stride = d + check_range(c, 0, 9);
    int32_t n_panels = (n_keys + MK_KEY_PANEL - 1) / MK_KEY_PANEL;
    int64_t bytes = (int64_t)n_panels * d * MK_KEY_PANEL * (int64_t)sizeof(float);
    float *keys = check_random(c, (int64_t)(n_keys - 1) * stride + d, 3.0f);
    float *ref = check_take(c, bytes, 64), *got = check_take(c, bytes, 64);

    check_describe(c, "keys %d, d %d, stride %d", n_keys, d, stride);
    c->ref->k->attention_rows->pack_keys(ref, keys, stride, n_keys, d);
    c->got->k->attention_rows->pack_keys(got, keys, stride, n_keys, d);
    check_same(c, "panels", got, ref, bytes);
}

static void check_scores(struct check *c)
{
    int32_t d = check_size(c, 200), n_q = check_range(c, 1, 14),
            q_stride = d + check_range(c, 0, 9);
    int32_t first = check_range(c, 0, 3), n_panels = check_range(c, 1, 4 - first);
    float *q = check_random(c, (int64_t)(n_q - 1) * q_stride + d, 4.0f);
    float *panels = check_take(c, (int64_t)MK_KEY_BLOCK * d * 4, 64);
    int64_t n = (int64_t)n_q * MK_KEY_BLOCK;
    float *ref = check_take(c, n * 4, 64), *got = check_take(c, n * 4, 64);
    double *tolerance = check_doubles(c, n);

    check_fill(c, panels, (int64_t)MK_KEY_BLOCK * d, 4.0f);
    check_describe(c, "queries %d, d %d, panels %d from %d", n_q, d, n_panels, first);
    c->ref->k->attention_rows->scores(ref, q, q_stride, n_q, panels, d, first, n_panels);
    c->got->k->attention_rows->scores(got, q, q_stride, n_q, panels, d, first, n_panels);
    for (int64_t i = 0; i < n; i++) {
        int64_t m = i / MK_KEY_BLOCK, key = i % MK_KEY_BLOCK;
        const float *k = panels + key / MK_KEY_PANEL * d * MK_KEY_PANEL + key % MK_KEY_PANEL;
        double sum = 0.0;

        for (int32_t e = 0; e < d; e++)
            sum += fabs((double)q[m * q_stride + e] * k[(int64_t)e * MK_KEY_PANEL]);
        tolerance[i] = 2 * d * EPS * sum + TINY;
    }
    check_close(c, "scores", got, ref, tolerance, n);
}

static void check_softmax_step(struct check *c)
{
    float *ref = check_take(c, MK_KEY_BLOCK * 4, 64), *got = check_take(c, MK_KEY_BLOCK * 4, 64);
    float scale = 0.125f, state[2] = {-INFINITY, 0.0f}, ref_state[3], got_state[3];
    int32_t lo = check_range(c, 0, 2) ? 0 : check_range(c, 0, MK_KEY_BLOCK - 1);
    int32_t hi = check_range(c, 0, 2) ? MK_KEY_BLOCK : check_range(c, lo + 1, MK_KEY_BLOCK);
    double tolerance[MK_KEY_BLOCK], state_tolerance[3];

    check_fill(c, ref, MK_KEY_BLOCK, 200.0f);
    if (check_range(c, 0, 2)) {
        check_fill(c, &state[0], 1, 50.0f);
        state[1] = 3.0f;
    }
    for (int i = 0; i < MK_KEY_BLOCK; i++) /* masked lanes hold anything */
        ref[i] = i < lo || i >= hi ? NAN : ref[i];
    memcpy(got, ref, MK_KEY_BLOCK * 4);
    memcpy(ref_state, state, sizeof state);
    memcpy(got_state, state, sizeof state);
    check_describe(c, "keys %d to %d, max %g", lo, hi, state[0]);
    ref_state[2] =
        c->ref->k->attention_rows->softmax_step(ref, scale, lo, hi, &ref_state[0], &ref_state[1]);
    got_state[2] =
        c->got->k->attention_rows->softmax_step(got, scale, lo, hi, &got_state[0], &got_state[1]);
    /* Scores up to 25, the maximum up to 50: that is the exponent's rounding. */
    for (int i = 0; i < MK_KEY_BLOCK; i++)
        tolerance[i] = ref[i] == 0.0f ? TINY : (EXP_ERROR + 75 * EPS) * ref[i] + TINY;
    state_tolerance[0] = EPS * fabs(ref_state[0]);
    state_tolerance[1] = (EXP_ERROR + (75 + MK_KEY_BLOCK) * EPS) * ref_state[1];
    state_tolerance[2] = (EXP_ERROR + 75 * EPS) * ref_state[2] + TINY;
    check_close(c, "weights", got, ref, tolerance, MK_KEY_BLOCK);
    check_close(c, "max, sum, factor", got_state, ref_state, state_tolerance, 3);
}

static void check_values(struct check *c)
{
    int32_t d = check_size(c, 200), n_q = check_range(c, 1, 14);
    int32_t acc_stride = (d + 15) / 16 * 16, v_stride = d + check_range(c, 0, 9);
    int32_t n_keys = check_range(c, 1, MK_KEY_BLOCK);
    float *p = check_random(c, (int64_t)(n_q - 1) * MK_KEY_BLOCK + n_keys, 1.0f);
    float *v = check_random(c, (int64_t)(n_keys - 1) * v_stride + d, 3.0f);
    float *factor = check_random(c, n_q, 1.0f), *ref, *got;
    double *tolerance = check_doubles(c, (int64_t)n_q * acc_stride);

    check_pair(c, (int64_t)n_q * acc_stride, 10.0f, &ref, &got);
    for (int64_t i = 0; i < (int64_t)n_q * acc_stride; i++) {
        int64_t m = i / acc_stride, e = i % acc_stride;

        tolerance[i] = fabs((double)ref[i] * factor[m]);
        if (e >= d) { /* padding belongs to the function */
            tolerance[i] = INFINITY;
            continue;
        }
        for (int32_t j = 0; j < n_keys; j++)
            tolerance[i] += fabs((double)p[m * MK_KEY_BLOCK + j] * v[(int64_t)j * v_stride + e]);
        tolerance[i] = 2 * tolerance[i] * (n_keys + 1) * EPS + TINY;
    }
    check_describe(c, "queries %d, d %d, keys %d, stride %d", n_q, d, n_keys, v_stride);
    c->ref->k->attention_rows->values(ref, acc_stride, p, factor, n_q, v, v_stride, d, n_keys);
    c->got->k->attention_rows->values(got, acc_stride, p, factor, n_q, v, v_stride, d, n_keys);
    check_close(c, "acc", got, ref, tolerance, (int64_t)n_q * acc_stride);
}

/* ---- The whole ------------------------------------------------------------------------------- */

static struct attend_shape draw_shape(struct check *c)
{
    static const enum dtype types[] = {MK_F32, MK_BF16, MK_I8};
    struct attend_shape s = {.scale = 0.2f, .row_dtype = types[check_range(c, 0, 2)]};
    int32_t group = check_range(c, 1, 7);

    if (check_range(c, 0, 1)) { /* MLA: the values are the first part of the keys */
        s.n_kv_heads = 1;
        s.d_v = check_size(c, 70);
        s.d_k = s.d_v + 2 * check_range(c, 1, 9);
        s.row_dim = s.d_k;
    } else {
        s.n_kv_heads = check_range(c, 1, 4);
        s.d_k = check_size(c, 70);
        s.d_v = check_range(c, 0, 1) ? s.d_k : check_size(c, 70);
        s.k_stride = s.d_k;
        s.v_offset = s.n_kv_heads * s.d_k;
        s.v_stride = s.d_v;
        s.row_dim = s.n_kv_heads * (s.d_k + s.d_v);
    }
    s.n_heads = s.n_kv_heads * group;
    s.window = check_range(c, 0, 2) ? 0 : check_range(c, 1, 150);
    return s;
}

static void check_attend(struct check *c)
{
    struct attend_shape s = draw_shape(c);
    struct attend_seq ref[3], got[3];
    struct mk_error err;
    int32_t n_seqs = check_range(c, 1, 3);
    double tolerance;

    for (int32_t i = 0; i < n_seqs; i++) {
        int32_t n_rows = check_range(c, 0, 3) ? check_range(c, 1, 3) : check_range(c, 1, 80);
        int32_t position =
            check_range(c, 0, 3) ? check_range(c, 0, 200) : check_range(c, 500, 1200);
        int32_t n_keys = position + n_rows;
        int64_t n_out = (int64_t)n_rows * s.n_heads * s.d_v;
        float *x = check_random(c, (int64_t)n_keys * s.row_dim, 1.0f);
        void *rows = check_take(c, n_keys * kv_row_bytes(s.row_dtype, s.row_dim), 4);

        c->ref->k->store_rows(c->ref, s.row_dtype, rows, x, s.row_dim, n_keys, s.row_dim);
        ref[i] = (struct attend_seq){.q_stride = s.n_heads * s.d_k,
                                     .n_rows = n_rows,
                                     .position = position,
                                     .rows = rows,
                                     .out_stride = s.n_heads * s.d_v};
        ref[i].q = check_random(c, n_rows * ref[i].q_stride, 2.0f);
        got[i] = ref[i];
        ref[i].out = check_floats(c, n_out);
        got[i].out = check_floats(c, n_out);
    }
    check_describe(c, "heads %d/%d, d %d/%d, %s, window %d, %d sequences, rows %d at %d", s.n_heads,
                   s.n_kv_heads, s.d_k, s.d_v, dtype_info(s.row_dtype)->name, s.window, n_seqs,
                   ref[0].n_rows, ref[0].position);
    if (c->ref->k->attend(c->ref, &s, ref, n_seqs, &err) ||
        c->got->k->attend(c->got, &s, got, n_seqs, &err)) {
        check_same(c, err.text, "", "x", 1);
        return;
    }
    /* Values are at most 1 and the sum of |q k| * scale at most 2 d_k * 0.2. A score's error moves
     * the weights by as much, up and down; then come e^x and two sums over the keys. */
    tolerance = 2 * (EXP_ERROR + EPS * s.d_k * (2 * s.d_k * 0.2)) + EPS * 2 * MK_KEY_BLOCK;
    for (int32_t i = 0; i < n_seqs; i++) {
        int64_t n_out = (int64_t)ref[i].n_rows * s.n_heads * s.d_v;
        double *t = check_doubles(c, n_out);

        for (int64_t j = 0; j < n_out; j++)
            t[j] = tolerance;
        check_close(c, "out", got[i].out, ref[i].out, t, n_out);
    }
}

/* ---- Benchmarks ------------------------------------------------------------------------------ */

struct bench_attend {
    struct compute *c;
    struct attend_shape shape;
    struct attend_seq seq;
};

static void bench_call(void *context)
{
    struct bench_attend *b = context;
    struct mk_error err;

    b->c->k->attend(b->c, &b->shape, &b->seq, 1, &err);
}

static void bench_one(const struct bench *b, struct compute *c, struct attend_shape s,
                      int32_t n_rows, int32_t n_keys, const char *name)
{
    int64_t row_bytes = kv_row_bytes(s.row_dtype, s.row_dim);
    int64_t n_q = (int64_t)n_rows * s.n_heads * s.d_k, n_out = (int64_t)n_rows * s.n_heads * s.d_v;
    unsigned char *rows = calloc((size_t)n_keys, (size_t)row_bytes);
    float *q = calloc((size_t)n_q, sizeof *q), *out = calloc((size_t)n_out, sizeof *out);
    struct bench_attend a = {.c = c, .shape = s};
    double pairs = (double)n_rows * (n_keys - n_rows) + 0.5 * n_rows * (n_rows + 1.0), seconds;
    char label[80];

    a.seq = (struct attend_seq){.q = q,
                                .q_stride = s.n_heads * s.d_k,
                                .n_rows = n_rows,
                                .position = n_keys - n_rows,
                                .rows = rows,
                                .out = out,
                                .out_stride = s.n_heads * s.d_v};
    if (rows && q && out) {
        for (int64_t i = 0; i < n_keys * row_bytes; i++) /* small numbers in every format */
            rows[i] = (unsigned char)(i % 4 == 3 ? 0x3d : i % 61);
        for (int64_t i = 0; i < n_q; i++)
            q[i] = (float)(i % 13) / 13.0f - 0.5f;
        seconds = bench_seconds(bench_call, &a);
        snprintf(label, sizeof label, "%s %s, %d rows, %d keys", name,
                 dtype_info(s.row_dtype)->name, n_rows, n_keys);
        bench_report(b, label, seconds, pairs * s.n_heads * 2.0 * (s.d_k + s.d_v),
                     (double)n_keys * (double)row_bytes);
    }
    free(rows);
    free(q);
    free(out);
}

static void bench_attend(struct bench *b, struct compute *c)
{
    /* SmolLM2-135M; and the absorbed form of DeepSeek-V2-Lite and V3. */
    struct attend_shape gqa = {.n_heads = 9,
                               .n_kv_heads = 3,
                               .d_k = 64,
                               .d_v = 64,
                               .k_stride = 64,
                               .v_offset = 192,
                               .v_stride = 64,
                               .row_dim = 384,
                               .scale = 0.125f};
    struct attend_shape mla = {
        .n_heads = 16, .n_kv_heads = 1, .d_k = 576, .d_v = 512, .row_dim = 576, .scale = 0.07f};
    static const enum dtype types[] = {MK_F32, MK_BF16, MK_I8};

    for (int i = 0; i < 3; i++) {
        gqa.row_dtype = mla.row_dtype = types[i];
        mla.n_heads = 16;
        bench_one(b, c, gqa, 512, 512, "gqa 9/3 x 64");
        bench_one(b, c, gqa, 1, 2048, "gqa 9/3 x 64");
        bench_one(b, c, gqa, 1, 65536, "gqa 9/3 x 64");
        bench_one(b, c, mla, 64, 1024, "mla 16 x 576");
        bench_one(b, c, mla, 1, 16384, "mla 16 x 576");
        mla.n_heads = 128;
        bench_one(b, c, mla, 1, 4096, "mla 128 x 576");
    }
}

const struct check_op attention_checks[] = {
    {"pack_keys", check_pack_keys, 60, 400, NULL},       {"scores", check_scores, 60, 400, NULL},
    {"softmax_step", check_softmax_step, 90, 900, NULL}, {"values", check_values, 60, 400, NULL},
    {"attend", check_attend, 25, 250, bench_attend},     {0},
};
