/* client: see client.h. Set-up, the loop, connections and sending; what comes in is in receive.c. */
#include "bench/client.h"

#include "bench/receive.h"
#include "bench/scenario.h"
#include "bench/ws_client.h"

#include "common/check.h"
#include "common/clock.h"

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

#define SQ_ENTRIES      1024u
#define CQ_ENTRIES      8192u
#define ARENA_BYTES     (256u << 10)
#define BATCH           128u
#define DRAIN_MAX       1024u /* completions between two turns of the scenario */
#define WAIT_NS_MAX     100000000u
/* Shorter waits are spun: waking a halted virtual CPU costs as much. */
#define SPIN_NS         60000u
#define ALL_BUFFERS_AT  200000u /* connections in all from which on processes keep to small buffers */

/* Completion = operation, generation of the slot's use, slot (or outbox). */
enum op {
    OP_CONNECT = 1,
    OP_RECEIVE,
    OP_POLL,
    OP_SEND,
    OP_OUTBOX,
    OP_ROOM,
    OP_CLOSE,
    OP_CANCEL,
    OP_WAKE,
};

static uint64_t pack(enum op op, uint16_t generation, uint32_t index)
{
    return (uint64_t)op << 56 | (uint64_t)generation << 32 | index;
}

static void submit(struct rc_bench_client *client)
{
    while (io_uring_sq_ready(&client->ring) > 0) {
        const int done = io_uring_submit(&client->ring);
        if (done < 0 && done != -EAGAIN && done != -EBUSY && done != -EINTR) {
            rc_bench_client_note(client, "io_uring_submit: %s", strerror(-done));
            abort(); /* the ring is unusable: nothing this process counts would be true */
        }
    }
    client->arena_used = 0;
    client->last_send = NULL;
}

static struct io_uring_sqe *sqe_for(struct rc_bench_client *client, enum op op, uint16_t generation, uint32_t index)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&client->ring);
    if (RC_UNLIKELY(sqe == NULL)) {
        submit(client);
        sqe = io_uring_get_sqe(&client->ring);
        RC_ASSERT(sqe != NULL);
    }
    io_uring_sqe_set_data64(sqe, pack(op, generation, index));
    return sqe;
}

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

void rc_bench_client_channel_name(const struct rc_bench_client *client, uint32_t channel, char *name)
{
    snprintf(name, RC_BENCH_NAME_MAX, "%s%u", client->plan->options->prefix, channel);
}

uint32_t rc_bench_client_mask_key(struct rc_bench_client *client)
{
    if (!client->plan->options->mask_random) {
        return 0;
    }
    client->mask_seed = client->mask_seed * 1664525u + 1013904223u;
    return client->mask_seed;
}

/* --- sending -------------------------------------------------------------------------------------------------------- */

/* Room in the arena; what is there is gone after the next submit. */
static uint8_t *arena_take(struct rc_bench_client *client, size_t bytes)
{
    RC_ASSERT(bytes <= ARENA_BYTES);
    if (client->arena_used + bytes > ARENA_BYTES) {
        submit(client);
    }
    uint8_t *const at = client->arena + client->arena_used;
    client->arena_used += (uint32_t)bytes;
    return at;
}

