/* What the hub does when it has no memory left for messages. */
#include <criterion/criterion.h>

#include "tests/support/hub_rig.h"

static void open_starving(struct hub_rig *rig, uint32_t slots[2])
{
    hub_rig_open(rig, &(struct hub_rig_options){.slots = 4});
    for (uint32_t i = 0; i < 2; i++) {
        slots[i] = hub_rig_connect(rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
        hub_rig_subscribe(rig, slots[i], "c");
    }
}

static bool next_is(struct hub_rig *rig, uint32_t slot, const char *text)
{
    uint8_t opcode;
    struct rc_span payload;
    return hub_rig_frame(rig, slot, &opcode, &payload) && rc_span_equal(payload, rc_span_text(text));
}

Test(hub_memory, who_missed_a_message_is_told_without_another_one)
{
    struct hub_rig rig;
    uint32_t slots[2];
    uint8_t opcode;
    struct rc_span payload;
    open_starving(&rig, slots);
    const uint64_t budget = rig.config->limits.worker_log_bytes;
    rig.config->limits.worker_log_bytes = 1;
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(hub_rig_publish(&rig, "c", RC_SPAN("1"), NULL, 0), 0);
    }
    rc_hub_tell_gaps(&rig.hub);
    hub_rig_drain(&rig);
    cr_assert(!hub_rig_frame(&rig, slots[0], &opcode, &payload), "there is no memory for the notice either");
    cr_assert_eq(rc_metric_get(rig.metrics, RC_METRIC_FAILED_DELIVERIES), 6);
    rig.config->limits.worker_log_bytes = budget;
    rc_hub_tell_gaps(&rig.hub);
    hub_rig_drain(&rig);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert(next_is(&rig, slots[i], "{\"type\":\"gap\",\"channel\":\"c\"}"));
        cr_assert(!hub_rig_frame(&rig, slots[i], &opcode, &payload), "once");
    }
    cr_assert_eq(rig.hub.owing_groups.count, 0);
    hub_rig_close(&rig);
}

Test(hub_memory, who_left_before_being_told_leaves_nothing)
{
    struct hub_rig rig;
    uint32_t slots[2];
    open_starving(&rig, slots);
    const uint64_t budget = rig.config->limits.worker_log_bytes;
    rig.config->limits.worker_log_bytes = 1;
    cr_assert_eq(hub_rig_publish(&rig, "c", RC_SPAN("1"), NULL, 0), 0);
    for (uint32_t i = 0; i < 2; i++) {
        hub_rig_unsubscribe(&rig, slots[i], "c");
    }
    rig.config->limits.worker_log_bytes = budget;
    hub_rig_subscribe(&rig, slots[0], "d");
    rc_hub_tell_gaps(&rig.hub);
    hub_rig_drain(&rig);
    cr_assert_eq(hub_rig_publish(&rig, "d", RC_SPAN("2"), NULL, 0), 0);
    hub_rig_drain(&rig);
    cr_assert(next_is(&rig, slots[0], "{\"type\":\"message\",\"channel\":\"d\",\"data\":2}"));
    hub_rig_close(&rig);
}

static char large[256 * 1024];

/* A client that takes little at a time is sent `count` large messages, and a turn after each; is it still there? */
static bool stays(struct hub_rig *rig, uint32_t slot, uint32_t count)
{
    memset(large, 'l', sizeof(large));
    for (uint32_t i = 0; i < count && rc_truth_client(&rig->truth, slot)->state == RC_CLIENT_OPEN; i++) {
        cr_assert_eq(hub_rig_publish(rig, "c", rc_span_of(large, sizeof(large)), NULL, 0), 0);
        hub_rig_run(rig);
        hub_rig_check(rig);
    }
    return rc_truth_client(&rig->truth, slot)->state == RC_CLIENT_OPEN;
}

static uint32_t small_client(struct hub_rig *rig, const char *channel)
{
    const uint32_t slot = hub_rig_connect(rig, HUB_RIG_UNIX, RC_CODEC_RAW, false, 4608);
    hub_rig_subscribe(rig, slot, channel);
    return slot;
}

/* channel_log holds four of 256 KiB: who is five behind is not slow for that. */
Test(hub_memory, few_large_messages_do_not_make_a_client_slow)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4, .channel_log_messages = 64});
    const uint32_t slot = small_client(&rig, "c");
    cr_assert(stays(&rig, slot, 40));
    hub_rig_drain(&rig);
    uint32_t count = 0;
    uint8_t opcode;
    struct rc_span payload;
    while (hub_rig_frame(&rig, slot, &opcode, &payload)) {
        cr_assert_eq(payload.count, sizeof(large));
        count++;
    }
    cr_assert_eq(count, 40);
    cr_assert_eq(rig.hub.log_bytes, 0, "the larger block goes when nobody is behind");
    cr_assert(!stays(&rig, slot, 150), "but more than 64, and what else their block has room for, do");
    cr_assert_leq(rig.hub.log_bytes, 32 << 20);
    hub_rig_close(&rig);
}

Test(hub_memory, logs_of_large_messages_leave_the_others_half_of_the_budget)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4, .channel_log_messages = 64, .worker_log_bytes = 16 << 20});
    const uint32_t slot = small_client(&rig, "c");
    const uint32_t other = small_client(&rig, "d");
    cr_assert(stays(&rig, slot, 20), "8 MiB hold 20 and more");
    cr_assert_leq(rig.hub.log_bytes, 8 << 20);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(hub_rig_publish(&rig, "d", rc_span_of(large, sizeof(large)), NULL, 0), 0);
        hub_rig_run(&rig);
    }
    cr_assert_eq(rc_truth_client(&rig.truth, other)->state, RC_CLIENT_OPEN);
    cr_assert(!stays(&rig, slot, 40));
    cr_assert_eq(rc_truth_client(&rig.truth, other)->state, RC_CLIENT_OPEN);
    hub_rig_close(&rig);
}

/* What the turn has not sent is bounded by channel_log as ever: the ring waits for the turn, and who is behind is not cut off. */
Test(hub_memory, large_messages_wait_for_the_turn)
{
    struct hub_rig rig;
    hub_rig_open(&rig, &(struct hub_rig_options){.slots = 4, .channel_log_messages = 64});
    const uint32_t slot = small_client(&rig, "c");
    cr_assert(stays(&rig, slot, 10));
    uint32_t count = 0;
    while (hub_rig_publish(&rig, "c", rc_span_of(large, sizeof(large)), NULL, 0) == 0) {
        count++;
        cr_assert_leq(count, 16);
    }
    cr_assert_geq(count, 1);
    hub_rig_run(&rig);
    cr_assert(stays(&rig, slot, 10));
    hub_rig_close(&rig);
}
