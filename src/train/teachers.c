/* teachers.c: open and check them; their rows, from the file or from a pass. */
#include "train/teachers.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include <openssl/evp.h>

#include "formats/arch_digest.h"
#include "formats/model_file.h"
#include "train/batch.h"

#define CHUNK_VALUES ((int64_t)1 << 20) /* probabilities in memory together, about: 8 MB */
#define CHUNK_MAX 1024                  /* rows */

/* ---- Opening -------------------------------------------------------------------------------- */

/* Says which token differs first: that is more help than two digests. */
static int tell_difference(const struct vocab *own, const struct vocab *student, const char *path,
                           struct mk_error *err)
{
    int32_t n = own->n_tokens < student->n_tokens ? own->n_tokens : student->n_tokens, i = 0;

    while (i < n && own->texts[i].n == student->texts[i].n &&
           !memcmp(own->texts[i].data, student->texts[i].data, own->texts[i].n))
        i++;
    if (i < n)
        return mk_error_set(err, MK_EINVAL,
                            "%s: another tokenizer than the student's: token %d is '%.*s', the "
                            "student's is '%.*s': learn from its answers instead (minke sample)",
                            path, i, (int)(own->texts[i].n < 40 ? own->texts[i].n : 40),
                            own->texts[i].data,
                            (int)(student->texts[i].n < 40 ? student->texts[i].n : 40),
                            student->texts[i].data);
    return mk_error_set(err, MK_EINVAL,
                        "%s: another tokenizer than the student's: %d and %d tokens, merged or "
                        "split otherwise: learn from its answers instead (minke sample)",
                        path, own->n_tokens, student->n_tokens);
}

static int check_vocabulary(const struct model_file *file, const struct tokenizer *student,
                            const char *path, struct mk_error *err)
{
    unsigned char own[32], its[32];
    struct vocab v;
    bool there;
    int code;

    if (!student)
        return 0;
    if (model_file_vocab(file, &v, &there, err))
        return err->code;
    if (!there)
        return mk_error_set(err, MK_EINVAL,
                            "%s: a teacher without a tokenizer: nobody knows what its tokens are",
                            path);
    code = vocab_fingerprint(&v, own, err);
    if (!code)
        code = vocab_fingerprint(tokenizer_vocab(student), its, err);
    if (!code && memcmp(own, its, sizeof own) != 0)
        code = tell_difference(&v, tokenizer_vocab(student), path, err);
    vocab_release(&v);
    return code;
}

/* Everything that its numbers follow from but the machine's arithmetic. */
static bool digest_tensors(EVP_MD_CTX *c, const struct model_file *file)
{
    const struct tensors *t = &file->gguf.tensors;
    bool fine = arch_digest(c, &file->arch);

    for (int64_t i = 0; fine && i < t->n_items; i++)
        fine = EVP_DigestUpdate(c, t->items[i].name, strlen(t->items[i].name) + 1) &&
               EVP_DigestUpdate(c, &t->items[i].dtype, sizeof t->items[i].dtype) &&
               EVP_DigestUpdate(c, t->items[i].data, t->items[i].bytes);
    return fine;
}

static int open_one(struct teachers *t, const struct teachers_options *o, int32_t i, EVP_MD_CTX *c,
                    struct mk_error *err)
{
    struct model_options mo = {.mla = o->mla};
    struct model *m = &t->models[i];
    struct model_file file;
    int code;

    if (model_file_open(&file, o->paths[i], err))
        return err->code;
    code = check_vocabulary(&file, o->vocabulary, o->paths[i], err);
    if (!code)
        code = model_load(m, &file.arch, &file.gguf.tensors, file.is_gguf ? NAME_GGUF : NAME_HF,
                          &mo, err);
    if (!code) {
        t->n_loaded++;
        t->n_vocab = m->arch.n_vocab < t->n_vocab ? m->arch.n_vocab : t->n_vocab;
        if (c && !(EVP_DigestUpdate(c, &t->weights[i], sizeof t->weights[i]) &&
                   digest_tensors(c, &file)))
            code = mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    }
    model_file_release(&file);
    return code;
}

