/* math_lex.c: an answer as a row of tokens. See math_lex.h. */
#include "verify/math_lex.h"

#include <string.h>

#include "verify/math_commands.h"

struct lexer {
    const char *at, *end;
    struct math_tokens *out;
    bool join, spaced;
    bool per;             /* the next unit divides the last one */
    bool ended;           /* words behind a value: no mathematics may follow in this member */
    int braces, brackets; /* open ones */
    uint64_t text;        /* bit d: the brace of depth d belongs to \text{} */
    int text_depth;       /* how many of them are open */
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool push(struct lexer *l, enum math_token_kind kind, int id, char sign, const char *at,
                 size_t n)
{
    bool parts = kind == TOKEN_AND || (kind == TOKEN_SIGN && strchr(",;)]}T", sign));

    if (l->out->n == MATH_MAX_TOKENS || (l->ended && !parts))
        return false;
    l->ended = false;
    l->out->at[l->out->n++] = (struct math_token){kind, id, sign, l->spaced, {at, n}};
    l->spaced = false;
    return true;
}

static bool push_sign(struct lexer *l, char sign, size_t bytes)
{
    bool ok = push(l, TOKEN_SIGN, 0, sign, l->at, bytes);

    l->at += bytes;
    if (strchr("([S", sign))
        l->brackets++;
    else if (strchr(")]T", sign) && l->brackets)
        l->brackets--;
    return ok && l->brackets <= MATH_MAX_DEPTH;
}

/* Could the token before end a value? Words behind a value are units. */
static bool after_value(const struct lexer *l)
{
    const struct math_token *t;

    if (!l->out->n)
        return false;
    t = &l->out->at[l->out->n - 1];
    switch (t->kind) {
    case TOKEN_NUMBER:
    case TOKEN_VARIABLE:
    case TOKEN_PI:
    case TOKEN_MATRIX_END:
        return true;
    case TOKEN_SIGN:
        return strchr(")]}T|!%", t->sign) != NULL;
    default:
        return false;
    }
}

/* Bytes of a separator of thousands at s, with three digits and no fourth behind it; 0: none.
 * *plain: it is a mere comma, which could part a list as well. */
static size_t separator(const char *s, const char *end, bool *plain)
{
    const char *p = s;
    bool thin = false;
    int digits = 0;

    if (math_starts(p, (size_t)(end - p), "\\!")) {
        p += 2;
        thin = true;
    }
    if (math_starts(p, (size_t)(end - p), "{,}")) {
        p += 3;
        thin = true;
    } else if (!thin && math_starts(p, (size_t)(end - p), "\\,")) {
        p += 2;
        thin = true;
    } else if (p < end && (*p == ',' || *p == ' ')) {
        p++;
    } else {
        return 0;
    }
    if (math_starts(p, (size_t)(end - p), "\\!")) {
        p += 2;
        thin = true;
    }
    while (thin && p < end && *p == ' ')
        p++;
    while (p + digits < end && digits < 4 && is_digit(p[digits]))
        digits++;
    *plain = !thin;
    return digits == 3 ? (size_t)(p - s) : 0;
}

static bool lex_number(struct lexer *l)
{
    const char *start = l->at, *p = l->at, *e;
    size_t bytes;
    bool plain;

    while (p < l->end && is_digit(*p))
        p++;
    if (p - start <= 3 && p > start && *start != '0')
        while ((bytes = separator(p, l->end, &plain)) > 0) {
            if (plain && l->brackets)
                break;
            l->out->grouped |= plain;
            if (plain && !l->join && p[bytes] != '0') /* no list has a member 000 */
                break;
            p += bytes + 3;
        }
    if (p < l->end && *p == '.' && !(p + 1 < l->end && p[1] == '.'))
        for (p++; p < l->end && is_digit(*p); p++)
            ;
    e = p + 1;
    if (p < l->end && (*p == 'e' || *p == 'E') && e < l->end) {
        e += *e == '+' || *e == '-';
        for (int i = 0; i < 9 && e < l->end && is_digit(*e); i++)
            p = ++e;
        if (p < l->end && p == e && is_digit(*p)) /* more digits than an exponent has */
            return false;
    }
    l->at = p;
    return push(l, TOKEN_NUMBER, 0, 0, start, (size_t)(p - start));
}

/* Behind a unit: its power, and the slash before the next unit. */
static void skip_unit_tail(struct lexer *l)
{
    static const char *const powers[] = {"^2", "^3", "^{2}", "^{3}", "\xc2\xb2", "\xc2\xb3"};
    const char *p = l->at;

    while (p < l->end && (*p == '}' || *p == ' ') && l->text_depth)
        p++; /* "\text{ cm}^2": only looked past, the brace is read as usual */
    for (size_t i = 0; i < sizeof powers / sizeof *powers; i++)
        if (p == l->at && math_starts(p, (size_t)(l->end - p), powers[i]))
            l->at += strlen(powers[i]);
    p = l->at;
    while (p < l->end && *p == ' ')
        p++;
    if (p + 1 < l->end && *p == '/' && (is_letter(p[1]) || p[1] == '\\')) {
        l->per = true;
        l->at = p + 1;
    }
}

/* A word that is no mathematics: dropped behind a value, refused elsewhere. */
static bool lex_word(struct lexer *l, struct text_span word)
{
    const char *multiple = math_multiple(word);
    int unit = math_unit(word);

    l->at = word.at + word.n;
    if (!after_value(l) || math_tells(word))
        return false;
    if (multiple)
        return push(l, TOKEN_SIGN, 0, '*', word.at, word.n) &&
               push(l, TOKEN_NUMBER, 0, 0, multiple, strlen(multiple));
    if (unit > 0 && l->out->unit && l->out->unit != unit && !l->per)
        return false; /* 2 hours 30 minutes */
    l->per = word.n == 3 && math_starts(word.at, 3, "per");
    l->ended |= unit < 0;
    if (unit > 0 && !l->out->unit)
        l->out->unit = unit;
    if (l->at < l->end && *l->at == '.')
        l->at++; /* in. */
    skip_unit_tail(l);
    return true;
}

/* "xy" and "abc" are products; "no" and "men" are words. */
static bool is_product(struct text_span word)
{
    static const char *const words[] = {"no", "is", "it", "an", "at", "by", "to", "if",
                                        "so", "as", "he", "we", "us", "be", "am", "pm"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (word.n == 2 && (word.at[0] | 32) == words[i][0] && (word.at[1] | 32) == words[i][1])
            return false;
    if (word.n == 2)
        return math_unit(word) < 0;
    for (size_t i = 0; i < word.n; i++)
        if ((i && word.at[i] <= word.at[i - 1]) || strchr("eiouEIOU", word.at[i]) ||
            (i && (word.at[i] == 'a' || word.at[i] == 'A')))
            return false;
    return true;
}

/* One letter, its index and its primes: x, x_1, x_{12}, f'. */
static bool lex_variable(struct lexer *l, const char *start)
{
    const char *p = l->at;
    int n = 0;

    if (p + 1 < l->end && *p == '_' && (is_letter(p[1]) || is_digit(p[1]))) {
        p += 2;
    } else if (p + 1 < l->end && *p == '_' && p[1] == '{') {
        for (p += 2; p < l->end && n < 8 && (is_letter(*p) || is_digit(*p)); p++)
            n++;
        if (p == l->end || *p != '}' || !n)
            return false;
        p++;
    }
    while (p < l->end && *p == '\'')
        p++;
    l->at = p;
    return push(l, TOKEN_VARIABLE, 0, 0, start, (size_t)(p - start));
}

static bool is_union_letter(const struct lexer *l)
{
    const char *p = l->at + 1;

    while (p < l->end && (*p == ' ' || *p == '\\'))
        p++;
    return *l->at == 'U' && after_value(l) && l->out->at[l->out->n - 1].kind == TOKEN_SIGN &&
           p < l->end && (*p == '(' || *p == '[' || *p == 'l');
}

static bool lex_letters(struct lexer *l)
{
    struct text_span word = {l->at, 0};
    struct math_command c;
    const char *end;

    while (l->at + word.n < l->end && is_letter(l->at[word.n]))
        word.n++;
    end = word.at + word.n;
    if (word.n > 1 && math_command_named(word, false, &c)) {
        l->at = end;
        return push(l, c.kind, c.id, c.sign, word.at, word.n);
    }
    if (word.n == 1 && is_union_letter(l)) {
        l->at = end;
        return push(l, TOKEN_UNION, 0, 0, word.at, 1);
    }
    if (l->text_depth || l->per ? word.n > 1 || after_value(l) : word.n > 1 && !is_product(word))
        return lex_word(l, word);
    while (l->at < end) {
        const char *letter = l->at++;

        if (!lex_variable(l, letter))
            return false;
    }
    return true;
}

static bool lex_environment(struct lexer *l, bool begin)
{
    struct text_span name = {l->at + 1, 0};
    bool matrix, array;

    if (l->at == l->end || *l->at != '{')
        return false;
    while (name.at + name.n < l->end && name.at[name.n] != '}' && name.n < 16)
        name.n++;
    if (name.at + name.n == l->end || name.at[name.n] != '}')
        return false;
    l->at = name.at + name.n + 1;
    matrix = name.n >= 6 && math_starts(name.at + name.n - 6, 6, "matrix");
    array = math_starts(name.at, name.n, "array");
    if (begin && array && l->at < l->end && *l->at == '{') { /* {cc|c} */
        while (l->at < l->end && *l->at != '}')
            l->at++;
        l->at += l->at < l->end;
    }
    if (!matrix && !array)
        return false;
    return push(l, begin ? TOKEN_MATRIX : TOKEN_MATRIX_END, name.at[0] == 'v', 0, name.at, name.n);
}

/* A degree sign belongs to the value before it; the letter of a scale may follow. */
static bool lex_degree(struct lexer *l)
{
    static const char word[] = "degrees";
    int unit = math_unit((struct text_span){word, sizeof word - 1});

    while (l->at < l->end && *l->at == ' ')
        l->at++;
    if (l->at < l->end && (*l->at == 'C' || *l->at == 'F'))
        l->at++;
    if (l->out->unit && l->out->unit != unit)
        return false;
    l->out->unit = unit;
    return after_value(l);
}

/* 5\mathrm{m} is a length; 5\mathrm{i} and 5\mathrm{e} are numbers. */
static bool is_roman_unit(const struct lexer *l, struct text_span name)
{
    size_t n = (size_t)(l->end - l->at);

    return name.n == 6 && math_starts(name.at, 6, "mathrm") && after_value(l) && n > 2 &&
           l->at[0] == '{' && !(l->at[2] == '}' && strchr("ied", l->at[1]));
}

static bool act(struct lexer *l, struct math_command c, struct text_span name)
{
    if (c.kind == TOKEN_END && c.id == COMMAND_SKIP && is_roman_unit(l, name))
        c.id = COMMAND_TEXT;
    if (c.kind == TOKEN_VARIABLE)
        return lex_variable(l, name.at);
    if (c.kind == TOKEN_SIGN) {
        l->at -= 1;
        return push_sign(l, c.sign, 1);
    }
    if (c.kind != TOKEN_END)
        return push(l, c.kind, c.id, c.sign, name.at, name.n);
    switch (c.id) {
    case COMMAND_DEGREE:
        return lex_degree(l);
    case COMMAND_TEXT:
        while (l->at < l->end && *l->at == ' ')
            l->at++;
        if (l->at == l->end || *l->at != '{' || l->braces >= MATH_MAX_DEPTH)
            return false;
        l->text |= 1ull << l->braces++;
        l->text_depth++;
        l->at++;
        return true;
    case COMMAND_BEGIN:
    case COMMAND_ENDING:
        return lex_environment(l, c.id == COMMAND_BEGIN);
    default: /* decoration; \left. has a dot */
        if (math_starts(name.at, name.n, "left") || math_starts(name.at, name.n, "right"))
            l->at += l->at < l->end && *l->at == '.';
        return true;
    }
}

static bool lex_backslash(struct lexer *l)
{
    struct text_span name = {l->at + 1, 0};
    struct math_command c;

    while (name.at + name.n < l->end && is_letter(name.at[name.n]))
        name.n++;
    if (name.n) {
        l->at = name.at + name.n;
        return math_command_named(name, true, &c) && act(l, c, name);
    }
    if (name.at == l->end)
        return false;
    switch (*name.at) {
    case '{':
        return push_sign(l, 'S', 2);
    case '}':
        return push_sign(l, 'T', 2);
    case '%':
    case '&':
    case '|':
        return push_sign(l, *name.at, 2);
    case '\\':
        l->at += 2;
        return push(l, TOKEN_ROW, 0, 0, name.at, 1);
    case '$':
        l->at += 2;
        l->out->unit = math_unit((struct text_span){"dollars", 7});
        return true;
    case ',':
    case '!':
    case ';':
    case ':':
    case ' ':
    case '(':
    case ')':
        l->at += 2;
        l->spaced |= *name.at != '!';
        return true;
    default:
        return false;
    }
}

static bool lex_brace(struct lexer *l)
{
    uint64_t bit;

    if (*l->at == '{') {
        if (l->braces >= MATH_MAX_DEPTH)
            return false;
        l->text &= ~(1ull << l->braces++);
        return push_sign(l, '{', 1);
    }
    if (!l->braces)
        return false;
    bit = 1ull << --l->braces;
    if (!(l->text & bit))
        return push_sign(l, '}', 1);
    l->text_depth--;
    l->at++;
    if ((l->out->unit || l->ended) && !l->text_depth)
        skip_unit_tail(l);
    return true;
}

static bool lex_relation(struct lexer *l)
{
    bool equal = l->at + 1 < l->end && l->at[1] == '=';
    const char *start = l->at;
    int id = RELATION_EQUAL;

    if (*l->at == '<')
        id = equal ? RELATION_AT_MOST : RELATION_LESS;
    else if (*l->at == '>')
        id = equal ? RELATION_AT_LEAST : RELATION_MORE;
    else if (*l->at == ':')
        id = RELATION_RATIO;
    else if (*l->at == '!')
        id = RELATION_UNEQUAL;
    l->at += 1 + (equal && *l->at != ':');
    return push(l, TOKEN_RELATION, id, 0, start, (size_t)(l->at - start));
}

/* ^\circ and ^{\circ}: the degree sign in LaTeX. */
static bool skip_raised_degree(struct lexer *l)
{
    static const char *const spellings[] = {"^\\circ", "^{\\circ}", "^ \\circ", "^o ",
                                            "^{\\degree}"};

    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
        if (math_starts(l->at, (size_t)(l->end - l->at), spellings[i])) {
            l->at += strlen(spellings[i]);
            return true;
        }
    return false;
}

static bool lex_unicode(struct lexer *l)
{
    size_t bytes = 0;
    const char *command = math_unicode(l->at, (size_t)(l->end - l->at), &bytes), *start = l->at;
    struct math_command c;

    if (!command)
        return false;
    if (*command == '-')
        return push_sign(l, '-', bytes);
    l->at += bytes;
    if (*command == '^')
        return push(l, TOKEN_SIGN, 0, '^', start, bytes) &&
               push(l, TOKEN_NUMBER, 0, 0, command + 1, 1);
    if (!math_command_named((struct text_span){command, strlen(command)}, true, &c))
        return false;
    if (c.kind == TOKEN_VARIABLE)
        return push(l, c.kind, 0, 0, command, strlen(command));
    return act(l, c, (struct text_span){command, strlen(command)});
}

static bool lex_one(struct lexer *l)
{
    char c = *l->at;
    bool next = l->at + 1 < l->end;

    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '$' || c == '~') {
        l->spaced = true;
        l->at++;
        return true;
    }
    if (is_digit(c) || (c == '.' && next && is_digit(l->at[1])) ||
        math_starts(l->at, (size_t)(l->end - l->at), ".\\overline"))
        return lex_number(l);
    if (is_letter(c))
        return lex_letters(l);
    if (c == '\\')
        return lex_backslash(l);
    if (c == '{' || c == '}')
        return lex_brace(l);
    if ((c == '<' || c == '>' || c == '=' || c == ':') || (c == '!' && next && l->at[1] == '='))
        return lex_relation(l);
    if (c == '^' && skip_raised_degree(l))
        return lex_degree(l);
    if (c == '*' && next && l->at[1] == '*') /* Python's power */
        return push_sign(l, '^', 2);
    if (l->text_depth && (c == '/' || c == '.' || c == '-')) {
        l->at++;
        return true;
    }
    if (c && strchr("+-*/^_!%()[]|,;&", c))
        return push_sign(l, c, 1);
    return lex_unicode(l);
}

bool math_lex(struct text_span text, bool join, struct math_tokens *out)
{
    struct lexer l = {.at = text.at, .end = text.at + text.n, .out = out, .join = join};

    out->n = 0;
    out->unit = 0;
    out->grouped = false;
    if (!text.n || text.n > MATH_MAX_BYTES)
        return false;
    while (l.at < l.end)
        if (!lex_one(&l))
            return false;
    out->at[out->n] = (struct math_token){TOKEN_END, 0, 0, false, {text.at + text.n, 0}};
    return out->n > 0 && !l.braces;
}
