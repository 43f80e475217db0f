/* kv_cache.h: what attention remembers of one session, one row a token and layer.
 *
 * A cache belongs to one session and is touched by one thread at a time. Rows are appended in
 * position order and dropped from the end. Every layer has its own run of address space for
 * `capacity` rows, reserved at init; memory is committed page by page as rows are written, so an
 * empty cache costs nothing. */
#ifndef MK_GENERATE_KV_CACHE_H
#define MK_GENERATE_KV_CACHE_H

#include "base/error.h"
#include "tensor/dtype.h"

struct kv_cache {
    int32_t n_layers, n_rows, capacity; /* rows used, rows possible */
    int32_t row_dim;        /* MLA: kv_lora_rank + rope_dim; GQA: 2 * n_kv_heads * head_dim */
    enum dtype dtype;       /* of a row: MK_F32, MK_BF16 or MK_I8 */
    int64_t row_bytes;      /* kv_row_bytes(dtype, row_dim) */
    unsigned char **layers; /* [l] rows from position 0 on, each on a page of its own; owned */
    void *memory;           /* owned mapping of reserved_bytes */
    uint64_t reserved_bytes;
};

/* n_layers, row_dim and capacity at least 1. MK_ELIMIT when the address space or a limit of the
 * system does not allow the reservation. */
int kv_cache_init(struct kv_cache *c, int32_t n_layers, int32_t row_dim, int32_t capacity,
                  enum dtype dtype, struct mk_error *err);
void kv_cache_release(struct kv_cache *c);
/* The row of position t in layer l, t < capacity. */
void *kv_cache_row(const struct kv_cache *c, int32_t l, int32_t t);
/* Forgets every row at position >= n_rows. Always succeeds; the memory stays for the next rows. */
void kv_cache_truncate(struct kv_cache *c, int32_t n_rows);
/* Bytes that hold rows: what a saved session is made of. */
uint64_t kv_cache_used_bytes(const struct kv_cache *c);

#endif
