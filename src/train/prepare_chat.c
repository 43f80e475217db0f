/* prepare_chat.c: template, end token, and what is too long to be learned. */
#include "train/prepare_chat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map_file.h"
#include "train/checkpoint.h"

static void say(const struct prepared *p, const char *text)
{
    if (p->say)
        p->say(p->user, text);
}

/* The model is to stop where it learned to. */
static void stop_at(struct arch *a, int32_t id)
{
    for (int32_t i = 0; i < a->n_eos_ids; i++)
        if (a->eos_ids[i] == id)
            return;
    if (a->n_eos_ids < ARCH_MAX_EOS)
        a->eos_ids[a->n_eos_ids++] = id;
}

/* A template that the recipe names and the tokenizer's files do not say is written beside them, so
 * that a checkpoint is spoken to as it was trained. */
static int carry_template(struct prepared *p, const char *run, struct mk_error *err)
{
    const char *text = chat_format_template(p->chat.format);
    char own[4096], file[4096 + 32], line[300];

    if (chat_format_for(p->vocabulary, p->params.arch.model_type) == p->chat.format)
        return 0;
    if (!text) {
        snprintf(line, sizeof line,
                 "the tokenizer does not say the chat template %s: checkpoints will not either",
                 chat_format_name(p->chat.format));
        say(p, line);
        return 0;
    }
    if (snprintf(own, sizeof own, "%s/tokenizer", run) >= (int)sizeof own)
        return mk_error_set(err, MK_ELIMIT, "%s: the path is too long", run);
    if (strcmp(own, p->tokenizer)) {
        if (mkdir(own, 0777) && errno != EEXIST)
            return mk_error_set(err, MK_EIO, "%s: cannot be made: %s", own, strerror(errno));
        if (checkpoint_copy_tokenizer(p->tokenizer, own, err))
            return err->code;
        memcpy(p->tokenizer, own, strlen(own) + 1);
    }
    snprintf(file, sizeof file, "%s/chat_template.jinja", own);
    return write_file(file, text, strlen(text), err);
}

int prepare_chat(struct prepared *p, const struct recipe *r, const char *run, struct mk_error *err)
{
    bool chat = false, pairs = false;

    for (int32_t i = 0; i < r->data.n_sources; i++) {
        chat |= r->data.sources[i].format != RECIPE_FORMAT_TEXT;
        pairs |= r->data.sources[i].format == RECIPE_FORMAT_PAIRS;
    }
    if (!chat)
        return 0;
    for (int32_t i = 0; pairs && i < r->data.n_sources; i++)
        if (r->data.sources[i].format != RECIPE_FORMAT_PAIRS)
            return mk_error_set(err, MK_EINVAL,
                                "source %s: pairs of answers do not mix with other data",
                                r->data.sources[i].name);
    if (chat_data_init(&p->chat, p->vocabulary, r->data.chat_template, p->params.arch.model_type,
                       pairs, err))
        return err->code;
    p->chat.specials = r->data.specials;
    stop_at(&p->params.arch, p->chat.end_id);
    return carry_template(p, run, err);
}

int prepare_check_kinds(const struct prepared *p, const struct recipe *r, struct mk_error *err)
{
    static const char *const formats[] = {"text", "chat", "pairs"};

    for (int32_t i = 0; i < r->data.n_sources; i++) {
        int kind = (int)corpus_kind(p->train, i);

        if (kind != (int)r->data.sources[i].format)
            return mk_error_set(err, MK_EINVAL,
                                "source %s: its shards are not of format %s: say format: %s",
                                r->data.sources[i].name, formats[r->data.sources[i].format],
                                formats[kind]);
    }
    return 0;
}

void prepare_tell_loss(const struct prepared *p, const struct recipe *r)
{
    const char *what = p->train && corpus_has_pairs(p->train) ? "pairs" : "conversations";
    char line[400];

    for (int32_t i = 0; i < r->data.n_sources; i++) {
        struct corpus_loss loss = corpus_loss(p->train, i);

        if (!loss.n_cut && !loss.n_left_out)
            continue;
        snprintf(line, sizeof line,
                 "%s: of %lld %s %lld left out and %lld cut behind an answer: longer than "
                 "data.sequence",
                 r->data.sources[i].name, (long long)loss.n_documents, what,
                 (long long)loss.n_left_out, (long long)loss.n_cut);
        say(p, line);
    }
}
