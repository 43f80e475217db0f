/* response.c: tags of a response. */
#include "tasks/response.h"

#include <string.h>

#include "verify/format.h"

#define THOUGHT_END "</think>"

/* All behind the last thought. */
static struct scan behind_thought(struct scan s)
{
    const char *at;

    while ((at = memmem(s.at, (size_t)(s.end - s.at), THOUGHT_END, strlen(THOUGHT_END))))
        s.at = at + strlen(THOUGHT_END);
    return scan_trim(s);
}

struct response response_read(const char *text, size_t n)
{
    const struct format_rules rules = {.answer_tags = true, .direct = true};
    struct response r = {.answer = scan_text("")};
    struct format_verdict v;

    r.open = r.answer;
    if (!n)
        return r;
    r.well_formed = verify_format(text, n, &rules, &v);
    r.has_answer = v.answer.n > 0;
    if (r.has_answer)
        r.answer = (struct scan){v.answer.at, v.answer.at + v.answer.n};
    r.open = r.has_answer ? r.answer : behind_thought((struct scan){text, text + n});
    return r;
}