static void send_bytes(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, size_t count)
{
    /* Several messages in a row on one connection lie next to each other in the arena: they leave in one send. */
    if (client->last_send != NULL && client->last_send_slot == slot && client->last_send_end == bytes) {
        client->last_send->len += (uint32_t)count;
        client->last_send_end = bytes + count;
        return;
    }
    struct io_uring_sqe *const sqe = sqe_for(client, OP_SEND, client->conns[slot].generation, slot);
    /* WAITALL makes a short send visible although successes are skipped. */
    io_uring_prep_send(sqe, (int)slot, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    client->last_send = sqe;
    client->last_send_slot = slot;
    client->last_send_end = bytes + count;
}

void rc_bench_client_send_frame(struct rc_bench_client *client, uint32_t slot, uint8_t opcode, struct rc_span text)
{
    if (client->protocol->framing[client->conns[slot].role] != RC_BENCH_FRAMING_WS) {
        uint8_t *const plain = arena_take(client, text.count);
        memcpy(plain, text.bytes, text.count);
        send_bytes(client, slot, plain, text.count);
        return;
    }
    const uint32_t key = rc_bench_client_mask_key(client);
    uint8_t *const frame = arena_take(client, rc_bench_ws_header_bytes(text.count) + text.count);
    const size_t header = rc_bench_ws_header(frame, (enum rc_bench_ws_opcode)opcode, text.count, key);
    if (text.count > 0) {
        memcpy(frame + header, text.bytes, text.count);
    }
    rc_bench_ws_mask(frame + header, text.count, key);
    send_bytes(client, slot, frame, header + text.count);
}

void rc_bench_client_send(struct rc_bench_client *client, uint32_t slot, struct rc_span text)
{
    rc_bench_client_send_frame(client, slot, RC_BENCH_WS_TEXT, text);
}

uint8_t *rc_bench_client_outbox(struct rc_bench_client *client, uint32_t slot, uint32_t bytes)
{
    const struct rc_bench_conn *const conn = &client->conns[slot];
    if (conn->state != RC_BENCH_CONN_READY || conn->outbox == 0) {
        return NULL;
    }
    struct rc_bench_outbox *const box = &client->outboxes[conn->outbox - 1];
    if (box->room - box->tail < bytes && !box->sending && box->head > 0) {
        memmove(box->bytes, box->bytes + box->head, box->tail - box->head);
        box->tail -= box->head;
        box->head = 0;
    }
    return box->room - box->tail < bytes ? NULL : box->bytes + box->tail;
}

void rc_bench_client_commit(struct rc_bench_client *client, uint32_t slot, uint32_t bytes)
{
    const uint32_t index = client->conns[slot].outbox - 1;
    struct rc_bench_outbox *const box = &client->outboxes[index];
    box->tail += bytes;
    RC_ASSERT(box->tail <= box->room);
    if (!box->dirty && !box->sending) {
        box->dirty = true;
        client->dirty[client->dirty_count++] = index;
    }
}

static void outbox_send(struct rc_bench_client *client, uint32_t index)
{
    struct rc_bench_outbox *const box = &client->outboxes[index];
    const struct rc_bench_conn *const conn = &client->conns[box->slot];
    box->dirty = false;
    if (conn->state != RC_BENCH_CONN_READY || box->head == box->tail) {
        return;
    }
    struct io_uring_sqe *const sqe = sqe_for(client, OP_OUTBOX, conn->generation, box->slot);
    io_uring_prep_send(sqe, (int)box->slot, box->bytes + box->head, box->tail - box->head, MSG_NOSIGNAL | MSG_DONTWAIT);
    sqe->flags |= IOSQE_FIXED_FILE;
    box->sending = true;
}

static void flush_outboxes(struct rc_bench_client *client)
{
    for (uint32_t i = 0; i < client->dirty_count; i++) {
        outbox_send(client, client->dirty[i]);
    }
    client->dirty_count = 0;
}

static void outbox_sent(struct rc_bench_client *client, uint32_t slot, int result)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    struct rc_bench_outbox *const box = &client->outboxes[conn->outbox - 1];
    box->sending = false;
    if (result < 0 && result != -EAGAIN) {
        rc_bench_client_note(client, "a publisher could not send: %s", strerror(-result));
        rc_bench_client_ended(client, slot);
        return;
    }
    box->head += result > 0 ? (uint32_t)result : 0;
    if (box->head == box->tail) {
        box->head = box->tail = 0;
        return;
    }
    if (result > 0) {
        outbox_send(client, conn->outbox - 1);
        return;
    }
    struct io_uring_sqe *const sqe = sqe_for(client, OP_ROOM, conn->generation, slot);
    io_uring_prep_poll_add(sqe, (int)slot, POLLOUT);
    sqe->flags |= IOSQE_FIXED_FILE;
    box->sending = true;
}

