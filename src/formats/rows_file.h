/* rows_file.h: what teachers said of positions in texts, kept on the disk: of each text the k most
 * probable tokens behind every position that is learned.
 *
 * Layout, little-endian:
 *
 *     0    8   "minke-tr"
 *     8    4   version, 1
 *     12   4   k
 *     16   32  SHA-256 of the teachers and how they compute
 *     48       records, one behind the other:
 *              16       the text: the first half of the SHA-256 of what identifies it
 *              4        n, positions
 *              4        zero
 *              4 n k    token ids, most probable first
 *              4 n k    their log-probabilities, f32
 *              4 n      log-probability of all other tokens together, f32
 *              16       the first half of the SHA-256 of the record before it
 *
 * Records are only ever added. A record that a kill cut off is removed when the file is opened
 * next; one that is damaged counts as not there, whoever asks for it computes it anew and adds it.
 * One process at a time. */
#ifndef MK_FORMATS_ROWS_FILE_H
#define MK_FORMATS_ROWS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define ROWS_TEXT_BYTES 16

struct rows_file_key {
    unsigned char teachers[32];
    int32_t k;
};

/* Of one text; storage is the caller's. */
struct rows {
    int32_t n;   /* positions */
    int32_t *ids; /* [n, k] */
    float *logp;  /* [n, k] */
    float *rest;  /* [n] */
};

struct rows_file;
/* Made when it is not there. MK_EINVAL when it is of other teachers, or another process has it;
 * MK_EFORMAT when it is no such file. */
int rows_file_open(struct rows_file **f, const char *path, const struct rows_file_key *key,
                   struct mk_error *err);
void rows_file_close(struct rows_file *f);
/* Texts in it. */
int64_t rows_file_count(const struct rows_file *f);
/* Fills r, whose n is what the text must have. *found false: not there, or damaged. */
int rows_file_find(struct rows_file *f, const unsigned char text[ROWS_TEXT_BYTES], struct rows *r,
                   bool *found, struct mk_error *err);
int rows_file_add(struct rows_file *f, const unsigned char text[ROWS_TEXT_BYTES],
                  const struct rows *r, struct mk_error *err);

#endif
