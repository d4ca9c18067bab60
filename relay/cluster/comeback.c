/* comeback: see comeback.h. */
#include "relay/cluster/comeback.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/channel_name.h"
#include "common/text/json_scan.h"
#include "relay/bridge/foreign.h"
#include "relay/cluster/comeback_owner.h"
#include "relay/cluster/comeback_say.h"
#include "relay/cluster/comeback_wire.h"

#define ENTRY_AROUND 32u /* of a message in it, beside event and data */

enum comeback_state {
    COMEBACK_FREE,
    COMEBACK_ASKED,   /* all others are */
    COMEBACK_EXPECTS, /* its rooms are not heard yet */
    COMEBACK_TAKES,   /* the owner is asked for it */
    COMEBACK_ENDED,   /* refused: `code` */
};

/* A socket that comes back here. */
struct rc_comeback_one {
    enum comeback_state state;
    uint64_t since_ms;  /* of the state */
    uint64_t due_ms;    /* until then its rooms are to be heard, and it is asked for again */
    uint64_t again_ms;  /* not before */
    uint64_t token;     /* of the question that is out */
    uint64_t socket;    /* token of its sid, once it is expected */
    uint64_t published; /* by this instance before it was expected: rc_redis_published */
    uint64_t map;       /* under which it was asked for last */
    uint64_t asked;     /* sequence of the newest message then */
    uint32_t nones;     /* who do not have it */
    uint16_t code;
    uint8_t channel_bytes;
    uint8_t user_bytes;
    uint8_t offset_bytes;
    char pid[RC_PID_BYTES];
    char channel[RC_CHANNEL_NAME_MAX];
    uint8_t user[UINT8_MAX];
    uint8_t offset[UINT8_MAX];
    char owner[RC_INSTANCE_ID_MAX + 1];
    char read[RC_COMEBACK_READ_MAX]; /* how far its owner had read other servers' stream then; "": there is none */
    struct rc_scratch record; /* owner: struct rc_sio_session_head | user | set | rooms; then the messages that came */
    size_t record_bytes;
    size_t missed_bytes;
    uint32_t missed_count;
    bool told; /* all that was missed has come; what stands in other servers' orders before it may be on its way */
};

/* What is asked of others. */
static struct rc_comeback_message comeback_question(const struct rc_comeback_one *one, enum rc_comeback_kind kind)
{
    return (struct rc_comeback_message){.kind = kind,
                                        .token = one->token,
                                        .channel = rc_span_of(one->channel, one->channel_bytes),
                                        .pid = (const uint8_t *)one->pid,
                                        .user = rc_span_of(one->user, one->user_bytes),
                                        .offset = rc_span_of(one->offset, one->offset_bytes)};
}

/* --- where sockets went ---------------------------------------------------------------------------------------------- */

const struct rc_comeback_move *rc_comeback_moved(const struct rc_comeback *comeback, uint64_t token)
{
    return rc_comeback_moves_find(&comeback->moves, token);
}

/* It is here again, or nowhere any more: nothing that is for it goes round in a circle. */
static void comeback_here(struct rc_comeback *comeback, const struct rc_comeback_one *one)
{
    struct rc_sio_session_head head;
    struct rc_sid sid;
    if (one->record_bytes < sizeof(head)) {
        return;
    }
    memcpy(&head, one->record.bytes, sizeof(head));
    if (rc_sid_read(&sid, rc_span_of(head.sid, RC_SID_BYTES))) {
        rc_comeback_moves_drop(&comeback->moves, sid.client.random);
    }
}

/* --- the asker ------------------------------------------------------------------------------------------------------- */

static void comeback_tick(void *context, uint64_t now_ms);

static void comeback_ticks(struct rc_comeback *comeback, uint64_t now_ms)
{
    if (!comeback->timer.set) {
        rc_timer_set(comeback->setup.bridge->timers, &comeback->timer, now_ms + RC_COMEBACK_TICK_MS, comeback_tick,
                     comeback);
    }
}

