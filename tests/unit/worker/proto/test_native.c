/*
 * native: the JSON form of the client protocol: what each operation needs, what is refused and with which words, that
 * one bad operation does not spoil its batch and that a broken batch does nothing at all; and every event as it is
 * written.
 */
#include "worker/proto/native.h"

#include "common/base/check.h"
#include "common/records/args.h"
#include "tests/support/native_codec.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SPAN(literal) RC_SPAN(literal)
#define SHOW(span) (int)(span).count, (const char *)(span).bytes

static struct rc_reader reader;
static struct rc_operation_scratch scratch;
static uint8_t reader_room[1u << 20];
static struct rc_operation operation;
static struct rc_operation_error error;

static int first(struct rc_span frame)
{
    rc_reader_begin(&reader, &rc_codec_json, RC_PART_TEXT, frame, &scratch, NULL);
    rc_reader_give_room(&reader, reader_room, sizeof(reader_room));
    return rc_reader_next(&reader, &operation, &error);
}

/* The frame holds exactly one good operation. */
static void good(const char *frame)
{
    struct rc_operation_error end_error;
    struct rc_operation end;
    int got = first(rc_span_text(frame));

    cr_assert_eq(got, 1, "%s: %s", frame, got < 0 ? error.message : "nothing");
    cr_assert_eq(rc_reader_next(&reader, &end, &end_error), 0);
    cr_assert_eq(rc_reader_next(&reader, &end, &end_error), 0);
}

/* The frame gives exactly this error. */
static void bad(const char *frame, enum rc_code code, const char *id, const char *message)
{
    struct rc_operation_error end_error;
    struct rc_operation end;
    int got = first(rc_span_text(frame));

    cr_assert_eq(got, -EBADMSG, "%s", frame);
    cr_assert_eq(error.code, code, "%s: %d", frame, (int)error.code);
    cr_assert(rc_span_equal(error.id, rc_span_text(id)), "%s: id %.*s", frame, SHOW(error.id));
    cr_assert_str_eq(error.message, message, "%s: %s", frame, error.message);
    cr_assert_eq(rc_reader_next(&reader, &end, &end_error), 0);
}

/* The event as JSON; the bound must hold, and the room it asks for must be enough (ASan watches). */
static void encodes(const struct rc_event *event, const char *expected)
{
    size_t room = rc_native_event_bytes_max(RC_NATIVE_JSON, event);
    uint8_t *out = malloc(room);
    size_t count = rc_native_event_encode(RC_NATIVE_JSON, event, out);

    cr_assert_leq(count, room);
    cr_assert(rc_span_equal(rc_span_of(out, count), rc_span_text(expected)), "%.*s", (int)count, (char *)out);
    cr_assert_eq(rc_json_scan(rc_span_of(out, count), RC_JSON_CHECK_UTF8, &(struct rc_json_value){0}, NULL), 0);
    free(out);
}

Test(native, reads_subscribe)
{
    good("{\"type\":\"subscribe\",\"channel\":\"prices:BTC\",\"id\":1}");
    cr_assert_eq(operation.type, RC_OPERATION_SUBSCRIBE);
    cr_assert(rc_span_equal(operation.channel, SPAN("prices:BTC")));
    cr_assert(rc_span_equal(operation.id, SPAN("1")));
    cr_assert_eq(operation.data.count, 0);
}

Test(native, reads_publish_with_everything)
{
    good(" { \"data\" : { \"a\" : [ 1 , \"\\ud800\" ] } , \"echo\":false,\"exclude\":[\"a~1\",\"b\\u007e2\"],\n"
         "\"id\":\"x\\\"y\",\"channel\":\"r\\u00f6om:\\ud83c\\udf89\",\"later\":[{}],\"type\":\"pub\\u006cish\" } ");
    cr_assert_eq(operation.type, RC_OPERATION_PUBLISH);
    cr_assert(rc_span_equal(operation.channel, SPAN("r\xc3\xb6om:\xf0\x9f\x8e\x89")));
    cr_assert(rc_span_equal(operation.data, SPAN("{ \"a\" : [ 1 , \"\\ud800\" ] }")));
    cr_assert_eq(operation.data_kind, RC_DATA_JSON);
    cr_assert(rc_span_equal(operation.id, SPAN("\"x\\\"y\"")));
    cr_assert_not(operation.echo);
    cr_assert_eq(operation.exclude_count, 2);
    cr_assert(rc_span_equal(operation.exclude[0], SPAN("a~1")));
    cr_assert(rc_span_equal(operation.exclude[1], SPAN("b~2")));
}

Test(native, reads_the_key_of_a_publish)
{
    good("{\"type\":\"publish\",\"channel\":\"a\",\"data\":1,\"key\":\"B\\u0054C\"}");
    cr_assert(rc_span_equal(operation.key, SPAN("BTC")));
    good("{\"type\":\"publish\",\"channel\":\"a\",\"data\":1}");
    cr_assert_eq(operation.key.count, 0);
    good("{\"type\":\"broadcast\",\"data\":1,\"key\":7}");
    cr_assert_eq(operation.key.count, 0, "of a publish only");
}

