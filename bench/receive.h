/*
 * receive: what comes in on a client connection: the upgrade's answer, frames cut anywhere, control frames, messages.
 *
 * Part of client.h's process: everything here is called from its loop, and calls the scenario. A call may close the
 * connection (its generation then changes).
 */
#ifndef RC_BENCH_RECEIVE_H
#define RC_BENCH_RECEIVE_H

#include "bench/client.h"

/* Takes `count` bytes of a connection's stream. */
void rc_bench_receive(struct rc_bench_client *client, uint32_t slot, uint8_t *bytes, uint32_t count, uint64_t now_ns);

/* A connection has no (more) steps to wait for. */
void rc_bench_receive_joined(struct rc_bench_client *client, uint32_t slot);

/* Gives back what a connection has borrowed for a cut frame. */
void rc_bench_receive_forget(struct rc_bench_client *client, uint32_t slot);

/* --- what receive needs of client.c ---------------------------------------------------------------------------------- */

/* Arms a receive (or poll) unless there is one. */
void rc_bench_client_arm(struct rc_bench_client *client, uint32_t slot);

/* The connection has ended or failed by no wish of ours: counted and closed. */
void rc_bench_client_ended(struct rc_bench_client *client, uint32_t slot);

void rc_bench_client_send_frame(struct rc_bench_client *client, uint32_t slot, uint8_t opcode, struct rc_span text);

#endif
