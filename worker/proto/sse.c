/* sse: see sse.h. */
#include "worker/proto/sse.h"

#include <string.h>

#include "common/base/check.h"
#include "common/text/base64.h"
#include "common/text/decimal.h"
#include "common/text/hex.h"
#include "worker/proto/codec.h"
#include "worker/proto/native.h"

/* --- what a request asks for ----------------------------------------------------------------------------------------- */

/* "{epoch}:{offset}": what an epoch is its channel says. */
static bool position_read(struct rc_span text, struct rc_span *epoch, uint64_t *offset)
{
    const uint8_t *colon = text.count == 0 ? NULL : memchr(text.bytes, ':', text.count);
    if (colon == NULL) {
        return false;
    }
    *epoch = rc_span_of(text.bytes, (size_t)(colon - text.bytes));
    *offset = 0;
    size_t at = epoch->count + 1;
    if (epoch->count == 0 || epoch->count > RC_EPOCH_BYTES_MAX || at == text.count) {
        return false;
    }
    for (; at < text.count && *offset <= RC_OFFSET_MAX; at++) {
        if (text.bytes[at] < '0' || text.bytes[at] > '9') {
            return false;
        }
        *offset = *offset * 10 + (text.bytes[at] - '0');
    }
    return *offset <= RC_OFFSET_MAX;
}

bool rc_sse_position_of(struct rc_span list, uint32_t index, struct rc_span *epoch, uint64_t *offset)
{
    const bool only = list.count == 0 || memchr(list.bytes, ',', list.count) == NULL;
    for (uint32_t i = 0; !only && i < index; i++) {
        const uint8_t *comma = list.count == 0 ? NULL : memchr(list.bytes, ',', list.count);
        if (comma == NULL) {
            return false;
        }
        const size_t taken = (size_t)(comma - list.bytes) + 1;
        list = rc_span_of(list.bytes + taken, list.count - taken);
    }
    const uint8_t *end = list.count == 0 ? NULL : memchr(list.bytes, ',', list.count);
    return position_read(rc_span_of(list.bytes, end == NULL ? list.count : (size_t)(end - list.bytes)), epoch, offset);
}

/* Digits alone; 0 for anything else. */
static uint32_t count_read(struct rc_span text)
{
    uint64_t count = 0;
    for (size_t i = 0; i < text.count; i++) {
        count = count * 10 + (uint64_t)(text.bytes[i] - '0');
        if (text.bytes[i] < '0' || text.bytes[i] > '9' || count > UINT32_MAX) {
            return 0;
        }
    }
    return (uint32_t)count;
}

/* The next line of a message, without its end. False: there is none. */
static bool line_next(const struct rc_reader *reader, size_t *at, struct rc_span *line)
{
    const struct rc_span rest = rc_span_of(reader->frame.bytes + *at, reader->frame.count - *at);
    const uint8_t *end = rest.count == 0 ? NULL : memchr(rest.bytes, '\n', rest.count);
    if (end == NULL) {
        return false;
    }
    *line = rc_span_of(rest.bytes, (size_t)(end - rest.bytes));
    *at += line->count + 1;
    return true;
}

/* Who comes back goes on behind what it has; from a place that means nothing here, of another server maybe, it is told that it cannot. */
static void recover_from(struct rc_operation *operation, struct rc_span positions, uint32_t index)
{
    operation->recovers = positions.count > 0;
    if (operation->recovers && !rc_sse_position_of(positions, index, &operation->epoch, &operation->since)) {
        operation->epoch = RC_SPAN("0");
        operation->since = 0;
    }
}

enum { LINE_RETAINED, LINE_POSITIONS, LINE_LAST, LINE_COUNT };

static int sse_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    struct rc_span lines[LINE_COUNT];
    struct rc_span channel;
    size_t at = 0;
    uint32_t index = 0;
    for (uint32_t i = 0; i < LINE_COUNT; i++) {
        if (!line_next(reader, &at, &lines[i])) {
            return 0;
        }
    }
    while (at < reader->at && line_next(reader, &at, &channel)) {
        index++;
    }
    if (!line_next(reader, &at, &channel)) {
        return 0;
    }
    reader->at = at;
    error->id = (struct rc_span){0};
    if (channel.count > RC_CHANNEL_BYTES_MAX) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "channel is too long");
    }
    rc_operation_reset(operation);
    operation->type = RC_OPERATION_SUBSCRIBE;
    operation->id = RC_SPAN("0"); /* that it is answered: sse_encode */
    operation->channel = channel;
    operation->retained = rc_span_equal(lines[LINE_RETAINED], RC_SPAN(RC_SSE_RETAINED));
    operation->limit = count_read(lines[LINE_LAST]);
    recover_from(operation, lines[LINE_POSITIONS], index);
    return 1;
}

