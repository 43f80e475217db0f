/* history_test.c: what a run wrote comes back as curves, a page and events; damage is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/map_file.h"
#include "runs/events.h"
#include "runs/history.h"
#include "runs/page.h"
#include "runs/report.h"

#define STEP1                                                                                      \
    "{\"step\":1,\"tokens\":100,\"loss\":4.5,\"lr\":0.1,\"norm\":2,\"skipped\":false,"             \
    "\"experts\":[{\"layer\":3,\"entropy\":0.9,\"most\":1.5,\"load\":[10,30]}],"                   \
    "\"sources\":{\"<a>\":{\"tokens\":100,\"loss\":4.5},\"b\":{\"tokens\":0}}}\n"
#define STEP2                                                                                      \
    "{\"step\":2,\"tokens\":200,\"loss\":null,\"lr\":0.2,\"norm\":1,\"skipped\":true}\n"
#define STEP3                                                                                      \
    "{\"step\":3,\"tokens\":300,\"loss\":3.5,\"lr\":0.2,\"norm\":1,\"valid_loss\":3.75,"           \
    "\"experts\":[{\"layer\":3,\"entropy\":0.9,\"most\":1.25,\"dropped\":7,"                       \
    "\"sources\":{\"b\":[3,0],\"new\":[0,5]},\"information\":1}],"                                 \
    "\"valid_sources\":{\"b\":3.75},"                                                              \
    "\"sources\":{\"b\":{\"tokens\":100,\"loss\":3.5}}}\n"
#define TIMING                                                                                     \
    "{\"step\":1,\"ms\":500,\"tokens_per_s\":200}\n{\"step\":3,\"ms\":1000,"                       \
    "\"tokens_per_s\":100}\n"

struct run { char dir[64]; };

static const char *in(const struct run *r, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", r->dir, name);
    return path;
}

static void put(const struct run *r, const char *name, const char *text)
{
    struct mk_error err;
    char path[128];

    assert_int_equal(write_file(in(r, name, path), text, strlen(text), &err), 0);
}

static int setup(void **state)
{
    struct run *r = calloc(1, sizeof *r);

    snprintf(r->dir, sizeof r->dir, "/tmp/minke-history-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    put(r, "metrics.jsonl", STEP1 STEP2 STEP3 "{\"step\":4,\"tok");
    put(r, "timing.jsonl", TIMING);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"metrics.jsonl", "timing.jsonl", "report.html",
                                        EVENTS_NAME};
    struct run *r = *state;
    char path[128];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(in(r, files[i], path));
    rmdir(r->dir);
    free(r);
    return 0;
}

static struct history read_run(const struct run *r)
{
    struct history h;
    struct mk_error err;

    if (history_read(&h, r->dir, &err))
        fail_msg("%s", err.text);
    return h;
}

static void curves_are_what_was_written_and_half_a_last_line_is_nothing(void **state)
{
    struct history h = read_run(*state);
    const struct history_series *loss = &h.series[HISTORY_LOSS];

    assert_int_equal(h.step, 3);
    assert_int_equal(h.n_skipped, 1);
    assert_true(h.tokens == 300 && h.seconds == 1.5);
    assert_int_equal(loss->n, 2); /* null is a gap */
    assert_int_equal(loss->points[1].step, 3);
    assert_true(loss->points[1].x == 300 && loss->points[1].y == 3.5);
    assert_true(history_last(&h.series[HISTORY_VALID]) == 3.75);
    assert_true(isnan(history_last(&h.series[HISTORY_MTP])));
    assert_int_equal(h.series[HISTORY_SPEED].n, 2);
    assert_int_equal(h.sources.n, 3); /* one of the validation text alone */
    assert_string_equal(h.sources.items[0].name, "<a>");
    assert_int_equal(h.sources.items[1].n, 1);
    assert_int_equal(h.layers.n, 1);
    assert_string_equal(h.layers.items[0].name, "3");
    assert_int_equal(h.layers.items[0].n, 2);
    assert_int_equal(h.loads[0].step, 1);
    assert_int_equal(h.loads[0].tokens[1], 30);
    assert_int_equal(h.maps[0].n, 3);
    assert_int_equal(h.maps[0].sources[0].n, 0); /* of <a> nothing is known */
    assert_int_equal(h.maps[0].sources[1].tokens[0], 3);
    assert_int_equal(h.maps[0].sources[2].tokens[1], 5);
    assert_true(history_last(&h.information.items[0]) == 1);
    assert_true(history_last(&h.source_valid.items[0]) == 3.75);
    assert_true(history_last(&h.source_tokens.items[1]) == 100);
    assert_true(history_most(&h.dropped) == 7);
    history_release(&h);
}

