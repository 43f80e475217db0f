/* gqa.h: what grouped-query attention shares with its backward pass. */
#ifndef MK_MODEL_GQA_H
#define MK_MODEL_GQA_H

#include "model/step.h"

/* Rows are [keys of all kv heads | values of all kv heads]. */
struct attend_shape gqa_shape(const struct step *s);

#endif
