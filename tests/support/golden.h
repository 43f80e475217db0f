/* golden.h: reads the golden files that tests compare with, and opens golden models. Failures end
 * the test. */
#ifndef MK_TESTS_GOLDEN_H
#define MK_TESTS_GOLDEN_H

#include "formats/gguf.h"
#include "kernels/kernels.h"
#include "model/model.h"

/* A float32 array of one or two dimensions in a .npy file; freed by the caller. */
float *golden_npy(const char *path, int64_t *rows, int64_t *columns);
/* Ids separated by white space; freed by the caller. */
int32_t *golden_ids(const char *path, int32_t *n);

/* A model without the public interface around it. */
struct golden_model {
    struct gguf gguf; /* of a .gguf; else only its tensors are used */
    struct model model;
};
/* path: a folder or a .gguf file below tests/golden. */
void golden_open(struct golden_model *g, const char *path, const struct model_options *options);
void golden_close(struct golden_model *g);

/* Cached rows of one sequence. */
struct golden_cache {
    unsigned char **layers;
    int32_t n_layers;
};
void golden_cache_init(struct golden_cache *c, const struct model *m, enum dtype dtype,
                       int32_t rows);
void golden_cache_release(struct golden_cache *c);

#endif
