/*
 * native_binary: see native_binary.h.
 */
#include "worker/proto/native_binary.h"

#include "common/records/args.h"
#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "common/text/decimal.h"
#include "common/text/hex.h"
#include "common/records/placeholders.h"
#include "common/text/json_scan.h"
#include "worker/proto/native_content.h"
#include "worker/proto/socketio.h"

#include <errno.h>

#define MESSAGE_FLAGS \
    (RC_NATIVE_BINARY_ID_MASK | RC_NATIVE_BINARY_DATA_BINARY | RC_NATIVE_BINARY_EVENT | RC_NATIVE_BINARY_ARGS)
#define VARINT_BYTES_MAX 10 /* of 64 bits */
#define LENGTH_BYTES_MAX 5  /* of what fits a message */

/* What follows the flags of an operation, in this order. */
enum field {
    FIELD_CHANNEL = 1,
    FIELD_TO = 2,
    FIELD_DATA = 4, /* and before it what KEY and EXCLUDE say, where allowed */
    FIELD_SINCE = 8,
    FIELD_BEGINNING = 16, /* what RECOVER, FORMER and LAST say */
};

static const struct {
    enum rc_operation_type type; /* 0: not an operation */
    unsigned fields;             /* enum field */
    unsigned flags;              /* enum rc_native_binary_flags that may be set */
} operations[] = {
    [RC_NATIVE_BINARY_SUBSCRIBE] = {RC_OPERATION_SUBSCRIBE, FIELD_CHANNEL | FIELD_BEGINNING,
                                    RC_NATIVE_BINARY_ID_MASK | RC_NATIVE_BINARY_RETAINED | RC_NATIVE_BINARY_RECOVER |
                                        RC_NATIVE_BINARY_LAST | RC_NATIVE_BINARY_FORMER},
    [RC_NATIVE_BINARY_UNSUBSCRIBE] = {RC_OPERATION_UNSUBSCRIBE, FIELD_CHANNEL, RC_NATIVE_BINARY_ID_MASK},
    [RC_NATIVE_BINARY_PUBLISH] = {RC_OPERATION_PUBLISH, FIELD_CHANNEL | FIELD_DATA,
                                  MESSAGE_FLAGS | RC_NATIVE_BINARY_NO_ECHO | RC_NATIVE_BINARY_EXCLUDE |
                                      RC_NATIVE_BINARY_KEY},
    [RC_NATIVE_BINARY_RETAIN] = {RC_OPERATION_PUBLISH, FIELD_CHANNEL | FIELD_DATA,
                                 MESSAGE_FLAGS | RC_NATIVE_BINARY_NO_ECHO | RC_NATIVE_BINARY_EXCLUDE |
                                     RC_NATIVE_BINARY_KEY},
    [RC_NATIVE_BINARY_BROADCAST] = {RC_OPERATION_BROADCAST, FIELD_DATA,
                                    MESSAGE_FLAGS | RC_NATIVE_BINARY_NO_ECHO | RC_NATIVE_BINARY_EXCLUDE},
    [RC_NATIVE_BINARY_DIRECT] = {RC_OPERATION_DIRECT, FIELD_TO | FIELD_DATA, MESSAGE_FLAGS},
    [RC_NATIVE_BINARY_PRESENCE] = {RC_OPERATION_PRESENCE, FIELD_CHANNEL,
                                   RC_NATIVE_BINARY_ID_MASK | RC_NATIVE_BINARY_LIMIT},
    [RC_NATIVE_BINARY_HISTORY] = {RC_OPERATION_HISTORY, FIELD_CHANNEL | FIELD_SINCE,
                                  RC_NATIVE_BINARY_ID_MASK | RC_NATIVE_BINARY_LIMIT | RC_NATIVE_BINARY_SINCE},
    [RC_NATIVE_BINARY_PING] = {RC_OPERATION_PING, 0, RC_NATIVE_BINARY_ID_MASK},
    [RC_NATIVE_BINARY_AUTH] = {RC_OPERATION_AUTH, FIELD_DATA, RC_NATIVE_BINARY_ID_MASK},
    [RC_NATIVE_BINARY_REFRESH] = {RC_OPERATION_REFRESH, FIELD_DATA, RC_NATIVE_BINARY_ID_MASK},
};

