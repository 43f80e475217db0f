/* recipe_complaint.c: see recipe_complaint.h. */
#include "train/recipe_complaint.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/nearest.h"
#include "train/recipe_text.h"

#define WHAT 400 /* bytes of a sentence */

/* ---- Listening ------------------------------------------------------------------------------ */

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* The field or entry that this line names goes in front of those that lie in it. */
static void put_outside(struct recipe_complaint *c, const char *line)
{
    char inside[120], name[64];

    snprintf(inside, sizeof inside, "%.119s", c->where);
    if (sscanf(line, "  in mapping field '%63[^']'", name) == 1)
        snprintf(c->where, sizeof c->where, "%s%s%s", name, *inside && *inside != ' ' ? "." : "",
                 inside);
    else if (sscanf(line, "  in sequence entry '%63[^']'", name) == 1)
        snprintf(c->where, sizeof c->where, " (entry %s)%s%s", name, *inside ? "." : "", inside);
}

void recipe_complaint_listen(cyaml_log_t level, void *complaint, const char *format, va_list args)
{
    struct recipe_complaint *c = complaint;
    char line[600];

    (void)level;
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = '\0';
    if (begins(line, "Load: Backtrace"))
        return;
    if (!begins(line, "  in ")) {
        if (!*c->reason)
            snprintf(c->reason, sizeof c->reason, "%.299s",
                     begins(line, "Load: ") ? line + 6 : line);
        return;
    }
    if (!c->n_around++ && begins(c->reason, "Missing ")) /* the last field that was there */
        return;
    put_outside(c, line);
}

/* ---- The place ------------------------------------------------------------------------------ */

/* The field or entry of this name, "data.sources (entry 2)", or the innermost around it that is
 * there. */
static const yaml_node_t *find_place(struct recipe_tree *tree, const char *where)
{
    const yaml_node_t *node = recipe_tree_root(tree);

    while (*where) {
        unsigned long long entry;
        const yaml_node_t *next;
        char name[64];
        size_t n;

        if (sscanf(where, " (entry %llu", &entry) == 1) {
            n = strcspn(where, ")") + 1;
            next = entry ? recipe_tree_entry(tree, node, entry - 1) : NULL;
        } else {
            n = strcspn(where, ". ");
            snprintf(name, sizeof name, "%.*s", (int)n, where);
            next = recipe_tree_value(tree, node, name);
        }
        if (!next)
            break;
        node = next;
        where += n + (where[n] == '.');
    }
    return node;
}

/* On which line a key stands for the second time: "data.sources (entry 2).path". */
static int32_t line_of_copy(struct recipe_tree *tree, const char *where)
{
    const char *dot = strrchr(where, '.');
    char map[200];

    snprintf(map, sizeof map, "%.*s", dot ? (int)(dot - where) : 0, where);
    return recipe_tree_key_line(tree, find_place(tree, map), dot ? dot + 1 : where, 1);
}

