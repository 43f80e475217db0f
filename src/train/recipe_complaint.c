/* recipe_complaint.c: see recipe_complaint.h. */
#include "train/recipe_complaint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

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
    const char *at;

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
    at = strstr(line, "(line: ");
    if (at && !c->line) {
        sscanf(at, "(line: %d, column: %d", &c->line, &c->column);
        if (begins(c->reason, "Missing ")) /* the last field that was there */
            return;
    }
    put_outside(c, line);
}

/* ---- Lines of the file ---------------------------------------------------------------------- */

/* What stands on a line, without its end. */
struct line {
    const char *text;
    size_t n;
    int number; /* from 1 */
};

/* The next line, or the first where l is zero; false behind the last. */
static bool next_line(struct line *l, const char *text, size_t n)
{
    const char *from = l->text ? l->text + l->n + 1 : text, *end;

    if (from >= text + n)
        return false;
    end = memchr(from, '\n', (size_t)(text + n - from));
    *l = (struct line){from, (size_t)((end ? end : text + n) - from), l->number + 1};
    return true;
}

static size_t indent(const struct line *l)
{
    size_t i = 0;

    while (i < l->n && (l->text[i] == ' ' || l->text[i] == '-'))
        i++;
    return i;
}

static bool says_nothing(const struct line *l, size_t from)
{
    while (from < l->n && strchr(" \t\r", l->text[from]))
        from++;
    return from >= l->n || l->text[from] == '#';
}

static bool has_key(const struct line *l, const char *key)
{
    size_t i = indent(l), len = strlen(key);

    return l->n - i > len && !memcmp(l->text + i, key, len) && strchr(": ", l->text[i + len]);
}

int32_t recipe_line_of(const char *text, size_t n, const char *section, const char *name)
{
    int32_t found = 0;

    for (struct line l = {0}; next_line(&l, text, n);) {
        if (says_nothing(&l, 0))
            continue;
        if (indent(&l) == 0) {
            if (found)
                return found;
            if (has_key(&l, *section ? section : name))
                found = l.number;
            if (!*section && found)
                return found;
        } else if (found && has_key(&l, name)) {
            return l.number;
        }
    }
    return found;
}

/* The first line from `from` on that begins with the key, or `from`: libcyaml knows where the value
 * before stood, the key itself is there or below. */
static int line_from(const char *text, size_t n, const char *key, int from)
{
    for (struct line l = {0}; next_line(&l, text, n);)
        if (l.number >= from && has_key(&l, key))
            return l.number;
    return from;
}

static int first_line(const char *text, size_t n)
{
    for (struct line l = {0}; next_line(&l, text, n);)
        if (!says_nothing(&l, 0) && l.text[0] != '%' &&
            !(l.n >= 3 && !memcmp(l.text, "---", 3) && says_nothing(&l, 3)))
            return l.number;
    return 1;
}

/* Whether the value at this place is empty: a section all of whose keys are comments, say. */
static bool is_empty_at(const char *text, size_t n, int line, int column)
{
    for (struct line l = {0}; next_line(&l, text, n);)
        if (l.number == line)
            return says_nothing(&l, column > 0 ? (size_t)column - 1 : 0);
    return false;
}

/* ---- Reasons -------------------------------------------------------------------------------- */

