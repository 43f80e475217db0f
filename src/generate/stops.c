/* stops.c: a search over a short buffer; stop strings are few and short. */
#include "generate/stops.h"

#include <string.h>

#include "base/error.h"

#define MAX_STOP_BYTES 65536
#define MAX_HELD_BYTES ((size_t)1 << 26)

int stops_init(struct stops *s, const char *const *strings, int32_t n, struct mk_error *err)
{
    *s = (struct stops){0};
    if (n < 0 || n > MK_MAX_STOPS)
        return mk_error_set(err, MK_EINVAL, "%d stop strings: at most %d are possible", n,
                            MK_MAX_STOPS);
    for (int32_t i = 0; i < n; i++) {
        size_t length = strings[i] ? strlen(strings[i]) : 0;

        if (length == 0 || length > MAX_STOP_BYTES)
            return mk_error_set(err, MK_EINVAL, "a stop string of %zu bytes: expected 1 to %d",
                                length, MAX_STOP_BYTES);
        s->strings[i] = strings[i];
    }
    s->n_strings = n;
    buf_init(&s->held, MAX_HELD_BYTES);
    return 0;
}

void stops_release(struct stops *s)
{
    buf_release(&s->held);
}

/* Length of the longest stop string that ends at `end`, or 0. */
static size_t match_at(const struct stops *s, size_t end)
{
    size_t best = 0, n;

    for (int32_t i = 0; i < s->n_strings; i++) {
        n = strlen(s->strings[i]);
        if (n <= end && n > best && memcmp(s->held.data + end - n, s->strings[i], n) == 0)
            best = n;
    }
    return best;
}

/* Length of the longest end of the held text that begins a stop string. */
static size_t begun(const struct stops *s)
{
    size_t best = 0, most;

    for (int32_t i = 0; i < s->n_strings; i++) {
        most = strlen(s->strings[i]) - 1;
        for (size_t n = most < s->held.n ? most : s->held.n; n > best; n--)
            if (memcmp(s->held.data + s->held.n - n, s->strings[i], n) == 0)
                best = n;
    }
    return best;
}

int stops_push(struct stops *s, const char *text, size_t n, struct buf *out, bool *stopped,
               struct mk_error *err)
{
    size_t old = s->held.n, keep, match;

    *stopped = false;
    if (s->n_strings == 0)
        return buf_append(out, text, n, err);
    if (buf_append(&s->held, text, n, err))
        return err->code;
    for (size_t end = old + 1; end <= s->held.n; end++) {
        match = match_at(s, end);
        if (match == 0)
            continue;
        *stopped = true;
        if (buf_append(out, s->held.data, end - match, err))
            return err->code;
        buf_clear(&s->held);
        return 0;
    }
    keep = begun(s);
    if (buf_append(out, s->held.data, s->held.n - keep, err))
        return err->code;
    memmove(s->held.data, s->held.data + s->held.n - keep, keep);
    s->held.n = keep;
    s->held.data[keep] = '\0';
    return 0;
}

int stops_finish(struct stops *s, struct buf *out, struct mk_error *err)
{
    int code = s->held.n ? buf_append(out, s->held.data, s->held.n, err) : 0;

    buf_clear(&s->held);
    return code;
}