/* The rest of one operation. */
struct rest {
    const uint8_t *at;
    const uint8_t *end;
};

/* ------------------------------------------------------------------------------------------------------ decoding */

/* LEB128: seven bits a byte, low ones first, the highest bit says that more follow. Longer than needed is refused, so
 * that every number has one form. */
static bool varint_take(struct rest *rest, uint64_t *out)
{
    uint64_t number = 0;

    for (unsigned shift = 0; shift < 64 && rest->at < rest->end; shift += 7) {
        uint8_t byte = *rest->at++;

        if (shift == 63 && byte > 1) {
            return false;
        }
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = number;
            return byte != 0 || shift == 0;
        }
    }
    return false;
}

/* Bytes with their length before them. */
static bool span_take(struct rest *rest, struct rc_span *out)
{
    uint64_t count;

    if (!varint_take(rest, &count) || count > (uint64_t)(rest->end - rest->at)) {
        return false;
    }
    *out = rc_span_of(rest->at, (size_t)count);
    rest->at += count;
    return true;
}

/* Text of 1 to bytes_max bytes. */
static int text_take(struct rest *rest, const char *name, size_t bytes_max, struct rc_span *out,
                     struct rc_operation_error *error)
{
    if (!span_take(rest, out)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s is cut off", name);
    }
    if (out->count == 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s is empty", name);
    }
    if (out->count > bytes_max) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s is longer than %zu bytes", name, bytes_max);
    }
    if (!rc_json_utf8_valid(*out)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s is not UTF-8", name);
    }
    return 0;
}

static int id_number_take(struct rc_reader *reader, struct rest *rest, struct rc_span *id,
                          struct rc_operation_error *error)
{
    char digits[RC_DECIMAL_BYTES_MAX];
    uint64_t number;

    if (!varint_take(rest, &number)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id is not a number in its shortest form");
    }
    *id = rc_span_of(reader->scratch->bytes, (size_t)(rc_decimal_write(digits, number) - digits));
    memcpy(reader->scratch->bytes, digits, id->count);
    return 0;
}

static int id_string_take(struct rc_reader *reader, struct rest *rest, struct rc_span *id,
                          struct rc_operation_error *error)
{
    struct rc_span text;
    size_t wrote;

    if (!span_take(rest, &text)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id is cut off");
    }
    if (text.count > RC_REQUEST_ID_BYTES_MAX) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id is longer than %d bytes", RC_REQUEST_ID_BYTES_MAX);
    }
    if (!rc_json_utf8_valid(text)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id is not UTF-8");
    }
    wrote = rc_json_string_encode(reader->scratch->bytes, text.count + 2, text);
    if (wrote == 0) { /* it does not fit exactly when something had to be escaped */
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id has a quotation mark, backslash or control character");
    }
    *id = rc_span_of(reader->scratch->bytes, wrote);
    return 0;
}

static int id_token_take(struct rest *rest, struct rc_span *id, struct rc_operation_error *error)
{
    struct rc_json_value value;
    struct rc_span token;

    if (!span_take(rest, &token)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id is cut off");
    }
    if (rc_json_scan(token, RC_JSON_CHECK_UTF8, &value, NULL) < 0 || value.raw.count != token.count ||
        (value.type != RC_JSON_NUMBER && value.type != RC_JSON_STRING)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id is not a JSON number or string");
    }
    if (token.count > (value.type == RC_JSON_STRING ? RC_REQUEST_ID_TOKEN_BYTES_MAX : RC_REQUEST_ID_BYTES_MAX)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id is longer than %d bytes", RC_REQUEST_ID_BYTES_MAX);
    }
    *id = token;
    return 0;
}

/* Makes the JSON token that the rest of the broker echoes, in the scratch area where the message does not hold it. */
static int binary_id_take(struct rc_reader *reader, unsigned flags, struct rest *rest, struct rc_span *id,
                          struct rc_operation_error *error)
{
    switch (flags & RC_NATIVE_BINARY_ID_MASK) {
    case RC_NATIVE_BINARY_ID_NUMBER:
        return id_number_take(reader, rest, id, error);
    case RC_NATIVE_BINARY_ID_STRING:
        return id_string_take(reader, rest, id, error);
    case RC_NATIVE_BINARY_ID_JSON:
        return id_token_take(rest, id, error);
    default:
        return 0;
    }
}

