/* timer: see timer.h. */
#include "relay/redis/timer.h"

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

void rc_timers_run(struct rc_timers *timers, uint64_t now_ms)
{
    /* One that sets itself again for now waits for the next round: a round is bounded by the timers there are. */
    struct rc_timer *due = timers->first;
    struct rc_timer **end = &timers->first;
    while (*end != NULL && (*end)->due_ms <= now_ms) {
        end = &(*end)->next;
    }
    if (end == &timers->first) {
        return;
    }
    /* They stay in the list until their turn, so that an earlier one may cancel a later one. */
    struct rc_timer *const stop = *end;
    (void)due;
    while (timers->first != NULL && timers->first != stop && timers->first->due_ms <= now_ms) {
        struct rc_timer *timer = timers->first;
        timers->first = timer->next;
        timer->next = NULL;
        timer->set = false;
        timer->expired(timer->context, now_ms);
    }
}
