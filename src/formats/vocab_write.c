/* vocab_write.c: a vocabulary as the tokenizer.ggml.* keys of a GGUF file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf_writer.h"
#include "formats/vocab.h"

/* llama.cpp's numbers, see vocab_gguf.c. */
static int32_t type_number(const struct vocab *v, int32_t id)
{
    static const int32_t numbers[] = {[TOKEN_NORMAL] = 1,
                                      [TOKEN_SPECIAL] = 3,
                                      [TOKEN_USER] = 4,
                                      [TOKEN_BYTE] = 6,
                                      [TOKEN_UNUSED] = 5};

    return id == v->unk_id && v->kind == VOCAB_SPM_BPE ? 2 : numbers[v->kinds[id]];
}

/* Rows of the embedding without a token, and holes in the vocabulary, get a name each: readers
 * want as many tokens as rows, and no two alike. */
#define PAD_BYTES 24

static int put_tokens(const struct vocab *v, int32_t n_rows, struct gguf_writer *w,
                      struct mk_error *err)
{
    struct gguf_string *texts = calloc((size_t)n_rows, sizeof *texts);
    int32_t *types = calloc((size_t)n_rows, sizeof *types);
    char(*pads)[PAD_BYTES] = calloc((size_t)n_rows, PAD_BYTES);
    int rc = texts && types && pads ? 0 : mk_error_memory(err, (size_t)n_rows * PAD_BYTES);

    for (int32_t i = 0; !rc && i < n_rows; i++) {
        if (i < v->n_tokens && v->texts[i].n) {
            texts[i] = (struct gguf_string){v->texts[i].data, v->texts[i].n};
            types[i] = type_number(v, i);
            continue;
        }
        snprintf(pads[i], PAD_BYTES, "[PAD%d]", i);
        texts[i] = (struct gguf_string){pads[i], strlen(pads[i])};
        types[i] = 5;
    }
    if (!rc)
        rc = gguf_writer_texts(w, "tokenizer.ggml.tokens", texts, (uint64_t)n_rows, err);
    if (!rc)
        rc = gguf_writer_ints(w, "tokenizer.ggml.token_type", types, (uint64_t)n_rows, err);
    free(texts);
    free(types);
    free(pads);
    return rc;
}

/* "left right" of merge i, written at `out`, which has room for the two and one more. */
static size_t join_merge(const struct vocab *v, int64_t i, char *out)
{
    const struct vocab_text *m = v->merges[i];

    memcpy(out, m[0].data, m[0].n);
    out[m[0].n] = ' ';
    memcpy(out + m[0].n + 1, m[1].data, m[1].n);
    return (size_t)m[0].n + m[1].n + 1;
}

static int put_merges(const struct vocab *v, struct gguf_writer *w, struct mk_error *err)
{
    struct gguf_string *lines = calloc((size_t)v->n_merges + 1, sizeof *lines);
    size_t bytes = 1, at = 0;
    char *text;
    int rc;

    for (int64_t i = 0; i < v->n_merges; i++)
        bytes += (size_t)v->merges[i][0].n + v->merges[i][1].n + 1;
    text = malloc(bytes);
    rc = lines && text ? 0 : mk_error_memory(err, bytes);
    for (int64_t i = 0; !rc && i < v->n_merges; i++) {
        lines[i] = (struct gguf_string){text + at, join_merge(v, i, text + at)};
        at += lines[i].n;
    }
    if (!rc)
        rc = gguf_writer_texts(w, "tokenizer.ggml.merges", lines, (uint64_t)v->n_merges, err);
    free(lines);
    free(text);
    return rc;
}

struct piece {
    struct vocab_text text;
    int32_t id;
};

