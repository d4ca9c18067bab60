/* report: see report.h. Both forms come from one table of rows. */
#include "bench/report.h"

#include "bench/scenario.h"

#include "common/base/check.h"
#include "version.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

/* How a figure is written for people. */
enum unit {
    UNIT_COUNT,
    UNIT_FAULT, /* a count that should be 0: not shown when it is for all */
    UNIT_RATE,  /* a second */
    UNIT_SECONDS,
    UNIT_NS,     /* as it is: costs are compared at a glance */
    UNIT_TIME,   /* ns, scaled */
    UNIT_BYTES,  /* exact */
    UNIT_MEMORY, /* scaled */
    UNIT_RATIO,
    UNIT_PERCENT,
};

struct row {
    const char *key;  /* in JSON */
    const char *name; /* in the table */
    enum unit unit;
    double (*value)(const struct rc_bench_result *result); /* NAN: does not apply */
};

static double rate_per(double value, double by)
{
    return by > 0 ? value / by : NAN;
}

static double some_of(double value)
{
    return value > 0 ? value : NAN;
}

static bool name_is(const struct rc_bench_result *result, const char *scenario)
{
    return strcmp(result->scenario, scenario) == 0;
}

/* Memory for each connection is told where there are enough to divide by. */
static bool has_memory(const struct rc_bench_result *result)
{
    return name_is(result, "idle") || result->connections >= 10000;
}

static bool has_traffic(const struct rc_bench_result *result)
{
    return !name_is(result, "idle");
}

#define VALUE(name, expression)                              \
    static double name(const struct rc_bench_result *result) \
    {                                                        \
        return (expression);                                 \
    }

#define QUANTILE(histogram, q) \
    (result->histogram.count > 0 ? (double)rc_bench_latency_quantile(&result->histogram, (q)) : NAN)
#define DELIVERIES ((double)result->deliveries)
#define CONNECTIONS ((double)result->connections)

VALUE(v_connections, some_of(CONNECTIONS))
VALUE(v_connect_s, name_is(result, "connect") ? NAN : result->connect_s)
VALUE(v_connect_rate,
      name_is(result, "connect") ? rate_per(DELIVERIES, result->seconds) : rate_per(CONNECTIONS, result->connect_s))
VALUE(v_joined, name_is(result, "churn") ? rate_per((double)result->joined, result->seconds) : NAN)
VALUE(v_published_rate,
      name_is(result, "connect") || !has_traffic(result) ? NAN : rate_per((double)result->published, result->seconds))
VALUE(v_delivered_rate,
      name_is(result, "connect") || !has_traffic(result) ? NAN : rate_per(DELIVERIES, result->seconds))
VALUE(v_megabytes, has_traffic(result) ? rate_per((double)result->bytes, result->seconds) : NAN)
VALUE(v_cpu, result->server_cpu_ns > 0 && has_traffic(result) ? rate_per(result->server_cpu_ns, DELIVERIES) : NAN)
VALUE(v_part, result->part_cpu_ns > 0 && has_traffic(result) ? rate_per(result->part_cpu_ns, DELIVERIES) : NAN)
VALUE(v_cpu_share, result->server_processes > 0 && result->seconds > 0
                       ? 100 * rate_per(result->server_cpu_ns / 1e9, result->seconds)
                       : NAN)
VALUE(v_softirq, result->server_cpu_ns > 0 && result->ksoftirqd_ns >= 0 && has_traffic(result)
                     ? rate_per(result->ksoftirqd_ns, DELIVERIES)
                     : NAN)
VALUE(v_cost, has_traffic(result) ? some_of(rc_bench_result_cost_ns(result)) : NAN)
VALUE(v_softirq_share, result->server_cpu_ns > 0 && result->ksoftirqd_ns >= 0
                           ? 100 * rate_per(result->ksoftirqd_ns / 1e9, result->seconds)
                           : NAN)
