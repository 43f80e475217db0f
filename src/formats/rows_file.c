/* rows_file.c: see rows_file.h for the layout. The places of all records are in memory, in a table
 * hashed by their texts. */
#include "formats/rows_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION 1
#define SUM_BYTES 16
#define MAX_ROWS (1 << 24) /* of a text */

static const char magic[8] = {'m', 'i', 'n', 'k', 'e', '-', 't', 'r'};

struct header {
    char magic[8];
    uint32_t version, k;
    unsigned char teachers[32];
};
_Static_assert(sizeof(struct header) == 48, "the layout in rows_file.h");

struct record_head {
    unsigned char text[ROWS_TEXT_BYTES];
    uint32_t n, zero;
};
_Static_assert(sizeof(struct record_head) == 24, "the layout in rows_file.h");

struct place {
    unsigned char text[ROWS_TEXT_BYTES];
    int64_t at; /* of the record; 0: the place is free */
};

struct rows_file {
    int fd;
    char *path;
    int32_t k;
    int64_t end;          /* of the last whole record */
    struct place *places; /* [n_room] a power of two, at most half of them taken */
    int64_t n_room, n;
    unsigned char *record; /* [record_bytes] the one being read or written */
    size_t record_bytes;
};

static size_t bytes_of(const struct rows_file *f, int64_t n)
{
    return sizeof(struct record_head) + (size_t)n * (8 * (size_t)f->k + 4) + SUM_BYTES;
}

/* ---- The table ------------------------------------------------------------------------------ */

/* The text's place, or the free one that it would take. */
static struct place *place_of(const struct rows_file *f, const unsigned char *text)
{
    uint64_t hash;
    int64_t i;

    memcpy(&hash, text, sizeof hash);
    i = (int64_t)(hash & (uint64_t)(f->n_room - 1));
    while (f->places[i].at && memcmp(f->places[i].text, text, ROWS_TEXT_BYTES) != 0)
        i = (i + 1) & (f->n_room - 1);
    return &f->places[i];
}

static int grow(struct rows_file *f, struct mk_error *err)
{
    int64_t n_old = f->n_room;
    struct place *old = f->places;

    f->n_room = n_old ? 2 * n_old : 1024;
    f->places = calloc((size_t)f->n_room, sizeof *f->places);
    if (!f->places) {
        f->places = old;
        f->n_room = n_old;
        return mk_error_memory(err, 2 * (size_t)n_old * sizeof *old);
    }
    for (int64_t i = 0; i < n_old; i++)
        if (old[i].at)
            *place_of(f, old[i].text) = old[i];
    free(old);
    return 0;
}

/* Of two records of one text the later one counts. */
static int put(struct rows_file *f, const unsigned char *text, int64_t at, struct mk_error *err)
{
    struct place *p;

    if (2 * (f->n + 1) > f->n_room && grow(f, err))
        return err->code;
    p = place_of(f, text);
    f->n += !p->at;
    memcpy(p->text, text, ROWS_TEXT_BYTES);
    p->at = at;
    return 0;
}

/* ---- Bytes ---------------------------------------------------------------------------------- */

static int take_record(struct rows_file *f, size_t bytes, struct mk_error *err)
{
    unsigned char *more;

    if (bytes <= f->record_bytes)
        return 0;
    more = realloc(f->record, bytes);
    if (!more)
        return mk_error_memory(err, bytes);
    f->record = more;
    f->record_bytes = bytes;
    return 0;
}

