/* pre_names.c: tables of known split patterns and of the names that stand for lists of them. */
#include "formats/pre_names.h"

#include <string.h>

/* Exactly as tokenizer.json files spell them; characters outside ASCII are octal escapes. */
static const char *const patterns[SPLIT_N_RULES] = {
    [SPLIT_GPT2] =
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    [SPLIT_LLAMA3] =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}"
        "\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    [SPLIT_QWEN2] =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]"
        "+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    [SPLIT_TEKKEN] =
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M"
        "}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}"
        "\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    [SPLIT_DEEPSEEK_V3] =
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L"
        "}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    [SPLIT_DIGIT] = "\\p{N}",
    [SPLIT_DIGITS_1_3] = "\\p{N}{1,3}",
    [SPLIT_DIGITS] = "\\p{N}+",
    [SPLIT_THREE_DIGITS] = "[0-9][0-9][0-9]",
    [SPLIT_NEWLINE] = "[\r\n]",
    [SPLIT_SPACE_END] = "\\s+$",
    [SPLIT_LLM_WORD] =
        "\\s?[A-Za-z\302\265\303\200-\303\226\303\230-\303\266\303\270-\306\272\306\274-\306"
        "\277\307\204-\312\223\312\225-\312\257\315\260-\315\263\315\266\315\267\315\273-\315"
        "\275\315\277\316\206\316\210-\316\212\316\214\316\216-\316\241\316\243-\317\265\317"
        "\267-\322\201\322\212-\324\257\324\261-\325\226\341\202\240-\341\203\205\341\216\240-"
        "\341\217\265\341\217\270-\341\217\275\341\262\220-\341\262\272\341\262\275-\341\262"
        "\277\341\264\200-\341\264\253\341\265\253-\341\265\267\341\265\271-\341\266\232\341"
        "\270\200-\341\274\225\341\274\230-\341\274\235\341\274\240-\341\275\205\341\275\210-"
        "\341\275\215\341\275\220-\341\275\227\341\275\231\341\275\233\341\275\235\341\275\237-"
        "\341\275\275\341\276\200-\341\276\264\341\276\266-\341\276\274\341\276\276\341\277\202"
        "-\341\277\204\341\277\206-\341\277\214\341\277\220-\341\277\223\341\277\226-\341\277"
        "\233\341\277\240-\341\277\254\341\277\262-\341\277\264\341\277\266-\341\277\274\342"
        "\204\202\342\204\207\342\204\212-\342\204\223\342\204\225\342\204\231-\342\204\235\342"
        "\204\244\342\204\246\342\204\250\342\204\252-\342\204\255\342\204\257-\342\204\264\342"
        "\204\271\342\204\274-\342\204\277\342\205\205-\342\205\211\342\205\216\342\206\203\342"
        "\206\204\342\260\200-\342\261\273\342\261\276-\342\263\244\342\263\253-\342\263\256"
        "\342\263\262\342\263\263\352\231\200-\352\231\255\352\232\200-\352\232\233\352\234\242"
        "-\352\235\257\352\235\261-\352\236\207\352\236\213-\352\236\216\352\255\260-\352\256"
        "\277\357\254\200-\357\254\206\357\254\223-\357\254\227\357\274\241-\357\274\272\357"
        "\275\201-\357\275\232\360\220\220\200-\360\220\221\217\360\220\222\260-\360\220\223"
        "\223\360\220\223\230-\360\220\223\273\360\220\262\200-\360\220\262\262\360\220\263\200"
        "-\360\220\263\262\360\221\242\240-\360\221\243\237\360\236\244\200-\360\236\245\203]+",
    [SPLIT_LLM_PUNCT] =
        "\\s?[!-/:-~\357\274\201-\357\274\217\357\274\232-\357\275\236\342\200\230-\342\200\237"
        "\343\200\200-\343\200\202]+",
    [SPLIT_CODER_WORD] = "\\s?\\p{L}+",
    [SPLIT_CODER_PUNCT] = "\\s?\\p{P}+",
    [SPLIT_CJK_HANGUL] =
        "[\344\270\200-\351\276\245\340\240\200-\344\270\200\352\260\200-\355\237\277]+",
    [SPLIT_CJK_KANA] =
        "[\344\270\200-\351\276\245\343\201\200-\343\202\237\343\202\240-\343\203\277]+",
    [SPLIT_DEFAULT_PUNCT] = "[\\p{P}\\$\\+<=>\\^~\\|]+",
};

