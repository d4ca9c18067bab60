/* Broadcasts and requests of Socket.IO's Redis adapter (relay/bridge/adapter_wire, adapter_request): whatever the bytes, they are refused or yield views inside of
 * them; an event that was taken is one that a record may carry, and what is published of it is taken again. The same bytes as a worker's
 * reply: an answer of a client is refused, or becomes msgpack. */
#include <stdlib.h>

#include "relay/bridge/adapter_request.h"
#include "relay/bridge/asking.h"
#include "tests/support/adapter_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_again(struct rc_span written)
{
    struct rc_adapter_broadcast broadcast;
    RC_ASSERT(rc_adapter_broadcast_read(&broadcast, written) == 0);
}

static void check_request(struct rc_span message)
{
    struct rc_adapter_request request;
    if (rc_adapter_request_read(&request, message) < 0) {
        return;
    }
    RC_ASSERT(request.id.count <= RC_ADAPTER_REQUEST_ID_MAX + 2);
    rc_adapter_check_rooms(request.broadcast.rooms);
    if (request.type == RC_ADAPTER_SERVER_EVENT) {
        uint8_t name[RC_EVENT_NAME_MAX];
        uint8_t *args = malloc(request.data.count);
        struct rc_span event;
        struct rc_span arguments;
        struct rc_json_value value;
        RC_ASSERT(args != NULL);
        if (rc_adapter_event_split(request.data, name, &event, args, &arguments) == 0) {
            RC_ASSERT(arguments.count <= request.data.count);
            RC_ASSERT(rc_json_scan(arguments, 0, &value, NULL) == 0 && value.type == RC_JSON_ARRAY);
        }
        free(args);
    }
}

static void check_answer(const struct rc_args_view *args)
{
    const struct rc_adapter_ack answer = {.id = RC_SPAN("abc123"), .args = *args};
    const size_t room = rc_adapter_ack_room(&answer);
    uint8_t *buffer = malloc(room);
    RC_ASSERT(buffer != NULL);
    const struct rc_span written = rc_adapter_ack_write(&answer, buffer, room);
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(written);
    struct rc_span whole;
    RC_ASSERT(written.count == 0 || (rc_msgpack_skip(&reader, &whole) == 0 && rc_msgpack_left(&reader) == 0));
    free(buffer);
}

static void check_reply(struct rc_span bytes)
{
    const struct rc_envelope_view view = {.head = {.data_bytes = (uint32_t)bytes.count}, .data = bytes.bytes};
    struct rc_span asker;
    struct rc_args_view args;
    if (rc_asking_is_answer(&view) && rc_asking_answer(&view, &asker, &args) == 0) {
        RC_ASSERT(asker.count <= RC_EMIT_ASKER_MAX);
        check_answer(&args);
    }
}

static void check_taken(void *context, const struct rc_adapter_event *event, const struct rc_args_view *args)
{
    (void)context;
    rc_adapter_check_written(event, rc_adapter_message_room, rc_adapter_message_write, check_again);
    check_answer(args);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    check_request(rc_span_of(bytes, count));
    check_reply(rc_span_of(bytes, count));
    struct rc_adapter_broadcast broadcast;
    if (rc_adapter_broadcast_read(&broadcast, rc_span_of(bytes, count)) < 0) {
        return 0;
    }
    rc_adapter_check_rooms(broadcast.rooms);
    rc_adapter_check_rooms(broadcast.except);
    rc_adapter_check_event(&broadcast, count, check_taken, NULL);
    return 0;
}
