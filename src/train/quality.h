/* quality.h: drops documents that teach a model little, each with the reason.
 *
 * The plain measures of Gopher (Rae et al. 2021, appendix A) and C4: length, words, symbols and
 * repetition. The first filter that a document fails, in the order of enum quality, is its reason.
 * A limit of 0 is off. Words are parted by white space; a character from U+2E80 on (Chinese,
 * Japanese, Korean) is a word of its own, whose length is not counted. */
#ifndef MK_TRAIN_QUALITY_H
#define MK_TRAIN_QUALITY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum quality {
    QUALITY_KEEP,
    QUALITY_TOO_SHORT,        /* bytes */
    QUALITY_TOO_LONG,         /* bytes */
    QUALITY_NOT_UTF8,
    QUALITY_FEW_WORDS,
    QUALITY_LONG_WORDS,       /* mean length: base64, minified code */
    QUALITY_FEW_LETTERS,      /* share of letters among characters that are not white space */
    QUALITY_REPEATED_LINES,   /* share of bytes in lines that stood before */
    QUALITY_REPEATED_WORDS,   /* share of groups of four words that stood before */
    QUALITY_N
};

struct quality_options {
    size_t min_bytes, max_bytes;
    int64_t min_words;
    double max_word_bytes;      /* mean */
    double min_letter_share;
    double max_repeated_lines, max_repeated_words; /* shares */
};

/* 100 bytes, 20 words of at most 20 bytes, 0.5 letters, 0.3 in repeated lines, 0.4 of the groups of
 * words repeated; no upper end. */
struct quality_options quality_defaults(void);

/* For reports: "too short". */
const char *quality_name(enum quality q);

struct quality_report { int64_t n[QUALITY_N], n_bytes[QUALITY_N]; };

/* The verdict, counted in *r. MK_EMEMORY aside it cannot fail. */
int quality_check(const struct quality_options *o, const char *text, size_t n, enum quality *q,
                  struct quality_report *r, struct mk_error *err);

#endif