static int binary_exclude_take(struct rest *rest, struct rc_operation *operation, struct rc_operation_error *error)
{
    uint64_t count;

    if (!varint_take(rest, &count)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "exclude is cut off");
    }
    if (count > RC_EXCLUDE_MAX) {
        return rc_operation_fail(error, RC_CODE_TOO_LARGE, "exclude has more than %d client ids", RC_EXCLUDE_MAX);
    }
    while (operation->exclude_count < count) {
        int failed = text_take(rest, "a client id in exclude", RC_CLIENT_ID_BYTES_MAX,
                               &operation->exclude[operation->exclude_count], error);

        if (failed < 0) {
            return failed;
        }
        operation->exclude_count++;
    }
    return 0;
}

/* The rest of the operation. JSON is checked here, for text messages are made of it later. */
static int data_take(unsigned flags, struct rest *rest, struct rc_operation *operation,
                     struct rc_operation_error *error)
{
    operation->data = rc_span_of(rest->at, (size_t)(rest->end - rest->at));
    rest->at = rest->end;
    if ((flags & RC_NATIVE_BINARY_DATA_BINARY) != 0) {
        operation->data_kind = RC_DATA_BINARY;
    } else {
        struct rc_json_value value;
        size_t offset;
        int failed = rc_json_scan(operation->data, RC_JSON_CHECK_UTF8, &value, &offset);

        if (failed == -EOVERFLOW) {
            return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "data is nested deeper than %d", RC_JSON_DEPTH_MAX);
        }
        if (failed < 0) {
            return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "data is not %s at its byte %zu",
                                     failed == -EILSEQ ? "UTF-8" : "JSON", offset);
        }
    }
    return 0;
}

/* The attachments and the JSON array of a message's arguments. */
static int binary_args_take(struct rc_reader *reader, unsigned flags, struct rest *rest, struct rc_operation *operation,
                            struct rc_operation_error *error)
{
    struct rc_span attachments[RC_ARGS_ATTACHMENTS_MAX];
    struct rc_json_value value;
    struct rc_span json;
    uint64_t count;

    if ((flags & RC_NATIVE_BINARY_DATA_BINARY) != 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "args are JSON, with their attachments before them");
    }
    if (!varint_take(rest, &count)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "the attachments are cut off");
    }
    if (count > RC_ARGS_ATTACHMENTS_MAX) {
        return rc_operation_fail(error, RC_CODE_TOO_LARGE, "there are more than %u attachments",
                                 RC_ARGS_ATTACHMENTS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!span_take(rest, &attachments[i])) {
            return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "the attachments are cut off");
        }
    }
    json = rc_span_of(rest->at, (size_t)(rest->end - rest->at));
    rest->at = rest->end;
    if (rc_json_scan(json, RC_JSON_CHECK_UTF8, &value, NULL) < 0 || value.type != RC_JSON_ARRAY) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "args are no JSON array");
    }
    if (count > 0 && rc_placeholders_check(value.raw, (uint32_t)count) < 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "args name an attachment that is not there, or twice");
    }
    rc_native_args_take(reader, value.raw, attachments, (uint32_t)count, operation);
    return 0;
}

static int count_take(struct rest *rest, const char *name, uint32_t *out, struct rc_operation_error *error)
{
    uint64_t count;

    if (!varint_take(rest, &count) || count == 0 || count > UINT32_MAX) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s must be a whole number from 1 to %u", name,
                                 UINT32_MAX);
    }
    *out = (uint32_t)count;
    return 0;
}

/* Where a subscriber begins: epoch, offset, the client id that it had; how many of the newest. */
static int beginning_take(struct rest *rest, unsigned flags, struct rc_operation *operation,
                          struct rc_operation_error *error)
{
    int failed = 0;

