/* Server-sent events: what a request asks for, what clients are told. Each expected text is what a reader of the standard's "Interpreting an event
 * stream" makes of it. */
#include "worker/proto/sse.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/proto/codec.h"

static struct rc_operation_scratch scratch;

/* The event as a text, written into no more room than was said to be enough. */
static const char *told(enum rc_codec_id codec, const struct rc_event *event)
{
    static char text[8192];
    const uint8_t encoding = rc_encoding_of(codec, RC_FRAMING_STREAM, 0);
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, event);
    uint8_t *out = malloc(bytes_max);
    cr_assert_not_null(out);
    const size_t bytes = rc_event_unit_write(encoding, NULL, event, bytes_max, out);
    cr_assert_leq(bytes, bytes_max);
    cr_assert_lt(bytes, sizeof(text));
    memcpy(text, out, bytes);
    text[bytes] = '\0';
    free(out);
    return text;
}

static struct rc_event message(const char *data)
{
    return (struct rc_event){.type = RC_EVENT_MESSAGE,
                             .channel = RC_SPAN("a"),
                             .channel_json = RC_SPAN("\"a\""),
                             .data = rc_span_text(data)};
}

Test(sse, a_message_is_an_event)
{
    struct rc_event event = message("{\"p\":1}");
    cr_expect_str_eq(told(RC_CODEC_SSE, &event),
                     "data: {\"type\":\"message\",\"channel\":\"a\",\"data\":{\"p\":1}}\n\n");
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &event), "data: {\"p\":1}\n\n");
    event.epoch = 0x5f3a1c9e22d0b417;
    event.offset = 300;
    event.event = RC_SPAN("chat");
    cr_expect_str_eq(
        told(RC_CODEC_SSE, &event),
        "id: 5f3a1c9e22d0b417:300\nevent: chat\ndata: {\"type\":\"message\",\"channel\":\"a\",\"offset\":300,"
        "\"event\":\"chat\",\"data\":{\"p\":1}}\n\n");
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &event), "id: 5f3a1c9e22d0b417:300\nevent: chat\ndata: {\"p\":1}\n\n");
    event.epoch = UINT64_MAX;
    event.offset = UINT64_MAX;
    cr_expect(strncmp(told(RC_CODEC_SSE_DATA, &event), "id: ffffffffffffffff:18446744073709551615\n", 42) == 0);
    event.epoch = 1;
    event.offset = 1;
    cr_expect(strncmp(told(RC_CODEC_SSE_DATA, &event), "id: 1:1\n", 8) == 0);
}

Test(sse, each_line_of_data_is_one)
{
    struct rc_event event = message("{\n\"p\":\r1\r\n}\n");
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &event), "data: {\ndata: \"p\":\ndata: 1\ndata: }\ndata: \n\n");
    cr_expect_str_eq(told(RC_CODEC_SSE, &event),
                     "data: {\"type\":\"message\",\"channel\":\"a\",\"data\":{\ndata: \"p\":\n"
                     "data: 1\ndata: }\ndata: }\n\n");
    event = message("\r");
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &event), "data: \ndata: \n\n");
    event = message("\n\n\n");
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &event), "data: \ndata: \ndata: \ndata: \n\n");
}

/* What a reader puts together of the `data` lines, with a line feed between them. */
static size_t data_read(const char *text, char *out)
{
    size_t bytes = 0;
    bool first = true;
    for (const char *line = text; *line != '\0';) {
        const char *end = strchr(line, '\n');
        cr_assert_not_null(end);
        if (end == line) {
            cr_assert_eq(line[1], '\0', "an empty line ends the event");
            break;
        }
        cr_assert_eq(strncmp(line, "data: ", 6), 0, "%s", text);
        if (!first) {
            out[bytes++] = '\n';
        }
        first = false;
        memcpy(out + bytes, line + 6, (size_t)(end - line - 6));
        bytes += (size_t)(end - line - 6);
        line = end + 1;
    }
    return bytes;
}

