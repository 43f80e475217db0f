/* speed_test.c: the arithmetic of a token, counted by hand; the machine's best is a number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/model_file.h"
#include "kernels/low_precision.h"
#include "train/speed.h"

/* Golden v3 (tests/golden/README.md), its MTP block included. */
static void open_params(struct params *p)
{
    struct model_file file;
    struct mk_error err;

    if (model_file_open(&file, "tests/golden/models/v3", &err) ||
        params_read(p, &file, true, &err))
        fail_msg("%s", err.text);
    model_file_release(&file);
}

/* Parameters that a token meets: matrices, the chosen experts, the head once more for MTP. */
static double met(const struct arch *a)
{
    double d = a->d_model, h = a->n_heads, dn = a->qk_nope_dim, dr = a->qk_rope_dim;
    double kv = a->kv_lora_rank, q = a->q_lora_rank, dv = a->v_head_dim, n = 0;
    double attention = d * q + q * h * (dn + dr) + d * (kv + dr) + kv * h * (dn + dv) + h * dv * d;

    for (int32_t l = 0; l < a->n_layers + a->n_mtp; l++) {
        n += attention;
        if (arch_layer_is_moe(a, l))
            n += d * a->n_experts + 3 * d * a->d_expert * (a->n_experts_used + a->n_shared_experts);
        else
            n += 3 * d * a->d_ff;
    }
    return n + a->n_mtp * 2 * d * d + (1 + a->n_mtp) * d * a->n_vocab;
}

static void a_token_costs_six_for_each_parameter_that_it_meets(void **state)
{
    struct params p;
    struct mk_error err;

    (void)state;
    open_params(&p);
    assert_true(p.arch.n_mtp == 1 && p.arch.n_experts_used > 1);
    assert_float_equal(speed_token_ops(&p), 4 * met(&p.arch), 0.5); /* nothing learns yet */
    assert_int_equal(params_take_gradients(&p, &err), 0);
    assert_float_equal(speed_token_ops(&p), 6 * met(&p.arch), 0.5);
    params_release(&p);
}

static void every_type_has_a_peak(void **state)
{
    const enum dtype types[] = {MK_F32, MK_BF16, MK_F8_E4M3};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct compute c;
        struct mk_error err;
        double ops = 0;

        if (compute_init(&c, NULL, 1, &err))
            fail_msg("%s", err.text);
        if (i)
            compute_round_inputs(&c);
        if (speed_peak(&c, types[i], &ops, &err))
            fail_msg("%s", err.text);
        assert_true(ops > 1e6);
        compute_release(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_costs_six_for_each_parameter_that_it_meets),
        cmocka_unit_test(every_type_has_a_peak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
