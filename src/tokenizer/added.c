/* added.c: a sorted list, narrowed byte by byte. Texts of added tokens have a maximal length, so
 * that the work at one place is bounded. */
#include "tokenizer/added.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/unicode.h"

/* qsort has no context argument in C11, so what is sorted carries its text along. */
struct entry { struct vocab_text text; const struct vocab_added *token; };

static int compare(const void *a, const void *b)
{
    const struct vocab_text *x = &((const struct entry *)a)->text,
                            *y = &((const struct entry *)b)->text;
    int order = memcmp(x->data, y->data, x->n < y->n ? x->n : y->n);

    return order ? order : (x->n > y->n) - (x->n < y->n);
}

int added_set_init(struct added_set *s, const struct vocab *v, const uint8_t *classes,
                   bool normalized, bool controls, struct mk_error *err)
{
    struct entry *entries = malloc(((size_t)v->n_added + 1) * sizeof *entries);

    *s = (struct added_set){.v = v, .classes = classes};
    s->sorted = malloc(((size_t)v->n_added + 1) * sizeof *s->sorted);
    if (!entries || !s->sorted) {
        free(entries);
        added_set_release(s);
        return mk_error_memory(err, (size_t)v->n_added * sizeof *entries);
    }
    for (int32_t i = 0; i < v->n_added; i++) {
        const struct vocab_added *a = &v->added[i];

        if (a->normalized == normalized && (controls || !vocab_is_control(v, a->id)))
            entries[s->n++] = (struct entry){v->texts[a->id], a};
    }
    qsort(entries, (size_t)s->n, sizeof *entries, compare);
    for (int32_t i = 0; i < s->n; i++) {
        s->sorted[i] = entries[i].token;
        s->first[(unsigned char)entries[i].text.data[0]] = true;
    }
    free(entries);
    return 0;
}

void added_set_release(struct added_set *s)
{
    free(s->sorted);
    *s = (struct added_set){0};
}

/* Within [*low, *high), which agree on the first `depth` bytes, keeps those with next byte c. */
static void narrow(const struct added_set *s, int32_t *low, int32_t *high, uint32_t depth,
                   unsigned char c)
{
    for (int side = 0; side < 2; side++) {
        int32_t a = *low, b = *high;

        while (a < b) {
            int32_t middle = a + (b - a) / 2;
            struct vocab_text t = s->v->texts[s->sorted[middle]->id];
            int byte = t.n > depth ? (unsigned char)t.data[depth] : -1;

            if (side ? byte <= c : byte < c)
                a = middle + 1;
            else
                b = middle;
        }
        *(side ? high : low) = a;
    }
}

/* The longest token that text[n] begins with, or NULL. */
static const struct vocab_added *longest(const struct added_set *s, const unsigned char *text,
                                         size_t n)
{
    const struct vocab_added *best = NULL;
    int32_t low = 0, high = s->n;

    for (uint32_t depth = 0; depth < n; depth++) {
        narrow(s, &low, &high, depth, text[depth]);
        if (low == high)
            break;
        if (s->v->texts[s->sorted[low]->id].n == depth + 1)
            best = s->sorted[low];
    }
    return best;
}

static bool is_word(const struct added_set *s, const unsigned char *text, size_t n)
{
    uint32_t code = utf8_at(text, n).code;

    return code == '_' || (s->classes[code] & (UC_LETTER | UC_MARK | UC_NUMBER));
}

/* Where the character that ends at `end` begins. */
static size_t step_back(const unsigned char *text, size_t end)
{
    for (size_t k = 1; k <= 4 && k <= end; k++)
        if (utf8_at(text + end - k, k).n == (int)k)
            return end - k;
    return end - 1;
}

static bool stands_alone(const struct added_set *s, const unsigned char *text, size_t n,
                         size_t begin, size_t end)
{
    if (begin > 0) {
        size_t before = step_back(text, begin);

        if (is_word(s, text + before, begin - before))
            return false;
    }
    return end == n || !is_word(s, text + end, n - end);
}

static bool is_space(const struct added_set *s, const unsigned char *text, size_t n)
{
    return s->classes[utf8_at(text, n).code] & UC_SPACE;
}

bool added_set_find(const struct added_set *s, const unsigned char *text, size_t n, size_t from,
                    size_t floor, struct added_match *m)
{
    for (size_t at = from; s->n && at < n; at++) {
        const struct vocab_added *a = s->first[text[at]] ? longest(s, text + at, n - at) : NULL;

        if (!a)
            continue;
        *m = (struct added_match){at, at + s->v->texts[a->id].n, 0, a->id};
        m->next = m->end;
        if (a->single_word && !stands_alone(s, text, n, m->begin, m->end)) {
            at = m->end - 1;
            continue;
        }
        while (a->lstrip && m->begin > floor) {
            size_t before = step_back(text, m->begin);

            if (before < floor || !is_space(s, text + before, m->begin - before))
                break;
            m->begin = before;
        }
        while (a->rstrip && m->end < n && is_space(s, text + m->end, n - m->end))
            m->end += (size_t)utf8_at(text + m->end, n - m->end).n;
        m->next = m->end;
        return true;
    }
    return false;
}
