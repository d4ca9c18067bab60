/*
 * tls_socket: TLS between the ring and the handlers.
 *
 * Incoming ciphertext is decrypted in the receive's completion and goes up as if it had been received. A packet of the turn is encrypted,
 * one record at most, when it is committed; what of it was not taken is reported as a short send, so that the hub keeps it
 * in its log. The record itself leaves by sends of its own (RC_INFLIGHT_TLS) from a buffer that lives until the socket has taken all
 * of it: until then, and before the handshake is done, the connection is busy and gets nothing more.
 */
#include "worker/io/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/io/io_internal.h"
#include "worker/io/tls.h"
#include "worker/io/tls_opening.h"
#include "worker/store/taking.h"

/* Output that OpenSSL makes on its own (tickets, key updates, alerts) while a record is under way. A peer that asks for more of it
 * than this without reading what it gets is sent away. */
#define RC_IO_TLS_LATER_MAX 32768u

static struct rc_io_tls *tls_of(const struct rc_io *io, uint32_t index)
{
    return io->tls_sockets == NULL ? NULL : io->tls_sockets[index];
}

int rc_io_tls_attach(struct rc_io *io, uint32_t index, const struct rc_io_tls *from)
{
    struct rc_io_tls *tls = malloc(sizeof(*tls));
    if (tls == NULL) {
        return -ENOMEM;
    }
    *tls = *from;
    io->tls_sockets[index] = tls;
    io->truth->sockets[index].tls = 1;
    io->tls_count++;
    rc_metric_set(io->metrics, RC_METRIC_TLS_CONNECTIONS, io->tls_count);
    return 0;
}

/* The connection, NULL: no memory for it, is the socket's. */
static bool tls_begin(struct rc_io *io, uint32_t index, struct rc_tls_conn *conn)
{
    if (conn == NULL || rc_io_tls_attach(io, index, &(struct rc_io_tls){.conn = conn}) < 0) {
        rc_tls_free(conn);
        return false;
    }
    io->truth->sockets[index].mode = RC_IO_TLS_HANDSHAKE;
    return true;
}

bool rc_io_tls_stays(const struct rc_io *io, uint32_t index)
{
    const struct rc_io_tls *tls = tls_of(io, index);
    return tls != NULL && !rc_tls_settled(tls->conn);
}

bool rc_io_tls_accept(struct rc_io *io, uint32_t index)
{
    return tls_begin(io, index, rc_tls_accept(io->tls));
}

/* What there is one of for all TLS connections of the worker. */
static int tls_index_open(struct rc_io *io)
{
    if (io->tls_sockets == NULL) {
        io->tls_sockets = calloc(io->truth->socket_count, sizeof(struct rc_io_tls *));
    }
    if (io->tls_plain == NULL) {
        io->tls_plain = malloc(RC_TLS_PLAIN_ROOM);
    }
    return io->tls_sockets == NULL || io->tls_plain == NULL ? -ENOMEM : 0;
}

int rc_io_tls_connect(struct rc_io *io, uint32_t index, SSL_CTX *context, const char *host)
{
    struct rc_err err;
    int rc = tls_index_open(io);
    if (rc == 0 && io->tls == NULL) {
        rc = rc_tls_open_without(&io->tls, &err);
    }
    if (rc == 0 && !tls_begin(io, index, rc_tls_connect(io->tls, context, host))) {
        rc = -ENOMEM;
    }
    if (rc == 0) {
        rc_io_tls_received(io, index, NULL, 0); /* the client speaks first */
    }
    return rc;
}

void rc_io_tls_freed(struct rc_io *io, uint32_t index)
{
    struct rc_io_tls *tls = tls_of(io, index);
    if (tls != NULL) {
        io->tls_sockets[index] = NULL;
        io->sealed = io->sealed == index + 1 ? 0 : io->sealed;
        rc_tls_free(tls->conn);
        rc_io_tls_left_drop(io, index); /* its keys among it */
        free(tls->out);
        free(tls->later);
        free(tls);
        io->tls_count--;
        rc_metric_set(io->metrics, RC_METRIC_TLS_CONNECTIONS, io->tls_count);
    }
}

bool rc_io_is_tls(const struct rc_io *io, uint32_t index)
{
    return tls_of(io, index) != NULL;
}

size_t rc_io_tls_identity(const struct rc_io *io, uint32_t index, char *text, size_t capacity)
{
    const struct rc_io_tls *tls = tls_of(io, index);
    return tls == NULL ? 0 : rc_tls_identity(tls->conn, text, capacity);
}

