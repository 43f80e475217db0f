/* checkpoint.c: writes beside, syncs, renames; reads with every number checked. */
#include "train/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/folder.h"
#include "formats/safetensors.h"
#include "train/lora.h"

#define MAX_STATE_BYTES ((size_t)1 << 20)
#define VERSION 1

/* ---- state.json ----------------------------------------------------------------------------- */

static json_t *outlier_json(const struct outlier *o)
{
    return json_pack("{s:I, s:f, s:f}", "n", (json_int_t)o->n, "mean", o->mean, "variance",
                     o->variance);
}

/* Name and sequences are there to be compared: a run goes on with the data that it had. */
static json_t *source_json(const struct mixture *m, int i)
{
    const struct mixture_counter *c = &m->state.sources[i];

    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f}", "name", m->sources[i].name, "sequences",
                     (json_int_t)m->sources[i].n_sequences, "drawn", (json_int_t)c->n_drawn,
                     "tokens", (json_int_t)c->n_tokens, "targets", (json_int_t)c->n_loss, "loss",
                     c->loss_sum);
}

static char *state_json(const struct trainer *t, struct corpus *corpus)
{
    static const struct mixture none = {0};
    const struct mixture *m = corpus ? corpus_mixture(corpus) : &none;
    json_t *sources = json_array(), *root;
    char *text;

    for (int i = 0; i < m->n_sources; i++)
        json_array_append_new(sources, source_json(m, i));
    root = json_pack("{s:i, s:I, s:I, s:I, s:I, s:o, s:o, s:{s:I, s:I, s:o}}", "version", VERSION,
                     "step", (json_int_t)t->state.step, "tokens", (json_int_t)t->state.tokens,
                     "skipped", (json_int_t)t->state.n_skipped, "optimizer_steps",
                     (json_int_t)t->optim.step, "loss", outlier_json(&t->state.loss), "norm",
                     outlier_json(&t->state.norm), "data", "drawn", (json_int_t)m->state.step,
                     "tokens", (json_int_t)m->state.n_tokens, "sources", sources);
    text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    return text;
}

static int get_count(const json_t *o, const char *key, int64_t *out)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return -1;
    *out = json_integer_value(v);
    return 0;
}

static int get_number(const json_t *o, const char *key, double *out)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_number(v) || !isfinite(json_number_value(v)))
        return -1;
    *out = json_number_value(v);
    return 0;
}

static int get_outlier(const json_t *o, const char *key, struct outlier *out)
{
    const json_t *v = json_object_get(o, key);

    return get_count(v, "n", &out->n) || get_number(v, "mean", &out->mean) ||
                   get_number(v, "variance", &out->variance)
               ? -1
               : 0;
}

static int get_sources(const json_t *list, struct mixture_state *m, int n_sources)
{
    if (!json_is_array(list) || json_array_size(list) != (size_t)n_sources)
        return -1;
    for (int i = 0; i < n_sources; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        struct mixture_counter *c = &m->sources[i];

        if (get_count(v, "drawn", &c->n_drawn) || get_count(v, "tokens", &c->n_tokens) ||
            get_count(v, "targets", &c->n_loss) || get_number(v, "loss", &c->loss_sum))
            return -1;
    }
    return 0;
}

static int get_all(const json_t *root, struct trainer_state *s, struct mixture_state *m,
                   int n_sources, int64_t *optimizer_steps)
{
    const json_t *data = json_object_get(root, "data");
    int64_t version;

    if (get_count(root, "version", &version) || version != VERSION ||
        get_count(root, "step", &s->step) || get_count(root, "tokens", &s->tokens) ||
        get_count(root, "skipped", &s->n_skipped) ||
        get_count(root, "optimizer_steps", optimizer_steps) ||
        get_outlier(root, "loss", &s->loss) || get_outlier(root, "norm", &s->norm) ||
        get_count(data, "drawn", &m->step) || get_count(data, "tokens", &m->n_tokens))
        return -1;
    return get_sources(json_object_get(data, "sources"), m, n_sources);
}

/* The data of before: places in it mean nothing in other data. */
static int check_sources(const json_t *root, const struct mixture *m, const char *path,
                         struct mk_error *err)
{
    const json_t *list = json_object_get(json_object_get(root, "data"), "sources");

