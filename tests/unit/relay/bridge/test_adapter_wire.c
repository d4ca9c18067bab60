/* Broadcasts of Socket.IO's Redis adapter as bytes: those of the real programs, every cut, what is refused, what ours look like. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/args.h"
#include "relay/bridge/adapter_wire.h"

#define BYTES(...) rc_span_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* io.emit("hello", 1) of a server, and the same of an emitter. */
#define PACKET             \
    "\x83\xa4type\x02\xa4" \
    "data\x92\xa5hello\x01\xa3nsp\xa1/"
static const struct rc_span server = RC_SPAN("\x93\xa6"
                                             "abc123" PACKET "\x83\xa5rooms\x90\xa6"
                                             "except\x90\xa5"
                                             "flags\x80");
static const struct rc_span emitter = RC_SPAN("\x93\xa7"
                                              "emitter" PACKET "\x83\xa5rooms\x90\xa5"
                                              "flags\x80\xa6"
                                              "except\x90");

static void expect_event(struct rc_span data, const char *name, const char *args)
{
    uint8_t buffer[RC_ARGS_BEFORE_MAX + 1024];
    struct rc_adapter_event event;
    struct rc_args_view view;
    cr_assert_eq(rc_adapter_event_read(&event, &(struct rc_adapter_broadcast){.data = data}, buffer, sizeof(buffer)),
                 0);
    cr_assert(rc_span_equal(event.name, rc_span_text(name)));
    cr_assert_eq(rc_args_read(event.data, &view), 0);
    cr_assert(rc_span_equal(view.json, rc_span_text(args)), "%.*s", (int)view.json.count, view.json.bytes);
}

Test(adapter_wire, what_servers_and_emitters_send_is_read)
{
    const struct rc_span both[2] = {server, emitter};
    for (size_t i = 0; i < 2; i++) {
        struct rc_adapter_broadcast broadcast;
        cr_assert_eq(rc_adapter_broadcast_read(&broadcast, both[i]), 0);
        cr_assert(rc_span_equal(broadcast.uid, i == 0 ? RC_SPAN("abc123") : RC_SPAN("emitter")));
        cr_assert(rc_span_equal(broadcast.nsp, RC_SPAN("/")));
        cr_assert_eq(broadcast.type, RC_ADAPTER_EVENT);
        cr_assert_eq(broadcast.rooms.count + broadcast.except.count, 0);
        expect_event(broadcast.data, "hello", "[1]");
    }
}

