/* bpe_train_test.c: what is learned is what the definition and Python `tokenizers` learn, and the
 * file that is written encodes by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map_file.h"
#include "support/tiny_tokenizer.h"
#include "tokenizer/bpe_train.h"

static const char *const two[] = {"<s>", "</s>"};

static struct bpe_train_options options(int32_t n_vocab)
{
    struct bpe_train_options o = bpe_train_defaults();

    o.n_vocab = n_vocab;
    o.specials = two;
    o.n_specials = 2;
    return o;
}

/* Learns from a NULL-ended list of documents. */
static struct bpe_trainer *learn(const struct bpe_train_options *o, const char *const *documents)
{
    struct bpe_trainer *t;
    struct mk_error err = {0};

    assert_int_equal(bpe_trainer_create(&t, o, &err), 0);
    for (; *documents; documents++)
        assert_int_equal(bpe_trainer_add(t, *documents, strlen(*documents), &err), 0);
    assert_int_equal(bpe_trainer_run(t, &err), 0);
    return t;
}

static struct vocab_json json_of(const struct bpe_trainer *t)
{
    struct mk_error err = {0};
    struct vocab_json json;
    struct vocab v;

    assert_int_equal(bpe_trainer_vocab(t, &v, &err), 0);
    assert_int_equal(vocab_to_json(&v, &json, &err), 0);
    assert_int_equal(json.n_unnamed, 0);
    vocab_release(&v);
    return json;
}

/* As its files say. */
static struct vocab vocab_of(const struct bpe_trainer *t)
{
    struct vocab_json json = json_of(t);
    struct mk_error err = {0};
    struct vocab v;

    if (vocab_from_texts(&v, "learned", json.tokenizer, strlen(json.tokenizer), json.config,
                         strlen(json.config), &err))
        fail_msg("%s", err.text);
    vocab_json_release(&json);
    return v;
}

static void assert_merges(const struct vocab *v, const char *want)
{
    struct mk_error err = {0};
    struct buf got;

    buf_init(&got, 1 << 20);
    for (int64_t i = 0; i < v->n_merges; i++)
        assert_int_equal(buf_printf(&got, &err, "%.*s %.*s\n", (int)v->merges[i][0].n,
                                    v->merges[i][0].data, (int)v->merges[i][1].n,
                                    v->merges[i][1].data), 0);
    assert_string_equal(got.n ? got.data : "", want);
    buf_release(&got);
}

/* The example of Sennrich et al., by hand: low 5, lower 2, newest 6, widest 3 times. "e s" and
 * "s t" are seen 9 times: e is the lower byte. Then es t 9; l o and o w 7; lo w 7; and four pairs
 * with 6, of which e w has the lowest left id; then n ew before ew est. */
static void the_most_frequent_pair_wins_and_ties_go_to_the_lower_ids(void **state)
{
    static const char *const text[] = {"low\nlow\nlow\nlow\nlow\nlower\nlower\n",
                                       "newest\nnewest\nnewest\nnewest\nnewest\nnewest\n",
                                       "widest\nwidest\nwidest\n", NULL};
    struct bpe_train_options o = options(2 + 256 + 6);
    struct bpe_trainer *t = learn(&o, text);
    struct vocab v = vocab_of(t);

    (void)state;
    assert_merges(&v, "e s\nes t\nl o\nlo w\ne w\nn ew\n");
    assert_int_equal(bpe_trainer_report(t).last_count, 6);
    assert_int_equal(bpe_trainer_report(t).n_words, 5); /* the line break is the fifth */
    vocab_release(&v);
    bpe_trainer_free(t);
}

static void runs_of_one_letter_are_counted_as_they_merge(void **state)
{
    /* "aaaaa": aa aa a; then (aa, a) and (aa, aa) tie, and a has the lower id */
    static const char *const text[] = {"aaaaa\naaaaa\naaaaa", NULL};
    struct bpe_train_options o = options(2 + 256 + 3);
    struct bpe_trainer *t = learn(&o, text);
    struct vocab v = vocab_of(t);

    (void)state;
    assert_merges(&v, "a a\naa a\naa aaa\n");
    vocab_release(&v);
    bpe_trainer_free(t);
}

