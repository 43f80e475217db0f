/* arch.c: the limits of every number in struct arch, and the combinations that must hold.
 *
 * The limits keep all products of two or three dimensions far inside 64 bits; they are several
 * times the largest released model and say nothing about what fits into memory. */
#include "formats/arch.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define MAX_DIM (1 << 20)
#define MAX_WIDTH (1 << 24) /* of all heads together */
#define MAX_VOCAB (1 << 24)

struct limit {
    const char *name;
    size_t offset;
    int32_t min, max;
};
#define FIELD(f) offsetof(struct arch, f)

static const struct limit any[] = {
    {"num_hidden_layers", FIELD(n_layers), 1, 1000},
    {"num_nextn_predict_layers", FIELD(n_mtp), 0, 16},
    {"hidden_size", FIELD(d_model), 1, MAX_DIM},
    {"vocab_size", FIELD(n_vocab), 1, MAX_VOCAB},
    {"num_attention_heads", FIELD(n_heads), 1, 1 << 14},
    {"num_key_value_heads", FIELD(n_kv_heads), 1, 1 << 14},
    {"sliding_window", FIELD(sliding_window), 0, INT32_MAX},
    {"max_position_embeddings", FIELD(max_context), 1, 1 << 30},
    {"n_routed_experts", FIELD(n_experts), 0, 1 << 14},
    {"first_k_dense_replace", FIELD(first_k_dense), 0, 1000},
    {"moe_layer_freq", FIELD(moe_layer_freq), 1, 1000},
    {"weight_block_size[0]", FIELD(fp8_block[0]), 0, MAX_DIM},
    {"weight_block_size[1]", FIELD(fp8_block[1]), 0, MAX_DIM},
};
static const struct limit gqa[] = {
    {"head_dim", FIELD(head_dim), 2, 1 << 16},
};
static const struct limit mla[] = {
    {"q_lora_rank", FIELD(q_lora_rank), 0, MAX_DIM},
    {"kv_lora_rank", FIELD(kv_lora_rank), 1, MAX_DIM},
    {"qk_nope_head_dim", FIELD(qk_nope_dim), 1, 1 << 16},
    {"qk_rope_head_dim", FIELD(qk_rope_dim), 2, 1 << 16},
    {"v_head_dim", FIELD(v_head_dim), 1, 1 << 16},
};
static const struct limit dense[] = {
    {"intermediate_size", FIELD(d_ff), 1, MAX_DIM},
};
static const struct limit moe[] = {
    {"num_experts_per_tok", FIELD(n_experts_used), 1, 1 << 14},
    {"n_shared_experts", FIELD(n_shared_experts), 0, 1 << 10},
    {"moe_intermediate_size", FIELD(d_expert), 1, MAX_DIM},
    {"n_group", FIELD(n_group), 1, 1 << 14},
    {"topk_group", FIELD(topk_group), 1, 1 << 14},
};
#define N(table) (int)(sizeof(table) / sizeof *(table))

void arch_init(struct arch *a)
{
    *a = (struct arch){0};
    a->moe_layer_freq = a->n_group = a->topk_group = 1;
    a->routed_scaling_factor = 1;
    a->rms_norm_eps = 1e-6f;
    a->rope_theta = 10000;
    a->scaling_factor = 1;
    a->beta_fast = 32;
    a->beta_slow = 1;
    a->bos_id = a->top_k = -1;
    a->temperature = a->top_p = -1;
}

static int check_limits(const struct arch *a, const char *path, const struct limit *t, int n,
                        struct mk_error *err)
{
    for (int i = 0; i < n; i++) {
        int32_t v;

        memcpy(&v, (const char *)a + t[i].offset, sizeof v);
        if (v < t[i].min || v > t[i].max)
            return mk_error_set(err, MK_EFORMAT, "%s: %s is %d, expected %d to %d", path, t[i].name,
                                v, t[i].min, t[i].max);
    }
    return 0;
}

