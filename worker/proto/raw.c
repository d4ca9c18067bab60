/*
 * raw: for applications that know no protocol (docs/protocol.md, "Raw end points"): what a client sends is published as it is, or
 * dropped, as its [[endpoint]] says; what it gets is the payload alone, one part a message. It has no answers.
 */
#include <errno.h>

#include "worker/proto/codec.h"
#include "worker/proto/native.h"

static int raw_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    if (reader->ended || reader->endpoint == NULL || reader->endpoint->incoming == RC_INCOMING_IGNORE) {
        return 0;
    }
    reader->ended = true;
    struct rc_json_value value;
    if (reader->kind == RC_PART_TEXT && rc_json_scan(reader->frame, 0, &value, NULL) < 0) {
        error->id = (struct rc_span){0};
        /* It would stand unquoted in the JSON messages of others. */
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "a text must be JSON");
    }
    rc_operation_reset(operation);
    operation->data = reader->frame;
    operation->data_kind = reader->kind == RC_PART_TEXT ? RC_DATA_JSON : RC_DATA_BINARY;
    if (reader->endpoint->incoming == RC_INCOMING_BROADCAST) {
        operation->type = RC_OPERATION_BROADCAST;
    } else {
        operation->type = RC_OPERATION_PUBLISH;
        operation->channel = rc_span_text(reader->endpoint->incoming_channel);
    }
    return 1;
}

const struct rc_codec rc_codec_raw = {
    .name = "raw",
    .events = RC_EVENT_BIT(RC_EVENT_MESSAGE) | RC_EVENT_BIT(RC_EVENT_DIRECT),
    .hears_user = true,
    .hears_channels = true,
    .decode = raw_decode,
    .event_bytes_max = rc_codec_verbatim_bytes_max,
    .encode = rc_codec_verbatim_encode,
    .heartbeat = rc_codec_websocket_ping,
    .goodbye = rc_native_goodbye,
};
