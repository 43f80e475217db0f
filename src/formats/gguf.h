/* gguf.h: GGUF v2 and v3 files, single or split: metadata and tensors.
 *
 * Every count, length and offset is checked against the bytes that are there before anything is
 * allocated. Accessors check the type they are asked for and never read past an array.
 * docs/formats.md draws the file and its block formats. */
#ifndef MK_FORMATS_GGUF_H
#define MK_FORMATS_GGUF_H

#include <stdbool.h>

#include "formats/tensors.h"

struct gguf_string { const char *data; uint64_t n; }; /* borrowed from the mapping, no NUL at end */

enum gguf_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING,
    GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_N_TYPES
};

struct gguf_value {
    struct gguf_string key;
    enum gguf_type type, element;  /* element: of an array; else the same as type */
    uint64_t n;                    /* elements of an array, else 1 */
    const unsigned char *data;     /* first value; strings are u64 length + bytes, one by one */
    uint64_t bytes;                /* of all values, from data on */
};

struct gguf {
    struct tensors tensors;
    struct gguf_value *values;     /* owned; of the first file of a split; sorted by key */
    int64_t n_values;
    uint32_t version;
};

/* path: one file, or the first of a split "...-00001-of-000NN.gguf" (the others are opened too).
 * On failure `g` is empty. */
int gguf_open(struct gguf *g, const char *path, struct mk_error *err);
void gguf_release(struct gguf *g);
/* NULL when there is none. */
const struct gguf_value *gguf_find(const struct gguf *g, const char *key);
/* true when the key is there with a fitting type (any integer width whose value fits in 64 signed
 * bits); out is untouched otherwise. */
bool gguf_int(const struct gguf *g, const char *key, int64_t *out);
bool gguf_float(const struct gguf *g, const char *key, double *out); /* floats and integers */
bool gguf_bool(const struct gguf *g, const char *key, bool *out);
bool gguf_text(const struct gguf *g, const char *key, struct gguf_string *out);
/* Element i of an array of numbers or bools, or the one value when v is no array; false when i or
 * the type is out of range. */
bool gguf_int_at(const struct gguf_value *v, uint64_t i, int64_t *out); /* integers and bools */
bool gguf_float_at(const struct gguf_value *v, uint64_t i, double *out); /* floats and integers */
/* Walks an array of strings: start with *cursor = v->data. false at the end. */
bool gguf_next_string(const struct gguf_value *v, const unsigned char **cursor,
                      struct gguf_string *out);
/* "u32", "string", ...: as printed. */
const char *gguf_type_name(enum gguf_type type);

#endif
