/* decode_test.c: ids to text, one id at a time: never half a character, never a lost byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "support/tiny_tokenizer.h"

static int make_bytes(void **state)
{
    *state = tiny_create(&(struct tiny){
        .pre = "", .added = "{\"id\": 256, \"content\": \"<|end|>\", \"special\": true, "
                            "\"normalized\": false}"});
    return 0;
}

static int free_bytes(void **state)
{
    tokenizer_free(*state);
    return 0;
}

/* Pushes the bytes of text one by one, then the end. Byte b is token b. */
static void assert_decodes(struct tokenizer *t, const char *text, size_t n, const char *want)
{
    struct mk_error err = {0};
    struct decoder d;
    struct buf out;

    buf_init(&out, 1 << 20);
    decoder_init(&d, t, false);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(decoder_push(&d, (unsigned char)text[i], &out, &err), 0);
    assert_int_equal(decoder_finish(&d, &out, &err), 0);
    assert_string_equal(out.data, want);
    buf_release(&out);
}

static void a_character_comes_out_whole(void **state)
{
    static const char text[] = "\360\237\221\215"; /* thumbs up, four bytes */
    struct mk_error err = {0};
    struct decoder d;
    struct buf out;

    buf_init(&out, 100);
    decoder_init(&d, *state, false);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(out.n, 0);
        assert_int_equal(decoder_push(&d, (unsigned char)text[i], &out, &err), 0);
    }
    assert_string_equal(out.data, text);
    buf_release(&out);
}

/* As Python's bytes.decode(errors="replace"): one U+FFFD for the longest start of a character. */
static void what_cannot_become_a_character_is_replaced(void **state)
{
    assert_decodes(*state, "a\377b", 3, "a\357\277\275b");
    assert_decodes(*state, "\342\202x", 3, "\357\277\275x");
    assert_decodes(*state, "\342\202", 2, "\357\277\275");
    assert_decodes(*state, "\355\240\200", 3, "\357\277\275\357\277\275\357\277\275");
    assert_decodes(*state, "\300\257", 2, "\357\277\275\357\277\275");
    assert_decodes(*state, "\360\237\342\202\254", 5, "\357\277\275\342\202\254");
}

static void special_tokens_are_silent_unless_asked_for(void **state)
{
    struct mk_error err = {0};
    struct decoder d;
    struct buf out;
    size_t n;

    buf_init(&out, 100);
    decoder_init(&d, *state, false);
    assert_int_equal(decoder_push(&d, 'a', &out, &err), 0);
    assert_int_equal(decoder_push(&d, 256, &out, &err), 0);
    assert_string_equal(out.data, "a");
    decoder_init(&d, *state, true);
    assert_int_equal(decoder_push(&d, 256, &out, &err), 0);
    assert_string_equal(out.data, "a<|end|>");
    tokenizer_bytes(*state, 256, false, &n);
    assert_int_equal(n, 0);
    buf_release(&out);
}

static void ids_outside_the_vocabulary_are_refused(void **state)
{
    static const int32_t bad[] = {-1, 257, INT32_MAX, INT32_MIN};
    struct mk_error err = {0};
    struct decoder d;
    struct buf out;
    size_t n;

    buf_init(&out, 100);
    decoder_init(&d, *state, true);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(decoder_push(&d, bad[i], &out, &err), MK_EINVAL);
        assert_non_null(strstr(err.text, "ids are 0 to 256"));
        tokenizer_bytes(*state, bad[i], true, &n);
        assert_int_equal(n, 0);
    }
    buf_release(&out);
}

/* However the text is cut into tokens, the stream is the text. */
static void any_bytes_come_back_through_their_ids(void **state)
{
    struct mk_error err = {0};
    struct ids ids = {0};
    char text[2048];
    uint32_t seed = 7;

    for (size_t i = 0; i < sizeof text; i++) {
        seed = seed * 1664525u + 1013904223u;
        text[i] = (char)(seed >> 24);
    }
    assert_int_equal(tokenizer_encode(*state, text, sizeof text, false, &ids, &err), 0);
    assert_int_equal(ids.n, sizeof text);
    for (size_t i = 0; i < ids.n; i++) {
        size_t n;
        const char *bytes = tokenizer_bytes(*state, ids.data[i], false, &n);

        assert_int_equal(n, 1);
        assert_int_equal(bytes[0], text[i]);
    }
    ids_release(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_character_comes_out_whole),
        cmocka_unit_test(what_cannot_become_a_character_is_replaced),
        cmocka_unit_test(special_tokens_are_silent_unless_asked_for),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(any_bytes_come_back_through_their_ids),
    };

    return cmocka_run_group_tests(tests, make_bytes, free_bytes);
}
