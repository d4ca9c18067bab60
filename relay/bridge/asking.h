/*
 * asking: events of Socket.IO servers and backends that this host's clients are to answer: how they are handed to the workers, and what
 * comes back of them (common/records/emit.h). Bridges say what they are and make of the answers what their servers understand.
 *
 * Pure but for the call, on the relay's thread.
 */
#ifndef RC_RELAY_BRIDGE_ASKING_H
#define RC_RELAY_BRIDGE_ASKING_H

#include <stdbool.h>

#include "common/records/emit.h"
#include "relay/bridge/targets.h"

struct rc_asking {
    struct rc_call_tag tag;
    uint32_t timeout_ms;  /* 0: the server does not say */
    struct rc_span asker; /* of at most RC_EMIT_ASKER_MAX bytes: comes back with each answer */
};

/*
 * Hands the event of `view` (flags, name and arguments filled in, RC_EMIT_BEFORE_MAX bytes free before view->data) to the workers of whom
 * `targets` are, about which rc_targets_view has said `type`. `asked` says to which: to nobody, when there is none.
 */
void rc_asking_call(const struct rc_bridge_host *host, const struct rc_targets *targets, enum rc_record_type type,
                    const struct rc_envelope_view *view, const struct rc_asking *asking, struct rc_call_asked *asked);

/* Is a worker's reply an answer of a client, and not how many were asked? */
bool rc_asking_is_answer(const struct rc_envelope_view *view);

/* The answer: what was given as asker, and its arguments. -EBADMSG; -ENOENT: no answer, no more come. */
int rc_asking_answer(const struct rc_envelope_view *view, struct rc_span *asker, struct rc_args_view *args);

#endif
