/* vocab_gguf_fuzz.c: the tokenizer in any bytes as a GGUF file. What can be read can be written as
 * tokenizer.json, and that can be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/gguf.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int rc)
{
    if (rc)
        abort();
}

/* 0 when a tokenizer can be made; takes v over. */
static int make(struct vocab *v, struct mk_error *err)
{
    struct tokenizer *t;
    int rc = tokenizer_create(&t, v, err);

    if (rc)
        vocab_release(v);
    else
        tokenizer_free(t);
    return rc;
}

static void write_and_read(struct vocab *v)
{
    struct vocab_json json;
    struct mk_error err = {0};
    struct vocab w;

    must(vocab_to_json(v, &json, &err));
    must(vocab_from_texts(&w, "written", json.tokenizer, strlen(json.tokenizer), json.config,
                          strlen(json.config), &err));
    vocab_json_release(&json);
    if (w.n_tokens != v->n_tokens || w.bos_id != v->bos_id || w.eos_id != v->eos_id)
        abort();
    if (make(v, &err)) /* merges of texts that are no tokens, say */
        vocab_release(&w);
    else
        must(make(&w, &err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf g;
    struct mk_error err = {0};
    struct vocab v;
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (!gguf_open(&g, path, &err)) {
        if (!vocab_from_gguf(&v, &g, path, &err))
            write_and_read(&v);
        gguf_release(&g);
    }
    close(fd);
    return 0;
}
