/* safetensors.h: tensors of a .safetensors file or of a folder with model.safetensors[.index.json].
 *
 * File: u64 LE header length, JSON {name: {dtype, shape, data_offsets}}, raw data. Strict: at most 100 MB of header and
 * 1,000,000 entries, no overlap, no gap, no duplicate name, shape x dtype = bytes (api.md 6, rows 16-18). */
#ifndef MK_FORMATS_SAFETENSORS_H
#define MK_FORMATS_SAFETENSORS_H

#include "formats/tensors.h"

/* path: a file or a folder. On failure `t` is empty. */
int safetensors_open(struct tensors *t, const char *path, struct mk_error *err);

/* Writing: the caller lists every tensor first (name, dtype, shape), then hands over the bytes in the same order.
 * Files larger than shard_bytes are split in HF's way with an index (0: never). Written beside and renamed. */
struct safetensors_writer;
int safetensors_create(struct safetensors_writer **w, const char *dir, uint64_t shard_bytes, struct mk_error *err);
int safetensors_declare(struct safetensors_writer *w, const char *name, enum dtype dtype, int32_t n_dims,
                        const int64_t *shape, struct mk_error *err);
int safetensors_begin(struct safetensors_writer *w, struct mk_error *err);
int safetensors_write(struct safetensors_writer *w, const void *data, uint64_t bytes, struct mk_error *err);
int safetensors_finish(struct safetensors_writer *w, struct mk_error *err); /* syncs, renames */
void safetensors_free(struct safetensors_writer *w);                        /* without finish: nothing is left behind */

#endif
