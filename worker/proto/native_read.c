/*
 * native_read: operations of the native protocol in its JSON form. See native.h.
 *
 * A single operation is read in one pass. A batch is scanned twice: first as a whole, so that nothing of a broken or
 * too big one is carried out, then element by element.
 */
#include "worker/proto/native.h"

#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "common/records/envelope.h"
#include "worker/proto/native_content.h"
#include "worker/proto/native_binary.h"

#include <assert.h>
#include <errno.h>

static_assert(RC_CHANNEL_BYTES_MAX == RC_CHANNEL_NAME_MAX, "channel names as configured and as carried");
static_assert(RC_REQUEST_ID_TOKEN_BYTES_MAX == RC_REQUEST_ID_MAX, "request ids as carried to the relay and back");
static_assert(RC_KEY_BYTES_MAX == RC_MESSAGE_KEY_MAX, "keys as carried to the relay");
static_assert(RC_EVENT_BYTES_MAX == RC_EVENT_NAME_MAX, "events as carried");
static_assert(RC_CLIENT_ID_BYTES_MAX >= RC_CLIENT_ID_MAX, "client ids of this and other instances");

/* The members that mean something. Others are skipped. */
enum member {
    MEMBER_TYPE,
    MEMBER_ID,
    MEMBER_CHANNEL,
    MEMBER_DATA,
    MEMBER_TO,
    MEMBER_ECHO,
    MEMBER_EXCLUDE,
    MEMBER_LIMIT,
    MEMBER_KEY,
    MEMBER_EVENT,
    MEMBER_ARGS,
    MEMBER_RETAIN,
    MEMBER_RETAINED,
    MEMBER_SINCE,
    MEMBER_RECOVER,
    MEMBER_DELTA,
    MEMBER_CLIENT,
    MEMBER_SNAPSHOT,
    MEMBER_PRESENCE,
    MEMBER_COUNT,
};

#define MEMBER_NAME_BYTES_MAX 8

static const struct rc_span member_names[MEMBER_COUNT] = {
    [MEMBER_TYPE] = {(const uint8_t *)"type", 4},
    [MEMBER_ID] = {(const uint8_t *)"id", 2},
    [MEMBER_CHANNEL] = {(const uint8_t *)"channel", 7},
    [MEMBER_DATA] = {(const uint8_t *)"data", 4},
    [MEMBER_TO] = {(const uint8_t *)"to", 2},
    [MEMBER_ECHO] = {(const uint8_t *)"echo", 4},
    [MEMBER_EXCLUDE] = {(const uint8_t *)"exclude", 7},
    [MEMBER_LIMIT] = {(const uint8_t *)"limit", 5},
    [MEMBER_KEY] = {(const uint8_t *)"key", 3},
    [MEMBER_EVENT] = {(const uint8_t *)"event", 5},
    [MEMBER_ARGS] = {(const uint8_t *)"args", 4},
    [MEMBER_RETAIN] = {(const uint8_t *)"retain", 6},
    [MEMBER_RETAINED] = {(const uint8_t *)"retained", 8},
    [MEMBER_SINCE] = {(const uint8_t *)"since", 5},
    [MEMBER_RECOVER] = {(const uint8_t *)"recover", 7},
    [MEMBER_DELTA] = {(const uint8_t *)"delta", 5},
    [MEMBER_CLIENT] = {(const uint8_t *)"client", 6},
    [MEMBER_SNAPSHOT] = {(const uint8_t *)"snapshot", 8},
    [MEMBER_PRESENCE] = {(const uint8_t *)"presence", 8},
};

#define BIT(member) (1U << (member))

#define MESSAGE_OPTIONAL (BIT(MEMBER_EVENT) | BIT(MEMBER_ARGS))

