/* shard_list.h: the shards of one source, in the order of their names. */
#ifndef MK_TRAIN_SHARD_LIST_H
#define MK_TRAIN_SHARD_LIST_H

#include <stdbool.h>

#include "base/error.h"

#define SHARD_LIST_MAX 4096

struct shard_list {
    char *paths[SHARD_LIST_MAX]; /* owned */
    int n;
};

/* `l` is {0}. A file that is a shard, or those in a folder; none (n 0) is no error. */
int shard_list_find(struct shard_list *l, const char *path, struct mk_error *err);
void shard_list_release(struct shard_list *l);
/* Whether a source is shards already. */
int shard_list_any(const char *path, bool *any, struct mk_error *err);

#endif
