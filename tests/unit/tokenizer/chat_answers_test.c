/* chat_answers_test.c: which ids of a conversation an assistant wrote, in every family: the answer,
 * its end token, and nothing of what it was asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "support/tiny_tokenizer.h"
#include "tokenizer/chat.h"

#define EOS "<｜end▁of▁sentence｜>"

/* The marks that end answers, and some others, as tokens 256 and up. */
static struct tokenizer *make_tokenizer(void)
{
    static const char *const marks[] = {
        "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|end_header_id|>", "</s>",   EOS,
        "<think>",      "</think>",   "[/INST]",    "<｜User｜>",        "<｜Assistant｜>"};
    char added[4096];
    size_t n = 0;

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        n += (size_t)snprintf(added + n, sizeof added - n,
                              "%s{\"id\": %zu, \"content\": \"%s\", \"special\": true, "
                              "\"normalized\": false}",
                              i ? ", " : "", 256 + i, marks[i]);
    return tiny_create(&(struct tiny){.pre = "", .added = added});
}

static const struct chat_format *format(const char *name)
{
    const struct chat_format *f = chat_format_by_name(name);

    if (!f)
        fail_msg("no format %s", name);
    return f;
}

static void text_of(const struct tokenizer *t, const int32_t *ids, size_t n, struct buf *out)
{
    struct mk_error err;

    buf_clear(out);
    buf_append(out, "", 0, &err);
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        const char *text = tokenizer_bytes(t, ids[i], true, &bytes);

        assert_int_equal(buf_append(out, text, bytes, &err), 0);
    }
}

static const struct chat_message talk[] = {{.role = "user", .content = "Q1"},
                                           {.role = "assistant", .content = "A1"},
                                           {.role = "user", .content = "Q2"},
                                           {.role = "assistant", .content = "A2"}};

/* What is learned of `talk`. */
static const struct {
    const char *name, *first, *second;
} wanted[] = {
    {"smollm2", "A1<|im_end|>", "A2<|im_end|>"},
    {"qwen2", "A1<|im_end|>", "A2<|im_end|>"},
    {"chatml", "A1<|im_end|>", "A2<|im_end|>"},
    {"qwen2.5", "A1<|im_end|>", "A2<|im_end|>"},
    /* the template puts an empty thought into the last answer */
    {"qwen3", "A1<|im_end|>", "<think>\n\n</think>\n\nA2<|im_end|>"},
    {"zero", NULL, "A2" EOS}, /* the last question alone */
    {"deepseek-v2", " A1" EOS, " A2" EOS},
    {"deepseek-v2.5", "A1" EOS, "A2" EOS},
    {"deepseek-v3", "A1" EOS, "A2" EOS},
    {"deepseek-v3-0324", "A1" EOS, "A2" EOS},
    {"deepseek-v3.1", "A1" EOS, "A2" EOS},
    {"deepseek-r1", "A1" EOS, "A2" EOS},
    {"deepseek-r1-tools", "A1" EOS, "A2" EOS},
    {"r1-distill", "A1" EOS, "A2" EOS},
    {"llama3", "A1<|eot_id|>", "A2<|eot_id|>"},
    {"llama3.1", "A1<|eot_id|>", "A2<|eot_id|>"},
    {"mistral-v1", "A1</s>", "A2</s>"},
    {"mistral-v1-system", " A1</s>", " A2</s>"},
    {"mistral-v3", " A1</s>", " A2</s>"},
    {"mistral-nemo", "A1</s>", "A2</s>"},
};
enum { N_WANTED = sizeof wanted / sizeof *wanted };

/* In front of an answer stand the ids of the prompt it answers. */
static void check_prompt(const struct chat_format *f, const struct tokenizer *t,
                         const struct ids *ids, const struct chat_answer *a)
{
    struct chat c = {.messages = talk, .n_messages = a->message, .add_generation_prompt = true};
    struct mk_error err = {0};
    struct ids prompt = {0};

    assert_int_equal(chat_encode(f, t, &c, &prompt, &err), 0);
    if (chat_format_starts_thinking(f, &c)) /* R1 is made to think; its past holds no thought */
        assert_true(prompt.n > a->begin);
    else
        assert_int_equal(prompt.n, a->begin);
    assert_memory_equal(prompt.data, ids->data, a->begin * sizeof *ids->data);
    ids_release(&prompt);
}