const uint32_t pre_llm_letters[][2] = {
    {0x41, 0x5A}, {0x61, 0x7A}, {0xB5, 0xB5}, {0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x1BA},
    {0x1BC, 0x1BF}, {0x1C4, 0x293}, {0x295, 0x2AF}, {0x370, 0x373}, {0x376, 0x376},
    {0x377, 0x377}, {0x37B, 0x37D}, {0x37F, 0x37F}, {0x386, 0x386}, {0x388, 0x38A},
    {0x38C, 0x38C}, {0x38E, 0x3A1}, {0x3A3, 0x3F5}, {0x3F7, 0x481}, {0x48A, 0x52F},
    {0x531, 0x556}, {0x10A0, 0x10C5}, {0x13A0, 0x13F5}, {0x13F8, 0x13FD}, {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF}, {0x1D00, 0x1D2B}, {0x1D6B, 0x1D77}, {0x1D79, 0x1D9A}, {0x1E00, 0x1F15},
    {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D}, {0x1F50, 0x1F57}, {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D}, {0x1F5F, 0x1F7D}, {0x1F80, 0x1FB4}, {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE}, {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC}, {0x1FD0, 0x1FD3}, {0x1FD6, 0x1FDB},
    {0x1FE0, 0x1FEC}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC}, {0x2102, 0x2102}, {0x2107, 0x2107},
    {0x210A, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211D}, {0x2124, 0x2124}, {0x2126, 0x2126},
    {0x2128, 0x2128}, {0x212A, 0x212D}, {0x212F, 0x2134}, {0x2139, 0x2139}, {0x213C, 0x213F},
    {0x2145, 0x2149}, {0x214E, 0x214E}, {0x2183, 0x2183}, {0x2184, 0x2184}, {0x2C00, 0x2C7B},
    {0x2C7E, 0x2CE4}, {0x2CEB, 0x2CEE}, {0x2CF2, 0x2CF2}, {0x2CF3, 0x2CF3}, {0xA640, 0xA66D},
    {0xA680, 0xA69B}, {0xA722, 0xA76F}, {0xA771, 0xA787}, {0xA78B, 0xA78E}, {0xAB70, 0xABBF},
    {0xFB00, 0xFB06}, {0xFB13, 0xFB17}, {0xFF21, 0xFF3A}, {0xFF41, 0xFF5A}, {0x10400, 0x1044F},
    {0x104B0, 0x104D3}, {0x104D8, 0x104FB}, {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2},
    {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};
const int pre_n_llm_letters = sizeof pre_llm_letters / sizeof *pre_llm_letters;

/* nfc: Qwen's tokenizer.json normalises, its GGUF does not say so. ignore_merges and add_bos: the
 * same for Llama 3 and Mistral. */
static const struct pre_row rows[] = {
    {"gpt-2", 1, {SPLIT_GPT2}, false, false, false},
    {"llama-bpe", 1, {SPLIT_LLAMA3}, false, true, true},
    {"qwen2", 1, {SPLIT_QWEN2}, true, false, false},
    {"deepseek-r1-qwen", 1, {SPLIT_QWEN2}, true, false, false},
    {"mistral", 1, {SPLIT_TEKKEN}, false, true, true},
    {"smollm", 2, {SPLIT_DIGIT, SPLIT_GPT2}, false, false, false},
    {"deepseek-v3", 3, {SPLIT_DIGITS_1_3, SPLIT_CJK_KANA, SPLIT_DEEPSEEK_V3}, false, false, false},
    {"deepseek-llm", 6,
     {SPLIT_NEWLINE, SPLIT_LLM_WORD, SPLIT_LLM_PUNCT, SPLIT_SPACE_END, SPLIT_CJK_HANGUL,
      SPLIT_DIGIT},
     false, false, false},
    {"deepseek-coder", 5,
     {SPLIT_NEWLINE, SPLIT_CODER_WORD, SPLIT_CODER_PUNCT, SPLIT_CJK_HANGUL, SPLIT_DIGIT},
     false, false, false},
    {"default", 4,
     {SPLIT_DEFAULT_PUNCT, SPLIT_GPT2, SPLIT_DIGITS, SPLIT_THREE_DIGITS},
     false, false, false},
};

/* Other names converters have used for the same splitting. */
static const char *const aliases[][2] = {
    {"gpt2", "gpt-2"}, {"olmo", "gpt-2"}, {"phi-2", "gpt-2"},
    {"llama3", "llama-bpe"}, {"llama-v3", "llama-bpe"},
    {"falcon3", "llama-bpe"}, {"tekken", "mistral"}, {"starcoder", "smollm"}, {"refact", "smollm"},
    {"command-r", "smollm"}, {"qwen", "qwen2"},
};

const char *split_pattern(enum split_rule rule)
{
    return patterns[rule];
}

/* One character of a pattern; \r and \n count as the control characters that some files hold
 * themselves. */
static char pattern_char(const char **p, const char *end)
{
    char c = *(*p)++;

    if (c != '\\' || *p == end)
        return c;
    if (**p == 'r' || **p == 'n')
        return *(*p)++ == 'r' ? '\r' : '\n';
    return c;
}

static bool same_pattern(const char *a, const char *a_end, const char *b, const char *b_end)
{
    while (a < a_end && b < b_end)
        if (pattern_char(&a, a_end) != pattern_char(&b, b_end))
            return false;
    return a == a_end && b == b_end;
}

enum split_rule split_rule_of(struct vocab_text pattern)
{
    for (int i = 0; i < SPLIT_N_RULES; i++)
        if (same_pattern(patterns[i], patterns[i] + strlen(patterns[i]), pattern.data,
                         pattern.data + pattern.n))
            return (enum split_rule)i;
    return SPLIT_REGEX;
}

const struct pre_row *pre_find(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (!strcmp(name, aliases[i][0]))
            name = aliases[i][1];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(name, rows[i].name))
            return &rows[i];
    return NULL;
}

const struct pre_row *pre_recognise(const struct vocab_text *list, int n)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int k = 0;

        while (k < n && n == rows[i].n_rules && split_rule_of(list[k]) == rows[i].rules[k])
            k++;
        if (n && k == n)
            return &rows[i];
    }
    return NULL;
}
