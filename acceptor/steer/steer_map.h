/*
 * steer_map: what the BPF program and its loader share. Plain types only: it is compiled for BPF too.
 */
#ifndef RC_ACCEPTOR_STEER_STEER_MAP_H
#define RC_ACCEPTOR_STEER_STEER_MAP_H

#include <linux/types.h>

#define RC_STEER_WORKERS_MAX 128

/* struct rc_steer_worker of common/shm/spawn_args.h, as the BPF side sees it. */
struct rc_steer_entry {
    __u64 load;
    __u32 live;
    __u32 busy;
};

/* Why a connection went where it went. One counter each. */
enum rc_steer_reason {
    RC_STEER_SELECTED, /* a new connection went to the least-loaded live worker */
    RC_STEER_MIGRATED, /* a queued connection of a closed listener went to a live one */
    RC_STEER_STRAY,    /* a packet that opens nothing (an old connection's) */
    RC_STEER_MISSING,  /* the chosen worker's socket was not there: the next best was taken */
    RC_STEER_NO_LIVE,  /* no worker is live: left to the kernel's hash */
    RC_STEER_FAILED,   /* the second choice was not there either: left to the kernel's hash */
    RC_STEER_REASONS
};

#endif
