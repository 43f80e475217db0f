/* chat_deepseek.c: the marks of DeepSeek, <｜User｜> and <｜Assistant｜>, from V2.5 to V3.1, the
 * plain words of V2, and models trained from nothing.
 *
 * V2.5, V3 and R1 differ in small things, the traits of their rows. Some are slips of the templates
 * that the models were trained and served with; they are kept, because a prompt must be what the
 * template says. */
#include "tokenizer/chat_pieces.h"

static void say_all(struct chat_out *o, const char *before, const char *text, const char *after)
{
    chat_put(o, before);
    chat_say(o, text);
    chat_put(o, after);
}

/* ---- V2 -------------------------------------------------------------------------------------- */

void chat_render_deepseek_v2(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    (void)f;
    chat_put_text(o, o->bos);
    for (int32_t i = 0; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];

        if (chat_is(m, "system"))
            say_all(o, "", m->content, "\n\n");
        else if (chat_is(m, "user"))
            say_all(o, "User: ", m->content, "\n\n");
        else if (chat_is(m, "assistant")) {
            chat_put(o, "Assistant:");
            chat_answer_begin(o, m);
            say_all(o, " ", m->content, "");
            chat_put_text(o, o->eos);
            chat_answer_end(o);
        }
    }
    if (c->add_generation_prompt)
        chat_put(o, "Assistant:");
}

/* ---- models trained from nothing ------------------------------------------------------------- */

/* They have seen one question at a time: what stands before the last one is left out. Whether to
 * think is theirs to decide, so the prompt opens no thought. */
void chat_render_zero(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    int32_t last = c->n_messages - 1;

    (void)f;
    while (last > 0 && !chat_is(&c->messages[last], "user"))
        last--;
    chat_put_text(o, o->bos);
    for (int32_t i = last; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];

        if (chat_is(m, "user"))
            say_all(o, "<｜User｜>", m->content, "");
        if (!chat_is(m, "assistant"))
            continue;
        chat_put(o, "<｜Assistant｜>");
        chat_answer_begin(o, m);
        chat_say(o, m->content);
        chat_put_text(o, o->eos);
        chat_answer_end(o);
    }
    if (c->add_generation_prompt)
        chat_put(o, "<｜Assistant｜>");
}

/* ---- the system text ------------------------------------------------------------------------- */

/* What is in front of the first turn: all system messages, a blank line between, or the last. */
static void begin(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    const char *last = NULL;

    if (f->traits & CHAT_SYSTEM_INDENTED) /* a slip of V2.5's template: it writes its own indent */
        for (int32_t i = 0; i < c->n_messages; i++)
            if (chat_is(&c->messages[i], "system"))
                chat_put(o, "        ");
    chat_put_text(o, o->bos);
    for (int32_t i = 0; i < c->n_messages; i++) {
        if (!chat_is(&c->messages[i], "system"))
            continue;
        if (f->traits & CHAT_SYSTEM_JOINED)
            say_all(o, last ? "\n\n" : "", c->messages[i].content, "");
        last = c->messages[i].content;
    }
    if (!(f->traits & CHAT_SYSTEM_JOINED))
        chat_say(o, last);
}

/* ---- V2.5, V3, R1 ---------------------------------------------------------------------------- */

/* What the template remembers over the whole conversation. */
struct state {
    bool called;   /* a call was written: the next one continues the list, also turns later */
    bool answered; /* a result was written: the next one continues the list, also turns later */
    bool in_results;
};

static void calls(struct chat_out *o, const struct chat_format *f, const struct chat_message *m,
                  struct state *s)
{
    bool closes = f->traits & CHAT_CALLS_BESIDE_TEXT;

    s->in_results = false;
    for (int32_t i = 0; i < m->n_tool_calls; i++) {
        const struct chat_tool_call *call = &m->tool_calls[i];

        chat_put(o, s->called ? "" : "<｜Assistant｜>");
        if (i == 0)
            chat_answer_begin(o, m);
        if (!s->called)
            say_all(o, "", m->content,
                    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>");
        else
            chat_put(o, "\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>");
        chat_say_call(o, call);
        say_all(o, "\n```json\n", call->arguments, "\n```<｜tool▁call▁end｜>");
        if (s->called && !closes) /* a slip of the older templates: a first call stays open */
            chat_put(o, "<｜tool▁calls▁end｜><｜end▁of▁sentence｜>");
        s->called = true;
    }
    if (closes)
        chat_put(o, "<｜tool▁calls▁end｜><｜end▁of▁sentence｜>");
    chat_answer_end(o);
}

static void answer(struct chat_out *o, const struct chat_format *f, const struct chat_message *m,
                   struct state *s)
{
    struct chat_text content = chat_text_of(m->content);

