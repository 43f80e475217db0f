/* text_source_test.c: the documents of every kind of file, and what happens to bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/map_file.h"
#include "formats/text_source.h"

struct folder { char path[64]; };

static int setup(void **state)
{
    struct folder *f = calloc(1, sizeof *f);

    snprintf(f->path, sizeof f->path, "/tmp/minke-source-XXXXXX");
    *state = f;
    return mkdtemp(f->path) ? 0 : -1;
}

/* The names that the tests below use. */
static int teardown(void **state)
{
    static const char *const names[] = {"a.txt", "b.txt.gz", "c.jsonl", "c.jsonl.zst", "notes.bin",
                                        "d/e.txt", "d", ".hidden.txt"};
    struct folder *f = *state;
    char path[256];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", f->path, names[i]);
        remove(path);
    }
    rmdir(f->path);
    free(f);
    return 0;
}

static const char *in(void **state, const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", ((struct folder *)*state)->path, name);
    return path;
}

static void put(void **state, const char *name, const char *text)
{
    struct mk_error err = {0};
    char path[256];

    assert_int_equal(write_file(in(state, name, path), text, strlen(text), &err), 0);
}

static void put_packed(void **state, const char *name, const char *text, bool zstd)
{
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    char path[256];

    archive_write_set_format_raw(a);
    if (zstd)
        archive_write_add_filter_zstd(a);
    else
        archive_write_add_filter_gzip(a);
    assert_int_equal(archive_write_open_filename(a, in(state, name, path)), ARCHIVE_OK);
    archive_entry_set_filetype(e, AE_IFREG);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, text, strlen(text)), strlen(text));
    assert_int_equal(archive_write_free(a), ARCHIVE_OK);
    archive_entry_free(e);
}

/* All documents, each as "text|" or "role: content;...|". */
static int read_all(const char *path, const struct text_source_options *o, struct buf *out,
                    struct text_source_counts *counts, struct mk_error *err)
{
    struct text_source *s;
    struct text_document d;
    bool more = true;
    int rc = text_source_open(&s, path, o, err);

    buf_init(out, 1 << 20);
    if (rc)
        return rc;
    while (!(rc = text_source_next(s, &d, &more, err)) && more) {
        if (d.text)
            buf_append(out, d.text, d.n, err);
        for (size_t i = 0; i < d.n_messages; i++)
            buf_printf(out, err, "%s%s: %s%s%s;", d.n_prompt && i == d.n_prompt ? "+ " : "",
                       d.messages[i].role, d.messages[i].content,
                       d.messages[i].reasoning ? " thought " : "",
                       d.messages[i].reasoning ? d.messages[i].reasoning : "");
        for (size_t i = d.n_prompt; i < d.n_rejected; i++)
            buf_printf(out, err, "- %s: %s;", d.rejected[i].role, d.rejected[i].content);
        buf_append(out, "|", 1, err);
    }
    if (counts)
        *counts = text_source_counts(s);
    text_source_close(s);
    return rc;
}

static void assert_documents(void **state, const char *name, const struct text_source_options *o,
                             const char *want)
{
    struct mk_error err = {0};
    struct buf got;
    char path[256];

    if (read_all(in(state, name, path), o, &got, NULL, &err))
        fail_msg("%s", err.text);
    assert_string_equal(got.n ? got.data : "", want);
    buf_release(&got);
}

static void plain_text_is_one_document_or_parted_by_a_line(void **state)
{
    struct text_source_options o = text_source_defaults();

    put(state, "a.txt", "one\ntwo\n\n\nthree\r\n\r\nfour");
    assert_documents(state, "a.txt", &o, "one\ntwo\n\n\nthree\r\n\r\nfour|");
    o.separator = "";
    assert_documents(state, "a.txt", &o, "one\ntwo\n|three\r\n|four|");
    o.separator = "two";
    assert_documents(state, "a.txt", &o, "one\n|\n\nthree\r\n\r\nfour|");
    put(state, "a.txt", "");
    assert_documents(state, "a.txt", &o, "");
}

static void jsonl_gives_texts_and_conversations(void **state)
{
    struct text_source_options o = text_source_defaults();

    put(state, "c.jsonl",
        "{\"text\": \"a\\nb\", \"id\": 1}\n\n{\"text\": \"\"}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, "
        "{\"role\": \"assistant\", \"content\": \"\\u00e9\"}]}\n"
        "{\"conversations\": [{\"from\": \"human\", \"value\": \"x\"}]}");
    assert_documents(state, "c.jsonl", &o, "a\nb|user: hi;assistant: \303\251;|user: x;|");
    o.field = "id2";
    put(state, "c.jsonl", "{\"id2\": \"other\"}\r\n");
    assert_documents(state, "c.jsonl", &o, "other|");
}

