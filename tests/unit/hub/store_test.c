/* store_test.c: names, folders and messages of the local store; the network side is in
 * tests/e2e/test_pull.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hub/files.h"
#include "hub/hub.h"
#include "hub/store.h"

#define GGUF "tests/golden/gguf/llama3.gguf"

static int make_store(void **state)
{
    char *store = strdup("/tmp/minke-store-XXXXXX");

    *state = store;
    return store && mkdtemp(store) ? 0 : -1;
}

static int remove_store(void **state)
{
    struct mk_error err;
    int rc = files_remove_tree(*state, &err);

    free(*state);
    return rc;
}

static void pull_as(const char *store, const char *name, const char *spec)
{
    struct hub_options o = {.store = store, .name = name};
    char path[HUB_PATH_MAX];
    struct mk_error err;

    if (hub_pull(&o, spec, path, &err))
        fail_msg("%s", err.text);
}

static void names_of_the_store_lead_nowhere_else(void **state)
{
    (void)state;
    assert_true(store_name_ok("smollm2"));
    assert_true(store_name_ok("a.b_c-1"));
    assert_false(store_name_ok(""));
    assert_false(store_name_ok(".."));
    assert_false(store_name_ok(".partial"));
    assert_false(store_name_ok("a/b"));
    assert_false(store_name_ok("A"));
    assert_false(store_name_ok("a~lock"));
}

static void any_text_becomes_a_name_or_an_error(void **state)
{
    char name[HUB_NAME_MAX + 1], longest[1000];
    struct mk_error err;

    (void)state;
    assert_int_equal(store_make_name("DeepSeek V3 (0324)", name, &err), 0);
    assert_string_equal(name, "deepseek-v3-0324-");
    assert_int_equal(store_make_name("../..", name, &err), MK_EINVAL);
    assert_int_equal(store_make_name("", name, &err), MK_EINVAL);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(store_make_name(longest, name, &err), 0);
    assert_int_equal(strlen(name), HUB_NAME_MAX);
}

static void plain_names_cannot_leave_a_folder(void **state)
{
    static const char *const bad[] = {"",     ".",  "..",  ".x",   "a/b",
                                      "a\\b", "-x", "a b", "a\nb", "c:x"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(files_plain_name(bad[i]));
    assert_true(files_plain_name("model-00001-of-00002.safetensors"));
}

static void parts_of_a_split_gguf_are_told_apart(void **state)
{
    int part, n;
    size_t stem;

    (void)state;
    assert_true(files_split("m-00002-of-00003.gguf", &part, &n, &stem));
    assert_int_equal(part, 2);
    assert_int_equal(n, 3);
    assert_int_equal(stem, 1);
    assert_false(files_split("m-00004-of-00003.gguf", &part, &n, &stem));
    assert_false(files_split("m-00000-of-00003.gguf", &part, &n, &stem));
    assert_false(files_split("m-0001-of-00003.gguf", &part, &n, &stem));
    assert_false(files_split("-00001-of-00003.gguf", &part, &n, &stem));
}

static void the_store_lies_in_the_data_directory_or_at_home(void **state)
{
    char path[HUB_PATH_MAX];
    struct mk_error err;

    (void)state;
    assert_int_equal(hub_store_path(path, "/data", "/home/me", &err), 0);
    assert_string_equal(path, "/data/minke/models");
    assert_int_equal(hub_store_path(path, "relative", "/home/me", &err), 0);
    assert_string_equal(path, "/home/me/.local/share/minke/models");
    assert_int_equal(hub_store_path(path, NULL, NULL, &err), MK_EINVAL);
}

static void the_digest_is_sha256(void **state)
{
    struct hub_options o = {0};
    struct mk_error err;
    char path[HUB_PATH_MAX], hex[65];
    FILE *file;

    snprintf(path, sizeof path, "%s/abc", (char *)*state);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("abc", file); /* FIPS 180-2, appendix B.1 */
    fclose(file);
    assert_int_equal(files_sha256(&o, path, hex, &err), 0);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void a_model_is_found_by_name_file_and_folder(void **state)
{
    char path[HUB_PATH_MAX], kept[HUB_PATH_MAX];
    struct mk_error err;

    pull_as(*state, "tiny", GGUF);
    snprintf(kept, sizeof kept, "%s/tiny/llama3.gguf", (char *)*state);
    assert_int_equal(hub_resolve_in(*state, "tiny", path, &err), 0);
    assert_string_equal(path, kept);
    assert_int_equal(hub_resolve_in(*state, "TINY", path, &err), 0);
    assert_string_equal(path, kept);
    assert_int_equal(hub_resolve_in(*state, GGUF, path, &err), 0);
    assert_string_equal(path, GGUF);
    assert_int_equal(hub_resolve_in(*state, "tests/golden/models/v3", path, &err), 0);
    assert_string_equal(path, "tests/golden/models/v3");
}

