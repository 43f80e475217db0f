/* sampler_test.c: the sampler against a slow reference that sorts, against transformers, and
 * against the probabilities it promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "generate/sampler.h"

#define MAX_V 400

static const struct past no_past = {0};

static double uniform(uint64_t stream, uint64_t i)
{
    return rng_uniform(4711, stream, i);
}

/* ---- The reference: doubles and a full sort -------------------------------------------------- */

struct ranked {
    double x, weight;
    int32_t id;
};

static int by_logit(const void *a, const void *b)
{
    const struct ranked *p = a, *q = b;

    return p->x != q->x ? (p->x < q->x) - (p->x > q->x) : (p->id > q->id) - (p->id < q->id);
}

static int by_id(const void *a, const void *b)
{
    return ((const struct ranked *)a)->id - ((const struct ranked *)b)->id;
}

/* Sorts r [n] and returns how many stay; they are then in ascending order of id. */
static int32_t reference_keep(struct ranked *r, int32_t n, const struct mk_sampling *o)
{
    double sum = 0, before = 0, max;
    int32_t kept = 0;

    qsort(r, (size_t)n, sizeof *r, by_logit);
    max = r[0].x;
    if (o->top_k > 0 && o->top_k < n)
        n = o->top_k;
    for (int32_t i = 0; i < n; i++)
        sum += r[i].weight = exp((r[i].x - max) / (double)o->temperature);
    if (o->top_p < 1) {
        for (; kept < n && (kept == 0 || before < (double)o->top_p * sum); kept++)
            before += r[kept].weight;
        n = kept;
    }
    for (kept = 0; kept < n && r[kept].weight >= (double)o->min_p;)
        kept++;
    qsort(r, (size_t)kept, sizeof *r, by_id);
    return kept;
}

static int32_t reference_draw(const struct ranked *r, int32_t n, double u)
{
    double sum = 0, passed = 0;

    for (int32_t i = 0; i < n; i++)
        sum += r[i].weight;
    for (int32_t i = 0; i < n; i++)
        if ((passed += r[i].weight) > u * sum)
            return r[i].id;
    return -1;
}

static double reference_entropy(const struct ranked *r, int32_t n)
{
    double sum = 0, entropy = 0;

    for (int32_t i = 0; i < n; i++)
        sum += r[i].weight;
    for (int32_t i = 0; i < n; i++)
        entropy -= r[i].weight > 0 ? r[i].weight / sum * log(r[i].weight / sum) : 0;
    return entropy;
}

/* A row of one of six shapes: spread, narrow, full of ties, with ruled-out tokens, huge, peaked. */
static void make_row(float *x, int32_t v, uint64_t row)
{
    for (int32_t i = 0; i < v; i++) {
        double u = uniform(row, (uint64_t)i);

        switch (row % 6) {
        case 0: x[i] = (float)(30 * u - 20); break;
        case 1: x[i] = (float)(0.01 * u); break;
        case 2: x[i] = (float)floor(8 * u) - 4; break;
        case 3: x[i] = u < 0.5 && i > 0 ? -INFINITY : (float)(5 * u); break;
        case 4: x[i] = (float)((u - 0.5) * 6e38); break;
        default: x[i] = i == v / 2 ? 12.0f : (float)u; break;
        }
    }
}

static struct mk_sampling make_options(uint64_t row)
{
    struct mk_sampling o = {.repetition_penalty = 1, .seed = row};

    o.temperature = (float)exp(6 * uniform(row, 1001) - 4);
    o.top_k = uniform(row, 1002) < 0.5 ? 0 : (int32_t)(60 * uniform(row, 1003));
    o.top_p = uniform(row, 1004) < 0.3 ? 1.0f : (float)uniform(row, 1005);
    o.min_p = uniform(row, 1006) < 0.5 ? 0.0f : (float)(0.5 * uniform(row, 1007));
    return o;
}

