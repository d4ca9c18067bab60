/* gaps: see gaps.h. */
#include "relay/bridge/gaps.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "relay/bridge/broadcast.h"
#include "relay/bridge/channel.h"
#include "relay/bridge/foreign.h"
#include "relay/bridge/gap_wire.h"
#include "relay/redis/losses.h"

#define CHANNEL "ws:instances:gap"

/* --- this instance's losses ------------------------------------------------------------------------------------------ */

static bool announce_some(struct rc_gaps *gaps, const struct rc_span *names, uint32_t count, bool placed)
{
    const struct rc_bridge *bridge = gaps->bridge;
    size_t bytes;
    char *text = rc_gap_message_write(bridge->wire->instance_id, bridge->wire->boot_nonce, gaps->serial + 1, names,
                                      count, placed, &bytes);
    if (text == NULL) {
        return false;
    }
    const bool sent = rc_redis_announce(bridge->link, RC_SPAN(CHANNEL), rc_span_of(text, bytes)) == 0;
    free(text);
    gaps->serial += sent;
    rc_metric_add(bridge->wire->metrics, RC_METRIC_REDIS_LOSSES_TOLD, sent ? (count > 0 ? count : 1) : 0);
    return sent;
}

/* What clients call the channel; it was one of the bridges' that published with RC_REDIS_PUBLISH_TOLD. */
static struct rc_span client_name(struct rc_span redis_name)
{
    const struct rc_span head = RC_SPAN(RC_CHANNEL_BRIDGE_HEAD);
    if (rc_span_equal(redis_name, RC_SPAN(RC_BROADCAST_CHANNEL))) {
        return RC_SPAN("*");
    }
    RC_ASSERT(rc_span_starts_with(redis_name, head) && redis_name.count > head.count);
    return rc_span_of(redis_name.bytes + head.count, redis_name.count - head.count);
}

static bool gaps_announce(void *context, const struct rc_redis_losses *losses)
{
    struct rc_gaps *gaps = context;
    struct rc_span names[RC_GAP_CHANNELS_MAX];
    struct rc_span name;
    uint32_t count = 0;
    uint32_t at = 0;
    if (losses->all) {
        return announce_some(gaps, NULL, 0, losses->placed);
    }
    while (rc_redis_losses_next(losses, &at, &name)) {
        names[count++] = client_name(name);
        if (count == RC_GAP_CHANNELS_MAX) {
            if (!announce_some(gaps, names, count, false)) {
                return false;
            }
            count = 0;
        }
    }
    return count == 0 || announce_some(gaps, names, count, false);
}

/* --- those of others ------------------------------------------------------------------------------------------------- */

static void gaps_tell(const struct rc_gaps *gaps, struct rc_span channel, enum rc_missed missed)
{
    const struct rc_bridge *bridge = gaps->bridge;
    rc_metric_add(bridge->wire->metrics, RC_METRIC_REDIS_LOSSES_HEARD, 1);
    bridge->host.missed(bridge->host.context, channel, missed);
}

static void gaps_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_gaps *gaps = context;
    const struct rc_wire *wire = gaps->bridge->wire;
    struct rc_gap_message gap;
    struct rc_json_cursor cursor;
    struct rc_span name;
    char text[RC_CHANNEL_NAME_MAX];
    const char *why;
    (void)channel;
    if (!rc_foreign_received(gaps->bridge, CHANNEL, message)) {
        return;
    }
    const int rc = rc_gap_message_read(&gap, message, &why);
    if (rc < 0) {
        rc_foreign_refused(gaps->bridge, CHANNEL, message, rc, why);
        return;
    }
    const struct rc_span from = rc_span_of(gap.from, gap.from_bytes);
    if (rc_span_equal(from, rc_span_text(wire->instance_id))) {
        return; /* its clients here have got what others have not */
    }
    if (!rc_seen_first(&gaps->seen, from, gap.boot, gap.seq)) {
        rc_metric_add(wire->metrics, RC_METRIC_REDIS_DUPLICATES, 1);
        return;
    }
    rc_log_limited(RC_LOG_INFO, 2, "redis_losses_heard", "from=\"%.*s\" all=%d", gap.from_bytes, gap.from, gap.all);
    if (gap.all) {
        gaps_tell(gaps, (struct rc_span){0}, gap.placed ? RC_MISSED_LOST : RC_MISSED_DOUBTED);
        return;
    }
    int got = rc_gap_message_begin(&cursor, &gap);
    while (got >= 0 && (got = rc_gap_message_next(&cursor, text, &name)) == 1) {
        gaps_tell(gaps, name, RC_MISSED_LOST);
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

void rc_gaps_open(struct rc_gaps *gaps, const struct rc_bridge *bridge)
{
    *gaps =
        (struct rc_gaps){.bridge = bridge,
                         .serial = rc_clock_ms(), /* beyond those of a predecessor, which told one a second at most */
                         .subscription = {.name = CHANNEL, .message = gaps_received, .context = gaps}};
    const struct rc_redis_loss_ops ops = {.announce = gaps_announce, .context = gaps};
    rc_redis_subscribe(bridge->link, &gaps->subscription);
    rc_redis_tell_losses(bridge->link, &ops);
}

void rc_gaps_close(struct rc_gaps *gaps)
{
    rc_seen_free(&gaps->seen);
}
