/* model_file.c: tells folders from GGUF files and opens either. */
#include "formats/model_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/folder.h"
#include "formats/safetensors.h"

bool model_folder_has(const char *folder, const char *name)
{
    char path[4096];
    struct stat st;

    return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path &&
           stat(path, &st) == 0;
}

void model_file_of_run(char path[MODEL_PATH])
{
    char inside[MODEL_PATH + 48];
    int64_t step;

    snprintf(inside, sizeof inside, "%s/checkpoints", path);
    step = model_folder_has(path, "config.json") ? -1 : folder_last_step(inside, INT64_MAX);
    snprintf(inside, sizeof inside, "%s/checkpoints/step-%06" PRId64, path, step);
    if (step >= 0 && strlen(inside) < MODEL_PATH)
        memcpy(path, inside, strlen(inside) + 1);
}

static int open_folder(struct model_file *f, struct mk_error *err)
{
    if (!model_folder_has(f->path, "config.json"))
        return mk_error_set(err, MK_ENOTFOUND,
                            "%s: no config.json in this folder: a model folder has config.json and "
                            "safetensors files",
                            f->path);
    if (arch_from_hf(&f->arch, f->path, err) ||
        safetensors_open(&f->gguf.tensors, f->path, err))
        return err->code;
    /* A class of transformers that scores texts has no head for words, and none is asked of it. */
    if (f->arch.scored && !tensors_find(&f->gguf.tensors, "lm_head.weight"))
        f->arch.tie_word_embeddings = true;
    return 0;
}

static int open_gguf(struct model_file *f, struct mk_error *err)
{
    f->is_gguf = true;
    if (gguf_open(&f->gguf, f->path, err))
        return err->code;
    return arch_from_gguf(&f->arch, &f->gguf, f->path, err);
}

int model_file_open(struct model_file *f, const char *path, struct mk_error *err)
{
    char found[MODEL_PATH];
    struct stat st;
    int rc;

    *f = (struct model_file){0};
    if (snprintf(found, sizeof found, "%s", path) >= MODEL_PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", path);
    model_file_of_run(found);
    if (stat(found, &st))
        return mk_error_set(err, MK_ENOTFOUND, "%s: there is no such file or folder", path);
    f->path = strdup(found);
    if (!f->path)
        return mk_error_memory(err, strlen(found) + 1);
    rc = S_ISDIR(st.st_mode) ? open_folder(f, err) : open_gguf(f, err);
    if (rc)
        model_file_release(f);
    return rc;
}

void model_file_release(struct model_file *f)
{
    gguf_release(&f->gguf);
    free(f->path);
    *f = (struct model_file){0};
}

int model_file_vocab(const struct model_file *f, struct vocab *v, bool *there, struct mk_error *err)
{
    struct gguf_string kind;

    *there = false;
    if (f->is_gguf) {
        if (!gguf_text(&f->gguf, "tokenizer.ggml.model", &kind) ||
            (kind.n == 4 && memcmp(kind.data, "none", 4) == 0))
            return 0;
        if (vocab_from_gguf(v, &f->gguf, f->path, err))
            return err->code;
    } else {
        if (!model_folder_has(f->path, "tokenizer.json"))
            return 0;
        if (vocab_from_tokenizer_json(v, f->path, err))
            return err->code;
    }
    *there = true;
    return 0;
}
