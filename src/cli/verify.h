/* verify.h: what the parts of `minke verify` share: JSONL in, one JSON object a line out. */
#ifndef MK_CLI_VERIFY_H
#define MK_CLI_VERIFY_H

#include <jansson.h>

#include "base/error.h"
#include "verify/text_span.h"

int verify_math_command(int argc, char **argv);
int verify_format_command(int argc, char **argv);
int verify_code_command(int argc, char **argv);

/* Answers one line; *out becomes a new object to print. MK_EFORMAT: the line is not as it should
 * be, which is reported and the run goes on; any other error ends it. */
typedef int verify_line_fn(const json_t *line, void *context, json_t **out, struct mk_error *err);
/* Calls fn for every line of the file (or standard input for "-") that holds an object; blank lines
 * are skipped. Prints what fn gives, in order. The exit status: 1 when a line was malformed. */
int verify_lines(const char *path, verify_line_fn *fn, void *context);

/* The text under a key; MK_EFORMAT names the key when it is not there or no string. */
int verify_text(const json_t *line, const char *key, struct text_span *out, struct mk_error *err);
/* A JSON string, or null for no span; what is not UTF-8 (cut in a character) becomes U+FFFD. */
json_t *verify_string(struct text_span s);

#endif
