/*
 * tls_left: what of TLS connections lies in the truth, for whichever process comes next (struct rc_truth_tls).
 *
 *   the end of the handshake ─▶ rc_io_tls_left_begin ─▶ a heap block: keys, parts of records, whom the certificate names
 *                                       │  each record: rc_io_tls_changes … rc_io_tls_left_out … rc_io_tls_changes
 *                                       ▼
 *   the successor, once the sockets are its own: rc_io_tls_take
 *
 * A number that a key has sealed a record with is never used again, whenever the worker is killed: while a record is being sealed, and until it
 * lies whole in the truth with the next number and the packet that it is of, `changing` says so, and no successor seals anything with such keys.
 * What is sent is what lies there: before any of a record can leave it is in the truth. What of it has left says the completion, which is handled, or
 * is read out of the dead process's memory (rc_io_unread_tls). How far those are read that come, tls_opening.h says.
 *
 * Keys are in the heap, which is in no core dump (common/shm/segment.h), and nowhere else; they are wiped before the block is given back. A
 * connection that the heap has no room for goes on without, and is its process's alone.
 */
#ifndef RC_WORKER_IO_TLS_LEFT_H
#define RC_WORKER_IO_TLS_LEFT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/io/io.h"

/* A socket from `from` on whose TLS no other process could go on with (TLS 1.2, a handshake, no room); RC_SOCKET_NONE: there is none. */
uint32_t rc_io_tls_hinders(const struct rc_io *io, uint32_t from);

/* --- what a killed process had not looked at --- */
/* Bytes that were received, behind `before` (what there was of such ones, for who does it again). -ENOMEM; -ENOENT: its keys are not there. */
int rc_io_tls_left_unread(struct rc_truth *truth, uint32_t socket, uint32_t before, const uint8_t *bytes,
                          uint32_t count);
uint32_t rc_io_tls_left_unread_bytes(const struct rc_truth *truth, uint32_t socket);

/* Sockets that speak TLS and cannot be gone on with have none afterwards: rc_io_tls_lacks. */
void rc_io_tls_take(struct rc_io *io);
bool rc_io_tls_lacks(const struct rc_io *io, uint32_t socket);
/* What was unread is received. */
void rc_io_tls_read_left(struct rc_io *io, uint32_t socket);

#endif
