/*
 * The receiver: what a peer sends against the events that come out, whole, cut at every place, and byte by byte.
 *
 * A run is written down as a transcript, one line per event; every way of cutting must give the same transcript.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/ws/mask.h"
#include "worker/ws/receive.h"

#define WIRE_MAX (160u * 1024u)

struct wire {
    uint8_t bytes[WIRE_MAX];
    size_t n;
};

/* The accumulation buffer under test: checks the contract of `reserve` and fails after `reserves_allowed` calls. */
struct buffer {
    uint8_t *bytes;
    size_t capacity;
    size_t reserves;
    size_t largest;
    size_t reserves_allowed;
};

struct run {
    char transcript[32768];
    size_t transcript_bytes;
    struct buffer buffer;
    struct rc_ws_receiver receiver;
};

static const struct rc_ws_limits server = {
    .message_bytes_max = 20000, .frames_per_message_max = 16, .require_mask = true};

static uint8_t *reserve(void *context, size_t bytes_total, size_t used)
{
    struct buffer *buffer = context;
    cr_assert_geq(bytes_total, used);
    if (buffer->reserves == buffer->reserves_allowed) {
        return NULL;
    }
    buffer->reserves++;
    if (bytes_total > buffer->largest) {
        buffer->largest = bytes_total;
    }
    if (bytes_total > buffer->capacity) {
        /* Always moved, so that a pointer kept too long is seen. */
        uint8_t *moved = malloc(bytes_total);
        if (used != 0) {
            memcpy(moved, buffer->bytes, used);
        }
        free(buffer->bytes);
        buffer->bytes = moved;
        buffer->capacity = bytes_total;
    }
    return buffer->bytes;
}

static void frame_raw(struct wire *wire, uint8_t first, uint32_t key, const void *payload, size_t n)
{
    uint8_t *header = wire->bytes + wire->n;
    size_t header_bytes = rc_ws_header_write(header, true, 0, 0, n);
    header[0] = first;
    header[1] |= 0x80;
    memcpy(header + header_bytes, &key, 4);
    if (n != 0) {
        memcpy(header + header_bytes + 4, payload, n);
    }
    rc_ws_mask(header + header_bytes + 4, n, key, 0);
    wire->n += header_bytes + 4 + n;
}

static void frame(struct wire *wire, uint8_t first, const char *payload)
{
    frame_raw(wire, first, 0x8C13A5F0u + (uint32_t)wire->n * 0x01010193u, payload, strlen(payload));
}

static uint32_t sum_of(const uint8_t *bytes, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum = sum * 31 + bytes[i];
    }
    return sum;
}

static void note(struct run *run, const struct rc_ws_event *event)
{
    static const char *const names[] = {"none", "message", "ping", "pong", "close", "error"};
    char text[64] = "";
    if (event->type != RC_WS_EVENT_ERROR) {
        cr_assert_not_null(event->payload);
    }
    if (event->bytes <= 40) {
        memcpy(text, event->payload == NULL ? (const uint8_t *)"" : event->payload, event->bytes);
    } else {
        snprintf(text, sizeof(text), "sum=%08x", sum_of(event->payload, event->bytes));
    }
    run->transcript_bytes += (size_t)snprintf(
        run->transcript + run->transcript_bytes, sizeof(run->transcript) - run->transcript_bytes,
        "%s%s op=%u code=%u bytes=%zu %s%s\n", names[event->type], event->compressed ? " compressed" : "",
        event->opcode, event->close_code, event->bytes, text, event->reason == NULL ? "" : event->reason);
    cr_assert_lt(run->transcript_bytes, sizeof(run->transcript));
}

