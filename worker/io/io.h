/*
 * io: a worker's io_uring, its client sockets and their bytes. Bytes in, bytes out; it knows no protocol.
 *
 * Owned by the worker's main(); one thread, no locks. What happens on a socket goes up through `struct rc_io_handlers`, which
 * main.c wires. A socket's index in the truth is also its direct descriptor.
 *
 * Nothing referenced by an in-flight request is freed: rc_io_terminate (no more events go up) -> join (the in-flight bits reach
 * 0) -> close (direct descriptor closed, index free).
 */
#ifndef RC_WORKER_IO_IO_H
#define RC_WORKER_IO_IO_H

#include <liburing.h>
#include <openssl/types.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/err.h"
#include "common/metrics/metrics.h"
#include "common/shm/control.h"
#include "common/shm/handover.h"
#include "worker/io/kept.h"
#include "worker/io/memory.h"
#include "worker/io/wheel.h"
#include "worker/store/truth.h"

#define RC_IO_SQ_ENTRIES 2048u
#define RC_IO_CQ_ENTRIES 32768u
#define RC_IO_BUFFER_BYTES 4096u
#define RC_IO_BUFFER_GROUP 0u
/* Completions collected before the loop answers them. More do not pay: the sockets they are of have left the caches when they are
 * sent to (5,000 echoing connections: 0.9 to 1.1 times the bare loop with 256, 1.1 to 1.3 times with 1,024). */
#define RC_IO_COLLECT_MAX 256u
#define RC_IO_TIMERS_MAX 128u        /* timers a pass handles: each may be a send, or a close, of 10 us in the kernel */
#define RC_IO_COLLECT_NS 5000000u    /* nor longer than this: a thousand TLS handshakes are a second */
#define RC_IO_BATCH_MAX 256u         /* sends in one submit: a round */
#define RC_IO_PIECES_MAX 64u         /* pieces of one send */
#define RC_IO_SEND_BYTES_MAX 262144u /* bytes of one send, unless a single frame is larger */
#define RC_IO_STAGING_BYTES 4096u    /* several pieces up to this are copied together: cheaper than a vector */
#define RC_IO_PEERNAMES_MAX 4096u    /* asked for and not answered yet */
#define RC_IO_ACCEPTS_MAX 64u        /* accepts in flight for a listener where each brings one connection */
#define RC_IO_PLACES_MAX 128u        /* sockets on their way into the direct table */
#define RC_IO_CONNECTS_MAX 256u      /* connections to other instances and backends that are being made */
#define RC_IO_CONNECT_FIRST_MAX 64u  /* bytes that a caller may leave with one, for when it is made */
#define RC_IO_INBOX_MAX 64u          /* connections of other workers that a pass takes: 3 us each */
#define RC_IO_FULL_RESERVE 64u       /* table slots kept for 503 answers: a full table ends the multishot accept */

/* How a connection is read. QUIET costs 255 bytes of kernel memory, TALKING 760 but one request per many messages. */
enum rc_io_mode {
    RC_IO_HANDSHAKE,     /* HTTP */
    RC_IO_TLS_HANDSHAKE, /* before it; nothing can be sent yet */
    RC_IO_QUIET,
    RC_IO_TALKING,
    RC_IO_GIVING, /* not any more: it leaves as soon as nothing is in flight */
    RC_IO_GIVEN,  /* nothing is in flight; handlers.given was told */
    RC_IO_LEFT,   /* another process has it */
    RC_IO_ASKED,  /* maybe it has: a predecessor was killed in that moment, and it is asked */
};

/* Each is set exactly while a request of that kind is in flight for the connection. */
enum rc_io_inflight {
    RC_INFLIGHT_RECEIVE = 1u << 0, /* multishot or one-shot receive */
    RC_INFLIGHT_POLL = 1u << 1,    /* POLLIN of a quiet connection */
    RC_INFLIGHT_POLLOUT = 1u << 2, /* waiting for room in the socket */
    RC_INFLIGHT_CANCEL = 1u << 3,
    RC_INFLIGHT_CLOSE = 1u << 4,
    RC_INFLIGHT_PEERNAME = 1u << 5,
    RC_INFLIGHT_TLS = 1u << 6,     /* a record is leaving */
    RC_INFLIGHT_COMMAND = 1u << 7, /* a descriptor is being made of it, or its writing end is shut */
};

