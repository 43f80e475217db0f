/* fim.c: the PSM form of a document. */
#include "train/fim.h"

#include "base/rng.h"

#define STREAM ((uint64_t)0x46 << 56)

/* U+FF5C and U+2581, as DeepSeek spells them. */
static const char *const names[3] = {
    "<\357\275\234fim\342\226\201begin\357\275\234>",
    "<\357\275\234fim\342\226\201hole\357\275\234>",
    "<\357\275\234fim\342\226\201end\357\275\234>",
};

int fim_init(struct fim *f, const struct tokenizer *t, double rate, uint64_t seed,
             struct mk_error *err)
{
    int32_t ids[3];

    if (!(rate >= 0 && rate <= 1))
        return mk_error_set(err, MK_EINVAL, "fim: rate %g is not between 0 and 1", rate);
    for (int i = 0; i < 3; i++) {
        ids[i] = tokenizer_find(t, names[i]);
        if (ids[i] < 0 && rate > 0)
            return mk_error_set(err, MK_ENOTFOUND,
                                "fim: the vocabulary has no token %s: set the rate to 0", names[i]);
    }
    *f = (struct fim){rate, seed, ids[0], ids[1], ids[2], false};
    return 0;
}

/* The k-th cut of a document, between two characters. */
static size_t draw_cut(const struct fim *f, uint64_t document, uint64_t k, const char *text,
                       size_t n)
{
    size_t at = (size_t)(rng_uniform(f->seed, STREAM + document, k) * ((double)n + 1));

    while (at > 0 && at < n && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    return at < n ? at : n;
}

bool fim_cut(const struct fim *f, uint64_t document, const char *text, size_t n, size_t *from,
             size_t *to)
{
    size_t a, b;

    if (!(rng_uniform(f->seed, STREAM + document, 0) < f->rate))
        return false;
    a = draw_cut(f, document, 1, text, n);
    b = draw_cut(f, document, 2, text, n);
    *from = a < b ? a : b;
    *to = a < b ? b : a;
    return true;
}

int fim_encode(const struct fim *f, const struct tokenizer *t, uint64_t document, const char *text,
               size_t n, struct ids *out, struct mk_error *err)
{
    size_t from, to;

    if (!fim_cut(f, document, text, n, &from, &to))
        return tokenizer_encode(t, text, n, f->specials, out, err);
    if (ids_append(out, f->begin, err) || tokenizer_encode(t, text, from, f->specials, out, err) ||
        ids_append(out, f->hole, err) ||
        tokenizer_encode(t, text + to, n - to, f->specials, out, err) ||
        ids_append(out, f->end, err) ||
        tokenizer_encode(t, text + from, to - from, f->specials, out, err))
        return err->code;
    return 0;
}
