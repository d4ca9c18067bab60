/* Timers of the loop: order, cancelling from inside, a bounded round. */
#include <criterion/criterion.h>

#include "relay/timer.h"

struct note {
    struct rc_timers *timers;
    struct rc_timer timer;
    struct note *cancels;
    uint64_t again_ms;
    int times;
    int order;
};

static int order;

static void expired(void *context, uint64_t now_ms)
{
    struct note *note = context;
    (void)now_ms;
    note->times++;
    note->order = ++order;
    if (note->cancels != NULL) {
        rc_timer_cancel(note->timers, &note->cancels->timer);
    }
    if (note->again_ms != 0) {
        rc_timer_set(note->timers, &note->timer, note->again_ms, expired, note);
    }
}

static void set(struct rc_timers *timers, struct note *note, uint64_t due_ms)
{
    note->timers = timers;
    rc_timer_set(timers, &note->timer, due_ms, expired, note);
}

Test(relay_timer, in_order_of_time_and_of_setting)
{
    struct rc_timers timers = {0};
    struct note a = {0}, b = {0}, c = {0};
    cr_assert_eq(rc_timers_due_ms(&timers), RC_TIMER_NEVER);
    set(&timers, &a, 20);
    set(&timers, &b, 10);
    set(&timers, &c, 10);
    cr_assert_eq(rc_timers_due_ms(&timers), 10);
    rc_timers_run(&timers, 9);
    cr_assert_eq(order, 0);
    rc_timers_run(&timers, 10);
    cr_assert(b.order == 1 && c.order == 2 && a.order == 0);
    rc_timers_run(&timers, 100);
    cr_assert(a.order == 3 && a.times == 1);
    cr_assert_eq(rc_timers_due_ms(&timers), RC_TIMER_NEVER);
}

Test(relay_timer, moving_and_cancelling)
{
    struct rc_timers timers = {0};
    struct note a = {0}, b = {0};
    set(&timers, &a, 10);
    set(&timers, &b, 20);
    set(&timers, &a, 30);
    cr_assert_eq(rc_timers_due_ms(&timers), 20);
    rc_timer_cancel(&timers, &b.timer);
    rc_timer_cancel(&timers, &b.timer);
    rc_timers_run(&timers, 100);
    cr_assert(a.times == 1 && b.times == 0);
}

Test(relay_timer, one_may_cancel_a_later_one_and_set_itself)
{
    struct rc_timers timers = {0};
    struct note later = {0};
    struct note first = {.cancels = &later, .again_ms = 5};
    set(&timers, &first, 1);
    set(&timers, &later, 2);
    rc_timers_run(&timers, 10);
    cr_assert_eq(later.times, 0);
    cr_assert_leq(first.times, 2, "a round is bounded though it is due again at once");
    cr_assert(first.timer.set);
}

Test(relay_timer, all_are_cancelled_and_may_be_set_again)
{
    struct rc_timers timers = {0};
    struct note a = {0}, b = {0};
    set(&timers, &a, 10);
    set(&timers, &b, 20);
    rc_timers_clear(&timers);
    rc_timer_cancel(&timers, &b.timer);
    set(&timers, &a, 5);
    rc_timers_run(&timers, 30);
    cr_assert_eq(a.times, 1);
    cr_assert_eq(b.times, 0);
}