/* What a piece of a send is, so that a short send can be put right. */
enum rc_piece_kind {
    RC_PIECE_CUT,
    RC_PIECE_REPLIES,
    RC_PIECE_LOG,
    RC_PIECE_LATEST, /* of a log, by somebody who gets the latest only */
    RC_PIECE_DIRECT,
    RC_PIECE_CLOSE,
    RC_PIECE_ANSWER, /* of a socket without a client */
};

struct rc_piece {
    const uint8_t *bytes; /* borrowed until the batch is flushed */
    uint32_t count;
    uint32_t source;   /* subscription of RC_PIECE_LOG and RC_PIECE_LATEST, else 0 */
    uint64_t position; /* log position of the first byte */
    uint8_t kind;      /* enum rc_piece_kind */
};

struct rc_packet {
    uint64_t before; /* bytes that its socket had sent when it was begun */
    uint32_t socket;
    uint32_t generation;
    uint32_t bytes;
    uint32_t bytes_max; /* unless a single frame is larger: RC_IO_SEND_BYTES_MAX, of TLS one record */
    uint32_t first;     /* of its pieces in the batch */
    uint32_t count;
    uint32_t sent; /* TLS: what was encrypted of it; else `bytes`, or with `settled` what left */
    int error;     /* TLS: why nothing was */
    uint32_t
        entry; /* its number in the submission queue: the kernel has carried it out when the queue's head is beyond it */
    uint8_t
        open; /* it has begun, and is not committed: what was moved on for its pieces is put back should this process die */
    uint8_t settled; /* it was short, and `sent` says how much of it left */
};

/* An accept that brings one connection and its address. */
struct rc_io_accept {
    struct sockaddr_in6 name; /* the kernel writes here while `armed`; room for IPv4, too */
    socklen_t name_bytes;
    bool armed;
};

/* A socket on its way into the direct table. */
struct rc_io_place {
    int fd;                  /* owned: -1 = free */
    int slot;                /* the kernel takes the descriptor here, and leaves the slot if it chooses that */
    uint32_t chosen;         /* else that is this one */
    int error;               /* negative errno: why it has no socket; 0: it has one */
    uint64_t token;          /* of rc_io_place, or RC_IO_PLACE_ARRIVED */
    struct rc_handover from; /* whose it is */
    uint8_t *bytes;          /* borrowed: `from.bytes` that were received before; NULL when there are none */
};
#define RC_IO_PLACE_ARRIVED UINT64_MAX /* another worker's, out of the inbox */

/* A connection that is being made. */
struct rc_io_connect {
    int fd;                       /* owned; -1 = free */
    uint16_t next_free;           /* free: the next one */
    uint16_t first_bytes;         /* in `first` */
    socklen_t name_bytes;         /* of `name` */
    struct sockaddr_storage name; /* the kernel reads it, and `deadline`, while it is made */
    struct __kernel_timespec deadline;
    uint64_t token; /* of rc_io_connect */
    uint8_t first[RC_IO_CONNECT_FIRST_MAX];
};

