/* White-box tests of worker/hub/throttle.c: what min_interval holds back, replaces and lets go, and when. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/hub_rig.h"

#define INTERVAL_MS 100u
#define SMALL 4608 /* the least SO_SNDBUF that Linux grants */

static struct hub_rig rig;

static void open_rig(void)
{
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 8});
    rig.config->namespaces[0].min_interval_ms = INTERVAL_MS;
}

static void close_rig(void)
{
    hub_rig_close(&rig);
}

TestSuite(throttle, .init = open_rig, .fini = close_rig);

static uint32_t subscriber(const char *channel)
{
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, false, 0);
    hub_rig_subscribe(&rig, slot, channel);
    return slot;
}

static void publish(const char *channel, const char *key, const char *text)
{
    cr_assert_eq(hub_rig_publish_key(&rig, channel, key, rc_span_text(text), NULL, 0), 0);
    hub_rig_check(&rig);
}

/* Time goes on, and what is due is released and sent. */
static void pass(uint32_t ms)
{
    rig.now_ns += (uint64_t)ms * 1000000u;
    while (!rc_hub_timers(&rig.hub)) {
        hub_rig_run(&rig);
    }
    hub_rig_drain(&rig);
    hub_rig_check(&rig);
}

/* Everything that the client got since, with blanks between. */
static const char *got(uint32_t slot)
{
    static char text[4096];
    size_t used = 0;
    uint8_t opcode;
    struct rc_span payload;
    hub_rig_drain(&rig);
    text[0] = '\0';
    while (hub_rig_frame(&rig, slot, &opcode, &payload)) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%.*s", used > 0 ? " " : "", (int)payload.count,
                                 (const char *)payload.bytes);
    }
    return text;
}

static uint64_t metric(enum rc_metric_id id)
{
    return rc_metric_get(rig.metrics, id);
}

Test(throttle, first_goes_at_once_and_the_last_of_a_burst_when_the_time_is_up)
{
    const uint32_t slot = subscriber("c");
    for (char text[2] = "1"; text[0] <= '5'; text[0]++) {
        publish("c", NULL, text);
    }
    cr_assert_str_eq(got(slot), "1");
    cr_assert_eq(rc_hub_sleep_ms(&rig.hub, 1000), INTERVAL_MS);
    pass(INTERVAL_MS - 1);
    cr_assert_str_eq(got(slot), "");
    cr_assert_eq(rc_hub_sleep_ms(&rig.hub, 1000), 1);
    pass(1);
    cr_assert_str_eq(got(slot), "5");
    cr_assert_eq(metric(RC_METRIC_THROTTLED), 3);
    publish("c", NULL, "6");
    cr_assert_str_eq(got(slot), "", "the release began the time anew");
    pass(INTERVAL_MS);
    cr_assert_str_eq(got(slot), "6");
    pass(INTERVAL_MS);
    cr_assert_eq(rig.truth.throttles.used, 0, "quiet costs nothing");
    cr_assert_eq(rc_hub_sleep_ms(&rig.hub, 1000), 1000);
    publish("c", NULL, "7");
    cr_assert_str_eq(got(slot), "7");
    cr_assert_eq(metric(RC_METRIC_THROTTLED), 3);
}

Test(throttle, channels_and_keys_wait_for_themselves_alone)
{
    const uint32_t slot = subscriber("c");
    hub_rig_subscribe(&rig, slot, "d");
    publish("c", "BTC", "1");
    publish("c", "ETH", "2");
    publish("c", NULL, "3");
    publish("d", "BTC", "4");
    cr_assert_str_eq(got(slot), "1 2 3 4");
    publish("c", "BTC", "5");
    publish("c", "ETH", "6");
    publish("c", "BTC", "7");
    publish("d", "BTC", "8");
    rig.now_ns += (INTERVAL_MS - 1) * UINT64_C(1000000);
    cr_assert(rc_hub_timers(&rig.hub));
    cr_assert_str_eq(got(slot), "");
    hub_rig_unsubscribe(&rig, slot, "d");
    pass(1);
    cr_assert_str_eq(got(slot), "7 6");
    cr_assert_eq(metric(RC_METRIC_THROTTLED), 1);
}

