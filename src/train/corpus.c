/* corpus.c: sequences out of shards. A document's number runs through all shards of its source. */
#include "train/corpus.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct source {
    struct token_shard *shards;    /* [n_shards] owned */
    int64_t *first;                /* [n_shards + 1] number of a shard's first document */
    int n_shards;                  /* open ones */
    enum token_shard_kind kind;    /* of all of them */
    struct packing packing;        /* of documents, or of pairs */
    struct corpus_loss loss;
    const double *reference;       /* [2 * pairs] borrowed, or NULL */
    int64_t first_sequence;        /* of the share that is read */
};

struct corpus {
    struct mixture mixture;
    struct source sources[MIXTURE_MAX_SOURCES];
    int32_t length;
    int32_t *ids;                  /* [length] of the sequence at hand */
    unsigned char *learned;        /* [length] */
    struct corpus_fragment *fragments; /* [length] */
};

static int open_shards(struct source *s, const struct corpus_source *from,
                       const struct token_shard_key *key, struct mk_error *err)
{
    size_t n = (size_t)from->n_shards;

    s->shards = calloc(n, sizeof *s->shards);
    s->first = calloc(n + 1, sizeof *s->first);
    if (!s->shards || !s->first)
        return mk_error_memory(err, n * sizeof *s->shards);
    for (; s->n_shards < from->n_shards; s->n_shards++) {
        struct token_shard *shard = &s->shards[s->n_shards];

        if (token_shard_open(shard, from->shards[s->n_shards], key, err))
            return err->code;
        s->first[s->n_shards + 1] = s->first[s->n_shards] + shard->n_documents;
        if (s->n_shards > 0 && shard->kind != s->kind)
            return mk_error_set(err, MK_EINVAL,
                                "%s: texts, conversations and pairs are not of one source",
                                from->shards[s->n_shards]);
        s->kind = shard->kind;
    }
    return 0;
}

int64_t corpus_fit(const struct token_shard *s, int64_t document, int32_t length)
{
    int64_t n = token_shard_length(s, document), end = 0;
    bool before = false;

    if (s->kind == TOKEN_SHARD_TEXT || n <= length)
        return n;
    if (s->kind == TOKEN_SHARD_PAIRS)
        return 0;
    for (int64_t i = 0; i <= length; i++) { /* one more: it shows whether the answer was over */
        unsigned char learned;

        token_shard_read_learned(s, document, i, 1, &learned);
        if (before && !learned)
            end = i;
        before = learned;
    }
    return end;
}

/* Tokens of a document, or of pair `at` in the shard, that are trained on. */
static int64_t fit(struct source *s, const struct token_shard *shard, int64_t at, int32_t length)
{
    int64_t n, kept;

    if (s->kind == TOKEN_SHARD_PAIRS) {
        n = token_shard_length(shard, 2 * at) + token_shard_length(shard, 2 * at + 1);
        kept = n <= length ? n : 0;
    } else {
        n = token_shard_length(shard, at);
        kept = corpus_fit(shard, at, length);
    }
    s->loss.n_documents++;
    s->loss.n_cut += kept > 0 && kept < n;
    s->loss.n_left_out += kept == 0;
    s->loss.n_tokens += n - kept;
    return kept;
}

static int64_t units(const struct source *s, int64_t n_documents)
{
    return s->kind == TOKEN_SHARD_PAIRS ? n_documents / 2 : n_documents;
}

static int pack(struct source *s, int32_t length, struct mk_error *err)
{
    int64_t n = units(s, s->first[s->n_shards]), at = 0;
    int64_t *lengths = malloc(((size_t)n + 1) * sizeof *lengths);
    int rc;

    if (!lengths)
        return mk_error_memory(err, ((size_t)n + 1) * sizeof *lengths);
    for (int k = 0; k < s->n_shards; k++)
        for (int64_t d = 0; d < units(s, s->shards[k].n_documents); d++)
            lengths[at++] = fit(s, &s->shards[k], d, length);
    rc = packing_init(&s->packing, lengths, n, length, err);
    free(lengths);
    return rc;
}

/* At least one sequence; a source that is empty anyway is mixture_check's to refuse. */
static int take_share(struct source *s, const struct corpus_source *from, int64_t *n,
                      struct mk_error *err)
{
    double all = (double)s->packing.n_sequences, end = from->end == 0 ? 1 : from->end;
    int64_t last = end >= 1 ? s->packing.n_sequences : (int64_t)(end * all);

