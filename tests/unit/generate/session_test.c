/* session_test.c: sessions and requests through the public interface, on golden models. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "minke.h"
#include "support/golden.h"

#define V 517
#define N 29

static const char *const models[] = {"v3", "v2-lite", "qwen3", "mistral"};
#define N_MODELS (sizeof models / sizeof *models)
static const enum mk_kv kinds[] = {MK_KV_F32, MK_KV_BF16, MK_KV_I8};

static struct mk_model *open_model(const char *name)
{
    struct mk_model_options o = mk_model_options_default();
    struct mk_model *m;
    struct mk_error err;
    char path[256];

    snprintf(path, sizeof path, "tests/golden/models/%s", name);
    o.n_threads = 2;
    if (mk_model_open(&m, path, &o, &err))
        fail_msg("%s", err.text);
    return m;
}

static struct mk_session *open_session(struct mk_model *m, enum mk_kv kv)
{
    struct mk_session_options o = mk_session_options_default();
    struct mk_session *s;
    struct mk_error err;

    o.context = 200;
    o.kv = kv;
    if (mk_session_open(&s, m, &o, &err))
        fail_msg("%s", err.text);
    return s;
}

static void append(struct mk_session *s, const int32_t *ids, size_t n)
{
    struct mk_error err;

    if (mk_session_append(s, ids, n, NULL, &err))
        fail_msg("%s", err.text);
}

static int32_t *prompt(const char *model)
{
    char path[256];
    int32_t n, *ids;

    snprintf(path, sizeof path, "tests/golden/models/%s/expected/ids_29.txt", model);
    ids = golden_ids(path, &n);
    assert_int_equal(n, N);
    return ids;
}

static void assert_same_logits(const struct mk_session *a, const struct mk_session *b)
{
    assert_non_null(mk_session_logits(a));
    assert_non_null(mk_session_logits(b));
    assert_memory_equal(mk_session_logits(a), mk_session_logits(b), V * sizeof(float));
}

/* Go back, take another turn, come back: the logits are those of a session that never left. */
static void a_truncated_session_continues_like_a_fresh_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODELS; i++)
        for (size_t k = 0; k < 3; k++) {
            struct mk_model *m = open_model(models[i]);
            struct mk_session *fresh = open_session(m, kinds[k]), *s = open_session(m, kinds[k]);
            int32_t *ids = prompt(models[i]), other[5] = {7, 8, 9, 10, 11};

            append(fresh, ids, N);
            append(s, ids, 17);
            append(s, other, 5);
            mk_session_truncate(s, 17);
            assert_null(mk_session_logits(s));
            append(s, ids + 17, N - 17);
            assert_int_equal(mk_session_position(s), N);
            assert_memory_equal(mk_session_tokens(s), ids, N * sizeof *ids);
            assert_same_logits(fresh, s);
            free(ids);
            mk_session_free(s);
            mk_session_free(fresh);
            mk_model_free(m);
        }
}

static void a_restored_session_continues_with_the_same_bits(void **state)
{
    char path[] = "/tmp/minke-session-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < N_MODELS; i++)
        for (size_t k = 0; k < 3; k++) {
            struct mk_model *m = open_model(models[i]);
            struct mk_session *whole = open_session(m, kinds[k]), *s = open_session(m, kinds[k]);
            int32_t *ids = prompt(models[i]);
            struct mk_error err;

            append(whole, ids, 13);
            assert_int_equal(mk_session_save(whole, path, &err), 0);
            if (mk_session_restore(s, path, &err))
                fail_msg("%s", err.text);
            assert_int_equal(mk_session_position(s), 13);
            assert_same_logits(whole, s);
            append(whole, ids + 13, N - 13);
            append(s, ids + 13, N - 13);
            assert_same_logits(whole, s);
            free(ids);
            mk_session_free(s);
            mk_session_free(whole);
            mk_model_free(m);
        }
    unlink(path);
}