VALUE(v_client_share, 100 * rate_per(result->client_cpu_ns / 1e9, result->seconds))
VALUE(v_segments, has_traffic(result) ? rate_per((double)result->segments, DELIVERIES) : NAN)
VALUE(v_segments_send, has_traffic(result) && !name_is(result, "connect")
                           ? rate_per((double)result->segments, (double)result->receives)
                           : NAN)
VALUE(v_per_send,
      has_traffic(result) && !name_is(result, "connect") ? some_of(rc_bench_result_deliveries_per_send(result)) : NAN)
VALUE(v_coalesced,
      has_traffic(result) && !name_is(result, "connect") ? rate_per(DELIVERIES, (double)result->receives) : NAN)
VALUE(v_inflated, result->inflated > 0 ? 100 * rate_per((double)result->inflated, DELIVERIES) : NAN)
VALUE(v_deltas, result->deltas > 0 ? 100 * rate_per((double)result->deltas, DELIVERIES) : NAN)
VALUE(v_bytes_each,
      has_traffic(result) && !name_is(result, "connect") ? rate_per((double)result->bytes, DELIVERIES) : NAN)
VALUE(v_p50, QUANTILE(latency, 0.5))
VALUE(v_p90, QUANTILE(latency, 0.9))
VALUE(v_p99, QUANTILE(latency, 0.99))
VALUE(v_p999, QUANTILE(latency, 0.999))
VALUE(v_max, result->latency.count > 0 ? (double)result->latency.max_ns : NAN)
VALUE(v_mean, result->latency.count > 0 ? rc_bench_latency_mean(&result->latency) : NAN)
VALUE(v_before_p50, QUANTILE(before, 0.5))
VALUE(v_before_p99, QUANTILE(before, 0.99))
VALUE(v_shake_p50, QUANTILE(handshake, 0.5))
VALUE(v_shake_p99, QUANTILE(handshake, 0.99))
VALUE(v_shake_max, result->handshake.count > 0 ? (double)result->handshake.max_ns : NAN)
VALUE(v_rss, result->server_processes > 0 && has_memory(result)
                 ? rate_per((double)result->server_rss_bytes, CONNECTIONS)
                 : NAN)
VALUE(v_pss, result->server_processes > 0 && has_memory(result)
                 ? rate_per((double)result->server_pss_bytes, CONNECTIONS)
                 : NAN)
VALUE(v_slab, has_memory(result) ? rate_per((double)result->slab_bytes, CONNECTIONS) : NAN)
VALUE(v_tables, has_memory(result) ? rate_per((double)result->page_table_bytes, CONNECTIONS) : NAN)
VALUE(v_client_bytes, result->connections >= 1000 ? rate_per((double)result->client_pss_bytes, CONNECTIONS) : NAN)
VALUE(v_rss_now, result->server_processes > 0 ? (double)result->server_rss_now_bytes : NAN)
VALUE(v_recovery, result->surged ? (result->recovery_s < 0 ? INFINITY : result->recovery_s) : NAN)
VALUE(v_lost, (double)result->lost)
VALUE(v_duplicated, (double)result->duplicated)
VALUE(v_late, (double)result->late)
VALUE(v_corrupted, (double)result->corrupted)
VALUE(v_failed, (double)result->failed)
VALUE(v_closed, (double)result->closed)
VALUE(v_refused, some_of((double)result->refused))
VALUE(v_gaps, some_of((double)result->gaps))
VALUE(v_excused, some_of((double)result->excused))
VALUE(v_stalls, some_of((double)result->stalls))
VALUE(v_unsent, some_of((double)result->unsent))
VALUE(v_blocked, some_of(result->blocked_s))
VALUE(v_pings, some_of((double)result->pings))
VALUE(v_returned, some_of((double)result->returned))
VALUE(v_storm, some_of(result->storm_s))
VALUE(v_slow, some_of((double)result->slow))
VALUE(v_caught_up, result->slow > 0 ? (double)result->caught_up : NAN)
VALUE(v_warmup, some_of(result->warmup_s))
VALUE(v_drain, some_of(result->drain_s))
VALUE(v_seconds, result->seconds)

