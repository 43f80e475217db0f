/* data_build.c: reads a batch of documents, tokenises it on all threads, writes it in order. */
#include "train/data_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "formats/token_shard.h"
#include "train/fim.h"

#define BATCH_DOCUMENTS 1024
#define BATCH_BYTES ((size_t)8 << 20)

struct item {
    size_t begin, n;          /* in the batch's text: a text, or a record of chat_data.h */
    size_t path;              /* of its file, in the batch's text */
    int64_t line;
    uint64_t number;          /* of the document in the source */
    struct chat_ids out;      /* owned; reused */
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
    struct buf text;                     /* of the batch */
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
    return token_shard_create(&b->shard, path, &b->key,
                              !b->o->chat          ? TOKEN_SHARD_TEXT
                              : b->o->chat->pairs ? TOKEN_SHARD_PAIRS
                                                  : TOKEN_SHARD_CHAT,
                              err);
}

static int close_shard(struct build *b, struct mk_error *err)
{
    if (!b->shard.file.path)
        return 0;
    b->report->n_shards++;
    return token_shard_finish(&b->shard, err);
}

/* ids [begin, end) of the item as one document. */
static int write_document(struct build *b, const struct item *item, size_t begin, size_t end,
                          struct mk_error *err)
{
    const unsigned char *learned = b->o->chat ? item->out.learned + begin : NULL;

    if (token_shard_append(&b->shard, item->out.ids.data + begin, learned, end - begin, err))
        return err->code;
    b->report->n_documents++;
    b->report->n_tokens += (int64_t)(end - begin);
    for (size_t i = 0; learned && i < end - begin; i++)
        b->report->n_learned += learned[i];
    return 0;
}

/* A conversation that cannot be learned from. */
static int bad_line(struct build *b, const char *path, int64_t line, const char *why,
                    struct mk_error *err)
{
    b->report->read.n_bad++;
    return b->o->text.skip_bad ? 0
                               : mk_error_set(err, MK_EFORMAT, "%s: line %lld: %s", path,
                                              (long long)line, why);
}

static int write_item(struct build *b, const struct item *item, struct mk_error *err)
{
    size_t n = item->out.ids.n, n_first = b->o->chat ? item->out.n_chosen : n;

    if (item->err.code == MK_EINVAL && b->o->chat)
        return bad_line(b, b->text.data + item->path, item->line, item->err.text, err);
    if (item->err.code) {
        *err = item->err;
        return err->code;
    }
    if (n == 0)
        return 0;
    if (!b->shard.file.path && open_shard(b, err))
        return err->code;
    if (write_document(b, item, 0, n_first, err) ||
        (n > n_first && write_document(b, item, n_first, n, err)))
        return err->code;
    b->report->n_answers += item->out.n_answers;
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
    item->out.ids.n = 0;
    item->err.code = 0;
    if (b->o->chat) {
        chat_record_encode(b->o->chat, b->text.data + item->begin, item->n, &item->out, &item->err);
        return;
    }
    if ((b->o->add_bos && ids_append(&item->out.ids, v->bos_id, &item->err)) ||
        fim_encode(&b->fim, b->t, item->number, b->text.data + item->begin, item->n,
                   &item->out.ids, &item->err))
        return;
    if (b->o->add_eos)
        ids_append(&item->out.ids, v->eos_id, &item->err);
}

static int flush_batch(struct build *b, struct mk_error *err)
{
    int rc = 0;

    exec_run(b->ex, b->n_items, encode_item, b);
    for (int64_t i = 0; !rc && i < b->n_items; i++)
        rc = write_item(b, &b->items[i], err);
    b->n_items = 0;
    buf_clear(&b->text);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* text [n]: a text, or a record. */
static int keeps(struct build *b, const char *text, size_t n, bool *keep, struct mk_error *err)
{
    struct dedup_verdict v = {.kind = DEDUP_KEEP};
    enum quality q = QUALITY_KEEP;
    int rc = b->o->filter && !b->o->chat
                 ? quality_check(&b->o->quality, text, n, &q, &b->report->quality, err)
                 : 0;

    if (!rc && q == QUALITY_KEEP && b->dedup)
        rc = dedup_add(b->dedup, text, n, &v, err);
    *keep = q == QUALITY_KEEP && v.kind == DEDUP_KEEP;
    return rc;
}

/* The text or record at the end of the batch's text. */
static int put_document(struct build *b, const struct text_document *d, bool *fine,
                        struct mk_error *err)
{
    char room[160];
    const char *why;

    *fine = true;
    if (!b->o->chat)
        return d->text ? buf_append(&b->text, d->text, d->n, err)
                       : mk_error_set(err, MK_EUNSUPPORTED,
                                      "%s: line %lld: a conversation, where texts are wanted: say "
                                      "format chat",
                                      d->path, (long long)d->line);
    why = chat_data_check(b->o->chat, d, room);
    *fine = !why;
    return why ? bad_line(b, d->path, d->line, why, err) : chat_record_write(&b->text, d, err);
}

static int add_document(struct build *b, const struct text_document *d, struct mk_error *err)
{
    struct item *item = &b->items[b->n_items];
    uint64_t number = b->n_read++;
    size_t path = b->text.n, begin;
    bool keep;
    int rc = buf_append(&b->text, d->path, strlen(d->path) + 1, err);

    begin = b->text.n;
    if (!rc)
        rc = put_document(b, d, &keep, err);
    if (!rc && keep)
        rc = keeps(b, b->text.data + begin, b->text.n - begin, &keep, err);
    if (rc)
        return rc;
    if (!keep) {
        b->text.n = path;
        return 0;
    }
    item->begin = begin;
    item->n = b->text.n - begin;
    item->path = path;
    item->line = d->line;
    item->number = number;
    b->n_items++;
    return b->n_items == BATCH_DOCUMENTS || b->text.n >= BATCH_BYTES ? flush_batch(b, err) : 0;
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
    struct text_source_options text = b->o->text;
    int rc;

    text.pairs = b->o->chat && b->o->chat->pairs;
    rc = text_source_open(&s, path, &text, err);
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
    struct dedup_options dedup = b->o->dedup;

    buf_init(&b->text, SIZE_MAX / 4);
    dedup.near = dedup.near && !b->o->chat;
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
        (b->o->drop_copies && dedup_create(&b->dedup, &dedup, err)))
        return err->code;
    b->fim.specials = b->o->specials;
    b->items = calloc(BATCH_DOCUMENTS, sizeof *b->items);
    return b->items ? 0 : mk_error_memory(err, BATCH_DOCUMENTS * sizeof *b->items);
}

static void release(struct build *b)
{
    for (int i = 0; b->items && i < BATCH_DOCUMENTS; i++)
        chat_ids_release(&b->items[i].out);
    free(b->items);
    buf_release(&b->text);
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
