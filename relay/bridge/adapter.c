/* adapter: see adapter.h. */
#include "relay/bridge/adapter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/channel_name.h"
#include "relay/bridge/adapter_answer.h"
#include "relay/bridge/adapter_name.h"
#include "relay/bridge/cluster_wire.h"
#include "relay/bridge/foreign.h"

#define STREAM_ENTRIES_MAX 10000u /* what servers cut a stream to unless told otherwise */
#define SOCKET_ID_UNITS 20u       /* rooms of so many UTF-16 units are taken for one socket */
#define AROUND_BYTES_MAX (1u << 20)

/* --- what comes in --------------------------------------------------------------------------------------------------- */

static void adapter_refused(const struct rc_adapter_bridge *adapter, struct rc_span message, int rc, const char *why)
{
    rc_foreign_refused(adapter->bridge, adapter->head, message, rc, why);
}

/* Is it of an instance of ringcast? Then it came, or comes, in our own format. */
static bool adapter_is_echo(const struct rc_adapter_bridge *adapter, struct rc_span uid)
{
    const bool echo = rc_adapter_is_ringcast(adapter, uid);
    rc_metric_add(adapter->bridge->wire->metrics, RC_METRIC_REDIS_ECHOES, echo);
    return echo;
}

static enum rc_record_type adapter_targets(struct rc_adapter_broadcast *broadcast, struct rc_targets *targets,
                                           struct rc_envelope_view *view)
{
    char scratch[RC_ADAPTER_SCRATCH_BYTES];
    struct rc_span room;
    const uint32_t named = broadcast->rooms.count;
    while (rc_adapter_room_next(&broadcast->rooms, scratch, &room) == 1) {
        rc_targets_room(targets, room);
    }
    targets->room_count = named; /* also those that no client can be in: they are not everybody */
    rc_targets_except(targets);
    while (rc_adapter_room_next(&broadcast->except, scratch, &room) == 1) {
        rc_targets_excepted(targets, room);
    }
    return rc_targets_view(targets, view);
}

void rc_adapter_record(struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_adapter_broadcast *broadcast,
                       struct rc_span message, size_t before, struct rc_adapter_record *record)
{
    struct rc_emission *emission = &adapter->emission;
    struct rc_targets *targets = &record->targets;
    record->type = 0;
    record->targets = rc_emission_targets(emission, broadcast->nsp);
    record->view = rc_emission_view();
    if (broadcast->type != RC_ADAPTER_EVENT || !rc_span_equal(broadcast->nsp, nsp)) {
        return;
    }
    const enum rc_record_type type = adapter_targets(broadcast, targets, &record->view);
    if (type == 0) {
        return;
    }
    record->view.head.flags |= broadcast->is_volatile ? RC_ENVELOPE_VOLATILE : 0u;
    if (rc_targets_cut(targets, type)) {
        rc_metric_add(adapter->bridge->wire->metrics, RC_METRIC_ADAPTER_DROPPED, 1);
        adapter_refused(adapter, message, -EINVAL, "too many rooms");
        return;
    }
    const size_t room = rc_adapter_event_room(message.count, adapter->bridge->wire->message_bytes_max);
    if (!rc_scratch_room(&emission->buffer, before + room)) {
        adapter_refused(adapter, message, -ENOMEM, "no memory");
        return;
    }
    const int rc = rc_adapter_event_read(&record->event, broadcast, emission->buffer.bytes + before, room);
    if (rc < 0) {
        adapter_refused(adapter, message, rc, "not an event");
        return;
    }
    rc_emission_fill(emission, &record->view, record->event.name, record->event.data, RC_METRIC_ADAPTER_RECEIVED);
    record->type = type;
}

/* `entry`: id of the stream's entry that brings it, the same on all hosts; "": it came by no stream. */
static void adapter_deliver(struct rc_adapter_bridge *adapter, struct rc_span nsp,
                            struct rc_adapter_broadcast *broadcast, struct rc_span message, const char *entry)
{
    struct rc_adapter_record record;
    rc_adapter_record(adapter, nsp, broadcast, message, 0, &record);
    if (record.type != 0) {
        record.view.head.token = entry[0] != '\0' ? rc_wire_identity(rc_span_text(entry), 0, 0) : 0;
        (void)adapter->bridge->host.deliver(adapter->bridge->host.context, record.type, &record.view);
    }
}

