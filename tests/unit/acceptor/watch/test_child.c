/* acceptor/child: the stuck detector and the correction of steering loads. */
#include <criterion/criterion.h>

#include "acceptor/watch/child.h"

static struct rc_life life;
static struct rc_process process;

static void child_ready(struct rc_child *child)
{
    rc_child_init(child, 3, &life, &process);
    child->pid = 4711;
    atomic_store(&process.state, RC_PROCESS_READY);
    atomic_store(&process.heartbeat_ms, 10000);
}

Test(child, says_stuck_once_and_recovered_once)
{
    struct rc_child child;
    child_ready(&child);
    cr_assert_eq(rc_child_check(&child, 12000, 2000, 30000), RC_CHILD_BEATS);
    cr_assert_eq(rc_child_check(&child, 12001, 2000, 30000), RC_CHILD_STUCK);
    cr_assert(child.stuck);
    cr_assert_eq(rc_child_check(&child, 20000, 2000, 30000), RC_CHILD_BEATS);
    atomic_store(&process.heartbeat_ms, 20500);
    cr_assert_eq(rc_child_check(&child, 21000, 2000, 30000), RC_CHILD_RECOVERED);
    cr_assert_not(child.stuck);
    cr_assert_eq(rc_child_check(&child, 22000, 2000, 30000), RC_CHILD_BEATS);
}

Test(child, is_lost_after_the_kill_timeout_unless_that_is_off)
{
    struct rc_child child;
    child_ready(&child);
    cr_assert_eq(rc_child_check(&child, 40001, 2000, 30000), RC_CHILD_LOST);
    cr_assert_eq(rc_child_check(&child, 41001, 2000, 30000), RC_CHILD_LOST);
    child_ready(&child);
    cr_assert_eq(rc_child_check(&child, 900000, 2000, 0), RC_CHILD_STUCK);
    cr_assert_eq(rc_child_check(&child, 9000000, 2000, 0), RC_CHILD_BEATS);
}

Test(child, is_not_judged_while_it_starts_or_is_down)
{
    struct rc_child child;
    child_ready(&child);
    atomic_store(&process.state, RC_PROCESS_STARTING);
    cr_assert_eq(rc_child_check(&child, 100000, 2000, 30000), RC_CHILD_BEATS);
    atomic_store(&process.state, RC_PROCESS_READY);
    child.pid = 0;
    cr_assert_eq(rc_child_check(&child, 100000, 2000, 30000), RC_CHILD_BEATS);
}

Test(child, a_heartbeat_from_the_future_is_fresh)
{
    struct rc_child child;
    child_ready(&child);
    cr_assert_eq(rc_child_check(&child, 9000, 2000, 30000), RC_CHILD_BEATS);
}

Test(child, load_is_corrected_when_the_difference_lasts)
{
    struct rc_child child;
    child_ready(&child);
    cr_assert_eq(rc_child_load_correction(&child, 12, 10), 0);
    cr_assert_eq(rc_child_load_correction(&child, 22, 20), 0);
    cr_assert_eq(rc_child_load_correction(&child, 7, 5), 2);
    cr_assert_eq(rc_child_load_correction(&child, 5, 5), 0);
}

Test(child, load_of_connections_on_their_way_is_left_alone)
{
    struct rc_child child;
    child_ready(&child);
    for (uint64_t i = 0; i < 20; i++) {
        cr_assert_eq(rc_child_load_correction(&child, 100 + i % 2, 100), 0);
    }
}

Test(child, load_below_the_true_number_is_corrected_too)
{
    struct rc_child child;
    child_ready(&child);
    rc_child_load_correction(&child, UINT64_MAX, 4); /* -1: two corrections met */
    rc_child_load_correction(&child, UINT64_MAX, 4);
    cr_assert_eq(rc_child_load_correction(&child, UINT64_MAX, 4), -5);
}

Test(child, names)
{
    struct rc_child child;
    rc_child_init(&child, 12, &life, &process);
    cr_assert_str_eq(rc_child_name(&child), "worker 12");
    rc_child_init(&child, RC_CHILD_RELAY, &life, &process);
    cr_assert_str_eq(rc_child_name(&child), "relay");
}
