/* recipe.c: YAML to values. libcyaml sees every scalar as text; the table says what it means. */
#include "train/recipe.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cyaml/cyaml.h>

#include "base/map_file.h"
#include "tokenizer/unicode.h"

#define MAX_RECIPE_BYTES ((size_t)1 << 20)
#define MAX_KEYS 192
#define MAX_SECTIONS 24
#define MAX_TEXT 4000 /* bytes of a value */
#define BASE_PATH 4096
#define BASE_KEY 0 /* in the table */

/* As in the file. */
struct point_text {
    char *tokens, *weight;
};
struct source_text {
    char *name, *path, *weight, *format;
    struct point_text *weights;
    uint64_t weights_count;
};
struct task_text {
    char *name, *weight, *level, *level_max;
};
struct teacher_text {
    char *path, *weight;
};
struct file_text {
    char *values[MAX_KEYS]; /* of the table's key i; NULL: not given */
    struct source_text *sources;
    uint64_t sources_count;
    struct teacher_text *teachers;
    uint64_t teachers_count;
    struct task_text *tasks;
    uint64_t tasks_count;
};

/* Owned by a recipe: what its strings point into. */
struct recipe_text {
    struct file_text *file, *base; /* of libcyaml; base: NULL when there is none */
    char *set[MAX_KEYS]; /* given with --set */
};

/* ---- The schema, made from the table -------------------------------------------------------- */

struct schema {
    cyaml_schema_field_t fields[MAX_SECTIONS][MAX_KEYS];
    cyaml_schema_field_t top[MAX_SECTIONS + MAX_KEYS];
    cyaml_schema_value_t root;
};

/* clang-format off */
static const cyaml_schema_field_t point_fields[] = {
    CYAML_FIELD_STRING_PTR("tokens", CYAML_FLAG_POINTER, struct point_text, tokens, 0, MAX_TEXT),
    CYAML_FIELD_STRING_PTR("weight", CYAML_FLAG_POINTER, struct point_text, weight, 0, MAX_TEXT),
    CYAML_FIELD_END
};
static const cyaml_schema_value_t point_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct point_text, point_fields),
};
static const cyaml_schema_field_t source_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct source_text, name, 0, MAX_TEXT),
    CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, struct source_text, path, 0, MAX_TEXT),
    CYAML_FIELD_STRING_PTR("weight", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct source_text, weight, 0, MAX_TEXT),
    CYAML_FIELD_SEQUENCE("weights", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct source_text,
                         weights, &point_value, 1, MIXTURE_MAX_POINTS),
    CYAML_FIELD_STRING_PTR("format", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct source_text, format, 0, MAX_TEXT),
    CYAML_FIELD_END
};
static const cyaml_schema_value_t source_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct source_text, source_fields),
};
static const cyaml_schema_field_t sources_field =
    CYAML_FIELD_SEQUENCE("sources", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_text,
                         sources, &source_value, 0, RECIPE_MAX_SOURCES);
static const cyaml_schema_field_t teacher_fields[] = {
    CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, struct teacher_text, path, 0, MAX_TEXT),
    CYAML_FIELD_STRING_PTR("weight", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct teacher_text, weight, 0, MAX_TEXT),
    CYAML_FIELD_END
};
static const cyaml_schema_value_t teacher_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct teacher_text, teacher_fields),
};
static const cyaml_schema_field_t teachers_field =
    CYAML_FIELD_SEQUENCE("teachers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_text,
                         teachers, &teacher_value, 0, RECIPE_MAX_TEACHERS);
static const cyaml_schema_field_t task_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct task_text, name, 0, MAX_TEXT),
    CYAML_FIELD_STRING_PTR("weight", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct task_text, weight, 0, MAX_TEXT),
    CYAML_FIELD_STRING_PTR("level", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct task_text, level, 0, MAX_TEXT),
    CYAML_FIELD_STRING_PTR("level_max", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct task_text, level_max, 0, MAX_TEXT),
    CYAML_FIELD_END
};
static const cyaml_schema_value_t task_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct task_text, task_fields),
};
static const cyaml_schema_field_t tasks_field =
    CYAML_FIELD_SEQUENCE("tasks", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct file_text,
                         tasks, &task_value, 0, RECIPE_MAX_TASKS);
