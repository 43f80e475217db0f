/* split.c: runs the rules of a splitter, each over the pieces of the one before. */
#include "tokenizer/split.h"

static split_find *const scanners[SPLIT_N_RULES] = {
    [SPLIT_GPT2] = split_find_gpt2,
    [SPLIT_LLAMA3] = split_find_llama3,
    [SPLIT_QWEN2] = split_find_qwen2,
    [SPLIT_TEKKEN] = split_find_tekken,
    [SPLIT_DEEPSEEK_V3] = split_find_deepseek_v3,
    [SPLIT_DIGIT] = split_find_digit,
    [SPLIT_DIGITS_1_3] = split_find_digits_1_3,
    [SPLIT_DIGITS] = split_find_digits,
    [SPLIT_THREE_DIGITS] = split_find_three_digits,
    [SPLIT_NEWLINE] = split_find_newline,
    [SPLIT_SPACE_END] = split_find_space_end,
    [SPLIT_LLM_WORD] = split_find_llm_word,
    [SPLIT_LLM_PUNCT] = split_find_llm_punct,
    [SPLIT_CODER_WORD] = split_find_coder_word,
    [SPLIT_CODER_PUNCT] = split_find_coder_punct,
    [SPLIT_CJK_HANGUL] = split_find_cjk_hangul,
    [SPLIT_CJK_KANA] = split_find_cjk_kana,
    [SPLIT_DEFAULT_PUNCT] = split_find_default_punct,
};

struct split_job {
    const struct splitter *sp;
    const unsigned char *s;
    struct split_regex_run *runs[MK_MAX_SPLITS]; /* of the rules that are SPLIT_REGEX */
    split_emit *emit;
    void *context;
};

int splitter_init(struct splitter *sp, const struct vocab *v, const uint8_t *classes,
                  struct mk_error *err)
{
    *sp = (struct splitter){.classes = classes};
    for (int i = 0; i < v->n_regexes; i++) {
        sp->rules[i] = split_rule_of(v->regexes[i]);
        sp->keep_gaps[i] = v->regex_isolated[i];
        if (sp->rules[i] == SPLIT_REGEX && split_regex_compile(&sp->codes[i], v->regexes[i], err)) {
            splitter_release(sp);
            return mk_error_wrap(err, "%s: pre_tokenizer pattern %d", v->name, i);
        }
        sp->n = i + 1;
    }
    return 0;
}

void splitter_release(struct splitter *sp)
{
    for (int i = 0; i < MK_MAX_SPLITS; i++)
        split_regex_free(sp->codes[i]);
    *sp = (struct splitter){0};
}

static int find(const struct split_job *job, int rule, size_t begin, size_t from, size_t end,
                struct split_match *m, struct mk_error *err)
{
    const struct split_view view = {job->s, end, job->sp->classes};

    if (job->runs[rule])
        return split_regex_find(job->runs[rule], job->s, begin, from, end, m, err);
    *m = scanners[job->sp->rules[rule]](&view, from);
    return 0;
}

/* Cuts s[begin..end) by the rules from `rule` on. Depth is the number of rules, at most
 * MK_MAX_SPLITS. */
static int cut(const struct split_job *job, int rule, size_t begin, size_t end,
               struct mk_error *err)
{
    size_t at = begin;
    int rc = 0;

    if (rule == job->sp->n)
        return job->emit(job->context, job->s + begin, end - begin, err);
    while (!rc && at < end) {
        struct split_match m = {end, end};

        rc = find(job, rule, begin, at, end, &m, err);
        if (!rc && m.begin > at && job->sp->keep_gaps[rule])
            rc = cut(job, rule + 1, at, m.begin, err);
        if (!rc && m.end > m.begin)
            rc = cut(job, rule + 1, m.begin, m.end, err);
        at = m.end;
    }
    return rc;
}

int splitter_run(const struct splitter *sp, const unsigned char *text, size_t n, split_emit *emit,
                 void *context, struct mk_error *err)
{
    struct split_job job = {.sp = sp, .s = text, .emit = emit, .context = context};
    int rc = 0;

    if (!n)
        return 0;
    for (int i = 0; !rc && i < sp->n; i++)
        if (sp->rules[i] == SPLIT_REGEX)
            rc = split_regex_open(&job.runs[i], sp->codes[i], err);
    if (!rc)
        rc = cut(&job, 0, 0, n, err);
    for (int i = 0; i < sp->n; i++)
        split_regex_close(job.runs[i]);
    return rc;
}
