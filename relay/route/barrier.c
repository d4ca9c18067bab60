/* barrier: clients that move from one worker to another (worker/move). Part of the router: see router.h. */
#include "relay/route/router.h"

#include <string.h>

/* Can the worker be told of a place in the order: is nothing missing before it, and does it read, so that the other one does not wait long? */
static bool barrier_may(const struct rc_router *router, uint32_t worker)
{
    const struct rc_relay_port *port = worker < router->setup.port_count ? &router->setup.ports[worker] : NULL;
    return port != NULL && rc_worker_set_has(&router->fanout.live, worker) && rc_port_overflow_used(port) == 0 &&
           !rc_port_stalled(port) && rc_gap_set_empty(&port->gaps) &&
           rc_acknowledgements_empty(&port->acknowledgements);
}

/* The client, or its socket, is at this worker from here on. */
static void guest_is(struct rc_router *router, const struct rc_client_ref *client, uint32_t worker)
{
    if (rc_guests_put(&router->fanout.guests, client, worker) < 0) {
        rc_metric_add(router->setup.metrics, RC_METRIC_GUESTS_REFUSED, 1);
    }
    if (router->setup.recovery != NULL) {
        rc_recovery_moved(router->setup.recovery, client->random, worker); /* not only when it says so: until then */
    }
}

void rc_router_barrier(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record,
                       uint64_t sequence)
{
    const struct rc_envelope *head = &record->view.head;
    const uint32_t to = head->target.worker;
    struct rc_envelope_view down = {.head = {.sequence = sequence,
                                             .token = head->token,
                                             .origin = {.worker = (uint16_t)port->index},
                                             .data_bytes = head->data_bytes},
                                    .data = record->view.data};
    if (!record->current || !rc_worker_set_has(&router->fanout.live, port->index)) {
        return; /* it died, and its clients with it */
    }
    const bool may = to != port->index && barrier_may(router, port->index) && barrier_may(router, to);
    if (!may || rc_fanout_send(&router->fanout, &router->setup.ports[to], RC_DOWN_BARRIER, &down) != 0) {
        down.head.code = RC_ROUTE_UNAVAILABLE;
    }
    for (uint32_t at = 0; down.head.code == 0 && at < head->data_bytes; at += sizeof(struct rc_client_ref)) {
        struct rc_client_ref client;
        memcpy(&client, record->view.data + at, sizeof(client));
        guest_is(router, &client, to);
    }
    rc_metric_set(router->setup.metrics, RC_METRIC_GUESTS, router->fanout.guests.map.count);
    if (rc_fanout_send(&router->fanout, port, RC_DOWN_BARRIER, &down) != 0) {
        rc_metric_add(router->setup.metrics, RC_METRIC_DOWN_DROPPED, 1);
    }
}

void rc_router_guest(struct rc_router *router, const struct rc_relay_port *port, const struct rc_envelope_view *view)
{
    if (view->head.code != 0) {
        rc_guests_remove(&router->fanout.guests, &view->head.origin, port->index);
    } else {
        guest_is(router, &view->head.origin, port->index);
    }
    rc_metric_set(router->setup.metrics, RC_METRIC_GUESTS, router->fanout.guests.map.count);
}
