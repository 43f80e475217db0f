/* train_show.c: how a run is doing: the line that a person watches. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/progress.h"
#include "cli/train_run.h"

/* ---- The line ------------------------------------------------------------------------------- */

static void format_time(char text[32], double seconds)
{
    long s = (long)(seconds + 0.5);

    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

static void format_line(char line[PROGRESS_COLUMNS + 1], const struct train_run *run,
                        const struct step_report *r)
{
    double seconds = (clock_ms() - run->begun_ms) / 1000, total = (double)run->recipe->train.tokens;
    double speed = (double)(r->tokens - run->begun_tokens) / (seconds > 0 ? seconds : 1);
    double left = speed > 0 && r->tokens < total ? (total - (double)r->tokens) / speed : 0;
    char time[32], valid[32] = "", body[256];

    format_time(time, left > 0 ? left : seconds);
    if (run->valid.loss > 0)
        snprintf(valid, sizeof valid, "  valid %.3f", run->valid.loss);
    snprintf(body, sizeof body,
             "step %" PRId64 "  %3.0f %%  loss %.3f%s  lr %.1e  %.0f tok/s  %s %s", r->step,
             fmin(100, 100 * (double)r->tokens / total), r->loss, valid, r->lr, speed,
             left > 0 ? "ETA" : "took", time);
    snprintf(line, PROGRESS_COLUMNS + 1, "%.*s", PROGRESS_COLUMNS, body);
}

void train_show(struct train_run *run, const struct step_report *r, bool last)
{
    char line[PROGRESS_COLUMNS + 1];
    double now = clock_ms(), every = run->terminal ? 100 : 10000;

    if (run->quiet || (!last && r->step > 1 && now - run->shown_ms < every))
        return;
    run->shown_ms = now;
    format_line(line, run, r);
    if (run->terminal)
        fprintf(stderr, "\r%-*s%s", PROGRESS_COLUMNS, line, last ? "\n" : "");
    else
        fprintf(stderr, "%s\n", line);
}
