/* history.c: one line after the other becomes points of curves. */
#include "runs/history.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/map_file.h"
#include "runs/run_folder.h"

#define PATH 4096

/* In metrics.jsonl and timing.jsonl, but for those that the step's own functions put together. */
static const char *const names[HISTORY_N] = {
    "loss",       "valid_loss",   "mtp_loss",    "balance_loss", "lr",      "norm",
    "divergence",
    "reward",     "pass",         "length",      "truncated",    "formed",  "entropy",
    "kl",         "mismatch",     "mean_mismatch", "clipped",    "test_pass", "test_length",
    "live",       "margin",       "accuracy",    "chosen",       "rejected", "valid_margin",
    "valid_accuracy", "tokens_per_s", "utilisation", "ms"};

/* ---- Curves ---------------------------------------------------------------------------------- */

static int add_point(struct history_series *s, int64_t step, double x, double y,
                     struct mk_error *err)
{
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 64;
        struct history_point *grown = realloc(s->points, capacity * sizeof *grown);

        if (!grown)
            return mk_error_memory(err, capacity * sizeof *grown);
        s->points = grown;
        s->capacity = capacity;
    }
    s->points[s->n++] = (struct history_point){step, x, y};
    return 0;
}

/* A number that is absent, null or infinite leaves a gap. */
static int add_number(struct history_series *s, const struct history *h, const json_t *y,
                      struct mk_error *err)
{
    if (!json_is_number(y) || !isfinite(json_number_value(y)))
        return 0;
    return add_point(s, h->step, h->rl ? (double)h->step : h->tokens, json_number_value(y), err);
}

static void series_release(struct history_series *s)
{
    free(s->name);
    free(s->points);
}

/* The part of this name, made when it is new; NULL with *err set. */
static struct history_series *find_part(struct history_parts *p, const char *name,
                                        struct mk_error *err)
{
    struct history_series *grown;

    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->items[i].name, name))
            return &p->items[i];
    if (p->n == HISTORY_MAX_PARTS) {
        mk_error_set(err, MK_ELIMIT, "more than %d sources, tasks or layers", HISTORY_MAX_PARTS);
        return NULL;
    }
    grown = realloc(p->items, (p->n + 1) * sizeof *grown);
    if (grown)
        p->items = grown;
    if (!grown || !(grown[p->n] = (struct history_series){.name = strdup(name)}).name) {
        mk_error_memory(err, (p->n + 1) * sizeof *grown);
        return NULL;
    }
    return &p->items[p->n++];
}

static void parts_release(struct history_parts *p)
{
    for (size_t i = 0; i < p->n; i++)
        series_release(&p->items[i]);
    free(p->items);
}

/* ---- metrics.jsonl --------------------------------------------------------------------------- */

/* A point of the part of this name; a value that is no number makes no part. */
static int add_part(struct history_parts *p, const char *name, const struct history *h,
                    const json_t *y, struct mk_error *err)
{
    struct history_series *s;

    if (!json_is_number(y))
        return 0;
    s = find_part(p, name, err);
    return s ? add_number(s, h, y, err) : err->code;
}

static int read_sources(struct history *h, json_t *sources, struct mk_error *err)
{
    const char *name;
    json_t *one;

    json_object_foreach(sources, name, one)
    {
        const json_t *loss = json_object_get(one, "loss");
        struct history_series *s = find_part(&h->sources, name, err);

        if (!s || add_number(s, h, loss, err) ||
            add_part(&h->source_tokens, name, h, json_object_get(one, "tokens"), err) ||
            add_part(&h->source_epochs, name, h, json_object_get(one, "epochs"), err))
            return err->code;
    }
    return 0;
}

static int read_valid(struct history *h, json_t *losses, struct mk_error *err)
{
    const char *name;
    json_t *loss;

    json_object_foreach(losses, name, loss)
        if (add_part(&h->source_valid, name, h, loss, err))
            return err->code;
    return 0;
}

static int read_load(struct history_load *to, int64_t step, const json_t *load,
                     struct mk_error *err)
{
    size_t n = json_array_size(load);
    int64_t *tokens;

    if (n == 0)
        return 0;
    if (n > HISTORY_MAX_EXPERTS)
        return mk_error_set(err, MK_ELIMIT, "more than %d experts", HISTORY_MAX_EXPERTS);
    tokens = malloc(n * sizeof *tokens);
    if (!tokens)
        return mk_error_memory(err, n * sizeof *tokens);
    for (size_t e = 0; e < n; e++) {
        tokens[e] = json_integer_value(json_array_get(load, e));
        if (tokens[e] < 0)
            tokens[e] = 0;
    }
    free(to->tokens);
    *to = (struct history_load){.step = step, .tokens = tokens, .n = n};
    return 0;
}