Test(adapter_wire, a_flag_says_that_it_is_volatile)
{
    static const struct {
        struct rc_span flags;
        bool is_volatile;
    } cases[] = {
        {RC_SPAN("\x80"), false},
        {RC_SPAN("\x81\xa8volatile\xc3"), true},
        {RC_SPAN("\x81\xa8volatile\xc2"), false},
        {RC_SPAN("\x81\xa8volatile\x01"), false},
        {RC_SPAN("\x82\xa8"
                 "compress\xc2\xa8volatile\xc3"),
         true},
        {RC_SPAN("\x82\xa8volatile\xc3\xa7timeout\xcd\x03\xe8"), true},
        {RC_SPAN("\x81\xa1x\x81\xa8volatile\xc3"), false},
        {RC_SPAN("\x81\x01\xc3"), false},
        {RC_SPAN("\xc0"), false},
        {RC_SPAN("\x92\xa8volatile\xc3"), false},
        {RC_SPAN("\xa8volatile"), false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        struct rc_adapter_broadcast broadcast;
        const int head = snprintf(text, sizeof(text),
                                  "\x93\xa1u" PACKET "\x81\xa5"
                                  "flags");
        memcpy(text + head, cases[i].flags.bytes, cases[i].flags.count);
        const struct rc_span message = rc_span_of(text, (size_t)head + cases[i].flags.count);
        cr_assert_eq(rc_adapter_broadcast_read(&broadcast, message), 0, "%zu", i);
        cr_expect_eq(broadcast.is_volatile, cases[i].is_volatile, "%zu", i);
    }
}

Test(adapter_wire, every_cut_is_refused)
{
    for (size_t cut = 0; cut < server.count; cut++) {
        struct rc_adapter_broadcast broadcast;
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        memcpy(part, server.bytes, cut);
        cr_assert_eq(rc_adapter_broadcast_read(&broadcast, rc_span_of(part, cut)), -EBADMSG, "%zu", cut);
        free(part);
    }
}

Test(adapter_wire, missing_parts_mean_what_a_server_takes_them_for)
{
    struct rc_adapter_broadcast broadcast;
    cr_assert_eq(rc_adapter_broadcast_read(&broadcast, RC_SPAN("\x93\xa1u\x81\xa4type\x02\x80")), 0);
    cr_assert(rc_span_equal(broadcast.nsp, RC_SPAN("/")));
    cr_assert_eq(broadcast.rooms.count, 0);
    cr_assert_eq(
        rc_adapter_broadcast_read(
            &broadcast, RC_SPAN("\x93\xa1u\x83\xa4type\x02\xa3nsp\xc0\xa1x\x91\x80\x82\xa5rooms\xc0\xa1y\x01")),
        0);
    cr_assert(rc_span_equal(broadcast.nsp, RC_SPAN("/")));
    cr_assert_eq(broadcast.rooms.count, 0);
}

Test(adapter_wire, wrong_types_are_refused)
{
    static const struct rc_span wrong[] = {
        RC_SPAN("\x92\xa1u\x81\xa4type\x02"),
        RC_SPAN("\x94\xa1u\x81\xa4type\x02\x80\x80"),
        RC_SPAN("\x93\x01\x81\xa4type\x02\x80"),
        RC_SPAN("\x93\xa1u\x80\x80"),
        RC_SPAN("\x93\xa1u\x81\xa4type\xa1"
                "2\x80"),
        RC_SPAN("\x93\xa1u\x81\xa4type\xff\x80"),
        RC_SPAN("\x93\xa1u\x90\x80"),
        RC_SPAN("\x93\xa1u\x82\xa4type\x02\xa3nsp\x01\x80"),
        RC_SPAN("\x93\xa1u\x81\x01\x02\x80"),
        RC_SPAN("\x93\xa1u\x81\xa4type\x02\x81\xa5rooms\x80"),
        RC_SPAN("\x93\xa1u\x81\xa4type\x02\x81\xa6"
                "except\xa1r"),
        RC_SPAN("\x93\xa1u\x81\xa4type\x02\x80\x01"),
        RC_SPAN("{\"type\":2}"),
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct rc_adapter_broadcast broadcast;
        cr_assert_eq(rc_adapter_broadcast_read(&broadcast, wrong[i]), -EBADMSG, "%zu", i);
    }
}

Test(adapter_wire, rooms_are_texts_and_numbers)
{
    struct rc_adapter_broadcast broadcast;
    char scratch[RC_ADAPTER_SCRATCH_BYTES];
    struct rc_span room;
    const struct rc_span message =
        RC_SPAN("\x93\xa1u\x81\xa4type\x02\x81\xa5rooms\x99\xa3red\x2a\xd0\x9c\xc0\xa1\n\xa0\x90\xa1\xff\xa4"
                "blue");
    cr_assert_eq(rc_adapter_broadcast_read(&broadcast, message), 0);
    cr_assert_eq(broadcast.rooms.count, 9);
    static const char *const names[] = {"red", "42", "-100", "blue"};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(rc_adapter_room_next(&broadcast.rooms, scratch, &room), 1);
        cr_assert(rc_span_equal(room, rc_span_text(names[i])));
    }
    cr_assert_eq(rc_adapter_room_next(&broadcast.rooms, scratch, &room), 0);
}

Test(adapter_wire, what_is_no_event_is_refused)
{
    static const struct {
        struct rc_span data;
        int rc;
    } wrong[] = {
        {RC_SPAN(""), -EBADMSG},
        {RC_SPAN("\x90"), -EBADMSG},
        {RC_SPAN("\x91\xc0"), -EBADMSG},
        {RC_SPAN("\x91\x80"), -EBADMSG},
        {RC_SPAN("\xa1x"), -EBADMSG},
        {RC_SPAN("\x91\xa7"
                 "connect"),
         -EBADMSG},
        {RC_SPAN("\x91\xa1\xff"), -EILSEQ},
        {RC_SPAN("\x92\xa1x\xa1\xff"), -EILSEQ},
    };
    uint8_t buffer[RC_ARGS_BEFORE_MAX + 64];
    struct rc_adapter_event event;
    cr_assert_eq(rc_adapter_event_read(&event, &(struct rc_adapter_broadcast){.type = 2}, buffer, sizeof(buffer)),
                 -EBADMSG, "no data at all");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(rc_adapter_event_read(&event, &(struct rc_adapter_broadcast){.data = wrong[i].data}, buffer,
                                           sizeof(buffer)),
                     wrong[i].rc, "%zu", i);
    }
    const struct rc_span large =
        RC_SPAN("\x92\xa1x\xc4\x3e..............................................................");
    cr_assert_eq(rc_adapter_event_read(&event, &(struct rc_adapter_broadcast){.data = large}, buffer, sizeof(buffer)),
                 -EMSGSIZE);
}

