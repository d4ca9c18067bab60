/* chains: see chains.h. */
#include "relay/recovery/chains.h"

#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/records/channel_name.h"
#include "relay/recovery/recovery.h"

uint64_t rc_recovery_chain_of_token(uint64_t token)
{
    const uint64_t text[] = {token, RC_RECOVERY_CHAIN_HOLES};
    return rc_hash(text, sizeof(text));
}

uint64_t rc_recovery_chain_of_name(struct rc_span name)
{
    return rc_channel_hash((const char *)name.bytes, name.count);
}

/* What is done with a chain; `name` is empty but for rooms. False: it could not be done. */
typedef bool chain_action(struct rc_recovery *recovery, uint64_t chain, struct rc_span name);

struct chain_walk {
    struct rc_recovery *recovery;
    chain_action *what;
    uint32_t most;
    uint32_t done;
};

static void walk_one(struct chain_walk *walk, uint64_t chain, struct rc_span name)
{
    if (walk->done < walk->most) {
        if (walk->what(walk->recovery, chain, name)) {
            walk->done++;
        } else {
            walk->most = walk->done;
        }
    }
}

/* Calls `what` for each chain in which something for the session may stand, for `most` of them, or until it fails: for how many it did not. */
static uint32_t each_chain(struct rc_recovery *recovery, const struct rc_recovery_session *session, chain_action *what,
                           uint32_t most)
{
    struct chain_walk walk = {.recovery = recovery, .what = what, .most = most};
    struct rc_sio_session_parts parts;
    struct rc_span room;
    if (session->linked) {
        return 0; /* what it missed is found otherwise */
    }
    rc_recovery_session_parts(session, &parts);
    const uint64_t token = rc_recovery_session_token(session);
    walk_one(&walk, RC_RECOVERY_CHAIN_HOLES, (struct rc_span){0});
    walk_one(&walk, rc_recovery_chain_of_token(token), (struct rc_span){0});
    for (uint32_t i = 0; i < RC_RECOVERY_LIVES; i++) { /* for a client by its id */
        if (session->lives[i] != 0 && session->lives[i] != token) {
            walk_one(&walk, rc_recovery_chain_of_token(session->lives[i]), (struct rc_span){0});
        }
    }
    if (session->channel_bytes == 2) { /* "/#" */
        walk_one(&walk, rc_recovery_chain_of_name(RC_SPAN("*")), (struct rc_span){0});
    }
    while (rc_sio_session_room_next(&parts.rooms, &room)) {
        walk_one(&walk, rc_recovery_chain_of_name(room), room);
    }
    return walk.done;
}

/* From here on its messages are kept. Some of the newest, which were sequenced since the socket came into it, may not have been: it got them,
 * unless its connection broke just then, when it is not to be told that it missed nothing. */
static bool chain_unseen(const struct rc_recovery *recovery, uint64_t chain)
{
    const uint64_t newest = recovery->newest;
    uint64_t known = newest > RC_RECOVERY_RECENT ? newest - RC_RECOVERY_RECENT : 0;
    known = recovery->setup.began > known ? recovery->setup.began : known; /* of those before nobody knows */
    if (recovery->joining != NULL && recovery->joined < known) {
        return true;
    }
    uint64_t sequence = recovery->joined;
    while (recovery->joining != NULL && sequence < newest) {
        if (recovery->recent[++sequence % RC_RECOVERY_RECENT] == chain) {
            return true;
        }
    }
    return false;
}

/* A chain is looked through from its newest entry to the first that is old enough, so no hole is older than the one before it: one that was
 * missed before the next message stays in the way of who has all messages before that. */
void rc_recovery_chains_hole(struct rc_recovery *recovery, struct rc_span channel, uint64_t sequence, uint64_t now_ms)
{
    const uint64_t last = rc_recovery_log_last(&recovery->log, RC_RECOVERY_CHAIN_HOLES);
    const struct rc_recovery_entry entry = {.sequence = sequence > last ? sequence : last,
                                            .time_ms = now_ms,
                                            .chain = RC_RECOVERY_CHAIN_HOLES,
                                            .flags = RC_RECOVERY_HOLE};
    const struct rc_recovery_parts parts = {.channel = channel};
    (void)rc_recovery_log_append(&recovery->log, &entry, &parts);
}

/* For the session alone: in the channel of its id. */
static void session_hole(struct rc_recovery *recovery, const struct rc_recovery_session *session, uint64_t now_ms)
{
    char text[RC_CHANNEL_NAME_MAX];
    struct rc_span nsp;
    struct rc_span room;
    (void)rc_channel_split(rc_span_of(session->channel, session->channel_bytes), &nsp, &room);
    const size_t bytes = rc_channel_of_room(text, sizeof(text), nsp, rc_span_of(session->head.sid, RC_SID_BYTES));
    rc_recovery_chains_hole(recovery, rc_span_of(text, bytes), recovery->newest, now_ms);
}

static void chain_hole(struct rc_recovery *recovery, uint64_t chain, struct rc_span name)
{
    if (name.count == 0 && chain != rc_recovery_chain_of_name(RC_SPAN("*"))) {
        session_hole(recovery, recovery->joining, recovery->joined_ms);
        return;
    }
    rc_recovery_chains_hole(recovery, name.count == 0 ? RC_SPAN("*") : name, recovery->newest, recovery->joined_ms);
}

