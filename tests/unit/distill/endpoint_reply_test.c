/* endpoint_reply_test.c: chat completions as servers send them, and as they should not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "distill/endpoint_reply.h"

static int read_reply(const char *text, struct teacher_answer *a, struct arena *memory,
                      struct mk_error *err)
{
    arena_init(memory, 1 << 20);
    return endpoint_reply_read(text, strlen(text), a, memory, err);
}

/* The shape of DeepSeek's own API. */
static void a_thought_told_apart_stands_before_the_answer(void **state)
{
    static const char reply[] =
        "{\"choices\": [{\"index\": 0, \"finish_reason\": \"stop\", \"message\": {\"content\": "
        "\"It is 4.\", \"reasoning_content\": \"2+2\"}, \"logprobs\": {\"content\": [{\"token\": "
        "\"It\", \"logprob\": -0.5}, {\"token\": \" is\", \"logprob\": 0}]}}], \"usage\": "
        "{\"completion_tokens\": 9}}";
    struct teacher_answer a;
    struct arena memory;
    struct mk_error err;

    (void)state;
    assert_int_equal(read_reply(reply, &a, &memory, &err), 0);
    assert_string_equal(a.text, "<think>2+2</think>It is 4.");
    assert_int_equal(a.n, strlen(a.text));
    assert_true(a.stopped);
    assert_int_equal(a.n_tokens, 9);
    assert_int_equal(a.n_logprobs, 2);
    assert_true(a.logprobs[0] == -0.5F && a.logprobs[1] == 0);
    assert_null(a.ids);
    arena_release(&memory);
}

static void what_may_be_left_out_is_not_missed(void **state)
{
    static const char *const replies[] = {
        "{\"choices\": [{\"finish_reason\": \"length\", \"message\": {\"content\": \"4\"}}]}",
        "{\"choices\": [{\"message\": {\"content\": \"4\", \"reasoning_content\": null}, "
        "\"logprobs\": null}], \"usage\": null}",
        "{\"choices\": [{\"message\": {\"content\": \"4\", \"reasoning_content\": \"\"}, "
        "\"logprobs\": {\"content\": [{\"logprob\": -1}, {\"logprob\": null}]}}]}"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct teacher_answer a;
        struct arena memory;
        struct mk_error err;

        assert_int_equal(read_reply(replies[i], &a, &memory, &err), 0);
        assert_string_equal(a.text, "4");
        assert_false(a.stopped);
        assert_int_equal(a.n_tokens, 0);
        assert_null(a.logprobs);
        arena_release(&memory);
    }
}

static void what_is_no_completion_is_refused_with_a_reason(void **state)
{
    static const struct { const char *reply, *word; } cases[] = {
        {"", "empty"},
        {"<html>busy</html>", "JSON"},
        {"{\"choices\": [{\"message\": {\"content\": \"4\"", "JSON"},
        {"[]", "choices[0]"},
        {"{\"choices\": []}", "choices[0]"},
        {"{\"choices\": {\"message\": 1}}", "choices[0]"},
        {"{\"choices\": [{\"message\": \"4\"}]}", "choices[0]"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct teacher_answer a = {0};
        struct arena memory;
        struct mk_error err;

        assert_int_equal(read_reply(cases[i].reply, &a, &memory, &err), MK_EFORMAT);
        if (!strstr(err.text, cases[i].word))
            fail_msg("%s: %s", cases[i].reply, err.text);
        assert_null(a.text);
        arena_release(&memory);
    }
}

static void an_error_is_told_in_its_own_words(void **state)
{
    static const struct { const char *reply, *said; } cases[] = {
        {"{\"error\": {\"message\": \"too many requests\", \"code\": 429}}", "too many requests"},
        {"{\"error\": \"no such model\"}", "no such model"},
        {"{\"message\": \"gone\"}", "gone"},
        {"{\"detail\": []}", ""},
        {"busy", ""},
        {"", ""}};
    char text[200];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        endpoint_reply_error(cases[i].reply, strlen(cases[i].reply), text);
        assert_string_equal(text, cases[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thought_told_apart_stands_before_the_answer),
        cmocka_unit_test(what_may_be_left_out_is_not_missed),
        cmocka_unit_test(what_is_no_completion_is_refused_with_a_reason),
        cmocka_unit_test(an_error_is_told_in_its_own_words)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
