/*
 * codec: the table is whole, subprotocols choose the codec that they name, and every event that a codec says fits what it asked for
 * in every encoding.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/proto/codec.h"
#include "worker/proto/native.h"
#include "worker/ws/frame.h"

static struct rc_operation_scratch scratch;
static uint8_t reader_room[1u << 14];

Test(codec, every_row_is_whole)
{
    for (uint32_t id = 0; id < RC_CODEC_COUNT; id++) {
        const struct rc_codec *codec = rc_codec_of((enum rc_codec_id)id);
        cr_assert_not_null(codec);
        cr_assert(codec->name != NULL && codec->decode != NULL && codec->event_bytes_max != NULL &&
                  codec->encode != NULL && codec->heartbeat != NULL && codec->goodbye != NULL);
        cr_assert_neq(codec->events, 0u);
        cr_assert_leq(strlen(codec->name), 32);
    }
}

Test(codec, asks_whether_somebody_is_there_and_says_when_to_come_back)
{
    for (uint32_t id = 0; id < RC_CODEC_COUNT; id++) {
        const struct rc_codec *codec = rc_codec_of((enum rc_codec_id)id);
        const bool stream = id >= RC_CODEC_SSE;
        const bool engine = id >= RC_CODEC_ENGINEIO && !stream;
        const char *ping = engine ? "\x81\x01\x32" : stream ? ":\n\n" : "\x89\x00";
        uint8_t out[RC_WS_SERVER_HEADER_BYTES_MAX + RC_HEARTBEAT_BYTES_MAX];
        struct rc_unit unit = rc_unit_of(rc_encoding_of((enum rc_codec_id)id, RC_FRAMING_WEBSOCKET, 0), NULL, out);
        codec->heartbeat(&unit);
        cr_assert_eq(unit.bytes, engine || stream ? 3 : 2);
        cr_assert_arr_eq(out, ping, unit.bytes);
        uint8_t goodbye[RC_GOODBYE_BYTES_MAX];
        const char *wanted = engine   ? "" /* Engine.IO has no place for it */
                             : stream ? "4294967295"
                                      : "{\"reconnect_ms\":4294967295}";
        cr_assert_eq(codec->goodbye(goodbye, UINT32_MAX), strlen(wanted));
        cr_assert_arr_eq(goodbye, wanted, strlen(wanted));
    }
}

Test(codec, subprotocols_choose)
{
    size_t count;
    const char *const *names = rc_codec_subprotocols(&count);
    cr_assert_eq(count, 2);
    cr_assert_str_eq(names[0], RC_NATIVE_SUBPROTOCOL);
    cr_assert_str_eq(names[1], RC_NATIVE_SUBPROTOCOL_BINARY);
    cr_assert_eq(rc_codec_chosen(RC_NATIVE_SUBPROTOCOL_BINARY, RC_CODEC_JSON), RC_CODEC_BINARY);
    cr_assert_eq(rc_codec_chosen(RC_NATIVE_SUBPROTOCOL, RC_CODEC_BINARY), RC_CODEC_JSON);
    cr_assert_eq(rc_codec_chosen(NULL, RC_CODEC_RAW), RC_CODEC_RAW);
    cr_assert_eq(rc_codec_chosen("ringcast.v2", RC_CODEC_ECHO), RC_CODEC_ECHO);
}

Test(codec, says_what_its_clients_understand)
{
    const uint8_t raw = rc_encoding_of(RC_CODEC_RAW, RC_FRAMING_WEBSOCKET, 0);
    const uint8_t echo = rc_encoding_of(RC_CODEC_ECHO, RC_FRAMING_WEBSOCKET, 0);
    const uint8_t json = rc_encoding_of(RC_CODEC_JSON, RC_FRAMING_WEBSOCKET, 12);
    cr_assert(rc_codec_says(raw, RC_EVENT_MESSAGE) && rc_codec_says(raw, RC_EVENT_DIRECT));
    cr_assert(!rc_codec_says(raw, RC_EVENT_GAP) && !rc_codec_says(raw, RC_EVENT_ERROR) &&
              !rc_codec_says(raw, RC_EVENT_WELCOME));
    cr_assert(rc_codec_says(echo, RC_EVENT_ECHO) && !rc_codec_says(echo, RC_EVENT_MESSAGE));
    for (int type = RC_EVENT_WELCOME; type < RC_EVENT_ECHO; type++) {
        cr_assert(rc_codec_says(json, (enum rc_event_type)type));
    }
    cr_assert(!rc_codec_says(json, RC_EVENT_ECHO));
}

