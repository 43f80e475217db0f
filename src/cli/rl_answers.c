/* rl_answers.c: one question, answered before the run and after it: what rewards have changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/rl_run.h"
#include "cli/safe_text.h"

enum { N_TRIED = 8 }; /* test questions among which one that is answered wrong is looked for */

int rl_answer_before(struct rl_run *run, struct mk_error *err)
{
    struct learner_try t;
    int64_t index = -1;

    if (task_count(run->learner.questions.tasks[0], TASK_TEST) == 0)
        return 0;
    do {
        if (learner_try(&run->learner, 0, ++index, &t, err))
            return err->code;
    } while (t.correct && index + 1 < N_TRIED);
    run->before_index = index;
    run->before_correct = t.correct;
    run->before = strdup(t.text);
    return run->before ? 0 : mk_error_memory(err, strlen(t.text) + 1);
}

/* Further lines of a text stand below its first. */
static void print_answer(const char *when, char *text, bool correct)
{
    char *rest = text, *line;

    fprintf(stderr, "  %s, %s", when, correct ? "right" : "wrong");
    while ((line = strsep(&rest, "\n"))) {
        fputs("\n    ", stderr);
        safe_text_print(stderr, line);
    }
    fputs("\n", stderr);
}

int rl_answer_after(struct rl_run *run, struct mk_error *err)
{
    struct learner_try t;
    char *after;

    if (!run->before)
        return 0;
    if (learner_try(&run->learner, 0, run->before_index, &t, err))
        return err->code;
    after = strdup(t.text);
    if (!after)
        return mk_error_memory(err, strlen(t.text) + 1);
    fputs("\n", stderr);
    safe_text_print(stderr, t.question);
    fprintf(stderr, "\n");
    print_answer("before", run->before, run->before_correct);
    print_answer("after", after, t.correct);
    free(after);
    return 0;
}
