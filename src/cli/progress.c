/* progress.c: one line, redrawn in place, in plain ASCII and without colours. */
#include "cli/progress.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { BAR = 20, WHAT = 26, REDRAW_MS = 100, SETTLE_MS = 1500 };

void progress_init(struct progress *p, FILE *out, bool quiet)
{
    *p = (struct progress){.out = out, .shown = !quiet && isatty(fileno(out))};
}

void progress_bytes(char text[16], uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double n = (double)bytes;
    int unit = 0;

    while (n >= 999.5 && unit < 6) {
        n /= 1000;
        unit++;
    }
    snprintf(text, 16, unit && n < 99.95 ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

static void format_left(char text[32], double seconds)
{
    unsigned s = seconds > 359999 ? 359999 : (unsigned)(seconds + 0.5);

    if (s >= 3600)
        snprintf(text, 32, "%u:%02u h left", s / 3600, s / 60 % 60);
    else
        snprintf(text, 32, "%u:%02u left", s / 60, s % 60);
}

void progress_format(char line[PROGRESS_COLUMNS + 1], const char *what, uint64_t begin,
                     uint64_t done, uint64_t total, double elapsed_ms)
{
    double fraction = total ? (double)done / (double)total : 0;
    double rate = elapsed_ms > 0 ? (double)(done - begin) / elapsed_ms : 0; /* bytes a ms */
    char bar[BAR + 1], amount[16], left[32] = "";
    int full;

    if (fraction > 1)
        fraction = 1;
    progress_bytes(amount, done);
    if (!total) {
        snprintf(line, PROGRESS_COLUMNS + 1, "%-*.60s %s", WHAT, what, done ? amount : "...");
        return;
    }
    full = (int)(fraction * BAR);
    for (int i = 0; i < BAR; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR] = 0;
    if (elapsed_ms >= SETTLE_MS && rate > 0 && done < total)
        format_left(left, (double)(total - done) / rate / 1000);
    snprintf(line, PROGRESS_COLUMNS + 1, "%-*.*s [%s] %3d%% %7s %s", WHAT, WHAT, what, bar,
             (int)(fraction * 100), amount, left);
}

void progress_show(struct progress *p, const char *what, uint64_t done, uint64_t total)
{
    char line[PROGRESS_COLUMNS + 1];
    double now;

    if (!p->shown)
        return;
    now = clock_ms();
    if (strncmp(p->what, what, sizeof p->what - 1) != 0) {
        snprintf(p->what, sizeof p->what, "%s", what);
        p->begin_ms = now;
        p->begin = done;
    } else if (p->drawn && now < p->drawn_ms + REDRAW_MS) {
        return;
    }
    if (done < p->begin) /* it started over */
        p->begin = done;
    p->drawn = true;
    p->drawn_ms = now;
    progress_format(line, what, p->begin, done, total, now - p->begin_ms);
    fprintf(p->out, "\r%-*s", PROGRESS_COLUMNS, line);
    fflush(p->out);
}

void progress_clear(struct progress *p)
{
    if (!p->drawn)
        return;
    fprintf(p->out, "\r%*s\r", PROGRESS_COLUMNS, "");
    fflush(p->out);
    p->drawn = false;
}

void progress_time(char text[32], double seconds)
{
    long s = (long)(seconds + 0.5);

    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}
