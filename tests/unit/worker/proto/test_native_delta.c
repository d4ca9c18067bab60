/* Messages with versions, in both forms, as docs/protocol.md has them; all else as without. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "worker/proto/codec.h"

/* The payload that a group of that codec gets. */
static struct rc_span encoded(enum rc_codec_id codec, const struct rc_event *event)
{
    static uint8_t out[4096];
    const uint8_t encoding = rc_encoding_of(codec, RC_FRAMING_WEBSOCKET, 0);
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, event);
    uint8_t *unit = malloc(bytes_max);
    cr_assert_leq(bytes_max, sizeof(out));
    const size_t bytes = rc_event_unit_write(encoding, NULL, event, bytes_max, unit);
    cr_assert_leq(bytes, bytes_max);
    memcpy(out, unit, bytes);
    free(unit);
    const size_t head = out[1] < 126 ? 2 : 4;
    return rc_span_of(out + head, bytes - head);
}

static void json_is(const struct rc_event *event, const char *text)
{
    const struct rc_span got = encoded(RC_CODEC_JSON_DELTA, event);
    cr_assert(rc_span_equal(got, rc_span_text(text)), "%.*s", (int)got.count, (const char *)got.bytes);
}

Test(native_delta, json)
{
    struct rc_event_delta delta = {.version = 7, .base = 6};
    struct rc_event event = {
        .type = RC_EVENT_MESSAGE, .channel = RC_SPAN("book:1"), .data = RC_SPAN("{\"p\":1}"), .delta = &delta};
    json_is(&event, "{\"type\":\"message\",\"channel\":\"book:1\",\"version\":7,\"full\":\"{\\\"p\\\":1}\"}");
    delta.bytes = RC_SPAN("7\n7@0,2_a;");
    json_is(&event, "{\"type\":\"message\",\"channel\":\"book:1\",\"base\":6,\"delta\":\"7\\n7@0,2_a;\"}");
    event.offset = 300;
    event.from = RC_SPAN("web1~x");
    event.event = RC_SPAN("e");
    delta.key = RC_SPAN("k");
    json_is(&event,
            "{\"type\":\"message\",\"channel\":\"book:1\",\"from\":\"web1~x\",\"offset\":300,\"base\":6,\"key\":\"k\","
            "\"event\":\"e\",\"delta\":\"7\\n7@0,2_a;\"}");
}

Test(native_delta, binary)
{
    static const uint8_t whole[] = {0x85, 0x00, 0x07, 0x06, 'b', 'o', 'o', 'k', ':',
                                    '1',  '{',  '"',  'p',  '"', ':', '1', '}'};
    static const uint8_t more[] = {0x85, 0xb3, 0x06, 0xac, 0x02, 0x06, 'b', 'o',  'o', 'k', ':',  '1', 0x01, 'k',
                                   0x06, 'w',  'e',  'b',  '1',  '~',  'x', 0x01, 'e', '0', '\n', '0', ';'};
    struct rc_event_delta delta = {.version = 7, .base = 6};
    struct rc_event event = {
        .type = RC_EVENT_MESSAGE, .channel = RC_SPAN("book:1"), .data = RC_SPAN("{\"p\":1}"), .delta = &delta};
    cr_assert(rc_span_equal(encoded(RC_CODEC_BINARY_DELTA, &event), rc_span_of(whole, sizeof(whole))));
    event.offset = 300;
    event.from = RC_SPAN("web1~x");
    event.event = RC_SPAN("e");
    delta.key = RC_SPAN("k");
    delta.bytes = RC_SPAN("0\n0;");
    cr_assert(rc_span_equal(encoded(RC_CODEC_BINARY_DELTA, &event), rc_span_of(more, sizeof(more))));
    event.data_kind = RC_DATA_BINARY; /* on a connection of the JSON form, too */
    cr_assert_eq(encoded(RC_CODEC_JSON_DELTA, &event).bytes[0], 0x85);
    cr_assert_eq(encoded(RC_CODEC_JSON_DELTA, &event).bytes[1], 0xb7);
}

Test(native_delta, all_else_is_as_without)
{
    const struct rc_event events[] = {
        {.type = RC_EVENT_MESSAGE, .channel = RC_SPAN("a"), .data = RC_SPAN("1")},
        {.type = RC_EVENT_MESSAGE, .channel = RC_SPAN("a"), .data = RC_SPAN("1"), .data_kind = RC_DATA_BINARY},
        {.type = RC_EVENT_GAP, .channel = RC_SPAN("a")},
    };
    uint8_t copy[256];
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        for (int form = 0; form < 2; form++) {
            const struct rc_span plain = encoded(form == 0 ? RC_CODEC_JSON : RC_CODEC_BINARY, &events[i]);
            const size_t count = plain.count;
            memcpy(copy, plain.bytes, count);
            cr_assert(rc_span_equal(encoded(form == 0 ? RC_CODEC_JSON_DELTA : RC_CODEC_BINARY_DELTA, &events[i]),
                                    rc_span_of(copy, count)));
        }
    }
}

Test(native_delta, encodings_go_there_and_back)
{
    for (uint8_t encoding = 0; encoding < RC_ENCODING_COUNT; encoding++) {
        const uint8_t delta = rc_encoding_delta(encoding);
        const enum rc_codec_id codec = rc_encoding_codec(encoding);
        const bool has = codec == RC_CODEC_JSON || codec == RC_CODEC_BINARY;
        cr_assert_eq(delta != encoding, has);
        cr_assert_eq(rc_encoding_is_delta(encoding), codec == RC_CODEC_JSON_DELTA || codec == RC_CODEC_BINARY_DELTA);
        cr_assert_eq(rc_encoding_of_client(delta), has ? encoding : rc_encoding_of_client(encoding));
        if (has) {
            cr_assert_eq(rc_encoding_codec(delta),
                         codec == RC_CODEC_JSON ? RC_CODEC_JSON_DELTA : RC_CODEC_BINARY_DELTA);
            cr_assert_eq(rc_encoding_window_bits(delta), rc_encoding_window_bits(encoding));
        }
    }
}
