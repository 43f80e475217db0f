/* chat_line.c: the commands of `minke chat`. */
#include "cli/chat_line.h"

#include <string.h>

static const struct {
    const char *name, *argument, *help;
    enum chat_verb verb;
} commands[] = {
    {"help", "", "this list", CHAT_HELP},
    {"reset", "", "forget the conversation, keep the instruction", CHAT_RESET},
    {"system", " TEXT", "begin anew with this instruction; without TEXT: none", CHAT_SYSTEM},
    {"think", " on|off|auto", "whether the model thinks before it answers", CHAT_THINK},
    {"save", " FILE", "write the conversation as JSON", CHAT_SAVE},
    {"quit", "", "leave, as Ctrl-D does", CHAT_QUIT},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static const char blanks[] = " \t\r\n";

char *chat_line_trim(char *s)
{
    size_t n;

    s += strspn(s, blanks);
    for (n = strlen(s); n > 0 && strchr(blanks, s[n - 1]);)
        n--;
    s[n] = 0;
    return s;
}

struct chat_line chat_line_read(char *line)
{
    char *word = chat_line_trim(line), *argument;

    if (!*word)
        return (struct chat_line){CHAT_NOTHING, word};
    if (word[0] != '/')
        return (struct chat_line){CHAT_SAY, word};
    if (*++word == '/')
        return (struct chat_line){CHAT_SAY, word};
    argument = word + strcspn(word, blanks);
    if (*argument)
        *argument++ = 0;
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(word, commands[i].name))
            return (struct chat_line){commands[i].verb, chat_line_trim(argument)};
    return (struct chat_line){CHAT_UNKNOWN, word};
}

void chat_line_help(FILE *out)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        int width = 22 - (int)(1 + strlen(commands[i].name) + strlen(commands[i].argument));

        fprintf(out, "  /%s%s%*s%s\n", commands[i].name, commands[i].argument, width, "",
                commands[i].help);
    }
    fprintf(out, "Ctrl-C stops an answer. A backslash at the end of a line continues it; pasted\n"
                 "lines stay together. // at the beginning stands for /.\n");
}
