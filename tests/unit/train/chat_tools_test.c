/* chat_tools_test.c: conversations that call tools: learned as the templates write them
 * (tests/golden/templates), the tools' results not; what a template would lose is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map_file.h"
#include "support/tiny_tokenizer.h"
#include "train/chat_data.h"

#define EOS "<｜end▁of▁sentence｜>"

/* The marks that end answers, as tokens 256 and up. */
static struct tokenizer *make_tokenizer(void)
{
    return tiny_create(
        &(struct tiny){.pre = "",
                       .added = "{\"id\": 256, \"content\": \"<|im_end|>\", \"special\": true}, "
                                "{\"id\": 257, \"content\": \"<|eot_id|>\", \"special\": true}, "
                                "{\"id\": 258, \"content\": \"</s>\", \"special\": true}, "
                                "{\"id\": 259, \"content\": \"" EOS "\", \"special\": true}"});
}

/* A conversation as a line of a file, through a record, to text: all of it, and what is learned. */
struct outcome {
    struct buf all, learned;
    char why[768]; /* or why not */
};

static void append(struct buf *out, const struct tokenizer *t, int32_t id)
{
    struct mk_error err;
    size_t n;
    const char *text = tokenizer_bytes(t, id, true, &n);

    assert_int_equal(buf_append(out, text, n, &err), 0);
}

static int read_line(const char *line, struct text_document *d, struct text_source **s,
                     struct mk_error *err)
{
    struct text_source_options o = text_source_defaults();
    char path[] = "/tmp/minke-tools-XXXXXX.jsonl";
    int fd = mkstemps(path, 6), rc;
    bool more;

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(write_file(path, line, strlen(line), err), 0);
    rc = text_source_open(s, path, &o, err);
    assert_int_equal(rc, 0);
    rc = text_source_next(*s, d, &more, err);
    unlink(path);
    return rc;
}

static void encode(const char *format, const char *line, struct outcome *out)
{
    struct tokenizer *t = make_tokenizer();
    struct chat_ids ids = {0};
    struct text_document d;
    struct text_source *s;
    struct chat_data c;
    struct mk_error err;
    struct buf record;
    const char *why = NULL;
    char room[160];
    int rc;

    *out = (struct outcome){0};
    buf_init(&record, 1 << 20);
    buf_init(&out->all, 1 << 20);
    buf_init(&out->learned, 1 << 20);
    assert_int_equal(chat_data_init(&c, t, format, NULL, false, &err), 0);
    rc = read_line(line, &d, &s, &err);
    if (!rc)
        why = chat_data_check(&c, &d, room);
    if (!rc && !why) {
        assert_int_equal(chat_record_write(&record, &d, &err), 0);
        rc = chat_record_encode(&c, record.data, record.n, &ids, &err);
    }
    snprintf(out->why, sizeof out->why, "%s", why ? why : rc ? err.text : "");
    for (size_t i = 0; !rc && !why && i < ids.ids.n; i++) {
        append(&out->all, t, ids.ids.data[i]);
        if (ids.learned[i])
            append(&out->learned, t, ids.ids.data[i]);
    }
    buf_append(&out->all, "", 1, &err);
    buf_append(&out->learned, "", 1, &err);
    text_source_close(s);
    chat_ids_release(&ids);
    buf_release(&record);
    tokenizer_free(t);
}

static void release(struct outcome *o)
{
    buf_release(&o->all);
    buf_release(&o->learned);
}

/* ---- Against the templates ------------------------------------------------------------------- */

static json_t *golden(void)
{
    json_error_t where;
    json_t *all = json_load_file("tests/golden/templates/cases.json", 0, &where);

    if (!all)
        fail_msg("%s:%d: %s", where.source, where.line, where.text);
    return all;
}

/* A case as a line of data; without tools where the template has no place for them. */
static char *line_of(const json_t *all, const char *which, const char *format)
{
    json_t *c = json_deep_copy(json_object_get(json_object_get(all, "cases"), which));
    char *line;

    if (!chat_format_takes_tools(chat_format_by_name(format)))
        json_object_del(c, "tools");
    line = json_dumps(c, JSON_COMPACT);
    json_decref(c);
    return line;
}

#define WEATHER "{\"city\": \"\\u00c5rhus\", \"days\": 2}"   /* as the case has it */
#define WEATHER_READ "{\"city\": \"Århus\", \"days\": 2}" /* read as JSON, and written again */
#define TAG(name, key, arguments) "{\"name\": \"" name "\", \"" key "\": " arguments "}"
#define QWEN(call) "<tool_call>\n" call "\n</tool_call><|im_end|>"
#define CALL(name, arguments)                                                                      \
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" name "\n```json\n" arguments                   \
    "\n```<｜tool▁call▁end｜>"