static const struct row rows[] = {
    {"connections", "connections", UNIT_COUNT, v_connections},
    {"connect_seconds", "time to connect all", UNIT_SECONDS, v_connect_s},
    {"connections_per_second", "connections/s", UNIT_RATE, v_connect_rate},
    {"joined_per_second", "  came and went/s", UNIT_RATE, v_joined},
    {"handshake_p50_ns", "handshake p50", UNIT_TIME, v_shake_p50},
    {"handshake_p99_ns", "handshake p99", UNIT_TIME, v_shake_p99},
    {"handshake_max_ns", "handshake max", UNIT_TIME, v_shake_max},
    {"measured_seconds", "measured", UNIT_SECONDS, v_seconds},
    {"warmup_seconds", "warm-up before it", UNIT_SECONDS, v_warmup},
    {"published_per_second", "published/s", UNIT_RATE, v_published_rate},
    {"delivered_per_second", "delivered/s", UNIT_RATE, v_delivered_rate},
    {"bytes_per_second", "received/s", UNIT_MEMORY, v_megabytes},
    {"latency_p50_ns", "latency p50", UNIT_TIME, v_p50},
    {"latency_p90_ns", "latency p90", UNIT_TIME, v_p90},
    {"latency_p99_ns", "latency p99", UNIT_TIME, v_p99},
    {"latency_p999_ns", "latency p99.9", UNIT_TIME, v_p999},
    {"latency_max_ns", "latency max", UNIT_TIME, v_max},
    {"latency_mean_ns", "latency mean", UNIT_TIME, v_mean},
    {"before_p50_ns", "  p50 before they came", UNIT_TIME, v_before_p50},
    {"before_p99_ns", "  p99 before they came", UNIT_TIME, v_before_p99},
    {"server_cpu_ns_per_delivery", "server CPU per delivery, ns", UNIT_NS, v_cpu},
    {"part_cpu_ns_per_delivery", "  of that its part (--part-pid), ns", UNIT_NS, v_part},
    {"ksoftirqd_ns_per_delivery", "  ksoftirqd of its CPUs, ns", UNIT_NS, v_softirq},
    {"cost_ns_per_delivery", "  both, ns", UNIT_NS, v_cost},
    {"deliveries_per_send", "  deliveries per send", UNIT_RATIO, v_per_send},
    {"server_cpu_percent", "server CPU", UNIT_PERCENT, v_cpu_share},
    {"ksoftirqd_percent", "  ksoftirqd of its CPUs", UNIT_PERCENT, v_softirq_share},
    {"client_cpu_percent", "client CPU", UNIT_PERCENT, v_client_share},
    {"segments_per_delivery", "TCP segments per delivery", UNIT_RATIO, v_segments},
    {"segments_per_receive", "TCP segments per receive", UNIT_RATIO, v_segments_send},
    {"deliveries_per_receive", "deliveries per receive", UNIT_RATIO, v_coalesced},
    {"received_bytes_per_delivery", "received per delivery, B", UNIT_BYTES, v_bytes_each},
    {"compressed_percent", "compressed deliveries", UNIT_PERCENT, v_inflated},
    {"delta_percent", "deliveries as deltas", UNIT_PERCENT, v_deltas},
    {"server_rss_bytes_per_connection", "server RSS per connection, B", UNIT_BYTES, v_rss},
    {"server_pss_bytes_per_connection", "server PSS per connection, B", UNIT_BYTES, v_pss},
    {"slab_bytes_per_connection", "kernel slab, both ends, B", UNIT_BYTES, v_slab},
    {"page_table_bytes_per_connection", "page tables, all, B", UNIT_BYTES, v_tables},
    {"client_bytes_per_connection", "client memory per connection, B", UNIT_BYTES, v_client_bytes},
    {"server_rss_bytes", "server RSS, largest seen", UNIT_MEMORY, v_rss_now},
    {"pings", "pings answered", UNIT_COUNT, v_pings},
    {"returned", "connections back", UNIT_COUNT, v_returned},
    {"storm_seconds", "until all were back", UNIT_SECONDS, v_storm},
    {"slow", "slow subscribers", UNIT_COUNT, v_slow},
    {"caught_up", "  had the newest in the end", UNIT_COUNT, v_caught_up},
    {"excused", "missed while slow or away", UNIT_COUNT, v_excused},
    {"unsent", "due but not taken by server", UNIT_COUNT, v_unsent},
    {"blocked_seconds", "publishers held back", UNIT_SECONDS, v_blocked},
    {"recovery_seconds", "recovered after the surge", UNIT_SECONDS, v_recovery},
    {"drain_seconds", "time to drain", UNIT_SECONDS, v_drain},
    {"gaps", "gap notices", UNIT_COUNT, v_gaps},
    {"stalls", "stalls", UNIT_COUNT, v_stalls},
    {"refused", "errors answered", UNIT_COUNT, v_refused},
    {"lost", "lost", UNIT_FAULT, v_lost},
    {"duplicated", "duplicated", UNIT_FAULT, v_duplicated},
    {"reordered", "reordered", UNIT_FAULT, v_late},
    {"corrupted", "corrupted", UNIT_FAULT, v_corrupted},
    {"connections_failed", "connections failed", UNIT_FAULT, v_failed},
    {"connections_closed", "connections ended by server", UNIT_FAULT, v_closed},
};

