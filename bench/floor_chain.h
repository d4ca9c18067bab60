/*
 * floor_chain: bare processes in a row, that do nothing but hand on what they get: what a message's way through so many processes
 * costs at least, where a broker does nothing at all.
 *
 *   in one host       client ─TCP─▶ front ─ring─▶ middle ─ring─▶ front ─TCP─▶ client
 *   between two hosts client ─TCP─▶ front ─ring─▶ relay ─TCP─▶ server ─TCP─▶ relay ─ring─▶ front ─TCP─▶ client
 *                                                   ◀─ answer ─┘
 *
 * A ring is shared memory and an eventfd, as between worker and relay; the server in the middle answers the one and passes on to the
 * other, as Redis does. All wait with epoll, one message costs each a wait, a read and a write. One client connection.
 */
#ifndef RC_BENCH_FLOOR_CHAIN_H
#define RC_BENCH_FLOOR_CHAIN_H

#include <stdbool.h>

/* Makes the other processes, writes a byte to `ready`, accepts the client on `listener`, a blocking listening socket, and never
 * returns. */
__attribute__((noreturn)) void rc_bench_floor_chain(int listener, int ready, bool between_hosts);

#endif
