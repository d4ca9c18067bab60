/*
 * native_binary: the compact binary form. The examples are those of docs/protocol.md, which is read here, so that
 * client authors can rely on every byte of it; the rest asks for what is refused, and that every beginning of a good
 * message is refused without a look behind its end (each lies in a block of exactly its size).
 */
#include "worker/proto/native.h"

#include "common/base/check.h"
#include "tests/support/native_codec.h"

#include "common/records/args.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SPAN(literal) RC_SPAN(literal)
#define SHOW(span) (int)(span).count, (const char *)(span).bytes

/* Runs of the Makefile's test programs begin in the top folder. */
#define PROTOCOL_DOCUMENT "docs/protocol.md"

static struct rc_reader reader;
static struct rc_operation_scratch scratch;
static uint8_t reader_room[1u << 20];
static struct rc_operation operation;
static struct rc_operation_error error;

static const struct {
    const char *json;
    const char *hex;
} operation_examples[] = {
    {"{\"type\":\"subscribe\",\"channel\":\"prices:BTC\",\"id\":1}", "01 01 01 0a 70 72 69 63 65 73 3a 42 54 43"},
    {"{\"type\":\"subscribe\",\"channel\":\"log:1\",\"id\":2,\"recover\":{\"epoch\":\"5f\",\"offset\":147}}",
     "01 11 02 05 6c 6f 67 3a 31 02 35 66 93 01"},
    {"{\"type\":\"subscribe\",\"channel\":\"log:1\",\"id\":3,\"recover\":{\"epoch\":\"5f\",\"offset\":147,\"client\":"
     "\"web1~x\"},\"since\":\"last 20\"}",
     "01 71 03 05 6c 6f 67 3a 31 02 35 66 93 01 06 77 65 62 31 7e 78 14"},
    {"{\"type\":\"unsubscribe\",\"channel\":\"prices:BTC\",\"id\":300}",
     "02 01 ac 02 0a 70 72 69 63 65 73 3a 42 54 43"},
    {"{\"type\":\"publish\",\"channel\":\"prices:BTC\",\"data\":{\"p\":1},\"id\":\"a7\"}",
     "03 02 02 61 37 0a 70 72 69 63 65 73 3a 42 54 43 7b 22 70 22 3a 31 7d"},
    {"{\"type\":\"publish\",\"channel\":\"room:1\",\"data\":\"hi\",\"echo\":false,\"exclude\":[\"web1~x\",\"web2~y\"]}",
     "03 18 06 72 6f 6f 6d 3a 31 02 06 77 65 62 31 7e 78 06 77 65 62 32 7e 79 22 68 69 22"},
    {"{\"type\":\"publish\",\"channel\":\"prices:all\",\"key\":\"BTC\",\"data\":{\"p\":1}}",
     "03 40 0a 70 72 69 63 65 73 3a 61 6c 6c 03 42 54 43 7b 22 70 22 3a 31 7d"},
    {"{\"type\":\"publish\",\"channel\":\"room:1\",\"event\":\"chat\",\"data\":\"hi\"}",
     "03 80 06 72 6f 6f 6d 3a 31 04 63 68 61 74 22 68 69 22"},
    {"{\"type\":\"publish\",\"channel\":\"room:1\",\"event\":\"chat\",\"args\":[\"hi\",2]}",
     "03 a0 06 72 6f 6f 6d 3a 31 04 63 68 61 74 00 5b 22 68 69 22 2c 32 5d"},
    {"{\"type\":\"broadcast\",\"data\":true}", "04 00 74 72 75 65"},
    {"{\"type\":\"direct\",\"to\":\"web1~x\",\"data\":[1,2],\"id\":2.5}",
     "05 03 03 32 2e 35 06 77 65 62 31 7e 78 5b 31 2c 32 5d"},
    {"{\"type\":\"presence\",\"channel\":\"room:1\",\"limit\":200,\"id\":4}", "06 21 04 06 72 6f 6f 6d 3a 31 c8 01"},
    {"{\"type\":\"history\",\"channel\":\"room:1\",\"id\":5}", "07 01 05 06 72 6f 6f 6d 3a 31"},
    {"{\"type\":\"history\",\"channel\":\"room:1\",\"id\":6,\"since\":148,\"limit\":2}",
     "07 29 06 06 72 6f 6f 6d 3a 31 02 94 01"},
    {"{\"type\":\"ping\",\"id\":0}", "08 01 00"},
    {"[{\"type\":\"subscribe\",\"channel\":\"prices:BTC\",\"id\":1},{\"type\":\"ping\",\"id\":0}]",
     "0f 0e 01 01 01 0a 70 72 69 63 65 73 3a 42 54 43 03 08 01 00"},
};

static const struct rc_welcome welcome_example = {.client = {(const uint8_t *)"web1~x", 6},
                                                  .instance = {(const uint8_t *)"web1", 4},
                                                  .user = {(const uint8_t *)"42", 2},
                                                  .ping_interval_ms = 25000,
                                                  .message_size_max = 1048576};

