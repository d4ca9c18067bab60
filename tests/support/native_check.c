/*
 * native_check: see native_check.h.
 */
#include "tests/support/native_check.h"

#include "common/records/args.h"
#include "common/records/channel_name.h"
#include "common/base/check.h"
#include "tests/support/native_codec.h"

#include <errno.h>
#include <stdlib.h>

#define RC_TEST_FRAME_MAX (1u << 20) /* longer ones are not looked at */

/* Everything that one decoding needs, and a reader's own copy for what is written again. */
struct decoding {
    struct rc_reader reader;
    struct rc_operation_scratch scratch;
    struct rc_operation operation;
    struct rc_operation_error error;
    uint8_t room[RC_ARGS_BEFORE_MAX + RC_TEST_OPERATION_ROOM + RC_TEST_FRAME_MAX];
};

static void begin(struct decoding *decoding, enum rc_native_form form, struct rc_span frame)
{
    rc_reader_begin(&decoding->reader, &rc_codec_json, form == RC_NATIVE_BINARY ? RC_PART_BINARY : RC_PART_TEXT, frame,
                    &decoding->scratch, NULL);
    RC_ASSERT(rc_codec_json.room_bytes_max(frame.count) <= sizeof(decoding->room));
    rc_reader_give_room(&decoding->reader, decoding->room, rc_codec_json.room_bytes_max(frame.count));
}

static bool inside(struct rc_span span, struct rc_span area)
{
    return span.count == 0 || (span.bytes >= area.bytes && span.bytes + span.count <= area.bytes + area.count);
}

static void check_span(const struct decoding *decoding, struct rc_span frame, struct rc_span span)
{
    struct rc_span scratch = rc_span_of(decoding->scratch.bytes, sizeof(decoding->scratch.bytes));

    RC_ASSERT(inside(span, frame) || inside(span, scratch));
}

static void check_id(const struct decoding *decoding, struct rc_span frame, struct rc_span id)
{
    struct rc_json_value value;

    check_span(decoding, frame, id);
    RC_ASSERT(id.count <= RC_REQUEST_ID_TOKEN_BYTES_MAX);
    if (id.count != 0) {
        RC_ASSERT(rc_json_scan(id, 0, &value, NULL) == 0 && value.raw.count == id.count);
        RC_ASSERT(value.type == RC_JSON_NUMBER || value.type == RC_JSON_STRING);
    }
}

static void check_operation(const struct decoding *decoding, struct rc_span frame)
{
    const struct rc_operation *operation = &decoding->operation;
    struct rc_json_value value;

    check_id(decoding, frame, operation->id);
    check_span(decoding, frame, operation->channel);
    check_span(decoding, frame, operation->to);
    check_span(decoding, frame, operation->event);
    RC_ASSERT(operation->event.count <= RC_EVENT_BYTES_MAX);
    RC_ASSERT(inside(operation->data, operation->data_kind == RC_DATA_ARGS
                                          ? rc_span_of(decoding->room, sizeof(decoding->room))
                                          : frame));
    RC_ASSERT(operation->channel.count == 0 ||
              rc_channel_name_check((const char *)operation->channel.bytes, operation->channel.count,
                                    RC_CHANNEL_BYTES_MAX) == 0);
    RC_ASSERT(operation->to.count <= RC_CLIENT_ID_BYTES_MAX);
    RC_ASSERT(operation->exclude_count <= RC_EXCLUDE_MAX);
    for (uint32_t index = 0; index < operation->exclude_count; index++) {
        check_span(decoding, frame, operation->exclude[index]);
        RC_ASSERT(operation->exclude[index].count >= 1 && operation->exclude[index].count <= RC_CLIENT_ID_BYTES_MAX);
    }
    switch (operation->type) {
    case RC_OPERATION_PUBLISH:
    case RC_OPERATION_BROADCAST:
    case RC_OPERATION_DIRECT:
        if (operation->data_kind == RC_DATA_ARGS) {
            struct rc_args_view view;

            RC_ASSERT(rc_args_read(operation->data, &view) == 0);
            RC_ASSERT(rc_json_scan(view.json, 0, &value, NULL) == 0 && value.type == RC_JSON_ARRAY);
        } else {
            RC_ASSERT(operation->data_kind == RC_DATA_BINARY || rc_json_scan(operation->data, 0, &value, NULL) == 0);
        }
        break;
    default:
        RC_ASSERT(operation->data.count == 0 && operation->data_kind == RC_DATA_JSON);
        break;
    }
    RC_ASSERT((operation->type == RC_OPERATION_DIRECT) == (operation->to.count != 0));
}

/* Reads one message that holds one operation. */
static int read_again(struct decoding *decoding, enum rc_native_form form, struct rc_span frame)
{
    begin(decoding, form, frame);
    return rc_reader_next(&decoding->reader, &decoding->operation, &decoding->error);
}

