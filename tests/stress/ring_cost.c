/*
 * ring_cost: what handing one 128-byte record from process to process costs while both sides are awake.
 *
 *   ring_cost [SECONDS]      time for all runs, default 10, or STRESS_SECONDS up to 60; exit 1 above 200 ns per record
 *
 * Producer and consumer are processes on two CPUs over a memfd ring. Each run passes 20,000 records in batches of 64,
 * one look at the doorbell per batch, as relay and worker do; the consumer reads every byte. The time is wall clock
 * from both being ready to the last record read, divided by the records: the cost of the slower side, which bounds the
 * throughput. "Both awake" is what is measured, so a run in which the scheduler took the CPU from either side is left
 * out; of the others the median is judged. On a machine too busy for ten such runs nothing is judged, and it says so.
 * `latency` is the round trip of one record there and one back over two rings, halved: no batch hides the way of the
 * cache lines.
 */
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/shm/doorbell.h"
#include "common/base/err.h"
#include "common/shm/ring.h"
#include "common/shm/segment.h"

#define CAPACITY (UINT64_C(1) << 20)
#define RECORD_BYTES 128u
#define RECORDS 20000u
#define ROUND_TRIPS 2000u
#define BATCH 64u
#define RUNS_MAX 5000
#define JUDGED_MIN 10
#define COST_LIMIT_NS 200.0
#define DATA_OFFSET 4096u

struct segment {
    struct rc_ring_shared rings[2];
    struct rc_doorbell_shared bells[2];
    _Atomic uint32_t ready; /* the other process is on its CPU */
    _Atomic uint32_t go;
    _Atomic uint64_t switches; /* times the other process lost its CPU in the run */
};
_Static_assert(sizeof(struct segment) <= DATA_OFFSET, "the rings' data follows on the next page");

struct bench {
    struct segment *segment;
    int event_fd;
    cpu_set_t allowed;
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint8_t *ring_data(const struct bench *b, int ring)
{
    return (uint8_t *)b->segment + DATA_OFFSET + (uint64_t)ring * CAPACITY;
}

/* Binds this process to the index-th CPU of those it was started on. */
static void pin(const struct bench *b, int index)
{
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &b->allowed) && index-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof(one), &one);
            return;
        }
    }
}

static struct rc_ring attach(const struct bench *b, int index, bool producer)
{
    struct rc_ring ring;
    const int rc = producer ? rc_ring_attach_producer(&ring, &b->segment->rings[index], ring_data(b, index), CAPACITY)
                            : rc_ring_attach_consumer(&ring, &b->segment->rings[index], ring_data(b, index), CAPACITY);
    if (rc != 0) {
        fprintf(stderr, "attach: %d\n", rc);
        exit(2);
    }
    return ring;
}

/* Writes one record, waiting for room by looking again. */
static void send_one(struct rc_ring *ring, uint64_t number)
{
    uint8_t *payload;
    while ((payload = rc_ring_claim(ring, 1, RECORD_BYTES)) == NULL) {
        relax();
    }
    memset(payload, (int)number & 0xff, RECORD_BYTES);
    memcpy(payload, &number, sizeof(number));
    rc_ring_commit(ring, RECORD_BYTES);
}

/* Reads all that is there, up to a batch; adds every 8 bytes to the sum. */
static uint32_t receive_some(struct rc_ring *ring, uint64_t *sum)
{
    uint32_t read = 0;
    while (read < BATCH) {
        uint32_t type;
        uint32_t bytes;
        const void *payload;
        if (rc_ring_next(ring, &type, &payload, &bytes) != 1) {
            break;
        }
        for (uint32_t i = 0; i < bytes; i += 8) {
            uint64_t word;
            memcpy(&word, (const uint8_t *)payload + i, sizeof(word));
            *sum += word;
        }
        read++;
    }
    if (read != 0) {
        rc_ring_release(ring);
    }
    return read;
}

static void consume(const struct bench *b)
{
    struct rc_ring ring = attach(b, 0, false);
    uint64_t rung = 0;
    uint64_t sum = 0;
    for (uint32_t read = 0; read < RECORDS;) {
        const uint32_t some = receive_some(&ring, &sum);
        if (some == 0) {
            relax();
        } else if (rc_ring_room_due(&ring)) {
            rc_doorbell_ring(&b->segment->bells[1], b->event_fd, &rung);
        }
        read += some;
    }
    __asm__ volatile("" ::"r"(sum)); /* the sum is used, or the compiler would not read */
}

static void produce(const struct bench *b)
{
    struct rc_ring ring = attach(b, 0, true);
    uint64_t rung = 0;
    for (uint32_t number = 0; number < RECORDS;) {
        for (uint32_t i = 0; i < BATCH && number < RECORDS; i++) {
            send_one(&ring, number++);
        }
        rc_doorbell_ring(&b->segment->bells[0], b->event_fd, &rung);
    }
}

