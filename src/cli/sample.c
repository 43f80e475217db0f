/* sample.c: minke sample: a teacher's answers to questions, for others to learn from. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "distill/traces.h"
#include "generate/exchange.h"

#define DEFAULT_PROMPT_ROOM 4096 /* ids */

struct job {
    struct traces_options traces;
    struct blend blend;
    struct teacher_model_options asking;
    struct teacher_endpoint_options server; /* url NULL: the teacher is a model here */
    struct model_flags flags;
    struct progress progress;
    const char *prompt, *script;
    uint64_t n_questions;
    float max_repetition, min_language, timeout_s, wait_s;
    int32_t max_characters;
    bool no_logprobs;
    int form, keep, tags;
};

/* ---- What is asked -------------------------------------------------------------------------- */

static int check_part(const struct job *j, const struct blend_part *p, const char *spec,
                      struct mk_error *err)
{
    if (p->share[TASK_TRACE_DIRECT] < 1)
        return mk_error_set(err, MK_EINVAL, "%s: shares of thoughts are for minke tasks corpus: "
                            "here the model thinks", spec);
    if (task_is_code(p->task) && j->traces.keep != TRACES_ALL)
        return mk_error_set(err, MK_EINVAL, "%s: programs are not run here, so none would be "
                            "right: say --keep all", spec);
    return 0;
}

static int open_parts(struct job *j, char **specs, int n, struct mk_error *err)
{
    struct blend *b = &j->blend;
    int code = 0;

    b->parts = calloc((size_t)n, sizeof *b->parts);
    if (!b->parts)
        return mk_error_memory(err, (size_t)n * sizeof *b->parts);
    while (!code && b->n_parts < n) {
        code = blend_part_open(&b->parts[b->n_parts], specs[b->n_parts], err);
        b->n_parts += !code;
        code = code ? code : check_part(j, &b->parts[b->n_parts - 1], specs[b->n_parts - 1], err);
    }
    return code;
}

static void close_parts(struct blend *b)
{
    for (int i = 0; i < b->n_parts; i++)
        blend_part_close(&b->parts[i]);
    free(b->parts);
}

/* All that the answers and their lines follow from, but for the teacher; malloc'ed. */
static char *settings(const struct job *j, char **specs, int n)
{
    const struct keep_rules *r = &j->traces.rules;
    const struct mk_sampling *s = &j->asking.sampling;
    json_t *tasks = json_array(), *all;
    char *text;

    for (int i = 0; i < n; i++)
        json_array_append_new(tasks, json_string(specs[i]));
    all = json_pack("{s:o, s:i, s:I, s:i, s:i, s:s?, s:i, s:I, s:f, s:f, s:i}", "tasks", tasks,
                    "samples", j->traces.n_samples, "seed", (json_int_t)s->seed, "keep",
                    (int)j->traces.keep, "form", j->form, "prompt", j->prompt, "tags",
                    (int)r->tags, "max-characters", (json_int_t)r->max_characters,
                    "max-repetition", r->max_repetition, "min-language", r->min_language, "script",
                    (int)r->script);
    if (all) {
        json_t *more = json_pack("{s:f, s:f, s:i, s:f, s:i, s:i, s:i, s:i, s:b}", "temperature",
                                 (double)s->temperature, "top-p", (double)s->top_p, "top-k",
                                 s->top_k, "min-p", (double)s->min_p, "max-tokens",
                                 j->asking.max_tokens, "numerics", j->flags.numerics, "mla",
                                 j->flags.mla, "kv", j->flags.kv, "logprobs", !j->no_logprobs);
        json_object_update(all, more);
        json_decref(more);
    }
    text = all ? json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(all);
    return text;
}

/* ---- The run -------------------------------------------------------------------------------- */

static void show(void *user, const struct traces_counts *c)
{
    struct job *j = user;

    if (!j->progress.shown)
        return;
    fprintf(stderr, "\r%" PRId64 " of %" PRIu64 " questions, %" PRId64 " answers kept ",
            c->n_questions, j->n_questions, c->n_kept);
    j->progress.drawn = true;
}

static void report(const struct job *j, const struct traces_counts *c)
{
    printf("%" PRId64 "%s of %" PRId64 " answers kept in %s\n", c->n_kept,
           j->keep == TRACES_PAIRS ? " pairs" : "", c->n_answers, j->traces.path);
    printf("  %-10s %10" PRId64 " of %" PRId64 " questions\n", "solved", c->n_solved,
           c->n_questions);
    for (int i = 0; i < KEEP_N_FAULTS; i++)
        if (c->n_of_fault[i])
            printf("  %-10s %10" PRId64 " answers\n", keep_fault_name(i), c->n_of_fault[i]);
}

