/* conn: see conn.h and client.h. */
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The largest segment of the loopback (MTU 65,536), with timestamps. */
#define SEGMENT_BYTES 65483u

uint64_t rc_bench_conn_data(enum rc_bench_op op, uint16_t generation, uint32_t index)
{
    return (uint64_t)op << 56 | (uint64_t)generation << 32 | index;
}

void rc_bench_conn_submit(struct rc_bench_client *client)
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

struct io_uring_sqe *rc_bench_conn_sqe(struct rc_bench_client *client, enum rc_bench_op op, uint16_t generation,
                                       uint32_t index)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&client->ring);
    if (RC_UNLIKELY(sqe == NULL)) {
        rc_bench_conn_submit(client);
        sqe = io_uring_get_sqe(&client->ring);
        RC_ASSERT(sqe != NULL);
    }
    io_uring_sqe_set_data64(sqe, rc_bench_conn_data(op, generation, index));
    return sqe;
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

/* Room in the arena; what is there is gone after the next submit. A submit for want of a submission entry therefore happens
 * here, not between this and the entry that sends these bytes: others would be written over them. */
static uint8_t *arena_take(struct rc_bench_client *client, size_t bytes)
{
    RC_ASSERT(bytes <= client->arena_bytes);
    if (client->arena_used + bytes > client->arena_bytes || io_uring_sq_space_left(&client->ring) == 0) {
        rc_bench_conn_submit(client);
    }
    uint8_t *const at = client->arena + client->arena_used;
    client->arena_used += (uint32_t)bytes;
    return at;
}

/* Counts a send as the segments that it becomes on the loopback. */
static void count_sent(struct rc_bench_client *client, size_t bytes)
{
    rc_bench_count(&client->tally->sent_segments, (bytes + SEGMENT_BYTES - 1) / SEGMENT_BYTES);
}

static void send_bytes(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, size_t count)
{
    /* Several messages in a row on one connection lie next to each other in the arena: they leave in one send. */
    if (client->last_send != NULL && client->last_send_slot == slot && client->last_send_end == bytes) {
        client->last_send->len += (uint32_t)count;
        client->last_send_end = bytes + count;
        return;
    }
    struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_SEND, client->conns[slot].generation, slot);
    /* WAITALL makes a short send visible although successes are skipped. */
    io_uring_prep_send(sqe, (int)slot, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    count_sent(client, count);
    client->last_send = sqe;
    client->last_send_slot = slot;
    client->last_send_end = bytes + count;
}

/* What a send of so many bytes takes on this connection. */
static size_t room_for(const struct rc_bench_client *client, uint32_t slot, size_t bytes)
{
    return rc_bench_tls_on(client, slot) ? RC_BENCH_TLS_ROOM(bytes) : bytes;
}

/* Sends what lies at the end of the arena, where it takes `room`; with TLS it is sealed there. */
static void send_arena(struct rc_bench_client *client, uint32_t slot, uint8_t *bytes, size_t count, size_t room)
{
    if (rc_bench_tls_on(client, slot)) {
        count = rc_bench_tls_seal(client, slot, bytes, (uint32_t)count);
    }
    client->arena_used -= (uint32_t)(room - count);
    if (count > 0) {
        send_bytes(client, slot, bytes, count);
    }
}

void rc_bench_conn_send_sealed(struct rc_bench_client *client, uint32_t slot, struct rc_span bytes)
{
    uint8_t *const at = arena_take(client, bytes.count);
    memcpy(at, bytes.bytes, bytes.count);
    send_bytes(client, slot, at, bytes.count);
}

void rc_bench_conn_send_plain(struct rc_bench_client *client, uint32_t slot, struct rc_span bytes)
{
    const size_t room = room_for(client, slot, bytes.count);
    uint8_t *const plain = arena_take(client, room);
    memcpy(plain, bytes.bytes, bytes.count);
    send_arena(client, slot, plain, bytes.count, room);
}

