/*
 * ring_processes: a producer and a consumer process over one memfd ring, killed with SIGKILL at random moments and
 * followed by successors that attach and go on.
 *
 *   ring_processes [SECONDS]      default 10, or STRESS_SECONDS; exit 0 when all was well
 *
 * Every record carries its number, and size, type and content follow from the number, so that the consumer can tell a
 * record that is wrong in any way. Both sides keep a two-slot journal in the segment (the slot is written, then
 * `current` names it): the producer the number it commits at which position, the consumer the number that follows a
 * released position. From it and the ring's own cursors a successor knows exactly where its predecessor died, so
 * "once" is checked exactly: a record may come again only if it had not been released.
 *
 * Both sleep through doorbells (epoll, edge-triggered, never read: the worker's multishot poll behaves the same). A
 * sleep that ends by its time limit although there was work is a lost wake, and a failure.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/shm/doorbell.h"
#include "common/base/err.h"
#include "common/shm/ring.h"
#include "common/shm/segment.h"

#define SLEEP_LIMIT_MS 10000 /* longer than any scheduling delay of a busy machine */
#define DRAIN_LIMIT_MS 60000
#define DATA_OFFSET 4096u

struct journal {
    struct {
        _Atomic uint64_t number;
        _Atomic uint64_t position;
    } slots[2];
    _Atomic uint64_t current; /* counts entries; slots[current & 1] is the last complete one */
};

struct segment {
    struct rc_ring_shared ring;
    struct rc_doorbell_shared consumer_bell;
    struct rc_doorbell_shared producer_bell;
    struct journal produced; /* number committed at position (before the commit) */
    struct journal consumed; /* first number behind the released position */
    _Atomic uint32_t stop;
    _Atomic uint32_t failed;
    _Atomic uint64_t full; /* times the producer found no room */
    _Atomic uint64_t empty;
    char reason[256];
};
_Static_assert(sizeof(struct segment) <= DATA_OFFSET, "the ring's data follows on the next page");

struct bench {
    struct segment *segment;
    uint8_t *data;
    uint64_t capacity;
    int consumer_fd;
    int producer_fd;
    uint64_t random;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t random_next(struct bench *b)
{
    return mix(b->random += UINT64_C(0x9e3779b97f4a7c15));
}

static void journal_write(struct journal *j, uint64_t number, uint64_t position)
{
    const uint64_t entry = atomic_load_explicit(&j->current, memory_order_relaxed) + 1;
    atomic_store_explicit(&j->slots[entry & 1].number, number, memory_order_relaxed);
    atomic_store_explicit(&j->slots[entry & 1].position, position, memory_order_relaxed);
    /* J1: in program order before what it announces; its reader comes after this process's death. */
    atomic_store_explicit(&j->current, entry, memory_order_release);
}

static __attribute__((noreturn)) void fail(struct bench *b, const char *what, uint64_t number, uint64_t seen)
{
    if (atomic_exchange(&b->segment->failed, 1) == 0) {
        snprintf(b->segment->reason, sizeof(b->segment->reason), "%s: record %" PRIu64 ", seen %" PRIu64, what, number,
                 seen);
    }
    _exit(1);
}

/* --- what a record looks like --- */

static uint32_t record_bytes(const struct rc_ring *ring, uint64_t number)
{
    const uint64_t r = mix(number ^ 0x5175);
    const uint32_t max = (uint32_t)rc_ring_payload_max(ring);
    uint32_t bytes;
    switch (r & 63) {
    case 0:
        bytes = max;
        break;
    case 1:
        bytes = max - (uint32_t)(r >> 8) % 64;
        break;
    case 2:
    case 3:
        bytes = (uint32_t)(r >> 8) % max;
        break;
    default:
        bytes = (uint32_t)(r >> 8) % 400;
        break;
    }
    return bytes < 16 ? 16 : bytes;
}

static uint32_t record_type(uint64_t number)
{
    return 1 + (uint32_t)(mix(number) % 40);
}

static void record_fill(uint8_t *payload, uint32_t bytes, uint64_t number)
{
    memcpy(payload, &number, 8);
    uint64_t x = number * UINT64_C(0x9e3779b97f4a7c15) + bytes;
    uint32_t i = 8;
    for (; i + 8 <= bytes; i += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        memcpy(payload + i, &x, 8);
    }
    for (; i < bytes; i++) {
        payload[i] = (uint8_t)(x >> (i & 7) * 8);
    }
}

static bool record_right(const uint8_t *payload, uint32_t bytes, uint64_t number)
{
    uint64_t x = number * UINT64_C(0x9e3779b97f4a7c15) + bytes;
    uint32_t i = 8;
    for (; i + 8 <= bytes; i += 8) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        if (memcmp(payload + i, &x, 8) != 0) {
            return false;
        }
    }
    for (; i < bytes; i++) {
        if (payload[i] != (uint8_t)(x >> (i & 7) * 8)) {
            return false;
        }
    }
    return true;
}

