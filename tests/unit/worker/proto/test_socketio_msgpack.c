/*
 * socketio_msgpack: what socket.io-msgpack-parser sends and refuses, attachments where they belong, and that what is written can be
 * read again and fits what it asked for.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/args.h"
#include "common/text/msgpack_json.h"
#include "worker/proto/codec.h"
#include "worker/proto/socketio.h"

static struct rc_reader reader;
static struct rc_operation_scratch scratch;
static struct rc_operation operation;
static struct rc_operation_error error;
static uint8_t *room;

static int first(struct rc_span packet)
{
    const size_t bytes = rc_codec_socketio_msgpack.room_bytes_max(packet.count);
    free(room);
    room = malloc(bytes);
    rc_reader_begin(&reader, &rc_codec_socketio_msgpack, RC_PART_BINARY, packet, &scratch, NULL);
    rc_reader_give_room(&reader, room, bytes);
    return rc_reader_next(&reader, &operation, &error);
}

/* A packet that is written as JSON, "@" in it being attachment 0. */
static struct rc_span packed(const char *json)
{
    static uint8_t bytes[4096];
    const struct rc_span attachment = RC_SPAN("\x01\x02\xff");
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(bytes, sizeof(bytes));
    cr_assert_eq(rc_json_to_msgpack(&writer, rc_span_text(json), &attachment, 1), 0, "%s", json);
    return rc_msgpack_written(&writer);
}

#define BYTES "{\"_placeholder\":true,\"num\":0}"

static bool is(struct rc_span span, const char *text)
{
    return rc_span_equal(span, rc_span_text(text));
}

static struct rc_args_view good(const char *json)
{
    struct rc_args_view view = {0};
    cr_assert_eq(first(packed(json)), 1, "%s: %s", json, error.message);
    cr_assert(operation.data_kind != RC_DATA_ARGS || rc_args_read(operation.data, &view) == 0);
    cr_assert_eq(operation.attachment_count, 0, "they are in the data");
    return view;
}

Test(socketio_msgpack, reads_packets)
{
    (void)good("{\"type\":0,\"nsp\":\"/\"}");
    cr_assert(operation.type == RC_OPERATION_CONNECT && is(operation.nsp, "/") && operation.data.count == 0);
    (void)good("{\"type\":0,\"data\":{\"token\":[1]},\"nsp\":\"/admin\"}");
    cr_assert(is(operation.nsp, "/admin") && is(operation.data, "{\"token\":[1]}"));
    cr_assert_eq(operation.data_kind, RC_DATA_JSON);
    (void)good("{\"nsp\":\"/admin\",\"type\":1}");
    cr_assert_eq(operation.type, RC_OPERATION_LEAVE);
    struct rc_args_view view =
        good("{\"type\":2,\"data\":[\"a\\u00e9\",1.5,{\"b\":null}],\"options\":{\"x\":[]},\"nsp\":\"/\"}");
    cr_assert(operation.type == RC_OPERATION_EVENT && is(operation.event, "a\xc3\xa9") && operation.id.count == 0);
    cr_assert(is(view.json, "[1.5,{\"b\":null}]") && view.attachment_count == 0);
    view = good("{\"type\":2,\"id\":9007199254740991,\"data\":[-12,[" BYTES "]],\"nsp\":\"/\"}");
    cr_assert(is(operation.event, "-12") && is(operation.id, "9007199254740991"));
    cr_assert(is(view.json, "[[" BYTES "]]") && view.attachment_count == 1);
    cr_assert(is(rc_args_attachment(&view, 0), "\x01\x02\xff"));
    view = good("{\"type\":2,\"data\":[0.5],\"nsp\":\"/\",\"id\":0}");
    cr_assert(is(operation.event, "0.5") && is(operation.id, "0") && is(view.json, "[]"));
    view = good("{\"type\":3,\"id\":7,\"data\":[1],\"nsp\":\"/n\"}");
    cr_assert(operation.type == RC_OPERATION_ACK && is(operation.id, "7") && is(view.json, "[1]"));
    view = good("{\"type\":1,\"type\":2,\"data\":1,\"data\":[\"last\"],\"nsp\":\"/\"}");
    cr_assert(is(operation.event, "last"), "the last of two counts");
}

