/* train_announce.c: before a run: what it will need, what the machine has and can do. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "cli/train_run.h"
#include "train/speed.h"

#define PEAK_EVERY_MS 10000 /* between measurements that a step asks for */

/* ---- Memory --------------------------------------------------------------------------------- */

/* Figures of the page, from what a step's line will hold. */
static uint64_t report_bytes(const struct train_run *run)
{
    const struct arch *a = &run->data.params.arch;
    const struct recipe *r = run->recipe;
    double layers = a->n_layers + a->n_mtp, sources = r->data.n_sources, experts = a->n_experts;
    double steps = (double)r->train.tokens / (double)(r->train.batch * r->data.sequence);
    double line = 300 + 110 * sources + (experts > 0 ? 90 * layers : 0);
    double detail = layers * experts * (1 + sources) * 6;
    double details = r->eval.every ? steps / (double)r->eval.every : 1;

    /* The file, mapped; points of curves, which grow by doubling; the cells of heat maps. */
    return (uint64_t)(steps * (line + 48 * (10 + 5 * sources + 4 * layers)) + details * detail +
                      layers * experts * (1 + sources) * 150);
}

static uint64_t sample_bytes(const struct train_run *run)
{
    const struct model *m = &run->trainer.model;

    if (!run->recipe->sample.every)
        return 0;
    return (uint64_t)model_cache_layers(m) * (uint64_t)(run->recipe->sample.tokens + 256) *
           (uint64_t)kv_row_bytes(MK_F32, model_row_dim(m));
}

static uint64_t teachers_room(const struct train_run *run)
{
    const struct recipe *r = run->recipe;

    if (!run->trainer.teachers)
        return 0;
    return teachers_need(&run->teachers, (int32_t)r->data.sequence, r->train.batch);
}

/* What will be there and is not yet: the shards' pages, the report, a sample. */
static uint64_t rest_bytes(const struct train_run *run)
{
    uint64_t data = corpus_bytes(run->data.train);

    return data + report_bytes(run) + sample_bytes(run) + teachers_room(run) + SPEED_PEAK_BYTES +
           ((uint64_t)4 << 20);
}

static int tell_memory(struct train_run *run, struct mk_error *err)
{
    const struct recipe *r = run->recipe;
    struct need n;

    if (need_measure(&n, &run->trainer, (int32_t)r->data.sequence, r->train.batch,
                     run->data.valid ? r->eval.sequences : 0, rest_bytes(run), err))
        return err->code;
    return memory_told_tell(&run->memory, &n, &run->trainer, err);
}

/* ---- Speed ---------------------------------------------------------------------------------- */

/* A machine that is busy when the run begins looks slow: a step that is faster than a large product
 * of matrices says so. */
int train_correct_peak(struct train_run *run, double tokens_per_s, struct mk_error *err)
{
    double ops;

    if (tokens_per_s * run->token_ops <= run->peak_ops ||
        (run->peak_ms > 0 && clock_ms() - run->peak_ms < PEAK_EVERY_MS))
        return 0;
    run->peak_ms = clock_ms();
    if (speed_peak(&run->compute, run->trainer.o.compute, &ops, err))
        return err->code;
    run->peak_ops = fmax(run->peak_ops, ops);
    return 0;
}

static int tell_speed(struct train_run *run, struct mk_error *err)
{
    static const char *const types[] = {"f32", "bf16", "fp8"};

    run->token_ops = speed_token_ops(&run->data.params);
    if (speed_peak(&run->compute, run->trainer.o.compute, &run->peak_ops, err))
        return err->code;
    if (!run->quiet)
        fprintf(stderr,
                "speed   %.0f GFLOP/s, the most a product of %s reaches; %.1f MFLOP a token\n",
                run->peak_ops * 1e-9, types[run->recipe->train.compute], run->token_ops * 1e-6);
    return 0;
}

int train_announce(struct train_run *run, struct mk_error *err)
{
    err->code = 0;
    if (tell_memory(run, err))
        return err->code;
    return tell_speed(run, err);
}
