/* fetch.c: HTTP by libcurl. One transfer is one attempt; try_again() decides whether another is
 * worth it. */
#include "hub/fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/map_file.h"
#include "hub/files.h"

enum { MAX_TOTAL_TRIES = 200, MAX_REDIRECTS = 5, STALL_SECONDS = 60, ETAG_MAX = 256 };

/* One attempt. */
struct transfer {
    const struct hub_options *o;
    CURL *curl;
    const char *what;
    char url[2048]; /* for errors */
    /* where the bytes go: a file, or a buffer when fd is -1 */
    int fd;
    const char *etag_path;
    struct buf *body;
    uint64_t offset, arrived,
        expected; /* bytes that were there, that came now, that make it whole */
    bool started; /* the first byte of the final answer has come */
    char etag[ETAG_MAX], linked[ETAG_MAX];
    long status, retry_after;
    struct mk_error *err; /* set with `failed` by a callback that stops the transfer */
    int failed;
};

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    size_t len = size * n, name = 0, end = len;
    char *to = NULL;

    if (len >= 5 && !strncmp(line, "HTTP/", 5))
        t->etag[0] = 0; /* the next answer of a chain of redirects */
    if (len > 5 && !strncasecmp(line, "etag:", name = 5))
        to = t->etag;
    else if (len > 14 && !strncasecmp(line, "x-linked-etag:", name = 14))
        to = t->linked;
    if (!to)
        return len;
    while (name < end && line[name] == ' ')
        name++;
    while (end > name && strchr("\r\n ", line[end - 1]))
        end--;
    if (end - name < ETAG_MAX)
        snprintf(to, ETAG_MAX, "%.*s", (int)(end - name), line + name);
    return len;
}

/* A server may answer a request for the rest with the whole: then start over. The ETag is kept from
 * the first byte on, for a run after a kill; without it that run trusts lengths and digests alone.
 */
static int begin_body(struct transfer *t)
{
    struct mk_error ignored;

    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->status);
    t->started = true;
    if (t->fd >= 0 && t->etag[0] && (t->status == 200 || t->status == 206))
        write_file(t->etag_path, t->etag, strlen(t->etag), &ignored);
    if (t->fd < 0 || t->status != 200 || t->offset == 0)
        return 0;
    t->offset = 0;
    if (ftruncate(t->fd, 0) || lseek(t->fd, 0, SEEK_SET))
        return mk_error_set(t->err, MK_EIO, "%s: cannot be written: %s", t->what, strerror(errno));
    return 0;
}

static int write_bytes(struct transfer *t, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t w = write(t->fd, data, n);

        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return mk_error_set(t->err, MK_EIO,
                                "%s: cannot be written: %s; %" PRIu64 " bytes are there", t->what,
                                strerror(errno), t->offset + t->arrived);
        t->arrived += (uint64_t)w;
        data += w;
        n -= (size_t)w;
    }
    return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    size_t len = size * n;

    if (!t->started)
        t->failed = begin_body(t);
    if (t->failed)
        return 0;
    if (t->status != 200 && t->status != 206)
        return len; /* an error page: of no use */
    if (t->fd < 0) {
        t->failed = buf_append(t->body, data, len, t->err);
        if (t->failed)
            mk_error_wrap(t->err, "%s", t->what);
    } else if (t->expected && t->offset + t->arrived + len > t->expected)
        t->failed =
            mk_error_set(t->err, MK_ENETWORK,
                         "%s: the server sends more than the %" PRIu64 " bytes it announced",
                         t->what, t->expected);
    else
        t->failed = write_bytes(t, data, len);
    return t->failed ? 0 : len;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up,
                       curl_off_t up_now)
{
    struct transfer *t = user;
    uint64_t all = t->expected ? t->expected : total > 0 ? (uint64_t)total + t->offset : 0;
    char what[300];

    (void)now;
    (void)up;
    (void)up_now;
    if (t->failed)
        return 1;
    snprintf(what, sizeof what, "fetching %s", t->what);
    t->failed = files_progress(t->o, what, t->offset + t->arrived, all, t->err);
    return t->failed;
}

static void set_options(struct transfer *t, struct curl_slist *headers, const char *range)
{
    bool secure = !strncasecmp(t->url, "https:", 6);
    CURL *c = t->curl;

    curl_easy_setopt(c, CURLOPT_URL, t->url);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "minke/" MK_VERSION);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_RANGE, range);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
}

