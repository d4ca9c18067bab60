/*
 * json_scan: what is JSON and what is not, where it breaks, and that nothing outside the text is ever read: every text
 * lies in a block of exactly its size, so that ASan sees the first byte too far.
 */
#include "common/text/json_scan.h"

#include "common/base/check.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#define SPAN(literal) RC_SPAN(literal)

/* Scans a copy of the text in a block of its own. */
static int scan(struct rc_span text, uint32_t flags, size_t *offset)
{
    uint8_t *copy = malloc(text.count + (text.count == 0));
    struct rc_json_value value;
    int result;

    if (text.count != 0) {
        memcpy(copy, text.bytes, text.count);
    }
    result = rc_json_scan(rc_span_of(copy, text.count), flags, &value, offset);
    if (result == 0) {
        cr_assert(value.raw.bytes >= copy && value.raw.bytes + value.raw.count <= copy + text.count);
    }
    free(copy);
    return result;
}

static struct rc_json_value scanned(struct rc_span text)
{
    struct rc_json_value value;

    cr_assert_eq(rc_json_scan(text, 0, &value, NULL), 0, "%.*s", (int)text.count, (const char *)text.bytes);
    return value;
}

static const char *const accepted[] = {
    "{}",
    "[]",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "12",
    "-1",
    "1.5",
    "0.0",
    "1e5",
    "1E+5",
    "1e-5",
    "-0.1e99999",
    "123456789012345678901234567890",
    "\"\"",
    "\"a\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u0000\\uD83D\\ude00\"",
    "\"\\ud800\"",
    "\"\\udc00 alone\"",
    " [ 1 , 2 ] ",
    "\t\r\n{\"a\"\n:\t1\r}\n",
    "[[],{},[{}]]",
    "{\"a\":{\"b\":[1]}}",
    "{\"\":1}",
    "{\"a\":1,\"a\":2}",
    "\"\x7f\"",
    "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x8e\x89 \xed\x9f\xbf\"",
    "[\"0123456789abcdef\",\"0123456789abcdef0\\n\"]",
    "[1,[2,[3,[4]]],5]",
    "{\"a\":[],\"b\":{},\"c\":\"\"}",
};

static const char *const refused[] = {
    "",
    " ",
    "\n",
    "nul",
    "nulll",
    "tru",
    "True",
    "falsee",
    "-",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1e",
    "1e+",
    "1.e5",
    "0x1",
    "1_0",
    "NaN",
    "Infinity",
    "-Infinity",
    "--1",
    "\"",
    "\"\\",
    "\"\\\"",
    "\"\\x41\"",
    "\"\\u12\"",
    "\"\\u123g\"",
    "\"\\U0041\"",
    "\"a\nb\"",
    "\"a\tb\"",
    "\"\x01\"",
    "\"a\\",
    "'a'",
    "a",
    "[",
    "]",
    "{",
    "}",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1 2]",
    "[1,,2]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\" 1}",
    "{a:1}",
    "{1:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1,,\"b\":2}",
    "[1}",
    "{\"a\":1]",
    "[}",
    "{]",
    "[[]",
    "{\"a\":{}",
    "1 2",
    "{}{}",
    "[]]",
    "{}}",
    "null,",
    "\"a\"b",
    "\xef\xbb\xbf{}",
    "/**/1",
    "1//",
    "{\"a\":1}\v",
    "[\f1]",
    "\xc2\xa0[]",
    "[1]\xe2\x80\xa8",
    "[\"a\",\n4\n,1,",
};

Test(json_scan, accepts_what_rfc_8259_allows)
{
    for (size_t index = 0; index < RC_ARRAY_COUNT(accepted); index++) {
        struct rc_span text = rc_span_text(accepted[index]);

        cr_assert_eq(scan(text, 0, NULL), 0, "%s", accepted[index]);
        cr_assert_eq(scan(text, RC_JSON_CHECK_UTF8, NULL), 0, "%s", accepted[index]);
    }
}