static int open_cache(struct teachers *t, const struct teachers_options *o, EVP_MD_CTX *c,
                      struct mk_error *err)
{
    struct rows_file_key key = {.k = t->top_k};
    const int32_t how[] = {t->n_vocab, (int32_t)o->mla, t->c->matmul_as_is != NULL};

    if (!(EVP_DigestUpdate(c, &t->temperature, sizeof t->temperature) &&
          EVP_DigestUpdate(c, how, sizeof how) &&
          EVP_DigestUpdate(c, t->c->k->name, strlen(t->c->k->name) + 1) &&
          EVP_DigestFinal_ex(c, key.teachers, NULL)))
        return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    return rows_file_open(&t->cache, o->cache, &key, err);
}

static int open_all(struct teachers *t, const struct teachers_options *o, struct mk_error *err)
{
    bool kept = o->cache && o->top_k > 0 && o->top_k < o->n_vocab;
    EVP_MD_CTX *c = kept ? EVP_MD_CTX_new() : NULL;
    double sum = 0;
    int code = 0;

    if (kept && (!c || !EVP_DigestInit_ex(c, EVP_sha256(), NULL)))
        code = mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    for (int32_t i = 0; i < o->n; i++)
        sum += o->weights[i];
    for (int32_t i = 0; i < o->n && !code; i++) {
        t->weights[i] = o->weights[i] / sum;
        code = open_one(t, o, i, c, err);
    }
    t->top_k = o->top_k > 0 && o->top_k < t->n_vocab ? o->top_k : t->n_vocab;
    if (!code && kept)
        code = open_cache(t, o, c, err);
    EVP_MD_CTX_free(c);
    return code;
}

int teachers_open(struct teachers *t, const struct teachers_options *o, struct compute *c,
                  struct mk_error *err)
{
    *t = (struct teachers){.n = o->n,
                           .n_vocab = o->n_vocab,
                           .temperature = o->temperature,
                           .pass_tokens = o->pass_tokens,
                           .c = c};
    arena_init(&t->memory, SIZE_MAX / 4);
    if (open_all(t, o, err)) {
        teachers_release(t);
        return err->code;
    }
    return 0;
}

void teachers_release(struct teachers *t)
{
    for (int32_t i = 0; i < t->n_loaded; i++)
        model_release(&t->models[i]);
    rows_file_close(t->cache);
    arena_release(&t->memory);
    memset(t, 0, sizeof *t);
}

/* Rows of the batch; of a pass what a block's parts leave behind, in values a token; a chunk here
 * and one in head_loss.c. */
uint64_t teachers_need(const struct teachers *t, int32_t longest, int64_t n_batch)
{
    uint64_t tokens = (uint64_t)n_batch * (uint64_t)longest;
    uint64_t pass = (uint64_t)(t->pass_tokens > longest ? t->pass_tokens : longest), most = 0;
    uint64_t v = (uint64_t)t->n_vocab;

    pass = pass < tokens ? pass : tokens;
    for (int32_t i = 0; i < t->n; i++) {
        const struct arch *a = &t->models[i].arch;
        uint64_t wide = (uint64_t)(a->d_ff > a->d_expert * (a->n_experts_used + a->n_shared_experts)
                                       ? a->d_ff
                                       : a->d_expert * (a->n_experts_used + a->n_shared_experts));
        uint64_t values = 16 * (uint64_t)a->d_model + 3 * wide +
                          4 * (uint64_t)a->n_heads * (uint64_t)(a->head_dim + a->v_head_dim);

        most = values * (uint64_t)a->n_layers > most ? values * (uint64_t)a->n_layers : most;
    }
    return tokens * (uint64_t)t->top_k * 8 + pass * most * sizeof(float) + ((uint64_t)24 << 20) +
           v * 16 * (uint64_t)exec_n_threads(t->c->ex);
}

/* ---- Rows of a sequence --------------------------------------------------------------------- */

/* A sequence's rows, in storage that outlives the pass. */
struct seq_rows {
    struct train_seq *seq;
    struct rows rows; /* ids NULL: all tokens in order */
    unsigned char text[ROWS_TEXT_BYTES];
};

