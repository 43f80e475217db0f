/* room.c: what steps take, counted from what rollout.c, update.c and the scheduler allocate. */
#include "rl/learner.h"

#define STEP_CHUNK 512   /* rows of a pass of the scheduler: PREFILL_CHUNK there */
#define ROW_VALUES 24    /* of a model's width, that a row of such a pass holds at a time */
#define JUDGE_VALUES 8   /* the same of a reward model's pass, beside a block */
#define JSON_BYTES 120   /* a number of the sample file while it is written */
#define N_JSON 64        /* answers in it */

bool learner_filters(const struct recipe *r)
{
    return r->rl.filter && !r->distill.n_teachers;
}

int64_t learner_most_answers(const struct recipe *r)
{
    double most = (double)r->rl.questions * (learner_filters(r) ? r->rl.refill : 1);

    return (int64_t)most * r->rl.samples;
}

/* Caches, sets and logits of the slots that a scheduler fills. */
static uint64_t scheduler_bytes(const struct learner *l, bool greedy, uint64_t n_prompt)
{
    const struct model *m = &l->trainer->model;
    struct schedule_options o = learner_schedule(l, greedy);
    uint64_t vocab = (uint64_t)m->arch.n_vocab, slots = (uint64_t)o.n_slots;
    uint64_t rows = n_prompt + (uint64_t)o.max_tokens;
    uint64_t row = (uint64_t)model_cache_layers(m) * (uint64_t)kv_row_bytes(o.kv, model_row_dim(m));
    uint64_t chunk = slots > STEP_CHUNK || n_prompt > STEP_CHUNK ? STEP_CHUNK : n_prompt;
    uint64_t pass = (chunk > slots ? chunk : slots) *
                    ((uint64_t)m->arch.d_model * ROW_VALUES + vocab) * sizeof(float);

    if (o.keep_experts)
        row += (uint64_t)m->arch.n_layers * (uint64_t)m->arch.n_experts_used * sizeof(int32_t);
    if (o.keep_sets)
        row += (uint64_t)schedule_set_words(m->arch.n_vocab) * sizeof(uint32_t);
    return (slots + 1) * (rows * row + vocab * sizeof(float)) + pass;
}

/* Of one answer: what the scheduler copies out, its text, the sequence that is learned from, and
 * log-probabilities before, during and of the reference. */
static uint64_t answer_bytes(const struct learner *l, uint64_t n_prompt)
{
    const struct recipe *r = l->recipe;
    const struct arch *a = &l->trainer->params->arch;
    uint64_t n = (uint64_t)r->rollout.tokens, rows = n_prompt + n;
    uint64_t updates = (uint64_t)(r->rl.epochs * r->rl.batches);
    uint64_t bytes = n * (8 + 8 + 8 + 4 * updates) + rows * 16 + 512;

    if (learner_schedule(l, false).keep_sets)
        bytes += (n + rows) * (uint64_t)schedule_set_words(a->n_vocab) * sizeof(uint32_t);
    if (r->rl.replay_experts)
        bytes += rows * (uint64_t)(a->n_layers * a->n_experts_used) * sizeof(int32_t);
    return bytes;
}

/* A pass of the reward model over as many rows as are computed together: what a block holds while
 * it works is about what it would keep. Its weights are there already. */
static uint64_t judge_bytes(const struct learner *l, uint64_t n_rows)
{
    const struct model *m = &l->judge.model;
    uint64_t rows = (uint64_t)l->judge.pass_tokens, kept;
    bool all;

    if (!l->has_judge)
        return 0;
    rows = rows < n_rows ? rows : n_rows;
    kept = pass_keep(m, (int64_t)rows, UINT64_MAX / 2, NULL, &all);
    return kept / (uint64_t)m->arch.n_layers +
           rows * (uint64_t)m->arch.d_model * JUDGE_VALUES * sizeof(float);
}

/* Of a pass whose answers share prompts: their rows and gradients in one piece with the prompt's
 * (train/block_backward.c), and the prompt's cached rows before each. */
static uint64_t joined_bytes(const struct learner *l, uint64_t n_prompt, uint64_t n_answers)
{
    uint64_t all = n_prompt + (uint64_t)l->recipe->rollout.tokens;
    uint64_t rows = (uint64_t)l->trainer->o.pass_tokens;

    n_answers = n_answers < rows ? n_answers : rows;
    return n_answers * (2 * all + n_prompt) * (uint64_t)model_row_dim(&l->trainer->model) *
           sizeof(float);
}

int64_t learner_longest(const struct recipe *r, int32_t n_prompt)
{
    int64_t shared = r->rl.samples * r->rollout.tokens;

    return n_prompt + (shared < LEARNER_SHARED_ROWS ? shared
                                                    : LEARNER_SHARED_ROWS + r->rollout.tokens);
}

uint64_t learner_room(const struct learner *l, int32_t n_prompt)
{
    uint64_t prompt = (uint64_t)n_prompt, n = (uint64_t)learner_most_answers(l->recipe);
    uint64_t tests = (uint64_t)l->recipe->eval.sequences;
    uint64_t answers = answer_bytes(l, prompt) * (n > tests ? n : tests);
    int32_t longest = n_prompt + (int32_t)l->recipe->rollout.tokens;
    uint64_t graded = l->teachers.n ? teachers_need(&l->teachers, longest, (int64_t)n) : 0;

    /* Chunks of an arena double: as much again at the worst. */
    return judge_bytes(l, n * (prompt + (uint64_t)l->recipe->rollout.tokens)) +
           scheduler_bytes(l, false, prompt) + scheduler_bytes(l, true, prompt) + 2 * answers +
           graded + joined_bytes(l, prompt, n) +
           (n < N_JSON ? n : N_JSON) * (prompt + 2 * (uint64_t)l->recipe->rollout.tokens) *
               JSON_BYTES;
}