/* A message of the classic adapter on KEY#`nsp`#… */
static void classic_received(struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span message)
{
    struct rc_adapter_broadcast broadcast;
    if (!rc_foreign_received(adapter->bridge, adapter->head, message)) {
        return;
    }
    const int rc = rc_adapter_broadcast_read(&broadcast, message);
    if (rc < 0) {
        adapter_refused(adapter, message, rc, "not a broadcast");
        return;
    }
    if (adapter_is_echo(adapter, broadcast.uid)) {
        return;
    }
    adapter_deliver(adapter, nsp, &broadcast, message, "");
}

/*
 * What an instance of ringcast asks of servers, this one too: it counts on an answer of each who hears it, and has asked its own kind in its own
 * format, so nobody is here. True: it was such a one.
 */
static bool adapter_answers_own(struct rc_adapter_bridge *adapter, struct rc_span nsp,
                                const struct rc_adapter_request *request)
{
    const struct rc_adapter_asker asker = {.nsp = nsp, .uid = request->uid, .id = request->id};
    if (!rc_adapter_is_ringcast(adapter, request->uid)) {
        return false;
    }
    if (request->id.count > 0 && (request->type == RC_ADAPTER_SOCKETS || request->type == RC_ADAPTER_FETCH ||
                                  request->type == RC_ADAPTER_BROADCAST)) {
        rc_adapter_answer(adapter, &asker, request->type, (struct rc_span){0});
    }
    return true;
}

/* A request of the classic adapter on KEY-request#`nsp`# */
static void classic_asked(struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span message)
{
    struct rc_adapter_request request;
    if (!rc_foreign_received(adapter->bridge, "-request#", message)) {
        return;
    }
    const int rc = rc_adapter_request_read(&request, message);
    if (rc < 0) {
        rc_foreign_refused(adapter->bridge, "-request#", message, rc, "not a request");
        return;
    }
    if (!adapter_answers_own(adapter, nsp, &request)) {
        adapter->requested(adapter->requested_context, nsp, &request, message);
    }
}

/* --- what comes in: cluster_wire.h ----------------------------------------------------------------------------------- */

static bool cluster_is_echo(struct rc_adapter_bridge *adapter, const struct rc_cluster_message *cluster)
{
    return adapter_is_echo(adapter, cluster->request.uid) &&
           adapter_answers_own(adapter, cluster->nsp, &cluster->request);
}

/* A message that has been read, or `rc`. `entry`: as of adapter_deliver. */
static void cluster_take(struct rc_adapter_bridge *adapter, struct rc_cluster_message *cluster, int rc,
                         struct rc_span message, const char *entry)
{
    struct rc_adapter_request *request = &cluster->request;
    if (rc < 0) {
        adapter_refused(adapter, message, rc, "not a message of a cluster's server");
    } else if (!cluster_is_echo(adapter, cluster) && request->type != RC_ADAPTER_NOTHING) {
        if (request->type == RC_ADAPTER_BROADCAST && request->id.count == 0) {
            adapter_deliver(adapter, cluster->nsp, &request->broadcast, message, entry);
        } else if (adapter->requested != NULL) {
            adapter->requested(adapter->requested_context, cluster->nsp, request, message);
        }
    }
}

/* Room for its text; 0: no memory, and it was refused. */
static size_t cluster_room(struct rc_adapter_bridge *adapter, size_t bytes, struct rc_span message)
{
    const size_t room = rc_cluster_read_room(bytes, adapter->bridge->wire->message_bytes_max + AROUND_BYTES_MAX);
    if (rc_scratch_room(&adapter->text, room)) {
        return room;
    }
    adapter_refused(adapter, message, -ENOMEM, "no memory");
    return 0;
}

static void cluster_received(struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span message)
{
    struct rc_cluster_message cluster;
    if (!rc_foreign_received(adapter->bridge, adapter->head, message)) {
        return;
    }
    const size_t room = cluster_room(adapter, message.count, message);
    if (room == 0) {
        return;
    }
    const int rc = rc_cluster_read(&cluster, message, adapter->text.bytes, room);
    if (rc == 0 && !rc_span_equal(cluster.nsp, nsp)) {
        return; /* servers ignore it too */
    }
    cluster_take(adapter, &cluster, rc, message, "");
}

