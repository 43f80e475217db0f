/* options_test.c: the option parser fills in what was asked and refuses the rest with status 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli.h"

struct values {
    bool verbose;
    const char *name;
    struct cli_list stops;
    int32_t n;
    uint64_t seed;
    float temperature;
    int mode;
};

/* Parses up to seven words after the command's name. */
static int parse(struct values *v, int *n_args, char **argv)
{
    const struct cli_option options[] = {
        {"verbose", 'v', CLI_FLAG, &v->verbose, NULL, "say more", 0, 0, NULL},
        {"name", 0, CLI_STRING, &v->name, "NAME", "a name", 0, 0, NULL},
        {"stop", 0, CLI_LIST, &v->stops, "TEXT", "a stop", 0, 0, NULL},
        {"max-tokens", 'n', CLI_I32, &v->n, "N", "a count", 1, 1000, NULL},
        {"seed", 0, CLI_U64, &v->seed, "N", "a seed", 0, 0, NULL},
        {"temperature", 't', CLI_FLOAT, &v->temperature, "T", "a temperature", 0, 2, NULL},
        {"mode", 0, CLI_CHOICE, &v->mode, "MODE", "a mode", 0, 0, "exact|fast"},
        {0}
    };
    const struct cli_syntax syntax = {"test", "FILE...", "A test.", 0, 2, options};
    int argc = 0;

    while (argv[argc])
        argc++;
    *v = (struct values){0};
    return cli_parse(&syntax, argc, argv, n_args);
}

#define PARSE(v, n, ...) parse(v, n, (char *[]){(char[]){"test"}, __VA_ARGS__, NULL})
#define W(text) ((char[]){text})

static void every_kind_of_value_is_read(void **state)
{
    struct values v;
    int n;

    (void)state;
    assert_int_equal(PARSE(&v, &n, W("-v"), W("--name"), W("whale"), W("--max-tokens=12"),
                           W("--seed"), W("18446744073709551615"), W("-t0.5")), CLI_RUN);
    assert_true(v.verbose);
    assert_string_equal(v.name, "whale");
    assert_int_equal(v.n, 12);
    assert_true(v.seed == UINT64_MAX);
    assert_true(v.temperature == 0.5f);
    assert_int_equal(n, 0);
    assert_int_equal(PARSE(&v, &n, W("--mode"), W("fast"), W("--stop=a"), W("--stop"), W("--b")),
                     CLI_RUN);
    assert_int_equal(v.mode, 1);
    assert_int_equal(v.stops.n, 2);
    assert_string_equal(v.stops.items[1], "--b");
}

static void arguments_and_options_may_be_mixed(void **state)
{
    char *argv[] = {W("test"), W("one"), W("-v"), W("--"), W("-two"), NULL};
    struct values v;
    int n;

    (void)state;
    assert_int_equal(parse(&v, &n, argv), CLI_RUN);
    assert_int_equal(n, 2);
    assert_string_equal(argv[1], "one");
    assert_string_equal(argv[2], "-two");
}

static void wrong_command_lines_end_in_status_2(void **state)
{
    struct values v;
    int n;

    (void)state;
    assert_int_equal(PARSE(&v, &n, W("--nmae"), W("x")), 2);
    assert_int_equal(PARSE(&v, &n, W("-x")), 2);
    assert_int_equal(PARSE(&v, &n, W("--name")), 2);
    assert_int_equal(PARSE(&v, &n, W("--verbose=1")), 2);
    assert_int_equal(PARSE(&v, &n, W("-n"), W("12x")), 2);
    assert_int_equal(PARSE(&v, &n, W("-n"), W("")), 2);
    assert_int_equal(PARSE(&v, &n, W("-n"), W("0")), 2);
    assert_int_equal(PARSE(&v, &n, W("-n"), W("99999999999999999999")), 2);
    assert_int_equal(PARSE(&v, &n, W("--seed"), W("-1")), 2);
    assert_int_equal(PARSE(&v, &n, W("-t"), W("nan")), 2);
    assert_int_equal(PARSE(&v, &n, W("-t"), W("2.5")), 2);
    assert_int_equal(PARSE(&v, &n, W("--mode"), W("fas")), 2);
    assert_int_equal(PARSE(&v, &n, W("a"), W("b"), W("c")), 2);
}

static void a_slip_is_recognized(void **state)
{
    const char *const names[] = {"pull", "list", "remove", "chat"};

    (void)state;
    assert_string_equal(cli_nearest("remvoe", names, 4), "remove");
    assert_string_equal(cli_nearest("chta", names, 4), "chat");
    assert_null(cli_nearest("train", names, 4));
    assert_null(cli_nearest("", names, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(arguments_and_options_may_be_mixed),
        cmocka_unit_test(wrong_command_lines_end_in_status_2),
        cmocka_unit_test(a_slip_is_recognized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
