/*
 * adapter_asks: what this instance asks of the Socket.IO servers beside it, as one more of them (adapter.h).
 *
 *   an event of a backend whose clients are to answer (common/records/emit.h, RC_EMIT_HOOK)
 *       ──▶ a broadcast that wants answers ──▶ how many got it, and each answer ──▶ RC_CALL_ASKED to a worker, which tells the backend
 *   who is in a room, of a row (relay/cluster/calls.h)
 *       ──▶ PUBSUB NUMSUB, how many there are ──▶ SOCKETS, or fetchSockets ──▶ the ids, until all have answered
 *
 * Servers answer to the instance's uid, or (classic) to all: those channels are subscribed with the first question of a namespace, until another
 * one needs its place. Who subscribes the channel of questions answers one, and so does each instance of ringcast, this one too, with nobody: what
 * they know is asked in our own format. So the number that Redis tells is the number of answers; in a Cluster, which counts the subscribers of one
 * node, and in which a shard's own count is of its node alone, it is unless the adapter is the sharded one unknown, and time is what ends it.
 *
 * Owned by relay/remote; one thread. Bounded: RC_ADAPTER_ASKS_MAX at a time, in RC_ADAPTER_ASK_NSPS_MAX namespaces; beyond, servers are not asked,
 * which is counted. Of namespaces in which no question waits the one that was asked in longest ago makes room. What is under way ends with the
 * relay: a backend hears nothing more of those clients then.
 */
#ifndef RC_RELAY_BRIDGE_ADAPTER_ASKS_H
#define RC_RELAY_BRIDGE_ADAPTER_ASKS_H

#include "common/records/emit.h"
#include "relay/bridge/adapter_state.h"

#define RC_ADAPTER_ASKS_MAX 1024u
#define RC_ADAPTER_ASK_NSPS_MAX 256u
#define RC_ADAPTER_ASK_ROOM_MS 400u /* until all servers have said who is in a room: who asks waits RC_CALLS_ROOM_MS */

/* Who asks about a room, by a number of its own: some are there (`ids`: JSON strings, as entries of sockets.h, `count` of them); `last`: no more
 * come, and `whole` says whether all servers have answered. */
struct rc_adapter_asks_ops {
    void (*room)(void *context, uint64_t token, struct rc_span ids, uint32_t count);
    void (*room_done)(void *context, uint64_t token, bool whole);
    void *context; /* borrowed */
};

struct rc_adapter_ask;

/* A namespace whose answers are heard. */
struct rc_adapter_ask_nsp {
    char *name;     /* owner */
    uint64_t asked; /* the number of the last question in it */
    uint32_t open;  /* questions that wait for answers */
};

struct rc_adapter_asks {
    struct rc_adapter_bridge *adapter; /* borrowed */
    struct rc_adapter_asks_ops ops;
    const struct rc_config *config; /* borrowed: in force */
    uint32_t nonce;                 /* of our questions */
    uint32_t serial;                /* of the last one */
    struct rc_adapter_ask *all;     /* owner: RC_ADAPTER_ASKS_MAX; NULL = the adapter is off */
    uint32_t high;                  /* places that have ever been used */
    uint32_t free_first;            /* place + 1 of those that are free again; 0 = none */
    struct rc_timer timer;
    struct rc_adapter_ask_nsp nsps[RC_ADAPTER_ASK_NSPS_MAX];
    uint32_t nsp_count;
    uint64_t asked;         /* questions so far */
    struct rc_scratch text; /* owner: of an answer that is read */
    struct rc_scratch data; /* owner: of what is made of it */
};

/* Behind rc_adapter_open. -ENOMEM. */
int rc_adapter_asks_open(struct rc_adapter_asks *asks, struct rc_adapter_bridge *adapter,
                         const struct rc_config *config, const struct rc_adapter_asks_ops *ops);
void rc_adapter_asks_configure(struct rc_adapter_asks *asks, const struct rc_config *config);
/* Behind the link's end. */
void rc_adapter_asks_close(struct rc_adapter_asks *asks);

/* An event of a backend, as a worker's call has it (rc_emits_is): asks the servers' clients, too, unless it is for clients of this instance alone. */
void rc_adapter_asks_emit(struct rc_adapter_asks *asks, uint32_t worker, const struct rc_envelope_view *view);

/* Who of the servers' clients is in the channel's room? 0: ops.room and then ops.room_done are called, never within this. -ENOSYS: no servers are beside
 * this instance; -ENOTCONN: Redis is away; -ENOBUFS, -ENOMEM, which are counted. */
int rc_adapter_asks_room(struct rc_adapter_asks *asks, struct rc_span channel, uint64_t token);

#endif
