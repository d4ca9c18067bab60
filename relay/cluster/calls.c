/* calls: see calls.h. */
#include "relay/cluster/calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/records/sockets.h"
#include "relay/bridge/call_wire.h"
#include "relay/bridge/foreign.h"

#define EVERYBODY "ws:instances:call"
#define UNKNOWN UINT32_MAX

/*
 * FREE ──sent──▶ PUBLISHING ──Redis told how many──▶ WAITING ──all replied, or deadline──▶ FREE
 *                    └──deadline──▶ LATE ──Redis told──▶ FREE
 */
enum state { FREE, PUBLISHING, WAITING, LATE };

struct rc_call_sent {
    struct rc_calls *owner;
    enum state state;
    uint32_t serial;
    uint32_t worker;
    bool to_one;       /* for the instance of one client */
    uint32_t expected; /* instances that got it; UNKNOWN until Redis has told */
    uint32_t last;     /* of them have sent their last reply */
    bool texts;        /* entries are those of a room */
    bool counts;       /* of a room only how many there are is asked for */
    bool others;       /* calls->others have not told all that they know of it */
    bool dropped;      /* a reply did not reach the worker */
    bool late;         /* all that are known have replied: the others have RC_CALLS_LATE_MS */
    uint64_t due_ms;
    struct rc_call_tag tag; /* the worker's */
};

struct rc_call_served {
    bool used;
    bool lists; /* entries are published as they come */
    uint32_t serial;
    struct rc_call_asked asked;
    struct rc_call_asked replied;
    uint64_t due_ms;
    struct rc_call_reply reply; /* as far as it is known */
};

static struct rc_metrics *metrics_of(const struct rc_calls *calls)
{
    return calls->bridge->wire->metrics;
}

/* Is this instance one of the cluster's at the moment? */
static bool calls_connected(const struct rc_calls *calls)
{
    return rc_redis_up(calls->bridge->link) && rc_registry_owned(calls->registry);
}

static void calls_due(void *context, uint64_t now_ms);

static void calls_schedule(struct rc_calls *calls)
{
    uint64_t next_ms = RC_TIMER_NEVER;
    for (uint32_t i = 0; i < RC_CALLS_MAX; i++) {
        const struct rc_call_sent *sent = &calls->sent[i];
        const struct rc_call_served *served = &calls->served[i];
        if ((sent->state == PUBLISHING || sent->state == WAITING) && sent->due_ms < next_ms) {
            next_ms = sent->due_ms;
        }
        if (served->used && served->due_ms < next_ms) {
            next_ms = served->due_ms;
        }
    }
    if (next_ms != RC_TIMER_NEVER) {
        rc_timer_set(calls->bridge->timers, &calls->timer, next_ms, calls_due, calls);
    }
}

/* --- calls of this host's workers ------------------------------------------------------------------------------------ */

/* One record to the worker that asked. */
static void calls_tell(struct rc_call_sent *sent, const struct rc_reply_head *head, struct rc_span entries)
{
    const struct rc_calls *calls = sent->owner;
    uint8_t *data = malloc(sizeof(*head) + entries.count);
    if (data == NULL) {
        sent->dropped = true;
        return;
    }
    memcpy(data, head, sizeof(*head));
    if (entries.count > 0) {
        memcpy(data + sizeof(*head), entries.bytes, entries.count);
    }
    const struct rc_envelope_view view = {.head = {.origin = {.worker = RC_WORKER_FOREIGN},
                                                   .flags = RC_ENVELOPE_API,
                                                   .data_bytes = (uint32_t)(sizeof(*head) + entries.count),
                                                   .request_id_bytes = sizeof(sent->tag)},
                                          .request_id = (const uint8_t *)&sent->tag,
                                          .data = data};
    sent->dropped |= rc_router_send(calls->router, sent->worker, RC_DOWN_REPLY, &view) != 0;
    free(data);
}