static int read_map(struct history *h, struct history_map *map, json_t *sources,
                    struct mk_error *err)
{
    struct history_series *s;
    const char *name;
    json_t *load;
    size_t i;

    json_object_foreach(sources, name, load)
    {
        s = find_part(&h->sources, name, err);
        if (!s)
            return err->code;
        i = (size_t)(s - h->sources.items);
        if (i >= map->n) {
            struct history_load *grown = realloc(map->sources, (i + 1) * sizeof *grown);

            if (!grown)
                return mk_error_memory(err, (i + 1) * sizeof *grown);
            memset(grown + map->n, 0, (i + 1 - map->n) * sizeof *grown);
            map->sources = grown;
            map->n = i + 1;
        }
        if (read_load(&map->sources[i], h->step, load, err))
            return err->code;
    }
    return 0;
}

/* Room for what a new layer, the last of them, was told beside its curves. */
static int grow_layers(struct history *h, struct mk_error *err)
{
    size_t n = h->layers.n;
    struct history_load *loads = realloc(h->loads, n * sizeof *loads);
    struct history_map *maps;

    if (loads)
        h->loads = loads;
    maps = loads ? realloc(h->maps, n * sizeof *maps) : NULL;
    if (!maps) {
        series_release(&h->layers.items[--h->layers.n]);
        return mk_error_memory(err, n * sizeof *maps);
    }
    h->maps = maps;
    loads[n - 1] = (struct history_load){0};
    maps[n - 1] = (struct history_map){0};
    return 0;
}

static int read_layer(struct history *h, const json_t *one, struct mk_error *err)
{
    size_t before = h->layers.n, layer;
    struct history_series *s;
    char name[32];

    snprintf(name, sizeof name, "%lld",
             (long long)json_integer_value(json_object_get(one, "layer")));
    s = find_part(&h->layers, name, err);
    if (!s || (h->layers.n > before && grow_layers(h, err)))
        return err->code;
    layer = (size_t)(s - h->layers.items);
    if (add_number(s, h, json_object_get(one, "most"), err) ||
        add_part(&h->entropy, name, h, json_object_get(one, "entropy"), err) ||
        add_part(&h->information, name, h, json_object_get(one, "information"), err) ||
        add_part(&h->dropped, name, h, json_object_get(one, "dropped"), err) ||
        read_load(&h->loads[layer], h->step, json_object_get(one, "load"), err))
        return err->code;
    return read_map(h, &h->maps[layer], json_object_get(one, "sources"), err);
}

static int read_tasks(struct history *h, json_t *tasks, struct mk_error *err)
{
    const char *name;
    json_t *one;

    json_object_foreach(tasks, name, one)
        if (add_part(&h->task_reward, name, h, json_object_get(one, "reward"), err) ||
            add_part(&h->task_pass, name, h, json_object_get(one, "pass"), err) ||
            add_part(&h->task_level, name, h, json_object_get(one, "level"), err))
            return err->code;
    return 0;
}

/* What a step of reinforcement learning says besides. */
static int read_rl(struct history *h, const json_t *o, struct mk_error *err)
{
    const json_t *test = json_object_get(o, "test"), *live = json_object_get(o, "live");
    double asked = json_number_value(json_object_get(o, "asked"));
    const char *name;
    json_t *one;

    for (int i = HISTORY_REWARD; i < HISTORY_TEST; i++)
        if (add_number(&h->series[i], h, json_object_get(o, names[i]), err))
            return err->code;
    if (json_is_number(live) && asked > 0 &&
        add_point(&h->series[HISTORY_LIVE], h->step, (double)h->step,
                  json_number_value(live) / asked, err))
        return err->code;
    if (add_number(&h->series[HISTORY_TEST], h, json_object_get(test, "pass"), err) ||
        add_number(&h->series[HISTORY_TEST_LENGTH], h, json_object_get(test, "length"), err))
        return err->code;
    json_object_foreach(json_object_get(test, "tasks"), name, one)
        if (add_part(&h->task_test, name, h, json_object_get(one, "pass"), err))
            return err->code;
    return read_tasks(h, json_object_get(o, "tasks"), err);
}

