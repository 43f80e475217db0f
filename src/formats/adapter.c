/* adapter.c: adapters of PEFT, read and described. */
#include "formats/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "formats/safetensors.h"

#define PREFIX "base_model.model."
#define MAX_RANK 65536

/* ---- adapter_config.json -------------------------------------------------------------------- */

static int refuse(const char *path, const char *key, const char *what, struct mk_error *err)
{
    return mk_error_set(err, MK_EUNSUPPORTED, "%s: %s: %s", path, key, what);
}

/* A key that changes what A and B mean must be off: false, null, empty or "none". */
static bool is_off(const json_t *v)
{
    return !v || json_is_null(v) || json_is_false(v) ||
           (json_is_string(v) && !strcmp(json_string_value(v), "none")) ||
           (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0);
}

static int read_config(struct adapter *a, const json_t *root, const char *path,
                       struct mk_error *err)
{
    static const char *const off[] = {"use_dora",     "bias",          "fan_in_fan_out",
                                      "rank_pattern", "alpha_pattern", "modules_to_save",
                                      "use_rslora",   "use_qalora",    "alora_invocation_tokens"};
    const json_t *kind = json_object_get(root, "peft_type"), *r = json_object_get(root, "r");
    const json_t *alpha = json_object_get(root, "lora_alpha");

    if (!json_is_string(kind) || strcmp(json_string_value(kind), "LORA"))
        return refuse(path, "peft_type", "only LORA adapters are read", err);
    if (!json_is_integer(r) || json_integer_value(r) < 1 || json_integer_value(r) > MAX_RANK)
        return mk_error_set(err, MK_EFORMAT, "%s: r: expected a whole number above 0", path);
    if (!json_is_number(alpha))
        return mk_error_set(err, MK_EFORMAT, "%s: lora_alpha: expected a number", path);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!is_off(json_object_get(root, off[i])))
            return refuse(path, off[i], "plain LoRA alone is read", err);
    a->rank = (int32_t)json_integer_value(r);
    a->scale = (float)(json_number_value(alpha) / a->rank);
    return isfinite(a->scale) ? 0 : refuse(path, "lora_alpha", "too large", err);
}

int adapter_parse_config(struct adapter *a, const char *json, size_t n, const char *path,
                         struct mk_error *err)
{
    json_error_t at;
    json_t *root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &at);
    int code;

    if (!root)
        return mk_error_set(err, MK_EFORMAT, "%s: line %d: %s", path, at.line, at.text);
    code = read_config(a, root, path, err);
    json_decref(root);
    return code;
}

int adapter_config_text(int32_t rank, double alpha, const char *base, const char *const *weights,
                        int64_t n_weights, char **json, struct mk_error *err)
{
    json_t *modules = json_array(), *root;

    for (int64_t i = 0; i < n_weights; i++) {
        const char *end = strstr(weights[i], ".weight");
        size_t n = end ? (size_t)(end - weights[i]) : strlen(weights[i]);

        json_array_append_new(modules, json_stringn(weights[i], n));
    }
    root = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:s, s:b, s:b, s:b, s:b, s:o}", "peft_type",
                     "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "r", rank,
                     "lora_alpha", alpha, "lora_dropout", 0.0, "bias", "none", "fan_in_fan_out", 0,
                     "inference_mode", 1, "use_dora", 0, "use_rslora", 0, "target_modules",
                     modules);
    *json = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    return *json ? 0 : mk_error_memory(err, 0);
}

/* ---- Tensors -------------------------------------------------------------------------------- */

bool adapter_tensor_name(char *out, size_t size, const char *weight, char part)
{
    static const char ending[] = ".weight";
    size_t n = strlen(weight), end = sizeof ending - 1;

    if (n > end && !strcmp(weight + n - end, ending))
        n -= end;
    return snprintf(out, size, PREFIX "%.*s.lora_%c.weight", (int)n, weight, part) < (int)size;
}

static const struct file_tensor *find(const struct adapter *a, const char *weight, char part)
{
    char name[MK_MAX_TENSOR_NAME];

    return adapter_tensor_name(name, sizeof name, weight, part) ? tensors_find(&a->tensors, name)
                                                                : NULL;
}

bool adapter_has(const struct adapter *a, const char *weight)
{
    return find(a, weight, 'A') || find(a, weight, 'B');
}

static int take_values(const struct adapter *a, const struct file_tensor *t, int64_t rows,
                       int64_t columns, struct arena *memory, const float **out,
                       struct mk_error *err)
{
    float *values;

    if (t->n_dims != 2 || t->shape[0] != rows || t->shape[1] != columns)
        return mk_error_set(err, MK_EFORMAT,
                            "tensor %s: expected [%lld, %lld]: the adapter is another model's",
                            t->name, (long long)rows, (long long)columns);
    if (t->dtype != MK_F32 && t->dtype != MK_F16 && t->dtype != MK_BF16)
        return mk_error_set(err, MK_EUNSUPPORTED, "tensor %s: adapters are f32, f16 or bf16",
                            t->name);
    if (tensors_check_finite(&a->tensors, t, err) ||
        arena_take(memory, &values, (size_t)(rows * columns), sizeof *values, err))
        return err->code;
    for (int64_t i = 0; i < rows * columns; i++) {
        uint16_t half;

        if (t->dtype == MK_F32) {
            memcpy(&values[i], t->data + 4 * i, sizeof *values);
            continue;
        }
        memcpy(&half, t->data + 2 * i, sizeof half);
        values[i] = t->dtype == MK_F16 ? f16_to_f32(half) : bf16_to_f32(half);
    }
    *out = values;
    return 0;
}

int adapter_get(const struct adapter *a, const char *weight, int64_t n_out, int64_t n_in,
                struct arena *memory, struct low_rank *out, bool *there, struct mk_error *err)
{
    const struct file_tensor *down = find(a, weight, 'A'), *up = find(a, weight, 'B');

    *there = down || up;
    *out = (struct low_rank){.n_in = n_in, .rank = a->rank, .scale = a->scale};
    if (!*there)
        return 0;
    if (!down || !up)
        return mk_error_set(err, MK_EFORMAT, "tensor %s has no partner lora_%c",
                            (down ? down : up)->name, down ? 'B' : 'A');
    if (take_values(a, down, a->rank, n_in, memory, &out->a, err) ||
        take_values(a, up, n_out, a->rank, memory, &out->b, err))
        return err->code;
    return 0;
}

void low_rank_add_row(const struct low_rank *l, int64_t row, float *restrict w)
{
    for (int32_t k = 0; k < l->rank; k++) {
        const float *restrict a = l->a + k * l->n_in;
        float factor = l->scale * l->b[row * l->rank + k];

        if (factor == 0)
            continue;
        for (int64_t i = 0; i < l->n_in; i++)
            w[i] += factor * a[i];
    }
}

/* ---- The folder ----------------------------------------------------------------------------- */

int adapter_open(struct adapter *a, const char *dir, struct mk_error *err)
{
    struct map_file m;
    char path[4096];
    int code;

    *a = (struct adapter){0};
    if (snprintf(path, sizeof path, "%s/adapter_config.json", dir) >= (int)sizeof path)
        return mk_error_set(err, MK_ELIMIT, "%.100s...: the path is too long", dir);
    if (map_file_open(&m, path, err))
        return err->code;
    code = adapter_parse_config(a, (const char *)m.data, m.bytes, path, err);
    map_file_close(&m);
    if (code)
        return code;
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    return safetensors_open(&a->tensors, path, err);
}

void adapter_release(struct adapter *a)
{
    tensors_release(&a->tensors);
    *a = (struct adapter){0};
}
