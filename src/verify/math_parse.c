/* math_parse.c: tokens to a tree, by recursive descent of bounded depth.
 *
 *   list      relation ((, | ; | and | or) relation)*
 *   relation  union ((= | < | : | in ...) union)*
 *   union     sum (U sum)*
 *   sum       term ((+ | - | +-) term)*
 *   term      power ((* | / | nothing) power)*         2x, 3\sqrt{2}, 1\frac{1}{2}
 *   power     postfix (^ power)?
 *   postfix   primary (! | %)*
 *   primary   number, variable, function, fraction, root, group, set, matrix, |x| */
#include "verify/math_tree.h"

#define PARSE_DEPTH (4 * MATH_MAX_DEPTH) /* a bracket takes three to four levels */

struct parser {
    const struct math_token *at;
    struct math_tree *out;
    int depth;
    int bars; /* open |: the next one closes */
};

static int parse_list(struct parser *p);
static int parse_sum(struct parser *p);
static int parse_primary(struct parser *p);
static int parse_power(struct parser *p);

/* Every function here returns a node or -1: no answer, or too large. */
static int add_node(struct parser *p, enum math_node_kind kind, int id)
{
    struct math_tree *t = p->out;

    if (t->n == MATH_MAX_NODES)
        return -1;
    t->at[t->n] = (struct math_node){.kind = kind, .id = id, .first = -1, .next = -1};
    return t->n++;
}

/* Puts a member behind the last one; either may be -1. */
static int append(struct parser *p, int node, int member)
{
    struct math_node *at = p->out->at;
    int last;

    if (node < 0 || member < 0)
        return -1;
    if (at[node].first < 0) {
        at[node].first = (int16_t)member;
    } else {
        for (last = at[node].first; at[last].next >= 0;)
            last = at[last].next;
        at[last].next = (int16_t)member;
    }
    at[node].n_members++;
    return node;
}

static int unary(struct parser *p, enum math_node_kind kind, int id, int a)
{
    return a < 0 ? -1 : append(p, add_node(p, kind, id), a);
}

static int binary(struct parser *p, enum math_node_kind kind, int a, int b)
{
    return a < 0 || b < 0 ? -1 : append(p, append(p, add_node(p, kind, 0), a), b);
}

static bool is_sign(const struct math_token *t, char sign)
{
    return t->kind == TOKEN_SIGN && t->sign == sign;
}

static bool take_sign(struct parser *p, char sign)
{
    if (!is_sign(p->at, sign))
        return false;
    p->at++;
    return true;
}

/* What a command takes: {...}, or one token. Of a number without braces \frac takes one digit and
 * leaves the others in *rest; 2^10 and \sqrt51 take all (rest is NULL), as they are meant. */
static int parse_argument(struct parser *p, struct math_token *rest)
{
    int node;

    if (take_sign(p, '{')) {
        node = parse_list(p);
        return take_sign(p, '}') ? node : -1;
    }
    if (p->at->kind == TOKEN_NUMBER) {
        node = add_node(p, NODE_NUMBER, 0);
        if (node < 0)
            return -1;
        p->out->at[node].text = p->at->text;
        if (rest && p->at->text.n > 1) {
            *rest = *p->at;
            rest->text.at++;
            rest->text.n--;
            p->out->at[node].text.n = 1;
        }
        p->at++;
        return node;
    }
    if (is_sign(p->at, '-') || is_sign(p->at, '+')) /* 10^-3 */
        return p->at++->sign == '-' ? unary(p, NODE_NEGATE, 0, parse_argument(p, NULL))
                                    : parse_argument(p, NULL);
    return parse_primary(p);
}

