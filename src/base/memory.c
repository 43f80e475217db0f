/* memory.c: reads what Linux tells about memory. */
#include "base/memory.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The number behind `key` at the start of a line, times unit; 0: there is none. */
static uint64_t find(const char *path, const char *key, uint64_t unit)
{
    FILE *f = fopen(path, "r");
    unsigned long long n = 0;
    char line[256];

    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), "%llu", &n) == 1)
            break;
    if (f)
        fclose(f);
    return n * unit;
}

uint64_t memory_resident(void)
{
    return find("/proc/self/status", "VmRSS:", 1024);
}

/* Not getrusage: its peak begins with what the parent had when it forked. */
uint64_t memory_peak(void)
{
    return find("/proc/self/status", "VmHWM:", 1024);
}

static void take_least(uint64_t *least, uint64_t limit, uint64_t used)
{
    uint64_t left = limit > used ? limit - used : 1;

    if (limit && left < *least)
        *least = left;
}

uint64_t memory_available(void)
{
    uint64_t least = UINT64_MAX;
    struct rlimit r;

    take_least(&least, find("/proc/meminfo", "MemAvailable:", 1024), 0);
    /* A group's count holds cached files too, which it would give up. */
    take_least(&least, find("/sys/fs/cgroup/memory.max", "", 1),
               find("/sys/fs/cgroup/memory.stat", "anon ", 1));
    if (getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
        take_least(&least, r.rlim_cur, find("/proc/self/status", "VmSize:", 1024));
    return least == UINT64_MAX ? 0 : least;
}
