/* param_list.h: which weights an architecture has. Part of params.c. */
#ifndef MK_TRAIN_PARAM_LIST_H
#define MK_TRAIN_PARAM_LIST_H

#include "train/params.h"

/* Fills items and n_items from p->arch, in the order of a file; no values yet. */
int param_list(struct params *p, struct mk_error *err);

#endif
