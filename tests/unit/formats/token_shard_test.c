/* token_shard_test.c: documents come back as they were written, and a file that was changed in any
 * way does not come back at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "formats/token_shard.h"

#define N_DOCUMENTS 300

static void path_of(char path[64])
{
    snprintf(path, 64, "/tmp/minke-shard-%ld", (long)getpid());
}

static struct token_shard_key key_of(int32_t n_vocab)
{
    struct token_shard_key key = {.n_vocab = n_vocab};

    memset(key.fingerprint, 0xab, sizeof key.fingerprint);
    return key;
}

/* Document d has 1 + 37 d % 9001 ids drawn from (d, i). */
static size_t make_document(int d, int32_t n_vocab, int32_t *ids)
{
    size_t n = 1 + (size_t)d * 37 % 9001;

    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(rng_uniform(1, (uint64_t)d, i) * n_vocab);
    return n;
}

static void write_shard(const char *path, int n_documents, int32_t n_vocab)
{
    struct token_shard_key key = key_of(n_vocab);
    struct token_shard_writer w;
    struct mk_error err = {0};
    static int32_t ids[10000];

    unlink(path);
    assert_int_equal(token_shard_create(&w, path, &key, TOKEN_SHARD_TEXT, &err), 0);
    assert_int_equal(access(path, F_OK), -1); /* not before it is whole */
    for (int d = 0; d < n_documents; d++)
        assert_int_equal(
            token_shard_append(&w, ids, NULL, make_document(d, n_vocab, ids), &err), 0);
    assert_int_equal(token_shard_finish(&w, &err), 0);
}

static void documents_come_back_in_either_width(void **state)
{
    static const int32_t vocabularies[] = {65536, 65537};
    static int32_t want[10000], got[10000];
    char path[64];

    (void)state;
    path_of(path);
    for (int k = 0; k < 2; k++) {
        struct token_shard_key key = key_of(vocabularies[k]);
        struct mk_error err = {0};
        struct token_shard s;

        write_shard(path, N_DOCUMENTS, vocabularies[k]);
        assert_int_equal(token_shard_open(&s, path, &key, &err), 0);
        assert_int_equal(s.id_bytes, k ? 4 : 2);
        assert_int_equal(s.n_documents, N_DOCUMENTS);
        for (int d = 0; d < N_DOCUMENTS; d++) {
            size_t n = make_document(d, vocabularies[k], want);

            assert_int_equal(token_shard_length(&s, d), n);
            token_shard_read(&s, d, 0, (int64_t)n, got);
            assert_memory_equal(got, want, n * sizeof *want);
            token_shard_read(&s, d, (int64_t)n - 1, 1, got);
            assert_int_equal(got[0], want[n - 1]);
        }
        token_shard_close(&s);
    }
    unlink(path);
}

static void another_vocabulary_is_refused(void **state)
{
    struct token_shard_key key = key_of(1000);
    struct mk_error err = {0};
    struct token_shard s;
    char path[64];

    (void)state;
    path_of(path);
    write_shard(path, 2, 1000);
    key.fingerprint[31] ^= 1;
    assert_int_equal(token_shard_open(&s, path, &key, &err), MK_EUNSUPPORTED);
    key = key_of(1001);
    assert_int_equal(token_shard_open(&s, path, &key, &err), MK_EUNSUPPORTED);
    unlink(path);
}

static void what_cannot_be_written_leaves_no_file(void **state)
{
    struct token_shard_key key = key_of(10);
    struct token_shard_writer w;
    struct mk_error err = {0};
    int32_t id = 10;
    char path[64];

    (void)state;
    path_of(path);
    assert_int_equal(token_shard_create(&w, path, &key, TOKEN_SHARD_TEXT, &err), 0);
    assert_int_equal(token_shard_append(&w, &id, NULL, 0, &err), MK_EINVAL);
    assert_int_equal(token_shard_append(&w, &id, NULL, 1, &err), MK_EINVAL);
    token_shard_discard(&w);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(token_shard_create(&w, "/nonexistent/x", &key, TOKEN_SHARD_TEXT, &err),
                     MK_EIO);
}

static unsigned char *load(const char *path, size_t *bytes)
{
    struct map_file m;
    struct mk_error err = {0};
    unsigned char *data;

    assert_int_equal(map_file_open(&m, path, &err), 0);
    data = malloc(m.bytes);
    assert_non_null(data);
    memcpy(data, m.data, m.bytes);
    *bytes = m.bytes;
    map_file_close(&m);
    return data;
}