static void feed(struct run *run, const uint8_t *bytes, size_t n, const struct rc_ws_limits *limits)
{
    const struct rc_ws_buffer_ops ops = {.reserve = reserve, .context = &run->buffer};
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    struct rc_ws_event event;
    size_t at = 0;
    if (n != 0) {
        memcpy(copy, bytes, n);
    }
    do {
        size_t used = rc_ws_receive(&run->receiver, copy + at, n - at, limits, &ops, &event);
        cr_assert_leq(used, n - at);
        at += used;
        if (event.type != RC_WS_EVENT_NONE) {
            note(run, &event);
        } else {
            cr_assert_eq(at, n);
            /* An idle receiver is a zeroed one. */
            if (rc_ws_receiver_idle(&run->receiver)) {
                memset(&run->receiver, 0, sizeof(run->receiver));
            }
        }
        if (!rc_ws_receiver_uses_buffer(&run->receiver) && run->buffer.bytes != NULL) {
            free(run->buffer.bytes);
            run->buffer.bytes = NULL;
            run->buffer.capacity = 0;
        }
    } while (event.type != RC_WS_EVENT_NONE);
    free(copy);
}

static struct run *start(void)
{
    struct run *run = calloc(1, sizeof(*run));
    run->buffer.reserves_allowed = SIZE_MAX;
    return run;
}

static void finish(struct run *run)
{
    free(run->buffer.bytes);
    free(run);
}

/* Feeds the wire whole, at every split point and in steps of 1, 2, 3, 5 and 7 bytes: always the expected transcript. */
static void expect(const struct wire *wire, const struct rc_ws_limits *limits, const char *expected)
{
    struct run *run = start();
    feed(run, wire->bytes, wire->n, limits);
    cr_assert_str_eq(run->transcript, expected);
    finish(run);
    for (size_t split = 0; split <= wire->n; split++) {
        run = start();
        feed(run, wire->bytes, split, limits);
        feed(run, wire->bytes + split, wire->n - split, limits);
        cr_assert_str_eq(run->transcript, expected, "split at %zu:\n%s", split, run->transcript);
        finish(run);
    }
    static const size_t steps[] = {1, 2, 3, 5, 7};
    for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
        run = start();
        for (size_t at = 0; at < wire->n; at += steps[s]) {
            feed(run, wire->bytes + at, wire->n - at < steps[s] ? wire->n - at : steps[s], limits);
        }
        cr_assert_str_eq(run->transcript, expected, "steps of %zu:\n%s", steps[s], run->transcript);
        finish(run);
    }
}

/* As expect(), for a wire whose outcome is its last line and whose earlier lines do not matter. */
static void expect_error(const struct wire *wire, const struct rc_ws_limits *limits, unsigned code, const char *reason)
{
    char expected[256];
    snprintf(expected, sizeof(expected), "error op=0 code=%u bytes=0 %s\n", code, reason);
    expect(wire, limits, expected);
}

static struct wire *new_wire(void)
{
    struct wire *wire = malloc(sizeof(*wire));
    wire->n = 0;
    return wire;
}

Test(ws_receive, whole_messages_of_each_kind)
{
    struct wire *wire = new_wire();
    frame(wire, 0x81, "Hello");
    frame(wire, 0x82, "\x01\x02\xFF");
    frame(wire, 0x81, "");
    frame(wire, 0x82, "");
    frame_raw(wire, 0x81, 0, "key zero", 8);
    frame(wire, 0x81, "\xE2\x82\xAC");
    expect(wire, &server,
           "message op=1 code=0 bytes=5 Hello\n"
           "message op=2 code=0 bytes=3 \x01\x02\xFF\n"
           "message op=1 code=0 bytes=0 \n"
           "message op=2 code=0 bytes=0 \n"
           "message op=1 code=0 bytes=8 key zero\n"
           "message op=1 code=0 bytes=3 \xE2\x82\xAC\n");
    free(wire);
}