    for (int i = 0; i < m->n_sources; i++) {
        const json_t *v = json_array_get(list, (size_t)i), *n = json_object_get(v, "sequences");
        const char *name = json_string_value(json_object_get(v, "name"));

        if (name && strcmp(name, m->sources[i].name))
            return mk_error_set(err, MK_EINVAL,
                                "%s: source %d was '%.60s' and is '%.60s' now: a run goes on with "
                                "the data that it began with",
                                path, i + 1, name, m->sources[i].name);
        if (json_is_integer(n) && json_integer_value(n) != m->sources[i].n_sequences)
            return mk_error_set(err, MK_EINVAL,
                                "%s: source '%.60s' had %lld sequences and has %lld now: a run "
                                "goes on with the data that it began with",
                                path, m->sources[i].name, (long long)json_integer_value(n),
                                (long long)m->sources[i].n_sequences);
    }
    return 0;
}

int checkpoint_parse_state(const char *json, size_t n, const char *path,
                           const struct mixture *data, struct trainer_state *s,
                           struct mixture_state *m, int64_t *optimizer_steps, struct mk_error *err)
{
    json_error_t at;
    json_t *root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &at);
    int code = 0;

    *s = (struct trainer_state){0};
    *m = (struct mixture_state){0};
    if (!root)
        return mk_error_set(err, MK_EFORMAT, "%s: line %d: %s", path, at.line, at.text);
    if (get_all(root, s, m, data->n_sources, optimizer_steps))
        code = mk_error_set(err, MK_EFORMAT,
                            "%s: not the state of a run with %d sources of data: take a checkpoint "
                            "of this recipe",
                            path, data->n_sources);
    else
        code = check_sources(root, data, path, err);
    json_decref(root);
    return code;
}

/* ---- optimizer.safetensors ------------------------------------------------------------------ */

enum moment { MOMENT_M, MOMENT_V, MOMENT_EMA, N_MOMENTS };
static const char *const moment_names[N_MOMENTS] = {"m", "v", "ema"};

/* NULL when the tensor has none of this kind. */
static void *moment_of(const struct trainer *t, int64_t i, enum moment kind, enum dtype *dtype)
{
    const struct optim_tensor *o = &t->optim.items[i];

    *dtype = kind == MOMENT_EMA || o->muon || !t->optim.o.bf16_moments ? MK_F32 : MK_BF16;
    if (kind == MOMENT_EMA)
        return t->ema ? t->ema[i] : NULL;
    return kind == MOMENT_M ? o->m : o->v;
}

static void moment_name(const struct trainer *t, int64_t i, enum moment kind, char *name, size_t n)
{
    snprintf(name, n, "%s.%s", moment_names[kind], t->optim.items[i].p->name);
}

/* Calls declare (data NULL) or write for every moment there is. */
static int each_moment(const struct trainer *t, struct safetensors_writer *w, bool declare,
                       struct mk_error *err)
{
    for (int64_t i = 0; i < t->optim.n_items; i++)
        for (enum moment kind = 0; kind < N_MOMENTS; kind++) {
            const struct param *p = t->optim.items[i].p;
            enum dtype dtype;
            void *data = moment_of(t, i, kind, &dtype);
            char name[MK_NAME_BYTES + 8];

            moment_name(t, i, kind, name, sizeof name);
            if (data && declare && safetensors_declare(w, name, dtype, p->n_dims, p->shape, err))
                return err->code;
            if (data && !declare &&
                safetensors_write(w, data, (uint64_t)p->n * (dtype == MK_F32 ? 4 : 2), err))
                return err->code;
        }
    return 0;
}

static int write_optimizer(const struct trainer *t, const char *dir, struct mk_error *err)
{
    struct safetensors_writer *w;
    char path[4096];
    int code;

    snprintf(path, sizeof path, "%s/optimizer.safetensors", dir);
    if (safetensors_create_file(&w, path, err))
        return err->code;
    code = each_moment(t, w, true, err);
    if (!code)
        code = safetensors_begin(w, err);
    if (!code)
        code = each_moment(t, w, false, err);
    if (!code)
        code = safetensors_finish(w, err);
    safetensors_free(w);
    return code;
}