static const struct rc_presence_list presence_example = {
    .answer = {.clients = 4, .users = 1, .count = 2, .flags = RC_QUERY_MORE | RC_QUERY_LOCAL},
    .entries = {(const uint8_t *)"\3\0\0\0\2\0\11\0\0\0"
                                 "42web1,web2"
                                 "\1\0\0\0\0\0\4\0\0\0"
                                 "web1",
                35}};

#define TEXT(literal)                                   \
    {                                                   \
        (const uint8_t *)(literal), sizeof(literal) - 1 \
    }

static const struct {
    struct rc_event event;
    const char *json;
    const char *hex;
} event_examples[] = {
    {{.type = RC_EVENT_WELCOME, .welcome = &welcome_example},
     "{\"type\":\"welcome\",\"protocol\":1,\"client\":\"web1~x\",\"instance\":\"web1\",\"user\":\"42\","
     "\"ping_interval\":25000,\"max_message_size\":1048576}",
     "50 40 01 06 77 65 62 31 7e 78 04 77 65 62 31 a8 c3 01 80 80 40 02 34 32"},
    {{.type = RC_EVENT_SUBSCRIBED, .id = TEXT("1"), .channel = TEXT("prices:BTC")},
     "{\"type\":\"subscribed\",\"id\":1,\"channel\":\"prices:BTC\"}",
     "41 01 01 0a 70 72 69 63 65 73 3a 42 54 43"},
    {{.type = RC_EVENT_SUBSCRIBED, .id = TEXT("1"), .channel = TEXT("prices:BTC"), .local = true},
     "{\"type\":\"subscribed\",\"id\":1,\"channel\":\"prices:BTC\",\"scope\":\"local\"}",
     "41 09 01 0a 70 72 69 63 65 73 3a 42 54 43"},
    {{.type = RC_EVENT_SUBSCRIBED,
      .id = TEXT("2"),
      .channel = TEXT("log:1"),
      .recovery = RC_RECOVERED,
      .epoch = 0x5f,
      .offset = 150},
     "{\"type\":\"subscribed\",\"id\":2,\"channel\":\"log:1\",\"recovered\":true,\"epoch\":\"5f\",\"offset\":150}",
     "41 31 02 05 6c 6f 67 3a 31 02 35 66 96 01"},
    {{.type = RC_EVENT_MESSAGE,
      .channel = TEXT("log:1"),
      .begins = true,
      .epoch = 0x5f,
      .offset = 1,
      .data = TEXT("\"hi\"")},
     "{\"type\":\"message\",\"channel\":\"log:1\",\"offset\":1,\"epoch\":\"5f\",\"data\":\"hi\"}",
     "84 10 01 02 35 66 05 6c 6f 67 3a 31 22 68 69 22"},
    {{.type = RC_EVENT_UNSUBSCRIBED, .id = TEXT("300"), .channel = TEXT("prices:BTC")},
     "{\"type\":\"unsubscribed\",\"id\":300,\"channel\":\"prices:BTC\"}",
     "42 01 ac 02 0a 70 72 69 63 65 73 3a 42 54 43"},
    {{.type = RC_EVENT_PUBLISHED, .id = TEXT("\"a7\"")}, "{\"type\":\"published\",\"id\":\"a7\"}", "43 02 02 61 37"},
    {{.type = RC_EVENT_PUBLISHED, .id = TEXT("8"), .epoch = 0x5f3a1c9e22d0b417, .offset = 151},
     "{\"type\":\"published\",\"id\":8,\"epoch\":\"5f3a1c9e22d0b417\",\"offset\":151}",
     "43 11 08 10 35 66 33 61 31 63 39 65 32 32 64 30 62 34 31 37 97 01"},
    {{.type = RC_EVENT_BROADCASTED, .id = TEXT("3")}, "{\"type\":\"broadcasted\",\"id\":3}", "44 01 03"},
    {{.type = RC_EVENT_SENT, .id = TEXT("2.5")}, "{\"type\":\"sent\",\"id\":2.5}", "45 03 03 32 2e 35"},
    {{.type = RC_EVENT_PONG, .id = TEXT("0")}, "{\"type\":\"pong\",\"id\":0}", "48 01 00"},
    {{.type = RC_EVENT_PRESENCE,
      .id = TEXT("4"),
      .channel = TEXT("room:1"),
      .local = true,
      .presence = &presence_example},
     "{\"type\":\"presence\",\"id\":4,\"channel\":\"room:1\",\"clients\":4,\"users\":1,\"members\":["
     "{\"user\":\"42\",\"clients\":3,\"instances\":[\"web1\",\"web2\"]},"
     "{\"user\":null,\"clients\":1,\"instances\":[\"web1\"]}],\"more\":true,\"scope\":\"local\"}",
     "46 19 04 06 72 6f 6f 6d 3a 31 04 01 02 02 34 32 03 02 04 77 65 62 31 04 77 65 62 32 00 01 01 04 77 65 62 31"},
    {{.type = RC_EVENT_ERROR,
      .id = TEXT("2"),
      .code = RC_CODE_FORBIDDEN,
      .channel = TEXT("news"),
      .message = TEXT("not yours")},
     "{\"type\":\"error\",\"id\":2,\"code\":403,\"reason\":\"forbidden\",\"message\":\"not yours\",\"channel\":\"news\"}",
     "51 11 02 93 03 09 66 6f 72 62 69 64 64 65 6e 04 6e 65 77 73 6e 6f 74 20 79 6f 75 72 73"},
    {{.type = RC_EVENT_MESSAGE, .channel = TEXT("prices:BTC"), .data = TEXT("{\"p\":1}")},
     "{\"type\":\"message\",\"channel\":\"prices:BTC\",\"data\":{\"p\":1}}",
     "81 00 0a 70 72 69 63 65 73 3a 42 54 43 7b 22 70 22 3a 31 7d"},
    {{.type = RC_EVENT_MESSAGE, .channel = TEXT("room:1"), .from = TEXT("web1~x"), .data = TEXT("\"hi\"")},
     "{\"type\":\"message\",\"channel\":\"room:1\",\"from\":\"web1~x\",\"data\":\"hi\"}",
     "81 20 06 72 6f 6f 6d 3a 31 06 77 65 62 31 7e 78 22 68 69 22"},
    {{.type = RC_EVENT_MESSAGE,
      .channel = TEXT("cam:1"),
      .data_kind = RC_DATA_BINARY,
      .data = TEXT("\x00\x01\x02\xff")},
     NULL,
     "81 04 05 63 61 6d 3a 31 00 01 02 ff"},
    {{.type = RC_EVENT_MESSAGE, .channel = TEXT("room:1"), .event = TEXT("chat"), .data = TEXT("\"hi\"")},
     "{\"type\":\"message\",\"channel\":\"room:1\",\"event\":\"chat\",\"data\":\"hi\"}",
     "81 80 06 72 6f 6f 6d 3a 31 04 63 68 61 74 22 68 69 22"},
    {{.type = RC_EVENT_MESSAGE,
      .channel = TEXT("room:1"),
      .event = TEXT("chat"),
      .data_kind = RC_DATA_ARGS,
      .data = TEXT("\x08\0\0\0\0\0\0\0[\"hi\",2]")},
     "{\"type\":\"message\",\"channel\":\"room:1\",\"event\":\"chat\",\"args\":[\"hi\",2]}",
     "81 c0 06 72 6f 6f 6d 3a 31 04 63 68 61 74 00 5b 22 68 69 22 2c 32 5d"},
    {{.type = RC_EVENT_MESSAGE,
      .channel = TEXT("room:1"),
      .event = TEXT("photo"),
      .data_kind = RC_DATA_ARGS,
      .data = TEXT("\x24\0\0\0\1\0\0\0\3\0\0\0"
                   "[\"me\",{\"_placeholder\":true,\"num\":0}]\x01\x02\xff")},
     "{\"type\":\"message\",\"channel\":\"room:1\",\"event\":\"photo\","
     "\"args\":[\"me\",{\"_placeholder\":true,\"num\":0}],\"attachments\":[\"AQL/\"]}",
     "81 c0 06 72 6f 6f 6d 3a 31 05 70 68 6f 74 6f 01 03 01 02 ff 5b 22 6d 65 22 2c 7b 22 5f 70 6c 61 63 65 68 6f 6c 64 "
     "65 72 22 3a 74 72 75 65 2c 22 6e 75 6d 22 3a 30 7d 5d"},
    {{.type = RC_EVENT_MESSAGE, .channel = TEXT("log:1"), .offset = 300, .data = TEXT("\"hi\"")},
     "{\"type\":\"message\",\"channel\":\"log:1\",\"offset\":300,\"data\":\"hi\"}",
     "84 00 ac 02 05 6c 6f 67 3a 31 22 68 69 22"},
    {{.type = RC_EVENT_DIRECT, .data = TEXT("[1,2]")}, "{\"type\":\"direct\",\"data\":[1,2]}", "82 00 5b 31 2c 32 5d"},
    {{.type = RC_EVENT_GAP, .channel = TEXT("prices:BTC")},
     "{\"type\":\"gap\",\"channel\":\"prices:BTC\"}",
     "83 00 0a 70 72 69 63 65 73 3a 42 54 43"},
};

