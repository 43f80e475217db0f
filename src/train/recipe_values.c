/* recipe_values.c: what stands in a file to what it means: numbers, choices, entries of lists. */
#include "train/recipe_text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int recipe_blame(const struct recipe_layer *from, int32_t line, struct mk_error *err)
{
    if (*from->part)
        mk_error_wrap(err, "%s", from->part);
    return line ? mk_error_wrap(err, "%s:%d", from->path, (int)line)
                : mk_error_wrap(err, "%s", from->path);
}

/* ---- Values --------------------------------------------------------------------------------- */

static int bad(const struct recipe_key *k, const char *value, const char *want,
               struct mk_error *err)
{
    return mk_error_set(err, MK_EINVAL, "%s%s%s: '%.60s' is not %s", k->section,
                        *k->section ? "." : "", k->name, value, want);
}

/* 1_000_000 and 2M are numbers people write. */
static int read_number(const char *value, double *out)
{
    static const struct {
        char letter;
        double factor;
    } units[] = {{'K', 1e3}, {'M', 1e6}, {'B', 1e9}, {'T', 1e12}};
    char digits[64], *end;
    size_t n = 0;

    for (; *value && n + 1 < sizeof digits; value++)
        if (*value != '_')
            digits[n++] = *value;
    digits[n] = '\0';
    if (*value || !n || isspace((unsigned char)*digits))
        return -1;
    errno = 0;
    *out = strtod(digits, &end);
    if (end == digits || errno || !isfinite(*out))
        return -1;
    for (size_t i = 0; *end && i < sizeof units / sizeof *units; i++)
        if (*end == units[i].letter) {
            *out *= units[i].factor;
            end++;
            break;
        }
    return *end ? -1 : 0;
}

static int put_number(const struct recipe_key *k, const char *value, void *at,
                      struct mk_error *err)
{
    const char *kind = k->kind == RECIPE_INT ? "a whole" : "a";
    char want[120];
    double x;

    if (k->max >= RECIPE_NO_LIMIT)
        snprintf(want, sizeof want, "%s number, %.10g or more", kind, k->min);
    else
        snprintf(want, sizeof want, "%s number from %.10g to %.10g", kind, k->min, k->max);
    if (read_number(value, &x) || x < k->min || x > k->max ||
        (k->kind == RECIPE_INT && x != floor(x)))
        return bad(k, value, want, err);
    if (k->kind == RECIPE_INT)
        *(int64_t *)at = (int64_t)x;
    else
        *(double *)at = x;
    return 0;
}

static int put_choice(const struct recipe_key *k, const char *value, int64_t *at,
                      struct mk_error *err)
{
    char want[200];
    size_t n = strlen(value);
    int64_t index = 0;

    for (const char *c = k->choices; *c; index++) {
        size_t len = strcspn(c, "|");

        if (len == n && !memcmp(c, value, n)) {
            *at = index;
            return 0;
        }
        c += len + (c[len] == '|');
    }
    snprintf(want, sizeof want, "one of %s", k->choices);
    return bad(k, value, want, err);
}

int recipe_put(struct recipe *r, const struct recipe_key *k, const char *value,
               struct mk_error *err)
{
    void *at = (char *)r + k->offset;

    switch (k->kind) {
    case RECIPE_TEXT:
        *(const char **)at = value;
        return 0;
    case RECIPE_BOOL:
        *(bool *)at = !strcmp(value, "true");
        return *(bool *)at || !strcmp(value, "false") ? 0
                                                      : bad(k, value, "true or false", err);
    case RECIPE_CHOICE:
        return put_choice(k, value, at, err);
    default:
        return put_number(k, value, at, err);
    }
}

/* ---- Entries of lists ----------------------------------------------------------------------- */

/* `weights` of one source. */
static int put_points(struct recipe_source *out, const struct source_text *s,
                      const struct recipe_layer *from, struct mk_error *err)
{
    static const struct recipe_key weight = {
        "data.sources", "weight", RECIPE_REAL, 0, 0, 1e9, "1", NULL, NULL};
    static const struct recipe_key tokens = {
        "data.sources", "tokens", RECIPE_INT, 0, 0, RECIPE_NO_LIMIT, "0", NULL, NULL};

    out->n_points = (int32_t)s->weights_count;
    for (int32_t i = 0; i < out->n_points; i++) {
        const struct point_text *t = &s->weights[i];
        struct mixture_point *p = &out->points[i];

        if (put_number(&tokens, t->tokens, &p->tokens, err) ||
            put_number(&weight, t->weight, &p->weight, err))
            return recipe_blame(from, t->line, err);
        if (i && p->tokens <= p[-1].tokens) {
            mk_error_set(err, MK_EINVAL, "data.sources: the tokens of %s's weights must ascend",
                         out->name);
            return recipe_blame(from, t->line, err);
        }
    }
    return 0;
}

/* The name of a source that says none. */
static const char *source_name(const struct source_text *s)
{
    const char *slash = strrchr(s->path, '/');

    if (s->name && *s->name)
        return s->name;
    if (slash)
        return slash + 1;
    return strncmp(s->path, "stage:", 6) ? s->path : s->path + 6; /* see pipeline.h */
}