/* --- sleeping --- */

static int sleeper_open(int event_fd)
{
    const int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, event_fd, &event) != 0) {
        perror("epoll");
        _exit(2);
    }
    return fd;
}

/* True when woken, false when the time limit ended the sleep. */
static bool sleeper_wait(int epoll_fd)
{
    struct epoll_event event;
    return epoll_wait(epoll_fd, &event, 1, SLEEP_LIMIT_MS) == 1;
}

/* Now and then a side dawdles, so that the other runs full, or empty and to sleep. */
static void dawdle(struct bench *b)
{
    const uint64_t r = random_next(b);
    if (r % 400 == 0) {
        const struct timespec pause = {.tv_nsec = (long)(r >> 32) % 2000000};
        nanosleep(&pause, NULL);
    }
}

/* --- producer --- */

static uint64_t producer_resume(struct bench *b, const struct rc_ring *ring)
{
    struct journal *j = &b->segment->produced;
    const uint64_t entry = atomic_load_explicit(&j->current, memory_order_acquire);
    if (entry == 0) {
        return 0;
    }
    const uint64_t number = atomic_load_explicit(&j->slots[entry & 1].number, memory_order_relaxed);
    const uint64_t position = atomic_load_explicit(&j->slots[entry & 1].position, memory_order_relaxed);
    if (ring->position < position) {
        fail(b, "the committed tail went back", number, ring->position);
    }
    return ring->position == position ? number : number + 1;
}

static void producer_wait(struct bench *b, struct rc_ring *ring, int sleeper, uint32_t bytes)
{
    struct rc_doorbell_shared *bell = &b->segment->producer_bell;
    atomic_fetch_add_explicit(&b->segment->full, 1, memory_order_relaxed);
    for (bool woken = true;;) {
        rc_doorbell_sleep(bell);
        if (rc_ring_want_room(ring, bytes)) {
            rc_doorbell_awake(bell);
            if (!woken) {
                fail(b, "the producer was not woken", bytes, rc_ring_used(ring));
            }
            return;
        }
        woken = sleeper_wait(sleeper);
        rc_doorbell_awake(bell);
        if (!woken && rc_ring_used(ring) >= b->capacity / 2) {
            woken = true; /* the consumer really had not moved */
        }
    }
}

