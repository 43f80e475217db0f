/* train_show.c: how a run is doing: the line that a person watches. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "cli/data.h"
#include "cli/progress.h"
#include "cli/safe_text.h"
#include "cli/train_run.h"

/* ---- What is being prepared ------------------------------------------------------------------ */

static void tell(void *user, const char *text)
{
    const struct train_run *run = user;

    if (!run->quiet)
        fprintf(stderr, "%s\n", text);
}

static void built(void *user, const char *name, const struct data_build_report *r)
{
    const struct train_run *run = user;
    char dir[RUN_PATH + 300];

    snprintf(dir, sizeof dir, "%s/data/%s", run->path, name);
    if (!run->quiet)
        data_report_print(stderr, r, dir, name);
}

void train_listen(struct train_run *run)
{
    run->data.say = tell;
    run->data.built = built;
    run->data.user = run;
    run->terminal = isatty(STDERR_FILENO);
}

/* ---- The line ------------------------------------------------------------------------------- */

/* "[#####......] " in what room the rest of the line leaves; nothing when that is too little. */
static void format_bar(char bar[PROGRESS_COLUMNS + 1], double share, size_t n_rest)
{
    int width = PROGRESS_COLUMNS - (int)n_rest - 3, n;

    width = width > 24 ? 24 : width;
    n = snprintf(bar, PROGRESS_COLUMNS + 1, "%s", width < 6 ? "" : "[");
    for (int i = 0; width >= 6 && i < width; i++)
        bar[n++] = (i + 0.5) / width < share ? '#' : '.';
    snprintf(bar + n, (size_t)(PROGRESS_COLUMNS + 1 - n), "%s", width < 6 ? "" : "] ");
}

/* What there is beside the loss: of pairs how they are ordered, else validation. The margin has
 * room only where there is no bar. */
static void format_more(char more[64], const struct train_run *run, const struct step_report *r)
{
    double n = (double)r->dpo.n_pairs;

    more[0] = '\0';
    if (n > 0 && run->terminal)
        snprintf(more, 64, "  right %.0f %%", 100 * (double)r->dpo.n_right / n);
    else if (n > 0)
        snprintf(more, 64, "  margin %.3f  right %.0f %%", r->dpo.margin / n,
                 100 * (double)r->dpo.n_right / n);
    else if (run->valid.loss > 0)
        snprintf(more, 64, "  valid %.3f", run->valid.loss);
}

static void format_line(char line[PROGRESS_COLUMNS + 1], const struct train_run *run,
                        const struct step_report *r)
{
    double seconds = (clock_ms() - run->begun_ms) / 1000, total = (double)run->recipe->train.tokens;
    double done = (double)(r->tokens - run->begun_tokens);
    double left = done > 0 ? fmax(0, total - (double)r->tokens) / done * seconds : 0;
    double speed = done * 1000 / fmax(run->trained_ms, 1e-3);
    char time[32], more[64], util[32] = "", step[32], bar[PROGRESS_COLUMNS + 1] = "", body[256];

    progress_time(time, left > 0 ? left : seconds);
    format_more(more, run, r);
    if (r->dpo.n_pairs == 0 || run->terminal) /* else the line is long enough */
        snprintf(util, sizeof util, "  util %.0f %%",
                 100 * speed * run->token_ops / run->peak_ops);
    snprintf(step, sizeof step, "  step %" PRId64, r->step);
    snprintf(body, sizeof body, "%3.0f %%%s  loss %.3f%s  %.0f tok/s%s  %s %s",
             fmin(100, 100 * (double)r->tokens / total), run->terminal ? "" : step, r->loss, more,
             speed, util, left > 0 ? "ETA" : "took", time);
    if (run->terminal)
        format_bar(bar, (double)r->tokens / total, strlen(body));
    snprintf(line, PROGRESS_COLUMNS + 1, "%s%s", bar, body);
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

/* ---- The end -------------------------------------------------------------------------------- */

static void print_loss(const struct mixture_counter *c)
{
    if (c->n_loss)
        fprintf(stderr, "%9.4f  ", c->loss_sum / (double)c->n_loss);
    else
        fprintf(stderr, "%9s  ", "-");
}

void train_finish(const struct train_run *run)
{
    const struct mixture *m = corpus_mixture(run->data.train);

    if (run->quiet || run->trainer.state.step == 0)
        return;
    fprintf(stderr, "%12s  %7s  %9s  %9s  source\n", "tokens", "epochs", "mean loss", "valid");
    for (int i = 0; i < m->n_sources; i++) {
        fprintf(stderr, "%12" PRId64 "  %7.2f  ", m->state.sources[i].n_tokens,
                mixture_epochs(m, i));
        print_loss(&m->state.sources[i]);
        print_loss(&run->valid.sources[i]);
        safe_text_print(stderr, m->sources[i].name);
        fputc('\n', stderr);
    }
    if (run->valid.dpo.n_pairs)
        fprintf(stderr, "validation pairs  margin %.3f, %.1f %% in the right order\n",
                run->valid.dpo.margin / (double)run->valid.dpo.n_pairs,
                100 * (double)run->valid.dpo.n_right / (double)run->valid.dpo.n_pairs);
    memory_told_after(&run->memory);
}
