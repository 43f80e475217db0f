/* math_test.c: pairs of answers judged by hand, the peer's frozen verdicts, and hostile text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/rng.h"
#include "verify/math.h"

#define GOLDEN "tests/golden/verify/"

struct pairs {
    json_t *lines[2048];
    size_t n;
};

static void read_pairs(struct pairs *p, const char *path)
{
    FILE *f = fopen(path, "r");
    size_t capacity = 0;
    char *text = NULL;
    ssize_t n;

    p->n = 0;
    assert_non_null(f);
    while ((n = getline(&text, &capacity, f)) > 0) {
        assert_in_range(p->n, 0, 2047);
        p->lines[p->n] = json_loadb(text, (size_t)n, JSON_ALLOW_NUL, NULL);
        assert_non_null(p->lines[p->n++]);
    }
    free(text);
    fclose(f);
}

static void release_pairs(struct pairs *p)
{
    for (size_t i = 0; i < p->n; i++)
        json_decref(p->lines[i]);
}

static bool judge(const json_t *line, struct math_verdict *v)
{
    const json_t *gold = json_object_get(line, "gold"), *answer = json_object_get(line, "answer");

    return verify_math(json_string_value(gold), json_string_length(gold), json_string_value(answer),
                       json_string_length(answer), v);
}

/* Every line of the file gets this verdict; expected < 0: its own "equal". */
static void judge_all(const char *path, int expected, size_t at_least)
{
    static struct pairs p;
    int n_wrong = 0;

    read_pairs(&p, path);
    for (size_t i = 0; i < p.n; i++) {
        bool want = expected < 0 ? json_is_true(json_object_get(p.lines[i], "equal")) : expected;

        if (judge(p.lines[i], NULL) != want) {
            print_message("%s, line %zu: %s | %s\n", path, i + 1,
                          json_string_value(json_object_get(p.lines[i], "gold")),
                          json_string_value(json_object_get(p.lines[i], "answer")));
            n_wrong++;
        }
    }
    release_pairs(&p);
    assert_int_equal(n_wrong, 0);
    assert_true(p.n >= at_least);
}

static void answers_that_say_the_same_are_equal(void **state)
{
    (void)state;
    judge_all(GOLDEN "equal.jsonl", 1, 400);
}

static void answers_that_do_not_are_unequal(void **state)
{
    (void)state;
    judge_all(GOLDEN "unequal.jsonl", 0, 300);
}

static void malformed_answers_are_unequal(void **state)
{
    (void)state;
    judge_all(GOLDEN "malformed.jsonl", 0, 80);
}

static void verdicts_are_those_of_math_verify(void **state)
{
    (void)state;
    judge_all(GOLDEN "peer.jsonl", -1, 400);
}

/* ---- Finding --------------------------------------------------------------------------------- */

static void found(const char *text, const char *want)
{
    struct text_span s = verify_math_extract(text, strlen(text));

    if (!want) {
        assert_null(s.at);
        assert_int_equal(s.n, 0);
        return;
    }
    assert_non_null(s.at);
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(s.at, want, s.n);
}

static void the_answer_is_found_where_it_is_marked(void **state)
{
    (void)state;
    found("a \\boxed{1} b \\boxed{\\frac{1}{2}} c", "\\frac{1}{2}");
    found("\\boxed{\\text{a set } \\{1,2\\}}", "\\text{a set } \\{1,2\\}");
    found("\\boxed{2} then \\boxed{3", "2");
    found("\\boxed{} \n#### 4\nmore 5", "4");
    found("The answer is 7 cm. It is not 8.", "7 cm");
    found("The answer is $7$ because 7 > 6.", "7");
    found("The answer is that 3 + 4 makes 7", "7");
    found("Final Answer: **12**", "12");
    found("the answers are $x = 1$", "$x = 1$");
    found("no answer here but 3 and then 1,234.50 remain", "1,234.50");
    found("about -3/4 of it", "-3/4");
    found("it rose by 12\\% today", "12\\%");
    found("so $x = 5$ and $y$ is free", "y");
    found("  ", NULL);
    found("", NULL);
    found("nothing to be found in a long sentence about whales\nand another", NULL);
}

static void a_reference_is_taken_as_it_is(void **state)
{
    static const char text[] = " 1:30 p.m. ";
    struct text_span s = verify_math_reference(text, strlen(text));

    (void)state;
    assert_int_equal(s.n, strlen("1:30 p.m"));
}

/* ---- Hostile text ---------------------------------------------------------------------------- */

/* x is x, whatever x is, as soon as something can be found in it. */
static void same_as_itself(const char *text, size_t n)
{
    struct math_verdict v;
    bool equal = verify_math(text, n, text, n, &v);

    assert_int_equal(equal, v.gold.at != NULL && v.answer.at != NULL);
    assert_true(!v.gold.at || (v.gold.at >= text && v.gold.at + v.gold.n <= text + n));
    assert_true(!v.answer.at || (v.answer.at >= text && v.answer.at + v.answer.n <= text + n));
}

static uint32_t draw(uint64_t key, uint32_t *position, uint32_t below)
{
    uint32_t words[4];

    rng_words(5, key, (*position)++, words);
    return words[0] % below;
}

/* One to eight changes: bytes replaced, dropped, doubled, pieces of two answers joined. Keyed, so
 * that a failure comes back. The copy is exactly as long as the text: a read behind it shows. */
