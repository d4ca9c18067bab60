/*
 * socketio: packets of a client and what is none, names and arguments without changing a byte, placeholders found exactly, and every
 * event as it is written, within what it asked for.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/args.h"
#include "worker/proto/codec.h"
#include "common/records/placeholders.h"
#include "worker/proto/socketio.h"

static struct rc_reader reader;
static struct rc_operation_scratch scratch;
static struct rc_operation operation;
static struct rc_operation_error error;

/* Of a copy of exactly its size. */
static uint8_t *frame;
static int first(struct rc_span text)
{
    free(frame);
    frame = malloc(text.count + 1);
    memcpy(frame, text.bytes, text.count);
    rc_reader_begin(&reader, &rc_codec_socketio, RC_PART_TEXT, rc_span_of(frame, text.count), &scratch, NULL);
    return rc_reader_next(&reader, &operation, &error);
}

static void good(const char *text)
{
    cr_assert_eq(first(rc_span_text(text)), 1, "%s", text);
}

static bool is(struct rc_span span, const char *text)
{
    return rc_span_equal(span, rc_span_text(text));
}

Test(socketio, reads_packets)
{
    good("0");
    cr_assert(operation.type == RC_OPERATION_CONNECT && is(operation.nsp, "/") && operation.data.count == 0);
    good("0/admin,{\"token\":1}");
    cr_assert(is(operation.nsp, "/admin") && is(operation.data, "{\"token\":1}"));
    good("0/admin");
    cr_assert(operation.type == RC_OPERATION_CONNECT && is(operation.nsp, "/admin"));
    good("1/admin,");
    cr_assert(operation.type == RC_OPERATION_LEAVE && is(operation.nsp, "/admin"));
    good("2[\"a\\u00e9\" , 1.0,{\"__proto__\":[ ]}]");
    cr_assert(operation.type == RC_OPERATION_EVENT && is(operation.event, "a\xc3\xa9") && operation.id.count == 0);
    cr_assert(is(operation.data, " 1.0,{\"__proto__\":[ ]}]"));
    good("2/n,9007199254740991[\"x\"]");
    cr_assert(is(operation.id, "9007199254740991") && is(operation.nsp, "/n") && is(operation.data, "]"));
    good("2[\"x\" , 1 ] \r\n");
    cr_assert(is(operation.data, " 1 ]"), "white space behind the packet is not of its arguments");
    good("2[12, null]");
    cr_assert(is(operation.event, "12") && is(operation.data, " null]"));
    good("312[ 1]");
    cr_assert(operation.type == RC_OPERATION_ACK && is(operation.id, "12") && is(operation.data, " 1]"));
    good("52-/n,7[\"x\",{\"_placeholder\":true,\"num\":0}]");
    cr_assert(operation.type == RC_OPERATION_EVENT && operation.attachment_count == 2 && is(operation.id, "7"));
    good("61-[]");
    cr_assert(operation.type == RC_OPERATION_ACK && operation.attachment_count == 1);
}

Test(socketio, refuses_what_is_no_packet)
{
    static const char *const texts[] = {"",
                                        "4",
                                        "4{}",
                                        "7",
                                        "a",
                                        "2",
                                        "2{}",
                                        "2abc[1]",
                                        "2[]",
                                        "2[null]",
                                        "2[[\"x\"]]",
                                        "2[true]",
                                        "2[1 2]",
                                        "2[\"x\"",
                                        "2[\"x\"]]",
                                        "2[\"x\",]",
                                        "2[\"connect\"]",
                                        "2[\"disconnecting\"]",
                                        "2[\"\\ud800\"]",
                                        "2 1[\"x\"]",
                                        "21 [1]x",
                                        "0[]",
                                        "0null",
                                        "0{",
                                        "1{}",
                                        "1\"x\"",
                                        "3{}",
                                        "3",
                                        "50-[\"x\"]",
                                        "5[\"x\"]",
                                        "5-[\"x\"]",
                                        "5x-[\"x\"]",
                                        "51[\"x\"]",
                                        "500000000-[\"x\"]",
                                        "25-1-[\"x\"]",
                                        "290071992547409911[\"x\"]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        cr_assert_eq(first(rc_span_text(texts[i])), -EBADMSG, "%s", texts[i]);
        cr_assert_eq(error.code, RC_CODE_BAD_REQUEST);
    }
}

Test(socketio, bounds_names_and_namespaces)
{
    char text[600];
    for (int quotes = 0; quotes < 2; quotes++) { /* a number is a name, too */
        for (size_t count = 254; count <= 256; count++) {
            const char *quote = quotes ? "\"" : "";
            char name[300];
            memset(name, '7', count);
            name[count] = '\0';
            snprintf(text, sizeof(text), "2[%s%s%s]", quote, name, quote);
            cr_assert_eq(first(rc_span_text(text)), count <= 255 ? 1 : -EBADMSG);
        }
    }
    for (size_t count = 253; count <= 255; count++) {
        memset(text, 'n', sizeof(text));
        memcpy(text, "0/", 2);
        text[1 + count] = '\0';
        cr_assert_eq(first(rc_span_text(text)), count <= RC_SIO_NSP_MAX ? 1 : -EBADMSG);
    }
}

