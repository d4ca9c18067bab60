/*
 * tls_opening: how far the TLS input of a socket is read, so that the successor of a worker that is killed meanwhile reads on where it was.
 *
 *   begin ─▶ BETWEEN ─ a record is opened ─▶ HANDED: what it says is being handled ─▶ BETWEEN, behind it ─▶ … ─▶ end
 *
 * Of a record that was opened nothing has changed but the number of the next one, which stands here as it was: opened again, it says the same. What
 * became of what it said, once it is HANDED, is known as of input without TLS (worker/store/taking.h, receiving.h): nothing was made of it, and it is
 * opened again; or it stands in the truth, in plain, and the next record is read; or it is not known, and the connection ends. Where more than that number
 * changes (a KeyUpdate, an alert), `changing` says so, and the connection ends, too (tls_left.h).
 *
 * The bytes are what was there of a record when it began (`part`, which stays as it is until the end), and behind them what the completion has brought,
 * or what is left of a process that is dead.
 */
#ifndef RC_WORKER_IO_TLS_OPENING_H
#define RC_WORKER_IO_TLS_OPENING_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/io/tls.h"
#include "worker/store/truth.h"

/* `conn` is settled, and its keys are in the truth. `of_unread`: the block of what is read; 0: it is the completion that is handled now. Of its
 * `from` first bytes nothing is left. False: another one's is read. */
bool rc_io_tls_opening_begin(struct rc_truth *truth, const struct rc_tls *tls, const struct rc_tls_conn *conn,
                             uint32_t index, uint32_t of_unread, uint32_t from);
/* All but what is `left` is opened. `says`: the last one has said something, which is handled now, until rc_io_tls_opening_handled. */
void rc_io_tls_opening_at(struct rc_truth *truth, const struct rc_tls *tls, const struct rc_tls_conn *conn,
                          uint32_t total, bool says);
void rc_io_tls_opening_handled(struct rc_truth *truth);
/* Nothing is known of it any more, or all of it is read. */
void rc_io_tls_opening_end(struct rc_truth *truth);

/* --- of a killed process; each comes to the same when it is done again --- */
/* Whose input was being read, and can be read on; RC_SOCKET_NONE: nobody's. */
uint32_t rc_io_tls_opening_of(const struct rc_truth *truth);
bool rc_io_tls_opening_was_handed(const struct rc_truth *truth);
/* The next record is the one that was being handled, or that behind it (`behind`). */
void rc_io_tls_opening_back(struct rc_truth *truth, bool behind);
/* What was not read, `bytes` of the completion among it (NULL: it is gone, and was kept before), is kept to be read. -ENOMEM. */
int rc_io_tls_opening_keep(struct rc_truth *truth, bool behind, const uint8_t *bytes, uint32_t count);

#endif
