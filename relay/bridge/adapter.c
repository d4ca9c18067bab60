/* adapter: see adapter.h. */
#include "relay/bridge/adapter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/records/channel_name.h"
#include "relay/bridge/foreign.h"

#define NAME_BYTES_MAX (RC_CONFIG_TEXT_MAX + 1 + RC_NSP_MAX + 1 + RC_CHANNEL_NAME_MAX + 1)

static bool adapter_off(const struct rc_adapter_bridge *adapter)
{
    return adapter->bridge == NULL;
}

static struct rc_span adapter_head(const struct rc_adapter_bridge *adapter)
{
    return rc_span_of(adapter->head, adapter->head_bytes);
}

/* A buffer of so many bytes; false: no memory. */
static bool adapter_grow(struct rc_adapter_bridge *adapter, size_t bytes)
{
    if (bytes > adapter->buffer_room) {
        uint8_t *more = realloc(adapter->buffer, bytes);
        if (more == NULL) {
            return false;
        }
        adapter->buffer = more;
        adapter->buffer_room = bytes;
    }
    return true;
}

static size_t name_put(char *out, size_t at, struct rc_span text)
{
    if (text.count > 0) { /* the bytes of a zero count may be NULL */
        memcpy(out + at, text.bytes, text.count);
    }
    return at + text.count;
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
    const struct rc_bridge *bridge = adapter->bridge;
    struct rc_targets *targets = &record->targets;
    struct rc_envelope_view *view = &record->view;
    record->type = 0;
    record->targets = (struct rc_targets){.bridge = bridge,
                                          .instance = adapter->uid + 1,
                                          .nsp = broadcast->nsp,
                                          .refs = adapter->refs,
                                          .select = {.text = adapter->names}};
    record->view =
        (struct rc_envelope_view){.head = {.time_ns = rc_clock_ns(), .flags = RC_ENVELOPE_REMOTE | RC_ENVELOPE_ARGS}};
    if (broadcast->type != RC_ADAPTER_EVENT || !rc_span_equal(broadcast->nsp, nsp)) {
        return;
    }
    const enum rc_record_type type = adapter_targets(broadcast, targets, view);
    if (type == 0) {
        return;
    }
    if (rc_targets_cut(targets, type)) {
        rc_metric_add(bridge->wire->metrics, RC_METRIC_ADAPTER_DROPPED, 1);
        adapter_refused(adapter, message, -EINVAL, "too many rooms");
        return;
    }
    const size_t room = rc_adapter_event_room(message.count, bridge->wire->message_bytes_max);
    if (!adapter_grow(adapter, before + room)) {
        adapter_refused(adapter, message, -ENOMEM, "no memory");
        return;
    }
    const int rc = rc_adapter_event_read(&record->event, broadcast->data, adapter->buffer + before, room);
    if (rc < 0) {
        adapter_refused(adapter, message, rc, "not an event");
        return;
    }
    view->head.flags |= broadcast->is_volatile ? RC_ENVELOPE_VOLATILE : 0u;
    view->event = (const char *)record->event.name.bytes;
    view->head.event_bytes = (uint8_t)record->event.name.count;
    view->data = record->event.data.bytes;
    view->head.data_bytes = (uint32_t)record->event.data.count;
    rc_metric_add(bridge->wire->metrics, RC_METRIC_ADAPTER_RECEIVED, 1);
    rc_metric_add(bridge->wire->metrics, RC_METRIC_CROSS_INSTANCE, 1);
    rc_metric_add(bridge->wire->metrics, RC_METRIC_CROSS_INSTANCE_BYTES, record->event.data.count);
    record->type = type;
}