Test(native, reads_events_and_arguments)
{
    struct rc_args_view view;

    good("{\"args\": [1, \"\\u0061\"] ,\"type\":\"publish\",\"event\":\"\\u00e9\",\"channel\":\"c\"}");
    cr_assert(rc_span_equal(operation.event, SPAN("\xc3\xa9")));
    cr_assert_eq(operation.data_kind, RC_DATA_ARGS);
    cr_assert_eq(rc_args_read(operation.data, &view), 0);
    cr_assert(rc_span_equal(view.json, SPAN("[1, \"\\u0061\"]")));
    cr_assert_eq(view.attachment_count, 0);
    good("{\"type\":\"direct\",\"to\":\"a~b\",\"args\":[]}");
    cr_assert(operation.event.count == 0 && operation.data_kind == RC_DATA_ARGS);
    good("{\"type\":\"broadcast\",\"data\":1,\"event\":\"e\"}");
    cr_assert(rc_span_equal(operation.event, SPAN("e")) && operation.data_kind == RC_DATA_JSON);

    bad("{\"type\":\"broadcast\",\"args\":{}}", RC_CODE_BAD_REQUEST, "", "args must be an array");
    bad("{\"type\":\"broadcast\",\"args\":[],\"data\":1}", RC_CODE_BAD_REQUEST, "",
        "there can be only one of data and args");
    bad("{\"type\":\"broadcast\",\"event\":\"\",\"data\":1}", RC_CODE_BAD_REQUEST, "", "event is empty");
    bad("{\"type\":\"broadcast\",\"event\":\"disconnect\",\"data\":1}", RC_CODE_BAD_REQUEST, "",
        "event is a name of a protocol's own");
    bad("{\"type\":\"broadcast\",\"event\":7,\"data\":1}", RC_CODE_BAD_REQUEST, "", "event must be a string");
    bad("{\"type\":\"broadcast\",\"event\":\"e\"}", RC_CODE_BAD_REQUEST, "", "broadcast needs data");
}

Test(native, writes_arguments_that_are_broken_as_none)
{
    struct rc_event event = {.type = RC_EVENT_DIRECT, .data_kind = RC_DATA_ARGS, .data = SPAN("xyz")};

    encodes(&event, "{\"type\":\"direct\",\"args\":[]}");
}

Test(native, reads_the_other_operations)
{
    good("{\"type\":\"unsubscribe\",\"channel\":\"a\"}");
    cr_assert(operation.type == RC_OPERATION_UNSUBSCRIBE && operation.id.count == 0);
    good("{\"type\":\"broadcast\",\"data\":null}");
    cr_assert(operation.type == RC_OPERATION_BROADCAST && operation.echo && operation.channel.count == 0);
    cr_assert(rc_span_equal(operation.data, SPAN("null")));
    good("{\"type\":\"broadcast\",\"data\":0,\"echo\":true,\"exclude\":[]}");
    cr_assert(operation.echo && operation.exclude_count == 0);
    good("{\"type\":\"direct\",\"to\":\"host~abc\",\"data\":\"hi\"}");
    cr_assert(operation.type == RC_OPERATION_DIRECT && rc_span_equal(operation.to, SPAN("host~abc")));
    cr_assert(rc_span_equal(operation.data, SPAN("\"hi\"")));
    good("{\"type\":\"presence\",\"channel\":\"a\",\"limit\":10}");
    cr_assert(operation.type == RC_OPERATION_PRESENCE && operation.limit == 10);
    good("{\"type\":\"history\",\"channel\":\"a\",\"limit\":4294967295}");
    cr_assert(operation.type == RC_OPERATION_HISTORY && operation.limit == UINT32_MAX);
    good("{\"type\":\"history\",\"channel\":\"a\",\"since\":9007199254740992,\"limit\":1}");
    cr_assert(operation.has_since && operation.since == RC_OFFSET_MAX);
    good("{\"type\":\"history\",\"channel\":\"a\",\"since\":0}");
    cr_assert(operation.has_since && operation.since == 0);
    good("{\"type\":\"history\",\"channel\":\"a\"}");
    cr_assert(operation.limit == 0 && !operation.has_since);
    good("{\"type\":\"subscribe\",\"channel\":\"a\",\"since\":\"last 4294967295\"}");
    cr_assert(operation.limit == UINT32_MAX && !operation.has_since && !operation.recovers);
    good(
        "{\"type\":\"subscribe\",\"channel\":\"a\",\"recover\":{\"offset\":9007199254740992,\"x\":1,\"epoch\":\"\\u0035f\"}}");
    cr_assert(operation.recovers && operation.since == RC_OFFSET_MAX && operation.former.count == 0);
    cr_assert(rc_span_equal(operation.epoch, SPAN("5f")) && rc_epoch_read(operation.epoch) == 0x5f);
    good("{\"type\":\"subscribe\",\"channel\":\"a\",\"recover\":{\"epoch\":\"none\",\"offset\":0,\"client\":\"h~c\"}}");
    cr_assert(operation.recovers && operation.since == 0 && rc_span_equal(operation.former, SPAN("h~c")));
    cr_assert(rc_epoch_read(operation.epoch) == 0 && rc_epoch_read(SPAN("0")) == 0 && rc_epoch_read(SPAN("05")) == 0 &&
              rc_epoch_read(SPAN("ffffffffffffffff")) == UINT64_MAX && rc_epoch_read(SPAN("10000000000000000")) == 0);
    good("{\"type\":\"ping\"}");
    cr_assert(operation.type == RC_OPERATION_PING && operation.id.count == 0);
}

