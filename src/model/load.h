/* load.h: from named tensors of a file to packed weights, with every shape checked.
 *
 * A loader lives while one model is loaded. It says which tensor is missing or has the wrong shape
 * by the name that stands in the file, and lets go of the file's pages behind itself, so that a
 * model never lies in memory twice. */
#ifndef MK_MODEL_LOAD_H
#define MK_MODEL_LOAD_H

#include "model/model.h"

struct loader {
    const struct tensors *file; /* borrowed */
    enum name_style style;
    struct model *model; /* being filled; arch and options are already there */
    struct arena temp;   /* reset by each function that uses it */
    uint64_t done_bytes, total_bytes;
    double active_share; /* of the parameters being loaded: 1, or n_experts_used / n_experts */
    double n_active;
};

int loader_init(struct loader *ld, struct model *m, const struct tensors *t, enum name_style style);
void loader_release(struct loader *ld);

bool load_has(const struct loader *ld, enum weight_role role, int32_t layer);

/* Rows row0 .. row0 + n_out - 1 of a matrix of n_rows rows and n_in columns. Tensors of three
 * dimensions are rows of their last one. */
struct matrix_part {
    enum weight_role role;
    int32_t layer, expert;
    int64_t n_rows, row0, n_out, n_in;
};
/* Where a part lies in the file, with its shape checked; for an expert of a GGUF stack, its rows of
 * the stack. Vectors are one row. */
int load_describe(const struct loader *ld, const struct matrix_part *part, struct weight_src *src,
                  const struct file_tensor **tensor, struct mk_error *err);
/* One row as f32 [n_in], block scales applied. */
void load_row_f32(const struct weight_src *src, int64_t r, float *out);

int load_matrix(struct loader *ld, struct packed *p, const struct matrix_part *part,
                struct mk_error *err);
/* The same rows as columns: p is [n_in, n_out]. Quantised values become f16 on the way,
 * FP8 f32. */
int load_transposed(struct loader *ld, struct packed *p, const struct matrix_part *part,
                    struct mk_error *err);
/* A whole matrix, kept as f32 whatever the file has: the router decides on small differences. */
int load_matrix_f32(struct loader *ld, struct packed *p, const struct matrix_part *part,
                    struct mk_error *err);
/* [n] as f32: norms, biases. */
int load_vector(struct loader *ld, const float **v, enum weight_role role, int32_t layer, int64_t n,
                struct mk_error *err);
/* Zeroed memory of the model's lifetime. */
int load_take(struct loader *ld, void *pointer_to_pointer, size_t n, size_t size,
              struct mk_error *err);

#endif
