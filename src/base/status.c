/* status.c: names of the error codes, from the one list in minke.h. */
#include "minke.h"

const char *mk_status_name(int code)
{
    switch (code) {
#define X(name, number, text) \
    case name:                \
        return #name;
        MK_ERRORS(X)
#undef X
    case MK_OK:
        return "MK_OK";
    default:
        return "unknown";
    }
}
