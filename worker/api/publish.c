/* api_publish: messages of API calls: checked as a whole, sent one by one, answered when each has its place. See api.h. */
#include "worker/api/api.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/socketio.h"
#include "common/records/args.h"
#include "common/records/socket_id.h"
#include "worker/gate/permission.h"

/* --- what is asked for --- */

/* Checks the list, so that sending cannot fail on it. */
static int check_exclude(struct rc_api_call *call, const struct rc_json_value *value, struct rc_span *out,
                         struct rc_api_fault *fault)
{
    struct rc_json_cursor cursor;
    struct rc_json_value id;
    struct rc_span text;
    uint32_t count = 0;
    if (value->type == RC_JSON_NONE) {
        return 0;
    }
    if (value->type != RC_JSON_ARRAY) {
        return rc_api_fault(fault, 400, "exclude must be an array of client ids");
    }
    int got = rc_json_array_begin(&cursor, value->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &id)) == 1) {
        const size_t arena_used = call->arena_used;
        if (rc_api_string(call, &id, "a client id in exclude", RC_CLIENT_ID_BYTES_MAX, &text, fault) < 0) {
            return -EINVAL;
        }
        call->arena_used = arena_used;
        if (++count > RC_EXCLUDE_MAX) {
            return rc_api_fault(fault, 413, "more than %u clients are excluded", RC_EXCLUDE_MAX);
        }
    }
    *out = value->raw;
    return 0;
}

/* An array of JSON values, laid out as rc_args keeps them. */
static int message_args(struct rc_api_call *call, const struct rc_json_value *args, struct rc_span *out,
                        struct rc_api_fault *fault)
{
    if (args->type != RC_JSON_ARRAY) {
        return rc_api_fault(fault, 400, "args must be an array");
    }
    const size_t bytes = rc_args_bytes(args->raw.count, 0, NULL);
    RC_ASSERT(bytes <= call->arena_size -
                           call->arena_used); /* what they take beside the array, "args": and a comma do in the body */
    rc_args_write(call->arena + call->arena_used, args->raw, NULL, 0);
    *out = rc_span_of(call->arena + call->arena_used, bytes);
    call->arena_used += bytes;
    return 0;
}

/* data, data_base64 or args of an object. */
static int message_data(struct rc_api_call *call, const struct rc_json_value *members, struct rc_api_message *message,
                        struct rc_api_fault *fault)
{
    const struct rc_json_value *data = &members[RC_API_DATA];
    const struct rc_json_value *base64 = &members[RC_API_DATA_BASE64];
    const struct rc_json_value *args = &members[RC_API_ARGS];
    if ((data->type != RC_JSON_NONE) + (base64->type != RC_JSON_NONE) + (args->type != RC_JSON_NONE) != 1) {
        return rc_api_fault(fault, 400, "one of data, data_base64 and args must be there");
    }
    if (args->type != RC_JSON_NONE) {
        message->kind = RC_DATA_ARGS;
        return message_args(call, args, &message->data, fault);
    }
    if (base64->type != RC_JSON_NONE) {
        message->kind = RC_DATA_BINARY;
        return rc_api_base64(call, base64, &message->data, fault);
    }
    message->data = data->raw;
    return 0;
}

static int message_event(struct rc_api_call *call, const struct rc_json_value *value, struct rc_span *event,
                         struct rc_api_fault *fault)
{
    if (value->type == RC_JSON_NONE) {
        return 0;
    }
    if (rc_api_string(call, value, "event", RC_EVENT_BYTES_MAX, event, fault) < 0) {
        return -EINVAL;
    }
    return rc_config_event_reserved(*event)
               ? rc_api_fault(fault, 400, "event is a name of the Socket.IO protocol's own")
               : 0;
}

static int message_retain(const struct rc_api_call *call, const struct rc_json_value *value,
                          struct rc_api_message *message, struct rc_api_fault *fault)
{
    if (value->type != RC_JSON_NONE && value->type != RC_JSON_TRUE && value->type != RC_JSON_FALSE) {
        return rc_api_fault(fault, 400, "retain must be true or false");
    }
    message->retain = value->type == RC_JSON_TRUE;
    return message->retain && call->api->clients->config->limits.history_memory_bytes == 0
               ? rc_api_fault(fault, 501, "nothing is kept here: limits.history_memory is 0")
               : 0;
}