Test(native, keeps_ids_as_they_were_written)
{
    static const char *const ids[] = {"0",
                                      "-1",
                                      "1.50",
                                      "1e3",
                                      "18446744073709551616",
                                      "\"\"",
                                      "\"\\ud800\"",
                                      "\"\\u0041\"",
                                      "\"\xc3\xbc\"",
                                      "1234567890123456789012345678901234567890123456789012345678901234",
                                      "\"1234567890123456789012345678901234567890123456789012345678901234\""};
    char frame[256];

    for (size_t index = 0; index < RC_ARRAY_COUNT(ids); index++) {
        (void)snprintf(frame, sizeof(frame), "{\"id\" : %s ,\"type\":\"ping\"}", ids[index]);
        good(frame);
        cr_assert(rc_span_equal(operation.id, rc_span_text(ids[index])), "%.*s", SHOW(operation.id));
    }
}

Test(native, skips_members_that_an_operation_does_not_take)
{
    good("{\"type\":\"ping\",\"channel\":5,\"data\":[],\"to\":null,\"echo\":\"x\",\"exclude\":1,\"limit\":-1,\"\":0}");
    good("{\"type\":\"subscribe\",\"channel\":\"a\",\"exclude\":{},\"TYPE\":1,\"typ\":2,\"types\":3,\"\\ud800\":4}");
    good("{\"type\":\"ping\",\"unknown\":1,\"unknown\":2}");
}

Test(native, says_what_is_wrong)
{
    bad("{}", RC_CODE_BAD_REQUEST, "", "type is missing");
    bad("{\"id\":7}", RC_CODE_BAD_REQUEST, "7", "type is missing");
    bad("{\"type\":1,\"id\":7}", RC_CODE_BAD_REQUEST, "7", "type must be a string");
    bad("{\"type\":\"Ping\",\"id\":7}", RC_CODE_BAD_REQUEST, "7", "type is not one of the operations");
    bad("{\"type\":\"a type that is longer than all\",\"id\":7}", RC_CODE_BAD_REQUEST, "7",
        "type is not one of the operations");
    bad("{\"type\":\"\\ud800\",\"id\":7}", RC_CODE_BAD_REQUEST, "7", "type is not one of the operations");
    bad("{\"type\":\"welcome\"}", RC_CODE_BAD_REQUEST, "", "type is not one of the operations");

    bad("{\"type\":\"ping\",\"id\":null}", RC_CODE_BAD_REQUEST, "", "id must be a number or a string");
    bad("{\"type\":\"ping\",\"id\":[1]}", RC_CODE_BAD_REQUEST, "", "id must be a number or a string");
    bad("{\"type\":\"ping\",\"id\":\"12345678901234567890123456789012345678901234567890123456789012345\"}",
        RC_CODE_BAD_REQUEST, "", "id is longer than 64 bytes");
    bad("{\"type\":\"ping\",\"id\":12345678901234567890123456789012345678901234567890123456789012345}",
        RC_CODE_BAD_REQUEST, "", "id is longer than 64 bytes");

    bad("{\"type\":\"subscribe\",\"id\":7}", RC_CODE_BAD_REQUEST, "7", "subscribe needs channel");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":null}", RC_CODE_BAD_REQUEST, "7", "channel must be a string");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"\"}", RC_CODE_BAD_REQUEST, "7", "channel is empty");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\\u0000\"}", RC_CODE_BAD_REQUEST, "7",
        "channel has a control character");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\\u0085\"}", RC_CODE_BAD_REQUEST, "7",
        "channel has a control character");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\\ud800\"}", RC_CODE_BAD_REQUEST, "7",
        "channel has half of a surrogate pair");
    bad("{\"type\":\"publish\",\"id\":7,\"channel\":\"a\"}", RC_CODE_BAD_REQUEST, "7", "publish needs data");
    bad("{\"type\":\"publish\",\"id\":7,\"data\":1}", RC_CODE_BAD_REQUEST, "7", "publish needs channel");
    bad("{\"type\":\"direct\",\"id\":7,\"data\":1}", RC_CODE_BAD_REQUEST, "7", "direct needs to");
    bad("{\"type\":\"direct\",\"id\":7,\"data\":1,\"to\":{}}", RC_CODE_BAD_REQUEST, "7", "to must be a string");
    bad("{\"type\":\"publish\",\"id\":7,\"channel\":\"a\",\"data\":1,\"key\":5}", RC_CODE_BAD_REQUEST, "7",
        "key must be a string");
    bad("{\"type\":\"publish\",\"id\":7,\"channel\":\"a\",\"data\":1,\"key\":\"\"}", RC_CODE_BAD_REQUEST, "7",
        "key is empty");
    bad("{\"type\":\"publish\",\"id\":7,\"channel\":\"a\",\"data\":1,\"key\":"
        "\"12345678901234567890123456789012345678901234567890123456789012345\"}",
        RC_CODE_BAD_REQUEST, "7", "key is longer than 64 bytes");
    bad("{\"type\":\"broadcast\",\"id\":7,\"data\":1,\"echo\":0}", RC_CODE_BAD_REQUEST, "7",
        "echo must be true or false");
    bad("{\"type\":\"broadcast\",\"id\":7,\"data\":1,\"exclude\":\"a\"}", RC_CODE_BAD_REQUEST, "7",
        "exclude must be an array of client ids");
    bad("{\"type\":\"broadcast\",\"id\":7,\"data\":1,\"exclude\":[\"a\",1]}", RC_CODE_BAD_REQUEST, "7",
        "a client id in exclude must be a string");
    bad("{\"type\":\"history\",\"id\":7,\"channel\":\"a\",\"since\":-1}", RC_CODE_BAD_REQUEST, "7",
        "since must be a whole number");
    bad("{\"type\":\"history\",\"id\":7,\"channel\":\"a\",\"since\":9007199254740993}", RC_CODE_BAD_REQUEST, "7",
        "since must be a whole number");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\",\"since\":5}", RC_CODE_BAD_REQUEST, "7",
        "since must be \"last N\", N from 1 to 4294967295; offsets: recover");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\",\"since\":\"last 05\"}", RC_CODE_BAD_REQUEST, "7",
        "since must be \"last N\", N from 1 to 4294967295; offsets: recover");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\",\"recover\":[]}", RC_CODE_BAD_REQUEST, "7",
        "recover must be an object with epoch and offset");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\",\"recover\":{\"epoch\":\"a\",\"epoch\":\"b\",\"offset\":1}}",
        RC_CODE_BAD_REQUEST, "7", "recover has a member twice");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\",\"recover\":{\"epoch\":\"a\"}}", RC_CODE_BAD_REQUEST, "7",
        "recover.offset must be a whole number");
    bad("{\"type\":\"subscribe\",\"id\":7,\"channel\":\"a\",\"recover\":{\"offset\":1}}", RC_CODE_BAD_REQUEST, "7",
        "recover.epoch must be a string");
    bad("{\"type\":\"history\",\"id\":7,\"channel\":\"a\",\"limit\":0}", RC_CODE_BAD_REQUEST, "7",
        "limit must be a whole number from 1 to 4294967295");
    bad("{\"type\":\"history\",\"id\":7,\"channel\":\"a\",\"limit\":4294967296}", RC_CODE_BAD_REQUEST, "7",
        "limit must be a whole number from 1 to 4294967295");
    bad("{\"type\":\"history\",\"id\":7,\"channel\":\"a\",\"limit\":\"5\"}", RC_CODE_BAD_REQUEST, "7",
        "limit must be a whole number from 1 to 4294967295");
}

