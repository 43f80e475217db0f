/* split.h: cutting text into the pieces inside which tokens are merged.
 *
 * A splitter is a list of rules. Each rule cuts the pieces left by the one before: its matches
 * become pieces, and so do the gaps between them. Known patterns are hand-written scanners, linear
 * in the text; others run through PCRE2 under a match limit. Where a piece ends, the text ends for
 * the next rule: `$` and look-ahead see nothing behind it. */
#ifndef MK_TOKENIZER_SPLIT_H
#define MK_TOKENIZER_SPLIT_H

#include "formats/pre_names.h"
#include "tokenizer/unicode.h"

struct splitter {
    const uint8_t *classes;             /* borrowed, see unicode.h */
    int n;
    enum split_rule rules[MK_MAX_SPLITS];
    bool keep_gaps[MK_MAX_SPLITS];
    void *codes[MK_MAX_SPLITS];         /* owned pcre2_code of SPLIT_REGEX, else NULL */
};

/* What a scanner sees: s[0..end) with the piece beginning at or before `from`. */
struct split_view {
    const unsigned char *s;
    size_t end;
    const uint8_t *classes;
};
struct split_match { size_t begin, end; };

/* The leftmost match that begins at or after `from`; begin == view->end when there is none. */
typedef struct split_match split_find(const struct split_view *view, size_t from);

typedef int split_emit(void *context, const unsigned char *piece, size_t n, struct mk_error *err);

int splitter_init(struct splitter *sp, const struct vocab *v, const uint8_t *classes,
                  struct mk_error *err);
void splitter_release(struct splitter *sp);
/* Calls emit for every piece of text[n] in order; stops at the first that does not return 0. */
int splitter_run(const struct splitter *sp, const unsigned char *text, size_t n, split_emit *emit,
                 void *context, struct mk_error *err);

/* The scanners, one a rule; split_gpt.c and split_runs.c. */
split_find split_find_gpt2, split_find_llama3, split_find_qwen2, split_find_tekken,
    split_find_deepseek_v3;
split_find split_find_digit, split_find_digits_1_3, split_find_digits, split_find_three_digits,
    split_find_newline;
split_find split_find_space_end, split_find_llm_word, split_find_llm_punct, split_find_coder_word;
split_find split_find_coder_punct, split_find_cjk_hangul, split_find_cjk_kana,
    split_find_default_punct;

/* PCRE2; split_regex.c. */
struct split_regex_run;
int split_regex_compile(void **code, struct vocab_text pattern, struct mk_error *err);
void split_regex_free(void *code);
int split_regex_open(struct split_regex_run **run, const void *code, struct mk_error *err);
void split_regex_close(struct split_regex_run *run);
/* As split_find, over the piece s[begin..end). MK_ELIMIT when the pattern needs too many steps. */
int split_regex_find(struct split_regex_run *run, const unsigned char *s, size_t begin, size_t from,
                     size_t end, struct split_match *match, struct mk_error *err);

/* ---- for the scanners ------------------------------------------------------------------------ */

struct split_char { uint8_t class; int n; uint32_t code; };

/* The character at `at`; class 0, n 0, code 0 at the end. */
static inline struct split_char split_char_at(const struct split_view *v, size_t at)
{
    struct utf8_char c;

    if (at >= v->end)
        return (struct split_char){0, 0, 0};
    c = utf8_at(v->s + at, v->end - at);
    return (struct split_char){v->classes[c.code], c.n, c.code};
}

/* Behind the longest run of characters that have one of the bits. */
static inline size_t split_run(const struct split_view *v, size_t at, int bits)
{
    struct split_char c;

    while ((c = split_char_at(v, at)).class & bits)
        at += (size_t)c.n;
    return at;
}

#endif
