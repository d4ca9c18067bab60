/* What /metrics tells beside counters: a broker whose every process is this one. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/config/config.h"
#include "common/metrics/backend_health.h"
#include "common/metrics/instance.h"
#include "version.h"

static struct rc_core core;
static struct rc_relay_report relay;
static struct rc_report workers[2];
static struct rc_control control = {
    .worker_count = 2, .instance_id = "i", .core = &core, .relay = &relay, .workers = {&workers[0], &workers[1]}};
static struct rc_config *config;

static const char *render(void)
{
    static char text[32768];
    struct rc_exposition to = {.out = text, .capacity = sizeof(text) - 1, .instance = "i"};
    rc_instance_metrics_render(&to, &control, config);
    cr_assert_lt(to.bytes, sizeof(text) - 1);
    text[to.bytes] = '\0';
    return text;
}

static void open_all(void)
{
    config = calloc(1, sizeof(*config));
    cr_assert_not_null(config);
    rc_config_defaults(config);
    control.boot_ms = rc_clock_ms();
    for (uint32_t i = 0; i < rc_instance_process_count(&control); i++) {
        struct rc_life *life = i == 0 ? &core.acceptor : i == 1 ? &core.relay : &core.workers[i - 2];
        cr_assert_eq(rc_instance_life(&control, i), life);
        life->pid = i == 1 ? 0 : (uint32_t)getpid();
        life->generation = i + 1;
    }
}

static void close_all(void)
{
    free(config);
}

TestSuite(instance, .init = open_all, .fini = close_all);

#define expect_text(text, part) cr_expect_not_null(strstr(text, part), "%s is not in:\n%s", part, text)

Test(instance, subscriptions_are_summed_by_namespace)
{
    config->namespace_count = 2;
    strcpy(config->namespaces[1].name, "a\"b");
    rc_metric_subscribed(rc_banks_own(&workers[0].banks), 0, 3);
    rc_metric_subscribed(rc_banks_own(&workers[1].banks), 0, 4);
    rc_metric_subscribed(rc_banks_own(&workers[1].banks), 1, 6);
    rc_metric_subscribed(rc_banks_own(&workers[1].banks), 1, -1);
    const char *text = render();
    expect_text(
        text,
        "# TYPE ringcast_namespace_subscriptions gauge\nringcast_namespace_subscriptions{namespace=\"default\"} 7\n"
        "ringcast_namespace_subscriptions{namespace=\"a\\\"b\"} 5\n");
}

Test(instance, processes_are_as_the_kernel_sees_them)
{
    const char *text = render();
    expect_text(text, "process_resident_memory_bytes{process=\"relay\"} 0\n");
    expect_text(text, "process_cpu_seconds_total{process=\"relay\"} 0\n");
    expect_text(text, "ringcast_process_starts_total{process=\"worker\",worker=\"1\"} 4\n");
    static const char name[] = "process_resident_memory_bytes{process=\"worker\",worker=\"0\"} ";
    const char *at = strstr(text, name);
    cr_assert_not_null(at);
    cr_expect_gt(strtoull(at + sizeof(name) - 1, NULL, 10), 100000u);
    expect_text(text, "ringcast_uptime_seconds 0\n");
    expect_text(text, "ringcast_memory_limit_bytes ");
    expect_text(text, "ringcast_memory_used_bytes ");
}

Test(instance, what_it_is_and_may_is_told)
{
    config->limits.history_memory_bytes = 12345;
    config->overload.max_handshakes = 77;
    rc_metric_closed(rc_banks_own(&workers[0].banks), 4000);
    rc_metric_closed(rc_banks_own(&workers[1].banks), 4000);
    rc_metric_closed(rc_banks_own(&workers[1].banks), 4567);
    const char *text = render();
    expect_text(text, "ringcast_build_info{version=\"" RC_VERSION "\",compiler=\"");
    expect_text(
        text,
        "# TYPE ringcast_connections gauge\nringcast_connections{worker=\"0\"} 0\nringcast_connections{worker=\"1\"} 0\n");
    expect_text(text, "ringcast_instance_info{id=\"i\"} 1\n");
    expect_text(text, "# TYPE ringcast_history_bytes_max gauge\nringcast_history_bytes_max 12345\n");
    expect_text(text, "ringcast_handshakes_max 77\n");
    expect_text(text, "ringcast_closes_sent_total{code=\"4000\"} 2\n");
    expect_text(text, "ringcast_closes_sent_total{code=\"1000\"} 0\n");
    expect_text(text, "ringcast_closes_sent_total{code=\"other\"} 1\n");
    static const char start[] = "process_start_time_seconds{process=\"worker\",worker=\"0\"} ";
    const char *at = strstr(text, start);
    cr_assert_not_null(at);
    const double age_s = (double)rc_clock_wall_ms() / 1000 - strtod(at + sizeof(start) - 1, NULL);
    cr_expect(age_s > -1 && age_s < 3600, "%f", age_s);
}

/* One bound for all workers, of which fewer have less room (`ringcast workers`). */
Test(instance, the_limit_of_connections_is_the_one_that_holds)
{
    core.slots_per_worker = 60000;
    expect_text(render(), "\nringcast_connections_max 120000\n");
    config->server.max_connections = 100000;
    expect_text(render(), "\nringcast_connections_max 100000\n");
    core.workers[1].use = RC_WORKER_UNUSED;
    expect_text(render(), "\nringcast_connections_max 60000\n");
    config->server.max_connections = 0;
    expect_text(render(), "\nringcast_connections_max 60000\n");
}

Test(instance, backends_are_told)
{
    const char *text = render();
    expect_text(text, "ringcast_session_backends 0\n");
    expect_text(text, "ringcast_session_backends_failing 0\n");
    expect_text(text, "ringcast_session_backend_failures_total 0\n");
    rc_backend_health_register(&workers[0], 0, "sessions");
    rc_backend_health_register(&workers[0], 1, "web");
    rc_backend_health_note(&workers[0], 1, false);
    text = render();
    expect_text(text, "ringcast_session_backends 2\n");
    expect_text(text, "ringcast_session_backends_failing 1\n");
    expect_text(text, "ringcast_session_backend_failures_total 1\n");
    expect_text(
        text, "ringcast_session_backend_up{backend=\"sessions\"} 1\nringcast_session_backend_up{backend=\"web\"} 0\n");
}
