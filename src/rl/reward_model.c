/* reward_model.c: a second model that only reads. */
#include "rl/reward_model.h"

#include <stdio.h>
#include <string.h>

#include "formats/vocab.h"
#include "train/batch.h"

/* ---- The model ------------------------------------------------------------------------------ */

static int check_vocabulary(const struct reward_model *r, const char *folder, struct mk_error *err)
{
    unsigned char own[32], policys[32];
    struct vocab v;
    int code;

    if (vocab_from_tokenizer_json(&v, folder, err))
        return err->code;
    code = vocab_fingerprint(&v, own, err);
    vocab_release(&v);
    if (code || vocab_fingerprint(tokenizer_vocab(r->t), policys, err))
        return err->code;
    return memcmp(own, policys, sizeof own)
               ? mk_error_set(err, MK_EINVAL,
                              "%s: another vocabulary than the policy's: a reward model reads what "
                              "the policy wrote, token by token",
                              folder)
               : 0;
}

static int read_weights(struct reward_model *r, const char *folder, struct mk_error *err)
{
    struct model_options o = {.mla = MK_MLA_EXPANDED};
    struct model_file file;
    int code;

    if (model_file_open(&file, folder, err))
        return err->code;
    if (!file.arch.scored)
        code = mk_error_set(err, MK_EINVAL,
                            "%s: no reward model: minke train makes one of pairs with reward.head",
                            folder);
    else
        code = params_read(&r->params, &file, false, err);
    model_file_release(&file);
    return code ? code : params_pack(&r->params, &r->model, &o, err);
}

int reward_model_open(struct reward_model *r, const char *folder, const struct tokenizer *t,
                      struct compute *c, int64_t pass_tokens, struct mk_error *err)
{
    char path[MODEL_PATH];

    *r = (struct reward_model){.c = c, .t = t, .pass_tokens = pass_tokens};
    arena_init(&r->memory, SIZE_MAX / 4);
    snprintf(path, sizeof path, "%s", folder);
    model_file_of_run(path);
    if (read_weights(r, path, err) || check_vocabulary(r, path, err)) {
        reward_model_release(r);
        return err->code;
    }
    return 0;
}

void reward_model_release(struct reward_model *r)
{
    if (r->model.memory.first)
        model_release(&r->model);
    if (r->params.items)
        params_release(&r->params);
    arena_release(&r->memory);
    memset(r, 0, sizeof *r);
}

/* ---- Sequences ------------------------------------------------------------------------------ */

/* The ids behind the thought, as a reader of the text alone would have them; all of them when no
 * thought ends. */
static int summary(const struct reward_model *r, const struct reward_text *t, struct ids *out,
                   struct mk_error *err)
{
    static const char end[] = "</think>";
    const char *last = NULL;

    for (const char *at = strstr(t->text, end); at; at = strstr(at + 1, end))
        last = at + sizeof end - 1;
    if (!last) {
        for (int32_t i = 0; i < t->n; i++)
            if (ids_append(out, t->ids[i], err))
                return err->code;
        return 0;
    }
    last += strspn(last, " \n");
    if (tokenizer_encode(r->t, last, strlen(last), true, out, err))
        return err->code;
    return t->stopped ? ids_append(out, t->ids[t->n - 1], err) : 0;
}

static int put_ids(struct train_seq *s, const struct reward_text *t, const int32_t *answer,
                   int32_t n, struct arena *memory, struct mk_error *err)
{
    int32_t all = t->n_prompt + n, *ids;
    struct seq_score *score;

    if (arena_take(memory, &ids, (size_t)all, sizeof *ids, err) ||
        arena_take(memory, &score, 1, sizeof *score, err))
        return err->code;
    memcpy(ids, t->prompt, (size_t)t->n_prompt * sizeof *ids);
    if (n)
        memcpy(ids + t->n_prompt, answer, (size_t)n * sizeof *ids);
    *score = (struct seq_score){.at = all - 1};
    *s = (struct train_seq){.ids = ids, .n_ids = all, .score = score, .keep_all = true};
    return 0;
}

static int make_seq(const struct reward_model *r, struct train_seq *s, const struct reward_text *t,
                    enum reward_reads reads, struct arena *memory, struct mk_error *err)
{
    struct ids ids = {0};
    int code;

    if (reads == REWARD_READS_ALL)
        return put_ids(s, t, t->ids, t->n, memory, err);
    code = summary(r, t, &ids, err);
    if (!code)
        code = put_ids(s, t, ids.data, (int32_t)ids.n, memory, err);
    ids_release(&ids);
    return code;
}

int reward_model_score(struct reward_model *r, struct reward_text *texts, int32_t n,
                       enum reward_reads reads, struct arena *memory, struct mk_error *err)
{
    struct pass_options o = {.forward_only = true, .trunk_only = true, .score = true};
    struct pass_result result = {0};
    struct batch b = {.n_seqs = n};

    if (arena_take(memory, &b.seqs, (size_t)n, sizeof *b.seqs, err))
        return err->code;
    for (int32_t i = 0; i < n; i++)
        if (make_seq(r, &b.seqs[i], &texts[i], reads, memory, err))
            return err->code;
    for (int32_t i = 0, cut; i < n; i += cut) {
        cut = batch_cut(&b, i, r->pass_tokens);
        if (pass_run(&r->model, &r->params, r->c, &r->memory, b.seqs + i, cut, &o, &result, err))
            return err->code;
    }
    for (int32_t i = 0; i < n; i++)
        texts[i].score = b.seqs[i].score->value;
    return 0;
}
