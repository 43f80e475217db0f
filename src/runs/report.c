/* report.c: the page: a table, curves that compare runs, then each run's own figures. Those of runs
 * that learn from rewards are in report_rl.c. */
#include "runs/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"
#include "runs/events.h"
#include "runs/report_parts.h"

#define PATH 4096

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "style-src 'unsafe-inline'\">\n";

static const char *const style[] = {
    "*{box-sizing:border-box}body{margin:0 auto;padding:12px;max-width:1240px;color:var(--ink);"
    "background:var(--paper);font:15px/1.45 system-ui,sans-serif}\n"
    "h1{font-size:1.35em;margin:.3em 0}h2{font-size:1.1em;margin:1.4em 0 .4em;"
    "overflow-wrap:anywhere}\n"
    /* A shade at the right edge says that there is more; at a table's end paper covers it. */
    ".scroll{overflow-x:auto;margin-bottom:12px;background:linear-gradient(270deg,var(--paper) "
    "50%,transparent) right/36px 100% no-repeat local,linear-gradient(270deg,var(--grid),"
    "transparent) right/14px 100% no-repeat scroll}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:3px 10px 3px 0;text-align:right}th:first-child,td:first-child"
    "{text-align:left;white-space:nowrap}th{color:var(--dim);font-weight:500;white-space:nowrap}\n",
    ".grid{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),"
    "1fr))}figure{margin:0;padding:10px;background:var(--card);border-radius:8px;min-width:0}\n"
    "figcaption{font-weight:600;margin-bottom:4px}svg{display:block;width:100%;height:auto}"
    "svg text{font:11px system-ui,sans-serif;fill:var(--dim)}\n"
    ".g{stroke:var(--grid);fill:none}.c{fill:none;stroke-width:1.6;stroke-linejoin:round}"
    ".dash{stroke-dasharray:4 3}.hot{fill:var(--hot)}.cold{fill:var(--cold)}\n",
    ".legend{margin:6px 0 0;font-size:13px;color:var(--dim);overflow-wrap:anywhere}"
    ".legend span{margin-right:10px;display:inline-block}"
    ".legend b{color:var(--ink);font-weight:600}"
    ".legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:4px}"
    ".note{margin:8px 0 12px}details{margin:0 0 12px}summary{color:var(--dim);cursor:pointer;"
    "font-size:13px}details pre{padding:8px 0}"
    "pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;"
    "font:12px/1.4 ui-monospace,monospace}"
    "i.hot{background:var(--hot)}i.cold{background:var(--cold)}\n",
    /* On a phone a row of the answers becomes a card: every cell a line with its name. */
    "h3{font-size:1em;margin:1.2em 0 0}.answers{width:100%;font-size:13px}"
    ".answers td{padding:6px 12px 6px 0;vertical-align:top}.answers tbody{border-top:1px solid "
    "var(--grid)}.answers th,.answers td:nth-child(-n+6){text-align:left}"
    ".answers td:nth-child(3){width:26%}.answers td:nth-child(4){width:38%}"
    ".yes{color:var(--c2)}.no{color:var(--c1)}\n"
    "@media(max-width:760px){.scroll{font-size:13px}.scroll th,.scroll td{padding-right:7px}"
    ".answers,.answers tbody,.answers tr,.answers td{display:block}"
    ".answers tr:has(th){display:none}.answers tr{background:var(--card);border-radius:8px;"
    "padding:8px 10px;margin:0 0 10px}.answers tbody{border:0}"
    ".answers td{padding:1px 0;width:auto!important;display:grid;grid-template-columns:76px 1fr;"
    "text-align:left}.answers td::before{content:attr(data-l);color:var(--dim)}}\n"};

static void put_head(struct page *p, const struct history *runs, size_t n)
{
    page_put(p, "%s<title>", head);
    page_text(p, runs[0].name);
    page_put(p, "%s</title>\n", n > 1 ? " and others" : "");
    page_put(p, "<style>\n%s%s", page_colours[0], page_colours[1]);
    for (size_t i = 0; i < sizeof style / sizeof *style; i++)
        page_put(p, "%s", style[i]);
    for (int i = 0; i < PAGE_COLOURS; i++)
        page_put(p, "path.c%d{stroke:var(--c%d)}i.c%d{background:var(--c%d)}"
                    "rect.c%d{fill:var(--c%d)}\n", i, i, i, i, i, i);
    page_put(p, "</style></head><body>\n<h1>");
    if (n == 1)
        page_text(p, runs[0].name);
    else
        page_put(p, "%zu runs", n);
    page_put(p, "</h1>\n");
}

/* ---- The table ------------------------------------------------------------------------------- */

