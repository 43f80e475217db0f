/* hf.c: repositories of a server that speaks the Hugging Face protocol: a JSON list of files with
 * sizes and digests, then one address a file, which may redirect to where the bytes are. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub/fetch.h"
#include "hub/files.h"
#include "hub/source.h"

enum { MAX_LIST_BYTES = 64 << 20, MAX_URL = 2048 };

struct repo {
    char id[256];   /* "OWNER/REPO" */
    char file[256]; /* "" when the whole repository is meant */
    char revision[128];
};

static bool word_ok(const char *s, size_t n)
{
    return n > 0 && s[0] != '.' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") >= n;
}

/* OWNER/REPO[/FILE.gguf][@REVISION] */
static int parse_repo(struct repo *r, const char *spec, struct mk_error *err)
{
    const char *at = strchr(spec, '@'), *revision = at ? at + 1 : "main", *slash, *second;
    size_t n = at ? (size_t)(at - spec) : strlen(spec);

    slash = memchr(spec, '/', n);
    second = slash ? memchr(slash + 1, '/', n - (size_t)(slash + 1 - spec)) : NULL;
    *r = (struct repo){0};
    if (slash && n < sizeof r->id && strlen(revision) < sizeof r->revision) {
        size_t id = second ? (size_t)(second - spec) : n;

        snprintf(r->id, sizeof r->id, "%.*s", (int)id, spec);
        if (second)
            snprintf(r->file, sizeof r->file, "%.*s", (int)(n - id - 1), second + 1);
        snprintf(r->revision, sizeof r->revision, "%s", revision);
        if (word_ok(spec, (size_t)(slash - spec)) &&
            word_ok(slash + 1, id - (size_t)(slash + 1 - spec)) &&
            word_ok(revision, strlen(revision)) && (!second || files_kind(r->file) == FILE_GGUF))
            return 0;
    }
    return mk_error_set(err, MK_EINVAL,
                        "hf:%s: not a repository: write hf:OWNER/REPO, with /FILE.gguf "
                        "for one file and @REVISION for a version",
                        spec);
}

static const char *endpoint_of(const struct hub_options *o)
{
    return o->hf_endpoint && *o->hf_endpoint ? o->hf_endpoint : "https://huggingface.co";
}

/* The server's list of the repository's files. */
static int read_list(const struct hub_options *o, const struct repo *r, json_t **list,
                     struct mk_error *err)
{
    char url[MAX_URL];
    json_error_t why;
    struct buf body;
    int rc;

    if (snprintf(url, sizeof url, "%s/api/models/%s/revision/%s?blobs=true", endpoint_of(o), r->id,
                 r->revision) >= (int)sizeof url)
        return mk_error_set(err, MK_ELIMIT, "HF_ENDPOINT is too long");
    buf_init(&body, MAX_LIST_BYTES);
    rc = fetch_document(o, url, o->hf_token, &body, err);
    if (!rc) {
        *list = json_loadb(body.n ? body.data : "", body.n, 0, &why);
        if (!json_is_object(*list) || !json_is_array(json_object_get(*list, "siblings"))) {
            json_decref(*list);
            *list = NULL;
            rc = mk_error_set(err, MK_ENETWORK,
                              "%s: the answer is no list of files: is HF_ENDPOINT right", url);
        }
    }
    buf_release(&body);
    return rc;
}

/* What of the list makes the model. */
struct choice {
    bool safetensors;
    int n_ggufs;
    char gguf[256]; /* the first part of the first one */
};

static const char *name_of(const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "rfilename"));

    return name && files_plain_name(name) ? name : ""; /* what lies in a folder is not the model */
}

/* "consolidated" files hold the same weights once more, in another layout. */
static bool is_weights(const char *name)
{
    return files_kind(name) == FILE_SAFETENSORS && strncmp(name, "consolidated", 12) != 0;
}

static struct choice look_at(const json_t *siblings)
{
    struct choice c = {0};
    json_t *entry;
    size_t i, stem;
    int part, n_parts;

    json_array_foreach(siblings, i, entry)
    {
        const char *name = name_of(entry);

        if (is_weights(name))
            c.safetensors = true;
        if (files_kind(name) != FILE_GGUF ||
            (files_split(name, &part, &n_parts, &stem) && part != 1))
            continue;
        if (c.n_ggufs++ == 0)
            snprintf(c.gguf, sizeof c.gguf, "%s", name);
    }
    return c;
}

