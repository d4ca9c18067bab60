/*
 * pace: when each message of a closed loop goes out.
 *
 * A closed loop keeps `count` messages in flight. Each is a *talker*'s: it publishes one, waits until the last subscriber has
 * that one, pauses for a random time of its own and publishes its next. Without the pause two messages that once reached the
 * server together would be complete together, be followed by two more together, and so on: the server would put both into one
 * send for ever, and cost half of what it costs people who do not move in step.
 *
 * An instance belongs to one process and reads no clock. Times are any monotonic ns.
 */
#ifndef RC_BENCH_PACE_H
#define RC_BENCH_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct rc_bench_pace_due {
    uint64_t at_ns;
    uint32_t talker;
};

struct rc_bench_pace {
    struct rc_bench_pace_due
        *waiting; /* owned: a binary heap, the earliest first; talkers without a message in flight */
    uint32_t waiting_count;
    uint32_t count;
    uint64_t think_ns; /* mean of the pauses */
    uint64_t seed;
};

/* `count` (at least 1) talkers, each with its first message due after its first pause. 0 or -ENOMEM. */
int rc_bench_pace_start(struct rc_bench_pace *pace, uint32_t count, uint64_t think_ns, uint64_t seed, uint64_t now_ns);
void rc_bench_pace_free(struct rc_bench_pace *pace);

/* When the next message is due; UINT64_MAX while all are in flight. */
uint64_t rc_bench_pace_due(const struct rc_bench_pace *pace);

/* The talker whose message is due first, which has one in flight from now on. Only while one is waiting. */
uint32_t rc_bench_pace_take(struct rc_bench_pace *pace);

/* The talker whose turn it would be; only while one is waiting. */
uint32_t rc_bench_pace_next(const struct rc_bench_pace *pace);

/* The talker's message is complete: its next is due after a pause of 0 to 2 * think_ns, all equally likely. */
void rc_bench_pace_done(struct rc_bench_pace *pace, uint32_t talker, uint64_t now_ns);

/* The stream of a talker's `turn`-th message. With more streams than talkers each goes through streams of its own, every
 * `talkers`-th, so that two never have a message in flight on the same. */
uint32_t rc_bench_pace_stream(uint32_t talker, uint32_t talkers, uint32_t streams, uint64_t turn);

#endif
