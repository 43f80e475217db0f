/* split_gpt.c: scanners for the patterns that descend from GPT-2's: one alternation that covers
 * every text.
 *
 * They share a shape: contractions, an optional leading character with letters, numbers, other
 * signs, white space. Every function looks at one alternative, in the order of the pattern, and
 * returns where its match ends, or `at` for none. */
#include "tokenizer/split.h"

/* 's 't 're 've 'm 'll 'd at the apostrophe `at`. `fold`: any case, where U+017F (long s) folds to
 * s too. */
static size_t contraction(const struct split_view *v, size_t at, bool fold)
{
    const unsigned char *s = v->s + at;
    size_t left = v->end - at;
    unsigned char a, b;

    if (left < 2 || s[0] != '\'')
        return at;
    a = fold && s[1] >= 'A' && s[1] <= 'Z' ? s[1] | 0x20 : s[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return at + 2;
    if (left < 3)
        return at;
    if (fold && s[1] == 0xC5 && s[2] == 0xBF)
        return at + 3;
    b = fold && s[2] >= 'A' && s[2] <= 'Z' ? s[2] | 0x20 : s[2];
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? at + 3 : at;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ where `lines`, else \s+(?!\S)|\s+: the first goes to the last line break
 * of the run, the second leaves the last character of the run to whatever follows. */
static size_t white_space(const struct split_view *v, size_t at, bool lines)
{
    size_t last = at, line_end = at, end = at;
    struct split_char c;

    for (; (c = split_char_at(v, end)).class & UC_SPACE; end += (size_t)c.n) {
        last = end;
        if (c.code == '\r' || c.code == '\n')
            line_end = end + 1;
    }
    if (lines && line_end > at)
        return line_end;
    return end < v->end && last > at ? last : end;
}

static size_t line_breaks(const struct split_view *v, size_t at, bool slash)
{
    while (at < v->end && (v->s[at] == '\r' || v->s[at] == '\n' || (slash && v->s[at] == '/')))
        at++;
    return at;
}

/* A run of characters that are not white space, letter or number. */
static size_t others(const struct split_view *v, size_t at)
{
    struct split_char c;

    while ((c = split_char_at(v, at)).n && !(c.class & (UC_SPACE | UC_LETTER | UC_NUMBER)))
        at += (size_t)c.n;
    return at;
}

/* ` ?[class]+` */
static size_t spaced_run(const struct split_view *v, size_t at, int bits)
{
    size_t begin = at + (v->s[at] == ' '), end = split_run(v, begin, bits);

    return end > begin ? end : at;
}

static size_t spaced_others(const struct split_view *v, size_t at)
{
    size_t begin = at + (v->s[at] == ' '), end = others(v, begin);

    return end > begin ? end : at;
}

/* `[^\r\n\p{L}\p{N}]?\p{L}+`; the optional character may be anything else, a broken byte
 * included. */
static size_t led_letters(const struct split_view *v, size_t at)
{
    struct split_char c = split_char_at(v, at);
    size_t begin, end;

    if (c.class & UC_LETTER)
        return split_run(v, at, UC_LETTER);
    if ((c.class & UC_NUMBER) || c.code == '\r' || c.code == '\n')
        return at;
    begin = at + (size_t)c.n;
    end = split_run(v, begin, UC_LETTER);
    return end > begin ? end : at;
}

/* Up to `most` numbers. */
static size_t numbers(const struct split_view *v, size_t at, int most)
{
    struct split_char c;

    while (most-- > 0 && (c = split_char_at(v, at)).class & UC_NUMBER)
        at += (size_t)c.n;
    return at;
}

struct split_match split_find_gpt2(const struct split_view *v, size_t from)
{
    size_t end = from;

    if (from >= v->end)
        return (struct split_match){from, from};
    if (end == from)
        end = contraction(v, from, false);
    if (end == from)
        end = spaced_run(v, from, UC_LETTER);
    if (end == from)
        end = spaced_run(v, from, UC_NUMBER);
    if (end == from)
        end = spaced_others(v, from);
    if (end == from)
        end = white_space(v, from, false);
    return (struct split_match){from, end};
}

/* Llama 3 and Qwen 2 differ in how many digits stay together. */
static struct split_match find_cl100k(const struct split_view *v, size_t from, int digits)
{
    size_t end = from;

    if (from >= v->end)
        return (struct split_match){from, from};
    end = contraction(v, from, true);
    if (end == from)
        end = led_letters(v, from);
    if (end == from)
        end = numbers(v, from, digits);
    if (end == from) {
        end = spaced_others(v, from);
        if (end > from)
            end = line_breaks(v, end, false);
    }
    if (end == from)
        end = white_space(v, from, true);
    return (struct split_match){from, end};
}

struct split_match split_find_llama3(const struct split_view *v, size_t from)
{
    return find_cl100k(v, from, 3);
}

struct split_match split_find_qwen2(const struct split_view *v, size_t from)
{
    return find_cl100k(v, from, 1);
}

/* ---- Mistral's "tekken" ---------------------------------------------------------------------- */

static bool is_high(struct split_char c) /* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] */
{
    return (c.class & UC_MARK) || ((c.class & UC_LETTER) && !(c.class & UC_LOWER));
}

static bool is_low(struct split_char c) /* [\p{Ll}\p{Lm}\p{Lo}\p{M}] */
{
    return (c.class & UC_MARK) || ((c.class & UC_LETTER) && !(c.class & UC_UPPER));
}

/* `high*low+`. The classes overlap: when nothing low follows the run of high ones, it gives
 * characters back until the match can end in one that is both; `both` remembers where the last of
 * them ended. */
static size_t low_word(const struct split_view *v, size_t at)
{
    size_t end = at, both = at;
    struct split_char c;

    for (; is_high(c = split_char_at(v, end)); end += (size_t)c.n)
        if (is_low(c))
            both = end + (size_t)c.n;
    if (!is_low(c))
        return both;
    for (; is_low(c = split_char_at(v, end)); end += (size_t)c.n)
        ;
    return end;
}

/* `high+low*` where low_word has failed: nothing low is there. */
static size_t high_word(const struct split_view *v, size_t at)
{
    struct split_char c;

    for (; is_high(c = split_char_at(v, at)); at += (size_t)c.n)
        ;
    return at;
}

/* Both forms behind an optional character that may itself be a mark: low with it, low without, high
 * with, high without. */
static size_t led_cased_word(const struct split_view *v, size_t at)
{
    struct split_char c = split_char_at(v, at);
    bool led = !(c.class & (UC_LETTER | UC_NUMBER)) && c.code != '\r' && c.code != '\n';
    size_t begin = led ? at + (size_t)c.n : at, end = low_word(v, begin);

    if (end > begin)
        return end;
    end = low_word(v, at);
    if (end > at)
        return end;
    end = high_word(v, begin);
    return end > begin ? end : high_word(v, at);
}

struct split_match split_find_tekken(const struct split_view *v, size_t from)
{
    size_t end;

    if (from >= v->end)
        return (struct split_match){from, from};
    end = led_cased_word(v, from);
    if (end == from)
        end = numbers(v, from, 1);
    if (end == from) {
        end = spaced_others(v, from);
        if (end > from)
            end = line_breaks(v, end, true);
    }
    if (end == from)
        end = white_space(v, from, true);
    return (struct split_match){from, end};
}

/* ---- DeepSeek V3 ----------------------------------------------------------------------------- */

static bool is_ascii_letter(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_ascii_punct(unsigned char c)
{
    return c > ' ' && c < 127 && !is_ascii_letter(c) && !(c >= '0' && c <= '9');
}

/* `[!-~ without letters and digits][A-Za-z]+` */
static size_t punct_word(const struct split_view *v, size_t at)
{
    size_t end = at + 1;

    if (!is_ascii_punct(v->s[at]))
        return at;
    while (end < v->end && is_ascii_letter(v->s[end]))
        end++;
    return end > at + 1 ? end : at;
}

/* `[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+`: a leading mark may be the optional character or begin the
 * word; same end. */
static size_t led_marked_letters(const struct split_view *v, size_t at)
{
    struct split_char c = split_char_at(v, at);
    size_t begin, end;

    if (c.class & (UC_LETTER | UC_MARK))
        return split_run(v, at, UC_LETTER | UC_MARK);
    if ((c.class & (UC_PUNCT | UC_SYMBOL)) || c.code == '\r' || c.code == '\n')
        return at;
    begin = at + (size_t)c.n;
    end = split_run(v, begin, UC_LETTER | UC_MARK);
    return end > begin ? end : at;
}

/* Numbers, controls and unassigned characters match nothing here: they stay in the gaps. */
static size_t deepseek_v3_end(const struct split_view *v, size_t at)
{
    size_t end = punct_word(v, at);

    if (end == at)
        end = led_marked_letters(v, at);
    if (end == at) {
        end = spaced_run(v, at, UC_PUNCT | UC_SYMBOL);
        if (end > at)
            end = line_breaks(v, end, false);
    }
    return end > at ? end : white_space(v, at, true);
}

struct split_match split_find_deepseek_v3(const struct split_view *v, size_t from)
{
    for (size_t at = from; at < v->end; at += (size_t)split_char_at(v, at).n) {
        size_t end = deepseek_v3_end(v, at);

        if (end > at)
            return (struct split_match){at, end};
    }
    return (struct split_match){v->end, v->end};
}
