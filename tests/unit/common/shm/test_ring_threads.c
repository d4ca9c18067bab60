/* ring with its two sides in two threads: what ThreadSanitizer can see of R1 to R4, and the sleep of both sides. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/shm/doorbell.h"
#include "common/shm/ring.h"

#define CAPACITY 8192u
#define WAKE_LIMIT_MS 20000

#if defined(__SANITIZE_THREAD__)
#define RECORDS 20000u
#else
#define RECORDS 100000u
#endif

struct both {
    struct rc_ring_shared shared;
    struct rc_doorbell_shared consumer_bell;
    struct rc_doorbell_shared producer_bell;
    uint8_t *data;
    int consumer_fd;
    int producer_fd;
    bool sleeping; /* sides sleep by doorbell, else they look again */
    bool restarts; /* sides attach anew now and then */
    bool failed;   /* W: consumer, read after the join */
};

static uint32_t bytes_of(uint32_t number)
{
    const uint32_t r = number * 2654435761u;
    return 4 + (r >> 28 == 0 ? (r >> 8) % (CAPACITY / 2 - 12) : (r >> 8) % 200);
}

/* Blocks on the eventfd; it is read here, because poll(2) is level-triggered. */
static bool block(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    uint64_t count;
    return poll(&wait, 1, WAKE_LIMIT_MS) == 1 && read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count);
}

static void *produce(void *argument)
{
    struct both *b = argument;
    struct rc_ring ring;
    uint64_t rung = 0;
    if (rc_ring_attach_producer(&ring, &b->shared, b->data, CAPACITY) != 0) {
        return NULL;
    }
    for (uint32_t number = 0; number < RECORDS;) {
        const uint32_t bytes = bytes_of(number);
        uint8_t *payload = rc_ring_claim(&ring, 1 + number % 5, bytes);
        if (payload != NULL) {
            memset(payload, (int)number & 0xff, bytes);
            memcpy(payload, &number, sizeof(number));
            rc_ring_commit(&ring, bytes);
            number++;
            if (b->restarts && number % 97 == 0) {
                rc_ring_claim(&ring, 9, 100);
                rc_ring_attach_producer(&ring, &b->shared, b->data, CAPACITY);
            }
            if (number % 8 != 0 && number != RECORDS) {
                continue; /* one look at the bell per batch */
            }
        }
        rc_doorbell_ring(&b->consumer_bell, b->consumer_fd, &rung);
        if (payload == NULL && b->sleeping) {
            rc_doorbell_sleep(&b->producer_bell);
            if (!rc_ring_want_room(&ring, bytes) && !block(b->producer_fd)) {
                return NULL;
            }
            rc_doorbell_awake(&b->producer_bell);
        } else if (payload == NULL) {
            sched_yield();
        }
    }
    return b;
}

/* 1 = right, 0 = none there, -1 = wrong. */
static int take(struct rc_ring *ring, uint32_t number)
{
    uint32_t type;
    uint32_t bytes;
    uint32_t seen;
    const void *payload;
    const int rc = rc_ring_next(ring, &type, &payload, &bytes);
    if (rc != 1) {
        return rc;
    }
    memcpy(&seen, payload, sizeof(seen));
    bool right = bytes == bytes_of(number) && seen == number && type == 1 + number % 5;
    for (uint32_t i = 4; i < bytes && right; i++) {
        right = ((const uint8_t *)payload)[i] == (uint8_t)number;
    }
    return right ? 1 : -1;
}

static void consume(struct both *b)
{
    struct rc_ring ring;
    uint32_t number = 0;
    uint32_t released = 0; /* first number not released */
    uint64_t rung = 0;
    uint32_t batches = 0;
    b->failed = rc_ring_attach_consumer(&ring, &b->shared, b->data, CAPACITY) != 0;
    while (released < RECORDS && !b->failed) {
        int rc = 1;
        for (uint32_t i = 0; i < 16 && rc == 1 && number < RECORDS; i++) {
            rc = take(&ring, number);
            number += rc == 1;
        }
        b->failed = rc < 0;
        if (b->restarts && batches++ % 13 == 5) {
            rc_ring_attach_consumer(&ring, &b->shared, b->data, CAPACITY);
            number = released;
        }
        if (number != released) {
            rc_ring_release(&ring);
            released = number;
        } else if (b->sleeping) {
            rc_doorbell_sleep(&b->consumer_bell);
            b->failed = b->failed || (!rc_ring_readable(&ring) && !block(b->consumer_fd));
            rc_doorbell_awake(&b->consumer_bell);
        } else {
            sched_yield();
        }
        if (rc_ring_room_due(&ring)) {
            rc_doorbell_ring(&b->producer_bell, b->producer_fd, &rung);
        }
    }
}

