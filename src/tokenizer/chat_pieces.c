/* chat_pieces.c: writing of prompts: text, which of it came from outside, JSON as in Python. */
#include "tokenizer/chat_pieces.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/unicode.h"

/* ---- text ------------------------------------------------------------------------------------ */

static void append(struct chat_out *o, const char *data, size_t n)
{
    if (!o->rc && n)
        o->rc = buf_append(o->text, data, n, o->err);
}

static bool in_answer(const struct chat_out *o)
{
    return o->n_answers && o->answers[o->n_answers - 1].end == 0;
}

/* What was appended from `begin` on came from outside. */
static void mark_typed(struct chat_out *o, size_t begin)
{
    if (o->rc || begin == o->text->n || (o->chat->answers_have_controls && in_answer(o)))
        return;
    if (o->n_typed && o->typed[o->n_typed - 1].end == begin) {
        o->typed[o->n_typed - 1].end = o->text->n;
        return;
    }
    if (o->n_typed == o->capacity) {
        size_t capacity = o->capacity ? o->capacity * 2 : 32;
        struct typed_span *typed = realloc(o->typed, capacity * sizeof *typed);

        if (!typed) {
            o->rc = mk_error_memory(o->err, capacity * sizeof *typed);
            return;
        }
        o->typed = typed;
        o->capacity = capacity;
    }
    o->typed[o->n_typed++] = (struct typed_span){begin, o->text->n};
}

void chat_put(struct chat_out *o, const char *literal)
{
    append(o, literal, strlen(literal));
}

void chat_put_text(struct chat_out *o, struct chat_text text)
{
    append(o, text.data, text.n);
}

void chat_say_text(struct chat_out *o, struct chat_text text)
{
    size_t begin = o->text->n;

    append(o, text.data, text.n);
    mark_typed(o, begin);
}

void chat_say(struct chat_out *o, const char *text)
{
    chat_say_text(o, chat_text_of(text));
}

void chat_say_call(struct chat_out *o, const struct chat_tool_call *call)
{
    chat_say(o, call->name);
    o->n_calls++;
}

void chat_answer_begin(struct chat_out *o, const struct chat_message *m)
{
    if (o->n_answers == o->answers_capacity) {
        size_t capacity = o->answers_capacity ? o->answers_capacity * 2 : 8;
        struct chat_answer_text *grown = realloc(o->answers, capacity * sizeof *grown);

        if (!grown) {
            o->rc = o->rc ? o->rc : mk_error_memory(o->err, capacity * sizeof *grown);
            return;
        }
        o->answers = grown;
        o->answers_capacity = capacity;
    }
    o->answers[o->n_answers++] =
        (struct chat_answer_text){o->text->n, 0, (int32_t)(m - o->chat->messages)};
}

void chat_answer_end(struct chat_out *o)
{
    if (!o->rc)
        o->answers[o->n_answers - 1].end = o->text->n;
}

void chat_refuse(struct chat_out *o, const char *why)
{
    if (!o->rc)
        o->rc = mk_error_set(o->err, MK_EINVAL, "%s", why);
}

/* ---- JSON as json.dumps(value, ensure_ascii=False) writes it --------------------------------- */

