/* distill_test.c: learning from teachers against PyTorch (tools/golden/distill.py), against finite
 * differences, and the file that keeps what teachers said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/golden_gradients.h"
#include "support/golden_trainable.h"
#include "train/teachers.h"

#define MODELS "tests/golden/models/"
#define BOUND 1e-5
#define MAX_TEXTS 4
#define MAX_IDS 64

/* ---- Against PyTorch ------------------------------------------------------------------------ */

struct golden {
    struct distill_options options;
    struct teachers_options teachers;
    char paths[TEACHERS_MAX][256];
    int n;
    int32_t ids[MAX_TEXTS][MAX_IDS], targets[MAX_TEXTS][MAX_IDS];
    struct train_seq seqs[MAX_TEXTS];
    int n_targets;
};

static void read_golden(FILE *in, struct golden *g)
{
    struct distill_options *o = &g->options;
    int kind, n_prompt;

    memset(g, 0, sizeof *g);
    assert_int_equal(fscanf(in, "options %d %lf %lf %lf %d %d %d", &kind, &o->divergence.beta,
                            &o->divergence.temperature, &o->weight, &g->teachers.top_k,
                            &g->teachers.n, &g->n), 7);
    o->divergence.kind = (enum divergence_kind)kind;
    g->teachers.temperature = o->divergence.temperature;
    for (int i = 0; i < g->teachers.n; i++) {
        char name[100];

        assert_int_equal(fscanf(in, " teacher %99s %lf", name, &g->teachers.weights[i]), 2);
        snprintf(g->paths[i], sizeof g->paths[i], MODELS "%s", name);
        g->teachers.paths[i] = g->paths[i];
    }
    assert_true(g->n <= MAX_TEXTS);
    for (int i = 0; i < g->n; i++) {
        struct train_seq *s = &g->seqs[i];

        assert_int_equal(fscanf(in, " text %d %d", &s->n_ids, &n_prompt), 2);
        assert_true(s->n_ids <= MAX_IDS);
        for (int k = 0; k < s->n_ids; k++)
            assert_int_equal(fscanf(in, "%d", &g->ids[i][k]), 1);
        for (int k = 0; k < s->n_ids; k++) {
            g->targets[i][k] = k + 1 >= n_prompt && k + 1 < s->n_ids ? g->ids[i][k + 1] : -1;
            g->n_targets += g->targets[i][k] >= 0;
        }
        s->ids = g->ids[i];
        s->targets = g->targets[i];
    }
}

static void expect(FILE *in, const char *what, double is, const char *path)
{
    double want;
    char name[32];

    assert_int_equal(fscanf(in, " %31s %lf", name, &want), 2);
    assert_string_equal(name, what);
    if (!(fabs(is - want) <= BOUND * fabs(want)))
        fail_msg("%s: %s is %.9g, PyTorch has %.9g", path, what, is, want);
}

/* In passes of so many texts each; cached: the rows come from a file. */
static void check_case(const char *student, const char *name, int n_texts, const char *cache)
{
    const struct model_options mo = {.mla = MK_MLA_EXPANDED};
    struct golden_trainable s;
    struct pass_result r = {0};
    struct arena rows;
    struct teachers teachers;
    struct mk_error err;
    struct golden g;
    char path[256];
    FILE *in;

    snprintf(path, sizeof path, MODELS "%s/expected/distill_%s.txt", student, name);
    in = fopen(path, "r");
    assert_non_null(in);
    read_golden(in, &g);
    golden_trainable_open(&s, student, &mo, 2);
    arena_init(&rows, (size_t)1 << 30);
    g.teachers.n_vocab = s.params.arch.n_vocab;
    g.teachers.mla = MK_MLA_EXPANDED;
    g.teachers.pass_tokens = 20;
    g.teachers.cache = cache;
    if (teachers_open(&teachers, &g.teachers, &s.compute, &err) ||
        teachers_grade(&teachers, g.seqs, g.n, &rows, &err))
        fail_msg("%s", err.text);
    g.options.n_vocab = teachers.n_vocab;
    struct pass_options o = {
        .scale = 1.0 / g.n_targets, .keep_bytes = 1 << 30, .distill = &g.options};
    golden_trainable_run(&s, g.seqs, g.n, n_texts, &o, &r);
    expect(in, "divergence", r.divergence / g.n_targets, path);
    expect(in, "loss", r.loss / g.n_targets, path);
    golden_gradients_read(in, &s.params, BOUND, path);
    fclose(in);
    teachers_release(&teachers);
    arena_release(&rows);
    golden_trainable_close(&s);
}

static void values_and_gradients_are_those_of_pytorch(void **state)
{
    (void)state;
    check_case("llama3", "forward", 3, NULL);
    check_case("llama3", "forward", 1, NULL); /* cut into passes */
    check_case("llama3", "reverse", 2, NULL);
    check_case("llama3", "generalised", 3, NULL);
    check_case("v3-noq", "experts", 2, NULL);
}

/* ---- Rows by themselves --------------------------------------------------------------------- */

enum { N = 7 };
static const float logits[N] = {0.5F, -1.25F, 2, 0, -3, 1.5F, 0.25F};

static double far(const struct divergence *d, const struct teacher_row *p, const double *z)
{
    double scratch[2 * N];
    float x[N];

    for (int i = 0; i < N; i++)
        x[i] = (float)z[i];
    return divergence_row(d, p, x, N, 0, NULL, scratch);
}

