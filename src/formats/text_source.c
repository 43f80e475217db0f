/* text_source.c: documents one after the other out of a stream that libarchive unpacks. */
#include "formats/text_source.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "formats/text_files.h"

#define BLOCK ((size_t)1 << 18)
#define MAX_MESSAGES 100000

struct text_source {
    struct text_source_options o;
    struct text_files files;
    size_t n_opened;             /* files opened; the last of them is at hand */
    struct archive *archive;     /* owned; NULL between files */
    bool jsonl, ended;           /* of the file at hand; ended: the stream has no more */
    struct buf window;           /* read and not yet used: from `begin` on */
    size_t begin, searched;      /* searched: no line break between begin and here */
    int64_t line;                /* of the file at hand, read so far */
    struct buf document;         /* plain text of several lines */
    json_t *json;                /* the JSONL line at hand, owned */
    struct text_message *messages;
    size_t n_messages, messages_capacity;
    char why[120];               /* a line is bad */
    struct text_source_counts counts;
};

struct text_source_options text_source_defaults(void)
{
    return (struct text_source_options){.field = "text", .max_document = (size_t)256 << 20};
}

int text_source_open(struct text_source **out, const char *path,
                     const struct text_source_options *o, struct mk_error *err)
{
    struct text_source *s = calloc(1, sizeof *s);

    if (!s)
        return mk_error_memory(err, sizeof *s);
    s->o = *o;
    buf_init(&s->window, o->max_document + 2 * BLOCK);
    buf_init(&s->document, o->max_document);
    if (text_files_find(&s->files, path, err)) {
        text_source_close(s);
        return err->code;
    }
    for (size_t i = 0; i < s->files.n; i++) {
        struct stat st;

        if (!stat(s->files.paths[i], &st))
            s->counts.stored_total += st.st_size;
    }
    *out = s;
    return 0;
}

void text_source_close(struct text_source *s)
{
    if (!s)
        return;
    if (s->archive)
        archive_read_free(s->archive);
    json_decref(s->json);
    text_files_release(&s->files);
    buf_release(&s->window);
    buf_release(&s->document);
    free(s->messages);
    free(s);
}

struct text_source_counts text_source_counts(const struct text_source *s)
{
    struct text_source_counts c = s->counts;

    if (s->archive)
        c.stored_bytes += archive_filter_bytes(s->archive, -1);
    return c;
}

/* ---- the stream ------------------------------------------------------------------------------ */

static const char *path_of(const struct text_source *s)
{
    return s->files.paths[s->n_opened - 1];
}

/* libarchive names the file that it could not open, and not the reason. */
static int damaged(struct text_source *s, struct mk_error *err)
{
    const char *why = access(path_of(s), R_OK) ? strerror(errno)
                                               : archive_error_string(s->archive);

    return mk_error_set(err, MK_EFORMAT, "%s: cannot be read: %s", path_of(s),
                        why ? why : "unknown reason");
}

static int open_file(struct text_source *s, struct mk_error *err)
{
    struct archive_entry *entry;
    struct text_name name;
    int r;

    s->n_opened++;
    name = text_name_of(path_of(s));
    s->archive = archive_read_new();
    if (!s->archive)
        return mk_error_memory(err, 1);
    archive_read_support_format_raw(s->archive);
    archive_read_support_format_empty(s->archive);
    if (name.gzip)
        archive_read_support_filter_gzip(s->archive);
    if (name.zstd)
        archive_read_support_filter_zstd(s->archive);
    if (archive_read_open_filename(s->archive, path_of(s), BLOCK) != ARCHIVE_OK)
        return damaged(s, err);
    if ((name.gzip || name.zstd) && archive_filter_count(s->archive) < 2)
        return mk_error_set(err, MK_EFORMAT, "%s: not packed as its name says", path_of(s));
    r = archive_read_next_header(s->archive, &entry);
    if (r != ARCHIVE_OK && r != ARCHIVE_WARN && r != ARCHIVE_EOF)
        return damaged(s, err);
    s->ended = r == ARCHIVE_EOF;
    s->jsonl = name.jsonl || s->o.objects;
    s->begin = s->searched = 0;
    s->line = 0;
    buf_clear(&s->window);
    s->counts.n_files++;
    return 0;
}

static void close_file(struct text_source *s)
{
    s->counts.stored_bytes += archive_filter_bytes(s->archive, -1);
    archive_read_free(s->archive);
    s->archive = NULL;
}

