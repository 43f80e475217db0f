/* split_regex.c: split patterns minke does not know, run by PCRE2.
 *
 * The pattern comes from a file and the text from anyone, so the steps of one match are limited; a
 * pattern that needs more is refused with MK_ELIMIT instead of taking forever. Bytes outside sound
 * UTF-8 match nothing and end up in gaps. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "tokenizer/split.h"

#define MATCH_STEPS 10000000u
#define MATCH_HEAP_KIB 65536u
#define JIT_STACK_BYTES ((size_t)1 << 20)

struct split_regex_run {
    const pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
    pcre2_jit_stack *stack; /* NULL without JIT */
};

int split_regex_compile(void **code, struct vocab_text pattern, struct mk_error *err)
{
    const uint32_t options =
        PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    unsigned char text[128];
    PCRE2_SIZE at;
    int number;

    if (!context)
        return mk_error_memory(err, 1);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 100);
    *code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.n, options, &number, &at, context);
    pcre2_compile_context_free(context);
    if (!*code) {
        pcre2_get_error_message(number, text, sizeof text);
        return mk_error_set(err, MK_EFORMAT, "\"%.60s\" is not a valid pattern: %s at %zu",
                            pattern.data, (char *)text, at);
    }
    pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE); /* without it, matching is only slower */
    return 0;
}

void split_regex_free(void *code)
{
    pcre2_code_free(code);
}

int split_regex_open(struct split_regex_run **run, const void *code, struct mk_error *err)
{
    struct split_regex_run *r = calloc(1, sizeof *r);

    if (!r)
        return mk_error_memory(err, sizeof *r);
    r->code = code;
    r->data = pcre2_match_data_create(1, NULL);
    r->limits = pcre2_match_context_create(NULL);
    r->stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK_BYTES, NULL);
    if (!r->data || !r->limits) {
        split_regex_close(r);
        return mk_error_memory(err, 1);
    }
    pcre2_set_match_limit(r->limits, MATCH_STEPS);
    pcre2_set_heap_limit(r->limits, MATCH_HEAP_KIB);
    if (r->stack)
        pcre2_jit_stack_assign(r->limits, NULL, r->stack);
    *run = r;
    return 0;
}

void split_regex_close(struct split_regex_run *run)
{
    if (!run)
        return;
    pcre2_match_data_free(run->data);
    pcre2_match_context_free(run->limits);
    pcre2_jit_stack_free(run->stack);
    free(run);
}

int split_regex_find(struct split_regex_run *run, const unsigned char *s, size_t begin, size_t from,
                     size_t end, struct split_match *match, struct mk_error *err)
{
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(run->data);

    *match = (struct split_match){end, end};
    for (size_t at = from, step = 0; at < end; at = begin + found[1] + step) {
        int rc =
            pcre2_match(run->code, s + begin, end - begin, at - begin, 0, run->data, run->limits);

        if (rc == PCRE2_ERROR_NOMATCH)
            return 0;
        if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT ||
            rc == PCRE2_ERROR_JIT_STACKLIMIT || rc == PCRE2_ERROR_DEPTHLIMIT)
            return mk_error_set(err, MK_ELIMIT,
                                "the file's split pattern needs too many steps on this text");
        if (rc < 0)
            return mk_error_set(err, MK_EINTERNAL, "matching a split pattern failed with code %d",
                                rc);
        if (found[1] > found[0]) {
            *match = (struct split_match){begin + found[0], begin + found[1]};
            return 0;
        }
        /* an empty match cuts nothing: look on behind the next character */
        step = begin + found[1] < end
                   ? (size_t)utf8_at(s + begin + found[1], end - begin - found[1]).n
                   : 1;
    }
    return 0;
}
