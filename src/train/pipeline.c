/* pipeline.c: stages, and what they say about one another. */
#include "train/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"
#include "train/recipe_text.h"

#define PATH 4096
#define MAX_SETS 64
#define MAX_REFERENCES (RECIPE_MAX_SOURCES + RECIPE_MAX_TEACHERS + 8)

static const char reference[] = "stage:";

const struct pipeline_stage *pipeline_find(const struct pipeline *p, const char *name)
{
    for (int32_t i = 0; i < p->n; i++)
        if (!strcmp(p->stages[i].name, name))
            return &p->stages[i];
    return NULL;
}

static bool writes_texts(enum stage_kind kind)
{
    return kind == STAGE_CORPUS || kind == STAGE_SAMPLE;
}

/* ---- References ----------------------------------------------------------------------------- */

/* A value that may name a stage, and what it asks of it. */
struct reference {
    const char **value;
    const char *section, *name; /* of its key */
    bool texts, reward_model;
};

static int list_references(struct recipe *r, struct reference list[MAX_REFERENCES])
{
    int n = 0;

    list[n++] = (struct reference){&r->model.from, "model", "from", false, false};
    list[n++] = (struct reference){&r->tokenizer.path, "tokenizer", "path", false, false};
    list[n++] = (struct reference){&r->rl.reward_model, "rl", "reward_model", false, true};
    for (int32_t i = 0; i < r->distill.n_teachers; i++)
        list[n++] = (struct reference){&r->distill.teachers[i].path, "distill", "teachers", false,
                                       false};
    for (int32_t i = 0; i < r->data.n_sources; i++)
        list[n++] = (struct reference){&r->data.sources[i].path, "data", "sources", true, false};
    return n;
}

/* The stage that a value names, by its number among the first n; NULL: it names none, *bad or not.
 * *rest: what stands behind the name. */
static const struct pipeline_stage *named(const struct pipeline *p, int32_t n, const char *value,
                                          const char **rest, bool *bad)
{
    const char *name = value + sizeof reference - 1;
    size_t len;

    *bad = false;
    if (strncmp(value, reference, sizeof reference - 1))
        return NULL;
    len = strcspn(name, "/");
    *rest = name + len;
    for (int32_t i = 0; i < n; i++)
        if (strlen(p->stages[i].name) == len && !memcmp(p->stages[i].name, name, len))
            return &p->stages[i];
    *bad = true;
    return NULL;
}

/* The value names a stage, but not one that is wanted there. */
static int check_reference(const struct reference *r, const struct pipeline_stage *of,
                           struct mk_error *err)
{
    if (writes_texts(of->kind) != r->texts)
        return mk_error_set(err, MK_EINVAL, "%s.%s: stage %s makes %s, a %s is wanted", r->section,
                            r->name, of->name, r->texts ? "a model" : "texts",
                            r->texts ? "text" : "model");
    if (r->reward_model && of->kind != STAGE_REWARD)
        return mk_error_set(err, MK_EINVAL,
                            "%s.%s: stage %s is of kind %s, one of kind reward is wanted",
                            r->section, r->name, of->name, stage_kind_name(of->kind));
    return 0;
}

static int check_references(const struct pipeline *p, int32_t index, struct mk_error *err)
{
    struct recipe *recipe = &p->stages[index].recipe;
    struct reference list[MAX_REFERENCES];
    int n = list_references(recipe, list), code = 0;

    for (int i = 0; i < n && !code; i++) {
        const char *rest;
        bool bad;
        const struct pipeline_stage *of = named(p, index, *list[i].value, &rest, &bad);

        if (bad)
            code = mk_error_set(err, MK_EINVAL,
                                "%s.%s: '%s' is no stage that comes before this one",
                                list[i].section, list[i].name, *list[i].value);
        else if (of)
            code = check_reference(&list[i], of, err);
        if (code)
            recipe_blame_key(recipe, list[i].section, list[i].name, err);
    }
    return code;
}

int pipeline_resolve(struct pipeline *p, struct pipeline_stage *s,
                     int (*result)(void *user, const struct pipeline_stage *of, char path[4096],
                                   struct mk_error *err),
                     void *user, struct mk_error *err)
{
    struct reference list[MAX_REFERENCES];
    int n = list_references(&s->recipe, list);

    for (int i = 0; i < n; i++) {
        char path[PATH], *copy;
        const char *rest;
        bool bad;
        const struct pipeline_stage *of = named(p, (int32_t)(s - p->stages), *list[i].value, &rest,
                                                &bad);
        size_t room;

        if (!of)
            continue;
        if (result(user, of, path, err))
            return err->code;
        room = strlen(path) + strlen(rest) + 1;
        if (arena_take(&p->memory, &copy, room, 1, err))
            return err->code;
        snprintf(copy, room, "%s%s", path, rest);
        *list[i].value = copy;
    }
    return 0;
}

/* ---- Options -------------------------------------------------------------------------------- */

static bool names_stage(const char *set, const char *name)
{
    size_t n = strlen(name);

    return !strncmp(set, name, n) && set[n] == '.';
}

/* "out=runs/x": whether it is one of the pipeline's own. */
static bool take_top(struct pipeline *p, const char *set)
{
    static const char *const names[] = {"out", "seed", "threads"};
    const char **values[] = {&p->out, &p->seed, &p->threads};
    int32_t out_line, *lines[] = {&out_line, &p->text->seed_line, &p->text->threads_line};

    for (int i = 0; i < 3; i++) {
        size_t n = strlen(names[i]);

        if (strncmp(set, names[i], n) || set[n] != '=')
            continue;
        *values[i] = set + n + 1;
        *lines[i] = 0;
        return true;
    }
    return false;
}