Test(sse, any_data_is_read_back)
{
    static const char letters[] = "\n\r\n\rxy:";
    unsigned seed = 1;
    for (int round = 0; round < 3000; round++) {
        char data[40];
        char wanted[sizeof(data)];
        char got[8192];
        const size_t count = (size_t)rand_r(&seed) % sizeof(data);
        size_t bytes = 0;
        for (size_t i = 0; i < count; i++) {
            data[i] = letters[(size_t)rand_r(&seed) % (sizeof(letters) - 1)];
            if (data[i] != '\n' || i == 0 || data[i - 1] != '\r') {
                wanted[bytes++] = data[i] == '\r' ? '\n' : data[i];
            }
        }
        struct rc_event event = message("");
        event.data = rc_span_of(data, count);
        const size_t read = data_read(told(RC_CODEC_SSE_DATA, &event), got);
        cr_assert_eq(read, bytes);
        cr_assert_eq(memcmp(got, wanted, bytes), 0);
    }
}

Test(sse, a_name_cannot_end_its_line)
{
    static const char *const names[] = {"a\nid: 1", "a\rdata: x", "\n", "\r\n"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct rc_event event = message("1");
        event.event = rc_span_text(names[i]);
        cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &event), "data: 1\n\n");
        const char *text = told(RC_CODEC_SSE, &event);
        cr_expect(strncmp(text, "data: ", 6) == 0 && strchr(text, '\n') == text + strlen(text) - 2, "%s", text);
    }
}

Test(sse, bytes_are_base64)
{
    struct rc_event event = message("");
    event.data = rc_span_of("\0\1\2\n", 4);
    event.data_kind = RC_DATA_BINARY;
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &event), "data: AAECCg==\n\n");
    cr_expect_str_eq(told(RC_CODEC_SSE, &event),
                     "data: {\"type\":\"message\",\"channel\":\"a\",\"data_base64\":\"AAECCg==\"}\n\n");
    event.data = rc_span_of("", 0);
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &event), "data: \n\n");
}

Test(sse, what_is_no_message_says_so)
{
    const struct rc_event gap = {.type = RC_EVENT_GAP, .channel = RC_SPAN("a"), .channel_json = RC_SPAN("\"a\"")};
    static const char wanted[] = "event: gap\ndata: {\"type\":\"gap\",\"channel\":\"a\"}\n\n";
    cr_expect_str_eq(told(RC_CODEC_SSE, &gap), wanted);
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &gap), wanted);
    const struct rc_event direct = {.type = RC_EVENT_DIRECT, .data = RC_SPAN("[1]")};
    cr_expect_str_eq(told(RC_CODEC_SSE, &direct), "data: {\"type\":\"direct\",\"data\":[1]}\n\n");
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &direct), "data: [1]\n\n");
}

Test(sse, the_end_is_an_event)
{
    const struct rc_framing *framing = &rc_framings[RC_FRAMING_STREAM];
    uint8_t out[RC_CLOSE_BYTES_MAX + 1];
    uint8_t goodbye[RC_GOODBYE_BYTES_MAX];
    out[framing->close_write(out, 4000, "slow_consumer", 13)] = '\0';
    cr_expect_str_eq((char *)out, "event: close\ndata: {\"code\":4000,\"reason\":\"slow_consumer\"}\n\n");
    out[framing->close_write(out, 4501, NULL, 0)] = '\0';
    cr_expect_str_eq((char *)out, "event: close\ndata: {\"code\":4501,\"reason\":\"\"}\n\n");
    out[framing->close_write(out, 4501, "a\n\nevent: x", 11)] = '\0';
    cr_expect_str_eq((char *)out, "event: close\ndata: {\"code\":4501,\"reason\":\"a\"}\n\n");
    char reason[124];
    memset(reason, 'x', sizeof(reason));
    cr_expect_leq(framing->close_write(out, UINT16_MAX, reason, 123), RC_CLOSE_BYTES_MAX);
    const size_t bytes = rc_codec_sse.goodbye(goodbye, UINT32_MAX);
    out[framing->close_write(out, RC_CLOSE_SERVICE_RESTART, (char *)goodbye, bytes)] = '\0';
    cr_expect_str_eq((char *)out,
                     "retry: 4294967295\nevent: close\ndata: {\"code\":1012,\"reason\":\"service_restart\"}\n\n");
}

