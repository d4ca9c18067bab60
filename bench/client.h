/*
 * client: one load process. One ring, one thread, up to about 19,900 connections on direct descriptors.
 *
 * The process owns everything here; scenarios are called back from its loop and may open, close and send. Connections are
 * named by slot, which is also the direct descriptor. Memory per connection is one rc_bench_conn and what the scenario
 * keeps; cut frames and unsent bytes borrow from pools while there are any. Nothing fails quietly: what goes wrong on a
 * connection is counted, the first text is kept.
 */
#ifndef RC_BENCH_CLIENT_H
#define RC_BENCH_CLIENT_H

#include "bench/delta.h"
#include "bench/inflate.h"
#include "bench/plan.h"

#include "common/base/span.h"

#include <liburing.h>

/* Direct descriptors of a ring are bounded by RLIMIT_NOFILE, which is often 20,000; some room for the process's own. */
#define RC_BENCH_SLOTS_MAX 19900u

/*
 *  FREE ──open──▶ CONNECTING ──▶ UPGRADING ──▶ JOINING ──▶ READY
 *    ▲                 └────────────┴─────────────┴──────────┤ close, error or the server's end
 *    └──────────────────────── CLOSING ◀─────────────────────┘
 */
enum rc_bench_conn_state {
    RC_BENCH_CONN_FREE,
    RC_BENCH_CONN_CONNECTING,
    RC_BENCH_CONN_UPGRADING,
    RC_BENCH_CONN_JOINING,
    RC_BENCH_CONN_READY,
    RC_BENCH_CONN_CLOSING,
};

struct rc_bench_conn {
    uint64_t started_ns; /* of connecting */
    uint32_t number;     /* among all of its role: subscriber number or publisher number */
    uint32_t channel;    /* first channel of a subscriber */
    uint32_t carry;      /* index + 1 of a cut frame or message, 0: none */
    uint32_t outbox;     /* index + 1 of unsent bytes, 0: none (always there for publishers) */
    uint32_t sequence;   /* the scenario's */
    uint16_t generation; /* of the slot's use: completions of earlier uses are told by it */
    uint16_t step;
    uint8_t role;   /* enum rc_bench_role */
    uint8_t state;  /* enum rc_bench_conn_state */
    uint8_t armed;  /* operation in the ring that must be cancelled before closing: connect, receive, poll; 0: none */
    bool paused;    /* the scenario does not want to read now */
    bool once;      /* paused, except for one receive */
    bool posting;   /* polling: the request that waits is a POST */
    bool last_poll; /* an opener's: no other request follows the one that waits */
};
_Static_assert(sizeof(struct rc_bench_conn) <= 40, "with 12 bytes per stream far below 100 bytes a connection");

struct rc_bench_carry {
    uint8_t *bytes; /* owned: the beginning of a frame or of the upgrade's answer */
    uint32_t count;
    uint32_t room;
    uint8_t *message; /* owned: fragments so far */
    uint32_t message_count;
    uint32_t message_room;
    uint32_t next_free;
    bool compressed; /* the message is */
    bool fragmented; /* true exactly between a first and a last fragment */
};

struct rc_bench_outbox {
    uint8_t *bytes; /* owned */
    uint32_t room;
    uint32_t head; /* [head, tail) is unsent */
    uint32_t tail;
    uint32_t slot;
    bool sending; /* true exactly while a send or a poll for room is in the ring */
    bool dirty;   /* true exactly while listed in client.dirty */
};

struct rc_bench_client {
    struct io_uring ring;
    const struct rc_bench_plan *plan; /* borrowed */
    const struct rc_bench_protocol *protocol;
    const struct rc_bench_scenario *scenario;
    struct rc_bench_shared *shared;
    struct rc_bench_tally *tally;
    void *state; /* the scenario's, owned by it */
    uint32_t process;
    enum rc_bench_role role; /* of connections that are not publishers */
    uint64_t completed_seen; /* shared->completed when the scenario's turn last acted on it */
    int wake;                /* eventfd, written by the coordinator and other processes */

    struct rc_bench_conn *conns; /* [slots] */
    uint32_t
        slots; /* what the plan has of this process; behind them are the openers of the subscribers, if there are any */
    uint32_t descriptors; /* with these */
    uint32_t subscribers; /* slots [0, subscribers) receive, the rest publish */
    uint32_t held_back;   /* the last so many of the subscribers are opened by the scenario, not the loop */
    uint32_t next_open;   /* slots below have been opened by the loop */
    uint32_t opening;     /* between open and ready (or failed) */

    struct io_uring_buf_ring *buffers;
    uint8_t *buffer_memory;
    uint32_t buffer_count;
    uint32_t buffer_bytes;

    uint8_t *arena; /* sends of this submit: the kernel has copied them when submit returns */
    uint32_t arena_bytes;
    uint32_t arena_used;
    struct io_uring_sqe *last_send; /* not submitted yet, or NULL: the next message on its slot joins it */
    const uint8_t *last_send_end;
    uint32_t last_send_slot;

    struct ssl_ctx_st *tls_context; /* owned; NULL where no target has TLS, as are the next two */
    struct ssl_st **tls;            /* [slots], owned: NULL where the connection has none */
    uint8_t *tls_plain;             /* one record */

    struct rc_bench_polling *polling; /* owned; NULL where nobody polls */

    struct rc_bench_inflate inflate;
    struct rc_bench_delta delta;
    struct rc_bench_carry *carries;
    uint32_t carry_count;
    uint32_t carry_free; /* index + 1 */
    struct rc_bench_outbox *outboxes;
    uint32_t outbox_count;
    uint32_t outbox_room;
    uint32_t *dirty; /* outboxes with something new, [outbox_count] */
    uint32_t dirty_count;
    uint32_t mask_seed;
};

/* Runs process `process` until the coordinator says stop; returns its exit code. `wake` is its eventfd. */
int rc_bench_client_run(const struct rc_bench_plan *plan, struct rc_bench_shared *shared, uint32_t process, int wake);

/* For scenarios. Slots must be FREE to be opened. */
void rc_bench_client_open(struct rc_bench_client *client, uint32_t slot);

/* Ends a connection from our side (RST). The scenario's `closed` is called once the slot is FREE again. */
void rc_bench_client_close(struct rc_bench_client *client, uint32_t slot);

/* Stops or resumes reading a connection. */
void rc_bench_client_pause(struct rc_bench_client *client, uint32_t slot, bool paused);

/* Lets a paused connection read once, up to one buffer. */
void rc_bench_client_read_once(struct rc_bench_client *client, uint32_t slot);

/* Sends one message (framed as the protocol does) now. Small ones only: a server that does not take it at once fails the
 * connection. Not for publishers. */
void rc_bench_client_send(struct rc_bench_client *client, uint32_t slot, struct rc_span text);

/* Publishes on a publisher's connection: room for `bytes` (frame included) or NULL while the server does not read. What
 * was written is sent at the end of the turn, together. */
uint8_t *rc_bench_client_outbox(struct rc_bench_client *client, uint32_t slot, uint32_t bytes);
void rc_bench_client_commit(struct rc_bench_client *client, uint32_t slot, uint32_t bytes);

/* A mask key as the options want it. */
uint32_t rc_bench_client_mask_key(struct rc_bench_client *client);

/* Keeps the first error text of this process. */
void rc_bench_client_note(struct rc_bench_client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "prefix" + number, at most RC_BENCH_NAME_MAX with the terminator. */
void rc_bench_client_channel_name(const struct rc_bench_client *client, uint32_t channel, char *name);

#endif
