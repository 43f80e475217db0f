/* rl_bench.c: rollouts at 1 to 64 answers at a time, and the matrix products of a step alone.
 *
 * Usage: rl_bench OPTIONS [CONFIG [ROUNDS]]: tokens a second of answers with so many slots, in
 *   turns.
 * rl_bench OPTIONS CONFIG ROUNDS STEPS ROWS GROUPS PROMPT UPDATE PASS: milliseconds of a step's
 *   products alone, forward for STEPS steps of ROWS answers and GROUPS prompts of PROMPT rows;
 *   and forward and backward for UPDATE rows in passes of PASS (bench/rl_speed.py counts them in
 *   a run).
 * Options: --bf16: products of bf16 (the rollouts only). --wall THREADS: by the clock on the wall,
 *   for a quiet machine. Without it one thread by its processor time: what others do on the
 *   machine meanwhile does not count.
 *
 * Weights are random: no product is faster for a better number. Medians of ROUNDS (9). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/map_file.h"
#include "generate/sampling_options.h"
#include "generate/scheduler.h"
#include "kernels/low_precision.h"
#include "train/narrow.h"
#include "train/params.h"

enum { N_ANSWERS = 64, GROUP = 16, N_PROMPT = 24, N_TOKENS = 26, MAX_ROUNDS = 99, MAX_JOBS = 4096 };

struct bench {
    struct params params;
    struct model model;
    struct compute c;
    struct arena memory;
    enum dtype compute;
    int rounds, n_threads;
    clockid_t clock;
};

static void fail(const struct mk_error *err)
{
    fprintf(stderr, "rl_bench: %s\n", err->text);
    exit(1);
}

static double now_ms(const struct bench *b)
{
    struct timespec t;

    clock_gettime(b->clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorted in place. */
static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n / 2];
}

static void open_bench(struct bench *b, const char *config)
{
    struct model_options o = {.mla = MK_MLA_EXPANDED};
    struct map_file m;
    struct mk_error err;
    struct arch a;

    arena_init(&b->memory, (size_t)1 << 30);
    if (map_file_open(&m, config, &err) ||
        arch_from_hf_text(&a, config, (const char *)m.data, m.bytes, &err))
        fail(&err);
    map_file_close(&m);
    a.n_mtp = 0;
    if (params_init(&b->params, &a, &err) || compute_init(&b->c, NULL, b->n_threads, &err))
        fail(&err);
    params_randomise(&b->params, 1, 0.02);
    if (narrow_init(&b->params, b->compute, b->c.ex, &err))
        fail(&err);
    if (b->compute == MK_BF16)
        compute_round_inputs(&b->c);
    narrow_round(&b->params, b->c.ex);
    if (params_pack(&b->params, &b->model, &o, &err))
        fail(&err);
}

static void close_bench(struct bench *b)
{
    model_release(&b->model);
    params_release(&b->params);
    compute_release(&b->c);
    arena_release(&b->memory);
}

/* ---- Rollouts -------------------------------------------------------------------------------- */

static struct scheduler *open_slots(struct bench *b, int32_t n_slots)
{
    struct schedule_options o = {.n_slots = n_slots,
                                 .max_tokens = N_TOKENS,
                                 .max_prompt = N_PROMPT,
                                 .kv = MK_F32,
                                 .sampling = mk_sampling_default(),
                                 .think_begin = -1,
                                 .think_end = -1};
    struct scheduler *s;
    struct mk_error err;

    if (scheduler_create(&s, &b->model, &b->c, &o, &err))
        fail(&err);
    return s;
}

/* Milliseconds for all answers: no id ends one. */
static double answer_all(struct bench *b, struct scheduler *s)
{
    static int32_t prompt[N_PROMPT];
    struct schedule_group groups[N_ANSWERS / GROUP];
    struct schedule_answer answers[N_ANSWERS];
    struct mk_error err;
    double begun = now_ms(b);

    for (int i = 0; i < N_PROMPT; i++)
        prompt[i] = 7 + i * 5 % 200;
    for (int i = 0; i < N_ANSWERS / GROUP; i++)
        groups[i] = (struct schedule_group){prompt, N_PROMPT, GROUP, (uint64_t)i * GROUP};
    arena_reset(&b->memory);
    if (scheduler_run(s, groups, N_ANSWERS / GROUP, answers, &b->memory, NULL, NULL, &err))
        fail(&err);
    return now_ms(b) - begun;
}