/* --- what is asked for ----------------------------------------------------------------------------------------------- */

/* The channels, with a comma behind each: "+" where retained values are wanted, "<" and how many of the newest messages, "@" and where it goes on; "!" for
 * what is wrong. */
static const char *asked(const char *text)
{
    static char found[2048];
    struct rc_reader reader;
    struct rc_operation operation;
    struct rc_operation_error error;
    size_t bytes = 0;
    int rc;
    rc_reader_begin(&reader, &rc_codec_sse, RC_PART_TEXT, rc_span_text(text), &scratch, NULL);
    found[0] = '\0';
    while ((rc = rc_reader_next(&reader, &operation, &error)) != 0) {
        if (rc < 0) {
            cr_assert_eq(error.code, RC_CODE_BAD_REQUEST);
            bytes += (size_t)snprintf(found + bytes, sizeof(found) - bytes, "!,");
            continue;
        }
        cr_assert_eq(operation.type, RC_OPERATION_SUBSCRIBE);
        cr_assert_gt(operation.id.count, 0, "it is answered");
        bytes += (size_t)snprintf(found + bytes, sizeof(found) - bytes, "%.*s%s", (int)operation.channel.count,
                                  (const char *)operation.channel.bytes, operation.retained ? "+" : "");
        if (operation.limit > 0) {
            bytes += (size_t)snprintf(found + bytes, sizeof(found) - bytes, "<%u", operation.limit);
        }
        if (operation.recovers) {
            bytes += (size_t)snprintf(found + bytes, sizeof(found) - bytes, "@%.*s:%llu", (int)operation.epoch.count,
                                      (const char *)operation.epoch.bytes, (unsigned long long)operation.since);
        }
        bytes += (size_t)snprintf(found + bytes, sizeof(found) - bytes, ",");
    }
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), 0);
    return found;
}

Test(sse, a_request_asks_for_channels)
{
    char text[400] = "\n\n\n";
    cr_expect_str_eq(asked(""), "");
    cr_expect_str_eq(asked("\n\n"), "");
    cr_expect_str_eq(asked("\n\n\n"), "");
    cr_expect_str_eq(asked("\n\n\na"), "", "it has no end");
    cr_expect_str_eq(asked("\n\n\na\n"), "a,");
    cr_expect_str_eq(asked("\n\n\na\nb:1\nc d\n"), "a,b:1,c d,");
    cr_expect_str_eq(asked("retained\n\n\na\nb\n"), "a+,b+,");
    cr_expect_str_eq(asked("retaine\n\n\na\n"), "a,");
    cr_expect_str_eq(asked("\n\n\n\n\n"), ",,", "what a channel may be called is not the codec's to say");
    cr_expect_str_eq(asked("\n5f:300\n\na\nb\n"), "a@5f:300,b@5f:300,", "it is that of one of them");
    cr_expect_str_eq(asked("\n5f:300,x,6:7\n\na\nb\nc\nd\n"), "a@5f:300,b@0:0,c@6:7,d@0:0,");
    cr_expect_str_eq(asked("\nanother server's\n\na\n"), "a@0:0,");
    cr_expect_str_eq(asked("\n\n5\na\nb\n"), "a<5,b<5,");
    cr_expect_str_eq(asked("\n\n4294967295\na\n"), "a<4294967295,");
    cr_expect_str_eq(asked("\n\n4294967296\na\n"), "a,");
    cr_expect_str_eq(asked("\n\n5x\na\n"), "a,");
    memset(text + 3, 'x', RC_CHANNEL_BYTES_MAX + 1);
    text[3 + RC_CHANNEL_BYTES_MAX] = '\n';
    cr_expect_eq(strlen(asked(text)), RC_CHANNEL_BYTES_MAX + 1);
    memcpy(text + 3 + RC_CHANNEL_BYTES_MAX, "x\nb\n", 5);
    cr_expect_str_eq(asked(text), "!,b,");
}

