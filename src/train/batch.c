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
    struct batch_origin *origins;

    if (want <= *room)
        return 0;
    want = want < 2 * *room ? 2 * *room : want;
    if (arena_take(memory, &seqs, (size_t)want, sizeof *seqs, err) ||
        arena_take(memory, &origins, (size_t)want, sizeof *origins, err))
        return err->code;
    if (b->n_seqs) {
        memcpy(seqs, b->seqs, (size_t)b->n_seqs * sizeof *seqs);
        memcpy(origins, b->origins, (size_t)b->n_seqs * sizeof *origins);
    }
    b->seqs = seqs;
    b->origins = origins;
    *room = want;
    return 0;
}

static int add(struct batch *b, const struct corpus_fragment *f, int source, bool keep_all,
               struct arena *memory, struct mk_error *err)
{
    struct batch_origin origin = {.source = source, .reference = f->reference};
    size_t n = (size_t)f->n;
    struct seq_score *score = NULL;
    int32_t *ids, *targets;
    float *loss;

    if (arena_take(memory, &ids, n, sizeof *ids, err) ||
        arena_take(memory, &targets, n, sizeof *targets, err) ||
        arena_take(memory, &loss, n, sizeof *loss, err) ||
        (b->pairs && (arena_take(memory, &origin.weight, n, sizeof *origin.weight, err) ||
                      arena_take(memory, &score, 1, sizeof *score, err))))
        return err->code;
    memset(loss, 0, n * sizeof *loss);
    if (b->pairs) {
        memset(origin.weight, 0, n * sizeof *origin.weight);
        *score = (struct seq_score){0};
    }
    memcpy(ids, f->ids, n * sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        bool learned = i + 1 < n && (!f->learned || f->learned[i + 1]);

        targets[i] = learned ? f->ids[i + 1] : -1;
        origin.n_targets += learned;
        if (learned && score) /* in the end the answer's last token */
            score->at = (int32_t)i + 1;
    }
    b->origins[b->n_seqs] = origin;
    b->seqs[b->n_seqs++] = (struct train_seq){.ids = ids,
                                              .targets = targets,
                                              .weight = origin.weight,
                                              .loss = loss,
                                              .n_ids = f->n,
                                              .keep_all = keep_all,
                                              .score = score};
    b->n_tokens += f->n;
    b->n_targets += origin.n_targets;
    return 0;
}

int batch_draw(struct batch *b, struct corpus *c, int32_t n_sequences, struct arena *memory,
               struct mk_error *err)
{
    int32_t room = 0;

    *b = (struct batch){.pairs = corpus_has_pairs(c)};
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

int batch_draw_pairs(struct batch *b, struct corpus *c, int source, int64_t *pair, int64_t tokens,
                     struct arena *memory, struct mk_error *err)
{
    struct corpus_fragment f[2];
    int32_t room = 0;

    *b = (struct batch){.pairs = true};
    for (; *pair < corpus_n_pairs(c, source) && b->n_tokens < tokens; ++*pair) {
        if (!corpus_pair(c, source, *pair, f))
            continue;
        if (reserve(b, 2, &room, memory, err))
            return err->code;
        for (int i = 0; i < 2; i++) {
            if (add(b, &f[i], source, true, memory, err))
                return err->code;
            b->origins[b->n_seqs - 1].pair = *pair;
        }
    }
    return 0;
}

double batch_loss(const struct batch *b, int32_t i, int64_t *n)
{
    const struct train_seq *s = &b->seqs[i];
    double sum = 0;

    if (b->pairs) {
        *n = i % 2 == 0;
        return b->origins[i].loss;
    }
    *n = b->origins[i].n_targets;
    for (int32_t j = 0; j < s->n_ids; j++)
        sum += (double)s->loss[j];
    return sum;
}

void batch_count(const struct batch *b, struct corpus *c)
{
    for (int32_t i = 0; i < b->n_seqs; i++) {
        int64_t n;
        double sum = batch_loss(b, i, &n);

        mixture_count(corpus_mixture(c), b->origins[i].source, b->seqs[i].n_ids, sum, n);
    }
}

/* Sequences that stay together from `at` on. */
static int32_t unit_at(const struct batch *b, int32_t at)
{
    int32_t n = b->pairs ? 2 : 1;

    while (at + n < b->n_seqs && b->seqs[at + n].behind)
        n++;
    return n;
}

int32_t batch_cut(const struct batch *b, int32_t first, int64_t tokens)
{
    int32_t n = 0;
    int64_t sum = 0;

    while (first + n < b->n_seqs) {
        int32_t unit = unit_at(b, first + n);

        for (int32_t i = 0; i < unit; i++)
            sum += b->seqs[first + n + i].n_ids;
        if (n > 0 && sum > tokens)
            break;
        n += unit;
    }
    return n;
}
