/* convert_test.c: a converted model is the model it was, as exactly as its number format allows. */
#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "formats/model_file.h"
#include "formats/safetensors.h"
#include "model/convert.h"
#include "model/forward.h"
#include "support/golden.h"
#include "tensor/dequant.h"
#include "tensor/quant.h"
#include "tokenizer/tokenizer.h"

#define MODELS "tests/golden/models/"
#define N_IDS 29
#define N_LOGITS (N_IDS * 517)

/* ---- Helpers -------------------------------------------------------------------------------- */

static char dir[64]; /* of this run; names in it are made by in_dir */

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/minke-convert-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int remove_dir(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct path {
    char text[160];
};

static struct path in_dir(const char *name)
{
    struct path p;

    snprintf(p.text, sizeof p.text, "%s/%s", dir, name);
    return p;
}

static struct path golden(const char *name)
{
    struct path p;

    snprintf(p.text, sizeof p.text, MODELS "%s", name);
    return p;
}

static struct convert_report convert(struct path from, struct path to, enum dtype type)
{
    struct convert_options o = {.to = type, .n_threads = 2, .overwrite = true};
    struct convert_report report;
    struct mk_error err;

    if (convert_model(from.text, to.text, &o, &report, &err))
        fail_msg("%s", err.text);
    return report;
}

/* Logits of every position of the 29-token prompt, freed by the caller. */
static float *logits_of(struct path path)
{
    struct model_options o = {.numerics = MK_EXACT};
    struct golden_model g;
    struct golden_cache cache;
    struct compute c;
    struct arena memory;
    struct mk_error err;
    int32_t n, *ids = golden_ids(MODELS "v3/expected/ids_29.txt", &n);
    float *logits = calloc(N_LOGITS, sizeof *logits);
    struct forward_seq seq = {.ids = ids, .n_ids = N_IDS, .logits = logits, .n_logits = N_IDS};

    assert_int_equal(n, N_IDS);
    assert_non_null(logits);
    golden_open(&g, path.text, &o);
    assert_int_equal(g.model.arch.n_vocab, 517);
    golden_cache_init(&cache, &g.model, MK_F32, N_IDS);
    seq.kv = cache.layers;
    arena_init(&memory, (size_t)1 << 28);
    if (compute_init(&c, NULL, 1, &err) ||
        model_forward(&g.model, &c, &memory, MK_F32, &seq, 1, NULL, &err))
        fail_msg("%s", err.text);
    arena_release(&memory);
    compute_release(&c);
    golden_cache_release(&cache);
    golden_close(&g);
    free(ids);
    return logits;
}

/* Largest difference between two models' logits, as a share of the largest logit. */
static double distance(struct path a, struct path b)
{
    float *x = logits_of(a), *y = logits_of(b);
    double worst = 0, largest = 0;

    for (int64_t i = 0; i < N_LOGITS; i++) {
        assert_true(isfinite(x[i]) && isfinite(y[i]));
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
        largest = fmax(largest, fabs((double)x[i]));
    }
    assert_true(largest > 1);
    free(x);
    free(y);
    return worst / largest;
}

static struct model_file opened(struct path path)
{
    struct model_file f;
    struct mk_error err;

    if (model_file_open(&f, path.text, &err))
        fail_msg("%s", err.text);
    return f;
}

static const struct file_tensor *tensor(const struct model_file *f, const char *name)
{
    const struct file_tensor *t = tensors_find(&f->gguf.tensors, name);

    if (!t)
        fail_msg("%s: no tensor %s", f->path, name);
    return t;
}

/* Every tensor of `a` is in `b` with the same type, shape and bytes, and nothing else is. */
static void assert_same_tensors(struct path a, struct path b)
{
    struct model_file x = opened(a), y = opened(b);

    for (int64_t i = 0; i < x.gguf.tensors.n_items; i++) {
        const struct file_tensor *s = &x.gguf.tensors.items[i], *t = tensor(&y, s->name);

        if (s->dtype != t->dtype || s->n_dims != t->n_dims ||
            memcmp(s->shape, t->shape, (size_t)s->n_dims * sizeof *s->shape) ||
            s->bytes != t->bytes || memcmp(s->data, t->data, s->bytes))
            fail_msg("%s: tensor %s differs", b.text, s->name);
    }
    assert_int_equal(x.gguf.tensors.n_items, y.gguf.tensors.n_items);
    model_file_release(&x);
    model_file_release(&y);
}

static const char *const all_models[] = {"v2-lite", "v2-groups",  "v3",          "v3-bf16",
                                         "v3-noq",  "v3-fp8",     "llama3",      "mistral",
                                         "qwen3",   "qwen2-tied", "qwen2-untied"};
enum { N_MODELS = sizeof all_models / sizeof *all_models };

/* ---- Nothing is rounded --------------------------------------------------------------------- */

static void every_model_in_f32_computes_the_same_bits(void **state)
{
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        struct path from = golden(all_models[i]), to = in_dir("f32");

        convert(from, to, MK_F32);
        assert_true(distance(from, to) == 0);
    }
}

