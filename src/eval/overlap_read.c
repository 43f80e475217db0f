/* overlap_read.c: the documents of texts and of token shards. */
#include <fts.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "eval/overlap.h"
#include "formats/text_source.h"
#include "formats/token_shard.h"

#define PIECE 4096 /* ids at a time */
#define SUFFIX ".tokens"

struct reader {
    struct overlap *o;
    const struct tokenizer *t;
    int32_t source;
    bool (*stop)(void *user);
    void *user;
};

static int stopped(const struct reader *r, struct mk_error *err)
{
    return r->stop && r->stop(r->user) ? mk_error_set(err, MK_ECANCELLED, "stopped") : 0;
}

static void feed_text(const struct reader *r, const char *text, size_t n)
{
    overlap_feed(r->o, text, n, r->source);
    overlap_feed(r->o, " ", 1, r->source); /* the last word has ended */
}

/* ---- Shards ---------------------------------------------------------------------------------- */

static void feed_ids(const struct reader *r, const int32_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        size_t bytes;
        const char *text = tokenizer_bytes(r->t, ids[i], false, &bytes);

        if (bytes)
            overlap_feed(r->o, text, bytes, r->source);
        else
            overlap_feed(r->o, " ", 1, r->source); /* a control token parts words */
    }
}

static int read_shard(const struct reader *r, const char *path, struct mk_error *err)
{
    const struct vocab *v = tokenizer_vocab(r->t);
    struct token_shard_key key = {.n_vocab = v->n_tokens};
    struct token_shard s;
    int32_t ids[PIECE];
    int rc;

    if (vocab_fingerprint(v, key.fingerprint, err) || token_shard_open(&s, path, &key, err))
        return err->code;
    rc = 0;
    for (int64_t d = 0; !rc && d < s.n_documents; d++) {
        for (int64_t at = 0, n, length = token_shard_length(&s, d); at < length; at += n) {
            n = length - at < PIECE ? length - at : PIECE;
            token_shard_read(&s, d, at, n, ids);
            feed_ids(r, ids, n);
        }
        feed_text(r, "", 0);
        overlap_end_document(r->o);
        rc = stopped(r, err);
    }
    token_shard_close(&s);
    return rc;
}

/* ---- Texts ----------------------------------------------------------------------------------- */

static void feed_json(const struct reader *r, const json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;

    if (json_is_string(value)) {
        feed_text(r, json_string_value(value), json_string_length(value));
        overlap_end_document(r->o); /* a run does not go from one string into the next */
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
        feed_json(r, member);
    json_array_foreach(value, i, member)
        feed_json(r, member);
}

static void feed_document(const struct reader *r, const struct text_document *d)
{
    if (d->object)
        feed_json(r, d->object);
    else if (d->text)
        feed_text(r, d->text, d->n);
    for (size_t i = 0; i < d->n_messages; i++)
        feed_text(r, d->messages[i].content, d->messages[i].n);
    overlap_end_document(r->o);
}

static bool is_jsonl(const char *path)
{
    return strstr(path, ".jsonl") || strstr(path, ".ndjson");
}

static int read_texts(const struct reader *r, const char *path, struct mk_error *err)
{
    struct text_source_options options = text_source_defaults();
    struct text_source *s;
    struct text_document d;
    bool more = true;
    struct stat st;
    int rc;

    options.objects = is_jsonl(path) && !stat(path, &st) && S_ISREG(st.st_mode);
    if (text_source_open(&s, path, &options, err))
        return err->code;
    while (!(rc = text_source_next(s, &d, &more, err)) && more) {
        feed_document(r, &d);
        if ((rc = stopped(r, err)))
            break;
    }
    text_source_close(s);
    return rc;
}

/* ---- What lies at a path --------------------------------------------------------------------- */

static bool is_shard(const char *path)
{
    size_t n = strlen(path), m = strlen(SUFFIX);

    return n > m && !strcmp(path + n - m, SUFFIX);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Shards, in the order of their names; *any: there was one. */
static int read_shards(const struct reader *r, const char *path, bool *any, struct mk_error *err)
{
    char *copy = strdup(path), *roots[] = {copy, NULL};
    FTS *tree = copy ? fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name) : NULL;
    FTSENT *e;
    int rc = tree ? 0 : mk_error_memory(err, strlen(path) + 1);

    while (!rc && (e = fts_read(tree)))
        if (e->fts_info == FTS_F && is_shard(e->fts_path)) {
            *any = true;
            rc = read_shard(r, e->fts_path, err);
        }
    if (tree)
        fts_close(tree);
    free(copy);
    return rc;
}

int overlap_read(struct overlap *o, const char *path, int32_t source, const struct tokenizer *t,
                 bool (*stop)(void *user), void *user, struct mk_error *err)
{
    const struct reader r = {o, t, source, stop, user};
    bool any = false;

    if (read_shards(&r, path, &any, err))
        return err->code;
    return any ? 0 : read_texts(&r, path, err);
}
