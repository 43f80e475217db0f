/* recipe_tree.c: what a file must be before anybody asks what it says. */
#include "train/recipe_tree.h"

#include <stdbool.h>
#include <string.h>

#include "base/error.h"

#define MAX_BYTES ((size_t)1 << 20)
#define MAX_DEPTH 16 /* the schema of pipelines needs 8 */

/* ---- YAML that is none ---------------------------------------------------------------------- */

static int line_of(yaml_mark_t mark)
{
    return (int)mark.line + 1;
}

/* Line number `line`, from 1, without its end; *n: its bytes, 0 where there is none. */
static const char *find_line(const char *text, size_t bytes, int line, size_t *n)
{
    const char *end = text + bytes, *feed;

    for (; (feed = memchr(text, '\n', (size_t)(end - text))) && line > 1; line--)
        text = feed + 1;
    *n = line > 1 ? 0 : (size_t)((feed ? feed : end) - text);
    return text;
}

/* Whether a line is indented with a tab, also behind the dash of an entry. */
static bool has_tab(const char *line, size_t n)
{
    for (size_t i = 0; i < n && strchr(" \t-", line[i]); i++)
        if (line[i] == '\t')
            return true;
    return false;
}

/* Where libyaml stopped; behind the end of the file it is the last line that is meant. */
static int line_of_problem(const yaml_parser_t *p, const char *text, size_t n)
{
    size_t offset = p->error == YAML_READER_ERROR ? p->problem_offset : 0;
    int line = line_of(p->problem_mark), last = 1;

    for (size_t i = 0; i < n; i++) {
        line += i < offset && text[i] == '\n';
        last += text[i] == '\n' && i + 1 < n;
    }
    return line < last ? line : last;
}

static int explain(const yaml_parser_t *p, const char *text, size_t n, const char *path,
                   struct mk_error *err)
{
    int line = line_of_problem(p, text, n);
    size_t n_line;
    const char *at = find_line(text, n, line, &n_line);

    if (p->error == YAML_MEMORY_ERROR)
        return mk_error_memory(err, n);
    if (has_tab(at, n_line))
        return mk_error_set(err, MK_EFORMAT, "%s:%d: a tab: YAML is indented with spaces", path,
                            line);
    if (p->context && (strstr(p->context, "an alias") || strstr(p->context, "an anchor")))
        return mk_error_set(err, MK_EFORMAT, "%s:%d: text that begins with * or & goes in quotes",
                            path, line);
    if (p->context && p->error != YAML_READER_ERROR)
        return mk_error_set(err, MK_EFORMAT, "%s:%d: not valid YAML: %s, %s of line %d", path, line,
                            p->problem, p->context, line_of(p->context_mark));
    return mk_error_set(err, MK_EFORMAT, "%s:%d: not valid YAML: %s", path, line,
                        p->problem ? p->problem : "it cannot be read");
}

/* ---- YAML that is more than a recipe needs -------------------------------------------------- */

/* Where the parser is: inside of which lists and maps. */
struct nest {
    const char *path; /* for messages */
    int n_documents, depth;
    struct {
        bool map, at_key; /* at_key: the next node of a map is a key */
    } open[MAX_DEPTH];
};

/* A list or map begins, or a scalar stands there. */
static int check_node(struct nest *s, const yaml_event_t *e, const yaml_char_t *anchor,
                      struct mk_error *err)
{
    bool scalar = e->type == YAML_SCALAR_EVENT, is_key = s->depth && s->open[s->depth - 1].at_key;
    int line = line_of(e->start_mark);

    if (anchor)
        return mk_error_set(err, MK_EFORMAT,
                            "%s:%d: anchors and aliases (&%.60s, *%.60s) are not read here: write "
                            "it out (stages of a pipeline share 'defaults'), or put a text in "
                            "quotes",
                            s->path, line, (const char *)anchor, (const char *)anchor);
    if (!s->depth && scalar && !e->data.scalar.length)
        return mk_error_set(err, MK_EFORMAT, "%s: is empty", s->path);
    if (is_key && !scalar)
        return mk_error_set(err, MK_EFORMAT, "%s:%d: a list or map cannot be a key", s->path, line);
    if (s->depth && s->open[s->depth - 1].map)
        s->open[s->depth - 1].at_key = !is_key;
    if (scalar)
        return 0;
    if (s->depth == MAX_DEPTH)
        return mk_error_set(err, MK_EFORMAT, "%s:%d: lists and maps lie more than %d deep", s->path,
                            line, MAX_DEPTH);
    s->open[s->depth].map = s->open[s->depth].at_key = e->type == YAML_MAPPING_START_EVENT;
    s->depth++;
    return 0;
}