Test(sse, positions_are_read_back)
{
    static const struct {
        const char *list;
        uint32_t index;
        const char *epoch; /* NULL: there is none */
        uint64_t offset;
    } places[] = {
        {"5f3a1c9e22d0b417:300", 0, "5f3a1c9e22d0b417", 300},
        {"5f3a1c9e22d0b417:300", 9, "5f3a1c9e22d0b417", 300},
        {"a:1,b:2", 0, "a", 1},
        {"a:1,b:2", 1, "b", 2},
        {"a:1,b:2", 2, NULL, 0},
        {",b:2", 0, NULL, 0},
        {",b:2", 1, "b", 2},
        {"a:1,", 1, NULL, 0},
        {"", 0, NULL, 0},
        {":1", 0, NULL, 0},
        {"a:", 0, NULL, 0},
        {"a", 0, NULL, 0},
        {"a:-1", 0, NULL, 0},
        {"a:1 ", 0, NULL, 0},
        {"a:9007199254740992", 0, "a", RC_OFFSET_MAX},
        {"a:9007199254740993", 0, NULL, 0},
        {"a:99999999999999999999999999", 0, NULL, 0},
        {"a:0", 0, "a", 0},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct rc_span epoch;
        uint64_t offset;
        const bool is = rc_sse_position_of(rc_span_text(places[i].list), places[i].index, &epoch, &offset);
        cr_assert_eq(is, places[i].epoch != NULL, "%s", places[i].list);
        cr_assert(!is || (rc_span_equal(epoch, rc_span_text(places[i].epoch)) && offset == places[i].offset), "%s",
                  places[i].list);
    }
}

Test(sse, who_subscribes_is_told_its_place_and_who_cannot_go_on_that)
{
    struct rc_event event = {.type = RC_EVENT_SUBSCRIBED,
                             .id = RC_SPAN("0"),
                             .channel = RC_SPAN("a"),
                             .channel_json = RC_SPAN("\"a\""),
                             .epoch = 0x5f,
                             .offset = 7};
    cr_expect_str_eq(told(RC_CODEC_SSE, &event), "id: 5f:7\n\n");
    event.offset = 0;
    cr_expect_str_eq(told(RC_CODEC_SSE, &event), "id: 5f:0\n\n", "before its first message");
    event.offset = 7;
    event.recovery = RC_RECOVERED;
    cr_expect_str_eq(told(RC_CODEC_SSE, &event), ":\n\n", "what is behind its own place comes next");
    event.recovery = RC_NOT_RECOVERED;
    static const char reset[] = "id: 5f:7\nevent: reset\ndata: {\"type\":\"subscribed\",\"channel\":\"a\","
                                "\"recovered\":false,\"epoch\":\"5f\",\"offset\":7}\n\n";
    cr_expect_str_eq(told(RC_CODEC_SSE, &event), reset);
    cr_expect_str_eq(told(RC_CODEC_SSE_DATA, &event), reset);
    event.epoch = event.offset = 0;
    cr_expect_str_eq(told(RC_CODEC_SSE, &event),
                     "event: reset\ndata: {\"type\":\"subscribed\",\"channel\":\"a\",\"recovered\":false}\n\n");
    event.recovery = RC_RECOVERY_NOT_ASKED;
    cr_expect_str_eq(told(RC_CODEC_SSE, &event), ":\n\n");
}
