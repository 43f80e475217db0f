/* math.c: does an answer say the same as the reference? See math.h. */
#include "verify/math.h"

#include <string.h>

#include "verify/math_same.h"

static bool read_answer(struct text_span s, bool join, bool *grouped, struct math_tree *out)
{
    struct math_tokens tokens;
    bool ok = math_lex(s, join, &tokens) && math_parse(&tokens, out);

    *grouped = tokens.grouped;
    return ok;
}

bool math_reads(struct text_span s)
{
    struct math_tree tree;
    bool grouped;

    return read_answer(s, true, &grouped, &tree);
}

/* "1,200" is a number, or else 1 and 200. Where only one side leaves that open the other decides;
 * two such texts are compared as numbers: 100,200 is not 200,100. */
static bool same_mathematics(struct text_span a, struct text_span b)
{
    struct math_tree x, y;
    bool open_x, open_y, read_x = read_answer(a, true, &open_x, &x),
                         read_y = read_answer(b, true, &open_y, &y);

    if (read_x && read_y && math_same(&x, &y))
        return true;
    if (open_x == open_y)
        return false;
    if (open_x)
        read_x = read_answer(a, false, &open_x, &x);
    else
        read_y = read_answer(b, false, &open_y, &y);
    return read_x && read_y && math_same(&x, &y);
}

/* Without braces around all of it, which LaTeX does not show. */
static struct text_span unwrap(struct text_span s)
{
    while (s.n > 1 && s.at[0] == '{' && s.at[s.n - 1] == '}') {
        long depth = 0;

        for (size_t i = 0; i + 1 < s.n; i++) {
            if (s.at[i] == '\\')
                i++;
            else
                depth += (s.at[i] == '{') - (s.at[i] == '}');
            if (!depth || i + 1 == s.n) /* {1} + {2}, or a last brace that is a sign: \} */
                return s;
        }
        s.at++;
        s.n -= 2;
    }
    return s;
}

bool verify_math_equal(struct text_span gold, struct text_span answer)
{
    char letter;

    if (!gold.n || !answer.n)
        return false;
    if (gold.n == answer.n && !memcmp(gold.at, answer.at, gold.n))
        return true;
    if (gold.n <= MATH_MAX_BYTES && answer.n <= MATH_MAX_BYTES) {
        gold = unwrap(gold);
        answer = unwrap(answer);
    }
    letter = math_choice_letter(gold, true);
    if (letter && letter == math_choice_letter(answer, false))
        return true;
    return math_same_words(gold, answer) || same_mathematics(gold, answer);
}

bool verify_math(const char *gold, size_t n_gold, const char *answer, size_t n_answer,
                 struct math_verdict *v)
{
    struct math_verdict own;
    struct text_span choice;

    v = v ? v : &own;
    v->gold = verify_math_reference(gold, n_gold);
    v->answer = verify_math_extract(answer, n_answer);
    /* The same text twice holds the same answer, wherever it stands in it. */
    if (v->gold.at && v->answer.at && n_gold == n_answer && !memcmp(gold, answer, n_gold))
        v->answer = (struct text_span){answer + (v->gold.at - gold), v->gold.n};
    else if (v->gold.at && math_choice_letter(v->gold, true)) {
        choice = math_find_choice(answer, n_answer);
        v->answer = choice.at ? choice : v->answer;
    }
    v->equal = verify_math_equal(v->gold, v->answer);
    return v->equal;
}
