/* model_file.h: a model as it lies on the disk: a folder with config.json and safetensors, or a
 * .gguf file. Headers alone are read; tensors stay in the mapped file until somebody asks. */
#ifndef MK_FORMATS_MODEL_FILE_H
#define MK_FORMATS_MODEL_FILE_H

#include "formats/arch.h"
#include "formats/gguf.h"
#include "formats/vocab.h"

struct model_file {
    struct arch arch;
    struct gguf gguf; /* of a folder only its tensors are used */
    bool is_gguf;     /* names and layouts of GGUF */
    char *path;       /* owned */
};

#define MODEL_PATH 4096

/* path: a folder, a .gguf file, or a run of minke train or minke rl, whose last checkpoint it is.
 * On failure `f` is empty. */
int model_file_open(struct model_file *f, const char *path, struct mk_error *err);
void model_file_release(struct model_file *f);
/* The tokenizer beside the weights; *there is false, and v untouched, when the model has none. */
int model_file_vocab(const struct model_file *f, struct vocab *v, bool *there,
                     struct mk_error *err);
/* The folder of a run becomes that of its last checkpoint; any other path stays as it is. */
void model_file_of_run(char path[MODEL_PATH]);
/* Whether a folder has a file of this name. */
bool model_folder_has(const char *folder, const char *name);

#endif
