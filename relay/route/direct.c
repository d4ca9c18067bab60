/* direct: messages for one client, on whichever worker it is. Part of the router: see router.h. */
#include "relay/route/router.h"

#include <errno.h>

#include "common/base/check.h"

/* May a worker have the client of which this relay has not heard yet? */
static bool direct_unsure(const struct rc_router *router, const struct rc_fanout_message *message)
{
    const struct rc_client_ref *target = &message->copy.head.target;
    return RC_UNLIKELY(!rc_worker_set_empty(&router->fanout.unknown)) && target->random != 0 &&
           target->worker != RC_WORKER_FOREIGN;
}

/* To the target's worker, which may be NULL, and whoever else may have it. False: nobody may. */
static bool send_direct(struct rc_router *router, struct rc_relay_port *target, struct rc_fanout_message *message)
{
    const bool unsure = direct_unsure(router, message);
    if (target != NULL) {
        rc_fanout_to_one(&router->fanout, target, message);
    }
    if (unsure) {
        rc_fanout_to_unknown(&router->fanout, message);
    }
    return target != NULL || unsure;
}

/* The API wants to know whether the client is there: the target's worker answers, which may be NULL, and whoever else may have it. 0, or the code
 * of why none of them got the message. */
static uint16_t send_direct_of_call(struct rc_router *router, const struct rc_relay_port *target,
                                    struct rc_fanout_message *message)
{
    struct rc_worker_set targets = {0};
    uint16_t code = RC_ROUTE_UNAVAILABLE;
    struct rc_envelope_view view = message->copy;
    view.head.origin = (struct rc_client_ref){.worker = (uint16_t)message->asker->index};
    view.head.request_id_bytes = message->up->head.request_id_bytes;
    view.head.flags = (uint16_t)(view.head.flags | RC_ENVELOPE_API);
    if (direct_unsure(router, message)) {
        targets.bits[0] = router->fanout.unknown.bits[0] & router->fanout.live.bits[0];
        targets.bits[1] = router->fanout.unknown.bits[1] & router->fanout.live.bits[1];
        view.head.code = RC_ROUTE_UNAVAILABLE; /* when it is not there: another one may have it */
    }
    if (target != NULL) {
        rc_worker_set_put(&targets, target->index, true);
    }
    for (uint32_t i = 0; i < router->fanout.port_count; i++) {
        if (rc_worker_set_has(&targets, i)) {
            const int rc = rc_fanout_send(&router->fanout, &router->fanout.ports[i], RC_DOWN_DIRECT, &view);
            code = rc == 0 || code == 0 ? 0 : rc == -EMSGSIZE ? RC_ROUTE_TOO_LARGE : RC_ROUTE_UNAVAILABLE;
        }
    }
    return code;
}

/* The worker of whom a direct message is for, wherever its socket has come back. */
static struct rc_relay_port *direct_target(struct rc_router *router, struct rc_fanout_message *message)
{
    struct rc_client_ref *target = &message->copy.head.target;
    if (RC_UNLIKELY(router->setup.recovery != NULL) && target->worker != RC_WORKER_FOREIGN) {
        if (!(message->up->head.flags & RC_ENVELOPE_STRAY)) { /* else it is kept already */
            rc_router_keep_recoverable(router, message);
        }
        rc_recovery_place(router->setup.recovery, target);
    }
    return rc_fanout_target(&router->fanout, target);
}

void rc_router_direct(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record,
                      uint64_t sequence)
{
    struct rc_fanout_message message;
    rc_fanout_prepare(&message, RC_DOWN_DIRECT, &record->view, sequence, RC_FANOUT_FLAGS | RC_ENVELOPE_STRAY,
                      rc_fanout_asker(&router->fanout, port, record));
    struct rc_relay_port *target = direct_target(router, &message);
    uint16_t code = 0;
    if (message.asker != NULL && (record->view.head.flags & RC_ENVELOPE_API) &&
        (target != NULL || direct_unsure(router, &message))) {
        code = send_direct_of_call(router, target, &message);
        if (code == 0) {
            return;
        }
    } else if (!send_direct(router, target, &message) &&
               (router->setup.remote.ops == NULL ||
                !router->setup.remote.ops->direct(router->setup.remote.context, &message.copy))) {
        rc_metric_add(router->setup.metrics, RC_METRIC_UNROUTED, 1);
        code = RC_ROUTE_NOT_FOUND;
    }
    if (message.asker != NULL) {
        rc_fanout_answer(&router->fanout, port, &message, code);
    }
}

bool rc_router_deliver_direct(struct rc_router *router, struct rc_fanout_message *message)
{
    return send_direct(router, direct_target(router, message), message);
}