/* "01 ff" to bytes. */
static struct rc_span unhex(const char *hex, uint8_t *out)
{
    size_t count = 0;
    unsigned byte;
    int used;

    for (; sscanf(hex, "%2x%n", &byte, &used) == 1; hex += used) {
        out[count++] = (uint8_t)byte;
    }
    return rc_span_of(out, count);
}

static int first(struct rc_span frame)
{
    rc_reader_begin(&reader, &rc_codec_json, RC_PART_BINARY, frame, &scratch, NULL);
    rc_reader_give_room(&reader, reader_room, sizeof(reader_room));
    return rc_reader_next(&reader, &operation, &error);
}

/* The message holds exactly one good operation. */
static void good(struct rc_span frame)
{
    struct rc_operation_error end_error;
    struct rc_operation end;
    int got = first(frame);

    cr_assert_eq(got, 1, "%s", got < 0 ? error.message : "nothing");
    cr_assert_eq(rc_reader_next(&reader, &end, &end_error), 0);
    cr_assert_eq(rc_reader_next(&reader, &end, &end_error), 0);
}

static void bad(struct rc_span frame, enum rc_code code, const char *id, const char *message)
{
    struct rc_operation_error end_error;
    struct rc_operation end;

    cr_assert_eq(first(frame), -EBADMSG, "%s", message);
    cr_assert_eq(error.code, code);
    cr_assert(rc_span_equal(error.id, rc_span_text(id)), "%s: id %.*s", message, SHOW(error.id));
    cr_assert_str_eq(error.message, message, "%s", error.message);
    cr_assert_eq(rc_reader_next(&reader, &end, &end_error), 0);
}

