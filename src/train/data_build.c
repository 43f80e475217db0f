/* data_build.c: reads a batch of documents, tokenises it on all threads, writes it in order. */
#include "train/data_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/token_shard.h"
#include "train/fim.h"

#define BATCH_DOCUMENTS 1024
#define BATCH_BYTES ((size_t)8 << 20)

struct item {
    size_t begin, n;          /* in the batch's text */
    uint64_t number;          /* of the document in the source */
    struct ids ids;           /* owned; reused */
    struct mk_error err;      /* code 0: fine */
};

struct build {
    const struct tokenizer *t;
    const struct data_build_options *o;
    struct data_build_report *report;
    struct exec *ex;
    const char *dir;
    struct fim fim;
    struct token_shard_key key;
    struct dedup *dedup;                 /* owned; NULL: copies stay */
    struct token_shard_writer shard;     /* open while shard.file.path is not NULL */
    char *text;                          /* [capacity] of the batch; owned */
    size_t n_bytes, capacity;
    struct item *items;                  /* [BATCH_DOCUMENTS] owned */
    int64_t n_items;
    uint64_t n_read;
    int64_t stored_total;                /* bytes of all files */
};

struct data_build_options data_build_defaults(const struct tokenizer *t)
{
    const struct vocab *v = tokenizer_vocab(t);

    return (struct data_build_options){.text = text_source_defaults(),
                                       .filter = true,
                                       .drop_copies = true,
                                       .quality = quality_defaults(),
                                       .dedup = dedup_defaults(),
                                       .seed = 1,
                                       .add_bos = v->bos_id >= 0,
                                       .add_eos = v->eos_id >= 0,
                                       .shard_tokens = (int64_t)1 << 27};
}

/* ---- writing --------------------------------------------------------------------------------- */

static int open_shard(struct build *b, struct mk_error *err)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s-%05d.tokens", b->dir, b->o->name,
                     b->report->n_shards);

    if (n < 0 || (size_t)n >= sizeof path)
        return mk_error_set(err, MK_ELIMIT, "%s: path is too long", b->dir);
    return token_shard_create(&b->shard, path, &b->key, err);
}

static int close_shard(struct build *b, struct mk_error *err)
{
    if (!b->shard.file.path)
        return 0;
    b->report->n_shards++;
    return token_shard_finish(&b->shard, err);
}

static int write_item(struct build *b, const struct item *item, struct mk_error *err)
{
    if (item->err.code) {
        *err = item->err;
        return err->code;
    }
    if (item->ids.n == 0)
        return 0;
    if (!b->shard.file.path && open_shard(b, err))
        return err->code;
    if (token_shard_append(&b->shard, item->ids.data, item->ids.n, err))
        return err->code;
    b->report->n_documents++;
    b->report->n_tokens += (int64_t)item->ids.n;
    return b->shard.n_tokens >= b->o->shard_tokens ? close_shard(b, err) : 0;
}

/* ---- tokenising ------------------------------------------------------------------------------ */

/* One document by one thread. */
static void encode_item(void *context, int64_t task, int worker)
{
    struct build *b = context;
    struct item *item = &b->items[task];
    const struct vocab *v = tokenizer_vocab(b->t);

    (void)worker;
    item->ids.n = 0;
    item->err.code = 0;
    if ((b->o->add_bos && ids_append(&item->ids, v->bos_id, &item->err)) ||
        fim_encode(&b->fim, b->t, item->number, b->text + item->begin, item->n, &item->ids,
                   &item->err))
        return;
    if (b->o->add_eos)
        ids_append(&item->ids, v->eos_id, &item->err);
}

static int flush_batch(struct build *b, struct mk_error *err)
{
    int rc = 0;

    exec_run(b->ex, b->n_items, encode_item, b);
    for (int64_t i = 0; !rc && i < b->n_items; i++)
        rc = write_item(b, &b->items[i], err);
    b->n_items = 0;
    b->n_bytes = 0;
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int keeps(struct build *b, const struct text_document *d, bool *keep, struct mk_error *err)
{
    struct dedup_verdict v = {.kind = DEDUP_KEEP};
    enum quality q = QUALITY_KEEP;
    int rc = b->o->filter
                 ? quality_check(&b->o->quality, d->text, d->n, &q, &b->report->quality, err)
                 : 0;

    if (!rc && q == QUALITY_KEEP && b->dedup)
        rc = dedup_add(b->dedup, d->text, d->n, &v, err);
    *keep = q == QUALITY_KEEP && v.kind == DEDUP_KEEP;
    return rc;
}

static int add_document(struct build *b, const struct text_document *d, struct mk_error *err)
{
    uint64_t number = b->n_read++;
    bool keep;
    int rc;

    if (!d->text)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: line %lld: a conversation: it is no text to pre-train on", d->path,
                            (long long)d->line);
    rc = keeps(b, d, &keep, err);
    if (rc || !keep)
        return rc;
    if (b->capacity - b->n_bytes < d->n) {
        size_t want = b->n_bytes + d->n + BATCH_BYTES;
        char *grown = realloc(b->text, want);

        if (!grown)
            return mk_error_memory(err, want);
        b->text = grown;
        b->capacity = want;
    }
    memcpy(b->text + b->n_bytes, d->text, d->n);
    b->items[b->n_items].begin = b->n_bytes;
    b->items[b->n_items].n = d->n;
    b->items[b->n_items++].number = number;
    b->n_bytes += d->n;
    return b->n_items == BATCH_DOCUMENTS || b->n_bytes >= BATCH_BYTES ? flush_batch(b, err) : 0;
}

