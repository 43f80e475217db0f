/* chat_chatml.c: <|im_start|>role, a newline, the text, <|im_end|>: SmolLM2 and Qwen.
 *
 * Three templates: the plain one, that of Qwen2.5 (tools) and that of Qwen3 (tools, thinking). */
#include "tokenizer/chat_pieces.h"

/* ---- plain, with or without a system prompt of its own --------------------------------------- */

static void turn(struct chat_out *o, const struct chat_message *m)
{
    chat_put(o, "<|im_start|>");
    chat_say(o, m->role);
    chat_put(o, "\n");
    if (chat_is(m, "assistant"))
        chat_answer_begin(o, m);
    chat_say(o, m->content);
    chat_put(o, "<|im_end|>");
    if (chat_is(m, "assistant"))
        chat_answer_end(o);
    chat_put(o, "\n");
}

static void own_system(struct chat_out *o, const struct chat_format *f)
{
    chat_put(o, "<|im_start|>system\n");
    chat_put(o, f->system);
    chat_put(o, "<|im_end|>\n");
}

void chat_render_chatml(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    if (f->system && !chat_is(&c->messages[0], "system"))
        own_system(o, f);
    for (int32_t i = 0; i < c->n_messages; i++)
        turn(o, &c->messages[i]);
    if (c->add_generation_prompt)
        chat_put(o, "<|im_start|>assistant\n");
}

/* ---- what Qwen2.5 and Qwen3 share ------------------------------------------------------------ */

static void offer_tools(struct chat_out *o)
{
    const json_t *tool;
    size_t i;

    chat_put(o, "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
                "You are provided with function signatures within <tools></tools> XML tags:\n"
                "<tools>");
    json_array_foreach (o->tools, i, tool) {
        chat_put(o, "\n");
        chat_say_json(o, tool);
    }
    chat_put(o, "\n</tools>\n\nFor each function call, return a json object with function name and "
                "arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
                "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n"
                "</tool_call><|im_end|>\n");
}

/* Results of tools that follow each other share one turn of the user. */
static void tool_result(struct chat_out *o, const struct chat *c, int32_t at)
{
    if (at == 0 || !chat_is(&c->messages[at - 1], "tool"))
        chat_put(o, "<|im_start|>user");
    chat_put(o, "\n<tool_response>\n");
    chat_say(o, c->messages[at].content);
    chat_put(o, "\n</tool_response>");
    if (at + 1 == c->n_messages || !chat_is(&c->messages[at + 1], "tool"))
        chat_put(o, "<|im_end|>\n");
}

/* ---- Qwen2.5 --------------------------------------------------------------------------------- */

static void qwen25_calls(struct chat_out *o, const struct chat_message *m)
{
    chat_put(o, "<|im_start|>assistant\n");
    chat_answer_begin(o, m);
    chat_say(o, m->content);
    for (int32_t i = 0; i < m->n_tool_calls; i++) {
        chat_put(o, i || (m->content && *m->content) ? "\n" : "");
        chat_put(o, "<tool_call>\n{\"name\": \"");
        chat_say_call(o, &m->tool_calls[i]);
        chat_put(o, "\", \"arguments\": ");
        chat_say_arguments(o, &m->tool_calls[i]);
        chat_put(o, "}\n</tool_call>");
    }
    chat_put(o, "<|im_end|>");
    chat_answer_end(o);
    chat_put(o, "\n");
}

static void qwen25_system(struct chat_out *o, const struct chat_format *f,
                          const struct chat_message *first)
{
    bool own = !chat_is(first, "system");

    if (!o->tools) {
        if (own)
            own_system(o, f);
        else
            turn(o, first);
        return;
    }
    chat_put(o, "<|im_start|>system\n");
    if (own)
        chat_put(o, f->system);
    else
        chat_say(o, first->content);
    chat_put(o, "\n\n");
    offer_tools(o);
}

