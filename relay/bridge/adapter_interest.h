/*
 * adapter_interest: which channels of Socket.IO servers with an adapter are subscribed (adapter.h says what stands where): rooms while a worker
 * wants them, a namespace's own while any of it is wanted, those of namespaces that the configuration names for good.
 *
 * Owned as adapter.h says.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_INTEREST_H
#define RC_RELAY_BRIDGE_ADAPTER_INTEREST_H

#include "relay/bridge/adapter_state.h"

/* Subscribes to requests. */
void rc_adapter_set_requests(struct rc_adapter_bridge *adapter, rc_adapter_requested *requested, void *context);
/* The first worker wants a channel, or the last one does not any more. */
void rc_adapter_interest(struct rc_adapter_bridge *adapter, struct rc_span channel, bool wanted);
/* Is all that servers say on a channel heard? Where theirs have connections of their own (sharded ones), ours says nothing of that. */
bool rc_adapter_hears(const struct rc_adapter_bridge *adapter, struct rc_span channel);

#endif
