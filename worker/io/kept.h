/*
 * kept: which of a worker's sockets its vault has, too (common/base/vault.h), and how they come in and out of it.
 *
 *   put    at the accept, or at the upgrade (server.keep): one request of the worker's ring, without a completion
 *   take   at the close: requests of the vault's queue, all of a pass in one submit, before the worker's own closes are submitted. So
 *          whatever the vault has is a connection that this worker has, or had when it died; and the last close is the worker's own
 *          one, as without a vault.
 *   sweep  free slots are emptied, some each second: what is found there would be a connection that nobody ends
 *   late   a process that was started without a vault, since memory or descriptors were short, makes one when there is enough, and offers it to
 *          the acceptor, which has to have it too (acceptor/start/vaults.h). Then all its sockets are put.
 *
 * Part of struct rc_io; where there is no vault nothing is put and all else does nothing. An index costs one bit.
 */
#ifndef RC_WORKER_IO_KEPT_H
#define RC_WORKER_IO_KEPT_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/vault.h"
#include "common/config/values.h"

struct rc_io;
struct rc_control;
struct rc_io_options;
struct rc_life;
struct rc_process;

struct rc_kept {
    struct io_uring vault;
    enum rc_keep from; /* RC_KEEP_NONE: there is no vault */
    uint8_t *bits;     /* owned: a bit for each socket: it was put, and not taken */
    uint32_t slots;
    uint32_t count;    /* bits that are set */
    uint32_t put_tail; /* of the worker's submission queue, behind the last put */
    uint32_t sweep_next;
    uint64_t sweep_ns;
    /* late */
    enum rc_keep
        wanted; /* what `from` is to be, or is while some are still to be put; RC_KEEP_NONE: it is that, or stays none */
    uint64_t late_ns;           /* when it is tried, or looked at, again */
    bool offered;               /* it is mapped, and the acceptor has not taken it */
    struct rc_process *process; /* borrowed */
    const struct rc_life *life; /* borrowed */
    uint32_t taking_count;
    uint32_t taking[RC_VAULT_ENTRIES]; /* sockets to be taken out, and then closed, by the next flush */
};

/* Without args->vault_fd it begins without. -errno; the descriptor is the room's afterwards, or closed. */
int rc_kept_open(struct rc_io *io, const struct rc_io_options *options);
/* What the vault has stays there. */
void rc_kept_close(struct rc_io *io);

/* A connection begins (`at` RC_KEEP_ALL), or is a WebSocket now: it is put if that is when, and it can outlive this process. */
void rc_kept_put(struct rc_io *io, uint32_t socket, enum rc_keep at);
/* The same of one that is being accepted into the slot by the request before it, and when it was. */
void rc_kept_put_arriving(struct rc_io *io, uint32_t socket);
void rc_kept_arrived(struct rc_io *io, uint32_t socket);
/* The put failed. */
void rc_kept_on_put(struct rc_io *io, uint32_t socket, uint32_t generation, int result);

/* The vault has the socket, too. */
bool rc_kept_has(const struct rc_io *io, uint32_t socket);
/* The socket is to be closed. True: the next flush does that; false: the vault does not have it. */
bool rc_kept_take(struct rc_io *io, uint32_t socket);
void rc_kept_flush(struct rc_io *io);

/* Copies sockets of a predecessor, RC_VAULT_ENTRIES at most, from the vault into this worker's table; there[i]: it is one now. */
void rc_kept_adopt(struct rc_io *io, const uint32_t *sockets, bool *there, uint32_t count);

/* A descriptor of it, which is the caller's, out of the vault; before Linux 6.8, and where the vault does not have it, -errno. */
int rc_kept_fd(struct rc_io *io, uint32_t socket);
/* The vault has nothing there from here on: a slot that nothing is said of. */
void rc_kept_empty(struct rc_io *io, uint32_t socket);

/* Each pass. */
void rc_kept_sweep(struct rc_io *io);

#endif
