/* task_file.c: reading question files. What a line must have is decided here, once. */
#include "tasks/task_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/shuffle.h"
#include "formats/text_source.h"
#include "tasks/scan.h"

#define MAX_LINE ((size_t)16 << 20)

/* Fills the row from a line; returns NULL, or why it cannot. */
typedef const char *read_row_fn(const json_t *line, struct task_row *row);

struct task_file_kind {
    const char *name, *about;
    read_row_fn *read;
    bool is_code;
};

/* ---- fields ---------------------------------------------------------------------------------- */

static const char *text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));

    return text && *text ? text : NULL;
}

/* Text, or a number as text; NULL: there is none. */
static char *copy_scalar(const json_t *value)
{
    char number[DECIMAL_BYTES];

    if (json_is_integer(value))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value)) /* as the file has it: answers are compared digit by digit */
        decimal_shortest(json_real_value(value), number);
    else
        return json_is_string(value) && json_string_length(value)
                   ? strdup(json_string_value(value)) : NULL;
    return strdup(number);
}

static const char *copy_question(const json_t *line, const char *name, struct task_row *row)
{
    const char *text = text_of(line, name);

    row->item.question = text ? strdup(text) : NULL;
    return row->item.question ? NULL : "no question";
}

static const char no_reference[] = "no reference", out_of_memory[] = "memory is out";

/* ---- kinds ----------------------------------------------------------------------------------- */

/* Drops the calculator's notes of GSM8K: "16-3=<<16-3=13>>13". */
static void drop_notes(char *text)
{
    char *to = text, *end;

    while (*text) {
        if (text[0] == '<' && text[1] == '<' && (end = strstr(text, ">>")))
            text = end + 2;
        else
            *to++ = *text++;
    }
    *to = 0;
}

static char *copy_trimmed(const char *begin, const char *end)
{
    while (begin < end && (*begin == ' ' || *begin == '\n'))
        begin++;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r'))
        end--;
    return strndup(begin, (size_t)(end - begin));
}

static const char *read_gsm8k(const json_t *line, struct task_row *row)
{
    const char *text = text_of(line, "answer"), *mark = NULL, *why;

    why = copy_question(line, "question", row);
    if (why)
        return why;
    for (const char *at = text; at && (at = strstr(at, "####")); at += 4)
        mark = at;
    if (!mark)
        return "no reference (#### and a number in \"answer\")";
    row->item.answer = copy_trimmed(mark + 4, mark + strlen(mark));
    row->solution = copy_trimmed(text, mark);
    row->worked = strdup(text);
    if (!row->item.answer || !*row->item.answer)
        return no_reference;
    if (!row->solution || !row->worked)
        return out_of_memory;
    drop_notes(row->solution);
    return NULL;
}

static const char *read_math(const json_t *line, struct task_row *row)
{
    const char *solution = text_of(line, "solution"), *why;

    why = copy_question(line, text_of(line, "problem") ? "problem" : "question", row);
    if (why)
        return why;
    row->solution = solution ? strdup(solution) : NULL;
    row->item.answer = copy_scalar(json_object_get(line, "answer"));
    return row->item.answer ? NULL : no_reference;
}

static const char *read_plain(const json_t *line, struct task_row *row)
{
    const char *why = copy_question(line, "question", row);

    if (why)
        return why;
    row->item.answer = copy_scalar(json_object_get(line, "answer"));
    return row->item.answer ? NULL : no_reference;
}

/* The texts of A, B, ..: an array, or members of these names. */
static const char *read_choices(const json_t *line, struct task_item *item)
{
    const json_t *list = json_object_get(line, "choices");
    int n = (int)json_array_size(list);

    if (json_array_size(list) > TASK_MAX_CHOICES)
        return "more than 26 choices";
    item->choices = calloc(TASK_MAX_CHOICES, sizeof *item->choices);
    if (!item->choices)
        return out_of_memory;
    for (int i = 0; i < (list ? n : TASK_MAX_CHOICES); i++) {
        char letter[2] = {(char)('A' + i), 0};
        const json_t *choice = list ? json_array_get(list, (size_t)i)
                                    : json_object_get(line, letter);

        if (!choice && !list)
            break;
        item->choices[i] = copy_scalar(choice);
        if (!item->choices[i])
            return "a choice that is neither text nor a number";
        item->n_choices++;
    }
    return item->n_choices < 2 ? "fewer than two choices" : NULL;
}

