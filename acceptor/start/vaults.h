/*
 * vaults: what keeps the sockets of each worker (common/base/vault.h), as the acceptor has them.
 *
 *   a process starts ─▶ one is made for it, which it inherits
 *                   └─▶ memory or descriptors are short: it is waited for them if the last process had one; then it begins without
 *                        └─ it makes one itself when there is enough, and offers it ─▶ taken here ─▶ it puts all its sockets there
 *
 * A ring goes to a process that runs neither by SCM_RIGHTS nor through /proc; taking one from a child is what the kernel allows.
 */
#ifndef RC_ACCEPTOR_START_VAULTS_H
#define RC_ACCEPTOR_START_VAULTS_H

#include "acceptor/watch/child.h"
#include "common/base/err.h"

/* A worker's next process gets a new one in *vault_fd, or none (-1 as it was). Negative: it is not to be started before there is one. */
int rc_vaults_open(int *vault_fd, uint32_t slots, struct rc_child *child, struct rc_err *err);

/* All of a worker's connections that can be kept are: it can be handed over. */
bool rc_vaults_whole(int vault_fd, const struct rc_child *child);

/* The worker's process, which began without, may have made one: the acceptor has it, too, from here on. */
void rc_vaults_take(int *vault_fd, struct rc_child *child);

#endif