/* Bytes and number of the first entries that `room` holds, all of them if it can. */
static uint32_t calls_fitting(bool texts, struct rc_span entries, uint64_t room, uint32_t *count)
{
    size_t used = 0;
    *count = 0;
    while (used < entries.count) {
        uint32_t text_bytes;
        memcpy(&text_bytes, entries.bytes + used, sizeof(text_bytes));
        const size_t bytes = texts ? sizeof(text_bytes) + (size_t)text_bytes
                                   : 5u + (size_t)entries.bytes[used + 4]; /* as rc_call_reply_read wrote them */
        if (used + bytes > room) {
            break;
        }
        used += bytes;
        ++*count;
    }
    return (uint32_t)used;
}

/*
 * A part of the answer to the worker that asked. An instance makes its list as long as its own rings allow, which may be larger
 * than those here: what does not fit one record goes in several. Only the last says that names behind it were left out.
 */
static void tell_part(struct rc_call_sent *sent, struct rc_reply_head head, struct rc_span entries)
{
    const uint64_t around = sizeof(struct rc_envelope) + sizeof(sent->tag) + sizeof(head);
    const uint64_t most = rc_router_record_max(sent->owner->router, sent->worker);
    const uint64_t room = most > around ? most - around : 0;
    while (entries.count > room) {
        struct rc_reply_head some = {.flags = head.flags & ~(uint32_t)RC_REPLY_MORE};
        const uint32_t bytes = calls_fitting(sent->texts, entries, room, &some.count);
        if (bytes == 0) { /* not one */
            sent->dropped = true;
            return;
        }
        calls_tell(sent, &some, rc_span_of(entries.bytes, bytes));
        entries = rc_span_of(entries.bytes + bytes, entries.count - bytes);
        head.count -= some.count;
    }
    calls_tell(sent, &head, entries);
}

static void calls_finish(struct rc_call_sent *sent, uint32_t flags)
{
    const struct rc_reply_head head = {.flags =
                                           flags | RC_REPLY_LAST | (sent->dropped ? (uint32_t)RC_REPLY_INCOMPLETE : 0)};
    if ((head.flags & RC_REPLY_INCOMPLETE) != 0) {
        rc_metric_add(metrics_of(sent->owner), RC_METRIC_CALLS_INCOMPLETE, 1);
    }
    calls_tell(sent, &head, (struct rc_span){0});
}

/* Whoever else listens (a person with a pattern, an instance that has just come) replies soon or never. */
static void calls_settle(struct rc_call_sent *sent)
{
    if (sent->state != WAITING || sent->others) {
        return;
    }
    if (sent->last >= sent->expected) {
        calls_finish(sent, 0);
        sent->state = FREE;
    } else if (!sent->late && !sent->to_one && sent->last >= sent->owner->registry->instance_count) {
        const uint64_t due_ms = rc_clock_ms() + RC_CALLS_LATE_MS;
        sent->late = true;
        sent->due_ms = due_ms < sent->due_ms ? due_ms : sent->due_ms;
        calls_schedule(sent->owner);
    }
}

/* How many connections Redis gave the call to. */
static void calls_published(void *context, const redisReply *reply)
{
    struct rc_call_sent *sent = context;
    const struct rc_calls *calls = sent->owner;
    if (sent->state == LATE) {
        sent->state = FREE;
        return;
    }
    sent->state = WAITING;
    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER || reply->integer < 0) {
        calls_finish(sent, RC_REPLY_LOCAL);
        sent->state = FREE;
        return;
    }
    const uint32_t got = reply->integer > 65535 ? 65535 : (uint32_t)reply->integer;
    const uint32_t own = !sent->to_one && calls->everybody.confirmed ? 1 : 0; /* this instance hears itself */
    sent->expected = sent->to_one && got > 1 ? 1 : got > own ? got - own : 0;
    if (rc_redis_clustered(calls->bridge->link)) {
        sent->expected = sent->to_one ? 1 : calls->registry->instance_count;
    }
    calls_settle(sent);
}