/* --- the table -------------------------------------------------------------------------------------------------------- */

static void digits_grouped(char *out, size_t room, double value)
{
    char digits[40];
    snprintf(digits, sizeof(digits), "%.0f", fabs(value));
    const size_t count = strlen(digits);
    size_t at = 0;
    if (value < 0 && at + 1 < room) {
        out[at++] = '-';
    }
    for (size_t i = 0; i < count && at + 2 < room; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

static void format_scaled(char *out, size_t room, double value, double step, const char *const *units, unsigned count)
{
    unsigned unit = 0;
    while (fabs(value) >= step && unit + 1 < count) {
        value /= step;
        unit++;
    }
    const int digits = unit == 0 || fabs(value) >= 100 ? 0 : fabs(value) >= 10 ? 1 : 2;
    snprintf(out, room, "%.*f %s", digits, value, units[unit]);
}

static void format_value(char *out, size_t room, enum unit unit, double value)
{
    static const char *const times[] = {"ns", "us", "ms", "s"};
    static const char *const sizes[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    switch (unit) {
    case UNIT_COUNT:
    case UNIT_FAULT:
    case UNIT_RATE:
    case UNIT_NS:
    case UNIT_BYTES:
        digits_grouped(out, room, value);
        break;
    case UNIT_SECONDS:
        snprintf(out, room, isfinite(value) ? "%.2f s" : "never", value);
        break;
    case UNIT_TIME:
        format_scaled(out, room, value, 1000, times, RC_ARRAY_COUNT(times));
        break;
    case UNIT_MEMORY:
        format_scaled(out, room, value, 1024, sizes, RC_ARRAY_COUNT(sizes));
        break;
    case UNIT_RATIO:
        snprintf(out, room, "%.2f", value);
        break;
    case UNIT_PERCENT:
        snprintf(out, room, "%.1f %%", value);
        break;
    }
}

static void title_put(FILE *out, const struct rc_bench_options *options)
{
    fprintf(out, "%s: %u connections, %u channels, payload %u bytes, ", options->scenario, options->connections,
            options->channels, options->payload_bytes);
    if (options->rate > 0) {
        fprintf(out, "open loop at %g/s\n", options->rate);
    } else if (options->window > 0) {
        fprintf(out, "closed loop, %u in flight", options->window);
        if (options->think_s > 0 && strcmp(options->scenario, "echo") != 0) {
            fprintf(out, ", each %g ms after its last, give or take as much", options->think_s * 1e3);
        }
        fputc('\n', out);
    } else {
        fputs("nothing sent\n", out);
    }
}

void rc_bench_report_table(FILE *out, const struct rc_bench_options *options, const struct rc_bench_result *results,
                           uint32_t count)
{
    title_put(out, options);
    fprintf(out, "  %-32s", "");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, " %*s", (int)(strlen(results[i].label) > 16 ? strlen(results[i].label) : 16), results[i].label);
    }
    fputc('\n', out);
    bool faults = false;
    for (size_t r = 0; r < RC_ARRAY_COUNT(rows); r++) {
        bool any = false;
        for (uint32_t i = 0; i < count; i++) {
            const double value = rows[r].value(&results[i]);
            any = any || (!isnan(value) && (rows[r].unit != UNIT_FAULT || value > 0));
            faults = faults || (rows[r].unit == UNIT_FAULT && value > 0);
        }
        if (!any) {
            continue;
        }
        fprintf(out, "  %-32s", rows[r].name);
        for (uint32_t i = 0; i < count; i++) {
            char text[64] = "-";
            const double value = rows[r].value(&results[i]);
            if (!isnan(value)) {
                format_value(text, sizeof(text), rows[r].unit, value);
            }
            fprintf(out, " %*s", (int)(strlen(results[i].label) > 16 ? strlen(results[i].label) : 16), text);
        }
        fputc('\n', out);
    }
    if (!faults) {
        fputs("  nothing lost, duplicated, reordered or corrupted; no connection failed\n", out);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (results[i].broken_off || results[i].error[0] != '\0') {
            fprintf(out, "  %s%s: %s\n", results[i].label, results[i].broken_off ? " was broken off" : "",
                    results[i].error[0] != '\0' ? results[i].error : "no reason given");
        }
    }
}

static void ratio_line(FILE *out, const char *name, double server, double floor)
{
    if (!isnan(server) && !isnan(floor) && floor > 0) {
        fprintf(out, "  %-32s %16.3f\n", name, server / floor);
    }
}

void rc_bench_report_ratio(FILE *out, const struct rc_bench_result *server, const struct rc_bench_result *floor)
{
    fprintf(out, "ratio %s / %s", server->label, floor->label);
    /* A ratio of costs says little where one of them put more into a send. */
    if (!isnan(v_per_send(server)) && !isnan(v_per_send(floor))) {
        fprintf(out, ", %.2f and %.2f deliveries per send", v_per_send(server), v_per_send(floor));
    }
    fputc('\n', out);
    ratio_line(out, "CPU per delivery with ksoftirqd", v_cost(server), v_cost(floor));
    ratio_line(out, "  without", v_cpu(server), v_cpu(floor));
    ratio_line(out, "delivered/s", v_delivered_rate(server), v_delivered_rate(floor));
    ratio_line(out, "connections/s", v_connect_rate(server), v_connect_rate(floor));
    ratio_line(out, "latency p50", v_p50(server), v_p50(floor));
    ratio_line(out, "latency p99", v_p99(server), v_p99(floor));
    ratio_line(out, "kernel slab", v_slab(server), v_slab(floor));
}

/* --- JSON ------------------------------------------------------------------------------------------------------------- */

static void json_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (const char *at = text; *at != '\0'; at++) {
        const unsigned char byte = (unsigned char)*at;
        if (byte == '"' || byte == '\\') {
            fprintf(out, "\\%c", byte);
        } else if (byte < 0x20 || byte >= 0x7f) {
            fprintf(out, "\\u%04x", byte); /* a server's own bytes may be anything: shown as Latin-1 */
        } else {
            fputc(byte, out);
        }
    }
    fputc('"', out);
}

