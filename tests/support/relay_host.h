/*
 * relay_host: a host without sockets for tests of the relay: segments as the acceptor makes them, workers
 * that are just rings, and a relay in this process or as the real program. All calls fail by abort: a test cannot go on.
 */
#ifndef RC_TESTS_SUPPORT_RELAY_HOST_H
#define RC_TESTS_SUPPORT_RELAY_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/records/envelope.h"
#include "common/shm/ring.h"
#include "common/shm/control.h"
#include "relay/route/port.h"
#include "relay/route/router.h"

struct relay_host_worker {
    struct rc_port *port;
    uint64_t port_bytes;
    int port_fd;
    struct rc_port_view view; /* of port */
    struct rc_report *report;
    int report_fd;
    int bell_fd;
    uint32_t generation;
    struct rc_ring up;      /* producer */
    struct rc_ring down;    /* consumer */
    uint64_t last_sequence; /* what a worker has seen */
};

struct relay_host {
    struct rc_core *core;
    struct rc_config_segment *configs;
    struct rc_report *acceptor;
    struct rc_relay_report *relay;
    struct rc_relay_keep *keep;
    int core_fd, configs_fd, acceptor_fd, relay_fd, keep_fd, history_fd;
    struct rc_history_segment *history;
    struct rc_history store;   /* of the relay in this process */
    struct rc_control control; /* as a relay in this process has it */
    int life_fds[2];           /* read end for children, write end here */
    int relay_bell_fd;
    int acceptor_bell_fd;
    int order_fd;
    int pass_fd;
    uint64_t relay_rung; /* the relay's sleep that was rung last */
    uint32_t worker_count;
    struct relay_host_worker workers[RC_WORKERS_MAX];
    struct rc_relay_port *ports; /* of the relay in this process; NULL when there is none */
    struct rc_router router;
    struct rc_recovery *recovery; /* borrowed: of the next relay in this process; NULL: nobody comes back */
    pid_t relay_pid;              /* of the relay program, 0 = none */
};

void relay_host_open(struct relay_host *host, uint32_t workers, uint64_t ring_bytes, uint64_t overflow_bytes);
void relay_host_close(struct relay_host *host);

/* A new generation, rings attached, READY. */
void relay_host_start_worker(struct relay_host *host, uint32_t worker);
/* Generation and state as the acceptor sets them, without a worker that attaches. */
void relay_host_bump_worker(struct relay_host *host, uint32_t worker);
void relay_host_attach_worker(struct relay_host *host, uint32_t worker);
void relay_host_kill_worker(struct relay_host *host, uint32_t worker);

/* In this process: a new relay generation; what an old one had in private memory is gone, as by a crash. */
void relay_host_start_relay(struct relay_host *host);
void relay_host_open_relay(struct relay_host *host); /* the same without a new generation */
void relay_host_crash_relay(struct relay_host *host);
/* Turns until nothing is to be done. */
void relay_host_run(struct relay_host *host);

/* What a port of the relay in this process is opened with. */
struct rc_relay_port_setup relay_host_port_setup(struct relay_host *host, uint32_t worker);

/* The real program: $RINGCAST_BIN_DIR/ringcast-relay, else the one that was built with this test. */
bool relay_host_has_relay(void);
void relay_host_spawn_relay(struct relay_host *host);
void relay_host_kill_relay(struct relay_host *host); /* SIGKILL and wait */
int relay_host_stop_relay(struct relay_host *host);  /* SIGTERM and wait: the wait status */

/* Wakes the relay if it sleeps, as a worker does that wrote something. */
void relay_host_ring(struct relay_host *host);
/* Has the worker's bell been rung since the last call? */
bool relay_host_rung(struct relay_host *host, uint32_t worker);

/* Writes an up record; false when the ring is full. The worker's generation is filled in. */
bool relay_host_up(struct relay_host *host, uint32_t worker, uint32_t type, struct rc_envelope_view *view);
/* Shorthands; `id` NULL = no answer wanted. */
bool relay_host_publish(struct relay_host *host, uint32_t worker, const char *channel, const char *data,
                        const char *id);
bool relay_host_direct(struct relay_host *host, uint32_t worker, struct rc_client_ref target, const char *data,
                       const char *id);
bool relay_host_interest(struct relay_host *host, uint32_t worker, bool add, const char *channel);
bool relay_host_snapshot(struct relay_host *host, uint32_t worker, const char *const *channels, size_t count);

/* The next down record, released by the next call or relay_host_done: false when there is none. */
bool relay_host_down(struct relay_host *host, uint32_t worker, uint32_t *type, struct rc_envelope_view *view);
void relay_host_done(struct relay_host *host, uint32_t worker);
/* As a worker reads: other generations and sequences seen before are skipped. */
bool relay_host_down_fresh(struct relay_host *host, uint32_t worker, uint32_t *type, struct rc_envelope_view *view);

/* One line for each record that waits, as in "message(a,#3,answer=7):data" or "gap()"; empty string when none. Static memory. */
const char *relay_host_read(struct relay_host *host, uint32_t worker);

uint64_t relay_host_metric(const struct relay_host *host, enum rc_metric_id id);

#endif