/* What the worker asks, as others read it. */
static int read_call(const struct rc_calls *calls, const struct rc_envelope_view *view, struct rc_call_request *request)
{
    struct rc_call_head head;
    if (view->head.data_bytes < sizeof(head)) {
        return -EINVAL;
    }
    memcpy(&head, view->data, sizeof(head));
    const uint8_t *at = view->data + sizeof(head);
    const uint64_t before = sizeof(head) + (uint64_t)head.user_bytes + head.text_bytes + head.client_bytes;
    if ((head.operation == RC_CALL_DO ? before >= view->head.data_bytes : before != view->head.data_bytes) ||
        head.operation < RC_CALL_SUBSCRIBE || (head.operation > RC_CALL_DO && !rc_sockets_of_room(view)) ||
        head.client_bytes > sizeof(request->client)) {
        return -EINVAL;
    }
    *request =
        (struct rc_call_request){.operation = head.operation,
                                 .code = head.close_code,
                                 .limit = head.limit,
                                 .client_bytes = head.client_bytes,
                                 .user_bytes = head.user_bytes,
                                 .channel_bytes = view->head.channel_bytes,
                                 .text_bytes = head.text_bytes,
                                 .body = rc_span_of(view->data + before, view->head.data_bytes - (size_t)before)};
    memcpy(request->user, at, head.user_bytes);
    memcpy(request->text, at + head.user_bytes, head.text_bytes);
    memcpy(request->client, at + head.user_bytes + head.text_bytes, head.client_bytes);
    memcpy(request->channel, view->channel, view->head.channel_bytes);
    request->call_bytes =
        (uint8_t)snprintf(request->call, sizeof(request->call), "%08x%08x", calls->boot_nonce, calls->serial);
    request->from_bytes = (uint8_t)strlen(calls->bridge->wire->instance_id);
    memcpy(request->from, calls->bridge->wire->instance_id, request->from_bytes);
    return 0;
}

/* The channel of the instance that the client id names; the empty span when that is none of another instance. */
static struct rc_span calls_channel_of(const struct rc_calls *calls, const struct rc_call_request *request,
                                       char out[RC_REDIS_NAME_MAX])
{
    struct rc_client_ref ref;
    const struct rc_wire *wire = calls->bridge->wire;
    if (request->client_bytes == 0) {
        return rc_redis_key(calls->bridge->link, out, EVERYBODY);
    }
    if (rc_client_id_read(request->client, request->client_bytes, wire->instance_id, wire->boot_nonce, &ref) !=
        RC_CLIENT_ID_FOREIGN) {
        return (struct rc_span){0};
    }
    const char *end = memchr(request->client, '~', request->client_bytes);
    return rc_redis_key(calls->bridge->link, out, "ws:instance:%.*s:call", (int)(end - request->client),
                        request->client);
}

/* Others are asked who is in the room, if that is what is asked: of users they know nothing. False: they are not. */
static bool ask_others(struct rc_calls *calls, struct rc_call_sent *sent, const struct rc_envelope_view *view)
{
    const uint64_t token = (uint64_t)sent->serial << 32 | (uint64_t)(sent - calls->sent);
    const struct rc_span channel = rc_span_of(view->channel, view->head.channel_bytes);
    if (calls->others.ask == NULL || !rc_sockets_of_room(view) || view->data[0] == RC_CALL_ROOM_USERS) {
        return false;
    }
    const int rc = calls->others.ask(calls->others.context, channel, token);
    sent->dropped |= rc < 0 && rc != -ENOSYS; /* -ENOSYS: there are none to ask; else the answer is not all */
    return rc == 0;
}

static struct rc_call_sent *told_of(const struct rc_calls *calls, uint64_t token)
{
    struct rc_call_sent *sent = (uint32_t)token < RC_CALLS_MAX ? &calls->sent[(uint32_t)token] : NULL;
    const bool waits = sent != NULL && (sent->state == PUBLISHING || sent->state == WAITING) && sent->others;
    return waits && sent->serial == token >> 32 ? sent : NULL;
}

void rc_calls_told(struct rc_calls *calls, uint64_t token, struct rc_span ids, uint32_t count)
{
    struct rc_call_sent *sent = told_of(calls, token);
    const struct rc_reply_head head = {.count = count};
    const struct rc_span none = {0};
    if (sent != NULL) {
        tell_part(sent, head, sent->counts ? none : ids);
    }
}

