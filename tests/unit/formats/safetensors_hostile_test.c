/* safetensors_hostile_test.c: damaged and hostile safetensors files and indexes end in an error
 * that names file and field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "support/memory_file.h"

/* ---- One file ---- */

/* Opens a file of this header, with `claimed` as its length, and data_bytes of data. */
static int open_bytes(const char *header, uint64_t claimed, size_t data_bytes, struct tensors *t,
                      struct mk_error *err, struct memory_file *f)
{
    size_t n = strlen(header);
    unsigned char *bytes = calloc(1, 8 + n + data_bytes);
    int rc;

    assert_non_null(bytes);
    memcpy(bytes, &claimed, 8);
    memcpy(bytes + 8, header, n);
    assert_int_equal(memory_file_open(f, bytes, 8 + n + data_bytes), 0);
    free(bytes);
    *err = (struct mk_error){0};
    rc = safetensors_open(t, f->path, err);
    memory_file_close(f);
    return rc;
}

static void refuse_length(const char *header, uint64_t claimed, size_t data_bytes, int code,
                          const char *field)
{
    struct tensors t;
    struct mk_error err;
    struct memory_file f;
    int rc = open_bytes(header, claimed, data_bytes, &t, &err, &f);

    if (rc != code || !strstr(err.text, field) || strncmp(err.text, f.path, strlen(f.path)) != 0)
        fail_msg("%s: expected %d with '%s', got %d: %s", header, code, field, rc, err.text);
    assert_null(t.items);
    assert_null(t.files);
}

static void refuse(const char *header, size_t data_bytes, const char *field)
{
    refuse_length(header, strlen(header), data_bytes, MK_EFORMAT, field);
}

static void accept(const char *header, size_t data_bytes, int n_tensors)
{
    struct tensors t;
    struct mk_error err;
    struct memory_file f;

    if (open_bytes(header, strlen(header), data_bytes, &t, &err, &f))
        fail_msg("%s: %s", header, err.text);
    assert_int_equal(t.n_items, n_tensors);
    tensors_release(&t);
}

#define X8 "\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
#define Y8 "\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}"

static void sound_headers_are_read(void **state)
{
    (void)state;
    accept("{" X8 "," Y8 "}", 16, 2);
    accept("{" Y8 "," X8 "}", 16, 2); /* any order */
    accept("{ \"__metadata__\" : { \"a\" : \"b\" } , " X8 " } \n  ", 8, 1);
    accept("{\"s\":{\"shape\":[],\"data_offsets\":[0,4],\"dtype\":\"F32\"}}", 4, 1);
    accept("{\"e\":{\"dtype\":\"F32\",\"shape\":[4,0],\"data_offsets\":[0,0]}," X8 "}", 8, 2);
    accept("{\"a\\u00e9\\ud83d\\ude00\\n\":{\"dtype\":\"U8\",\"shape\":[1],"
           "\"data_offsets\":[0,1]}}", 1, 1);
    accept("{}", 0, 0);
}

static void a_header_longer_than_the_file_or_the_limit_is_refused(void **state)
{
    const char *header = "{" X8 "}";

    (void)state;
    refuse_length(header, strlen(header) + 9, 8, MK_EFORMAT, "header length: ");
    refuse_length(header, 100000001, 8, MK_EFORMAT, "header length: 100000001 is more than");
    refuse_length(header, UINT64_MAX, 8, MK_EFORMAT, "header length: ");
    refuse_length(header, UINT64_MAX - 7, 8, MK_EFORMAT, "header length: ");
    refuse_length(header, 0, 8, MK_EFORMAT, "header: does not begin with '{'");
    refuse_length("", 2, 0, MK_EFORMAT, "header length: 2 passes the end");
}

