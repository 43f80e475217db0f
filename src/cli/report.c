/* report.c: `minke report`: curves of runs, drawn again or beside one another; scores of
 * evaluations side by side (eval_table.c). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/eval_table.h"
#include "cli/safe_text.h"
#include "runs/report.h"

#define PATH 4096

struct report_options { const char *out, *picture, *series; };

static void print_number(double n)
{
    if (isfinite(n))
        printf("  %9.4f", n);
    else
        printf("  %9s", "-");
}

static void print_rl_table(const struct history *runs, int n)
{
    static const enum history_kind kinds[] = {HISTORY_REWARD, HISTORY_PASS, HISTORY_TEST,
                                              HISTORY_LENGTH};

    printf("%9s  %9s  %9s  %9s  %9s  %10s  run\n", "steps", "reward", "right", "test", "length",
           "minutes");
    for (int i = 0; i < n; i++) {
        printf("%9lld", (long long)runs[i].step);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
            print_number(history_last(&runs[i].series[kinds[k]]));
        printf("  %10.1f  ", runs[i].seconds / 60);
        safe_text_print(stdout, runs[i].name);
        putchar('\n');
    }
}

/* Of pairs: what validation says of them. */
static void print_table(const struct history *runs, int n)
{
    bool pairs = false;

    for (int i = 0; i < n; i++)
        pairs |= history_of_pairs(&runs[i]);
    printf("%9s  %12s  %9s  %9s  ", "steps", "tokens", "loss", "valid");
    if (pairs)
        printf("%9s  %9s  ", "margin", "right");
    printf("%10s  run\n", "minutes");
    for (int i = 0; i < n; i++) {
        const struct history *h = &runs[i];

        printf("%9lld  %12.0f", (long long)h->step, h->tokens);
        print_number(history_last(&h->series[HISTORY_LOSS]));
        print_number(history_last(&h->series[HISTORY_VALID]));
        if (pairs) {
            print_number(history_last(&h->series[HISTORY_VALID_MARGIN]));
            print_number(history_last(&h->series[HISTORY_VALID_RIGHT]));
        }
        printf("  %10.1f  ", h->seconds / 60);
        safe_text_print(stdout, h->name);
        putchar('\n');
    }
}

static int find_series(const char *name, enum history_kind *kind, struct mk_error *err)
{
    char all[512] = "";
    size_t n = 0;

    *kind = name ? history_kind_named(name) : HISTORY_N;
    if (!name || *kind != HISTORY_N)
        return 0;
    for (int i = 0; i < HISTORY_N && n < sizeof all; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? " " : "",
                              history_kind_name((enum history_kind)i));
    return mk_error_set(err, MK_EINVAL, "--series: '%.40s' is none of %s", name, all);
}

/* A single run has its page in its folder. */
static int write_page(const struct report_options *o, const char *folder,
                      const struct history *runs, int n, struct mk_error *err)
{
    enum history_kind kind;
    char path[PATH];

    if (!o->out && snprintf(path, sizeof path, "%s/report.html", folder) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    if (find_series(o->series, &kind, err) ||
        report_write(o->out ? o->out : path, runs, (size_t)n, err) ||
        (o->picture && report_picture(o->picture, runs, (size_t)n, kind, err)))
        return err->code;
    if (runs[0].rl)
        print_rl_table(runs, n);
    else
        print_table(runs, n);
    puts(o->out ? o->out : path);
    if (o->picture)
        puts(o->picture);
    return 0;
}

static int report(const struct report_options *o, char **folders, int n, struct mk_error *err)
{
    struct history *runs = calloc((size_t)n, sizeof *runs);
    int n_read = 0;

    if (!runs)
        return mk_error_memory(err, (size_t)n * sizeof *runs);
    err->code = 0;
    while (n_read < n && !history_read(&runs[n_read], folders[n_read], err))
        n_read++;
    if (n_read == n)
        write_page(o, folders[0], runs, n, err);
    for (int i = 0; i < n_read; i++)
        history_release(&runs[i]);
    free(runs);
    return err->code;
}

/* Whether the folders are of minke eval: all of them or none. */
static int check_folders(char **folders, int n, bool *evaluations, struct mk_error *err)
{
    *evaluations = eval_table_is_for(folders[0]);
    for (int i = 0; i < n; i++) {
        bool scores = eval_table_is_for(folders[i]);

        if (access(folders[i], F_OK))
            return mk_error_set(err, MK_ENOTFOUND, "%s: there is no such folder", folders[i]);
        if (scores != *evaluations)
            return mk_error_set(err, MK_EINVAL,
                                "%s has scores of minke eval, %s has none: they are not compared",
                                folders[scores ? i : 0], folders[scores ? 0 : i]);
    }
    return 0;
}

int cmd_report(int argc, char **argv)
{
    struct report_options o = {0};
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, &o.out, "FILE", "the page (RUN/report.html)", 0, 0, NULL},
        {"svg", 0, CLI_STRING, &o.picture, "FILE", "one figure as a picture too", 0, 0, NULL},
        {"series", 0, CLI_STRING, &o.series, "NAME", "of the picture (loss, pass)", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        "report", "RUN...",
        "Draws the curves of a run of minke train (loss, learning rate, gradient norm,\n"
        "speed, experts) or of minke rl (right answers, length, reward, entropy, live\n"
        "groups, and answers to read). Several runs of a kind come beside one another\n"
        "on one page, which --out names: one file, without network and scripts.\n"
        "Folders of minke eval are printed as a table: scores, differences, errors.\n\n"
        "example: minke report eval/small eval/large",
        1, 64, options};
    struct mk_error err = {0};
    bool evaluations;
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (check_folders(argv + 1, n_args, &evaluations, &err))
        return cli_fail(&err);
    if (evaluations)
        return eval_table_print(argv + 1, n_args, &err) ? cli_fail(&err) : 0;
    if (!o.out && n_args > 1)
        return cli_usage("report", "several runs: --out FILE is missing");
    if (o.series && !o.picture)
        return cli_usage("report", "--series is the picture's: --svg FILE is missing");
    return report(&o, argv + 1, n_args, &err) ? cli_fail(&err) : 0;
}
