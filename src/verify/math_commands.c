/* math_commands.c: what a LaTeX command, a typed word or a sign of Unicode means. */
#include <string.h>

#include "verify/math_commands.h"
#include "verify/number.h"

static const struct math_command commands[] = {
    {"frac", TOKEN_FRACTION, 0, 0},
    {"dfrac", TOKEN_FRACTION, 0, 0},
    {"tfrac", TOKEN_FRACTION, 0, 0},
    {"cfrac", TOKEN_FRACTION, 0, 0},
    {"binom", TOKEN_BINOMIAL, 0, 0},
    {"dbinom", TOKEN_BINOMIAL, 0, 0},
    {"tbinom", TOKEN_BINOMIAL, 0, 0},
    {"overline", TOKEN_OVERLINE, 0, 0},
    {"cdot", TOKEN_SIGN, 0, '*'},
    {"times", TOKEN_SIGN, 0, '*'},
    {"ast", TOKEN_SIGN, 0, '*'},
    {"div", TOKEN_SIGN, 0, '/'},
    {"colon", TOKEN_RELATION, RELATION_RATIO, 0},
    {"lvert", TOKEN_SIGN, 0, '|'},
    {"rvert", TOKEN_SIGN, 0, '|'},
    {"vert", TOKEN_SIGN, 0, '|'},
    {"langle", TOKEN_SIGN, 0, '('},
    {"rangle", TOKEN_SIGN, 0, ')'},
    {"lbrace", TOKEN_SIGN, 0, 'S'},
    {"rbrace", TOKEN_SIGN, 0, 'T'},
    {"lbrack", TOKEN_SIGN, 0, '['},
    {"rbrack", TOKEN_SIGN, 0, ']'},
    {"cup", TOKEN_UNION, 0, 0},
    {"pm", TOKEN_PLUS_MINUS, 0, 0},
    {"mp", TOKEN_MINUS_PLUS, 0, 0},
    {"emptyset", TOKEN_EMPTY_SET, 0, 0},
    {"varnothing", TOKEN_EMPTY_SET, 0, 0},
    {"infty", TOKEN_INFINITY, 0, 0},
    {"le", TOKEN_RELATION, RELATION_AT_MOST, 0},
    {"leq", TOKEN_RELATION, RELATION_AT_MOST, 0},
    {"leqslant", TOKEN_RELATION, RELATION_AT_MOST, 0},
    {"ge", TOKEN_RELATION, RELATION_AT_LEAST, 0},
    {"geq", TOKEN_RELATION, RELATION_AT_LEAST, 0},
    {"geqslant", TOKEN_RELATION, RELATION_AT_LEAST, 0},
    {"lt", TOKEN_RELATION, RELATION_LESS, 0},
    {"gt", TOKEN_RELATION, RELATION_MORE, 0},
    {"ne", TOKEN_RELATION, RELATION_UNEQUAL, 0},
    {"neq", TOKEN_RELATION, RELATION_UNEQUAL, 0},
    {"in", TOKEN_RELATION, RELATION_IN, 0},
    {"approx", TOKEN_RELATION, RELATION_EQUAL, 0},
    {"degree", TOKEN_END, COMMAND_DEGREE, 0},
    {"circ", TOKEN_END, COMMAND_DEGREE, 0},
    {"text", TOKEN_END, COMMAND_TEXT, 0},
    {"mbox", TOKEN_END, COMMAND_TEXT, 0},
    {"textbf", TOKEN_END, COMMAND_TEXT, 0},
    {"textit", TOKEN_END, COMMAND_TEXT, 0},
    {"textrm", TOKEN_END, COMMAND_TEXT, 0},
    {"textnormal", TOKEN_END, COMMAND_TEXT, 0},
    {"begin", TOKEN_END, COMMAND_BEGIN, 0},
    {"end", TOKEN_END, COMMAND_ENDING, 0},
};

