/*
 * stream: server-sent events (HTML, 9.2) as what carries a client: the body of an answer that does not end. It only listens.
 *
 *   GET ─▶ judged ─▶ as whom ─▶ a client without a socket asks for its channels ─▶ 200, and the socket carries it until either is gone
 *             │          │                     │ refused, or none registers them in time
 *             ▼          ▼                     ▼
 *            400 …      401                  401, 403, 429, 503: its exchange is answered, the client was never seen
 *
 * So whoever is answered 200 is in all of its channels, and what is not for it is said by a status that EventSource and curl know. While the
 * request waits its channels' messages wait for it, as for anybody whose socket takes nothing. Owned by the worker's main(), one thread.
 */
#ifndef RC_WORKER_CARRIER_STREAM_H
#define RC_WORKER_CARRIER_STREAM_H

#include "worker/client/client.h"

/* Wires itself to `clients`, which are open. All of its state is theirs, or their exchanges'. */
void rc_streams_open(struct rc_clients *clients);

#endif
