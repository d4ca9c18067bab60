/* adapter_request: see adapter_request.h. */
#include "relay/bridge/adapter_request.h"

#include <errno.h>
#include <string.h>

#include "common/text/json_scan.h"

/* --- JSON ------------------------------------------------------------------------------------------------------------ */

static struct rc_span request_array(const struct rc_json_value *value)
{
    return value->type == RC_JSON_ARRAY ? value->raw : (struct rc_span){0};
}

static struct rc_span request_text(const struct rc_json_value *value)
{
    return value->type == RC_JSON_STRING ? value->raw : (struct rc_span){0};
}

static int request_options(struct rc_adapter_request *request, struct rc_span options)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    int rc = 0;
    int got = rc_json_object_begin(&cursor, options, 0);
    request->has_options = true;
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        if (rc_json_string_is(&name, RC_SPAN("rooms"))) {
            rc = rc_adapter_rooms_take(&value, &request->rooms);
        } else if (rc_json_string_is(&name, RC_SPAN("except"))) {
            rc = rc_adapter_rooms_take(&value, &request->except);
        }
        got = rc < 0 ? rc : got;
    }
    return got;
}

static int request_member(struct rc_adapter_request *request, const struct rc_json_value *name,
                          const struct rc_json_value *value, uint64_t *type)
{
    if (rc_json_string_is(name, RC_SPAN("type"))) {
        return rc_json_uint64(value, type) == 0 ? 0 : -EINVAL;
    }
    if (rc_json_string_is(name, RC_SPAN("uid"))) {
        const struct rc_span text = request_text(value);
        request->uid = text.count > 0 ? rc_span_of(text.bytes + 1, text.count - 2) : (struct rc_span){0};
        return request->uid.count <= RC_ADAPTER_ASKER_MAX ? 0 : -EINVAL;
    }
    if (rc_json_string_is(name, RC_SPAN("requestId"))) {
        request->id = request_text(value);
        return request->id.count > 0 && request->id.count <= RC_ADAPTER_REQUEST_ID_MAX + 2 ? 0 : -EINVAL;
    } else if (rc_json_string_is(name, RC_SPAN("opts"))) {
        return value->type == RC_JSON_OBJECT ? request_options(request, value->raw) : -EINVAL;
    } else if (rc_json_string_is(name, RC_SPAN("rooms"))) {
        return rc_adapter_rooms_take(value, &request->targets);
    } else if (rc_json_string_is(name, RC_SPAN("sid"))) {
        request->sid = request_text(value);
    } else if (rc_json_string_is(name, RC_SPAN("room"))) {
        request->room = request_text(value);
    } else if (rc_json_string_is(name, RC_SPAN("close"))) {
        request->close = value->type == RC_JSON_TRUE;
    } else if (rc_json_string_is(name, RC_SPAN("data"))) {
        request->data = request_array(value);
    }
    return 0;
}

static int request_json(struct rc_adapter_request *request, struct rc_span message)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name;
    struct rc_json_value value;
    uint64_t type = UINT64_MAX;
    int got = rc_json_object_begin(&cursor, message, RC_JSON_CHECK_UTF8);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        const int rc = request_member(request, &name, &value, &type);
        got = rc < 0 ? rc : got;
    }
    if (got < 0) {
        return got;
    }
    request->type = (enum rc_adapter_request_type)type;
    switch (type) {
    case RC_ADAPTER_SOCKETS:
        request->rooms = request->rooms.count > 0 ? request->rooms : request->targets; /* it has no opts */
        return request->id.count > 0 ? 0 : -EINVAL;
    case RC_ADAPTER_ALL_ROOMS:
        return request->id.count > 0 ? 0 : -EINVAL;
    case RC_ADAPTER_FETCH:
        return request->has_options && request->id.count > 0 ? 0 : -EINVAL;
    case RC_ADAPTER_JOIN:
    case RC_ADAPTER_LEAVE:
        return (request->has_options && request->targets.count > 0) ||
                       (request->sid.count > 0 && request->room.count > 0)
                   ? 0
                   : -EINVAL;
    case RC_ADAPTER_DISCONNECT:
        return request->has_options || request->sid.count > 0 ? 0 : -EINVAL;
    case RC_ADAPTER_SERVER_EVENT:
        return request->data.count > 0 ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

/* --- msgpack --------------------------------------------------------------------------------------------------------- */

/* The id as JSON: it is made of letters that need no escape, or it is refused. */
static int request_keep_id(struct rc_adapter_request *request, struct rc_span id)
{
    if (id.count == 0 || id.count > RC_ADAPTER_REQUEST_ID_MAX || !rc_json_utf8_valid(id)) {
        return -EINVAL;
    }
    request->id_text = id;
    const size_t bytes = rc_json_string_encode((uint8_t *)request->scratch, sizeof(request->scratch), id);
    request->id = rc_span_of(request->scratch, bytes);
    return bytes > 0 ? 0 : -EINVAL;
}

static int request_msgpack(struct rc_adapter_request *request, struct rc_span message)
{
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(message);
    struct rc_span packet = {0};
    struct rc_span options = {0};
    struct rc_span id = {0};
    uint64_t type = UINT64_MAX;
    uint32_t count;
    int rc = rc_msgpack_map(&reader, &count);
    for (; rc == 0 && count > 0; count--) {
        struct rc_span name;
        struct rc_msgpack_value value;
        rc = rc_msgpack_string(&reader, &name);
        if (rc == 0 && rc_span_equal(name, RC_SPAN("type"))) {
            rc = rc_msgpack_next(&reader, &value);
            type = value.type == RC_MSGPACK_UNSIGNED ? value.whole : UINT64_MAX;
        } else if (rc == 0 && rc_span_equal(name, RC_SPAN("uid"))) {
            rc = rc_msgpack_string(&reader, &request->uid);
            rc = rc == 0 && request->uid.count > RC_ADAPTER_ASKER_MAX ? -EINVAL : rc;
        } else if (rc == 0 && rc_span_equal(name, RC_SPAN("requestId"))) {
            rc = rc_msgpack_string(&reader, &id);
        } else if (rc == 0) {
            rc = rc_msgpack_skip(&reader, rc_span_equal(name, RC_SPAN("packet")) ? &packet
                                          : rc_span_equal(name, RC_SPAN("opts")) ? &options
                                                                                 : NULL);
        }
    }
    if (rc < 0 || rc_msgpack_left(&reader) > 0 || type != RC_ADAPTER_BROADCAST) {
        return rc < 0 ? rc : -EINVAL;
    }
    request->type = RC_ADAPTER_BROADCAST;
    rc = rc_adapter_parts_read(&request->broadcast, packet, options);
    return rc == 0 ? request_keep_id(request, id) : rc;
}

int rc_adapter_request_read(struct rc_adapter_request *request, struct rc_span message)
{
    *request = (struct rc_adapter_request){.close = false};
    return message.count > 0 && message.bytes[0] == '{' ? request_json(request, message)
                                                        : request_msgpack(request, message);
}