#define CALLS "<｜tool▁calls▁begin｜>"
#define CLOSED "<｜tool▁calls▁end｜>" EOS
#define V31(name, arguments)                                                                       \
    CALLS "<｜tool▁call▁begin｜>" name "<｜tool▁sep｜>" arguments "<｜tool▁call▁end｜>" CLOSED
#define MISTRAL(space, name, arguments, n)                                                         \
    "[TOOL_CALLS]" space "[{\"name\": \"" name "\", \"arguments\": " arguments                   \
    ", \"id\": \"abcdefgh" n "\"}]</s>"

/* What is learned of the cases "call" and "calls twice", in which "x" and "y" are answers, and "1"
 * and "2" what the tools gave. */
static const struct {
    const char *format, *call, *twice;
} wanted[] = {
    {"qwen2.5", QWEN(TAG("weather", "arguments", WEATHER_READ)),
     QWEN(TAG("weather", "arguments", WEATHER_READ)) "x<|im_end|>" QWEN(
         TAG("clock", "arguments", "{}")) "y<|im_end|>"},
    {"qwen3", "<think>\n\n</think>\n\n" QWEN(TAG("weather", "arguments", WEATHER)),
     QWEN(TAG("weather", "arguments", WEATHER)) "x<|im_end|>" QWEN(
         TAG("clock", "arguments", "{}")) "<think>\n\n</think>\n\ny<|im_end|>"},
    /* the older templates leave a conversation's first call open, and go on with its list */
    {"deepseek-v2.5", CALLS CALL("weather", WEATHER),
     CALLS CALL("weather", WEATHER) "x" EOS "\n" CALL("clock", "{}") CLOSED "y" EOS},
    {"deepseek-v3", CALLS CALL("weather", WEATHER),
     CALLS CALL("weather", WEATHER) "x" EOS "\n" CALL("clock", "{}") CLOSED "y" EOS},
    {"deepseek-r1", CALLS CALL("weather", WEATHER),
     CALLS CALL("weather", WEATHER) "x" EOS "\n" CALL("clock", "{}") CLOSED "y" EOS},
    {"deepseek-v3-0324", CALLS CALL("weather", WEATHER) CLOSED,
     CALLS CALL("weather", WEATHER) CLOSED "x" EOS "\n" CALL("clock", "{}") CLOSED "y" EOS},
    {"deepseek-r1-tools", CALLS CALL("weather", WEATHER) CLOSED,
     CALLS CALL("weather", WEATHER) CLOSED "x" EOS "\n" CALL("clock", "{}") CLOSED "y" EOS},
    {"deepseek-v3.1", V31("weather", WEATHER),
     V31("weather", WEATHER) "x" EOS V31("clock", "{}") "y" EOS},
    {"llama3.1", TAG("weather", "parameters", WEATHER_READ) "<|eot_id|>",
     TAG("weather", "parameters", WEATHER_READ) "<|eot_id|>x<|eot_id|>" TAG(
         "clock", "parameters", "{}") "<|eot_id|>y<|eot_id|>"},
    {"mistral-v3", MISTRAL(" ", "weather", WEATHER_READ, "1"),
     MISTRAL(" ", "weather", WEATHER_READ, "1") " x</s>" MISTRAL(" ", "clock", "{}", "2") " y</s>"},
    {"mistral-nemo", MISTRAL("", "weather", WEATHER_READ, "1"),
     MISTRAL("", "weather", WEATHER_READ, "1") "x</s>" MISTRAL("", "clock", "{}", "2") "y</s>"},
};
enum { N_WANTED = sizeof wanted / sizeof *wanted };

static void check(const json_t *all, const char *format, const char *which, const char *learned)
{
    const json_t *texts = json_object_get(json_object_get(all, "texts"), format);
    char *line = line_of(all, which, format);
    struct outcome o;

    encode(format, line, &o);
    if (o.why[0])
        fail_msg("%s, %s: %s", format, which, o.why);
    assert_string_equal(o.all.data, json_string_value(json_object_get(texts, which)));
    if (strcmp(o.learned.data, learned))
        fail_msg("%s, %s: \"%s\" is learned, not \"%s\"", format, which, o.learned.data, learned);
    release(&o);
    free(line);
}

static void calls_are_learned_as_templates_write_them_and_results_are_not(void **state)
{
    json_t *all = golden();

    (void)state;
    for (int i = 0; i < N_WANTED; i++) {
        check(all, wanted[i].format, "call", wanted[i].call);
        check(all, wanted[i].format, "calls twice", wanted[i].twice);
    }
    json_decref(all);
}