/* More of the stream behind what is in the window. */
static int fill(struct text_source *s, struct mk_error *err)
{
    ssize_t n;

    if (s->begin > s->window.n / 2) {
        s->window.n -= s->begin;
        memmove(s->window.data, s->window.data + s->begin, s->window.n);
        s->searched -= s->begin;
        s->begin = 0;
    }
    if (s->window.n - s->begin > s->o.max_document)
        return mk_error_set(err, MK_ELIMIT, "%s: line %lld: more than %zu bytes", path_of(s),
                            (long long)s->line + 1, s->o.max_document);
    /* what was used may fill the first half: never more than the largest document twice */
    s->window.max = 2 * s->o.max_document + 4 * BLOCK;
    if (buf_reserve(&s->window, BLOCK, err))
        return err->code;
    n = archive_read_data(s->archive, s->window.data + s->window.n, BLOCK);
    if (n < 0)
        return damaged(s, err);
    s->window.n += (size_t)n;
    s->ended = n == 0;
    return 0;
}

/* A line without its line break; *text is NULL at the end of the file. */
static int next_line(struct text_source *s, const char **text, size_t *n, struct mk_error *err)
{
    const char *found = NULL;

    for (;;) {
        size_t left = s->window.n - s->searched;

        found = left ? memchr(s->window.data + s->searched, '\n', left) : NULL;
        s->searched = s->window.n;
        if (found || s->ended)
            break;
        if (fill(s, err))
            return err->code;
    }
    *text = NULL;
    *n = (found ? (size_t)(found - s->window.data) : s->window.n) - s->begin;
    if (!found && *n == 0)
        return 0;
    *text = s->window.data + s->begin;
    s->begin += *n + (found != NULL);
    s->searched = s->begin;
    s->line++;
    return 0;
}

/* ---- plain text ------------------------------------------------------------------------------ */

static int too_long(const struct text_source *s, struct mk_error *err)
{
    return mk_error_wrap(err, "%s: a document of plain text, say by which line they are parted",
                         path_of(s));
}

static int read_whole(struct text_source *s, struct mk_error *err)
{
    while (!s->ended) {
        if (fill(s, err))
            return err->code;
        if (buf_append(&s->document, s->window.data + s->begin, s->window.n - s->begin, err))
            return too_long(s, err);
        s->begin = s->searched = s->window.n;
    }
    return 0;
}

static bool is_separator(const struct text_source *s, const char *line, size_t n)
{
    n -= n > 0 && line[n - 1] == '\r';
    return n == strlen(s->o.separator) && !memcmp(line, s->o.separator, n);
}

/* Lines up to the next separator or the end of the file. */
static int read_part(struct text_source *s, int64_t *first, struct mk_error *err)
{
    const char *line;
    size_t n;
    int rc;

    while (!(rc = next_line(s, &line, &n, err)) && line) {
        if (is_separator(s, line, n)) {
            if (s->document.n)
                return 0;
            continue;
        }
        if (!s->document.n)
            *first = s->line;
        if (buf_append(&s->document, line, n, err) ||
            (line + n < s->window.data + s->begin && buf_append(&s->document, "\n", 1, err)))
            return too_long(s, err);
    }
    return rc;
}

static int next_plain(struct text_source *s, struct text_document *d, struct mk_error *err)
{
    int64_t first = 1;
    int rc;

    buf_clear(&s->document);
    rc = s->o.separator ? read_part(s, &first, err) : read_whole(s, err);
    *d = (struct text_document){.path = path_of(s), .line = first};
    if (!rc && s->document.n) {
        d->text = s->document.data;
        d->n = s->document.n;
    }
    return rc;
}

/* ---- JSONL ----------------------------------------------------------------------------------- */

/* ShareGPT's names of roles. */
static const char *role_of(const char *from)
{
    return !strcmp(from, "human") ? "user" : !strcmp(from, "gpt") ? "assistant" : from;
}

/* With "function" around name and arguments, as OpenAI writes it, or without. */
static struct text_call call_of(const json_t *call)
{
    const json_t *function = json_object_get(call, "function");

    function = function ? function : call;
    return (struct text_call){json_string_value(json_object_get(call, "id")),
                              json_string_value(json_object_get(function, "name")),
                              json_object_get(function, "arguments")};
}

struct text_call text_message_call(const struct text_message *m, size_t i)
{
    return call_of(json_array_get(m->calls, i));
}

/* NULL, or why the calls are none. *calls: NULL where there is none. */
static const char *read_calls(const json_t **calls, const json_t *m)
{
    const json_t *list = json_object_get(m, "tool_calls"), *call;
    size_t i;

    *calls = json_array_size(list) ? list : NULL;
    if (list && !json_is_array(list) && !json_is_null(list))
        return "has \"tool_calls\" that are no list";
    json_array_foreach (list, i, call) {
        struct text_call c = call_of(call);

        if (!c.name || !(json_is_string(c.arguments) || json_is_object(c.arguments)))
            return "calls a tool without \"name\" or \"arguments\"";
    }
    return NULL;
}

