/* response.c: tags of a response. */
#include "tasks/response.h"

#include <string.h>

#define ANSWER "<answer>"
#define ANSWER_END "</answer>"

/* Steps behind the next `tag`; *before is what stood in front of it. */
static bool find(struct scan *s, const char *tag, struct scan *before)
{
    size_t n = strlen(tag);
    const char *at = (size_t)(s->end - s->at) < n
                         ? NULL : memmem(s->at, (size_t)(s->end - s->at), tag, n);

    if (!at)
        return false;
    *before = (struct scan){s->at, at};
    s->at = at + n;
    return true;
}

static bool holds_tag(struct scan s)
{
    static const char *const tags[] = {"<think>", "</think>", ANSWER, ANSWER_END};
    struct scan before;

    for (int i = 0; i < 4; i++) {
        struct scan rest = s;

        if (find(&rest, tags[i], &before))
            return true;
    }
    return false;
}

static bool is_well_formed(struct scan s)
{
    struct scan thought, answer;

    scan_blanks(&s);
    if (scan_word(&s, "<think>")) {
        if (!find(&s, "</think>", &thought) || holds_tag(thought))
            return false;
        scan_blanks(&s);
    }
    if (!scan_word(&s, ANSWER) || !find(&s, ANSWER_END, &answer) || holds_tag(answer))
        return false;
    scan_blanks(&s);
    return scan_ended(&s);
}

struct response response_read(const char *text, size_t n)
{
    struct response r = {.answer = scan_text(""), .open = scan_text("")};
    struct scan s = {text, text + n}, rest = s, before, answer;

    if (!n)
        return r;
    r.well_formed = is_well_formed(s);
    while (find(&rest, "</think>", &before))
        ;
    r.open = scan_trim(rest);
    while (find(&s, ANSWER, &before) && find(&s, ANSWER_END, &answer)) {
        r.answer = scan_trim(answer);
        r.has_answer = !scan_ended(&r.answer);
    }
    if (r.has_answer)
        r.open = r.answer;
    return r;
}
