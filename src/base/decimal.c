/* decimal.c: tries one digit more until the number is the same. */
#include "base/decimal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST 17 /* digits that tell any two doubles apart */

/* Digits in front of the point: with fewer, %g turns to exponents. */
static int whole_digits(double x)
{
    return fabs(x) >= 1 && fabs(x) < 1e17 ? (int)floor(log10(fabs(x))) + 1 : 1;
}

void decimal_shortest(double x, char out[DECIMAL_BYTES])
{
    for (int digits = whole_digits(x); digits <= MOST; digits++) {
        snprintf(out, DECIMAL_BYTES, "%.*g", digits, x);
        if (strtod(out, NULL) == x)
            return;
    }
    snprintf(out, DECIMAL_BYTES, "%.*g", MOST, x);
}
