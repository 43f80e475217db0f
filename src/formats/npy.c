/* npy.c: a header of 128 bytes, then the numbers as they lie in memory. */
#include "formats/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

#define HEADER_BYTES 128 /* a multiple of 64, as numpy asks for; room for any shape */

int npy_open(struct npy_writer *w, const char *path, int64_t n_rows, int64_t n_cols,
             struct mk_error *err)
{
    char header[HEADER_BYTES + 1] = "\x93NUMPY\x01";
    uint64_t bytes;

    *w = (struct npy_writer){.n_rows = n_rows, .n_cols = n_cols};
    if (n_rows < 0 || n_cols < 1 || !checked_mul((uint64_t)n_rows, (uint64_t)n_cols, &bytes) ||
        !checked_mul(bytes, sizeof(float), &bytes))
        return mk_error_set(err, MK_EINVAL, "%s: %" PRId64 " rows of %" PRId64 " values cannot be",
                            path, n_rows, n_cols);
    header[7] = 0; /* version 1.0, then the length of the rest */
    header[8] = HEADER_BYTES - 10;
    header[9] = 0;
    memset(header + 10, ' ', HEADER_BYTES - 11);
    snprintf(header + 10, HEADER_BYTES - 10,
             "{'descr': '<f4', 'fortran_order': False, 'shape': (%" PRId64 ", %" PRId64 "), }",
             n_rows, n_cols);
    header[10 + strlen(header + 10)] = ' '; /* the terminator of snprintf */
    header[HEADER_BYTES - 1] = '\n';
    if (part_file_open(&w->file, path, err))
        return err->code;
    if (part_file_write(&w->file, header, HEADER_BYTES, err)) {
        npy_discard(w);
        return err->code;
    }
    return 0;
}

int npy_append(struct npy_writer *w, const float *rows, int64_t n, struct mk_error *err)
{
    if (n < 0 || n > w->n_rows - w->n_written)
        return mk_error_set(err, MK_EINVAL,
                            "%s: %" PRId64 " rows were declared, more are appended", w->file.path,
                            w->n_rows);
    w->n_written += n;
    return part_file_write(&w->file, rows, (uint64_t)n * (uint64_t)w->n_cols * sizeof *rows, err);
}

int npy_close(struct npy_writer *w, struct mk_error *err)
{
    int rc = 0;

    if (w->n_written != w->n_rows)
        rc = mk_error_set(err, MK_EINVAL,
                          "%s: %" PRId64 " of %" PRId64 " declared rows were appended",
                          w->file.path, w->n_written, w->n_rows);
    if (rc || part_file_sync(&w->file, err) || part_file_rename(&w->file, err)) {
        npy_discard(w);
        return err->code;
    }
    part_file_keep(&w->file);
    return 0;
}

void npy_discard(struct npy_writer *w)
{
    part_file_discard(&w->file);
}
