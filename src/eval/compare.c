/* compare.c: see compare.h. */
#include "eval/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "eval/records.h"

#define MAX_PATH 4400
#define FILTER ",none"
#define ERROR "_stderr,none"

/* A suite of one folder, question by question. */
struct answered {
    struct score_table table;
    uint64_t questions; /* hash over all of them, in order */
};

static void path_in(char path[MAX_PATH], const char *folder, const char *name, const char *suffix)
{
    snprintf(path, MAX_PATH, "%s/%s%s", folder, name, suffix);
}

bool compare_is_folder(const char *path)
{
    char file[MAX_PATH];

    path_in(file, path, "results", ".json");
    return access(file, F_OK) == 0;
}

/* ---- Rows from results.json ------------------------------------------------------------------ */

static struct compare_row *find_row(struct comparison *c, const char *suite, const char *score)
{
    for (int32_t i = 0; i < c->n_rows; i++)
        if (!strcmp(c->rows[i].suite, suite) && !strcmp(c->rows[i].score, score))
            return &c->rows[i];
    return NULL;
}

/* Rows of a suite stand together, whoever has them. */
static struct compare_row *add_row(struct comparison *c, const char *suite, const char *score,
                                   struct mk_error *err)
{
    struct compare_row *rows = realloc(c->rows, ((size_t)c->n_rows + 1) * sizeof *rows);
    int32_t at = c->n_rows;
    char *name = strdup(suite);

    if (rows)
        c->rows = rows;
    if (!rows || !name) {
        free(name);
        mk_error_memory(err, sizeof *rows);
        return NULL;
    }
    for (int32_t i = 0; i < c->n_rows; i++)
        at = strcmp(rows[i].suite, suite) ? at : i + 1;
    memmove(rows + at + 1, rows + at, (size_t)(c->n_rows - at) * sizeof *rows);
    c->n_rows++;
    rows[at] = (struct compare_row){.suite = name};
    snprintf(rows[at].score, sizeof rows[at].score, "%s", score);
    return &rows[at];
}

static int take_score(struct comparison *c, int32_t folder, const char *suite, const char *key,
                      const json_t *scores, int64_t n, struct mk_error *err)
{
    size_t length = strlen(key), filter = strlen(FILTER);
    char name[32], error[64];
    struct compare_row *row;
    const json_t *value = json_object_get(scores, key), *e;

    if (length <= filter || length - filter >= sizeof name ||
        strcmp(key + length - filter, FILTER) != 0 ||
        (length > strlen(ERROR) && !strcmp(key + length - strlen(ERROR), ERROR)) ||
        !json_is_number(value))
        return 0;
    snprintf(name, sizeof name, "%.*s", (int)(length - filter), key);
    snprintf(error, sizeof error, "%s" ERROR, name);
    row = find_row(c, suite, name);
    if (!row)
        row = add_row(c, suite, name, err);
    if (!row)
        return err->code;
    e = json_object_get(scores, error);
    row->value[folder] = (struct estimate){
        json_number_value(value), json_is_number(e) ? json_number_value(e) : (double)NAN, n};
    return 0;
}

static int take_results(struct comparison *c, int32_t folder, const char *path, const json_t *root,
                        struct mk_error *err)
{
    json_t *results = json_object_get(root, "results"), *scores, *value;
    const char *suite, *key, *model = json_string_value(json_object_get(root, "model_name"));

    if (!json_is_object(results))
        return mk_error_set(err, MK_EFORMAT, "%s: no \"results\"", path);
    c->model[folder] = strdup(model ? model : path);
    if (!c->model[folder])
        return mk_error_memory(err, strlen(path));
    c->n_models = folder + 1;
    json_object_foreach(results, suite, scores)
    {
        const json_t *n = json_object_get(json_object_get(root, "n-samples"), suite);
        int64_t asked = json_integer_value(json_object_get(n, "effective"));

        json_object_foreach(scores, key, value)
            if (take_score(c, folder, suite, key, scores, asked > 0 ? asked : 1, err))
                return err->code;
    }
    return 0;
}