struct rc_io_handlers {
    void *context; /* borrowed */
    /* A new connection came through control->listeners[listener]; false refuses it (closed at once). */
    bool (*accepted)(void *context, uint32_t socket, uint32_t listener);
    /* Bytes, in a shared buffer that is recycled after the call. May be modified in place. */
    void (*received)(void *context, uint32_t socket, uint8_t *bytes, uint32_t count);
    /* The same for what stands before the connection proper, TLS included, with server.proxy_protocol: how many of the
     * bytes were of it; *done: what follows is the connection's own. Negative: it must end. */
    int (*preface)(void *context, uint32_t socket, const uint8_t *bytes, uint32_t count, bool *done);
    /* End of file (error 0) or a receive error (negative errno). */
    void (*ended)(void *context, uint32_t socket, int error);
    void (*writable)(void *context, uint32_t socket);
    /* `packet` left with only `sent` bytes (error 0) or failed (negative errno, -EAGAIN excluded: that is sent = 0). */
    void (*short_send)(void *context, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent,
                       int error);
    void (*timer)(void *context, uint32_t socket);
    /* A peer speaks plain HTTP on a TLS listener; the connection is a plain one now, to tell it so. */
    void (*plain_on_tls)(void *context, uint32_t socket);
    /* rc_io_give: nothing of the socket is in flight any more, `fd` is it, too, for the time of the call; negative: there is no such
     * descriptor to be had now. It is to be terminated, kept (rc_io_keep), or given once more later. */
    void (*given)(void *context, uint32_t socket, int fd);
    /* The place's socket has begun; RC_SOCKET_NONE: there was no room for it, and it is closed. It is read when this returns. */
    void (*placed)(void *context, const struct rc_io_place *place, uint32_t socket);
    /* Of one that came from another worker: the place has no other owner any more, and what it brought may be handled. */
    void (*taken)(void *context, const struct rc_io_place *place, uint32_t socket);
    /* A message of another worker's without a connection (RC_HANDOVER_WORD); `bytes` for the time of the call. */
    void (*word)(void *context, const struct rc_handover *from, const uint8_t *bytes);
    /* A connection was made, and `fd` is the handler's; or not: -1, and `error` is a negative errno (-ECANCELED: not in time). */
    void (*connected)(void *context, const struct rc_io_connect *connect, int fd, int error);
    /* The socket terminates: give back everything that it owns. Nothing is called for it afterwards. */
    void (*terminated)(void *context, uint32_t socket);
    void (*doorbell)(void *context);
    void (*parent_gone)(void *context);
};

struct rc_io {
    struct io_uring ring;
    struct rc_truth *truth;     /* borrowed */
    struct rc_metrics *metrics; /* borrowed */
    struct rc_io_handlers handlers;
    struct rc_wheel wheel;
    struct rc_kept kept;
    uint64_t boot_ms;
    uint64_t now_ns;
    uint32_t now_ds;     /* tenths of a second since boot_ms, + 1 so that it is never 0 */
    uint32_t open_count; /* sockets not free */
    uint32_t slots_max;  /* beyond it connections are answered 503 */
    bool input_left;     /* a socket had more than its buffer took */
    bool parking;        /* between rc_io_park and rc_io_go_on */

    struct rc_io_memory *memory;       /* owned mapping */
    struct io_uring_buf_ring *buffers; /* owned: nobody reads it when this process is dead */
    uint8_t *buffer_memory;
    uint32_t buffer_count; /* power of two */
    uint8_t
        peername_bytes[RC_LISTENERS_MAX]; /* of the listener's kind of address; 0 = has none, or `accepts` bring it */
    struct sockaddr_in6 *peernames;       /* owned, RC_IO_PEERNAMES_MAX: where the kernel writes; room for IPv4, too */
    uint16_t *peernames_free;             /* owned: a stack of entries that no request writes to */
    uint32_t peernames_free_count;

    int listen_fds[RC_LISTENERS_MAX];
    uint32_t listener_count;
    /* Owned: RC_IO_ACCEPTS_MAX of each listener. NULL where the ring tells a direct descriptor's peer (Linux 6.7): one multishot
     * accept per listener is enough then. */
    struct rc_io_accept *accepts;
    uint32_t accepts_count;              /* of `accepts`, those armed */
    uint32_t accepted[RC_LISTENERS_MAX]; /* in this pass of the loop */
    uint32_t accepts_armed;              /* bit per listener: exactly while an accept of it is in flight */
    uint32_t accepts_admin;              /* bit per listener: accepted from also under pressure */
    bool accepts_paused;
    uint32_t accept_retry_ds;   /* when accepts that failed are tried again; 0 = none did */
    uint32_t accept_backoff_ds; /* how long the next failure waits */
    uint32_t accept_again_ds;   /* when accepts are made anew, see rc_io_renew_accepts; 0 = not any more */
    uint32_t accept_again_in_ds;
    /* Owned: a stack of slots that nobody has, where connections are accepted by arrive.c. NULL: the kernel chooses slots. */
    uint32_t *slots_free;
    uint32_t slots_free_count;
    uint32_t arrivals_count; /* of the truth's: those under way */
    uint32_t arrivals_left;  /* bit per listener: somebody may wait there */
    /* rc_io_pace_accepts(): a window of RC_IO_PACE_NS, and how many it has had. */
    bool accepts_paced;
    bool pace_waits; /* somebody is left to the next window */
    uint32_t pace_taken;
    uint64_t pace_from_ns;
    uint64_t pace_wanted_ns; /* when more wanted to come than may in a window, and since when they do */
    uint64_t pace_burst_ns;
    int bell_fd;
    int life_fd;
    struct rc_steer_worker *steer; /* borrowed: this worker's entry of the mapped steering array, NULL = none */

