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
#include "train/corpus.h"

#define CHUNK 4096 /* ids at a time */
#define DIM "\x1b[2m"
#define NORMAL "\x1b[0m"

/* How a token stands: of texts all are plain but the control tokens; of conversations what is not
 * learned is dim, what is learned green. Without colours the learned text stands in brackets. */
enum style { PLAIN, CONTROL, READ, READ_CONTROL, LEARNED, LEARNED_CONTROL, N_STYLES };

struct shower {
    const char *tokenizer;
    uint64_t first, n;
    int32_t sequence; /* 0: whole documents */
    bool ids;
    bool ansi;
    /* of the document at hand */
    struct decoder decoder;
    struct buf text; /* not yet printed */
    enum style style;
};

static const char *begin_of(const struct shower *s, enum style style)
{
    static const char *const codes[N_STYLES] = {
        "", "\x1b[35m", DIM, "\x1b[2;35m", "\x1b[32m", "\x1b[1;32m"};

    return s->ansi ? codes[style] : style >= LEARNED ? "⟦" : "";
}

static const char *end_of(const struct shower *s, enum style style)
{
    return style == PLAIN ? "" : s->ansi ? NORMAL : style >= LEARNED ? "⟧" : "";
}

/* Ends one way of writing and begins another; `between` stands in neither. */
static int change_style(struct shower *s, const struct tokenizer *t, enum style style,
                        const char *between, struct mk_error *err)
{
    if (!s->ansi) /* brackets know of learned and not learned alone */
        style = style >= LEARNED ? LEARNED : PLAIN;
    if (style == s->style)
        return buf_append_string(&s->text, between, err);
    if (t && decoder_finish(&s->decoder, &s->text, err))
        return err->code;
    if (s->text.n)
        safe_text_print(stdout, s->text.data);
    buf_clear(&s->text);
    printf("%s%s%s", end_of(s, s->style), between, begin_of(s, style));
    s->style = style;
    return 0;
}

static enum style style_of(const struct token_shard *shard, bool control, bool learned)
{
    enum style style = !shard->mask ? PLAIN : learned ? LEARNED : READ;

    return style + (control ? 1 : 0);
}

/* ids [n] of a document from `at` on, and which of them are learned. */
static int show_chunk(struct shower *s, const struct tokenizer *t, const struct token_shard *shard,
                      const int32_t *ids, const unsigned char *learned, int64_t at,
                      int64_t n, struct mk_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        bool control = t && vocab_is_control(tokenizer_vocab(t), ids[i]);
        const char *between = t || at + i == 0 ? "" : " ";
        int rc = change_style(s, t, style_of(shard, control, learned[i]), between, err);

        if (!rc)
            rc = t ? decoder_push(&s->decoder, ids[i], &s->text, err)
                   : buf_printf(&s->text, err, "%d", ids[i]);
        if (rc)
            return rc;
    }
    return 0;
}

/* What is known of a document before it is read: its name, tokens, and how many are learned. */
static void show_head(const struct shower *s, const struct token_shard *shard, int64_t document,
                      int64_t n_shown)
{
    int64_t n = token_shard_length(shard, document), n_learned = 0;
    unsigned char learned;

    printf("%s--- ", s->ansi ? DIM : "");
    if (shard->kind == TOKEN_SHARD_PAIRS)
        printf("pair %" PRId64 " %s", document / 2, document % 2 ? "rejected" : "chosen");
    else
        printf("document %" PRId64, document);
    printf(", %" PRId64 " tokens", n);
    for (int64_t i = 1; shard->mask && i < n_shown; i++) {
        token_shard_read_learned(shard, document, i, 1, &learned);
        n_learned += learned;
    }
    if (shard->mask && n_shown > 0)
        printf(", %" PRId64 " learned", n_learned);
    if (n_shown == 0)
        printf(", left out: too long for a sequence");
    else if (n_shown < n)
        printf(", cut to %" PRId64 ": too long for a sequence", n_shown);
    printf("%s\n", s->ansi ? NORMAL : "");
}

/* Tokens that are trained on. A pair fits with both of its answers or not at all. */
static int64_t fit(const struct shower *s, const struct token_shard *shard, int64_t document)
{
    if (!s->sequence)
        return token_shard_length(shard, document);
    if (shard->kind == TOKEN_SHARD_PAIRS) {
        int64_t pair = document / 2 * 2;
        int64_t n = token_shard_length(shard, pair) + token_shard_length(shard, pair + 1);

        return n <= s->sequence ? token_shard_length(shard, document) : 0;
    }
    return corpus_fit(shard, document, s->sequence);
}

static int show_document(struct shower *s, const struct tokenizer *t,
                         const struct token_shard *shard, int64_t document, struct mk_error *err)
{
    int64_t n = fit(s, shard, document);
    unsigned char learned[CHUNK];
    int32_t ids[CHUNK];
    int rc = 0;

    show_head(s, shard, document, n);
    if (t)
        decoder_init(&s->decoder, t, true);
    for (int64_t at = 0; !rc && at < n; at += CHUNK) {
        int64_t part = n - at < CHUNK ? n - at : CHUNK;

        token_shard_read(shard, document, at, part, ids);
        token_shard_read_learned(shard, document, at, part, learned);
        rc = show_chunk(s, t, shard, ids, learned, at, part, err);
        if (!rc) {
            safe_text_print(stdout, s->text.n ? s->text.data : "");
            buf_clear(&s->text);
        }
    }
    if (!rc && t)
        rc = decoder_finish(&s->decoder, &s->text, err);
    if (!rc)
        rc = change_style(s, t, PLAIN, "", err);
    if (!rc && n > 0) {
        safe_text_print(stdout, s->text.n ? s->text.data : "");
        putchar('\n');
    }
    buf_clear(&s->text);
    return rc;
}

static int show_shard(struct shower *s, const char *path, struct mk_error *err)
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
    buf_init(&s->text, SIZE_MAX / 4);
    for (int64_t i = (int64_t)s->first; !rc && i < end; i++)
        rc = show_document(s, t, &shard, i, err);
    buf_release(&s->text);
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
        {"sequence", 0, CLI_I32, &s.sequence, "N",
         "as data.sequence of a recipe cuts what is too long", 2, 1 << 23, NULL},
        {"ids", 0, CLI_FLAG, &s.ids, NULL, "token ids instead of text", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        "data show", "SHARD",
        "Prints documents of a shard back as text, special tokens in colour on a\n"
        "terminal. Of conversations what is learned is green and what is only read\n"
        "dim; without colours the learned text stands between ⟦ and ⟧. The whole\n"
        "shard is checked first.",        1, 1, options};
    struct mk_error err = {0};
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (!s.tokenizer && !s.ids)
        return cli_usage("data show", "--tokenizer is missing (or say --ids)");
    return show_shard(&s, argv[1], &err) ? cli_fail(&err) : 0;
}
