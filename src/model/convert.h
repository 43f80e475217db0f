/* convert.h: a model written again in another number format, as a safetensors folder with
 * Hugging Face's names or as a GGUF file with llama.cpp's.
 *
 * Every tensor of the result is found and its shape checked before a byte is written; values stream
 * through a few rows of memory. Where type and layout stay the same, bytes are copied. Norms,
 * biases and routers are never made coarser: they keep their type, or are f32 in GGUF. */
#ifndef MK_MODEL_CONVERT_H
#define MK_MODEL_CONVERT_H

#include <stdbool.h>

#include "base/error.h"
#include "tensor/dtype.h"

struct convert_options {
    enum dtype to;  /* of the matrices */
    bool overwrite; /* a file, or files in a folder, that are there already */
    const char *adapter; /* folder of an adapter (formats/adapter.h) to merge, or NULL */
    int n_threads;
    /* Called with the bytes written so far; other than 0 cancels. May be NULL. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
};

struct convert_report {
    int64_t n_tensors[MK_N_DTYPES]; /* of the result, by type */
    uint64_t bytes[MK_N_DTYPES];
    /* Matrices whose rows do not divide into blocks, and are q8_0 or f16 instead; what one of them
     * became, the values in its rows and in the blocks. */
    int64_t n_ragged;
    enum dtype ragged_type;
    int32_t ragged_row, ragged_block;
    bool left_mtp; /* GGUF has no place for multi-token prediction */
    struct mk_error left_tokenizer; /* why a GGUF's could not be written; code 0: it was */
    int32_t n_unnamed;  /* its tokens whose text JSON cannot hold */
    bool left_template; /* its chat template, for the same reason */
};

/* Whether `to` can be written: safetensors f32, f16, bf16, f8_e4m3; GGUF what quantise_can allows
 * but f8_e4m3. `gguf`: which of the two. */
bool convert_can(enum dtype to, bool gguf);
/* from: a folder or .gguf file. to: a .gguf file, or a folder, which is made when it is not there.
 * Nothing is left behind on failure but files that were there before. MK_EINVAL when `to` exists
 * and o->overwrite is false, or would overwrite the source, and for a GGUF from an adapter, whose
 * matrices are Hugging Face's. */
int convert_model(const char *from, const char *to, const struct convert_options *o,
                  struct convert_report *report, struct mk_error *err);

#endif
