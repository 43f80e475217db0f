/* golden_files_test.c: files that other programs wrote are read as those programs read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/gguf.h"
#include "formats/safetensors.h"

#define MODELS "tests/golden/models/"
#define GGUF "tests/golden/gguf/"

static struct tensors open_model(const char *path)
{
    struct tensors t;
    struct mk_error err;

    if (safetensors_open(&t, path, &err))
        fail_msg("%s", err.text);
    return t;
}

static struct gguf open_gguf(const char *path)
{
    struct gguf g;
    struct mk_error err;

    if (gguf_open(&g, path, &err))
        fail_msg("%s", err.text);
    return g;
}

static const struct file_tensor *find(const struct tensors *t, const char *name)
{
    const struct file_tensor *e = tensors_find(t, name);

    if (!e)
        fail_msg("there is no %s", name);
    return e;
}

/* Numbers of tensors: `safe_open(...).keys()` of the safetensors library, all shards together. */
static void every_golden_checkpoint_opens_with_all_its_tensors(void **state)
{
    static const struct { const char *name; int n_tensors, n_files; } models[] = {
        {"v3", 171, 3},       {"v3-bf16", 171, 1}, {"v3-fp8", 69, 1},
        {"qwen2-untied", 27, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char path[128];
        struct tensors t;

        snprintf(path, sizeof path, MODELS "%s", models[i].name);
        t = open_model(path);
        assert_int_equal(t.n_items, models[i].n_tensors);
        assert_int_equal(t.n_files, models[i].n_files);
        tensors_release(&t);
    }
}

/* First values: as torch prints them after safetensors' own reader. */
static void a_tensor_has_the_type_shape_and_bytes_that_torch_sees(void **state)
{
    struct tensors v3 = open_model(MODELS "v3"), fp8 = open_model(MODELS "v3-fp8");
    const struct file_tensor *head = find(&v3, "lm_head.weight");
    const struct file_tensor *eh = find(&v3, "model.layers.3.eh_proj.weight");
    const struct file_tensor *bf16 = find(&fp8, "lm_head.weight");
    const struct file_tensor *weight = find(&fp8, "model.layers.0.mlp.down_proj.weight");
    const struct file_tensor *scale = find(&fp8, "model.layers.0.mlp.down_proj.weight_scale_inv");
    float first;

    (void)state;
    assert_int_equal(head->dtype, MK_F32);
    assert_int_equal(head->n_dims, 2);
    assert_int_equal(head->shape[0], 517);
    assert_int_equal(head->shape[1], 80);
    assert_int_equal(head->bytes, 517 * 80 * 4);
    memcpy(&first, head->data, sizeof first);
    assert_true(first == 0.08361916989088058f);
    memcpy(&first, eh->data, sizeof first);
    assert_true(first == -0.012262535281479359f);
    assert_int_equal(bf16->dtype, MK_BF16);
    assert_true(bf16_to_f32((uint16_t)(bf16->data[0] | bf16->data[1] << 8)) == -0.017333984375f);
    assert_int_equal(weight->dtype, MK_F8_E4M3);
    assert_int_equal(weight->bytes, weight->shape[0] * weight->shape[1]);
    assert_int_equal(scale->dtype, MK_F32);
    assert_int_equal(scale->shape[0], 2);
    assert_int_equal(scale->shape[1], 3);
    memcpy(&first, scale->data, sizeof first);
    assert_true(first == 0.000613753276411444f);
    tensors_release(&v3);
    tensors_release(&fp8);
}

static void a_single_file_may_be_opened_by_its_own_name(void **state)
{
    struct tensors t = open_model(MODELS "v3/model-00002-of-00003.safetensors");

    (void)state;
    assert_int_equal(t.n_items, 77);
    assert_null(tensors_find(&t, "lm_head.weight"));
    tensors_release(&t);
}

static void assert_same_bytes(const struct file_tensor *a, const struct file_tensor *b)
{
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->n_dims, b->n_dims);
    assert_memory_equal(a->shape, b->shape, sizeof a->shape);
    assert_int_equal(a->bytes, b->bytes);
    assert_memory_equal(a->data, b->data, a->bytes);
}

static void gguf_tensors_equal_those_of_the_checkpoint_they_were_made_from(void **state)
{
    struct gguf g = open_gguf(GGUF "qwen2.gguf");
    struct tensors t = open_model(MODELS "qwen2-untied");

    (void)state;
    assert_int_equal(g.tensors.n_items, t.n_items);
    assert_same_bytes(find(&g.tensors, "token_embd.weight"), find(&t, "model.embed_tokens.weight"));
    assert_same_bytes(find(&g.tensors, "blk.1.attn_k.bias"),
                      find(&t, "model.layers.1.self_attn.k_proj.bias"));
    assert_same_bytes(find(&g.tensors, "blk.1.ffn_down.weight"),
                      find(&t, "model.layers.1.mlp.down_proj.weight"));
    gguf_release(&g);
    tensors_release(&t);
}

static void a_split_gguf_holds_what_the_single_file_holds(void **state)
{
    struct gguf one = open_gguf(GGUF "qwen2.gguf");
    struct gguf two = open_gguf(GGUF "qwen2-split-00001-of-00002.gguf");
    struct gguf_string name;

    (void)state;
    assert_int_equal(two.tensors.n_files, 2);
    assert_int_equal(two.tensors.n_items, one.tensors.n_items);
    for (int64_t i = 0; i < one.tensors.n_items; i++) {
        assert_string_equal(one.tensors.items[i].name, two.tensors.items[i].name);
        assert_same_bytes(&one.tensors.items[i], &two.tensors.items[i]);
    }
    assert_true(gguf_text(&two, "general.architecture", &name));
    gguf_release(&one);
    gguf_release(&two);
}

