/* report_parts.h: what the pages of both kinds of runs are put together from. For report*.c
 * alone. */
#ifndef MK_RUNS_REPORT_PARTS_H
#define MK_RUNS_REPORT_PARTS_H

#include "runs/page.h"

#define REPORT_MAX_LINES 3 /* of a figure of one run */

/* A figure of this kind: of one run with what belongs beside it (validation beside training), of
 * several the same series of each. lines [n, at least REPORT_MAX_LINES]. Returns how many. */
size_t report_lines(const struct history *runs, size_t n, enum history_kind kind,
                    struct page_line *lines);
const char *report_title(const struct history *runs, size_t n, enum history_kind kind);
void report_figure(struct page *p, const struct history *runs, size_t n, enum history_kind kind,
                   struct page_line *lines);
/* A curve for each part; of: what a part's name is a name of, where that does not say itself, or
 * NULL; lines [parts->n]. */
void report_figure_of_parts(struct page *p, const char *title, const struct history_parts *parts,
                            const char *of, struct page_line *lines);
/* The heading over what is run's alone, of n runs. */
void report_heading(struct page *p, const struct history *run, size_t n);
/* With which numbers it was made: recipe.yaml, unfolded by a click. */
void report_recipe(struct page *p, const struct history *run);
/* The part of this name, or one without points. */
const struct history_series *report_part(const struct history_parts *p, const char *name);
/* A cell with `digits` behind the point; "-" for no number. */
void report_cell(struct page *p, double y, int digits);
/* "min:s" of a run. */
void report_time_cell(struct page *p, const struct history *h);
/* Tokens a second over the run, without its first step: NAN when unknown. */
double report_speed(const struct history *h);

/* ---- report_rl.c ----------------------------------------------------------------------------- */

void report_rl_table(struct page *p, const struct history *runs, size_t n);
void report_rl_figures(struct page *p, const struct history *runs, size_t n,
                       struct page_line *lines);

#endif
