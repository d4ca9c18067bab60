/*
 * layout: every byte that several processes share, but for a worker's truth (worker/store/truth.h), which is one
 * worker's own.
 *
 *   control segment (1)      struct rc_control: identity, state, configuration, process table, relay truth, metrics
 *   port segment (1/worker)  struct rc_port, then two pairs of {up, down, overflow} ring data
 *
 * Segments are memfds made by the acceptor, sealed in size, inherited as descriptors. Fixed-width types, no pointers.
 * "W:" says who writes a field; everybody may read. Each segment's `ready` word is stored last with release.
 */
#ifndef RC_COMMON_SHM_LAYOUT_H
#define RC_COMMON_SHM_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/hash.h"
#include "common/config/config.h"
#include "common/shm/doorbell.h"
#include "common/metrics/metrics.h"
#include "common/shm/ring.h"

/* Programs of different builds must not share memory: the layout's number (to be raised when a member gets another meaning), and the
 * size of everything in the control segment, which changes by itself. */
#define RC_SHM_LAYOUT 1u
#define RC_SHM_VERSION (RC_SHM_LAYOUT << 28 | ((uint32_t)sizeof(struct rc_control) & 0x0fffffffu))
#define RC_CONTROL_READY 0x52434354u /* "RCCT" */
#define RC_PORT_READY 0x52435054u    /* "RCPT" */
#define RC_LISTENERS_MAX 32

/*
 * Life of the broker:  STARTING -> RUNNING -> DRAINING -> STOPPING
 * DRAINING: no new connections, clients are sent away politely. STOPPING: now, without waiting for anybody.
 */
enum rc_broker_state { RC_BROKER_STARTING, RC_BROKER_RUNNING, RC_BROKER_DRAINING, RC_BROKER_STOPPING };

/*
 * Life of a child:  DOWN -> STARTING -> READY -> DRAINED (a worker without clients that may exit) -> DOWN
 */
enum rc_process_state { RC_PROCESS_DOWN, RC_PROCESS_STARTING, RC_PROCESS_READY, RC_PROCESS_DRAINED };

struct rc_process {
    _Atomic uint32_t state;      /* W: child (STARTING by acceptor before exec, DOWN by acceptor after waitpid) */
    _Atomic uint32_t pid;        /* W: acceptor */
    _Atomic uint32_t generation; /* W: acceptor, before exec: counts starts, first is 1 */
    _Atomic uint32_t config_generation; /* W: child: the configuration it has taken over */
    _Atomic uint64_t heartbeat_ms;      /* W: child, every loop, at least once a second (CLOCK_MONOTONIC) */
    _Atomic uint64_t connections;       /* W: worker: its true load, for the reconciliation of the steering map */
    _Atomic uint32_t reported_stuck;    /* W: relay: 1 while it had to drop for this worker */
    _Atomic uint32_t cpu;               /* W: acceptor: CPU it is pinned to, UINT32_MAX = none */
    struct rc_doorbell_shared bell;     /* W: the child sleeps, everybody rings */
    uint8_t pad[88];
};
_Static_assert(sizeof(struct rc_process) == 256, "process layout");

/* What the relay's successor needs. W: relay. */
struct rc_relay_truth {
    _Atomic uint64_t next_sequence; /* first is 1, never goes back */
    /* The record being routed: valid when intent_sequence != 0 and the up ring's head still is intent_position.
     * Stored in the order: sequence = 0, the fields, sequence (release). */
    _Atomic uint64_t intent_sequence;
    _Atomic uint64_t intent_position;
    _Atomic uint32_t intent_worker;
    _Atomic uint32_t intent_pair; /* which of the worker's two pairs */
    uint8_t pad[96];
};
_Static_assert(sizeof(struct rc_relay_truth) == 128, "relay truth layout");

/*
 * Idempotency keys that the relay has seen, in sets of a few ways each. In shared memory, since a relay that died in between is
 * when callers try again. W: relay, by relay/idempotency.
 */
#define RC_IDEMPOTENCY_SETS 8192u
#define RC_IDEMPOTENCY_WAYS 8u
struct rc_idempotency_entry {
    _Atomic uint64_t key[2];
    _Atomic uint64_t sequence; /* of the message that the key was first used for */
    _Atomic uint64_t time_ms;  /* CLOCK_MONOTONIC; 0 = empty. Stored last, with release */
};
_Static_assert(sizeof(struct rc_idempotency_entry) == 32, "idempotency entry layout");

struct rc_idempotency {
    struct rc_idempotency_entry entries[RC_IDEMPOTENCY_SETS][RC_IDEMPOTENCY_WAYS];
};

/* How it stands with Redis, for /health/redis and `ringcast status`. */
enum rc_redis_state {
    RC_REDIS_DISABLED,   /* no redis.url, or a relay that does not run yet */
    RC_REDIS_CONNECTING, /* not connected since the start */
    RC_REDIS_CONNECTED,  /* commands are answered and every subscription connection lives */
    RC_REDIS_AWAY,       /* lost, or silent: the broker is in local-only mode */
};

