/*
 * addresses: where the URLs of a backend lead to now. Names are looked up by the acceptor, who tells what it found in shared memory
 * (common/shm/hosts.h). Nothing is kept here, and nothing fails: a name that nobody has found yet has no address.
 */
#ifndef RC_WORKER_BACKEND_ADDRESSES_H
#define RC_WORKER_BACKEND_ADDRESSES_H

#include <stdint.h>
#include <sys/socket.h>

#include "common/config/backend.h"
#include "common/shm/hosts.h"

typedef void rc_backend_address_found(void *context, uint32_t url, const void *name, socklen_t name_bytes);
/* Calls `found` for each address of each URL, in their order. */
void rc_backend_addresses_each(const struct rc_hosts *hosts, const struct rc_backend_url *urls, uint32_t count,
                               rc_backend_address_found *found, void *context);

#endif
