/* bpe_train_vocab.c: what was learned as a vocabulary, and that as tokenizer.json and
 * tokenizer_config.json. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/vocab.h"
#include "tokenizer/alphabet.h"
#include "tokenizer/bpe_trainer.h"

static struct vocab_text text_of(const char *s)
{
    return (struct vocab_text){s, (uint32_t)strlen(s)};
}

/* A token's bytes in GPT-2's alphabet, written at `out`: at most two for each. */
static struct vocab_text spell(const struct bpe_trainer *t, const struct byte_item *item, char *out)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < item->n; i++)
        used += (uint32_t)utf8_write(alphabet_code(t->tokens.bytes[item->begin + i]),
                                     (unsigned char *)out + used);
    return (struct vocab_text){out, used};
}

/* As in DeepSeek's vocabularies the marks of a thought are shown, all others hidden. */
static enum token_kind special_kind(const char *name)
{
    return !strcmp(name, "<think>") || !strcmp(name, "</think>") ? TOKEN_USER : TOKEN_SPECIAL;
}

static int put_tokens(const struct bpe_trainer *t, struct vocab *v, struct mk_error *err)
{
    size_t n = (size_t)t->report.n_tokens;
    char *bytes;

    if (arena_take(&v->memory, &v->texts, n, sizeof *v->texts, err) ||
        arena_take(&v->memory, &v->kinds, n, sizeof *v->kinds, err) ||
        arena_take(&v->memory, &bytes, t->tokens.n_bytes, 2, err))
        return err->code;
    v->n_tokens = t->report.n_tokens;
    for (int32_t id = 0; id < v->n_tokens; id++) {
        bool special = t->spelling[id] == SIZE_MAX;

        v->kinds[id] = special ? special_kind(t->o.specials[id]) : TOKEN_NORMAL;
        v->texts[id] = special ? text_of(t->o.specials[id])
                               : spell(t, &t->tokens.items[t->spelling[id]], bytes);
        bytes += special ? 0 : v->texts[id].n;
    }
    return 0;
}

static int put_merges(const struct bpe_trainer *t, struct vocab *v, struct mk_error *err)
{
    int rc = arena_take(&v->memory, &v->merges, (size_t)t->report.n_merges, sizeof *v->merges, err);

    if (rc)
        return rc;
    v->n_merges = t->report.n_merges;
    for (int64_t i = 0; i < v->n_merges; i++) {
        v->merges[i][0] = v->texts[t->merges[i].left];
        v->merges[i][1] = v->texts[t->merges[i].right];
    }
    return 0;
}

static int put_added(const struct bpe_trainer *t, struct vocab *v, struct mk_error *err)
{
    int rc = arena_take(&v->memory, &v->added, (size_t)t->o.n_specials, sizeof *v->added, err);

    if (rc)
        return rc;
    v->n_added = t->o.n_specials;
    for (int32_t i = 0; i < v->n_added; i++)
        v->added[i] = (struct vocab_added){.id = i};
    return 0;
}

static int put_splits(const struct bpe_trainer *t, struct vocab *v, struct mk_error *err)
{
    enum split_rule rules[MK_MAX_SPLITS];

    v->n_regexes = bpe_trainer_rules(t, rules);
    if (arena_take(&v->memory, &v->regexes, (size_t)v->n_regexes, sizeof *v->regexes, err) ||
        arena_take(&v->memory, &v->regex_isolated, (size_t)v->n_regexes, sizeof *v->regex_isolated,
                   err))
        return err->code;
    for (int32_t i = 0; i < v->n_regexes; i++) {
        v->regexes[i] = text_of(split_pattern(rules[i]));
        v->regex_isolated[i] = true;
    }
    return 0;
}

/* Names by which families call the tokens that begin, end and pad a text. */
static const char *const roles[3][8] = {
    {"<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>", "<|begin_of_text|>",
     "<bos>", "<s>"},
    {"<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>", "<|end_of_text|>",
     "<|endoftext|>", "<eos>", "</s>", "<|im_end|>"},
    {"<\357\275\234\342\226\201pad\342\226\201\357\275\234>", "<|pad|>", "<pad>"},
};

static int32_t role_of(const struct bpe_trainer *t, int role)
{
    for (int k = 0; k < 8 && roles[role][k]; k++)
        for (int32_t i = 0; i < t->o.n_specials; i++)
            if (!strcmp(t->o.specials[i], roles[role][k]))
                return i;
    return -1;
}

int bpe_trainer_vocab(const struct bpe_trainer *t, struct vocab *v, struct mk_error *err)
{
    *v = (struct vocab){.name = "learned", .kind = VOCAB_BYTE_BPE, .bos_id = role_of(t, 0),
                        .eos_id = role_of(t, 1), .pad_id = role_of(t, 2), .unk_id = -1};
    v->add_bos = v->bos_id >= 0;
    v->chat_template = text_of("");
    arena_init(&v->memory, SIZE_MAX / 4);
    if (!put_tokens(t, v, err) && !put_merges(t, v, err) && !put_added(t, v, err) &&
        !put_splits(t, v, err))
        return 0;
    vocab_release(v);
    return err->code;
}

int bpe_trainer_write(const struct bpe_trainer *t, const char *dir, struct mk_error *err)
{
    struct vocab_json json;
    struct vocab v;
    int rc = bpe_trainer_vocab(t, &v, err);

    if (rc)
        return rc;
    rc = vocab_to_json(&v, &json, err);
    vocab_release(&v);
    if (rc)
        return rc;
    if (mkdir(dir, 0777) && errno != EEXIST)
        rc = mk_error_set(err, MK_EIO, "%s: cannot be made: %s", dir, strerror(errno));
    if (!rc)
        rc = vocab_json_write(&json, dir, err);
    vocab_json_release(&json);
    return rc;
}