static void another_model_or_cache_format_is_not_restored(void **state)
{
    char path[] = "/tmp/minke-session-XXXXXX";
    int fd = mkstemp(path);
    struct mk_model *a = open_model("v3"), *b = open_model("v3-bf16");
    struct mk_session *s = open_session(a, MK_KV_F32), *narrow = open_session(a, MK_KV_BF16);
    struct mk_session *other = open_session(b, MK_KV_F32);
    int32_t ids[3] = {5, 6, 7};
    struct mk_error err;

    (void)state;
    close(fd);
    append(s, ids, 3);
    append(other, ids, 2);
    assert_int_equal(mk_session_save(s, path, &err), 0);
    assert_int_equal(mk_session_restore(other, path, &err), MK_EUNSUPPORTED);
    assert_int_equal(mk_session_restore(narrow, path, &err), MK_EUNSUPPORTED);
    assert_int_equal(mk_session_position(other), 2); /* as it was */
    unlink(path);
    mk_session_free(s);
    mk_session_free(narrow);
    mk_session_free(other);
    mk_model_free(a);
    mk_model_free(b);
}

/* Eight sessions step together for ten tokens; each is compared with its own solitary run. */
static void a_step_of_many_is_each_one_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODELS; i++) {
        struct mk_model *m = open_model(models[i]);
        struct mk_session *alone[8], *together[8];
        int32_t *ids = prompt(models[i]), next[8];
        struct mk_error err;

        for (int s = 0; s < 8; s++) {
            alone[s] = open_session(m, MK_KV_F32);
            together[s] = open_session(m, MK_KV_F32);
            append(alone[s], ids, (size_t)(1 + 2 * s));
            append(together[s], ids, (size_t)(1 + 2 * s));
        }
        for (int step = 0; step < 10; step++) {
            for (int s = 0; s < 8; s++) {
                next[s] = (37 * s + 11 * step) % V;
                append(alone[s], &next[s], 1);
            }
            if (mk_sessions_step(together, next, 8, &err))
                fail_msg("%s", err.text);
            for (int s = 0; s < 8; s++)
                assert_same_logits(alone[s], together[s]);
        }
        for (int s = 0; s < 8; s++) {
            mk_session_free(alone[s]);
            mk_session_free(together[s]);
        }
        free(ids);
        mk_model_free(m);
    }
}

/* Runs a request to its end; returns the number of ids. */
static int32_t run_request(struct mk_session *s, const int32_t *ids, size_t n,
                           const struct mk_generate_options *o, int32_t *out,
                           enum mk_finish *finish)
{
    struct mk_request *r;
    struct mk_token t;
    struct mk_error err;
    int32_t got = 0;

    if (mk_request_open(&r, s, ids, n, o, &err))
        fail_msg("%s", err.text);
    for (*finish = MK_RUNNING; *finish == MK_RUNNING;) {
        if (mk_request_step(r, &t, finish, &err))
            fail_msg("%s", err.text);
        out[got++] = t.id;
    }
    mk_request_free(r);
    return got;
}

static void greedy_requests_give_the_golden_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODELS; i++) {
        struct mk_model *m = open_model(models[i]);
        struct mk_session *s = open_session(m, MK_KV_F32);
        struct mk_generate_options o = mk_generate_options_default();
        int32_t *ids = prompt(models[i]), *want, n_want, got[64];
        enum mk_finish finish;
        char path[256];

        snprintf(path, sizeof path, "tests/golden/models/%s/expected/greedy_29.txt", models[i]);
        want = golden_ids(path, &n_want);
        o.sampling.temperature = 0;
        o.max_tokens = 32;
        o.ignore_eos = true;
        assert_int_equal(run_request(s, ids, N, &o, got, &finish), 32);
        assert_int_equal(finish, MK_FINISH_LENGTH);
        assert_memory_equal(got, want, 32 * sizeof *got);
        /* Once more on the same session: the prompt is there already, the answer is the same. */
        assert_int_equal(run_request(s, ids, N, &o, got, &finish), 32);
        assert_memory_equal(got, want, 32 * sizeof *got);
        o.stop_ids = &want[9];
        o.n_stop_ids = 1;
        assert_true(run_request(s, ids, N, &o, got, &finish) <= 10);
        assert_int_equal(finish, MK_FINISH_STOP);
        free(want);
        free(ids);
        mk_session_free(s);
        mk_model_free(m);
    }
}

