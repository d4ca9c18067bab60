/* Sessions that join no namespace: how many there may be of an address, and in all; the oldest make room. */
#include "worker/engine/unjoined.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/engine_rig.h"

static struct engine_rig r;

static void open_all(void)
{
    engine_rig_open(&r);
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(unjoined, .init = open_all, .fini = close_all);

static uint64_t metric(enum rc_metric_id id)
{
    return rc_metric_get(r.c.rig.metrics, id);
}

Test(unjoined, who_joins_or_ends_is_not_among_them)
{
    engine_rig_begin(&r, false);
    const uint32_t first = r.session;
    cr_assert_eq(metric(RC_METRIC_ENGINE_UNJOINED), 1);
    engine_rig_begin(&r, true);
    cr_assert_eq(metric(RC_METRIC_ENGINE_UNJOINED), 1, "the second has joined");
    rc_client_end(&r.c.clients, first);
    cr_assert_eq(metric(RC_METRIC_ENGINE_UNJOINED), 0);
    rc_unjoined_remove(&r.engines, first);
    cr_assert_eq(metric(RC_METRIC_ENGINE_UNJOINED), 0);
}

Test(unjoined, of_too_many_the_oldest_end)
{
    uint32_t sessions[4];
    for (uint32_t i = 0; i < 4; i++) {
        engine_rig_begin(&r, false);
        sessions[i] = r.session;
    }
    r.c.rig.config->socketio.max_unjoined = 2;
    rc_unjoined_remove(&r.engines, sessions[1]); /* out of the middle: as if it had joined */
    rc_engines_timers(&r.engines);
    cr_assert(!engine_rig_lives(&r, sessions[0]));
    cr_assert(engine_rig_lives(&r, sessions[1]) && engine_rig_lives(&r, sessions[2]) &&
              engine_rig_lives(&r, sessions[3]));
    cr_assert_eq(metric(RC_METRIC_ENGINE_UNJOINED_ENDED), 1);
    r.c.rig.config->socketio.max_unjoined = 0;
    engine_rig_begin(&r, false);
    rc_engines_timers(&r.engines);
    cr_assert_eq(metric(RC_METRIC_ENGINE_UNJOINED), 3, "no bound");
}

Test(unjoined, an_address_has_so_many)
{
    const struct rc_address here = {.bytes = {[10] = 255, [11] = 255, [12] = 127, [15] = 1}};
    const struct rc_address elsewhere = {.bytes = {[10] = 255, [11] = 255, [12] = 10, [15] = 1}};
    r.c.rig.config->socketio.max_unjoined_per_address = 2;
    engine_rig_begin(&r, false);
    const uint32_t first = r.session;
    engine_rig_begin(&r, false);
    rc_unjoined_remove(&r.engines, first);
    rc_unjoined_remove(&r.engines, r.session);
    rc_unjoined_add(&r.engines, first, &here);
    cr_assert(rc_unjoined_admits(&r.engines, &here));
    rc_unjoined_add(&r.engines, r.session, &here);
    cr_assert(!rc_unjoined_admits(&r.engines, &here));
    cr_assert(rc_unjoined_admits(&r.engines, &elsewhere));
    cr_assert_eq(metric(RC_METRIC_ENGINE_UNJOINED_REFUSED), 1);
    rc_unjoined_remove(&r.engines, first);
    cr_assert(rc_unjoined_admits(&r.engines, &here));
    r.c.rig.config->socketio.max_unjoined_per_address = 0;
    rc_unjoined_add(&r.engines, first, &here);
    cr_assert(rc_unjoined_admits(&r.engines, &here), "no bound");
}