/* An index from 0, or a letter. */
static char *read_letter(const json_t *line, int n_choices)
{
    const json_t *value = json_object_get(line, "answer");
    const char *text = json_string_value(value);
    json_int_t i = json_integer_value(value);

    if (text)
        i = strlen(text) == 1 ? text[0] - 'A' : -1;
    if ((!text && !json_is_integer(value)) || i < 0 || i >= n_choices)
        return NULL;
    return strdup((char[]){(char)('A' + i), 0});
}

/* The question with its choices below it, as the model is to see it; blanks around it are the
 * file's. */
static char *join_choices(const char *question, const struct task_item *item)
{
    struct scan trimmed = scan_trim(scan_text(question));
    struct mk_error err;
    struct buf b;
    int rc;

    buf_init(&b, 2 * MAX_LINE);
    rc = buf_append(&b, trimmed.at, (size_t)(trimmed.end - trimmed.at), &err);
    for (int i = 0; !rc && i < item->n_choices; i++)
        rc = buf_printf(&b, &err, "\n%c. %s", 'A' + i, item->choices[i]);
    if (rc)
        buf_release(&b);
    return b.data;
}

static const char *read_mmlu(const json_t *line, struct task_row *row)
{
    const char *question = text_of(line, "question"), *why;

    if (!question)
        return "no question";
    why = read_choices(line, &row->item);
    if (why)
        return why;
    row->item.question = join_choices(question, &row->item);
    if (!row->item.question)
        return out_of_memory;
    row->item.answer = read_letter(line, row->item.n_choices);
    return row->item.answer ? NULL : "no reference (an index from 0, or the letter of a choice)";
}

static const char *read_humaneval(const json_t *line, struct task_row *row)
{
    const char *tests = text_of(line, "test"), *entry = text_of(line, "entry_point");
    const char *solution = text_of(line, "canonical_solution"), *why;

    why = copy_question(line, "prompt", row);
    if (why)
        return why;
    if (!tests || !entry)
        return "no \"test\" and \"entry_point\"";
    if (asprintf(&row->item.tests, "%s\ncheck(%s)\n", tests, entry) < 0) {
        row->item.tests = NULL;
        return "memory is out";
    }
    row->item.answer = solution ? strdup(solution) : NULL;
    return row->item.answer ? NULL : no_reference;
}

static const struct task_file_kind kinds[] = {
    {"gsm8k", "word problems of grade school", read_gsm8k, false},
    {"math500", "problems of mathematical contests", read_math, false},
    {"aime", "problems of the AIME", read_math, false},
    {"mmlu", "multiple choice", read_mmlu, false},
    {"humaneval", "Python functions, judged by tests", read_humaneval, true},
    {"jsonl", "questions and answers of a file", read_plain, false},
    {0}};

static const struct task_file_kind *find_kind(const char *name, const char **path)
{
    for (const struct task_file_kind *k = kinds; k->name; k++) {
        size_t n = strlen(k->name);

        if (!strncmp(name, k->name, n) && name[n] == ':') {
            *path = name + n + 1;
            return k;
        }
    }
    return NULL;
}

