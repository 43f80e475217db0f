/* convert.c: writes what the plan lists: rows to f32, to the new type, to the file.
 *
 * A few rows at a time; those of one step are worked on by all threads. A row's bytes depend on the
 * row alone (FP8: on its block of rows), so the result does not depend on the threads. */
#include "model/convert.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exec.h"
#include "base/map_file.h"
#include "formats/adapter.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"
#include "model/convert_plan.h"
#include "tensor/quant.h"

#define STEP_VALUES (1 << 20)                  /* values converted at a time */
#define SHARD_BYTES ((uint64_t)5 * 1000000000) /* of a safetensors file, as the hub has them */
#define E4M3_MAX 448.0f

/* Where bytes go: one of the two. */
struct sink {
    struct safetensors_writer *folder;
    struct gguf_writer *file;
};

struct job {
    const struct model_file *from;
    const char *to;
    const struct convert_options *o;
    struct plan plan;
    struct sink sink;
    struct exec *exec;
    struct adapter adapter;      /* empty without o->adapter */
    struct vocab_json tokenizer; /* of a GGUF, for a folder */
    struct arena temp;           /* of one item */
    uint64_t done, total;        /* bytes */
};

/* ---- Rows ----------------------------------------------------------------------------------- */

/* Some rows of an item on their way. */
struct step {
    const struct item *item;
    float *values;        /* [n, n_in] */
    unsigned char *bytes; /* what is written: n rows */
    uint64_t row_bytes;
    int64_t n;
    const int32_t *block; /* FP8: rows and columns that share a scale */
    float *scales;        /* FP8: [ceil(n_in / block[1])] of these rows */
    bool *failed;         /* [n] */
};

static void quantise_task(void *context, int64_t r, int worker)
{
    const struct step *s = context;

    (void)worker;
    s->failed[r] = quantise_row(s->item->dtype, s->values + r * s->item->n_in, s->item->n_in,
                                s->bytes + (uint64_t)r * s->row_bytes) != 0;
}

/* One block of columns: its largest value becomes 448, the largest of E4M3. */
static void fp8_task(void *context, int64_t b, int worker)
{
    const struct step *s = context;
    int64_t n_in = s->item->n_in, first = b * s->block[1];
    int64_t end = first + s->block[1] < n_in ? first + s->block[1] : n_in;
    float largest = 0, scale;

    (void)worker;
    for (int64_t r = 0; r < s->n; r++)
        for (int64_t k = first; k < end; k++)
            largest = fmaxf(largest, fabsf(s->values[r * n_in + k]));
    scale = largest / E4M3_MAX;
    if (!(scale > 0)) /* all zero, or too small for a scale */
        scale = 1;
    for (int64_t r = 0; r < s->n; r++)
        for (int64_t k = first; k < end; k++)
            s->bytes[r * n_in + k] = f32_to_e4m3(s->values[r * n_in + k] / scale);
    s->scales[b] = scale;
}

static int check_values(const struct step *s, struct mk_error *err)
{
    float limit = s->item->dtype == MK_F16 ? 65504.0f : INFINITY;

    for (int64_t i = 0; i < s->n * s->item->n_in; i++)
        if (!isfinite(s->values[i]) || fabsf(s->values[i]) > limit)
            return mk_error_set(err, MK_EFORMAT,
                                "tensor %s: a value is %g, which %s cannot hold; choose another "
                                "type, or download the model again",
                                s->item->name, (double)s->values[i],
                                dtype_info(s->item->dtype)->name);
    return 0;
}

static int convert_step(struct job *j, struct step *s, struct mk_error *err)
{
    if (check_values(s, err))
        return err->code;
    if (s->scales) {
        exec_run(j->exec, (s->item->n_in + s->block[1] - 1) / s->block[1], fp8_task, s);
        return 0;
    }
    exec_run(j->exec, s->n, quantise_task, s);
    for (int64_t r = 0; r < s->n; r++)
        if (s->failed[r])
            return mk_error_set(err, MK_EFORMAT,
                                "tensor %s: its values are too large for %s; choose another type",
                                s->item->name, dtype_info(s->item->dtype)->name);
    return 0;
}

