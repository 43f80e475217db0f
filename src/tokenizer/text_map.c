/* text_map.c: open addressing with at most half of the slots in use. */
#include "tokenizer/text_map.h"

#include <stdlib.h>
#include <string.h>

/* Eight bytes at a time, multiply and fold: short texts are the common case. */
static uint32_t hash(const unsigned char *s, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ n, word;

    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&word, s, 8);
        h = (h ^ word) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)s[i] << (8 * i);
    h = (h ^ word) * 0xD6E8FEB86659FD93u;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    return (uint32_t)(h >> 32);
}

int text_map_init(struct text_map *m, const struct vocab_text *texts, int32_t n,
                  struct mk_error *err)
{
    size_t slots = 16;

    while (slots < 2 * (size_t)n)
        slots *= 2;
    *m = (struct text_map){.texts = texts, .mask = (uint32_t)(slots - 1)};
    m->slots = malloc(slots * sizeof *m->slots);
    if (!m->slots)
        return mk_error_memory(err, slots * sizeof *m->slots);
    memset(m->slots, 0xFF, slots * sizeof *m->slots);
    return 0;
}

void text_map_release(struct text_map *m)
{
    free(m->slots);
    *m = (struct text_map){0};
}

/* The slot that holds the text, or the free one where it belongs. */
static uint32_t slot_of(const struct text_map *m, const void *text, size_t n)
{
    uint32_t i = hash(text, n) & m->mask;

    while (m->slots[i] >= 0) {
        const struct vocab_text *t = &m->texts[m->slots[i]];

        if (t->n == n && !memcmp(t->data, text, n))
            break;
        i = (i + 1) & m->mask;
    }
    return i;
}

void text_map_add(struct text_map *m, int32_t id)
{
    uint32_t i = slot_of(m, m->texts[id].data, m->texts[id].n);

    if (m->slots[i] < 0)
        m->slots[i] = id;
}

int32_t text_map_find(const struct text_map *m, const void *text, size_t n)
{
    return m->slots[slot_of(m, text, n)];
}