static char *text_of(const struct run *r, const char *name, size_t *n)
{
    struct map_file m;
    struct mk_error err;
    char path[128], *text;

    if (map_file_open(&m, in(r, name, path), &err))
        fail_msg("%s", err.text);
    text = calloc(1, m.bytes + 1);
    assert_non_null(text);
    memcpy(text, m.data, m.bytes);
    *n = m.bytes;
    map_file_close(&m);
    return text;
}

/* Both kinds of learning from pairs say the same under their own name. */
static void pairs_have_curves_of_their_own(void **state)
{
    static const char *const names[] = {"dpo", "reward"};
    struct run *r = *state;
    struct mk_error err;
    struct history h;
    char text[600], *page;
    size_t n;

    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text,
                 "{\"step\":1,\"tokens\":100,\"loss\":0.7,\"%s\":{\"margin\":0,\"accuracy\":0.25,"
                 "\"chosen\":-3,\"rejected\":-4}}\n"
                 "{\"step\":3,\"tokens\":300,\"loss\":0.5,\"%s\":{\"margin\":1.5,\"accuracy\":1,"
                 "\"chosen\":-2,\"rejected\":-5},\"valid_%s\":{\"margin\":1.25,"
                 "\"accuracy\":0.75}}\n", names[i], names[i], names[i]);
        put(r, "metrics.jsonl", text);
        h = read_run(r);
        assert_true(history_of_pairs(&h) && !h.rl);
        assert_int_equal(h.series[HISTORY_MARGIN].n, 2);
        assert_true(history_last(&h.series[HISTORY_RIGHT]) == 1);
        assert_true(h.series[HISTORY_CHOSEN].points[0].y == -3);
        assert_true(history_last(&h.series[HISTORY_REJECTED]) == -5);
        assert_int_equal(h.series[HISTORY_VALID_MARGIN].n, 1);
        assert_true(history_last(&h.series[HISTORY_VALID_RIGHT]) == 0.75);
        history_release(&h);
        assert_int_equal(report_refresh(r->dir, &err), 0);
        page = text_of(r, "report.html", &n);
        assert_non_null(strstr(page, "<td>1.250</td><td>0.750</td>"));
        assert_non_null(strstr(page, "Loss of a pair"));
        assert_non_null(strstr(page, "Margin of chosen over rejected answers"));
        free(page);
    }
}

static void damaged_lines_are_refused_by_number(void **state)
{
    static const char *const bad[] = {
        STEP1 "nonsense\n", STEP1 STEP1, STEP1 "[]\n", STEP1 "{\"step\":2}\n",
        STEP1 "{\"step\":\"2\",\"tokens\":3}\n", STEP1 "\n", STEP1 "{\"step\":2,\"tokens\":3} x\n"};
    struct history h;
    struct mk_error err;
    char path[128];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(*state, "metrics.jsonl", bad[i]);
        assert_int_equal(history_read(&h, ((struct run *)*state)->dir, &err), MK_EFORMAT);
        assert_non_null(strstr(err.text, "metrics.jsonl: line 2"));
    }
    unlink(in(*state, "metrics.jsonl", path));
    assert_int_equal(history_read(&h, ((struct run *)*state)->dir, &err), MK_ENOTFOUND);
}

