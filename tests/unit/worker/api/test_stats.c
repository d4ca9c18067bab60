/* The two documents of counters: each counter of workers and relay where it belongs. */
#include "tests/support/api_rig.h"

static void open_all(void)
{
    api_rig_open();
    api_rig_count(5000);
    struct rc_metrics *recent = rc_banks_own(&c.rig.shared->acceptor.banks);
    rc_metric_set(recent, RC_METRIC_RECENT_P50, 1500);
    rc_metric_set(recent, RC_METRIC_RECENT_P95, 2500);
    rc_metric_set(recent, RC_METRIC_RECENT_P99, 3500);
    rc_metric_set(recent, RC_METRIC_RECENT_MESSAGES, 123);
    rc_metric_set(recent, RC_METRIC_RECENT_ERRORS, 7);
    rc_metric_set(recent, RC_METRIC_RECENT_CPU, 15000);
}

static void close_all(void)
{
    api_rig_uncount();
    api_rig_close();
}

TestSuite(api_stats, .init = open_all, .fini = close_all);

/* `*at` must begin with `name`, then the number. */
static void expect(const char **at, const char *name, uint64_t value)
{
    char text[64];
    const int count = snprintf(text, sizeof(text), "%s%llu", name, (unsigned long long)value);
    cr_assert_eq(strncmp(*at, text, (size_t)count), 0, "%s instead of %s", *at, text);
    *at += count;
}

Test(api_stats, each_counter_stands_where_it_belongs)
{
    (void)api_rig_ask("GET /api/stats " API_RIG_HEAD "\r\n");
    const char *at = strstr(answer, ",\"connections\"");
    cr_assert(at != NULL, "%s", answer);
    expect(&at, ",\"connections\":{\"total\":", 1000 + RC_METRIC_CONNECTIONS);
    expect(&at, ",\"users\":", 1000 + RC_METRIC_USERS);
    expect(&at, "},\"users\":", 5000 + RC_METRIC_INTEREST_USERS);
    expect(&at, ",\"subscriptions\":", 1000 + RC_METRIC_SUBSCRIPTIONS);
    expect(&at, ",\"channels\":", 5000 + RC_METRIC_INTEREST_CHANNELS);
    expect(&at, ",\"messages\":{\"received\":", 1000 + RC_METRIC_FRAMES_IN);
    expect(&at, ",\"published\":", 1000 + RC_METRIC_PUBLISHES);
    expect(&at, ",\"broadcast\":", 1000 + RC_METRIC_BROADCASTS);
    expect(&at, ",\"direct\":", 1000 + RC_METRIC_DIRECTS);
    expect(&at, ",\"api\":", 1000 + RC_METRIC_API_MESSAGES);
    expect(&at, ",\"delivered\":", 1000 + RC_METRIC_DELIVERIES);
    expect(&at, ",\"failed\":", 6000 + 2 * RC_METRIC_FAILED_DELIVERIES);
    expect(&at, "},\"bytes\":{\"received\":", 1000 + RC_METRIC_BYTES_IN);
    cr_assert(strncmp(at, ",\"sent\":", 8) == 0, "%s", at);
    cr_assert(
        strstr(
            at,
            "},\"latency_ms\":{\"p50\":1.500,\"p95\":2.500,\"p99\":3.500},\"throughput\":12.3,\"errors_per_minute\":7,"
            "\"cpu_percent\":150.0,") != NULL,
        "%s", at);
}

Test(api_stats, metrics_as_json)
{
    struct rc_text text = {0};
    rc_metric_subscribed(c.rig.metrics, 0, 7);
    cr_assert_eq(rc_api_metrics_json(&api, &text), 0);
    const char *at = (const char *)text.bytes;
    expect(&at, "{\"websocket\":{\"totalConnections\":", 1000 + RC_METRIC_CONNECTIONS);
    expect(&at, ",\"userConnections\":", 1000 + RC_METRIC_USERS);
    expect(&at, ",\"uniqueUsers\":", 5000 + RC_METRIC_INTEREST_USERS);
    expect(&at, ",\"totalSubscriptions\":", 1000 + RC_METRIC_SUBSCRIPTIONS);
    expect(&at, ",\"channels\":", 5000 + RC_METRIC_INTEREST_CHANNELS);
    expect(&at, ",\"events\":{\"received\":", 1000 + RC_METRIC_FRAMES_IN);
    expect(&at, ",\"emitted\":", 1000 + RC_METRIC_DELIVERIES);
    expect(&at, "},\"subscriptions\":{\"default\":", 7);
    static const char performance[] =
        "}},\"performance\":{\"latency\":{\"p50\":1.500,\"p95\":2.500,\"p99\":3.500},\"throughput\":12.3,"
        "\"errorRate\":7},\"resources\":{\"memory\":{\"heapUsed\":\"";
    cr_assert_eq(strncmp(at, performance, sizeof(performance) - 1), 0, "%s", at);
    cr_assert_not_null(strstr(at, "},\"cpu\":150.0,\"uptime\":"));
    rc_text_free(&text);
}
