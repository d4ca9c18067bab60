/*
 * layout: every byte that several processes share, but for a worker's truth (worker/store/truth.h), which is one
 * worker's own.
 *
 *   segment     of             written by          numbers                     what is in it
 *   core        (1)            acceptor            RC_CORE_ABI                 identity, listeners, state, table of processes
 *   config      (1/build)      acceptor            RC_BUILD_ID                 two copies of the configuration, which is in force
 *   keys        (1/build)      acceptor            RC_BUILD_ID                 struct rc_key_board: what tokens are verified with
 *   report      (1/process)    that process        RC_CORE_ABI, RC_REPORT_ABI  struct rc_report; the relay's is longer
 *   keep        (1)            relay               RC_CORE_ABI                 what a relay leaves to its successor
 *   limits      (1)            workers             RC_LIMITS_ABI               struct rc_limits_segment: what limits have counted, where sessions are
 *   history     (1)            relay               RC_HISTORY_ABI              what is kept of channels: common/shm/history.h
 *   port        (1/worker)     relay, worker       RC_PORT_ABI                 struct rc_port, then two pairs of ring data
 *
 * One writer for each, so that a stray write of a process can damage only what that process says: the others have its
 * segment mapped read-only (common/shm/control.h). Exceptions, with their reasons:
 *
 *   port     A ring has a cursor for each side and its records lie in between, so both map it writable. No third process
 *            does, neither believes what it reads there (common/shm/ring.h), and both copy the sizes at mapping.
 *   report   While a process does not run, the acceptor writes its report: STARTING, DOWN, and the head anew for a successor.
 *   limits   Limits are of all workers together: each writes under the lock of a set (common/shm/windows.h). The worst a stray
 *            write does is a wrong answer about a limit, or that a session that was moved while it polled has to begin anew.
 *   steering The BPF map of loads (common/shm/spawn_args.h) is one page that all workers map: the kernel counts there, a
 *            worker takes off what it closed. The worst a stray write does is to send connections to the wrong worker;
 *            acceptor and workers set their words anew every few seconds.
 *
 * What is read once and used as a bound (counts, sizes, the table of listeners) is copied at mapping and checked in the
 * copy; struct rc_control and struct rc_port_view are these copies, and nobody reads the originals again.
 *
 * Programs of two builds may share all of it but `config` and `keys`, while a broker goes over to another build: those an acceptor of another
 * build makes anew, and children keep the ones that they were started with. The metrics in a report are found by name (common/metrics/bank.h).
 *
 * Segments are memfds made by the acceptor, sealed in size, inherited as descriptors. Fixed-width types, no pointers.
 * "W:" says who writes a field. Each segment's `ready` word is stored last with release.
 */
#ifndef RC_COMMON_SHM_LAYOUT_H
#define RC_COMMON_SHM_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "build_id.h"
#include "common/base/flight.h"
#include "common/base/hash.h"
#include "common/config/values.h"
#include "common/shm/doorbell.h"
#include "common/metrics/bank.h"
#include "common/records/traced.h"
#include "common/shm/ring.h"

/*
 * Programs that share memory must agree on it. Core, report, port, limits and records outlive builds: their numbers are raised when a
 * member changes its place or its meaning, and members are only added at the end. Configuration and metrics change with
 * nearly every release: RC_BUILD_ID is a checksum of the headers and tables that they are made of (Makefile), and programs of two of them
 * go on from each other.
 */
#define RC_CORE_ABI 1u
#define RC_REPORT_ABI 2u /* reports, common/records/closed.h and traced.h included, but for the metrics in them */
#define RC_PORT_ABI 1u
#define RC_RECORDS_ABI 4u           /* common/records: what lies in the rings */
#define RC_CORE_READY 0x5243434fu   /* "RCCO" */
#define RC_CONFIG_READY 0x52434346u /* "RCCF" */
#define RC_REPORT_READY 0x52435250u /* "RCRP" */
#define RC_KEEP_READY 0x52434b50u   /* "RCKP" */
#define RC_PORT_READY 0x52435054u   /* "RCPT" */
#define RC_LISTENERS_MAX 32
#define RC_VAULT_PARAMS_BYTES 120u

