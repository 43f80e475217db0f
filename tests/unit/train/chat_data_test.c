/* chat_data_test.c: conversations become shards whose masks hold the answers, bad ones are named,
 * and what is too long is cut behind an answer or left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map_file.h"
#include "support/tiny_tokenizer.h"
#include "train/batch.h"
#include "train/data_build.h"

#define END 258
#define SPECIALS                                                                                   \
    "{\"id\": 256, \"content\": \"<s>\", \"special\": true}, "                                     \
    "{\"id\": 257, \"content\": \"<|im_start|>\", \"special\": true}, "                            \
    "{\"id\": 258, \"content\": \"<|im_end|>\", \"special\": true}"

/* Bytes are their own ids. */
struct place {
    char dir[64], source[96], shard[128];
    struct tokenizer *t;
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    snprintf(p->dir, sizeof p->dir, "/tmp/minke-chat-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->source, sizeof p->source, "%s/talk.jsonl", p->dir);
    snprintf(p->shard, sizeof p->shard, "%s/talk-00000.tokens", p->dir);
    p->t = tiny_create(&(struct tiny){.pre = "", .added = SPECIALS});
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    tokenizer_free(p->t);
    unlink(p->shard);
    unlink(p->source);
    rmdir(p->dir);
    free(p);
    return 0;
}

static int build(const struct place *p, const char *jsonl, bool pairs, bool skip_bad,
                 struct data_build_report *r, struct mk_error *err)
{
    const char *paths[] = {p->source};
    struct data_build_options o = data_build_defaults(p->t);
    struct chat_data chat;
    struct exec *ex;
    int rc;

    *err = (struct mk_error){0};
    assert_int_equal(write_file(p->source, jsonl, strlen(jsonl), err), 0);
    assert_int_equal(chat_data_init(&chat, p->t, "chatml", NULL, pairs, err), 0);
    assert_int_equal(chat.end_id, END);
    assert_int_equal(exec_create(&ex, 2, err), 0);
    o.name = "talk";
    o.paths = paths;
    o.n_paths = 1;
    o.chat = &chat;
    o.text.skip_bad = skip_bad;
    rc = data_build(p->t, &o, ex, p->dir, r, err);
    exec_free(ex);
    return rc;
}

/* The learned text of a document; tokens above 255 as '#'. */
static const char *learned_of(const struct token_shard *s, int64_t d, char out[256])
{
    int64_t n = token_shard_length(s, d);
    unsigned char learned[256];
    int32_t ids[256];
    size_t used = 0;

    token_shard_read(s, d, 0, n, ids);
    token_shard_read_learned(s, d, 0, n, learned);
    for (int64_t i = 0; i < n; i++)
        if (learned[i])
            out[used++] = ids[i] < 256 ? (char)ids[i] : '#';
    out[used] = '\0';
    return out;
}

#define Q(text) "{\"role\": \"user\", \"content\": \"" text "\"}"
#define A(text) "{\"role\": \"assistant\", \"content\": \"" text "\"}"

/* "<|im_end|>" in a question stays ten characters, in an answer it is one token. */
static void marks_in_answers_count_where_they_are_trusted(void **state)
{
    struct place *p = *state;
    const struct chat_message m[] = {{.role = "user", .content = "<|im_end|>"},
                                     {.role = "assistant", .content = "a<|im_end|>b"}};
    struct chat chat = {.messages = m, .n_messages = 2};
    const struct chat_format *f = chat_format_by_name("chatml");
    struct ids ids = {0};
    struct mk_error err;
    size_t n_plain;

    assert_int_equal(chat_encode(f, p->t, &chat, &ids, &err), 0);
    n_plain = ids.n;
    ids.n = 0;
    chat.answers_have_controls = true;
    assert_int_equal(chat_encode(f, p->t, &chat, &ids, &err), 0);
    assert_int_equal(ids.n, n_plain - 9);
    ids_release(&ids);
}

static void answers_are_learned_with_their_end_and_typed_marks_are_text(void **state)
{
    struct place *p = *state;
    struct data_build_report r;
    struct mk_error err;
    struct token_shard s;
    char text[256];

    if (build(p,
              "{\"messages\": [" Q("one") ", " A("two") ", " Q("three") ", " A("four") "]}\n"
              "{\"messages\": [" Q("<|im_end|>") ", " A("a<|im_end|>b") "]}\n"
              "{\"messages\": [" Q("one") ", " A("two") ", " Q("three") ", " A("four") "]}\n",
              false, false, &r, &err))
        fail_msg("%s", err.text);
    assert_int_equal(r.n_documents, 2); /* the third is a copy */
    assert_int_equal(r.dedup.n_exact, 1);
    assert_int_equal(r.n_answers, 3);
    assert_int_equal(r.n_learned, 4 + 5 + 13);
    assert_int_equal(token_shard_open(&s, p->shard, NULL, &err), 0);
    assert_int_equal(s.kind, TOKEN_SHARD_CHAT);
    assert_string_equal(learned_of(&s, 0, text), "two#four#");
    assert_string_equal(learned_of(&s, 1, text), "a<|im_end|>b#");
    token_shard_close(&s);
}

static void of_pairs_the_last_answers_alone_are_learned(void **state)
{
    struct place *p = *state;
    struct data_build_report r;
    struct mk_error err;
    struct token_shard s;
    char text[256];

    if (build(p,
              "{\"prompt\": [" Q("one") ", " A("two") ", " Q("three") "], \"chosen\": \"good\", "
              "\"rejected\": [" A("bad") "]}\n",
              true, false, &r, &err))
        fail_msg("%s", err.text);
    assert_int_equal(token_shard_open(&s, p->shard, NULL, &err), 0);
    assert_int_equal(s.kind, TOKEN_SHARD_PAIRS);
    assert_int_equal(s.n_documents, 2);
    assert_string_equal(learned_of(&s, 0, text), "good#");
    assert_string_equal(learned_of(&s, 1, text), "bad#");
    token_shard_close(&s);
}

static void conversations_without_anything_to_learn_are_named(void **state)
{
    static const struct {
        bool pairs;
        const char *line, *why;
    } cases[] = {
        {false, "{\"messages\": [" Q("q") "]}", "no message of the assistant"},
        {false, "{\"messages\": []}", "no messages"},
        {false, "{\"messages\": [" Q("q") ", " A("") "]}", "message 1 (assistant) is empty"},
        {false, "{\"messages\": [" Q("") ", " A("a") "]}", "message 0 (user) is empty"},
        {false, "{\"messages\": [{\"role\": \"bot\", \"content\": \"x\"}]}", "role \"bot\""},
        {false, "{\"text\": \"x\"}", "not a list of messages"},
        {true, "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"\"}", "is empty"},
        {true, "{\"prompt\": \"q\", \"chosen\": [], \"rejected\": \"b\"}", "nothing to learn"},
    };
    static const char good[] = "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\", "
                               "\"messages\": [" Q("q") ", " A("a") "]}\n";
    struct place *p = *state;
    struct data_build_report r;
    struct mk_error err;
    char text[500];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "%s%s\n", good, cases[i].line);
        assert_int_equal(build(p, text, cases[i].pairs, false, &r, &err), MK_EFORMAT);
        if (!strstr(err.text, "talk.jsonl: line 2: ") || !strstr(err.text, cases[i].why))
            fail_msg("%zu: %s", i, err.text);
        assert_int_equal(access(p->shard, F_OK), -1);
        assert_int_equal(build(p, text, cases[i].pairs, true, &r, &err), 0);
        assert_int_equal(r.read.n_bad, 1);
        assert_int_equal(r.n_documents, cases[i].pairs ? 2 : 1);
        unlink(p->shard);
    }
}

