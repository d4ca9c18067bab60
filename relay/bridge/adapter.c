/* adapter: see adapter.h. */
#include "relay/bridge/adapter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/records/channel_name.h"
#include "common/text/json_scan.h"
#include "common/text/msgpack_json.h"
#include "relay/bridge/cluster_wire.h"
#include "relay/bridge/foreign.h"

#define NAME_BYTES_MAX (RC_CONFIG_TEXT_MAX + 1 + RC_NSP_MAX + 1 + RC_CHANNEL_NAME_MAX + 1)
#define STREAM_ENTRIES_MAX 10000u /* what servers cut a stream to unless told otherwise */
#define SOCKET_ID_UNITS 20u       /* rooms of so many UTF-16 units are taken for one socket */
#define AROUND_BYTES_MAX (1u << 20)
#define MARKS_MAX 2u

/* A channel of each namespace: KEY{mark}NSP#. */
struct adapter_mark {
    const char *mark;
    bool lasting; /* for namespaces that the configuration names */
};

/* What the adapters differ in. */
struct rc_adapter_kind {
    struct adapter_mark marks[MARKS_MAX];
    bool rooms;     /* each has a channel of its own */
    bool pattern;   /* for single clients there is one */
    bool by_length; /* a room with a session id's length has no channel */
    bool sharded;
    bool stream;
    /* A message on one of the channels. */
    void (*received)(struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span message);
    /* A broadcast of ours in emission.buffer. */
    size_t (*write_room)(const struct rc_adapter_message *message);
    struct rc_span (*write)(const struct rc_adapter_message *message, uint8_t *buffer, size_t room);
    /* What a client of ours answers, likewise. */
    size_t (*ack_room)(const struct rc_adapter_ack *ack);
    struct rc_span (*ack_write)(const struct rc_adapter_ack *ack, uint8_t *buffer, size_t room);
    struct adapter_answers {
        const char
            *mark; /* of the channel that answers go to; NULL: the base channel of the namespace and the asker's uid */
        const struct adapter_answer *of;
        bool packed; /* as msgpack */
    } answers;
};

static bool adapter_off(const struct rc_adapter_bridge *adapter)
{
    return adapter->bridge == NULL;
}

static struct rc_span adapter_head(const struct rc_adapter_bridge *adapter)
{
    return rc_span_of(adapter->head, adapter->head_bytes);
}

static size_t name_put(char *out, size_t at, struct rc_span text)
{
    if (text.count > 0) { /* the bytes of a zero count may be NULL */
        memcpy(out + at, text.bytes, text.count);
    }
    return at + text.count;
}

struct rc_span rc_adapter_channel(const struct rc_adapter_bridge *adapter, const char *mark, struct rc_span nsp,
                                  char *out)
{
    size_t bytes = name_put(out, 0, rc_span_of(adapter->head, adapter->head_bytes - 1));
    bytes = name_put(out, bytes, rc_span_text(mark));
    bytes = name_put(out, bytes, nsp);
    out[bytes++] = '#';
    return rc_span_of(out, bytes);
}

/* KEY#NSP#, KEY#NSP#ROOM# */
static struct rc_span adapter_name(const struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span room,
                                   char out[NAME_BYTES_MAX])
{
    size_t bytes = name_put(out, 0, adapter_head(adapter));
    bytes = name_put(out, bytes, nsp);
    out[bytes++] = '#';
    if (room.count > 0) {
        bytes = name_put(out, bytes, room);
        out[bytes++] = '#';
    }
    return rc_span_of(out, bytes);
}

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

