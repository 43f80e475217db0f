/* pipeline.h: several runs in one file, each going on with what those before it made: DeepSeek-R1's
 * four stages (2501.12948, section 2.3) are one.
 *
 *     out: runs/r1              # every stage has a folder of its own in it
 *     defaults:                 # of all stages of a kind, as though it stood in each
 *       sft: {train: {batch: 32}}
 *     stages:
 *     - name: cold-start        # a recipe (recipe.h), its name and its kind
 *       kind: sft
 *       model: {from: base}
 *       data: {sources: [{path: talks.jsonl}]}
 *     - name: reasoning
 *       kind: rl
 *       model: {from: stage:cold-start}
 *
 * "stage:NAME" stands for the result of an earlier stage: the last checkpoint of one that trains,
 * the JSONL file of one that writes texts; "stage:NAME/ema" for what lies in that folder.
 *
 *   kind      what it does                                        result
 *   corpus    writes train questions with a teacher's answers     texts
 *   pretrain  minke train                                         model
 *   sft       the same of conversations (data.format: chat)       model
 *   dpo       the same of pairs                                   model
 *   reward    the same, of a head that scores (reward.head)       reward model
 *   rl        minke rl                                            model
 *   sample    a model's answers, kept by a verifier               texts
 *
 * Here is what a pipeline says; folders and what is done are runs/pipeline_folder.h. */
#ifndef MK_TRAIN_PIPELINE_H
#define MK_TRAIN_PIPELINE_H

#include "base/arena.h"
#include "train/recipe.h"

struct pipeline_stage {
    const char *name;
    enum stage_kind kind;
    struct recipe recipe;
    int32_t line; /* on which it begins in its file, from 1 */
};

struct pipeline {
    const char *out;               /* "" when the file does not say */
    const char *seed, *threads;    /* of stages that do not say; or NULL */
    struct pipeline_stage *stages; /* [n] owned */
    int32_t n;
    struct pipeline_text *text; /* owned; of libcyaml */
    struct arena memory;
};

/* sets: "STAGE.section.key=value", and "out=DIR", "seed=N", "threads=N" of all; they must outlive
 * the pipeline. Every recipe is read and every reference checked, before anything runs. */
int pipeline_read(struct pipeline *p, const char *path, const char *const *sets, int32_t n_sets,
                  struct mk_error *err);
/* The same from text; path is for messages, and where bases of stages are looked for. */
int pipeline_parse(struct pipeline *p, const char *text, size_t n, const char *path,
                   const char *const *sets, int32_t n_sets, struct mk_error *err);
void pipeline_release(struct pipeline *p);
/* NULL when there is none. */
const struct pipeline_stage *pipeline_find(const struct pipeline *p, const char *name);

/* Puts results in the place of a stage's references, once those that it names are done. result: the
 * absolute path of an earlier stage's. */
int pipeline_resolve(struct pipeline *p, struct pipeline_stage *s,
                     int (*result)(void *user, const struct pipeline_stage *of, char path[4096],
                                   struct mk_error *err),
                     void *user, struct mk_error *err);

#endif
