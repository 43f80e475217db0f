/* reward_test.c: a reward model's loss against PyTorch (tools/golden/reward.py), and what it is
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

#include "formats/model_file.h"
#include "support/golden_gradients.h"
#include "support/golden_trainable.h"
#include "train/reward.h"

#define MODELS "tests/golden/models/"
#define BOUND 1e-5
#define MAX_PAIRS 4
#define MAX_IDS 64

/* ---- Against PyTorch ------------------------------------------------------------------------ */

struct pairs {
    struct reward_options options;
    int n;
    int32_t ids[2 * MAX_PAIRS][MAX_IDS], targets[MAX_IDS];
    struct seq_score scores[2 * MAX_PAIRS];
    struct train_seq seqs[2 * MAX_PAIRS];
    struct batch_origin origins[2 * MAX_PAIRS];
    double want[2 * MAX_PAIRS]; /* PyTorch's scores */
    struct batch batch;
};

/* Sequence i: the prompt and one answer, scored at its end. Behind it stands something that must
 * not count, as a template may have it. */
static void make_sequence(struct pairs *p, int i, const int32_t *prompt, int n_prompt,
                          const int32_t *answer, int n_answer)
{
    int n = n_prompt + n_answer;

    memcpy(p->ids[i], prompt, (size_t)n_prompt * sizeof *prompt);
    memcpy(p->ids[i] + n_prompt, answer, (size_t)n_answer * sizeof *answer);
    p->ids[i][n] = 1;
    p->scores[i] = (struct seq_score){.at = n - 1};
    p->seqs[i] = (struct train_seq){
        .ids = p->ids[i], .targets = p->targets, .n_ids = n + 1, .score = &p->scores[i]};
}

static void read_pair(FILE *in, struct pairs *p, int pair)
{
    int n[3];
    int32_t ids[3 * MAX_IDS];

    assert_int_equal(fscanf(in, " pair %d %d %d", &n[0], &n[1], &n[2]), 3);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fscanf(in, "%lf", &p->want[2 * pair + i]), 1);
    for (int i = 0; i < n[0] + n[1] + n[2]; i++)
        assert_int_equal(fscanf(in, "%d", &ids[i]), 1);
    make_sequence(p, 2 * pair, ids, n[0], ids + n[0], n[1]);
    make_sequence(p, 2 * pair + 1, ids, n[0], ids + n[0] + n[1], n[2]);
}

static void read_pairs(FILE *in, struct pairs *p, float *head, int64_t n_head)
{
    int n;

    memset(p, 0, sizeof *p);
    assert_int_equal(fscanf(in, "options %lf %d head %d", &p->options.centre, &p->n, &n), 3);
    assert_true(p->n <= MAX_PAIRS && n == n_head);
    for (int i = 0; i < n; i++)
        assert_int_equal(fscanf(in, "%f", &head[i]), 1);
    for (int i = 0; i < p->n; i++)
        read_pair(in, p, i);
    p->batch = (struct batch){
        .seqs = p->seqs, .origins = p->origins, .n_seqs = 2 * p->n, .pairs = true};
}

/* With a head for scores, whose weights are still to come: not packed. */
static void open_model(struct golden_trainable *g, const char *name)
{
    struct model_file file;
    struct mk_error err;
    char path[256];

    *g = (struct golden_trainable){0};
    snprintf(path, sizeof path, MODELS "%s", name);
    if (model_file_open(&file, path, &err) || params_read(&g->params, &file, false, &err) ||
        reward_add_head(&g->params, &err) || compute_init(&g->compute, NULL, 2, &err))
        fail_msg("%s", err.text);
    model_file_release(&file);
    if (params_get(&g->params, W_HEAD, 0, 0))
        params_get(&g->params, W_HEAD, 0, 0)->frozen = true;
    if (params_take_gradients(&g->params, &err))
        fail_msg("%s", err.text);
    arena_init(&g->memory, (size_t)1 << 30);
}

static void check_scores(const struct pairs *p, const char *path)
{
    for (int i = 0; i < 2 * p->n; i++)
        if (fabs(p->scores[i].value - p->want[i]) > BOUND * (1 + fabs(p->want[i])))
            fail_msg("%s: answer %d scores %.9g, PyTorch %.9g", path, i, p->scores[i].value,
                     p->want[i]);
}