/* Refuses NaN as well: every comparison with it is false. */
static int check_real(const char *path, const char *name, double v, double min, double max,
                      struct mk_error *err)
{
    if (v >= min && v <= max)
        return 0;
    return mk_error_set(err, MK_EFORMAT, "%s: %s is %g, expected %g to %g", path, name, v, min,
                        max);
}

static int check_attention(const struct arch *a, const char *path, struct mk_error *err)
{
    bool is_mla = a->attention == ARCH_MLA;
    int32_t rotated = is_mla ? a->qk_rope_dim : a->head_dim;
    int64_t widest;

    if (check_limits(a, path, is_mla ? mla : gqa, is_mla ? N(mla) : N(gqa), err))
        return err->code;
    if (a->n_heads % a->n_kv_heads)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: num_attention_heads is %d, expected a multiple of the %d of "
                            "num_key_value_heads",
                            path, a->n_heads, a->n_kv_heads);
    if (is_mla && a->n_kv_heads != a->n_heads)
        return mk_error_set(
            err, MK_EFORMAT,
            "%s: num_key_value_heads is %d, expected %d, the num_attention_heads of "
            "latent attention",
            path, a->n_kv_heads, a->n_heads);
    if (rotated % 2)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: %s is %d, expected an even number to rotate pairs", path,
                            is_mla ? "qk_rope_head_dim" : "head_dim", rotated);
    widest =
        is_mla ? a->qk_nope_dim + (a->qk_rope_dim > a->v_head_dim ? a->qk_rope_dim : a->v_head_dim)
               : a->head_dim;
    if (widest * a->n_heads > MAX_WIDTH)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: num_attention_heads is %d, expected at most %d of width %d", path,
                            a->n_heads, (int)(MAX_WIDTH / widest), (int)widest);
    if (a->n_rope_freq_factors < 0 || a->n_rope_freq_factors > ARCH_MAX_ROPE_FACTORS ||
        (a->n_rope_freq_factors && a->n_rope_freq_factors != rotated / 2))
        return mk_error_set(err, MK_EFORMAT, "%s: rope_freqs has %d factors, expected %d", path,
                            a->n_rope_freq_factors, rotated / 2);
    for (int i = 0; i < a->n_rope_freq_factors; i++)
        if (check_real(path, "a factor of rope_freqs", (double)a->rope_freq_factors[i], 1e-6, 1e6,
                       err))
            return err->code;
    return 0;
}

static int check_experts(const struct arch *a, const char *path, struct mk_error *err)
{
    if (!a->n_experts || a->first_k_dense > 0 || a->moe_layer_freq > 1)
        if (check_limits(a, path, dense, N(dense), err))
            return err->code;
    if (!a->n_experts)
        return 0;
    if (check_limits(a, path, moe, N(moe), err))
        return err->code;
    if (a->router == ARCH_ROUTER_NONE)
        return mk_error_set(err, MK_EFORMAT, "%s: topk_method is missing for %d experts", path,
                            a->n_experts);
    if (a->first_k_dense > a->n_layers)
        return mk_error_set(err, MK_EFORMAT, "%s: first_k_dense_replace is %d, expected at most %d",
                            path, a->first_k_dense, a->n_layers);
    if (a->n_experts % a->n_group)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: n_group is %d, expected a divisor of the %d experts", path,
                            a->n_group, a->n_experts);
    if (a->topk_group > a->n_group)
        return mk_error_set(err, MK_EFORMAT, "%s: topk_group is %d, expected at most n_group, %d",
                            path, a->topk_group, a->n_group);
    /* V3 scores a group by the sum of its two best. */
    if (a->router == ARCH_ROUTER_NOAUX && a->n_group > 1 && a->n_experts / a->n_group < 2)
        return mk_error_set(err, MK_EFORMAT, "%s: n_group is %d, expected at most %d", path,
                            a->n_group, a->n_experts / 2);
    if (a->n_experts_used > a->n_experts / a->n_group * a->topk_group)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: num_experts_per_tok is %d, expected at most the %d experts of "
                            "topk_group groups",
                            path, a->n_experts_used, a->n_experts / a->n_group * a->topk_group);
    return check_real(path, "routed_scaling_factor", (double)a->routed_scaling_factor, 1e-6, 1e6,
                      err);
}