/* The rows of llama's q and k lie in another order in GGUF, so its sums do too. */
static void every_model_as_gguf_in_f32_computes_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < N_MODELS; i++) {
        struct path from = golden(all_models[i]), to = in_dir("f32.gguf");
        bool permuted = !strcmp(all_models[i], "llama3") || !strcmp(all_models[i], "mistral");

        convert(from, to, MK_F32);
        assert_true(distance(from, to) <= (permuted ? 1e-5 : 0));
    }
}

static void gguf_and_back_is_the_same_file(void **state)
{
    static const char *const names[] = {"v2-groups", "v3-noq", "llama3", "qwen3", "qwen2-untied"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        convert(golden(names[i]), in_dir("there.gguf"), MK_F32);
        convert(in_dir("there.gguf"), in_dir("back"), MK_F32);
        assert_same_tensors(golden(names[i]), in_dir("back"));
    }
}

static void all_three_layouts_of_deepseek2_become_one(void **state)
{
    static const char *const eras[] = {"v3-kv_b", "v3-mla", "v3-ik"};
    struct path from;

    (void)state;
    convert(golden("v3"), in_dir("v3.gguf"), MK_F32);
    for (int i = 0; i < 3; i++) {
        snprintf(from.text, sizeof from.text, "tests/golden/gguf/%s.gguf", eras[i]);
        convert(from, in_dir("era.gguf"), MK_F32);
        assert_same_tensors(in_dir("v3.gguf"), in_dir("era.gguf"));
    }
    snprintf(from.text, sizeof from.text, "tests/golden/gguf/v3-mla.gguf");
    assert_same_tensors(from, in_dir("v3.gguf")); /* what llama.cpp's converter would write */
}

static void multi_token_prediction_goes_along_in_a_folder(void **state)
{
    struct model_file f;

    (void)state;
    convert(golden("v3"), in_dir("mtp"), MK_F32);
    assert_same_tensors(golden("v3"), in_dir("mtp"));
    f = opened(in_dir("mtp"));
    assert_int_equal(f.arch.n_mtp, 1);
    model_file_release(&f);
    assert_true(convert(golden("v3"), in_dir("v3.gguf"), MK_F32).left_mtp);
}

static void fp8_to_fp8_copies_weights_and_scales(void **state)
{
    (void)state;
    convert(golden("v3-fp8"), in_dir("fp8"), MK_F8_E4M3);
    assert_same_tensors(golden("v3-fp8"), in_dir("fp8"));
    convert(golden("v3-bf16"), in_dir("bf16"), MK_BF16);
    assert_same_tensors(golden("v3-bf16"), in_dir("bf16"));
}

/* ---- Rounded -------------------------------------------------------------------------------- */

/* Shares of the largest logit; twice what was measured for the worst model. */
/* Of dense models: with experts a rounding may choose others, and random ones have nothing in
 * common.
 */
