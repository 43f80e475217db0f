/* report_rl.c: the page of runs that learn from rewards: how often they are right, how long they
 * think, and answers to read. */
#include "runs/report_parts.h"

#include <math.h>

/* ---- The table ------------------------------------------------------------------------------- */

static double highest(const struct history_series *s)
{
    double y = NAN;

    for (size_t i = 0; i < s->n; i++)
        y = fmax(y, s->points[i].y);
    return y;
}

static void put_row(struct page *p, const struct history *h)
{
    char speed[16];

    page_number(speed, report_speed(h));
    page_put(p, "<tr><td>");
    page_text(p, h->name);
    page_put(p, "</td><td>%lld</td>", (long long)h->step);
    report_cell(p, history_last(&h->series[HISTORY_REWARD]), 3);
    report_cell(p, history_last(&h->series[HISTORY_PASS]), 3);
    report_cell(p, history_last(&h->series[HISTORY_TEST]), 3);
    report_cell(p, highest(&h->series[HISTORY_TEST]), 3);
    report_cell(p, history_last(&h->series[HISTORY_LENGTH]), 1);
    page_put(p, "<td>%s</td>", speed);
    report_time_cell(p, h);
    page_put(p, "</tr>\n");
}

void report_rl_table(struct page *p, const struct history *runs, size_t n)
{
    page_put(p, "<div class=\"scroll\"><table><tr><th>run</th><th>steps</th><th>reward</th>"
                "<th>right</th><th>test</th><th>best test</th><th>length</th><th>tokens/s</th>"
                "<th>min:s</th></tr>\n");
    for (size_t i = 0; i < n; i++)
        put_row(p, &runs[i]);
    page_put(p, "</table></div>\n");
}

/* ---- Figures --------------------------------------------------------------------------------- */

/* alone: in one run's page; there the others stand in the figures of those that they go with. */
static const struct { enum history_kind kind; bool alone; } kinds[] = {
    {HISTORY_PASS, true},        {HISTORY_TEST, false},      {HISTORY_LENGTH, true},
    {HISTORY_TEST_LENGTH, false}, {HISTORY_REWARD, true},    {HISTORY_TRUNCATED, true},
    {HISTORY_FORMED, false},     {HISTORY_ENTROPY, true},    {HISTORY_LIVE, true},
    {HISTORY_KL, true},          {HISTORY_MISMATCH, true},   {HISTORY_MEAN_MISMATCH, false},
    {HISTORY_CLIPPED, true},     {HISTORY_NORM, true},       {HISTORY_LR, true},
    {HISTORY_LOSS, true},        {HISTORY_SPEED, true},      {HISTORY_DIVERGENCE, true},
};

static bool is_shown(const struct history *runs, size_t n, size_t i)
{
    bool shown = n > 1 || kinds[i].alone;

    /* A run with one update a step clips nothing: no figure of zeros then. */
    for (size_t r = 0; shown && kinds[i].kind == HISTORY_CLIPPED; r++)
        if (r == n || highest(&runs[r].series[HISTORY_CLIPPED]) > 0)
            return r < n;
    return shown;
}

/* In exact runs nothing is written about a mismatch: the run would have ended at the first. */
static bool is_exact(const struct history *h)
{
    return h->series[HISTORY_REWARD].n && !h->series[HISTORY_MISMATCH].n;
}

/* Without a curriculum levels stay where they are: no figure then. */
static bool levels_change(const struct history_parts *levels)
{
    for (size_t i = 0; i < levels->n; i++)
        for (size_t k = 1; k < levels->items[i].n; k++)
            if (levels->items[i].points[k].y != levels->items[i].points[0].y)
                return true;
    return false;
}

/* With one task alone its curves are those of the run. */
static void put_tasks(struct page *p, const struct history *h, struct page_line *lines)
{
    if (h->task_pass.n > 1) {
        report_figure_of_parts(p, "Right answers by task, share", &h->task_pass, NULL, lines);
        report_figure_of_parts(p, "Right answers to test questions by task", &h->task_test, NULL,
                               lines);
        report_figure_of_parts(p, "Reward by task, mean", &h->task_reward, NULL, lines);
    }
    if (levels_change(&h->task_level))
        report_figure_of_parts(p, "Level of difficulty by task", &h->task_level, NULL, lines);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void put_answer(struct page *p, const struct answer *a)
{
    const char *verdict = a->correct ? "right" : a->truncated ? "cut off" : "wrong";

    page_put(p, "<tr><td data-l=\"step\">%lld</td><td data-l=\"task\">", (long long)a->step);
    page_text(p, a->task);
    page_put(p, " %lld</td><td data-l=\"question\"><pre>", (long long)a->level);
    page_lines(p, a->question);
    page_put(p, "</pre></td><td data-l=\"answer\"><pre>");
    page_lines(p, a->response);
    page_put(p, "</pre></td><td data-l=\"reference\"><pre>");
    page_lines(p, a->reference);
    page_put(p, "</pre></td><td data-l=\"verdict\" class=\"%s\">%s</td><td data-l=\"tokens\">%lld"
                "</td><td data-l=\"reward\">%.2f</td></tr>\n", a->correct ? "yes" : "no", verdict,
             (long long)a->tokens, a->reward);
}

static void put_answers(struct page *p, const struct answers *a)
{
    if (a->n == 0)
        return;
    page_put(p, "<h3>Answers along the way</h3><p class=\"legend note\">The first answers of a "
                "step, chosen by their place alone. A task's number is its level.</p>\n"
                "<table class=\"answers\"><tr><th>step</th><th>task</th><th>question</th>"
                "<th>answer</th><th>reference</th><th>verdict</th><th>tokens</th><th>reward</th>"
                "</tr>\n");
    for (size_t i = 0; i < a->n; i++) {
        if (i > 0 && a->items[i].step != a->items[i - 1].step)
            page_put(p, "</tbody><tbody>");
        else if (i == 0)
            page_put(p, "<tbody>");
        put_answer(p, &a->items[i]);
    }
    page_put(p, "</tbody></table>\n");
}

void report_rl_figures(struct page *p, const struct history *runs, size_t n,
                       struct page_line *lines)
{
    page_put(p, "<p class=\"legend note\">All curves are over steps; a point is the mean of its "
                "stretch.</p>\n<div class=\"grid\">\n");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (is_shown(runs, n, i))
            report_figure(p, runs, n, kinds[i].kind, lines);
    page_put(p, "</div>\n");
    for (size_t i = 0; i < n; i++) {
        report_heading(p, &runs[i], n);
        report_recipe(p, &runs[i]);
        if (is_exact(&runs[i]))
            page_put(p, "<p class=\"legend note\">The sampler's log-probability of every token was "
                        "the trainer's, to the bit.</p>\n");
        page_put(p, "<div class=\"grid\">\n");
        put_tasks(p, &runs[i], lines);
        page_put(p, "</div>\n");
        put_answers(p, &runs[i].answers);
    }
}
