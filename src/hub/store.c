/* store.c: models on the disk: found, listed, removed, and put there whole or not at all. */
#include "hub/store.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map_file.h"
#include "formats/model_file.h"
#include "hub/files.h"

int hub_store_path(char out[HUB_PATH_MAX], const char *data_home, const char *home,
                   struct mk_error *err)
{
    int n;

    /* The specification of the data directory wants relative paths ignored. */
    if (data_home && data_home[0] == '/')
        n = snprintf(out, HUB_PATH_MAX, "%s/minke/models", data_home);
    else if (home && home[0] == '/')
        n = snprintf(out, HUB_PATH_MAX, "%s/.local/share/minke/models", home);
    else
        return mk_error_set(err, MK_EINVAL, "where to keep models is unknown: set HOME");
    return n < HUB_PATH_MAX ? 0 : mk_error_set(err, MK_ELIMIT, "the path of HOME is too long");
}

int hub_store_default(char out[HUB_PATH_MAX], struct mk_error *err)
{
    return hub_store_path(out, getenv("XDG_DATA_HOME"), getenv("HOME"), err);
}

bool store_name_ok(const char *name)
{
    size_t n = strlen(name);

    if (n == 0 || n > HUB_NAME_MAX || !isalnum((unsigned char)name[0]))
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

int store_make_name(const char *text, char name[HUB_NAME_MAX + 1], struct mk_error *err)
{
    size_t n = 0;

    for (; *text && n < HUB_NAME_MAX; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x80 && (isalnum(c) || (n && strchr("._-", c))))
            name[n++] = (char)tolower(c);
        else if (n && name[n - 1] != '-')
            name[n++] = '-';
    }
    name[n] = 0;
    if (!store_name_ok(name))
        return mk_error_set(err, MK_EINVAL, "no name can be made of it: choose one with --name");
    return 0;
}

