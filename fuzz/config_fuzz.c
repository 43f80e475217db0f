/* config_fuzz.c: any bytes as config.json; what is let through is written again and read back. */
#include <stdlib.h>
#include <string.h>

#include "formats/arch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A shape that was let through must pass its own check, and must survive being written. */
static void use(const struct arch *a)
{
    struct mk_error err;
    struct arch again;
    char *json;

    if (arch_check(a, "config.json", &err))
        abort();
    if (arch_to_hf(a, "float32", &json, &err)) {
        if (!err.text[0])
            abort();
        return;
    }
    if (arch_from_hf_text(&again, "config.json", json, strlen(json), &err))
        abort();
    if (again.n_layers != a->n_layers || again.d_model != a->d_model ||
        again.n_experts != a->n_experts || again.router != a->router)
        abort();
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mk_error err;
    struct arch a;

    err.text[0] = '\0';
    if (arch_from_hf_text(&a, "config.json", (const char *)data, size, &err)) {
        if (!err.text[0])
            abort();
        return 0;
    }
    use(&a);
    return 0;
}
