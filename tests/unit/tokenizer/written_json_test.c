/* written_json_test.c: a vocabulary written as tokenizer.json is the same tokenizer. */
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

#include "formats/gguf_writer.h"
#include "formats/model_file.h"
#include "tokenizer/tokenizer.h"

#define GOLDEN "tests/golden/tokenizer/"

static const char *const names[] = {"deepseek_v3", "deepseek_llm", "deepseek_coder",
                                    "qwen3",       "llama3_1",     "llama2",
                                    "mistral_nemo", "smollm",      "gpt2"};
#define N_NAMES (sizeof names / sizeof *names)

/* Everything at which readers differ: spaces, digits, marks that NFC moves, emoji, bytes that are
 * no text. */
static const struct vocab_text samples[] = {
#define SAMPLE(s) {s, sizeof(s) - 1}
    SAMPLE("Hello, world! It's  1234567 o'clock;  we'LL see."),
    SAMPLE(" a   leading  space\n\n\ttabs\r\nand lines   "),
    SAMPLE("e\xCC\x81t\xC3\xA9 \xE1\xBA\xA5 \xE4\xBD\xA0\xE5\xA5\xBD\xE3\x81\x8B\xE3\x82\xAB"),
    SAMPLE("\xF0\x9F\xA6\x9C\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA9 x\xC2\xA0y\xE3\x80\x80z"),
    SAMPLE("\xFF\xC3(\xE2\x82 zzz\x80\x80"),
    SAMPLE("for (int i=0;i<10;++i) { a[i] += 0x1F; } // #include <x>"),
    SAMPLE("\xE2\x96\x81 visible\xE2\x96\x81space aaaaaaaaaaaaa            ============"),
    SAMPLE("<s>begin</s> <|im_start|>user<|im_end|><|endoftext|><unk><0x41>[PAD7]"),
    SAMPLE("\xD0\xA3\xD0\xBC \xD9\xA1\xD9\xA2\xD9\xA3 \xCE\xB1\xCE\xB2 \xF0\x90\x90\x80"),
    SAMPLE(""),
#undef SAMPLE
};
#define N_SAMPLES (sizeof samples / sizeof *samples)

/* ---- Helpers -------------------------------------------------------------------------------- */

static void must(int rc, const struct mk_error *err)
{
    if (rc)
        fail_msg("%s", err->text);
}

static struct vocab golden(const char *name)
{
    struct mk_error err;
    struct vocab v;
    char path[256];

    snprintf(path, sizeof path, GOLDEN "%s", name);
    must(vocab_from_tokenizer_json(&v, path, &err), &err);
    return v;
}

static struct vocab from_gguf(const char *path)
{
    struct mk_error err;
    struct gguf g;
    struct vocab v;

    must(gguf_open(&g, path, &err), &err);
    must(vocab_from_gguf(&v, &g, path, &err), &err);
    gguf_release(&g);
    return v;
}

/* Takes v over. */
static struct vocab through_gguf(struct vocab *v)
{
    char path[] = "/tmp/minke-written-XXXXXX";
    struct gguf_writer *w = NULL;
    int fd = mkstemp(path);
    struct mk_error err;
    struct vocab out;

    assert_true(fd >= 0);
    close(fd);
    must(gguf_writer_create(&w, path, &err), &err);
    must(vocab_to_gguf(v, v->n_tokens, w, &err), &err);
    must(gguf_writer_begin(w, &err), &err);
    must(gguf_writer_finish(w, &err), &err);
    gguf_writer_free(w);
    vocab_release(v);
    out = from_gguf(path);
    unlink(path);
    return out;
}

static struct vocab written(const struct vocab *v, struct vocab_json *json)
{
    struct mk_error err;
    struct vocab out;

    must(vocab_to_json(v, json, &err), &err);
    must(vocab_from_texts(&out, "written", json->tokenizer, strlen(json->tokenizer), json->config,
                          strlen(json->config), &err),
         &err);
    return out;
}

