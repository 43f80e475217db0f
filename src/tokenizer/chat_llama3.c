/* chat_llama3.c: Llama 3 and 3.1: <|start_header_id|>role<|end_header_id|>, a blank line, the text
 * trimmed, <|eot_id|>. */
#include "tokenizer/chat_pieces.h"

static void header(struct chat_out *o, const char *role)
{
    chat_put(o, "<|start_header_id|>");
    chat_say(o, role);
    chat_put(o, "<|end_header_id|>\n\n");
}

static void turn(struct chat_out *o, const struct chat_message *m)
{
    header(o, m->role);
    if (chat_is(m, "assistant"))
        chat_answer_begin(o, m);
    chat_say_text(o, chat_trim(chat_text_of(m->content)));
    chat_put(o, "<|eot_id|>");
    if (chat_is(m, "assistant"))
        chat_answer_end(o);
}

void chat_render_llama3(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    (void)f;
    chat_put_text(o, o->bos);
    for (int32_t i = 0; i < c->n_messages; i++)
        turn(o, &c->messages[i]);
    if (c->add_generation_prompt)
        header(o, "assistant");
}

/* ---- 3.1: a system turn with dates, tools in the first question ------------------------------ */

/* The template's date, unless a caller hands it another, which nobody does here: a prompt that
 * changed with the day could not be cached or tested. */
static void llama31_system(struct chat_out *o, const struct chat_message *given)
{
    header(o, "system");
    if (o->tools)
        chat_put(o, "Environment: ipython\n");
    chat_put(o, "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n");
    if (given)
        chat_say_text(o, chat_trim(chat_text_of(given->content)));
    chat_put(o, "<|eot_id|>");
}

static void first_question(struct chat_out *o, const struct chat_message *m)
{
    const json_t *tool;
    size_t i;

    header(o, "user");
    chat_put(o, "Given the following functions, please respond with a JSON for a function call "
                "with its proper arguments that best answers the given prompt.\n\n"
                "Respond in the format {\"name\": function name, \"parameters\": dictionary of "
                "argument name and its value}.Do not use variables.\n\n");
    json_array_foreach (o->tools, i, tool) {
        chat_say_json_indented(o, tool);
        chat_put(o, "\n\n");
    }
    chat_say_text(o, chat_trim(chat_text_of(m->content)));
    chat_put(o, "<|eot_id|>");
}

static void call(struct chat_out *o, const struct chat_message *m)
{
    if (m->n_tool_calls != 1) {
        chat_refuse(o, "Llama 3.1's template takes one tool call in a message, not several");
        return;
    }
    header(o, "assistant");
    chat_answer_begin(o, m);
    chat_put(o, "{\"name\": \"");
    chat_say_call(o, &m->tool_calls[0]);
    chat_put(o, "\", \"parameters\": ");
    chat_say_arguments(o, &m->tool_calls[0]);
    chat_put(o, "}<|eot_id|>");
    chat_answer_end(o);
}

/* The template writes a result as a JSON string, because a text is iterable in Jinja. */
static void result(struct chat_out *o, const struct chat_message *m)
{
    header(o, "ipython");
    chat_say_json_string(o, chat_text_of(m->content));
    chat_put(o, "<|eot_id|>");
}

void chat_render_llama31(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    int32_t i = chat_is(&c->messages[0], "system") ? 1 : 0;

    (void)f;
    chat_put_text(o, o->bos);
    llama31_system(o, i ? &c->messages[0] : NULL);
    if (o->tools && i == c->n_messages)
        chat_refuse(o,
                    "Llama 3.1's template puts tools into the first question, and there is none");
    else if (o->tools)
        first_question(o, &c->messages[i++]);
    for (; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];

        if (chat_is(m, "tool"))
            result(o, m);
        else if (m->n_tool_calls)
            call(o, m);
        else
            turn(o, m);
    }
    if (c->add_generation_prompt)
        header(o, "assistant");
}
