/* builtin.h: the model that comes inside minke (recipes/zero/reasoner): `minke chat reasoner` needs
 * no network. */
#ifndef MK_HUB_BUILTIN_H
#define MK_HUB_BUILTIN_H

#include "hub/source.h"

/* Whether a known model's spec means the one inside: "builtin:NAME". */
bool builtin_is(const char *spec);
/* Writes its files into `dir`; facts->revision tells one version of it from another. */
int source_builtin(const char *dir, struct source_facts *facts, struct mk_error *err);
/* Puts it into the store unless this very version is there. */
int builtin_keep(const char *store, const char *name, struct mk_error *err);

#endif