Test(codec, numbers_of_encodings_are_taken_apart_again)
{
    static const uint8_t windows[] = {0, 8, 9, 12, 15};
    bool seen[RC_ENCODING_COUNT] = {false};
    uint32_t count = 0;
    for (uint32_t codec = 0; codec < RC_CODEC_COUNT; codec++) {
        for (uint32_t framing = 0; framing < RC_FRAMING_COUNT; framing++) {
            const bool polling = framing == RC_FRAMING_POLLING; /* of codecs of Engine.IO, and not compressed */
            const bool stream = framing == RC_FRAMING_STREAM; /* of those of server-sent events, which have no other */
            if ((polling && codec < RC_CODEC_ENGINEIO) || stream != (codec >= RC_CODEC_SSE)) {
                continue;
            }
            const bool plain = polling || stream || codec == RC_CODEC_LINK_3; /* without windows */
            for (size_t i = 0; i < (plain ? 1 : sizeof(windows)); i++) {
                const uint8_t encoding =
                    rc_encoding_of((enum rc_codec_id)codec, (enum rc_framing_id)framing, windows[i]);
                cr_assert_lt(encoding, RC_ENCODING_COUNT);
                cr_assert(!seen[encoding]);
                seen[encoding] = true;
                cr_assert_eq(rc_encoding_codec(encoding), codec);
                cr_assert_eq(rc_encoding_framing(encoding), framing);
                cr_assert_eq(rc_encoding_window_bits(encoding), windows[i]);
                cr_assert_eq(rc_encoding_is_engine(encoding), codec >= RC_CODEC_ENGINEIO && !stream);
                count++;
            }
        }
    }
    cr_assert_eq(count, RC_ENCODING_COUNT, "every number is one");
}

/* --- raw and echo --- */

static int decode(enum rc_codec_id id, enum rc_part_kind kind, const char *text,
                  const struct rc_config_endpoint *endpoint, struct rc_operation *operation,
                  struct rc_operation_error *error)
{
    struct rc_reader reader;
    rc_reader_begin(&reader, rc_codec_of(id), kind, rc_span_text(text), &scratch, endpoint);
    rc_reader_give_room(&reader, reader_room, sizeof(reader_room));
    const int rc = rc_reader_next(&reader, operation, error);
    struct rc_operation after;
    struct rc_operation_error after_error;
    cr_assert_eq(rc_reader_next(&reader, &after, &after_error), 0, "one operation a message");
    return rc;
}

Test(raw, publishes_as_its_endpoint_says)
{
    struct rc_operation operation;
    struct rc_operation_error error;
    struct rc_config_endpoint endpoint = {.incoming = RC_INCOMING_IGNORE};
    cr_assert_eq(decode(RC_CODEC_RAW, RC_PART_TEXT, "{}", &endpoint, &operation, &error), 0);
    cr_assert_eq(decode(RC_CODEC_RAW, RC_PART_TEXT, "{}", NULL, &operation, &error), 0);

    endpoint.incoming = RC_INCOMING_BROADCAST;
    cr_assert_eq(decode(RC_CODEC_RAW, RC_PART_TEXT, "{\"a\":1}", &endpoint, &operation, &error), 1);
    cr_assert_eq(operation.type, RC_OPERATION_BROADCAST);
    cr_assert(operation.echo && operation.data_kind == RC_DATA_JSON && operation.id.count == 0);
    cr_assert(rc_span_equal(operation.data, RC_SPAN("{\"a\":1}")));

    endpoint.incoming = RC_INCOMING_PUBLISH;
    strcpy(endpoint.incoming_channel, "room:1");
    cr_assert_eq(decode(RC_CODEC_RAW, RC_PART_BINARY, "not { JSON", &endpoint, &operation, &error), 1);
    cr_assert_eq(operation.type, RC_OPERATION_PUBLISH);
    cr_assert_eq(operation.data_kind, RC_DATA_BINARY);
    cr_assert(rc_span_equal(operation.channel, RC_SPAN("room:1")));
}

