/* data_build.c: `minke data build`: texts become shards, and what was dropped is told. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "cli/cli.h"
#include "cli/data.h"
#include "cli/open_tokenizer.h"
#include "cli/progress.h"
#include "formats/token_shard.h"
#include "train/data_build.h"

#define MAX_NAME 200

struct builder {
    const char *tokenizer, *out, *name, *field, *separator, *template;
    int format; /* 0 text, 1 chat, 2 pairs */
    bool no_filter, keep_copies, no_near, skip_bad, json, quiet;
    float fim, threshold;
    uint64_t seed, shard_tokens;
    int32_t threads;
    struct progress bar;
};

/* ---- The report ------------------------------------------------------------------------------ */

struct dropped {
    const char *why;
    int64_t n, n_bytes; /* documents */
};

enum { N_DROPPED = QUALITY_N + 1 }; /* the filters, and two kinds of copies */

/* Every reason, those that hit nothing too. */
static void list_dropped(struct dropped list[N_DROPPED], const struct data_build_report *r)
{
    int n = 0;

    for (int q = QUALITY_KEEP + 1; q < QUALITY_N; q++)
        list[n++] = (struct dropped){quality_name((enum quality)q), r->quality.n[q],
                                     r->quality.n_bytes[q]};
    list[n++] = (struct dropped){"exact copy", r->dedup.n_exact, r->dedup.exact_bytes};
    list[n++] = (struct dropped){"near copy", r->dedup.n_near, r->dedup.near_bytes};
}

int data_report_json(const struct data_build_report *r, const char *dir, const char *name,
                     struct mk_error *err)
{
    struct dropped list[N_DROPPED];
    json_t *dropped = json_object(), *shards = json_array(), *all;
    char path[4096 + MAX_NAME], *text;

    list_dropped(list, r);
    for (int i = 0; i < N_DROPPED; i++)
        json_object_set_new(dropped, list[i].why,
                            json_pack("{s:I, s:I}", "documents", (json_int_t)list[i].n, "bytes",
                                      (json_int_t)list[i].n_bytes));
    for (int32_t i = 0; i < r->n_shards; i++) {
        snprintf(path, sizeof path, "%s/%s-%05d.tokens", dir, name, i);
        json_array_append_new(shards, json_string(path));
    }
    all = json_pack("{s:{s:I, s:I, s:I, s:I, s:I}, s:o, s:{s:I, s:I, s:I, s:I}, s:o}", "read",
                    "files", (json_int_t)r->read.n_files, "documents",
                    (json_int_t)r->read.n_documents, "bytes", (json_int_t)r->read.n_bytes,
                    "bad_lines", (json_int_t)r->read.n_bad, "empty", (json_int_t)r->read.n_empty,
                    "dropped", dropped, "written", "documents", (json_int_t)r->n_documents,
                    "tokens", (json_int_t)r->n_tokens, "learned", (json_int_t)r->n_learned,
                    "answers", (json_int_t)r->n_answers, "shards", shards);
    text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    if (!text)
        return mk_error_memory(err, 0);
    puts(text);
    free(text);
    return 0;
}

static void print_dropped(FILE *out, const struct data_build_report *r)
{
    struct dropped list[N_DROPPED];
    double n_read = r->read.n_documents > 0 ? (double)r->read.n_documents : 1;
    char bytes[16];

    list_dropped(list, r);
    for (int i = 0; i < N_DROPPED; i++) {
        if (!list[i].n)
            continue;
        progress_bytes(bytes, (uint64_t)list[i].n_bytes);
        fprintf(out, "dropped  %10lld  %-18s %5.1f %%  %8s\n", (long long)list[i].n, list[i].why,
                100 * (double)list[i].n / n_read, bytes);
    }
    if (r->read.n_bad)
        fprintf(out, "skipped  %10lld  lines that cannot be read\n", (long long)r->read.n_bad);
    if (r->read.n_empty)
        fprintf(out, "skipped  %10lld  empty documents\n", (long long)r->read.n_empty);
}

/* The error of an empty result names the reason that dropped most. */
static int nothing_left(const struct data_build_report *r, const char *path, struct mk_error *err)
{
    struct dropped list[N_DROPPED], most = {"", 0, 0};

    list_dropped(list, r);
    for (int i = 0; i < N_DROPPED; i++)
        if (list[i].n > most.n)
            most = list[i];
    if (!most.n)
        return mk_error_set(err, MK_EINVAL, "%s: there is no text in it", path);
    return mk_error_set(err, MK_EINVAL,
                        "%s: nothing is left of %lld documents, %lld were dropped as: %s", path,
                        (long long)r->read.n_documents, (long long)most.n, most.why);
}

/* What the conversations gave. */
static void print_learned(FILE *out, const struct data_build_report *r)
{
    fprintf(out, "         %10lld  of them learned (%.1f %%), in %lld answers\n",
            (long long)r->n_learned, 100 * (double)r->n_learned / (double)r->n_tokens,
            (long long)r->n_answers);
}

