/* kv_cache.c: one anonymous mapping, cut into a run of rows for each layer. */
#include "generate/kv_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "kernels/kernels.h"

/* Bytes from one layer's rows to the next one's, whole pages; false when they cannot be counted. */
static bool layer_stride(const struct kv_cache *c, uint64_t *stride)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    return checked_mul((uint64_t)c->row_bytes, (uint64_t)c->capacity, stride) &&
           checked_align(*stride, page, stride);
}

static int refuse(const struct kv_cache *c, const char *why, struct mk_error *err)
{
    double gib = (double)c->row_bytes * c->capacity * c->n_layers / (1 << 30);

    return mk_error_set(err, MK_ELIMIT,
                        "a cache of %d tokens needs %.1f GiB of address space (%s): use a smaller "
                        "context or a narrower cache format",
                        c->capacity, gib, why);
}

int kv_cache_init(struct kv_cache *c, int32_t n_layers, int32_t row_dim, int32_t capacity,
                  enum dtype dtype, struct mk_error *err)
{
    uint64_t stride;

    *c = (struct kv_cache){
        .n_layers = n_layers, .capacity = capacity, .row_dim = row_dim, .dtype = dtype};
    if (n_layers < 1 || row_dim < 1 || capacity < 1 ||
        (dtype != MK_F32 && dtype != MK_BF16 && dtype != MK_I8))
        return mk_error_set(err, MK_EINVAL,
                            "a cache of %d layers, %d values a row, %d tokens, type %d cannot be",
                            n_layers, row_dim, capacity, (int)dtype);
    c->row_bytes = kv_row_bytes(dtype, row_dim);
    if (!layer_stride(c, &stride) ||
        !checked_mul(stride, (uint64_t)n_layers, &c->reserved_bytes) ||
        c->reserved_bytes > SIZE_MAX / 2)
        return refuse(c, "more than there is", err);
    c->layers = malloc((size_t)n_layers * sizeof *c->layers);
    if (!c->layers)
        return mk_error_memory(err, (size_t)n_layers * sizeof *c->layers);
    c->memory = mmap(NULL, (size_t)c->reserved_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->memory == MAP_FAILED) {
        c->memory = NULL;
        refuse(c, strerror(errno), err);
        kv_cache_release(c);
        return err->code;
    }
    for (int32_t l = 0; l < n_layers; l++)
        c->layers[l] = (unsigned char *)c->memory + (uint64_t)l * stride;
    return 0;
}

void kv_cache_release(struct kv_cache *c)
{
    if (c->memory)
        munmap(c->memory, (size_t)c->reserved_bytes);
    free(c->layers);
    *c = (struct kv_cache){0};
}

void *kv_cache_row(const struct kv_cache *c, int32_t l, int32_t t)
{
    return c->layers[l] + (int64_t)t * c->row_bytes;
}

void kv_cache_truncate(struct kv_cache *c, int32_t n_rows)
{
    if (n_rows < c->n_rows)
        c->n_rows = n_rows < 0 ? 0 : n_rows;
}

uint64_t kv_cache_used_bytes(const struct kv_cache *c)
{
    return (uint64_t)c->n_layers * (uint64_t)c->n_rows * (uint64_t)c->row_bytes;
}
