/* grad.c: minke grad: the loss of a text and its gradient with respect to every weight. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/model_options.h"
#include "hub/hub.h"
#include "train/grad.h"
#include "train/pass.h"

struct grad {
    const char *model, *ids_file, *out, *cpu;
    int32_t threads, keep_mb;
    float mtp_weight;
    int mla; /* 0 expanded, 1 absorbed */
    bool mtp, json;
};

/* Everything that lives while one text is differentiated. */
struct work {
    struct params params;
    struct model model;
    struct compute compute;
    struct arena memory;
    int32_t *ids, *targets;
    size_t n;
};

static void work_release(struct work *w)
{
    arena_release(&w->memory);
    compute_release(&w->compute);
    model_release(&w->model);
    params_release(&w->params);
    free(w->ids);
    free(w->targets);
}

static int open_params(struct work *w, const struct grad *g, struct mk_error *err)
{
    struct model_file file;
    char *path;
    int code;

    if (hub_resolve(g->model, &path, err))
        return err->code;
    code = model_file_open(&file, path, err);
    free(path);
    if (code)
        return code;
    code = params_read(&w->params, &file, g->mtp, err);
    model_file_release(&file);
    if (!code && g->mtp && w->params.arch.n_mtp == 0)
        code = mk_error_set(err, MK_EINVAL, "%s has no multi-token-prediction blocks", g->model);
    return code ? code : params_take_gradients(&w->params, err);
}

static int read_tokens(struct work *w, const char *path, struct mk_error *err)
{
    if (read_ids(path, &w->ids, &w->n, err))
        return err->code;
    if (w->n < 2)
        return mk_error_set(err, MK_EINVAL, "%s: a loss needs at least two tokens", path);
    w->targets = malloc(w->n * sizeof *w->targets);
    if (!w->targets)
        return mk_error_memory(err, w->n * sizeof *w->targets);
    memcpy(w->targets, w->ids + 1, (w->n - 1) * sizeof *w->ids);
    w->targets[w->n - 1] = -1;
    return 0;
}

static int differentiate(struct work *w, const struct grad *g, struct pass_result *r,
                         struct mk_error *err)
{
    struct model_options mo = {.mla = g->mla ? MK_MLA_ABSORBED : MK_MLA_EXPANDED,
                               .with_mtp = g->mtp};
    struct pass_options o = {.scale = 1 / (double)(w->n - 1),
                             .mtp_weight = g->mtp ? (double)g->mtp_weight : 0,
                             .keep_bytes = (uint64_t)g->keep_mb << 20};
    struct train_seq seq = {.ids = w->ids, .targets = w->targets, .n_ids = (int32_t)w->n};

    if (params_pack(&w->params, &w->model, &mo, err) ||
        pass_run(&w->model, &w->params, &w->compute, &w->memory, &seq, 1, &o, r, err))
        return err->code;
    params_join(&w->params);
    return 0;
}

static void report(const struct work *w, const struct grad *g, const struct pass_result *r)
{
    double n = (double)(w->n - 1);

    if (g->json) {
        printf("{\"tokens\":%zu,\"loss\":%.9g", w->n, r->loss / n);
        for (int32_t i = 0; i < w->params.arch.n_mtp; i++)
            printf("%s%.9g%s", i ? "," : ",\"mtp_loss\":[", r->mtp_loss[i] / n,
                   i + 1 == w->params.arch.n_mtp ? "]" : "");
        printf("}\n");
        return;
    }
    printf("tokens  %zu\nloss    %.6f nats a token\n", w->n, r->loss / n);
    for (int32_t i = 0; i < w->params.arch.n_mtp; i++)
        printf("MTP %d   %.6f\n", i + 1, r->mtp_loss[i] / n);
}

static int run(const struct grad *g, struct mk_error *err)
{
    struct work w = {0};
    struct pass_result r = {0};
    double loss;
    int code;

    arena_init(&w.memory, SIZE_MAX / 4);
    code = read_tokens(&w, g->ids_file, err);
    if (!code)
        code = compute_init(&w.compute, g->cpu, g->threads, err);
    if (!code)
        code = open_params(&w, g, err);
    if (!code)
        code = differentiate(&w, g, &r, err);
    loss = r.loss / (double)(w.n > 1 ? w.n - 1 : 1);
    if (!code)
        code = grad_write(&w.params, loss, g->out, err);
    if (!code)
        report(&w, g, &r);
    work_release(&w);
    return code;
}

int cmd_grad(int argc, char **argv)
{
    struct grad g = {.keep_mb = 1024, .mtp_weight = 0.3f};
    const struct cli_option options[] = {
        {"ids-file", 0, CLI_STRING, &g.ids_file, "F", "token ids; - is stdin", 0, 0, NULL},
        {"out", 0, CLI_STRING, &g.out, "G.safetensors", "where the gradients go", 0, 0, NULL},
        {"mtp", 0, CLI_FLAG, &g.mtp, NULL, "with the multi-token-prediction blocks", 0, 0, NULL},
        {"mtp-weight", 0, CLI_FLOAT, &g.mtp_weight, "X", "of their losses (0.3)", 0, 100, NULL},
        {"mla", 0, CLI_CHOICE, &g.mla, "FORM", "of latent attention", 0, 0,
         "expanded|absorbed"},
        {"keep", 0, CLI_I32, &g.keep_mb, "MB", "kept of the forward pass (1024)", 0, 1 << 24, NULL},
        {"threads", 0, CLI_I32, &g.threads, "N", "threads that compute (one a core)", 1, 256, NULL},
        {"cpu", 0, CLI_STRING, &g.cpu, "NAME", "lower the machine: ref, avx2, avx512", 0, 0, NULL},
        {"json", 0, CLI_FLAG, &g.json, NULL, "print JSON", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        .command = "grad",
        .arguments = "MODEL --ids-file F --out G.safetensors",
        .about = "Differentiates the mean next-token loss of a text: writes the gradient of every\n"
                 "weight under its Hugging Face name, and the loss. With --mtp the objective is\n"
                 "loss + mtp-weight * the mean of the MTP blocks' losses, as in DeepSeek-V3.\n\n"
                 "example: minke grad model --ids-file ids.txt --out grad.safetensors",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    struct mk_error err;
    int n, status = cli_parse(&syntax, argc, argv, &n);

    if (status != CLI_RUN)
        return status;
    if (!g.ids_file || !g.out)
        return cli_usage("grad", "give --ids-file and --out");
    g.model = argv[1];
    return run(&g, &err) ? cli_fail(&err) : 0;
}
