/* vocab_write_json.c: a vocabulary as tokenizer.json and tokenizer_config.json, in the form that
 * Hugging Face `tokenizers` and `transformers` read.
 *
 * Every token stands in model.vocab under its id, added ones too, so that ids are exact whatever
 * order a reader adds them in. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/map_file.h"
#include "formats/vocab.h"

static const char block[] = "\xE2\x96\x81"; /* U+2581, the visible space of SentencePiece */

#define PAD_BYTES 32 /* "[PAD16777215.16777215]" */

struct json_writer {
    const struct vocab *v;
    struct vocab_text *names; /* [v] what each token is called in the file */
    char (*pads)[PAD_BYTES];  /* of those that have no text of their own */
    json_t *ids;              /* model.vocab: a name's id */
};

/* Sound UTF-8 without NUL: jansson writes no other, and its reader takes no other. */
static bool is_json_text(struct vocab_text t)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)t.data;
    utf8proc_ssize_t n = (utf8proc_ssize_t)t.n;
    utf8proc_int32_t c;

    while (n > 0) {
        utf8proc_ssize_t used = utf8proc_iterate(p, n < 4 ? n : 4, &c);

        if (used <= 0 || c == 0)
            return false;
        p += used;
        n -= used;
    }
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool has_name(const struct json_writer *w, struct vocab_text name)
{
    return json_object_getn(w->ids, name.data, name.n) != NULL;
}

static int set_name(struct json_writer *w, int32_t id, struct vocab_text name, struct mk_error *err)
{
    w->names[id] = name;
    return json_object_setn_new(w->ids, name.data, name.n, json_integer(id))
               ? mk_error_memory(err, name.n)
               : 0;
}

/* "[PAD7]", or "[PAD7.1]" where another token is called so. */
static int set_pad_name(struct json_writer *w, int32_t id, char *pad, struct mk_error *err)
{
    struct vocab_text name = {pad, (uint32_t)snprintf(pad, PAD_BYTES, "[PAD%d]", id)};

    for (int k = 1; has_name(w, name); k++)
        name.n = (uint32_t)snprintf(pad, PAD_BYTES, "[PAD%d.%d]", id, k);
    return set_name(w, id, name, err);
}

static int name_tokens(struct json_writer *w, int32_t *n_unnamed, struct mk_error *err)
{
    const struct vocab *v = w->v;
    int32_t n_pads = 0;

    for (int32_t i = 0; i < v->n_tokens; i++) {
        struct vocab_text t = v->texts[i];

        if (t.n && is_json_text(t) && !has_name(w, t)) {
            if (set_name(w, i, t, err))
                return err->code;
            continue;
        }
        n_pads++;
        *n_unnamed += t.n > 0;
    }
    w->pads = calloc((size_t)n_pads + 1, PAD_BYTES);
    if (!w->pads)
        return mk_error_memory(err, (size_t)n_pads * PAD_BYTES);
    n_pads = 0;
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (!w->names[i].data && set_pad_name(w, i, w->pads[n_pads++], err))
            return err->code;
    return 0;
}

/* Whether the token is called by its text. */
static bool is_named(const struct json_writer *w, int32_t id)
{
    return w->names[id].data == w->v->texts[id].data;
}

/* The token with this text, or -1. */
static int32_t find(const struct json_writer *w, struct vocab_text text)
{
    const json_t *id = json_object_getn(w->ids, text.data, text.n);

    return id && is_named(w, (int32_t)json_integer_value(id)) ? (int32_t)json_integer_value(id)
                                                              : -1;
}

static json_t *text_json(struct vocab_text t)
{
    return json_stringn(t.data, t.n);
}

static json_t *name_json(const struct json_writer *w, int32_t id)
{
    return id < 0 ? json_null() : text_json(w->names[id]);
}

/* ---- merges ---------------------------------------------------------------------------------- */

static bool has_space(struct vocab_text t)
{
    return t.n && memchr(t.data, ' ', t.n);
}

