/* figures.c: curves and heat maps as SVG. Colours are classes of the page's style, so that they
 * follow light and dark. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runs/page.h"

/* Of the picture, in its own units. */
enum { WIDTH = 360, HEIGHT = 220, LEFT = 44, RIGHT = 352, TOP = 10, BOTTOM = 196 };
enum { HEAT_COLUMNS = 80, HEAT_ROW = 12, MAP_ROW = 32 };

struct axes { double x0, x1, y0, y1; }; /* what the corners stand for */

static double place_x(const struct axes *a, double x)
{
    return LEFT + (x - a->x0) / (a->x1 - a->x0) * (RIGHT - LEFT);
}

static double place_y(const struct axes *a, double y)
{
    return BOTTOM - (y - a->y0) / (a->y1 - a->y0) * (BOTTOM - TOP);
}

/* ---- Points ---------------------------------------------------------------------------------- */

struct stretch { double x, y; };

/* Means of at most PAGE_POINTS stretches of equal length; the first and last point as they are. */
static size_t thin(const struct history_series *s, struct stretch out[PAGE_POINTS])
{
    size_t n = s->n < PAGE_POINTS ? s->n : PAGE_POINTS;

    for (size_t i = 0; i < n; i++) {
        size_t begin = i * s->n / n, end = (i + 1) * s->n / n;

        out[i] = (struct stretch){0, 0};
        for (size_t k = begin; k < end; k++) {
            out[i].x += s->points[k].x / (double)(end - begin);
            out[i].y += s->points[k].y / (double)(end - begin);
        }
    }
    return n;
}

