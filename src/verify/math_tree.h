/* math_tree.h: an answer as a tree, and the value of its expressions. For src/verify alone. */
#ifndef MK_VERIFY_MATH_TREE_H
#define MK_VERIFY_MATH_TREE_H

#include "verify/math_lex.h"
#include "verify/number.h"

#define MATH_MAX_NODES 512

enum math_node_kind {
    /* Expressions: they have a value. */
    NODE_NUMBER,    /* text: its digits; id: its base, 0 when none is written */
    NODE_REPEATING, /* text: 0.1, child: a number, the digits that repeat after it */
    NODE_PI,
    NODE_VARIABLE, /* text: its name */
    NODE_NEGATE,
    NODE_ADD,
    NODE_SUBTRACT,
    NODE_PLUS_MINUS, /* two children, or one */
    NODE_MINUS_PLUS,
    NODE_MULTIPLY,
    NODE_DIVIDE,
    NODE_POWER,
    NODE_ROOT, /* of child 0; id: which, 2 for the square root */
    NODE_FACTORIAL,
    NODE_PERCENT,
    NODE_ABSOLUTE,
    NODE_BINOMIAL,
    NODE_APPLY, /* id: enum number_function */
    NODE_LOG,   /* base, argument */
    NODE_INFINITY,
    NODE_DETERMINANT,
    /* Collections: they have members. */
    NODE_LIST,  /* bare: 1, 2 and 3 */
    NODE_TUPLE, /* open, close: the brackets ( [ ) ] */
    NODE_SET,   /* {...}; without members the empty set */
    NODE_UNION,
    NODE_MATRIX,  /* id: columns; members row by row */
    NODE_RELATION /* members; the id of the second and later ones: enum math_relation before it */
};

struct math_node {
    enum math_node_kind kind;
    char open, close;
    int id;
    int16_t first, next, n_members; /* first member and next sibling, -1: none */
    int16_t relation;               /* of a member of NODE_RELATION: the sign before it */
    struct text_span text;
};

struct math_tree {
    int root, n;
    int unit, base;               /* 0: none was written */
    bool has_percent, has_choice; /* choice: a plus-minus */
    struct math_node at[MATH_MAX_NODES];
};

/* False when the tokens are no answer. */
bool math_parse(const struct math_tokens *tokens, struct math_tree *out);

/* Where an expression is evaluated. */
struct math_place {
    int point;    /* which values the variables have; 0 .. MATH_POINTS - 1 */
    int choice;   /* +1 or -1: the sign that a plus-minus takes */
    bool percent; /* a percent sign divides by 100; else it is only a unit */
};
#define MATH_POINTS 5

struct number math_value(const struct math_tree *t, int node, const struct math_place *where);
bool math_is_expression(const struct math_tree *t, int node); /* it has a value, no members */
bool math_has_variables(const struct math_tree *t, int node); /* i is none */
/* Only a name: x, f(x), abc. */
bool math_is_name(const struct math_tree *t, int node);
/* Member i of a collection. */
int math_member(const struct math_tree *t, int node, int i);

#endif