/*
 * Life of the broker:  STARTING -> RUNNING -> DRAINING -> STOPPING
 * DRAINING: no new connections, clients are sent away politely. STOPPING: now, without waiting for anybody.
 */
enum rc_broker_state { RC_BROKER_STARTING, RC_BROKER_RUNNING, RC_BROKER_DRAINING, RC_BROKER_STOPPING };

/*
 * Life of a process:  DOWN -> STARTING -> READY -> DRAINED (a worker without clients that may exit) -> DOWN
 *
 * A worker that hands over to a successor (enum rc_order). Both have the same report; each has a word of its own until the successor has
 * taken over, which is the point of no return:
 *
 *   state            READY -> PARKED: it stands still, and touches nothing -> READY: it goes on, or it is killed
 *   successor_state  DOWN -> STARTING -> STANDBY: it waits -> ADOPTING: it reads -> READY: it has taken over, and writes `state` from here on
 *
 * One that dies leaves its clients to the next one (ORPHANED -> STARTING -> READY), which says by successor_state, too, when all that they
 * need of the dead one's ring memory is in the truth: READY.
 */
enum rc_process_state {
    RC_PROCESS_DOWN,
    RC_PROCESS_STARTING,
    RC_PROCESS_READY,
    RC_PROCESS_DRAINED,
    RC_PROCESS_PARKED,
    RC_PROCESS_STANDBY,
    RC_PROCESS_ADOPTING,
    RC_PROCESS_ORPHANED,
};

/*
 * What a worker is told, besides the broker's state. With PARK it stands still as soon as nothing would be lost by it, or says that it
 * cannot by staying READY until the order is RUN again. ADOPT: who is parked stays so, and who stands by takes over.
 */
enum rc_order { RC_ORDER_RUN, RC_ORDER_PARK, RC_ORDER_ADOPT };

/*
 * Whether a worker's place is in use:  UNUSED -> USED -> LEAVING (its connections go to the others; no new ones) -> UNUSED
 * SENDING_AWAY is LEAVING that waits for nobody: who cannot be moved is sent away.
 */
enum rc_worker_use { RC_WORKER_USED, RC_WORKER_UNUSED, RC_WORKER_LEAVING, RC_WORKER_SENDING_AWAY };

/* What a process says of itself. W: the process; state and the two times by the acceptor while it does not run. */
struct rc_process {
    _Atomic uint32_t state;             /* STARTING and DOWN by the acceptor */
    _Atomic uint32_t config_generation; /* the configuration it has taken over */
    _Atomic uint64_t heartbeat_ms;      /* every loop, at least once a second (CLOCK_MONOTONIC) */
    _Atomic uint64_t connections;       /* worker: its true load, for the reconciliation of the steering map */
    /* worker: tokens of each [[identity]] row that named a key which is not there: the acceptor looks for newer ones */
    _Atomic uint32_t keys_missed[RC_CONFIG_IDENTITIES_MAX];
    _Atomic uint32_t
        successor_state; /* worker: of the one that is to take over from it. STARTING and DOWN by the acceptor */
    uint32_t reserved0;
    _Atomic uint64_t
        vault_offer; /* worker: a vault that it has made, as it was started without (rc_vault_offer); 0 = none */
    uint8_t pad[56];
    struct rc_doorbell_shared bell; /* it sleeps here; others read, and ring by eventfd */
};
_Static_assert(sizeof(struct rc_process) == 256, "process layout");

/* Which process has it, and as which descriptor: what one has offered is nothing of its successor's. */
static inline uint64_t rc_vault_offer(uint32_t pid, int fd)
{
    return (uint64_t)pid << 32 | (uint32_t)fd;
}
static inline uint32_t rc_vault_offer_pid(uint64_t offer)
{
    return (uint32_t)(offer >> 32);
}
static inline int rc_vault_offer_fd(uint64_t offer)
{
    return (int)(uint32_t)offer;
}