Test(json_scan, refuses_everything_else)
{
    for (size_t index = 0; index < RC_ARRAY_COUNT(refused); index++) {
        cr_assert_eq(scan(rc_span_text(refused[index]), 0, NULL), -EBADMSG, "%s", refused[index]);
    }
    cr_assert_eq(scan(SPAN("\"a\0b\""), 0, NULL), -EBADMSG);
    cr_assert_eq(scan(SPAN("1\0"), 0, NULL), -EBADMSG);
    cr_assert_eq(scan(rc_span_of(NULL, 0), 0, NULL), -EBADMSG);
}

/* No proper beginning of a container or a string is JSON; and each is refused without a look behind its end. */
Test(json_scan, refuses_every_truncation)
{
    for (size_t index = 0; index < RC_ARRAY_COUNT(accepted); index++) {
        struct rc_span text = scanned(rc_span_text(accepted[index])).raw;

        if (text.bytes[0] != '{' && text.bytes[0] != '[' && text.bytes[0] != '"') {
            continue;
        }
        for (size_t count = 0; count < text.count; count++) {
            size_t offset;

            cr_assert_eq(scan(rc_span_of(text.bytes, count), 0, &offset), -EBADMSG);
            cr_assert_leq(offset, count);
        }
    }
}

Test(json_scan, tells_where_it_breaks)
{
    static const struct {
        const char *text;
        size_t offset;
    } cases[] = {{"", 0},         {"  ", 2},   {"{\"a\":1,}", 7}, {"[1 2]", 3},
                 {"\"a\nb\"", 2}, {"trux", 3}, {"[1]x", 3},       {"{\"a\":", 5}};

    for (size_t index = 0; index < RC_ARRAY_COUNT(cases); index++) {
        size_t offset = 99;

        cr_assert_eq(scan(rc_span_text(cases[index].text), 0, &offset), -EBADMSG);
        cr_assert_eq(offset, cases[index].offset, "%s: %zu", cases[index].text, offset);
    }
}

/* Each byte value at each place of a string around the 16 bytes that are looked at together. */
Test(json_scan, finds_every_special_byte_at_every_place_of_a_string)
{
    uint8_t text[64];

    for (size_t length = 1; length <= 40; length++) {
        for (size_t place = 0; place < length; place++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                bool stops = byte < 0x20 || byte == '"' || byte == '\\';

                memset(text, 'x', sizeof(text));
                text[0] = '"';
                text[length + 1] = '"';
                text[place + 1] = (uint8_t)byte;
                if (byte == '\\' && place + 1 < length) {
                    continue; /* "\x" is refused too, but so would be a stop that was missed */
                }
                cr_assert_eq(scan(rc_span_of(text, length + 2), 0, NULL), stops ? -EBADMSG : 0);
                cr_assert_eq(scan(rc_span_of(text, length + 2), RC_JSON_CHECK_UTF8, NULL), stops          ? -EBADMSG
                                                                                           : byte >= 0x80 ? -EILSEQ
                                                                                                          : 0);
            }
        }
    }
}

static const struct {
    struct rc_span bytes;
    bool valid;
} utf8_cases[] = {
    {{(const uint8_t *)"\x00", 1}, true},
    {{(const uint8_t *)"\x7f", 1}, true},
    {{(const uint8_t *)"\x80", 1}, false},
    {{(const uint8_t *)"\xbf", 1}, false},
    {{(const uint8_t *)"\xc0\x80", 2}, false},
    {{(const uint8_t *)"\xc1\xbf", 2}, false},
    {{(const uint8_t *)"\xc2\x80", 2}, true},
    {{(const uint8_t *)"\xdf\xbf", 2}, true},
    {{(const uint8_t *)"\xc2", 1}, false},
    {{(const uint8_t *)"\xc2\xc0", 2}, false},
    {{(const uint8_t *)"\xe0\x9f\xbf", 3}, false},
    {{(const uint8_t *)"\xe0\xa0\x80", 3}, true},
    {{(const uint8_t *)"\xe2\x82", 2}, false},
    {{(const uint8_t *)"\xed\x9f\xbf", 3}, true},
    {{(const uint8_t *)"\xed\xa0\x80", 3}, false},
    {{(const uint8_t *)"\xed\xbf\xbf", 3}, false},
    {{(const uint8_t *)"\xee\x80\x80", 3}, true},
    {{(const uint8_t *)"\xef\xbf\xbf", 3}, true},
    {{(const uint8_t *)"\xf0\x8f\xbf\xbf", 4}, false},
    {{(const uint8_t *)"\xf0\x90\x80\x80", 4}, true},
    {{(const uint8_t *)"\xf4\x8f\xbf\xbf", 4}, true},
    {{(const uint8_t *)"\xf4\x90\x80\x80", 4}, false},
    {{(const uint8_t *)"\xf5\x80\x80\x80", 4}, false},
    {{(const uint8_t *)"\xff", 1}, false},
    {{(const uint8_t *)"\xf0\x9f\x98", 3}, false},
    {{(const uint8_t *)"\xe2\x28\xa1", 3}, false},
    {{(const uint8_t *)"\xf0\x90\x80\x41", 4}, false},
    {{(const uint8_t *)"\xe1\x80\xc0", 3}, false},
};

