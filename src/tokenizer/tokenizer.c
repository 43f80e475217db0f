/* tokenizer.c: builds the tables of a tokenizer from a vocabulary. */
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/alphabet.h"
#include "tokenizer/tables.h"

static const char block[] = "\xE2\x96\x81";

/* SPM: U+2581 becomes a space. Returns the bytes written, at most t.n. */
static size_t unblock(struct vocab_text t, char *out)
{
    size_t used = 0;

    for (uint32_t i = 0; i < t.n;) {
        if (t.n - i >= 3 && !memcmp(t.data + i, block, 3)) {
            out[used++] = ' ';
            i += 3;
        } else {
            out[used++] = t.data[i++];
        }
    }
    return used;
}

static bool is_added(enum token_kind kind)
{
    return kind == TOKEN_SPECIAL || kind == TOKEN_USER;
}

/* Bytes of one token, written to out; at most as many as its text has. */
static size_t token_bytes(const struct vocab *v, int32_t id, char *out)
{
    struct vocab_text t = v->texts[id];
    int byte = vocab_byte_value(t);
    int64_t n;

    if (v->kinds[id] == TOKEN_BYTE && byte >= 0) {
        out[0] = (char)byte;
        return 1;
    }
    if (!is_added(v->kinds[id])) {
        if (v->kind == VOCAB_SPM_BPE)
            return unblock(t, out);
        n = alphabet_decode(t.data, t.n, out);
        if (n >= 0)
            return (size_t)n;
    }
    memcpy(out, t.data, t.n);
    return t.n;
}

static int fill_bytes(struct tokenizer *t, struct mk_error *err)
{
    size_t total = 0, used = 0;

    for (int32_t i = 0; i < t->v.n_tokens; i++)
        total += t->v.texts[i].n;
    t->bytes = malloc((size_t)t->v.n_tokens * sizeof *t->bytes);
    t->bytes_memory = malloc(total + 1);
    if (!t->bytes || !t->bytes_memory)
        return mk_error_memory(err, total + (size_t)t->v.n_tokens * sizeof *t->bytes);
    for (int32_t i = 0; i < t->v.n_tokens; i++) {
        size_t n = token_bytes(&t->v, i, t->bytes_memory + used);

        t->bytes[i] = (struct vocab_text){t->bytes_memory + used, (uint32_t)n};
        used += n;
    }
    return 0;
}

static int fill_maps(struct tokenizer *t, struct mk_error *err)
{
    const struct vocab_text *spelling = t->v.kind == VOCAB_SPM_BPE ? t->v.texts : t->bytes;
    char scratch[1];

    if (text_map_init(&t->by_text, t->v.texts, t->v.n_tokens, err) ||
        text_map_init(&t->pieces, spelling, t->v.n_tokens, err))
        return err->code;
    for (int i = 0; i < 256; i++)
        t->byte_ids[i] = -1;
    for (int32_t i = 0; i < t->v.n_tokens; i++) {
        struct vocab_text s = spelling[i];

        text_map_add(&t->by_text, i);
        if (vocab_is_piece(&t->v, i)) {
            text_map_add(&t->pieces, i);
            if (s.n > t->longest_piece)
                t->longest_piece = s.n;
        }
        if (t->v.kinds[i] == TOKEN_BYTE && t->byte_ids[vocab_byte_value(t->v.texts[i])] < 0)
            t->byte_ids[vocab_byte_value(t->v.texts[i])] = i;
    }
    if (t->v.kind == VOCAB_BYTE_BPE)
        for (int i = 0; i < 256; i++) {
            scratch[0] = (char)i;
            t->byte_ids[i] = text_map_find(&t->pieces, scratch, 1);
        }
    return 0;
}

/* The id of l followed by r. -1: no such token. */
static int32_t joined(const struct tokenizer *t, struct vocab_text l, struct vocab_text r,
                      char *scratch)
{
    memcpy(scratch, l.data, l.n);
    memcpy(scratch + l.n, r.data, r.n);
    return text_map_find(&t->by_text, scratch, (size_t)l.n + r.n);
}

