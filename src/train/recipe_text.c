/* recipe_text.c: the schema of recipes, made from the table of keys, and files that follow it. */
#include "train/recipe_text.h"

#include <string.h>

#include <cyaml/cyaml.h>

#include "train/recipe.h"
#include "train/recipe_complaint.h"

#define MAX_SECTIONS 24
#define MAX_TEXT 4000 /* bytes of a value */

/* ---- The schema, made from the table -------------------------------------------------------- */

struct schema {
    cyaml_schema_field_t fields[MAX_SECTIONS][RECIPE_MAX_KEYS];
    cyaml_schema_field_t top[MAX_SECTIONS + RECIPE_MAX_KEYS];
    int32_t n_top;
    cyaml_schema_value_t root;
    /* Of a pipeline: stages, which are recipes with a name and a kind, and recipes by kind. */
    cyaml_schema_field_t of_stage[MAX_SECTIONS + RECIPE_MAX_KEYS];
    cyaml_schema_value_t stage;
    cyaml_schema_field_t of_kinds[N_STAGE_KINDS]; /* the last is the end */
    cyaml_schema_field_t pipeline[6];
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
    CYAML_FIELD_STRING_PTR("scratchpad", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct task_text, scratchpad, 0, MAX_TEXT),
    CYAML_FIELD_STRING_PTR("search", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct task_text, search, 0, MAX_TEXT),
    CYAML_FIELD_STRING_PTR("impatient", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct task_text, impatient, 0, MAX_TEXT),
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
    s->n_top = n_top;
    s->root = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                     .flags = CYAML_FLAG_POINTER,
                                     .data_size = sizeof(struct file_text),
                                     .mapping = {.fields = s->top}};
}

/* ---- Loading -------------------------------------------------------------------------------- */

static const cyaml_config_t *config(cyaml_config_t *c, struct recipe_complaint *said)
{
    *c = (cyaml_config_t){.log_fn = recipe_complaint_listen,
                          .log_ctx = said,
                          .mem_fn = cyaml_mem,
                          .log_level = CYAML_LOG_ERROR,
                          .flags = CYAML_CFG_NO_ALIAS};
    return c;
}

/* One document that follows s->root, and its tree, which is the caller's when 0 is returned. */
static int load(const struct schema *s, void **data, struct recipe_tree *tree, const char *text,
                size_t n, const char *path, bool pipeline, struct mk_error *err)
{
    struct recipe_complaint said = {0};
    cyaml_config_t c;
    cyaml_err_t code;

    *data = NULL;
    if (recipe_tree_open(tree, text, n, path, err))
        return err->code;
    code = cyaml_load_data((const uint8_t *)text, n, config(&c, &said), &s->root, data, NULL);
    if (code == CYAML_OK)
        return 0;
    if (code == CYAML_ERR_OOM)
        mk_error_memory(err, n);
    else
        recipe_complaint_explain(&said, code, tree, path, pipeline, err);
    recipe_tree_close(tree);
    return err->code;
}

static void give_back(const struct schema *s, void *data)
{
    struct recipe_complaint said = {0};
    cyaml_config_t c;

    if (data)
        cyaml_free(config(&c, &said), &s->root, data, 0);
}

/* ---- Recipes and pipelines ------------------------------------------------------------------ */

/* For messages about what the values say. */
static void note_entries(struct file_text *file, struct recipe_tree *t, const yaml_node_t *root)
{
    const yaml_node_t *sources = recipe_tree_value(t, recipe_tree_value(t, root, "data"),
                                                   "sources");
    const yaml_node_t *teachers = recipe_tree_value(t, recipe_tree_value(t, root, "distill"),
                                                    "teachers");
    const yaml_node_t *tasks = recipe_tree_value(t, root, "tasks");

    for (uint64_t i = 0; i < file->sources_count; i++) {
        struct source_text *s = &file->sources[i];
        const yaml_node_t *source = recipe_tree_entry(t, sources, i);
        const yaml_node_t *points = recipe_tree_value(t, source, "weights");

        s->line = recipe_tree_line(source);
        for (uint64_t k = 0; k < s->weights_count; k++)
            s->weights[k].line = recipe_tree_line(recipe_tree_entry(t, points, k));
    }
    for (uint64_t i = 0; i < file->teachers_count; i++)
        file->teachers[i].line = recipe_tree_line(recipe_tree_entry(t, teachers, i));
    for (uint64_t i = 0; i < file->tasks_count; i++)
        file->tasks[i].line = recipe_tree_line(recipe_tree_entry(t, tasks, i));
}

/* root: of a recipe, or of a stage. */
static void note_lines(struct file_text *file, struct recipe_tree *t, const yaml_node_t *root)
{
    int32_t n_keys;
    const struct recipe_key *keys = recipe_keys(&n_keys);

    for (int32_t i = 0; i < n_keys; i++)
        if (file->values[i])
            file->lines[i] = recipe_tree_key_line(
                t, *keys[i].section ? recipe_tree_value(t, root, keys[i].section) : root,
                keys[i].name, 0);
    note_entries(file, t, root);
}

