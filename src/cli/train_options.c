/* train_options.c: what a recipe says to the trainer. */
#include "cli/train_run.h"

struct trainer_options train_options(const struct recipe *r)
{
    static const enum dtype types[] = {MK_F32, MK_BF16, MK_F8_E4M3};
    static const enum muon_variant variants[] = {MUON_TORCH, MUON_TORCH, MUON_V4};
    struct trainer_options o = {
        .schedule = {.kind = (enum schedule_kind)r->schedule.kind,
                     .lr = r->optimizer.lr,
                     .final_lr = r->schedule.final_lr,
                     .warmup_tokens = r->schedule.warmup_tokens,
                     .tokens = r->train.tokens,
                     .decay_share = r->schedule.decay_share},
        .batch_first = (int32_t)(r->train.batch_first ? r->train.batch_first : r->train.batch),
        .batch = (int32_t)r->train.batch,
        .ramp_tokens = r->train.ramp_tokens,
        .pass_tokens = r->train.pass_tokens,
        .keep_bytes = (uint64_t)r->train.memory_mb << 20,
        .mtp_weight = r->model.mtp_weight,
        .mtp_late_weight = r->model.mtp_late_weight,
        .mtp_late_tokens = r->model.mtp_late_tokens,
        .balance = {.sequence = r->balance.sequence,
                    .expert = r->balance.expert,
                    .device = r->balance.device,
                    .transfer = r->balance.transfer,
                    .n_devices = (int32_t)r->balance.devices},
        .capacity = {.factor = r->balance.capacity},
        .bias_gamma = (float)r->balance.gamma,
        .bias_until_tokens = r->balance.gamma_until_tokens,
        .outlier_z = r->optimizer.outlier_z,
        .ema = r->optimizer.ema,
        .dpo = {.beta = r->dpo.beta,
                .label_smoothing = r->dpo.label_smoothing,
                .sft = r->dpo.sft},
        .reward = {.on = r->reward.head, .centre = r->reward.centre},
        .distill = distill_options_of(r),
        .compute = types[r->train.compute],
        .mla = r->model.mla ? MK_MLA_ABSORBED : MK_MLA_EXPANDED,
    };

    o.optim = optim_defaults();
    o.optim.kind = r->optimizer.kind == RECIPE_ADAMW ? OPTIM_ADAMW : OPTIM_MUON;
    o.optim.muon.variant = variants[r->optimizer.kind];
    o.optim.muon.weight_decay = r->optimizer.weight_decay;
    o.optim.beta1 = r->optimizer.beta1;
    o.optim.beta2 = r->optimizer.beta2;
    o.optim.eps = r->optimizer.eps;
    o.optim.weight_decay = r->optimizer.weight_decay;
    o.optim.clip = r->optimizer.clip;
    o.optim.bf16_moments = r->optimizer.moments == 1;
    o.optim.muon_lr = r->optimizer.muon_lr;
    return o;
}

int train_set_devices(struct trainer_options *o, const struct arch *a, struct mk_error *err)
{
    if (o->balance.n_devices == 0)
        o->balance.n_devices = a->n_group;
    o->capacity.n_devices = o->balance.n_devices;
    if (a->n_experts && o->capacity.factor > 0 && o->balance.n_devices < 2)
        return mk_error_set(err, MK_EINVAL,
                            "balance.capacity: it is that of a device: say how many there are in "
                            "balance.devices");
    if (a->n_experts && o->balance.n_devices > 0 && a->n_experts % o->balance.n_devices)
        return mk_error_set(err, MK_EINVAL, "balance.devices: %d experts do not divide among %d",
                            a->n_experts, o->balance.n_devices);
    return 0;
}