static void comeback_enter(struct rc_comeback *comeback, struct rc_comeback_one *one, enum comeback_state state)
{
    const uint64_t now_ms = rc_clock_ms();
    one->state = state;
    one->since_ms = now_ms;
    if (state == COMEBACK_ENDED || state == COMEBACK_FREE) {
        free(one->record.bytes);
        one->record = (struct rc_scratch){0};
        one->record_bytes = one->missed_bytes = one->missed_count = 0;
    }
    if (state != COMEBACK_FREE) {
        comeback_ticks(comeback, now_ms);
    }
}

struct comeback_telling {
    struct rc_comeback *comeback;
    const struct rc_comeback_one *one;
};

/* A message that the socket alone was told here; `sequence`: of its entry. */
static void told_tell(void *context, const struct rc_recovery_given *message, uint64_t sequence)
{
    const struct comeback_telling *telling = context;
    const struct rc_comeback *comeback = telling->comeback;
    const struct rc_wire *wire = comeback->setup.bridge->wire;
    char channel[RC_CHANNEL_NAME_MAX];
    struct rc_sio_session_head head;
    struct rc_span nsp;
    struct rc_span room;
    /* One of this instance's: it stands behind its own number (rc_to_sockets_room). Others sent theirs to the owner themselves. */
    if (message->identity != rc_wire_identity(rc_span_text(wire->instance_id), wire->boot_nonce, sequence - 1)) {
        return;
    }
    memcpy(&head, telling->one->record.bytes, sizeof(head));
    (void)rc_channel_split(rc_span_of(telling->one->channel, telling->one->channel_bytes), &nsp, &room);
    const struct rc_envelope_view view = {
        .head = {.sequence = sequence - 1,
                 .flags = message->flags,
                 .channel_bytes =
                     (uint8_t)rc_channel_of_room(channel, sizeof(channel), nsp, rc_span_of(head.sid, RC_SID_BYTES)),
                 .event_bytes = (uint8_t)message->event.count,
                 .data_bytes = (uint32_t)message->data.count},
        .channel = channel,
        .event = (const char *)message->event.bytes,
        .data = message->data.bytes};
    (void)rc_direct_publish_socket(comeback->setup.direct, telling->one->owner, &view);
}

/* It was asked for in vain, or perhaps so: what was told here to the socket alone meanwhile its owner, with which it may stay, gets behind that. Where it
 * was given away after all the owner passes it on, to nobody. */
static void comeback_told(struct rc_comeback *comeback, const struct rc_comeback_one *one)
{
    struct comeback_telling telling = {.comeback = comeback, .one = one};
    if (one->record_bytes >= sizeof(struct rc_sio_session_head)) {
        rc_recovery_abroad_told(comeback->setup.recovery, one->pid, one->asked, told_tell, &telling);
    }
}

/* It does not come. */
static void comeback_refuse(struct rc_comeback *comeback, struct rc_comeback_one *one, uint16_t code)
{
    if (one->state == COMEBACK_TAKES) {
        comeback_told(comeback, one);
    }
    if (one->state == COMEBACK_EXPECTS || one->state == COMEBACK_TAKES) {
        rc_recovery_abroad_gone(comeback->setup.recovery, one->pid);
    }
    if (one->state == COMEBACK_TAKES) {
        comeback_here(comeback, one); /* the owner may have given it away */
    }
    one->code = code;
    comeback_enter(comeback, one, COMEBACK_ENDED);
}

static struct rc_comeback_one *comeback_find(struct rc_comeback *comeback, const char pid[RC_PID_BYTES])
{
    for (uint32_t i = 0; i < RC_COMEBACKS_MAX; i++) {
        struct rc_comeback_one *one = &comeback->ones[i];
        if (one->state != COMEBACK_FREE && memcmp(one->pid, pid, RC_PID_BYTES) == 0) {
            return one;
        }
    }
    return NULL;
}

/* A free one, else one that was refused longest ago; NULL: all are busy. */
static struct rc_comeback_one *comeback_free(struct rc_comeback *comeback)
{
    struct rc_comeback_one *found = NULL;
    for (uint32_t i = 0; i < RC_COMEBACKS_MAX; i++) {
        struct rc_comeback_one *one = &comeback->ones[i];
        if (one->state == COMEBACK_FREE) {
            return one;
        }
        if (one->state == COMEBACK_ENDED && (found == NULL || one->since_ms < found->since_ms)) {
            found = one;
        }
    }
    return found;
}

