/* channel: see channel.h. */
#include "relay/bridge/channel.h"

#include <string.h>

#define HEAD RC_CHANNEL_BRIDGE_HEAD

/* One for several rooms, that of that name among them, or with exceptions: for the room, or everybody in its namespace, but not for who is in them. */
static void channel_select(const struct rc_channel_bridge *channel, struct rc_span name, struct rc_envelope_view *view)
{
    const struct rc_bridge *bridge = channel->bridge;
    char text[RC_SELECT_BYTES];
    if (rc_wire_select(bridge->wire, name, view, text)) {
        (void)bridge->host.deliver(bridge->host.context, RC_DOWN_SELECT, view);
    }
}

static void channel_received(void *context, struct rc_span name, struct rc_span message)
{
    struct rc_channel_bridge *channel = context;
    const struct rc_bridge *bridge = channel->bridge;
    struct rc_envelope_view view;
    if (bridge->host.placed != NULL && bridge->host.placed(bridge->host.context, name, message)) {
        return;
    }
    if (rc_wire_read(bridge->wire, message, HEAD, &view) != RC_WIRE_GOOD || name.count > RC_CHANNEL_NAME_MAX) {
        return;
    }
    view.channel = (const char *)name.bytes;
    view.head.channel_bytes = (uint8_t)name.count;
    if (rc_wire_selects(bridge->wire)) {
        channel_select(channel, name, &view);
        return;
    }
    (void)bridge->host.deliver(bridge->host.context, RC_DOWN_MESSAGE, &view);
}

static void channel_wanted(void *context, uint64_t hash, struct rc_span name, uint32_t worker, uint64_t token,
                           bool confirmed)
{
    struct rc_channel_bridge *channel = context;
    const struct rc_bridge *bridge = channel->bridge;
    bridge->host.interested(bridge->host.context, hash, name, worker, token, confirmed);
}

static void channel_changed(void *context, uint64_t hash, struct rc_span name, enum rc_redis_change change)
{
    const struct rc_channel_bridge *channel = context;
    const struct rc_bridge *bridge = channel->bridge;
    if (bridge->host.changed != NULL) {
        bridge->host.changed(bridge->host.context, hash, name, change);
    }
}

static void channel_missed(void *context, struct rc_span name)
{
    const struct rc_channel_bridge *channel = context;
    channel->bridge->host.missed(channel->bridge->host.context, name, RC_MISSED_HERE);
}

static bool channel_known(void *context)
{
    const struct rc_channel_bridge *channel = context;
    return channel->bridge->host.known(channel->bridge->host.context);
}

void rc_channel_bridge_open(struct rc_channel_bridge *channel, const struct rc_bridge *bridge)
{
    *channel = (struct rc_channel_bridge){.bridge = bridge};
    const struct rc_redis_channel_ops ops = {.message = channel_received,
                                             .wanted = channel_wanted,
                                             .missed = channel_missed,
                                             .changed = channel_changed,
                                             .known = channel_known,
                                             .context = channel,
                                             .head = HEAD};
    rc_redis_channels(bridge->link, &ops);
}

static struct rc_span channel_name(char name[sizeof(HEAD) + RC_CHANNEL_NAME_MAX], const struct rc_envelope_view *view)
{
    memcpy(name, HEAD, sizeof(HEAD) - 1);
    memcpy(name + sizeof(HEAD) - 1, view->channel, view->head.channel_bytes);
    return rc_span_of(name, sizeof(HEAD) - 1 + view->head.channel_bytes);
}

static void channel_publish(const struct rc_channel_bridge *channel, enum rc_wire_form form,
                            const struct rc_envelope_view *view, uint32_t flags)
{
    struct rc_span parts[RC_WIRE_PARTS];
    char name[sizeof(HEAD) + RC_CHANNEL_NAME_MAX];
    if (rc_wire_write(channel->bridge->wire, form, view, parts)) {
        (void)rc_redis_publish(channel->bridge->link, channel_name(name, view), parts, RC_WIRE_PARTS,
                               flags | RC_REDIS_PUBLISH_SHARDED);
    }
}

bool rc_channel_bridge_never(const struct rc_channel_bridge *channel, const struct rc_envelope_view *view)
{
    struct rc_span parts[RC_WIRE_PARTS];
    char name[sizeof(HEAD) + RC_CHANNEL_NAME_MAX];
    return rc_wire_write(channel->bridge->wire, RC_WIRE_CHANNEL, view, parts) &&
           rc_redis_publish_never(channel->bridge->link, channel_name(name, view), parts, RC_WIRE_PARTS,
                                  RC_REDIS_PUBLISH_SHARDED);
}

void rc_channel_bridge_publish(struct rc_channel_bridge *channel, const struct rc_envelope_view *view, uint32_t flags)
{
    channel_publish(channel, RC_WIRE_CHANNEL, view, flags);
}

void rc_channel_bridge_select(struct rc_channel_bridge *channel, const struct rc_envelope_view *view, uint32_t flags)
{
    channel_publish(channel, RC_WIRE_SELECT, view, flags);
}