static int add_header(struct curl_slist **list, struct mk_error *err, const char *name,
                      const char *value)
{
    char line[4096];
    struct curl_slist *more;

    if (strpbrk(value, "\r\n") ||
        snprintf(line, sizeof line, "%s%s", name, value) >= (int)sizeof line)
        return mk_error_set(err, MK_EINVAL, "the token holds a line break or is too long");
    more = curl_slist_append(*list, line);
    if (!more)
        return mk_error_memory(err, sizeof line);
    *list = more;
    return 0;
}

/* libcurl keeps an Authorization header to the first host of a chain of redirects. */
static int make_headers(struct curl_slist **list, const char *token, const char *etag,
                        struct mk_error *err)
{
    int rc = 0;

    if (token && *token)
        rc = add_header(list, err, "Authorization: Bearer ", token);
    if (!rc && etag[0] == '"') /* a weak validator promises no equal bytes */
        rc = add_header(list, err, "If-Range: ", etag);
    return rc;
}

/* Runs one attempt; *code is libcurl's verdict, t->status the server's. */
static int perform(struct transfer *t, const char *token, CURLcode *code)
{
    struct curl_slist *headers = NULL;
    char range[32], etag[ETAG_MAX];
    int rc;

    t->started = false;
    t->arrived = 0;
    t->failed = 0;
    t->status = t->retry_after = 0;
    memcpy(etag, t->etag, sizeof etag); /* on_header overwrites it */
    rc = make_headers(&headers, token, t->offset ? etag : "", t->err);
    t->curl = rc ? NULL : curl_easy_init();
    if (!rc && !t->curl)
        rc = mk_error_set(t->err, MK_EMEMORY, "libcurl cannot start");
    if (!rc) {
        curl_off_t after = 0;

        snprintf(range, sizeof range, "%" PRIu64 "-", t->offset);
        set_options(t, headers, t->offset ? range : NULL);
        *code = curl_easy_perform(t->curl);
        curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->status);
        if (!curl_easy_getinfo(t->curl, CURLINFO_RETRY_AFTER, &after) && after > 0)
            t->retry_after = after > 60 ? 60 : (long)after;
        rc = t->failed;
    }
    curl_easy_cleanup(t->curl);
    curl_slist_free_all(headers);
    t->curl = NULL;
    return rc;
}

