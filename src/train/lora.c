/* lora.c: adapters as parameters beside the model's, merged for the forward pass. */
#include "train/lora.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "formats/adapter.h"
#include "formats/safetensors.h"
#include "train/backward.h"

/* ---- Making them ---------------------------------------------------------------------------- */

/* Matrices that a linear layer multiplies with. The router decides rather than transforms. */
static bool is_target(const struct param *q, const char *targets)
{
    return q->n_dims == 2 && q->role != W_EMBED && q->role != W_ROUTER &&
           params_match(targets, q->name);
}

static int take_part(struct params *p, const struct param *of, char part, int32_t rank,
                     struct param *out, struct mk_error *err)
{
    int64_t rows = part == 'A' ? rank : of->shape[0], columns = part == 'A' ? of->shape[1] : rank;

    *out = (struct param){.role = of->role,
                          .layer = of->layer,
                          .expert = of->expert,
                          .n_dims = 2,
                          .shape = {rows, columns},
                          .n = rows * columns,
                          .n_streams = of->n_streams,
                          .adapter = true};
    if (!adapter_tensor_name(out->name, sizeof out->name, of->name, part))
        return mk_error_set(err, MK_ELIMIT, "%s: the name is too long for an adapter", of->name);
    if (arena_take(&p->memory, &out->w, (size_t)out->n, sizeof *out->w, err))
        return err->code;
    memset(out->w, 0, (size_t)out->n * sizeof *out->w);
    return 0;
}

static int adapt(struct params *p, struct param *q, struct param *pair,
                 const struct lora_options *o, struct mk_error *err)
{
    double width = 1 / sqrt((double)q->shape[1]);
    struct lora *l;
    float *base;

    if (arena_take(&p->memory, &l, 1, sizeof *l, err) ||
        arena_take(&p->memory, &base, (size_t)q->n, sizeof *base, err) ||
        take_part(p, q, 'A', o->rank, &pair[0], err) ||
        take_part(p, q, 'B', o->rank, &pair[1], err))
        return err->code;
    memcpy(base, q->w, (size_t)q->n * sizeof *base);
    *l = (struct lora){
        .a = &pair[0], .b = &pair[1], .base = base, .scale = (float)(o->alpha / o->rank)};
    for (int64_t i = 0; i < l->a->n; i++) {
        double x = rng_uniform(o->seed, params_hash(l->a->name), (uint64_t)i);

        l->a->w[i] = (float)(width * (2 * x - 1));
    }
    q->lora = l;
    if (arena_take(&p->memory, &l->turned, (size_t)l->a->n, sizeof *l->turned, err))
        return err->code;
    return arena_take(&p->memory, &l->scaled, (size_t)l->b->n, sizeof *l->scaled, err);
}

int lora_init(struct params *p, const struct lora_options *o, struct mk_error *err)
{
    int64_t n = 0, at = p->n_items;
    struct param *items;

    for (int64_t i = 0; i < p->n_items; i++)
        n += is_target(&p->items[i], o->targets);
    if (n == 0)
        return mk_error_set(err, MK_EINVAL,
                            "lora.targets: '%s' is the name of no linear layer: nothing would "
                            "learn",
                            o->targets);
    if (arena_take(&p->memory, &items, (size_t)(p->n_items + 2 * n), sizeof *items, err))
        return err->code;
    memcpy(items, p->items, (size_t)p->n_items * sizeof *items);
    for (int64_t i = 0; i < p->n_items; i++) {
        items[i].frozen = true;
        if (!is_target(&items[i], o->targets))
            continue;
        if (adapt(p, &items[i], items + at, o, err))
            return err->code;
        at += 2;
    }
    p->items = items;
    p->n_items = at;
    p->lora = *o;
    return 0;
}

/* ---- Merging -------------------------------------------------------------------------------- */

static void merge_task(void *context, int64_t task, int worker)
{
    struct param *q = &((struct params *)context)->items[task];
    struct lora *l = q->lora;
    int64_t n_out = q->shape[0], n_in = q->shape[1];
    struct low_rank low;

    (void)worker;
    if (!l)
        return;
    low = (struct low_rank){l->a->w, l->b->w, n_in, (int32_t)l->a->shape[0], l->scale};
    for (int64_t r = 0; r < n_out; r++) {
        memcpy(q->w + r * n_in, l->base + r * n_in, (size_t)n_in * sizeof *q->w);
        low_rank_add_row(&low, r, q->w + r * n_in);
    }
    for (int64_t i = 0; i < l->b->n; i++)
        l->scaled[i] = l->scale * l->b->w[i];
    for (int64_t k = 0; k < low.rank; k++)
        for (int64_t i = 0; i < n_in; i++)
            l->turned[i * low.rank + k] = l->scale * l->a->w[k * n_in + i];
}

void lora_merge(struct params *p, struct exec *ex)
{
    if (p->lora.rank)
        exec_run(ex, p->n_items, merge_task, p);
}

/* ---- Backward ------------------------------------------------------------------------------- */

/* The two products into the low rank, in `down`, and the two sums over tokens, in `up`. */
static int add_jobs(struct backward *b, const struct linear *j, struct gemm_job *down,
                    struct gemm_job *up, struct mk_error *err)
{
    const struct lora *l = j->p->lora;
    int64_t rank = l->a->shape[0], n_in = j->p->shape[1], n = j->n_rows;
    int64_t n_out = j->n_out ? j->n_out : j->p->shape[0];
    float *low_dy, *low_x; /* [t, rank] dy s B and x s A^T */

