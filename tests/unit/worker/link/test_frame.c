/* Frames of a link: heads and payloads of both sides, what is refused of them, and that every cut of a payload is. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "worker/link/frame.h"

#define FRAME_MAX (1u << 20)

static struct rc_link_head head_of(uint8_t type, uint8_t flags, uint64_t connection, size_t length)
{
    return (struct rc_link_head){.length = (uint32_t)length, .type = type, .flags = flags, .connection = connection};
}

/* Is such a frame one of that side's? */
static bool taken(enum rc_link_side from, struct rc_link_head head, const void *payload)
{
    uint8_t bytes[RC_LINK_HEAD_BYTES];
    struct rc_link_head read;
    const char *why;
    rc_link_head_write(bytes, &head);
    if (rc_link_head_read(bytes, from, FRAME_MAX, &read, &why) < 0) {
        cr_assert_not_null(why);
        return false;
    }
    cr_assert_eq(read.length, head.length);
    cr_assert_eq(read.type, head.type);
    cr_assert_eq(read.flags, head.flags);
    cr_assert_eq(read.connection, head.connection);
    if (rc_link_frame_check(&read, from, rc_span_of(payload, read.length), &why) < 0) {
        cr_assert_not_null(why);
        return false;
    }
    return true;
}

Test(link_frame, heads_are_to_the_byte)
{
    static const uint8_t wanted[RC_LINK_HEAD_BYTES] = {2, 1, 0, 0, 19, 5, 0, 0, 8, 7, 6, 5, 4, 3, 2, 0};
    uint8_t bytes[RC_LINK_HEAD_BYTES];
    const struct rc_link_head head =
        head_of(RC_LINK_TEXT, RC_LINK_VOLATILE | RC_LINK_MORE, UINT64_C(0x0002030405060708), 258);
    rc_link_head_write(bytes, &head);
    cr_assert_arr_eq(bytes, wanted, sizeof(wanted));
}

