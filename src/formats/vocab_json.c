/* vocab_json.c: tokenizer.json as Hugging Face `tokenizers` writes it, BPE models only.
 *
 * What cannot be done exactly as that library does it is refused by name, not approximated. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"
#include "formats/vocab_build.h"

static const char block[] = "\xE2\x96\x81"; /* U+2581, the visible space of SentencePiece */

static bool is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s ? s : "";
}

static int unsupported(const struct vocab *v, const char *where, const char *what,
                       struct mk_error *err)
{
    return mk_error_set(err, MK_EUNSUPPORTED, "%s: %s \"%s\" is not supported", v->name, where,
                        what);
}

/* ---- normalizer ------------------------------------------------------------------------------ */

static int read_normalizer(struct vocab *v, const json_t *n, bool *to_block, struct mk_error *err)
{
    const char *type = text_of(n, "type");
    const json_t *item;
    size_t i;

    if (!n || json_is_null(n))
        return 0;
    if (!strcmp(type, "Sequence")) {
        json_array_foreach(json_object_get(n, "normalizers"), i, item) {
            int rc = !strcmp(text_of(item, "type"), "Sequence")
                         ? unsupported(v, "nested normalizer", "Sequence", err)
                         : read_normalizer(v, item, to_block, err);

            if (rc)
                return rc;
        }
        return 0;
    }
    if (!strcmp(type, "NFC")) {
        v->nfc = true;
        return 0;
    }
    if (!strcmp(type, "Prepend") && !strcmp(text_of(n, "prepend"), block)) {
        v->spm_prefix_space = true;
        return 0;
    }
    if (!strcmp(type, "Replace") &&
        !strcmp(text_of(json_object_get(n, "pattern"), "String"), " ") &&
        !strcmp(text_of(n, "content"), block)) {
        *to_block = true;
        return 0;
    }
    return unsupported(v, "normalizer", type, err);
}

/* ---- pre_tokenizer --------------------------------------------------------------------------- */

/* A literal as a pattern: everything but letters, digits and bytes above ASCII gets a backslash. */
static int add_literal(struct vocab *v, const char *literal, bool isolated, struct mk_error *err)
{
    size_t n = strlen(literal), used = 0;
    char *quoted;
    int rc;

    if (n > VOCAB_MAX_REGEX_BYTES / 2)
        return mk_error_set(err, MK_ELIMIT, "%s: pre_tokenizer: a pattern of %zu bytes is too long",
                            v->name, n);
    quoted = malloc(2 * n + 1);
    if (!quoted)
        return mk_error_memory(err, 2 * n + 1);
    for (size_t i = 0; i < n; i++) {
        char c = literal[i];

        if (c > ' ' && c < 127 && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            !(c >= '0' && c <= '9'))
            quoted[used++] = '\\';
        quoted[used++] = c;
    }
    rc = vocab_add_split(v, quoted, used, isolated, err);
    free(quoted);
    return rc;
}