Test(throttle, beyond_max_keys_all_further_keys_are_one)
{
    const uint32_t slot = subscriber("c");
    rig.config->namespaces[0].max_keys = 2;
    publish("c", "a", "1");
    publish("c", "b", "2");
    publish("c", "x", "3");
    publish("c", "y", "4");
    publish("c", "a", "5");
    publish("c", "z", "6");
    cr_assert_str_eq(got(slot), "1 2 3");
    cr_assert_eq(rig.truth.throttles.used, 3);
    pass(INTERVAL_MS);
    cr_assert_str_eq(got(slot), "5 6");
    cr_assert_eq(metric(RC_METRIC_THROTTLED), 1);
}

/* A key that shared its throttle must not overtake what waits there, though there is room for its own now. */
Test(throttle, key_that_gets_room_does_not_overtake_itself)
{
    const uint32_t slot = subscriber("c");
    rig.config->namespaces[0].max_keys = 1;
    publish("c", "a", "1");
    pass(INTERVAL_MS / 2);
    publish("c", "x", "2");
    publish("c", "y", "3");
    pass(INTERVAL_MS / 2); /* the throttle of "a" ends */
    rig.config->namespaces[0].max_keys = 10;
    publish("c", "y", "4");
    cr_assert_str_eq(got(slot), "1 2");
    pass(INTERVAL_MS / 2);
    cr_assert_str_eq(got(slot), "4");
}

Test(throttle, exclusion_is_that_of_the_message_that_is_released)
{
    const uint32_t one = subscriber("c");
    const uint32_t two = subscriber("c");
    const struct rc_client_ref first = hub_rig_ref(&rig, one);
    const struct rc_client_ref second = hub_rig_ref(&rig, two);
    publish("c", NULL, "1");
    cr_assert_eq(hub_rig_publish(&rig, "c", RC_SPAN("2"), &first, 1), 0);
    cr_assert_eq(hub_rig_publish(&rig, "c", RC_SPAN("3"), &second, 1), 0);
    pass(INTERVAL_MS);
    cr_assert_str_eq(got(one), "1 3");
    cr_assert_str_eq(got(two), "1");
    cr_assert_eq(metric(RC_METRIC_EXCLUDED), 1);
}

/* What was held for the last subscriber is not for who comes after it. */
Test(throttle, held_message_goes_with_the_last_subscriber)
{
    const uint32_t slot = subscriber("c");
    publish("c", NULL, "1");
    publish("c", NULL, "2");
    (void)got(slot);
    hub_rig_unsubscribe(&rig, slot, "c");
    cr_assert_eq(rig.truth.throttles.used, 0);
    cr_assert_eq(rig.hub.held_bytes, 0);
    hub_rig_subscribe(&rig, slot, "c");
    pass(INTERVAL_MS);
    cr_assert_str_eq(got(slot), "");
    publish("c", NULL, "3");
    cr_assert_str_eq(got(slot), "3");
    publish("c", NULL, "4");
    hub_rig_hang_up(&rig, slot);
    hub_rig_run(&rig);
    hub_rig_run(&rig);
    cr_assert_eq(rig.hub.held_bytes, 0);
}

/* Who subscribes while a message waits gets it too: it is the state that the channel has. */
Test(throttle, newcomer_gets_what_is_released_after_it_came)
{
    const uint32_t first = subscriber("c");
    publish("c", NULL, "1");
    publish("c", NULL, "2");
    const uint32_t second = subscriber("c");
    publish("c", NULL, "3");
    pass(INTERVAL_MS);
    cr_assert_str_eq(got(first), "1 3");
    cr_assert_str_eq(got(second), "3");
}