/* clang-format on */

static cyaml_schema_field_t text_field(const char *name, int32_t index)
{
    return (cyaml_schema_field_t){.key = name,
                                  .value = {.type = CYAML_STRING,
                                            .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                                            .data_size = 1,
                                            .string = {.min = 0, .max = MAX_TEXT}},
                                  .data_offset = (uint32_t)(offsetof(struct file_text, values) +
                                                            (size_t)index * sizeof(char *))};
}

/* Sections are mappings inside the same struct. */
static void make_schema(struct schema *s)
{
    int32_t n, n_top = 0, section = -1, n_fields = 0;
    const struct recipe_key *keys = recipe_keys(&n);

    memset(s, 0, sizeof *s);
    for (int32_t i = 0; i < n; i++) {
        if (!*keys[i].section) {
            s->top[n_top++] = text_field(keys[i].name, i);
            continue;
        }
        if (section < 0 || strcmp(keys[i].section, keys[i - 1].section)) {
            section++;
            n_fields = 0;
            s->top[n_top++] =
                (cyaml_schema_field_t){.key = keys[i].section,
                                       .value = {.type = CYAML_MAPPING,
                                                 .flags = CYAML_FLAG_OPTIONAL,
                                                 .data_size = sizeof(struct file_text),
                                                 .mapping = {.fields = s->fields[section]}}};
            if (!strcmp(keys[i].section, "data"))
                s->fields[section][n_fields++] = sources_field;
            if (!strcmp(keys[i].section, "distill"))
                s->fields[section][n_fields++] = teachers_field;
        }
        s->fields[section][n_fields++] = text_field(keys[i].name, i);
    }
    s->top[n_top++] = tasks_field;
    s->root = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                     .flags = CYAML_FLAG_POINTER,
                                     .data_size = sizeof(struct file_text),
                                     .mapping = {.fields = s->top}};
}

/* ---- Loading -------------------------------------------------------------------------------- */

/* What libcyaml says on its way out: the first line is the reason, the next place is where. */
struct complaint {
    char text[300];
    int line;
};

static void listen(cyaml_log_t level, void *context, const char *format, va_list args)
{
    struct complaint *c = context;
    char text[300];
    const char *at;

    (void)level;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    at = strstr(text, "line: ");
    if (!*c->text)
        snprintf(c->text, sizeof c->text, "%s", strncmp(text, "Load: ", 6) ? text : text + 6);
    if (at && !c->line)
        c->line = (int)strtol(at + 6, NULL, 10);
}

static const cyaml_config_t *config(cyaml_config_t *c, struct complaint *said)
{
    *c = (cyaml_config_t){.log_fn = listen,
                          .log_ctx = said,
                          .mem_fn = cyaml_mem,
                          .log_level = CYAML_LOG_ERROR,
                          .flags = CYAML_CFG_NO_ALIAS};
    return c;
}

/* libcyaml knows where the value before stood; the key itself is there or below. */
static int line_of(const char *text, size_t n, const char *key, int from)
{
    int line = 1;

    for (size_t i = 0; i < n; line++) {
        size_t end = i;

        while (end < n && text[end] != '\n')
            end++;
        while (i < end && (text[i] == ' ' || text[i] == '-'))
            i++;
        if (line >= from && end - i > strlen(key) && !strncmp(text + i, key, strlen(key)) &&
            (text[i + strlen(key)] == ':' || text[i + strlen(key)] == ' '))
            return line;
        i = end + 1;
    }
    return from;
}

