/*
 * exchange: one HTTP request of a connection and its answer, which may come later.
 *
 * Between the bytes of connections and whoever answers. Owned by who owns the connections (worker/client), one thread; what is needed
 * of a connection comes through struct rc_exchange_ops. A connection has one exchange at a time, and names it by one number; what is
 * pipelined behind it is not looked at before it is answered.
 *
 *            head whole          rc_exchange_read           body whole
 *   (none) ────────────▶ RUNNING ───────────────▶ READING ────────────▶ RUNNING
 *                         │   │ rc_exchange_wait
 *                         │   └──────────▶ WAITING: for a record, a hook, news; rc_exchange_room tells of room in the up ring
 *                         ▼                   │
 *   (none) ◀── rc_exchange_answer, whenever ──┘     keep-alive: the next request; else the connection lingers
 *   (none) ◀── rc_exchange_upgraded                 it speaks something else now
 *   (none) ◀── rc_exchange_put_back                 somebody else is to see this request
 *   (none) ◀── rc_exchanges_gone                    the client went away: user.ended with status 0
 *
 * The owner may keep what has come of a request that is READING or WAITING, so that another process can begin it anew: rc_exchanges_feed says
 * where it began, rc_exchange_repeats whether it may be, and ops.once and ops.over when that is over.
 *
 * READING and WAITING have a deadline (rc_exchanges_expired). Those two are bounded in number (kept_max, counted when full)
 * and in the memory of their bodies (limits.worker_log); who is RUNNING is answered in the call that began it, or becomes one of them,
 * which costs it a copy of what it said about CORS.
 */
#ifndef RC_WORKER_HTTP_EXCHANGE_H
#define RC_WORKER_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/metrics/metrics.h"
#include "common/text/cidr.h"
#include "worker/http/body.h"
#include "worker/http/cors.h"
#include "worker/http/parse.h"
#include "worker/http/respond.h"

struct rc_exchange;

/* A connection, as whoever owns it offers it. */
struct rc_exchange_ops {
    void *context; /* borrowed */
    /* Does it still speak HTTP: neither upgraded nor ending? */
    bool (*speaks)(void *context, uint32_t connection);
    /* Where it keeps the number of its exchange; 0 = none. */
    uint32_t *(*place)(void *context, uint32_t connection);
    /* A head is whole: exchange->client, local and proxied are to be filled in, then the request is to be handled. */
    void (*begin)(void *context, struct rc_exchange *exchange);
    /* Appends to its output. -ENOMEM: it must end. */
    int (*write)(void *context, uint32_t connection, const void *bytes, uint32_t count);
    uint32_t (*unsent)(void *context, uint32_t connection);
    /* Answers pile up: nothing is read, and rc_exchanges_feed not called, until they have left. */
    void (*hold)(void *context, uint32_t connection);
    /* Its deadline is in so many milliseconds; 0 = it has none. */
    void (*deadline)(void *context, uint32_t connection, uint64_t in_ms);
    /* It ends once its output has left. */
    void (*linger)(void *context, uint32_t connection);
    /* There is no memory for it: it ends. */
    void (*fail)(void *context, uint32_t connection);
    /* Of an owner that keeps requests for another process; else NULL, all three. From here on its request is not to be begun anew; over: nor is
     * it in progress, its answer is written. */
    void (*once)(void *context, uint32_t connection);
    void (*over)(void *context, uint32_t connection);
    /* Likewise: its answer is being written, and is. */
    void (*answers)(void *context, uint32_t connection);
    void (*answered)(void *context, uint32_t connection);
    /* Likewise: from here on, and until it is told false, who waited is being answered. */
    void (*works)(void *context, uint32_t connection, bool works);
    /* Likewise: something is done for what it sends. Until then nothing has left, nor can it be seen, and a former process that was killed has done as
     * good as nothing. */
    void (*begun)(void *context, uint32_t connection);
    /* How much a former process had done of the request that begins now (exchange->done); 0: nothing; RC_EXCHANGE_ANSWERED: all, it is passed over. */
    uint64_t (*done)(void *context, uint32_t connection);
    /* It was answered later: what is pipelined behind may go on. Not in the middle of another connection's request, but behind it. */
    void (*resume)(void *context, uint32_t connection);
};

