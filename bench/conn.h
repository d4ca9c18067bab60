/*
 * conn: connections of a client process: opening, arming, sending, closing.
 *
 * Internal to client.c, conn.c and receive.c; what scenarios may call is in client.h. Same process, same rules.
 */
#ifndef RC_BENCH_CONN_H
#define RC_BENCH_CONN_H

#include "bench/client.h"

/* Completion = operation, generation of the slot's use, slot (or outbox). */
enum rc_bench_op {
    RC_BENCH_OP_CONNECT = 1,
    RC_BENCH_OP_RECEIVE,
    RC_BENCH_OP_POLL,
    RC_BENCH_OP_SEND,
    RC_BENCH_OP_OUTBOX,
    RC_BENCH_OP_ROOM,
    RC_BENCH_OP_CLOSE,
    RC_BENCH_OP_CANCEL,
    RC_BENCH_OP_WAKE,
};

uint64_t rc_bench_conn_data(enum rc_bench_op op, uint16_t generation, uint32_t index);

/* An empty entry of the submission queue, which is submitted first when it is full. */
struct io_uring_sqe *rc_bench_conn_sqe(struct rc_bench_client *client, enum rc_bench_op op, uint16_t generation,
                                       uint32_t index);

/* Submits all; what was sent from the arena is the kernel's then. */
void rc_bench_conn_submit(struct rc_bench_client *client);

/* Completions of a connection, for the loop. */
void rc_bench_conn_connected(struct rc_bench_client *client, uint32_t slot, int result);
void rc_bench_conn_closed(struct rc_bench_client *client, uint32_t slot);
void rc_bench_conn_outbox_sent(struct rc_bench_client *client, uint32_t slot, int result);
void rc_bench_conn_outbox_send(struct rc_bench_client *client, uint32_t index);

/* The connection can be talked over: sends the upgrade, or begins to join where there is none. */
void rc_bench_conn_begin(struct rc_bench_client *client, uint32_t slot);

/* Dials the WebSocket of a subscriber whose opener has begun the session. */
void rc_bench_conn_upgrade(struct rc_bench_client *client, uint32_t slot);

/* The host that requests of this connection name. */
const char *rc_bench_conn_host(const struct rc_bench_client *client, uint32_t slot);

/* Sends bytes as they are, without a frame. */
void rc_bench_conn_send_plain(struct rc_bench_client *client, uint32_t slot, struct rc_span bytes);

/* Sends bytes that are TLS's already (or of a connection without). */
void rc_bench_conn_send_sealed(struct rc_bench_client *client, uint32_t slot, struct rc_span bytes);

/* Sends what publishers have written in this turn. */
void rc_bench_conn_flush(struct rc_bench_client *client);

/* Arms a receive (or poll) unless there is one. */
void rc_bench_conn_arm(struct rc_bench_client *client, uint32_t slot);

/* The connection has ended or failed by no wish of ours: counted and closed. */
void rc_bench_conn_ended(struct rc_bench_client *client, uint32_t slot);

void rc_bench_conn_send_frame(struct rc_bench_client *client, uint32_t slot, uint8_t opcode, struct rc_span text);

#endif