/* "left right", which readers of any age take, unless a token holds a space. */
static bool need_pairs(const struct vocab *v)
{
    for (int64_t i = 0; i < v->n_merges; i++)
        if (has_space(v->merges[i][0]) || has_space(v->merges[i][1]))
            return true;
    for (int32_t i = 0; v->scores && i < v->n_tokens; i++)
        if (vocab_is_piece(v, i) && has_space(v->texts[i]))
            return true;
    return false;
}

static json_t *merge_json(struct vocab_text l, struct vocab_text r, bool pair)
{
    if (pair)
        return json_pack("[o, o]", text_json(l), text_json(r));
    return json_sprintf("%.*s %.*s", (int)l.n, l.data, (int)r.n, r.data);
}

static int put_ways(const struct json_writer *w, json_t *merges, bool pairs, struct mk_error *err)
{
    struct vocab_way *ways;
    int64_t n;
    int rc = vocab_ways(w->v, &ways, &n, err);

    for (int64_t i = 0; !rc && i < n; i++)
        if (is_named(w, ways[i].left) && is_named(w, ways[i].right) && is_named(w, ways[i].id) &&
            json_array_append_new(merges, merge_json(w->names[ways[i].left],
                                                     w->names[ways[i].right], pairs)))
            rc = mk_error_memory(err, 1);
    free(ways);
    return rc;
}

/* Merges that end in no token, or in one that plain text never becomes, are left out: readers
 * refuse the first, minke forgets the second. */
static int put_merges(const struct json_writer *w, json_t *merges, bool pairs, struct mk_error *err)
{
    const struct vocab *v = w->v;
    size_t longest = 0;
    char *scratch;
    int rc = 0;

    for (int64_t i = 0; i < v->n_merges; i++)
        if ((size_t)v->merges[i][0].n + v->merges[i][1].n > longest)
            longest = (size_t)v->merges[i][0].n + v->merges[i][1].n;
    scratch = malloc(longest + 1);
    if (!scratch)
        return mk_error_memory(err, longest + 1);
    for (int64_t i = 0; !rc && i < v->n_merges; i++) {
        struct vocab_text l = v->merges[i][0], r = v->merges[i][1];
        int32_t id;

        memcpy(scratch, l.data, l.n);
        memcpy(scratch + l.n, r.data, r.n);
        id = find(w, (struct vocab_text){scratch, l.n + r.n});
        if (id >= 0 && vocab_is_piece(v, id) && find(w, l) >= 0 && find(w, r) >= 0 &&
            json_array_append_new(merges, merge_json(l, r, pairs)))
            rc = mk_error_memory(err, 1);
    }
    free(scratch);
    return rc;
}

static json_t *make_model(const struct json_writer *w, struct mk_error *err)
{
    const struct vocab *v = w->v;
    json_t *merges = json_array();
    bool pairs = need_pairs(v);
    int rc = merges ? 0 : mk_error_memory(err, 1);

    if (!rc)
        rc = v->scores && !v->merges ? put_ways(w, merges, pairs, err)
                                     : put_merges(w, merges, pairs, err);
    if (!rc)
        return json_pack("{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:O, s:o}", "type", "BPE",
                         "dropout", "unk_token", name_json(w, v->unk_fallback ? v->unk_id : -1),
                         "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                         v->fuse_unk, "byte_fallback", v->byte_fallback, "ignore_merges",
                         v->ignore_merges, "vocab", w->ids, "merges", merges);
    json_decref(merges);
    return NULL;
}

/* ---- what is done to the text ---------------------------------------------------------------- */

/* Ends a list that was built by json_array_append_new: NULL if a step failed. */
static json_t *whole(json_t *list, int bad)
{
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *make_added(const struct json_writer *w)
{
    const struct vocab *v = w->v;
    json_t *list = json_array();
    int bad = !list;

    for (int32_t i = 0; !bad && i < v->n_added; i++) {
        const struct vocab_added *a = &v->added[i];

        if (is_named(w, a->id))
            bad = json_array_append_new(
                list, json_pack("{s:i, s:o, s:b, s:b, s:b, s:b, s:b}", "id", a->id, "content",
                                name_json(w, a->id), "single_word", a->single_word, "lstrip",
                                a->lstrip, "rstrip", a->rstrip, "normalized", a->normalized,
                                "special", v->kinds[a->id] == TOKEN_SPECIAL));
    }
    return whole(list, bad);
}

/* A list of steps as one: none, the only one, or a Sequence. Takes the list over. */
static json_t *sequence(const char *key, json_t *list)
{
    json_t *only = json_array_size(list) == 1 ? json_incref(json_array_get(list, 0)) : NULL;

    if (list && json_array_size(list) > 1)
        return json_pack("{s:s, s:o}", "type", "Sequence", key, list);
    only = list && !only ? json_null() : only;
    json_decref(list);
    return only;
}

static json_t *replace(const char *from, const char *to)
{
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", from, "content",
                     to);
}

