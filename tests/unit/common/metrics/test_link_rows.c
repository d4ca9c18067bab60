/* Numbers of links by the application's address, as /metrics shows them. */
#include "common/metrics/link_rows.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rc_report *workers[2];
static struct rc_config *config;

static void count(struct rc_report *worker, uint32_t row, enum rc_link_number number, uint64_t n)
{
    const struct rc_config_backend *backend = &config->backends[1];
    worker->link_rows[row].of =
        rc_link_row_of(backend->name.text, row == RC_LINK_ROW_DIAL ? NULL : backend->urls[row].text);
    worker->link_rows[row].numbers[number] = n;
}

static void setup(void)
{
    config = calloc(1, sizeof(*config));
    for (int i = 0; i < 2; i++) {
        workers[i] = calloc(1, sizeof(*workers[i])); /* pages are touched with use only */
    }
    config->backend_count = 2;
    strcpy(config->backends[0].name.text, "other");
    strcpy(config->backends[1].name.text, "app");
    strcpy(config->socketio.link.text, "app");
    config->backends[1].url_count = 2;
    strcpy(config->backends[1].urls[0].text, "http://10.0.0.1:3000");
    strcpy(config->backends[1].urls[1].text, "unix:/a\"b");
}

static void teardown(void)
{
    free(config);
    free(workers[0]);
    free(workers[1]);
}

TestSuite(link_rows, .init = setup, .fini = teardown);

/* The caller's to free. */
static char *render(void)
{
    const struct rc_report *const reports[] = {workers[0], workers[1]};
    struct rc_exposition to = {0};
    rc_link_rows_render(&to, config, reports, 2);
    char *text = calloc(1, to.bytes + 1);
    to = (struct rc_exposition){.out = text, .capacity = to.bytes};
    rc_link_rows_render(&to, config, reports, 2);
    return text;
}

Test(link_rows, they_are_sums_by_address_and_of_the_lag_the_worst)
{
    count(workers[0], 0, RC_LINK_NUMBER_CONNECTIONS, 3);
    count(workers[1], 0, RC_LINK_NUMBER_CONNECTIONS, 4);
    count(workers[0], 1, RC_LINK_NUMBER_LAG_MS, 1500);
    count(workers[1], 1, RC_LINK_NUMBER_LAG_MS, 700);
    char *text = render();
    cr_expect_not_null(strstr(text, "# TYPE ringcast_link_url_connections gauge\n"));
    cr_expect_not_null(strstr(text, "# TYPE ringcast_link_url_frames_in_total counter\n"));
    cr_expect_not_null(strstr(text, "ringcast_link_url_connections{backend=\"app\",url=\"http://10.0.0.1:3000\"} 7\n"));
    cr_expect_not_null(strstr(text, "ringcast_link_url_connections{backend=\"app\",url=\"unix:/a\\\"b\"} 0\n"));
    cr_expect_not_null(
        strstr(text, "ringcast_link_url_receipt_lag_seconds{backend=\"app\",url=\"unix:/a\\\"b\"} 1.500\n"));
    cr_expect_null(strstr(text, "url=\"dial\""));
    free(text);
    count(workers[1], RC_LINK_ROW_DIAL, RC_LINK_NUMBER_LINKS, 1);
    text = render();
    cr_expect_not_null(strstr(text, "ringcast_link_url_ready{backend=\"app\",url=\"dial\"} 1\n"));
    free(text);
}

Test(link_rows, what_was_counted_of_another_address_is_not_this_ones)
{
    count(workers[0], 0, RC_LINK_NUMBER_OPENED, 3);
    count(workers[1], 0, RC_LINK_NUMBER_OPENED, 4);
    strcpy(config->backends[1].urls[0].text, "http://10.0.0.2:3000"); /* a reload; one of the workers has seen it */
    workers[1]->link_rows[0].of = rc_link_row_of("app", "http://10.0.0.2:3000");
    char *text = render();
    cr_expect_not_null(
        strstr(text, "ringcast_link_url_opened_total{backend=\"app\",url=\"http://10.0.0.2:3000\"} 4\n"));
    free(text);
}

Test(link_rows, without_a_linked_backend_there_is_nothing)
{
    config->socketio.link.text[0] = '\0';
    char *text = render();
    cr_expect_str_eq(text, "");
    free(text);
}

/* All have a name and a family of their own. */
Test(link_rows, numbers_have_names)
{
    char *text = render();
    uint32_t found = 0;
    for (const char *at = strstr(text, "# HELP "); at != NULL; at = strstr(at + 1, "# HELP ")) {
        found++;
    }
    cr_expect_eq(found, RC_LINK_NUMBERS);
    for (uint32_t i = 0; i < RC_LINK_NUMBERS; i++) {
        cr_expect_not_null(rc_link_number_names[i], "%u", i);
    }
    free(text);
}