/* \frac ab; "\frac12" and "\frac{1}2" and "\frac 59" too. */
static int parse_fraction(struct parser *p, enum math_node_kind kind)
{
    struct math_token rest = {0};
    int a = parse_argument(p, &rest), b;

    if (a < 0)
        return -1;
    if (!rest.text.n)
        return binary(p, kind, a, parse_argument(p, NULL));
    if (rest.text.n > 1) /* \frac123 */
        return -1;
    b = add_node(p, NODE_NUMBER, 0);
    if (b >= 0)
        p->out->at[b].text = rest.text;
    return binary(p, kind, a, b);
}

static int parse_root(struct parser *p)
{
    int64_t which = 2;
    int index, node;

    if (take_sign(p, '[')) {
        index = parse_sum(p);
        if (index < 0 || !take_sign(p, ']') ||
            !number_is_whole(math_value(p->out, index, &(struct math_place){0, 1, true}), &which) ||
            which < 2 || which > 64)
            return -1;
    }
    node = parse_argument(p, NULL);
    return unary(p, NODE_ROOT, (int)which, node);
}

/* Does a factor begin here without a sign before it? A number does not: 2 3 is no product. */
static bool begins_factor(const struct parser *p)
{
    switch (p->at->kind) {
    case TOKEN_VARIABLE:
    case TOKEN_FUNCTION:
    case TOKEN_LOG:
    case TOKEN_FRACTION:
    case TOKEN_BINOMIAL:
    case TOKEN_ROOT:
    case TOKEN_PI:
    case TOKEN_MATRIX:
        return true;
    case TOKEN_SIGN:
        return p->at->sign == '(' || p->at->sign == '{' || p->at->sign == '[' ||
               (p->at->sign == '|' && !p->bars);
    default:
        return false;
    }
}

/* What a function is applied to: a group, or the factors that follow: \sin 2x. */
static int parse_operand(struct parser *p)
{
    int node, next;

    if (is_sign(p->at, '(') || is_sign(p->at, '{') || is_sign(p->at, '['))
        return parse_primary(p);
    if (take_sign(p, '-'))
        return unary(p, NODE_NEGATE, 0, parse_operand(p));
    node = parse_power(p);
    while (node >= 0 && begins_factor(p) && p->at->kind != TOKEN_FUNCTION &&
           p->at->kind != TOKEN_LOG && !is_sign(p->at, '(')) {
        next = parse_power(p);
        node = binary(p, NODE_MULTIPLY, node, next);
    }
    return node;
}

/* \sin^2 x is (\sin x)^2; \sin^{-1} x is its inverse. */
static int parse_function(struct parser *p, int f)
{
    static const int inverse[][2] = {
        {NUMBER_SIN, NUMBER_ASIN}, {NUMBER_COS, NUMBER_ACOS}, {NUMBER_TAN, NUMBER_ATAN}};
    int power = -1, node;
    int64_t n = 0;

    if (take_sign(p, '^')) {
        power = parse_argument(p, NULL);
        if (power < 0)
            return -1;
        number_is_whole(math_value(p->out, power, &(struct math_place){0, 1, true}), &n);
    }
    for (int i = 0; n == -1 && i < 3; i++)
        if (inverse[i][0] == f) {
            f = inverse[i][1];
            power = -1;
            break;
        }
    node = unary(p, NODE_APPLY, f, parse_operand(p));
    return power < 0 ? node : binary(p, NODE_POWER, node, power);
}

static int parse_log(struct parser *p)
{
    static const char ten[] = "10";
    int base, argument;

    if (take_sign(p, '_')) {
        base = parse_argument(p, NULL);
    } else {
        base = add_node(p, NODE_NUMBER, 0);
        if (base >= 0)
            p->out->at[base].text = (struct text_span){ten, 2};
    }
    argument = parse_operand(p);
    return binary(p, NODE_LOG, base, argument);
}