/* What the acceptor says of a process. W: acceptor. */
struct rc_life {
    _Atomic uint32_t generation; /* counts starts, first is 1; raised after its death, before the next exec */
    _Atomic uint32_t running;    /* 1 from before exec until waitpid: others write to it */
    _Atomic uint32_t pid;        /* 0 = none */
    _Atomic uint32_t cpu;        /* CPU it is pinned to, UINT32_MAX = none */
    _Atomic uint32_t order;      /* enum rc_order */
    _Atomic uint32_t use;        /* worker: enum rc_worker_use */
    _Atomic uint32_t vault_pid;  /* worker: the process whose offer of a vault was taken; 0 = none */
    uint8_t pad[36];
};
_Static_assert(sizeof(struct rc_life) == 64, "life layout");

/* Where the relay stands. W: relay. */
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
 * when callers try again. W: relay, by relay/route/idempotency.
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
    RC_REDIS_REFUSED, /* never stored, rc_redis_health_of finds it: connected, and in local-only mode since its id is another broker's */
};

#define RC_REDIS_ERROR_MAX 192
#define RC_RELAY_SILENT_MS 2500u /* a relay that has not moved for this long says nothing about Redis any more */
/* W: relay, by common/metrics/redis_health. */
struct rc_redis_health {
    _Atomic uint32_t state;                          /* enum rc_redis_state */
    _Atomic uint32_t revision;                       /* odd while a text is being written */
    _Atomic uint64_t since_ms;                       /* CLOCK_MONOTONIC of the last change of state */
    _Atomic uint64_t error[RC_REDIS_ERROR_MAX / 8];  /* NUL-terminated: why it was lost, or did not begin */
    _Atomic uint64_t latest[RC_REDIS_ERROR_MAX / 8]; /* NUL-terminated: what failed last since; "" = nothing */
    _Atomic uint64_t certificate_not_after_s;        /* of redis.tls_certificate, since 1970; 0 = none */
    _Atomic uint64_t authorities_not_after_s;        /* of the first one of redis.tls_ca that expires; 0 = none */
    uint8_t pad[96];
};
_Static_assert(sizeof(struct rc_redis_health) == 512, "redis health layout");

/* What came over one [[bridge]] since the start. W: relay. */
struct rc_bridge_counters {
    _Atomic uint64_t messages; /* handed to the workers that want them */
    _Atomic uint64_t errors;   /* dropped: not JSON, too large, or a field of room or event was missing */
};
_Static_assert(sizeof(struct rc_bridge_counters) == 16, "bridge counters layout");

/*
 * The other instances that can be reached (cluster.advertise), for workers that are asked for their sessions. W: relay, by
 * common/shm/neighbours.
 */
#define RC_NEIGHBOURS_MAX 64u
#define RC_NEIGHBOUR_WORDS 16u
struct rc_neighbours {
    _Atomic uint32_t revision; /* odd while it is being written */
    _Atomic uint32_t count;
    uint8_t pad[56];
    _Atomic uint64_t entries[RC_NEIGHBOURS_MAX][RC_NEIGHBOUR_WORDS]; /* struct rc_neighbour of each */
};
_Static_assert(sizeof(struct rc_neighbours) == 64 + 8192, "neighbours layout");

/* What the names of backends' URLs were resolved to. W: acceptor, by common/shm/hosts. */
#define RC_HOSTS_MAX (RC_CONFIG_BACKENDS_MAX * RC_CONFIG_BACKEND_URLS_MAX)
#define RC_HOST_WORDS 48u
struct rc_hosts {
    _Atomic uint32_t revision; /* odd while it is being written */
    _Atomic uint32_t count;
    uint8_t pad[56];
    _Atomic uint64_t entries[RC_HOSTS_MAX][RC_HOST_WORDS]; /* struct rc_host of each */
};
_Static_assert(sizeof(struct rc_hosts) == 64 + 49152, "hosts layout");

/* In place of an index: a connection to the control socket whose caller asked for the HTTP API (acceptor/console). It is root's, or the
 * broker's own user's, and needs no key. */
