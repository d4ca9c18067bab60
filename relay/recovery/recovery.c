/* recovery: see recovery.h. */
#include "relay/recovery/recovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/records/channel_name.h"
#include "common/records/query.h"
#include "common/records/select.h"
#include "relay/recovery/chains.h"
#include "relay/recovery/linked.h"

static void recovery_gauges(const struct rc_recovery *recovery)
{
    struct rc_metrics *metrics = recovery->setup.metrics;
    rc_metric_set(metrics, RC_METRIC_SESSIONS_KEPT, recovery->sessions.count);
    rc_metric_set(metrics, RC_METRIC_SESSIONS_LOST, recovery->sessions.lost_count);
    rc_metric_set(metrics, RC_METRIC_RECOVERY_SESSION_BYTES,
                  (uint64_t)recovery->sessions.blocks.used_units * RC_RECOVERY_UNIT);
    rc_metric_set(metrics, RC_METRIC_RECOVERY_LOG_BYTES, recovery->log.head - recovery->log.tail);
}

static void session_evicted(void *context, uint32_t unit)
{
    struct rc_recovery *recovery = context;
    rc_recovery_chains_unwant(recovery, rc_recovery_session_at(&recovery->sessions, unit));
    rc_metric_add(recovery->setup.metrics, RC_METRIC_SESSIONS_EVICTED, 1);
}

/* --- what workers tell ----------------------------------------------------------------------------------------------------- */

static void life_add(struct rc_recovery_session *session, uint64_t random)
{
    if (session->lives[0] != random) {
        memmove(&session->lives[1], &session->lives[0], (RC_RECOVERY_LIVES - 1) * sizeof(session->lives[0]));
        session->lives[0] = random;
    }
}

