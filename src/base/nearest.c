/* nearest.c: Levenshtein's distance, one row at a time. */
#include "base/nearest.h"

#include <string.h>

#define MAX_WORD 60

static int distance(const char *a, const char *b)
{
    int row[MAX_WORD + 1], na = (int)strnlen(a, MAX_WORD + 1), nb = (int)strnlen(b, MAX_WORD + 1);

    if (na > MAX_WORD || nb > MAX_WORD)
        return MAX_WORD;
    for (int j = 0; j <= nb; j++)
        row[j] = j;
    for (int i = 1; i <= na; i++) {
        int diagonal = row[0];

        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[nb];
}

int nearest_word(const char *given, const char *const *names, int n)
{
    int best = 3, found = -1; /* three slips are another word */

    for (int i = 0; i < n; i++) {
        int d = distance(given, names[i]);

        if (d < best && d < (int)strlen(names[i]) && d < (int)strlen(given)) {
            best = d;
            found = i;
        }
    }
    return found;
}