static void add_counts(struct text_source_counts *all, struct text_source_counts c)
{
    all->n_files += c.n_files;
    all->n_documents += c.n_documents;
    all->n_bytes += c.n_bytes;
    all->n_bad += c.n_bad;
    all->n_empty += c.n_empty;
    all->stored_bytes += c.stored_bytes;
    all->stored_total += c.stored_total;
}

static int tell(const struct build *b, const struct text_source *s, struct mk_error *err)
{
    int64_t done = b->report->read.stored_bytes + text_source_counts(s).stored_bytes;

    if (b->o->progress &&
        b->o->progress(b->o->progress_user, (uint64_t)done, (uint64_t)b->stored_total))
        return mk_error_set(err, MK_ECANCELLED, "%s: stopped before its shards were whole",
                            b->o->name);
    return 0;
}

static int find_path(struct build *b, const char *path, struct mk_error *err)
{
    struct text_source *s;
    int rc = text_source_open(&s, path, &b->o->text, err);

    if (rc)
        return rc;
    b->stored_total += text_source_counts(s).stored_total;
    text_source_close(s);
    return 0;
}

static int add_path(struct build *b, const char *path, struct mk_error *err)
{
    struct text_document d;
    struct text_source *s;
    bool more = true;
    int rc = text_source_open(&s, path, &b->o->text, err);

    if (rc)
        return rc;
    while (!rc) {
        rc = text_source_next(s, &d, &more, err);
        if (rc || !more)
            break;
        rc = add_document(b, &d, err);
        if (!rc)
            rc = tell(b, s, err);
    }
    add_counts(&b->report->read, text_source_counts(s));
    text_source_close(s);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int start(struct build *b, struct mk_error *err)
{
    const struct vocab *v = tokenizer_vocab(b->t);

    if (!b->o->name || !*b->o->name || strchr(b->o->name, '/'))
        return mk_error_set(err, MK_EINVAL, "the name of a source may not be empty or hold a '/'");
    if (b->o->shard_tokens < 1)
        return mk_error_set(err, MK_EINVAL, "shards of %lld tokens", (long long)b->o->shard_tokens);
    if ((b->o->add_bos && v->bos_id < 0) || (b->o->add_eos && v->eos_id < 0))
        return mk_error_set(err, MK_EINVAL, "%s: the vocabulary has no %s token", v->name,
                            b->o->add_bos && v->bos_id < 0 ? "BOS" : "EOS");
    b->key.n_vocab = v->n_tokens;
    if (vocab_fingerprint(v, b->key.fingerprint, err) ||
        fim_init(&b->fim, b->t, b->o->fim_rate, b->o->seed, err) ||
        (b->o->drop_copies && dedup_create(&b->dedup, &b->o->dedup, err)))
        return err->code;
    b->items = calloc(BATCH_DOCUMENTS, sizeof *b->items);
    return b->items ? 0 : mk_error_memory(err, BATCH_DOCUMENTS * sizeof *b->items);
}

static void release(struct build *b)
{
    for (int i = 0; b->items && i < BATCH_DOCUMENTS; i++)
        ids_release(&b->items[i].ids);
    free(b->items);
    free(b->text);
    dedup_free(b->dedup);
    token_shard_discard(&b->shard);
}

int data_build(const struct tokenizer *t, const struct data_build_options *o, struct exec *ex,
               const char *dir, struct data_build_report *report, struct mk_error *err)
{
    struct build b = {.t = t, .o = o, .report = report, .ex = ex, .dir = dir};
    int rc;

    *report = (struct data_build_report){0};
    rc = start(&b, err);
    for (int i = 0; !rc && i < o->n_paths; i++)
        rc = find_path(&b, o->paths[i], err);
    for (int i = 0; !rc && i < o->n_paths; i++)
        rc = add_path(&b, o->paths[i], err);
    if (!rc)
        rc = flush_batch(&b, err);
    if (!rc)
        rc = close_shard(&b, err);
    if (b.dedup)
        report->dedup = dedup_report(b.dedup);
    release(&b);
    return rc;
}