static bool fit_axes(struct axes *a, const struct page_line *lines, size_t n_lines)
{
    struct stretch points[PAGE_POINTS];
    double room;

    *a = (struct axes){INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (size_t l = 0; l < n_lines; l++) {
        size_t n = thin(lines[l].series, points);

        for (size_t i = 0; i < n; i++) {
            a->x0 = fmin(a->x0, points[i].x);
            a->x1 = fmax(a->x1, points[i].x);
            a->y0 = fmin(a->y0, points[i].y);
            a->y1 = fmax(a->y1, points[i].y);
        }
    }
    if (!isfinite(a->x0) || !isfinite(a->y0) || !isfinite(a->x1) || !isfinite(a->y1))
        return false;
    room = a->y1 > a->y0 ? 0.04 * (a->y1 - a->y0) : fmax(fabs(a->y0), 1e-9) * 0.1;
    a->y0 -= room;
    a->y1 += room;
    if (a->x1 <= a->x0)
        a->x1 = a->x0 + 1;
    return isfinite(a->y1 - a->y0) && isfinite(a->x1 - a->x0) && a->x1 > a->x0;
}

/* ---- Axes ------------------------------------------------------------------------------------ */

enum { MAX_TICKS = 12 }; /* numbers so large that a step is lost in them end the loop too */

/* 1, 2 or 5 times a power of ten: about four of them in a span. */
static double tick_step(double span)
{
    double unit = pow(10, floor(log10(span / 4))), n = span / 4 / unit;

    return unit * (n < 1.5 ? 1 : n < 3.5 ? 2 : n < 7.5 ? 5 : 10);
}

static void put_axes(struct page *p, const struct axes *a)
{
    double dy = tick_step(a->y1 - a->y0), dx = tick_step(a->x1 - a->x0);
    double y = ceil(a->y0 / dy) * dy, x = ceil(a->x0 / dx) * dx;
    char text[16];

    for (int i = 0; i < MAX_TICKS && y <= a->y1; i++, y += dy) {
        page_number(text, fabs(y) < dy / 2 ? 0 : y);
        page_put(p, "<path class=\"g\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                    "text-anchor=\"end\">%s</text>\n", LEFT, place_y(a, y), RIGHT, LEFT - 4,
                 place_y(a, y) + 4, text);
    }
    for (int i = 0; i < MAX_TICKS && x <= a->x1; i++, x += dx) {
        page_number(text, fabs(x) < dx / 2 ? 0 : x);
        page_put(p, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>\n", place_x(a, x),
                 BOTTOM + 16, place_x(a, x) > RIGHT - 14 ? "end" : "middle", text);
    }
}

/* ---- Curves ---------------------------------------------------------------------------------- */

static void put_name(struct page *p, const struct page_line *line)
{
    if (line->of)
        page_put(p, "%s ", line->of);
    page_text(p, line->name);
}

static void put_curve(struct page *p, const struct axes *a, const struct page_line *line,
                      size_t colour)
{
    struct stretch points[PAGE_POINTS];
    size_t n = thin(line->series, points);

    if (n == 0)
        return;
    page_put(p, "<path class=\"c c%zu%s\" d=\"M", colour % PAGE_COLOURS,
             colour >= PAGE_COLOURS ? " dash" : "");
    for (size_t i = 0; i < n; i++)
        page_put(p, "%s%.1f %.1f", i ? "L" : "", place_x(a, points[i].x),
                 place_y(a, points[i].y));
    page_put(p, "%s\"><title>", n == 1 ? "h1" : "");
    put_name(p, line);
    page_put(p, "</title></path>\n");
}

/* Names with the last value of each. */
static void put_legend(struct page *p, const struct page_line *lines, size_t n)
{
    char text[16];

    page_put(p, "<p class=\"legend\">");
    for (size_t l = 0; l < n; l++) {
        if (!lines[l].series->n)
            continue;
        page_number(text, history_last(lines[l].series));
        page_put(p, "<span><i class=\"c%zu\"></i>", l % PAGE_COLOURS);
        put_name(p, &lines[l]);
        page_put(p, " <b>%s</b></span> ", text);
    }
    page_put(p, "</p>");
}

static void begin_figure(struct page *p, const char *title, int height)
{
    page_put(p, "<figure><figcaption>");
    page_text(p, title);
    page_put(p, "</figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH,
             height);
    page_text(p, title);
    page_put(p, "\">\n");
}

void page_curves(struct page *p, const char *title, const struct page_line *lines, size_t n)
{
    struct axes a;

    if (!fit_axes(&a, lines, n))
        return;
    begin_figure(p, title, HEIGHT);
    put_axes(p, &a);
    for (size_t l = 0; l < n; l++)
        put_curve(p, &a, &lines[l], l);
    page_put(p, "</svg>\n");
    put_legend(p, lines, n);
    page_put(p, "</figure>\n");
}

/* ---- A picture of its own ------------------------------------------------------------------- */

enum { TITLE = 24, LEGEND_ROW = 16, LEGEND_COLUMNS = 2 };

static void put_picture_legend(struct page *p, const struct page_line *lines, size_t n)
{
    char text[16];
    size_t place = 0;

    for (size_t l = 0; l < n; l++) {
        int x = LEFT + (int)(place % LEGEND_COLUMNS) * (RIGHT - LEFT) / LEGEND_COLUMNS;
        int y = HEIGHT + 12 + (int)(place / LEGEND_COLUMNS) * LEGEND_ROW;

        if (!lines[l].series->n)
            continue;
        page_number(text, history_last(lines[l].series));
        page_put(p, "<path class=\"c c%zu%s\" d=\"M%d %dh18\"/><text x=\"%d\" y=\"%d\">",
                 l % PAGE_COLOURS, l >= PAGE_COLOURS ? " dash" : "", x, y - 4, x + 24, y);
        put_name(p, &lines[l]);
        page_put(p, " <tspan class=\"n\">%s</tspan></text>\n", text);
        place++;
    }
}

static void put_picture_style(struct page *p)
{
    page_put(p, "<style>\n%s%s", page_colours[0], page_colours[1]);
    page_put(p, "text{font:11px system-ui,sans-serif;fill:var(--dim)}.t{font-size:13px;"
                "font-weight:600;fill:var(--ink)}.n{font-weight:600;fill:var(--ink)}"
                ".g{stroke:var(--grid);fill:none}.c{fill:none;stroke-width:1.6;"
                "stroke-linejoin:round}.dash{stroke-dasharray:4 3}\n");
    for (int i = 0; i < PAGE_COLOURS; i++)
        page_put(p, ".c%d{stroke:var(--c%d)}", i, i);
    page_put(p, "\n</style>\n");
}

void page_picture(struct page *p, const char *title, const struct page_line *lines, size_t n)
{
    int height = TITLE + HEIGHT + LEGEND_ROW * (int)((n + LEGEND_COLUMNS - 1) / LEGEND_COLUMNS);
    struct axes a;

    if (!fit_axes(&a, lines, n)) {
        mk_error_set(p->err, MK_EINVAL, "%s: there is nothing to draw yet", title);
        return;
    }
    page_put(p, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 -%d %d %d\" "
                "width=\"%d\" role=\"img\">\n<title>", TITLE, WIDTH, height, 2 * WIDTH);
    page_text(p, title);
    page_put(p, "</title>\n");
    put_picture_style(p);
    page_put(p, "<text class=\"t\" x=\"%d\" y=\"-6\">", LEFT);
    page_text(p, title);
    page_put(p, "</text>\n");
    put_axes(p, &a);
    for (size_t l = 0; l < n; l++)
        put_curve(p, &a, &lines[l], l);
    put_picture_legend(p, lines, n);
    page_put(p, "</svg>\n");
}

/* ---- Heat maps ------------------------------------------------------------------------------- */

/* A cell is darker the further its load is above the mean, and red where it is below it. */
static void put_cell(struct page *p, double x, double width, size_t row, double load, double most,
                     const char *what)
{
    double above = load >= 1 ? (load - 1) / fmax(most - 1, 0.25) : 1 - load;

    page_put(p, "<rect class=\"%s\" x=\"%.2f\" y=\"%zu\" width=\"%.2f\" height=\"%d\" "
                "fill-opacity=\"%.3f\"><title>%s: %.2f x mean</title></rect>\n",
             load >= 1 ? "hot" : "cold", x, row * HEAT_ROW, width, HEAT_ROW - 1,
             fmin(1, 0.06 + 0.94 * above), what, load);
}

static void put_row_name(struct page *p, size_t y, const char *name)
{
    page_put(p, "<text x=\"%d\" y=\"%zu\" text-anchor=\"end\">", LEFT - 4, y + 10);
    page_text(p, name);
    page_put(p, "</text>\n");
}

void page_balance(struct page *p, const struct history_parts *layers)
{
    double most = 1;

    if (layers->n == 0 || layers->items[0].n == 0)
        return;
    for (size_t l = 0; l < layers->n; l++)
        for (size_t i = 0; i < layers->items[l].n; i++)
            most = fmax(most, layers->items[l].points[i].y);
    begin_figure(p, "Busiest expert of each layer over time", (int)layers->n * HEAT_ROW + 4);
    for (size_t l = 0; l < layers->n; l++) {
        const struct history_series *s = &layers->items[l];
        size_t n = s->n < HEAT_COLUMNS ? s->n : HEAT_COLUMNS;
        char what[96];

        put_row_name(p, l * HEAT_ROW, s->name);
        for (size_t i = 0; i < n; i++) {
            size_t begin = i * s->n / n, end = (i + 1) * s->n / n;
            double mean = 0, width = (double)(RIGHT - LEFT) / (double)n;

            for (size_t k = begin; k < end; k++)
                mean += s->points[k].y / (double)(end - begin);
            snprintf(what, sizeof what, "layer %.20s, step %lld", s->name,
                     (long long)s->points[begin].step);
            put_cell(p, LEFT + (double)i * width, width, l, mean, most, what);
        }
    }
    page_put(p, "</svg><p class=\"legend\">rows: layers; left to right: the run; strongest "
                "colour: %.2f times the mean</p></figure>\n", most);
}

/* Load of each expert in multiples of the mean. */
static void put_loads(struct page *p, const struct history_load *load, size_t row,
                      const char *name, double limit)
{
    double sum = 0, width = (double)(RIGHT - LEFT) / (double)load->n;
    char what[96];

    for (size_t e = 0; e < load->n; e++)
        sum += (double)load->tokens[e];
    put_row_name(p, row * HEAT_ROW, name);
    for (size_t e = 0; e < load->n && sum > 0; e++) {
        snprintf(what, sizeof what, "layer %.20s, expert %zu", name, e);
        put_cell(p, LEFT + (double)e * width, width, row,
                 (double)load->tokens[e] * (double)load->n / sum, limit, what);
    }
}

void page_loads(struct page *p, const struct history *h)
{
    size_t n_rows = 0, row = 0;
    int64_t step = 0;

    for (size_t l = 0; l < h->layers.n; l++) {
        n_rows += h->loads[l].n > 0;
        step = h->loads[l].n ? h->loads[l].step : step;
    }
    if (n_rows == 0)
        return;
    begin_figure(p, "Load of each expert", (int)n_rows * HEAT_ROW + 4);
    for (size_t l = 0; l < h->layers.n; l++)
        if (h->loads[l].n)
            put_loads(p, &h->loads[l], row++, h->layers.items[l].name, 3);
    page_put(p, "</svg><p class=\"legend\">rows: layers; columns: experts, at step %lld; "
                "<i class=\"hot\"></i>above the mean, <i class=\"cold\"></i>below; strongest: "
                "three times the mean, or idle%s</p></figure>\n",
             (long long)step, history_most(&h->dropped) > 0 ? "" : "; no token is dropped");
}

/* ---- Experts by source ----------------------------------------------------------------------- */

/* The sources of one layer that have been counted, and the share of each in every expert. */
struct map {
    size_t n_sources, n_experts;
    const char *names[HISTORY_MAX_PARTS];
    size_t colours[HISTORY_MAX_PARTS];
    const struct history_load *loads[HISTORY_MAX_PARTS];
    double sums[HISTORY_MAX_PARTS];
};

static void read_map(struct map *m, const struct history *h, size_t layer)
{
    const struct history_map *from = &h->maps[layer];

    m->n_sources = m->n_experts = 0;
    for (size_t i = 0; i < from->n; i++) {
        const struct history_load *load = &from->sources[i];
        double sum = 0;

        for (size_t e = 0; e < load->n; e++)
            sum += (double)load->tokens[e];
        if (!(sum > 0) || (m->n_experts && load->n != m->n_experts))
            continue;
        m->n_experts = load->n;
        m->names[m->n_sources] = h->sources.items[i].name;
        m->colours[m->n_sources] = i % PAGE_COLOURS;
        m->loads[m->n_sources] = load;
        m->sums[m->n_sources++] = sum;
    }
}

/* Of an expert's tokens, had all sources as many. */
static double share(const struct map *m, size_t source, size_t expert)
{
    double all = 0;

    for (size_t s = 0; s < m->n_sources; s++)
        all += (double)m->loads[s]->tokens[expert] / m->sums[s];
    return all > 0 ? (double)m->loads[source]->tokens[expert] / m->sums[source] / all : 0;
}

struct column { size_t expert, source; double share; }; /* source: that has most of it */

static int by_source(const void *a, const void *b)
{
    const struct column *x = a, *y = b;

    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    if (x->share != y->share)
        return x->share > y->share ? -1 : 1;
    return x->expert < y->expert ? -1 : 1;
}

static void sort_columns(const struct map *m, struct column *columns)
{
    for (size_t e = 0; e < m->n_experts; e++) {
        columns[e] = (struct column){.expert = e};
        for (size_t s = 0; s < m->n_sources; s++) {
            double here = share(m, s, e);

            if (here > columns[e].share) {
                columns[e].source = s;
                columns[e].share = here;
            }
        }
    }
    qsort(columns, m->n_experts, sizeof *columns, by_source);
}

/* An expert as a pile of its sources. */
static void put_column(struct page *p, const struct map *m, const char *layer, size_t expert,
                       double x, double width, size_t top)
{
    double y = (double)top;

    page_put(p, "<g>");
    for (size_t s = 0; s < m->n_sources; s++) {
        double height = share(m, s, expert) * (MAP_ROW - 4);

        if (height <= 0)
            continue;
        page_put(p, "<rect class=\"c%zu\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
                 m->colours[s], x, y, width, height);
        y += height;
    }
    page_put(p, "<title>layer %.20s, expert %zu:", layer, expert);
    for (size_t s = 0; s < m->n_sources; s++) {
        page_put(p, "%s ", s ? "," : "");
        page_text(p, m->names[s]);
        page_put(p, " %.0f %%", 100 * share(m, s, expert));
    }
    page_put(p, "</title></g>\n");
}

static void put_layer(struct page *p, const struct map *m, const struct history *h, size_t layer,
                      size_t row)
{
    const char *name = h->layers.items[layer].name;
    struct column columns[HISTORY_MAX_EXPERTS];
    double step = (double)(RIGHT - LEFT) / (double)m->n_experts;
    char text[16];

    put_row_name(p, row * MAP_ROW + 2, name);
    for (size_t i = 0; i < h->information.n; i++)
        if (!strcmp(h->information.items[i].name, name)) {
            snprintf(text, sizeof text, "%.2f", history_last(&h->information.items[i]));
            put_row_name(p, row * MAP_ROW + 15, text);
        }
    sort_columns(m, columns);
    for (size_t e = 0; e < m->n_experts; e++)
        put_column(p, m, name, columns[e].expert, LEFT + (double)e * step, step * 0.92,
                   row * MAP_ROW + 2);
}

static void put_map_legend(struct page *p, const struct history *h)
{
    page_put(p, "</svg><p class=\"legend\">");
    for (size_t i = 0; i < h->source_valid.n; i++) {
        size_t colour = 0;

        while (colour < h->sources.n &&
               strcmp(h->sources.items[colour].name, h->source_valid.items[i].name))
            colour++;
        page_put(p, "<span><i class=\"c%zu\"></i>", colour % PAGE_COLOURS);
        page_text(p, h->source_valid.items[i].name);
        page_put(p, "</span> ");
    }
    page_put(p, "<br>rows: layers; columns: experts, each in the colours of the validation text it "
                "is given, all sources weighing the same. Below a layer's number: how much the "
                "sources' experts differ, 0 not at all, 1 no expert is shared</p></figure>\n");
}

void page_map(struct page *p, const struct history *h)
{
    struct map *m = malloc(sizeof *m);
    size_t n_rows = 0, row = 0;

    for (size_t l = 0; m && l < h->layers.n; l++) {
        read_map(m, h, l);
        n_rows += m->n_sources > 1;
    }
    if (!m)
        mk_error_memory(p->err, sizeof *m);
    if (n_rows) {
        begin_figure(p, "Who learned what: experts by source", (int)n_rows * MAP_ROW);
        for (size_t l = 0; l < h->layers.n; l++) {
            read_map(m, h, l);
            if (m->n_sources > 1)
                put_layer(p, m, h, l, row++);
        }
        put_map_legend(p, h);
    }
    free(m);
}
