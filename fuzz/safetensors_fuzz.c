/* safetensors_fuzz.c: any bytes as a .safetensors file, or, after a first byte 'I', as the index of
 * a folder that holds one sound shard. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_whole(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");

    if (!f || (size && fwrite(data, 1, size, f) != size) || fclose(f))
        abort();
}

/* Everything a reader lets through can be read and found. */
static void use(struct tensors *t, const char *path)
{
    struct mk_error err;

    if (safetensors_open(t, path, &err)) {
        if (!err.text[0] || t->items)
            abort();
        return;
    }
    for (int64_t i = 0; i < t->n_items; i++) {
        if (tensors_find(t, t->items[i].name) != &t->items[i])
            abort();
        tensors_check_finite(t, &t->items[i], &err);
    }
    tensors_release(t);
}

static void open_as_index(const uint8_t *data, size_t size)
{
    static const char shard[] = "8\0\0\0\0\0\0\0"
        "{\"x\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}  12";
    static char dir[32]; /* one for all inputs of this process */
    char path[64];
    struct tensors t;

    if (!dir[0]) {
        snprintf(dir, sizeof dir, "/tmp/minke-fuzz-XXXXXX");
        if (!mkdtemp(dir))
            abort();
        snprintf(path, sizeof path, "%s/a.safetensors", dir);
        write_whole(path, shard, sizeof shard - 1);
    }
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    write_whole(path, data, size);
    use(&t, dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensors t;
    char path[64];
    int fd;

    if (size && data[0] == 'I') {
        open_as_index(data + 1, size - 1);
        return 0;
    }
    fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    use(&t, path);
    close(fd);
    return 0;
}
