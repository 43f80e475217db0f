/* task_fuzz.c: any question with any response, and any file as a file of questions.
 *
 * The first byte chooses: a built-in task, for which question and response follow, parted by a NUL;
 * or from 0x80 on a kind of file. What a task can write a trace for, its own check must accept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tasks/task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Tasks whose trace has an answer of its own; the others repeat the reference. */
static bool answers_by_itself(const char *name)
{
    static const char *const names[] = {"equation", "graph", "maze", "sudoku", "knights",
                                        "countdown"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static void write_and_check(const struct task *t, const struct task_item *item)
{
    static const enum task_trace kinds[] = {TASK_TRACE_SCRATCHPAD, TASK_TRACE_SEARCH};

    for (int i = 0; i < 2; i++) {
        struct mk_error err = {0};
        struct task_verdict v;
        struct buf b;

        buf_init(&b, 1 << 24);
        if (task_write_trace(t, item, kinds[i], 1, &b, &err)) {
            if (!*err.text || b.n)
                abort();
        } else {
            task_check(t, item, b.data, b.n, &v);
            if (answers_by_itself(task_name(t)) && !v.correct)
                abort();
        }
        buf_release(&b);
    }
}

static void ask_built_in(const uint8_t *data, size_t size)
{
    struct task_item item = {.answer = (char[]){"1"}};
    struct task_verdict v;
    struct mk_error err;
    const char *name = NULL;
    struct task *t;
    size_t n;
    int i = 0;

    while (task_builtin(i))
        i++;
    name = task_builtin(data[0] % i);
    if (task_open(&t, name, &err))
        abort();
    item.question = strndup((const char *)data + 1, size - 1);
    n = strlen(item.question) + 2; /* of what the question took, with its NUL */
    n = n < size ? n : size;
    task_check(t, &item, (const char *)data + n, size - n, &v);
    if (v.correct && !v.has_answer)
        abort();
    write_and_check(t, &item);
    free(item.question);
    task_close(t);
}

static void use_all(const struct task *t)
{
    for (int64_t i = 0; i < task_count(t, TASK_ALL); i++) {
        struct task_item item;
        struct task_verdict v;
        struct mk_error err;
        struct buf b;

        if (task_draw(t, TASK_ALL, 0, 1, i, &item, &err))
            abort();
        task_check(t, &item, item.answer, strlen(item.answer), &v);
        buf_init(&b, 1 << 24);
        if (task_program(&item, item.answer, strlen(item.answer), &b, &err))
            abort();
        buf_release(&b);
        task_item_release(&item);
    }
}

static void ask_file(const uint8_t *data, size_t size)
{
    static const char *const kinds[] = {"gsm8k", "math500", "aime", "mmlu", "humaneval", "jsonl"};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct mk_error err = {0};
    struct task *t;
    char name[64];

    if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
        abort();
    snprintf(name, sizeof name, "%s:/proc/self/fd/%d", kinds[data[0] % 6], fd);
    if (!task_open_skipping(&t, name, data[0] & 0x40, &err)) {
        use_all(t);
        task_close(t);
    } else if (!*err.text)
        abort();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] & 0x80)
        ask_file(data, size);
    else
        ask_built_in(data, size);
    return 0;
}
