/*
 * io_internal: what the files of worker/io share with each other and nobody else.
 */
#ifndef RC_WORKER_IO_IO_INTERNAL_H
#define RC_WORKER_IO_IO_INTERNAL_H

#include "common/base/check.h"
#include "worker/io/io.h"

/* The operation in the top byte of user_data; then 24 bits of the socket's generation, then the socket or listener. */
enum rc_io_op {
    RC_OP_ACCEPT = 1, /* generation: entry of io->accepts, of the listener's */
    RC_OP_BELL,
    RC_OP_LIFE,
    RC_OP_RECEIVE,
    RC_OP_POLL,
    RC_OP_POLLOUT,
    RC_OP_CANCEL,
    RC_OP_CLOSE,
    RC_OP_PEERNAME, /* generation: entry of io->peernames */
    RC_OP_TLS_SEND,
    RC_OP_SEND, /* index: packet of the running batch */
    RC_OP_INBOX,
    RC_OP_INSTALL,
    RC_OP_SHUTDOWN,
    RC_OP_PLACE,   /* index: entry of io->places; generation: 1: it comes out of the inbox */
    RC_OP_CONNECT, /* index: entry of io->connects */
    RC_OP_KEEP,    /* only when it failed */
    RC_OP_LISTEN,  /* index: listener */
    RC_OP_ARRIVE,  /* index: listener; generation: entry of the truth's arrivals */
    RC_OP_IGNORE,
};

#define RC_IO_GENERATION_MASK 0xffffffu

static inline uint64_t rc_io_user_data(enum rc_io_op op, uint32_t generation, uint32_t index)
{
    return (uint64_t)op << 56 | (uint64_t)(generation & RC_IO_GENERATION_MASK) << 32 | index;
}

/* Of a request for the socket: its present use is recognised by it. */
static inline uint64_t rc_io_socket_data(const struct rc_io *io, enum rc_io_op op, uint32_t socket)
{
    return rc_io_user_data(op, io->truth->sockets[socket].generation, socket);
}

/* --- sqe.c --- */

/* A submission entry; submits what is queued when the queue is full. Never NULL. */
struct io_uring_sqe *rc_io_sqe(struct rc_io *io);
/* One poll, whose completion is `op`; `bit` is its enum rc_io_inflight. */
void rc_io_arm_poll(struct rc_io *io, uint32_t socket, unsigned events, enum rc_io_op op, uint8_t bit);
void rc_io_arm_pollout(struct rc_io *io, uint32_t socket);
/* Closes the direct descriptor: RC_OP_CLOSE. */
void rc_io_close_slot(struct rc_io *io, uint32_t socket);

/* --- accept.c, conn.c --- */

/* The kernel may receive into that buffer, after those that it has. */
void rc_io_give_buffer(struct rc_io *io, uint32_t buffer);
void rc_io_arm_accept(struct rc_io *io, uint32_t listener);
/*
 * A connection wakes one of those who wait at its listener. For some time after the death of a predecessor that may be its ring, which
 * has its accepts until the kernel has taken it apart and does nothing of them: the connection would wait for the next one. So in their
 * first seconds accepts are ended and begun anew, by which they take what is there, after 0.1, 0.3, 0.7 and 1.5 s.
 */
#define RC_IO_ACCEPT_AGAIN_DS 1u
#define RC_IO_ACCEPT_AGAIN_MAX_DS 8u
void rc_io_renew_accepts(struct rc_io *io);
void rc_io_cancel_accepts(struct rc_io *io);
/* All that are to be and are not. */
void rc_io_arm_accepts(struct rc_io *io);
void rc_io_on_accept(struct rc_io *io, uint32_t listener, uint32_t entry, const struct io_uring_cqe *cqe);
/* Whom an accept has brought, into the slot of that index: its life begins. `entry` as of RC_OP_ACCEPT or RC_OP_ARRIVE. */
void rc_io_accepted(struct rc_io *io, uint32_t listener, uint32_t socket, uint32_t entry);
/* Its peer's address: RC_OP_PEERNAME. */
void rc_io_ask_peername(struct rc_io *io, uint32_t socket);
/* Counts and says it; rc_io_accept_ended: what was armed for the listener is over, and armed again if it may be. */
void rc_io_accept_failed(struct rc_io *io, uint32_t listener, int result);
void rc_io_accept_ended(struct rc_io *io, uint32_t listener, uint32_t entry, int result);
/* Bit per listener: connections are wanted from it now. */
uint32_t rc_io_accepts_wanted(const struct rc_io *io);
void rc_io_on_peername(struct rc_io *io, uint32_t socket, uint32_t entry, int result);
void rc_io_on_receive(struct rc_io *io, uint32_t socket, const struct io_uring_cqe *cqe);
void rc_io_on_poll(struct rc_io *io, uint32_t socket, int result);
void rc_io_on_pollout(struct rc_io *io, uint32_t socket, int result);
void rc_io_on_cancel(struct rc_io *io, uint32_t socket, int result);
void rc_io_on_close(struct rc_io *io, uint32_t socket, int result);