    operation->recovers = (flags & RC_NATIVE_BINARY_RECOVER) != 0;
    if (!operation->recovers && (flags & RC_NATIVE_BINARY_FORMER) != 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "a client id is for recovering only");
    }
    if (operation->recovers) {
        failed = text_take(rest, "epoch", RC_EPOCH_BYTES_MAX, &operation->epoch, error);
        if (failed == 0 && (!varint_take(rest, &operation->since) || operation->since > RC_OFFSET_MAX)) {
            return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "offset must be a whole number");
        }
    }
    if (failed == 0 && (flags & RC_NATIVE_BINARY_FORMER) != 0) {
        failed = text_take(rest, "client", RC_CLIENT_ID_BYTES_MAX, &operation->former, error);
    }
    return failed == 0 && (flags & RC_NATIVE_BINARY_LAST) != 0 ? count_take(rest, "last", &operation->limit, error)
                                                               : failed;
}

static int fields_take(struct rc_reader *reader, struct rest *rest, unsigned fields, unsigned flags,
                       struct rc_operation *operation, struct rc_operation_error *error)
{
    const bool opens = (fields & FIELD_BEGINNING) != 0; /* its flags mean other things */
    const unsigned others = opens ? 0 : flags;
    int failed = 0;

    if ((fields & FIELD_CHANNEL) != 0) {
        failed = text_take(rest, "channel", RC_CHANNEL_BYTES_MAX, &operation->channel, error);
        if (failed == 0 && rc_channel_name_check((const char *)operation->channel.bytes, operation->channel.count,
                                                 RC_CHANNEL_BYTES_MAX) < 0) {
            failed = rc_operation_fail(error, RC_CODE_BAD_REQUEST, "channel has a control character");
        }
    }
    if (failed == 0 && (fields & FIELD_TO) != 0) {
        failed = text_take(rest, "to", RC_CLIENT_ID_BYTES_MAX, &operation->to, error);
    }
    if (failed == 0 && opens) {
        failed = beginning_take(rest, flags, operation, error);
    }
    if (failed == 0 && (others & RC_NATIVE_BINARY_KEY) != 0) {
        failed = text_take(rest, "key", RC_KEY_BYTES_MAX, &operation->key, error);
    }
    if (failed == 0 && (others & RC_NATIVE_BINARY_EXCLUDE) != 0) {
        failed = binary_exclude_take(rest, operation, error);
    }
    if (failed == 0 && (fields & FIELD_DATA) != 0 && (flags & RC_NATIVE_BINARY_EVENT) != 0) {
        failed = text_take(rest, "event", RC_EVENT_BYTES_MAX, &operation->event, error);
        failed = failed < 0 ? failed : rc_native_event_check(operation->event, error);
    }
    if (failed == 0 && (fields & FIELD_DATA) == 0 && (others & RC_NATIVE_BINARY_LIMIT) != 0) {
        failed = count_take(rest, "limit", &operation->limit, error);
    }
    operation->has_since = (fields & FIELD_SINCE) != 0 && (flags & RC_NATIVE_BINARY_SINCE) != 0;
    if (failed == 0 && operation->has_since &&
        (!varint_take(rest, &operation->since) || operation->since > RC_OFFSET_MAX)) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "since must be a whole number");
    }
    operation->echo = (fields & FIELD_DATA) == 0 || (flags & RC_NATIVE_BINARY_NO_ECHO) == 0;
    if (failed == 0 && (fields & FIELD_DATA) != 0) {
        failed = (flags & RC_NATIVE_BINARY_ARGS) != 0 ? binary_args_take(reader, flags, rest, operation, error)
                                                      : data_take(flags, rest, operation, error);
    }
    if (failed == 0 && rest->at != rest->end) {
        failed = rc_operation_fail(error, RC_CODE_BAD_REQUEST, "something follows the operation");
    }
    return failed;
}

/* One operation without its length. 1 or -EBADMSG. */
static int binary_operation_read(struct rc_reader *reader, struct rc_span bytes, struct rc_operation *operation,
                                 struct rc_operation_error *error)
{
    struct rest rest;
    unsigned type, flags;
    int failed;