/* Whether the value is empty: a section all of whose keys are comments, say. */
static bool is_empty(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && !node->data.scalar.length &&
           node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* ---- Reasons -------------------------------------------------------------------------------- */

static bool is_section(const char *name)
{
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    for (int32_t i = 0; i < n; i++)
        if (!strcmp(name, keys[i].section))
            return true;
    return !strcmp(name, "tasks");
}

/* What may stand where a key is unknown. */
struct candidates {
    const char *names[2 * RECIPE_MAX_KEYS], *sections[2 * RECIPE_MAX_KEYS];
    int32_t n;
};

static void offer(struct candidates *c, const char *section, const char *name)
{
    c->names[c->n] = name;
    c->sections[c->n++] = section;
}

/* Keys of entries of a list; false when `where` is none, "stages (entry 2).tasks (entry 1)". */
static bool offer_of_entry(struct candidates *out, const char *where)
{
    static const struct {
        const char *list, *keys[8];
    } lists[] = {{"sources", {"name", "path", "weight", "weights", "format"}},
                 {"weights", {"tokens", "weight"}},
                 {"teachers", {"path", "weight"}},
                 {"tasks",
                  {"name", "weight", "level", "level_max", "scratchpad", "search", "impatient"}}};
    const char *dot = strrchr(where, '.'), *last = dot ? dot + 1 : where;
    size_t n = strcspn(last, " ");

    for (size_t i = 0; last[n] && i < sizeof lists / sizeof *lists; i++)
        if (strlen(lists[i].list) == n && !memcmp(lists[i].list, last, n)) {
            for (int k = 0; lists[i].keys[k]; k++)
                offer(out, where, lists[i].keys[k]);
            return true;
        }
    return false;
}

/* Keys of recipes: those of a section, "" the top, or all others, put there by mistake. */
static void offer_keys(struct candidates *out, const char *section, bool others)
{
    static const char *const lists[][2] = {
        {"data", "sources"}, {"distill", "teachers"}, {"", "tasks"}};
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    for (int32_t i = 0; i < n; i++) {
        bool first = *keys[i].section && strcmp(keys[i].section, keys[i - 1].section);

        if (first && !*section == !others)
            offer(out, "", keys[i].section);
        if (!strcmp(keys[i].section, section) == !others)
            offer(out, keys[i].section, keys[i].name);
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (!strcmp(lists[i][0], section) == !others)
            offer(out, lists[i][0], lists[i][1]);
}

/* Of words that are as near the first one wins. */
static void find_candidates(struct candidates *out, const char *where, bool pipeline)
{
    static const char *const of_pipelines[] = {"out", "seed", "threads", "defaults", "stages"};
    const char *dot = strrchr(where, '.'), *last = dot ? dot + 1 : where;
    const char *section = is_section(last) ? last : "";

    out->n = 0;
    if (pipeline && !strcmp(where, "defaults")) {
        for (int kind = STAGE_NONE + 1; kind < N_STAGE_KINDS; kind++)
            offer(out, where, stage_kind_name((enum stage_kind)kind));
    } else if (pipeline && !*where) {
        for (size_t i = 0; i < sizeof of_pipelines / sizeof *of_pipelines; i++)
            offer(out, "", of_pipelines[i]);
    } else if (!offer_of_entry(out, where)) {
        if (begins(where, "stages (") && !strchr(where, '.')) {
            offer(out, where, "name");
            offer(out, where, "kind");
        }
        offer_keys(out, section, false);
        offer_keys(out, section, true);
    }
}

static int explain_key(const struct recipe_complaint *c, const char *key,
                       struct recipe_tree *tree, const char *path, bool pipeline,
                       struct mk_error *err)
{
    struct candidates known;
    int line = (int)recipe_tree_key_line(tree, find_place(tree, c->where), key, 0), found;
    const char *dot = *c->where ? "." : "";

    if (!pipeline && !*c->where && (!strcmp(key, "stages") || !strcmp(key, "defaults")))
        return mk_error_set(err, MK_EFORMAT, "%s:%d: has %s: minke pipeline runs them", path, line,
                            key);
    if (pipeline && !*c->where && is_section(key))
        return mk_error_set(err, MK_EFORMAT,
                            "%s:%d: '%s' is a key of stages, not of a pipeline; a recipe of one "
                            "run is for minke train or minke rl",
                            path, line, key);
    if (pipeline && !strcmp(c->where, "defaults") && is_section(key))
        return mk_error_set(err, MK_EFORMAT,
                            "%s:%d: defaults are of one kind of stage each: defaults.sft.%s, say",
                            path, line, key);
    find_candidates(&known, c->where, pipeline);
    found = nearest_word(key, known.names, known.n);
    if (found < 0)
        return mk_error_set(err, MK_EFORMAT,
                            "%s:%d: there is no key '%s%s%s': docs/training.md lists them", path,
                            line, c->where, dot, key);
    return mk_error_set(err, MK_EFORMAT, "%s:%d: there is no key '%s%s%s', did you mean '%s%s%s'",
                        path, line, c->where, dot, key, known.sections[found],
                        *known.sections[found] ? "." : "", known.names[found]);
}

/* "MAPPING", "SEQUENCE_START": what libcyaml calls it, what people do. */
static const char *in_words(const char *kind)
{
    static const char *const words[][2] = {{"MAPPING", "keys with values"},
                                           {"SEQUENCE", "a list"},
                                           {"STRING", "a single value"},
                                           {"SCALAR", "a single value"}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (begins(kind, words[i][0]))
            return words[i][1];
    return kind;
}

/* The sentence behind place and key. */
static void explain_value(const struct recipe_complaint *c, cyaml_err_t code,
                          const yaml_node_t *place, char what[WHAT])
{
    char wanted[40], got[40];
    unsigned limit;

    if (sscanf(c->reason, "Expecting %39[^,], got event: %39s", wanted, got) == 2)
        snprintf(what, WHAT, "expected %s%s, found %s", in_words(wanted),
                 begins(wanted, "MAPPING")    ? " ('key: value')"
                 : begins(wanted, "SEQUENCE") ? " ('- ' before each entry)"
                                              : "",
                 is_empty(place) ? "nothing" : in_words(got));
    else if (begins(c->reason, "Missing required mapping field: "))
        snprintf(what, WHAT, "'%.60s' is missing", strchr(c->reason, ':') + 2);
    else if (begins(c->reason, "Mapping field already seen: "))
        snprintf(what, WHAT, "stands there twice");
    else if (sscanf(c->reason, "Excessive entries (%u max", &limit) == 1)
        snprintf(what, WHAT, "more than %u entries", limit);
    else if (begins(c->reason, "Insufficient entries"))
        snprintf(what, WHAT, "is an empty list");
    else if (sscanf(c->reason, "STRING length > %u", &limit) == 1)
        snprintf(what, WHAT, "is longer than %u bytes", limit);
    else if (begins(c->reason, "STRING length <"))
        snprintf(what, WHAT, "is empty");
    else
        snprintf(what, WHAT, "%.300s", *c->reason ? c->reason : cyaml_strerror(code));
}

/* "data.sources (entry 0)": the list is meant. */
static void leave_entry(char *where)
{
    char *entry = strrchr(where, '(');

    if (entry)
        entry[-1] = '\0';
}

int recipe_complaint_explain(struct recipe_complaint *c, cyaml_err_t code,
                             struct recipe_tree *tree, const char *path, bool pipeline,
                             struct mk_error *err)
{
    static const char unexpected[] = "Unexpected key: ";
    const yaml_node_t *place;
    char what[WHAT];
    unsigned long long limit;
    int32_t line = 0;

    if (begins(c->reason, unexpected))
        return explain_key(c, c->reason + sizeof unexpected - 1, tree, path, pipeline, err);
    if (begins(c->reason, "Insufficient entries") || begins(c->reason, "Excessive entries"))
        leave_entry(c->where);
    place = find_place(tree, c->where);
    explain_value(c, code, place, what);
    if (sscanf(c->reason, "Excessive entries (%llu", &limit) == 1)
        line = recipe_tree_line(recipe_tree_entry(tree, place, limit));
    else if (begins(c->reason, "Mapping field already seen: "))
        line = line_of_copy(tree, c->where);
    return mk_error_set(err, MK_EFORMAT, "%s:%d: %s%s%s", path,
                        (int)(line ? line : recipe_tree_line(place)), c->where,
                        *c->where ? ": " : "", what);
}