/* What each operation takes; members that it does not take are skipped like unknown ones. Args stand in the place of data. */
static const struct {
    const char *name;
    enum rc_operation_type type;
    unsigned required;
    unsigned optional;
} operations[] = {
    {"publish", RC_OPERATION_PUBLISH, BIT(MEMBER_CHANNEL) | BIT(MEMBER_DATA),
     BIT(MEMBER_ECHO) | BIT(MEMBER_EXCLUDE) | BIT(MEMBER_KEY) | BIT(MEMBER_RETAIN) | MESSAGE_OPTIONAL},
    {"subscribe", RC_OPERATION_SUBSCRIBE, BIT(MEMBER_CHANNEL),
     BIT(MEMBER_RETAINED) | BIT(MEMBER_SINCE) | BIT(MEMBER_RECOVER) | BIT(MEMBER_DELTA) | BIT(MEMBER_CLIENT) |
         BIT(MEMBER_SNAPSHOT) | BIT(MEMBER_PRESENCE)},
    {"unsubscribe", RC_OPERATION_UNSUBSCRIBE, BIT(MEMBER_CHANNEL), 0},
    {"broadcast", RC_OPERATION_BROADCAST, BIT(MEMBER_DATA), BIT(MEMBER_ECHO) | BIT(MEMBER_EXCLUDE) | MESSAGE_OPTIONAL},
    {"direct", RC_OPERATION_DIRECT, BIT(MEMBER_TO) | BIT(MEMBER_DATA), MESSAGE_OPTIONAL},
    {"ping", RC_OPERATION_PING, 0, 0},
    {"auth", RC_OPERATION_AUTH, 0, 0}, /* its members are the configuration's to name: data is the whole object */
    {"refresh", RC_OPERATION_REFRESH, 0, 0},
    {"presence", RC_OPERATION_PRESENCE, BIT(MEMBER_CHANNEL), BIT(MEMBER_LIMIT)},
    {"history", RC_OPERATION_HISTORY, BIT(MEMBER_CHANNEL), BIT(MEMBER_LIMIT) | BIT(MEMBER_SINCE) | BIT(MEMBER_CLIENT)},
};

#define TYPE_NAME_BYTES_MAX 16

/* What the scanner found wrong, and where in the message. */
static int fail_scan(struct rc_operation_error *error, int scan_error, size_t offset)
{
    switch (scan_error) {
    case -EOVERFLOW:
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "JSON is nested deeper than %d at byte %zu",
                                 RC_JSON_DEPTH_MAX, offset);
    case -EILSEQ:
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "text is not UTF-8 at byte %zu", offset);
    default:
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "JSON is broken at byte %zu", offset);
    }
}

static enum member member_find(const struct rc_json_value *name)
{
    uint8_t scratch[MEMBER_NAME_BYTES_MAX];
    struct rc_span text;

    if (rc_json_string_decode(name, scratch, sizeof(scratch), &text) < 0) {
        return MEMBER_COUNT; /* too long for any of them, or no text at all */
    }
    for (int member = 0; member < MEMBER_COUNT; member++) {
        if (rc_span_equal(text, member_names[member])) {
            return (enum member)member;
        }
    }
    return MEMBER_COUNT;
}

/* Finds the known members of one object. A member that occurs twice is an error, not a choice between the two: whoever
 * filters in front of the broker might choose the other one. It is reported after the object has been read, so that a
 * broken object is called that, and the id, if there is one and only one, is known. */
static int members_read(struct rc_span text, struct rc_json_value members[MEMBER_COUNT],
                        struct rc_operation_error *error)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name, value;
    enum member twice = MEMBER_COUNT;
    int got;

    for (int member = 0; member < MEMBER_COUNT; member++) {
        members[member].type = RC_JSON_NONE;
    }
    got = rc_json_object_begin(&cursor, text, 0);
    while (got >= 0 && (got = rc_json_object_next(&cursor, &name, &value)) == 1) {
        enum member member = member_find(&name);

        if (member == MEMBER_COUNT) {
            continue;
        }
        if (members[member].type == RC_JSON_NONE) {
            members[member] = value;
        } else if (twice != MEMBER_ID) {
            twice = member;
        }
    }
    if (twice == MEMBER_ID) {
        members[MEMBER_ID].type = RC_JSON_NONE;
    }
    if (got < 0) {
        return fail_scan(error, got, rc_json_offset(&cursor));
    }
    if (twice != MEMBER_COUNT) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s is there twice",
                                 (const char *)member_names[twice].bytes);
    }
    return 0;
}

/* The token as it was sent. An id that cannot be echoed is none. */
static int id_take(const struct rc_json_value *value, struct rc_span *id, struct rc_operation_error *error)
{
    size_t bytes_max = value->type == RC_JSON_STRING ? RC_REQUEST_ID_TOKEN_BYTES_MAX : RC_REQUEST_ID_BYTES_MAX;

    if (value->type == RC_JSON_NONE) {
        return 0;
    }
    if (value->type != RC_JSON_NUMBER && value->type != RC_JSON_STRING) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id must be a number or a string");
    }
    if (value->raw.count > bytes_max) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "id is longer than %d bytes", RC_REQUEST_ID_BYTES_MAX);
    }
    *id = value->raw;
    return 0;
}

/* A string of 1 to bytes_max bytes, unescaped into the scratch area where it must be. */
static int string_take(struct rc_reader *reader, const struct rc_json_value *value, const char *name, size_t bytes_max,
                       struct rc_span *out, struct rc_operation_error *error)
{
    uint8_t *scratch = reader->scratch->bytes + reader->scratch_used;

