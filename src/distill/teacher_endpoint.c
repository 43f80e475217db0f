/* teacher_endpoint.c: a server that speaks OpenAI's chat completions, asked for several answers
 * at a time by one thread (libcurl's multi interface). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "distill/endpoint_reply.h"
#include "distill/teacher.h"

#define MAX_REPLY ((size_t)64 << 20)
#define MAX_WAIT_MS 60000.0
#define POLL_MS 100

/* One answer on its way. */
struct call {
    CURL *curl;      /* NULL: no request is out */
    char *request;   /* JSON; NULL: the call is free */
    struct buf body; /* of the reply */
    int32_t index;   /* of its answer */
    int n_tries;
    double ready_ms; /* it waits until then before it tries again */
};

struct endpoint {
    CURLM *multi;
    struct curl_slist *headers;
    char url[2048], model[256];
    bool loopback;
    struct teacher_endpoint_options o;
    struct call *calls; /* [o.n_parallel] */
};

/* One run of answer(). */
struct job {
    struct endpoint *e;
    const struct teacher_question *asked;
    int32_t n_answers, n_samples, next; /* next: no call was made for it and those behind */
    struct teacher_answer *answers;
    struct arena *memory;
    const struct teacher_watch *watch;
    struct mk_error *err; /* with `failed`: the first that went wrong for good */
    int failed;
};

/* ---- One request ---------------------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct call *call = user;
    struct mk_error ignored;

    return buf_append(&call->body, data, size * n, &ignored) ? 0 : size * n;
}

/* 31 bits: what all servers take. */
static int draw_seed(uint64_t seed, uint64_t sequence)
{
    uint32_t words[4];

    rng_words(seed, sequence, 0, words);
    return (int)(words[0] >> 1);
}

static char *write_request(const struct job *j, int32_t index)
{
    const struct teacher_endpoint_options *o = &j->e->o;
    const struct teacher_question *q = &j->asked[index / j->n_samples];
    uint64_t sequence = q->sequence + (uint64_t)(index % j->n_samples);
    json_t *root = json_pack("{s:s, s:[{s:s, s:s}], s:f, s:f, s:i, s:i}", "model", j->e->model,
                             "messages", "role", "user", "content", q->text, "temperature",
                             (double)o->sampling.temperature, "top_p", (double)o->sampling.top_p,
                             "max_tokens", o->max_tokens, "seed",
                             draw_seed(o->sampling.seed, sequence));
    char *text;

    if (root && o->logprobs)
        json_object_set_new(root, "logprobs", json_true());
    text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(root);
    return text;
}

static void set_options(struct call *call, const struct endpoint *e)
{
    CURL *c = call->curl;

    curl_easy_setopt(c, CURLOPT_URL, e->url);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "minke/" MK_VERSION);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(e->o.timeout_s * 1000));
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, e->headers);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, call->request);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(c, CURLOPT_PRIVATE, call);
    if (e->loopback)
        curl_easy_setopt(c, CURLOPT_PROXY, ""); /* nothing of ours leaves the machine */
}

static int begin_call(struct endpoint *e, struct call *call, struct mk_error *err)
{
    buf_clear(&call->body);
    call->n_tries++;
    call->curl = curl_easy_init();
    if (!call->curl)
        return mk_error_set(err, MK_EMEMORY, "libcurl cannot start");
    set_options(call, e);
    if (curl_multi_add_handle(e->multi, call->curl))
        return mk_error_set(err, MK_EINTERNAL, "libcurl does not take the request");
    return 0;
}

static void drop_request(struct endpoint *e, struct call *call)
{
    if (call->curl) {
        curl_multi_remove_handle(e->multi, call->curl);
        curl_easy_cleanup(call->curl);
    }
    call->curl = NULL;
}

static void end_call(struct endpoint *e, struct call *call)
{
    drop_request(e, call);
    free(call->request);
    call->request = NULL;
    buf_release(&call->body);
}

/* ---- What came of it ------------------------------------------------------------------------ */

