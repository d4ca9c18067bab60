/*
 * sessions: what web applications keep in Redis of who is logged in, as this worker knows it.
 *
 *   rc_sessions_find ──▶ it is known and at most a second old: THERE, MISSING, UNAVAILABLE
 *                   └──▶ WAITS: the relay is asked, once for all who want the same one ──▶ ops.ready for each of them
 *   every second       ── which of the keys that somebody is connected with are still there? ──▶ ops.gone
 *
 * So a log-out that deletes the key is seen within 1.5 s, whatever Redis is told to notify of and whether it is a Cluster or not, and a
 * storm of reconnects with one session costs a worker one GET a second. What is gone from Redis is gone here: while Redis does not
 * answer nobody new comes, and who is there stays until the time that was known last.
 *
 * Whoever is connected with a session stands in its list (`first`), which the clients keep (worker/client/user.c), with its key: so a
 * successor of the worker goes on asking about it. Owned by the worker's main(), one thread, private memory. Bounded: RC_SESSIONS_WAITING_MAX wait, RC_SESSIONS_IDLE_MAX are remembered that
 * nobody is connected with, RC_SESSIONS_BYTES_MAX of values; more than that is UNAVAILABLE, and counted.
 */
#ifndef RC_WORKER_IDENTITY_SESSIONS_H
#define RC_WORKER_IDENTITY_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/records/query.h"
#include "common/metrics/metrics.h"
#include "worker/uplink/ask.h"
#include "worker/uplink/uplink.h"

#define RC_SESSIONS_FRESH_MS 1000u /* what is known counts for so long */
#define RC_SESSIONS_CHECK_MS 1000u /* how often those in use are looked for */
#define RC_SESSIONS_WAITING_MAX 16384u
#define RC_SESSIONS_IDLE_MAX 16384u
#define RC_SESSIONS_PROBE_TURN_MS \
    500u /* later than the worker before it each looks for a store of which none has heard */
#define RC_SESSIONS_BYTES_MAX (16u * 1024 * 1024)

/* Who waits: as whoever asks names it. */
struct rc_identity_asker {
    bool is_client; /* else a request */
    uint32_t index; /* of the client, or the connection */
    uint64_t token; /* of the question; not 0 */
};

struct rc_sessions_ops {
    void *context; /* borrowed */
    /* What it waits for is known: it asks again. Not within rc_sessions_find. */
    void (*ready)(void *context, const struct rc_identity_asker *asker);
    /* The session is no more; `id` names it. */
    void (*gone)(void *context, uint32_t id);
    /* An answer came, or none did: for the health of the store. */
    void (*heard)(void *context, bool answered);
    /* When any worker of this instance has heard of the store last: CLOCK_MONOTONIC in milliseconds. May be NULL. */
    uint64_t (*heard_ms)(void *context);
};

enum rc_session_state {
    RC_SESSION_WAITS,
    RC_SESSION_THERE,
    RC_SESSION_MISSING,
    RC_SESSION_UNREADABLE, /* its value is too large, or none of Redis's strings */
    RC_SESSION_UNAVAILABLE,
};

struct rc_session_view {
    enum rc_session_state state;
    uint32_t id;          /* THERE: names it while somebody is connected with it; not 0 */
    struct rc_span value; /* THERE: until the loop goes on */
    uint64_t expires_ms;  /* THERE: CLOCK_REALTIME, 0 = never. The key's, else the JSON's own */
};

struct rc_session;
struct rc_session_waiter;
struct rc_session_batch;

struct rc_sessions {
    struct rc_sessions_ops ops;
    struct rc_asks *asks;       /* borrowed */
    struct rc_uplink *uplink;   /* borrowed */
    struct rc_metrics *metrics; /* borrowed */
    uint32_t worker;
    const uint64_t *now_ns;          /* borrowed: CLOCK_MONOTONIC of this pass of the loop */
    struct rc_session **all;         /* owned: by id - 1; NULL = free */
    uint32_t capacity;               /* of `all`, and of `buckets` */
    uint32_t count;                  /* of them there are */
    uint32_t used;                   /* of them somebody is connected with */
    uint32_t *buckets;               /* owned: id of the first by hash; 0 = none */
    uint32_t free;                   /* where to look for a free one first */
    struct rc_session_waiter *waits; /* owned: RC_SESSIONS_WAITING_MAX; NULL until the first one */
    uint32_t *waits_by_token;        /* owned: number of the first; 0 = none */
    uint32_t waits_free;
    uint32_t waiting;
    uint64_t value_bytes;
    uint64_t tick_ms;                 /* CLOCK_MONOTONIC: the next look at what is old and what has to be checked */
    uint32_t cursor;                  /* where the check goes on */
    uint32_t swept;                   /* where looking for what is old goes on */
    struct rc_session_batch *batches; /* owned: checks that are not answered */
    char probe[RC_QUERY_KEY_MAX];     /* the key that is looked for when nobody asks: does Redis answer? */
    uint32_t probe_bytes;             /* 0 = nobody wants to know */
    uint64_t probe_ms;                /* CLOCK_MONOTONIC: when next, unless an answer comes before */
    bool answers;                     /* the last that this worker heard of it was an answer */
};

void rc_sessions_open(struct rc_sessions *sessions, struct rc_asks *asks, struct rc_uplink *uplink,
                      struct rc_metrics *metrics, uint32_t worker, const uint64_t *now_ns,
                      const struct rc_sessions_ops *ops);
/* After rc_asks_close. */
void rc_sessions_close(struct rc_sessions *sessions);

/* The key that is looked for when nobody asks about any, so that ops.heard tells how Redis stands with nobody there as well. Empty: none. */
void rc_sessions_probe_with(struct rc_sessions *sessions, struct rc_span key);

/* The value of a key in Redis. */
void rc_sessions_find(struct rc_sessions *sessions, struct rc_span key, const struct rc_identity_asker *asker,
                      struct rc_session_view *view);
/* It waits no more. A token that does not wait is no mistake. */
void rc_sessions_forget(struct rc_sessions *sessions, uint64_t token);

/* The list of those that are connected with it: whatever the owner of the list names the first one by; 0: nobody is. */
uint32_t rc_session_first(const struct rc_sessions *sessions, uint32_t id);
void rc_session_set_first(struct rc_sessions *sessions, uint32_t id, uint32_t first);

/* Its key; valid while somebody is connected with it. */
struct rc_span rc_session_key_of(const struct rc_sessions *sessions, uint32_t id);
/* A former process of this worker named the session with this key so, and knew that it ends then: it is asked about from here on, as all that
 * somebody is connected with. -ENOMEM; -EBADMSG: the number is another one's, or none. */
int rc_sessions_adopt(struct rc_sessions *sessions, uint32_t id, struct rc_span key, uint64_t expires_ms);

/* Until when somebody may stay whose session was to end now: CLOCK_REALTIME, UINT64_MAX = for ever, 0 = no longer. It is read again, as
 * applications make sessions longer that are used; until that is answered, for a moment. */
uint64_t rc_session_renewed_until(struct rc_sessions *sessions, uint32_t id);

/* Every pass of the loop. */
void rc_sessions_work(struct rc_sessions *sessions);
uint32_t rc_sessions_sleep_ms(const struct rc_sessions *sessions, uint32_t most_ms);

#endif