uint16_t rc_comeback_ask(struct rc_comeback *comeback, struct rc_span channel, struct rc_span asked)
{
    struct rc_sio_session_claim claim;
    struct rc_span user;
    struct rc_span offset;
    if (comeback->ones == NULL || rc_sio_session_claim_read(asked, &claim, &user, &offset) < 0 ||
        channel.count > RC_CHANNEL_NAME_MAX) {
        return RC_SIO_SESSION_UNKNOWN;
    }
    struct rc_comeback_one *one = comeback_find(comeback, claim.pid);
    if (one != NULL) {
        return one->state == COMEBACK_ENDED ? one->code : 0;
    }
    const struct rc_registry *registry = comeback->setup.registry;
    if (registry->instance_count == 0 || !rc_registry_owned(registry) || !rc_redis_up(comeback->setup.bridge->link)) {
        return RC_SIO_SESSION_UNKNOWN;
    }
    one = comeback_free(comeback);
    if (one == NULL) {
        return RC_SIO_SESSION_BUSY;
    }
    *one = (struct rc_comeback_one){.token = ++comeback->serial,
                                    .channel_bytes = (uint8_t)channel.count,
                                    .user_bytes = (uint8_t)user.count,
                                    .offset_bytes = (uint8_t)offset.count};
    memcpy(one->pid, claim.pid, sizeof(one->pid));
    memcpy(one->channel, channel.bytes, channel.count);
    memcpy(one->user, user.bytes, user.count);
    memcpy(one->offset, offset.bytes, offset.count);
    struct rc_comeback_message question = comeback_question(one, RC_COMEBACK_ASK);
    if (!rc_comeback_say(comeback->setup.bridge, (struct rc_span){0}, &question, (struct rc_span){0})) {
        return RC_SIO_SESSION_BUSY;
    }
    comeback_enter(comeback, one, COMEBACK_ASKED);
    return 0;
}

/* The owner tells who it was: from here on its rooms are kept here. */
static void comeback_expect(struct rc_comeback *comeback, struct rc_comeback_one *one,
                            const struct rc_comeback_message *message)
{
    struct rc_sio_session_head head = {.state = RC_SIO_SESSION_LOST,
                                       .user_bytes = (uint8_t)message->user.count,
                                       .set_bytes = (uint16_t)message->set.count,
                                       .rooms_bytes = (uint32_t)message->rooms.count};
    const struct rc_span parts[] = {rc_span_of(&head, sizeof(head)), message->user, message->set, message->rooms};
    struct rc_json_value set;
    if (message->set.count > 0 &&
        (rc_json_scan(message->set, RC_JSON_CHECK_UTF8, &set, NULL) < 0 || set.type != RC_JSON_OBJECT)) {
        comeback_refuse(comeback, one, RC_SIO_SESSION_TOO_OLD);
        return;
    }
    struct rc_sid sid;
    memcpy(head.pid, one->pid, sizeof(head.pid));
    memcpy(head.sid, message->sid, sizeof(head.sid));
    one->socket = rc_sid_read(&sid, rc_span_of(head.sid, RC_SID_BYTES)) ? sid.client.random : 0;
    one->record_bytes = sizeof(head) + message->user.count + message->set.count + message->rooms.count;
    if (!rc_scratch_room(&one->record, one->record_bytes)) {
        comeback_refuse(comeback, one, RC_SIO_SESSION_BUSY);
        return;
    }
    uint8_t *at = one->record.bytes;
    for (size_t i = 0; i < RC_ARRAY_COUNT(parts); i++) {
        if (parts[i].count > 0) {
            memcpy(at, parts[i].bytes, parts[i].count);
            at += parts[i].count;
        }
    }
    (void)snprintf(one->owner, sizeof(one->owner), "%.*s", (int)message->from.count, (const char *)message->from.bytes);
    (void)snprintf(one->read, sizeof(one->read), "%.*s", (int)message->read.count, (const char *)message->read.bytes);
    if (!rc_recovery_abroad_expect(comeback->setup.recovery, rc_span_of(one->channel, one->channel_bytes),
                                   rc_span_of(one->record.bytes, one->record_bytes), rc_clock_ms())) {
        comeback_refuse(comeback, one, RC_SIO_SESSION_BUSY);
        return;
    }
    one->due_ms = rc_clock_ms() + RC_COMEBACK_ROOMS_MS;
    one->published = rc_redis_published(comeback->setup.bridge->link);
    comeback_enter(comeback, one, COMEBACK_EXPECTS);
}

