/* The relay's loop: heartbeat, sleep and bell, watched descriptors, end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "relay/loop.h"

struct fixture {
    struct rc_relay_loop loop;
    struct rc_process process;
    int turns;
    int turns_max; /* stops after that many; 0 = never */
    int busy;      /* turns that say there is more */
    int pendings;  /* times that `pending` says yes */
    uint32_t events;
    int ready_count;
    int fds[2];
};

static struct fixture fixture;

static bool turn(void *context)
{
    struct fixture *f = context;
    f->turns++;
    if (f->turns == f->turns_max) {
        rc_relay_loop_stop(&f->loop);
    }
    return f->busy-- > 0;
}

static bool pending(void *context)
{
    struct fixture *f = context;
    cr_assert_neq(atomic_load(&f->process.bell.sleeping), 0, "the sleep is announced before the last look");
    return f->pendings-- > 0;
}

static void ready(void *context, uint32_t events)
{
    struct fixture *f = context;
    f->events |= events;
    f->ready_count++;
    rc_relay_loop_stop(&f->loop);
}

static void open_loop(void)
{
    struct rc_err err;
    const struct rc_relay_loop_ops ops = {.turn = turn, .pending = pending, .context = &fixture};
    cr_assert_eq(rc_relay_loop_open(&fixture.loop, &fixture.process, &ops, &err), 0, "%s", err.text);
    cr_assert_eq(pipe(fixture.fds), 0);
}

static void close_loop(void)
{
    rc_relay_loop_close(&fixture.loop);
    close(fixture.fds[0]);
    if (fixture.fds[1] >= 0) {
        close(fixture.fds[1]);
    }
}

TestSuite(relay_loop, .init = open_loop, .fini = close_loop);

static void run(void)
{
    struct rc_err err;
    cr_assert_eq(rc_relay_loop_run(&fixture.loop, &err), 0, "%s", err.text);
}

Test(relay_loop, heartbeat_is_written_in_every_turn)
{
    fixture.turns_max = 3;
    fixture.busy = 3;
    const uint64_t before = rc_clock_ms();
    run();
    cr_assert_eq(fixture.turns, 3);
    cr_assert_geq(atomic_load(&fixture.process.heartbeat_ms), before);
}

Test(relay_loop, idle_loop_still_turns_every_second)
{
    fixture.turns_max = 2;
    const uint64_t before = rc_clock_ms();
    run();
    cr_assert_geq(rc_clock_ms() - before, 900);
    cr_assert_eq(fixture.turns, 2);
    cr_assert_eq(atomic_load(&fixture.process.bell.sleeping), 0);
}

Test(relay_loop, work_found_after_the_announcement_prevents_the_sleep)
{
    fixture.turns_max = 4;
    fixture.pendings = 3;
    const uint64_t before = rc_clock_ms();
    run();
    cr_assert_lt(rc_clock_ms() - before, 500);
    cr_assert_eq(atomic_load(&fixture.process.bell.sleeping), 0);
}

static void *ring_when_asleep(void *argument)
{
    const int fd = *(const int *)argument;
    uint64_t rung = 0;
    for (int i = 0; i < 3; i++) {
        while (rc_doorbell_ring(&fixture.process.bell, fd, &rung) != 1) {}
    }
    return NULL;
}

Test(relay_loop, bell_wakes_it_again_and_again_though_it_is_never_read)
{
    pthread_t thread;
    int bell = eventfd(0, EFD_NONBLOCK);
    cr_assert_eq(rc_relay_loop_watch(&fixture.loop, bell, true, NULL, NULL), 0);
    fixture.turns_max = 4;
    const uint64_t before = rc_clock_ms();
    cr_assert_eq(pthread_create(&thread, NULL, ring_when_asleep, &bell), 0);
    run();
    cr_assert_lt(rc_clock_ms() - before, 900);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    close(bell);
}

Test(relay_loop, readable_descriptor_is_reported)
{
    cr_assert_eq(rc_relay_loop_watch(&fixture.loop, fixture.fds[0], false, ready, &fixture), 0);
    cr_assert_eq(write(fixture.fds[1], "x", 1), 1);
    run();
    cr_assert(fixture.events & POLLIN);
}