/* ---- Tensors -------------------------------------------------------------------------------- */

static int emit(struct job *j, const void *data, uint64_t bytes, struct mk_error *err)
{
    int rc = j->sink.file ? gguf_writer_write(j->sink.file, data, bytes, err)
                          : safetensors_write(j->sink.folder, data, bytes, err);

    j->done += bytes;
    if (!rc && j->o->progress && j->o->progress(j->o->progress_user, j->done, j->total))
        rc = mk_error_set(err, MK_ECANCELLED, "the conversion was cancelled");
    return rc;
}

static void forget_section(const struct job *j, const struct section *s)
{
    const struct tensors *t = &j->from->gguf.tensors;
    uint64_t bytes = (uint64_t)(s->n_rows - s->n_turned) * (uint64_t)s->src.row_bytes;

    for (int32_t i = 0; i < t->n_files; i++) {
        const unsigned char *p = s->src.data, *begin = t->files[i].data;

        if (p >= begin && p < begin + t->files[i].bytes && s->n_rows > s->n_turned)
            map_file_forget(&t->files[i], p, bytes);
    }
}

static int copy_item(struct job *j, const struct item *it, struct mk_error *err)
{
    struct section s;

    for (int32_t i = 0; i < it->n_sections; i++) {
        if (section_open(&j->plan, it, i, NULL, &s, err))
            return err->code;
        for (int64_t r = 0; r < s.n_rows; r++)
            if (emit(j, section_bytes(&s, r), (uint64_t)s.src.row_bytes, err))
                return err->code;
        forget_section(j, &s);
    }
    if (it->dtype != MK_F8_E4M3)
        return 0;
    return emit(j, s.src.scales,
                (uint64_t)((it->n_rows + s.src.block_out - 1) / s.src.block_out) *
                    (uint64_t)s.src.n_scale_cols * sizeof(float),
                err);
}

/* Fills a step's values with rows r0 .. r0 + s->n - 1 of the item, section by section. */
struct cursor {
    const struct low_rank *low; /* added to the rows, or NULL */
    struct section section;
    int32_t index; /* of the open section; -1 before the first */
    struct arena_mark mark;
};

static int read_rows(struct job *j, struct cursor *c, struct step *s, int64_t r0,
                     struct mk_error *err)
{
    const struct item *it = s->item;
    int64_t rows = it->n_rows / it->n_sections;

    for (int64_t r = 0; r < s->n; r++) {
        int32_t index = (int32_t)((r0 + r) / rows);

        if (index != c->index) {
            if (c->index >= 0)
                forget_section(j, &c->section);
            arena_rewind(&j->temp, c->mark);
            c->index = index;
            if (section_open(&j->plan, it, index, &j->temp, &c->section, err))
                return err->code;
        }
        section_row(&c->section, (r0 + r) % rows, s->values + r * it->n_in);
        if (c->low)
            low_rank_add_row(c->low, r0 + r, s->values + r * it->n_in);
    }
    return 0;
}

static int take_step(struct job *j, struct step *s, int64_t n, float **all_scales,
                     struct mk_error *err)
{
    const struct item *it = s->item;
    const int32_t *block = j->plan.arch.fp8_block;

    if (!dtype_bytes(it->dtype, (uint64_t)it->n_in, &s->row_bytes))
        return mk_error_set(err, MK_EINTERNAL, "tensor %s: rows do not divide", it->name);
    if (arena_take(&j->temp, &s->values, (size_t)(n * it->n_in), sizeof *s->values, err) ||
        arena_take(&j->temp, &s->bytes, (size_t)n, (size_t)s->row_bytes, err) ||
        arena_take(&j->temp, &s->failed, (size_t)n, sizeof *s->failed, err))
        return err->code;
    if (it->dtype != MK_F8_E4M3)
        return 0;
    s->block = block;
    return arena_take(&j->temp, all_scales,
                      (size_t)((it->n_rows + block[0] - 1) / block[0]) *
                          (size_t)((it->n_in + block[1] - 1) / block[1]),
                      sizeof **all_scales, err);
}