/* ------------------------------------------------------------------------------------------------- the document */

static char *document(void)
{
    FILE *file = fopen(PROTOCOL_DOCUMENT, "rb");
    size_t room = 1 << 20, count;
    char *text;

    cr_assert_not_null(file, "%s: run tests from the top folder", PROTOCOL_DOCUMENT);
    text = malloc(room);
    count = fread(text, 1, room - 1, file);
    text[count] = '\0';
    (void)fclose(file);
    return text;
}

Test(native_binary, examples_are_in_the_document)
{
    char *text = document();

    for (size_t index = 0; index < RC_ARRAY_COUNT(operation_examples); index++) {
        cr_assert_not_null(strstr(text, operation_examples[index].json), "%s", operation_examples[index].json);
        cr_assert_not_null(strstr(text, operation_examples[index].hex), "%s", operation_examples[index].hex);
    }
    for (size_t index = 0; index < RC_ARRAY_COUNT(event_examples); index++) {
        if (event_examples[index].json != NULL) {
            cr_assert_not_null(strstr(text, event_examples[index].json), "%s", event_examples[index].json);
        }
        cr_assert_not_null(strstr(text, event_examples[index].hex), "%s", event_examples[index].hex);
    }
    free(text);
}

Test(native_binary, codes_are_in_the_document)
{
    char *text = document();
    char row[128];

#define RC_CODE(name, number, reason) cr_assert_not_null(strstr(text, "| " #number " | `" reason "` |"), "%s", reason);
#define RC_CLOSE(name, number, reason, reconnect)                                                              \
    (void)snprintf(row, sizeof(row), "| %d | `%s` | %s |", (number), reason, (reconnect) != 0 ? "yes" : "no"); \
    cr_assert_not_null(strstr(text, row), "%s", row);
#include "common/records/codes.def"
    free(text);
}

Test(native_binary, example_operations_are_the_same_in_both_forms)
{
    for (size_t index = 0; index < RC_ARRAY_COUNT(operation_examples); index++) {
        static struct rc_reader json_reader;
        static struct rc_operation_scratch json_scratch;
        static struct rc_operation json_operation;
        uint8_t bytes[256];
        int got, json_got;

        rc_reader_begin(&json_reader, &rc_codec_json, RC_PART_TEXT, rc_span_text(operation_examples[index].json),
                        &json_scratch, NULL);
        rc_reader_give_room(&json_reader, reader_room, sizeof(reader_room));
        rc_reader_begin(&reader, &rc_codec_json, RC_PART_BINARY, unhex(operation_examples[index].hex, bytes), &scratch,
                        NULL);
        rc_reader_give_room(&reader, reader_room, sizeof(reader_room));
        do {
            json_got = rc_reader_next(&json_reader, &json_operation, &error);
            got = rc_reader_next(&reader, &operation, &error);
            cr_assert_eq(got, json_got, "%s: %s", operation_examples[index].json, got < 0 ? error.message : "");
            cr_assert_geq(got, 0);
            cr_assert(got == 0 || rc_test_operation_equal(&operation, &json_operation), "%s",
                      operation_examples[index].json);
        } while (got != 0);
    }
}

Test(native_binary, example_events_are_as_documented)
{
    for (size_t index = 0; index < RC_ARRAY_COUNT(event_examples); index++) {
        const struct rc_event *event = &event_examples[index].event;
        uint8_t expected[256];
        size_t room = rc_native_event_bytes_max(RC_NATIVE_BINARY, event);
        uint8_t *out = malloc(room);
        size_t count = rc_native_event_encode(RC_NATIVE_BINARY, event, out);
        struct rc_test_event read;

        cr_assert_leq(count, room);
        cr_assert(rc_span_equal(rc_span_of(out, count), unhex(event_examples[index].hex, expected)), "%s",
                  event_examples[index].hex);
        cr_assert(rc_test_event_read(rc_span_of(out, count), &read), "%s", event_examples[index].hex);
        free(out);
        if (event_examples[index].json == NULL) {
            continue;
        }
        room = rc_native_event_bytes_max(RC_NATIVE_JSON, event);
        out = malloc(room);
        count = rc_native_event_encode(RC_NATIVE_JSON, event, out);
        cr_assert(rc_span_equal(rc_span_of(out, count), rc_span_text(event_examples[index].json)), "%.*s", (int)count,
                  (char *)out);
        free(out);
    }
}

