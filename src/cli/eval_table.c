/* eval_table.c: see eval_table.h. */
#include "cli/eval_table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/safe_text.h"
#include "eval/compare.h"

#define CELL 18 /* characters of a column */

/* A cell, behind the room that the one before it did not fill. */
static void print_cell(int *room, const char *text)
{
    printf("%*s  %s", *room, "", text);
    *room = strlen(text) < CELL ? CELL - (int)strlen(text) : 0;
}

static void print_estimate(int *room, const struct estimate *e, bool signs)
{
    char text[48] = "-";

    if (e->n && isfinite(e->error))
        snprintf(text, sizeof text, signs ? "%+.4f (%.4f)" : "%.4f (%.4f)", e->value, e->error);
    else if (e->n)
        snprintf(text, sizeof text, signs ? "%+.4f" : "%.4f", e->value);
    print_cell(room, text);
}

static void print_row(const struct comparison *c, const struct compare_row *row, bool first)
{
    bool unpaired = false;
    int room = 0;

    printf("%-14s  %-15s", first ? row->suite : "", row->score);
    for (int32_t i = 0; i < c->n_models; i++)
        print_estimate(&room, &row->value[i], false);
    for (int32_t i = 1; i < c->n_models; i++) {
        print_estimate(&room, &row->difference[i], true);
        unpaired |= row->difference[i].n && !row->paired[i];
    }
    if (unpaired)
        printf("%*s *", room, "");
    putchar('\n');
}

/* A model may have been asked twice: its folder tells which of them is meant. */
static void print_head(const struct comparison *c, char **folders)
{
    char name[32];
    int room = 0;

    for (int32_t i = 0; i < c->n_models; i++) {
        printf("%c  ", 'A' + i);
        safe_text_print(stdout, c->model[i]);
        printf(", in ");
        safe_text_print(stdout, folders[i]);
        putchar('\n');
    }
    printf("\n%-14s  %-15s", "suite", "score");
    for (int32_t i = 0; i < c->n_models; i++) {
        snprintf(name, sizeof name, "%c (stderr)", 'A' + i);
        print_cell(&room, name);
    }
    for (int32_t i = 1; i < c->n_models; i++) {
        snprintf(name, sizeof name, "%c - A (stderr)", 'A' + i);
        print_cell(&room, name);
    }
    putchar('\n');
}

bool eval_table_is_for(const char *folder)
{
    return compare_is_folder(folder);
}

int eval_table_print(char **folders, int n, struct mk_error *err)
{
    struct comparison c;
    bool unpaired = false;

    if (compare_read(&c, (const char *const *)folders, n, err))
        return err->code;
    print_head(&c, folders);
    for (int32_t i = 0; i < c.n_rows; i++) {
        print_row(&c, &c.rows[i], i == 0 || strcmp(c.rows[i].suite, c.rows[i - 1].suite) != 0);
        for (int32_t k = 1; k < c.n_models; k++)
            unpaired |= c.rows[i].difference[k].n && !c.rows[i].paired[k];
    }
    if (unpaired)
        puts("*: not of the same questions, one by one: the error is that of two samples");
    compare_release(&c);
    return 0;
}