const char *rc_comeback_owner(const struct rc_comeback *comeback, uint64_t token)
{
    for (uint32_t i = 0; token != 0 && comeback->ones != NULL && comeback->timer.set && i < RC_COMEBACKS_MAX; i++) {
        const struct rc_comeback_one *one = &comeback->ones[i];
        if (one->state == COMEBACK_EXPECTS && one->socket == token) {
            return one->owner;
        }
    }
    return NULL;
}

/* Asks the owner for it through each server, through home last: behind all that was published here for it. Another token each time, since answers to the
 * last one, and what is on its way of it, say nothing of this one; and each takes a place among those of all who ask there: not too often. */
static bool comeback_take(struct rc_comeback *comeback, struct rc_comeback_one *one, uint64_t now_ms)
{
    struct rc_redis_places places;
    if (now_ms < one->again_ms || !rc_comeback_taken_by_all(comeback, one->published, &places)) {
        return false;
    }
    one->again_ms = places.count > 1 ? now_ms + RC_COMEBACK_AGAIN_MS : 0;
    one->token = ++comeback->serial;
    one->map = places.map;
    one->asked = comeback->setup.recovery->newest;
    struct rc_comeback_message message = comeback_question(one, RC_COMEBACK_TAKE);
    message.read = rc_span_text(comeback->setup.place(comeback->setup.context));
    return rc_comeback_mark_all(comeback->setup.bridge, one->owner, &message, &places) &&
           rc_comeback_say(comeback->setup.bridge, rc_span_text(one->owner), &message, (struct rc_span){0});
}

/* All of them are heard, and what its client had heard by a stream before it was lost: then it is taken. */
static void comeback_rooms(struct rc_comeback *comeback, struct rc_comeback_one *one, uint64_t now_ms)
{
    struct rc_sio_session_head head;
    struct rc_sio_session_parts parts;
    struct rc_span room;
    bool all = rc_sio_session_read(rc_span_of(one->record.bytes, one->record_bytes), &head, &parts) == 0 &&
               comeback->setup.has(comeback->setup.context, rc_span_text(one->read));
    while (all && rc_sio_session_room_next(&parts.rooms, &room)) {
        all = comeback->setup.hears(comeback->setup.context, room);
    }
    one->missed_bytes = one->missed_count = 0; /* of an answer that ended in the middle */
    one->told = false;
    if (all && comeback_take(comeback, one, now_ms)) {
        comeback_enter(comeback, one, COMEBACK_TAKES);
    }
}

static void comeback_none(struct rc_comeback *comeback, struct rc_comeback_one *one,
                          const struct rc_comeback_message *message)
{
    if (one->state == COMEBACK_TAKES && message->code == RC_SIO_SESSION_BUSY) {
        comeback_told(comeback, one);
        rc_redis_places_differ(comeback->setup.bridge->link); /* perhaps that is why */
        comeback_enter(comeback, one, COMEBACK_EXPECTS);      /* it is asked again, until the time is up */
    } else if (one->state == COMEBACK_TAKES || message->code == RC_SIO_SESSION_FOREIGN_USER ||
               message->code == RC_SIO_SESSION_TOO_OLD || message->code == RC_SIO_SESSION_TOO_MUCH) {
        comeback_refuse(comeback, one, message->code);
    } else if (message->code == RC_SIO_SESSION_CONNECTED || message->code == RC_SIO_SESSION_BUSY) {
        comeback_enter(comeback, one, COMEBACK_FREE); /* its owner does not know yet that it is lost, or has something
                                                         to be rid of first: the worker asks again */
    } else if (++one->nones >= comeback->setup.registry->instance_count) {
        comeback_refuse(comeback, one, message->code);
    }
}