/* --------------------------------------------------------------------------------------------------- operations */

Test(native_binary, reads_binary_data)
{
    good(SPAN("\x03\x05\x09\x05"
              "cam:1\x00\x01\x02\xff"));
    cr_assert_eq(operation.type, RC_OPERATION_PUBLISH);
    cr_assert_eq(operation.data_kind, RC_DATA_BINARY);
    cr_assert(rc_span_equal(operation.data, SPAN("\x00\x01\x02\xff")));
    cr_assert(rc_span_equal(operation.id, SPAN("9")));
    cr_assert(operation.echo);
    good(SPAN("\x04\x04"));
    cr_assert(operation.data_kind == RC_DATA_BINARY && operation.data.count == 0);
}

Test(native_binary, retained_values_are_asked_for_and_kept)
{
    uint8_t out[64];
    struct rc_event event = {.type = RC_EVENT_MESSAGE, .channel = SPAN("a"), .data = SPAN("7"), .retained = true};
    good(SPAN("\x01\x08\x01"
              "a"));
    cr_assert(operation.type == RC_OPERATION_SUBSCRIBE && operation.retained && !operation.retain);
    good(SPAN("\x01\x00\x01"
              "a"));
    cr_assert_not(operation.retained);
    good(SPAN("\x0b\x40\x01"
              "a"
              "\x01"
              "k"
              "7"));
    cr_assert(operation.type == RC_OPERATION_PUBLISH && operation.retain && operation.echo);
    cr_assert(rc_span_equal(operation.key, SPAN("k")) && rc_span_equal(operation.data, SPAN("7")));
    good(SPAN("\x03\x08\x01"
              "a"
              "7"));
    cr_assert_not(operation.retain);
    cr_assert_eq(rc_native_event_encode(RC_NATIVE_BINARY, &event, out), 5);
    cr_assert_eq(memcmp(out, "\x81\x08\x01\x61\x37", 5), 0);
}

Test(native_binary, reads_arguments_with_attachments)
{
    struct rc_args_view view;
    good(SPAN("\x03\xa0\x01"
              "c\x01"
              "e\x02\x03xyz\x00 [{\"_placeholder\":true,\"num\":1}, 2] "));
    cr_assert(operation.type == RC_OPERATION_PUBLISH && operation.data_kind == RC_DATA_ARGS);
    cr_assert(rc_span_equal(operation.event, SPAN("e")));
    cr_assert_eq(rc_args_read(operation.data, &view), 0);
    cr_assert(rc_span_equal(view.json, SPAN("[{\"_placeholder\":true,\"num\":1}, 2]")));
    cr_assert_eq(view.attachment_count, 2);
    cr_assert(rc_span_equal(rc_args_attachment(&view, 0), SPAN("xyz")));
    cr_assert_eq(rc_args_attachment(&view, 1).count, 0);
}