/* ( ... ) and [ ... ]: one member in like brackets is that member, more are a tuple. */
static int parse_group(struct parser *p, char open)
{
    int node = parse_list(p), bars = p->bars;
    char close = is_sign(p->at, ')') ? ')' : ']';

    p->bars = bars;
    if (node < 0 || (!is_sign(p->at, ')') && !is_sign(p->at, ']')))
        return -1;
    p->at++;
    if (p->out->at[node].kind != NODE_LIST)
        return (open == '(') == (close == ')') ? node : -1;
    p->out->at[node].kind = NODE_TUPLE;
    p->out->at[node].open = open;
    p->out->at[node].close = close;
    return node;
}

static int parse_set(struct parser *p, char close)
{
    int node = add_node(p, NODE_SET, 0), inside;

    if (node < 0 || take_sign(p, close))
        return node;
    inside = parse_list(p);
    if (inside < 0 || !take_sign(p, close))
        return -1;
    if (p->out->at[inside].kind != NODE_LIST)
        return append(p, node, inside);
    p->out->at[inside].kind = NODE_SET;
    return inside;
}

/* {...}: a group of LaTeX; with several members a set that was typed. */
static int parse_braces(struct parser *p)
{
    int node;

    if (take_sign(p, '}'))
        return -1;
    node = parse_list(p);
    if (node < 0 || !take_sign(p, '}'))
        return -1;
    if (p->out->at[node].kind == NODE_LIST)
        p->out->at[node].kind = NODE_SET;
    return node;
}

static int parse_bars(struct parser *p)
{
    int node;

    p->bars++;
    node = parse_sum(p);
    p->bars--;
    return node >= 0 && take_sign(p, '|') ? unary(p, NODE_ABSOLUTE, 0, node) : -1;
}

static int parse_matrix(struct parser *p, bool determinant)
{
    int node = add_node(p, determinant ? NODE_DETERMINANT : NODE_MATRIX, 0), columns = 1, rows = 0;

    for (;;) {
        node = append(p, node, parse_sum(p));
        if (node < 0)
            return -1;
        if (take_sign(p, '&')) {
            columns++;
            continue;
        }
        if (rows && columns != p->out->at[node].id)
            return -1;
        p->out->at[node].id = columns;
        columns = 1;
        rows++;
        if (p->at->kind == TOKEN_ROW)
            p->at++;
        if (p->at->kind == TOKEN_MATRIX_END) {
            p->at++;
            return node;
        }
        if (p->at[-1].kind != TOKEN_ROW)
            return -1;
    }
}

/* A number with what may stand behind it: its base, the digits that repeat. */
static int parse_number(struct parser *p)
{
    int node = add_node(p, NODE_NUMBER, 0), base;
    int64_t n;

    if (node < 0)
        return -1;
    p->out->at[node].text = p->at++->text;
    if (take_sign(p, '_')) {
        base = parse_argument(p, NULL);
        if (base < 0 ||
            !number_is_whole(math_value(p->out, base, &(struct math_place){0, 1, true}), &n) ||
            n < 2 || n > 36 || (p->out->base && p->out->base != n))
            return -1;
        p->out->base = (int)n;
    } else if (p->at->kind == TOKEN_OVERLINE) {
        p->at++;
        p->out->at[node].kind = NODE_REPEATING;
        base = parse_argument(p, NULL);
        if (base < 0 || p->out->at[base].kind != NODE_NUMBER)
            return -1;
        node = append(p, node, base);
    }
    return node;
}

static int parse_leaf(struct parser *p, enum math_node_kind kind)
{
    int node = add_node(p, kind, 0);

    if (node >= 0)
        p->out->at[node].text = p->at[-1].text;
    return node;
}

static int parse_signed_group(struct parser *p, char sign)
{
    switch (sign) {
    case '(':
    case '[':
        return parse_group(p, sign);
    case '{':
        return parse_braces(p);
    case 'S':
        return parse_set(p, 'T');
    case '|':
        return parse_bars(p);
    default:
        return -1;
    }
}

