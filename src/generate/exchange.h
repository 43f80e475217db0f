/* exchange.h: a question into ids by a form, and an answer's ids into text: what rollouts and the
 * answers of a teacher share.
 *
 * A form is text with "{question}" in it, such as "<｜User｜>{question}<｜Assistant｜>". Control
 * tokens of the form come out as such; what the question says never becomes one. */
#ifndef MK_GENERATE_EXCHANGE_H
#define MK_GENERATE_EXCHANGE_H

#include "base/buf.h"
#include "generate/scheduler.h"
#include "tokenizer/tokenizer.h"

#define EXCHANGE_FORM "<｜User｜>{question}<｜Assistant｜>"

/* MK_EINVAL when the form has no {question}; the text says so without naming where it stood. */
int exchange_check_form(const char *form, struct mk_error *err);
/* Appends BOS, where the vocabulary has one, and the form around the question. */
int exchange_encode(const struct tokenizer *t, const char *form, const char *question,
                    struct ids *out, struct mk_error *err);
/* Appends the text of an answer, tags as text and the token that ended it left out. */
int exchange_text(const struct tokenizer *t, const struct schedule_answer *a, struct buf *out,
                  struct mk_error *err);

#endif