void rc_calls_told_all(struct rc_calls *calls, uint64_t token, bool whole)
{
    struct rc_call_sent *sent = told_of(calls, token);
    if (sent != NULL) {
        sent->others = false;
        sent->dropped |= !whole;
        calls_settle(sent);
    }
}

static struct rc_call_sent *sent_place(const struct rc_calls *calls)
{
    for (uint32_t i = 0; i < RC_CALLS_MAX; i++) {
        if (calls->sent[i].state == FREE) {
            return &calls->sent[i];
        }
    }
    return NULL;
}

/* The call as other instances read it is published. 0, or why not. */
static int calls_publish(struct rc_calls *calls, struct rc_call_sent *sent, const struct rc_envelope_view *view)
{
    char name[RC_REDIS_NAME_MAX];
    struct rc_call_request request;
    size_t bytes;
    if (read_call(calls, view, &request) < 0) {
        return -EINVAL;
    }
    const struct rc_span channel = calls_channel_of(calls, &request, name);
    if (channel.count == 0) {
        return -EINVAL;
    }
    char *text = rc_call_request_write(&request, &bytes);
    if (text == NULL) {
        return -ENOMEM;
    }
    const struct rc_span argv[] = {RC_SPAN("PUBLISH"), channel, rc_span_of(text, bytes)};
    const int rc = rc_redis_command(calls->bridge->link, calls_published, sent, 0, RC_ARRAY_COUNT(argv), argv);
    free(text);
    sent->to_one = request.client_bytes > 0;
    return rc;
}

int rc_calls_send(struct rc_calls *calls, uint32_t worker, const struct rc_envelope_view *view)
{
    struct rc_call_sent call = {.owner = calls, .worker = worker, .expected = UNKNOWN};
    const bool of_room = rc_sockets_of_room(view);
    const bool alone = of_room && calls->registry->instance_count == 0; /* no other instance is to be asked */
    if (view->head.data_bytes > 0 && view->data[0] >= RC_CALL_SOCKETS && !of_room) {
        return -ENOSYS; /* of this host's sockets (common/records/sockets.h): it has no form between instances */
    }
    if (!calls_connected(calls)) {
        return -ENOTCONN;
    }
    if (alone && (calls->others.ask == NULL || view->data[0] == RC_CALL_ROOM_USERS)) {
        return -ENOSYS; /* there is nobody to ask */
    }
    struct rc_call_sent *sent = sent_place(calls);
    if (sent == NULL) {
        rc_metric_add(metrics_of(calls), RC_METRIC_CALLS_REFUSED, 1);
        return -ENOBUFS;
    }
    call.serial = ++calls->serial;
    if (!rc_call_tag_read(view, &call.tag)) {
        return -EINVAL;
    }
    *sent = call;
    const int rc = alone ? 0 : calls_publish(calls, sent, view);
    if (rc < 0) {
        sent->state = FREE;
        return rc;
    }
    sent->texts = of_room;
    sent->counts = of_room && view->data[0] == RC_CALL_ROOM_COUNT;
    sent->others = ask_others(calls, sent, view);
    if (alone && !sent->others) {
        sent->state = FREE;
        return -ENOTCONN; /* they could not be asked: what this host knows is not all */
    }
    sent->state = alone ? WAITING : PUBLISHING;
    sent->expected = alone ? 0 : UNKNOWN;
    sent->due_ms = rc_clock_ms() + (of_room ? RC_CALLS_ROOM_MS : RC_CALLS_MS);
    rc_metric_add(metrics_of(calls), RC_METRIC_CALLS_SENT, 1);
    calls_schedule(calls);
    return 0;
}

static struct rc_call_sent *find_sent(const struct rc_calls *calls, const struct rc_call_reply *reply)
{
    char id[RC_CALL_ID_MAX + 1];
    for (uint32_t i = 0; i < RC_CALLS_MAX; i++) {
        struct rc_call_sent *sent = &calls->sent[i];
        if (sent->state != PUBLISHING && sent->state != WAITING) {
            continue;
        }
        (void)snprintf(id, sizeof(id), "%08x%08x", calls->boot_nonce, sent->serial);
        if (rc_span_equal(rc_span_text(id), rc_span_of(reply->call, reply->call_bytes))) {
            return sent;
        }
    }
    return NULL;
}