static void narrower_types_stay_close(void **state)
{
    static const char *const names[] = {"mistral", "llama3", "qwen2-untied", "qwen3"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct path from = golden(names[i]);

        convert(from, in_dir("b"), MK_BF16);
        convert(from, in_dir("h.gguf"), MK_F16);
        convert(from, in_dir("e"), MK_F8_E4M3);
        assert_true(distance(from, in_dir("b")) < 0.02);
        assert_true(distance(from, in_dir("h.gguf")) < 0.003);
        assert_true(distance(from, in_dir("e")) < 0.2);
    }
}

/* Three bits of mantissa: half a step is 2^-4 of a value, or 2^-10 of the scale near zero. */
static void fp8_values_are_as_close_as_e4m3_can_be(void **state)
{
    static const char name[] = "model.layers.1.mlp.experts.3.down_proj.weight";
    struct model_file f, w;
    const struct file_tensor *q, *s, *x;
    const float *want, *scales;

    (void)state;
    convert(golden("v3-fp8"), in_dir("wide"), MK_F32); /* 148 x 130: ragged blocks */
    convert(in_dir("wide"), in_dir("narrow"), MK_F8_E4M3);
    f = opened(in_dir("narrow"));
    w = opened(in_dir("wide"));
    q = tensor(&f, name);
    s = tensor(&f, "model.layers.1.mlp.experts.3.down_proj.weight_scale_inv");
    x = tensor(&w, name);
    assert_int_equal(q->dtype, MK_F8_E4M3);
    assert_true(s->n_dims == 2 && s->shape[0] == 2 && s->shape[1] == 2);
    want = (const float *)(const void *)x->data;
    scales = (const float *)(const void *)s->data;
    for (int64_t r = 0; r < 148; r++)
        for (int64_t k = 0; k < 130; k++) {
            double scale = (double)scales[r / 128 * 2 + k / 128];
            double got = (double)e4m3_to_f32(q->data[r * 130 + k]) * scale;
            double value = (double)want[r * 130 + k];

            assert_true(fabs(got - value) <= fmax(fabs(value) / 16, scale / 1024) * 1.0001);
        }
    assert_int_equal(tensor(&f, "lm_head.weight")->dtype, MK_BF16);
    assert_int_equal(tensor(&f, "model.layers.1.mlp.gate.weight")->dtype, MK_F32);
    model_file_release(&f);
    model_file_release(&w);
}

/* A one-layer llama whose rows are 256 wide, but for an FFN of 96. */
enum { D = 256, D_FF = 96, V = 64 };

static const struct {
    const char *name;
    int64_t shape[2];
} small_tensors[] = {
    {"model.embed_tokens.weight", {V, D}},
    {"model.norm.weight", {D, 0}},
    {"lm_head.weight", {V, D}},
    {"model.layers.0.input_layernorm.weight", {D, 0}},
    {"model.layers.0.post_attention_layernorm.weight", {D, 0}},
    {"model.layers.0.self_attn.q_proj.weight", {D, D}},
    {"model.layers.0.self_attn.k_proj.weight", {D / 2, D}},
    {"model.layers.0.self_attn.v_proj.weight", {D / 2, D}},
    {"model.layers.0.self_attn.o_proj.weight", {D, D}},
    {"model.layers.0.mlp.gate_proj.weight", {D_FF, D}},
    {"model.layers.0.mlp.up_proj.weight", {D_FF, D}},
    {"model.layers.0.mlp.down_proj.weight", {D, D_FF}},
};
enum { N_SMALL = sizeof small_tensors / sizeof *small_tensors };

