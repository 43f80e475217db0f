/* teacher_model.c: a model in this process: all its answers by continuous batching. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "distill/teacher.h"
#include "generate/engine.h"
#include "generate/exchange.h"

#define MAX_TEXT ((size_t)1 << 26)

struct model_teacher {
    struct mk_model *model; /* borrowed */
    struct scheduler *scheduler;
    const char *form;
    int32_t max_prompt;
    int32_t think_begin; /* id of <think>, -1: there is none */
};

static int encode(const struct model_teacher *t, const char *question, struct ids *out,
                  struct mk_error *err)
{
    struct chat_message message = {.role = "user", .content = question};
    struct chat chat = {.messages = &message, .n_messages = 1, .add_generation_prompt = true};

    if (t->form)
        return exchange_encode(t->model->tokenizer, t->form, question, out, err);
    return chat_encode(t->model->chat, t->model->tokenizer, &chat, out, err);
}

/* The prompt's ids in `memory`. */
static int make_group(const struct model_teacher *t, const struct teacher_question *asked,
                      int32_t n_samples, struct schedule_group *g, struct arena *memory,
                      struct mk_error *err)
{
    struct ids ids = {0};
    int32_t *copy;
    int code = encode(t, asked->text, &ids, err);

    if (!code && ids.n > (size_t)t->max_prompt)
        code = mk_error_set(err, MK_ELIMIT, "question %lld has %zu tokens: there is room for %d",
                            (long long)asked->number, ids.n, t->max_prompt);
    if (!code)
        code = arena_take(memory, &copy, ids.n, sizeof *copy, err);
    if (!code) {
        memcpy(copy, ids.data, ids.n * sizeof *copy);
        *g = (struct schedule_group){.prompt = copy,
                                     .n_prompt = (int32_t)ids.n,
                                     .n_samples = n_samples,
                                     .sequence = asked->sequence};
    }
    ids_release(&ids);
    return code;
}

/* Text as a reader sees it: a thought that the prompt began, begins in the answer. */
static int take_answer(const struct model_teacher *t, const struct schedule_group *g,
                       const struct schedule_answer *from, struct teacher_answer *to,
                       struct arena *memory, struct mk_error *err)
{
    bool in_thought = t->think_begin >= 0 && g->prompt[g->n_prompt - 1] == t->think_begin;
    struct buf b;
    char *copy;
    int code;

    buf_init(&b, MAX_TEXT);
    code = buf_append_string(&b, in_thought ? "<think>" : "", err);
    if (!code)
        code = exchange_text(t->model->tokenizer, from, &b, err);
    if (!code)
        code = arena_take(memory, &copy, b.n + 1, 1, err);
    if (!code) {
        memcpy(copy, b.data, b.n + 1);
        *to = (struct teacher_answer){.text = copy,
                                      .n = b.n,
                                      .stopped = from->stopped,
                                      .n_tokens = from->n,
                                      .ids = from->ids,
                                      .prompt = g->prompt,
                                      .n_ids = from->n,
                                      .n_prompt = g->n_prompt,
                                      .logprobs = from->logprobs,
                                      .n_logprobs = from->n};
    }
    buf_release(&b);
    return code;
}

static int answer(void *self, const struct teacher_question *asked, int32_t n, int32_t n_samples,
                  struct teacher_answer *answers, struct arena *memory,
                  const struct teacher_watch *watch, struct mk_error *err)
{
    struct model_teacher *t = self;
    struct schedule_group *groups;
    struct schedule_answer *raw;
    int32_t n_answers = n * n_samples;
    int code = 0;

    if (arena_take(memory, &groups, (size_t)n, sizeof *groups, err) ||
        arena_take(memory, &raw, (size_t)n_answers, sizeof *raw, err))
        return err->code;
    for (int32_t i = 0; i < n && !code; i++)
        code = make_group(t, &asked[i], n_samples, &groups[i], memory, err);
    if (!code)
        code = scheduler_run(t->scheduler, groups, n, raw, memory, watch->stop, watch->stop_user,
                             err);
    for (int32_t i = 0; i < n_answers && !code; i++)
        code = take_answer(t, &groups[i / n_samples], &raw[i], &answers[i], memory, err);
    return code;
}

static void close_model(void *self)
{
    struct model_teacher *t = self;

    scheduler_free(t->scheduler);
    free(t);
}

/* NULL: the model's own chat. One whose template is not known but which has DeepSeek's marks was
 * taught with them. */
static const char *form_for(const struct mk_model *m, const char *asked)
{
    if (asked || m->chat || tokenizer_find(m->tokenizer, "<｜User｜>") < 0 ||
        tokenizer_find(m->tokenizer, "<｜Assistant｜>") < 0)
        return asked;
    return EXCHANGE_FORM;
}

static int check(const struct mk_model *m, const char *form, struct mk_error *err)
{
    if (m->model.arch.n_eos_ids < 1)
        return mk_error_set(err, MK_EINVAL, "%s: config.json has no eos_token_id: its answers "
                                            "would never end", m->path);
    if (!form && !m->chat)
        return mk_error_set(err, MK_EINVAL, "%s: its chat template is not known: ask with --prompt",
                            m->path);
    return form ? exchange_check_form(form, err) : 0;
}

static void name_model(char name[512], const struct mk_model *m)
{
    int n = snprintf(name, 512, "model ");

    for (int i = 0; i < 32; i++)
        n += snprintf(name + n, 512 - (size_t)n, "%02x", m->fingerprint[i]);
}

int teacher_open_model(struct teacher *out, struct mk_model *m,
                       const struct teacher_model_options *o, struct mk_error *err)
{
    struct schedule_options so = {.n_slots = o->n_slots,
                                  .max_tokens = o->max_tokens,
                                  .max_prompt = o->max_prompt,
                                  .kv = engine_kv_dtype(o->kv),
                                  .sampling = o->sampling,
                                  .stop_ids = m->model.arch.eos_ids,
                                  .n_stop_ids = m->model.arch.n_eos_ids};
    struct model_teacher *t;
    const char *form;

    if (!m->tokenizer)
        return mk_error_set(err, MK_EINVAL, "%s: has no tokenizer: it cannot be asked", m->path);
    form = form_for(m, o->form);
    if (check(m, form, err))
        return err->code;
    t = calloc(1, sizeof *t);
    if (!t)
        return mk_error_memory(err, sizeof *t);
    *t = (struct model_teacher){.model = m,
                                .form = form,
                                .max_prompt = o->max_prompt,
                                .think_begin = tokenizer_find(m->tokenizer, "<think>")};
    if (scheduler_create(&t->scheduler, &m->model, &m->compute, &so, err)) {
        free(t);
        return err->code;
    }
    /* Four times what the slots hold: the last answers of a batch leave few of them idle. */
    *out = (struct teacher){.self = t, .answer = answer, .close = close_model,
                            .n_batch = 1 + (4 * o->n_slots - 1) / o->n_samples};
    name_model(out->name, m);
    return 0;
}