static void check_written_again(const struct rc_operation *operation, uint8_t *room)
{
    static struct decoding again;
    struct rc_operation plain = *operation;
    struct rc_args_view view;
    struct rc_json_value value;

    RC_ASSERT(read_again(&again, RC_NATIVE_BINARY, rc_span_of(room, rc_test_operation_binary(operation, room))) == 1);
    RC_ASSERT(rc_test_operation_equal(&again.operation, operation));
    if (operation->data_kind == RC_DATA_BINARY ||
        (operation->data_kind == RC_DATA_ARGS &&
         (rc_args_read(operation->data, &view) < 0 || view.attachment_count > 0))) {
        return;
    }
    /* JSON form: white space around data is no part of it, and the object around it takes one level of depth. */
    if (plain.data.count != 0 && plain.data_kind == RC_DATA_JSON) {
        RC_ASSERT(rc_json_scan(plain.data, 0, &value, NULL) == 0);
        plain.data = value.raw;
    }
    if (read_again(&again, RC_NATIVE_JSON, rc_span_of(room, rc_test_operation_json(&plain, room))) != 1) {
        RC_ASSERT(strstr(again.error.message, "nested deeper") != NULL);
    } else {
        RC_ASSERT(rc_test_operation_equal(&again.operation, &plain));
    }
}

static void check_event(const struct rc_event *event)
{
    for (int form = RC_NATIVE_JSON; form <= RC_NATIVE_BINARY; form++) {
        size_t bytes_max = rc_native_event_bytes_max((enum rc_native_form)form, event);
        uint8_t *out = malloc(bytes_max);
        size_t count;

        RC_ASSERT(out != NULL);
        count = rc_native_event_encode((enum rc_native_form)form, event, out);
        RC_ASSERT(count <= bytes_max);
        if (rc_native_event_form((enum rc_native_form)form, event) == RC_NATIVE_JSON) {
            struct rc_json_value value;
            int result = rc_json_scan(rc_span_of(out, count), RC_JSON_CHECK_UTF8, &value, NULL);

            RC_ASSERT(result == 0 || result == -EOVERFLOW);
        } else {
            struct rc_test_event read;

            RC_ASSERT(rc_test_event_read(rc_span_of(out, count), &read));
            if (event->type == RC_EVENT_MESSAGE) {
                RC_ASSERT(rc_span_equal(read.channel, event->channel) && rc_span_equal(read.from, event->from));
                RC_ASSERT(rc_span_equal(read.event, event->event));
                RC_ASSERT(event->data_kind == RC_DATA_ARGS || rc_span_equal(read.rest, event->data));
            }
        }
        free(out);
    }
}

/* Events of every type with the operation's parts in them. */
static void check_events(const struct rc_operation *operation)
{
    /* As the relay tells it: any text as user and as instances. */
    static uint8_t entries[RC_QUERY_BYTES_MAX];
    const struct rc_query_entry entry = {.clients = operation->limit,
                                         .user = operation->channel,
                                         .instances =
                                             operation->exclude_count != 0 ? operation->exclude[0] : operation->to};
    struct rc_presence_list list = {.answer = {.clients = operation->limit, .users = UINT64_MAX, .count = 2}};
    uint32_t used = rc_query_entry_put(entries, 0, sizeof(entries), &entry);

    used = rc_query_entry_put(entries, used, sizeof(entries), &entry);
    list.entries = rc_span_of(entries, used);
    struct rc_event event = {.data_kind = operation->data_kind,
                             .presence = &list,
                             .code = RC_CODE_FORBIDDEN,
                             .local = operation->echo,
                             .id = operation->id,
                             .channel = operation->channel,
                             .data = operation->data,
                             .event = operation->event,
                             .from = operation->exclude_count != 0 ? operation->exclude[0] : operation->to,
                             .message = operation->channel};

    for (int type = RC_EVENT_SUBSCRIBED; type <= RC_EVENT_GAP; type++) {
        event.type = (enum rc_event_type)type;
        event.data = type == RC_EVENT_HISTORY ? RC_SPAN(",\"messages\":[]") : operation->data;
        if ((type == RC_EVENT_MESSAGE || type == RC_EVENT_DIRECT) && operation->data.count == 0 &&
            operation->data_kind == RC_DATA_JSON) {
            continue; /* no data, no delivery */
        }
        check_event(&event);
    }
}

void rc_test_native_check(enum rc_native_form form, struct rc_span frame)
{
    static struct decoding decoding;
    bool utf8 = form == RC_NATIVE_BINARY || rc_json_utf8_valid(frame);
    uint8_t *room = malloc(RC_TEST_OPERATION_ROOM + frame.count);
    unsigned calls = 0;
    int got;

    RC_ASSERT(room != NULL);
    if (frame.count > RC_TEST_FRAME_MAX) {
        free(room);
        return;
    }
    begin(&decoding, form, frame);
    while ((got = rc_reader_next(&decoding.reader, &decoding.operation, &decoding.error)) != 0) {
        RC_ASSERT(++calls <= RC_BATCH_MAX);
        if (got < 0) {
            RC_ASSERT(got == -EBADMSG);
            RC_ASSERT(decoding.error.code == RC_CODE_BAD_REQUEST || decoding.error.code == RC_CODE_TOO_LARGE);
            RC_ASSERT(memchr(decoding.error.message, '\0', sizeof(decoding.error.message)) != NULL);
            RC_ASSERT(decoding.error.message[0] != '\0');
            check_id(&decoding, frame, decoding.error.id);
            continue;
        }
        RC_ASSERT(got == 1);
        check_operation(&decoding, frame);
        if (utf8) { /* the WebSocket layer lets no other text through */
            check_written_again(&decoding.operation, room);
            check_events(&decoding.operation);
        }
    }
    RC_ASSERT(rc_reader_next(&decoding.reader, &decoding.operation, &decoding.error) == 0);
    free(room);
}