Test(json_scan, checks_utf8_only_when_asked)
{
    uint8_t text[80];

    for (size_t index = 0; index < RC_ARRAY_COUNT(utf8_cases); index++) {
        struct rc_span bytes = utf8_cases[index].bytes;

        cr_assert_eq(rc_json_utf8_valid(bytes), utf8_cases[index].valid, "%zu", index);
        if (bytes.bytes[0] < 0x20) {
            continue;
        }
        for (size_t before = 0; before < 20; before++) {
            size_t count = before + bytes.count + 12;
            size_t offset;

            memset(text, 'x', sizeof(text));
            text[0] = '"';
            memcpy(text + 1 + before, bytes.bytes, bytes.count);
            text[count - 1] = '"';
            cr_assert_eq(scan(rc_span_of(text, count), 0, NULL), 0);
            cr_assert_eq(scan(rc_span_of(text, count), RC_JSON_CHECK_UTF8, &offset),
                         utf8_cases[index].valid ? 0 : -EILSEQ);
            cr_assert_eq(rc_json_utf8_valid(rc_span_of(text, count)), utf8_cases[index].valid);
        }
    }
    cr_assert(rc_json_utf8_valid(rc_span_of(NULL, 0)));
}

Test(json_scan, bounds_depth)
{
    uint8_t text[6 * (RC_JSON_DEPTH_MAX + 1) + 8];

    for (int objects = 0; objects < 2; objects++) {
        for (size_t depth = RC_JSON_DEPTH_MAX - 1; depth <= RC_JSON_DEPTH_MAX + 1; depth++) {
            struct rc_json_cursor cursor;
            struct rc_json_value name, value;
            size_t count = 0;
            int expected = depth <= RC_JSON_DEPTH_MAX ? 0 : -EOVERFLOW;
            int got;

            for (size_t level = 0; level < depth; level++) {
                memcpy(text + count, objects ? "{\"a\":" : "[", objects ? 5 : 1);
                count += objects ? 5 : 1;
            }
            text[count++] = '1';
            memset(text + count, objects ? '}' : ']', depth);
            count += depth;
            cr_assert_eq(scan(rc_span_of(text, count), 0, NULL), expected);

            if (objects) {
                cr_assert_eq(rc_json_object_begin(&cursor, rc_span_of(text, count), 0), 0);
                got = rc_json_object_next(&cursor, &name, &value);
            } else {
                cr_assert_eq(rc_json_array_begin(&cursor, rc_span_of(text, count), 0), 0);
                got = rc_json_array_next(&cursor, &value);
            }
            cr_assert_eq(got, expected == 0 ? 1 : expected);
        }
    }
}