    int inbox_fd; /* -1 = none */
    uint32_t worker_count;
    struct rc_io_place *places; /* owned, RC_IO_PLACES_MAX */
    uint32_t places_used;
    uint32_t places_next;           /* where the search for a free one begins */
    uint8_t *inbox_message;         /* owned: the first of the inbox */
    bool inbox_left;                /* there may be more */
    uint32_t inbox_again_ds;        /* its first cannot be taken now, but then; 0 = it can */
    uint32_t inbox_give_up_ds;      /* and is given up then; 0 = what was looked at last could be taken */
    bool inbox_placing;             /* its connection is on its way into the table */
    struct rc_io_connect *connects; /* owned, RC_IO_CONNECTS_MAX */
    uint32_t connects_used;
    uint32_t connects_fresh; /* from here on none was ever used */
    uint16_t connects_free;  /* the first of those that were; RC_IO_CONNECTS_MAX = none */
    /* Owned: before Linux 6.8 no descriptor can be made of a direct one, so that those of sockets that were placed stay open beside them,
     * by socket, -1 = none. NULL where it can. */
    int *kept_fds;

    struct rc_tls *tls;             /* owned; NULL when no listener has TLS */
    struct rc_io_tls **tls_sockets; /* owned: per socket, NULL for plain ones; NULL when no listener has TLS */
    uint32_t sealed; /* socket of the packet that was sealed last, and 1: its client may not be said to be served yet */
    uint8_t *tls_plain; /* owned: one record of plaintext */
    uint32_t tls_count;
    bool tls_listener[RC_LISTENERS_MAX];
    bool preface_listener[RC_LISTENERS_MAX]; /* connections begin with what handlers.preface reads */

    /* The send batch of the current round. Packets and pieces lie in `memory`, which tells a successor what became of them (memory.h). */
    struct rc_packet *packets; /* RC_IO_BATCH_MAX */
    struct rc_piece *pieces;   /* RC_IO_BATCH_MAX x RC_IO_PIECES_MAX */
    struct iovec *vectors;     /* owned, parallel to pieces */
    struct msghdr *headers;    /* owned, one per packet */
    uint8_t *staging;          /* owned: RC_IO_STAGING_BYTES per packet */
    uint32_t packet_count;
    uint32_t piece_count;
};

struct rc_io_options {
    const struct rc_spawn_args *args;
    const struct rc_control *control;
    uint32_t slots_max;
    uint32_t direct_descriptors;
    uint64_t receive_buffers_bytes;
    const struct rc_config *config; /* for tls */
    bool adopting;                  /* nothing is read or accepted before rc_io_go_on: rc_io_adopt comes first */
    struct rc_process
        *process; /* where a vault is offered, and where the acceptor says that it has it; NULL: none is made */
    const struct rc_life *life;
};

/* Sets the ring up and arms accepts, doorbell and life line. -errno with the remedy in `err`. */
int rc_io_open(struct rc_io *io, struct rc_truth *truth, struct rc_metrics *metrics,
               const struct rc_io_handlers *handlers, const struct rc_io_options *options, struct rc_err *err);
void rc_io_close(struct rc_io *io);

/* Submits, waits up to `wait_ms` for one completion (0 = does not wait), then handles what is there, at most
 * RC_IO_COLLECT_MAX completions and hardly longer than RC_IO_COLLECT_NS. Updates now_ns and now_ds. */
void rc_io_run(struct rc_io *io, uint32_t wait_ms);

/* Fires the timers that are due, at most RC_IO_TIMERS_MAX; rc_io_sleep_ms is 0 while more are. */
void rc_io_timers(struct rc_io *io);
/* How long the loop may sleep until then, at most `most_ms`. */
uint32_t rc_io_sleep_ms(const struct rc_io *io, uint32_t most_ms);

