/*
 * websocket: WebSockets (RFC 6455, RFC 7692) as what carries a client: one connection, one client, for both their lives.
 *
 *   websocket_upgrade.c  from a request to a client        websocket.c  frames, messages, the closing handshake
 *
 * Owned by the worker's main(), one thread. It hears of its connections' bytes by clients->carrier, of requests to become one by
 * the routes; nobody below calls it. All state of a connection is in the truth (struct rc_input, struct rc_socket).
 */
#ifndef RC_WORKER_CARRIER_WEBSOCKET_H
#define RC_WORKER_CARRIER_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/client/client.h"
#include "worker/ws/inflate.h"

struct rc_websockets {
    struct rc_clients *clients; /* borrowed */
    struct rc_inflater inflater;
    uint8_t *inflated; /* owned: the message being inflated */
    size_t inflated_capacity;
    bool deflate_serves_256;
};

/* Wires itself to `clients`, which are open. -ENOMEM. */
int rc_websockets_open(struct rc_websockets *websockets, struct rc_clients *clients);
void rc_websockets_close(struct rc_websockets *websockets);

/* Handler of the routes (context = struct rc_websockets): the request is answered, or its connection is a client's. */
void rc_websocket_upgrade(void *context, struct rc_exchange *exchange, const char *path);

#endif
