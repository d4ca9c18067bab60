/* engineio: see engineio.h. At the end the codec of end points that speak bare Engine.IO. */
#include "worker/proto/engineio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/text/base64.h"
#include "worker/proto/codec.h"
#include "worker/proto/native.h"
#include "worker/ws/utf8.h"

/* --- payloads -------------------------------------------------------------------------------------------------------- */

int rc_eio_payload_next(struct rc_eio_payload *payload, struct rc_eio_packet *packet)
{
    if (payload->ended) {
        return 0;
    }
    if (payload->revision_3) {
        return rc_eio_payload_next_3(payload, packet);
    }
    uint8_t *begin = payload->at;
    uint8_t *end = memchr(begin, RC_EIO_SEPARATOR, (size_t)(payload->end - begin));
    payload->ended = end == NULL;
    end = end == NULL ? payload->end : end;
    payload->at = end + (payload->ended ? 0 : 1);
    if (begin == end) {
        return -EBADMSG;
    }
    if (*begin == 'b') {
        const int64_t count = rc_base64_decode(begin + 1, begin + 1, (size_t)(end - begin) - 1);
        *packet = (struct rc_eio_packet){.kind = RC_PART_BINARY, .bytes = begin + 1, .count = (size_t)count};
        return count < 0 ? -EBADMSG : 1;
    }
    uint8_t utf8 = 0;
    if (rc_utf8_feed(&utf8, begin, (size_t)(end - begin)) < 0 || !rc_utf8_complete(utf8)) {
        return -EBADMSG;
    }
    *packet = (struct rc_eio_packet){.kind = RC_PART_TEXT, .bytes = begin, .count = (size_t)(end - begin)};
    return 1;
}

/* --- what the server says -------------------------------------------------------------------------------------------- */

size_t rc_eio_open_write(char *out, size_t capacity, const struct rc_eio_open *open)
{
    const int bytes =
        snprintf(out, capacity,
                 "0{\"sid\":\"%.*s\",\"upgrades\":[%s],\"pingInterval\":%llu,\"pingTimeout\":%llu,\"maxPayload\":%llu}",
                 (int)open->sid.count, (const char *)open->sid.bytes, open->upgrades_websocket ? "\"websocket\"" : "",
                 (unsigned long long)open->ping_interval_ms, (unsigned long long)open->ping_timeout_ms,
                 (unsigned long long)open->payload_bytes_max);
    return bytes > 0 && (size_t)bytes < capacity ? (size_t)bytes : 0;
}

static const char *const error_messages[] = {
    [RC_EIO_UNKNOWN_TRANSPORT] = "Transport unknown",
    [RC_EIO_UNKNOWN_SID] = "Session ID unknown",
    [RC_EIO_BAD_HANDSHAKE_METHOD] = "Bad handshake method",
    [RC_EIO_BAD_REQUEST] = "Bad request",
    [RC_EIO_FORBIDDEN] = "Forbidden",
    [RC_EIO_UNSUPPORTED_VERSION] = "Unsupported protocol version",
};

const char *rc_eio_error_message(enum rc_eio_error error)
{
    return error_messages[error];
}

size_t rc_eio_error_write(char *out, size_t capacity, enum rc_eio_error error)
{
    const int bytes =
        snprintf(out, capacity, "{\"code\":%u,\"message\":\"%s\"}", (unsigned)error, error_messages[error]);
    return bytes > 0 && (size_t)bytes < capacity ? (size_t)bytes : 0;
}

void rc_eio_heartbeat(struct rc_unit *unit)
{
    *rc_unit_part(unit, 1) = RC_EIO_PING;
    rc_unit_part_end(unit, RC_PART_TEXT, 1);
}

size_t rc_eio_goodbye(uint8_t *out, uint32_t reconnect_ms)
{
    (void)out;
    (void)reconnect_ms;
    return 0;
}

/* --- the codec: messages as those of "raw" --------------------------------------------------------------------------- */

static size_t engineio_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    return 1 + rc_codec_verbatim_bytes_max(event, parts);
}

static void engineio_encode(const struct rc_event *event, struct rc_unit *unit)
{
    const struct rc_span data = rc_codec_plain_data(event);
    uint8_t *out = rc_unit_part(unit, 1 + data.count);
    const bool binary = event->data_kind == RC_DATA_BINARY;
    *out = RC_EIO_MESSAGE;
    if (data.count > 0) {
        memcpy(out + !binary, data.bytes, data.count);
    }
    rc_unit_part_end(unit, binary ? RC_PART_BINARY : RC_PART_TEXT, data.count + !binary);
}

/* Without an [[endpoint]] it is debug.engineio_echo. */
static int engineio_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    return reader->endpoint == NULL ? rc_codec_echo.decode(reader, operation, error)
                                    : rc_codec_raw.decode(reader, operation, error);
}

const struct rc_codec rc_codec_engineio = {
    .name = "engineio",
    .events = RC_EVENT_BIT(RC_EVENT_MESSAGE) | RC_EVENT_BIT(RC_EVENT_DIRECT) | RC_EVENT_BIT(RC_EVENT_ECHO),
    .hears_user = true,
    .hears_channels = true,
    .decode = engineio_decode,
    .event_bytes_max = engineio_bytes_max,
    .encode = engineio_encode,
    .heartbeat = rc_eio_heartbeat,
    .goodbye = rc_eio_goodbye,
};
