/* convert.c: `minke convert`: a model in another number format. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "hub/hub.h"
#include "model/convert.h"

static int show(void *user, uint64_t done, uint64_t total)
{
    progress_show(user, "writing", done, total);
    return 0;
}

/* "q4_K 210 tensors 77.2 MB", the wide types first. */
static void print_report(const struct convert_report *r)
{
    for (int t = 0; t < MK_N_DTYPES; t++) {
        char size[16];

        if (!r->n_tensors[t])
            continue;
        progress_bytes(size, r->bytes[t]);
        printf("%-8s  %6" PRId64 " tensors  %10s\n", dtype_info((enum dtype)t)->name,
               r->n_tensors[t], size);
    }
    if (r->n_ragged)
        printf("%" PRId64 " of them are wider than asked (%s):\n"
               "their rows of %d values do not divide into blocks of %d.\n",
               r->n_ragged, dtype_info(r->ragged_type)->name, r->ragged_row, r->ragged_block);
    if (r->left_mtp)
        puts("The multi-token-prediction block is left out: GGUF files have none.");
    if (r->left_tokenizer.code)
        printf("The tokenizer is left out; put the model's tokenizer.json into the folder:\n%s.\n",
               r->left_tokenizer.text);
    if (r->n_unnamed)
        printf("Tokens called [PADn], as their texts are no UTF-8 or another's: %" PRId32 ".\n",
               r->n_unnamed);
    if (r->left_template)
        puts("The chat template is left out: it is no UTF-8.");
}

static int parse_type(const char *name, enum dtype *to)
{
    if (!strcmp(name, "fp8"))
        *to = MK_F8_E4M3;
    else if (!dtype_from_name(name, to) || (!convert_can(*to, true) && !convert_can(*to, false)))
        return cli_usage("convert",
                         "--to %s: expected f32, f16, bf16, fp8, q8_0, q6_K, q4_K, q4_1 "
                         "or q4_0",
                         name);
    return CLI_RUN;
}

/* What most people want: a model to run, or a model to go on with. */
static const char *default_type(const char *out)
{
    const char *dot = strrchr(out, '.');

    return dot && !strcmp(dot, ".gguf") ? "q4_K" : "bf16";
}

int cmd_convert(int argc, char **argv)
{
    struct convert_options o = {.progress = show};
    struct convert_report report;
    const char *type = NULL;
    bool quiet = false;
    const struct cli_option options[] = {
        {"to", 't', CLI_STRING, &type, "TYPE", "of the matrices: q4_K, in a folder bf16", 0, 0,
         NULL},
        {"adapter", 'a', CLI_STRING, &o.adapter, "DIR", "merge this LoRA adapter (PEFT's format)",
         0, 0, NULL},
        {"force", 'f', CLI_FLAG, &o.overwrite, NULL, "overwrite what is there", 0, 0, NULL},
        {"threads", 0, CLI_I32, &o.n_threads, "N", "threads that compute (one a core)", 1, 256,
         NULL},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress bar, no report", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        "convert",
        "MODEL OUT",
        "Writes MODEL again, its matrices as TYPE. OUT ending in .gguf is a GGUF file for\n"
        "f32, f16, bf16, q8_0, q6_K, q4_K, q4_1 or q4_0; another OUT is a folder of\n"
        "safetensors for f32, f16, bf16 or fp8 (blocks of 128 x 128). Norms, biases and\n"
        "routers stay as they are.",
        2,
        2,
        options};
    struct progress bar;
    struct mk_error err = {0};
    char *path;
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc == CLI_RUN)
        rc = parse_type(type ? type : default_type(argv[2]), &o.to);
    if (rc != CLI_RUN)
        return rc;
    if (hub_resolve(argv[1], &path, &err))
        return cli_fail(&err);
    progress_init(&bar, stderr, quiet);
    o.progress_user = &bar;
    rc = convert_model(path, argv[2], &o, &report, &err);
    progress_clear(&bar);
    free(path);
    if (rc)
        return cli_fail(&err);
    if (!quiet)
        print_report(&report);
    return 0;
}