static bool chain_want(struct rc_recovery *recovery, uint64_t chain, struct rc_span name)
{
    const int rc = rc_recovery_log_want(&recovery->log, chain);
    if (rc == 1 && name.count > 0 && recovery->setup.room != NULL && !recovery->silent) {
        recovery->setup.room(recovery->setup.context, name, true);
    }
    if (rc == 1 && chain != RC_RECOVERY_CHAIN_HOLES && chain_unseen(recovery, chain)) {
        chain_hole(recovery, chain, name);
    }
    return rc >= 0;
}

static bool chain_count(struct rc_recovery *recovery, uint64_t chain, struct rc_span name)
{
    (void)recovery;
    (void)chain;
    (void)name;
    return true;
}

static bool chain_unwant(struct rc_recovery *recovery, uint64_t chain, struct rc_span name)
{
    if (rc_recovery_log_unwant(&recovery->log, chain) && name.count > 0 && recovery->setup.room != NULL &&
        !recovery->silent) {
        recovery->setup.room(recovery->setup.context, name, false);
    }
    return true;
}

bool rc_recovery_chains_want(struct rc_recovery *recovery, const struct rc_recovery_session *session)
{
    const uint32_t all = each_chain(recovery, session, chain_count, UINT32_MAX);
    const uint32_t done = each_chain(recovery, session, chain_want, all);
    if (done < all) {
        (void)each_chain(recovery, session, chain_unwant, done);
    }
    return done == all;
}

void rc_recovery_chains_unwant(struct rc_recovery *recovery, const struct rc_recovery_session *session)
{
    (void)each_chain(recovery, session, chain_unwant, UINT32_MAX);
}

static bool room_tell(struct rc_recovery *recovery, uint64_t chain, struct rc_span name)
{
    (void)chain;
    if (name.count > 0) {
        recovery->setup.room(recovery->setup.context, name, true);
    }
    return true;
}

/* There is no room for how the session stands now. The one that was stays: its socket is found by it wherever it is, and who comes back with it is told
 * that something is missing. One that is found elsewhere by what it says (linked.h) says nothing any more. */
static uint32_t session_refused(struct rc_recovery *recovery, uint32_t old, const struct rc_recovery_session *head,
                                enum rc_sio_session_state state)
{
    rc_metric_add(recovery->setup.metrics, RC_METRIC_SESSIONS_REFUSED, 1);
    rc_log_limited(RC_LOG_WARN, 5, "recovery_full", "sessions=%u remedy=\"raise socketio.recovery_memory\"",
                   recovery->sessions.count);
    if (old != RC_SIO_SESSION_NONE && head->linked) {
        rc_recovery_drop(recovery, old);
        old = RC_SIO_SESSION_NONE;
    }
    if (old != RC_SIO_SESSION_NONE) {
        rc_recovery_sessions_spoil(&recovery->sessions, old, head, state);
    }
    return old;
}

uint32_t rc_recovery_put(struct rc_recovery *recovery, uint32_t old, const struct rc_recovery_session *head,
                         const struct rc_sio_session_parts *parts, enum rc_sio_session_state state)
{
    uint32_t unit = rc_recovery_sessions_make(&recovery->sessions, head, parts, state);
    if (unit != RC_SIO_SESSION_NONE &&
        !rc_recovery_chains_want(recovery, rc_recovery_session_at(&recovery->sessions, unit))) {
        rc_recovery_sessions_unmake(&recovery->sessions, unit);
        unit = RC_SIO_SESSION_NONE;
    }
    if (unit == RC_SIO_SESSION_NONE) {
        return session_refused(recovery, old, head, state);
    }
    struct rc_recovery_session *session = rc_recovery_session_at(&recovery->sessions, unit);
    if (session->spoilt) { /* from here on all of it is kept again */
        session_hole(recovery, session, session->lost_ms);
        session->spoilt = 0;
    }
    if (old != RC_SIO_SESSION_NONE) {
        rc_recovery_chains_unwant(recovery, rc_recovery_session_at(&recovery->sessions, old));
    }
    if (rc_recovery_sessions_replace(&recovery->sessions, old, unit) != 0) {
        rc_recovery_chains_unwant(recovery, session);
        rc_recovery_sessions_unmake(&recovery->sessions, unit);
        rc_metric_add(recovery->setup.metrics, RC_METRIC_SESSIONS_REFUSED, 1);
        return RC_SIO_SESSION_NONE;
    }
    return unit;
}

void rc_recovery_drop(struct rc_recovery *recovery, uint32_t unit)
{
    rc_recovery_chains_unwant(recovery, rc_recovery_session_at(&recovery->sessions, unit));
    rc_recovery_sessions_remove(&recovery->sessions, unit);
}

void rc_recovery_moved(struct rc_recovery *recovery, uint64_t token, uint32_t worker)
{
    const uint32_t unit =
        recovery->on ? rc_recovery_sessions_of_token(&recovery->sessions, token) : RC_SIO_SESSION_NONE;
    struct rc_recovery_session *session =
        unit == RC_SIO_SESSION_NONE ? NULL : rc_recovery_session_at(&recovery->sessions, unit);
    if (session != NULL && rc_recovery_session_state(session) == RC_SIO_SESSION_LIVE && session->worker != worker) {
        session->generation = recovery->setup.generation(recovery->setup.context, worker);
        session->worker = worker;
    }
}

void rc_recovery_chains_tell(struct rc_recovery *recovery, const struct rc_recovery_session *session)
{
    (void)each_chain(recovery, session, room_tell, UINT32_MAX);
}
