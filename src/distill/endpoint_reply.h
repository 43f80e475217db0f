/* endpoint_reply.h: what a server that speaks OpenAI's chat completions sends back, read as an
 * answer. Any bytes are allowed. */
#ifndef MK_DISTILL_ENDPOINT_REPLY_H
#define MK_DISTILL_ENDPOINT_REPLY_H

#include "distill/teacher.h"

/* The first choice of a chat completion, in `memory`. A thought that is told apart
 * (reasoning_content, or reasoning) stands before the answer as <think>..</think>. MK_EFORMAT says
 * what is missing or malformed. */
int endpoint_reply_read(const char *data, size_t n, struct teacher_answer *a,
                        struct arena *memory, struct mk_error *err);
/* What a reply says about an error, {"error": {"message": ..}} or {"message": ..}; "" when it says
 * nothing. */
void endpoint_reply_error(const char *data, size_t n, char text[200]);

#endif
