/*
 * router_internal: what router.c and router_calls.c tell each other; nobody else includes it.
 *
 * Owned by the router; one thread. Nothing here fails but as it says.
 */
#ifndef RC_RELAY_ROUTE_ROUTER_INTERNAL_H
#define RC_RELAY_ROUTE_ROUTER_INTERNAL_H

#include "common/records/call.h"
#include "relay/route/router.h"

/* Codes of the native protocol (docs/protocol.md). */
#define RC_ROUTER_NOT_FOUND 404
#define RC_ROUTER_TOO_LARGE 413
#define RC_ROUTER_UNAVAILABLE 503

/* --- router.c --- */

/* As rc_port_send. */
int rc_router_send_to(struct rc_router *router, struct rc_relay_port *port, enum rc_record_type type,
                      const struct rc_envelope_view *view);
/* The worker of a direct message's client; NULL when the client is not on this host or died with its worker. */
struct rc_relay_port *rc_router_target_port(struct rc_router *router, const struct rc_client_ref *target);
/* Who is to be told how it went: the worker itself, or NULL when it did not ask or is another one by now. */
struct rc_relay_port *rc_router_asker_of(struct rc_router *router, struct rc_relay_port *port,
                                         const struct rc_port_record *record);

/* --- router_calls.c --- */

/* Was this message's idempotency key used for another one already? Then the caller is told so and nothing is sent. */
bool rc_router_is_duplicate(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record,
                            uint64_t sequence);
/* After the intent was stored, before anything is sent: a successor finds both or routes again with the same sequence. */
void rc_router_remember_key(struct rc_router *router, const struct rc_envelope_view *view, uint64_t sequence);
void rc_router_held_close(struct rc_router *router);
void rc_router_route_call(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record);
void rc_router_route_reply(struct rc_router *router, struct rc_relay_port *port, const struct rc_port_record *record);

#endif