/* Ends a socket of which nothing is in flight and no descriptor is there. */
void rc_io_lose(struct rc_io *io, uint32_t socket);
/* Cancels its receive, if one is in flight. */
void rc_io_cancel_receive(struct rc_io *io, uint32_t socket);

/* Nothing of the socket's may be armed now (rc_io_park). */
static inline bool rc_io_is_parking(const struct rc_io *io, uint32_t socket)
{
    return RC_UNLIKELY(io->parking) && io->truth->sockets[socket].listener != RC_SOCKET_MADE_HERE;
}

/* Of a socket that is GIVING: goes on if nothing is in flight any more. Of any other: nothing. */
void rc_io_give_step(struct rc_io *io, uint32_t socket);
void rc_io_on_install(struct rc_io *io, uint32_t socket, int result);
void rc_io_on_shutdown(struct rc_io *io, uint32_t socket);

/* --- slots.c: slots are the kernel's where io->slots_free is NULL --- */

int rc_io_slots_open(struct rc_io *io); /* -ENOMEM */
/* A free slot, RC_SOCKET_NONE: there is none; and back. */
uint32_t rc_io_slot_take(struct rc_io *io);
void rc_io_slot_free(struct rc_io *io, uint32_t socket);
/* The slot is being accepted into. */
bool rc_io_arriving(const struct rc_io *io, uint32_t socket);

/* --- arrive.c: nothing of it happens where the kernel chooses slots --- */

/* Of the poll at a listener, in place of accepts. */
void rc_io_on_listen(struct rc_io *io, uint32_t listener, const struct io_uring_cqe *cqe);
/* Of newcomers while others are served, 6,400 a second: thousands who come back at once otherwise take the CPU for a second, and the others wait for
 * their turn at each step. Not where the listener's queue is half full: what it has no room for comes again much later, or is refused. And not for longer than five
 * seconds, unless less than that have come for a second: then so many are what is to be served. */
#define RC_IO_PACE_NS UINT64_C(10000000)
#define RC_IO_PACE_MAX 64u
#define RC_IO_PACE_BURST_NS UINT64_C(5000000000)
#define RC_IO_PACE_CALM_NS UINT64_C(1000000000)
/* Is there a listener where somebody may wait, who can be accepted now? */
bool rc_io_arrivals_wait(const struct rc_io *io);
/* How long the loop may sleep for them, at most `most_ms`. */
uint32_t rc_io_arrivals_ms(const struct rc_io *io, uint32_t most_ms);
/* Accepts them, RC_ARRIVALS_MAX at most: RC_OP_ARRIVE of each is there when it returns. */
void rc_io_arrive(struct rc_io *io);
void rc_io_on_arrive(struct rc_io *io, uint32_t listener, uint32_t entry, int result);
/* Those whom a predecessor has accepted, and not known yet. */
void rc_io_arrivals_adopt(struct rc_io *io);

/* --- place.c --- */

/* -ENOMEM. `fd_install`: a descriptor can be made of a direct one. */
int rc_io_places_open(struct rc_io *io, const struct rc_spawn_args *args, const struct rc_control *control,
                      bool fd_install);
void rc_io_places_close(struct rc_io *io);
void rc_io_on_place(struct rc_io *io, uint32_t entry, int result);
/* Takes what is next in the inbox. True: a connection, which is there when its completion (RC_OP_PLACE) was handled, before which nothing more is taken. */
bool rc_io_inbox(struct rc_io *io);
/* Of a message that a predecessor was just taking: before the sockets are adopted, and when those that go back are gone (rc_moves_rebuild). */
void rc_io_coming_adopt(struct rc_io *io);
void rc_io_coming_adopted(struct rc_io *io);

/* --- connect.c --- */