static void run(bool sleeping, bool restarts, uint64_t start)
{
    struct both b = {.sleeping = sleeping, .restarts = restarts};
    pthread_t thread;
    void *done = NULL;
    atomic_store(&b.shared.tail, start);
    atomic_store(&b.shared.head, start);
    b.data = malloc(CAPACITY);
    b.consumer_fd = eventfd(0, EFD_NONBLOCK);
    b.producer_fd = eventfd(0, EFD_NONBLOCK);
    cr_assert_eq(pthread_create(&thread, NULL, produce, &b), 0);
    consume(&b);
    if (b.failed) { /* the producer would wait for room that never comes */
        uint64_t rung = 0;
        atomic_store(&b.shared.head, atomic_load(&b.shared.tail));
        rc_doorbell_ring(&b.producer_bell, b.producer_fd, &rung);
    }
    pthread_join(thread, &done);
    cr_assert_not(b.failed);
    cr_assert_eq(done, &b);
    cr_assert_eq(rc_ring_used(&(struct rc_ring){.shared = &b.shared, .capacity = CAPACITY}), 0);
    free(b.data);
    close(b.consumer_fd);
    close(b.producer_fd);
}

Test(ring_threads, sides_that_stay_awake_pass_every_record)
{
    run(false, false, (UINT64_C(1) << 32) - CAPACITY * 100);
}

Test(ring_threads, sides_that_sleep_pass_every_record)
{
    run(true, false, 0);
}

Test(ring_threads, sides_that_attach_anew_lose_nothing)
{
    run(true, true, 8);
}

/* --- lost room --- */

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

/* Fills the ring with two records and asks for room, at a random moment around the one release that empties it. */
static void *fill(void *argument)
{
    struct both *b = argument;
    struct rc_ring ring;
    uint32_t random = 3;
    pin(1);
    bool woken = rc_ring_attach_producer(&ring, &b->shared, b->data, CAPACITY) == 0;
    for (uint32_t number = 0; number < RECORDS / 4 && woken; number++) {
        const uint32_t bytes = CAPACITY / 2 - 8;
        while (rc_ring_claim(&ring, 1, bytes) != NULL) {
            rc_ring_commit(&ring, bytes);
        }
        random = random * 1664525u + 1013904223u;
        spin(random >> 21);
        rc_doorbell_sleep(&b->producer_bell);
        woken = rc_ring_want_room(&ring, bytes) || block(b->producer_fd);
        rc_doorbell_awake(&b->producer_bell);
    }
    atomic_store(&b->shared.tail, UINT64_MAX - 7); /* over: an impossible tail ends the consumer */
    return woken ? b : NULL;
}

static void empty(struct both *b)
{
    struct rc_ring ring;
    uint64_t rung = 0;
    uint32_t random = 5;
    uint32_t type;
    uint32_t bytes;
    const void *payload;
    int rc = rc_ring_attach_consumer(&ring, &b->shared, b->data, CAPACITY);
    while (rc >= 0) {
        for (uint32_t records = 0; records < 2 && rc >= 0;) {
            rc = rc_ring_next(&ring, &type, &payload, &bytes);
            records += rc == 1;
        }
        random = random * 1664525u + 1013904223u;
        spin(random >> 23);
        rc_ring_release(&ring);
        if (rc_ring_room_due(&ring)) {
            rc_doorbell_ring(&b->producer_bell, b->producer_fd, &rung);
        }
    }
}

Test(ring_threads, no_wish_for_room_is_lost)
{
    struct both b = {.producer_fd = eventfd(0, EFD_NONBLOCK)};
    pthread_t thread;
    void *done = NULL;
    b.data = malloc(CAPACITY);
    cr_assert_eq(pthread_create(&thread, NULL, fill, &b), 0);
    pin(0);
    empty(&b);
    pthread_join(thread, &done);
    cr_assert_eq(done, &b);
    free(b.data);
    close(b.producer_fd);
}
