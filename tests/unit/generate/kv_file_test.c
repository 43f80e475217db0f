/* kv_file_test.c: a saved session comes back whole, and nothing else comes back at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "generate/kv_file.h"

#ifdef __SANITIZE_ADDRESS__
#define MUTATIONS 10000
#else
#define MUTATIONS 500
#endif

#define N_VOCAB 1000
#define N_TOKENS 5
#define ROW_BYTES 36

/* What fuzz/kv_file_fuzz.c and its seed use too. */
static struct kv_file_key make_key(void)
{
    struct kv_file_key key = {
        .options = "mla=absorbed", .dtype = MK_BF16, .n_layers = 2, .row_bytes = ROW_BYTES};

    memset(key.fingerprint, 0xab, sizeof key.fingerprint);
    return key;
}

struct saved {
    char path[64];
    unsigned char *data; /* [bytes] owned */
    size_t bytes;
};

static int setup(void **state)
{
    static const int32_t ids[N_TOKENS] = {0, 999, 17, 17, 3};
    struct saved *s = calloc(1, sizeof *s);
    unsigned char rows[2][N_TOKENS * ROW_BYTES], *layers[2] = {rows[0], rows[1]};
    struct kv_file_key key = make_key();
    struct mk_error err;
    struct map_file map;

    for (size_t i = 0; i < sizeof rows; i++)
        rows[i / sizeof rows[0]][i % sizeof rows[0]] = (unsigned char)(i * 7);
    snprintf(s->path, sizeof s->path, "/tmp/minke-kv-%ld", (long)getpid());
    assert_int_equal(kv_file_write(s->path, &key, N_TOKENS, ids, layers, &err), 0);
    assert_int_equal(map_file_open(&map, s->path, &err), 0);
    s->bytes = map.bytes;
    s->data = malloc(s->bytes);
    memcpy(s->data, map.data, s->bytes);
    map_file_close(&map);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct saved *s = *state;

    unlink(s->path);
    free(s->data);
    free(s);
    return 0;
}

static void what_was_saved_comes_back(void **state)
{
    struct saved *s = *state;
    struct kv_file_key key = make_key();
    struct kv_file f;
    struct mk_error err;
    struct stat st;

    assert_int_equal(kv_file_open(&f, s->path, &key, N_VOCAB, N_TOKENS, &err), 0);
    assert_int_equal(f.n_tokens, N_TOKENS);
    assert_int_equal(f.ids[1], 999);
    assert_int_equal(f.ids[4], 3);
    for (int i = 0; i < 2 * N_TOKENS * ROW_BYTES; i++)
        assert_int_equal(f.rows[i], (unsigned char)(i * 7));
    kv_file_close(&f);
    assert_int_equal(stat(s->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600); /* it holds what somebody said */
}

static void an_empty_session_is_a_session(void **state)
{
    struct saved *s = *state;
    struct kv_file_key key = make_key();
    unsigned char row, *layers[2] = {&row, &row};
    struct kv_file f;
    struct mk_error err;
    int32_t id = 0;

    assert_int_equal(kv_file_write(s->path, &key, 0, &id, layers, &err), 0);
    assert_int_equal(kv_file_open(&f, s->path, &key, N_VOCAB, 1, &err), 0);
    assert_int_equal(f.n_tokens, 0);
    kv_file_close(&f);
}

static void refused(const struct saved *s, const struct kv_file_key *key, int32_t capacity,
                    int code, const char *word)
{
    struct kv_file f;
    struct mk_error err;

    assert_int_equal(kv_file_open(&f, s->path, key, N_VOCAB, capacity, &err), code);
    if (!strstr(err.text, word) || !strstr(err.text, s->path))
        fail_msg("'%s' lacks '%s' or the path", err.text, word);
    assert_null(f.map.data);
}

static void another_model_or_other_options_are_refused(void **state)
{
    struct saved *s = *state;
    struct kv_file_key key = make_key();

    key.fingerprint[31] ^= 1;
    refused(s, &key, 9, MK_EUNSUPPORTED, "another model");
    key = make_key();
    snprintf(key.options, sizeof key.options, "mla=expanded");
    refused(s, &key, 9, MK_EUNSUPPORTED, "'mla=absorbed'");
    key = make_key();
    key.dtype = MK_I8;
    refused(s, &key, 9, MK_EUNSUPPORTED, "bf16");
    key = make_key();
    key.n_layers = 3;
    refused(s, &key, 9, MK_EFORMAT, "2 layers");
    key = make_key();
    key.row_bytes = 40;
    refused(s, &key, 9, MK_EFORMAT, "36 bytes");
    key = make_key();
    refused(s, &key, N_TOKENS - 1, MK_ELIMIT, "context");
}

static int parse(const void *data, size_t bytes, struct kv_file *f, struct mk_error *err)
{
    struct kv_file_key key = make_key();

    return kv_file_parse(f, data, bytes, "x", &key, N_VOCAB, 100, err);
}

static void another_version_is_named(void **state)
{
    struct saved *s = *state;
    struct kv_file f;
    struct mk_error err;

    s->data[8] = 2;
    assert_int_equal(parse(s->data, s->bytes, &f, &err), MK_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "version 2"));
    s->data[8] = 1;
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    struct saved *s = *state;
    struct kv_file f;
    struct mk_error err;

    for (size_t n = 0; n < s->bytes; n++) {
        unsigned char *copy = malloc(n + (n == 0)); /* exact: a sanitizer sees overruns */

        memcpy(copy, s->data, n);
        assert_int_equal(parse(copy, n, &f, &err), MK_EFORMAT);
        free(copy);
    }
    assert_int_equal(parse(s->data, s->bytes, &f, &err), 0);
}