int recipe_text_load(struct file_text **file, const char *text, size_t n, const char *path,
                     struct mk_error *err)
{
    struct recipe_tree tree;
    struct schema schema;
    void *data;

    make_schema(&schema);
    if (load(&schema, &data, &tree, text, n, path, false, err))
        return err->code;
    *file = data;
    note_lines(*file, &tree, recipe_tree_root(&tree));
    recipe_tree_close(&tree);
    return 0;
}

void recipe_text_free(struct file_text *file)
{
    struct schema schema;

    make_schema(&schema);
    give_back(&schema, file);
}

/* Recipes inside a pipeline: its stages, and what all stages of a kind share. */
static void make_parts(struct schema *s)
{
    static const cyaml_schema_field_t head[] = {
        CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct stage_text, name, 1, MAX_TEXT),
        CYAML_FIELD_STRING_PTR("kind", CYAML_FLAG_POINTER, struct stage_text, kind, 1, MAX_TEXT)};

    memcpy(s->of_stage, s->top, sizeof s->top);
    memcpy(s->of_stage + s->n_top, head, sizeof head);
    s->stage = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                      .flags = CYAML_FLAG_DEFAULT,
                                      .data_size = sizeof(struct stage_text),
                                      .mapping = {.fields = s->of_stage}};
    for (int kind = STAGE_NONE + 1; kind < N_STAGE_KINDS; kind++)
        s->of_kinds[kind - 1] = (cyaml_schema_field_t){
            .key = stage_kind_name((enum stage_kind)kind),
            .value = {.type = CYAML_MAPPING,
                      .flags = CYAML_FLAG_OPTIONAL,
                      .data_size = sizeof(struct file_text),
                      .mapping = {.fields = s->top}},
            .data_offset = (uint32_t)((size_t)kind * sizeof(struct file_text))};
}

/* From the schema of recipes. */
static void make_pipeline_schema(struct schema *s)
{
    cyaml_schema_field_t pipeline[] = {
        CYAML_FIELD_STRING_PTR("out", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               struct pipeline_text, out, 0, MAX_TEXT),
        CYAML_FIELD_STRING_PTR("seed", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               struct pipeline_text, seed, 0, MAX_TEXT),
        CYAML_FIELD_STRING_PTR("threads", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               struct pipeline_text, threads, 0, MAX_TEXT),
        CYAML_FIELD_MAPPING("defaults", CYAML_FLAG_OPTIONAL, struct pipeline_text, defaults,
                            s->of_kinds),
        CYAML_FIELD_SEQUENCE("stages", CYAML_FLAG_POINTER, struct pipeline_text, stages, &s->stage,
                             1, PIPELINE_MAX_STAGES),
        CYAML_FIELD_END};

    make_schema(s);
    make_parts(s);
    memcpy(s->pipeline, pipeline, sizeof pipeline);
    s->root = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                     .flags = CYAML_FLAG_POINTER,
                                     .data_size = sizeof(struct pipeline_text),
                                     .mapping = {.fields = s->pipeline}};
}

static void note_pipeline(struct pipeline_text *file, struct recipe_tree *t)
{
    const yaml_node_t *root = recipe_tree_root(t), *stages = recipe_tree_value(t, root, "stages");
    const yaml_node_t *defaults = recipe_tree_value(t, root, "defaults");

    file->seed_line = recipe_tree_key_line(t, root, "seed", 0);
    file->threads_line = recipe_tree_key_line(t, root, "threads", 0);
    for (int kind = STAGE_NONE + 1; kind < N_STAGE_KINDS; kind++)
        note_lines(&file->defaults[kind], t,
                   recipe_tree_value(t, defaults, stage_kind_name((enum stage_kind)kind)));
    for (uint64_t i = 0; i < file->stages_count; i++) {
        const yaml_node_t *stage = recipe_tree_entry(t, stages, i);

        file->stages[i].file.line = recipe_tree_line(stage);
        note_lines(&file->stages[i].file, t, stage);
    }
}

int pipeline_text_load(struct pipeline_text **file, const char *text, size_t n, const char *path,
                       struct mk_error *err)
{
    struct recipe_tree tree;
    struct schema schema;
    void *data;

    make_pipeline_schema(&schema);
    if (load(&schema, &data, &tree, text, n, path, true, err))
        return err->code;
    *file = data;
    note_pipeline(*file, &tree);
    recipe_tree_close(&tree);
    return 0;
}

void pipeline_text_free(struct pipeline_text *file)
{
    struct schema schema;

    make_pipeline_schema(&schema);
    give_back(&schema, file);
}