#define RC_REDIS_ERROR_MAX 192
#define RC_RELAY_SILENT_MS 2500u /* a relay that has not moved for this long says nothing about Redis any more */
/* W: relay, by common/redis_health. */
struct rc_redis_health {
    _Atomic uint32_t state;                          /* enum rc_redis_state */
    _Atomic uint32_t revision;                       /* odd while a text is being written */
    _Atomic uint64_t since_ms;                       /* CLOCK_MONOTONIC of the last change of state */
    _Atomic uint64_t error[RC_REDIS_ERROR_MAX / 8];  /* NUL-terminated: why it was lost, or did not begin */
    _Atomic uint64_t latest[RC_REDIS_ERROR_MAX / 8]; /* NUL-terminated: what failed last since; "" = nothing */
    uint8_t pad[112];
};
_Static_assert(sizeof(struct rc_redis_health) == 512, "redis health layout");

/* What came over one [[bridge]] since the start. W: relay. */
struct rc_bridge_counters {
    _Atomic uint64_t messages; /* handed to the workers that want them */
    _Atomic uint64_t errors;   /* dropped: not JSON, too large, or a field of room or event was missing */
};
_Static_assert(sizeof(struct rc_bridge_counters) == 16, "bridge counters layout");

enum rc_listener_kind { RC_LISTENER_CLIENT, RC_LISTENER_ADMIN, RC_LISTENER_TLS };

struct rc_listener {
    uint32_t kind;    /* enum rc_listener_kind */
    uint8_t loopback; /* 1: only this machine can reach it (loopback address or Unix socket) */
    uint8_t unix_socket;
    uint16_t port;
    char address[108]; /* as shown to people: "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock" */
    uint8_t pad[12];
};
_Static_assert(sizeof(struct rc_listener) == 128, "listener layout");

struct rc_control {
    _Atomic uint32_t ready; /* RC_CONTROL_READY, stored last */
    uint32_t version;
    uint64_t bytes; /* of this segment */
    uint32_t worker_count;
    uint32_t boot_nonce; /* random, never 0: part of client ids */
    uint64_t boot_wall_ms;
    uint64_t boot_ms; /* CLOCK_MONOTONIC */
    char instance_id[RC_INSTANCE_ID_MAX + 8];
    uint32_t listener_count;
    uint32_t slots_per_worker;   /* connection slots of each worker (from max_connections and RLIMIT_NOFILE) */
    uint32_t direct_descriptors; /* slots of each worker's direct descriptor table */
    uint32_t reserved0;
    uint8_t tls_ticket_keys[80];               /* random: a TLS session resumes on any worker of this boot */
    uint8_t hash_secret[RC_HASH_SECRET_BYTES]; /* random: all hash channel names alike (common/base/hash.h) */
    _Atomic uint32_t state;                    /* enum rc_broker_state. W: acceptor */
    _Atomic uint32_t config_generation;        /* W: acceptor. config[config_generation & 1] is in force; first is 0 */
    _Atomic uint64_t drain_deadline_ms;        /* W: acceptor, before state = DRAINING */
    struct rc_listener listeners[RC_LISTENERS_MAX];
    struct rc_relay_truth relay_truth;
    struct rc_redis_health redis_health;
    struct rc_bridge_counters bridges[RC_CONFIG_BRIDGES_MAX]; /* in the order of config.bridges */
    struct rc_process acceptor;
    struct rc_process relay;
    struct rc_process workers[RC_WORKERS_MAX];
    /* The acceptor writes the copy not in force, then the generation (release), and waits for every child's
     * config_generation before it writes again. */
    struct rc_config config[2];
    struct rc_metrics acceptor_metrics;
    struct rc_metrics relay_metrics;
    struct rc_metrics worker_metrics[RC_WORKERS_MAX];
    struct rc_idempotency idempotency; /* pages are touched with use only */
};

/* One generation's rings of a worker: pair = generation & 1. */
struct rc_port_pair {
    struct rc_ring_shared up;       /* producer worker, consumer relay */
    struct rc_ring_shared down;     /* producer relay, consumer worker */
    struct rc_ring_shared overflow; /* producer and consumer relay: what did not fit in `down` */
};

struct rc_port {
    _Atomic uint32_t ready; /* RC_PORT_READY, stored last */
    uint32_t version;
    uint64_t ring_bytes;         /* data bytes of each up and down ring */
    uint64_t overflow_bytes;     /* data bytes of each overflow ring */
    _Atomic uint32_t generation; /* W: acceptor, after the death of the former worker and before the next one's exec */
    /* W: relay: 1 from the first drop until every gap record is written; a successor that finds 1 writes one gap for
     * all. */
    _Atomic uint32_t gap_pending;
    uint8_t pad[96];
    struct rc_port_pair pairs[2];
    /* data follows at RC_PORT_DATA_OFFSET: pair 0 up, down, overflow; pair 1 up, down, overflow */
};

#define RC_PORT_DATA_OFFSET 4096u
_Static_assert(sizeof(struct rc_port) <= RC_PORT_DATA_OFFSET, "port header fits its page");

enum rc_port_ring { RC_PORT_UP, RC_PORT_DOWN, RC_PORT_OVERFLOW };

/* Bytes of a port segment. */
static inline uint64_t rc_port_bytes(uint64_t ring_bytes, uint64_t overflow_bytes)
{
    return RC_PORT_DATA_OFFSET + 2 * (2 * ring_bytes + overflow_bytes);
}

/* The data area of one ring. */
static inline void *rc_port_data(struct rc_port *port, uint32_t pair, enum rc_port_ring ring)
{
    const uint64_t pair_bytes = 2 * port->ring_bytes + port->overflow_bytes;
    return (uint8_t *)port + RC_PORT_DATA_OFFSET + pair * pair_bytes + (uint64_t)ring * port->ring_bytes;
}

#endif
