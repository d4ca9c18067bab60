/*
 * limits: may this happen once more? Limits that are shared: by all connections of a user, all workers of the host, all instances.
 *
 *   question ──▶ host's window (common/shm/windows.h) full ──▶ EXCEEDED, at once
 *                  │ there is room
 *                  ├─ no Redis, or what is counted is of this host only ──▶ taken ──▶ ALLOWED
 *                  └─ relay ──▶ Redis ──▶ WAITS: `ready` is called once, and the same question again finds the answer
 *                                 └─ away, or nothing for RC_LIMIT_WAIT_MS ──▶ the host's window decides, counted
 *
 * Who waits for nothing else but the answer asks the same question again when `ready` names it; what it asked for it then has, or has not.
 * A question is not asked twice: an ALLOWED is used up by being told. Owned by the worker's main(), one thread. Bounded: RC_LIMITS_WAITING
 * wait at a time; beyond, the host's window decides, counted. Nothing fails.
 */
#ifndef RC_WORKER_LIMITS_LIMITS_H
#define RC_WORKER_LIMITS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/metrics/metrics.h"
#include "common/records/envelope.h"
#include "common/shm/control.h"
#include "worker/uplink/ask.h"
#include "worker/uplink/uplink.h"

#define RC_LIMIT_WAIT_MS 250u
#define RC_LIMITS_WAITING 2048u

/* What is counted. */
enum rc_limit_kind {
    RC_LIMIT_EVENTS,      /* all events of a user */
    RC_LIMIT_EVENT,       /* of one [[event]] row: `nsp` and `name` as the row has them */
    RC_LIMIT_EVENT_BYTES, /* the same, of what they say */
    RC_LIMIT_GROUP,       /* of a rate_group: `name` is its name */
    RC_LIMIT_GROUP_BYTES,
    RC_LIMIT_PUBLISH, /* of a channel namespace: `name` is its name */
    RC_LIMIT_PUBLISH_BYTES,
    RC_LIMIT_SUBSCRIBE, /* the same */
    RC_LIMIT_UNSUBSCRIBE,
    RC_LIMIT_KINDS,
};

/* Spans are borrowed for the call. */
struct rc_limit_question {
    enum rc_limit_kind kind;
    struct rc_span nsp;           /* of EVENT; else empty */
    struct rc_span name;          /* at most 255 bytes */
    struct rc_span user;          /* whose; empty: of this connection */
    struct rc_client_ref client;  /* who asks; it is who `ready` names */
    struct rc_window_limit limit; /* count 0: no limit */
    uint32_t cost;                /* of `limit`; more than all of it is never allowed */
};

enum rc_limit_answer {
    RC_LIMIT_ALLOWED,  /* and counted */
    RC_LIMIT_EXCEEDED, /* *retry_ms: not before so long, or RC_LIMIT_NEVER_MS; not counted */
    RC_LIMIT_WAITS,    /* the same question again once `ready` has been called for the client */
};

struct rc_limit_wait; /* one question */

struct rc_limits {
    const struct rc_control *control; /* borrowed */
    struct rc_limits_segment *shared; /* borrowed: shared */
    struct rc_asks *asks;             /* borrowed */
    struct rc_uplink *uplink;         /* borrowed */
    struct rc_metrics *metrics;       /* borrowed */
    const uint64_t *now_ns;           /* borrowed: CLOCK_MONOTONIC of this pass of the loop */
    uint32_t worker;
    bool across;                   /* there are other instances, by way of Redis */
    struct rc_limit_wait *waiting; /* owned: RC_LIMITS_WAITING; NULL until the first one */
    void (*ready)(void *context, const struct rc_client_ref *client);
    void *context; /* borrowed */
};

/* `across`: redis.url is set. `adopted`: a predecessor's clients are this worker's, and what was tallied of them stays.
 * `ready`: the client's question is answered; called from the loop, never by rc_limits_ask. */
void rc_limits_open(struct rc_limits *limits, const struct rc_control *control, struct rc_asks *asks,
                    struct rc_uplink *uplink, struct rc_metrics *metrics, const uint64_t *now_ns, uint32_t worker,
                    bool across, bool adopted, void (*ready)(void *context, const struct rc_client_ref *client),
                    void *context);
void rc_limits_close(struct rc_limits *limits);

enum rc_limit_answer rc_limits_ask(struct rc_limits *limits, const struct rc_limit_question *question,
                                   uint32_t *retry_ms);

/* What so many bytes cost: nothing is for nothing. */
static inline uint32_t rc_limit_cost(size_t bytes)
{
    return bytes == 0 ? 1 : bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

/* What was allowed could not be done yet: the same question again is answered so, and not counted again. */
void rc_limits_unused(struct rc_limits *limits, const struct rc_limit_question *question);

#define RC_LIMIT_NEVER_MS UINT32_MAX
#define RC_LIMIT_TEXT_MAX 96u
/* What who exceeded it is told: "too many {what}: try again in 12 s". In `out`. */
struct rc_span rc_limit_text(char out[RC_LIMIT_TEXT_MAX], const char *what, uint32_t retry_ms);

/* One more connection of a user, on all workers of the host together. False: there are `max` already; 0: no bound. What was `*counted` is
 * removed once. */
bool rc_limits_user_add(struct rc_limits *limits, struct rc_span user, uint32_t max, bool *counted);
void rc_limits_user_remove(struct rc_limits *limits, struct rc_span user);

#endif
