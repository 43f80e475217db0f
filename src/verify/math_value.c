/* math_value.c: the value of an expression at a place. Depth is that of the parser. */
#include "verify/math_tree.h"

#include "base/hash.h"

/* A variable's value: the same for the same name, different at each point. A fraction n/d with n in
 * -2^20..2^20 and d a prime near it, from the name's hash: two different
 * rational functions agree there by chance only. Braces and blanks of an index do not count. */
static struct number variable(struct text_span name, int point)
{
    uint64_t h = HASH_BEGIN + (uint64_t)point * 0x9e3779b97f4a7c15u;

    if (name.n == 1 && name.at[0] == 'i')
        return number_i();
    if (name.n == 1 && name.at[0] == 'e')
        return number_e();
    for (size_t i = 0; i < name.n; i++)
        if (name.at[i] != '{' && name.at[i] != '}')
            h = hash_add(h, (unsigned char)name.at[i]);
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    h ^= h >> 32;
    return number_divide(number_whole((int64_t)(h & 0x1fffff) - 0x100000), number_whole(1048573));
}

/* 0.1\overline{6}: 0.1 and 6 / (10 * 9), with the sign and place that the digits before it give. */
static struct number repeating(struct text_span before, struct text_span digits)
{
    struct number value = number_read(before.at, before.n), shift = number_whole(1),
                  nines = number_whole(1), ten = number_whole(10);
    bool point = false;

    for (size_t i = 0; i < before.n; i++) {
        if (point)
            shift = number_multiply(shift, ten);
        point |= before.at[i] == '.';
    }
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return number_none();
        nines = number_multiply(nines, ten);
    }
    if (!point)
        return number_none();
    nines = number_subtract(nines, number_whole(1));
    return number_add(
        value, number_divide(number_read(digits.at, digits.n), number_multiply(shift, nines)));
}

static struct number binomial(struct number n, struct number k)
{
    struct number out = number_whole(1);
    int64_t top, count;

    if (!number_is_whole(n, &top) || !number_is_whole(k, &count) || top < 0 || count < 0 ||
        count > 1000)
        return number_none();
    for (int64_t i = 0; i < count; i++)
        out = number_divide(number_multiply(out, number_whole(top - i)), number_whole(i + 1));
    return out;
}

/* By cofactors along the first row, up to 4 x 4. */
static struct number determinant(const struct number *m, int n, int stride)
{
    struct number sum = number_whole(0), minor[9], part;

    if (n == 1)
        return m[0];
    for (int skip = 0; skip < n; skip++) {
        for (int i = 1, k = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                if (j != skip)
                    minor[k++] = m[i * stride + j];
        part = number_multiply(m[skip], determinant(minor, n - 1, n - 1));
        sum = skip % 2 ? number_subtract(sum, part) : number_add(sum, part);
    }
    return sum;
}

static struct number determinant_of(const struct math_tree *t, const struct math_node *node,
                                    const struct math_place *where)
{
    struct number m[16];
    int i = 0;

    if (node->id < 1 || node->id > 4 || node->n_members != node->id * node->id)
        return number_none();
    for (int member = node->first; member >= 0; member = t->at[member].next)
        m[i++] = math_value(t, member, where);
    return determinant(m, node->id, node->id);
}

static struct number binary_value(const struct math_node *node, struct number a, struct number b,
                                  int choice)
{
    switch (node->kind) {
    case NODE_MINUS_PLUS:
        choice = -choice;
        /* fall through */
    case NODE_PLUS_MINUS:
        if (node->n_members == 1)
            return choice > 0 ? a : number_negate(a);
        return choice > 0 ? number_add(a, b) : number_subtract(a, b);
    case NODE_ADD:
        return number_add(a, b);
    case NODE_SUBTRACT:
        return number_subtract(a, b);
    case NODE_MULTIPLY:
        return number_multiply(a, b);
    case NODE_DIVIDE:
        return number_divide(a, b);
    case NODE_POWER:
        return number_power(a, b);
    case NODE_BINOMIAL:
        return binomial(a, b);
    case NODE_LOG: /* of 1 exactly 0, of a power of its base nearly a whole number */
        return number_divide(number_apply(NUMBER_LN, b), number_apply(NUMBER_LN, a));
    default:
        return number_none();
    }
}

struct number math_value(const struct math_tree *t, int index, const struct math_place *where)
{
    const struct math_node *node = &t->at[index];
    struct number a = number_none(), b = number_none();

    if (node->kind == NODE_DETERMINANT)
        return determinant_of(t, node, where);
    if (node->kind > NODE_DETERMINANT)
        return number_none();
    if (node->first >= 0 && node->kind != NODE_REPEATING) {
        a = math_value(t, node->first, where);
        if (t->at[node->first].next >= 0)
            b = math_value(t, t->at[node->first].next, where);
    }
    switch (node->kind) {
    case NODE_NUMBER:
        return number_read(node->text.at, node->text.n);
    case NODE_REPEATING:
        return repeating(node->text, t->at[node->first].text);
    case NODE_PI:
        return number_pi();
    case NODE_VARIABLE:
        return variable(node->text, where->point);
    case NODE_NEGATE:
        return number_negate(a);
    case NODE_ROOT:
        return number_root(a, node->id);
    case NODE_FACTORIAL:
        return number_factorial(a);
    case NODE_PERCENT:
        return where->percent ? number_divide(a, number_whole(100)) : a;
    case NODE_ABSOLUTE:
        return number_absolute(a);
    case NODE_APPLY:
        return number_apply(node->id, a);
    default:
        return binary_value(node, a, b, where->choice);
    }
}

bool math_is_expression(const struct math_tree *t, int node)
{
    return t->at[node].kind <= NODE_DETERMINANT;
}

bool math_has_variables(const struct math_tree *t, int node)
{
    const struct math_node *n = &t->at[node];

    if (n->kind == NODE_VARIABLE)
        return n->text.n != 1 || (n->text.at[0] != 'i' && n->text.at[0] != 'e');
    for (int member = n->first; member >= 0; member = t->at[member].next)
        if (math_has_variables(t, member))
            return true;
    return false;
}

bool math_is_name(const struct math_tree *t, int node)
{
    const struct math_node *n = &t->at[node];

    if (n->kind == NODE_VARIABLE)
        return true;
    if (n->kind != NODE_MULTIPLY && n->kind != NODE_TUPLE)
        return false;
    for (int member = n->first; member >= 0; member = t->at[member].next)
        if (!math_is_name(t, member) &&
            !(member != n->first && t->at[member].kind == NODE_NUMBER)) /* f(3) */
            return false;
    return true;
}

int math_member(const struct math_tree *t, int node, int i)
{
    int member = t->at[node].first;

    while (member >= 0 && i-- > 0)
        member = t->at[member].next;
    return member;
}
