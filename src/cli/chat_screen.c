/* chat_screen.c: see chat_screen.h. */
#include "cli/chat_screen.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/safe_text.h"

#define DIM "\x1b[2m"
#define NORMAL "\x1b[0m"

bool chat_screen_has_ansi(FILE *out)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(fileno(out)) && !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
}

void chat_screen_begin(struct chat_screen *s, FILE *out, bool ansi)
{
    *s = (struct chat_screen){.out = out, .ansi = ansi};
}

static void print(struct chat_screen *s, const char *text)
{
    safe_text_print(s->out, text);
    s->last = text[strlen(text) - 1];
    fflush(s->out);
}

static void end_line(struct chat_screen *s)
{
    if (s->last && s->last != '\n')
        fputc('\n', s->out);
    s->last = '\n';
}

void chat_screen_thought(struct chat_screen *s, const char *text)
{
    if (!*text)
        return;
    if (!s->in_thought)
        fputs(s->ansi ? DIM : "[thought]\n", s->out);
    s->in_thought = true;
    print(s, text);
}

void chat_screen_answer(struct chat_screen *s, const char *text)
{
    if (!*text)
        return;
    if (s->in_thought) {
        end_line(s);
        fputs(s->ansi ? NORMAL "\n" : "[answer]\n", s->out);
        s->in_thought = false;
    }
    print(s, text);
}

void chat_screen_end(struct chat_screen *s)
{
    end_line(s);
    if (s->in_thought && s->ansi)
        fputs(NORMAL, s->out);
    s->in_thought = false;
    fflush(s->out);
}
