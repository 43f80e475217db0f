/* texts.c: how probable a text is: perplexity and bits a byte.
 *
 * Windows as lm-evaluation-harness's (loglikelihood_rolling): every token is predicted once, those
 * of a window of w behind at most w others. The first of a document stands behind BOS, that of a
 * later window behind the token before it; the last window, of m tokens, behind the w - m + 1
 * before it, so that the model reads w ids there too. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "eval/job.h"
#include "eval/likelihood.h"
#include "formats/text_source.h"
#include "tokenizer/unicode.h"

#define USUAL_CONTEXT 2048

/* ---- Windows --------------------------------------------------------------------------------- */

/* How far the words of a document are counted. */
struct words {
    const struct text_document *d;
    size_t at;
    bool in_space;
};

/* Those up to `end`: what white space parts, the empty words at a text's ends among them, as the
 * harness's re.split(r"\s+", text). */
static int64_t count_words(struct words *w, size_t end)
{
    int64_t n = w->at == 0;

    while (w->at < end) {
        struct utf8_char c = utf8_at((const unsigned char *)w->d->text + w->at, w->d->n - w->at);
        bool is_space = unicode_is_space(c.code);

        n += is_space && !w->in_space;
        w->in_space = is_space;
        w->at += (size_t)c.n;
    }
    return n;
}

static int add_window(struct job *j, const struct window *w, struct mk_error *err)
{
    if (!(j->n & (j->n - 1))) { /* 0 or a power of two: the room is used up */
        struct window *grown = realloc(j->windows, (size_t)(j->n ? 2 * j->n : 1) * sizeof *grown);

        if (!grown)
            return mk_error_memory(err, (size_t)j->n * sizeof *grown);
        j->windows = grown;
    }
    j->windows[j->n++] = *w;
    return 0;
}

/* Bytes belong to the window in which their token is; what normalisation changed, to the last. */
static int cut(struct job *j, const struct text_document *d, size_t begin, struct mk_error *err)
{
    size_t at = 0, end = j->text_ids.n, max = (size_t)j->max_tokens;
    struct words words = {.d = d};

    for (size_t i = begin; i < end; i += max) {
        struct window w = {.document = j->n_all, .begin = i, .first = i == begin};
        size_t from = at;

        w.end = end - i < max ? end : i + max;
        w.context = w.first ? i : w.end - max - 1;
        for (size_t k = i; k < w.end; k++) {
            size_t n;

            tokenizer_bytes(j->m->tokenizer, j->text_ids.data[k], true, &n);
            at += n;
        }
        at = w.end == end || at > d->n ? d->n : at;
        w.n_bytes = (int64_t)(at - from);
        w.n_words = count_words(&words, at);
        if (add_window(j, &w, err))
            return err->code;
    }
    return 0;
}

static int read_documents(struct job *j, struct text_source *s, struct mk_error *err)
{
    struct text_document d;
    bool more = true;

    while (more && !(j->o->limit > 0 && j->n_all >= j->o->limit)) {
        size_t begin = j->text_ids.n;

        if (text_source_next(s, &d, &more, err))
            return err->code;
        if (!more)
            break;
        if (!d.text)
            return mk_error_set(err, MK_EFORMAT, "%s: line %lld: a conversation, not a text",
                                d.path, (long long)d.line);
        if (tokenizer_encode(j->m->tokenizer, d.text, d.n, false, &j->text_ids, err) ||
            cut(j, &d, begin, err))
            return err->code;
        j->n_all++;
    }
    return 0;
}