static void stream_entry(void *context, const struct rc_span *values, uint32_t value_count)
{
    struct rc_adapter_bridge *adapter = context;
    const struct rc_cluster_entry entry = rc_cluster_entry_of(values, value_count);
    struct rc_cluster_message cluster;
    if (!rc_foreign_received_base64(adapter->bridge, adapter->head, entry.data)) {
        return;
    }
    const size_t room = cluster_room(adapter, entry.data.count, entry.data);
    if (room > 0) {
        const int rc = rc_cluster_read_entry(&cluster, &entry, adapter->text.bytes, room);
        cluster_take(adapter, &cluster, rc, entry.data, adapter->stream.last);
    }
}

static void stream_missed(void *context)
{
    const struct rc_adapter_bridge *adapter = context;
    adapter->bridge->host.missed(adapter->bridge->host.context, (struct rc_span){0}, RC_MISSED_HERE);
}

/* --- what comes in --------------------------------------------------------------------------------------------------- */

bool rc_adapter_is_ringcast(const struct rc_adapter_bridge *adapter, struct rc_span uid)
{
    return uid.count == RC_ADAPTER_UID_BYTES && uid.bytes[0] == (uint8_t)adapter->uid[0];
}

static void room_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_adapter_bridge *adapter = context;
    struct rc_span nsp;
    struct rc_span room;
    const struct rc_span request_head = rc_span_text(adapter->request_head);
    if (adapter->requested != NULL && rc_span_starts_with(channel, request_head)) {
        if (rc_adapter_split(request_head, channel, &nsp, &room) && room.count == 0) {
            classic_asked(adapter, nsp, message);
        }
        return;
    }
    if (adapter->responded != NULL && rc_span_starts_with(channel, rc_span_text(adapter->response_head))) {
        if (rc_adapter_split(rc_span_text(adapter->response_head), channel, &nsp, &room)) {
            adapter->responded(adapter->responded_context, nsp, message);
        }
        return;
    }
    const bool split = rc_adapter_split(rc_adapter_head(adapter), channel, &nsp, &room);
    if (split && adapter->responded != NULL && rc_span_equal(room, rc_span_of(adapter->uid, sizeof(adapter->uid)))) {
        adapter->responded(adapter->responded_context, nsp, message);
        return;
    }
    if (!split || (room.count > 0 && !rc_targets_wanted(adapter->bridge, nsp,
                                                        room))) { /* it is given back a while after the last one went */
        return;
    }
    adapter->kind->received(adapter, nsp, message);
}

/* A shard was away: what was for the room, or for any of the namespace, was missed. */
static void room_missed(void *context, struct rc_span channel)
{
    const struct rc_adapter_bridge *adapter = context;
    struct rc_span nsp;
    struct rc_span room;
    char name[RC_CHANNEL_NAME_MAX];
    if (rc_adapter_split(rc_adapter_head(adapter), channel, &nsp, &room)) {
        const size_t bytes = rc_channel_of_room(name, sizeof(name), nsp, room);
        if (bytes > 0) {
            adapter->bridge->host.missed(adapter->bridge->host.context, rc_span_of(name, bytes), RC_MISSED_HERE);
        }
    }
}

/* The pattern has no word for "to the end, and nothing between": rooms that only look so have channels of their own. */
static void client_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_adapter_bridge *adapter = context;
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    if (rc_adapter_split(rc_adapter_head(adapter), channel, &nsp, &room) &&
        rc_targets_is_own(adapter->emission.instance, room, &sid)) {
        classic_received(adapter, nsp, message);
    }
}

/* --- what goes out --------------------------------------------------------------------------------------------------- */

/* Has its name the length of a session id, as JavaScript counts? */
static bool looks_like_client(struct rc_span room)
{
    size_t units = 0;
    for (size_t i = 0; i < room.count; i++) {
        units += (room.bytes[i] & 0xc0) != 0x80;
        units += room.bytes[i] >= 0xf0;
    }
    return units == SOCKET_ID_UNITS;
}