static void every_cut_and_every_changed_byte_is_found(void **state)
{
    struct mk_error err = {0};
    struct token_shard s;
    unsigned char *data;
    size_t bytes;
    char path[64];

    (void)state;
    path_of(path);
    write_shard(path, 2, 1000);
    data = load(path, &bytes);
    assert_int_equal(token_shard_parse(&s, data, bytes, "x", NULL, &err), 0);
    for (size_t n = 0; n < bytes; n++)
        assert_int_not_equal(token_shard_parse(&s, data, n, "x", NULL, &err), 0);
    for (size_t i = 0; i < bytes; i++) {
        data[i] ^= 0x10;
        assert_int_not_equal(token_shard_parse(&s, data, bytes, "x", NULL, &err), 0);
        assert_null(s.ids);
        data[i] ^= 0x10;
    }
    free(data);
    unlink(path);
}

/* Lies that a right checksum would carry. */
static void counts_offsets_and_ids_are_checked_behind_the_checksum(void **state)
{
    static const struct {
        long from_end; /* of the field, counted from the end; >= 0 from the beginning */
        uint64_t value;
        const char *why;
    } lies[] = {
        {12, 3, "ids of 3 bytes"},          {-48, 1ull << 61, "do not fit"},
        {-40, UINT64_MAX, "do not fit"},    {-48, 1, "do not fit"},
        {-48 - 16, 1000, "before it begins"}, {-48 - 8, 38, "cover"},
        {-48 - 24, 1, "cover"},             {64, 0xffff, "token 0 is 65535"},
    };
    struct mk_error err = {0};
    struct token_shard s;
    unsigned char *data;
    size_t bytes;
    char path[64];

    (void)state;
    path_of(path);
    write_shard(path, 2, 1000);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        data = load(path, &bytes);
        memcpy(lies[i].from_end < 0 ? data + bytes + lies[i].from_end : data + lies[i].from_end,
               &lies[i].value, lies[i].from_end < 0 ? 8 : 4);
        EVP_Digest(data, bytes - 32, data + bytes - 32, NULL, EVP_sha256(), NULL);
        assert_int_equal(token_shard_parse(&s, data, bytes, "x", NULL, &err), MK_EFORMAT);
        if (!strstr(err.text, lies[i].why))
            fail_msg("%zu: %s", i, err.text);
        free(data);
    }
    unlink(path);
}

/* ---- Conversations --------------------------------------------------------------------------- */

static bool is_learned(int d, size_t i)
{
    return i > 0 && (i == 1 || rng_uniform(2, (uint64_t)d, i) < 0.3);
}

/* Documents 5 and on of make_document, with a mask. */
static void write_chat(const char *path, enum token_shard_kind kind, int n_documents)
{
    struct token_shard_key key = key_of(1000);
    struct token_shard_writer w;
    struct mk_error err = {0};
    static unsigned char learned[10000];
    static int32_t ids[10000];

    assert_int_equal(token_shard_create(&w, path, &key, kind, &err), 0);
    for (int d = 0; d < n_documents; d++) {
        size_t n = make_document(d + 5, 1000, ids);

        for (size_t i = 0; i < n; i++)
            learned[i] = is_learned(d, i);
        assert_int_equal(token_shard_append(&w, ids, learned, n, &err), 0);
    }
    assert_int_equal(token_shard_finish(&w, &err), 0);
}

static void what_is_learned_comes_back_bit_by_bit(void **state)
{
    static unsigned char got[10000];
    static int32_t ids[10000], want[10000];
    struct mk_error err = {0};
    struct token_shard s;
    char path[64];

    (void)state;
    path_of(path);
    write_chat(path, TOKEN_SHARD_CHAT, 200);
    assert_int_equal(token_shard_open(&s, path, NULL, &err), 0);
    assert_int_equal(s.kind, TOKEN_SHARD_CHAT);
    for (int d = 0; d < 200; d++) {
        size_t n = make_document(d + 5, 1000, want);

        token_shard_read(&s, d, 0, (int64_t)n, ids);
        assert_memory_equal(ids, want, n * sizeof *ids);
        token_shard_read_learned(&s, d, 0, (int64_t)n, got);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(got[i], is_learned(d, i));
    }
    token_shard_close(&s);
    write_shard(path, 2, 1000); /* texts are learned whole, and keep version 1 */
    assert_int_equal(token_shard_open(&s, path, NULL, &err), 0);
    assert_int_equal(s.kind, TOKEN_SHARD_TEXT);
    token_shard_read_learned(&s, 1, 0, token_shard_length(&s, 1), got);
    for (int64_t i = 0; i < token_shard_length(&s, 1); i++)
        assert_int_equal(got[i], 1);
    token_shard_close(&s);
    unlink(path);
}