/* NULL, or why it is no message. */
static const char *read_message(struct text_message *out, const json_t *m)
{
    const json_t *role = json_object_get(m, "role"), *content = json_object_get(m, "content");
    const json_t *from = json_object_get(m, "from"), *value = json_object_get(m, "value");
    const json_t *thought = json_object_get(m, "reasoning_content"), *calls;
    const char *why;

    thought = thought ? thought : json_object_get(m, "thinking");
    content = content ? content : value;
    if (!json_is_string(role) && !json_is_string(from))
        return "has no \"role\"";
    why = read_calls(&calls, m);
    if (why)
        return why;
    if (!json_is_string(content) && !(calls && (!content || json_is_null(content))))
        return "has no \"content\" that is text";
    if (thought && !json_is_string(thought) && !json_is_null(thought))
        return "has a thought that is no text";
    *out = (struct text_message){.role = json_is_string(role) ? json_string_value(role)
                                                              : role_of(json_string_value(from)),
                                 .content = json_string_value(content),
                                 .n = json_string_length(content),
                                 .reasoning = json_string_value(thought),
                                 .calls = calls,
                                 .name = json_string_value(json_object_get(m, "name")),
                                 .tool_call_id =
                                     json_string_value(json_object_get(m, "tool_call_id"))};
    if (calls && !out->n)
        out->content = NULL;
    return NULL;
}

/* NULL, or why what the assistant may call is no list. */
static const char *read_tools(const json_t **tools, const json_t *object)
{
    const json_t *list = json_object_get(object, "tools");

    *tools = json_array_size(list) || json_string_length(list) ? list : NULL;
    return !list || json_is_array(list) || json_is_string(list) || json_is_null(list)
               ? NULL
               : "\"tools\" is neither a list nor JSON text of one";
}

static const char *reserve_messages(struct text_source *s, size_t more)
{
    size_t n = s->n_messages + more;
    struct text_message *grown;

    if (more > MAX_MESSAGES)
        return "too many messages";
    if (n < s->messages_capacity)
        return NULL;
    grown = realloc(s->messages, (2 * n + 1) * sizeof *grown);
    if (!grown)
        return "not enough memory for its messages";
    s->messages = grown;
    s->messages_capacity = 2 * n + 1;
    return NULL;
}

/* Appends to s->messages. */
static const char *read_messages(struct text_source *s, const json_t *list)
{
    size_t n = json_array_size(list);
    const char *why = reserve_messages(s, n);

    for (size_t i = 0; i < n && !why; i++) {
        why = read_message(&s->messages[s->n_messages], json_array_get(list, i));
        if (why) {
            snprintf(s->why, sizeof s->why, "message %zu %s", i, why);
            return s->why;
        }
        s->n_messages++;
    }
    return why;
}

/* A text becomes one message of this role. */
static const char *read_turn(struct text_source *s, const json_t *value, const char *role)
{
    const char *why;

    if (json_is_array(value))
        return read_messages(s, value);
    why = reserve_messages(s, 1);
    if (!why)
        s->messages[s->n_messages++] = (struct text_message){
            .role = role, .content = json_string_value(value), .n = json_string_length(value)};
    return why;
}

/* The prompt and an answer to it. */
static const char *read_side(struct text_source *s, const json_t *prompt, const json_t *answer)
{
    const json_t *first = json_array_get(answer, 0);
    const char *role = json_string_value(json_object_get(first, "role")), *why = NULL;
    bool whole = first && (!role || strcmp(role, "assistant"));

    if (!whole)
        why = prompt ? read_turn(s, prompt, "user") : "a pair without \"prompt\" or \"messages\"";
    return why ? why : read_turn(s, answer, "assistant");
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : !a == !b;
}

static bool is_same(const struct text_message *a, const struct text_message *b)
{
    return same_text(a->role, b->role) && same_text(a->content, b->content) &&
           same_text(a->reasoning, b->reasoning) && same_text(a->name, b->name) &&
           same_text(a->tool_call_id, b->tool_call_id) &&
           (a->calls && b->calls ? json_equal(a->calls, b->calls) : !a->calls == !b->calls);
}

