/*
 * tls: the client's end of TLS (wss://), between a connection's bytes and its messages.
 *
 * One context per client process, one SSL object per open connection, fed and emptied through memory: the ring reads and writes
 * the sockets. Certificates are not verified: servers under test have made their own. What fails ends the connection, with a note.
 */
#ifndef RC_BENCH_TLS_H
#define RC_BENCH_TLS_H

#include "bench/client.h"

/* What so many bytes may become at most when they are sent. */
#define RC_BENCH_TLS_ROOM(bytes) ((bytes) + ((bytes) / 16384u + 1u) * 64u)

/* Makes what the process needs when one of its targets is wss://. 0 or -ENOMEM. */
int rc_bench_tls_start(struct rc_bench_client *client);

/* Begins the handshake of a connection that has just been made; its first bytes are sent. */
void rc_bench_tls_open(struct rc_bench_client *client, uint32_t slot);

/* True for connections whose bytes are TLS's. */
bool rc_bench_tls_on(const struct rc_bench_client *client, uint32_t slot);

/* Takes received bytes: goes on with the handshake, after which the upgrade is sent, or hands on what they hold. */
void rc_bench_tls_receive(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count,
                          uint64_t now_ns);

/* Turns the `count` bytes at `bytes` into what is sent, in the same place (RC_BENCH_TLS_ROOM). Returns its size; 0: it failed, and
 * the connection has ended. */
uint32_t rc_bench_tls_seal(struct rc_bench_client *client, uint32_t slot, uint8_t *bytes, uint32_t count);

void rc_bench_tls_forget(struct rc_bench_client *client, uint32_t slot);

#endif
