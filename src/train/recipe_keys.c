/* recipe_keys.c: every key of a recipe. */
#include "train/recipe.h"

#include <stddef.h>

#define AT(member) offsetof(struct recipe, member)
#define BIG 9e15 /* integers stay exact in a double */

/* clang-format off */
static const struct recipe_key keys[] = {
    {"", "out", RECIPE_TEXT, AT(out), 0, 0, "", NULL,
     "run folder; empty: runs/ and the recipe's name"},
    {"", "seed", RECIPE_INT, AT(seed), 0, BIG, "0", NULL, "of weights and of the order of data"},
    {"", "threads", RECIPE_INT, AT(threads), 0, 256, "0", NULL, "0: one a core; changes no number"},

    {"model", "config", RECIPE_TEXT, AT(model.config), 0, 0, "", NULL,
     "config.json of a new model"},
    {"model", "from", RECIPE_TEXT, AT(model.from), 0, 0, "", NULL,
     "a model to go on with, any that runs"},
    {"model", "learn", RECIPE_TEXT, AT(model.learn), 0, 0, "*", NULL,
     "weights that learn: names with * and ?, parted by commas"},
    {"model", "init_std", RECIPE_REAL, AT(model.init_std), 0, 1, "0.02", NULL,
     "standard deviation of new matrices"},
    {"model", "mla", RECIPE_CHOICE, AT(model.mla), 0, 0, "expanded", "expanded|absorbed",
     "form of latent attention"},
    {"model", "mtp_weight", RECIPE_REAL, AT(model.mtp_weight), 0, 100, "0.3", NULL,
     "of the multi-token-prediction loss"},
    {"model", "mtp_late_weight", RECIPE_REAL, AT(model.mtp_late_weight), 0, 100, "0.1", NULL,
     "the same from mtp_late_tokens on"},
    {"model", "mtp_late_tokens", RECIPE_INT, AT(model.mtp_late_tokens), 0, BIG, "0", NULL,
     "0: never"},

    {"tokenizer", "path", RECIPE_TEXT, AT(tokenizer.path), 0, 0, "", NULL,
     "folder with tokenizer.json; empty: the model's, or learned"},
    {"tokenizer", "vocab", RECIPE_INT, AT(tokenizer.vocab), 0, 1 << 20, "0", NULL,
     "tokens to learn; 0: as many as the model has"},

    {"data", "sequence", RECIPE_INT, AT(data.sequence), 2, 1 << 23, "256", NULL,
     "tokens of a sequence"},
    {"data", "validation", RECIPE_REAL, AT(data.validation), 0, 0.9, "0.05", NULL,
     "share of every source that is not trained on"},
    {"data", "fim", RECIPE_REAL, AT(data.fim), 0, 1, "0", NULL,
     "share of documents with the middle filled in last"},
    {"data", "filter", RECIPE_BOOL, AT(data.filter), 0, 0, "false", NULL,
     "drop documents that are hardly text"},
    {"data", "drop_copies", RECIPE_BOOL, AT(data.drop_copies), 0, 0, "true", NULL,
     "drop exact and near duplicates"},
    {"data", "field", RECIPE_TEXT, AT(data.field), 0, 0, "text", NULL, "of JSONL files"},
    {"data", "format", RECIPE_CHOICE, AT(data.format), 0, 0, "text", "text|chat|pairs",
     "conversations: answers alone are learned; pairs: DPO"},
    {"data", "chat_template", RECIPE_TEXT, AT(data.chat_template), 0, 0, "", NULL,
     "a name, as in minke inspect; empty: the tokenizer's own"},

    {"train", "tokens", RECIPE_INT, AT(train.tokens), 1, BIG, "1000000", NULL, "of the whole run"},
    {"train", "batch", RECIPE_INT, AT(train.batch), 1, 1 << 24, "16", NULL, "sequences a step"},
    {"train", "batch_first", RECIPE_INT, AT(train.batch_first), 0, 1 << 24, "0", NULL,
     "of the first steps; 0: as batch"},
    {"train", "ramp_tokens", RECIPE_INT, AT(train.ramp_tokens), 0, BIG, "0", NULL,
     "from batch_first to batch"},
    {"train", "pass_tokens", RECIPE_INT, AT(train.pass_tokens), 1, 1 << 24, "8192", NULL,
     "computed together; changes no number"},
    {"train", "memory_mb", RECIPE_INT, AT(train.memory_mb), 0, 1 << 24, "1024", NULL,
     "for values kept between forward and backward"},
    {"train", "compute", RECIPE_CHOICE, AT(train.compute), 0, 0, "f32", "f32|bf16|fp8",
     "number type of the products"},

    {"optimizer", "kind", RECIPE_CHOICE, AT(optimizer.kind), 0, 0, "adamw", "adamw|muon|muon-v4",
     "Muon: matrices of the blocks"},
    {"optimizer", "lr", RECIPE_REAL, AT(optimizer.lr), 0, 10, "0.0003", NULL,
     "largest learning rate"},
    {"optimizer", "beta1", RECIPE_REAL, AT(optimizer.beta1), 0, 0.99999, "0.9", NULL,
     "of the mean"},
    {"optimizer", "beta2", RECIPE_REAL, AT(optimizer.beta2), 0, 0.99999, "0.95", NULL,
     "of the squares"},
    {"optimizer", "eps", RECIPE_REAL, AT(optimizer.eps), 0, 1, "1e-8", NULL, "beside the root"},
    {"optimizer", "weight_decay", RECIPE_REAL, AT(optimizer.weight_decay), 0, 10, "0.1", NULL,
     "of matrices"},
    {"optimizer", "clip", RECIPE_REAL, AT(optimizer.clip), 0, 1e9, "1", NULL,
     "largest norm of all gradients; 0: any"},
    {"optimizer", "moments", RECIPE_CHOICE, AT(optimizer.moments), 0, 0, "f32", "f32|bf16",
     "number type of the moments"},
    {"optimizer", "muon_lr", RECIPE_REAL, AT(optimizer.muon_lr), 0, 1000, "1", NULL,
     "Muon's learning rate, times lr"},
    {"optimizer", "outlier_z", RECIPE_REAL, AT(optimizer.outlier_z), 0, 1000, "0", NULL,
     "skip steps so far above the usual; 0: none"},
    {"optimizer", "ema", RECIPE_REAL, AT(optimizer.ema), 0, 0.999999, "0", NULL,
     "keep a mean of weights; 0: none"},

    {"dpo", "beta", RECIPE_REAL, AT(dpo.beta), 0, 100, "0.1", NULL,
     "how firmly the model is held to its start"},
    {"dpo", "label_smoothing", RECIPE_REAL, AT(dpo.label_smoothing), 0, 0.5, "0", NULL,
     "share of pairs that are the wrong way round"},
    {"dpo", "sft", RECIPE_REAL, AT(dpo.sft), 0, 100, "0", NULL,
     "weight of the chosen answers' mean loss (RPO)"},

    {"schedule", "kind", RECIPE_CHOICE, AT(schedule.kind), 0, 0, "cosine",
     "constant|linear|cosine|wsd|v2|v2-lite|v3", "learning rate over tokens"},
    {"schedule", "warmup_tokens", RECIPE_INT, AT(schedule.warmup_tokens), 0, BIG, "0", NULL,
     "from 0 to lr"},
    {"schedule", "final_lr", RECIPE_REAL, AT(schedule.final_lr), 0, 10, "0", NULL,
     "of linear, cosine, wsd"},
    {"schedule", "decay_share", RECIPE_REAL, AT(schedule.decay_share), 0, 1, "0.2", NULL,
     "of wsd: the last part of the run"},

    {"balance", "gamma", RECIPE_REAL, AT(balance.gamma), 0, 1, "0.001", NULL,
     "speed of the router's bias (V3)"},
    {"balance", "gamma_until_tokens", RECIPE_INT, AT(balance.gamma_until_tokens), 0, BIG, "0", NULL,
     "0: to the end"},
    {"balance", "sequence", RECIPE_REAL, AT(balance.sequence), 0, 10, "0.0001", NULL,
     "V3's sequence-wise loss"},
    {"balance", "expert", RECIPE_REAL, AT(balance.expert), 0, 10, "0", NULL,
     "V2's expert-level loss"},
    {"balance", "device", RECIPE_REAL, AT(balance.device), 0, 10, "0", NULL,
     "V2's device-level loss"},
    {"balance", "transfer", RECIPE_REAL, AT(balance.transfer), 0, 10, "0", NULL,
     "V2's communication loss"},
    {"balance", "capacity", RECIPE_REAL, AT(balance.capacity), 0, 1000, "0", NULL,
     "V2's: drop choices beyond so many mean loads of a device"},
    {"balance", "devices", RECIPE_INT, AT(balance.devices), 0, 1024, "0", NULL,
     "that experts are divided among; 0: groups"},

    {"eval", "every", RECIPE_INT, AT(eval.every), 0, BIG, "100", NULL,
     "steps; 0: at the end alone"},
    {"eval", "sequences", RECIPE_INT, AT(eval.sequences), 1, 1 << 20, "32", NULL,
     "of the validation share, always the same"},

    {"save", "every", RECIPE_INT, AT(save.every), 0, BIG, "500", NULL,
     "steps; 0: at the end alone"},
    {"save", "keep", RECIPE_INT, AT(save.keep), 1, 1000, "2", NULL, "last checkpoints"},

    {"sample", "every", RECIPE_INT, AT(sample.every), 0, BIG, "0", NULL, "steps; 0: none"},
    {"sample", "tokens", RECIPE_INT, AT(sample.tokens), 1, 1 << 20, "100", NULL, "of a sample"},
    {"sample", "prompt", RECIPE_TEXT, AT(sample.prompt), 0, 0, "", NULL,
     "what a sample continues; of conversations a question"},
    {"sample", "temperature", RECIPE_REAL, AT(sample.temperature), 0, 10, "0.8", NULL, "0: greedy"},
};
/* clang-format on */

const struct recipe_key *recipe_keys(int32_t *n)
{
    *n = (int32_t)(sizeof keys / sizeof *keys);
    return keys;
}
