/* prompt.h: a question into what the model reads: through its chat template, as plain text, or by a
 * form of one's own; behind worked examples where asked for.
 *
 * Nothing that a question or an example says becomes a control token. */
#ifndef MK_EVAL_PROMPT_H
#define MK_EVAL_PROMPT_H

#include "base/buf.h"
#include "eval/suite.h"
#include "minke.h"
#include "tasks/task.h"
#include "tokenizer/tokenizer.h"

enum prompt_style {
    PROMPT_AUTO, /* CHAT where minke knows the template, a form where the vocabulary has its control
                    tokens (generate/exchange.h), else RAW */
    PROMPT_CHAT,
    PROMPT_RAW,
    PROMPT_FORM
};

struct shot {
    char *question, *answer; /* owned */
};
struct shots {
    struct shot *items; /* owned */
    int32_t n;
};
void shots_release(struct shots *s);
/* The question and how it is answered well: as a file answers it, or as the teacher of a built-in
 * task does. */
int  shot_make(struct shot *out, const struct suite *s, const struct task *t,
               const struct task_item *item, struct mk_error *err);

/* How all questions of a suite are asked; borrowed. */
struct prompt_way {
    const struct mk_model *m;
    enum prompt_style style;    /* not AUTO */
    const char *form;           /* of FORM */
    const char *raw, *chat;     /* as in suite.h */
    const struct shots *shots;
};

struct prompt {
    struct buf text;  /* as it is shown, control tokens as text */
    struct ids ids;
    bool in_thought;  /* the answer begins inside a thought */
};

/* What AUTO means for a model. MK_EUNSUPPORTED: a style that this model has not. */
int  prompt_choose(enum prompt_style *style, const char **form, const struct mk_model *m,
                   struct mk_error *err);
int  prompt_make(struct prompt *p, const struct prompt_way *way, const char *question,
                 struct mk_error *err);
void prompt_release(struct prompt *p);

/* The ids of a plain text, with BOS where the model wants one. */
int  prompt_encode_text(const struct mk_model *m, const char *text, size_t n, struct ids *out,
                        struct mk_error *err);

#endif