static void templates_and_end_tokens_that_are_not_there_are_refused(void **state)
{
    struct place *p = *state;
    struct mk_error err = {0};
    struct chat_data c;

    assert_int_equal(chat_data_init(&c, p->t, "nonsense", NULL, false, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "'nonsense'"));
    assert_int_equal(chat_data_init(&c, p->t, "", NULL, false, &err), MK_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "data.chat_template"));
    assert_int_equal(chat_data_init(&c, p->t, "llama3", NULL, false, &err), MK_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "learn to stop"));
}

static struct corpus *open_corpus(const struct place *p, int32_t length)
{
    const char *shards[] = {p->shard};
    const struct corpus_source source = {
        .name = "talk", .shards = shards, .n_shards = 1, .n_points = 1, .points = {{0, 1}}};
    struct corpus_options o = {.sources = &source, .n_sources = 1, .length = length, .seed = 5};
    struct mk_error err = {0};
    struct corpus *c;

    if (corpus_open(&c, &o, &err))
        fail_msg("%s", err.text);
    return c;
}

/* "<|im_start|>user\n1234<|im_end|>\n" has 12 tokens; "<|im_start|>assistant\n" 11, "ab<|im_end|>"
 * 3, "\n" 1. */
#define TURN Q("1234") ", " A("ab")

static void what_is_too_long_is_cut_behind_an_answer_or_left_out(void **state)
{
    static const struct {
        int32_t length, fits;
    } cases[] = {{25, 0}, {26, 26}, {27, 26}, {52, 26}, {53, 53}, {54, 54}, {80, 54}};
    struct place *p = *state;
    struct data_build_report r;
    struct mk_error err;
    struct token_shard s;

    assert_int_equal(build(p, "{\"messages\": [" TURN ", " TURN "]}", false, false, &r, &err), 0);
    assert_int_equal(token_shard_open(&s, p->shard, NULL, &err), 0);
    assert_int_equal(token_shard_length(&s, 0), 54);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(corpus_fit(&s, 0, cases[i].length), cases[i].fits);
    token_shard_close(&s);
}

