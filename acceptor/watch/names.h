/*
 * names: the hosts of backends' URLs, resolved for the workers, which must not wait for a resolver: at the start, after a reload, and every
 * 30 s.
 *
 *   due ─▶ a thread for each name (common/base/resolve) ─▶ some have ended ─▶ rc_hosts_write, until all have
 *
 * A name that cannot be resolved keeps the addresses that it had. Functions over struct rc_supervisor, called from its loop alone.
 */
#ifndef RC_ACCEPTOR_WATCH_NAMES_H
#define RC_ACCEPTOR_WATCH_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/resolve.h"
#include "common/shm/hosts.h"

#define RC_NAMES_AGAIN_MS 30000u
#define RC_NAMES_POLL_MS 20u

struct rc_names {
    bool begun;          /* once at least */
    bool running;        /* lookups are under way */
    uint32_t generation; /* of the configuration whose names these are */
    uint64_t due_ms;     /* next time; while running: when they are looked at again */
    uint32_t count;
    struct rc_host hosts[RC_HOSTS_MAX];
    struct rc_resolve *lookups[RC_HOSTS_MAX]; /* owned; NULL: it has ended */
};

struct rc_supervisor;

/* Begins lookups that are due, takes results, publishes them. */
void rc_names_progress(struct rc_supervisor *supervisor);
/* When rc_names_progress must run again; UINT64_MAX: after a reload only. */
uint64_t rc_names_due_ms(const struct rc_supervisor *supervisor);
void rc_names_close(struct rc_supervisor *supervisor);

#endif
