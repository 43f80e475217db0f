/* spm.c: SentencePiece-style BPE: spaces become U+2581 and the whole segment is one piece.
 *
 * That piece is cut wherever two characters meet that stand side by side in no token: no merge ever
 * joins them, so the parts can be merged one by one with the same result, and most of them are
 * whole tokens. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tokenizer/tables.h"

static const char block[] = "\xE2\x96\x81";

static bool is_piece(const struct tokenizer *t, int32_t id)
{
    return text_map_find(&t->pieces, t->v.texts[id].data, t->v.texts[id].n) == id;
}

/* ---- pairs that some token holds ------------------------------------------------------------- */

static void add_joins(struct tokenizer *t, struct vocab_text text)
{
    const unsigned char *s = (const unsigned char *)text.data;
    struct utf8_char c = utf8_at(s, text.n);

    for (size_t at = (size_t)c.n; at < text.n;) {
        struct utf8_char next = utf8_at(s + at, text.n - at);

        bpe_table_add(&t->joins, (struct bpe_pair){(int32_t)c.code, (int32_t)next.code, {0, 0}});
        at += (size_t)next.n;
        c = next;
    }
}

static int fill_joins(struct tokenizer *t, struct mk_error *err)
{
    int64_t most = 0;
    int rc;

    for (int32_t i = 0; i < t->v.n_tokens; i++)
        most += t->v.texts[i].n;
    rc = bpe_table_init(&t->joins, most, err);
    for (int32_t i = 0; !rc && i < t->v.n_tokens; i++)
        if (is_piece(t, i))
            add_joins(t, t->v.texts[i]);
    return rc;
}

/* ---- merges from scores ---------------------------------------------------------------------- */

/* The higher a token's score, the lower its rank; equal scores rank equally, so that the leftmost
 * pair wins. */
static int merges_from_scores(struct tokenizer *t, struct mk_error *err)
{
    struct vocab_way *ways;
    uint32_t rank = 0;
    int64_t n;
    int rc = vocab_ways(&t->v, &ways, &n, err);

    if (!rc)
        rc = bpe_table_init(&t->merges, n, err);
    for (int64_t i = 0; !rc && i < n; i++) {
        rank += i > 0 && t->v.scores[ways[i].id] != t->v.scores[ways[i - 1].id];
        bpe_table_add(&t->merges,
                      (struct bpe_pair){ways[i].left, ways[i].right, {rank, ways[i].id}});
    }
    free(ways);
    return rc;
}

int spm_tables(struct tokenizer *t, struct mk_error *err)
{
    int rc = t->v.scores && !t->v.merges ? merges_from_scores(t, err) : 0;

    return rc ? rc : fill_joins(t, err);
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* Spaces to U+2581, and one in front where the file asks. */
static int visible_spaces(const struct encoder *e, struct buf *out, const unsigned char *text,
                          size_t n, bool at_begin, struct mk_error *err)
{
    const struct vocab *v = &e->t->v;
    bool begins = text[0] == ' ' || (n >= 3 && !memcmp(text, block, 3));
    bool prefix = v->spm_prefix_space && !e->joined && (at_begin || !v->spm_prefix_first) &&
                  !(v->spm_prefix_once && begins);
    size_t done = 0;
    int rc = prefix ? buf_append(out, block, 3, err) : 0;

    for (size_t i = 0; !rc && i < n; i++)
        if (text[i] == ' ') {
            rc = buf_append(out, text + done, i - done, err);
            if (!rc)
                rc = buf_append(out, block, 3, err);
            done = i + 1;
        }
    return rc ? rc : buf_append(out, text + done, n - done, err);
}

static int encode_parts(struct encoder *e, const unsigned char *s, size_t n, struct mk_error *err)
{
    struct utf8_char c = utf8_at(s, n);
    size_t begin = 0;

    for (size_t at = (size_t)c.n; at < n;) {
        struct utf8_char next = utf8_at(s + at, n - at);
        bool joins = bpe_table_find(&e->t->joins, (int32_t)c.code, (int32_t)next.code).rank == 0;

        if (!joins || (e->t->v.spm_split && next.code == 0x2581)) {
            int rc = encoder_piece(e, s + begin, at - begin, err);

            if (rc)
                return rc;
            begin = at;
        }
        at += (size_t)next.n;
        c = next;
    }
    return encoder_piece(e, s + begin, n - begin, err);
}

int spm_encode(struct encoder *e, const unsigned char *text, size_t n, bool at_begin,
               struct mk_error *err)
{
    struct buf spaced;
    int rc;

    buf_init(&spaced, 3 * n + 3);
    rc = visible_spaces(e, &spaced, text, n, at_begin, err);
    if (!rc)
        rc = encode_parts(e, (const unsigned char *)spaced.data, spaced.n, err);
    buf_release(&spaced);
    return rc;
}
