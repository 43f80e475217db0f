/* data_recipe.c: `minke data build RECIPE.yaml`: the data of a run before the run. */
#include <stdio.h>
#include <string.h>

#include "cli/data.h"
#include "cli/train_run.h"

struct job {
    const struct data_recipe *d;
    char folder[RUN_PATH]; /* of the run */
    int32_t n_built; /* sources */
    struct mk_error err; /* of a report that could not be written; code 0: none */
};

static void tell(void *user, const char *text)
{
    const struct job *j = user;

    if (!j->d->quiet && !j->d->json)
        fprintf(stderr, "%s\n", text);
}

static void built(void *user, const char *name, const struct data_build_report *r)
{
    struct job *j = user;
    char dir[RUN_PATH + 300];

    j->n_built++;
    snprintf(dir, sizeof dir, "%s/data/%s", j->folder, name);
    if (j->d->json)
        data_report_json(r, dir, name, &j->err);
    else if (!j->d->quiet)
        data_report_print(stdout, r, dir, name);
}

/* The run's folder is made and held, as minke train would. */
static int run_of(struct job *j, const struct recipe *r, const char *base, struct mk_error *err)
{
    struct prepared p = {.say = tell, .built = built, .user = j};
    struct run_folder folder;
    struct compute c = {0};
    int code;

    if (train_open_folder(&folder, r, j->folder, "minke data build", true, err))
        return err->code;
    code = compute_init(&c, NULL, j->d->threads ? j->d->threads : (int)r->threads, err);
    if (!code) {
        code = prepare_data(&p, r, base, folder.path, c.ex, err);
        compute_release(&c);
    }
    if (!code)
        prepared_release(&p);
    run_folder_close(&folder);
    if (!code && j->err.code)
        *err = j->err;
    return code ? code : j->err.code;
}

int data_build_recipe(const struct data_recipe *d, const char *path, struct mk_error *err)
{
    struct job j = {.d = d};
    struct train_recipe t;
    int code;

    if (train_read_recipe(&t, path, d->sets, j.folder, err))
        return err->code;
    if (t.r.data.n_sources < 1)
        code = mk_error_set(err, MK_EINVAL, "%s: has no data.sources: nothing is tokenised for it",
                            path);
    else
        code = run_of(&j, &t.r, t.base, err);
    if (!code && !j.n_built && !d->quiet && !d->json)
        fprintf(stderr, "nothing is left to build: all shards are in %s/data or were given\n",
                j.folder);
    train_recipe_release(&t);
    return code;
}
