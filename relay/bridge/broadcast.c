/* broadcast: see broadcast.h. */
#include "relay/bridge/broadcast.h"

#define CHANNEL RC_BROADCAST_CHANNEL

static void broadcast_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_broadcast *broadcast = context;
    const struct rc_bridge *bridge = broadcast->bridge;
    struct rc_envelope_view view;
    (void)channel;
    if (rc_wire_read(bridge->wire, message, CHANNEL, &view) != RC_WIRE_GOOD) {
        return;
    }
    view.channel = "*";
    view.head.channel_bytes = 1;
    view.head.flags |= RC_ENVELOPE_BROADCAST;
    (void)bridge->host.deliver(bridge->host.context, RC_DOWN_MESSAGE, &view);
}

void rc_broadcast_open(struct rc_broadcast *broadcast, const struct rc_bridge *bridge)
{
    *broadcast = (struct rc_broadcast){
        .bridge = bridge, .subscription = {.name = CHANNEL, .message = broadcast_received, .context = broadcast}};
    rc_redis_subscribe(bridge->link, &broadcast->subscription);
}

void rc_broadcast_publish(struct rc_broadcast *broadcast, const struct rc_envelope_view *view, uint32_t flags)
{
    struct rc_span parts[RC_WIRE_PARTS];
    if (rc_wire_write(broadcast->bridge->wire, RC_WIRE_BROADCAST, view, parts)) {
        (void)rc_redis_publish(broadcast->bridge->link, RC_SPAN(CHANNEL), parts, RC_WIRE_PARTS, flags);
    }
}
