/*
 * outbox: messages on their way to one Redis server, until it has answered.
 *
 *   head ─ in flight (sent, not answered) ─▶ unsent ─ waiting ─▶ tail
 *
 * In order. After a loss what was in flight is sent again, because nobody knows whether it arrived: receivers tell the second
 * copy by its sequence. Bounded in bytes and age: the oldest that is not in flight is dropped first, and counted. An answer that
 * says "not now" (BUSY, CLUSTERDOWN, MOVED …) keeps the message: nothing more is sent until all that is in flight is answered, then it
 * goes on from the first one that was refused, with that one alone until Redis takes it. When one behind it of the same channel was taken
 * all the same (or may have been, because the connection was lost), it is dropped: late it would break the channel's order. What is
 * dropped, or refused for good, is named to ops.lost.
 *
 * An announcement is waited for: what stands behind it goes out when Redis has it.
 *
 * Owned by the link; one thread. Only rc_redis_outbox_put allocates.
 */
#ifndef RC_RELAY_REDIS_OUTBOX_H
#define RC_RELAY_REDIS_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/redis/conn.h"
#include "relay/redis/refusals.h"

#define RC_REDIS_IN_FLIGHT_BYTES_MAX (8u << 20)
#define RC_REDIS_HOLD_MS 100u /* after a "not now" */

struct rc_redis_entry {
    struct rc_redis_entry *next;
    uint64_t time_ms;
    uint64_t order; /* of publishing, over all outboxes of a link */
    uint32_t bytes;
    uint16_t slot; /* of the channel, for a Cluster's sharded channels */
    bool sent_before;
    bool to_one;       /* an answer of 0 receivers is a failed delivery */
    bool announcement; /* of what was lost: never dropped itself */
    bool told;         /* when it is lost, ops.lost gets its channel's name */
    uint64_t token;    /* of a script's run (script.h), whose end is told: ops.ended; 0 = none */
    uint16_t name_at;  /* where the channel's name, without prefix, begins in the command */
    uint16_t name_bytes;
    char command[]; /* RESP */
};

struct rc_redis_outbox;

struct rc_redis_outbox_ops {
    /* The server says that the slot is another one's now: the link finds out whose and moves what waits. */
    void (*moved)(void *context, struct rc_redis_outbox *outbox);
    /* The server does not know a script. */
    void (*unscripted)(void *context, struct rc_redis_outbox *outbox);
    /* A script's run has its answer, or NULL: it was given up. Nothing may be added to an outbox in here. May be NULL. */
    void (*ended)(void *context, struct rc_span channel, uint64_t token, const redisReply *reply);
    /* A message for this channel was given up; empty: nobody knows for which ones. `placed`: a script's run. May be NULL. */
    void (*lost)(void *context, struct rc_span channel, bool placed);
    void *context; /* borrowed */
};

struct rc_redis_outbox {
    struct rc_redis_entry *head; /* owner */
    struct rc_redis_entry *tail;
    struct rc_redis_entry *unsent;     /* first that is not in flight; NULL = none */
    struct rc_redis_refusals refusals; /* answered "not now", before all the others */
    uint64_t bytes;                    /* of all */
    uint64_t bytes_max;
    uint64_t age_ms_max;
    uint64_t in_flight_bytes;
    uint32_t count;
    uint32_t in_flight;
    uint32_t announcements; /* in it; few: its owner adds none before the last ones are answered */
    bool unsure; /* true when one that is told when lost was taken since the server's role was confirmed (the link's) */
    bool probing;           /* true from a "not now" until something is taken: one message is sent at a time */
    uint64_t hold_until_ms; /* nothing is sent before */
    uint32_t *waiting; /* borrowed: messages of each slot, over all outboxes that count there; NULL = not counted */
    struct rc_metrics *metrics; /* borrowed */
    struct rc_redis_outbox_ops ops;
};

void rc_redis_outbox_init(struct rc_redis_outbox *outbox, uint64_t bytes_max, uint64_t age_ms_max,
                          struct rc_metrics *metrics, const struct rc_redis_outbox_ops *ops);
void rc_redis_outbox_free(struct rc_redis_outbox *outbox);

/* An entry of `bytes` command bytes for the caller to fill in, not in the outbox yet. NULL: no memory. */
struct rc_redis_entry *rc_redis_entry_new(size_t bytes, uint16_t slot, uint64_t now_ms);
/* Is there room for the entry, though nothing goes for it? */
bool rc_redis_outbox_has_room(const struct rc_redis_outbox *outbox, const struct rc_redis_entry *entry);
/* Is an entry of `bytes` command bytes larger than the outbox? Then there never is. */
bool rc_redis_outbox_never(const struct rc_redis_outbox *outbox, size_t bytes);
/* Takes the entry over. False: it is larger than the outbox, or all of it is in flight: dropped and counted. */
bool rc_redis_outbox_put(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry);

/* The same for one that comes from another outbox: to its place by `order` among those that are not in flight. `*hint` is NULL for
 * the first of a run in ascending order and kept between its calls. */
bool rc_redis_outbox_insert(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry, struct rc_redis_entry **hint);

/* The same for an announcement: before everything that is not in flight, and beyond the bound. */
void rc_redis_outbox_announce(struct rc_redis_outbox *outbox, struct rc_redis_entry *entry);

/* Sends what may be sent. */
void rc_redis_outbox_pump(struct rc_redis_outbox *outbox, struct rc_redis_conn *conn, uint64_t now_ms);
/* Drops what waited too long. */
void rc_redis_outbox_expire(struct rc_redis_outbox *outbox, uint64_t now_ms);
/* The connection is lost: everything is unsent again. */
void rc_redis_outbox_rewind(struct rc_redis_outbox *outbox);
/* Takes the first unsent entry that is no announcement out; NULL when there is none. The caller owns it. */
struct rc_redis_entry *rc_redis_outbox_take(struct rc_redis_outbox *outbox);

#endif