#define RC_LISTENER_CONSOLE RC_LISTENERS_MAX

/* What `ringcast trace` looks for. W: acceptor, by common/shm/tracer. */
#define RC_TRACE_WORDS (sizeof(struct rc_trace_wanted) / 8u)
struct rc_trace_filter {
    _Atomic uint32_t revision; /* odd while it is being written; 0: nothing was ever traced */
    uint8_t pad[60];
    _Atomic uint64_t words[RC_TRACE_WORDS]; /* struct rc_trace_wanted */
    uint8_t pad1[32];
};
_Static_assert(sizeof(struct rc_trace_filter) == 896, "trace filter layout");

enum rc_listener_kind {
    RC_LISTENER_CLIENT,
    RC_LISTENER_ADMIN,
    RC_LISTENER_TLS,
    RC_LISTENER_LINK, /* applications dial links; no client is served */
    RC_LISTENER_LINK_TLS,
    RC_LISTENER_KIND_COUNT,
};
static inline bool rc_listener_is_link(uint32_t kind)
{
    return kind == RC_LISTENER_LINK || kind == RC_LISTENER_LINK_TLS;
}
static inline bool rc_listener_is_tls(uint32_t kind)
{
    return kind == RC_LISTENER_TLS || kind == RC_LISTENER_LINK_TLS;
}

struct rc_listener {
    uint32_t kind;    /* enum rc_listener_kind */
    uint8_t loopback; /* 1: only this machine can reach it (loopback address or Unix socket) */
    uint8_t unix_socket;
    uint16_t port;
    char address[108]; /* as shown to people: "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock" */
    uint8_t pad[12];
};
_Static_assert(sizeof(struct rc_listener) == 128, "listener layout");

/* W: acceptor. Up to `state` nothing changes once it is ready. */
struct rc_core {
    _Atomic uint32_t ready; /* RC_CORE_READY, stored last */
    uint32_t abi;           /* RC_CORE_ABI */
    uint32_t records_abi;   /* RC_RECORDS_ABI */
    uint32_t reserved0;
    uint64_t bytes; /* of this segment */
    uint32_t worker_count;
    uint32_t boot_nonce; /* random, never 0: part of client ids */
    uint64_t boot_wall_ms;
    uint64_t boot_ms; /* CLOCK_MONOTONIC */
    char instance_id[RC_INSTANCE_ID_MAX + 8];
    uint32_t listener_count;
    uint32_t slots_per_worker;   /* connection slots of each worker (from max_connections and RLIMIT_NOFILE) */
    uint32_t direct_descriptors; /* slots of each worker's direct descriptor table */
    uint32_t reserved1;
    uint8_t tls_ticket_keys[80];               /* random: a TLS session resumes on any worker of this boot */
    uint8_t hash_secret[RC_HASH_SECRET_BYTES]; /* random: all hash channel names alike (common/base/hash.h) */
    struct rc_listener listeners[RC_LISTENERS_MAX];
    uint8_t pad0[40];
    _Atomic uint32_t state; /* enum rc_broker_state */
    uint32_t reserved2;
    _Atomic uint64_t drain_deadline_ms; /* before state = DRAINING */
    uint8_t pad1[48];
    struct rc_life acceptor;
    struct rc_life relay;
    struct rc_life workers[RC_WORKERS_MAX];
    struct rc_hosts hosts;
    /* struct io_uring_params of the vaults, which are all alike (common/base/vault.h); zero: there are none */
    uint8_t vault_params[RC_VAULT_PARAMS_BYTES];
    uint8_t pad2[8];
    struct rc_trace_filter trace;
};
_Static_assert(offsetof(struct rc_core, state) % 64 == 0 && offsetof(struct rc_core, workers) % 64 == 0,
               "what everybody looks at has lines of its own");
_Static_assert(sizeof(struct rc_core) == 12928 + 49216 + 128 + 896,
               "core layout: raise RC_CORE_ABI when a member moves");

