/* recipe.c: which of several texts says what a run is, and what does not go together. */
#include "train/recipe_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"
#include "base/nearest.h"

#define BASE_PATH 4096
#define BASE_KEY 0 /* in the table */

/* Whose value counts, nearest first. */
enum { OWN, DEFAULTS, BASE, N_LAYERS };

/* Owned by a recipe: what its strings point into. */
struct recipe_text {
    char *set[RECIPE_MAX_KEYS]; /* given with --set */
    struct recipe_layer layers[N_LAYERS];
    struct file_text *file, *base; /* owned, libcyaml's: the layers that are not a pipeline's */
    struct recipe_stage stage;
    char part[80], defaults_part[40]; /* "stage NAME", "defaults.KIND" */
    char base_path[BASE_PATH];
};

/* ---- Options -------------------------------------------------------------------------------- */

#define KEY_NAME 100

/* As --set calls it: "section.key". */
static void key_name(const struct recipe_key *k, char out[KEY_NAME])
{
    snprintf(out, KEY_NAME, "%s%s%s", k->section, *k->section ? "." : "", k->name);
}

/* No key is called as the set begins: the one that was meant, if that can be told. */
static int unknown_set(const char *set, size_t n_name, struct mk_error *err)
{
    char given[KEY_NAME], names[RECIPE_MAX_KEYS][KEY_NAME];
    const char *full[RECIPE_MAX_KEYS];
    int32_t n, found;
    const struct recipe_key *keys = recipe_keys(&n);

    snprintf(given, sizeof given, "%.*s", (int)n_name, set);
    for (int32_t i = 0; i < n; i++) {
        key_name(&keys[i], names[i]);
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
        char name[KEY_NAME];

        key_name(&keys[i], name);
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

/* ---- Where values come from ----------------------------------------------------------------- */

/* A value as text and where it was given. */
struct given {
    const char *value; /* NULL when the key has its default */
    struct recipe_layer from;
    int32_t line; /* 0: there is none */
};

/* What a stage's pipeline and kind say where its recipe does not. */
static struct given given_by_stage(const struct recipe_text *t, const struct recipe_key *k)
{
    const struct recipe_stage *s = &t->stage;
    const struct recipe_shared *shared = strcmp(k->name, "seed") ? &s->threads : &s->seed;
    bool pairs = s->kind == STAGE_DPO || s->kind == STAGE_REWARD;
    struct given none = {.from = t->layers[OWN]};

    if (!*k->section && (!strcmp(k->name, "seed") || !strcmp(k->name, "threads")))
        return (struct given){
            shared->value, {NULL, shared->line ? none.from.path : "--set", ""}, shared->line};
    if (!strcmp(k->section, "data") && !strcmp(k->name, "format"))
        none.value = pairs ? "pairs" : s->kind == STAGE_SFT ? "chat" : NULL;
    if (!strcmp(k->section, "reward") && !strcmp(k->name, "head"))
        none.value = s->kind == STAGE_REWARD ? "true" : NULL;
    return none;
}

static struct given given(const struct recipe_text *t, int32_t key)
{
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    if (t->set[key])
        return (struct given){t->set[key], {NULL, "--set", ""}, 0};
    for (int i = 0; i < N_LAYERS; i++)
        if (t->layers[i].file && t->layers[i].file->values[key])
            return (struct given){t->layers[i].file->values[key], t->layers[i],
                                  t->layers[i].file->lines[key]};
    return given_by_stage(t, &keys[key]);
}

/* ---- What does not go together -------------------------------------------------------------- */

int recipe_blame_key(const struct recipe *r, const char *section, const char *name,
                     struct mk_error *err)
{
    const struct recipe_layer *own = &r->text->layers[OWN];
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    for (int32_t i = 0; i < n; i++)
        if (!strcmp(keys[i].section, section) && !strcmp(keys[i].name, name)) {
            struct given g = given(r->text, i);

            if (g.value)
                return recipe_blame(&g.from, g.line, err);
        }
    return recipe_blame(own, own->file->line, err);
}

static int refuse(const struct recipe *r, const char *section, const char *name,
                  const char *sentence, struct mk_error *err)
{
    mk_error_set(err, MK_EINVAL, "%s", sentence);
    return recipe_blame_key(r, section, name, err);
}

static int check_model(const struct recipe *r, struct mk_error *err)
{
    if (!*r->model.config == !*r->model.from)
        return refuse(r, "model", "from",
                      "give one of model.config (a new model) and model.from (one to go on with)",
                      err);
    if (r->lora.rank && !*r->model.from)
        return refuse(r, "lora", "rank",
                      "lora.rank: adapters change a model that is there: give model.from", err);
    if (r->lora.rank && strcmp(r->model.learn, "*"))
        return refuse(r, "lora", "rank",
                      "lora.rank: adapters learn and nothing else does: leave model.learn out",
                      err);
    return 0;
}

static int check_reward(const struct recipe *r, struct mk_error *err)
{
    for (int32_t i = 0; r->reward.head && i < r->data.n_sources; i++)
        if (r->data.sources[i].format != RECIPE_FORMAT_PAIRS)
            return refuse(r, "reward", "head",
                          "reward.head: a head learns from pairs: data.format: pairs", err);
    if (r->reward.head && r->lora.rank)
        return refuse(r, "reward", "head",
                      "reward.head: not with lora.rank: name what learns beside the head in "
                      "model.learn",
                      err);
    return 0;
}

static int check_teachers(const struct recipe *r, struct mk_error *err)
{
    for (int32_t i = 0; r->distill.n_teachers && i < r->data.n_sources; i++)
        if (r->data.sources[i].format == RECIPE_FORMAT_PAIRS)
            return refuse(r, "data", "format",
                          "distill.teachers: not with pairs, which teach by themselves", err);
    return 0;
}

/* What stages need, each kind its own. */
static int check_stage(const struct recipe *r, enum stage_kind kind, struct mk_error *err)
{
    bool asks = kind == STAGE_CORPUS || kind == STAGE_RL || kind == STAGE_SAMPLE;

    if (*r->out)
        return refuse(r, "", "out", "out: a stage's folder is in the pipeline's", err);
    if (asks && r->n_tasks < 1)
        return refuse(r, "", "", "has no tasks: minke tasks lists them", err);
    if (!asks && r->data.n_sources < 1)
        return refuse(r, "", "", "data.sources is empty: name what it learns from", err);
    if (kind == STAGE_SAMPLE && !*r->model.from)
        return refuse(r, "", "", "model.from: name the model that answers", err);
    if (kind == STAGE_REWARD && !r->reward.head)
        return refuse(r, "reward", "head", "reward.head: is what this kind of stage makes", err);
    return 0;
}

static int check(const struct recipe *r, struct mk_error *err)
{
    enum stage_kind kind = r->text->stage.kind;

    if (kind != STAGE_NONE && check_stage(r, kind, err))
        return err->code;
    if ((kind != STAGE_CORPUS && check_model(r, err)) || check_reward(r, err) ||
        check_teachers(r, err))
        return err->code;
    if (r->data.n_sources < 1 && r->n_tasks < 1)
        return refuse(r, "", "", "data.sources is empty: name a text to learn from", err);
    if (r->train.batch_first > r->train.batch)
        return refuse(r, "train", "batch_first", "train.batch_first is above train.batch", err);
    return 0;
}

/* ---- Whole recipes -------------------------------------------------------------------------- */

static int resolve(struct recipe *r, struct mk_error *err)
{
    const struct recipe_text *t = r->text;
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    for (int32_t i = 0; i < n; i++) {
        struct given g = given(t, i);

        if (recipe_put(r, &keys[i], g.value ? g.value : keys[i].standard, err))
            return recipe_blame(&g.from, g.line, err);
    }
    for (int i = 0; i < N_LAYERS; i++)
        if (t->layers[i].file && recipe_put_lists(r, &t->layers[i], err))
            return err->code;
    return check(r, err);
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

static void put_own(struct recipe_text *t, const struct file_text *file, const char *path)
{
    t->layers[OWN] = (struct recipe_layer){file, path, t->part};
}

int recipe_parse(struct recipe *r, const char *text, size_t n, const char *path,
                 const char *const *sets, int32_t n_sets, struct mk_error *err)
{
    struct recipe_text *t;

    if (begin(r, err))
        return err->code;
    t = r->text;
    if (!recipe_text_load(&t->file, text, n, path, err) && !apply_sets(t, sets, n_sets, err)) {
        put_own(t, t->file, path);
        if (!resolve(r, err)) {
            if (!*r->base)
                return 0;
            refuse(r, "", "base", "base: there is no folder to look for it in", err);
        }
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
static int load_base(struct recipe_text *t, const char *path, struct mk_error *err)
{
    struct given g = given(t, BASE_KEY);
    const char *slash = strrchr(path, '/');

    if (!g.value || !*g.value)
        return 0;
    if (strchr(g.value, '/')) {
        mk_error_set(err, MK_EINVAL, "base: '%s' is not in the same folder", g.value);
        return recipe_blame(&g.from, g.line, err);
    }
    if (snprintf(t->base_path, BASE_PATH, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path,
                 g.value) >= BASE_PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", path);
    if (load_file(&t->base, t->base_path, err))
        return err->code;
    t->layers[BASE] = (struct recipe_layer){t->base, t->base_path, ""};
    if (!t->base->values[BASE_KEY] || !*t->base->values[BASE_KEY])
        return 0;
    mk_error_set(err, MK_EINVAL, "base: %s is based on another one itself", t->base_path);
    return recipe_blame(&g.from, g.line, err);
}

/* The recipe's own text is there. */
static int finish(struct recipe *r, const char *path, const char *const *sets, int32_t n_sets,
                  struct mk_error *err)
{
    if (!apply_sets(r->text, sets, n_sets, err) && !load_base(r->text, path, err) &&
        !resolve(r, err)) {
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
    put_own(r->text, r->text->file, path);
    return finish(r, path, sets, n_sets, err);
}

int recipe_of_stage(struct recipe *r, const struct file_text *file,
                    const struct recipe_stage *stage, const char *path, const char *const *sets,
                    int32_t n_sets, struct mk_error *err)
{
    struct recipe_text *t;

    if (begin(r, err))
        return err->code;
    t = r->text;
    t->stage = *stage;
    snprintf(t->part, sizeof t->part, "stage %.60s", stage->name);
    put_own(t, file, path);
    snprintf(t->defaults_part, sizeof t->defaults_part, "defaults.%s",
             stage_kind_name(stage->kind));
    t->layers[DEFAULTS] = (struct recipe_layer){stage->defaults, path, t->defaults_part};
    return finish(r, path, sets, n_sets, err);
}

void recipe_release(struct recipe *r)
{
    if (!r->text)
        return;
    recipe_text_free(r->text->file);
    recipe_text_free(r->text->base);
    for (int32_t i = 0; i < RECIPE_MAX_KEYS; i++)
        free(r->text->set[i]);
    free(r->text);
    r->text = NULL;
}
