/* verify_math_fuzz.c: reference and answer, parted by the first NUL byte. Both verdicts must come
 * back, what was found must lie in the text, and a text equals itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "verify/format.h"
#include "verify/math.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_span(struct text_span s, const char *text, size_t n)
{
    if (s.at && (s.at < text || s.at + s.n > text + n))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data, *cut = bytes ? memchr(data, 0, bytes) : NULL;
    size_t n = cut ? (size_t)(cut - text) : bytes, m = cut ? bytes - n - 1 : 0;
    struct format_rules rules = {bytes & 1, bytes & 2, bytes & 4, bytes & 8};
    struct math_verdict v;
    struct mk_error err;
    double share;

    if (!bytes)
        return 0;
    if (cut) {
        verify_math(text, n, cut + 1, m, &v);
        check_span(v.gold, text, n);
        check_span(v.answer, cut + 1, m);
    }
    verify_math(text, n, text, n, &v);
    if (v.equal != (v.gold.at && v.answer.at))
        abort();
    verify_format(text, bytes, &rules, NULL);
    format_language(text, bytes, (enum format_script)(bytes % N_SCRIPTS));
    if (format_repetition(text, bytes, 1 + (int)(bytes % 5), &share, &err) || share < 0 ||
        share > 1)
        abort();
    return 0;
}
