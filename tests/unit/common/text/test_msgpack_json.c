/* msgpack_json: both ways against what notepack.io 3.0.1 and JSON.stringify make of the same values, attachments, what is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/msgpack_json.h"

#define BYTES(...) rc_span_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static const struct {
    const char *msgpack; /* hexadecimal: notepack.encode(value) */
    const char *json;    /* JSON.stringify(value) */
} vectors[] = {
    {"c0", "null"},
    {"c3", "true"},
    {"c2", "false"},
    {"00", "0"},
    {"7f", "127"},
    {"cc80", "128"},
    {"ccff", "255"},
    {"cd0100", "256"},
    {"cdffff", "65535"},
    {"ce00010000", "65536"},
    {"ceffffffff", "4294967295"},
    {"cf0000000100000000", "4294967296"},
    {"cf001fffffffffffff", "9007199254740991"},
    {"ff", "-1"},
    {"e0", "-32"},
    {"d0df", "-33"},
    {"d080", "-128"},
    {"d1ff7f", "-129"},
    {"d18000", "-32768"},
    {"d2ffff7fff", "-32769"},
    {"d280000000", "-2147483648"},
    {"d3ffffffff7fffffff", "-2147483649"},
    {"d3ffe0000000000001", "-9007199254740991"},
    {"cb3fb999999999999a", "0.1"},
    {"cbbff8000000000000", "-1.5"},
    {"cb3e7ad7f29abcaf48", "1e-7"},
    {"cb0000000000000001", "5e-324"},
    {"cb3d30000000000000", "5.684341886080802e-14"},
    {"a0", "\"\""},
    {"a568656c6c6f", "\"hello\""},
    {"a9c3a9e282acf09f9880", "\"\303\251\342\202\254\360\237\230\200\""},
    {"ab225c2f080c0a0d0900017f", "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u0001\177\""},
    {"bf78787878787878787878787878787878787878787878787878787878787878", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\""},
    {"d9207878787878787878787878787878787878787878787878787878787878787878", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\""},
    {"90", "[]"},
    {"920192029103", "[1,[2,[3]]]"},
    {"9f000000000000000000000000000000", "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"},
    {"dc001000000000000000000000000000000000", "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"},
    {"80", "{}"},
    {"82a16101a16281a16391c0", "{\"a\":1,\"b\":{\"c\":[null]}}"},
    {"de0010a26b3000a26b3101a26b3202a26b3303a26b3404a26b3505a26b3606a26b3707a26b3808a26b3909a36b31300aa36b31310ba36b31320ca36b31330da36b31340ea36b31350f",
     "{\"k0\":0,\"k1\":1,\"k2\":2,\"k3\":3,\"k4\":4,\"k5\":5,\"k6\":6,\"k7\":7,\"k8\":8,\"k9\":9,\"k10\":10,\"k11\":11,\"k12\":12,\"k13\":13,\"k14\":14,\"k15\":15}"},
    {"81a3c3a922a178", "{\"\303\251\\\"\":\"x\"}"},
    {"d6ff00000000", "\"1970-01-01T00:00:00.000Z\""},
    {"d7ffbc1cbd0065e079f0", "\"2024-02-29T12:34:56.789Z\""},
    {"c70cff3b8b87c0ffffffffffffffff", "\"1969-12-31T23:59:59.999Z\""},
    {"c70cff3b8b87c0fffffff1868b83ff", "\"-000001-12-31T23:59:59.999Z\""},
    {"c70cff00000000000007dba8218000", "\"+275760-09-13T00:00:00.000Z\""},
    {"d7ffee2e1f03ffffffff", "\"2514-05-30T01:53:03.999Z\""},
    {"c70cff000000000000000400000000", "\"2514-05-30T01:53:04.000Z\""},
    {"d7ff0000000100000000", "\"2106-02-07T06:28:16.000Z\""},
};

static size_t unhex(const char *hex, uint8_t *out)
{
    const size_t bytes = strlen(hex) / 2;
    for (size_t i = 0; i < bytes; i++) {
        unsigned value;
        cr_assert_eq(sscanf(hex + 2 * i, "%2x", &value), 1);
        out[i] = (uint8_t)value;
    }
    return bytes;
}