void chat_render_qwen25(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    qwen25_system(o, f, &c->messages[0]);
    for (int32_t i = 0; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];

        if (chat_is(m, "tool"))
            tool_result(o, c, i);
        else if (m->n_tool_calls)
            qwen25_calls(o, m);
        else if (i || !chat_is(m, "system"))
            turn(o, m);
    }
    if (c->add_generation_prompt)
        chat_put(o, "<|im_start|>assistant\n");
}

/* ---- Qwen3 ----------------------------------------------------------------------------------- */

static bool begins(struct chat_text t, const char *s)
{
    return t.n >= strlen(s) && !memcmp(t.data, s, strlen(s));
}

static bool ends(struct chat_text t, const char *s)
{
    return t.n >= strlen(s) && !memcmp(t.data + t.n - strlen(s), s, strlen(s));
}

/* The last question of the user, which is not a tool's result in disguise: thoughts in front of it
 * are past. Without one the template takes the last message. */
static int32_t last_query(const struct chat *c)
{
    for (int32_t i = c->n_messages - 1; i >= 0; i--) {
        struct chat_text content = chat_text_of(c->messages[i].content);

        if (chat_is(&c->messages[i], "user") &&
            !(begins(content, "<tool_response>") && ends(content, "</tool_response>")))
            return i;
    }
    return c->n_messages - 1;
}

static void qwen3_calls(struct chat_out *o, const struct chat_message *m, bool has_content)
{
    for (int32_t i = 0; i < m->n_tool_calls; i++) {
        if (i || has_content)
            chat_put(o, "\n");
        chat_put(o, "<tool_call>\n{\"name\": \"");
        chat_say_call(o, &m->tool_calls[i]);
        chat_put(o, "\", \"arguments\": ");
        chat_say(o, m->tool_calls[i].arguments);
        chat_put(o, "}\n</tool_call>");
    }
}

static void qwen3_answer(struct chat_out *o, const struct chat *c, int32_t at, int32_t query)
{
    const struct chat_message *m = &c->messages[at];
    struct chat_text content = chat_text_of(m->content), thought = chat_text_of(m->reasoning);

    if (!m->reasoning && chat_contains(content, "</think>")) {
        thought = chat_rstrip_newlines(chat_before(content, "</think>"));
        thought = chat_lstrip_newlines(chat_behind_last(thought, "<think>"));
        content = chat_lstrip_newlines(chat_behind_last(content, "</think>"));
    }
    chat_put(o, "<|im_start|>assistant\n");
    chat_answer_begin(o, m);
    if (at > query && (at + 1 == c->n_messages || thought.n)) {
        chat_put(o, "<think>\n");
        chat_say_text(o, chat_rstrip_newlines(chat_lstrip_newlines(thought)));
        chat_put(o, "\n</think>\n\n");
        chat_say_text(o, chat_lstrip_newlines(content));
    } else {
        chat_say_text(o, content);
    }
    qwen3_calls(o, m, content.n);
    chat_put(o, "<|im_end|>");
    chat_answer_end(o);
    chat_put(o, "\n");
}

static void qwen3_system(struct chat_out *o, const struct chat_message *first)
{
    bool given = chat_is(first, "system");

    if (!o->tools) {
        if (given)
            turn(o, first);
        return;
    }
    chat_put(o, "<|im_start|>system\n");
    if (given) {
        chat_say(o, first->content);
        chat_put(o, "\n\n");
    }
    offer_tools(o);
}

void chat_render_qwen3(struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    int32_t query = last_query(c);

    (void)f;
    qwen3_system(o, &c->messages[0]);
    for (int32_t i = 0; i < c->n_messages; i++) {
        const struct chat_message *m = &c->messages[i];

        if (chat_is(m, "tool"))
            tool_result(o, c, i);
        else if (chat_is(m, "assistant"))
            qwen3_answer(o, c, i, query);
        else if (i || !chat_is(m, "system"))
            turn(o, m);
    }
    if (c->add_generation_prompt)
        chat_put(o, "<|im_start|>assistant\n");
    if (c->add_generation_prompt && c->think == CHAT_THINK_OFF)
        chat_put(o, "<think>\n\n</think>\n\n");
}