static int outbox_give(struct rc_bench_client *client, uint32_t slot)
{
    const uint32_t index = slot - client->subscribers;
    struct rc_bench_outbox *const box = &client->outboxes[index];
    if (box->bytes == NULL) {
        box->bytes = malloc(client->outbox_room);
        if (box->bytes == NULL) {
            return -ENOMEM;
        }
    }
    *box = (struct rc_bench_outbox){.bytes = box->bytes, .room = client->outbox_room, .slot = slot};
    client->conns[slot].outbox = index + 1;
    return 0;
}

/* --- connections ------------------------------------------------------------------------------------------------------ */

static const struct rc_bench_target *target_of(const struct rc_bench_client *client, uint8_t role)
{
    return role == RC_BENCH_PUBLISHER ? &client->plan->publish_at : &client->plan->subscribe_at;
}

static void fail_slot(struct rc_bench_client *client, uint32_t slot)
{
    client->conns[slot].state = RC_BENCH_CONN_FREE;
    rc_bench_count(&client->tally->failed, 1);
    if (client->scenario->closed != NULL) {
        client->scenario->closed(client, slot);
    }
}

void rc_bench_client_open(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    RC_ASSERT(conn->state == RC_BENCH_CONN_FREE);
    const bool publisher = slot >= client->subscribers;
    const uint32_t number =
        publisher ? slot - client->subscribers : rc_bench_plan_first(client->plan, client->process) + slot;
    *conn = (struct rc_bench_conn){
        .started_ns = rc_clock_ns(),
        .number = number,
        .channel = publisher ? 0 : number % client->plan->channels,
        .generation = (uint16_t)(conn->generation + 1),
        .role = (uint8_t)(publisher ? RC_BENCH_PUBLISHER : client->role),
        .state = RC_BENCH_CONN_CONNECTING,
        .sequence = conn->sequence,
    };
    const struct rc_bench_target *const target = target_of(client, conn->role);
    int fd = rc_bench_net_socket(target, publisher ? client->plan->subscribers + number : number);
    if (fd < 0) {
        rc_bench_client_note(client, "cannot make a socket: %s", strerror(-fd));
        fail_slot(client, slot);
        return;
    }
    const int updated = io_uring_register_files_update(&client->ring, slot, &fd, 1);
    close(fd);
    if (updated != 1 || (publisher && outbox_give(client, slot) != 0)) {
        rc_bench_client_note(client, "cannot register a socket: %s", strerror(updated < 0 ? -updated : ENOMEM));
        fail_slot(client, slot);
        return;
    }
    client->opening++;
    conn->armed = OP_CONNECT;
    struct io_uring_sqe *const sqe = sqe_for(client, OP_CONNECT, conn->generation, slot);
    io_uring_prep_connect(sqe, (int)slot, (const struct sockaddr *)&target->address, target->address_bytes);
    sqe->flags |= IOSQE_FIXED_FILE;
}

static void begin_close(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (conn->state == RC_BENCH_CONN_CONNECTING || conn->state == RC_BENCH_CONN_UPGRADING ||
        conn->state == RC_BENCH_CONN_JOINING) {
        client->opening--;
    } else {
        rc_bench_count(&client->tally->open, (uint64_t)-1);
    }
    rc_bench_receive_forget(client, slot);
    const uint16_t old = conn->generation++;
    conn->state = RC_BENCH_CONN_CLOSING;
    conn->outbox = 0;
    if (conn->armed != 0) {
        /* An armed request keeps the socket open: it goes first, and the close waits for that. */
        struct io_uring_sqe *const cancel = sqe_for(client, OP_CANCEL, old, slot);
        io_uring_prep_cancel64(cancel, pack((enum op)conn->armed, old, slot),
                               IORING_ASYNC_CANCEL_ALL);
        cancel->flags |= IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS;
        conn->armed = 0;
    }
    struct io_uring_sqe *const sqe = sqe_for(client, OP_CLOSE, conn->generation, slot);
    io_uring_prep_close_direct(sqe, slot);
}

