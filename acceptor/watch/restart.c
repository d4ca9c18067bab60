/*
 * restart: see restart.h.
 */
#include "acceptor/watch/restart.h"

#define RC_RESTART_KILLS_APART_MS 1000u

/* One more without a quiet minute before it: 0, then 100 ms, doubling. */
static uint64_t restart_delay(struct rc_restart *restart, uint64_t started_ms, uint64_t now_ms)
{
    if (now_ms - started_ms >= RC_RESTART_WINDOW_MS) {
        restart->streak = 0;
    }
    restart->streak++;
    if (restart->streak == 1) {
        return 0;
    }
    const uint32_t doublings = restart->streak - 2;
    const uint64_t delay = doublings < 16 ? (uint64_t)RC_RESTART_DELAY_FIRST_MS << doublings : RC_RESTART_DELAY_MAX_MS;
    return delay < RC_RESTART_DELAY_MAX_MS ? delay : RC_RESTART_DELAY_MAX_MS;
}

bool rc_restart_after_crash(struct rc_restart *restart, uint64_t started_ms, uint64_t now_ms, uint64_t *delay_ms)
{
    const uint32_t slot = restart->crashes % RC_RESTART_CRASHES_MAX;
    restart->crashes_ms[slot] = now_ms;
    restart->crashes++;
    *delay_ms = restart_delay(restart, started_ms, now_ms);
    const uint32_t oldest = restart->crashes % RC_RESTART_CRASHES_MAX;
    return restart->crashes < RC_RESTART_CRASHES_MAX || now_ms - restart->crashes_ms[oldest] > RC_RESTART_WINDOW_MS;
}

uint64_t rc_restart_after_failure(struct rc_restart *restart, uint64_t started_ms, uint64_t now_ms)
{
    return restart_delay(restart, started_ms, now_ms);
}

uint64_t rc_restart_after_kill(struct rc_restart *restart, uint64_t now_ms)
{
    const bool often = restart->killed_ms != 0 && now_ms - restart->killed_ms < RC_RESTART_KILLS_APART_MS;
    restart->killed_ms = now_ms;
    return often ? RC_RESTART_DELAY_FIRST_MS : 0;
}