static void json_histogram(FILE *out, const struct rc_bench_latency *latency)
{
    static const double quantiles[] = {0,    0.01,  0.1,   0.25,   0.5,    0.75,    0.9, 0.95,
                                       0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999, 1};
    fprintf(out, "{\"count\": %llu, \"mean_ns\": %.0f, \"quantiles\": [", (unsigned long long)latency->count,
            rc_bench_latency_mean(latency));
    for (size_t i = 0; i < RC_ARRAY_COUNT(quantiles); i++) {
        const uint64_t ns = quantiles[i] <= 0 ? (latency->count > 0 ? latency->min_ns : 0)
                                              : rc_bench_latency_quantile(latency, quantiles[i]);
        fprintf(out, "%s[%g, %llu]", i == 0 ? "" : ", ", quantiles[i], (unsigned long long)ns);
    }
    fputs("]}", out);
}

static void json_result(FILE *out, const struct rc_bench_result *result)
{
    fputs("    {\"label\": ", out);
    json_text(out, result->label);
    fputs(", \"scenario\": ", out);
    json_text(out, result->scenario);
    if (result->sweep_value != 0) {
        fprintf(out, ", \"sweep_value\": %g", result->sweep_value);
    }
    fprintf(out, ", \"broken_off\": %s, \"error\": ", result->broken_off ? "true" : "false");
    json_text(out, result->error);
    fprintf(
        out,
        ", \"processes\": %u, \"server_processes\": %u,\n     \"published\": %llu, \"deliveries\": %llu, \"receives\": %llu",
        result->processes, result->server_processes, (unsigned long long)result->total_published,
        (unsigned long long)result->total_deliveries, (unsigned long long)result->receives);
    for (size_t r = 0; r < RC_ARRAY_COUNT(rows); r++) {
        const double value = rows[r].value(result);
        if (isfinite(value)) {
            fprintf(out, ",\n     \"%s\": %.*f", rows[r].key, value == floor(value) ? 0 : 4, value);
        }
    }
    fputs(",\n     \"latency\": ", out);
    json_histogram(out, &result->latency);
    fputs(",\n     \"handshake\": ", out);
    json_histogram(out, &result->handshake);
    /* Each: seconds since then; published, deliveries, missing and open by then; p50 and p99 in ns of what came since the one before. */
    fprintf(out, ",\n     \"measured_at\": %.3f,\n     \"moments\": [", result->measured_at_s);
    for (uint32_t i = 0; i < result->moment_count; i++) {
        const struct rc_bench_moment *const moment = &result->moments[i];
        fprintf(out, "%s[%.3f, %llu, %llu, %llu, %llu, %llu, %llu]", i == 0 ? "" : ", ", moment->at_s,
                (unsigned long long)moment->published, (unsigned long long)moment->deliveries,
                (unsigned long long)moment->missing, (unsigned long long)moment->open,
                (unsigned long long)moment->p50_ns, (unsigned long long)moment->p99_ns);
    }
    fputs("]}", out);
}