static int take_rows(const struct teachers *t, struct seq_rows *s, struct arena *memory,
                     struct mk_error *err)
{
    bool all = t->top_k == t->n_vocab;
    struct teacher_rows *out;
    size_t n, k = (size_t)t->top_k;

    s->rows = (struct rows){0};
    for (int32_t i = 0; i < s->seq->n_ids; i++)
        s->rows.n += s->seq->targets[i] >= 0;
    n = (size_t)s->rows.n;
    if (arena_take(memory, &out, 1, sizeof *out, err) ||
        arena_take(memory, &s->rows.logp, n * k, sizeof *s->rows.logp, err) ||
        (!all && (arena_take(memory, &s->rows.ids, n * k, sizeof *s->rows.ids, err) ||
                  arena_take(memory, &s->rows.rest, n, sizeof *s->rows.rest, err))))
        return err->code;
    *out = (struct teacher_rows){
        .k = t->top_k, .ids = s->rows.ids, .logp = s->rows.logp, .rest = s->rows.rest};
    s->seq->teacher = out;
    return 0;
}

/* The ids, and which of them are learned. */
static int name_text(struct seq_rows *s, struct mk_error *err)
{
    unsigned char whole[EVP_MAX_MD_SIZE];
    const struct train_seq *q = s->seq;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool fine = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) &&
                EVP_DigestUpdate(c, &q->n_ids, sizeof q->n_ids) &&
                EVP_DigestUpdate(c, q->ids, (size_t)q->n_ids * sizeof *q->ids);

    for (int32_t i = 0; fine && i < q->n_ids; i++) {
        unsigned char learned = q->targets[i] >= 0;

        fine = EVP_DigestUpdate(c, &learned, 1);
    }
    fine = fine && EVP_DigestFinal_ex(c, whole, NULL);
    EVP_MD_CTX_free(c);
    if (!fine)
        return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    memcpy(s->text, whole, sizeof s->text);
    return 0;
}

/* Whether the file has them. */
static int read_rows(struct teachers *t, struct seq_rows *s, bool *found, struct mk_error *err)
{
    *found = s->rows.n == 0;
    if (*found || !t->cache)
        return 0;
    if (name_text(s, err) || rows_file_find(t->cache, s->text, &s->rows, found, err))
        return err->code;
    for (int64_t i = 0; *found && i < (int64_t)s->rows.n * t->top_k; i++)
        if (s->rows.ids[i] < 0 || s->rows.ids[i] >= t->n_vocab)
            *found = false;
    if (*found)
        t->n_read += s->rows.n;
    return 0;
}

/* ---- A pass of the teachers ----------------------------------------------------------------- */

/* Rows that are looked at together. */
struct chunk {
    struct teachers *t;
    int32_t n, room, teacher;
    int64_t *hidden_row;       /* [n] of the pass */
    struct seq_rows **seq;     /* [n] where a row belongs */
    int32_t *row;              /* [n] its number there */
    float *x, *logits;         /* [room, d], [room, v] of one teacher */
    double *p;                 /* [room, n_vocab] of all teachers so far */
};

static int forward(struct teachers *t, int32_t teacher, struct seq_rows *const *seqs, int32_t n,
                   float *hidden, struct mk_error *err)
{
    const struct model *m = &t->models[teacher];
    int64_t d = m->arch.d_model, bytes, row = 0;
    int32_t layers = model_cache_layers(m);
    struct forward_seq *f;

    if (arena_take(&t->memory, &f, (size_t)n, sizeof *f, err))
        return err->code;
    for (int32_t i = 0; i < n; i++) {
        const struct train_seq *q = seqs[i]->seq;
        unsigned char **kv, *data;

        bytes = q->n_ids * kv_row_bytes(MK_F32, model_row_dim(m));
        if (arena_take(&t->memory, &kv, (size_t)layers, sizeof *kv, err) ||
            arena_take(&t->memory, &data, (size_t)bytes, 1, err))
            return err->code;
        for (int32_t l = 0; l < layers; l++)
            kv[l] = data; /* a sequence starts anew: all layers use the same memory */
        f[i] = (struct forward_seq){.ids = q->ids,
                                    .n_ids = q->n_ids,
                                    .kv = kv,
                                    .keep_all = true,
                                    .hidden = hidden + row * d};
        row += q->n_ids;
    }
    return model_forward(m, t->c, &t->memory, MK_F32, f, n, NULL, err);
}

