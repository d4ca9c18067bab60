/*
 * tls_left: TLS connections on their way to a successor.
 *
 *   the predecessor, when it stands still: rc_io_tls_leave ─▶ truth->layout->tls_left: a list of heap blocks
 *                                                                 │  it goes on itself: rc_io_tls_stay
 *                                                                 ▼
 *   the successor, once the sockets are its own:               rc_io_tls_take
 *
 * A block has the connection's keys and what of records is half in or half out. Only those that are settled (worker/io/tls.h) can go: before a
 * worker stands still rc_io_tls_hinders says whether there are others. Keys are there while nobody serves the connections, and no longer; the heap
 * is in no core dump (common/shm/segment.h).
 */
#ifndef RC_WORKER_IO_TLS_LEFT_H
#define RC_WORKER_IO_TLS_LEFT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/io/io.h"

/* A socket from `from` on whose TLS is OpenSSL's (TLS 1.2, a handshake); RC_SOCKET_NONE: there is none. */
uint32_t rc_io_tls_hinders(const struct rc_io *io, uint32_t from);
/* -ENOMEM: the heap has no room, and nothing is left there. */
int rc_io_tls_leave(struct rc_io *io);
void rc_io_tls_stay(struct rc_io *io);
/* Sockets of TLS listeners that nothing was left of have no TLS afterwards: rc_io_tls_lacks. */
void rc_io_tls_take(struct rc_io *io);
bool rc_io_tls_lacks(const struct rc_io *io, uint32_t socket);

#endif