/*
 * W: acceptor. It holds permissions and API keys: children map it by a descriptor for reading, which they close before they speak with
 * anybody, and have no other way to it. A reload writes the copy not in force, then `generation` (release), and waits for every child's
 * config_generation before it writes again.
 */
struct rc_config_segment {
    _Atomic uint32_t ready;      /* RC_CONFIG_READY, stored last */
    uint32_t build;              /* RC_BUILD_ID */
    _Atomic uint32_t generation; /* copies[generation & 1] is in force; first is 0 */
    uint32_t reserved0;
    struct rc_config copies[2];
};

_Static_assert(RC_METRIC_NAMESPACES_MAX == RC_CONFIG_NAMESPACES_MAX, "one for each");

/*
 * How it stands with one of the backends (a [[backend]], or the sessions in Redis), as one process found it. In every report, at the same
 * index for the same backend: that of its table, and RC_BACKEND_SESSIONS. W: that process, by common/metrics/backend_health.
 */
#define RC_BACKEND_SESSIONS RC_CONFIG_BACKENDS_MAX
#define RC_BACKENDS_MAX (RC_CONFIG_BACKENDS_MAX + 1u)
#define RC_BACKEND_NAME_MAX 96u
struct rc_backend_health {
    _Atomic uint32_t state; /* enum rc_backend_state */
    /* CLOCK_MONOTONIC, rounded up, of when it failed by what it answered, if it did (rc_backend_health_wrong_ms); 0: it did not. Was reserved, as 0,
     * and then 1 for "it did". */
    _Atomic uint32_t wrong_s;
    _Atomic uint64_t success_ms; /* CLOCK_MONOTONIC of the last answer; 0 = none */
    _Atomic uint64_t failure_ms; /* of the last time that it did not answer, or not as it should; 0 = none */
    _Atomic uint64_t failures;
    char name[RC_BACKEND_NAME_MAX]; /* NUL-terminated; before `state` */
};
_Static_assert(sizeof(struct rc_backend_health) == 128, "backend health layout");

/* What became of the calls of one [[backend]], in the order of config.backends. W: each worker its own, by worker/backend/count. */
#define RC_BACKEND_KINDS 8u    /* enum rc_backend_call_kind */
#define RC_BACKEND_REASONS 8u  /* enum rc_backend_reason */
#define RC_BACKEND_BUCKETS 13u /* rc_backend_bounds_ms, and what is above the last of them */
enum rc_backend_reason {
    RC_BACKEND_REASON_LATE,
    RC_BACKEND_REASON_UNREACHABLE,
    RC_BACKEND_REASON_LOST,
    RC_BACKEND_REASON_GARBAGE,
    RC_BACKEND_REASON_TOO_LARGE,
    RC_BACKEND_REASON_REFUSED, /* by our own bounds */
    RC_BACKEND_REASON_STATUS,  /* one that does not answer such a call */
    RC_BACKEND_REASON_REPLY,   /* 200, but it is no reply to what was asked */
};
struct rc_backend_call_counters {
    _Atomic uint64_t calls; /* that have ended; those of `failures` among them */
    _Atomic uint64_t failures[RC_BACKEND_REASONS];
    _Atomic uint64_t microseconds; /* that all of `buckets` took together */
    _Atomic uint64_t buckets[RC_BACKEND_BUCKETS];
};
struct rc_backend_counters {
    _Atomic uint64_t in_flight; /* gauges */
    _Atomic uint64_t waiting;
    _Atomic uint64_t connections;
    _Atomic uint64_t breaker; /* 1 while it is not closed */
    _Atomic uint64_t opened;  /* times that the breaker has opened */
    _Atomic uint64_t again;   /* calls that were sent a second time */
    _Atomic uint64_t shared;  /* answered by another call's answer */
    _Atomic uint64_t dropped; /* of calls that nobody waits for: given up */
    struct rc_backend_call_counters calls[RC_BACKEND_KINDS];
};
_Static_assert(sizeof(struct rc_backend_counters) == 64 + 184 * RC_BACKEND_KINDS, "backend counters layout");

