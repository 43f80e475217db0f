/* files.c: paths, folders, digests; and which names belong to a model. */
#include "hub/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool files_plain_name(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > 200 || name[0] == '.' || name[0] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] <= 0x20 || name[i] == 0x7f || strchr("/\\:*?\"<>|", name[i]))
            return false;
    return true;
}

bool files_has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);

    return n > m && !strcmp(name + n - m, suffix);
}

int files_join(char out[HUB_PATH_MAX], const char *dir, const char *name, struct mk_error *err)
{
    if (snprintf(out, HUB_PATH_MAX, "%s/%s", dir, name) >= HUB_PATH_MAX)
        return mk_error_set(err, MK_ELIMIT, "%.200s...: the path is too long", dir);
    return 0;
}

int files_make_folders(const char *path, struct mk_error *err)
{
    char part[HUB_PATH_MAX];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof part)
        return mk_error_set(err, MK_ELIMIT, "'%.200s': not a usable path", path);
    memcpy(part, path, n + 1);
    for (char *p = part + 1;; p++) {
        char kept = *p;

        if (kept && kept != '/')
            continue;
        *p = 0;
        if (mkdir(part, 0777) && errno != EEXIST)
            return mk_error_set(err, MK_EIO, "%s: the folder cannot be made: %s", part,
                                strerror(errno));
        if (!kept)
            return 0;
        *p = kept;
    }
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *where)
{
    (void)st;
    (void)flag;
    (void)where;
    return remove(path);
}

int files_remove_tree(const char *path, struct mk_error *err)
{
    struct stat st;

    if (lstat(path, &st) && errno == ENOENT)
        return 0;
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS))
        return mk_error_set(err, MK_EIO, "%s: cannot be removed: %s", path, strerror(errno));
    return 0;
}

int files_sync(const char *path, struct mk_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), bad;

    if (fd < 0)
        return mk_error_set(err, MK_EIO, "%s: %s", path, strerror(errno));
    bad = fsync(fd);
    close(fd);
    if (bad)
        return mk_error_set(err, MK_EIO, "%s: cannot be written: %s", path, strerror(errno));
    return 0;
}

bool files_is_folder(const char *path)
{
    struct stat st;

    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int64_t files_bytes(const char *path)
{
    struct stat st;

    return stat(path, &st) || !S_ISREG(st.st_mode) ? -1 : (int64_t)st.st_size;
}

int files_progress(const struct hub_options *o, const char *what, uint64_t done, uint64_t total,
                   struct mk_error *err)
{
    struct hub_progress p = {what, done, total};

    if (o->progress && o->progress(o->progress_user, &p))
        return mk_error_set(err, MK_ECANCELLED, "stopped; the same command goes on from here");
    return 0;
}

static int digest_file(const struct hub_options *o, FILE *file, const char *path,
                       EVP_MD_CTX *digest, struct mk_error *err)
{
    enum { CHUNK = 1 << 20 };
    const char *slash = strrchr(path, '/');
    uint64_t done = 0, total = (uint64_t)files_bytes(path);
    unsigned char *chunk = malloc(CHUNK);
    char what[256];
    int rc = 0;
    size_t n;

    if (!chunk)
        return mk_error_memory(err, CHUNK);
    snprintf(what, sizeof what, "checking %s", slash ? slash + 1 : path);
    while (!rc && (n = fread(chunk, 1, CHUNK, file)) > 0) {
        done += n;
        if (EVP_DigestUpdate(digest, chunk, n) != 1)
            rc = mk_error_set(err, MK_EINTERNAL, "sha256 failed");
        else
            rc = files_progress(o, what, done, total, err);
    }
    if (!rc && ferror(file))
        rc = mk_error_set(err, MK_EIO, "%s: cannot be read: %s", path, strerror(errno));
    free(chunk);
    return rc;
}

int files_sha256(const struct hub_options *o, const char *path, char hex[65], struct mk_error *err)
{
    unsigned char value[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    FILE *file = fopen(path, "rb");
    unsigned n = 0;
    int rc;

    if (!file)
        rc = mk_error_set(err, MK_EIO, "%s: %s", path, strerror(errno));
    else if (!digest || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
        rc = mk_error_set(err, MK_EINTERNAL, "sha256 is not to be had from libcrypto");
    else
        rc = digest_file(o, file, path, digest, err);
    if (!rc && EVP_DigestFinal_ex(digest, value, &n) != 1)
        rc = mk_error_set(err, MK_EINTERNAL, "sha256 failed");
    for (unsigned i = 0; !rc && i < n && i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", value[i]);
    EVP_MD_CTX_free(digest);
    if (file)
        fclose(file);
    return rc;
}

enum file_kind files_kind(const char *name)
{
    static const char *const texts[] = {
        "generation_config.json",  "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json", "vocab.json",     "merges.txt"};

    if (!files_plain_name(name))
        return FILE_OTHER;
    if (!strcmp(name, "config.json"))
        return FILE_CONFIG;
    if (files_has_suffix(name, ".safetensors"))
        return FILE_SAFETENSORS;
    if (files_has_suffix(name, ".gguf"))
        return FILE_GGUF;
    if (files_has_suffix(name, ".safetensors.index.json") || files_has_suffix(name, ".jinja"))
        return FILE_TEXT;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(name, texts[i]))
            return FILE_TEXT;
    return FILE_OTHER;
}

bool files_split(const char *name, int *part, int *n_parts, size_t *stem)
{
    const char *tail;
    size_t n = strlen(name);
    char end;

    if (n < 21) /* "-00001-of-00003.gguf" is 20 */
        return false;
    tail = name + n - 20;
    if (strspn(tail + 1, "0123456789") != 5 || strspn(tail + 10, "0123456789") != 5 ||
        sscanf(tail, "-%5d-of-%5d.ggu%c", part, n_parts, &end) != 3 || end != 'f')
        return false;
    *stem = n - 20;
    return *part >= 1 && *part <= *n_parts && *n_parts <= 999;
}
