/* text.c: between text and tokens, for the public interface. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "generate/engine.h"

static int need_tokenizer(const struct mk_model *m, struct mk_error *err)
{
    if (m->tokenizer)
        return 0;
    return mk_error_set(err, MK_ENOTFOUND, "%s has no tokenizer: give token ids instead of text",
                        m->path);
}

int mk_tokenize(const struct mk_model *m, const char *text, size_t n, bool specials, bool add_bos,
                int32_t **ids, size_t *n_ids, struct mk_error *err)
{
    struct ids out = {0};
    const struct vocab *v;

    if (need_tokenizer(m, err))
        return err->code;
    v = tokenizer_vocab(m->tokenizer);
    if ((add_bos && v->add_bos && v->bos_id >= 0 && ids_append(&out, v->bos_id, err)) ||
        tokenizer_encode(m->tokenizer, text, n, specials, &out, err)) {
        ids_release(&out);
        return err->code;
    }
    *ids = out.data;
    *n_ids = out.n;
    return 0;
}

int mk_detokenize(const struct mk_model *m, const int32_t *ids, size_t n_ids, bool specials,
                  char **text, size_t *n, struct mk_error *err)
{
    struct decoder d;
    struct buf out;
    int code = 0;

    if (need_tokenizer(m, err))
        return err->code;
    buf_init(&out, (size_t)1 << 31);
    decoder_init(&d, m->tokenizer, specials);
    for (size_t i = 0; i < n_ids && !code; i++)
        code = decoder_push(&d, ids[i], &out, err);
    if (!code)
        code = decoder_finish(&d, &out, err);
    if (!code)
        code = buf_append(&out, "", 0, err);
    if (code) {
        buf_release(&out);
        return code;
    }
    *text = out.data;
    *n = out.n;
    return 0;
}

/* The public message is the internal one under another name: both are plain borrowed strings. */
static struct chat_message *messages_of(const struct mk_chat *chat)
{
    struct chat_message *out = calloc((size_t)chat->n_messages + 1, sizeof *out);

    _Static_assert(sizeof(struct mk_tool_call) == sizeof(struct chat_tool_call), "same members");
    for (int32_t i = 0; out && i < chat->n_messages; i++) {
        const struct mk_message *m = &chat->messages[i];

        out[i] = (struct chat_message){
            .role = m->role,
            .content = m->content,
            .reasoning = m->reasoning,
            .tool_calls = (const struct chat_tool_call *)(const void *)m->tool_calls,
            .n_tool_calls = m->n_tool_calls,
            .name = m->name,
            .tool_call_id = m->tool_call_id};
    }
    return out;
}

int mk_chat_encode(const struct mk_model *m, const struct mk_chat *chat, int32_t **ids,
                   size_t *n_ids, bool *in_thought, struct mk_error *err)
{
    struct ids out = {0};
    struct chat c;
    int code;

    if (need_tokenizer(m, err))
        return err->code;
    if (!m->chat)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: its chat template is not one that minke knows: generate from raw "
                            "text instead",
                            m->path);
    c = (struct chat){.messages = messages_of(chat),
                      .n_messages = chat->n_messages,
                      .tools_json = chat->tools_json,
                      .think = chat->think == MK_THINK_ON    ? CHAT_THINK_ON
                               : chat->think == MK_THINK_OFF ? CHAT_THINK_OFF
                                                             : CHAT_THINK_AUTO,
                      .add_generation_prompt = true};
    if (!c.messages)
        return mk_error_memory(err, (size_t)chat->n_messages * sizeof *c.messages);
    code = chat_encode(m->chat, m->tokenizer, &c, &out, err);
    if (in_thought)
        *in_thought = chat_format_starts_thinking(m->chat, &c);
    free((void *)(uintptr_t)c.messages);
    if (code) {
        ids_release(&out);
        return code;
    }
    *ids = out.data;
    *n_ids = out.n;
    return 0;
}
