/* packed.h: a weight matrix in panels of sixteen outputs, packed once while a model is loaded.
 *
 * The same panels serve one row and a thousand rows: outputs run across the lanes, K is walked in
 * order down memory. Block types keep the file's bits per weight; nothing is requantised. The
 * layout is one for all instruction sets (docs/formats.md draws each), so the numbers differ
 * between machines only by how sums are rounded. */
#ifndef MK_KERNELS_PACKED_H
#define MK_KERNELS_PACKED_H

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "tensor/dtype.h"

#define MK_PANEL 16

struct packed {
    enum dtype dtype;    /* of the weights: the file's */
    int32_t n_out, n_in; /* [r, k]. k is a multiple of the dtype's block; r any number */
    int64_t panel_bytes; /* one panel: 16 outputs, every k */
    unsigned char *data; /* ceil(r / 16) panels, 64-byte aligned; borrowed from the model arena */
    const float *scales; /* FP8: [ceil(r / block_out), ceil(k / block_in)], else NULL; borrowed from
                            the model arena */
    int32_t block_out, block_in;
};

/* Where the values of a matrix lie in a file: a contiguous run of whole rows, or a transposed view
 * of plain values. */
struct weight_src {
    enum dtype dtype;
    int64_t n_out, n_in; /* of the matrix wanted */
    const void *data;    /* first value */
    int64_t row_bytes;   /* from one output to the next; 0: rows follow one another */
    bool transposed; /* value (r, k) is at data + k * row_bytes + r values; F32, F16, BF16 only */
    /* FP8 with block scales (weight_scale_inv): scale of (r, k) is scale[(row0 + r) / block_out][k
     * / block_in]. */
    const float *scales; /* [.., n_scale_cols] or NULL */
    int64_t n_scale_cols, row0;
    int32_t block_out, block_in;
};

/* Bytes that packing will take, scales included. MK_EUNSUPPORTED when the dtype cannot be a weight
 * or k does not divide into its blocks. */
int packed_bytes(const struct weight_src *src, uint64_t *bytes, struct mk_error *err);
/* Packs into memory taken from `arena`. */
int packed_init(struct packed *p, const struct weight_src *src, struct arena *arena,
                struct mk_error *err);
/* Row r as f32 [k]: embeddings and tests. Exactly the value the file's block stands for. */
void packed_row(const struct packed *p, int64_t r, float *out);

#endif
