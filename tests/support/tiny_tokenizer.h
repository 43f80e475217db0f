/* tiny_tokenizer.h: a tokenizer small enough to work out by hand: all 256 bytes and a few merges.
 *
 * Ids: byte b is token b; the result of merge k is 256 + k; added tokens state theirs. */
#ifndef MK_TESTS_TINY_TOKENIZER_H
#define MK_TESTS_TINY_TOKENIZER_H

#include "tokenizer/tokenizer.h"

struct tiny {
    const char *pre;                /* JSON of pre_tokenizer's Split list, "" for none */
    const char *normalizer;         /* JSON, NULL for none */
    const char *const *merges;      /* "l r" in GPT-2's alphabet, NULL at the end; may be NULL */
    const char *added;              /* JSON objects of added_tokens; may be NULL */
    const char *model;              /* more members of "model", each with a comma behind; or NULL */
};

/* The text of tokenizer.json; free() it. */
char *tiny_json(const struct tiny *tiny);
/* Fails the running test when the tokenizer cannot be made. */
struct tokenizer *tiny_create(const struct tiny *tiny);
struct tokenizer *tokenizer_from_json(const char *json);

/* Fails the running test unless text encodes to exactly these ids. */
void assert_ids(const struct tokenizer *t, const char *text, size_t n, bool specials,
                const int32_t *want, size_t n_want);
#define ASSERT_IDS(t, text, specials, ...)                                                         \
    assert_ids(t, text, sizeof(text) - 1, specials, (const int32_t[]){__VA_ARGS__},                \
               sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

#endif