int texts_read(struct job *j, struct mk_error *err)
{
    struct text_source_options o = text_source_defaults();
    int32_t max = j->m->model.arch.max_context;
    struct text_source *s;
    int rc;

    j->max_tokens = j->o->context ? j->o->context : USUAL_CONTEXT;
    j->max_tokens = max > 0 && max < j->max_tokens ? max : j->max_tokens;
    if (text_source_open(&s, j->suite->task, &o, err))
        return err->code;
    rc = read_documents(j, s, err);
    text_source_close(s);
    if (!rc && !j->n)
        rc = mk_error_set(err, MK_EFORMAT, "%s: no text in it", j->suite->task);
    return rc;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* As text: a text that has changed is not gone on with. */
static void hash_ids(const struct job *j, const struct window *w, char text[17])
{
    uint64_t h = HASH_BEGIN;

    for (size_t i = w->begin; i < w->end; i++)
        h = hash_add(h, (uint32_t)j->text_ids.data[i]);
    snprintf(text, 17, "%016llx", (unsigned long long)h);
}

bool texts_is_line_of(const struct job *j, int64_t id, const json_t *line)
{
    const char *hash = json_string_value(json_object_get(line, "ids"));
    char want[17];

    hash_ids(j, &j->windows[id], want);
    return hash && !strcmp(hash, want);
}

/* Of the window's ids, behind those before it. */
static int score_window(const struct job *j, const struct window *w, struct likelihood *l,
                        double *sum, struct mk_error *err)
{
    const struct arch *a = &j->m->model.arch;
    int32_t bos = a->bos_id >= 0 ? a->bos_id : a->n_eos_ids ? a->eos_ids[0] : 0;
    size_t n_before = w->first ? 1 : w->begin - w->context;
    size_t n = n_before + w->end - w->begin, n_text = w->end - w->context;
    int32_t *ids = malloc(n * sizeof *ids);
    int rc;

    if (!ids)
        return mk_error_memory(err, n * sizeof *ids);
    ids[0] = bos;
    memcpy(ids + n - n_text, j->text_ids.data + w->context, n_text * sizeof *ids);
    rc = likelihood_prompt(l, ids, n_before, err);
    rc = rc ? rc : likelihood_of(l, ids, n, n_before, sum, err);
    free(ids);
    return rc;
}

static int run_window(struct job *j, struct likelihood *l, int64_t at, struct mk_error *err)
{
    const struct window *w = &j->windows[at];
    size_t n = w->end - w->begin;
    char hash[17];
    double sum;

    if (score_window(j, w, l, &sum, err))
        return err->code;
    hash_ids(j, w, hash);
    return job_append(
        j, json_pack("{s:I, s:s, s:{s:f, s:I, s:I, s:I}}", "document", (json_int_t)w->document,
                     "ids", hash, "scores", "nll", -sum, "n_tokens", (json_int_t)n,
                     "n_bytes", (json_int_t)w->n_bytes, "n_words", (json_int_t)w->n_words), err);
}

int texts_run(struct job *j, struct mk_error *err)
{
    return job_score_each(j, j->max_tokens, run_window, err);
}

/* ---- Scores ---------------------------------------------------------------------------------- */

static void add_score(struct eval_result *r, const char *name, struct estimate e, double scale,
                      bool exponential)
{
    struct eval_score *s = &r->scores[r->n_scores++];

    snprintf(s->name, sizeof s->name, "%s", name);
    s->estimate = (struct estimate){e.value * scale, e.error * scale, e.n};
    if (exponential) {
        s->estimate.value = exp(e.value);
        s->estimate.error = exp(e.value) * e.error; /* the first term of its series */
    }
}

int texts_score(const struct job *j, struct eval_result *r, struct mk_error *err)
{
    const struct series *nll = score_find(&j->table, "nll");
    const struct series *n[3] = {score_find(&j->table, "n_tokens"),
                                 score_find(&j->table, "n_bytes"),
                                 score_find(&j->table, "n_words")};
    struct estimate e[3];

    for (int i = 0; i < 3; i++) {
        if (!nll || !n[i] || n[i]->n != nll->n)
            return mk_error_set(err, MK_EFORMAT, "%s: a line without its scores", j->records.path);
        e[i] = score_ratio(nll->values, n[i]->values, nll->n);
    }
    add_score(r, "perplexity", e[0], 1, true);
    add_score(r, "bits_per_byte", e[1], 1 / log(2), false);
    add_score(r, "byte_perplexity", e[1], 1, true);
    add_score(r, "word_perplexity", e[2], 1, true);
    return 0;
}
