/* language.c: which script are the words of a text in? See format.h.
 *
 * Ranges of Unicode 15's letters, wide enough for text that is not about scripts. Mathematics is
 * skipped: a LaTeX command and what stands between dollars belongs to every language. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "verify/format.h"

static const struct {
    uint32_t first, last;
    enum format_script script;
} ranges[] = {
    {0x41, 0x5a, SCRIPT_LATIN},        {0x61, 0x7a, SCRIPT_LATIN},
    {0xaa, 0xaa, SCRIPT_LATIN},        {0xba, 0xba, SCRIPT_LATIN},
    {0xc0, 0xd6, SCRIPT_LATIN},        {0xd8, 0xf6, SCRIPT_LATIN},
    {0xf8, 0x24f, SCRIPT_LATIN},       {0x250, 0x2af, SCRIPT_LATIN},
    {0x370, 0x3ff, SCRIPT_GREEK},      {0x400, 0x52f, SCRIPT_CYRILLIC},
    {0x530, 0x58f, SCRIPT_OTHER},      {0x5d0, 0x5ff, SCRIPT_HEBREW},
    {0x620, 0x65f, SCRIPT_ARABIC},     {0x66e, 0x6ff, SCRIPT_ARABIC},
    {0x700, 0x74f, SCRIPT_OTHER},      {0x750, 0x77f, SCRIPT_ARABIC},
    {0x780, 0x8ff, SCRIPT_OTHER},      {0x900, 0x963, SCRIPT_DEVANAGARI},
    {0x971, 0x97f, SCRIPT_DEVANAGARI}, {0x980, 0xdff, SCRIPT_OTHER},
    {0xe00, 0xe4f, SCRIPT_THAI},       {0xe80, 0x10ff, SCRIPT_OTHER},
    {0x1100, 0x11ff, SCRIPT_HANGUL},   {0x1200, 0x1dff, SCRIPT_OTHER},
    {0x1e00, 0x1eff, SCRIPT_LATIN},    {0x1f00, 0x1fff, SCRIPT_GREEK},
    {0x2c60, 0x2c7f, SCRIPT_LATIN},    {0x2de0, 0x2dff, SCRIPT_CYRILLIC},
    {0x2e80, 0x2fdf, SCRIPT_HAN},      {0x3005, 0x3007, SCRIPT_HAN},
    {0x3041, 0x30ff, SCRIPT_HAN},      {0x3105, 0x312f, SCRIPT_HAN},
    {0x3131, 0x318e, SCRIPT_HANGUL},   {0x31a0, 0x31ff, SCRIPT_HAN},
    {0x3400, 0x4dbf, SCRIPT_HAN},      {0x4e00, 0x9fff, SCRIPT_HAN},
    {0xa000, 0xa63f, SCRIPT_OTHER},    {0xa640, 0xa69f, SCRIPT_CYRILLIC},
    {0xa720, 0xa7ff, SCRIPT_LATIN},    {0xa8e0, 0xa8ff, SCRIPT_DEVANAGARI},
    {0xa960, 0xa97f, SCRIPT_HANGUL},   {0xac00, 0xd7ff, SCRIPT_HANGUL},
    {0xf900, 0xfaff, SCRIPT_HAN},      {0xfb00, 0xfb06, SCRIPT_LATIN},
    {0xfb1d, 0xfb4f, SCRIPT_HEBREW},   {0xfb50, 0xfdff, SCRIPT_ARABIC},
    {0xfe70, 0xfeff, SCRIPT_ARABIC},   {0xff21, 0xff3a, SCRIPT_LATIN},
    {0xff41, 0xff5a, SCRIPT_LATIN},    {0xff66, 0xff9d, SCRIPT_HAN},
    {0x20000, 0x3ffff, SCRIPT_HAN},
};

static const char *const names[N_SCRIPTS] = {"latin",  "han",    "cyrillic",   "greek", "hangul",
                                             "arabic", "hebrew", "devanagari", "thai",  "other"};

/* N_SCRIPTS: no letter. */
static enum format_script script_of(uint32_t c)
{
    size_t low = 0, high = sizeof ranges / sizeof *ranges;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (c > ranges[middle].last)
            low = middle + 1;
        else if (c < ranges[middle].first)
            high = middle;
        else
            return ranges[middle].script;
    }
    return N_SCRIPTS;
}

/* One character from s[n] (n >= 1), *bytes of it; a byte that begins none is U+FFFD. */
static uint32_t decode(const unsigned char *s, size_t n, size_t *bytes)
{
    size_t more = s[0] < 0x80 ? 0 : s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc2 ? 1 : 9;
    uint32_t c = more == 0 ? s[0] : more == 1 ? s[0] & 0x1f : more == 2 ? s[0] & 0x0f : s[0] & 7;

    *bytes = 1;
    if (more >= n)
        return more ? 0xfffd : c;
    for (size_t i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0xfffd;
        c = c << 6 | (s[i] & 0x3f);
    }
    *bytes = more + 1;
    return c;
}

/* Bytes of mathematics at s: a command (\frac), or $...$ on one line whose first dollar stands
 * before no blank; 0: none. next_dollar remembers that a line has none left. */
static size_t skip_mathematics(const char *s, const char *end, const char **no_dollar_before)
{
    const char *p = s + 1;

    if (*s == '\\') {
        while (p < end && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')))
            p++;
        return (size_t)(p - s);
    }
    if (*s != '$' || p >= end || *p == ' ' || s < *no_dollar_before)
        return 0;
    while (p < end && *p != '\n' && *p != '$')
        p++;
    if (p < end && *p == '$')
        return (size_t)(p + 1 - s);
    *no_dollar_before = p;
    return 0;
}

double format_language(const char *text, size_t n, enum format_script script)
{
    const char *p = text, *end = text + n, *no_dollar_before = text;
    enum format_script word = N_SCRIPTS; /* of the run of letters that p is in */
    size_t n_words = 0, n_good = 0, bytes;

    while (p < end) {
        enum format_script s;
        uint32_t c;

        bytes = *p == '\\' || *p == '$' ? skip_mathematics(p, end, &no_dollar_before) : 0;
        if (bytes) {
            word = N_SCRIPTS;
            p += bytes;
            continue;
        }
        c = decode((const unsigned char *)p, (size_t)(end - p), &bytes);
        s = c >= 0x300 && c <= 0x36f ? word : script_of(c); /* combining marks */
        if (s != N_SCRIPTS && (s != word || s == SCRIPT_HAN)) {
            n_words++;
            n_good += s == script;
        }
        word = s;
        p += bytes;
    }
    return n_words ? (double)n_good / (double)n_words : 1;
}

const char *format_script_name(enum format_script script)
{
    return (unsigned)script < N_SCRIPTS ? names[script] : "none";
}

int format_script_read(enum format_script *script, const char *name, const char *key,
                       struct mk_error *err)
{
    char all[120] = "";
    size_t n = 0;

    for (int i = 0; i < N_SCRIPTS; i++)
        if (!strcmp(names[i], name)) {
            *script = (enum format_script)i;
            return 0;
        }
    for (int i = 0; i < SCRIPT_OTHER; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", names[i]);
    return mk_error_set(err, MK_EINVAL, "%s: there is no script '%.40s': say one of %s", key, name,
                        all);
}
