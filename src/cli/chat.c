/* chat.c: `minke chat`: a conversation in a terminal, or one answer to what is piped in. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/map_file.h"
#include "cli/chat_input.h"
#include "cli/chat_line.h"
#include "cli/chat_screen.h"
#include "cli/cli.h"
#include "cli/model_options.h"

#define MAX_ANSWER ((size_t)64 << 20)
#define PIECE 512 /* tokens of a prompt read between two looks at Ctrl-C */
#define BUILT_IN_QUESTION "Why is the sky blue?"
#define PUZZLE "How many r's are in strawberry?" /* for models that know puzzles alone */
#define BUILT_IN_TOKENS 200 /* it shows that all is well; nobody waits for more */

static const enum mk_think think_modes[] = {MK_THINK_AUTO, MK_THINK_ON, MK_THINK_OFF};
#define THINK_CHOICES "auto|on|off"

/* What the command line asks for; a negative number: as the model's own files say. */
struct flags {
    struct model_flags model;
    const char *system; /* NULL: none */
    int think;          /* index into think_modes */
    int32_t max_tokens, top_k;
    float temperature, top_p, min_p, repetition_penalty;
    uint64_t seed;
};

struct turn {
    const char *role;         /* borrowed */
    char *content, *reasoning; /* owned; reasoning may be NULL */
};

struct conversation {
    struct mk_model *model;
    struct mk_session *session;
    struct mk_generate_options options;
    enum mk_think think;
    struct turn *turns; /* [n_turns] owned */
    int32_t n_turns, capacity;
    bool ansi;
};

/* ---- The conversation ------------------------------------------------------------------------ */

static void drop_turns(struct conversation *c, int32_t keep)
{
    while (c->n_turns > keep) {
        struct turn *t = &c->turns[--c->n_turns];

        free(t->content);
        free(t->reasoning);
    }
}

static int add_turn(struct conversation *c, const char *role, const char *content,
                    const char *reasoning, struct mk_error *err)
{
    struct turn t = {.role = role, .content = strdup(content)};

    if (reasoning && *reasoning)
        t.reasoning = strdup(reasoning);
    if (c->n_turns == c->capacity) {
        int32_t capacity = c->capacity ? 2 * c->capacity : 16;
        struct turn *grown = realloc(c->turns, (size_t)capacity * sizeof *grown);

        if (grown) {
            c->turns = grown;
            c->capacity = capacity;
        }
    }
    if (!t.content || (reasoning && *reasoning && !t.reasoning) || c->n_turns == c->capacity) {
        free(t.content);
        free(t.reasoning);
        return mk_error_memory(err, strlen(content));
    }
    c->turns[c->n_turns++] = t;
    return 0;
}

/* Forgets everything and begins with the instruction `system`, if there is one. */
static int restart(struct conversation *c, const char *system, struct mk_error *err)
{
    drop_turns(c, 0);
    return system && *system ? add_turn(c, "system", system, NULL, err) : 0;
}

static int encode(struct conversation *c, int32_t **ids, size_t *n_ids, struct mk_error *err)
{
    struct mk_message *messages = calloc((size_t)c->n_turns, sizeof *messages);
    struct mk_chat chat = {.messages = messages, .n_messages = c->n_turns, .think = c->think};
    int rc;

    if (!messages)
        return mk_error_memory(err, (size_t)c->n_turns * sizeof *messages);
    for (int32_t i = 0; i < c->n_turns; i++)
        messages[i] = (struct mk_message){.role = c->turns[i].role,
                                          .content = c->turns[i].content,
                                          .reasoning = c->turns[i].reasoning};
    rc = mk_chat_encode(c->model, &chat, ids, n_ids, &c->options.in_thought, err);
    free(messages);
    return rc;
}

