/* recipe_test.c: recipes read, refused and written back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "train/recipe.h"
#include "train/schedule.h"

static char folder[] = "/tmp/recipe_test.XXXXXX";

#define MINIMAL "model:\n  config: c.json\ndata:\n  sources:\n  - path: texts/a.txt\n"

static int parse(struct recipe *r, const char *text, const char *set, struct mk_error *err)
{
    return recipe_parse(r, text, strlen(text), "r.yaml", &set, set ? 1 : 0, err);
}

static void good(struct recipe *r, const char *text, const char *set)
{
    struct mk_error err;

    if (parse(r, text, set, &err))
        fail_msg("%s", err.text);
}

/* Every word stands in the message, which is one line. */
static void refused(const char *text, const char *set, const char *words)
{
    struct mk_error err = {0};
    struct recipe r;
    char copy[200], *save = NULL;

    assert_int_not_equal(parse(&r, text, set, &err), 0);
    assert_null(strchr(err.text, '\n'));
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        if (!strstr(err.text, w))
            fail_msg("'%s' is not in: %s", w, err.text);
}

static void what_is_not_given_has_its_default(void **state)
{
    struct recipe r;

    (void)state;
    good(&r, MINIMAL, NULL);
    assert_string_equal(r.model.config, "c.json");
    assert_true(r.optimizer.lr == 3e-4 && r.optimizer.beta2 == 0.95);
    assert_int_equal(r.train.batch, 16);
    assert_int_equal(r.schedule.kind, SCHEDULE_COSINE);
    assert_int_equal(r.data.n_sources, 1);
    assert_string_equal(r.data.sources[0].name, "a.txt");
    assert_true(r.data.sources[0].points[0].weight == 1 && r.data.sources[0].n_points == 1 &&
                 r.data.drop_copies && !r.data.filter);
    recipe_release(&r);
}

static void the_file_wins_over_defaults_and_set_over_the_file(void **state)
{
    struct recipe r;

    (void)state;
    good(&r,
         MINIMAL "optimizer: {lr: 1e-3, kind: muon-v4}\ntrain:\n  tokens: 2.5M\n  batch: 1_000\n",
         "optimizer.lr=0.5");
    assert_true(r.optimizer.lr == 0.5);
    assert_int_equal(r.optimizer.kind, RECIPE_MUON_V4);
    assert_int_equal(r.train.tokens, 2500000);
    assert_int_equal(r.train.batch, 1000);
    recipe_release(&r);
}

static void an_unknown_key_is_refused_by_name_and_line(void **state)
{
    (void)state;
    refused(MINIMAL "optimizer:\n  lr: 1e-3\n  # a comment\n\n  lerning: 3\n", NULL,
            "r.yaml:10: 'optimizer.lerning'");
    refused(MINIMAL "optimizer:\n  weight_deacy: 0.1\n", NULL,
            "r.yaml:7: 'optimizer.weight_deacy' 'optimizer.weight_decay'");
    refused("data:\n  sources:\n  - path: a\n    wieght: 2\n", NULL,
            "r.yaml:4: entry .wieght' .weight'");
    refused(MINIMAL "optimiser:\n  lr: 1\n", NULL, "r.yaml:6: 'optimiser' 'optimizer'");
    refused(MINIMAL "train: {lr: 1}\n", NULL, "r.yaml:6: 'train.lr' 'optimizer.lr'");
    refused("tasks:\n- {name: parity, levl: 3}\n", NULL, "r.yaml:2: .levl' .level'");
    refused("taks:\n- {name: parity}\n", NULL, "r.yaml:1: 'taks' 'tasks'");
    refused("data:\n  soruces: []\n", NULL, "r.yaml:2: 'data.soruces' 'data.sources'");
    refused("tasks:\n- {name: parity, pat: 3}\n", NULL, "r.yaml:2: .pat': docs/training.md");
    refused("data:\n  sources:\n  - {path: a, weights: [{tokns: 3}]}\n", NULL,
            "r.yaml:3: .tokns' .tokens'");
}