static void keeps_and_draws_what_sorting_would(void **state)
{
    struct sampler s;
    struct mk_error err;
    struct ranked r[MAX_V];
    float x[MAX_V];

    (void)state;
    for (uint64_t row = 0; row < 4000; row++) {
        int32_t v = 1 + (int32_t)(uniform(row, 1000) * (MAX_V - 1)), n, id;
        struct mk_sampling o = make_options(row);

        make_row(x, v, row);
        for (int32_t i = 0; i < v; i++)
            r[i] = (struct ranked){.x = (double)x[i], .id = i};
        n = reference_keep(r, v, &o);
        assert_int_equal(sampler_init(&s, v, &err), 0);
        assert_int_equal(sampler_choose(&s, x, &no_past, &o, 5, row, &id, &err), 0);
        if (s.kept.n != n)
            fail_msg("row %d: %d kept, sorting keeps %d", (int)row, s.kept.n, n);
        for (int32_t i = 0; i < n; i++)
            assert_int_equal(s.kept.ids[i], r[i].id);
        assert_int_equal(id, reference_draw(r, n, rng_uniform(o.seed, 5, row)));
        assert_true(fabs(filters_entropy(&s.kept) - reference_entropy(r, n)) < 1e-5);
        sampler_release(&s);
    }
}

/* ---- transformers ---------------------------------------------------------------------------- */

static float number(const json_t *object, const char *key)
{
    return (float)json_number_value(json_object_get(object, key));
}

static void check_case(const json_t *c)
{
    const json_t *logits = json_object_get(c, "logits"), *kept = json_object_get(c, "kept");
    const json_t *penalised = json_object_get(c, "penalised"), *seen = json_object_get(c, "past");
    int32_t v = (int32_t)json_array_size(logits), ids[64], counts[64] = {0}, id;
    struct mk_sampling o = {.temperature = number(c, "temperature"),
                            .top_k = (int32_t)number(c, "top_k"),
                            .top_p = number(c, "top_p"),
                            .min_p = number(c, "min_p"),
                            .repetition_penalty = number(c, "repetition_penalty")};
    struct past past = {.ids = ids, .n_ids = (int32_t)json_array_size(seen)};
    struct sampler s;
    struct mk_error err;
    float x[64], y[64];

    assert_true(v > 0 && v <= 64 && past.n_ids <= 64);
    for (int32_t i = 0; i < v; i++)
        x[i] = y[i] = (float)json_number_value(json_array_get(logits, (size_t)i));
    for (int32_t i = 0; i < past.n_ids; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(seen, (size_t)i));
    assert_int_equal(penalties_apply(y, v, counts, &past, &o, &err), 0);
    for (int32_t i = 0; i < v; i++)
        assert_true(y[i] == (float)json_number_value(json_array_get(penalised, (size_t)i)));
    assert_int_equal(sampler_init(&s, v, &err), 0);
    assert_int_equal(sampler_choose(&s, x, &past, &o, 0, 0, &id, &err), 0);
    assert_int_equal(s.kept.n, json_array_size(kept));
    for (int32_t i = 0; i < s.kept.n; i++)
        assert_int_equal(s.kept.ids[i], json_integer_value(json_array_get(kept, (size_t)i)));
    sampler_release(&s);
}

static void penalises_and_keeps_what_transformers_does(void **state)
{
    json_error_t problem;
    json_t *cases = json_load_file("tests/golden/sampling/cases.json", 0, &problem);

    (void)state;
    assert_non_null(cases);
    assert_int_equal(json_array_size(cases), 32);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(json_array_get(cases, i));
    json_decref(cases);
}

/* ---- The promises of the header -------------------------------------------------------------- */

/* 12 tokens, 40,000 draws. Chi-square with n - 1 degrees of freedom stays below the bound with
 * probability 0.9999 when the draws follow the probabilities (n = 12: 37.4; n = 5: 23.5). */
