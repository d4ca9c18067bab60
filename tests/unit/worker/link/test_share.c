/* Who has the channels of a worker when they are short: clients of linked processes, and all others. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/support/link_rig.h"
#include "worker/link/link_io.h"

#define MOST 64u

static struct link_rig rig;
static uint32_t native;

static void open_rig(void)
{
    link_rig_open(&rig);
    rig.c.rig.config->limits.max_channels_per_worker = MOST;
    rig.c.rig.config->limits.max_channels = 2 * MOST;
    native = hub_rig_connect(&rig.c.rig, HUB_RIG_UNIX, RC_CODEC_JSON, false, 0);
}

static void close_rig(void)
{
    link_rig_close(&rig);
}

TestSuite(link_share, .init = open_rig, .fini = close_rig);

/* How many more channels the native client can have. */
static uint32_t native_takes(void)
{
    static uint32_t number;
    uint32_t taken = 0;
    enum rc_subscribed is = RC_SUBSCRIBE_WAITS;
    while (is == RC_SUBSCRIBE_WAITS) {
        char name[16];
        (void)snprintf(name, sizeof(name), "native %u", number++);
        is = rc_hub_subscribe_name(&rig.c.rig.hub, native, rc_span_text(name), RC_SUBSCRIBER_BACKEND,
                                   (struct rc_span){0}, 0);
        taken += is == RC_SUBSCRIBE_WAITS;
    }
    cr_assert_eq(is, RC_SUBSCRIBE_NO_ROOM);
    return taken;
}

/* Does the client stay, whose socket is in a namespace of its own, a room of its process's making? */
static bool joins(uint32_t client, uint32_t number)
{
    uint8_t payload[] = "\x02\x00/a\x02\x00sa\x00"; /* namespace, sid, no rooms */
    payload[3] = payload[7] = (uint8_t)(0x20 + number);
    rc_link_join(rig.links, client, rc_span_of(payload, sizeof(payload)));
    return !(rc_truth_client(&rig.c.rig.truth, client)->flags & RC_CLIENT_BROKEN);
}

static uint64_t refused(void)
{
    return rc_metric_get(rig.c.rig.metrics, RC_METRIC_LINK_ROOMS_REFUSED);
}

Test(link_share, others_leave_a_process_its_share)
{
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    const uint32_t client = link_rig_client(&rig, link);
    const uint32_t before = rig.c.rig.truth.channels.used;
    cr_assert_eq(native_takes(), MOST - MOST / 4 - before);
    for (uint32_t i = 0; i < MOST / 4; i++) {
        cr_assert(joins(client, i), "room %u", i);
        cr_assert_eq(native_takes(), 0, "what it has made is not kept any more, and not free either");
    }
    cr_assert_eq(rig.c.rig.truth.channels.used, MOST);
    cr_assert_eq(refused(), 0);
    cr_assert_not(joins(client, MOST));
    cr_assert_eq(refused(), 1);
}

Test(link_share, without_links_nothing_is_kept)
{
    struct rc_link *link = link_rig_link(&rig, "one", UINT64_MAX);
    const uint32_t client = link_rig_client(&rig, link);
    const uint32_t before = rig.c.rig.truth.channels.used;
    link->state = RC_LINK_GREETING; /* not ready yet */
    rig.links->ready--;
    cr_assert_eq(native_takes(), MOST - before);
    link->state = RC_LINK_IS_READY;
    rig.links->ready++;
    cr_assert_not(joins(client, 0), "it came too late");
    cr_assert_eq(refused(), 1, "counted, although it is within its share");
}