static int read_results(struct comparison *c, int32_t folder, const char *name,
                        struct mk_error *err)
{
    char path[MAX_PATH];
    json_error_t where;
    json_t *root;
    int rc;

    path_in(path, name, "results", ".json");
    root = json_load_file(path, 0, &where);
    if (!root)
        return mk_error_set(err, MK_EFORMAT, "%s: line %d: %s", path, where.line, where.text);
    rc = take_results(c, folder, path, root, err);
    json_decref(root);
    return rc;
}

/* ---- Differences ----------------------------------------------------------------------------- */

static int take_line(void *user, int64_t id, const json_t *line, struct mk_error *err)
{
    struct answered *a = user;
    const char *question = json_string_value(json_object_get(line, "question"));

    (void)id;
    for (const char *at = question ? question : "?"; *at; at++)
        a->questions = hash_add(a->questions, (unsigned char)*at);
    a->questions = hash_add(a->questions, 0xff); /* where one ends */
    return records_scores(line, &a->table, err);
}

/* From the first folder's to another's, of pairs where both answered the same questions. */
static int set_difference(struct compare_row *row, int32_t folder, const struct answered *first,
                          const struct answered *other, struct mk_error *err)
{
    const struct series *a = score_find(&first->table, row->score);
    const struct series *b = score_find(&other->table, row->score);
    const struct estimate *x = &row->value[0], *y = &row->value[folder];
    double *pairs;

    if (!x->n || !y->n)
        return 0;
    row->difference[folder] = (struct estimate){
        y->value - x->value, sqrt(x->error * x->error + y->error * y->error), y->n};
    if (!a || !b || a->n != b->n || first->questions != other->questions)
        return 0;
    pairs = malloc((size_t)b->n * sizeof *pairs);
    if (!pairs)
        return mk_error_memory(err, (size_t)b->n * sizeof *pairs);
    for (int64_t i = 0; i < b->n; i++)
        pairs[i] = b->values[i] - a->values[i];
    row->difference[folder] = score_mean(pairs, b->n);
    row->paired[folder] = true;
    free(pairs);
    return 0;
}

/* Rows [from, to) are one suite's. */
static int compare_suite(struct comparison *c, const char *const *folders, int32_t from, int32_t to,
                         struct mk_error *err)
{
    struct answered all[COMPARE_MAX] = {{.questions = 0}};
    char path[MAX_PATH];
    int rc = 0;

    for (int32_t i = 0; i < c->n_models && !rc; i++) {
        path_in(path, folders[i], c->rows[from].suite, ".jsonl");
        if (c->rows[from].value[i].n && access(path, F_OK) == 0)
            rc = records_read(path, take_line, &all[i], err);
    }
    for (int32_t r = from; r < to && !rc; r++)
        for (int32_t i = 1; i < c->n_models && !rc; i++)
            rc = set_difference(&c->rows[r], i, &all[0], &all[i], err);
    for (int32_t i = 0; i < c->n_models; i++)
        score_release(&all[i].table);
    return rc;
}

int compare_read(struct comparison *c, const char *const *folders, int32_t n,
                 struct mk_error *err)
{
    int rc = 0;

    *c = (struct comparison){.n_models = 0};
    if (n < 1 || n > COMPARE_MAX)
        rc = mk_error_set(err, MK_EINVAL, "%d evaluations: 1 to %d can be compared", n,
                          COMPARE_MAX);
    for (int32_t i = 0; i < n && !rc; i++)
        rc = read_results(c, i, folders[i], err);
    for (int32_t from = 0, to; from < c->n_rows && !rc; from = to) {
        for (to = from; to < c->n_rows && !strcmp(c->rows[to].suite, c->rows[from].suite); to++)
            ;
        rc = compare_suite(c, folders, from, to, err);
    }
    if (rc)
        compare_release(c);
    return rc;
}

void compare_release(struct comparison *c)
{
    for (int32_t i = 0; i < c->n_rows; i++)
        free(c->rows[i].suite);
    for (int32_t i = 0; i < c->n_models; i++)
        free(c->model[i]);
    free(c->rows);
    *c = (struct comparison){.n_models = 0};
}
