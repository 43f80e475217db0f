/* vocab_config.c: tokenizer_config.json: which tokens begin and end a text, and the chat
 * template. */
#include <jansson.h>
#include <string.h>

#include "formats/vocab_build.h"

/* A token is named by a string, or by an object whose "content" is the string; null means none. */
static int read_token_name(const struct vocab *v, const json_t *config, const char *key,
                           int32_t *id, struct mk_error *err)
{
    const json_t *value = json_object_get(config, key);
    const char *name =
        json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    int32_t found;

    if (!name || !*name)
        return 0;
    found = vocab_search(v, name, strlen(name));
    if (found < 0)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: tokenizer_config.json: %s \"%.60s\" is not a token", v->name, key,
                            name);
    *id = found;
    return 0;
}

static void read_switch(const json_t *config, const char *key, bool *out)
{
    const json_t *value = json_object_get(config, key);

    if (json_is_boolean(value))
        *out = json_is_true(value);
}

/* One template, or a list of named ones of which "default" is meant for plain chat. */
static int read_template(struct vocab *v, const json_t *value, struct mk_error *err)
{
    const json_t *item, *chosen = value;
    size_t i;

    json_array_foreach(value, i, item)
        if (i == 0 || !strcmp(json_string_value(json_object_get(item, "name")) ?
                              json_string_value(json_object_get(item, "name")) : "", "default"))
            chosen = json_object_get(item, "template");
    if (!json_is_string(chosen))
        return 0;
    return vocab_copy_text(v, &v->chat_template, json_string_value(chosen),
                           json_string_length(chosen), err);
}

int vocab_read_config(struct vocab *v, const char *json, size_t bytes, struct mk_error *err)
{
    json_error_t at;
    json_t *config;
    int rc = vocab_json_check_config(json, bytes, err);

    if (rc)
        return mk_error_wrap(err, "%s: tokenizer_config.json", v->name);
    /* no integers: model_max_length may be 10^30 */
    config = json_loadb(json, bytes, JSON_DECODE_INT_AS_REAL, &at);
    if (!config)
        return mk_error_set(err, MK_EFORMAT, "%s: tokenizer_config.json: line %d: %s", v->name,
                            at.line, at.text);
    rc = read_token_name(v, config, "bos_token", &v->bos_id, err);
    if (!rc)
        rc = read_token_name(v, config, "eos_token", &v->eos_id, err);
    if (!rc)
        rc = read_token_name(v, config, "pad_token", &v->pad_id, err);
    if (!rc)
        rc = read_template(v, json_object_get(config, "chat_template"), err);
    if (!rc) {
        read_switch(config, "add_bos_token", &v->add_bos);
        read_switch(config, "add_eos_token", &v->add_eos);
    }
    json_decref(config);
    return rc;
}