/* Tried inline, never parked in the ring: a parked send is retried by the kernel for a while, then keeps a kernel thread waiting. */
static void tls_send(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    rc_io_tls_left_asked(io, index, tls);
    io_uring_prep_send(sqe, (int)index, tls->out + tls->out_sent, tls->out_bytes - tls->out_sent,
                       MSG_NOSIGNAL | MSG_DONTWAIT);
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_TLS_SEND, io->truth->sockets[index].generation, index));
    io->truth->sockets[index].inflight |= RC_INFLIGHT_TLS;
}

static int tls_keep_later(struct rc_io_tls *tls, const uint8_t *bytes, size_t count)
{
    if (tls->later_bytes + count > RC_IO_TLS_LATER_MAX) {
        return -ENOBUFS;
    }
    uint8_t *later = realloc(tls->later, tls->later_bytes + count);
    if (later == NULL) {
        return -ENOMEM;
    }
    memcpy(later + tls->later_bytes, bytes, count);
    tls->later = later;
    tls->later_bytes += (uint32_t)count;
    return 0;
}

/* Takes the output that OpenSSL made over to the connection, and sends it unless something is in flight. */
static int tls_take_output(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    size_t count;
    int rc = 0;
    const uint8_t *bytes = rc_tls_output(io->tls, &count);
    if (count == 0) {
        return 0;
    }
    const bool sends = tls->out == NULL;
    if (!sends) {
        rc = tls_keep_later(tls, bytes, count);
    } else {
        tls->out = malloc(count);
        if (tls->out != NULL) {
            memcpy(tls->out, bytes, count);
            tls->out_bytes = (uint32_t)count;
            tls->out_sent = 0;
        } else {
            rc = -ENOMEM;
        }
    }
    rc_tls_output_clear(io->tls);
    if (rc == 0) {
        rc_io_tls_left_out(io, index, tls); /* in the truth before any of it can leave */
        if (sends) {
            tls_send(io, index, tls);
        }
    }
    return rc;
}

/* `out` has left, or never will: what came behind it is next. */
static void tls_next_output(struct rc_io *io, uint32_t index, struct rc_io_tls *tls)
{
    rc_io_tls_left_next(io, index, tls);
    free(tls->out);
    tls->out = tls->later;
    tls->out_bytes = tls->later_bytes;
    tls->out_sent = 0;
    tls->later = NULL;
    tls->later_bytes = 0;
}

void rc_io_tls_on_sent(struct rc_io *io, uint32_t index, int result)
{
    struct rc_io_tls *tls = tls_of(io, index);
    io->truth->sockets[index].inflight &= (uint8_t)~RC_INFLIGHT_TLS;
    if (result > 0) {
        tls->out_sent += (uint32_t)result;
        rc_io_tls_left_sent(io, index, tls);
        io->memory->current_valid = 0; /* the truth says so; what follows is done anew by a successor */
        RC_STORE_ORDER();
        rc_metric_add(io->metrics, RC_METRIC_BYTES_OUT, (uint64_t)result);
    }
    if (io->truth->sockets[index].state == RC_SOCKET_TERMINATING) {
        tls_next_output(io, index, tls); /* the loop goes on with its end */
        return;
    }
    if (result == -EAGAIN || result == -EINTR || result == -ENOBUFS || result == -ENOMEM) {
        rc_io_arm_pollout(io, index); /* rc_io_tls_writable goes on */
        return;
    }
    if (result <= 0) {
        tls_next_output(io, index, tls);
        io->truth->sockets[index].flags |= RC_SOCKET_PEER_ENDED;
        io->handlers.ended(io->handlers.context, index, result < 0 ? result : -ECONNRESET);
        return;
    }
    if (tls->out_sent == tls->out_bytes) {
        tls_next_output(io, index, tls);
    }
    if (tls->out != NULL) {
        tls_send(io, index, tls);
    } else if (tls->failed) {
        io->truth->sockets[index].flags |= RC_SOCKET_PEER_ENDED;
        io->handlers.ended(io->handlers.context, index, -EPROTO);
    } else if ((io->truth->sockets[index].flags & RC_SOCKET_BLOCKED) && !rc_io_busy(io, index)) {
        io->handlers.writable(io->handlers.context, index);
    }
}

void rc_io_tls_writable(struct rc_io *io, uint32_t index)
{
    struct rc_io_tls *tls = tls_of(io, index);
    if (tls->out != NULL && !(io->truth->sockets[index].inflight & RC_INFLIGHT_TLS)) {
        tls_send(io, index, tls);
    }
}