static int distance(const char *a, const char *b)
{
    int row[64], na = (int)strlen(a), nb = (int)strlen(b);

    if (na > 60 || nb > 60)
        return 60;
    for (int j = 0; j <= nb; j++)
        row[j] = j;
    for (int i = 1; i <= na; i++) {
        int diagonal = row[0];

        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[nb];
}

/* The key that was probably meant, or NULL. */
static const struct recipe_key *nearest(const char *name)
{
    int32_t n, best = 3;
    const struct recipe_key *keys = recipe_keys(&n), *found = NULL;

    for (int32_t i = 0; i < n; i++) {
        int d = distance(name, keys[i].name);

        if (d < best && d < (int)strlen(name)) {
            best = d;
            found = &keys[i];
        }
    }
    return found;
}

static int explain(const struct complaint *c, const char *text, size_t n, const char *path,
                   struct mk_error *err)
{
    static const char unexpected[] = "Unexpected key: ";
    const struct recipe_key *near;
    const char *key;

    if (strncmp(c->text, unexpected, sizeof unexpected - 1))
        return mk_error_set(err, MK_EFORMAT, "%s:%d: %s", path, c->line, c->text);
    key = c->text + sizeof unexpected - 1;
    near = nearest(key);
    if (near)
        return mk_error_set(err, MK_EFORMAT, "%s:%d: there is no key '%s', did you mean '%s%s%s'",
                            path, line_of(text, n, key, c->line), key, near->section,
                            *near->section ? "." : "", near->name);
    return mk_error_set(err, MK_EFORMAT, "%s:%d: there is no key '%s': docs/training.md lists them",
                        path, line_of(text, n, key, c->line), key);
}

static int load(struct file_text **file, const char *text, size_t n, const char *path,
                struct mk_error *err)
{
    struct schema schema;
    struct complaint said = {0};
    cyaml_config_t c;
    void *data = NULL;
    cyaml_err_t code;

    if (n > MAX_RECIPE_BYTES)
        return mk_error_set(err, MK_ELIMIT, "%s: too large for a recipe", path);
    make_schema(&schema);
    code = cyaml_load_data((const uint8_t *)text, n, config(&c, &said), &schema.root, &data, NULL);
    if (code == CYAML_ERR_OOM)
        return mk_error_memory(err, n);
    if (code != CYAML_OK) {
        if (!*said.text)
            snprintf(said.text, sizeof said.text, "%s", cyaml_strerror(code));
        return explain(&said, text, n, path, err);
    }
    *file = data;
    return 0;
}

/* ---- Values --------------------------------------------------------------------------------- */

static int bad(const char *path, const struct recipe_key *k, const char *value, const char *want,
               struct mk_error *err)
{
    return mk_error_set(err, MK_EINVAL, "%s: %s%s%s: '%.60s' is not %s", path, k->section,
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

static int put_number(const struct recipe_key *k, const char *value, const char *path, void *at,
                      struct mk_error *err)
{
    char want[120];
    double x;

    snprintf(want, sizeof want, "%s number from %.10g to %.10g",
             k->kind == RECIPE_INT ? "a whole" : "a", k->min, k->max);
    if (read_number(value, &x) || x < k->min || x > k->max ||
        (k->kind == RECIPE_INT && x != floor(x)))
        return bad(path, k, value, want, err);
    if (k->kind == RECIPE_INT)
        *(int64_t *)at = (int64_t)x;
    else
        *(double *)at = x;
    return 0;
}

static int put_choice(const struct recipe_key *k, const char *value, const char *path, int64_t *at,
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
    return bad(path, k, value, want, err);
}

static int put(struct recipe *r, const struct recipe_key *k, const char *value, const char *path,
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
                                                      : bad(path, k, value, "true or false", err);
    case RECIPE_CHOICE:
        return put_choice(k, value, path, at, err);
    default:
        return put_number(k, value, path, at, err);
    }
}

/* `weight` and `weights` of one source; without either it is 1 throughout. */
static int put_weights(struct recipe_source *out, const struct source_text *s, const char *path,
                       struct mk_error *err)
{
    static const struct recipe_key weight = {
        "data.sources", "weight", RECIPE_REAL, 0, 0, 1e9, "1", NULL, NULL};
    static const struct recipe_key tokens = {
        "data.sources", "tokens", RECIPE_INT, 0, 0, 9e15, "0", NULL, NULL};

    if (s->weight && s->weights_count)
        return mk_error_set(err, MK_EINVAL,
                            "%s: data.sources: %s has both weight and weights: give one of them",
                            path, out->name);
    if (!s->weights_count) {
        out->points[0] = (struct mixture_point){0, 1};
        out->n_points = 1;
        return s->weight ? put_number(&weight, s->weight, path, &out->points[0].weight, err) : 0;
    }
    for (uint64_t i = 0; i < s->weights_count; i++) {
        struct mixture_point *p = &out->points[i];

        if (put_number(&tokens, s->weights[i].tokens, path, &p->tokens, err) ||
            put_number(&weight, s->weights[i].weight, path, &p->weight, err))
            return err->code;
        if (i && p->tokens <= p[-1].tokens)
            return mk_error_set(err, MK_EINVAL,
                                "%s: data.sources: the tokens of %s's weights must ascend", path,
                                out->name);
    }
    out->n_points = (int32_t)s->weights_count;
    return 0;
}

static int put_sources(struct recipe *r, const struct file_text *f, const char *path,
                       struct mk_error *err)
{
    static const struct recipe_key format = {"data.sources",    "format", RECIPE_CHOICE, 0, 0, 0,
                                             "", "text|chat|pairs", NULL};

    r->data.n_sources = (int32_t)f->sources_count;
    for (int32_t i = 0; i < r->data.n_sources; i++) {
        const struct source_text *s = &f->sources[i];
        struct recipe_source *out = &r->data.sources[i];
        const char *slash = strrchr(s->path, '/');

        *out = (struct recipe_source){.name = s->name && *s->name ? s->name
                                              : slash             ? slash + 1
                                                                  : s->path,
                                      .path = s->path,
                                      .format = r->data.format};
        if (strchr(out->name, '/') || *out->name == '.' || !*out->name)
            return mk_error_set(err, MK_EINVAL, "%s: data.sources: '%s' cannot be a source's name",
                                path, out->name);
        for (int32_t j = 0; j < i; j++)
            if (!strcmp(out->name, r->data.sources[j].name))
                return mk_error_set(err, MK_EINVAL,
                                    "%s: data.sources: two sources have the name '%s'", path,
                                    out->name);
        if (put_weights(out, s, path, err) ||
            (s->format && put_choice(&format, s->format, path, &out->format, err)))
            return err->code;
    }
    return 0;
}

static int put_teachers(struct recipe *r, const struct file_text *f, const char *path,
                        struct mk_error *err)
{
    static const struct recipe_key weight = {
        "distill.teachers", "weight", RECIPE_REAL, 0, 1e-6, 1e6, "1", NULL, NULL};

    r->distill.n_teachers = (int32_t)f->teachers_count;
    for (int32_t i = 0; i < r->distill.n_teachers; i++) {
        struct recipe_teacher *out = &r->distill.teachers[i];

        *out = (struct recipe_teacher){.path = f->teachers[i].path, .weight = 1};
        if (f->teachers[i].weight &&
            put_number(&weight, f->teachers[i].weight, path, &out->weight, err))
            return err->code;
    }
    return 0;
}

static int put_tasks(struct recipe *r, const struct file_text *f, const char *path,
                     struct mk_error *err)
{
    static const struct recipe_key weight = {
        "tasks", "weight", RECIPE_REAL, 0, 0, 1e9, "1", NULL, NULL};
    static const struct recipe_key level = {
        "tasks", "level", RECIPE_INT, 0, 0, 1000, "0", NULL, NULL};

    r->n_tasks = (int32_t)f->tasks_count;
    for (int32_t i = 0; i < r->n_tasks; i++) {
        const struct task_text *t = &f->tasks[i];
        struct recipe_task *out = &r->tasks[i];

        *out = (struct recipe_task){.name = t->name, .weight = 1};
        if ((t->weight && put_number(&weight, t->weight, path, &out->weight, err)) ||
            (t->level && put_number(&level, t->level, path, &out->level, err)))
            return err->code;
        out->level_max = out->level;
        if (t->level_max && put_number(&level, t->level_max, path, &out->level_max, err))
            return err->code;
        if (out->level_max < out->level)
            return mk_error_set(err, MK_EINVAL, "%s: tasks: %s has level_max below level", path,
                                out->name);
        for (int32_t j = 0; j < i; j++)
            if (!strcmp(out->name, r->tasks[j].name))
                return mk_error_set(err, MK_EINVAL, "%s: tasks: %s stands there twice", path,
                                    out->name);
    }
    return 0;
}

/* "section.key=value" */
static int apply_set(struct recipe_text *t, const char *set, struct mk_error *err)
{
    const char *equals = strchr(set, '=');
    size_t n_name = equals ? (size_t)(equals - set) : 0;
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    for (int32_t i = 0; equals && i < n; i++) {
        char name[100];

        snprintf(name, sizeof name, "%s%s%s", keys[i].section, *keys[i].section ? "." : "",
                 keys[i].name);
        if (strlen(name) != n_name || memcmp(name, set, n_name))
            continue;
        free(t->set[i]);
        t->set[i] = strdup(equals + 1);
        return t->set[i] ? 0 : mk_error_memory(err, strlen(equals));
    }
    if (!equals)
        return mk_error_set(err, MK_EINVAL, "--set %s: expected section.key=value", set);
    return mk_error_set(err, MK_EINVAL,
                        "--set %s: there is no such key: docs/training.md lists them", set);
}

/* ---- Whole recipes -------------------------------------------------------------------------- */

static int check(const struct recipe *r, const char *path, struct mk_error *err)
{
    if (!*r->model.config == !*r->model.from)
        return mk_error_set(err, MK_EINVAL,
                            "%s: give one of model.config (a new model) and model.from (one to go "
                            "on with)",
                            path);
    if (r->lora.rank && (!*r->model.from || strcmp(r->model.learn, "*")))
        return mk_error_set(err, MK_EINVAL,
                            *r->model.from ? "%s: lora.rank: adapters learn and nothing else does: "
                                             "leave model.learn out"
                                           : "%s: lora.rank: adapters change a model that is "
                                             "there: give model.from",
                            path);
    if (r->data.n_sources < 1 && r->n_tasks < 1)
        return mk_error_set(err, MK_EINVAL, "%s: data.sources is empty: name a text to learn from",
                            path);
    for (int32_t i = 0; r->reward.head && i < r->data.n_sources; i++)
        if (r->data.sources[i].format != RECIPE_FORMAT_PAIRS)
            return mk_error_set(err, MK_EINVAL,
                                "%s: reward.head: a head learns from pairs: data.format: pairs",
                                path);
    if (r->reward.head && r->lora.rank)
        return mk_error_set(err, MK_EINVAL,
                            "%s: reward.head: not with lora.rank: name what learns beside the head "
                            "in model.learn",
                            path);
    for (int32_t i = 0; r->distill.n_teachers && i < r->data.n_sources; i++)
        if (r->data.sources[i].format == RECIPE_FORMAT_PAIRS)
            return mk_error_set(err, MK_EINVAL,
                                "%s: distill.teachers: not with pairs, which teach by themselves",
                                path);
    if (r->train.batch_first > r->train.batch)
        return mk_error_set(err, MK_EINVAL, "%s: train.batch_first is above train.batch", path);
    return 0;
}

/* The value of key i as text and the file that it came from; NULL when it has its default. */
static const char *given(const struct recipe_text *t, int32_t i, const char **path,
                         const char *base_path)
{
    if (t->set[i])
        return t->set[i];
    if (t->file && t->file->values[i])
        return t->file->values[i];
    if (!t->base || !t->base->values[i])
        return NULL;
    *path = base_path;
    return t->base->values[i];
}

/* A list of this file stands for that of its base. */
static int put_lists(struct recipe *r, const char *path, const char *base_path,
                     struct mk_error *err)
{
    const struct file_text *file = r->text->file, *base = r->text->base;

    if (file && (put_sources(r, file, path, err) || put_teachers(r, file, path, err) ||
                 put_tasks(r, file, path, err)))
        return err->code;
    if (base && !r->distill.n_teachers && put_teachers(r, base, base_path, err))
        return err->code;
    if (base && !r->data.n_sources && put_sources(r, base, base_path, err))
        return err->code;
    if (base && !r->n_tasks && put_tasks(r, base, base_path, err))
        return err->code;
    return 0;
}

static int resolve(struct recipe *r, const char *path, const char *base_path, struct mk_error *err)
{
    const struct recipe_text *t = r->text;
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    for (int32_t i = 0; i < n; i++) {
        const char *from = path, *value = given(t, i, &from, base_path);

        if (put(r, &keys[i], value ? value : keys[i].standard, from, err))
            return err->code;
    }
    if (put_lists(r, path, base_path, err))
        return err->code;
    return check(r, path, err);
}

static int apply_sets(struct recipe_text *t, const char *const *sets, int32_t n_sets,
                      struct mk_error *err)
{
    for (int32_t i = 0; i < n_sets; i++)
        if (apply_set(t, sets[i], err))
            return err->code;
    return 0;
}

static int begin(struct recipe *r, struct mk_error *err)
{
    *r = (struct recipe){.text = calloc(1, sizeof *r->text)};
    return r->text ? 0 : mk_error_memory(err, sizeof *r->text);
}

int recipe_parse(struct recipe *r, const char *text, size_t n, const char *path,
                 const char *const *sets, int32_t n_sets, struct mk_error *err)
{
    if (begin(r, err))
        return err->code;
    if (!load(&r->text->file, text, n, path, err) && !apply_sets(r->text, sets, n_sets, err) &&
        !resolve(r, path, path, err)) {
        if (!*r->base)
            return 0;
        mk_error_set(err, MK_EINVAL, "%s: base: there is no folder to look for '%s' in", path,
                     r->base);
    }
    recipe_release(r);
    return err->code;
}

static int load_file(struct file_text **file, const char *path, struct mk_error *err)
{
    struct map_file m;
    int code;

    if (map_file_open(&m, path, err))
        return err->code;
    code = load(file, m.data ? (const char *)m.data : "", m.bytes, path, err);
    map_file_close(&m);
    return code;
}

/* The recipe that this one is based on: of the same folder, so that paths mean the same in both. */
static int load_base(struct recipe_text *t, const char *path, char base_path[BASE_PATH],
                     struct mk_error *err)
{
    const char *slash = strrchr(path, '/'), *name = given(t, BASE_KEY, &path, path);

    *base_path = '\0';
    if (!name || !*name)
        return 0;
    if (strchr(name, '/'))
        return mk_error_set(err, MK_EINVAL, "%s: base: '%s' is not in the same folder", path, name);
    if (snprintf(base_path, BASE_PATH, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, name) >=
        BASE_PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", path);
    if (load_file(&t->base, base_path, err))
        return err->code;
    if (t->base->values[BASE_KEY] && *t->base->values[BASE_KEY])
        return mk_error_set(err, MK_EINVAL, "%s: base: %s is based on another one itself", path,
                            base_path);
    return 0;
}

int recipe_read(struct recipe *r, const char *path, const char *const *sets, int32_t n_sets,
                struct mk_error *err)
{
    char base_path[BASE_PATH];

    if (begin(r, err))
        return err->code;
    if (!load_file(&r->text->file, path, err) && !apply_sets(r->text, sets, n_sets, err) &&
        !load_base(r->text, path, base_path, err) && !resolve(r, path, base_path, err)) {
        r->base = "";
        return 0;
    }
    recipe_release(r);
    return err->code;
}

void recipe_release(struct recipe *r)
{
    struct schema schema;
    struct complaint said = {0};
    cyaml_config_t c;

    if (!r->text)
        return;
    make_schema(&schema);
    if (r->text->file)
        cyaml_free(config(&c, &said), &schema.root, r->text->file, 0);
    if (r->text->base)
        cyaml_free(config(&c, &said), &schema.root, r->text->base, 0);
    for (int32_t i = 0; i < MAX_KEYS; i++)
        free(r->text->set[i]);
    free(r->text);
    r->text = NULL;
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* What YAML lets stand as it is (YAML 1.1, 5.1); the rest is escaped. */
static bool is_printable(uint32_t c)
{
    return (c >= 0x20 && c < 0x7f) || c == 0x85 || (c >= 0xa0 && c < 0xd800) ||
           (c >= 0xe000 && c < 0xfffe && c != 0xfeff) || c >= 0x10000;
}

/* In double quotes. A byte that is no UTF-8, which --set may bring, is written as the character of
 * its number. */
static int put_quoted(struct buf *b, const char *text, struct mk_error *err)
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
static int put_real(struct buf *b, double x, struct mk_error *err)
{
    char text[32];

    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    return buf_append_string(b, text, err);
}

static int put_value(struct buf *b, const struct recipe *r, const struct recipe_key *k,
                     struct mk_error *err)
{
    const void *at = (const char *)r + k->offset;
    const char *choice = k->choices;

    switch (k->kind) {
    case RECIPE_INT:
        return buf_printf(b, err, "%lld", (long long)*(const int64_t *)at);
    case RECIPE_REAL:
        return put_real(b, *(const double *)at, err);
    case RECIPE_BOOL:
        return buf_append_string(b, *(const bool *)at ? "true" : "false", err);
    case RECIPE_CHOICE:
        for (int64_t i = 0; i < *(const int64_t *)at; i++)
            choice = strchr(choice, '|') + 1;
        return buf_printf(b, err, "%.*s", (int)strcspn(choice, "|"), choice);
    default:
        return put_quoted(b, *(const char *const *)at, err);
    }
}

static int put_points(struct buf *b, const struct recipe_source *s, struct mk_error *err)
{
    bool constant = s->n_points == 1 && s->points[0].tokens == 0;

    if (!constant && buf_append_string(b, "\n    weights:", err))
        return err->code;
    for (int32_t i = 0; i < s->n_points; i++) {
        if (!constant &&
            buf_printf(b, err, "\n    - tokens: %lld\n  ", (long long)s->points[i].tokens))
            return err->code;
        if (buf_append_string(b, constant ? "\n    weight: " : "    weight: ", err) ||
            put_real(b, s->points[i].weight, err))
            return err->code;
    }
    return buf_append_string(b, "\n", err);
}

static int put_source_list(struct buf *b, const struct recipe *r, struct mk_error *err)
{
    static const char *const formats[] = {"text", "chat", "pairs"};

    if (r->data.n_sources && buf_append_string(b, "  sources:\n", err))
        return err->code;
    for (int32_t i = 0; i < r->data.n_sources; i++) {
        const struct recipe_source *s = &r->data.sources[i];

        if (buf_append_string(b, "  - name: ", err) || put_quoted(b, s->name, err) ||
            buf_append_string(b, "\n    path: ", err) || put_quoted(b, s->path, err) ||
            put_points(b, s, err) || buf_printf(b, err, "    format: %s\n", formats[s->format]))
            return err->code;
    }
    return 0;
}

static int put_teacher_list(struct buf *b, const struct recipe *r, struct mk_error *err)
{
    if (r->distill.n_teachers && buf_append_string(b, "  teachers:\n", err))
        return err->code;
    for (int32_t i = 0; i < r->distill.n_teachers; i++)
        if (buf_append_string(b, "  - path: ", err) ||
            put_quoted(b, r->distill.teachers[i].path, err) ||
            buf_append_string(b, "\n    weight: ", err) ||
            put_real(b, r->distill.teachers[i].weight, err) || buf_append_string(b, "\n", err))
            return err->code;
    return 0;
}

static int put_task_list(struct buf *b, const struct recipe *r, struct mk_error *err)
{
    if (r->n_tasks && buf_append_string(b, "tasks:\n", err))
        return err->code;
    for (int32_t i = 0; i < r->n_tasks; i++) {
        const struct recipe_task *t = &r->tasks[i];

        if (buf_append_string(b, "- name: ", err) || put_quoted(b, t->name, err) ||
            buf_printf(b, err, "\n  weight: %.17g\n  level: %lld\n  level_max: %lld\n", t->weight,
                       (long long)t->level, (long long)t->level_max))
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
        if (inside && begins && !strcmp(keys[i].section, "data") && put_source_list(out, r, err))
            return err->code;
        if (inside && begins && !strcmp(keys[i].section, "distill") &&
            put_teacher_list(out, r, err))
            return err->code;
        if (buf_printf(out, err, "%s%s: ", inside ? "  " : "", keys[i].name) ||
            put_value(out, r, &keys[i], err) || buf_append_string(out, "\n", err))
            return err->code;
    }
    return put_task_list(out, r, err);
}
