/*
 * registry: this instance's name in the cluster, which other instances there are, and who cleans up after a dead one.
 *
 * Ownership. `ws:instance:{id}:owner` holds "nonce:count" of the broker that owns the id and expires after
 * cluster.dead_instance_threshold; every heartbeat writes it again with another count. Who finds another's nonce there asks on
 * `ws:instance:{id}:claim`: a live owner writes at once; an owner that has not within RC_REGISTRY_CHALLENGE_MS is dead and is
 * replaced.
 *
 *   AWAY ──Redis up──▶ CLAIMING ──ours, or free──────▶ WAITING ──nobody cleans up this id──▶ OWNED
 *    ▲                  │    ▲  └──another's──▶ CHALLENGED ──not written again: taken──▶ WAITING
 *    │                  │    └──heartbeat interval──┐  └──written again──▶ REFUSED (local-only, and says so)
 *    └──Redis lost (from every state)               └───────────────────────┘
 *
 * WAITING also cleans up, once in a relay's life, what a predecessor of this name left behind.
 *
 * Others. Each instance is in the set `ws:instances`, and heard by its heartbeats. One that was not heard for the threshold (by
 * this host's own clock: no two clocks are compared), and whose owner key has expired, is dead. Whoever gets the lock
 * `ws:instance:{id}:cleanup` (SET NX with expiry) removes what stands in its index (cleanup.h). Each step is idempotent, the
 * owner key is looked at before every page, and a returning instance waits for the lock to go before it registers everything
 * again: what it registers is not removed.
 *
 * Where they are reached. With cluster.advertise `ws:instance:{id}:address` holds this instance's address beside its owner key, written
 * with it, gone with it; those of the others are asked for with the list, and when they are heard (once in RC_REGISTRY_CHECK_MS at most).
 *
 * Owned by remote; one thread, the link's. Bounded: RC_REGISTRY_INSTANCES_MAX others.
 */
#ifndef RC_RELAY_CLUSTER_REGISTRY_H
#define RC_RELAY_CLUSTER_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/metrics/metrics.h"
#include "common/base/span.h"
#include "common/records/sid.h"
#include "common/shm/neighbours.h"
#include "relay/cluster/cleanup.h"
#include "relay/redis/link.h"
#include "relay/timer.h"

#define RC_REGISTRY_INSTANCES_MAX 1024u
#define RC_REGISTRY_CHALLENGE_MS 1500u
#define RC_REGISTRY_CHECK_MS 1000u
#define RC_REGISTRY_NONCE_MAX 40u

enum rc_registry_state {
    RC_REGISTRY_AWAY,
    RC_REGISTRY_CLAIMING,
    RC_REGISTRY_CHALLENGED,
    RC_REGISTRY_WAITING,
    RC_REGISTRY_OWNED,
    RC_REGISTRY_REFUSED,
};

struct rc_registry_instance {
    char id[RC_INSTANCE_ID_MAX + 1];
    uint64_t heard_ms; /* own clock: last heartbeat, or when it was first heard of */
    uint64_t client_count;
    uint64_t started_ms;                    /* since 1970, as its owner key tells; 0 = not known */
    char sids[RC_SID_INSTANCE_BYTES];       /* what its sockets' ids begin with */
    bool listed;                            /* stands in ws:instances, as read last */
    uint64_t asked_ms;                      /* own clock: when its address was asked for */
    char address[RC_NEIGHBOUR_ADDRESS_MAX]; /* where it is reached; "" = it is not, or not known */
};

struct rc_registry_ops {
    /* This instance owns its id and nothing of it is in Redis any more, or may be missing: everything is to be written. */
    void (*registered)(void *context);
    /* It does not any more: nothing is to be written until `registered`. */
    void (*unregistered)(void *context);
    /* Other instances can be reached, or no more, or elsewhere. Only with cluster.advertise. */
    void (*reachable)(void *context);
    struct rc_cleanup_ops cleanup;
    void *context; /* borrowed */
};

struct rc_registry {
    struct rc_redis_link *link; /* borrowed */
    struct rc_timers *timers;   /* borrowed: the loop's */
    struct rc_metrics *metrics; /* borrowed */
    const char *instance_id;    /* borrowed */
    struct rc_config_cluster config;
    struct rc_registry_ops ops;
    char nonce[RC_REGISTRY_NONCE_MAX];
    char address[RC_NEIGHBOUR_ADDRESS_MAX]; /* cluster.advertise as it was at the start; "" = none */
    enum rc_registry_state state;
    bool inherited;                         /* what a predecessor left was cleaned up */
    bool was_refused;                       /* another live broker had this id when it was asked last */
    bool enlisted;                          /* ws:instances has this id since it is owned, Redis said so */
    bool leaving;                           /* rc_registry_leave was called: nothing is written any more */
    bool left;                              /* and Redis has answered, or is away */
    uint32_t round;                         /* of the state: answers to what was asked in an earlier one are ignored */
    char rival[RC_REGISTRY_NONCE_MAX + 24]; /* the owner key's value that was challenged */
    struct rc_timer timer;                  /* of the state */
    struct rc_timer check;                  /* looks for dead instances */
    uint64_t list_ms;                       /* when ws:instances was asked for */
    struct rc_cleanup cleanup;
    struct rc_redis_observer observer;
    struct rc_redis_subscription claims;
    char claim_channel[RC_INSTANCE_ID_MAX + 24];
    uint32_t instance_count;
    struct rc_registry_instance instances[RC_REGISTRY_INSTANCES_MAX];
};

/* `boot` tells this broker from others of its name. Subscribes and begins as soon as Redis is there. */
void rc_registry_open(struct rc_registry *registry, struct rc_redis_link *link, struct rc_timers *timers,
                      struct rc_metrics *metrics, const char *instance_id, uint64_t boot_wall_ms, uint32_t boot_nonce,
                      const struct rc_config_cluster *config, const struct rc_registry_ops *ops);
/* After the link was closed. */
void rc_registry_close(struct rc_registry *registry);
void rc_registry_configure(struct rc_registry *registry, const struct rc_config_cluster *config);

/* Writes the owner key again; every heartbeat. */
void rc_registry_renew(struct rc_registry *registry);
/* A heartbeat of another instance came. */
void rc_registry_heard(struct rc_registry *registry, struct rc_span id, uint64_t client_count);
/* Is this instance's id the first of all that are known? What one of them has to do falls to it. */
bool rc_registry_first(const struct rc_registry *registry);
/* The other instance whose socket that is; NULL: none that is known. */
const char *rc_registry_of_socket(const struct rc_registry *registry, const struct rc_sid *sid);
/* Is it another instance that is there, for all that is known? */
bool rc_registry_knows(struct rc_registry *registry, const char *id);
/* The broker stops, once, while it is owned: the id is free and nobody has to clean up. What it owned must have been removed.
 * `left` becomes true when it is done. */
void rc_registry_leave(struct rc_registry *registry);
/* Ends as one that died does: it stays in the list, is not heard of any more, and whoever finds that cleans up after it. */
void rc_registry_abandon(struct rc_registry *registry);

static inline bool rc_registry_owned(const struct rc_registry *registry)
{
    return registry->state == RC_REGISTRY_OWNED;
}

/* Another live broker has this id: nothing goes to or comes from other hosts. */
static inline bool rc_registry_refused(const struct rc_registry *registry)
{
    return registry->state == RC_REGISTRY_REFUSED || registry->was_refused;
}

#endif
