/* fetch.h: one file or one JSON document over HTTP: resumed, retried with back-off, bounded.
 *
 * A transfer that is cut goes on where it stopped, in this run or a later one: what has arrived
 * stays in the target, and the server's ETag stays beside it in TARGET.etag, so that a file that
 * changed meanwhile starts over. Only http and https are spoken, and from https nothing leads back
 * to http. */
#ifndef MK_HUB_FETCH_H
#define MK_HUB_FETCH_H

#include "base/buf.h"
#include "hub/hub.h"

struct fetch_file {
    const char *url, *target; /* target: where the bytes go; no name of a finished file */
    const char *what;         /* for the progress and errors: "model.safetensors" */
    const char *token;        /* sent as a bearer token to the url's own host alone; NULL: none */
    uint64_t bytes;           /* expected; 0: unknown */
    char sha256[65];          /* in: expected, or "". out: also what the server announced */
};

int fetch_file(const struct hub_options *o, struct fetch_file *f, struct mk_error *err);
/* The body of a small document into `body`, at most its maximum. MK_ENOTFOUND for 404. */
int fetch_document(const struct hub_options *o, const char *url, const char *token,
                   struct buf *body, struct mk_error *err);

#endif
