/* npy.h: writes a matrix of float32 as numpy's .npy, row by row; appears under its name when whole.
 *
 * Version 1.0 of the format, little-endian, C order. One owner. */
#ifndef MK_FORMATS_NPY_H
#define MK_FORMATS_NPY_H

#include "base/part_file.h"

struct npy_writer {
    struct part_file file; /* owned */
    int64_t n_rows, n_cols, n_written; /* rows declared, values a row, rows so far */
};

/* n_rows 0 is allowed; n_cols at least 1. */
int npy_open(struct npy_writer *w, const char *path, int64_t n_rows, int64_t n_cols,
             struct mk_error *err);
/* rows [n, n_cols]. Refuses more than were declared. */
int npy_append(struct npy_writer *w, const float *rows, int64_t n, struct mk_error *err);
/* Puts the file in its place; MK_EINVAL when rows are missing. Ends the use, failed or not. */
int npy_close(struct npy_writer *w, struct mk_error *err);
/* Removes what was written. Does nothing after npy_close. */
void npy_discard(struct npy_writer *w);

#endif