static int open_teacher(struct job *j, const char *name, struct mk_model **model,
                        struct teacher *teacher, struct mk_error *err)
{
    if (j->server.url) {
        j->server.model = name;
        return teacher_open_endpoint(teacher, &j->server, err);
    }
    j->asking.kv = model_flags_session(&j->flags).kv;
    if (model_flags_open(model, name, &j->flags, err))
        return err->code;
    return teacher_open_model(teacher, *model, &j->asking, err);
}

static int ask(struct job *j, const char *name, struct mk_error *err)
{
    struct traces_counts counts = {0};
    struct mk_model *model = NULL;
    struct teacher teacher = {0};
    int code = open_teacher(j, name, &model, &teacher, err);

    if (!code) {
        code = traces_write(&j->traces, &j->blend, &teacher, &counts, err);
        teacher.close(teacher.self);
    }
    progress_clear(&j->progress);
    if (code == MK_ECANCELLED)
        mk_error_wrap(err, "stopped, minke sample with --resume goes on");
    if (!code)
        report(j, &counts);
    mk_model_free(model);
    return code;
}

static int run(struct job *j, const char *name, char **specs, int n_specs, struct mk_error *err)
{
    char *text = settings(j, specs, n_specs);
    int code = text ? open_parts(j, specs, n_specs, err) : mk_error_memory(err, 4096);

    j->traces.settings = text;
    if (!code)
        code = ask(j, name, err);
    close_parts(&j->blend);
    free(text);
    return code;
}

/* ---- The command line ----------------------------------------------------------------------- */

static int settle_server(struct job *j)
{
    const struct mk_sampling *s = &j->asking.sampling;
    const char *key = getenv("MINKE_API_KEY");

    if (s->top_k || s->min_p > 0)
        return cli_usage("sample", "--top-k and --min-p are not among what an endpoint is asked");
    if (j->prompt && j->form == BLEND_MESSAGES)
        return cli_usage("sample", "--prompt is for a model here: a server has its own template");
    j->server.key = key && *key ? key : NULL;
    j->server.n_samples = j->traces.n_samples;
    j->server.max_tokens = j->asking.max_tokens;
    j->server.sampling = *s;
    j->server.logprobs = !j->no_logprobs;
    j->server.timeout_s = (double)j->timeout_s;
    j->server.wait_s = (double)j->wait_s;
    return CLI_RUN;
}

/* From flags to options. */
static int settle(struct job *j)
{
    struct keep_rules *r = &j->traces.rules;
    struct mk_error err;

    if (!j->traces.path)
        return cli_usage("sample", "--out is missing");
    if (format_script_read(&r->script, j->script ? j->script : "latin", "--script", &err))
        return cli_usage("sample", "%s", err.text);
    r->min_language = j->script ? (double)j->min_language : 0;
    r->max_repetition = (double)j->max_repetition;
    r->max_characters = j->max_characters;
    r->tags = j->tags;
    j->traces.keep = j->keep;
    j->blend.form = j->form;
    j->blend.seed = j->asking.sampling.seed;
    j->traces.n_questions = (int64_t)j->n_questions;
    j->asking.n_samples = j->traces.n_samples;
    j->asking.max_prompt = j->flags.context ? j->flags.context - j->asking.max_tokens
                                            : DEFAULT_PROMPT_ROOM;
    if (j->asking.max_prompt < 1)
        return cli_usage("sample", "--context %d leaves no room for a question and %d tokens",
                         j->flags.context, j->asking.max_tokens);
    j->asking.form = j->prompt ? j->prompt : j->form == BLEND_TEXT ? EXCHANGE_FORM : NULL;
    j->traces.form = j->asking.form;
    return j->server.url ? settle_server(j) : CLI_RUN;
}

/* What --help says in brackets. */
static struct job job_default(void)
{
    return (struct job){
        .n_questions = 1000,
        .max_repetition = 0.5F,
        .min_language = 0.9F,
        .timeout_s = 600,
        .wait_s = 1,
        .keep = TRACES_CORRECT,
        .traces.n_samples = 1,
        .asking = {.n_slots = 32, .max_tokens = 1024, .sampling = mk_sampling_default()},
        .server = {.n_parallel = 8, .n_tries = 6}};
}

static int work(struct job *j, const char *model, char **specs, int n_specs)
{
    struct mk_error err;

    j->traces.stop = interrupt_stop;
    j->traces.show = show;
    j->traces.user = j;
    progress_init(&j->progress, stderr, j->flags.quiet);
    interrupt_catch();
    return run(j, model, specs, n_specs, &err) ? cli_fail(&err) : 0;
}

