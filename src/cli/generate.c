/* generate.c: minke generate: one prompt in, one answer out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "cli/cli.h"
#include "cli/model_options.h"
#include "cli/safe_text.h"

struct job {
    const char *prompt, *ids_file;
    bool raw, json;
    struct mk_generate_options o;
    struct model_flags flags;
    struct mk_model *model;
    struct mk_session *session;
    int32_t *ids;
    size_t n_ids;
};

struct answer {
    struct buf text, reasoning;
    json_t *ids, *logprobs;
    enum mk_finish finish;
    int32_t n;
    double prefill_s, decode_s;
    int32_t n_computed; /* prompt tokens */
};

/* ---- The prompt ----------------------------------------------------------------------------- */

/* A chat model gets the text as a user's message, unless --raw asks for the text itself. */
static int encode_prompt(struct job *j, struct mk_error *err)
{
    struct mk_message message = {.role = "user", .content = j->prompt};
    struct mk_chat chat = {.messages = &message, .n_messages = 1};
    struct mk_model_info info;

    mk_model_get_info(j->model, &info);
    if (j->raw || !info.chat_format)
        return mk_tokenize(j->model, j->prompt, strlen(j->prompt), j->raw, true, &j->ids, &j->n_ids,
                           err);
    return mk_chat_encode(j->model, &chat, &j->ids, &j->n_ids, &j->o.in_thought, err);
}

static int prepare(struct job *j, const char *name, struct mk_error *err)
{
    struct mk_session_options o = model_flags_session(&j->flags);

    if (model_flags_open(&j->model, name, &j->flags, err) ||
        (j->ids_file ? read_ids(j->ids_file, &j->ids, &j->n_ids, err) : encode_prompt(j, err)))
        return err->code;
    return mk_session_open(&j->session, j->model, &o, err);
}

/* ---- The answer ----------------------------------------------------------------------------- */

static int take_token(struct answer *a, const struct mk_token *t, const struct job *j,
                      struct mk_error *err)
{
    json_t *entry, *top;

    if (t->id >= 0 && a->finish != MK_FINISH_STOP)
        json_array_append_new(a->ids, json_integer(t->id));
    if (t->id >= 0 && j->o.top_logprobs >= 0) {
        entry = json_object();
        top = json_array();
        json_object_set_new(entry, "id", json_integer(t->id));
        json_object_set_new(entry, "logprob", json_real((double)t->logprob));
        for (int32_t i = 0; i < t->n_top; i++)
            json_array_append_new(top, json_pack("{s:i,s:f}", "id", t->top[i].id, "logprob",
                                                 (double)t->top[i].logprob));
        json_object_set_new(entry, "top", top);
        json_array_append_new(a->logprobs, entry);
    }
    if (!j->json) {
        safe_text_print(stdout, t->reasoning);
        safe_text_print(stdout, t->text);
        fflush(stdout);
    }
    if (buf_append_string(&a->text, t->text, err))
        return err->code;
    return buf_append_string(&a->reasoning, t->reasoning, err);
}

static int run_request(struct job *j, struct answer *a, struct mk_error *err)
{
    double begin = clock_ms();
    struct mk_request *r;
    struct mk_token t;
    int code;

    code = mk_request_open(&r, j->session, j->ids, j->n_ids, &j->o, err);
    if (code)
        return code;
    a->prefill_s = (clock_ms() - begin) / 1e3;
    begin = clock_ms();
    while (a->finish == MK_RUNNING && !code) {
        code = mk_request_step(r, &t, &a->finish, err);
        if (!code)
            code = take_token(a, &t, j, err);
        a->n += !code;
    }
    a->decode_s = (clock_ms() - begin) / 1e3;
    mk_request_free(r);
    return code;
}

