/* Messages of servers with the sharded or streams adapter (relay/bridge/cluster_wire): whatever the bytes, they are refused or yield views
 * inside of them; an event that was taken is one that a record may carry, and what is published of it is taken again. The event's
 * arguments as a client's answer: refused, or what servers can read. */
#include <errno.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "common/text/json_scan.h"
#include "relay/bridge/cluster_wire.h"

#define TEXT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_rooms(struct rc_adapter_rooms rooms)
{
    char scratch[RC_ADAPTER_SCRATCH_BYTES];
    struct rc_span room;
    const uint32_t most = rooms.count;
    uint32_t count = 0;
    while (rc_adapter_room_next(&rooms, scratch, &room) == 1) {
        RC_ASSERT(room.count > 0 && room.count <= RC_CHANNEL_NAME_MAX);
        count++;
    }
    RC_ASSERT(count <= most);
}

static void check_again(const struct rc_adapter_event *event)
{
    const struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_ARGS, .data_bytes = (uint32_t)event->data.count}, .data = event->data.bytes};
    const struct rc_adapter_message message = {.uid = RC_SPAN("~ABCDE"),
                                               .nsp = RC_SPAN("/admin"),
                                               .room = RC_SPAN("red"),
                                               .event = event->name,
                                               .view = &view};
    struct rc_cluster_message read;
    const size_t room = rc_cluster_write_room(&message);
    uint8_t *buffer = malloc(room);
    RC_ASSERT(buffer != NULL);
    const struct rc_span written = rc_cluster_write(&message, buffer, room);
    /* A map of the sender's may say that it is a placeholder, of an attachment that is not there. */
    RC_ASSERT(written.count > 0 || memmem(event->data.bytes, event->data.count, "_placeholder", 12) != NULL);
    if (written.count > 0) {
        const size_t text_room = rc_cluster_read_room(written.count, SIZE_MAX / 2);
        uint8_t *text = malloc(text_room);
        RC_ASSERT(text != NULL);
        const int rc = rc_cluster_read(&read, written, text, text_room);
        RC_ASSERT(rc == 0 || rc == -EOVERFLOW); /* a level or two around it */
        free(text);
    }
    free(buffer);
}

/* As a client's answer. */
static void check_ack(const struct rc_args_view *args, struct rc_span id)
{
    const struct rc_adapter_ack ack = {.uid = RC_SPAN("~ABCDE"), .nsp = RC_SPAN("/admin"), .id = id, .args = *args};
    const size_t room = rc_cluster_ack_room(&ack);
    uint8_t *buffer = malloc(room);
    struct rc_json_value value;
    struct rc_span whole;
    RC_ASSERT(buffer != NULL);
    const struct rc_span written = rc_cluster_ack_write(&ack, buffer, room);
    if (written.count > 0 && written.bytes[0] == '{') {
        const int rc = rc_json_scan(written, RC_JSON_CHECK_UTF8, &value, NULL);
        RC_ASSERT(rc == 0 || rc == -EOVERFLOW); /* a level or two around it */
    }
    const struct rc_span packed = rc_cluster_ack_pack(&ack, buffer, room);
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(packed);
    RC_ASSERT(packed.count == 0 || (rc_msgpack_skip(&reader, &whole) == 0 && rc_msgpack_left(&reader) == 0));
    free(buffer);
}

static void check_event(const struct rc_adapter_broadcast *broadcast, struct rc_span id, size_t count)
{
    const size_t room = rc_adapter_event_room(count, TEXT_MAX);
    uint8_t *buffer = malloc(room);
    struct rc_adapter_event event;
    RC_ASSERT(buffer != NULL);
    if (rc_adapter_event_read(&event, broadcast, buffer, room) == 0) {
        struct rc_args_view args;
        struct rc_json_value value;
        RC_ASSERT(rc_args_read(event.data, &args) == 0);
        RC_ASSERT(rc_json_scan(args.json, RC_JSON_CHECK_UTF8, &value, NULL) == 0 && value.type == RC_JSON_ARRAY);
        RC_ASSERT(event.name.count <= RC_EVENT_NAME_MAX && rc_json_utf8_valid(event.name));
        check_again(&event);
        check_ack(&args, id);
    }
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_cluster_message message;
    const size_t room = rc_cluster_read_room(count, TEXT_MAX);
    uint8_t *text = malloc(room);
    RC_ASSERT(text != NULL);
    if (rc_cluster_read(&message, rc_span_of(bytes, count), text, room) == 0) {
        const struct rc_adapter_request *request = &message.request;
        RC_ASSERT(request->uid.count > 0 && request->uid.count <= RC_ADAPTER_ASKER_MAX);
        RC_ASSERT(message.nsp.count > 0 && message.nsp.count <= RC_NSP_MAX && rc_json_utf8_valid(message.nsp));
        RC_ASSERT(request->id.count <= RC_ADAPTER_REQUEST_ID_MAX + 2);
        RC_ASSERT(request->id.count == 0 || request->type == RC_ADAPTER_FETCH ||
                  request->type == RC_ADAPTER_BROADCAST || request->type == RC_ADAPTER_SERVER_EVENT);
        check_rooms(rc_adapter_rooms_of(request->targets));
        if (request->type == RC_ADAPTER_BROADCAST) {
            check_rooms(request->broadcast.rooms);
            check_rooms(request->broadcast.except);
            RC_ASSERT(rc_json_utf8_valid(request->id_text) && request->id_text.count <= RC_ADAPTER_REQUEST_ID_MAX);
            check_event(&request->broadcast, request->id_text, count);
        }
    }
    free(text);
    return 0;
}
