/* order.c: which of two numbers is larger; numbers in order. */
#include "tasks/kind.h"

#include <string.h>

#define MAX_NUMBERS 32
#define MAX_VALUE 999999999

/* ---- compare --------------------------------------------------------------------------------- */

/* n digits, the first one not 0. */
static void roll_digits(struct dice *d, int n, char *text)
{
    for (int i = 0; i < n; i++)
        text[i] = (char)('0' + dice_between(d, i == 0, 9));
    text[n] = 0;
}

/* Which comes first is chance; three in four are of one length, with a common beginning of any
 * length: the first digit is not enough. */
static void ask_compare(const struct task_kind *k, struct dice *d, int level,
                        struct pen *question, struct pen *answer)
{
    char a[16], b[16];
    int n = level + 1, m = n > 1 && !dice_below(d, 4) ? dice_between(d, 1, n - 1) : n, order;

    (void)k;
    roll_digits(d, n, a);
    do {
        roll_digits(d, m, b);
        memcpy(b, a, (size_t)(m == n ? dice_below(d, n) : 0));
    } while (!strcmp(a, b));
    order = n != m ? 1 : strcmp(a, b);
    if (dice_below(d, 2))
        pen_print(question, "Which is larger, %s or %s?", a, b);
    else
        pen_print(question, "Which is larger, %s or %s?", b, a);
    pen_print(answer, "%s", order > 0 ? a : b);
}

/* "4=4 8=8 1<7", or "3d<4d" where they differ in their number of digits. */
static bool think_compare(const struct task_kind *k, const char *question, enum task_trace trace,
                          struct dice *d, struct pen *thought, struct pen *answer)
{
    struct scan s = scan_text(question), a, b;
    int64_t v;

    (void)k, (void)trace, (void)d, (void)answer;
    if (!scan_word(&s, "Which is larger, "))
        return false;
    a.at = s.at;
    if (!scan_uint(&s, MAX_VALUE, &v))
        return false;
    a.end = s.at;
    if (!scan_word(&s, " or "))
        return false;
    b.at = s.at;
    if (!scan_uint(&s, MAX_VALUE, &v) || !scan_equals((struct scan){s.at, s.end}, "?"))
        return false;
    b.end = s.at;
    if (a.end - a.at != b.end - b.at) {
        int n = (int)(a.end - a.at), m = (int)(b.end - b.at);

        pen_print(thought, "%dd%c%dd", n, n < m ? '<' : '>', m);
        return true;
    }
    for (int i = 0; a.at < a.end; i++, a.at++, b.at++) {
        pen_print(thought, i ? " %c%c%c" : "%c%c%c", *a.at,
                  *a.at < *b.at ? '<' : *a.at > *b.at ? '>' : '=', *b.at);
        if (*a.at != *b.at)
            break;
    }
    return true;
}

/* ---- sort ------------------------------------------------------------------------------------ */

struct list { int n, value[MAX_NUMBERS]; };

/* Numbers parted by blanks or commas up to the end of the text. */
static bool read_list(struct scan s, struct list *l)
{
    int64_t v;

    l->n = 0;
    for (scan_blanks(&s); !scan_ended(&s); scan_blanks(&s)) {
        if (l->n == MAX_NUMBERS || !scan_uint(&s, MAX_VALUE, &v))
            return false;
        l->value[l->n++] = (int)v;
        scan_char(&s, ',');
    }
    return l->n > 0;
}

static bool read_sort(const char *question, struct list *l)
{
    struct scan s = scan_text(question);

    return scan_word(&s, "Sort ") && read_list(s, l);
}

static void insert(struct list *l, int value)
{
    int at = l->n++;

    for (; at > 0 && l->value[at - 1] > value; at--)
        l->value[at] = l->value[at - 1];
    l->value[at] = value;
}

static struct list sorted(const struct list *l)
{
    struct list s = {0};

    for (int i = 0; i < l->n; i++)
        insert(&s, l->value[i]);
    return s;
}

static void write_list(const struct list *l, struct pen *p)
{
    for (int i = 0; i < l->n; i++)
        pen_print(p, i ? " %d" : "%d", l->value[i]);
}

/* 3 to 8 numbers below 10, then 5 to 8 below 100. */
static void ask_sort(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                     struct pen *answer)
{
    struct list l = {.n = level < 6 ? 3 + level : level - 1}, s;

    (void)k;
    for (int i = 0; i < l.n; i++)
        l.value[i] = dice_below(d, level < 6 ? 10 : 100);
    s = sorted(&l);
    pen_print(question, "Sort ");
    write_list(&l, question);
    write_list(&s, answer);
}

/* Insertion: "8;3 8;3 5 8;1 3 5 8", the sorted part after each number. */
static bool think_sort(const struct task_kind *k, const char *question, enum task_trace trace,
                       struct dice *d, struct pen *thought, struct pen *answer)
{
    struct list l, so_far = {0};

    (void)k, (void)trace, (void)d, (void)answer;
    if (!read_sort(question, &l))
        return false;
    for (int i = 0; i < l.n; i++) {
        insert(&so_far, l.value[i]);
        if (i)
            pen_char(thought, ';');
        write_list(&so_far, thought);
    }
    return true;
}

static bool accepts_sort(const struct task_kind *k, const char *question, const char *reference,
                         struct scan given)
{
    struct list asked, s, answer;

    (void)k, (void)reference;
    if (!read_sort(question, &asked) || !read_list(given, &answer) || asked.n != answer.n)
        return false;
    s = sorted(&asked);
    return !memcmp(s.value, answer.value, (size_t)s.n * sizeof *s.value);
}

const struct task_kind order_tasks[] = {
    {"compare", "which of two numbers is larger", 7, TASK_BITS_SCRATCHPAD, 0, ask_compare, NULL,
     think_compare},
    {"sort", "3 to 8 numbers in order", 9, TASK_BITS_SCRATCHPAD, 1, ask_sort, accepts_sort,
     think_sort},
    {0}};
