/* simd.h: the x86 intrinsics, from the compiler, or as plain C from SIMDe.
 *
 * With MK_SIMDE a variant is compiled a second time, for tests alone: its intrinsics become calls
 * of SIMDe (slow, but they run on any x86), and its fill function gets another name beside the real
 * one's. That is how AVX-512 code is tested where there is no AVX-512. */
#ifndef MK_KERNELS_CPU_X86_SIMD_H
#define MK_KERNELS_CPU_X86_SIMD_H

#ifdef MK_SIMDE
#define SIMDE_ENABLE_NATIVE_ALIASES
#define SIMDE_NO_CHECK_IMMEDIATE_CONSTANT /* shifts are constant only once loops are unrolled */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#pragma GCC diagnostic pop
#include "kernels/cpu/x86/simde_missing.h"
#define vector_fill_avx512 vector_fill_avx512_simde
#define attention_fill_avx512 attention_fill_avx512_simde
#define matmul_fill_avx512 matmul_fill_avx512_simde
#define matmul_fill_vnni matmul_fill_vnni_simde
#define backward_fill_avx512 backward_fill_avx512_simde
#define gemm_fill_avx512 gemm_fill_avx512_simde
#define bf16_fill_bf16 bf16_fill_bf16_simde
#else
#include <immintrin.h>
#endif

/* MK_UNROLL stands before a loop with a constant count over registers: gcc must unroll it, or the
 * array that stands for the registers becomes memory; clang does so by itself. MK_INLINE marks the
 * bodies of tiles, called with constant sizes: one copy for each. Neither is of use in emulation,
 * where they would only cost minutes of compilation. */
#if defined(MK_SIMDE) || defined(__clang__)
#define MK_UNROLL
#else
#define MK_UNROLL _Pragma("GCC unroll 16")
#endif
#if defined(MK_SIMDE)
#define MK_INLINE static
#else
#define MK_INLINE static inline __attribute__((always_inline))
#endif

#endif