struct text {
    uint8_t bytes[4096];
    struct rc_span attachments[4];
    struct rc_msgpack_json json;
};

static int to_json(struct text *text, struct rc_span msgpack)
{
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(msgpack);
    text->json = (struct rc_msgpack_json){
        .text = text->bytes, .room = sizeof(text->bytes), .attachments = text->attachments, .attachment_max = 4};
    const int rc = rc_msgpack_to_json(&reader, &text->json);
    cr_assert(rc < 0 || rc_msgpack_left(&reader) == 0);
    return rc;
}

static void expect_json(struct rc_span msgpack, const char *json)
{
    struct text text;
    cr_assert_eq(to_json(&text, msgpack), 0, "%s", json);
    cr_assert(rc_span_equal(rc_span_of(text.bytes, text.json.count), rc_span_text(json)), "%.*s is not %s",
              (int)text.json.count, text.bytes, json);
}

static void expect_msgpack(const char *json, struct rc_span msgpack)
{
    uint8_t out[512];
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(out, sizeof(out));
    cr_assert_eq(rc_json_to_msgpack(&writer, rc_span_text(json), NULL, 0), 0, "%s", json);
    cr_assert(rc_span_equal(rc_msgpack_written(&writer), msgpack), "%s", json);
}

Test(msgpack_json, is_what_notepack_and_stringify_make)
{
    for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
        uint8_t msgpack[512];
        const size_t bytes = unhex(vectors[i].msgpack, msgpack);
        expect_json(rc_span_of(msgpack, bytes), vectors[i].json);
        struct rc_msgpack_reader reader = rc_msgpack_reader_of(rc_span_of(msgpack, bytes));
        struct rc_msgpack_value first;
        cr_assert_eq(rc_msgpack_peek(&reader, &first), 0);
        if (first.type != RC_MSGPACK_EXTENSION) { /* a date is a string in JSON */
            expect_msgpack(vectors[i].json, rc_span_of(msgpack, bytes));
        }
    }
}

