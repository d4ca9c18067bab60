/*
 * adapter_ack: broadcasts of Socket.IO servers with an adapter for Redis whose clients are to answer.
 *
 *   a request for it (adapter.h) ──▶ RC_CALL_SOCKETS_EMIT to the workers ──▶ how many got it ──▶ adapter_requests sums up, says it once
 *                                                              └──▶ an answer of a client ──▶ rc_adapter_acknowledge
 *
 * Nothing is kept here of what is asked: whose answer it is comes back with it, also to a relay that has been started since. Owned by
 * relay/remote; one thread.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_ACK_H
#define RC_RELAY_BRIDGE_ADAPTER_ACK_H

#include "relay/bridge/adapter.h"
#include "relay/bridge/adapter_request.h"
#include "relay/bridge/asking.h"

/* Hands the broadcast of a request that came in `message` to the workers, by a call with this tag. `asked` says to which: to nobody when it is
 * for nobody here, or was refused. */
void rc_adapter_ack_call(struct rc_adapter_bridge *adapter, struct rc_adapter_request *request, struct rc_span nsp,
                         struct rc_span message, const struct rc_call_tag *tag, struct rc_call_asked *asked);
/* A worker's reply that is a client's answer (rc_asking_is_answer): publishes it. */
void rc_adapter_ack_answered(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view);

#endif