static bool comeback_collect(struct rc_comeback *comeback, struct rc_comeback_one *one,
                             const struct rc_comeback_message *message)
{
    const uint64_t most = comeback->setup.recovery->setup.config->socketio.recovery_max_bytes;
    const size_t used = one->record_bytes + one->missed_bytes;
    one->missed_count += message->count;
    if (one->missed_bytes + message->messages.count > most + (uint64_t)one->missed_count * ENTRY_AROUND ||
        one->missed_count > RC_RECOVERY_MISSED_MAX || !rc_scratch_room(&one->record, used + message->messages.count)) {
        return false;
    }
    if (message->messages.count > 0) {
        memcpy(one->record.bytes + used, message->messages.bytes, message->messages.count);
        one->missed_bytes += message->messages.count;
    }
    return true;
}

/* All has come, and all that its owner had heard before. */
static void comeback_arrived(struct rc_comeback *comeback, struct rc_comeback_one *one)
{
    struct rc_span rest = rc_span_of(one->record.bytes + one->record_bytes, one->missed_bytes);
    struct rc_recovery_given *all = calloc((size_t)one->missed_count + 1, sizeof(*all));
    struct rc_comeback_missed missed;
    uint32_t count = 0;
    while (all != NULL && count < one->missed_count && rc_comeback_next(&rest, &missed) &&
           rc_comeback_missed_sound(&missed)) {
        all[count++] = (struct rc_recovery_given){
            .identity = missed.identity, .flags = missed.flags, .event = missed.event, .data = missed.data};
    }
    const uint16_t code =
        all == NULL ? RC_SIO_SESSION_BUSY
        : count != one->missed_count
            ? RC_SIO_SESSION_TOO_OLD
            : rc_recovery_abroad_arrived(comeback->setup.recovery, one->pid, one->asked, all, count, rc_clock_ms());
    free(all);
    if (code != 0) {
        comeback_refuse(comeback, one, code);
    } else {
        comeback_here(comeback, one);
        rc_metric_add(comeback->setup.recovery->setup.metrics, RC_METRIC_RECOVERY_CAME, 1);
        comeback_enter(comeback, one, COMEBACK_FREE); /* the worker that asks finds it here */
    }
}

/* The answer to TAKE is complete, or what stands behind it in the order of another server has come. */
static void comeback_given(struct rc_comeback *comeback, struct rc_comeback_one *one, uint64_t place, uint64_t heard)
{
    struct rc_redis_places places;
    if (!rc_redis_places(comeback->setup.bridge->link, &places) || places.map != one->map) {
        comeback_refuse(comeback, one, RC_SIO_SESSION_TOO_OLD); /* its rooms are heard elsewhere by now */
        return;
    }
    const struct rc_comeback_mark mark = {.token = one->token, .place = place, .heard = heard, .count = places.count};
    if (rc_comeback_marks_came(&comeback->marks, &mark, &places) == RC_COMEBACK_WHOLE) {
        comeback_arrived(comeback, one);
    }
}

static void comeback_missed(struct rc_comeback *comeback, struct rc_comeback_one *one,
                            const struct rc_comeback_message *message)
{
    if (one->told) {
        return; /* Redis was given it twice */
    }
    if (!comeback_collect(comeback, one, message)) {
        comeback_refuse(comeback, one, RC_SIO_SESSION_TOO_MUCH);
    } else if (one->missed_count != message->total) {
        comeback_refuse(comeback, one, RC_SIO_SESSION_TOO_OLD); /* a part of it was lost on the way */
    } else if (message->last) {
        one->told = true;
        comeback_given(comeback, one, comeback->own.place, comeback->own.place);
    }
}