static void pairs_are_two_conversations_with_one_prompt(void **state)
{
    struct text_source_options o = text_source_defaults();

    o.pairs = true;
    put(state, "c.jsonl",
        "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\"}\n"
        "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
        "\"content\": \"q\"}], \"chosen\": [{\"role\": \"assistant\", \"content\": \"a\", "
        "\"reasoning_content\": \"t\"}], \"rejected\": \"b\"}\n"
        "{\"prompt\": \"q\", \"chosen\": [{\"role\": \"user\", \"content\": \"q\"}, "
        "{\"role\": \"assistant\", \"content\": \"a\"}], \"rejected\": [{\"role\": \"user\", "
        "\"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n");
    assert_documents(state, "c.jsonl", &o,
                     "user: q;+ assistant: a;- assistant: b;|"
                     "system: s;user: q;+ assistant: a thought t;- assistant: b;|"
                     "user: q;+ assistant: a;- assistant: b;|");
}

static void packed_files_are_unpacked_and_folders_walked_in_order(void **state)
{
    struct text_source_options o = text_source_defaults();
    struct text_source_counts counts;
    struct mk_error err = {0};
    struct buf got;
    char path[256];

    assert_int_equal(mkdir(in(state, "d", path), 0777), 0);
    put(state, "d/e.txt", "last");
    put(state, "a.txt", "first");
    put(state, ".hidden.txt", "no");
    put(state, "notes.bin", "no");
    put(state, "code.c", "int x;");
    put_packed(state, "b.txt.gz", "packed text", false);
    put_packed(state, "c.jsonl.zst", "{\"text\": \"packed line\"}\n", true);
    assert_int_equal(read_all(((struct folder *)*state)->path, &o, &got, &counts, &err), 0);
    assert_string_equal(got.data, "first|packed text|packed line|int x;|last|");
    assert_int_equal(counts.n_files, 5);
    assert_int_equal(counts.n_documents, 5);
    assert_int_equal(counts.n_bytes, 5 + 11 + 11 + 6 + 4);
    buf_release(&got);
}

/* Lines longer than a block of the stream, and more of them than the window holds. */
static void long_lines_keep_their_bytes(void **state)
{
    struct text_source_options o = text_source_defaults();
    const size_t n = 700001, n_lines = 7;
    char *text = malloc((n + 1) * n_lines + 1), path[256];
    struct mk_error err = {0};
    struct text_source *s;
    struct text_document d;
    bool more;

    assert_non_null(text);
    for (size_t k = 0; k < n_lines; k++) {
        memset(text + k * (n + 1), 'a' + (int)k, n);
        text[k * (n + 1) + n] = '\n';
        text[k * (n + 1) + n / 2] = k % 2 ? '\n' : 'x';
    }
    text[(n + 1) * n_lines] = 0;
    put_packed(state, "b.txt.gz", text, false);
    o.separator = "nothing";
    assert_int_equal(text_source_open(&s, in(state, "b.txt.gz", path), &o, &err), 0);
    assert_int_equal(text_source_next(s, &d, &more, &err), 0);
    assert_true(more);
    assert_int_equal(d.n, (n + 1) * n_lines);
    assert_memory_equal(d.text, text, d.n);
    text_source_close(s);
    free(text);
}

static void expect_error(void **state, const char *name, const struct text_source_options *o,
                         int code, const char *why)
{
    struct mk_error err = {0};
    struct buf got;
    char path[256];

    assert_int_equal(read_all(in(state, name, path), o, &got, NULL, &err), code);
    if (!strstr(err.text, why) || (code != MK_ENOTFOUND && !strstr(err.text, name)))
        fail_msg("%s", err.text);
    buf_release(&got);
}

