/*
 * transmit: the send batch of a round.
 *
 * Every send is tried inline (MSG_DONTWAIT never parks it) and posts a completion only when it was short or failed
 * (CQE_SKIP_SUCCESS; without MSG_WAITALL the kernel would hide short sends). After the submit the batch is therefore settled:
 * what has no completion has left completely.
 */
#include "worker/io/io.h"

#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/io/io_internal.h"
#include "worker/io/tls.h"
#include "worker/store/order.h"
#include "worker/store/receiving.h"

void rc_io_sealed(struct rc_io *io)
{
    if (io->sealed != 0) {
        rc_io_tls_changes(io, io->sealed - 1, false);
        io->sealed = 0;
    }
}

struct rc_packet *rc_io_packet_begin(struct rc_io *io, uint32_t index)
{
    RC_ASSERT_HOT(io->packet_count < RC_IO_BATCH_MAX);
    rc_io_sealed(io);
    struct rc_packet *packet = &io->packets[io->packet_count];
    packet->count = 0;
    RC_STORE_ORDER(); /* what an earlier batch has here is not open */
    *packet = (struct rc_packet){.before = io->truth->sockets[index].sent_bytes,
                                 .socket = index,
                                 .open = 1,
                                 .generation = io->truth->sockets[index].generation,
                                 .bytes_max = io->tls != NULL && rc_io_is_tls(io, index) ? RC_TLS_RECORD_MAX
                                                                                         : RC_IO_SEND_BYTES_MAX,
                                 .first = io->piece_count};
    return packet;
}

void rc_io_packet_add(struct rc_io *io, struct rc_packet *packet, enum rc_piece_kind kind, const uint8_t *bytes,
                      uint32_t count, uint32_t source, uint64_t position)
{
    RC_ASSERT_HOT(packet->count < RC_IO_PIECES_MAX);
    io->pieces[packet->first + packet->count] = (struct rc_piece){
        .bytes = bytes, .count = count, .source = source, .position = position, .kind = (uint8_t)kind};
    RC_STORE_ORDER(); /* the piece, then that there is one, then what is moved on for it */
    packet->count++;
    packet->bytes += count;
    RC_STORE_ORDER();
}

/* The packet is one of the batch. */
static inline void transmit_committed(struct rc_io *io, struct rc_packet *packet)
{
    io->piece_count += packet->count;
    io->packet_count++;
    RC_STORE_ORDER();
    io->memory->packet_count = io->packet_count;
    RC_STORE_ORDER();
    packet->open = 0;
}

void rc_io_packet_commit(struct rc_io *io, struct rc_packet *packet)
{
    if (packet->count == 0) {
        packet->open = 0; /* a later batch may end before it */
        return;
    }
    /* In the middle of a packet nothing leaves: killed in it, a worker has asked no backend (rc_receiving_asks). */
    RC_ASSERT_HOT(!rc_receiving_runs(io->truth));
    const uint32_t index = io->packet_count;
    packet->sent = packet->bytes;
    if (io->tls != NULL && rc_io_is_tls(io, packet->socket)) {
        packet->error = rc_io_tls_commit(io, packet, &packet->sent);
        io->truth->sockets[packet->socket].sent_bytes += packet->sent;
        transmit_committed(io, packet);
        if (packet->error == 0) { /* else a record was lost: nobody goes on with these keys */
            io->sealed = packet->socket + 1;
        }
        rc_metric_add(io->metrics, RC_METRIC_SENDS, 1);
        return;
    }
    const struct rc_piece *pieces = &io->pieces[packet->first];
    /* Should the queue be full, part of the batch leaves now: its completions wait in their queue for rc_io_flush. */
    struct io_uring_sqe *sqe = rc_io_sqe(io);
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL;
    if (packet->count == 1) {
        io_uring_prep_send(sqe, (int)packet->socket, pieces->bytes, pieces->count, flags);
    } else if (packet->bytes <= RC_IO_STAGING_BYTES) {
        uint8_t *staging = io->staging + (size_t)index * RC_IO_STAGING_BYTES;
        uint32_t at = 0;
        for (uint32_t i = 0; i < packet->count; i++) {
            memcpy(staging + at, pieces[i].bytes, pieces[i].count);
            at += pieces[i].count;
        }
        io_uring_prep_send(sqe, (int)packet->socket, staging, at, flags);
    } else {
        struct iovec *vector = &io->vectors[packet->first];
        for (uint32_t i = 0; i < packet->count; i++) {
            vector[i] = (struct iovec){.iov_base = (void *)(uintptr_t)pieces[i].bytes, .iov_len = pieces[i].count};
        }
        io->headers[index] = (struct msghdr){.msg_iov = vector, .msg_iovlen = packet->count};
        io_uring_prep_sendmsg(sqe, (int)packet->socket, &io->headers[index], (unsigned)flags);
    }
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS);
    io_uring_sqe_set_data64(sqe, rc_io_user_data(RC_OP_SEND, packet->generation, index));
    packet->entry = io->ring.sq.sqe_tail - 1;
    transmit_committed(io, packet);
    io->truth->sockets[packet->socket].sent_bytes += packet->bytes;
    rc_metric_add(io->metrics, RC_METRIC_SENDS, 1);
    rc_metric_add(io->metrics, RC_METRIC_BYTES_OUT, packet->bytes);
}

/* A TLS packet of which less than everything was encrypted is a short send like any other. */
void rc_io_settle_tls(struct rc_io *io, uint32_t index)
{
    const struct rc_packet *packet = &io->packets[index];
    if (packet->error < 0 || packet->sent < packet->bytes) {
        io->handlers.short_send(io->handlers.context, packet, &io->pieces[packet->first], packet->sent, packet->error);
    }
}

void rc_io_on_send(struct rc_io *io, uint32_t index, int result)
{
    RC_ASSERT(index < io->packet_count);
    struct rc_packet *packet = &io->packets[index];
    int error = 0;
    uint32_t sent = 0;
    if (result >= 0) {
        sent = (uint32_t)result;
    } else if (result != -EAGAIN && result != -EINTR && result != -ENOBUFS && result != -ENOMEM) {
        error = result;
    }
    if (sent == packet->bytes) {
        return;
    }
    const uint32_t unsent = packet->bytes - sent;
    packet->sent = sent;
    RC_STORE_ORDER(); /* its completion goes behind this, and is not needed any more */
    packet->settled = 1;
    RC_STORE_ORDER();
    io->truth->sockets[packet->socket].sent_bytes -= unsent;
    rc_metric_sub(io->metrics, RC_METRIC_BYTES_OUT, unsent);
    rc_metric_add(io->metrics, RC_METRIC_SENDS_SHORT, 1);
    io->handlers.short_send(io->handlers.context, packet, &io->pieces[packet->first], sent, error);
}
