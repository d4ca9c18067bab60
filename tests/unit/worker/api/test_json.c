/* Members of the bodies of API calls: names, strings, base64; and that what is wrong is said. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/api/api.h"

static struct rc_config config;
static struct rc_metrics metrics;
static struct rc_exchanges exchanges;
static struct rc_exchange exchange;
static struct rc_api_call call;
static struct rc_api_fault fault;
static struct rc_json_value members[RC_API_MEMBER_COUNT];

static void open_all(void)
{
    rc_config_defaults(&config);
    exchanges = (struct rc_exchanges){.config = &config, .metrics = &metrics};
    exchange = (struct rc_exchange){.exchanges = &exchanges};
    call = (struct rc_api_call){.exchange = &exchange};
}

static void close_all(void)
{
    free(call.arena);
    free(exchange.bytes);
}

TestSuite(api_json, .init = open_all, .fini = close_all);

/* The call's body from here on, in a block of exactly its size. The result of reading its members. */
static int read_body(const char *text, size_t count)
{
    close_all();
    open_all();
    exchange.bytes = malloc(count + (count == 0));
    cr_assert(exchange.bytes != NULL);
    memcpy(exchange.bytes, text, count);
    exchange.byte_count = count;
    return rc_api_body_members(&call, members, &fault);
}

static int read_text(const char *text)
{
    return read_body(text, strlen(text));
}

static void expect_fault(const char *part)
{
    cr_assert_eq(fault.status, 400);
    cr_assert(strstr(fault.message, part) != NULL, "%s instead of %s", fault.message, part);
}

Test(api_json, members_by_name_and_others_ignored)
{
    cr_assert_eq(read_text("{\"data\":{\"channel\":1},\"other\":[1],\"ch\\u0061nnel\":\"a\",\"code\":1000}"), 0);
    cr_assert(rc_span_equal(members[RC_API_DATA].raw, RC_SPAN("{\"channel\":1}")));
    cr_assert(rc_span_equal(members[RC_API_CHANNEL].raw, RC_SPAN("\"a\"")), "however its name is written");
    cr_assert_eq(members[RC_API_CODE].type, RC_JSON_NUMBER);
    cr_assert_eq(members[RC_API_USER].type, RC_JSON_NONE);
    cr_assert_eq(read_text("{}"), 0);
}

Test(api_json, what_is_no_object_is_said)
{
    cr_assert_lt(read_text(""), 0);
    expect_fault("there is no body");
    static const char *const wrong[] = {"[]", "1", "{\"data\":1", "{\"data\":1}x", "{data:1}", "{\"data\":01}", "{,}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_lt(read_text(wrong[i]), 0, "%s", wrong[i]);
        expect_fault("the body is not a JSON object (byte");
    }
    cr_assert_lt(read_text("{\"data\":\"\xff\"}"), 0);
    expect_fault("the body is not UTF-8 at byte 9");
    cr_assert_lt(read_text("{\"data\":1,\"data\":2}"), 0);
    expect_fault("data is there twice");
    cr_assert_lt(read_text("{\"data\":1,\"dat\\u0061\":2}"), 0);
    expect_fault("data is there twice");
    char deep[400] = "{\"data\":";
    memset(deep + 8, '[', 200);
    cr_assert_lt(read_text(deep), 0);
    expect_fault("arrays and objects inside each other");
}

/* Every prefix of a body that is right is wrong, and none is read beyond its end. */
Test(api_json, cut_bodies)
{
    static const char text[] = "{\"channel\":\"a\\u00e4\",\"data_base64\":\"AAEC\",\"exclude\":[\"x\"],\"key\":\"k\"}";
    for (size_t count = 0; count < sizeof(text) - 1; count++) {
        cr_assert_lt(read_body(text, count), 0, "%zu bytes", count);
        cr_assert_eq(fault.status, 400);
    }
    cr_assert_eq(read_body(text, sizeof(text) - 1), 0);
}

static int string_of(const char *json, size_t bytes_max, struct rc_span *out)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "{\"user\":%s}", json);
    cr_assert_eq(read_text(text), 0, "%s", fault.message);
    return rc_api_string(&call, &members[RC_API_USER], "user", bytes_max, out, &fault);
}

