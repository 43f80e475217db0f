/* open_tokenizer.c: see open_tokenizer.h. */
#include "cli/open_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/gguf.h"
#include "hub/hub.h"

static int open_gguf(struct vocab *v, const char *path, struct mk_error *err)
{
    struct gguf g;
    int rc = gguf_open(&g, path, err);

    if (rc)
        return rc;
    rc = vocab_from_gguf(v, &g, path, err);
    gguf_release(&g);
    return rc;
}

/* A folder with a tokenizer and no weights is no model to hub_resolve, and enough here. */
static bool holds_tokenizer(const char *folder)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/tokenizer.json", folder);

    return n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0;
}

static int read_vocab(struct vocab *v, const char *model, struct mk_error *err)
{
    const char *dot;
    char *path;
    int rc;

    if (holds_tokenizer(model))
        return vocab_from_tokenizer_json(v, model, err);
    rc = hub_resolve(model, &path, err);
    if (rc)
        return rc;
    dot = strrchr(path, '.');
    rc = dot && !strcmp(dot, ".gguf") ? open_gguf(v, path, err)
                                      : vocab_from_tokenizer_json(v, path, err);
    free(path);
    return rc;
}

int cli_open_tokenizer(struct tokenizer **t, const char *model, struct mk_error *err)
{
    struct vocab v;
    int rc = read_vocab(&v, model, err);

    if (rc)
        return rc;
    rc = tokenizer_create(t, &v, err);
    if (rc)
        vocab_release(&v);
    return rc;
}