static void echo(const struct bench *b)
{
    struct rc_ring in = attach(b, 0, false);
    struct rc_ring out = attach(b, 1, true);
    uint64_t sum = 0;
    for (uint32_t n = 0; n < ROUND_TRIPS; n++) {
        while (receive_some(&in, &sum) == 0) {
            relax();
        }
        send_one(&out, n);
    }
}

static void ask(const struct bench *b)
{
    struct rc_ring out = attach(b, 0, true);
    struct rc_ring in = attach(b, 1, false);
    uint64_t sum = 0;
    for (uint32_t n = 0; n < ROUND_TRIPS; n++) {
        send_one(&out, n);
        while (receive_some(&in, &sum) == 0) {
            relax();
        }
    }
}

/* Times that this process lost its CPU to another. */
static uint64_t switches(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

static __attribute__((noreturn)) void other_side(const struct bench *b, void (*there)(const struct bench *))
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(b, 1);
    const uint64_t before = switches();
    atomic_store(&b->segment->ready, 1);
    while (atomic_load(&b->segment->go) == 0) {
        relax();
    }
    there(b);
    atomic_store(&b->segment->switches, switches() - before);
    atomic_store(&b->segment->ready, 2);
    _exit(0);
}

/* Runs `here` in this process and `there` in a child on another CPU; nanoseconds until both are done, 0 when either
 * side was interrupted. */
static uint64_t run_both(const struct bench *b, void (*here)(const struct bench *), void (*there)(const struct bench *))
{
    memset(b->segment, 0, sizeof(*b->segment));
    pin(b, 0);
    const pid_t pid = fork();
    if (pid == 0) {
        other_side(b, there);
    }
    while (pid > 0 && atomic_load(&b->segment->ready) == 0) {
        sched_yield();
    }
    const uint64_t before = switches();
    const uint64_t began = rc_clock_ns();
    atomic_store(&b->segment->go, 1);
    here(b);
    while (pid > 0 && atomic_load(&b->segment->ready) != 2) {
        relax();
    }
    const uint64_t ended = rc_clock_ns();
    const uint64_t lost = switches() - before + atomic_load(&b->segment->switches);
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "the other process ended with status %#x\n", (unsigned int)status);
        exit(2);
    }
    return lost == 0 ? ended - began : 0;
}

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The median of the undisturbed runs within the budget, or -1 when there were too few. */
static double runs(const struct bench *b, const char *name, uint64_t budget_ns, bool latency)
{
    static double cost[RUNS_MAX];
    size_t count = 0;
    uint32_t tried = 0;
    const uint64_t began = rc_clock_ns();
    for (; count < RUNS_MAX && rc_clock_ns() - began < budget_ns; tried++) {
        const uint64_t ns = latency ? run_both(b, ask, echo) : run_both(b, produce, consume);
        if (ns != 0) {
            cost[count++] = (double)ns / (latency ? 2.0 * ROUND_TRIPS : RECORDS);
        }
    }
    printf("%s: %zu undisturbed of %u runs", name, count, tried);
    if (count < JUDGED_MIN) {
        printf(", too few to judge\n");
        return -1;
    }
    qsort(cost, count, sizeof(cost[0]), compare);
    printf(", ns per record: best %.1f, tenth %.1f, median %.1f, nine tenths %.1f, worst %.1f\n", cost[0],
           cost[count / 10], cost[count / 2], cost[count * 9 / 10], cost[count - 1]);
    return cost[count / 2];
}

int main(int argc, char **argv)
{
    struct rc_err err = {""};
    struct bench b;
    uint64_t bytes;
    const char *text = argc > 1 ? argv[1] : getenv("STRESS_SECONDS");
    long seconds = text != NULL ? strtol(text, NULL, 10) : 10;
    seconds = argc > 1 ? seconds : seconds > 60 ? 60 : seconds;
    const int fd = rc_segment_create("ring-cost", DATA_OFFSET + 2 * CAPACITY, &err);
    b.segment = fd >= 0 ? rc_segment_map(fd, &bytes, &err) : NULL;
    b.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (b.segment == NULL || seconds <= 0) {
        fprintf(stderr, "usage: ring_cost [SECONDS] %s\n", err.text);
        return 2;
    }
    if (sched_getaffinity(0, sizeof(b.allowed), &b.allowed) != 0 || CPU_COUNT(&b.allowed) < 2) {
        printf("skipped: one CPU, both sides cannot be awake\n");
        return 0;
    }
    const double cost = runs(&b, "hand-over", (uint64_t)seconds * 700000000, false);
    runs(&b, "latency, one record at a time", (uint64_t)seconds * 300000000, true);
    if (cost < 0) {
        printf("skipped: the machine is too busy to keep both sides awake\n");
        return 0;
    }
    printf("%s: %.1f ns per 128-byte record, at most %.0f wanted\n", cost <= COST_LIMIT_NS ? "ok" : "FAIL", cost,
           COST_LIMIT_NS);
    return cost <= COST_LIMIT_NS ? 0 : 1;
}
