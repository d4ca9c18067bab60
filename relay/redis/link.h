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
#include "relay/redis/handlers.h"
#include "relay/redis/publish.h"
#include "relay/timer.h"

struct rc_redis_link;

/* --- life (main) --- */

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

/* --- one process follows another (relay/redis/overlap.h) --- */

/* New, right behind rc_redis_link_open as a successor: the other one forwards into `fd`, if it does. `mark_channel` (borrowed): which both
 * are subscribed to, and nobody else, without prefix. */
void rc_redis_link_follow(struct rc_redis_link *link, int fd, const char *mark_channel);
/* Is nothing under way but what others send? */
bool rc_redis_link_quiet(const struct rc_redis_link *link);
/* Old: from now on this link only forwards; rc_redis_link_forward_turn instead of rc_redis_link_turn, and no other call. Nobody that it was
 * given is called any more: what they would write is the other one's. The caller clears the timers. False: it cannot be done here, and
 * nothing has changed. */
bool rc_redis_link_forward(struct rc_redis_link *link, int fd, int bell_fd);
/* True: all is forwarded, or it is hopeless. */
bool rc_redis_link_forward_turn(struct rc_redis_link *link);
/* Whatever is not forwarded by now will not be, which the other one is told. The last call. */
void rc_redis_link_forward_end(struct rc_redis_link *link);

/* --- state --- */

/* True while commands are answered: connected, greeted, and the last ping was not late. */
bool rc_redis_up(const struct rc_redis_link *link);

/* Is it a Cluster? Then the answer to PUBLISH counts the subscribers of one node only. */
bool rc_redis_clustered(const struct rc_redis_link *link);

/* The observer stays until the link is closed. Not called for the state that holds now. */
void rc_redis_observe(struct rc_redis_link *link, struct rc_redis_observer *observer);

/* --- commands --- */

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

/* --- subscriptions --- */

/* Subscribes now and after every reconnect. At any time. */
void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription);

/* --- channels that come and go (one user: bridge/channel) --- */

void rc_redis_channels(struct rc_redis_link *link, const struct rc_redis_channel_ops *ops);

/* Wants messages of a channel (hash = rc_channel_hash of the name) on behalf of a worker's registration. */
enum rc_redis_want rc_redis_channel_want(struct rc_redis_link *link, uint64_t hash, struct rc_span name,
                                         uint32_t worker, uint64_t token);
/* Nobody wants it any more; the subscription is given back after a while (damping). */
void rc_redis_channel_unwant(struct rc_redis_link *link, uint64_t hash, struct rc_span name);

/* --- channels of another format that come and go (one user: bridge/adapter) --- */

/* Is it confirmed? It is wanted already. */
bool rc_redis_foreign_heard(const struct rc_redis_link *link, struct rc_span name);

/* Right behind rc_redis_link_open. */
void rc_redis_foreign(struct rc_redis_link *link, const struct rc_redis_foreign_ops *ops);
/* As above, without an answer: asked for before a channel that is wanted after it, it is confirmed before it on the same connection. `name` with prefix is at
 * most RC_REDIS_NAME_MAX bytes. */
void rc_redis_foreign_want(struct rc_redis_link *link, struct rc_span name);
void rc_redis_foreign_unwant(struct rc_redis_link *link, struct rc_span name);

#endif