static void a_value_out_of_its_range_is_refused_by_key_and_line(void **state)
{
    (void)state;
    refused(MINIMAL "train:\n  batch: 3\n  # tokens: 3\n  tokens: -5\n", NULL,
            "r.yaml:9: train.tokens '-5' 1 more");
    refused(MINIMAL "train: {tokens: x}\nrollout:\n  tokens: 3\n", NULL, "r.yaml:6: train.tokens");
    refused("seed: x\n" MINIMAL, NULL, "r.yaml:1: seed");
    refused(MINIMAL "optimizer: {lr: fast}\n", NULL, "optimizer.lr 'fast'");
    refused(MINIMAL "optimizer: {lr: -1}\n", NULL, "optimizer.lr '-1'");
    refused(MINIMAL "optimizer: {lr: nan}\n", NULL, "optimizer.lr 'nan'");
    refused(MINIMAL "train: {batch: 2.5}\n", NULL, "train.batch whole");
    refused(MINIMAL "train: {tokens: 1e99}\n", NULL, "train.tokens");
    refused(MINIMAL "train: {tokens: ''}\n", NULL, "train.tokens");
    refused(MINIMAL "schedule: {kind: cosin}\n", NULL, "schedule.kind wsd");
    refused(MINIMAL "train: {compute: f16}\n", NULL, "train.compute bf16");
    refused(MINIMAL "train: {tokens: 3,\n  \"batch\": 0}\n", NULL, "r.yaml:7: train.batch '0'");
}

static void an_entry_that_is_wrong_is_refused_by_its_line(void **state)
{
    (void)state;
    refused("data: {sources: [{path: a, weight: x}]}\nmodel: {config: c}\n", NULL,
            "r.yaml:1: weight 'x'");
    refused(MINIMAL "  - path: b\n    weight: -1\n", NULL, "r.yaml:6: data.sources.weight '-1'");
    refused(MINIMAL "  - path: c/a.txt\n", NULL, "r.yaml:6: two sources 'a.txt'");
    refused(MINIMAL "distill:\n  teachers:\n  - {path: a}\n  - {path: b, weight: 0}\n", NULL,
            "r.yaml:9: distill.teachers.weight '0'");
    refused("tasks:\n- name: add\n- name: add\n", NULL, "r.yaml:3: tasks: add twice");
    refused("tasks:\n\n- name: add\n  level: 3\n  level_max: 1\n", NULL,
            "r.yaml:3: tasks: level_max");
}

#define TWO(weights) \
    "model: {config: c}\ndata:\n  sources:\n  - path: a\n  - path: b\n    weights: " weights "\n"

static void weights_may_follow_the_tokens(void **state)
{
    struct recipe r;

    (void)state;
    good(&r, TWO("[{tokens: 0, weight: 0}, {tokens: 2M, weight: 3}]"), NULL);
    assert_int_equal(r.data.sources[0].n_points, 1);
    assert_int_equal(r.data.sources[1].n_points, 2);
    assert_int_equal(r.data.sources[1].points[1].tokens, 2000000);
    assert_true(r.data.sources[1].points[1].weight == 3);
    recipe_release(&r);
    refused(TWO("[{tokens: 5, weight: 1}, {tokens: 5, weight: 2}]"), NULL, "r.yaml:6: b's ascend");
    refused(TWO("[{tokens: 0.5, weight: 1}]"), NULL, "data.sources.tokens '0.5' whole");
    refused(TWO("[{tokens: 0, weight: -1}]"), NULL, "data.sources.weight '-1'");
    refused(TWO("[{tokens: 0}]"), NULL, "r.yaml:6: weight");
    refused(TWO("\n    - tokens: 0\n      wieght: 1"), NULL, "r.yaml:8: .wieght'");
    refused(TWO("[{tokens: 0, weight: 1}]\n    weight: 2"), NULL, "b both weights");
}

static void set_is_checked_like_the_file(void **state)
{
    (void)state;
    refused(MINIMAL, "optimizer.lr=much", "--set: optimizer.lr 'much'");
    refused(MINIMAL, "optimizer.lrr=1", "--set optimizer.lrr mean optimizer.lr");
    refused(MINIMAL, "tokens=1", "--set tokens=1 mean train.tokens");
    refused(MINIMAL, "data.sources=x", "--set data.sources=x list");
    refused(MINIMAL, "nonsense=x", "--set nonsense=x docs/training.md");
    refused(MINIMAL, "optimizer.lr", "section.key=value");
}

