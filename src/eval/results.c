/* results.c: see results.h. */
#include "eval/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map_file.h"
#include "eval/overlap.h"

#define MAX_PATH 4096

static int path_in(char path[MAX_PATH], const char *out, const char *name, struct mk_error *err)
{
    if (snprintf(path, MAX_PATH, "%s/%s", out, name) >= MAX_PATH)
        return mk_error_set(err, MK_ELIMIT, "%.60s...: the path is too long", out);
    return 0;
}

static int write_json(const json_t *json, const char *out, const char *name, struct mk_error *err)
{
    char path[MAX_PATH], *text;
    int rc;

    if (path_in(path, out, name, err))
        return err->code;
    text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (!text)
        return mk_error_memory(err, 4096);
    rc = write_file(path, text, strlen(text), err);
    free(text);
    return rc;
}

/* ---- config.json ----------------------------------------------------------------------------- */

static json_t *describe_suites(const struct suites *suites)
{
    json_t *list = json_array();

    for (int32_t i = 0; i < suites->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "name", suites->items[i].name,
                                              "task", suites->items[i].task, "level",
                                              (int)suites->items[i].level));
    return list;
}

json_t *results_config(const struct mk_model *m, const struct suites *suites,
                       const struct eval_options *o)
{
    static const char *const styles[] = {"auto", "chat", "raw", "form"};
    static const char *const choices[] = {"letters", "texts", "written"};
    char fingerprint[65];
    json_t *config;

    for (int i = 0; i < 32; i++)
        snprintf(fingerprint + 2 * i, 3, "%02x", m->fingerprint[i]);
    config = json_pack("{s:s, s:s, s:s, s:i, s:i, s:i}", "model", o->model_name, "fingerprint",
                       fingerprint, "cpu", m->compute.k->name, "numerics",
                       (int)m->model.options.numerics, "mla", (int)m->model.options.mla, "kv",
                       (int)o->kv);
    json_object_update_new(
        config, json_pack("{s:o, s:s, s:s, s:i, s:s, s:I, s:s}", "suites",
                          describe_suites(suites), "prompt", styles[o->style], "form",
                          o->form ? o->form : "", "shots", (int)o->n_shots, "shots_from",
                          o->shots_from ? o->shots_from : "", "limit", (json_int_t)o->limit,
                          "choices", choices[o->choices]));
    json_object_update_new(
        config, json_pack("{s:i, s:i, s:f, s:f, s:i, s:I, s:i}", "samples", (int)o->n_samples, "k",
                          (int)o->k, "temperature", (double)o->temperature, "top_p",
                          (double)o->top_p, "max_tokens", (int)o->max_tokens, "seed",
                          (json_int_t)o->seed, "context", (int)o->context));
    return config;
}

static int compare(const char *path, const json_t *there, const json_t *config,
                   struct mk_error *err)
{
    const char *key;
    json_t *want;

