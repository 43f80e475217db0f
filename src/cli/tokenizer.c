/* tokenizer.c: `minke tokenizer train`: learns a vocabulary from text files. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "formats/text_source.h"
#include "tokenizer/bpe_train.h"
#include "tokenizer/unicode.h"

#define MAX_DOCUMENT ((size_t)4 << 30)

/* Texts, and what is said in conversations. As minke data build, which would leave it out, nothing
 * is learned of a text that is not UTF-8. */
static int add_document(struct bpe_trainer *t, const struct text_document *d, int64_t *n_broken,
                        struct mk_error *err)
{
    bool broken = d->text && !utf8_is_sound(d->text, d->n);
    int rc = d->text && !broken ? bpe_trainer_add(t, d->text, d->n, err) : 0;

    *n_broken += broken;

    for (size_t i = 0; !rc && i < d->n_messages; i++)
        rc = bpe_trainer_add(t, d->messages[i].content, d->messages[i].n, err);
    return rc;
}

static int add_source(struct bpe_trainer *t, const char *path, const char *field,
                      int64_t *n_broken, struct mk_error *err)
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
        if ((rc = add_document(t, &d, n_broken, err)))
            break;
    text_source_close(s);
    return rc;
}

/* In what was read, from the first of the files on. */
static int check_text(const struct bpe_trainer *t, const char *file, int64_t n_broken,
                      struct mk_error *err)
{
    if (bpe_trainer_report(t).n_bytes > 0)
        return 0;
    return mk_error_set(err, MK_EINVAL, "%s: there is no text in it%s", file,
                        n_broken ? " that is UTF-8" : "");
}

static void print_report(const struct bpe_train_report *r, int64_t n_broken, int32_t wanted,
                         const char *dir)
{
    printf("%lld bytes, %lld pieces, %lld of them different\n", (long long)r->n_bytes,
           (long long)r->n_pieces, (long long)r->n_words);
    if (n_broken)
        printf("%lld %s not UTF-8 left out\n", (long long)n_broken,
               n_broken > 1 ? "documents" : "document");
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
    int64_t n_broken = 0;
    int rc = bpe_trainer_create(&t, o, err);

    for (int i = 0; !rc && i < n_files; i++)
        rc = add_source(t, files[i], field, &n_broken, err);
    if (!rc)
        rc = check_text(t, files[0], n_broken, err);
    if (!rc)
        rc = bpe_trainer_run(t, err);
    if (!rc)
        rc = bpe_trainer_write(t, dir, err);
    if (!rc && !quiet) {
        struct bpe_train_report r = bpe_trainer_report(t);

        print_report(&r, n_broken, o->n_vocab, dir);
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