Test(adapter_wire, ours_is_what_a_server_would_write)
{
    uint8_t data[128];
    uint8_t buffer[4096];
    rc_args_write(data, RC_SPAN("[1]"), NULL, 0);
    struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_ARGS, .data_bytes = (uint32_t)rc_args_bytes(3, 0, NULL)}, .data = data};
    const struct rc_adapter_message message = {
        .uid = RC_SPAN("abc123"), .nsp = RC_SPAN("/"), .event = RC_SPAN("hello"), .view = &view};
    cr_assert_leq(rc_adapter_message_room(&message), sizeof(buffer));
    cr_assert(rc_span_equal(rc_adapter_message_write(&message, buffer, sizeof(buffer)), server));
}

Test(adapter_wire, ours_reads_back_with_room_and_any_data)
{
    const struct rc_span attachment = RC_SPAN("\x00\xff");
    uint8_t args[128];
    const uint32_t size = 2;
    rc_args_write(args, RC_SPAN("[{\"_placeholder\":true,\"num\":0}]"), &attachment, 1);
    const struct {
        uint32_t flags;
        struct rc_span data;
        const char *expected;
    } cases[] = {
        {0, RC_SPAN("{\"a\":1.5}"), "[{\"a\":1.5}]"},
        {RC_ENVELOPE_BINARY, attachment, "[{\"_placeholder\":true,\"num\":0}]"},
        {RC_ENVELOPE_ARGS, rc_span_of(args, rc_args_bytes(31, 1, &size)), "[{\"_placeholder\":true,\"num\":0}]"},
    };
    for (size_t i = 0; i < 3; i++) {
        uint8_t buffer[4096];
        char scratch[RC_ADAPTER_SCRATCH_BYTES];
        struct rc_adapter_broadcast broadcast;
        struct rc_span room;
        struct rc_envelope_view view = {
            .head = {.flags = (uint16_t)cases[i].flags, .data_bytes = (uint32_t)cases[i].data.count},
            .data = cases[i].data.bytes};
        const struct rc_adapter_message message = {.uid = RC_SPAN("~ABCDE"),
                                                   .nsp = RC_SPAN("/admin"),
                                                   .room = RC_SPAN("red"),
                                                   .event = RC_SPAN("x"),
                                                   .view = &view};
        cr_assert_leq(rc_adapter_message_room(&message), sizeof(buffer));
        const struct rc_span bytes = rc_adapter_message_write(&message, buffer, sizeof(buffer));
        cr_assert_eq(rc_adapter_broadcast_read(&broadcast, bytes), 0);
        cr_assert(rc_span_equal(broadcast.nsp, RC_SPAN("/admin")));
        cr_assert_eq(rc_adapter_room_next(&broadcast.rooms, scratch, &room), 1);
        cr_assert(rc_span_equal(room, RC_SPAN("red")));
        expect_event(broadcast.data, "x", cases[i].expected);
    }
    struct rc_envelope_view lies = {.head = {.flags = RC_ENVELOPE_ARGS, .data_bytes = 3}, .data = args};
    const struct rc_adapter_message message = {.uid = RC_SPAN("u"), .nsp = RC_SPAN("/"), .view = &lies};
    uint8_t buffer[1024];
    cr_assert_eq(rc_adapter_message_write(&message, buffer, sizeof(buffer)).count, 0);
}

static uint32_t timeout_of(const char *flags, size_t count)
{
    struct rc_adapter_broadcast broadcast;
    uint8_t options[64] = "\x81\xa5"
                          "flags";
    memcpy(options + 7, flags, count);
    cr_assert_eq(rc_adapter_parts_read(&broadcast, RC_SPAN("\x81\xa4type\x02"), rc_span_of(options, 7 + count)), 0);
    return broadcast.timeout_ms;
}
#define TIMEOUT_OF(flags) timeout_of(flags, sizeof(flags) - 1)

