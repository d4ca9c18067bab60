/* comeback_owner: see comeback_owner.h. */
#include "relay/cluster/comeback_owner.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "relay/cluster/comeback_say.h"
#include "relay/cluster/comeback_wire.h"

#define PART_BYTES (UINT64_C(256) << 10) /* of messages in one MISSED, but for the last */

bool rc_comeback_taken_by_all(struct rc_comeback *comeback, uint64_t published, struct rc_redis_places *places)
{
    const struct rc_redis_link *link = comeback->setup.bridge->link;
    return rc_redis_places(link, places) &&
           (places->count == 1 || (rc_redis_places_up(link, places) && rc_redis_taken(link, published)));
}

/* Messages that go, a part at a time. */
struct giving {
    struct rc_comeback *comeback;
    const struct rc_comeback_message *asked;
    size_t bytes; /* in comeback->out */
    uint32_t count;
    uint32_t total; /* of all parts so far */
};

static bool giving_say(struct giving *giving, bool last)
{
    struct rc_comeback_message answer = {.kind = RC_COMEBACK_MISSED,
                                         .token = giving->asked->token,
                                         .last = last,
                                         .total = giving->total,
                                         .count = giving->count};
    const bool said = rc_comeback_say(giving->comeback->setup.bridge, giving->asked->from, &answer,
                                      rc_span_of(giving->comeback->out.bytes, giving->bytes));
    giving->bytes = giving->count = 0;
    return said;
}

static bool giving_add(void *context, const struct rc_recovery_given *message)
{
    struct giving *giving = context;
    const struct rc_comeback_missed missed = {
        .identity = message->identity, .flags = message->flags, .event = message->event, .data = message->data};
    const size_t bytes = rc_comeback_missed_bytes(&missed);
    if (giving->count > 0 && giving->bytes + bytes > PART_BYTES && !giving_say(giving, false)) {
        return false;
    }
    if (!rc_scratch_room(&giving->comeback->out, giving->bytes + bytes)) {
        return false;
    }
    (void)rc_comeback_missed_write(giving->comeback->out.bytes + giving->bytes, &missed);
    giving->bytes += bytes;
    giving->count++;
    giving->total++;
    return true;
}

/* A place for what is to be told behind the session; NULL: all are used. */
static struct rc_comeback_given *given_free(struct rc_comeback *comeback)
{
    for (uint32_t i = 0; i < RC_COMEBACKS_MAX; i++) {
        if (comeback->given[i].token == 0) {
            return &comeback->given[i];
        }
    }
    return NULL;
}

static void giving_follow(struct rc_comeback *comeback, struct rc_comeback_given *given,
                          const struct rc_comeback_message *asked)
{
    const uint64_t now_ms = rc_clock_ms();
    *given = (struct rc_comeback_given){
        .token = asked->token, .since_ms = now_ms, .published = rc_redis_published(comeback->setup.bridge->link)};
    (void)snprintf(given->to, sizeof(given->to), "%.*s", (int)asked->from.count, (const char *)asked->from.bytes);
}

static void owner_none(struct rc_comeback *comeback, const struct rc_comeback_message *asked, uint16_t code)
{
    struct rc_comeback_message answer = {.kind = RC_COMEBACK_NONE, .token = asked->token, .code = code};
    (void)rc_comeback_say(comeback->setup.bridge, asked->from, &answer, (struct rc_span){0});
}

/* Of a Cluster's servers each takes what is published there by itself. What this instance's own clients said before the socket was lost it has had, as
 * a message goes to them at once: it is to be with Redis before another instance begins to hear for it, and not to come there as if it were new. */
static bool owner_may_go(const struct rc_comeback *comeback, uint64_t lost_ms)
{
    struct rc_redis_places places;
    return !rc_redis_places(comeback->setup.bridge->link, &places) || places.count == 1 ||
           rc_redis_taken_by(comeback->setup.bridge->link, lost_ms);
}

