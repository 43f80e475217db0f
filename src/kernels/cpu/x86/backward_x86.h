/* backward_x86.h: inner functions that backward_avx2.c defines and wider tables list too: they wait
 * for memory, or move values about. */
#ifndef MK_KERNELS_CPU_X86_BACKWARD_X86_H
#define MK_KERNELS_CPU_X86_BACKWARD_X86_H

#include "kernels/cpu/backward_rows.h"

void backward_turn_avx2(float *out, const float *x, int32_t n);
void backward_adamw_avx2(const struct adamw_step *a, const struct adamw_piece *p);

#endif
