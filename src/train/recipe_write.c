/* recipe_write.c: a recipe as YAML that reads back to it. */
#include "train/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/unicode.h"

/* What YAML lets stand as it is (YAML 1.1, 5.1); the rest is escaped. */
static bool is_printable(uint32_t c)
{
    return (c >= 0x20 && c < 0x7f) || c == 0x85 || (c >= 0xa0 && c < 0xd800) ||
           (c >= 0xe000 && c < 0xfffe && c != 0xfeff) || c >= 0x10000;
}

/* In double quotes. A byte that is no UTF-8, which --set may bring, is written as the character of
 * its number. */
static int write_quoted(struct buf *b, const char *text, struct mk_error *err)
{
    size_t left = strlen(text);
    int code = buf_append_string(b, "\"", err);

    while (left && !code) {
        struct utf8_char c = utf8_at((const unsigned char *)text, left);

        if (c.code == '"' || c.code == '\\')
            code = buf_printf(b, err, "\\%c", (int)c.code);
        else if (c.n == 1 && (unsigned char)*text >= 0x80)
            code = buf_printf(b, err, "\\x%02X", (unsigned char)*text);
        else if (!is_printable(c.code))
            code = buf_printf(b, err, "\\u%04X", (unsigned)c.code);
        else
            code = buf_append(b, text, (size_t)c.n, err);
        text += c.n;
        left -= (size_t)c.n;
    }
    return code ? code : buf_append_string(b, "\"", err);
}

/* The shortest decimal that reads back to the same number. */
static int write_real(struct buf *b, double x, struct mk_error *err)
{
    char text[32];

    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    return buf_append_string(b, text, err);
}

static int write_value(struct buf *b, const struct recipe *r, const struct recipe_key *k,
                     struct mk_error *err)
{
    const void *at = (const char *)r + k->offset;
    const char *choice = k->choices;

    switch (k->kind) {
    case RECIPE_INT:
        return buf_printf(b, err, "%lld", (long long)*(const int64_t *)at);
    case RECIPE_REAL:
        return write_real(b, *(const double *)at, err);
    case RECIPE_BOOL:
        return buf_append_string(b, *(const bool *)at ? "true" : "false", err);
    case RECIPE_CHOICE:
        for (int64_t i = 0; i < *(const int64_t *)at; i++)
            choice = strchr(choice, '|') + 1;
        return buf_printf(b, err, "%.*s", (int)strcspn(choice, "|"), choice);
    default:
        return write_quoted(b, *(const char *const *)at, err);
    }
}

static int write_points(struct buf *b, const struct recipe_source *s, struct mk_error *err)
{
    bool constant = s->n_points == 1 && s->points[0].tokens == 0;

    if (!constant && buf_append_string(b, "\n    weights:", err))
        return err->code;
    for (int32_t i = 0; i < s->n_points; i++) {
        if (!constant &&
            buf_printf(b, err, "\n    - tokens: %lld\n  ", (long long)s->points[i].tokens))
            return err->code;
        if (buf_append_string(b, constant ? "\n    weight: " : "    weight: ", err) ||
            write_real(b, s->points[i].weight, err))
            return err->code;
    }
    return buf_append_string(b, "\n", err);
}

static int write_source_list(struct buf *b, const struct recipe *r, struct mk_error *err)
{
    static const char *const formats[] = {"text", "chat", "pairs"};

    if (r->data.n_sources && buf_append_string(b, "  sources:\n", err))
        return err->code;
    for (int32_t i = 0; i < r->data.n_sources; i++) {
        const struct recipe_source *s = &r->data.sources[i];

        if (buf_append_string(b, "  - name: ", err) || write_quoted(b, s->name, err) ||
            buf_append_string(b, "\n    path: ", err) || write_quoted(b, s->path, err) ||
            write_points(b, s, err) || buf_printf(b, err, "    format: %s\n", formats[s->format]))
            return err->code;
    }
    return 0;
}

static int write_teacher_list(struct buf *b, const struct recipe *r, struct mk_error *err)
{
    if (r->distill.n_teachers && buf_append_string(b, "  teachers:\n", err))
        return err->code;
    for (int32_t i = 0; i < r->distill.n_teachers; i++)
        if (buf_append_string(b, "  - path: ", err) ||
            write_quoted(b, r->distill.teachers[i].path, err) ||
            buf_append_string(b, "\n    weight: ", err) ||
            write_real(b, r->distill.teachers[i].weight, err) || buf_append_string(b, "\n", err))
            return err->code;
    return 0;
}

static int write_share(struct buf *b, const char *name, double share, struct mk_error *err)
{
    return share > 0 ? buf_printf(b, err, "  %s: %.17g\n", name, share) : 0;
}

static int write_task_list(struct buf *b, const struct recipe *r, struct mk_error *err)
{
    if (r->n_tasks && buf_append_string(b, "tasks:\n", err))
        return err->code;
    for (int32_t i = 0; i < r->n_tasks; i++) {
        const struct recipe_task *t = &r->tasks[i];

        if (buf_append_string(b, "- name: ", err) || write_quoted(b, t->name, err) ||
            buf_printf(b, err, "\n  weight: %.17g\n  level: %lld\n  level_max: %lld\n", t->weight,
                       (long long)t->level, (long long)t->level_max) ||
            write_share(b, "scratchpad", t->scratchpad, err) ||
            write_share(b, "search", t->search, err) ||
            write_share(b, "impatient", t->impatient, err))
            return err->code;
    }
    return 0;
}

int recipe_write(const struct recipe *r, struct buf *out, struct mk_error *err)
{
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    for (int32_t i = 0; i < n; i++) {
        bool inside = *keys[i].section,
             begins = i == 0 || strcmp(keys[i].section, keys[i - 1].section);

        if (inside && begins && buf_printf(out, err, "%s:\n", keys[i].section))
            return err->code;
        if (inside && begins && !strcmp(keys[i].section, "data") && write_source_list(out, r, err))
            return err->code;
        if (inside && begins && !strcmp(keys[i].section, "distill") &&
            write_teacher_list(out, r, err))
            return err->code;
        if (buf_printf(out, err, "%s%s: ", inside ? "  " : "", keys[i].name) ||
            write_value(out, r, &keys[i], err) || buf_append_string(out, "\n", err))
            return err->code;
    }
    return write_task_list(out, r, err);
}
