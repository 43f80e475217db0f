/* data_build_test.c: what is kept comes out in order, the same bytes whatever the threads, and
 * every dropped document is counted. */
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
#include "base/map_file.h"
#include "base/rng.h"
#include "formats/token_shard.h"
#include "support/tiny_tokenizer.h"
#include "train/data_build.h"

#define EOS "{\"id\": 256, \"content\": \"</s>\", \"special\": true}"
#define N_DOCUMENTS 3000

/* Bytes are their own ids; EOS is 256, and there is no BOS. */
static struct tokenizer *make_tokenizer(void)
{
    static const char config[] = "{\"eos_token\": \"</s>\"}";
    char *json = tiny_json(&(struct tiny){.pre = "", .added = EOS});
    struct mk_error err = {0};
    struct tokenizer *t;
    struct vocab v;

    assert_int_equal(vocab_from_texts(&v, "tiny", json, strlen(json), config, sizeof config - 1,
                                      &err), 0);
    assert_int_equal(tokenizer_create(&t, &v, &err), 0);
    free(json);
    return t;
}

struct place { char dir[64], source[96]; };

/* Sentences of 30 words from (document, i); every 100th document is the first again, every 50th is
 * too short. */
static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    struct mk_error err = {0};
    struct buf b;

    snprintf(p->dir, sizeof p->dir, "/tmp/minke-build-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->source, sizeof p->source, "%s/source.jsonl", p->dir);
    buf_init(&b, 1 << 24);
    for (uint64_t d = 0; d < N_DOCUMENTS; d++) {
        uint64_t same = d % 100 == 99 ? 0 : d;

        buf_append_string(&b, "{\"text\": \"", &err);
        for (uint64_t i = 0; i < (d % 50 == 9 ? 3 : 30); i++)
            buf_printf(&b, &err, "word%d ", (int)(rng_uniform(4, same, i) * 5000));
        buf_append_string(&b, "\"}\n", &err);
    }
    assert_int_equal(write_file(p->source, b.data, b.n, &err), 0);
    buf_release(&b);
    *state = p;
    return 0;
}

static const char *shard_path(const struct place *p, int i, char path[128])
{
    snprintf(path, 128, "%s/web-%05d.tokens", p->dir, i);
    return path;
}

static int teardown(void **state)
{
    struct place *p = *state;
    char path[128];

    for (int i = 0; i < 20; i++)
        unlink(shard_path(p, i, path));
    unlink(p->source);
    rmdir(p->dir);
    free(p);
    return 0;
}

static struct data_build_report build(const struct place *p, const struct tokenizer *t, int threads)
{
    const char *paths[] = {p->source};
    struct data_build_options o = data_build_defaults(t);
    struct data_build_report r;
    struct mk_error err = {0};
    struct exec *ex;

    o.name = "web";
    o.paths = paths;
    o.n_paths = 1;
    o.shard_tokens = 100000;
    assert_int_equal(exec_create(&ex, threads, &err), 0);
    if (data_build(t, &o, ex, p->dir, &r, &err))
        fail_msg("%s", err.text);
    exec_free(ex);
    return r;
}

static void documents_are_kept_dropped_and_counted(void **state)
{
    const struct place *p = *state;
    struct tokenizer *t = make_tokenizer();
    struct data_build_report r = build(p, t, 2);
    int64_t n_documents = 0, n_tokens = 0;
    int32_t ids[16];

    assert_int_equal(r.read.n_documents, N_DOCUMENTS);
    assert_int_equal(r.quality.n[QUALITY_TOO_SHORT], N_DOCUMENTS / 50);
    assert_int_equal(r.dedup.n_exact, N_DOCUMENTS / 100);
    assert_int_equal(r.n_documents, N_DOCUMENTS - N_DOCUMENTS / 50 - N_DOCUMENTS / 100);
    assert_true(r.n_shards > 3);
    for (int i = 0; i < r.n_shards; i++) {
        struct token_shard s;
        struct mk_error err = {0};
        char path[128];

        assert_int_equal(token_shard_open(&s, shard_path(p, i, path), NULL, &err), 0);
        if (i == 0) {
            token_shard_read(&s, 0, 0, 4, ids);
            for (int k = 0; k < 4; k++)
                assert_int_equal(ids[k], "word"[k]);
            token_shard_read(&s, 0, token_shard_length(&s, 0) - 1, 1, ids);
            assert_int_equal(ids[0], 256);
        }
        n_documents += s.n_documents;
        n_tokens += s.n_tokens;
        token_shard_close(&s);
    }
    assert_int_equal(n_documents, r.n_documents);
    assert_int_equal(n_tokens, r.n_tokens);
    /* a byte is a token, and EOS is one more */
    assert_int_equal(n_tokens, r.dedup.n_bytes - r.dedup.exact_bytes + n_documents);
    tokenizer_free(t);
}

