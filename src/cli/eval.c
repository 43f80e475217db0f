/* eval.c: minke eval: suites of questions, and what a model scores. */
#include "eval/eval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "cli/safe_text.h"

#define MAX_NAMES 64
#define MAX_PATH 4096

struct eval_flags {
    struct model_flags model;
    struct cli_list suites, texts;
    const char *out, *prompt, *shots_from;
    int32_t shots, limit, samples, k, max_tokens, slots; /* 0: not given */
    float temperature, top_p;                            /* -1: not given */
    uint64_t seed;
    int preset, choices; /* -1: not given */
    bool allow_code;
    /* of the run */
    bool shown, drawn;
    double begin_ms;
    char suite[64]; /* whose time is being measured */
};

/* ---- While it runs --------------------------------------------------------------------------- */

static void clear_line(struct eval_flags *f)
{
    if (f->drawn)
        fprintf(stderr, "\r%*s\r", PROGRESS_COLUMNS, "");
    f->drawn = false;
}

static void show(void *user, const struct eval_progress *p)
{
    struct eval_flags *f = user;
    int64_t done = p->done - p->done_before;
    char left[32] = "", line[PROGRESS_COLUMNS + 1], speed[48] = "";
    double seconds;

    if (!f->shown)
        return;
    if (strcmp(f->suite, p->suite) != 0) {
        snprintf(f->suite, sizeof f->suite, "%s", p->suite);
        f->begin_ms = clock_ms();
    }
    seconds = (clock_ms() - f->begin_ms) / 1000;
    if (done > 0)
        progress_time(left, seconds / (double)done * (double)(p->total - p->done));
    if (p->n_tokens > 0 && seconds > 0)
        snprintf(speed, sizeof speed, "  %.0f tokens/s", (double)p->n_tokens / seconds);
    snprintf(line, sizeof line, "%.30s  %" PRId64 "/%" PRId64 "%s%s%s", p->suite, p->done, p->total,
             speed, *left ? "  left " : "", left);
    fprintf(stderr, "\r%-*s", PROGRESS_COLUMNS, line);
    f->drawn = true;
}

/* ---- Results --------------------------------------------------------------------------------- */

static void print_value(double x)
{
    if (isfinite(x))
        printf("  %9.4f", x);
    else
        printf("  %9s", "-");
}

static void print_overlap(const struct eval_result *r)
{
    const struct eval_overlap *o = &r->overlap;

    printf("    %" PRId64 " of %" PRId64 " questions (%.2f %%) share 13 words with the texts; "
           "%" PRId64 " are too short to tell\n    %s of the others: %.4f (%.4f)\n",
           o->n_found, o->n_judged,
           o->n_judged ? 100 * (double)o->n_found / (double)o->n_judged : 0.0,
           r->n_asked - o->n_judged, o->clean.name, o->clean.estimate.value,
           o->clean.estimate.error);
}

static void print_result(const struct eval_result *r)
{
    for (int32_t i = 0; i < r->n_scores; i++) {
        const struct eval_score *s = &r->scores[i];

        printf("%-20s  %-16s", i ? "" : r->suite, s->name);
        print_value(s->estimate.value);
        print_value(s->estimate.error);
        printf("  %7" PRId64 "\n", r->n_asked);
    }
    if (r->overlap.looked)
        print_overlap(r);
    fputs("    ", stdout);
    safe_text_print(stdout, r->config);
    putchar('\n');
}

static void print_results(const struct eval_result *results, int32_t n)
{
    if (n)
        printf("%-20s  %-16s  %9s  %9s  %7s\n", "suite", "score", "value", "stderr", "n");
    for (int32_t i = 0; i < n; i++)
        print_result(&results[i]);
}

/* ---- From flags to options ------------------------------------------------------------------- */