static int read_split(struct vocab *v, const json_t *p, struct mk_error *err)
{
    const char *behavior = text_of(p, "behavior");
    const json_t *pattern = json_object_get(p, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *literal = json_string_value(json_object_get(pattern, "String"));
    bool invert = is_true(p, "invert"), isolated = !strcmp(behavior, "Isolated");

    /* Isolated keeps matches and gaps whichever is which; Removed inverted keeps matches alone */
    if (!isolated && !(!strcmp(behavior, "Removed") && invert))
        return unsupported(v, "pre_tokenizer Split behavior", behavior, err);
    if (regex)
        return vocab_add_split(v, regex, strlen(regex), isolated, err);
    if (literal && *literal)
        return add_literal(v, literal, isolated, err);
    return mk_error_set(err, MK_EFORMAT, "%s: a pre_tokenizer Split has no pattern", v->name);
}

static int read_byte_level(struct vocab *v, const json_t *p, bool *byte_level, struct mk_error *err)
{
    const json_t *use_regex = json_object_get(p, "use_regex");
    const char *gpt2 = split_pattern(SPLIT_GPT2);

    *byte_level = true;
    v->byte_level_prefix_space = is_true(p, "add_prefix_space");
    if (use_regex && !json_is_true(use_regex)) /* files from before the switch existed mean true */
        return 0;
    return vocab_add_split(v, gpt2, strlen(gpt2), true, err);
}

static int read_metaspace(struct vocab *v, const json_t *p, bool *to_block, struct mk_error *err)
{
    const json_t *split = json_object_get(p, "split"),
                 *add = json_object_get(p, "add_prefix_space");
    const char *scheme = text_of(p, "prepend_scheme");

    if (strcmp(text_of(p, "replacement"), block))
        return unsupported(v, "Metaspace replacement", text_of(p, "replacement"), err);
    if (!*scheme)
        scheme = add && !json_is_true(add) ? "never" : "always";
    *to_block = true;
    v->spm_prefix_space = strcmp(scheme, "never") != 0;
    v->spm_prefix_first = !strcmp(scheme, "first");
    v->spm_prefix_once = true;
    v->spm_split = !split || json_is_true(split);
    return 0;
}

struct pre_seen { bool byte_level, to_block; };

static int read_pre_tokenizer(struct vocab *v, const json_t *p, int depth, struct pre_seen *seen,
                              struct mk_error *err)
{
    const char *type = text_of(p, "type");
    const json_t *item;
    size_t i;

    if (!p || json_is_null(p))
        return 0;
    if (!strcmp(type, "Sequence") && depth < 4) {
        json_array_foreach(json_object_get(p, "pretokenizers"), i, item) {
            int rc = read_pre_tokenizer(v, item, depth + 1, seen, err);

            if (rc)
                return rc;
        }
        return 0;
    }
    if (!strcmp(type, "Split"))
        return read_split(v, p, err);
    if (!strcmp(type, "ByteLevel"))
        return read_byte_level(v, p, &seen->byte_level, err);
    if (!strcmp(type, "Metaspace"))
        return read_metaspace(v, p, &seen->to_block, err);
    if (!strcmp(type, "Digits")) {
        const char *digits =
            split_pattern(is_true(p, "individual_digits") ? SPLIT_DIGIT : SPLIT_DIGITS);

        return vocab_add_split(v, digits, strlen(digits), true, err);
    }
    return unsupported(v, "pre_tokenizer", type, err);
}

static int read_splitting(struct vocab *v, const json_t *root, struct mk_error *err)
{
    struct pre_seen seen = {false, false};
    const struct pre_row *row;

    if (read_normalizer(v, json_object_get(root, "normalizer"), &seen.to_block, err) ||
        read_pre_tokenizer(v, json_object_get(root, "pre_tokenizer"), 0, &seen, err))
        return err->code;
    if (seen.byte_level == seen.to_block)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: neither a byte-level nor a SentencePiece-style tokenizer",
                            v->name);
    v->kind = seen.byte_level ? VOCAB_BYTE_BPE : VOCAB_SPM_BPE;
    if (v->kind == VOCAB_SPM_BPE && v->n_regexes)
        return mk_error_set(err, MK_EUNSUPPORTED,
                            "%s: split patterns in a SentencePiece-style tokenizer", v->name);
    row = pre_recognise(v->regexes, v->n_regexes);
    if (row)
        snprintf(v->pre_name, sizeof v->pre_name, "%s", row->name);
    return 0;
}

/* ---- vocabulary, merges, added tokens -------------------------------------------------------- */

/* Largest id + 1 over vocabulary and added tokens. Ids are checked here: the arrays are sized by
 * them. */
static int count_tokens(const struct vocab *v, const json_t *vocab, const json_t *added, int64_t *n,
                        struct mk_error *err)
{
    const char *key;
    json_t *value;
    size_t i;