    s->first_sequence = (int64_t)(from->begin * all);
    *n = last - s->first_sequence;
    if (from->begin >= 0 && end <= 1 && (*n > 0 || s->packing.n_sequences == 0))
        return 0;
    return mk_error_set(err, MK_EINVAL,
                        "source %s: no sequence in %g to %g of its %lld: give it more text or a "
                        "larger share",
                        from->name, from->begin, end, (long long)s->packing.n_sequences);
}

static int open_source(struct corpus *c, int i, const struct corpus_options *o,
                       struct mk_error *err)
{
    const struct corpus_source *from = &o->sources[i];
    struct mixture_source *m = &c->mixture.sources[i];
    int64_t n;

    if (from->n_shards < 1 || from->n_points < 1 || from->n_points > MIXTURE_MAX_POINTS)
        return mk_error_set(err, MK_EINVAL,
                            "source %s: %d shards and %d weights, expected 1 or more shards and 1 "
                            "to %d weights",
                            from->name, from->n_shards, from->n_points, MIXTURE_MAX_POINTS);
    if (open_shards(&c->sources[i], from, o->key, err) ||
        pack(&c->sources[i], o->length, err))
        return mk_error_wrap(err, "source %s", from->name);
    if (c->sources[i].loss.n_documents > 0 &&
        c->sources[i].loss.n_left_out == c->sources[i].loss.n_documents)
        return mk_error_set(err, MK_EINVAL,
                            "source %s: none of its %lld %s fits into a sequence of %d tokens: "
                            "raise data.sequence",
                            from->name, (long long)c->sources[i].loss.n_documents,
                            c->sources[i].kind == TOKEN_SHARD_PAIRS ? "pairs" : "conversations",
                            o->length);
    if ((c->sources[i].kind == TOKEN_SHARD_PAIRS) != (c->sources[0].kind == TOKEN_SHARD_PAIRS))
        return mk_error_set(err, MK_EINVAL,
                            "source %s: pairs of answers do not mix with other data", from->name);
    if (take_share(&c->sources[i], from, &n, err))
        return err->code;
    *m = (struct mixture_source){
        .name = from->name, .n_sequences = n, .n_points = from->n_points};
    for (int k = 0; k < from->n_points; k++)
        m->points[k] = from->points[k];
    return 0;
}

int corpus_open(struct corpus **out, const struct corpus_options *o, struct mk_error *err)
{
    struct corpus *c;
    int rc = 0;

    if (o->n_sources < 1 || o->n_sources > MIXTURE_MAX_SOURCES || o->length < 2)
        return mk_error_set(err, MK_EINVAL,
                            "%d sources in sequences of %d tokens: expected 1 to %d sources and 2 "
                            "tokens or more",
                            o->n_sources, o->length, MIXTURE_MAX_SOURCES);
    c = calloc(1, sizeof *c);
    if (!c)
        return mk_error_memory(err, sizeof *c);
    c->mixture.seed = o->seed;
    c->mixture.n_sources = o->n_sources;
    for (int i = 0; !rc && i < o->n_sources; i++)
        rc = open_source(c, i, o, err);
    if (!rc)
        rc = mixture_check(&c->mixture, err);
    if (!rc) { /* packing_init has checked the length */
        c->length = o->length;
        c->ids = malloc((size_t)o->length * sizeof *c->ids);
        c->learned = malloc((size_t)o->length);
        c->fragments = malloc((size_t)o->length * sizeof *c->fragments);
        if (!c->ids || !c->learned || !c->fragments)
            rc = mk_error_memory(err, (size_t)o->length * sizeof *c->fragments);
    }
    if (rc)
        corpus_close(c);
    else
        *out = c;
    return rc;
}

void corpus_close(struct corpus *c)
{
    if (!c)
        return;
    for (int i = 0; i < MIXTURE_MAX_SOURCES; i++) {
        struct source *s = &c->sources[i];

        for (int k = 0; k < s->n_shards; k++)
            token_shard_close(&s->shards[k]);
        free(s->shards);
        free(s->first);
        packing_release(&s->packing);
    }
    free(c->ids);
    free(c->learned);
    free(c->fragments);
    free(c);
}

struct mixture *corpus_mixture(struct corpus *c)
{
    return &c->mixture;
}

const struct packing *corpus_packing(const struct corpus *c, int source)
{
    return &c->sources[source].packing;
}