static void an_answer_and_its_end_are_learned_and_nothing_else(void **state)
{
    struct tokenizer *t = make_tokenizer();
    struct mk_error err = {0};
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (int k = 0; k < N_WANTED; k++) {
        const struct chat_format *f = format(wanted[k].name);
        struct chat c = {.messages = talk, .n_messages = 4};
        struct chat_answers answers;
        struct ids ids = {0}, plain = {0};
        int32_t end;

        if (chat_encode_answers(f, t, &c, &ids, &answers, &err))
            fail_msg("%s: %s", wanted[k].name, err.text);
        assert_int_equal(answers.n, wanted[k].first ? 2 : 1);
        assert_int_equal(chat_end_token(f, t, &end, &err), 0);
        for (size_t i = 0; i < answers.n; i++) {
            const struct chat_answer *a = &answers.items[i];
            const char *want = a->message == 1 ? wanted[k].first : wanted[k].second;

            text_of(t, ids.data + a->begin, a->end - a->begin, &text);
            if (strcmp(text.data, want))
                fail_msg("%s: \"%s\" is learned, not \"%s\"", wanted[k].name, text.data, want);
            assert_int_equal(ids.data[a->end - 1], end); /* it learns to stop */
            assert_int_equal(a->message, 2 * (i + 2 - answers.n) + 1);
            check_prompt(f, t, &ids, a);
        }
        /* the ids are those of the prompt encoding, where no token lies across */
        assert_int_equal(chat_encode(f, t, &c, &plain, &err), 0);
        assert_int_equal(plain.n, ids.n);
        assert_memory_equal(plain.data, ids.data, ids.n * sizeof *ids.data);
        free(answers.items);
        ids_release(&ids);
        ids_release(&plain);
    }
    buf_release(&text);
    tokenizer_free(t);
}

static void every_family_is_in_the_list_above(void **state)
{
    const char *name;

    (void)state;
    for (size_t i = 0; (name = chat_format_name_at(i)); i++) {
        int k = 0;

        while (k < N_WANTED && strcmp(wanted[k].name, name))
            k++;
        if (k == N_WANTED)
            fail_msg("%s: what is learned of it?", name);
    }
}

/* "\nh" is a token, but a model that wrote "hi" did not write half of it. */
static void no_token_is_half_an_answer(void **state)
{
    static const char *const merges[] = {"\xC4\x8A h", NULL};
    struct tokenizer *t = tiny_create(
        &(struct tiny){.pre = "",
                       .merges = merges,
                       .added = "{\"id\": 257, \"content\": \"<|im_start|>\", \"special\": true}, "
                                "{\"id\": 258, \"content\": \"<|im_end|>\", \"special\": true}"});
    static const struct chat_message m = {.role = "assistant", .content = "hi"};
    struct mk_error err = {0};
    struct chat_answers answers;
    struct ids ids = {0};

    (void)state;
    assert_int_equal(chat_encode_answers(format("chatml"), t,
                                         &(struct chat){.messages = &m, .n_messages = 1}, &ids,
                                         &answers, &err), 0);
    assert_int_equal(answers.n, 1);
    assert_int_equal(answers.items[0].end - answers.items[0].begin, 3);
    assert_int_equal(ids.data[answers.items[0].begin - 1], '\n');
    assert_int_equal(ids.data[answers.items[0].begin], 'h');
    free(answers.items);
    ids_release(&ids);
    tokenizer_free(t);
}

/* Thoughts: Qwen3 keeps that of the last answer, R1 drops all, V3.1 what its content holds. */
static void thoughts_are_learned_where_the_template_keeps_them(void **state)
{
    static const struct {
        const char *name, *want;
    } cases[] = {{"qwen3", "<think>\nT\n</think>\n\nA<|im_end|>"},
                 {"deepseek-r1", "A" EOS},
                 {"deepseek-v3.1", "A" EOS},
                 {"chatml", "A<|im_end|>"}};
    static const struct chat_message m[] = {
        {.role = "user", .content = "Q"},
        {.role = "assistant", .content = "A", .reasoning = "T"}};
    struct tokenizer *t = make_tokenizer();
    struct buf text;

    (void)state;
    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mk_error err = {0};
        struct chat_answers answers;
        struct ids ids = {0};

        assert_int_equal(chat_encode_answers(format(cases[i].name), t,
                                             &(struct chat){.messages = m, .n_messages = 2}, &ids,
                                             &answers, &err), 0);
        text_of(t, ids.data + answers.items[0].begin,
                answers.items[0].end - answers.items[0].begin, &text);
        assert_string_equal(text.data, cases[i].want);
        free(answers.items);
        ids_release(&ids);
    }
    buf_release(&text);
    tokenizer_free(t);
}