/* Every option belongs somewhere. */
static int check_sets(struct pipeline *p, const char *const *sets, int32_t n_sets,
                      struct mk_error *err)
{
    for (int32_t i = 0; i < n_sets; i++) {
        bool found = take_top(p, sets[i]);

        for (uint64_t k = 0; k < p->text->stages_count && !found; k++)
            found = names_stage(sets[i], p->text->stages[k].name);
        if (!found)
            return mk_error_set(err, MK_EINVAL,
                                "--set %s: expected STAGE.section.key=value with a stage of the "
                                "pipeline, or out, seed or threads of all",
                                sets[i]);
    }
    return 0;
}

/* ---- Stages --------------------------------------------------------------------------------- */

static int read_kind(const char *text, enum stage_kind *kind, struct mk_error *err)
{
    for (*kind = STAGE_NONE + 1; *kind < N_STAGE_KINDS; ++*kind)
        if (!strcmp(stage_kind_name(*kind), text))
            return 0;
    return mk_error_set(err, MK_EINVAL,
                        "kind: '%.40s' is not one of corpus, pretrain, sft, dpo, reward, rl, "
                        "sample",
                        text);
}

/* It becomes a folder, and stands in front of a dot and a slash. */
static bool is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_";

    return *name && strlen(name) <= 60 && name[strspn(name, allowed)] == '\0';
}

/* Puts "PATH:LINE: stage NAME" in front of a message. */
static int blame_stage(const struct stage_text *text, const char *path, struct mk_error *err)
{
    char part[80];
    struct recipe_layer stage = {&text->file, path, part};

    snprintf(part, sizeof part, "stage %.60s", text->name);
    return recipe_blame(&stage, text->file.line, err);
}

/* Its name and its kind. */
static int read_head(const struct pipeline *p, const struct stage_text *text,
                     struct recipe_stage *stage, struct mk_error *err)
{
    stage->name = text->name;
    if (!is_name(text->name))
        return mk_error_set(err, MK_EINVAL, "name: letters, digits, - and _, at most 60");
    if (pipeline_find(p, text->name))
        return mk_error_set(err, MK_EINVAL, "name: an earlier stage has it too");
    if (read_kind(text->kind, &stage->kind, err))
        return err->code;
    stage->defaults = &p->text->defaults[stage->kind];
    return 0;
}

static int read_stage(struct pipeline *p, const char *path, const char *const *sets,
                      int32_t n_sets, struct mk_error *err)
{
    const struct stage_text *text = &p->text->stages[p->n];
    struct pipeline_stage *s = &p->stages[p->n];
    struct recipe_stage stage = {.seed = {p->seed, p->text->seed_line},
                                 .threads = {p->threads, p->text->threads_line}};
    const char *own[MAX_SETS];
    int32_t n_own = 0;

    if (read_head(p, text, &stage, err))
        return blame_stage(text, path, err);
    for (int32_t i = 0; i < n_sets && n_own < MAX_SETS; i++)
        if (names_stage(sets[i], text->name))
            own[n_own++] = sets[i] + strlen(text->name) + 1;
    if (recipe_of_stage(&s->recipe, &text->file, &stage, path, own, n_own, err))
        return strncmp(err->text, "--set", 5) ? err->code
                                              : mk_error_wrap(err, "stage %s", text->name);
    s->name = text->name;
    s->kind = stage.kind;
    s->line = text->file.line;
    p->n++;
    return check_references(p, p->n - 1, err);
}

static int read_all(struct pipeline *p, const char *path, const char *const *sets, int32_t n_sets,
                    struct mk_error *err)
{
    p->out = p->text->out ? p->text->out : "";
    p->seed = p->text->seed;
    p->threads = p->text->threads;
    p->stages = calloc(p->text->stages_count, sizeof *p->stages);
    if (!p->stages)
        return mk_error_memory(err, p->text->stages_count * sizeof *p->stages);
    if (check_sets(p, sets, n_sets, err))
        return err->code;
    while ((uint64_t)p->n < p->text->stages_count)
        if (read_stage(p, path, sets, n_sets, err))
            return err->code;
    return 0;
}

int pipeline_parse(struct pipeline *p, const char *text, size_t n, const char *path,
                   const char *const *sets, int32_t n_sets, struct mk_error *err)
{
    *p = (struct pipeline){.out = ""};
    arena_init(&p->memory, SIZE_MAX / 4);
    if (!pipeline_text_load(&p->text, text, n, path, err) && !read_all(p, path, sets, n_sets, err))
        return 0;
    pipeline_release(p);
    return err->code;
}

int pipeline_read(struct pipeline *p, const char *path, const char *const *sets, int32_t n_sets,
                  struct mk_error *err)
{
    struct map_file m;
    int code;

    if (map_file_open(&m, path, err))
        return err->code;
    code = pipeline_parse(p, m.data ? (const char *)m.data : "", m.bytes, path, sets, n_sets, err);
    map_file_close(&m);
    return code;
}

void pipeline_release(struct pipeline *p)
{
    for (int32_t i = 0; i < p->n; i++)
        recipe_release(&p->stages[i].recipe);
    free(p->stages);
    if (p->text)
        pipeline_text_free(p->text);
    arena_release(&p->memory);
    memset(p, 0, sizeof *p);
}