    RC_ASSERT_HOT(reader->scratch_used + bytes_max <= sizeof(reader->scratch->bytes));
    switch (rc_json_string_decode(value, scratch, bytes_max, out)) {
    case 0:
        break;
    case -EMSGSIZE:
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s is longer than %zu bytes", name, bytes_max);
    case -EILSEQ:
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s has half of a surrogate pair", name);
    default:
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s must be a string", name);
    }
    if (out->count == 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s is empty", name);
    }
    if (out->bytes == scratch) {
        reader->scratch_used += out->count;
    }
    return 0;
}

static int channel_take(struct rc_reader *reader, const struct rc_json_value *value, struct rc_operation *operation,
                        struct rc_operation_error *error)
{
    int failed = string_take(reader, value, "channel", RC_CHANNEL_BYTES_MAX, &operation->channel, error);

    if (failed < 0) {
        return failed;
    }
    if (rc_channel_name_check((const char *)operation->channel.bytes, operation->channel.count, RC_CHANNEL_BYTES_MAX) <
        0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "channel has a control character");
    }
    return 0;
}

static int exclude_take(struct rc_reader *reader, const struct rc_json_value *value, struct rc_operation *operation,
                        struct rc_operation_error *error)
{
    struct rc_json_cursor cursor;
    struct rc_json_value element;

    if (value->type != RC_JSON_ARRAY) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "exclude must be an array of client ids");
    }
    (void)rc_json_array_begin(&cursor, value->raw, 0); /* the value has been scanned: neither call can fail */
    while (rc_json_array_next(&cursor, &element) == 1) {
        int failed;

        if (operation->exclude_count == RC_EXCLUDE_MAX) {
            return rc_operation_fail(error, RC_CODE_TOO_LARGE, "exclude has more than %d client ids", RC_EXCLUDE_MAX);
        }
        failed = string_take(reader, &element, "a client id in exclude", RC_CLIENT_ID_BYTES_MAX,
                             &operation->exclude[operation->exclude_count], error);
        if (failed < 0) {
            return failed;
        }
        operation->exclude_count++;
    }
    return 0;
}

static int limit_take(const struct rc_json_value *value, struct rc_operation *operation,
                      struct rc_operation_error *error)
{
    uint64_t limit;

    if (rc_json_uint64(value, &limit) < 0 || limit == 0 || limit > UINT32_MAX) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "limit must be a whole number from 1 to %u", UINT32_MAX);
    }
    operation->limit = (uint32_t)limit;
    return 0;
}

static int offset_take(const struct rc_json_value *value, const char *name, struct rc_operation *operation,
                       struct rc_operation_error *error)
{
    return rc_json_uint64(value, &operation->since) < 0 || operation->since > RC_OFFSET_MAX
               ? rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s must be a whole number", name)
               : 0;
}

/* History: an offset. Subscribe: "last 5". */
static int since_take(const struct rc_json_value *value, struct rc_operation *operation,
                      struct rc_operation_error *error)
{
    const struct rc_span text = value->raw;
    const size_t before = RC_SPAN("\"last ").count;
    struct rc_json_value number = {.type = RC_JSON_NUMBER};
    uint64_t count;

    if (operation->type != RC_OPERATION_SUBSCRIBE) {
        operation->has_since = true;
        return offset_take(value, "since", operation, error);
    }
    if (value->type == RC_JSON_STRING && text.count > before + 1 && memcmp(text.bytes, "\"last ", before) == 0) {
        number.raw = rc_span_of(text.bytes + before, text.count - before - 1);
        if (number.raw.bytes[0] >= '1' && number.raw.bytes[0] <= '9' && rc_json_uint64(&number, &count) == 0 &&
            count <= UINT32_MAX) {
            operation->limit = (uint32_t)count;
            return 0;
        }
    }
    return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "since must be \"last N\", N from 1 to %u; offsets: recover",
                             UINT32_MAX);
}