Test(throttle, released_message_stands_behind_what_was_delivered_before_it)
{
    const uint32_t slot = subscriber("c");
    hub_rig_subscribe(&rig, slot, "other");
    rig.config->namespaces[0].min_interval_ms = INTERVAL_MS;
    publish("c", NULL, "1");
    publish("c", NULL, "2");
    publish("other", NULL, "3");
    rig.now_ns += INTERVAL_MS * UINT64_C(1000000);
    cr_assert(rc_hub_timers(&rig.hub));
    publish("other", "later", "4");
    cr_assert_str_eq(got(slot), "1 3 2 4");
}

Test(throttle, drain_lets_everything_go_and_holds_nothing_more)
{
    const uint32_t slot = subscriber("c");
    publish("c", NULL, "1");
    publish("c", NULL, "2");
    publish("c", "k", "3");
    publish("c", "k", "4");
    cr_assert(rc_hub_drain(&rig.hub));
    cr_assert_eq(rig.truth.throttles.used, 0);
    publish("c", NULL, "5");
    publish("c", NULL, "6");
    cr_assert_str_eq(got(slot), "1 3 2 4 5 6");
}

Test(throttle, reload_changes_the_interval_of_what_waits)
{
    const uint32_t slot = subscriber("c");
    publish("c", NULL, "1");
    publish("c", NULL, "2");
    rig.config->namespaces[0].min_interval_ms = 1000;
    rc_hub_reconfigure(&rig.hub, rig.config);
    pass(INTERVAL_MS);
    cr_assert_str_eq(got(slot), "1");
    rig.config->namespaces[0].min_interval_ms = 200;
    rc_hub_reconfigure(&rig.hub, rig.config);
    pass(INTERVAL_MS);
    cr_assert_str_eq(got(slot), "2");
    publish("c", NULL, "3");
    rig.config->namespaces[0].min_interval_ms = 0;
    rc_hub_reconfigure(&rig.hub, rig.config);
    publish("c", NULL, "4"); /* before the loop has let "3" go: it must not overtake it */
    pass(0);
    publish("c", NULL, "5");
    cr_assert_str_eq(got(slot), "4 5");
    cr_assert_eq(rig.truth.throttles.used, 0);
}

/* A reload may put channels of two namespaces into one queue. */
Test(throttle, reload_that_moves_channels_keeps_the_queue_in_order)
{
    struct rc_config *config = rig.config;
    config->namespace_count = 2;
    config->namespaces[1] = config->namespaces[0];
    strcpy(config->namespaces[1].name, "n");
    config->namespaces[1].name_bytes = 1;
    const uint32_t slot = subscriber("c");
    hub_rig_subscribe(&rig, slot, "n:1");
    publish("n:1", NULL, "1");
    pass(10);
    publish("c", NULL, "2");
    cr_assert_str_eq(got(slot), "1 2");
    publish("c", NULL, "3");
    publish("n:1", NULL, "4");
    config->namespace_count = 1;
    rc_hub_reconfigure(&rig.hub, config);
    hub_rig_check(&rig);
    pass(INTERVAL_MS - 1);
    cr_assert_str_eq(got(slot), "");
    pass(1);
    const char *both = got(slot);
    cr_assert(strcmp(both, "3 4") == 0 || strcmp(both, "4 3") == 0, "%s", both);
}