Test(api_json, strings_are_decoded_and_bounded)
{
    struct rc_span out;
    cr_assert_eq(string_of("\"plain\"", 5, &out), 0);
    cr_assert(rc_span_equal(out, RC_SPAN("plain")));
    cr_assert_eq(string_of("\"\\u00e4\\n\\ud83d\\ude00\"", 7, &out), 0);
    cr_assert(rc_span_equal(out, RC_SPAN("\xc3\xa4\n\xf0\x9f\x98\x80")));
    cr_assert_lt(string_of("\"plain\"", 4, &out), 0);
    expect_fault("user is longer than 4 bytes");
    cr_assert_lt(string_of("\"\\u0061bc\"", 2, &out), 0);
    expect_fault("user is longer than 2 bytes");
    cr_assert_lt(string_of("\"\"", 5, &out), 0);
    expect_fault("user is empty");
    cr_assert_lt(string_of("\"\\ud83d\"", 9, &out), 0);
    expect_fault("an escape that stands for no character");
    cr_assert_lt(string_of("null", 9, &out), 0);
    expect_fault("user must be a string");
    cr_assert_lt(string_of("[\"a\"]", 9, &out), 0);
    expect_fault("user must be a string");
}

Test(api_json, channels_have_names_that_are_allowed)
{
    struct rc_span out;
    cr_assert_eq(read_text("{\"channel\":\"room:1\"}"), 0);
    cr_assert_eq(rc_api_channel(&call, &members[RC_API_CHANNEL], &out, &fault), 0);
    cr_assert(rc_span_equal(out, RC_SPAN("room:1")));
    cr_assert_eq(read_text("{\"channel\":\"a\\u0007\"}"), 0);
    cr_assert_lt(rc_api_channel(&call, &members[RC_API_CHANNEL], &out, &fault), 0);
    expect_fault("characters that are not allowed");
    cr_assert_eq(read_text("{}"), 0);
    cr_assert_lt(rc_api_channel(&call, &members[RC_API_CHANNEL], &out, &fault), 0);
    expect_fault("channel is missing");
    config.limits.max_channel_name = 3;
    exchange.exchanges->config = &config;
    cr_assert_eq(read_text("{\"channel\":\"abcd\"}"), 0);
    config.limits.max_channel_name = 3; /* reading has set the defaults anew */
    cr_assert_lt(rc_api_channel(&call, &members[RC_API_CHANNEL], &out, &fault), 0);
    expect_fault("channel is longer than 3 bytes");
}

Test(api_json, base64_as_rfc_4648_has_it)
{
    static const struct {
        const char *text;
        const char *bytes; /* NULL: it is none */
        size_t count;
    } vectors[] = {
        {"", "", 0},
        {"Zg==", "f", 1},
        {"Zm8=", "fo", 2},
        {"Zm9v", "foo", 3},
        {"Zm9vYg==", "foob", 4},
        {"Zm9vYmE=", "fooba", 5},
        {"Zm9vYmFy", "foobar", 6},
        {"AAEC", "\0\1\2", 3},
        {"//++", "\xff\xff\xbe", 3},
        {"\\u005ag==", "f", 1}, /* a letter may be written as an escape */
        {"Zg", NULL, 0},
        {"Zg=", NULL, 0},
        {"Zg===", NULL, 0},
        {"Zh==", NULL, 0}, /* bits that belong to no byte */
        {"Zm9=", NULL, 0},
        {"Zg==Zg==", NULL, 0},
        {"=Zg=", NULL, 0},
        {"Z g==", NULL, 0},
        {"Zm9-", NULL, 0}, /* the alphabet of URLs is another one */
        {"====", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char text[128];
        struct rc_span out;
        (void)snprintf(text, sizeof(text), "{\"data_base64\":\"%s\"}", vectors[i].text);
        cr_assert_eq(read_text(text), 0);
        const int rc = rc_api_base64(&call, &members[RC_API_DATA_BASE64], &out, &fault);
        cr_assert_eq(rc == 0, vectors[i].bytes != NULL, "%s", vectors[i].text);
        if (rc == 0) {
            cr_assert(rc_span_equal(out, rc_span_of(vectors[i].bytes, vectors[i].count)), "%s", vectors[i].text);
        } else {
            expect_fault("data_base64 is not base64");
        }
    }
}

Test(api_json, an_idempotency_key_in_the_body_is_the_header_s)
{
    cr_assert_eq(read_text("{\"idempotency_key\":\"k1\"}"), 0);
    cr_assert(call.key_bytes == 2 && memcmp(call.key, "k1", 2) == 0);
    cr_assert_lt(read_text("{\"idempotency_key\":7}"), 0);
    expect_fault("idempotency_key must be a string");
    cr_assert_eq(read_text("{\"idempotency_key\":\"k1\"}"), 0);
    call.key[0] = 'x'; /* as if the header had said "x1" */
    free(call.arena);
    call.arena = NULL;
    call.arena_used = 0;
    cr_assert_lt(rc_api_body_members(&call, members, &fault), 0);
    expect_fault("idempotency_key and the header Idempotency-Key differ");
}