/* Stops accepting, admin listeners excepted, until called again with false: who comes waits in the listeners' queues. */
void rc_io_pause_accept(struct rc_io *io, bool paused);
/* Whether newcomers are accepted a few at a time, RC_IO_PACE_MAX in RC_IO_PACE_NS, since there are others whom this worker is to serve
 * meanwhile. Accepts that stand (no IORING_ACCEPT_DONTWAIT) are not paced. */
void rc_io_pace_accepts(struct rc_io *io, bool paced);
/* The listener's queue that is fullest for its size: connections that wait in it, or did until this pass of the loop (io/accept.c says why), and
 * its room. 0 of 0: none can be asked. */
void rc_io_accept_queue(const struct rc_io *io, uint32_t *queued, uint32_t *backlog);
/* Tells the steering program whether others are to be preferred. */
void rc_io_set_busy(struct rc_io *io, bool busy);

/*
 * Begins to stand still (park.c): nothing is read or accepted any more, sockets that were made here excepted. Goes on with rc_io_run as
 * always until rc_io_parked: then what arrives stays in the sockets for as long as this process does not call rc_io_run, and the truth
 * says all of the connections; in flight are polls at most.
 */
void rc_io_park(struct rc_io *io);
/* Nobody waits for answers of those that were made here any more: they end, too. */
void rc_io_park_own(struct rc_io *io);
bool rc_io_parked(const struct rc_io *io);
/* Reads and accepts again, whether it stood still already or not; or begins to, behind rc_io_adopt. */
void rc_io_go_on(struct rc_io *io);

/*
 * The sockets of the truth that a parked predecessor has written, out of the vault; how many. What is not there (TLS, or server.keep says
 * so), or was in the middle of a request's body, ends: handlers.terminated, and is added to *lost. The rooms above are rebuilt already.
 */
uint32_t rc_io_adopt(struct rc_io *io, uint32_t *lost);
/* debug.adopt_verify: is what has been sent and received on each adopted connection what its kernel says? What differs is logged and counted: how many. Before
 * rc_io_go_on: nothing more is received then. *looked: connections of TCP that could be asked. */
uint32_t rc_io_verify(struct rc_io *io, uint32_t *looked);
/* The request of a predecessor's that was begun on the socket is what lies in its input, from the first byte on. A part of rc_io_adopt. */
void rc_io_begin_anew(const struct rc_truth *truth, struct rc_socket *socket);

/* Arms reading as the connection's mode wants, unless paused or already armed. */
void rc_io_read(struct rc_io *io, uint32_t socket);
/* Stops / resumes reading. Bytes that were already received still come up after a pause. */
void rc_io_pause(struct rc_io *io, uint32_t socket);
void rc_io_resume(struct rc_io *io, uint32_t socket);
/* Asks for handlers.writable once the socket has room. */
void rc_io_want_writable(struct rc_io *io, uint32_t socket);
/* (Re)sets the connection's one timer, in tenths of a second on the clock of now_ds; 0 clears it. */
void rc_io_set_timer(struct rc_io *io, uint32_t socket, uint32_t deadline_ds);
/* It ends at `deadline_ds` at the latest. */
void rc_io_hasten_timer(struct rc_io *io, uint32_t socket, uint32_t deadline_ds);
/* The handshake is over: the connection is quiet until it talks. */
void rc_io_opened(struct rc_io *io, uint32_t socket);
/* Called now and then (timer): a connection that talked and fell silent goes back to the cheaper way of being read. */
void rc_io_quiet_check(struct rc_io *io, uint32_t socket);
/* Can the socket leave for another process? Before Linux 6.8 only one that came so. */
bool rc_io_can_give(const struct rc_io *io, uint32_t socket);
/* Stops reading (what is received until then still comes up) and makes a descriptor of it: handlers.given, maybe in this call. */
void rc_io_give(struct rc_io *io, uint32_t socket);
/* Another process has it, and what was TLS of it: its end here is not the connection's. */
void rc_io_left(struct rc_io *io, uint32_t socket);
/* Says so before it is sent, in case this process dies of that; RC_IO_GIVEN again when it was not. Meanwhile nobody seals with its keys. */
void rc_io_leaves(struct rc_io *io, uint32_t socket, bool leaves);
/* It stays after all: it is read as an HTTP connection again. */
void rc_io_keep(struct rc_io *io, uint32_t socket);
/* Puts a stream socket into the direct table: handlers.placed. 0, and `fd` is io's; -EAGAIN: too many are on their way. */
int rc_io_place(struct rc_io *io, int fd, const struct rc_handover *from, uint64_t token);
static inline bool rc_io_can_place(const struct rc_io *io)
{
    return io->places_used < RC_IO_PLACES_MAX;
}
/* Begins to connect a stream socket to `name`, within `in_ms`: handlers.connected, with what is `first`. 0; -EAGAIN: too many are being
 * made; another error of socket(2). */
