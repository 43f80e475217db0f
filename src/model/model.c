/* model.c: assembles a model from its parts. */
#include "model/model.h"

#include <string.h>

#include "model/load.h"
#include "model/router.h"

static int load_layer(struct loader *ld, struct layer *l, int32_t index, struct mk_error *err)
{
    struct model *m = ld->model;

    l->attention = attention_kind_for(&m->arch, &m->options);
    l->ffn = ffn_kind_for(&m->arch, index);
    if (load_vector(ld, &l->attention_norm, W_ATTN_NORM, index, m->arch.d_model, err) ||
        l->attention->load(ld, index, &l->attention_weights, err) ||
        load_vector(ld, &l->ffn_norm, W_FFN_NORM, index, m->arch.d_model, err))
        return err->code;
    return l->ffn->load(ld, index, &l->ffn_weights, err);
}

/* The embedding and the head. A file may say "tied" and still bring a head of its own: then the
 * head is used; or it may leave the head out without saying anything, as GGUF does: then it is
 * tied. */
static int load_ends(struct loader *ld, struct mk_error *err)
{
    struct model *m = ld->model;
    int64_t v = m->arch.n_vocab, d = m->arch.d_model;
    struct matrix_part embed = {W_EMBED, 0, 0, v, 0, v, d}, head = {W_HEAD, 0, 0, v, 0, v, d};
    bool own_head =
        load_has(ld, W_HEAD, 0) && !(m->arch.tie_word_embeddings && ld->style == NAME_HF);

    if (load_matrix(ld, &m->embed, &embed, err))
        return err->code;
    m->head = m->embed;
    if ((own_head || (ld->style == NAME_HF && !m->arch.tie_word_embeddings)) &&
        load_matrix(ld, &m->head, &head, err))
        return err->code;
    return load_vector(ld, &m->final_norm, W_FINAL_NORM, 0, d, err);
}

static int load_mtp(struct loader *ld, struct mk_error *err)
{
    struct model *m = ld->model;
    int64_t d = m->arch.d_model;

    if (!m->options.with_mtp || m->arch.n_mtp < 1 || !load_has(ld, W_MTP_PROJ, m->arch.n_layers))
        return 0;
    if (load_take(ld, &m->mtp, (size_t)m->arch.n_mtp, sizeof *m->mtp, err))
        return err->code;
    for (int32_t i = 0; i < m->arch.n_mtp; i++) {
        int32_t layer = m->arch.n_layers + i;
        struct matrix_part proj = {W_MTP_PROJ, layer, 0, d, 0, d, 2 * d};
        struct mtp *p = &m->mtp[i];

        if (load_vector(ld, &p->embed_norm, W_MTP_EMBED_NORM, layer, d, err) ||
            load_vector(ld, &p->hidden_norm, W_MTP_HIDDEN_NORM, layer, d, err) ||
            load_matrix(ld, &p->proj, &proj, err) || load_layer(ld, &p->layer, layer, err) ||
            load_vector(ld, &p->final_norm, W_MTP_NORM, layer, d, err))
            return err->code;
        m->n_mtp++;
    }
    return 0;
}

static int load_all(struct loader *ld, struct mk_error *err)
{
    struct model *m = ld->model;

    if (load_ends(ld, err) ||
        load_take(ld, &m->layers, (size_t)m->arch.n_layers, sizeof *m->layers, err))
        return err->code;
    for (int32_t l = 0; l < m->arch.n_layers; l++)
        if (load_layer(ld, &m->layers[l], l, err))
            return err->code;
    return load_mtp(ld, err);
}

static int list_origins(struct model *m, struct mk_error *err)
{
    int64_t i = 0;

    if (arena_take(&m->memory, &m->origin, (size_t)m->n_origins, sizeof *m->origin, err))
        return err->code;
    for (struct weight_origin *o = m->origins; o; o = o->next)
        m->origin[i++] = o;
    return 0;
}

static void refill_task(void *context, int64_t task, int worker)
{
    struct weight_origin *o = ((struct model *)context)->origin[task];

    (void)worker;
    if (o->vector)
        load_row_f32(&o->src, 0, o->vector);
    else
        packed_fill(&o->packed, &o->src);
}

void model_refill(struct model *m, struct exec *ex)
{
    exec_run(ex, m->n_origins, refill_task, m);
}

int model_load(struct model *m, const struct arch *a, const struct tensors *t,
               enum name_style style, const struct model_options *options, struct mk_error *err)
{
    int32_t n_dims = a->attention == ARCH_MLA ? a->qk_rope_dim : a->head_dim;
    struct loader ld;
    int code;

    *m = (struct model){.arch = *a, .options = *options, .residual = residual_kind_for(a)};
    if (a->n_experts > MK_MAX_EXPERTS)
        return mk_error_set(err, MK_EUNSUPPORTED, "%d experts a layer are too many: at most %d",
                            a->n_experts, MK_MAX_EXPERTS);
    if (rope_init(&m->rope, a, n_dims, err))
        return err->code;
    arena_init(&m->memory, SIZE_MAX / 4);
    loader_init(&ld, m, t, style);
    code = load_all(&ld, err);
    if (!code && options->refill)
        code = list_origins(m, err);
    m->n_params_active = (uint64_t)(ld.n_active + 0.5);
    loader_release(&ld);
    if (code)
        model_release(m);
    return code;
}

void model_release(struct model *m)
{
    arena_release(&m->memory);
    memset(m, 0, sizeof *m);
}

int32_t model_cache_layers(const struct model *m)
{
    return m->arch.n_layers + m->n_mtp;
}

int32_t model_row_dim(const struct model *m)
{
    return attention_kind_for(&m->arch, &m->options)->row_dim(m);
}
