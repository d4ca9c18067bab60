/* doorbell: who wakes whom when, and a hunt for lost wakes with threads. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/shm/doorbell.h"

#define WAKE_LIMIT_MS 20000 /* longer than any scheduling delay: a wake that takes this long is lost */

#if defined(__SANITIZE_THREAD__)
#define HUNT_ROUNDS 5000u
#else
#define HUNT_ROUNDS 30000u
#endif

static uint64_t rung(int fd)
{
    uint64_t count = 0;
    return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}

Test(doorbell, consumer_that_is_awake_is_not_woken)
{
    struct rc_doorbell_shared bell = {0};
    uint64_t last = 0;
    const int fd = eventfd(0, EFD_NONBLOCK);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &last), 0);
    rc_doorbell_sleep(&bell);
    rc_doorbell_awake(&bell);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &last), 0);
    cr_assert_eq(rung(fd), 0);
    close(fd);
}

Test(doorbell, sleeping_consumer_is_woken_once)
{
    struct rc_doorbell_shared bell = {0};
    uint64_t last = 0;
    const int fd = eventfd(0, EFD_NONBLOCK);
    rc_doorbell_sleep(&bell);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &last), 1);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &last), 0, "a batch that follows finds it awake");
    cr_assert_eq(rung(fd), 1);
    rc_doorbell_awake(&bell);
    rc_doorbell_sleep(&bell);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &last), 1);
    cr_assert_eq(rung(fd), 1);
    close(fd);
}

Test(doorbell, sleeps_are_numbered)
{
    struct rc_doorbell_shared bell = {.sleeps = UINT32_MAX - 1};
    rc_doorbell_sleep(&bell);
    cr_assert_eq(atomic_load(&bell.sleeping), UINT32_MAX);
    rc_doorbell_awake(&bell);
    cr_assert_eq(atomic_load(&bell.sleeping), 0);
    rc_doorbell_sleep(&bell);
    cr_assert_eq(atomic_load(&bell.sleeping), UINT64_C(1) << 32, "0 means awake");
}

/* Producers have the bell read-only: what one of them does cannot make the others believe that somebody is awake. */
Test(doorbell, each_producer_rings_a_sleep_once_and_writes_nothing)
{
    struct rc_doorbell_shared bell = {0};
    uint64_t last = 0;
    uint64_t other = 0;
    const int fd = eventfd(0, EFD_NONBLOCK);
    rc_doorbell_sleep(&bell);
    const uint64_t number = atomic_load(&bell.sleeping);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &last), 1);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &last), 0);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &other), 1);
    cr_assert_eq(rung(fd), 2);
    cr_assert_eq(atomic_load(&bell.sleeping), number);
    close(fd);
}

Test(doorbell, full_counter_counts_as_woken)
{
    struct rc_doorbell_shared bell = {0};
    uint64_t last = 0;
    const int fd = eventfd(0, EFD_NONBLOCK);
    const uint64_t most = UINT64_MAX - 1;
    cr_assert_eq(write(fd, &most, sizeof(most)), (ssize_t)sizeof(most));
    rc_doorbell_sleep(&bell);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &last), 1);
    close(fd);
}

Test(doorbell, wake_asks_nobody_whether_he_sleeps)
{
    const int fd = eventfd(0, EFD_NONBLOCK);
    cr_assert_eq(rc_doorbell_wake(fd), 0);
    cr_assert_eq(rc_doorbell_wake(fd), 0);
    cr_assert_eq(rung(fd), 2);
    const uint64_t full = UINT64_MAX - 1;
    cr_assert_eq(write(fd, &full, sizeof(full)), (ssize_t)sizeof(full));
    cr_assert_eq(rc_doorbell_wake(fd), 0, "a full counter wakes, too");
    close(fd);
    cr_assert_eq(rc_doorbell_wake(fd), -EBADF);
}

Test(doorbell, failed_wake_leaves_the_consumer_asleep_for_the_next_one)
{
    struct rc_doorbell_shared bell = {0};
    uint64_t last = 0;
    rc_doorbell_sleep(&bell);
    cr_assert_eq(rc_doorbell_ring(&bell, -1, &last), -EBADF);
    cr_assert_neq(atomic_load(&bell.sleeping), 0);
    const int fd = eventfd(0, EFD_NONBLOCK);
    cr_assert_eq(rc_doorbell_ring(&bell, fd, &last), 1);
    close(fd);
}