int rc_api_message_fits(const struct rc_api_call *call, const struct rc_api_message *message,
                        struct rc_api_fault *fault)
{
    /* In a record an excluded client takes no more than its id between quotes does here. */
    const uint64_t record = sizeof(struct rc_envelope) + RC_CHANNEL_NAME_MAX + sizeof(struct rc_call_tag) +
                            message->key.count + message->event.count + message->exclude.count + message->data.count;
    return message->data.count > call->api->clients->config->limits.max_message_size_bytes ||
                   record > rc_ring_payload_max(&call->api->clients->uplink->up)
               ? rc_api_fault(fault, 413, "the message is larger than limits.max_message_size")
               : 0;
}

/* What is to be said, exclude and (of a publish) key and retain of an object. */
static int read_message(struct rc_api_call *call, const struct rc_json_value *members, struct rc_api_message *message,
                        struct rc_api_fault *fault)
{
    if (message_data(call, members, message, fault) < 0 ||
        message_event(call, &members[RC_API_EVENT], &message->event, fault) < 0) {
        return -EINVAL;
    }
    if (check_exclude(call, &members[RC_API_EXCLUDE], &message->exclude, fault) < 0) {
        return -EINVAL;
    }
    const bool keyed = call->route->run == rc_api_publish || call->route->run == rc_api_retain;
    if (keyed && members[RC_API_KEY].type != RC_JSON_NONE &&
        rc_api_string(call, &members[RC_API_KEY], "key", RC_KEY_BYTES_MAX, &message->key, fault) < 0) {
        return -EINVAL;
    }
    if (call->route->run == rc_api_publish && message_retain(call, &members[RC_API_RETAIN], message, fault) < 0) {
        return -EINVAL;
    }
    return rc_api_message_fits(call, message, fault);
}

static int allocate_messages(struct rc_api_call *call, uint32_t capacity, struct rc_api_fault *fault)
{
    call->messages = calloc(capacity, sizeof(*call->messages));
    call->places = calloc(capacity, sizeof(*call->places));
    if (call->messages == NULL || call->places == NULL) {
        return rc_api_fault(fault, 503, "no memory");
    }
    return 0;
}

static int count_elements(const struct rc_json_value *array, const char *name, uint32_t *count,
                          struct rc_api_fault *fault)
{
    struct rc_json_cursor cursor;
    struct rc_json_value element;
    if (array->type != RC_JSON_ARRAY) {
        return rc_api_fault(fault, 400, "%s must be an array", name);
    }
    *count = 0;
    int got = rc_json_array_begin(&cursor, array->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &element)) == 1) {
        if (++*count > RC_API_MESSAGES_MAX) {
            return rc_api_fault(fault, 413, "%s has more than %u elements", name, RC_API_MESSAGES_MAX);
        }
    }
    return *count == 0 ? rc_api_fault(fault, 400, "%s is empty", name) : 0;
}

/* The server's own channels: a user's may be published to from here, everybody's has a call of its own. */
static int publish_channel(struct rc_api_call *call, const struct rc_json_value *value, struct rc_span *out,
                           struct rc_api_fault *fault)
{
    if (rc_api_channel(call, value, out, fault) < 0) {
        return -EINVAL;
    }
    return rc_span_equal(*out, RC_SPAN("*")) ? rc_api_fault(fault, 403, "everybody is reached by /api/broadcast") : 0;
}

static int read_channels(struct rc_api_call *call, const struct rc_json_value *members, struct rc_api_fault *fault)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_api_message message = {0};
    uint32_t count = 0;
    if (count_elements(&members[RC_API_CHANNELS], "channels", &count, fault) < 0 ||
        read_message(call, members, &message, fault) < 0 || allocate_messages(call, count, fault) < 0) {
        return -EINVAL;
    }
    int got = rc_json_array_begin(&cursor, members[RC_API_CHANNELS].raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &name)) == 1) {
        if (publish_channel(call, &name, &message.channel, fault) < 0) {
            return -EINVAL;
        }
        call->messages[call->message_count++] = message;
    }
    return 0;
}