static int convert_item(struct job *j, const struct item *it, struct mk_error *err)
{
    bool fp8 = it->dtype == MK_F8_E4M3;
    int64_t most = fp8 ? j->plan.arch.fp8_block[0] : STEP_VALUES / it->n_in, n_scales = 0;
    struct cursor c = {.index = -1};
    struct step s = {.item = it};
    struct low_rank low;
    float *all_scales = NULL;
    bool adapted;

    most = most < 1 ? 1 : most > it->n_rows ? it->n_rows : most;
    if (take_step(j, &s, most, &all_scales, err) ||
        adapter_get(&j->adapter, it->name, it->n_rows, it->n_in, &j->temp, &low, &adapted, err))
        return err->code;
    c.low = adapted ? &low : NULL;
    c.mark = arena_mark(&j->temp);
    for (int64_t r = 0; r < it->n_rows; r += s.n) {
        s.n = it->n_rows - r < most ? it->n_rows - r : most;
        s.scales = fp8 ? all_scales + n_scales : NULL;
        if (read_rows(j, &c, &s, r, err) || convert_step(j, &s, err) ||
            emit(j, s.bytes, (uint64_t)s.n * s.row_bytes, err))
            return err->code;
        n_scales += fp8 ? (it->n_in + s.block[1] - 1) / s.block[1] : 0;
    }
    forget_section(j, &c.section);
    return fp8 ? emit(j, all_scales, (uint64_t)n_scales * sizeof(float), err) : 0;
}

/* llama3's scaling, which GGUF holds as a tensor. */
static int declare_factors(struct job *j, float *factors, int64_t *n, struct mk_error *err)
{
    *n = j->sink.file ? arch_rope_factors(&j->plan.arch, factors) : 0;
    return *n ? gguf_writer_declare(j->sink.file, "rope_freqs.weight", MK_F32, 1, n, err) : 0;
}

static int declare_item(struct job *j, const struct item *it, struct mk_error *err)
{
    const int32_t *block = j->plan.arch.fp8_block;
    char name[MK_NAME_BYTES + 16];
    int64_t shape[2];
    uint64_t bytes = 0;

    dtype_bytes(it->dtype, (uint64_t)(it->n_rows * it->n_in), &bytes);
    j->total += bytes;
    j->plan.report->n_tensors[it->dtype]++;
    j->plan.report->bytes[it->dtype] += bytes;
    if (j->sink.file)
        return gguf_writer_declare(j->sink.file, it->name, it->dtype, it->n_dims, it->shape, err);
    if (safetensors_declare(j->sink.folder, it->name, it->dtype, it->n_dims, it->shape, err))
        return err->code;
    if (it->dtype != MK_F8_E4M3)
        return 0;
    shape[0] = (it->n_rows + block[0] - 1) / block[0];
    shape[1] = (it->n_in + block[1] - 1) / block[1];
    snprintf(name, sizeof name, "%s_scale_inv", it->name);
    bytes = (uint64_t)(shape[0] * shape[1]) * sizeof(float);
    j->total += bytes;
    j->plan.report->n_tensors[MK_F32]++;
    j->plan.report->bytes[MK_F32] += bytes;
    return safetensors_declare(j->sink.folder, name, MK_F32, 2, shape, err);
}