static struct vocab written_again(const struct vocab *v)
{
    struct vocab_json json;
    struct vocab out = written(v, &json);

    vocab_json_release(&json);
    return out;
}

static struct tokenizer *tokenizer_of(struct vocab v)
{
    struct tokenizer *t = NULL;
    struct mk_error err;

    must(tokenizer_create(&t, &v, &err), &err);
    return t;
}

static struct ids encode(const struct tokenizer *t, struct vocab_text text, bool specials)
{
    struct ids ids = {0};
    struct mk_error err;

    must(tokenizer_encode(t, text.data, text.n, specials, &ids, &err), &err);
    return ids;
}

static void assert_same_ids(const char *what, const struct tokenizer *a, const struct tokenizer *b,
                            struct vocab_text text)
{
    for (int specials = 0; specials < 2; specials++) {
        struct ids x = encode(a, text, specials), y = encode(b, text, specials);

        if (x.n != y.n || (x.n && memcmp(x.data, y.data, x.n * sizeof *x.data)))
            fail_msg("%s: \"%.*s\" has other ids", what, (int)text.n, text.data);
        ids_release(&x);
        ids_release(&y);
    }
}

/* The texts of Python's cases, then ours. Takes both over. */
static void assert_same(const char *what, struct vocab va, struct vocab vb, const char *cases_of)
{
    struct tokenizer *a = tokenizer_of(va), *b = tokenizer_of(vb);
    json_t *cases, *item;
    char path[256];
    size_t i;

    assert_int_equal(tokenizer_vocab(a)->n_tokens, tokenizer_vocab(b)->n_tokens);
    for (i = 0; i < N_SAMPLES; i++)
        assert_same_ids(what, a, b, samples[i]);
    snprintf(path, sizeof path, GOLDEN "%s/cases.json", cases_of);
    cases = json_load_file(path, 0, NULL);
    assert_true(json_array_size(cases) > 10);
    json_array_foreach(cases, i, item) {
        const json_t *text = json_object_get(item, "text");

        assert_same_ids(what, a, b,
                        (struct vocab_text){json_string_value(text),
                                            (uint32_t)json_string_length(text)});
    }
    json_decref(cases);
    tokenizer_free(a);
    tokenizer_free(b);
}

/* ---- The same ids --------------------------------------------------------------------------- */

static void every_tokenizer_json_written_again_has_the_same_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES; i++) {
        struct vocab v = golden(names[i]), w = written_again(&v);
        unsigned char a[32], b[32];
        struct mk_error err;

        must(vocab_fingerprint(&v, a, &err), &err);
        must(vocab_fingerprint(&w, b, &err), &err);
        assert_memory_equal(a, b, sizeof a);
        assert_same(names[i], v, w, names[i]);
    }
}

/* SentencePiece (llama2) among them: scores to merges. */
static void every_gguf_vocabulary_has_the_same_ids_as_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES; i++) {
        struct vocab from = golden(names[i]), v = through_gguf(&from), w = written_again(&v);

        assert_true(v.kind == VOCAB_BYTE_BPE || (v.scores && !v.merges));
        assert_same(names[i], v, w, names[i]);
    }
}

static void json_and_gguf_in_turns_keep_the_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_NAMES; i++) {
        struct vocab first = golden(names[i]), v = through_gguf(&first), json = written_again(&v);
        struct vocab gguf = through_gguf(&json);

        assert_same(names[i], v, written_again(&gguf), names[i]);
        vocab_release(&gguf);
    }
}

static void files_of_other_writers_have_the_same_ids_as_json(void **state)
{
    static const char *const files[] = {"v3-mla.gguf", "llama3.gguf", "qwen2.gguf"};

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct vocab v, w;
        char path[256];

        snprintf(path, sizeof path, "tests/golden/gguf/%s", files[i]);
        v = from_gguf(path);
        w = written_again(&v);
        assert_true(*w.pre_name); /* so that GGUF can be written of it once more */
        assert_same(files[i], v, w, "gpt2");
    }
}

/* ---- What stands beside the ids ------------------------------------------------------------- */

