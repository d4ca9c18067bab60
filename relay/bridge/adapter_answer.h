/*
 * adapter_answer: what Socket.IO servers with an adapter are answered, in the form that theirs has. Owned as adapter.h says.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_ANSWER_H
#define RC_RELAY_BRIDGE_ADAPTER_ANSWER_H

#include "relay/bridge/adapter_state.h"

/* By enum rc_adapter_request_type, as the adapters' kinds name them. */
extern const struct rc_adapter_form rc_adapter_classic_forms[];
extern const struct rc_adapter_form rc_adapter_cluster_forms[];

/* Answers an asker with the values that it asked for, a list or one; none: an empty list, null, 0. Of requests that are answered. */
struct rc_adapter_asker {
    struct rc_span nsp;
    struct rc_span uid;
    struct rc_span id; /* JSON string with quotes */
};
void rc_adapter_answer(struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                       enum rc_adapter_request_type type, struct rc_span values);
/* Passes on what a client has answered to a broadcast of an asker, whose `id` is the text here, not JSON. 0; -EMSGSIZE: it cannot be written as
 * the adapter has it; -ENOMEM; or why it was not published. */
int rc_adapter_acknowledge(struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                           const struct rc_args_view *args);

#endif