static double lowest(const struct history_series *s)
{
    double y = NAN;

    for (size_t i = 0; i < s->n; i++)
        y = fmin(y, s->points[i].y);
    return y;
}

static void put_row(struct page *p, const struct history *h, bool pairs, bool skipped)
{
    char tokens[16], speed[16];

    page_number(tokens, h->tokens);
    page_number(speed, report_speed(h));
    page_put(p, "<tr><td>");
    page_text(p, h->name);
    page_put(p, "</td><td>%lld</td><td>%s</td>", (long long)h->step, tokens);
    report_cell(p, history_last(&h->series[HISTORY_LOSS]), 4);
    report_cell(p, history_last(&h->series[HISTORY_VALID]), 4);
    report_cell(p, lowest(&h->series[HISTORY_VALID]), 4);
    if (pairs) {
        report_cell(p, history_last(&h->series[HISTORY_VALID_MARGIN]), 3);
        report_cell(p, history_last(&h->series[HISTORY_VALID_RIGHT]), 3);
    }
    page_put(p, "<td>%s</td>", speed);
    report_time_cell(p, h);
    if (skipped)
        page_put(p, "<td>%lld</td>", (long long)h->n_skipped);
    page_put(p, "</tr>\n");
}

static void put_table(struct page *p, const struct history *runs, size_t n)
{
    bool pairs = false; /* a run has learned from some: what validation says of them */
    bool skipped = false;

    for (size_t i = 0; i < n; i++) {
        pairs |= history_of_pairs(&runs[i]);
        skipped |= runs[i].n_skipped > 0;
    }
    page_put(p, "<div class=\"scroll\"><table><tr><th>run</th><th>steps</th><th>tokens</th>"
                "<th>loss</th><th>valid</th><th>best valid</th>%s<th>tokens/s</th><th>min:s</th>"
                "%s</tr>\n",
             pairs ? "<th>margin</th><th>right pairs</th>" : "",
             skipped ? "<th>skipped</th>" : "");
    for (size_t i = 0; i < n; i++)
        put_row(p, &runs[i], pairs, skipped);
    page_put(p, "</table></div>\n");
}

/* ---- Figures --------------------------------------------------------------------------------- */

/* The mean of the last twentieth: one step's loss is mostly chance. */
static double end_mean(const struct history_series *s)
{
    size_t n = s->n / 20 > 0 ? s->n / 20 : s->n > 0;
    double sum = 0;

    for (size_t i = s->n - n; i < s->n; i++)
        sum += s->points[i].y;
    return n ? sum / (double)n : NAN;
}

static void put_sources(struct page *p, const struct history *h)
{
    char tokens[16], epochs[16];

    if (h->sources.n == 0)
        return;
    page_put(p, "<div class=\"scroll\"><table><tr><th>source</th><th>tokens</th><th>epochs</th>"
                "<th>loss</th><th>valid</th></tr>\n");
    for (size_t i = 0; i < h->sources.n; i++) {
        const char *name = h->sources.items[i].name;

        page_number(tokens, history_last(report_part(&h->source_tokens, name)));
        page_number(epochs, history_last(report_part(&h->source_epochs, name)));
        page_put(p, "<tr><td>");
        page_text(p, name);
        page_put(p, "</td><td>%s</td><td>%s</td>", tokens, epochs);
        report_cell(p, end_mean(&h->sources.items[i]), 4);
        report_cell(p, history_last(report_part(&h->source_valid, name)), 4);
        page_put(p, "</tr>\n");
    }
    page_put(p, "</table></div>\n");
}

static void put_sample(struct page *p, const struct sample *s)
{
    if (!s->text)
        return;
    page_put(p, "<figure><figcaption>Sample after step %lld</figcaption><pre>",
             (long long)s->step);
    page_lines(p, s->text);
    page_put(p, "</pre></figure>\n");
}

/* Most runs drop nothing: no figure then. */
static void put_dropped(struct page *p, const struct history *h, struct page_line *lines)
{
    if (history_most(&h->dropped) > 0)
        report_figure_of_parts(p, "Choices of experts dropped in a step, by layer", &h->dropped,
                               "layer", lines);
}

/* With one source alone its curves are those of the run. */
static void put_source_figures(struct page *p, const struct history *h, struct page_line *lines)
{
    if (h->sources.n < 2)
        return;
    report_figure_of_parts(p, "Loss by source", &h->sources, NULL, lines);
    report_figure_of_parts(p, "Validation loss by source", &h->source_valid, NULL, lines);
    report_figure_of_parts(p, "Epochs by source", &h->source_epochs, NULL, lines);
}

