/* math_commands.h: tables of the lexer. For src/verify alone. */
#ifndef MK_VERIFY_MATH_COMMANDS_H
#define MK_VERIFY_MATH_COMMANDS_H

#include "verify/math_lex.h"

/* What the lexer itself does with a command of TOKEN_END. */
enum math_command_action {
    COMMAND_SKIP = 1, /* decoration */
    COMMAND_DEGREE,
    COMMAND_TEXT,  /* its braces hold words */
    COMMAND_BEGIN, /* of an environment */
    COMMAND_ENDING
};

struct math_command {
    const char *name;
    enum math_token_kind kind; /* TOKEN_END: see id */
    int id;
    char sign;
};

/* A command (without its backslash) or a typed word that means the same; false: unknown. */
bool math_command_named(struct text_span name, bool backslash, struct math_command *out);
/* The command that a sign at s[n] stands for, and its bytes; NULL: none known. "-" and "^2" are
 * returned as they are typed. */
const char *math_unicode(const char *s, size_t n, size_t *bytes);

#endif
