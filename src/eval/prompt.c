/* prompt.c: see prompt.h. */
#include "eval/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "generate/engine.h"
#include "generate/exchange.h"

#define MAX_TEXT ((size_t)1 << 26)
#define BETWEEN "\n\n" /* examples of a raw prompt */

/* ---- Examples -------------------------------------------------------------------------------- */

void shots_release(struct shots *s)
{
    for (int32_t i = 0; i < s->n; i++) {
        free(s->items[i].question);
        free(s->items[i].answer);
    }
    free(s->items);
    *s = (struct shots){0};
}

/* What a built-in task's teacher would write. */
static char *write_trace(const struct task *t, const struct task_item *item, struct mk_error *err)
{
    enum task_trace kind = task_has_trace(t, TASK_TRACE_SCRATCHPAD) ? TASK_TRACE_SCRATCHPAD
                                                                    : TASK_TRACE_DIRECT;
    struct buf trace;

    buf_init(&trace, MAX_TEXT);
    if (task_write_trace(t, item, kind, 0, &trace, err))
        buf_release(&trace);
    return trace.data;
}

int shot_make(struct shot *out, const struct suite *s, const struct task *t,
              const struct task_item *item, struct mk_error *err)
{
    const char *worked = task_worked(t, item);

    *out = (struct shot){0};
    err->code = 0;
    if (suite_is_built_in(s))
        out->answer = write_trace(t, item, err);
    else
        out->answer = worked ? strdup(worked) : NULL;
    out->question = strdup(item->question);
    if (out->question && out->answer)
        return 0;
    free(out->question);
    free(out->answer);
    return err->code ? err->code : mk_error_memory(err, strlen(item->question));
}

/* ---- Styles ---------------------------------------------------------------------------------- */

int prompt_choose(enum prompt_style *style, const char **form, const struct mk_model *m,
                  struct mk_error *err)
{
    if (!m->tokenizer)
        return mk_error_set(err, MK_ENOTFOUND, "%s has no tokenizer: it cannot be asked in words",
                            m->path);
    if (*style == PROMPT_CHAT && !m->chat)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: its chat template is not one that minke knows: say --prompt raw, "
                            "or a text with " SUITE_HOLE, m->path);
    if (*style == PROMPT_FORM)
        return exchange_check_form(*form, err);
    if (*style != PROMPT_AUTO)
        return 0;
    *style = m->chat ? PROMPT_CHAT : PROMPT_RAW;
    if (!m->chat && tokenizer_find(m->tokenizer, "<｜User｜>") >= 0 &&
        tokenizer_find(m->tokenizer, "<｜Assistant｜>") >= 0) {
        *style = PROMPT_FORM;
        *form = EXCHANGE_FORM;
    }
    return 0;
}

/* Appends the form with the question in its hole. */
static int fill(struct buf *out, const char *form, const char *question, struct mk_error *err)
{
    const char *hole = strstr(form, SUITE_HOLE);

    if (buf_append(out, form, (size_t)(hole - form), err) ||
        buf_append_string(out, question, err) ||
        buf_append_string(out, hole + strlen(SUITE_HOLE), err))
        return err->code;
    return 0;
}

int prompt_encode_text(const struct mk_model *m, const char *text, size_t n, struct ids *out,
                       struct mk_error *err)
{
    const struct vocab *v = tokenizer_vocab(m->tokenizer);

    if (v->add_bos && v->bos_id >= 0 && ids_append(out, v->bos_id, err))
        return err->code;
    return tokenizer_encode(m->tokenizer, text, n, false, out, err);
}

static int make_raw(struct prompt *p, const struct prompt_way *way, const char *question,
                    struct mk_error *err)
{
    for (int32_t i = 0; i < way->shots->n; i++)
        if (fill(&p->text, way->raw, way->shots->items[i].question, err) ||
            buf_append_string(&p->text, " ", err) ||
            buf_append_string(&p->text, way->shots->items[i].answer, err) ||
            buf_append_string(&p->text, BETWEEN, err))
            return err->code;
    if (fill(&p->text, way->raw, question, err))
        return err->code;
    return prompt_encode_text(way->m, p->text.data, p->text.n, &p->ids, err);
}

static int make_form(struct prompt *p, const struct prompt_way *way, const char *question,
                     struct mk_error *err)
{
    const char thought[] = "<think>";
    size_t n;

    if (fill(&p->text, way->form, question, err) ||
        exchange_encode(way->m->tokenizer, way->form, question, &p->ids, err))
        return err->code;
    n = p->text.n;
    while (n > 0 && strchr(" \n", p->text.data[n - 1]))
        n--;
    p->in_thought = n >= strlen(thought) &&
                    !memcmp(p->text.data + n - strlen(thought), thought, strlen(thought));
    return 0;
}

/* A conversation: examples are what was said before. */
static int make_chat(struct prompt *p, const struct prompt_way *way, const char *question,
                     struct mk_error *err)
{
    int32_t n_shots = way->shots->n, n = 2 * n_shots + 1;
    struct chat_message *messages = calloc((size_t)n, sizeof *messages);
    struct buf *asked = calloc((size_t)n_shots + 1, sizeof *asked);
    struct chat chat = {.messages = messages, .n_messages = n, .add_generation_prompt = true};
    int rc = messages && asked ? 0 : mk_error_memory(err, (size_t)n * sizeof *messages);

    for (int32_t i = 0; !rc && i <= n_shots; i++) {
        const struct shot *shot = i < n_shots ? &way->shots->items[i] : NULL;

        buf_init(&asked[i], MAX_TEXT);
        rc = fill(&asked[i], way->chat, shot ? shot->question : question, err);
        messages[2 * i] = (struct chat_message){.role = "user", .content = asked[i].data};
        if (shot)
            messages[2 * i + 1] = (struct chat_message){.role = "assistant",
                                                        .content = shot->answer};
    }
    if (!rc)
        rc = chat_encode(way->m->chat, way->m->tokenizer, &chat, &p->ids, err);
    if (!rc)
        rc = chat_render(way->m->chat, way->m->tokenizer, &chat, &p->text, err);
    p->in_thought = !rc && chat_format_starts_thinking(way->m->chat, &chat);
    for (int32_t i = 0; asked && i <= n_shots; i++)
        buf_release(&asked[i]);
    free(asked);
    free(messages);
    return rc;
}

int prompt_make(struct prompt *p, const struct prompt_way *way, const char *question,
                struct mk_error *err)
{
    int rc;

    *p = (struct prompt){0};
    buf_init(&p->text, MAX_TEXT);
    rc = way->style == PROMPT_CHAT   ? make_chat(p, way, question, err)
         : way->style == PROMPT_FORM ? make_form(p, way, question, err)
                                     : make_raw(p, way, question, err);
    if (rc)
        prompt_release(p);
    return rc;
}

void prompt_release(struct prompt *p)
{
    buf_release(&p->text);
    ids_release(&p->ids);
}
