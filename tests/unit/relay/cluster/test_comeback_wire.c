/* What instances say of sockets that come back on another host: every kind reads as it was written, and what is cut or makes no sense is refused. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/envelope.h"
#include "relay/cluster/comeback_wire.h"

#define PID "pid-of-the-session-1"
#define SID "sid-of-the-session-1"

static uint8_t bytes[RC_COMEBACK_BYTES_MAX + 256];

/* What reading says of the message as it is written now. */
static int again(const struct rc_comeback_message *message, struct rc_comeback_message *out)
{
    return rc_comeback_read(out, rc_span_of(bytes, rc_comeback_write(bytes, message)));
}

/* The `count` bytes that lie there are refused wherever they are cut from `shortest` on. */
static void cut(size_t shortest, size_t count, struct rc_comeback_message *out)
{
    for (size_t i = shortest; i < count; i++) {
        cr_assert(rc_comeback_read(out, rc_span_of(bytes, i)) < 0, "cut at %zu", i);
    }
}

/* Written, refused wherever it is cut or longer than it is, and read again. */
static void through(const struct rc_comeback_message *message, struct rc_span behind, struct rc_comeback_message *out)
{
    size_t count = rc_comeback_write(bytes, message);
    memcpy(bytes + count, behind.bytes, behind.count);
    count += behind.count;
    cut(0, count, out);
    bytes[count] = 0;
    cr_assert(rc_comeback_read(out, rc_span_of(bytes, count + 1)) < 0);
    cr_assert_eq(rc_comeback_read(out, rc_span_of(bytes, count)), 0);
    cr_assert(rc_span_equal(out->from, RC_SPAN("node-1")) && out->token == message->token);
}

/* Written, read again, and refused wherever what is optional, its last `optional` bytes, is cut. Cut before them it is a message without it. */
static void with_optional(const struct rc_comeback_message *message, size_t optional, struct rc_comeback_message *out)
{
    const size_t count = rc_comeback_write(bytes, message);
    cut(count - optional + 1, count, out);
    cr_assert_eq(rc_comeback_read(out, rc_span_of(bytes, count)), 0);
}

/* A session is asked for. */
static struct rc_comeback_message taking(void)
{
    return (struct rc_comeback_message){.kind = RC_COMEBACK_TAKE,
                                        .from = RC_SPAN("node-1"),
                                        .token = 9,
                                        .channel = RC_SPAN("/#"),
                                        .pid = (const uint8_t *)PID,
                                        .user = RC_SPAN(""),
                                        .offset = RC_SPAN("")};
}

Test(comeback_wire, a_question_names_the_session)
{
    const struct rc_comeback_message ask = {.kind = RC_COMEBACK_ASK,
                                            .from = RC_SPAN("node-1"),
                                            .token = UINT64_MAX - 1,
                                            .channel = RC_SPAN("/#"),
                                            .pid = (const uint8_t *)PID,
                                            .user = RC_SPAN("ann"),
                                            .offset = RC_SPAN("abcde1")};
    struct rc_comeback_message out;
    through(&ask, RC_SPAN(""), &out);
    cr_assert(rc_span_equal(out.channel, RC_SPAN("/#")) && rc_span_equal(out.user, RC_SPAN("ann")));
    cr_assert(rc_span_equal(out.offset, RC_SPAN("abcde1")) && memcmp(out.pid, PID, RC_PID_BYTES) == 0);
}

Test(comeback_wire, through_which_server_of_a_cluster)
{
    struct rc_comeback_message take = taking();
    struct rc_comeback_message out;
    through(&take, RC_SPAN(""), &out);
    cr_assert(out.through.count == 1 && out.through.map == 0, "of one server nothing is said");
    take.through = (struct rc_comeback_through){.map = UINT64_MAX, .place = 0xfedcba9876543210, .count = 300};
    cr_assert_eq(again(&take, &out), 0);
    cr_assert(out.through.map == UINT64_MAX && out.through.place == 0xfedcba9876543210 && out.through.count == 300);
    const struct rc_comeback_message given = {
        .kind = RC_COMEBACK_GIVEN, .from = RC_SPAN("node-1"), .token = 9, .through = take.through};
    through(&given, RC_SPAN(""), &out);
    cr_assert(out.through.map == UINT64_MAX && out.through.count == 300);
    take.through.count = 0;
    cr_assert(again(&take, &out) < 0, "through none");
}

Test(comeback_wire, how_far_the_asker_had_read)
{
    struct rc_comeback_message take = taking();
    take.read = RC_SPAN("1699999999999-12");
    take.through = (struct rc_comeback_through){.place = 7, .count = 1};
    static const char *const wrong[] = {"1-2-3", "1 2", "x", "00000000000000000000000000000000000000000000000"};
    struct rc_comeback_message out;
    with_optional(&take, 18 + 1 + take.read.count, &out); /* the server of one, and how far */
    cr_assert(rc_span_equal(out.read, take.read));
    cr_assert(out.through.count == 1 && out.through.map == 0 && out.through.place == 0,
              "of one server nothing is said");
    take.through = (struct rc_comeback_through){.map = 5, .place = 7, .count = 3};
    cr_assert_eq(again(&take, &out), 0);
    cr_assert(rc_span_equal(out.read, take.read) && out.through.map == 5 && out.through.place == 7);
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        take.read = rc_span_text(wrong[i]);
        cr_assert(again(&take, &out) < 0, "%s", wrong[i]);
    }
}