static void a_model_that_is_not_there_says_what_to_do(void **state)
{
    char path[HUB_PATH_MAX];
    struct mk_error err;

    assert_int_equal(hub_resolve_in(*state, "smollm2", path, &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "minke pull smollm2"));
    assert_int_equal(hub_resolve_in(*state, "smolm2", path, &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "did you mean smollm2? see minke list"));
    assert_int_equal(hub_resolve_in(*state, "no/such.gguf", path, &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "no/such.gguf"));
    assert_int_equal(hub_resolve_in(*state, "tests/unit", path, &err), MK_ENOTFOUND);
    assert_non_null(strstr(err.text, "holds no model"));
}

static void a_pull_that_another_one_is_doing_is_refused(void **state)
{
    struct hub_options o = {.store = *state, .name = "tiny"};
    char path[HUB_PATH_MAX];
    struct store_pull first;
    struct mk_error err;

    assert_int_equal(store_begin(&first, *state, "tiny", false, &err), 0);
    assert_int_equal(hub_pull(&o, GGUF, path, &err), MK_EIO);
    assert_non_null(strstr(err.text, "another minke"));
    store_end(&first);
    pull_as(*state, "tiny", GGUF);
}

static void the_list_is_sorted_and_shows_whole_models_only(void **state)
{
    struct hub_model *models;
    struct mk_error err;
    struct store_pull unfinished;
    size_t n;

    assert_int_equal(hub_list(*state, &models, &n, &err), 0);
    assert_int_equal(n, 0);
    pull_as(*state, "b", GGUF);
    pull_as(*state, "a", GGUF);
    assert_int_equal(store_begin(&unfinished, *state, "c", false, &err), 0);
    store_end(&unfinished);
    assert_int_equal(hub_list(*state, &models, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_string_equal(models[0].name, "a");
    assert_string_equal(models[1].name, "b");
    assert_string_equal(models[1].source, GGUF);
    assert_int_equal(models[1].bytes, files_bytes(GGUF));
    free(models);
    assert_int_equal(hub_remove(*state, "a", &err), 0);
    assert_int_equal(hub_remove(*state, "a", &err), MK_ENOTFOUND);
}

static int stop(void *user, const struct hub_progress *p)
{
    (void)user;
    (void)p;
    return 1;
}

static void a_cancelled_pull_leaves_no_model(void **state)
{
    struct hub_options o = {.store = *state, .name = "tiny", .progress = stop};
    char path[HUB_PATH_MAX];
    struct mk_error err;

    assert_int_equal(hub_pull(&o, GGUF, path, &err), MK_ECANCELLED);
    assert_int_equal(hub_resolve_in(*state, "tiny", path, &err), MK_ENOTFOUND);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, make_store, remove_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_the_store_lead_nowhere_else),
        cmocka_unit_test(any_text_becomes_a_name_or_an_error),
        cmocka_unit_test(plain_names_cannot_leave_a_folder),
        cmocka_unit_test(parts_of_a_split_gguf_are_told_apart),
        cmocka_unit_test(the_store_lies_in_the_data_directory_or_at_home),
        WITH_STORE(the_digest_is_sha256),
        WITH_STORE(a_model_is_found_by_name_file_and_folder),
        WITH_STORE(a_model_that_is_not_there_says_what_to_do),
        WITH_STORE(a_pull_that_another_one_is_doing_is_refused),
        WITH_STORE(the_list_is_sorted_and_shows_whole_models_only),
        WITH_STORE(a_cancelled_pull_leaves_no_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
