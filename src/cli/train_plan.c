/* train_plan.c: --dry-run of minke train and minke rl: what a recipe would do, as the YAML of every
 * key behind comments with the sizes. Nothing is made or trained. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/folder.h"
#include "cli/progress.h"
#include "cli/rl_run.h"
#include "cli/train_run.h"
#include "model/count.h"
#include "train/schedule.h"

#define MAX_STEPS 1000000000 /* a plan of more is not counted out */

static void print_model(const struct arch *a)
{
    struct count c;

    count_arch(&c, a, MK_MLA_AUTO);
    printf("# model    %s, %.2f M parameters, %.2f M of them active a token\n", a->model_type,
           (double)c.total / 1e6, (double)c.active / 1e6);
    if (c.mtp)
        printf("# mtp      %.2f M parameters more, %d block%s\n", (double)c.mtp / 1e6, a->n_mtp,
               a->n_mtp > 1 ? "s" : "");
    printf("# cache    %" PRIu64 " bytes a token in bf16\n", 2 * c.kv_values);
}

/* What stays for the whole run whatever train.memory_mb is. */
static void print_memory(const struct recipe *r, const struct arch *a)
{
    struct count c;
    uint64_t each = 4 + 4 + (r->optimizer.moments == 1 ? 4 : 8) + (r->optimizer.ema > 0 ? 4 : 0);
    char text[16];

    count_arch(&c, a, MK_MLA_AUTO);
    progress_bytes(text, (c.total + c.mtp) * each);
    printf("# memory   %s for weights, gradients and moments\n", text);
}

static void print_source(const char *what, const char *name, const char *of, const char *base)
{
    char path[RUN_PATH], size[16] = "";
    struct mk_error err;
    struct stat st;
    bool there = !folder_join(path, sizeof path, base, of, &err) && stat(path, &st) == 0;

    if (there && S_ISREG(st.st_mode))
        progress_bytes(size, (uint64_t)st.st_size);
    printf("# %-8s %s: %s%s%s\n", what, name, path, !there ? " is not there" : *size ? ", " : "",
           size);
}

/* Steps of full sequences, as the batch grows; documents that do not fill them make it more. */
static int64_t count_steps(const struct recipe *r)
{
    int32_t first = (int32_t)(r->train.batch_first ? r->train.batch_first : r->train.batch);
    int64_t n = 0;

    for (int64_t seen = 0; seen < r->train.tokens && n < MAX_STEPS; n++)
        seen += r->data.sequence *
                batch_ramp(first, (int32_t)r->train.batch, r->train.ramp_tokens, seen);
    return n;
}

/* Conversations are not split, and leave room at the ends of sequences. */
static bool has_conversations(const struct recipe *r)
{
    for (int32_t i = 0; i < r->data.n_sources; i++)
        if (r->data.sources[i].format != RECIPE_FORMAT_TEXT)
            return true;
    return false;
}

static void print_steps(const struct recipe *r)
{
    printf("# steps    %" PRId64 "%s of ", count_steps(r), has_conversations(r) ? " or more" : "");
    if (r->train.batch_first && r->train.ramp_tokens)
        printf("%" PRId64 " to ", r->train.batch_first);
    printf("%" PRId64 " sequences of %" PRId64 " tokens\n", r->train.batch, r->data.sequence);
}

static void print_texts(const struct recipe *r, const char *base)
{
    for (int32_t i = 0; i < r->data.n_sources; i++)
        print_source("source", r->data.sources[i].name, r->data.sources[i].path, base);
    print_steps(r);
}

static void print_tasks(const struct recipe *r, const char *base)
{
    for (int32_t i = 0; i < r->n_tasks; i++) {
        const struct recipe_task *t = &r->tasks[i];

        printf("# task     %s, level %" PRId64, t->name, t->level);
        if (t->level_max > t->level)
            printf(" to %" PRId64, t->level_max);
        printf(", weight %g\n", t->weight);
    }
    if (*r->rl.reward_model)
        print_source("judge", "reward model", r->rl.reward_model, base);
    printf("# steps    %" PRId64 " of %" PRId64 " questions, ", r->rl.steps, r->rl.questions);
    printf("%" PRId64 " answers each of up to %" PRId64 " tokens\n", r->rl.samples,
           r->rollout.tokens);
}

/* print_work: of what the steps consist. */
static int print_plan(const struct recipe *r, const char *base, const char *run,
                      void (*print_work)(const struct recipe *r, const char *base),
                      struct mk_error *err)
{
    struct arch a;
    struct buf text;
    int code;

    if (prepare_arch(&a, r, base, err))
        return err->code;
    buf_init(&text, (size_t)1 << 22);
    code = recipe_write(r, &text, err);
    if (!code) {
        printf("# run      %s\n", run);
        print_model(&a);
        print_memory(r, &a);
        for (int32_t i = 0; i < r->distill.n_teachers; i++)
            print_source("teacher", "of its probabilities", r->distill.teachers[i].path, base);
        print_work(r, base);
        fwrite(text.data, 1, text.n, stdout);
    }
    buf_release(&text);
    return code;
}

int train_plan(const struct train_run *run, struct mk_error *err)
{
    return print_plan(run->recipe, run->base, run->path, print_texts, err);
}

int rl_plan(const struct rl_run *run, struct mk_error *err)
{
    struct questions q;

    if (questions_open(&q, run->recipe, run->base, NULL, err))
        return err->code;
    questions_close(&q);
    return print_plan(run->recipe, run->base, run->path, print_tasks, err);
}
