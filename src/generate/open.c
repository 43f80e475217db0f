/* open.c: from a path to a model that is ready to run. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "formats/arch_digest.h"
#include "formats/model_file.h"
#include "generate/engine.h"

struct mk_model_options mk_model_options_default(void)
{
    return (struct mk_model_options){.numerics = MK_EXACT, .mla = MK_MLA_AUTO};
}

/* What a file or folder holds, while it is read. */
struct source {
    struct model_file file;
    struct vocab vocab;
    bool has_vocab;
};

static void source_release(struct source *s)
{
    model_file_release(&s->file);
    if (s->has_vocab)
        vocab_release(&s->vocab);
}

static int source_read(struct source *s, const char *path, struct mk_error *err)
{
    if (model_file_open(&s->file, path, err))
        return err->code;
    return model_file_vocab(&s->file, &s->vocab, &s->has_vocab, err);
}

/* The shape, and names, types, shapes and the ends of every tensor: enough to tell two models apart
 * without reading all of a large file again. */
static int fingerprint(struct mk_model *m, const struct tensors *t, struct mk_error *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good =
        ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && arch_digest(ctx, &m->model.arch);

    for (int64_t i = 0; good && i < t->n_items; i++) {
        const struct file_tensor *f = &t->items[i];
        uint64_t n = f->bytes < 256 ? f->bytes : 256;

        good = EVP_DigestUpdate(ctx, f->name, strlen(f->name) + 1) &&
               EVP_DigestUpdate(ctx, f->shape, sizeof f->shape) &&
               EVP_DigestUpdate(ctx, &f->dtype, sizeof f->dtype) &&
               EVP_DigestUpdate(ctx, f->data, n) &&
               EVP_DigestUpdate(ctx, f->data + f->bytes - n, n);
    }
    good = good && EVP_DigestFinal_ex(ctx, m->fingerprint, NULL);
    EVP_MD_CTX_free(ctx);
    return good ? 0 : mk_error_set(err, MK_EINTERNAL, "the fingerprint of the model failed");
}

static int take_tokenizer(struct mk_model *m, struct source *s, const char *path,
                          struct mk_error *err)
{
    if (!s->has_vocab)
        return 0;
    if (s->vocab.n_tokens > m->model.arch.n_vocab)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: the tokenizer has %d tokens, the model's embedding only %d rows: "
                            "they do not belong together",
                            path, s->vocab.n_tokens, m->model.arch.n_vocab);
    if (tokenizer_create(&m->tokenizer, &s->vocab, err))
        return mk_error_wrap(err, "%s", path);
    s->has_vocab = false; /* taken over */
    m->chat = chat_format_for(m->tokenizer, m->model.arch.model_type);
    return 0;
}

static int open_parts(struct mk_model *m, struct source *s, const char *path,
                      const struct mk_model_options *o, struct mk_error *err)
{
    struct model_options options = {.numerics = o->numerics,
                                    .mla = o->mla,
                                    .with_mtp = o->with_mtp,
                                    .check_tensors = o->check_tensors,
                                    .progress = o->progress,
                                    .progress_user = o->progress_user};

    m->path = strdup(path);
    if (!m->path)
        return mk_error_memory(err, strlen(path));
    if (compute_init(&m->compute, o->cpu, o->n_threads, err) || source_read(s, path, err) ||
        model_load(&m->model, &s->file.arch, &s->file.gguf.tensors,
                   s->file.is_gguf ? NAME_GGUF : NAME_HF, &options, err) ||
        fingerprint(m, &s->file.gguf.tensors, err))
        return err->code;
    return take_tokenizer(m, s, path, err);
}

int mk_model_open(struct mk_model **model, const char *path, const struct mk_model_options *options,
                  struct mk_error *err)
{
    struct mk_model *m = calloc(1, sizeof *m);
    struct source s = {0};
    int code;

    *model = NULL;
    if (!m)
        return mk_error_memory(err, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    arena_init(&m->step, SIZE_MAX / 4);
    code = open_parts(m, &s, path, options, err);
    source_release(&s);
    if (code)
        mk_model_free(m);
    else
        *model = m;
    return code;
}

void mk_model_free(struct mk_model *m)
{
    if (!m)
        return;
    tokenizer_free(m->tokenizer);
    model_release(&m->model);
    compute_release(&m->compute);
    arena_release(&m->step);
    pthread_mutex_destroy(&m->lock);
    free(m->path);
    free(m);
}

void mk_model_get_info(const struct mk_model *m, struct mk_model_info *info)
{
    const struct arch *a = &m->model.arch;
    uint64_t layers = (uint64_t)a->n_layers;
    uint64_t head_dims = a->attention == ARCH_MLA
                             ? (uint64_t)(a->qk_nope_dim + a->qk_rope_dim + a->v_head_dim)
                             : 2 * (uint64_t)a->head_dim;

    *info = (struct mk_model_info){
        .path = m->path,
        .architecture = a->model_type,
        .cpu = m->compute.k->name,
        .chat_format = m->chat ? chat_format_name(m->chat) : NULL,
        .has_tokenizer = m->tokenizer != NULL,
        .n_layers = a->n_layers,
        .d_model = a->d_model,
        .n_heads = a->n_heads,
        .n_kv_heads = a->n_kv_heads,
        .n_vocab = a->n_vocab,
        .max_context = a->max_context,
        .n_mtp = m->model.n_mtp,
        .n_params = m->model.n_params,
        .n_params_active = m->model.n_params_active,
        .weight_bytes = m->model.weight_bytes,
        .kv_values_per_token = layers * (uint64_t)model_row_dim(&m->model),
        .mha_values_per_token = layers * (uint64_t)a->n_heads * head_dims,
        .bos_id = a->bos_id,
        .eos_id = a->n_eos_ids ? a->eos_ids[0] : -1,
    };
}