/* Names first, then all bytes, in one order. */
static int write_tensors(struct job *j, struct mk_error *err)
{
    float factors[ARCH_MAX_ROPE_FACTORS];
    int64_t n_factors;

    if (declare_factors(j, factors, &n_factors, err))
        return err->code;
    for (int64_t i = 0; i < j->plan.n_items; i++)
        if (declare_item(j, &j->plan.items[i], err))
            return err->code;
    if (j->sink.file ? gguf_writer_begin(j->sink.file, err)
                     : safetensors_begin(j->sink.folder, err))
        return err->code;
    if (n_factors && emit(j, factors, (uint64_t)n_factors * sizeof *factors, err))
        return err->code;
    for (int64_t i = 0; i < j->plan.n_items; i++) {
        const struct item *it = &j->plan.items[i];

        arena_reset(&j->temp);
        if (it->raw ? copy_item(j, it, err) : convert_item(j, it, err))
            return err->code;
    }
    return 0;
}

/* ---- GGUF ----------------------------------------------------------------------------------- */

/* What llama.cpp calls a file of mostly this type. */
static int32_t file_type(enum dtype t)
{
    static const int32_t numbers[MK_N_DTYPES] = {
        [MK_F16] = 1,   [MK_Q4_0] = 2,  [MK_Q4_1] = 3, [MK_Q8_0] = 7,
        [MK_Q4_K] = 15, [MK_Q6_K] = 18, [MK_BF16] = 32};

    return numbers[t];
}

static bool begins(struct gguf_string key, const char *prefix)
{
    return key.n >= strlen(prefix) && !memcmp(key.data, prefix, strlen(prefix));
}

/* The tokenizer, the name and the licence of a GGUF, word for word. */
static int copy_keys(struct job *j, struct mk_error *err)
{
    const struct gguf *g = &j->from->gguf;

    for (int64_t i = 0; i < g->n_values; i++) {
        struct gguf_string key = g->values[i].key;
        bool own = begins(key, "general.architecture") || begins(key, "general.file_type") ||
                   begins(key, "general.quantization_version") || begins(key, "general.alignment");

        if (!own && (begins(key, "general.") || begins(key, "tokenizer.")) &&
            gguf_writer_copy(j->sink.file, &g->values[i], err))
            return err->code;
    }
    return 0;
}

