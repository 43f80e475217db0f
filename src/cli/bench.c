/* bench.c: minke bench: tokens a second of prefill and decode, at several depths of context. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/rng.h"
#include "cli/cli.h"
#include "cli/model_options.h"

#define MAX_DEPTHS 32

struct plan {
    int32_t prompt, gen, repeat;
    int32_t depths[MAX_DEPTHS], n_depths;
};

struct result {
    double prefill_tps, decode_tps; /* medians */
};

/* Ids spread over the vocabulary, the same for every model of its size. */
static void fill_ids(int32_t *ids, int32_t n, int32_t n_vocab)
{
    for (int32_t i = 0; i < n; i++)
        ids[i] = (int32_t)(rng_uniform(1, 0, (uint64_t)i) * n_vocab);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *x, int32_t n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return (x[(n - 1) / 2] + x[n / 2]) / 2;
}

/* One depth: fill the context, then time the prompt and the tokens after it, a few times. */
static int measure(struct mk_session *s, const int32_t *ids, const struct plan *p, int32_t depth,
                   struct result *r, struct mk_error *err)
{
    double prefill[64], decode[64], begin;

    mk_session_truncate(s, 0);
    if (depth && mk_session_append(s, ids, (size_t)depth, NULL, err))
        return err->code;
    for (int32_t i = 0; i < p->repeat; i++) {
        mk_session_truncate(s, depth);
        begin = clock_ms();
        if (p->prompt && mk_session_append(s, ids + depth, (size_t)p->prompt, NULL, err))
            return err->code;
        prefill[i] = p->prompt / ((clock_ms() - begin) / 1e3);
        mk_session_truncate(s, depth);
        begin = clock_ms();
        for (int32_t k = 0; k < p->gen; k++)
            if (mk_session_append(s, ids + depth + k, 1, NULL, err))
                return err->code;
        decode[i] = p->gen / ((clock_ms() - begin) / 1e3);
    }
    r->prefill_tps = p->prompt ? median(prefill, p->repeat) : 0;
    r->decode_tps = p->gen ? median(decode, p->repeat) : 0;
    return 0;
}

static void print_head(const struct mk_model_info *info)
{
    printf("%s, %s kernels\n   depth   prompt  prefill tok/s      gen  decode tok/s\n",
           info->architecture, info->cpu);
}

static void print(const struct plan *p, int32_t depth, const struct result *r, json_t *results)
{
    if (results)
        json_array_append_new(results, json_pack("{s:i,s:i,s:i,s:f,s:f}", "depth", depth, "prompt",
                                                 p->prompt, "gen", p->gen, "prefill_tps",
                                                 r->prefill_tps, "decode_tps", r->decode_tps));
    else
        printf("%8d %8d %14.1f %8d %13.1f\n", depth, p->prompt, r->prefill_tps, p->gen,
               r->decode_tps);
    fflush(stdout);
}

static int run_plan(struct mk_model *m, struct mk_session *s, const struct plan *p, int32_t n_ids,
                    bool json, struct mk_error *err)
{
    json_t *results = json ? json_array() : NULL, *root;
    int32_t *ids = malloc((size_t)n_ids * sizeof *ids);
    struct mk_model_info info;
    struct result r = {0};
    int code = ids ? 0 : mk_error_memory(err, (size_t)n_ids * sizeof *ids);

    mk_model_get_info(m, &info);
    if (!code)
        fill_ids(ids, n_ids, info.n_vocab);
    for (int32_t i = 0; i < p->n_depths && !code; i++) {
        code = measure(s, ids, p, p->depths[i], &r, err);
        if (!code && !i && !json)
            print_head(&info);
        if (!code)
            print(p, p->depths[i], &r, results);
    }
    if (!code && json) {
        root = json_pack("{s:O}", "results", results);
        json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(root);
    }
    json_decref(results);
    free(ids);
    return code;
}

static int run(const char *name, const struct model_flags *f, const struct plan *p, bool json,
               struct mk_error *err)
{
    struct mk_session_options o = model_flags_session(f);
    int32_t most = p->prompt > p->gen ? p->prompt : p->gen, deepest = 0;
    struct mk_session *s = NULL;
    struct mk_model *m;
    int code;

    for (int32_t i = 0; i < p->n_depths; i++)
        deepest = p->depths[i] > deepest ? p->depths[i] : deepest;
    if (model_flags_open(&m, name, f, err))
        return err->code;
    if (!o.context)
        o.context = deepest + most;
    code = mk_session_open(&s, m, &o, err);
    if (!code)
        code = run_plan(m, s, p, deepest + most, json, err);
    mk_session_free(s);
    mk_model_free(m);
    return code;
}

/* "0,512,2048" */
static bool read_depths(const char *text, struct plan *p)
{
    char *end;
    long n;

    for (p->n_depths = 0; p->n_depths < MAX_DEPTHS; text = end + 1) {
        n = strtol(text, &end, 10);
        if (end == text || n < 0 || n > 1 << 24 || (*end && *end != ','))
            return false;
        p->depths[p->n_depths++] = (int32_t)n;
        if (!*end)
            return true;
    }
    return false;
}

int cmd_bench(int argc, char **argv)
{
    struct plan p = {.prompt = 512, .gen = 64, .repeat = 3};
    struct model_flags f = {0};
    const char *depths = "0";
    bool json = false;
    const struct cli_option options[] = {
        {"prompt", 0, CLI_I32, &p.prompt, "N", "tokens of prefill (512)", 0, 1 << 24, NULL},
        {"gen", 0, CLI_I32, &p.gen, "N", "tokens of decode (64)", 0, 1 << 24, NULL},
        {"depth", 0, CLI_STRING, &depths, "N,...", "tokens before them (0)", 0, 0, NULL},
        {"repeat", 0, CLI_I32, &p.repeat, "N", "medians of N runs (3)", 1, 64, NULL},
        {"json", 0, CLI_FLAG, &json, NULL, "print JSON", 0, 0, NULL},
        CLI_MODEL_OPTIONS(&f),
        {0}};
    const struct cli_syntax syntax = {
        .command = "bench",
        .arguments = "MODEL",
        .about = "Measures tokens a second: of a prompt computed at once, and of tokens computed\n"
                 "one by one, behind contexts of the given depths. Compare on a quiet machine.",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    struct mk_error err;
    int n, status = cli_parse(&syntax, argc, argv, &n);

    if (status != CLI_RUN)
        return status;
    if (!read_depths(depths, &p))
        return cli_usage("bench", "--depth wants up to %d numbers, with commas between",
                         MAX_DEPTHS);
    return run(argv[1], &f, &p, json, &err) ? cli_fail(&err) : 0;
}