int rc_io_connects_open(struct rc_io *io); /* -ENOMEM */
void rc_io_connects_close(struct rc_io *io);
void rc_io_on_connect(struct rc_io *io, uint32_t entry, int result);

/* --- tls_socket.c --- */

struct rc_io_tls {
    struct rc_tls_conn *conn; /* owned */
    uint8_t *out;             /* owned: ciphertext that leaves; NULL when none does */
    uint32_t out_bytes;
    uint32_t out_sent; /* before it is in flight, waits for room (RC_INFLIGHT_POLLOUT), or is gone */
    uint8_t *later;    /* owned: output made while `out` was leaving */
    uint32_t later_bytes;
    uint32_t out_before; /* of what the truth has as its output, how much came before `out` and has left */
    bool failed;         /* ends when its alert has left */
};

int rc_io_tls_open(struct rc_io *io, const struct rc_control *control, const struct rc_config *config,
                   struct rc_err *err);
void rc_io_tls_close(struct rc_io *io);
/* A connection of a predecessor, which becomes the socket's: conn, out and failed of `tls`. -ENOMEM. */
int rc_io_tls_attach(struct rc_io *io, uint32_t socket, const struct rc_io_tls *tls);
/* The socket is TLS, and another process could not go on with it: OpenSSL's, or in its handshake. */
bool rc_io_tls_stays(const struct rc_io *io, uint32_t socket);
bool rc_io_tls_accept(struct rc_io *io, uint32_t socket);
void rc_io_tls_received(struct rc_io *io, uint32_t socket, const uint8_t *bytes, uint32_t count);
/* The same of what a process that is dead had not looked at: that block. */
void rc_io_tls_read(struct rc_io *io, uint32_t socket, const uint8_t *bytes, uint32_t count, uint32_t of_unread);
int rc_io_tls_commit(struct rc_io *io, const struct rc_packet *packet, uint32_t *sent);
void rc_io_tls_writable(struct rc_io *io, uint32_t socket);
void rc_io_tls_on_sent(struct rc_io *io, uint32_t socket, int result);
void rc_io_tls_shutdown(struct rc_io *io, uint32_t socket);
void rc_io_tls_freed(struct rc_io *io, uint32_t socket);

/* --- tls_truth.c: nothing, of a connection that does not lie there --- */

/* NULL: it does not. */
struct rc_truth_tls *rc_io_tls_left(const struct rc_truth *truth, uint32_t socket);
/* None of them for block 0. */
const struct rc_truth_block *rc_io_tls_left_bytes(const struct rc_truth *truth, uint32_t block);
/* The link says both of them, one behind the other, from one store on. -ENOMEM: unchanged. */
int rc_io_tls_left_put(struct rc_truth *truth, uint32_t *link, const void *first, uint32_t first_bytes,
                       const void *second, uint32_t second_bytes);
void rc_io_tls_left_begin(struct rc_io *io, uint32_t socket, struct rc_io_tls *tls);
void rc_io_tls_left_drop(struct rc_io *io, uint32_t socket);
/* Its keys are about to be used, and what they made is not whole; and when it is. */
void rc_io_tls_changes(struct rc_io *io, uint32_t socket, bool changing);
/* The record that a packet was sealed into is in the truth, which can go on once it also says whom the packet was for: before the next one, or when they
 * leave. A killed worker's client would get what is in it twice. */
void rc_io_sealed(struct rc_io *io);
/* There is more of out and later; a send of `out` is asked for; some of it has left; the next one is `later`. */
void rc_io_tls_left_out(struct rc_io *io, uint32_t socket, struct rc_io_tls *tls);
void rc_io_tls_left_asked(struct rc_io *io, uint32_t socket, const struct rc_io_tls *tls);
void rc_io_tls_left_sent(struct rc_io *io, uint32_t socket, const struct rc_io_tls *tls);
void rc_io_tls_left_next(struct rc_io *io, uint32_t socket, struct rc_io_tls *tls);
/* What there is of a record of which not all has come. */
void rc_io_tls_left_part(struct rc_io *io, uint32_t socket, struct rc_io_tls *tls);
void rc_io_tls_left_failed(struct rc_io *io, uint32_t socket);

/* --- transmit.c --- */

void rc_io_settle_tls(struct rc_io *io, uint32_t packet);
void rc_io_on_send(struct rc_io *io, uint32_t packet, int result);

#endif