static json_t *make_normalizer(const struct vocab *v)
{
    bool blocks = v->kind == VOCAB_SPM_BPE && !v->spm_prefix_once; /* else Metaspace does it */
    json_t *list = json_array();
    int bad = !list;

    if (v->nfc)
        bad |= json_array_append_new(list, json_pack("{s:s}", "type", "NFC"));
    if (blocks && v->spm_prefix_space)
        bad |= json_array_append_new(list,
                                     json_pack("{s:s, s:s}", "type", "Prepend", "prepend", block));
    if (blocks)
        bad |= json_array_append_new(list, replace(" ", block));
    return sequence("normalizers", whole(list, bad));
}

static json_t *metaspace(const struct vocab *v)
{
    const char *scheme = !v->spm_prefix_space ? "never" : v->spm_prefix_first ? "first" : "always";

    return json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", block,
                     "prepend_scheme", scheme, "split", v->spm_split);
}

static json_t *byte_level(bool prefix_space, bool use_regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", prefix_space,
                     "trim_offsets", 1, "use_regex", use_regex);
}

/* The split rules one after the other, then bytes to characters. */
static json_t *make_splitting(const struct vocab *v)
{
    json_t *list = json_array();
    int bad = !list;

    for (int32_t i = 0; !bad && i < v->n_regexes; i++)
        bad = json_array_append_new(
            list, json_pack("{s:s, s:{s:o}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                            text_json(v->regexes[i]), "behavior",
                            v->regex_isolated[i] ? "Isolated" : "Removed", "invert",
                            !v->regex_isolated[i]));
    if (!bad && v->kind == VOCAB_BYTE_BPE)
        bad = json_array_append_new(list, byte_level(v->byte_level_prefix_space, false));
    if (!bad && v->kind == VOCAB_SPM_BPE && v->spm_prefix_once)
        bad = json_array_append_new(list, metaspace(v));
    return sequence("pretokenizers", whole(list, bad));
}

static json_t *make_decoder(const struct vocab *v)
{
    json_t *list;

    if (v->kind == VOCAB_BYTE_BPE)
        return byte_level(true, true);
    list = json_pack("[o, {s:s}, {s:s}]", replace(block, " "), "type", "ByteFallback", "type",
                     "Fuse");
    if (!list || !v->spm_prefix_space)
        return sequence("decoders", list);
    return sequence("decoders", whole(list, json_array_append_new(
                                                list, json_pack("{s:s, s:s, s:i, s:i}", "type",
                                                                "Strip", "content", " ", "start", 1,
                                                                "stop", 0))));
}

/* ---- what stands around the text ------------------------------------------------------------- */

static int put_special(const struct json_writer *w, json_t *steps, json_t *specials, int32_t id,
                       int type)
{
    struct vocab_text name = w->names[id];

    return json_array_append_new(steps, json_pack("{s:{s:o, s:i}}", "SpecialToken", "id",
                                                  name_json(w, id), "type_id", type)) |
           json_object_setn_new(specials, name.data, name.n,
                                json_pack("{s:o, s:[i], s:[o]}", "id", name_json(w, id), "ids", id,
                                          "tokens", name_json(w, id)));
}

/* BOS, the text called `name`, EOS. */
static int put_sequence(const struct json_writer *w, json_t *steps, json_t *specials,
                        const char *name, int type)
{
    const struct vocab *v = w->v;
    int bad = v->add_bos ? put_special(w, steps, specials, v->bos_id, type) : 0;

    bad |= json_array_append_new(
        steps, json_pack("{s:{s:s, s:i}}", "Sequence", "id", name, "type_id", type));
    return bad | (v->add_eos ? put_special(w, steps, specials, v->eos_id, type) : 0);
}