/* What cannot be held is sent at once: sooner too early than lost. */
Test(throttle, message_that_finds_no_memory_is_not_held)
{
    const uint32_t slot = subscriber("c");
    publish("c", NULL, "1");
    publish("c", NULL, "2");
    (void)got(slot);
    const uint64_t budget = rig.config->limits.worker_log_bytes;
    char large[3000];
    memset(large, '7', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    rig.config->limits.worker_log_bytes = 2048;
    rig.hub.held_bytes += 2048; /* as if others held so much */
    cr_assert_eq(hub_rig_publish(&rig, "c", rc_span_text(large), NULL, 0), 0);
    rig.hub.held_bytes -= 2048;
    rig.config->limits.worker_log_bytes = budget;
    cr_assert_eq(rig.hub.held_bytes, 0);
    cr_assert(metric(RC_METRIC_MEMORY_REFUSALS) > 0);
    cr_assert_eq(metric(RC_METRIC_THROTTLED), 1);
    publish("c", NULL, "8");
    pass(INTERVAL_MS);
    (void)got(slot);
    pass(INTERVAL_MS);
    publish("c", NULL, "9");
    cr_assert_str_eq(got(slot), "9");
}

/* A released message that one encoding has got already is tried again for the other, and only there. */
Test(throttle, release_into_a_full_log_goes_on_after_the_turn)
{
    rig.config->limits.channel_log_bytes = 65536;
    const uint32_t raw = subscriber("c");
    const uint32_t json = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
    hub_rig_subscribe(&rig, json, "c");
    char text[600];
    uint32_t key = 0;
    int rc = 0;
    publish("c", NULL, "1");
    memset(text, '2', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    publish("c", NULL, text);
    (void)got(raw);
    (void)got(json);
    memset(text, '5', sizeof(text) - 1);
    rig.config->namespaces[0].max_keys = 1000;
    while (rc == 0) {
        char name[16];
        (void)snprintf(name, sizeof(name), "k%u", key++);
        rc = hub_rig_publish_key(&rig, "c", name, rc_span_text(text), NULL, 0);
    }
    cr_assert_eq(rc, -ENOSPC);
    const uint64_t mask = rig.hub.kept->partial_mask;
    rig.now_ns += INTERVAL_MS * UINT64_C(1000000);
    cr_assert_not(rc_hub_timers(&rig.hub), "there is no room for it now");
    cr_assert_eq(rig.hub.kept->partial_mask, mask, "the other message's place is kept");
    rig.hub.kept->partial_mask = 0;
    pass(0);
    uint32_t twos = 0;
    uint8_t opcode;
    struct rc_span payload;
    for (uint32_t i = 0; i < 2; i++) {
        while (hub_rig_frame(&rig, i == 0 ? raw : json, &opcode, &payload)) {
            twos += payload.bytes[payload.count - (i == 0 ? 1 : 2)] == '2';
        }
    }
    cr_assert_eq(twos, 2);
}

/* Releasing may cut off the channel's only subscriber, and the throttle with it. */
Test(throttle, release_that_ends_the_last_subscriber)
{
    rig.config->limits.channel_log_bytes = 8192;
    rig.config->namespaces[0].slow_consumer = RC_SLOW_DISCONNECT;
    const uint32_t slow = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, false, SMALL);
    hub_rig_subscribe(&rig, slow, "c");
    char text[3000];
    memset(text, '5', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (uint32_t i = 0; i < 40 && metric(RC_METRIC_SLOW_DISCONNECTED) == 0; i++) {
        cr_assert_eq(hub_rig_publish(&rig, "c", rc_span_text(text), NULL, 0), 0);
        rig.now_ns += INTERVAL_MS * UINT64_C(1000000);
        while (!rc_hub_timers(&rig.hub)) {
            hub_rig_run(&rig);
        }
        hub_rig_run(&rig);
        hub_rig_check(&rig);
    }
    cr_assert_eq(metric(RC_METRIC_SLOW_DISCONNECTED), 1);
    cr_assert_eq(rig.truth.throttles.used, 0);
}

Test(throttle, everybody_is_not_throttled)
{
    const uint32_t slot = hub_rig_connect(&rig, HUB_RIG_UNIX, RC_CODEC_RAW, true, 0);
    publish("*", NULL, "1");
    publish("*", NULL, "2");
    cr_assert_str_eq(got(slot), "1 2");
}
