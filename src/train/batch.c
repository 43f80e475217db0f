/* batch.c: copies what the corpus lends. */
#include "train/batch.h"

#include <string.h>

#include "base/rng.h"

/* Of the seed; mixture.c's draws take others. */
#define STREAM_KEEP ((uint64_t)0x4b << 56)
#define KEEP_SHARE 0.1

/* A list that grows inside an arena: old parts are left behind. */
static int reserve(struct batch *b, int32_t more, int32_t *room, struct arena *memory,
                   struct mk_error *err)
{
    int32_t want = b->n_seqs + more;
    struct train_seq *seqs;
    int32_t *source;

    if (want <= *room)
        return 0;
    want = want < 2 * *room ? 2 * *room : want;
    if (arena_take(memory, &seqs, (size_t)want, sizeof *seqs, err) ||
        arena_take(memory, &source, (size_t)want, sizeof *source, err))
        return err->code;
    if (b->n_seqs) {
        memcpy(seqs, b->seqs, (size_t)b->n_seqs * sizeof *seqs);
        memcpy(source, b->source, (size_t)b->n_seqs * sizeof *source);
    }
    b->seqs = seqs;
    b->source = source;
    *room = want;
    return 0;
}

static int add(struct batch *b, const struct corpus_fragment *f, int source, bool keep_all,
               struct arena *memory, struct mk_error *err)
{
    size_t n = (size_t)f->n;
    int32_t *ids, *targets;
    float *loss;

    if (arena_take(memory, &ids, n, sizeof *ids, err) ||
        arena_take(memory, &targets, n, sizeof *targets, err) ||
        arena_take(memory, &loss, n, sizeof *loss, err))
        return err->code;
    memcpy(ids, f->ids, n * sizeof *ids);
    memcpy(targets, f->ids + 1, (n - 1) * sizeof *targets);
    targets[n - 1] = -1;
    b->source[b->n_seqs] = source;
    b->seqs[b->n_seqs++] = (struct train_seq){
        .ids = ids, .targets = targets, .loss = loss, .n_ids = f->n, .keep_all = keep_all};
    b->n_tokens += f->n;
    b->n_targets += f->n - 1;
    return 0;
}

int batch_draw(struct batch *b, struct corpus *c, int32_t n_sequences, struct arena *memory,
               struct mk_error *err)
{
    int32_t room = 0;

    *b = (struct batch){0};
    for (int32_t i = 0; i < n_sequences; i++) {
        struct corpus_sequence s = corpus_next(c);
        const struct mixture *m = corpus_mixture(c);
        bool keep = rng_uniform(m->seed, STREAM_KEEP, (uint64_t)m->state.step) < KEEP_SHARE;

        if (reserve(b, s.n_fragments, &room, memory, err))
            return err->code;
        for (int32_t j = 0; j < s.n_fragments; j++)
            if (add(b, &s.fragments[j], s.source, keep, memory, err))
                return err->code;
    }
    return 0;
}

void batch_count(const struct batch *b, struct corpus *c)
{
    for (int32_t i = 0; i < b->n_seqs; i++) {
        const struct train_seq *s = &b->seqs[i];
        double sum = 0;

        for (int32_t j = 0; j < s->n_ids; j++)
            sum += (double)s->loss[j];
        mixture_count(corpus_mixture(c), b->source[i], s->n_ids, sum, s->n_ids - 1);
    }
}

int32_t batch_cut(const struct batch *b, int32_t first, int64_t tokens)
{
    int32_t n = 0;
    int64_t sum = 0;

    while (first + n < b->n_seqs && (n == 0 || sum + b->seqs[first + n].n_ids <= tokens))
        sum += b->seqs[first + n++].n_ids;
    return n;
}
