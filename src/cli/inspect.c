/* inspect.c: minke inspect: what a model file holds, from its headers alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/error.h"
#include "cli/cli.h"
#include "cli/model_options.h"
#include "cli/progress.h"
#include "formats/gguf.h"
#include "formats/model_file.h"
#include "formats/safetensors.h"
#include "hub/hub.h"
#include "kernels/kernels.h"
#include "model/count.h"

struct inspection {
    char *path;
    struct gguf gguf; /* of a folder only its tensors */
    struct arch arch;
    struct count count;
    struct model_flags flags;
    bool has_weights; /* false: a folder with config.json alone */
    int32_t context;
    uint64_t weight_bytes, kv_bytes; /* of all tensors; of one token */
};

/* One line of the table: a name of JSON and a number. */
struct dimension {
    const char *name;
    int64_t value;
};

/* A folder with config.json alone is no model to hub_resolve; here it lacks only the tensors. With
 * an index it is a model whose weights are not where the index says. */
static int find(struct inspection *in, const char *name, struct mk_error *err)
{
    int rc = hub_resolve(name, &in->path, err);

    in->has_weights = !rc;
    if (rc != MK_ENOTFOUND || !model_folder_has(name, "config.json") ||
        model_folder_has(name, "model.safetensors.index.json"))
        return rc;
    in->path = strdup(name);
    return in->path ? 0 : mk_error_memory(err, strlen(name) + 1);
}

static int open_headers(struct inspection *in, const char *name, struct mk_error *err)
{
    struct stat st;

    if (find(in, name, err))
        return err->code;
    if (stat(in->path, &st) == 0 && S_ISDIR(st.st_mode)) {
        int rc = arch_from_hf(&in->arch, in->path, err);

        if (!rc && in->has_weights)
            rc = safetensors_open(&in->gguf.tensors, in->path, err);
        return rc;
    }
    return gguf_open(&in->gguf, in->path, err) ||
                   arch_from_gguf(&in->arch, &in->gguf, in->path, err)
               ? err->code
               : 0;
}

static void measure(struct inspection *in)
{
    static const enum dtype kinds[] = {MK_F32, MK_BF16, MK_I8};
    struct count token;

    count_arch(&in->count, &in->arch,
               in->flags.mla == 2 && in->flags.numerics == 0 ? MK_MLA_EXPANDED : MK_MLA_AUTO);
    token = in->count;
    for (int64_t i = 0; i < in->gguf.tensors.n_items; i++)
        in->weight_bytes += in->gguf.tensors.items[i].bytes;
    in->kv_bytes = (uint64_t)in->arch.n_layers *
                   (uint64_t)kv_row_bytes(kinds[in->flags.kv],
                                          (int32_t)(token.kv_values / (uint64_t)in->arch.n_layers));
    in->context = in->flags.context ? in->flags.context : 4096;
    if (!in->flags.context && in->arch.max_context > 0 && in->arch.max_context < in->context)
        in->context = in->arch.max_context;
}

/* ---- Dimensions ------------------------------------------------------------------------------ */

#define MAX_DIMENSIONS 32

static int dimensions(const struct arch *a, struct dimension out[MAX_DIMENSIONS])
{
    const struct dimension all[] = {
        {"layers", a->n_layers},
        {"mtp_layers", a->n_mtp},
        {"d_model", a->d_model},
        {"vocabulary", a->n_vocab},
        {"heads", a->n_heads},
        {"kv_heads", a->attention == ARCH_GQA ? a->n_kv_heads : 0},
        {"head_dim", a->attention == ARCH_GQA ? a->head_dim : 0},
        {"q_lora_rank", a->q_lora_rank},
        {"kv_lora_rank", a->kv_lora_rank},
        {"qk_nope_dim", a->qk_nope_dim},
        {"qk_rope_dim", a->qk_rope_dim},
        {"v_head_dim", a->v_head_dim},
        {"sliding_window", a->sliding_window},
        {"d_ff", a->d_ff},
        {"experts", a->n_experts},
        {"experts_used", a->n_experts_used},
        {"shared_experts", a->n_shared_experts},
        {"d_expert", a->d_expert},
        {"first_dense_layers", a->n_experts ? a->first_k_dense : 0},
        {"expert_groups", a->n_experts ? a->n_group : 0},
        {"expert_groups_used", a->n_experts ? a->topk_group : 0},
        {"max_context", a->max_context},
    };
    int n = 0;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].value > 0)
            out[n++] = all[i];
    return n;
}