/* What is one run's and compares with no other: sources, experts, samples. */
static void put_own(struct page *p, const struct history *h, struct page_line *lines)
{
    put_sources(p, h);
    page_put(p, "<div class=\"grid\">\n");
    put_source_figures(p, h, lines);
    page_map(p, h);
    report_figure_of_parts(p, "How much the sources' experts differ, by layer", &h->information,
                           "layer", lines);
    report_figure_of_parts(p, "Entropy of the load by layer, of its largest", &h->entropy, "layer",
                           lines);
    report_figure_of_parts(p, "Busiest expert by layer, times the mean", &h->layers, "layer",
                           lines);
    put_dropped(p, h, lines);
    page_balance(p, &h->layers);
    page_loads(p, h);
    put_sample(p, &h->samples.first);
    put_sample(p, &h->samples.last);
    page_put(p, "</div>\n");
}

static const enum history_kind kinds[] = {
    HISTORY_RIGHT, HISTORY_MARGIN,      HISTORY_CHOSEN, HISTORY_LR, HISTORY_NORM,
    HISTORY_SPEED, HISTORY_UTILISATION, HISTORY_BALANCE, HISTORY_DIVERGENCE};

static void put_figures(struct page *p, const struct history *runs, size_t n,
                        struct page_line *lines)
{
    page_put(p, "<p class=\"legend note\">All curves are over tokens; a point is the mean of its "
                "stretch.</p>\n<div class=\"grid\">\n");
    report_figure(p, runs, n, HISTORY_LOSS, lines);
    if (n > 1)
        report_figure(p, runs, n, HISTORY_VALID, lines);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        report_figure(p, runs, n, kinds[i], lines);
    page_put(p, "</div>\n");
    for (size_t i = 0; i < n; i++) {
        report_heading(p, &runs[i], n);
        report_recipe(p, &runs[i]);
        put_own(p, &runs[i], lines);
    }
}

/* Over steps the one kind, over tokens the other: they have no axis in common. */
static int check_kinds(const struct history *runs, size_t n, struct mk_error *err)
{
    for (size_t i = 1; i < n; i++)
        if (runs[i].rl != runs[0].rl)
            return mk_error_set(err, MK_EINVAL,
                                "%s learns from rewards, %s does not: draw a page of each",
                                runs[runs[i].rl ? i : 0].name, runs[runs[i].rl ? 0 : i].name);
    return 0;
}

/* Room for every figure's lines. */
static struct page_line *take_lines(size_t n, struct mk_error *err)
{
    size_t n_lines = n > HISTORY_MAX_PARTS ? n : HISTORY_MAX_PARTS;
    struct page_line *lines = calloc(n_lines, sizeof *lines);

    if (!lines)
        mk_error_memory(err, n_lines * sizeof *lines);
    return lines;
}

int report_write(const char *path, const struct history *runs, size_t n, struct mk_error *err)
{
    struct page_line *lines;
    struct page p;

    if (check_kinds(runs, n, err) || !(lines = take_lines(n, err)))
        return err->code;
    page_init(&p, err);
    put_head(&p, runs, n);
    if (runs[0].rl) {
        report_rl_table(&p, runs, n);
        report_rl_figures(&p, runs, n, lines);
    } else {
        put_table(&p, runs, n);
        put_figures(&p, runs, n, lines);
    }
    page_put(&p, "</body></html>\n");
    if (!err->code)
        write_file(path, p.b.data, p.b.n, err);
    page_release(&p);
    free(lines);
    return err->code;
}

int report_picture(const char *path, const struct history *runs, size_t n, enum history_kind kind,
                   struct mk_error *err)
{
    struct page_line *lines;
    struct page p;

    if (check_kinds(runs, n, err) || !(lines = take_lines(n, err)))
        return err->code;
    if (kind == HISTORY_N)
        kind = runs[0].rl ? HISTORY_PASS : HISTORY_LOSS;
    page_init(&p, err);
    page_picture(&p, report_title(runs, n, kind), lines, report_lines(runs, n, kind, lines));
    if (!err->code)
        write_file(path, p.b.data, p.b.n, err);
    page_release(&p);
    free(lines);
    return err->code;
}

int report_refresh(const char *folder, struct mk_error *err)
{
    char page[PATH], events[PATH];
    struct history h;
    int rc;

    if (snprintf(page, PATH, "%s/report.html", folder) >= PATH ||
        snprintf(events, PATH, "%s/" EVENTS_NAME, folder) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    if (history_read(&h, folder, err))
        return err->code;
    rc = report_write(page, &h, 1, err);
    if (!rc)
        rc = events_write(events, &h, err);
    history_release(&h);
    return rc;
}