/* Another instance has carried it out, or a part of its list comes. */
static void reply_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_calls *calls = context;
    struct rc_call_reply reply;
    const char *why;
    (void)channel;
    if (!rc_foreign_received(calls->bridge, "ws:instance:*:reply", message)) {
        return;
    }
    const int rc = rc_call_reply_read(&reply, message, calls->scratch, &why);
    if (rc < 0) {
        rc_foreign_refused(calls->bridge, "ws:instance:*:reply", message, rc, why);
        return;
    }
    struct rc_call_sent *sent = find_sent(calls, &reply);
    if (sent == NULL) {
        return; /* too late */
    }
    if (reply.entries.count > 0 && reply.texts != sent->texts) {
        rc_foreign_refused(calls->bridge, "ws:instance:*:reply", message, -EINVAL, "entries of another kind");
        return;
    }
    sent->dropped |= (reply.flags & RC_REPLY_INCOMPLETE) != 0;
    const struct rc_reply_head head = {.flags = reply.flags & (RC_REPLY_FOUND | RC_REPLY_MORE | RC_REPLY_BUSY |
                                                               RC_REPLY_UNCONFIRMED | RC_REPLY_PARTLY),
                                       .count = reply.count};
    tell_part(sent, head, reply.entries);
    sent->last += (reply.flags & RC_REPLY_LAST) != 0;
    calls_settle(sent);
}

/* --- calls of other instances ---------------------------------------------------------------------------------------- */

static void publish_reply(const struct rc_calls *calls, const struct rc_call_reply *its, uint32_t flags,
                          struct rc_span entries, uint32_t count)
{
    char name[RC_INSTANCE_ID_MAX + 24];
    struct rc_call_reply reply = *its;
    size_t bytes;
    if (its->from_bytes == 0) {
        return; /* a backend that only wants it done */
    }
    const int name_bytes = snprintf(name, sizeof(name), "ws:instance:%.*s:reply", its->from_bytes, its->from);
    const char *self = calls->bridge->wire->instance_id;
    reply.flags = flags;
    reply.count = count;
    reply.entries = entries;
    reply.from_bytes = (uint8_t)strlen(self);
    memcpy(reply.from, self, reply.from_bytes);
    char *text = rc_call_reply_write(&reply, &bytes);
    if (text != NULL) {
        const struct rc_span part = rc_span_of(text, bytes);
        (void)rc_redis_publish(calls->bridge->link, rc_span_of(name, (size_t)name_bytes), &part, 1,
                               RC_REDIS_PUBLISH_FLEETING);
        free(text);
    }
}

static void end_served(const struct rc_calls *calls, struct rc_call_served *served, uint32_t flags)
{
    publish_reply(calls, &served->reply, served->reply.flags | flags | RC_REPLY_LAST, (struct rc_span){0},
                  served->lists ? 0 : served->reply.count);
    served->used = false;
}

static bool all_replied(const struct rc_call_served *served)
{
    return (served->asked.bits[0] & ~served->replied.bits[0]) == 0 &&
           (served->asked.bits[1] & ~served->replied.bits[1]) == 0;
}

