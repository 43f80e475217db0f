/* choices.c: multiple choice by log-likelihood, as lm-evaluation-harness does it: acc takes the
 * most probable choice, acc_norm the most probable a character. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "eval/job.h"
#include "eval/likelihood.h"

#define MAX_TEXT ((size_t)1 << 26)

static const char *text_of(const struct job *j, const struct task_item *item, int i, char letter[2])
{
    letter[0] = (char)('A' + i);
    letter[1] = '\0';
    return j->o->choices == EVAL_TEXTS ? item->choices[i] : letter;
}

/* The prompt with a choice behind it. A raw prompt and " choice" are cut into tokens together; what
 * stands behind a control token is a text of its own. */
static int encode(const struct job *j, const struct asked *a, const char *choice, struct ids *out,
                  struct mk_error *err)
{
    struct buf whole;
    int rc = 0;

    if (j->style != PROMPT_RAW) {
        for (size_t i = 0; i < a->prompt.ids.n && !rc; i++)
            rc = ids_append(out, a->prompt.ids.data[i], err);
        return rc ? rc : tokenizer_encode(j->m->tokenizer, choice, strlen(choice), false, out, err);
    }
    buf_init(&whole, MAX_TEXT);
    rc = buf_append(&whole, a->prompt.text.data, a->prompt.text.n, err);
    rc = rc ? rc : buf_append_string(&whole, " ", err);
    rc = rc ? rc : buf_append_string(&whole, choice, err);
    rc = rc ? rc : prompt_encode_text(j->m, whole.data, whole.n, out, err);
    buf_release(&whole);
    return rc;
}

static int score_choice(const struct job *j, struct likelihood *l, const struct asked *a,
                        const char *choice, double *sum, struct mk_error *err)
{
    const struct ids *prompt = &a->prompt.ids;
    struct ids whole = {0};
    size_t from = 0;
    int rc = encode(j, a, choice, &whole, err);

    while (!rc && from < prompt->n && from < whole.n && prompt->data[from] == whole.data[from])
        from++;
    if (!rc && (from < 1 || from >= whole.n))
        rc = mk_error_set(err, MK_EINVAL, "%s: the choice '%.40s' has no tokens behind its prompt",
                          j->suite->name, choice);
    if (!rc && l->n_prompt == 0)
        rc = likelihood_prompt(l, prompt->data, prompt->n, err);
    if (!rc)
        rc = likelihood_of(l, whole.data, whole.n, from, sum, err);
    ids_release(&whole);
    return rc;
}

/* Among equals the first. */
static int best_of(const double *sums, const double *lengths, int n)
{
    int best = 0;

    for (int i = 1; i < n; i++)
        if (sums[i] / lengths[i] > sums[best] / lengths[best])
            best = i;
    return best;
}

/* Of UTF-8, which text from JSON is. */
static double count_characters(const char *text)
{
    double n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static json_t *letter_json(int i)
{
    return json_string((char[]){(char)('A' + i), 0});
}

static int write_line(struct job *j, const struct asked *a, const double *sums,
                      struct mk_error *err)
{
    double ones[TASK_MAX_CHOICES], lengths[TASK_MAX_CHOICES];
    int n = a->item.n_choices, right = a->item.answer[0] - 'A', best, best_norm;
    json_t *choices = json_array(), *line = json_object();

    for (int i = 0; i < n; i++) {
        char letter[2];
        const char *text = text_of(j, &a->item, i, letter);

        ones[i] = 1;
        lengths[i] = count_characters(text);
        json_array_append_new(choices, json_pack("{s:s, s:f}", "text", text, "loglikelihood",
                                                 sums[i]));
    }
    best = best_of(sums, ones, n);
    best_norm = best_of(sums, lengths, n);
    json_object_set_new(line, "question", json_string(a->item.question));
    json_object_set_new(line, "prompt", records_text(a->prompt.text.data, a->prompt.text.n));
    json_object_set_new(line, "reference", json_string(a->item.answer));
    json_object_set_new(line, "choices", choices);
    json_object_set_new(line, "answer", letter_json(best));
    json_object_set_new(line, "answer_norm", letter_json(best_norm));
    json_object_set_new(line, "correct", json_boolean(best == right));
    json_object_set_new(line, "scores", json_pack("{s:f, s:f}", "acc", best == right ? 1.0 : 0.0,
                                                  "acc_norm", best_norm == right ? 1.0 : 0.0));
    return job_append(j, line, err);
}

static int run_question(struct job *j, struct likelihood *l, int64_t at, struct mk_error *err)
{
    const struct asked *a = &j->asked[at];
    double sums[TASK_MAX_CHOICES];
    char letter[2];

    if (likelihood_prompt(l, a->prompt.ids.data, a->prompt.ids.n, err))
        return err->code;
    for (int i = 0; i < a->item.n_choices; i++)
        if (score_choice(j, l, a, text_of(j, &a->item, i, letter), &sums[i], err))
            return err->code;
    return write_line(j, a, sums, err);
}

/* A token is at least a byte; text and prompt may be cut a little differently together. */
static int32_t context_of(const struct job *j)
{
    int64_t longest = 0, max = j->m->model.arch.max_context;

    for (int64_t i = 0; i < j->n; i++)
        for (int c = 0; c < j->asked[i].item.n_choices; c++) {
            char letter[2];
            int64_t n = (int64_t)strlen(text_of(j, &j->asked[i].item, c, letter));

            longest = n > longest ? n : longest;
        }
    longest += j->longest + 16;
    return (int32_t)(longest < max ? longest : max);
}

int choices_run(struct job *j, struct mk_error *err)
{
    return job_score_each(j, context_of(j), run_question, err);
}
