/*
 * calls: calls of the HTTP API on their way through this host, their replies, and the idempotency keys of what the API publishes.
 *
 *   worker ── call ──▶ workers that it is for, and other instances ── reply ──▶ worker      (common/records/call.h)
 *
 * They are passed on without a sequence: to one worker or all, and their replies back. A relay that dies in between passes a call on
 * twice; each of them can be carried out twice, and the asker counts a worker once. The reply to a subscribe is held until Redis has
 * confirmed the channel.
 *
 * Owned by the router; one thread. Bounded: RC_ROUTE_HELD_MAX replies are held, memory is taken with the first one. What a worker does
 * not take is counted.
 */
#ifndef RC_RELAY_ROUTE_CALLS_H
#define RC_RELAY_ROUTE_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/call.h"
#include "common/records/envelope.h"
#include "relay/route/fanout.h"
#include "relay/route/idempotency.h"
#include "relay/route/remote_ops.h"

#define RC_ROUTE_HELD_MAX 1024u /* replies that wait for Redis; what comes on top is passed on as unconfirmed */

struct rc_route_held;

struct rc_route_calls {
    struct rc_fanout *fanout;           /* borrowed */
    const struct rc_remote_way *remote; /* borrowed */
    struct rc_idempotency *idempotency; /* borrowed; NULL = keys are not looked at */
    struct rc_route_held *held;         /* owner: RC_ROUTE_HELD_MAX; NULL until one is needed */
    uint32_t held_serial;               /* of the last one */
};

void rc_route_calls_open(struct rc_route_calls *calls, struct rc_fanout *fanout, const struct rc_remote_way *remote,
                         struct rc_idempotency *idempotency);
void rc_route_calls_close(struct rc_route_calls *calls);

/* Was this message's idempotency key used for another one already? Then the caller is told so and nothing is sent. */
bool rc_route_calls_is_duplicate(struct rc_route_calls *calls, struct rc_relay_port *port,
                                 const struct rc_port_record *record, uint64_t sequence);
/* After the intent was stored, before anything is sent: a successor finds both or routes again with the same sequence. */
void rc_route_calls_remember_key(struct rc_route_calls *calls, const struct rc_envelope_view *view, uint64_t sequence);

/* An RC_UP_CALL of a worker. */
void rc_route_calls_take(struct rc_route_calls *calls, struct rc_relay_port *port, const struct rc_port_record *record);
/* An RC_UP_REPLY of a worker. */
void rc_route_calls_take_reply(struct rc_route_calls *calls, const struct rc_relay_port *port,
                               const struct rc_port_record *record);
/* A call of another instance: rc_router_call. */
bool rc_route_calls_serve(struct rc_route_calls *calls, const struct rc_envelope_view *view,
                          struct rc_call_asked *asked);
/* The end of an rc_remote_ops.confirm: rc_router_confirmed. */
void rc_route_calls_confirmed(struct rc_route_calls *calls, uint64_t token, bool everywhere);
/* A record without a sequence for a worker. As rc_port_send, -ENOTCONN when there is no such worker; counted when it did not get it. */
int rc_route_calls_pass(struct rc_route_calls *calls, uint32_t worker, enum rc_record_type type,
                        const struct rc_envelope_view *view);

#endif
