/* same_arch.c: field by field, so that a failure names the line. */
#include "support/same_arch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void assert_same_shape(struct arch got, struct arch want)
{
    assert_string_equal(got.model_type, want.model_type);
    assert_int_equal(got.n_layers, want.n_layers);
    assert_int_equal(got.d_model, want.d_model);
    assert_int_equal(got.n_vocab, want.n_vocab);
    assert_int_equal(got.attention, want.attention);
    assert_int_equal(got.n_heads, want.n_heads);
    assert_int_equal(got.n_kv_heads, want.n_kv_heads);
    assert_int_equal(got.head_dim, want.head_dim);
    assert_int_equal(got.q_lora_rank, want.q_lora_rank);
    assert_int_equal(got.kv_lora_rank, want.kv_lora_rank);
    assert_int_equal(got.qk_nope_dim, want.qk_nope_dim);
    assert_int_equal(got.qk_rope_dim, want.qk_rope_dim);
    assert_int_equal(got.v_head_dim, want.v_head_dim);
    assert_int_equal(got.attention_bias, want.attention_bias);
    assert_int_equal(got.qk_norm, want.qk_norm);
    assert_int_equal(got.d_ff, want.d_ff);
    assert_int_equal(got.n_experts, want.n_experts);
    assert_int_equal(got.n_experts_used, want.n_experts_used);
    assert_int_equal(got.n_shared_experts, want.n_shared_experts);
    assert_int_equal(got.d_expert, want.d_expert);
    assert_int_equal(got.first_k_dense, want.first_k_dense);
    assert_int_equal(got.router, want.router);
    assert_int_equal(got.n_group, want.n_group);
    assert_int_equal(got.topk_group, want.topk_group);
    assert_int_equal(got.norm_topk_prob, want.norm_topk_prob);
    assert_true(got.routed_scaling_factor == want.routed_scaling_factor);
    assert_true(got.rms_norm_eps == want.rms_norm_eps);
    assert_int_equal(got.tie_word_embeddings, want.tie_word_embeddings);
    assert_int_equal(got.scored, want.scored);
    assert_true(got.rope_theta == want.rope_theta);
    assert_int_equal(got.max_context, want.max_context);
    assert_int_equal(got.bos_id, want.bos_id);
    assert_int_equal(got.n_eos_ids, want.n_eos_ids);
    assert_int_equal(got.eos_ids[0], want.eos_ids[0]);
}

void assert_same_config(struct arch got, struct arch want)
{
    assert_same_shape(got, want);
    assert_int_equal(got.n_mtp, want.n_mtp);
    assert_int_equal(got.sliding_window, want.sliding_window);
    assert_int_equal(got.moe_layer_freq, want.moe_layer_freq);
    assert_int_equal(got.rope, want.rope);
    assert_int_equal(got.scaling, want.scaling);
    assert_true(got.scaling_factor == want.scaling_factor);
    assert_int_equal(got.original_context, want.original_context);
    assert_true(got.beta_fast == want.beta_fast && got.beta_slow == want.beta_slow);
    assert_true(got.mscale == want.mscale && got.mscale_all_dim == want.mscale_all_dim);
    assert_true(got.low_freq_factor == want.low_freq_factor);
    assert_true(got.high_freq_factor == want.high_freq_factor);
    assert_true(got.attention_factor == want.attention_factor);
    assert_int_equal(got.n_rope_freq_factors, want.n_rope_freq_factors);
    assert_int_equal(got.fp8_block[0], want.fp8_block[0]);
    assert_int_equal(got.fp8_block[1], want.fp8_block[1]);
}
