/* Who falls off its log goes on in the history, where that has what it lacks. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/recover_rig.h"

static struct recover_rig rig;

static void open_rig(void)
{
    recover_rig_open(
        &rig,
        &(struct hub_rig_options){
            .slots = 4, .slow_consumer = RC_SLOW_SKIP, .channel_log_bytes = 2048, .channel_log_messages = 4},
        1 << 20);
}

static void close_rig(void)
{
    recover_rig_close(&rig);
}

TestSuite(replay, .init = open_rig, .fini = close_rig);

/* A subscriber that takes little, and messages until it has fallen off; the last one. */
static int fall_off(uint32_t *client)
{
    *client = hub_rig_connect(&rig.hub, HUB_RIG_UNIX, RC_CODEC_JSON, false, 1);
    cr_assert_eq(recover_rig_subscribe(&rig, *client, "a", NULL), RC_SUBSCRIBE_WAITS);
    recover_rig_acknowledge(&rig, "a");
    int n = 0;
    while (rc_metric_get(rig.hub.metrics, RC_METRIC_SLOW_HEALED) == 0 &&
           rc_metric_get(rig.hub.metrics, RC_METRIC_SLOW_SKIPPED) == 0) {
        n++;
        recover_rig_publish(&rig, "a", n, n);
        hub_rig_run(&rig.hub);
        cr_assert(n < 10000);
    }
    return n;
}

static void expect_all(uint32_t client, int last)
{
    char wanted[65536];
    size_t used = (size_t)snprintf(wanted, sizeof(wanted), "S0");
    for (int i = 1; i <= last; i++) {
        used += (size_t)snprintf(wanted + used, sizeof(wanted) - used, " %d=%d", i, i);
    }
    cr_assert_str_eq(recover_rig_heard(&rig, client, true), wanted);
}

Test(replay, nothing_is_missing)
{
    uint32_t client;
    rig.hub.config->namespaces[0].history = 1000000;
    rig.kept.config.namespaces[0].history = 1000000;
    const int last = fall_off(&client);
    hub_rig_check(&rig.hub);
    recover_rig_publish(&rig, "a", last + 1, last + 5);
    expect_all(client, last + 5);
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_GAPS), 0);
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_REPLAYS), 0);
}

Test(replay, what_the_history_has_not_is_a_gap)
{
    uint32_t client;
    rig.hub.config->namespaces[0].history = rig.kept.config.namespaces[0].history = 1;
    (void)fall_off(&client);
    cr_assert_eq(rc_metric_get(rig.hub.metrics, RC_METRIC_SLOW_HEALED), 0);
    cr_assert_not_null(strstr(recover_rig_heard(&rig, client, true), " G "));
}

Test(replay, it_ends_with_its_subscription_and_its_client)
{
    uint32_t client;
    rig.hub.config->namespaces[0].history = rig.kept.config.namespaces[0].history = 1000000;
    (void)fall_off(&client);
    hub_rig_unsubscribe(&rig.hub, client, "a");
    cr_assert_eq(rig.hub.truth.replays.used, 0);
    hub_rig_check(&rig.hub);
    rc_metric_set(rig.hub.metrics, RC_METRIC_SLOW_HEALED, 0);
    uint32_t other;
    (void)fall_off(&other);
    hub_rig_hang_up(&rig.hub, other);
    hub_rig_run(&rig.hub);
    cr_assert_eq(rig.hub.truth.replays.used, 0);
    hub_rig_check(&rig.hub);
}