static void bench_rollouts(struct bench *b)
{
    static const int32_t slots[] = {1, 4, 16, 64};
    enum { N = sizeof slots / sizeof *slots };
    struct scheduler *s[N];
    double ms[N][MAX_ROUNDS], one = 0;

    for (int i = 0; i < N; i++) {
        s[i] = open_slots(b, slots[i]);
        answer_all(b, s[i]); /* memory is touched for the first time */
    }
    for (int r = 0; r < b->rounds; r++)
        for (int i = 0; i < N; i++)
            ms[i][r] = answer_all(b, s[i]);
    printf("slots,tokens_per_s,low,high,times_one\n");
    for (int i = 0; i < N; i++) {
        double all = N_ANSWERS * N_TOKENS * 1e3, mid = median(ms[i], b->rounds);

        one = i == 0 ? mid : one;
        printf("%d,%.0f,%.0f,%.0f,%.2f\n", slots[i], all / mid, all / ms[i][b->rounds - 1],
               all / ms[i][0], one / mid);
        scheduler_free(s[i]);
    }
}

/* ---- Products alone -------------------------------------------------------------------------- */

/* The matrices that a token is multiplied with. */
struct products {
    struct packed packed[MAX_JOBS];
    struct param *params[MAX_JOBS];
    double share[MAX_JOBS]; /* of the rows: of experts those that are chosen */
    int32_t n, most;        /* most: the widest side */
    float *x, *y;           /* [rows, most] */
};

static void find_products(struct bench *b, struct products *p, int64_t n_rows)
{
    const struct arch *a = &b->params.arch;
    struct param *head = params_head(&b->params);
    struct mk_error err;

    p->n = p->most = 0;
    for (int64_t i = 0; i < b->params.n_items && p->n < MAX_JOBS; i++) {
        struct param *q = &b->params.items[i];
        bool expert = q->role >= W_EXPERT_GATE && q->role <= W_EXPERT_DOWN;
        struct weight_src src = {
            .dtype = MK_F32, .n_out = q->shape[0], .n_in = q->shape[1], .data = q->w};

        if (q->n_dims != 2 || (q->role == W_EMBED && q != head))
            continue;
        if (packed_init(&p->packed[p->n], &src, &b->memory, &err))
            fail(&err);
        p->share[p->n] = expert ? (double)a->n_experts_used / a->n_experts : 1;
        p->params[p->n++] = q;
        for (int d = 0; d < 2; d++)
            p->most = q->shape[d] > p->most ? (int32_t)q->shape[d] : p->most;
    }
    if (arena_take(&b->memory, &p->x, (size_t)(n_rows * p->most), sizeof *p->x, &err) ||
        arena_take(&b->memory, &p->y, (size_t)(n_rows * p->most), sizeof *p->y, &err))
        fail(&err);
    for (int64_t i = 0; i < n_rows * p->most; i++)
        p->x[i] = p->y[i] = (float)(i % 17) * 0.01f;
}

static void forward(struct bench *b, struct products *p, int64_t n_rows)
{
    struct mk_error err;

    for (int32_t i = 0; i < p->n; i++) {
        struct matmul_job job = {.w = &p->packed[i],
                                 .x = p->x,
                                 .x_stride = p->packed[i].n_in,
                                 .n_rows = (int64_t)((double)n_rows * p->share[i] + 0.5),
                                 .out = p->y,
                                 .out_stride = p->packed[i].n_out};

        if (b->c.k->matmul(&b->c, &job, 1, &err))
            fail(&err);
    }
}

