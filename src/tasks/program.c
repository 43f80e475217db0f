/* program.c: the Python program that a response stands for. */
#include <string.h>

#include "tasks/response.h"
#include "tasks/task.h"

/* Inside of the first fenced block, if there is one. */
static struct scan unfence(struct scan s)
{
    const char *fence = memmem(s.at, (size_t)(s.end - s.at), "```", 3), *line, *end;

    if (!fence)
        return s;
    line = memchr(fence, '\n', (size_t)(s.end - fence)); /* behind the name of the language */
    if (!line)
        return s;
    line++;
    end = memmem(line, (size_t)(s.end - line), "```", 3);
    return (struct scan){line, end ? end : s.end};
}

/* The last "def name(" of a prompt is the function that is asked for. */
static const char *find_definition(const char *prompt, size_t *n)
{
    const char *found = NULL, *open;

    for (const char *at = prompt; (at = strstr(at, "def ")); at += 4)
        if ((at == prompt || at[-1] == '\n') && strchr(at, '('))
            found = at;
    if (!found)
        return NULL;
    open = strchr(found, '(');
    *n = (size_t)(open + 1 - found);
    return found;
}

/* A response that defines the function stands behind what the prompt has before it (imports,
 * helpers); any other continues the prompt. */
int task_program(const struct task_item *item, const char *response, size_t n, struct buf *out,
                 struct mk_error *err)
{
    struct response r = response_read(response, n);
    struct scan code = r.open;
    size_t n_name = 0, n_before = strlen(item->question);
    const char *definition = find_definition(item->question, &n_name);
    int rc;

    while (n && code.at > response && code.at[-1] == ' ')
        code.at--; /* the indentation of its first line belongs to it */
    code = unfence(code);
    if (definition && memmem(code.at, (size_t)(code.end - code.at), definition, n_name))
        n_before = (size_t)(definition - item->question);
    rc = buf_append(out, item->question, n_before, err);
    rc = rc ? rc : buf_append(out, code.at, (size_t)(code.end - code.at), err);
    return rc ? rc : buf_append_string(out, "\n", err);
}