void rc_bench_report_json_write(FILE *out, const struct rc_bench_options *options,
                                const struct rc_bench_result *results, uint32_t count)
{
    struct utsname system = {0};
    uname(&system);
    fprintf(out, "{\n  \"program\": \"ringcast-bench\", \"version\": \"%s\", \"time\": %lld, \"kernel\": ", RC_VERSION,
            (long long)time(NULL));
    json_text(out, system.release);
    fputs(",\n  \"scenario\": ", out);
    json_text(out, options->scenario);
    fprintf(
        out,
        ", \"connections\": %u, \"channels\": %u, \"publishers\": %u, \"payload_bytes\": %u, \"window\": %u, \"think_seconds\": %g, \"rate\": %g, "
        "\"duration_seconds\": %g,\n  \"results\": [\n",
        options->connections, options->channels, rc_bench_scenario_publishers(options), options->payload_bytes,
        options->window, options->think_s, options->rate, options->duration_s);
    for (uint32_t i = 0; i < count; i++) {
        json_result(out, &results[i]);
        fputs(i + 1 < count ? ",\n" : "\n", out);
    }
    fputs("  ]\n}\n", out);
}

int rc_bench_report_json(const struct rc_bench_options *options, const struct rc_bench_result *results, uint32_t count,
                         struct rc_err *err)
{
    if (strcmp(options->json, "-") == 0) {
        rc_bench_report_json_write(stdout, options, results, count);
        return 0;
    }
    FILE *const out = fopen(options->json, "we");
    if (out == NULL) {
        return rc_err_set(err, -errno, "cannot write %s: %s", options->json, strerror(errno));
    }
    rc_bench_report_json_write(out, options, results, count);
    return fclose(out) == 0 ? 0 : rc_err_set(err, -EIO, "cannot write %s: %s", options->json, strerror(errno));
}
