/* eval.c: one suite after the other. */
#include "eval/eval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "eval/contamination.h"
#include "eval/results.h"

struct eval_options eval_options_default(void)
{
    return (struct eval_options){.n_samples = 1, .top_p = 1, .max_tokens = 512, .n_slots = 16};
}

void eval_preset_deepseek(struct eval_options *o)
{
    o->n_samples = 0;
    o->temperature = 0.6f;
    o->top_p = 0.95f;
    o->max_tokens = 32768;
    o->choices = EVAL_WRITTEN;
}

void eval_result_release(struct eval_result *r)
{
    free(r->suite);
    r->suite = NULL;
}

static int check(const struct eval_options *o, struct mk_error *err)
{
    if (o->n_samples < 0 || o->max_tokens < 1 || o->n_slots < 1 || o->n_shots < 0 || o->limit < 0)
        return mk_error_set(err, MK_EINVAL, "%d samples of %d tokens, %d at a time, %d shots: "
                            "none may be negative, tokens and slots at least 1", o->n_samples,
                            o->max_tokens, o->n_slots, o->n_shots);
    if (o->n_samples != 1 && o->temperature == 0)
        return mk_error_set(err, MK_EINVAL, "samples at temperature 0 would all be the same: say "
                            "a --temperature, or --samples 1");
    if (o->k > 1 && o->n_samples && o->k > o->n_samples)
        return mk_error_set(err, MK_EINVAL, "pass@%d needs at least %d samples", o->k, o->k);
    return 0;
}

/* Names stand in config.json and results.json, which are UTF-8; a path need not be. */
static int check_name(const char *name, const char *whose, struct mk_error *err)
{
    json_t *as_json = json_string(name ? name : "");

    json_decref(as_json);
    return as_json ? 0 : mk_error_set(err, MK_EINVAL, "%s is not UTF-8, as the files of an "
                                      "evaluation are: name it otherwise", whose);
}

static int check_names(const struct suites *suites, const struct eval_options *o,
                       struct mk_error *err)
{
    if (check_name(o->model_name, "the model's name", err) ||
        check_name(o->form, "the text of --prompt", err) ||
        check_name(o->shots_from, "the path of --shots-from", err))
        return err->code;
    for (int32_t i = 0; i < suites->n; i++)
        if (check_name(suites->items[i].task, "the path of a suite", err))
            return err->code;
    for (int32_t i = 0; i < o->n_texts; i++)
        if (check_name(o->texts[i], "a path of --contamination", err))
            return err->code;
    return 0;
}

/* What would end a suite late is said at once: a file that is missing or damaged, programs that
 * nobody allowed. */
static int check_suite(const struct suite *s, const struct eval_options *o, struct mk_error *err)
{
    struct task *t;
    int rc;

    if (s->kind->way == SUITE_TEXT)
        return access(s->task, R_OK) ? mk_error_set(err, MK_ENOTFOUND, "%s: %s", s->task,
                                                    strerror(errno)) : 0;
    rc = task_open(&t, s->task, err);
    if (rc)
        return rc;
    if (task_is_code(t) && !o->allow_code)
        rc = mk_error_set(err, MK_EINVAL, "suite %s runs programs that a model wrote: say "
                          "--allow-code", s->name);
    task_close(t);
    return rc;
}

static void take_means(const struct job *j, struct eval_result *r)
{
    for (int32_t i = 0; i < j->table.n; i++) {
        struct eval_score *s = &r->scores[r->n_scores++];

        memcpy(s->name, j->table.series[i].name, sizeof s->name);
        s->estimate = score_mean(j->table.series[i].values, j->table.series[i].n);
    }
}

static int take_result(const struct job *j, struct eval_result *r, struct mk_error *err)
{
    *r = (struct eval_result){.suite = strdup(j->suite->name), .n_asked = j->n,
                              .n_all = j->n_all};
    if (!r->suite)
        return mk_error_memory(err, strlen(j->suite->name) + 1);
    job_describe(j, r->config, sizeof r->config);
    if (j->way == SUITE_TEXT)
        return texts_score(j, r, err);
    take_means(j, r);
    return 0;
}

/* What all suites share. */
struct run {
    struct mk_model *m;
    const struct eval_options *o;
    json_t *config, *root;
    struct overlap *overlap; /* NULL: nobody asked */
};

static int run_suite(const struct run *run, const struct suite *s, struct eval_result *r,
                     struct mk_error *err)
{
    struct job j;
    int rc = job_open(&j, run->m, s, run->o, err);

    if (rc)
        return rc;
    folder_remove_parts(run->o->out);
    rc = results_begin(run->o->out, run->config, err);
    if (!rc)
        rc = j.way == SUITE_TEXT      ? texts_run(&j, err)
             : j.way == SUITE_CHOICES ? choices_run(&j, err)
                                      : answers_run(&j, err);
    if (!rc)
        rc = take_result(&j, r, err);
    if (!rc && run->overlap && j.task)
        rc = contamination_judge(run->overlap, &j, r, err);
    if (!rc)
        rc = results_add(run->root, &j, r, err);
    if (!rc)
        rc = results_write(run->root, run->o->out, err);
    job_close(&j);
    return rc;
}

static int check_all(const struct suites *suites, const struct eval_options *o,
                     struct mk_error *err)
{
    if (check(o, err) || check_names(suites, o, err))
        return err->code;
    for (int32_t i = 0; i < suites->n; i++)
        if (check_suite(&suites->items[i], o, err))
            return err->code;
    return folder_make(o->out, err);
}

int eval_run(struct mk_model *m, const struct suites *suites, const struct eval_options *o,
             struct eval_result *results, int32_t *n_results, struct mk_error *err)
{
    struct run run = {.m = m, .o = o};
    int rc;

    *n_results = 0;
    if (check_all(suites, o, err))
        return err->code;
    run.config = results_config(m, suites, o);
    run.root = run.config ? results_create(o, run.config) : NULL;
    rc = run.root ? results_check(o->out, run.config, err) : mk_error_memory(err, 4096);
    if (!rc && o->n_texts)
        rc = contamination_look(&run.overlap, m, suites, o, err);
    for (int32_t i = 0; !rc && i < suites->n; i++) {
        rc = run_suite(&run, &suites->items[i], &results[i], err);
        *n_results += results[i].suite != NULL;
    }
    overlap_free(run.overlap);
    json_decref(run.root);
    json_decref(run.config);
    return rc;
}