Test(native_binary, makes_json_tokens_of_ids)
{
    good(SPAN("\x08\x00"));
    cr_assert_eq(operation.id.count, 0);
    good(SPAN("\x08\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    cr_assert(rc_span_equal(operation.id, SPAN("18446744073709551615")));
    good(SPAN("\x08\x02\x00"));
    cr_assert(rc_span_equal(operation.id, SPAN("\"\"")));
    good(SPAN("\x08\x02\x03\xc3\xbc\x7f"));
    cr_assert(rc_span_equal(operation.id, SPAN("\"\xc3\xbc\x7f\"")));
    good(SPAN("\x08\x03\x04\"\\n\""));
    cr_assert(rc_span_equal(operation.id, SPAN("\"\\n\"")));
    good(SPAN("\x08\x03\x02-1"));
    cr_assert(rc_span_equal(operation.id, SPAN("-1")));
    good(SPAN("\x08\x02\x40"
              "1234567890123456789012345678901234567890123456789012345678901234"));
    cr_assert_eq(operation.id.count, RC_REQUEST_ID_TOKEN_BYTES_MAX);
}

Test(native_binary, says_what_is_wrong)
{
    bad(SPAN(""), RC_CODE_BAD_REQUEST, "", "an operation has at least two bytes");
    bad(rc_span_of(NULL, 0), RC_CODE_BAD_REQUEST, "", "an operation has at least two bytes");
    bad(SPAN("\x08"), RC_CODE_BAD_REQUEST, "", "an operation has at least two bytes");
    bad(SPAN("\x00\x00"), RC_CODE_BAD_REQUEST, "", "type 0x00 is not one of the operations");
    bad(SPAN("\x0c\x00"), RC_CODE_BAD_REQUEST, "", "type 0x0c is not one of the operations");
    bad(SPAN("\x81\x00\x01"
             "c1"),
        RC_CODE_BAD_REQUEST, "", "type 0x81 is not one of the operations");
    bad(SPAN("{\"type\":\"ping\"}"), RC_CODE_BAD_REQUEST, "", "type 0x7b is not one of the operations");
    bad(SPAN("\x08\x11\x07"), RC_CODE_BAD_REQUEST, "7", "flags 0x11 are not for type 0x08");
    bad(SPAN("\x01\x81\x07\x01"
             "c"),
        RC_CODE_BAD_REQUEST, "7", "flags 0x81 are not for type 0x01");
    bad(SPAN("\x01\x80\x01"
             "c"),
        RC_CODE_BAD_REQUEST, "", "flags 0x80 are not for type 0x01");
    bad(SPAN("\x03\x80\x01"
             "c\x07"
             "connect1"),
        RC_CODE_BAD_REQUEST, "", "event is a name of a protocol's own");
    bad(SPAN("\x03\x80\x01"
             "c\x00"
             "1"),
        RC_CODE_BAD_REQUEST, "", "event is empty");
    bad(SPAN("\x04\x24\x00[]"), RC_CODE_BAD_REQUEST, "", "args are JSON, with their attachments before them");
    bad(SPAN("\x04\x20"), RC_CODE_BAD_REQUEST, "", "the attachments are cut off");
    bad(SPAN("\x04\x20\x01\x09x[]"), RC_CODE_BAD_REQUEST, "", "the attachments are cut off");
    bad(SPAN("\x04\x20\x81\x02[]"), RC_CODE_TOO_LARGE, "", "there are more than 256 attachments");
    bad(SPAN("\x04\x20\x00{}"), RC_CODE_BAD_REQUEST, "", "args are no JSON array");
    bad(SPAN("\x04\x20\x01\x01x[{\"_placeholder\":true,\"num\":1}]"), RC_CODE_BAD_REQUEST, "",
        "args name an attachment that is not there, or twice");
    bad(SPAN("\x08\x01\x07\x00"), RC_CODE_BAD_REQUEST, "7", "something follows the operation");

    bad(SPAN("\x08\x01"), RC_CODE_BAD_REQUEST, "", "id is not a number in its shortest form");
    bad(SPAN("\x08\x01\x80\x00"), RC_CODE_BAD_REQUEST, "", "id is not a number in its shortest form");
    bad(SPAN("\x08\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), RC_CODE_BAD_REQUEST, "",
        "id is not a number in its shortest form");
    bad(SPAN("\x08\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), RC_CODE_BAD_REQUEST, "",
        "id is not a number in its shortest form");
    bad(SPAN("\x08\x02\x03"
             "ab"),
        RC_CODE_BAD_REQUEST, "", "id is cut off");
    bad(SPAN("\x08\x02\x41"
             "12345678901234567890123456789012345678901234567890123456789012345"),
        RC_CODE_BAD_REQUEST, "", "id is longer than 64 bytes");
    bad(SPAN("\x08\x02\x01\xff"), RC_CODE_BAD_REQUEST, "", "id is not UTF-8");
    bad(SPAN("\x08\x02\x02"
             "a\""),
        RC_CODE_BAD_REQUEST, "", "id has a quotation mark, backslash or control character");
    bad(SPAN("\x08\x02\x02"
             "\\a"),
        RC_CODE_BAD_REQUEST, "", "id has a quotation mark, backslash or control character");
    bad(SPAN("\x08\x02\x01\x1f"), RC_CODE_BAD_REQUEST, "", "id has a quotation mark, backslash or control character");
    bad(SPAN("\x08\x03\x00"), RC_CODE_BAD_REQUEST, "", "id is not a JSON number or string");
    bad(SPAN("\x08\x03\x02 1"), RC_CODE_BAD_REQUEST, "", "id is not a JSON number or string");
    bad(SPAN("\x08\x03\x04null"), RC_CODE_BAD_REQUEST, "", "id is not a JSON number or string");
    bad(SPAN("\x08\x03\x03\"\xff\""), RC_CODE_BAD_REQUEST, "", "id is not a JSON number or string");
}

Test(native_binary, says_what_is_wrong_behind_the_id)
{
    bad(SPAN("\x01\x01\x07"), RC_CODE_BAD_REQUEST, "7", "channel is cut off");
    bad(SPAN("\x01\x01\x07\x00"), RC_CODE_BAD_REQUEST, "7", "channel is empty");
    bad(SPAN("\x01\x01\x07\x81\x00"
             "c"),
        RC_CODE_BAD_REQUEST, "7", "channel is cut off");
    bad(SPAN("\x01\x01\x07\x01\x80"), RC_CODE_BAD_REQUEST, "7", "channel is not UTF-8");
    bad(SPAN("\x01\x01\x07\x01\n"), RC_CODE_BAD_REQUEST, "7", "channel has a control character");
    bad(SPAN("\x01\x01\x07\x02\xc2\x9f"), RC_CODE_BAD_REQUEST, "7", "channel has a control character");
    bad(SPAN("\x01\x01\x07\x01"
             "cd"),
        RC_CODE_BAD_REQUEST, "7", "something follows the operation");
    bad(SPAN("\x05\x01\x07\x00"
             "1"),
        RC_CODE_BAD_REQUEST, "7", "to is empty");
    bad(SPAN("\x05\x01\x07\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
             "1"),
        RC_CODE_BAD_REQUEST, "7", "to is cut off");
    bad(SPAN("\x03\x41\x07\x01"
             "a\x02"
             "k"),
        RC_CODE_BAD_REQUEST, "7", "key is cut off");
    bad(SPAN("\x04\x41\x07\x01"
             "k1"),
        RC_CODE_BAD_REQUEST, "7", "flags 0x41 are not for type 0x04");
    bad(SPAN("\x04\x11\x07"), RC_CODE_BAD_REQUEST, "7", "exclude is cut off");
    bad(SPAN("\x04\x11\x07\x02\x01"
             "a"),
        RC_CODE_BAD_REQUEST, "7", "a client id in exclude is cut off");
    bad(SPAN("\x04\x11\x07\x01\x00"
             "1"),
        RC_CODE_BAD_REQUEST, "7", "a client id in exclude is empty");
    bad(SPAN("\x04\x11\x07\x41"
             "1"),
        RC_CODE_TOO_LARGE, "7", "exclude has more than 64 client ids");
    bad(SPAN("\x07\x21\x07\x01"
             "c\x00"),
        RC_CODE_BAD_REQUEST, "7", "limit must be a whole number from 1 to 4294967295");
    bad(SPAN("\x07\x21\x07\x01"
             "c\x80\x80\x80\x80\x10"),
        RC_CODE_BAD_REQUEST, "7", "limit must be a whole number from 1 to 4294967295");
}

/* JSON data ends up inside text messages to others: it must be JSON, and UTF-8. */
Test(native_binary, checks_json_data)
{
    bad(SPAN("\x04\x01\x07"), RC_CODE_BAD_REQUEST, "7", "data is not JSON at its byte 0");
    bad(SPAN("\x04\x01\x07{\"a\":1,}"), RC_CODE_BAD_REQUEST, "7", "data is not JSON at its byte 7");
    bad(SPAN("\x04\x01\x07"
             "1}"),
        RC_CODE_BAD_REQUEST, "7", "data is not JSON at its byte 1");
    bad(SPAN("\x04\x01\x07\"\xff\""), RC_CODE_BAD_REQUEST, "7", "data is not UTF-8 at its byte 1");
    good(SPAN("\x04\x01\x07 {\"a\" : \"\xc3\xbc\"}\n"));
    cr_assert(rc_span_equal(operation.data, SPAN(" {\"a\" : \"\xc3\xbc\"}\n")));
}

Test(native_binary, refuses_every_truncation)
{
    for (size_t index = 0; index < RC_ARRAY_COUNT(operation_examples); index++) {
        uint8_t bytes[256];
        struct rc_span frame = unhex(operation_examples[index].hex, bytes);
        struct rc_span data;

        cr_assert_eq(first(frame), 1);
        data = operation.data;
        for (size_t count = 0; count < frame.count; count++) {
            uint8_t *copy = malloc(count + (count == 0));
            int got;

            memcpy(copy, bytes, count);
            got = first(rc_span_of(copy, count));
            if (bytes[0] == RC_NATIVE_BINARY_BATCH && (count == 1 || count == 16)) {
                cr_assert_eq(got, count == 1 ? 0 : 1); /* a batch may end after any of its operations */
            } else {
                cr_assert_eq(got, -EBADMSG, "%s cut to %zu", operation_examples[index].hex, count);
            }
            free(copy);
        }
        cr_assert(data.count == 0 || data.bytes + data.count == frame.bytes + frame.count ||
                  (data.bytes >= reader_room && data.bytes < reader_room + sizeof(reader_room)));
    }
}

Test(native_binary, a_bad_operation_does_not_spoil_its_batch)
{
    cr_assert_eq(first(SPAN("\x0f\x03\x08\x01\x01\x03\x0c\x01\x02\x00\x01\x0f\x04\x0f\x02\x08\x00\x03\x08\x01\x05")),
                 1);
    cr_assert(rc_span_equal(operation.id, SPAN("1")));
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), -EBADMSG);
    cr_assert_str_eq(error.message, "type 0x0c is not one of the operations");
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), -EBADMSG);
    cr_assert_str_eq(error.message, "an operation has at least two bytes");
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), -EBADMSG);
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), -EBADMSG);
    cr_assert_str_eq(error.message, "type 0x0f is not one of the operations");
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), 1);
    cr_assert(rc_span_equal(operation.id, SPAN("5")));
    cr_assert_eq(rc_reader_next(&reader, &operation, &error), 0);
    cr_assert_eq(first(SPAN("\x0f")), 0);
}