/* The two could be read differently by whoever filters in front of the broker. */
Test(native, refuses_members_that_are_there_twice)
{
    bad("{\"type\":\"ping\",\"type\":\"ping\",\"id\":7}", RC_CODE_BAD_REQUEST, "7", "type is there twice");
    bad("{\"id\":7,\"type\":\"ping\",\"ty\\u0070e\":\"publish\"}", RC_CODE_BAD_REQUEST, "7", "type is there twice");
    bad("{\"type\":\"ping\",\"id\":7,\"id\":7}", RC_CODE_BAD_REQUEST, "", "id is there twice");
    bad("{\"type\":\"ping\",\"id\":7,\"id\":7,\"to\":1,\"to\":1}", RC_CODE_BAD_REQUEST, "", "id is there twice");
    bad("{\"type\":\"ping\",\"to\":1,\"to\":1,\"id\":7,\"id\":7}", RC_CODE_BAD_REQUEST, "", "id is there twice");
    bad("{\"type\":\"subscribe\",\"channel\":\"a\",\"id\":7,\"channel\":\"b\"}", RC_CODE_BAD_REQUEST, "7",
        "channel is there twice");
    bad("{\"type\":\"ping\",\"data\":1,\"data\":1,\"id\":7}", RC_CODE_BAD_REQUEST, "7", "data is there twice");
}

Test(native, refuses_what_is_no_json)
{
    bad("", RC_CODE_BAD_REQUEST, "", "JSON is broken at byte 0");
    bad("hello", RC_CODE_BAD_REQUEST, "", "JSON is broken at byte 0");
    bad("1", RC_CODE_BAD_REQUEST, "", "a message must be a JSON object or an array of them");
    bad("\"ping\"", RC_CODE_BAD_REQUEST, "", "a message must be a JSON object or an array of them");
    bad("{\"type\":\"ping\"} x", RC_CODE_BAD_REQUEST, "", "JSON is broken at byte 16");
    bad("{\"type\":\"ping\"}{\"type\":\"ping\"}", RC_CODE_BAD_REQUEST, "", "JSON is broken at byte 15");
    bad("{\"id\":7,\"type\":\"ping\"", RC_CODE_BAD_REQUEST, "7", "JSON is broken at byte 21");
    bad("{\"id\":7,\"type\":\"ping\",}", RC_CODE_BAD_REQUEST, "7", "JSON is broken at byte 22");
    bad("[{\"type\":\"ping\",\"id\":7},{\"type\":\"ping\"]", RC_CODE_BAD_REQUEST, "", "JSON is broken at byte 38");
    bad("[{\"type\":\"ping\",\"id\":7}", RC_CODE_BAD_REQUEST, "", "JSON is broken at byte 23");
}

