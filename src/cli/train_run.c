/* train_run.c: the folder of a run, and the loop over its steps. */
#include "cli/train_run.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "runs/report.h"
#include "train/checkpoint.h"

/* ---- Ctrl-C --------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void interrupt(int sign)
{
    (void)sign;
    interrupted = 1;
}

static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESETHAND};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- The folder ----------------------------------------------------------------------------- */

static int path_in(const struct train_run *run, char out[TRAIN_PATH], const char *name,
                   struct mk_error *err)
{
    if (snprintf(out, TRAIN_PATH, "%s/%s", run->folder, name) < TRAIN_PATH)
        return 0;
    return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", run->folder);
}

static int make_folders(const char *path, struct mk_error *err)
{
    char part[TRAIN_PATH];

    for (size_t i = 1; i <= strlen(path) && i < sizeof part; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", part, strerror(errno));
    }
    return 0;
}

static int64_t step_of(const char *name)
{
    char *end;
    long long n;

    if (strncmp(name, "step-", 5) || name[5] < '0' || name[5] > '9')
        return -1;
    n = strtoll(name + 5, &end, 10);
    return *end ? -1 : n;
}

/* The last checkpoint that is whole; -1: none. remove_below: earlier ones and unfinished ones go,
 * as many as are more than `keep`. */
static int64_t last_checkpoint(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int64_t last = -1;

    while (d && (e = readdir(d)))
        if (step_of(e->d_name) > last)
            last = step_of(e->d_name);
    if (d)
        closedir(d);
    return last;
}

static void remove_checkpoint(const char *dir, int64_t step)
{
    char path[TRAIN_PATH + 32];
    DIR *d;
    struct dirent *e;

    snprintf(path, sizeof path, "%s/step-%06" PRId64, dir, step);
    d = opendir(path);
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(path);
}

/* Removes the oldest until `keep` are left. */
static void prune(const char *dir, int64_t keep)
{
    for (;;) {
        DIR *d = opendir(dir);
        struct dirent *e;
        int64_t n = 0, oldest = INT64_MAX, step;

        while (d && (e = readdir(d))) {
            step = step_of(e->d_name);
            n += step >= 0;
            oldest = step >= 0 && step < oldest ? step : oldest;
        }
        if (d)
            closedir(d);
        if (n <= keep)
            return;
        remove_checkpoint(dir, oldest);
    }
}

static int lock(const struct train_run *run, struct mk_error *err)
{
    char path[TRAIN_PATH];
    int fd;

    if (path_in(run, path, "lock", err))
        return err->code;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        close(fd);
        return mk_error_set(err, MK_EIO, "%s: another minke train works on this run", run->folder);
    }
    return 0; /* held until the process ends */
}

static int write_recipe(const struct train_run *run, struct mk_error *err)
{
    char path[TRAIN_PATH];
    struct buf b;
    int code;

    if (path_in(run, path, "recipe.yaml", err))
        return err->code;
    buf_init(&b, (size_t)1 << 22);
    code = recipe_write(run->recipe, &b, err);
    if (!code)
        code = write_file(path, b.data, b.n, err);
    buf_release(&b);
    return code;
}

/* A new folder, or the last checkpoint of an old one in `from`. */
static int open_folder(struct train_run *run, char from[TRAIN_PATH], int64_t *step,
                       struct mk_error *err)
{
    char checkpoints[TRAIN_PATH], samples[TRAIN_PATH], metrics[TRAIN_PATH];