    rc_operation_reset(operation);
    error->id = rc_span_of(NULL, 0);
    if (bytes.count < 2) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "an operation has at least two bytes");
    }
    type = bytes.bytes[0];
    flags = bytes.bytes[1];
    rest = (struct rest){.at = bytes.bytes + 2, .end = bytes.bytes + bytes.count};
    if (type >= RC_ARRAY_COUNT(operations) || operations[type].type == 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "type 0x%02x is not one of the operations", type);
    }

    failed = binary_id_take(reader, flags, &rest, &error->id, error);
    if (failed < 0) {
        return failed;
    }
    operation->type = operations[type].type;
    operation->id = error->id;
    if ((flags & ~operations[type].flags) != 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "flags 0x%02x are not for type 0x%02x", flags, type);
    }
    operation->retain = type == RC_NATIVE_BINARY_RETAIN;
    operation->retained = type == RC_NATIVE_BINARY_SUBSCRIBE && (flags & RC_NATIVE_BINARY_RETAINED) != 0;
    failed = fields_take(reader, &rest, operations[type].fields, flags, operation, error);
    return failed < 0 ? failed : 1;
}

/* Adds up the lengths of a whole batch before anything of it is given out. 0 or -EBADMSG. */
static int binary_batch_check(struct rc_span frame, struct rc_operation_error *error)
{
    struct rest rest = {.at = frame.bytes + 1, .end = frame.bytes + frame.count};
    struct rc_span bytes;
    unsigned count = 0;

    while (rest.at < rest.end) {
        if (!span_take(&rest, &bytes)) {
            return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "the batch's lengths do not add up");
        }
        if (++count > RC_BATCH_MAX) {
            return rc_operation_fail(error, RC_CODE_TOO_LARGE, "a message holds at most %d operations", RC_BATCH_MAX);
        }
    }
    return 0;
}

int rc_native_binary_next(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    struct rc_span frame = reader->frame;
    struct rc_span bytes;
    struct rest rest;

    if (reader->ended) {
        return 0;
    }
    if (!reader->started) {
        reader->started = true;
        if (frame.count == 0 || frame.bytes[0] != RC_NATIVE_BINARY_BATCH) {
            reader->ended = true;
            return binary_operation_read(reader, frame, operation, error);
        }
        error->id = rc_span_of(NULL, 0);
        if (binary_batch_check(frame, error) < 0) {
            reader->ended = true;
            return -EBADMSG;
        }
        reader->at = 1;
    }
    rest = (struct rest){.at = frame.bytes + reader->at, .end = frame.bytes + frame.count};
    if (!span_take(&rest, &bytes)) {
        reader->ended = true;
        return 0;
    }
    reader->at = (size_t)(rest.at - frame.bytes);
    return binary_operation_read(reader, bytes, operation, error);
}

/* ------------------------------------------------------------------------------------------------------ encoding */

static inline uint8_t *put_varint(uint8_t *out, uint64_t number)
{
    while (number >= 0x80) {
        *out++ = (uint8_t)(number | 0x80);
        number >>= 7;
    }
    *out++ = (uint8_t)number;
    return out;
}

static inline uint8_t *binary_put(uint8_t *out, struct rc_span bytes)
{
    if (bytes.count != 0) {
        memcpy(out, bytes.bytes, bytes.count);
    }
    return out + bytes.count;
}

static inline uint8_t *put_counted(uint8_t *out, struct rc_span bytes)
{
    return binary_put(put_varint(out, bytes.count), bytes);
}

/* How an id token is written: a number that fits, a string that needs no escapes, or the token itself. */
static unsigned id_kind(struct rc_span id, uint64_t *number)
{
    struct rc_json_value value = {.raw = id, .type = RC_JSON_NUMBER};

    if (id.count == 0) {
        return RC_NATIVE_BINARY_ID_NONE;
    }
    if (id.bytes[0] == '"') {
        return memchr(id.bytes, '\\', id.count) == NULL ? RC_NATIVE_BINARY_ID_STRING : RC_NATIVE_BINARY_ID_JSON;
    }
    return rc_json_uint64(&value, number) == 0 ? RC_NATIVE_BINARY_ID_NUMBER : RC_NATIVE_BINARY_ID_JSON;
}

