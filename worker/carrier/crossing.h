/*
 * crossing: a request for a session of another instance: its connection is piped there, so that a balancer need not know sessions.
 *
 *   LEAVING (to RC_LEAVING_CROSSES) ─▶ connect, within RC_CROSSING_MS ─▶ PIPED: PROXY header, the request, what comes
 *                                        └─ not reached ─▶ HTTP, RC_SOCKET_HERE: the request again, answered as one for nobody
 *
 * The header tells the other side the peer, so that it judges as if the peer had come to it (both must trust the same proxies), and by a field that an instance sent it (worker/http/proxy_protocol.h): what came so is
 * never piped on, and is one request: its answer ends the connection, since the next one on it may be for somebody else. Owned by
 * main(), with the hand-overs; one thread. Who is where: common/shm/neighbours.
 */
#ifndef RC_WORKER_CARRIER_CROSSING_H
#define RC_WORKER_CARRIER_CROSSING_H

#include "worker/carrier/handover.h"

#define RC_CROSSING_MS 2000u

/* A request for a session of that instance, before anything of it was answered or its body read. 0: the exchange is gone, as with
 * rc_handover_begin; else it is to be answered (counted if the instance is known). */
int rc_crossing_begin(struct rc_handovers *handovers, struct rc_exchange *exchange,
                      const char instance[RC_SID_INSTANCE_BYTES]);

/* Handler of io (context = struct rc_handovers). */
void rc_crossing_connected(void *context, const struct rc_io_connect *connect, int fd, int error);

#endif
