/* Counters of backends as /metrics shows them. */
#include "common/metrics/backend_calls.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/backend/count.h"

static struct rc_backend_counters counters[RC_CONFIG_BACKENDS_MAX];
static struct rc_config config;

Test(backend_calls, they_are_shown_as_sums_with_labels)
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
    struct rc_exposition to = {0};
    rc_backend_calls_render(&to, &config, both, 2);
    const size_t bytes = to.bytes;
    char *text = calloc(1, bytes + 1);
    to = (struct rc_exposition){.out = text, .capacity = bytes};
    rc_backend_calls_render(&to, &config, both, 2);
    cr_assert_eq(to.bytes, bytes);
    for (int kind = 0; kind < RC_BACKEND_CALL_KINDS; kind++) { /* the names there are those of the calls */
        char line[128];
        (void)snprintf(line, sizeof(line), "ringcast_backend_calls_total{backend=\"app\",call=\"%s\"} %d\n",
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
    to = (struct rc_exposition){0};
    rc_backend_calls_render(&to, &config, both, 2);
    cr_expect_eq(to.bytes, 0);
}
