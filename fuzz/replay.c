/* replay.c: runs a fuzz target over the files named, and over each file of each folder named; so
 * `make test` repeats what fuzzing found without needing libFuzzer.
 *
 * Usage: NAME_replay [--mutate N] FILE...
 *
 * With --mutate each file is also given cut off at every byte, and N times with a few of its bytes
 * changed, drawn from a fixed seed. An input that takes 5 s of the processor ends the program. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/rng.h"

#define SEED 20251123u
#define MAX_SECONDS 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct replay {
    uint64_t n_mutations; /* of each file */
    uint64_t n_files, n_inputs;
};

/* SIGPROF comes after so much work, however busy the machine is; 0 calls it off. */
static void limit_seconds(time_t seconds)
{
    struct itimerval t = {.it_value.tv_sec = seconds};

    setitimer(ITIMER_PROF, &t, NULL);
}

/* A copy of the exact size: the address sanitizer sees the first byte beyond it. */
static bool give(struct replay *r, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        return false;
    memcpy(copy, data, size);
    limit_seconds(MAX_SECONDS);
    LLVMFuzzerTestOneInput(copy, size);
    limit_seconds(0);
    free(copy);
    r->n_inputs++;
    return true;
}

/* One change: a bit, a byte, a number that overflows or wraps, a character that JSON cares about,
 * or a copy of another place. Returns the size, which cutting and doubling change. */
static size_t mutate(uint8_t *data, size_t size, size_t room, const uint32_t w[4])
{
    static const uint64_t nasty[] = {0, 1, UINT64_MAX, INT64_MAX, UINT32_MAX, INT32_MAX,
                                     (uint64_t)1 << 32, (uint64_t)1 << 63, UINT64_MAX - 7};
    static const char marks[] = "\"{}[],:\\-0919eE.+tfn u<>";
    size_t at = w[0] % size, from = w[3] % size, n = 1 + w[2] % 16;
    const uint64_t *number = &nasty[w[2] % (sizeof nasty / sizeof *nasty)];

    switch (w[1] % 7) {
    case 0:
        data[at] ^= (uint8_t)(1 << w[2] % 8);
        break;
    case 1:
        data[at] = (uint8_t)w[2];
        break;
    case 2:
        data[at] = (uint8_t)marks[w[2] % (sizeof marks - 1)];
        break;
    case 3:
        memcpy(data + at, number, size - at < 8 ? size - at : w[3] % 2 ? 8 : 4);
        break;
    case 4: /* over another place */
        n = n < size - at ? n : size - at;
        n = n < size - from ? n : size - from;
        memmove(data + at, data + from, n);
        break;
    case 5: /* the same again */
        n = n < size - at ? n : size - at;
        n = n < room - size ? n : room - size;
        memmove(data + at + n, data + at, size - at);
        return size + n;
    default: /* gone */
        n = n < size - at ? n : size - at;
        n = n < size - 1 ? n : size - 1;
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    }
    return size;
}

static bool give_mutations(struct replay *r, const uint8_t *data, size_t size, uint64_t sequence)
{
    size_t room = 2 * size + 64;
    uint8_t *changed = malloc(room);
    bool good = changed != NULL;

    for (uint64_t i = 0; good && size && i < r->n_mutations; i++) {
        size_t n = size;
        uint32_t w[4];

        memcpy(changed, data, size);
        rng_words(SEED, sequence, i * 8, w);
        for (uint64_t k = 1, changes = 1 + w[0] % 4; k <= changes; k++) {
            rng_words(SEED, sequence, i * 8 + k, w);
            n = mutate(changed, n, room, w);
        }
        good = give(r, changed, n);
    }
    free(changed);
    return good;
}

static bool replay_bytes(struct replay *r, const uint8_t *data, size_t size)
{
    bool good = give(r, data, size);

    for (size_t n = 0; good && r->n_mutations && n < size; n++)
        good = give(r, data, n);
    return good && give_mutations(r, data, size, r->n_files);
}

static bool replay_file(struct replay *r, const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    uint8_t *data;
    bool good;

    if (!f || fstat(fileno(f), &st)) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    data = malloc((size_t)st.st_size + 1);
    good = data && fread(data, 1, (size_t)st.st_size, f) == (size_t)st.st_size;
    fclose(f);
    good = good && replay_bytes(r, data, (size_t)st.st_size);
    if (!good)
        fprintf(stderr, "%s: could not be read\n", path);
    free(data);
    r->n_files++;
    return good;
}

static bool replay(struct replay *r, const char *path)
{
    DIR *dir = opendir(path);
    bool good = true;

    if (!dir)
        return replay_file(r, path);
    for (struct dirent *e; good && (e = readdir(dir));) {
        char name[4096];

        if (e->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        good = replay_file(r, name);
    }
    closedir(dir);
    return good;
}

int main(int argc, char **argv)
{
    struct replay r = {0};
    int first = 1;

    if (argc > 2 && !strcmp(argv[1], "--mutate")) {
        r.n_mutations = strtoull(argv[2], NULL, 10);
        first = 3;
    }
    for (int i = first; i < argc; i++)
        if (!replay(&r, argv[i]))
            return 1;
    printf("%llu inputs of %llu files\n", (unsigned long long)r.n_inputs,
           (unsigned long long)r.n_files);
    return r.n_files ? 0 : 1; /* nothing replayed is no success */
}