void data_report_print(FILE *out, const struct data_build_report *r, const char *dir,
                       const char *name)
{
    char bytes[16];

    progress_bytes(bytes, (uint64_t)r->read.n_bytes);
    fprintf(out, "read     %10lld  documents of %lld file%s  %s\n", (long long)r->read.n_documents,
            (long long)r->read.n_files, r->read.n_files == 1 ? "" : "s", bytes);
    print_dropped(out, r);
    fprintf(out, "wrote    %10lld  documents\n", (long long)r->n_documents);
    fprintf(out, "         %10lld  tokens in %d shard%s: %s/%s-00000.tokens%s\n",
            (long long)r->n_tokens, r->n_shards, r->n_shards == 1 ? "" : "s", dir, name,
            r->n_shards > 1 ? " and on" : "");
    if (r->n_answers)
        print_learned(out, r);
}

/* ---- Building -------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void interrupt(int sign)
{
    (void)sign;
    interrupted = 1;
}

static int show(void *user, uint64_t done, uint64_t total)
{
    struct builder *b = user;

    progress_show(&b->bar, b->name, done, total);
    return interrupted;
}

/* "corpus/web.jsonl.zst" -> "web". */
static int name_of(char name[MAX_NAME], const char *path, struct mk_error *err)
{
    size_t end = strlen(path), begin, dot;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--)
        ;
    for (dot = begin + 1; dot < end && path[dot] != '.'; dot++)
        ;
    if (begin == end || path[begin] == '.' || dot - begin >= MAX_NAME)
        return mk_error_set(err, MK_EINVAL, "%s: gives the shards no name, say --name", path);
    snprintf(name, MAX_NAME, "%.*s", (int)(dot - begin), path + begin);
    return 0;
}

/* The folder is there, and no shards of this name are in it. */
static int make_room(const struct builder *b, struct mk_error *err)
{
    char path[4096];

    if (strlen(b->out) + strlen(b->name) + 16 >= sizeof path)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", b->out);
    if (mkdir(b->out, 0777) && errno != EEXIST)
        return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", b->out, strerror(errno));
    snprintf(path, sizeof path, "%s/%s-00000.tokens", b->out, b->name);
    if (access(path, F_OK) == 0)
        return mk_error_set(err, MK_EINVAL,
                            "%s: is there already: remove it, or say another --name", path);
    return 0;
}

static struct data_build_options options_of(struct builder *b, const struct tokenizer *t,
                                            const char *const *paths, int n_paths)
{
    struct data_build_options o = data_build_defaults(t);

    o.name = b->name;
    o.paths = paths;
    o.n_paths = n_paths;
    if (b->field)
        o.text.field = b->field;
    o.text.separator = b->separator;
    o.text.skip_bad = b->skip_bad;
    if (b->no_filter)
        o.quality = (struct quality_options){0}; /* what is no UTF-8 is dropped in any case */
    o.drop_copies = !b->keep_copies;
    o.dedup.near = !b->no_near;
    o.dedup.threshold = (double)b->threshold;
    o.fim_rate = (double)b->fim;
    o.seed = b->seed;
    o.shard_tokens = (int64_t)b->shard_tokens;
    o.progress = show;
    o.progress_user = b;
    return o;
}

/* --format into `chat`, or nothing for texts. The kind of the model is not known here: of R1's
 * twins the first is taken unless --chat-template says. */
static int read_format(const struct builder *b, const struct tokenizer *t, struct chat_data *chat,
                       struct data_build_options *o, struct mk_error *err)
{
    if (b->format == 0)
        return 0;
    o->chat = chat;
    return chat_data_init(chat, t, b->template, NULL, b->format == 2, err);
}

static int build(struct builder *b, const struct tokenizer *t, const char *const *paths,
                 int n_paths, struct mk_error *err)
{
    struct data_build_options o = options_of(b, t, paths, n_paths);
    struct chat_data chat;
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESETHAND};
    struct data_build_report r;
    struct exec *ex;
    int rc;

    if (read_format(b, t, &chat, &o, err) || make_room(b, err) ||
        exec_create(&ex, b->threads ? b->threads : exec_cores(), err))
        return err->code;
    sigaction(SIGINT, &action, NULL);
    progress_init(&b->bar, stderr, b->quiet || b->json);
    rc = data_build(t, &o, ex, b->out, &r, err);
    progress_clear(&b->bar);
    exec_free(ex);
    if (rc)
        return rc;
    if (r.n_tokens == 0)
        return nothing_left(&r, paths[0], err);
    if (b->json)
        rc = data_report_json(&r, b->out, b->name, err);
    else if (!b->quiet)
        data_report_print(stdout, &r, b->out, b->name);
    return rc;
}

