/*
 * handlers: what whoever uses the link gives it: the loop it lives on, and who is told of answers, messages, changes and losses.
 *
 * Types only; link.h says when they are called.
 */
#ifndef RC_RELAY_REDIS_HANDLERS_H
#define RC_RELAY_REDIS_HANDLERS_H

#include <stdbool.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "common/base/span.h"

#define RC_REDIS_ARGS_MAX 1024u /* arguments of one command */
#define RC_REDIS_NODES_MAX 128u
#define RC_REDIS_NAME_MAX 512u /* bytes of a Redis channel or key with its prefix */

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

/* The answer: any type, REDIS_REPLY_ERROR included, borrowed during the call. NULL: the connection was lost before it came, so
 * that nobody knows whether the command was executed. */
typedef void rc_redis_replied(void *context, const redisReply *reply);

/* Told when rc_redis_up changes: true is the moment to register again what Redis may have forgotten. Inside of the owner's. */
struct rc_redis_observer {
    void (*changed)(void *context, bool up);
    void *context; /* borrowed */
    struct rc_redis_observer *next;
};
struct rc_redis_losses;

struct rc_redis_loss_ops {
    /* Calls rc_redis_announce for all of them. False: no memory, it is called again. */
    bool (*announce)(void *context, const struct rc_redis_losses *losses);
    void *context; /* borrowed */
};
struct rc_redis_script_ops {
    /* A run (rc_redis_run) has its answer, REDIS_REPLY_ERROR included; NULL: it was given up, as a message is. `channel` is without prefix.
     * Not for what the closing link drops. Nothing may be published in here. */
    void (*ended)(void *context, struct rc_span channel, uint64_t token, const redisReply *reply);
    void *context; /* borrowed */
};
/* A subscription for the life of the link, inside of the owner's. */
struct rc_redis_subscription {
    const char *name; /* borrowed: a channel, or a pattern (glob), without prefix */
    bool pattern;
    /* A message of that channel; both spans live during the call. `channel` is without prefix. */
    void (*message)(void *context, struct rc_span channel, struct rc_span message);
    void *context; /* borrowed */
    /* A name: in a Cluster at every master that has a connection for subscriptions. What comes through several comes as often. */
    bool everywhere;
    /* During `message`: the server through which it came (relay/redis/places.h); 0: there is only one. */
    uint64_t place;
    struct rc_redis_subscription *next;
    uint64_t there[RC_REDIS_NODES_MAX / 64]; /* everywhere: a bit for each node whose connection has confirmed it */
    bool confirmed; /* true exactly while Redis has confirmed it on home's connection that lives */
    bool refused;   /* true exactly while Redis has answered it with an error there, and not confirmed it since */
    bool missed;    /* true exactly while it was confirmed once, here or by a predecessor, and is not now */
};
/* What became of a channel's subscription. */
enum rc_redis_change {
    RC_REDIS_CHANGE_GONE, /* it was given back */
    RC_REDIS_CHANGE_HERE, /* it is confirmed, and messages before it were not wanted */
    RC_REDIS_CHANGE_BACK, /* it is confirmed again, and what came meanwhile was missed */
};

struct rc_redis_channel_ops {
    /* A message of a wanted channel. `name` is as given to rc_redis_channel_want, without `head`. */
    void (*message)(void *context, struct rc_span name, struct rc_span message);
    /* The answer to rc_redis_channel_want with RC_REDIS_WANT_LATER. `confirmed`: Redis has the subscription. */
    void (*wanted)(void *context, uint64_t hash, struct rc_span name, uint32_t worker, uint64_t token, bool confirmed);
    /* The subscription was lost and is confirmed again: messages in between were missed. Empty: of every channel and direct. */
    void (*missed)(void *context, struct rc_span name);
    /* Before `wanted` or `missed` says so. May be NULL. */
    void (*changed)(void *context, uint64_t hash, struct rc_span name, enum rc_redis_change change);
    /* True when all interest is known: false in a relay that has a predecessor until all workers have told theirs again. */
    bool (*known)(void *context);
    void *context;    /* borrowed */
    const char *head; /* borrowed: precedes every name in Redis, "ws:channel:" */
};
#define RC_REDIS_FOREIGN_HEADS 3u

/* Channels of another format that come and go with those above. */
struct rc_redis_foreign_ops {
    /* A message of a wanted channel: its name without prefix. */
    void (*message)(void *context, struct rc_span name, struct rc_span message);
    void *context; /* borrowed */
    /* A shard's connection was lost and the subscription is confirmed again: what was published there in between was missed. Of sharded
     * ones only: with the others' connection everything is lost (rc_redis_channel_ops.missed). May be NULL. */
    void (*missed)(void *context, struct rc_span name);
    bool sharded; /* SSUBSCRIBE (Redis 7), in a Cluster at the slot's owner, whatever redis.sharded says */
    /* Borrowed: what their names begin with, and no other channel's; NULL = none. */
    const char *heads[RC_REDIS_FOREIGN_HEADS];
};
enum rc_redis_want {
    RC_REDIS_WANT_CONFIRMED, /* Redis has the subscription already */
    RC_REDIS_WANT_LOCAL,     /* Redis is away: it will be made when it is back */
    RC_REDIS_WANT_LATER,     /* ops.wanted will be called, after 100 ms at the latest */
};

#endif