bool rc_comeback_owner_asked(struct rc_comeback *comeback, const struct rc_comeback_message *message)
{
    struct rc_recovery *recovery = comeback->setup.recovery;
    struct rc_sio_session_claim claim = {.user_bytes = (uint8_t)message->user.count,
                                         .offset_bytes = (uint8_t)message->offset.count};
    uint8_t text[sizeof(claim) + 2 * UINT8_MAX];
    const struct rc_span parts[] = {rc_span_of(&claim, sizeof(claim)), message->user, message->offset};
    size_t used = 0;
    memcpy(claim.pid, message->pid, sizeof(claim.pid));
    for (size_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        if (parts[i].count > 0) {
            memcpy(text + used, parts[i].bytes, parts[i].count);
            used += parts[i].count;
        }
    }
    const struct rc_recovery_asked_for asked = {.channel = message->channel, .claim = rc_span_of(text, used)};
    struct rc_sio_session_head head;
    struct rc_sio_session_parts session;
    struct rc_span record;
    struct rc_span room;
    uint64_t lost_ms = 0;
    uint16_t code = rc_recovery_abroad_find(recovery, &asked, rc_clock_ms(), &record, &lost_ms);
    if (code != 0 || rc_sio_session_read(record, &head, &session) < 0) {
        owner_none(comeback, message, code != 0 ? code : RC_SIO_SESSION_UNKNOWN);
        return false;
    }
    if (message->kind == RC_COMEBACK_ASK && !owner_may_go(comeback, lost_ms)) {
        owner_none(comeback, message, RC_SIO_SESSION_BUSY);
        return false;
    }
    if (message->kind == RC_COMEBACK_ASK) {
        struct rc_comeback_message answer = {.kind = RC_COMEBACK_HAVE,
                                             .token = message->token,
                                             .sid = (const uint8_t *)head.sid,
                                             .user = session.user,
                                             .set = session.set,
                                             .rooms = session.rooms,
                                             .read = rc_span_text(comeback->setup.place(comeback->setup.context))};
        (void)rc_comeback_say(comeback->setup.bridge, message->from, &answer, (struct rc_span){0});
        return false;
    }
    while (code == 0 && rc_sio_session_room_next(&session.rooms, &room)) {
        code = comeback->setup.hears(comeback->setup.context, room) ? 0 : RC_SIO_SESSION_BUSY;
    }
    if (code == 0 && !comeback->setup.has(comeback->setup.context, message->read)) {
        code = RC_SIO_SESSION_BUSY; /* what the asker has read already would not be among what is given */
    }
    /* Of one server nothing more is to be told: the answer stands behind all that was heard here. */
    const bool follow = message->through.count > 1;
    struct rc_comeback_given *given = follow ? given_free(comeback) : NULL;
    code = code == 0 && follow && given == NULL ? RC_SIO_SESSION_BUSY : code;
    struct giving giving = {.comeback = comeback, .asked = message};
    code = code == 0 ? rc_recovery_abroad_give(recovery, &asked, rc_clock_ms(), giving_add, &giving) : code;
    code = code == 0 && !giving_say(&giving, true) ? RC_SIO_SESSION_BUSY : code;
    if (code == 0) {
        if (given != NULL) {
            giving_follow(comeback, given, message);
        }
        rc_recovery_abroad_gone(recovery, claim.pid);
        rc_comeback_moves_add(&comeback->moves, head.sid, message->from);
        rc_metric_add(recovery->setup.metrics, RC_METRIC_RECOVERY_WENT, 1);
    } else {
        owner_none(comeback, message, code);
    }
    return code == 0 && given != NULL;
}

bool rc_comeback_owner_took(struct rc_comeback *comeback, const struct rc_comeback_message *message, uint64_t heard)
{
    const struct rc_comeback_mark mark = {
        .token = message->token, .place = message->through.place, .heard = heard, .count = message->through.count};
    struct rc_redis_places places;
    if (!rc_redis_places(comeback->setup.bridge->link, &places) || places.map != message->through.map) {
        rc_redis_places_differ(comeback->setup.bridge->link);
        if (rc_comeback_marks_spend(&comeback->marks, message->token)) {
            owner_none(comeback, message, RC_SIO_SESSION_BUSY);
        }
        return false;
    }
    return rc_comeback_marks_came(&comeback->marks, &mark, &places) == RC_COMEBACK_WHOLE &&
           rc_comeback_owner_asked(comeback, message);
}

bool rc_comeback_owner_tick(struct rc_comeback *comeback, uint64_t now_ms)
{
    bool wait = false;
    for (uint32_t i = 0; i < RC_COMEBACKS_MAX; i++) {
        struct rc_comeback_given *given = &comeback->given[i];
        struct rc_comeback_message message = {.kind = RC_COMEBACK_GIVEN, .token = given->token};
        struct rc_redis_places places;
        if (given->token == 0) {
            continue;
        }
        if (now_ms >= given->since_ms + RC_COMEBACK_ROOMS_MS) {
            given->token = 0; /* the asker does not wait any more */
        } else if (now_ms >= given->again_ms && rc_comeback_taken_by_all(comeback, given->published, &places)) {
            given->again_ms = now_ms + RC_COMEBACK_AGAIN_MS;
            given->token =
                rc_comeback_mark_all(comeback->setup.bridge, given->to, &message, &places) ? 0 : given->token;
        }
        wait |= given->token != 0;
    }
    return wait;
}
