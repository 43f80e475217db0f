/* sampling_options.h: checks struct mk_sampling before anything is sampled with it.
 *
 * mk_sampling_default, of the public header, lives in the same file. */
#ifndef MK_GENERATE_SAMPLING_OPTIONS_H
#define MK_GENERATE_SAMPLING_OPTIONS_H

#include "base/error.h"

/* MK_EINVAL with the field, its value and its range; NaN is outside of every range. n_vocab bounds
 * bias_ids. */
int sampling_check(const struct mk_sampling *o, int32_t n_vocab, struct mk_error *err);

#endif