Test(socketio_msgpack, undefined_is_nothing)
{
    /* {type: 0, data: undefined, nsp: "/", id: undefined} of notepack 2 */
    cr_assert_eq(first(RC_SPAN("\x84\xa4type\x00\xa4"
                               "data\xd4\x00\x00\xa3nsp\xa1/\xa2id\xd4\x00\x00")),
                 1);
    cr_assert(operation.type == RC_OPERATION_CONNECT && operation.data.count == 0 && operation.id.count == 0);
    cr_assert_eq(first(RC_SPAN("\x83\xa4type\xcb\x40\x08\0\0\0\0\0\0\xa4"
                               "data\x90\xa3nsp\xa1/")),
                 1, "3.0 is a whole number");
    cr_assert_eq(operation.type, RC_OPERATION_ACK);
}

Test(socketio_msgpack, refuses_what_is_no_packet)
{
    static const char *const texts[] = {"[]",
                                        "1",
                                        "{}",
                                        "{\"type\":2,\"data\":[\"x\"]}",
                                        "{\"data\":[\"x\"],\"nsp\":\"/\"}",
                                        "{\"type\":\"2\",\"data\":[\"x\"],\"nsp\":\"/\"}",
                                        "{\"type\":2.5,\"data\":[\"x\"],\"nsp\":\"/\"}",
                                        "{\"type\":-1,\"data\":[\"x\"],\"nsp\":\"/\"}",
                                        "{\"type\":4,\"data\":{},\"nsp\":\"/\"}",
                                        "{\"type\":5,\"data\":[\"x\"],\"nsp\":\"/\"}",
                                        "{\"type\":4294967298,\"data\":[\"x\"],\"nsp\":\"/\"}",
                                        "{\"type\":2,\"data\":[\"x\"],\"nsp\":1}",
                                        "{\"type\":2,\"data\":[\"x\"],\"nsp\":\"\"}",
                                        "{\"type\":2,\"data\":[\"x\"],\"nsp\":\"n\"}",
                                        "{\"type\":2,\"data\":[\"x\"],\"nsp\":null}",
                                        "{\"type\":2,\"data\":[\"x\"],\"nsp\":\"/\",\"id\":\"1\"}",
                                        "{\"type\":2,\"data\":[\"x\"],\"nsp\":\"/\",\"id\":null}",
                                        "{\"type\":2,\"data\":[\"x\"],\"nsp\":\"/\",\"id\":0.5}",
                                        "{\"type\":2,\"data\":[\"x\"],\"nsp\":\"/\",\"id\":-1}",
                                        "{\"type\":2,\"data\":[\"x\"],\"nsp\":\"/\",\"id\":9007199254740992}",
                                        "{\"type\":0,\"data\":[],\"nsp\":\"/\"}",
                                        "{\"type\":0,\"data\":null,\"nsp\":\"/\"}",
                                        "{\"type\":0,\"data\":{\"b\":" BYTES "},\"nsp\":\"/\"}",
                                        "{\"type\":1,\"data\":{},\"nsp\":\"/\"}",
                                        "{\"type\":2,\"data\":[],\"nsp\":\"/\"}",
                                        "{\"type\":2,\"nsp\":\"/\"}",
                                        "{\"type\":2,\"data\":{},\"nsp\":\"/\"}",
                                        "{\"type\":2,\"data\":[null],\"nsp\":\"/\"}",
                                        "{\"type\":2,\"data\":[[\"x\"]],\"nsp\":\"/\"}",
                                        "{\"type\":2,\"data\":[\"connect\"],\"nsp\":\"/\"}",
                                        "{\"type\":2,\"data\":[" BYTES "],\"nsp\":\"/\"}",
                                        "{\"type\":3,\"data\":1,\"nsp\":\"/\"}",
                                        "{\"type\":3,\"nsp\":\"/\"}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        cr_assert_eq(first(packed(texts[i])), -EBADMSG, "%s", texts[i]);
    }
    cr_assert_eq(first(RC_SPAN("\x83\xa4type\x02\xa4"
                               "data\x91\xa1\xff\xa3nsp\xa1/")),
                 -EBADMSG, "no UTF-8");
}

