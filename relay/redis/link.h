/*
 * link: the relay's way to Redis.
 *
 * One link for the process, owned by main; one thread. It keeps one connection for commands and one for subscriptions (in a
 * Cluster one of each per node that is needed), finds out who is to be talked to (topology), and brings everything back after a
 * loss: subscriptions, then what waits in the outbox, in order. Nothing here blocks, not even name resolution, and no call
 * touches a socket: what is to be sent is sent by rc_redis_link_turn, once a turn.
 *
 *   caller ── rc_redis_command ──▶ command connection ──▶ rc_redis_replied (exactly once for every accepted command)
 *   caller ── rc_redis_publish ──▶ outbox ──▶ command connection      (waits in the outbox while Redis is away)
 *   caller ── rc_redis_subscribe ─▶ subscription connection ──▶ message handler
 *
 * The configured prefix (redis.prefix) is the link's business for channels: names given to rc_redis_publish and
 * rc_redis_subscribe are without it, and so is the name that a message handler gets. Keys inside of commands are the caller's:
 * build them with rc_redis_key.
 */
#ifndef RC_RELAY_REDIS_LINK_H
#define RC_RELAY_REDIS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "common/config/config.h"
#include "common/base/err.h"
#include "common/metrics/metrics.h"
#include "common/shm/layout.h"
#include "common/base/span.h"
#include "relay/timer.h"

#define RC_REDIS_ARGS_MAX 1024u /* arguments of one command */
#define RC_REDIS_NAME_MAX 512u  /* bytes of a Redis channel or key with its prefix */

struct rc_redis_link;

/* --- life (main) --- */

/* `events` are those of poll(2) that happened. */
typedef void rc_redis_ready(void *context, uint32_t events);

/* What the link asks of the loop it lives on. */
struct rc_redis_host {
    /* Tells readiness of a descriptor for these poll(2) events, level or edge, until unwatched. A handle, or negative errno. */
    int (*watch)(void *context, int fd, uint32_t events, rc_redis_ready *ready, void *ready_context);
    /* `ready` of this handle is not called any more; before the descriptor is closed. */
    void (*unwatch)(void *context, int handle);
    void *context; /* borrowed */
};

struct rc_redis_setup {
    const struct rc_config_redis *config; /* copied; url is not empty */
    const char *instance_id;              /* borrowed; shown in CLIENT LIST */
    struct rc_metrics *metrics;           /* borrowed: the relay's */
    struct rc_redis_health *health;       /* borrowed: in the relay's report; the link is its only writer */
    struct rc_timers *timers;             /* borrowed: the loop's */
    struct rc_redis_host host;
    bool successor; /* this process follows one that had subscriptions */
};

/* Begins to connect. 0, or a negative errno with `err`: a URL or TLS file that can never work (the caller decides whether that
 * ends the process), no memory. Redis being away is no error. */
int rc_redis_link_open(struct rc_redis_link **link, const struct rc_redis_setup *setup, struct rc_err *err);
/* Drops the connections; what was not answered is answered with NULL. */
void rc_redis_link_close(struct rc_redis_link *link);
/* After a reload: the keys that may change. */
void rc_redis_link_configure(struct rc_redis_link *link, const struct rc_config_redis *config);

/* Every turn of the loop, behind its timers: sends what was asked for. */
void rc_redis_link_turn(struct rc_redis_link *link);
/* True when something waits to be sent by the next turn. */
bool rc_redis_link_pending(const struct rc_redis_link *link);
/* True when nothing waits for an answer of Redis, or it is away. */
bool rc_redis_link_drained(const struct rc_redis_link *link);

/* --- state --- */

/* True while commands are answered: connected, greeted, and the last ping was not late. */
bool rc_redis_up(const struct rc_redis_link *link);

/* Is it a Cluster? Then the answer to PUBLISH counts the subscribers of one node only. */
bool rc_redis_clustered(const struct rc_redis_link *link);

/* Told when rc_redis_up changes: true is the moment to register again what Redis may have forgotten. Inside of the owner's. */
struct rc_redis_observer {
    void (*changed)(void *context, bool up);
    void *context; /* borrowed */
    struct rc_redis_observer *next;
};
/* The observer stays until the link is closed. Not called for the state that holds now. */
void rc_redis_observe(struct rc_redis_link *link, struct rc_redis_observer *observer);

/* --- commands --- */

/* The answer: any type, REDIS_REPLY_ERROR included, borrowed during the call. NULL: the connection was lost before it came, so
 * that nobody knows whether the command was executed. */
typedef void rc_redis_replied(void *context, const redisReply *reply);

/*
 * Sends one command, pipelined, in the order of the calls (in a Cluster: per node). `key` is the index of the argument whose
 * slot decides which node of a Cluster gets it, 0 = any; MOVED and ASK are followed here. The arguments are copied.
 * 0: `replied` (may be NULL) will be called exactly once, never before this returns. -ENOTCONN: Redis is away, nothing will be called.
 * -ENOBUFS: too many are outstanding (counted). -ENOMEM.
 */