static void a_recipe_without_model_or_text_is_refused(void **state)
{
    (void)state;
    refused("seed: 1\n", NULL, "r.yaml: model.config model.from");
    refused("model: {config: a, from: b}\ndata: {sources: [{path: a}]}\n", NULL,
            "r.yaml:1: one of");
    refused(MINIMAL "train:\n  batch_first: 32\n", NULL, "r.yaml:7: train.batch_first");
    refused("model: {config: a}\n", NULL, "data.sources");
    refused("data: {sources: [{path: a}, {path: b/a}]}\nmodel: {config: c}\n", NULL,
            "two sources 'a'");
    refused("data: {sources: [{path: a, name: ../b}]}\nmodel: {config: c}\n", NULL, "../b");
}

/* Writes NAME beside the other recipes of a test; returns its path. */
static const char *file(const char *name, const char *text)
{
    static char path[200];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void a_base_says_what_the_recipe_does_not(void **state)
{
    const char *const set[] = {"train.batch=5"};
    struct mk_error err;
    struct recipe r;

    (void)state;
    file("base.yaml", MINIMAL "train: {batch: 3, tokens: 7}\noptimizer: {lr: 0.5}\n");
    if (recipe_read(&r, file("r.yaml", "base: base.yaml\noptimizer: {lr: 0.25}\n"), set, 1, &err))
        fail_msg("%s", err.text);
    assert_string_equal(r.model.config, "c.json");
    assert_true(r.optimizer.lr == 0.25);
    assert_int_equal(r.train.tokens, 7);
    assert_int_equal(r.train.batch, 5);
    assert_int_equal(r.data.n_sources, 1);
    assert_string_equal(r.base, ""); /* what is written for the run stands alone */
    recipe_release(&r);
    if (recipe_read(&r, file("r.yaml", "base: base.yaml\ndata: {sources: [{path: x}, {path: y}]}"),
                    NULL, 0, &err))
        fail_msg("%s", err.text);
    assert_int_equal(r.data.n_sources, 2);
    recipe_release(&r);
}

static void read_refused(const char *name, const char *text, const char *a, const char *b)
{
    struct mk_error err = {0};
    struct recipe r;

    assert_int_not_equal(recipe_read(&r, file(name, text), NULL, 0, &err), 0);
    if (!strstr(err.text, a) || !strstr(err.text, b))
        fail_msg("'%s' or '%s' is not in: %s", a, b, err.text);
}

static void a_base_that_is_none_is_refused_by_file(void **state)
{
    (void)state;
    file("base.yaml", MINIMAL "train: {batch: many}\n");
    read_refused("r.yaml", "base: base.yaml\n", "base.yaml:6: train.batch", "'many'");
    read_refused("r.yaml", "base: none.yaml\n", "none.yaml", "");
    read_refused("r.yaml", "base: ../base.yaml\n", "r.yaml", "same folder");
    read_refused("r.yaml", "base: r.yaml\n", "r.yaml", "based on another");
    file("base.yaml", "model: {confg: c}\n");
    read_refused("r.yaml", "base: base.yaml\n", "base.yaml:1", "'model.confg'");
    refused("base: base.yaml\n" MINIMAL, NULL, "base no folder");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(file("base.yaml", ""));
    unlink(file("r.yaml", ""));
    return rmdir(folder);
}

static void broken_yaml_is_one_line_with_its_place(void **state)
{
    (void)state;
    refused("model: {config: \"a}\n", NULL, "r.yaml:1: YAML line 1");
    refused("# c\nmodel: {config: a}\ntrain: {tokens: 3\n", NULL, "r.yaml:3: YAML");
    refused("model:\n\tconfig: a\n", NULL, "r.yaml:2: tab spaces");
    refused("data:\n  sources:\n  -\tpath: a\n", NULL, "r.yaml:3: tab spaces");
    refused("# c\n# \xff\n", NULL, "r.yaml:2: UTF-8");
    refused(MINIMAL "out: \xe4\n", NULL, "r.yaml:6: UTF-8");
    refused("\x01", NULL, "r.yaml:1: control");
    refused("%FOO\n---\n" MINIMAL, NULL, "r.yaml:1: directive");
}

/* Valid YAML that libcyaml takes the first part of, or a long time for. */
static void yaml_that_no_recipe_needs_is_refused(void **state)
{
    (void)state;
    refused(MINIMAL "---\nseed: 3\n", NULL, "r.yaml:6: second document");
    refused("---\n" MINIMAL "...\n# c\n---\n", NULL, "r.yaml:9: second document");
    refused("", NULL, "r.yaml: empty");
    refused("\n# nothing\n\n", NULL, "r.yaml: empty");
    refused("---\n", NULL, "r.yaml: empty");
    refused("model: &a {config: c}\ndata: *a\n", NULL, "r.yaml:1: aliases &a quotes");
    refused("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", NULL, "r.yaml:1: aliases");
    refused("model:\n  learn: *.mlp.*\n", NULL, "r.yaml:2: * quotes");
    refused("model:\n  learn: *\n", NULL, "r.yaml:2: * quotes");
    refused("# c\n? [a]\n: b\n", NULL, "r.yaml:2: key");
}

/* The text `n` times, and refused. */
static void many_refused(const char *text, size_t n, const char *words)
{
    size_t length = strlen(text);
    char *all = malloc(n * length + 1);

    assert_non_null(all);
    for (size_t i = 0; i <= n; i++)
        memcpy(all + i * length, i < n ? text : "", i < n ? length : 1);
    refused(all, NULL, words);
    free(all);
}

static void what_is_deep_or_large_is_refused(void **state)
{
    (void)state;
    many_refused("[", 500000, "r.yaml:1: 16 deep");
    many_refused("- ", 400000, "r.yaml:1: 16 deep");
    many_refused("{a: ", 200000, "r.yaml:1: 16 deep");
    many_refused("? ", 400000, "r.yaml:1: key");
    many_refused("# words\n", 200000, "r.yaml: large 1600000 1048576");
    many_refused("- {name: parity}\n", 1000, "r.yaml:1: expected keys found list");
}

static void ends_of_lines_and_marks_of_order_do_not_matter(void **state)
{
    static const char *const texts[] = {
        "\xef\xbb\xbf" MINIMAL "seed: 7\n",
        "%YAML 1.1\n---\n" MINIMAL "seed: 7\n...\n",
        ("model:\r\n  config: c.json\r\ndata:\r\n  sources:\r\n  - path: texts/a.txt\r\n"
         "seed: 7\r\n"),
    };
    struct recipe r;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        good(&r, texts[i], NULL);
        assert_string_equal(r.data.sources[0].path, "texts/a.txt");
        assert_int_equal(r.seed, 7);
        recipe_release(&r);
    }
    refused("\xef\xbb\xbfmodel:\r\n  config: c\r\nseed: x\r\n", NULL, "r.yaml:3: seed");
}