void rc_bench_conn_send_frame(struct rc_bench_client *client, uint32_t slot, uint8_t opcode, struct rc_span text)
{
    const enum rc_bench_framing framing = client->protocol->framing[client->conns[slot].role];
    if (framing == RC_BENCH_FRAMING_POLLING) {
        rc_bench_polling_say(client, slot, text);
        return;
    }
    if (framing != RC_BENCH_FRAMING_WS) {
        rc_bench_conn_send_plain(client, slot, text);
        return;
    }
    const uint32_t key = rc_bench_client_mask_key(client);
    const size_t whole = rc_bench_ws_header_bytes(text.count) + text.count;
    const size_t room = room_for(client, slot, whole);
    /* Where messages may wait in an outbox, cut perhaps, everything goes through it. */
    const bool boxed = client->conns[slot].outbox != 0 && client->conns[slot].state == RC_BENCH_CONN_READY;
    uint8_t *const frame = boxed ? rc_bench_client_outbox(client, slot, (uint32_t)whole) : arena_take(client, room);
    if (frame == NULL) {
        rc_bench_client_note(client, "no room to answer: the server does not read");
        rc_bench_conn_ended(client, slot);
        return;
    }
    const size_t header = rc_bench_ws_header(frame, (enum rc_bench_ws_opcode)opcode, text.count, key);
    if (text.count > 0) {
        memcpy(frame + header, text.bytes, text.count);
    }
    rc_bench_ws_mask(frame + header, text.count, key);
    if (boxed) {
        rc_bench_client_commit(client, slot, (uint32_t)whole);
    } else {
        send_arena(client, slot, frame, whole, room);
    }
}

void rc_bench_client_send(struct rc_bench_client *client, uint32_t slot, struct rc_span text)
{
    rc_bench_conn_send_frame(client, slot, RC_BENCH_WS_TEXT, text);
}

uint8_t *rc_bench_client_outbox(struct rc_bench_client *client, uint32_t slot, uint32_t bytes)
{
    const struct rc_bench_conn *const conn = &client->conns[slot];
    if (conn->state != RC_BENCH_CONN_READY || conn->outbox == 0) {
        return NULL;
    }
    struct rc_bench_outbox *const box = &client->outboxes[conn->outbox - 1];
    bytes = (uint32_t)room_for(client, slot, bytes);
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
    if (rc_bench_tls_on(client, slot)) {
        bytes = rc_bench_tls_seal(client, slot, box->bytes + box->tail, bytes);
        if (bytes == 0) {
            return; /* the connection has ended */
        }
    }
    box->tail += bytes;
    RC_ASSERT(box->tail <= box->room);
    if (!box->dirty && !box->sending) {
        box->dirty = true;
        client->dirty[client->dirty_count++] = index;
    }
}

void rc_bench_conn_outbox_send(struct rc_bench_client *client, uint32_t index)
{
    struct rc_bench_outbox *const box = &client->outboxes[index];
    const struct rc_bench_conn *const conn = &client->conns[box->slot];
    box->dirty = false;
    if (conn->state != RC_BENCH_CONN_READY || box->head == box->tail) {
        return;
    }
    struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_OUTBOX, conn->generation, box->slot);
    io_uring_prep_send(sqe, (int)box->slot, box->bytes + box->head, box->tail - box->head, MSG_NOSIGNAL | MSG_DONTWAIT);
    sqe->flags |= IOSQE_FIXED_FILE;
    box->sending = true;
}

void rc_bench_conn_flush(struct rc_bench_client *client)
{
    for (uint32_t i = 0; i < client->dirty_count; i++) {
        rc_bench_conn_outbox_send(client, client->dirty[i]);
    }
    client->dirty_count = 0;
}

void rc_bench_conn_outbox_sent(struct rc_bench_client *client, uint32_t slot, int result)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    struct rc_bench_outbox *const box = &client->outboxes[conn->outbox - 1];
    box->sending = false;
    if (result < 0 && result != -EAGAIN) {
        rc_bench_client_note(client, "a publisher could not send: %s", strerror(-result));
        rc_bench_conn_ended(client, slot);
        return;
    }
    count_sent(client, result > 0 ? (size_t)result : 0);
    box->head += result > 0 ? (uint32_t)result : 0;
    if (box->head == box->tail) {
        box->head = box->tail = 0;
        return;
    }
    if (result > 0) {
        rc_bench_conn_outbox_send(client, conn->outbox - 1);
        return;
    }
    struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_ROOM, conn->generation, slot);
    io_uring_prep_poll_add(sqe, (int)slot, POLLOUT);
    sqe->flags |= IOSQE_FIXED_FILE;
    box->sending = true;
}

