/* vocab_json_check.c: a tokenizer.json is walked once before a tree is built of it.
 *
 * A tree takes some hundred bytes a value, and a file of nothing but "[]," would have it take forty
 * times the file. So what may be long must have the shape it is read with (token: id; merges of two
 * texts), no token may be longer than is allowed, and all the rest must be short. */
#include "formats/json_walk.h"
#include "formats/vocab_build.h"

#include <string.h>

#define MAX_REST_MARKS 400000 /* ',' '[' '{': values of a tree of some 50 MB */
#define MAX_KEY_BYTES 1024     /* of the fields of the file and of its model */

struct check {
    struct json_walk w;
    size_t n_marks; /* outside of vocabulary and merges */
};

static int fail(const struct check *c, const char *what, struct mk_error *err)
{
    return mk_error_set(err, MK_EFORMAT, "byte %zu: %s", (size_t)(c->w.at - c->w.begin), what);
}

/* The first character of the next value, or 0 at the end. */
static char peek(struct json_walk *w)
{
    while (w->at < w->end && memchr(" \t\r\n", *w->at, 4))
        w->at++;
    return w->at < w->end ? (char)*w->at : 0;
}

/* A value that is nothing in particular: walked over, its marks counted. Those inside texts count
 * too, which errs on the safe side. */
static int check_rest(struct check *c, struct mk_error *err)
{
    const unsigned char *at = c->w.at;
    int rc = json_walk_skip(&c->w, err);

    for (; !rc && at < c->w.at; at++)
        c->n_marks += *at == ',' || *at == '[' || *at == '{';
    if (!rc && c->n_marks > MAX_REST_MARKS)
        rc = fail(c, "too many values beside vocabulary and merges", err);
    return rc;
}

/* A text of at most `limit` bytes as it is spelled: six a byte of it where all are escapes. */
static int check_text(struct check *c, size_t limit, struct mk_error *err)
{
    const unsigned char *begin;
    int rc;

    peek(&c->w);
    begin = c->w.at;
    rc = json_walk_string(&c->w, NULL, 0, err);
    if (!rc && (size_t)(c->w.at - begin) > 6 * limit + 2)
        rc = mk_error_set(err, MK_ELIMIT, "byte %zu: a text of %zu bytes, at most %zu are allowed",
                          (size_t)(begin - c->w.begin), (size_t)(c->w.at - begin) - 2, limit);
    return rc;
}

/* {"token": id, ...}: the ids are looked at by the reader. */
static int check_vocab(struct check *c, struct mk_error *err)
{
    bool more;
    int rc = json_walk_enter(&c->w, '{', err);

    while (!rc && !(rc = json_walk_more(&c->w, '}', &more, err)) && more) {
        rc = check_text(c, VOCAB_MAX_TEXT_BYTES, err);
        if (!rc && peek(&c->w) != ':')
            rc = fail(c, "expected ':'", err);
        if (rc)
            break;
        c->w.at++;
        if (memchr("{[\"", peek(&c->w), 3))
            rc = fail(c, "the id of a token is not a number", err);
        else
            rc = json_walk_skip(&c->w, err);
    }
    return rc;
}

/* ["left", "right"] */
static int check_pair(struct check *c, struct mk_error *err)
{
    bool more = true;
    int n = 0, rc = json_walk_enter(&c->w, '[', err);

    while (!rc && !(rc = json_walk_more(&c->w, ']', &more, err)) && more)
        rc = ++n > 2 ? fail(c, "a merge has more than two parts", err)
                     : check_text(c, VOCAB_MAX_TEXT_BYTES, err);
    if (!rc && n != 2)
        rc = fail(c, "a merge has fewer than two parts", err);
    c->w.first = false;
    return rc;
}

/* ["left right", ...] or [["left", "right"], ...] */
static int check_merges(struct check *c, struct mk_error *err)
{
    bool more;
    int rc = json_walk_enter(&c->w, '[', err);

    for (size_t i = 0; !rc && !(rc = json_walk_more(&c->w, ']', &more, err)) && more; i++) {
        rc = peek(&c->w) == '[' ? check_pair(c, err)
                                : check_text(c, 2 * VOCAB_MAX_TEXT_BYTES + 1, err);
        if (rc)
            mk_error_wrap(err, "model.merges[%zu]", i);
    }
    return rc;
}

typedef int value_fn(struct check *c, const char *key, struct mk_error *err);

/* An object, each value by `check`. Nobody writes names as long as is refused here. */
static int check_object(struct check *c, value_fn *check, struct mk_error *err)
{
    bool more;
    int rc = json_walk_enter(&c->w, '{', err);

    while (!rc && !(rc = json_walk_more(&c->w, '}', &more, err)) && more) {
        char key[MAX_KEY_BYTES];

        rc = json_walk_key(&c->w, key, sizeof key, err);
        if (!rc)
            rc = check(c, key, err);
        c->w.first = false;
    }
    return rc;
}

static int check_model_value(struct check *c, const char *key, struct mk_error *err)
{
    if (!strcmp(key, "vocab") && peek(&c->w) == '{')
        return check_vocab(c, err) ? mk_error_wrap(err, "model.vocab") : 0;
    if (!strcmp(key, "merges") && peek(&c->w) == '[')
        return check_merges(c, err);
    return check_rest(c, err);
}

static int check_root_value(struct check *c, const char *key, struct mk_error *err)
{
    if (!strcmp(key, "model") && peek(&c->w) == '{')
        return check_object(c, check_model_value, err);
    return check_rest(c, err);
}

int vocab_json_check(const char *json, size_t bytes, struct mk_error *err)
{
    struct check c = {.n_marks = 0};
    int rc;

    json_walk_init(&c.w, json, bytes);
    rc = check_object(&c, check_root_value, err);
    return rc ? rc : json_walk_end(&c.w, err);
}

int vocab_json_check_config(const char *json, size_t bytes, struct mk_error *err)
{
    struct check c = {.n_marks = 0};
    int rc;

    json_walk_init(&c.w, json, bytes);
    rc = check_rest(&c, err);
    return rc ? rc : json_walk_end(&c.w, err);
}
