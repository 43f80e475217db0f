/* pipeline_test.c: what a pipeline's file says of its stages, and the results that take the place
 * of their references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "train/pipeline.h"

static const char text[] = "out: runs/x\n"
                           "seed: 5\n"
                           "stages:\n"
                           "- name: base\n"
                           "  kind: pretrain\n"
                           "  model: {config: config.json}\n"
                           "  data: {sources: [{path: texts}]}\n"
                           "- name: talks\n"
                           "  kind: corpus\n"
                           "  tasks: [{name: parity, level: 1, level_max: 3, search: 0.25}]\n"
                           "- name: sft\n"
                           "  kind: sft\n"
                           "  seed: 7\n"
                           "  model: {from: stage:base/ema}\n"
                           "  data: {sources: [{path: stage:talks}, {path: more.jsonl}]}\n"
                           "- name: judge\n"
                           "  kind: reward\n"
                           "  model: {from: stage:sft}\n"
                           "  data: {sources: [{path: pairs.jsonl}]}\n";

static int read_text(struct pipeline *p, const char *yaml, const char *const *sets, int32_t n_sets,
                     struct mk_error *err)
{
    char path[64];
    FILE *f;
    int code;

    snprintf(path, sizeof path, "/tmp/minke-pipeline-%ld.yaml", (long)getpid());
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(yaml, f);
    fclose(f);
    code = pipeline_read(p, path, sets, n_sets, err);
    unlink(path);
    return code;
}

static void stages_are_recipes_whose_kind_says_what_they_do_not(void **state)
{
    const char *sets[] = {"sft.train.tokens=9", "threads=3"};
    struct pipeline p;
    struct mk_error err;

    (void)state;
    if (read_text(&p, text, sets, 2, &err))
        fail_msg("%s", err.text);
    assert_int_equal(p.n, 4);
    assert_string_equal(p.out, "runs/x");
    assert_int_equal(p.stages[0].recipe.data.format, RECIPE_FORMAT_TEXT);
    assert_int_equal(p.stages[2].recipe.data.format, RECIPE_FORMAT_CHAT);
    assert_int_equal(p.stages[2].recipe.data.sources[1].format, RECIPE_FORMAT_CHAT);
    assert_int_equal(p.stages[3].recipe.data.format, RECIPE_FORMAT_PAIRS);
    assert_true(p.stages[3].recipe.reward.head && !p.stages[2].recipe.reward.head);
    assert_int_equal(p.stages[0].recipe.seed, 5);
    assert_int_equal(p.stages[2].recipe.seed, 7);
    assert_int_equal(p.stages[0].recipe.threads, 3);
    assert_int_equal(p.stages[2].recipe.train.tokens, 9);
    assert_int_equal(p.stages[0].recipe.train.tokens, 1000000);
    assert_string_equal(p.stages[2].recipe.data.sources[0].name, "talks");
    assert_int_equal(p.stages[1].recipe.tasks[0].level_max, 3);
    assert_true(p.stages[1].recipe.tasks[0].search == 0.25);
    assert_string_equal(stage_kind_name(p.stages[1].kind), "corpus");
    pipeline_release(&p);
}

static const char shared[] = "threads: 2\n"
                             "defaults:\n"
                             "  sft:\n"
                             "    seed: 9\n"
                             "    model: {config: c.json}\n"
                             "    train: {batch: 4, tokens: 10}\n"
                             "    data:\n"
                             "      sequence: 64\n"
                             "      sources: [{path: a}, {path: b}]\n"
                             "  rl:\n"
                             "    tasks: [{name: add}]\n"
                             "    train: {batch: 5}\n"
                             "stages:\n"
                             "- name: one\n"
                             "  kind: sft\n"
                             "- name: two\n"
                             "  kind: sft\n"
                             "  seed: 3\n"
                             "  train: {batch: 6}\n"
                             "  data: {sources: [{path: c, format: text}]}\n"
                             "- name: three\n"
                             "  kind: rl\n"
                             "  model: {from: stage:two}\n"
                             "- name: four\n"
                             "  kind: pretrain\n"
                             "  model: {config: d.json}\n"
                             "  data: {sources: [{path: e}]}\n";

static void defaults_stand_in_every_stage_of_their_kind_alone(void **state)
{
    const char *sets[] = {"two.train.tokens=7"};
    struct pipeline p;
    struct mk_error err;
    struct recipe *one, *two, *three, *four;

    (void)state;
    if (read_text(&p, shared, sets, 1, &err))
        fail_msg("%s", err.text);
    one = &p.stages[0].recipe;
    two = &p.stages[1].recipe;
    three = &p.stages[2].recipe;
    four = &p.stages[3].recipe;
    assert_string_equal(one->model.config, "c.json");
    assert_true(one->seed == 9 && two->seed == 3 && four->seed == 0);
    assert_true(one->threads == 2 && two->threads == 2 && four->threads == 2);
    assert_true(one->train.batch == 4 && two->train.batch == 6 && three->train.batch == 5 &&
                four->train.batch == 16);
    assert_true(one->train.tokens == 10 && two->train.tokens == 7);
    assert_true(one->data.sequence == 64 && two->data.sequence == 64 &&
                three->data.sequence == 256 && four->data.sequence == 256);
    assert_true(one->data.n_sources == 2 && two->data.n_sources == 1); /* a list goes whole */
    assert_int_equal(one->data.sources[1].format, RECIPE_FORMAT_CHAT);
    assert_int_equal(two->data.sources[0].format, RECIPE_FORMAT_TEXT);
    assert_true(one->n_tasks == 0 && three->n_tasks == 1);
    pipeline_release(&p);
}