/* Whose question it answers; NULL: too late, or of another one. */
static struct rc_comeback_one *comeback_of(struct rc_comeback *comeback, const struct rc_comeback_message *message)
{
    for (uint32_t i = 0; i < RC_COMEBACKS_MAX; i++) {
        struct rc_comeback_one *one = &comeback->ones[i];
        if (one->state != COMEBACK_FREE && one->token == message->token) {
            return one->owner[0] == '\0' || rc_span_equal(rc_span_text(one->owner), message->from) ? one : NULL;
        }
    }
    return NULL;
}

static void comeback_answered(struct rc_comeback *comeback, const struct rc_comeback_message *message)
{
    struct rc_comeback_one *one = comeback_of(comeback, message);
    if (one == NULL) {
        return;
    }
    if (message->kind == RC_COMEBACK_NONE && (one->state == COMEBACK_ASKED || one->state == COMEBACK_TAKES)) {
        comeback_none(comeback, one, message);
    } else if (message->kind == RC_COMEBACK_HAVE && one->state == COMEBACK_ASKED) {
        comeback_expect(comeback, one, message);
    } else if (message->kind == RC_COMEBACK_MISSED && one->state == COMEBACK_TAKES) {
        comeback_missed(comeback, one, message);
    }
}

static void comeback_tick(void *context, uint64_t now_ms)
{
    struct rc_comeback *comeback = context;
    bool busy = false;
    for (uint32_t i = 0; i < RC_COMEBACKS_MAX; i++) {
        struct rc_comeback_one *one = &comeback->ones[i];
        const uint64_t ms = now_ms > one->since_ms ? now_ms - one->since_ms : 0;
        if (one->state == COMEBACK_EXPECTS && now_ms < one->due_ms) {
            comeback_rooms(comeback, one, now_ms);
        } else if (one->state == COMEBACK_EXPECTS ||
                   (one->state == COMEBACK_TAKES && ms >= (one->told ? RC_COMEBACK_ROOMS_MS : RC_COMEBACK_ANSWER_MS))) {
            comeback_refuse(comeback, one, RC_SIO_SESSION_BUSY);
        } else if (one->state == COMEBACK_ASKED && ms >= RC_COMEBACK_ANSWER_MS) {
            rc_metric_add(comeback->setup.recovery->setup.metrics, RC_METRIC_RECOVERY_UNANSWERED, 1);
            comeback_refuse(comeback, one, RC_SIO_SESSION_UNKNOWN);
        } else if (one->state == COMEBACK_ENDED && ms >= RC_COMEBACK_KNOWN_MS) {
            comeback_enter(comeback, one, COMEBACK_FREE);
        }
        busy |= one->state != COMEBACK_FREE;
    }
    if (rc_comeback_owner_tick(comeback, now_ms) || busy) {
        comeback_ticks(comeback, now_ms);
    }
}

/* --- what comes ------------------------------------------------------------------------------------------------------ */

/* Reads a message of another instance. */
static bool comeback_read(struct rc_comeback *comeback, struct rc_span bytes, struct rc_comeback_message *message)
{
    const struct rc_bridge *bridge = comeback->setup.bridge;
    if (!rc_foreign_received(bridge, RC_COMEBACK_EVERYBODY, bytes)) {
        return false;
    }
    if (rc_comeback_read(message, bytes) < 0 || !rc_foreign_is_instance(message->from)) {
        rc_foreign_refused(bridge, RC_COMEBACK_EVERYBODY, bytes, -EBADMSG, "not a message of an instance");
        return false;
    }
    return !rc_span_equal(message->from, rc_span_text(bridge->wire->instance_id)) &&
           !rc_registry_refused(comeback->setup.registry);
}

/* A message over one of the subscriptions. Those to all servers bring each as often as there are servers, from each of them: TAKE, which also comes by
 * home, and GIVEN, which comes by no other way. */