/* To this host's workers, as if one of them asked. */
static void calls_serve(struct rc_calls *calls, struct rc_call_served *served, const struct rc_call_request *request,
                        const struct rc_client_ref *target)
{
    uint8_t *data = malloc(sizeof(struct rc_call_head) + 2 * RC_CALL_TEXT_MAX + request->body.count);
    if (data == NULL) {
        end_served(calls, served, RC_REPLY_BUSY);
        return;
    }
    const struct rc_call_head head = {.operation = (uint8_t)request->operation,
                                      .user_bytes = request->user_bytes,
                                      .text_bytes = request->text_bytes,
                                      .close_code = request->code,
                                      .limit = request->limit};
    const struct rc_call_tag tag = {
        .nonce = calls->boot_nonce, .index = (uint32_t)(served - calls->served), .serial = served->serial};
    size_t used = sizeof(head);
    memcpy(data, &head, sizeof(head));
    memcpy(data + used, request->user, request->user_bytes);
    used += request->user_bytes;
    memcpy(data + used, request->text, request->text_bytes);
    used += request->text_bytes;
    if (request->body.count > 0) {
        memcpy(data + used, request->body.bytes, request->body.count);
        used += request->body.count;
    }
    const struct rc_envelope_view view = {
        .head = {.time_ns = rc_clock_ns(),
                 .channel_hash = rc_channel_hash(request->channel, request->channel_bytes),
                 .target = *target,
                 .data_bytes = (uint32_t)used,
                 .channel_bytes = request->channel_bytes,
                 .request_id_bytes = sizeof(tag)},
        .channel = request->channel,
        .request_id = (const uint8_t *)&tag,
        .data = data};
    if (!rc_router_call(calls->router, &view, &served->asked)) {
        served->reply.flags |= RC_REPLY_BUSY;
    }
    free(data);
    if (all_replied(served)) { /* the client's worker is not there */
        end_served(calls, served, 0);
    } else {
        calls_schedule(calls);
    }
}

static struct rc_call_served *calls_place(struct rc_calls *calls)
{
    for (uint32_t i = 0; i < RC_CALLS_MAX; i++) {
        if (!calls->served[i].used) {
            return &calls->served[i];
        }
    }
    return NULL;
}

static void call_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_calls *calls = context;
    const struct rc_wire *wire = calls->bridge->wire;
    struct rc_call_request request;
    struct rc_client_ref target = {0};
    const char *why;
    (void)channel;
    if (!rc_foreign_received(calls->bridge, "ws:instances:call", message)) {
        return;
    }
    const int rc = rc_call_request_read(&request, message, &why);
    if (rc < 0) {
        rc_foreign_refused(calls->bridge, "ws:instances:call", message, rc, why);
        return;
    }
    if (rc_span_equal(rc_span_of(request.from, request.from_bytes), rc_span_text(wire->instance_id)) ||
        rc_registry_refused(calls->registry)) {
        return; /* its own, which its workers carry out already; or of a cluster that this one is not in */
    }
    struct rc_call_reply reply = {.call_bytes = request.call_bytes,
                                  .from_bytes = request.from_bytes,
                                  .texts = request.operation >= RC_CALL_ROOM_COUNT};
    memcpy(reply.call, request.call, sizeof(reply.call));
    memcpy(reply.from, request.from, sizeof(reply.from));
    if (request.client_bytes > 0 && rc_client_id_read(request.client, request.client_bytes, wire->instance_id,
                                                      wire->boot_nonce, &target) != RC_CLIENT_ID_LOCAL) {
        publish_reply(calls, &reply, RC_REPLY_LAST, (struct rc_span){0}, 0);
        return;
    }
    struct rc_call_served *served = calls_place(calls);
    if (served == NULL) {
        rc_metric_add(metrics_of(calls), RC_METRIC_CALLS_REFUSED, 1);
        rc_log_limited(RC_LOG_WARN, 1, "instance_calls_too_many", "max=%u", RC_CALLS_MAX);
        publish_reply(calls, &reply, RC_REPLY_BUSY | RC_REPLY_LAST, (struct rc_span){0}, 0);
        return;
    }
    rc_metric_add(metrics_of(calls), RC_METRIC_CALLS_SERVED, 1);
    *served = (struct rc_call_served){.used = true,
                                      .lists = request.operation == RC_CALL_CHANNELS ||
                                               request.operation == RC_CALL_ROOM_MEMBERS ||
                                               request.operation == RC_CALL_ROOM_USERS,
                                      .serial = ++calls->serial,
                                      .due_ms = rc_clock_ms() + RC_CALLS_SERVED_MS,
                                      .reply = reply};
    calls_serve(calls, served, &request, &target);
}