/* 0: the answer is there. Else err says why not, and *again whether another try may help. */
static int judge(struct job *j, struct call *call, CURLcode curl, bool *again, struct mk_error *err)
{
    long status = 0;
    char said[200];

    *again = true;
    if (curl == CURLE_WRITE_ERROR) {
        *again = false;
        return mk_error_set(err, MK_ELIMIT, "the reply is longer than %zu bytes", MAX_REPLY);
    }
    if (curl != CURLE_OK)
        return mk_error_set(err, MK_ENETWORK, "%s", curl_easy_strerror(curl));
    curl_easy_getinfo(call->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200)
        return endpoint_reply_read(call->body.data, call->body.n, &j->answers[call->index],
                                   j->memory, err);
    *again = status == 408 || status == 429 || status >= 500;
    endpoint_reply_error(call->body.data, call->body.n, said);
    if (status == 401 || status == 403)
        return mk_error_set(err, MK_ENETWORK, "the server wants a key (%ld): set MINKE_API_KEY%s%s",
                            status, *said ? ": " : "", said);
    return mk_error_set(err, MK_ENETWORK, "the server answers %ld%s%s", status, *said ? ": " : "",
                        said);
}

/* Doubles from try to try; a server that names a time is heard. */
static double wait_ms(const struct endpoint *e, const struct call *call)
{
    double ms = e->o.wait_s * 1000 * (double)(1 << (call->n_tries < 20 ? call->n_tries - 1 : 20));
    curl_off_t after = 0;

    if (!curl_easy_getinfo(call->curl, CURLINFO_RETRY_AFTER, &after) && after > 0)
        ms = (double)after * 1000;
    return ms < MAX_WAIT_MS ? ms : MAX_WAIT_MS;
}

/* A call that can be saved waits; one that cannot ends the job. */
static void settle(struct job *j, struct call *call, CURLcode curl)
{
    const struct teacher_question *q = &j->asked[call->index / j->n_samples];
    struct mk_error why;
    bool again;

    if (!judge(j, call, curl, &again, &why)) {
        if (j->watch->received(j->watch->received_user, call->index, &why) && !j->failed)
            j->failed = mk_error_set(j->err, why.code, "%s", why.text);
        end_call(j->e, call);
        return;
    }
    if (again && call->n_tries < j->e->o.n_tries && !j->failed) {
        call->ready_ms = clock_ms() + wait_ms(j->e, call);
        drop_request(j->e, call);
        return;
    }
    if (!j->failed)
        j->failed = mk_error_set(j->err, why.code, "%s: question %lld: %s (%d %s)", j->e->url,
                                 (long long)q->number, why.text, call->n_tries,
                                 call->n_tries == 1 ? "try" : "tries");
    end_call(j->e, call);
}

/* ---- All of them ---------------------------------------------------------------------------- */

/* A free call takes the next answer that is not there. */
static void take_next(struct job *j, struct call *call)
{
    while (j->next < j->n_answers && j->answers[j->next].text)
        j->next++;
    if (j->next >= j->n_answers)
        return;
    *call = (struct call){.index = j->next, .request = write_request(j, j->next)};
    buf_init(&call->body, MAX_REPLY);
    j->next++;
    if (!call->request)
        j->failed = mk_error_set(j->err, MK_EFORMAT, "question %lld is not UTF-8",
                                 (long long)j->asked[call->index / j->n_samples].number);
}

/* Lets calls begin that may; returns how many are on their way or wait. After a failure what is on
 * its way may still arrive, nothing new is asked. */
static int32_t start_calls(struct job *j)
{
    int32_t n = 0;

    for (int32_t i = 0; i < j->e->o.n_parallel; i++) {
        struct call *call = &j->e->calls[i];

        if (!call->request && !j->failed)
            take_next(j, call);
        if (call->request && !call->curl && j->failed)
            end_call(j->e, call);
        if (call->request && !call->curl && clock_ms() >= call->ready_ms &&
            begin_call(j->e, call, j->err)) {
            j->failed = j->err->code;
            end_call(j->e, call);
        }
        n += call->request != NULL;
    }
    return n;
}

/* Whether anything has come. */
static bool hear_replies(struct job *j)
{
    int running, left;
    bool any = false;
    CURLMsg *m;

    curl_multi_perform(j->e->multi, &running);
    while ((m = curl_multi_info_read(j->e->multi, &left))) {
        struct call *call = NULL;
        CURLcode verdict = m->data.result;

        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
        settle(j, call, verdict);
        any = true;
    }
    return any;
}