static void python_tokenizers_learns_the_same_merges(void **state)
{
    struct bpe_train_options o = options(600);
    struct bpe_trainer *t;
    struct mk_error err = {0};
    struct map_file text, merges;
    struct vocab v;
    char *want;

    (void)state;
    assert_int_equal(map_file_open(&text, "tests/golden/text/shakespeare.txt", &err), 0);
    assert_int_equal(map_file_open(&merges, "tests/golden/bpe_train/merges.txt", &err), 0);
    want = calloc(merges.bytes + 1, 1);
    assert_non_null(want);
    memcpy(want, merges.data, merges.bytes);
    assert_int_equal(bpe_trainer_create(&t, &o, &err), 0);
    assert_int_equal(bpe_trainer_add(t, (const char *)text.data, text.bytes, &err), 0);
    assert_int_equal(bpe_trainer_run(t, &err), 0);
    v = vocab_of(t);
    assert_merges(&v, want);
    vocab_release(&v);
    bpe_trainer_free(t);
    free(want);
    map_file_close(&text);
    map_file_close(&merges);
}

static void the_order_of_documents_changes_nothing(void **state)
{
    static const char *const a[] = {"the cat sat on the mat", "a bat sat at the gate", NULL};
    static const char *const b[] = {"a bat sat at the gate", "the cat sat on the mat", NULL};
    struct bpe_train_options o = options(280);
    struct bpe_trainer *t[2] = {learn(&o, a), learn(&o, b)};
    struct vocab_json json[2] = {json_of(t[0]), json_of(t[1])};

    (void)state;
    assert_string_equal(json[0].tokenizer, json[1].tokenizer);
    for (int i = 0; i < 2; i++) {
        vocab_json_release(&json[i]);
        bpe_trainer_free(t[i]);
    }
}

static void digits_stand_alone_unless_asked(void **state)
{
    static const char *const text[] = {"1234 1234 1234 1234", NULL};
    struct bpe_train_options o = options(300);

    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        struct bpe_trainer *t;
        struct vocab v;

        o.keep_digits = keep;
        t = learn(&o, text);
        v = vocab_of(t);
        assert_merges(&v, keep ? "1 2\n12 3\n" : ""); /* 123 and 4 */
        assert_string_equal(v.pre_name, keep ? "deepseek-v3" : "");
        vocab_release(&v);
        bpe_trainer_free(t);
    }
}

static void vocabularies_have_fingerprints(void **state)
{
    static const char *const text[] = {"hello hello 12", NULL};
    unsigned char prints[3][32];
    struct mk_error err = {0};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct bpe_train_options o = options(280);
        struct bpe_trainer *t;
        struct vocab v;

        o.keep_digits = i == 2; /* same tokens, another way to split */
        t = learn(&o, text);
        v = vocab_of(t);
        assert_int_equal(vocab_fingerprint(&v, prints[i], &err), 0);
        vocab_release(&v);
        bpe_trainer_free(t);
    }
    assert_memory_equal(prints[0], prints[1], 32);
    assert_memory_not_equal(prints[0], prints[2], 32);
}

static void marks_of_thoughts_are_shown_and_others_hidden(void **state)
{
    static const char *const text[] = {"hello", NULL};
    static const char *const marks[] = {"<s>", "<think>", "</think>", "<answer>"};
    struct bpe_train_options o = options(300);
    struct bpe_trainer *trainer;
    struct vocab v;

    (void)state;
    o.specials = marks;
    o.n_specials = 4;
    trainer = learn(&o, text);
    v = vocab_of(trainer);
    assert_int_equal(v.kinds[0], TOKEN_SPECIAL);
    assert_int_equal(v.kinds[1], TOKEN_USER);
    assert_int_equal(v.kinds[2], TOKEN_USER);
    assert_int_equal(v.kinds[3], TOKEN_SPECIAL);
    vocab_release(&v);
    bpe_trainer_free(trainer);
}

