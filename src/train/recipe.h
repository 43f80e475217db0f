/* recipe.h: what a run is, in one YAML file (docs/training.md lists every key).
 *
 * The table in recipe_keys.c is the truth: names, kinds, limits, defaults and one line of help
 * each. The file is read by libcyaml; a key that is not in the table is refused by name and line.
 */
#ifndef MK_TRAIN_RECIPE_H
#define MK_TRAIN_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "train/mixture.h"

#define RECIPE_MAX_SOURCES MIXTURE_MAX_SOURCES

enum recipe_compute { RECIPE_F32, RECIPE_BF16, RECIPE_FP8 };
enum recipe_format { RECIPE_FORMAT_TEXT, RECIPE_FORMAT_CHAT, RECIPE_FORMAT_PAIRS };
enum recipe_optimizer { RECIPE_ADAMW, RECIPE_MUON, RECIPE_MUON_V4 };

struct recipe_source {
    const char *name, *path; /* path: texts, or shards of `minke data build` */
    /* `weight` is one point, `weights` several: a portfolio over tokens, see mixture.h. */
    int32_t n_points;
    struct mixture_point points[MIXTURE_MAX_POINTS];
    int64_t format; /* enum recipe_format */
};

#define RECIPE_MAX_TASKS 64

/* What is asked. */
struct recipe_task {
    const char *name; /* of task_open */
    double weight;
    /* Where the curriculum of minke rl begins and how far it may go; elsewhere all levels between
     * are as frequent. */
    int64_t level, level_max;
    double scratchpad, search, impatient; /* shares of a corpus' thoughts */
};

/* What a recipe is for, when it is a stage of a pipeline (pipeline.h). */
enum stage_kind {
    STAGE_NONE, /* it is none */
    STAGE_CORPUS,
    STAGE_PRETRAIN,
    STAGE_SFT,
    STAGE_DPO,
    STAGE_REWARD,
    STAGE_RL,
    STAGE_SAMPLE,
    N_STAGE_KINDS
};
/* "sft"; "" of STAGE_NONE. */
const char *stage_kind_name(enum stage_kind kind);

#define RECIPE_MAX_TEACHERS 8

/* Whose probabilities are learned, see teachers.h. */
struct recipe_teacher {
    const char *path;
    double weight;
};

/* Strings live as long as the recipe. Units: tokens unless said otherwise. */
struct recipe {
    const char *base; /* "" once it has been read: its values are then here */
    const char *out;
    int64_t seed, threads;
    struct {
        const char *config, *from; /* a new model's config.json, or a model to go on with */
        const char *learn; /* names of weights with * and ?, parted by commas */
        double init_std, mtp_weight, mtp_late_weight;
        int64_t mtp_late_tokens;
        int64_t mla; /* 0 expanded, 1 absorbed */
    } model;
    struct {
        int64_t rank; /* 0: all of the model learns */
        double alpha;
        const char *targets; /* as model.learn */
    } lora;
    struct {
        const char *path;
        int64_t vocab; /* tokens to learn when there is no path */
    } tokenizer;
    struct {
        int64_t sequence;
        double validation; /* share of every source's sequences */
        double fim;
        bool filter, drop_copies;
        const char *field; /* of JSONL */
        bool specials;
        int64_t format;    /* enum recipe_format of sources that do not say */
        const char *chat_template; /* a name; "": the tokenizer's */
        struct recipe_source sources[RECIPE_MAX_SOURCES];
        int32_t n_sources;
    } data;
    struct {
        int64_t tokens, batch, batch_first, ramp_tokens, pass_tokens, memory_mb;
        int64_t compute; /* enum recipe_compute */
    } train;
    struct {
        int64_t kind; /* enum recipe_optimizer */
        double lr, beta1, beta2, eps, weight_decay, clip, muon_lr, outlier_z, ema;
        int64_t moments; /* 0 f32, 1 bf16 */
    } optimizer;
    struct { /* of pairs, see dpo.h */
        double beta, label_smoothing, sft;
    } dpo;
    struct { /* of pairs, see reward.h */
        bool head;
        double centre;
    } reward;
    struct { /* with teachers, see divergence.h */
        struct recipe_teacher teachers[RECIPE_MAX_TEACHERS];
        int32_t n_teachers;
        int64_t kl; /* enum divergence_kind */
        double beta, temperature, weight;
        int64_t top_k;
        const char *cache;
    } distill;
    struct {
        int64_t kind; /* enum schedule_kind */
        int64_t warmup_tokens;
        double final_lr, decay_share;
    } schedule;
    struct {
        double gamma, sequence, expert, device, transfer, capacity;
        int64_t gamma_until_tokens, devices;
    } balance;
    struct {
        int64_t every, sequences; /* in steps */
    } eval;
    struct {
        int64_t every, keep;
    } save;
    struct {
        int64_t every, tokens;
        const char *prompt;
        double temperature;
    } sample;
    /* Of minke rl: */
    struct {
        int64_t loss, normalise, std; /* enum objective_kind; 0: as the loss's paper */
        double clip_low, clip_high;   /* -1: as the loss's paper */
        double kl;
        int64_t kl_form, reference_every; /* in steps */
        int64_t steps, questions, samples, epochs, batches, constant;
        bool filter, mask_truncated;
        double refill, format_reward, language_reward, importance_cap, mask_delta;
        double raise_at, stop_at;
        const char *language;
        int64_t soft_tokens;
        bool replay_experts, replay_sets, allow_code;
        int64_t code_ms;
        const char *reward_model; /* folder, or "" */
        double reward_model_weight;
        int64_t reward_model_reads, reward_model_last; /* enum reward_reads; in steps */
    } rl;
    struct {
        int64_t tokens, slots, top_k, think_budget;
        double top_p;
        int64_t kv, numerics; /* enum mk_kv, enum mk_numerics */
        const char *prompt;
    } rollout;
    struct { /* of stages that sample, see distill/traces.h and keep.h */
        int64_t questions, samples, keep, form, tags, max_characters;
        double temperature, max_repetition, min_script;
        const char *script;
    } answers;
    struct { /* of stages that write a corpus */
        int64_t documents, form; /* enum blend_form */
    } corpus;
    struct recipe_task tasks[RECIPE_MAX_TASKS];
    int32_t n_tasks;
    struct recipe_text *text; /* owned */
};

/* sets: "section.key=value", applied over the file. */
int recipe_read(struct recipe *r, const char *path, const char *const *sets, int32_t n_sets,
                struct mk_error *err);
/* The same from text, which can have no base; `path` is for messages. */
int recipe_parse(struct recipe *r, const char *text, size_t n, const char *path,
                 const char *const *sets, int32_t n_sets, struct mk_error *err);
void recipe_release(struct recipe *r);
/* Every key with its value, as YAML that reads back to the same recipe. */
int recipe_write(const struct recipe *r, struct buf *out, struct mk_error *err);

/* ---- The table ------------------------------------------------------------------------------ */

#define RECIPE_NO_LIMIT 9e15 /* integers stay exact in a double so far */

enum recipe_kind { RECIPE_INT, RECIPE_REAL, RECIPE_BOOL, RECIPE_TEXT, RECIPE_CHOICE };

struct recipe_key {
    const char *section, *name; /* section "": the top */
    enum recipe_kind kind;
    size_t offset;        /* in struct recipe */
    double min, max;      /* of numbers; a choice's are not used */
    const char *standard; /* default, as it would stand in a file */
    const char *choices;  /* "a|b|c" */
    const char *help;
};
/* Ordered by section; the first is `base`. */
const struct recipe_key *recipe_keys(int32_t *n);

#endif