Test(relay_loop, end_of_a_pipe_is_reported_also_while_busy)
{
    cr_assert_eq(rc_relay_loop_watch(&fixture.loop, fixture.fds[0], false, ready, &fixture), 0);
    close(fixture.fds[1]);
    fixture.fds[1] = -1;
    fixture.busy = 1 << 30;
    run();
    cr_assert(fixture.events & POLLHUP);
}

Test(relay_loop, too_many_watches_are_refused)
{
    for (uint32_t i = 0; i < RC_RELAY_WATCHES_MAX; i++) {
        cr_assert_eq(rc_relay_loop_watch(&fixture.loop, fixture.fds[0], false, ready, &fixture), 0);
    }
    cr_assert_lt(rc_relay_loop_watch(&fixture.loop, fixture.fds[0], false, ready, &fixture), 0);
}

Test(relay_loop, bad_descriptor_ends_the_run_with_a_reason)
{
    struct rc_err err = {.text = ""};
    cr_assert_eq(rc_relay_loop_watch(&fixture.loop, 9999, false, ready, &fixture), 0);
    cr_assert_lt(rc_relay_loop_run(&fixture.loop, &err), 0);
    cr_assert(strstr(err.text, "io_uring") != NULL);
}

static struct rc_timer timer;
static int expired_count;

static void soon(void *context, uint64_t now_ms)
{
    struct fixture *f = context;
    expired_count++;
    rc_timer_set(&f->loop.timers, &timer, now_ms + 20, soon, f);
}

/* There is no Redis here. */
Test(relay_loop, a_timer_fires_on_the_loop_which_sleeps_no_longer)
{
    const uint64_t before = rc_clock_ms();
    soon(&fixture, before);
    fixture.turns_max = 4;
    run();
    const uint64_t took = rc_clock_ms() - before;
    cr_assert(took >= 40 && took < 900, "%llu ms", (unsigned long long)took);
    cr_assert_geq(expired_count, 3);
    rc_timer_cancel(&fixture.loop.timers, &timer);
}

static void stop(void *context, uint64_t now_ms)
{
    struct fixture *f = context;
    (void)now_ms;
    rc_relay_loop_stop(&f->loop);
}

Test(relay_loop, a_timer_fires_also_while_busy)
{
    rc_timer_set(&fixture.loop.timers, &timer, rc_clock_ms() + 20, stop, &fixture);
    fixture.busy = 1 << 30;
    run();
    cr_assert_not(timer.set);
}

Test(relay_loop, a_descriptor_that_is_not_watched_any_more_is_not_told_and_its_place_is_used_again)
{
    const int first = rc_relay_loop_poll(&fixture.loop, fixture.fds[0], POLLIN, ready, &fixture);
    cr_assert_geq(first, 0);
    cr_assert_eq(write(fixture.fds[1], "x", 1), 1);
    rc_relay_loop_unpoll(&fixture.loop, first);
    soon(&fixture, rc_clock_ms());
    fixture.turns_max = 3;
    run();
    cr_assert_eq(fixture.ready_count, 0, "the completion was its former user's");
    const int second = rc_relay_loop_poll(&fixture.loop, fixture.fds[0], POLLIN, ready, &fixture);
    cr_assert_eq(second, first);
    fixture.turns_max = 0;
    fixture.loop.stopping = false;
    run();
    cr_assert_eq(fixture.ready_count, 1);
    cr_assert((fixture.events & POLLIN) != 0);
}

Test(relay_loop, places_are_bounded)
{
    for (uint32_t i = 0; i < RC_RELAY_WATCHES_MAX; i++) {
        cr_assert_eq(rc_relay_loop_poll(&fixture.loop, fixture.fds[0], POLLIN, ready, &fixture), (int)i);
    }
    cr_assert_eq(rc_relay_loop_poll(&fixture.loop, fixture.fds[0], POLLIN, ready, &fixture), -ENOSPC);
    for (uint32_t i = 0; i < RC_RELAY_WATCHES_MAX; i++) {
        rc_relay_loop_unpoll(&fixture.loop, (int)i);
    }
}
