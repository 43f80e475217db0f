/* grad.c: writes gradients with the weights' names and shapes. */
#include "train/grad.h"

#include "formats/safetensors.h"

static int write_values(struct safetensors_writer *w, const struct params *p, float loss,
                        struct mk_error *err)
{
    const int64_t one = 1;

    if (safetensors_declare(w, "loss", MK_F32, 1, &one, err))
        return err->code;
    for (int64_t i = 0; i < p->n_items; i++) {
        const struct param *q = &p->items[i];

        if (q->grad && safetensors_declare(w, q->name, MK_F32, q->n_dims, q->shape, err))
            return err->code;
    }
    if (safetensors_begin(w, err) || safetensors_write(w, &loss, sizeof loss, err))
        return err->code;
    for (int64_t i = 0; i < p->n_items; i++) {
        const struct param *q = &p->items[i];

        if (q->grad && safetensors_write(w, q->grad, (uint64_t)q->n * sizeof *q->grad, err))
            return err->code;
    }
    return safetensors_finish(w, err);
}

int grad_write(const struct params *p, double loss, const char *path, struct mk_error *err)
{
    struct safetensors_writer *w;
    int code;

    if (safetensors_create_file(&w, path, err))
        return err->code;
    code = write_values(w, p, (float)loss, err);
    safetensors_free(w);
    return code;
}
