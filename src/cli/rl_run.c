/* rl_run.c: the loop over the steps of reinforcement learning. */
#include "cli/rl_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/interrupt.h"
#include "cli/train_run.h"
#include "runs/report.h"
#include "train/checkpoint.h"

static int save(struct rl_run *run, struct mk_error *err)
{
    struct checkpoint_more more = {learner_save, &run->learner};
    char dir[RUN_PATH];
    int64_t step = run->learner.step;

    if (step == run->last_saved)
        return 0;
    if (run_folder_sync(&run->folder, err) || run_folder_checkpoint(&run->folder, dir, step, err) ||
        checkpoint_write(dir, &run->trainer, NULL, run->data.tokenizer, &more, err))
        return err->code;
    run->last_saved = step;
    run_folder_prune(&run->folder, run->recipe->save.keep);
    return report_refresh(run->folder.path, err);
}

/* Also of the step that a run goes on from: one that was killed behind its last checkpoint has no
 * more to do. */
static bool is_over(const struct rl_run *run)
{
    const struct learner *l = &run->learner;

    return l->step >= run->recipe->rl.steps ||
           (run->recipe->rl.stop_at > 0 && l->passed >= run->recipe->rl.stop_at);
}

static int one_step(struct rl_run *run, bool *last, struct mk_error *err)
{
    const struct recipe *r = run->recipe;
    struct learner_report report;
    bool tested;

    if (learner_step(&run->learner, &report, interrupt_stop, NULL, err))
        return err->code;
    *last = report.step >= r->rl.steps;
    if (r->sample.every &&
        run_folder_due(r->sample.every, report.step, *last || report.step == 1) &&
        rl_write_samples(run, err))
        return err->code;
    tested = run_folder_due(r->eval.every, report.step, *last);
    if (tested && learner_evaluate(&run->learner, (int32_t)r->eval.sequences, &run->test, err))
        return err->code;
    run->tested |= tested && run->test.n_answers > 0;
    *last = is_over(run);
    if (rl_write_metrics(run, &report, tested && run->test.n_answers > 0, err))
        return err->code;
    rl_show(run, &report, *last);
    return run_folder_due(r->save.every, report.step, *last) ? save(run, err) : 0;
}

static int loop(struct rl_run *run, struct mk_error *err)
{
    bool last = is_over(run);
    int code = 0;

    if (!run->quiet && run->learner.step == 0 && rl_answer_before(run, err))
        return err->code;
    if (last && !run->quiet)
        fprintf(stderr, "nothing is left to do after step %" PRId64 ": %s\n", run->learner.step,
                run->learner.step >= run->recipe->rl.steps ? "a larger rl.steps goes on"
                                                           : "rl.stop_at is reached");
    run->begun_ms = clock_ms();
    run->begun_step = run->learner.step;
    while (!last && !code && !interrupt_asked())
        code = one_step(run, &last, err);
    if (code && code != MK_ECANCELLED)
        return run_folder_explain(&run->folder, run->last_saved, err);
    memory_told_after(&run->memory);
    if (last)
        return rl_answer_after(run, err);
    if (save(run, err))
        return run_folder_explain(&run->folder, run->last_saved, err);
    return mk_error_set(err, MK_ECANCELLED,
                        "stopped after step %" PRId64 ": %s with --resume goes on",
                        run->learner.step, run->command);
}

/* Blocks that predict further ahead do not learn from rewards. */
static void freeze_mtp(struct params *p)
{
    for (int64_t i = 0; i < p->n_items; i++)
        if (p->items[i].layer >= p->arch.n_layers)
            p->items[i].frozen = true;
}

static int open_learner(struct rl_run *run, const char *from, struct mk_error *err)
{
    struct trainer_options o = train_options(run->recipe);

    o.schedule.tokens = run->recipe->rl.steps;
    o.mtp_weight = o.mtp_late_weight = 0;
    freeze_mtp(&run->data.params);
    if (train_set_devices(&o, &run->data.params.arch, err) ||
        memory_told_check(&run->memory, &run->data.params, &o, err) ||
        params_take_gradients(&run->data.params, err) ||
        trainer_init(&run->trainer, &run->data.params, &run->compute, &o, err) ||
        (from && checkpoint_read_state(from, &run->trainer, NULL, err)) ||
        (from && trainer_pack(&run->trainer, err)) ||
        learner_init(&run->learner, run->recipe, run->base, &run->trainer, run->data.vocabulary,
                     err))
        return err->code;
    return from ? learner_restore(&run->learner, from, err) : 0;
}

/* Points of curves, which grow by doubling, and the lines of metrics.jsonl that they come from. */
static uint64_t report_bytes(const struct recipe *r)
{
    return (uint64_t)r->rl.steps * (uint64_t)(1500 + 400 * r->n_tasks) + ((uint64_t)4 << 20);
}

static int tell_memory(struct rl_run *run, struct mk_error *err)
{
    const struct recipe *r = run->recipe;
    const struct learner *l = &run->learner;
    bool forward = !l->exact || l->has_reference || r->rl.epochs * r->rl.batches > 1;
    int32_t n_prompt, longest;
    int64_t n_units;
    struct need n;

    if (questions_longest(&l->questions, &n_prompt, err))
        return err->code;
    longest = (int32_t)learner_longest(r, n_prompt);
    n_units = learner_most_answers(r) / r->rl.samples *
              (1 + r->rl.samples * r->rollout.tokens / LEARNER_SHARED_ROWS);
    if (need_measure(&n, &run->trainer, longest, n_units, forward ? n_units : 0,
                     learner_room(l, n_prompt) + report_bytes(r), err))
        return err->code;
    return memory_told_tell(&run->memory, &n, &run->trainer, err);
}

/* path: of the checkpoint that the run goes on from. */
static int open_run(struct rl_run *run, char path[RUN_PATH], struct mk_error *err)
{
    size_t n = (size_t)run->recipe->rl.steps;
    const char *from;

    if (train_open_folder(&run->folder, run->recipe, run->path, run->command, run->resume, err) ||
        run_folder_checkpoint(&run->folder, path, run->folder.step, err) ||
        compute_init(&run->compute, run->cpu, (int)run->recipe->threads, err))
        return err->code;
    from = run->folder.step > 0 ? path : NULL;
    if (prepare(&run->data, run->recipe, run->base, run->folder.path, from, run->compute.ex, err) ||
        open_learner(run, from, err) || tell_memory(run, err))
        return err->code;
    run->last_saved = run->folder.step;
    run->pass = calloc(n, sizeof *run->pass);
    run->length = calloc(n, sizeof *run->length);
    if (!run->pass || !run->length)
        return mk_error_memory(err, n * sizeof *run->pass);
    return run_folder_start(&run->folder, err);
}

int rl_run(struct rl_run *run, struct mk_error *err)
{
    char from[RUN_PATH];
    int code;

    run->folder.lock = -1;
    run->memory = (struct memory_told){
        .lower = "train.memory_mb, train.pass_tokens, rl.questions, rl.samples or rollout.slots",
        .rest = "answers and the rest",
        .quiet = run->quiet};
    code = open_run(run, from, err);
    if (code && run->folder.step > 0)
        run_folder_say_earlier(&run->folder, from, err);
    if (!code) {
        interrupt_catch();
        code = loop(run, err);
    }
    run_folder_close(&run->folder);
    if (run->learner.recipe)
        learner_release(&run->learner);
    if (run->trainer.params)
        trainer_release(&run->trainer);
    prepared_release(&run->data);
    if (run->compute.ex)
        compute_release(&run->compute);
    free(run->before);
    free(run->pass);
    free(run->length);
    return code;
}
