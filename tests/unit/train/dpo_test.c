/* dpo_test.c: preference optimisation against PyTorch (tools/golden/dpo.py), and what its loss is
 * where it can be worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/reference_file.h"
#include "support/golden_gradients.h"
#include "support/golden_trainable.h"
#include "train/trainer.h"

#define MODELS "tests/golden/models/"
#define BOUND 1e-5
#define MAX_PAIRS 4
#define MAX_IDS 64

/* ---- Against PyTorch ------------------------------------------------------------------------ */

struct pairs {
    struct dpo_options options;
    int n;
    int32_t ids[2 * MAX_PAIRS][MAX_IDS], targets[2 * MAX_PAIRS][MAX_IDS];
    float loss[2 * MAX_PAIRS][MAX_IDS], weight[2 * MAX_PAIRS][MAX_IDS];
    struct train_seq seqs[2 * MAX_PAIRS];
    struct batch_origin origins[2 * MAX_PAIRS];
    double log_p[2 * MAX_PAIRS]; /* PyTorch's */
    struct batch batch;
};

/* Sequence i: the prompt and one answer, whose tokens are the targets. */
static void make_sequence(struct pairs *p, int i, const int32_t *prompt, int n_prompt,
                          const int32_t *answer, int n_answer)
{
    int n = n_prompt + n_answer;

    memcpy(p->ids[i], prompt, (size_t)n_prompt * sizeof *prompt);
    memcpy(p->ids[i] + n_prompt, answer, (size_t)n_answer * sizeof *answer);
    for (int k = 0; k < n; k++)
        p->targets[i][k] = k + 1 >= n_prompt && k + 1 < n ? p->ids[i][k + 1] : -1;
    p->origins[i].n_targets = n_answer;
    p->origins[i].weight = p->weight[i];
    p->seqs[i] = (struct train_seq){.ids = p->ids[i],
                                    .targets = p->targets[i],
                                    .weight = p->weight[i],
                                    .loss = p->loss[i],
                                    .n_ids = n};
}

static void read_pair(FILE *in, struct pairs *p, int pair)
{
    int n[3];
    int32_t ids[3 * MAX_IDS];

    assert_int_equal(fscanf(in, " pair %d %d %d", &n[0], &n[1], &n[2]), 3);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fscanf(in, "%lf", &p->origins[2 * pair + i].reference), 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fscanf(in, "%lf", &p->log_p[2 * pair + i]), 1);
    for (int i = 0; i < n[0] + n[1] + n[2]; i++)
        assert_int_equal(fscanf(in, "%d", &ids[i]), 1);
    make_sequence(p, 2 * pair, ids, n[0], ids + n[0], n[1]);
    make_sequence(p, 2 * pair + 1, ids, n[0], ids + n[0] + n[1], n[2]);
}

static void read_pairs(FILE *in, struct pairs *p)
{
    struct dpo_options *o = &p->options;

    memset(p, 0, sizeof *p);
    assert_int_equal(fscanf(in, "options %lf %lf %lf %d", &o->beta, &o->label_smoothing, &o->sft,
                            &p->n), 4);
    assert_true(p->n <= MAX_PAIRS);
    for (int i = 0; i < p->n; i++)
        read_pair(in, p, i);
    p->batch = (struct batch){
        .seqs = p->seqs, .origins = p->origins, .n_seqs = 2 * p->n, .pairs = true};
}

/* In passes of n_pairs each. */
static void check_model(const char *name, int n_pairs)
{
    const struct model_options mo = {.mla = MK_MLA_EXPANDED};
    struct golden_trainable g;
    struct pass_result r = {0};
    struct dpo_sums sums = {0};
    struct pairs p;
    char path[256];
    double want;
    FILE *in;

    golden_trainable_open(&g, name, &mo, 2);
    snprintf(path, sizeof path, MODELS "%s/expected/dpo.txt", name);
    in = fopen(path, "r");
    assert_non_null(in);
    read_pairs(in, &p);
    struct dpo_pass dpo = {&p.options, &p.batch, &sums};
    struct pass_options o = {
        .scale = 1.0 / p.n, .keep_bytes = 1 << 30, .weigh = dpo_weigh, .weigh_user = &dpo};
    golden_trainable_run(&g, p.seqs, 2 * p.n, 2 * n_pairs, &o, &r);
    for (int i = 0; i < 2 * p.n; i++)
        if (fabs(dpo_log_probability(&p.seqs[i]) - p.log_p[i]) > BOUND * fabs(p.log_p[i]))
            fail_msg("%s: answer %d has log-probability %.9g, PyTorch %.9g", path, i,
                     dpo_log_probability(&p.seqs[i]), p.log_p[i]);
    assert_int_equal(fscanf(in, " loss %lf", &want), 1);
    if (fabs(sums.loss / p.n - want) > BOUND * want)
        fail_msg("%s: loss is %.9g, PyTorch has %.9g", path, sums.loss / p.n, want);
    golden_gradients_read(in, &g.params, BOUND, path);
    fclose(in);
    golden_trainable_close(&g);
}

static void values_and_gradients_are_those_of_pytorch(void **state)
{
    (void)state;
    check_model("llama3", 3);
    check_model("llama3", 1); /* cut into passes */
    check_model("v3-noq", 2);
}