/* A message that was written. 0 or a negative errno. */
static int adapter_send(struct rc_adapter_bridge *adapter, const struct rc_adapter_message *message,
                        struct rc_span bytes, uint32_t flags)
{
    const struct rc_adapter_kind *kind = adapter->kind;
    char text[RC_ADAPTER_NAME_MAX];
    if (bytes.count == 0) {
        return -EBADMSG;
    }
    if (kind->stream) {
        const struct rc_span fields[] = {RC_SPAN("uid"),  message->uid,         RC_SPAN("nsp"),  message->nsp,
                                         RC_SPAN("type"), RC_CLUSTER_BROADCAST, RC_SPAN("data"), bytes};
        const struct rc_span key = rc_span_of(adapter->head, adapter->head_bytes - 1);
        return rc_redis_append(adapter->bridge->link, key, STREAM_ENTRIES_MAX, fields, RC_ARRAY_COUNT(fields), flags);
    }
    struct rc_span room = message->room;
    if (kind->by_length && looks_like_client(room)) {
        room.count = 0; /* servers listen for it on the namespace's channel */
    }
    const struct rc_span name = rc_adapter_name(adapter, message->nsp, room, text);
    return rc_redis_publish(adapter->bridge->link, name, &bytes, 1, rc_adapter_flags(adapter, flags));
}

static void adapter_publish(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view,
                            struct rc_span rooms, struct rc_span except, uint32_t flags)
{
    const struct rc_span channel = rc_span_of(view->channel, view->head.channel_bytes);
    struct rc_adapter_message message = {
        .event = rc_span_of(view->event, view->head.event_bytes), .rooms = rooms, .except = except, .view = view};
    if (rc_adapter_off(adapter) || (message.event.count == 0 && (view->head.flags & RC_ENVELOPE_ARGS) == 0)) {
        return;
    }
    (void)rc_channel_split(channel, &message.nsp, &message.room);
    if (message.nsp.count > RC_NSP_MAX) {
        return;
    }
    if (rc_span_equal(channel, RC_SPAN("*"))) {
        message.room = (struct rc_span){0};
    }
    if (message.event.count == 0) {
        message.event = rc_span_text(adapter->config.message_event.text);
    }
    message.uid = rc_span_of(adapter->uid, sizeof(adapter->uid));
    struct rc_scratch *buffer = &adapter->emission.buffer;
    const size_t room = adapter->kind->write_room(&message);
    const struct rc_span bytes =
        rc_scratch_room(buffer, room) ? adapter->kind->write(&message, buffer->bytes, room) : (struct rc_span){0};
    const bool sent = adapter_send(adapter, &message, bytes, flags) == 0;
    rc_metric_add(adapter->bridge->wire->metrics, sent ? RC_METRIC_ADAPTER_SENT : RC_METRIC_ADAPTER_DROPPED, 1);
}

void rc_adapter_publish(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view, uint32_t flags)
{
    adapter_publish(adapter, view, rc_span_of(NULL, 0), rc_span_of(NULL, 0), flags);
}