Test(ws_receive, whole_frames_are_delivered_where_they_lie_without_the_buffer)
{
    struct wire *wire = new_wire();
    struct run *run = start();
    struct rc_ws_event event;
    const struct rc_ws_buffer_ops ops = {.reserve = reserve, .context = &run->buffer};

    frame(wire, 0x81, "Hello");
    size_t first = wire->n;
    frame(wire, 0x89, "Hi");
    cr_assert_eq(rc_ws_receive(&run->receiver, wire->bytes, wire->n, &server, &ops, &event), first);
    cr_assert_eq(event.payload, wire->bytes + 6);
    cr_assert(rc_ws_receiver_idle(&run->receiver));
    cr_assert_eq(rc_ws_receive(&run->receiver, wire->bytes + first, wire->n - first, &server, &ops, &event),
                 wire->n - first);
    cr_assert_eq(event.type, RC_WS_EVENT_PING);
    cr_assert_eq(event.payload, wire->bytes + first + 6);
    cr_assert_eq(run->buffer.reserves, 0);

    /* Also when only the header came before. */
    wire->n = 0;
    frame(wire, 0x81, "Hello");
    cr_assert_eq(rc_ws_receive(&run->receiver, wire->bytes, 6, &server, &ops, &event), 6);
    cr_assert_eq(event.type, RC_WS_EVENT_NONE);
    cr_assert_not(rc_ws_receiver_idle(&run->receiver));
    cr_assert_eq(rc_ws_receive(&run->receiver, wire->bytes + 6, 5, &server, &ops, &event), 5);
    cr_assert_eq(event.payload, wire->bytes + 6);
    cr_assert_eq(run->buffer.reserves, 0);
    finish(run);
    free(wire);
}

Test(ws_receive, fragments_with_control_frames_between_them)
{
    struct wire *wire = new_wire();
    frame(wire, 0x01, "Hel");
    frame(wire, 0x89, "are you there?");
    frame(wire, 0x00, "");
    frame(wire, 0x00, "lo \xE2");
    frame(wire, 0x8A, "");
    frame(wire, 0x00, "\x82");
    frame(wire, 0x80, "\xAC!");
    frame(wire, 0x02, "");
    frame(wire, 0x80, "");
    frame(wire, 0x01, "");
    frame(wire, 0x80, "x");
    frame(wire, 0x01, "y");
    frame(wire, 0x80, "");
    expect(wire, &server,
           "ping op=9 code=0 bytes=14 are you there?\n"
           "pong op=10 code=0 bytes=0 \n"
           "message op=1 code=0 bytes=10 Hello \xE2\x82\xAC!\n"
           "message op=2 code=0 bytes=0 \n"
           "message op=1 code=0 bytes=1 x\n"
           "message op=1 code=0 bytes=1 y\n");
    free(wire);
}

/* Lengths around every change of the header's form, each as one frame and as two. */
Test(ws_receive, every_form_of_length)
{
    static const size_t lengths[] = {124, 125, 126, 127, 128, 300, 4095, 9000, 65535, 65536, 70000};
    const struct rc_ws_limits limits = {.message_bytes_max = 70000, .require_mask = true};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t n = lengths[i];
        struct wire *wire = malloc(sizeof(*wire));
        uint8_t *payload = malloc(n);
        char line[160];
        for (size_t j = 0; j < n; j++) {
            payload[j] = (uint8_t)('a' + j * j % 23);
        }
        snprintf(line, sizeof(line), "message op=1 code=0 bytes=%zu sum=%08x\n", n, sum_of(payload, n));
        wire->n = 0;
        frame_raw(wire, 0x81, 0xDEADBEEF, payload, n);
        size_t one = wire->n;
        frame_raw(wire, 0x01, 0xDEADBEEF, payload, n / 3);
        frame_raw(wire, 0x80, 0x12345678, payload + n / 3, n - n / 3);
        char expected[330];
        snprintf(expected, sizeof(expected), "%s%s", line, line);
        for (size_t step = 1; step <= 2 * n; step = step * 3 + 1) {
            struct run *run = start();
            for (size_t at = 0; at < wire->n; at += step) {
                feed(run, wire->bytes + at, wire->n - at < step ? wire->n - at : step, &limits);
            }
            cr_assert_str_eq(run->transcript, expected, "length %zu step %zu", n, step);
            cr_assert_leq(run->buffer.largest, 2 * n + 4096);
            finish(run);
        }
        cr_assert_gt(one, n);
        free(payload);
        free(wire);
    }
}