Test(adapter_wire, how_long_answers_are_waited_for)
{
    cr_assert_eq(TIMEOUT_OF("\x80"), 0);
    cr_assert_eq(TIMEOUT_OF("\xc0"), 0);
    cr_assert_eq(TIMEOUT_OF("\x82\xa8volatile\xc3\xa7timeout\xcd\x13\x88"), 5000);
    cr_assert_eq(TIMEOUT_OF("\x81\xa7timeout\xcf\x00\x00\x00\x01\x00\x00\x00\x00"), UINT32_MAX);
    cr_assert_eq(TIMEOUT_OF("\x81\xa7timeout\xcb\x40\x59\x20\x00\x00\x00\x00\x00"), 100, "100.5");
    cr_assert_eq(TIMEOUT_OF("\x81\xa7timeout\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), UINT32_MAX, "Infinity");
    cr_assert_eq(TIMEOUT_OF("\x81\xa7timeout\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), 0, "NaN");
    cr_assert_eq(TIMEOUT_OF("\x81\xa7timeout\xff"), 0, "-1");
    cr_assert_eq(TIMEOUT_OF("\x81\xa7timeout\xa1x"), 0);
    cr_assert_eq(TIMEOUT_OF("\x82\x01\x02\xa7timeout\x05"), 0, "a map that JavaScript does not make");
}

static void expect_answer(const char *json, const struct rc_span *attachment, struct rc_span expected)
{
    uint8_t buffer[4096];
    struct rc_adapter_ack answer = {.id = RC_SPAN("abc")};
    uint8_t data[128];
    const uint32_t size = attachment != NULL ? (uint32_t)attachment->count : 0;
    const uint32_t count = attachment != NULL;
    rc_args_write(data, rc_span_text(json), attachment, count);
    cr_assert_eq(rc_args_read(rc_span_of(data, rc_args_bytes(strlen(json), count, &size)), &answer.args), 0);
    const size_t room = rc_adapter_ack_room(&answer);
    cr_assert_leq(room, sizeof(buffer));
    const struct rc_span written = rc_adapter_ack_write(&answer, buffer, room);
    cr_assert(rc_span_equal(written, expected), "%s", json);
}

Test(adapter_wire, what_a_client_answers)
{
    static const struct rc_span attachment = RC_SPAN("\x01\x02");
#define ANSWER                      \
    "\xa4type\x09\xa9requestId\xa3" \
    "abc"
    expect_answer("[]", NULL, RC_SPAN("\x82" ANSWER));
    expect_answer("[ 7 , 8]", NULL, RC_SPAN("\x83" ANSWER "\xa6packet\x07"));
    expect_answer("[null]", NULL, RC_SPAN("\x83" ANSWER "\xa6packet\xc0"));
    expect_answer("[{\"a\":[\"\\u00e9\"]}]", NULL,
                  RC_SPAN("\x83" ANSWER "\xa6packet\x81\xa1"
                          "a\x91\xa2\xc3\xa9"));
    expect_answer("[{\"b\":{\"_placeholder\":true,\"num\":0}}]", &attachment,
                  RC_SPAN("\x83" ANSWER "\xa6packet\x81\xa1"
                          "b\xc4\x02\x01\x02"));
    expect_answer("[{\"_placeholder\":true,\"num\":1}]", &attachment, (struct rc_span){0});
    expect_answer("{}", NULL, (struct rc_span){0});
}

Test(adapter_wire, what_is_volatile_here_is_volatile_there)
{
    uint8_t data[64];
    uint8_t buffer[1024];
    rc_args_write(data, RC_SPAN("[1]"), NULL, 0);
    const struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_ARGS | RC_ENVELOPE_VOLATILE, .data_bytes = (uint32_t)rc_args_bytes(3, 0, NULL)},
        .data = data};
    const struct rc_adapter_message message = {
        .uid = RC_SPAN("u"), .nsp = RC_SPAN("/"), .event = RC_SPAN("e"), .view = &view};
    const struct rc_span written = rc_adapter_message_write(&message, buffer, sizeof(buffer));
    struct rc_adapter_broadcast broadcast;
    cr_assert_eq(rc_adapter_broadcast_read(&broadcast, written), 0);
    cr_assert(broadcast.is_volatile);
    cr_assert_leq(written.count, rc_adapter_message_room(&message));
}