/* Every beginning of a good message is refused without a look behind its end (ASan watches). */
Test(native, refuses_every_truncation)
{
    static const char *const frames[] = {
        "{\"type\":\"publish\",\"channel\":\"r\\u00f6om\",\"exclude\":[\"a\\n\",\"b\"],\"data\":{\"a\":[1,true]},\"id\":-1.5e3}",
        "[{\"type\":\"ping\",\"id\":\"x\"},{\"type\":\"direct\",\"to\":\"a\",\"data\":null}]"};

    for (size_t index = 0; index < RC_ARRAY_COUNT(frames); index++) {
        for (size_t count = 0; count < strlen(frames[index]); count++) {
            uint8_t *copy = malloc(count + (count == 0));

            memcpy(copy, frames[index], count);
            cr_assert_eq(first(rc_span_of(copy, count)), -EBADMSG);
            cr_assert_eq(rc_reader_next(&reader, &operation, &error), 0);
            free(copy);
        }
    }
}

Test(native, bounds_names_and_ids)
{
    char frame[1024], name[512];

    for (int length = 253; length <= 257; length++) {
        memset(name, 'n', sizeof(name));
        name[length] = '\0';
        (void)snprintf(frame, sizeof(frame), "{\"type\":\"subscribe\",\"channel\":\"%s\"}", name);
        cr_assert_eq(first(rc_span_text(frame)), length <= RC_CHANNEL_BYTES_MAX ? 1 : -EBADMSG);
        /* The same length with its last byte escaped: the limit is on the name, not on its spelling. */
        name[length - 1] = '\0';
        (void)snprintf(frame, sizeof(frame), "{\"type\":\"subscribe\",\"channel\":\"%s\\u006e\"}", name);
        cr_assert_eq(first(rc_span_text(frame)), length <= RC_CHANNEL_BYTES_MAX ? 1 : -EBADMSG);
        if (length <= RC_CHANNEL_BYTES_MAX) {
            cr_assert_eq(operation.channel.count, (size_t)length);
        }
    }
    for (int length = 127; length <= 129; length++) {
        memset(name, 'n', sizeof(name));
        name[length] = '\0';
        (void)snprintf(frame, sizeof(frame), "{\"type\":\"direct\",\"to\":\"%s\",\"data\":1}", name);
        cr_assert_eq(first(rc_span_text(frame)), length <= RC_CLIENT_ID_BYTES_MAX ? 1 : -EBADMSG);
    }
}

/* As many and as long strings as can be, all to be unescaped: the scratch area holds them. */
Test(native, scratch_holds_the_worst_operation)
{
    static uint8_t frame[RC_TEST_OPERATION_ROOM];
    uint8_t name[RC_CHANNEL_BYTES_MAX];
    struct rc_operation worst = {.type = RC_OPERATION_PUBLISH, .echo = false, .data = SPAN("1"), .id = SPAN("\"\\n\"")};

    memset(name, 'n', sizeof(name));
    worst.channel = rc_span_of(name, sizeof(name));
    worst.key = rc_span_of(name, RC_KEY_BYTES_MAX);
    worst.exclude_count = RC_EXCLUDE_MAX;
    for (size_t index = 0; index < RC_EXCLUDE_MAX; index++) {
        worst.exclude[index] = rc_span_of(name, RC_CLIENT_ID_BYTES_MAX);
    }
    cr_assert_eq(first(rc_span_of(frame, rc_test_operation_json(&worst, frame))), 1, "%s", error.message);
    cr_assert(rc_test_operation_equal(&operation, &worst));

    worst.exclude_count = 0;
    worst.type = RC_OPERATION_DIRECT;
    worst.channel.count = 0;
    worst.key.count = 0;
    worst.to = rc_span_of(name, RC_CLIENT_ID_BYTES_MAX);
    worst.echo = true;
    cr_assert_eq(first(rc_span_of(frame, rc_test_operation_json(&worst, frame))), 1, "%s", error.message);
    cr_assert(rc_test_operation_equal(&operation, &worst));
}

Test(native, bounds_exclude)
{
    static char frame[4096];

    for (int count = RC_EXCLUDE_MAX; count <= RC_EXCLUDE_MAX + 1; count++) {
        int at = snprintf(frame, sizeof(frame), "{\"type\":\"broadcast\",\"id\":7,\"data\":1,\"exclude\":[");

        for (int index = 0; index < count; index++) {
            at += snprintf(frame + at, sizeof(frame) - (size_t)at, "%s\"c%d\"", index != 0 ? "," : "", index);
        }
        (void)snprintf(frame + at, sizeof(frame) - (size_t)at, "]}");
        if (count <= RC_EXCLUDE_MAX) {
            good(frame);
        } else {
            bad(frame, RC_CODE_TOO_LARGE, "7", "exclude has more than 64 client ids");
        }
    }
}

