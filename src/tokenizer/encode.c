/* encode.c: text to ids: added tokens first, then the normaliser, then splitting, then merging
 * inside each piece. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tokenizer/nfc.h"
#include "tokenizer/tables.h"

/* ---- one piece ------------------------------------------------------------------------------- */

static int reserve(struct encoder *e, size_t n, struct mk_error *err)
{
    size_t want = e->capacity ? e->capacity : 256;
    int32_t *symbols;

    if (n <= e->capacity)
        return 0;
    while (want < n)
        want *= 2;
    symbols = realloc(e->symbols, want * sizeof *symbols);
    if (!symbols)
        return mk_error_memory(err, want * sizeof *symbols);
    e->symbols = symbols;
    e->capacity = want;
    return 0;
}

/* What has no token: the unknown token (one for a run where the file says so), a barrier (GGUF), or
 * nothing. */
static size_t add_unknown(struct encoder *e, size_t used)
{
    const struct vocab *v = &e->t->v;

    if (v->unk_fallback && !(v->fuse_unk && used && e->symbols[used - 1] == v->unk_id))
        e->symbols[used++] = v->unk_id;
    else if (v->unk_barrier)
        e->symbols[used++] = -1;
    return used;
}

static size_t byte_symbols(struct encoder *e, const unsigned char *piece, size_t n)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        int32_t id = e->t->byte_ids[piece[i]];

        if (id >= 0)
            e->symbols[used++] = id;
        else
            used = add_unknown(e, used);
    }
    return used;
}

static bool has_byte_tokens(const struct tokenizer *t, const unsigned char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (t->byte_ids[s[i]] < 0)
            return false;
    return t->v.byte_fallback;
}

static size_t char_symbols(struct encoder *e, const unsigned char *piece, size_t n)
{
    size_t used = 0;

    for (size_t at = 0; at < n;) {
        struct utf8_char c = utf8_at(piece + at, n - at);
        int32_t id = text_map_find(&e->t->pieces, piece + at, (size_t)c.n);

        if (id >= 0)
            e->symbols[used++] = id;
        else if (has_byte_tokens(e->t, piece + at, (size_t)c.n))
            for (int i = 0; i < c.n; i++)
                e->symbols[used++] = e->t->byte_ids[piece[at + (size_t)i]];
        else
            used = add_unknown(e, used);
        at += (size_t)c.n;
    }
    return used;
}

int encoder_symbols(struct encoder *e, const unsigned char *piece, size_t n, size_t *n_symbols,
                    struct mk_error *err)
{
    int rc = reserve(e, n, err);

    if (!rc)
        *n_symbols =
            e->t->v.kind == VOCAB_BYTE_BPE ? byte_symbols(e, piece, n) : char_symbols(e, piece, n);
    return rc;
}

static int append(struct encoder *e, int32_t id, struct mk_error *err)
{
    const struct vocab *v = &e->t->v;

    if (id < 0)
        return 0;
    if (id == v->unk_id && v->fuse_unk && v->unk_fallback && v->kind == VOCAB_SPM_BPE &&
        e->out->n > e->segment_begin && e->out->data[e->out->n - 1] == id)
        return 0; /* SPM pieces are cut for speed alone: a run of unknowns may reach over the cut */
    return ids_append(e->out, id, err);
}

int encoder_piece(struct encoder *e, const unsigned char *piece, size_t n, struct mk_error *err)
{
    const struct tokenizer *t = e->t;
    int32_t id = n <= t->longest_piece ? text_map_find(&t->pieces, piece, n) : -1;
    size_t left;
    int rc;

    if (id >= 0 && t->whole[id])
        return ids_append(e->out, id, err);
    rc = encoder_symbols(e, piece, n, &left, err);
    if (!rc)
        rc = bpe_merge(&t->merges, e->symbols, &left, &e->scratch, err);
    for (size_t i = 0; !rc && i < left; i++)
        rc = append(e, e->symbols[i], err);
    return rc;
}

void encoder_release(struct encoder *e)
{
    free(e->symbols);
    bpe_scratch_release(&e->scratch);
}

/* ---- segments between added tokens ----------------------------------------------------------- */

static int emit_piece(void *context, const unsigned char *piece, size_t n, struct mk_error *err)
{
    return encoder_piece(context, piece, n, err);
}

/* Plain text, normalised. */
static int encode_plain(struct encoder *e, const unsigned char *text, size_t n, bool at_begin,
                        struct mk_error *err)
{
    const struct tokenizer *t = e->t;
    struct buf spaced;
    int rc;

    e->segment_begin = e->out->n;
    if (t->v.kind == VOCAB_SPM_BPE)
        return spm_encode(e, text, n, at_begin, err);
    if (!t->v.byte_level_prefix_space || e->joined || text[0] == ' ')
        return splitter_run(&t->splitter, text, n, emit_piece, e, err);
    buf_init(&spaced, n + 1);
    rc = buf_append(&spaced, " ", 1, err);
    if (!rc)
        rc = buf_append(&spaced, text, n, err);
    if (!rc)
        rc = splitter_run(&t->splitter, (const unsigned char *)spaced.data, n + 1, emit_piece, e,
                          err);
    buf_release(&spaced);
    return rc;
}

typedef int segment_fn(struct encoder *e, const unsigned char *text, size_t n, bool at_begin,
                       struct mk_error *err);

