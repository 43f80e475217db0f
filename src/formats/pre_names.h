/* pre_names.h: the split patterns minke knows by heart, and the names under which GGUF files refer
 * to lists of them.
 *
 * A pattern is the exact text found in tokenizer.json; tokenizer/split.c has a hand-written scanner
 * for each. */
#ifndef MK_FORMATS_PRE_NAMES_H
#define MK_FORMATS_PRE_NAMES_H

#include <stdbool.h>

#include "formats/vocab.h"

enum split_rule {
    /* one alternation that does the whole work */
    SPLIT_GPT2, SPLIT_LLAMA3, SPLIT_QWEN2, SPLIT_TEKKEN, SPLIT_DEEPSEEK_V3,
    /* parts of a sequence */
    SPLIT_DIGIT, SPLIT_DIGITS_1_3, SPLIT_DIGITS, SPLIT_THREE_DIGITS, SPLIT_NEWLINE, SPLIT_SPACE_END,
    SPLIT_LLM_WORD, SPLIT_LLM_PUNCT, SPLIT_CODER_WORD, SPLIT_CODER_PUNCT, SPLIT_CJK_HANGUL,
    SPLIT_CJK_KANA, SPLIT_DEFAULT_PUNCT,
    SPLIT_N_RULES,
    SPLIT_REGEX = SPLIT_N_RULES /* any other: PCRE2 */
};

#define MK_MAX_SPLITS 8

struct pre_row {
    const char *name;
    int n_rules;
    enum split_rule rules[MK_MAX_SPLITS];
    bool nfc, ignore_merges, add_bos; /* what GGUF does not say and the family always does */
};

const char *split_pattern(enum split_rule rule);
/* SPLIT_REGEX when the pattern is not one of the known ones. */
enum split_rule split_rule_of(struct vocab_text pattern);
/* NULL when the name is not known. Aliases ("llama3", "gpt2") find the row of the main name. */
const struct pre_row *pre_find(const char *name);
/* The row with exactly these patterns, or NULL. */
const struct pre_row *pre_recognise(const struct vocab_text *patterns, int n);

/* The letters of deepseek-llm's word pattern: inclusive ranges, ascending. */
extern const uint32_t pre_llm_letters[][2];
extern const int pre_n_llm_letters;

#endif
