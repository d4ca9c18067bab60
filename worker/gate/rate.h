/*
 * rate: how much of something may come in a second, with a burst: messages and bytes of a connection, new connections.
 *
 * A leaky bucket: a level that what comes raises and time lowers; it is over the limit while the level is above the burst.
 * The state is 16 bytes for two buckets and needs no timer. Zeroed, it is empty: nothing came yet. Exact: levels are in
 * thousandths, so that a rate of r a second lowers them by r a millisecond. Pure, time is given by the caller
 * (milliseconds of any clock that goes forward; 32 bits, which may wrap: after 49 days without anything a bucket may look fuller than it
 * is, never emptier). Nothing fails.
 */
#ifndef RC_WORKER_GATE_RATE_H
#define RC_WORKER_GATE_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* Largest values: what keeps the levels within their bits. */
#define RC_RATE_COUNT_MAX 1000000u
#define RC_RATE_BYTES_MAX (UINT64_C(1) << 40)

/* A rate of 0 is no limit. Bursts below one second's worth are fine; at least 1 each where there is a rate. */
struct rc_rate_limits {
    uint32_t count_per_s; /* messages, or connections */
    uint32_t count_burst;
    uint64_t bytes_per_s;
    uint64_t bytes_burst;
};

struct rc_rate {
    uint64_t bytes_level; /* 1/1000 byte */
    uint32_t count_level; /* 1/1000 */
    uint32_t at_ms;       /* when the levels were true */
};
_Static_assert(sizeof(struct rc_rate) == 16, "fits beside a connection's slot");

/*
 * Something came and was taken. Returns 0 within the limits, or the milliseconds after which the levels are back at the
 * bursts: the policy is then to read no more for so long, or to end the connection (1008). Levels are kept from growing
 * beyond a minute's worth above the burst, so nobody is put off for longer.
 */
uint32_t rc_rate_take(struct rc_rate *rate, const struct rc_rate_limits *limits, uint32_t now_ms, uint32_t count,
                      uint64_t bytes);

/* The same question with nothing taken. */
uint32_t rc_rate_wait_ms(struct rc_rate *rate, const struct rc_rate_limits *limits, uint32_t now_ms);

/* Takes one of `count` only if it is within the limits; false leaves the level as it is. For what can be refused:
 * accepting connections. */
bool rc_rate_admit(struct rc_rate *rate, const struct rc_rate_limits *limits, uint32_t now_ms);

#endif
