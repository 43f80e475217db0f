/* vocab_gguf.c: the vocabulary in GGUF metadata (tokenizer.ggml.*): "gpt2" byte-level BPE and
 * "llama" SentencePiece-style.
 *
 * GGUF says less than tokenizer.json: which normaliser, whether whole pieces win over merges and
 * whether BOS is wanted follow from the name of the pre-tokenizer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf.h"
#include "formats/vocab_build.h"

static const struct gguf_value *find_array(const struct gguf *g, const char *key, bool strings)
{
    const struct gguf_value *a = gguf_find(g, key);

    return a && a->type == GGUF_ARRAY && (a->element == GGUF_STRING) == strings ? a : NULL;
}

static int read_model_kind(struct vocab *v, const struct gguf *g, struct mk_error *err)
{
    struct gguf_string model;

    if (!gguf_text(g, "tokenizer.ggml.model", &model))
        return mk_error_set(err, MK_EFORMAT, "%s: tokenizer.ggml.model is missing", v->name);
    if (model.n == 4 && !memcmp(model.data, "gpt2", 4))
        v->kind = VOCAB_BYTE_BPE;
    else if (model.n == 5 && !memcmp(model.data, "llama", 5))
        v->kind = VOCAB_SPM_BPE;
    else
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: tokenizer.ggml.model \"%.*s\" is not supported", v->name,
                            (int)(model.n < 60 ? model.n : 60), model.data);
    return 0;
}

static int read_pre_name(struct vocab *v, const struct gguf *g, struct mk_error *err)
{
    struct gguf_string pre = {"default", 7};
    const struct pre_row *row = NULL;
    char name[64];

    if (v->kind != VOCAB_BYTE_BPE)
        return 0;
    gguf_text(g, "tokenizer.ggml.pre", &pre);
    if (pre.n < sizeof name) {
        memcpy(name, pre.data, pre.n);
        name[pre.n] = 0;
        row = pre_find(name);
    }
    if (!row)
        return mk_error_set(err, MK_EUNSUPPORTED, "%s: tokenizer.ggml.pre \"%.*s\" is not known",
                            v->name, (int)(pre.n < 60 ? pre.n : 60), pre.data);
    v->add_bos = row->add_bos;
    return vocab_use_pre_name(v, row, err);
}

/* The strings of an array, copied into one block. texts: [a->n]. */
static int copy_strings(struct vocab *v, const struct gguf_value *a, struct vocab_text *texts,
                        const char *what, uint32_t max_bytes, struct mk_error *err)
{
    const unsigned char *cursor = a->data;
    struct gguf_string s;
    uint64_t total = 0, used = 0, i;
    char *bytes;
    int rc;

    for (i = 0; i < a->n; i++) {
        if (!gguf_next_string(a, &cursor, &s))
            return mk_error_set(err, MK_EFORMAT, "%s: %s ends early", v->name, what);
        if (s.n > max_bytes)
            return mk_error_set(err, MK_ELIMIT,
                                "%s: %s[%llu] has %llu bytes, at most %u are allowed", v->name,
                                what, (unsigned long long)i, (unsigned long long)s.n, max_bytes);
        total += s.n;
    }
    rc = arena_take(&v->memory, &bytes, total + 1, 1, err);
    if (rc)
        return mk_error_wrap(err, "%s: %s", v->name, what);
    cursor = a->data;
    for (i = 0; i < a->n && gguf_next_string(a, &cursor, &s); i++) {
        memcpy(bytes + used, s.data, s.n);
        texts[i] = (struct vocab_text){bytes + used, (uint32_t)s.n};
        used += s.n;
    }
    return 0;
}

