/* mark: whom the turn has to look at: who has something of its own to get, and who is to end. See hub.h. */
#include "worker/hub/hub_internal.h"

#include <string.h>

#include "common/base/check.h"

void rc_hub_mark_ready(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if ((client->flags & (RC_CLIENT_POLLED | RC_CLIENT_READY)) == RC_CLIENT_POLLED &&
        rc_index_list_push(&hub->ready, client_index) == 0) {
        client->flags |= RC_CLIENT_READY;
    }
}

void rc_hub_tell_ready(struct rc_hub *hub)
{
    /* Who is marked again meanwhile is told behind the next turn: what it waits for may need one, or what comes down. */
    const uint32_t count = hub->ready.count;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t index = hub->ready.items[i];
        struct rc_client *client = rc_truth_client(hub->truth, index);
        client->flags &= (uint16_t)~RC_CLIENT_READY;
        if (client->flags & RC_CLIENT_POLLED) {
            const uint32_t outer = rc_hub_rests(hub, index);
            hub->handlers.ready(hub->handlers.context, index);
            rc_hub_worked(hub, outer);
        }
    }
    hub->ready.count -= count;
    if (hub->ready.count > 0) {
        memmove(hub->ready.items, hub->ready.items + count, hub->ready.count * sizeof(*hub->ready.items));
    }
}

void rc_hub_touch(struct rc_hub *hub, uint32_t client_index)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    const struct rc_socket *socket = rc_truth_socket_of(hub->truth, client);
    if (socket == NULL) {
        rc_hub_mark_ready(hub, client_index);
        return;
    }
    if ((client->flags & RC_CLIENT_DIRTY) || (socket->flags & RC_SOCKET_BLOCKED)) {
        return; /* it comes into the turn when its socket is writable */
    }
    if (rc_index_list_push(&hub->dirty_clients, client_index) == 0) {
        client->flags |= RC_CLIENT_DIRTY;
    }
}

void rc_hub_touch_socket(struct rc_hub *hub, uint32_t socket_index)
{
    struct rc_socket *socket = &hub->truth->sockets[socket_index];
    if (socket->client != 0) {
        rc_hub_touch(hub, socket->client);
    } else if (!(socket->flags & (RC_SOCKET_DIRTY | RC_SOCKET_BLOCKED)) &&
               rc_index_list_push(&hub->dirty_sockets, socket_index) == 0) {
        socket->flags |= RC_SOCKET_DIRTY;
    }
}

bool rc_hub_takes_volatile(struct rc_hub *hub, uint32_t client_index)
{
    const struct rc_client *client = rc_truth_client(hub->truth, client_index);
    const struct rc_socket *socket = rc_truth_socket_of(hub->truth, client);
    const bool takes = !(client->flags & RC_CLIENT_LATE) && (socket == NULL ? (client->flags & RC_CLIENT_POLLED) != 0
                                                                            : !(socket->flags & RC_SOCKET_BLOCKED));
    if (!takes) {
        rc_metric_add(hub->metrics, RC_METRIC_VOLATILE_DROPPED, 1);
        rc_metric_add(hub->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    }
    return takes;
}

static void mark_ending(struct rc_hub *hub, uint32_t client_index, uint16_t flag)
{
    struct rc_client *client = rc_truth_client(hub->truth, client_index);
    if (!(client->flags & (RC_CLIENT_BROKEN | RC_CLIENT_CUT_OFF))) {
        const int rc = rc_index_list_push(&hub->ending, client_index);
        RC_ASSERT(rc == 0); /* no memory to end a client */
    }
    client->flags |= flag;
}

void rc_hub_break(struct rc_hub *hub, uint32_t client_index)
{
    rc_metric_add(hub->metrics, RC_METRIC_MEMORY_REFUSALS, 1);
    mark_ending(hub, client_index, RC_CLIENT_BROKEN);
}

void rc_hub_cut_off(struct rc_hub *hub, uint32_t client_index)
{
    mark_ending(hub, client_index, RC_CLIENT_CUT_OFF);
}
