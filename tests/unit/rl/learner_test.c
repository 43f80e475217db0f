/* learner_test.c: the sampler's log-probabilities are the trainer's, and one bit of one of them
 * that is not ends the run; numbers that are none are told. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/model_file.h"
#include "rl/learner.h"
#include "support/tiny_tokenizer.h"

static const char *const models[] = {"qwen3", "v2-lite", "v3"}; /* dense, MLA, MLA with experts */
#define N_MODELS (sizeof models / sizeof *models)

static const char recipe_text[] =
    "seed: 5\n"
    "model: {from: unused}\n"
    "tasks: [{name: parity}]\n"
    "rl: {steps: 3, questions: 2, samples: 3, soft_tokens: 8, filter: false}\n"
    "rollout: {tokens: 8, slots: 4, prompt: '{question}'}\n";

struct fixture {
    struct recipe recipe;
    struct params params;
    struct compute compute;
    struct trainer trainer;
    struct tokenizer *tokenizer;
    struct learner learner;
    struct learner_report report;
};

static void read_recipe(struct fixture *f, const char *text, const char *set)
{
    struct mk_error err;

    if (recipe_parse(&f->recipe, text, strlen(text), "recipe", &set, set != NULL, &err))
        fail_msg("%s", err.text);
}

/* Two of a model's hundreds of ids would hardly ever end an answer: these do now and then. */
static void end_more_often(struct arch *a)
{
    for (a->n_eos_ids = 0; a->n_eos_ids < 8; a->n_eos_ids++)
        a->eos_ids[a->n_eos_ids] = 40 * a->n_eos_ids + 1;
}

/* set: over the recipe, or NULL. */
static void open_fixture_of(struct fixture *f, const char *name, const char *text, const char *set)
{
    struct trainer_options o = {.optim = optim_defaults(),
                                .schedule = {.kind = SCHEDULE_CONSTANT, .lr = 1e-3, .tokens = 3},
                                .pass_tokens = 1 << 20,
                                .keep_bytes = 1 << 28,
                                .mla = MK_MLA_EXPANDED};
    struct model_file file;
    struct mk_error err;
    char path[128];

    memset(f, 0, sizeof *f);
    read_recipe(f, text, set);
    f->tokenizer = tiny_create(&(struct tiny){.pre = ""});
    snprintf(path, sizeof path, "tests/golden/models/%s", name);
    if (model_file_open(&file, path, &err) || params_read(&f->params, &file, false, &err) ||
        compute_init(&f->compute, NULL, 2, &err))
        fail_msg("%s", err.text);
    model_file_release(&file);
    end_more_often(&f->params.arch);
    if (params_take_gradients(&f->params, &err) ||
        trainer_init(&f->trainer, &f->params, &f->compute, &o, &err) ||
        learner_init(&f->learner, &f->recipe, "", &f->trainer, f->tokenizer, &err))
        fail_msg("%s", err.text);
}

static void open_fixture(struct fixture *f, const char *name, const char *set)
{
    open_fixture_of(f, name, recipe_text, set);
}

static void close_fixture(struct fixture *f)
{
    learner_release(&f->learner);
    trainer_release(&f->trainer);
    compute_release(&f->compute);
    params_release(&f->params);
    tokenizer_free(f->tokenizer);
    recipe_release(&f->recipe);
}

