/* golden.c: see golden.h. */
#include "support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/map_file.h"
#include "formats/safetensors.h"

float *golden_npy(const char *path, int64_t *rows, int64_t *columns)
{
    struct mk_error err;
    struct map_file m;
    const char *header, *shape;
    long a = 0, b = 1;
    size_t n;
    float *x;

    if (map_file_open(&m, path, &err))
        fail_msg("%s", err.text);
    assert_true(m.bytes > 10 && memcmp(m.data, "\x93NUMPY\x01", 7) == 0);
    n = 10 + m.data[8] + 256 * (size_t)m.data[9];
    header = (const char *)m.data + 10;
    assert_non_null(strstr(header, "'<f4'"));
    shape = strstr(header, "'shape': (");
    assert_non_null(shape);
    assert_true(sscanf(shape, "'shape': (%ld, %ld", &a, &b) >= 1);
    assert_int_equal(m.bytes, n + (size_t)(a * b) * sizeof *x);
    x = malloc((size_t)(a * b) * sizeof *x);
    assert_non_null(x);
    memcpy(x, m.data + n, (size_t)(a * b) * sizeof *x);
    map_file_close(&m);
    *rows = a;
    *columns = b;
    return x;
}

int32_t *golden_ids(const char *path, int32_t *n)
{
    FILE *f = fopen(path, "r");
    int32_t *ids = malloc(4096 * sizeof *ids);

    assert_non_null(f);
    assert_non_null(ids);
    for (*n = 0; *n < 4096 && fscanf(f, "%d", &ids[*n]) == 1; ++*n)
        ;
    fclose(f);
    assert_true(*n > 0);
    return ids;
}

void golden_open(struct golden_model *g, const char *path, const struct model_options *options)
{
    size_t n = strlen(path);
    bool gguf = n > 5 && strcmp(path + n - 5, ".gguf") == 0;
    struct mk_error err;
    struct arch a;

    memset(g, 0, sizeof *g);
    if (gguf ? gguf_open(&g->gguf, path, &err) || arch_from_gguf(&a, &g->gguf, path, &err)
             : arch_from_hf(&a, path, &err) || safetensors_open(&g->gguf.tensors, path, &err))
        fail_msg("%s", err.text);
    if (model_load(&g->model, &a, &g->gguf.tensors, gguf ? NAME_GGUF : NAME_HF, options, &err))
        fail_msg("%s", err.text);
}

void golden_close(struct golden_model *g)
{
    model_release(&g->model);
    gguf_release(&g->gguf);
}

void golden_cache_init(struct golden_cache *c, const struct model *m, enum dtype dtype,
                       int32_t rows)
{
    c->n_layers = model_cache_layers(m);
    c->layers = calloc((size_t)c->n_layers, sizeof *c->layers);
    assert_non_null(c->layers);
    for (int32_t l = 0; l < c->n_layers; l++) {
        c->layers[l] = calloc((size_t)rows, (size_t)kv_row_bytes(dtype, model_row_dim(m)));
        assert_non_null(c->layers[l]);
    }
}

void golden_cache_release(struct golden_cache *c)
{
    for (int32_t l = 0; l < c->n_layers; l++)
        free(c->layers[l]);
    free(c->layers);
}
