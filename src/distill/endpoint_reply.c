/* endpoint_reply.c: see endpoint_reply.h. */
#include "distill/endpoint_reply.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static json_t *load(const char *data, size_t n, json_error_t *at)
{
    json_t *root = n ? json_loadb(data, n, 0, at) : NULL;

    if (!n)
        snprintf(at->text, sizeof at->text, "it is empty");
    return root;
}

/* A member that is null is as good as none. */
static const json_t *string_of(const json_t *message, const char *key)
{
    const json_t *value = json_object_get(message, key);

    return json_is_string(value) && json_string_length(value) ? value : NULL;
}

static int take_text(const json_t *message, struct teacher_answer *a, struct arena *memory,
                     struct mk_error *err)
{
    const json_t *thought = string_of(message, "reasoning_content");
    const json_t *said = string_of(message, "content");
    const char *words, *parts[4] = {"<think>", "", "</think>", ""};
    size_t room = 1, at = 0;
    char *text;

    thought = thought ? thought : string_of(message, "reasoning");
    words = said ? json_string_value(said) : "";
    if (thought)
        parts[1] = json_string_value(thought);
    parts[3] = words;
    for (int i = thought ? 0 : 3; i < 4; i++)
        room += strlen(parts[i]);
    if (arena_take(memory, &text, room, 1, err))
        return err->code;
    for (int i = thought ? 0 : 3; i < 4; i++) {
        memcpy(text + at, parts[i], strlen(parts[i]));
        at += strlen(parts[i]);
    }
    text[at] = 0;
    a->text = text;
    a->n = at;
    return 0;
}

/* Log-probabilities are welcome where all of them are there. */
static int take_logprobs(const json_t *choice, struct teacher_answer *a, struct arena *memory,
                         struct mk_error *err)
{
    const json_t *list = json_object_get(json_object_get(choice, "logprobs"), "content");
    size_t n = json_array_size(list);
    float *to;

    if (!n || n > INT32_MAX)
        return 0;
    if (arena_take(memory, &to, n, sizeof *to, err))
        return err->code;
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_object_get(json_array_get(list, i), "logprob");

        if (!json_is_number(value))
            return 0;
        to[i] = (float)json_number_value(value);
    }
    a->logprobs = to;
    a->n_logprobs = (int32_t)n;
    return 0;
}

static int take_choice(const json_t *root, struct teacher_answer *a, struct arena *memory,
                       struct mk_error *err)
{
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    const json_t *message = json_object_get(choice, "message");
    const char *why = json_string_value(json_object_get(choice, "finish_reason"));
    json_int_t n_tokens;

    if (!json_is_object(message))
        return mk_error_set(err, MK_EFORMAT, "the reply has no choices[0].message");
    *a = (struct teacher_answer){.stopped = why && !strcmp(why, "stop")};
    if (take_logprobs(choice, a, memory, err) || take_text(message, a, memory, err))
        return err->code;
    n_tokens = json_integer_value(
        json_object_get(json_object_get(root, "usage"), "completion_tokens"));
    a->n_tokens = n_tokens > 0 && n_tokens <= INT32_MAX ? (int32_t)n_tokens : a->n_logprobs;
    return 0;
}

int endpoint_reply_read(const char *data, size_t n, struct teacher_answer *a,
                        struct arena *memory, struct mk_error *err)
{
    json_error_t at;
    json_t *root = load(data, n, &at);
    int code;

    if (!root)
        return mk_error_set(err, MK_EFORMAT, "the reply is no JSON: %s", at.text);
    code = take_choice(root, a, memory, err);
    json_decref(root);
    return code;
}

void endpoint_reply_error(const char *data, size_t n, char text[200])
{
    json_error_t at;
    json_t *root = load(data, n, &at);
    const json_t *error = json_object_get(root, "error");
    const char *said = json_string_value(
        json_object_get(json_is_object(error) ? error : root, "message"));

    if (json_is_string(error))
        said = json_string_value(error);
    snprintf(text, 200, "%.199s", said ? said : "");
    json_decref(root);
}
