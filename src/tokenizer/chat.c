/* chat.c: the table of prompt formats, how one is recognised, and the two ways out: text, ids. */
#include "tokenizer/chat.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/chat_pieces.h"

/* ---- the table ------------------------------------------------------------------------------- */

#define DEEPSEEK_MARKS .bos = "<｜begin▁of▁sentence｜>", .eos = "<｜end▁of▁sentence｜>"
/* One template, two kinds of model. */
#define R1_TEMPLATE                                                                                \
    .has = {"{{'<｜User｜>' + message['content']}}", "message['content'] is none",                 \
            "content.split('</think>')[-1]", "'<｜Assistant｜><think>",                            \
            "{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{%- endif %}"},                        \
    .lacks = {"{{'<｜tool▁output▁begin｜>", "is_first_sp", "enable_thinking"}, DEEPSEEK_MARKS,     \
    .thinks = true, .traits = CHAT_DROPS_THOUGHTS, .render = chat_render_deepseek
#define LLAMA3_MARKS .bos = "<|begin_of_text|>", .eos = "<|eot_id|>"
#define MISTRAL_MARKS .bos = "<s>", .eos = "</s>"

/* Texts of tests/golden/templates/, to the byte; a line break in one is Jinja's, not C's. */
#define CHATML_TEMPLATE                                                                            \
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "                  \
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"       \
    "{{ '<|im_start|>assistant\\n' }}{% endif %}"
