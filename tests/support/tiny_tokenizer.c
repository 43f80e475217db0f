/* tiny_tokenizer.c: writes the tokenizer.json of tiny_tokenizer.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "support/tiny_tokenizer.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/unicode.h"

static void put_vocab(struct buf *b, const char *const *merges, struct mk_error *err)
{
    for (int i = 0; i < 256; i++) {
        unsigned char code[4];
        int n = utf8_write(alphabet_code((unsigned char)i), code);

        buf_printf(b, err, "%s\"%s%.*s\": %d", i ? ", " : "", i == '"' || i == '\\' ? "\\" : "", n,
                   (char *)code, i);
    }
    for (int i = 0; merges && merges[i]; i++) {
        const char *space = strchr(merges[i], ' ');

        buf_printf(b, err, ", \"%.*s%s\": %d", (int)(space - merges[i]), merges[i], space + 1,
                   256 + i);
    }
}

char *tiny_json(const struct tiny *tiny)
{
    struct mk_error err;
    struct buf b;

    buf_init(&b, 1 << 20);
    buf_printf(&b, &err, "{\"normalizer\": %s, \"added_tokens\": [%s], \"pre_tokenizer\": "
               "{\"type\": \"Sequence\", \"pretokenizers\": [%s%s{\"type\": \"ByteLevel\", "
               "\"add_prefix_space\": false, \"use_regex\": false}]}, \"model\": {\"type\": "
               "\"BPE\", %s\"vocab\": {", tiny->normalizer ? tiny->normalizer : "null",
               tiny->added ? tiny->added : "", tiny->pre, *tiny->pre ? ", " : "",
               tiny->model ? tiny->model : "");
    put_vocab(&b, tiny->merges, &err);
    buf_append_string(&b, "}, \"merges\": [", &err);
    for (int i = 0; tiny->merges && tiny->merges[i]; i++)
        buf_printf(&b, &err, "%s\"%s\"", i ? ", " : "", tiny->merges[i]);
    assert_int_equal(buf_append_string(&b, "]}}", &err), 0);
    return b.data;
}

struct tokenizer *tokenizer_from_json(const char *json)
{
    struct tokenizer *t = NULL;
    struct mk_error err = {0};
    struct vocab v;

    if (vocab_from_texts(&v, "tiny", json, strlen(json), NULL, 0, &err) ||
        tokenizer_create(&t, &v, &err))
        fail_msg("%s", err.text);
    return t;
}

struct tokenizer *tiny_create(const struct tiny *tiny)
{
    char *json = tiny_json(tiny);
    struct tokenizer *t = tokenizer_from_json(json);

    free(json);
    return t;
}

void assert_ids(const struct tokenizer *t, const char *text, size_t n, bool specials,
                const int32_t *want, size_t n_want)
{
    struct mk_error err = {0};
    struct ids ids = {0};

    if (tokenizer_encode(t, text, n, specials, &ids, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < ids.n && i < n_want; i++)
        if (ids.data[i] != want[i])
            fail_msg("\"%s\": id %zu is %d, not %d", text, i, ids.data[i], want[i]);
    assert_int_equal(ids.n, n_want);
    ids_release(&ids);
}
