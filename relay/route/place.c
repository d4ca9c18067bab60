/* place: messages that got their place in a channel's history from all instances. Part of the router: see router.h. */
#include "relay/route/router.h"

static void place_keep(struct rc_router *router, const struct rc_router_placed *placed, struct rc_envelope_view *view)
{
    struct rc_history *history = router->setup.history;
    const struct rc_config_namespace *policy =
        history == NULL || placed->keep == RC_ROUTER_KEEP_NOT
            ? NULL
            : rc_history_policy(history, rc_span_of(view->channel, view->head.channel_bytes));
    view->head.epoch = placed->epoch;
    view->head.position = placed->offset;
    view->head.target.slot = RC_HISTORY_NO_SLOT; /* and not what its publisher's record has there */
    const uint64_t time_ms = placed->time_ms + (history == NULL ? 0 : history->view.clock_ahead);
    if (policy != NULL && placed->keep == RC_ROUTER_KEEP_AT) {
        const uint64_t sequence = view->head.sequence;
        view->head.sequence = placed->fans ? sequence : 0; /* by it a successor finds what it has to send again */
        view->head.target.slot = rc_history_append_at(history, view, policy, placed->epoch, placed->offset, time_ms);
        view->head.sequence = sequence;
    } else if (policy != NULL) {
        const struct rc_history_place place = rc_history_append(history, view, policy, time_ms);
        view->head.epoch = place.epoch;
        view->head.position = place.offset;
        view->head.target.slot = place.slot;
    }
}

/* As value of its channel, of the time that it was given when it was published. */
static void place_retain(struct rc_router *router, const struct rc_router_placed *placed,
                         const struct rc_envelope_view *view)
{
    const struct rc_envelope_view *from = placed->view;
    struct rc_history_stamp stamp = {.ms = from->head.token,
                                     .instance = placed->own
                                                     ? rc_span_text(router->setup.instance_id)
                                                     : rc_span_of(from->request_id, from->head.request_id_bytes)};
    const struct rc_remote_ops *remote = router->setup.remote.ops;
    if (rc_router_retain(router, view, &stamp) == 0 && placed->own && remote != NULL && remote->retained != NULL) {
        remote->retained(router->setup.remote.context, view);
    }
}

void rc_router_place(struct rc_router *router, const struct rc_router_placed *placed)
{
    struct rc_fanout_message message;
    struct rc_relay_port *port =
        placed->answers && placed->worker < router->setup.port_count ? &router->setup.ports[placed->worker] : NULL;
    if (port != NULL &&
        (port->generation != placed->generation || !rc_worker_set_has(&router->fanout.live, placed->worker))) {
        port = NULL; /* it died, and who asked with it */
    }
    port = port == NULL ? NULL : rc_fanout_answered(&router->fanout, port, &placed->view->head.origin);
    rc_fanout_prepare(&message, RC_DOWN_MESSAGE, placed->view, rc_router_sequence(router),
                      RC_FANOUT_FLAGS | (placed->own ? 0u : RC_ENVELOPE_REMOTE), port);
    struct rc_envelope *head = &message.copy.head;
    head->channel_hash = rc_channel_hash(message.copy.channel, head->channel_bytes);
    place_keep(router, placed, &message.copy);
    if ((placed->view->head.flags & RC_ENVELOPE_RETAIN) != 0) {
        place_retain(router, placed, &message.copy);
    }
    if (placed->fans) {
        rc_router_keep_recoverable(router, &message);
    }
    if (placed->fans && !rc_fanout_to_all(&router->fanout, &message) && placed->own) {
        rc_router_miss(router, placed->view);
    }
    if (message.asker != NULL) {
        rc_fanout_answer(&router->fanout, port, &message, 0);
    }
}