static int save(const struct conversation *c, const char *path, struct mk_error *err)
{
    json_t *list = json_array();
    char *text;
    int rc;

    for (int32_t i = 0; i < c->n_turns; i++) {
        const struct turn *t = &c->turns[i];
        json_t *entry = json_object();

        json_object_set_new(entry, "role", json_string(t->role));
        json_object_set_new(entry, "content", json_string(t->content));
        if (t->reasoning)
            json_object_set_new(entry, "reasoning_content", json_string(t->reasoning));
        json_array_append_new(list, entry);
    }
    text = json_dumps(list, JSON_INDENT(2));
    json_decref(list);
    if (!text)
        return mk_error_set(err, MK_EMEMORY, "%s: the conversation cannot be written as JSON",
                            path);
    rc = write_file(path, text, strlen(text), err);
    free(text);
    return rc;
}

/* ---- One answer ------------------------------------------------------------------------------ */

/* Reads the prompt but for its last token, which the request wants for itself, in pieces: a long
 * one on a large model takes its time, and Ctrl-C ends that as well. */
static int read_prompt(struct conversation *c, const int32_t *ids, size_t n, bool *stopped,
                       struct mk_error *err)
{
    const int32_t *there = mk_session_tokens(c->session);
    size_t at = 0, n_there = (size_t)mk_session_position(c->session);
    int rc = 0;

    while (at < n_there && at + 1 < n && there[at] == ids[at])
        at++;
    mk_session_truncate(c->session, (int32_t)at);
    for (; !rc && at + 1 < n && !(*stopped = chat_interrupt_taken());) {
        size_t piece = n - 1 - at < PIECE ? n - 1 - at : PIECE;

        rc = mk_session_append(c->session, ids + at, piece, NULL, err);
        at += piece;
    }
    return rc;
}

/* Shows the answer as it comes and gathers it; Ctrl-C ends it early and is no error. */
static int stream(struct conversation *c, struct mk_request *request, struct buf *answer,
                  struct buf *reasoning, struct mk_error *err)
{
    enum mk_finish finish = MK_RUNNING;
    struct chat_screen screen;
    struct mk_token token;
    bool stopped = false;
    int rc = 0;

    chat_screen_begin(&screen, stdout, c->ansi);
    while (!rc && finish == MK_RUNNING && !(stopped = chat_interrupt_taken())) {
        rc = mk_request_step(request, &token, &finish, err);
        if (rc)
            break;
        chat_screen_thought(&screen, token.reasoning);
        chat_screen_answer(&screen, token.text);
        rc = buf_append_string(reasoning, token.reasoning, err);
        if (!rc)
            rc = buf_append_string(answer, token.text, err);
    }
    chat_screen_end(&screen);
    if (!rc && stopped)
        fprintf(stderr, "(stopped)\n");
    else if (!rc && finish == MK_FINISH_LENGTH)
        fprintf(stderr, "(cut: the length or the context is used up)\n");
    return rc;
}

static int answer_turns(struct conversation *c, struct buf *answer, struct buf *reasoning,
                        struct mk_error *err)
{
    struct mk_request *request;
    bool stopped = false;
    int32_t *ids = NULL;
    size_t n_ids;
    int rc = encode(c, &ids, &n_ids, err);

    if (!rc)
        rc = read_prompt(c, ids, n_ids, &stopped, err);
    if (!rc && stopped)
        fprintf(stderr, "(stopped)\n");
    else if (!rc)
        rc = mk_request_open(&request, c->session, ids, n_ids, &c->options, err);
    free(ids);
    if (rc || stopped)
        return rc;
    rc = stream(c, request, answer, reasoning, err);
    mk_request_free(request);
    return rc;
}

/* The user says `text`; after an error the conversation is what it was before. */
static int say(struct conversation *c, const char *text, struct mk_error *err)
{
    int32_t before = c->n_turns;
    struct buf answer, reasoning;
    int rc;

    buf_init(&answer, MAX_ANSWER);
    buf_init(&reasoning, MAX_ANSWER);
    rc = add_turn(c, "user", text, NULL, err);
    if (!rc)
        rc = answer_turns(c, &answer, &reasoning, err);
    if (!rc)
        rc = add_turn(c, "assistant", answer.n ? answer.data : "",
                      reasoning.n ? reasoning.data : NULL, err);
    if (rc)
        drop_turns(c, before);
    buf_release(&answer);
    buf_release(&reasoning);
    return rc;
}

