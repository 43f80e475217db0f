/* need.c: counts what is the same in every step, and measures what grows with the rows. */
#include "train/need.h"

#include <string.h>

#include "base/memory.h"
#include "kernels/packed.h"

#define SMALL 128 /* rows of the first pass; the second has twice as many. An FP8 tile */
#define BATCH_BYTES 40 /* a token of a batch: ids, targets, losses, and rounding up */

uint64_t need_total(const struct need *n)
{
    return n->weights + n->gradients + n->moments + n->passes + n->rest;
}

/* ---- Before --------------------------------------------------------------------------------- */

static uint64_t weight_bytes(const struct param *q, enum dtype compute)
{
    uint64_t n = (uint64_t)q->n, narrow = compute == MK_F32 ? 4 : compute == MK_BF16 ? 2 : 1;

    if (q->n_dims != 2)
        return 8 * n;
    /* Master and panels; narrow types have a rounded copy and its bytes too. */
    return compute == MK_F32 ? 8 * n : (8 + 2 * narrow) * n;
}

void need_count(struct need *n, const struct params *p, const struct trainer_options *o)
{
    uint64_t moments = o->optim.kind == OPTIM_MUON ? 1 : 2;

    *n = (struct need){0};
    for (int64_t i = 0; i < p->n_items; i++) {
        const struct param *q = &p->items[i];
        uint64_t values = (uint64_t)q->n;

        n->weights += weight_bytes(q, o->compute) + (q->lora ? values * sizeof(float) : 0);
        if (q->frozen || q->buffer)
            continue;
        n->gradients += values * (uint64_t)q->n_streams * sizeof(float);
        n->moments += values * moments * (o->optim.bf16_moments ? 2 : 4) +
                      (o->ema > 0 ? values * sizeof(float) : 0);
    }
}

/* ---- A pass --------------------------------------------------------------------------------- */

/* The scratch of operations is counted twice: its chunks double as it grows, and what does not fit
 * at the end of one goes to the next. */
static uint64_t held(const struct trainer *t)
{
    return arena_most(&t->pass_memory) + 2 * arena_most(&t->c->scratch) +
           arena_most(&t->c->rounded);
}

/* More than a small pass takes, so that it lies in one piece. */
static size_t room(const struct trainer *t)
{
    bool all;

    return ((size_t)64 << 20) +
           4 * (size_t)pass_keep(&t->model, 2 * SMALL, UINT64_MAX / 2, NULL, &all);
}

/* One pass of n rows: what its arenas hold after it. head: every row has a target; without any the
 * head is not computed, whose memory is much the same for few rows and many. */
static int rehearse(struct trainer *t, int32_t n, int32_t longest, bool head,
                    const struct pass_options *o, uint64_t *bytes, struct mk_error *err)
{
    int32_t ids[2 * SMALL], targets[2 * SMALL], n_seqs = 0;
    struct train_seq seqs[2 * SMALL];
    struct pass_result r = {0};

    for (int32_t i = 0; i < n; i++) {
        ids[i] = i % t->params->arch.n_vocab;
        targets[i] = head ? ids[i] : -1;
    }
    for (int32_t at = 0; at < n; at += longest)
        seqs[n_seqs++] = (struct train_seq){.ids = ids + at,
                                            .targets = targets + at,
                                            .n_ids = n - at < longest ? n - at : longest};
    arena_release(&t->pass_memory);
    if (arena_reserve(&t->pass_memory, room(t), err) ||
        pass_run(&t->model, t->params, t->c, &t->pass_memory, seqs, n_seqs, o, &r, err))
        return err->code;
    *bytes = held(t);
    return 0;
}

/* What a pass of n_rows would hold: a small one with its head, and for more rows the slope of the
 * line through two without. */
