/* format.h: is an answer laid out as it was asked for? Tags, language, length, repetition.
 *
 * Pure functions of text, for rewards and for reports; any bytes are allowed. All but
 * format_repetition use no memory, all are linear in the length. Source of the rewards: DeepSeek-R1
 * (2501.12948), sections 2.2.2 (format) and 2.3.2 (language consistency). */
#ifndef MK_VERIFY_FORMAT_H
#define MK_VERIFY_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "verify/text_span.h"

/* ---- Tags ------------------------------------------------------------------------------------ */

struct format_rules {
    bool in_thought;  /* the prompt ended with <think>: the text begins inside the thought */
    bool answer_tags; /* the answer stands in <answer>...</answer>; else it is all that follows
                         </think> */
    bool direct;      /* a text without any tag of a thought is an answer given at once */
    bool loose;       /* text outside the tags is allowed; else only blanks */
};

enum format_fault {
    FORMAT_GOOD,
    FORMAT_THINK_MISSING,  /* no <think>, or no </think>: the thought never ended */
    FORMAT_THINK_TWICE,    /* one of the two stands there more than once */
    FORMAT_ANSWER_MISSING, /* no <answer> or no </answer>; without answer_tags: nothing follows */
    FORMAT_ANSWER_TWICE,
    FORMAT_ORDER,  /* all there, not in the order <think></think><answer></answer> */
    FORMAT_OUTSIDE /* something but blanks outside the tags */
};

struct format_verdict {
    enum format_fault fault; /* the first of the list that applies */
    /* Insides without the blanks around them, best effort: where a tag is missing or doubled they
     * are what stands between the last <answer> and the next </answer>, and between the first
     * <think> and the first </think>, if both are there; at is NULL otherwise. */
    struct text_span think, answer;
};
/* Each tag exactly once and in order. Returns v->fault == FORMAT_GOOD. v may be NULL. */
bool verify_format(const char *text, size_t n, const struct format_rules *rules,
                   struct format_verdict *v);
/* "a thought that never ends" and so on: one clause for reports. */
const char *format_fault_text(enum format_fault fault);

/* ---- Language -------------------------------------------------------------------------------- */

enum format_script {
    SCRIPT_LATIN,
    SCRIPT_HAN, /* with kana and bopomofo */
    SCRIPT_CYRILLIC,
    SCRIPT_GREEK,
    SCRIPT_HANGUL,
    SCRIPT_ARABIC,
    SCRIPT_HEBREW,
    SCRIPT_DEVANAGARI,
    SCRIPT_THAI,
    SCRIPT_OTHER, /* letters of none of these */
    N_SCRIPTS
};
/* Words of the text in the script / words of the text, 0..1; 1 when it has no words. A word is a
 * run of letters of one script; each Han character and each kana is a word. Digits, signs, LaTeX
 * commands (\frac) and what stands between two dollars are no words: mathematics belongs to every
 * language. */
double format_language(const char *text, size_t n, enum format_script script);
/* "latin", "han" ... */
const char *format_script_name(enum format_script script);
/* And back. MK_EINVAL: `key` (an option, a key of a recipe) names none; the message lists them. */
int format_script_read(enum format_script *script, const char *name, const char *key,
                       struct mk_error *err);

/* ---- Length and repetition ------------------------------------------------------------------- */

struct format_length {
    size_t bytes, characters, words, lines; /* characters: code points; words: between blanks */
};
struct format_length format_length(const char *text, size_t n);

/* Share of the text's runs of n_gram words (4 is usual) that stood in it before, 0..1; 0 for a text
 * of fewer words. A text that says one sentence over and over is near 1. Memory: 8 bytes a word,
 * freed before it returns. MK_EINVAL for n_gram < 1, MK_EMEMORY. */
int format_repetition(const char *text, size_t n, int n_gram, double *share, struct mk_error *err);

#endif
