/* unread: see unread.h. */
#include "worker/io/unread.h"

#include <errno.h>

#include "worker/io/io_internal.h"
#include "worker/io/tls.h"

static uint32_t unread_word(const struct rc_io_memory *memory, uint64_t offset)
{
    return *(const uint32_t *)(const void *)((const uint8_t *)memory + offset);
}

static const void *unread_at(const struct rc_io_memory *memory, uint64_t offset)
{
    return (const uint8_t *)memory + offset;
}

/* Completions in the queue; more than it holds: it says impossible things. */
static uint32_t unread_queued(const struct rc_io_memory *memory)
{
    const uint32_t count = unread_word(memory, memory->cq_tail) - unread_word(memory, memory->cq_head);
    return count <= memory->cq_entries ? count : 0;
}

static const struct io_uring_cqe *unread_of_queue(const struct rc_io_memory *memory, uint32_t i)
{
    const struct io_uring_cqe *cqes = unread_at(memory, memory->cqes);
    return &cqes[(unread_word(memory, memory->cq_head) + i) & (memory->cq_entries - 1)];
}

static enum rc_io_op unread_op(const struct io_uring_cqe *cqe)
{
    return (enum rc_io_op)(cqe->user_data >> 56);
}

/* One that still is in the queue was not begun with. */
static bool unread_begun(const struct rc_io_memory *memory)
{
    return memory->read_current == 0 &&
           ((memory->current_valid == 2 && memory->held_next != memory->current_head) ||
            (memory->current_valid == 1 && unread_word(memory, memory->cq_head) != memory->current_head));
}

bool rc_io_unread_takes_in(const struct rc_io_memory *memory)
{
    return unread_begun(memory) && unread_op(&memory->current) == RC_OP_PLACE &&
           ((memory->current.user_data >> 32) & RC_IO_GENERATION_MASK) == 1;
}

uint32_t rc_io_unread_working(const struct rc_io_memory *memory)
{
    const enum rc_io_op op = unread_op(&memory->current);
    const int result = memory->current.res;
    if (op == RC_OP_RECEIVE && (result == -ECANCELED || result == -ENOBUFS || result == -EINTR || result == -EAGAIN)) {
        return RC_SOCKET_NONE; /* nothing has come, and nothing is done for whom it is: a successor reads anew */
    }
    return unread_begun(memory) && (op == RC_OP_RECEIVE || op == RC_OP_TLS_SEND) ? (uint32_t)memory->current.user_data
                                                                                 : RC_SOCKET_NONE;
}

bool rc_io_unread_sending(const struct rc_io_memory *memory)
{
    return unread_begun(memory) && unread_op(&memory->current) == RC_OP_TLS_SEND;
}

uint32_t rc_io_unread_peername(const struct rc_io_memory *memory)
{
    return unread_begun(memory) && unread_op(&memory->current) == RC_OP_PEERNAME ? (uint32_t)memory->current.user_data
                                                                                 : RC_SOCKET_NONE;
}

bool rc_io_unread_overflowed(const struct rc_io_memory *memory)
{
    return memory->overflowing != 0 || (unread_word(memory, memory->sq_flags) & IORING_SQ_CQ_OVERFLOW) != 0;
}

/* By the completion in the queue, if there is one. */
static uint32_t unread_sent(const struct rc_io_memory *memory, uint32_t index, const struct rc_packet *packet)
{
    if (packet->settled) {
        return packet->sent;
    }
    if (packet->bytes_max == RC_TLS_RECORD_MAX) { /* its record is in the truth, whether it has left or not */
        return packet->error < 0 ? 0 : packet->sent;
    }
    for (uint32_t i = unread_queued(memory); i-- > 0;) {
        const struct io_uring_cqe *cqe = unread_of_queue(memory, i);
        if (unread_op(cqe) == RC_OP_SEND && (uint32_t)cqe->user_data == index &&
            ((cqe->user_data >> 32) & RC_IO_GENERATION_MASK) == (packet->generation & RC_IO_GENERATION_MASK)) {
            return cqe->res > 0 ? (uint32_t)cqe->res : 0;
        }
    }
    const uint32_t ahead =
        unread_word(memory, memory->sq_head) - packet->entry; /* 0: it is the next that would be taken */
    return ahead != 0 && ahead <= UINT32_MAX / 2 ? packet->bytes : 0;
}

/* The next packet of the batch from *i on, and how much of it has left; NULL: there is none. One that is open may be behind it. */
static const struct rc_packet *unread_packet(const struct rc_io_memory *memory, uint32_t *i, uint32_t *sent)
{
    const struct rc_packet *packets = unread_at(memory, memory->packets);
    for (; *i <= memory->packet_count && *i < RC_IO_BATCH_MAX; (*i)++) {
        const struct rc_packet *packet = &packets[*i];
        if ((*i == memory->packet_count && !packet->open) || packet->count > RC_IO_PIECES_MAX ||
            packet->first > RC_IO_BATCH_MAX * RC_IO_PIECES_MAX - RC_IO_PIECES_MAX) {
            continue;
        }
        *sent = *i == memory->packet_count ? 0 : unread_sent(memory, *i, packet);
        return packet;
    }
    return NULL;
}