static void what_has_another_form_is_told_in_a_sentence(void **state)
{
    (void)state;
    refused("# c\n\n- a\n- b\n", NULL, "r.yaml:3: expected keys found list");
    refused("---\nhello\n", NULL, "r.yaml:2: expected keys found single");
    refused("model: [a]\n", NULL, "r.yaml:1: model: expected keys found list");
    refused("train:\n  # batch: 3\n" MINIMAL, NULL, "r.yaml:1: train: found nothing");
    refused("model:\n  config:\n    a: b\n", NULL, "r.yaml:3: model.config: single keys");
    refused("data:\n  sources: {path: x}\n", NULL, "r.yaml:2: data.sources: list keys");
    refused("data:\n  sources:\n  - x\n", NULL, "r.yaml:3: data.sources entry 1 keys single");
    refused("data:\n  sources:\n  - weight: 1\n", NULL, "r.yaml:3: data.sources entry 1 'path'");
    refused(MINIMAL "model: {from: x}\n", NULL, "r.yaml:6: model: twice");
    refused("seed: 3\nmodel:\n  config: a\n  from: b\n  config: c\n", NULL,
            "r.yaml:5: model.config twice");
    refused(MINIMAL "train: {batch: 3, lr: 1}\noptimizer:\n  lr: 3\n", NULL,
            "r.yaml:6: 'train.lr' 'optimizer.lr'");
}