Test(json_scan, walks_the_members_of_an_object)
{
    struct rc_json_cursor cursor;
    struct rc_json_value name, value;
    struct rc_span text =
        SPAN(" {\"a\" : 1 , \"\\u0062\":[1,{\"x\":\"}\"}] ,\"c\":\"q\\\"\",\"d\":null,\"e\":true,\"f\":false } ");
    static const struct {
        const char *name, *raw;
        enum rc_json_type type;
    } expected[] = {{"a", "1", RC_JSON_NUMBER},         {"b", "[1,{\"x\":\"}\"}]", RC_JSON_ARRAY},
                    {"c", "\"q\\\"\"", RC_JSON_STRING}, {"d", "null", RC_JSON_NULL},
                    {"e", "true", RC_JSON_TRUE},        {"f", "false", RC_JSON_FALSE}};

    cr_assert_eq(rc_json_object_begin(&cursor, text, 0), 0);
    for (size_t index = 0; index < RC_ARRAY_COUNT(expected); index++) {
        cr_assert_eq(rc_json_object_next(&cursor, &name, &value), 1);
        cr_assert(rc_json_string_is(&name, rc_span_text(expected[index].name)));
        cr_assert(rc_span_equal(value.raw, rc_span_text(expected[index].raw)));
        cr_assert_eq(value.type, expected[index].type);
    }
    cr_assert_eq(rc_json_object_next(&cursor, &name, &value), 0);
    cr_assert_eq(rc_json_object_next(&cursor, &name, &value), 0);
    cr_assert_eq(rc_json_offset(&cursor), text.count);
}

Test(json_scan, walks_the_elements_of_an_array)
{
    struct rc_json_cursor cursor;
    struct rc_json_value value;

    cr_assert_eq(rc_json_array_begin(&cursor, SPAN("[ \"a\",[] , {}, -1.5e3]"), 0), 0);
    cr_assert_eq(rc_json_array_next(&cursor, &value), 1);
    cr_assert(value.type == RC_JSON_STRING && !value.escaped);
    cr_assert_eq(rc_json_array_next(&cursor, &value), 1);
    cr_assert_eq(value.type, RC_JSON_ARRAY);
    cr_assert_eq(rc_json_array_next(&cursor, &value), 1);
    cr_assert_eq(value.type, RC_JSON_OBJECT);
    cr_assert_eq(rc_json_array_next(&cursor, &value), 1);
    cr_assert(rc_span_equal(value.raw, SPAN("-1.5e3")));
    cr_assert_eq(rc_json_array_next(&cursor, &value), 0);
    cr_assert_eq(rc_json_array_begin(&cursor, SPAN("[]"), 0), 0);
    cr_assert_eq(rc_json_array_next(&cursor, &value), 0);
}

/* Walking finds the same fault at the same place as scanning does, and repeats it. */
Test(json_scan, cursors_refuse_what_the_scan_refuses)
{
    for (size_t index = 0; index < RC_ARRAY_COUNT(refused); index++) {
        struct rc_span text = rc_span_text(refused[index]);
        struct rc_json_cursor cursor;
        struct rc_json_value name, value;
        bool array = rc_json_peek(text) == RC_JSON_ARRAY;
        size_t offset;
        int got = array ? rc_json_array_begin(&cursor, text, 0) : rc_json_object_begin(&cursor, text, 0);

        while (got >= 0 &&
               (got = array ? rc_json_array_next(&cursor, &value) : rc_json_object_next(&cursor, &name, &value)) == 1) {
            ;
        }
        cr_assert_eq(got, -EBADMSG, "%s", refused[index]);
        cr_assert_eq(array ? rc_json_array_next(&cursor, &value) : rc_json_object_next(&cursor, &name, &value),
                     -EBADMSG);
        if (rc_json_peek(text) == RC_JSON_ARRAY || rc_json_peek(text) == RC_JSON_OBJECT) {
            (void)scan(text, 0, &offset);
            cr_assert_eq(rc_json_offset(&cursor), offset, "%s: %zu", refused[index], rc_json_offset(&cursor));
        }
    }
}

Test(json_scan, peeks_at_the_first_byte)
{
    cr_assert_eq(rc_json_peek(SPAN("  {")), RC_JSON_OBJECT);
    cr_assert_eq(rc_json_peek(SPAN("\n[")), RC_JSON_ARRAY);
    cr_assert_eq(rc_json_peek(SPAN("-")), RC_JSON_NUMBER);
    cr_assert_eq(rc_json_peek(SPAN("x")), RC_JSON_NONE);
    cr_assert_eq(rc_json_peek(SPAN("  ")), RC_JSON_NONE);
    cr_assert_eq(rc_json_peek(rc_span_of(NULL, 0)), RC_JSON_NONE);
}

