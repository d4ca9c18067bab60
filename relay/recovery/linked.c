/* linked: see linked.h. */
#include "relay/recovery/linked.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/records/link_kept.h"
#include "common/records/query.h"
#include "relay/recovery/chains.h"

#define LINKED_COUNT_BYTES 2u

static struct rc_span channel_of(const struct rc_envelope_view *view)
{
    return rc_span_of(view->channel, view->head.channel_bytes);
}

/* --- how entries are found ------------------------------------------------------------------------------------------- */

/* Of two texts, the first of which is a namespace. */
static uint32_t slot_of(struct rc_span nsp, struct rc_span text)
{
    const uint64_t parts[] = {rc_hash(nsp.bytes, nsp.count), rc_hash(text.bytes, text.count)};
    return (uint32_t)(rc_hash(parts, sizeof(parts)) % RC_RECOVERY_LINKED_SLOTS);
}

/* The chain of what is for these rooms: of the one that it is, else everybody's. */
static uint32_t slot_of_rooms(struct rc_span nsp, struct rc_span rooms)
{
    struct rc_span room;
    return rc_link_kept_list_begin(&rooms) == 1 && rc_link_kept_list_next(&rooms, &room)
               ? slot_of(nsp, room)
               : slot_of(nsp, (struct rc_span){0});
}

/* Position + 1 of the entry with that offset; 0: it is not there. */
static uint64_t offset_find(const struct rc_recovery *recovery, struct rc_span nsp, struct rc_span offset)
{
    const struct rc_recovery_log *log = &recovery->log;
    struct rc_recovery_entry entry;
    struct rc_recovery_parts parts;
    uint64_t newer = UINT64_MAX; /* each is older than the one that names it: else the log is damaged there */
    for (uint64_t at = recovery->linked.offsets[slot_of(nsp, offset)]; at > log->tail && at < newer;
         at = entry.target) {
        newer = at;
        rc_recovery_log_read(log, at - 1, &entry, &parts);
        if (rc_span_equal(parts.event, offset) && rc_span_equal(parts.channel, nsp)) {
            return at;
        }
    }
    return 0;
}

/* --- what workers tell ----------------------------------------------------------------------------------------------- */

