/*
 * plan: what a run does, derived from the options once and then only read, and the memory that its processes share.
 *
 * The coordinator makes both before it forks; the client processes inherit them. Publishers all live in process 0, so
 * that the window of a closed loop has one owner; subscribers are spread over the processes in blocks. A *stream* is one
 * publisher on one channel: what sequence numbers count within. Where members talk, each subscriber is its own publisher. Every field of the shared part has one writer, or is only
 * ever added to.
 */
#ifndef RC_BENCH_PLAN_H
#define RC_BENCH_PLAN_H

#include "bench/latency.h"
#include "bench/net.h"
#include "bench/options.h"
#include "bench/protocol.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rc_bench_scenario;

struct rc_bench_plan {
    const struct rc_bench_options *options;
    const struct rc_bench_protocol *protocol;
    const struct rc_bench_scenario *scenario;
    struct rc_bench_target subscribe_at;
    struct rc_bench_target publish_at; /* the same unless publishers go to another broker */
    uint64_t base_ns;                  /* CLOCK_MONOTONIC time that payload times count from */
    uint32_t processes;
    uint32_t subscribers; /* connections that receive, over all processes; for most scenarios all there are */
    uint32_t send_bytes;  /* what a connection may have under way to the server; 0: little */
    uint32_t restless;    /* those of them that come and go (churn) */
    uint32_t calm;        /* the first so many of them are process 0's, all others the other processes' (recover) */
    uint32_t publishers;  /* connections that only publish */
    uint32_t channels;
    uint32_t streams; /* max(channels, publishers); stream s is publisher s % publishers on channel s % channels */
    uint32_t streams_per_channel; /* at most */
    uint32_t window_slots; /* 0 in an open loop: numbers of a stream told apart, see rc_bench_plan_window_slots() */
    bool returns;          /* see calm */
    bool members;          /* subscriber s publishes stream s, over its own connection */
};

/* The power of two by which the numbers of a stream in flight are told apart: at most so many talkers are on a stream (pace.h), and
 * a stall sends a few more. */
static inline uint32_t rc_bench_plan_window_slots(uint32_t window, uint32_t streams)
{
    uint32_t slots = 4;
    while (slots < 2 * ((window + streams - 1) / streams) + 10) {
        slots *= 2;
    }
    return slots;
}

/* Subscribers [first, first + count) belong to a process. */
static inline uint32_t rc_bench_plan_first(const struct rc_bench_plan *plan, uint32_t process)
{
    if (plan->returns && process > 0) {
        const uint64_t others = plan->subscribers - plan->calm;
        return plan->calm + (uint32_t)(others * (process - 1) / (plan->processes - 1));
    }
    return (uint32_t)((uint64_t)plan->subscribers * process / plan->processes);
}

static inline uint32_t rc_bench_plan_count(const struct rc_bench_plan *plan, uint32_t process)
{
    return rc_bench_plan_first(plan, process + 1) - rc_bench_plan_first(plan, process);
}

/* How many of the subscribers [first, first + count) are on `channel` (subscriber i is on channel i % channels). */
static inline uint32_t rc_bench_plan_on_channel(const struct rc_bench_plan *plan, uint32_t first, uint32_t count,
                                                uint32_t channel)
{
    const uint32_t below_end = (first + count + plan->channels - 1 - channel) / plan->channels;
    const uint32_t below_first = (first + plan->channels - 1 - channel) / plan->channels;
    return below_end - below_first;
}

/*
 *  START ──all prepared──▶ CONNECT ──all ready──▶ HOLD ──▶ RUN (warm-up, then measured) ──time over──▶ DRAIN ──quiet──▶ STOP
 */
enum rc_bench_phase {
    RC_BENCH_START,   /* processes make their rings and tables */
    RC_BENCH_CONNECT, /* connections are opened and joined */
    RC_BENCH_HOLD,    /* all are ready, nothing is sent */
    RC_BENCH_RUN,     /* traffic */
    RC_BENCH_DRAIN,   /* nothing new is sent; what is under way arrives */
    RC_BENCH_STOP,    /* processes add up what is missing, and exit */
};

#define RC_BENCH_ERROR_MAX 256

