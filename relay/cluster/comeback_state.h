/*
 * comeback_state: what both halves of comeback.h work on: the instance that asks for a lost session, and the one that has it (comeback_owner.h).
 */
#ifndef RC_RELAY_CLUSTER_COMEBACK_STATE_H
#define RC_RELAY_CLUSTER_COMEBACK_STATE_H

#include "relay/bridge/bridge.h"
#include "relay/bridge/direct.h"
#include "relay/bridge/scratch.h"
#include "relay/cluster/comeback_marks.h"
#include "relay/cluster/comeback_moves.h"
#include "relay/cluster/registry.h"
#include "relay/recovery/abroad.h"

#define RC_COMEBACKS_MAX 256u
#define RC_COMEBACK_ANSWER_MS 500u /* until all others have answered, or the owner */
#define RC_COMEBACK_ROOMS_MS \
    1200u /* until the rooms are heard, and the owner gives it; until what it heard before has come, too */
#define RC_COMEBACK_TICK_MS 10u
#define RC_COMEBACK_AGAIN_MS 100u  /* between two tries through all servers of a Cluster */
#define RC_COMEBACK_KNOWN_MS 3000u /* who is refused asks no other instance again for so long */

#define RC_COMEBACK_HOME "ws:home" /* whose slot's master is home of all instances in a Cluster */

struct rc_comeback_one;

/* A session that was given away: what this instance had heard has to come to the asker before it is there. */
struct rc_comeback_given {
    uint64_t token; /* of the question; 0 = free */
    uint64_t since_ms;
    uint64_t again_ms;  /* told not before */
    uint64_t published; /* by this instance before it was given */
    char to[RC_INSTANCE_ID_MAX + 1];
};

struct rc_comeback_setup {
    const struct rc_bridge *bridge;     /* borrowed */
    const struct rc_registry *registry; /* borrowed */
    struct rc_recovery *recovery;       /* borrowed */
    struct rc_direct *direct;           /* borrowed: to other instances' sockets */
    /* Is all that is published on the channel delivered here, and nothing of it held back? It is wanted already. */
    bool (*hears)(void *context, struct rc_span channel);
    /* Up to which entry the Node servers' stream was read here ("": there is none), and whether it was read as far (to "" always). */
    const char *(*place)(void *context);
    bool (*has)(void *context, struct rc_span id);
    void *context; /* borrowed */
};

struct rc_comeback {
    struct rc_comeback_setup setup;
    struct rc_comeback_one *ones;    /* owner: RC_COMEBACKS_MAX */
    struct rc_comeback_given *given; /* owner: RC_COMEBACKS_MAX */
    uint64_t serial;                 /* token of the last question */
    struct rc_comeback_moves moves;
    struct rc_comeback_marks marks;
    struct rc_scratch out; /* owner */
    struct rc_timer timer;
    char own_channel[RC_INSTANCE_ID_MAX + 32];
    char mark_channel[RC_INSTANCE_ID_MAX + 32];
    struct rc_redis_subscription own;
    struct rc_redis_subscription marked; /* at each server of a Cluster */
    struct rc_redis_subscription everybody;
};

#endif
