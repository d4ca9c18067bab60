/*
 * revocations: tokens that were taken back before they expire, as it stands in Redis (docs/auth.md), as far as it is about who is here.
 *
 *   rc_revocations_find ──▶ it is known and at most 250 ms old: VALID, REVOKED, UNKNOWN
 *                      └──▶ WAITS: the relay is asked, once for all with that token ──▶ ops.ready for each of them
 *   every second        ── what do the keys of those who are connected say? ──▶ ops.revoked
 *
 * A token has two keys: its own, by `jti`, which need only be there, and its user's, whose value may be a time: then those are meant that
 * were issued before it. Both are asked for together, 64 tokens in one question.
 *
 * Backends in any language only SET these keys. They are looked for, and not heard of: Redis cannot list keys by their beginning without
 * walking through all that it has, keyspace notifications are often off and are lost with the connection, and what is forgotten after a
 * SET, a PUBLISH, would leave a revoked token in. What is kept here is therefore no list of all that was revoked, and does not grow with it.
 *
 * Owned by the worker's main(), one thread, private memory; it knows no clients. Bounded: RC_REVOCATIONS_MAX tokens of 250 ms and as
 * many who wait; beyond that the state is UNKNOWN. All that is UNKNOWN is counted.
 */
#ifndef RC_WORKER_IDENTITY_REVOCATIONS_H
#define RC_WORKER_IDENTITY_REVOCATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/metrics/metrics.h"
#include "worker/identity/sessions.h"
#include "worker/uplink/ask.h"
#include "worker/uplink/uplink.h"

#define RC_REVOCATIONS_FRESH_MS 250u  /* what is known counts for so long */
#define RC_REVOCATIONS_CHECK_MS 1000u /* how often those of clients are looked for */
#define RC_REVOCATIONS_MAX 16384u
#define RC_REVOCATIONS_BUCKETS 4096u /* a power of two */
#define RC_TOKEN_ID_MAX 255u
#define RC_REVOCATION_TIME_MIN_S \
    1000000000u /* smaller numbers are no times: a 1 that somebody has set means all tokens */

/* What of a token is asked about. Spans are borrowed for the call. */
struct rc_revocable {
    struct rc_span id;   /* `jti`; empty: it has none, and only its user counts */
    struct rc_span user; /* not empty */
    uint64_t issued_s;   /* `iat`, since 1970; 0: it does not say, and counts as older than any time */
};

enum rc_revocation_state { RC_REVOCATION_WAITS, RC_REVOCATION_VALID, RC_REVOCATION_REVOKED, RC_REVOCATION_UNKNOWN };

struct rc_revocations_ops {
    void *context; /* borrowed */
    /* What it waits for is known: it asks again. Not within rc_revocations_find. */
    void (*ready)(void *context, const struct rc_identity_asker *asker);
    /* Clients have indices from 1 to this. */
    uint32_t (*clients)(void *context);
    /* The name (never 0) of a client that is to be checked; 0: there is none there, or it has no such token. */
    uint64_t (*client)(void *context, uint32_t index, struct rc_revocable *token);
    /* The token of that client is revoked. Whoever it was may not be there any more. */
    void (*revoked)(void *context, uint32_t index, uint64_t name);
};

struct rc_revocation;
struct rc_revocation_waiter;
struct rc_revocation_batch;

struct rc_revocations {
    struct rc_revocations_ops ops;
    struct rc_asks *asks;       /* borrowed */
    struct rc_uplink *uplink;   /* borrowed */
    struct rc_metrics *metrics; /* borrowed */
    const uint64_t *now_ns;     /* borrowed: CLOCK_MONOTONIC of this pass of the loop */
    const char *prefix;         /* borrowed: redis.prefix */
    uint32_t worker;
    bool used;                           /* some table of [[identity]] wants it */
    struct rc_revocation **buckets;      /* owned: RC_REVOCATIONS_BUCKETS; NULL until the first one */
    struct rc_revocation_waiter **waits; /* owned: as many, by token; NULL until the first one */
    uint32_t count;                      /* tokens */
    uint32_t waiting;
    struct rc_revocation *first_new; /* to be asked about, in their order */
    struct rc_revocation *last_new;
    struct rc_revocation *first_known; /* in the order in which they were answered */
    struct rc_revocation *last_known;
    struct rc_revocation_batch *batches; /* owned: questions that are not answered */
    uint64_t tick_ms;                    /* CLOCK_MONOTONIC: the next look at clients */
    uint32_t cursor;                     /* the client where that goes on */
};

void rc_revocations_open(struct rc_revocations *revocations, struct rc_asks *asks, struct rc_uplink *uplink,
                         struct rc_metrics *metrics, uint32_t worker, const uint64_t *now_ns,
                         const struct rc_revocations_ops *ops);
/* After rc_asks_close. */
void rc_revocations_close(struct rc_revocations *revocations);
/* `prefix`: borrowed, redis.prefix. Not `used`: clients are not looked at. */
void rc_revocations_configure(struct rc_revocations *revocations, const char *prefix, bool used);

enum rc_revocation_state rc_revocations_find(struct rc_revocations *revocations, const struct rc_revocable *token,
                                             const struct rc_identity_asker *asker);
/* It waits no more. A token that does not wait is no mistake. */
void rc_revocations_forget(struct rc_revocations *revocations, uint64_t token);

/* Every pass of the loop. */
void rc_revocations_work(struct rc_revocations *revocations);
uint32_t rc_revocations_sleep_ms(const struct rc_revocations *revocations, uint32_t most_ms);

/* Of the API: the key that revokes a token or a user, under `prefix`. Its bytes, or 0: it is too long. */
uint32_t rc_revocation_key(const char *prefix, bool of_user, struct rc_span name, uint8_t *out, uint32_t room);

#endif