Test(native, a_bad_operation_does_not_spoil_its_batch)
{
    cr_assert_eq(first(SPAN(" [ {\"type\":\"ping\",\"id\":1}, {\"type\":\"pong\",\"id\":2}, 3, [], "
                            "{\"type\":\"ping\",\"id\":3,\"id\":3}, {\"type\":\"subscribe\",\"id\":\"\\u0034\","
                            "\"channel\":\"\\u0061\"} ] ")),
                 1);
    cr_assert(rc_span_equal(operation.id, SPAN("1")));
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), -EBADMSG);
    cr_assert(rc_span_equal(error.id, SPAN("2")));
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), -EBADMSG);
    cr_assert_eq(error.id.count, 0);
    cr_assert_str_eq(error.message, "an operation must be a JSON object");
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), -EBADMSG);
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), -EBADMSG);
    cr_assert_str_eq(error.message, "id is there twice");
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), 1);
    cr_assert(rc_span_equal(operation.channel, SPAN("a")));
    cr_assert(rc_span_equal(operation.id, SPAN("\"\\u0034\"")));
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), 0);
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), 0);
}

Test(native, an_empty_batch_is_nothing)
{
    cr_assert_eq(first(SPAN("[]")), 0);
    cr_assert_eq(first(SPAN(" [ ] ")), 0);
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), 0);
}

Test(native, bounds_a_batch)
{
    static char frame[8192];

    for (int count = RC_BATCH_MAX; count <= RC_BATCH_MAX + 1; count++) {
        int at = snprintf(frame, sizeof(frame), "[");
        int got;

        for (int index = 0; index < count; index++) {
            at += snprintf(frame + at, sizeof(frame) - (size_t)at, "%s{\"type\":\"ping\",\"id\":%d}", index ? "," : "",
                           index);
        }
        (void)snprintf(frame + at, sizeof(frame) - (size_t)at, "]");
        if (count > RC_BATCH_MAX) {
            bad(frame, RC_CODE_TOO_LARGE, "", "a message holds at most 128 operations");
            continue;
        }
        got = first(rc_span_text(frame));
        for (int index = 0; index < count; index++) {
            cr_assert_eq(got, 1);
            got = rc_reader_next(&reader, &operation, &error);
        }
        cr_assert_eq(got, 0);
    }
}

Test(native, bounds_depth)
{
    char frame[512];

    for (size_t depth = RC_JSON_DEPTH_MAX - 2; depth <= RC_JSON_DEPTH_MAX; depth++) {
        char nested[2 * RC_JSON_DEPTH_MAX + 1];

        memset(nested, '[', depth);
        memset(nested + depth, ']', depth);
        nested[2 * depth] = '\0';
        (void)snprintf(frame, sizeof(frame), "{\"type\":\"broadcast\",\"id\":7,\"data\":%s}", nested);
        if (depth < RC_JSON_DEPTH_MAX) {
            good(frame);
        } else {
            bad(frame, RC_CODE_BAD_REQUEST, "7", "JSON is nested deeper than 64 at byte 97");
        }
    }
}

/* --------------------------------------------------------------------------------------------------------- events */

Test(native, writes_welcome)
{
    struct rc_welcome welcome = {
        .client = SPAN("a~b"), .instance = SPAN("a"), .ping_interval_ms = 25000, .message_size_max = UINT64_MAX};
    struct rc_event event = {.type = RC_EVENT_WELCOME, .welcome = &welcome};

    encodes(&event, "{\"type\":\"welcome\",\"protocol\":1,\"client\":\"a~b\",\"instance\":\"a\",\"user\":null,"
                    "\"ping_interval\":25000,\"max_message_size\":18446744073709551615}");
    welcome.user = SPAN("J\xc3\xbcrgen \"x\"\n");
    welcome.ping_interval_ms = 0;
    encodes(&event,
            "{\"type\":\"welcome\",\"protocol\":1,\"client\":\"a~b\",\"instance\":\"a\","
            "\"user\":\"J\xc3\xbcrgen \\\"x\\\"\\n\",\"ping_interval\":0,\"max_message_size\":18446744073709551615}");
}

Test(native, writes_answers)
{
    struct rc_event event = {.type = RC_EVENT_SUBSCRIBED, .id = SPAN("1"), .channel = SPAN("a\"b")};

    encodes(&event, "{\"type\":\"subscribed\",\"id\":1,\"channel\":\"a\\\"b\"}");
    event.local = true;
    encodes(&event, "{\"type\":\"subscribed\",\"id\":1,\"channel\":\"a\\\"b\",\"scope\":\"local\"}");
    event.type = RC_EVENT_UNSUBSCRIBED;
    event.id = SPAN("\"x\"");
    event.channel_json = SPAN("\"prepared\"");
    encodes(&event, "{\"type\":\"unsubscribed\",\"id\":\"x\",\"channel\":\"prepared\"}");
    event.type = RC_EVENT_PUBLISHED;
    encodes(&event, "{\"type\":\"published\",\"id\":\"x\"}");
    event.offset = UINT64_MAX;
    event.epoch = UINT64_MAX;
    encodes(&event,
            "{\"type\":\"published\",\"id\":\"x\",\"epoch\":\"ffffffffffffffff\",\"offset\":18446744073709551615}");
    event.epoch = 1;
    event.offset = 1;
    encodes(&event, "{\"type\":\"published\",\"id\":\"x\",\"epoch\":\"1\",\"offset\":1}");
    event.offset = 0;
    event.type = RC_EVENT_BROADCASTED;
    encodes(&event, "{\"type\":\"broadcasted\",\"id\":\"x\"}");
    event.type = RC_EVENT_SENT;
    encodes(&event, "{\"type\":\"sent\",\"id\":\"x\"}");
    event.type = RC_EVENT_PONG;
    encodes(&event, "{\"type\":\"pong\",\"id\":\"x\"}");
    event.id.count = 0;
    encodes(&event, "{\"type\":\"pong\"}");
}

