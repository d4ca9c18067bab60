/* direct: see direct.h. */
#include "relay/bridge/direct.h"

#include <stdio.h>
#include <string.h>

#define HEAD "ws:direct:"

static void direct_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_direct *direct = context;
    const struct rc_bridge *bridge = direct->bridge;
    struct rc_envelope_view view;
    struct rc_client_ref target;
    if (rc_wire_read(bridge->wire, message, HEAD, &view) != RC_WIRE_GOOD) {
        return;
    }
    const size_t head = strlen(HEAD);
    if (channel.count <= head ||
        rc_client_id_read((const char *)channel.bytes + head, channel.count - head, bridge->wire->instance_id,
                          bridge->wire->boot_nonce, &target) != RC_CLIENT_ID_LOCAL) {
        rc_metric_add(bridge->wire->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
        return;
    }
    view.head.target = target;
    if (!bridge->host.deliver(bridge->host.context, RC_DOWN_DIRECT, &view)) {
        rc_metric_add(bridge->wire->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    }
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

bool rc_direct_publish(struct rc_direct *direct, const struct rc_envelope_view *view)
{
    const struct rc_bridge *bridge = direct->bridge;
    struct rc_span parts[RC_WIRE_PARTS];
    struct rc_client_ref nobody;
    char name[RC_CLIENT_ID_MAX + sizeof(HEAD)];
    if (rc_client_id_read(view->channel, view->head.channel_bytes, bridge->wire->instance_id, bridge->wire->boot_nonce,
                          &nobody) != RC_CLIENT_ID_FOREIGN) {
        return false;
    }
    const int bytes = snprintf(name, sizeof(name), HEAD "%.*s", (int)view->head.channel_bytes, view->channel);
    return rc_wire_write(bridge->wire, RC_WIRE_DIRECT, view, parts) &&
           rc_redis_publish(bridge->link, rc_span_of(name, (size_t)bytes), parts, RC_WIRE_PARTS,
                            RC_REDIS_PUBLISH_TO_ONE) == 0;
}