static void mutate(uint64_t key, const char *a, const char *b, void (*use)(const char *, size_t))
{
    static const char spice[] = "{}()[]\\^_$%,.:;|&=<>+-*/ 019exipU\"'\n\xcf\x80\xff";
    char text[1024];
    size_t n = strnlen(a, 500), n_b = strnlen(b, 400);
    uint32_t at_draw = 0;
    char *copy;

    memcpy(text, a, n);
    for (uint32_t i = draw(key, &at_draw, 8) + 1; i; i--) {
        size_t at = n ? draw(key, &at_draw, (uint32_t)n) : 0;
        char byte = spice[draw(key, &at_draw, sizeof spice - 1)];

        switch (draw(key, &at_draw, 4)) {
        case 0:
            if (n)
                text[at] = byte;
            break;
        case 1:
            memmove(text + at, text + at + 1, n ? n - at - 1 : 0);
            n -= n > 0;
            break;
        case 2:
            if (n + 1 < sizeof text) {
                memmove(text + at + 1, text + at, n - at);
                text[at] = byte;
                n++;
            }
            break;
        default:
            if (n + n_b < sizeof text) {
                memcpy(text + n, b, n_b);
                n += n_b;
                n_b = 0;
            }
        }
    }
    copy = malloc(n + 1);
    assert_non_null(copy);
    memcpy(copy + 1, text, n); /* ends where the memory ends */
    use(copy + 1, n);
    free(copy);
}

static void ten_thousand_mutations_do_no_harm_and_equal_themselves(void **state)
{
    static struct pairs p, q;

    (void)state;
    read_pairs(&p, GOLDEN "equal.jsonl");
    read_pairs(&q, GOLDEN "malformed.jsonl");
    for (uint64_t key = 0; key < 10000; key++) {
        const char *which = key % 2 ? "gold" : "answer";
        const json_t *a = json_object_get(p.lines[key % p.n], which);
        const json_t *b = json_object_get(q.lines[key % q.n], "answer");

        mutate(key, json_string_value(a), json_string_value(b), same_as_itself);
    }
    release_pairs(&p);
    release_pairs(&q);
}

static void repeated(const char *piece, size_t bytes, const char *tail)
{
    size_t k = strlen(piece), n = 0;
    char *text = malloc(bytes + strlen(tail) + 1);

    assert_non_null(text);
    for (; n + k <= bytes; n += k)
        memcpy(text + n, piece, k);
    memcpy(text + n, tail, strlen(tail));
    n += strlen(tail);
    same_as_itself(text, n);
    verify_math("5", 1, text, n, NULL);
    verify_math(text, n, "5", 1, NULL);
    free(text);
}

/* A megabyte of each: linear time, no recursion without a bound. */
static void a_megabyte_of_anything_is_no_burden(void **state)
{
    static const char *const pieces[] = {
        "(",       "{",     "[",          "\\{",        "\\boxed{", "\\frac{", "\\sqrt{",
        "\\text{", "-",     "+",          "^",          "1",        "9,",      "1+",
        "x",       "x^",    "|",          "$",          "$ ",       "$1$",     "\\(",
        "\\)",     "\\]",   "answer is ", "answer: $",  "####",     "\\left(", "\\begin{pmatrix}",
        "\\\\",    "!",     "%",          "\n",         " ",        "\xff",    "\xcf\x80",
        "1e9",     "3000!", "\\pm 1",     "\\overline", "=",        "<",       ",",
        "U",       "a",     "and "};

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        repeated(pieces[i], 1 << 20, "");
        repeated(pieces[i], 1 << 20, "} 5");
        repeated(pieces[i], 4000, ""); /* short enough to be read as mathematics */
        repeated(pieces[i], 250, "1");
    }
}

static void costly_expressions_are_bounded(void **state)
{
    (void)state;
    repeated("999!+", 500, "1");
    repeated("9^{9^9}*", 500, "1");
    repeated("999!,", 300, "1");
    repeated("{{1,2},{3,4}},", 700, "1");
    repeated("x^{999999999}+", 900, "1");
    repeated("9^{9^{9^{9^{9}}}}", 17, "");
    repeated("{{{{1,2},{2,3}},{{3,4},{4,5}}},{{{5,6},{6,7}},{{7,8},{8,9}}}}", 61, "");
}

static void bytes_that_are_no_text_are_read(void **state)
{
    char text[256];

    (void)state;
    for (int i = 0; i < 256; i++)
        text[i] = (char)i;
    same_as_itself(text, sizeof text);
    for (int i = 0; i < 256; i++)
        same_as_itself(text + i, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_that_say_the_same_are_equal),
        cmocka_unit_test(answers_that_do_not_are_unequal),
        cmocka_unit_test(malformed_answers_are_unequal),
        cmocka_unit_test(verdicts_are_those_of_math_verify),
        cmocka_unit_test(the_answer_is_found_where_it_is_marked),
        cmocka_unit_test(a_reference_is_taken_as_it_is),
        cmocka_unit_test(ten_thousand_mutations_do_no_harm_and_equal_themselves),
        cmocka_unit_test(a_megabyte_of_anything_is_no_burden),
        cmocka_unit_test(costly_expressions_are_bounded),
        cmocka_unit_test(bytes_that_are_no_text_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