static void a_written_recipe_reads_back_to_itself(void **state)
{
    struct recipe r, again;
    struct buf first, second;
    struct mk_error err;
    int32_t n;

    (void)state;
    good(&r,
         MINIMAL "  - path: 'b \"c\\d.txt'\n    name: \"x y\"\n    weight: 0.1\n"
                 "  - {path: c, weights: [{tokens: 7, weight: 0.3}, {tokens: 9, weight: 0}]}\n"
                 "sample: {prompt: \"To be,\\n\"}\noptimizer: {lr: 0.1, ema: 0.999}\n"
                 "distill: {kl: reverse, teachers: [{path: \"t 1\"}, {path: u, weight: 0.3}]}\n",
         NULL);
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    assert_int_equal(recipe_write(&r, &first, &err), 0);
    if (recipe_parse(&again, first.data, first.n, "w.yaml", NULL, 0, &err))
        fail_msg("%s in\n%.*s", err.text, (int)first.n, first.data);
    assert_int_equal(recipe_write(&again, &second, &err), 0);
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.data, second.data, first.n);
    assert_string_equal(again.sample.prompt, "To be,\n");
    assert_string_equal(again.data.sources[1].path, "b \"c\\d.txt");
    assert_true(again.optimizer.lr == 0.1);
    assert_int_equal(again.distill.n_teachers, 2);
    assert_string_equal(again.distill.teachers[0].path, "t 1");
    assert_true(again.distill.teachers[0].weight == 1 && again.distill.teachers[1].weight == 0.3);
    recipe_keys(&n);
    for (int32_t i = 0; i < n; i++) /* nothing is left out */
        assert_non_null(strstr(first.data, recipe_keys(&n)[i].name));
    buf_release(&first);
    buf_release(&second);
    recipe_release(&r);
    recipe_release(&again);
}

/* Found by fuzzing: a control character beyond ASCII was written raw, which YAML forbids. */
static void text_that_yaml_forbids_is_escaped(void **state)
{
    static const char *const values[] = {"a\x7f\x1b", "\xc2\x81", "\xef\xbb\xbf", "\xef\xbf\xbe",
                                         "\xe2\x82\xac \xf0\x9f\x90\xb3"};
    struct recipe r, again;
    struct mk_error err;
    struct buf b;
    char set[64];

    (void)state;
    for (size_t i = 0; i <= sizeof values / sizeof *values; i++) {
        bool utf8 = i < sizeof values / sizeof *values;

        snprintf(set, sizeof set, "sample.prompt=%s", utf8 ? values[i] : "\xff");
        good(&r, MINIMAL, set);
        buf_init(&b, 1 << 20);
        assert_int_equal(recipe_write(&r, &b, &err), 0);
        if (recipe_parse(&again, b.data, b.n, "w.yaml", NULL, 0, &err))
            fail_msg("%s in\n%.*s", err.text, (int)b.n, b.data);
        assert_string_equal(again.sample.prompt, utf8 ? values[i] : "\xc3\xbf");
        recipe_release(&again);
        recipe_release(&r);
        buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_given_has_its_default),
        cmocka_unit_test(the_file_wins_over_defaults_and_set_over_the_file),
        cmocka_unit_test(an_unknown_key_is_refused_by_name_and_line),
        cmocka_unit_test(a_value_out_of_its_range_is_refused_by_key_and_line),
        cmocka_unit_test(an_entry_that_is_wrong_is_refused_by_its_line),
        cmocka_unit_test(weights_may_follow_the_tokens),
        cmocka_unit_test(set_is_checked_like_the_file),
        cmocka_unit_test(a_recipe_without_model_or_text_is_refused),
        cmocka_unit_test(broken_yaml_is_one_line_with_its_place),
        cmocka_unit_test(yaml_that_no_recipe_needs_is_refused),
        cmocka_unit_test(what_is_deep_or_large_is_refused),
        cmocka_unit_test(ends_of_lines_and_marks_of_order_do_not_matter),
        cmocka_unit_test(what_has_another_form_is_told_in_a_sentence),
        cmocka_unit_test(text_that_yaml_forbids_is_escaped),
        cmocka_unit_test(a_base_says_what_the_recipe_does_not),
        cmocka_unit_test(a_base_that_is_none_is_refused_by_file),
        cmocka_unit_test(a_written_recipe_reads_back_to_itself),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