static void sign_again(unsigned char *data, size_t bytes)
{
    assert_true(EVP_Digest(data, bytes - 32, data + bytes - 32, NULL, EVP_sha256(), NULL));
}

/* Changes one to four bytes: the checksum refuses all of them; signed anew, a change is refused or
 * harmless. */
static void mutations_are_refused_or_harmless(void **state)
{
    struct saved *s = *state;
    unsigned char *copy = malloc(s->bytes);
    struct kv_file f;
    struct mk_error err;
    int accepted = 0;

    for (uint64_t i = 0; i < MUTATIONS; i++) {
        uint32_t w[4];

        memcpy(copy, s->data, s->bytes);
        rng_words(1, 2, i, w);
        for (uint32_t j = 0; j <= w[0] % 4; j++)
            copy[w[j] / 5 % (i % 2 ? 160 : s->bytes)] ^= (unsigned char)(1 + w[j] % 255);
        if (!memcmp(copy, s->data, s->bytes))
            continue;
        assert_int_not_equal(parse(copy, s->bytes, &f, &err), 0);
        sign_again(copy, s->bytes);
        if (parse(copy, s->bytes, &f, &err))
            continue;
        accepted++;
        assert_int_equal(f.n_tokens, N_TOKENS);
        for (int32_t t = 0; t < f.n_tokens; t++)
            assert_true(f.ids[t] >= 0 && f.ids[t] < N_VOCAB);
    }
    assert_true(accepted > 0); /* changed rows or ids: it was not the header alone that was tried */
    free(copy);
}

static void sizes_that_overflow_are_refused(void **state)
{
    struct saved *s = *state;
    struct kv_file_key key = make_key();
    uint32_t n_tokens = UINT32_MAX;
    struct kv_file f;
    struct mk_error err;

    key.n_layers = INT32_MAX;
    key.row_bytes = INT64_MAX;
    memcpy(s->data + 16, &key.n_layers, 4);
    memcpy(s->data + 20, &n_tokens, 4);
    memcpy(s->data + 24, &key.row_bytes, 8);
    sign_again(s->data, s->bytes);
    assert_int_equal(kv_file_parse(&f, s->data, s->bytes, "x", &key, N_VOCAB, 9, &err), MK_EFORMAT);
}

static void a_token_outside_of_the_vocabulary_is_refused(void **state)
{
    struct saved *s = *state;
    struct kv_file_key key = make_key();
    struct kv_file f;
    struct mk_error err;

    assert_int_equal(kv_file_parse(&f, s->data, s->bytes, "x", &key, 999, 9, &err), MK_EFORMAT);
    assert_non_null(strstr(err.text, "token 1 is 999"));
}

/* Written by version 1: a format that reads it no longer needs another version number. */
static void the_seed_of_version_1_is_still_read(void **state)
{
    struct kv_file_key key = make_key();
    struct kv_file f;
    struct mk_error err;

    (void)state;
    assert_int_equal(kv_file_open(&f, "fuzz/seeds/kv_file/five_tokens", &key, N_VOCAB, 9, &err), 0);
    assert_int_equal(f.n_tokens, N_TOKENS);
    assert_int_equal(f.ids[2], 17);
    assert_int_equal(f.rows[3], 21);
    kv_file_close(&f);
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    struct saved *s = *state;
    struct kv_file_key key = make_key();
    unsigned char row, *layers[2] = {&row, &row};
    struct mk_error err;
    int32_t id = 0;

    assert_int_equal(kv_file_write("/nonexistent/file", &key, 0, &id, layers, &err), MK_EIO);
    assert_non_null(strstr(err.text, "/nonexistent/file"));
    assert_int_equal(access(s->path, R_OK), 0);
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILE(what_was_saved_comes_back),
        WITH_FILE(an_empty_session_is_a_session),
        WITH_FILE(another_model_or_other_options_are_refused),
        WITH_FILE(another_version_is_named),
        WITH_FILE(a_file_cut_anywhere_is_refused),
        WITH_FILE(mutations_are_refused_or_harmless),
        WITH_FILE(sizes_that_overflow_are_refused),
        WITH_FILE(a_token_outside_of_the_vocabulary_is_refused),
        cmocka_unit_test(the_seed_of_version_1_is_still_read),
        WITH_FILE(a_failed_write_leaves_the_old_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
