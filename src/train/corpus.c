/* corpus.c: sequences out of shards. A document's number runs through all shards of its source. */
#include "train/corpus.h"

#include <stdlib.h>

struct source {
    struct token_shard *shards;    /* [n_shards] owned */
    int64_t *first;                /* [n_shards + 1] number of a shard's first document */
    int n_shards;                  /* open ones */
    struct packing packing;
    int64_t first_sequence;        /* of the share that is read */
};

struct corpus {
    struct mixture mixture;
    struct source sources[MIXTURE_MAX_SOURCES];
    int32_t *ids;                  /* [length] of the sequence at hand */
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
    }
    return 0;
}

static int pack(struct source *s, int32_t length, struct mk_error *err)
{
    int64_t n = s->first[s->n_shards], at = 0;
    int64_t *lengths = malloc(((size_t)n + 1) * sizeof *lengths);
    int rc;

    if (!lengths)
        return mk_error_memory(err, ((size_t)n + 1) * sizeof *lengths);
    for (int k = 0; k < s->n_shards; k++)
        for (int64_t d = 0; d < s->shards[k].n_documents; d++)
            lengths[at++] = token_shard_length(&s->shards[k], d);
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
        c->ids = malloc((size_t)o->length * sizeof *c->ids);
        c->fragments = malloc((size_t)o->length * sizeof *c->fragments);
        if (!c->ids || !c->fragments)
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
        int k = shard_of(s, f->document);

        token_shard_read(&s->shards[k], f->document - s->first[k], f->begin, f->n,
                         c->ids + out.n_tokens);
        c->fragments[out.n_fragments++] = (struct corpus_fragment){c->ids + out.n_tokens, f->n};
        out.n_tokens += f->n;
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