bool task_file_is(const char *name)
{
    const char *path;

    return find_kind(name, &path);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void release_row(struct task_row *row)
{
    task_item_release(&row->item);
    free(row->solution);
    free(row->worked);
}

static int add_row(struct task_file *f, const struct task_row *row, struct mk_error *err)
{
    if (f->n == f->capacity) {
        int64_t capacity = f->capacity ? 2 * f->capacity : 256;
        struct task_row *grown = realloc(f->rows, (size_t)capacity * sizeof *grown);

        if (!grown)
            return mk_error_memory(err, (size_t)capacity * sizeof *grown);
        f->rows = grown;
        f->capacity = capacity;
    }
    f->rows[f->n++] = *row;
    return 0;
}

static int read_line(struct task_file *f, const struct text_document *d, bool skip_bad,
                     struct mk_error *err)
{
    struct task_row row = {.solution = NULL};
    const char *why = f->kind->read(d->object, &row);
    int rc = 0;

    if (!why) {
        rc = add_row(f, &row, err);
    } else if (skip_bad)
        f->n_skipped++;
    else
        rc = mk_error_set(err, MK_EFORMAT, "%s: line %lld: %s", d->path, (long long)d->line, why);
    if (why || rc)
        release_row(&row);
    return rc;
}

static int read_lines(struct task_file *f, const char *path, bool skip_bad, struct mk_error *err)
{
    struct text_source_options o = text_source_defaults();
    struct text_document d;
    struct text_source *s;
    bool more = true;
    int rc;

    o.max_document = MAX_LINE;
    o.skip_bad = skip_bad;
    o.objects = true;
    rc = text_source_open(&s, path, &o, err);
    if (rc)
        return rc;
    while (!(rc = text_source_next(s, &d, &more, err)) && more)
        if ((rc = read_line(f, &d, skip_bad, err)))
            break;
    f->n_skipped += text_source_counts(s).n_bad;
    text_source_close(s);
    if (!rc && !f->n)
        rc = mk_error_set(err, MK_EFORMAT, "%s: no question in it", path);
    return rc;
}

static int divide(struct task_file *f, struct mk_error *err)
{
    for (int split = 0; split < 2; split++) {
        f->of_split[split] = malloc((size_t)f->n * sizeof *f->of_split[split]);
        if (!f->of_split[split])
            return mk_error_memory(err, (size_t)f->n * sizeof *f->of_split[split]);
    }
    for (int64_t i = 0; i < f->n; i++) {
        enum task_split split = task_split_of(f->rows[i].item.question);

        f->of_split[split][f->n_split[split]++] = i;
    }
    return 0;
}

int task_file_open(struct task_file *f, const char *name, bool skip_bad, struct mk_error *err)
{
    const char *path;

    *f = (struct task_file){.kind = find_kind(name, &path), .name = strdup(name)};
    if (!f->name)
        return mk_error_memory(err, strlen(name) + 1);
    if (read_lines(f, path, skip_bad, err) || divide(f, err)) {
        task_file_close(f);
        return err->code;
    }
    return 0;
}

void task_file_close(struct task_file *f)
{
    for (int64_t i = 0; i < f->n; i++)
        release_row(&f->rows[i]);
    free(f->rows);
    free(f->of_split[0]);
    free(f->of_split[1]);
    free(f->name);
    *f = (struct task_file){.n = 0};
}

/* ---- asking ---------------------------------------------------------------------------------- */

const char *task_file_about(const struct task_file *f)
{
    return f->kind->about;
}

bool task_file_is_code(const struct task_file *f)
{
    return f->kind->is_code;
}

int64_t task_file_count(const struct task_file *f, enum task_split split)
{
    return split == TASK_ALL ? f->n : f->n_split[split];
}

const struct task_row *task_file_row(const struct task_file *f, enum task_split split,
                                     uint64_t seed, int64_t index)
{
    uint64_t n = (uint64_t)task_file_count(f, split), at = (uint64_t)index % n;

    if (seed)
        at = shuffle_at(seed, (uint64_t)index / n, at, n);
    return &f->rows[split == TASK_ALL ? (int64_t)at : f->of_split[split][at]];
}

const struct task_row *task_file_find(const struct task_file *f, const char *question)
{
    for (int64_t i = 0; i < f->n; i++)
        if (!strcmp(f->rows[i].item.question, question))
            return &f->rows[i];
    return NULL;
}
