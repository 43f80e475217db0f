/* verify_math.c: `minke verify math`. */
#include "verify/math.h"

#include "cli/cli.h"
#include "cli/verify.h"

static int answer(const json_t *line, void *context, json_t **out, struct mk_error *err)
{
    struct math_verdict v;
    struct text_span gold, given;
    int rc = verify_text(line, "gold", &gold, err);

    (void)context;
    if (!rc)
        rc = verify_text(line, "answer", &given, err);
    if (rc)
        return rc;
    verify_math(gold.at, gold.n, given.at, given.n, &v);
    *out = json_pack("{s:b, s:o, s:o}", "equal", v.equal, "gold", verify_string(v.gold), "answer",
                     verify_string(v.answer));
    return 0;
}

int verify_math_command(int argc, char **argv)
{
    const char *path = NULL;
    const struct cli_option options[] = {{"jsonl", 0, CLI_STRING, &path, "F",
                                          "lines {\"gold\":s,\"answer\":s}; - is standard input", 0,
                                          0, NULL},
                                         {0}};
    const struct cli_syntax syntax = {
        "verify math",
        "--jsonl F",
        "Tells for each line whether the answer says the same as the reference, and what\n"
        "was found in each: {\"equal\":true,\"gold\":\"1/2\",\"answer\":\"0.5\"}; null where\n"
        "nothing was. Malformed lines are reported, the others answered; exit status 1.",
        0,
        0,
        options};
    int n_args, rc = cli_parse(&syntax, argc, argv, &n_args);

    if (rc != CLI_RUN)
        return rc;
    if (!path)
        return cli_usage("verify math", "--jsonl is missing");
    return verify_lines(path, answer, NULL);
}
