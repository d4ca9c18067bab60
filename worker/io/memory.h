/*
 * memory: what of io has to be readable when its process is dead: the ring's queues, receive buffers, and completions that were taken out of
 * the queue and not handled yet. A segment of each process, not of each worker: a successor's ring lies in another one, while the kernel still
 * writes to its predecessor's. What a successor makes of it is in worker/io/unread.h and worker/adopt/crash.h.
 *
 *   | struct rc_io_memory | held completions | packets | pieces | receive buffers | queues of the ring |
 *
 * A send of the batch has left wholly when the head of the submission queue is beyond its entry and there is no completion of it; else as its
 * completion says, or `sent` of a packet that was settled by it: the kernel carries a submit out to its end, head and completions included, when the
 * process is killed in it. Where its entry is not behind the head, nothing of it has left.
 *
 * W: the worker; `read_*` the successor. Sparse: what is not used costs nothing.
 */
#ifndef RC_WORKER_IO_MEMORY_H
#define RC_WORKER_IO_MEMORY_H

#include <liburing.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/base/err.h"

#define RC_IO_MEMORY_READY 0x5243494fu /* "RCIO" */
#define RC_IO_MEMORY_ABI 5u

/* Offsets are from the beginning of the segment. Of a ring whose queues are the kernel's (`cq_head` 0) nothing can be read. */
struct rc_io_memory {
    _Atomic uint32_t ready; /* RC_IO_MEMORY_READY, stored last */
    uint32_t abi;
    uint64_t bytes;
    uint64_t held;    /* struct io_uring_cqe[held_max] */
    uint64_t packets; /* struct rc_packet[RC_IO_BATCH_MAX] */
    uint64_t pieces;  /* struct rc_piece[RC_IO_BATCH_MAX * RC_IO_PIECES_MAX] */
    uint64_t buffers; /* buffer_count buffers of RC_IO_BUFFER_BYTES */
    uint64_t queues;
    uint64_t queues_bytes;
    uint64_t cq_head; /* uint32_t each: */
    uint64_t cq_tail;
    uint64_t sq_head;
    uint64_t sq_flags;
    uint64_t cqes; /* cq_entries of them */
    uint32_t cq_entries;
    uint32_t buffer_count; /* power of two */
    uint32_t held_max;
    uint32_t held_count; /* of `held`, in their order; before those of the queue */
    uint32_t held_next;  /* the first of them that was not begun with */
    uint32_t
        overflowing; /* 1: completions overflow, or are being put aside: what was received may be lost, or be there twice */
    uint32_t packet_count;  /* of the batch that is not settled; behind them one may be open */
    uint64_t read_received; /* a successor: what its socket had received before the one that it begins with */
    uint32_t read_next;     /* likewise: unread completions that it has put away */
    uint32_t read_began;    /* the one that it begins with, and 1 */
    uint32_t read_parked;   /* what its socket had parked before that one */
    uint32_t read_current;  /* ...and 1: `current`, of which nothing was made, too */
    uint32_t
        current_head; /* head of the completion queue when `current` was there, or held_next: when that is beyond it, it has left */
    uint32_t current_valid; /* 1: `current` is being handled; 2: likewise, and it is one of `held` */
    /* The completion that is being handled, which leaves the queue at once, while `current_valid` is not 0. Last: its type may grow. */
    struct io_uring_cqe current;
};

/* Bytes of receive buffers are rounded up to a power of two of buffers. */
struct rc_io_memory_plan {
    uint32_t socket_count;
    uint64_t receive_buffers_bytes;
};

/* Lays the empty memfd `fd` out and maps it; NULL with `err`, and errno. */
struct rc_io_memory *rc_io_memory_create(int fd, const struct rc_io_memory_plan *plan, struct rc_err *err);
/* The ring lies there: where what can be read of it. */
void rc_io_memory_found(struct rc_io_memory *memory, const struct io_uring *ring);
/* Maps that of a process which is dead. NULL with `err`, and errno: it is none of this ABI, its places are impossible, or the ring's queues were the
 * kernel's. */
struct rc_io_memory *rc_io_memory_attach(int fd, struct rc_err *err);
void rc_io_memory_unmap(struct rc_io_memory *memory);

static inline void *rc_io_memory_at(struct rc_io_memory *memory, uint64_t offset)
{
    return (uint8_t *)memory + offset;
}

#endif
