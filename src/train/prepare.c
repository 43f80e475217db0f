/* prepare.c: weights, then vocabulary, then data. */
#include "train/prepare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/folder.h"
#include "base/map_file.h"
#include "tokenizer/bpe_train.h"
#include "train/inputs.h"
#include "train/prepare_chat.h"
#include "train/reward.h"
#include "train/shard_list.h"

#define PATH INPUTS_PATH

/* Everything the steps share. */
struct job {
    struct prepared *p;
    const struct recipe *r;
    const char *base, *run;
    struct exec *ex;
    bool learned; /* the vocabulary, just now */
};

static void say(const struct job *j, const char *what, const char *name)
{
    char text[PATH + 100];

    snprintf(text, sizeof text, "%s %s", what, name);
    if (j->p->say)
        j->p->say(j->p->user, text);
}

static bool is_file(const char *path)
{
    struct stat s;

    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

static int make_folder(const char *path, struct mk_error *err)
{
    if (mkdir(path, 0777) && errno != EEXIST)
        return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", path, strerror(errno));
    return 0;
}

/* ---- Weights -------------------------------------------------------------------------------- */

static int read_model(struct job *j, const char *path, struct mk_error *err)
{
    struct model_file file;
    int code;

    if (model_file_open(&file, path, err))
        return err->code;
    code = params_read(&j->p->params, &file, j->r->model.mtp_weight > 0, err);
    model_file_release(&file);
    return code;
}

/* config.json alone, of any name. */
static int config_arch(struct arch *a, const char *path, struct mk_error *err)
{
    struct map_file m;
    int code;

    if (map_file_open(&m, path, err))
        return err->code;
    code = arch_from_hf_text(a, path, (const char *)m.data, m.bytes, err);
    map_file_close(&m);
    return code;
}

int prepare_arch(struct arch *a, const struct recipe *r, const char *base, struct mk_error *err)
{
    char path[PATH];
    struct model_file file;

    if (*r->model.config ? inputs_find(path, base, "model.config", r->model.config, err)
                         : inputs_find_model(path, base, r, err))
        return err->code;
    if (*r->model.config) {
        if (config_arch(a, path, err))
            return err->code;
    } else {
        if (model_file_open(&file, path, err))
            return err->code;
        *a = file.arch;
        model_file_release(&file);
    }
    if (r->model.mtp_weight == 0)
        a->n_mtp = 0;
    return 0;
}

static int new_model(struct job *j, struct mk_error *err)
{
    struct arch a;

    if (prepare_arch(&a, j->r, j->base, err) || params_init(&j->p->params, &a, err))
        return err->code;
    params_randomise(&j->p->params, (uint64_t)j->r->seed, j->r->model.init_std);
    return 0;
}

/* A run with adapters goes on from the base and the checkpoint's adapters. */
static int weights(struct job *j, const char *resume, struct mk_error *err)
{
    char path[PATH];

    if (resume && !j->r->lora.rank)
        return read_model(j, resume, err);
    if (*j->r->model.config)
        return new_model(j, err);
    if (inputs_find_model(path, j->base, j->r, err))
        return err->code;
    say(j, "reading", path);
    return read_model(j, path, err);
}

static int freeze(struct job *j, struct mk_error *err)
{
    bool pairs = j->r->data.n_sources && j->r->data.sources[0].format == RECIPE_FORMAT_PAIRS;
    enum weight_role other_head = j->r->reward.head ? W_HEAD : W_SCORE; /* takes no part */
    int64_t n = 0;

    for (int64_t i = 0; i < j->p->params.n_items; i++) {
        struct param *q = &j->p->params.items[i];

        q->frozen = !params_match(j->r->model.learn, q->name);
        q->frozen |= pairs && q->layer >= j->p->params.arch.n_layers; /* MTP takes no part */
        q->frozen |= q->role == other_head;
        n += !q->frozen && !q->buffer;
    }
    return n ? 0
             : mk_error_set(err, MK_EINVAL,
                            "model.learn: '%s' is the name of no weight: nothing would learn",
                            j->r->model.learn);
}

static int adapters(struct job *j, const char *resume, struct mk_error *err)
{
    struct lora_options o = {.rank = (int32_t)j->r->lora.rank,
                             .alpha = j->r->lora.alpha,
                             .targets = j->r->lora.targets,
                             .base = j->r->model.from,
                             .seed = (uint64_t)j->r->seed};
    char path[PATH];

    if (o.rank == 0)
        return 0;
    if (j->r->model.mla && params_get(&j->p->params, W_KV_B, 0, 0) &&
        params_match(o.targets, params_get(&j->p->params, W_KV_B, 0, 0)->name))
        return mk_error_set(err, MK_EINVAL,
                            "lora.targets: absorbed attention splits kv_b_proj among the heads: "
                            "take model.mla expanded, or leave it out");
    if (lora_init(&j->p->params, &o, err))
        return err->code;
    if (!resume)
        return 0;
    if (folder_join(path, PATH, resume, "adapter", err))
        return err->code;
    return lora_read(&j->p->params, path, err);
}

/* ---- Vocabulary ----------------------------------------------------------------------------- */

static int learn_messages(struct bpe_trainer *t, const struct text_message *m, size_t n,
                          struct mk_error *err)
{
    int code = 0;

    for (size_t i = 0; i < n && !code; i++)
        if (m[i].n)
            code = bpe_trainer_add(t, m[i].content, m[i].n, err);
    return code;
}

static int learn_source(struct bpe_trainer *t, const char *path, const char *field, bool pairs,
                        uint64_t *bytes, struct mk_error *err)
{
    struct text_source_options o = text_source_defaults();
    struct text_document d;
    struct text_source *s;
    bool more = true;
    int code;

    o.field = field;
    o.pairs = pairs;
    if (text_source_open(&s, path, &o, err))
        return err->code;
    while (!(code = text_source_next(s, &d, &more, err)) && more) {
        *bytes += d.text ? d.n : d.n_messages;
        if (d.text)
            code = bpe_trainer_add(t, d.text, d.n, err);
        if (!code)
            code = learn_messages(t, d.messages, d.n_messages, err);
        if (!code)
            code = learn_messages(t, d.rejected + d.n_prompt, d.n_rejected - d.n_prompt, err);
        if (code)
            break;
    }
    text_source_close(s);
    return code;
}

/* From all sources that are texts. */
static int learn_texts(struct job *j, struct bpe_trainer *t, struct mk_error *err)
{
    uint64_t bytes = 0;
    char path[PATH];

    for (int32_t i = 0; i < j->r->data.n_sources; i++) {
        const struct recipe_source *s = &j->r->data.sources[i];
        bool shards = false, pairs = s->format == RECIPE_FORMAT_PAIRS;

        if (folder_join(path, PATH, j->base, s->path, err) || shard_list_any(path, &shards, err) ||
            (!shards && learn_source(t, path, j->r->data.field, pairs, &bytes, err)))
            return err->code;
    }
    return bytes ? 0
                 : mk_error_set(err, MK_EINVAL,
                                "%s: there is no text in the sources to learn a vocabulary from: "
                                "name one in tokenizer.path",
                                path);
}

static int learn(struct job *j, const char *dir, struct mk_error *err)
{
    struct bpe_train_options o = bpe_train_defaults();
    struct bpe_trainer *t;
    char path[PATH];
    int code;

    for (int32_t i = 0; i < j->r->data.n_sources; i++) /* before any is read */
        if (inputs_find_source(path, j->base, &j->r->data.sources[i], err))
            return err->code;
    o.n_vocab = j->r->tokenizer.vocab ? (int32_t)j->r->tokenizer.vocab : j->p->params.arch.n_vocab;
    say(j, "learning a vocabulary in", dir);
    if (bpe_trainer_create(&t, &o, err))
        return err->code;
    code = learn_texts(j, t, err);
    if (!code)
        code = bpe_trainer_run(t, err);
    if (!code)
        code = bpe_trainer_write(t, dir, err);
    bpe_trainer_free(t);
    j->learned = !code;
    return code;
}

/* A GGUF's vocabulary as files. */
static int extract(const char *model, const char *dir, struct mk_error *err)
{
    struct model_file file;
    struct vocab_json text = {0};
    struct vocab v;
    bool there;
    int code;

    if (model_file_open(&file, model, err))
        return err->code;
    code = model_file_vocab(&file, &v, &there, err);
    if (!code && !there)
        code = mk_error_set(err, MK_ENOTFOUND, "%s: has no tokenizer: name one in tokenizer.path",
                            model);
    if (!code) {
        if (!(code = vocab_to_json(&v, &text, err)) && !(code = make_folder(dir, err)))
            code = vocab_json_write(&text, dir, err);
        vocab_json_release(&text);
        vocab_release(&v);
    }
    model_file_release(&file);
    return code;
}

/* Where the tokenizer is, after making it when it is not there. */
static int find_tokenizer(struct job *j, struct mk_error *err)
{
    char *dir = j->p->tokenizer, own[PATH + 32], model[PATH], file[PATH + 64];

    if (*j->r->tokenizer.path) {
        if (inputs_find(dir, j->base, "tokenizer.path", j->r->tokenizer.path, err))
            return err->code;
        model_file_of_run(dir);
        return 0;
    }
    snprintf(own, sizeof own, "%s/tokenizer", j->run);
    snprintf(file, sizeof file, "%s/tokenizer.json", own);
    if (strlen(own) >= PATH)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", own);
    memcpy(dir, own, strlen(own) + 1);
    if (is_file(file))
        return 0;
    if (*j->r->model.config)
        return learn(j, dir, err);
    if (inputs_find_model(model, j->base, j->r, err))
        return err->code;
    snprintf(file, sizeof file, "%s/tokenizer.json", model);
    if (!is_file(file))
        return extract(model, dir, err);
    memcpy(dir, model, strlen(model) + 1);
    return 0;
}

static int vocabulary(struct job *j, struct token_shard_key *key, struct mk_error *err)
{
    struct vocab v;
    int32_t n_model = j->p->params.arch.n_vocab, n;

    if (find_tokenizer(j, err) || vocab_from_tokenizer_json(&v, j->p->tokenizer, err))
        return err->code;
    n = v.n_tokens;
    if (n > n_model) {
        vocab_release(&v);
        return mk_error_set(err, MK_EINVAL,
                            "%s has %d tokens, the model has room for %d: raise vocab_size in its "
                            "config.json",
                            j->p->tokenizer, n, n_model);
    }
    key->n_vocab = n;
    if (vocab_fingerprint(&v, key->fingerprint, err)) {
        vocab_release(&v);
        return err->code;
    }
    return tokenizer_create(&j->p->vocabulary, &v, err);
}

/* ---- Data ----------------------------------------------------------------------------------- */

static int tokenise(struct job *j, const struct recipe_source *s, const char *path,
                    const char *dir, struct mk_error *err)
{
    struct data_build_options o = data_build_defaults(j->p->vocabulary);
    struct data_build_report report;

    o.name = s->name;
    o.paths = &path;
    o.n_paths = 1;
    o.text.field = j->r->data.field;
    o.filter = true;
    if (!j->r->data.filter)
        o.quality = (struct quality_options){0}; /* what is no UTF-8 is dropped in any case */
    o.drop_copies = j->r->data.drop_copies;
    o.fim_rate = j->r->data.fim;
    o.specials = j->r->data.specials;
    o.seed = (uint64_t)j->r->seed;
    o.chat = s->format == RECIPE_FORMAT_TEXT ? NULL : &j->p->chat;
    say(j, "tokenising", path);
    if (data_build(j->p->vocabulary, &o, j->ex, dir, &report, err))
        return err->code;
    if (report.n_tokens < 1)
        return mk_error_set(err, MK_EINVAL,
                            "source %s: nothing to learn from in %s: %lld documents, %lld of them "
                            "not UTF-8",
                            s->name, path, (long long)report.read.n_documents,
                            (long long)report.quality.n[QUALITY_NOT_UTF8]);
    if (j->p->built)
        j->p->built(j->p->user, s->name, &report);
    return 0;
}

/* All shards of a source or none: a run that was killed in the middle must not go on with half of
 * its text. */
static int build(struct job *j, const struct recipe_source *s, const char *path, const char *dir,
                 struct mk_error *err)
{
    char data[PATH + 16], part[PATH + 32];

    snprintf(data, sizeof data, "%s/data", j->run);
    snprintf(part, sizeof part, "%s/.part", data);
    folder_remove(part);
    if (make_folder(data, err) || make_folder(part, err))
        return err->code;
    if (tokenise(j, s, path, part, err)) {
        folder_remove(part);
        return err->code;
    }
    if (rename(part, dir))
        return mk_error_set(err, MK_EIO, "%s: cannot be named %s: %s", part, dir, strerror(errno));
    return 0;
}

static int source_shards(struct job *j, const struct recipe_source *s, struct shard_list *out,
                         struct mk_error *err)
{
    char path[PATH], dir[PATH + 300];

    if (folder_join(path, PATH, j->base, s->path, err))
        return err->code;
    if (shard_list_find(out, path, err))
        return err->code;
    if (out->n)
        return 0;
    if (snprintf(dir, sizeof dir, "%s/data/%s", j->run, s->name) >= (int)sizeof dir)
        return mk_error_set(err, MK_ELIMIT, "source %s: the name is too long", s->name);
    if (shard_list_find(out, dir, err))
        return err->code;
    if (!out->n && (inputs_find_source(path, j->base, s, err) || build(j, s, path, dir, err)))
        return err->code;
    return out->n ? 0 : shard_list_find(out, dir, err);
}

/* Validation is the same text all along: each source by its mean weight over the run. */
static void weigh(struct corpus_source *to, const struct recipe_source *s, int64_t tokens,
                  bool validation)
{
    to->n_points = validation ? 1 : s->n_points;
    if (validation)
        to->points[0] = (struct mixture_point){
            0, mixture_mean_weight(s->points, s->n_points, tokens)};
    else
        memcpy(to->points, s->points, (size_t)s->n_points * sizeof *s->points);
}

static int open_corpora(struct job *j, const struct shard_list *shards,
                        const struct token_shard_key *key, struct mk_error *err)
{
    struct corpus_source sources[RECIPE_MAX_SOURCES] = {0};
    struct corpus_options o = {.sources = sources,
                               .n_sources = j->r->data.n_sources,
                               .length = (int32_t)j->r->data.sequence,
                               .seed = (uint64_t)j->r->seed,
                               .key = key};

    for (int32_t i = 0; i < o.n_sources; i++)
        sources[i] = (struct corpus_source){.name = j->r->data.sources[i].name,
                                            .shards = (const char *const *)shards[i].paths,
                                            .n_shards = shards[i].n,
                                            .end = 1 - j->r->data.validation};
    for (int32_t i = 0; i < o.n_sources; i++)
        weigh(&sources[i], &j->r->data.sources[i], j->r->train.tokens, false);
    if (corpus_open(&j->p->train, &o, err))
        return err->code;
    if (j->r->data.validation == 0)
        return 0;
    for (int32_t i = 0; i < o.n_sources; i++) {
        sources[i].begin = sources[i].end;
        sources[i].end = 1;
        weigh(&sources[i], &j->r->data.sources[i], j->r->train.tokens, true);
    }
    return corpus_open(&j->p->valid, &o, err);
}

static int data(struct job *j, const struct token_shard_key *key, struct mk_error *err)
{
    struct shard_list *shards = calloc(RECIPE_MAX_SOURCES, sizeof *shards);
    int code = shards ? 0 : mk_error_memory(err, RECIPE_MAX_SOURCES * sizeof *shards);

    for (int32_t i = 0; i < j->r->data.n_sources && !code; i++)
        code = source_shards(j, &j->r->data.sources[i], &shards[i], err);
    if (!code)
        code = open_corpora(j, shards, key, err);
    for (int32_t i = 0; shards && i < RECIPE_MAX_SOURCES; i++)
        shard_list_release(&shards[i]);
    free(shards);
    return code;
}

/* What was learned from texts that turn out to be none is forgotten: the next attempt would find
 * it. */
static int give_up(struct job *j, struct mk_error *err)
{
    if (j->learned && (err->code == MK_EINVAL || err->code == MK_EFORMAT))
        folder_remove(j->p->tokenizer);
    prepared_release(j->p);
    return err->code;
}

int prepare_data(struct prepared *p, const struct recipe *r, const char *base, const char *run,
                 struct exec *ex, struct mk_error *err)
{
    struct job j = {.p = p, .r = r, .base = base, .run = run, .ex = ex};
    struct token_shard_key key;

    /* The vocabulary's size is all that data needs of a model. */
    if (prepare_arch(&p->params.arch, r, base, err) || vocabulary(&j, &key, err) ||
        prepare_chat(p, r, run, err) || data(&j, &key, err))
        return give_up(&j, err);
    return 0;
}

int prepare(struct prepared *p, const struct recipe *r, const char *base, const char *run,
            const char *resume, struct exec *ex, struct mk_error *err)
{
    struct job j = {.p = p, .r = r, .base = base, .run = run, .ex = ex};
    struct token_shard_key key;

    if (weights(&j, resume, err) || (r->reward.head && reward_add_head(&p->params, err)) ||
        freeze(&j, err) || adapters(&j, resume, err) ||
        vocabulary(&j, &key, err) || prepare_chat(p, r, run, err) ||
        (r->data.n_sources && (data(&j, &key, err) || prepare_check_kinds(p, r, err))))
        return give_up(&j, err);
    if (p->train)
        prepare_tell_loss(p, r);
    return 0;
}

void prepared_release(struct prepared *p)
{
    if (p->params.items)
        params_release(&p->params);
    tokenizer_free(p->vocabulary);
    corpus_close(p->train);
    corpus_close(p->valid);
    p->vocabulary = NULL;
    p->train = p->valid = NULL;
}
