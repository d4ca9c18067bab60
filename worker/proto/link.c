/* link: see link.h. At the end the codec: whatever the messages are, each leaves as one of Engine.IO. */
#include "worker/proto/link.h"

#include <string.h>

#include "common/base/check.h"
#include "common/text/json_scan.h"
#include "worker/proto/codec.h"
#include "worker/proto/engineio.h"

size_t rc_link_messages_check(struct rc_span bytes)
{
    if (bytes.count < RC_LINK_MESSAGES_HEAD_BYTES) {
        return 0;
    }
    const uint32_t count = rc_link_u16(bytes.bytes);
    size_t at = RC_LINK_MESSAGES_HEAD_BYTES;
    for (uint32_t i = 0; i < count; i++) {
        if (bytes.count - at < RC_LINK_MESSAGE_HEAD_BYTES || bytes.bytes[at] > 1) {
            return 0;
        }
        const bool text = bytes.bytes[at] == 0;
        const uint32_t size = rc_link_u32(bytes.bytes + at + 1);
        at += RC_LINK_MESSAGE_HEAD_BYTES;
        if (bytes.count - at < size || (text && !rc_json_utf8_valid(rc_span_of(bytes.bytes + at, size)))) {
            return 0;
        }
        at += size;
    }
    return count == 0 ? 0 : at;
}

struct rc_link_messages rc_link_messages_of(struct rc_span bytes)
{
    RC_ASSERT(bytes.count >= RC_LINK_MESSAGES_HEAD_BYTES);
    return (struct rc_link_messages){.at = bytes.bytes + RC_LINK_MESSAGES_HEAD_BYTES, .left = rc_link_u16(bytes.bytes)};
}

bool rc_link_messages_next(struct rc_link_messages *messages, enum rc_part_kind *kind, struct rc_span *message)
{
    if (messages->left == 0) {
        return false;
    }
    messages->left--;
    *kind = messages->at[0] == 0 ? RC_PART_TEXT : RC_PART_BINARY;
    *message = rc_span_of(messages->at + RC_LINK_MESSAGE_HEAD_BYTES, rc_link_u32(messages->at + 1));
    messages->at = message->bytes + message->count;
    return true;
}

bool rc_link_text_tears(struct rc_span text)
{
    return text.count > 0 && memchr(text.bytes, RC_EIO_SEPARATOR, text.count) != NULL;
}

bool rc_link_messages_tear(struct rc_span bytes)
{
    struct rc_link_messages messages = rc_link_messages_of(bytes);
    enum rc_part_kind kind;
    struct rc_span message;
    bool tears = false;
    if (!rc_link_text_tears(bytes)) {
        return false; /* nowhere at all */
    }
    while (!tears && rc_link_messages_next(&messages, &kind, &message)) {
        tears = kind == RC_PART_TEXT && rc_link_text_tears(message);
    }
    return tears;
}

void rc_link_message_head(uint8_t out[RC_LINK_MESSAGE_HEAD_BYTES], enum rc_part_kind kind, uint32_t bytes)
{
    out[0] = kind == RC_PART_TEXT ? 0 : 1;
    rc_link_put_u32(out + 1, bytes);
}

/* --- the codec ------------------------------------------------------------------------------------------------------- */

/* What clients say never comes here: it is handed on as it is. */
static int link_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    (void)reader;
    (void)operation;
    (void)error;
    return 0;
}

static size_t link_bytes_max(const struct rc_event *event, uint32_t *parts)
{
    *parts = rc_link_u16(event->data.bytes);
    return event->data.count; /* each head there is longer than the type of a packet */
}

/* Of Engine.IO 3 a binary message has its type before it, as a number. */
static void link_write(const struct rc_event *event, struct rc_unit *unit, bool revision_3)
{
    struct rc_link_messages messages = rc_link_messages_of(event->data);
    enum rc_part_kind kind;
    struct rc_span message;
    while (rc_link_messages_next(&messages, &kind, &message)) {
        const bool text = kind == RC_PART_TEXT;
        const size_t head = text || revision_3 ? 1 : 0;
        uint8_t *out = rc_unit_part(unit, message.count + head);
        *out = text ? RC_EIO_MESSAGE : RC_EIO_3_MESSAGE;
        if (message.count > 0) {
            memcpy(out + head, message.bytes, message.count);
        }
        rc_unit_part_end(unit, kind, message.count + head);
    }
}

static void link_encode(const struct rc_event *event, struct rc_unit *unit)
{
    link_write(event, unit, false);
}

static void link_3_encode(const struct rc_event *event, struct rc_unit *unit)
{
    link_write(event, unit, true);
}

const struct rc_codec rc_codec_link = {
    .name = "link",
    .events = RC_EVENT_BIT(RC_EVENT_MESSAGE) | RC_EVENT_BIT(RC_EVENT_DIRECT),
    .decode = link_decode,
    .event_bytes_max = link_bytes_max,
    .encode = link_encode,
    .heartbeat = rc_eio_heartbeat,
    .goodbye = rc_eio_goodbye,
};

const struct rc_codec rc_codec_link_3 = {
    .name = "link3",
    .events = RC_EVENT_BIT(RC_EVENT_MESSAGE) | RC_EVENT_BIT(RC_EVENT_DIRECT),
    .decode = link_decode,
    .event_bytes_max = link_bytes_max,
    .encode = link_3_encode,
    .heartbeat = rc_eio_heartbeat,
    .goodbye = rc_eio_goodbye,
};
