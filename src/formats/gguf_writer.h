/* gguf_writer.h: writing a GGUF v3 file.
 *
 * First the metadata, then the list of tensors (name, dtype, shape), then `begin`, then the bytes
 * of all tensors in the order of the list, in pieces of any size, then `finish`. The file grows
 * beside its final name; finish syncs and renames it. Tensors lie at multiples of 32 bytes. A
 * writer that has failed can only be freed. */
#ifndef MK_FORMATS_GGUF_WRITER_H
#define MK_FORMATS_GGUF_WRITER_H

#include "formats/gguf.h"

struct gguf_writer;

int gguf_writer_create(struct gguf_writer **w, const char *path, struct mk_error *err);

/* Metadata, written in this order. A key may be given once. Arrays are copied at once. */

/* type: GGUF_U8 .. GGUF_I64, whose range is checked. */
int gguf_writer_int(struct gguf_writer *w, const char *key, enum gguf_type type, int64_t value,
                    struct mk_error *err);
int gguf_writer_float(struct gguf_writer *w, const char *key, float value, struct mk_error *err);
int gguf_writer_bool(struct gguf_writer *w, const char *key, bool value, struct mk_error *err);
int gguf_writer_text(struct gguf_writer *w, const char *key, const char *data, size_t n,
                     struct mk_error *err);
int gguf_writer_ints(struct gguf_writer *w, const char *key, const int32_t *values, uint64_t n,
                     struct mk_error *err);
int gguf_writer_floats(struct gguf_writer *w, const char *key, const float *values, uint64_t n,
                       struct mk_error *err);
int gguf_writer_texts(struct gguf_writer *w, const char *key, const struct gguf_string *values,
                      uint64_t n, struct mk_error *err);
/* As another file has it. general.alignment must not be copied: tensors are aligned to 32. */
int gguf_writer_copy(struct gguf_writer *w, const struct gguf_value *v, struct mk_error *err);

/* shape slowest first, as in struct file_tensor. */
int gguf_writer_declare(struct gguf_writer *w, const char *name, enum dtype dtype, int32_t n_dims,
                        const int64_t *shape, struct mk_error *err);
int gguf_writer_begin(struct gguf_writer *w, struct mk_error *err);
int gguf_writer_write(struct gguf_writer *w, const void *data, uint64_t bytes,
                      struct mk_error *err);
/* Fails when bytes are missing. */
int gguf_writer_finish(struct gguf_writer *w, struct mk_error *err);
/* Without a successful finish nothing is left behind. NULL is allowed. */
void gguf_writer_free(struct gguf_writer *w);

#endif