static void every_cut_and_changed_byte_of_a_conversation_is_found(void **state)
{
    struct mk_error err = {0};
    struct token_shard s;
    unsigned char *data;
    size_t bytes;
    char path[64];

    (void)state;
    path_of(path);
    write_chat(path, TOKEN_SHARD_PAIRS, 2);
    data = load(path, &bytes);
    assert_int_equal(token_shard_parse(&s, data, bytes, "x", NULL, &err), 0);
    assert_int_equal(s.kind, TOKEN_SHARD_PAIRS);
    for (size_t n = 0; n < bytes; n++)
        assert_int_not_equal(token_shard_parse(&s, data, n, "x", NULL, &err), 0);
    for (size_t i = 0; i < bytes; i++) {
        data[i] ^= 0x10;
        assert_int_not_equal(token_shard_parse(&s, data, bytes, "x", NULL, &err), 0);
        data[i] ^= 0x10;
    }
    free(data);
    unlink(path);
}

/* `at` bytes into the mask, counted from its begin, or of the header. */
static void assert_lie(const char *path, bool in_mask, size_t at, unsigned char value,
                       const char *why)
{
    struct mk_error err = {0};
    struct token_shard s;
    unsigned char *data;
    size_t bytes;

    data = load(path, &bytes);
    assert_int_equal(token_shard_parse(&s, data, bytes, "x", NULL, &err), 0);
    data[in_mask ? (size_t)(s.mask - data) + at : at] = value;
    EVP_Digest(data, bytes - 32, data + bytes - 32, NULL, EVP_sha256(), NULL);
    assert_int_equal(token_shard_parse(&s, data, bytes, "x", NULL, &err), MK_EFORMAT);
    if (!strstr(err.text, why))
        fail_msg("%s", err.text);
    free(data);
}

static void masks_and_kinds_are_checked_behind_the_checksum(void **state)
{
    static const unsigned char none[8] = {0};
    struct token_shard_key key = key_of(10);
    struct token_shard_writer w;
    struct mk_error err = {0};
    static const int32_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const unsigned char second[8] = {0, 1}, first[8] = {1};
    char path[64];

    (void)state;
    path_of(path);
    assert_int_equal(token_shard_create(&w, path, &key, TOKEN_SHARD_CHAT, &err), 0);
    assert_int_equal(token_shard_append(&w, ids, NULL, 8, &err), MK_EINVAL);
    assert_int_equal(token_shard_append(&w, ids, none, 8, &err), MK_EINVAL);
    assert_int_equal(token_shard_append(&w, ids, first, 8, &err), MK_EINVAL);
    for (int d = 0; d < 3; d++)
        assert_int_equal(token_shard_append(&w, ids, second, 8, &err), 0);
    assert_int_equal(token_shard_finish(&w, &err), 0);
    assert_lie(path, true, 1, 0, "document 1: nothing in it is learned");
    assert_lie(path, true, 1, 1, "document 1: nothing in it is learned");
    assert_lie(path, true, 3, 1, "longer than the tokens");
    assert_lie(path, false, 20, 7, "kind 7");
    assert_lie(path, false, 20, TOKEN_SHARD_PAIRS, "3 documents are no pairs");
    assert_lie(path, false, 20, TOKEN_SHARD_TEXT, "kind 0");
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_come_back_in_either_width),
        cmocka_unit_test(another_vocabulary_is_refused),
        cmocka_unit_test(what_cannot_be_written_leaves_no_file),
        cmocka_unit_test(every_cut_and_every_changed_byte_is_found),
        cmocka_unit_test(counts_offsets_and_ids_are_checked_behind_the_checksum),
        cmocka_unit_test(what_is_learned_comes_back_bit_by_bit),
        cmocka_unit_test(every_cut_and_changed_byte_of_a_conversation_is_found),
        cmocka_unit_test(masks_and_kinds_are_checked_behind_the_checksum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