/* {"epoch":"5f","offset":7,"client":"web1~x"}: the first two must be there. */
static int recover_take(struct rc_reader *reader, const struct rc_json_value *value, struct rc_operation *operation,
                        struct rc_operation_error *error)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name, member;
    struct rc_json_value epoch = {.type = RC_JSON_NONE}, offset = epoch, client = epoch;
    bool twice = false;
    int failed;

    if (value->type != RC_JSON_OBJECT) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "recover must be an object with epoch and offset");
    }
    (void)rc_json_object_begin(&cursor, value->raw, 0); /* the value has been scanned: neither call can fail */
    while (rc_json_object_next(&cursor, &name, &member) == 1) {
        struct rc_json_value *its = rc_json_string_is(&name, RC_SPAN("epoch"))    ? &epoch
                                    : rc_json_string_is(&name, RC_SPAN("offset")) ? &offset
                                    : rc_json_string_is(&name, RC_SPAN("client")) ? &client
                                                                                  : NULL;
        if (its != NULL) {
            twice |= its->type != RC_JSON_NONE;
            *its = member;
        }
    }
    if (twice) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "recover has a member twice");
    }
    operation->recovers = true;
    failed = string_take(reader, &epoch, "recover.epoch", RC_EPOCH_BYTES_MAX, &operation->epoch, error);
    if (failed == 0) {
        failed = offset_take(&offset, "recover.offset", operation, error);
    }
    if (failed == 0 && client.type != RC_JSON_NONE) {
        failed = string_take(reader, &client, "recover.client", RC_CLIENT_ID_BYTES_MAX, &operation->former, error);
    }
    return failed;
}

static int event_take(struct rc_reader *reader, const struct rc_json_value *value, struct rc_operation *operation,
                      struct rc_operation_error *error)
{
    int failed = string_take(reader, value, "event", RC_EVENT_BYTES_MAX, &operation->event, error);

    return failed < 0 ? failed : rc_native_event_check(operation->event, error);
}

static int args_take(struct rc_reader *reader, const struct rc_json_value *value, struct rc_operation *operation,
                     struct rc_operation_error *error)
{
    if (value->type != RC_JSON_ARRAY) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "args must be an array");
    }
    if (operation->data.count != 0) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "there can be only one of data and args");
    }
    rc_native_args_take(reader, value->raw, NULL, 0, operation);
    return 0;
}

static int boolean_take(const struct rc_json_value *value, enum member member, bool *out,
                        struct rc_operation_error *error)
{
    if (value->type != RC_JSON_TRUE && value->type != RC_JSON_FALSE) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s must be true or false",
                                 (const char *)member_names[member].bytes);
    }
    *out = value->type == RC_JSON_TRUE;
    return 0;
}

/* The one format that there is. */
static int delta_take(const struct rc_json_value *value, struct rc_operation *operation,
                      struct rc_operation_error *error)
{
    uint8_t scratch[MEMBER_NAME_BYTES_MAX];
    struct rc_span format;

    if (rc_json_string_decode(value, scratch, sizeof(scratch), &format) != 0 ||
        !rc_span_equal(format, RC_SPAN("fossil"))) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "delta must be \"fossil\"");
    }
    operation->delta = true;
    return 0;
}

static int member_take(struct rc_reader *reader, enum member member, const struct rc_json_value *value,
                       struct rc_operation *operation, struct rc_operation_error *error)
{
    switch (member) {
    case MEMBER_CHANNEL:
        return channel_take(reader, value, operation, error);
    case MEMBER_DATA:
        operation->data = value->raw;
        return 0;
    case MEMBER_TO:
        return string_take(reader, value, "to", RC_CLIENT_ID_BYTES_MAX, &operation->to, error);
    case MEMBER_ECHO:
        return boolean_take(value, member, &operation->echo, error);
    case MEMBER_RETAIN:
        return boolean_take(value, member, &operation->retain, error);
    case MEMBER_RETAINED:
        return boolean_take(value, member, &operation->retained, error);
    case MEMBER_SNAPSHOT:
        return boolean_take(value, member, &operation->snapshot, error);
    case MEMBER_PRESENCE:
        return boolean_take(value, member, &operation->presence, error);
    case MEMBER_EXCLUDE:
        return exclude_take(reader, value, operation, error);
    case MEMBER_KEY:
        return string_take(reader, value, "key", RC_KEY_BYTES_MAX, &operation->key, error);
    case MEMBER_DELTA:
        return delta_take(value, operation, error);
    case MEMBER_SINCE:
        return since_take(value, operation, error);
    case MEMBER_RECOVER:
        return recover_take(reader, value, operation, error);
    case MEMBER_CLIENT:
        return string_take(reader, value, "client", RC_CLIENT_ID_BYTES_MAX, &operation->former, error);
    case MEMBER_LIMIT:
        return limit_take(value, operation, error);
    case MEMBER_EVENT:
        return event_take(reader, value, operation, error);
    case MEMBER_ARGS:
        return args_take(reader, value, operation, error);
    default:
        return 0;
    }
}

