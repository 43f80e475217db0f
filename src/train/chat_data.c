/* chat_data.c: checks conversations, keeps them as bytes, and marks the answers among their ids. */
#include "train/chat_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int chat_data_init(struct chat_data *c, const struct tokenizer *t, const char *name,
                   const char *model_type, bool pairs, struct mk_error *err)
{
    bool named = name && *name;
    const struct vocab *v = tokenizer_vocab(t);

    *c = (struct chat_data){.t = t, .pairs = pairs};
    c->format = named ? chat_format_by_name(name) : chat_format_for(t, model_type);
    if (!c->format && named)
        return mk_error_set(err, MK_EINVAL,
                            "there is no chat template '%s': docs/training.md lists them", name);
    if (!c->format)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: has no chat template that minke knows: name one, e.g. "
                            "data.chat_template: chatml",
                            v->name);
    return chat_end_token(c->format, t, &c->end_id, err);
}

/* ---- checking -------------------------------------------------------------------------------- */

/* first: the message from which on there must be an answer. */
static const char *check_messages(const struct text_message *m, size_t n, size_t first,
                                  char why[160])
{
    bool answered = false;

    if (n == 0)
        return "no messages";
    for (size_t i = 0; i < n; i++) {
        if (strcmp(m[i].role, "system") && strcmp(m[i].role, "user") &&
            strcmp(m[i].role, "assistant") && strcmp(m[i].role, "tool"))
            snprintf(why, 160, "message %zu: role \"%.40s\" is not system, user, assistant or tool",
                     i, m[i].role);
        else if (m[i].n == 0 && strcmp(m[i].role, "system"))
            snprintf(why, 160, "message %zu (%s) is empty", i, m[i].role);
        else
            continue;
        return why;
    }
    for (size_t i = first; i < n; i++)
        answered |= !strcmp(m[i].role, "assistant");
    return answered ? NULL : "no message of the assistant: there is nothing to learn";
}

const char *chat_data_check(const struct chat_data *c, const struct text_document *d, char why[160])
{
    const char *bad;

    if (!d->messages)
        return c->pairs ? "no pair of conversations" : "a text, not a list of messages";
    bad = check_messages(d->messages, d->n_messages, c->pairs ? d->n_prompt : 0, why);
    if (!bad && c->pairs)
        bad = check_messages(d->rejected, d->n_rejected, d->n_prompt, why);
    return bad;
}

/* ---- records --------------------------------------------------------------------------------- */

/* u32 n_messages, u32 n_rejected, u32 n_prompt, then of each message role, content, '+' and thought
 * or '-', each text with its NUL. */
struct counts {
    uint32_t n_messages, n_rejected, n_prompt;
};

static int write_messages(struct buf *out, const struct text_message *m, size_t n,
                          struct mk_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (buf_append(out, m[i].role, strlen(m[i].role) + 1, err) ||
            buf_append(out, m[i].content, m[i].n + 1, err) ||
            buf_append(out, m[i].reasoning ? "+" : "-", 1, err) ||
            (m[i].reasoning && buf_append(out, m[i].reasoning, strlen(m[i].reasoning) + 1, err)))
            return err->code;
    return 0;
}

int chat_record_write(struct buf *out, const struct text_document *d, struct mk_error *err)
{
    struct counts n = {(uint32_t)d->n_messages, (uint32_t)d->n_rejected, (uint32_t)d->n_prompt};

    if (buf_append(out, &n, sizeof n, err) ||
        write_messages(out, d->messages, d->n_messages, err))
        return err->code;
    return write_messages(out, d->rejected, d->n_rejected, err);
}

/* Messages point into the record. */
static const char *read_messages(const char *at, struct chat_message *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = (struct chat_message){.role = at};
        at += strlen(at) + 1;
        m[i].content = at;
        at += strlen(at) + 1;
        if (*at++ == '+') {
            m[i].reasoning = at;
            at += strlen(at) + 1;
        }
    }
    return at;
}

/* ---- ids ------------------------------------------------------------------------------------- */

static int reserve(struct chat_ids *out, struct mk_error *err)
{
    unsigned char *grown;

    if (out->ids.n <= out->capacity)
        return 0;
    grown = realloc(out->learned, out->ids.capacity);
    if (!grown)
        return mk_error_memory(err, out->ids.capacity);
    out->learned = grown;
    out->capacity = out->ids.capacity;
    return 0;
}

/* Appends one conversation; answers in front of message `first` are not learned. */
static int encode(const struct chat_data *c, const struct chat_message *m, size_t n, size_t first,
                  struct chat_ids *out, struct mk_error *err)
{
    struct chat chat = {.messages = m,
                        .n_messages = (int32_t)n,
                        .answers_have_controls = c->specials};
    size_t before = out->ids.n, n_learned = 0;
    struct chat_answers answers;
    int rc = chat_encode_answers(c->format, c->t, &chat, &out->ids, &answers, err);

    if (!rc)
        rc = reserve(out, err);
    if (!rc)
        memset(out->learned + before, 0, out->ids.n - before);
    for (size_t i = 0; !rc && i < answers.n; i++) {
        const struct chat_answer *a = &answers.items[i];

        if ((size_t)a->message < first)
            continue;
        memset(out->learned + a->begin, 1, a->end - a->begin);
        n_learned += a->end - a->begin;
        out->n_answers++;
    }
    free(answers.items);
    if (!rc && n_learned == 0)
        rc = mk_error_set(err, MK_EINVAL, "the chat template %s leaves nothing of the answers",
                          chat_format_name(c->format));
    return rc;
}

int chat_record_encode(const struct chat_data *c, const char *record, size_t n,
                       struct chat_ids *out, struct mk_error *err)
{
    struct chat_message *m;
    struct counts k;
    int rc;

    out->ids.n = 0;
    out->n_answers = 0;
    if (n < sizeof k)
        return mk_error_set(err, MK_EINTERNAL, "a record of %zu bytes", n);
    memcpy(&k, record, sizeof k);
    m = malloc(((size_t)k.n_messages + k.n_rejected) * sizeof *m);
    if (!m)
        return mk_error_memory(err, ((size_t)k.n_messages + k.n_rejected) * sizeof *m);
    read_messages(read_messages(record + sizeof k, m, k.n_messages), m + k.n_messages,
                  k.n_rejected);
    rc = encode(c, m, k.n_messages, k.n_prompt, out, err);
    out->n_chosen = out->ids.n;
    if (!rc && c->pairs)
        rc = encode(c, m + k.n_messages, k.n_rejected, k.n_prompt, out, err);
    free(m);
    return rc;
}

void chat_ids_release(struct chat_ids *ids)
{
    ids_release(&ids->ids);
    free(ids->learned);
    *ids = (struct chat_ids){0};
}
