/*
 * ask: what this worker has asked the relay, or through it other workers and instances, and who waits for what comes back.
 *
 *   asker ── rc_asks_begin: a token ──▶ its records go up the ring with that token
 *   asker ◀── answered ────────────── rc_asks_answered ◀── down ring     found by the token
 *   asker ◀── unanswered ──────────── rc_asks_expire                    it took too long, or the relay that was asked is gone
 *   asker ── rc_asks_end ──▶ (gone)                                      it wants to know no more
 *
 * One of the last three ends every entry, exactly once; what comes for a token that has ended is forgotten. Nobody needs to be a client
 * to ask: who asks is a pointer and, if wanted, a client's name.
 *
 * Private memory of the worker: a worker that dies takes its clients along. Owned by main(), one thread. Bounded: each kind of asker
 * has its own share, so that none can keep the others from asking; what finds it used up by what somebody still wants to know is counted
 * (RC_METRIC_ASKS_FULL).
 */
#ifndef RC_WORKER_UPLINK_ASK_H
#define RC_WORKER_UPLINK_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/metrics/metrics.h"
#include "common/records/call.h"
#include "common/records/envelope.h"
#include "common/shm/control.h"

enum rc_ask_kind {
    RC_ASK_CLIENT,   /* questions of clients: the token travels in the record's head */
    RC_ASK_API,      /* calls of the HTTP API: it travels in a struct rc_call_tag */
    RC_ASK_RULES,    /* questions of rows about rooms: likewise */
    RC_ASK_IDENTITY, /* who a client is: as those of clients */
    RC_ASK_LIMIT,    /* limits that instances share: in the record's head */
    RC_ASK_LINK,     /* who comes back to an application behind links: likewise */
    RC_ASK_KINDS,
};

#define RC_ASKS_OF_KIND_MAX 1024u
#define RC_ASKS_MAX (RC_ASK_KINDS * RC_ASKS_OF_KIND_MAX)

enum rc_ask_end {
    RC_ASK_LATE,     /* there was no answer in time */
    RC_ASK_REPLACED, /* the relay that was asked is gone, and what it was asked with it */
};

struct rc_ask;

/* Static. */
struct rc_asker {
    enum rc_ask_kind kind;
    uint32_t in_ms; /* an answer that takes longer is none */
    bool once;      /* the first record is the answer; else the asker ends it */
    bool of_relay;  /* the relay keeps what it was asked in its own memory: its successor knows nothing of it */
    /* A record came; the view lives during the call only. With `once` the entry is gone already, and the token free. */
    void (*answered)(const struct rc_ask *ask, enum rc_record_type type, const struct rc_envelope_view *view);
    /* Nothing (more) comes: the entry is gone. */
    void (*unanswered)(const struct rc_ask *ask, enum rc_ask_end why);
    /* Does anybody still want to know? Asked when the kind's share is used up: what nobody wants makes room. NULL: until it ends. */
    bool (*wanted)(const struct rc_ask *ask);
};

struct rc_ask {
    const struct rc_asker *asker; /* borrowed: static; NULL = free */
    void *context;                /* borrowed: the asker's */
    uint64_t token;
    uint64_t due_ms;
    struct rc_client_ref client; /* who wants to know; random 0 = no client */
    uint32_t relay_generation;   /* of_relay: which one was asked */
    uint32_t next;               /* in the order of due_ms (+ 1; 0 = end); of the free ones */
    uint32_t previous;
    uint8_t id_bytes;
    uint8_t id[RC_REQUEST_ID_MAX]; /* of the client's request */
};

struct rc_asks {
    const struct rc_control *control; /* borrowed */
    struct rc_metrics *metrics;       /* borrowed */
    const uint64_t *now_ns;           /* borrowed: CLOCK_MONOTONIC of this pass of the loop */
    struct rc_ask *items;             /* owned: RC_ASKS_MAX; NULL until the first one */
    uint64_t nonce;                   /* of this worker's start: records of its predecessors have another one */
    uint64_t serial;                  /* of the last one */
    uint32_t free;                    /* first of the free ones + 1; 0 = none */
    uint32_t first;                   /* the one that is due first + 1; 0 = none */
    uint32_t last;
    uint32_t relay_generation; /* when it was looked for replaced relays last */
    uint64_t swept_ms;         /* when it was looked for what nobody wants last */
    uint32_t counts[RC_ASK_KINDS];
};

void rc_asks_open(struct rc_asks *asks, const struct rc_control *control, struct rc_metrics *metrics,
                  const uint64_t *now_ns);
/* What waits is forgotten. */
void rc_asks_close(struct rc_asks *asks);

/* Somebody is about to ask; *token is to travel with every record of it. -ENOBUFS: its kind's share is used up, counted; -ENOMEM. If
 * the record cannot be written after all: rc_asks_end. `client`, `id`: may be NULL and empty. */
int rc_asks_begin(struct rc_asks *asks, const struct rc_asker *asker, void *context, const struct rc_client_ref *client,
                  struct rc_span id, uint64_t *token);
/* The asker wants to know no more; a token that has ended is no mistake. */
void rc_asks_end(struct rc_asks *asks, uint64_t token);
/* The tag of a record of RC_ASK_API. */
struct rc_call_tag rc_asks_tag(const struct rc_asks *asks, uint64_t token, uint32_t item);

/* A record came down that answers something. */
void rc_asks_answered(struct rc_asks *asks, enum rc_record_type type, const struct rc_envelope_view *view);
/* Tells those that will not be answered any more. Every pass of the loop. */
void rc_asks_expire(struct rc_asks *asks);
/* Milliseconds until the next one is due, at most `most_ms`. */
uint32_t rc_asks_sleep_ms(const struct rc_asks *asks, uint32_t most_ms);

#endif
