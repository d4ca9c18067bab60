/*
 * windows: how often something happened lately, for all workers of a host: at most `count` in any `window_ms`.
 *
 * A sliding log, exact in what it promises: whatever window of that length is looked at, it never holds more than `count`, and
 * `count` at once pass when it is empty. (The usual counter of two fixed windows only estimates, a token bucket lets up to twice as many
 * through.) A log of each single one would be kilobytes for each user, so the log has at most RC_WINDOW_PARTS entries, and each stands for
 * up to count / RC_WINDOW_PARTS in a row, as old as the latest of them. Up to RC_WINDOW_PARTS that is the plain log; beyond, who uses a
 * limit up evenly gets the share of one entry less, 4 %, never more.
 *
 *   key ──▶ set (a lock of its own) ──▶ one of RC_WINDOW_WAYS entries
 *
 * A segment that all workers map writable: it is nobody's alone. The worst a stray write does is a wrong answer about a limit, or a lock
 * that cannot be had: then, as when a set is full of windows that are not over, the answer is RC_WINDOW_UNKNOWN and the caller lets it
 * pass and counts it. The locks are robust: one that died in between has it taken over, and every state in between is a sound one. Nobody
 * waits longer than RC_WINDOW_LOCK_MS, also for one that was stopped. Time is the caller's (CLOCK_MONOTONIC ms), and need not be the same
 * instant in all of them. Any process and thread may call.
 */
#ifndef RC_COMMON_SHM_WINDOWS_H
#define RC_COMMON_SHM_WINDOWS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

#define RC_LIMITS_ABI \
    2u /* of these, and of common/shm/tallies.h, which adds to them: raised when a member comes, moves or changes its meaning */
#define RC_WINDOWS_READY 0x5243574eu /* "RCWN" */
#define RC_WINDOW_SETS 4096u
#define RC_WINDOW_WAYS 30u
#define RC_WINDOW_PARTS 28u
#define RC_WINDOW_LOCK_MS 5u
#define RC_WINDOW_COUNT_MAX 1000000000u
#define RC_WINDOW_MS_MAX 86400000u

/* At most `count` (1 to RC_WINDOW_COUNT_MAX) in any `window_ms` (1 to RC_WINDOW_MS_MAX). */
struct rc_window_limit {
    uint32_t count;
    uint32_t window_ms;
};

/* Entries of a log in a ring, `current` the latest. */
struct rc_window {
    uint64_t latest_ms; /* of any of it */
    struct rc_window_limit limit;
    uint32_t current;
    uint32_t reserved;
    struct {
        uint32_t at_ms; /* low bits: what is older than the window is known by latest_ms or by the order */
        uint32_t count;
    } parts[RC_WINDOW_PARTS];
    uint64_t pad;
};
_Static_assert(sizeof(struct rc_window) == 256, "window layout");

struct rc_window_lock {
    pthread_mutex_t mutex; /* robust, shared by processes: of the set of the same number */
    uint8_t pad[64 - sizeof(pthread_mutex_t)];
};
_Static_assert(sizeof(struct rc_window_lock) == 64, "window lock layout");

struct rc_window_set {
    uint64_t keys[RC_WINDOW_WAYS]; /* 0 = free */
    uint8_t pad[272];
    struct rc_window windows[RC_WINDOW_WAYS];
};
_Static_assert(sizeof(struct rc_window_set) == 8192, "window set layout");

/* W: acceptor until it is ready, then whoever has a set's lock. Pages of sets are touched with use only. */
struct rc_windows {
    _Atomic uint32_t ready; /* RC_WINDOWS_READY, stored last */
    uint32_t abi;           /* RC_LIMITS_ABI */
    uint8_t pad[4088];
    struct rc_window_lock locks[RC_WINDOW_SETS];
    struct rc_window_set sets[RC_WINDOW_SETS];
};
_Static_assert(sizeof(struct rc_windows) == 4096 + 4096 * (64 + 8192),
               "windows layout: raise RC_LIMITS_ABI when a member moves");

enum rc_window_answer {
    RC_WINDOW_TAKEN,
    RC_WINDOW_FULL,    /* *retry_ms: not before so long; nothing was taken */
    RC_WINDOW_UNKNOWN, /* there is no room to count it, or its lock was not to be had */
};

/* Locks for others beside it: made in memory of zeros; false: it was not to be had in time, or is damaged. */
int rc_window_locks_open(struct rc_window_lock *locks, uint32_t count, struct rc_err *err);
bool rc_window_lock(struct rc_window_lock *lock);
void rc_window_unlock(struct rc_window_lock *lock);

/* In memory of zeros. Negative errno with `err`: the C library has no such locks. */
int rc_windows_open(struct rc_windows *windows, struct rc_err *err);
/* Writes anew what it begins with, in case somebody damaged it. */
void rc_windows_renew(struct rc_windows *windows);
/* Is it one that rc_windows_open made? */
bool rc_windows_right(const struct rc_windows *windows);

/* Takes `cost` (1 to limit->count) of what `key` (a hash that nobody outside can choose; never 0) has left. */
enum rc_window_answer rc_windows_take(struct rc_windows *windows, uint64_t key, const struct rc_window_limit *limit,
                                      uint32_t cost, uint64_t now_ms, uint32_t *retry_ms);
/* The same question with nothing taken. */
enum rc_window_answer rc_windows_look(struct rc_windows *windows, uint64_t key, const struct rc_window_limit *limit,
                                      uint32_t cost, uint64_t now_ms, uint32_t *retry_ms);

#endif
