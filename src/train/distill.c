/* distill.c: see distill.h. */
#include "train/distill.h"

#include "base/folder.h"

#define PATH 4096

struct distill_options distill_options_of(const struct recipe *r)
{
    return (struct distill_options){
        .divergence = {.kind = (enum divergence_kind)r->distill.kl,
                       .beta = r->distill.beta,
                       .temperature = r->distill.temperature},
        .weight = r->distill.weight};
}

/* The file's path; its folder is there then. */
static int cache_path(char out[PATH], const struct recipe *r, const struct distill_place *place,
                      struct mk_error *err)
{
    char folder[PATH];

    if (*r->distill.cache)
        return folder_join(out, PATH, place->base, r->distill.cache, err);
    if (folder_join(folder, PATH, place->run, "data", err) || folder_make(folder, err))
        return err->code;
    return folder_join(out, PATH, folder, "teachers.rows", err);
}

int distill_open(struct teachers *t, const struct recipe *r, const struct distill_place *place,
                 const struct tokenizer *vocabulary, int32_t n_vocab, struct compute *c,
                 struct mk_error *err)
{
    struct teachers_options o = {.n = r->distill.n_teachers,
                                 .temperature = r->distill.temperature,
                                 .top_k = (int32_t)r->distill.top_k,
                                 .pass_tokens = r->train.pass_tokens,
                                 .n_vocab = n_vocab,
                                 .mla = MK_MLA_EXPANDED,
                                 .vocabulary = vocabulary};
    char paths[TEACHERS_MAX][PATH], cache[PATH];

    if (o.n == 0)
        return 0;
    for (int32_t i = 0; i < o.n; i++) {
        if (folder_join(paths[i], PATH, place->base, r->distill.teachers[i].path, err))
            return err->code;
        o.paths[i] = paths[i];
        o.weights[i] = r->distill.teachers[i].weight;
    }
    if (place->run && cache_path(cache, r, place, err))
        return err->code;
    o.cache = place->run ? cache : NULL;
    if (!vocabulary)
        return mk_error_set(err, MK_EINVAL,
                            "distill.teachers: the run has no tokenizer to compare with theirs: "
                            "name one in tokenizer.path");
    return teachers_open(t, &o, c, err) ? mk_error_wrap(err, "distill.teachers") : 0;
}
