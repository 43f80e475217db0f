/* score.c: minke score: how probable a model finds a text, token by token. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/model_options.h"
#include "formats/npy.h"

#define CHUNK ((size_t)128) /* tokens whose logits are in memory together */

struct score {
    struct mk_model *model;
    int32_t *ids;
    size_t n, v;
    float *logprobs; /* [n]; of the first token there is none */
    double nll;      /* nats, summed */
};

/* The rows of one chunk predict the tokens after them. */
static void take_rows(struct score *s, const float *logits, size_t first, size_t n)
{
    for (size_t i = 0; i < n && first + i + 1 < s->n; i++) {
        size_t next = first + i + 1;

        s->logprobs[next] = mk_logprob(s->model, logits + i * s->v, s->ids[next]);
        s->nll -= (double)s->logprobs[next];
    }
}

static int run_chunks(struct score *s, struct mk_session *session, struct npy_writer *npy,
                      struct mk_error *err)
{
    float *logits = malloc(CHUNK * s->v * sizeof *logits);
    int code = logits ? 0 : mk_error_memory(err, CHUNK * s->v * sizeof *logits);

    for (size_t i = 0; i < s->n && !code; i += CHUNK) {
        size_t n = s->n - i < CHUNK ? s->n - i : CHUNK;

        code = mk_session_append(session, s->ids + i, n, logits, err);
        if (!code && npy)
            code = npy_append(npy, logits, (int64_t)n, err);
        if (!code)
            take_rows(s, logits, i, n);
    }
    free(logits);
    return code;
}

static int score_ids(struct score *s, const struct model_flags *f, const char *out,
                     struct mk_error *err)
{
    struct mk_session_options o = model_flags_session(f);
    struct mk_session *session;
    struct npy_writer npy;
    int code;

    if (!o.context)
        o.context = (int32_t)s->n;
    if (mk_session_open(&session, s->model, &o, err))
        return err->code;
    code = out ? npy_open(&npy, out, (int64_t)s->n, (int64_t)s->v, err) : 0;
    if (!code) {
        code = run_chunks(s, session, out ? &npy : NULL, err);
        if (out && !code)
            code = npy_close(&npy, err);
        else if (out)
            npy_discard(&npy);
    }
    mk_session_free(session);
    return code;
}

static int print_json(const struct score *s, double nll)
{
    json_t *root = json_object(), *tokens = json_array(), *logprobs = json_array();

    for (size_t i = 0; i < s->n; i++) {
        json_array_append_new(tokens, json_integer(s->ids[i]));
        json_array_append_new(logprobs, i ? json_real((double)s->logprobs[i]) : json_null());
    }
    json_object_set_new(root, "tokens", tokens);
    json_object_set_new(root, "logprobs", logprobs);
    json_object_set_new(root, "nll", json_real(nll));
    json_object_set_new(root, "perplexity", json_real(exp(nll)));
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
    return 0;
}

static int report(const struct score *s, bool json)
{
    double nll = s->n > 1 ? s->nll / (double)(s->n - 1) : 0;

    if (json)
        return print_json(s, nll);
    printf("tokens      %zu\nnll         %.6f nats a token\nperplexity  %.4f\n", s->n, nll,
           exp(nll));
    return 0;
}

static int read_tokens(struct score *s, const char *text_file, const char *ids_file,
                       struct mk_error *err)
{
    char *text;
    size_t n;
    int code;

    if (ids_file)
        return read_ids(ids_file, &s->ids, &s->n, err);
    if (read_input(text_file, &text, &n, err))
        return err->code;
    code = mk_tokenize(s->model, text, n, false, true, &s->ids, &s->n, err);
    free(text);
    return code;
}

static int run(const char *name, const struct model_flags *f, const char *text_file,
               const char *ids_file, const char *out, bool json, struct mk_error *err)
{
    struct score s = {0};
    struct mk_model_info info;
    int code;

    if (model_flags_open(&s.model, name, f, err))
        return err->code;
    mk_model_get_info(s.model, &info);
    s.v = (size_t)info.n_vocab;
    code = read_tokens(&s, text_file, ids_file, err);
    if (!code && s.n < 1)
        code = mk_error_set(err, MK_EINVAL, "there is nothing to score: the input is empty");
    if (!code) {
        s.logprobs = calloc(s.n, sizeof *s.logprobs);
        code = s.logprobs ? score_ids(&s, f, out, err) : mk_error_memory(err, s.n);
    }
    if (!code)
        report(&s, json);
    free(s.logprobs);
    free(s.ids);
    mk_model_free(s.model);
    return code;
}

int cmd_score(int argc, char **argv)
{
    const char *text_file = NULL, *ids_file = NULL, *out = NULL;
    struct model_flags f = {0};
    bool json = false;
    const struct cli_option options[] = {
        {"text-file", 0, CLI_STRING, &text_file, "F", "text to score; - is stdin", 0, 0, NULL},
        {"ids-file", 0, CLI_STRING, &ids_file, "F", "token ids to score; - is stdin", 0, 0, NULL},
        {"logits", 0, CLI_STRING, &out, "OUT.npy", "write all logits, float32 [t, v]", 0, 0, NULL},
        {"json", 0, CLI_FLAG, &json, NULL, "print JSON", 0, 0, NULL},
        CLI_MODEL_OPTIONS(&f),
        {0}};
    const struct cli_syntax syntax = {
        .command = "score",
        .arguments = "MODEL (--text-file F | --ids-file F)",
        .about = "Prints how probable the model finds a text: the mean negative log-likelihood a\n"
                 "token and the perplexity; with --json the log-probability of every token.",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    struct mk_error err;
    int n, status = cli_parse(&syntax, argc, argv, &n);

    if (status != CLI_RUN)
        return status;
    if (!text_file == !ids_file)
        return cli_usage("score", "give one of --text-file and --ids-file");
    return run(argv[1], &f, text_file, ids_file, out, json, &err) ? cli_fail(&err) : 0;
}
