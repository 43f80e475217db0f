/* reward.c */
#include "rl/reward.h"

#include <string.h>

#include "verify/code.h"
#include "verify/format.h"

#define MAX_PROGRAM ((size_t)1 << 24)

/* 0 up to the soft limit, then down to -1 at the hard one. */
static double length_cost(const struct recipe *r, int32_t n_tokens)
{
    double over = (double)(n_tokens - (r->rollout.tokens - r->rl.soft_tokens));

    if (r->rl.soft_tokens == 0 || over <= 0)
        return 0;
    return over >= (double)r->rl.soft_tokens ? 1 : over / (double)r->rl.soft_tokens;
}

static double language(const struct questions *q, const char *text, size_t n)
{
    double most = q->recipe->rl.language_reward;
    struct format_rules rules = {.answer_tags = true, .loose = true};
    struct format_verdict v;

    if (most == 0)
        return 0;
    verify_format(text, n, &rules, &v);
    if (!v.think.at)
        return 0;
    return most * format_language(v.think.at, v.think.n, q->language);
}

/* Whether the program that the answer stands for passes its tests. */
static int run_program(const struct recipe *r, const struct task_item *item, const char *text,
                       size_t n, struct reward *out, struct mk_error *err)
{
    struct code_limits limits = code_limits_default();
    struct code_verdict v;
    struct buf program;
    int code;

    limits.wall_ms = (int32_t)r->rl.code_ms;
    buf_init(&program, MAX_PROGRAM);
    code = task_program(item, text, n, &program, err);
    if (!code)
        code = verify_code(program.data, program.n, item->tests, strlen(item->tests), &limits, &v,
                           err);
    buf_release(&program);
    if (code)
        return code;
    out->correct = v.passed;
    out->timed_out = v.reason == CODE_TIMEOUT;
    return 0;
}

int reward_of(const struct questions *q, const struct question *asked, const char *text, size_t n,
              int32_t n_tokens, bool stopped, struct reward *out, struct mk_error *err)
{
    const struct task *task = q->tasks[asked->task];
    const struct recipe *r = q->recipe;
    struct task_verdict v;

    task_check(task, &asked->item, text, n, &v);
    *out = (struct reward){.correct = v.correct && stopped,
                           .well_formed = v.well_formed,
                           .truncated = !stopped};
    if (task_is_code(task) && stopped && v.has_answer &&
        run_program(r, &asked->item, text, n, out, err))
        return err->code;
    out->total = (out->correct ? 1 : 0) + (v.well_formed ? r->rl.format_reward : 0) +
                 language(q, text, n) - length_cost(r, n_tokens);
    return 0;
}
