/* msgpack: every form, every cut, bounds, what the writer chooses. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/msgpack.h"

#define BYTES(...) rc_span_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static struct rc_msgpack_value read_one(struct rc_span bytes)
{
    struct rc_msgpack_value value;
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(bytes);
    cr_assert_eq(rc_msgpack_next(&reader, &value), 0);
    return value;
}

static void expect_whole(struct rc_span bytes, uint64_t number)
{
    const struct rc_msgpack_value value = read_one(bytes);
    cr_assert(value.type == RC_MSGPACK_UNSIGNED && value.whole == number, "%lu", (unsigned long)number);
}

static void expect_negative(struct rc_span bytes, int64_t number)
{
    const struct rc_msgpack_value value = read_one(bytes);
    cr_assert(value.type == RC_MSGPACK_NEGATIVE && value.negative == number, "%ld", (long)number);
}

Test(msgpack, integers_of_every_form_are_read)
{
    expect_whole(BYTES(0x00), 0);
    expect_whole(BYTES(0x7f), 127);
    expect_whole(BYTES(0xcc, 0x80), 128);
    expect_whole(BYTES(0xcd, 0x01, 0x00), 256);
    expect_whole(BYTES(0xce, 0xff, 0xff, 0xff, 0xff), UINT32_MAX);
    expect_whole(BYTES(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), UINT64_MAX);
    expect_whole(BYTES(0xd0, 0x7f), 127);
    expect_whole(BYTES(0xd3, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), INT64_MAX);
    expect_negative(BYTES(0xff), -1);
    expect_negative(BYTES(0xe0), -32);
    expect_negative(BYTES(0xd0, 0x80), -128);
    expect_negative(BYTES(0xd1, 0xff, 0x00), -256);
    expect_negative(BYTES(0xd2, 0x80, 0x00, 0x00, 0x00), INT32_MIN);
    expect_negative(BYTES(0xd3, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00), INT64_MIN);
}

Test(msgpack, other_scalars_are_read)
{
    cr_assert_eq(read_one(BYTES(0xc0)).type, RC_MSGPACK_NIL);
    cr_assert(read_one(BYTES(0xc3)).boolean);
    cr_assert_not(read_one(BYTES(0xc2)).boolean);
    cr_assert_eq(read_one(BYTES(0xca, 0x3f, 0xc0, 0x00, 0x00)).number, 1.5);
    cr_assert_eq(read_one(BYTES(0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0)).number, 1.5);
    cr_assert(rc_span_equal(read_one(BYTES(0xa2, 'h', 'i')).bytes, RC_SPAN("hi")));
    cr_assert(rc_span_equal(read_one(BYTES(0xd9, 2, 'h', 'i')).bytes, RC_SPAN("hi")));
    cr_assert(rc_span_equal(read_one(BYTES(0xda, 0, 2, 'h', 'i')).bytes, RC_SPAN("hi")));
    cr_assert(rc_span_equal(read_one(BYTES(0xdb, 0, 0, 0, 2, 'h', 'i')).bytes, RC_SPAN("hi")));
    const struct rc_msgpack_value bin = read_one(BYTES(0xc5, 0, 1, 9));
    cr_assert(bin.type == RC_MSGPACK_BINARY && bin.bytes.count == 1 && bin.bytes.bytes[0] == 9);
    const struct rc_msgpack_value extension = read_one(BYTES(0xc7, 3, 0xfb, 1, 2, 3));
    cr_assert(extension.type == RC_MSGPACK_EXTENSION && extension.extension == -5 && extension.bytes.count == 3);
    cr_assert_eq(read_one(BYTES(0xd8, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)).bytes.count, 16);
}

Test(msgpack, counts_beyond_the_bytes_are_refused_at_once)
{
    const struct rc_span lies[] = {
        BYTES(0xdd, 0xff, 0xff, 0xff, 0xff, 1),
        BYTES(0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2),
        BYTES(0x92, 1),
        BYTES(0x81, 1),
        BYTES(0xdc, 0, 2, 1),
        BYTES(0xdb, 0xff, 0xff, 0xff, 0xff),
        BYTES(0xc6, 0xff, 0xff, 0xff, 0xff, 1),
        BYTES(0xc9, 0xff, 0xff, 0xff, 0xff, 1),
        BYTES(0xc1),
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        struct rc_msgpack_reader reader = rc_msgpack_reader_of(lies[i]);
        struct rc_msgpack_value value;
        cr_assert_eq(rc_msgpack_next(&reader, &value), -EBADMSG, "%zu", i);
        cr_assert_eq(reader.at, lies[i].bytes);
    }
}

/* One of everything, containers inside. */
static const uint8_t everything[] = {0x97, 0x01, 0xd1, 0x80, 0x00, 0xcb, 1, 2, 3,    4,    5,   6,    7,
                                     8,    0xd9, 2,    'h',  'i',  0xc4, 1, 7, 0x82, 0xa1, 'a', 0x91, 0xc0,
                                     0xa1, 'b',  0x80, 0xd7, 0xff, 0,    0, 0, 0,    0,    0,   0,    1};