/* The word of the list that no suite is called, and the one that was meant. */
static int explain_suite(const char *list, const struct mk_error *err)
{
    const char *names[MAX_NAMES], *name;
    int n = 0;

    while (n < MAX_NAMES && (name = suite_name_at(n)))
        names[n++] = name;
    for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',') {
        char word[64];
        const char *near;

        snprintf(word, sizeof word, "%.*s", (int)strcspn(at, ":,"), at);
        near = strstr(err->text, word) ? cli_nearest(word, names, n) : NULL;
        if (near && strcmp(near, word) != 0)
            return cli_usage("eval", "%s, did you mean %s", err->text, near);
    }
    return cli_usage("eval", "%s", err->text);
}

static void take_prompt(struct eval_options *o, const char *prompt)
{
    if (!prompt)
        o->style = PROMPT_AUTO;
    else if (!strcmp(prompt, "chat"))
        o->style = PROMPT_CHAT;
    else if (!strcmp(prompt, "raw"))
        o->style = PROMPT_RAW;
    else
        o->style = PROMPT_FORM;
    o->form = o->style == PROMPT_FORM ? prompt : NULL;
}

static struct eval_options options_of(struct eval_flags *f, const char *model)
{
    struct eval_options o = eval_options_default();
    struct mk_session_options session = model_flags_session(&f->model);

    if (f->preset >= 0)
        eval_preset_deepseek(&o);
    take_prompt(&o, f->prompt);
    o.model_name = model;
    o.n_shots = f->shots;
    o.shots_from = f->shots_from;
    o.limit = f->limit;
    o.n_samples = f->samples ? f->samples : o.n_samples;
    o.k = f->k;
    o.temperature = f->temperature >= 0 ? f->temperature : o.temperature;
    o.top_p = f->top_p >= 0 ? f->top_p : o.top_p;
    o.max_tokens = f->max_tokens ? f->max_tokens : o.max_tokens;
    o.seed = f->seed;
    o.choices = f->choices >= 0 ? (enum eval_choices)f->choices : o.choices;
    o.allow_code = f->allow_code;
    o.n_slots = f->slots ? f->slots : o.n_slots;
    o.context = session.context;
    o.kv = session.kv;
    o.texts = f->texts.items;
    o.n_texts = f->texts.n;
    o.stop = interrupt_stop;
    o.progress = show;
    o.user = f;
    return o;
}

/* eval/NAME for a name of the store, a file or a folder. */
static void default_out(char out[MAX_PATH], const char *model)
{
    size_t n = strlen(model), begin;

    while (n > 1 && model[n - 1] == '/')
        n--;
    for (begin = n; begin > 0 && model[begin - 1] != '/'; begin--)
        ;
    if (n - begin > 5 && !memcmp(model + n - 5, ".gguf", 5))
        n -= 5;
    snprintf(out, MAX_PATH, "eval/%.*s", (int)(n - begin), model + begin);
}

static int run(struct eval_flags *f, const char *model, const struct suites *suites,
               struct mk_error *err)
{
    struct eval_options o = options_of(f, model);
    struct eval_result results[SUITE_MAX] = {{0}};
    char out[MAX_PATH];
    struct mk_model *m;
    int32_t n = 0;
    int rc;

    default_out(out, model);
    o.out = f->out ? f->out : out;
    rc = model_flags_open(&m, model, &f->model, err);
    if (rc)
        return rc;
    f->shown = isatty(STDERR_FILENO) && !f->model.quiet;
    interrupt_catch();
    rc = eval_run(m, suites, &o, results, &n, err);
    clear_line(f);
    print_results(results, n);
    for (int32_t i = 0; i < n; i++)
        eval_result_release(&results[i]);
    mk_model_free(m);
    if (rc == MK_ECANCELLED)
        mk_error_set(err, rc, "stopped; the same command goes on from %s", o.out);
    if (!rc)
        printf("%s/results.json\n", o.out);
    return rc;
}