    if (!s->in_results && (f->traits & CHAT_DROPS_THOUGHTS))
        content = chat_behind_last(content, "</think>");
    chat_put(o, s->in_results ? "<｜tool▁outputs▁end｜>" : "<｜Assistant｜>");
    chat_answer_begin(o, m);
    chat_say_text(o, content);
    chat_put(o, "<｜end▁of▁sentence｜>");
    chat_answer_end(o);
    s->in_results = false;
}

static void result(struct chat_out *o, const struct chat_message *m, struct state *s)
{
    say_all(o,
            s->answered ? "\n<｜tool▁output▁begin｜>"
                        : "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>",
            m->content, "<｜tool▁output▁end｜>");
    s->in_results = s->answered = true;
}

void chat_render_deepseek(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    struct state s = {0};

    begin(o, f, c);
    for (int32_t i = 0; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];
        bool beside = m->n_tool_calls && (f->traits & CHAT_CALLS_BESIDE_TEXT);

        if (chat_is(m, "user")) {
            s.in_results = false;
            say_all(o, "<｜User｜>", m->content, "");
        } else if (chat_is(m, "assistant") && (!m->content || beside)) {
            calls(o, f, m, &s);
        } else if (chat_is(m, "assistant")) {
            answer(o, f, m, &s);
        } else if (chat_is(m, "tool")) {
            result(o, m, &s);
        }
    }
    if (s.in_results)
        chat_put(o, "<｜tool▁outputs▁end｜>");
    else if (c->add_generation_prompt)
        chat_put(o, f->thinks ? "<｜Assistant｜><think>\n" : "<｜Assistant｜>");
}

/* ---- V3.1 ------------------------------------------------------------------------------------ */

static void v31_calls(struct chat_out *o, const struct chat_message *m, bool asked)
{
    chat_put(o, asked ? "<｜Assistant｜></think>" : "");
    chat_answer_begin(o, m);
    say_all(o, "", m->content, "<｜tool▁calls▁begin｜>");
    for (int32_t i = 0; i < m->n_tool_calls; i++) {
        chat_put(o, "<｜tool▁call▁begin｜>");
        chat_say_call(o, &m->tool_calls[i]);
        say_all(o, "<｜tool▁sep｜>", m->tool_calls[i].arguments, "<｜tool▁call▁end｜>");
    }
    chat_put(o, "<｜tool▁calls▁end｜><｜end▁of▁sentence｜>");
    chat_answer_end(o);
}

static void v31_answer(struct chat_out *o, const struct chat_message *m, bool asked,
                       bool in_results)
{
    struct chat_text content = chat_text_of(m->content);

    chat_put(o, asked ? "<｜Assistant｜></think>" : "");
    chat_answer_begin(o, m);
    chat_say_text(o, in_results ? content : chat_behind_first(content, "</think>"));
    chat_put(o, "<｜end▁of▁sentence｜>");
    chat_answer_end(o);
}

void chat_render_deepseek_v31(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    bool asked = false, in_results = false; /* the last turn was the user's, a tool's */

    begin(o, f, c);
    for (int32_t i = 0; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];

        if (chat_is(m, "user"))
            say_all(o, "<｜User｜>", m->content, "");
        else if (chat_is(m, "tool"))
            say_all(o, "<｜tool▁output▁begin｜>", m->content, "<｜tool▁output▁end｜>");
        else if (m->n_tool_calls)
            v31_calls(o, m, asked);
        else if (chat_is(m, "assistant"))
            v31_answer(o, m, asked, in_results);
        if (!chat_is(m, "system")) {
            asked = chat_is(m, "user");
            in_results = chat_is(m, "tool");
        }
    }
    if (c->add_generation_prompt && asked)
        chat_put(o,
                 c->think == CHAT_THINK_ON ? "<｜Assistant｜><think>" : "<｜Assistant｜></think>");
}