/* The draw is keyed by seed and position: a request that is broken off and opened again behind what
 * it said goes on as if nothing had happened. */
static void sampling_does_not_know_where_a_request_began(void **state)
{
    struct mk_model *m = open_model("v3");
    struct mk_session *s = open_session(m, MK_KV_F32);
    struct mk_generate_options o = mk_generate_options_default();
    int32_t *ids = prompt("v3"), whole[64], rest[64], joined[N + 10];
    enum mk_finish finish;

    (void)state;
    o.sampling.temperature = 1;
    o.sampling.top_p = 0.9f;
    o.sampling.seed = 42;
    o.max_tokens = 30;
    o.ignore_eos = true;
    run_request(s, ids, N, &o, whole, &finish);
    memcpy(joined, ids, N * sizeof *ids);
    memcpy(joined + N, whole, 10 * sizeof *whole);
    o.max_tokens = 20;
    run_request(s, joined, N + 10, &o, rest, &finish);
    assert_memory_equal(whole + 10, rest, 20 * sizeof *rest);
    o.sampling.seed = 43;
    run_request(s, joined, N + 10, &o, rest, &finish);
    assert_memory_not_equal(whole + 10, rest, 20 * sizeof *rest);
    free(ids);
    mk_session_free(s);
    mk_model_free(m);
}

static void mistakes_are_refused_and_change_nothing(void **state)
{
    struct mk_model *m = open_model("qwen3");
    struct mk_session *s = open_session(m, MK_KV_F32), *twice[2] = {s, s};
    struct mk_session_options so = mk_session_options_default();
    struct mk_generate_options o = mk_generate_options_default();
    int32_t good[2] = {1, 2}, bad[2] = {1, V}, negative[1] = {-1}, many[201] = {0};
    struct mk_session *none;
    struct mk_request *r;
    struct mk_error err;

    (void)state;
    append(s, good, 2);
    assert_int_equal(mk_session_append(s, bad, 2, NULL, &err), MK_EINVAL);
    assert_int_equal(mk_session_append(s, negative, 1, NULL, &err), MK_EINVAL);
    assert_int_equal(mk_session_append(s, many, 199, NULL, &err), MK_ELIMIT);
    assert_int_equal(mk_sessions_step(twice, good, 2, &err), MK_EINVAL);
    assert_int_equal(mk_session_position(s), 2);
    o.sampling.temperature = -1;
    assert_int_equal(mk_request_open(&r, s, good, 2, &o, &err), MK_EINVAL);
    assert_null(r);
    o = mk_generate_options_default();
    assert_int_equal(mk_request_open(&r, s, good, 0, &o, &err), MK_EINVAL);
    assert_int_equal(mk_request_open(&r, s, many, 201, &o, &err), MK_ELIMIT);
    o.stops[0] = "x";
    o.n_stops = 1;
    assert_int_equal(mk_request_open(&r, s, good, 2, &o, &err), MK_EINVAL); /* no tokenizer */
    so.context = -1;
    assert_int_equal(mk_session_open(&none, m, &so, &err), MK_EINVAL);
    mk_session_free(s);
    mk_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_truncated_session_continues_like_a_fresh_one),
        cmocka_unit_test(a_restored_session_continues_with_the_same_bits),
        cmocka_unit_test(another_model_or_cache_format_is_not_restored),
        cmocka_unit_test(a_step_of_many_is_each_one_alone),
        cmocka_unit_test(greedy_requests_give_the_golden_ids),
        cmocka_unit_test(sampling_does_not_know_where_a_request_began),
        cmocka_unit_test(mistakes_are_refused_and_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
