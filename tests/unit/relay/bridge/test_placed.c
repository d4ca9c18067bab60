#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "relay/bridge/placed.h"

static struct rc_metrics metrics;
static struct rc_wire wire;

static void setup(void)
{
    cr_assert_eq(rc_wire_open(&wire, "here", 77, 1000, &metrics), 0);
}

static void teardown(void)
{
    rc_wire_close(&wire);
}

TestSuite(placed, .init = setup, .fini = teardown);

static bool reads(const char *text, struct rc_placed *placed)
{
    return rc_placed_read(rc_span_text(text), placed);
}

Test(placed, json_keeps_the_message_and_says_its_place)
{
    struct rc_placed placed;
    struct rc_envelope_view view;
    cr_assert(reads("{\"epoch\":\"4503599627370497\",\"offset\":17,\"payload\":{\"a\":1}}", &placed));
    cr_assert_eq(placed.epoch, 4503599627370497u);
    cr_assert_eq(placed.offset, 17u);
    cr_assert_eq(rc_wire_read_kept(&wire, placed.message, "test", &view), RC_WIRE_GOOD);
    cr_assert(rc_span_equal(rc_span_of(view.data, view.head.data_bytes), RC_SPAN("{\"a\":1}")));
}

Test(placed, what_is_read_for_a_copy_alone_is_not_counted_as_come_from_another_instance)
{
    struct rc_placed placed;
    struct rc_envelope_view view;
    cr_assert(reads("{\"epoch\":\"1\",\"offset\":17,\"payload\":{\"a\":1}}", &placed));
    cr_assert_eq(rc_wire_read_kept(&wire, placed.message, "test", &view), RC_WIRE_GOOD);
    const uint64_t before = rc_metric_get(wire.metrics, RC_METRIC_CROSS_INSTANCE);
    const uint64_t bytes = rc_metric_get(wire.metrics, RC_METRIC_CROSS_INSTANCE_BYTES);
    cr_assert_eq(rc_wire_read_again(&wire, placed.message, "test", &view), RC_WIRE_GOOD);
    cr_assert(rc_span_equal(rc_span_of(view.data, view.head.data_bytes), RC_SPAN("{\"a\":1}")));
    cr_assert_eq(rc_metric_get(wire.metrics, RC_METRIC_CROSS_INSTANCE), before);
    cr_assert_eq(rc_metric_get(wire.metrics, RC_METRIC_CROSS_INSTANCE_BYTES), bytes);
}

Test(placed, what_has_no_place_is_left_to_others)
{
    static const char *const none[] = {"",
                                       "{",
                                       "{\"payload\":1}",
                                       "{\"epoch\":\"0\",\"offset\":1,\"payload\":1}",
                                       "{\"epoch\":\"1\",\"offset\":0,\"payload\":1}",
                                       "{\"epoch\":\"1\",\"offset\":1}",
                                       "{\"epoch\":\"1\",\"offset\":-1,\"payload\":1}",
                                       "{\"epoch\":\"x\",\"offset\":1,\"payload\":1}",
                                       "{\"epoch\":1,\"offset\":1,\"payload\":1}",
                                       "{\"epoch\":\"9223372036854775808\",\"offset\":1,\"payload\":1}",
                                       "{\"epoch\":\"1\",\"offset\":9007199254740993,\"payload\":1}",
                                       "\x02",
                                       "\x02\x09"
                                       "1 2",
                                       "\x02\x03"
                                       "1,2\x01",
                                       "\x02\x04"
                                       "1 2 \x01"};
    struct rc_placed placed;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        cr_expect(!reads(none[i], &placed), "%s", none[i]);
    }
}

Test(placed, binary_has_its_place_before_the_message)
{
    const char text[] = "\x02\x05"
                        "12 34"
                        "\x01rest";
    struct rc_placed placed;
    cr_assert(rc_placed_read(rc_span_of(text, sizeof(text) - 1), &placed));
    cr_assert_eq(placed.epoch, 12u);
    cr_assert_eq(placed.offset, 34u);
    cr_assert(rc_span_equal(placed.message, RC_SPAN("\x01rest")));
}