/* Where learning from pairs says it: by the kind of learning. */
static const json_t *pairs_of(const json_t *o, const char *dpo, const char *reward)
{
    const json_t *pairs = json_object_get(o, dpo);

    return pairs ? pairs : json_object_get(o, reward);
}

static int read_pairs(struct history *h, const json_t *o, struct mk_error *err)
{
    const json_t *step = pairs_of(o, "dpo", "reward");
    const json_t *valid = pairs_of(o, "valid_dpo", "valid_reward");

    for (int i = HISTORY_MARGIN; i <= HISTORY_REJECTED; i++)
        if (add_number(&h->series[i], h, json_object_get(step, names[i]), err))
            return err->code;
    return add_number(&h->series[HISTORY_VALID_MARGIN], h, json_object_get(valid, "margin"), err) ||
                   add_number(&h->series[HISTORY_VALID_RIGHT], h,
                              json_object_get(valid, "accuracy"), err)
               ? err->code
               : 0;
}

/* A step of reinforcement learning whose groups were all dead writes 0 for its loss, its gradient
 * and its learning rate: it had none. */
static bool was_update(const json_t *o)
{
    const json_t *n = json_object_get(o, "updates");

    return !json_is_integer(n) || json_integer_value(n) > 0;
}

static int read_step(struct history *h, const json_t *o, struct mk_error *err)
{
    const json_t *step = json_object_get(o, "step"), *one;
    size_t i;

    if (!json_is_integer(step) || !json_is_number(json_object_get(o, "tokens")) ||
        json_integer_value(step) <= h->step)
        return mk_error_set(err, MK_EFORMAT, "is no step behind the one before");
    h->step = json_integer_value(step);
    h->tokens = json_number_value(json_object_get(o, "tokens"));
    h->n_skipped += json_is_true(json_object_get(o, "skipped"));
    h->rl |= json_is_number(json_object_get(o, "reward"));
    for (i = 0; i < HISTORY_REWARD && was_update(o); i++)
        if (add_number(&h->series[i], h, json_object_get(o, names[i]), err))
            return err->code;
    if (h->rl)
        return read_rl(h, o, err);
    if (read_pairs(h, o, err))
        return err->code;
    json_array_foreach(json_object_get(o, "experts"), i, one)
        if (read_layer(h, one, err))
            return err->code;
    if (read_sources(h, json_object_get(o, "sources"), err))
        return err->code;
    return read_valid(h, json_object_get(o, "valid_sources"), err);
}

/* ---- timing.jsonl ---------------------------------------------------------------------------- */

/* Where a step stands on the axis is known from its line of metrics; NULL: nowhere. */
static const struct history_point *find_step(const struct history_series *s, int64_t step)
{
    size_t low = 0, high = s->n;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (s->points[middle].step < step)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n && s->points[low].step == step ? &s->points[low] : NULL;
}

