/*
 * vault: a passive io_uring whose table of direct descriptors holds a second reference to each socket of a worker, so that the
 * sockets outlive its process.
 *
 *   acceptor  makes it, keeps the descriptor, never touches the ring; closing it ends the sockets that nobody else has
 *   worker    puts a socket into it: SEND_FD, a request of the worker's own ring, under the same slot number
 *             takes it back: close_direct, a request of the vault's queue
 *   successor maps the vault by its descriptor and sends the sockets from there into its own ring
 *
 * A ring without SINGLE_ISSUER and DEFER_TASKRUN: any process that has the descriptor may submit to it, and nobody has to run it. At
 * any time one process does: the worker whose vault it is. SCM_RIGHTS refuses rings; they are passed by inheritance.
 */
#ifndef RC_COMMON_BASE_VAULT_H
#define RC_COMMON_BASE_VAULT_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/* Of both queues: what one flush takes back, or one step of an adoption moves. */
#define RC_VAULT_ENTRIES 1024u

/* Makes a vault of `slots` empty slots; *params is what the kernel said of it, by which it is mapped. The descriptor, close-on-exec; or
 * as rc_uring_explain. */
int rc_vault_make(uint32_t slots, struct io_uring_params *params, struct rc_err *err);

/* Maps it. `fd` stays the caller's until rc_vault_unmap, which closes it. What a former process has queued and not submitted is
 * forgotten. Negative errno: nothing is mapped, the descriptor is open. */
int rc_vault_map(struct io_uring *vault, int fd, const struct io_uring_params *params);
void rc_vault_unmap(struct io_uring *vault);

/* Bytes of ring memory, which the kernel may count as locked. */
uint64_t rc_vault_memory_bytes(void);

/* Does the kernel do all that a vault needs? Tried in this process, with the vault that another one has made (two slots at least, empty
 * before and afterwards): a socket goes into it and comes back. RC_URING_WITHOUT calls it "vault". */
bool rc_vault_probe(int fd, const struct io_uring_params *params);

#endif
