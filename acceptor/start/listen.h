/*
 * listen: the listening sockets of one configured address.
 *
 * TCP: one socket per worker, all members of one SO_REUSEPORT group, so that the kernel (or steer) chooses the worker
 * and a queued connection waits at exactly one of them. Unix: one socket that all workers share. The acceptor keeps
 * its copies open while the broker runs: what is queued at a dead worker's socket waits for its successor. Owned by
 * the supervisor; one per address.
 */
#ifndef RC_ACCEPTOR_START_LISTEN_H
#define RC_ACCEPTOR_START_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/config/text.h"
#include "common/base/err.h"
#include "common/shm/layout.h"

struct rc_listen_options {
    uint32_t backlog;
    uint64_t notsent_lowat_bytes; /* TCP_NOTSENT_LOWAT, inherited by accepted sockets; 0 = kernel's */
    uint64_t send_buffer_bytes;   /* SO_SNDBUF, inherited; 0 = kernel's */
};

struct rc_listen {
    struct rc_listen_address address;
    struct rc_listen_options options;
    enum rc_listener_kind kind;
    bool dual_stack; /* "*:port": IPv4 too on the IPv6 wildcard */
    char text[RC_CONFIG_VALUE_MAX];
    uint32_t count;          /* sockets: one per worker, 1 for Unix */
    int fds[RC_WORKERS_MAX]; /* owned, -1 = closed */
    bool unix_bound;         /* the socket file was made here */
};

/* Opens all sockets of an address. The message names the remedy: -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, … */
int rc_listen_open(struct rc_listen *group, const char *text, enum rc_listener_kind kind, uint32_t workers,
                   const struct rc_listen_options *options, struct rc_err *err);

/* "*" on a host without IPv6 is the IPv4 wildcard. */
void rc_listen_use_ipv4(struct rc_listen *group);

/* The descriptor that a worker inherits. */
int rc_listen_fd(const struct rc_listen *group, uint32_t worker);

/* Replaces a TCP worker's socket by a new one: the new one joins the group, then the old one is closed, and the
 * kernel moves what is queued there (with the steering program or net.ipv4.tcp_migrate_req; else it is reset). The
 * caller tells steering about the new one. Nothing to do for Unix. */
int rc_listen_replace(struct rc_listen *group, uint32_t worker, struct rc_err *err);

/* A worker is no more: closes its socket. Nothing to do for Unix. */
void rc_listen_close_one(struct rc_listen *group, uint32_t worker);

/* What children and people see of it. */
void rc_listen_describe(const struct rc_listen *group, struct rc_listener *listener);

/* "client", "admin", "tls", "link" or "link_tls". */
const char *rc_listen_kind_name(enum rc_listener_kind kind);

/* Closes the acceptor's copies; workers' copies live on. */
void rc_listen_close(struct rc_listen *group);

/* Removes the socket file that was made here, unless somebody (a successor) listens on it. After rc_listen_close. */
void rc_listen_unlink(struct rc_listen *group);

#endif