static int evaluate(struct eval_flags *f, const char *model)
{
    struct suites suites = {.n = 0};
    struct mk_error err = {0};
    int rc = 0;

    if (!f->suites.n)
        return cli_usage("eval", "--suite is missing, such as --suite gsm8k:FILE,parity");
    for (int32_t i = 0; !rc && i < f->suites.n; i++)
        if ((rc = suites_add(&suites, f->suites.items[i], &err))) {
            rc = rc == MK_ENOTFOUND ? explain_suite(f->suites.items[i], &err)
                                    : cli_usage("eval", "%s", err.text);
            suites_release(&suites);
            return rc;
        }
    rc = run(f, model, &suites, &err);
    suites_release(&suites);
    return rc ? cli_fail(&err) : 0;
}

int cmd_eval(int argc, char **argv)
{
    struct eval_flags f = {.temperature = -1, .top_p = -1, .preset = -1, .choices = -1};
    const struct cli_option options[] = {
        {"suite", 's', CLI_LIST, &f.suites, "LIST", "what to ask, see above", 0, 0, NULL},
        {"out", 'o', CLI_STRING, &f.out, "DIR", "for answers and scores (eval/MODEL)", 0, 0, NULL},
        {"prompt", 'p', CLI_STRING, &f.prompt, "FORM",
         "chat (the model's template), raw, or a text with {question}", 0, 0, NULL},
        {"shots", 0, CLI_I32, &f.shots, "N", "worked examples before each question", 0, 1000, NULL},
        {"shots-from", 0, CLI_STRING, &f.shots_from, "TASK",
         "that they come from (the suite's first questions)", 0, 0, NULL},
        {"limit", 0, CLI_I32, &f.limit, "N", "questions of a suite (all; built-in tasks: 100)", 1,
         1 << 30, NULL},
        {"samples", 'n', CLI_I32, &f.samples, "N", "answers to a question (1)", 1, 4096, NULL},
        {"k", 'k', CLI_I32, &f.k, "K", "of pass@k, besides 1 and N", 1, 4096, NULL},
        {"temperature", 't', CLI_FLOAT, &f.temperature, "T", "of sampling (0: greedy)", 0, 100,
         NULL},
        {"top-p", 0, CLI_FLOAT, &f.top_p, "P", "of sampling (1)", 0, 1, NULL},
        {"max-tokens", 0, CLI_I32, &f.max_tokens, "N", "of an answer (512)", 1, 1 << 24, NULL},
        {"seed", 0, CLI_U64, &f.seed, "N", "of sampling and of built-in tasks (0)", 0, 0, NULL},
        {"preset", 0, CLI_CHOICE, &f.preset, "NAME",
         "T 0.6, top-p 0.95, 32768 tokens, 64, 16 or 8 samples", 0, 0, "deepseek"},
        {"choices", 0, CLI_CHOICE, &f.choices, "HOW", "of mmlu: what is scored", 0, 0,
         "letters|texts|written"},
        {"allow-code", 0, CLI_FLAG, &f.allow_code, NULL,
         "run programs that the model wrote, in a sandbox", 0, 0, NULL},
        {"contamination", 0, CLI_LIST, &f.texts, "PATH",
         "texts, shards or a run: do they hold the questions?", 0, 0, NULL},
        {"slots", 0, CLI_I32, &f.slots, "N", "answers at a time (16)", 1, 4096, NULL},
        CLI_MODEL_OPTIONS(&f.model),
        {0}};
    const struct cli_syntax syntax = {
        .command = "eval",
        .arguments = "MODEL",
        .about = "Asks a model suites of questions and prints what it scores, each score with its\n"
                 "standard error and with how it was asked. LIST has commas between:\n\n"
                 "  gsm8k:FILE math500:FILE aime:FILE humaneval:FILE mmlu:FILE jsonl:FILE\n"
                 "  text:FILE          perplexity and bits a byte\n"
                 "  parity, parity:3   a built-in task, of all levels or one; tasks:all\n\n"
                 "DIR gets every prompt, answer and verdict, and results.json. The same command\n"
                 "again goes on where it was stopped.\n\n"
                 "example: minke eval smollm2 --suite gsm8k:test.jsonl --prompt raw --shots 5",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    int n, status = cli_parse(&syntax, argc, argv, &n);

    return status == CLI_RUN ? evaluate(&f, argv[1]) : status;
}