static void strange_values_do_no_harm(void **state)
{
    struct run *r = *state;
    struct mk_error err;

    put(r, "metrics.jsonl",
        "{\"step\":1,\"tokens\":1e308,\"loss\":-1e308,\"experts\":[1,{}],\"sources\":[]}\n"
        "{\"step\":2,\"tokens\":-1e308,\"loss\":1e308,\"experts\":{},\"sources\":{\"a\":1}}\n"
        "{\"step\":9223372036854775807,\"tokens\":5,\"loss\":\"x\",\"experts\":[{\"layer\":1,"
        "\"most\":1e300,\"load\":[-5,\"x\",9223372036854775807]}]}\n");
    put(r, "timing.jsonl", "{\"step\":1,\"tokens_per_s\":-1}\n{\"step\":7,\"tokens_per_s\":1}\n");
    if (report_refresh(r->dir, &err))
        fail_msg("%s", err.text);
    put(r, "metrics.jsonl", "");
    if (report_refresh(r->dir, &err))
        fail_msg("%s", err.text);
}

static void the_page_has_every_curve_and_no_markup_of_the_run(void **state)
{
    struct mk_error err;
    char *page;
    size_t n;

    if (report_refresh(((struct run *)*state)->dir, &err))
        fail_msg("%s", err.text);
    page = text_of(*state, "report.html", &n);
    assert_null(strstr(page, "<a>"));
    assert_non_null(strstr(page, "&#60;a&#62;"));
    assert_non_null(strstr(page, "<td>3.5000</td><td>3.7500</td>"));
    assert_non_null(strstr(page, "layer 3, expert 1: 1.50 x mean"));
    assert_non_null(strstr(page, "Gradient norm"));
    assert_null(strstr(page, "MTP</title>")); /* there was none */
    assert_null(strstr(page, "http:"));
    assert_null(strstr(page, "https:"));
    assert_null(strstr(page, "<script"));
    free(page);
}

static void numbers_are_short(void **state)
{
    static const struct { double n; const char *text; } cases[] = {
        {0, "0"}, {0.5, "0.5"}, {0.001, "0.001"}, {0.00046, "4.6e-4"}, {-2e-7, "-2e-7"},
        {0.00099999, "1e-3"}, {999.4, "999"}, {999.9, "1k"}, {12345, "12.3k"}, {1e6, "1M"},
        {-2.5e9, "-2.5G"}, {NAN, "-"}, {1e300, "1e+285P"}};
    char text[16];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        page_number(text, cases[i].n);
        assert_string_equal(text, cases[i].text);
    }
}

/* RFC 3720, B.4 */
static void crc32c_is_that_of_the_standard(void **state)
{
    unsigned char data[32] = {0};

    (void)state;
    assert_int_equal(events_crc32c(data, 32), 0x8a9136aau);
    memset(data, 0xff, 32);
    assert_int_equal(events_crc32c(data, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        data[i] = (unsigned char)i;
    assert_int_equal(events_crc32c(data, 32), 0x46dd794eu);
}

/* A run that goes on longer makes a file that begins with the shorter one's bytes: TensorBoard
 * reads on where it stood. */
static void events_only_grow(void **state)
{
    struct mk_error err;
    char *longer, *shorter;
    size_t n_longer, n_shorter;

    if (report_refresh(((struct run *)*state)->dir, &err))
        fail_msg("%s", err.text);
    longer = text_of(*state, EVENTS_NAME, &n_longer);
    put(*state, "metrics.jsonl", STEP1);
    if (report_refresh(((struct run *)*state)->dir, &err))
        fail_msg("%s", err.text);
    shorter = text_of(*state, EVENTS_NAME, &n_shorter);
    assert_true(n_shorter > 100 && n_shorter < n_longer);
    assert_memory_equal(longer, shorter, n_shorter);
    free(longer);
    free(shorter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            curves_are_what_was_written_and_half_a_last_line_is_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(pairs_have_curves_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_lines_are_refused_by_number, setup, teardown),
        cmocka_unit_test_setup_teardown(strange_values_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(the_page_has_every_curve_and_no_markup_of_the_run, setup,
                                        teardown),
        cmocka_unit_test(numbers_are_short),
        cmocka_unit_test(crc32c_is_that_of_the_standard),
        cmocka_unit_test_setup_teardown(events_only_grow, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