/* Type, flags and id: how every answer begins. */
static uint8_t *put_answer(uint8_t *out, enum rc_native_binary_type type, unsigned flags, struct rc_span id)
{
    uint64_t number = 0;
    unsigned kind = id_kind(id, &number);

    *out++ = (uint8_t)type;
    *out++ = (uint8_t)(flags | kind);
    switch (kind) {
    case RC_NATIVE_BINARY_ID_NUMBER:
        return put_varint(out, number);
    case RC_NATIVE_BINARY_ID_STRING:
        return put_counted(out, rc_span_of(id.bytes + 1, id.count - 2));
    case RC_NATIVE_BINARY_ID_JSON:
        return put_counted(out, id);
    default:
        return out;
    }
}

/* Lengths of ids are one or two bytes, and all but the first have a comma before them here. */
static size_t binary_members_bytes_max(const struct rc_presence_list *list)
{
    struct rc_span rest = list->entries;
    struct rc_query_entry entry;
    size_t bytes = 0;

    while (rc_query_entry_next(&rest, &entry)) {
        bytes += 4 * LENGTH_BYTES_MAX + entry.user.count + 3 * entry.instances.count;
    }
    return bytes;
}

static size_t binary_content_bytes_max(const struct rc_event *event)
{
    struct rc_args_view view;

    if (event->data_kind != RC_DATA_ARGS) {
        return event->data.count;
    }
    if (rc_args_read(event->data, &view) < 0) {
        return 1 + RC_SPAN("[]").count;
    }
    return LENGTH_BYTES_MAX * (1 + view.attachment_count) + view.attachments.count + view.json.count;
}

size_t rc_native_binary_event_bytes_max(const struct rc_event *event)
{
    const struct rc_welcome *welcome = event->welcome;

    switch (event->type) {
    case RC_EVENT_MESSAGE:
    case RC_EVENT_DIRECT:
        return 2 + VARINT_BYTES_MAX + 3 * LENGTH_BYTES_MAX + event->channel.count + event->from.count +
               event->event.count + (event->begins ? 1 + RC_HEX_BYTES_MAX : 0) + binary_content_bytes_max(event);
    case RC_EVENT_SUBSCRIBED:
        return 2 + 2 * VARINT_BYTES_MAX + event->id.count + LENGTH_BYTES_MAX + event->channel.count + 1 +
               RC_HEX_BYTES_MAX;
    case RC_EVENT_WELCOME:
        return 2 + 3 * VARINT_BYTES_MAX + 3 * LENGTH_BYTES_MAX + welcome->client.count + welcome->instance.count +
               welcome->user.count;
    case RC_EVENT_PUBLISHED:
        return 2 + 2 * VARINT_BYTES_MAX + event->id.count + LENGTH_BYTES_MAX + RC_HEX_BYTES_MAX;
    case RC_EVENT_ERROR:
        return 2 + VARINT_BYTES_MAX + event->id.count + VARINT_BYTES_MAX + 2 * LENGTH_BYTES_MAX + event->channel.count +
               strlen(rc_code_reason(event->code)) + event->message.count;
    case RC_EVENT_AUTHENTICATED:
    case RC_EVENT_REFRESHED:
        return 2 + VARINT_BYTES_MAX + event->id.count + LENGTH_BYTES_MAX + event->from.count;
    case RC_EVENT_PRESENCE:
        return 2 + VARINT_BYTES_MAX + event->id.count + LENGTH_BYTES_MAX + event->channel.count + 3 * VARINT_BYTES_MAX +
               binary_members_bytes_max(event->presence);
    default:
        return 2 + VARINT_BYTES_MAX + event->id.count + LENGTH_BYTES_MAX + event->channel.count;
    }
}

static uint8_t *binary_put_welcome(uint8_t *out, const struct rc_welcome *welcome)
{
    *out++ = RC_NATIVE_BINARY_WELCOME;
    *out++ = welcome->user.count != 0 ? RC_NATIVE_BINARY_USER : 0;
    out = put_varint(out, RC_NATIVE_VERSION);
    out = put_counted(out, welcome->client);
    out = put_counted(out, welcome->instance);
    out = put_varint(out, welcome->ping_interval_ms);
    out = put_varint(out, welcome->message_size_max);
    return welcome->user.count != 0 ? put_counted(out, welcome->user) : out;
}

