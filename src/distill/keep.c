/* keep.c: see keep.h. */
#include "distill/keep.h"

#include <string.h>

#define N_GRAM 4

const char *keep_fault_name(enum keep_fault fault)
{
    static const char *const names[] = {"good", "no text", "cut short", "wrong",
                                        "tags", "long",    "repeats",   "language"};

    return names[fault];
}

static bool tags_are_good(enum keep_tags tags, const struct teacher_answer *a, bool well_formed)
{
    const struct format_rules thought = {.in_thought = false};

    if (tags == KEEP_TAGS_ANSWER)
        return well_formed;
    return tags == KEEP_TAGS_ANY || verify_format(a->text, a->n, &thought, NULL);
}

int keep_judge(const struct keep_rules *rules, const struct task *task,
               const struct task_item *item, const struct teacher_answer *a,
               struct keep_verdict *v, struct mk_error *err)
{
    struct task_verdict said;
    double repetition = 0;

    task_check(task, item, a->text, a->n, &said);
    *v = (struct keep_verdict){.correct = said.correct && a->stopped,
                               .well_formed = said.well_formed};
    if (rules->max_repetition < 1 &&
        format_repetition(a->text, a->n, N_GRAM, &repetition, err))
        return err->code;
    if (a->n == 0 || memchr(a->text, 0, a->n))
        v->fault = KEEP_NO_TEXT;
    else if (!a->stopped)
        v->fault = KEEP_CUT;
    else if (!v->correct)
        v->fault = KEEP_WRONG;
    else if (!tags_are_good(rules->tags, a, said.well_formed))
        v->fault = KEEP_TAGS;
    else if (rules->max_characters > 0 &&
             format_length(a->text, a->n).characters > (size_t)rules->max_characters)
        v->fault = KEEP_LONG;
    else if (repetition > rules->max_repetition)
        v->fault = KEEP_REPEATS;
    else if (rules->min_language > 0 &&
             format_language(a->text, a->n, rules->script) < rules->min_language)
        v->fault = KEEP_LANGUAGE;
    return 0;
}

/* Higher is better; only answers of one teacher are compared. */
static double worth(const struct teacher_answer *a)
{
    double sum = 0;

    if (!a->logprobs || a->n_logprobs < 1)
        return -(double)(a->n_tokens > 0 ? (size_t)a->n_tokens : a->n);
    for (int32_t i = 0; i < a->n_logprobs; i++)
        sum += (double)a->logprobs[i];
    return sum / a->n_logprobs;
}

int32_t keep_best(const struct teacher_answer *answers, const struct keep_verdict *verdicts,
                  int32_t n)
{
    int32_t best = -1;

    for (int32_t i = 0; i < n; i++)
        if (verdicts[i].fault == KEEP_GOOD &&
            (best < 0 || worth(&answers[i]) > worth(&answers[best])))
            best = i;
    return best;
}