int store_each_name(const char *folder, int (*fn)(void *user, const char *name), void *user,
                    struct mk_error *err)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort), rc = 0;

    if (n < 0)
        return mk_error_set(err, errno == ENOENT ? MK_ENOTFOUND : MK_EIO, "%s: %s", folder,
                            strerror(errno));
    for (int i = 0; i < n; i++) {
        if (!rc && entries[i]->d_name[0] != '.')
            rc = fn(user, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

/* ---- What a folder holds ---- */

struct contents {
    bool config, safetensors;
    int n_ggufs; /* a split one counts once, by its first part */
    char gguf[256];
};

static int note_name(void *user, const char *name)
{
    struct contents *c = user;
    int part = 1, n_parts;
    size_t stem;

    switch (files_kind(name)) {
    case FILE_CONFIG:
        c->config = true;
        break;
    case FILE_SAFETENSORS:
        c->safetensors = true;
        break;
    case FILE_GGUF:
        if (files_split(name, &part, &n_parts, &stem) && part != 1)
            break;
        if (c->n_ggufs++ == 0)
            snprintf(c->gguf, sizeof c->gguf, "%s", name);
        break;
    default:
        break;
    }
    return 0;
}

/* What the folder is instead, as far as that helps. */
static int no_model(const char *folder, struct mk_error *err)
{
    char path[HUB_PATH_MAX];

    if (!files_join(path, folder, "pipeline.yaml", err) && !access(path, F_OK))
        return mk_error_set(err, MK_ENOTFOUND,
                            "%s: is a pipeline's: name a stage of it, a folder in it", folder);
    if (!files_join(path, folder, "checkpoints", err) && !access(path, F_OK))
        return mk_error_set(err, MK_ENOTFOUND, "%s: is a run that has no checkpoint yet", folder);
    return mk_error_set(err, MK_ENOTFOUND,
                        "%s: holds no model: neither config.json with .safetensors nor a .gguf",
                        folder);
}

int store_model_in(const char *folder, char path[HUB_PATH_MAX], struct mk_error *err)
{
    struct contents c = {0};
    int rc = store_each_name(folder, note_name, &c, err);

    if (rc)
        return rc;
    if (c.config && c.safetensors) {
        if (snprintf(path, HUB_PATH_MAX, "%s", folder) >= HUB_PATH_MAX)
            return mk_error_set(err, MK_ELIMIT, "the path is too long");
        return 0;
    }
    if (c.n_ggufs == 1)
        return files_join(path, folder, c.gguf, err);
    if (c.n_ggufs > 1)
        return mk_error_set(err, MK_EINVAL, "%s: holds %d .gguf models: name one of them", folder,
                            c.n_ggufs);
    snprintf(path, HUB_PATH_MAX, "%s", folder);
    model_file_of_run(path);
    if (strcmp(path, folder) != 0)
        return 0;
    return no_model(folder, err);
}

struct sum {
    const char *folder;
    uint64_t bytes;
};

static int add_bytes(void *user, const char *name)
{
    struct sum *s = user;
    char path[HUB_PATH_MAX];
    struct mk_error ignored;

    if (!files_join(path, s->folder, name, &ignored) && files_bytes(path) > 0)
        s->bytes += (uint64_t)files_bytes(path);
    return 0;
}

/* NULL: there is none. */
static json_t *load_record(const char *folder)
{
    char path[HUB_PATH_MAX];
    struct mk_error ignored;

    if (files_join(path, folder, STORE_RECORD, &ignored) || files_bytes(path) > 1 << 20)
        return NULL;
    return json_load_file(path, 0, NULL);
}

void store_revision(const char *folder, char revision[64])
{
    json_t *record = load_record(folder);
    const char *text = json_string_value(json_object_get(record, "revision"));

    snprintf(revision, 64, "%s", text ? text : "");
    json_decref(record);
}

static void read_record(const char *folder, struct hub_model *m)
{
    json_t *record = load_record(folder);
    const char *text;

    text = json_string_value(json_object_get(record, "source"));
    snprintf(m->source, sizeof m->source, "%s", text ? text : "");
    text = json_string_value(json_object_get(record, "license"));
    snprintf(m->license, sizeof m->license, "%s", text ? text : "");
    json_decref(record);
}

int store_describe(const char *folder, struct hub_model *m, struct mk_error *err)
{
    struct sum s = {folder, 0};
    int rc = store_model_in(folder, m->path, err);

    m->source[0] = m->license[0] = 0;
    m->bytes = 0;
    if (rc)
        return rc;
    rc = store_each_name(folder, add_bytes, &s, err);
    m->bytes = s.bytes;
    read_record(folder, m);
    return rc;
}

/* ---- Listing, removing ---- */

struct listing {
    const char *store;
    struct hub_model *models;
    size_t n, capacity;
    struct mk_error *err;
};

static int list_one(void *user, const char *name)
{
    struct listing *l = user;
    struct mk_error ignored;
    char folder[HUB_PATH_MAX];
    struct hub_model *more;

    if (!store_name_ok(name) || files_join(folder, l->store, name, &ignored) ||
        !files_is_folder(folder))
        return 0;
    if (l->n == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 8;
        more = realloc(l->models, l->capacity * sizeof *more);
        if (!more)
            return mk_error_memory(l->err, l->capacity * sizeof *more);
        l->models = more;
    }
    l->models[l->n] = (struct hub_model){0};
    snprintf(l->models[l->n].name, sizeof l->models[l->n].name, "%s", name);
    if (!store_describe(folder, &l->models[l->n], &ignored))
        l->n++;
    return 0;
}

int hub_list(const char *store, struct hub_model **models, size_t *n, struct mk_error *err)
{
    struct listing l = {.store = store, .err = err};
    int rc = store_each_name(store, list_one, &l, err);

    if (rc && rc != MK_ENOTFOUND) {
        free(l.models);
        l.models = NULL;
        l.n = 0;
    } else {
        rc = 0;
    }
    *models = l.models;
    *n = l.n;
    return rc;
}

static int partial_path(char out[HUB_PATH_MAX], const char *store, const char *name,
                        const char *suffix, struct mk_error *err)
{
    if (snprintf(out, HUB_PATH_MAX, "%s/" STORE_PARTIAL "/%s%s", store, name, suffix) >=
        HUB_PATH_MAX)
        return mk_error_set(err, MK_ELIMIT, "the path of the store is too long");
    return 0;
}

int hub_remove(const char *store, const char *name, struct mk_error *err)
{
    char folder[HUB_PATH_MAX], partial[HUB_PATH_MAX];
    struct store_pull p;
    int rc;

    if (!store_name_ok(name))
        return mk_error_set(err, MK_EINVAL, "'%s' is not a name of the store, see minke list",
                            name);
    rc = files_join(folder, store, name, err);
    if (!rc)
        rc = partial_path(partial, store, name, "", err);
    if (rc)
        return rc;
    if (!files_is_folder(folder) && !files_is_folder(partial))
        return mk_error_set(err, MK_ENOTFOUND, "there is no model '%s', see minke list", name);
    rc = store_begin(&p, store, name, false, err); /* nobody pulls it meanwhile */
    if (!rc)
        rc = files_remove_tree(folder, err);
    if (!rc)
        rc = files_remove_tree(partial, err);
    if (!rc)
        rc = partial_path(partial, store, name, STORE_NOTE, err);
    if (!rc)
        rc = files_remove_tree(partial, err);
    store_end(&p);
    return rc;
}

/* ---- Putting a model there ---- */

int store_begin(struct store_pull *p, const char *store, const char *name, bool wait,
                struct mk_error *err)
{
    char lock[HUB_PATH_MAX];
    int rc;

    *p = (struct store_pull){.lock = -1};
    snprintf(p->name, sizeof p->name, "%s", name);
    rc = files_join(p->final, store, name, err);
    if (!rc)
        rc = partial_path(p->partial, store, name, "", err);
    if (!rc)
        rc = partial_path(lock, store, name, "~lock", err);
    if (rc)
        return rc;
    if (files_make_folders(p->partial, err))
        return mk_error_wrap(err, "the store of models, whose place XDG_DATA_HOME can say");
    p->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (p->lock < 0)
        return mk_error_set(err, MK_EIO, "%s: %s", lock, strerror(errno));
    if (flock(p->lock, LOCK_EX | (wait ? 0 : LOCK_NB))) {
        store_end(p);
        return mk_error_set(err, MK_EIO, "another minke is working on '%s' right now", name);
    }
    return 0;
}

/* The lock file stays: removing it would let two processes hold locks on different files of one
 * name. */
void store_end(struct store_pull *p)
{
    if (p->lock >= 0)
        close(p->lock);
    p->lock = -1;
}

struct recording {
    const struct hub_options *o;
    const char *folder, *wanted; /* wanted: sha256 of the weights, or NULL */
    json_t *files;
    struct mk_error *err;
};

static int record_file(void *user, const char *name)
{
    struct recording *r = user;
    enum file_kind kind = files_kind(name);
    char path[HUB_PATH_MAX], hex[65];
    int rc = files_join(path, r->folder, name, r->err);

    if (!rc)
        rc = files_sync(path, r->err);
    if (!rc)
        rc = files_sha256(r->o, path, hex, r->err);
    if (rc)
        return rc;
    if (r->wanted && (kind == FILE_GGUF || kind == FILE_SAFETENSORS) && strcmp(hex, r->wanted)) {
        unlink(path);
        return mk_error_set(r->err, MK_EFORMAT,
                            "%s: sha256 is %s, expected %s: the copy was thrown "
                            "away, pull again or ask where it came from",
                            name, hex, r->wanted);
    }
    if (json_array_append_new(r->files, json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                                                  (json_int_t)files_bytes(path), "sha256", hex)))
        return mk_error_memory(r->err, 256);
    return 0;
}

static int write_record(const char *folder, json_t *record, struct mk_error *err)
{
    char path[HUB_PATH_MAX], *text = json_dumps(record, JSON_INDENT(2));
    int rc = text ? files_join(path, folder, STORE_RECORD, err) : mk_error_memory(err, 1024);

    if (!rc)
        rc = write_file(path, text, strlen(text), err);
    free(text);
    return rc;
}

/* An older model of that name makes room first: rename() does not replace a folder that is not
 * empty. */
static int move_into_place(struct store_pull *p, struct mk_error *err)
{
    char old[HUB_PATH_MAX], *slash;
    int rc;

    if (snprintf(old, sizeof old, "%s~old", p->partial) >= (int)sizeof old)
        return mk_error_set(err, MK_ELIMIT, "the path of the store is too long");
    rc = files_remove_tree(old, err);
    if (rc)
        return rc;
    if (rename(p->final, old) && errno != ENOENT)
        return mk_error_set(err, MK_EIO, "%s: cannot be replaced: %s", p->final, strerror(errno));
    if (rename(p->partial, p->final))
        return mk_error_set(err, MK_EIO, "%s: cannot be put in place: %s", p->final,
                            strerror(errno));
    rc = files_remove_tree(old, err);
    snprintf(old, sizeof old, "%s", p->final);
    slash = strrchr(old, '/');
    *slash = 0;
    return rc ? rc : files_sync(old, err);
}

int store_finish(struct store_pull *p, const struct hub_options *o, const char *source,
                 const char *revision, const char *license, const char *sha256,
                 struct mk_error *err)
{
    struct recording r = {o, p->partial, sha256, json_array(), err};
    char path[HUB_PATH_MAX];
    json_t *record;
    int rc = store_model_in(p->partial, path, err);

    if (!rc)
        rc = store_each_name(p->partial, record_file, &r, err);
    record = json_pack("{s:s, s:s, s:s, s:o}", "source", source, "revision", revision, "license",
                       license, "files", r.files);
    if (!rc)
        rc = record ? write_record(p->partial, record, err) : mk_error_memory(err, 1024);
    if (!record)
        json_decref(r.files);
    json_decref(record);
    if (!rc)
        rc = files_sync(p->partial, err);
    return rc ? rc : move_into_place(p, err);
}