void rc_calls_replied(struct rc_calls *calls, uint32_t worker, const struct rc_envelope_view *view)
{
    struct rc_call_tag tag;
    struct rc_reply_head head;
    if (!rc_call_tag_read(view, &tag) || tag.index >= RC_CALLS_MAX || view->head.data_bytes < sizeof(head)) {
        rc_metric_add(metrics_of(calls), RC_METRIC_RING_CORRUPT, 1);
        return;
    }
    struct rc_call_served *served = &calls->served[tag.index];
    if (!served->used || served->serial != tag.serial || tag.nonce != calls->boot_nonce ||
        (served->replied.bits[worker / 64] >> (worker % 64) & 1) != 0) {
        return; /* too late, or told twice */
    }
    memcpy(&head, view->data, sizeof(head));
    if ((head.flags & RC_REPLY_PART) == 0) {
        served->replied.bits[worker / 64] |= UINT64_C(1) << (worker % 64);
    }
    served->reply.flags |= head.flags & (RC_REPLY_FOUND | RC_REPLY_BUSY | RC_REPLY_UNCONFIRMED | RC_REPLY_PARTLY);
    if (served->lists) {
        const struct rc_span entries = rc_span_of(view->data + sizeof(head), view->head.data_bytes - sizeof(head));
        if (entries.count > 0) {
            publish_reply(calls, &served->reply, head.flags & RC_REPLY_MORE, entries,
                          served->reply.texts || head.count < RC_CALL_LIMIT_MAX ? head.count : RC_CALL_LIMIT_MAX);
        }
    } else {
        served->reply.count += head.count;
    }
    if (all_replied(served)) {
        end_served(calls, served, 0);
    }
}

/* --- time ------------------------------------------------------------------------------------------------------------ */

static void calls_due(void *context, uint64_t now_ms)
{
    struct rc_calls *calls = context;
    for (uint32_t i = 0; i < RC_CALLS_MAX; i++) {
        struct rc_call_sent *sent = &calls->sent[i];
        struct rc_call_served *served = &calls->served[i];
        if ((sent->state == PUBLISHING || sent->state == WAITING) && sent->due_ms <= now_ms) {
            calls_finish(sent, sent->late && !sent->others ? 0 : RC_REPLY_INCOMPLETE);
            sent->state = sent->state == PUBLISHING ? LATE : FREE;
        }
        if (served->used && served->due_ms <= now_ms) {
            end_served(calls, served, RC_REPLY_INCOMPLETE);
        }
    }
    calls_schedule(calls);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int rc_calls_open(struct rc_calls *calls, const struct rc_bridge *bridge, const struct rc_registry *registry,
                  struct rc_router *router, const struct rc_calls_others *others)
{
    const char *id = bridge->wire->instance_id;
    *calls = (struct rc_calls){.bridge = bridge,
                               .registry = registry,
                               .router = router,
                               .boot_nonce = bridge->wire->boot_nonce,
                               .others = others != NULL ? *others : (struct rc_calls_others){0},
                               .serial = (uint32_t)rc_clock_ns(), /* not that of a predecessor's calls */
                               .sent = calloc(RC_CALLS_MAX, sizeof(struct rc_call_sent)),
                               .served = calloc(RC_CALLS_MAX, sizeof(struct rc_call_served))};
    if (calls->sent == NULL || calls->served == NULL) {
        rc_calls_close(calls);
        return -ENOMEM;
    }
    (void)snprintf(calls->own_channel, sizeof(calls->own_channel), "ws:instance:%s:call", id);
    (void)snprintf(calls->reply_channel, sizeof(calls->reply_channel), "ws:instance:%s:reply", id);
    calls->own = (struct rc_redis_subscription){.name = calls->own_channel, .message = call_received, .context = calls};
    calls->everybody = (struct rc_redis_subscription){.name = EVERYBODY, .message = call_received, .context = calls};
    calls->replies =
        (struct rc_redis_subscription){.name = calls->reply_channel, .message = reply_received, .context = calls};
    rc_redis_subscribe(bridge->link, &calls->own);
    rc_redis_subscribe(bridge->link, &calls->everybody);
    rc_redis_subscribe(bridge->link, &calls->replies);
    return 0;
}

void rc_calls_close(struct rc_calls *calls)
{
    rc_timer_cancel(calls->bridge->timers, &calls->timer);
    free(calls->sent);
    free(calls->served);
    calls->sent = NULL;
    calls->served = NULL;
}