static int outbox_give(struct rc_bench_client *client, uint32_t slot)
{
    const uint32_t index = client->plan->members ? slot : slot - client->subscribers;
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

const char *rc_bench_conn_host(const struct rc_bench_client *client, uint32_t slot)
{
    return target_of(client, client->conns[slot].role)->host;
}

static void fail_slot(struct rc_bench_client *client, uint32_t slot)
{
    client->conns[slot].state = RC_BENCH_CONN_FREE;
    rc_bench_count(&client->tally->failed, 1);
    if (client->scenario->closed != NULL) {
        client->scenario->closed(client, slot);
    }
}

/* Makes the slot's socket and begins to connect it. False when there is none. */
static bool conn_dial(struct rc_bench_client *client, uint32_t slot, uint32_t source)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    const struct rc_bench_target *const target = target_of(client, conn->role);
    int fd = rc_bench_net_socket(target, source, client->plan->send_bytes);
    if (fd < 0) {
        rc_bench_client_note(client, "cannot make a socket: %s", strerror(-fd));
        return false;
    }
    const int updated = io_uring_register_files_update(&client->ring, slot, &fd, 1);
    close(fd);
    if (updated != 1) {
        rc_bench_client_note(client, "cannot register a socket: %s", strerror(-updated));
        return false;
    }
    conn->armed = RC_BENCH_OP_CONNECT;
    struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_CONNECT, conn->generation, slot);
    io_uring_prep_connect(sqe, (int)slot, (const struct sockaddr *)&target->address, target->address_bytes);
    sqe->flags |= IOSQE_FIXED_FILE;
    return true;
}

/* Dials the opener of a subscriber, which waits for it. */
static bool opener_dial(struct rc_bench_client *client, uint32_t slot)
{
    const struct rc_bench_conn *const subscriber = &client->conns[slot];
    const uint32_t opener = rc_bench_opener_of(client, slot);
    struct rc_bench_conn *const conn = &client->conns[opener];
    RC_ASSERT(conn->state == RC_BENCH_CONN_FREE);
    *conn = (struct rc_bench_conn){
        .started_ns = subscriber->started_ns,
        .number = subscriber->number,
        .channel = subscriber->channel,
        .generation = (uint16_t)(conn->generation + 1),
        .role = RC_BENCH_OPENER,
        .state = RC_BENCH_CONN_CONNECTING,
    };
    if (!conn_dial(client, opener, conn->number)) {
        conn->state = RC_BENCH_CONN_FREE;
        return false;
    }
    return true;
}

void rc_bench_conn_upgrade(struct rc_bench_client *client, uint32_t slot)
{
    if (!conn_dial(client, slot, client->conns[slot].number)) {
        rc_bench_conn_ended(client, slot);
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
    if ((publisher || client->plan->members) && outbox_give(client, slot) != 0) {
        rc_bench_client_note(client, "no memory for what a connection has to send");
        fail_slot(client, slot);
        return;
    }
    const bool upgrades = client->protocol->upgrades && !publisher;
    if (upgrades ? !opener_dial(client, slot)
                 : !conn_dial(client, slot, publisher ? client->plan->subscribers + number : number)) {
        fail_slot(client, slot);
        return;
    }
    client->opening++;
}

static void begin_close(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (rc_bench_is_opener(client, slot)) {
        /* Its subscriber counts. */
    } else if (conn->state == RC_BENCH_CONN_CONNECTING || conn->state == RC_BENCH_CONN_UPGRADING ||
               conn->state == RC_BENCH_CONN_JOINING) {
        client->opening--;
    } else {
        rc_bench_count(&client->tally->open, (uint64_t)-1);
    }
    rc_bench_receive_forget(client, slot);
    rc_bench_delta_forget(&client->delta, slot);
    rc_bench_tls_forget(client, slot);
    const uint16_t old = conn->generation++;
    conn->state = RC_BENCH_CONN_CLOSING;
    conn->outbox = 0;
    if (conn->armed != 0) {
        /* An armed request keeps the socket open: it goes first, and the close waits for that. */
        struct io_uring_sqe *const cancel = rc_bench_conn_sqe(client, RC_BENCH_OP_CANCEL, old, slot);
        io_uring_prep_cancel64(cancel, rc_bench_conn_data((enum rc_bench_op)conn->armed, old, slot),
                               IORING_ASYNC_CANCEL_ALL);
        cancel->flags |= IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS;
        conn->armed = 0;
    }
    struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_CLOSE, conn->generation, slot);
    io_uring_prep_close_direct(sqe, slot);
}

void rc_bench_client_close(struct rc_bench_client *client, uint32_t slot)
{
    const uint8_t state = client->conns[slot].state;
    if (state != RC_BENCH_CONN_FREE && state != RC_BENCH_CONN_CLOSING) {
        begin_close(client, slot);
    }
    const uint32_t opener = rc_bench_opener_of(client, slot);
    if (opener != 0) {
        rc_bench_client_close(client, opener);
    }
}