    *n = 0;
    json_object_foreach((json_t *)vocab, key, value) {
        json_int_t id = json_integer_value(value);

        if (!json_is_integer(value) || id < 0 || id >= VOCAB_MAX_TOKENS)
            return mk_error_set(err, MK_EFORMAT,
                                "%s: model.vocab: the id of \"%.40s\" is not a number from 0 to %d",
                                v->name, key, VOCAB_MAX_TOKENS - 1);
        if (id >= *n)
            *n = id + 1;
    }
    json_array_foreach(added, i, value) {
        json_t *id = json_object_get(value, "id");

        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= VOCAB_MAX_TOKENS)
            return mk_error_set(err, MK_EFORMAT,
                                "%s: added_tokens[%zu].id is not a number from 0 to %d", v->name, i,
                                VOCAB_MAX_TOKENS - 1);
        if (json_integer_value(id) >= *n)
            *n = json_integer_value(id) + 1;
    }
    if (*n > (int64_t)json_object_size(vocab) + (int64_t)json_array_size(added))
        return mk_error_set(
            err, MK_EFORMAT, "%s: ids reach %lld, but there are only %zu tokens: there are holes",
            v->name, (long long)*n - 1, json_object_size(vocab) + json_array_size(added));
    return 0;
}

/* All token texts lie in one block: a block each would cost 64 bytes a token. */
static int read_vocab(struct vocab *v, const json_t *vocab, struct mk_error *err)
{
    size_t total = 0, used = 0;
    const char *key;
    json_t *value;
    char *bytes;
    int rc;

    json_object_foreach((json_t *)vocab, key, value) {
        size_t n = strlen(key);

        if (n > VOCAB_MAX_TEXT_BYTES)
            return mk_error_set(
                err, MK_ELIMIT, "%s: model.vocab: token %lld has %zu bytes, at most %d are allowed",
                v->name, (long long)json_integer_value(value), n, VOCAB_MAX_TEXT_BYTES);
        total += n;
    }
    rc = arena_take(&v->memory, &bytes, total + 1, 1, err);
    if (rc)
        return mk_error_wrap(err, "%s: model.vocab", v->name);
    json_object_foreach((json_t *)vocab, key, value) {
        struct vocab_text *t = &v->texts[json_integer_value(value)];

        if (t->data)
            return mk_error_set(err, MK_EFORMAT, "%s: model.vocab: id %lld is used twice", v->name,
                                (long long)json_integer_value(value));
        *t = (struct vocab_text){bytes + used, (uint32_t)strlen(key)};
        memcpy(bytes + used, key, t->n);
        used += t->n;
    }
    return 0;
}

static int read_added_token(struct vocab *v, const json_t *a, const json_t *vocab, size_t at,
                            struct mk_error *err)
{
    const char *content = json_string_value(json_object_get(a, "content"));
    int32_t id = (int32_t)json_integer_value(json_object_get(a, "id"));
    const json_t *known = content ? json_object_get(vocab, content) : NULL;
    size_t n = content ? strlen(content) : 0;

    if (!n || n > VOCAB_MAX_ADDED_BYTES)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: added_tokens[%zu].content must have 1 to %d bytes", v->name, at,
                            VOCAB_MAX_ADDED_BYTES);
    if (known ? json_integer_value(known) != id : v->texts[id].data != NULL)
        return mk_error_set(err, MK_EFORMAT,
                            "%s: added_tokens[%zu]: id %d belongs to another token", v->name, at,
                            id);
    if (!known && vocab_copy_text(v, &v->texts[id], content, n, err))
        return mk_error_wrap(err, "%s: added_tokens", v->name);
    v->kinds[id] = is_true(a, "special") ? TOKEN_SPECIAL : TOKEN_USER;
    v->added[v->n_added++] = (struct vocab_added){
        .id = id, .normalized = is_true(a, "normalized"), .lstrip = is_true(a, "lstrip"),
        .rstrip = is_true(a, "rstrip"), .single_word = is_true(a, "single_word")};
    return 0;
}

static int read_added(struct vocab *v, const json_t *added, const json_t *vocab,
                      struct mk_error *err)
{
    const json_t *item;
    size_t i;
    int rc = arena_take(&v->memory, &v->added, json_array_size(added), sizeof *v->added, err);

    json_array_foreach(added, i, item)
        if (!rc)
            rc = read_added_token(v, item, vocab, i, err);
    return rc;
}

/* The two parts of a merge, written ["l", "r"] or "l r". The second form may not hold a space
 * inside a part. */