static int extend(struct trainer *t, int64_t n_rows, int32_t longest, const struct pass_options *o,
                  uint64_t *bytes, struct mk_error *err)
{
    uint64_t first, second;

    if (rehearse(t, SMALL, longest, false, o, &first, err) ||
        rehearse(t, 2 * SMALL, longest, false, o, &second, err) ||
        rehearse(t, 2 * SMALL, longest, true, o, bytes, err))
        return err->code;
    arena_release(&t->pass_memory);
    if (n_rows > 2 * SMALL && second > first)
        *bytes += (uint64_t)((double)(second - first) * (double)(n_rows - 2 * SMALL) / SMALL);
    return 0;
}

static int64_t largest_pass(const struct trainer *t, int32_t longest, int64_t n_seqs)
{
    int64_t n_rows = t->o.pass_tokens > longest ? t->o.pass_tokens : longest;

    return n_rows < n_seqs * longest ? n_rows : n_seqs * longest;
}

/* The larger of a training pass and one of an evaluation. */
static int measure_pass(struct trainer *t, int32_t longest, int64_t n_batch, int64_t n_valid,
                        uint64_t *bytes, struct mk_error *err)
{
    int64_t n_rows = largest_pass(t, longest, n_batch);
    struct pass_options o = {
        .mtp_weight = 1, .balance = t->o.balance, .capacity = t->o.capacity};
    uint64_t kept, alone;
    bool all;

    kept = pass_keep(&t->model, n_rows, t->o.keep_bytes, NULL, &all);
    o.keep_bytes = all ? UINT64_MAX / 2 : 0;
    if (extend(t, n_rows, longest, &o, bytes, err))
        return err->code;
    *bytes += all ? 0 : kept;
    if (!n_valid)
        return 0;
    o = (struct pass_options){.forward_only = true};
    if (extend(t, largest_pass(t, longest, n_valid), longest, &o, &alone, err))
        return err->code;
    *bytes = *bytes > alone ? *bytes : alone;
    return 0;
}

/* ---- All of it ------------------------------------------------------------------------------ */

/* For one matrix at a time: its panels, and Muon's orthogonalising, some five of its size. */
static uint64_t matrix_bytes(const struct trainer *t)
{
    uint64_t most = 0;

    for (int64_t i = 0; i < t->optim.n_items; i++) {
        uint64_t n = (uint64_t)t->optim.items[i].p->n * (t->optim.items[i].muon ? 6 : 1);

        most = n > most ? n : most;
    }
    return most * sizeof(float);
}

/* A step's sequences, or an evaluation's with the experts that its tokens are sent to. */
static uint64_t batch_bytes(const struct trainer *t, int32_t longest, int64_t n_batch,
                            int64_t n_valid)
{
    const struct arch *a = &t->params->arch;
    uint64_t n = (uint64_t)(n_batch > n_valid ? n_batch : n_valid) * (uint64_t)longest;
    uint64_t rows = n_valid ? (uint64_t)largest_pass(t, longest, n_valid) : 0;

    return n * BATCH_BYTES + (uint64_t)(a->n_layers + a->n_mtp) * rows *
                                 (uint64_t)a->n_experts_used * sizeof(int32_t);
}

int need_measure(struct need *n, struct trainer *t, int32_t longest, int64_t n_batch,
                 int64_t n_valid, uint64_t rest, struct mk_error *err)
{
    uint64_t counted;

    need_count(n, t->params, &t->o);
    n->weights = arena_most(&t->params->memory) - n->gradients + arena_most(&t->model.memory);
    n->moments = arena_most(&t->optim.memory);
    if (measure_pass(t, longest, n_batch, n_valid, &n->passes, err))
        return err->code;
    n->passes += batch_bytes(t, longest, n_batch, n_valid) + matrix_bytes(t);
    n->passes += n->passes / 20; /* of chunks that do not come out even */
    counted = n->weights + n->gradients + n->moments;
    n->rest = rest + (memory_resident() > counted ? memory_resident() - counted : 0);
    if (need_total(n) < memory_peak()) /* learning a vocabulary took more */
        n->rest += memory_peak() - need_total(n);
    return 0;
}

int need_reserve(const struct need *n, struct trainer *t, struct mk_error *err)
{
    return arena_reserve(&t->pass_memory, (size_t)n->passes, err);
}