/* ---- By hand -------------------------------------------------------------------------------- */

/* One pair whose answers have one token each, with these log-probabilities under model and
 * reference. */
static struct dpo_sums weigh(const struct dpo_options *o, const double log_p[2],
                             const double log_r[2], float weight[2])
{
    static const int32_t ids[1] = {0};
    float loss[2] = {(float)-log_p[0], (float)-log_p[1]};
    struct train_seq seqs[2];
    struct batch_origin origins[2];
    struct batch b = {.seqs = seqs, .origins = origins, .n_seqs = 2, .pairs = true};
    struct dpo_sums sums = {0};
    struct dpo_pass d = {o, &b, &sums};

    for (int i = 0; i < 2; i++) {
        seqs[i] = (struct train_seq){.ids = ids, .loss = &loss[i], .n_ids = 1};
        origins[i] = (struct batch_origin){
            .n_targets = 1, .reference = log_r[i], .weight = &weight[i]};
    }
    dpo_weigh(&d, seqs, 2);
    return sums;
}

static void a_model_that_is_its_reference_loses_ln_2(void **state)
{
    const struct dpo_options o = {.beta = 0.1};
    const double log_p[] = {-3, -5};
    float weight[2];
    struct dpo_sums s = weigh(&o, log_p, log_p, weight);

    (void)state;
    assert_true(s.margin == 0 && s.n_right == 0 && s.n_pairs == 1);
    assert_true(fabs(s.loss - log(2)) < 1e-12);
    assert_true(weight[0] == 0.05f && weight[1] == -0.05f); /* beta sigmoid(0) */
    assert_true(s.chosen == -3 && s.rejected == -5);
}

static void smoothing_and_the_sft_term_are_added(void **state)
{
    const struct dpo_options o = {.beta = 2, .label_smoothing = 0.25, .sft = 3};
    const double log_p[] = {-1, -2}, log_r[] = {-2, -2.5};
    double z = 2 * (1 - 0.5), up = 1 / (1 + exp(-z));
    float weight[2];
    struct dpo_sums s = weigh(&o, log_p, log_r, weight);

    (void)state;
    assert_true(s.n_right == 1 && fabs(s.margin - z) < 1e-12);
    assert_true(fabs(s.loss - (-0.75 * log(up) - 0.25 * log(1 - up) + 3)) < 1e-6);
    assert_true(fabs((double)weight[1] + 2 * (0.75 * (1 - up) - 0.25 * up)) < 1e-6);
    assert_true(fabs((double)(weight[0] + weight[1]) - 3) < 1e-6);
}

/* Margins at which exp() would overflow. */
static void far_margins_stay_finite(void **state)
{
    const struct dpo_options o = {.beta = 100};
    const double near[] = {-1, -1}, far[] = {-1, -1000};
    float weight[2];

    (void)state;
    assert_true(weigh(&o, far, near, weight).loss == 0);
    assert_true(weight[0] == 0);
    assert_true(fabs(weigh(&o, near, far, weight).loss - 99900) < 1e-3);
    assert_true(weight[0] == 100 && weight[1] == -100);
}

/* ---- The file ------------------------------------------------------------------------------- */

static void a_reference_comes_back_or_not_at_all(void **state)
{
    const double values[] = {-1.5, -2, -3, -1e-9};
    struct reference_key key = {{1}, {2}}, other = {{1}, {3}}, others_data = {{2}, {2}};
    unsigned char bytes[256];
    struct mk_error err = {0};
    double got[4];
    char path[64];
    size_t n;
    FILE *f;

    (void)state;
    snprintf(path, sizeof path, "/tmp/minke-reference-%ld", (long)getpid());
    assert_int_equal(reference_file_write(path, &key, values, 4, &err), 0);
    assert_int_equal(reference_file_read(path, &key, true, got, 4, &err), 0);
    assert_memory_equal(got, values, sizeof values);
    assert_int_equal(reference_file_read(path, &other, true, got, 4, &err), MK_EUNSUPPORTED);
    assert_int_equal(reference_file_read(path, &other, false, got, 4, &err), 0);
    assert_int_equal(reference_file_read(path, &others_data, false, got, 4, &err),
                     MK_EUNSUPPORTED);
    assert_int_equal(reference_file_read(path, &key, true, got, 2, &err), MK_EFORMAT);
    f = fopen(path, "rb");
    assert_non_null(f);
    n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_int_equal(n, 88 + 32 + 32);
    for (size_t i = 0; i < n; i++) {
        assert_int_not_equal(reference_parse(bytes, i, "x", &key, true, got, 4, &err), 0);
        bytes[i] ^= 0x10;
        assert_int_not_equal(reference_parse(bytes, n, "x", &key, true, got, 4, &err), 0);
        bytes[i] ^= 0x10;
    }
    unlink(path);
    assert_int_equal(reference_file_read(path, &key, true, got, 4, &err), MK_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(a_model_that_is_its_reference_loses_ln_2),
        cmocka_unit_test(smoothing_and_the_sft_term_are_added),
        cmocka_unit_test(far_margins_stay_finite),
        cmocka_unit_test(a_reference_comes_back_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
