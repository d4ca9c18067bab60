/* abroad: see abroad.h. */
#include "relay/recovery/abroad.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "relay/recovery/chains.h"

/* --- the host that has it -------------------------------------------------------------------------------------------- */

/* It is lost, and what it missed is there. */
static uint16_t abroad_missed(struct rc_recovery *recovery, const struct rc_recovery_asked_for *asked, uint64_t now_ms,
                              uint32_t *unit, uint32_t *count)
{
    uint64_t since = 0;
    const uint16_t code = recovery->on
                              ? rc_recovery_claimed(recovery, asked->channel, asked->claim, now_ms, unit, &since)
                              : RC_SIO_SESSION_UNKNOWN;
    return code != 0 ? code : rc_recovery_missed(recovery, *unit, since, count);
}

uint16_t rc_recovery_abroad_find(struct rc_recovery *recovery, const struct rc_recovery_asked_for *asked,
                                 uint64_t now_ms, struct rc_span *record, uint64_t *lost_ms)
{
    uint32_t unit;
    uint32_t count;
    const uint16_t code = abroad_missed(recovery, asked, now_ms, &unit, &count);
    if (code == 0) {
        const struct rc_recovery_session *session = rc_recovery_session_at(&recovery->sessions, unit);
        const size_t bytes = session->head.user_bytes + session->head.set_bytes + session->head.rooms_bytes;
        memcpy(recovery->record, &session->head, sizeof(session->head));
        memcpy(recovery->record + sizeof(session->head), session + 1, bytes);
        *record = rc_span_of(recovery->record, sizeof(session->head) + bytes);
        *lost_ms = session->lost_ms;
    }
    return code;
}

static struct rc_recovery_given given_of(const struct rc_recovery_entry *entry, const struct rc_recovery_parts *parts)
{
    return (struct rc_recovery_given){
        .identity = entry->identity,
        .flags = (uint16_t)(((entry->flags & RC_RECOVERY_BINARY) ? RC_ENVELOPE_BINARY : 0u) |
                            ((entry->flags & RC_RECOVERY_ARGS) ? RC_ENVELOPE_ARGS : 0u)),
        .event = parts->event,
        .data = parts->data,
    };
}

uint16_t rc_recovery_abroad_give(struct rc_recovery *recovery, const struct rc_recovery_asked_for *asked,
                                 uint64_t now_ms, bool (*give)(void *context, const struct rc_recovery_given *message),
                                 void *context)
{
    uint32_t unit;
    uint32_t count = 0;
    uint16_t code = abroad_missed(recovery, asked, now_ms, &unit, &count);
    for (uint32_t i = 0; code == 0 && i < count; i++) {
        struct rc_recovery_entry entry;
        struct rc_recovery_parts parts;
        rc_recovery_log_read(&recovery->log, recovery->found[i].position, &entry, &parts);
        const struct rc_recovery_given given = given_of(&entry, &parts);
        code = give(context, &given) ? 0 : RC_SIO_SESSION_BUSY;
    }
    return code;
}

void rc_recovery_abroad_gone(struct rc_recovery *recovery, const char pid[RC_PID_BYTES])
{
    const uint32_t unit = recovery->on ? rc_recovery_sessions_find(&recovery->sessions, pid) : RC_SIO_SESSION_NONE;
    if (unit != RC_SIO_SESSION_NONE) {
        rc_recovery_drop(recovery, unit);
    }
}

/* --- the other one --------------------------------------------------------------------------------------------------- */

bool rc_recovery_abroad_expect(struct rc_recovery *recovery, struct rc_span channel, struct rc_span record,
                               uint64_t now_ms)
{
    struct rc_recovery_session session = {.lost_ms = now_ms, .since = recovery->newest, .came = RC_RECOVERY_ARRIVES};
    struct rc_sio_session_parts parts;
    struct rc_sid sid;
    if (!recovery->on || channel.count == 0 || channel.count > sizeof(session.channel) ||
        rc_sio_session_read(record, &session.head, &parts) < 0 ||
        !rc_sid_read(&sid, rc_span_of(session.head.sid, RC_SID_BYTES)) || sid.client.random == 0 ||
        rc_recovery_sessions_find(&recovery->sessions, session.head.pid) != RC_SIO_SESSION_NONE ||
        rc_recovery_sessions_of_token(&recovery->sessions, sid.client.random) != RC_SIO_SESSION_NONE) {
        return false;
    }
    session.head.since_ms = 0; /* a clock of the other host; what is for it is known by `since` */
    session.channel_bytes = (uint8_t)channel.count;
    memcpy(session.channel, channel.bytes, channel.count);
    return rc_recovery_put(recovery, RC_SIO_SESSION_NONE, &session, &parts, RC_SIO_SESSION_LOST) != RC_SIO_SESSION_NONE;
}

void rc_recovery_abroad_told(struct rc_recovery *recovery, const char pid[RC_PID_BYTES], uint64_t since,
                             void (*tell)(void *context, const struct rc_recovery_given *message, uint64_t sequence),
                             void *context)
{
    const uint32_t unit = recovery->on ? rc_recovery_sessions_find(&recovery->sessions, pid) : RC_SIO_SESSION_NONE;
    uint32_t count = 0;
    if (unit == RC_SIO_SESSION_NONE || rc_recovery_missed(recovery, unit, since, &count) != 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct rc_recovery_entry entry;
        struct rc_recovery_parts parts;
        rc_recovery_log_read(&recovery->log, recovery->found[i].position, &entry, &parts);
        if ((entry.flags & RC_RECOVERY_DIRECT) != 0) {
            const struct rc_recovery_given given = given_of(&entry, &parts);
            tell(context, &given, entry.sequence);
        }
    }
}