/* A message on KEY#`nsp`#… */
static void adapter_broadcast(struct rc_adapter_bridge *adapter, struct rc_span nsp, struct rc_span message)
{
    struct rc_adapter_broadcast broadcast;
    struct rc_adapter_record record;
    if (!rc_foreign_received(adapter->bridge, adapter->head, message)) {
        return;
    }
    const int rc = rc_adapter_broadcast_read(&broadcast, message);
    if (rc < 0) {
        adapter_refused(adapter, message, rc, "not a broadcast");
        return;
    }
    if (rc_adapter_is_ringcast(adapter, broadcast.uid)) {
        rc_metric_add(adapter->bridge->wire->metrics, RC_METRIC_REDIS_ECHOES, 1);
        return; /* it came, or comes, in our own format */
    }
    rc_adapter_record(adapter, nsp, &broadcast, message, 0, &record);
    if (record.type != 0) {
        (void)adapter->bridge->host.deliver(adapter->bridge->host.context, record.type, &record.view);
    }
}

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
            adapter->requested(adapter->requested_context, nsp, message);
        }
        return;
    }
    if (!adapter_split(adapter_head(adapter), channel, &nsp, &room) ||
        (room.count > 0 &&
         !rc_targets_wanted(adapter->bridge, nsp, room))) { /* it is given back a while after the last one went */
        return;
    }
    adapter_broadcast(adapter, nsp, message);
}