Test(link_frame, each_type_is_of_its_side)
{
    static const struct {
        uint8_t type;
        uint64_t connection;
        const char *payload;
        size_t bytes;
        bool broker;
        bool application;
    } rows[] = {
        {RC_LINK_TEXT, 1, "hello", 5, true, true},
        {RC_LINK_BINARY, 1, "\xff", 1, true, true},
        {RC_LINK_PING, 0, "p", 1, true, false},
        {RC_LINK_PONG, 0, "p", 1, false, true},
        {RC_LINK_ERROR, 0, "why", 3, true, true},
        {RC_LINK_ASKS, 0, "\x01", 1, false, true},
        {RC_LINK_TAKEN, 0, "12345678\x01\x00\x01\x00p", 13, true, false},
        {RC_LINK_OPEN, 7, "{}", 2, true, false},
        {RC_LINK_ACCEPT, 7, "{}", 2, false, true},
        {RC_LINK_CLOSE, 7, "", 0, false, true},
        {RC_LINK_CLOSED, 7, "ping timeout", 12, true, false},
        {RC_LINK_WRITABLE, 7, "\x00", 1, true, false},
        {RC_LINK_JOIN, 7, "\x01\x00/\x01\x00s\x01\x00\x02\x00sr", 12, false, true},
        {RC_LINK_LEAVE, 7, "\x01\x00/\x01\x00s\x00\x00", 8, false, true},
        {RC_LINK_BROADCAST, 0, "\x01\x00/\x00\x00\x00\x00\x00\x00\x01\x00\x00\x02\x00\x00\x00hi", 18, false, true},
        {RC_LINK_ENTER, 0, "\x01\x00/\x01\x00u", 6, false, true},
        {RC_LINK_PEERS, 0, "\x01\x00/\x01\x00\x01\x00u", 8, true, false},
        {RC_LINK_CLUSTER, 0, "\x01\x00/\x01\x00u\x00\x00rest", 12, true, true},
        {RC_LINK_SESSION, 7, "\x01\x00/\x01\x00s\x00\x00\x01\x00\x00\x00{\x00\x00\x00\x00", 17, false, true},
        {RC_LINK_KEEP, 0, "\x01\x00/\x01\x00s\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 18, false, true},
        {RC_LINK_RECEIPT, 0, "12345678", 8, true, true},
        {RC_LINK_REQUEST, 0, "1234\x01\x00/\x01\x00p\x00\x00", 12, false, true},
        {RC_LINK_REPLY, 0, "1234\x00", 5, true, false},
        {RC_LINK_REPLY, 0, "1234\x01\x01\x00s\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x01\x00\x00\x00m", 24, true,
         false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rc_link_head head = head_of(rows[i].type, 0, rows[i].connection, rows[i].bytes);
        cr_expect_eq(taken(RC_LINK_BROKER, head, rows[i].payload), rows[i].broker, "%zu", i);
        cr_expect_eq(taken(RC_LINK_APPLICATION, head, rows[i].payload), rows[i].application, "%zu", i);
        cr_expect_str_neq(rc_link_type_name(rows[i].type), "?");
    }
}

Test(link_frame, heads_that_are_none)
{
    static const struct rc_link_head heads[] = {
        {.type = 0},
        {.type = 255},
        {.type = 8},
        {.type = RC_LINK_TEXT},                                                    /* without its connection */
        {.type = RC_LINK_TEXT, .connection = RC_LINK_CONNECTION_MAX + 1},          /* no double has it */
        {.type = RC_LINK_BROADCAST, .connection = 1},                              /* of none */
        {.type = RC_LINK_TEXT, .connection = 1, .flags = 8},                       /* an unknown flag */
        {.type = RC_LINK_BROADCAST, .flags = RC_LINK_MORE},                        /* another type's */
        {.type = RC_LINK_BINARY, .connection = 1, .length = FRAME_MAX + 1},        /* more than the link allows */
        {.type = RC_LINK_ACCEPT, .connection = 1, .length = RC_LINK_JSON_MAX + 1}, /* more than its type does */
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        uint8_t bytes[RC_LINK_HEAD_BYTES];
        struct rc_link_head read;
        const char *why = NULL;
        rc_link_head_write(bytes, &heads[i]);
        cr_expect_eq(rc_link_head_read(bytes, RC_LINK_APPLICATION, FRAME_MAX, &read, &why), -EBADMSG, "%zu", i);
        cr_expect_not_null(why);
    }
    uint8_t bytes[RC_LINK_HEAD_BYTES];
    struct rc_link_head read;
    const char *why;
    rc_link_head_write(bytes, &(struct rc_link_head){.type = RC_LINK_TEXT, .connection = 1});
    bytes[6] = 1; /* is to be 0 */
    cr_expect_eq(rc_link_head_read(bytes, RC_LINK_APPLICATION, FRAME_MAX, &read, &why), -EBADMSG);
}

Test(link_frame, every_cut_and_every_byte_more_is_refused)
{
    static const uint8_t payload[] = "\x01\x00/\x02\x00\x02\x00sa\x01\x00n\x01\x00\x02\x00sb\x03\x00off\x02\x00"
                                     "\x00\x02\x00\x00\x00hi\x01\x01\x00\x00\x00\xff!";
    const size_t bytes = sizeof(payload) - 2; /* without the "!" */
    cr_assert(taken(RC_LINK_APPLICATION, head_of(RC_LINK_BROADCAST, 0, 0, bytes), payload));
    for (size_t cut = 0; cut < bytes; cut++) {
        cr_expect_not(taken(RC_LINK_APPLICATION, head_of(RC_LINK_BROADCAST, 0, 0, cut), payload), "%zu", cut);
    }
    cr_expect_not(taken(RC_LINK_APPLICATION, head_of(RC_LINK_BROADCAST, 0, 0, bytes + 1), payload));
}

Test(link_frame, payloads_that_are_not_of_their_type)
{
    static const struct {
        uint8_t type;
        const char *payload;
        size_t bytes;
    } rows[] = {
        {RC_LINK_TEXT, "\xff", 1},                                /* not UTF-8 */
        {RC_LINK_JOIN, "\x00\x00\x01\x00s\x00\x00", 7},           /* no namespace */
        {RC_LINK_JOIN, "\x01\x00\xff\x01\x00s\x00\x00", 8},       /* not UTF-8 */
        {RC_LINK_JOIN, "\x01\x00/\x01\x00s\x01\x00\x00\x00", 10}, /* a room without a byte */
        {RC_LINK_JOIN, "\x01\x00/\x01\x00s\x01\x10", 8},          /* too many rooms */
        {RC_LINK_RESUMED, "x", 1},                                /* it has none */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect_not(taken(RC_LINK_APPLICATION, head_of(rows[i].type, 0, 1, rows[i].bytes), rows[i].payload), "%zu",
                      i);
    }
    cr_expect_not(taken(RC_LINK_APPLICATION, head_of(RC_LINK_ASKS, 0, 0, 1), "\x02"));
    cr_expect_not(taken(RC_LINK_APPLICATION, head_of(RC_LINK_READY, 0, 0, RC_LINK_SIGNATURE_BYTES),
                        "0123456789012345678901234567890123456789012345678901234567890123"));
}

Test(link_frame, fields_come_out_as_they_went_in)
{
    static const uint8_t payload[] = "\x01\x00/\x02\x00id\x02\x00\x02\x00sa\x01\x00nrest";
    struct rc_link_reader reader = rc_link_reader_of(rc_span_of(payload, sizeof(payload) - 1));
    cr_assert(rc_span_equal(rc_link_read_text(&reader), RC_SPAN("/")));
    cr_assert(rc_span_equal(rc_link_read_text(&reader), RC_SPAN("id")));
    struct rc_link_reader list = rc_link_skip_list(&reader);
    cr_assert_eq(rc_link_read_list(&list), 2);
    cr_assert(rc_span_equal(rc_link_read_text(&list), RC_SPAN("sa")));
    cr_assert(rc_span_equal(rc_link_read_text(&list), RC_SPAN("n")));
    cr_assert(list.at == list.end);
    cr_assert(rc_span_equal(rc_link_read_rest(&reader), RC_SPAN("rest")));
    static const uint8_t numbers[] = "\x07\x01\x02\x03\x04\x01\x00\x00\x00\x00\x00\x00\x02\x01\x00\x00\x00z";
    reader = rc_link_reader_of(rc_span_of(numbers, sizeof(numbers) - 1));
    cr_assert_eq(rc_link_read_u8(&reader), 7);
    cr_assert_eq(rc_link_read_u32(&reader), 0x04030201);
    cr_assert_eq(rc_link_read_u64(&reader), UINT64_C(0x0200000000000001));
    cr_assert(rc_span_equal(rc_link_read_bytes(&reader), RC_SPAN("z")));
}
