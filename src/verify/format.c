/* format.c: tags, length and repetition of an answer. See format.h; language is in language.c. */
#include "verify/format.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

/* ---- Tags ------------------------------------------------------------------------------------ */

enum { THINK, THINK_END, ANSWER, ANSWER_END, N_TAGS };
static const char *const tags[N_TAGS] = {"<think>", "</think>", "<answer>", "</answer>"};

struct found {
    const char *first, *last; /* of each tag: where it begins; NULL: nowhere */
    size_t n;
};

static void find_tags(const char *text, size_t n, struct found found[N_TAGS])
{
    const char *end = text + n, *p = text;

    memset(found, 0, N_TAGS * sizeof *found);
    while (p < end && (p = memchr(p, '<', (size_t)(end - p))) != NULL) {
        for (int t = 0; t < N_TAGS; t++)
            if ((size_t)(end - p) >= strlen(tags[t]) && !memcmp(p, tags[t], strlen(tags[t]))) {
                if (!found[t].n++)
                    found[t].first = p;
                found[t].last = p;
            }
        p++;
    }
}

static struct text_span trimmed(const char *from, const char *to)
{
    while (from < to && is_blank(*from))
        from++;
    while (to > from && is_blank(to[-1]))
        to--;
    return (struct text_span){from, (size_t)(to - from)};
}

static bool only_blanks(const char *from, const char *to)
{
    return trimmed(from, to).n == 0;
}

static struct text_span think_span(const char *text, const struct found f[N_TAGS], bool in_thought)
{
    const char *from = f[THINK].first ? f[THINK].first + strlen(tags[THINK]) : NULL;

    if (in_thought)
        from = text;
    if (!from || !f[THINK_END].first || f[THINK_END].first < from)
        return (struct text_span){0};
    return trimmed(from, f[THINK_END].first);
}

/* The last answer is the one that was meant. */
static struct text_span answer_span(const char *end, const struct found f[N_TAGS], bool answer_tags)
{
    const char *from;

    if (!answer_tags) {
        if (!f[THINK_END].last)
            return (struct text_span){0};
        return trimmed(f[THINK_END].last + strlen(tags[THINK_END]), end);
    }
    if (!f[ANSWER].last)
        return (struct text_span){0};
    from = f[ANSWER].last + strlen(tags[ANSWER]);
    if (!f[ANSWER_END].last || f[ANSWER_END].last < from)
        return (struct text_span){0};
    for (const char *p = from; p <= f[ANSWER_END].last; p++)
        if (!memcmp(p, tags[ANSWER_END], strlen(tags[ANSWER_END])))
            return trimmed(from, p);
    return (struct text_span){0};
}

/* Does it answer at once, as it may? */
static bool is_direct(const struct found f[N_TAGS], const struct format_rules *r)
{
    return r->direct && r->answer_tags && !r->in_thought && !f[THINK].n && !f[THINK_END].n;
}

static bool in_order(const struct found f[N_TAGS], const struct format_rules *r)
{
    if (is_direct(f, r))
        return f[ANSWER].first < f[ANSWER_END].first;
    if (!r->in_thought && f[THINK].first > f[THINK_END].first)
        return false;
    return !r->answer_tags ||
           (f[THINK_END].first < f[ANSWER].first && f[ANSWER].first < f[ANSWER_END].first);
}

static bool clean_outside(const char *text, const char *end, const struct found f[N_TAGS],
                          const struct format_rules *r)
{
    bool direct = is_direct(f, r);

    if (!direct && !r->in_thought && !only_blanks(text, f[THINK].first))
        return false;
    return !r->answer_tags ||
           (only_blanks(direct ? text : f[THINK_END].first + strlen(tags[THINK_END]),
                        f[ANSWER].first) &&
            only_blanks(f[ANSWER_END].first + strlen(tags[ANSWER_END]), end));
}