Test(msgpack, cut_anywhere_is_refused)
{
    struct rc_span raw;
    for (size_t cut = 0; cut < sizeof(everything); cut++) {
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        memcpy(part, everything, cut);
        struct rc_msgpack_reader reader = rc_msgpack_reader_of(rc_span_of(part, cut));
        cr_assert_eq(rc_msgpack_skip(&reader, &raw), -EBADMSG, "%zu", cut);
        cr_assert_eq(reader.at, part);
        free(part);
    }
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(rc_span_of(everything, sizeof(everything)));
    cr_assert_eq(rc_msgpack_skip(&reader, &raw), 0);
    cr_assert_eq(raw.count, sizeof(everything));
    cr_assert_eq(rc_msgpack_left(&reader), 0);
}

Test(msgpack, nesting_is_bounded)
{
    const size_t count = 200000;
    uint8_t *deep = malloc(count);
    memset(deep, 0x91, count);
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(rc_span_of(deep, count));
    cr_assert_eq(rc_msgpack_skip(&reader, NULL), -EOVERFLOW);
    deep[RC_MSGPACK_DEPTH_MAX] = 1;
    reader = rc_msgpack_reader_of(rc_span_of(deep, RC_MSGPACK_DEPTH_MAX + 1));
    cr_assert_eq(rc_msgpack_skip(&reader, NULL), 0);
    deep[RC_MSGPACK_DEPTH_MAX] = 0x90;
    reader = rc_msgpack_reader_of(rc_span_of(deep, RC_MSGPACK_DEPTH_MAX + 1));
    cr_assert_eq(rc_msgpack_skip(&reader, NULL), -EOVERFLOW);
    free(deep);
}

Test(msgpack, heads_of_another_kind_are_not_taken)
{
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(BYTES(0x91, 0xa1, 'x'));
    uint32_t count;
    struct rc_span text;
    cr_assert_eq(rc_msgpack_map(&reader, &count), -EBADMSG);
    cr_assert_eq(rc_msgpack_string(&reader, &text), -EBADMSG);
    cr_assert_eq(rc_msgpack_array(&reader, &count), 0);
    cr_assert_eq(count, 1);
    cr_assert_eq(rc_msgpack_string(&reader, &text), 0);
    cr_assert(rc_span_equal(text, RC_SPAN("x")));
    cr_assert_eq(rc_msgpack_array(&reader, &count), -EBADMSG);
}

