/*
 * shared_state: what shared is made of, for the files that are it. Everybody else includes shared.h.
 */
#ifndef RC_RELAY_CLUSTER_SHARED_STATE_H
#define RC_RELAY_CLUSTER_SHARED_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/bridge/placed.h"
#include "relay/cluster/shared_script.h"
#include "relay/cluster/shared_table.h"
#include "relay/history/store.h"
#include "relay/redis/link.h"
#include "relay/route/router.h"
#include "relay/timer.h"

#define RC_SHARED_ECHO_MS 100u
#define RC_SHARED_TICK_MS 20u
/* Who subscribes, or asks, waits for the copy as long as RC_SHARED_WAIT_MS. Who subscribes waits for as long again whenever Redis has sent another channel's,
 * up to RC_SHARED_TURN_MS: where thousands come at once theirs is in the line, and Redis is not away. */
#define RC_SHARED_TURN_MS 5000u
#define RC_SHARED_WAIT_MS 1000u
#define RC_SHARED_PROBE_MS 1000u    /* how often a host that is alone looks whether it still is */
#define RC_SHARED_REFUSED_MS 10000u /* the same when Redis refuses (rights) */
#define RC_SHARED_KEEP_MS \
    20000u /* how often Redis is told that the epoch of a followed channel without a message holds */
#define RC_SHARED_KEEP_TICK_MS 1000u
#define RC_SHARED_KEEPS_MAX 4096u /* in a tick: of more than 80,000 such channels some lose their epoch */
#define RC_SHARED_FETCHES_MAX 64u
#define RC_SHARED_REFILLS_MAX 4u
#define RC_SHARED_FILL_MAX 10000u /* messages that a copy begins with, at most */
#define RC_SHARED_HELD_BYTES (16u << 20)
#define RC_SHARED_WAITERS_MAX 262144u

struct rc_shared;

/* A fetch that runs; its channel stays while it does. */
struct rc_shared_flight {
    struct rc_shared *shared; /* borrowed */
    struct rc_shared_channel *channel;
    uint64_t epoch; /* what was asked: the channel may be elsewhere when it is answered */
    uint64_t last;
    bool all;
    bool busy;
};

/* A question for what a copy lacks; its channel stays while it has not been answered. */
struct rc_shared_refill {
    struct rc_shared *shared; /* borrowed */
    struct rc_shared_channel *channel;
    uint64_t epoch; /* what was asked, as above */
    uint64_t last;
    uint64_t proof;
    uint64_t before; /* offset of the copy's oldest message */
    bool busy;
};

struct rc_shared_setup {
    struct rc_redis_link *link;     /* borrowed */
    struct rc_timers *timers;       /* borrowed */
    struct rc_router *router;       /* borrowed */
    struct rc_history *history;     /* borrowed */
    struct rc_wire *wire;           /* borrowed */
    const struct rc_config *config; /* borrowed: in force */
    const char *instance_id;        /* borrowed */
    uint32_t boot;
    /* A message with that sequence was given to Redis. `taken`: it has it; else it may not. May be NULL. */
    void (*ended)(void *context, uint64_t sequence, bool taken);
    void *ended_context; /* borrowed */
};

struct rc_shared {
    struct rc_shared_setup setup;
    struct rc_metrics *metrics;
    struct rc_shared_sender sender;
    struct rc_redis_script script;
    struct rc_shared_table table;
    struct rc_shared_pendings pendings; /* all of them */
    struct rc_shared_waiters waiters;   /* subscriptions, in the order of time */
    struct rc_shared_waiters askers;    /* questions, in the order of time */
    struct rc_shared_waiters fillers;   /* registrations that wait for what a copy lacks, in the order of time */
    struct rc_shared_channels echo;     /* by since_ms */
    struct rc_shared_channels fetch;    /* to be fetched now, in the order in which they came */
    struct rc_shared_channels later;    /* to be fetched again, by retry_ms */
    struct rc_shared_channels holding;  /* by held_ms: exactly those that hold messages */
    struct rc_shared_channels alone;
    struct rc_shared_channels quiet;  /* by keep_ms: followed, and without a message when they were listed */
    struct rc_shared_channels refill; /* those of which it is to be asked for, in the order in which they came */
    struct rc_shared_refill refills[RC_SHARED_REFILLS_MAX];
    uint64_t refill_since_ms; /* what was read so since then is refill_bytes */
    uint64_t refill_bytes;
    struct rc_shared_flight flights[RC_SHARED_FETCHES_MAX];
    uint32_t flying; /* flights */
    uint32_t waiter_count;
    uint64_t held_bytes;
    uint64_t probe_ms;
    uint64_t looked_ms;  /* when all streams were looked at; 0 = never */
    bool look_due;       /* they are to be, as soon as that is long enough ago */
    uint64_t moved_ms;   /* when Redis last confirmed a channel, or sent its history */
    uint64_t wall_ms;    /* CLOCK_REALTIME at wall_at_ms */
    uint64_t wall_at_ms; /* CLOCK_MONOTONIC; 0 = it was not looked at */
    struct rc_redis_observer observer;
    rc_timer_expired *tick; /* while anything waits */
    struct rc_timer timer;
    struct rc_timer keep_timer;
    bool open; /* the script is there: histories can be shared */
};

#endif
