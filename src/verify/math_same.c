/* math_same.c: do two trees mean the same?
 *
 * Expressions are compared by their values, at MATH_POINTS points when they have variables;
 * collections by their members, in order or in any; equations by proportionality of left - right;
 * inequalities as intervals, or like equations with the sign. */
#include "verify/math_same.h"

#define MAX_EVALUATIONS 4000000
#define MAX_ITEMS 64 /* members of a collection that is compared in any order */

struct compare {
    bool percent; /* a percent sign divides by 100 */
    long budget;  /* nodes that may still be evaluated: sets of sets could take for ever */
};

struct side {
    const struct math_tree *t;
    int node;
    int choice; /* the sign of a plus-minus; 0: not chosen yet */
};

static bool same(struct side a, struct side b, struct compare *c);

static const struct math_node *node_of(struct side s)
{
    return &s.t->at[s.node];
}

static struct side member(struct side s, int i)
{
    s.node = math_member(s.t, s.node, i);
    return s;
}

static int n_members(struct side s)
{
    return node_of(s)->n_members;
}

/* +1 and -1 for the infinities, 0 for all else. */
static int infinity_sign(struct side s)
{
    const struct math_node *n = node_of(s);

    if (n->kind == NODE_INFINITY)
        return 1;
    return n->kind == NODE_NEGATE && s.t->at[n->first].kind == NODE_INFINITY ? -1 : 0;
}

static struct number value(struct side s, int point, struct compare *c)
{
    c->budget -= s.t->n;
    return math_value(s.t, s.node,
                      &(struct math_place){point, s.choice ? s.choice : 1, c->percent});
}

static bool has_variables(struct side s)
{
    return math_has_variables(s.t, s.node);
}

static bool same_value(struct side a, struct side b, struct compare *c)
{
    int n_points = has_variables(a) || has_variables(b) ? MATH_POINTS : 1, good = 0;

    if (infinity_sign(a) || infinity_sign(b))
        return infinity_sign(a) == infinity_sign(b);
    for (int point = 0; point < n_points; point++) {
        struct number x = value(a, point, c), y = value(b, point, c);

        if (!x.ok && !y.ok) /* a pole of both */
            continue;
        if (!number_equal(x, y))
            return false;
        good++;
    }
    return 2 * good > n_points;
}

static bool has_choice(const struct math_tree *t, int node)
{
    if (t->at[node].kind == NODE_PLUS_MINUS || t->at[node].kind == NODE_MINUS_PLUS)
        return true;
    for (int m = t->at[node].first; m >= 0; m = t->at[m].next)
        if (has_choice(t, m))
            return true;
    return false;
}

/* Is a plus-minus still to be chosen here? */
static bool undecided(struct side s)
{
    return s.t->has_choice && !s.choice && has_choice(s.t, s.node);
}

/* ---- Members in any order -------------------------------------------------------------------- */

static bool is_collection(struct side s)
{
    enum math_node_kind kind = node_of(s)->kind;

    return kind == NODE_LIST || kind == NODE_SET || kind == NODE_UNION;
}

static int add_items(struct side *items, int n, struct side s)
{
    bool two = undecided(s);

    if (n < 0 || n + two >= MAX_ITEMS)
        return -1;
    s.choice = two ? 1 : s.choice;
    items[n++] = s;
    if (two) {
        s.choice = -1;
        items[n++] = s;
    }
    return n;
}

/* The members, both signs of a plus-minus; what is no collection is its own only member. -1: too
 * many. */
static int list_items(struct side s, struct side *items)
{
    int n = 0;

    if (!is_collection(s))
        return add_items(items, 0, s);
    for (int m = node_of(s)->first; m >= 0; m = s.t->at[m].next)
        n = add_items(items, n, (struct side){s.t, m, s.choice});
    return n;
}

static bool all_among(const struct side *a, int n_a, const struct side *b, int n_b,
                      struct compare *c)
{
    for (int i = 0; i < n_a; i++) {
        int j = 0;

        if (i < n_b && same(a[i], b[i], c)) /* usually they stand in the same order */
            continue;
        while (j < n_b && !same(a[i], b[j], c))
            j++;
        if (j == n_b)
            return false;
    }
    return true;
}

/* Each member of a list has a partner of its own: 1, 0, 0 is not 1, 0, 1. */
static bool pair_off(const struct side *a, const struct side *b, int n, struct compare *c)
{
    bool taken[MAX_ITEMS] = {false};

    for (int i = 0; i < n; i++) {
        int j = i;

        if (taken[i] || !same(a[i], b[i], c)) /* usually they stand in the same order */
            for (j = 0; j < n && (taken[j] || !same(a[i], b[j], c));)
                j++;
        if (j == n)
            return false;
        taken[j] = true;
    }
    return true;
}

static bool same_items(struct side a, struct side b, struct compare *c)
{
    struct side x[MAX_ITEMS], y[MAX_ITEMS];
    int n_x = list_items(a, x), n_y = list_items(b, y);
    bool sets = node_of(a)->kind == NODE_SET || node_of(b)->kind == NODE_SET;

    if (n_x < 0 || n_y < 0 || (!sets && n_x != n_y))
        return false;
    if (!sets)
        return pair_off(x, y, n_x, c);
    return all_among(x, n_x, y, n_y, c) && all_among(y, n_y, x, n_x, c);
}