/* --- what it is told ------------------------------------------------------------------------------------------------- */

#define DATA "data: "
#define ID_BYTES_MAX (RC_SPAN("id: :\n").count + RC_HEX_BYTES_MAX + RC_DECIMAL_BYTES_MAX)
#define NAME_BYTES_MAX (RC_SPAN("event: \n").count + RC_EVENT_BYTES_MAX)

static uint8_t *sse_put(uint8_t *out, struct rc_span bytes)
{
    if (bytes.count > 0) {
        memcpy(out, bytes.bytes, bytes.count);
    }
    return out + bytes.count;
}

static size_t count_of(struct rc_span bytes, int character)
{
    const uint8_t *at = bytes.bytes;
    const uint8_t *end = at + bytes.count;
    size_t count = 0;
    while (at < end && (at = memchr(at, character, (size_t)(end - at))) != NULL) {
        count++;
        at++;
    }
    return count;
}

/* At most so many lines end in it: "\n", "\r" or both. */
static size_t breaks_of(struct rc_span bytes)
{
    return count_of(bytes, '\n') + count_of(bytes, '\r');
}

/* Each line of the `bytes` of data at `data` has to say that it is one; there is room for all of that. The end of it. */
static uint8_t *lines_put(uint8_t *data, size_t bytes)
{
    const size_t breaks = breaks_of(rc_span_of(data, bytes));
    if (RC_LIKELY(breaks == 0)) {
        return data + bytes;
    }
    /* From a copy that lies so far behind that it is never written over. */
    const uint8_t *from = data + breaks * RC_SPAN(DATA).count;
    const uint8_t *end = from + bytes;
    memmove(data + breaks * RC_SPAN(DATA).count, data, bytes);
    for (; from < end; from++) {
        if (*from == '\r' && from + 1 < end && from[1] == '\n') {
            continue;
        }
        if (*from == '\n' || *from == '\r') {
            *data++ = '\n';
            data = sse_put(data, RC_SPAN(DATA));
        } else {
            *data++ = *from;
        }
    }
    return data;
}

static uint8_t *id_put(uint8_t *out, const struct rc_event *event)
{
    out = (uint8_t *)rc_hex_write((char *)sse_put(out, RC_SPAN("id: ")), event->epoch);
    *out++ = ':';
    out = (uint8_t *)rc_decimal_write((char *)out, event->offset);
    *out++ = '\n';
    return out;
}

/* What the event is called; empty: nothing, as that which would end its line. */
static struct rc_span name_of(const struct rc_event *event)
{
    return event->type == RC_EVENT_GAP          ? RC_SPAN("gap")
           : event->type == RC_EVENT_SUBSCRIBED ? RC_SPAN("reset")
           : breaks_of(event->event) == 0       ? event->event
                                                : rc_span_of(NULL, 0);
}

/* What stands before the data. */
static uint8_t *head_put(uint8_t *out, const struct rc_event *event)
{
    const struct rc_span name = name_of(event);
    if (event->epoch != 0) {
        out = id_put(out, event);
    }
    if (name.count > 0) {
        out = sse_put(sse_put(sse_put(out, RC_SPAN("event: ")), name), RC_SPAN("\n"));
    }
    return sse_put(out, RC_SPAN(DATA));
}

/* Of an event whose data takes `bytes`, if it is one line. */
static size_t sse_bytes(const struct rc_event *event, size_t bytes)
{
    return ID_BYTES_MAX + NAME_BYTES_MAX + RC_SPAN(DATA).count * (1 + breaks_of(event->data)) + bytes +
           RC_SPAN("\n\n").count;
}

static void sse_end(struct rc_unit *unit, const uint8_t *begin, uint8_t *data, size_t bytes)
{
    const uint8_t *end = sse_put(lines_put(data, bytes), RC_SPAN("\n\n"));
    rc_unit_part_end(unit, RC_PART_TEXT, (size_t)(end - begin));
}

#define COMMENT ":\n\n"

