/* report.h: report.html: one or several runs on one page that opens from the disk, without network
 * and without scripts, on a phone and in the dark; and its first figure as a file of its own. */
#ifndef MK_RUNS_REPORT_H
#define MK_RUNS_REPORT_H

#include "runs/history.h"

/* Writes beside and renames. runs [n], n >= 1: the first figures compare them; all of minke train,
 * or all of minke rl. */
int report_write(const char *path, const struct history *runs, size_t n, struct mk_error *err);
/* One figure alone as a picture (SVG): of one run with what belongs to it (training, validation and
 * MTP loss), of several the series of each. HISTORY_N: the loss, of minke rl the share of right
 * answers. Writes beside and renames. */
int report_picture(const char *path, const struct history *runs, size_t n, enum history_kind kind,
                   struct mk_error *err);
/* Folder/report.html and the events file for TensorBoard, from what stands in the folder. */
int report_refresh(const char *folder, struct mk_error *err);

#endif
