/* response.h: finds thought and answer between the tags of a response. */
#ifndef MK_TASKS_RESPONSE_H
#define MK_TASKS_RESPONSE_H

#include "tasks/scan.h"

struct response {
    struct scan answer; /* inside the last pair of answer tags, without blanks around it */
    bool has_answer;    /* such a pair is there and not empty (verify/format.h) */
    struct scan open;   /* the answer if there is one, else all behind the last </think> */
    bool well_formed;   /* [<think>..</think>]<answer>..</answer> and nothing else but blanks */
};

struct response response_read(const char *text, size_t n);

#endif