/* The answer to a subscribe request. Who did not come back is told where it stands: an `id` without data is remembered and is no event. Who recovers has its
 * place, and the messages behind it come next. Who does not is told so. */
static uint8_t *subscribed_put(uint8_t *out, const struct rc_event *event)
{
    if (event->recovery == RC_RECOVERY_NOT_ASKED && event->epoch != 0) {
        return sse_put(id_put(out, event), RC_SPAN("\n"));
    }
    return sse_put(out, RC_SPAN(COMMENT));
}

static bool is_quiet(const struct rc_event *event)
{
    return event->type == RC_EVENT_SUBSCRIBED && event->recovery != RC_NOT_RECOVERED;
}

static size_t sse_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    *parts = 1;
    return sse_bytes(event, rc_native_event_bytes_max(RC_NATIVE_TEXT, event));
}

static void sse_encode(const struct rc_event *event, struct rc_unit *unit)
{
    uint8_t *begin = rc_unit_part(unit, unit->payload_bytes_max);
    if (is_quiet(event)) {
        rc_unit_part_end(unit, RC_PART_TEXT, (size_t)(subscribed_put(begin, event) - begin));
        return;
    }
    struct rc_event said = *event;
    said.id = (struct rc_span){0}; /* of no request that the client knows of */
    uint8_t *data = head_put(begin, event);
    sse_end(unit, begin, data, rc_native_event_encode(RC_NATIVE_TEXT, &said, data));
}

/* The payload alone; of what is no message, the same as the other form. */
static bool is_payload(const struct rc_event *event)
{
    return event->type == RC_EVENT_MESSAGE || event->type == RC_EVENT_DIRECT;
}

static size_t sse_data_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    if (!is_payload(event)) {
        return sse_bytes_max(event, parts);
    }
    *parts = 1;
    return sse_bytes(event, event->data_kind == RC_DATA_BINARY ? RC_BASE64_BYTES(event->data.count)
                                                               : rc_codec_plain_data(event).count);
}

static void sse_data_encode(const struct rc_event *event, struct rc_unit *unit)
{
    if (!is_payload(event)) {
        sse_encode(event, unit);
        return;
    }
    uint8_t *begin = rc_unit_part(unit, unit->payload_bytes_max);
    uint8_t *data = head_put(begin, event);
    const struct rc_span payload = rc_codec_plain_data(event);
    size_t bytes = payload.count;
    if (event->data_kind == RC_DATA_BINARY) {
        bytes = rc_base64_encode(data, payload.bytes, payload.count);
    } else {
        (void)sse_put(data, payload);
    }
    sse_end(unit, begin, data, bytes);
}

/* A comment: proxies and clients see that the connection lives, and the server whether it does. */
static void sse_heartbeat(struct rc_unit *unit)
{
    const struct rc_span comment = RC_SPAN(COMMENT);
    (void)sse_put(rc_unit_part(unit, comment.count), comment);
    rc_unit_part_end(unit, RC_PART_TEXT, comment.count);
}

/* The milliseconds alone: worker/proto/unit.c makes a `retry` of them. */
static size_t sse_goodbye(uint8_t out[RC_GOODBYE_BYTES_MAX], uint32_t reconnect_ms)
{
    return (size_t)(rc_decimal_write((char *)out, reconnect_ms) - (char *)out);
}

#define SSE_EVENTS                                                                                 \
    (RC_EVENT_BIT(RC_EVENT_MESSAGE) | RC_EVENT_BIT(RC_EVENT_DIRECT) | RC_EVENT_BIT(RC_EVENT_GAP) | \
     RC_EVENT_BIT(RC_EVENT_SUBSCRIBED))

const struct rc_codec rc_codec_sse = {
    .name = "sse",
    .events = SSE_EVENTS,
    .hears_everybody = true,
    .hears_user = true,
    .hears_channels = true,
    .decode = sse_decode,
    .event_bytes_max = sse_bytes_max,
    .encode = sse_encode,
    .heartbeat = sse_heartbeat,
    .goodbye = sse_goodbye,
};

/* Who cannot tell channels apart hears what it asks for, and nothing beside it. */
const struct rc_codec rc_codec_sse_data = {
    .name = "sse_data",
    .events = SSE_EVENTS,
    .hears_channels = true,
    .decode = sse_decode,
    .event_bytes_max = sse_data_bytes_max,
    .encode = sse_data_encode,
    .heartbeat = sse_heartbeat,
    .goodbye = sse_goodbye,
};
