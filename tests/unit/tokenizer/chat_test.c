/* chat_test.c: conversations to prompts: what is recognised, what is refused, and that typed text
 * never becomes a control token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "support/tiny_tokenizer.h"
#include "tokenizer/chat.h"

#define SPECIALS                                                                                   \
    "{\"id\": 257, \"content\": \"<|im_start|>\", \"special\": true, \"normalized\": false}, "     \
    "{\"id\": 258, \"content\": \"<|im_end|>\", \"special\": true, \"normalized\": false}, "       \
    "{\"id\": 259, \"content\": \"<think>\", \"special\": false, \"normalized\": false}"

/* 256: "\nh", which merges across the border of template and message. */
static const char *const merges[] = {"\xC4\x8A h", NULL};

static struct tokenizer *chatml_tokenizer(void)
{
    return tiny_create(&(struct tiny){.pre = "", .merges = merges, .added = SPECIALS});
}

static const struct chat_format *format(const char *name)
{
    const struct chat_format *f = chat_format_by_name(name);

    if (!f)
        fail_msg("no format %s", name);
    return f;
}

static void assert_renders(const char *name, const struct chat *c, const char *want)
{
    struct mk_error err = {0};
    struct buf text;

    buf_init(&text, 1 << 20);
    if (chat_render(format(name), NULL, c, &text, &err))
        fail_msg("%s", err.text);
    assert_string_equal(text.data, want);
    buf_release(&text);
}

static int refusal(const char *name, const struct chat *c, struct mk_error *err)
{
    struct buf text;
    int rc;

    *err = (struct mk_error){0};
    buf_init(&text, 1 << 20);
    rc = chat_render(format(name), NULL, c, &text, err);
    buf_release(&text);
    return rc;
}

static void smollm2_introduces_itself_unless_told_otherwise(void **state)
{
    static const struct chat_message hi = {.role = "user", .content = "hi"},
                                     two[] = {{.role = "system", .content = "S"},
                                              {.role = "user", .content = "hi"}};

    (void)state;
    assert_renders("smollm2",
                   &(struct chat){.messages = &hi, .n_messages = 1, .add_generation_prompt = true},
                   "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by "
                   "Hugging Face<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
                   "<|im_start|>assistant\n");
    assert_renders("smollm2", &(struct chat){.messages = two, .n_messages = 2},
                   "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n");
}

static void assert_prompt_ids(const struct tokenizer *t, const char *content, const int32_t *want,
                              size_t n)
{
    struct chat_message m = {.role = "user", .content = content};
    struct chat c = {.messages = &m, .n_messages = 1};
    struct mk_error err = {0};
    struct ids ids = {0};

    if (chat_encode(format("chatml"), t, &c, &ids, &err))
        fail_msg("%s", err.text);
    assert_int_equal(ids.n, n);
    assert_memory_equal(ids.data, want, n * sizeof *want);
    ids_release(&ids);
}

static void a_control_token_that_a_user_types_stays_text(void **state)
{
    struct tokenizer *t = chatml_tokenizer();
    static const int32_t want[] = {257, 'u', 's', 'e', 'r', '\n', '<', '|', 'i',
                                   'm', '_', 'e', 'n', 'd', '|',  '>', 258, '\n'};

    (void)state;
    assert_prompt_ids(t, "<|im_end|>", want, sizeof want / sizeof *want);
    tokenizer_free(t);
}

/* The template ends in "<|im_end|>\n": "<|im_end|>" must not arise from a typed half either. */
static void a_control_token_half_typed_stays_text(void **state)
{
    struct tokenizer *t = chatml_tokenizer();
    static const int32_t want[] = {257, 'u', 's', 'e', 'r', '\n', '<', '|', 'i', 'm', '_', 258,
                                   '\n'};

    (void)state;
    assert_prompt_ids(t, "<|im_", want, sizeof want / sizeof *want);
    tokenizer_free(t);
}

static void text_merges_across_the_border_of_template_and_message(void **state)
{
    struct tokenizer *t = chatml_tokenizer();
    static const int32_t want[] = {257, 'u', 's', 'e', 'r', 256, 'i', 258, '\n'};

    (void)state;
    assert_prompt_ids(t, "hi", want, sizeof want / sizeof *want);
    tokenizer_free(t);
}

static void a_role_that_no_template_knows_is_refused(void **state)
{
    struct chat_message m = {.role = "system<|im_end|>", .content = "x"};
    struct mk_error err;

    (void)state;
    assert_int_equal(refusal("chatml", &(struct chat){.messages = &m, .n_messages = 1}, &err),
                     MK_EINVAL);
    assert_non_null(strstr(err.text, "message 0: role"));
    assert_int_equal(refusal("chatml", &(struct chat){0}, &err), MK_EINVAL);
}

static void tools_that_are_not_json_are_refused(void **state)
{
    static const char *const wrong[] = {"[", "{}", "[{}]", "[1]",
                                        "[{\"function\": {\"name\": 1}}]"};
    struct chat_message m = {.role = "user", .content = "x"};
    struct mk_error err;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct chat c = {.messages = &m, .n_messages = 1, .tools_json = wrong[i]};

        assert_int_equal(refusal("qwen3", &c, &err), MK_EINVAL);
        assert_non_null(strstr(err.text, "tool"));
    }
}

static void every_row_is_found_by_its_name(void **state)
{
    const char *name;
    size_t n = 0;

    (void)state;
    for (; (name = chat_format_name_at(n)); n++)
        assert_ptr_equal(chat_format_name(format(name)), name);
    assert_true(n >= 5);
    assert_null(chat_format_by_name("no such format"));
    assert_null(chat_format_by_name(NULL));
}

static void a_tokenizer_without_a_template_has_no_format(void **state)
{
    struct tokenizer *t = chatml_tokenizer();

    (void)state;
    assert_null(chat_format_for(t, "llama"));
    tokenizer_free(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_introduces_itself_unless_told_otherwise),
        cmocka_unit_test(a_control_token_that_a_user_types_stays_text),
        cmocka_unit_test(a_control_token_half_typed_stays_text),
        cmocka_unit_test(text_merges_across_the_border_of_template_and_message),
        cmocka_unit_test(a_role_that_no_template_knows_is_refused),
        cmocka_unit_test(tools_that_are_not_json_are_refused),
        cmocka_unit_test(every_row_is_found_by_its_name),
        cmocka_unit_test(a_tokenizer_without_a_template_has_no_format),
    };
    return cmocka_run_group_tests_name("chat", tests, NULL, NULL);
}
