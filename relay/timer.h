/*
 * timer: what shall happen at a later time, for everything that lives on the relay's loop, which owns the list and runs it.
 *
 * A timer is a struct inside its owner; setting, moving and cancelling never fail and never allocate. A list in order of time:
 * there are dozens of them, things by the thousand keep a queue of their own behind one timer. Times are milliseconds of
 * CLOCK_MONOTONIC (rc_clock_ms). One thread.
 */
#ifndef RC_RELAY_TIMER_H
#define RC_RELAY_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RC_TIMER_NEVER UINT64_MAX

/* Called once when the time has come; may set the same timer again, or any other. */
typedef void rc_timer_expired(void *context, uint64_t now_ms);

/* All zero is a timer that is not set. */
struct rc_timer {
    struct rc_timer *next;
    uint64_t due_ms;
    rc_timer_expired *expired;
    void *context; /* borrowed */
    bool set;      /* true exactly while it is in a list */
};

struct rc_timers {
    struct rc_timer *first; /* borrowed; the one that is due next */
};

/* Sets the timer, or moves it when it is set. */
void rc_timer_set(struct rc_timers *timers, struct rc_timer *timer, uint64_t due_ms, rc_timer_expired *expired,
                  void *context);
/* Nothing happens when it is not set. Must be called before the owner of a set timer goes. */
void rc_timer_cancel(struct rc_timers *timers, struct rc_timer *timer);

/* Cancels all of them. */
void rc_timers_clear(struct rc_timers *timers);

/* Calls those that are due at `now_ms`, each at most once. */
void rc_timers_run(struct rc_timers *timers, uint64_t now_ms);

/* When the next one is due; RC_TIMER_NEVER when none is set. */
static inline uint64_t rc_timers_due_ms(const struct rc_timers *timers)
{
    return timers->first != NULL ? timers->first->due_ms : RC_TIMER_NEVER;
}

#endif