static int compare_pieces(const void *a, const void *b)
{
    const struct vocab_text *x = &((const struct piece *)a)->text;
    const struct vocab_text *y = &((const struct piece *)b)->text;
    int order = memcmp(x->data, y->data, x->n < y->n ? x->n : y->n);

    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* SentencePiece gives pieces scores; a tokenizer.json of the same model ranks merges instead. Only
 * the order counts: a piece's score is minus the rank of the best merge that makes it. */
static int rank_pieces(const struct vocab *v, struct piece *pieces, float *scores,
                       struct mk_error *err)
{
    for (int32_t i = 0; i < v->n_tokens; i++) {
        pieces[i] = (struct piece){v->texts[i], i};
        scores[i] = v->kinds[i] == TOKEN_NORMAL ? -(float)v->n_merges : 0;
    }
    qsort(pieces, (size_t)v->n_tokens, sizeof *pieces, compare_pieces);
    for (int64_t i = v->n_merges - 1; i >= 0; i--) { /* backwards: the best comes last */
        const struct vocab_text *m = v->merges[i];
        struct piece key = {{NULL, m[0].n + m[1].n}, 0}, *found;
        char *text = malloc((size_t)key.text.n + 1);

        if (!text)
            return mk_error_memory(err, (size_t)key.text.n + 1);
        memcpy(text, m[0].data, m[0].n);
        memcpy(text + m[0].n, m[1].data, m[1].n);
        key.text.data = text;
        found = bsearch(&key, pieces, (size_t)v->n_tokens, sizeof *pieces, compare_pieces);
        if (found)
            scores[found->id] = -(float)i;
        free(text);
    }
    return 0;
}

static int put_scores(const struct vocab *v, int32_t n_rows, struct gguf_writer *w,
                      struct mk_error *err)
{
    float *scores = calloc((size_t)n_rows, sizeof *scores);
    struct piece *pieces = calloc((size_t)v->n_tokens, sizeof *pieces);
    int rc = scores && pieces ? 0 : mk_error_memory(err, (size_t)n_rows * sizeof *pieces);

    if (!rc && v->scores)
        memcpy(scores, v->scores, (size_t)v->n_tokens * sizeof *scores);
    else if (!rc)
        rc = rank_pieces(v, pieces, scores, err);
    if (!rc)
        rc = gguf_writer_floats(w, "tokenizer.ggml.scores", scores, (uint64_t)n_rows, err);
    free(scores);
    free(pieces);
    return rc;
}

static int put_id(struct gguf_writer *w, const char *key, int32_t id, struct mk_error *err)
{
    return id < 0 ? 0 : gguf_writer_int(w, key, GGUF_U32, id, err);
}

static int put_text(struct gguf_writer *w, const char *key, const char *text, size_t n,
                    struct mk_error *err)
{
    return n ? gguf_writer_text(w, key, text, n, err) : 0;
}

static int put_habits(const struct vocab *v, struct gguf_writer *w, struct mk_error *err)
{
    if (put_id(w, "tokenizer.ggml.bos_token_id", v->bos_id, err) ||
        put_id(w, "tokenizer.ggml.eos_token_id", v->eos_id, err) ||
        put_id(w, "tokenizer.ggml.unknown_token_id", v->unk_id, err) ||
        put_id(w, "tokenizer.ggml.padding_token_id", v->pad_id, err) ||
        gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", v->add_bos, err) ||
        gguf_writer_bool(w, "tokenizer.ggml.add_eos_token", v->add_eos, err))
        return err->code;
    if (v->kind == VOCAB_SPM_BPE &&
        gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", v->spm_prefix_space, err))
        return err->code;
    return put_text(w, "tokenizer.chat_template", v->chat_template.data, v->chat_template.n, err);
}

int vocab_to_gguf(const struct vocab *v, int32_t n_rows, struct gguf_writer *w,
                  struct mk_error *err)
{
    bool spm = v->kind == VOCAB_SPM_BPE;
    const char *model = spm ? "llama" : "gpt2", *pre = spm ? "default" : v->pre_name;

    if (n_rows < v->n_tokens)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: %d tokens, the model's embedding has only %d rows: they do not "
                            "belong together",
                            v->name, v->n_tokens, n_rows);
    if (!*pre)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: GGUF names the way a tokenizer splits text, and minke knows no "
                            "name for this one",
                            v->name);
    if (gguf_writer_text(w, "tokenizer.ggml.model", model, strlen(model), err) ||
        gguf_writer_text(w, "tokenizer.ggml.pre", pre, strlen(pre), err) ||
        put_tokens(v, n_rows, w, err) ||
        (spm ? put_scores(v, n_rows, w, err) : put_merges(v, w, err)))
        return err->code;
    return put_habits(v, w, err);
}
