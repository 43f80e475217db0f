/* recipe_complaint.h: why a file does not follow the schema of recipes, in a sentence of ours with
 * the place. libcyaml tells it in a log of lines, first the reason, then from inside outwards where
 * it was. */
#ifndef MK_TRAIN_RECIPE_COMPLAINT_H
#define MK_TRAIN_RECIPE_COMPLAINT_H

#include <stdarg.h>
#include <stdbool.h>

#include <cyaml/cyaml.h>

#include "train/recipe_tree.h"

struct recipe_complaint {
    char reason[300];
    char where[200]; /* "data.sources (entry 2)"; "": the whole file */
    int n_around;    /* fields and entries around the place, as told */
};

/* A cyaml_log_fn_t whose context is a complaint, zero at first. */
void recipe_complaint_listen(cyaml_log_t level, void *complaint, const char *format, va_list args);

/* Says in err what was wrong with the file: "PATH:LINE: ...". pipeline: stages were wanted. Returns
 * MK_EFORMAT. */
int recipe_complaint_explain(struct recipe_complaint *c, cyaml_err_t code,
                             struct recipe_tree *tree, const char *path, bool pipeline,
                             struct mk_error *err);

#endif
