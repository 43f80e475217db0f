/* chat_chatml.c: ChatML, "<|im_start|>role\ntext<|im_end|>\n", as SmolLM2 speaks it. */
#include "tokenizer/chat_pieces.h"

static int message(struct chat_sink *s, const char *role, const char *text, struct mk_error *err)
{
    return chat_control(s, "<|im_start|>", err) || chat_content(s, role, err) ||
                   chat_content(s, "\n", err) || chat_content(s, text, err) ||
                   chat_control(s, "<|im_end|>", err) || chat_content(s, "\n", err)
               ? err->code
               : 0;
}

/* SmolLM2: a default system message where none is given; tools are not part of the template. */
int chat_write_smollm(const struct chat *c, struct chat_sink *s, struct mk_error *err)
{
    if (!chat_is(&c->messages[0], "system") &&
        message(s, "system", "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
                err))
        return err->code;
    for (int32_t i = 0; i < c->n_messages; i++)
        if (message(s, c->messages[i].role, c->messages[i].content, err))
            return err->code;
    if (!c->add_generation_prompt)
        return 0;
    return chat_control(s, "<|im_start|>", err) || chat_content(s, "assistant\n", err) ? err->code
                                                                                       : 0;
}
