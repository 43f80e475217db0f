/* schedule.h: learning rate and batch size as functions of the tokens seen, so that neither the
 * batch size nor a resume changes them (deepseek.md 7.1).
 *
 * All kinds warm up linearly from 0. With p the share of the tokens behind the warm-up, of 1:
 *   constant  lr
 *   linear    from lr to final_lr
 *   cosine    from lr to final_lr, half a wave
 *   wsd       lr, then linear to final_lr over the last decay_share (warm-up, stable, decay)
 *   v2        lr; x 0.316 from 60 % of all tokens, again from 90 %
 *   v2-lite   the same at 80 % and 90 %
 *   v3        lr to 10/14.8 of all tokens, cosine to lr / 10 over 4.3/14.8, lr / 10 for 0.333/14.8,
 *             then 0.0332 lr (7.3e-6 of 2.2e-4) */
#ifndef MK_TRAIN_SCHEDULE_H
#define MK_TRAIN_SCHEDULE_H

#include <stdint.h>

#include "base/error.h"

enum schedule_kind {
    SCHEDULE_CONSTANT,
    SCHEDULE_LINEAR,
    SCHEDULE_COSINE,
    SCHEDULE_WSD,
    SCHEDULE_V2,
    SCHEDULE_V2_LITE,
    SCHEDULE_V3,
    SCHEDULE_N
};

struct schedule {
    enum schedule_kind kind;
    double lr, final_lr;           /* final_lr: linear, cosine and wsd */
    int64_t warmup_tokens, tokens; /* of the whole run */
    double decay_share;            /* wsd: of all tokens */
};

/* Name in recipes; NULL beyond the last. */
const char *schedule_name(enum schedule_kind kind);
/* Learning rate of a step that begins after `seen` tokens; a step of the warm-up counts its own
 * end, so that the first is not zero: pass the tokens seen when it is over. */
double schedule_lr(const struct schedule *s, int64_t seen);

/* Batch size in sequences, growing from `first` to `last` over ramp_tokens in equal steps of
 * `first` (V3: 3072 to 15360 over 469B). ramp_tokens 0: last. */
int32_t batch_ramp(int32_t first, int32_t last, int64_t ramp_tokens, int64_t seen);

#endif