static bool worth_another_try(CURLcode code, long status)
{
    switch (code) {
    case CURLE_OK:
        return status == 408 || status == 429 || status >= 500;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static int describe(const struct transfer *t, CURLcode code, struct mk_error *err)
{
    if (code != CURLE_OK)
        return mk_error_set(err, MK_ENETWORK, "%s: %s", t->url, curl_easy_strerror(code));
    if (t->status == 401 || t->status == 403)
        return mk_error_set(err, MK_ENETWORK,
                            "%s: the server wants a permission (%ld): set HF_TOKEN "
                            "and accept the model's terms on its page",
                            t->url, t->status);
    if (t->status == 404)
        return mk_error_set(err, MK_ENOTFOUND, "%s: the server has no such file", t->url);
    return mk_error_set(err, MK_ENETWORK, "%s: the server answers %ld, try again later", t->url,
                        t->status);
}

/* Sleeps in short steps, so that a cancel is heard. */
static int wait_for(struct transfer *t, long ms)
{
    const struct timespec step = {0, 50 * 1000 * 1000};
    char what[300];
    int rc = 0;

    snprintf(what, sizeof what, "waiting for %s", t->what);
    for (; ms > 0 && !rc; ms -= 50) {
        rc = files_progress(t->o, what, t->offset, t->expected, t->err);
        nanosleep(&step, NULL);
    }
    return rc;
}

/* Attempts until one succeeds, fails for good or too many in a row bring nothing. */
static int run(struct transfer *t, const char *token, int (*resume)(struct transfer *t))
{
    int max = t->o->n_tries > 0 ? t->o->n_tries : 5, fruitless = 0, rc;
    long wait_ms = t->o->wait_ms > 0 ? t->o->wait_ms : 1000, ms;
    CURLcode code = CURLE_OK;

    for (int total = 0; total < MAX_TOTAL_TRIES; total++) {
        rc = resume(t);
        if (!rc)
            rc = perform(t, token, &code);
        if (rc)
            return rc;
        if (code == CURLE_OK && (t->status == 200 || t->status == 206))
            return 0;
        if (t->status == 416 && t->offset && t->fd >= 0) { /* what we have is not the start of it */
            if (ftruncate(t->fd, 0))
                break;
        } else if (!worth_another_try(code, t->status)) {
            break;
        }
        fruitless = t->arrived ? 0 : fruitless + 1;
        if (fruitless >= max)
            break;
        ms = wait_ms << (fruitless < 6 ? fruitless : 6);
        rc = wait_for(t, t->retry_after ? t->retry_after * 1000 : ms > 60000 ? 60000 : ms);
        if (rc)
            return rc;
    }
    return describe(t, code, t->err);
}

static int resume_document(struct transfer *t)
{
    buf_clear(t->body);
    return 0;
}

int fetch_document(const struct hub_options *o, const char *url, const char *token,
                   struct buf *body, struct mk_error *err)
{
    struct transfer t = {.o = o, .what = url, .fd = -1, .body = body, .err = err};

    if (snprintf(t.url, sizeof t.url, "%s", url) >= (int)sizeof t.url)
        return mk_error_set(err, MK_ELIMIT, "the address is too long: %.200s...", url);
    return run(&t, token, resume_document);
}

/* Where the target ends is where the transfer goes on. */
static int resume_file(struct transfer *t)
{
    off_t end = lseek(t->fd, 0, SEEK_END);

    if (end < 0)
        return mk_error_set(t->err, MK_EIO, "%s: %s", t->what, strerror(errno));
    if (t->expected && (uint64_t)end > t->expected) {
        if (ftruncate(t->fd, 0))
            return mk_error_set(t->err, MK_EIO, "%s: %s", t->what, strerror(errno));
        end = lseek(t->fd, 0, SEEK_SET);
    }
    t->offset = (uint64_t)end;
    return 0;
}

static void read_etag(const char *path, char etag[ETAG_MAX])
{
    FILE *file = fopen(path, "r");

    if (!file)
        return;
    if (!fgets(etag, ETAG_MAX, file))
        etag[0] = 0;
    fclose(file);
}

/* "sha256" of a linked (LFS) file, in quotes. Weak and other forms say nothing about the bytes. */
static void take_announced_sha256(struct fetch_file *f, const char *linked)
{
    if (!f->sha256[0] && strlen(linked) == 66 && linked[0] == '"' &&
        strspn(linked + 1, "0123456789abcdef") == 64)
        snprintf(f->sha256, sizeof f->sha256, "%.64s", linked + 1);
}

/* A transfer that ended well may still be too short when the server told no length. */
static int check_length(const struct transfer *t)
{
    uint64_t have = t->offset + t->arrived;

    if (t->expected && have != t->expected)
        return mk_error_set(t->err, MK_ENETWORK, "%s: %" PRIu64 " bytes came, expected %" PRIu64,
                            t->what, have, t->expected);
    return 0;
}

int fetch_file(const struct hub_options *o, struct fetch_file *f, struct mk_error *err)
{
    struct transfer t = {.o = o, .what = f->what, .expected = f->bytes, .err = err};
    char etag_path[HUB_PATH_MAX];
    int rc;

    if (snprintf(t.url, sizeof t.url, "%s", f->url) >= (int)sizeof t.url ||
        snprintf(etag_path, sizeof etag_path, "%s.etag", f->target) >= (int)sizeof etag_path)
        return mk_error_set(err, MK_ELIMIT, "%s: the address or the path is too long", f->what);
    t.fd = open(f->target, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (t.fd < 0)
        return mk_error_set(err, MK_EIO, "%s: %s", f->target, strerror(errno));
    t.etag_path = etag_path;
    read_etag(etag_path, t.etag);
    rc = resume_file(&t);
    if (!rc && !(t.expected && t.offset == t.expected))
        rc = run(&t, f->token, resume_file);
    take_announced_sha256(f, t.linked);
    if (!rc)
        rc = check_length(&t);
    if (close(t.fd) && !rc)
        rc = mk_error_set(err, MK_EIO, "%s: cannot be written: %s", f->target, strerror(errno));
    if (!rc)
        unlink(etag_path);
    return rc;
}