void rc_recovery_take(struct rc_recovery *recovery, uint32_t worker, uint32_t generation, bool current,
                      const struct rc_envelope_view *view, uint64_t now_ms)
{
    const struct rc_client_ref *origin = &view->head.origin;
    struct rc_sio_session_head head;
    struct rc_sio_session_parts parts;
    struct rc_sid sid;
    if (!recovery->on) {
        return;
    }
    if (rc_sio_session_read(rc_span_of(view->data, view->head.data_bytes), &head, &parts) < 0) {
        rc_metric_add(recovery->setup.metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    const uint32_t old = rc_recovery_sessions_find(&recovery->sessions, head.pid);
    struct rc_recovery_session session = {0};
    if (old != RC_SIO_SESSION_NONE) {
        const struct rc_recovery_session *its = rc_recovery_session_at(&recovery->sessions, old);
        if (its->lives[0] != origin->random) {
            return; /* it has come back meanwhile, as another client: this one is its past */
        }
        memcpy(&session, its, sizeof(session));
    }
    if (head.state == RC_SIO_SESSION_ENDED) {
        if (old != RC_SIO_SESSION_NONE) {
            rc_recovery_drop(recovery, old);
        }
        recovery_gauges(recovery);
        return;
    }
    if (!rc_sid_read(&sid, rc_span_of(head.sid, RC_SID_BYTES)) || sid.client.random == 0) {
        rc_metric_add(recovery->setup.metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    const enum rc_sio_session_state state = current ? (enum rc_sio_session_state)head.state : RC_SIO_SESSION_LOST;
    life_add(&session, origin->random);
    session.head = head;
    session.slot = origin->slot;
    session.worker = worker;
    session.generation = generation;
    session.lost_ms = now_ms;
    session.channel_bytes = view->head.channel_bytes;
    memcpy(session.channel, view->channel, view->head.channel_bytes);
    if (old == RC_SIO_SESSION_NONE && view->head.code == RC_SIO_SESSION_AGAIN) {
        session.spoilt = 1; /* it was refused, or given up: nothing was kept for it since */
    }
    /* A worker that had handled all that it was sent has missed nothing. One that is no more was not sent what came since it died. */
    const bool behind = view->head.position < recovery->setup.sent(recovery->setup.context, worker);
    recovery->joining = !current || behind ? &session : NULL;
    recovery->joined = view->head.position;
    recovery->joined_ms = now_ms;
    (void)rc_recovery_put(recovery, old, &session, &parts, state);
    recovery->joining = NULL;
    recovery->joined = 0;
    recovery_gauges(recovery);
}

void rc_recovery_told(struct rc_recovery *recovery, uint32_t type, uint32_t worker, bool current,
                      const struct rc_envelope_view *view, uint64_t now_ms)
{
    struct rc_envelope_view its = *view;
    its.head.origin.worker = (uint16_t)worker;
    if (recovery != NULL && type == RC_UP_LINK) {
        rc_recovery_linked_take(recovery, view, now_ms);
    } else if (recovery != NULL) {
        rc_recovery_take(recovery, worker, view->head.generation, current, &its, now_ms);
    }
}

void rc_recovery_worker_gone(struct rc_recovery *recovery, uint32_t worker, uint32_t generation, uint64_t now_ms)
{
    uint32_t cursor = 0;
    uint32_t unit;
    if (!recovery->on) {
        return;
    }
    while ((unit = rc_hashmap_each(&recovery->sessions.pids, &cursor)) != RC_HASHMAP_NONE) {
        const struct rc_recovery_session *session = rc_recovery_session_at(&recovery->sessions, unit);
        if (session->worker == worker && session->generation != generation &&
            rc_recovery_session_state(session) == RC_SIO_SESSION_LIVE) {
            rc_recovery_sessions_lose(&recovery->sessions, unit, now_ms);
        }
    }
    recovery_gauges(recovery);
}

void rc_recovery_place(const struct rc_recovery *recovery, struct rc_client_ref *socket)
{
    const uint32_t unit =
        recovery->on ? rc_recovery_sessions_of_token(&recovery->sessions, socket->random) : RC_SIO_SESSION_NONE;
    if (unit != RC_SIO_SESSION_NONE) {
        const struct rc_recovery_session *session = rc_recovery_session_at(&recovery->sessions, unit);
        if (rc_recovery_session_state(session) == RC_SIO_SESSION_LIVE) {
            socket->worker = (uint16_t)session->worker; /* which finds it by its token */
        }
    } else if (recovery->on && recovery->setup.moved != NULL &&
               recovery->setup.moved(recovery->setup.context, socket->random)) {
        socket->worker = RC_WORKER_FOREIGN;
    }
}

bool rc_recovery_has(const struct rc_recovery *recovery, uint64_t token)
{
    return recovery->on && rc_recovery_sessions_of_token(&recovery->sessions, token) != RC_SIO_SESSION_NONE;
}

/* --- what is kept ------------------------------------------------------------------------------------------------------------ */

static uint32_t entry_flags(const struct rc_envelope *head)
{
    return ((head->flags & RC_ENVELOPE_BINARY) ? RC_RECOVERY_BINARY : 0u) |
           ((head->flags & RC_ENVELOPE_ARGS) ? RC_RECOVERY_ARGS : 0u) |
           ((head->flags & RC_ENVELOPE_NO_ECHO) ? RC_RECOVERY_NO_ECHO : 0u) |
           ((head->flags & RC_ENVELOPE_REMOTE) ? RC_RECOVERY_REMOTE : 0u);
}

/* The chain of a message for several rooms, or except some: that of its one room, else everybody's. A room that is named like a socket may be one's
 * own, or one that sockets have joined: applications make such names, too. Or both, which is everybody's. */
static uint64_t chain_of_select(const struct rc_recovery *recovery, const struct rc_envelope_view *view)
{
    struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    struct rc_span first;
    struct rc_span second;
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    if (!rc_select_next(&names, &first) || rc_select_next(&names, &second)) {
        return view->head.channel_hash;
    }
    (void)rc_channel_split(first, &nsp, &room);
    const uint64_t named = rc_recovery_chain_of_name(first);
    if (!rc_sid_read(&sid, room) ||
        rc_recovery_sessions_of_token(&recovery->sessions, sid.client.random) == RC_SIO_SESSION_NONE) {
        return named;
    }
    return rc_recovery_log_wanted(&recovery->log, named) ? view->head.channel_hash
                                                         : rc_recovery_chain_of_token(sid.client.random);
}

static uint64_t chain_of_message(const struct rc_recovery *recovery, enum rc_record_type type,
                                 const struct rc_envelope_view *view)
{
    return type == RC_DOWN_DIRECT   ? rc_recovery_chain_of_token(view->head.target.random)
           : type == RC_DOWN_SELECT ? chain_of_select(recovery, view)
                                    : view->head.channel_hash;
}

void rc_recovery_keep(struct rc_recovery *recovery, enum rc_record_type type, const struct rc_envelope_view *view,
                      uint32_t identity, uint64_t now_ms)
{
    const struct rc_envelope *head = &view->head;
    const bool wanted = (head->flags & RC_ENVELOPE_VOLATILE) == 0;
    if (!recovery->on) {
        return;
    }
    const uint64_t chain = chain_of_message(recovery, type, view);
    recovery->newest = head->sequence;
    recovery->recent[head->sequence % RC_RECOVERY_RECENT] = wanted ? chain : 0;
    if (!wanted || recovery->sessions.count == 0) {
        return;
    }
    recovery->sequence = head->sequence;
    struct rc_recovery_entry entry = {.sequence = head->sequence,
                                      .chain = chain,
                                      .time_ms = now_ms,
                                      .origin = head->origin.random,
                                      .identity = identity,
                                      .flags = entry_flags(head)};
    struct rc_recovery_parts parts = {
        .channel = rc_span_of(view->channel, head->channel_bytes),
        .event = rc_span_of(view->event, head->event_bytes),
        .excludes = rc_span_of(view->excludes, (size_t)head->exclude_count * sizeof(struct rc_client_ref)),
        .data = rc_span_of(view->data, head->data_bytes),
    };
    if (type == RC_DOWN_DIRECT) {
        entry.flags |= RC_RECOVERY_DIRECT;
        entry.target = head->target.random;
    } else if (type == RC_DOWN_SELECT) {
        entry.flags |= RC_RECOVERY_SELECT;
        parts.names = rc_span_of(view->exclude_text, head->exclude_text_bytes);
    }
    if (!rc_recovery_log_append(&recovery->log, &entry, &parts)) {
        rc_metric_add(recovery->setup.metrics, RC_METRIC_RECOVERY_TOO_LARGE, 1);
        rc_recovery_hole(recovery, type == RC_DOWN_MESSAGE ? parts.channel : (struct rc_span){0}, head->sequence,
                         now_ms);
    }
}

void rc_recovery_hole(struct rc_recovery *recovery, struct rc_span channel, uint64_t sequence, uint64_t now_ms)
{
    if (recovery->on) {
        rc_recovery_chains_hole(recovery, channel, sequence, now_ms);
    }
}

/* --- what a session missed ----------------------------------------------------------------------------------------------------- */

/* A session as messages are compared with it. */
struct sought {
    const struct rc_recovery_session *session;
    struct rc_span channel; /* "{nsp}#" */
    struct rc_span rooms;
    uint64_t token;
};

static struct sought sought_of(const struct rc_recovery_session *session)
{
    struct rc_sio_session_parts parts;
    rc_recovery_session_parts(session, &parts);
    return (struct sought){.session = session,
                           .channel = rc_span_of(session->channel, session->channel_bytes),
                           .rooms = parts.rooms,
                           .token = rc_recovery_session_token(session)};
}

static bool is_itself(const struct sought *sought, uint64_t random)
{
    bool found = random != 0 && random == sought->token;
    for (uint32_t i = 0; i < RC_RECOVERY_LIVES; i++) {
        found |= random != 0 && random == sought->session->lives[i];
    }
    return found;
}

/* Is it in the room: one of its own, or its id's? */
static bool is_in(const struct sought *sought, struct rc_span name)
{
    struct rc_span rooms = sought->rooms;
    struct rc_span room;
    struct rc_span nsp;
    while (rc_sio_session_room_next(&rooms, &room)) {
        if (rc_span_equal(room, name)) {
            return true;
        }
    }
    (void)rc_channel_split(name, &nsp, &room);
    return rc_span_equal(room, rc_span_of(sought->session->head.sid, RC_SID_BYTES));
}

static bool select_is_for(const struct sought *sought, struct rc_span names)
{
    struct rc_span name;
    bool any = false;
    bool found = false;
    while (rc_select_next(&names, &name)) {
        any = true;
        found |= is_in(sought, name);
    }
    bool excepted = false;
    while (rc_select_next(&names, &name)) {
        excepted |= is_in(sought, name);
    }
    return (found || !any) && !excepted;
}

/* Was the message for the session? Not what it has said itself to others, nor what was said before it came. */
static bool entry_is_for(const struct sought *sought, const struct rc_recovery_entry *entry,
                         const struct rc_recovery_parts *parts)
{
    if (entry->time_ms < sought->session->head.since_ms ||
        ((entry->flags & RC_RECOVERY_NO_ECHO) && is_itself(sought, entry->origin))) {
        return false;
    }
    for (size_t at = 0; at < parts->excludes.count; at += sizeof(struct rc_client_ref)) {
        struct rc_client_ref ref;
        memcpy(&ref, parts->excludes.bytes + at, sizeof(ref));
        if (is_itself(sought, ref.random)) {
            return false;
        }
    }
    if (entry->flags & RC_RECOVERY_DIRECT) {
        return is_itself(sought, entry->target) &&
               (parts->channel.count == 0 ? sought->channel.count == 2
                                          : rc_span_equal(parts->channel, sought->channel));
    }
    if (entry->flags & RC_RECOVERY_SELECT) {
        return rc_span_equal(parts->channel, sought->channel) && select_is_for(sought, parts->names);
    }
    return rc_span_equal(parts->channel, RC_SPAN("*")) ? sought->channel.count == 2 : is_in(sought, parts->channel);
}

static bool hole_is_for(const struct sought *sought, const struct rc_recovery_entry *entry, struct rc_span channel)
{
    return entry->time_ms >= sought->session->head.since_ms &&
           (channel.count == 0 || rc_span_equal(channel, RC_SPAN("*")) || is_in(sought, channel));
}

static bool is_for(const void *context, const struct rc_recovery_entry *entry, const struct rc_recovery_parts *parts)
{
    const struct sought *sought = context;
    return (entry->flags & RC_RECOVERY_HOLE) ? hole_is_for(sought, entry, parts->channel)
                                             : entry_is_for(sought, entry, parts);
}

/* Leaves in recovery->found what of all its chains behind `since` is for it, holes among it, in their order. As rc_recovery_log_collect. */
static int missed_collect(struct rc_recovery *recovery, const struct sought *sought, uint64_t since, uint32_t *count)
{
    struct rc_recovery_search search = {.found = recovery->found,
                                        .most = RC_RECOVERY_MISSED_MAX,
                                        .walk = RC_RECOVERY_WALK_MAX,
                                        .wants = is_for,
                                        .context = sought};
    const struct rc_recovery_log *log = &recovery->log;
    struct rc_span rooms = sought->rooms;
    struct rc_span room;
    int rc = rc_recovery_log_collect(log, RC_RECOVERY_CHAIN_HOLES, since, &search);
    rc = rc == 0 ? rc_recovery_log_collect(log, rc_recovery_chain_of_token(sought->token), since, &search) : rc;
    for (uint32_t i = 0; i < RC_RECOVERY_LIVES && rc == 0; i++) {
        const uint64_t random = sought->session->lives[i];
        rc = random == 0 || random == sought->token
                 ? 0
                 : rc_recovery_log_collect(log, rc_recovery_chain_of_token(random), since, &search);
    }
    if (rc == 0 && sought->channel.count == 2) {
        rc = rc_recovery_log_collect(log, rc_recovery_chain_of_name(RC_SPAN("*")), since, &search);
    }
    while (rc == 0 && rc_sio_session_room_next(&rooms, &room)) {
        rc = rc_recovery_log_collect(log, rc_recovery_chain_of_name(room), since, &search);
    }
    *count = rc_recovery_log_order(recovery->found, search.count);
    return rc;
}

static uint64_t missed_bytes(const struct rc_recovery_parts *parts)
{
    return sizeof(struct rc_missed_entry) + parts->channel.count + parts->event.count + parts->data.count;
}

/* Leaves in recovery->found what is for the session. 0, or enum rc_sio_session_code. */
static uint16_t find_missed(struct rc_recovery *recovery, const struct sought *sought, uint64_t since, uint32_t *count)
{
    uint64_t bytes = 0;
    const int rc = missed_collect(recovery, sought, since, count);
    if (rc != 0) {
        return rc == -ENODATA ? RC_SIO_SESSION_TOO_OLD : RC_SIO_SESSION_TOO_MUCH;
    }
    for (uint32_t i = 0; i < *count; i++) {
        struct rc_recovery_entry entry;
        struct rc_recovery_parts parts;
        rc_recovery_log_read(&recovery->log, recovery->found[i].position, &entry, &parts);
        bytes += missed_bytes(&parts);
        if (entry.flags & RC_RECOVERY_HOLE) {
            return RC_SIO_SESSION_TOO_OLD;
        }
        if (missed_bytes(&parts) + sizeof(struct rc_missed_head) > recovery->setup.record_bytes_max ||
            bytes > recovery->setup.config->socketio.recovery_max_bytes) {
            return RC_SIO_SESSION_TOO_MUCH;
        }
    }
    return 0;
}

static uint32_t missed_put(uint8_t *out, const struct rc_recovery_entry *entry, const struct rc_recovery_parts *parts)
{
    const struct rc_missed_entry head = {
        .sequence = entry->sequence,
        .data_bytes = entry->data_bytes,
        .flags = (uint16_t)(((entry->flags & RC_RECOVERY_BINARY) ? RC_ENVELOPE_BINARY : 0u) |
                            ((entry->flags & RC_RECOVERY_ARGS) ? RC_ENVELOPE_ARGS : 0u)),
        .channel_bytes = entry->channel_bytes,
        .event_bytes = entry->event_bytes,
    };
    const struct rc_span all[] = {rc_span_of(&head, sizeof(head)), parts->channel, parts->event, parts->data};
    uint8_t *at = out;
    for (size_t i = 0; i < RC_ARRAY_COUNT(all); i++) {
        if (all[i].count > 0) {
            memcpy(at, all[i].bytes, all[i].count);
            at += all[i].count;
        }
    }
    return (uint32_t)(at - out);
}

static int record_send(const struct rc_recovery *recovery, uint32_t worker, struct rc_envelope_view *view,
                       struct rc_missed_head head, uint32_t bytes)
{
    memcpy(recovery->record, &head, sizeof(head));
    view->data = recovery->record;
    view->head.data_bytes = bytes;
    return recovery->setup.send(recovery->setup.context, worker, view);
}

/* Records one behind the other. 0, or why not all were sent: then the asker waits in vain. */
static int send_missed(const struct rc_recovery *recovery, uint32_t worker, struct rc_envelope_view *view,
                       uint32_t count)
{
    struct rc_missed_head head = {0};
    uint32_t used = sizeof(head);
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct rc_recovery_entry entry;
        struct rc_recovery_parts parts;
        rc_recovery_log_read(&recovery->log, recovery->found[i].position, &entry, &parts);
        if (used + missed_bytes(&parts) > recovery->setup.record_bytes_max) {
            rc = record_send(recovery, worker, view, head, used);
            head.count = 0;
            used = sizeof(head);
        }
        used += missed_put(recovery->record + used, &entry, &parts);
        head.count++;
    }
    head.flags = RC_MISSED_LAST;
    return rc == 0 ? record_send(recovery, worker, view, head, used) : rc;
}

/* --- questions ------------------------------------------------------------------------------------------------------------------- */

uint16_t rc_recovery_claimed(struct rc_recovery *recovery, struct rc_span channel, struct rc_span asked,
                             uint64_t now_ms, uint32_t *unit, uint64_t *since)
{
    struct rc_sio_session_claim claim;
    struct rc_sio_session_parts parts;
    struct rc_span user;
    struct rc_span offset;
    if (rc_sio_session_claim_read(asked, &claim, &user, &offset) < 0) {
        return RC_SIO_SESSION_UNKNOWN;
    }
    *unit = rc_recovery_sessions_find(&recovery->sessions, claim.pid);
    if (*unit == RC_SIO_SESSION_NONE) {
        return RC_SIO_SESSION_UNKNOWN;
    }
    const struct rc_recovery_session *session = rc_recovery_session_at(&recovery->sessions, *unit);
    rc_recovery_session_parts(session, &parts);
    const bool lost = rc_recovery_session_state(session) == RC_SIO_SESSION_LOST;
    if ((lost && rc_recovery_session_over(&recovery->sessions, session, now_ms)) || session->linked ||
        !rc_span_equal(rc_span_of(session->channel, session->channel_bytes), channel)) {
        return RC_SIO_SESSION_UNKNOWN;
    }
    if (!rc_span_equal(parts.user, user)) {
        return RC_SIO_SESSION_FOREIGN_USER;
    }
    if (!lost || session->came == RC_RECOVERY_ARRIVES) {
        return RC_SIO_SESSION_CONNECTED;
    }
    if (session->spoilt) {
        return RC_SIO_SESSION_TOO_OLD;
    }
    *since = session->since;
    if (offset.count > 0) {
        uint64_t sequence = 0;
        const enum rc_offset_kind kind = rc_offset_read(offset, recovery->origin, &sequence);
        if (kind == RC_OFFSET_INVALID || (kind == RC_OFFSET_FOREIGN && !session->came) ||
            (kind == RC_OFFSET_OWN && sequence > recovery->sequence)) {
            return RC_SIO_SESSION_TOO_OLD;
        }
        *since = kind == RC_OFFSET_OWN && sequence > *since ? sequence : *since;
    }
    return 0;
}

uint16_t rc_recovery_missed(struct rc_recovery *recovery, uint32_t unit, uint64_t since, uint32_t *count)
{
    const struct sought sought = sought_of(rc_recovery_session_at(&recovery->sessions, unit));
    return find_missed(recovery, &sought, since, count);
}

/* The session that a worker asks for, if it may be had; what is not here is looked for elsewhere before it is taken. *counts: it is known whether it is had. */
static uint16_t find_asked(struct rc_recovery *recovery, const struct rc_envelope_view *asked, uint64_t now_ms,
                           uint32_t *unit, uint64_t *since, bool *counts)
{
    struct rc_query_head head;
    const struct rc_span channel = rc_span_of(asked->channel, asked->head.channel_bytes);
    const struct rc_span claim = rc_span_of(asked->data + sizeof(head), asked->head.data_bytes - sizeof(head));
    memcpy(&head, asked->data, sizeof(head));
    uint16_t code = rc_recovery_claimed(recovery, channel, claim, now_ms, unit, since);
    *counts = code != RC_SIO_SESSION_CONNECTED ||
              rc_recovery_session_at(&recovery->sessions, *unit)->came != RC_RECOVERY_ARRIVES;
    if (code == RC_SIO_SESSION_UNKNOWN && head.kind == RC_QUERY_SESSION && recovery->setup.elsewhere != NULL) {
        code = recovery->setup.elsewhere(recovery->setup.context, channel, claim);
        *counts = code != 0;
        code = code == 0 ? RC_SIO_SESSION_CONNECTED : code;
    }
    return code;
}

static uint16_t answer_session(struct rc_recovery *recovery, struct rc_envelope_view *view, uint32_t unit,
                               uint64_t since)
{
    const struct rc_recovery_session *session = rc_recovery_session_at(&recovery->sessions, unit);
    const struct sought sought = sought_of(session);
    uint32_t count;
    const uint32_t bytes = session->head.user_bytes + session->head.set_bytes + session->head.rooms_bytes;
    const uint16_t code = find_missed(recovery, &sought, since, &count);
    if (code == 0) {
        memcpy(recovery->record, &session->head, sizeof(session->head));
        memcpy(recovery->record + sizeof(session->head), session + 1, bytes);
        view->data = recovery->record;
        view->head.data_bytes = (uint32_t)sizeof(session->head) + bytes;
    }
    return code;
}

/* The session is the asker's from here on. */
static uint16_t answer_missed(struct rc_recovery *recovery, uint32_t worker, struct rc_envelope_view *view,
                              uint32_t unit, uint64_t since)
{
    struct rc_recovery_session session;
    struct rc_sio_session_parts parts;
    const struct sought sought = sought_of(rc_recovery_session_at(&recovery->sessions, unit));
    uint32_t count;
    const uint16_t code = find_missed(recovery, &sought, since, &count);
    if (code != 0) {
        return code;
    }
    if (send_missed(recovery, worker, view, count) != 0) {
        return RC_SIO_SESSION_BUSY;
    }
    memcpy(&session, sought.session, sizeof(session));
    rc_recovery_session_parts(sought.session, &parts);
    life_add(&session, view->head.origin.random);
    session.slot = view->head.origin.slot;
    session.worker = worker;
    session.generation = recovery->setup.generation(recovery->setup.context, worker);
    session.since = since;
    (void)rc_recovery_put(recovery, unit, &session, &parts, RC_SIO_SESSION_LIVE);
    rc_metric_add(recovery->setup.metrics, RC_METRIC_RECOVERED, 1);
    rc_metric_add(recovery->setup.metrics, RC_METRIC_RECOVERED_MESSAGES, count);
    return 0;
}

static void count_refused(const struct rc_recovery *recovery, uint16_t code)
{
    rc_metric_add(recovery->setup.metrics,
                  code == RC_SIO_SESSION_UNKNOWN || code == RC_SIO_SESSION_CONNECTED ? RC_METRIC_NOT_RECOVERED_UNKNOWN
                  : code == RC_SIO_SESSION_FOREIGN_USER                              ? RC_METRIC_NOT_RECOVERED_USER
                  : code == RC_SIO_SESSION_TOO_OLD                                   ? RC_METRIC_NOT_RECOVERED_OLD
                  : code == RC_SIO_SESSION_TOO_MUCH                                  ? RC_METRIC_NOT_RECOVERED_MUCH
                                                                                     : RC_METRIC_NOT_RECOVERED_BUSY,
                  1);
}

bool rc_recovery_asked(struct rc_recovery *recovery, uint32_t worker, const struct rc_envelope_view *asked,
                       uint64_t now_ms)
{
    struct rc_query_head head;
    struct rc_envelope_view view = *asked;
    uint32_t unit = RC_SIO_SESSION_NONE;
    uint64_t since = 0;
    if (asked->head.data_bytes < sizeof(head)) {
        return false;
    }
    memcpy(&head, asked->data, sizeof(head));
    if (head.kind != RC_QUERY_SESSION && head.kind != RC_QUERY_MISSED && head.kind != RC_QUERY_LINK) {
        return false;
    }
    view.head.flags = (uint16_t)(asked->head.flags & RC_ENVELOPE_API);
    view.head.key_bytes = view.head.event_bytes = 0;
    view.head.exclude_count = 0;
    view.head.exclude_text_bytes = view.head.data_bytes = 0;
    const bool linked = head.kind == RC_QUERY_LINK;
    const bool missed = head.kind == RC_QUERY_MISSED || linked;
    bool counts = true;
    uint16_t code = RC_SIO_SESSION_UNKNOWN;
    if (linked && rc_recovery_is_linked(recovery)) {
        code = rc_recovery_linked_asked(recovery, worker, asked, &view, now_ms);
        counts = code != RC_SIO_SESSION_UNKNOWN || head.limit != RC_QUERY_NOT_LAST;
    } else if (!linked && recovery->on) {
        code = find_asked(recovery, asked, now_ms, &unit, &since, &counts);
    }
    if (code == 0 && !linked) {
        code =
            missed ? answer_missed(recovery, worker, &view, unit, since) : answer_session(recovery, &view, unit, since);
        if (code == RC_SIO_SESSION_TOO_OLD || code == RC_SIO_SESSION_TOO_MUCH) {
            rc_recovery_drop(recovery, unit); /* it is somebody new from here on: what it missed is looked for once */
        }
    }
    view.head.code = code;
    if (code != 0) {
        view.head.data_bytes = 0;
    }
    if (code != 0 && counts) {
        count_refused(recovery, code);
    }
    if (code != 0 || !missed) {
        (void)recovery->setup.send(recovery->setup.context, worker, &view); /* who gets none gives up */
    }
    recovery_gauges(recovery);
    return true;
}

/* --- life --------------------------------------------------------------------------------------------------------------------------- */

static void session_expired(void *context, uint32_t unit)
{
    struct rc_recovery *recovery = context;
    rc_recovery_drop(recovery, unit);
    rc_metric_add(recovery->setup.metrics, RC_METRIC_SESSIONS_EXPIRED, 1);
}

void rc_recovery_sweep(struct rc_recovery *recovery, uint64_t now_ms)
{
    if (recovery->on || rc_recovery_is_linked(recovery)) {
        rc_recovery_sessions_sweep(&recovery->sessions, now_ms, session_expired, recovery);
        recovery_gauges(recovery);
    }
}

void rc_recovery_tell_rooms(struct rc_recovery *recovery)
{
    uint32_t cursor = 0;
    uint32_t unit;
    recovery->silent = false;
    while (recovery->on && recovery->setup.room != NULL &&
           (unit = rc_hashmap_each(&recovery->sessions.pids, &cursor)) != RC_HASHMAP_NONE) {
        rc_recovery_chains_tell(recovery, rc_recovery_session_at(&recovery->sessions, unit));
    }
}

/* All those of a predecessor, or those that were on their way. -ENOMEM. */
static int forget_sessions(struct rc_recovery *recovery, bool all, void (*forget)(struct rc_recovery *, uint32_t unit))
{
    struct rc_recovery_sessions *sessions = &recovery->sessions;
    uint32_t *units = calloc((size_t)sessions->count + 1, sizeof(*units));
    uint32_t count = 0;
    uint32_t cursor = 0;
    uint32_t unit;
    while (units != NULL && (unit = rc_hashmap_each(&sessions->pids, &cursor)) != RC_HASHMAP_NONE) {
        if (all || rc_recovery_session_at(sessions, unit)->came == RC_RECOVERY_ARRIVES) {
            units[count++] = unit;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        forget(recovery, units[i]);
    }
    free(units);
    return units == NULL ? -ENOMEM : 0;
}

static void session_forget(struct rc_recovery *recovery, uint32_t unit)
{
    rc_recovery_sessions_remove(&recovery->sessions, unit);
}

/* A predecessor's sessions: what they want is kept on; those of workers that died meanwhile are lost. */
static int adopt_sessions(struct rc_recovery *recovery)
{
    uint32_t cursor = 0;
    uint32_t unit;
    const int rc = forget_sessions(recovery, false, session_forget); /* what was to come came to the predecessor */
    if (rc != 0) {
        return rc;
    }
    while ((unit = rc_hashmap_each(&recovery->sessions.pids, &cursor)) != RC_HASHMAP_NONE) {
        if (!rc_recovery_chains_want(recovery, rc_recovery_session_at(&recovery->sessions, unit))) {
            return -ENOMEM;
        }
    }
    rc_recovery_log_link(&recovery->log);
    return 0;
}

int rc_recovery_open(struct rc_recovery *recovery, const struct rc_recovery_setup *setup)
{
    bool damaged = false;
    *recovery = (struct rc_recovery){.setup = *setup, .silent = true};
    const bool own = setup->config->socketio.recovery_ms > 0;
    const bool linked = setup->config->socketio.link.text[0] != '\0';
    if (setup->view->unit_count == 0 || (!own && !linked)) {
        return 0;
    }
    recovery->found = calloc(RC_RECOVERY_MISSED_MAX, sizeof(*recovery->found));
    recovery->record =
        malloc(setup->record_bytes_max > RC_SIO_SESSION_BYTES_MAX ? setup->record_bytes_max : RC_SIO_SESSION_BYTES_MAX);
    recovery->recent = calloc(RC_RECOVERY_RECENT, sizeof(*recovery->recent));
    int rc = recovery->found == NULL || recovery->record == NULL || recovery->recent == NULL ? -ENOMEM : 0;
    rc = rc == 0 ? rc_recovery_log_open(&recovery->log, setup->view, &damaged) : rc;
    rc =
        rc == 0 ? rc_recovery_sessions_open(&recovery->sessions, setup->view, setup->config->socketio.recovery_ms) : rc;
    rc = rc == 0 ? adopt_sessions(recovery) : rc;
    rc = rc == 0 && linked ? rc_recovery_linked_open(recovery) : rc;
    if (rc != 0) {
        rc_recovery_close(recovery);
        return rc;
    }
    recovery->on = own;
    recovery->sequence = recovery->newest =
        recovery->log.sequence > setup->began ? recovery->log.sequence : setup->began;
    recovery->sessions.evicted = session_evicted;
    recovery->sessions.context = recovery;
    rc_offset_origin(recovery->origin, setup->instance_id, setup->boot_nonce);
    if (damaged) {
        rc_metric_add(setup->metrics, RC_METRIC_RECOVERY_DAMAGED, 1);
        rc_log_warn("recovery_damaged", "sessions=%u reason=\"the log makes no sense: nobody comes back\"",
                    recovery->sessions.count);
        rc = forget_sessions(recovery, true, rc_recovery_drop);
    }
    if (rc != 0) {
        rc_recovery_close(recovery);
        return rc;
    }
    recovery_gauges(recovery);
    return 0;
}

void rc_recovery_close(struct rc_recovery *recovery)
{
    rc_recovery_linked_close(recovery);
    rc_recovery_log_close(&recovery->log);
    rc_recovery_sessions_close(&recovery->sessions);
    free(recovery->found);
    free(recovery->record);
    free(recovery->recent);
    *recovery = (struct rc_recovery){0};
}

void rc_recovery_configure(struct rc_recovery *recovery, const struct rc_config *config)
{
    recovery->setup.config = config;
    if (recovery->on || rc_recovery_is_linked(recovery)) {
        rc_recovery_sessions_keep_for(&recovery->sessions, config->socketio.recovery_ms);
    }
}