/* The peer speaks plain HTTP: from here on so do we, to tell it. */
static void tls_to_plain(struct rc_io *io, uint32_t index)
{
    RC_ASSERT(tls_of(io, index)->out == NULL); /* it was its first record: nothing was answered */
    io->truth->sockets[index].mode = RC_IO_HANDSHAKE;
    io->truth->sockets[index].tls = 0;
    rc_io_tls_freed(io, index);
    rc_metric_add(io->metrics, RC_METRIC_TLS_ERRORS, 1);
    io->handlers.plain_on_tls(io->handlers.context, index);
}

static void tls_end(struct rc_io *io, uint32_t index, struct rc_io_tls *tls, int error)
{
    if (error < 0) {
        rc_metric_add(io->metrics, RC_METRIC_TLS_ERRORS, 1);
        tls->failed = true;
        rc_io_tls_left_failed(io, index);
        if (tls->out != NULL) {
            return; /* the alert goes first; how long that may take is up to the connection's timers */
        }
    }
    io->truth->sockets[index].flags |= RC_SOCKET_PEER_ENDED;
    io->handlers.ended(io->handlers.context, index, error);
}

/* The handshake is over: what had to wait for it (a refusal) may leave. */
static void tls_opened(struct rc_io *io, uint32_t index)
{
    io->truth->sockets[index].mode = RC_IO_HANDSHAKE;
    if ((io->truth->sockets[index].flags & RC_SOCKET_BLOCKED) && !rc_io_busy(io, index)) {
        io->handlers.writable(io->handlers.context, index);
    }
}

/* What is known of it is said in the truth (tls_opening.h): behind the end of what its peer has said nothing is. */
static bool tls_unknown(struct rc_io *io, bool known)
{
    if (known) {
        rc_taking_over(io->truth);
        rc_io_tls_opening_end(io->truth);
    }
    return false;
}

/* What a record said is handed on. False: nothing more of the connection is read. */
static bool tls_hand_on(struct rc_io *io, uint32_t index, uint32_t plain, bool known)
{
    const struct rc_socket *socket = &io->truth->sockets[index];
    const uint32_t generation = socket->generation;
    if (plain > 0) {
        io->handlers.received(io->handlers.context, index, io->tls_plain, plain);
    }
    if (socket->generation != generation || socket->state == RC_SOCKET_TERMINATING ||
        socket->state == RC_SOCKET_CLOSED) {
        (void)tls_unknown(io, known);
        rc_tls_drop_input(io->tls);
        return false;
    }
    if (known && plain > 0) {
        rc_io_tls_opening_handled(io->truth);
    }
    return true;
}

void rc_io_tls_read(struct rc_io *io, uint32_t index, const uint8_t *bytes, uint32_t count, uint32_t of_unread)
{
    struct rc_io_tls *tls = tls_of(io, index);
    struct rc_truth *truth = io->truth;
    uint32_t total = 0;
    if (tls->failed) {
        return;
    }
    if (rc_tls_settled(tls->conn)) {
        (void)rc_tls_read_to(io->tls, tls->conn, &total);
    }
    total += count;
    bool known = rc_io_tls_opening_begin(truth, io->tls, tls->conn, index, of_unread, 0);
    if (!known) {
        rc_taking_over(truth);
    }
    rc_tls_feed(io->tls, tls->conn, bytes, count);
    for (;;) {
        size_t plain = 0;
        if (!known) {
            rc_io_tls_changes(io, index, true);
        }
        const enum rc_tls_result result = rc_tls_read(io->tls, tls->conn, io->tls_plain, &plain);
        if (result == RC_TLS_NOT_TLS) {
            rc_tls_output_clear(io->tls);
            tls_to_plain(io, index);
            return;
        }
        if (result != RC_TLS_MORE && result != RC_TLS_PLAIN) {
            known = tls_unknown(io, known);
            rc_io_tls_changes(io, index, true);
        }
        const int rc = tls_take_output(io, index, tls);
        if (rc < 0) {
            (void)tls_unknown(io, known);
            rc_tls_drop_input(io->tls);
            rc_metric_add(io->metrics, RC_METRIC_TLS_ERRORS, 1);
            io->handlers.ended(io->handlers.context, index, rc);
            return;
        }
        if (known && rc_io_tls_left(truth, index) == NULL) {
            known = tls_unknown(io, known); /* there was no room for what it says */
        }
        if (known) {
            rc_io_tls_opening_at(truth, io->tls, tls->conn, total, plain > 0);
        }
        if (!known || result == RC_TLS_MORE) {
            rc_io_tls_left_part(io, index, tls);
        }
        rc_io_tls_changes(io, index, false);
        if (truth->sockets[index].mode == RC_IO_TLS_HANDSHAKE && rc_tls_ready(tls->conn)) {
            rc_io_tls_left_begin(io, index, tls);
            tls_opened(io, index);
        }
        switch (result) {
        case RC_TLS_MORE:
            if (known && of_unread == 0) { /* else who has called gives that back first */
                RC_STORE_ORDER();
                io->memory->current_valid = 0; /* the bytes are done with */
                rc_io_tls_opening_end(truth);
            }
            return;
        case RC_TLS_PLAIN:
            if (!tls_hand_on(io, index, (uint32_t)plain, known)) {
                return;
            }
            break;
        case RC_TLS_ENDED:
            tls_end(io, index, tls, 0);
            return;
        case RC_TLS_FAILED:
        case RC_TLS_NOT_TLS:
            tls_end(io, index, tls, -EPROTO);
            return;
        }
    }
}

