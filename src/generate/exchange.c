/* exchange.c: see exchange.h. */
#include "generate/exchange.h"

#include <string.h>

#define HOLE "{question}"
#define MAX_PROMPT_BYTES ((size_t)1 << 28)

int exchange_check_form(const char *form, struct mk_error *err)
{
    if (!strstr(form, HOLE))
        return mk_error_set(err, MK_EINVAL, "'%.60s' has no " HOLE, form);
    return 0;
}

int exchange_encode(const struct tokenizer *t, const char *form, const char *question,
                    struct ids *out, struct mk_error *err)
{
    const char *hole = strstr(form, HOLE);
    const struct vocab *v = tokenizer_vocab(t);
    size_t n_before = (size_t)(hole - form), n = strlen(question);
    struct typed_span typed = {n_before, n_before + n};
    struct buf b;
    int code;

    if (v->bos_id >= 0 && ids_append(out, v->bos_id, err))
        return err->code;
    buf_init(&b, MAX_PROMPT_BYTES);
    code = buf_append(&b, form, n_before, err);
    if (!code)
        code = buf_append(&b, question, n, err);
    if (!code)
        code = buf_append_string(&b, hole + strlen(HOLE), err);
    if (!code)
        code = tokenizer_encode_typed(t, b.data, b.n, &typed, 1, out, err);
    buf_release(&b);
    if (!code && out->n == 0)
        code = mk_error_set(err, MK_EINVAL, "a prompt has no tokens");
    return code;
}

int exchange_text(const struct tokenizer *t, const struct schedule_answer *a, struct buf *out,
                  struct mk_error *err)
{
    struct decoder d;
    int32_t n_ids = a->n - (a->stopped ? 1 : 0), n_tokens = tokenizer_vocab(t)->n_tokens;
    int code = 0;

    decoder_init(&d, t, true);
    for (int32_t i = 0; i < n_ids && !code; i++)
        if (a->ids[i] < n_tokens) /* rows that pad the vocabulary say nothing */
            code = decoder_push(&d, a->ids[i], out, err);
    return code ? code : decoder_finish(&d, out, err);
}
