/* checked.h: size arithmetic on numbers that come from files. true means the result is right, false
 * that it overflowed. */
#ifndef MK_BASE_CHECKED_H
#define MK_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* Rounds a up to a multiple of `to`, a power of two. */
static inline bool checked_align(uint64_t a, uint64_t to, uint64_t *out)
{
    if (!checked_add(a, to - 1, out))
        return false;
    *out &= ~(to - 1);
    return true;
}

#endif