static int answer(void *self, const struct teacher_question *asked, int32_t n, int32_t n_samples,
                  struct teacher_answer *answers, struct arena *memory,
                  const struct teacher_watch *watch, struct mk_error *err)
{
    struct endpoint *e = self;
    struct job j = {.e = e, .asked = asked, .n_answers = n * n_samples, .n_samples = n_samples,
                    .answers = answers, .memory = memory, .watch = watch, .err = err};

    while (start_calls(&j) > 0) {
        if (watch->stop && watch->stop(watch->stop_user)) {
            j.failed = mk_error_set(err, MK_ECANCELLED, "stopped");
            break;
        }
        if (!hear_replies(&j))
            curl_multi_poll(e->multi, NULL, 0, POLL_MS, NULL);
    }
    for (int32_t i = 0; i < e->o.n_parallel; i++)
        end_call(e, &e->calls[i]);
    return j.failed;
}

/* ---- Open and close ------------------------------------------------------------------------- */

/* Addresses alone, besides the one name that libcurl never asks others about: 127.example.org is
 * no loopback. */
static bool is_loopback(const char *host)
{
    unsigned char a[4];

    if (!strcasecmp(host, "localhost") || !strcmp(host, "[::1]"))
        return true;
    return inet_pton(AF_INET, host, a) == 1 && a[0] == 127;
}

/* A key in plain HTTP can be read by all on the way. */
static int check_url(struct endpoint *e, struct mk_error *err)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    int code = 0;

    if (!u || curl_url_set(u, CURLUPART_URL, e->url, 0) ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) ||
        (strcmp(scheme, "https") && strcmp(scheme, "http")))
        code = mk_error_set(err, MK_EINVAL, "'%.200s' is no address of a server: it begins with "
                            "https:// or http://", e->o.url);
    else
        e->loopback = is_loopback(host);
    if (!code && e->o.key && !e->loopback && strcmp(scheme, "https"))
        code = mk_error_set(err, MK_EINVAL, "%s: a key is never sent over plain HTTP: use https, "
                            "or unset MINKE_API_KEY", e->url);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return code;
}

static int add_header(struct endpoint *e, const char *name, const char *value, struct mk_error *err)
{
    char line[4096];
    struct curl_slist *more;

    if (strpbrk(value, "\r\n") ||
        snprintf(line, sizeof line, "%s%s", name, value) >= (int)sizeof line)
        return mk_error_set(err, MK_EINVAL, "the key holds a line break or is too long");
    more = curl_slist_append(e->headers, line);
    if (!more)
        return mk_error_memory(err, sizeof line);
    e->headers = more;
    return 0;
}

static void close_endpoint(void *self)
{
    struct endpoint *e = self;

    curl_multi_cleanup(e->multi);
    curl_slist_free_all(e->headers);
    free(e->calls);
    free(e);
}

static int prepare(struct endpoint *e, struct mk_error *err)
{
    size_t n = strlen(e->o.url);

    while (n > 0 && e->o.url[n - 1] == '/')
        n--;
    if (snprintf(e->url, sizeof e->url, "%.*s/chat/completions", (int)n, e->o.url) >=
            (int)sizeof e->url ||
        snprintf(e->model, sizeof e->model, "%s", e->o.model) >= (int)sizeof e->model)
        return mk_error_set(err, MK_ELIMIT, "the address or the model's name is too long");
    if (check_url(e, err) || add_header(e, "Content-Type: ", "application/json", err) ||
        (e->o.key && add_header(e, "Authorization: Bearer ", e->o.key, err)))
        return err->code;
    e->multi = curl_multi_init();
    e->calls = calloc((size_t)e->o.n_parallel, sizeof *e->calls);
    return e->multi && e->calls ? 0 : mk_error_memory(err, sizeof *e->calls);
}

int teacher_open_endpoint(struct teacher *t, const struct teacher_endpoint_options *o,
                          struct mk_error *err)
{
    struct endpoint *e = calloc(1, sizeof *e);

    if (!e)
        return mk_error_memory(err, sizeof *e);
    e->o = *o;
    if (prepare(e, err)) {
        close_endpoint(e);
        return err->code;
    }
    /* Four times what is asked at a time: the last answers of a batch leave few requests idle. */
    *t = (struct teacher){.self = e, .answer = answer, .close = close_endpoint,
                          .n_batch = 1 + (4 * o->n_parallel - 1) / o->n_samples};
    snprintf(t->name, sizeof t->name, "%.250s at %.240s", o->model, o->url);
    return 0;
}