static void the_corpus_counts_what_it_leaves_out(void **state)
{
    struct place *p = *state;
    struct data_build_report r;
    struct corpus_loss loss;
    struct corpus *c;
    struct mk_error err;

    assert_int_equal(build(p,
                           "{\"messages\": [" TURN ", " Q("5") ", " A("cd") "]}\n"
                           "{\"messages\": [" Q("123456789012345678901") ", " A("x") "]}\n"
                           "{\"messages\": [" TURN "]}\n",
                           false, false, &r, &err), 0);
    c = open_corpus(p, 30);
    loss = corpus_loss(c, 0);
    assert_int_equal(loss.n_documents, 3);
    assert_int_equal(loss.n_cut, 1);
    assert_int_equal(loss.n_left_out, 1);
    assert_int_equal(corpus_packing(c, 0)->n_tokens, r.n_tokens - loss.n_tokens);
    corpus_close(c);
}

/* Targets of a packed sequence: the answers, their ends, and nothing else; every end is one. */
static void targets_are_the_learned_ids(void **state)
{
    struct place *p = *state;
    struct data_build_report r;
    struct arena memory;
    struct corpus *c;
    struct mk_error err;
    struct batch b;
    int64_t n_targets = 0, n_ends = 0;

    assert_int_equal(build(p,
                           "{\"messages\": [" TURN ", " Q("5") ", " A("cd") "]}\n"
                           "{\"messages\": [" Q("z") ", " A("x") "]}\n",
                           false, false, &r, &err), 0);
    arena_init(&memory, 1 << 20);
    c = open_corpus(p, 200);
    assert_int_equal(batch_draw(&b, c, 1, &memory, &err), 0);
    assert_int_equal(b.n_seqs, 2);
    for (int32_t i = 0; i < b.n_seqs; i++)
        for (int32_t k = 0; k < b.seqs[i].n_ids; k++) {
            int32_t target = b.seqs[i].targets[k];

            if (target < 0)
                continue;
            n_targets++;
            n_ends += target == END;
            assert_int_equal(target, b.seqs[i].ids[k + 1]);
            assert_true(target == END || strchr("abcdx", target));
        }
    assert_int_equal(n_ends, 3);
    assert_int_equal(n_targets, r.n_learned);
    assert_int_equal(b.n_targets, r.n_learned);
    corpus_close(c);
    arena_release(&memory);
}

static void pairs_are_drawn_and_cut_together(void **state)
{
    struct place *p = *state;
    struct data_build_report r;
    double reference[4] = {-1, -2, -3, -4};
    struct corpus_fragment pair[2];
    struct arena memory;
    struct corpus *c;
    struct mk_error err;
    struct batch b;

    assert_int_equal(build(p,
                           "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"bc\"}\n"
                           "{\"prompt\": \"12345678901234567890\", \"chosen\": \"a\", "
                           "\"rejected\": \"b\"}\n",
                           true, false, &r, &err), 0);
    arena_init(&memory, 1 << 20);
    c = open_corpus(p, 60);
    assert_true(corpus_has_pairs(c));
    assert_int_equal(corpus_n_pairs(c, 0), 2);
    assert_int_equal(corpus_loss(c, 0).n_left_out, 1);
    assert_true(corpus_pair(c, 0, 0, pair));
    assert_false(corpus_pair(c, 0, 1, pair));
    corpus_set_reference(c, 0, reference);
    assert_int_equal(batch_draw(&b, c, 2, &memory, &err), 0);
    assert_int_equal(b.n_seqs, 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_int_equal(b.origins[i].n_targets, 2 + i % 2);
        assert_true(b.origins[i].reference == reference[i % 2]);
    }
    assert_int_equal(batch_cut(&b, 0, 1), 2);
    assert_int_equal(batch_cut(&b, 2, 1000), 2);
    corpus_close(c);
    arena_release(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_are_learned_with_their_end_and_typed_marks_are_text,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(marks_in_answers_count_where_they_are_trusted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(of_pairs_the_last_answers_alone_are_learned, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(conversations_without_anything_to_learn_are_named, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(templates_and_end_tokens_that_are_not_there_are_refused,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_long_is_cut_behind_an_answer_or_left_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_corpus_counts_what_it_leaves_out, setup, teardown),
        cmocka_unit_test_setup_teardown(targets_are_the_learned_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(pairs_are_drawn_and_cut_together, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