/* What this broker writes, with the place that the script puts before it. */
static size_t write_own(char *out, const struct rc_envelope_view *view)
{
    struct rc_span parts[RC_WIRE_PARTS];
    cr_assert(rc_wire_write(&wire, RC_WIRE_CHANNEL, view, parts));
    const bool binary = parts[0].bytes[0] == RC_WIRE_BINARY;
    size_t at = (size_t)sprintf(out, binary ? "\x02\x03"
                                              "5 6"
                                            : "{\"epoch\":\"5\",\"offset\":6,");
    size_t skip = binary ? 0 : 1;
    for (uint32_t i = 0; i < RC_WIRE_PARTS; i++) {
        if (parts[i].count > skip) {
            memcpy(out + at, parts[i].bytes + skip, parts[i].count - skip);
        }
        at += parts[i].count - skip;
        skip = 0;
    }
    return at;
}

Test(placed, its_own_messages_are_known_by_their_ends)
{
    char text[512];
    struct rc_placed placed;
    uint64_t sequence = 0;
    struct rc_envelope_view view = {.head = {.sequence = UINT64_C(12345678901), .data_bytes = 3},
                                    .data = (const uint8_t *)"[1]"};
    size_t bytes = write_own(text, &view);
    cr_assert(rc_placed_read(rc_span_of(text, bytes), &placed));
    cr_assert(rc_placed_own(&wire, &placed, &sequence));
    cr_assert_eq(sequence, UINT64_C(12345678901));

    view.head.flags = RC_ENVELOPE_BINARY;
    sequence = 0;
    bytes = write_own(text, &view);
    cr_assert(rc_placed_read(rc_span_of(text, bytes), &placed));
    cr_assert(rc_placed_own(&wire, &placed, &sequence));
    cr_assert_eq(sequence, UINT64_C(12345678901));

    wire.boot_nonce = 78; /* an earlier boot's is none of ours */
    cr_assert(!rc_placed_own(&wire, &placed, &sequence));
    cr_assert(reads("{\"epoch\":\"5\",\"offset\":6,\"sourceInstance\":\"here\",\"payload\":1,\"boot\":77,\"seq\":1}",
                    &placed));
    cr_assert(!rc_placed_own(&wire, &placed, &sequence));
    wire.boot_nonce = 77;
    cr_assert(rc_placed_own(&wire, &placed, &sequence));
    cr_assert(reads("{\"epoch\":\"5\",\"offset\":6,\"sourceInstance\":\"there\",\"payload\":1,\"boot\":77,\"seq\":1}",
                    &placed));
    cr_assert(!rc_placed_own(&wire, &placed, &sequence));
    cr_assert(reads("{\"epoch\":\"5\",\"offset\":6,\"sourceInstance\":\"here\",", &placed));
    cr_assert(!rc_placed_own(&wire, &placed, &sequence));
}

Test(placed, a_kept_message_says_who_sent_it_also_this_instance)
{
    struct rc_envelope_view view;
    const struct rc_span text = RC_SPAN("{\"sourceInstance\":\"here\",\"payload\":1,\"boot\":77,\"seq\":9}");
    cr_assert_eq(rc_wire_read(&wire, text, "test", &view), RC_WIRE_OWN);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(rc_wire_read_kept(&wire, text, "test", &view), RC_WIRE_GOOD);
        cr_assert(rc_span_equal(rc_span_of(wire.from, wire.from_bytes), RC_SPAN("here")));
        cr_assert_eq(wire.boot, 77u);
        cr_assert_eq(wire.sequence, 9u);
    }
    cr_assert_eq(rc_wire_read_kept(&wire, RC_SPAN("{\"boot\":1}"), "test", &view), RC_WIRE_MALFORMED);
}

Test(placed, numbers_end_where_they_are_too_large)
{
    struct rc_span rest = RC_SPAN("18446744073709551615x");
    uint64_t number;
    cr_assert(rc_placed_number(&rest, UINT64_MAX, &number));
    cr_assert_eq(number, UINT64_MAX);
    cr_assert(rc_span_equal(rest, RC_SPAN("x")));
    rest = RC_SPAN("18446744073709551616");
    cr_assert(!rc_placed_number(&rest, UINT64_MAX, &number));
    rest = RC_SPAN("11");
    cr_assert(!rc_placed_number(&rest, 10, &number));
    rest = RC_SPAN("x");
    cr_assert(!rc_placed_number(&rest, 10, &number));
}
