/* contamination.c: see contamination.h. */
#include "eval/contamination.h"

#include <stdlib.h>
#include <string.h>

#include "base/map_file.h"

#define MAX_BYTES ((size_t)1 << 32)

static int add_questions(struct overlap *overlap, struct mk_model *m, const struct suite *s,
                         const struct eval_options *o, struct mk_error *err)
{
    struct job j;
    int rc = job_draw(&j, m, s, o, err);

    if (rc)
        return rc;
    for (int64_t i = 0; !rc && i < j.n && j.task; i++)
        rc = overlap_add(overlap, j.asked[i].item.question, strlen(j.asked[i].item.question), err);
    job_close(&j);
    return rc;
}

int contamination_look(struct overlap **out, struct mk_model *m, const struct suites *suites,
                       const struct eval_options *o, struct mk_error *err)
{
    int rc = overlap_create(out, err);

    for (int32_t i = 0; !rc && i < suites->n; i++)
        rc = add_questions(*out, m, &suites->items[i], o, err);
    for (int32_t i = 0; !rc && i < o->n_texts; i++)
        rc = overlap_read(*out, o->texts[i], i, m->tokenizer, o->stop, o->user, err);
    if (rc) {
        overlap_free(*out);
        *out = NULL;
    }
    return rc;
}

static int write_line(struct buf *out, const struct job *j, int64_t i,
                      const struct overlap_verdict *v, struct mk_error *err)
{
    json_t *line = json_pack("{s:I, s:o, s:s}", "id", (json_int_t)i, "words",
                             records_text(j->asked[i].item.question + v->begin,
                                          v->end - v->begin),
                             "source", j->o->texts[v->source]);
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    int rc = text ? buf_append_string(out, text, err) : mk_error_memory(err, 4096);

    json_decref(line);
    free(text);
    return rc ? rc : buf_append_string(out, "\n", err);
}

static int write_lines(const struct job *j, const struct buf *lines, struct mk_error *err)
{
    char *path;
    int rc;

    if (asprintf(&path, "%s/%s.overlap.jsonl", j->o->out, j->suite->name) < 0)
        return mk_error_memory(err, strlen(j->o->out));
    rc = write_file(path, lines->n ? lines->data : "", lines->n, err);
    free(path);
    return rc;
}

int contamination_judge(const struct overlap *overlap, const struct job *j, struct eval_result *r,
                        struct mk_error *err)
{
    const struct series *first = &j->table.series[0];
    double *clean = malloc((size_t)j->n * sizeof *clean);
    struct buf lines;
    int64_t n = 0;
    int rc = clean ? 0 : mk_error_memory(err, (size_t)j->n * sizeof *clean);

    buf_init(&lines, MAX_BYTES);
    r->overlap = (struct eval_overlap){.looked = true};
    for (int64_t i = 0; !rc && i < j->n; i++) {
        const char *question = j->asked[i].item.question;
        struct overlap_verdict v = overlap_of(overlap, question, strlen(question));

        r->overlap.n_judged += v.judged;
        r->overlap.n_found += v.found;
        if (v.found)
            rc = write_line(&lines, j, i, &v, err);
        else
            clean[n++] = first->values[i];
    }
    if (!rc) {
        memcpy(r->overlap.clean.name, first->name, sizeof first->name);
        r->overlap.clean.estimate = score_mean(clean, n);
        rc = write_lines(j, &lines, err);
    }
    free(clean);
    buf_release(&lines);
    return rc;
}