/* Every byte comes back, and special tokens are the first ids. */
static void the_written_file_encodes_any_bytes(void **state)
{
    static const char *const text[] = {"hello hello hello", NULL};
    struct bpe_train_options o = options(280);
    struct bpe_trainer *trainer = learn(&o, text);
    struct vocab v = vocab_of(trainer);
    struct mk_error err = {0};
    struct tokenizer *t;
    unsigned char all[256];
    struct ids ids = {0};

    (void)state;
    assert_int_equal(v.bos_id, 0);
    assert_int_equal(v.eos_id, 1);
    assert_true(v.add_bos);
    assert_int_equal(tokenizer_create(&t, &v, &err), 0);
    for (int i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    assert_int_equal(tokenizer_encode(t, (const char *)all, 256, false, &ids, &err), 0);
    assert_int_equal(ids.n, 256);
    for (size_t i = 0; i < ids.n; i++) {
        size_t n;
        const char *s = tokenizer_bytes(t, ids.data[i], true, &n);

        assert_int_equal(n, 1);
        assert_int_equal((unsigned char)s[0], i);
    }
    ids.n = 0;
    assert_int_equal(tokenizer_encode(t, "<s>hello</s>", 12, true, &ids, &err), 0);
    assert_int_equal(ids.data[0], 0);
    assert_int_equal(ids.data[ids.n - 1], 1);
    assert_true(ids.n <= 4);
    ids_release(&ids);
    tokenizer_free(t);
    bpe_trainer_free(trainer);
}

static void no_merge_spells_a_special_token(void **state)
{
    static const char *const ends[] = {"END", "</s>"};
    static const char *const text[] = {"END END END END END", NULL};
    struct bpe_train_options o = options(300);
    struct bpe_trainer *t;
    struct vocab v;

    (void)state;
    o.specials = ends;
    t = learn(&o, text);
    v = vocab_of(t);
    for (int64_t i = 0; i < v.n_merges; i++) {
        char joined[64];

        snprintf(joined, sizeof joined, "%.*s%.*s", (int)v.merges[i][0].n, v.merges[i][0].data,
                 (int)v.merges[i][1].n, v.merges[i][1].data);
        assert_string_not_equal(joined, "END");
    }
    assert_true(v.n_merges >= 1);
    vocab_release(&v);
    bpe_trainer_free(t);
}

static void wrong_options_are_refused_with_their_reason(void **state)
{
    static const char *const lists[][2] = {
        {"<s>", "<s>"}, {"<s>", ""}, {"<s>", "x"}, {"<s>", "\377\376"}};
    struct bpe_train_options o = options(257);
    struct bpe_trainer *t;
    struct mk_error err = {0};

    (void)state;
    assert_int_equal(bpe_trainer_create(&t, &o, &err), MK_EINVAL);
    assert_non_null(strstr(err.text, "257"));
    o = options(300);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        o.specials = lists[i];
        assert_int_equal(bpe_trainer_create(&t, &o, &err), MK_EINVAL);
        assert_non_null(strstr(err.text, "special token"));
    }
}

static void pieces_that_never_end_are_left_out(void **state)
{
    struct bpe_train_options o = options(300);
    char *text = malloc(100001);
    const char *documents[] = {text, "ab ab ab", NULL};
    struct bpe_trainer *t;

    (void)state;
    assert_non_null(text);
    memset(text, 'z', 100000);
    text[100000] = 0;
    t = learn(&o, documents);
    assert_int_equal(bpe_trainer_report(t).n_left_out, 1);
    assert_int_equal(bpe_trainer_report(t).n_merges, 2); /* a b and U+0120 ab */
    free(text);
    bpe_trainer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_frequent_pair_wins_and_ties_go_to_the_lower_ids),
        cmocka_unit_test(runs_of_one_letter_are_counted_as_they_merge),
        cmocka_unit_test(python_tokenizers_learns_the_same_merges),
        cmocka_unit_test(the_order_of_documents_changes_nothing),
        cmocka_unit_test(digits_stand_alone_unless_asked),
        cmocka_unit_test(vocabularies_have_fingerprints),
        cmocka_unit_test(the_written_file_encodes_any_bytes),
        cmocka_unit_test(marks_of_thoughts_are_shown_and_others_hidden),
        cmocka_unit_test(no_merge_spells_a_special_token),
        cmocka_unit_test(wrong_options_are_refused_with_their_reason),
        cmocka_unit_test(pieces_that_never_end_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