static int read_moments(struct trainer *t, const struct tensors *file, const char *path,
                        struct mk_error *err)
{
    for (int64_t i = 0; i < t->optim.n_items; i++)
        for (enum moment kind = 0; kind < N_MOMENTS; kind++) {
            const struct param *p = t->optim.items[i].p;
            enum dtype dtype;
            void *data = moment_of(t, i, kind, &dtype);
            const struct file_tensor *e;
            char name[MK_NAME_BYTES + 8];

            if (!data)
                continue;
            moment_name(t, i, kind, name, sizeof name);
            e = tensors_find(file, name);
            if (!e || e->dtype != dtype || tensor_values(e) != (uint64_t)p->n)
                return mk_error_set(err, MK_EFORMAT,
                                    "%s: tensor %s is missing or of another size: take a "
                                    "checkpoint of this recipe",
                                    path, name);
            if (tensors_check_finite(file, e, err))
                return err->code;
            memcpy(data, e->data, (size_t)e->bytes);
        }
    return 0;
}

/* ---- The folder ----------------------------------------------------------------------------- */

static int put_weights(const struct params *p, struct safetensors_writer *w, struct mk_error *err)
{
    for (int64_t i = 0; i < p->n_items; i++) {
        const struct param *q = &p->items[i];

        if (!q->adapter && safetensors_declare(w, q->name, MK_F32, q->n_dims, q->shape, err))
            return err->code;
    }
    if (safetensors_begin(w, err))
        return err->code;
    for (int64_t i = 0; i < p->n_items; i++) {
        const struct param *q = &p->items[i];

        if (!q->adapter && safetensors_write(w, q->w, (uint64_t)q->n * sizeof *q->w, err))
            return err->code;
    }
    return safetensors_finish(w, err);
}

static int write_weights(const struct params *p, const char *dir, struct mk_error *err)
{
    struct safetensors_writer *w;
    int code;

    if (safetensors_create(&w, dir, 0, err))
        return err->code;
    code = put_weights(p, w, err);
    safetensors_free(w);
    return code;
}

static int write_text(const char *dir, const char *name, const char *text, struct mk_error *err)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return write_file(path, text, strlen(text), err);
}

static int write_config(const struct arch *a, const char *dir, struct mk_error *err)
{
    char *json;
    int code;

    if (arch_to_hf(a, "float32", &json, err))
        return err->code;
    code = write_text(dir, "config.json", json, err);
    free(json);
    return code;
}

int checkpoint_copy_tokenizer(const char *from, const char *dir, struct mk_error *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "chat_template.jinja", "generation_config.json"};

    for (size_t i = 0; from && i < sizeof names / sizeof *names; i++) {
        struct map_file m;
        char path[4096];
        int code = map_file_open_in(&m, from, names[i], err);

        if (code == MK_ENOTFOUND)
            continue;
        if (code)
            return code;
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        code = write_file(path, m.data, m.bytes, err);
        map_file_close(&m);
        if (code)
            return code;
    }
    return 0;
}

static int write_state(const struct trainer *t, struct corpus *corpus, const char *dir,
                       struct mk_error *err)
{
    char *text = state_json(t, corpus);
    int code;

    if (!text)
        return mk_error_memory(err, 0);
    code = write_text(dir, "state.json", text, err);
    free(text);
    return code;
}

/* The name of a folder is on the disk when its parent is. */
static void sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* What any program of the Hugging Face family loads; of a run with adapters these too. */
static int write_model(const struct trainer *t, const char *dir, const char *tokenizer,
                       struct mk_error *err)
{
    char path[4096];

    if (mkdir(dir, 0777))
        return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", dir, strerror(errno));
    if (write_weights(t->params, dir, err) || checkpoint_copy_tokenizer(tokenizer, dir, err) ||
        write_config(&t->params->arch, dir, err))
        return err->code;
    if (t->params->lora.rank) {
        snprintf(path, sizeof path, "%s/adapter", dir);
        if (lora_write(t->params, path, err))
            return err->code;
        sync_folder(path);
    }
    sync_folder(dir);
    return 0;
}

/* The mean of the weights as a model of its own. */
static int write_ema(struct trainer *t, const char *dir, const char *tokenizer,
                     struct mk_error *err)
{
    char path[4096];
    int code;

    if (!t->ema)
        return 0;
    snprintf(path, sizeof path, "%s/ema", dir);
    trainer_swap_ema(t);
    code = write_model(t, path, tokenizer, err);
    trainer_swap_ema(t);
    return code;
}

