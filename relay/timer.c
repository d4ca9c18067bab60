/* timer: see timer.h. */
#include "relay/timer.h"

void rc_timer_cancel(struct rc_timers *timers, struct rc_timer *timer)
{
    if (!timer->set) {
        return;
    }
    struct rc_timer **place = &timers->first;
    while (*place != timer) {
        place = &(*place)->next;
    }
    *place = timer->next;
    timer->next = NULL;
    timer->set = false;
}

void rc_timer_set(struct rc_timers *timers, struct rc_timer *timer, uint64_t due_ms, rc_timer_expired *expired,
                  void *context)
{
    rc_timer_cancel(timers, timer);
    struct rc_timer **place = &timers->first;
    while (*place != NULL && (*place)->due_ms <= due_ms) {
        place = &(*place)->next;
    }
    *timer = (struct rc_timer){.next = *place, .due_ms = due_ms, .expired = expired, .context = context, .set = true};
    *place = timer;
}

void rc_timers_clear(struct rc_timers *timers)
{
    while (timers->first != NULL) {
        rc_timer_cancel(timers, timers->first);
    }
}

void rc_timers_run(struct rc_timers *timers, uint64_t now_ms)
{
    /* One that sets itself again for now waits for the next round: a round is bounded by the timers that are due. */
    uint32_t due = 0;
    for (const struct rc_timer *timer = timers->first; timer != NULL && timer->due_ms <= now_ms; timer = timer->next) {
        due++;
    }
    for (; due > 0 && timers->first != NULL && timers->first->due_ms <= now_ms; due--) {
        struct rc_timer *timer = timers->first;
        timers->first = timer->next;
        timer->next = NULL;
        timer->set = false;
        timer->expired(timer->context, now_ms);
    }
}