static void write_small(const char *folder)
{
    static const char config[] =
        "{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":256,\"vocab_size\":64,"
        "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"intermediate_size\":96,"
        "\"max_position_embeddings\":128}";
    struct safetensors_writer *w;
    struct mk_error err;
    char path[256];
    uint32_t seed = 1;

    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(write_file(path, config, sizeof config - 1, &err), 0);
    assert_int_equal(safetensors_create(&w, folder, 0, &err), 0);
    for (int i = 0; i < N_SMALL; i++)
        assert_int_equal(safetensors_declare(w, small_tensors[i].name, MK_F32,
                                             small_tensors[i].shape[1] ? 2 : 1,
                                             small_tensors[i].shape, &err),
                         0);
    assert_int_equal(safetensors_begin(w, &err), 0);
    for (int i = 0; i < N_SMALL; i++) {
        int64_t n = small_tensors[i].shape[0];

        n *= small_tensors[i].shape[1] ? small_tensors[i].shape[1] : 1;
        for (int64_t k = 0; k < n; k++) {
            float x;

            seed = seed * 1664525u + 1013904223u;
            x = (float)(seed >> 8) / 8388608.0f - 1;
            assert_int_equal(safetensors_write(w, &x, sizeof x, &err), 0);
        }
    }
    assert_int_equal(safetensors_finish(w, &err), 0);
    safetensors_free(w);
}

/* Row r of the result is what quantise_row makes of row `from` of the source. */
static void assert_row(const struct file_tensor *got, int64_t r, const struct file_tensor *want,
                       int64_t from)
{
    int64_t n = want->shape[1];
    unsigned char bytes[4 * D];
    uint64_t row;
    float x[D];

    assert_true(dtype_bytes(got->dtype, (uint64_t)n, &row));
    assert_int_equal(dequantise_row(MK_F32, want->data + from * n * 4, n, x), 0);
    assert_int_equal(quantise_row(got->dtype, x, n, bytes), 0);
    assert_memory_equal(got->data + (uint64_t)r * row, bytes, row);
}

static void four_bits_take_six_for_the_head_and_eight_for_ragged_rows(void **state)
{
    struct convert_report report;
    struct path small = in_dir("small"), to = in_dir("small.gguf");
    struct model_file f, s;

    (void)state;
    write_small(small.text);
    report = convert(small, to, MK_Q4_K);
    s = opened(small);
    f = opened(to);
    assert_int_equal(tensor(&f, "token_embd.weight")->dtype, MK_Q4_K);
    assert_int_equal(tensor(&f, "output.weight")->dtype, MK_Q6_K);
    assert_int_equal(tensor(&f, "blk.0.ffn_down.weight")->dtype, MK_Q8_0);
    assert_int_equal(tensor(&f, "blk.0.attn_norm.weight")->dtype, MK_F32);
    assert_int_equal(report.n_ragged, 1);
    assert_int_equal(report.ragged_type, MK_Q8_0);
    assert_int_equal(report.n_tensors[MK_Q4_K], 7);
    assert_row(tensor(&f, "output.weight"), 5, tensor(&s, "lm_head.weight"), 5);
    assert_row(tensor(&f, "blk.0.ffn_down.weight"), 9,
               tensor(&s, "model.layers.0.mlp.down_proj.weight"), 9);
    /* heads of 64: row 3 of head 1's pairs is row 32 + 1 of its halves */
    assert_row(tensor(&f, "blk.0.attn_q.weight"), 64 + 3,
               tensor(&s, "model.layers.0.self_attn.q_proj.weight"), 64 + 32 + 1);
    model_file_release(&f);
    model_file_release(&s);
}

/* What is quantised already is copied, not rounded once more. */
static void the_same_blocks_are_copied(void **state)
{
    struct path first = in_dir("first.gguf"), second = in_dir("second.gguf");

    (void)state;
    write_small(in_dir("small").text);
    convert(in_dir("small"), first, MK_Q4_K);
    convert(first, second, MK_Q4_K);
    assert_same_tensors(first, second);
}

/* ---- What stands beside the weights --------------------------------------------------------- */

static void a_gguf_keeps_its_tokenizer_word_for_word(void **state)
{
    struct path from = {"tests/golden/gguf/qwen2.gguf"};
    struct model_file a, b;
    int n = 0;

    (void)state;
    convert(from, in_dir("keys.gguf"), MK_F16);
    a = opened(from);
    b = opened(in_dir("keys.gguf"));
    for (int64_t i = 0; i < a.gguf.n_values; i++) {
        const struct gguf_value *v = &a.gguf.values[i], *w;
        char key[128];

        snprintf(key, sizeof key, "%.*s", (int)v->key.n, v->key.data);
        if (strncmp(key, "tokenizer.", 10))
            continue;
        w = gguf_find(&b.gguf, key);
        assert_non_null(w);
        assert_true(v->bytes == w->bytes && !memcmp(v->data, w->data, v->bytes));
        n++;
    }
    assert_true(n >= 7);
    model_file_release(&a);
    model_file_release(&b);
}

