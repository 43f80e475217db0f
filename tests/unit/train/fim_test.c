/* fim_test.c: the middle comes last, nothing is lost, and characters stay whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "support/tiny_tokenizer.h"
#include "train/fim.h"

/* Bytes are their own ids; the three tokens follow. */
#define ADDED                                                                                      \
    "{\"id\": 256, \"content\": \"<\357\275\234fim\342\226\201begin\357\275\234>\", "              \
    "\"special\": true}, "                                                                         \
    "{\"id\": 257, \"content\": \"<\357\275\234fim\342\226\201hole\357\275\234>\", "               \
    "\"special\": true}, "                                                                         \
    "{\"id\": 258, \"content\": \"<\357\275\234fim\342\226\201end\357\275\234>\", "                \
    "\"special\": true}"

static const char text[] = "na\303\257ve caf\303\251 \360\237\230\200 end";
enum { N = sizeof text - 1 };

static struct tokenizer *make(void)
{
    return tiny_create(&(struct tiny){.pre = "", .added = ADDED});
}

static void a_hidden_middle_can_be_put_back(void **state)
{
    struct tokenizer *t = make();
    struct mk_error err = {0};
    struct fim f;
    int n_cut = 0;

    (void)state;
    assert_int_equal(fim_init(&f, t, 0.5, 3, &err), 0);
    for (uint64_t d = 0; d < 2000; d++) {
        struct ids ids = {0};
        char back[N];
        size_t from, to, tail = 0;

        assert_int_equal(fim_encode(&f, t, d, text, N, &ids, &err), 0);
        if (!fim_cut(&f, d, text, N, &from, &to)) {
            assert_int_equal(ids.n, N);
            ids_release(&ids);
            continue;
        }
        n_cut++;
        assert_true(from <= to && to <= N);
        assert_true((text[from] & 0xC0) != 0x80 && (text[to] & 0xC0) != 0x80);
        assert_int_equal(ids.n, N + 3);
        assert_int_equal(ids.data[0], 256);
        assert_int_equal(ids.data[from + 1], 257);
        assert_int_equal(ids.data[from + 2 + N - to], 258);
        for (size_t i = 0; i < from; i++)
            back[i] = (char)ids.data[1 + i];
        for (size_t i = to; i < N; i++, tail++)
            back[i] = (char)ids.data[from + 2 + tail];
        for (size_t i = from; i < to; i++)
            back[i] = (char)ids.data[3 + from + N - to + i - from];
        assert_memory_equal(back, text, N);
        ids_release(&ids);
    }
    assert_true(abs(n_cut - 1000) < 5 * 23); /* five standard deviations */
    tokenizer_free(t);
}

static void rates_zero_and_one_are_exact_and_empty_text_is_allowed(void **state)
{
    struct tokenizer *t = make();
    struct mk_error err = {0};
    struct ids ids = {0};
    struct fim f;
    size_t from, to;

    (void)state;
    assert_int_equal(fim_init(&f, t, 0, 3, &err), 0);
    for (uint64_t d = 0; d < 100; d++)
        assert_false(fim_cut(&f, d, text, N, &from, &to));
    assert_int_equal(fim_init(&f, t, 1, 3, &err), 0);
    for (uint64_t d = 0; d < 100; d++)
        assert_true(fim_cut(&f, d, text, N, &from, &to));
    assert_int_equal(fim_encode(&f, t, 0, "", 0, &ids, &err), 0);
    assert_int_equal(ids.n, 3);
    ids_release(&ids);
    assert_int_equal(fim_init(&f, t, 1.5, 3, &err), MK_EINVAL);
    tokenizer_free(t);
}

static void a_vocabulary_without_the_tokens_is_refused(void **state)
{
    struct tokenizer *t = tiny_create(&(struct tiny){.pre = ""});
    struct mk_error err = {0};
    struct fim f;

    (void)state;
    assert_int_equal(fim_init(&f, t, 0.1, 3, &err), MK_ENOTFOUND);
    assert_int_equal(fim_init(&f, t, 0, 3, &err), 0);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hidden_middle_can_be_put_back),
        cmocka_unit_test(rates_zero_and_one_are_exact_and_empty_text_is_allowed),
        cmocka_unit_test(a_vocabulary_without_the_tokens_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