static int merge_parts(const json_t *vocab, const json_t *merge, const json_t *parts[2],
                       char *scratch)
{
    const char *text = json_string_value(merge), *space = text ? strchr(text, ' ') : NULL;
    const char *left = json_string_value(json_array_get(merge, 0)),
               *right = json_string_value(json_array_get(merge, 1));

    if (space && strlen(text) <= 2 * VOCAB_MAX_TEXT_BYTES) {
        memcpy(scratch, text, (size_t)(space - text));
        scratch[space - text] = 0;
        left = scratch;
        right = space + 1;
    }
    if (!left || !right || (!text && json_array_size(merge) != 2))
        return -1;
    parts[0] = json_object_get(vocab, left);
    parts[1] = json_object_get(vocab, right);
    return parts[0] && parts[1] ? 0 : -1;
}

static int read_merges(struct vocab *v, const json_t *merges, const json_t *vocab,
                       struct mk_error *err)
{
    char *scratch = malloc(2 * VOCAB_MAX_TEXT_BYTES + 1);
    const json_t *merge, *parts[2];
    size_t i;
    int rc = scratch ? 0 : mk_error_memory(err, 2 * VOCAB_MAX_TEXT_BYTES + 1);

    if (!rc && !json_is_array(merges))
        rc = mk_error_set(err, MK_EFORMAT, "%s: model.merges is not a list", v->name);
    if (!rc)
        rc = arena_take(&v->memory, &v->merges, json_array_size(merges), sizeof *v->merges, err);
    if (!rc) {
        json_array_foreach(merges, i, merge) {
            if (merge_parts(vocab, merge, parts, scratch)) {
                rc = mk_error_set(err, MK_EFORMAT,
                                  "%s: model.merges[%zu] names a text that is not a token", v->name,
                                  i);
                break;
            }
            for (int k = 0; k < 2; k++)
                v->merges[i][k] = v->texts[json_integer_value(parts[k])];
        }
        v->n_merges = (int64_t)json_array_size(merges);
    }
    free(scratch);
    return rc;
}

static int check_model(const struct vocab *v, const json_t *model, struct mk_error *err)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const char *type = text_of(model, "type");

    if (!json_is_object(model))
        return mk_error_set(err, MK_EFORMAT, "%s: there is no \"model\"", v->name);
    if (*type ? strcmp(type, "BPE") != 0 : !json_object_get(model, "merges"))
        return unsupported(v, "model type", type, err);
    for (int i = 0; i < 2; i++)
        if (*text_of(model, affixes[i]))
            return unsupported(v, affixes[i], text_of(model, affixes[i]), err);
    if (json_number_value(json_object_get(model, "dropout")) > 0)
        return unsupported(v, "model.dropout", "other than 0", err);
    if (!json_is_object(json_object_get(model, "vocab")))
        return mk_error_set(err, MK_EFORMAT, "%s: model.vocab is not an object", v->name);
    return 0;
}

static int check_holes(const struct vocab *v, struct mk_error *err)
{
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (!v->texts[i].data)
            return mk_error_set(err, MK_EFORMAT, "%s: no token has the id %d", v->name, i);
    return 0;
}

static int read_tokens(struct vocab *v, const json_t *root, struct mk_error *err)
{
    const json_t *model = json_object_get(root, "model"),
                 *added = json_object_get(root, "added_tokens");
    const json_t *vocab = json_object_get(model, "vocab"), *unk;
    int64_t n;

    if (check_model(v, model, err) || count_tokens(v, vocab, added, &n, err) ||
        vocab_take_tokens(v, n, err) || read_vocab(v, vocab, err) ||
        read_added(v, added, vocab, err) || check_holes(v, err) ||
        read_merges(v, json_object_get(model, "merges"), vocab, err))
        return err->code;
    v->ignore_merges = is_true(model, "ignore_merges");
    v->byte_fallback = v->kind == VOCAB_SPM_BPE && is_true(model, "byte_fallback");
    v->fuse_unk = is_true(model, "fuse_unk");
    unk = json_object_get(vocab, text_of(model, "unk_token"));
    if (*text_of(model, "unk_token")) {
        if (!unk)
            return mk_error_set(err, MK_EFORMAT, "%s: model.unk_token is not in the vocabulary",
                                v->name);
        v->unk_id = (int32_t)json_integer_value(unk);
        v->unk_fallback = true;
    }
    for (int32_t i = 0; i < v->n_tokens; i++) /* no text of its own */
        if (v->kinds[i] == TOKEN_NORMAL && vocab_is_pad_name(v->texts[i], i))
            v->kinds[i] = TOKEN_UNUSED;
    for (int32_t i = 0; v->byte_fallback && i < v->n_tokens; i++)
        if (v->kinds[i] == TOKEN_NORMAL && vocab_byte_value(v->texts[i]) >= 0)
            v->kinds[i] = TOKEN_BYTE;
    return 0;
}