Test(native, writes_errors)
{
    struct rc_event event = {.type = RC_EVENT_ERROR, .id = SPAN("2"), .message = SPAN("say \"please\"")};

#define RC_CODE(name, number, reason)                                                        \
    event.code = RC_CODE_##name;                                                             \
    encodes(&event, "{\"type\":\"error\",\"id\":2,\"code\":" #number ",\"reason\":\"" reason \
                    "\",\"message\":\"say \\\"please\\\"\"}");
#include "common/records/codes.def"
    event.code = (enum rc_code)65535;
    event.id.count = 0;
    event.channel = SPAN("prices:BTC");
    encodes(&event, "{\"type\":\"error\",\"code\":65535,\"reason\":\"error\",\"message\":\"say \\\"please\\\"\","
                    "\"channel\":\"prices:BTC\"}");
}

Test(native, writes_deliveries)
{
    struct rc_event event = {.type = RC_EVENT_MESSAGE, .channel = SPAN("prices:BTC"), .data = SPAN("{ \"p\" : 1 }")};

    encodes(&event, "{\"type\":\"message\",\"channel\":\"prices:BTC\",\"data\":{ \"p\" : 1 }}");
    event.channel_json = SPAN("\"prices:BTC\"");
    cr_assert_eq(rc_native_event_bytes_max(RC_NATIVE_JSON, &event),
                 strlen("{\"type\":\"message\",\"channel\":\"prices:BTC\",\"data\":{ \"p\" : 1 }}"));
    encodes(&event, "{\"type\":\"message\",\"channel\":\"prices:BTC\",\"data\":{ \"p\" : 1 }}");
    event.from = SPAN("a~b");
    encodes(&event, "{\"type\":\"message\",\"channel\":\"prices:BTC\",\"from\":\"a~b\",\"data\":{ \"p\" : 1 }}");
    event.type = RC_EVENT_DIRECT;
    encodes(&event, "{\"type\":\"direct\",\"from\":\"a~b\",\"data\":{ \"p\" : 1 }}");
    event.from.count = 0;
    encodes(&event, "{\"type\":\"direct\",\"data\":{ \"p\" : 1 }}");
    event.type = RC_EVENT_GAP;
    encodes(&event, "{\"type\":\"gap\",\"channel\":\"prices:BTC\"}");
    event.channel.count = event.channel_json.count = 0;
    encodes(&event, "{\"type\":\"gap\"}");
}

/* What the relay has written of who comes and goes, in both forms as JSON; what is none of that is a message as any. */
Test(native, writes_presence_events)
{
    struct rc_event event = {.type = RC_EVENT_MESSAGE,
                             .channel = SPAN("\x02room:1"),
                             .event = SPAN("presence_diff"),
                             .data = SPAN("{\"channel\":\"room:1\",\"clients\":1}")};

    encodes(&event, "{\"type\":\"presence_diff\",\"channel\":\"room:1\",\"clients\":1}");
    cr_assert_eq(rc_native_event_form(RC_NATIVE_BINARY, &event), RC_NATIVE_JSON);
    event.retained = true;
    event.event = SPAN("presence_state");
    event.channel_json = SPAN("\"\\u0002room:1\"");
    encodes(&event, "{\"type\":\"presence_state\",\"channel\":\"room:1\",\"clients\":1}");
    event.retained = false;
    event.data = SPAN("[]");
    encodes(&event, "{\"type\":\"message\",\"channel\":\"\\u0002room:1\",\"event\":\"presence_state\",\"data\":[]}");
    event.data = SPAN("{\"a\":1}");
    event.event = SPAN("x\"");
    encodes(&event, "{\"type\":\"message\",\"channel\":\"\\u0002room:1\",\"event\":\"x\\\"\",\"data\":{\"a\":1}}");
    event.type = RC_EVENT_GAP;
    encodes(&event, "{\"type\":\"presence_gap\",\"channel\":\"room:1\"}");
    cr_assert_eq(rc_native_event_form(RC_NATIVE_BINARY, &event), RC_NATIVE_JSON);
}

Test(native, reads_whether_presence_is_followed)
{
    good("{\"type\":\"subscribe\",\"channel\":\"a\",\"presence\":true}");
    cr_assert(operation.presence);
    good("{\"type\":\"subscribe\",\"channel\":\"a\"}");
    cr_assert_not(operation.presence);
}