static enum format_fault judge(const char *text, const char *end, const struct found f[N_TAGS],
                               const struct format_rules *r, struct text_span answer)
{
    size_t opened = r->in_thought ? f[THINK].n + 1 : f[THINK].n;

    if (!is_direct(f, r) && (!opened || !f[THINK_END].n))
        return FORMAT_THINK_MISSING;
    if (opened > 1 || f[THINK_END].n > 1)
        return FORMAT_THINK_TWICE;
    if (r->answer_tags ? !f[ANSWER].n || !f[ANSWER_END].n : !answer.n)
        return FORMAT_ANSWER_MISSING;
    if (r->answer_tags && (f[ANSWER].n > 1 || f[ANSWER_END].n > 1))
        return FORMAT_ANSWER_TWICE;
    if (!in_order(f, r))
        return FORMAT_ORDER;
    return r->loose || clean_outside(text, end, f, r) ? FORMAT_GOOD : FORMAT_OUTSIDE;
}

bool verify_format(const char *text, size_t n, const struct format_rules *rules,
                   struct format_verdict *v)
{
    struct format_verdict own;
    struct found f[N_TAGS];

    v = v ? v : &own;
    find_tags(text, n, f);
    v->think = think_span(text, f, rules->in_thought);
    v->answer = answer_span(text + n, f, rules->answer_tags);
    v->fault = judge(text, text + n, f, rules, v->answer);
    return v->fault == FORMAT_GOOD;
}

const char *format_fault_text(enum format_fault fault)
{
    switch (fault) {
    case FORMAT_GOOD:
        return "good";
    case FORMAT_THINK_MISSING:
        return "no thought, or one that never ends";
    case FORMAT_THINK_TWICE:
        return "a think tag twice";
    case FORMAT_ANSWER_MISSING:
        return "no answer, or one that never ends";
    case FORMAT_ANSWER_TWICE:
        return "an answer tag twice";
    case FORMAT_ORDER:
        return "tags out of order";
    case FORMAT_OUTSIDE:
        return "text outside the tags";
    }
    return "unknown";
}

/* ---- Length ---------------------------------------------------------------------------------- */

struct format_length format_length(const char *text, size_t n)
{
    struct format_length out = {.bytes = n, .lines = n > 0};

    for (size_t i = 0; i < n; i++) {
        out.characters += ((unsigned char)text[i] & 0xc0) != 0x80;
        out.words += !is_blank(text[i]) && (!i || is_blank(text[i - 1]));
        out.lines += text[i] == '\n' && i + 1 < n;
    }
    return out;
}

/* ---- Repetition ------------------------------------------------------------------------------ */

/* Words, and runs of them, are compared by 64 bits. */
static uint64_t hash_run(const void *words, size_t n)
{
    return hash_mix(hash_bytes(words, n));
}

static size_t hash_words(const char *text, size_t n, uint64_t *out)
{
    size_t n_words = 0, i = 0;

    while (i < n) {
        size_t start = i;

        while (i < n && !is_blank(text[i]))
            i++;
        if (i > start)
            out[n_words++] = hash_run(text + start, i - start);
        while (i < n && is_blank(text[i]))
            i++;
    }
    return n_words;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

int format_repetition(const char *text, size_t n, int n_gram, double *share, struct mk_error *err)
{
    size_t n_words = format_length(text, n).words, n_runs, n_again = 0;
    uint64_t *words;

    *share = 0;
    if (n_gram < 1)
        return mk_error_set(err, MK_EINVAL, "n-grams of %d words: at least 1 is needed", n_gram);
    if (n_words <= (size_t)n_gram)
        return 0;
    words = malloc(n_words * sizeof *words);
    if (!words)
        return mk_error_memory(err, n_words * sizeof *words);
    n_words = hash_words(text, n, words);
    n_runs = n_words - (size_t)n_gram + 1;
    for (size_t i = 0; i < n_runs; i++) /* a run's hash goes where its first word's stood */
        words[i] = hash_run(words + i, (size_t)n_gram * sizeof *words);
    qsort(words, n_runs, sizeof *words, compare_u64);
    for (size_t i = 1; i < n_runs; i++)
        n_again += words[i] == words[i - 1];
    free(words);
    *share = (double)n_again / (double)n_runs;
    return 0;
}
