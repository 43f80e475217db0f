/* reference_file.h: what a reference model made of pairs of answers: a log-probability for each.
 *
 * Layout, little-endian:
 *
 *     0    8   "minke-rf"
 *     8    4   version, 1
 *     12   4   zero
 *     16   32  SHA-256 of the data and how they are cut
 *     48   32  SHA-256 of the model and how it computes
 *     80   8   n_values
 *     88       n_values doubles: of pair i the chosen answer at 2 i, the rejected one at 2 i + 1
 *          32  SHA-256 of all before
 */
#ifndef MK_FORMATS_REFERENCE_FILE_H
#define MK_FORMATS_REFERENCE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct reference_key { unsigned char data[32], model[32]; };

/* Written beside and renamed. */
int reference_file_write(const char *path, const struct reference_key *key, const double *values,
                         int64_t n, struct mk_error *err);
/* values [n]. check_model false: of any model. MK_ENOTFOUND when there is none, MK_EUNSUPPORTED
 * when it is of other data or another model, MK_EFORMAT when it is damaged. */
int reference_file_read(const char *path, const struct reference_key *key, bool check_model,
                        double *values, int64_t n, struct mk_error *err);
/* The same from memory; `path` is for messages. */
int reference_parse(const void *bytes, size_t n_bytes, const char *path,
                    const struct reference_key *key, bool check_model, double *values, int64_t n,
                    struct mk_error *err);

#endif