int cmd_sample(int argc, char **argv)
{
    struct job j = job_default();
    struct mk_sampling *s = &j.asking.sampling;
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, &j.traces.path, "FILE", "JSONL to be written", 0, 0, NULL},
        {"n", 'n', CLI_U64, &j.n_questions, "N", "questions (1000)", 1, 1e15, NULL},
        {"samples", 'k', CLI_I32, &j.traces.n_samples, "K", "answers to each (1)", 1, 65536, NULL},
        {"keep", 0, CLI_CHOICE, &j.keep, "WHICH", "of the answers to a question (correct)", 0,
         0, "all|correct|best|pairs"},
        {"form", 0, CLI_CHOICE, &j.form, "FORM", "of a line (messages)", 0, 0,
         "messages|text"},
        {"prompt", 'p', CLI_STRING, &j.prompt, "TEXT", "around the {question}", 0, 0, NULL},
        {"tags", 0, CLI_CHOICE, &j.tags, "TAGS", "that an answer must have, in order (any)", 0, 0,
         "any|think|answer"},
        {"max-characters", 0, CLI_I32, &j.max_characters, "N", "of an answer (any)", 1, INT32_MAX,
         NULL},
        {"max-repetition", 0, CLI_FLOAT, &j.max_repetition, "S", "share of runs said before (0.5)",
         0, 1, NULL},
        {"script", 0, CLI_STRING, &j.script, "NAME", "that its words are in: latin, han ...", 0, 0,
         NULL},
        {"min-script", 0, CLI_FLOAT, &j.min_language, "S", "share of them that are (0.9)", 0, 1,
         NULL},
        {"temperature", 't', CLI_FLOAT, &s->temperature, "T", "of the draws (1)", 0, 100, NULL},
        {"top-p", 0, CLI_FLOAT, &s->top_p, "P", "nucleus of the draw (1)", 0, 1, NULL},
        {"top-k", 0, CLI_I32, &s->top_k, "K", "only the K best tokens", 0, 1 << 24, NULL},
        {"min-p", 0, CLI_FLOAT, &s->min_p, "P", "share of the best token's probability", 0, 1,
         NULL},
        {"seed", 's', CLI_U64, &s->seed, "S", "of questions and answers (0)", 0, 0, NULL},
        {"max-tokens", 0, CLI_I32, &j.asking.max_tokens, "N", "of an answer (1024)", 1, 1 << 24,
         NULL},
        {"slots", 0, CLI_I32, &j.asking.n_slots, "N", "answers at a time (32)", 1, 65536, NULL},
        {"resume", 'r', CLI_FLAG, &j.traces.resume, NULL, "go on with FILE, to the same bytes", 0,
         0, NULL},
        {"endpoint", 'e', CLI_STRING, &j.server.url, "URL", "MODEL is asked there: OpenAI's API", 0,
         0, NULL},
        {"parallel", 0, CLI_I32, &j.server.n_parallel, "N", "requests at a time (8)", 1, 1024,
         NULL},
        {"tries", 0, CLI_I32, &j.server.n_tries, "N", "of a request (6)", 1, 100, NULL},
        {"wait", 0, CLI_FLOAT, &j.wait_s, "S", "seconds before the second try, doubling (1)", 0,
         3600, NULL},
        {"timeout", 0, CLI_FLOAT, &j.timeout_s, "S", "seconds that a reply may take (600)", 0.01,
         86400, NULL},
        {"no-logprobs", 0, CLI_FLAG, &j.no_logprobs, NULL, "do not ask the endpoint for them", 0, 0,
         NULL},
        CLI_MODEL_OPTIONS(&j.flags),
        {0}};
    const struct cli_syntax syntax = {
        "sample", "MODEL SPEC...",
        "Asks a teacher questions whose answers can be checked, and writes down what is\n"
        "worth learning from, a JSON object a line: the messages (or the text), the\n"
        "verdict, the log-probabilities. A SPEC is a task of minke tasks, or a file\n"
        "(gsm8k:FILE), with weight=W and level=L-H behind it. Train questions only.\n"
        "With --endpoint, MODEL is what a server knows; MINKE_API_KEY is sent to it.\n\n"
        "example: minke sample M countdown,level=0-2 -n 5000 -k 8 --keep best -o c.jsonl",
        2, 64, options};
    int n, status = cli_parse(&syntax, argc, argv, &n);

    if (status == CLI_RUN)
        status = settle(&j);
    return status == CLI_RUN ? work(&j, argv[1], argv + 2, n - 1) : status;
}