/* Ids of the set's tokens where they occur, and `between` for the text between them. */
static int encode_around(struct encoder *e, const struct added_set *set, const unsigned char *text,
                         size_t n, bool at_begin, segment_fn *between, struct mk_error *err)
{
    size_t done = 0, from = 0;
    struct added_match m;
    int rc = 0;

    while (!rc && added_set_find(set, text, n, from, done, &m)) {
        if (m.begin > done)
            rc = between(e, text + done, m.begin - done, at_begin && !done, err);
        if (!rc)
            rc = ids_append(e->out, m.id, err);
        e->joined = false;
        done = m.end;
        from = m.next;
    }
    if (!rc && done < n)
        rc = between(e, text + done, n - done, at_begin && !done, err);
    e->joined = false;
    return rc;
}

static bool is_ascii(const unsigned char *s, size_t n)
{
    unsigned char seen = 0;

    for (size_t i = 0; i < n; i++)
        seen |= s[i];
    return seen < 0x80;
}

static int encode_segment(struct encoder *e, const unsigned char *text, size_t n, bool at_begin,
                          struct mk_error *err)
{
    const struct added_set *set = &e->t->added[1][e->specials];
    struct buf normal;
    int rc;

    if (!e->t->v.nfc || is_ascii(text, n))
        return encode_around(e, set, text, n, at_begin, encode_plain, err);
    buf_init(&normal, SIZE_MAX / 4);
    rc = nfc_append(&normal, text, n, err);
    if (!rc)
        rc = encode_around(e, set, (const unsigned char *)normal.data, normal.n, at_begin,
                           encode_plain, err);
    buf_release(&normal);
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool specials,
                     struct ids *out, struct mk_error *err)
{
    struct encoder e = {.t = t, .out = out, .specials = specials};
    size_t before = out->n;
    int rc = 0;

    if (n > INT32_MAX)
        return mk_error_set(err, MK_ELIMIT, "a text of %zu bytes is too long to tokenize", n);
    if (n)
        rc = encode_around(&e, &t->added[0][specials], (const unsigned char *)text, n, true,
                           encode_segment, err);
    if (rc)
        out->n = before;
    encoder_release(&e);
    return rc;
}

/* The first control token in text[from..n). */
static bool find_control(const struct tokenizer *t, const unsigned char *text, size_t n,
                         size_t from, size_t floor, struct added_match *first)
{
    bool found = false;

    for (int normalized = 0; normalized < 2; normalized++) {
        struct added_match m = {.next = from};
        bool more;

        do
            more = added_set_find(&t->added[normalized][true], text, n, m.next, floor, &m);
        while (more && !vocab_is_control(&t->v, m.id));
        if (more && (!found || m.begin < first->begin))
            *first = m;
        found |= more;
    }
    return found;
}

/* Encodes text[*done..end), up to the last control token in text[begin..end). */
static int encode_trusted(struct encoder *e, const unsigned char *text, size_t begin, size_t end,
                          size_t *done, struct mk_error *err)
{
    const struct added_set *set = &e->t->added[0][false];
    struct added_match m = {.next = begin};
    int rc = 0;

    while (!rc && find_control(e->t, text, end, m.next, begin > *done ? begin : *done, &m)) {
        if (m.begin > *done)
            rc = encode_around(e, set, text + *done, m.begin - *done, !*done, encode_segment, err);
        if (!rc)
            rc = ids_append(e->out, m.id, err);
        e->joined = false;
        *done = m.end;
    }
    return rc;
}

/* Parts of a text in order; those that came from outside are passed over one by one. */
struct typed_text {
    const unsigned char *text;
    const struct typed_span *typed; /* [n] those that end behind what was encoded */
    size_t n;
};

/* Encodes text[from..to). */
static int encode_range(struct encoder *e, struct typed_text *s, size_t from, size_t to,
                        struct mk_error *err)
{
    const struct added_set *set = &e->t->added[0][false];
    size_t done = from, begin = from;
    int rc = 0;

    while (!rc && begin < to) {
        bool inside = s->n && s->typed->begin < to;
        size_t end = inside ? s->typed->begin : to;

        if (end > begin)
            rc = encode_trusted(e, s->text, begin, end, &done, err);
        begin = !inside ? to : s->typed->end > begin ? s->typed->end : begin;
        if (inside && s->typed->end <= to) {
            s->typed++;
            s->n--;
        }
    }
    if (rc || done == to)
        return rc;
    rc = encode_around(e, set, s->text + done, to - done, !done, encode_segment, err);
    e->joined = true;
    return rc;
}

int tokenizer_encode_cut(const struct tokenizer *t, const char *text, size_t n,
                         const struct typed_span *typed, size_t n_typed,
                         const struct text_cuts *cuts, struct ids *out, struct mk_error *err)
{
    struct typed_text s = {(const unsigned char *)text, typed, n_typed};
    struct encoder e = {.t = t, .out = out, .specials = false};
    size_t before = out->n, from = 0;
    int rc = 0;

    if (n > INT32_MAX)
        return mk_error_set(err, MK_ELIMIT, "a text of %zu bytes is too long to tokenize", n);
    for (size_t i = 0; !rc && i < cuts->n; i++) {
        rc = encode_range(&e, &s, from, cuts->cuts[i], err);
        cuts->at[i] = out->n;
        from = cuts->cuts[i];
    }
    if (!rc)
        rc = encode_range(&e, &s, from, n, err);
    if (rc)
        out->n = before;
    encoder_release(&e);
    return rc;
}

int tokenizer_encode_typed(const struct tokenizer *t, const char *text, size_t n,
                           const struct typed_span *typed, size_t n_typed, struct ids *out,
                           struct mk_error *err)
{
    return tokenizer_encode_cut(t, text, n, typed, n_typed, &(struct text_cuts){0}, out, err);
}