void rc_io_unread_sends(const struct rc_io_memory *memory,
                        void (*each)(void *context, const struct rc_packet *packet, const struct rc_piece *pieces,
                                     uint32_t sent),
                        void *context)
{
    const struct rc_piece *pieces = unread_at(memory, memory->pieces);
    const struct rc_packet *packet;
    uint32_t sent;
    for (uint32_t i = 0; (packet = unread_packet(memory, &i, &sent)) != NULL; i++) {
        if (sent < packet->bytes || i == memory->packet_count) {
            each(context, packet, &pieces[packet->first], sent);
        }
    }
}

void rc_io_unread_counts(const struct rc_io_memory *memory, struct rc_truth *truth)
{
    const struct rc_packet *packet;
    uint32_t sent;
    for (uint32_t i = 0; (packet = unread_packet(memory, &i, &sent)) != NULL; i++) {
        if (packet->socket < truth->socket_count && truth->sockets[packet->socket].generation == packet->generation) {
            truth->sockets[packet->socket].sent_bytes = packet->before + sent;
        }
    }
}

static const struct io_uring_cqe *unread_completion(const struct rc_io_memory *memory, uint32_t at)
{
    const uint32_t held = memory->held_count - memory->held_next;
    const struct io_uring_cqe *held_cqes = unread_at(memory, memory->held);
    return at < held ? &held_cqes[memory->held_next + at] : unread_of_queue(memory, at - held);
}

static uint32_t unread_completions(const struct rc_io_memory *memory)
{
    return memory->held_count - memory->held_next + unread_queued(memory);
}

void rc_io_unread_tls(const struct rc_io_memory *memory, struct rc_truth *truth)
{
    const uint32_t begun = rc_io_unread_sending(memory) ? 1 : 0;
    for (uint32_t at = 0; at < begun + unread_completions(memory); at++) {
        const struct io_uring_cqe *cqe = at < begun ? &memory->current : unread_completion(memory, at - begun);
        const uint32_t socket = (uint32_t)cqe->user_data;
        if (unread_op(cqe) != RC_OP_TLS_SEND || cqe->res <= 0 || socket >= truth->socket_count ||
            truth->tls[socket] == 0 ||
            ((cqe->user_data >> 32) & RC_IO_GENERATION_MASK) !=
                (truth->sockets[socket].generation & RC_IO_GENERATION_MASK)) {
            continue;
        }
        struct rc_truth_tls *tls = rc_heap_at(&truth->heap, truth->tls[socket]);
        const struct rc_truth_block *out = tls->out == 0 ? NULL : rc_heap_at(&truth->heap, tls->out);
        const uint64_t sent = (uint64_t)tls->out_asked + (uint32_t)cqe->res;
        if (out != NULL && sent <= out->count) {
            tls->out_sent = (uint32_t)sent;
        }
    }
}

/* False: it has brought nothing. An end of file, and an error, come again. */
static bool unread_received(const struct rc_io_memory *memory, const struct io_uring_cqe *cqe,
                            struct rc_io_unread *unread)
{
    const uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    if (unread_op(cqe) != RC_OP_RECEIVE || cqe->res <= 0 || cqe->res > (int)RC_IO_BUFFER_BYTES ||
        !(cqe->flags & IORING_CQE_F_BUFFER) || buffer >= memory->buffer_count) {
        return false;
    }
    const uint8_t *buffers = unread_at(memory, memory->buffers);
    *unread = (struct rc_io_unread){.socket = (uint32_t)cqe->user_data,
                                    .generation = (uint32_t)(cqe->user_data >> 32) & RC_IO_GENERATION_MASK,
                                    .bytes = buffers + (size_t)buffer * RC_IO_BUFFER_BYTES,
                                    .count = (uint32_t)cqe->res};
    return true;
}

bool rc_io_unread_current(const struct rc_io_memory *memory, struct rc_io_unread *unread)
{
    return unread_begun(memory) && unread_received(memory, &memory->current, unread);
}

bool rc_io_unread_next(const struct rc_io_memory *memory, uint32_t *at, struct rc_io_unread *unread)
{
    for (; *at < unread_completions(memory); (*at)++) {
        if (unread_received(memory, unread_completion(memory, *at), unread)) {
            return true;
        }
    }
    return false;
}

bool rc_io_unread_is(const struct rc_truth *truth, const struct rc_io_unread *unread)
{
    return unread->socket < truth->socket_count &&
           (truth->sockets[unread->socket].generation & RC_IO_GENERATION_MASK) == unread->generation;
}
