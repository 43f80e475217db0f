/* count.h: how many parameters a shape has and how much memory its context takes, from numbers
 * alone. */
#ifndef MK_MODEL_COUNT_H
#define MK_MODEL_COUNT_H

#include "formats/arch.h"
#include "minke.h"

struct count {
    uint64_t total;      /* embedding and head included, MTP left out */
    uint64_t active;     /* what one token is multiplied with: total less the experts not chosen */
    uint64_t mtp;        /* of all MTP blocks; the embedding and head they share are not in it */
    uint64_t kv_values;  /* numbers a token leaves in the cache, all layers, in the given form */
    uint64_t mha_values; /* what multi-head attention of the same shape would leave */
};

/* `a` has passed arch_check. form: MK_MLA_EXPANDED keeps every head's keys and values. */
void count_arch(struct count *c, const struct arch *a, enum mk_mla form);

#endif
