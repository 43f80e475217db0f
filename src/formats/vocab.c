/* vocab.c: the parts of a vocabulary that both file formats share, and the checks at the end of
 * reading either. */
#include "formats/vocab.h"

#include <stdio.h>
#include <string.h>

#include "formats/vocab_build.h"

#define VOCAB_MAX_BYTES ((size_t)2 << 30)

void vocab_begin(struct vocab *v, const char *name)
{
    struct vocab_text copy = {"", 0};
    struct mk_error ignored;

    *v = (struct vocab){
        .bos_id = -1, .eos_id = -1, .unk_id = -1, .pad_id = -1, .chat_template = {"", 0}};
    arena_init(&v->memory, VOCAB_MAX_BYTES);
    v->name = vocab_copy_text(v, &copy, name, strlen(name), &ignored) ? "tokenizer" : copy.data;
}

void vocab_release(struct vocab *v)
{
    arena_release(&v->memory);
    *v = (struct vocab){0};
}

int vocab_take_tokens(struct vocab *v, int64_t n, struct mk_error *err)
{
    int rc;

    if (n < 1)
        return mk_error_set(err, MK_EFORMAT, "%s: the vocabulary is empty", v->name);
    if (n > VOCAB_MAX_TOKENS)
        return mk_error_set(err, MK_ELIMIT, "%s: %lld tokens, at most %d are allowed", v->name,
                            (long long)n, VOCAB_MAX_TOKENS);
    rc = arena_take(&v->memory, &v->texts, (size_t)n, sizeof *v->texts, err);
    if (!rc)
        rc = arena_take(&v->memory, &v->kinds, (size_t)n, sizeof *v->kinds, err);
    if (rc)
        return mk_error_wrap(err, "%s: vocabulary", v->name);
    v->n_tokens = (int32_t)n;
    memset(v->texts, 0, (size_t)n * sizeof *v->texts);
    for (int64_t i = 0; i < n; i++)
        v->kinds[i] = TOKEN_NORMAL;
    return 0;
}

int vocab_copy_text(struct vocab *v, struct vocab_text *out, const char *data, size_t n,
                    struct mk_error *err)
{
    char *copy;
    int rc;

    if (n > UINT32_MAX - 1)
        return mk_error_set(err, MK_ELIMIT, "a text of %zu bytes is too long", n);
    rc = arena_take(&v->memory, &copy, n + 1, 1, err);
    if (rc)
        return rc;
    if (n)
        memcpy(copy, data, n);
    copy[n] = 0;
    *out = (struct vocab_text){copy, (uint32_t)n};
    return 0;
}

int vocab_add_split(struct vocab *v, const char *pattern, size_t n, bool isolated,
                    struct mk_error *err)
{
    int rc = 0;

    if (v->n_regexes == MK_MAX_SPLITS || n > VOCAB_MAX_REGEX_BYTES)
        return mk_error_set(err, MK_ELIMIT,
                            "%s: pre_tokenizer: more than %d patterns, or one too long", v->name,
                            MK_MAX_SPLITS);
    if (!v->regexes)
        rc = arena_take(&v->memory, &v->regexes, MK_MAX_SPLITS, sizeof *v->regexes, err);
    if (!rc && !v->regex_isolated)
        rc = arena_take(&v->memory, &v->regex_isolated, MK_MAX_SPLITS, sizeof *v->regex_isolated,
                        err);
    if (!rc)
        rc = vocab_copy_text(v, &v->regexes[v->n_regexes], pattern, n, err);
    if (rc)
        return rc;
    v->regex_isolated[v->n_regexes++] = isolated;
    return 0;
}

int vocab_use_pre_name(struct vocab *v, const struct pre_row *row, struct mk_error *err)
{
    for (int i = 0; i < row->n_rules; i++) {
        const char *p = split_pattern(row->rules[i]);
        int rc = vocab_add_split(v, p, strlen(p), true, err);

        if (rc)
            return rc;
    }
    snprintf(v->pre_name, sizeof v->pre_name, "%s", row->name);
    v->nfc = row->nfc;
    v->ignore_merges = row->ignore_merges;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int vocab_byte_value(struct vocab_text t)
{
    int high, low;

    if (t.n != 6 || memcmp(t.data, "<0x", 3) || t.data[5] != '>')
        return -1;
    high = hex_digit(t.data[3]);
    low = hex_digit(t.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool vocab_is_pad_name(struct vocab_text t, int32_t id)
{
    char begin[16];
    size_t n = (size_t)snprintf(begin, sizeof begin, "[PAD%d", id);

    return t.n > n && !memcmp(t.data, begin, n) && t.data[t.n - 1] == ']' &&
           (t.n == n + 1 || t.data[n] == '.');
}

int32_t vocab_search(const struct vocab *v, const char *text, size_t n)
{
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (v->texts[i].n == n && !memcmp(v->texts[i].data, text, n))
            return i;
    return -1;
}

static int check_id(const struct vocab *v, const char *what, int32_t id, struct mk_error *err)
{
    if (id >= -1 && id < v->n_tokens)
        return 0;
    return mk_error_set(err, MK_EFORMAT, "%s: %s is %d, but ids are 0 to %d", v->name, what, id,
                        v->n_tokens - 1);
}

int vocab_finish(struct vocab *v, struct mk_error *err)
{
    const int32_t ends[2] = {v->bos_id, v->eos_id};

    if (check_id(v, "the id of the BOS token", v->bos_id, err) ||
        check_id(v, "the id of the EOS token", v->eos_id, err) ||
        check_id(v, "the id of the unknown token", v->unk_id, err) ||
        check_id(v, "the id of the padding token", v->pad_id, err))
        return err->code;
    if ((v->add_bos && v->bos_id < 0) || (v->add_eos && v->eos_id < 0))
        return mk_error_set(err, MK_EFORMAT,
                            "%s: a BOS or EOS token is to be added, but none is named", v->name);
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (v->kinds[i] == TOKEN_BYTE && vocab_byte_value(v->texts[i]) < 0)
            return mk_error_set(err, MK_EFORMAT,
                                "%s: token %d is a byte token, but is not written <0xHH>", v->name,
                                i);
    for (int i = 0; i < 2; i++) /* whatever the file calls them, no user may write them */
        if (ends[i] >= 0)
            v->kinds[ends[i]] = TOKEN_SPECIAL;
    return 0;
}

bool vocab_is_control(const struct vocab *v, int32_t id)
{
    struct vocab_text t = v->texts[id];

    if (v->kinds[id] == TOKEN_SPECIAL)
        return true;
    if (v->kinds[id] != TOKEN_USER || !t.n)
        return false;
    return t.data[0] == '<' || t.data[0] == '[' || memchr(t.data, '|', t.n) ||
           (t.n >= 3 && memmem(t.data, t.n, "\xEF\xBD\x9C", 3)); /* U+FF5C, DeepSeek's bar */
}

bool vocab_is_piece(const struct vocab *v, int32_t id)
{
    return v->texts[id].n && (v->kinds[id] == TOKEN_NORMAL ||
                              (v->kinds[id] == TOKEN_USER && !vocab_is_control(v, id)));
}
