/* client: see client.h. Set-up and the loop; connections and sending are in conn.c, what comes in is in receive.c. */
#include "bench/client.h"

#include "bench/conn.h"
#include "bench/polling.h"
#include "bench/receive.h"
#include "bench/scenario.h"
#include "bench/tls.h"
#include "bench/ws_client.h"

#include "common/base/check.h"
#include "common/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SQ_ENTRIES 1024u
#define CQ_ENTRIES 8192u
#define ARENA_BYTES_MIN (256u << 10)
#define BATCH 128u
#define DRAIN_MAX 1024u /* completions between two turns of the scenario */
#define WAIT_NS_MAX 100000000u
/* Shorter waits are spun: waking a halted virtual CPU costs as much. */
#define SPIN_NS 60000u
#define SMALL_BUFFERS_AT 50000u /* connections in all from which on processes keep to small buffers */

void rc_bench_client_note(struct rc_bench_client *client, const char *format, ...)
{
    if (client->tally->error[0] != '\0') {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(client->tally->error, sizeof(client->tally->error), format, arguments);
    va_end(arguments);
}

/* --- the loop --------------------------------------------------------------------------------------------------------- */

static void client_received(struct rc_bench_client *client, const struct io_uring_cqe *cqe, uint32_t slot, bool current)
{
    const uint32_t flags = cqe->flags;
    const int result = cqe->res;
    struct rc_bench_conn *const conn = &client->conns[slot];
    const uint16_t generation = conn->generation;
    if (current && (flags & IORING_CQE_F_MORE) == 0) {
        conn->armed = 0;
    }
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        const uint32_t id = flags >> IORING_CQE_BUFFER_SHIFT;
        uint8_t *const bytes = client->buffer_memory + (size_t)id * client->buffer_bytes;
        if (current && result > 0) {
            rc_bench_count(&client->tally->receives, 1);
            rc_bench_count(&client->tally->bytes, (uint64_t)result);
            if (rc_bench_tls_on(client, slot)) {
                rc_bench_tls_receive(client, slot, bytes, (uint32_t)result, rc_clock_ns());
            } else {
                rc_bench_receive(client, slot, bytes, (uint32_t)result, rc_clock_ns());
            }
        }
        io_uring_buf_ring_add(client->buffers, bytes, client->buffer_bytes, (unsigned short)id,
                              io_uring_buf_ring_mask(client->buffer_count), 0);
        io_uring_buf_ring_advance(client->buffers, 1);
    }
    if (!current || conn->generation != generation) {
        return;
    }
    if (result == 0 || (result < 0 && result != -ENOBUFS && result != -ECANCELED && result != -EINTR)) {
        if (conn->state != RC_BENCH_CONN_READY || client->scenario->holds_steady) {
            rc_bench_client_note(client, "the server ended a connection%s: %s",
                                 conn->state == RC_BENCH_CONN_READY ? "" : " before it was joined",
                                 result == 0 ? "end of stream" : strerror(-result));
        }
        rc_bench_conn_ended(client, slot);
        return;
    }
    rc_bench_conn_arm(client, slot);
}

static void client_polled(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    conn->armed = RC_BENCH_OP_RECEIVE;
    struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_RECEIVE, conn->generation, slot);
    io_uring_prep_recv(sqe, (int)slot, NULL, client->buffer_bytes, MSG_DONTWAIT);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
}

static void client_handle(struct rc_bench_client *client, const struct io_uring_cqe *cqe)
{
    const uint64_t data = io_uring_cqe_get_data64(cqe);
    const enum rc_bench_op op = (enum rc_bench_op)(data >> 56);
    const uint32_t slot = (uint32_t)data;
    if (op == RC_BENCH_OP_WAKE) {
        uint64_t count;
        if (read(client->wake, &count, sizeof(count)) < 0 && errno != EAGAIN) {
            rc_bench_client_note(client, "eventfd: %s", strerror(errno));
        }
        return;
    }
    const bool current = client->conns[slot].generation == (uint16_t)(data >> 32);
    if (op == RC_BENCH_OP_RECEIVE) {
        if (current && cqe->res == -EAGAIN) {
            client->conns[slot].armed = 0;
            rc_bench_conn_arm(client, slot);
            return;
        }
        client_received(client, cqe, slot, current);
        return;
    }
    if (!current) {
        return;
    }
    switch (op) {
    case RC_BENCH_OP_CONNECT:
        client->conns[slot].armed = 0;
        rc_bench_conn_connected(client, slot, cqe->res);
        break;
    case RC_BENCH_OP_POLL:
        client_polled(client, slot);
        break;
    case RC_BENCH_OP_SEND: /* only short or failed ones are told */
        rc_bench_client_note(client, "a send was cut: %s",
                             cqe->res < 0 ? strerror(-cqe->res) : "the server does not read");
        rc_bench_conn_ended(client, slot);
        break;
    case RC_BENCH_OP_OUTBOX:
        rc_bench_conn_outbox_sent(client, slot, cqe->res);
        break;
    case RC_BENCH_OP_ROOM:
        client->outboxes[client->conns[slot].outbox - 1].sending = false;
        rc_bench_conn_outbox_send(client, client->conns[slot].outbox - 1);
        break;
    case RC_BENCH_OP_CLOSE:
        rc_bench_conn_closed(client, slot);
        break;
    default:
        break;
    }
}