static void derivatives_are_those_of_finite_differences(void **state)
{
    static const int32_t ids[] = {5, 2, 0};
    static const float logp[] = {-0.6F, -1.4F, -2.5F};
    const struct teacher_row p = {ids, logp, 3, (float)log(1 - exp(-0.6) - exp(-1.4) - exp(-2.5))};

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        const struct divergence d = {(enum divergence_kind)kind, 0.3, 1.7};
        float gradient[N] = {0};
        double scratch[2 * N], sum = 0;

        assert_true(divergence_row(&d, &p, logits, N, 2, gradient, scratch) > 0);
        for (int i = 0; i < N; i++) {
            double up[N], down[N], slope, step = 1.0 / 256;

            for (int j = 0; j < N; j++)
                up[j] = down[j] = (double)logits[j];
            up[i] += step;
            down[i] -= step;
            slope = (far(&d, &p, up) - far(&d, &p, down)) / (2 * step);
            if (fabs(slope * 2 - (double)gradient[i]) > 1e-5)
                fail_msg("kind %d, logit %d: %.9g, by differences %.9g", kind, i,
                         (double)gradient[i], slope * 2);
            sum += (double)gradient[i];
        }
        assert_true(fabs(sum) < 1e-6); /* softmax does not change when all logits rise */
    }
}

static void a_student_that_is_its_teacher_has_nothing_to_learn(void **state)
{
    double sum = 0;
    float logp[N];

    (void)state;
    for (int i = 0; i < N; i++)
        sum += exp((double)logits[i] / 2);
    for (int i = 0; i < N; i++)
        logp[i] = (float)((double)logits[i] / 2 - log(sum));
    for (int kind = 0; kind < 3; kind++) {
        const struct divergence d = {(enum divergence_kind)kind, 0.5, 2};
        const struct teacher_row p = {NULL, logp, N, 0};
        float gradient[N] = {0};
        double scratch[2 * N];

        assert_true(fabs(divergence_row(&d, &p, logits, N, 1, gradient, scratch)) < 1e-6);
        for (int i = 0; i < N; i++)
            assert_true(fabs((double)gradient[i]) < 1e-6);
    }
}

/* A teacher that is sure and a student that is sure of something else. */
static void far_apart_stays_finite(void **state)
{
    static const float logp[N] = {0, -2000, -2000, -2000, -2000, -2000, -2000};
    static const float sure[N] = {-3000, 3000, 0, 0, 0, 0, 0};
    static const int32_t ids[] = {0};
    const struct teacher_row rows[] = {{NULL, logp, N, 0}, {ids, logp, 1, -2000}};

    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < 2; i++) {
            const struct divergence d = {(enum divergence_kind)kind, 0.5, 0.5};
            float gradient[N] = {0};
            double scratch[2 * N], value;

            value = divergence_row(&d, &rows[i], sure, N, 1, gradient, scratch);
            assert_true(isfinite(value) && value > 0.5);
            for (int j = 0; j < N; j++)
                assert_true(isfinite(gradient[j]));
        }
}

/* Their rows would say that every token is as good as impossible: nothing to learn, and no word. */
static void a_teacher_without_numbers_is_told(void **state)
{
    const int32_t ids[] = {1, 2, 3}, targets[] = {2, 3, -1};
    struct train_seq seq = {.ids = ids, .targets = targets, .n_ids = 3};
    struct teachers_options o = {.paths = {MODELS "llama3"},
                                 .weights = {1},
                                 .n = 1,
                                 .temperature = 1,
                                 .pass_tokens = 20,
                                 .n_vocab = 1 << 20,
                                 .mla = MK_MLA_EXPANDED};
    struct compute compute;
    struct teachers t;
    struct arena rows;
    struct mk_error err;
    float *norm;

    (void)state;
    arena_init(&rows, (size_t)1 << 30);
    if (compute_init(&compute, NULL, 2, &err) || teachers_open(&t, &o, &compute, &err) ||
        arena_take(&rows, &norm, (size_t)t.models[0].arch.d_model, sizeof *norm, &err))
        fail_msg("%s", err.text);
    for (int32_t i = 0; i < t.models[0].arch.d_model; i++)
        norm[i] = NAN;
    t.models[0].final_norm = norm;
    assert_int_equal(teachers_grade(&t, &seq, 1, &rows, &err), MK_EFORMAT);
    assert_non_null(strstr(err.text, "a probability is not a number"));
    teachers_release(&t);
    compute_release(&compute);
    arena_release(&rows);
}

/* ---- The file ------------------------------------------------------------------------------- */

static void teachers_that_were_asked_before_are_not_asked_again(void **state)
{
    char dir[] = "/tmp/minke-distill-XXXXXX", path[64];
    struct stat first, second;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/rows", dir);
    check_case("llama3", "reverse", 3, path); /* computes */
    assert_int_equal(stat(path, &first), 0);
    check_case("llama3", "reverse", 1, path); /* reads */
    assert_int_equal(stat(path, &second), 0);
    assert_true(first.st_size == second.st_size && first.st_size > 48);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(derivatives_are_those_of_finite_differences),
        cmocka_unit_test(a_student_that_is_its_teacher_has_nothing_to_learn),
        cmocka_unit_test(far_apart_stays_finite),
        cmocka_unit_test(a_teacher_without_numbers_is_told),
        cmocka_unit_test(teachers_that_were_asked_before_are_not_asked_again)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
