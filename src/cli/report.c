/* report.c: `minke report`: curves of training runs, drawn again or beside one another. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/safe_text.h"
#include "runs/report.h"

#define PATH 4096

static void print_number(double n)
{
    if (isfinite(n))
        printf("  %9.4f", n);
    else
        printf("  %9s", "-");
}

static void print_table(const struct history *runs, int n)
{
    printf("%9s  %12s  %9s  %9s  %10s  run\n", "steps", "tokens", "loss", "valid", "minutes");
    for (int i = 0; i < n; i++) {
        const struct history *h = &runs[i];

        printf("%9lld  %12.0f", (long long)h->step, h->tokens);
        print_number(history_last(&h->series[HISTORY_LOSS]));
        print_number(history_last(&h->series[HISTORY_VALID]));
        printf("  %10.1f  ", h->seconds / 60);
        safe_text_print(stdout, h->name);
        putchar('\n');
    }
}

/* A single run has its page in its folder. */
static int write_page(const char *out, const char *picture, const char *folder,
                      const struct history *runs, int n, struct mk_error *err)
{
    char path[PATH];

    if (!out && snprintf(path, sizeof path, "%s/report.html", folder) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    if (report_write(out ? out : path, runs, (size_t)n, err))
        return err->code;
    if (picture && report_picture(picture, runs, (size_t)n, err))
        return err->code;
    print_table(runs, n);
    puts(out ? out : path);
    return 0;
}

static int report(const char *out, const char *picture, char **folders, int n,
                  struct mk_error *err)
{
    struct history *runs = calloc((size_t)n, sizeof *runs);
    int n_read = 0;

    if (!runs)
        return mk_error_memory(err, (size_t)n * sizeof *runs);
    err->code = 0;
    while (n_read < n && !history_read(&runs[n_read], folders[n_read], err))
        n_read++;
    if (n_read == n)
        write_page(out, picture, folders[0], runs, n, err);
    for (int i = 0; i < n_read; i++)
        history_release(&runs[i]);
    free(runs);
    return err->code;
}

int cmd_report(int argc, char **argv)
{
    const char *out = NULL, *picture = NULL;
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, &out, "FILE", "the page (RUN/report.html)", 0, 0, NULL},
        {"svg", 0, CLI_STRING, &picture, "FILE", "the curves of the loss as a picture too", 0, 0,
         NULL},
        {0}};
    const struct cli_syntax syntax = {
        "report", "RUN...",
        "Draws the curves of a run of minke train: loss, learning rate, gradient norm,\n"
        "speed, experts. Several runs come beside one another on one page, which --out\n"
        "names. The page is one file, without network and scripts.",
        1, 64, options};
    struct mk_error err = {0};
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (!out && n_args > 1)
        return cli_usage("report", "several runs: --out FILE is missing");
    return report(out, picture, argv + 1, n_args, &err) ? cli_fail(&err) : 0;
}