/* An address of the application whose clients this broker holds ([socketio] link, docs/link.md), in the order of its [[backend]] url; the last one is
 * of all processes that dial. W: each worker its own, by worker/link/tally; read by common/metrics/link_rows, where the numbers are. */
#define RC_LINK_ROWS (RC_CONFIG_BACKEND_URLS_MAX + 1u)
#define RC_LINK_ROW_DIAL RC_CONFIG_BACKEND_URLS_MAX
#define RC_LINK_ROW_NUMBERS 23u
struct rc_link_row {
    _Atomic uint64_t of; /* rc_link_row_of; 0: of nobody. Another one: its numbers begin anew */
    _Atomic uint64_t numbers[RC_LINK_ROW_NUMBERS];
};
_Static_assert(sizeof(struct rc_link_row) == 192, "link row layout");

/* What became of the events that a row of [[event]] is for. W: each worker its own, by common/metrics/event_rows. */
#define RC_ROW_OUTCOMES 7u /* 0: carried out; 1 and a guard (enum rc_event_guard; RC_GUARDS: none of them): refused */
_Static_assert(RC_ROW_OUTCOMES == 2 + RC_GUARDS, "a number for each guard");
struct rc_row_counters {
    _Atomic uint64_t key; /* which row it is, whatever its place: a reload may move it. 0: none */
    _Atomic uint64_t outcomes[RC_ROW_OUTCOMES];
};
_Static_assert(sizeof(struct rc_row_counters) == 64, "row counters layout: one cache line");

/* What a process leaves to those who look what happened: the lines of its log as they were written (common/base/log), cut, also where nobody
 * saw them; clients that have ended (common/records/closed.h), of workers; and what it is asked to trace (common/records/traced.h). Pages are
 * touched with use only. */
#define RC_FLIGHT_LINES 256u
#define RC_FLIGHT_CLOSED 256u
#define RC_FLIGHT_TRACED 4096u
RC_FLIGHT_RING(rc_flight_lines, RC_FLIGHT_LINES);
RC_FLIGHT_RING(rc_flight_closed, RC_FLIGHT_CLOSED);
RC_FLIGHT_RING(rc_flight_traced, RC_FLIGHT_TRACED);

/* What GET /api/trace of a worker asks of the acceptor, who alone writes struct rc_trace_filter of the core. W: that worker. */
struct rc_trace_ask {
    struct rc_trace_filter wanted; /* `by` 0: the trace of that serial is to end */
    _Atomic uint64_t read_ms;      /* CLOCK_MONOTONIC: when it was asked or read last */
    _Atomic uint32_t read_serial;  /* of the trace that was read */
    uint8_t pad[52];
};
_Static_assert(sizeof(struct rc_trace_ask) == 896 + 64, "trace ask layout");

/* What a process tells the others. W: that process. */
struct rc_report {
    _Atomic uint32_t ready; /* RC_REPORT_READY. W: acceptor, as the next three */
    uint32_t abi;           /* RC_CORE_ABI: up to the end of `process` */
    uint32_t layout;        /* RC_REPORT_ABI: of all behind it */
    uint32_t reserved0;
    uint8_t pad[112];
    struct rc_process process;
    struct rc_backend_health backend_health[RC_BACKENDS_MAX];
    struct rc_backend_counters backends[RC_CONFIG_BACKENDS_MAX]; /* of workers */
    struct rc_link_row link_rows[RC_LINK_ROWS];                  /* of workers */
    struct rc_flight_lines lines;
    struct rc_flight_closed closed; /* of workers */
    struct rc_flight_traced traced; /* of workers and relay */
    struct rc_trace_ask trace_ask;  /* of workers */
    struct rc_row_counters
        rows[RC_CONFIG_EVENTS_MAX]; /* of workers, in the order of config.events; pages are touched with use only */
    /* Of workers, in the order of config.backends: when it asked last whether it answers, in seconds of CLOCK_MONOTONIC; 0: never. By
     * common/metrics/backend_health. Was padding, as 0. */
    _Atomic uint32_t backend_looked_s[RC_CONFIG_BACKENDS_MAX];
    struct rc_banks banks;
};
_Static_assert(offsetof(struct rc_report, banks) == 128 + 256 + 128 * 17 + (64 + 184 * 8) * 16 + 192 * 9 +
                                                        256 * (1 + 256) * 2 + 256 * (1 + 4096) +
                                                        sizeof(struct rc_trace_ask) + 64 * 256 + 64,
               "report layout: raise RC_REPORT_ABI when a member moves");

