/* windows: see windows.h. */
#include "common/shm/windows.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"

/* ThreadSanitizer does not see pthread_mutex_clocklock take a lock. */
#if defined(__SANITIZE_THREAD__)
#define LOCK_UNTIL(mutex, until) ((void)(until), pthread_mutex_lock(mutex))
#else
#define LOCK_UNTIL(mutex, until) pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, until)
#endif

/* --- locks ----------------------------------------------------------------------------------------------------------- */

int rc_window_locks_open(struct rc_window_lock *locks, uint32_t count, struct rc_err *err)
{
    pthread_mutexattr_t attributes;
    int rc = pthread_mutexattr_init(&attributes);
    if (rc != 0) {
        return rc_err_set(err, -rc, "locks of limits: %s", strerror(rc));
    }
    rc = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (rc == 0) {
        rc = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        rc = pthread_mutex_init(&locks[i].mutex, &attributes);
    }
    (void)pthread_mutexattr_destroy(&attributes);
    return rc == 0 ? 0 : rc_err_set(err, -rc, "locks of limits: %s", strerror(rc));
}

int rc_windows_open(struct rc_windows *windows, struct rc_err *err)
{
    const int rc = rc_window_locks_open(windows->locks, RC_WINDOW_SETS, err);
    if (rc == 0) {
        rc_windows_renew(windows);
    }
    return rc;
}

void rc_windows_renew(struct rc_windows *windows)
{
    windows->abi = RC_LIMITS_ABI;
    /* NW1 pairs with NW2 in rc_windows_right: whoever sees it sees the locks. */
    atomic_store_explicit(&windows->ready, RC_WINDOWS_READY, memory_order_release);
}

bool rc_windows_right(const struct rc_windows *windows)
{
    /* NW2 pairs with NW1 in rc_windows_renew. */
    return atomic_load_explicit(&windows->ready, memory_order_acquire) == RC_WINDOWS_READY &&
           windows->abi == RC_LIMITS_ABI;
}

bool rc_window_lock(struct rc_window_lock *lock)
{
    int rc = pthread_mutex_trylock(&lock->mutex);
    if (rc == EBUSY) { /* for some hundred nanoseconds, unless who has it does not run */
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += RC_WINDOW_LOCK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        rc = LOCK_UNTIL(&lock->mutex, &until);
    }
    if (rc == EOWNERDEAD) { /* whatever it was in the middle of, each word of it is sound */
        rc = pthread_mutex_consistent(&lock->mutex);
    }
    return rc == 0;
}

void rc_window_unlock(struct rc_window_lock *lock)
{
    (void)pthread_mutex_unlock(&lock->mutex);
}

/* --- one window ------------------------------------------------------------------------------------------------------ */

static uint32_t window_parts(const struct rc_window_limit *limit)
{
    return limit->count < RC_WINDOW_PARTS ? limit->count : RC_WINDOW_PARTS;
}

/* What entry `i` may hold: together all of them the count. */
static uint32_t window_share(const struct rc_window_limit *limit, uint32_t i)
{
    const uint64_t parts = window_parts(limit);
    return (uint32_t)((i + 1) * (uint64_t)limit->count / parts - i * (uint64_t)limit->count / parts);
}

static bool window_over(const struct rc_window *window, uint64_t now_ms)
{
    return now_ms >= window->latest_ms && now_ms - window->latest_ms >= window->limit.window_ms;
}

/* Of another process's memory: what is no such window begins anew. */
static bool window_sound(const struct rc_window *window, const struct rc_window_limit *limit)
{
    return window->limit.count == limit->count && window->limit.window_ms == limit->window_ms &&
           window->current < window_parts(limit);
}

/* Milliseconds until the entry is older than the window; 0: it is, or there is nothing in it. */
static uint32_t window_wait_ms(const struct rc_window *window, uint32_t i, uint64_t now_ms)
{
    const uint32_t age_ms = (uint32_t)now_ms - window->parts[i].at_ms;
    return window->parts[i].count == 0 || age_ms >= window->limit.window_ms ? 0 : window->limit.window_ms - age_ms;
}

/* How the next `cost` would be laid down: entries from the current one on, round the ring, as far as they are free. */
static bool window_fits(const struct rc_window *window, uint32_t cost, uint64_t now_ms, uint32_t *retry_ms)
{
    const uint32_t parts = window_parts(&window->limit);
    uint32_t i = window->current;
    const uint32_t share = window_share(&window->limit, i);
    const uint32_t used = window->parts[i].count < share ? window->parts[i].count : share;
    uint64_t room = share - used;
    *retry_ms = 0;
    /* The current entry's own past comes last: all of it has to be over before it can be begun anew. */
    for (uint32_t n = 0; n < parts && room < cost; n++) {
        i = (i + 1) % parts;
        const uint32_t wait_ms = window_wait_ms(window, i, now_ms);
        *retry_ms = wait_ms > *retry_ms ? wait_ms : *retry_ms;
        room += i == window->current ? used : window_share(&window->limit, i);
    }
    return *retry_ms == 0;
}

