/*
 * kept: what the router answers of what is kept of channels: their history, and their retained values.
 *
 * Part of the router, one thread. Who gets no answer asks again.
 */
#ifndef RC_RELAY_ROUTE_KEPT_H
#define RC_RELAY_ROUTE_KEPT_H

#include "relay/history/store.h"
#include "relay/route/fanout.h"
#include "relay/route/remote_ops.h"

/* Inside of the router's. */
struct rc_kept {
    struct rc_history *history;         /* borrowed; NULL = nothing is kept */
    struct rc_metrics *metrics;         /* borrowed */
    struct rc_fanout *fanout;           /* borrowed */
    const struct rc_remote_way *remote; /* borrowed */
    /* rc_router_setup.presence */
    uint32_t (*presence)(void *context, struct rc_span channel, uint8_t *out, uint64_t room);
    void *presence_context;
    uint8_t *values; /* owner: room for a channel's retained values; NULL until they are asked for */
};

void rc_kept_close(struct rc_kept *kept);

/* How the channel stands, for the acknowledgement of an interest: it holds for the place in the ring where that is written. */
void rc_kept_state(struct rc_kept *kept, const struct rc_interest_request *request, struct rc_envelope_view *view);

/* RC_QUERY_RETAINED, RC_QUERY_HISTORY, RC_QUERY_FORGET. False: it is another question. `first`: a history of all instances may have to be looked for
 * elsewhere (rc_remote_ops.complete). */
bool rc_kept_answer(struct rc_kept *kept, struct rc_relay_port *port, const struct rc_envelope_view *asked, bool first);

#endif
