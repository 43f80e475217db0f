/* persist.c: a session as a file: its tokens and cached rows (kv_file.h has the layout). */
#include <stdio.h>
#include <string.h>

#include "generate/engine.h"
#include "generate/kv_file.h"

/* What a file must agree with: the weights, and all that changes the bits of a row. */
static void make_key(const struct mk_session *s, struct kv_file_key *key)
{
    const struct mk_model *m = s->model;

    *key = (struct kv_file_key){
        .dtype = s->cache.dtype, .n_layers = s->cache.n_layers, .row_bytes = s->cache.row_bytes};
    memcpy(key->fingerprint, m->fingerprint, sizeof key->fingerprint);
    snprintf(key->options, sizeof key->options, "attention=%s numerics=%s cpu=%s",
             m->model.layers[0].attention->name,
             m->model.options.numerics == MK_FAST ? "fast" : "exact", m->compute.k->name);
}

int mk_session_save(const struct mk_session *s, const char *path, struct mk_error *err)
{
    struct kv_file_key key;

    make_key(s, &key);
    return kv_file_write(path, &key, s->n_tokens, s->tokens, s->cache.layers, err);
}

/* The logits after the last token are not in the file: the token is computed once more, which gives
 * the bits that it gave before. */
static int recompute_last(struct mk_session *s, struct mk_error *err)
{
    int32_t last;

    if (s->n_tokens == 0)
        return 0;
    last = s->tokens[s->n_tokens - 1];
    mk_session_truncate(s, s->n_tokens - 1);
    return mk_session_append(s, &last, 1, NULL, err);
}

int mk_session_restore(struct mk_session *s, const char *path, struct mk_error *err)
{
    struct kv_file_key key;
    struct kv_file f;
    size_t bytes;

    make_key(s, &key);
    if (kv_file_open(&f, path, &key, s->model->model.arch.n_vocab, s->context, err))
        return err->code;
    mk_session_truncate(s, 0);
    bytes = (size_t)f.n_tokens * (size_t)key.row_bytes;
    for (int32_t l = 0; l < key.n_layers && bytes; l++)
        memcpy(s->cache.layers[l], f.rows + (size_t)l * bytes, bytes);
    if (f.n_tokens)
        memcpy(s->tokens, f.ids, (size_t)f.n_tokens * sizeof *f.ids);
    s->n_tokens = s->cache.n_rows = f.n_tokens;
    kv_file_close(&f);
    return recompute_last(s, err);
}
