/* split_runs.c: scanners for the short patterns that Sequences are made of: runs of one class,
 * perhaps behind a space. */
#include "tokenizer/split.h"

/* Whether a character belongs to the run; the contexts are the patterns of pre_names.c. */
typedef bool member(struct split_char c);

static struct split_match no_match(const struct split_view *v)
{
    return (struct split_match){v->end, v->end};
}

static size_t run_end(const struct split_view *v, size_t at, member *is)
{
    struct split_char c;

    while ((c = split_char_at(v, at)).n && is(c))
        at += (size_t)c.n;
    return at;
}

/* `[class]+` */
static struct split_match find_run(const struct split_view *v, size_t from, member *is)
{
    struct split_char c;

    for (size_t at = from; (c = split_char_at(v, at)).n; at += (size_t)c.n)
        if (is(c))
            return (struct split_match){at, run_end(v, at, is)};
    return no_match(v);
}

/* `\s?[class]+`. No class here but deepseek-llm's punctuation has white space in it (U+3000): that
 * one may begin the run itself when nothing of the class follows. */
static struct split_match find_spaced_run(const struct split_view *v, size_t from, member *is)
{
    struct split_char c;

    for (size_t at = from; (c = split_char_at(v, at)).n; at += (size_t)c.n) {
        if (is(c))
            return (struct split_match){at, run_end(v, at, is)};
        if (c.class & UC_SPACE) {
            size_t end = run_end(v, at + (size_t)c.n, is);

            if (end > at + (size_t)c.n)
                return (struct split_match){at, end};
        }
    }
    return no_match(v);
}

/* `\p{N}{1,most}` */
static struct split_match find_numbers(const struct split_view *v, size_t from, int most)
{
    struct split_char c;

    for (size_t at = from; (c = split_char_at(v, at)).n; at += (size_t)c.n) {
        size_t end = at;

        for (int k = 0; k < most && (c = split_char_at(v, end)).class & UC_NUMBER; k++)
            end += (size_t)c.n;
        if (end > at)
            return (struct split_match){at, end};
        c = split_char_at(v, at);
    }
    return no_match(v);
}

struct split_match split_find_digit(const struct split_view *v, size_t from)
{
    return find_numbers(v, from, 1);
}

struct split_match split_find_digits_1_3(const struct split_view *v, size_t from)
{
    return find_numbers(v, from, 3);
}

static bool is_number(struct split_char c)
{
    return c.class & UC_NUMBER;
}

struct split_match split_find_digits(const struct split_view *v, size_t from)
{
    return find_run(v, from, is_number);
}

static bool is_ascii_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

struct split_match split_find_three_digits(const struct split_view *v, size_t from)
{
    for (size_t at = from; at + 3 <= v->end; at++)
        if (is_ascii_digit(v->s[at]) && is_ascii_digit(v->s[at + 1]) &&
            is_ascii_digit(v->s[at + 2]))
            return (struct split_match){at, at + 3};
    return no_match(v);
}

struct split_match split_find_newline(const struct split_view *v, size_t from)
{
    for (size_t at = from; at < v->end; at++)
        if (v->s[at] == '\r' || v->s[at] == '\n')
            return (struct split_match){at, at + 1};
    return no_match(v);
}

/* `\s+$`: white space up to the end of the piece, or up to a line break (`$` holds in front of one
 * too). */
struct split_match split_find_space_end(const struct split_view *v, size_t from)
{
    struct split_char c;

    for (size_t at = from; (c = split_char_at(v, at)).n; at += (size_t)c.n) {
        size_t end = at, line = at;

        if (!(c.class & UC_SPACE))
            continue;
        for (; (c = split_char_at(v, end)).class & UC_SPACE; end += (size_t)c.n)
            if (c.code == '\n')
                line = end; /* a match may end in front of this */
        if (end == v->end)
            return (struct split_match){at, end};
        if (line > at)
            return (struct split_match){at, line};
        at = end;
        c = split_char_at(v, at);
    }
    return no_match(v);
}

static bool is_llm_letter(struct split_char c)
{
    int low = 0, high = pre_n_llm_letters - 1;

    if (c.code < 0x80)
        return (c.code >= 'A' && c.code <= 'Z') || (c.code >= 'a' && c.code <= 'z');
    while (low < high) {
        int middle = (low + high) / 2;

        if (c.code > pre_llm_letters[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return c.code >= pre_llm_letters[low][0] && c.code <= pre_llm_letters[low][1];
}

struct split_match split_find_llm_word(const struct split_view *v, size_t from)
{
    return find_spaced_run(v, from, is_llm_letter);
}

static bool is_llm_punct(struct split_char c)
{
    uint32_t u = c.code;

    return (u >= '!' && u <= '/') || (u >= ':' && u <= '~') || (u >= 0xFF01 && u <= 0xFF0F) ||
           (u >= 0xFF1A && u <= 0xFF5E) || (u >= 0x2018 && u <= 0x201F) ||
           (u >= 0x3000 && u <= 0x3002);
}

struct split_match split_find_llm_punct(const struct split_view *v, size_t from)
{
    return find_spaced_run(v, from, is_llm_punct);
}

static bool is_letter(struct split_char c)
{
    return c.class & UC_LETTER;
}

struct split_match split_find_coder_word(const struct split_view *v, size_t from)
{
    return find_spaced_run(v, from, is_letter);
}

static bool is_punct(struct split_char c)
{
    return c.class & UC_PUNCT;
}

struct split_match split_find_coder_punct(const struct split_view *v, size_t from)
{
    return find_spaced_run(v, from, is_punct);
}

static bool is_cjk_or_hangul(struct split_char c)
{
    return (c.code >= 0x800 && c.code <= 0x9FA5) || (c.code >= 0xAC00 && c.code <= 0xD7FF);
}

struct split_match split_find_cjk_hangul(const struct split_view *v, size_t from)
{
    return find_run(v, from, is_cjk_or_hangul);
}

static bool is_cjk_or_kana(struct split_char c)
{
    return (c.code >= 0x4E00 && c.code <= 0x9FA5) || (c.code >= 0x3040 && c.code <= 0x30FF);
}

struct split_match split_find_cjk_kana(const struct split_view *v, size_t from)
{
    return find_run(v, from, is_cjk_or_kana);
}

static bool is_default_punct(struct split_char c)
{
    return (c.class & UC_PUNCT) || c.code == '$' || c.code == '+' ||
           (c.code >= '<' && c.code <= '>') || c.code == '^' || c.code == '~' || c.code == '|';
}

struct split_match split_find_default_punct(const struct split_view *v, size_t from)
{
    return find_run(v, from, is_default_punct);
}
