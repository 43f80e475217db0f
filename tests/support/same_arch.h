/* same_arch.h: asserting that two descriptions of a model agree. */
#ifndef MK_TESTS_SAME_ARCH_H
#define MK_TESTS_SAME_ARCH_H

#include "formats/arch.h"

/* Everything but rope and its scaling, which the converters to GGUF change, FP8 and MTP, which they
 * leave out, and the sampling defaults, which stand in a file of their own. */
void assert_same_shape(struct arch got, struct arch want);
/* Frequencies and what multiplies them, and the rest of config.json. */
void assert_same_config(struct arch got, struct arch want);

#endif
