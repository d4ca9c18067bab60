/* echo: debug.echo: every message comes back as it is. For measuring, and for trying out clients. */
#include "worker/proto/codec.h"
#include "worker/proto/native.h"

static int echo_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    (void)error;
    if (reader->ended) {
        return 0;
    }
    reader->ended = true;
    rc_operation_reset(operation);
    operation->type = RC_OPERATION_ECHO;
    operation->data = reader->frame;
    operation->data_kind = reader->kind == RC_PART_TEXT ? RC_DATA_JSON : RC_DATA_BINARY;
    return 1;
}

const struct rc_codec rc_codec_echo = {
    .name = "echo",
    .events = RC_EVENT_BIT(RC_EVENT_ECHO),
    .decode = echo_decode,
    .event_bytes_max = rc_codec_verbatim_bytes_max,
    .encode = rc_codec_verbatim_encode,
    .heartbeat = rc_codec_websocket_ping,
    .goodbye = rc_native_goodbye,
};