    if (arena_take(b->s->memory, &low_dy, (size_t)(n * rank), sizeof *low_dy, err) ||
        arena_take(b->s->memory, &low_x, (size_t)(n * rank), sizeof *low_x, err))
        return err->code;
    down[0] = (struct gemm_job){.a = j->dy,
                                .a_stride = j->dy_stride,
                                .a_rows = j->dy_rows,
                                .b = l->scaled + j->row0 * rank,
                                .b_stride = rank,
                                .out = low_dy,
                                .out_stride = rank,
                                .n_rows = n,
                                .n_out = (int32_t)n_out,
                                .n_in = (int32_t)rank};
    down[1] = down[0];
    down[1].a = j->x;
    down[1].a_stride = j->x_stride;
    down[1].a_rows = j->x_rows;
    down[1].b = l->turned;
    down[1].out = low_x;
    down[1].n_out = (int32_t)n_in;
    up[0] = (struct gemm_job){.a = low_dy,
                              .a_stride = rank,
                              .b = j->x,
                              .b_stride = j->x_stride,
                              .b_rows = j->x_rows,
                              .out = l->a->grad + j->stream * l->a->n,
                              .out_stride = n_in,
                              .n_rows = n,
                              .n_out = (int32_t)rank,
                              .n_in = (int32_t)n_in};
    up[1] = (struct gemm_job){.a = j->dy,
                              .a_stride = j->dy_stride,
                              .a_rows = j->dy_rows,
                              .b = low_x,
                              .b_stride = rank,
                              .out = l->b->grad + j->stream * l->b->n + j->row0 * rank,
                              .out_stride = rank,
                              .n_rows = n,
                              .n_out = (int32_t)n_out,
                              .n_in = (int32_t)rank};
    return 0;
}

/* Adapters may be frozen themselves: those of MTP blocks are when rewards teach. */
static bool learns(const struct linear *j)
{
    return j->x && j->p->lora && j->p->lora->a->grad;
}

int lora_backward(struct backward *b, const struct linear *jobs, int32_t n_jobs,
                  struct mk_error *err)
{
    struct compute *c = b->s->c;
    struct gemm_job *down, *up;
    int32_t n = 0;

    if (!b->p->lora.rank)
        return 0;
    if (arena_take(b->s->memory, &down, 2 * (size_t)n_jobs, sizeof *down, err) ||
        arena_take(b->s->memory, &up, 2 * (size_t)n_jobs, sizeof *up, err))
        return err->code;
    for (int32_t i = 0; i < n_jobs; i++) {
        if (!learns(&jobs[i]))
            continue;
        if (add_jobs(b, &jobs[i], down + n, up + n, err))
            return err->code;
        n += 2;
    }
    if (n == 0)
        return 0;
    return c->k->gemm_nn(c, down, n, err) || c->k->gemm_tn(c, up, n, err) ? err->code : 0;
}

/* ---- Files ---------------------------------------------------------------------------------- */

static int write_values(const struct params *p, struct safetensors_writer *w, struct mk_error *err)
{
    for (int64_t i = 0; i < p->n_items; i++) {
        const struct param *q = &p->items[i];

        if (q->adapter && safetensors_declare(w, q->name, MK_F32, 2, q->shape, err))
            return err->code;
    }
    if (safetensors_begin(w, err))
        return err->code;
    for (int64_t i = 0; i < p->n_items; i++) {
        const struct param *q = &p->items[i];

        if (q->adapter && safetensors_write(w, q->w, (uint64_t)q->n * sizeof *q->w, err))
            return err->code;
    }
    return safetensors_finish(w, err);
}

static int write_config(const struct params *p, const char *path, struct mk_error *err)
{
    const char **names = malloc((size_t)p->n_items * sizeof *names);
    int64_t n = 0;
    char *json;
    int code;

    if (!names)
        return mk_error_memory(err, (size_t)p->n_items * sizeof *names);
    for (int64_t i = 0; i < p->n_items; i++)
        if (p->items[i].lora)
            names[n++] = p->items[i].name;
    code = adapter_config_text(p->lora.rank, p->lora.alpha, p->lora.base, names, n, &json, err);
    free(names);
    if (code)
        return code;
    code = write_file(path, json, strlen(json), err);
    free(json);
    return code;
}

int lora_write(const struct params *p, const char *dir, struct mk_error *err)
{
    struct safetensors_writer *w;
    char path[4096];
    int code;

    if (mkdir(dir, 0777))
        return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", dir, strerror(errno));
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir);
    if (safetensors_create_file(&w, path, err))
        return err->code;
    code = write_values(p, w, err);
    safetensors_free(w);
    if (code)
        return code;
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    return write_config(p, path, err);
}

static int read_values(struct params *p, const struct adapter *file, const char *dir,
                       struct mk_error *err)
{
    int64_t n = 0;

    for (int64_t i = 0; i < p->n_items; i++) {
        struct param *q = &p->items[i];
        const struct file_tensor *t;

        if (!q->adapter)
            continue;
        n++;
        t = tensors_find(&file->tensors, q->name);
        if (!t || t->dtype != MK_F32 || t->n_dims != 2 || t->shape[0] != q->shape[0] ||
            t->shape[1] != q->shape[1])
            return mk_error_set(err, MK_EFORMAT,
                                "%s: tensor %s is missing or of another size: take a checkpoint of "
                                "this recipe",
                                dir, q->name);
        if (tensors_check_finite(&file->tensors, t, err))
            return err->code;
        memcpy(q->w, t->data, (size_t)t->bytes);
    }
    return n == file->tensors.n_items
               ? 0
               : mk_error_set(err, MK_EFORMAT,
                              "%s: has more adapters than lora.targets: take a checkpoint of this "
                              "recipe",
                              dir);
}

int lora_read(struct params *p, const char *dir, struct mk_error *err)
{
    struct adapter file;
    int code = adapter_open(&file, dir, err);

    if (!code)
        code = read_values(p, &file, dir, err);
    adapter_release(&file);
    return code;
}