static uint8_t *binary_put_epoch(uint8_t *out, uint64_t epoch)
{
    char text[RC_HEX_BYTES_MAX];

    return put_counted(out, rc_span_of(text, (size_t)(rc_hex_write(text, epoch) - text)));
}

/* Where it stands in the channel's history, if it has one. */
static uint8_t *binary_put_place(uint8_t *out, const struct rc_event *event)
{
    return event->epoch == 0 ? out : put_varint(binary_put_epoch(out, event->epoch), event->offset);
}

static uint8_t *binary_put_error(uint8_t *out, const struct rc_event *event)
{
    unsigned flags = event->channel.count != 0 ? RC_NATIVE_BINARY_CHANNEL : 0;

    out = put_answer(out, RC_NATIVE_BINARY_ERROR, flags, event->id);
    out = put_varint(out, (uint64_t)event->code);
    out = put_counted(out, rc_span_text(rc_code_reason(event->code)));
    if (event->channel.count != 0) {
        out = put_counted(out, event->channel);
    }
    return binary_put(out, event->message);
}

static uint8_t *binary_put_presence(uint8_t *out, const struct rc_event *event)
{
    const struct rc_presence_list *list = event->presence;
    unsigned flags = (event->local ? (unsigned)RC_NATIVE_BINARY_LOCAL : 0U) |
                     ((list->answer.flags & RC_QUERY_MORE) != 0 ? (unsigned)RC_NATIVE_BINARY_MORE : 0U);
    struct rc_span rest = list->entries;
    struct rc_query_entry entry;
    struct rc_span id;

    out = put_answer(out, RC_NATIVE_BINARY_PRESENT, flags, event->id);
    out = put_counted(out, event->channel);
    out = put_varint(out, list->answer.clients);
    out = put_varint(out, list->answer.users);
    out = put_varint(out, list->answer.count);
    while (rc_query_entry_next(&rest, &entry)) {
        struct rc_span ids = entry.instances;
        uint64_t count = 0;

        while (rc_query_instance_of(&ids, &id)) {
            count++;
        }
        out = put_counted(out, entry.user);
        out = put_varint(out, entry.clients);
        out = put_varint(out, count);
        while (rc_query_instance_of(&entry.instances, &id)) {
            out = put_counted(out, id);
        }
    }
    return out;
}

/* Arguments that are not laid out as such, out of another process's memory, are none. */
static uint8_t *binary_put_args(uint8_t *out, struct rc_span data)
{
    struct rc_args_view view;
    struct rc_span attachment;
    uint32_t index = 0;
    size_t offset = 0;

    if (rc_args_read(data, &view) < 0) {
        return binary_put(put_varint(out, 0), RC_SPAN("[]"));
    }
    out = put_varint(out, view.attachment_count);
    while (rc_args_next(&view, &index, &offset, &attachment)) {
        out = put_counted(out, attachment);
    }
    return binary_put(out, view.json);
}

static uint8_t *binary_put_subscribed(uint8_t *out, const struct rc_event *event)
{
    unsigned flags = (event->local ? (unsigned)RC_NATIVE_BINARY_LOCAL : 0U) |
                     (event->epoch != 0 ? (unsigned)RC_NATIVE_BINARY_PLACE : 0U) |
                     (event->recovery == RC_RECOVERED ? (unsigned)RC_NATIVE_BINARY_RECOVERED : 0U) |
                     (event->recovery == RC_NOT_RECOVERED ? (unsigned)RC_NATIVE_BINARY_NOT_RECOVERED : 0U);

    out = put_answer(out, RC_NATIVE_BINARY_SUBSCRIBED, flags, event->id);
    out = put_counted(out, event->channel);
    return binary_put_place(out, event);
}