/* In passes of n_pairs each. */
static void check_model(const char *name, int n_pairs)
{
    const struct model_options mo = {.mla = MK_MLA_EXPANDED};
    struct golden_trainable g;
    struct pass_result r = {0};
    struct dpo_sums sums = {0};
    struct mk_error err;
    struct pairs p;
    char path[256];
    double want;
    FILE *in;

    open_model(&g, name);
    snprintf(path, sizeof path, MODELS "%s/expected/reward.txt", name);
    in = fopen(path, "r");
    assert_non_null(in);
    read_pairs(in, &p, params_get(&g.params, W_SCORE, 0, 0)->w, g.params.arch.d_model);
    if (params_pack(&g.params, &g.model, &mo, &err))
        fail_msg("%s", err.text);
    struct reward_pass reward = {&p.options, &p.batch, &sums};
    struct pass_options o = {.scale = 1.0 / p.n,
                             .keep_bytes = 1 << 30,
                             .score = true,
                             .trunk_only = true,
                             .weigh = reward_weigh,
                             .weigh_user = &reward};
    golden_trainable_run(&g, p.seqs, 2 * p.n, 2 * n_pairs, &o, &r);
    check_scores(&p, path);
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

static struct dpo_sums weigh(double centre, double chosen, double rejected,
                             struct seq_score scores[2])
{
    const struct reward_options o = {true, centre};
    struct train_seq seqs[2] = {{.score = &scores[0]}, {.score = &scores[1]}};
    struct batch_origin origins[2] = {{0}};
    struct batch b = {.seqs = seqs, .origins = origins, .n_seqs = 2, .pairs = true};
    struct dpo_sums sums = {0};
    struct reward_pass r = {&o, &b, &sums};

    scores[0] = (struct seq_score){.value = chosen};
    scores[1] = (struct seq_score){.value = rejected};
    reward_weigh(&r, seqs, 2);
    return sums;
}

static void a_head_that_says_nothing_loses_ln_2(void **state)
{
    struct seq_score scores[2];
    struct dpo_sums s = weigh(0, 0, 0, scores);

    (void)state;
    assert_true(s.margin == 0 && s.n_right == 0 && s.n_pairs == 1);
    assert_true(fabs(s.loss - log(2)) < 1e-12);
    assert_true(fabs(scores[0].pull + 0.5) < 1e-12 && fabs(scores[1].pull - 0.5) < 1e-12);
}

static void scores_far_apart_stay_finite_and_pull_when_wrong(void **state)
{
    struct seq_score scores[2];
    struct dpo_sums s = weigh(0, 1000, -1000, scores);

    (void)state;
    assert_true(s.loss == 0 && s.n_right == 1 && scores[0].pull == 0);
    s = weigh(0, -1000, 1000, scores);
    assert_true(s.loss == 2000 && s.n_right == 0);
    assert_true(scores[0].pull == -1 && scores[1].pull == 1);
}

/* d/dc of 0.5 (c + r)^2 at 3 and 1 is 4, for both. */
static void the_centre_pulls_both_scores_down(void **state)
{
    struct seq_score with[2], without[2];
    struct dpo_sums a = weigh(0.5, 3, 1, with), b = weigh(0, 3, 1, without);

    (void)state;
    assert_true(fabs(a.loss - b.loss - 8) < 1e-12);
    assert_true(fabs(with[0].pull - without[0].pull - 4) < 1e-12);
    assert_true(fabs(with[1].pull - without[1].pull - 4) < 1e-12);
}

static void a_model_without_a_head_is_refused(void **state)
{
    const struct model_options mo = {.mla = MK_MLA_EXPANDED};
    struct pass_options o = {.forward_only = true, .score = true};
    struct pass_result r = {0};
    struct golden_trainable g;
    struct mk_error err = {0};
    int32_t ids[1] = {3}, targets[1] = {-1};
    struct seq_score score = {0};
    struct train_seq seq = {.ids = ids, .targets = targets, .n_ids = 1, .score = &score};

    (void)state;
    golden_trainable_open(&g, "llama3", &mo, 1);
    assert_int_equal(pass_run(&g.model, &g.params, &g.compute, &g.memory, &seq, 1, &o, &r, &err),
                     MK_EINVAL);
    assert_non_null(strstr(err.text, "score.weight"));
    golden_trainable_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(a_head_that_says_nothing_loses_ln_2),
        cmocka_unit_test(scores_far_apart_stay_finite_and_pull_when_wrong),
        cmocka_unit_test(the_centre_pulls_both_scores_down),
        cmocka_unit_test(a_model_without_a_head_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