static bool same_content(const struct rc_recovery_given *one, const struct rc_recovery_given *other)
{
    return one->flags == other->flags && rc_span_equal(one->event, other->event) &&
           rc_span_equal(one->data, other->data);
}

/* What was heard here: has it come as well? *code: it cannot be told. */
static bool abroad_came(const struct rc_recovery_given *heard, const struct rc_recovery_given *messages, uint32_t count,
                        uint16_t *code)
{
    for (uint32_t i = 0; i < count; i++) {
        const bool named = heard->identity != 0 && messages[i].identity != 0;
        if (named && heard->identity == messages[i].identity && same_content(heard, &messages[i])) {
            return true;
        }
        if (!named && same_content(heard, &messages[i])) {
            *code = RC_SIO_SESSION_TOO_OLD;
        }
    }
    return false;
}

/* Told to the socket alone, from here on. */
static bool abroad_append(struct rc_recovery *recovery, uint32_t unit, const struct rc_recovery_given *message,
                          uint64_t now_ms)
{
    const struct rc_recovery_session *session = rc_recovery_session_at(&recovery->sessions, unit);
    const uint64_t token = rc_recovery_session_token(session);
    const struct rc_recovery_entry entry = {.sequence = recovery->setup.sequence(recovery->setup.context),
                                            .chain = rc_recovery_chain_of_token(token),
                                            .time_ms = now_ms,
                                            .target = token,
                                            .identity = message->identity,
                                            .flags = RC_RECOVERY_DIRECT |
                                                     ((message->flags & RC_ENVELOPE_BINARY) ? RC_RECOVERY_BINARY : 0u) |
                                                     ((message->flags & RC_ENVELOPE_ARGS) ? RC_RECOVERY_ARGS : 0u)};
    const struct rc_recovery_parts parts = {.channel = rc_span_of(session->channel, session->channel_bytes),
                                            .event = message->event,
                                            .data = message->data};
    recovery->sequence = recovery->newest = entry.sequence;
    recovery->recent[entry.sequence % RC_RECOVERY_RECENT] = 0;
    return rc_recovery_log_append(&recovery->log, &entry, &parts);
}

/* Leaves out of recovery->found what both hosts have heard: it has come with it, or its client had it before. What was said here, or to the socket alone,
 * the other one may have heard later. Returns how many are left. */
static uint32_t abroad_since(struct rc_recovery *recovery, uint32_t count, uint64_t both)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct rc_recovery_entry entry;
        struct rc_recovery_parts parts;
        rc_recovery_log_read(&recovery->log, recovery->found[i].position, &entry, &parts);
        if (entry.sequence > both || (entry.flags & (RC_RECOVERY_REMOTE | RC_RECOVERY_DIRECT)) != RC_RECOVERY_REMOTE) {
            recovery->found[left++] = recovery->found[i];
        }
    }
    return left;
}

/* What was heard here since it was expected, out of the log, which is written while it is told again. NULL: no memory. */
static struct rc_recovery_given *abroad_heard(const struct rc_recovery *recovery, uint32_t count)
{
    struct rc_recovery_entry entry;
    struct rc_recovery_parts parts;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        rc_recovery_log_read(&recovery->log, recovery->found[i].position, &entry, &parts);
        bytes += parts.event.count + parts.data.count;
    }
    struct rc_recovery_given *heard = malloc((size_t)count * sizeof(*heard) + bytes + 1);
    uint8_t *out = (uint8_t *)(heard + count);
    for (uint32_t i = 0; heard != NULL && i < count; i++) {
        rc_recovery_log_read(&recovery->log, recovery->found[i].position, &entry, &parts);
        heard[i] = given_of(&entry, &parts);
        struct rc_span *all[] = {&heard[i].event, &heard[i].data};
        for (size_t k = 0; k < RC_ARRAY_COUNT(all); k++) {
            if (all[k]->count > 0) {
                memcpy(out, all[k]->bytes, all[k]->count);
                *all[k] = rc_span_of(out, all[k]->count);
                out += all[k]->count;
            }
        }
    }
    return heard;
}

uint16_t rc_recovery_abroad_arrived(struct rc_recovery *recovery, const char pid[RC_PID_BYTES], uint64_t both,
                                    const struct rc_recovery_given *messages, uint32_t count, uint64_t now_ms)
{
    const uint32_t unit = recovery->on ? rc_recovery_sessions_find(&recovery->sessions, pid) : RC_SIO_SESSION_NONE;
    uint32_t heard_count = 0;
    if (unit == RC_SIO_SESSION_NONE) {
        return RC_SIO_SESSION_UNKNOWN;
    }
    struct rc_recovery_session *session = rc_recovery_session_at(&recovery->sessions, unit);
    uint16_t code = rc_recovery_missed(recovery, unit, session->since, &heard_count);
    heard_count = code == 0 ? abroad_since(recovery, heard_count, both) : 0;
    struct rc_recovery_given *heard = code == 0 ? abroad_heard(recovery, heard_count) : NULL;
    code = code == 0 && heard == NULL ? RC_SIO_SESSION_BUSY : code;
    session->since = recovery->newest;
    for (uint32_t i = 0; code == 0 && i < count; i++) {
        code = abroad_append(recovery, unit, &messages[i], now_ms) ? 0 : RC_SIO_SESSION_TOO_OLD;
    }
    for (uint32_t i = 0; code == 0 && i < heard_count; i++) {
        const bool came = abroad_came(&heard[i], messages, count, &code);
        if (code == 0 && !came && !abroad_append(recovery, unit, &heard[i], now_ms)) {
            code = RC_SIO_SESSION_TOO_OLD;
        }
    }
    free(heard);
    if (code != 0) {
        rc_recovery_drop(recovery, unit);
    } else {
        session->came = RC_RECOVERY_CAME;
    }
    return code;
}