static double chi_square(const struct mk_sampling *o, const float *x, int32_t v, int32_t *n_kept)
{
    enum { DRAWS = 40000 };
    int32_t times[16] = {0}, id;
    double sum = 0, chi = 0;
    struct sampler s;
    struct mk_error err;

    assert_int_equal(sampler_init(&s, v, &err), 0);
    for (uint64_t i = 0; i < DRAWS; i++) {
        assert_int_equal(sampler_choose(&s, x, &no_past, o, 0, i, &id, &err), 0);
        times[id]++;
    }
    for (int32_t i = 0; i < s.kept.n; i++)
        sum += s.kept.weights[i];
    for (int32_t i = 0; i < s.kept.n; i++) {
        double expected = DRAWS * s.kept.weights[i] / sum;
        double off = times[s.kept.ids[i]] - expected;

        chi += off * off / expected;
        times[s.kept.ids[i]] = 0;
    }
    for (int32_t i = 0; i < v; i++)
        assert_int_equal(times[i], 0); /* nothing that was filtered out */
    *n_kept = s.kept.n;
    sampler_release(&s);
    return chi;
}

static void draws_follow_the_probabilities(void **state)
{
    const float x[12] = {0, 1, -1, 2, 0.5f, -2, 1.5f, 0, 0, -0.5f, 0.25f, 1};
    struct mk_sampling o = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 99};
    int32_t n;

    (void)state;
    assert_true(chi_square(&o, x, 12, &n) < 37.4);
    assert_int_equal(n, 12);
    o.temperature = 0.5f;
    o.top_k = 5;
    assert_true(chi_square(&o, x, 12, &n) < 23.5);
    assert_int_equal(n, 5);
}

static void same_key_same_token_whatever_was_drawn_before(void **state)
{
    float x[64], other[64];
    struct mk_sampling o = {
        .temperature = 1, .top_p = 0.95f, .repetition_penalty = 1.2f, .seed = 7};
    const int32_t ids[] = {3, 3, 60};
    struct past past = {.ids = ids, .n_ids = 3};
    struct sampler a, b;
    struct mk_error err;
    int32_t first[50], id, changes = 0;

    (void)state;
    make_row(x, 64, 2);
    make_row(other, 64, 5);
    assert_int_equal(sampler_init(&a, 64, &err), 0);
    assert_int_equal(sampler_init(&b, 64, &err), 0);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(sampler_choose(&a, x, &past, &o, 1, i, &first[i], &err), 0);
    for (uint64_t i = 50; i-- > 0;) {
        assert_int_equal(sampler_choose(&b, other, &no_past, &o, 2, i, &id, &err), 0);
        assert_int_equal(sampler_choose(&b, x, &past, &o, 1, i, &id, &err), 0);
        assert_int_equal(id, first[i]);
        assert_int_equal(sampler_choose(&b, x, &past, &o, 2, i, &id, &err), 0);
        changes += id != first[i];
    }
    assert_true(changes > 25); /* another sequence draws other numbers */
    sampler_release(&a);
    sampler_release(&b);
}

static int32_t choose(const float *x, int32_t v, const struct mk_sampling *o)
{
    struct sampler s;
    struct mk_error err;
    int32_t id = -1;

    assert_int_equal(sampler_init(&s, v, &err), 0);
    assert_int_equal(sampler_choose(&s, x, &no_past, o, 0, 0, &id, &err), 0);
    sampler_release(&s);
    return id;
}

static void temperature_0_takes_the_lowest_id_among_the_largest(void **state)
{
    const float x[] = {1, -0.0f, 3, 3, -INFINITY, 3}, zeros[] = {-0.0f, 0.0f, -0.0f};
    struct mk_sampling o = {.top_p = 1, .repetition_penalty = 1};

    (void)state;
    assert_int_equal(choose(x, 6, &o), 2);
    assert_int_equal(choose(zeros, 3, &o), 0);
}

