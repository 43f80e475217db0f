/* quality.c: one pass that measures a document, then the limits in order. */
#include "train/quality.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/hash.h"
#include "tokenizer/unicode.h"
#include "train/minhash.h"

#define GROUP 4 /* words */

struct quality_options quality_defaults(void)
{
    return (struct quality_options){.min_bytes = 100,
                                    .min_words = 20,
                                    .max_word_bytes = 20,
                                    .min_letter_share = 0.5,
                                    .max_repeated_lines = 0.3,
                                    .max_repeated_words = 0.4};
}

const char *quality_name(enum quality q)
{
    static const char *const names[QUALITY_N] = {
        "kept",        "too short",   "too long",       "not UTF-8",     "few words",
        "long words",  "few letters", "repeated lines", "repeated words"};

    return q < QUALITY_N ? names[q] : "unknown";
}

/* ---- a set of hashes ------------------------------------------------------------------------- */

struct seen { uint64_t *slots; size_t n_slots; }; /* 0 is free */

static int seen_init(struct seen *s, size_t n, struct mk_error *err)
{
    s->n_slots = 16;
    while (s->n_slots < 2 * n)
        s->n_slots *= 2;
    s->slots = calloc(s->n_slots, sizeof *s->slots);
    return s->slots ? 0 : mk_error_memory(err, s->n_slots * sizeof *s->slots);
}

/* Whether the hash was there before. */
static bool seen_add(struct seen *s, uint64_t hash)
{
    uint64_t h = hash_mix(hash) | 1;
    size_t at = (size_t)(h >> 1) & (s->n_slots - 1);

    for (; s->slots[at]; at = (at + 1) & (s->n_slots - 1))
        if (s->slots[at] == h)
            return true;
    s->slots[at] = h;
    return false;
}

/* ---- words and characters -------------------------------------------------------------------- */

struct measures {
    int64_t n_words, n_spelled, spelled_bytes; /* spelled: of letters, not one character each */
    int64_t n_letters, n_visible, n_lines;
    int64_t n_groups, n_repeated;              /* of GROUP words */
    bool broken;
};

static bool is_letter(uint32_t code)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);

    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_MC;
}

static bool is_space(uint32_t code)
{
    return code == ' ' || (code >= 9 && code <= 13) || code == 0x85 || code == 0xA0 ||
           code == 0x3000 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029;
}

static bool is_alone(uint32_t code)
{
    return code >= 0x2E80;
}

/* The word at text[at..], at least one character, not white space. */
static size_t word_end(const char *text, size_t n, size_t at, struct measures *m)
{
    size_t begin = at;

    while (at < n) {
        struct utf8_char c = utf8_at((const unsigned char *)text + at, n - at);

        if (is_space(c.code) || (is_alone(c.code) && at > begin))
            break;
        m->broken |= c.code == UNICODE_BROKEN;
        m->n_visible++;
        m->n_letters += c.code != UNICODE_BROKEN && is_letter(c.code);
        at += (size_t)c.n;
        if (is_alone(c.code))
            return at;
    }
    m->n_spelled++;
    m->spelled_bytes += (int64_t)(at - begin);
    return at;
}

static void measure(const char *text, size_t n, struct seen *groups, struct measures *m)
{
    uint64_t last[GROUP] = {0};

    *m = (struct measures){.n_lines = 1};
    for (size_t at = 0; at < n && !m->broken;) { /* so words have 2 bytes, with their space */
        struct utf8_char c = utf8_at((const unsigned char *)text + at, n - at);
        size_t end;
        uint64_t h = 0;

        if (is_space(c.code)) {
            m->n_lines += c.code == '\n';
            at += (size_t)c.n;
            continue;
        }
        end = word_end(text, n, at, m);
        last[m->n_words++ % GROUP] = hash_bytes(text + at, end - at);
        at = end;
        if (m->n_words < GROUP)
            continue;
        for (int64_t i = 0; i < GROUP; i++)
            h = hash_mix(h * 0x9E3779B97F4A7C15u + last[(m->n_words + i) % GROUP]);
        m->n_groups++;
        m->n_repeated += seen_add(groups, h);
    }
}

/* Share of the bytes that lie in lines which stood before; blank lines do not count. */
static double repeated_lines(const char *text, size_t n, struct seen *lines)
{
    size_t repeated = 0, total = 0;

    for (size_t at = 0; at < n;) {
        const char *found = memchr(text + at, '\n', n - at);
        size_t bytes = found ? (size_t)(found - text) - at : n - at;

        if (bytes > 0) {
            total += bytes;
            repeated += seen_add(lines, hash_bytes(text + at, bytes)) ? bytes : 0;
        }
        at += bytes + 1;
    }
    return total ? (double)repeated / (double)total : 0;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static bool exceeds(double limit, double value)
{
    return limit > 0 && value > limit;
}

static enum quality judge_words(const struct quality_options *o, const struct measures *m)
{
    if (m->broken)
        return QUALITY_NOT_UTF8;
    if (m->n_words < o->min_words)
        return QUALITY_FEW_WORDS;
    if (m->n_spelled &&
        exceeds(o->max_word_bytes, (double)m->spelled_bytes / (double)m->n_spelled))
        return QUALITY_LONG_WORDS;
    if (m->n_visible && (double)m->n_letters < o->min_letter_share * (double)m->n_visible)
        return QUALITY_FEW_LETTERS;
    return QUALITY_KEEP;
}

static int judge(const struct quality_options *o, const char *text, size_t n, enum quality *q,
                 struct mk_error *err)
{
    struct seen groups = {0}, lines = {0};
    struct measures m;
    int rc = seen_init(&groups, n / 2 + 1, err);

    if (!rc) {
        measure(text, n, &groups, &m);
        *q = judge_words(o, &m);
        rc = seen_init(&lines, (size_t)m.n_lines, err);
    }
    if (!rc && *q == QUALITY_KEEP) {
        if (exceeds(o->max_repeated_lines, repeated_lines(text, n, &lines)))
            *q = QUALITY_REPEATED_LINES;
        else if (m.n_groups &&
                 exceeds(o->max_repeated_words, (double)m.n_repeated / (double)m.n_groups))
            *q = QUALITY_REPEATED_WORDS;
    }
    free(groups.slots);
    free(lines.slots);
    return rc;
}

int quality_check(const struct quality_options *o, const char *text, size_t n, enum quality *q,
                  struct quality_report *r, struct mk_error *err)
{
    int rc = 0;

    *q = QUALITY_KEEP;
    if (n < o->min_bytes)
        *q = QUALITY_TOO_SHORT;
    else if (o->max_bytes && n > o->max_bytes)
        *q = QUALITY_TOO_LONG;
    else
        rc = judge(o, text, n, q, err);
    if (rc)
        return rc;
    r->n[*q]++;
    r->n_bytes[*q] += (int64_t)n;
    return 0;
}
