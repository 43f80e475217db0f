/* reward.c */
#include "rl/reward.h"

#include "verify/format.h"

/* 0 up to the soft limit, then down to -1 at the hard one. */
static double length_cost(const struct recipe *r, int32_t n_tokens)
{
    double over = (double)(n_tokens - (r->rollout.tokens - r->rl.soft_tokens));

    if (r->rl.soft_tokens == 0 || over <= 0)
        return 0;
    return over >= (double)r->rl.soft_tokens ? 1 : over / (double)r->rl.soft_tokens;
}

static double language(const struct recipe *r, const char *text, size_t n)
{
    struct format_rules rules = {.answer_tags = true, .loose = true};
    struct format_verdict v;

    if (r->rl.language_reward == 0)
        return 0;
    verify_format(text, n, &rules, &v);
    if (!v.think.at)
        return 0;
    return r->rl.language_reward *
           format_language(v.think.at, v.think.n, format_script_named(r->rl.language));
}

struct reward reward_of(const struct questions *q, const struct question *asked, const char *text,
                        size_t n, int32_t n_tokens, bool stopped)
{
    const struct recipe *r = q->recipe;
    struct task_verdict v;
    struct reward out = {.truncated = !stopped};

    task_check(q->tasks[asked->task], &asked->item, text, n, &v);
    out.correct = v.correct && stopped;
    out.well_formed = v.well_formed;
    out.total = (out.correct ? 1 : 0) + (v.well_formed ? r->rl.format_reward : 0) +
                language(r, text, n) - length_cost(r, n_tokens);
    return out;
}