static int read_timing(struct history *h, const json_t *o, struct mk_error *err)
{
    struct history_series *speed = &h->series[HISTORY_SPEED];
    const json_t *step = json_object_get(o, "step");
    const struct history_point *at;

    if (!json_is_integer(step) ||
        (speed->n && json_integer_value(step) <= speed->points[speed->n - 1].step))
        return mk_error_set(err, MK_EFORMAT, "is no step behind the one before");
    at = find_step(&h->series[h->rl ? HISTORY_REWARD : HISTORY_LOSS], json_integer_value(step));
    if (!at)
        return 0;
    h->seconds += fmax(0, json_number_value(json_object_get(o, "ms"))) / 1000;
    for (int i = HISTORY_SPEED; i < HISTORY_N; i++) {
        const json_t *y = json_object_get(o, names[i]);

        if (json_is_number(y) && isfinite(json_number_value(y)) &&
            add_point(&h->series[i], at->step, at->x, json_number_value(y), err))
            return err->code;
    }
    return 0;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

typedef int line_fn(struct history *h, const json_t *o, struct mk_error *err);

static int read_lines(struct history *h, const struct map_file *m, line_fn *read,
                      struct mk_error *err)
{
    size_t at = 0;

    for (int64_t line = 1; at < m->bytes; line++) {
        const char *text = (const char *)m->data + at;
        const char *end = memchr(text, '\n', m->bytes - at);
        json_t *o;
        int rc;

        if (!end) /* what a killed run leaves */
            return 0;
        o = json_loadb(text, (size_t)(end - text), 0, NULL);
        rc = json_is_object(o) ? read(h, o, err) : mk_error_set(err, MK_EFORMAT, "is no object");
        json_decref(o);
        if (rc)
            return mk_error_wrap(err, "line %lld", (long long)line);
        at += (size_t)(end - text) + 1;
    }
    return 0;
}

/* What the folder is instead, as far as that helps. */
static int no_run(const char *folder, const char *name, struct mk_error *err)
{
    char path[PATH];

    if (access(folder, F_OK))
        return mk_error_set(err, MK_ENOTFOUND, "%s: there is no such folder", folder);
    snprintf(path, sizeof path, "%s/pipeline.yaml", folder);
    if (!access(path, F_OK))
        return mk_error_set(err, MK_ENOTFOUND,
                            "%s: is a pipeline's: name runs of its stages, folders in it", folder);
    snprintf(path, sizeof path, "%s/recipe.yaml", folder);
    if (!access(path, F_OK))
        return mk_error_set(err, MK_ENOTFOUND, "%s: has no %s: no step was done in it yet", folder,
                            name);
    return mk_error_set(err, MK_ENOTFOUND,
                        "%s: is no run: there is no %s in it, nor results.json of minke eval",
                        folder, name);
}

static int read_file(struct history *h, const char *folder, const char *name, bool needed,
                     line_fn *read, struct mk_error *err)
{
    struct map_file m;
    char path[PATH];
    int rc;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", folder);
    if (access(path, F_OK))
        return needed ? no_run(folder, name, err) : 0;
    if (map_file_open(&m, path, err))
        return err->code;
    rc = read_lines(h, &m, read, err);
    map_file_close(&m);
    return rc ? mk_error_wrap(err, "%s", path) : 0;
}

/* "runs/tiny/" -> "tiny" */
static char *name_of(const char *folder)
{
    size_t end = strlen(folder), begin;

    while (end > 1 && folder[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && folder[begin - 1] != '/'; begin--)
        ;
    return strndup(folder + begin, end - begin);
}

static int name_series(struct history *h, struct mk_error *err)
{
    for (int i = 0; i < HISTORY_N; i++)
        if (!(h->series[i].name = strdup(names[i])))
            return mk_error_memory(err, strlen(names[i]) + 1);
    return 0;
}

int history_read(struct history *h, const char *folder, struct mk_error *err)
{
    *h = (struct history){.name = name_of(folder)};
    if (!h->name)
        return mk_error_memory(err, strlen(folder) + 1);
    if (name_series(h, err) || read_file(h, folder, "metrics.jsonl", true, read_step, err) ||
        read_file(h, folder, "timing.jsonl", false, read_timing, err) ||
        run_folder_recipe(&h->recipe, folder, err) || samples_read(&h->samples, folder, err) ||
        answers_read(&h->answers, folder, err)) {
        history_release(h);
        return err->code;
    }
    return 0;
}

void history_release(struct history *h)
{
    struct history_parts *parts[] = {&h->sources,       &h->source_valid, &h->source_tokens,
                                     &h->source_epochs, &h->entropy,      &h->information,
                                     &h->dropped,       &h->layers,       &h->task_reward,
                                     &h->task_pass,     &h->task_level,   &h->task_test};

    for (int i = 0; i < HISTORY_N; i++)
        series_release(&h->series[i]);
    for (size_t l = 0; l < h->layers.n; l++) {
        free(h->loads[l].tokens);
        for (size_t i = 0; i < h->maps[l].n; i++)
            free(h->maps[l].sources[i].tokens);
        free(h->maps[l].sources);
    }
    free(h->loads);
    free(h->maps);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        parts_release(parts[i]);
    samples_release(&h->samples);
    answers_release(&h->answers);
    free(h->recipe);
    free(h->name);
    *h = (struct history){0};
}

double history_last(const struct history_series *s)
{
    return s->n ? s->points[s->n - 1].y : NAN;
}

bool history_of_pairs(const struct history *h)
{
    return h->series[HISTORY_MARGIN].n > 0;
}

enum history_kind history_kind_named(const char *name)
{
    int i = 0;

    while (i < HISTORY_N && strcmp(names[i], name))
        i++;
    return (enum history_kind)i;
}

const char *history_kind_name(enum history_kind kind)
{
    return names[kind];
}

double history_most(const struct history_parts *p)
{
    double most = 0;

    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->items[i].n; k++)
            most = fmax(most, p->items[i].points[k].y);
    return most;
}