static int read_kinds(struct vocab *v, const struct gguf *g, struct mk_error *err)
{
    /* llama.cpp's numbers: 0 undefined, 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6
     * byte */
    static const enum token_kind kinds[] = {TOKEN_NORMAL,  TOKEN_NORMAL, TOKEN_SPECIAL,
                                            TOKEN_SPECIAL, TOKEN_USER,   TOKEN_UNUSED,
                                            TOKEN_BYTE};
    const struct gguf_value *a = find_array(g, "tokenizer.ggml.token_type", false);
    int64_t kind;

    if (!a)
        return 0;
    if (a->n != (uint64_t)v->n_tokens)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: tokenizer.ggml.token_type has %llu entries for %d tokens", v->name,
                            (unsigned long long)a->n, v->n_tokens);
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if (!gguf_int_at(a, (uint64_t)i, &kind) || kind < 0 || kind > 6)
            return mk_error_set(err, MK_EFORMAT,
                                "%s: tokenizer.ggml.token_type[%d] is not a number from 0 to 6",
                                v->name, i);
        v->kinds[i] = kinds[kind];
    }
    return 0;
}

static int read_tokens(struct vocab *v, const struct gguf *g, struct mk_error *err)
{
    const struct gguf_value *a = find_array(g, "tokenizer.ggml.tokens", true);

    if (!a)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: tokenizer.ggml.tokens is missing or no list of texts", v->name);
    if (a->n > VOCAB_MAX_TOKENS)
        return mk_error_set(err, MK_ELIMIT, "%s: tokenizer.ggml.tokens has %llu entries", v->name,
                            (unsigned long long)a->n);
    if (vocab_take_tokens(v, (int64_t)a->n, err) ||
        copy_strings(v, a, v->texts, "tokenizer.ggml.tokens", VOCAB_MAX_TEXT_BYTES, err))
        return err->code;
    return read_kinds(v, g, err);
}

static int read_scores(struct vocab *v, const struct gguf *g, struct mk_error *err)
{
    const struct gguf_value *a = find_array(g, "tokenizer.ggml.scores", false);
    double score;
    int rc;

    if (!a || a->n != (uint64_t)v->n_tokens)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: tokenizer.ggml.scores must have one entry a token", v->name);
    rc = arena_take(&v->memory, &v->scores, (size_t)v->n_tokens, sizeof *v->scores, err);
    if (rc)
        return rc;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if (!gguf_float_at(a, (uint64_t)i, &score) || score != score)
            return mk_error_set(err, MK_EFORMAT, "%s: tokenizer.ggml.scores[%d] is not a number",
                                v->name, i);
        v->scores[i] = (float)score;
    }
    return 0;
}

/* "left right": the first space behind the first byte parts the two. */
static int read_merges(struct vocab *v, const struct gguf *g, struct mk_error *err)
{
    const struct gguf_value *a = find_array(g, "tokenizer.ggml.merges", true);
    struct vocab_text *lines;
    int rc;

    if (!a)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: tokenizer.ggml.merges is missing or no list of texts", v->name);
    if (a->n > 4 * (uint64_t)VOCAB_MAX_TOKENS)
        return mk_error_set(err, MK_ELIMIT, "%s: tokenizer.ggml.merges has %llu entries", v->name,
                            (unsigned long long)a->n);
    lines = calloc(a->n + 1, sizeof *lines);
    rc = lines ? arena_take(&v->memory, &v->merges, a->n, sizeof *v->merges, err)
               : mk_error_memory(err, a->n * sizeof *lines);
    if (!rc)
        rc = copy_strings(v, a, lines, "tokenizer.ggml.merges", 2 * VOCAB_MAX_TEXT_BYTES, err);
    for (uint64_t i = 0; !rc && i < a->n; i++) {
        const char *begin = lines[i].data, *end = begin + lines[i].n;
        const char *space =
            lines[i].n > 2 ? memchr(begin + 1, ' ', (size_t)(end - begin - 1)) : NULL;

        if (!space || space + 1 == end) {
            rc = mk_error_set(err, MK_EFORMAT, "%s: tokenizer.ggml.merges[%llu] is not two texts",
                              v->name, (unsigned long long)i);
            break;
        }
        v->merges[i][0] = (struct vocab_text){begin, (uint32_t)(space - begin)};
        v->merges[i][1] = (struct vocab_text){space + 1, (uint32_t)(end - space - 1)};
    }
    v->n_merges = (int64_t)a->n;
    free(lines);
    return rc;
}

