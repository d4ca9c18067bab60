/*
 * pool: the connections to a backend: made, used for one call after another, closed. Private to worker/backend.
 *
 *   FREE ─▶ CONNECTING ─▶ PLACING ─▶ ASKED ◀──▶ IDLE ─▶ closed: by the backend, an answer that is none, a late call, after a while
 *              └───────────┴─ failed: nothing was sent, the call may try the next address
 *
 * A connection is a socket of the worker's ring like any client's (RC_SOCKET_MADE_HERE): TLS, output and its bounds are io's and the hub's.
 * Calls that are over with lie in `ended` until backend.c looks there, so that nobody is told anything in the middle of somebody
 * else's work.
 */
#ifndef RC_WORKER_BACKEND_POOL_H
#define RC_WORKER_BACKEND_POOL_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "worker/backend/question.h"
#include "worker/backend/breaker.h"
#include "worker/backend/request.h"
#include "worker/http/answer.h"
#include "worker/hub/hub.h"
#include "worker/io/io.h"

#define RC_BACKEND_ADDRESSES_MAX 64u /* of one backend: of all its URLs together */
#define RC_BACKEND_CONNS_MAX 65536u  /* of a worker */

enum rc_calling_state {
    RC_CALLING_WAITS,
    RC_CALLING_TAKEN,  /* by a connection */
    RC_CALLING_UNSENT, /* in `ended`: nothing of it was carried out, and it may be sent (again) */
    RC_CALLING_ENDED,  /* in `ended` */
};

/* One call. */
struct rc_calling {
    struct rc_calling
        *older; /* all of its backend, in the order in which they began, which is that of their deadlines */
    struct rc_calling *newer;
    struct rc_calling *next; /* WAITS: behind it; in `ended`: likewise */
    struct rc_backend *backend;
    struct rc_backend_waiter waiter;
    uint64_t begun_ns;
    uint64_t deadline_ms;
    uint64_t tried;  /* addresses, a bit each */
    uint8_t *answer; /* owned */
    size_t answer_bytes;
    const char *why;        /* static */
    uint32_t conn;          /* TAKEN */
    uint32_t headers_bytes; /* in `bytes` */
    uint32_t body_bytes;    /* behind them */
    uint16_t status;
    uint8_t kind;    /* enum rc_backend_call_kind */
    uint8_t state;   /* enum rc_calling_state */
    uint8_t outcome; /* enum rc_backend_outcome */
    uint8_t attempt;
    bool leaves; /* rc_backend_request.leaves */
    bool probe;
    bool again; /* it was sent once before */
    bool kept;  /* in `ended`: it was never one: its answer was there already */
    char id[RC_BACKEND_ID_MAX];
    uint8_t bytes[];
};

struct rc_backend_address {
    struct sockaddr_storage name;
    socklen_t name_bytes;
    uint32_t url;     /* index in config.urls */
    uint32_t conns;   /* not FREE */
    uint32_t idle;    /* first + 1; 0: none */
    uint64_t down_ms; /* until then it is asked only when all others are down */
    bool gone;        /* its name has other addresses now */
};

/* One [[backend]] as it was configured; a reload that changes it makes another one, and this one ends with its calls. */
struct rc_backend {
    struct rc_backend *next;
    struct rc_config_backend config; /* a copy */
    struct rc_backend_url urls[RC_CONFIG_BACKEND_URLS_MAX];
    struct rc_backend_address addresses[RC_BACKEND_ADDRESSES_MAX];
    uint32_t address_count;
    uint32_t address_next;            /* round robin */
    uint32_t index;                   /* in the configuration: of its counters */
    uint32_t conns;                   /* of all addresses */
    SSL_CTX *tls;                     /* owned; NULL when no URL is https */
    struct rc_backend_signer *signer; /* owned; NULL: not signed */
    struct rc_breaker breaker;
    struct rc_calling *oldest;
    struct rc_calling *newest;
    struct rc_calling *first_waiting;
    struct rc_calling *last_waiting;
    uint32_t waiting;
    uint64_t waiting_bytes;
    uint32_t taken;
    uint64_t looked_ms; /* when look.h asked last */
    uint64_t
        idle_due_ms; /* before that it is not to be looked for, unless it fails, whatever others have heard since; 0: not known */
    bool retired;
    bool failing; /* its last call failed, and that was logged */
};

struct rc_backend_conn {
    struct rc_backend *backend; /* NULL: FREE */
    struct rc_calling *call;    /* ASKED, or for whom it is being made; may go meanwhile */
    uint32_t generation;
    uint32_t address;
    uint32_t socket; /* RC_SOCKET_NONE before it has its place */
    uint32_t next;   /* FREE, idle: the next one + 1 */
    bool kept;       /* it has answered before */
    bool sent;       /* ASKED: the request is output of the socket */
    struct rc_http_answer answer;
};

struct rc_backends {
    struct rc_truth *truth; /* borrowed, as the others */
    struct rc_io *io;
    struct rc_hub *hub;
    const struct rc_control *control;
    struct rc_backend_counters *counters; /* of this worker: RC_CONFIG_BACKENDS_MAX */
    const struct rc_config *config;
    uint32_t worker;
    uint32_t run; /* random: tells this process's calls from its predecessor's */
    uint64_t next_id;
    uint32_t hosts_revision;
    bool draining;
    /* Its report is this process's: not before its loop, for a predecessor goes on with it if this one is refused. */
    bool reports;
    bool looks; /* the last pass of the loop made looks (look.h), or would have */
    bool room;  /* a connection is free, or may be made: somebody may wait for it */
    struct rc_backend *current[RC_CONFIG_BACKENDS_MAX]; /* those in force */
    struct rc_config_text names[RC_CONFIG_BACKENDS_MAX];
    uint32_t count;
    struct rc_backend *all;        /* and those that end */
    struct rc_backend_conn *conns; /* owned */
    uint32_t conn_count;
    uint32_t conn_free;       /* first + 1 */
    struct rc_calling *ended; /* in their order */
    struct rc_calling *ended_last;
    struct rc_flights *flights; /* owned */
    uint8_t trace[240];
    uint32_t trace_used;
};

/* A connection for the call: an idle one, or one that is being made. */
enum rc_pool_taken {
    RC_POOL_TAKEN,
    RC_POOL_FULL, /* every connection is in use: backends->room becomes true when that changes */
    RC_POOL_NONE, /* no address is left that was not tried */
};
enum rc_pool_taken rc_pool_take(struct rc_backends *backends, struct rc_calling *call);
/* Somebody else ends the call, which is TAKEN: its answer is not wanted any more. */
void rc_pool_drop(struct rc_backends *backends, struct rc_calling *call);
/* Puts the call into `ended`. */
void rc_calling_end(struct rc_backends *backends, struct rc_calling *call, enum rc_calling_state state,
                    enum rc_backend_outcome outcome, const char *why);
/* Closes the connections that no call has: of addresses that are gone, or all. */
void rc_pool_trim(struct rc_backends *backends, struct rc_backend *backend, bool all);
void rc_pool_close(struct rc_backends *backends);

#endif
