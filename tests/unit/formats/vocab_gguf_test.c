/* vocab_gguf_test.c: a sound vocabulary in GGUF metadata is read, one that lies is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "formats/gguf.h"
#include "formats/vocab.h"

/* What a file holds; the tests change one field at a time. */
struct sample {
    const char *model, *tokens[5];
    uint64_t n_scores, n_kinds;
    uint32_t kind_of_3, eos;
};

static const struct sample sound = {"llama", {"<unk>", "a", "b", "<0x41>", "</s>"}, 5, 5, 6, 4};

static void put(struct buf *b, const void *data, size_t n)
{
    struct mk_error err;

    assert_int_equal(buf_append(b, data, n, &err), 0);
}

static void put_u32(struct buf *b, uint32_t value)
{
    put(b, &value, sizeof value);
}

static void put_u64(struct buf *b, uint64_t value)
{
    put(b, &value, sizeof value);
}

static void put_text(struct buf *b, const char *s)
{
    put_u64(b, strlen(s));
    put(b, s, strlen(s));
}

static void put_array(struct buf *b, const char *key, enum gguf_type element, uint64_t n)
{
    put_text(b, key);
    put_u32(b, GGUF_ARRAY);
    put_u32(b, element);
    put_u64(b, n);
}

static void put_sample(struct buf *b, const struct sample *s)
{
    const float score = -1;

    put(b, "GGUF", 4);
    put_u32(b, 3);
    put_u64(b, 0); /* tensors */
    put_u64(b, 5); /* keys */
    put_text(b, "tokenizer.ggml.model");
    put_u32(b, GGUF_STRING);
    put_text(b, s->model);
    put_array(b, "tokenizer.ggml.tokens", GGUF_STRING, 5);
    for (int i = 0; i < 5; i++)
        put_text(b, s->tokens[i]);
    put_array(b, "tokenizer.ggml.scores", GGUF_F32, s->n_scores);
    for (uint64_t i = 0; i < s->n_scores; i++)
        put(b, &score, sizeof score);
    put_array(b, "tokenizer.ggml.token_type", GGUF_I32, s->n_kinds);
    for (uint64_t i = 0; i < s->n_kinds; i++)
        put_u32(b, i == 3 ? s->kind_of_3 : i == 0 ? 2 : 1);
    put_text(b, "tokenizer.ggml.eos_token_id");
    put_u32(b, GGUF_U32);
    put_u32(b, s->eos);
}

static int read_sample(const struct sample *s, struct vocab *v, struct mk_error *err)
{
    char path[] = "/tmp/minke-vocab-XXXXXX";
    int fd = mkstemp(path), rc;
    struct gguf g;
    struct buf b;

    assert_true(fd >= 0);
    buf_init(&b, 1 << 16);
    put_sample(&b, s);
    assert_int_equal(write(fd, b.data, b.n), b.n);
    close(fd);
    buf_release(&b);
    rc = gguf_open(&g, path, err);
    if (!rc) {
        rc = vocab_from_gguf(v, &g, "sample.gguf", err);
        gguf_release(&g);
    }
    unlink(path);
    return rc;
}

static void a_sentencepiece_vocabulary_is_read(void **state)
{
    struct mk_error err = {0};
    struct vocab v;

    (void)state;
    if (read_sample(&sound, &v, &err))
        fail_msg("%s", err.text);
    assert_int_equal(v.kind, VOCAB_SPM_BPE);
    assert_int_equal(v.n_tokens, 5);
    assert_int_equal(v.kinds[3], TOKEN_BYTE);
    assert_int_equal(v.kinds[4], TOKEN_SPECIAL); /* the file says normal; nobody may type EOS */
    assert_int_equal(v.eos_id, 4);
    vocab_release(&v);
}

/* One lie each; the words must be in the message. */
static void assert_refused(struct sample s, const char *words)
{
    struct mk_error err = {0};
    struct vocab v;

    if (!read_sample(&s, &v, &err))
        fail_msg("accepted; expected \"%s\"", words);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void arrays_shorter_than_the_tokens_are_refused(void **state)
{
    struct sample s = sound;

    (void)state;
    s.n_scores = 4;
    assert_refused(s, "tokenizer.ggml.scores");
    s = sound;
    s.n_kinds = 2;
    assert_refused(s, "tokenizer.ggml.token_type has 2 entries for 5 tokens");
}

static void ids_outside_the_vocabulary_are_refused(void **state)
{
    struct sample s = sound;

    (void)state;
    s.eos = 5;
    assert_refused(s, "tokenizer.ggml.eos_token_id");
    s.eos = 0x80000000u;
    assert_refused(s, "tokenizer.ggml.eos_token_id");
}

static void byte_tokens_with_a_sign_are_refused(void **state)
{
    struct sample s = sound;

    (void)state;
    s.tokens[3] = "<0x-1>";
    assert_refused(s, "token 3 is a byte token");
}

static void kinds_and_models_nobody_knows_are_refused(void **state)
{
    struct sample s = sound;

    (void)state;
    s.kind_of_3 = 7;
    assert_refused(s, "tokenizer.ggml.token_type[3]");
    s = sound;
    s.model = "t5";
    assert_refused(s, "tokenizer.ggml.model \"t5\"");
    s.model = "gpt2"; /* which needs merges */
    assert_refused(s, "tokenizer.ggml.merges");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sentencepiece_vocabulary_is_read),
        cmocka_unit_test(arrays_shorter_than_the_tokens_are_refused),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(byte_tokens_with_a_sign_are_refused),
        cmocka_unit_test(kinds_and_models_nobody_knows_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
