/* overlap_test.c: runs of words against a search word by word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <cmocka.h>

#include "base/rng.h"
#include "eval/overlap.h"

#define N_DOCUMENTS 12
#define MAX_TEXT 4096

static struct overlap *create(void)
{
    struct overlap *o;
    struct mk_error err;

    assert_int_equal(overlap_create(&o, &err), 0);
    return o;
}

static void add(struct overlap *o, const char *text)
{
    struct mk_error err;

    assert_int_equal(overlap_add(o, text, strlen(text), &err), 0);
}

static struct overlap_verdict look(const struct overlap *o, const char *text)
{
    return overlap_of(o, text, strlen(text));
}

static const char question[] =
    "Janet's ducks lay 16 eggs per day; she eats three for breakfast every morning.";

static bool is_found_in(const char *document)
{
    struct overlap *o = create();
    bool found;

    add(o, question);
    overlap_feed(o, document, strlen(document), 3);
    overlap_feed(o, " ", 1, 3);
    overlap_end_document(o);
    found = look(o, question).found;
    overlap_free(o);
    return found;
}

static void case_and_punctuation_make_no_difference(void **state)
{
    const char rest[] = "eggs per day she eats three for breakfast every";
    char text[200];

    (void)state;
    assert_true(is_found_in("JANET S DUCKS, LAY: 16 EGGS (PER DAY)!\n"
                            "SHE\teats three -- for BREAKFAST"));
    snprintf(text, sizeof text, "ducks lay 16 %s\nmorning", rest);
    assert_true(is_found_in(text));
    snprintf(text, sizeof text, "ducks lay 17 %s morning", rest);
    assert_false(is_found_in(text));
    snprintf(text, sizeof text, "ducks lay 16 %s", rest);
    assert_false(is_found_in(text));
    snprintf(text, sizeof text, "geese lay 16 %s morning", rest);
    assert_false(is_found_in(text));
}

static void a_run_lies_in_one_document(void **state)
{
    struct overlap *o = create();
    const char a[] = "Janet's ducks lay 16 eggs per day; ";
    const char b[] = "she eats three for breakfast every";

    (void)state;
    add(o, question);
    overlap_feed(o, a, sizeof a - 1, 0);
    overlap_end_document(o);
    overlap_feed(o, b, sizeof b - 1, 0);
    overlap_end_document(o);
    assert_false(look(o, question).found);
    overlap_feed(o, a, sizeof a - 1, 7);
    overlap_feed(o, b, 3, 7); /* in the middle of nothing and of a word */
    overlap_feed(o, b + 3, 3, 7);
    overlap_feed(o, b + 6, sizeof b - 7, 7);
    overlap_feed(o, ".", 1, 7);
    assert_true(look(o, question).found);
    assert_int_equal(look(o, question).source, 7);
    overlap_free(o);
}

static void the_run_is_shown_and_short_questions_are_not_judged(void **state)
{
    struct overlap *o = create();
    const char text[] = "lay 16 eggs per day she eats three for breakfast every morning or not ";
    struct overlap_verdict v;

    (void)state;
    add(o, question);
    add(o, "What is 2 + 2?");
    assert_false(look(o, "What is 2 + 2?").judged);
    overlap_feed(o, text, sizeof text - 1, 0);
    v = look(o, question);
    assert_true(v.judged && !v.found); /* twelve words: lay .. morning */
    overlap_end_document(o);
    overlap_feed(o, "ducks ", 6, 0);
    overlap_feed(o, text, sizeof text - 1, 0);
    v = look(o, question);
    assert_true(v.found);
    assert_memory_equal(question + v.begin, "ducks", 5);
    assert_memory_equal(question + v.end, ".", 2); /* the last word is "morning" */
    overlap_free(o);
}

/* n words of two kinds. */
static void make_text(char *text, int n, uint64_t seed)
{
    text[0] = '\0';
    for (int i = 0; i < n; i++)
        strcat(text, rng_uniform(seed, 1, (uint64_t)i) < 0.5 ? "ab " : "a ");
}

/* All runs of 13 words of a, looked for in b; both have words of one or two letters. */
static bool search(const char *a, const char *b)
{
    for (const char *at = a; *at; at = strchr(at, ' ') + 1) {
        const char *end = at;
        char run[64] = " ";
        char whole[MAX_TEXT + 2] = " ";

        for (int i = 0; i < OVERLAP_WORDS && end; i++)
            end = (end = strchr(end, ' ')) && (end[1] || i == OVERLAP_WORDS - 1) ? end + 1 : NULL;
        if (!end)
            return false;
        strncat(run, at, (size_t)(end - at));
        strcat(whole, b);
        if (strstr(whole, run))
            return true;
    }
    return false;
}

static void what_is_found_is_what_a_plain_search_finds(void **state)
{
    static char questions[40][MAX_TEXT], documents[N_DOCUMENTS][MAX_TEXT];
    struct overlap *o = create();
    int n_found = 0;

    (void)state;
    for (int q = 0; q < 40; q++) {
        make_text(questions[q], 14 + q % 5, (uint64_t)q);
        add(o, questions[q]);
    }
    for (int d = 0; d < N_DOCUMENTS; d++) {
        make_text(documents[d], 60, (uint64_t)(1000 + d));
        for (size_t at = 0, n = strlen(documents[d]), piece; at < n; at += piece) {
            piece = 1 + (size_t)(7 * rng_uniform(5, (uint64_t)d, at));
            piece = piece < n - at ? piece : n - at;
            overlap_feed(o, documents[d] + at, piece, d);
        }
        overlap_end_document(o);
    }
    for (int q = 0; q < 40; q++) {
        bool want = false;

        for (int d = 0; d < N_DOCUMENTS; d++)
            want |= search(questions[q], documents[d]);
        assert_int_equal(look(o, questions[q]).found, want);
        n_found += want;
    }
    assert_in_range(n_found, 3, 37); /* the test can fail both ways */
    overlap_free(o);
}

/* More runs than the table has room for at first. */
static void many_questions_are_kept(void **state)
{
    struct overlap *o = create();
    char text[MAX_TEXT];

    (void)state;
    for (int q = 0; q < 20000; q++) {
        snprintf(text, sizeof text, "q%d b c d e f g h i j k l m n o p", q);
        add(o, text);
    }
    overlap_feed(o, "q777 B c d e f g h i j k l m ", 29, 1);
    assert_true(look(o, "q777 b c d e f g h i j k l m").found);
    assert_false(look(o, "q778 b c d e f g h i j k l m").found);
    overlap_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(case_and_punctuation_make_no_difference),
        cmocka_unit_test(a_run_lies_in_one_document),
        cmocka_unit_test(the_run_is_shown_and_short_questions_are_not_judged),
        cmocka_unit_test(what_is_found_is_what_a_plain_search_finds),
        cmocka_unit_test(many_questions_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
