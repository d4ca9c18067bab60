/* The place of a channel's logs in its history: what was lost on the way to the worker is read from there, what comes twice is dropped. */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/support/recover_rig.h"

static struct recover_rig rig;

static void open_rig(void)
{
    recover_rig_open(&rig, &(struct hub_rig_options){.slots = 4, .slow_consumer = RC_SLOW_SKIP}, 1 << 20);
}

static void close_rig(void)
{
    recover_rig_close(&rig);
}

TestSuite(place, .init = open_rig, .fini = close_rig);

static const struct rc_place *place_of(const char *name)
{
    const uint32_t channel = rc_hub_channel(&rig.hub.hub, rc_span_text(name));
    const uint32_t place = rc_truth_channel(&rig.hub.truth, channel)->place;
    return place == 0 ? NULL : rc_truth_place(&rig.hub.truth, place);
}

Test(place, a_message_that_did_not_come_is_read)
{
    const uint32_t client = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 1);
    (void)recover_rig_route(&rig, "a", "2", NULL, NULL);
    const struct rc_envelope_view third = recover_rig_route(&rig, "a", "3", NULL, NULL);
    recover_rig_down(&rig, &third);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S0 1=1 2=2 3=3");
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_HEALED), 1);
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_GAPS), 0);
    cr_assert_eq(place_of("a")->position, 3);
}

Test(place, a_loss_that_is_told_is_healed_at_once)
{
    const uint32_t client = recover_rig_join(&rig, "a");
    const uint32_t other = recover_rig_join(&rig, "b");
    (void)recover_rig_route(&rig, "a", "1", NULL, NULL);
    struct rc_envelope_view second = recover_rig_route(&rig, "a", "2", NULL, NULL);
    cr_assert_eq(rc_hub_lost(&rig.hub.hub, RC_SPAN("a"), false), 0);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S0 1=1 2=2");
    recover_rig_down(&rig, &second);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "", "it was read already");
    (void)recover_rig_route(&rig, "a", "3", NULL, NULL);
    (void)recover_rig_route(&rig, "b", "1", NULL, NULL);
    cr_assert_eq(rc_hub_lost(&rig.hub.hub, RC_SPAN("a"), true), 0);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "3=3 G", "some of it is in no history");
    cr_assert_eq(rc_hub_lost(&rig.hub.hub, RC_SPAN(""), true), 0);
    cr_assert_str_eq(recover_rig_heard(&rig, other, true), "S0 1=1");
}

Test(place, what_the_history_has_not_is_a_gap)
{
    const uint32_t client = recover_rig_join(&rig, "a");
    recover_rig_publish(&rig, "a", 1, 1);
    (void)recover_rig_route(&rig, "a", "2", NULL, NULL);
    rc_history_clear(&rig.kept.store, history_rig_slot(&rig.kept, "a"));
    recover_rig_publish(&rig, "a", 3, 3);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S0 1=1 G 3=3");
    cr_assert_eq(rc_hub_lost(&rig.hub.hub, RC_SPAN("a"), false), 0);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "G");
}

Test(place, it_lives_as_long_as_the_channel_is_wanted_and_kept)
{
    cr_assert_null(place_of("a"));
    const uint32_t client = recover_rig_join(&rig, "a");
    cr_assert_eq(place_of("a")->epoch, recover_rig_epoch(&rig, "a"));
    hub_rig_unsubscribe(&rig.hub, client, "a");
    cr_assert_eq(rig.hub.truth.places.used, 0);
    recover_rig_publish(&rig, "a", 1, 1);
    cr_assert_eq(rig.hub.truth.places.used, 0, "nobody wants it");
    cr_assert_eq(recover_rig_subscribe(&rig, client, "a", NULL), RC_SUBSCRIBE_WAITS);
    recover_rig_acknowledge(&rig, "a");
    cr_assert_eq(place_of("a")->position, 1);
    rig.hub.config->namespaces[0].min_interval_ms = 10; /* throttled: offsets would come out of order */
    rc_hub_reconfigure(&rig.hub.hub, rig.hub.config);
    cr_assert_null(place_of("a"));
    recover_rig_publish(&rig, "a", 2, 2);
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), "S0 S1 ?=2");
    rig.hub.config->namespaces[0].min_interval_ms = 0;
    rc_hub_reconfigure(&rig.hub.hub, rig.hub.config);
    rig.hub.now_ns += 1000000000u;
    (void)rc_hub_timers(&rig.hub.hub);
    recover_rig_publish(&rig, "a", 3, 3);
    cr_assert_eq(place_of("a")->position, 3, "the next message says where it is");
}