static void habits_and_the_chat_template_come_back(void **state)
{
    static const char jinja[] = "{% for m in messages %}\"\\\n\xE2\x96\x81{% endfor %}";
    struct vocab v, w;

    (void)state;
    for (int add = 0; add < 4; add++) {
        v = golden("llama2");
        v.add_bos = add & 1;
        v.add_eos = add & 2;
        v.bos_id = 1;
        v.eos_id = v.pad_id = 2;
        v.chat_template = (struct vocab_text){jinja, sizeof jinja - 1};
        w = written_again(&v);
        assert_true(w.add_bos == v.add_bos && w.add_eos == v.add_eos);
        assert_int_equal(w.bos_id, 1);
        assert_int_equal(w.eos_id, 2);
        assert_int_equal(w.pad_id, 2);
        assert_int_equal(w.unk_id, v.unk_id);
        assert_string_equal(w.chat_template.data, jinja);
        vocab_release(&v);
        vocab_release(&w);
    }
}

static void a_chat_template_that_is_no_text_is_left_out(void **state)
{
    struct vocab v = golden("gpt2"), w;
    struct vocab_json json;

    (void)state;
    v.chat_template = (struct vocab_text){"{{ \xFF }}", 7};
    w = written(&v, &json);
    assert_true(json.left_template);
    assert_int_equal(w.chat_template.n, 0);
    vocab_json_release(&json);
    vocab_release(&v);
    vocab_release(&w);
}

/* ---- Vocabularies with holes ---------------------------------------------------------------- */

#define N_ODD 9

/* Tokens 3 to 8: half a character, "a" again, a NUL, nothing, what token 6 would be called, and a
 * token that another merge makes of half a character. */
static struct vocab odd_vocab(struct vocab_text texts[N_ODD], enum token_kind kinds[N_ODD],
                              struct vocab_text merges[3][2])
{
    static const struct vocab_text odd[N_ODD] = {{"a", 1},    {"b", 1}, {"ab", 2},
                                                 {"\xC3", 1}, {"a", 1}, {"x\0y", 3},
                                                 {"", 0},     {"[PAD6]", 6}, {"a\xC3", 2}};

    for (int i = 0; i < N_ODD; i++) {
        texts[i] = odd[i];
        kinds[i] = i == 6 ? TOKEN_UNUSED : TOKEN_NORMAL;
    }
    merges[0][0] = odd[0], merges[0][1] = odd[1];
    merges[1][0] = odd[0], merges[1][1] = odd[3]; /* of half a character */
    merges[2][0] = odd[1], merges[2][1] = odd[0]; /* "ba" is no token */
    return (struct vocab){.name = "odd", .kind = VOCAB_BYTE_BPE, .n_tokens = N_ODD,
                          .texts = texts, .kinds = kinds, .merges = merges, .n_merges = 3,
                          .bos_id = 3, .eos_id = 4, .unk_id = -1, .pad_id = -1, .add_bos = true};
}

static void texts_json_cannot_hold_keep_their_place_under_another_name(void **state)
{
    static const char *const want[N_ODD] = {"a",      "b",        "ab",     "[PAD3]", "[PAD4]",
                                            "[PAD5]", "[PAD6.1]", "[PAD6]", "[PAD8]"};
    struct vocab_text texts[N_ODD], merges[3][2];
    enum token_kind kinds[N_ODD];
    struct vocab v = odd_vocab(texts, kinds, merges), w;
    struct vocab_json json;

    (void)state;
    w = written(&v, &json);
    assert_int_equal(json.n_unnamed, 4);
    assert_int_equal(w.n_tokens, N_ODD);
    for (int i = 0; i < N_ODD; i++) {
        assert_int_equal(w.texts[i].n, strlen(want[i]));
        assert_memory_equal(w.texts[i].data, want[i], strlen(want[i]));
    }
    assert_int_equal(w.kinds[5], TOKEN_UNUSED); /* for a GGUF made of it */
    assert_int_equal(w.kinds[6], TOKEN_UNUSED);
    assert_int_equal(w.kinds[7], TOKEN_NORMAL);
    assert_int_equal(w.bos_id, 3);
    assert_int_equal(w.eos_id, 4);
    assert_int_equal(w.n_merges, 1);
    assert_int_equal(w.merges[0][0].data[0], 'a');
    vocab_json_release(&json);
    vocab_release(&w);
}

