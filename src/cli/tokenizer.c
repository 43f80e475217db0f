/* tokenizer.c: `minke tokenizer train`: learns a vocabulary from text files. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "formats/text_source.h"
#include "tokenizer/bpe_train.h"

#define MAX_DOCUMENT ((size_t)4 << 30)

/* Texts, and what is said in conversations. */
static int add_document(struct bpe_trainer *t, const struct text_document *d, struct mk_error *err)
{
    int rc = d->text ? bpe_trainer_add(t, d->text, d->n, err) : 0;

    for (size_t i = 0; !rc && i < d->n_messages; i++)
        rc = bpe_trainer_add(t, d->messages[i].content, d->messages[i].n, err);
    return rc;
}

static int add_source(struct bpe_trainer *t, const char *path, const char *field,
                      struct mk_error *err)
{
    struct text_source_options o = text_source_defaults();
    struct text_document d;
    struct text_source *s;
    bool more = true;
    int rc;

    o.max_document = MAX_DOCUMENT;
    if (field)
        o.field = field;
    rc = text_source_open(&s, path, &o, err);
    if (rc)
        return rc;
    while (!(rc = text_source_next(s, &d, &more, err)) && more)
        if ((rc = add_document(t, &d, err)))
            break;
    text_source_close(s);
    return rc;
}

static void print_report(const struct bpe_train_report *r, int32_t wanted, const char *dir)
{
    printf("%lld bytes, %lld pieces, %lld of them different\n", (long long)r->n_bytes,
           (long long)r->n_pieces, (long long)r->n_words);
    if (r->n_left_out)
        printf("%lld pieces over %d bytes left out\n", (long long)r->n_left_out,
               BPE_TRAIN_MAX_PIECE);
    printf("%s: %d tokens, %d merges, the last of a pair seen %lld times\n", dir, r->n_tokens,
           r->n_merges, (long long)r->last_count);
    if (r->n_tokens < wanted)
        printf("fewer than the %d asked for: the text has no more pairs that repeat\n", wanted);
}

static int train(const struct bpe_train_options *o, const char *dir, const char *field,
                 char **files, int n_files, bool quiet, struct mk_error *err)
{
    struct bpe_trainer *t = NULL;
    int rc = bpe_trainer_create(&t, o, err);

    for (int i = 0; !rc && i < n_files; i++)
        rc = add_source(t, files[i], field, err);
    if (!rc)
        rc = bpe_trainer_run(t, err);
    if (!rc)
        rc = bpe_trainer_write(t, dir, err);
    if (!rc && !quiet) {
        struct bpe_train_report r = bpe_trainer_report(t);

        print_report(&r, o->n_vocab, dir);
    }
    bpe_trainer_free(t);
    return rc;
}

int cmd_tokenizer(int argc, char **argv)
{
    struct bpe_train_options o = bpe_train_defaults();
    struct cli_list specials = {.n = 0};
    const char *out = NULL, *field = NULL;
    bool quiet = false;
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, &out, "DIR", "the folder to write", 0, 0, NULL},
        {"vocab", 0, CLI_I32, &o.n_vocab, "N", "tokens, special ones and 256 bytes included (4096)",
         257, 1 << 20, NULL},
        {"special", 's', CLI_LIST, &specials, "TOK", "a special token, instead of DeepSeek's ten",
         0, 0, NULL},
        {"no-split-digits", 0, CLI_FLAG, &o.keep_digits, NULL,
         "up to three digits in a token, as DeepSeek V3", 0, 0, NULL},
        {"field", 0, CLI_STRING, &field, "NAME", "of JSONL objects, with the text (text)", 0, 0,
         NULL},
        {"quiet", 'q', CLI_FLAG, &quiet, NULL, "no report", 0, 0, NULL},
        {0}};
    const struct cli_syntax syntax = {
        "tokenizer", "train FILE...",
        "Learns a byte-level BPE vocabulary and writes tokenizer.json and\n"
        "tokenizer_config.json, which Hugging Face tokenizers reads too. FILE is text,\n"
        ".jsonl, .gz or .zst of either, or a folder. Special tokens get the first ids, in\n"
        "the order given; each digit is a token.",
        2, 1 << 20, options};
    struct mk_error err = {0};
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (strcmp(argv[1], "train") != 0)
        return cli_usage("tokenizer", "there is no 'tokenizer %s'", argv[1]);
    if (!out)
        return cli_usage("tokenizer", "--out DIR is missing");
    if (specials.n) {
        o.specials = specials.items;
        o.n_specials = specials.n;
    }
    return train(&o, out, field, argv + 2, n_args - 1, quiet, &err) ? cli_fail(&err) : 0;
}
