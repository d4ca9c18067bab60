/*
 * conn: one connection to one Redis server, kept up.
 *
 *   CLOSED ─open─▶ WAITING ─▶ RESOLVING ─▶ CONNECTING ─▶ GREETING ─▶ READY
 *                     ▲            └────────────┴────────────┴─────────┘ lost: back-off in 50 ms steps to 2 s, with jitter
 *
 * The adapter between hiredis and the relay's loop. It uses hiredis's contexts over a descriptor of ours (reader, writer, TLS)
 * and not its redisAsyncContext, for three reasons: that asserts on what the server sends, resolves names with a blocking call,
 * and knows no sharded subscriptions. What a redisAsyncContext adds is here: a queue of who waits for which reply.
 *
 * GREETING: HELLO 3 with AUTH and SETNAME (for servers before 6: AUTH, CLIENT SETNAME and RESP2), SELECT, ROLE where a master is
 * wanted and HELLO did not say, PING, so that READY means "answers". From then on its own ping goes out every RC_REDIS_PING_MS: a server
 * that takes longer than RC_REDIS_LATE_MS is `late` (told by ops.late, and taken back when it answers), one that is silent for
 * RC_REDIS_DEAD_MS is lost. Where a master is wanted its role is asked with every ping: a failover may leave connections open, and a
 * replica takes a PUBLISH without an error, for its own subscribers alone. One that is a replica by now is lost, with `demoted`.
 *
 * Replies are read when they come, also those to PUBLISH that nobody waits for. Letting these lie (SO_RCVLOWAT, read in later
 * turns) was measured: it spares a publishing relay its second wake-up for a message and 15 % of its CPU, but the brokers together
 * and the message's way 3 to 5 %, which is not worth a second mode. A timer that bounds the delay by 2 ms costs more than it saves:
 * it is the next event of its CPU at every sleep, and setting the clock for it is dearer than the wake-up.
 *
 * Owned by the link's nodes; one thread. Everything that comes from Redis is taken as data: what makes no sense as RESP ends the
 * connection, what makes no sense otherwise is the handlers' to count.
 */
#ifndef RC_RELAY_REDIS_CONN_H
#define RC_RELAY_REDIS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/redis/conn_queue.h"
#include "relay/redis/conn_state.h"
#include "relay/redis/resp.h"

#define RC_REDIS_PING_MS 400u
#define RC_REDIS_LATE_MS 1000u
#define RC_REDIS_DEAD_MS 5000u
#define RC_REDIS_CONNECT_MS 2000u /* from the name to READY */
#define RC_REDIS_BACKOFF_STEP_MS 50u
#define RC_REDIS_BACKOFF_MAX_MS 2000u
#define RC_REDIS_READ_BYTES_MAX (1u << 20) /* taken in one go, then it is others' turn */
#define RC_REDIS_ELEMENTS_MAX (1 << 24)    /* of one reply: hiredis makes room for as many as it is told will come */

/* `conn` must not move afterwards. */
void rc_redis_conn_init(struct rc_redis_conn *conn, struct rc_redis_wire *wire, const struct rc_redis_conn_ops *ops,
                        void *context, const char *role);
/* Connects at once and keeps it up. On an open one: gives up what it has and starts over. */
void rc_redis_conn_open(struct rc_redis_conn *conn, const struct rc_redis_address *address, const char *path);
/* Ends it; who waits for a reply gets NULL. Also inside of handlers. ops.lost is not called. */
void rc_redis_conn_close(struct rc_redis_conn *conn);
/* The same, and frees what it owns. Not inside of handlers. */
void rc_redis_conn_free(struct rc_redis_conn *conn);
/* Gives the connection up as lost, with ops.lost and back-off. */
void rc_redis_conn_fail(struct rc_redis_conn *conn, const char *why);

static inline bool rc_redis_conn_up(const struct rc_redis_conn *conn)
{
    return conn->state == RC_REDIS_CONN_READY && !conn->late;
}

/* Sends what was appended, reads on where reading stopped. Once a turn. */
void rc_redis_conn_flush(struct rc_redis_conn *conn);
bool rc_redis_conn_pending(const struct rc_redis_conn *conn);

#endif