Test(json_scan, decodes_strings)
{
    static const struct {
        const char *raw;
        struct rc_span text;
        int result;
    } cases[] = {
        {"\"\"", {(const uint8_t *)"", 0}, 0},
        {"\"plain\"", {(const uint8_t *)"plain", 5}, 0},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", {(const uint8_t *)"\"\\/\b\f\n\r\t", 8}, 0},
        {"\"a\\u0000b\"", {(const uint8_t *)"a\0b", 3}, 0},
        {"\"\\u00FC\\u20ac\\ud83c\\udf89!\"", {(const uint8_t *)"\xc3\xbc\xe2\x82\xac\xf0\x9f\x8e\x89!", 10}, 0},
        {"\"\\uffff\\u07ff\\u0800\"", {(const uint8_t *)"\xef\xbf\xbf\xdf\xbf\xe0\xa0\x80", 8}, 0},
        {"\"\\udbff\\udfff\"", {(const uint8_t *)"\xf4\x8f\xbf\xbf", 4}, 0},
        {"\"\\ud800\"", {NULL, 0}, -EILSEQ},
        {"\"\\ud800x\"", {NULL, 0}, -EILSEQ},
        {"\"\\ud800\\n\"", {NULL, 0}, -EILSEQ},
        {"\"\\ud800\\ud800\"", {NULL, 0}, -EILSEQ},
        {"\"\\udc00\\ud800\"", {NULL, 0}, -EILSEQ},
        {"\"\\ud800\\u0041\"", {NULL, 0}, -EILSEQ},
        {"1", {NULL, 0}, -EINVAL},
        {"null", {NULL, 0}, -EINVAL},
    };

    for (size_t index = 0; index < RC_ARRAY_COUNT(cases); index++) {
        struct rc_json_value value = scanned(rc_span_text(cases[index].raw));
        uint8_t scratch[16];
        struct rc_span out;

        cr_assert_eq(rc_json_string_decode(&value, scratch, sizeof(scratch), &out), cases[index].result, "%s",
                     cases[index].raw);
        if (cases[index].result == 0) {
            cr_assert(rc_span_equal(out, cases[index].text), "%s", cases[index].raw);
        }
    }
}

Test(json_scan, repairs_lone_surrogates_when_asked)
{
    static const struct {
        const char *text;
        struct rc_span decoded;
    } cases[] = {
        {"\"\\ud800\"", RC_SPAN("\xef\xbf\xbd")},
        {"\"\\ud800x\"", RC_SPAN("\xef\xbf\xbd"
                                 "x")},
        {"\"\\udc00\\ud800\\n\"", RC_SPAN("\xef\xbf\xbd\xef\xbf\xbd\n")},
        {"\"\\ud800\\ud83d\\ude00\"", RC_SPAN("\xef\xbf\xbd\xf0\x9f\x98\x80")},
        {"\"plain\"", RC_SPAN("plain")},
    };
    for (size_t index = 0; index < sizeof(cases) / sizeof(*cases); index++) {
        uint8_t scratch[32];
        struct rc_json_value value;
        struct rc_span out;

        cr_assert_eq(rc_json_scan(rc_span_text(cases[index].text), 0, &value, NULL), 0);
        cr_assert_eq(rc_json_string_repair(&value, scratch, sizeof(scratch), &out), 0);
        cr_assert(rc_span_equal(out, cases[index].decoded), "%s", cases[index].text);
        cr_assert_eq(rc_json_string_repair(&value, scratch, cases[index].decoded.count - 1, &out), -EMSGSIZE);
    }
}