/* ---- In a terminal --------------------------------------------------------------------------- */

static void set_think(struct conversation *c, const char *word)
{
    static const char *const names[] = {"auto", "on", "off"};

    for (int i = 0; i < 3; i++)
        if (!strcmp(word, names[i])) {
            c->think = think_modes[i];
            return;
        }
    printf("/think takes on, off or auto\n");
}

static int obey(struct conversation *c, struct chat_line line, struct mk_error *err)
{
    bool has_system = c->n_turns > 0 && !strcmp(c->turns[0].role, "system");

    switch (line.verb) {
    case CHAT_SAY:
        return say(c, line.argument, err);
    case CHAT_HELP:
        chat_line_help(stdout);
        return 0;
    case CHAT_RESET:
        drop_turns(c, has_system ? 1 : 0);
        return 0;
    case CHAT_SYSTEM:
        return restart(c, line.argument, err);
    case CHAT_THINK:
        set_think(c, line.argument);
        return 0;
    case CHAT_SAVE:
        if (!*line.argument)
            return mk_error_set(err, MK_EINVAL, "/save needs a file name");
        return save(c, line.argument, err);
    case CHAT_UNKNOWN:
        return mk_error_set(err, MK_EINVAL, "there is no command /%s, see /help", line.argument);
    default:
        return 0;
    }
}

static bool knows_puzzles(const struct conversation *c)
{
    struct mk_model_info info;

    mk_model_get_info(c->model, &info);
    return info.chat_format && !strcmp(info.chat_format, "zero");
}

static int converse(struct conversation *c, struct mk_error *err)
{
    enum chat_input_result result = CHAT_INPUT_TEXT;
    struct chat_line line = {CHAT_NOTHING, ""};
    struct chat_input in;
    int rc;

    if (chat_input_init(&in, err))
        return err->code;
    printf("/help lists the commands, Ctrl-D leaves.\n");
    if (knows_puzzles(c))
        printf("It knows small puzzles: \"" PUZZLE "\",\n\"Is 4817 odd parity?\", "
               "\"Use 3, 5, 8 to make 24\", \"Solve 3x+4=19\",\n"
               "and mazes, pasted or with a backslash at the ends of lines:\n"
               "Maze\\\nS.#.\\\n#...\\\n#.#.\\\n..#G\n");
    chat_interrupt_watch();
    while (!(rc = chat_input_read(&in, &result, err)) && result != CHAT_INPUT_END) {
        if (result == CHAT_INPUT_INTERRUPTED)
            continue;
        line = chat_line_read(in.text.data);
        if (line.verb == CHAT_QUIT)
            break;
        if (obey(c, line, err)) /* said, and the conversation goes on */
            cli_fail(err);
    }
    if (!rc && result == CHAT_INPUT_END)
        putchar('\n');
    chat_input_release(&in);
    return rc;
}

/* ---- The command ----------------------------------------------------------------------------- */

/* Everything piped in is one question, without the line break that ends it, as a typed one;
 * nothing piped in asks the built-in one. */
static int answer_once(struct conversation *c, struct mk_error *err)
{
    char *text, *said;
    size_t n;
    int rc;

    if (read_input("-", &text, &n, err))
        return err->code;
    said = chat_line_trim(text);
    if (*said) {
        rc = say(c, said, err);
    } else {
        const char *question = knows_puzzles(c) ? PUZZLE : BUILT_IN_QUESTION;

        printf("> %s\n", question);
        if (c->options.max_tokens == 0)
            c->options.max_tokens = BUILT_IN_TOKENS;
        rc = say(c, question, err);
    }
    free(text);
    return rc;
}

/* What the model's files ask for. For those that say nothing, DeepSeek-R1's model card: with all of
 * the vocabulary at temperature 1 small models ramble. */