static struct ids ids_by(struct path model, const char *text)
{
    struct model_file f = opened(model);
    struct tokenizer *t = NULL;
    struct ids ids = {0};
    struct mk_error err;
    struct vocab v;
    bool there;

    if (model_file_vocab(&f, &v, &there, &err) || !there || tokenizer_create(&t, &v, &err) ||
        tokenizer_encode(t, text, strlen(text), true, &ids, &err))
        fail_msg("%s: %s", model.text, err.text);
    tokenizer_free(t);
    model_file_release(&f);
    return ids;
}

static void a_gguf_made_a_folder_has_its_tokenizer(void **state)
{
    static const char text[] = "<bos>It is 1984, and  they\xE2\x80\x99ll\n\n\xF0\x9F\xA6\x9C.<eos>";
    struct path from = {"tests/golden/gguf/llama3.gguf"}, folder = in_dir("folder"),
                back = in_dir("back.gguf");
    struct convert_report report = convert(from, folder, MK_BF16);
    struct ids want = ids_by(from, text), got[2];

    (void)state;
    assert_int_equal(report.left_tokenizer.code, 0);
    assert_int_equal(report.n_unnamed, 0);
    convert(folder, back, MK_BF16);
    got[0] = ids_by(folder, text);
    got[1] = ids_by(back, text);
    assert_true(want.n > 10);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(got[i].n, want.n);
        assert_memory_equal(got[i].data, want.data, want.n * sizeof *want.data);
        ids_release(&got[i]);
    }
    ids_release(&want);
}

/* A GGUF whose splitting rule nobody knows. */
static void a_tokenizer_that_cannot_be_written_is_left_out_and_named(void **state)
{
    struct path strange = in_dir("strange.gguf"), folder = in_dir("bare");
    struct convert_report report;
    struct map_file m;
    struct mk_error err;
    char *bytes, *pre;

    (void)state;
    assert_int_equal(map_file_open(&m, "tests/golden/gguf/llama3.gguf", &err), 0);
    bytes = malloc(m.bytes);
    assert_non_null(bytes);
    memcpy(bytes, m.data, m.bytes);
    pre = memmem(bytes, m.bytes, "llama-bpe", 9);
    assert_non_null(pre);
    memcpy(pre, "lorem-bpe", 9);
    assert_int_equal(write_file(strange.text, bytes, m.bytes, &err), 0);
    free(bytes);
    map_file_close(&m);
    report = convert(strange, folder, MK_BF16);
    assert_non_null(strstr(report.left_tokenizer.text, "lorem-bpe"));
    assert_false(model_folder_has(folder.text, "tokenizer.json"));
    assert_true(model_folder_has(folder.text, "config.json"));
}

static void a_folder_keeps_its_other_files(void **state)
{
    (void)state;
    convert(golden("v3"), in_dir("files"), MK_BF16);
    assert_true(model_folder_has(in_dir("files").text, "generation_config.json"));
    assert_false(model_folder_has(in_dir("files").text, "tokenizer.json"));
}

/* ---- Refusals ------------------------------------------------------------------------------- */

static int refusal(struct path from, struct path to, enum dtype type)
{
    struct convert_options o = {.to = type, .n_threads = 1};
    struct convert_report report;
    struct mk_error err;
    int rc = convert_model(from.text, to.text, &o, &report, &err);

    assert_true(!rc || strlen(err.text) > 20);
    return rc;
}