static int parse_primary(struct parser *p)
{
    const struct math_token *t = p->at;
    int node = -1;

    if (++p->depth > PARSE_DEPTH)
        return -1;
    if (t->kind == TOKEN_NUMBER) {
        node = parse_number(p);
    } else {
        p->at += t->kind != TOKEN_END;
        if (t->kind == TOKEN_VARIABLE)
            node = parse_leaf(p, NODE_VARIABLE);
        else if (t->kind == TOKEN_PI)
            node = parse_leaf(p, NODE_PI);
        else if (t->kind == TOKEN_INFINITY)
            node = parse_leaf(p, NODE_INFINITY);
        else if (t->kind == TOKEN_EMPTY_SET)
            node = parse_leaf(p, NODE_SET);
        else if (t->kind == TOKEN_FUNCTION)
            node = parse_function(p, t->id);
        else if (t->kind == TOKEN_LOG)
            node = parse_log(p);
        else if (t->kind == TOKEN_FRACTION)
            node = parse_fraction(p, NODE_DIVIDE);
        else if (t->kind == TOKEN_BINOMIAL)
            node = parse_fraction(p, NODE_BINOMIAL);
        else if (t->kind == TOKEN_ROOT)
            node = parse_root(p);
        else if (t->kind == TOKEN_MATRIX)
            node = parse_matrix(p, t->id == 1);
        else if (t->kind == TOKEN_SIGN)
            node = parse_signed_group(p, t->sign);
    }
    p->depth--;
    return node;
}

static int parse_power(struct parser *p)
{
    int node = parse_primary(p), up;

    while (node >= 0) {
        if (take_sign(p, '!')) {
            node = unary(p, NODE_FACTORIAL, 0, node);
        } else if (take_sign(p, '%')) {
            p->out->has_percent = true;
            node = unary(p, NODE_PERCENT, 0, node);
        } else if (take_sign(p, '^')) {
            if (++p->depth > PARSE_DEPTH)
                return -1;
            up = parse_argument(p, NULL);
            if (up >= 0 && take_sign(p, '^')) /* a^b^c is a^(b^c) */
                up = binary(p, NODE_POWER, up, parse_argument(p, NULL));
            p->depth--;
            node = binary(p, NODE_POWER, node, up);
        } else {
            break;
        }
    }
    return node;
}

static bool is_plain_whole(const struct parser *p, int node)
{
    const struct math_node *n = &p->out->at[node];

    for (size_t i = 0; i < n->text.n; i++)
        if (n->text.at[i] < '0' || n->text.at[i] > '9')
            return false;
    return n->kind == NODE_NUMBER;
}

/* 2\frac{1}{2} and "2 1/2" are 2 + 1/2. */
static int parse_mixed(struct parser *p, int whole)
{
    const struct math_node *at = p->out->at;
    int up, fraction = -1;

    if (p->at->kind == TOKEN_FRACTION) {
        p->at++;
        fraction = parse_fraction(p, NODE_DIVIDE);
        if (fraction < 0)
            return -1;
        up = at[fraction].first;
        if (!is_plain_whole(p, up) || !is_plain_whole(p, at[up].next))
            return binary(p, NODE_MULTIPLY, whole, fraction);
    } else if (p->at->kind == TOKEN_NUMBER && is_sign(p->at + 1, '/') &&
               p->at[2].kind == TOKEN_NUMBER) {
        up = parse_number(p);
        p->at++;
        fraction = binary(p, NODE_DIVIDE, up, parse_number(p));
    }
    return fraction < 0 ? whole : binary(p, NODE_ADD, whole, fraction);
}

static int parse_signed_power(struct parser *p)
{
    if (is_sign(p->at, '-') || is_sign(p->at, '+')) { /* 3 * -2 */
        if (++p->depth > PARSE_DEPTH)
            return -1;
        bool minus = p->at++->sign == '-';
        int node = parse_signed_power(p);

        p->depth--;
        return minus ? unary(p, NODE_NEGATE, 0, node) : node;
    }
    return parse_power(p);
}

