/* packed.h: a weight matrix in panels of sixteen outputs, packed once while a model is loaded.
 *
 * The same panels serve one row and a thousand rows: outputs run across the lanes, K is walked in
 * order down memory. Block types keep the file's bits per weight; nothing is requantised. The
 * layout is one for all instruction sets (PANELS.md draws each), so the numbers differ between
 * machines only by how sums are rounded. */
#ifndef MK_KERNELS_PACKED_H
#define MK_KERNELS_PACKED_H

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "tensor/dtype.h"

#define MK_PANEL 16

/* Where experts lie on many devices, their inputs are sent to them, or their outputs (rows one
 * behind the other) back: training in FP8 rounds what is sent (low_precision.h). The model says. */
enum packed_sent { SENT_NOWHERE, SENT_TO_EXPERTS, SENT_FROM_EXPERTS };

struct packed {
    enum dtype dtype;    /* of the weights: the file's */
    int32_t n_out, n_in; /* [r, k]. k is a multiple of the dtype's block; r any number */
    int32_t block_in;    /* FP8: inputs that share a scale, inside the panel; else 0 */
    int64_t panel_bytes; /* one panel: 16 outputs, every k; a multiple of 64 */
    unsigned char *data; /* ceil(r / 16) panels, 64-byte aligned; borrowed from the arena */
    enum packed_sent sent;
};

/* Where the values of a matrix lie in a file: rows row_bytes apart, or a transposed view of plain
 * values. Borrowed until packing is over. The caller has checked that the file has them all. */
struct weight_src {
    enum dtype dtype;
    int64_t n_out, n_in; /* of the matrix wanted */
    const void *data;    /* first value */
    int64_t row_bytes;   /* from one output (transposed: one input) to the next; 0: no gaps */
    bool transposed; /* value (r, k) is at data + k * row_bytes + r values; F32, F16, BF16 only */
    /* FP8 with block scales (weight_scale_inv): scale of (r, k) is
     * scales[(row0 + r) / block_out][k / block_in]. NULL: all scales are 1. */
    const float *scales; /* [.., n_scale_cols] or NULL */
    int64_t n_scale_cols, row0;
    int32_t block_out, block_in;
};

/* Bytes that packing will take, scales included. MK_EUNSUPPORTED when the dtype cannot be a weight,
 * is not one for this view, or k does not divide into its blocks; MK_EFORMAT when a size is none.
 */
int packed_bytes(const struct weight_src *src, uint64_t *bytes, struct mk_error *err);
/* Packs into memory taken from `arena`: packed_reserve, then packed_fill. */
int packed_init(struct packed *p, const struct weight_src *src, struct arena *arena,
                struct mk_error *err);
/* The two halves. Reserving takes the memory and is for one thread; filling touches nothing but `p`
 * and `src`, so several matrices can be filled by several threads. */
int packed_reserve(struct packed *p, const struct weight_src *src, struct arena *arena,
                   struct mk_error *err);
void packed_fill(struct packed *p, const struct weight_src *src);
/* Row r as f32 [k]: embeddings and tests. Exactly the value the file's block stands for; FP8: value
 * times scale, rounded once. */
void packed_row(const struct packed *p, int64_t r, float *out);

/* Panels of a matrix of n_out outputs. */
static inline int64_t packed_n_panels(const struct packed *p)
{
    return ((int64_t)p->n_out + MK_PANEL - 1) / MK_PANEL;
}

#endif