/* Whoever takes a request over. Static. */
struct rc_exchange_user {
    bool half_closed_is_gone; /* who sends nothing any more wants no answer either */
    bool says_begun;          /* `run` does nothing before rc_exchange_begun */
    /* The body is whole: exchange->bytes. */
    void (*run)(struct rc_exchange *exchange);
    /* There is room in the up ring again. NULL: of no interest. */
    void (*room)(struct rc_exchange *exchange);
    /* READING or WAITING took too long: it is to be answered now. NULL: 408 or 504. */
    void (*expired)(struct rc_exchange *exchange);
    /* It was answered so, or (0) its client is gone: what `context` is comes back. NULL: nothing to give back. */
    void (*ended)(struct rc_exchange *exchange, uint16_t status);
};

#define RC_EXCHANGE_ANSWERED UINT64_MAX

enum rc_exchange_state { RC_EXCHANGE_RUNNING, RC_EXCHANGE_READING, RC_EXCHANGE_WAITING };

struct rc_exchange {
    struct rc_exchanges *exchanges;        /* borrowed */
    const struct rc_http_request *request; /* borrowed: until the call that began it returns, then NULL */
    const struct rc_exchange_user *user;   /* borrowed; NULL = nobody who wants to know */
    void *context;                         /* the user's */
    uint32_t connection;
    uint32_t index; /* in rc_exchanges.items */
    enum rc_exchange_state state;
    bool kept;     /* counted: it is READING or WAITING, or was */
    bool again;    /* while it waits another process may begin it anew, and find `done` there */
    uint64_t done; /* how much of it was carried out, as its user counts it */
    bool first;    /* it began with the first of the bytes that it came with */
    bool keep_alive;
    bool head;                /* a HEAD request */
    uint64_t body_bytes_max;  /* of who is about to read it; 0 = limits.max_body */
    bool unread;              /* it has a body that nobody has read (to its end) */
    bool local;               /* it comes from this machine, or through an admin listener */
    bool console;             /* it came over the control socket: whoever runs the broker asks */
    bool proxied;             /* the peer itself is one of http.trusted_proxies */
    uint8_t coding;           /* enum rc_content_coding: what its answer may be coded by, once its user has looked */
    struct rc_address client; /* who asks, behind trusted proxies */
    struct rc_http_body body;
    uint8_t *bytes; /* owned: the body as far as it has come */
    size_t byte_count;
    size_t byte_capacity;
    const char
        *cors; /* CORS header lines of the answer: in exchanges->cors, or (`kept`) owned; NULL = none are known */
};

struct rc_exchanges {
    struct rc_exchange_ops ops;
    const struct rc_config *config; /* borrowed: the one in force */
    struct rc_metrics *metrics;     /* borrowed */
    struct rc_exchange **items;     /* owned, kept_max + 1 (one is RUNNING without being kept); NULL = free */
    struct rc_exchange *spare;      /* owned: the one freed last, for the next request */
    uint32_t next;                  /* where the search for a free entry begins */
    uint32_t kept;
    uint32_t kept_max;
    uint32_t waiting;
    uint32_t feeding; /* connection + 1 whose owner goes on by itself; 0 = none */
    uint32_t *later;  /* owned, kept_max + 1: connections that were answered while another one was fed */
    uint32_t later_count;
    bool put_back;                        /* the request that has just begun counts as not consumed */
    uint64_t bytes;                       /* of bodies, and what else was charged */
    bool draining;                        /* no connection is kept after its answer */
    char cors[RC_CORS_HEADERS_BYTES_MAX]; /* of the one that is RUNNING and not kept */
    struct rc_http_date date;
};

#define RC_EXCHANGE_HEADERS_BYTES_MAX 4096u /* of what one answer says beside its own, terminator included */