static void comeback_heard(struct rc_comeback *comeback, struct rc_span bytes, const struct rc_redis_subscription *by)
{
    struct rc_comeback_message message;
    if (!comeback_read(comeback, bytes, &message)) {
        return;
    }
    struct rc_comeback_one *one = NULL;
    bool follow = false;
    switch (message.kind) {
    case RC_COMEBACK_TAKE:
        follow = rc_comeback_owner_took(comeback, &message, by->place);
        break;
    case RC_COMEBACK_GIVEN:
        one = by->everywhere ? comeback_of(comeback, &message) : NULL;
        if (one != NULL && one->state == COMEBACK_TAKES) {
            comeback_given(comeback, one, message.through.place, by->place);
        }
        break;
    case RC_COMEBACK_ASK:
        if (!by->everywhere) {
            follow = rc_comeback_owner_asked(comeback, &message);
        }
        break;
    default:
        if (!by->everywhere) {
            comeback_answered(comeback, &message);
        }
        break;
    }
    if (follow) {
        comeback_ticks(comeback, rc_clock_ms());
    }
}

static void comeback_received(void *context, struct rc_span channel, struct rc_span bytes)
{
    struct rc_comeback *comeback = context;
    (void)channel;
    comeback_heard(comeback, bytes, &comeback->own);
}

static void comeback_marked(void *context, struct rc_span channel, struct rc_span bytes)
{
    struct rc_comeback *comeback = context;
    (void)channel;
    comeback_heard(comeback, bytes, &comeback->marked);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_comeback_open(struct rc_comeback *comeback, const struct rc_comeback_setup *setup)
{
    const struct rc_bridge *bridge = setup->bridge;
    *comeback = (struct rc_comeback){.setup = *setup};
    if (!setup->recovery->on) {
        return 0;
    }
    comeback->ones = calloc(RC_COMEBACKS_MAX, sizeof(*comeback->ones));
    comeback->given = calloc(RC_COMEBACKS_MAX, sizeof(*comeback->given));
    if (comeback->ones == NULL || comeback->given == NULL || rc_comeback_marks_open(&comeback->marks) != 0 ||
        rc_comeback_moves_open(&comeback->moves) != 0) {
        rc_comeback_marks_close(&comeback->marks);
        free(comeback->ones);
        free(comeback->given);
        *comeback = (struct rc_comeback){.ones = NULL};
        return -ENOMEM;
    }
    /* No answer to a predecessor's question is taken for one to ours. */
    if (getrandom(&comeback->serial, sizeof(comeback->serial), 0) != (ssize_t)sizeof(comeback->serial)) {
        comeback->serial = rc_clock_ns();
    }
    rc_comeback_own_name(comeback->own_channel, sizeof(comeback->own_channel), rc_span_text(bridge->wire->instance_id));
    comeback->own = (struct rc_redis_subscription){
        .name = comeback->own_channel, .message = comeback_received, .context = comeback};
    comeback->everybody = (struct rc_redis_subscription){
        .name = RC_COMEBACK_EVERYBODY, .message = comeback_received, .context = comeback};
    rc_comeback_mark_name(comeback->mark_channel, sizeof(comeback->mark_channel),
                          rc_span_text(bridge->wire->instance_id));
    comeback->marked = (struct rc_redis_subscription){
        .name = comeback->mark_channel, .message = comeback_marked, .context = comeback, .everywhere = true};
    if (rc_redis_clustered(bridge->link)) {
        rc_redis_agree(bridge->link, RC_COMEBACK_HOME);
        rc_redis_subscribe(bridge->link, &comeback->marked);
    }
    rc_redis_subscribe(bridge->link, &comeback->own);
    rc_redis_subscribe(bridge->link, &comeback->everybody);
    return 0;
}

void rc_comeback_close(struct rc_comeback *comeback)
{
    if (comeback->ones == NULL) {
        return;
    }
    rc_timer_cancel(comeback->setup.bridge->timers, &comeback->timer);
    for (uint32_t i = 0; i < RC_COMEBACKS_MAX; i++) {
        free(comeback->ones[i].record.bytes);
    }
    rc_comeback_moves_close(&comeback->moves);
    rc_comeback_marks_close(&comeback->marks);
    free(comeback->ones);
    free(comeback->given);
    free(comeback->out.bytes);
    *comeback = (struct rc_comeback){.ones = NULL};
}
