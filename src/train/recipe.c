/* recipe.c: YAML to values. libcyaml sees every scalar as text; the table says what it means. */
#include "train/recipe_text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"
#include "base/nearest.h"
#include "tokenizer/unicode.h"

#define BASE_PATH 4096
#define BASE_KEY 0 /* in the table */

/* Owned by a recipe: what its strings point into. */
struct recipe_text {
    struct file_text *file, *base; /* of libcyaml; base: NULL when there is none */
    bool lent;                     /* file is a pipeline's */
    struct recipe_stage stage;
    char *set[RECIPE_MAX_KEYS]; /* given with --set */
};

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
    const char *kind = k->kind == RECIPE_INT ? "a whole" : "a";
    char want[120];
    double x;

    if (k->max >= RECIPE_NO_LIMIT)
        snprintf(want, sizeof want, "%s number, %.10g or more", kind, k->min);
    else
        snprintf(want, sizeof want, "%s number from %.10g to %.10g", kind, k->min, k->max);
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
        "data.sources", "tokens", RECIPE_INT, 0, 0, RECIPE_NO_LIMIT, "0", NULL, NULL};

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
        bool stage = !strncmp(s->path, "stage:", 6); /* see pipeline.h */

        *out = (struct recipe_source){.name = s->name && *s->name ? s->name
                                              : slash             ? slash + 1
                                              : stage             ? s->path + 6
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

/* Of the documents of a corpus that have a thought of each kind. */
static int put_shares(struct recipe_task *out, const struct task_text *t, const char *path,
                      struct mk_error *err)
{
    static const struct recipe_key share = {
        "tasks", "scratchpad, search and impatient", RECIPE_REAL, 0, 0, 1, "0", NULL, NULL};

    if ((t->scratchpad && put_number(&share, t->scratchpad, path, &out->scratchpad, err)) ||
        (t->search && put_number(&share, t->search, path, &out->search, err)) ||
        (t->impatient && put_number(&share, t->impatient, path, &out->impatient, err)))
        return err->code;
    if (out->scratchpad + out->search + out->impatient > 1)
        return mk_error_set(err, MK_EINVAL, "%s: tasks: the shares of %s are more than 1", path,
                            out->name);
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
        if (put_shares(out, t, path, err))
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

/* No key is called as the set begins: the one that was meant, if that can be told. */
static int unknown_set(const char *set, size_t n_name, struct mk_error *err)
{
    char given[100], names[RECIPE_MAX_KEYS][100];
    const char *full[RECIPE_MAX_KEYS];
    int32_t n, found;
    const struct recipe_key *keys = recipe_keys(&n);

    snprintf(given, sizeof given, "%.*s", (int)n_name, set);
    for (int32_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "%s%s%s", keys[i].section,
                 *keys[i].section ? "." : "", keys[i].name);
        full[i] = names[i];
    }
    if (!strcmp(given, "tasks") || !strcmp(given, "data.sources") ||
        !strcmp(given, "distill.teachers"))
        return mk_error_set(err, MK_EINVAL, "--set %s: a list: it can stand in a recipe alone",
                            set);
    found = nearest_word(given, full, n);
    for (int32_t i = 0; i < n && found < 0; i++)
        if (!strcmp(given, keys[i].name)) /* its section was left out */
            found = i;
    if (found >= 0)
        return mk_error_set(err, MK_EINVAL, "--set %s: there is no such key, did you mean %s", set,
                            full[found]);
    return mk_error_set(err, MK_EINVAL,
                        "--set %s: there is no such key: docs/training.md lists them", set);
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
    return unknown_set(set, n_name, err);
}

/* ---- Whole recipes -------------------------------------------------------------------------- */

static int check_model(const struct recipe *r, const char *path, struct mk_error *err)
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
    return 0;
}

static int check_reward(const struct recipe *r, const char *path, struct mk_error *err)
{
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
    return 0;
}

static int check_teachers(const struct recipe *r, const char *path, struct mk_error *err)
{
    for (int32_t i = 0; r->distill.n_teachers && i < r->data.n_sources; i++)
        if (r->data.sources[i].format == RECIPE_FORMAT_PAIRS)
            return mk_error_set(err, MK_EINVAL,
                                "%s: distill.teachers: not with pairs, which teach by themselves",
                                path);
    return 0;
}

/* What stages need, each kind its own. */
static int check_stage(const struct recipe *r, enum stage_kind kind, const char *path,
                       struct mk_error *err)
{
    bool asks = kind == STAGE_CORPUS || kind == STAGE_RL || kind == STAGE_SAMPLE;

    if (*r->out)
        return mk_error_set(err, MK_EINVAL, "%s: out: a stage's folder is in the pipeline's", path);
    if (asks && r->n_tasks < 1)
        return mk_error_set(err, MK_EINVAL, "%s: has no tasks: minke tasks lists them", path);
    if (!asks && r->data.n_sources < 1)
        return mk_error_set(err, MK_EINVAL, "%s: data.sources is empty: name what it learns from",
                            path);
    if (kind == STAGE_SAMPLE && !*r->model.from)
        return mk_error_set(err, MK_EINVAL, "%s: model.from: name the model that answers", path);
    if (kind == STAGE_REWARD && !r->reward.head)
        return mk_error_set(err, MK_EINVAL, "%s: reward.head: is what this kind of stage makes",
                            path);
    return 0;
}