/* Chat models end a turn with one token and a text with another. */
static int put_more_ends(struct job *j, const struct vocab *v, struct mk_error *err)
{
    static const char *const keys[] = {"tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    const struct arch *a = &j->from->arch;
    int n = 0;

    for (int i = 0; i < a->n_eos_ids && n < 2; i++)
        if (a->eos_ids[i] != v->eos_id &&
            gguf_writer_int(j->sink.file, keys[n++], GGUF_U32, a->eos_ids[i], err))
            return err->code;
    return 0;
}

static int put_vocab(struct job *j, struct mk_error *err)
{
    struct vocab v;
    bool there;
    int rc = model_file_vocab(j->from, &v, &there, err);

    if (rc)
        return rc;
    if (!there)
        return gguf_writer_text(j->sink.file, "tokenizer.ggml.model", "none", 4, err);
    if (v.eos_id < 0 && j->from->arch.n_eos_ids)
        v.eos_id = j->from->arch.eos_ids[0];
    if (v.bos_id < 0)
        v.bos_id = j->from->arch.bos_id;
    rc = vocab_to_gguf(&v, j->plan.arch.n_vocab, j->sink.file, err);
    if (!rc)
        rc = put_more_ends(j, &v, err);
    vocab_release(&v);
    return rc;
}

/* The last part of a path, without a slash at the end. */
static size_t base_name(const char *path, const char **name)
{
    size_t n = strlen(path), first;

    while (n > 1 && path[n - 1] == '/')
        n--;
    for (first = n; first > 0 && path[first - 1] != '/'; first--)
        ;
    *name = path + first;
    return n - first;
}

static int write_gguf(struct job *j, struct mk_error *err)
{
    struct gguf_writer **w = &j->sink.file;
    const char *name;
    size_t n = base_name(j->from->path, &name);

    if (gguf_writer_create(w, j->to, err) || arch_to_gguf(&j->plan.arch, *w, err) ||
        gguf_writer_int(*w, "general.file_type", GGUF_U32, file_type(j->o->to), err))
        return err->code;
    if (dtype_is_quantised(j->o->to) &&
        gguf_writer_int(*w, "general.quantization_version", GGUF_U32, 2, err))
        return err->code;
    if (j->from->is_gguf ? copy_keys(j, err)
                         : gguf_writer_text(*w, "general.name", name, n, err) || put_vocab(j, err))
        return err->code;
    if (write_tensors(j, err))
        return err->code;
    return gguf_writer_finish(*w, err);
}

/* ---- Folders -------------------------------------------------------------------------------- */

static int copy_file(struct job *j, const char *name, struct mk_error *err)
{
    char path[4096];
    struct map_file m;
    int rc = map_file_open_in(&m, j->from->path, name, err);

    if (rc == MK_ENOTFOUND)
        return 0;
    if (rc)
        return rc;
    snprintf(path, sizeof path, "%s/%s", j->to, name);
    rc = write_file(path, m.data, m.bytes, err);
    map_file_close(&m);
    return rc;
}

static int write_config(struct job *j, struct mk_error *err)
{
    const char *compute = j->o->to == MK_F32   ? "float32"
                          : j->o->to == MK_F16 ? "float16"
                                               : "bfloat16";
    char path[4096], *json;
    int rc;

    if (arch_to_hf(&j->plan.arch, compute, &json, err))
        return err->code;
    snprintf(path, sizeof path, "%s/config.json", j->to);
    rc = write_file(path, json, strlen(json), err);
    free(json);
    return rc;
}

/* A tokenizer minke cannot read is no reason to keep the weights back. */
static int spell_tokenizer(struct job *j, struct mk_error *err)
{
    struct convert_report *report = j->plan.report;
    struct vocab v;
    bool there;
    int rc = model_file_vocab(j->from, &v, &there, err);

    if (!rc && there) {
        rc = vocab_to_json(&v, &j->tokenizer, err);
        vocab_release(&v);
    }
    if (rc == MK_EMEMORY)
        return rc;
    if (rc)
        report->left_tokenizer = *err;
    report->n_unnamed = j->tokenizer.n_unnamed;
    report->left_template = j->tokenizer.left_template;
    return 0;
}

/* What a folder holds besides weights; config.json, which makes it a model, comes last. */
static int copy_companions(struct job *j, struct mk_error *err)
{
    static const char *const names[] = {
        "tokenizer.json",      "tokenizer_config.json", "special_tokens_map.json",
        "chat_template.jinja", "added_tokens.json",     "vocab.json",
        "merges.txt",          "tokenizer.model",       "generation_config.json"};

    if (j->from->is_gguf)
        return j->tokenizer.tokenizer ? vocab_json_write(&j->tokenizer, j->to, err) : 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (copy_file(j, names[i], err))
            return err->code;
    return 0;
}

static int write_folder(struct job *j, struct mk_error *err)
{
    bool made = mkdir(j->to, 0777) == 0;
    char *json;
    int rc;

    if (!made && errno != EEXIST)
        return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", j->to, strerror(errno));
    rc = arch_to_hf(&j->plan.arch, NULL, &json, err); /* says early what config.json cannot */
    if (!rc)
        free(json);
    if (!rc && j->from->is_gguf)
        rc = spell_tokenizer(j, err);
    if (!rc)
        rc = safetensors_create(&j->sink.folder, j->to, SHARD_BYTES, err);
    if (!rc)
        rc = write_tensors(j, err);
    if (!rc)
        rc = safetensors_finish(j->sink.folder, err);
    if (!rc)
        rc = copy_companions(j, err);
    if (!rc)
        rc = write_config(j, err);
    if (rc && made) {
        safetensors_free(j->sink.folder);
        j->sink.folder = NULL;
        rmdir(j->to);
    }
    return rc;
}

/* ---- Adapters ------------------------------------------------------------------------------- */

static bool fits(const struct job *j, const struct file_tensor *t)
{
    char name[MK_MAX_TENSOR_NAME];

    for (int64_t i = 0; i < j->plan.n_items; i++)
        for (char part = 'A'; part <= 'B'; part++)
            if (adapter_tensor_name(name, sizeof name, j->plan.items[i].name, part) &&
                !strcmp(name, t->name))
                return true;
    return false;
}

/* Items that change cannot be copied; every tensor of the adapter must have changed one. */
static int open_adapter(struct job *j, bool gguf, struct mk_error *err)
{
    int64_t n = 0;

    if (!j->o->adapter)
        return 0;
    if (gguf)
        return mk_error_set(err, MK_EINVAL,
                            "%s: an adapter is merged into a folder; convert that to GGUF then",
                            j->to);
    if (adapter_open(&j->adapter, j->o->adapter, err))
        return err->code;
    for (int64_t i = 0; i < j->plan.n_items; i++)
        if (adapter_has(&j->adapter, j->plan.items[i].name)) {
            j->plan.items[i].raw = false;
            n++;
        }
    for (int64_t i = 0; 2 * n != j->adapter.tensors.n_items && i < j->adapter.tensors.n_items; i++)
        if (!fits(j, &j->adapter.tensors.items[i]))
            return mk_error_set(err, MK_EFORMAT, "%s: tensor %s changes no weight of this model",
                                j->o->adapter, j->adapter.tensors.items[i].name);
    return 0;
}

/* ---- The whole ------------------------------------------------------------------------------ */

bool convert_can(enum dtype to, bool gguf)
{
    if (gguf)
        return quantise_can(to) && dtype_info(to)->gguf >= 0;
    return quantise_can(to) && dtype_info(to)->safetensors;
}

/* A folder may be there as long as no model is in it. */
static int check_target(const char *from, const char *to, bool overwrite, struct mk_error *err)
{
    struct stat source, target;

    if (strlen(to) > 3000)
        return mk_error_set(err, MK_EINVAL, "%.100s...: the path is too long", to);
    if (stat(to, &target))
        return 0;
    if (!stat(from, &source) && source.st_dev == target.st_dev && source.st_ino == target.st_ino)
        return mk_error_set(err, MK_EINVAL, "%s: a model cannot be converted in its own place", to);
    if (!overwrite && (!S_ISDIR(target.st_mode) || model_folder_has(to, "config.json")))
        return mk_error_set(err, MK_EINVAL, "%s: is there already; choose another name or --force",
                            to);
    return 0;
}

int convert_model(const char *from, const char *to, const struct convert_options *o,
                  struct convert_report *report, struct mk_error *err)
{
    size_t n = strlen(to);
    bool gguf = n > 5 && !strcmp(to + n - 5, ".gguf");
    struct job j = {.to = to, .o = o};
    struct model_file file;
    int rc;

    *report = (struct convert_report){0};
    if (!convert_can(o->to, gguf))
        return mk_error_set(err, MK_EINVAL, "%s: %s cannot hold %s", to,
                            gguf ? "GGUF" : "a folder of safetensors (GGUF ends in .gguf)",
                            dtype_info(o->to)->name);
    if (check_target(from, to, o->overwrite, err) || model_file_open(&file, from, err))
        return err->code;
    j.from = &file;
    arena_init(&j.temp, SIZE_MAX / 4);
    rc = plan_init(&j.plan, &file, o->to, gguf, report, err);
    if (!rc)
        rc = open_adapter(&j, gguf, err);
    if (!rc)
        rc = exec_create(&j.exec, o->n_threads > 0 ? o->n_threads : exec_cores(), err);
    if (!rc)
        rc = gguf ? write_gguf(&j, err) : write_folder(&j, err);
    safetensors_free(j.sink.folder);
    gguf_writer_free(j.sink.file);
    exec_free(j.exec);
    adapter_release(&j.adapter);
    plan_release(&j.plan);
    vocab_json_release(&j.tokenizer);
    arena_release(&j.temp);
    model_file_release(&file);
    return rc;
}
