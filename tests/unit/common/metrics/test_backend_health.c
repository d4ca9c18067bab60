/* Backends as several processes found them. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/metrics/backend_health.h"

static struct rc_relay_report relay;
static struct rc_report workers[2];
static struct rc_control control = {.worker_count = 2, .relay = &relay, .workers = {&workers[0], &workers[1]}};

Test(backend_health, none_is_there_until_it_is_registered)
{
    struct rc_backend_summary one;
    for (uint32_t i = 0; i < RC_BACKENDS_MAX; i++) {
        cr_expect_not(rc_backend_health_get(&control, i, &one));
    }
    rc_backend_health_register(&workers[1], 3, "sessions");
    cr_assert(rc_backend_health_get(&control, 3, &one));
    cr_expect_str_eq(one.name, "sessions");
    cr_expect_not(one.failing, "nothing is known against it");
    cr_expect_eq(one.success_ms + one.failure_ms + one.failures, 0u);
    cr_expect_not(rc_backend_health_get(&control, 2, &one));
    rc_backend_health_retire(&workers[1], 3);
    cr_expect_not(rc_backend_health_get(&control, 3, &one));
}

Test(backend_health, the_last_that_anybody_heard_counts)
{
    struct rc_backend_summary one;
    rc_backend_health_register(&relay.report, 0, "a");
    rc_backend_health_register(&workers[0], 0, "a");
    rc_backend_health_register(&workers[1], 0, "a");
    rc_backend_health_note(&workers[0], 0, true);
    cr_assert(rc_backend_health_get(&control, 0, &one));
    cr_expect(one.success_ms > 0 && one.failure_ms == 0 && !one.failing);
    workers[0].backend_health[0].success_ms = 1000;
    workers[1].backend_health[0].failure_ms = 1001;
    workers[1].backend_health[0].failures = 3;
    relay.report.backend_health[0].failures = 2;
    cr_assert(rc_backend_health_get(&control, 0, &one));
    cr_expect(one.failing && one.failures == 5 && one.success_ms == 1000 && one.failure_ms == 1001);
    relay.report.backend_health[0].success_ms = 1002;
    cr_assert(rc_backend_health_get(&control, 0, &one));
    cr_expect_not(one.failing);
    rc_backend_health_note(&workers[1], 0, false);
    cr_assert(rc_backend_health_get(&control, 0, &one));
    cr_expect(one.failing && one.failures == 6 && one.failure_ms <= rc_clock_ms());
}

Test(backend_health, it_is_heard_of_by_whoever_is_registered)
{
    cr_expect_eq(rc_backend_health_heard_ms(&control, 0), 0u);
    rc_backend_health_register(&relay.report, 0, "a");
    rc_backend_health_register(&workers[0], 0, "a");
    rc_backend_health_register(&workers[1], 0, "a");
    cr_expect_eq(rc_backend_health_heard_ms(&control, 0), 0u);
    relay.report.backend_health[0].success_ms = 1000;
    workers[0].backend_health[0].failure_ms = 1001;
    workers[1].backend_health[0].success_ms = 1002;
    workers[1].backend_health[0].failure_ms = 999;
    cr_expect_eq(rc_backend_health_heard_ms(&control, 0), 1002u);
    rc_backend_health_retire(&workers[1], 0);
    cr_expect_eq(rc_backend_health_heard_ms(&control, 0), 1001u);
}

Test(backend_health, who_asks_is_heard_of_by_the_others)
{
    cr_expect_eq(rc_backend_health_looked_ms(&control, 15, 0), 0u);
    rc_backend_health_note_look(&workers[0], 15, 7999);
    cr_expect_eq(rc_backend_health_looked_ms(&control, 15, 0), 0u);
    cr_expect_eq(rc_backend_health_looked_ms(&control, 15, 1), 7000u);
    cr_expect_eq(rc_backend_health_looked_ms(&control, 14, 1), 0u);
    rc_backend_health_note_look(&workers[1], 15, 9000);
    cr_expect_eq(rc_backend_health_looked_ms(&control, 15, 2), 9000u);
}

Test(backend_health, a_reload_forgets_what_was_anothers)
{
    struct rc_backend_summary one;
    rc_backend_health_register(&workers[0], 0, "a");
    rc_backend_health_note(&workers[0], 0, false);
    rc_backend_health_register(&workers[0], 0, "a");
    cr_assert(rc_backend_health_get(&control, 0, &one));
    cr_expect_eq(one.failures, 1u);
    rc_backend_health_register(
        &workers[0], 0,
        "a name that is longer than ninety-five bytes, as one of a [[backend]] can never be: it has sixty-four of them");
    cr_assert(rc_backend_health_get(&control, 0, &one));
    cr_expect_eq(one.failures, 0u);
    cr_expect_str_eq(one.name,
                     "a name that is longer than ninety-five bytes, as one of a [[backend]] can never be: it has sixt");
}

Test(backend_health, how_it_failed_stands_until_it_answers_or_is_another)
{
    rc_backend_health_register(&workers[0], 0, "a");
    rc_backend_health_register(&workers[1], 0, "a");
    rc_backend_health_note(&workers[0], 0, false);
    cr_expect_eq(rc_backend_health_wrong_ms(&control, 0), 0u);
    const uint64_t now_ms = rc_clock_ms();
    rc_backend_health_note_wrong(&workers[0], 0, true);
    rc_backend_health_note(&workers[0], 0, false);
    rc_backend_health_register(&workers[0], 0, "a"); /* also by a process that comes in this one's place */
    const uint64_t wrong_ms = rc_backend_health_wrong_ms(&control, 0);
    cr_expect(wrong_ms > now_ms && wrong_ms <= rc_clock_ms() + 1000);
    rc_backend_health_note(&workers[0], 0, true);
    cr_expect_eq(rc_backend_health_wrong_ms(&control, 0), 0u);
    rc_backend_health_note_wrong(&workers[0], 0, true);
    workers[1].backend_health[0].success_ms = wrong_ms + 60000; /* in whichever process */
    cr_expect_eq(rc_backend_health_wrong_ms(&control, 0), 0u);
    workers[1].backend_health[0].success_ms = 0;
    cr_expect_neq(rc_backend_health_wrong_ms(&control, 0), 0u);
    rc_backend_health_register(&workers[0], 0, "b");
    cr_expect_eq(rc_backend_health_wrong_ms(&control, 0), 0u);
}

Test(backend_health, the_name_in_anothers_memory_may_be_anything)
{
    struct rc_backend_summary one;
    rc_backend_health_register(&workers[0], 0, "a");
    memset(workers[0].backend_health[0].name, 0xff, sizeof(workers[0].backend_health[0].name));
    workers[0].backend_health[0].name[0] = '"';
    cr_assert(rc_backend_health_get(&control, 0, &one));
    cr_expect_eq(one.name[0], '"');
    cr_expect_eq(strspn(one.name + 1, "?"), sizeof(one.name) - 2);
}
