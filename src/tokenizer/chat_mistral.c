/* chat_mistral.c: [INST] question [/INST] answer: Mistral v0.1 and v0.2 (text alone), v0.3 (tools,
 * marks that are tokens) and Nemo (v0.3 without the spaces).
 *
 * The templates refuse more than others: questions and answers alternate, and ids of tool calls
 * have nine characters. */
#include "tokenizer/chat_pieces.h"

static void check_alternation(struct chat_out *o, const struct chat *c, int32_t first, bool tools)
{
    int32_t at = 0;

    for (int32_t i = first; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];

        if (tools && (chat_is(m, "tool") || m->n_tool_calls))
            continue;
        if (chat_is(m, "user") != (at++ % 2 == 0))
            chat_refuse(o, "in Mistral's template questions and answers alternate, after a system "
                           "message at the most");
    }
}

static void refuse_role(struct chat_out *o)
{
    chat_refuse(o, "this template of Mistral takes messages of users and assistants alone, after a "
                   "system message at the most");
}

/* ---- v0.1, v0.2 ------------------------------------------------------------------------------ */

void chat_render_mistral_v1(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    bool takes_system = f->traits & CHAT_SYSTEM_IN_QUESTION;
    const char *space = takes_system ? " " : "";
    const char *system = takes_system && chat_is(&c->messages[0], "system")
                             ? chat_text_of(c->messages[0].content).data
                             : NULL;
    int32_t first = system ? 1 : 0;

    check_alternation(o, c, first, false);
    chat_put_text(o, o->bos);
    for (int32_t i = first; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];

        if (chat_is(m, "assistant"))
            chat_answer_begin(o, m);
        chat_put(o, space);
        if (chat_is(m, "user")) {
            chat_put(o, "[INST] ");
            if (i == first && system) {
                chat_say(o, system);
                chat_put(o, "\n\n");
            }
            chat_say(o, m->content);
            chat_put(o, " [/INST]");
        } else if (chat_is(m, "assistant")) {
            chat_say(o, m->content);
            chat_put_text(o, o->eos);
            chat_answer_end(o);
        } else {
            refuse_role(o);
        }
    }
}

/* ---- v0.3, Nemo ------------------------------------------------------------------------------ */

/* Texts of a tool stand as they are, without JSON's escapes: so the template has it. */
static void offer_tool(struct chat_out *o, json_t *function)
{
    const char *key, *separator = "";
    json_t *value;

    chat_put(o, "{\"type\": \"function\", \"function\": {");
    json_object_foreach (function, key, value) {
        if (!strcmp(key, "return"))
            continue;
        chat_put(o, separator);
        chat_put(o, "\"");
        chat_say(o, key);
        chat_put(o, "\": ");
        if (json_is_string(value)) {
            chat_put(o, "\"");
            chat_say_text(o,
                          (struct chat_text){json_string_value(value), json_string_length(value)});
            chat_put(o, "\"");
        } else {
            chat_say_json(o, value);
        }
        separator = ", ";
    }
    chat_put(o, "}}");
}

static void offer_tools(struct chat_out *o, const char *space)
{
    json_t *tool;
    size_t i;

    chat_put(o, "[AVAILABLE_TOOLS]");
    chat_put(o, space);
    json_array_foreach (o->tools, i, tool) {
        chat_put(o, i ? ", " : "[");
        offer_tool(o, json_object_get(tool, "function"));
    }
    chat_put(o, "][/AVAILABLE_TOOLS]");
}

static void check_id(struct chat_out *o, const char *id)
{
    size_t n = 0;

    for (const char *s = id ? id : ""; *s; s++)
        n += (*s & 0xC0) != 0x80; /* characters, not bytes */
    if (n != 9)
        chat_refuse(o, "in Mistral's template the id of a tool call has nine characters");
}

/* Through jansson, which writes as Python does what it is given as text. */
static void calls(struct chat_out *o, const struct chat_message *m, const char *space)
{
    chat_answer_begin(o, m);
    chat_put(o, "[TOOL_CALLS]");
    chat_put(o, space);
    for (int32_t i = 0; i < m->n_tool_calls; i++) {
        const struct chat_tool_call *call = &m->tool_calls[i];

        check_id(o, call->id);
        chat_put(o, i ? ", " : "[");
        chat_put(o, "{\"name\": ");
        chat_say_json_string(o, chat_text_of(call->name));
        o->n_calls++;
        chat_put(o, ", \"arguments\": ");
        chat_say_arguments(o, call);
        chat_put(o, ", \"id\": \"");
        chat_say(o, call->id);
        chat_put(o, "\"}");
    }
    chat_put(o, "]");
    chat_put_text(o, o->eos);
    chat_answer_end(o);
}

static void result(struct chat_out *o, const struct chat_message *m, const char *space)
{
    check_id(o, m->tool_call_id);
    chat_put(o, "[TOOL_RESULTS]");
    chat_put(o, space);
    chat_put(o, "{\"content\": ");
    chat_say(o, m->content);
    chat_put(o, ", \"call_id\": \"");
    chat_say(o, m->tool_call_id);
    chat_put(o, "\"}[/TOOL_RESULTS]");
}

/* The template asks for the message that equals the last question; equal questions are rare, and
 * are all preceded by the tools. */
static bool is_last_question(const struct chat *c, int32_t first, int32_t at)
{
    int32_t last = c->n_messages - 1;

    while (last > first && !chat_is(&c->messages[last], "user"))
        last--;
    return !strcmp(chat_text_of(c->messages[last].content).data,
                   chat_text_of(c->messages[at].content).data);
}

static void question(struct chat_out *o, const struct chat *c, int32_t first, int32_t at,
                     const char *space)
{
    if (o->tools && is_last_question(c, first, at))
        offer_tools(o, space);
    chat_put(o, "[INST]");
    chat_put(o, space);
    if (first && at + 1 == c->n_messages) {
        chat_say(o, c->messages[0].content);
        chat_put(o, "\n\n");
    }
    chat_say(o, c->messages[at].content);
    chat_put(o, "[/INST]");
}

void chat_render_mistral_v3(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    int32_t first = chat_is(&c->messages[0], "system") ? 1 : 0;
    const char *space = f->traits & CHAT_SPACED ? " " : "";

    check_alternation(o, c, first, true);
    chat_put_text(o, o->bos);
    for (int32_t i = first; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];

        if (chat_is(m, "user")) {
            question(o, c, first, i, space);
        } else if (m->n_tool_calls) {
            calls(o, m, space);
        } else if (chat_is(m, "assistant")) {
            chat_answer_begin(o, m);
            chat_put(o, space);
            chat_say(o, m->content);
            chat_put_text(o, o->eos);
            chat_answer_end(o);
        } else if (chat_is(m, "tool")) {
            result(o, m, space);
        } else {
            refuse_role(o);
        }
    }
}
