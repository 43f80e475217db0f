/* decimal.h: numbers as people write them. */
#ifndef MK_BASE_DECIMAL_H
#define MK_BASE_DECIMAL_H

#define DECIMAL_BYTES 32

/* The fewest digits that read back to x, with its NUL: 0.1, not 0.10000000000000001; 100000, not
 * 1e+05, up to 17 places. x: finite. */
void decimal_shortest(double x, char out[DECIMAL_BYTES]);

#endif
