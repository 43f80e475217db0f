/* chat_data.c: checks conversations, keeps them as bytes, and marks the answers among their ids. */
#include "train/chat_data.h"

#include <jansson.h>
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
        else if (m[i].calls && strcmp(m[i].role, "assistant"))
            snprintf(why, 160, "message %zu (%s) calls tools, which only an assistant does", i,
                     m[i].role);
        else if (m[i].n == 0 && !m[i].calls && strcmp(m[i].role, "system"))
            snprintf(why, 160, "message %zu (%s) is empty", i, m[i].role);
        else
            continue;
        return why;
    }
    for (size_t i = first; i < n; i++)
        answered |= !strcmp(m[i].role, "assistant");
    return answered ? NULL : "no message of the assistant: there is nothing to learn";
}

/* Tools that the template would not name must not be passed over in silence. */
static const char *check_tools(const struct chat_data *c, const struct text_document *d,
                               char why[160])
{
    if (!d->tools || chat_format_takes_tools(c->format))
        return NULL;
    snprintf(why, 160, "the chat template %s has no place for \"tools\": describe them in a system "
             "message", chat_format_name(c->format));
    return why;
}

const char *chat_data_check(const struct chat_data *c, const struct text_document *d, char why[160])
{
    const char *bad;

    if (!d->messages)
        return c->pairs ? "no pair of conversations" : "a text, not a list of messages";
    bad = check_messages(d->messages, d->n_messages, c->pairs ? d->n_prompt : 0, why);
    if (!bad && c->pairs)
        bad = check_messages(d->rejected, d->n_rejected, d->n_prompt, why);
    return bad ? bad : check_tools(c, d, why);
}

/* ---- records --------------------------------------------------------------------------------- */

/* Counts, the tools, then of each message role, content, thought, name and id of a tool, u32 the
 * number of its calls, and of each of these id, name and arguments. A text has its NUL; one that
 * may be missing has '+' in front, or is '-'. */
struct counts {
    uint32_t n_messages, n_rejected, n_prompt, n_calls;
};

static int write_text(struct buf *out, const char *text, struct mk_error *err)
{
    if (!text)
        return buf_append(out, "-", 1, err);
    return buf_append(out, "+", 1, err) ? err->code
                                        : buf_append(out, text, strlen(text) + 1, err);
}

/* A value, or the JSON text that a file has in its place. */
static int write_json(struct buf *out, const json_t *value, struct mk_error *err)
{
    char *text;
    int rc;

    if (!value || json_is_string(value))
        return write_text(out, json_string_value(value), err);
    text = json_dumps(value, 0);
    if (!text)
        return mk_error_memory(err, SIZE_MAX);
    rc = write_text(out, text, err);
    free(text);
    return rc;
}

static int write_calls(struct buf *out, const struct text_message *m, struct mk_error *err)
{
    uint32_t n = (uint32_t)json_array_size(m->calls);

    if (buf_append(out, &n, sizeof n, err))
        return err->code;
    for (uint32_t i = 0; i < n; i++) {
        struct text_call call = text_message_call(m, i);

        if (write_text(out, call.id, err) || write_text(out, call.name, err) ||
            write_json(out, call.arguments, err))
            return err->code;
    }
    return 0;
}

static int write_messages(struct buf *out, const struct text_message *m, size_t n,
                          struct mk_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (write_text(out, m[i].role, err) || write_text(out, m[i].content, err) ||
            write_text(out, m[i].reasoning, err) || write_text(out, m[i].name, err) ||
            write_text(out, m[i].tool_call_id, err) || write_calls(out, &m[i], err))
            return err->code;
    return 0;
}

static uint32_t count_calls(const struct text_message *m, size_t n)
{
    size_t calls = 0;

    for (size_t i = 0; i < n; i++)
        calls += json_array_size(m[i].calls);
    return (uint32_t)calls;
}

int chat_record_write(struct buf *out, const struct text_document *d, struct mk_error *err)
{
    struct counts n = {(uint32_t)d->n_messages, (uint32_t)d->n_rejected, (uint32_t)d->n_prompt,
                       count_calls(d->messages, d->n_messages) +
                           count_calls(d->rejected, d->n_rejected)};

    if (buf_append(out, &n, sizeof n, err) || write_json(out, d->tools, err) ||
        write_messages(out, d->messages, d->n_messages, err))
        return err->code;
    return write_messages(out, d->rejected, d->n_rejected, err);
}

/* What a record says; texts lie in it. */
struct talk {
    struct counts n;
    const char *tools;
    struct chat_message *messages; /* owned; [n_messages + n_rejected] */
    struct chat_tool_call *calls;  /* owned; [n_calls] */
};

static const char *read_text(const char **at)
{
    const char *text = *at + 1;

    if (**at == '-') {
        *at = text;
        return NULL;
    }
    *at = text + strlen(text) + 1;
    return text;
}

/* Returns the calls behind its own. */
static struct chat_tool_call *read_message(const char **at, struct chat_message *m,
                                           struct chat_tool_call *calls)
{
    uint32_t n;

    m->role = read_text(at);
    m->content = read_text(at);
    m->reasoning = read_text(at);
    m->name = read_text(at);
    m->tool_call_id = read_text(at);
    memcpy(&n, *at, sizeof n);
    *at += sizeof n;
    m->tool_calls = calls;
    m->n_tool_calls = (int32_t)n;
    for (uint32_t i = 0; i < n; i++) {
        calls[i].id = read_text(at);
        calls[i].name = read_text(at);
        calls[i].arguments = read_text(at);
    }
    return calls + n;
}

static int talk_read(struct talk *t, const char *record, size_t n, struct mk_error *err)
{
    const char *at = record + sizeof t->n;
    struct chat_tool_call *calls;
    size_t all;

    if (n < sizeof t->n)
        return mk_error_set(err, MK_EINTERNAL, "a record of %zu bytes", n);
    memcpy(&t->n, record, sizeof t->n);
    all = (size_t)t->n.n_messages + t->n.n_rejected;
    t->messages = calloc(all + 1, sizeof *t->messages);
    t->calls = calls = calloc((size_t)t->n.n_calls + 1, sizeof *t->calls);
    if (!t->messages || !calls)
        return mk_error_memory(err, (all + 1) * sizeof *t->messages);
    t->tools = read_text(&at);
    for (size_t i = 0; i < all; i++)
        calls = read_message(&at, &t->messages[i], calls);
    return 0;
}

static void talk_release(struct talk *t)
{
    free(t->messages);
    free(t->calls);
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

/* Appends one conversation; answers that both of a pair begin with are not learned. */
static int encode(const struct chat_data *c, const struct talk *t, const struct chat_message *m,
                  size_t n, struct chat_ids *out, struct mk_error *err)
{
    struct chat chat = {.messages = m,
                        .n_messages = (int32_t)n,
                        .tools_json = t->tools,
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

        if ((uint32_t)a->message < t->n.n_prompt)
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
    struct talk t = {0};
    int rc = talk_read(&t, record, n, err);

    out->ids.n = 0;
    out->n_answers = 0;
    if (!rc)
        rc = encode(c, &t, t.messages, t.n.n_messages, out, err);
    out->n_chosen = out->ids.n;
    if (!rc && c->pairs)
        rc = encode(c, &t, t.messages + t.n.n_messages, t.n.n_rejected, out, err);
    talk_release(&t);
    return rc;
}

void chat_ids_release(struct chat_ids *ids)
{
    ids_release(&ids->ids);
    free(ids->learned);
    *ids = (struct chat_ids){0};
}