int rc_redis_command(struct rc_redis_link *link, rc_redis_replied *replied, void *context, uint32_t key, uint32_t argc,
                     const struct rc_span *argv);

/* "{prefix}{format…}" into `out`; the span over it, empty when it does not fit. */
struct rc_span rc_redis_key(const struct rc_redis_link *link, char out[RC_REDIS_NAME_MAX], const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- publishing --- */

enum rc_redis_publish_flags {
    RC_REDIS_PUBLISH_SHARDED = 1u << 0,  /* SPUBLISH where redis.sharded says so */
    RC_REDIS_PUBLISH_TO_ONE = 1u << 2,   /* somebody must be there: counted as a failed delivery when nobody is */
    RC_REDIS_PUBLISH_FLEETING = 1u << 1, /* worth nothing later: dropped instead of kept while Redis is away */
    RC_REDIS_PUBLISH_TOLD = 1u << 3,     /* should it be lost, other instances are told: rc_redis_tell_losses */
};

/*
 * PUBLISHes `message`, given in parts, on a channel. Kept until Redis has answered: sent again after a reconnect, in order, so
 * that receivers may see one twice (bridges drop such duplicates by their sequence). Bounded by redis.outbox and
 * redis.outbox_max_age; the oldest is dropped and counted. 0, -ENOTCONN (fleeting, and Redis is away), -ENOMEM, -EMSGSIZE.
 */
int rc_redis_publish(struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                     uint32_t part_count, uint32_t flags);

/* What was given up (outbox full, too old, refused by Redis) is told to the other instances when they can hear it, before what is left in
 * the outbox goes out, and at most once in RC_REDIS_LOSSES_MS. */
#define RC_REDIS_LOSSES_MS 1000u

struct rc_redis_losses;

struct rc_redis_loss_ops {
    /* Calls rc_redis_announce for all of them. False: no memory, it is called again. */
    bool (*announce)(void *context, const struct rc_redis_losses *losses);
    void *context; /* borrowed */
};
void rc_redis_tell_losses(struct rc_redis_link *link, const struct rc_redis_loss_ops *ops);
/* PUBLISHes a message before everything that waits. Inside of `announce` only. 0, -ENOMEM or -EMSGSIZE. */
int rc_redis_announce(struct rc_redis_link *link, struct rc_span channel, struct rc_span message);

/* --- subscriptions --- */

/* A subscription for the life of the link, inside of the owner's. */
struct rc_redis_subscription {
    const char *name; /* borrowed: a channel, or a pattern (glob), without prefix */
    bool pattern;
    /* A message of that channel; both spans live during the call. `channel` is without prefix. */
    void (*message)(void *context, struct rc_span channel, struct rc_span message);
    void *context; /* borrowed */
    struct rc_redis_subscription *next;
    bool confirmed; /* true exactly while Redis has confirmed it on the connection that lives */
};
/* Subscribes now and after every reconnect. At any time. */
void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription);

/* --- channels that come and go (one user: bridge/channel) --- */

struct rc_redis_channel_ops {
    /* A message of a wanted channel. `name` is as given to rc_redis_channel_want, without `head`. */
    void (*message)(void *context, struct rc_span name, struct rc_span message);
    /* The answer to rc_redis_channel_want with RC_REDIS_WANT_LATER. `confirmed`: Redis has the subscription. */
    void (*wanted)(void *context, uint64_t hash, struct rc_span name, uint32_t worker, uint64_t token, bool confirmed);
    /* The subscription was lost and is confirmed again: messages in between were missed. Empty: of every channel and direct. */
    void (*missed)(void *context, struct rc_span name);
    /* True when all interest is known: false in a relay that has a predecessor until all workers have told theirs again. */
    bool (*known)(void *context);
    void *context;    /* borrowed */
    const char *head; /* borrowed: precedes every name in Redis, "ws:channel:" */
};
void rc_redis_channels(struct rc_redis_link *link, const struct rc_redis_channel_ops *ops);

enum rc_redis_want {
    RC_REDIS_WANT_CONFIRMED, /* Redis has the subscription already */
    RC_REDIS_WANT_LOCAL,     /* Redis is away: it will be made when it is back */
    RC_REDIS_WANT_LATER,     /* ops.wanted will be called, after 100 ms at the latest */
};
/* Wants messages of a channel (hash = rc_channel_hash of the name) on behalf of a worker's registration. */
enum rc_redis_want rc_redis_channel_want(struct rc_redis_link *link, uint64_t hash, struct rc_span name,
                                         uint32_t worker, uint64_t token);
/* Nobody wants it any more; the subscription is given back after a while (damping). */
void rc_redis_channel_unwant(struct rc_redis_link *link, uint64_t hash, struct rc_span name);

#endif