Test(socketio_msgpack, every_cut_and_every_byte_more_is_refused)
{
    const struct rc_span whole =
        packed("{\"type\":2,\"data\":[\"x\",{\"a\":[1.5," BYTES "]}],\"nsp\":\"/\",\"id\":300}");
    for (size_t count = 0; count < whole.count; count++) {
        uint8_t *copy = malloc(count + 1);
        memcpy(copy, whole.bytes, count);
        cr_assert_eq(first(rc_span_of(copy, count)), -EBADMSG, "cut to %zu", count);
        free(copy);
    }
    uint8_t more[512];
    memcpy(more, whole.bytes, whole.count);
    more[whole.count] = 0xc0;
    cr_assert_eq(first(rc_span_of(more, whole.count + 1)), -EBADMSG);
}

Test(socketio_msgpack, bounds_attachments)
{
    static uint8_t packet[2048];
    for (uint32_t count = RC_ARGS_ATTACHMENTS_MAX; count <= RC_ARGS_ATTACHMENTS_MAX + 1; count++) {
        struct rc_msgpack_writer writer = rc_msgpack_writer_of(packet, sizeof(packet));
        rc_msgpack_put_map(&writer, 3);
        rc_msgpack_put_string(&writer, RC_SPAN("type"));
        rc_msgpack_put_unsigned(&writer, 3);
        rc_msgpack_put_string(&writer, RC_SPAN("nsp"));
        rc_msgpack_put_string(&writer, RC_SPAN("/"));
        rc_msgpack_put_string(&writer, RC_SPAN("data"));
        rc_msgpack_put_array(&writer, count);
        for (uint32_t i = 0; i < count; i++) {
            rc_msgpack_put_binary(&writer, RC_SPAN("b"));
        }
        cr_assert_eq(first(rc_msgpack_written(&writer)), count <= RC_ARGS_ATTACHMENTS_MAX ? 1 : -EBADMSG);
    }
}

/* Written where there is room for what was asked for and not a byte more; read back as JSON. */
static void writes(const struct rc_event *event, const char *json)
{
    const uint8_t encoding = rc_encoding_of(RC_CODEC_SOCKETIO_MSGPACK, RC_FRAMING_WEBSOCKET, 0);
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, event);
    uint8_t *out = malloc(bytes_max);
    struct rc_span attachments[8];
    uint8_t text[2048];
    const size_t bytes = rc_event_unit_write(encoding, NULL, event, bytes_max, out);
    cr_assert(bytes <= bytes_max && out[0] == 0x82);
    const size_t head = out[1] < 126 ? 2 : 4;
    struct rc_msgpack_reader back = rc_msgpack_reader_of(rc_span_of(out + head, bytes - head));
    struct rc_msgpack_json got = {.text = text, .room = sizeof(text), .attachments = attachments, .attachment_max = 8};
    cr_assert_eq(rc_msgpack_to_json(&back, &got), 0);
    cr_assert_eq(rc_msgpack_left(&back), 0);
    cr_assert(is(rc_span_of(text, got.count), json), "%.*s", (int)got.count, (char *)text);
    for (uint32_t i = 0; i < got.attachment_count; i++) {
        cr_assert(is(attachments[i], "\x01\x02\xff"));
    }
    free(out);
}