static int read_batch(struct rc_api_call *call, const struct rc_json_value *array, struct rc_api_fault *fault)
{
    struct rc_json_cursor cursor;
    struct rc_json_value element;
    uint32_t count = 0;
    if (count_elements(array, "messages", &count, fault) < 0 || allocate_messages(call, count, fault) < 0) {
        return -EINVAL;
    }
    int got = rc_json_array_begin(&cursor, array->raw, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &element)) == 1) {
        struct rc_json_value members[RC_API_MEMBER_COUNT];
        struct rc_api_message *message = &call->messages[call->message_count];
        if (element.type != RC_JSON_OBJECT) {
            return rc_api_fault(fault, 400, "messages[%u] must be an object", call->message_count);
        }
        if (rc_api_members(element.raw, 0, members, fault) < 0 ||
            publish_channel(call, &members[RC_API_CHANNEL], &message->channel, fault) < 0 ||
            read_message(call, members, message, fault) < 0) {
            return -EINVAL;
        }
        call->message_count++;
    }
    return 0;
}

int rc_api_publish(struct rc_api_call *call, struct rc_api_fault *fault)
{
    struct rc_json_value members[RC_API_MEMBER_COUNT];
    if (rc_api_body_members(call, members, fault) < 0) {
        return -EINVAL;
    }
    const int forms = (members[RC_API_CHANNEL].type != RC_JSON_NONE) + (members[RC_API_CHANNELS].type != RC_JSON_NONE) +
                      (members[RC_API_MESSAGES].type != RC_JSON_NONE);
    if (forms != 1) {
        return rc_api_fault(fault, 400, "one of channel, channels and messages must be there");
    }
    int rc;
    call->listed = members[RC_API_CHANNEL].type == RC_JSON_NONE;
    if (members[RC_API_CHANNELS].type != RC_JSON_NONE) {
        rc = read_channels(call, members, fault);
    } else if (members[RC_API_MESSAGES].type != RC_JSON_NONE) {
        rc = read_batch(call, &members[RC_API_MESSAGES], fault);
    } else {
        rc = allocate_messages(call, 1, fault);
        if (rc == 0) {
            rc = publish_channel(call, &members[RC_API_CHANNEL], &call->messages[0].channel, fault);
        }
        if (rc == 0) {
            rc = read_message(call, members, &call->messages[0], fault);
        }
        call->message_count = 1;
    }
    if (rc == 0) {
        rc_api_send(call);
    }
    return rc;
}

int rc_api_retain(struct rc_api_call *call, struct rc_api_fault *fault)
{
    struct rc_json_value members[RC_API_MEMBER_COUNT];
    if (rc_api_body_members(call, members, fault) < 0 || allocate_messages(call, 1, fault) < 0) {
        return -EINVAL;
    }
    if (members[RC_API_CHANNEL].type == RC_JSON_NONE) {
        return rc_api_fault(fault, 400, "channel is missing");
    }
    if (publish_channel(call, &members[RC_API_CHANNEL], &call->messages[0].channel, fault) < 0 ||
        read_message(call, members, &call->messages[0], fault) < 0) {
        return -EINVAL;
    }
    call->message_count = 1;
    rc_api_send(call);
    return 0;
}

int rc_api_broadcast(struct rc_api_call *call, struct rc_api_fault *fault)
{
    struct rc_json_value members[RC_API_MEMBER_COUNT];
    if (rc_api_body_members(call, members, fault) < 0 || allocate_messages(call, 1, fault) < 0 ||
        read_message(call, members, &call->messages[0], fault) < 0) {
        return -EINVAL;
    }
    call->messages[0].channel = RC_SPAN("*");
    call->message_count = 1;
    rc_api_send(call);
    return 0;
}

