/* exec.c: the thread pool. A job is published by raising `generation`; tasks are claimed from an
 * atomic counter. */
#include "base/exec.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SPIN_ROUNDS                                                                                \
    2000 /* about 20 microseconds: the gap between two kernels of one token, not between two       \
            tokens */

struct worker {
    struct exec *ex;
    pthread_t thread;
    int index;
};

struct exec {
    int n_threads, n_started;
    struct worker *workers; /* [n_threads]; 0 is the caller */
    exec_task_fn *fn;
    void *context;
    int64_t n_tasks;
    atomic_llong next_task;
    atomic_uint generation;
    atomic_int n_busy;
    atomic_bool stop;
    atomic_int n_asleep;
    pthread_mutex_t lock; /* only for sleeping */
    pthread_cond_t wake;
};

static void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void run_tasks(struct exec *ex, int worker)
{
    for (;;) {
        int64_t task = atomic_fetch_add_explicit(&ex->next_task, 1, memory_order_relaxed);

        if (task >= ex->n_tasks)
            return;
        ex->fn(ex->context, task, worker);
    }
}

static unsigned wait_for_job(struct exec *ex, unsigned seen)
{
    unsigned now;

    for (int i = 0; i < SPIN_ROUNDS; i++) {
        now = atomic_load_explicit(&ex->generation, memory_order_acquire);
        if (now != seen)
            return now;
        cpu_relax();
    }
    pthread_mutex_lock(&ex->lock);
    atomic_fetch_add(&ex->n_asleep, 1);
    while ((now = atomic_load(&ex->generation)) == seen)
        pthread_cond_wait(&ex->wake, &ex->lock);
    atomic_fetch_sub(&ex->n_asleep, 1);
    pthread_mutex_unlock(&ex->lock);
    return now;
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    struct exec *ex = w->ex;
    unsigned seen = 0;

    for (;;) {
        seen = wait_for_job(ex, seen);
        if (atomic_load(&ex->stop))
            return NULL;
        run_tasks(ex, w->index);
        atomic_fetch_sub_explicit(&ex->n_busy, 1, memory_order_release);
    }
}

static void publish(struct exec *ex)
{
    atomic_fetch_add(&ex->generation, 1);
    if (atomic_load(&ex->n_asleep) > 0) {
        pthread_mutex_lock(&ex->lock);
        pthread_cond_broadcast(&ex->wake);
        pthread_mutex_unlock(&ex->lock);
    }
}

int exec_create(struct exec **out, int n_threads, struct mk_error *err)
{
    struct exec *ex;

    *out = NULL;
    if (n_threads < 1 || n_threads > MK_MAX_THREADS)
        return mk_error_set(err, MK_EINVAL, "threads must be 1 to %d, not %d", MK_MAX_THREADS,
                            n_threads);
    ex = calloc(1, sizeof *ex);
    if (!ex)
        return mk_error_memory(err, sizeof *ex);
    ex->workers = calloc((size_t)n_threads, sizeof *ex->workers);
    if (!ex->workers) {
        free(ex);
        return mk_error_memory(err, (size_t)n_threads * sizeof *ex->workers);
    }
    ex->n_threads = n_threads;
    pthread_mutex_init(&ex->lock, NULL);
    pthread_cond_init(&ex->wake, NULL);
    ex->n_started = 1;
    for (int i = 1; i < n_threads; i++) {
        ex->workers[i] = (struct worker){.ex = ex, .index = i};
        if (pthread_create(&ex->workers[i].thread, NULL, worker_main, &ex->workers[i])) {
            exec_free(ex);
            return mk_error_set(err, MK_EMEMORY,
                                "thread %d of %d could not be started; use fewer threads", i,
                                n_threads);
        }
        ex->n_started = i + 1;
    }
    *out = ex;
    return 0;
}

void exec_free(struct exec *ex)
{
    if (!ex)
        return;
    atomic_store(&ex->stop, true);
    pthread_mutex_lock(&ex->lock);
    atomic_fetch_add(&ex->generation, 1);
    pthread_cond_broadcast(&ex->wake);
    pthread_mutex_unlock(&ex->lock);
    for (int i = 1; i < ex->n_started; i++)
        pthread_join(ex->workers[i].thread, NULL);
    pthread_mutex_destroy(&ex->lock);
    pthread_cond_destroy(&ex->wake);
    free(ex->workers);
    free(ex);
}

int exec_n_threads(const struct exec *ex)
{
    return ex->n_threads;
}

void exec_run(struct exec *ex, int64_t n_tasks, exec_task_fn *fn, void *context)
{
    int spins = 0;

    if (n_tasks <= 0)
        return;
    if (ex->n_threads == 1 || n_tasks == 1) {
        for (int64_t i = 0; i < n_tasks; i++)
            fn(context, i, 0);
        return;
    }
    ex->fn = fn;
    ex->context = context;
    ex->n_tasks = n_tasks;
    atomic_store_explicit(&ex->next_task, 0, memory_order_relaxed);
    atomic_store_explicit(&ex->n_busy, ex->n_threads - 1, memory_order_relaxed);
    publish(ex);
    run_tasks(ex, 0);
    while (atomic_load_explicit(&ex->n_busy, memory_order_acquire) > 0) {
        cpu_relax();
        if (++spins > SPIN_ROUNDS) { /* more threads than free cores: let them run */
            sched_yield();
            spins = 0;
        }
    }
}

int exec_cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    return 1;
}
