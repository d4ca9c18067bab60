/*
 * socketio_msgpack: any bytes as a packet of socket.io-msgpack-parser. What is taken is laid out as it should be, fits the room that was
 * asked for, and when it is written, in either parser's form, what it asked for there.
 */
#include "common/base/check.h"
#include "common/records/args.h"
#include "common/text/json_scan.h"
#include "worker/proto/codec.h"
#include "common/records/placeholders.h"
#include "worker/proto/socketio.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_as(enum rc_codec_id codec, enum rc_framing_id framing, const struct rc_event *event)
{
    const uint8_t encoding = rc_encoding_of(codec, framing, 0);
    const size_t room = rc_event_unit_bytes_max(encoding, event);
    if (room > 1u << 24) {
        return; /* named over and over, which the engine does not let through */
    }
    uint8_t *out = malloc(room);
    RC_ASSERT(out != NULL);
    RC_ASSERT(rc_event_unit_write(encoding, NULL, event, room, out) <= room);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rc_operation_scratch scratch;
    static struct rc_operation operation;
    struct rc_operation_error error;
    struct rc_reader reader;
    struct rc_args_view view;
    struct rc_json_value value;
    const size_t room_bytes = rc_codec_socketio_msgpack.room_bytes_max(size);
    uint8_t *room = malloc(room_bytes);
    RC_ASSERT(room != NULL);
    rc_reader_begin(&reader, &rc_codec_socketio_msgpack, RC_PART_BINARY, rc_span_of(data, size), &scratch, NULL);
    rc_reader_give_room(&reader, room, room_bytes);
    if (rc_reader_next(&reader, &operation, &error) == 1) {
        RC_ASSERT(operation.nsp.count > 0 && operation.nsp.bytes[0] == '/' && operation.nsp.count <= RC_SIO_NSP_MAX);
        RC_ASSERT(operation.id.count <= RC_SIO_ID_DIGITS_MAX && operation.event.count <= RC_EVENT_BYTES_MAX);
        if (operation.type == RC_OPERATION_EVENT || operation.type == RC_OPERATION_ACK) {
            RC_ASSERT(rc_args_read(operation.data, &view) == 0);
            RC_ASSERT(rc_json_scan(view.json, RC_JSON_CHECK_UTF8, &value, NULL) == 0 && value.type == RC_JSON_ARRAY);
            (void)rc_placeholders_check(view.json, view.attachment_count);
            const struct rc_event event = {.type = operation.type == RC_OPERATION_ACK ? RC_EVENT_ACK : RC_EVENT_MESSAGE,
                                           .channel = RC_SPAN("/n#room"),
                                           .event = operation.event,
                                           .unnamed = RC_SPAN("message"),
                                           .id = operation.id,
                                           .data = operation.data,
                                           .data_kind = RC_DATA_ARGS};
            write_as(RC_CODEC_SOCKETIO_MSGPACK, RC_FRAMING_WEBSOCKET, &event);
            write_as(RC_CODEC_SOCKETIO_MSGPACK, RC_FRAMING_POLLING, &event);
            write_as(RC_CODEC_SOCKETIO, RC_FRAMING_POLLING, &event);
        } else if (operation.data.count > 0) {
            RC_ASSERT(rc_json_scan(operation.data, RC_JSON_CHECK_UTF8, &value, NULL) == 0);
            RC_ASSERT(value.type == RC_JSON_OBJECT);
        }
    }
    free(room);
    return 0;
}
