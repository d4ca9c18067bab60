/* Messages of servers with the sharded or streams adapter (relay/bridge/cluster_wire): whatever the bytes, they are refused or yield views
 * inside of them; an event that was taken is one that a record may carry, and what is published of it is taken again. The event's
 * arguments as a client's answer: refused, or what servers can read. */
#include <errno.h>
#include <stdlib.h>

#include "relay/bridge/cluster_wire.h"
#include "tests/support/adapter_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void check_again(struct rc_span written)
{
    struct rc_cluster_message read;
    const size_t room = rc_cluster_read_room(written.count, SIZE_MAX / 2);
    uint8_t *text = malloc(room);
    RC_ASSERT(text != NULL);
    const int rc = rc_cluster_read(&read, written, text, room);
    RC_ASSERT(rc == 0 || rc == -EOVERFLOW); /* a level or two around it */
    free(text);
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

/* `context`: the request's id, as a text. */
static void check_taken(void *context, const struct rc_adapter_event *event, const struct rc_args_view *args)
{
    const struct rc_span *id = context;
    rc_adapter_check_written(event, rc_cluster_write_room, rc_cluster_write, check_again);
    check_ack(args, *id);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct rc_cluster_message message;
    const size_t room = rc_cluster_read_room(count, ADAPTER_CHECK_TEXT_MAX);
    uint8_t *text = malloc(room);
    RC_ASSERT(text != NULL);
    if (rc_cluster_read(&message, rc_span_of(bytes, count), text, room) == 0) {
        const struct rc_adapter_request *request = &message.request;
        RC_ASSERT(request->uid.count > 0 && request->uid.count <= RC_ADAPTER_ASKER_MAX);
        RC_ASSERT(message.nsp.count > 0 && message.nsp.count <= RC_NSP_MAX && rc_json_utf8_valid(message.nsp));
        RC_ASSERT(request->id.count <= RC_ADAPTER_REQUEST_ID_MAX + 2);
        RC_ASSERT(request->id.count == 0 || request->type == RC_ADAPTER_FETCH ||
                  request->type == RC_ADAPTER_BROADCAST || request->type == RC_ADAPTER_SERVER_EVENT);
        rc_adapter_check_rooms(rc_adapter_rooms_of(request->targets));
        if (request->type == RC_ADAPTER_BROADCAST) {
            rc_adapter_check_rooms(request->broadcast.rooms);
            rc_adapter_check_rooms(request->broadcast.except);
            RC_ASSERT(rc_json_utf8_valid(request->id_text) && request->id_text.count <= RC_ADAPTER_REQUEST_ID_MAX);
            struct rc_span id = request->id_text;
            rc_adapter_check_event(&request->broadcast, count, check_taken, &id);
        }
    }
    free(text);
    return 0;
}
