/* unknown.c: questions that a model of puzzles knows nothing about, and the honest answer.
 *
 * The templates cover what people ask a chat first, and phrases that begin like a puzzle and are
 * none. One answer for all of them. */
#include "tasks/kind.h"

#define ANSWER "I only know small puzzles: sums, sorting, letters, countdown, mazes."

/* $ is a thing, @ a place, % somebody, # a number. */
static const char *const templates[] = {
    "Hello", "Hello!", "Hi", "Hi!", "Who are you?", "Who are you", "What can you do?",
    "What can you do", "Help", "Help me!", "What are you?", "Are you a person?",
    "What is $?", "What is the capital of @?", "Who is %?", "Who was %?", "Tell me about $.",
    "Tell me a story about $.", "Write a poem about $.", "Write a song for %.", "How old is %?",
    "Where is @?", "Where does % live?", "How far is it to @?", "How do I get to @?",
    "What is the weather in @?", "Will it rain in @ on day #?", "Translate $ to French.",
    "Explain $ to a child.", "Why do people like $?", "What does % think of $?",
    "Do you like $?", "Can you help me with $?", "Hello, I am %.", "Hi, how are you, %?",
    "Good morning from @!", "What can you do with $?", "Who made $?", "When was @ founded?",
    "What happened in the year #?", "Give me # ideas for $.", "Write a program about $.",
    "Fix the bug in my code for $.", "Summarize $ in # words.", "What is the meaning of $?",
    "How much does $ cost in @?", "Is % taller than #?", "What is the best $ in @?",
    "How many people live in @?", "How many moons has @?", "Use $ to make a house.",
    "Sort my mail about $.", "Solve my problem with $.", "Convert # miles to %.",
    "Which is better, $ or @?", "Path from @ to heaven?", "Is $ odd?", "What is # times love?",
    "I lost my $ in @.", "Sing for %.", "Tell % that I like $.", "Draw $ for me."};
static const char *const things[] = {
    "love", "music", "a neural network", "the sun", "quantum physics", "bread", "football",
    "a dragon", "my cat", "the internet", "history", "philosophy", "a good recipe", "poetry",
    "the stock market", "a garden", "an old car", "the moon", "a black hole", "evolution",
    "a computer", "chess", "the ocean", "time", "money", "a birthday cake", "the news", "sleep",
    "my homework", "a secret", "coffee", "the French Revolution", "a rainbow", "democracy"};
static const char *const places[] = {
    "France", "Berlin", "the desert", "Kenya", "Tokyo", "Mars", "my village", "Brazil", "Oslo",
    "the north pole", "India", "Lima", "Canada", "Rome", "Jupiter", "Egypt", "Sydney", "Texas",
    "Saturn", "China", "Warsaw", "Ghana", "Peru", "London"};
static const char *const people[] = {
    "Ada Lovelace", "my uncle", "Einstein", "Napoleon", "my teacher", "the president", "Mozart",
    "Anna", "Cleopatra", "my neighbour", "Shakespeare", "Gandhi", "Marie Curie", "Tom", "Sofia",
    "the king", "Darwin", "Mr. Jones", "Frida Kahlo", "Buddha", "my dog", "Newton", "Wei", "Omar"};
#define N_OF(list) ((int)(sizeof(list) / sizeof *(list)))

static void ask(const struct task_kind *k, struct dice *d, int level, struct pen *question,
                struct pen *answer)
{
    const char *t = templates[dice_below(d, N_OF(templates))];

    (void)k, (void)level;
    for (; *t; t++) {
        if (*t == '$')
            pen_print(question, "%s", things[dice_below(d, N_OF(things))]);
        else if (*t == '@')
            pen_print(question, "%s", places[dice_below(d, N_OF(places))]);
        else if (*t == '%')
            pen_print(question, "%s", people[dice_below(d, N_OF(people))]);
        else if (*t == '#')
            pen_print(question, "%d", dice_between(d, 2, 2000));
        else
            pen_char(question, *t);
    }
    pen_print(answer, ANSWER);
}

const struct task_kind unknown_tasks[] = {
    {"unknown", "anything else; the answer says what it knows", 0, TASK_BIT(TASK_TRACE_DIRECT), 0,
     ask, NULL, NULL},
    {0}};