    if (path_in(run, checkpoints, "checkpoints", err) || path_in(run, samples, "samples", err) ||
        path_in(run, metrics, "metrics.jsonl", err))
        return err->code;
    *step = last_checkpoint(checkpoints);
    if (!run->resume && access(metrics, F_OK) == 0)
        return mk_error_set(err, MK_EINVAL,
                            "%s: there is a run already: --resume goes on with it, --set out=DIR "
                            "begins another",
                            run->folder);
    if (make_folders(checkpoints, err) || make_folders(samples, err) || lock(run, err))
        return err->code;
    if (!run->resume || *step < 0) {
        *step = 0;
        return write_recipe(run, err);
    }
    if (snprintf(from, TRAIN_PATH, "%s/step-%06" PRId64, checkpoints, *step) >= TRAIN_PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", checkpoints);
    return 0;
}

static int open_metrics(struct train_run *run, int64_t step, struct mk_error *err)
{
    char path[TRAIN_PATH];

    if (run->resume && step == 0) { /* it never came to a checkpoint */
        if (path_in(run, path, "metrics.jsonl", err))
            return err->code;
        unlink(path);
        if (path_in(run, path, "timing.jsonl", err))
            return err->code;
        unlink(path);
    }
    if (path_in(run, path, "metrics.jsonl", err) || metrics_open(&run->metrics, path, step, err) ||
        path_in(run, path, "timing.jsonl", err))
        return err->code;
    return metrics_open(&run->timing, path, step, err);
}

/* ---- Options -------------------------------------------------------------------------------- */

static struct trainer_options trainer_options_of(const struct recipe *r)
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
        .bias_gamma = (float)r->balance.gamma,
        .bias_until_tokens = r->balance.gamma_until_tokens,
        .outlier_z = r->optimizer.outlier_z,
        .ema = r->optimizer.ema,
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

/* Experts are divided among as many devices as there are groups unless the recipe says. */
static int set_devices(struct trainer_options *o, const struct arch *a, struct mk_error *err)
{
    if (o->balance.n_devices == 0)
        o->balance.n_devices = a->n_group;
    if (a->n_experts && o->balance.n_devices > 0 && a->n_experts % o->balance.n_devices)
        return mk_error_set(err, MK_EINVAL, "balance.devices: %d experts do not divide among %d",
                            a->n_experts, o->balance.n_devices);
    return 0;
}

/* ---- The loop ------------------------------------------------------------------------------- */

static int save(struct train_run *run, struct mk_error *err)
{
    char dir[TRAIN_PATH], name[64];
    int64_t step = run->trainer.state.step;

    if (step == run->last_saved)
        return 0;
    snprintf(name, sizeof name, "checkpoints/step-%06" PRId64, step);
    if (metrics_sync(&run->metrics, err) || metrics_sync(&run->timing, err) ||
        path_in(run, dir, name, err) ||
        checkpoint_write(dir, &run->trainer, run->data.train, run->data.tokenizer, err))
        return err->code;
    run->last_saved = step;
    if (path_in(run, dir, "checkpoints", err))
        return err->code;
    prune(dir, run->recipe->save.keep);
    return report_refresh(run->folder, err);
}

static bool due(int64_t every, int64_t step, bool last)
{
    return last || (every > 0 && step % every == 0);
}

static int one_step(struct train_run *run, bool *last, struct mk_error *err)
{
    const struct recipe *r = run->recipe;
    struct mixture_state before = corpus_mixture(run->data.train)->state;
    double begun = clock_ms();
    struct step_report s;
    bool evaluated;

    if (trainer_step(&run->trainer, run->data.train, &s, err))
        return err->code;
    *last = s.tokens >= r->train.tokens;
    evaluated = run->data.valid && due(r->eval.every, s.step, *last);
    if (evaluated) {
        double step_ms = clock_ms() - begun;

        if (trainer_evaluate(&run->trainer, run->data.valid, (int32_t)r->eval.sequences,
                             &run->valid, err))
            return err->code;
        begun = clock_ms() - step_ms;
    }
    if (train_write_metrics(run, &s, &before, evaluated, clock_ms() - begun, err))
        return err->code;
    train_show(run, &s, *last);
    if (r->sample.every && due(r->sample.every, s.step, *last) && train_sample(run, err))
        return err->code;
    return due(r->save.every, s.step, *last) || interrupted ? save(run, err) : 0;
}

/* What is left when a run cannot go on. */
static int explain(const struct train_run *run, struct mk_error *err)
{
    if (run->last_saved > 0)
        return mk_error_wrap(err, "the last checkpoint is %s/checkpoints/step-%06" PRId64,
                             run->folder, run->last_saved);
    return err->code;
}

static int loop(struct train_run *run, struct mk_error *err)
{
    bool last = run->trainer.state.tokens >= run->recipe->train.tokens;

    run->begun_ms = clock_ms();
    run->begun_tokens = run->trainer.state.tokens;
    while (!last && !interrupted)
        if (one_step(run, &last, err))
            return explain(run, err);
    if (!last)
        return mk_error_set(err, MK_ECANCELLED,
                            "stopped after step %" PRId64 ": minke train with --resume goes on",
                            run->trainer.state.step);
    return 0;
}

static int open_run(struct train_run *run, struct mk_error *err)
{
    struct trainer_options o = trainer_options_of(run->recipe);
    char from[TRAIN_PATH];
    int64_t step = 0;

    if (open_folder(run, from, &step, err) ||
        compute_init(&run->compute, run->cpu, (int)run->recipe->threads, err) ||
        prepare(&run->data, run->recipe, run->base, run->folder, step ? from : NULL,
                run->compute.ex, err) ||
        params_take_gradients(&run->data.params, err) ||
        set_devices(&o, &run->data.params.arch, err) ||
        trainer_init(&run->trainer, &run->data.params, &run->compute, &o, err) ||
        (step && checkpoint_read_state(from, &run->trainer, run->data.train, err)) ||
        (step && trainer_pack(&run->trainer, err)))
        return err->code;
    run->last_saved = step;
    return open_metrics(run, step, err);
}

int train_run(struct train_run *run, struct mk_error *err)
{
    int code = open_run(run, err);

    if (!code) {
        catch_interrupts();
        code = loop(run, err);
    }
    metrics_close(&run->metrics);
    metrics_close(&run->timing);
    if (run->trainer.params)
        trainer_release(&run->trainer);
    prepared_release(&run->data);
    if (run->compute.ex)
        compute_release(&run->compute);
    return code;
}