int rc_api_direct(struct rc_api_call *call, struct rc_api_fault *fault)
{
    const struct rc_clients *clients = call->api->clients;
    struct rc_json_value members[RC_API_MEMBER_COUNT];
    struct rc_span client;
    if (rc_api_body_members(call, members, fault) < 0) {
        return -EINVAL;
    }
    if (members[RC_API_CLIENT].type == RC_JSON_NONE) {
        return rc_api_fault(fault, 400, "client is missing");
    }
    if (rc_api_string(call, &members[RC_API_CLIENT], "client", RC_CLIENT_ID_BYTES_MAX, &client, fault) < 0 ||
        allocate_messages(call, 1, fault) < 0 || read_message(call, members, &call->messages[0], fault) < 0) {
        return -EINVAL;
    }
    call->message_count = 1;
    switch (rc_client_id_read((const char *)client.bytes, client.count, clients->control->instance_id,
                              clients->control->boot_nonce, &call->target)) {
    case RC_CLIENT_ID_LOCAL:
        rc_api_send(call);
        return 0;
    case RC_CLIENT_ID_FOREIGN:
        if (clients->config->redis.url.text[0] != 0) {
            /* Whether that client is there, only its own instance knows: `sent` says that it was handed on. */
            call->target = (struct rc_client_ref){.random = 1, .worker = RC_WORKER_FOREIGN};
            call->messages[0].channel = client;
            rc_api_send(call);
            return 0;
        }
        break;
    case RC_CLIENT_ID_STALE:
    case RC_CLIENT_ID_INVALID:
        break;
    }
    rc_metric_add(clients->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
    return rc_api_fault(fault, 404, "no such client");
}

/* --- sending --- */

/* As for clients: ids of this host become refs, those of others stay text, those of nobody are left out. */
static void put_exclusion(struct rc_api_call *call, struct rc_span array, struct rc_client_ref *refs, char *text,
                          struct rc_envelope_view *view)
{
    const struct rc_control *control = call->api->clients->control;
    struct rc_json_cursor cursor;
    struct rc_json_value value;
    struct rc_api_fault fault;
    struct rc_span id;
    view->excludes = (const uint8_t *)refs;
    view->exclude_text = text;
    if (array.count == 0) {
        return;
    }
    const size_t arena_used = call->arena_used;
    int got = rc_json_array_begin(&cursor, array, 0);
    while (got >= 0 && (got = rc_json_array_next(&cursor, &value)) == 1) {
        call->arena_used = arena_used;
        struct rc_client_ref ref;
        if (rc_api_string(call, &value, "exclude", RC_CLIENT_ID_BYTES_MAX, &id, &fault) < 0) {
            break; /* was checked */
        }
        const enum rc_client_id_kind kind =
            rc_any_client_id_read((const char *)id.bytes, id.count, control->instance_id, control->boot_nonce, &ref);
        if (kind == RC_CLIENT_ID_LOCAL) {
            refs[view->head.exclude_count++] = ref;
        } else if (kind == RC_CLIENT_ID_FOREIGN) {
            memcpy(text + view->head.exclude_text_bytes, id.bytes, id.count);
            text[view->head.exclude_text_bytes + id.count] = 0;
            view->head.exclude_text_bytes += (uint32_t)id.count + 1;
        }
    }
    call->arena_used = arena_used;
}

static int send_one(struct rc_api_call *call, uint32_t item)
{
    struct rc_clients *clients = call->api->clients;
    const struct rc_api_message *message = &call->messages[item];
    const bool direct = call->route->run == rc_api_direct;
    const bool everybody = call->route->run == rc_api_broadcast;
    const struct rc_call_tag tag = rc_api_tag(call, item);
    struct rc_client_ref refs[RC_EXCLUDE_MAX];
    char text[RC_EXCLUDE_MAX * (RC_CLIENT_ID_BYTES_MAX + 1)];
    struct rc_envelope_view view = {
        .head = {.time_ns = clients->io->now_ns,
                 .origin = {.worker = (uint16_t)clients->worker},
                 .target = call->target,
                 .data_bytes = (uint32_t)message->data.count,
                 .flags =
                     (uint16_t)(RC_ENVELOPE_API | RC_ENVELOPE_WANT_ANSWER |
                                (message->kind == RC_DATA_BINARY ? RC_ENVELOPE_BINARY : 0u) |
                                (message->kind == RC_DATA_ARGS ? RC_ENVELOPE_ARGS : 0u) |
                                (message->retain ? RC_ENVELOPE_RETAIN : 0u) | (everybody ? RC_ENVELOPE_BROADCAST : 0u)),
                 .event_bytes = (uint8_t)message->event.count,
                 .channel_bytes = (uint8_t)message->channel.count,
                 .request_id_bytes = sizeof(tag),
                 .key_bytes = (uint8_t)message->key.count},
        .channel = (const char *)message->channel.bytes,
        .request_id = (const uint8_t *)&tag,
        .key = message->key.bytes,
        .event = (const char *)message->event.bytes,
        .data = message->data.bytes,
    };
    if (!direct) {
        put_exclusion(call, message->exclude, refs, text, &view);
    }
    const enum rc_record_type type = direct                              ? RC_UP_DIRECT
                                     : call->route->run == rc_api_retain ? RC_UP_RETAIN
                                                                         : RC_UP_PUBLISH;
    const int rc = rc_uplink_write(clients->uplink, type, &view);
    if (rc == 0) {
        rc_metric_add(clients->metrics, RC_METRIC_API_MESSAGES, 1);
        if (everybody) {
            rc_metric_add(clients->metrics, RC_METRIC_BROADCASTS, 1);
        }
    }
    return rc;
}

/* Whoever was here before sends before: connections that wait for room in the up ring, and calls that do. */
static int send_rest(struct rc_api_call *call)
{
    int rc = 0;
    while (call->sent < call->message_count && rc == 0) {
        rc = rc_uplink_queued(call->api->clients->uplink) ? -EAGAIN : send_one(call, call->sent);
        call->sent += rc == 0;
    }
    return rc;
}

void rc_api_send(struct rc_api_call *call)
{
    struct rc_uplink *uplink = call->api->clients->uplink;
    struct rc_api_fault fault;
    if (call->state == RC_API_BEGUN && rc_api_ask(call, &fault) < 0) {
        rc_api_fail(call, &fault);
        return;
    }
    const int rc = send_rest(call);
    if (rc == 0) {
        free(call->messages);
        call->messages = NULL;
        rc_api_release_body(call);
        call->state = RC_API_WAITING;
        return;
    }
    /* A batch, or what is left of it, waits for room. A single message is refused where there is none; where there is, it goes behind
     * those who wait, in this pass of the loop. */
    if (rc == -EAGAIN && (call->message_count > 1 || (rc_uplink_queued(uplink) && rc_uplink_room(uplink)))) {
        rc_waiters_add(&uplink->waiters, call->exchange->connection);
        call->state = RC_API_SENDING;
        return;
    }
    if (rc == -EMSGSIZE) {
        rc_api_fault(&fault, 413, "the message does not fit the server's rings");
    } else {
        rc_api_fault(&fault, 503, "the server cannot take messages now: try again");
    }
    rc_api_fail(call, &fault);
}

/* --- answers --- */

/* One number of each message, null where there is none. */
static void put_numbers(struct rc_text *text, const struct rc_api_call *call, const char *name, size_t member)
{
    rc_text_put(text, ",\"%s\":[", name);
    for (uint32_t i = 0; i < call->message_count; i++) {
        uint64_t number;
        memcpy(&number, (const uint8_t *)&call->places[i] + member, sizeof(number));
        if (number == 0) {
            rc_text_put(text, "%snull", i == 0 ? "" : ",");
        } else {
            rc_text_put(text, "%s%llu", i == 0 ? "" : ",", (unsigned long long)number);
        }
    }
    rc_text_put(text, "]");
}

/* Where they stand in their channels' histories, as far as those have one. */
static void put_places(struct rc_text *text, const struct rc_api_call *call)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < call->message_count; i++) {
        kept += call->places[i].offset != 0 ? 1 : 0;
    }
    if (kept == 0) {
        return;
    }
    if (!call->listed) {
        rc_text_put(text, ",\"epoch\":\"%llx\",\"offset\":%llu", (unsigned long long)call->places[0].epoch,
                    (unsigned long long)call->places[0].offset);
        return;
    }
    rc_text_put(text, ",\"epochs\":[");
    for (uint32_t i = 0; i < call->message_count; i++) {
        if (call->places[i].offset == 0) {
            rc_text_put(text, "%snull", i == 0 ? "" : ",");
        } else {
            rc_text_put(text, "%s\"%llx\"", i == 0 ? "" : ",", (unsigned long long)call->places[i].epoch);
        }
    }
    rc_text_put(text, "]");
    put_numbers(text, call, "offsets", offsetof(struct rc_api_place, offset));
}

