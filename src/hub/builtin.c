/* builtin.c: the model that comes inside minke, put into the store when it is first asked for. */
#include "hub/builtin.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/map_file.h"
#include "hub/files.h"

#define SCHEME "builtin:"

extern const unsigned char builtin_weights[], builtin_weights_end[];
extern const unsigned char builtin_config[], builtin_config_end[];
extern const unsigned char builtin_tokenizer[], builtin_tokenizer_end[];
extern const unsigned char builtin_tokenizer_config[], builtin_tokenizer_config_end[];
extern const unsigned char builtin_generation[], builtin_generation_end[];
extern const unsigned char builtin_template[], builtin_template_end[];

static const struct builtin_file {
    const char *name;
    const unsigned char *begin, *end;
} files[] = {
    {"model.safetensors", builtin_weights, builtin_weights_end},
    {"config.json", builtin_config, builtin_config_end},
    {"tokenizer.json", builtin_tokenizer, builtin_tokenizer_end},
    {"tokenizer_config.json", builtin_tokenizer_config, builtin_tokenizer_config_end},
    {"generation_config.json", builtin_generation, builtin_generation_end},
    {"chat_template.jinja", builtin_template, builtin_template_end},
};

bool builtin_is(const char *spec)
{
    return !strncmp(spec, SCHEME, strlen(SCHEME));
}

/* Says which model this minke holds: a digest of all files. */
static int revision_of(char text[64], struct mk_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

    for (size_t i = 0; good && i < sizeof files / sizeof *files; i++)
        good = EVP_DigestUpdate(md, files[i].begin, (size_t)(files[i].end - files[i].begin));
    good = good && EVP_DigestFinal_ex(md, digest, NULL);
    EVP_MD_CTX_free(md);
    if (!good)
        return mk_error_memory(err, 64);
    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

int source_builtin(const char *dir, struct source_facts *facts, struct mk_error *err)
{
    char path[HUB_PATH_MAX];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (files_join(path, dir, files[i].name, err) ||
            write_file(path, files[i].begin, (size_t)(files[i].end - files[i].begin), err))
            return err->code;
    return revision_of(facts->revision, err);
}

int builtin_keep(const char *store, const char *name, struct mk_error *err)
{
    char revision[64], path[HUB_PATH_MAX];
    struct hub_options o = {.store = store, .name = name, .revision = revision};

    if (revision_of(revision, err))
        return err->code;
    return hub_pull(&o, name, path, err);
}
