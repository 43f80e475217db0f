/* safetensors.h: tensors of a .safetensors file or of a folder with model.safetensors[.index.json].
 *
 * File: u64 LE header length, JSON {name: {dtype, shape, data_offsets}}, raw data. Strict: at most
 * 100 MB of header, no overlap, no gap, nothing after the last byte, no duplicate name, shape x
 * dtype = bytes (docs/formats.md). The scales of FP8 weights (`*_scale_inv`) are tensors like any
 * other; a model's code knows what belongs together. */
#ifndef MK_FORMATS_SAFETENSORS_H
#define MK_FORMATS_SAFETENSORS_H

#include "formats/tensors.h"

/* path: a file or a folder. With an index, every tensor it lists must be in the file it names. On
 * failure `t` is empty. */
int safetensors_open(struct tensors *t, const char *path, struct mk_error *err);

/* Writing: the caller lists every tensor first (name, dtype, shape), then hands over the bytes in
 * the same order, in pieces of any size. A model of more than shard_bytes is split in HF's way into
 * model-00001-of-0000N.safetensors with an index (0: never). Files are written beside their final
 * names; finish syncs and renames them all, the index last. */
struct safetensors_writer;
int safetensors_create(struct safetensors_writer **w, const char *dir, uint64_t shard_bytes,
                       struct mk_error *err); /* dir exists */
/* One file of any name, for tensors that are not a model. */
int safetensors_create_file(struct safetensors_writer **w, const char *path, struct mk_error *err);
int safetensors_declare(struct safetensors_writer *w, const char *name, enum dtype dtype,
                        int32_t n_dims, const int64_t *shape, struct mk_error *err);
int safetensors_begin(struct safetensors_writer *w, struct mk_error *err);
int safetensors_write(struct safetensors_writer *w, const void *data, uint64_t bytes,
                      struct mk_error *err);
/* Fails when bytes are missing. */
int safetensors_finish(struct safetensors_writer *w, struct mk_error *err);
/* Without a successful finish nothing is left behind. NULL is allowed. */
void safetensors_free(struct safetensors_writer *w);

#endif