static int check_rope(const struct arch *a, const char *path, struct mk_error *err)
{
    if (check_real(path, "rope_theta", a->rope_theta, 1 + 1e-6, 1e15, err))
        return err->code;
    if (a->scaling == ARCH_SCALING_NONE)
        return 0;
    if (check_real(path, "rope scaling factor", a->scaling_factor, 1e-3, 1e6, err))
        return err->code;
    if (a->scaling == ARCH_SCALING_LINEAR)
        return 0;
    if (a->original_context < 1 || a->original_context > 1 << 30)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: original_max_position_embeddings is %d, expected 1 to %d", path,
                            a->original_context, 1 << 30);
    if (a->scaling == ARCH_SCALING_LLAMA3) {
        if (check_real(path, "low_freq_factor", a->low_freq_factor, 1e-6, 1e6, err))
            return err->code;
        if (!(a->high_freq_factor > a->low_freq_factor) || a->high_freq_factor > 1e6)
            return mk_error_set(
                err, MK_EFORMAT,
                "%s: high_freq_factor is %g, expected more than low_freq_factor, %g", path,
                a->high_freq_factor, a->low_freq_factor);
        return 0;
    }
    if (check_real(path, "beta_slow", a->beta_slow, 1e-6, 1e6, err) ||
        check_real(path, "beta_fast", a->beta_fast, a->beta_slow, 1e6, err) ||
        check_real(path, "mscale", a->mscale, 0, 100, err) ||
        check_real(path, "mscale_all_dim", a->mscale_all_dim, 0, 100, err))
        return err->code;
    return check_real(path, "attention_factor", a->attention_factor, 0, 100, err);
}

static int check_ids(const struct arch *a, const char *path, struct mk_error *err)
{
    if (a->bos_id < -1 || a->bos_id >= a->n_vocab)
        return mk_error_set(err, MK_EFORMAT, "%s: bos_token_id is %d, expected 0 to %d", path,
                            a->bos_id, a->n_vocab - 1);
    if (a->n_eos_ids < 0 || a->n_eos_ids > ARCH_MAX_EOS)
        return mk_error_set(err, MK_EFORMAT, "%s: eos_token_id has %d ids, expected at most %d",
                            path, a->n_eos_ids, ARCH_MAX_EOS);
    for (int i = 0; i < a->n_eos_ids; i++)
        if (a->eos_ids[i] < 0 || a->eos_ids[i] >= a->n_vocab)
            return mk_error_set(err, MK_EFORMAT, "%s: eos_token_id is %d, expected 0 to %d", path,
                                a->eos_ids[i], a->n_vocab - 1);
    return 0;
}

int arch_check(const struct arch *a, const char *path, struct mk_error *err)
{
    if (check_limits(a, path, any, N(any), err) || check_attention(a, path, err) ||
        check_experts(a, path, err) || check_rope(a, path, err) || check_ids(a, path, err))
        return err->code;
    if ((a->fp8_block[0] > 0) != (a->fp8_block[1] > 0))
        return mk_error_set(err, MK_EFORMAT,
                            "%s: weight_block_size is [%d, %d], expected two sizes", path,
                            a->fp8_block[0], a->fp8_block[1]);
    if (check_real(path, "rms_norm_eps", (double)a->rms_norm_eps, 0, 1, err))
        return err->code;
    if (a->temperature != -1 && check_real(path, "temperature", a->temperature, 0, 1e3, err))
        return err->code;
    if (a->top_p != -1 && check_real(path, "top_p", a->top_p, 0, 1, err))
        return err->code;
    if (a->top_k < -1)
        return mk_error_set(err, MK_EFORMAT, "%s: top_k is %d, expected 0 or more", path, a->top_k);
    return 0;
}

bool arch_layer_is_moe(const struct arch *a, int32_t layer)
{
    return a->n_experts > 0 && layer >= a->first_k_dense &&
           (a->moe_layer_freq <= 1 || layer % a->moe_layer_freq == 0);
}
