/* tokenize.c: `minke tokenize`: text on standard input to token ids, or ids to text. Needs the
 * tokenizer of a model and nothing else of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/cli.h"
#include "cli/open_tokenizer.h"

#define MAX_INPUT_BYTES ((size_t)1 << 30)

struct tokenize {
    bool specials, decode, json;
};

static int read_input(struct buf *in, struct mk_error *err)
{
    char part[1 << 14];
    size_t n;
    int rc = 0;

    while (!rc && (n = fread(part, 1, sizeof part, stdin)) > 0)
        rc = buf_append(in, part, n, err);
    if (!rc && ferror(stdin))
        rc = mk_error_set(err, MK_EIO, "standard input cannot be read: %s", strerror(errno));
    return rc;
}

/* One id a line, or {"ids":[...]}. */
static int print_ids(const struct tokenizer *t, const struct tokenize *how, const struct buf *in,
                     struct mk_error *err)
{
    struct ids ids = {0};
    int rc = tokenizer_encode(t, in->n ? in->data : "", in->n, how->specials, &ids, err);

    if (!rc && how->json)
        printf("{\"ids\":[");
    for (size_t i = 0; !rc && i < ids.n; i++)
        printf(how->json ? "%s%d" : "%s%d\n", how->json && i ? "," : "", ids.data[i]);
    if (!rc && how->json)
        printf("]}\n");
    ids_release(&ids);
    return rc;
}

/* Ids between white space, commas and brackets: what this command prints, and {"ids":[...]} too. */
static int decode_ids(struct decoder *d, const char *s, struct buf *out, struct mk_error *err)
{
    static const char between[] = " \t\r\n,[]{}:";
    int rc = 0;

    for (s += strspn(s, between); !rc && *s; s += strspn(s, between)) {
        char *end;
        long id = strtol(s, &end, 10);

        if (!strncmp(s, "\"ids\"", 5)) {
            s += 5;
            continue;
        }
        if (end == s || (*end && !strchr(between, *end)) || id < 0 || id > INT32_MAX)
            return mk_error_set(err, MK_EINVAL, "\"%.20s\" is not a token id", s);
        rc = decoder_push(d, (int32_t)id, out, err);
        s = end;
    }
    return rc ? rc : decoder_finish(d, out, err);
}

static int print_text(const struct tokenizer *t, const struct tokenize *how, const struct buf *in,
                      struct mk_error *err)
{
    struct decoder d;
    struct buf out;
    int rc;

    decoder_init(&d, t, how->specials);
    buf_init(&out, SIZE_MAX / 4);
    rc = decode_ids(&d, in->n ? in->data : "", &out, err);
    if (!rc)
        fwrite(out.data ? out.data : "", 1, out.n, stdout);
    buf_release(&out);
    return rc;
}

int cmd_tokenize(int argc, char **argv)
{
    struct tokenize how = {0};
    const struct cli_option options[] = {
        {"special", 's', CLI_FLAG, &how.specials, NULL, "text may hold special tokens", 0, 0, NULL},
        {"decode", 'd', CLI_FLAG, &how.decode, NULL, "ids in, text out", 0, 0, NULL},
        {"json", 0, CLI_FLAG, &how.json, NULL, "print {\"ids\":[...]}", 0, 0, NULL},
        {0}
    };
    const struct cli_syntax syntax = {
        "tokenize", "MODEL",
        "Prints the token ids of the text on standard input, one a line, without BOS;\n"
        "with --decode the text of the ids on standard input. MODEL is a folder with\n"
        "tokenizer.json, a .gguf file or a name of the store.",
        1, 1, options};
    struct tokenizer *t = NULL;
    struct mk_error err = {0};
    struct buf in;
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    buf_init(&in, MAX_INPUT_BYTES);
    rc = cli_open_tokenizer(&t, argv[1], &err);
    if (!rc)
        rc = read_input(&in, &err);
    if (!rc)
        rc = how.decode ? print_text(t, &how, &in, &err) : print_ids(t, &how, &in, &err);
    buf_release(&in);
    tokenizer_free(t);
    return rc ? cli_fail(&err) : 0;
}