static int check_event(struct nest *s, const yaml_event_t *e, struct mk_error *err)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (s->n_documents++)
            return mk_error_set(err, MK_EFORMAT,
                                "%s:%d: a second document begins ('---'): give each a file of its "
                                "own",
                                s->path, line_of(e->start_mark));
        return 0;
    case YAML_STREAM_END_EVENT:
        return s->n_documents ? 0 : mk_error_set(err, MK_EFORMAT, "%s: is empty", s->path);
    case YAML_ALIAS_EVENT:
        return check_node(s, e, e->data.alias.anchor, err);
    case YAML_SCALAR_EVENT:
        return check_node(s, e, e->data.scalar.anchor, err);
    case YAML_SEQUENCE_START_EVENT:
        return check_node(s, e, e->data.sequence_start.anchor, err);
    case YAML_MAPPING_START_EVENT:
        return check_node(s, e, e->data.mapping_start.anchor, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        s->depth--;
        return 0;
    default:
        return 0;
    }
}

/* The whole file once, so that the tree is made of what is harmless. */
static int check_events(yaml_parser_t *p, const char *text, size_t n, const char *path,
                        struct mk_error *err)
{
    struct nest nest = {.path = path};
    bool end = false;

    while (!end) {
        yaml_event_t event;
        int code;

        if (!yaml_parser_parse(p, &event))
            return explain(p, text, n, path, err);
        code = check_event(&nest, &event, err);
        end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        if (code)
            return code;
    }
    return 0;
}

static int make_tree(yaml_parser_t *p, yaml_document_t *document, const char *text, size_t n,
                     const char *path, struct mk_error *err)
{
    return yaml_parser_load(p, document) ? 0 : explain(p, text, n, path, err);
}

int recipe_tree_open(struct recipe_tree *t, const char *text, size_t n, const char *path,
                     struct mk_error *err)
{
    yaml_parser_t p;
    int code = 0;

    if (n > MAX_BYTES)
        return mk_error_set(err, MK_ELIMIT, "%s: too large for a recipe: %zu bytes, %zu at most",
                            path, n, MAX_BYTES);
    for (int pass = 0; pass < 2 && !code; pass++) {
        if (!yaml_parser_initialize(&p))
            return mk_error_memory(err, n);
        yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
        code = pass ? make_tree(&p, &t->document, text, n, path, err)
                    : check_events(&p, text, n, path, err);
        yaml_parser_delete(&p);
    }
    return code;
}

void recipe_tree_close(struct recipe_tree *t)
{
    yaml_document_delete(&t->document);
}

/* ---- The tree ------------------------------------------------------------------------------- */

const yaml_node_t *recipe_tree_root(struct recipe_tree *t)
{
    return yaml_document_get_root_node(&t->document);
}

/* The pair of a map that has this key for the nth time. */
static const yaml_node_pair_t *find_pair(struct recipe_tree *t, const yaml_node_t *map,
                                         const char *key, int nth)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
         p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *k = yaml_document_get_node(&t->document, p->key);

        if (!strcmp((const char *)k->data.scalar.value, key) && nth-- == 0)
            return p;
    }
    return NULL;
}

const yaml_node_t *recipe_tree_value(struct recipe_tree *t, const yaml_node_t *map, const char *key)
{
    const yaml_node_pair_t *p = find_pair(t, map, key, 0);

    return p ? yaml_document_get_node(&t->document, p->value) : NULL;
}

const yaml_node_t *recipe_tree_entry(struct recipe_tree *t, const yaml_node_t *list, uint64_t index)
{
    const yaml_node_item_t *items;

    if (!list || list->type != YAML_SEQUENCE_NODE)
        return NULL;
    items = list->data.sequence.items.start;
    if (index >= (uint64_t)(list->data.sequence.items.top - items))
        return NULL;
    return yaml_document_get_node(&t->document, items[index]);
}

int32_t recipe_tree_key_line(struct recipe_tree *t, const yaml_node_t *map, const char *key,
                             int nth)
{
    const yaml_node_pair_t *p = find_pair(t, map, key, nth);

    return p ? recipe_tree_line(yaml_document_get_node(&t->document, p->key)) : 0;
}

int32_t recipe_tree_line(const yaml_node_t *node)
{
    return node ? line_of(node->start_mark) : 0;
}
