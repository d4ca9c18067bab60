/*
 * opening: a handshake that becomes a connection of the application: what it is told of the request, and, if it asks for it, its verdict.
 *
 *   request ─▶ rc_link_opening_of (while the request is there) ─▶ a client, which nobody knows yet ─▶ rc_link_open ─┬─ OPENED: answer it
 *                                                                                                                  └─ LATER: `opened`, or not
 * For worker/carrier. Owned by main(), one thread. What fails: memory, and that there is no process of the application.
 */
#ifndef RC_WORKER_LINK_OPENING_H
#define RC_WORKER_LINK_OPENING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/client/client.h"
#include "worker/engine/session.h"
#include "worker/http/text.h"

struct rc_links;

/* Its handshake is to be answered, with these header lines beside its own. `own`: what the carrier gave to rc_link_open. */
typedef void rc_link_opened(struct rc_exchange *exchange, uint32_t client, const char *headers, const void *own);

/* What OPEN says of the request, into `text`, which the caller frees. False: the request was answered instead. */
bool rc_link_opening_of(struct rc_links *links, struct rc_exchange *exchange, bool websocket, enum rc_codec_id codec,
                        struct rc_text *text);
/*
 * The client, an Engine.IO session that has been told nothing yet, comes by this handshake. `opened` is called, now or later, or the handshake is
 * answered otherwise and the client ended. `request`: of rc_link_opening_of. The exchange may be gone afterwards.
 */
void rc_link_open(struct rc_links *links, struct rc_exchange *exchange, uint32_t client, struct rc_span request,
                  rc_link_opened *opened, const void *own, size_t own_bytes);

/* A request was refused, with this code of engine.io's: a process of the application is told (connection_error), if there is one. */
void rc_link_failed(struct rc_links *links, const struct rc_exchange *exchange, unsigned code, const char *message);

/* rc_engine_link.gone: as rc_link_conn_gone, and a handshake of the client's that waits still is refused. */
void rc_link_opening_gone(void *context, uint32_t client, enum rc_engine_why why);

#endif