/* --- the hunt --- */

struct hunt {
    struct rc_doorbell_shared bell;
    _Atomic uint64_t committed; /* stands for a ring's tail */
    _Atomic uint64_t taken;
    _Atomic uint32_t stop;
    _Atomic uint32_t wakes;
    int event_fd;
    uint32_t producers;
};

/* One CPU for each side: on one and the same nothing of what is hunted here can happen. */
static void pin(size_t index)
{
    cpu_set_t allowed;
    cpu_set_t one;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return;
    }
    index %= (size_t)CPU_COUNT(&allowed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && index-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof(one), &one); /* of this thread */
            return;
        }
    }
}

static void spin(uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++) {
        __asm__ volatile("" ::: "memory");
    }
}

/* Commits one at a time and waits until it is taken, so that every round can end in a sleep that must be rung. */
static void *hunt_producer(void *argument)
{
    struct hunt *h = argument;
    uint32_t random = 7;
    uint64_t last = 0;
    pin(1);
    for (uint32_t i = 0; i < HUNT_ROUNDS && atomic_load_explicit(&h->stop, memory_order_relaxed) == 0; i++) {
        random = random * 1664525u + 1013904223u;
        spin(random >> 22);
        /* Pairs with the acquire in hunt_consume, as R1 with R2 of a ring. Alone it is a plain store, as there:
         * a locked instruction would do the fence's work. */
        uint64_t mine;
        if (h->producers == 1) {
            mine = atomic_load_explicit(&h->committed, memory_order_relaxed) + 1;
            atomic_store_explicit(&h->committed, mine, memory_order_release);
        } else {
            mine = atomic_fetch_add_explicit(&h->committed, 1, memory_order_release) + 1;
        }
        const int woken = rc_doorbell_ring(&h->bell, h->event_fd, &last);
        if (woken < 0) {
            break; /* the consumer then finds too few */
        }
        atomic_fetch_add_explicit(&h->wakes, (uint32_t)woken, memory_order_relaxed);
        while (atomic_load_explicit(&h->taken, memory_order_acquire) < mine &&
               atomic_load_explicit(&h->stop, memory_order_relaxed) == 0) {
            if (h->producers > 1) {
                break;
            }
        }
    }
    return NULL;
}

static bool hunt_consume(struct hunt *h)
{
    const uint64_t committed = atomic_load_explicit(&h->committed, memory_order_acquire);
    const bool some = committed != atomic_load_explicit(&h->taken, memory_order_relaxed);
    atomic_store_explicit(&h->taken, committed, memory_order_release);
    return some;
}

static uint32_t hunt_run(uint32_t producers)
{
    struct hunt h = {.event_fd = eventfd(0, EFD_NONBLOCK), .producers = producers};
    pthread_t threads[4];
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    const int epoll_fd = epoll_create1(0);
    cr_assert_eq(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, h.event_fd, &event), 0);
    for (uint32_t i = 0; i < producers; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, hunt_producer, &h), 0);
    }
    bool lost = false;
    uint32_t random = 11;
    pin(0);
    while (atomic_load_explicit(&h.taken, memory_order_relaxed) < (uint64_t)producers * HUNT_ROUNDS && !lost) {
        while (hunt_consume(&h)) {}
        random = random * 1664525u + 1013904223u;
        spin(random >> 21);
        rc_doorbell_sleep(&h.bell);
        if (!hunt_consume(&h) &&
            atomic_load_explicit(&h.taken, memory_order_relaxed) < (uint64_t)producers * HUNT_ROUNDS) {
            lost = epoll_wait(epoll_fd, &event, 1, WAKE_LIMIT_MS) == 0;
        }
        rc_doorbell_awake(&h.bell);
    }
    atomic_store(&h.stop, 1);
    for (uint32_t i = 0; i < producers; i++) {
        pthread_join(threads[i], NULL);
    }
    close(epoll_fd);
    close(h.event_fd);
    cr_assert_not(lost, "%lu of %lu taken", (unsigned long)atomic_load(&h.taken),
                  (unsigned long)atomic_load(&h.committed));
    return atomic_load(&h.wakes);
}

Test(doorbell, no_wake_is_lost_with_one_producer)
{
    hunt_run(1);
}

Test(doorbell, no_wake_is_lost_with_three_producers)
{
    hunt_run(3);
}
