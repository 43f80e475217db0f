/* gguf_fuzz.c: any bytes as a GGUF file; then every accessor on everything that was read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_value(const struct gguf_value *v)
{
    const unsigned char *cursor = v->data;
    struct gguf_string s;
    volatile char last = 0;
    int64_t n;
    double x;

    for (uint64_t i = 0; i <= v->n && i < 1000; i++) { /* one past the end, too */
        gguf_int_at(v, i, &n);
        gguf_float_at(v, i, &x);
    }
    while (gguf_next_string(v, &cursor, &s))
        if (s.n)
            last = s.data[s.n - 1];
    (void)last;
}

static void use_single(const struct gguf *g, const char *key)
{
    struct gguf_string s;
    int64_t n;
    double x;
    bool b;

    gguf_int(g, key, &n);
    gguf_float(g, key, &x);
    gguf_bool(g, key, &b);
    gguf_text(g, key, &s);
}

static void use(const struct gguf *g)
{
    struct mk_error err;

    for (int64_t i = 0; i < g->n_values; i++) {
        char key[64];
        const struct gguf_string *k = &g->values[i].key;

        snprintf(key, sizeof key, "%.*s", k->n < 60 ? (int)k->n : 60, k->data);
        use_single(g, key);
        use_value(&g->values[i]);
    }
    for (int64_t i = 0; i < g->tensors.n_items; i++) {
        if (tensors_find(&g->tensors, g->tensors.items[i].name) != &g->tensors.items[i])
            abort();
        tensors_check_finite(&g->tensors, &g->tensors.items[i], &err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf g;
    struct mk_error err = {0};
    char path[64];
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (gguf_open(&g, path, &err) == 0)
        use(&g);
    else if (!err.text[0] || g.values || g.tensors.items)
        abort();
    gguf_release(&g);
    close(fd);
    return 0;
}
