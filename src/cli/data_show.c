/* data_show.c: `minke data show`: the documents of a shard as text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/chat_screen.h"
#include "cli/cli.h"
#include "cli/data.h"
#include "cli/open_tokenizer.h"
#include "cli/safe_text.h"
#include "formats/token_shard.h"

#define CHUNK 4096 /* ids at a time */
#define DIM "\x1b[2m"
#define SPECIAL "\x1b[35m"
#define NORMAL "\x1b[0m"

struct shower {
    const char *tokenizer;
    uint64_t first, n;
    bool ids;
    bool ansi;
};

/* Printed now: a chunk's text, or what stands before another colour begins. */
static void flush(struct buf *b)
{
    if (b->n)
        safe_text_print(stdout, b->data);
    buf_clear(b);
}

/* A special token stands in its own colour. */
static int show_id(const struct shower *s, const struct vocab *v, struct decoder *d, int32_t id,
                   struct buf *b, struct mk_error *err)
{
    bool coloured = s->ansi && vocab_is_control(v, id);
    int rc;

    if (coloured) {
        if (decoder_finish(d, b, err))
            return err->code;
        flush(b);
        fputs(SPECIAL, stdout);
    }
    rc = decoder_push(d, id, b, err);
    if (coloured && !rc) {
        flush(b);
        fputs(NORMAL, stdout);
    }
    return rc;
}

static int show_text(const struct shower *s, const struct tokenizer *t, const int32_t *ids,
                     int64_t n, struct decoder *d, struct mk_error *err)
{
    const struct vocab *v = tokenizer_vocab(t);
    struct buf b;
    int rc = 0;

    buf_init(&b, SIZE_MAX / 4);
    for (int64_t i = 0; !rc && i < n; i++)
        rc = show_id(s, v, d, ids[i], &b, err);
    if (!rc)
        flush(&b);
    buf_release(&b);
    return rc;
}

static int show_document(const struct shower *s, const struct tokenizer *t,
                         const struct token_shard *shard, int64_t document, struct mk_error *err)
{
    int64_t n = token_shard_length(shard, document);
    int32_t ids[CHUNK];
    struct decoder d;
    struct buf rest;
    int rc = 0;

    printf("%s--- document %" PRId64 ", %" PRId64 " tokens%s\n", s->ansi ? DIM : "", document, n,
           s->ansi ? NORMAL : "");
    if (t)
        decoder_init(&d, t, true);
    for (int64_t at = 0; !rc && at < n; at += CHUNK) {
        int64_t part = n - at < CHUNK ? n - at : CHUNK;

        token_shard_read(shard, document, at, part, ids);
        if (t)
            rc = show_text(s, t, ids, part, &d, err);
        for (int64_t i = 0; !t && i < part; i++)
            printf("%d%c", ids[i], at + i + 1 < n ? ' ' : '\n');
    }
    if (!t || rc)
        return rc;
    buf_init(&rest, 64);
    rc = decoder_finish(&d, &rest, err);
    if (!rc)
        flush(&rest);
    putchar('\n');
    buf_release(&rest);
    return rc;
}

static int show_shard(const struct shower *s, const char *path, struct mk_error *err)
{
    struct token_shard_key key = {.n_vocab = 0};
    struct tokenizer *t = NULL;
    struct token_shard shard;
    int64_t end;
    int rc = s->ids ? 0 : cli_open_tokenizer(&t, s->tokenizer, err);

    if (!rc && t) {
        key.n_vocab = tokenizer_vocab(t)->n_tokens;
        rc = vocab_fingerprint(tokenizer_vocab(t), key.fingerprint, err);
    }
    if (!rc)
        rc = token_shard_open(&shard, path, t ? &key : NULL, err);
    if (rc) {
        tokenizer_free(t);
        return rc;
    }
    if (s->first >= (uint64_t)shard.n_documents)
        rc = mk_error_set(err, MK_EINVAL, "%s: document %" PRIu64 ": there are %" PRId64
                          ", counted from 0", path, s->first, shard.n_documents);
    end = s->n < (uint64_t)shard.n_documents - s->first ? (int64_t)(s->first + s->n)
                                                        : shard.n_documents;
    for (int64_t i = (int64_t)s->first; !rc && i < end; i++)
        rc = show_document(s, t, &shard, i, err);
    token_shard_close(&shard);
    tokenizer_free(t);
    return rc;
}

int data_show_command(int argc, char **argv)
{
    struct shower s = {.n = 10, .ansi = chat_screen_has_ansi(stdout)};
    const struct cli_option options[] = {
        {"tokenizer", 't', CLI_STRING, &s.tokenizer, "MODEL",
         "the one that the shard was made with", 0, 0, NULL},
        {"first", 0, CLI_U64, &s.first, "N", "document to begin with (0)", 0, 0, NULL},
        {"documents", 'n', CLI_U64, &s.n, "N", "how many (10)", 0, 0, NULL},
        {"ids", 0, CLI_FLAG, &s.ids, NULL, "token ids instead of text", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        "data show", "SHARD",
        "Prints documents of a shard back as text, special tokens in colour on a terminal.\n"
        "The whole shard is checked first.",
        1, 1, options};
    struct mk_error err = {0};
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (!s.tokenizer && !s.ids)
        return cli_usage("data show", "--tokenizer is missing (or say --ids)");
    return show_shard(&s, argv[1], &err) ? cli_fail(&err) : 0;
}
