/* vocab_ways.c: merges for a vocabulary that has scores instead, as SentencePiece models in GGUF.
 *
 * SentencePiece joins two neighbours whenever the result is a piece, the best score first. So every
 * cut of a piece into two others is a merge. Two sorted lists, one of them of texts turned around,
 * find all beginnings and all ends of a piece that are pieces in one walk each: linear in the
 * bytes of the vocabulary but for a log factor. */
#include <stdlib.h>
#include <string.h>

#include "formats/vocab.h"

/* Half a million follow from a vocabulary of 256,000. */
#define MAX_WAYS (1 << 24)

struct piece { struct vocab_text text; int32_t id; };

/* Pieces in the order of their bytes, no two alike; `bytes` holds the texts if turned around. */
struct index { struct piece *items; int32_t n; char *bytes; };

struct ways {
    const struct vocab *v;
    struct index fronts, backs;
    int32_t *left, *right;  /* [longest + 1] by length: the piece that a text begins, ends with */
    char *turned;           /* [longest] */
    struct vocab_way *list; /* [capacity] */
    int64_t n, capacity;
};

static int by_text(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    int order = memcmp(x->text.data, y->text.data, x->text.n < y->text.n ? x->text.n : y->text.n);

    if (order || x->text.n != y->text.n)
        return order ? order : x->text.n > y->text.n ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static void turn(struct vocab_text t, char *out)
{
    for (uint32_t i = 0; i < t.n; i++)
        out[i] = t.data[t.n - 1 - i];
}

static int take_index(struct index *x, const struct vocab *v, bool turned, struct mk_error *err)
{
    size_t total = 0, used = 0;
    int32_t n = 0;

    for (int32_t i = 0; i < v->n_tokens; i++)
        total += v->texts[i].n;
    x->items = malloc((size_t)v->n_tokens * sizeof *x->items);
    x->bytes = turned ? malloc(total + 1) : NULL;
    if (!x->items || (turned && !x->bytes))
        return mk_error_memory(err, total + (size_t)v->n_tokens * sizeof *x->items);
    for (int32_t i = 0; i < v->n_tokens; i++) {
        struct vocab_text t = v->texts[i];

        if (!vocab_is_piece(v, i))
            continue;
        if (turned) {
            turn(t, x->bytes + used);
            t.data = x->bytes + used;
            used += t.n;
        }
        x->items[n++] = (struct piece){t, i};
    }
    qsort(x->items, (size_t)n, sizeof *x->items, by_text);
    for (int32_t i = 0; i < n; i++) { /* of equal texts the first id counts */
        const struct vocab_text *t = &x->items[i].text;
        const struct vocab_text *last = x->n ? &x->items[x->n - 1].text : NULL;

        if (!last || last->n != t->n || memcmp(last->data, t->data, t->n))
            x->items[x->n++] = x->items[i];
    }
    return 0;
}

/* Within [*low, *high), which agree on the first `depth` bytes, keeps those with next byte c. */
static void narrow(const struct index *x, int32_t *low, int32_t *high, uint32_t depth,
                   unsigned char c)
{
    for (int side = 0; side < 2; side++) {
        int32_t a = *low, b = *high;

        while (a < b) {
            int32_t middle = a + (b - a) / 2;
            struct vocab_text t = x->items[middle].text;
            int byte = t.n > depth ? (unsigned char)t.data[depth] : -1;

            if (side ? byte <= c : byte < c)
                a = middle + 1;
            else
                b = middle;
        }
        *(side ? high : low) = a;
    }
}

/* ids[k]: the piece that is the first k bytes of the text, or -1. */
static void find_prefixes(const struct index *x, const char *text, uint32_t n, int32_t *ids)
{
    int32_t low = 0, high = x->n;

    for (uint32_t depth = 0; depth < n; depth++) {
        ids[depth + 1] = -1;
        if (low == high)
            continue;
        narrow(x, &low, &high, depth, (unsigned char)text[depth]);
        if (low < high && x->items[low].text.n == depth + 1)
            ids[depth + 1] = x->items[low].id;
    }
}

static int append(struct ways *w, struct vocab_way way, struct mk_error *err)
{
    if (w->n == MAX_WAYS)
        return mk_error_set(err, MK_ELIMIT,
                            "%s: over %d merges follow from the scores; no trained vocabulary has "
                            "so many, download the file again",
                            w->v->name, MAX_WAYS);
    if (w->n == w->capacity) {
        int64_t capacity = w->capacity ? 2 * w->capacity : 1024;
        struct vocab_way *list = realloc(w->list, (size_t)capacity * sizeof *list);

        if (!list)
            return mk_error_memory(err, (size_t)capacity * sizeof *list);
        w->list = list;
        w->capacity = capacity;
    }
    w->list[w->n++] = way;
    return 0;
}

/* The longest left part first: where two cuts compete, the leftmost pair is to win. */
static int add_cuts(struct ways *w, int32_t id, struct mk_error *err)
{
    struct vocab_text t = w->v->texts[id];

    turn(t, w->turned);
    find_prefixes(&w->fronts, t.data, t.n, w->left);
    find_prefixes(&w->backs, w->turned, t.n, w->right);
    for (uint32_t at = t.n - 1; at > 0; at--)
        if (w->left[at] >= 0 && w->right[t.n - at] >= 0 &&
            append(w, (struct vocab_way){w->left[at], w->right[t.n - at], id}, err))
            return err->code;
    return 0;
}

struct scored { float score; int32_t id; };

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int add_all(struct ways *w, struct scored *order, struct mk_error *err)
{
    int32_t n = w->fronts.n;
    int rc = 0;

    for (int32_t i = 0; i < n; i++) {
        int32_t id = w->fronts.items[i].id;

        order[i] = (struct scored){w->v->scores[id], id};
    }
    qsort(order, (size_t)n, sizeof *order, by_score);
    for (int32_t i = 0; !rc && i < n; i++)
        rc = add_cuts(w, order[i].id, err);
    return rc;
}

static int take_scratch(struct ways *w, struct mk_error *err)
{
    size_t longest = 0;

    for (int32_t i = 0; i < w->v->n_tokens; i++)
        if (w->v->texts[i].n > longest)
            longest = w->v->texts[i].n;
    w->left = malloc((longest + 1) * sizeof *w->left);
    w->right = malloc((longest + 1) * sizeof *w->right);
    w->turned = malloc(longest + 1);
    return w->left && w->right && w->turned ? 0 : mk_error_memory(err, longest * 9);
}

int vocab_ways(const struct vocab *v, struct vocab_way **list, int64_t *n, struct mk_error *err)
{
    struct scored *order = malloc((size_t)v->n_tokens * sizeof *order);
    struct ways w = {.v = v};
    int rc = order ? take_scratch(&w, err) : mk_error_memory(err, sizeof *order);

    if (!rc)
        rc = take_index(&w.fronts, v, false, err);
    if (!rc)
        rc = take_index(&w.backs, v, true, err);
    if (!rc)
        rc = add_all(&w, order, err);
    *list = rc ? NULL : w.list;
    *n = rc ? 0 : w.n;
    if (rc)
        free(w.list);
    free(order);
    free(w.fronts.items);
    free(w.backs.items);
    free(w.backs.bytes);
    free(w.left);
    free(w.right);
    free(w.turned);
    return rc;
}