static int parse_term(struct parser *p)
{
    int node = parse_power(p), next;

    if (node >= 0 && is_plain_whole(p, node))
        node = parse_mixed(p, node);
    while (node >= 0) {
        bool divide = is_sign(p->at, '/');

        if (divide || is_sign(p->at, '*')) {
            p->at++;
            next = parse_signed_power(p);
        } else if (begins_factor(p)) {
            next = parse_power(p);
        } else {
            break;
        }
        node = binary(p, divide ? NODE_DIVIDE : NODE_MULTIPLY, node, next);
    }
    return node;
}

/* The sign that joins two terms, or stands before the first; 0: none. */
static enum math_node_kind joint(const struct math_token *t)
{
    if (t->kind == TOKEN_PLUS_MINUS)
        return NODE_PLUS_MINUS;
    if (t->kind == TOKEN_MINUS_PLUS)
        return NODE_MINUS_PLUS;
    if (is_sign(t, '+'))
        return NODE_ADD;
    return is_sign(t, '-') ? NODE_SUBTRACT : 0;
}

static int parse_sum(struct parser *p)
{
    enum math_node_kind kind = joint(p->at);
    int node;

    if (++p->depth > PARSE_DEPTH)
        return -1;
    p->at += kind != 0;
    p->out->has_choice |= kind == NODE_PLUS_MINUS || kind == NODE_MINUS_PLUS;
    node = kind == NODE_SUBTRACT && joint(p->at) ? -1 : parse_term(p);
    if (kind == NODE_SUBTRACT)
        node = unary(p, NODE_NEGATE, 0, node);
    else if (kind && kind != NODE_ADD)
        node = unary(p, kind, 0, node);
    while (node >= 0 && (kind = joint(p->at)) != 0) {
        p->out->has_choice |= kind == NODE_PLUS_MINUS || kind == NODE_MINUS_PLUS;
        p->at++;
        node = binary(p, kind, node, joint(p->at) ? parse_signed_power(p) : parse_term(p));
    }
    p->depth--;
    return node;
}

static int parse_union(struct parser *p)
{
    int node = parse_sum(p), all = -1;

    while (node >= 0 && p->at->kind == TOKEN_UNION) {
        p->at++;
        if (all < 0)
            all = node = unary(p, NODE_UNION, 0, node);
        node = append(p, all, parse_sum(p));
    }
    return node;
}

static int parse_relation(struct parser *p)
{
    int node = parse_union(p), all = -1, member;

    while (node >= 0 && p->at->kind == TOKEN_RELATION) {
        int relation = p->at++->id;

        if (all < 0)
            all = unary(p, NODE_RELATION, 0, node);
        member = parse_union(p);
        node = append(p, all, member);
        if (node >= 0)
            p->out->at[member].relation = (int16_t)relation;
    }
    return node;
}

static bool take_separator(struct parser *p)
{
    bool comma = take_sign(p, ',') || take_sign(p, ';');

    if (p->at->kind == TOKEN_AND) { /* "1, 2, and 3" */
        p->at++;
        return true;
    }
    return comma;
}

static int parse_list(struct parser *p)
{
    int node, all = -1;

    if (++p->depth > PARSE_DEPTH)
        return -1;
    node = parse_relation(p);
    while (node >= 0 && take_separator(p)) {
        if (all < 0)
            all = unary(p, NODE_LIST, 0, node);
        node = append(p, all, parse_relation(p));
    }
    p->depth--;
    return node;
}

bool math_parse(const struct math_tokens *tokens, struct math_tree *out)
{
    struct parser p = {.at = tokens->at, .out = out};

    out->n = 0;
    out->unit = tokens->unit;
    out->base = 0;
    out->has_percent = out->has_choice = false;
    out->root = parse_list(&p);
    return out->root >= 0 && p.at->kind == TOKEN_END;
}