Test(socketio_msgpack, writes_events)
{
    const struct rc_span attachment = RC_SPAN("\x01\x02\xff");
    uint8_t args[256];
    const struct rc_span json = RC_SPAN("[" BYTES ", [" BYTES "] ]"); /* a row may give one twice */
    rc_args_write(args, json, &attachment, 1);
    struct rc_event event = {.type = RC_EVENT_MESSAGE,
                             .channel = RC_SPAN("/admin#room"),
                             .event = RC_SPAN("a"),
                             .unnamed = RC_SPAN("message"),
                             .data = rc_span_of(args, rc_args_bytes(json.count, 1, NULL) + 3),
                             .data_kind = RC_DATA_ARGS};
    writes(&event, "{\"type\":2,\"data\":[\"a\"," BYTES ",[{\"_placeholder\":true,\"num\":1}]],\"nsp\":\"/admin\"}");
    event.id = RC_SPAN("9007199254740991");
    event.data = RC_SPAN("\x02\0\0\0\0\0\0\0[]");
    writes(&event, "{\"type\":2,\"data\":[\"a\"],\"nsp\":\"/admin\",\"id\":9007199254740991}");
    event.type = RC_EVENT_ACK;
    event.data = RC_SPAN("\x03\0\0\0\0\0\0\0[1]");
    writes(&event, "{\"type\":3,\"data\":[1],\"nsp\":\"/admin\",\"id\":9007199254740991}");
    event = (struct rc_event){.type = RC_EVENT_DIRECT, .unnamed = RC_SPAN("message"), .data = RC_SPAN("{\"a\":1}")};
    writes(&event, "{\"type\":2,\"data\":[\"message\",{\"a\":1}],\"nsp\":\"/\"}");
    event.data_kind = RC_DATA_BINARY;
    event.data = attachment;
    writes(&event, "{\"type\":2,\"data\":[\"message\"," BYTES "],\"nsp\":\"/\"}");
    event.data_kind = RC_DATA_ARGS; /* broken ones are none */
    writes(&event, "{\"type\":2,\"data\":[\"message\"],\"nsp\":\"/\"}");
    event.data = RC_SPAN("\x02\0\0\0\0\0\0\0[}");
    writes(&event, "{\"type\":2,\"data\":[\"message\"],\"nsp\":\"/\"}");
}

Test(socketio_msgpack, writes_what_the_server_says)
{
    writes(&(struct rc_event){.type = RC_EVENT_CONNECTED, .channel = RC_SPAN("/#"), .data = RC_SPAN("sid")},
           "{\"type\":0,\"data\":{\"sid\":\"sid\"},\"nsp\":\"/\"}");
    writes(&(struct rc_event){.type = RC_EVENT_CONNECT_ERROR, .channel = RC_SPAN("/a#b#"), .message = RC_SPAN("no")},
           "{\"type\":4,\"data\":{\"message\":\"no\"},\"nsp\":\"/a#b\"}");
    writes(&(struct rc_event){.type = RC_EVENT_CONNECT_ERROR,
                              .channel = RC_SPAN("/a#"),
                              .message = RC_SPAN("no"),
                              .data = RC_SPAN("[1]")},
           "{\"type\":4,\"data\":{\"message\":\"no\",\"data\":[1]},\"nsp\":\"/a\"}");
    writes(&(struct rc_event){.type = RC_EVENT_DISCONNECTED, .channel = RC_SPAN("/a#")}, "{\"type\":1,\"nsp\":\"/a\"}");
    writes(&(struct rc_event){.type = RC_EVENT_GAP, .channel = RC_SPAN("r")},
           "{\"type\":2,\"data\":[\"gap\",{\"channel\":\"r\"}],\"nsp\":\"/\"}");
    writes(&(struct rc_event){.type = RC_EVENT_GAP}, "{\"type\":2,\"data\":[\"gap\",{}],\"nsp\":\"/\"}");
    writes(&(struct rc_event){.type = RC_EVENT_ERROR, .code = RC_CODE_LIMITED, .message = RC_SPAN("slow")},
           "{\"type\":2,\"data\":[\"error\",{\"code\":429,\"message\":\"slow\"}],\"nsp\":\"/\"}");
    free(room);
}