static const char *router_name(const struct arch *a)
{
    static const char *const names[] = {[ARCH_ROUTER_NONE] = NULL,
                                        [ARCH_ROUTER_SOFTMAX] = "softmax, greedy",
                                        [ARCH_ROUTER_GROUP_MAX] = "softmax, group-limited greedy",
                                        [ARCH_ROUTER_NOAUX] = "sigmoid, noaux_tc"};

    return a->n_experts ? names[a->router] : NULL;
}

static const char *scaling_name(const struct arch *a)
{
    static const char *const names[] = {[ARCH_SCALING_NONE] = "none",
                                        [ARCH_SCALING_LINEAR] = "linear",
                                        [ARCH_SCALING_YARN] = "yarn",
                                        [ARCH_SCALING_LLAMA3] = "llama3"};

    return a->n_rope_freq_factors ? "factors" : names[a->scaling];
}

/* ---- Tensors by number format -----------------------------------------------------------------
 */

struct kind {
    uint64_t n, values, bytes;
};

static void by_kind(const struct tensors *t, struct kind kinds[MK_N_DTYPES])
{
    memset(kinds, 0, MK_N_DTYPES * sizeof *kinds);
    for (int64_t i = 0; i < t->n_items; i++) {
        const struct file_tensor *f = &t->items[i];
        struct kind *k = &kinds[f->dtype];

        k->n++;
        k->bytes += f->bytes;
        k->values += f->bytes / (uint64_t)dtype_info(f->dtype)->bytes *
                     (uint64_t)dtype_info(f->dtype)->block;
    }
}

static void shape_text(const struct file_tensor *f, char text[96])
{
    int used = snprintf(text, 96, "[");

    for (int32_t i = 0; i < f->n_dims; i++)
        used += snprintf(text + used, 96 - (size_t)used, "%s%" PRId64, i ? ", " : "", f->shape[i]);
    snprintf(text + used, 96 - (size_t)used, "]");
}

/* ---- Output -----------------------------------------------------------------------------------
 */

static void print_tensors(const struct tensors *t)
{
    char shape[96], size[16];

    for (int64_t i = 0; i < t->n_items; i++) {
        const struct file_tensor *f = &t->items[i];

        shape_text(f, shape);
        progress_bytes(size, f->bytes);
        printf("  %-44s %-6s %-17s %9s\n", f->name, dtype_info(f->dtype)->name, shape, size);
    }
}

static void print_kinds(const struct tensors *t)
{
    struct kind kinds[MK_N_DTYPES];
    char size[16];

    by_kind(t, kinds);
    for (int i = 0; i < MK_N_DTYPES; i++)
        if (kinds[i].n) {
            progress_bytes(size, kinds[i].bytes);
            printf("  %5" PRIu64 " %-8s %16" PRIu64 " values %12s\n", kinds[i].n,
                   dtype_info((enum dtype)i)->name, kinds[i].values, size);
        }
}

static void print_memory(const struct inspection *in)
{
    const struct count *c = &in->count;
    uint64_t kv = in->kv_bytes * (uint64_t)in->context;
    uint64_t mha = in->kv_bytes * c->mha_values / (c->kv_values ? c->kv_values : 1);
    char a[16], b[16], all[16];

    progress_bytes(a, in->weight_bytes);
    progress_bytes(b, kv);
    progress_bytes(all, in->weight_bytes + kv);
    if (in->has_weights)
        printf("memory             %s of weights + %s of cache for %d tokens = %s\n", a, b,
               in->context, all);
    else
        printf("memory             %s of cache for %d tokens, weights apart\n", b, in->context);
    printf("cache              %" PRIu64 " bytes a token; multi-head attention of the same\n"
           "                   shape %" PRIu64 ": the ratio is %.2f %%\n",
           in->kv_bytes, mha, 100.0 * (double)c->kv_values / (double)c->mha_values);
}