Test(comeback_wire, answers)
{
    const struct rc_comeback_message none = {
        .kind = RC_COMEBACK_NONE, .from = RC_SPAN("node-1"), .token = 7, .code = RC_SIO_SESSION_UNKNOWN};
    const struct rc_comeback_message have = {.kind = RC_COMEBACK_HAVE,
                                             .from = RC_SPAN("node-1"),
                                             .token = 7,
                                             .sid = (const uint8_t *)SID,
                                             .user = RC_SPAN(""),
                                             .set = RC_SPAN("{\"a\":1}"),
                                             .rooms = rc_span_of("/#\0lobby", 9)};
    struct rc_comeback_message out;
    through(&none, RC_SPAN(""), &out);
    cr_assert_eq(out.code, RC_SIO_SESSION_UNKNOWN);
    through(&have, RC_SPAN(""), &out);
    cr_assert(memcmp(out.sid, SID, RC_SID_BYTES) == 0 && rc_span_equal(out.set, have.set));
    cr_assert(rc_span_equal(out.rooms, have.rooms) && out.user.count == 0 && out.read.count == 0);
    struct rc_comeback_message reads = have;
    reads.read = RC_SPAN("1699999999999-12");
    with_optional(&reads, 1 + reads.read.count, &out);
    cr_assert(rc_span_equal(out.read, reads.read) && rc_span_equal(out.rooms, have.rooms));
    reads.read = RC_SPAN("1 2");
    cr_assert(again(&reads, &out) < 0);
}

Test(comeback_wire, what_was_missed)
{
    const struct rc_comeback_missed all[] = {
        {.identity = 0xdeadbeef, .flags = RC_ENVELOPE_ARGS, .event = RC_SPAN("said"), .data = RC_SPAN("[1]")},
        {.event = RC_SPAN(""), .data = RC_SPAN("")}};
    uint8_t messages[128];
    const uint8_t *end = rc_comeback_missed_write(rc_comeback_missed_write(messages, &all[0]), &all[1]);
    cr_assert_eq((size_t)(end - messages), rc_comeback_missed_bytes(&all[0]) + rc_comeback_missed_bytes(&all[1]));
    const struct rc_comeback_message missed = {
        .kind = RC_COMEBACK_MISSED, .from = RC_SPAN("node-1"), .token = 1, .last = true, .total = 7, .count = 2};
    struct rc_comeback_message out;
    through(&missed, rc_span_of(messages, (size_t)(end - messages)), &out);
    cr_assert(out.last && out.total == 7 && out.count == 2);
    struct rc_comeback_missed one;
    cr_assert(rc_comeback_next(&out.messages, &one));
    cr_assert(one.identity == 0xdeadbeef && one.flags == RC_ENVELOPE_ARGS && rc_span_equal(one.data, RC_SPAN("[1]")));
    cr_assert(rc_span_equal(one.event, RC_SPAN("said")));
    cr_assert(rc_comeback_next(&out.messages, &one) && one.identity == 0 && one.data.count == 0);
    cr_assert(!rc_comeback_next(&out.messages, &one));
}

Test(comeback_wire, what_was_missed_is_a_message)
{
    static const uint8_t args[] = "\3\0\0\0\0\0\0\0[1]";
    static const uint8_t no_array[] = "\2\0\0\0\0\0\0\0{}";
    const struct rc_comeback_missed good[] = {
        {.event = RC_SPAN("said"), .data = RC_SPAN("{\"a\":1}")},
        {.event = RC_SPAN(""), .flags = RC_ENVELOPE_BINARY, .data = RC_SPAN("\xff")},
        {.flags = RC_ENVELOPE_ARGS, .event = RC_SPAN(""), .data = rc_span_of(args, sizeof(args) - 1)}};
    const struct rc_comeback_missed bad[] = {
        {.event = RC_SPAN("\xff"), .data = RC_SPAN("1")},
        {.event = RC_SPAN(""), .data = RC_SPAN("1,")},
        {.event = RC_SPAN(""), .data = RC_SPAN("")},
        {.event = RC_SPAN(""), .data = RC_SPAN("\"\xff\"")},
        {.flags = RC_ENVELOPE_ARGS, .event = RC_SPAN(""), .data = RC_SPAN("[1]")},
        {.flags = RC_ENVELOPE_ARGS, .event = RC_SPAN(""), .data = rc_span_of(no_array, sizeof(no_array) - 1)},
        {.flags = RC_ENVELOPE_ARGS, .event = RC_SPAN(""), .data = rc_span_of(args, sizeof(args) - 2)},
        {.flags = RC_ENVELOPE_ARGS | RC_ENVELOPE_BINARY, .event = RC_SPAN(""), .data = RC_SPAN("x")}};
    for (size_t i = 0; i < RC_ARRAY_COUNT(good); i++) {
        cr_assert(rc_comeback_missed_sound(&good[i]), "%zu", i);
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(bad); i++) {
        cr_assert_not(rc_comeback_missed_sound(&bad[i]), "%zu", i);
    }
}

Test(comeback_wire, what_is_none_is_refused)
{
    const char *bad[] = {"",
                         "\1",
                         "\2\1",
                         "\1\6\1a\0\0\0\0\0\0\0\0",
                         "\1\2\1a\0\0\0\0\0\0\0\0\0\0",
                         "\1\2\0\0\0\0\0\0\0\0\0\1",
                         "\1\5\1a\0\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0"};
    const size_t counts[] = {0, 1, 2, 12, 14, 13, 28};
    struct rc_comeback_message out;
    for (size_t i = 0; i < RC_ARRAY_COUNT(bad); i++) {
        cr_assert_neq(rc_comeback_read(&out, rc_span_of(bad[i], counts[i])), 0, "%zu", i);
    }
}
