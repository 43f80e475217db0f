/* chat_input.c: libedit, its history file, and the one flag that Ctrl-C sets. */
#include "cli/chat_input.h"

#include <errno.h>
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_HISTORY 1000
#define MAX_MESSAGE ((size_t)16 << 20)

/* A signal handler can reach nothing but a global. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void chat_interrupt_watch(void)
{
    struct sigaction action = {.sa_handler = on_interrupt}; /* no SA_RESTART: reading ends */

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool chat_interrupt_taken(void)
{
    bool taken = interrupted;

    interrupted = 0;
    return taken;
}

/* ---- History --------------------------------------------------------------------------------- */

/* Creates every missing folder of `path` below its first `from` bytes, private to the user. */
static bool make_folders(char *path, size_t from)
{
    for (char *slash = path + from; (slash = strchr(slash, '/')); slash++) {
        int bad;

        *slash = 0;
        bad = mkdir(path, 0700) && errno != EEXIST;
        *slash = '/';
        if (bad)
            return false;
    }
    return true;
}

static void find_history(struct chat_input *in)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = 0;

    if (state && state[0] == '/')
        n = snprintf(in->path, sizeof in->path, "%s/minke/chat_history", state);
    else if (home && home[0] == '/')
        n = snprintf(in->path, sizeof in->path, "%s/.local/state/minke/chat_history", home);
    if (n <= 0 || n >= (int)sizeof in->path || !make_folders(in->path, 1))
        in->path[0] = 0;
}

static void save_history(struct chat_input *in)
{
    HistEvent event;
    mode_t old;

    if (!in->path[0])
        return;
    old = umask(077);
    history(in->history, &event, H_SAVE, in->path);
    umask(old);
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static char *show_prompt(EditLine *el)
{
    struct chat_input *in = NULL;

    el_get(el, EL_CLIENTDATA, &in);
    return (char *)(uintptr_t)in->prompt;
}

int chat_input_init(struct chat_input *in, struct mk_error *err)
{
    HistEvent event;

    *in = (struct chat_input){.prompt = ""};
    buf_init(&in->text, MAX_MESSAGE);
    in->el = el_init("minke", stdin, stdout, stderr);
    in->history = history_init();
    if (!in->el || !in->history) {
        chat_input_release(in);
        return mk_error_set(err, MK_EIO, "the terminal cannot be set up for editing");
    }
    find_history(in);
    history(in->history, &event, H_SETSIZE, MAX_HISTORY);
    history(in->history, &event, H_SETUNIQUE, 1);
    if (in->path[0])
        history(in->history, &event, H_LOAD, in->path);
    el_set(in->el, EL_CLIENTDATA, in);
    el_set(in->el, EL_PROMPT, show_prompt);
    el_set(in->el, EL_EDITOR, "emacs");
    el_set(in->el, EL_SIGNAL, 0);
    el_set(in->el, EL_HIST, history, in->history);
    el_source(in->el, NULL); /* the user's ~/.editrc */
    return 0;
}

void chat_input_release(struct chat_input *in)
{
    if (in->history && in->el)
        save_history(in);
    if (in->el)
        el_end(in->el);
    if (in->history)
        history_end(in->history);
    buf_release(&in->text);
    *in = (struct chat_input){0};
}

/* Typed lines come one by one; a paste is there all at once. */
static bool more_is_waiting(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&p, 1, 10) == 1;
}

/* Appends one line; *more: the message goes on. */
static int take_line(struct chat_input *in, const char *line, size_t n, bool *more,
                     struct mk_error *err)
{
    if (n > 0 && line[n - 1] == '\n')
        n--;
    *more = n > 0 && line[n - 1] == '\\';
    if (*more)
        n--;
    if (in->text.n > 0 && buf_append_string(&in->text, "\n", err))
        return err->code;
    if (buf_append(&in->text, line, n, err))
        return err->code;
    *more = *more || more_is_waiting();
    return 0;
}

int chat_input_read(struct chat_input *in, enum chat_input_result *result, struct mk_error *err)
{
    HistEvent event;
    bool more = true;

    buf_clear(&in->text);
    for (in->prompt = "> "; more; in->prompt = ". ") {
        int n = 0;
        const char *line = el_gets(in->el, &n);

        if (chat_interrupt_taken()) {
            *result = CHAT_INPUT_INTERRUPTED;
            putchar('\n');
            return 0;
        }
        if (!line || n <= 0) {
            *result = CHAT_INPUT_END;
            return 0;
        }
        if (take_line(in, line, (size_t)n, &more, err))
            return err->code;
    }
    *result = CHAT_INPUT_TEXT;
    if (in->text.n > 0)
        history(in->history, &event, H_ENTER, in->text.data);
    return buf_append(&in->text, "", 0, err); /* data is not NULL from here on */
}
