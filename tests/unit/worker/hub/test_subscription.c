/* Subscribing by name: the one way in, for clients, backends and the server. */
#include <criterion/criterion.h>

#include "tests/support/hub_rig.h"

static struct hub_rig rig;

static enum rc_subscribed by_name(uint32_t client, const char *name, enum rc_subscriber by)
{
    return rc_hub_subscribe_name(&rig.hub, client, rc_span_text(name), by, (struct rc_span){0}, 0);
}

static void acknowledge(const char *name, bool local)
{
    rc_hub_acknowledged(&rig.hub, rc_hub_channel(&rig.hub, rc_span_text(name)),
                        &(struct rc_hub_acknowledgement){.local = local});
}

Test(subscription, the_limit_counts_who_waits_for_clients_and_backends)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    rig.config->limits.max_channels = 2;
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    cr_assert_eq(by_name(client, "a", RC_SUBSCRIBER_CLIENT), RC_SUBSCRIBE_WAITS);
    cr_assert_eq(by_name(client, "b", RC_SUBSCRIBER_BACKEND), RC_SUBSCRIBE_WAITS);
    cr_assert_eq(by_name(client, "c", RC_SUBSCRIBER_CLIENT), RC_SUBSCRIBE_LIMITED);
    cr_assert_eq(by_name(client, "c", RC_SUBSCRIBER_BACKEND), RC_SUBSCRIBE_LIMITED);
    acknowledge("a", false);
    acknowledge("b", false);
    cr_assert_eq(by_name(client, "a", RC_SUBSCRIBER_CLIENT), RC_SUBSCRIBED, "again");
    cr_assert_eq(by_name(client, "c", RC_SUBSCRIBER_CLIENT), RC_SUBSCRIBE_LIMITED);
    cr_assert_eq(rc_truth_client(&rig.truth, client)->pending_count, 0);
    cr_assert_eq(by_name(client, "user:1", RC_SUBSCRIBER_SERVER), RC_SUBSCRIBE_WAITS, "the configuration's own");
    cr_assert(rc_truth_client(&rig.truth, client)->flags & RC_CLIENT_WAITS_JOIN);
    acknowledge("user:1", false);
    cr_assert_eq(rc_truth_client(&rig.truth, client)->subscription_count, 3);
    cr_assert_eq(rig.joined, 1);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

Test(subscription, a_client_asks_again_where_the_promise_was_local)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    const uint32_t other = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    cr_assert_eq(by_name(client, "a", RC_SUBSCRIBER_CLIENT), RC_SUBSCRIBE_WAITS);
    acknowledge("a", true);
    cr_assert_eq(by_name(client, "a", RC_SUBSCRIBER_BACKEND), RC_SUBSCRIBED);
    cr_assert_eq(by_name(other, "a", RC_SUBSCRIBER_BACKEND), RC_SUBSCRIBED, "it is heard on this host");
    cr_assert_eq(by_name(client, "a", RC_SUBSCRIBER_CLIENT), RC_SUBSCRIBE_WAITS, "how far does it reach now?");
    acknowledge("a", false);
    cr_assert_eq(by_name(client, "a", RC_SUBSCRIBER_CLIENT), RC_SUBSCRIBED);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

Test(subscription, there_is_no_room_for_more_channels)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    rig.config->limits.max_channels_per_worker = rig.truth.channels.used;
    for (enum rc_subscriber by = RC_SUBSCRIBER_CLIENT; by <= RC_SUBSCRIBER_SERVER; by++) {
        cr_assert_eq(by_name(client, "a", by), RC_SUBSCRIBE_NO_ROOM);
    }
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}

Test(subscription, who_waits_for_the_servers_joins_goes_on_after_the_last_request_whoever_made_it)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 2});
    const uint32_t joined = rig.joined;
    const uint32_t client = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    cr_assert_eq(by_name(client, "user:1", RC_SUBSCRIBER_SERVER), RC_SUBSCRIBE_WAITS);
    cr_assert_eq(by_name(client, "room", RC_SUBSCRIBER_CLIENT), RC_SUBSCRIBE_WAITS);
    acknowledge("user:1", false);
    cr_assert(rc_truth_client(&rig.truth, client)->flags & RC_CLIENT_WAITS_JOIN);
    acknowledge("room", false);
    cr_assert_not(rc_truth_client(&rig.truth, client)->flags & RC_CLIENT_WAITS_JOIN);
    cr_assert_eq(rig.joined, joined + 1);
    hub_rig_check(&rig);
    hub_rig_close(&rig);
}
