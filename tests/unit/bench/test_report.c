/* Reports of the load generator. */
#include "bench/report.h"

#include "common/text/json_scan.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rc_bench_result results[3];
static const struct rc_bench_options options = {.command = "fanout",
                                                .scenario = "fanout",
                                                .connections = 10,
                                                .channels = 1,
                                                .payload_bytes = 128,
                                                .window = 2,
                                                .duration_s = 1};

static void fill(void)
{
    for (unsigned i = 0; i < 3; i++) {
        snprintf(results[i].label, sizeof(results[i].label), "server \"%u\" <&>", i);
        snprintf(results[i].scenario, sizeof(results[i].scenario), "fanout");
        snprintf(results[i].error, sizeof(results[i].error), "bad \x01\xff bytes \\ here");
        results[i].seconds = 2;
        results[i].deliveries = 1000;
        results[i].receives = 500;
        results[i].segments = 1500;
        results[i].sends = 400;
        results[i].ksoftirqd_ns = 5e5;
        results[i].server_cpu_ns = 1e6 * (double[]){5, 3, 4}[i];
        results[i].server_processes = 1;
        results[i].lost = i;
        rc_bench_latency_add(&results[i].latency, 1000000);
    }
}

static char *text_of(FILE *out, char **text)
{
    fclose(out);
    return *text;
}

Test(bench_report, json_is_json)
{
    char *text = NULL;
    size_t bytes = 0, offset = 0;
    struct rc_json_value value;
    fill();
    FILE *const out = open_memstream(&text, &bytes);
    rc_bench_report_json_write(out, &options, results, 3);
    text_of(out, &text);
    cr_assert_eq(rc_json_scan(rc_span_text(text), RC_JSON_CHECK_UTF8, &value, &offset), 0, "at %zu: %.60s", offset,
                 text + offset);
    cr_assert_not_null(strstr(text, "\"server_cpu_ns_per_delivery\": 5000"));
    cr_assert_not_null(strstr(text, "\"ksoftirqd_ns_per_delivery\": 500"));
    cr_assert_not_null(strstr(text, "\"cost_ns_per_delivery\": 5500"));
    cr_assert_not_null(strstr(text, "\"deliveries_per_send\": 2.5"));
    cr_assert_not_null(strstr(text, "\"segments_per_receive\": 3"));
    free(text);
}

Test(bench_report, table_shows_costs_and_faults)
{
    char *text = NULL;
    size_t bytes = 0;
    fill();
    FILE *out = open_memstream(&text, &bytes);
    rc_bench_report_table(out, &options, results, 2);
    text_of(out, &text);
    cr_assert_not_null(strstr(text, "5,000"));
    cr_assert_not_null(strstr(text, "lost"));
    free(text);
    out = open_memstream(&text, &bytes);
    rc_bench_report_table(out, &options, results, 1);
    text_of(out, &text);
    cr_assert_not_null(strstr(text, "nothing lost"));
    free(text);
}

Test(bench_report, median_is_of_the_middle_run_and_faults_add_up)
{
    fill();
    static struct rc_bench_result median;
    rc_bench_result_median(results, 3, &median);
    cr_assert_float_eq(rc_bench_result_cost_ns(&median), 4500.0, 1e-6);
    cr_assert_eq(median.lost, 3);
    rc_bench_result_median(results, 1, &median);
    cr_assert_float_eq(rc_bench_result_cost_ns(&median), 5500.0, 1e-6);
}

Test(bench_report, sends_are_the_servers_and_unknown_is_not_zero)
{
    static struct rc_bench_result one;
    cr_assert_eq(rc_bench_result_sends(1100, 100), 1000);
    cr_assert_eq(rc_bench_result_sends(50, 100), 0, "the client's own estimate may be above a small count");
    one.deliveries = 3000;
    cr_assert_float_eq(rc_bench_result_deliveries_per_send(&one), 0.0, 1e-9);
    one.sends = rc_bench_result_sends(1100, 100);
    cr_assert_float_eq(rc_bench_result_deliveries_per_send(&one), 3.0, 1e-9);
    one.ksoftirqd_ns = -1; /* not shown here */
    cr_assert_float_eq(rc_bench_result_cost_ns(&one), 0.0, 1e-9, "without --server-pid there is no cost");
    one.server_cpu_ns = 3e6;
    cr_assert_float_eq(rc_bench_result_cost_ns(&one), 1000.0, 1e-9);
}

Test(bench_report, ratios_tell_what_was_in_a_send)
{
    char *text = NULL;
    size_t bytes = 0;
    fill();
    results[1].sends = 1000;
    FILE *const out = open_memstream(&text, &bytes);
    rc_bench_report_ratio(out, &results[0], &results[1]);
    text_of(out, &text);
    cr_assert_not_null(strstr(text, "2.50 and 1.00 deliveries per send"));
    cr_assert_not_null(strstr(text, "1.571"), "(5000 + 500) / (3000 + 500), ksoftirqd included: %s", text);
    cr_assert_not_null(strstr(text, "1.667"), "and without");
    free(text);
}

Test(bench_report, clean_means_nothing_that_was_not_allowed)
{
    struct rc_bench_options allowing = options;
    static struct rc_bench_result result;
    cr_assert(rc_bench_result_clean(&options, &result));
    result.lost = 1;
    cr_assert_not(rc_bench_result_clean(&options, &result));
    allowing.allow_loss = true;
    cr_assert(rc_bench_result_clean(&allowing, &result));
    result.duplicated = 1;
    cr_assert_not(rc_bench_result_clean(&allowing, &result));
}