void rc_bench_client_close(struct rc_bench_client *client, uint32_t slot)
{
    const uint8_t state = client->conns[slot].state;
    if (state != RC_BENCH_CONN_FREE && state != RC_BENCH_CONN_CLOSING) {
        begin_close(client, slot);
    }
}

void rc_bench_client_ended(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    rc_bench_count(conn->state == RC_BENCH_CONN_READY ? &client->tally->closed : &client->tally->failed, 1);
    rc_bench_client_close(client, slot);
}

void rc_bench_client_arm(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (conn->armed != 0 || (conn->paused && !conn->once) || conn->state == RC_BENCH_CONN_CLOSING || conn->state == RC_BENCH_CONN_FREE) {
        return;
    }
    const bool ready = conn->state == RC_BENCH_CONN_READY;
    if (ready && client->plan->options->poll_idle) {
        conn->armed = OP_POLL;
        struct io_uring_sqe *const sqe = sqe_for(client, OP_POLL, conn->generation, slot);
        io_uring_prep_poll_add(sqe, (int)slot, POLLIN);
        sqe->flags |= IOSQE_FIXED_FILE;
        return;
    }
    conn->armed = OP_RECEIVE;
    struct io_uring_sqe *const sqe = sqe_for(client, OP_RECEIVE, conn->generation, slot);
    if (ready && !conn->once && !client->scenario->opens_itself) {
        io_uring_prep_recv_multishot(sqe, (int)slot, NULL, 0, 0);
    } else {
        io_uring_prep_recv(sqe, (int)slot, NULL, client->buffer_bytes, 0);
    }
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    conn->once = false;
}

void rc_bench_client_read_once(struct rc_bench_client *client, uint32_t slot)
{
    client->conns[slot].once = true;
    rc_bench_client_arm(client, slot);
}

void rc_bench_client_pause(struct rc_bench_client *client, uint32_t slot, bool paused)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    conn->paused = paused;
    if (!paused) {
        rc_bench_client_arm(client, slot);
    } else if (conn->armed != 0) {
        /* Its last completion comes with the same generation and clears `armed`. */
        struct io_uring_sqe *const sqe = sqe_for(client, OP_CANCEL, conn->generation, slot);
        io_uring_prep_cancel64(sqe, pack((enum op)conn->armed, conn->generation, slot), 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    }
}

static void connected(struct rc_bench_client *client, uint32_t slot, int result)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (result < 0) {
        const char *const hint = result == -ECONNREFUSED ? "; is the server running?"
                                 : result == -EADDRNOTAVAIL ? "; widen net.ipv4.ip_local_port_range"
                                                            : "";
        rc_bench_client_note(client, "cannot connect to %s: %s%s", target_of(client, conn->role)->host, strerror(-result), hint);
        rc_bench_client_ended(client, slot);
        return;
    }
    if (client->protocol->framing[conn->role] != RC_BENCH_FRAMING_WS) {
        conn->state = RC_BENCH_CONN_JOINING;
        rc_bench_receive_joined(client, slot);
        rc_bench_client_arm(client, slot);
        return;
    }
    conn->state = RC_BENCH_CONN_UPGRADING;
    const struct rc_bench_target *const target = target_of(client, conn->role);
    char path[RC_BENCH_PATH_MAX + RC_BENCH_NAME_MAX];
    const char *const pattern = target->path[0] != '\0' ? target->path : client->protocol->paths[conn->role];
    const char *const mark = strstr(pattern, "%s");
    if (mark == NULL) {
        snprintf(path, sizeof(path), "%s", pattern);
    } else {
        char name[RC_BENCH_NAME_MAX];
        rc_bench_client_channel_name(client, conn->channel, name);
        snprintf(path, sizeof(path), "%.*s%s%s", (int)(mark - pattern), pattern, name, mark + 2);
    }
    uint8_t *const request = arena_take(client, 2048);
    const size_t bytes =
        rc_bench_ws_request((char *)request, 2048, target->host, path, client->protocol->url_subprotocol, NULL);
    RC_ASSERT(bytes > 0);
    client->arena_used -= (uint32_t)(2048 - bytes);
    send_bytes(client, slot, request, bytes);
    rc_bench_client_arm(client, slot);
}