void rc_io_tls_received(struct rc_io *io, uint32_t index, const uint8_t *bytes, uint32_t count)
{
    rc_io_tls_read(io, index, bytes, count, 0);
}

bool rc_io_busy(const struct rc_io *io, uint32_t index)
{
    const struct rc_io_tls *tls = tls_of(io, index);
    return tls != NULL && (tls->out != NULL || io->truth->sockets[index].mode == RC_IO_TLS_HANDSHAKE);
}

/* Encrypts one record of the packet; *sent says how much plaintext that was. */
int rc_io_tls_commit(struct rc_io *io, const struct rc_packet *packet, uint32_t *sent)
{
    struct rc_io_tls *tls = tls_of(io, packet->socket);
    const struct rc_piece *pieces = &io->pieces[packet->first];
    uint32_t count = 0;
    for (uint32_t i = 0; i < packet->count && count < RC_TLS_RECORD_MAX; i++) {
        const uint32_t room = RC_TLS_RECORD_MAX - count;
        const uint32_t bytes = pieces[i].count < room ? pieces[i].count : room;
        memcpy(io->tls_plain + count, pieces[i].bytes, bytes);
        count += bytes;
    }
    *sent = 0;
    rc_io_tls_changes(io, packet->socket, true); /* until the packet is committed: rc_io_packet_commit */
    if (rc_tls_write(io->tls, tls->conn, io->tls_plain, count) < 0 || tls_take_output(io, packet->socket, tls) < 0) {
        rc_tls_output_clear(io->tls);
        return -EPROTO;
    }
    *sent = count;
    return 0;
}

void rc_io_tls_shutdown(struct rc_io *io, uint32_t index)
{
    struct rc_io_tls *tls = tls_of(io, index);
    if (tls != NULL && !rc_io_busy(io, index) && !tls->failed) {
        rc_io_tls_changes(io, index, true);
        rc_tls_shutdown(io->tls, tls->conn);
        (void)tls_take_output(io, index, tls);
        rc_io_tls_changes(io, index, false);
    }
}

int rc_io_tls_open(struct rc_io *io, const struct rc_control *control, const struct rc_config *config,
                   struct rc_err *err)
{
    bool wanted = false;
    for (uint32_t i = 0; i < io->listener_count; i++) {
        io->tls_listener[i] = rc_listener_is_tls(control->listeners[i].kind);
        wanted |= io->tls_listener[i];
    }
    if (!wanted) {
        return 0;
    }
    if (tls_index_open(io) < 0) {
        return rc_err_set(err, -ENOMEM, "no memory for the index of TLS connections");
    }
    return rc_tls_open(&io->tls, &config->tls, control->tls_ticket_keys, err);
}

void rc_io_tls_reload(struct rc_io *io, const struct rc_control *control, const struct rc_config *config)
{
    struct rc_err err = {0};
    if (io->tls != NULL && rc_tls_reload(io->tls, &config->tls, control->tls_ticket_keys, &err) < 0) {
        rc_log_error("tls_reload_failed", "reason=\"%s\" effect=\"the former certificates stay\"", err.text);
    }
}

void rc_io_tls_close(struct rc_io *io)
{
    for (uint32_t i = 0; io->tls_sockets != NULL && i < io->truth->socket_count; i++) {
        rc_io_tls_freed(io, i);
    }
    free(io->tls_sockets);
    free(io->tls_plain);
    rc_tls_close(io->tls);
}
