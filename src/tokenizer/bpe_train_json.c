/* bpe_train_json.c: what was learned as tokenizer.json and tokenizer_config.json, in the form that
 * Hugging Face `tokenizers` reads. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/map_file.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/bpe_trainer.h"

#define MAX_FILE_BYTES ((size_t)512 << 20)
/* A token's text in the file: at most two bytes for each of its bytes. */
#define MAX_SPELLED (2 * BPE_TRAIN_MAX_PIECE + 1)

/* An id's text as the file spells it; borrowed, from the trainer or from `scratch`. */
static const char *spell(const struct bpe_trainer *t, int32_t id, char scratch[MAX_SPELLED])
{
    const struct byte_item *item;
    size_t used = 0;

    if (t->spelling[id] == SIZE_MAX)
        return t->o.specials[id];
    item = &t->tokens.items[t->spelling[id]];
    for (uint32_t i = 0; i < item->n; i++)
        used += (size_t)utf8_write(alphabet_code(t->tokens.bytes[item->begin + i]),
                                   (unsigned char *)scratch + used);
    scratch[used] = 0;
    return scratch;
}

static json_t *make_vocab(const struct bpe_trainer *t)
{
    json_t *vocab = json_object();
    char text[MAX_SPELLED];
    int bad = !vocab;

    for (int32_t id = 0; !bad && id < t->report.n_tokens; id++)
        bad = json_object_set_new(vocab, spell(t, id, text), json_integer(id));
    if (!bad)
        return vocab;
    json_decref(vocab);
    return NULL;
}

/* "left right": no token holds a space, it is spelled U+0120. */
static json_t *make_merges(const struct bpe_trainer *t)
{
    json_t *merges = json_array();
    char left[MAX_SPELLED], right[MAX_SPELLED];
    int bad = !merges;

    for (int32_t i = 0; !bad && i < t->report.n_merges; i++)
        bad = json_array_append_new(merges, json_sprintf("%s %s",
                                                         spell(t, t->merges[i].left, left),
                                                         spell(t, t->merges[i].right, right)));
    if (!bad)
        return merges;
    json_decref(merges);
    return NULL;
}

static json_t *make_added(const struct bpe_trainer *t)
{
    json_t *added = json_array();
    int bad = !added;

    for (int32_t i = 0; !bad && i < t->o.n_specials; i++)
        bad = json_array_append_new(
            added, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", i, "content",
                             t->o.specials[i], "single_word", 0, "lstrip", 0, "rstrip", 0,
                             "normalized", 0, "special", 1));
    if (!bad)
        return added;
    json_decref(added);
    return NULL;
}

/* The split rules one after the other, then bytes to characters. */
static json_t *make_splitting(const struct bpe_trainer *t)
{
    enum split_rule rules[MK_MAX_SPLITS];
    json_t *list = json_array();
    int bad = !list, n = bpe_trainer_rules(t, rules);

    for (int i = 0; !bad && i < n; i++)
        bad = json_array_append_new(
            list, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                            split_pattern(rules[i]), "behavior", "Isolated", "invert", 0));
    if (!bad)
        bad = json_array_append_new(list, json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel",
                                                    "add_prefix_space", 0, "trim_offsets", 1,
                                                    "use_regex", 0));
    if (!bad)
        return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", list);
    json_decref(list);
    return NULL;
}

/* json_pack takes the parts over, and gives NULL when one of them is. */
static json_t *make_tokenizer(const struct bpe_trainer *t)
{
    json_t *model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE",
                              "dropout", "unk_token", "continuing_subword_prefix",
                              "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                              "ignore_merges", 0, "vocab", make_vocab(t), "merges", make_merges(t));

    return json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:{s:s, s:b, s:b, s:b}, s:o}", "version",
                     "1.0", "truncation", "padding", "added_tokens", make_added(t), "normalizer",
                     "pre_tokenizer", make_splitting(t), "post_processor", "decoder", "type",
                     "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1, "use_regex", 1, "model",
                     model);
}

/* Names by which families call the tokens that begin, end and pad a text. */
static const char *const roles[3][8] = {
    {"<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>", "<|begin_of_text|>",
     "<bos>", "<s>"},
    {"<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>", "<|end_of_text|>",
     "<|endoftext|>", "<eos>", "</s>", "<|im_end|>"},
    {"<\357\275\234\342\226\201pad\342\226\201\357\275\234>", "<|pad|>", "<pad>"},
};

static const char *role_of(const struct bpe_trainer *t, int role)
{
    for (int k = 0; k < 8 && roles[role][k]; k++)
        for (int32_t i = 0; i < t->o.n_specials; i++)
            if (!strcmp(t->o.specials[i], roles[role][k]))
                return t->o.specials[i];
    return NULL;
}

static json_t *make_config(const struct bpe_trainer *t)
{
    const char *bos = role_of(t, 0);

    return json_pack("{s:b, s:b, s:s?, s:s?, s:s?, s:b, s:s}", "add_bos_token", bos != NULL,
                     "add_eos_token", 0, "bos_token", bos, "eos_token", role_of(t, 1), "pad_token",
                     role_of(t, 2), "clean_up_tokenization_spaces", 0, "tokenizer_class",
                     "PreTrainedTokenizerFast");
}

static int dump(json_t *value, struct buf *out, struct mk_error *err)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2)) : NULL;
    int rc = text ? buf_append_string(out, text, err) : mk_error_memory(err, 1);

    free(text);
    json_decref(value);
    return rc ? rc : buf_append(out, "\n", 1, err);
}

int bpe_trainer_json(const struct bpe_trainer *t, struct buf *json, struct buf *config,
                     struct mk_error *err)
{
    int rc = dump(make_tokenizer(t), json, err);

    return rc ? rc : dump(make_config(t), config, err);
}

static int put_file(const char *dir, const char *name, const struct buf *text, struct mk_error *err)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);

    if (n < 0 || (size_t)n >= sizeof path)
        return mk_error_set(err, MK_ELIMIT, "%s: path is too long", dir);
    return write_file(path, text->data, text->n, err);
}

int bpe_trainer_write(const struct bpe_trainer *t, const char *dir, struct mk_error *err)
{
    struct buf json, config;
    int rc;

    buf_init(&json, MAX_FILE_BYTES);
    buf_init(&config, MAX_FILE_BYTES);
    rc = bpe_trainer_json(t, &json, &config, err);
    if (!rc && mkdir(dir, 0777) && errno != EEXIST)
        rc = mk_error_set(err, MK_EIO, "%s: cannot be made: %s", dir, strerror(errno));
    if (!rc)
        rc = put_file(dir, "tokenizer_config.json", &config, err);
    if (!rc) /* last: a folder with tokenizer.json is whole */
        rc = put_file(dir, "tokenizer.json", &json, err);
    buf_release(&json);
    buf_release(&config);
    return rc;
}
