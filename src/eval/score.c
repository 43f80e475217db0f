/* score.c: see score.h. */
#include "eval/score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double score_pass(int32_t n, int32_t c, int32_t k)
{
    double miss = 1;

    if (n - c < k)
        return 1;
    for (int32_t i = n - c + 1; i <= n; i++)
        miss *= 1 - (double)k / (double)i;
    return 1 - miss;
}

int32_t score_majority(const struct text_span *answers, int32_t n,
                       bool (*same)(struct text_span a, struct text_span b))
{
    int32_t best = -1, most = 0;

    for (int32_t i = 0; i < n; i++) {
        int32_t votes = 0;
        bool first = true;

        if (!answers[i].at)
            continue;
        for (int32_t j = 0; j < i && first; j++)
            first = !answers[j].at || !same(answers[j], answers[i]);
        for (int32_t j = i; j < n && first; j++)
            votes += answers[j].at && (j == i || same(answers[i], answers[j]));
        if (votes > most) {
            most = votes;
            best = i;
        }
    }
    return best;
}

void score_release(struct score_table *t)
{
    for (int32_t i = 0; i < t->n; i++)
        free(t->series[i].values);
    t->n = 0;
}

const struct series *score_find(const struct score_table *t, const char *name)
{
    for (int32_t i = 0; i < t->n; i++)
        if (!strcmp(t->series[i].name, name))
            return &t->series[i];
    return NULL;
}

int score_add(struct score_table *t, const char *name, double value, struct mk_error *err)
{
    const struct series *found = score_find(t, name);
    struct series *s = found ? &t->series[found - t->series] : &t->series[t->n];

    if (!found) {
        if (t->n == SCORE_MAX_SERIES || strlen(name) >= sizeof s->name)
            return mk_error_set(err, MK_ELIMIT, "score '%.40s': at most %d of them, of 31 letters",
                                name, SCORE_MAX_SERIES);
        *s = (struct series){0};
        snprintf(s->name, sizeof s->name, "%s", name);
        t->n++;
    }
    if (s->n == s->capacity) {
        int64_t capacity = s->capacity ? 2 * s->capacity : 256;
        double *grown = realloc(s->values, (size_t)capacity * sizeof *grown);

        if (!grown)
            return mk_error_memory(err, (size_t)capacity * sizeof *grown);
        s->values = grown;
        s->capacity = capacity;
    }
    s->values[s->n++] = value;
    return 0;
}

struct estimate score_mean(const double *values, int64_t n)
{
    double sum = 0, squares = 0, mean;

    for (int64_t i = 0; i < n; i++)
        sum += values[i];
    mean = n ? sum / (double)n : NAN;
    for (int64_t i = 0; i < n; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    return (struct estimate){mean, n > 1 ? sqrt(squares / (double)(n - 1) / (double)n) : NAN, n};
}

struct estimate score_ratio(const double *a, const double *b, int64_t n)
{
    double sum_a = 0, sum_b = 0, squares = 0, ratio;

    for (int64_t i = 0; i < n; i++) {
        sum_a += a[i];
        sum_b += b[i];
    }
    ratio = sum_b > 0 ? sum_a / sum_b : NAN;
    for (int64_t i = 0; i < n; i++)
        squares += (a[i] - ratio * b[i]) * (a[i] - ratio * b[i]);
    return (struct estimate){
        ratio, n > 1 ? sqrt(squares * (double)n / (double)(n - 1)) / sum_b : NAN, n};
}