static int run(struct builder *b, char **paths, int n_paths, struct mk_error *err)
{
    struct tokenizer *t = NULL;
    char name[MAX_NAME];
    int rc = b->name ? 0 : name_of(name, paths[0], err);

    if (rc)
        return rc;
    if (!b->name)
        b->name = name;
    if (!*b->name || strchr(b->name, '/') || strlen(b->name) >= MAX_NAME)
        return mk_error_set(err, MK_EINVAL, "--name is empty, too long, or holds a '/'");
    rc = cli_open_tokenizer(&t, b->tokenizer, err);
    if (!rc)
        rc = build(b, t, (const char *const *)paths, n_paths, err);
    tokenizer_free(t);
    return rc;
}

/* A recipe says itself where texts, vocabulary and shards are. */
static bool is_recipe(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml"));
}

static int from_recipe(const struct builder *b, const struct cli_list *sets, const char *path)
{
    const struct data_recipe d = {sets, b->threads, b->json, b->quiet};
    struct mk_error err = {0};

    if (b->tokenizer || b->out || b->name)
        return cli_usage("data build",
                         "%s is a recipe: it says what --tokenizer, --out and --name would", path);
    return data_build_recipe(&d, path, &err) ? cli_fail(&err) : 0;
}

int data_build_command(int argc, char **argv)
{
    struct cli_list sets = {0};
    struct builder b = {.threshold = 0.8f, .seed = 1, .shard_tokens = (uint64_t)1 << 27};
    const struct cli_option options[] = {
        {"tokenizer", 't', CLI_STRING, &b.tokenizer, "MODEL",
         "a folder with tokenizer.json, a .gguf file, a name of the store", 0, 0, NULL},
        {"out", 'o', CLI_STRING, &b.out, "DIR", "the folder for the shards", 0, 0, NULL},
        {"set", 's', CLI_LIST, &sets, "KEY=VALUE", "over a recipe", 0, 0, NULL},
        {"name", 0, CLI_STRING, &b.name, "NAME", "of the source (the first PATH's)", 0, 0, NULL},
        {"field", 0, CLI_STRING, &b.field, "NAME", "of JSONL objects, with the text (text)", 0, 0,
         NULL},
        {"format", 'f', CLI_CHOICE, &b.format, "FORMAT",
         "text, chat (lists of messages), pairs (of answers)", 0, 0, "text|chat|pairs"},
        {"chat-template", 0, CLI_STRING, &b.template, "NAME",
         "of conversations (the tokenizer's own)", 0, 0, NULL},
        {"separator", 0, CLI_STRING, &b.separator, "LINE",
         "parts documents of plain text; \"\": a blank line; else a file is one", 0, 0, NULL},
        {"no-filter", 0, CLI_FLAG, &b.no_filter, NULL, "keep what is hardly text", 0, 0, NULL},
        {"keep-copies", 0, CLI_FLAG, &b.keep_copies, NULL, "keep repeated documents", 0, 0, NULL},
        {"no-near", 0, CLI_FLAG, &b.no_near, NULL, "drop exact copies alone", 0, 0, NULL},
        {"near", 0, CLI_FLOAT, &b.threshold, "SHARE", "common shingles of a near copy (0.8)", 0.01,
         1, NULL},
        {"fim", 0, CLI_FLOAT, &b.fim, "RATE", "documents with the middle filled in last (0)", 0, 1,
         NULL},
        {"seed", 0, CLI_U64, &b.seed, "N", "of --fim (1)", 0, 0, NULL},
        {"shard-tokens", 0, CLI_U64, &b.shard_tokens, "N", "of a shard (134217728)", 0, 0, NULL},
        {"skip-bad", 0, CLI_FLAG, &b.skip_bad, NULL, "pass over broken JSONL lines", 0, 0, NULL},
        {"threads", 0, CLI_I32, &b.threads, "N", "one a core unless given", 0, MK_MAX_THREADS,
         NULL},
        {"json", 0, CLI_FLAG, &b.json, NULL, "the report as JSON", 0, 0, NULL},
        {"quiet", 'q', CLI_FLAG, &b.quiet, NULL, "no progress, no report", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        "data build", "PATH...|RECIPE.yaml",
        "Tokenises texts into shards that minke train maps, without copies and what is\n"
        "hardly text, and reports what was dropped and why. PATH is text, .jsonl, .gz or\n"
        ".zst of either, or a folder. The shards do not depend on the number of threads.\n"
        "A recipe's vocabulary and shards go where its run will find them.\n\n"
        "example: minke data build -t smollm2 -o data corpus/",
        1, 1 << 20, options};
    struct mk_error err = {0};
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (n_args == 1 && is_recipe(argv[1]))
        return from_recipe(&b, &sets, argv[1]);
    if (!b.tokenizer || !b.out)
        return cli_usage("data build", "--%s is missing", b.tokenizer ? "out" : "tokenizer");
    if (b.shard_tokens < 1 || b.shard_tokens > (uint64_t)TOKEN_SHARD_MAX_TOKENS)
        return cli_usage("data build", "--shard-tokens: not within 1 and %lld",
                         (long long)TOKEN_SHARD_MAX_TOKENS);
    return run(&b, argv + 1, n_args, &err) ? cli_fail(&err) : 0;
}
