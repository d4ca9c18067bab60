/*
 * names: the hosts of backends' URLs, resolved for the workers, which must not wait for a resolver: at the start, after a reload, and 30 s
 * behind the last answer.
 *
 *   a name is due ─▶ a thread for it (common/base/resolve) ─▶ it has ended ─▶ rc_hosts_write
 *
 * Each for itself: one whose servers do not answer for half a minute holds no other one up.
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
    uint32_t generation; /* of the configuration whose names these are */
    uint64_t due_ms;     /* next time; while lookups are under way: when they are looked at again */
    uint32_t count;
    struct rc_host hosts[RC_HOSTS_MAX];
    uint64_t again_ms[RC_HOSTS_MAX];          /* when each is looked up next, if it is not being */
    struct rc_resolve *lookups[RC_HOSTS_MAX]; /* owned; NULL: it is not */
};

struct rc_supervisor;

/* Begins lookups that are due, takes results, publishes them. */
void rc_names_progress(struct rc_supervisor *supervisor);
/* When rc_names_progress must run again; UINT64_MAX: after a reload only. */
uint64_t rc_names_due_ms(const struct rc_supervisor *supervisor);
void rc_names_close(struct rc_supervisor *supervisor);

#endif