static void closed(struct rc_bench_client *client, uint32_t slot)
{
    client->conns[slot].state = RC_BENCH_CONN_FREE;
    if (client->scenario->closed != NULL) {
        client->scenario->closed(client, slot);
    }
}

/* --- the loop --------------------------------------------------------------------------------------------------------- */

static void received(struct rc_bench_client *client, const struct io_uring_cqe *cqe, uint32_t slot, bool current)
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
            rc_bench_receive(client, slot, bytes, (uint32_t)result, rc_clock_ns());
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
        rc_bench_client_ended(client, slot);
        return;
    }
    rc_bench_client_arm(client, slot);
}

static void polled(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    conn->armed = OP_RECEIVE;
    struct io_uring_sqe *const sqe = sqe_for(client, OP_RECEIVE, conn->generation, slot);
    io_uring_prep_recv(sqe, (int)slot, NULL, client->buffer_bytes, MSG_DONTWAIT);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
}

static void handle(struct rc_bench_client *client, const struct io_uring_cqe *cqe)
{
    const uint64_t data = io_uring_cqe_get_data64(cqe);
    const enum op op = (enum op)(data >> 56);
    const uint32_t slot = (uint32_t)data;
    if (op == OP_WAKE) {
        uint64_t count;
        if (read(client->wake, &count, sizeof(count)) < 0 && errno != EAGAIN) {
            rc_bench_client_note(client, "eventfd: %s", strerror(errno));
        }
        return;
    }
    const bool current = client->conns[slot].generation == (uint16_t)(data >> 32);
    if (op == OP_RECEIVE) {
        if (current && cqe->res == -EAGAIN) {
            client->conns[slot].armed = 0;
            rc_bench_client_arm(client, slot);
            return;
        }
        received(client, cqe, slot, current);
        return;
    }
    if (!current) {
        return;
    }
    switch (op) {
    case OP_CONNECT:
        client->conns[slot].armed = 0;
        connected(client, slot, cqe->res);
        break;
    case OP_POLL:
        polled(client, slot);
        break;
    case OP_SEND: /* only short or failed ones are told */
        rc_bench_client_note(client, "a send was cut: %s",
                             cqe->res < 0 ? strerror(-cqe->res) : "the server does not read");
        rc_bench_client_ended(client, slot);
        break;
    case OP_OUTBOX:
        outbox_sent(client, slot, cqe->res);
        break;
    case OP_ROOM:
        client->outboxes[client->conns[slot].outbox - 1].sending = false;
        outbox_send(client, client->conns[slot].outbox - 1);
        break;
    case OP_CLOSE:
        closed(client, slot);
        break;
    default:
        break;
    }
}