/* p += weight * softmax(logits / temperature) */
static void add_softmax(void *context, int64_t row, int worker)
{
    const struct chunk *c = context;
    const struct teachers *t = c->t;
    const float *z = c->logits + row * t->models[c->teacher].arch.n_vocab;
    double *p = c->p + row * t->n_vocab, most = (double)z[0], sum = 0;

    (void)worker;
    for (int32_t i = 1; i < t->n_vocab; i++)
        most = fmax(most, (double)z[i]);
    for (int32_t i = 0; i < t->n_vocab; i++)
        sum += exp(((double)z[i] - most) / t->temperature);
    for (int32_t i = 0; i < t->n_vocab; i++)
        p[i] += t->weights[c->teacher] * exp(((double)z[i] - most) / t->temperature) / sum;
}

static float log_of(double p)
{
    return (float)log(fmax(p, DBL_MIN));
}

/* The k most probable tokens, of equals the lower id first. */
static void pick(void *context, int64_t row, int worker)
{
    const struct chunk *c = context;
    const struct teachers *t = c->t;
    const struct rows *r = &c->seq[row]->rows;
    const double *p = c->p + row * t->n_vocab;
    int64_t first = (int64_t)c->row[row] * t->top_k;
    int32_t *ids = r->ids ? r->ids + first : NULL, n = 0;
    float *logp = r->logp + first;
    double rest = 0;

    (void)worker;
    for (int32_t i = 0; !ids && i < t->n_vocab; i++)
        logp[i] = log_of(p[i]);
    for (int32_t i = 0; ids && i < t->n_vocab; i++) {
        int32_t at = n;

        if (n == t->top_k && p[i] <= p[ids[n - 1]])
            continue;
        for (at = n < t->top_k ? n++ : n - 1; at > 0 && p[ids[at - 1]] < p[i]; at--)
            ids[at] = ids[at - 1];
        ids[at] = i;
    }
    if (!ids)
        return;
    for (int32_t e = 0; e < n; e++)
        logp[e] = log_of(p[ids[e]]);
    for (int32_t i = 0; i < t->n_vocab; i++) {
        bool listed = p[i] >= p[ids[n - 1]];

        for (int32_t e = 0; listed && e < n && ids[e] != i; e++)
            listed = e + 1 < n;
        rest += listed ? 0 : p[i];
    }
    r->rest[c->row[row]] = log_of(rest);
}

/* hidden [n_teachers] of [t, d] each. */
static int finish_chunk(struct chunk *c, float *const *hidden, struct mk_error *err)
{
    struct teachers *t = c->t;

    memset(c->p, 0, (size_t)c->n * (size_t)t->n_vocab * sizeof *c->p);
    for (c->teacher = 0; c->teacher < t->n; c->teacher++) {
        const struct model *m = &t->models[c->teacher];
        int64_t d = m->arch.d_model;
        struct matmul_job job = {&m->head, NULL, c->x, d, c->n, c->logits, m->arch.n_vocab};

        for (int32_t i = 0; i < c->n; i++)
            memcpy(c->x + i * d, hidden[c->teacher] + c->hidden_row[i] * d,
                   (size_t)d * sizeof *c->x);
        if (t->c->k->matmul(t->c, &job, 1, err))
            return err->code;
        exec_run(t->c->ex, c->n, add_softmax, c);
    }
    for (int32_t i = 0; i < c->n; i++)
        if (isnan(c->p[(int64_t)i * t->n_vocab])) /* then all of the row are */
            return mk_error_set(err, MK_EFORMAT,
                                "distill.teachers: a probability is not a number: minke run "
                                "TEACHER --check-tensors says which weight is none");
    exec_run(t->c->ex, c->n, pick, c);
    t->n_computed += c->n;
    return 0;
}