static json_t *make_template(const struct json_writer *w)
{
    json_t *single = json_array(), *pair = json_array(), *specials = json_object();
    int bad = !single || !pair || !specials;

    if (!bad)
        bad = put_sequence(w, single, specials, "A", 0) | put_sequence(w, pair, specials, "A", 0) |
              put_sequence(w, pair, specials, "B", 1);
    if (!bad && (w->v->add_bos || w->v->add_eos))
        return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single,
                         "pair", pair, "special_tokens", specials);
    json_decref(single);
    json_decref(pair);
    json_decref(specials);
    return bad ? NULL : json_null();
}

/* json_pack takes the parts over, and gives NULL when one of them is. */
static json_t *make_tokenizer(const struct json_writer *w, json_t *model)
{
    return json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0",
                     "truncation", "padding", "added_tokens", make_added(w), "normalizer",
                     make_normalizer(w->v), "pre_tokenizer", make_splitting(w->v),
                     "post_processor", make_template(w), "decoder", make_decoder(w->v), "model",
                     model);
}

static json_t *make_config(const struct json_writer *w, bool *left_template)
{
    const struct vocab *v = w->v;
    json_t *config = json_pack(
        "{s:b, s:b, s:o, s:o, s:o, s:o, s:b, s:s}", "add_bos_token", v->add_bos, "add_eos_token",
        v->add_eos, "bos_token", name_json(w, v->bos_id), "eos_token", name_json(w, v->eos_id),
        "pad_token", name_json(w, v->pad_id), "unk_token", name_json(w, v->unk_id),
        "clean_up_tokenization_spaces", 0, "tokenizer_class", "PreTrainedTokenizerFast");

    *left_template = !is_json_text(v->chat_template);
    if (!config || !v->chat_template.n || *left_template)
        return config;
    return whole(config,
                 json_object_set_new(config, "chat_template", text_json(v->chat_template)));
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int dump(json_t *value, char **out, struct mk_error *err)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2)) : NULL;
    size_t n = text ? strlen(text) : 0;

    json_decref(value);
    *out = text ? realloc(text, n + 2) : NULL;
    if (!*out) {
        free(text);
        return mk_error_memory(err, n + 2);
    }
    memcpy(*out + n, "\n", 2);
    return 0;
}

static int write_both(struct json_writer *w, struct vocab_json *out, struct mk_error *err)
{
    json_t *model;
    int rc = name_tokens(w, &out->n_unnamed, err);

    if (rc)
        return rc;
    *err = (struct mk_error){0};
    model = make_model(w, err);
    if (!model)
        return err->code ? err->code : mk_error_memory(err, 1);
    rc = dump(make_tokenizer(w, model), &out->tokenizer, err);
    return rc ? rc : dump(make_config(w, &out->left_template), &out->config, err);
}

int vocab_to_json(const struct vocab *v, struct vocab_json *out, struct mk_error *err)
{
    struct json_writer w = {.v = v};
    int rc;

    *out = (struct vocab_json){0};
    w.names = calloc((size_t)v->n_tokens, sizeof *w.names);
    w.ids = json_object();
    rc = w.names && w.ids ? write_both(&w, out, err)
                          : mk_error_memory(err, (size_t)v->n_tokens * sizeof *w.names);
    json_decref(w.ids);
    free(w.names);
    free(w.pads);
    if (rc)
        vocab_json_release(out);
    return rc;
}

static int put_file(const char *dir, const char *name, const char *text, struct mk_error *err)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);

    if (n < 0 || (size_t)n >= sizeof path)
        return mk_error_set(err, MK_ELIMIT, "%.100s...: the path is too long", dir);
    return write_file(path, text, strlen(text), err);
}

int vocab_json_write(const struct vocab_json *j, const char *dir, struct mk_error *err)
{
    int rc = put_file(dir, "tokenizer_config.json", j->config, err);

    return rc ? rc : put_file(dir, "tokenizer.json", j->tokenizer, err);
}

void vocab_json_release(struct vocab_json *j)
{
    free(j->tokenizer);
    free(j->config);
    *j = (struct vocab_json){0};
}