static uint32_t drain(struct rc_bench_client *client)
{
    uint32_t count = 0;
    struct io_uring_cqe *cqe;
    unsigned head;
    io_uring_for_each_cqe(&client->ring, head, cqe)
    {
        handle(client, cqe);
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
            /* A1 pairs with R1 in completed() of traffic.c: either it sees that we sleep, or we see its completion. */
            atomic_store_explicit(&client->shared->publisher_sleeps, 1, memory_order_relaxed);
            atomic_thread_fence(memory_order_seq_cst);
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
    submit(client);
}

static void loop(struct rc_bench_client *client)
{
    const struct rc_bench_scenario *const scenario = client->scenario;
    uint32_t handled = 0;
    for (;;) {
        /* Acquire: pairs with the coordinator's release of the phase, so that the run's times are there. */
        const enum rc_bench_phase phase = atomic_load_explicit(&client->shared->phase, memory_order_acquire);
        if (phase == RC_BENCH_STOP) {
            return;
        }
        if (!scenario->opens_itself) {
            open_more(client);
        }
        uint64_t until_ns = UINT64_MAX;
        if (scenario->turn != NULL) {
            until_ns = scenario->turn(client, rc_clock_ns(), phase);
        }
        flush_outboxes(client);
        wait_for(client, until_ns, handled >= 16);
        handled = drain(client);
    }
}

/* --- set-up ----------------------------------------------------------------------------------------------------------- */

static int make_ring(struct rc_bench_client *client)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
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
        done = io_uring_register_files_sparse(&client->ring, client->slots);
    }
    if (done < 0) {
        rc_bench_client_note(client, "io_uring direct descriptors for %u connections: %s; raise RLIMIT_NOFILE or --processes",
                             client->slots, strerror(-done));
        return done;
    }
    const bool many = client->plan->subscribers >= ALL_BUFFERS_AT;
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
        io_uring_buf_ring_add(client->buffers, client->buffer_memory + (size_t)i * client->buffer_bytes, client->buffer_bytes,
                              (unsigned short)i, io_uring_buf_ring_mask(client->buffer_count), (int)i);
    }
    io_uring_buf_ring_advance(client->buffers, (int)client->buffer_count);

    struct io_uring_sqe *const sqe = sqe_for(client, OP_WAKE, 0, 0);
    io_uring_prep_poll_multishot(sqe, client->wake, POLLIN);
    return 0;
}

static int make_tables(struct rc_bench_client *client)
{
    const struct rc_bench_plan *const plan = client->plan;
    const uint32_t publishers = client->slots - client->subscribers;
    const uint32_t frame = RC_BENCH_ENVELOPE_BYTES_MAX + RC_BENCH_WS_HEADER_BYTES_MAX + plan->options->payload_bytes;
    client->outbox_room = publishers <= 256 ? 64u << 10 : 8u << 10;
    if (client->outbox_room < 2 * frame) {
        client->outbox_room = 2 * frame;
    }
    client->outbox_count = publishers;
    client->conns = calloc(client->slots + 1, sizeof(*client->conns));
    client->outboxes = calloc(publishers + 1, sizeof(*client->outboxes));
    client->dirty = calloc(publishers + 1, sizeof(*client->dirty));
    client->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (client->conns == NULL || client->outboxes == NULL || client->dirty == NULL || client->arena == MAP_FAILED) {
        rc_bench_client_note(client, "no memory for %u connections", client->slots);
        return -ENOMEM;
    }
    rc_bench_count(&client->tally->user_bytes, client->slots * sizeof(*client->conns));
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
    client->mask_seed = (uint32_t)rc_clock_ns();
    client->role = plan->scenario->role == RC_BENCH_SUBSCRIBER && plan->options->subscriptions == 0 ? RC_BENCH_TARGET
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
    int failed = make_tables(client);
    if (failed == 0) {
        failed = make_ring(client);
    }
    if (failed == 0 && client->scenario->start != NULL) {
        failed = client->scenario->start(client);
    }
    if (failed == 0) {
        rc_bench_count(&client->tally->wanted,
                       client->scenario->opens_itself ? 0 : client->slots - client->held_back);
        loop(client);
        if (client->scenario->finish != NULL) {
            client->scenario->finish(client);
        }
    }
    /* Release: pairs with the coordinator's acquire; all of the tally is written. */
    atomic_store_explicit(&client->tally->state, failed == 0 ? RC_BENCH_PROCESS_DONE : RC_BENCH_PROCESS_FAILED,
                          memory_order_release);
    return failed == 0 ? 0 : 1;
}
