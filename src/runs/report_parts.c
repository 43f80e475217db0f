/* report_parts.c: titles, and which curves stand beside one another. */
#include "runs/report_parts.h"

#include <math.h>
#include <string.h>

static const char *const titles[HISTORY_N] = {
    [HISTORY_LOSS] = "Training loss, nats a token",
    [HISTORY_VALID] = "Validation loss, nats a token",
    [HISTORY_MTP] = "MTP loss, nats a token",
    [HISTORY_BALANCE] = "Balance loss",
    [HISTORY_LR] = "Learning rate",
    [HISTORY_NORM] = "Gradient norm",
    [HISTORY_DIVERGENCE] = "Divergence from the teachers, nats a token",
    [HISTORY_REWARD] = "Reward of an answer, mean",
    [HISTORY_PASS] = "Right answers, share",
    [HISTORY_LENGTH] = "Length of an answer, tokens",
    [HISTORY_TRUNCATED] = "Answers cut off by the limit, share",
    [HISTORY_FORMED] = "Well-formed answers, share",
    [HISTORY_ENTROPY] = "Entropy of the policy, nats a token",
    [HISTORY_KL] = "KL to the reference, nats a token",
    [HISTORY_MISMATCH] = "Sampler against trainer: largest |log pi - log mu|",
    [HISTORY_MEAN_MISMATCH] = "Sampler against trainer: mean |log pi - log mu|",
    [HISTORY_CLIPPED] = "Clipped tokens, share",
    [HISTORY_TEST] = "Right answers to test questions, share",
    [HISTORY_TEST_LENGTH] = "Length of an answer to a test question, tokens",
    [HISTORY_LIVE] = "Live groups, share of those asked",
    [HISTORY_MARGIN] = "Margin of chosen over rejected answers",
    [HISTORY_RIGHT] = "Pairs in the right order, share",
    [HISTORY_CHOSEN] = "Chosen answers: log-probability or score",
    [HISTORY_REJECTED] = "Rejected answers: log-probability or score",
    [HISTORY_VALID_MARGIN] = "Margin of validation pairs",
    [HISTORY_VALID_RIGHT] = "Validation pairs in the right order, share",
    [HISTORY_SPEED] = "Tokens a second",
    [HISTORY_UTILISATION] = "Utilisation, share of the measured peak",
    [HISTORY_MS] = "Milliseconds a step",
};

/* What one run's figure shows beside its kind. */
struct beside { enum history_kind kind; const char *name; };
struct company {
    enum history_kind kind;
    const char *title, *name;
    struct beside beside[REPORT_MAX_LINES - 1];
    int n;
};
static const struct company companies[] = {
    {HISTORY_LOSS, "Loss, nats a token", "training",
     {{HISTORY_VALID, "validation"}, {HISTORY_MTP, "MTP"}}, 2},
    {HISTORY_PASS, "Right answers, share", "training", {{HISTORY_TEST, "test, greedy"}}, 1},
    {HISTORY_LENGTH, "Length of an answer, tokens", "training",
     {{HISTORY_TEST_LENGTH, "test, greedy"}}, 1},
    {HISTORY_TRUNCATED, "Form of the answers, share", "cut off by the limit",
     {{HISTORY_FORMED, "well formed"}}, 1},
    {HISTORY_MISMATCH, "Sampler against trainer, |log pi - log mu|", "largest",
     {{HISTORY_MEAN_MISMATCH, "mean"}}, 1},
    {HISTORY_MARGIN, "Margin of chosen over rejected answers", "training",
     {{HISTORY_VALID_MARGIN, "validation"}}, 1},
    {HISTORY_RIGHT, "Pairs in the right order, share", "training",
     {{HISTORY_VALID_RIGHT, "validation"}}, 1},
    {HISTORY_CHOSEN, "Answers: log-probability or score", "chosen",
     {{HISTORY_REJECTED, "rejected"}}, 1},
};

static const struct company *company_of(const struct history *runs, size_t n,
                                        enum history_kind kind)
{
    for (size_t i = 0; n == 1 && i < sizeof companies / sizeof *companies; i++)
        if (companies[i].kind == kind && !(runs[0].rl && kind == HISTORY_LOSS))
            return &companies[i];
    return NULL;
}

const char *report_title(const struct history *runs, size_t n, enum history_kind kind)
{
    const struct company *c = company_of(runs, n, kind);

    if (runs[0].rl && kind == HISTORY_LOSS)
        return "Loss of the objective";
    if (history_of_pairs(&runs[0]) && (kind == HISTORY_LOSS || kind == HISTORY_VALID))
        return kind == HISTORY_LOSS ? "Loss of a pair" : "Validation loss of a pair";
    return c ? c->title : titles[kind];
}

size_t report_lines(const struct history *runs, size_t n, enum history_kind kind,
                    struct page_line *lines)
{
    const struct company *c = company_of(runs, n, kind);

    for (size_t i = 0; i < n; i++)
        lines[i] = (struct page_line){c ? c->name : runs[i].name, &runs[i].series[kind], NULL};
    for (int i = 0; c && i < c->n; i++)
        lines[n++] =
            (struct page_line){c->beside[i].name, &runs[0].series[c->beside[i].kind], NULL};
    return n;
}

void report_figure(struct page *p, const struct history *runs, size_t n, enum history_kind kind,
                   struct page_line *lines)
{
    const char *title = report_title(runs, n, kind);

    page_curves(p, title, lines, report_lines(runs, n, kind, lines));
}

void report_figure_of_parts(struct page *p, const char *title, const struct history_parts *parts,
                            const char *of, struct page_line *lines)
{
    for (size_t i = 0; i < parts->n; i++)
        lines[i] = (struct page_line){parts->items[i].name, &parts->items[i], of};
    page_curves(p, title, lines, parts->n);
}

void report_heading(struct page *p, const struct history *run, size_t n)
{
    page_put(p, "<h2>");
    page_text(p, n > 1 ? run->name : "In detail");
    page_put(p, "</h2>\n");
}

void report_recipe(struct page *p, const struct history *run)
{
    if (!run->recipe)
        return;
    page_put(p, "<details><summary>Recipe, every key</summary><pre>");
    page_lines(p, run->recipe);
    page_put(p, "</pre></details>\n");
}

const struct history_series *report_part(const struct history_parts *p, const char *name)
{
    static const struct history_series none = {0};

    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->items[i].name, name))
            return &p->items[i];
    return &none;
}

void report_cell(struct page *p, double y, int digits)
{
    if (isfinite(y))
        page_put(p, "<td>%.*f</td>", digits, y);
    else
        page_put(p, "<td>-</td>");
}

void report_time_cell(struct page *p, const struct history *h)
{
    double seconds = fmin(h->seconds, 1e12);

    page_put(p, "<td>%lld:%02d</td>", (long long)(seconds / 60), (int)fmod(seconds, 60));
}

double report_speed(const struct history *h)
{
    const struct history_series *s = &h->series[HISTORY_SPEED];
    double sum = 0;

    /* The harmonic mean: tokens over seconds when steps are equally long. */
    for (size_t i = 1; i < s->n; i++)
        sum += 1 / fmax(s->points[i].y, 1e-9);
    return sum > 0 ? (double)(s->n - 1) / sum : NAN;
}
