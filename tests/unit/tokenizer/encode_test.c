/* encode_test.c: text to ids with a tokenizer of 256 bytes and a few merges, worked by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "support/tiny_tokenizer.h"

#define ADDED(id, text, special, more)                                                             \
    "{\"id\": " #id ", \"content\": \"" text "\", \"special\": " #special                          \
    ", \"normalized\": false" more "}"

/* 256 ab, 257 abc, 258 bc: "bc" ranks behind "ab", so "abc" merges from the left. */
static const char *const abc[] = {"a b", "ab c", "b c", NULL};

static void the_lowest_rank_merges_first(void **state)
{
    struct tokenizer *t = tiny_create(&(struct tiny){.pre = "", .merges = abc});

    (void)state;
    ASSERT_IDS(t, "abc", false, 257);
    ASSERT_IDS(t, "bcab", false, 258, 256);
    ASSERT_IDS(t, "aabcc", false, 'a', 257, 'c');
    tokenizer_free(t);
}

/* With merges "b c" first, "abc" is a + bc although the vocabulary holds abc. */
static void a_whole_piece_wins_only_with_ignore_merges(void **state)
{
    static const char *const merges[] = {"b c", "a b", "ab c", NULL};
    struct tiny tiny = {.pre = "", .merges = merges};
    struct tokenizer *t = tiny_create(&tiny), *whole;

    (void)state;
    tiny.model = "\"ignore_merges\": true, ";
    whole = tiny_create(&tiny);
    ASSERT_IDS(t, "abc", false, 'a', 256);
    ASSERT_IDS(whole, "abc", false, 258);
    ASSERT_IDS(whole, "abcabc", false, 'a', 256, 'a', 256);
    tokenizer_free(t);
    tokenizer_free(whole);
}

static void equal_pairs_merge_from_the_left(void **state)
{
    static const char *const merges[] = {"a a", NULL};
    struct tokenizer *t = tiny_create(&(struct tiny){.pre = "", .merges = merges});

    (void)state;
    ASSERT_IDS(t, "aaa", false, 256, 'a');
    ASSERT_IDS(t, "aaaaa", false, 256, 256, 'a');
    tokenizer_free(t);
}

static void empty_text_has_no_ids(void **state)
{
    struct tokenizer *t = tiny_create(&(struct tiny){.pre = ""});
    struct mk_error err = {0};
    struct ids ids = {0};

    (void)state;
    assert_int_equal(tokenizer_encode(t, "", 0, true, &ids, &err), 0);
    assert_int_equal(ids.n, 0);
    tokenizer_free(t);
}

/* <|end|> is special; [tool] is added and looks like markup; "plain" is added and does not. */
static struct tokenizer *with_added(void)
{
    return tiny_create(&(struct tiny){
        .pre = "", .merges = abc,
        .added = ADDED(259, "<|end|>", true, "") ", " ADDED(260, "[tool]", false, "") ", "
                 ADDED(261, "plain", false, "") ", " ADDED(262, "<|end|>>", true, "")});
}

static void special_tokens_come_out_only_when_allowed(void **state)
{
    struct tokenizer *t = with_added();

    (void)state;
    ASSERT_IDS(t, "ab<|end|>", true, 256, 259);
    ASSERT_IDS(t, "ab<|end|>", false, 256, '<', '|', 'e', 'n', 'd', '|', '>');
    ASSERT_IDS(t, "[tool]", true, 260);
    ASSERT_IDS(t, "[tool]", false, '[', 't', 'o', 'o', 'l', ']');
    ASSERT_IDS(t, "aplain", false, 'a', 261);
    tokenizer_free(t);
}

static void the_longest_added_token_wins(void **state)
{
    struct tokenizer *t = with_added();

    (void)state;
    ASSERT_IDS(t, "<|end|>>>", true, 262, '>');
    ASSERT_IDS(t, "<|end<|end|>", true, '<', '|', 'e', 'n', 'd', 259);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_rank_merges_first),
        cmocka_unit_test(a_whole_piece_wins_only_with_ignore_merges),
        cmocka_unit_test(equal_pairs_merge_from_the_left),
        cmocka_unit_test(empty_text_has_no_ids),
        cmocka_unit_test(special_tokens_come_out_only_when_allowed),
        cmocka_unit_test(the_longest_added_token_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
