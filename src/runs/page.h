/* page.h: HTML and SVG written piece by piece. For the files of src/runs alone.
 *
 * The first failure sticks and later calls do nothing, so that a page is written without a check
 * after every piece: look at `err->code` once at the end. Text of files goes through page_text. */
#ifndef MK_RUNS_PAGE_H
#define MK_RUNS_PAGE_H

#include "base/buf.h"
#include "runs/history.h"

struct page {
    struct buf b;
    struct mk_error *err; /* code 0 at the start */
};

void page_init(struct page *p, struct mk_error *err);
void page_release(struct page *p);
void page_put(struct page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Escaped for HTML; control characters become '?'. */
void page_text(struct page *p, const char *text);
/* The same with its line breaks, for <pre>. */
void page_lines(struct page *p, const char *text);
/* "12.3M", "4.6e-4": three digits, a letter or a power of ten. "-" for no number. */
void page_number(char text[16], double n);

/* CSS: the colours of ink, grid and series (--c0 to --c7), then those that a dark reader sees, in a
 * media query. */
extern const char *const page_colours[2];

/* ---- Figures: drawn 360 wide, which a phone shows as it is ----------------------------------- */

#define PAGE_COLOURS 8 /* series beyond take the colours from the start, dashed */

/* of: what the name is of, in front of it ("layer 3"); may be NULL. */
struct page_line { const char *name; const struct history_series *series; const char *of; };
/* Curves over tokens, at most PAGE_POINTS of them: a point is the mean of its stretch. A figure
 * without a point is left out. */
#define PAGE_POINTS 300
void page_curves(struct page *p, const char *title, const struct page_line *lines, size_t n);
/* The same as a picture of its own with its legend, in light or dark as its reader: SVG for a
 * README. A picture without a point is MK_EINVAL. */
void page_picture(struct page *p, const char *title, const struct page_line *lines, size_t n);
/* Rows: layers; columns: time; the busier the busiest expert, the darker. */
void page_balance(struct page *p, const struct history_parts *layers);
/* Rows: layers; columns: experts; colour: load in multiples of the mean. */
void page_loads(struct page *p, const struct history *h);
/* Who learned what: rows: layers; columns: experts, sorted; each in the colours of the sources that
 * it serves, as if all had the same number of tokens. Left out with fewer than two sources. */
void page_map(struct page *p, const struct history *h);

#endif