static uint8_t *binary_put_delivery(uint8_t *out, const struct rc_event *event)
{
    unsigned flags = (event->data_kind == RC_DATA_BINARY ? (unsigned)RC_NATIVE_BINARY_DATA_BINARY : 0U) |
                     (event->data_kind == RC_DATA_ARGS ? (unsigned)RC_NATIVE_BINARY_HAS_ARGS : 0U) |
                     (event->event.count != 0 ? (unsigned)RC_NATIVE_BINARY_EVENT : 0U) |
                     (event->from.count != 0 ? (unsigned)RC_NATIVE_BINARY_FROM : 0U) |
                     (event->retained ? (unsigned)RC_NATIVE_BINARY_RETAINED : 0U) |
                     (event->offset != 0 && event->begins ? (unsigned)RC_NATIVE_BINARY_BEGINS : 0U);

    *out++ = event->offset != 0                ? RC_NATIVE_BINARY_KEPT
             : event->type == RC_EVENT_MESSAGE ? RC_NATIVE_BINARY_MESSAGE
                                               : RC_NATIVE_BINARY_DIRECTED;
    *out++ = (uint8_t)flags;
    if (event->offset != 0) {
        out = put_varint(out, event->offset);
        if (event->begins) {
            out = binary_put_epoch(out, event->epoch);
        }
    }
    if (event->type == RC_EVENT_MESSAGE) {
        out = put_counted(out, event->channel);
    }
    if (event->from.count != 0) {
        out = put_counted(out, event->from);
    }
    if (event->event.count != 0) {
        out = put_counted(out, event->event);
    }
    return event->data_kind == RC_DATA_ARGS ? binary_put_args(out, event->data) : binary_put(out, event->data);
}

size_t rc_native_binary_event_encode(const struct rc_event *event, uint8_t *out)
{
    uint8_t *begin = out;

    switch (event->type) {
    case RC_EVENT_MESSAGE:
    case RC_EVENT_DIRECT:
        out = binary_put_delivery(out, event);
        break;
    case RC_EVENT_WELCOME:
        out = binary_put_welcome(out, event->welcome);
        break;
    case RC_EVENT_SUBSCRIBED:
        out = binary_put_subscribed(out, event);
        break;
    case RC_EVENT_UNSUBSCRIBED:
        out = put_answer(out, RC_NATIVE_BINARY_UNSUBSCRIBED, 0, event->id);
        out = put_counted(out, event->channel);
        break;
    case RC_EVENT_PUBLISHED:
        out = put_answer(out, RC_NATIVE_BINARY_PUBLISHED, event->offset != 0 ? RC_NATIVE_BINARY_PLACE : 0, event->id);
        out = binary_put_place(out, event);
        break;
    case RC_EVENT_BROADCASTED:
        out = put_answer(out, RC_NATIVE_BINARY_BROADCASTED, 0, event->id);
        break;
    case RC_EVENT_SENT:
        out = put_answer(out, RC_NATIVE_BINARY_SENT, 0, event->id);
        break;
    case RC_EVENT_PONG:
        out = put_answer(out, RC_NATIVE_BINARY_PONG, 0, event->id);
        break;
    case RC_EVENT_AUTHENTICATED:
        out = put_answer(out, RC_NATIVE_BINARY_AUTHENTICATED, 0, event->id);
        out = put_counted(out, event->from);
        break;
    case RC_EVENT_REFRESHED:
        out = put_answer(out, RC_NATIVE_BINARY_REFRESHED, 0, event->id);
        out = put_counted(out, event->from);
        break;
    case RC_EVENT_PRESENCE:
        out = binary_put_presence(out, event);
        break;
    case RC_EVENT_ERROR:
        out = binary_put_error(out, event);
        break;
    case RC_EVENT_GAP:
        *out++ = RC_NATIVE_BINARY_GAP;
        *out++ = 0;
        out = put_counted(out, event->channel);
        break;
    case RC_EVENT_HISTORY: /* is JSON in any case */
    case RC_EVENT_CONNECTED:
    case RC_EVENT_CONNECT_ERROR:
    case RC_EVENT_DISCONNECTED:
    case RC_EVENT_ACK:
    case RC_EVENT_ECHO: /* the codec does not say it */
        break;
    }
    return (size_t)(out - begin);
}