Test(native_binary, a_broken_batch_does_nothing)
{
    bad(SPAN("\x0f\x03\x08\x01\x01\x04\x08\x01\x02"), RC_CODE_BAD_REQUEST, "", "the batch's lengths do not add up");
    bad(SPAN("\x0f\x03\x08\x01\x01\x80"), RC_CODE_BAD_REQUEST, "", "the batch's lengths do not add up");
    bad(SPAN("\x0f\x83\x00\x08\x01\x01"), RC_CODE_BAD_REQUEST, "", "the batch's lengths do not add up");
}

Test(native_binary, bounds_a_batch)
{
    uint8_t frame[1 + 3 * (RC_BATCH_MAX + 1)] = {RC_NATIVE_BINARY_BATCH};
    int got;

    for (size_t index = 0; index <= RC_BATCH_MAX; index++) {
        memcpy(frame + 1 + 3 * index, "\x02\x08", 3);
    }
    bad(rc_span_of(frame, sizeof(frame)), RC_CODE_TOO_LARGE, "", "a message holds at most 128 operations");
    got = first(rc_span_of(frame, sizeof(frame) - 3));
    for (size_t index = 0; index < RC_BATCH_MAX; index++) {
        cr_assert_eq(got, 1);
        got = rc_reader_next(&reader, &operation, &error);
    }
    cr_assert_eq(got, 0);
}