static void json_that_is_not_strict_is_refused_with_its_byte(void **state)
{
    (void)state;
    refuse("{" X8, 8, "header: byte ");
    refuse("{" X8 ",}", 8, "header: byte ");
    refuse("{" X8 "}x", 8, "something follows the end");
    refuse("{" X8 "} \1", 8, "something follows the end");
    refuse("{" X8 "" Y8 "}", 16, "expected ','");
    refuse("{\"x\" {}}", 0, "expected ':'");
    refuse("{'x':{}}", 0, "expected a string");
    refuse("{\"x", 0, "a string does not end");
    refuse("{\"x\\u0000y\":{}}", 0, "not a character");
    refuse("{\"x\\ud800\":{}}", 0, "not a character");
    refuse("{\"x\\udc00\":{}}", 0, "not a character");
    refuse("{\"x\\q\":{}}", 0, "not a character");
    refuse("{\"x\xc0\x80\":{}}", 0, "not a character");
    refuse("{\"x\n\":{}}", 0, "not a character");
    refuse("{\"__metadata__\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0, "nested too deeply");
    refuse("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "given twice");
    refuse("{\"__metadata__\":-}", 0, "expected a value");
    refuse("{\"__metadata__\":01}", 0, "expected ','");
}

static void fields_that_are_missing_doubled_or_unknown_are_named(void **state)
{
    (void)state;
    refuse("{\"x\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor 'x': field 'dtype'");
    refuse("{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "tensor 'x': field 'shape'");
    refuse("{\"x\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "tensor 'x': field 'data_offsets'");
    refuse("{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 8, "field 'dtype': given twice");
    refuse("{\"x\":{\"shape\":[1],\"shape\":[1]}}", 8, "field 'shape': given twice");
    refuse("{\"x\":{\"data_offsets\":[0,8],\"data_offsets\":[0,8]}}", 8,
           "field 'data_offsets': given twice");
    refuse("{\"x\":{\"strides\":[1]}}", 8, "tensor 'x': 'strides' is not a field");
    refuse("{\"x\":7}", 8, "tensor 'x': byte ");
    refuse_length("{\"x\":{\"dtype\":\"C64\"}}", 21, 8, MK_EUNSUPPORTED,
                  "tensor 'x': field 'dtype': 'C64'");
    refuse_length("{\"x\":{\"shape\":[1,1,1,1,1]}}", 27, 8, MK_EUNSUPPORTED,
                  "tensor 'x': field 'shape': more than 4 dimensions");
}

#define SHAPED(shape) "{\"x\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[0,8]}}"

static void shapes_that_lie_are_refused(void **state)
{
    (void)state;
    refuse(SHAPED("[3]"), 8, "field 'data_offsets': 8 bytes, but shape and dtype need 12");
    refuse(SHAPED("[1]"), 8, "field 'data_offsets': 8 bytes, but shape and dtype need 4");
    refuse(SHAPED("[4294967296,4294967296]"), 8, "field 'shape': too large");
    refuse(SHAPED("[4611686018427387906]"), 8, "field 'data_offsets': 8 bytes"); /* x 4 = 8 wraps */
    refuse(SHAPED("[9223372036854775808]"), 8, "field 'shape': too large");
    refuse(SHAPED("[99999999999999999999]"), 8, "field 'shape': byte ");
    refuse(SHAPED("[-2]"), 8, "field 'shape': byte ");
    refuse(SHAPED("[2.0]"), 8, "field 'shape': byte ");
    refuse(SHAPED("[2e0]"), 8, "field 'shape': byte ");
    refuse(SHAPED("[02]"), 8, "field 'shape': byte ");
    refuse(SHAPED("2"), 8, "field 'shape': byte ");
}

#define PLACED(offsets) "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets "}}"

static void offsets_that_lie_are_refused(void **state)
{
    (void)state;
    refuse(PLACED("[8,0]"), 8, "field 'data_offsets': 8 to 0");
    refuse(PLACED("[4,12]"), 8, "field 'data_offsets': 4 to 12 does not lie in the 8 bytes");
    refuse(PLACED("[18446744073709551608,0]"), 8, "field 'data_offsets'");
    refuse(PLACED("[0]"), 8, "field 'data_offsets': not two numbers");
    refuse(PLACED("[0,8,8]"), 8, "field 'data_offsets': not two numbers");
    refuse(PLACED("[4,12]"), 12, "tensor 'x': field 'data_offsets': a gap");
    refuse(PLACED("[0,8]"), 9, "1 bytes follow the last tensor");
    refuse("{" X8 ",\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12,
           "tensors 'x' and 'y' overlap");
    refuse("{" X8 ",\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]}}", 20,
           "tensor 'y': field 'data_offsets': a gap");
    refuse("{" X8 ",\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}", 16,
           "two tensors are named 'x'");
}

/* ---- Many entries ---- */

/* A file of n empty tensors: the smallest entries there can be. */
static void many_entries(struct memory_file *f, int n, size_t *bytes)
{
    char *text = malloc((size_t)n * 64 + 16);
    size_t at = 8;
    uint64_t length;

    assert_non_null(text);
    text[at++] = '{';
    for (int i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, 64,
                               "%s\"%x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                               i ? "," : "", i);
    text[at++] = '}';
    length = at - 8;
    memcpy(text, &length, 8);
    assert_int_equal(memory_file_open(f, text, at), 0);
    free(text);
    *bytes = at;
}

static void more_tensors_than_any_model_has_are_refused(void **state)
{
    struct memory_file f;
    struct tensors t;
    struct mk_error err;
    size_t bytes;

    (void)state;
    many_entries(&f, MK_MAX_TENSORS + 1, &bytes);
    assert_int_equal(safetensors_open(&t, f.path, &err), MK_ELIMIT);
    assert_non_null(strstr(err.text, "more than 500000 tensors"));
    memory_file_close(&f);
}

/* The promise: no more memory than the file's size and 64 MB. The limit is on private memory, so
 * the mapping of the file itself is free. */
static void memory_stays_near_the_size_of_the_file(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    (void)state;
    skip(); /* its shadow memory counts */
#else
    struct memory_file f;
    size_t bytes;
    pid_t child;
    int status;

    (void)state;
    many_entries(&f, MK_MAX_TENSORS, &bytes);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        rlim_t limit = bytes + 64000000 + 4000000; /* what the program itself has */
        struct tensors t;
        struct mk_error err;

        if (setrlimit(RLIMIT_DATA, &(struct rlimit){limit, limit}))
            _exit(2);
        _exit(safetensors_open(&t, f.path, &err) || t.n_items != MK_MAX_TENSORS);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    memory_file_close(&f);
#endif
}

/* ---- Indexes ---- */

static const char *const shard_x = "{" X8 "}";

static int make_folder(void **state)
{
    char *dir = strdup("/tmp/minke-index-XXXXXX"), path[256];
    uint64_t length = strlen(shard_x);
    FILE *f;

    *state = dir;
    if (!dir || !mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/a.safetensors", dir);
    f = fopen(path, "wb");
    if (!f)
        return -1;
    fwrite(&length, 1, 8, f);
    fwrite(shard_x, 1, length, f);
    fwrite("12345678", 1, 8, f);
    return fclose(f);
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"a.safetensors", "model.safetensors.index.json", "sub", ""};

    for (int i = 0; i < 4; i++) {
        char path[256];

        snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]);
        remove(path);
    }
    free(*state);
    return 0;
}

static int open_index(const char *dir, const char *text, struct tensors *t, struct mk_error *err)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(text, 1, strlen(text), f);
    assert_int_equal(fclose(f), 0);
    return safetensors_open(t, dir, err);
}

static void refuse_index(const char *dir, const char *text, int code, const char *field)
{
    struct tensors t;
    struct mk_error err = {0};
    int rc = open_index(dir, text, &t, &err);

    if (rc != code || !strstr(err.text, field) || strncmp(err.text, dir, strlen(dir)) != 0)
        fail_msg("%s: expected %d with '%s', got %d: %s", text, code, field, rc, err.text);
}

static void an_index_is_followed(void **state)
{
    struct tensors t;
    struct mk_error err;

    assert_int_equal(open_index(*state, "{\"metadata\":{\"total_size\":8.0},\"weight_map\":{\"x\":"
                                "\"a.safetensors\"}}", &t, &err), 0);
    assert_memory_equal(tensors_find(&t, "x")->data, "12345678", 8);
    tensors_release(&t);
}

/* A file that may not be seen would be opened by such a name: the class of CVE-2024-37032. */
static void an_index_that_names_files_elsewhere_is_refused(void **state)
{
    static const char *const names[] = {
        "../../etc/passwd", "/etc/passwd", "sub/a.safetensors", "..", ".", "", "./a.safetensors",
        "..\\\\a.safetensors",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[128];

        snprintf(text, sizeof text, "{\"weight_map\":{\"x\":\"%s\"}}", names[i]);
        refuse_index(*state, text, MK_EFORMAT, "index.json: field 'weight_map'");
    }
    refuse_index(*state, "{\"weight_map\":{\"x\":\"a.safetensors\\u0000/../b\"}}", MK_EFORMAT,
                 "index.json: byte ");
}

static void an_index_that_lies_is_refused(void **state)
{
    refuse_index(*state, "{\"weight_map\":{\"x\":\"b.safetensors\"}}", MK_ENOTFOUND,
                 "b.safetensors");
    refuse_index(*state, "{\"weight_map\":{\"z\":\"a.safetensors\"}}", MK_EFORMAT,
                 "field 'weight_map': tensor 'z' is not in a.safetensors");
    refuse_index(*state, "{\"weight_map\":{}}", MK_EFORMAT, "field 'weight_map': empty");
    refuse_index(*state, "{}", MK_EFORMAT, "field 'weight_map': missing");
    refuse_index(*state, "", MK_EFORMAT, "index.json: byte 0");
    refuse_index(*state, "{\"weight_map\":{\"x\":1}}", MK_EFORMAT, "index.json: byte ");
}

static void a_folder_without_weights_is_not_found(void **state)
{
    struct tensors t;
    struct mk_error err;

    assert_int_equal(safetensors_open(&t, *state, &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "holds neither model.safetensors nor"));
}

static void a_shard_that_is_a_folder_is_refused(void **state)
{
    char path[256];

    snprintf(path, sizeof path, "%s/sub", (char *)*state);
    assert_int_equal(mkdir(path, 0700), 0);
    refuse_index(*state, "{\"weight_map\":{\"x\":\"sub\"}}", MK_EIO, "is a folder");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_headers_are_read),
        cmocka_unit_test(a_header_longer_than_the_file_or_the_limit_is_refused),
        cmocka_unit_test(json_that_is_not_strict_is_refused_with_its_byte),
        cmocka_unit_test(fields_that_are_missing_doubled_or_unknown_are_named),
        cmocka_unit_test(shapes_that_lie_are_refused),
        cmocka_unit_test(offsets_that_lie_are_refused),
        cmocka_unit_test(more_tensors_than_any_model_has_are_refused),
        cmocka_unit_test(memory_stays_near_the_size_of_the_file),
        IN_FOLDER(an_index_is_followed),
        IN_FOLDER(an_index_that_names_files_elsewhere_is_refused),
        IN_FOLDER(an_index_that_lies_is_refused),
        IN_FOLDER(a_folder_without_weights_is_not_found),
        IN_FOLDER(a_shard_that_is_a_folder_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