/* The answer to a request; everything borrowed for the call. Zeroed members are left out. */
struct rc_exchange_answer {
    uint16_t status;
    const char *message; /* an error's, as JSON in place of the body; NULL = `body` counts */
    const char *content_type;
    const void *body;
    size_t body_bytes;
    const char *headers; /* further lines, each ending in CRLF; less than RC_EXCHANGE_HEADERS_BYTES_MAX */
    const char *allow;
    uint32_t retry_after_s;
    bool cacheable; /* `headers` say how */
    /* All of it is written, and stays should this process be killed from here on; nothing else is done before. Not called if it could not be. May be
     * NULL. */
    void (*written)(void *context);
    void *context; /* borrowed */
};

/* -ENOMEM. At most `kept_max` read or wait. */
int rc_exchanges_open(struct rc_exchanges *exchanges, const struct rc_exchange_ops *ops, const struct rc_config *config,
                      struct rc_metrics *metrics, uint32_t kept_max);
/* Ends all as if their clients had gone. */
void rc_exchanges_close(struct rc_exchanges *exchanges);

/* --- of the connection's owner --- */

#define RC_EXCHANGE_BEGAN_BEFORE UINT32_MAX
/* Handles what came; the bytes consumed. The rest is incomplete (of its head `*scanned` bytes were searched, 0 with other bytes), is
 * pipelined behind an exchange that waits, or belongs to what the connection speaks now. At *began in them begins the request in progress,
 * if there is one; RC_EXCHANGE_BEGAN_BEFORE: it did before them. */
uint32_t rc_exchanges_feed(struct rc_exchanges *exchanges, uint32_t connection, const uint8_t *bytes, uint32_t count,
                           uint32_t *scanned, uint32_t *began);
/* The deadline has come; false: no exchange has one, the connection itself is late. */
bool rc_exchanges_expired(struct rc_exchanges *exchanges, uint32_t connection);
/* There is room in the up ring; the owner goes on with what is pipelined by itself. */
void rc_exchanges_room(struct rc_exchanges *exchanges, uint32_t connection);
/* The connection is gone. */
void rc_exchanges_gone(struct rc_exchanges *exchanges, uint32_t connection);
/* The connection's exchange; NULL: it has none. */
struct rc_exchange *rc_exchange_of(const struct rc_exchanges *exchanges, uint32_t connection);
/* May another process begin the request in progress anew, from its first byte on? */
bool rc_exchange_repeats(const struct rc_exchange *exchange);
/* Does a whole request of it wait for its answer, although the client sends nothing any more? */
bool rc_exchanges_waits(const struct rc_exchanges *exchanges, uint32_t connection);

/* --- of who answers --- */

/* Something is done for it from here on (ops.begun). Ending, it is said anyway. */
void rc_exchange_begun(const struct rc_exchange *exchange);
/* Has the body read, then user.run: at once if there is none. 0; -ENOBUFS: too many, the request is to be answered. */
int rc_exchange_read(struct rc_exchange *exchange, const struct rc_exchange_user *user, void *context);
/* The answer comes later, in `in_ms` at most (0: whenever). -ENOBUFS as above. */
int rc_exchange_wait(struct rc_exchange *exchange, uint64_t in_ms);
/* Gives the body's memory back before the answer. */
void rc_exchange_release_body(struct rc_exchange *exchange);
/* The exchange is gone afterwards. */
void rc_exchange_answer(struct rc_exchange *exchange, const struct rc_exchange_answer *answer);
/* The same for what is wrong; the connection ends with what says that the next request cannot be found, or is not wanted. */
void rc_exchange_error(struct rc_exchange *exchange, struct rc_exchange_answer answer);
/* Gone without an answer of ours: the caller writes the 101 and takes the connection over. True: later than in the call that began it,
 * so that the caller has to go on with what is parked behind it. */
bool rc_exchange_upgraded(struct rc_exchange *exchange);
/* Gone without an answer: its request, head and all, counts as not consumed, nor does what is behind it. In the call that began it, before
 * anything was done with it; the caller sees to it that the connection speaks no more (ops.speaks). */
void rc_exchange_put_back(struct rc_exchange *exchange);

/* Memory of a request beside its body, within the same budget. -ENOMEM, counted. */
int rc_exchanges_charge(struct rc_exchanges *exchanges, uint64_t bytes);
void rc_exchanges_discharge(struct rc_exchanges *exchanges, uint64_t bytes);

#endif
