/* dpo_reference.c: reads what an earlier start has computed, or computes it. */
#include "train/dpo_reference.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/reference_file.h"

/* Weights, and what else decides about their losses. */
static int model_digest(const struct trainer *t, unsigned char out[32], struct mk_error *err)
{
    const int32_t how[] = {(int32_t)t->o.compute, (int32_t)t->o.mla};
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool fine = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) &&
                EVP_DigestUpdate(c, t->c->k->name, strlen(t->c->k->name) + 1) &&
                EVP_DigestUpdate(c, how, sizeof how);

    for (int64_t i = 0; fine && i < t->params->n_items; i++) {
        const struct param *p = &t->params->items[i];

        fine = EVP_DigestUpdate(c, p->name, strlen(p->name) + 1) &&
               EVP_DigestUpdate(c, p->w, (size_t)p->n * sizeof *p->w);
    }
    fine = fine && EVP_DigestFinal_ex(c, out, NULL);
    EVP_MD_CTX_free(c);
    return fine ? 0 : mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
}

static int compute(struct trainer *t, struct corpus *c, int source, double *values,
                   struct mk_error *err)
{
    int64_t pair = 0;
    struct batch b;

    for (;;) {
        arena_reset(&t->batch_memory);
        if (batch_draw_pairs(&b, c, source, &pair, t->o.pass_tokens, &t->batch_memory, err))
            return err->code;
        if (b.n_seqs == 0)
            return 0;
        if (trainer_losses(t, &t->model, &b, err))
            return err->code;
        for (int32_t i = 0; i < b.n_seqs; i++)
            values[2 * b.origins[i].pair + i % 2] = dpo_log_probability(&b.seqs[i]);
    }
}

static int open_source(struct dpo_reference *r, struct trainer *t, struct corpus *c, int source,
                       struct reference_key *key, const struct dpo_reference_options *o,
                       struct mk_error *err)
{
    const char *name = corpus_mixture(c)->sources[source].name;
    int64_t n = 2 * corpus_n_pairs(c, source);
    char path[4096 + 300], text[4096 + 300];
    int code;

    r->values[source] = calloc((size_t)n + 1, sizeof(double));
    if (!r->values[source])
        return mk_error_memory(err, (size_t)n * sizeof(double));
    if (corpus_fingerprint(c, source, key->data, err))
        return err->code;
    if (snprintf(path, sizeof path, "%s/data/%s.reference", o->folder, name) >= (int)sizeof path)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", o->folder);
    code = reference_file_read(path, key, o->at_start, r->values[source], n, err);
    if (!code || !o->at_start)
        return code ? mk_error_wrap(err, "the reference is computed when a run begins: begin "
                                         "another with --set out=DIR")
                    : 0;
    snprintf(text, sizeof text, "%s/data", o->folder);
    if (mkdir(text, 0777) && errno != EEXIST)
        return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", text, strerror(errno));
    snprintf(text, sizeof text, "computing the reference of %lld pairs, %s", (long long)n / 2,
             name);
    if (o->say)
        o->say(o->user, text);
    memset(r->values[source], 0, (size_t)n * sizeof(double));
    if (compute(t, c, source, r->values[source], err))
        return err->code;
    return reference_file_write(path, key, r->values[source], n, err);
}

int dpo_reference_open(struct dpo_reference *r, struct trainer *t, struct corpus *train,
                       struct corpus *valid, const struct dpo_reference_options *o,
                       struct mk_error *err)
{
    struct reference_key key;

    *r = (struct dpo_reference){0};
    if (!train || !corpus_has_pairs(train))
        return 0;
    if (model_digest(t, key.model, err))
        return err->code;
    for (int i = 0; i < corpus_mixture(train)->n_sources; i++) {
        if (open_source(r, t, train, i, &key, o, err))
            return err->code;
        corpus_set_reference(train, i, r->values[i]);
        if (valid)
            corpus_set_reference(valid, i, r->values[i]);
    }
    return 0;
}

void dpo_reference_release(struct dpo_reference *r)
{
    for (int i = 0; i < MIXTURE_MAX_SOURCES; i++)
        free(r->values[i]);
    *r = (struct dpo_reference){0};
}