/* ---- Merges from scores --------------------------------------------------------------------- */

/* Four letters, so that nearly all short texts are pieces; every third token is none. */
#define N_SCORED 300

static int32_t random_pieces(struct vocab_text *texts, enum token_kind *kinds, float *scores,
                             char (*memory)[8])
{
    uint32_t seed = 1;

    for (int32_t i = 0; i < N_SCORED; i++) {
        uint32_t n;

        seed = seed * 1664525u + 1013904223u;
        n = 1 + (seed >> 28) % 6;
        for (uint32_t k = 0; k < n; k++)
            memory[i][k] = (char)('a' + (seed >> (8 + 2 * k)) % 4);
        texts[i] = (struct vocab_text){memory[i], n};
        kinds[i] = i % 3 == 2 ? TOKEN_UNUSED : TOKEN_NORMAL;
        scores[i] = (float)((seed >> 20) % 50);
    }
    return N_SCORED;
}

static int32_t first_piece(const struct vocab *v, const char *text, size_t n)
{
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (vocab_is_piece(v, i) && v->texts[i].n == n && !memcmp(v->texts[i].data, text, n))
            return i;
    return -1;
}

static void every_cut_of_a_piece_into_two_is_a_merge(void **state)
{
    static char memory[N_SCORED][8];
    struct vocab_text texts[N_SCORED];
    enum token_kind kinds[N_SCORED];
    float scores[N_SCORED];
    struct vocab v = {.n_tokens = random_pieces(texts, kinds, scores, memory), .texts = texts,
                      .kinds = kinds, .scores = scores, .bos_id = -1, .eos_id = -1};
    struct vocab_way *ways;
    int64_t n, want = 0;
    struct mk_error err;

    (void)state;
    must(vocab_ways(&v, &ways, &n, &err), &err);
    for (int32_t i = 0; i < N_SCORED; i++)
        for (uint32_t at = 1; at < texts[i].n && first_piece(&v, texts[i].data, texts[i].n) == i;
             at++)
            want += first_piece(&v, texts[i].data, at) >= 0 &&
                    first_piece(&v, texts[i].data + at, texts[i].n - at) >= 0;
    assert_true(want > 100);
    assert_int_equal(n, want);
    for (int64_t i = 0; i < n; i++) {
        struct vocab_text l = texts[ways[i].left], r = texts[ways[i].right], t = texts[ways[i].id];

        assert_int_equal(l.n + r.n, t.n);
        assert_memory_equal(t.data, l.data, l.n);
        assert_memory_equal(t.data + l.n, r.data, r.n);
        assert_int_equal(first_piece(&v, l.data, l.n), ways[i].left);
        assert_int_equal(first_piece(&v, r.data, r.n), ways[i].right);
        if (i)
            assert_true(scores[ways[i].id] <= scores[ways[i - 1].id]);
        if (i && ways[i].id == ways[i - 1].id)
            assert_true(l.n < texts[ways[i - 1].left].n);
    }
    free(ways);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tokenizer_json_written_again_has_the_same_ids),
        cmocka_unit_test(every_gguf_vocabulary_has_the_same_ids_as_json),
        cmocka_unit_test(json_and_gguf_in_turns_keep_the_ids),
        cmocka_unit_test(files_of_other_writers_have_the_same_ids_as_json),
        cmocka_unit_test(habits_and_the_chat_template_come_back),
        cmocka_unit_test(a_chat_template_that_is_no_text_is_left_out),
        cmocka_unit_test(texts_json_cannot_hold_keep_their_place_under_another_name),
        cmocka_unit_test(every_cut_of_a_piece_into_two_is_a_merge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