/* Source i, but for `weights`; without these and `weight` it counts 1 throughout. */
static int put_source(struct recipe *r, int32_t i, const struct source_text *s,
                      struct mk_error *err)
{
    static const struct recipe_key format = {"data.sources",    "format", RECIPE_CHOICE, 0, 0, 0,
                                             "", "text|chat|pairs", NULL};
    static const struct recipe_key weight = {
        "data.sources", "weight", RECIPE_REAL, 0, 0, 1e9, "1", NULL, NULL};
    struct recipe_source *out = &r->data.sources[i];

    *out = (struct recipe_source){.name = source_name(s),
                                  .path = s->path,
                                  .n_points = 1,
                                  .points[0].weight = 1,
                                  .format = r->data.format};
    if (strchr(out->name, '/') || *out->name == '.' || !*out->name)
        return mk_error_set(err, MK_EINVAL, "data.sources: '%s' cannot be a source's name",
                            out->name);
    for (int32_t j = 0; j < i; j++)
        if (!strcmp(out->name, r->data.sources[j].name))
            return mk_error_set(err, MK_EINVAL, "data.sources: two sources have the name '%s'",
                                out->name);
    if (s->weight && s->weights_count)
        return mk_error_set(err, MK_EINVAL,
                            "data.sources: %s has both weight and weights: give one of them",
                            out->name);
    if (s->weight && put_number(&weight, s->weight, &out->points[0].weight, err))
        return err->code;
    return s->format ? put_choice(&format, s->format, &out->format, err) : 0;
}

static int put_sources(struct recipe *r, const struct recipe_layer *from, struct mk_error *err)
{
    r->data.n_sources = (int32_t)from->file->sources_count;
    for (int32_t i = 0; i < r->data.n_sources; i++) {
        const struct source_text *s = &from->file->sources[i];

        if (put_source(r, i, s, err))
            return recipe_blame(from, s->line, err);
        if (s->weights_count && put_points(&r->data.sources[i], s, from, err))
            return err->code;
    }
    return 0;
}

static int put_teachers(struct recipe *r, const struct recipe_layer *from, struct mk_error *err)
{
    static const struct recipe_key weight = {
        "distill.teachers", "weight", RECIPE_REAL, 0, 1e-6, 1e6, "1", NULL, NULL};

    r->distill.n_teachers = (int32_t)from->file->teachers_count;
    for (int32_t i = 0; i < r->distill.n_teachers; i++) {
        const struct teacher_text *t = &from->file->teachers[i];
        struct recipe_teacher *out = &r->distill.teachers[i];

        *out = (struct recipe_teacher){.path = t->path, .weight = 1};
        if (t->weight && put_number(&weight, t->weight, &out->weight, err))
            return recipe_blame(from, t->line, err);
    }
    return 0;
}

/* Of the documents of a corpus that have a thought of each kind. */
static int put_shares(struct recipe_task *out, const struct task_text *t, struct mk_error *err)
{
    static const struct recipe_key share = {
        "tasks", "scratchpad, search and impatient", RECIPE_REAL, 0, 0, 1, "0", NULL, NULL};

    if ((t->scratchpad && put_number(&share, t->scratchpad, &out->scratchpad, err)) ||
        (t->search && put_number(&share, t->search, &out->search, err)) ||
        (t->impatient && put_number(&share, t->impatient, &out->impatient, err)))
        return err->code;
    if (out->scratchpad + out->search + out->impatient > 1)
        return mk_error_set(err, MK_EINVAL, "tasks: the shares of %s are more than 1", out->name);
    return 0;
}

/* Task i. */
static int put_task(struct recipe *r, int32_t i, const struct task_text *t, struct mk_error *err)
{
    static const struct recipe_key weight = {
        "tasks", "weight", RECIPE_REAL, 0, 0, 1e9, "1", NULL, NULL};
    static const struct recipe_key level = {
        "tasks", "level", RECIPE_INT, 0, 0, 1000, "0", NULL, NULL};
    struct recipe_task *out = &r->tasks[i];

    *out = (struct recipe_task){.name = t->name, .weight = 1};
    if ((t->weight && put_number(&weight, t->weight, &out->weight, err)) ||
        (t->level && put_number(&level, t->level, &out->level, err)) || put_shares(out, t, err))
        return err->code;
    out->level_max = out->level;
    if (t->level_max && put_number(&level, t->level_max, &out->level_max, err))
        return err->code;
    if (out->level_max < out->level)
        return mk_error_set(err, MK_EINVAL, "tasks: %s has level_max below level", out->name);
    for (int32_t j = 0; j < i; j++)
        if (!strcmp(out->name, r->tasks[j].name))
            return mk_error_set(err, MK_EINVAL, "tasks: %s stands there twice", out->name);
    return 0;
}

static int put_tasks(struct recipe *r, const struct recipe_layer *from, struct mk_error *err)
{
    r->n_tasks = (int32_t)from->file->tasks_count;
    for (int32_t i = 0; i < r->n_tasks; i++)
        if (put_task(r, i, &from->file->tasks[i], err))
            return recipe_blame(from, from->file->tasks[i].line, err);
    return 0;
}

int recipe_put_lists(struct recipe *r, const struct recipe_layer *from, struct mk_error *err)
{
    if ((!r->data.n_sources && put_sources(r, from, err)) ||
        (!r->distill.n_teachers && put_teachers(r, from, err)) ||
        (!r->n_tasks && put_tasks(r, from, err)))
        return err->code;
    return 0;
}