static int result_of(void *user, const struct pipeline_stage *of, char path[4096],
                     struct mk_error *err)
{
    (void)err;
    ++*(int *)user;
    snprintf(path, 4096, "/runs/%s", of->name);
    return 0;
}

static void results_take_the_place_of_references_and_of_nothing_else(void **state)
{
    struct pipeline p;
    struct mk_error err;
    int n = 0;

    (void)state;
    if (read_text(&p, text, NULL, 0, &err) ||
        pipeline_resolve(&p, &p.stages[2], result_of, &n, &err))
        fail_msg("%s", err.text);
    assert_int_equal(n, 2);
    assert_string_equal(p.stages[2].recipe.model.from, "/runs/base/ema");
    assert_string_equal(p.stages[2].recipe.data.sources[0].path, "/runs/talks");
    assert_string_equal(p.stages[2].recipe.data.sources[1].path, "more.jsonl");
    assert_string_equal(p.stages[3].recipe.model.from, "stage:sft");
    pipeline_release(&p);
}

#define STAGE                                               \
    "stages:\n- name: a\n  kind: sft\n  model: {config: c}\n" \
    "  data: {sources: [{path: p}]}\n"

/* Line and name of what is wrong; more of it in tests/e2e/test_pipeline.py. */
static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *yaml, *words[2];
    } cases[] = {
        {"", {"is empty", ""}},
        {"# nothing\n", {"is empty", ""}},
        {"stages: []\n", {":1: stages", "empty list"}},
        {"# c\n- a\n", {":2: expected keys", "found a list"}},
        {"out: x\nmodel: {config: c}\n", {":2: 'model' is a key of stages", "minke train"}},
        {"out: x\n", {"stages", ""}},
        {"stages:\n- name: a\n  model: {config: c}\n", {"kind", ""}},
        {"stages:\n- name: a b\n  kind: rl\n", {"stage a b", "name"}},
        {"stages:\n- name: a\n  kind: rl\n  model: {from: stage:a}\n  tasks: [{name: parity}]\n",
         {"stage a", "stage:a"}},
        {"stages:\n- name: a\n  kind: corpus\n  tasks: [{name: parity}]\n  stages: []\n",
         {":5:", "stages"}},
        {"stages:\n- name: a\n  kind: sft\n  model: {config: c}\n", {"stage a", "data.sources"}},
        {"stages:\n- name: a\n  kind: sample\n  model: {config: c}\n  tasks: [{name: parity}]\n",
         {"stage a", "model.from"}},
        {STAGE "  train:\n    tokens: 3\n    batch: 0\n",
         {":8: stage a: train.batch: '0' is not", "from 1"}},
        {STAGE "  train: {tokens: 3,\n    batch: 0}\n", {":7: stage a: train.batch", ""}},
        {STAGE "  knd: rl\n", {":6: there is no key", "mean 'stages (entry 1).kind'"}},
        {STAGE "  out: x\n", {":6: stage a: out:", "folder"}},
        {STAGE "- name: b\n  kind: rl\n  model: {from: c}\n  tasks:\n  - {name: add, weight: -1}\n",
         {":10: stage b: tasks.weight: '-1'", ""}},
        {STAGE "- name: b\n  kind: rl\n  model: {from: c}\n", {":6: stage b: has no tasks", ""}},
        {STAGE "- name: b\n  kind: sft\n  data: {sources: [{path: d}]}\n  model:\n"
               "    from: stage:c\n",
         {":10: stage b: model.from: 'stage:c'", "before"}},
        {STAGE "- name: b\n  kind: sft\n  model: {config: c}\n"
               "  data: {sources: [{path: stage:a}]}\n",
         {":6: stage b: data.sources: stage a makes a model", ""}},
        {STAGE "seed: x\n", {":6: seed: 'x'", "whole"}},
        {STAGE "defaults:\n  sft:\n    train:\n      batch: 0\n",
         {":9: defaults.sft: train.batch: '0'", ""}},
        {STAGE "defaults:\n  sft:\n    tasks:\n    - {name: add, level: -1}\n",
         {":9: defaults.sft: tasks.level: '-1'", ""}},
        {STAGE "defaults: {sft: {out: x}}\n", {":6: defaults.sft: out:", "folder"}},
        {STAGE "defaults:\n  sftt: {}\n",
         {":7: there is no key 'defaults.sftt'", "mean 'defaults.sft'"}},
        {STAGE "defaults:\n  train: {batch: 3}\n", {":7: defaults are of one kind", "sft.train"}},
        {STAGE "defaults:\n  sft:\n    trian: {}\n", {":8: there is no key", "mean 'train'"}},
        {STAGE "defaults:\n  sft: [a]\n", {":7: defaults.sft: expected keys", "found a list"}},
        {STAGE "defaults:\n  sft:\n  rl: {seed: 1}\n", {":7: defaults.sft: expected", "nothing"}},
        {STAGE "defaults:\n  sft: {seed: 1}\n  sft: {seed: 2}\n",
         {":8: defaults.sft: stands there twice", ""}},
        {STAGE "---\nstages: []\n", {":6: a second document", ""}},
    };
    struct pipeline p;
    struct mk_error err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!read_text(&p, cases[i].yaml, NULL, 0, &err))
            fail_msg("case %zu is read", i);
        for (int k = 0; k < 2; k++)
            if (!strstr(err.text, cases[i].words[k]))
                fail_msg("case %zu: '%s' does not say '%s'", i, err.text, cases[i].words[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_are_recipes_whose_kind_says_what_they_do_not),
        cmocka_unit_test(defaults_stand_in_every_stage_of_their_kind_alone),
        cmocka_unit_test(results_take_the_place_of_references_and_of_nothing_else),
        cmocka_unit_test(what_is_wrong_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