/* True when all bytes were there. */
static bool read_at(int fd, void *to, size_t bytes, int64_t at)
{
    unsigned char *p = to;

    while (bytes > 0) {
        ssize_t n = pread(fd, p, bytes, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

static int write_at(struct rows_file *f, const void *from, size_t bytes, int64_t at,
                    struct mk_error *err)
{
    const unsigned char *p = from;

    while (bytes > 0) {
        ssize_t n = pwrite(f->fd, p, bytes, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", f->path,
                                n ? strerror(errno) : "the disk is full");
        p += n;
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int checksum(const void *data, size_t n, unsigned char out[SUM_BYTES], struct mk_error *err)
{
    unsigned char whole[EVP_MAX_MD_SIZE];

    if (!EVP_Digest(data, n, whole, NULL, EVP_sha256(), NULL))
        return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    memcpy(out, whole, SUM_BYTES);
    return 0;
}

/* ---- Open and close ------------------------------------------------------------------------- */

static int begin(struct rows_file *f, const struct rows_file_key *key, struct mk_error *err)
{
    struct header h = {.version = VERSION, .k = (uint32_t)key->k};

    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.teachers, key->teachers, sizeof h.teachers);
    if (ftruncate(f->fd, 0))
        return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", f->path, strerror(errno));
    return write_at(f, &h, sizeof h, 0, err);
}

static int check_header(const struct rows_file *f, const struct rows_file_key *key,
                        struct mk_error *err)
{
    struct header h;

    if (!read_at(f->fd, &h, sizeof h, 0) || memcmp(h.magic, magic, sizeof magic) != 0)
        return mk_error_set(err, MK_EFORMAT, "%s: not what teachers said", f->path);
    if (h.version != VERSION || h.k != (uint32_t)key->k ||
        memcmp(h.teachers, key->teachers, sizeof h.teachers) != 0)
        return mk_error_set(err, MK_EINVAL,
                            "%s: what other teachers said, or at another temperature or top_k: "
                            "remove it, or name another file",
                            f->path);
    return 0;
}

/* The chain of records, as far as it is whole. */
static int find_records(struct rows_file *f, int64_t bytes, struct mk_error *err)
{
    struct record_head h;

    f->end = (int64_t)sizeof(struct header);
    while (f->end + (int64_t)sizeof h <= bytes && read_at(f->fd, &h, sizeof h, f->end)) {
        int64_t next = f->end;

        if (h.n > MAX_ROWS || h.zero)
            break;
        next += (int64_t)bytes_of(f, h.n);
        if (next > bytes)
            break;
        if (put(f, h.text, f->end, err))
            return err->code;
        f->end = next;
    }
    if (f->end < bytes && ftruncate(f->fd, f->end))
        return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", f->path, strerror(errno));
    return 0;
}

static int open_file(struct rows_file *f, const struct rows_file_key *key, struct mk_error *err)
{
    struct stat st;

    f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f->fd < 0 || fstat(f->fd, &st))
        return mk_error_set(err, MK_EIO, "%s: cannot be opened: %s", f->path, strerror(errno));
    if (flock(f->fd, LOCK_EX | LOCK_NB))
        return mk_error_set(err, MK_EINVAL, "%s: another run is using it", f->path);
    if (st.st_size < (off_t)sizeof(struct header)) {
        st.st_size = (off_t)sizeof(struct header);
        if (begin(f, key, err))
            return err->code;
    }
    if (grow(f, err) || check_header(f, key, err))
        return err->code;
    return find_records(f, st.st_size, err);
}

int rows_file_open(struct rows_file **out, const char *path, const struct rows_file_key *key,
                   struct mk_error *err)
{
    struct rows_file *f = calloc(1, sizeof *f);

    *out = NULL;
    if (!f)
        return mk_error_memory(err, sizeof *f);
    *f = (struct rows_file){.fd = -1, .path = strdup(path), .k = key->k};
    if (!f->path ? mk_error_memory(err, strlen(path)) : open_file(f, key, err)) {
        rows_file_close(f);
        return err->code;
    }
    *out = f;
    return 0;
}

void rows_file_close(struct rows_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    free(f->places);
    free(f->record);
    free(f->path);
    free(f);
}

int64_t rows_file_count(const struct rows_file *f)
{
    return f->n;
}

/* ---- Records -------------------------------------------------------------------------------- */

int rows_file_find(struct rows_file *f, const unsigned char text[ROWS_TEXT_BYTES], struct rows *r,
                   bool *found, struct mk_error *err)
{
    const struct place *p = place_of(f, text);
    size_t bytes = bytes_of(f, r->n), list = (size_t)r->n * (size_t)f->k * 4;
    unsigned char sum[SUM_BYTES];
    const unsigned char *at;
    struct record_head h;

    *found = false;
    if (!p->at)
        return 0;
    if (take_record(f, bytes, err))
        return err->code;
    if (!read_at(f->fd, f->record, bytes, p->at))
        return 0;
    memcpy(&h, f->record, sizeof h);
    if (h.n != (uint32_t)r->n || memcmp(h.text, text, ROWS_TEXT_BYTES) != 0)
        return 0;
    if (checksum(f->record, bytes - SUM_BYTES, sum, err))
        return err->code;
    if (memcmp(sum, f->record + bytes - SUM_BYTES, SUM_BYTES) != 0)
        return 0;
    at = f->record + sizeof h;
    memcpy(r->ids, at, list);
    memcpy(r->logp, at + list, list);
    memcpy(r->rest, at + 2 * list, (size_t)r->n * 4);
    *found = true;
    return 0;
}

int rows_file_add(struct rows_file *f, const unsigned char text[ROWS_TEXT_BYTES],
                  const struct rows *r, struct mk_error *err)
{
    size_t bytes = bytes_of(f, r->n), list = (size_t)r->n * (size_t)f->k * 4;
    struct record_head h = {.n = (uint32_t)r->n};
    unsigned char *at;

    if (take_record(f, bytes, err))
        return err->code;
    memcpy(h.text, text, ROWS_TEXT_BYTES);
    memcpy(f->record, &h, sizeof h);
    at = f->record + sizeof h;
    memcpy(at, r->ids, list);
    memcpy(at + list, r->logp, list);
    memcpy(at + 2 * list, r->rest, (size_t)r->n * 4);
    if (checksum(f->record, bytes - SUM_BYTES, f->record + bytes - SUM_BYTES, err) ||
        write_at(f, f->record, bytes, f->end, err) || put(f, text, f->end, err))
        return err->code;
    f->end += (int64_t)bytes;
    return 0;
}
