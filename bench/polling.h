/*
 * polling: connections that speak Engine.IO's polling transport, for a while (until the upgrade) or for good.
 *
 * One keep-alive connection for each client, on which exactly one request waits for its answer at any time: a GET unless there is
 * something to say. What a message makes a client say (the next step of joining, a pong) is gathered while the answer that held it is
 * taken, and is one POST; its answer is followed by the next GET. Messages that arrive at the server meanwhile are in that.
 *
 * A subscriber of a protocol that upgrades has two connections, as browsers have: its own becomes the WebSocket, and its *opener*, slot
 * client->slots + its slot, begins the session:
 *
 *     opener      GET ─▶ open, POST CONNECT, GET ─▶ CONNECT, GET ......................... ─▶ noop, closed
 *     subscriber                                     └─▶ connect, upgrade, probe ─▶ pong        └─▶ "5", goes on joining
 *
 * Same process, same rules as conn.h.
 */
#ifndef RC_BENCH_POLLING_H
#define RC_BENCH_POLLING_H

#include "bench/client.h"

/* Tables for a protocol that polls: nothing, and 0, for one that does not. -ENOMEM. */
int rc_bench_polling_start(struct rc_bench_client *client);

/* Frees what rc_bench_polling_start made. */
void rc_bench_polling_stop(struct rc_bench_client *client);

/* The connection is there: the session is begun. */
void rc_bench_polling_begin(struct rc_bench_client *client, uint32_t slot);

/* Puts a packet into the POST that follows the answer at hand. */
void rc_bench_polling_say(struct rc_bench_client *client, uint32_t slot, struct rc_span packet);

/* Takes an answer if it is whole; returns what was taken, or a negative errno when the connection is gone. */
int rc_bench_polling_take(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count,
                          uint64_t now_ns);

/* The WebSocket's probe of `slot` was answered: its opener's poll is the last one. */
void rc_bench_polling_probed(struct rc_bench_client *client, uint32_t slot);

/* The session's id, of either connection; "" before it is known. */
const char *rc_bench_polling_sid(const struct rc_bench_client *client, uint32_t slot);

static inline bool rc_bench_is_opener(const struct rc_bench_client *client, uint32_t slot)
{
    return client->conns[slot].role == RC_BENCH_OPENER;
}

/* The opener of a subscriber, or 0, which is none's. */
static inline uint32_t rc_bench_opener_of(const struct rc_bench_client *client, uint32_t slot)
{
    return client->protocol->upgrades && slot < client->subscribers ? client->slots + slot : 0;
}

#endif