static void extreme_options_keep_the_best_token(void **state)
{
    const float x[] = {-3e38f, 1.0f, 3e38f, 2.9e38f, -INFINITY};
    const struct mk_sampling options[] = {
        {.temperature = 1e-6f, .top_p = 1, .repetition_penalty = 1},
        {.temperature = 1e-45f, .top_p = 1, .repetition_penalty = 1},
        {.temperature = 100, .top_p = 0, .repetition_penalty = 1},
        {.temperature = 100, .top_p = 1, .min_p = 1, .repetition_penalty = 1},
        {.temperature = 100, .top_p = 1, .top_k = 1, .repetition_penalty = 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        assert_int_equal(choose(x, 5, &options[i]), 2);
}

static void equal_logits_are_cut_by_id(void **state)
{
    const float x[] = {0, 0, 0, 0, 0, 0, 0, 0};
    struct mk_sampling o = {.temperature = 1, .top_p = 1, .top_k = 3, .repetition_penalty = 1};
    struct sampler s;
    struct mk_error err;
    int32_t id;

    (void)state;
    assert_int_equal(sampler_init(&s, 8, &err), 0);
    assert_int_equal(sampler_choose(&s, x, &no_past, &o, 0, 0, &id, &err), 0);
    assert_int_equal(s.kept.n, 3);
    assert_int_equal(s.kept.ids[2], 2);
    o.top_k = 0;
    o.top_p = 0.5f;
    assert_int_equal(sampler_choose(&s, x, &no_past, &o, 0, 0, &id, &err), 0);
    assert_int_equal(s.kept.n, 4);
    assert_int_equal(s.kept.ids[3], 3);
    o.top_p = 1;
    o.min_p = 1;
    assert_int_equal(sampler_choose(&s, x, &no_past, &o, 0, 0, &id, &err), 0);
    assert_int_equal(s.kept.n, 8);
    sampler_release(&s);
}

static void an_infinite_logit_takes_all(void **state)
{
    const float x[] = {3e38f, INFINITY, 1, INFINITY};
    struct mk_sampling o = {.temperature = 1, .top_p = 0.4f, .repetition_penalty = 1};
    struct sampler s;
    struct mk_error err;
    int32_t id;

    (void)state;
    assert_int_equal(choose(x, 4, &o), 1);
    o.top_p = 1;
    assert_int_equal(sampler_init(&s, 4, &err), 0);
    assert_int_equal(sampler_choose(&s, x, &no_past, &o, 0, 0, &id, &err), 0);
    assert_true(fabs(filters_entropy(&s.kept) - log(2)) < 1e-6); /* two alike */
    sampler_release(&s);
}

static void refuses_nan_and_rows_without_a_token(void **state)
{
    float x[] = {1, NAN, 2}, none[] = {-INFINITY, -INFINITY, -INFINITY};
    struct mk_sampling o = {.top_p = 1, .repetition_penalty = 1};
    struct sampler s;
    struct mk_error err;
    int32_t id;

    (void)state;
    assert_int_equal(sampler_init(&s, 3, &err), 0);
    for (int i = 0; i < 2; i++) {
        o.temperature = (float)i;
        assert_int_equal(sampler_choose(&s, x, &no_past, &o, 0, 0, &id, &err), MK_EFORMAT);
        assert_non_null(strstr(err.text, "token 1"));
        assert_int_equal(sampler_choose(&s, none, &no_past, &o, 0, 0, &id, &err), MK_EINVAL);
    }
    sampler_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_and_draws_what_sorting_would),
        cmocka_unit_test(penalises_and_keeps_what_transformers_does),
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(same_key_same_token_whatever_was_drawn_before),
        cmocka_unit_test(temperature_0_takes_the_lowest_id_among_the_largest),
        cmocka_unit_test(extreme_options_keep_the_best_token),
        cmocka_unit_test(equal_logits_are_cut_by_id),
        cmocka_unit_test(an_infinite_logit_takes_all),
        cmocka_unit_test(refuses_nan_and_rows_without_a_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
