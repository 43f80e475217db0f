/* adapter_config_fuzz.c: any bytes as the adapter_config.json of an adapter. */
#include <stdint.h>
#include <stdlib.h>

#include "formats/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct adapter a = {0};
    struct mk_error err = {0};

    if (adapter_parse_config(&a, (const char *)data, bytes, "fuzz", &err)) {
        if (!err.code || !*err.text)
            abort();
    } else if (a.rank < 1) {
        abort();
    }
    return 0;
}
