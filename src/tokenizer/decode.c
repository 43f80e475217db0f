/* decode.c: ids to text. Tokens end anywhere, also inside a character: the decoder holds such bytes
 * back. */
#include <string.h>

#include "base/buf.h"
#include "tokenizer/tables.h"

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, bool specials, size_t *n)
{
    *n = 0;
    if (id < 0 || id >= t->v.n_tokens || (t->v.kinds[id] == TOKEN_SPECIAL && !specials))
        return "";
    *n = t->bytes[id].n;
    return t->bytes[id].data;
}

void decoder_init(struct decoder *d, const struct tokenizer *t, bool specials)
{
    *d = (struct decoder){.t = t, .specials = specials};
    d->at_start = t->v.kind == VOCAB_SPM_BPE && t->v.spm_prefix_space;
}

/* Emits what is whole in s[0..n) and returns how many bytes were used; what is left could still
 * become a character. */
static size_t emit_whole(const unsigned char *s, size_t n, struct buf *out, int *rc,
                         struct mk_error *err)
{
    size_t at = 0, done = 0;

    while (!*rc && at < n) {
        int length = utf8_length(s + at, n - at);
        size_t prefix;

        if (length) {
            at += (size_t)length;
            continue;
        }
        *rc = buf_append(out, s + done, at - done, err);
        done = at;
        prefix = utf8_prefix(s + at, n - at);
        if (at + prefix == n)
            return done;
        if (!*rc)
            *rc = buf_append(out, "\xEF\xBF\xBD", 3, err);
        at += prefix ? prefix : 1;
        done = at;
    }
    if (!*rc)
        *rc = buf_append(out, s + done, at - done, err);
    return at;
}

int decoder_push(struct decoder *d, int32_t id, struct buf *out, struct mk_error *err)
{
    size_t n, used;
    const unsigned char *s = (const unsigned char *)tokenizer_bytes(d->t, id, d->specials, &n);
    int rc = 0;

    if (id < 0 || id >= d->t->v.n_tokens)
        return mk_error_set(err, MK_EINVAL, "there is no token %d, ids are 0 to %d", id,
                            d->t->v.n_tokens - 1);
    if (n && d->at_start) {
        d->at_start = false;
        n -= *s == ' ';
        s += *s == ' ';
    }
    /* byte by byte until the character that was begun is whole or broken */
    while (!rc && n && d->n_pending) {
        d->pending[d->n_pending++] = *s++;
        n--;
        used = emit_whole(d->pending, (size_t)d->n_pending, out, &rc, err);
        d->n_pending -= (int)used;
        memmove(d->pending, d->pending + used, (size_t)d->n_pending);
    }
    if (rc || !n)
        return rc;
    used = emit_whole(s, n, out, &rc, err);
    d->n_pending = (int)(n - used);
    memcpy(d->pending, s + used, n - used);
    return rc;
}

int decoder_finish(struct decoder *d, struct buf *out, struct mk_error *err)
{
    int rc = d->n_pending ? buf_append(out, "\xEF\xBF\xBD", 3, err) : 0;

    d->n_pending = 0;
    return rc;
}
