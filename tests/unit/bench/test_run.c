/* Whole runs of the load generator against its own floor servers, short and unpinned. */
#include "bench/arguments.h"
#include "bench/floor.h"
#include "bench/run.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rc_bench_result result;
static uint32_t processes = 1; /* of the floor */

static void run(const char *text)
{
    static char *arguments[32];
    static char line[256];
    strcpy(line, text);
    struct rc_bench_options options;
    struct rc_bench_floor floor;
    struct rc_err err = {0};
    int count = 0;
    arguments[count++] = (char[]){"ringcast-bench"};
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
        arguments[count++] = word;
    }
    cr_assert_eq(rc_bench_arguments_parse(&options, count, arguments, &err), 0, "%s", err.text);
    options.quiet = true;
    options.cpu = options.server_cpu = -1;
    options.duration_s = 0.2;
    options.warmup_s = 0.05;
    options.warmup_rounds = 2;
    cr_assert_eq(rc_bench_floor_start(&floor, &options, &err), 0, "%s", err.text);
    const struct rc_bench_options changed = rc_bench_floor_options(&floor, &options);
    cr_assert_eq(rc_bench_run(&changed, &result, &err), 0, "%s", err.text);
    rc_bench_floor_stop(&floor);
    cr_assert(rc_bench_result_clean(&changed, &result), "%s", result.error);
    cr_assert(result.server_cpu_ns > 0);
    cr_assert_eq(result.server_processes, processes);
}

Test(bench_run, fanout_in_a_closed_loop, .timeout = 60)
{
    run("floor fanout --connections 50 --window 2");
    cr_assert(result.deliveries > 0 && result.connections == 52, "a publisher for each in flight");
    cr_assert_eq(result.total_deliveries, result.total_published * 50);
    const double per_send = rc_bench_result_deliveries_per_send(&result);
    cr_assert(per_send > 0.5 && per_send < 1.2, "%.2f deliveries per send", per_send);
}

Test(bench_run, fanout_over_channels_processes_and_publishers, .timeout = 60)
{
    run("floor fanout --connections 60 --channels 7 --publishers 3 --window 20 --processes 3 --mask-random");
    cr_assert_eq(result.processes, 3);
    cr_assert_eq(result.lost, 0);
}

Test(bench_run, one_message_at_a_time, .timeout = 60)
{
    run("floor fanout --connections 50 --window 1");
    cr_assert_eq(result.connections, 51);
    cr_assert_eq(result.total_deliveries, result.total_published * 50);
}

Test(bench_run, rooms_in_which_everybody_talks, .timeout = 60)
{
    run("floor rooms --connections 60 --channels 6");
    cr_assert_eq(result.connections, 60, "members publish over their own connections");
    cr_assert_eq(result.total_deliveries, result.total_published * 10);
}

Test(bench_run, fanout_at_a_rate, .timeout = 60)
{
    run("floor fanout --connections 20 --rate 500 --publishers 2");
    cr_assert_eq(result.total_deliveries, result.total_published * 20);
    cr_assert(result.latency.count > 0);
}

Test(bench_run, fanout_coalesced_with_epoll, .timeout = 60)
{
    run("floor fanout --connections 20 --window 8 --coalesce 8 --engine epoll");
    cr_assert(result.receives * 4 < result.deliveries, "%llu receives", (unsigned long long)result.receives);
}

Test(bench_run, echo, .timeout = 60)
{
    run("floor echo --connections 20 --window 3 --payload 300");
    cr_assert(result.deliveries > 0);
}

Test(bench_run, echo_of_what_is_longer_than_a_buffer, .timeout = 60)
{
    run("floor echo --connections 2 --payload 20000");
    cr_assert(result.deliveries > 0);
}

Test(bench_run, connect, .timeout = 60)
{
    run("floor connect --connections 8");
    cr_assert(result.deliveries > 0 && result.handshake.count >= result.deliveries);
}

Test(bench_run, latency_over_bare_tcp, .timeout = 60)
{
    run("floor latency --rate 100");
    cr_assert(result.latency.count > 0);
}

Test(bench_run, latency_through_bare_processes, .timeout = 60)
{
    processes = 2;
    run("floor latency --rate 100 --engine chain");
    processes = 5;
    run("floor cross --connections 1 --rate 100 --subscribe-url ws://127.0.0.1:1");
    cr_assert(result.total_deliveries > 0);
    cr_assert_eq(result.total_deliveries, result.total_published);
}

Test(bench_run, idle, .timeout = 60)
{
    run("floor idle --connections 100");
    cr_assert_eq(result.connections, 100);
}

Test(bench_run, nobody_listens, .timeout = 60)
{
    struct rc_bench_options options;
    struct rc_err err = {0};
    char *arguments[] = {"ringcast-bench", "fanout", "--url", "ws://127.0.0.1:1", "--quiet"};
    cr_assert_eq(rc_bench_arguments_parse(&options, 5, arguments, &err), 0);
    cr_assert_eq(rc_bench_run(&options, &result, &err), 0);
    cr_assert(result.broken_off);
    cr_assert_not_null(strstr(result.error, "is the server running"), "%s", result.error);
}
