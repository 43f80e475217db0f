/* recipe_text.h: recipes and pipelines as libcyaml reads them: every scalar is text. Parts of
 * recipe.c. */
#ifndef MK_TRAIN_RECIPE_TEXT_H
#define MK_TRAIN_RECIPE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "train/recipe.h"

#define RECIPE_MAX_KEYS 192
#define PIPELINE_MAX_STAGES 64

struct point_text {
    char *tokens, *weight;
};
struct source_text {
    char *name, *path, *weight, *format;
    struct point_text *weights;
    uint64_t weights_count;
};
struct task_text {
    char *name, *weight, *level, *level_max, *scratchpad, *search, *impatient;
};
struct teacher_text {
    char *path, *weight;
};
/* As in the file. */
struct file_text {
    char *values[RECIPE_MAX_KEYS]; /* of the table's key i; NULL: not given */
    int32_t lines[RECIPE_MAX_KEYS]; /* that they stand on, from 1; 0: not known, as in stages */
    struct source_text *sources;
    uint64_t sources_count;
    struct teacher_text *teachers;
    uint64_t teachers_count;
    struct task_text *tasks;
    uint64_t tasks_count;
};
/* A stage is a recipe with a name and a kind. */
struct stage_text {
    struct file_text file; /* first: the schema of recipes fits it */
    char *name, *kind;
};
struct pipeline_text {
    char *out, *seed, *threads;
    struct stage_text *stages;
    uint64_t stages_count;
};

/* n bytes of YAML; path is for messages: "PATH:LINE: what is wrong". The result is libcyaml's, to
 * be given back. */
int recipe_text_load(struct file_text **file, const char *text, size_t n, const char *path,
                     struct mk_error *err);
void recipe_text_free(struct file_text *file);
int pipeline_text_load(struct pipeline_text **file, const char *text, size_t n, const char *path,
                       struct mk_error *err);
void pipeline_text_free(struct pipeline_text *file);

/* What a stage is to its pipeline. */
struct recipe_stage {
    enum stage_kind kind;
    const char *seed, *threads; /* of stages that do not say; or NULL */
};
/* A stage's recipe; file is borrowed and must outlive it. path: "PIPELINE.yaml: stage NAME". */
int recipe_of_stage(struct recipe *r, struct file_text *file, const struct recipe_stage *stage,
                    const char *path, const char *const *sets, int32_t n_sets,
                    struct mk_error *err);

#endif