/* A TemplateProcessing that puts a special token in front or behind says what to do where
 * tokenizer_config.json does not. */
static void read_post_processor(struct vocab *v, const json_t *p)
{
    const json_t *single = json_object_get(p, "single"), *item;
    bool behind = false;
    size_t i;

    json_array_foreach(json_object_get(p, "processors"), i, item)
        if (!json_object_get(item, "processors"))
            read_post_processor(v, item);
    json_array_foreach(single, i, item) {
        const char *name = text_of(json_object_get(item, "SpecialToken"), "id");
        int32_t id = *name ? vocab_search(v, name, strlen(name)) : -1;

        if (json_object_get(item, "Sequence"))
            behind = true;
        if (id < 0)
            continue;
        if (behind) {
            v->add_eos = true;
            v->eos_id = id;
        } else {
            v->add_bos = true;
            v->bos_id = id;
        }
    }
}

int vocab_from_texts(struct vocab *v, const char *name, const char *json, size_t json_bytes,
                     const char *config, size_t config_bytes, struct mk_error *err)
{
    json_error_t at;
    json_t *root = NULL;
    int rc;

    vocab_begin(v, name);
    rc = vocab_json_check(json, json_bytes, err);
    if (rc)
        rc = mk_error_wrap(err, "%s", name);
    else
        root = json_loadb(json, json_bytes, JSON_REJECT_DUPLICATES, &at);
    if (!rc && !root)
        rc = mk_error_set(err, MK_EFORMAT, "%s: line %d: %s", name, at.line, at.text);
    if (!rc)
        rc = read_splitting(v, root, err);
    if (!rc)
        rc = read_tokens(v, root, err);
    if (!rc)
        read_post_processor(v, json_object_get(root, "post_processor"));
    if (!rc && config)
        rc = vocab_read_config(v, config, config_bytes, err);
    if (!rc)
        rc = vocab_finish(v, err);
    json_decref(root);
    if (rc)
        vocab_release(v);
    return rc;
}

/* A file that may be missing: *m stays empty. */
static int open_optional(struct map_file *m, const char *dir, const char *name, size_t limit,
                         struct mk_error *err)
{
    int rc = map_file_open_in(m, dir, name, err);

    if (rc == MK_ENOTFOUND) {
        *m = (struct map_file){0};
        return 0;
    }
    if (!rc && m->bytes > limit) {
        rc = mk_error_set(err, MK_ELIMIT, "%s/%s: %zu bytes, expected at most %zu", dir, name,
                          m->bytes, limit);
        map_file_close(m);
    }
    return rc;
}

int vocab_from_tokenizer_json(struct vocab *v, const char *dir, struct mk_error *err)
{
    struct map_file json = {0}, config = {0}, jinja = {0};
    char name[1024];
    int rc = open_optional(&json, dir, "tokenizer.json", VOCAB_MAX_FILE_BYTES, err);

    snprintf(name, sizeof name, "%s/tokenizer.json", dir);
    if (!rc && !json.data)
        rc = mk_error_set(err, MK_ENOTFOUND, "%s: there is no such file", name);
    if (!rc)
        rc = open_optional(&config, dir, "tokenizer_config.json", VOCAB_MAX_CONFIG_BYTES, err);
    if (!rc)
        rc = open_optional(&jinja, dir, "chat_template.jinja", VOCAB_MAX_CONFIG_BYTES, err);
    if (!rc)
        rc = vocab_from_texts(v, name, (const char *)json.data, json.bytes,
                              (const char *)config.data, config.bytes, err);
    if (!rc && jinja.data) {
        rc = vocab_copy_text(v, &v->chat_template, (const char *)jinja.data, jinja.bytes, err);
        if (rc)
            vocab_release(v);
    }
    map_file_close(&json);
    map_file_close(&config);
    map_file_close(&jinja);
    return rc;
}