static struct mk_sampling chat_sampling(const struct mk_model *model)
{
    struct mk_sampling s = mk_sampling_of_model(model);

    if (s.temperature == 1 && s.top_p == 1 && s.top_k == 0) {
        s.temperature = 0.6f;
        s.top_p = 0.95f;
    }
    return s;
}

static void set_options(struct conversation *c, const struct flags *f)
{
    struct mk_sampling *s = &c->options.sampling;

    c->options = mk_generate_options_default();
    *s = chat_sampling(c->model);
    c->options.max_tokens = f->max_tokens;
    c->options.split_thought = true;
    s->seed = f->seed;
    if (f->temperature >= 0)
        s->temperature = f->temperature;
    if (f->top_k >= 0)
        s->top_k = f->top_k;
    if (f->top_p >= 0)
        s->top_p = f->top_p;
    if (f->min_p >= 0)
        s->min_p = f->min_p;
    if (f->repetition_penalty >= 0)
        s->repetition_penalty = f->repetition_penalty;
    c->think = think_modes[f->think];
    c->ansi = chat_screen_has_ansi(stdout);
}

static int chat(const char *name, const struct flags *f, struct mk_error *err)
{
    struct mk_session_options o = model_flags_session(&f->model);
    struct conversation c = {0};
    int rc = model_flags_open(&c.model, name, &f->model, err);

    if (!rc)
        rc = mk_session_open(&c.session, c.model, &o, err);
    if (!rc) {
        set_options(&c, f);
        rc = restart(&c, f->system, err);
    }
    if (!rc)
        rc = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) ? converse(&c, err)
                                                           : answer_once(&c, err);
    drop_turns(&c, 0);
    free(c.turns);
    mk_session_free(c.session);
    mk_model_free(c.model);
    return rc;
}

int cmd_chat(int argc, char **argv)
{
    struct flags f = {.max_tokens = 0,
                      .top_k = -1,
                      .temperature = -1,
                      .top_p = -1,
                      .min_p = -1,
                      .repetition_penalty = -1};
    const struct cli_option options[] = {
        {"system", 's', CLI_STRING, &f.system, "TEXT", "instruction before the conversation", 0, 0,
         NULL},
        {"think", 0, CLI_CHOICE, &f.think, "MODE", "think before answering", 0, 0, THINK_CHOICES},
        {"max-tokens", 'n', CLI_I32, &f.max_tokens, "N", "longest answer", 1, 1 << 24, NULL},
        {"temperature", 't', CLI_FLOAT, &f.temperature, "T", "0 is greedy", 0, 100, NULL},
        {"top-p", 0, CLI_FLOAT, &f.top_p, "P", "nucleus of the draw", 0, 1, NULL},
        {"top-k", 0, CLI_I32, &f.top_k, "K", "only the K best tokens; 0 all", 0, 1 << 24, NULL},
        {"min-p", 0, CLI_FLOAT, &f.min_p, "P", "share of the best token's probability", 0, 1, NULL},
        {"repetition-penalty", 0, CLI_FLOAT, &f.repetition_penalty, "R", "1 is none", 0.01, 100,
         NULL},
        {"seed", 0, CLI_U64, &f.seed, "S", "of the draw", 0, 0, NULL},
        CLI_MODEL_OPTIONS(&f.model),
        {0}};
    const struct cli_syntax syntax = {
        .command = "chat",
        .arguments = "MODEL",
        .about = "Talks with a model. Sampling is what the model's own files ask for (temperature\n"
                 "0.6 and top-p 0.95 when they do not), unless an option says otherwise. Without\n"
                 "a terminal it answers what is piped in, or one built-in question, and ends.",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    struct mk_error err;
    int n, status = cli_parse(&syntax, argc, argv, &n);

    if (status != CLI_RUN)
        return status;
    /* libedit reads characters as the locale has them; the models speak UTF-8. */
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8");
    return chat(argv[1], &f, &err) ? cli_fail(&err) : 0;
}