/* Known with and without a backslash. */
static const struct math_command names[] = {
    {"sqrt", TOKEN_ROOT, 0, 0},
    {"pi", TOKEN_PI, 0, 0},
    {"log", TOKEN_LOG, 0, 0},
    {"lg", TOKEN_LOG, 0, 0},
    {"ln", TOKEN_FUNCTION, NUMBER_LN, 0},
    {"exp", TOKEN_FUNCTION, NUMBER_EXP, 0},
    {"sin", TOKEN_FUNCTION, NUMBER_SIN, 0},
    {"cos", TOKEN_FUNCTION, NUMBER_COS, 0},
    {"tan", TOKEN_FUNCTION, NUMBER_TAN, 0},
    {"cot", TOKEN_FUNCTION, NUMBER_COT, 0},
    {"sec", TOKEN_FUNCTION, NUMBER_SEC, 0},
    {"csc", TOKEN_FUNCTION, NUMBER_CSC, 0},
    {"arcsin", TOKEN_FUNCTION, NUMBER_ASIN, 0},
    {"arccos", TOKEN_FUNCTION, NUMBER_ACOS, 0},
    {"arctan", TOKEN_FUNCTION, NUMBER_ATAN, 0},
    {"sinh", TOKEN_FUNCTION, NUMBER_SINH, 0},
    {"cosh", TOKEN_FUNCTION, NUMBER_COSH, 0},
    {"tanh", TOKEN_FUNCTION, NUMBER_TANH, 0},
    {"infinity", TOKEN_INFINITY, 0, 0},
    {"inf", TOKEN_INFINITY, 0, 0},
    {"and", TOKEN_AND, 0, 0},
    {"or", TOKEN_AND, 0, 0},
    {"percent", TOKEN_SIGN, 0, '%'},
};

static const char skipped[] =
    " left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr quad qquad displaystyle "
    "textstyle limits thinspace mathrm mathbf mathit mathsf mathbb mathcal operatorname boxed fbox "
    "bf rm it dollar ";

static const char greek[] =
    " alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi "
    "rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi "
    "Omega ell hbar R N Z Q C ";

/* A sign of several bytes and what it is spelled otherwise. */
static const struct {
    const char *sign, *command;
} unicode[] = {
    {"\xe2\x88\x92", "-"},    {"\xe2\x80\x93", "-"},     {"\xc3\x97", "times"},
    {"\xc2\xb7", "times"},    {"\xe2\x8b\x85", "times"}, {"\xc3\xb7", "div"},
    {"\xcf\x80", "pi"},       {"\xe2\x88\x9a", "sqrt"},  {"\xe2\x88\x9e", "infty"},
    {"\xe2\x88\xaa", "cup"},  {"\xe2\x89\xa4", "le"},    {"\xe2\x89\xa5", "ge"},
    {"\xe2\x89\xa0", "ne"},   {"\xe2\x88\x88", "in"},    {"\xe2\x89\x88", "approx"},
    {"\xc2\xb1", "pm"},       {"\xe2\x88\x93", "mp"},    {"\xe2\x88\x85", "emptyset"},
    {"\xc2\xb0", "degree"},   {"\xce\xb1", "alpha"},     {"\xce\xb2", "beta"},
    {"\xce\xb3", "gamma"},    {"\xce\xb4", "delta"},     {"\xce\xb8", "theta"},
    {"\xce\xbb", "lambda"},   {"\xce\xbc", "mu"},        {"\xcf\x83", "sigma"},
    {"\xcf\x86", "phi"},      {"\xcf\x89", "omega"},     {"\xc2\xa0", "quad"},
    {"\xe2\x80\xaf", "quad"}, {"\xe2\x80\x89", "quad"},  {"\xc2\xb2", "^2"},
    {"\xc2\xb3", "^3"},
};

bool math_starts(const char *s, size_t n, const char *word)
{
    size_t k = strlen(word);

    return n >= k && !memcmp(s, word, k);
}

static bool listed(const char *list, struct text_span name)
{
    char padded[20];

    if (name.n + 3 > sizeof padded || !name.n)
        return false;
    padded[0] = ' ';
    memcpy(padded + 1, name.at, name.n);
    padded[name.n + 1] = ' ';
    padded[name.n + 2] = 0;
    return strstr(list, padded) != NULL;
}

static const struct math_command *find(const struct math_command *table, size_t n,
                                       struct text_span name)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(table[i].name) == name.n && !memcmp(table[i].name, name.at, name.n))
            return &table[i];
    return NULL;
}

bool math_command_named(struct text_span name, bool backslash, struct math_command *out)
{
    const struct math_command *c = find(names, sizeof names / sizeof *names, name);

    if (!c && backslash)
        c = find(commands, sizeof commands / sizeof *commands, name);
    if (c)
        *out = *c;
    else if (backslash && listed(skipped, name))
        *out = (struct math_command){"", TOKEN_END, COMMAND_SKIP, 0};
    else if (backslash && listed(greek, name))
        *out = (struct math_command){"", TOKEN_VARIABLE, 0, 0};
    else
        return false;
    return true;
}

const char *math_unicode(const char *s, size_t n, size_t *bytes)
{
    for (size_t i = 0; i < sizeof unicode / sizeof *unicode; i++)
        if (math_starts(s, n, unicode[i].sign)) {
            *bytes = strlen(unicode[i].sign);
            return unicode[i].command;
        }
    return NULL;
}