int rc_io_connect(struct rc_io *io, const struct sockaddr *name, socklen_t name_bytes, uint32_t in_ms, uint64_t token,
                  const uint8_t *first, uint32_t first_bytes);
/* A socket that was placed just now (handlers.placed) speaks TLS, and its peer is to be `host` (rc_tls_connect). -ENOMEM. Until the
 * handshake is over (mode) nothing of what it is to send has left. */
int rc_io_tls_connect(struct rc_io *io, uint32_t socket, SSL_CTX *context, const char *host);
/* Shuts the writing end, once: the peer reads an end of file behind what was sent. */
void rc_io_shut(struct rc_io *io, uint32_t socket);
/* Begins the end: terminate -> join -> close. */
void rc_io_terminate(struct rc_io *io, uint32_t socket);

/* TLS: is it one; a record is still leaving or the handshake is not over, so nothing can be sent now (handlers.writable comes to
 * who is RC_SOCKET_BLOCKED); whom the verified client certificate names; certificates are loaded again. */
bool rc_io_is_tls(const struct rc_io *io, uint32_t socket);
bool rc_io_busy(const struct rc_io *io, uint32_t socket);
size_t rc_io_tls_identity(const struct rc_io *io, uint32_t socket, char *text, size_t capacity);
/* tls_goes.c: can what is TLS of it go to another process, as bytes (with plain sockets: there is nothing)? Not OpenSSL's own: TLS 1.2, a handshake. */
bool rc_io_tls_may_go(const struct rc_io *io, uint32_t socket);
/* Into `out`: how many; UINT32_MAX: it is too much. Of one that is not busy, and goes. Whoever has the bytes wipes them. */
uint32_t rc_io_tls_goes(struct rc_io *io, uint32_t socket, uint8_t *out, uint32_t room);
/* Of a socket that has just been placed. -EBADMSG: it is no such connection; -ENOMEM. */
int rc_io_tls_came(struct rc_io *io, uint32_t socket, struct rc_span bytes);
void rc_io_tls_reload(struct rc_io *io, const struct rc_control *control, const struct rc_config *config);

/* Sending. A packet is begun, gets pieces, and is committed; a full batch is flushed by the caller between packets. */
static inline bool rc_io_batch_full(const struct rc_io *io)
{
    return io->packet_count == RC_IO_BATCH_MAX;
}
struct rc_packet *rc_io_packet_begin(struct rc_io *io, uint32_t socket);
static inline bool rc_io_packet_full(const struct rc_packet *packet)
{
    return packet->count == RC_IO_PIECES_MAX || packet->bytes >= packet->bytes_max;
}
void rc_io_packet_add(struct rc_io *io, struct rc_packet *packet, enum rc_piece_kind kind, const uint8_t *bytes,
                      uint32_t count, uint32_t source, uint64_t position);
/* Queues the send. An empty packet is forgotten. */
void rc_io_packet_commit(struct rc_io *io, struct rc_packet *packet);
/* Submits the batch, puts short sends right, then handles what else has completed. */
void rc_io_flush(struct rc_io *io);

/* Milliseconds from now to tenths of a second on the wheel's clock, rounded up. */
static inline uint32_t rc_io_deadline(const struct rc_io *io, uint64_t in_ms)
{
    const uint64_t ds = (in_ms + RC_WHEEL_TICK_MS - 1) / RC_WHEEL_TICK_MS;
    return io->now_ds + (uint32_t)(ds < UINT32_MAX / 2 ? ds : UINT32_MAX / 2);
}

#endif
