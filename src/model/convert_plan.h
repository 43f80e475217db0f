/* convert_plan.h: which tensors a converted model has, and where the rows of each come from. Parts
 * of convert.c; train/ reads weights through it. */
#ifndef MK_MODEL_CONVERT_PLAN_H
#define MK_MODEL_CONVERT_PLAN_H

#include "formats/model_file.h"
#include "model/convert.h"
#include "model/load.h"

/* How rows of the result follow from rows of the source. */
enum item_rows {
    ROWS_SAME,
    ROWS_TO_PAIRS,  /* each head's rotated halves become pairs: row 2i + s is row s d/2 + i */
    ROWS_TO_HALVES, /* and back */
    ROWS_STACK,     /* all experts in one tensor; a section is an expert */
    ROWS_K_UP,      /* k_b out of kv_b: each head's part of k, turned; a section is a head */
    ROWS_V_UP,      /* v_b out of kv_b: each head's part of v */
    ROWS_JOIN       /* kv_b out of k_b and v_b */
};

struct item {
    char name[MK_NAME_BYTES];
    enum weight_role role;
    int32_t layer, expert;
    enum item_rows rows;
    enum dtype dtype;
    int64_t n_rows, n_in; /* rows of the last dimension */
    int32_t n_sections;   /* rows come from n_sections places, n_rows / n_sections each */
    int32_t n_dims;
    int64_t shape[3]; /* slowest first */
    bool raw;         /* rows are copied as they are */
};

struct plan {
    struct loader loader; /* finds parts in the source */
    struct model shell;   /* its arch; nothing else is used */
    struct arch arch;     /* of the result */
    enum dtype to;
    bool gguf;
    struct item *items; /* owned */
    int64_t n_items, capacity;
    struct convert_report *report;
};

/* `file` must outlive the plan. */
int plan_init(struct plan *p, const struct model_file *file, enum dtype to, bool gguf,
              struct convert_report *report, struct mk_error *err);
void plan_release(struct plan *p);

/* One place that rows of an item come from. */
struct section {
    struct weight_src src;
    float *turned; /* [n_in, n_turned], or NULL: the first n_turned rows are its columns */
    int64_t n_turned, n_in;
    int64_t n_rows;
    enum item_rows rows;
};

/* Finds it and checks its shape. temp: memory for what has to be turned; NULL: the caller wants to
 * know type and place alone. */
int section_open(const struct plan *p, const struct item *it, int32_t index, struct arena *temp,
                 struct section *s, struct mk_error *err);
/* Row r of the section, as f32 [n_in] or, for a raw item, its bytes in the file. */
void section_row(const struct section *s, int64_t r, float *out);
const unsigned char *section_bytes(const struct section *s, int64_t r);

#endif