void rc_api_put_published(struct rc_text *text, const struct rc_api_call *call)
{
    const char *done = call->route->run == rc_api_direct   ? "sent"
                       : call->route->run == rc_api_retain ? "retained"
                                                           : "published";
    rc_text_put(text, "\"%s\":%u", done, call->answered - call->duplicates);
    if (call->duplicates > 0) {
        rc_text_put(text, ",\"duplicate\":%s,\"duplicates\":%u",
                    call->duplicates == call->message_count ? "true" : "false", call->duplicates);
    }
    put_numbers(text, call, "sequences", offsetof(struct rc_api_place, sequence));
    put_places(text, call);
}

static void message_done(struct rc_api_call *call)
{
    if (call->answered < call->message_count || call->state != RC_API_WAITING) {
        return;
    }
    if (call->finish != NULL) {
        call->finish(call);
        return;
    }
    struct rc_text text = {0};
    rc_text_put(&text, "{");
    rc_api_put_published(&text, call);
    rc_text_put(&text, "}\n");
    rc_api_finish(call, &text);
}

static void message_answered(struct rc_api_call *call, const struct rc_call_tag *tag, const struct rc_envelope *head)
{
    struct rc_api_fault fault;
    if (tag->item >= call->sent || call->places[tag->item].sequence != 0) {
        return;
    }
    if (head->code != 0) {
        if (head->code == RC_CODE_NOT_FOUND) {
            rc_metric_add(call->api->clients->metrics, RC_METRIC_FAILED_DELIVERIES, 1);
            rc_api_fault(&fault, 404, "no such client");
        } else if (head->code == RC_CODE_TOO_LARGE) {
            rc_api_fault(&fault, 413, "the message does not fit the server's rings");
        } else if (head->code == RC_CODE_NOT_ENABLED) {
            rc_api_fault(&fault, 501, "nothing is kept here: limits.history_memory is 0");
        } else if (call->route->run == rc_api_retain) {
            rc_api_fault(&fault, 503, "no room for more retained values: raise limits.history_memory");
        } else {
            rc_api_fault(&fault, 503, "the message could not be routed: try again");
        }
        rc_api_fail(call, &fault);
        return;
    }
    const bool duplicate = (head->flags & RC_ENVELOPE_DUPLICATE) != 0;
    struct rc_api_place *place = &call->places[tag->item];
    place->sequence = duplicate ? head->position : head->sequence;
    if (!duplicate) {
        place->epoch = head->epoch;
        place->offset = head->position;
    }
    call->answered++;
    call->duplicates += duplicate ? 1 : 0;
    message_done(call);
}

static void direct_replied(struct rc_api_call *call, const struct rc_envelope_view *view)
{
    struct rc_reply_head reply;
    struct rc_api_fault fault;
    memcpy(&reply, view->data, sizeof(reply));
    if (!(reply.flags & RC_REPLY_FOUND)) {
        call->unfound = (reply.flags & RC_REPLY_BUSY) != 0;
        if (!call->unfound) {
            rc_api_fault(&fault, 404, "no such client");
            rc_api_fail(call, &fault);
        }
        return;
    }
    if (call->sent > 0 && call->places[0].sequence == 0) {
        call->places[0].sequence = view->head.position;
        call->answered++;
        message_done(call);
    }
}

void rc_api_published(struct rc_api_call *call, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_call_tag tag;
    if (type == RC_DOWN_REPLY) {
        direct_replied(call, view);
    } else if (type != RC_DOWN_QUERY && rc_call_tag_read(view, &tag)) {
        message_answered(call, &tag, &view->head);
    }
}
