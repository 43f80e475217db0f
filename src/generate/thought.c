/* thought.c: a small state machine over the held text. */
#include "generate/thought.h"

#include <string.h>

#define OPEN "<think>"
#define CLOSE "</think>"
#define MAX_HELD_BYTES ((size_t)1 << 26)

void thought_init(struct thought *t, bool enabled, bool in_thought)
{
    *t = (struct thought){.place = !enabled     ? THOUGHT_AFTER
                                   : in_thought ? THOUGHT_INSIDE
                                                : THOUGHT_BEFORE,
                          .at_start = enabled};
    buf_init(&t->held, MAX_HELD_BYTES);
}

void thought_release(struct thought *t)
{
    buf_release(&t->held);
}

static void drop(struct thought *t, size_t n)
{
    memmove(t->held.data, t->held.data + n, t->held.n - n);
    t->held.n -= n;
    t->held.data[t->held.n] = '\0';
}

static int give(struct thought *t, size_t n, struct buf *out, struct mk_error *err)
{
    if (n == 0)
        return 0;
    if (buf_append(out, t->held.data, n, err))
        return err->code;
    drop(t, n);
    return 0;
}

static size_t leading(const struct thought *t, const char *set)
{
    return strspn(t->held.data, set);
}

/* Nothing but white space so far, or the beginning of the opening tag? */
static void look_for_opening(struct thought *t)
{
    size_t blank = leading(t, " \t\r\n"), rest = t->held.n - blank;

    if (rest >= strlen(OPEN) && memcmp(t->held.data + blank, OPEN, strlen(OPEN)) == 0) {
        drop(t, blank + strlen(OPEN));
        t->place = THOUGHT_INSIDE;
        t->at_start = true;
    } else if (rest > 0 &&
               (rest >= strlen(OPEN) || memcmp(t->held.data + blank, OPEN, rest) != 0)) {
        t->place = THOUGHT_AFTER; /* an answer without a thought keeps its first characters */
        t->at_start = false;
    }
}

/* Length of the end of the held text that may belong to the closing tag or the line breaks before
 * it. */
static size_t undecided(const struct thought *t)
{
    size_t n = t->held.n, tag = 0, line = 0;

    for (size_t k = n < strlen(CLOSE) ? n : strlen(CLOSE) - 1; k > 0 && !tag; k--)
        if (memcmp(t->held.data + n - k, CLOSE, k) == 0)
            tag = k;
    while (line < n - tag && t->held.data[n - tag - 1 - line] == '\n')
        line++;
    return tag + line;
}

/* Gives the thought away up to the closing tag; true when the tag was passed. */
static int pass_thought(struct thought *t, struct buf *reasoning, bool *closed,
                        struct mk_error *err)
{
    char *tag;
    size_t n;

    if (t->at_start)
        drop(t, leading(t, "\n"));
    if (t->held.n)
        t->at_start = false;
    tag = memmem(t->held.data, t->held.n, CLOSE, strlen(CLOSE));
    *closed = tag != NULL;
    if (!tag)
        return give(t, t->held.n - undecided(t), reasoning, err);
    n = (size_t)(tag - t->held.data);
    while (n > 0 && t->held.data[n - 1] == '\n')
        n--;
    if (give(t, n, reasoning, err))
        return err->code;
    drop(t, leading(t, "\n") + strlen(CLOSE));
    t->place = THOUGHT_AFTER;
    t->at_start = true;
    return 0;
}

int thought_push(struct thought *t, const char *text, size_t n, struct buf *reasoning,
                 struct buf *answer, struct mk_error *err)
{
    bool closed;

    if (buf_append(&t->held, text, n, err))
        return err->code;
    if (t->place == THOUGHT_BEFORE)
        look_for_opening(t);
    if (t->place == THOUGHT_INSIDE && pass_thought(t, reasoning, &closed, err))
        return err->code;
    if (t->place != THOUGHT_AFTER)
        return 0;
    if (t->at_start)
        drop(t, leading(t, "\n"));
    if (t->held.n)
        t->at_start = false;
    return give(t, t->held.n, answer, err);
}

int thought_finish(struct thought *t, struct buf *reasoning, struct buf *answer,
                   struct mk_error *err)
{
    if (t->held.n == 0)
        return 0;
    return give(t, t->held.n, t->place == THOUGHT_INSIDE ? reasoning : answer, err);
}