static void refused(const char *format, const char *line, const char *why)
{
    struct outcome o;

    encode(format, line, &o);
    if (!strstr(o.why, why))
        fail_msg("%s: \"%s\", expected \"%s\"", format, o.why, why);
    release(&o);
}

/* Every other template: its prompts have no calls, so its answers would lose them. */
static void templates_without_calls_refuse_them(void **state)
{
    json_t *all = golden();
    const char *name;
    int n = 0;

    (void)state;
    for (size_t i = 0; (name = chat_format_name_at(i)); i++) {
        bool writes = !strcmp(name, "r1-distill"); /* R1's template */
        char *line = line_of(all, "calls twice", name);

        for (int k = 0; k < N_WANTED; k++)
            writes |= !strcmp(name, wanted[k].format);
        if (!writes && strncmp(name, "mistral", 7)) /* they refuse by themselves */
            refused(name, line, "writes 0 of 2 tool calls");
        n += !writes;
        free(line);
    }
    assert_true(n >= 7);
    json_decref(all);
}

#define USER "{\"role\": \"user\", \"content\": \"Q\"}"
#define CALLING(content, arguments)                                                                \
    "{\"role\": \"assistant\", \"content\": " content ", \"tool_calls\": [{\"function\": "         \
    "{\"name\": \"f\", \"arguments\": " arguments "}}]}"
#define LINE(more, messages) "{" more "\"messages\": [" USER ", " messages "]}"
#define TOOLS "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\"}}], "

static void what_would_be_lost_is_refused(void **state)
{
    (void)state;
    /* text beside a call: V3's template writes the text alone */
    refused("deepseek-v3", LINE("", CALLING("\"text\"", "\"{}\"")), "writes 0 of 1 tool calls");
    refused("deepseek-v3", LINE(TOOLS, CALLING("null", "\"{}\"")), "no place for \"tools\"");
    refused("qwen2.5", LINE("\"tools\": 1, ", CALLING("null", "\"{}\"")), "neither a list nor");
    refused("qwen2.5", LINE("\"tools\": \"[\", ", CALLING("null", "\"{}\"")), "tools: line 1");
    refused("qwen2.5", LINE("", CALLING("null", "1")), "message 1 calls a tool without");
    refused("qwen2.5", LINE("", CALLING("null", "\"{\"")), "arguments");
    refused("qwen2.5", LINE("", "{\"role\": \"assistant\", \"tool_calls\": {}}"), "no list");
    refused("qwen2.5", LINE("", "{\"role\": \"assistant\", \"tool_calls\": []}"), "no \"content\"");
    refused("qwen2.5",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Q\", \"tool_calls\": "
            "[{\"name\": \"f\", \"arguments\": {}}]}]}",
            "message 0 (user) calls tools");
}

/* Arguments as an object or as text, tools as a list or as text, content missing, null or empty. */
static void every_way_to_write_a_call_is_read(void **state)
{
    static const char *const lines[] = {
        LINE(TOOLS, CALLING("null", "\"{\\\"a\\\": 1}\"")),
        LINE(TOOLS, CALLING("\"\"", "{\"a\": 1}")),
        LINE(TOOLS, "{\"role\": \"assistant\", \"tool_calls\": [{\"name\": \"f\", "
                    "\"arguments\": {\"a\": 1}}]}"),
        LINE("\"tools\": \"[{\\\"type\\\": \\\"function\\\", \\\"function\\\": "
             "{\\\"name\\\": \\\"f\\\"}}]\", ",
             CALLING("null", "{\"a\": 1}"))};
    struct outcome first, o;

    (void)state;
    encode("qwen3", lines[0], &first);
    assert_string_equal(first.why, "");
    assert_non_null(strstr(first.learned.data, TAG("f", "arguments", "{\"a\": 1}")));
    assert_non_null(strstr(first.all.data, "<tools>\n{\"type\": \"function\""));
    for (size_t i = 1; i < sizeof lines / sizeof *lines; i++) {
        encode("qwen3", lines[i], &o);
        assert_string_equal(o.why, "");
        assert_string_equal(o.all.data, first.all.data);
        assert_string_equal(o.learned.data, first.learned.data);
        release(&o);
    }
    release(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_learned_as_templates_write_them_and_results_are_not),
        cmocka_unit_test(templates_without_calls_refuse_them),
        cmocka_unit_test(what_would_be_lost_is_refused),
        cmocka_unit_test(every_way_to_write_a_call_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