static int check(const struct recipe *r, const char *path, struct mk_error *err)
{
    enum stage_kind kind = r->text->stage.kind;

    if (kind != STAGE_NONE && check_stage(r, kind, path, err))
        return err->code;
    if ((kind != STAGE_CORPUS && check_model(r, path, err)) || check_reward(r, path, err) ||
        check_teachers(r, path, err))
        return err->code;
    if (r->data.n_sources < 1 && r->n_tasks < 1)
        return mk_error_set(err, MK_EINVAL, "%s: data.sources is empty: name a text to learn from",
                            path);
    if (r->train.batch_first > r->train.batch)
        return mk_error_set(err, MK_EINVAL, "%s: train.batch_first is above train.batch", path);
    return 0;
}

/* A value as text, where it came from and on which line, or 0. */
struct given {
    const char *value, *path; /* value: NULL when the key has its default */
    int32_t line;
};

static struct given given(const struct recipe_text *t, int32_t i, const char *path,
                          const char *base_path)
{
    if (t->set[i])
        return (struct given){t->set[i], "--set", 0};
    if (t->file && t->file->values[i])
        return (struct given){t->file->values[i], path, t->file->lines[i]};
    if (t->base && t->base->values[i])
        return (struct given){t->base->values[i], base_path, t->base->lines[i]};
    return (struct given){NULL, path, 0};
}

/* What a stage's pipeline and kind say where its recipe does not. */
static const char *stage_value(const struct recipe_stage *s, const struct recipe_key *k)
{
    bool pairs = s->kind == STAGE_DPO || s->kind == STAGE_REWARD;

    if (!*k->section && !strcmp(k->name, "seed"))
        return s->seed;
    if (!*k->section && !strcmp(k->name, "threads"))
        return s->threads;
    if (!strcmp(k->section, "data") && !strcmp(k->name, "format"))
        return pairs ? "pairs" : s->kind == STAGE_SFT ? "chat" : NULL;
    if (!strcmp(k->section, "reward") && !strcmp(k->name, "head"))
        return s->kind == STAGE_REWARD ? "true" : NULL;
    return NULL;
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
        struct given g = given(t, i, path, base_path);
        const char *value = g.value ? g.value : stage_value(&t->stage, &keys[i]);
        char where[BASE_PATH + 16];

        if (g.line)
            snprintf(where, sizeof where, "%s:%d", g.path, (int)g.line);
        else
            snprintf(where, sizeof where, "%s", g.path);
        if (put(r, &keys[i], value ? value : keys[i].standard, where, err))
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
    if (!recipe_text_load(&r->text->file, text, n, path, err) &&
        !apply_sets(r->text, sets, n_sets, err) && !resolve(r, path, path, err)) {
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
    code = recipe_text_load(file, m.data ? (const char *)m.data : "", m.bytes, path, err);
    map_file_close(&m);
    return code;
}

/* The recipe that this one is based on: of the same folder, so that paths mean the same in both. */
static int load_base(struct recipe_text *t, const char *path, char base_path[BASE_PATH],
                     struct mk_error *err)
{
    const char *slash = strrchr(path, '/'), *name = given(t, BASE_KEY, path, path).value;

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

/* r->text->file is there. */
static int finish(struct recipe *r, const char *path, const char *const *sets, int32_t n_sets,
                  struct mk_error *err)
{
    char base_path[BASE_PATH];

    if (!apply_sets(r->text, sets, n_sets, err) && !load_base(r->text, path, base_path, err) &&
        !resolve(r, path, base_path, err)) {
        r->base = "";
        return 0;
    }
    recipe_release(r);
    return err->code;
}

int recipe_read(struct recipe *r, const char *path, const char *const *sets, int32_t n_sets,
                struct mk_error *err)
{
    if (begin(r, err))
        return err->code;
    if (load_file(&r->text->file, path, err)) {
        recipe_release(r);
        return err->code;
    }
    return finish(r, path, sets, n_sets, err);
}

int recipe_of_stage(struct recipe *r, struct file_text *file, const struct recipe_stage *stage,
                    const char *path, const char *const *sets, int32_t n_sets, struct mk_error *err)
{
    if (begin(r, err))
        return err->code;
    r->text->file = file;
    r->text->lent = true;
    r->text->stage = *stage;
    return finish(r, path, sets, n_sets, err);
}

void recipe_release(struct recipe *r)
{
    if (!r->text)
        return;
    if (!r->text->lent)
        recipe_text_free(r->text->file);
    recipe_text_free(r->text->base);
    for (int32_t i = 0; i < RECIPE_MAX_KEYS; i++)
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

static int put_share(struct buf *b, const char *name, double share, struct mk_error *err)
{
    return share > 0 ? buf_printf(b, err, "  %s: %.17g\n", name, share) : 0;
}

static int put_task_list(struct buf *b, const struct recipe *r, struct mk_error *err)
{
    if (r->n_tasks && buf_append_string(b, "tasks:\n", err))
        return err->code;
    for (int32_t i = 0; i < r->n_tasks; i++) {
        const struct recipe_task *t = &r->tasks[i];

        if (buf_append_string(b, "- name: ", err) || put_quoted(b, t->name, err) ||
            buf_printf(b, err, "\n  weight: %.17g\n  level: %lld\n  level_max: %lld\n", t->weight,
                       (long long)t->level, (long long)t->level_max) ||
            put_share(b, "scratchpad", t->scratchpad, err) ||
            put_share(b, "search", t->search, err) ||
            put_share(b, "impatient", t->impatient, err))
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