static void nothing_is_overwritten_unasked(void **state)
{
    struct path folder = in_dir("once"), file = in_dir("once.gguf");

    (void)state;
    assert_int_equal(refusal(golden("qwen3"), folder, MK_F32), 0);
    assert_int_equal(refusal(golden("qwen3"), folder, MK_F32), MK_EINVAL);
    assert_int_equal(refusal(golden("qwen3"), file, MK_F32), 0);
    assert_int_equal(refusal(golden("qwen3"), file, MK_F32), MK_EINVAL);
    assert_int_equal(refusal(file, file, MK_F32), MK_EINVAL);
}

static void types_that_a_format_cannot_hold_are_refused(void **state)
{
    (void)state;
    assert_int_equal(refusal(golden("qwen3"), in_dir("no"), MK_Q8_0), MK_EINVAL);
    assert_int_equal(refusal(golden("qwen3"), in_dir("no.gguf"), MK_F8_E4M3), MK_EINVAL);
    assert_int_equal(refusal(golden("qwen3"), in_dir("no.gguf"), MK_Q5_0), MK_EINVAL);
}

static int cancel(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    assert_true(done <= total);
    return done > total / 2;
}

static void a_conversion_that_ends_early_leaves_nothing(void **state)
{
    struct convert_options o = {.to = MK_F32, .n_threads = 1, .progress = cancel};
    struct convert_report report;
    struct mk_error err;

    (void)state;
    assert_int_equal(convert_model(golden("v3").text, in_dir("cut").text, &o, &report, &err),
                     MK_ECANCELLED);
    assert_int_equal(convert_model(golden("v3").text, in_dir("cut.gguf").text, &o, &report, &err),
                     MK_ECANCELLED);
    assert_int_equal(access(in_dir("cut").text, F_OK), -1);
    assert_int_equal(access(in_dir("cut.gguf").text, F_OK), -1);
}

static void a_missing_tensor_is_named_before_anything_is_written(void **state)
{
    static const char config[] =
        "{\"model_type\":\"llama\",\"num_hidden_layers\":2,\"hidden_size\":256,\"vocab_size\":64,"
        "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"intermediate_size\":96,"
        "\"max_position_embeddings\":128}";
    struct convert_options o = {.to = MK_F16};
    struct convert_report report;
    struct mk_error err;
    char path[256];

    (void)state;
    write_small(in_dir("short").text);
    snprintf(path, sizeof path, "%s/config.json", in_dir("short").text);
    assert_int_equal(write_file(path, config, sizeof config - 1, &err), 0);
    assert_int_equal(
        convert_model(in_dir("short").text, in_dir("short.gguf").text, &o, &report, &err),
        MK_EFORMAT);
    assert_non_null(strstr(err.text, "model.layers.1.input_layernorm.weight"));
    assert_int_equal(access(in_dir("short.gguf").text, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_in_f32_computes_the_same_bits),
        cmocka_unit_test(every_model_as_gguf_in_f32_computes_the_same),
        cmocka_unit_test(gguf_and_back_is_the_same_file),
        cmocka_unit_test(all_three_layouts_of_deepseek2_become_one),
        cmocka_unit_test(multi_token_prediction_goes_along_in_a_folder),
        cmocka_unit_test(fp8_to_fp8_copies_weights_and_scales),
        cmocka_unit_test(narrower_types_stay_close),
        cmocka_unit_test(fp8_values_are_as_close_as_e4m3_can_be),
        cmocka_unit_test(four_bits_take_six_for_the_head_and_eight_for_ragged_rows),
        cmocka_unit_test(the_same_blocks_are_copied),
        cmocka_unit_test(a_gguf_keeps_its_tokenizer_word_for_word),
        cmocka_unit_test(a_gguf_made_a_folder_has_its_tokenizer),
        cmocka_unit_test(a_tokenizer_that_cannot_be_written_is_left_out_and_named),
        cmocka_unit_test(a_folder_keeps_its_other_files),
        cmocka_unit_test(nothing_is_overwritten_unasked),
        cmocka_unit_test(types_that_a_format_cannot_hold_are_refused),
        cmocka_unit_test(a_conversion_that_ends_early_leaves_nothing),
        cmocka_unit_test(a_missing_tensor_is_named_before_anything_is_written),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
