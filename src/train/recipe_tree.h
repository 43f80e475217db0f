/* recipe_tree.h: a recipe's YAML as the tree of libyaml, made before libcyaml reads values, which
 * takes the first document alone, and of YAML that is none knows the value before. Here such a
 * file is refused by its line; what is read tells the lines of its keys, for later messages. */
#ifndef MK_TRAIN_RECIPE_TREE_H
#define MK_TRAIN_RECIPE_TREE_H

#include <stddef.h>
#include <stdint.h>

#include <yaml.h>

#include "minke.h"

struct recipe_tree {
    yaml_document_t document; /* owned */
};

/* text[n] is to be one document of at most 1 MiB: lists, and maps whose keys are scalars, at most
 * 16 deep, without anchors and aliases, so that time and memory are linear in n. Anything else,
 * nothing among it, is refused: "PATH:LINE: ...". Borrows nothing. */
int recipe_tree_open(struct recipe_tree *t, const char *text, size_t n, const char *path,
                     struct mk_error *err);
void recipe_tree_close(struct recipe_tree *t);

/* Nodes are the tree's. All of these take NULL and nodes of another form, and return NULL or 0. */
const yaml_node_t *recipe_tree_root(struct recipe_tree *t);
/* What a map has for a key. */
const yaml_node_t *recipe_tree_value(struct recipe_tree *t, const yaml_node_t *map,
                                     const char *key);
/* Entry `index`, from 0, of a list. */
const yaml_node_t *recipe_tree_entry(struct recipe_tree *t, const yaml_node_t *list,
                                     uint64_t index);
/* Lines, from 1: on which a key stands, for the `nth` time from 0; on which a node begins. */
int32_t recipe_tree_key_line(struct recipe_tree *t, const yaml_node_t *map, const char *key,
                             int nth);
int32_t recipe_tree_line(const yaml_node_t *node);

#endif