/* A claimed length must not make us hold memory that the peer did not pay for. */
Test(ws_receive, buffer_follows_what_arrived_not_what_was_claimed)
{
    const struct rc_ws_limits limits = {.message_bytes_max = 1u << 30, .require_mask = true};
    uint8_t header[14] = {0x82, 0xFF, 0, 0, 0, 0, 0x3F, 0, 0, 0, 0, 0, 0, 0};
    struct run *run = start();
    uint8_t payload[1000] = {0};
    size_t sent = 0;
    feed(run, header, sizeof(header), &limits);
    cr_assert_eq(run->buffer.reserves, 0);
    for (int i = 0; i < 300; i++) {
        feed(run, payload, sizeof(payload), &limits);
        sent += sizeof(payload);
        cr_assert_leq(run->buffer.largest, 2 * sent + 4096);
        cr_assert_geq(run->buffer.largest, sent);
    }
    cr_assert(rc_ws_receiver_uses_buffer(&run->receiver));
    cr_assert_str_empty(run->transcript);
    finish(run);
}

Test(ws_receive, text_that_is_not_utf8_fails_at_once)
{
    static const char *const texts[] = {"\xCE\xBA\xE1\xBD\xB9\xED\xA0\x80 edited",
                                        "\xFF",
                                        "ok ok ok \xC0\xAF",
                                        "\xF4\x90\x80\x80",
                                        "incomplete \xE2\x82",
                                        "\x80"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *reason = i == 4 ? "text ends inside a code point" : "text is not UTF-8";
        struct wire *wire = new_wire();
        frame(wire, 0x81, texts[i]);
        expect_error(wire, &server, 1007, reason);
        wire->n = 0;
        for (const char *c = texts[i]; *c != '\0'; c++) {
            frame(wire, c == texts[i] ? 0x01 : 0x00, (char[]){*c, '\0'});
        }
        frame(wire, 0x80, "");
        const struct rc_ws_limits many = {
            .message_bytes_max = 100, .frames_per_message_max = 100, .require_mask = true};
        expect_error(wire, &many, 1007, reason);
        free(wire);
    }
    /* In the middle of a frame: nothing after the impossible byte is waited for. */
    struct wire *wire = new_wire();
    struct run *run = start();
    frame(wire, 0x81, "good so far\xF4\x90 and more that never comes");
    feed(run, wire->bytes, 6 + 13, &server);
    cr_assert_str_eq(run->transcript, "error op=0 code=1007 bytes=0 text is not UTF-8\n");
    finish(run);
    free(wire);
}

Test(ws_receive, binary_and_compressed_payloads_are_not_checked_for_utf8)
{
    const struct rc_ws_limits deflate = {.message_bytes_max = 100, .deflate = true, .require_mask = true};
    struct wire *wire = new_wire();
    frame(wire, 0x82, "\xFF\xFE");
    frame(wire, 0xC1, "\xFF\xFE");
    frame(wire, 0x41, "\xFF");
    frame(wire, 0x80, "\xFE");
    frame(wire, 0x81, "plain");
    expect(wire, &deflate,
           "message op=2 code=0 bytes=2 \xFF\xFE\n"
           "message compressed op=1 code=0 bytes=2 \xFF\xFE\n"
           "message compressed op=1 code=0 bytes=2 \xFF\xFE\n"
           "message op=1 code=0 bytes=5 plain\n");
    free(wire);
}