/* Texts of which every byte must be escaped still fit the room that was asked for. */
Test(native, bounds_hold_for_the_worst_texts)
{
    uint8_t zeros[RC_CHANNEL_BYTES_MAX] = {0};
    struct rc_span worst = rc_span_of(zeros, sizeof(zeros));
    struct rc_welcome welcome = {.client = worst,
                                 .instance = worst,
                                 .user = worst,
                                 .ping_interval_ms = UINT32_MAX,
                                 .message_size_max = UINT64_MAX};
    static const struct rc_query_answer most = {UINT64_MAX, UINT64_MAX, UINT32_MAX, RC_QUERY_MORE};
    const struct rc_query_entry worst_entries[] = {
        {.clients = UINT32_MAX, .user = worst, .instances = worst},
        {.clients = UINT32_MAX, .user = worst, .instances = SPAN(",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,")},
        {.clients = UINT32_MAX, .instances = SPAN("\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0,\0")},
        {.clients = UINT32_MAX, .user = SPAN("a")}};
    uint8_t entries[2048];
    uint32_t used = 0;
    for (size_t i = 0; i < RC_ARRAY_COUNT(worst_entries); i++) {
        used = rc_query_entry_put(entries, used, sizeof(entries), &worst_entries[i]);
    }
    const struct rc_presence_list presence = {.answer = most, .entries = rc_span_of(entries, used)};
    struct rc_event event = {.code = RC_CODE_NOT_ENABLED,
                             .presence = &presence,
                             .local = true,
                             .channel = worst,
                             .data = worst,
                             .from = worst,
                             .message = worst,
                             .welcome = &welcome,
                             .id = SPAN("1234567890123456789012345678901234567890123456789012345678901234")};

    uint8_t args[RC_ARGS_BEFORE_MAX + 1024];
    const struct rc_span attachments[] = {SPAN("a"), SPAN(""), SPAN("abc"), SPAN("abcd"), SPAN("abcdefgh")};
    const struct rc_span laid_out =
        rc_span_of(args, rc_args_bytes(2, RC_ARRAY_COUNT(attachments), NULL) + 1 + 0 + 3 + 4 + 8);
    rc_args_write(args, SPAN("[]"), attachments, RC_ARRAY_COUNT(attachments));
    event.event = worst;

    for (int kind = RC_DATA_JSON; kind <= RC_DATA_ARGS; kind++) {
        event.data = kind == RC_DATA_ARGS ? laid_out : worst;
        for (int type = RC_EVENT_WELCOME; type <= RC_EVENT_GAP; type++) {
            for (int form = RC_NATIVE_JSON; form <= RC_NATIVE_BINARY; form++) {
                size_t room;
                uint8_t *out;

                event.type = (enum rc_event_type)type;
                event.data_kind = (enum rc_data_kind)kind;
                room = rc_native_event_bytes_max((enum rc_native_form)form, &event);
                out = malloc(room);
                cr_assert_leq(rc_native_event_encode((enum rc_native_form)form, &event, out), room);
                free(out);
            }
        }
    }
}

Test(native, binary_data_leaves_in_binary_form)
{
    struct rc_event event = {
        .type = RC_EVENT_MESSAGE, .channel = SPAN("c"), .data = SPAN("\0\xff"), .data_kind = RC_DATA_BINARY};
    uint8_t out[64];

    cr_assert_eq(rc_native_event_form(RC_NATIVE_JSON, &event), RC_NATIVE_BINARY);
    cr_assert(rc_span_equal(rc_span_of(out, rc_native_event_encode(RC_NATIVE_JSON, &event, out)), SPAN("\x81\x04\x01"
                                                                                                       "c\0\xff")));
    event.data_kind = RC_DATA_JSON;
    cr_assert_eq(rc_native_event_form(RC_NATIVE_JSON, &event), RC_NATIVE_JSON);
    cr_assert_eq(rc_native_event_form(RC_NATIVE_BINARY, &event), RC_NATIVE_BINARY);
    event.type = RC_EVENT_PONG;
    event.data_kind = RC_DATA_BINARY;
    cr_assert_eq(rc_native_event_form(RC_NATIVE_JSON, &event), RC_NATIVE_JSON);
}

Test(native, writes_the_restart_reason)
{
    uint8_t out[RC_GOODBYE_BYTES_MAX];

    cr_assert(rc_span_equal(rc_span_of(out, rc_native_goodbye(out, 1234)), SPAN("{\"reconnect_ms\":1234}")));
    cr_assert(rc_span_equal(rc_span_of(out, rc_native_goodbye(out, 0)), SPAN("{\"reconnect_ms\":0}")));
    cr_assert(
        rc_span_equal(rc_span_of(out, rc_native_goodbye(out, UINT32_MAX)), SPAN("{\"reconnect_ms\":4294967295}")));
}

Test(native, close_codes_keep_their_ranges)
{
#define RC_CLOSE(name, number, reason, reconnect)                    \
    cr_assert_str_eq(rc_close_reason(number), reason);               \
    cr_assert((number) < 4000 ? (number) >= 1000 && (number) <= 1015 \
                              : (number) < 5000 && ((number) < 4500) == (reconnect));
#include "common/records/codes.def"
    cr_assert_str_eq(rc_close_reason(4499), "");
}
