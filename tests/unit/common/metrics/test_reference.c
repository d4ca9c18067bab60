/* docs/metrics.md is made of the table: RC_UPDATE_FILES=1 writes it, otherwise it must be what the table says. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/metrics/bridges.h"
#include "common/metrics/instance.h"
#include "common/metrics/metrics.h"

#define REFERENCE "docs/metrics.md"

struct row {
    const char *kind;
    const char *name;
    const char *help;
};

static const struct row rows[] = {
#define RC_COUNTER(id, name, help) {"counter", name, help},
#define RC_GAUGE(id, name, help) {"gauge", name, help},
#define RC_HISTOGRAM(id, name, scale, help) {"histogram", name, help},
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

enum writer { WORKERS, RELAY, ACCEPTOR, ALL };

static const struct {
    enum writer writer;
    enum rc_metric_id first;
    enum rc_metric_id last;
} writers[] = {
#define RC_COUNTER(id, name, help)
#define RC_GAUGE(id, name, help)
#define RC_HISTOGRAM(id, name, scale, help)
#define RC_WRITTEN_BY(process, first_id, last_id) {process, RC_METRIC_##first_id, RC_METRIC_##last_id},
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

/* In the order of the rows that are no histograms. */
static const enum rc_metric_id ids[] = {
#define RC_COUNTER(id, name, help) RC_METRIC_##id,
#define RC_GAUGE(id, name, help) RC_METRIC_##id,
#define RC_HISTOGRAM(id, name, scale, help) RC_METRIC_COUNT,
#include "common/metrics/metrics.def"
#undef RC_COUNTER
#undef RC_GAUGE
#undef RC_HISTOGRAM
};

static const char head[] =
    "# Metrics\n\n"
    "Made from `common/metrics/metrics.def`; do not edit. What `/metrics` gives, and how to use it:\n"
    "[operations.md](operations.md#metrics-and-health). \"By\" says who has a series of its own, by the label `worker` or `process`.\n\n"
    "| name | type | by | |\n|---|---|---|---|\n";
static const char beside[] =
    "\n## Beside the table\n\nProcesses, limits, and what is counted by names of the configuration: `common/metrics/instance.c`. Those that begin with\n"
    "`ringcast_backend_` and `ringcast_bridge_` are there with `[[backend]]` and `[[bridge]]` tables, those that begin with `ringcast_link_url_` with\n"
    "`socketio.link`: of each `url` of its table, and `dial`: all processes that dial; `ringcast_event_rows_total` with `[[event]]` tables (labels `row`, its\n"
    "place in the file, `nsp`, `on` and `result`: `done`, or the guard that refused). With certificates, or\n"
    "files of authorities (`client_ca`, `tls_ca`), there is `ringcast_certificate_not_after_seconds`: when they expire, in seconds since 1970.\n\n| name | type | |\n|---|---|---|\n";

static const char *by_whom(size_t row)
{
    if (strcmp(rows[row].kind, "histogram") == 0 || strncmp(rows[row].name, "ws_", 3) == 0) {
        return "";
    }
    for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++) {
        if (ids[row] >= writers[i].first && ids[row] <= writers[i].last) {
            return writers[i].writer == ALL ? "process" : "";
        }
    }
    return "worker";
}

/* A help text in a table: no column of its own. */
static void put_help(FILE *out, const char *help)
{
    for (; *help != '\0'; help++) {
        if (*help == '|') {
            (void)fputc('\\', out);
        }
        (void)fputc(*help, out);
    }
}

/* Families of an instance with a backend, a bridge and a row, as its exposition heads them. */
static void put_families(FILE *out)
{
    static struct rc_core core;
    static struct rc_relay_report relay;
    static struct rc_report worker;
    static struct rc_control control = {
        .worker_count = 1, .instance_id = "i", .core = &core, .relay = &relay, .workers = {&worker}};
    static struct rc_config config = {.backend_count = 1,
                                      .bridge_count = 1,
                                      .event_count = 1,
                                      .socketio.link.text = "app",
                                      .backends[0] = {.name.text = "app", .url_count = 1}};
    static const struct rc_bridge_counters bridges[1];
    static char text[65536];
    struct rc_exposition to = {.out = text, .capacity = sizeof(text) - 1, .instance = "i"};
    rc_instance_metrics_render(&to, &control, &config);
    rc_bridge_metrics_render(&to, &config, bridges);
    cr_assert_lt(to.bytes, sizeof(text));
    for (char *line = strstr(text, "# HELP "); line != NULL; line = strstr(line + 1, "# HELP ")) {
        char name[128];
        char help[512];
        char kind[16];
        cr_assert_eq(sscanf(line, "# HELP %127s %511[^\n]\n# TYPE %*s %15s", name, help, kind), 3, "%.80s", line);
        (void)fprintf(out, "| `%s` | %s | ", name, kind);
        put_help(out, help);
        (void)fputs(" |\n", out);
    }
}

static char *reference(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert(out != NULL);
    (void)fputs(head, out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)fprintf(out, "| `%s` | %s | %s | ", rows[i].name, rows[i].kind, by_whom(i));
        put_help(out, rows[i].help);
        (void)fputs(" |\n", out);
    }
    (void)fputs(beside, out);
    put_families(out);
    cr_assert_eq(fclose(out), 0);
    return text;
}

Test(metrics_reference, the_documentation_is_what_the_table_says)
{
    char *wanted = reference();
    if (getenv("RC_UPDATE_FILES") != NULL) {
        FILE *file = fopen(REFERENCE, "w");
        cr_assert(file != NULL && fputs(wanted, file) >= 0 && fclose(file) == 0);
    }
    FILE *file = fopen(REFERENCE, "r");
    cr_assert(file != NULL, "no " REFERENCE);
    char *text = NULL;
    size_t capacity = 0;
    const ssize_t bytes = getdelim(&text, &capacity, '\0', file);
    cr_assert(bytes > 0 && strcmp(text, wanted) == 0, REFERENCE
              " is not what metrics.def says: RC_UPDATE_FILES=1 build/asan/tests/common/metrics/test_reference -j1");
    (void)fclose(file);
    free(text);
    free(wanted);
}

Test(metrics_reference, every_metric_says_what_it_counts)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_geq(strlen(rows[i].help), 10, "%s", rows[i].name);
    }
}