static int finish(const char *part, const char *dir, struct mk_error *err)
{
    char parent[4096];
    char *slash;

    sync_folder(part);
    if (rename(part, dir))
        return mk_error_set(err, MK_EIO, "%s: cannot be named %s: %s", part, dir, strerror(errno));
    snprintf(parent, sizeof parent, "%s", dir);
    slash = strrchr(parent, '/');
    if (slash)
        *slash = '\0';
    sync_folder(slash ? parent : ".");
    return 0;
}

int checkpoint_write(const char *dir, struct trainer *t, struct corpus *corpus,
                     const char *tokenizer, const struct checkpoint_more *more,
                     struct mk_error *err)
{
    char part[4000];
    int code;

    if (snprintf(part, sizeof part, "%s.part", dir) >= (int)sizeof part)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", dir);
    folder_remove(part);
    if (!(code = write_model(t, part, tokenizer, err)) && !(code = write_optimizer(t, part, err)) &&
        !(code = write_state(t, corpus, part, err)) &&
        !(code = more ? more->write(more->user, part, err) : 0) &&
        !(code = write_ema(t, part, tokenizer, err)))
        code = finish(part, dir, err);
    if (code)
        folder_remove(part);
    return code;
}

int checkpoint_write_weights(const struct params *p, const char *path, struct mk_error *err)
{
    struct safetensors_writer *w;
    int code;

    if (safetensors_create_file(&w, path, err))
        return err->code;
    code = put_weights(p, w, err);
    safetensors_free(w);
    return code;
}

int checkpoint_read_weights(struct params *p, const char *path, struct mk_error *err)
{
    struct tensors file;
    int code = 0;

    if (safetensors_open(&file, path, err))
        return err->code;
    for (int64_t i = 0; i < p->n_items && !code; i++) {
        struct param *q = &p->items[i];
        const struct file_tensor *e = tensors_find(&file, q->name);

        if (q->adapter)
            continue;
        if (!e || e->dtype != MK_F32 || tensor_values(e) != (uint64_t)q->n)
            code = mk_error_set(err, MK_EFORMAT, "%s: tensor %s is missing or of another size",
                                path, q->name);
        else if (!(code = tensors_check_finite(&file, e, err)))
            memcpy(q->w, e->data, (size_t)e->bytes);
    }
    tensors_release(&file);
    return code;
}

/* The base of adapters is read anew from where it was; with them it must be the model of the
 * checkpoint. */
static int check_base(const struct params *p, const char *dir, struct mk_error *err)
{
    struct tensors file;
    int code = 0;

    if (safetensors_open(&file, dir, err))
        return err->code;
    for (int64_t i = 0; i < p->n_items && !code; i++) {
        const struct param *q = &p->items[i];
        const struct file_tensor *t = tensors_find(&file, q->name);
        uint64_t bytes = (uint64_t)q->n * sizeof *q->w;

        if (!q->adapter && (!t || t->bytes != bytes || memcmp(t->data, q->w, bytes)))
            code = mk_error_set(err, MK_EFORMAT,
                                "%s: %s is not what model.from and the adapters make: model.from "
                                "has changed since",
                                dir, q->name);
    }
    tensors_release(&file);
    return code;
}

int checkpoint_read_state(const char *dir, struct trainer *t, struct corpus *corpus,
                          struct mk_error *err)
{
    static const struct mixture none = {0};
    struct mixture *mixture = corpus ? corpus_mixture(corpus) : NULL;
    struct mixture_state place;
    struct trainer_state state;
    struct tensors moments;
    struct map_file m;
    char path[4096];
    int64_t steps;
    int code;

    if (map_file_open_in(&m, dir, "state.json", err))
        return err->code;
    snprintf(path, sizeof path, "%s/state.json", dir);
    code = m.bytes > MAX_STATE_BYTES
               ? mk_error_set(err, MK_EFORMAT, "%s: too large for the state of a run", path)
               : checkpoint_parse_state((const char *)m.data, m.bytes, path,
                                        mixture ? mixture : &none, &state, &place, &steps, err);
    map_file_close(&m);
    if (code)
        return code;
    snprintf(path, sizeof path, "%s/optimizer.safetensors", dir);
    if (safetensors_open(&moments, path, err))
        return err->code;
    code = read_moments(t, &moments, path, err);
    tensors_release(&moments);
    if (!code && t->params->lora.rank)
        code = check_base(t->params, dir, err);
    if (code)
        return code;
    t->state = state;
    t->optim.step = steps;
    if (mixture)
        mixture->state = place;
    return 0;
}