void rc_adapter_select(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view, uint32_t flags)
{
    struct rc_envelope_view one = *view;
    const struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    struct rc_span except = names;
    struct rc_span room;
    uint32_t count = 0;
    while (rc_select_next(&except, &room)) {
        if (count++ == 0) { /* the only one has a channel of its own */
            one.channel = (const char *)room.bytes;
            one.head.channel_bytes = (uint8_t)room.count;
        }
    }
    adapter_publish(adapter, count > 1 ? view : &one, count > 1 ? names : rc_span_of(NULL, 0), except, flags);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

/* KEY#/ANY#IIIII and any: the key's own characters are not a pattern's. */
static void adapter_pattern(struct rc_adapter_bridge *adapter)
{
    char *out = adapter->pattern;
    for (const char *at = adapter->head; *at != '\0'; at++) {
        if (strchr("*?[]\\", *at) != NULL) {
            *out++ = '\\';
        }
        *out++ = *at;
    }
    (void)snprintf(out, 16, "/*#%.*s*", (int)RC_SID_INSTANCE_BYTES, adapter->uid + 1);
}

static const struct rc_adapter_kind kinds[] = {
    [RC_ADAPTER_CLASSIC] = {.marks = {{.mark = "#"}, {.mark = "-request#", .lasting = true}},
                            .rooms = true,
                            .pattern = true,
                            .received = classic_received,
                            .write_room = rc_adapter_message_room,
                            .write = rc_adapter_message_write,
                            .ask_mark = "-request#",
                            .ask_write = rc_adapter_ask_write,
                            .ack_room = rc_adapter_ack_room,
                            .ack_write = rc_adapter_ack_write,
                            .answers = {.mark = "-response#", .of = rc_adapter_classic_forms}},
    [RC_ADAPTER_SHARDED] = {.marks = {{.mark = "#", .lasting = true}},
                            .rooms = true,
                            .by_length = true,
                            .sharded = true,
                            .received = cluster_received,
                            .write_room = rc_cluster_write_room,
                            .write = rc_cluster_write,
                            .ask_mark = "#",
                            .ask_write = rc_cluster_write,
                            .ack_room = rc_cluster_ack_room,
                            .ack_write = rc_cluster_ack_write,
                            .answers = {.of = rc_adapter_cluster_forms}},
    [RC_ADAPTER_STREAMS] = {.marks = {{.mark = "#", .lasting = true}},
                            .stream = true,
                            .received = cluster_received,
                            .write_room = rc_cluster_write_room,
                            .write = rc_cluster_write_entry,
                            .ask_mark = "#",
                            .ask_write = rc_cluster_pack,
                            .ack_room = rc_cluster_ack_room,
                            .ack_write = rc_cluster_ack_pack,
                            .answers = {.of = rc_adapter_cluster_forms, .packed = true}},
};

/* -ENOMEM. */
static int adapter_prepare(struct rc_adapter_bridge *adapter, const struct rc_bridge *bridge,
                           const struct rc_config_socketio *config)
{
    const int rc = rc_emission_open(&adapter->emission, bridge);
    if (rc != 0) {
        return rc;
    }
    if (rc_hashmap_init(&adapter->nsp_map, 8, RC_HASHMAP_COUNT_MAX) != 0) {
        rc_emission_close(&adapter->emission);
        return -ENOMEM;
    }
    adapter->bridge = bridge;
    adapter->kind = &kinds[config->adapter];
    adapter->head_bytes = (uint32_t)snprintf(adapter->head, sizeof(adapter->head), "%s#", config->adapter_key.text);
    (void)snprintf(adapter->request_head, sizeof(adapter->request_head), "%s-request#", config->adapter_key.text);
    (void)snprintf(adapter->response_head, sizeof(adapter->response_head), "%s-response#", config->adapter_key.text);
    adapter->config = *config;
    adapter->uid[0] = '~';
    memcpy(adapter->uid + 1, adapter->emission.instance, RC_SID_INSTANCE_BYTES);
    return 0;
}

int rc_adapter_open(struct rc_adapter_bridge *adapter, const struct rc_bridge *bridge,
                    const struct rc_config_socketio *config)
{
    *adapter = (struct rc_adapter_bridge){.bridge = NULL};
    if (config->adapter == RC_ADAPTER_NONE) {
        return 0;
    }
    const int rc = adapter_prepare(adapter, bridge, config);
    if (rc != 0) {
        return rc;
    }
    const struct rc_adapter_kind *kind = adapter->kind;
    const struct rc_redis_foreign_ops ops = {.message = room_received,
                                             .missed = room_missed,
                                             .context = adapter,
                                             .sharded = kind->sharded,
                                             .heads = {adapter->head, adapter->request_head, adapter->response_head}};
    rc_redis_foreign(bridge->link, &ops);
    if (kind->pattern) {
        adapter_pattern(adapter);
        adapter->clients = (struct rc_redis_subscription){
            .name = adapter->pattern, .pattern = true, .message = client_received, .context = adapter};
        rc_redis_subscribe(bridge->link, &adapter->clients);
    }
    if (kind->stream) {
        const struct rc_redis_stream_ops stream = {.entry = stream_entry, .missed = stream_missed, .context = adapter};
        rc_redis_stream_open(&adapter->stream, bridge->link, rc_span_of(adapter->head, adapter->head_bytes - 1),
                             &stream);
    }
    return 0;
}

const char *rc_adapter_place(const struct rc_adapter_bridge *adapter)
{
    return !rc_adapter_off(adapter) && adapter->kind->stream ? adapter->stream.last : "";
}

bool rc_adapter_has(const struct rc_adapter_bridge *adapter, struct rc_span id)
{
    return rc_adapter_off(adapter) || !adapter->kind->stream || id.count == 0 ||
           rc_redis_stream_has(&adapter->stream, id);
}

void rc_adapter_close(struct rc_adapter_bridge *adapter)
{
    if (rc_adapter_off(adapter)) {
        return;
    }
    for (uint32_t i = 0; i < adapter->nsp_count; i++) {
        free(adapter->nsps[i].name);
    }
    free(adapter->nsps);
    free(adapter->text.bytes);
    rc_emission_close(&adapter->emission);
    rc_hashmap_free(&adapter->nsp_map);
    *adapter = (struct rc_adapter_bridge){.bridge = NULL};
}
