/* report.c: the page: a table, curves that compare runs, then each run's own figures. */
#include "runs/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"
#include "runs/events.h"
#include "runs/page.h"

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
    ".scroll{overflow-x:auto;margin-bottom:12px}"
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
    ".note{margin:8px 0 12px}pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;"
    "font:12px/1.4 ui-monospace,monospace}"
    "i.hot{background:var(--hot)}i.cold{background:var(--cold)}\n"};

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

static void put_loss(struct page *p, double loss)
{
    if (isfinite(loss))
        page_put(p, "<td>%.4f</td>", loss);
    else
        page_put(p, "<td>-</td>");
}

static void put_row(struct page *p, const struct history *h)
{
    double trained = 0;
    char tokens[16], speed[16];

    for (size_t i = 1; i < h->series[HISTORY_SPEED].n; i++)
        trained += 1 / fmax(h->series[HISTORY_SPEED].points[i].y, 1e-9);
    page_number(tokens, h->tokens);
    /* the harmonic mean: tokens over seconds when steps are equally long */
    page_number(speed, trained > 0 ? (double)(h->series[HISTORY_SPEED].n - 1) / trained : NAN);
    page_put(p, "<tr><td>");
    page_text(p, h->name);
    page_put(p, "</td><td>%lld</td><td>%s</td>", (long long)h->step, tokens);
    put_loss(p, history_last(&h->series[HISTORY_LOSS]));
    put_loss(p, history_last(&h->series[HISTORY_VALID]));
    put_loss(p, lowest(&h->series[HISTORY_VALID]));
    page_put(p, "<td>%s</td><td>%lld:%02d</td><td>%lld</td></tr>\n", speed,
             (long long)(fmin(h->seconds, 1e12) / 60), (int)fmod(fmin(h->seconds, 1e12), 60),
             (long long)h->n_skipped);
}

static void put_table(struct page *p, const struct history *runs, size_t n)
{
    page_put(p, "<div class=\"scroll\"><table><tr><th>run</th><th>steps</th><th>tokens</th>"
                "<th>loss</th><th>valid</th><th>best valid</th><th>tokens/s</th><th>min:s</th>"
                "<th>skipped</th></tr>\n");
    for (size_t i = 0; i < n; i++)
        put_row(p, &runs[i]);
    page_put(p, "</table></div>\n");
}

/* ---- Figures --------------------------------------------------------------------------------- */

static void put_kind(struct page *p, const char *title, const struct history *runs, size_t n,
                     enum history_kind kind, struct page_line *lines)
{
    for (size_t i = 0; i < n; i++)
        lines[i] = (struct page_line){runs[i].name, &runs[i].series[kind]};
    page_curves(p, title, lines, n);
}

static void put_parts(struct page *p, const char *title, const struct history_parts *parts,
                      struct page_line *lines)
{
    for (size_t i = 0; i < parts->n; i++)
        lines[i] = (struct page_line){parts->items[i].name, &parts->items[i]};
    page_curves(p, title, lines, parts->n);
}

static const struct history_series *part(const struct history_parts *p, const char *name)
{
    static const struct history_series none = {0};

    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->items[i].name, name))
            return &p->items[i];
    return &none;
}

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

        page_number(tokens, history_last(part(&h->source_tokens, name)));
        page_number(epochs, history_last(part(&h->source_epochs, name)));
        page_put(p, "<tr><td>");
        page_text(p, name);
        page_put(p, "</td><td>%s</td><td>%s</td>", tokens, epochs);
        put_loss(p, end_mean(&h->sources.items[i]));
        put_loss(p, history_last(part(&h->source_valid, name)));
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
        put_parts(p, "Choices of experts dropped in a step, by layer", &h->dropped, lines);
}

static const char losses_title[] = "Loss, nats a token";

/* The loss of one run with that of the validation share beside it. */
static void losses_of(const struct history *h, struct page_line lines[3])
{
    lines[0] = (struct page_line){"training", &h->series[HISTORY_LOSS]};
    lines[1] = (struct page_line){"validation", &h->series[HISTORY_VALID]};
    lines[2] = (struct page_line){"MTP", &h->series[HISTORY_MTP]};
}

static void put_figures(struct page *p, const struct history *runs, size_t n,
                        struct page_line *lines)
{
    page_put(p, "<p class=\"legend note\">All curves are over tokens; a point is the mean of its "
                "stretch.</p>\n<div class=\"grid\">\n");
    if (n == 1) {
        losses_of(&runs[0], lines);
        page_curves(p, losses_title, lines, 3);
    } else {
        put_kind(p, "Training loss, nats a token", runs, n, HISTORY_LOSS, lines);
        put_kind(p, "Validation loss, nats a token", runs, n, HISTORY_VALID, lines);
    }
    put_kind(p, "Learning rate", runs, n, HISTORY_LR, lines);
    put_kind(p, "Gradient norm", runs, n, HISTORY_NORM, lines);
    put_kind(p, "Tokens a second", runs, n, HISTORY_SPEED, lines);
    put_kind(p, "Utilisation, share of the measured peak", runs, n, HISTORY_UTILISATION, lines);
    put_kind(p, "Balance loss", runs, n, HISTORY_BALANCE, lines);
    page_put(p, "</div>\n");
    for (size_t i = 0; i < n; i++) {
        const struct history *h = &runs[i];

        page_put(p, "<h2>");
        page_text(p, h->name);
        page_put(p, "</h2>\n");
        put_sources(p, h);
        page_put(p, "<div class=\"grid\">\n");
        put_parts(p, "Loss by source", &h->sources, lines);
        put_parts(p, "Validation loss by source", &h->source_valid, lines);
        put_parts(p, "Epochs by source", &h->source_epochs, lines);
        page_map(p, h);
        put_parts(p, "How much the sources' experts differ, by layer", &h->information, lines);
        put_parts(p, "Entropy of the load by layer, of its largest", &h->entropy, lines);
        put_parts(p, "Busiest expert by layer, times the mean", &h->layers, lines);
        put_dropped(p, h, lines);
        page_balance(p, &h->layers);
        page_loads(p, h);
        put_sample(p, &h->samples.first);
        put_sample(p, &h->samples.last);
        page_put(p, "</div>\n");
    }
}

int report_write(const char *path, const struct history *runs, size_t n, struct mk_error *err)
{
    size_t n_lines = n > HISTORY_MAX_PARTS ? n : HISTORY_MAX_PARTS;
    struct page_line *lines = calloc(n_lines, sizeof *lines);
    struct page p;

    if (!lines)
        return mk_error_memory(err, n_lines * sizeof *lines);
    page_init(&p, err);
    put_head(&p, runs, n);
    put_table(&p, runs, n);
    put_figures(&p, runs, n, lines);
    page_put(&p, "</body></html>\n");
    if (!err->code)
        write_file(path, p.b.data, p.b.n, err);
    page_release(&p);
    free(lines);
    return err->code;
}

int report_picture(const char *path, const struct history *runs, size_t n, struct mk_error *err)
{
    size_t n_lines = n > 1 ? n : 3;
    struct page_line *lines = calloc(n_lines, sizeof *lines);
    struct page p;

    if (!lines)
        return mk_error_memory(err, n_lines * sizeof *lines);
    page_init(&p, err);
    for (size_t i = 0; i < n; i++)
        lines[i] = (struct page_line){runs[i].name, &runs[i].series[HISTORY_LOSS]};
    if (n == 1)
        losses_of(&runs[0], lines);
    page_picture(&p, n == 1 ? losses_title : "Training loss, nats a token", lines, n_lines);
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