static int read_id(const struct vocab *v, const struct gguf *g, const char *key, int32_t *id,
                   struct mk_error *err)
{
    int64_t value;

    if (!gguf_find(g, key))
        return 0;
    if (!gguf_int(g, key, &value) || value < -1 || value >= v->n_tokens) {
        if (gguf_int(g, key, &value) && value == UINT32_MAX) /* -1 as some writers put it */
            return 0;
        return mk_error_set(err, MK_EFORMAT, "%s: %s is not an id from 0 to %d", v->name, key,
                            v->n_tokens - 1);
    }
    *id = (int32_t)value;
    return 0;
}

/* Control tokens, and those that users added, are looked for in the text itself. */
static int list_added(struct vocab *v, struct mk_error *err)
{
    int32_t n = 0;
    int rc;

    for (int32_t i = 0; i < v->n_tokens; i++)
        n += v->kinds[i] == TOKEN_SPECIAL || v->kinds[i] == TOKEN_USER;
    rc = arena_take(&v->memory, &v->added, (size_t)n, sizeof *v->added, err);
    if (rc)
        return rc;
    for (int32_t i = 0; i < v->n_tokens; i++)
        if ((v->kinds[i] == TOKEN_SPECIAL || v->kinds[i] == TOKEN_USER) && v->texts[i].n &&
            v->texts[i].n <= VOCAB_MAX_ADDED_BYTES)
            v->added[v->n_added++] = (struct vocab_added){.id = i};
    return 0;
}

static int read_habits(struct vocab *v, const struct gguf *g, struct mk_error *err)
{
    struct gguf_string text;

    if (read_id(v, g, "tokenizer.ggml.bos_token_id", &v->bos_id, err) ||
        read_id(v, g, "tokenizer.ggml.eos_token_id", &v->eos_id, err) ||
        read_id(v, g, "tokenizer.ggml.unknown_token_id", &v->unk_id, err) ||
        read_id(v, g, "tokenizer.ggml.padding_token_id", &v->pad_id, err))
        return err->code;
    v->unk_barrier = true;
    v->add_bos = (v->add_bos || v->kind == VOCAB_SPM_BPE) && v->bos_id >= 0;
    gguf_bool(g, "tokenizer.ggml.add_bos_token", &v->add_bos);
    gguf_bool(g, "tokenizer.ggml.add_eos_token", &v->add_eos);
    if (v->kind == VOCAB_SPM_BPE) {
        v->spm_prefix_space = true;
        gguf_bool(g, "tokenizer.ggml.add_space_prefix", &v->spm_prefix_space);
        v->byte_fallback = true;
        v->unk_fallback = v->unk_id >= 0;
    }
    if (!gguf_text(g, "tokenizer.chat_template", &text))
        return 0;
    if (text.n > VOCAB_MAX_FILE_BYTES)
        return mk_error_set(err, MK_ELIMIT, "%s: tokenizer.chat_template is too long", v->name);
    return vocab_copy_text(v, &v->chat_template, text.data, (size_t)text.n, err);
}

int vocab_from_gguf(struct vocab *v, const struct gguf *g, const char *path, struct mk_error *err)
{
    int rc;

    vocab_begin(v, path);
    rc = read_model_kind(v, g, err);
    if (!rc)
        rc = read_pre_name(v, g, err);
    if (!rc)
        rc = read_tokens(v, g, err);
    if (!rc)
        rc = v->kind == VOCAB_SPM_BPE ? read_scores(v, g, err) : read_merges(v, g, err);
    if (!rc)
        rc = read_habits(v, g, err);
    if (!rc)
        rc = vocab_finish(v, err);
    if (!rc)
        rc = list_added(v, err);
    if (rc)
        vocab_release(v);
    return rc;
}
