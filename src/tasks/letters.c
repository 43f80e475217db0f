/* letters.c: "How many r's are in strawberry?" The scratchpad spells and counts. */
#include "tasks/kind.h"

#include <string.h>

#include "tasks/words.h"

static int count(const char *word, char letter)
{
    int n = 0;

    for (; *word; word++)
        n += *word == letter;
    return n;
}

/* First how many there shall be, of the counts that the word offers, then a letter of that count:
 * else nearly all answers would be 1. */
static char roll_letter(struct dice *d, const char *word)
{
    int wanted[WORD_SIZE], n_wanted = 0, n_letters = 0, skip;
    bool seen[WORD_SIZE] = {false};

    for (char c = 'a'; c <= 'z'; c++) {
        int n = count(word, c);

        if (!seen[n])
            wanted[n_wanted++] = n;
        seen[n] = true;
    }
    wanted[0] = wanted[dice_below(d, n_wanted)];
    for (char c = 'a'; c <= 'z'; c++)
        n_letters += count(word, c) == wanted[0];
    skip = dice_below(d, n_letters);
    for (char c = 'a';; c++)
        if (count(word, c) == wanted[0] && !skip--)
            return c;
}

static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    char word[WORD_SIZE], letter;

    (void)k;
    words_roll(d, 3 + 2 * level, 4 + 2 * level, word);
    letter = roll_letter(d, word);
    pen_print(question, "How many %c's are in %s?", letter, word);
    pen_print(answer, "%d", count(word, letter));
}

/* "s0t0r1a1w1b1e1r2r3y3" */
static bool think(const struct task_kind *k, const char *question, enum task_trace trace,
                  struct dice *d, struct pen *thought, struct pen *answer)
{
    struct scan s = scan_text(question);
    char letter;
    int n = 0;

    (void)k, (void)trace, (void)d, (void)answer;
    if (!scan_word(&s, "How many ") || scan_ended(&s))
        return false;
    letter = *s.at++;
    if (!scan_word(&s, "'s are in ") || scan_ended(&s) || s.end[-1] != '?')
        return false;
    for (s.end--; !scan_ended(&s); s.at++) {
        n += *s.at == letter;
        pen_print(thought, "%c%d", *s.at, n);
    }
    return true;
}

const struct task_kind letter_tasks[] = {
    {"letters", "how often a letter is in a word", 5, TASK_BITS_SCRATCHPAD, 0, ask, NULL, think},
    {0}};
