/* words.h: English words for questions about letters. */
#ifndef MK_TASKS_WORDS_H
#define MK_TASKS_WORDS_H

#include "tasks/dice.h"

#define WORD_SIZE 24

/* A word of low .. high letters, at most WORD_SIZE - 1 of them. Half of them are English, fewer
 * where the list has few so long; the others are made of syllables: there is no end of them. */
void words_roll(struct dice *d, int low, int high, char word[WORD_SIZE]);

#endif
