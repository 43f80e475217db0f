/* traces_state.c: a small JSON file, written beside and renamed. */
#include "distill/traces_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map_file.h"

int traces_state_init(struct traces_state *s, const char *path, const char *settings,
                      const char *teacher, struct mk_error *err)
{
    *s = (struct traces_state){.settings = json_loads(settings, 0, NULL)};
    if (snprintf(s->path, sizeof s->path, "%s.state", path) >= (int)sizeof s->path)
        return mk_error_set(err, MK_ELIMIT, "%.200s...: the path is too long", path);
    if (!json_is_object(s->settings) ||
        json_object_set_new(s->settings, "teacher", json_string(teacher)))
        return mk_error_set(err, MK_EINTERNAL, "%s: settings that are no JSON", path);
    return 0;
}

void traces_state_release(struct traces_state *s)
{
    json_decref(s->settings);
    s->settings = NULL;
}

/* ---- The file ------------------------------------------------------------------------------- */

static int compare_settings(const struct traces_state *s, const json_t *were, struct mk_error *err)
{
    const char *key;
    json_t *now;

    json_object_foreach(s->settings, key, now) {
        const json_t *was = json_object_get(were, key);
        char *a, *b;

        if (was && json_equal(was, now))
            continue;
        a = json_dumps(was, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        b = json_dumps(now, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        mk_error_set(err, MK_EINVAL,
                     "%s: the file was begun with %s %.150s, now it is %.150s: choose another "
                     "file, or the same options",
                     s->path, key, a ? a : "none", b ? b : "none");
        free(a);
        free(b);
        return err->code;
    }
    return 0;
}

static bool take_count(const json_t *from, const char *key, int64_t *to)
{
    const json_t *value = json_object_get(from, key);

    *to = json_integer_value(value);
    return json_is_integer(value) && *to >= 0;
}

static bool take_all(struct traces_state *s, const json_t *root)
{
    struct traces_counts *c = &s->counts;
    const json_t *counts = json_object_get(root, "counts");
    const json_t *faults = json_object_get(root, "faults");

    if (!take_count(root, "bytes", &s->bytes) ||
        !take_count(counts, "questions", &c->n_questions) ||
        !take_count(counts, "answers", &c->n_answers) ||
        !take_count(counts, "solved", &c->n_solved) || !take_count(counts, "kept", &c->n_kept) ||
        !take_count(counts, "tokens", &c->n_tokens))
        return false;
    for (int i = 0; i < KEEP_N_FAULTS; i++)
        if (!take_count(faults, keep_fault_name(i), &c->n_of_fault[i]))
            return false;
    return true;
}

int traces_state_read(struct traces_state *s, bool *found, struct mk_error *err)
{
    struct map_file file;
    json_error_t at;
    json_t *root;
    int code;

    *found = access(s->path, F_OK) == 0;
    if (!*found)
        return 0;
    if (map_file_open(&file, s->path, err))
        return err->code;
    root = json_loadb((const char *)file.data, file.bytes, JSON_REJECT_DUPLICATES, &at);
    map_file_close(&file);
    if (!root)
        return mk_error_set(err, MK_EFORMAT, "%s: line %d: %s", s->path, at.line, at.text);
    code = compare_settings(s, json_object_get(root, "settings"), err);
    if (!code && !take_all(s, root))
        code = mk_error_set(err, MK_EFORMAT, "%s: is damaged: a count is missing", s->path);
    json_decref(root);
    return code;
}

int traces_state_write(const struct traces_state *s, struct mk_error *err)
{
    const struct traces_counts *c = &s->counts;
    json_t *faults = json_object(), *root;
    char *text;
    int code;

    for (int i = 0; i < KEEP_N_FAULTS; i++)
        json_object_set_new(faults, keep_fault_name(i), json_integer(c->n_of_fault[i]));
    root = json_pack("{s:O, s:I, s:{s:I, s:I, s:I, s:I, s:I}, s:o}", "settings", s->settings,
                     "bytes", (json_int_t)s->bytes, "counts", "questions",
                     (json_int_t)c->n_questions, "answers", (json_int_t)c->n_answers, "solved",
                     (json_int_t)c->n_solved, "kept", (json_int_t)c->n_kept, "tokens",
                     (json_int_t)c->n_tokens, "faults", faults);
    text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(root);
    if (!text)
        return mk_error_memory(err, 1 << 16);
    code = write_file(s->path, text, strlen(text), err);
    free(text);
    return code;
}
