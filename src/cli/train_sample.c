/* train_sample.c: what the model writes in the middle of its training. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/train_run.h"
#include "generate/sampler.h"

/* One text: a cache for all layers, and the forward pass token by token. */
struct text {
    struct ids ids;
    unsigned char **kv;
    float *logits;
    struct arena memory, step;
    struct sampler sampler;
};

/* The prompt begins a text, or is asked where conversations are learned. */
static int encode_prompt(const struct train_run *run, struct ids *ids, struct mk_error *err)
{
    const struct tokenizer *vocabulary = run->data.vocabulary;
    const struct vocab *v = tokenizer_vocab(vocabulary);
    const char *prompt = run->recipe->sample.prompt;
    const struct chat_message question = {.role = "user", .content = prompt};
    const struct chat chat = {
        .messages = &question, .n_messages = 1, .add_generation_prompt = true};

    if (run->data.chat.format)
        return chat_encode(run->data.chat.format, vocabulary, &chat, ids, err);
    if (v->bos_id >= 0 && ids_append(ids, v->bos_id, err))
        return err->code;
    return tokenizer_encode(vocabulary, prompt, strlen(prompt), false, ids, err);
}

static int begin(struct train_run *run, struct text *t, struct mk_error *err)
{
    const struct model *m = &run->trainer.model;
    int32_t layers = model_cache_layers(m);
    int32_t n_vocab = tokenizer_vocab(run->data.vocabulary)->n_tokens;
    size_t bytes;

    arena_init(&t->memory, SIZE_MAX / 4);
    arena_init(&t->step, SIZE_MAX / 4);
    if (encode_prompt(run, &t->ids, err))
        return err->code;
    if (t->ids.n == 0)
        return mk_error_set(err, MK_EINVAL,
                            "sample.prompt is empty and the vocabulary has no token to begin with");
    bytes = (t->ids.n + (size_t)run->recipe->sample.tokens) *
            (size_t)kv_row_bytes(MK_F32, model_row_dim(m));
    if (arena_take(&t->memory, &t->kv, (size_t)layers, sizeof *t->kv, err) ||
        arena_take(&t->memory, &t->logits, (size_t)m->arch.n_vocab, sizeof *t->logits, err))
        return err->code;
    for (int32_t l = 0; l < layers; l++)
        if (arena_take(&t->memory, &t->kv[l], bytes, 1, err))
            return err->code;
    /* A model may have room for more tokens than the vocabulary has. */
    return sampler_init(&t->sampler, n_vocab < m->arch.n_vocab ? n_vocab : m->arch.n_vocab, err);
}

static int write_tokens(struct train_run *run, struct text *t, struct mk_error *err)
{
    const struct model *m = &run->trainer.model;
    struct mk_sampling o = mk_sampling_default();
    const struct vocab *v = tokenizer_vocab(run->data.vocabulary);
    size_t done = 0;

    o.temperature = (float)run->recipe->sample.temperature;
    for (int64_t i = 0; i < run->recipe->sample.tokens; i++) {
        struct forward_seq seq = {.ids = t->ids.data + done,
                                  .n_ids = (int32_t)(t->ids.n - done),
                                  .position = (int32_t)done,
                                  .kv = t->kv,
                                  .logits = t->logits,
                                  .n_logits = 1};
        struct past past = {0};
        int32_t id;

        arena_reset(&t->step);
        if (model_forward(m, run->trainer.c, &t->step, MK_F32, &seq, 1, NULL, err))
            return err->code;
        done = t->ids.n;
        if (sampler_choose(&t->sampler, t->logits, &past, &o, (uint64_t)run->recipe->seed,
                           (uint64_t)done, &id, err) ||
            ids_append(&t->ids, id, err))
            return err->code;
        if (id == v->eos_id || (run->data.chat.format && id == run->data.chat.end_id))
            break;
    }
    return 0;
}

static int write_text(struct train_run *run, const struct text *t, struct mk_error *err)
{
    char path[RUN_PATH + 64];
    struct decoder d;
    struct buf b;
    int code = 0;

    snprintf(path, sizeof path, "%s/samples/step-%06" PRId64 ".txt", run->folder.path,
             run->trainer.state.step);
    buf_init(&b, (size_t)1 << 28);
    decoder_init(&d, run->data.vocabulary, false);
    for (size_t i = 0; i < t->ids.n && !code; i++)
        code = decoder_push(&d, t->ids.data[i], &b, err);
    if (!code)
        code = decoder_finish(&d, &b, err);
    if (!code)
        code = buf_append_string(&b, "\n", err);
    if (!code)
        code = write_file(path, b.data, b.n, err);
    buf_release(&b);
    return code;
}

int train_sample(struct train_run *run, struct mk_error *err)
{
    struct text t = {0};
    int code = begin(run, &t, err);

    if (!code)
        code = write_tokens(run, &t, err);
    if (!code)
        code = write_text(run, &t, err);
    ids_release(&t.ids);
    sampler_release(&t.sampler);
    arena_release(&t.memory);
    arena_release(&t.step);
    return code;
}
