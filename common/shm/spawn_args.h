/*
 * spawn_args: how the acceptor hands descriptors to a child, one format for both sides.
 *
 *   ringcast-worker --index I --core-fd N --config-fd N --own-fd N --acceptor-fd N --relay-fd N --port-fd N --truth-fd N
 *                   --life-fd N --bell-fd N --acceptor-bell-fd N --relay-bell-fd N --steer-fd N --keys-fd N --inbox-fd N
 *                   --limits-fd N --vault-fd N --order-fd N --io-fd N
 *                   --worker-fd N (each worker's report, in order)  --listen-fd N (each listener, in order)
 *                   --outbox-fd N (to each worker's inbox, in order)  --adopt N (enum rc_adopt_from)  --old-io-fd N (of a dead one)
 *   ringcast-relay  --core-fd N --config-fd N --own-fd N --acceptor-fd N --keep-fd N --life-fd N --bell-fd N
 *                   --acceptor-bell-fd N, then per worker in order: --worker-fd N --port-fd N --worker-bell-fd N
 *
 * Segments are those of common/shm/layout.h. `own` is the child's report; it, `keep`, `port`, `truth` and `limits` can be mapped writable,
 * the others only read.
 * `life` is the read end of a pipe whose write end only the acceptor holds: end of file = the acceptor is gone, end
 * cleanly. `bell` is the child's own eventfd, `*-bell` those it rings; the acceptor's after every word that it waits for (a state, a
 * configuration taken over). `steer` is the BPF map of loads, `vault` the ring that keeps the worker's sockets (-1 = none).
 * `inbox` and `outbox` are the two ends of a SOCK_SEQPACKET pair: whole messages, which wait for a worker's successor when it dies.
 */
#ifndef RC_COMMON_SHM_SPAWN_ARGS_H
#define RC_COMMON_SHM_SPAWN_ARGS_H

#include "common/config/values.h"
#include "common/base/err.h"
#include "common/shm/layout.h"

/* Whose truth it is that a worker is given. */
enum rc_adopt_from {
    RC_ADOPT_NOBODY,  /* it is empty */
    RC_ADOPT_RUNNING, /* of a worker that runs, and from which it is to be taken over */
    RC_ADOPT_KILLED,  /* of one that is dead, and was killed by somebody */
    RC_ADOPT_CRASHED, /* of one that is dead by its own doing: by what it was handling, maybe */
};

struct rc_spawn_args {
    int index; /* worker index, -1 for the relay */
    int adopt; /* worker only: enum rc_adopt_from */
    int core_fd;
    int config_fd;
    int own_fd;
    int acceptor_fd;
    int relay_fd; /* worker only */
    int keep_fd;  /* relay only */
    int history_fd;
    int life_fd;
    int bell_fd;
    int acceptor_bell_fd;
    int truth_fd;      /* worker only */
    int relay_bell_fd; /* worker only */
    int steer_fd;      /* worker only, -1 = none */
    int vault_fd;      /* worker only, -1 = none: keeps its sockets (common/base/vault.h) */
    int keys_fd;       /* worker only */
    int io_fd;         /* worker only: of this process, empty (worker/io/memory.h) */
    int old_io_fd;     /* worker only: the io_fd of a dead predecessor, -1 = none */
    int order_fd;      /* worker only: rung when its order changes while it sleeps outside of its loop */
    int limits_fd;     /* worker only */
    int inbox_fd;      /* worker only: where connections that others hand over arrive */
    int worker_count;
    int worker_fds[RC_WORKERS_MAX];
    int listen_count;
    int listen_fds[RC_LISTENERS_MAX];
    int port_count; /* worker: 1 */
    int port_fds[RC_WORKERS_MAX];
    int worker_bell_count;
    int worker_bell_fds[RC_WORKERS_MAX];
    int outbox_count; /* worker only: one for each worker */
    int outbox_fds[RC_WORKERS_MAX];
};

/* No descriptor at all, for the one of `index`. */
void rc_spawn_args_clear(struct rc_spawn_args *args, int index);

/* Child: reads argv. -EINVAL with the offending argument in `err`. */
int rc_spawn_args_parse(struct rc_spawn_args *args, int argc, char **argv, struct rc_err *err);

/* Acceptor: writes the argument strings into `text` (each NUL-terminated) and pointers to them into argv[1..] with a
 * final NULL; argv[0] is the caller's. Returns argc, argv[0] included, or -E2BIG. */
int rc_spawn_args_format(const struct rc_spawn_args *args, char **argv, int argv_max, char *text, int text_max);

/* The BPF map that --steer-fd names: array of RC_WORKERS_MAX of this value, mmapable. */
struct rc_steer_worker {
    /* +1 by BPF at selection; -1 at close by the worker, which sets its true number when it differs for long. */
    uint64_t load;
    uint32_t live; /* W: acceptor. 1 = may be selected */
    uint32_t busy; /* W: worker. 1 = overloaded: others first */
};

#endif
