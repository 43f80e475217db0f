/* recipe_complaint.h: why a file does not follow the schema of recipes, in a sentence of ours with
 * the place. libcyaml tells it in a log of lines, first the reason, then from inside outwards where
 * it was; of YAML that is none it knows the value before alone, so libyaml is asked once more. */
#ifndef MK_TRAIN_RECIPE_COMPLAINT_H
#define MK_TRAIN_RECIPE_COMPLAINT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cyaml/cyaml.h>

#include "minke.h"

struct recipe_complaint {
    char reason[300];
    char where[200]; /* "data.sources (entry 2)"; "": the whole file */
    int line, column; /* of the innermost value, from 1; 0: none was told */
};

/* A cyaml_log_fn_t whose context is a complaint, zero at first. */
void recipe_complaint_listen(cyaml_log_t level, void *complaint, const char *format, va_list args);

/* Says in err what was wrong with text[n]: "PATH:LINE: ...". pipeline: stages were wanted. Returns
 * MK_EFORMAT. */
int recipe_complaint_explain(struct recipe_complaint *c, cyaml_err_t code, const char *text,
                             size_t n, const char *path, bool pipeline, struct mk_error *err);

/* The line, from 1, on which section.name (name alone where section is "") has its value, that of
 * the section where both stand on one line; 0: neither begins a line. */
int32_t recipe_line_of(const char *text, size_t n, const char *section, const char *name);

#endif