static __attribute__((noreturn)) void producer_run(struct bench *b)
{
    struct rc_ring ring;
    uint64_t rung = 0;
    if (rc_ring_attach_producer(&ring, &b->segment->ring, b->data, b->capacity) != 0) {
        fail(b, "attach as producer", 0, 0);
    }
    const int sleeper = sleeper_open(b->producer_fd);
    uint64_t number = producer_resume(b, &ring);
    rc_doorbell_awake(&b->segment->producer_bell);
    rc_doorbell_ring(&b->segment->consumer_bell, b->consumer_fd, &rung); /* for what the predecessor committed */
    while (atomic_load_explicit(&b->segment->stop, memory_order_relaxed) == 0) {
        for (uint64_t left = 1 + random_next(b) % 32; left > 0; left--) {
            const uint32_t bytes = record_bytes(&ring, number);
            const uint64_t r = random_next(b);
            uint32_t claim = r % 8 == 0 ? bytes + (uint32_t)(r >> 8) % 200 : bytes;
            claim = claim > rc_ring_payload_max(&ring) ? bytes : claim;
            uint8_t *payload = rc_ring_claim(&ring, record_type(number), claim);
            if (payload == NULL) {
                rc_doorbell_ring(&b->segment->consumer_bell, b->consumer_fd, &rung);
                producer_wait(b, &ring, sleeper, claim);
                continue;
            }
            record_fill(payload, bytes, number);
            if (r % 16 == 1) {
                memset(payload, 0xdd, bytes); /* changed its mind */
                continue;
            }
            journal_write(&b->segment->produced, number, ring.position);
            rc_ring_commit(&ring, bytes);
            number++;
        }
        rc_doorbell_ring(&b->segment->consumer_bell, b->consumer_fd, &rung);
        dawdle(b);
    }
    _exit(0);
}

/* --- consumer --- */

static uint64_t consumer_resume(struct bench *b, const struct rc_ring *ring)
{
    struct journal *j = &b->segment->consumed;
    const uint64_t entry = atomic_load_explicit(&j->current, memory_order_acquire);
    for (uint64_t back = 0; back < 2 && back < entry; back++) {
        const uint64_t slot = (entry - back) & 1;
        if (atomic_load_explicit(&j->slots[slot].position, memory_order_relaxed) == ring->position) {
            const uint64_t number = atomic_load_explicit(&j->slots[slot].number, memory_order_relaxed);
            /* Name the older slot again, so that the next entry replaces the one that was never released. */
            if (back == 1) {
                journal_write(j, number, ring->position);
            }
            return number;
        }
    }
    if (entry > 1) {
        fail(b, "the released head is none of the last two", entry, ring->position);
    }
    return 0;
}

static void consumer_wait(struct bench *b, struct rc_ring *ring, int sleeper)
{
    struct rc_doorbell_shared *bell = &b->segment->consumer_bell;
    atomic_fetch_add_explicit(&b->segment->empty, 1, memory_order_relaxed);
    rc_doorbell_sleep(bell);
    if (!rc_ring_readable(ring) && !sleeper_wait(sleeper) && rc_ring_readable(ring)) {
        fail(b, "the consumer was not woken", ring->position, rc_ring_used(ring));
    }
    rc_doorbell_awake(bell);
}

static void consumer_check(struct bench *b, uint64_t number, uint32_t type, const void *payload, uint32_t bytes,
                           const struct rc_ring *ring)
{
    uint64_t seen = 0;
    if (bytes < 16 || (memcpy(&seen, payload, 8), seen != number)) {
        fail(b, "lost, doubled or reordered", number, seen);
    }
    if (bytes != record_bytes(ring, number) || type != record_type(number) || !record_right(payload, bytes, number)) {
        fail(b, "torn", number, bytes);
    }
}