static const char *read_pair(struct text_source *s, struct text_document *d)
{
    const json_t *chosen = json_object_get(s->json, "chosen");
    const json_t *rejected = json_object_get(s->json, "rejected");
    const json_t *prompt = json_object_get(s->json, "prompt");
    struct text_document pair = *d;
    const char *why;
    size_t n;

    prompt = prompt ? prompt : json_object_get(s->json, "messages");
    if ((!json_is_string(chosen) && !json_is_array(chosen)) ||
        (!json_is_string(rejected) && !json_is_array(rejected)))
        return "no pair: \"chosen\" and \"rejected\" must be texts or lists of messages";
    if (prompt && !json_is_string(prompt) && !json_is_array(prompt))
        return "the prompt is neither a text nor a list of messages";
    why = read_side(s, prompt, chosen);
    n = s->n_messages;
    why = why ? why : read_side(s, prompt, rejected);
    if (why)
        return why;
    pair.messages = s->messages;
    pair.n_messages = n;
    pair.rejected = s->messages + n;
    pair.n_rejected = s->n_messages - n;
    while (pair.n_prompt < n && pair.n_prompt < pair.n_rejected &&
           is_same(&pair.messages[pair.n_prompt], &pair.rejected[pair.n_prompt]))
        pair.n_prompt++;
    if (pair.n_prompt == n && n == pair.n_rejected)
        return "the chosen answer is the rejected one";
    *d = pair;
    return NULL;
}

/* NULL, or why the line is no document. */
static const char *read_object(struct text_source *s, struct text_document *d)
{
    const json_t *text = json_object_get(s->json, s->o.field), *list;
    const char *why;

    s->n_messages = 0;
    if (s->o.objects) {
        d->object = s->json;
        return json_is_object(s->json) ? NULL : "not a JSON object";
    }
    if (json_is_string(text) && !s->o.pairs) {
        d->text = json_string_value(text);
        d->n = json_string_length(text);
        return NULL;
    }
    why = read_tools(&d->tools, s->json);
    if (why || s->o.pairs)
        return why ? why : read_pair(s, d);
    list = json_object_get(s->json, "messages");
    if (!list)
        list = json_object_get(s->json, "conversations");
    if (!json_is_array(list)) {
        snprintf(s->why, sizeof s->why,
                 "no text in a field \"%.40s\", nor a list of messages: data.field or --field "
                 "names it",
                 s->o.field);
        return s->why;
    }
    why = read_messages(s, list);
    if (!why) {
        d->messages = s->messages;
        d->n_messages = s->n_messages;
    }
    return why;
}

static bool is_blank(const char *line, size_t n)
{
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t' || line[n - 1] == '\r'))
        n--;
    return n == 0;
}

/* One line that holds something. d stays empty for one that is bad and may be. */
static int next_jsonl(struct text_source *s, struct text_document *d, bool *at_end,
                      struct mk_error *err)
{
    const char *line, *why;
    json_error_t at;
    size_t n;
    int rc;

    do {
        rc = next_line(s, &line, &n, err);
    } while (!rc && line && is_blank(line, n));
    *d = (struct text_document){.path = path_of(s), .line = s->line};
    *at_end = rc || !line;
    if (*at_end)
        return rc;
    json_decref(s->json);
    s->json = json_loadb(line, n, 0, &at);
    why = s->json ? read_object(s, d) : at.text;
    if (!why)
        return 0;
    d->object = NULL;
    s->counts.n_bad++;
    return s->o.skip_bad ? 0
                         : mk_error_set(err, MK_EFORMAT, "%s: line %lld: %s", path_of(s),
                                        (long long)s->line, why);
}

/* ---- documents ------------------------------------------------------------------------------- */

static size_t bytes_of(const struct text_document *d)
{
    size_t n = d->text ? d->n : 0;

    for (size_t i = 0; i < d->n_messages; i++)
        n += d->messages[i].n;
    for (size_t i = d->n_prompt; i < d->n_rejected; i++)
        n += d->rejected[i].n;
    return n;
}

int text_source_next(struct text_source *s, struct text_document *d, bool *more,
                     struct mk_error *err)
{
    *more = false;
    while (!*more) {
        bool at_end;
        int64_t n_bad = s->counts.n_bad;
        int rc;

        if (!s->archive && s->n_opened == s->files.n)
            return 0;
        rc = s->archive ? 0 : open_file(s, err);
        if (!rc && s->jsonl) {
            rc = next_jsonl(s, d, &at_end, err);
        } else if (!rc) {
            rc = next_plain(s, d, err);
            at_end = !d->text;
        }
        if (rc)
            return rc;
        if (at_end)
            close_file(s);
        else if (d->object || d->messages || bytes_of(d) > 0)
            *more = true;
        else
            s->counts.n_empty += n_bad == s->counts.n_bad;
    }
    s->counts.n_documents++;
    s->counts.n_bytes += (int64_t)bytes_of(d);
    return 0;
}