static void json_string_out(struct chat_out *o, const char *s, size_t n)
{
    static const char plain[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
    size_t done = 0;

    append(o, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        const char *at = c ? strchr(plain, c) : NULL;

        if (c >= 0x20 && !at)
            continue;
        append(o, s + done, i - done);
        done = i + 1;
        if (!o->rc)
            o->rc = at ? buf_printf(o->text, o->err, "\\%c", letters[at - plain])
                       : buf_printf(o->text, o->err, "\\u%04x", c);
    }
    append(o, s + done, n - done);
    append(o, "\"", 1);
}

/* Python's repr: the fewest digits that read back as the same number; an exponent below 1e-4 and
 * from 1e16 on. */
static void real_out(struct chat_out *o, double x)
{
    char digits[40];
    int exponent, precision = 0;

    do
        snprintf(digits, sizeof digits, "%.*e", precision, x);
    while (strtod(digits, NULL) != x && ++precision < 17);
    exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (o->rc)
        return;
    if (exponent < -4 || exponent >= 16)
        o->rc = buf_append_string(o->text, digits, o->err);
    else if (precision <= exponent)
        o->rc = buf_printf(o->text, o->err, "%.1f", x);
    else
        o->rc = buf_printf(o->text, o->err, "%.*f", precision - exponent, x);
}

/* A new line and the indent of this depth, where JSON is indented at all. */
static void line_out(struct chat_out *o, int depth)
{
    if (depth >= 0 && !o->rc)
        o->rc = buf_printf(o->text, o->err, "\n%*s", 4 * depth, "");
}

/* depth: of indentation; negative for all on one line. The parser bounds it. */
static void json_out(struct chat_out *o, const json_t *value, int depth)
{
    int inner = depth < 0 ? depth : depth + 1;
    const char *comma = depth < 0 ? ", " : ",", *key;
    json_t *item;
    size_t i = 0;

    if (json_is_object(value)) {
        append(o, "{", 1);
        json_object_foreach ((json_t *)value, key, item) {
            chat_put(o, i++ ? comma : "");
            line_out(o, inner);
            json_string_out(o, key, strlen(key));
            append(o, ": ", 2);
            json_out(o, item, inner);
        }
        if (i)
            line_out(o, depth);
        append(o, "}", 1);
    } else if (json_is_array(value)) {
        append(o, "[", 1);
        json_array_foreach (value, i, item) {
            chat_put(o, i ? comma : "");
            line_out(o, inner);
            json_out(o, item, inner);
        }
        if (json_array_size(value))
            line_out(o, depth);
        append(o, "]", 1);
    } else if (json_is_string(value)) {
        json_string_out(o, json_string_value(value), json_string_length(value));
    } else if (json_is_real(value)) {
        real_out(o, json_real_value(value));
    } else if (!json_is_integer(value)) {
        chat_put(o, json_is_null(value) ? "null" : json_is_true(value) ? "true" : "false");
    } else if (!o->rc) {
        o->rc = buf_printf(o->text, o->err, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    }
}

void chat_say_json(struct chat_out *o, const json_t *value)
{
    size_t begin = o->text->n;

    json_out(o, value, -1);
    mark_typed(o, begin);
}

void chat_say_json_indented(struct chat_out *o, const json_t *value)
{
    size_t begin = o->text->n;

    json_out(o, value, 0);
    mark_typed(o, begin);
}

void chat_say_json_string(struct chat_out *o, struct chat_text text)
{
    size_t begin = o->text->n;

    json_string_out(o, text.data, text.n);
    mark_typed(o, begin);
}

void chat_say_arguments(struct chat_out *o, const struct chat_tool_call *call)
{
    json_error_t where;
    json_t *value = json_loads(call->arguments, JSON_ALLOW_NUL | JSON_DECODE_ANY, &where);

    if (value)
        chat_say_json(o, value);
    else if (!o->rc)
        o->rc = mk_error_set(o->err, MK_EINVAL,
                             "the arguments of a call of %.60s are not JSON: line %d: %s",
                             call->name, where.line, where.text);
    json_decref(value);
}

/* ---- Python's string methods ----------------------------------------------------------------- */

bool chat_is(const struct chat_message *m, const char *role)
{
    return !strcmp(m->role, role);
}

struct chat_text chat_trim(struct chat_text t)
{
    while (t.n) {
        struct utf8_char c = utf8_at((const unsigned char *)t.data, t.n);

        if (!unicode_is_space(c.code))
            break;
        t.data += c.n;
        t.n -= (size_t)c.n;
    }
    while (t.n) {
        size_t begin = t.n - 1;

        while (begin && t.n - begin < 3 && ((unsigned char)t.data[begin] & 0xC0) == 0x80)
            begin--;
        if (!unicode_is_space(utf8_at((const unsigned char *)t.data + begin, t.n - begin).code))
            break;
        t.n = begin;
    }
    return t;
}

struct chat_text chat_lstrip_newlines(struct chat_text t)
{
    for (; t.n && *t.data == '\n'; t.data++)
        t.n--;
    return t;
}

struct chat_text chat_rstrip_newlines(struct chat_text t)
{
    while (t.n && t.data[t.n - 1] == '\n')
        t.n--;
    return t;
}

static const char *find(struct chat_text t, const char *mark)
{
    return t.n ? memmem(t.data, t.n, mark, strlen(mark)) : NULL;
}

bool chat_contains(struct chat_text t, const char *mark)
{
    return find(t, mark);
}

struct chat_text chat_before(struct chat_text t, const char *mark)
{
    const char *at = find(t, mark);

    return (struct chat_text){t.data, at ? (size_t)(at - t.data) : t.n};
}

struct chat_text chat_behind_first(struct chat_text t, const char *mark)
{
    const char *at = find(t, mark);

    if (at) {
        at += strlen(mark);
        t.n -= (size_t)(at - t.data);
        t.data = at;
    }
    return t;
}

struct chat_text chat_behind_last(struct chat_text t, const char *mark)
{
    while (chat_contains(t, mark))
        t = chat_behind_first(t, mark);
    return t;
}
