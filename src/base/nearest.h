/* nearest.h: the word that was probably meant, for messages about one that is not there. */
#ifndef MK_BASE_NEAREST_H
#define MK_BASE_NEAREST_H

/* The index of the one of names[n] that is nearest to `given` and at most two slips away, a letter
 * too many, too few or another; -1: none is. Words of more than 60 bytes are far from all. */
int nearest_word(const char *given, const char *const *names, int n);

#endif
