/* gqa.c: grouped-query attention of Llama, Mistral, Qwen2 and Qwen3 (Ainslie et al. 2023).
 *
 * A cached row is [keys of all kv heads | values of all kv heads]; keys are stored rotated. */
#include "model/gqa.h"

#include "model/load.h"

struct gqa_weights {
    struct packed q, k, v, o;              /* [h d, c], [kv d, c], [kv d, c], [c, h d] */
    const float *q_bias, *k_bias, *v_bias; /* or NULL */
    const float *q_norm, *k_norm;          /* [d] of each head (Qwen3), or NULL */
};

static int load_extras(struct loader *ld, int32_t layer, struct gqa_weights *w,
                       struct mk_error *err)
{
    const struct arch *a = &ld->model->arch;
    int64_t n_q = (int64_t)a->n_heads * a->head_dim, n_kv = (int64_t)a->n_kv_heads * a->head_dim;

    if (a->attention_bias && (load_vector(ld, &w->q_bias, W_Q_BIAS, layer, n_q, err) ||
                              load_vector(ld, &w->k_bias, W_K_BIAS, layer, n_kv, err) ||
                              load_vector(ld, &w->v_bias, W_V_BIAS, layer, n_kv, err)))
        return err->code;
    if (a->qk_norm && (load_vector(ld, &w->q_norm, W_Q_NORM, layer, a->head_dim, err) ||
                       load_vector(ld, &w->k_norm, W_K_NORM, layer, a->head_dim, err)))
        return err->code;
    return 0;
}

static int gqa_load(struct loader *ld, int32_t layer, void **weights, struct mk_error *err)
{
    const struct arch *a = &ld->model->arch;
    int64_t n_q = (int64_t)a->n_heads * a->head_dim, n_kv = (int64_t)a->n_kv_heads * a->head_dim;
    struct matrix_part q = {W_Q, layer, 0, n_q, 0, n_q, a->d_model};
    struct matrix_part k = {W_K, layer, 0, n_kv, 0, n_kv, a->d_model};
    struct matrix_part v = {W_V, layer, 0, n_kv, 0, n_kv, a->d_model};
    struct matrix_part o = {W_O, layer, 0, a->d_model, 0, a->d_model, n_q};
    struct gqa_weights *w;

    if (load_take(ld, &w, 1, sizeof *w, err) || load_matrix(ld, &w->q, &q, err) ||
        load_matrix(ld, &w->k, &k, err) || load_matrix(ld, &w->v, &v, err) ||
        load_matrix(ld, &w->o, &o, err) || load_extras(ld, layer, w, err))
        return err->code;
    *weights = w;
    return 0;
}

static int32_t gqa_row_dim(const struct model *m)
{
    return 2 * m->arch.n_kv_heads * m->arch.head_dim;
}

/* x -> q [t, h d] and row [t, 2 kv d], one division of the work for all three products. */
static int project(struct step *s, const struct gqa_weights *w, const float *x, float *q,
                   float *row, struct mk_error *err)
{
    const struct arch *a = &s->m->arch;
    int64_t n_q = (int64_t)a->n_heads * a->head_dim, n_kv = (int64_t)a->n_kv_heads * a->head_dim;
    struct matmul_job jobs[3] = {
        {&w->q, w->q_bias, x, a->d_model, s->n_rows, q, n_q},
        {&w->k, w->k_bias, x, a->d_model, s->n_rows, row, 2 * n_kv},
        {&w->v, w->v_bias, x, a->d_model, s->n_rows, row + n_kv, 2 * n_kv},
    };

    return s->c->k->matmul(s->c, jobs, 3, err);
}

/* RMSNorm of every head (Qwen3). Heads of a row follow one another, so q is one run of short rows.
 */
static void norm_heads(struct step *s, const struct gqa_weights *w, float *q, float *row)
{
    const struct arch *a = &s->m->arch;
    const struct kernels *k = s->c->k;
    int32_t d = a->head_dim, n_row = gqa_row_dim(s->m);

    if (!w->q_norm)
        return;
    k->rmsnorm(s->c, q, d, q, d, w->q_norm, s->n_rows * a->n_heads, d, a->rms_norm_eps);
    for (int32_t h = 0; h < a->n_kv_heads; h++)
        k->rmsnorm(s->c, row + h * d, n_row, row + h * d, n_row, w->k_norm, s->n_rows, d,
                   a->rms_norm_eps);
}

struct attend_shape gqa_shape(const struct step *s)
{
    const struct arch *a = &s->m->arch;
    int32_t d = a->head_dim;

    return (struct attend_shape){.n_heads = a->n_heads,
                                 .n_kv_heads = a->n_kv_heads,
                                 .d_k = d,
                                 .d_v = d,
                                 .k_stride = d,
                                 .v_offset = a->n_kv_heads * d,
                                 .v_stride = d,
                                 .row_dtype = s->kv_dtype,
                                 .row_dim = gqa_row_dim(s->m),
                                 .scale = rope_score_scale(a, d),
                                 .window = a->sliding_window};
}

static int gqa_forward(struct step *s, const void *weights, int32_t layer, const float *x,
                       float *out, struct mk_error *err)
{
    const struct gqa_weights *w = weights;
    const struct arch *a = &s->m->arch;
    int32_t d = a->head_dim, n_row = gqa_row_dim(s->m);
    int64_t n_q = (int64_t)a->n_heads * d;
    enum rope_pairs pairs = a->rope == ARCH_ROPE_HALF ? ROPE_HALF : ROPE_INTERLEAVED;
    struct attend_shape shape = gqa_shape(s);
    float *q, *row, *heads;

    if (step_take(s, &q, n_q, err) || step_take(s, &row, n_row, err) ||
        step_take(s, &heads, n_q, err) || project(s, w, x, q, row, err))
        return err->code;
    if (s->saved) {
        struct gqa_saved *saved = &s->saved->attention.gqa;

        *saved = (struct gqa_saved){.q = q, .row = row, .heads = heads};
        if (w->q_norm && (step_copy(s, &saved->q_in, q, n_q, n_q, err) ||
                          step_copy(s, &saved->row_in, row, n_row, n_row, err)))
            return err->code;
    }
    norm_heads(s, w, q, row);
    s->c->k->rope(s->c, q, n_q, s->n_rows, a->n_heads, d, d, s->rope, pairs);
    s->c->k->rope(s->c, row, n_row, s->n_rows, a->n_kv_heads, d, d, s->rope, pairs);
    step_store(s, layer, row, n_row);
    if (step_attend(s, layer, &shape, q, n_q, heads, n_q, err))
        return err->code;
    return step_matmul(s, out, a->d_model, heads, n_q, &w->o, err);
}

const struct attention_kind attention_gqa = {"gqa", gqa_load, gqa_row_dim, gqa_forward};