static void the_number_of_threads_changes_no_byte(void **state)
{
    const struct place *p = *state;
    struct tokenizer *t = make_tokenizer();
    struct mk_error err = {0};
    struct map_file m;
    char path[128], *first;
    size_t n;

    build(p, t, 1);
    assert_int_equal(map_file_open(&m, shard_path(p, 1, path), &err), 0);
    n = m.bytes;
    first = malloc(n);
    assert_non_null(first);
    memcpy(first, m.data, n);
    map_file_close(&m);
    build(p, t, 3);
    assert_int_equal(map_file_open(&m, path, &err), 0);
    assert_int_equal(m.bytes, n);
    assert_memory_equal(m.data, first, n);
    map_file_close(&m);
    free(first);
    tokenizer_free(t);
}

static void what_cannot_be_built_is_refused(void **state)
{
    const struct place *p = *state;
    struct tokenizer *t = make_tokenizer();
    static const char conversation[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n";
    const char *paths[] = {p->source};
    struct data_build_options o = data_build_defaults(t);
    struct data_build_report r;
    struct mk_error err = {0};
    struct exec *ex;
    char path[128];

    assert_int_equal(exec_create(&ex, 1, &err), 0);
    o.paths = paths;
    o.n_paths = 1;
    o.name = "../x";
    assert_int_equal(data_build(t, &o, ex, p->dir, &r, &err), MK_EINVAL);
    o.name = "web";
    o.add_bos = true;
    assert_int_equal(data_build(t, &o, ex, p->dir, &r, &err), MK_EINVAL);
    o.add_bos = false;
    o.fim_rate = 0.1;
    assert_int_equal(data_build(t, &o, ex, p->dir, &r, &err), MK_ENOTFOUND);
    o.fim_rate = 0;
    assert_int_equal(write_file(p->source, conversation, sizeof conversation - 1, &err), 0);
    assert_int_equal(data_build(t, &o, ex, p->dir, &r, &err), MK_EUNSUPPORTED);
    assert_int_equal(access(shard_path(p, 0, path), F_OK), -1);
    exec_free(ex);
    tokenizer_free(t);
}

struct told { uint64_t done, total; int n, stop_at; };

static int listen(void *user, uint64_t done, uint64_t total)
{
    struct told *told = user;

    assert_true(done >= told->done && done <= total);
    told->done = done;
    told->total = total;
    return ++told->n == told->stop_at;
}

static void progress_rises_to_the_size_of_the_files_and_may_cancel(void **state)
{
    const struct place *p = *state;
    struct tokenizer *t = make_tokenizer();
    const char *paths[] = {p->source, p->source};
    struct told told = {0};
    struct data_build_options o = data_build_defaults(t);
    struct data_build_report r;
    struct mk_error err = {0};
    struct map_file m;
    struct exec *ex;
    char path[128];

    o.name = "web";
    o.paths = paths;
    o.n_paths = 2;
    o.progress = listen;
    o.progress_user = &told;
    assert_int_equal(exec_create(&ex, 1, &err), 0);
    told.stop_at = 50;
    assert_int_equal(data_build(t, &o, ex, p->dir, &r, &err), MK_ECANCELLED);
    assert_int_equal(access(shard_path(p, 0, path), F_OK), -1);
    told = (struct told){.stop_at = -1};
    assert_int_equal(data_build(t, &o, ex, p->dir, &r, &err), 0);
    assert_int_equal(map_file_open(&m, p->source, &err), 0);
    assert_int_equal(told.total, 2 * m.bytes);
    assert_int_equal(told.done, told.total);
    assert_int_equal(told.n, 2 * N_DOCUMENTS);
    map_file_close(&m);
    exec_free(ex);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(documents_are_kept_dropped_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(the_number_of_threads_changes_no_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_built_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(progress_rises_to_the_size_of_the_files_and_may_cancel,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