static void bad_files_are_named_with_the_line(void **state)
{
    struct text_source_options o = text_source_defaults();
    char long_line[3000];
    char path[256];

    put(state, "c.jsonl", "{\"text\": \"a\"}\n{\"text\": }\n");
    expect_error(state, "c.jsonl", &o, MK_EFORMAT, "line 2");
    put(state, "c.jsonl", "{\"txt\": \"a\"}\n");
    expect_error(state, "c.jsonl", &o, MK_EFORMAT, "no text in a field \"text\"");
    put(state, "c.jsonl", "[[[");
    expect_error(state, "c.jsonl", &o, MK_EFORMAT, "line 1");
    put(state, "c.jsonl", "{\"messages\": [1]}");
    expect_error(state, "c.jsonl", &o, MK_EFORMAT, "role");
    put(state, "b.txt.gz", "not packed");
    expect_error(state, "b.txt.gz", &o, MK_EFORMAT, "not packed as its name says");
    put_packed(state, "b.txt.gz", "some text that is packed and then cut off in the middle", false);
    assert_int_equal(truncate(in(state, "b.txt.gz", path), 30), 0);
    expect_error(state, "b.txt.gz", &o, MK_EFORMAT, "cannot be read");
    expect_error(state, "none.txt", &o, MK_ENOTFOUND, "none.txt");
    assert_int_equal(mkdir(in(state, "d", path), 0777), 0);
    expect_error(state, "d", &o, MK_ENOTFOUND, "no text");
    memset(long_line, 'a', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = 0;
    o.max_document = 1000;
    put(state, "a.txt", long_line);
    expect_error(state, "a.txt", &o, MK_ELIMIT, "1000");
    put(state, "c.jsonl", long_line);
    expect_error(state, "c.jsonl", &o, MK_ELIMIT, "line 1: more than 1000");
}

static void any_object_is_a_document_where_asked(void **state)
{
    struct text_source_options o = text_source_defaults();
    struct text_source *s;
    struct text_document d;
    struct mk_error err;
    bool more;
    char path[256];

    o.objects = o.skip_bad = true;
    put(state, "a.txt", "{\"answer\": 5}\n[1]\n{}\n{\"answer\"\n");
    assert_int_equal(text_source_open(&s, in(state, "a.txt", path), &o, &err), 0);
    assert_int_equal(text_source_next(s, &d, &more, &err), 0);
    assert_true(more && d.object && !d.text && !d.n_messages && d.line == 1);
    assert_int_equal(text_source_next(s, &d, &more, &err), 0);
    assert_true(more && d.object && d.line == 3);
    assert_int_equal(text_source_next(s, &d, &more, &err), 0);
    assert_false(more);
    assert_int_equal(text_source_counts(s).n_bad, 2);
    text_source_close(s);
}

static void conversations_that_are_none_are_named_with_line_and_message(void **state)
{
    static const struct {
        bool pairs;
        const char *line, *why;
    } cases[] = {
        {false, "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"content\": \"a\"}]}",
         "line 2: message 1 has no \"role\""},
        {false, "{\"messages\": [{\"role\": \"user\"}]}", "line 2: message 0 has no \"content\""},
        {false, "{\"messages\": [{\"role\": \"user\", \"content\": [1]}]}", "no \"content\""},
        {false, "{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"name\": \"f\"}]}]}",
         "message 0 calls a tool without"},
        {false, "{\"messages\": [{\"role\": \"assistant\", \"content\": \"\", \"thinking\": 1}]}",
         "thought"},
        {false, "{\"messages\": [", "line 2"},
        {true, "{\"chosen\": \"a\", \"rejected\": \"b\"}", "line 2: a pair without \"prompt\""},
        {true, "{\"prompt\": \"q\", \"chosen\": \"a\"}", "line 2: no pair"},
        {true, "{\"prompt\": 7, \"chosen\": \"a\", \"rejected\": \"b\"}", "prompt is neither"},
        {true, "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"a\"}",
         "the chosen answer is the rejected one"},
    };
    char text[400];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text_source_options o = text_source_defaults();

        o.pairs = cases[i].pairs;
        snprintf(text, sizeof text, "\n%s\n", cases[i].line);
        put(state, "c.jsonl", text);
        expect_error(state, "c.jsonl", &o, MK_EFORMAT, cases[i].why);
        o.skip_bad = true;
        assert_documents(state, "c.jsonl", &o, "");
    }
}

static void bad_lines_are_counted_where_they_may_be(void **state)
{
    struct text_source_options o = text_source_defaults();
    struct text_source_counts counts;
    struct mk_error err = {0};
    struct buf got;
    char path[256];

    o.skip_bad = true;
    put(state, "c.jsonl",
        "{\"text\": \"a\"}\nbad\n{\"text\": 7}\n{\"text\": \"\"}\n{\"text\": \"b\"}");
    assert_int_equal(read_all(in(state, "c.jsonl", path), &o, &got, &counts, &err), 0);
    assert_string_equal(got.data, "a|b|");
    assert_int_equal(counts.n_bad, 2);
    assert_int_equal(counts.n_empty, 1);
    buf_release(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_text_is_one_document_or_parted_by_a_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(jsonl_gives_texts_and_conversations, setup, teardown),
        cmocka_unit_test_setup_teardown(pairs_are_two_conversations_with_one_prompt, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            conversations_that_are_none_are_named_with_line_and_message, setup, teardown),
        cmocka_unit_test_setup_teardown(packed_files_are_unpacked_and_folders_walked_in_order,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(long_lines_keep_their_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_files_are_named_with_the_line, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_lines_are_counted_where_they_may_be, setup, teardown),
        cmocka_unit_test_setup_teardown(any_object_is_a_document_where_asked, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