/* SentencePiece: U+2581 in front of a text, but not in front of what goes on behind a cut. */
static void a_cut_puts_no_space_between(void **state)
{
    struct tokenizer *t;
    struct mk_error err = {0};
    struct vocab v;
    struct ids whole = {0}, cut = {0};
    size_t at[2];
    const size_t cuts[] = {3, 5};

    (void)state;
    assert_int_equal(vocab_from_tokenizer_json(&v, "tests/golden/tokenizer/llama2", &err), 0);
    assert_int_equal(tokenizer_create(&t, &v, &err), 0);
    assert_int_equal(tokenizer_encode(t, "a b", 3, false, &whole, &err), 0);
    assert_int_equal(tokenizer_encode_cut(t, "a b c d", 7, NULL, 0,
                                          &(struct text_cuts){cuts, 2, at}, &cut, &err), 0);
    assert_int_equal(at[0], whole.n);
    assert_memory_equal(cut.data, whole.data, whole.n * sizeof *whole.data);
    assert_int_equal(at[1] - at[0], 1); /* " c" is one token, as " b" is */
    assert_int_equal(cut.n, at[1] + 1);
    ids_release(&whole);
    ids_release(&cut);
    tokenizer_free(t);
}

static void a_vocabulary_without_an_end_token_is_refused(void **state)
{
    struct tokenizer *t = tiny_create(&(struct tiny){.pre = ""});
    struct mk_error err = {0};
    int32_t id;

    (void)state;
    assert_int_equal(chat_end_token(format("chatml"), t, &id, &err), MK_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "learn to stop"));
    tokenizer_free(t);
}

/* Pad = eos is no trap here: what is learned follows from the place, not from the id. */
static void an_end_token_that_is_also_the_padding_is_learned(void **state)
{
    struct tokenizer *t = make_tokenizer();
    struct chat c = {.messages = talk, .n_messages = 4};
    struct mk_error err = {0};
    struct chat_answers answers;
    struct ids ids = {0};
    int32_t end;

    (void)state;
    assert_int_equal(chat_end_token(format("chatml"), t, &end, &err), 0);
    ((struct vocab *)(uintptr_t)tokenizer_vocab(t))->pad_id = end;
    assert_int_equal(chat_encode_answers(format("chatml"), t, &c, &ids, &answers, &err), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(ids.data[answers.items[i].end - 1], end);
    free(answers.items);
    ids_release(&ids);
    tokenizer_free(t);
}

static void templates_that_are_written_are_the_golden_ones(void **state)
{
    static char text[1 << 16];
    const char *name;
    char path[256];
    int n_written = 0;

    (void)state;
    for (size_t i = 0; (name = chat_format_name_at(i)); i++) {
        const char *own = chat_format_template(format(name));
        size_t n;
        FILE *f;

        if (!own)
            continue;
        snprintf(path, sizeof path, "tests/golden/templates/%s.jinja", name);
        f = fopen(path, "rb");
        assert_non_null(f);
        n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        text[n] = '\0';
        assert_string_equal(own, text);
        n_written++;
    }
    assert_true(n_written >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_and_its_end_are_learned_and_nothing_else),
        cmocka_unit_test(every_family_is_in_the_list_above),
        cmocka_unit_test(no_token_is_half_an_answer),
        cmocka_unit_test(thoughts_are_learned_where_the_template_keeps_them),
        cmocka_unit_test(a_cut_puts_no_space_between),
        cmocka_unit_test(a_vocabulary_without_an_end_token_is_refused),
        cmocka_unit_test(an_end_token_that_is_also_the_padding_is_learned),
        cmocka_unit_test(templates_that_are_written_are_the_golden_ones),
    };

    return cmocka_run_group_tests_name("chat answers", tests, NULL, NULL);
}
