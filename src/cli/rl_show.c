/* rl_show.c: how a run of reinforcement learning is doing: what a person watches. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/progress.h"
#include "cli/rl_run.h"

#define MANY_DEAD 5 /* steps without a live group, before it is said */

/* ---- The line and the curves ---------------------------------------------------------------- */

static void format_line(char line[PROGRESS_COLUMNS + 1], const struct rl_run *run,
                        const struct learner_report *r)
{
    double seconds = (clock_ms() - run->begun_ms) / 1000;
    double done = (double)(r->step - run->begun_step), total = (double)run->recipe->rl.steps;
    double left = done > 0 ? (total - (double)r->step) / done * seconds : 0;
    char time[32], test[32] = "", body[256];

    progress_time(time, left > 0 ? left : seconds);
    if (run->tested)
        snprintf(test, sizeof test, "  test %.3f",
                 rl_share(run->test.n_correct, run->test.n_answers));
    snprintf(body, sizeof body,
             "step %" PRId64 "  pass %.3f%s  length %.1f  live %d/%d  ent %.2f  %s %s", r->step,
             rl_share(r->n_correct, r->n_answers), test, r->length, r->n_live, r->n_asked,
             r->entropy, left > 0 ? "ETA" : "took", time);
    snprintf(line, PROGRESS_COLUMNS + 1, "%.*s", PROGRESS_COLUMNS, body);
}

/* The last `width` values as eight heights; the scale is 0 to `top`. */
static void print_curve(const float *x, int64_t n, int width, float top, const char *name,
                        int digits)
{
    static const char *const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    int64_t first = n > width ? n - width : 0;

    fprintf(stderr, "\r\033[K%-8s", name);
    for (int64_t i = first; i < n; i++) {
        int h = (int)(x[i] / (top > 0 ? top : 1) * 7.999f);

        fputs(heights[h < 0 ? 0 : h > 7 ? 7 : h], stderr);
    }
    fprintf(stderr, " %.*f\n", digits, (double)x[n - 1]);
}

static void draw(struct rl_run *run, const char *line)
{
    float top = 0;

    for (int64_t i = 0; i < run->n_curve; i++)
        top = fmaxf(top, run->length[i]);
    if (run->drawn)
        fputs("\033[3A", stderr);
    print_curve(run->pass, run->n_curve, 60, 1, "correct", 2);
    print_curve(run->length, run->n_curve, 60, top, "length", 1);
    fprintf(stderr, "\r\033[K%s\n", line);
    run->drawn = true;
}

/* A line that stays, above the curves of a terminal. */
static void __attribute__((format(printf, 2, 3))) note(struct rl_run *run, const char *format, ...)
{
    va_list args;

    if (run->quiet)
        return;
    if (run->drawn)
        fputs("\033[3A\r\033[J", stderr);
    run->drawn = false;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* What does not stop a run and should be known. */
static void warn(struct rl_run *run, const struct learner_report *r)
{
    double pass = rl_share(r->n_correct, r->n_answers);

    if (r->n_timed_out > 0 && !run->told_timeout) {
        run->told_timeout = true;
        note(run, "step %" PRId64 ": %" PRId64 " programs did not end within rl.code_ms = %" PRId64
                  ": they count as wrong", r->step, r->n_timed_out, run->recipe->rl.code_ms);
    }
    run->n_dead = r->n_live ? 0 : run->n_dead + 1;
    if (run->n_dead == MANY_DEAD)
        note(run, "step %" PRId64 ": no live group in %d steps, so nothing is learned: %.0f %% of "
                  "the answers\nare right, the tasks are too %s for this model",
             r->step, MANY_DEAD, 100 * pass, pass < 0.5 ? "hard" : "easy");
}

static void tell(void *user, const char *text)
{
    const struct rl_run *run = user;

    if (!run->quiet)
        fprintf(stderr, "%s\n", text);
}

void rl_listen(struct rl_run *run)
{
    run->data.say = tell;
    run->data.user = run;
    run->terminal = isatty(STDERR_FILENO);
}

void rl_show(struct rl_run *run, const struct learner_report *r, bool last)
{
    char line[PROGRESS_COLUMNS + 1];
    double now = clock_ms(), every = run->terminal ? 100 : 5000;

    warn(run, r);
    if (run->n_curve < run->recipe->rl.steps) {
        run->pass[run->n_curve] = (float)rl_share(r->n_correct, r->n_answers);
        run->length[run->n_curve++] = (float)r->length;
    }
    if (run->quiet || (!last && r->step > 1 && now - run->shown_ms < every))
        return;
    run->shown_ms = now;
    format_line(line, run, r);
    if (run->terminal)
        draw(run, line);
    else
        fprintf(stderr, "%s\n", line);
}
