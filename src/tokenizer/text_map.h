/* text_map.h: from a text to the id of the token that has it. Read-only once filled. */
#ifndef MK_TOKENIZER_TEXT_MAP_H
#define MK_TOKENIZER_TEXT_MAP_H

#include "formats/vocab.h"

struct text_map {
    const struct vocab_text *texts; /* borrowed; by id */
    int32_t *slots;                 /* owned; id or -1; open addressing */
    uint32_t mask;
};

/* Room for n texts. */
int text_map_init(struct text_map *m, const struct vocab_text *texts, int32_t n,
                  struct mk_error *err);
void text_map_release(struct text_map *m);
/* The first token added under a text keeps it. */
void text_map_add(struct text_map *m, int32_t id);
/* -1 when there is none. */
int32_t text_map_find(const struct text_map *m, const void *text, size_t n);

#endif
