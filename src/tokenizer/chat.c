/* chat.c: the table of prompt encodings, and what turns their pieces into text or ids. */
#include <string.h>

#include "base/error.h"
#include "tokenizer/chat_pieces.h"

#define MAX_PROMPT_BYTES ((size_t)1 << 30)

static const struct chat_format formats[] = {
    {.name = "smollm",
     .write = chat_write_smollm,
     .has = {"<|im_start|>", "named SmolLM, trained by Hugging Face"}},
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

/* ---- Recognition ---------------------------------------------------------------------------- */

static bool holds(const struct vocab_text *text, const char *fragment)
{
    return memmem(text->data, text->n, fragment, strlen(fragment)) != NULL;
}

static bool agrees(const struct chat_format *f, const struct vocab_text *template)
{
    for (size_t i = 0; i < sizeof f->has / sizeof *f->has && f->has[i]; i++)
        if (!holds(template, f->has[i]))
            return false;
    return !f->has_not || !holds(template, f->has_not);
}

const struct chat_format *chat_format_for(const struct tokenizer *t, const char *model_type)
{
    const struct vocab_text *template = &tokenizer_vocab(t)->chat_template;

    (void)model_type;
    for (int i = 0; i<N_FORMATS &&template->n> 0; i++)
        if (agrees(&formats[i], template))
            return &formats[i];
    return NULL;
}

const struct chat_format *chat_format_by_name(const char *name)
{
    for (int i = 0; i < N_FORMATS; i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

const char *chat_format_name(const struct chat_format *f)
{
    return f->name;
}

bool chat_format_thinks(const struct chat_format *f)
{
    return f->thinks;
}

bool chat_format_starts_thinking(const struct chat_format *f, const struct chat *c)
{
    return f->starts_thinking && c->add_generation_prompt && f->starts_thinking(c);
}

/* ---- Pieces --------------------------------------------------------------------------------- */

int chat_control(struct chat_sink *s, const char *text, struct mk_error *err)
{
    return s->piece(s, text, strlen(text), true, err);
}

int chat_content(struct chat_sink *s, const char *text, struct mk_error *err)
{
    return text ? s->piece(s, text, strlen(text), false, err) : 0;
}

int chat_refuse(const char *family, const char *why, struct mk_error *err)
{
    return mk_error_set(err, MK_EINVAL, "the %s chat format cannot say this conversation: %s",
                        family, why);
}

bool chat_is(const struct chat_message *m, const char *role)
{
    return m->role && !strcmp(m->role, role);
}

static int check(const struct chat_format *f, const struct chat *c, struct mk_error *err)
{
    if (c->n_messages < 1)
        return chat_refuse(f->name, "there is no message", err);
    for (int32_t i = 0; i < c->n_messages; i++)
        if (!c->messages[i].role)
            return chat_refuse(f->name, "a message has no role", err);
    return 0;
}

struct text_sink {
    struct chat_sink sink;
    struct buf *out;
};

static int text_piece(struct chat_sink *s, const char *text, size_t n, bool special,
                      struct mk_error *err)
{
    (void)special;
    return buf_append(((struct text_sink *)s)->out, text, n, err);
}

int chat_render(const struct chat_format *f, const struct tokenizer *t, const struct chat *c,
                struct buf *out, struct mk_error *err)
{
    struct text_sink s = {.sink = {text_piece}, .out = out};

    (void)t;
    return check(f, c, err) ? err->code : f->write(c, &s.sink, err);
}

struct ids_sink {
    struct chat_sink sink;
    const struct tokenizer *t;
    struct ids *out;
    struct buf held; /* neighbouring pieces of one kind */
    bool special;
};

static int flush(struct ids_sink *s, struct mk_error *err)
{
    int code = s->held.n == 0
                   ? 0
                   : tokenizer_encode(s->t, s->held.data, s->held.n, s->special, s->out, err);

    buf_clear(&s->held);
    return code;
}

static int ids_piece(struct chat_sink *sink, const char *text, size_t n, bool special,
                     struct mk_error *err)
{
    struct ids_sink *s = (struct ids_sink *)sink;

    if (special != s->special && flush(s, err))
        return err->code;
    s->special = special;
    return buf_append(&s->held, text, n, err);
}

int chat_encode(const struct chat_format *f, const struct tokenizer *t, const struct chat *c,
                struct ids *out, struct mk_error *err)
{
    struct ids_sink s = {.sink = {ids_piece}, .t = t, .out = out};
    int code;

    if (check(f, c, err))
        return err->code;
    buf_init(&s.held, MAX_PROMPT_BYTES);
    code = f->write(c, &s.sink, err);
    if (!code)
        code = flush(&s, err);
    buf_release(&s.held);
    return code;
}