static uint32_t ring_drain(struct rc_bench_client *client)
{
    uint32_t count = 0;
    struct io_uring_cqe *cqe;
    unsigned head;
    io_uring_for_each_cqe(&client->ring, head, cqe)
    {
        client_handle(client, cqe);
        if (++count == DRAIN_MAX) {
            break;
        }
    }
    io_uring_cq_advance(&client->ring, count);
    return count;
}

static void open_more(struct rc_bench_client *client)
{
    while (client->next_open < client->slots && client->opening < client->plan->options->connect_window) {
        if (client->held_back > 0 && client->next_open == client->subscribers - client->held_back) {
            client->next_open = client->subscribers;
            continue;
        }
        rc_bench_client_open(client, client->next_open++);
    }
}

static void wait_for(struct rc_bench_client *client, uint64_t until_ns, bool busy)
{
    const uint64_t now = rc_clock_ns();
    uint64_t wait_ns = until_ns <= now ? 0 : until_ns - now;
    if (wait_ns < SPIN_NS) {
        wait_ns = 0;
    } else if (wait_ns > WAIT_NS_MAX) {
        wait_ns = WAIT_NS_MAX;
    } else {
        wait_ns -= SPIN_NS / 2;
    }
    /* With DEFER_TASKRUN a wait for 1 hands over about 20 completions however many are ready: ask for a batch without
     * waiting as long as there is plenty, and for 1 only when idle. */
    struct __kernel_timespec timeout = {0};
    unsigned wanted = BATCH;
    if (!busy && wait_ns > 0) {
        timeout.tv_sec = (long long)(wait_ns / 1000000000u);
        timeout.tv_nsec = (long long)(wait_ns % 1000000000u);
        wanted = 1;
        if (client->process == 0 && client->plan->window_slots > 0) {
            /* Either message_completed() of traffic.c sees that we sleep, or we see its completion. */
            atomic_store_explicit(&client->shared->publisher_sleeps, 1, memory_order_relaxed);
            atomic_thread_fence(memory_order_seq_cst); /* BM2 pairs with BM1 */
            if (rc_bench_counted(&client->shared->completed) != client->completed_seen) {
                timeout = (struct __kernel_timespec){0};
            }
        }
    }
    struct io_uring_cqe *cqe;
    const int done = io_uring_submit_and_wait_timeout(&client->ring, &cqe, wanted, &timeout, NULL);
    if (done < 0 && done != -ETIME && done != -EINTR && done != -EAGAIN && done != -EBUSY) {
        rc_bench_client_note(client, "io_uring_enter: %s", strerror(-done));
        abort();
    }
    if (client->process == 0) {
        atomic_store_explicit(&client->shared->publisher_sleeps, 0, memory_order_relaxed);
    }
    rc_bench_conn_submit(client);
}

static void client_loop(struct rc_bench_client *client)
{
    const struct rc_bench_scenario *const scenario = client->scenario;
    uint32_t handled = 0;
    for (;;) {
        /* BM4 pairs with BM3 in set_phase() of run.c: the run's times are there. */
        const enum rc_bench_phase phase = atomic_load_explicit(&client->shared->phase, memory_order_acquire);
        if (phase == RC_BENCH_STOP) {
            return;
        }
        if (!scenario->opens_itself && phase != RC_BENCH_START) {
            open_more(client);
        }
        uint64_t until_ns = UINT64_MAX;
        if (scenario->turn != NULL) {
            until_ns = scenario->turn(client, rc_clock_ns(), phase);
        }
        rc_bench_conn_flush(client);
        wait_for(client, until_ns, handled >= 16);
        handled = ring_drain(client);
    }
}

/* --- set-up ----------------------------------------------------------------------------------------------------------- */

