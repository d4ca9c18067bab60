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

/* The channels, with a comma behind each, "+" where retained values are wanted, and "!" for what is wrong. */
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
        if (rc == 1) {
            cr_assert_eq(operation.type, RC_OPERATION_SUBSCRIBE);
            cr_assert_eq(operation.id.count, 0);
        } else {
            cr_assert_eq(error.code, RC_CODE_BAD_REQUEST);
        }
        bytes += (size_t)snprintf(
            found + bytes, sizeof(found) - bytes, "%.*s%s%s,", rc == 1 ? (int)operation.channel.count : 1,
            rc == 1 ? (const char *)operation.channel.bytes : "!", rc == 1 && operation.retained ? "+" : "", "");
    }
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), 0);
    return found;
}

Test(sse, a_request_asks_for_channels)
{
    char text[400] = "\n\n";
    cr_expect_str_eq(asked(""), "");
    cr_expect_str_eq(asked("\n"), "");
    cr_expect_str_eq(asked("\n\n"), "");
    cr_expect_str_eq(asked("\n\na"), "", "it has no end");
    cr_expect_str_eq(asked("\n\na\n"), "a,");
    cr_expect_str_eq(asked("\n1:2\na\nb:1\nc d\n"), "a,b:1,c d,");
    cr_expect_str_eq(asked("retained\n\na\nb\n"), "a+,b+,");
    cr_expect_str_eq(asked("retaine\nretained\na\n"), "a,");
    cr_expect_str_eq(asked("\n\n\n\n"), ",,", "what a channel may be called is not the codec's to say");
    memset(text + 2, 'x', RC_CHANNEL_BYTES_MAX + 1);
    text[2 + RC_CHANNEL_BYTES_MAX] = '\n';
    cr_expect_eq(strlen(asked(text)), RC_CHANNEL_BYTES_MAX + 1);
    memcpy(text + 2 + RC_CHANNEL_BYTES_MAX, "x\nb\n", 5);
    cr_expect_str_eq(asked(text), "!,b,");
}

Test(sse, positions_are_read_back)
{
    struct rc_span list =
        RC_SPAN("5f3a1c9e22d0b417:300,x,:1,1:,0:1,g:1,1:9007199254740993,11112222333344445:1,ffffffffffffffff:"
                "9007199254740992,,1:-1,1:1 ,2:0");
    struct rc_sse_position position;
    cr_assert(rc_sse_position_next(&list, &position));
    cr_expect(position.epoch == 0x5f3a1c9e22d0b417 && position.offset == 300);
    cr_assert(rc_sse_position_next(&list, &position));
    cr_expect(position.epoch == UINT64_MAX && position.offset == RC_OFFSET_MAX);
    cr_assert(rc_sse_position_next(&list, &position));
    cr_expect(position.epoch == 2 && position.offset == 0);
    cr_expect(!rc_sse_position_next(&list, &position));
}
