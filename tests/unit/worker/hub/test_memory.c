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