static int client_ring_open(struct rc_bench_client *client)
{
    struct io_uring_params params = {
        .flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = CQ_ENTRIES,
    };
    int done = io_uring_queue_init_params(SQ_ENTRIES, &client->ring, &params);
    if (done < 0) {
        rc_bench_client_note(client, "io_uring_setup: %s (Linux 6.1 or newer with io_uring allowed is needed)",
                             strerror(-done));
        return done;
    }
    done = io_uring_register_ring_fd(&client->ring);
    if (done >= 0) {
        done = io_uring_register_files_sparse(&client->ring, client->descriptors);
    }
    if (done < 0) {
        rc_bench_client_note(client,
                             "io_uring direct descriptors for %u connections: %s; raise RLIMIT_NOFILE or --processes",
                             client->descriptors, strerror(-done));
        return done;
    }
    const bool many = client->plan->options->poll_idle || client->plan->subscribers >= SMALL_BUFFERS_AT;
    client->buffer_count = many ? 64 : 256;
    client->buffer_bytes = many ? 4096 : 8192;
    client->buffers = io_uring_setup_buf_ring(&client->ring, client->buffer_count, 0, 0, &done);
    client->buffer_memory = mmap(NULL, (size_t)client->buffer_count * client->buffer_bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (client->buffers == NULL || client->buffer_memory == MAP_FAILED) {
        rc_bench_client_note(client, "no memory for receive buffers");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < client->buffer_count; i++) {
        io_uring_buf_ring_add(client->buffers, client->buffer_memory + (size_t)i * client->buffer_bytes,
                              client->buffer_bytes, (unsigned short)i, io_uring_buf_ring_mask(client->buffer_count),
                              (int)i);
    }
    io_uring_buf_ring_advance(client->buffers, (int)client->buffer_count);

    struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_WAKE, 0, 0);
    io_uring_prep_poll_multishot(sqe, client->wake, POLLIN);
    return 0;
}

static int make_tables(struct rc_bench_client *client)
{
    const struct rc_bench_plan *const plan = client->plan;
    const uint32_t publishers = client->slots - (plan->members ? 0 : client->subscribers);
    const uint32_t frame = RC_BENCH_ENVELOPE_BYTES_MAX + RC_BENCH_WS_HEADER_BYTES_MAX + plan->options->payload_bytes;
    client->outbox_room = publishers <= 256 ? 64u << 10 : 8u << 10;
    if (client->outbox_room < 2 * RC_BENCH_TLS_ROOM(frame)) {
        client->outbox_room = 2 * RC_BENCH_TLS_ROOM(frame);
    }
    client->outbox_count = publishers;
    client->conns = calloc(client->descriptors + 1, sizeof(*client->conns));
    client->outboxes = calloc(publishers + 1, sizeof(*client->outboxes));
    client->dirty = calloc(publishers + 1, sizeof(*client->dirty));
    client->arena_bytes = ARENA_BYTES_MIN + 2 * RC_BENCH_TLS_ROOM(frame);
    client->arena = mmap(NULL, client->arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (client->conns == NULL || client->outboxes == NULL || client->dirty == NULL || client->arena == MAP_FAILED) {
        rc_bench_client_note(client, "no memory for %u connections", client->slots);
        return -ENOMEM;
    }
    return 0;
}

int rc_bench_client_run(const struct rc_bench_plan *plan, struct rc_bench_shared *shared, uint32_t process, int wake)
{
    struct rc_bench_client *const client = calloc(1, sizeof(*client));
    RC_ASSERT(client != NULL);
    client->plan = plan;
    client->protocol = plan->protocol;
    client->scenario = plan->scenario;
    client->shared = shared;
    client->tally = &shared->tallies[process];
    client->process = process;
    client->wake = wake;
    client->subscribers = rc_bench_plan_count(plan, process);
    client->slots = client->subscribers + (process == 0 ? plan->publishers : 0);
    client->descriptors = client->slots + (plan->protocol->upgrades ? client->subscribers : 0);
    client->mask_seed = (uint32_t)rc_clock_ns();
    client->role = plan->scenario->role == RC_BENCH_SUBSCRIBER && plan->options->subscriptions == 0
                       ? RC_BENCH_TARGET
                       : plan->scenario->role;
    prctl(PR_SET_TIMERSLACK, 1);
    if (plan->options->cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((size_t)plan->options->cpu, &cpus);
        if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0) {
            rc_bench_client_note(client, "cannot run on CPU %d: %s; choose another with --cpu", plan->options->cpu,
                                 strerror(errno));
        }
    }
    int rc = make_tables(client);
    if (rc == 0) {
        rc = client_ring_open(client);
    }
    if (rc == 0) {
        rc = rc_bench_tls_start(client);
    }
    if (rc == 0) {
        rc = rc_bench_polling_start(client);
    }
    if (rc == 0 && client->scenario->start != NULL) {
        rc = client->scenario->start(client);
    }
    if (rc == 0) {
        rc_bench_count(&client->tally->wanted, client->scenario->opens_itself ? 0 : client->slots - client->held_back);
        rc_bench_count(&client->tally->prepared, 1);
        client_loop(client);
        if (client->scenario->finish != NULL) {
            client->scenario->finish(client);
        }
        rc_bench_polling_stop(client);
    }
    return rc == 0 ? 0 : 1;
}
