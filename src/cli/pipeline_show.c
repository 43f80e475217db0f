/* pipeline_show.c: which stages are done, which one is at work, which are still to come. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/chat_screen.h"
#include "cli/pipeline.h"

/* What a stage goes on from: "cold-start", "../base"; "" when it begins anew. */
static const char *from_of(const struct pipeline_stage *s)
{
    const char *from = s->recipe.model.from;

    return s->kind == STAGE_CORPUS ? "" : !strncmp(from, "stage:", 6) ? from + 6 : from;
}

static void print_stage(FILE *out, const char *state, const struct pipeline_stage *s,
                        const char *text, bool bright)
{
    fprintf(out, "%s  %-5s %-16s %-*s%.44s%s\n", bright ? "\033[1m" : "", state, s->name,
            *text ? 10 : 0, stage_kind_name(s->kind), text, bright ? "\033[0m" : "");
}

void pipeline_show(const struct pipeline_run *run, const struct pipeline_stage *now)
{
    const struct pipeline *p = &run->pipeline;
    bool colour = chat_screen_has_ansi(stderr);

    if (run->quiet)
        return;
    fprintf(stderr, "%s: %d of %d stages done\n", p->out, run->n_done, p->n);
    for (int32_t i = 0; i < p->n; i++) {
        const struct pipeline_stage *s = &p->stages[i];
        char result[RUN_PATH] = "";
        struct mk_error err;
        bool done = false;

        if (i < run->n_done)
            pipeline_folder_result(&run->folder, s->name, &done, result, &err);
        if (i < run->n_done)
            print_stage(stderr, "done", s, result + strlen(run->folder.path) + 1, false);
        else if (s == now)
            print_stage(stderr, "now", s, "", colour);
        else
            print_stage(stderr, "next", s, from_of(s), false);
    }
}

static int print_recipe(const struct pipeline_stage *s, struct mk_error *err)
{
    struct buf b;
    int code;

    buf_init(&b, (size_t)1 << 22);
    code = recipe_write(&s->recipe, &b, err);
    if (!code)
        printf("---\n# stage %s, of kind %s\n%.*s", s->name, stage_kind_name(s->kind), (int)b.n,
               (const char *)b.data);
    buf_release(&b);
    return code;
}

int pipeline_plan(const struct pipeline_run *run, struct mk_error *err)
{
    const struct pipeline *p = &run->pipeline;

    printf("# %s: %d stages\n", p->out, p->n);
    for (int32_t i = 0; i < p->n; i++)
        print_stage(stdout, "#", &p->stages[i], from_of(&p->stages[i]), false);
    for (int32_t i = 0; i < p->n; i++)
        if (print_recipe(&p->stages[i], err))
            return err->code;
    return 0;
}