static void print(const struct inspection *in, bool all)
{
    const struct arch *a = &in->arch;
    struct dimension d[MAX_DIMENSIONS];
    int n = dimensions(a, d);

    printf("architecture       %s, %s\n", a->model_type,
           a->attention == ARCH_MLA ? "multi-head latent attention" : "grouped-query attention");
    printf("parameters         %" PRIu64 " (%.2f B), active %" PRIu64 " (%.2f B)\n",
           in->count.total, (double)in->count.total / 1e9, in->count.active,
           (double)in->count.active / 1e9);
    if (in->count.mtp)
        printf("mtp                %" PRIu64 " (%.2f B) more\n", in->count.mtp,
               (double)in->count.mtp / 1e9);
    for (int i = 0; i < n; i++)
        printf("%-18s %" PRId64 "\n", d[i].name, d[i].value);
    if (router_name(a))
        printf("router             %s, weights x %g\n", router_name(a),
               (double)a->routed_scaling_factor);
    printf("rope               theta %g, scaling %s", a->rope_theta, scaling_name(a));
    if (a->scaling != ARCH_SCALING_NONE)
        printf(" x %g from %d tokens", a->scaling_factor, a->original_context);
    printf("\nembeddings         %s\n", a->tie_word_embeddings ? "tied" : "own head");
    print_memory(in);
    if (in->has_weights)
        printf("tensors            %" PRId64 "\n", in->gguf.tensors.n_items);
    else
        printf("tensors            none: %s holds config.json and no weights\n", in->path);
    if (all)
        print_tensors(&in->gguf.tensors);
    else
        print_kinds(&in->gguf.tensors);
}

static json_t *tensors_json(const struct tensors *t)
{
    json_t *list = json_array(), *shape;

    for (int64_t i = 0; i < t->n_items; i++) {
        const struct file_tensor *f = &t->items[i];

        shape = json_array();
        for (int32_t k = 0; k < f->n_dims; k++)
            json_array_append_new(shape, json_integer(f->shape[k]));
        json_array_append_new(list, json_pack("{s:s,s:s,s:o,s:I}", "name", f->name, "dtype",
                                              dtype_info(f->dtype)->name, "shape", shape, "bytes",
                                              (json_int_t)f->bytes));
    }
    return list;
}

static void print_json(const struct inspection *in)
{
    const struct count *c = &in->count;
    const struct arch *a = &in->arch;
    struct dimension d[MAX_DIMENSIONS];
    json_t *root = json_object(), *dims = json_object();
    int n = dimensions(a, d);

    for (int i = 0; i < n; i++)
        json_object_set_new(dims, d[i].name, json_integer(d[i].value));
    json_object_set_new(root, "architecture", json_string(a->model_type));
    json_object_set_new(root, "attention", json_string(a->attention == ARCH_MLA ? "mla" : "gqa"));
    json_object_set_new(root, "router", router_name(a) ? json_string(router_name(a)) : json_null());
    json_object_set_new(root, "dimensions", dims);
    json_object_set_new(root, "parameters",
                        json_pack("{s:I,s:I,s:I}", "total", (json_int_t)c->total, "active",
                                  (json_int_t)c->active, "mtp", (json_int_t)c->mtp));
    json_object_set_new(root, "tied_embeddings", json_boolean(a->tie_word_embeddings));
    json_object_set_new(root, "has_weights", json_boolean(in->has_weights));
    json_object_set_new(root, "weight_bytes", json_integer((json_int_t)in->weight_bytes));
    json_object_set_new(root, "cache",
                        json_pack("{s:i,s:I,s:I,s:I,s:f}", "context", in->context,
                                  "bytes_per_token", (json_int_t)in->kv_bytes, "values_per_token",
                                  (json_int_t)c->kv_values, "mha_values_per_token",
                                  (json_int_t)c->mha_values, "ratio",
                                  (double)c->kv_values / (double)c->mha_values));
    json_object_set_new(root, "tensors", tensors_json(&in->gguf.tensors));
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

int cmd_inspect(int argc, char **argv)
{
    struct inspection in = {0};
    bool json = false, all = false;
    const struct cli_option options[] = {
        {"tensors", 0, CLI_FLAG, &all, NULL, "list every tensor", 0, 0, NULL},
        {"json", 0, CLI_FLAG, &json, NULL, "print JSON", 0, 0, NULL},
        CLI_MODEL_OPTIONS(&in.flags),
        {0}};
    const struct cli_syntax syntax = {
        .command = "inspect",
        .arguments = "MODEL",
        .about = "Shows what a model file holds: its dimensions, parameters and tensors, and what\n"
                 "a context costs beside multi-head attention. Reads the headers alone; of a\n"
                 "folder with config.json and no weights it shows all but the tensors.",
        .min_args = 1,
        .max_args = 1,
        .options = options};
    struct mk_error err;
    int n, code, status = cli_parse(&syntax, argc, argv, &n);

    if (status != CLI_RUN)
        return status;
    code = open_headers(&in, argv[1], &err);
    if (!code) {
        measure(&in);
        if (json)
            print_json(&in);
        else
            print(&in, all);
    }
    gguf_release(&in.gguf);
    free(in.path);
    return code ? cli_fail(&err) : 0;
}