    json_object_foreach((json_t *)(uintptr_t)config, key, want)
    {
        json_t *has = json_object_get(there, key);
        char *a, *b;

        if (json_equal(has, want) || !strcmp(key, "model")) /* a name; the fingerprint tells */
            continue;
        if (!strcmp(key, "fingerprint") || !strcmp(key, "suites")) /* nothing to read */
            return mk_error_set(err, MK_EINVAL,
                                "%s is of another evaluation, of %s: say another --out", path,
                                strcmp(key, "suites") ? "another model" : "other suites");
        a = json_dumps(has, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        b = json_dumps(want, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        mk_error_set(err, MK_EINVAL,
                     "%s is of another evaluation, whose %s is %.80s and not %.80s: say another "
                     "--out", path, key, a ? a : "none", b ? b : "none");
        free(a);
        free(b);
        return err->code;
    }
    return 0;
}

int results_begin(const char *out, const json_t *config, struct mk_error *err)
{
    char path[MAX_PATH];

    if (path_in(path, out, "config.json", err))
        return err->code;
    return access(path, F_OK) ? write_json(config, out, "config.json", err) : 0;
}

int results_check(const char *out, const json_t *config, struct mk_error *err)
{
    char path[MAX_PATH];
    json_error_t where;
    json_t *there;
    int rc;

    if (path_in(path, out, "config.json", err))
        return err->code;
    if (access(path, F_OK))
        return 0;
    there = json_load_file(path, 0, &where);
    if (!there)
        return mk_error_set(err, MK_EFORMAT, "%s: line %d: %s", path, where.line, where.text);
    rc = compare(path, there, config, err);
    json_decref(there);
    return rc;
}

/* ---- results.json ---------------------------------------------------------------------------- */

json_t *results_create(const struct eval_options *o, const json_t *config)
{
    json_t *root = json_pack("{s:{}, s:{}, s:{}, s:{}, s:{}, s:{}, s:{}}", "results",
                             "group_subtasks", "configs", "versions", "n-shot", "higher_is_better",
                             "n-samples");
    json_t *about = json_pack("{s:s, s:s, s:i, s:o, s:I}", "model", "minke", "model_args",
                              o->model_name, "batch_size", (int)o->n_slots, "limit",
                              o->limit ? json_integer((json_int_t)o->limit) : json_null(),
                              "random_seed", (json_int_t)o->seed);

    json_object_set(about, "minke", (json_t *)(uintptr_t)config);
    json_object_set_new(root, "config", about);
    if (o->n_texts)
        json_object_set_new(root, "contamination", json_object());
    json_object_set_new(root, "model_name", json_string(o->model_name));
    return root;
}

static bool is_better_high(const char *name)
{
    static const char *const low[] = {"perplexity", "word_perplexity", "byte_perplexity",
                                      "bits_per_byte", "truncated", "tokens"};

    for (size_t i = 0; i < sizeof low / sizeof *low; i++)
        if (!strcmp(name, low[i]))
            return false;
    return true;
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_string("N/A");
}

/* sample_len is the number of questions or documents, as in "n-samples". */
static json_t *describe_scores(const struct eval_result *r, int64_t n, json_t *higher)
{
    json_t *out = json_pack("{s:s, s:s, s:I}", "name", r->suite, "alias", r->suite, "sample_len",
                            (json_int_t)n);
    char name[64];

    for (int32_t i = 0; i < r->n_scores; i++) {
        const struct eval_score *s = &r->scores[i];

        snprintf(name, sizeof name, "%s,none", s->name);
        json_object_set_new(out, name, number(s->estimate.value));
        snprintf(name, sizeof name, "%s_stderr,none", s->name);
        json_object_set_new(out, name, number(s->estimate.error));
        json_object_set_new(higher, s->name, json_boolean(is_better_high(s->name)));
    }
    return out;
}

static json_t *describe_job(const struct job *j, const struct eval_result *r)
{
    static const char *const outputs[] = {"generate_until", "multiple_choice",
                                          "loglikelihood_rolling"};
    const struct eval_options *o = j->o;
    json_t *out = json_pack("{s:s, s:s, s:s, s:i, s:s}", "task", r->suite, "dataset_path",
                            j->suite->task, "output_type", outputs[j->way], "num_fewshot",
                            (int)o->n_shots, "description", r->config);

    if (j->way == SUITE_ANSWERS) {
        json_object_set_new(out, "repeats", json_integer(j->n_samples));
        json_object_set_new(
            out, "generation_kwargs",
            json_pack("{s:b, s:f, s:f, s:i}", "do_sample", o->temperature > 0, "temperature",
                      (double)o->temperature, "top_p", (double)o->top_p, "max_gen_toks",
                      (int)j->max_tokens));
    }
    return out;
}

/* Beside the harness's own members. */
static json_t *describe_overlap(const struct eval_overlap *o)
{
    char name[64];
    json_t *clean = json_object();

    json_object_set_new(clean, o->clean.name, number(o->clean.estimate.value));
    snprintf(name, sizeof name, "%s_stderr", o->clean.name);
    json_object_set_new(clean, name, number(o->clean.estimate.error));
    json_object_set_new(clean, "n", json_integer((json_int_t)o->clean.estimate.n));
    return json_pack("{s:i, s:I, s:I, s:f, s:o}", "words", OVERLAP_WORDS, "judged",
                     (json_int_t)o->n_judged, "found", (json_int_t)o->n_found, "share",
                     o->n_judged ? (double)o->n_found / (double)o->n_judged : 0.0, "clean", clean);
}

int results_add(json_t *root, const struct job *j, const struct eval_result *r,
                struct mk_error *err)
{
    int64_t n_asked = j->way == SUITE_TEXT ? r->n_all : r->n_asked; /* a text's are windows */
    json_t *higher = json_object(), *scores = describe_scores(r, n_asked, higher);
    json_t *n = json_pack("{s:I, s:I}", "original", (json_int_t)(r->n_all < 0 ? n_asked : r->n_all),
                          "effective", (json_int_t)n_asked);
    int bad = json_object_set_new(json_object_get(root, "results"), r->suite, scores);

    if (r->overlap.looked)
        bad |= json_object_set_new(json_object_get(root, "contamination"), r->suite,
                                   describe_overlap(&r->overlap));
    bad |= json_object_set_new(json_object_get(root, "configs"), r->suite, describe_job(j, r));
    bad |= json_object_set_new(json_object_get(root, "versions"), r->suite, json_integer(1));
    bad |= json_object_set_new(json_object_get(root, "n-shot"), r->suite,
                               json_integer(j->o->n_shots));
    bad |= json_object_set_new(json_object_get(root, "higher_is_better"), r->suite, higher);
    bad |= json_object_set_new(json_object_get(root, "n-samples"), r->suite, n);
    return bad ? mk_error_memory(err, 4096) : 0;
}

int results_write(const json_t *root, const char *out, struct mk_error *err)
{
    return write_json(root, out, "results.json", err);
}