void rc_bench_conn_ended(struct rc_bench_client *client, uint32_t slot)
{
    const struct rc_bench_conn *const conn = &client->conns[slot];
    if (rc_bench_is_opener(client, slot)) {
        /* Before the upgrade, or it would have been closed by us. */
        rc_bench_client_note(client, "the session ended before it was upgraded");
        rc_bench_conn_ended(client, slot - client->slots);
        return;
    }
    rc_bench_count(conn->state == RC_BENCH_CONN_READY ? &client->tally->closed : &client->tally->failed, 1);
    rc_bench_client_close(client, slot);
}

void rc_bench_conn_arm(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (conn->armed != 0 || (conn->paused && !conn->once) || conn->state == RC_BENCH_CONN_CLOSING ||
        conn->state == RC_BENCH_CONN_FREE) {
        return;
    }
    const bool ready = conn->state == RC_BENCH_CONN_READY;
    if (ready && client->plan->options->poll_idle) {
        conn->armed = RC_BENCH_OP_POLL;
        struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_POLL, conn->generation, slot);
        io_uring_prep_poll_add(sqe, (int)slot, POLLIN);
        sqe->flags |= IOSQE_FIXED_FILE;
        return;
    }
    conn->armed = RC_BENCH_OP_RECEIVE;
    struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_RECEIVE, conn->generation, slot);
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
    rc_bench_conn_arm(client, slot);
}

void rc_bench_client_pause(struct rc_bench_client *client, uint32_t slot, bool paused)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    conn->paused = paused;
    if (!paused) {
        rc_bench_conn_arm(client, slot);
    } else if (conn->armed != 0) {
        /* Its last completion comes with the same generation and clears `armed`. */
        struct io_uring_sqe *const sqe = rc_bench_conn_sqe(client, RC_BENCH_OP_CANCEL, conn->generation, slot);
        io_uring_prep_cancel64(sqe, rc_bench_conn_data((enum rc_bench_op)conn->armed, conn->generation, slot), 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    }
}

void rc_bench_conn_connected(struct rc_bench_client *client, uint32_t slot, int result)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (result < 0) {
        const char *const hint = result == -ECONNREFUSED    ? "; is the server running?"
                                 : result == -EADDRNOTAVAIL ? "; widen net.ipv4.ip_local_port_range"
                                                            : "";
        rc_bench_client_note(client, "cannot connect to %s: %s%s", target_of(client, conn->role)->host,
                             strerror(-result), hint);
        rc_bench_conn_ended(client, slot);
        return;
    }
    if (target_of(client, conn->role)->tls) {
        conn->state = RC_BENCH_CONN_UPGRADING;
        rc_bench_tls_open(client, slot);
    } else {
        rc_bench_conn_begin(client, slot);
    }
    rc_bench_conn_arm(client, slot);
}

void rc_bench_conn_begin(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (client->protocol->framing[conn->role] != RC_BENCH_FRAMING_WS) {
        conn->state = RC_BENCH_CONN_JOINING;
        if (client->protocol->framing[conn->role] == RC_BENCH_FRAMING_POLLING) {
            rc_bench_polling_begin(client, slot);
        } else {
            rc_bench_receive_join(client, slot);
        }
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
    if (rc_bench_opener_of(client, slot) != 0) {
        const size_t bytes = strlen(path);
        snprintf(path + bytes, sizeof(path) - bytes, "&sid=%s", rc_bench_polling_sid(client, slot));
    }
    uint8_t *const request = arena_take(client, 2048);
    const size_t bytes =
        rc_bench_ws_request((char *)request, 2048, target->host, path, client->protocol->url_subprotocol,
                            client->plan->options->deflate ? RC_BENCH_INFLATE_OFFER : NULL);
    RC_ASSERT(bytes > 0);
    send_arena(client, slot, request, bytes, 2048);
}

void rc_bench_conn_closed(struct rc_bench_client *client, uint32_t slot)
{
    client->conns[slot].state = RC_BENCH_CONN_FREE;
    const uint32_t subscriber = rc_bench_is_opener(client, slot) ? slot - client->slots : slot;
    const uint32_t opener = rc_bench_opener_of(client, subscriber);
    if (client->conns[subscriber].state != RC_BENCH_CONN_FREE ||
        (opener != 0 && client->conns[opener].state != RC_BENCH_CONN_FREE)) {
        return; /* the slot can be used again when both are gone */
    }
    if (client->scenario->closed != NULL) {
        client->scenario->closed(client, subscriber);
    }
}
