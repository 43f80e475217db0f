/* params.c: memory, names and layouts of the trained weights. */
#include "train/params.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "kernels/fp8.h"
#include "model/convert_plan.h"
#include "model/names.h"
#include "train/param_list.h"

/* ---- Memory --------------------------------------------------------------------------------- */

static int take_values(struct params *p, struct mk_error *err)
{
    for (int64_t i = 0; i < p->n_items; i++) {
        struct param *q = &p->items[i];

        if (arena_take(&p->memory, &q->w, (size_t)q->n, sizeof *q->w, err))
            return err->code;
        memset(q->w, 0, (size_t)q->n * sizeof *q->w);
    }
    return 0;
}

static int take_slots(struct params *p, struct mk_error *err)
{
    size_t n = (size_t)(p->arch.n_layers + p->arch.n_mtp) * W_N_ROLES;

    if (arena_take(&p->memory, &p->slots, n, sizeof *p->slots, err))
        return err->code;
    for (size_t i = 0; i < n; i++)
        p->slots[i] = -1;
    for (int64_t i = p->n_items - 1; i >= 0; i--)
        p->slots[(size_t)p->items[i].layer * W_N_ROLES + p->items[i].role] = i;
    return 0;
}

static int add_to_view(struct params *p, struct param *q, struct mk_error *err)
{
    struct file_tensor t = {.name = q->name,
                            .dtype = q->compute,
                            .n_dims = q->n_dims,
                            .shape = {q->shape[0], q->shape[1]},
                            .data = q->bytes ? q->bytes : (const unsigned char *)q->w};
    char name[MK_NAME_BYTES + 16];

    dtype_bytes(q->compute, (uint64_t)q->n, &t.bytes);
    if (tensors_add(&p->view, &t, err))
        return err->code;
    if (!q->scales)
        return 0;
    snprintf(name, sizeof name, "%s_scale_inv", q->name);
    t = (struct file_tensor){
        .name = name,
        .dtype = MK_F32,
        .n_dims = 2,
        .shape = {(q->shape[0] + FP8_TILE - 1) / FP8_TILE, (q->shape[1] + FP8_TILE - 1) / FP8_TILE},
        .data = (const unsigned char *)q->scales};
    t.bytes = (uint64_t)(t.shape[0] * t.shape[1]) * sizeof *q->scales;
    return tensors_add(&p->view, &t, err);
}

int params_view(struct params *p, struct mk_error *err)
{
    struct map_file none = {0};

    tensors_release(&p->view);
    if (tensors_add_file(&p->view, &none, "training weights", err))
        return err->code;
    for (int64_t i = 0; i < p->n_items; i++)
        if (!p->items[i].adapter && add_to_view(p, &p->items[i], err))
            return err->code;
    return tensors_finish(&p->view, err);
}

static void set_streams(struct params *p)
{
    struct param *embed = params_get(p, W_EMBED, 0, 0), *head = params_get(p, W_HEAD, 0, 0);

    embed->n_streams = 1 + p->arch.n_mtp;
    if (head)
        head->n_streams = 1 + p->arch.n_mtp;
    else
        embed->n_streams *= 2;
}

int params_init(struct params *p, const struct arch *a, struct mk_error *err)
{
    *p = (struct params){.arch = *a};
    arena_init(&p->memory, SIZE_MAX / 4);
    if (a->n_mtp > MK_MAX_STREAMS / 2 - 1) {
        mk_error_set(err, MK_EUNSUPPORTED,
                     "%d multi-token-prediction blocks: at most %d are trained", a->n_mtp,
                     MK_MAX_STREAMS / 2 - 1);
    } else if (!param_list(p, err) && !take_slots(p, err) && !take_values(p, err) &&
               !params_view(p, err)) {
        set_streams(p);
        return 0;
    }
    params_release(p);
    return err->code;
}

void params_release(struct params *p)
{
    tensors_release(&p->view);
    arena_release(&p->memory);
    memset(p, 0, sizeof *p);
}

/* ---- Values --------------------------------------------------------------------------------- */

uint64_t params_hash(const char *name)
{
    return hash_bytes(name, strlen(name));
}

/* Two numbers of N(0, 1) from two uniform ones (Box and Muller 1958). */
static void normal_pair(uint64_t seed, uint64_t sequence, uint64_t position, double out[2])
{
    double r = sqrt(-2 * log(1 - rng_uniform(seed, sequence, 2 * position)));
    double angle = 2 * acos(-1) * rng_uniform(seed, sequence, 2 * position + 1);

    out[0] = r * cos(angle);
    out[1] = r * sin(angle);
}

static bool is_bias(const struct param *q)
{
    return q->role == W_Q_BIAS || q->role == W_K_BIAS || q->role == W_V_BIAS ||
           q->role == W_ROUTER_BIAS;
}

void params_randomise(struct params *p, uint64_t seed, double std)
{
    for (int64_t i = 0; i < p->n_items; i++) {
        struct param *q = &p->items[i];
        uint64_t sequence = params_hash(q->name);
        double pair[2];

        for (int64_t j = 0; q->n_dims == 1 && j < q->n; j++)
            q->w[j] = is_bias(q) ? 0 : 1;
        for (int64_t j = 0; q->n_dims == 2 && j < q->n; j++) {
            if (j % 2 == 0)
                normal_pair(seed, sequence, (uint64_t)j / 2, pair);
            q->w[j] = (float)(std * pair[j % 2]);
        }
    }
}