Test(ws_receive, violations_of_the_framing_are_1002)
{
    static const struct {
        uint8_t first[3];
        const char *reason;
        bool deflate;
    } vectors[] = {
        {{0xA1}, "RSV2 or RSV3 set", false},
        {{0x91}, "RSV2 or RSV3 set", true},
        {{0xC1}, "RSV1 set without a negotiated extension", false},
        {{0xC9}, "RSV1 set on a control frame", true},
        {{0x01, 0xC0}, "RSV1 set on a continuation frame", true},
        {{0x80}, "continuation frame without a message to continue", false},
        {{0x00}, "continuation frame without a message to continue", false},
        {{0x01, 0x81}, "new message inside a fragmented one", false},
        {{0x01, 0x02}, "new message inside a fragmented one", false},
        {{0x83}, "reserved opcode", false},
        {{0x8B}, "reserved opcode", false},
        {{0x09}, "fragmented control frame", false},
        {{0x01, 0x89, 0x00}, NULL, false},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct rc_ws_limits limits = server;
        limits.deflate = vectors[i].deflate;
        struct wire *wire = new_wire();
        for (size_t j = 0; j < 3 && (vectors[i].first[j] != 0 || j == 0); j++) {
            frame(wire, vectors[i].first[j], "ab");
        }
        frame(wire, 0x81, "swallowed");
        if (vectors[i].reason != NULL) {
            expect_error(wire, &limits, 1002, vectors[i].reason);
        }
        free(wire);
    }
    struct wire *wire = new_wire();
    memcpy(wire->bytes, "\x81\x05Hello", 7);
    wire->n = 7;
    expect_error(wire, &server, 1002, "frame not masked");
    const struct rc_ws_limits client = {.message_bytes_max = 100, .require_mask = false};
    expect(wire, &client, "message op=1 code=0 bytes=5 Hello\n");
    wire->n = 0;
    frame(wire, 0x81, "Hello");
    expect_error(wire, &client, 1002, "masked frame from a server");
    memcpy(wire->bytes, "\x89\xFE\x00\x7E", 4);
    wire->n = 4;
    expect_error(wire, &server, 1002, "control frame longer than 125 bytes");
    memcpy(wire->bytes, "\x82\xFE\x00\x7D", 4);
    expect_error(wire, &server, 1002, "payload length not in its shortest form");
    memcpy(wire->bytes, "\x82\xFF\x80\x00", 4);
    expect_error(wire, &server, 1002, "payload length with the top bit set");
    free(wire);
}

Test(ws_receive, message_limit_holds_as_soon_as_a_header_announces_too_much)
{
    const struct rc_ws_limits limits = {.message_bytes_max = 1000, .require_mask = true};
    struct wire *wire = new_wire();
    memcpy(wire->bytes, "\x82\xFE\x03\xE9kkkk", 8); /* 1001, no payload */
    wire->n = 8;
    expect_error(wire, &limits, 1009, "message too big");
    memcpy(wire->bytes, "\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFFkkkk", 14);
    wire->n = 14;
    expect_error(wire, &limits, 1009, "message too big");

    uint8_t payload[1000] = {0};
    char expected[200];
    wire->n = 0;
    frame_raw(wire, 0x82, 1, payload, 1000);
    frame_raw(wire, 0x02, 1, payload, 999);
    frame_raw(wire, 0x80, 1, payload, 1);
    frame_raw(wire, 0x02, 1, payload, 999);
    frame_raw(wire, 0x80, 1, payload, 2);
    snprintf(expected, sizeof(expected), "%s%s%s", "message op=2 code=0 bytes=1000 sum=00000000\n",
             "message op=2 code=0 bytes=1000 sum=00000000\n", "error op=0 code=1009 bytes=0 message too big\n");
    expect(wire, &limits, expected);
    free(wire);
}

Test(ws_receive, fragments_are_counted)
{
    const struct rc_ws_limits limits = {.message_bytes_max = 1000, .frames_per_message_max = 3, .require_mask = true};
    struct wire *wire = new_wire();
    frame(wire, 0x02, "");
    frame(wire, 0x00, "a");
    frame(wire, 0x89, "");
    frame(wire, 0x80, "b");
    frame(wire, 0x02, "");
    frame(wire, 0x00, "");
    frame(wire, 0x00, "");
    frame(wire, 0x80, "");
    expect(wire, &limits,
           "ping op=9 code=0 bytes=0 \n"
           "message op=2 code=0 bytes=2 ab\n"
           "error op=0 code=1008 bytes=0 message in too many fragments\n");
    free(wire);
}

