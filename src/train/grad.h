/* grad.h: gradients as a file (`minke grad`). */
#ifndef MK_TRAIN_GRAD_H
#define MK_TRAIN_GRAD_H

#include "train/params.h"

/* A safetensors file of every gradient there is, F32, under the weights' Hugging Face names, and
 * `loss` [1]. params_join has been called. */
int grad_write(const struct params *p, double loss, const char *path, struct mk_error *err);

#endif