Test(native_binary, bounds_names)
{
    uint8_t name[300], frame[512];
    struct rc_operation written = {.type = RC_OPERATION_SUBSCRIBE, .echo = true};

    memset(name, 'n', sizeof(name));
    for (size_t count = 126; count <= 257; count++) {
        written.channel = rc_span_of(name, count);
        cr_assert_eq(first(rc_span_of(frame, rc_test_operation_binary(&written, frame))),
                     count <= RC_CHANNEL_BYTES_MAX ? 1 : -EBADMSG);
        cr_assert(count > RC_CHANNEL_BYTES_MAX || rc_test_operation_equal(&written, &operation));
    }
    written = (struct rc_operation){.type = RC_OPERATION_DIRECT, .echo = true, .data = SPAN("1")};
    for (size_t count = 126; count <= 130; count++) {
        written.to = rc_span_of(name, count);
        cr_assert_eq(first(rc_span_of(frame, rc_test_operation_binary(&written, frame))),
                     count <= RC_CLIENT_ID_BYTES_MAX ? 1 : -EBADMSG);
    }
}

/* ------------------------------------------------------------------------------------------------------- events */

/* Every id that a request can have comes back in an answer as the same token. */
Test(native_binary, answers_keep_ids)
{
    static const char *const ids[] = {
        "0",    "127",   "128",     "18446744073709551615", "18446744073709551616", "-0", "1.0", "1e5",
        "\"\"", "\"a\"", "\"\\n\"", "\"\\ud800\"",          "\"\xc3\xbc\""};

    for (size_t index = 0; index < RC_ARRAY_COUNT(ids); index++) {
        struct rc_event event = {.type = RC_EVENT_PONG, .id = rc_span_text(ids[index])};
        uint8_t out[128];
        size_t count = rc_native_event_encode(RC_NATIVE_BINARY, &event, out);

        cr_assert_leq(count, rc_native_event_bytes_max(RC_NATIVE_BINARY, &event));
        out[0] = RC_NATIVE_BINARY_PING; /* the same bytes as a request */
        good(rc_span_of(out, count));
        cr_assert(rc_span_equal(operation.id, event.id), "%s: %.*s", ids[index], SHOW(operation.id));
    }
}

Test(native_binary, lengths_of_every_size_can_be_read_again)
{
    static uint8_t data[300];
    static const size_t sizes[] = {0, 1, 127, 128, 255, 300};

    for (size_t index = 0; index < RC_ARRAY_COUNT(sizes); index++) {
        struct rc_event event = {.type = RC_EVENT_MESSAGE,
                                 .data_kind = RC_DATA_BINARY,
                                 .channel = rc_span_of(data, sizes[index]),
                                 .from = rc_span_of(data, sizes[index]),
                                 .data = rc_span_of(data, sizes[index])};
        size_t room = rc_native_event_bytes_max(RC_NATIVE_BINARY, &event);
        uint8_t *out = malloc(room);
        size_t count = rc_native_event_encode(RC_NATIVE_BINARY, &event, out);
        struct rc_test_event read;

        cr_assert(rc_test_event_read(rc_span_of(out, count), &read));
        cr_assert_eq(read.channel.count, sizes[index]);
        cr_assert_eq(read.from.count, sizes[index]);
        cr_assert_eq(read.rest.count, sizes[index]);
        free(out);
    }
}

Test(native_binary, welcome_without_a_user)
{
    struct rc_welcome welcome = {
        .client = SPAN("a~b"), .instance = SPAN("a"), .ping_interval_ms = UINT32_MAX, .message_size_max = UINT64_MAX};
    struct rc_event event = {.type = RC_EVENT_WELCOME, .welcome = &welcome};
    uint8_t out[128];
    struct rc_test_event read;

    cr_assert(rc_test_event_read(rc_span_of(out, rc_native_event_encode(RC_NATIVE_BINARY, &event, out)), &read));
    cr_assert_eq(read.version, RC_NATIVE_VERSION);
    cr_assert(rc_span_equal(read.welcome.client, welcome.client));
    cr_assert(rc_span_equal(read.welcome.instance, welcome.instance));
    cr_assert_eq(read.welcome.user.count, 0);
    cr_assert_eq(read.welcome.ping_interval_ms, UINT32_MAX);
    cr_assert_eq(read.welcome.message_size_max, UINT64_MAX);
}