static int take_chunk(struct teachers *t, struct chunk *c, struct mk_error *err)
{
    struct arena *m = &t->memory;
    size_t n, d = 0, v = 0;

    for (int32_t i = 0; i < t->n; i++) {
        const struct arch *a = &t->models[i].arch;

        d = (size_t)a->d_model > d ? (size_t)a->d_model : d;
        v = (size_t)a->n_vocab > v ? (size_t)a->n_vocab : v;
    }
    c->t = t;
    c->room = (int32_t)(CHUNK_VALUES / (int64_t)v);
    c->room = c->room < 16 ? 16 : c->room > CHUNK_MAX ? CHUNK_MAX : c->room;
    n = (size_t)c->room;
    if (arena_take(m, &c->hidden_row, n, sizeof *c->hidden_row, err) ||
        arena_take(m, &c->seq, n, sizeof *c->seq, err) ||
        arena_take(m, &c->row, n, sizeof *c->row, err) ||
        arena_take(m, &c->x, n * d, sizeof *c->x, err) ||
        arena_take(m, &c->logits, n * v, sizeof *c->logits, err) ||
        arena_take(m, &c->p, n * (size_t)t->n_vocab, sizeof *c->p, err))
        return err->code;
    return 0;
}

/* Every target of the sequences, a chunk at a time. */
static int finish_rows(struct teachers *t, struct seq_rows *const *seqs, int32_t n,
                       float *const *hidden, struct mk_error *err)
{
    struct chunk c = {0};
    int64_t row = 0;

    if (take_chunk(t, &c, err))
        return err->code;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0, at = 0; j < seqs[i]->seq->n_ids; j++, row++) {
            if (seqs[i]->seq->targets[j] < 0)
                continue;
            c.hidden_row[c.n] = row;
            c.seq[c.n] = seqs[i];
            c.row[c.n++] = at++;
            if (c.n == c.room) {
                if (finish_chunk(&c, hidden, err))
                    return err->code;
                c.n = 0;
            }
        }
    return c.n ? finish_chunk(&c, hidden, err) : 0;
}

/* Sequences that go through the teachers together. */
static int compute(struct teachers *t, struct seq_rows *const *seqs, int32_t n,
                   struct mk_error *err)
{
    float *hidden[TEACHERS_MAX];
    int64_t n_rows = 0;

    arena_reset(&t->memory);
    for (int32_t i = 0; i < n; i++)
        n_rows += seqs[i]->seq->n_ids;
    for (int32_t i = 0; i < t->n; i++)
        if (arena_take(&t->memory, &hidden[i], (size_t)(n_rows * t->models[i].arch.d_model),
                       sizeof **hidden, err))
            return err->code;
    for (int32_t i = 0; i < t->n; i++) {
        struct arena_mark mark = arena_mark(&t->memory);

        if (forward(t, i, seqs, n, hidden[i], err))
            return err->code;
        arena_rewind(&t->memory, mark);
    }
    if (finish_rows(t, seqs, n, hidden, err))
        return err->code;
    for (int32_t i = 0; t->cache && i < n; i++)
        if (rows_file_add(t->cache, seqs[i]->text, &seqs[i]->rows, err))
            return err->code;
    return 0;
}

int teachers_grade(struct teachers *t, struct train_seq *seqs, int32_t n_seqs,
                   struct arena *memory, struct mk_error *err)
{
    struct seq_rows *all, **missing;
    int32_t n = 0;

    if (arena_take(memory, &all, (size_t)n_seqs, sizeof *all, err) ||
        arena_take(memory, &missing, (size_t)n_seqs, sizeof *missing, err))
        return err->code;
    for (int32_t i = 0; i < n_seqs; i++) {
        bool found;

        all[i].seq = &seqs[i];
        if (take_rows(t, &all[i], memory, err) || read_rows(t, &all[i], &found, err))
            return err->code;
        if (!found)
            missing[n++] = &all[i];
    }
    for (int32_t i = 0, cut; i < n; i += cut) {
        int64_t tokens = 0;

        for (cut = 0; i + cut < n; cut++) {
            tokens += missing[i + cut]->seq->n_ids;
            if (cut && tokens > t->pass_tokens)
                break;
        }
        if (compute(t, missing + i, cut, err))
            return err->code;
    }
    return 0;
}
