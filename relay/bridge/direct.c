/* direct: see direct.h. */
#include "relay/bridge/direct.h"

#include <stdio.h>
#include <string.h>

#include "common/records/channel_name.h"

#define HEAD "ws:direct:"

/* `name` is that of a client of this instance, or of the room of a socket: whom it is for. */
static bool direct_target(struct rc_direct *direct, struct rc_span name, struct rc_envelope_view *view)
{
    const struct rc_wire *wire = direct->bridge->wire;
    const size_t head = strlen(wire->instance_id) + 1;
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    if (rc_client_id_read((const char *)name.bytes, name.count, wire->instance_id, wire->boot_nonce,
                          &view->head.target) == RC_CLIENT_ID_LOCAL) {
        return true;
    }
    if (name.count <= head) {
        return false;
    }
    (void)rc_channel_split(rc_span_of(name.bytes + head, name.count - head), &nsp, &room);
    if (!rc_sid_read(&sid, room) || nsp.count > RC_NSP_MAX) { /* one of another instance may have come back here */
        return false;
    }
    const size_t bytes = rc_channel_of_room(direct->everybody, sizeof(direct->everybody), nsp, (struct rc_span){0});
    view->head.target = sid.client;
    view->channel = direct->everybody;
    view->head.channel_bytes = (uint8_t)bytes;
    return bytes > 0;
}

/* One for several rooms, or with exceptions, a socket of this instance among them: its room is what the channel names. */
static bool direct_select(const struct rc_direct *direct, struct rc_span name, struct rc_envelope_view *view)
{
    const struct rc_bridge *bridge = direct->bridge;
    const size_t head = strlen(bridge->wire->instance_id) + 1;
    char text[RC_SELECT_BYTES];
    return name.count > head && name.count - head <= RC_CHANNEL_NAME_MAX &&
           rc_wire_select(bridge->wire, rc_span_of(name.bytes + head, name.count - head), view, text) &&
           bridge->host.deliver(bridge->host.context, RC_DOWN_SELECT, view);
}

static bool direct_deliver(struct rc_direct *direct, struct rc_span name, struct rc_envelope_view *view)
{
    const struct rc_bridge *bridge = direct->bridge;
    if (rc_wire_selects(bridge->wire)) {
        return direct_select(direct, name, view);
    }
    return direct_target(direct, name, view) && bridge->host.deliver(bridge->host.context, RC_DOWN_DIRECT, view);
}

static void direct_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_direct *direct = context;
    const struct rc_bridge *bridge = direct->bridge;
    struct rc_envelope_view view;
    if (rc_wire_read(bridge->wire, message, HEAD, &view) != RC_WIRE_GOOD) {
        return;
    }
    const size_t head = strlen(HEAD);
    if (channel.count <= head ||
        !direct_deliver(direct, rc_span_of(channel.bytes + head, channel.count - head), &view)) {
        rc_metric_add(bridge->wire->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    }
}

void rc_direct_mark(char *name, size_t capacity, const char *instance_id)
{
    (void)snprintf(name, capacity, HEAD "%s~upgrade", instance_id);
}

void rc_direct_open(struct rc_direct *direct, const struct rc_bridge *bridge)
{
    *direct = (struct rc_direct){.bridge = bridge};
    /* Nothing in an instance id is special in a glob. */
    (void)snprintf(direct->pattern, sizeof(direct->pattern), HEAD "%s~*", bridge->wire->instance_id);
    direct->subscription = (struct rc_redis_subscription){
        .name = direct->pattern, .pattern = true, .message = direct_received, .context = direct};
    rc_redis_subscribe(bridge->link, &direct->subscription);
}

static bool direct_send(struct rc_direct *direct, struct rc_span channel, enum rc_wire_form form,
                        const struct rc_envelope_view *view)
{
    const struct rc_bridge *bridge = direct->bridge;
    struct rc_span parts[RC_WIRE_PARTS];
    return rc_wire_write(bridge->wire, form, view, parts) &&
           rc_redis_publish(bridge->link, channel, parts, RC_WIRE_PARTS, RC_REDIS_PUBLISH_TO_ONE) == 0;
}

bool rc_direct_publish(struct rc_direct *direct, const struct rc_envelope_view *view)
{
    const struct rc_wire *wire = direct->bridge->wire;
    struct rc_client_ref nobody;
    char name[RC_CLIENT_ID_MAX + sizeof(HEAD)];
    if (rc_client_id_read(view->channel, view->head.channel_bytes, wire->instance_id, wire->boot_nonce, &nobody) !=
        RC_CLIENT_ID_FOREIGN) {
        return false;
    }
    const int bytes = snprintf(name, sizeof(name), HEAD "%.*s", (int)view->head.channel_bytes, view->channel);
    return direct_send(direct, rc_span_of(name, (size_t)bytes), RC_WIRE_DIRECT, view);
}

static bool direct_to_socket(struct rc_direct *direct, const char *instance, struct rc_span channel,
                             enum rc_wire_form form, const struct rc_envelope_view *view)
{
    char name[sizeof(HEAD) + RC_INSTANCE_ID_MAX + 1 + RC_CHANNEL_NAME_MAX];
    const int bytes =
        snprintf(name, sizeof(name), HEAD "%s~%.*s", instance, (int)channel.count, (const char *)channel.bytes);
    return direct_send(direct, rc_span_of(name, (size_t)bytes), form, view);
}

bool rc_direct_publish_socket(struct rc_direct *direct, const char *instance, const struct rc_envelope_view *view)
{
    return direct_to_socket(direct, instance, rc_span_of(view->channel, view->head.channel_bytes), RC_WIRE_DIRECT,
                            view);
}

bool rc_direct_select_socket(struct rc_direct *direct, const char *instance, struct rc_span socket,
                             const struct rc_envelope_view *view)
{
    return direct_to_socket(direct, instance, socket, RC_WIRE_ROOMS, view);
}
