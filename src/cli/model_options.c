/* model_options.c: from flags to an open model. */
#include "cli/model_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "cli/progress.h"
#include "hub/hub.h"

#define MAX_INPUT_BYTES ((size_t)1 << 30)

static int show_progress(void *user, uint64_t done, uint64_t total)
{
    progress_show(user, "loading", done, total);
    return 0;
}

int model_flags_open(struct mk_model **model, const char *name, const struct model_flags *f,
                     struct mk_error *err)
{
    struct mk_model_options o = mk_model_options_default();
    struct progress progress;
    char *path;
    int code;

    if (hub_resolve(name, &path, err))
        return err->code;
    progress_init(&progress, stderr, f->quiet);
    o.n_threads = f->threads;
    o.cpu = f->cpu;
    o.check_tensors = f->check_tensors;
    o.numerics = f->numerics == 1 ? MK_FAST : MK_EXACT;
    o.mla = f->mla == 1 ? MK_MLA_ABSORBED : f->mla == 2 ? MK_MLA_EXPANDED : MK_MLA_AUTO;
    o.progress = show_progress;
    o.progress_user = &progress;
    code = mk_model_open(model, path, &o, err);
    progress_clear(&progress);
    free(path);
    return code;
}

struct mk_session_options model_flags_session(const struct model_flags *f)
{
    struct mk_session_options o = mk_session_options_default();

    o.context = f->context;
    o.kv = f->kv == 1 ? MK_KV_BF16 : f->kv == 2 ? MK_KV_I8 : MK_KV_F32;
    return o;
}

static const char *input_name(const char *path)
{
    return strcmp(path, "-") ? path : "standard input";
}

int read_input(const char *path, char **text, size_t *n, struct mk_error *err)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    struct buf b;
    char piece[65536];
    size_t got;
    int code = 0;

    if (!f)
        return mk_error_set(err, MK_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    buf_init(&b, MAX_INPUT_BYTES);
    while (!code && (got = fread(piece, 1, sizeof piece, f)) > 0)
        code = buf_append(&b, piece, got, err);
    if (!code && ferror(f))
        code = mk_error_set(err, MK_EIO, "cannot be read: %s", strerror(errno));
    if (!code)
        code = buf_append(&b, "", 0, err);
    if (f != stdin)
        fclose(f);
    if (code) {
        buf_release(&b);
        return mk_error_wrap(err, "%s", input_name(path));
    }
    *text = b.data;
    *n = b.n;
    return 0;
}

int read_ids(const char *path, int32_t **ids, size_t *n, struct mk_error *err)
{
    char *text, *at, *end;
    size_t bytes;
    long id;

    if (read_input(path, &text, &bytes, err))
        return err->code;
    *n = 0;
    *ids = malloc((bytes / 2 + 1) * sizeof **ids); /* a digit and a space each, at least */
    if (!*ids) {
        free(text);
        return mk_error_memory(err, bytes / 2 * sizeof **ids);
    }
    for (at = text;; at = end) {
        at += strspn(at, " \t\r\n\f\v");
        if (!*at)
            break;
        errno = 0;
        id = strtol(at, &end, 10);
        if (end == at || errno || id < 0 || id > INT32_MAX || !strchr(" \t\r\n\f\v", *end)) {
            mk_error_set(err, MK_EINVAL,
                         "%s: '%.20s' is no token id: ids are numbers of 0 or more "
                         "with white space between",
                         input_name(path), at);
            free(*ids);
            *ids = NULL;
            break;
        }
        (*ids)[(*n)++] = (int32_t)id;
    }
    free(text);
    return *ids ? 0 : err->code;
}