static void said_take(struct rc_recovery *recovery, const struct rc_envelope_view *view, struct rc_span data, bool lost,
                      uint64_t now_ms)
{
    struct rc_recovery_linked *linked = &recovery->linked;
    const struct rc_span nsp = channel_of(view);
    const struct rc_span offset = rc_span_of(view->event, view->head.event_bytes);
    struct rc_recovery_parts parts = {.channel = nsp, .event = offset};
    struct rc_span rooms;
    struct rc_span except;
    if (nsp.count == 0) { /* of nobody knows what: it stands in the way of everybody */
        const struct rc_recovery_entry hole = {
            .sequence = recovery->log.sequence, .time_ms = now_ms, .flags = RC_RECOVERY_LINKED | RC_RECOVERY_HOLE};
        (void)rc_recovery_log_put(&recovery->log, &hole, &parts, &linked->hole);
        return;
    }
    if (offset.count == 0 || rc_link_kept_said_read(data, &rooms, &except, &parts.data) < 0) {
        rc_metric_add(recovery->setup.metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    if (offset_find(recovery, nsp, offset) != 0) {
        return; /* told a second time, by a worker that goes on with what another one has begun */
    }
    const uint32_t chain = slot_of_rooms(nsp, rooms);
    uint64_t *its = &linked->offsets[slot_of(nsp, offset)];
    const struct rc_recovery_entry entry = {.sequence = recovery->log.sequence,
                                            .chain = chain,
                                            .time_ms = now_ms,
                                            .origin = view->head.token,
                                            .target = *its,
                                            .flags = RC_RECOVERY_LINKED | (lost ? RC_RECOVERY_HOLE : 0u)};
    parts.names = rc_span_of(rooms.bytes, rooms.count + except.count);
    if (!rc_recovery_log_put(&recovery->log, &entry, &parts, &linked->said[chain])) {
        struct rc_recovery_entry hole = entry;
        hole.flags |= RC_RECOVERY_HOLE;
        parts.data = (struct rc_span){0};
        rc_metric_add(recovery->setup.metrics, RC_METRIC_RECOVERY_TOO_LARGE, 1);
        if (!rc_recovery_log_put(&recovery->log, &hole, &parts, &linked->said[chain])) {
            said_take(recovery, &(struct rc_envelope_view){0}, (struct rc_span){0}, true, now_ms);
            return;
        }
    }
    *its = linked->said[chain];
}

/* Sessions are found by what fits where own ones have their pid. */
static void pid_of(char out[RC_PID_BYTES], struct rc_span nsp, struct rc_span pid)
{
    uint8_t text[1 + 2 * UINT8_MAX];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    text[0] = (uint8_t)nsp.count;
    memcpy(text + 1, nsp.bytes, nsp.count);
    memcpy(text + 1 + nsp.count, pid.bytes, pid.count);
    SHA256(text, 1 + nsp.count + pid.count, digest);
    memcpy(out, digest, RC_PID_BYTES);
}

static void session_take(struct rc_recovery *recovery, const struct rc_envelope_view *view, struct rc_span data,
                         uint64_t now_ms)
{
    struct rc_link_kept_session head;
    struct rc_sio_session_parts parts = {0};
    struct rc_span pid;
    const struct rc_span nsp = channel_of(view);
    if (nsp.count == 0 || rc_link_kept_session_read(data, &head, &parts.user, &pid, &parts.rooms) < 0) {
        rc_metric_add(recovery->setup.metrics, RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    struct rc_recovery_session session = {
        .lost_ms = now_ms,
        .lives = {head.process},
        .linked = 1,
        .channel_bytes = (uint8_t)nsp.count,
        .head = {.since_ms = head.ms, .rooms_bytes = (uint32_t)parts.rooms.count, .user_bytes = head.sid_bytes}};
    memcpy(session.channel, nsp.bytes, nsp.count);
    pid_of(session.head.pid, nsp, pid);
    (void)rc_recovery_put(recovery, rc_recovery_sessions_find(&recovery->sessions, session.head.pid), &session, &parts,
                          RC_SIO_SESSION_LOST);
}

void rc_recovery_linked_take(struct rc_recovery *recovery, const struct rc_envelope_view *view, uint64_t now_ms)
{
    const struct rc_span data = rc_span_of(view->data, view->head.data_bytes);
    if (!rc_recovery_is_linked(recovery)) {
        return;
    }
    if (view->head.code == RC_LINK_KEPT_SESSION) {
        session_take(recovery, view, data, now_ms);
    } else {
        said_take(recovery, view, data, view->head.code == RC_LINK_KEPT_LOST, now_ms);
    }
}

/* --- what a session missed ------------------------------------------------------------------------------------------- */

/* A session as entries are compared with it. */
struct sought {
    const struct rc_recovery_session *session;
    struct rc_span nsp;
    struct rc_span sid;
    struct rc_span data;
    struct rc_span rooms; /* a list */
};

static bool session_sought(const struct rc_recovery_session *session, struct sought *sought)
{
    struct rc_sio_session_parts parts;
    rc_recovery_session_parts(session, &parts);
    *sought = (struct sought){
        .session = session, .nsp = rc_span_of(session->channel, session->channel_bytes), .sid = parts.user};
    return rc_link_kept_rest_read(parts.rooms, &sought->data, &sought->rooms) == 0;
}

/* Is it in the room: one of its own, or its id's? */
static bool room_is_its(const struct sought *sought, struct rc_span name)
{
    struct rc_span rooms = sought->rooms;
    struct rc_span room;
    (void)rc_link_kept_list_begin(&rooms);
    while (rc_link_kept_list_next(&rooms, &room)) {
        if (rc_span_equal(room, name)) {
            return true;
        }
    }
    return name.count > 0 && name.bytes[0] == 's' &&
           rc_span_equal(rc_span_of(name.bytes + 1, name.count - 1), sought->sid);
}

/* Is it in any of the list? */
static bool any_is_its(const struct sought *sought, struct rc_span list)
{
    struct rc_span room;
    (void)rc_link_kept_list_begin(&list);
    while (rc_link_kept_list_next(&list, &room)) {
        if (room_is_its(sought, room)) {
            return true;
        }
    }
    return false;
}

static bool entry_wanted(const struct sought *sought, const struct rc_recovery_entry *entry,
                         const struct rc_recovery_parts *parts)
{
    struct rc_span names = parts->names;
    struct rc_span rooms;
    struct rc_span except;
    if (!(entry->flags & RC_RECOVERY_LINKED) || !rc_span_equal(parts->channel, sought->nsp) ||
        (entry->origin != 0 && entry->origin != sought->session->lives[0]) || !rc_link_kept_list_take(&names, &rooms) ||
        !rc_link_kept_list_take(&names, &except)) {
        return false;
    }
    struct rc_span any = rooms;
    return (rc_link_kept_list_begin(&any) == 0 || any_is_its(sought, rooms)) && !any_is_its(sought, except);
}

struct missed {
    uint64_t since; /* position + 1 of the entry that it has got last */
    uint64_t bytes;
    uint32_t count; /* of recovery->found */
    uint32_t walked;
};

/* Adds what of a chain is for it. 0, or enum rc_sio_session_code. */
static uint16_t chain_collect(struct rc_recovery *recovery, const struct sought *sought, uint32_t chain,
                              struct missed *missed)
{
    struct rc_recovery_entry entry;
    struct rc_recovery_parts parts;
    uint64_t newer = UINT64_MAX;
    for (uint64_t at = recovery->linked.said[chain]; at > missed->since && at < newer; at = entry.previous) {
        newer = at;
        if (missed->count == RC_RECOVERY_MISSED_MAX || ++missed->walked > RC_RECOVERY_WALK_MAX) {
            return RC_SIO_SESSION_TOO_MUCH;
        }
        rc_recovery_log_read(&recovery->log, at - 1, &entry, &parts);
        if (!entry_wanted(sought, &entry, &parts)) {
            continue;
        }
        if (entry.flags & RC_RECOVERY_HOLE) {
            return RC_SIO_SESSION_TOO_OLD;
        }
        missed->bytes += parts.data.count;
        recovery->found[missed->count++] = (struct rc_recovery_found){.position = at - 1};
        if (missed->bytes > recovery->setup.config->socketio.recovery_max_bytes) {
            return RC_SIO_SESSION_TOO_MUCH;
        }
    }
    return 0;
}

static uint16_t missed_find(struct rc_recovery *recovery, const struct sought *sought, struct missed *missed)
{
    struct rc_span rooms = sought->rooms;
    struct rc_span room;
    uint8_t own[1 + UINT8_MAX] = {'s'};
    if (recovery->linked.hole > missed->since) {
        return RC_SIO_SESSION_TOO_OLD;
    }
    if (sought->sid.count > 0) {
        memcpy(own + 1, sought->sid.bytes, sought->sid.count);
    }
    uint16_t code = chain_collect(recovery, sought, slot_of(sought->nsp, (struct rc_span){0}), missed);
    code = code == 0
               ? chain_collect(recovery, sought, slot_of(sought->nsp, rc_span_of(own, 1 + sought->sid.count)), missed)
               : code;
    (void)rc_link_kept_list_begin(&rooms);
    while (code == 0 && rc_link_kept_list_next(&rooms, &room)) {
        code = chain_collect(recovery, sought, slot_of(sought->nsp, room), missed);
    }
    missed->count = rc_recovery_log_order(recovery->found, missed->count);
    return code;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* What REPLY says behind `found`, in records one behind the other. */
struct reply {
    const struct rc_recovery *recovery;
    uint32_t worker;
    struct rc_envelope_view *view;
    uint32_t used; /* bytes of recovery->record */
    int rc;
};

static void reply_flush(struct reply *reply, uint32_t flags)
{
    const struct rc_recovery *recovery = reply->recovery;
    const struct rc_missed_head head = {.flags = flags};
    if (reply->rc == 0) {
        memcpy(recovery->record, &head, sizeof(head));
        reply->view->data = recovery->record;
        reply->view->head.data_bytes = reply->used;
        reply->rc = recovery->setup.send(recovery->setup.context, reply->worker, reply->view);
    }
    reply->used = sizeof(head);
}

static void reply_put(struct reply *reply, struct rc_span bytes)
{
    const uint32_t most = (uint32_t)reply->recovery->setup.record_bytes_max;
    while (bytes.count > 0) {
        if (reply->used >= most) {
            reply_flush(reply, 0);
        }
        const size_t count = bytes.count < most - reply->used ? bytes.count : most - reply->used;
        memcpy(reply->recovery->record + reply->used, bytes.bytes, count);
        reply->used += (uint32_t)count;
        bytes = rc_span_of(bytes.bytes + count, bytes.count - count);
    }
}

static void reply_put_number(struct reply *reply, uint32_t number, size_t bytes)
{
    uint8_t out[sizeof(number)];
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(number >> (8 * i));
    }
    reply_put(reply, rc_span_of(out, bytes));
}

static int reply_send(struct rc_recovery *recovery, uint32_t worker, struct rc_envelope_view *view,
                      const struct sought *sought, uint32_t count)
{
    struct reply reply = {.recovery = recovery, .worker = worker, .view = view, .used = sizeof(struct rc_missed_head)};
    reply_put_number(&reply, (uint32_t)sought->sid.count, 2);
    reply_put(&reply, sought->sid);
    reply_put_number(&reply, (uint32_t)sought->data.count, 4);
    reply_put(&reply, sought->data);
    reply_put(&reply, sought->rooms);
    reply_put_number(&reply, count, LINKED_COUNT_BYTES);
    for (uint32_t i = 0; i < count && reply.rc == 0; i++) {
        struct rc_recovery_entry entry;
        struct rc_recovery_parts parts;
        rc_recovery_log_read(&recovery->log, recovery->found[i].position, &entry, &parts);
        reply_put(&reply, parts.data);
    }
    reply_flush(&reply, RC_MISSED_LAST);
    return reply.rc;
}

uint16_t rc_recovery_linked_asked(struct rc_recovery *recovery, uint32_t worker, const struct rc_envelope_view *asked,
                                  struct rc_envelope_view *view, uint64_t now_ms)
{
    const size_t before = sizeof(struct rc_query_head);
    const struct rc_span nsp = channel_of(asked);
    struct sought sought;
    struct missed missed = {0};
    struct rc_span text;
    struct rc_span offset;
    char pid[RC_PID_BYTES];
    if (nsp.count == 0 || rc_link_kept_question_read(rc_span_of(asked->data + before, asked->head.data_bytes - before),
                                                     &text, &offset) < 0) {
        return RC_SIO_SESSION_UNKNOWN;
    }
    pid_of(pid, nsp, text);
    const uint32_t unit = rc_recovery_sessions_find(&recovery->sessions, pid);
    const struct rc_recovery_session *session =
        unit == RC_SIO_SESSION_NONE ? NULL : rc_recovery_session_at(&recovery->sessions, unit);
    if (session == NULL || !session->linked || rc_recovery_session_over(&recovery->sessions, session, now_ms) ||
        !session_sought(session, &sought)) {
        return RC_SIO_SESSION_UNKNOWN;
    }
    missed.since = offset_find(recovery, nsp, offset);
    uint16_t code = missed.since == 0 ? (uint16_t)RC_SIO_SESSION_TOO_OLD : missed_find(recovery, &sought, &missed);
    if (code == 0 && reply_send(recovery, worker, view, &sought, missed.count) != 0) {
        return RC_SIO_SESSION_BUSY; /* it is there for who asks again */
    }
    if (code != 0) {
        return code; /* nobody has it: whoever knows where he was may still come */
    }
    rc_recovery_drop(recovery, unit); /* two with one id would be one too many */
    rc_metric_add(recovery->setup.metrics, RC_METRIC_RECOVERED, 1);
    rc_metric_add(recovery->setup.metrics, RC_METRIC_RECOVERED_MESSAGES, missed.count);
    return 0;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_recovery_linked_open(struct rc_recovery *recovery)
{
    struct rc_recovery_linked *linked = &recovery->linked;
    struct rc_recovery_entry entry;
    struct rc_recovery_parts parts;
    uint64_t position;
    linked->offsets = calloc(RC_RECOVERY_LINKED_SLOTS, sizeof(*linked->offsets));
    linked->said = calloc(RC_RECOVERY_LINKED_SLOTS, sizeof(*linked->said));
    if (linked->said == NULL || linked->offsets == NULL) {
        return -ENOMEM;
    }
    for (uint64_t at = 0; rc_recovery_log_each(&recovery->log, &at, &position, &entry);) {
        if (!(entry.flags & RC_RECOVERY_LINKED)) {
            continue;
        }
        rc_recovery_log_read(&recovery->log, position, &entry, &parts);
        if (parts.channel.count == 0) {
            linked->hole = position + 1;
            continue;
        }
        linked->said[entry.chain % RC_RECOVERY_LINKED_SLOTS] = position + 1;
        linked->offsets[slot_of(parts.channel, parts.event)] = position + 1;
    }
    return 0;
}

void rc_recovery_linked_close(struct rc_recovery *recovery)
{
    free(recovery->linked.said);
    free(recovery->linked.offsets);
    recovery->linked = (struct rc_recovery_linked){0};
}
