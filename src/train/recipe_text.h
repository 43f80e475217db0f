/* recipe_text.h: recipes and pipelines as libcyaml reads them: every scalar is text. Parts of
 * recipe.c. */
#ifndef MK_TRAIN_RECIPE_TEXT_H
#define MK_TRAIN_RECIPE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "train/recipe.h"

#define RECIPE_MAX_KEYS 192
#define PIPELINE_MAX_STAGES 64

/* `line`: where it begins in its file, from 1. */
struct point_text {
    char *tokens, *weight;
    int32_t line;
};
struct source_text {
    char *name, *path, *weight, *format;
    struct point_text *weights;
    uint64_t weights_count;
    int32_t line;
};
struct task_text {
    char *name, *weight, *level, *level_max, *scratchpad, *search, *impatient;
    int32_t line;
};
struct teacher_text {
    char *path, *weight;
    int32_t line;
};
/* As in the file. */
struct file_text {
    char *values[RECIPE_MAX_KEYS];  /* of the table's key i; NULL: not given */
    int32_t lines[RECIPE_MAX_KEYS]; /* that they stand on */
    struct source_text *sources;
    uint64_t sources_count;
    struct teacher_text *teachers;
    uint64_t teachers_count;
    struct task_text *tasks;
    uint64_t tasks_count;
    int32_t line;
};
/* A stage is a recipe with a name and a kind. */
struct stage_text {
    struct file_text file; /* first: the schema of recipes fits it */
    char *name, *kind;
};
struct pipeline_text {
    char *out, *seed, *threads;
    int32_t seed_line, threads_line;
    struct file_text defaults[N_STAGE_KINDS]; /* empty where none are given */
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

/* ---- Text to values: recipe_values.c -------------------------------------------------------- */

/* A text that a recipe takes values from. */
struct recipe_layer {
    const struct file_text *file; /* NULL: there is none */
    const char *path;
    const char *part; /* of the file, "stage NAME" say; "": all of it */
};

/* Puts "PATH:LINE: PART: " in front of a message; line 0 is left out. Returns err's code. */
int recipe_blame(const struct recipe_layer *from, int32_t line, struct mk_error *err);
/* Puts a value, as it stands in a file, into the recipe: "KEY: 'VALUE' is not ..." when it is none
 * of the key's. Strings are borrowed. */
int recipe_put(struct recipe *r, const struct recipe_key *k, const char *value,
               struct mk_error *err);
/* Those lists of a layer that the recipe does not have yet. Errors are blamed on their lines. */
int recipe_put_lists(struct recipe *r, const struct recipe_layer *from, struct mk_error *err);

/* ---- Stages --------------------------------------------------------------------------------- */

/* What a stage is to its pipeline. */
struct recipe_stage {
    enum stage_kind kind;
    const char *name;
    const struct file_text *defaults; /* what stages of its kind share */
    struct recipe_shared {
        const char *value; /* of stages that do not say; or NULL */
        int32_t line;      /* 0: given with --set */
    } seed, threads;
};
/* Puts the place where a key is given in front of a message, or that of the whole recipe; while the
 * path that it was read from is there. */
int recipe_blame_key(const struct recipe *r, const char *section, const char *name,
                     struct mk_error *err);
/* A stage's recipe; file and defaults are borrowed and must outlive it. path: of the pipeline. */
int recipe_of_stage(struct recipe *r, const struct file_text *file,
                    const struct recipe_stage *stage, const char *path, const char *const *sets,
                    int32_t n_sets, struct mk_error *err);

#endif
