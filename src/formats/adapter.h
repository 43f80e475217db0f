/* adapter.h: a low-rank adapter in the folder layout of PEFT: adapter_config.json and
 * adapter_model.safetensors.
 *
 * A weight model.X.weight [out, in] has two tensors there, base_model.model.model.X.lora_A.weight
 * [rank, in] and .lora_B.weight [out, rank], and stands for W + scale B A, scale = lora_alpha /
 * rank (Hu et al. 2021). Variants that mean something else (DoRA, biases, whole modules, other
 * ranks by name) are refused by the key that asks for them. */
#ifndef MK_FORMATS_ADAPTER_H
#define MK_FORMATS_ADAPTER_H

#include "base/arena.h"
#include "formats/tensors.h"

struct adapter {
    struct tensors tensors;
    int32_t rank;
    float scale;
};

/* Of one weight matrix. */
struct low_rank {
    const float *a, *b; /* [rank, n_in], [n_out, rank] */
    int64_t n_in;
    int32_t rank;
    float scale;
};

int adapter_open(struct adapter *a, const char *dir, struct mk_error *err);
void adapter_release(struct adapter *a);
/* What the adapter makes of this weight; *there is false when it leaves it alone. The values are
 * copied into memory. */
int adapter_get(const struct adapter *a, const char *weight, int64_t n_out, int64_t n_in,
                struct arena *memory, struct low_rank *out, bool *there, struct mk_error *err);
bool adapter_has(const struct adapter *a, const char *weight);

/* w [n_in] += scale B[row] A, rank ascending. A row of zeros in B leaves every bit of w. */
void low_rank_add_row(const struct low_rank *l, int64_t row, float *w);

/* part 'A' or 'B'; "model.X.weight" as above. false: too long. */
bool adapter_tensor_name(char *out, size_t size, const char *weight, char part);
/* The text of an adapter_config.json; path is for messages. */
int adapter_parse_config(struct adapter *a, const char *json, size_t n, const char *path,
                         struct mk_error *err);
/* modules: [n_modules] names of weights. The caller frees *json. */
int adapter_config_text(int32_t rank, double alpha, const char *base, const char *const *weights,
                        int64_t n_weights, char **json, struct mk_error *err);

#endif
