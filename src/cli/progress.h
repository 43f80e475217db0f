/* progress.h: a line that shows how far bytes have come, on a terminal; nothing in a pipe. */
#ifndef MK_CLI_PROGRESS_H
#define MK_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRESS_COLUMNS 79 /* a full line of 80 would wrap on some terminals */

struct progress {
    FILE *out;
    bool shown;    /* out is a terminal and nobody asked for quiet */
    bool drawn;    /* there is a line to clear */
    char what[64]; /* of the last call: another one begins a new measurement */
    double begin_ms, drawn_ms;
    uint64_t begin; /* bytes that were there when the measurement began */
};

void progress_init(struct progress *p, FILE *out, bool quiet);
/* total 0: unknown. Draws ten times a second at most. */
void progress_show(struct progress *p, const char *what, uint64_t done, uint64_t total);
/* Removes the line; call it before anything else is printed. */
void progress_clear(struct progress *p);

/* The line itself, without a line break: at most PROGRESS_COLUMNS characters. elapsed_ms: for the
 * bytes since `begin`. */
void progress_format(char line[PROGRESS_COLUMNS + 1], const char *what, uint64_t begin,
                     uint64_t done, uint64_t total, double elapsed_ms);
/* "2:05", "1:02:05". */
void progress_time(char text[32], double seconds);
/* "98.3 MB", decimal units as on the pages that models come from. */
void progress_bytes(char text[16], uint64_t bytes);

#endif