/* The last shard that begins at or before the document; empty shards begin where the next does. */
static int shard_of(const struct source *s, int64_t document)
{
    int low = 0, high = s->n_shards - 1;

    while (low < high) {
        int middle = (low + high + 1) / 2;

        if (s->first[middle] <= document)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Ids [begin, begin + n) of a document behind the first n_tokens of the memory. */
static struct corpus_fragment read_fragment(struct corpus *c, const struct source *s,
                                            int64_t document, int64_t begin, int32_t n,
                                            int32_t n_tokens)
{
    int k = shard_of(s, document);
    struct corpus_fragment f = {.ids = c->ids + n_tokens, .n = n};

    token_shard_read(&s->shards[k], document - s->first[k], begin, n, c->ids + n_tokens);
    if (s->kind == TOKEN_SHARD_TEXT)
        return f;
    token_shard_read_learned(&s->shards[k], document - s->first[k], begin, n,
                             c->learned + n_tokens);
    f.learned = c->learned + n_tokens;
    return f;
}

/* The fragments of one pair; returns their tokens. */
static int32_t read_pair(struct corpus *c, const struct source *s, int64_t pair, int32_t n_tokens,
                         struct corpus_fragment out[2])
{
    int32_t sum = 0;

    for (int i = 0; i < 2; i++) {
        int64_t document = 2 * pair + i;
        int k = shard_of(s, document);
        int32_t n = (int32_t)token_shard_length(&s->shards[k], document - s->first[k]);

        out[i] = read_fragment(c, s, document, 0, n, n_tokens + sum);
        out[i].reference = s->reference ? s->reference[document] : 0;
        sum += n;
    }
    return sum;
}

struct corpus_sequence corpus_next(struct corpus *c)
{
    struct mixture_draw d = mixture_next(&c->mixture);
    const struct source *s = &c->sources[d.source];
    const struct packing *p = &s->packing;
    struct corpus_sequence out = {
        .source = d.source, .epoch = d.epoch, .fragments = c->fragments};

    d.sequence += s->first_sequence;
    for (int64_t i = p->first[d.sequence]; i < p->first[d.sequence + 1]; i++) {
        const struct fragment *f = &p->fragments[i];
        struct corpus_fragment *to = &c->fragments[out.n_fragments];

        if (s->kind == TOKEN_SHARD_PAIRS) {
            out.n_tokens += read_pair(c, s, f->document, out.n_tokens, to);
            out.n_fragments += 2;
        } else {
            *to = read_fragment(c, s, f->document, f->begin, f->n, out.n_tokens);
            out.n_tokens += f->n;
            out.n_fragments++;
        }
    }
    return out;
}

uint64_t corpus_bytes(const struct corpus *c)
{
    uint64_t sum = 0;

    for (int i = 0; i < c->mixture.n_sources; i++)
        for (int k = 0; k < c->sources[i].n_shards; k++)
            sum += c->sources[i].shards[k].map.bytes;
    return sum;
}

struct corpus_loss corpus_loss(const struct corpus *c, int source)
{
    return c->sources[source].loss;
}

/* ---- Pairs ----------------------------------------------------------------------------------- */

bool corpus_has_pairs(const struct corpus *c)
{
    return c->sources[0].kind == TOKEN_SHARD_PAIRS;
}

int64_t corpus_n_pairs(const struct corpus *c, int source)
{
    const struct source *s = &c->sources[source];

    return s->kind == TOKEN_SHARD_PAIRS ? s->loss.n_documents : 0;
}

enum token_shard_kind corpus_kind(const struct corpus *c, int source)
{
    return c->sources[source].kind;
}

bool corpus_pair(struct corpus *c, int source, int64_t pair, struct corpus_fragment out[2])
{
    const struct source *s = &c->sources[source];
    int64_t sum = 0;

    for (int i = 0; i < 2; i++) {
        int k = shard_of(s, 2 * pair + i);

        sum += token_shard_length(&s->shards[k], 2 * pair + i - s->first[k]);
    }
    if (sum > c->length)
        return false;
    read_pair(c, s, pair, 0, out);
    return true;
}

void corpus_set_reference(struct corpus *c, int source, const double *reference)
{
    c->sources[source].reference = reference;
}

int corpus_fingerprint(const struct corpus *c, int source, unsigned char out[32],
                       struct mk_error *err)
{
    const struct source *s = &c->sources[source];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool fine = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
                EVP_DigestUpdate(ctx, &c->length, sizeof c->length);

    for (int k = 0; fine && k < s->n_shards; k++)
        fine = EVP_DigestUpdate(ctx, s->shards[k].digest, 32);
    fine = fine && EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
    return fine ? 0 : mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
}