static int read_item(const struct plan *plan, const struct item *it, struct param *q,
                     struct mk_error *err)
{
    struct arena temp;
    int code = 0;
    int64_t row = 0;

    arena_init(&temp, SIZE_MAX / 4);
    for (int32_t i = 0; i < it->n_sections && !code; i++) {
        struct section s;

        code = section_open(plan, it, i, &temp, &s, err);
        for (int64_t r = 0; r < s.n_rows && !code; r++)
            section_row(&s, r, q->w + row++ * it->n_in);
        arena_reset(&temp);
    }
    arena_release(&temp);
    for (int64_t j = 0; j < q->n && !code; j++)
        if (!isfinite(q->w[j]))
            code = mk_error_set(err, MK_EFORMAT,
                                "tensor %s has values that are no numbers: the file is damaged",
                                q->name);
    return code;
}

static int read_all(struct params *p, const struct plan *plan, struct mk_error *err)
{
    for (int64_t i = 0; i < plan->n_items; i++) {
        const struct item *it = &plan->items[i];
        struct param *q;

        if (it->layer >= p->arch.n_layers + p->arch.n_mtp || it->role == W_MTP_EMBED ||
            it->role == W_MTP_HEAD) /* not asked for; copies of the model's own */
            continue;
        q = params_get(p, it->role, it->layer, it->expert);
        if (!q || q->shape[q->n_dims - 1] != it->n_in)
            return mk_error_set(err, MK_EFORMAT, "tensor %s cannot be trained: no place for it",
                                it->name);
        if (read_item(plan, it, q, err))
            return err->code;
    }
    return 0;
}

int params_read(struct params *p, const struct model_file *file, bool with_mtp,
                struct mk_error *err)
{
    struct convert_report report = {0};
    struct plan plan;
    struct arch a;
    int code;

    *p = (struct params){0};
    if (plan_init(&plan, file, MK_F32, false, &report, err))
        return err->code;
    a = plan.arch;
    if (!with_mtp)
        a.n_mtp = 0;
    code = params_init(p, &a, err);
    if (!code)
        code = read_all(p, &plan, err);
    plan_release(&plan);
    if (code)
        params_release(p);
    return code;
}

/* ---- Finding -------------------------------------------------------------------------------- */

struct param *params_get(const struct params *p, enum weight_role role, int32_t layer,
                         int32_t expert)
{
    int64_t first = p->slots[(size_t)layer * W_N_ROLES + role];
    /* An expert's gate, up and down follow one another. */
    int64_t step = role >= W_EXPERT_GATE && role <= W_EXPERT_DOWN ? 3 : 1;

    return first < 0 ? NULL : &p->items[first + step * expert];
}

struct param *params_find(const struct params *p, const char *name)
{
    for (int64_t i = 0; i < p->n_items; i++)
        if (!strcmp(p->items[i].name, name))
            return &p->items[i];
    return NULL;
}

bool params_match(const char *list, const char *name)
{
    char pattern[256];

    while (*list) {
        size_t n = strcspn(list, ",");

        snprintf(pattern, sizeof pattern, "%.*s", (int)n, list);
        if (fnmatch(pattern, name, 0) == 0)
            return true;
        list += n + (list[n] == ',');
    }
    return false;
}

struct param *params_head(const struct params *p)
{
    struct param *head = params_get(p, W_HEAD, 0, 0);

    return head ? head : params_get(p, W_EMBED, 0, 0);
}

int32_t params_embed_stream(const struct params *p, int32_t place)
{
    (void)p;
    return place;
}

int32_t params_head_stream(const struct params *p, int32_t place)
{
    return params_get(p, W_HEAD, 0, 0) ? place : 1 + p->arch.n_mtp + place;
}

/* ---- Gradients ------------------------------------------------------------------------------ */

int params_take_gradients(struct params *p, struct mk_error *err)
{
    for (int64_t i = 0; i < p->n_items; i++) {
        struct param *q = &p->items[i];

        if (q->frozen || q->buffer || q->grad)
            continue;
        if (arena_take(&p->memory, &q->grad, (size_t)(q->n * q->n_streams), sizeof *q->grad, err))
            return err->code;
    }
    params_zero_gradients(p, NULL);
    return 0;
}

static void zero_task(void *context, int64_t task, int worker)
{
    struct param *q = &((struct params *)context)->items[task];

    (void)worker;
    if (q->grad)
        memset(q->grad, 0, (size_t)(q->n * q->n_streams) * sizeof *q->grad);
}

void params_zero_gradients(struct params *p, struct exec *ex)
{
    if (ex)
        exec_run(ex, p->n_items, zero_task, p);
    for (int64_t i = 0; !ex && i < p->n_items; i++)
        zero_task(p, i, 0);
}

void params_join(struct params *p)
{
    for (int64_t i = 0; i < p->n_items; i++) {
        struct param *q = &p->items[i];

        for (int32_t s = 1; s < q->n_streams && q->grad; s++)
            for (int64_t j = 0; j < q->n; j++)
                q->grad[j] += q->grad[s * q->n + j];
    }
}

int params_pack(const struct params *p, struct model *m, const struct model_options *o,
                struct mk_error *err)
{
    struct arch a = p->arch;

    for (int64_t i = 0; i < p->n_items; i++)
        if (p->items[i].compute == MK_F8_E4M3)
            a.fp8_block[0] = a.fp8_block[1] = FP8_TILE;
    if (m->memory.first)
        model_release(m);
    return model_load(m, &a, &p->view, NAME_HF, o, err);
}
