/*
 * clock: the two clocks that ringcast reads.
 *
 * Monotonic time is comparable between the processes of one host (CLOCK_MONOTONIC), wall time is only shown to people
 * and put into messages. Any process may call; nothing fails.
 */
#ifndef RC_COMMON_BASE_CLOCK_H
#define RC_COMMON_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t rc_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Milliseconds of CLOCK_MONOTONIC. */
static inline uint64_t rc_clock_ms(void)
{
    return rc_clock_ns() / 1000000u;
}

/* Milliseconds since 1970-01-01 UTC (CLOCK_REALTIME): the `timestamp` of messages. */
static inline uint64_t rc_clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

#endif
