/*
 * control: a process's own view of what the processes of a broker share (common/shm/layout.h).
 *
 * A child makes it at its start from the descriptors it inherited: constants are copied and checked in the copy, the segments
 * of others are mapped read-only, and the descriptors are closed: there is no way left to what is not the child's to write.
 * Read by all modules of a process, changed by none.
 */
#ifndef RC_COMMON_SHM_CONTROL_H
#define RC_COMMON_SHM_CONTROL_H

#include "common/base/err.h"
#include "common/identity/key_board.h"
#include "common/shm/history.h"
#include "common/shm/layout.h"
#include "common/shm/spawn_args.h"
#include "common/shm/tallies.h"

struct rc_control {
    /* Constants of the boot, as in struct rc_core. */
    uint32_t worker_count;
    uint32_t boot_nonce;
    uint64_t boot_wall_ms;
    uint64_t boot_ms;
    char instance_id[RC_INSTANCE_ID_MAX + 8];
    uint32_t listener_count;
    uint32_t slots_per_worker;
    uint32_t direct_descriptors;
    uint8_t tls_ticket_keys[80];
    struct rc_listener listeners[RC_LISTENERS_MAX + 1]; /* the last is RC_LISTENER_CONSOLE */
    uint8_t vault_params[RC_VAULT_PARAMS_BYTES];

    /* Mapped until exit. What is read there changes at any time and may be anything: numbers to show, never bounds. */
    const struct rc_core *core;
    const struct rc_config_segment *configs;
    const struct rc_key_board *keys; /* worker only, else NULL */
    const struct rc_report *acceptor;
    const struct rc_relay_report *relay;
    const struct rc_report *workers[RC_WORKERS_MAX];

    /* What this process writes. */
    struct rc_report *own;             /* its report; the relay's is the first member of own_relay */
    struct rc_metrics *metrics;        /* in it: what it counts; of a successor, others see it when it has taken over */
    struct rc_relay_report *own_relay; /* relay only, else NULL */
    struct rc_relay_keep *keep;        /* relay only, else NULL */
    void *recovery;                    /* relay only, else NULL: what is behind `keep` in its segment */
    uint64_t recovery_bytes;           /* 0 = nothing is */
    struct rc_history_view history;    /* the relay's to write, others have it mapped read-only */
    struct rc_limits_segment *limits;  /* worker only, else NULL: all workers write it */
};

/* Maps what `args` names and takes the descriptors out of it, closed. Negative errno, with `err`, when something is not what this
 * build shares, or there is no memory (rc_err_is_short); the process is to end then. */
int rc_control_attach(struct rc_control *control, struct rc_spawn_args *args, struct rc_err *err);

/* The acceptor's and tests' way: copies the constants of a core segment of `bytes` bytes and checks them. */
int rc_control_copy(struct rc_control *control, const struct rc_core *core, uint64_t bytes, struct rc_err *err);

/* Maps a port segment; core dumps hold its cursors, not the messages. Negative errno with `err` set. */
int rc_port_map(struct rc_port **port, int fd, uint64_t *bytes, struct rc_err *err);
/* Copies and checks the sizes of a mapped port segment of `bytes` bytes. -EBADMSG when it is none. */
int rc_port_view_open(struct rc_port_view *view, struct rc_port *shared, uint64_t bytes, struct rc_err *err);

static inline enum rc_broker_state rc_control_state(const struct rc_control *control)
{
    /* C1 pairs with V1 in acceptor/watch/supervisor.c: who sees DRAINING sees its deadline. */
    return (enum rc_broker_state)atomic_load_explicit(&control->core->state, memory_order_acquire);
}

static inline uint32_t rc_control_config_generation(const struct rc_control *control)
{
    /* C2 pairs with S2 in rc_segments_configure: who sees the generation sees the copy. */
    return atomic_load_explicit(&control->configs->generation, memory_order_acquire);
}

/* The configuration of a generation, until this process has told that it took a later one over. */
static inline const struct rc_config *rc_control_config(const struct rc_control *control, uint32_t generation)
{
    return &control->configs->copies[generation & 1];
}

static inline uint32_t rc_control_relay_generation(const struct rc_control *control)
{
    /* C3 pairs with B1 in rc_broker_bury: what the former relay wrote is there. */
    return atomic_load_explicit(&control->core->relay.generation, memory_order_acquire);
}

#endif
