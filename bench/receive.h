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

/* Enters the connection's step: sends its message, if any; past the last one the connection is ready. */
void rc_bench_receive_join(struct rc_bench_client *client, uint32_t slot);

/* Judges a whole message. */
void rc_bench_receive_message(struct rc_bench_client *client, uint32_t slot, struct rc_span text, uint64_t now_ns);

/* The session of `slot` can move to its WebSocket: nothing is under way to its opener any more. Ends that, and goes on joining. */
void rc_bench_receive_upgraded(struct rc_bench_client *client, uint32_t slot);

/* Gives back what a connection has borrowed for a cut frame. */
void rc_bench_receive_forget(struct rc_bench_client *client, uint32_t slot);

#endif