Test(raw, refuses_a_text_that_is_no_json)
{
    struct rc_operation operation;
    struct rc_operation_error error;
    const struct rc_config_endpoint endpoint = {.incoming = RC_INCOMING_BROADCAST};
    static const char *const texts[] = {"", "{", "hello", "{\"a\":1} x", "1,2"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        cr_assert_eq(decode(RC_CODEC_RAW, RC_PART_TEXT, texts[i], &endpoint, &operation, &error), -EBADMSG);
        cr_assert_eq(error.code, RC_CODE_BAD_REQUEST);
        cr_assert_eq(error.id.count, 0);
    }
}

static void writes_verbatim(enum rc_codec_id id, enum rc_event_type type)
{
    const uint8_t encoding = rc_encoding_of(id, RC_FRAMING_WEBSOCKET, 0);
    const struct rc_event event = {
        .type = type, .data_kind = RC_DATA_BINARY, .data = RC_SPAN("\x00\xff"), .channel = RC_SPAN("c")};
    uint8_t out[32];
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, &event);
    cr_assert_leq(bytes_max, sizeof(out));
    cr_assert_eq(rc_event_unit_write(encoding, NULL, &event, bytes_max, out), 4);
    cr_assert_arr_eq(out, "\x82\x02\x00\xff", 4);
    const struct rc_event empty = {.type = type, .data_kind = RC_DATA_JSON};
    cr_assert_eq(rc_event_unit_write(encoding, NULL, &empty, rc_event_unit_bytes_max(encoding, &empty), out), 2);
    cr_assert_arr_eq(out, "\x81\x00", 2);
}

Test(raw, writes_the_payload_alone)
{
    writes_verbatim(RC_CODEC_RAW, RC_EVENT_MESSAGE);
}

Test(echo, gives_back_what_came)
{
    struct rc_operation operation;
    struct rc_operation_error error;
    cr_assert_eq(decode(RC_CODEC_ECHO, RC_PART_TEXT, "", NULL, &operation, &error), 1);
    cr_assert_eq(operation.type, RC_OPERATION_ECHO);
    cr_assert_eq(operation.data.count, 0);
    cr_assert_eq(decode(RC_CODEC_ECHO, RC_PART_BINARY, "abc", NULL, &operation, &error), 1);
    cr_assert_eq(operation.data_kind, RC_DATA_BINARY);
    cr_assert(rc_span_equal(operation.data, RC_SPAN("abc")));
    writes_verbatim(RC_CODEC_ECHO, RC_EVENT_ECHO);
}

/* Nothing of an earlier operation, or of the stack, shows in the next one: whatever a codec does not fill in is empty. */
Test(codec, operations_begin_empty)
{
    static struct rc_operation operation;
    struct rc_operation_error error;
    static const struct {
        enum rc_codec_id id;
        enum rc_part_kind kind;
        const char *text;
    } messages[] = {
        {RC_CODEC_JSON, RC_PART_TEXT, "{\"type\":\"ping\"}"},
        {RC_CODEC_BINARY, RC_PART_BINARY, "\x08\x01\x07"},
        {RC_CODEC_ECHO, RC_PART_TEXT, "x"},
        {RC_CODEC_SSE, RC_PART_TEXT, "\n\n\n\n"},
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
        memset(&operation, 0xa5, sizeof(operation));
        cr_assert_eq(decode(messages[i].id, messages[i].kind, messages[i].text, NULL, &operation, &error), 1);
        cr_assert_eq(operation.channel.count, 0);
        cr_assert_eq(operation.event.count, 0);
        cr_assert_eq(operation.key.count, 0);
        cr_assert_eq(operation.to.count, 0);
        cr_assert_eq(operation.exclude_count, 0);
        cr_assert_eq(operation.limit, 0);
        cr_assert(operation.echo);
    }
}

/* Whatever lay there: members that an operation does not have are zero. */
Test(codec, an_operation_begins_with_nothing_left_of_another)
{
    struct rc_operation operation;
    memset(&operation, 0x73, sizeof(operation));
    rc_operation_reset(&operation);
    bool is_volatile;
    memset(&is_volatile, 0, sizeof(is_volatile));
    cr_expect_eq(memcmp(&operation.is_volatile, &is_volatile, sizeof(is_volatile)), 0);
    cr_expect(operation.echo && operation.limit == 0 && operation.close_code == 0 && operation.attachment_count == 0);
    cr_expect_eq(operation.id.count + operation.channel.count + operation.event.count + operation.key.count +
                     operation.to.count + operation.reason.count + operation.data.count + operation.nsp.count,
                 0u);
}