static inline uint64_t rc_report_value(const struct rc_report *report, enum rc_metric_id id)
{
    return rc_bank_value(rc_banks_current(&report->banks), id);
}

/* What the relay thinks of a worker. W: relay. */
#define RC_VERDICT_LOST UINT64_C(0x4c4f5354) /* "LOST" */
struct rc_verdict {
    _Atomic uint64_t lost;   /* RC_VERDICT_LOST << 32 | generation whose rings cannot be used: it has to be replaced */
    _Atomic uint32_t behind; /* 1 while messages had to be dropped for it */
    uint32_t reserved0;
};

struct rc_relay_report {
    struct rc_report report;
    struct rc_redis_health redis_health;
    struct rc_bridge_counters bridges[RC_CONFIG_BRIDGES_MAX]; /* in the order of config.bridges */
    struct rc_verdict verdicts[RC_WORKERS_MAX];
    struct rc_neighbours neighbours;
};
_Static_assert(sizeof(struct rc_relay_report) == sizeof(struct rc_report) + 512 + 16 * 64 + 16 * 128 + 8256,
               "report layout: raise RC_REPORT_ABI when a member moves");

/* What a relay leaves to its successor. W: relay; nobody else has it. */
struct rc_relay_keep {
    _Atomic uint32_t ready; /* RC_KEEP_READY. W: acceptor, as `abi` */
    uint32_t abi;           /* RC_CORE_ABI */
    uint8_t pad[120];
    struct rc_relay_truth truth;
    /* For each worker: 1 from the first drop until every gap record is written; a successor that finds 1 writes one gap for
     * all. */
    _Atomic uint32_t gap_pending[RC_WORKERS_MAX];
    struct rc_idempotency idempotency; /* pages are touched with use only */
};
/* In its segment; behind it, at a page, are socketio.recovery_memory bytes that are the relay's own (relay/recovery/segment.h). */
#define RC_RELAY_KEEP_BYTES ((sizeof(struct rc_relay_keep) + 4095u) & ~(uint64_t)4095u)

/* One generation's rings of a worker: pair = generation & 1. */
struct rc_port_pair {
    struct rc_ring_shared up;       /* producer worker, consumer relay */
    struct rc_ring_shared down;     /* producer relay, consumer worker */
    struct rc_ring_shared overflow; /* producer and consumer relay: what did not fit in `down` */
};

struct rc_port {
    _Atomic uint32_t ready;  /* RC_PORT_READY. W: acceptor, as all before `pairs` */
    uint32_t abi;            /* RC_PORT_ABI */
    uint64_t ring_bytes;     /* data bytes of each up and down ring */
    uint64_t overflow_bytes; /* data bytes of each overflow ring */
    uint8_t pad[104];
    struct rc_port_pair pairs[2]; /* pair = generation of the worker & 1 */
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

/* A process's own view of a port: the sizes were copied and checked when it was mapped (rc_port_view_open). */
struct rc_port_view {
    struct rc_port *shared; /* borrowed: mapped until exit */
    uint64_t ring_bytes;
    uint64_t overflow_bytes;
};

/* The data area of one ring. */
static inline void *rc_port_data(const struct rc_port_view *view, uint32_t pair, enum rc_port_ring ring)
{
    const uint64_t pair_bytes = 2 * view->ring_bytes + view->overflow_bytes;
    return (uint8_t *)view->shared + RC_PORT_DATA_OFFSET + pair * pair_bytes + (uint64_t)ring * view->ring_bytes;
}

#endif