Test(ws_receive, close_frames)
{
    static const struct {
        const char *payload;
        size_t bytes;
        const char *expected;
    } vectors[] = {
        {"", 0, "close op=8 code=1005 bytes=0 \n"},
        {"\x03\xE8", 2, "close op=8 code=1000 bytes=0 \n"},
        {"\x03\xE9going", 7, "close op=8 code=1001 bytes=5 going\n"},
        {"\x0F\xA0\xE2\x82\xAC", 5, "close op=8 code=4000 bytes=3 \xE2\x82\xAC\n"},
        {"\x03", 1, "error op=0 code=1002 bytes=0 close frame with half a code\n"},
        {"\x03\xED", 2, "error op=0 code=1002 bytes=0 close code that must not be sent\n"},
        {"\x00\x00", 2, "error op=0 code=1002 bytes=0 close code that must not be sent\n"},
        {"\x13\x88", 2, "error op=0 code=1002 bytes=0 close code that must not be sent\n"},
        {"\x03\xE8\xE2\x82", 4, "error op=0 code=1007 bytes=0 close reason is not UTF-8\n"},
        {"\x03\xE8\xFF", 3, "error op=0 code=1007 bytes=0 close reason is not UTF-8\n"},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct wire *wire = new_wire();
        frame_raw(wire, 0x88, 0xA5B6C7D8, vectors[i].payload, vectors[i].bytes);
        /* Nothing after a close is looked at, not even rubbish. */
        frame(wire, 0x81, "ignored");
        memset(wire->bytes + wire->n, 0xFF, 20);
        wire->n += 20;
        expect(wire, &server, vectors[i].expected);
        free(wire);
    }
}

Test(ws_receive, longest_control_frames_at_every_split)
{
    struct wire *wire = new_wire();
    uint8_t payload[125];
    char expected[300];
    for (size_t i = 0; i < sizeof(payload); i++) {
        payload[i] = (uint8_t)('A' + i % 26);
    }
    frame(wire, 0x02, "ab");
    frame_raw(wire, 0x89, 0x01020304, payload, sizeof(payload));
    frame(wire, 0x80, "cd");
    snprintf(expected, sizeof(expected), "ping op=9 code=0 bytes=125 sum=%08x\n%s", sum_of(payload, sizeof(payload)),
             "message op=2 code=0 bytes=4 abcd\n");
    expect(wire, &server, expected);
    free(wire);
}

Test(ws_receive, no_memory_is_1011)
{
    struct wire *wire = new_wire();
    for (size_t allowed = 0; allowed < 3; allowed++) {
        struct run *run = start();
        run->buffer.reserves_allowed = allowed;
        wire->n = 0;
        frame(wire, 0x01, "a");
        frame(wire, 0x00, "b");
        frame(wire, 0x80, "c");
        frame(wire, 0x81, "swallowed");
        feed(run, wire->bytes, wire->n, &server);
        cr_assert_str_eq(run->transcript, "error op=0 code=1011 bytes=0 out of memory for the message\n");
        cr_assert_not(rc_ws_receiver_uses_buffer(&run->receiver));
        cr_assert_not(rc_ws_receiver_idle(&run->receiver));
        finish(run);
    }
    free(wire);
}

Test(ws_receive, idle_exactly_between_messages)
{
    struct wire *wire = new_wire();
    struct run *run = start();
    frame(wire, 0x01, "ab");
    size_t first = wire->n;
    frame(wire, 0x89, "x");
    frame(wire, 0x80, "cd");
    cr_assert(rc_ws_receiver_idle(&run->receiver));
    for (size_t i = 0; i < wire->n; i++) {
        feed(run, wire->bytes + i, 1, &server);
        cr_assert_eq(rc_ws_receiver_idle(&run->receiver), i + 1 == wire->n, "after %zu bytes", i + 1);
        cr_assert_eq(rc_ws_receiver_uses_buffer(&run->receiver), i + 1 >= first - 1 && i + 1 < wire->n,
                     "after %zu bytes", i + 1);
    }
    finish(run);
    free(wire);
}

Test(ws_receive, no_bytes_is_no_event)
{
    struct rc_ws_receiver receiver = {0};
    struct rc_ws_event event;
    const struct rc_ws_buffer_ops ops = {.reserve = reserve, .context = NULL};
    cr_assert_eq(rc_ws_receive(&receiver, NULL, 0, &server, &ops, &event), 0);
    cr_assert_eq(event.type, RC_WS_EVENT_NONE);
    cr_assert(rc_ws_receiver_idle(&receiver));
}
