/* Counters of backends: what a reload does to them. */
#include "worker/backend/count.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct rc_backend_counters counters[RC_CONFIG_BACKENDS_MAX];

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