static int add_merge(struct tokenizer *t, int64_t rank, char *scratch, struct mk_error *err)
{
    struct vocab_text l = t->v.merges[rank][0], r = t->v.merges[rank][1];
    struct bpe_pair pair = {.left = text_map_find(&t->by_text, l.data, l.n),
                            .right = text_map_find(&t->by_text, r.data, r.n),
                            .merge = {(uint32_t)rank, -1}};

    if (pair.left < 0 || pair.right < 0)
        return mk_error_set(err, MK_EFORMAT, "%s: merge %lld names a text that is not a token",
                            t->v.name, (long long)rank);
    pair.merge.result = joined(t, l, r, scratch);
    if (pair.merge.result < 0)
        return mk_error_set(err, MK_EFORMAT, "%s: merge %lld makes a text that is not a token",
                            t->v.name, (long long)rank);
    if (!vocab_is_piece(&t->v, pair.merge.result))
        return 0; /* a control token: never out of plain text */
    if (bpe_table_add(&t->merges, pair))
        return mk_error_set(err, MK_EFORMAT, "%s: merge %lld is there twice", t->v.name,
                            (long long)rank);
    return 0;
}

static int fill_merges(struct tokenizer *t, struct mk_error *err)
{
    size_t longest = 0;
    char *scratch;
    int rc;

    for (int64_t i = 0; i < t->v.n_merges; i++)
        for (int k = 0; k < 2; k++)
            if (t->v.merges[i][k].n > longest)
                longest = t->v.merges[i][k].n;
    scratch = malloc(2 * longest + 1);
    rc = scratch ? bpe_table_init(&t->merges, t->v.n_merges, err)
                 : mk_error_memory(err, 2 * longest + 1);
    for (int64_t i = 0; !rc && i < t->v.n_merges; i++)
        rc = add_merge(t, i, scratch, err);
    free(scratch);
    return rc;
}

/* Most pieces of ordinary text are tokens, and merging them leads to just that token. Which ones is
 * found out here once, so that encoding needs a single look-up for them. */
static int fill_whole(struct tokenizer *t, struct mk_error *err)
{
    struct ids one = {0};
    struct encoder e = {.t = t, .out = &one};
    int rc = 0;

    t->whole = calloc((size_t)t->v.n_tokens, 1);
    if (!t->whole)
        return mk_error_memory(err, (size_t)t->v.n_tokens);
    for (int32_t i = 0; !rc && i < t->v.n_tokens; i++) {
        struct vocab_text s = t->pieces.texts[i];

        if (!vocab_is_piece(&t->v, i) || text_map_find(&t->pieces, s.data, s.n) != i)
            continue;
        one.n = 0;
        rc = t->v.ignore_merges ? ids_append(&one, i, err)
                                : encoder_piece(&e, (const unsigned char *)s.data, s.n, err);
        t->whole[i] = one.n == 1 && one.data[0] == i;
    }
    ids_release(&one);
    encoder_release(&e);
    return rc;
}

static int fill(struct tokenizer *t, struct mk_error *err)
{
    int rc = 0;

    t->classes = malloc(UNICODE_N_CLASSES);
    if (!t->classes)
        return mk_error_memory(err, UNICODE_N_CLASSES);
    unicode_classes(t->classes);
    if (fill_bytes(t, err) || fill_maps(t, err))
        return err->code;
    rc = t->v.merges ? fill_merges(t, err) : 0;
    if (!rc && t->v.kind == VOCAB_SPM_BPE)
        rc = spm_tables(t, err);
    if (!rc)
        rc = splitter_init(&t->splitter, &t->v, t->classes, err);
    for (int k = 0; !rc && k < 4; k++)
        rc = added_set_init(&t->added[k / 2][k % 2], &t->v, t->classes, k / 2, k % 2, err);
    return rc ? rc : fill_whole(t, err);
}

int tokenizer_create(struct tokenizer **out, struct vocab *v, struct mk_error *err)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    int rc;

    if (!t)
        return mk_error_memory(err, sizeof *t);
    t->v = *v;
    rc = fill(t, err);
    if (rc) {
        t->v = (struct vocab){0}; /* still the caller's */
        tokenizer_free(t);
        return rc;
    }
    *v = (struct vocab){0};
    for (int k = 0; k < 4; k++)
        t->added[k / 2][k % 2].v = &t->v;
    *out = t;
    return 0;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    for (int k = 0; k < 4; k++)
        added_set_release(&t->added[k / 2][k % 2]);
    splitter_release(&t->splitter);
    bpe_table_release(&t->merges);
    bpe_table_release(&t->joins);
    text_map_release(&t->by_text);
    text_map_release(&t->pieces);
    free(t->whole);
    free(t->bytes);
    free(t->bytes_memory);
    free(t->classes);
    vocab_release(&t->v);
    free(t);
}

const struct vocab *tokenizer_vocab(const struct tokenizer *t)
{
    return &t->v;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text)
{
    return text_map_find(&t->by_text, text, strlen(text));
}