Test(json_scan, decoding_keeps_to_its_bound)
{
    static const char *const texts[] = {"\"12345678\"",
                                        "\"1234567\\n\"",
                                        "\"\\n1234567\"",
                                        "\"1234\\ud83c\\udf89\"",
                                        "\"\\u20ac\\u20ac\\u00fc\"",
                                        "\"\\n\\n\\n\\n\\n\\n\\n\\n\""};

    for (size_t index = 0; index < RC_ARRAY_COUNT(texts); index++) {
        struct rc_json_value value = scanned(rc_span_text(texts[index]));
        struct rc_span out;

        for (size_t room = 1; room <= 10; room++) {
            uint8_t *scratch = malloc(room);

            cr_assert_eq(rc_json_string_decode(&value, scratch, room, &out), room < 8 ? -EMSGSIZE : 0, "%s into %zu",
                         texts[index], room);
            free(scratch);
        }
        cr_assert_eq(out.count, 8);
    }
}

Test(json_scan, compares_names_as_decoded)
{
    struct rc_json_value plain = scanned(SPAN("\"type\""));
    struct rc_json_value escaped = scanned(SPAN("\"\\u0074yp\\u0065\""));
    struct rc_json_value lone = scanned(SPAN("\"type\\ud800\""));
    struct rc_json_value number = scanned(SPAN("123456"));

    cr_assert(rc_json_string_is(&plain, SPAN("type")));
    cr_assert(rc_json_string_is(&escaped, SPAN("type")));
    cr_assert_not(rc_json_string_is(&plain, SPAN("typ")));
    cr_assert_not(rc_json_string_is(&escaped, SPAN("typ")));
    cr_assert_not(rc_json_string_is(&lone, SPAN("type")));
    cr_assert_not(rc_json_string_is(&number, SPAN("2345")));
}

/* Encoding and decoding again gives every string of one, two and many characters back. */
Test(json_scan, encodes_what_it_decodes)
{
    uint8_t text[48], encoded[RC_JSON_STRING_BYTES_MAX(sizeof(text))], scratch[sizeof(text)];

    for (size_t length = 0; length <= sizeof(text); length += length < 3 ? 1 : 15) {
        for (unsigned byte = 0; byte < 0x80; byte++) {
            struct rc_json_value value;
            struct rc_span out;
            size_t count;

            memset(text, 'x', sizeof(text));
            if (length != 0) {
                text[length - 1] = text[length / 2] = (uint8_t)byte;
            }
            count = rc_json_string_encode(encoded, sizeof(encoded), rc_span_of(text, length));
            cr_assert_eq(count, rc_json_string_encoded_bytes(rc_span_of(text, length)));
            value = scanned(rc_span_of(encoded, count));
            cr_assert_eq(rc_json_string_decode(&value, scratch, sizeof(scratch), &out), 0);
            cr_assert(rc_span_equal(out, rc_span_of(text, length)));
        }
    }
}

Test(json_scan, encoding_keeps_to_its_room)
{
    struct rc_span text = SPAN("a\"\n\x01\xc3\xbc");
    struct rc_span expected = SPAN("\"a\\\"\\n\\u0001\xc3\xbc\"");

    for (size_t room = 0; room < expected.count + 2; room++) {
        uint8_t *out = malloc(room + 1);
        size_t count = rc_json_string_encode(out, room, text);

        cr_assert_eq(count, room < expected.count ? 0 : expected.count);
        cr_assert(count == 0 || rc_span_equal(rc_span_of(out, count), expected));
        free(out);
    }
}

Test(json_scan, reads_plain_integers_only)
{
    static const struct {
        const char *raw;
        int result;
        uint64_t number;
    } cases[] = {
        {"0", 0, 0},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"99999999999999999999", -ERANGE, 0},
        {"-0", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"1.0", -EINVAL, 0},
        {"1e2", -EINVAL, 0},
        {"\"1\"", -EINVAL, 0},
    };

    for (size_t index = 0; index < RC_ARRAY_COUNT(cases); index++) {
        struct rc_json_value value = scanned(rc_span_text(cases[index].raw));
        uint64_t number = 0;

        cr_assert_eq(rc_json_uint64(&value, &number), cases[index].result, "%s", cases[index].raw);
        cr_assert_eq(number, cases[index].number);
    }
}
