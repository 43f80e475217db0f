/* train_run.c: the folder of a run, and the loop over its steps. */
#include "cli/train_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/interrupt.h"
#include "runs/report.h"
#include "train/checkpoint.h"

/* ---- The folder ----------------------------------------------------------------------------- */

int train_open_folder(struct run_folder *f, const struct recipe *r, const char *run,
                      const char *command, bool resume, struct mk_error *err)
{
    struct buf recipe;
    int code;

    buf_init(&recipe, (size_t)1 << 22);
    code = recipe_write(r, &recipe, err);
    if (!code)
        code = run_folder_open(f, run, command, resume, &recipe, err);
    buf_release(&recipe);
    return code;
}

/* ---- The loop ------------------------------------------------------------------------------- */

static int save(struct train_run *run, struct mk_error *err)
{
    char dir[RUN_PATH];
    int64_t step = run->trainer.state.step;

    if (step == run->last_saved)
        return 0;
    if (run_folder_sync(&run->folder, err) || run_folder_checkpoint(&run->folder, dir, step, err) ||
        checkpoint_write(dir, &run->trainer, run->data.train, run->data.tokenizer, NULL, err))
        return err->code;
    run->last_saved = step;
    run_folder_prune(&run->folder, run->recipe->save.keep);
    return report_refresh(run->folder.path, err);
}

static int one_step(struct train_run *run, bool *last, struct mk_error *err)
{
    const struct recipe *r = run->recipe;
    struct mixture_state before = corpus_mixture(run->data.train)->state;
    double begun = clock_ms();
    struct step_report s;
    bool evaluate;

    if (trainer_step(&run->trainer, run->data.train, &s, err))
        return err->code;
    *last = s.tokens >= r->train.tokens;
    evaluate = run_folder_due(r->eval.every, s.step, *last);
    if (evaluate && run->data.valid) {
        double step_ms = clock_ms() - begun;

        if ((run->trainer.ema &&
             trainer_evaluate_ema(&run->trainer, run->data.valid, (int32_t)r->eval.sequences,
                                  &run->valid_ema, err)) ||
            trainer_evaluate(&run->trainer, run->data.valid, (int32_t)r->eval.sequences,
                             &run->valid, err))
            return err->code;
        begun = clock_ms() - step_ms;
    }
    run->trained_ms += clock_ms() - begun;
    if (train_write_metrics(run, &s, &before, evaluate, clock_ms() - begun, err))
        return err->code;
    train_show(run, &s, *last);
    if (r->sample.every && run_folder_due(r->sample.every, s.step, *last) && train_sample(run, err))
        return err->code;
    return run_folder_due(r->save.every, s.step, *last) || interrupt_asked() ? save(run, err) : 0;
}

static int loop(struct train_run *run, struct mk_error *err)
{
    int64_t seen = run->trainer.state.tokens, wanted = run->recipe->train.tokens;
    bool last = seen >= wanted;

    if (last && !run->quiet)
        fprintf(stderr,
                "nothing is left to do: %" PRId64 " of %" PRId64
                " tokens are seen, a larger train.tokens goes on\n",
                seen, wanted);
    run->begun_ms = clock_ms();
    run->begun_tokens = seen;
    while (!last && !interrupt_asked())
        if (one_step(run, &last, err))
            return run_folder_explain(&run->folder, run->last_saved, err);
    if (!last && save(run, err)) /* the signal may have come behind the step's own look */
        return run_folder_explain(&run->folder, run->last_saved, err);
    train_finish(run);
    if (!last)
        return mk_error_set(err, MK_ECANCELLED,
                            "stopped after step %" PRId64 ": %s with --resume goes on",
                            run->trainer.state.step, run->command);
    return 0;
}

/* Before the first step, or kept from then. */
static int open_reference(struct train_run *run, bool resume, struct mk_error *err)
{
    const struct dpo_reference_options o = {.folder = run->folder.path,
                                            .at_start = !resume,
                                            .say = run->data.say,
                                            .user = run->data.user};

    if (run->recipe->reward.head)
        return 0;
    return dpo_reference_open(&run->reference, &run->trainer, run->data.train, run->data.valid, &o,
                              err);
}

static int open_teachers(struct train_run *run, struct mk_error *err)
{
    const struct distill_place place = {run->base, run->folder.path};

    if (distill_open(&run->teachers, run->recipe, &place, run->data.vocabulary,
                     run->data.params.arch.n_vocab, &run->compute, err))
        return err->code;
    if (run->teachers.n) {
        run->trainer.teachers = &run->teachers;
        run->trainer.o.distill.n_vocab = run->teachers.n_vocab;
    }
    return 0;
}

static int open_run(struct train_run *run, char from[RUN_PATH], struct mk_error *err)
{
    struct trainer_options o = train_options(run->recipe);
    bool resume;

    if (train_open_folder(&run->folder, run->recipe, run->path, run->command, run->resume, err) ||
        run_folder_checkpoint(&run->folder, from, run->folder.step, err) ||
        compute_init(&run->compute, run->cpu, (int)run->recipe->threads, err))
        return err->code;
    resume = run->folder.step > 0;
    if (prepare(&run->data, run->recipe, run->base, run->folder.path, resume ? from : NULL,
                run->compute.ex, err) ||
        train_set_devices(&o, &run->data.params.arch, err) ||
        memory_told_check(&run->memory, &run->data.params, &o, err) ||
        params_take_gradients(&run->data.params, err) ||
        trainer_init(&run->trainer, &run->data.params, &run->compute, &o, err) ||
        (resume && checkpoint_read_state(from, &run->trainer, run->data.train, err)) ||
        (resume && trainer_pack(&run->trainer, err)) || open_reference(run, resume, err) ||
        open_teachers(run, err))
        return err->code;
    if (resume) /* a kill may have come between saving and this */
        run_folder_prune(&run->folder, run->recipe->save.keep);
    run->last_saved = run->folder.step;
    if (train_announce(run, err))
        return err->code;
    return run_folder_start(&run->folder, err);
}

int train_run(struct train_run *run, struct mk_error *err)
{
    char from[RUN_PATH]; /* the checkpoint that the run goes on from */
    int code;

    run->folder.lock = -1;
    run->memory = (struct memory_told){
        .lower = "train.memory_mb, train.pass_tokens or train.batch",
        .rest = "data and the rest",
        .quiet = run->quiet};
    code = open_run(run, from, err);
    if (code && run->folder.step > 0)
        run_folder_say_earlier(&run->folder, from, err);
    if (!code) {
        interrupt_catch();
        code = loop(run, err);
    }
    run_folder_close(&run->folder);
    if (run->trainer.params)
        trainer_release(&run->trainer);
    if (run->teachers.n)
        teachers_release(&run->teachers);
    dpo_reference_release(&run->reference);
    prepared_release(&run->data);
    if (run->compute.ex)
        compute_release(&run->compute);
    return code;
}
