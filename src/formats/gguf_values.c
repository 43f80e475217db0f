/* gguf_values.c: metadata by name and type. What is here was checked when the file was opened. */
#include <string.h>

#include "formats/gguf_bytes.h"

static const struct { const char *name; int bytes; } types[GGUF_N_TYPES] = {
    [GGUF_U8] = {"u8", 1},         [GGUF_I8] = {"i8", 1},       [GGUF_U16] = {"u16", 2},
    [GGUF_I16] = {"i16", 2},       [GGUF_U32] = {"u32", 4},     [GGUF_I32] = {"i32", 4},
    [GGUF_F32] = {"f32", 4},       [GGUF_BOOL] = {"bool", 1},   [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0},   [GGUF_U64] = {"u64", 8},     [GGUF_I64] = {"i64", 8},
    [GGUF_F64] = {"f64", 8},
};

const char *gguf_type_name(enum gguf_type type)
{
    return types[type].name;
}

int gguf_type_bytes(enum gguf_type type)
{
    return types[type].bytes;
}

static int compare_key(const char *key, size_t n, const struct gguf_string *s)
{
    int order = memcmp(key, s->data, n < s->n ? n : s->n);

    return order ? order : (n > s->n) - (n < s->n);
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    int64_t low = 0, high = g->n_values;
    size_t n = strlen(key);

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = compare_key(key, n, &g->values[middle].key);

        if (order == 0)
            return &g->values[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool gguf_int_at(const struct gguf_value *v, uint64_t i, int64_t *out)
{
    int size = types[v->element].bytes;
    uint64_t u;

    if (i >= v->n || size == 0)
        return false;
    u = gguf_read_le(v->data + i * (uint64_t)size, size);
    switch (v->element) {
    case GGUF_I8:
        *out = (int8_t)u;
        return true;
    case GGUF_I16:
        *out = (int16_t)u;
        return true;
    case GGUF_I32:
        *out = (int32_t)u;
        return true;
    case GGUF_U64:
        if (u > INT64_MAX)
            return false;
        *out = (int64_t)u;
        return true;
    case GGUF_U8: case GGUF_U16: case GGUF_U32: case GGUF_I64: case GGUF_BOOL:
        *out = (int64_t)u;
        return true;
    default:
        return false;
    }
}

bool gguf_float_at(const struct gguf_value *v, uint64_t i, double *out)
{
    int64_t whole;
    uint64_t u;
    uint32_t low;
    float f;

    if (i >= v->n || v->element == GGUF_BOOL)
        return false;
    if (v->element == GGUF_F32) {
        low = (uint32_t)gguf_read_le(v->data + i * 4, 4);
        memcpy(&f, &low, sizeof f);
        *out = f;
        return true;
    }
    if (v->element == GGUF_F64) {
        u = gguf_read_le(v->data + i * 8, 8);
        memcpy(out, &u, sizeof *out);
        return true;
    }
    if (!gguf_int_at(v, i, &whole))
        return false;
    *out = (double)whole;
    return true;
}

bool gguf_next_string(const struct gguf_value *v, const unsigned char **cursor,
                      struct gguf_string *out)
{
    const unsigned char *p = *cursor;

    if (v->element != GGUF_STRING || p >= v->data + v->bytes)
        return false;
    out->n = gguf_read_le(p, 8);
    out->data = (const char *)p + 8;
    *cursor = p + 8 + out->n;
    return true;
}

/* The value of that key when it is no array. */
static const struct gguf_value *find_single(const struct gguf *g, const char *key)
{
    const struct gguf_value *v = gguf_find(g, key);

    return v && v->type != GGUF_ARRAY ? v : NULL;
}

bool gguf_int(const struct gguf *g, const char *key, int64_t *out)
{
    const struct gguf_value *v = find_single(g, key);

    return v && v->type != GGUF_BOOL && gguf_int_at(v, 0, out);
}

bool gguf_float(const struct gguf *g, const char *key, double *out)
{
    const struct gguf_value *v = find_single(g, key);

    return v && gguf_float_at(v, 0, out);
}

bool gguf_bool(const struct gguf *g, const char *key, bool *out)
{
    const struct gguf_value *v = find_single(g, key);

    if (!v || v->type != GGUF_BOOL)
        return false;
    *out = v->data[0] != 0;
    return true;
}

bool gguf_text(const struct gguf *g, const char *key, struct gguf_string *out)
{
    const struct gguf_value *v = find_single(g, key);
    const unsigned char *cursor;

    if (!v)
        return false;
    cursor = v->data;
    return gguf_next_string(v, &cursor, out);
}