/* ---- Members in order ------------------------------------------------------------------------ */

static bool same_in_order(struct side a, struct side b, struct compare *c)
{
    int m = node_of(a)->first, n = node_of(b)->first;

    if (n_members(a) != n_members(b))
        return false;
    for (; m >= 0; m = a.t->at[m].next, n = b.t->at[n].next)
        if (!same((struct side){a.t, m, a.choice}, (struct side){b.t, n, b.choice}, c))
            return false;
    return true;
}

/* Two members in brackets may be an interval, whose ends are open or closed. */
static bool same_tuple(struct side a, struct side b, struct compare *c)
{
    const struct math_node *x = node_of(a), *y = node_of(b);

    if (x->n_members == 2 && (x->open != y->open || x->close != y->close))
        return false;
    return same_in_order(a, b, c);
}

/* (1, 2) and 1, 2. */
static bool tuple_is_list(struct side tuple, struct side list, struct compare *c)
{
    const struct math_node *t = node_of(tuple);

    return (t->n_members > 2 || (t->open == '(' && t->close == ')')) &&
           same_in_order(tuple, list, c);
}

/* ---- Relations ------------------------------------------------------------------------------- */

/* All its signs are this one. */
static bool only(struct side s, enum math_relation relation)
{
    int m = node_of(s)->first;

    for (m = s.t->at[m].next; m >= 0; m = s.t->at[m].next)
        if (s.t->at[m].relation != (int16_t)relation)
            return false;
    return true;
}

/* An equation that tells a value: x = 5, 5 = x, f(x) = 2x, 2 + 3 = 5; false for 2x = 10. */
static bool told_value(struct side s, struct side *name, struct side *told)
{
    struct side first = member(s, 0), last = member(s, n_members(s) - 1);
    bool in = only(s, RELATION_IN);

    if (!in && !only(s, RELATION_EQUAL))
        return false;
    *name = first;
    *told = last;
    if (math_is_name(first.t, first.node) ||
        (!in && !has_variables(first) && math_is_expression(first.t, first.node) &&
         !math_is_name(last.t, last.node)))
        return true;
    *name = last;
    *told = first;
    return !in && math_is_name(last.t, last.node);
}

struct range {
    struct side name, low, high; /* node -1: no bound */
    bool low_open, high_open;
};

static void set_bound(struct range *r, struct side bound, bool low, bool open)
{
    if (low) {
        r->low = bound;
        r->low_open = open;
    } else {
        r->high = bound;
        r->high_open = open;
    }
}

/* "x > 3", "1 < x <= 4": the interval of the name. */
static bool read_range(struct side s, struct range *r)
{
    int n = n_members(s), name = n == 3 ? 1 : math_is_name(s.t, member(s, 0).node) ? 0 : 1;

    if (n > 3 || !math_is_name(s.t, member(s, name).node))
        return false;
    *r = (struct range){member(s, name), {s.t, -1, 1}, {s.t, -1, 1}, true, true};
    for (int i = 1; i < n; i++) {
        int relation = node_of(member(s, i))->relation;
        bool less = relation == RELATION_LESS || relation == RELATION_AT_MOST;
        bool name_left = i - 1 == name;
        struct side bound = member(s, name_left ? i : i - 1);

        if ((!less && relation != RELATION_MORE && relation != RELATION_AT_LEAST) ||
            has_variables(bound) || !math_is_expression(bound.t, bound.node) ||
            (n == 3 && i == 2 && (r->low.node >= 0) == (less != name_left)))
            return false;
        set_bound(r, bound, less != name_left,
                  relation == RELATION_LESS || relation == RELATION_MORE);
    }
    return true;
}

static bool same_bound(struct side a, struct side b, int infinite, struct compare *c)
{
    if (a.node < 0 || b.node < 0)
        return (a.node < 0 || infinity_sign(a) == infinite) &&
               (b.node < 0 || infinity_sign(b) == infinite);
    return same(a, b, c);
}

static bool same_range(const struct range *a, const struct range *b, struct compare *c)
{
    return a->low_open == b->low_open && a->high_open == b->high_open &&
           same_bound(a->low, b->low, -1, c) && same_bound(a->high, b->high, 1, c);
}

static bool range_is_interval(struct side s, struct side interval, struct compare *c)
{
    const struct math_node *n = node_of(interval);
    struct range r, given;

    if (n->kind != NODE_TUPLE || n->n_members != 2 || !read_range(s, &r))
        return false;
    given = (struct range){interval, member(interval, 0), member(interval, 1), n->open == '(',
                           n->close == ')'};
    return same_range(&r, &given, c);
}

/* left - right of two relations, each at every point, in one constant proportion; *sign is the
 * proportion's. */