static void adapter_deliver(struct rc_adapter_bridge *adapter, struct rc_span nsp,
                            struct rc_adapter_broadcast *broadcast, struct rc_span message)
{
    struct rc_adapter_record record;
    rc_adapter_record(adapter, nsp, broadcast, message, 0, &record);
    if (record.type != 0) {
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
    adapter_deliver(adapter, nsp, &broadcast, message);
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
    if (!rc_adapter_is_ringcast(adapter, request.uid)) {
        adapter->requested(adapter->requested_context, nsp, &request, message);
    }
}

/* --- what comes in: cluster_wire.h ----------------------------------------------------------------------------------- */

/* A message that has been read, or `rc`. */
static void cluster_take(struct rc_adapter_bridge *adapter, struct rc_cluster_message *cluster, int rc,
                         struct rc_span message)
{
    struct rc_adapter_request *request = &cluster->request;
    if (rc < 0) {
        adapter_refused(adapter, message, rc, "not a message of a cluster's server");
    } else if (!adapter_is_echo(adapter, request->uid) && request->type != RC_ADAPTER_NOTHING) {
        if (request->type == RC_ADAPTER_BROADCAST && request->id.count == 0) {
            adapter_deliver(adapter, cluster->nsp, &request->broadcast, message);
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
    cluster_take(adapter, &cluster, rc, message);
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
        cluster_take(adapter, &cluster, rc, entry.data);
    }
}

static void stream_missed(void *context)
{
    const struct rc_adapter_bridge *adapter = context;
    adapter->bridge->host.missed(adapter->bridge->host.context, (struct rc_span){0});
}

/* --- what comes in --------------------------------------------------------------------------------------------------- */

bool rc_adapter_is_ringcast(const struct rc_adapter_bridge *adapter, struct rc_span uid)
{
    return uid.count == RC_ADAPTER_UID_BYTES && uid.bytes[0] == (uint8_t)adapter->uid[0];
}

/* Namespace and room of a channel behind KEY#; false: it is none of these channels. */
static bool adapter_split(struct rc_span head, struct rc_span channel, struct rc_span *nsp, struct rc_span *room)
{
    if (!rc_span_starts_with(channel, head) || channel.count < head.count + 2 ||
        channel.bytes[channel.count - 1] != '#') {
        return false;
    }
    const uint8_t *at = channel.bytes + head.count;
    const uint8_t *end = channel.bytes + channel.count - 1;
    const uint8_t *mark = memchr(at, '#', (size_t)(end + 1 - at));
    *nsp = rc_span_of(at, (size_t)(mark - at));
    *room = mark < end ? rc_span_of(mark + 1, (size_t)(end - mark - 1)) : (struct rc_span){0};
    return nsp->count > 0 && nsp->count <= RC_NSP_MAX;
}

static void room_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_adapter_bridge *adapter = context;
    struct rc_span nsp;
    struct rc_span room;
    const struct rc_span request_head = rc_span_text(adapter->request_head);
    if (adapter->requested != NULL && rc_span_starts_with(channel, request_head)) {
        if (adapter_split(request_head, channel, &nsp, &room) && room.count == 0) {
            classic_asked(adapter, nsp, message);
        }
        return;
    }
    if (!adapter_split(adapter_head(adapter), channel, &nsp, &room) ||
        (room.count > 0 &&
         !rc_targets_wanted(adapter->bridge, nsp, room))) { /* it is given back a while after the last one went */
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
    if (adapter_split(adapter_head(adapter), channel, &nsp, &room)) {
        const size_t bytes = rc_channel_of_room(name, sizeof(name), nsp, room);
        if (bytes > 0) {
            adapter->bridge->host.missed(adapter->bridge->host.context, rc_span_of(name, bytes));
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
    if (adapter_split(adapter_head(adapter), channel, &nsp, &room) &&
        rc_targets_is_own(adapter->emission.instance, room, &sid)) {
        classic_received(adapter, nsp, message);
    }
}

/* --- interest -------------------------------------------------------------------------------------------------------- */

struct nsp_search {
    const struct rc_adapter_bridge *adapter;
    struct rc_span name;
};

static bool nsp_equal(const void *context, uint32_t index)
{
    const struct nsp_search *search = context;
    const struct rc_adapter_nsp *nsp = &search->adapter->nsps[index];
    return rc_span_equal(rc_span_of(nsp->name, nsp->name_bytes), search->name);
}

/* A place for a namespace; NULL: no memory. */
static struct rc_adapter_nsp *nsp_add(struct rc_adapter_bridge *adapter, uint64_t hash, struct rc_span name)
{
    uint32_t index = 0;
    while (index < adapter->nsp_count && adapter->nsps[index].name != NULL) {
        index++;
    }
    if (index == adapter->nsp_room) {
        const uint32_t more = adapter->nsp_room == 0 ? 8 : 2 * adapter->nsp_room;
        struct rc_adapter_nsp *grown = realloc(adapter->nsps, more * sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        adapter->nsps = grown;
        adapter->nsp_room = more;
    }
    char *copy = malloc(name.count);
    if (copy == NULL || rc_hashmap_insert(&adapter->nsp_map, hash, index) != 0) {
        free(copy);
        return NULL;
    }
    memcpy(copy, name.bytes, name.count);
    adapter->nsp_count = index == adapter->nsp_count ? index + 1 : adapter->nsp_count;
    adapter->nsps[index] = (struct rc_adapter_nsp){.name = copy, .name_bytes = (uint32_t)name.count};
    return &adapter->nsps[index];
}

/* What is asked in a namespace that the configuration names is heard for good: servers' events need no client. */
static bool nsp_is_named(const struct rc_adapter_bridge *adapter, struct rc_span name)
{
    for (uint32_t i = 0; i < adapter->config.namespace_count; i++) {
        if (rc_span_equal(rc_span_text(adapter->config.namespaces[i].text), name)) {
            return true;
        }
    }
    return false;
}

static void adapter_want(struct rc_adapter_bridge *adapter, struct rc_span name, bool wanted)
{
    if (wanted) {
        rc_redis_foreign_want(adapter->bridge->link, name);
    } else {
        rc_redis_foreign_unwant(adapter->bridge->link, name);
    }
}

/* The channels of a namespace of which a first client is, or the last one was. */
static void nsp_channels(struct rc_adapter_bridge *adapter, struct rc_span name, bool wanted)
{
    char text[RC_REDIS_NAME_MAX];
    for (uint32_t i = 0; i < MARKS_MAX && adapter->kind->marks[i].mark != NULL; i++) {
        const struct adapter_mark *mark = &adapter->kind->marks[i];
        if (!mark->lasting || (adapter->requested != NULL && !nsp_is_named(adapter, name))) {
            adapter_want(adapter, rc_adapter_channel(adapter, mark->mark, name, text), wanted);
        }
    }
}

void rc_adapter_set_requests(struct rc_adapter_bridge *adapter, rc_adapter_requested *requested, void *context)
{
    char text[RC_REDIS_NAME_MAX];
    adapter->requested = requested;
    adapter->requested_context = context;
    for (uint32_t i = 0; i < adapter->config.namespace_count; i++) {
        const struct rc_span name = rc_span_text(adapter->config.namespaces[i].text);
        for (uint32_t j = 0; j < MARKS_MAX && name.bytes[name.count - 1] != '*'; j++) {
            const struct adapter_mark *mark = &adapter->kind->marks[j];
            if (mark->lasting) {
                adapter_want(adapter, rc_adapter_channel(adapter, mark->mark, name, text), true);
            }
        }
    }
}

static void nsp_interest(struct rc_adapter_bridge *adapter, struct rc_span name, bool wanted)
{
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    const struct nsp_search search = {.adapter = adapter, .name = name};
    const uint32_t index = rc_hashmap_find(&adapter->nsp_map, hash, nsp_equal, &search);
    struct rc_adapter_nsp *nsp = index != RC_HASHMAP_NONE ? &adapter->nsps[index] : NULL;
    if (wanted) {
        nsp = nsp != NULL ? nsp : nsp_add(adapter, hash, name);
        if (nsp == NULL) {
            rc_log_limited(RC_LOG_ERROR, 1, "adapter_namespace_refused", "namespaces=%u reason=\"no memory\"",
                           adapter->nsp_count);
        } else if (nsp->channels++ == 0) {
            nsp_channels(adapter, name, true);
        }
    } else if (nsp != NULL && --nsp->channels == 0) {
        nsp_channels(adapter, name, false);
        (void)rc_hashmap_remove(&adapter->nsp_map, hash, index);
        free(nsp->name);
        nsp->name = NULL;
    }
}

void rc_adapter_interest(struct rc_adapter_bridge *adapter, struct rc_span channel, bool wanted)
{
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    char text[NAME_BYTES_MAX];
    if (adapter_off(adapter) || rc_span_equal(channel, RC_SPAN("*"))) {
        return;
    }
    (void)rc_channel_split(channel, &nsp, &room);
    if (nsp.count > RC_NSP_MAX) {
        return;
    }
    if (adapter->kind->rooms && room.count > 0 &&
        !rc_targets_is_own(adapter->emission.instance, room,
                           &sid)) { /* clients have the pattern, or the base channel */
        adapter_want(adapter, adapter_name(adapter, nsp, room, text), wanted);
    }
    nsp_interest(adapter, nsp, wanted);
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

/* Of what is published on channels of the adapter. */
static uint32_t adapter_flags(const struct rc_adapter_bridge *adapter, uint32_t flags)
{
    return adapter->kind->sharded ? flags | RC_REDIS_PUBLISH_SHARD : flags;
}

/* A message that was written. 0 or a negative errno. */
static int adapter_send(struct rc_adapter_bridge *adapter, const struct rc_adapter_message *message,
                        struct rc_span bytes, uint32_t flags)
{
    const struct rc_adapter_kind *kind = adapter->kind;
    char text[NAME_BYTES_MAX];
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
    const struct rc_span name = adapter_name(adapter, message->nsp, room, text);
    return rc_redis_publish(adapter->bridge->link, name, &bytes, 1, adapter_flags(adapter, flags));
}

static void adapter_publish(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view,
                            struct rc_span except, uint32_t flags)
{
    const struct rc_span channel = rc_span_of(view->channel, view->head.channel_bytes);
    struct rc_adapter_message message = {
        .event = rc_span_of(view->event, view->head.event_bytes), .except = except, .view = view};
    if (adapter_off(adapter) || (message.event.count == 0 && (view->head.flags & RC_ENVELOPE_ARGS) == 0)) {
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
    adapter_publish(adapter, view, rc_span_of(NULL, 0), flags);
}

void rc_adapter_select(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view, uint32_t flags)
{
    adapter_publish(adapter, view, rc_span_of(view->exclude_text, view->head.exclude_text_bytes), flags);
}

/* --- answers --------------------------------------------------------------------------------------------------------- */

/* {head}{id}{middle}{values, or none}{tail}, and of a cluster's server who says it. */
struct adapter_answer {
    const char *head; /* NULL: it is not answered */
    const char *middle;
    const char *none;
    const char *tail;
};

static const struct adapter_answer classic_answers[] = {
    [RC_ADAPTER_SOCKETS] = {"{\"requestId\":", ",\"sockets\":[", "", "]}"},
    [RC_ADAPTER_FETCH] = {"{\"requestId\":", ",\"sockets\":[", "", "]}"},
    [RC_ADAPTER_ALL_ROOMS] = {"{\"requestId\":", ",\"rooms\":[", "", "]}"},
    [RC_ADAPTER_JOIN] = {"{\"requestId\":", "}", "", ""},
    [RC_ADAPTER_LEAVE] = {"{\"requestId\":", "}", "", ""},
    [RC_ADAPTER_DISCONNECT] = {"{\"requestId\":", "}", "", ""},
    /* No row that answers: null, or the asker would wait for us. */
    [RC_ADAPTER_SERVER_EVENT] = {"{\"type\":6,\"requestId\":", ",\"data\":", "null", "}"},
    [RC_ADAPTER_BROADCAST] = {"{\"type\":8,\"requestId\":", ",\"clientCount\":", "0", "}"},
};

static const struct adapter_answer cluster_answers[] = {
    [RC_ADAPTER_FETCH] = {"{\"type\":8,\"data\":{\"requestId\":", ",\"sockets\":[", "", "]}"},
    [RC_ADAPTER_SERVER_EVENT] = {"{\"type\":10,\"data\":{\"requestId\":", ",\"packet\":", "null", "}"},
    [RC_ADAPTER_BROADCAST] = {"{\"type\":11,\"data\":{\"requestId\":", ",\"clientCount\":", "0", "}"},
};

#define ANSWER_PARTS 10u

/* The same as msgpack, in memory that the caller frees. Empty: no memory. */
static struct rc_span answer_pack(const struct rc_span *parts, uint8_t **memory)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < ANSWER_PARTS; i++) {
        bytes += parts[i].count;
    }
    const size_t room = RC_JSON_MSGPACK_BYTES_MAX(bytes, 0, 0);
    *memory = malloc(bytes + room);
    if (*memory == NULL) {
        return (struct rc_span){0};
    }
    size_t at = 0;
    for (uint32_t i = 0; i < ANSWER_PARTS; i++) {
        at = name_put((char *)*memory, at, parts[i]);
    }
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(*memory + bytes, room);
    const int rc = rc_json_to_msgpack(&writer, rc_span_of(*memory, bytes), NULL, 0);
    return rc == 0 ? rc_msgpack_written(&writer) : (struct rc_span){0};
}

/* Where it listens for answers. */
static struct rc_span answer_channel(const struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                                     char name[NAME_BYTES_MAX])
{
    const char *mark = adapter->kind->answers.mark;
    return mark != NULL ? rc_adapter_channel(adapter, mark, asker->nsp, name)
                        : adapter_name(adapter, asker->nsp, asker->uid, name);
}

void rc_adapter_answer(struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                       enum rc_adapter_request_type type, struct rc_span values)
{
    const struct adapter_answers *answers = &adapter->kind->answers;
    const struct adapter_answer *answer = &answers->of[type];
    /* Worth nothing later: who asked gives up after five seconds. */
    const uint32_t flags = adapter_flags(adapter, RC_REDIS_PUBLISH_FLEETING);
    char name[NAME_BYTES_MAX];
    uint8_t nsp[RC_JSON_STRING_BYTES_MAX(RC_NSP_MAX)];
    uint8_t *memory = NULL;
    RC_ASSERT(answer->head != NULL);
    struct rc_span parts[ANSWER_PARTS] = {rc_span_text(answer->head), asker->id, rc_span_text(answer->middle),
                                          values.count > 0 ? values : rc_span_text(answer->none),
                                          rc_span_text(answer->tail)};
    if (answers->mark == NULL) {
        parts[5] = RC_SPAN(",\"uid\":\"");
        parts[6] = rc_span_of(adapter->uid, sizeof(adapter->uid));
        parts[7] = RC_SPAN("\",\"nsp\":");
        parts[8] = rc_span_of(nsp, rc_json_string_encode(nsp, sizeof(nsp), asker->nsp));
        parts[9] = RC_SPAN("}");
    }
    const struct rc_span channel = answer_channel(adapter, asker, name);
    if (answers->packed) {
        const struct rc_span packed = answer_pack(parts, &memory);
        if (packed.count > 0) {
            (void)rc_redis_publish(adapter->bridge->link, channel, &packed, 1, flags);
        }
        free(memory);
        return;
    }
    (void)rc_redis_publish(adapter->bridge->link, channel, parts, ANSWER_PARTS, flags);
}

int rc_adapter_acknowledge(struct rc_adapter_bridge *adapter, const struct rc_adapter_asker *asker,
                           const struct rc_args_view *args)
{
    const struct rc_adapter_ack ack = {
        .uid = rc_span_of(adapter->uid, sizeof(adapter->uid)), .nsp = asker->nsp, .id = asker->id, .args = *args};
    struct rc_scratch *buffer = &adapter->emission.buffer;
    const size_t room = adapter->kind->ack_room(&ack);
    char name[NAME_BYTES_MAX];
    if (!rc_scratch_room(buffer, room)) {
        return -ENOMEM;
    }
    const struct rc_span bytes = adapter->kind->ack_write(&ack, buffer->bytes, room);
    if (bytes.count == 0) {
        return -EMSGSIZE;
    }
    /* Kept while Redis is away: who asked may wait for a minute. Only servers listen there: when all are gone, it counts as a failed
     * delivery. */
    const int rc = rc_redis_publish(adapter->bridge->link, answer_channel(adapter, asker, name), &bytes, 1,
                                    adapter_flags(adapter, RC_REDIS_PUBLISH_TO_ONE));
    return rc < 0 ? rc : 0;
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
                            .ack_room = rc_adapter_ack_room,
                            .ack_write = rc_adapter_ack_write,
                            .answers = {.mark = "-response#", .of = classic_answers}},
    [RC_ADAPTER_SHARDED] = {.marks = {{.mark = "#", .lasting = true}},
                            .rooms = true,
                            .by_length = true,
                            .sharded = true,
                            .received = cluster_received,
                            .write_room = rc_cluster_write_room,
                            .write = rc_cluster_write,
                            .ack_room = rc_cluster_ack_room,
                            .ack_write = rc_cluster_ack_write,
                            .answers = {.of = cluster_answers}},
    [RC_ADAPTER_STREAMS] = {.marks = {{.mark = "#", .lasting = true}},
                            .stream = true,
                            .received = cluster_received,
                            .write_room = rc_cluster_write_room,
                            .write = rc_cluster_write_entry,
                            .ack_room = rc_cluster_ack_room,
                            .ack_write = rc_cluster_ack_pack,
                            .answers = {.of = cluster_answers, .packed = true}},
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
                                             .heads = {adapter->head, adapter->request_head}};
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

void rc_adapter_close(struct rc_adapter_bridge *adapter)
{
    if (adapter_off(adapter)) {
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
