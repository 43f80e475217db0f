/* model_options.h: the options of every subcommand that runs a model, and ids from a file. */
#ifndef MK_CLI_MODEL_OPTIONS_H
#define MK_CLI_MODEL_OPTIONS_H

#include <stddef.h>

#include "cli/cli.h"

struct model_flags {
    int32_t threads, context;
    int numerics, mla, kv; /* indices of the choices below */
    const char *cpu;
    bool quiet, check_tensors;
};

/* Rows of a subcommand's option table. */
/* clang-format off */
#define CLI_MODEL_OPTIONS(f) \
    {"threads", 0, CLI_I32, &(f)->threads, "N", "threads that compute (one a core)", 1, 256, 0}, \
    {"context", 0, CLI_I32, &(f)->context, "N", "tokens the cache can hold", 1, 1 << 24, 0}, \
    {"numerics", 0, CLI_CHOICE, &(f)->numerics, "MODE", "exact: the same bits in any company", \
     0, 0, "exact|fast"}, \
    {"mla", 0, CLI_CHOICE, &(f)->mla, "FORM", "of latent attention", 0, 0, \
     "auto|absorbed|expanded"}, \
    {"kv", 0, CLI_CHOICE, &(f)->kv, "TYPE", "numbers in the cache", 0, 0, \
     "f32|bf16|int8"}, \
    {"cpu", 0, CLI_STRING, &(f)->cpu, "NAME", "lower the machine: ref, avx2, avx512", 0, 0, 0}, \
    {"check-tensors", 0, CLI_FLAG, &(f)->check_tensors, 0, "refuse weights that are no numbers", \
     0, 0, 0}, \
    {"quiet", 'q', CLI_FLAG, &(f)->quiet, 0, "no progress bar", 0, 0, 0}
/* clang-format on */

/* Finds the model, a path or a name of the store, and opens it. */
int model_flags_open(struct mk_model **model, const char *name, const struct model_flags *f,
                     struct mk_error *err);
struct mk_session_options model_flags_session(const struct model_flags *f);

/* A whole file, or stdin for "-", as malloc'ed text with a NUL behind it; at most 1 GB. */
int read_input(const char *path, char **text, size_t *n, struct mk_error *err);
/* Ids separated by white space; malloc'ed. */
int read_ids(const char *path, int32_t **ids, size_t *n, struct mk_error *err);

#endif