static __attribute__((noreturn)) void consumer_run(struct bench *b)
{
    struct rc_ring ring;
    uint64_t rung = 0;
    uint64_t marks[2] = {0, 0}; /* a position in the middle of the batch, and the number behind it */
    if (rc_ring_attach_consumer(&ring, &b->segment->ring, b->data, b->capacity) != 0) {
        fail(b, "attach as consumer", 0, 0);
    }
    const int sleeper = sleeper_open(b->consumer_fd);
    uint64_t number = consumer_resume(b, &ring);
    rc_doorbell_awake(&b->segment->consumer_bell);
    for (;;) {
        if (rc_ring_room_due(&ring)) {
            rc_doorbell_ring(&b->segment->producer_bell, b->producer_fd, &rung);
        }
        const uint64_t batch = 1 + random_next(b) % 64;
        uint64_t read = 0;
        for (int rc = 1; rc == 1 && read < batch; read += rc == 1) {
            uint32_t type;
            uint32_t bytes;
            const void *payload;
            rc = rc_ring_next(&ring, &type, &payload, &bytes);
            if (rc < 0) {
                fail(b, "the ring is corrupt", number, ring.position);
            }
            if (rc == 1) {
                consumer_check(b, number++, type, payload, bytes, &ring);
                if (read == batch / 2) {
                    marks[0] = ring.position;
                    marks[1] = number;
                }
            }
        }
        if (read > batch / 2 && batch % 4 == 0) { /* a part of it first, as a turn that was not sent completely */
            journal_write(&b->segment->consumed, marks[1], marks[0]);
            rc_ring_release_to(&ring, marks[0]);
        }
        if (read > 0) {
            journal_write(&b->segment->consumed, number, ring.position);
            rc_ring_release(&ring);
        } else if (atomic_load_explicit(&b->segment->stop, memory_order_relaxed) == 2) {
            _exit(0);
        } else {
            consumer_wait(b, &ring, sleeper);
        }
        dawdle(b);
    }
}

/* --- supervisor --- */

static pid_t spawn(struct bench *b, void (*run)(struct bench *))
{
    const pid_t parent = getpid();
    b->random = random_next(b);
    const pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(2);
        }
        run(b);
    }
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    return pid;
}

static void reap(struct bench *b, pid_t pid, int expected_signal, const char *side)
{
    int status;
    if (waitpid(pid, &status, 0) != pid) {
        perror("waitpid");
        exit(2);
    }
    if (expected_signal != 0 && WIFSIGNALED(status) && WTERMSIG(status) == expected_signal) {
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return;
    }
    if (atomic_exchange(&b->segment->failed, 1) == 0) {
        snprintf(b->segment->reason, sizeof(b->segment->reason), "the %s died with status %#x", side, status);
    }
}

static uint64_t journal_number(const struct journal *j)
{
    const uint64_t entry = atomic_load_explicit(&j->current, memory_order_acquire);
    return entry == 0 ? 0 : atomic_load_explicit(&j->slots[entry & 1].number, memory_order_relaxed);
}

