/*
 * restart: see restart.h.
 */
#include "acceptor/watch/restart.h"

#define RC_RESTART_KILLS_APART_MS 1000u

bool rc_restart_after_crash(struct rc_restart *restart, uint64_t started_ms, uint64_t now_ms, uint64_t *delay_ms)
{
    const uint32_t slot = restart->crashes % RC_RESTART_CRASHES_MAX;
    restart->crashes_ms[slot] = now_ms;
    restart->crashes++;
    if (now_ms - started_ms >= RC_RESTART_WINDOW_MS) {
        restart->streak = 0;
    }
    restart->streak++;

    const uint32_t oldest = restart->crashes % RC_RESTART_CRASHES_MAX;
    if (restart->crashes >= RC_RESTART_CRASHES_MAX && now_ms - restart->crashes_ms[oldest] <= RC_RESTART_WINDOW_MS) {
        return false;
    }
    if (restart->streak == 1) {
        *delay_ms = 0;
        return true;
    }
    const uint32_t doublings = restart->streak - 2;
    const uint64_t delay = doublings < 16 ? (uint64_t)RC_RESTART_DELAY_FIRST_MS << doublings : RC_RESTART_DELAY_MAX_MS;
    *delay_ms = delay < RC_RESTART_DELAY_MAX_MS ? delay : RC_RESTART_DELAY_MAX_MS;
    return true;
}

uint64_t rc_restart_after_kill(struct rc_restart *restart, uint64_t now_ms)
{
    const bool often = restart->killed_ms != 0 && now_ms - restart->killed_ms < RC_RESTART_KILLS_APART_MS;
    restart->killed_ms = now_ms;
    return often ? RC_RESTART_DELAY_FIRST_MS : 0;
}