static bool proportional(struct side a, struct side b, struct compare *c, int *sign)
{
    struct side al = member(a, 0), ar = member(a, 1), bl = member(b, 0), br = member(b, 1);
    struct number x0 = number_none(), y0 = number_none();

    if (!has_variables(a) || !has_variables(b))
        return false;
    for (int point = 0; point < MATH_POINTS; point++) {
        struct number x = number_subtract(value(al, point, c), value(ar, point, c));
        struct number y = number_subtract(value(bl, point, c), value(br, point, c));

        if (!x.ok || !y.ok)
            return false;
        if (!point) {
            x0 = x;
            y0 = y;
            *sign = number_sign(number_divide(x, y));
            if (number_is_zero(x) || number_is_zero(y))
                return false;
        } else if (!number_equal(number_multiply(x0, y), number_multiply(x, y0))) {
            return false;
        }
    }
    return true;
}

static bool same_equation(struct side a, struct side b, struct compare *c)
{
    struct side name_a, name_b, told_a, told_b;
    int sign;

    if (told_value(a, &name_a, &told_a) && told_value(b, &name_b, &told_b) &&
        same(name_a, name_b, c) && same(told_a, told_b, c))
        return true;
    return n_members(a) == 2 && n_members(b) == 2 && proportional(a, b, c, &sign);
}

static enum math_relation flipped(enum math_relation r)
{
    switch (r) {
    case RELATION_LESS:
        return RELATION_MORE;
    case RELATION_MORE:
        return RELATION_LESS;
    case RELATION_AT_MOST:
        return RELATION_AT_LEAST;
    case RELATION_AT_LEAST:
        return RELATION_AT_MOST;
    default:
        return r;
    }
}

static bool same_relation(struct side a, struct side b, struct compare *c)
{
    struct range x, y;
    enum math_relation r, s;
    int sign;

    if (only(a, RELATION_RATIO) || only(b, RELATION_RATIO))
        return only(a, RELATION_RATIO) && only(b, RELATION_RATIO) && same_in_order(a, b, c);
    if (only(a, RELATION_IN) && only(b, RELATION_IN))
        return same_in_order(a, b, c);
    if (only(a, RELATION_IN)) /* x \in [-2,7] and -2 <= x <= 7 */
        return n_members(a) == 2 && read_range(b, &x) && same(member(a, 0), x.name, c) &&
               range_is_interval(b, member(a, 1), c);
    if (only(b, RELATION_IN))
        return same_relation(b, a, c);
    if (only(a, RELATION_EQUAL) && only(b, RELATION_EQUAL))
        return same_equation(a, b, c);
    if (read_range(a, &x) && read_range(b, &y))
        return same(x.name, y.name, c) && same_range(&x, &y, c);
    if (n_members(a) != 2 || n_members(b) != 2)
        return false;
    r = node_of(member(a, 1))->relation;
    s = node_of(member(b, 1))->relation;
    return r != RELATION_IN && proportional(a, b, c, &sign) && sign != 0 && sign != 2 &&
           (r == (sign > 0 ? s : flipped(s)));
}

/* ---- Any two --------------------------------------------------------------------------------- */

static bool same_mixed(struct side a, struct side b, struct compare *c)
{
    enum math_node_kind x = node_of(a)->kind, y = node_of(b)->kind;

    if (x == NODE_TUPLE && y == NODE_TUPLE)
        return same_tuple(a, b, c);
    if (x == NODE_TUPLE && y == NODE_LIST)
        return tuple_is_list(a, b, c);
    if (x == NODE_LIST && y == NODE_TUPLE)
        return tuple_is_list(b, a, c);
    if (x == NODE_MATRIX && y == NODE_MATRIX)
        return node_of(a)->id == node_of(b)->id && same_in_order(a, b, c);
    if (is_collection(a) || is_collection(b))
        return same_items(a, b, c);
    return false;
}

/* Recursion goes one level down both trees at each call, or replaces a relation by its member. */
static bool same(struct side a, struct side b, struct compare *c)
{
    bool relation_a = node_of(a)->kind == NODE_RELATION,
         relation_b = node_of(b)->kind == NODE_RELATION;
    struct side name, told;

    if (c->budget-- <= 0)
        return false;
    if (relation_a && relation_b)
        return same_relation(a, b, c);
    if (relation_a && told_value(a, &name, &told))
        return same(told, b, c);
    if (relation_b && told_value(b, &name, &told))
        return same(a, told, c);
    if (undecided(a) || undecided(b))
        return same_items(a, b, c);
    if (relation_a && range_is_interval(a, b, c))
        return true;
    if (relation_b && range_is_interval(b, a, c))
        return true;
    if (math_is_expression(a.t, a.node) && math_is_expression(b.t, b.node))
        return same_value(a, b, c);
    return same_mixed(a, b, c);
}

bool math_same(const struct math_tree *a, const struct math_tree *b)
{
    struct side x = {a, a->root, 0}, y = {b, b->root, 0};

    if ((a->unit && b->unit && a->unit != b->unit) || (a->base && b->base && a->base != b->base))
        return false;
    if (same(x, y, &(struct compare){true, MAX_EVALUATIONS}))
        return true;
    /* 50% is 0.5, and it is 50 where the question asked for per cent. */
    return a->has_percent != b->has_percent &&
           same(x, y, &(struct compare){false, MAX_EVALUATIONS});
}