/* One process's counts: written by it alone, read by the coordinator at any time (each number stands alone: relaxed). */
struct rc_bench_tally {
    _Atomic uint64_t opened; /* upgrades that succeeded */
    _Atomic uint64_t ready;  /* joins that were completed */
    _Atomic uint64_t open;   /* connections that are ready now */
    _Atomic uint64_t failed; /* connections that did not get there */
    _Atomic uint64_t closed; /* connections that the server ended */
    _Atomic uint64_t published;
    _Atomic uint64_t deliveries; /* right ones, each number once */
    _Atomic uint64_t receives;   /* receive completions: about what the server's sends were */
    _Atomic uint64_t bytes;
    _Atomic uint64_t inflated;      /* messages that came compressed */
    _Atomic uint64_t deltas;        /* messages that came as deltas */
    _Atomic uint64_t sent_segments; /* about what this process's own sends were on the loopback */
    _Atomic uint64_t pings;
    _Atomic uint64_t lost;    /* known at the end */
    _Atomic uint64_t skipped; /* missing so far */
    _Atomic uint64_t duplicated;
    _Atomic uint64_t late; /* came after a later one: reordered */
    _Atomic uint64_t corrupted;
    _Atomic uint64_t gaps;             /* the server said so */
    _Atomic uint64_t refused;          /* error answers */
    _Atomic uint64_t excused;          /* missing at connections that the scenario made slow or closed */
    _Atomic uint64_t stalls;           /* closed loop: nothing came for too long */
    _Atomic uint64_t returned;         /* storm: connections that are back */
    _Atomic uint64_t storm_ns;         /* storm: from the drop until the last was back */
    _Atomic uint64_t slow;             /* slow: how many */
    _Atomic uint64_t caught_up;        /* slow: those that had the newest message when they read again */
    _Atomic uint64_t prepared;         /* 1 once the process has its ring and tables */
    _Atomic uint64_t wanted;           /* connections that the process opens before RUN */
    _Atomic uint64_t unsent;           /* open loop: due, but the server did not read */
    _Atomic uint64_t blocked_ns;       /* time a publisher could not send because the server did not read */
    char error[RC_BENCH_ERROR_MAX];    /* the first thing that went wrong; readable once the process has ended */
    struct rc_bench_latency latency;   /* scheduled time to delivery, within the measured time */
    struct rc_bench_latency before;    /* recover: of those before it */
    struct rc_bench_latency handshake; /* connect to joined */
};

struct rc_bench_shared {
    _Atomic uint32_t phase;            /* written by the coordinator */
    _Atomic uint64_t run_start_ns;     /* when RUN began */
    _Atomic uint64_t measure_start_ns; /* since base_ns; UINT64_MAX during warm-up */
    _Atomic uint64_t measure_end_ns;   /* since base_ns; UINT64_MAX until it is known */
    _Atomic uint64_t completed;        /* closed loop: messages that every subscriber has; added to by all */
    _Atomic uint32_t
        *finished; /* [finished_slots]: the n-th of them, 1 + its place in `left`; process 0 makes it 0 again */
    uint32_t finished_slots;           /* power of two, more than can be in flight */
    _Atomic uint32_t publisher_sleeps; /* 1 while process 0 waits: a completion must wake it */
    int publisher_wake;                /* eventfd of process 0 */
    struct rc_bench_tally *tallies;    /* [processes] */
    _Atomic uint32_t *sequences;       /* [streams]: next number, written by process 0 */
    _Atomic uint32_t *left;            /* [streams * window_slots]: processes that have completed a number */
    /* [subscribers] client ids, written by the process that has them; recover: [channels] the places of their histories, by
     * process 0; NULL if unused */
    char (*names)[RC_BENCH_NAME_MAX];
};

static inline void rc_bench_count(_Atomic uint64_t *counter, uint64_t n)
{
    /* One writer: no read-modify-write is needed. Relaxed: each counter stands alone. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t rc_bench_counted(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The next number of a stream, for its one publisher. */
static inline uint32_t rc_bench_sequence(const struct rc_bench_shared *shared, uint32_t stream)
{
    return atomic_load_explicit(&shared->sequences[stream], memory_order_relaxed);
}

#endif