static void collect(struct fixture *f)
{
    struct mk_error err;

    f->report = (struct learner_report){.step = 1};
    if (learner_collect(&f->learner, &f->report, NULL, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(f->report.n_answers, 6);
}

static int update(struct fixture *f, struct mk_error *err)
{
    return learner_update(&f->learner, &f->report, err);
}

static void whole_runs_agree_to_the_bit(void **state)
{
    static const char *const sets[] = {NULL, "rl.epochs=2"};
    struct fixture f;
    struct mk_error err;

    (void)state;
    for (size_t i = 0; i < 2 * N_MODELS; i++) {
        open_fixture(&f, models[i / 2], sets[i % 2]);
        for (int step = 0; step < 3; step++) {
            if (learner_step(&f.learner, &f.report, NULL, NULL, &err))
                fail_msg("%s, step %d: %s", models[i / 2], step, err.text);
            assert_true(f.report.n_updates == 1 + (int)(i % 2) && f.report.n_trained >= 6);
        }
        close_fixture(&f);
    }
}

/* The last bit of one log-probability of the sampler's: with one update the pass of that update
 * sees it, with two the pass before them. */
static void one_bit_that_differs_ends_the_run(void **state)
{
    static const char *const sets[] = {NULL, "rl.epochs=2"};
    struct fixture f;
    struct mk_error err;

    (void)state;
    for (size_t i = 0; i < 2 * N_MODELS; i++) {
        const int32_t victim = (int32_t)i;
        struct schedule_answer *a;
        uint32_t bits;

        open_fixture(&f, models[i / 2], sets[i % 2]);
        collect(&f);
        a = &f.learner.rollouts[victim].answer;
        memcpy(&bits, &a->logprobs[a->n - 1], sizeof bits);
        bits ^= 1;
        memcpy(&a->logprobs[a->n - 1], &bits, sizeof bits);
        assert_int_equal(update(&f, &err), MK_EINTERNAL);
        assert_non_null(strstr(err.text, "step 1: the sampler gave token"));
        assert_non_null(strstr(err.text, "a mistake in minke"));
        close_fixture(&f);
    }
}

/* A sampler whose numbers are others is weighed, not refused. */
static void a_bit_that_may_differ_is_measured(void **state)
{
    struct fixture f;
    struct mk_error err;

    (void)state;
    open_fixture(&f, "v3", "rollout.kv=bf16");
    collect(&f);
    f.learner.rollouts[0].answer.logprobs[0] -= 0.5f;
    if (update(&f, &err))
        fail_msg("%s", err.text);
    assert_true(f.report.mismatch > 0.49 && f.report.mean_mismatch < f.report.mismatch);
    close_fixture(&f);
}

/* What a budget of thought puts there was not drawn: it is not learned, nor does it divide. */
static void forced_tokens_do_not_dilute_the_loss(void **state)
{
    struct fixture f;
    struct mk_error err;

    (void)state;
    open_fixture(&f, "qwen3", "rl.loss=dapo");
    collect(&f);
    for (int i = 0; i < 6; i++) {
        f.learner.rollouts[i].advantage = 1;
        f.learner.rollouts[i].answer.forced = 0;
    }
    if (update(&f, &err))
        fail_msg("%s", err.text);
    assert_true(fabs(f.report.loss + 1) < 1e-9); /* each of N tokens -1 / N */
    close_fixture(&f);
}

static void a_reward_that_is_no_number_changes_no_weight(void **state)
{
    struct fixture f;
    struct mk_error err;
    float *before;

    (void)state;
    open_fixture(&f, "qwen3", NULL);
    collect(&f);
    before = malloc((size_t)f.params.items[0].n * sizeof *before);
    assert_non_null(before);
    memcpy(before, f.params.items[0].w, (size_t)f.params.items[0].n * sizeof *before);
    f.learner.rollouts[2].advantage = NAN;
    assert_int_equal(update(&f, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "step 1: the reward of an answer is not a number"));
    assert_memory_equal(before, f.params.items[0].w, (size_t)f.params.items[0].n * sizeof *before);
    free(before);
    close_fixture(&f);
}

/* What a run that has blown up looks like. */
static void weights_that_are_no_numbers_end_the_run(void **state)
{
    struct fixture f;
    struct mk_error err;

    (void)state;
    open_fixture(&f, "qwen3", NULL);
    for (int64_t i = 0; i < f.params.items[1].n; i++)
        f.params.items[1].w[i] = NAN;
    if (trainer_pack(&f.trainer, &err))
        fail_msg("%s", err.text);
    assert_int_not_equal(learner_step(&f.learner, &f.report, NULL, NULL, &err), 0);
    assert_non_null(strstr(err.text, "step 1: the logit of token 0 is not a number"));
    close_fixture(&f);
}

/* Rollouts drop no choice of an expert: updates that did would train another policy, which the
 * proof of equal bits would call a mistake of minke's. */
static void dropping_is_refused(void **state)
{
    struct fixture f;
    struct mk_error err;

    (void)state;
    open_fixture(&f, "v3", NULL);
    learner_release(&f.learner);
    f.trainer.o.capacity = (struct capacity){.factor = 0.5, .n_devices = 2};
    assert_int_equal(learner_init(&f.learner, &f.recipe, "", &f.trainer, f.tokenizer, &err),
                     MK_EINVAL);
    assert_non_null(strstr(err.text, "balance.capacity"));
    close_fixture(&f);
}

/* questions: how many; writes "Q0" with the answer 0, and so on, or one letter each. */
static void write_questions(char path[], int n, bool letters)
{
    FILE *file = fdopen(mkstemp(path), "w");

    assert_non_null(file);
    for (int i = 0; i < n; i++)
        if (letters)
            fprintf(file, "{\"question\": \"%c\", \"answer\": %d}\n", 'a' + i, i);
        else
            fprintf(file, "{\"question\": \"Q%d\", \"answer\": %d}\n", i, i);
    fclose(file);
}

/* Of a file with fewer test questions than eval.sequences each is asked once: the share that is
 * right would be that of the questions which happen to come twice. */
static void test_questions_of_a_short_file_count_once(void **state)
{
    char path[] = "/tmp/minke-learner-XXXXXX", text[512];
    struct learner_test test;
    struct fixture f;
    struct mk_error err;
    int64_t n;

    (void)state;
    write_questions(path, 40, false);
    snprintf(text, sizeof text,
             "seed: 5\nmodel: {from: unused}\ntasks: [{name: 'jsonl:%s'}]\n"
             "rollout: {tokens: 4, slots: 4, prompt: '{question}'}\n", path);
    open_fixture_of(&f, "qwen3", text, NULL);
    n = task_count(f.learner.questions.tasks[0], TASK_TEST);
    assert_in_range(n, 1, 12);
    if (learner_evaluate(&f.learner, 32, &test, &err))
        fail_msg("%s", err.text);
    assert_int_equal(test.n_answers, n);
    assert_int_equal(test.tasks[0].n_answers, n);
    close_fixture(&f);
    remove(path);
}

/* Its answers go on behind no rows: the one token of the prompt is the first row of each. */
static void a_prompt_of_one_token_is_enough(void **state)
{
    static const char *const sets[] = {NULL, "rl.epochs=2", "rollout.tokens=1"};
    char path[] = "/tmp/minke-learner-XXXXXX", text[512];
    struct fixture f;
    struct mk_error err;

    (void)state;
    write_questions(path, 26, true);
    snprintf(text, sizeof text,
             "seed: 5\nmodel: {from: unused}\ntasks: [{name: 'jsonl:%s'}]\n"
             "rl: {steps: 3, questions: 2, samples: 3, soft_tokens: 8, filter: false}\n"
             "rollout: {tokens: 8, slots: 4, prompt: '{question}'}\n", path);
    for (size_t i = 0; i < 3 * N_MODELS; i++) {
        open_fixture_of(&f, models[i / 3], text, sets[i % 3]);
        if (learner_step(&f.learner, &f.report, NULL, NULL, &err))
            fail_msg("%s: %s", models[i / 3], err.text);
        assert_int_equal(f.learner.asked[0].prompt.n, 1);
        assert_true(f.report.n_updates > 0 && f.report.n_trained >= 6);
        close_fixture(&f);
    }
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_runs_agree_to_the_bit),
        cmocka_unit_test(one_bit_that_differs_ends_the_run),
        cmocka_unit_test(a_bit_that_may_differ_is_measured),
        cmocka_unit_test(forced_tokens_do_not_dilute_the_loss),
        cmocka_unit_test(a_reward_that_is_no_number_changes_no_weight),
        cmocka_unit_test(weights_that_are_no_numbers_end_the_run),
        cmocka_unit_test(dropping_is_refused),
        cmocka_unit_test(test_questions_of_a_short_file_count_once),
        cmocka_unit_test(a_prompt_of_one_token_is_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
