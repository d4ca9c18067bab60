/* Hostile clients, for a moment: tests/stress/engine_hostile.c has a million inputs. */
#include <criterion/criterion.h>

#include "common/base/log.h"
#include "tests/support/engine_storm.h"

Test(storm, hostile_clients_leave_nothing_behind, .timeout = 120)
{
    rc_log_set_level(RC_LOG_ERROR);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        const struct engine_storm_result result = engine_storm(8000, seed);
        cr_assert_gt(result.upgrades, 0);
        cr_assert_gt(result.events, 100);
        cr_assert_gt(result.answers, 5);
        cr_assert_gt(result.errors, 100);
    }
}