/* Ends the producer, lets the consumer drain, and compares what each has counted. */
static void finish(struct bench *b, pid_t producer, pid_t consumer)
{
    struct segment *s = b->segment;
    struct rc_ring ring;
    uint64_t rung[2] = {0, 0};
    atomic_store(&s->stop, 1);
    rc_doorbell_ring(&s->producer_bell, b->producer_fd, &rung[0]);
    reap(b, producer, 0, "producer");
    atomic_store(&s->stop, 2);
    const uint64_t deadline = rc_clock_ms() + DRAIN_LIMIT_MS;
    for (pid_t done = 0; done == 0;) {
        rc_doorbell_ring(&s->consumer_bell, b->consumer_fd, &rung[1]);
        siginfo_t info = {0};
        waitid(P_PID, (id_t)consumer, &info, WEXITED | WNOHANG | WNOWAIT);
        done = info.si_pid;
        if (rc_clock_ms() > deadline) {
            kill(consumer, SIGKILL);
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    reap(b, consumer, 0, "consumer");
    if (atomic_load(&s->failed) == 0 && rc_ring_attach_producer(&ring, &s->ring, b->data, b->capacity) != 0) {
        fail(b, "final attach", 0, 0);
    }
    if (atomic_load(&s->failed) == 0 && producer_resume(b, &ring) != journal_number(&s->consumed)) {
        snprintf(s->reason, sizeof(s->reason), "%" PRIu64 " produced, %" PRIu64 " consumed", producer_resume(b, &ring),
                 journal_number(&s->consumed));
        atomic_store(&s->failed, 1);
    }
}

/* One ring of `capacity` whose positions start at `start`, for so long; 0 when all was well. */
static int round_run(uint64_t capacity, uint64_t start, uint64_t duration_ms, uint64_t seed)
{
    struct rc_err err = {""};
    struct bench b = {.capacity = capacity, .random = seed};
    uint64_t bytes;
    uint64_t kills = 0;
    const int fd = rc_segment_create("ring-stress", DATA_OFFSET + capacity, &err);
    b.segment = fd >= 0 ? rc_segment_map(fd, &bytes, &err) : NULL;
    if (b.segment == NULL) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    b.data = (uint8_t *)b.segment + DATA_OFFSET;
    atomic_store(&b.segment->ring.tail, start);
    atomic_store(&b.segment->ring.head, start);
    b.consumer_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    b.producer_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    pid_t producer = spawn(&b, producer_run);
    pid_t consumer = spawn(&b, consumer_run);
    const uint64_t began = rc_clock_ms();
    while (rc_clock_ms() - began < duration_ms && atomic_load(&b.segment->failed) == 0) {
        const uint64_t r = random_next(&b);
        /* From "hardly attached" to "in full swing". */
        nanosleep(&(struct timespec){.tv_nsec = r % 4 == 0 ? (long)(r >> 8) % 300000 : (long)(r >> 8) % 30000000},
                  NULL);
        const bool both = r >> 32 & 8;
        if (r >> 32 & 1 || both) {
            kill(producer, SIGKILL);
            reap(&b, producer, SIGKILL, "producer");
            producer = spawn(&b, producer_run);
            kills++;
        }
        if (!(r >> 32 & 1) || both) {
            kill(consumer, SIGKILL);
            reap(&b, consumer, SIGKILL, "consumer");
            consumer = spawn(&b, consumer_run);
            kills++;
        }
    }
    finish(&b, producer, consumer);
    const bool failed = atomic_load(&b.segment->failed) != 0;
    printf("%s capacity %" PRIu64 " from %#" PRIx64 ": %" PRIu64 " records, %" PRIu64 " MB, %" PRIu64
           " kills, full %" PRIu64 ", empty %" PRIu64 ", sleeps %" PRIu64 " + %" PRIu64 " %s\n",
           failed ? "FAIL" : "ok  ", capacity, start, journal_number(&b.segment->consumed),
           (atomic_load(&b.segment->ring.head) - start) / 1000000, kills, atomic_load(&b.segment->full),
           atomic_load(&b.segment->empty), atomic_load(&b.segment->consumer_bell.sleeps),
           atomic_load(&b.segment->producer_bell.sleeps), b.segment->reason);
    fflush(stdout);
    close(b.consumer_fd);
    close(b.producer_fd);
    close(fd);
    return failed;
}

int main(int argc, char **argv)
{
    const struct {
        uint64_t capacity;
        uint64_t start;
    } rounds[] = {
        {1 << 16, (UINT64_C(1) << 32) - (1 << 20)},
        {1 << 12, 0},
        {1 << 20, (UINT64_C(1) << 63) - (1 << 22)},
        {1 << 14, 8},
    };
    const char *text = argc > 1 ? argv[1] : getenv("STRESS_SECONDS");
    const long seconds = text != NULL ? strtol(text, NULL, 10) : 10;
    const uint64_t seed = rc_clock_ns();
    if (seconds <= 0) {
        fprintf(stderr, "usage: ring_processes [SECONDS]\n");
        return 2;
    }
    printf("seed %" PRIu64 "\n", seed);
    int failed = 0;
    for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
        failed |= round_run(rounds[i].capacity, rounds[i].start, (uint64_t)seconds * 1000 / 4, mix(seed + i));
    }
    return failed;
}