static void backward(struct bench *b, struct products *p, int64_t n_rows)
{
    struct mk_error err;

    for (int32_t i = 0; i < p->n; i++) {
        struct param *q = p->params[i];
        struct gemm_job job = {.a = p->y,
                               .b = p->x,
                               .a_stride = q->shape[0],
                               .b_stride = q->shape[1],
                               .out = q->grad,
                               .out_stride = q->shape[1],
                               .n_rows = (int64_t)((double)n_rows * p->share[i] + 0.5),
                               .n_out = (int32_t)q->shape[0],
                               .n_in = (int32_t)q->shape[1]};

        if (b->c.k->gemm_tn(&b->c, &job, 1, &err))
            fail(&err);
        job.b = q->w;
        job.b_stride = q->shape[1];
        job.out = p->x;
        if (b->c.k->gemm_nn(&b->c, &job, 1, &err))
            fail(&err);
    }
}

static void bench_products(struct bench *b, char **argv)
{
    int64_t steps = atoll(argv[0]), rows = atoll(argv[1]), groups = atoll(argv[2]);
    int64_t prompt = atoll(argv[3]), update = atoll(argv[4]), pass = atoll(argv[5]);
    int64_t most = rows > prompt ? rows : prompt;
    struct products *p = calloc(1, sizeof *p);
    double rollout_ms[MAX_ROUNDS], update_ms[MAX_ROUNDS];
    struct mk_error err;

    if (!p || params_take_gradients(&b->params, &err))
        fail(&err);
    pass = pass < update ? pass : update;
    find_products(b, p, most > pass ? most : pass);
    for (int r = -1; r < b->rounds; r++) {
        double begun = now_ms(b), between;

        for (int64_t i = 0; i < groups; i++)
            forward(b, p, prompt);
        for (int64_t i = 0; i < steps; i++)
            forward(b, p, rows);
        between = now_ms(b);
        for (int64_t done = 0; done < update; done += pass) {
            forward(b, p, update - done < pass ? update - done : pass);
            backward(b, p, update - done < pass ? update - done : pass);
        }
        if (r >= 0) {
            rollout_ms[r] = between - begun;
            update_ms[r] = now_ms(b) - between;
        }
    }
    printf("rollout_ms,update_ms\n%.3f,%.3f\n", median(rollout_ms, b->rounds),
           median(update_ms, b->rounds));
    free(p);
}

/* Takes the options off; returns how many words they were, or -1. */
static int read_options(struct bench *b, int argc, char **argv)
{
    int i = 1;

    *b = (struct bench){.compute = MK_F32, .n_threads = 1, .clock = CLOCK_PROCESS_CPUTIME_ID};
    for (; i < argc && !strncmp(argv[i], "--", 2); i++)
        if (!strcmp(argv[i], "--bf16")) {
            b->compute = MK_BF16;
        } else if (!strcmp(argv[i], "--wall") && i + 1 < argc && atoi(argv[i + 1]) > 0) {
            b->n_threads = atoi(argv[++i]);
            b->clock = CLOCK_MONOTONIC;
        } else {
            return -1;
        }
    return i - 1;
}

int main(int argc, char **argv)
{
    struct bench b;
    int taken = read_options(&b, argc, argv);

    argc -= taken;
    argv += taken;
    if (taken < 0 || (argc != 1 && argc != 2 && argc != 3 && argc != 9)) {
        fprintf(stderr, "usage: rl_bench [--bf16] [--wall THREADS]\n"
                        "    [CONFIG [ROUNDS [STEPS ROWS GROUPS PROMPT UPDATE PASS]]]\n");
        return 2;
    }
    open_bench(&b, argc > 1 ? argv[1] : "bench/models/demo.json");
    b.rounds = argc > 2 ? atoi(argv[2]) : 9;
    if (b.rounds < 1 || b.rounds > MAX_ROUNDS)
        b.rounds = MAX_ROUNDS;
    if (argc == 9)
        bench_products(&b, argv + 3);
    else
        bench_rollouts(&b);
    close_bench(&b);
    return 0;
}