/* The operation's place in the table, or -EBADMSG. */
static int type_find(const struct rc_json_value *value, struct rc_operation_error *error)
{
    uint8_t scratch[TYPE_NAME_BYTES_MAX];
    struct rc_span name;
    int failed;

    if (value->type == RC_JSON_NONE) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "type is missing");
    }
    failed = rc_json_string_decode(value, scratch, sizeof(scratch), &name);
    if (failed == -EINVAL) {
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "type must be a string");
    }
    for (size_t index = 0; failed == 0 && index < RC_ARRAY_COUNT(operations); index++) {
        if (rc_span_equal(name, rc_span_text(operations[index].name))) {
            return (int)index;
        }
    }
    return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "type is not one of the operations");
}

/* One object. 1 or -EBADMSG. */
static int operation_read(struct rc_reader *reader, struct rc_span text, struct rc_operation *operation,
                          struct rc_operation_error *error)
{
    struct rc_json_value members[MEMBER_COUNT];
    int failed, index;

    reader->scratch_used = 0;
    rc_operation_reset(operation);
    error->id = rc_span_of(NULL, 0);
    failed = members_read(text, members, error);
    if (failed < 0) {
        struct rc_operation_error unused;

        (void)id_take(&members[MEMBER_ID], &error->id, &unused);
        return failed;
    }
    failed = id_take(&members[MEMBER_ID], &error->id, error);
    if (failed < 0) {
        return failed;
    }
    operation->id = error->id;
    index = type_find(&members[MEMBER_TYPE], error);
    if (index < 0) {
        return index;
    }
    operation->type = operations[index].type;
    if (operation->type == RC_OPERATION_AUTH || operation->type == RC_OPERATION_REFRESH) {
        operation->data = text;
    }

    for (int member = 0; member < MEMBER_COUNT; member++) {
        if (members[member].type != RC_JSON_NONE) {
            if (((operations[index].required | operations[index].optional) & BIT(member)) == 0) {
                continue;
            }
            failed = member_take(reader, (enum member)member, &members[member], operation, error);
            if (failed < 0) {
                return failed;
            }
        } else if ((operations[index].required & BIT(member)) != 0 &&
                   !(member == MEMBER_DATA && members[MEMBER_ARGS].type != RC_JSON_NONE)) {
            return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "%s needs %s", operations[index].name,
                                     (const char *)member_names[member].bytes);
        }
    }
    return 1;
}

/* Scans a whole batch before anything of it is given out. 0 or -EBADMSG. */
static int batch_check(struct rc_reader *reader, struct rc_operation_error *error)
{
    struct rc_json_value element;
    unsigned count = 0;
    int got = rc_json_array_begin(&reader->elements, reader->frame, 0);

    while (got >= 0 && (got = rc_json_array_next(&reader->elements, &element)) == 1) {
        count++;
    }
    if (got < 0) {
        return fail_scan(error, got, rc_json_offset(&reader->elements));
    }
    if (count > RC_BATCH_MAX) {
        return rc_operation_fail(error, RC_CODE_TOO_LARGE, "a message holds at most %d operations", RC_BATCH_MAX);
    }
    return rc_json_array_begin(&reader->elements, reader->frame, 0);
}

static int batch_next(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    struct rc_json_value element;

    if (rc_json_array_next(&reader->elements, &element) != 1) {
        reader->ended = true;
        return 0;
    }
    if (element.type != RC_JSON_OBJECT) {
        error->id = rc_span_of(NULL, 0);
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "an operation must be a JSON object");
    }
    return operation_read(reader, element.raw, operation, error);
}

int rc_native_decode(struct rc_reader *reader, struct rc_operation *operation, struct rc_operation_error *error)
{
    struct rc_json_value value;
    size_t offset;
    int failed;

    if (reader->kind == RC_PART_BINARY) {
        return rc_native_binary_next(reader, operation, error);
    }
    if (reader->ended) {
        return 0;
    }
    if (reader->started) {
        return batch_next(reader, operation, error);
    }

    reader->started = true;
    switch (rc_json_peek(reader->frame)) {
    case RC_JSON_OBJECT:
        reader->ended = true;
        return operation_read(reader, reader->frame, operation, error);
    case RC_JSON_ARRAY:
        error->id = rc_span_of(NULL, 0);
        failed = batch_check(reader, error);
        if (failed == 0) {
            return batch_next(reader, operation, error);
        }
        reader->ended = true;
        return failed;
    default:
        reader->ended = true;
        error->id = rc_span_of(NULL, 0);
        failed = rc_json_scan(reader->frame, 0, &value, &offset);
        if (failed < 0) {
            return fail_scan(error, failed, offset);
        }
        return rc_operation_fail(error, RC_CODE_BAD_REQUEST, "a message must be a JSON object or an array of them");
    }
}