/* Whether two names are the same .gguf, or parts of the same split one. */
static bool same_gguf(const char *a, const char *b)
{
    int part, n_parts_a, n_parts_b;
    size_t stem_a, stem_b;

    if (!strcmp(a, b))
        return true;
    return files_split(a, &part, &n_parts_a, &stem_a) &&
           files_split(b, &part, &n_parts_b, &stem_b) && n_parts_a == n_parts_b &&
           stem_a == stem_b && !memcmp(a, b, stem_a);
}

/* gguf: the file that is wanted, or "" for the folder of safetensors. */
static bool wanted(const char *gguf, const char *name)
{
    enum file_kind kind = files_kind(name);

    if (*gguf)
        return kind == FILE_GGUF && same_gguf(name, gguf);
    return kind == FILE_CONFIG || kind == FILE_TEXT || is_weights(name);
}

static int fetch_one(const struct hub_options *o, const struct repo *r, const char *revision,
                     const json_t *entry, const char *dir, struct mk_error *err)
{
    const json_t *lfs = json_object_get(entry, "lfs");
    const char *sha256 = json_string_value(json_object_get(lfs, "sha256"));
    json_int_t bytes = json_integer_value(json_object_get(entry, "size"));
    char url[MAX_URL];
    struct source_file file = {url, name_of(entry), o->hf_token, bytes > 0 ? (uint64_t)bytes : 0,
                               sha256};

    if (snprintf(url, sizeof url, "%s/%s/resolve/%s/%s", endpoint_of(o), r->id, revision,
                 file.name) >= (int)sizeof url)
        return mk_error_set(err, MK_ELIMIT, "HF_ENDPOINT is too long");
    return source_fetch(o, &file, dir, err);
}

static int fetch_chosen(const struct hub_options *o, const struct repo *r, const json_t *list,
                        const char *dir, struct source_facts *facts, struct mk_error *err)
{
    const json_t *siblings = json_object_get(list, "siblings"), *entry;
    struct choice c = look_at(siblings);
    const char *gguf = *r->file ? r->file : c.safetensors ? "" : c.gguf;
    const char *revision = *facts->revision ? facts->revision : r->revision;
    int n = 0, rc = 0;
    size_t i;

    if (!*r->file && !c.safetensors && c.n_ggufs == 0)
        return mk_error_set(err, MK_EUNSUPPORTED, "hf:%s: holds neither .safetensors nor a .gguf",
                            r->id);
    if (!*r->file && !c.safetensors && c.n_ggufs > 1)
        return mk_error_set(err, MK_EINVAL,
                            "hf:%s: holds %d .gguf models: name one, as in hf:%s/%s", r->id,
                            c.n_ggufs, r->id, c.gguf);
    json_array_foreach(siblings, i, entry)
    {
        if (!wanted(gguf, name_of(entry)))
            continue;
        rc = fetch_one(o, r, revision, entry, dir, err);
        if (rc)
            return rc;
        n++;
    }
    return n ? 0 : mk_error_set(err, MK_ENOTFOUND, "hf:%s: has no file '%s'", r->id, r->file);
}

int source_hf(const struct hub_options *o, const char *spec, const char *dir,
              struct source_facts *facts, struct mk_error *err)
{
    const char *sha, *license;
    json_t *list = NULL;
    struct repo r;
    int rc = parse_repo(&r, spec, err);

    if (!rc)
        rc = read_list(o, &r, &list, err);
    if (rc)
        return rc;
    /* Every file comes from the commit that the list is of, whatever happens to the branch
     * meanwhile. */
    sha = json_string_value(json_object_get(list, "sha"));
    if (sha && word_ok(sha, strlen(sha)) && strlen(sha) < sizeof facts->revision)
        snprintf(facts->revision, sizeof facts->revision, "%s", sha);
    license = json_string_value(json_object_get(json_object_get(list, "cardData"), "license"));
    snprintf(facts->license, sizeof facts->license, "%s", license ? license : "");
    rc = fetch_chosen(o, &r, list, dir, facts, err);
    json_decref(list);
    return rc;
}
