/* templates_test.c: every prompt format against its template, as Jinja2 rendered it
 * (tests/golden/templates, made by tools/golden/templates.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "support/tiny_tokenizer.h"
#include "tokenizer/chat.h"

#define FOLDER "tests/golden/templates/"
enum { MAX_MESSAGES = 16, MAX_CALLS = 4 };

/* A conversation of cases.json; texts belong to the JSON. */
struct conversation {
    struct chat chat;
    struct chat_message messages[MAX_MESSAGES];
    struct chat_tool_call calls[MAX_MESSAGES][MAX_CALLS];
    char *tools; /* owned */
};

static const char *text_in(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void read_calls(struct conversation *c, int32_t at, const json_t *calls)
{
    const json_t *call;
    size_t i;

    json_array_foreach(calls, i, call)
    {
        const json_t *function = json_object_get(call, "function");

        assert_true(i < MAX_CALLS);
        c->calls[at][i] = (struct chat_tool_call){text_in(call, "id"), text_in(function, "name"),
                                                  text_in(function, "arguments")};
    }
    c->messages[at].tool_calls = c->calls[at];
    c->messages[at].n_tool_calls = (int32_t)json_array_size(calls);
}

static void read_conversation(struct conversation *c, const json_t *from)
{
    const json_t *think = json_object_get(from, "think"), *tools = json_object_get(from, "tools");
    const json_t *list = json_object_get(from, "messages"), *message;
    size_t i;

    memset(c, 0, sizeof *c);
    json_array_foreach(list, i, message)
    {
        assert_true(i < MAX_MESSAGES);
        c->messages[i] = (struct chat_message){.role = text_in(message, "role"),
                                               .content = text_in(message, "content"),
                                               .tool_call_id = text_in(message, "tool_call_id")};
        read_calls(c, (int32_t)i, json_object_get(message, "tool_calls"));
    }
    c->tools = tools ? json_dumps(tools, JSON_COMPACT) : NULL;
    c->chat = (struct chat){.messages = c->messages,
                            .n_messages = (int32_t)json_array_size(list),
                            .tools_json = c->tools,
                            .think = !think                ? CHAT_THINK_AUTO
                                     : json_is_true(think) ? CHAT_THINK_ON
                                                           : CHAT_THINK_OFF,
                            .add_generation_prompt =
                                json_is_true(json_object_get(from, "add_generation_prompt"))};
}

/* Says both texts and goes on, so that one run shows every difference. */
static int compare(const struct chat_format *f, const char *which, const json_t *conversation,
                   const char *want)
{
    struct mk_error err = {0};
    struct conversation c;
    struct buf text;
    int rc, wrong;

    read_conversation(&c, conversation);
    buf_init(&text, 1 << 20);
    rc = chat_render(f, NULL, &c.chat, &text, &err);
    wrong = want ? rc || strlen(want) != text.n || memcmp(want, text.data, text.n)
                 : rc != MK_EINVAL || !err.text[0];
    if (wrong)
        print_error("%s, %s:\n  got  %.*s%s\n  want %s\n", chat_format_name(f), which,
                    rc ? 0 : (int)text.n, text.n ? text.data : "", err.text,
                    want ? want : "a refusal");
    buf_release(&text);
    free(c.tools);
    return wrong;
}

static json_t *cases(void)
{
    json_error_t where;
    json_t *all = json_load_file(FOLDER "cases.json", 0, &where);

    if (!all)
        fail_msg("%s:%d: %s", where.source, where.line, where.text);
    return all;
}

static void every_prompt_is_the_template_to_the_byte(void **state)
{
    json_t *all = cases(), *texts, *want;
    const char *name, *which;
    int n_wrong = 0, n_cases = 0;

    (void)state;
    json_object_foreach(json_object_get(all, "texts"), name, texts)
    {
        const struct chat_format *f = chat_format_by_name(name);

        assert_non_null(f);
        json_object_foreach(texts, which, want)
        {
            const json_t *c = json_object_get(json_object_get(all, "cases"), which);

            n_wrong += compare(f, which, c, json_string_value(want));
            n_cases++;
        }
    }
    json_decref(all);
    assert_true(n_cases >= 17 * 20);
    assert_int_equal(n_wrong, 0);
}

/* ---- typed control tokens -------------------------------------------------------------------- */

/* The marks of all families, as tokens 256 and up. */
static struct tokenizer *tokenizer_of_marks(void)
{
    static const char *const marks[] = {"<|im_start|>",
                                        "<|im_end|>",
                                        "<think>",
                                        "</think>",
                                        "<tool_call>",
                                        "[INST]",
                                        "[/INST]",
                                        "</s>",
                                        "<|eot_id|>",
                                        "<|start_header_id|>",
                                        "<|end_header_id|>",
                                        "<｜User｜>",
                                        "<｜Assistant｜>",
                                        "<｜begin▁of▁sentence｜>",
                                        "<｜end▁of▁sentence｜>",
                                        "<｜tool▁output▁begin｜>",
                                        "[TOOL_RESULTS]",
                                        "[/TOOL_RESULTS]"};
    char added[4096];
    size_t n = 0;

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        n += (size_t)snprintf(added + n, sizeof added - n,
                              "%s{\"id\": %zu, \"content\": \"%s\", \"special\": true, "
                              "\"normalized\": false}",
                              i ? ", " : "", 256 + i, marks[i]);
    return tiny_create(&(struct tiny){.pre = "", .added = added});
}

static int32_t count_marks(const struct chat_format *f, const struct tokenizer *t,
                           const char *question, const char *answer, const char *result)
{
    const struct chat_tool_call call = {"abcdefgh1", "f", "{}"};
    const struct chat_message messages[] = {
        {.role = "user", .content = question},
        {.role = "assistant", .content = NULL, .tool_calls = &call, .n_tool_calls = 1},
        {.role = "tool", .content = result, .tool_call_id = "abcdefgh1"},
        {.role = "assistant", .content = answer},
        {.role = "user", .content = question}};
    bool calls = chat_format_takes_tools(f) || strstr(chat_format_name(f), "deepseek-v3");
    struct chat_message plain[] = {messages[0], messages[3], messages[4]};
    struct chat c = {.messages = calls ? messages : plain, .n_messages = calls ? 5 : 3};
    struct mk_error err = {0};
    struct ids ids = {0};
    int32_t n = 0;

    if (chat_encode(f, t, &c, &ids, &err))
        fail_msg("%s: %s", chat_format_name(f), err.text);
    for (size_t i = 0; i < ids.n; i++)
        n += ids.data[i] >= 256;
    ids_release(&ids);
    return n;
}

static void what_people_and_tools_say_holds_no_control_tokens(void **state)
{
    static const char marks[] = "<|im_end|>[/INST]</s><|eot_id|><|start_header_id|><｜User｜>"
                                "<｜end▁of▁sentence｜><tool_call>[/TOOL_RESULTS]<｜Assistant｜>";
    struct tokenizer *t = tokenizer_of_marks();
    const char *name;

    (void)state;
    for (size_t i = 0; (name = chat_format_name_at(i)); i++) {
        const struct chat_format *f = chat_format_by_name(name);
        int32_t own = count_marks(f, t, "x", "y", "z");

        assert_true(own > 0 || !strcmp(name, "deepseek-v2"));
        if (count_marks(f, t, marks, marks, marks) != own)
            fail_msg("%s: a typed mark became a control token", name);
    }
    tokenizer_free(t);
}

/* ---- recognising ----------------------------------------------------------------------------- */

static char *file_text(const char *name, size_t *n)
{
    char path[256], *text = malloc(1 << 16);
    FILE *f;

    snprintf(path, sizeof path, FOLDER "%s.jinja", name);
    f = fopen(path, "rb");
    if (!f || !text)
        fail_msg("%s cannot be read", path);
    *n = fread(text, 1, 1 << 16, f);
    fclose(f);
    return text;
}

/* The row for a template as it stands in a file of this kind of model. */
static const char *recognised(const char *template, size_t n, const char *model_type)
{
    struct tokenizer *t = tiny_create(&(struct tiny){.pre = ""});
    struct vocab *v = (struct vocab *)(uintptr_t)tokenizer_vocab(t);
    struct vocab_text own = v->chat_template;
    const struct chat_format *f;

    v->chat_template = (struct vocab_text){template, (uint32_t)n};
    f = chat_format_for(t, model_type);
    v->chat_template = own;
    tokenizer_free(t);
    return f ? chat_format_name(f) : NULL;
}

static void every_template_is_recognised(void **state)
{
    json_t *all = cases(), *texts;
    const char *name;

    (void)state;
    json_object_foreach(json_object_get(all, "texts"), name, texts)
    {
        size_t n;
        char *text = file_text(name, &n);
        const char *got = recognised(text, n, "deepseek_v3");

        if (!got || strcmp(got, name))
            fail_msg("%s.jinja is taken for %s", name, got ? got : "nothing");
        free(text);
    }
    json_decref(all);
}

static void the_kind_of_model_tells_r1_from_its_distills(void **state)
{
    size_t n;
    char *text = file_text("deepseek-r1", &n);

    (void)state;
    assert_string_equal(recognised(text, n, "qwen2"), "r1-distill");
    assert_string_equal(recognised(text, n, "llama"), "r1-distill");
    assert_string_equal(recognised(text, n, "deepseek_v3"), "deepseek-r1");
    assert_string_equal(recognised(text, n, NULL), "deepseek-r1");
    free(text);
}

/* A table row by its text, never by running it. */
static void another_template_is_not_recognised(void **state)
{
    static const char other[] = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}";

    (void)state;
    assert_null(recognised(other, sizeof other - 1, "llama"));
    assert_null(recognised("", 0, "llama"));
}

static void every_row_of_the_table_has_a_template_here(void **state)
{
    json_t *all = cases(), *texts = json_object_get(all, "texts");
    const char *name;

    (void)state;
    for (size_t i = 0; (name = chat_format_name_at(i)); i++)
        if (strcmp(name, "r1-distill") && !json_object_get(texts, name)) /* R1's own text */
            fail_msg("%s has no template in " FOLDER, name);
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prompt_is_the_template_to_the_byte),
        cmocka_unit_test(what_people_and_tools_say_holds_no_control_tokens),
        cmocka_unit_test(every_template_is_recognised),
        cmocka_unit_test(the_kind_of_model_tells_r1_from_its_distills),
        cmocka_unit_test(another_template_is_not_recognised),
        cmocka_unit_test(every_row_of_the_table_has_a_template_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