/* YAML that is none: libyaml says what and where. Returns the line. */
static int explain_syntax(const char *text, size_t n, char what[WHAT])
{
    yaml_parser_t p;
    yaml_event_t event;
    bool end = false;
    int line = 1, last = 1;

    snprintf(what, WHAT, "not valid YAML");
    if (!yaml_parser_initialize(&p))
        return line;
    yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
    while (!end && yaml_parser_parse(&p, &event)) {
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    if (!end && p.problem) {
        size_t offset = p.error == YAML_READER_ERROR ? p.problem_offset : 0;

        line = (int)p.problem_mark.line + 1;
        for (size_t i = 0; i < n && i < offset; i++)
            line += text[i] == '\n';
        if (p.context && p.error != YAML_READER_ERROR)
            snprintf(what, WHAT, "not valid YAML: %s, %s of line %d", p.problem, p.context,
                     (int)p.context_mark.line + 1);
        else
            snprintf(what, WHAT, "not valid YAML: %s", p.problem);
    }
    yaml_parser_delete(&p);
    for (struct line l = {0}; next_line(&l, text, n); last = l.number) {
        size_t tab = l.n;

        for (size_t i = 0; i < l.n && tab == l.n && strchr(" \t", l.text[i]); i++)
            tab = l.text[i] == '\t' ? i : tab;
        if (l.number == line && tab < l.n && !says_nothing(&l, 0))
            snprintf(what, WHAT, "a tab: YAML is indented with spaces");
    }
    return line < last ? line : last;
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

/* Keys of entries of lists; of a pipeline; or of a recipe, all of them: some are put into the wrong
 * section. */
static void find_candidates(struct candidates *out, const char *where, bool pipeline)
{
    static const char *const of_entries[] = {"path",      "name",       "weight", "weights",
                                             "format",    "tokens",     "level",  "level_max",
                                             "impatient", "scratchpad", "search"};
    static const char *const of_pipelines[] = {"out", "seed", "threads", "stages"};
    size_t length = strlen(where);
    bool stage = begins(where, "stages (") && !strchr(where, '.');
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    out->n = 0;
    if (pipeline && !length) {
        for (size_t i = 0; i < sizeof of_pipelines / sizeof *of_pipelines; i++)
            offer(out, "", of_pipelines[i]);
    } else if (length && where[length - 1] == ')' && !stage) {
        for (size_t i = 0; i < sizeof of_entries / sizeof *of_entries; i++)
            offer(out, where, of_entries[i]);
    } else {
        for (int32_t i = 0; i < n; i++) {
            if (i == 0 || strcmp(keys[i].section, keys[i - 1].section))
                offer(out, "", keys[i].section);
            offer(out, keys[i].section, keys[i].name);
        }
    }
}

static bool is_section(const char *name)
{
    int32_t n;
    const struct recipe_key *keys = recipe_keys(&n);

    for (int32_t i = 0; i < n; i++)
        if (!strcmp(name, keys[i].section))
            return true;
    return !strcmp(name, "tasks");
}

static int explain_key(const struct recipe_complaint *c, const char *key, const char *text,
                       size_t n, const char *path, bool pipeline, struct mk_error *err)
{
    struct candidates known;
    int line = line_from(text, n, key, c->line), found;
    const char *dot = *c->where ? "." : "";

    if (!pipeline && !*c->where && !strcmp(key, "stages"))
        return mk_error_set(err, MK_EFORMAT, "%s:%d: has stages: minke pipeline runs them", path,
                            line);
    if (pipeline && !*c->where && is_section(key))
        return mk_error_set(err, MK_EFORMAT,
                            "%s:%d: '%s' is a key of stages, not of a pipeline; a recipe of one "
                            "run is for minke train or minke rl",
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
static void explain_value(const struct recipe_complaint *c, cyaml_err_t code, const char *text,
                          size_t n, char what[WHAT])
{
    char wanted[40], got[40];
    unsigned limit;

    if (sscanf(c->reason, "Expecting %39[^,], got event: %39s", wanted, got) == 2)
        snprintf(what, WHAT, "expected %s%s, found %s", in_words(wanted),
                 begins(wanted, "MAPPING")    ? " ('key: value')"
                 : begins(wanted, "SEQUENCE") ? " ('- ' before each entry)"
                                              : "",
                 begins(got, "SCALAR") && is_empty_at(text, n, c->line, c->column)
                     ? "nothing"
                     : in_words(got));
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
    else if (code == CYAML_ERR_ALIAS)
        snprintf(what, WHAT, "aliases (*name) are not read here: write it out");
    else
        snprintf(what, WHAT, "%.300s", *c->reason ? c->reason : cyaml_strerror(code));
}

int recipe_complaint_explain(struct recipe_complaint *c, cyaml_err_t code, const char *text,
                             size_t n, const char *path, bool pipeline, struct mk_error *err)
{
    static const char unexpected[] = "Unexpected key: ";
    char what[WHAT];

    if (begins(c->reason, unexpected))
        return explain_key(c, c->reason + sizeof unexpected - 1, text, n, path, pipeline, err);
    if (begins(c->reason, "libyaml: ")) {
        c->line = explain_syntax(text, n, what);
        return mk_error_set(err, MK_EFORMAT, "%s:%d: %s", path, c->line, what);
    }
    explain_value(c, code, text, n, what);
    if (begins(c->reason, "Insufficient entries"))
        c->where[strcspn(c->where, " ")] = '\0'; /* "(entry 0)" */
    if (begins(c->reason, "Mapping field already seen: "))
        c->line = line_from(text, n, strchr(c->reason, ':') + 2, c->line + 1);
    if (!c->line)
        c->line = first_line(text, n);
    return mk_error_set(err, MK_EFORMAT, "%s:%d: %s%s%s", path, c->line, c->where,
                        *c->where ? ": " : "", what);
}