static void print_json(const struct job *j, const struct answer *a)
{
    json_t *root = json_object();

    json_object_set(root, "ids", a->ids);
    json_object_set_new(root, "text", json_stringn_nocheck(a->text.data, a->text.n));
    json_object_set_new(root, "reasoning",
                        a->reasoning.n ? json_stringn_nocheck(a->reasoning.data, a->reasoning.n)
                                       : json_null());
    json_object_set_new(root, "finish_reason",
                        json_string(a->finish == MK_FINISH_STOP ? "stop" : "length"));
    json_object_set_new(root, "prompt_tokens", json_integer((json_int_t)j->n_ids));
    json_object_set_new(root, "prefill_tps", json_real((double)j->n_ids / a->prefill_s));
    json_object_set_new(root, "decode_tps", json_real(a->n / a->decode_s));
    if (j->o.top_logprobs >= 0)
        json_object_set(root, "logprobs", a->logprobs);
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

static int run(struct job *j, const char *name, struct mk_error *err)
{
    struct answer a = {.ids = json_array(), .logprobs = json_array()};
    int code;

    buf_init(&a.text, (size_t)1 << 30);
    buf_init(&a.reasoning, (size_t)1 << 30);
    code = prepare(j, name, err);
    if (!code)
        code = run_request(j, &a, err);
    if (!code && j->json)
        print_json(j, &a);
    else if (!code && a.text.n && a.text.data[a.text.n - 1] != '\n')
        putchar('\n');
    buf_release(&a.text);
    buf_release(&a.reasoning);
    json_decref(a.ids);
    json_decref(a.logprobs);
    mk_session_free(j->session);
    mk_model_free(j->model);
    free(j->ids);
    return code;
}

/* ---- The command line ----------------------------------------------------------------------- */

int cmd_generate(int argc, char **argv)
{
    struct job j = {.o = mk_generate_options_default()};
    struct cli_list stops = {.n = 0};
    struct mk_sampling *s = &j.o.sampling;
    const struct cli_option options[] = {
        {"prompt", 'p', CLI_STRING, &j.prompt, "TEXT", "what to answer", 0, 0, NULL},
        {"ids-file", 0, CLI_STRING, &j.ids_file, "F", "token ids instead; - is stdin", 0, 0, NULL},
        {"raw", 0, CLI_FLAG, &j.raw, NULL, "continue the text, without a chat format", 0, 0, NULL},
        {"max-tokens", 'n', CLI_I32, &j.o.max_tokens, "N", "length of the answer", 1, 1 << 24,
         NULL},
        {"temperature", 't', CLI_FLOAT, &s->temperature, "T", "0 (default) is greedy", 0, 100,
         NULL},
        {"top-p", 0, CLI_FLOAT, &s->top_p, "P", "nucleus of the draw (1)", 0, 1, NULL},
        {"top-k", 0, CLI_I32, &s->top_k, "K", "only the K best tokens", 0, 1 << 24, NULL},
        {"min-p", 0, CLI_FLOAT, &s->min_p, "P", "share of the best token's probability", 0, 1,
         NULL},
        {"repetition-penalty", 0, CLI_FLOAT, &s->repetition_penalty, "R", "1 is none", 0.01, 100,
         NULL},
        {"seed", 0, CLI_U64, &s->seed, "S", "of the draw", 0, 0, NULL},
        {"stop", 0, CLI_LIST, &stops, "S", "end before this text; may be repeated", 0, 0, NULL},
        {"ignore-eos", 0, CLI_FLAG, &j.o.ignore_eos, NULL, "go on after the end token", 0, 0, NULL},
        {"logprobs", 0, CLI_I32, &j.o.top_logprobs, "N", "with N alternatives, in the JSON", 0,
         MK_MAX_TOP_LOGPROBS, NULL},
        {"json", 0, CLI_FLAG, &j.json, NULL, "print JSON", 0, 0, NULL},
        CLI_MODEL_OPTIONS(&j.flags),
        {0}};
    const struct cli_syntax syntax = {
        .command = "generate",
        .arguments = "MODEL (-p TEXT | --ids-file F)",
        .about = "Prints the model's answer to one prompt. A chat model is asked in its own chat\n"
                 "format; with --raw it continues the text.",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    struct mk_error err;
    int n, status;

    s->temperature = 0;
    status = cli_parse(&syntax, argc, argv, &n);
    if (status != CLI_RUN)
        return status;
    if (!j.prompt == !j.ids_file)
        return cli_usage("generate", "give one of -p TEXT and --ids-file F");
    if (stops.n > MK_MAX_STOPS)
        return cli_usage("generate", "at most %d --stop are possible", MK_MAX_STOPS);
    for (int32_t i = 0; i < stops.n; i++)
        j.o.stops[j.o.n_stops++] = stops.items[i];
    j.o.split_thought = j.json && !j.raw;
    return run(&j, argv[1], &err) ? cli_fail(&err) : 0;
}
