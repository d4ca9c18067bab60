/*
 * pusher_message: arbitrary bytes as what a client of the Pusher Channels protocol says, and as name and data of what it is told. An operation is one that
 * there is, within its bounds; what is told is one JSON object.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/config/pusher.h"
#include "worker/proto/codec.h"
#include "worker/proto/pusher.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

static struct rc_operation_scratch scratch;

static void asked(const uint8_t *input, size_t bytes)
{
    struct rc_reader reader;
    struct rc_operation operation;
    struct rc_operation_error error;
    const size_t need = rc_codec_pusher.room_bytes_max(bytes);
    uint8_t *room = malloc(need + 1);
    RC_ASSERT(room != NULL);
    rc_reader_begin(&reader, &rc_codec_pusher, RC_PART_TEXT, rc_span_of(input, bytes), &scratch, NULL);
    rc_reader_give_room(&reader, room, need);
    const int rc = rc_reader_next(&reader, &operation, &error);
    if (rc < 0) {
        RC_ASSERT(error.code == RC_CODE_BAD_REQUEST && strlen(error.message) < sizeof(error.message));
    } else if (rc > 0) {
        RC_ASSERT(operation.channel.count <= RC_CHANNEL_BYTES_MAX && operation.to.count <= RC_PUSHER_AUTH_MAX &&
                  operation.data.count <= bytes + 4);
        (void)rc_pusher_kind_of(operation.channel);
        (void)rc_pusher_channel_valid(operation.channel);
    }
    RC_ASSERT(rc_reader_next(&reader, &operation, &error) == 0);
    free(room);
}

/* first byte: how long the name is | the name | the data, if it is JSON */
static void told(const uint8_t *input, size_t bytes)
{
    const uint8_t encoding = rc_encoding_of(RC_CODEC_PUSHER, RC_FRAMING_WEBSOCKET, 0);
    const size_t name = bytes == 0 ? 0 : input[0] < bytes - 1 ? input[0] : bytes - 1;
    struct rc_json_value value;
    if (bytes == 0) {
        return;
    }
    const struct rc_event event = {.type = RC_EVENT_MESSAGE,
                                   .channel = RC_SPAN("pusher-7:presence-a"),
                                   .event = rc_span_of(input + 1, name),
                                   .data = rc_span_of(input + 1 + name, bytes - 1 - name)};
    if (!rc_json_utf8_valid(event.event) || rc_json_scan(event.data, RC_JSON_CHECK_UTF8, &value, NULL) < 0) {
        return;
    }
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, &event);
    uint8_t *out = malloc(bytes_max);
    RC_ASSERT(out != NULL);
    const size_t count = rc_event_unit_write(encoding, NULL, &event, bytes_max, out);
    const size_t head = out[1] < 126 ? 2 : out[1] == 126 ? 4 : 10;
    RC_ASSERT(count <= bytes_max && count > head);
    RC_ASSERT(rc_json_scan(rc_span_of(out + head, count - head), RC_JSON_CHECK_UTF8, &value, NULL) == 0 &&
              value.type == RC_JSON_OBJECT);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    asked(input, bytes);
    told(input, bytes);
    return 0;
}
