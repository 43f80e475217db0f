/* tokenizer_json_fuzz.c: tokenizer.json and tokenizer_config.json from anyone, text from anyone.
 *
 * The input is up to three parts with NUL bytes between them: tokenizer.json, the configuration,
 * the text. What loads must encode the text to ids of its vocabulary, those decode to sound UTF-8,
 * and written again it must give the same ids. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void decode_all(const struct tokenizer *t, const struct ids *ids, struct mk_error *err)
{
    struct decoder d;
    struct buf out;

    buf_init(&out, (size_t)1 << 28);
    decoder_init(&d, t, true);
    for (size_t i = 0; i < ids->n; i++)
        if (decoder_push(&d, ids->data[i], &out, err))
            abort();
    if (decoder_finish(&d, &out, err))
        abort();
    for (size_t at = 0; at < out.n;) {
        int length = utf8_length((const unsigned char *)out.data + at, out.n - at);

        if (!length)
            abort();
        at += (size_t)length;
    }
    buf_release(&out);
}

static void encode_text(const struct tokenizer *t, const char *text, size_t n, bool specials)
{
    struct mk_error err = {0};
    struct ids ids = {0};

    if (!tokenizer_encode(t, text, n, specials, &ids, &err)) {
        for (size_t i = 0; i < ids.n; i++)
            if (ids.data[i] < 0 || ids.data[i] >= tokenizer_vocab(t)->n_tokens)
                abort();
        decode_all(t, &ids, &err);
    }
    ids_release(&ids);
}

/* The file that is written of a vocabulary makes the same ids. */
static void write_and_read(const struct tokenizer *t, const char *text, size_t n)
{
    struct mk_error err = {0};
    struct tokenizer *again;
    struct vocab_json json;
    struct vocab v;

    if (vocab_to_json(tokenizer_vocab(t), &json, &err) ||
        vocab_from_texts(&v, "written", json.tokenizer, strlen(json.tokenizer), json.config,
                         strlen(json.config), &err) ||
        tokenizer_create(&again, &v, &err))
        abort();
    for (int specials = 0; specials < 2; specials++) {
        struct ids a = {0}, b = {0};

        if (!tokenizer_encode(t, text, n, specials, &a, &err) &&
            (tokenizer_encode(again, text, n, specials, &b, &err) || a.n != b.n ||
             (a.n && memcmp(a.data, b.data, a.n * sizeof *a.data))))
            abort();
        ids_release(&a);
        ids_release(&b);
    }
    tokenizer_free(again);
    vocab_json_release(&json);
}

/* The part up to the next NUL; *data moves behind it. */
static size_t take_part(const char **data, size_t *left)
{
    const char *end = *left ? memchr(*data, 0, *left) : NULL;
    size_t n = end ? (size_t)(end - *data) : *left;

    *data += n + (end != NULL);
    *left -= n + (end != NULL);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *json = (const char *)data, *config, *text;
    size_t left = n, n_json, n_config;
    struct mk_error err = {0};
    struct tokenizer *t;
    struct vocab v;

    config = json;
    n_json = take_part(&config, &left);
    text = config;
    n_config = take_part(&text, &left);
    if (vocab_from_texts(&v, "fuzz", json, n_json, n_config ? config : NULL, n_config, &err))
        return 0;
    if (tokenizer_create(&t, &v, &err)) {
        vocab_release(&v);
        return 0;
    }
    encode_text(t, text, left, true);
    encode_text(t, text, left, false);
    write_and_read(t, text, left);
    tokenizer_free(t);
    return 0;
}