Test(socketio, every_cut_is_refused_or_another_packet)
{
    static const char *const texts[] = {"2/n,17[\"name\",{\"a\":\"b\"}]",
                                        "51-/n,[\"x\",{\"_placeholder\":true,\"num\":0}]", "312[1]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        for (size_t count = 0; count < strlen(texts[i]); count++) {
            cr_assert_eq(first(rc_span_of(texts[i], count)), -EBADMSG, "%s cut to %zu", texts[i], count);
        }
    }
}

Test(socketio, placeholders_are_found_exactly)
{
    static const struct {
        const char *json;
        uint32_t count;
        int rc;
    } cases[] = {
        {"[]", 1, 0},
        {"[{\"_placeholder\":true,\"num\":0}]", 1, 0},
        {"[{\"_placeholder\":true,\"num\":1}]", 1, -EBADMSG},
        {"[{\"num\":1, \"_placeholder\" : true }, {\"_placeholder\":true,\"num\":0}]", 2, 0},
        {"[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]", 2, -EBADMSG},
        {"[{\"_placeholder\":true}]", 1, -EBADMSG},
        {"[{\"_placeholder\":true,\"num\":\"0\"}]", 1, -EBADMSG},
        {"[{\"_placeholder\":true,\"num\":-1}]", 1, -EBADMSG},
        {"[{\"_placeholder\":true,\"num\":0.5}]", 1, -EBADMSG},
        {"[{\"_placeholder\":true,\"num\":4294967296}]", 1, -EBADMSG},
        {"[{\"_placeholder\":false,\"num\":9}]", 1, 0},
        {"[{\"_placeholder\":\"true\",\"num\":9}]", 1, 0},
        {"[{\"_placeholder\":1,\"num\":9}]", 1, 0},
        /* The last of two members counts. */
        {"[{\"_placeholder\":true,\"num\":9,\"num\":0}]", 1, 0},
        {"[{\"_placeholder\":true,\"num\":0,\"num\":9}]", 1, -EBADMSG},
        {"[{\"_placeholder\":true,\"num\":9,\"_placeholder\":false}]", 1, 0},
        {"[{\"_placeholder\":false,\"num\":9,\"_placeholder\":true}]", 1, -EBADMSG},
        /* Names are what they mean, however they are written. */
        {"[{\"\\u005fplaceholder\":true,\"num\":9}]", 1, -EBADMSG},
        {"[{\"_placeholder\":true,\"n\\u0075m\":0}]", 1, 0},
        /* What stands in a string is text, and braces in it are none. */
        {"[\"{\\\"_placeholder\\\":true,\\\"num\\\":9}\"]", 1, 0},
        {"[{\"a\":\"}\",\"_placeholder\":true,\"num\":9}]", 1, -EBADMSG},
        {"[{\"_placeholder\":true,\"a\":\"}\",\"num\":9}]", 1, -EBADMSG},
        {"[\"_placeholder\",{\"num\":9}]", 1, 0},
        {"[{\"x\":\"_placeholder\",\"num\":9}]", 1, 0},
        {"[{\"_placeholder\":\"_placeholder\",\"num\":9}]", 1, 0},
        /* Members belong to their own object. */
        {"[{\"_placeholder\":true,\"x\":{\"num\":9},\"num\":0}]", 1, 0},
        {"[{\"x\":{\"_placeholder\":true,\"num\":0},\"num\":9}]", 1, 0},
        {"[{\"__proto__\":{\"_placeholder\":true,\"num\":9}}]", 1, -EBADMSG},
        {"[{\"_placeholder\":true,\"num\":{\"_placeholder\":true,\"num\":0}}]", 1, -EBADMSG},
        {"[[[{\"a\":[{\"_placeholder\":true,\"num\":0}]}]], {\"_placeholder\":true,\"num\":1}]", 2, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cr_assert_eq(rc_placeholders_check(rc_span_text(cases[i].json), cases[i].count), cases[i].rc, "%s",
                     cases[i].json);
    }
    char deep[2 * RC_JSON_DEPTH_MAX + 4];
    memset(deep, '[', RC_JSON_DEPTH_MAX);
    memset(deep + RC_JSON_DEPTH_MAX, ']', RC_JSON_DEPTH_MAX);
    cr_assert_eq(rc_placeholders_check(rc_span_of(deep, 2 * RC_JSON_DEPTH_MAX), 1), 0);
    memset(deep, '[', RC_JSON_DEPTH_MAX + 1);
    cr_assert_eq(rc_placeholders_check(rc_span_of(deep, 2 * RC_JSON_DEPTH_MAX), 1), -EBADMSG);
}

/* Written where there is room for what was asked for and not a byte more. */
static void writes(enum rc_framing_id framing, const struct rc_event *event, struct rc_span wanted)
{
    const uint8_t encoding = rc_encoding_of(RC_CODEC_SOCKETIO, framing, 0);
    const size_t room = rc_event_unit_bytes_max(encoding, event);
    uint8_t *out = malloc(room);
    const size_t bytes = rc_event_unit_write(encoding, NULL, event, room, out);
    cr_assert_leq(bytes, room);
    cr_assert(rc_span_equal(rc_span_of(out, bytes), wanted), "%.*s", (int)bytes, (char *)out);
    free(out);
}

#define POLL(text) RC_SPAN("\x1e" text)

Test(socketio, writes_events)
{
    const struct rc_span attachments[] = {RC_SPAN("\x01\x02\x03\x04"), RC_SPAN("")};
    uint8_t args[128];
    const struct rc_span json = RC_SPAN("[ {\"_placeholder\":true,\"num\":0}]");
    rc_args_write(args, json, attachments, 2);
    const struct rc_span with = rc_span_of(args, rc_args_bytes(json.count, 2, NULL) + 4);
    struct rc_event event = {.type = RC_EVENT_MESSAGE,
                             .channel = RC_SPAN("room"),
                             .event = RC_SPAN("a\"b"),
                             .unnamed = RC_SPAN("message"),
                             .data = RC_SPAN("\x05\0\0\0\0\0\0\0[1,2]"),
                             .data_kind = RC_DATA_ARGS};
    writes(RC_FRAMING_POLLING, &event, POLL("42[\"a\\\"b\",1,2]"));
    event.channel = RC_SPAN("/admin#room");
    event.id = RC_SPAN("17");
    writes(RC_FRAMING_POLLING, &event, POLL("42/admin,17[\"a\\\"b\",1,2]"));
    event.data = with;
    writes(RC_FRAMING_POLLING, &event,
           POLL("452-/admin,17[\"a\\\"b\",{\"_placeholder\":true,\"num\":0}]\x1e"
                "bAQIDBA==\x1e"
                "b"));
    event.type = RC_EVENT_ACK;
    writes(RC_FRAMING_POLLING, &event,
           POLL("462-/admin,17[{\"_placeholder\":true,\"num\":0}]\x1e"
                "bAQIDBA==\x1e"
                "b"));
    event = (struct rc_event){
        .type = RC_EVENT_DIRECT, .unnamed = RC_SPAN("message"), .data = RC_SPAN("xy"), .data_kind = RC_DATA_BINARY};
    writes(RC_FRAMING_WEBSOCKET, &event,
           RC_SPAN("\x81\x2d"
                   "451-[\"message\",{\"_placeholder\":true,\"num\":0}]\x82\x02xy"));
    event.data_kind = RC_DATA_JSON;
    event.data = RC_SPAN("{}");
    writes(RC_FRAMING_POLLING, &event, POLL("42[\"message\",{}]"));
    event.data_kind = RC_DATA_ARGS; /* broken ones are none */
    writes(RC_FRAMING_POLLING, &event, POLL("42[\"message\"]"));
}

Test(socketio, writes_what_the_server_says)
{
    writes(RC_FRAMING_POLLING,
           &(struct rc_event){.type = RC_EVENT_CONNECTED, .channel = RC_SPAN("/#"), .data = RC_SPAN("sid")},
           POLL("40{\"sid\":\"sid\"}"));
    writes(RC_FRAMING_POLLING,
           &(struct rc_event){.type = RC_EVENT_CONNECTED, .channel = RC_SPAN("/a#"), .data = RC_SPAN("sid")},
           POLL("40/a,{\"sid\":\"sid\"}"));
    writes(RC_FRAMING_POLLING,
           &(struct rc_event){.type = RC_EVENT_CONNECT_ERROR,
                              .channel = RC_SPAN("/a#b#"),
                              .message = RC_SPAN("no"),
                              .data = RC_SPAN("[1]")},
           POLL("44/a#b,{\"message\":\"no\",\"data\":[1]}"));
    writes(RC_FRAMING_POLLING, &(struct rc_event){.type = RC_EVENT_DISCONNECTED, .channel = RC_SPAN("/#")}, POLL("41"));
    writes(RC_FRAMING_POLLING, &(struct rc_event){.type = RC_EVENT_GAP, .channel = RC_SPAN("r")},
           POLL("42[\"gap\",{\"channel\":\"r\"}]"));
    writes(RC_FRAMING_POLLING, &(struct rc_event){.type = RC_EVENT_GAP}, POLL("42[\"gap\",{}]"));
    writes(RC_FRAMING_POLLING,
           &(struct rc_event){.type = RC_EVENT_ERROR, .code = RC_CODE_LIMITED, .message = RC_SPAN("slow")},
           POLL("42[\"error\",{\"code\":429,\"message\":\"slow\"}]"));
    free(frame);
}