#define DEEPSEEK_V2_TEMPLATE                                                                       \
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}"         \
    "{% endif %}{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"    \
    "{{ 'User: ' + message['content'] + '\\n\\n' }}{% elif message['role'] == 'assistant' %}"    \
    "{{ 'Assistant: ' + message['content'] + eos_token }}{% elif message['role'] == 'system' %}"   \
    "{{ message['content'] + '\\n\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}"   \
    "{{ 'Assistant:' }}{% endif %}"
#define LLAMA3_TEMPLATE                                                                            \
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "     \
    "'<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.first %}"  \
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"                  \
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"  \
    "{% endif %}"

#define ZERO_TEMPLATE                                                                              \
    "{%- set ns = namespace(last=0) -%}{%- for message in messages -%}"                            \
    "{%- if message['role'] == 'user' -%}{%- set ns.last = loop.index0 -%}"                        \
    "{%- endif -%}{%- endfor -%}{{ bos_token }}"                                                   \
    "{%- for message in messages[ns.last:] -%}{%- if message['role'] == 'user' -%}"                \
    "{{ '<｜User｜>' + message['content'] }}{%- elif message['role'] == 'assistant' -%}"             \
    "{{ '<｜Assistant｜>' + message['content'] + eos_token }}{%- endif -%}"                          \
    "{%- endfor -%}{%- if add_generation_prompt -%}{{ '<｜Assistant｜>' }}{%- endif -%}"

/* Read from above: the first row that fits wins. Fragments hold no newline, which some files write
 * as a backslash and an n. */
static const struct chat_format formats[] = {
    {
        .name = "zero", /* of models that minke trains from nothing: tools/golden, recipes/zero */
        .has = {"set ns.last = loop.index0", "messages[ns.last:]",
                "'<｜Assistant｜>' + message['content'] + eos_token"},
        DEEPSEEK_MARKS,
        .thinks = true,
        .template = ZERO_TEMPLATE,
        .render = chat_render_zero,
    },
    {
        .name = "smollm2",
        .has = {"messages[0]['role'] != 'system'",
                "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>",
                "{{'<|im_start|>' + message['role'] + '"},
        .lacks = {"tools"},
        .eos = "<|im_end|>",
        .system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
        .render = chat_render_chatml,
    },
    {
        .name = "qwen2",
        .has = {"messages[0]['role'] != 'system'", "You are a helpful assistant.<|im_end|>",
                "{{'<|im_start|>' + message['role'] + '"},
        .lacks = {"tools"},
        .eos = "<|im_end|>",
        .system = "You are a helpful assistant.",
        .render = chat_render_chatml,
    },
    {
        .name = "qwen3",
        .has = {"<|im_start|>", "<tools></tools>", "multi_step_tool", "reasoning_content",
                "enable_thinking is false"},
        .eos = "<|im_end|>",
        .thinks = true,
        .takes_tools = true,
        .render = chat_render_qwen3,
    },
    {
        .name = "qwen2.5",
        .has = {"<|im_start|>", "<tools></tools>", "You are Qwen, created by Alibaba Cloud.",
                "tool_call.arguments | tojson"},
        .lacks = {"reasoning_content", "<think>"},
        .eos = "<|im_end|>",
        .takes_tools = true,
        .system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        .render = chat_render_qwen25,
    },
    {
        .name = "deepseek-v3.1",
        .has = {"{{'<｜User｜>' + ", "{{'<｜Assistant｜></think>'}}", "if not thinking",
                "'<｜tool▁sep｜>' + tool['function']['arguments'] + '<｜tool▁call▁end｜>'"},
        DEEPSEEK_MARKS,
        .thinks = true,
        .traits = CHAT_SYSTEM_JOINED,
        .render = chat_render_deepseek_v31,
    },
    {
        .name = "deepseek-r1-tools", /* R1's later template; the next row is the first */
        .has = {"{{'<｜User｜>' + message['content']}}", "'tool_calls' in message", "is_first_sp",
                "content.split('</think>')[-1]", "'<｜Assistant｜><think>"},
        .lacks = {"{{'<｜tool▁output▁begin｜>", "enable_thinking"},
        DEEPSEEK_MARKS,
        .thinks = true,
        .traits = CHAT_SYSTEM_JOINED | CHAT_CALLS_BESIDE_TEXT | CHAT_DROPS_THOUGHTS,
        .render = chat_render_deepseek,
    },
    {
        .name = "r1-distill",
        .model_types = {"qwen2", "llama"},
        R1_TEMPLATE,
    },
    {
        .name = "deepseek-r1",
        R1_TEMPLATE,
    },
    {
        .name = "deepseek-v3-0324",
        .has = {"{{'<｜User｜>' + message['content']}}", "'tool_calls' in message", "is_first_sp"},
        .lacks = {"{{'<｜tool▁output▁begin｜>", "think"},
        DEEPSEEK_MARKS,
        .traits = CHAT_SYSTEM_JOINED | CHAT_CALLS_BESIDE_TEXT,
        .render = chat_render_deepseek,
    },
    {
        .name = "deepseek-v3",
        .has = {"{{'<｜User｜>' + message['content']}}", "message['content'] is none",
                "is_first_sp", "{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{%- endif %}"},
        .lacks = {"{{'<｜tool▁output▁begin｜>", "think", "'tool_calls' in"},
        DEEPSEEK_MARKS,
        .traits = CHAT_SYSTEM_JOINED,
        .render = chat_render_deepseek,
    },
    {
        .name = "deepseek-v2.5",
        .has = {"{{'<｜User｜>' + message['content']}}", "message['content'] is none",
                "%}        {% set ns.system_prompt = message['content'] %}    {%-"},
        .lacks = {"{{'<｜tool▁output▁begin｜>", "think", "is_first_sp"},
        DEEPSEEK_MARKS,
        .traits = CHAT_SYSTEM_INDENTED,
        .render = chat_render_deepseek,
    },
    {
        .name = "deepseek-v2",
        .has = {"{{ bos_token }}", "{{ 'User: ' + message['content'] + '",
                "{{ 'Assistant: ' + message['content'] + eos_token }}", "{{ 'Assistant:' }}"},
        .lacks = {"think", "tools"},
        DEEPSEEK_MARKS,
        .template = DEEPSEEK_V2_TEMPLATE,
        .render = chat_render_deepseek_v2,
    },
    {
        .name = "llama3.1",
        .has = {"<|start_header_id|>ipython<|end_header_id|>", "Environment: ipython",
                "{%- set date_string = \"26 Jul 2024\" %}", "tools_in_user_message = true",
                "Cutting Knowledge Date: December 2023", "This model only supports single tool"},
        .lacks = {"strftime_now"},
        LLAMA3_MARKS,
        .takes_tools = true,
        .render = chat_render_llama31,
    },
    {
        .name = "llama3",
        .has = {"'<|start_header_id|>' + message['role'] + '<|end_header_id|>",
                "message['content'] | trim + '<|eot_id|>'",
                "{% set content = bos_token + content %}", "{% if add_generation_prompt %}"},
        .lacks = {"tools"},
        LLAMA3_MARKS,
        .template = LLAMA3_TEMPLATE,
        .render = chat_render_llama3,
    },
    {
        .name = "mistral-v3",
        .has = {"\"[AVAILABLE_TOOLS] [\"", "\"[INST] \" + system_message", "[TOOL_CALLS] [",
                "{{- \" \" + message[\"content\"] + eos_token}}", "[TOOL_RESULTS] {",
                "length != 9"},
        .lacks = {"[SYSTEM_PROMPT]", "\"content\"]|trim"},
        MISTRAL_MARKS,
        .takes_tools = true,
        .traits = CHAT_SPACED,
        .render = chat_render_mistral_v3,
    },
    {
        .name = "mistral-nemo",
        .has = {"\"[AVAILABLE_TOOLS][\"", "\"[INST]\" + system_message", "[TOOL_CALLS][",
                "{{- message[\"content\"] + eos_token}}", "[TOOL_RESULTS]{", "length != 9"},
        .lacks = {"[SYSTEM_PROMPT]"},
        MISTRAL_MARKS,
        .takes_tools = true,
        .render = chat_render_mistral_v3,
    },
    {
        .name = "mistral-v1-system",
        .has = {"' [INST] ' + system_message + '", "' [INST] ' + message['content'] + ' [/INST]'",
                "{{- ' ' + message['content'] + eos_token}}"},
        .lacks = {"tools"},
        MISTRAL_MARKS,
        .traits = CHAT_SYSTEM_IN_QUESTION,
        .render = chat_render_mistral_v1,
    },
    {
        .name = "mistral-v1",
        .has = {"{{ '[INST] ' + message['content'] + ' [/INST]' }}",
                "{{ message['content'] + eos_token}}",
                "Only user and assistant roles are supported!"},
        .lacks = {"tools", "system"},
        MISTRAL_MARKS,
        .render = chat_render_mistral_v1,
    },
    {
        .name = "chatml",
        .has = {"'<|im_start|>' + message['role'] + '", "message['content'] + '<|im_end|>'"},
        .lacks = {"messages[0]", "tools", "bos_token", "think"},
        .eos = "<|im_end|>",
        .template = CHATML_TEMPLATE,
        .render = chat_render_chatml,
    },
};

enum { N_FORMATS = sizeof formats / sizeof *formats, MAX_PROMPT_BYTES = 1 << 30 };

static bool is_type(const struct chat_format *f, const char *model_type)
{
    for (size_t i = 0; i < sizeof f->model_types / sizeof *f->model_types; i++)
        if (model_type && f->model_types[i] && !strcmp(model_type, f->model_types[i]))
            return true;
    return false;
}

static bool fits(const struct chat_format *f, struct vocab_text template, const char *model_type)
{
    if (f->model_types[0] && !is_type(f, model_type))
        return false;
    for (size_t i = 0; i < sizeof f->has / sizeof *f->has && f->has[i]; i++)
        if (!memmem(template.data, template.n, f->has[i], strlen(f->has[i])))
            return false;
    for (size_t i = 0; i < sizeof f->lacks / sizeof *f->lacks && f->lacks[i]; i++)
        if (memmem(template.data, template.n, f->lacks[i], strlen(f->lacks[i])))
            return false;
    return true;
}

const struct chat_format *chat_format_for(const struct tokenizer *t, const char *model_type)
{
    struct vocab_text template = tokenizer_vocab(t)->chat_template;

    for (int i = 0; template.n && i < N_FORMATS; i++)
        if (fits(&formats[i], template, model_type))
            return &formats[i];
    return NULL;
}

const struct chat_format *chat_format_by_name(const char *name)
{
    for (int i = 0; name && i < N_FORMATS; i++)
        if (!strcmp(formats[i].name, name))
            return &formats[i];
    return NULL;
}

const char *chat_format_name_at(size_t i)
{
    return i < N_FORMATS ? formats[i].name : NULL;
}

const char *chat_format_name(const struct chat_format *f)
{
    return f->name;
}

const char *chat_format_template(const struct chat_format *f)
{
    return f->template;
}

bool chat_format_thinks(const struct chat_format *f)
{
    return f->thinks;
}

bool chat_format_takes_tools(const struct chat_format *f)
{
    return f->takes_tools;
}

/* ---- checking, writing ----------------------------------------------------------------------- */

static int check_message(const struct chat_message *m, int32_t at, struct mk_error *err)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    bool known = false;

    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        known |= m->role && !strcmp(m->role, roles[i]);
    if (!known)
        return mk_error_set(err, MK_EINVAL,
                            "message %d: role \"%.40s\" is not system, user, assistant or tool", at,
                            m->role ? m->role : "");
    if (!m->content && !m->n_tool_calls)
        return mk_error_set(err, MK_EINVAL, "message %d (%s) has neither content nor tool calls",
                            at, m->role);
    if (m->n_tool_calls && strcmp(m->role, "assistant"))
        return mk_error_set(err, MK_EINVAL,
                            "message %d (%s) has tool calls, which only an assistant makes", at,
                            m->role);
    for (int32_t i = 0; i < m->n_tool_calls; i++)
        if (!m->tool_calls[i].name || !m->tool_calls[i].arguments)
            return mk_error_set(err, MK_EINVAL, "message %d: tool call %d has no name or arguments",
                                at, i);
    return 0;
}

/* An empty list counts as none: that is what clients mean by it. */
static int parse_tools(const struct chat *c, json_t **tools, struct mk_error *err)
{
    json_error_t where;
    json_t *tool;
    size_t i;

    *tools = NULL;
    if (!c->tools_json)
        return 0;
    *tools = json_loads(c->tools_json, JSON_ALLOW_NUL, &where);
    if (!*tools)
        return mk_error_set(err, MK_EINVAL, "tools: line %d of the JSON text: %s", where.line,
                            where.text);
    if (!json_is_array(*tools))
        return mk_error_set(err, MK_EINVAL, "tools: a JSON array is wanted");
    json_array_foreach (*tools, i, tool) {
        if (!json_is_string(json_object_get(json_object_get(tool, "function"), "name")))
            return mk_error_set(err, MK_EINVAL, "tools: tool %zu has no function with a name", i);
    }
    if (!json_array_size(*tools)) {
        json_decref(*tools);
        *tools = NULL;
    }
    return 0;
}

/* Beginning and end of a text: the tokenizer's where it has them, else the family's. */
static struct chat_text mark(const struct tokenizer *t, int32_t id, const char *otherwise)
{
    struct chat_text text = chat_text_of(otherwise);

    if (t && id >= 0) {
        text.data = tokenizer_vocab(t)->texts[id].data;
        text.n = tokenizer_vocab(t)->texts[id].n;
    }
    return text;
}

static int render(struct chat_out *o, const struct chat_format *f, const struct tokenizer *t,
                  const struct chat *c)
{
    o->chat = c;
    if (c->n_messages < 1)
        return mk_error_set(o->err, MK_EINVAL, "a conversation without messages");
    for (int32_t i = 0; !o->rc && i < c->n_messages; i++)
        o->rc = check_message(&c->messages[i], i, o->err);
    if (!o->rc)
        o->rc = parse_tools(c, &o->tools, o->err);
    o->bos = mark(t, t ? tokenizer_vocab(t)->bos_id : -1, f->bos);
    o->eos = mark(t, t ? tokenizer_vocab(t)->eos_id : -1, f->eos);
    if (!o->rc)
        f->render(o, f, c);
    return o->rc;
}

static void release(struct chat_out *o)
{
    json_decref(o->tools);
    free(o->typed);
    free(o->answers);
}

int chat_render(const struct chat_format *f, const struct tokenizer *t, const struct chat *c,
                struct buf *out, struct mk_error *err)
{
    struct chat_out o = {.text = out, .err = err};
    int rc = render(&o, f, t, c);

    release(&o);
    return rc;
}

/* Both ends of every answer are cuts; ids in place of bytes go into `answers`. */
static int encode_cut(struct chat_out *o, const struct tokenizer *t, struct ids *out,
                      struct chat_answers *answers)
{
    size_t n = o->n_answers, *cuts = malloc((4 * n + 1) * sizeof *cuts), *at;
    int rc;

    answers->items = malloc((n + 1) * sizeof *answers->items);
    if (!cuts || !answers->items) {
        free(cuts);
        return mk_error_memory(o->err, (4 * n + 1) * sizeof *cuts);
    }
    at = cuts + 2 * n;
    for (size_t i = 0; i < n; i++) {
        cuts[2 * i] = o->answers[i].begin;
        cuts[2 * i + 1] = o->answers[i].end;
    }
    rc = tokenizer_encode_cut(t, o->text->data, o->text->n, o->typed, o->n_typed,
                              &(struct text_cuts){cuts, 2 * n, at}, out, o->err);
    for (size_t i = 0; !rc && i < n; i++)
        if (at[2 * i + 1] > at[2 * i])
            answers->items[answers->n++] =
                (struct chat_answer){at[2 * i], at[2 * i + 1], o->answers[i].message};
    free(cuts);
    return rc;
}

/* Some templates write calls only where there is no text beside them, some none at all: a prompt
 * is what the template says, but who learns answers must not lose them. */
static int check_calls(const struct chat_out *o, const struct chat_format *f, const struct chat *c)
{
    size_t n = 0;

    for (int32_t i = 0; i < c->n_messages; i++)
        n += (size_t)c->messages[i].n_tool_calls;
    return n == o->n_calls
               ? 0
               : mk_error_set(o->err, MK_EINVAL,
                              "the chat template %s writes %zu of %zu tool calls: give them "
                              "messages without text, or take another template",
                              f->name, o->n_calls, n);
}

/* answers may be NULL: then nothing is cut. */
static int encode(const struct chat_format *f, const struct tokenizer *t, const struct chat *c,
                  struct ids *out, struct chat_answers *answers, struct mk_error *err)
{
    struct buf text;
    struct chat_out o = {.text = &text, .err = err};
    int rc;

    buf_init(&text, MAX_PROMPT_BYTES);
    rc = render(&o, f, t, c);
    if (!rc && answers)
        rc = check_calls(&o, f, c);
    if (!rc && text.n)
        rc = answers ? encode_cut(&o, t, out, answers)
                     : tokenizer_encode_typed(t, text.data, text.n, o.typed, o.n_typed, out, err);
    release(&o);
    buf_release(&text);
    return rc;
}

int chat_encode(const struct chat_format *f, const struct tokenizer *t, const struct chat *c,
                struct ids *out, struct mk_error *err)
{
    return encode(f, t, c, out, NULL, err);
}

int chat_encode_answers(const struct chat_format *f, const struct tokenizer *t,
                        const struct chat *c, struct ids *out, struct chat_answers *answers,
                        struct mk_error *err)
{
    int rc;

    *answers = (struct chat_answers){0};
    rc = encode(f, t, c, out, answers, err);
    if (rc) {
        free(answers->items);
        *answers = (struct chat_answers){0};
    }
    return rc;
}

/* Templates say it only where an answer ends, so one is written. */
int chat_end_token(const struct chat_format *f, const struct tokenizer *t, int32_t *id,
                   struct mk_error *err)
{
    static const struct chat_message probe[] = {{.role = "user", .content = "?"},
                                                {.role = "assistant", .content = "."}};
    const struct chat c = {.messages = probe, .n_messages = 2};
    const struct vocab *v = tokenizer_vocab(t);
    struct chat_answers answers;
    struct ids ids = {0};
    int rc = chat_encode_answers(f, t, &c, &ids, &answers, err);

    *id = !rc && answers.n ? ids.data[answers.items[answers.n - 1].end - 1] : -1;
    if (!rc && (*id < 0 || !vocab_is_control(v, *id)))
        rc = mk_error_set(err, MK_EUNSUPPORTED,
                          "%s: has no token that ends an answer of the chat template %s: a model "
                          "could not learn to stop, take another tokenizer or template",
                          v->name, f->name);
    free(answers.items);
    ids_release(&ids);
    return rc;
}

/* The end of the prompt is the one place where this is written, so it is asked there. */
bool chat_format_starts_thinking(const struct chat_format *f, const struct chat *c)
{
    struct mk_error err = {0};
    struct chat_text end;
    struct buf text;
    bool starts;

    if (!f->thinks || !c->add_generation_prompt)
        return false;
    buf_init(&text, MAX_PROMPT_BYTES);
    if (chat_render(f, NULL, c, &text, &err))
        buf_clear(&text);
    end = chat_rstrip_newlines((struct chat_text){text.data, text.n});
    starts = end.n >= 7 && !memcmp(end.data + end.n - 7, "<think>", 7);
    buf_release(&text);
    return starts;
}
