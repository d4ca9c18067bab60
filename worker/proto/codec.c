/* codec: see codec.h. The table, and what is the same for all. */
#include "worker/proto/codec.h"

#include <string.h>

#include "common/records/args.h"

const struct rc_codec *const rc_codecs[RC_CODEC_COUNT] = {
    [RC_CODEC_JSON] = &rc_codec_json,
    [RC_CODEC_BINARY] = &rc_codec_binary,
    [RC_CODEC_RAW] = &rc_codec_raw,
    [RC_CODEC_ECHO] = &rc_codec_echo,
    [RC_CODEC_PUSHER] = &rc_codec_pusher,
    [RC_CODEC_JSON_DELTA] = &rc_codec_json_delta,
    [RC_CODEC_BINARY_DELTA] = &rc_codec_binary_delta,
    [RC_CODEC_ENGINEIO] = &rc_codec_engineio,
    [RC_CODEC_SOCKETIO] = &rc_codec_socketio,
    [RC_CODEC_SOCKETIO_MSGPACK] = &rc_codec_socketio_msgpack,
    [RC_CODEC_LINK] = &rc_codec_link,
    [RC_CODEC_LINK_3] = &rc_codec_link_3,
    [RC_CODEC_SSE] = &rc_codec_sse,
    [RC_CODEC_SSE_DATA] = &rc_codec_sse_data,
};

const char *const *rc_codec_subprotocols(size_t *count)
{
    static const char *names[RC_CODEC_COUNT + 1];
    size_t found = 0;
    for (uint32_t id = 0; id < RC_CODEC_COUNT; id++) {
        if (rc_codecs[id]->subprotocol != NULL) {
            names[found++] = rc_codecs[id]->subprotocol;
        }
    }
    *count = found;
    return names;
}

enum rc_codec_id rc_codec_chosen(const char *subprotocol, enum rc_codec_id otherwise)
{
    for (uint32_t id = 0; subprotocol != NULL && id < RC_CODEC_COUNT; id++) {
        if (rc_codecs[id]->subprotocol != NULL && strcmp(rc_codecs[id]->subprotocol, subprotocol) == 0) {
            return (enum rc_codec_id)id;
        }
    }
    return otherwise;
}

void rc_reader_begin(struct rc_reader *reader, const struct rc_codec *codec, enum rc_part_kind kind,
                     struct rc_span frame, struct rc_operation_scratch *scratch,
                     const struct rc_config_endpoint *endpoint)
{
    reader->codec = codec;
    reader->kind = kind;
    reader->started = false;
    reader->ended = false;
    reader->frame = frame;
    reader->scratch = scratch;
    reader->scratch_used = 0;
    reader->endpoint = endpoint;
    reader->at = 0;
    rc_reader_give_room(reader, NULL, 0);
}

void rc_codec_websocket_ping(struct rc_unit *unit)
{
    (void)rc_unit_part(unit, 0);
    rc_unit_part_end(unit, RC_PART_PING, 0);
}

size_t rc_codec_verbatim_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    *parts = 1;
    return event->data.count + (event->data_kind == RC_DATA_ARGS ? 2 : 0); /* "[]" of those that are broken */
}

struct rc_span rc_codec_plain_data(const struct rc_event *event)
{
    struct rc_args_view view;
    struct rc_json_cursor cursor;
    struct rc_json_value first;
    struct rc_json_value second;
    if (event->data_kind != RC_DATA_ARGS) {
        return event->data;
    }
    if (rc_args_read(event->data, &view) < 0) {
        return RC_SPAN("[]"); /* out of another process's memory */
    }
    return view.attachment_count == 0 && rc_json_array_begin(&cursor, view.json, 0) == 0 &&
                   rc_json_array_next(&cursor, &first) == 1 && rc_json_array_next(&cursor, &second) == 0
               ? first.raw
               : view.json;
}

void rc_codec_verbatim_encode(const struct rc_event *event, struct rc_unit *unit)
{
    const struct rc_span data = rc_codec_plain_data(event);
    uint8_t *out = rc_unit_part(unit, data.count);
    if (data.count > 0) {
        memcpy(out, data.bytes, data.count);
    }
    rc_unit_part_end(unit, event->data_kind == RC_DATA_BINARY ? RC_PART_BINARY : RC_PART_TEXT, data.count);
}