Test(msgpack, timestamps_are_milliseconds)
{
    double ms = 0;
    struct rc_msgpack_value value = read_one(BYTES(0xd6, 0xff, 0, 0, 0, 2));
    cr_assert(rc_msgpack_timestamp(&value, &ms) && ms == 2000);
    value = read_one(BYTES(0xd7, 0xff, 0x1d, 0xcd, 0x65, 0x00, 0, 0, 0, 1)); /* 125,000,000 ns */
    cr_assert(rc_msgpack_timestamp(&value, &ms) && ms == 1125);
    value = read_one(BYTES(0xc7, 12, 0xff, 0x07, 0x73, 0x59, 0x40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    cr_assert(rc_msgpack_timestamp(&value, &ms) && ms == -875);
    value = read_one(BYTES(0xd7, 0x00, 0, 0, 0, 0, 0, 0, 0x03, 0xe8));
    cr_assert(rc_msgpack_timestamp(&value, &ms) && ms == 1000);
    value = read_one(BYTES(0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0));
    cr_assert(rc_msgpack_timestamp(&value, &ms) && isnan(ms));
    value = read_one(BYTES(0xd4, 0xff, 0));
    cr_assert_not(rc_msgpack_timestamp(&value, &ms));
    value = read_one(BYTES(0x01));
    cr_assert_not(rc_msgpack_timestamp(&value, &ms));
}

static struct rc_span written(void (*write)(struct rc_msgpack_writer *writer))
{
    static uint8_t bytes[1u << 18];
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(bytes, sizeof(bytes));
    write(&writer);
    return rc_msgpack_written(&writer);
}

static void write_numbers(struct rc_msgpack_writer *writer)
{
    rc_msgpack_put_array(writer, 11);
    rc_msgpack_put_number(writer, 127);
    rc_msgpack_put_number(writer, 128);
    rc_msgpack_put_number(writer, -33);
    rc_msgpack_put_number(writer, -32769);
    rc_msgpack_put_number(writer, -0.0);
    rc_msgpack_put_number(writer, 0.5);
    rc_msgpack_put_number(writer, 18446744073709551616.0);
    rc_msgpack_put_number(writer, -9223372036854775808.0);
    rc_msgpack_put_integer(writer, INT64_MIN);
    rc_msgpack_put_unsigned(writer, UINT64_MAX);
    rc_msgpack_put_number(writer, 4294967296.0);
}

Test(msgpack, numbers_take_the_smallest_form)
{
    const struct rc_span expected =
        BYTES(0x9b, 0x7f, 0xcc, 0x80, 0xd0, 0xdf, 0xd2, 0xff, 0xff, 0x7f, 0xff, 0x00, 0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0,
              0, 0xcb, 0x43, 0xf0, 0, 0, 0, 0, 0, 0, 0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0, 0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0,
              0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0);
    cr_assert(rc_span_equal(written(write_numbers), expected));
}

static void write_sizes(struct rc_msgpack_writer *writer)
{
    static uint8_t some[65536];
    rc_msgpack_put_string(writer, rc_span_of(some, 31));
    rc_msgpack_put_string(writer, rc_span_of(some, 32));
    rc_msgpack_put_string(writer, rc_span_of(some, 256));
    rc_msgpack_put_string(writer, rc_span_of(some, 65536));
    rc_msgpack_put_binary(writer, (struct rc_span){0});
    rc_msgpack_put_binary(writer, rc_span_of(some, 256));
    rc_msgpack_put_binary(writer, rc_span_of(some, 65536));
}

Test(msgpack, lengths_take_the_smallest_form)
{
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(written(write_sizes));
    const uint8_t marks[] = {0xbf, 0xd9, 0xda, 0xdb, 0xc4, 0xc5, 0xc6};
    for (size_t i = 0; i < sizeof(marks); i++) {
        cr_assert_eq(*reader.at, marks[i], "%zu", i);
        cr_assert_eq(rc_msgpack_skip(&reader, NULL), 0);
    }
    cr_assert_eq(rc_msgpack_left(&reader), 0);
}

static void write_nested(struct rc_msgpack_writer *writer, uint32_t count)
{
    rc_msgpack_put_boolean(writer, true);
    const size_t outer = rc_msgpack_open(writer);
    const size_t inner = rc_msgpack_open(writer);
    for (uint32_t i = 0; i < count; i++) {
        rc_msgpack_put_unsigned(writer, i % 100);
        rc_msgpack_put_nil(writer);
    }
    rc_msgpack_close_map(writer, inner, count);
    rc_msgpack_close_array(writer, outer, 1);
}

Test(msgpack, containers_get_their_size_at_the_end)
{
    const uint32_t counts[] = {0, 1, 15, 16, 65535, 65536};
    static uint8_t bytes[200000];
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        struct rc_msgpack_writer writer = rc_msgpack_writer_of(bytes, sizeof(bytes));
        write_nested(&writer, counts[i]);
        struct rc_msgpack_reader reader = rc_msgpack_reader_of(rc_msgpack_written(&writer));
        uint32_t count;
        cr_assert_eq(rc_msgpack_skip(&reader, NULL), 0);
        cr_assert(rc_msgpack_array(&reader, &count) == 0 && count == 1);
        cr_assert(rc_msgpack_map(&reader, &count) == 0 && count == counts[i]);
        for (uint32_t pair = 0; pair < count; pair++) {
            struct rc_msgpack_value value;
            cr_assert(rc_msgpack_next(&reader, &value) == 0 && value.whole == pair % 100);
            cr_assert(rc_msgpack_next(&reader, &value) == 0 && value.type == RC_MSGPACK_NIL);
        }
        cr_assert_eq(rc_msgpack_left(&reader), 0);
    }
}

Test(msgpack, a_full_writer_says_so_whatever_was_cut)
{
    uint8_t whole[64];
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(whole, sizeof(whole));
    write_nested(&writer, 16);
    const size_t bytes = rc_msgpack_written(&writer).count;
    cr_assert_gt(bytes, 16);
    for (size_t room = 0; room < bytes; room++) {
        uint8_t *less = malloc(room > 0 ? room : 1);
        writer = rc_msgpack_writer_of(less, room);
        write_nested(&writer, 16);
        cr_assert(writer.full && rc_msgpack_written(&writer).count == 0, "%zu", room);
        free(less);
    }
}
