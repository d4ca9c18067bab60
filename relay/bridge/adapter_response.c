/* adapter_response: see adapter_response.h. */
#include "relay/bridge/adapter_response.h"

#include <errno.h>

#include "common/text/json_scan.h"
#include "common/text/msgpack_json.h"

/* `type` of an answer: the two families number differently. */
#define CLASSIC_ANSWER 9u
#define CLUSTER_ANSWER 12u

struct reading {
    struct rc_adapter_response *response;
    uint64_t type; /* UINT64_MAX: it says none */
    bool cluster;  /* it has `data` */
    bool sockets;
    bool count;
};

/* A member of what is the answer itself. */
static void response_member(struct reading *reading, const struct rc_json_value *name,
                            const struct rc_json_value *value)
{
    struct rc_adapter_response *response = reading->response;
    if (rc_json_string_is(name, RC_SPAN("requestId"))) {
        if (value->type == RC_JSON_STRING && !value->escaped) {
            response->id = rc_span_of(value->raw.bytes + 1, value->raw.count - 2);
        }
    } else if (rc_json_string_is(name, RC_SPAN("sockets"))) {
        response->sockets = value->raw;
        reading->sockets = value->type == RC_JSON_ARRAY;
    } else if (rc_json_string_is(name, RC_SPAN("clientCount"))) {
        reading->count = rc_json_uint64(value, &response->count) == 0;
    } else if (rc_json_string_is(name, RC_SPAN("packet"))) {
        response->packet = value->raw;
    }
}

static int response_members(struct reading *reading, struct rc_span object)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    int got = rc_json_object_begin(&cursor, object, 0);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        response_member(reading, &name, &value);
    }
    return got;
}

/* All of it: of a cluster's server the answer is in its `data`. */
static int response_envelope(struct reading *reading, struct rc_span object)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    int got = rc_json_object_begin(&cursor, object, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        int rc = 0;
        if (rc_json_string_is(&name, RC_SPAN("type"))) {
            rc = rc_json_uint64(&value, &reading->type) == 0 ? 0 : -EINVAL;
        } else if (rc_json_string_is(&name, RC_SPAN("data")) && value.type == RC_JSON_OBJECT) {
            reading->cluster = true;
            rc = response_members(reading, value.raw);
        } else {
            response_member(reading, &name, &value);
        }
        got = rc < 0 ? rc : got;
    }
    return got;
}

/* The same as JSON text, its binary apart. */
static int response_unpack(struct rc_adapter_response *response, struct rc_span message, uint8_t *buffer, size_t room,
                           struct rc_span *text)
{
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(message);
    struct rc_msgpack_json json = {
        .text = buffer, .room = room, .attachments = response->attachments, .attachment_max = RC_ARGS_ATTACHMENTS_MAX};
    const int rc = rc_msgpack_to_json(&reader, &json);
    if (rc < 0 || rc_msgpack_left(&reader) > 0) {
        return rc < 0 ? rc : -EINVAL;
    }
    response->attachment_count = json.attachment_count;
    *text = rc_span_of(json.text, json.count);
    return 0;
}

size_t rc_adapter_response_room(size_t message_bytes)
{
    return RC_MSGPACK_JSON_BYTES_MAX(message_bytes, RC_ARGS_ATTACHMENTS_MAX);
}

int rc_adapter_response_read(struct rc_adapter_response *response, struct rc_span message, uint8_t *buffer, size_t room)
{
    struct reading reading = {.response = response, .type = UINT64_MAX};
    struct rc_span text = message;
    int rc = 0;
    response->type = RC_ADAPTER_RESPONSE_NONE;
    response->id = response->sockets = response->packet = (struct rc_span){0};
    response->count = 0;
    response->attachment_count = 0;
    if (message.count == 0 || message.bytes[0] != '{') {
        rc = response_unpack(response, message, buffer, room, &text);
    }
    rc = rc == 0 ? response_envelope(&reading, text) : rc;
    if (rc < 0) {
        return rc;
    }
    if (reading.sockets) {
        response->type = RC_ADAPTER_RESPONSE_SOCKETS;
    } else if (reading.count) {
        response->type = RC_ADAPTER_RESPONSE_COUNT;
    } else if (reading.type == (reading.cluster ? CLUSTER_ANSWER : CLASSIC_ANSWER)) {
        response->type = RC_ADAPTER_RESPONSE_ANSWER;
    }
    return 0;
}

/* Of a socket as fetchSockets() has it. */
static int socket_id(const struct rc_json_value *socket, struct rc_span *id)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    *id = socket->type == RC_JSON_STRING ? socket->raw : rc_span_of(NULL, 0);
    if (socket->type != RC_JSON_OBJECT) {
        return id->count > 0 ? 1 : -EINVAL;
    }
    int got = rc_json_object_begin(&cursor, socket->raw, 0);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("id")) && value.type == RC_JSON_STRING) {
            *id = value.raw;
        }
    }
    return got < 0 ? got : id->count > 0 ? 1 : -EINVAL;
}

int rc_adapter_response_socket(struct rc_json_cursor *sockets, struct rc_span *id)
{
    struct rc_json_value value;
    const int got = rc_json_array_next(sockets, &value);
    return got == 1 ? socket_id(&value, id) : got;
}
