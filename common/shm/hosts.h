/*
 * hosts: what the names of backends' URLs were resolved to, by the acceptor, for workers, which must not wait for a resolver.
 *
 *   [[backend]] url ─▶ acceptor/watch/names: at the start, at a reload, every 30 s ── rc_hosts_write ──▶ core segment ── rc_hosts_find ──▶ worker
 *
 * One writer, the acceptor; readers never wait for it. What they read is another process's: it is believed only as far as it is bounded.
 */
#ifndef RC_COMMON_SHM_HOSTS_H
#define RC_COMMON_SHM_HOSTS_H

#include <stdint.h>

#include "common/base/span.h"
#include "common/shm/layout.h"
#include "common/text/address.h"

#define RC_HOST_ADDRESSES_MAX 7u
#define RC_HOST_NAME_MAX 256u /* its NUL included */

struct rc_host {
    char name[RC_HOST_NAME_MAX]; /* NUL-terminated, then NULs */
    uint64_t count;
    struct rc_address addresses[RC_HOST_ADDRESSES_MAX];
};
_Static_assert(sizeof(struct rc_host) <= RC_HOST_WORDS * 8, "a host's words");

/* All of them anew, the first RC_HOSTS_MAX. The writer only. */
void rc_hosts_write(struct rc_hosts *hosts, const struct rc_host *all, uint32_t count);
/* Changes with every write. */
uint32_t rc_hosts_revision(const struct rc_hosts *hosts);
/* How many addresses the name has (0: it is not known, or being written), written to `out`. */
int rc_hosts_find(const struct rc_hosts *hosts, struct rc_span name, struct rc_address out[RC_HOST_ADDRESSES_MAX]);

#endif
