/*
 * pubsub: which channels are wanted from Redis, and on which connection they are subscribed.
 *
 *            want                     batch of SUBSCRIBE          Redis' confirmation
 *   (none) ───────▶ IDLE ─node up─▶ QUEUED ────────────▶ ASKED ──────────────────▶ CONFIRMED
 *                    ▲                 └──────── node lost, slot moved ─┴──────────────┘ │
 *   (none) ◀── UNSUBSCRIBE, a damping time after the last worker's interest went ────────┘
 *
 * Only a confirmed channel is unsubscribed, so that a confirmation always belongs to the last SUBSCRIBE. Subscribing is never
 * damped. Many channels are one command: a burst costs few. What is on which node is decided by a callback (standalone: the one
 * there is; sharded: the slot's owner).
 *
 * Who waits for a confirmation (a worker's registration) waits 100 ms at most, then hears "local".
 *
 * Messages that were published while a confirmed subscription was lost are lost too, which must not stay unsaid: ops.channel.missed
 * names the channel once it is confirmed again, not before, so that who reads the state afresh then misses nothing more. When the
 * home connection was lost, with it broadcasts and direct messages of everybody, or very many channels at once, it is said once
 * for all channels: after everything that was lost is confirmed again. Nothing is said of a first connection.
 *
 * Owned by the link; one thread. An entry is one cache line and a half, names longer than 40 bytes are outside.
 */
#ifndef RC_RELAY_REDIS_PUBSUB_H
#define RC_RELAY_REDIS_PUBSUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/redis/conn.h"
#include "relay/redis/pubsub_state.h"

int rc_redis_pubsub_init(struct rc_redis_pubsub *pubsub, struct rc_redis_wire *wire, const char *prefix, bool sharded);
void rc_redis_pubsub_free(struct rc_redis_pubsub *pubsub);
void rc_redis_pubsub_set_ops(struct rc_redis_pubsub *pubsub, const struct rc_redis_pubsub_ops *ops);

/* A predecessor's subscriptions were lost with it: what is wanted until ops.channel.known was missed. Before the first want. */
void rc_redis_pubsub_succeed(struct rc_redis_pubsub *pubsub);

/* That one still runs, and forwards what it hears into `fd` (relay/redis/overlap.h): nothing is missed. Behind rc_redis_pubsub_succeed. */
void rc_redis_pubsub_follow(struct rc_redis_pubsub *pubsub, int fd);
/* What is to be published where both hear it, now that everything is confirmed; NULL: nothing. */
const char *rc_redis_pubsub_mark(const struct rc_redis_pubsub *pubsub);

/* A node's subscription connection is ready: what belongs there is asked for again. */
void rc_redis_pubsub_ready(struct rc_redis_pubsub *pubsub, uint16_t node, struct rc_redis_conn *conn);
/* It is lost: nothing there is confirmed any more. */
void rc_redis_pubsub_lost(struct rc_redis_pubsub *pubsub, uint16_t node);
/* What was where it does not belong (any more) is asked for at its new place; fixed ones move to `home`. */
void rc_redis_pubsub_place(struct rc_redis_pubsub *pubsub, uint16_t home);

enum rc_redis_want rc_redis_pubsub_want(struct rc_redis_pubsub *pubsub, uint64_t hash, struct rc_span name,
                                        uint32_t worker, uint64_t token);
void rc_redis_pubsub_unwant(struct rc_redis_pubsub *pubsub, uint64_t hash, struct rc_span name);

/* Channels of another format (rc_redis_foreign_ops): nobody waits for them. */
void rc_redis_pubsub_set_foreign(struct rc_redis_pubsub *pubsub, const struct rc_redis_foreign_ops *ops);
void rc_redis_pubsub_want_foreign(struct rc_redis_pubsub *pubsub, struct rc_span name);
void rc_redis_pubsub_unwant_foreign(struct rc_redis_pubsub *pubsub, struct rc_span name);

/* Sends what is queued, says what was missed. Once a turn. */
void rc_redis_pubsub_flush(struct rc_redis_pubsub *pubsub);

/* A push from a node's connection. False: a slot was taken from the node, the Cluster's map has to be read again. */
bool rc_redis_pubsub_push(struct rc_redis_pubsub *pubsub, uint16_t node, const redisReply *reply);
/* True when everything fixed is confirmed and nothing waits to be asked for again. */
bool rc_redis_pubsub_settled(const struct rc_redis_pubsub *pubsub);
/* Is a confirmation of this node awaited? */
bool rc_redis_pubsub_asking(const struct rc_redis_pubsub *pubsub, uint16_t node);
/* An error of a subscribe command: what is not confirmed is asked for again later. */
void rc_redis_pubsub_refused(struct rc_redis_pubsub *pubsub, uint16_t node);

#endif