Test(msgpack_json, integers_of_64_bits_are_exact)
{
    expect_json(BYTES(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "18446744073709551615");
    expect_json(BYTES(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0), "-9223372036854775808");
    expect_msgpack("18446744073709551615", BYTES(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    expect_msgpack("-9223372036854775808", BYTES(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0));
    expect_msgpack("18446744073709551616", BYTES(0xcb, 0x43, 0xf0, 0, 0, 0, 0, 0, 0));
    expect_msgpack("-9223372036854775809", BYTES(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0));
}

Test(msgpack_json, numbers_that_are_whole_are_integers_however_written)
{
    expect_msgpack("1.0", BYTES(1));
    expect_msgpack("1e2", BYTES(100));
    expect_msgpack("-0", BYTES(0));
    expect_msgpack("-0.0", BYTES(0));
    expect_msgpack("1e300", BYTES(0xcb, 0x7e, 0x37, 0xe4, 0x3c, 0x88, 0x00, 0x75, 0x9c));
    expect_msgpack("1e999", BYTES(0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0));
    expect_json(BYTES(0xcb, 0x7e, 0x37, 0xe4, 0x3c, 0x88, 0x00, 0x75, 0x9c), "1e+300");
}

Test(msgpack_json, what_json_has_not_becomes_what_stringify_makes)
{
    expect_json(BYTES(0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0), "null");
    expect_json(BYTES(0xca, 0xff, 0x80, 0, 0), "null");
    expect_json(BYTES(0x92, 0xd4, 0, 0, 1), "[null,1]");
    expect_json(BYTES(0x83, 0xa1, 'a', 0xd4, 0, 0, 0xa1, 'b', 1, 0xa1, 'c', 0xd4, 0, 0), "{\"b\":1}");
    expect_json(BYTES(0xd7, 0x00, 0, 0, 0, 0, 0, 0, 0x03, 0xe8), "\"1970-01-01T00:00:01.000Z\"");
    expect_json(BYTES(0xc7, 12, 0xff, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0), "null");
    expect_json(BYTES(0x85, 1, 1, 0xff, 2, 0xc0, 3, 0xc3, 4, 0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0, 5),
                "{\"1\":1,\"-1\":2,\"null\":3,\"true\":4,\"0.5\":5}");
}

Test(msgpack_json, an_older_notepack_s_array_buffer_of_any_size_is_an_attachment)
{
    struct text text;
    const struct rc_span one = BYTES(0xc7, 1, 0, 9);                        /* no undefined, which is 0xd4 */
    const struct rc_span eight = BYTES(0xc7, 8, 0, 0, 0, 0, 0, 0, 0, 3, 1); /* no date, which is 0xd7 */
    cr_assert_eq(to_json(&text, one), 0);
    cr_assert_eq(text.json.attachment_count, 1);
    cr_assert(rc_span_equal(text.attachments[0], BYTES(9)));
    cr_assert_eq(to_json(&text, eight), 0);
    cr_assert_eq(text.json.attachment_count, 1);
    cr_assert_eq(text.attachments[0].count, 8);
}

Test(msgpack_json, binary_is_an_attachment)
{
    struct text text;
    const struct rc_span msgpack = BYTES(0x94, 0xc4, 1, 7, 0x81, 0xa1, 'b', 0xc4, 0, 0xc7, 2, 0, 8, 9, 0xd5, 5, 1, 2);
    const char *json = "[{\"_placeholder\":true,\"num\":0},{\"b\":{\"_placeholder\":true,\"num\":1}},"
                       "{\"_placeholder\":true,\"num\":2},[5,{\"_placeholder\":true,\"num\":3}]]";
    cr_assert_eq(to_json(&text, msgpack), 0);
    cr_assert(rc_span_equal(rc_span_of(text.bytes, text.json.count), rc_span_text(json)));
    cr_assert_eq(text.json.attachment_count, 4);
    cr_assert(rc_span_equal(text.attachments[0], BYTES(7)));
    cr_assert_eq(text.attachments[1].count, 0);
    cr_assert(rc_span_equal(text.attachments[2], BYTES(8, 9)));
    cr_assert(rc_span_equal(text.attachments[3], BYTES(1, 2)));
    cr_assert_eq(to_json(&text, BYTES(0x95, 0xc4, 0, 0xc4, 0, 0xc4, 0, 0xc4, 0, 0xc4, 0)), -E2BIG);
}

Test(msgpack_json, placeholders_become_binary)
{
    const struct rc_span attachments[2] = {BYTES(7), {.count = 0}};
    uint8_t out[128];
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(out, sizeof(out));
    const struct rc_span json =
        RC_SPAN("[{\"_placeholder\":true,\"num\":1}, { \"num\" : 0, \"_placeholder\":true }, "
                "{\"_placeholder\":false,\"num\":9},{\"_placeholder\":true,\"num\":0,\"x\":[]}]");
    cr_assert_eq(rc_json_to_msgpack(&writer, json, attachments, 2), 0);
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(rc_msgpack_written(&writer));
    struct rc_msgpack_value value;
    uint32_t count;
    cr_assert(rc_msgpack_array(&reader, &count) == 0 && count == 4);
    cr_assert(rc_msgpack_next(&reader, &value) == 0 && value.type == RC_MSGPACK_BINARY && value.bytes.count == 0);
    cr_assert(rc_msgpack_next(&reader, &value) == 0 && rc_span_equal(value.bytes, attachments[0]));
    cr_assert(rc_msgpack_map(&reader, &count) == 0 && count == 2);
    writer = rc_msgpack_writer_of(out, sizeof(out));
    cr_assert_eq(rc_json_to_msgpack(&writer, RC_SPAN("{\"_placeholder\":true,\"num\":2}"), attachments, 2), -EBADMSG);
    cr_assert_eq(rc_json_to_msgpack(&writer, RC_SPAN("{\"_placeholder\":true}"), attachments, 2), -EBADMSG);
    cr_assert_eq(rc_json_to_msgpack(&writer, RC_SPAN("{\"_placeholder\":true,\"num\":2}"), NULL, 0), 0);
}

Test(msgpack_json, an_event_stands_before_its_arguments)
{
    uint8_t out[128];
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(out, sizeof(out));
    cr_assert_eq(rc_json_to_msgpack_event(&writer, RC_SPAN("hi"), RC_SPAN(" [ 1 , \"\\u00e9\" ] "), NULL, 0,
                                          (struct rc_span){0}),
                 0);
    cr_assert(rc_span_equal(rc_msgpack_written(&writer), BYTES(0x93, 0xa2, 'h', 'i', 1, 0xa2, 0xc3, 0xa9)));
    writer = rc_msgpack_writer_of(out, sizeof(out));
    cr_assert_eq(rc_json_to_msgpack_event(&writer, RC_SPAN("hi"), RC_SPAN("[]"), NULL, 0, (struct rc_span){0}), 0);
    cr_assert(rc_span_equal(rc_msgpack_written(&writer), BYTES(0x91, 0xa2, 'h', 'i')));
    cr_assert_eq(rc_json_to_msgpack_event(&writer, RC_SPAN("hi"), RC_SPAN("{}"), NULL, 0, (struct rc_span){0}),
                 -EBADMSG);

    struct text text;
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(BYTES(1, 0xa1, 'x'));
    text.json = (struct rc_msgpack_json){.text = text.bytes, .room = sizeof(text.bytes)};
    cr_assert_eq(rc_msgpack_to_json_array(&reader, 2, &text.json), 0);
    cr_assert(rc_span_equal(rc_span_of(text.bytes, text.json.count), RC_SPAN("[1,\"x\"]")));
    reader = rc_msgpack_reader_of(BYTES(1));
    text.json.count = 0;
    cr_assert_eq(rc_msgpack_to_json_array(&reader, 2, &text.json), -EBADMSG);
}

Test(msgpack_json, escapes_are_decoded_and_lone_surrogates_replaced)
{
    expect_msgpack("\"\\ud83d\\ude00\"", BYTES(0xa4, 0xf0, 0x9f, 0x98, 0x80));
    expect_msgpack("\"\\ud83dx\"", BYTES(0xa4, 0xef, 0xbf, 0xbd, 'x'));
    expect_msgpack("\"\\ude00\\ud83d\"", BYTES(0xa6, 0xef, 0xbf, 0xbd, 0xef, 0xbf, 0xbd));
    expect_msgpack("\"\\ud83d\\n\"", BYTES(0xa4, 0xef, 0xbf, 0xbd, '\n'));
    expect_msgpack("\"\\b\\f\\n\\r\\t\\/\\\\\\\"\\u0000\"", BYTES(0xa9, 8, 12, 10, 13, 9, '/', '\\', '"', 0));
    expect_msgpack("{\"\\u0061\":1}", BYTES(0x81, 0xa1, 'a', 1));
}

Test(msgpack_json, text_that_is_not_json_is_refused)
{
    static const char *const wrong[] = {"",           " ",         "[",         "[1",     "[1,",        "[1,]",
                                        "[,1]",       "[1 2]",     "{",         "{\"a\"", "{\"a\":",    "{\"a\":1",
                                        "{\"a\":1,}", "{1:2}",     "{\"a\" 1}", "]",      "}",          "[1}",
                                        "1 2",        "[] []",     "01",        "1.",     "nul",        "\"a",
                                        "\"\\x\"",    "\"\\ud8\"", "\"\n\"",    "[1]]",   "\"a\"\"b\"", "+1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        uint8_t out[64];
        struct rc_msgpack_writer writer = rc_msgpack_writer_of(out, sizeof(out));
        const size_t bytes = strlen(wrong[i]);
        uint8_t *text = malloc(bytes > 0 ? bytes : 1); /* of its size, so that ASan sees what reads behind it */
        memcpy(text, wrong[i], bytes);
        cr_assert_eq(rc_json_to_msgpack(&writer, rc_span_of(text, bytes), NULL, 0), -EBADMSG, "%s", wrong[i]);
        free(text);
    }
}

Test(msgpack_json, msgpack_that_makes_no_json_is_refused)
{
    struct text text;
    cr_assert_eq(to_json(&text, BYTES(0xa2, 0xc3, 0x28)), -EILSEQ);
    cr_assert_eq(to_json(&text, BYTES(0xa3, 0xed, 0xa0, 0x80)), -EILSEQ);
    cr_assert_eq(to_json(&text, BYTES(0x81, 0x90, 1)), -EBADMSG);
    cr_assert_eq(to_json(&text, BYTES(0x81, 0x93, 0xd4, 0, 0)), -EBADMSG, "though its value is left out");
    cr_assert_eq(to_json(&text, BYTES(0x81, 0xc4, 0, 1)), -EBADMSG);
    cr_assert_eq(to_json(&text, BYTES(0xc1)), -EBADMSG);
    cr_assert_eq(to_json(&text, BYTES(0x92, 1)), -EBADMSG);
    cr_assert_eq(to_json(&text, (struct rc_span){0}), -EBADMSG);
}

Test(msgpack_json, nesting_is_bounded_both_ways)
{
    const size_t count = 200000;
    uint8_t *deep = malloc(count);
    uint8_t *out = malloc(count);
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(out, count);
    struct text text;
    memset(deep, 0x91, count);
    cr_assert_eq(to_json(&text, rc_span_of(deep, count)), -EOVERFLOW);
    deep[RC_MSGPACK_DEPTH_MAX] = 1;
    cr_assert_eq(to_json(&text, rc_span_of(deep, RC_MSGPACK_DEPTH_MAX + 1)), 0);
    cr_assert_eq(rc_json_to_msgpack(&writer, rc_span_of(text.bytes, text.json.count), NULL, 0), 0);
    cr_assert(rc_span_equal(rc_msgpack_written(&writer), rc_span_of(deep, RC_MSGPACK_DEPTH_MAX + 1)));
    /* An attachment is an object in JSON. */
    memcpy(deep + RC_MSGPACK_DEPTH_MAX, "\xc4", 2);
    cr_assert_eq(to_json(&text, rc_span_of(deep, RC_MSGPACK_DEPTH_MAX + 2)), -EOVERFLOW);
    cr_assert_eq(to_json(&text, rc_span_of(deep + 1, RC_MSGPACK_DEPTH_MAX + 1)), 0);
    memset(deep, '[', count);
    cr_assert_eq(rc_json_to_msgpack(&writer, rc_span_of(deep, count), NULL, 0), -EOVERFLOW);
    free(out);
    free(deep);
}

Test(msgpack_json, a_full_buffer_is_said_wherever_it_ends)
{
    const char *json =
        "{\"a\":[1,-2,0.5,\"x\\n\",null,true],\"b\":{\"_placeholder\":true,\"num\":0},\"c\":\"1970-01-01T00:00:00.000Z\"}";
    const struct rc_span attachment = BYTES(1, 2, 3);
    uint8_t msgpack[128];
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(msgpack, sizeof(msgpack));
    cr_assert_eq(rc_json_to_msgpack(&writer, rc_span_text(json), &attachment, 1), 0);
    const struct rc_span whole = rc_msgpack_written(&writer);
    for (size_t room = 0; room < whole.count; room++) {
        uint8_t *less = malloc(room > 0 ? room : 1);
        writer = rc_msgpack_writer_of(less, room);
        cr_assert_eq(rc_json_to_msgpack(&writer, rc_span_text(json), &attachment, 1), 0);
        cr_assert(writer.full, "%zu", room);
        free(less);
    }
    for (size_t room = 0; room < strlen(json); room++) {
        uint8_t *less = malloc(room > 0 ? room : 1);
        struct rc_span found;
        struct rc_msgpack_json out = {.text = less, .room = room, .attachments = &found, .attachment_max = 1};
        struct rc_msgpack_reader reader = rc_msgpack_reader_of(whole);
        cr_assert_eq(rc_msgpack_to_json(&reader, &out), -EMSGSIZE, "%zu", room);
        free(less);
    }
}
