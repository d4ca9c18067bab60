/* Counters of backends: where a call is counted, what a reload does to them, and how they are shown. */
#include "worker/backend/count.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/metrics/backends.h"

static struct rc_backend_counters counters[RC_CONFIG_BACKENDS_MAX];
static struct rc_config config;

static void named(struct rc_config_text *names, const char *first, const char *second)
{
    (void)snprintf(names[0].text, sizeof(names[0].text), "%s", first);
    (void)snprintf(names[1].text, sizeof(names[1].text), "%s", second);
}

Test(backend_count, a_reload_keeps_numbers_with_their_names)
{
    struct rc_config_text before[2] = {0};
    struct rc_config_text after[2] = {0};
    named(before, "a", "b");
    named(after, "new", "a");
    rc_backend_count_call(&counters[0], RC_BACKEND_EVENT, -1, 1500);
    rc_backend_count_call(&counters[1], RC_BACKEND_EVENT, RC_BACKEND_REASON_LATE, 1500);
    rc_backend_count_reorder(counters, before, 2, after, 2);
    cr_expect_eq(counters[0].calls[RC_BACKEND_EVENT].calls, 0);
    cr_expect_eq(counters[1].calls[RC_BACKEND_EVENT].calls, 1);
    cr_expect_eq(counters[1].calls[RC_BACKEND_EVENT].failures[RC_BACKEND_REASON_LATE], 0);
}

Test(backend_count, they_are_shown_as_sums_with_labels)
{
    struct rc_backend_counters other[RC_CONFIG_BACKENDS_MAX];
    const struct rc_backend_counters *const both[] = {counters, other};
    memset(other, 0, sizeof(other));
    config.backend_count = 1;
    (void)snprintf(config.backends[0].name.text, sizeof(config.backends[0].name.text), "app");
    for (int kind = 0; kind < RC_BACKEND_CALL_KINDS; kind++) {
        rc_backend_count_call(&counters[0], (enum rc_backend_call_kind)kind, -1, 1500);
    }
    rc_backend_count_call(&other[0], RC_BACKEND_EVENT, RC_BACKEND_REASON_REPLY, 7000000);
    const size_t bytes = rc_backend_metrics_render(&config, both, 2, "web1", NULL, 0);
    char *text = calloc(1, bytes + 1);
    cr_assert_eq(rc_backend_metrics_render(&config, both, 2, "web1", text, bytes), bytes);
    for (int kind = 0; kind < RC_BACKEND_CALL_KINDS; kind++) { /* the names there are those of the calls */
        char line[128];
        (void)snprintf(line, sizeof(line),
                       "ringcast_backend_calls_total{instance=\"web1\",backend=\"app\",call=\"%s\"} %d\n",
                       rc_backend_call_name((enum rc_backend_call_kind)kind), kind == RC_BACKEND_EVENT ? 2 : 1);
        cr_expect_not_null(strstr(text, line), "%s", line);
    }
    cr_expect_not_null(strstr(text, "call=\"event\",reason=\"reply\"} 1\n"));
    cr_expect_not_null(strstr(text, "call=\"event\",le=\"0.001\"} 0\n"));
    cr_expect_not_null(strstr(text, "call=\"event\",le=\"0.002\"} 1\n"));
    cr_expect_not_null(strstr(text, "call=\"event\",le=\"5\"} 1\n"));
    cr_expect_not_null(strstr(text, "call=\"event\",le=\"+Inf\"} 2\n"));
    cr_expect_not_null(strstr(text, "call=\"event\"} 7.001500\n"));
    free(text);
    config.backend_count = 0;
    cr_expect_eq(rc_backend_metrics_render(&config, both, 2, "web1", NULL, 0), 0);
}