/* The pattern has no word for "to the end, and nothing between": rooms that only look so have channels of their own. */
static void client_received(void *context, struct rc_span channel, struct rc_span message)
{
    struct rc_adapter_bridge *adapter = context;
    struct rc_span nsp;
    struct rc_span room;
    struct rc_sid sid;
    if (adapter_split(adapter_head(adapter), channel, &nsp, &room) && rc_targets_is_own(adapter->uid + 1, room, &sid)) {
        adapter_broadcast(adapter, nsp, message);
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

struct rc_span rc_adapter_channel(const struct rc_adapter_bridge *adapter, const char *kind, struct rc_span nsp,
                                  char *out)
{
    size_t bytes = name_put(out, 0, rc_span_of(adapter->head, adapter->head_bytes - 1));
    bytes = name_put(out, bytes, rc_span_text(kind));
    bytes = name_put(out, bytes, nsp);
    out[bytes++] = '#';
    return rc_span_of(out, bytes);
}

/* Requests of a namespace that the configuration names are heard for good: servers' events need no client. */
static bool nsp_is_named(const struct rc_adapter_bridge *adapter, struct rc_span name)
{
    for (uint32_t i = 0; i < adapter->config.namespace_count; i++) {
        if (rc_span_equal(rc_span_text(adapter->config.namespaces[i].text), name)) {
            return true;
        }
    }
    return false;
}

static void nsp_requests(struct rc_adapter_bridge *adapter, struct rc_span name, bool wanted)
{
    char text[RC_REDIS_NAME_MAX];
    const struct rc_span channel = rc_adapter_channel(adapter, "-request#", name, text);
    if (adapter->requested == NULL || nsp_is_named(adapter, name)) {
        return;
    }
    if (wanted) {
        rc_redis_foreign_want(adapter->bridge->link, channel);
    } else {
        rc_redis_foreign_unwant(adapter->bridge->link, channel);
    }
}

void rc_adapter_set_requests(struct rc_adapter_bridge *adapter, rc_adapter_requested *requested, void *context)
{
    char text[RC_REDIS_NAME_MAX];
    adapter->requested = requested;
    adapter->requested_context = context;
    for (uint32_t i = 0; i < adapter->config.namespace_count; i++) {
        const struct rc_span name = rc_span_text(adapter->config.namespaces[i].text);
        if (name.bytes[name.count - 1] != '*') {
            rc_redis_foreign_want(adapter->bridge->link, rc_adapter_channel(adapter, "-request#", name, text));
        }
    }
}

static void nsp_interest(struct rc_adapter_bridge *adapter, struct rc_span name, bool wanted)
{
    const uint64_t hash = rc_channel_hash((const char *)name.bytes, name.count);
    const struct nsp_search search = {.adapter = adapter, .name = name};
    const uint32_t index = rc_hashmap_find(&adapter->nsp_map, hash, nsp_equal, &search);
    struct rc_adapter_nsp *nsp = index != RC_HASHMAP_NONE ? &adapter->nsps[index] : NULL;
    char text[NAME_BYTES_MAX];
    const struct rc_span base = adapter_name(adapter, name, (struct rc_span){0}, text);
    if (wanted) {
        nsp = nsp != NULL ? nsp : nsp_add(adapter, hash, name);
        if (nsp == NULL) {
            rc_log_limited(RC_LOG_ERROR, 1, "adapter_namespace_refused", "namespaces=%u reason=\"no memory\"",
                           adapter->nsp_count);
        } else if (nsp->channels++ == 0) {
            rc_redis_foreign_want(adapter->bridge->link, base);
            nsp_requests(adapter, name, true);
        }
    } else if (nsp != NULL && --nsp->channels == 0) {
        rc_redis_foreign_unwant(adapter->bridge->link, base);
        nsp_requests(adapter, name, false);
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
    if (room.count > 0 && !rc_targets_is_own(adapter->uid + 1, room, &sid)) { /* clients have the pattern */
        const struct rc_span name = adapter_name(adapter, nsp, room, text);
        if (wanted) {
            rc_redis_foreign_want(adapter->bridge->link, name);
        } else {
            rc_redis_foreign_unwant(adapter->bridge->link, name);
        }
    }
    nsp_interest(adapter, nsp, wanted);
}

/* --- what goes out --------------------------------------------------------------------------------------------------- */

void rc_adapter_publish(struct rc_adapter_bridge *adapter, const struct rc_envelope_view *view, uint32_t flags)
{
    const struct rc_span channel = rc_span_of(view->channel, view->head.channel_bytes);
    struct rc_adapter_message message = {.event = rc_span_of(view->event, view->head.event_bytes), .view = view};
    char text[NAME_BYTES_MAX];
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
    const size_t room = rc_adapter_message_room(&message);
    const struct rc_span bytes =
        adapter_grow(adapter, room) ? rc_adapter_message_write(&message, adapter->buffer, room) : (struct rc_span){0};
    const struct rc_span name = adapter_name(adapter, message.nsp, message.room, text);
    if (bytes.count == 0 || rc_redis_publish(adapter->bridge->link, name, &bytes, 1, flags) < 0) {
        rc_metric_add(adapter->bridge->wire->metrics, RC_METRIC_ADAPTER_DROPPED, 1);
        return;
    }
    rc_metric_add(adapter->bridge->wire->metrics, RC_METRIC_ADAPTER_SENT, 1);
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

int rc_adapter_open(struct rc_adapter_bridge *adapter, const struct rc_bridge *bridge,
                    const struct rc_config_socketio *config)
{
    *adapter = (struct rc_adapter_bridge){.bridge = NULL};
    if (config->adapter != RC_ADAPTER_CLASSIC) {
        return 0;
    }
    adapter->names = malloc(RC_EXCLUDE_TEXT_MAX);
    if (adapter->names == NULL || rc_hashmap_init(&adapter->nsp_map, 8, RC_HASHMAP_COUNT_MAX) != 0) {
        free(adapter->names);
        adapter->names = NULL;
        return -ENOMEM;
    }
    adapter->bridge = bridge;
    adapter->head_bytes = (uint32_t)snprintf(adapter->head, sizeof(adapter->head), "%s#", config->adapter_key.text);
    (void)snprintf(adapter->request_head, sizeof(adapter->request_head), "%s-request#", config->adapter_key.text);
    adapter->config = *config;
    adapter->uid[0] = '~';
    rc_sid_instance(adapter->uid + 1, bridge->wire->instance_id);
    adapter_pattern(adapter);
    const struct rc_redis_foreign_ops ops = {
        .message = room_received, .context = adapter, .heads = {adapter->head, adapter->request_head}};
    rc_redis_foreign(bridge->link, &ops);
    adapter->clients = (struct rc_redis_subscription){
        .name = adapter->pattern, .pattern = true, .message = client_received, .context = adapter};
    rc_redis_subscribe(bridge->link, &adapter->clients);
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
    free(adapter->names);
    free(adapter->buffer);
    rc_hashmap_free(&adapter->nsp_map);
    *adapter = (struct rc_adapter_bridge){.bridge = NULL};
}