static void window_fill(struct rc_window *window, uint32_t cost, uint64_t now_ms)
{
    const uint32_t parts = window_parts(&window->limit);
    for (uint32_t i = 0; i < parts; i++) { /* before its 32 bits come round and it looks young again */
        if (i != window->current && window_wait_ms(window, i, now_ms) == 0) {
            window->parts[i].count = 0;
        }
    }
    while (cost > 0) {
        uint32_t i = window->current;
        uint32_t share = window_share(&window->limit, i);
        if (window->parts[i].count >= share) {
            i = (i + 1) % parts;
            share = window_share(&window->limit, i);
            window->parts[i].count = 0;
            window->current = i;
        }
        const uint32_t part = cost < share - window->parts[i].count ? cost : share - window->parts[i].count;
        window->parts[i].at_ms =
            (uint32_t)now_ms; /* before what it dates: who dies in between leaves nothing that is too old */
        window->parts[i].count += part;
        cost -= part;
    }
    window->latest_ms = now_ms;
}

/* --- the table ------------------------------------------------------------------------------------------------------- */

/* The key's window, else a free one or that of the key that came last the longest ago, if it is over; NULL: none is. */
static struct rc_window *set_find(struct rc_window_set *set, uint64_t key, uint64_t now_ms, uint32_t *way)
{
    struct rc_window *oldest = NULL;
    for (uint32_t i = 0; i < RC_WINDOW_WAYS; i++) {
        if (set->keys[i] == key) {
            *way = i;
            return &set->windows[i];
        }
    }
    for (uint32_t i = 0; i < RC_WINDOW_WAYS; i++) {
        struct rc_window *window = &set->windows[i];
        if (set->keys[i] == 0) {
            *way = i;
            return window;
        }
        if (window_over(window, now_ms) && (oldest == NULL || window->latest_ms < oldest->latest_ms)) {
            *way = i;
            oldest = window;
        }
    }
    return oldest;
}

static enum rc_window_answer windows_ask(struct rc_windows *windows, uint64_t key, const struct rc_window_limit *limit,
                                         uint32_t cost, uint64_t now_ms, uint32_t *retry_ms, bool take)
{
    RC_ASSERT(key != 0 && limit->count > 0 && limit->count <= RC_WINDOW_COUNT_MAX && limit->window_ms > 0 &&
              limit->window_ms <= RC_WINDOW_MS_MAX && cost > 0 && cost <= limit->count);
    struct rc_window_lock *lock = &windows->locks[key % RC_WINDOW_SETS];
    struct rc_window_set *set = &windows->sets[key % RC_WINDOW_SETS];
    enum rc_window_answer answer = RC_WINDOW_UNKNOWN;
    uint32_t way = 0;
    *retry_ms = 0;
    if (!rc_window_lock(lock)) {
        return RC_WINDOW_UNKNOWN;
    }
    struct rc_window *window = set_find(set, key, now_ms, &way);
    const bool its = window != NULL && set->keys[way] == key;
    if (its && window->latest_ms > now_ms && window->latest_ms - now_ms < limit->window_ms) {
        now_ms = window->latest_ms; /* another worker's loop is a little ahead */
    }
    if (window == NULL || (!take && !its)) {
        answer = window == NULL ? RC_WINDOW_UNKNOWN : RC_WINDOW_TAKEN;
    } else if (!its || !window_sound(window, limit) || window_over(window, now_ms)) {
        if (take) {
            set->keys[way] = 0; /* who dies in the middle leaves a free one */
            *window = (struct rc_window){.limit = *limit};
            window_fill(window, cost, now_ms);
            set->keys[way] = key;
        }
        answer = RC_WINDOW_TAKEN;
    } else if (!window_fits(window, cost, now_ms, retry_ms)) {
        answer = RC_WINDOW_FULL;
    } else {
        if (take) {
            window_fill(window, cost, now_ms);
        }
        answer = RC_WINDOW_TAKEN;
    }
    rc_window_unlock(lock);
    return answer;
}

enum rc_window_answer rc_windows_take(struct rc_windows *windows, uint64_t key, const struct rc_window_limit *limit,
                                      uint32_t cost, uint64_t now_ms, uint32_t *retry_ms)
{
    return windows_ask(windows, key, limit, cost, now_ms, retry_ms, true);
}

enum rc_window_answer rc_windows_look(struct rc_windows *windows, uint64_t key, const struct rc_window_limit *limit,
                                      uint32_t cost, uint64_t now_ms, uint32_t *retry_ms)
{
    return windows_ask(windows, key, limit, cost, now_ms, retry_ms, false);
}
