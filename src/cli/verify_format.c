/* verify_format.c: `minke verify format`. */
#include "verify/format.h"

#include "cli/cli.h"
#include "cli/verify.h"

struct format_job {
    struct format_rules rules;
    enum format_script script;
    int32_t n_gram;
};

static int judge(const json_t *line, void *context, json_t **out, struct mk_error *err)
{
    const struct format_job *job = context;
    struct format_verdict v;
    struct format_length length;
    struct text_span text;
    double repetition;
    int rc = verify_text(line, "text", &text, err);

    if (!rc)
        rc = format_repetition(text.at, text.n, job->n_gram, &repetition, err);
    if (rc)
        return rc;
    verify_format(text.at, text.n, &job->rules, &v);
    length = format_length(text.at, text.n);
    *out =
        json_pack("{s:b, s:s, s:o, s:o, s:f, s:f, s:I, s:I}", "good", v.fault == FORMAT_GOOD,
                  "fault", format_fault_text(v.fault), "think", verify_string(v.think), "answer",
                  verify_string(v.answer), "language",
                  format_language(text.at, text.n, job->script), "repetition", repetition,
                  "characters", (json_int_t)length.characters, "words", (json_int_t)length.words);
    return 0;
}

int verify_format_command(int argc, char **argv)
{
    struct format_job job = {.rules = {.answer_tags = true}, .n_gram = 4};
    bool no_answer_tags = false;
    const char *path = NULL, *script = "latin";
    const struct cli_option options[] = {
        {"jsonl", 0, CLI_STRING, &path, "F", "lines {\"text\":s}; - is standard input", 0, 0, NULL},
        {"in-thought", 0, CLI_FLAG, &job.rules.in_thought, NULL,
         "the text begins inside the thought", 0, 0, NULL},
        {"no-answer-tags", 0, CLI_FLAG, &no_answer_tags, NULL,
         "the answer is all that follows </think>", 0, 0, NULL},
        {"loose", 0, CLI_FLAG, &job.rules.loose, NULL, "text outside the tags is allowed", 0, 0,
         NULL},
        {"script", 0, CLI_STRING, &script, "S", "that words should be in: han ... (latin)", 0, 0,
         NULL},
        {"ngram", 0, CLI_I32, &job.n_gram, "N", "words of a run that may repeat (4)", 1, 64, NULL},
        {0}};
    const struct cli_syntax syntax = {
        "verify format",
        "--jsonl F",
        "Tells for each line whether <think> and <answer> stand there exactly once and in\n"
        "order, what they hold, the share of words in a script, the share of runs of N\n"
        "words seen before, and the length.",
        0,
        0,
        options};
    struct mk_error err;
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (!path)
        return cli_usage("verify format", "--jsonl is missing");
    if (format_script_read(&job.script, script, "--script", &err))
        return cli_usage("verify format", "%s", err.text);
    job.rules.answer_tags = !no_answer_tags;
    return verify_lines(path, judge, &job);
}
