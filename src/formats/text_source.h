/* text_source.h: the documents of a text file, a JSONL file, either packed by gzip or zstd, or a
 * folder of them: texts, conversations, or pairs of answers of which one is preferred.
 *
 * Which it is follows from the name: .jsonl or .ndjson, behind which .gz or .zst may stand; every
 * other file is plain text. In a folder, files are taken in the order of their paths' bytes, below
 * sub-folders too (not through links to folders); only .jsonl, .ndjson, prose (.txt, .md, .rst,
 * .tex) and programs (.c, .py, .rs and more, see text_files.c) are.
 *
 * Files are read as streams: memory is bounded by the longest document, twice. One owner. */
#ifndef MK_FORMATS_TEXT_SOURCE_H
#define MK_FORMATS_TEXT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct text_source_options {
    const char *field;       /* of a JSONL object with the text: "text" */
    const char *separator;   /* a line that parts documents of plain text, without its line break;
                                "" is a blank line; NULL: a file is one document */
    size_t max_document;     /* bytes of one document or JSONL line; 256 MiB */
    bool skip_bad;           /* count JSONL lines that cannot be read instead of failing */
    bool objects;            /* every file is JSONL, and a document any object: see below */
    bool pairs;              /* a JSONL object holds "chosen" and "rejected" */
};

struct text_source_options text_source_defaults(void);

struct text_message {
    const char *role, *content;           /* content may be NULL where tools are called */
    size_t n;                             /* bytes of content */
    const char *reasoning;                /* "reasoning_content" or "thinking", or NULL */
    const struct json_t *calls;           /* "tool_calls" as OpenAI has them, or NULL: none */
    const char *name, *tool_call_id;      /* of a tool, or NULL */
};

/* The i-th of a message's calls. */
struct text_call {
    const char *id;                       /* or NULL */
    const char *name;
    const struct json_t *arguments;       /* an object, or JSON text of one */
};
struct text_call text_message_call(const struct text_message *m, size_t i);

/* Text, or a conversation ("messages": [{"role", "content"}, ...], or "conversations" in ShareGPT's
 * names). Borrowed until the next call. Text is any bytes; from JSONL it is UTF-8 without NUL.
 *
 * A pair is {"prompt", "chosen", "rejected"}: the prompt is a question or ("prompt" or "messages")
 * a list of messages, the other two an answer, a list of messages that continues the prompt, or the
 * whole conversation when it does not begin with the assistant. */
struct text_document {
    const char *text;                     /* NULL for a conversation */
    size_t n;
    const struct text_message *messages;  /* [n_messages]; of a pair with the chosen answer */
    size_t n_messages;
    const struct text_message *rejected;  /* [n_rejected] the same with the rejected answer */
    size_t n_rejected, n_prompt;          /* of a pair; n_prompt: messages that both begin with */
    const struct json_t *tools;           /* to call: a list, or its JSON text; or NULL */
    const struct json_t *object;          /* with `objects`: the line; the others are empty */
    const char *path;                     /* of the file */
    int64_t line;                         /* where it begins, from 1 */
};

struct text_source_counts {
    int64_t n_files, n_documents, n_bytes, n_bad, n_empty; /* so far; bytes of text */
    /* Of the files as they lie, packed: read so far, and all there are. */
    int64_t stored_bytes, stored_total;
};

struct text_source;
/* MK_ENOTFOUND when a folder holds no file of text. */
int text_source_open(struct text_source **s, const char *path, const struct text_source_options *o,
                     struct mk_error *err);
void text_source_close(struct text_source *s);
/* The next document that is not empty, or *more = false. After an error only close is allowed. */
int text_source_next(struct text_source *s, struct text_document *d, bool *more,
                     struct mk_error *err);
struct text_source_counts text_source_counts(const struct text_source *s);

#endif