/* Expected values: GGUFReader of gguf-py. */
static void gguf_metadata_are_read_by_name_and_type(void **state)
{
    struct gguf g = open_gguf(GGUF "v3-mla.gguf");
    const struct gguf_value *tokens = gguf_find(&g, "tokenizer.ggml.tokens");
    const struct gguf_value *kinds = gguf_find(&g, "tokenizer.ggml.token_type");
    const unsigned char *cursor = tokens->data;
    struct gguf_string s;
    int64_t n = -1, n_strings = 0;
    double x = -1;
    bool yes = false;

    (void)state;
    assert_int_equal(g.version, 3);
    assert_int_equal(g.n_values, 43);
    assert_true(gguf_int(&g, "deepseek2.block_count", &n));
    assert_int_equal(n, 3);
    assert_true(gguf_float(&g, "deepseek2.expert_weights_scale", &x));
    assert_true(x == 2.5);
    assert_true(gguf_float(&g, "deepseek2.block_count", &x) && x == 3.0);
    assert_true(gguf_bool(&g, "deepseek2.expert_weights_norm", &yes) && yes);
    assert_true(gguf_text(&g, "deepseek2.rope.scaling.type", &s));
    assert_int_equal(s.n, 4);
    assert_memory_equal(s.data, "yarn", 4);
    assert_int_equal(tokens->n, 517);
    while (gguf_next_string(tokens, &cursor, &s))
        if (n_strings++ == 0)
            assert_memory_equal(s.data, "<bos>", 5);
    assert_int_equal(n_strings, 517);
    assert_true(gguf_int_at(kinds, 1, &n) && n == 3);
    assert_false(gguf_int_at(kinds, 517, &n));
    gguf_release(&g);
}

/* A caller that asks for the wrong type is told so and gets nothing (api.md 6, row 6). */
static void accessors_refuse_other_types(void **state)
{
    struct gguf g = open_gguf(GGUF "v3-mla.gguf");
    const struct gguf_value *tokens = gguf_find(&g, "tokenizer.ggml.tokens");
    const struct gguf_value *name = gguf_find(&g, "general.architecture");
    const unsigned char *cursor = gguf_find(&g, "tokenizer.ggml.token_type")->data;
    struct gguf_string s = {0};
    int64_t n = 77;
    double x = 77;
    bool b = true;

    (void)state;
    assert_false(gguf_int(&g, "deepseek2.expert_weights_scale", &n));
    assert_false(gguf_int(&g, "deepseek2.expert_weights_norm", &n));
    assert_false(gguf_int(&g, "tokenizer.ggml.token_type", &n));
    assert_false(gguf_int(&g, "general.architecture", &n));
    assert_false(gguf_float(&g, "general.architecture", &x));
    assert_false(gguf_float(&g, "deepseek2.expert_weights_norm", &x));
    assert_false(gguf_bool(&g, "deepseek2.block_count", &b));
    assert_false(gguf_text(&g, "deepseek2.block_count", &s));
    assert_false(gguf_text(&g, "tokenizer.ggml.tokens", &s));
    assert_false(gguf_int(&g, "deepseek2.block_coun", &n));
    assert_false(gguf_int_at(tokens, 0, &n));
    assert_false(gguf_float_at(name, 0, &x));
    assert_false(gguf_next_string(gguf_find(&g, "tokenizer.ggml.token_type"), &cursor, &s));
    assert_int_equal(n, 77);
    assert_true(x == 77 && b && !s.data);
    gguf_release(&g);
}

static void golden_weights_are_finite_and_a_planted_nan_is_named(void **state)
{
    struct tensors t = open_model(MODELS "v3-fp8");
    struct mk_error err;
    unsigned char bad[8] = {0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f}; /* 1.0, NaN */
    struct file_tensor e = *find(&t, "model.norm.weight");

    (void)state;
    for (int64_t i = 0; i < t.n_items; i++)
        assert_int_equal(tensors_check_finite(&t, &t.items[i], &err), 0);
    e.dtype = MK_F32;
    e.n_dims = 1;
    e.shape[0] = 2;
    e.data = bad;
    e.bytes = sizeof bad;
    assert_int_equal(tensors_check_finite(&t, &e, &err), MK_EFORMAT);
    assert_non_null(strstr(err.text, "model.safetensors: tensor 'model.norm.weight': value 1"));
    bad[6] = 0x80; /* infinity */
    assert_int_equal(tensors_check_finite(&t, &e, &err), MK_EFORMAT);
    assert_non_null(strstr(err.text, "infinite"));
    tensors_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden_checkpoint_opens_with_all_its_tensors),
        cmocka_unit_test(a_tensor_has_the_type_shape_and_bytes_that_torch_sees),
        cmocka_unit_test(a_single_file_may_be_opened_by_its_own_name),
        cmocka_unit_test(gguf_tensors_equal_those_of_the_checkpoint_they_were_made_from),
        cmocka_unit_test(a_split_gguf_holds_what_the_single_file_holds),
        cmocka_unit_test(gguf_metadata_are_read_by_name_and_type),
        cmocka_unit_test(accessors_refuse_other_types),
        cmocka_unit_test(golden_weights_are_finite_and_a_planted_nan_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
