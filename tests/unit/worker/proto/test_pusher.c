/* Messages of the Pusher Channels protocol: what clients say, whole and cut anywhere, and what they are told. */
#include "worker/proto/pusher.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/args.h"
#include "worker/proto/codec.h"

static struct rc_operation_scratch scratch;
static uint8_t room[8192];

static int said(const char *text, size_t bytes, struct rc_operation *operation, struct rc_operation_error *error)
{
    struct rc_reader reader;
    rc_reader_begin(&reader, &rc_codec_pusher, RC_PART_TEXT, rc_span_of(text, bytes), &scratch, NULL);
    const size_t need = rc_codec_pusher.room_bytes_max(bytes);
    cr_assert_leq(need, sizeof(room));
    rc_reader_give_room(&reader, room, need);
    const int rc = rc_reader_next(&reader, operation, error);
    struct rc_operation none;
    struct rc_operation_error no_error;
    cr_assert_eq(rc_reader_next(&reader, &none, &no_error), 0, "one operation a message");
    return rc;
}

static struct rc_operation asked(const char *text)
{
    struct rc_operation operation;
    struct rc_operation_error error;
    cr_assert_eq(said(text, strlen(text), &operation, &error), 1, "%s", text);
    return operation;
}

static void must_be(struct rc_span span, const char *text)
{
    cr_assert(rc_span_equal(span, rc_span_text(text)), "%.*s is not %s", (int)span.count, (const char *)span.bytes,
              text);
}

Test(pusher_codec, what_clients_ask_for)
{
    struct rc_operation operation = asked("{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"presence-a\","
                                          "\"auth\":\"k:1\",\"channel_data\":\"{\\\"user_id\\\":\\\"1\\\"}\"}}");
    cr_assert_eq(operation.type, RC_OPERATION_SUBSCRIBE);
    must_be(operation.channel, "presence-a");
    must_be(operation.to, "k:1");
    must_be(operation.data, "{\"user_id\":\"1\"}");
    operation = asked("{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"a\"}}");
    cr_assert(operation.to.count == 0 && operation.data.count == 0);
    /* Some clients send a string that holds it. */
    operation = asked("{\"event\":\"pusher:subscribe\",\"data\":\"{\\\"channel\\\":\\\"p\\\",\\\"channel_data\\\":"
                      "\\\"{\\\\\\\"user_id\\\\\\\":1}\\\"}\"}");
    must_be(operation.channel, "p");
    must_be(operation.data, "{\"user_id\":1}");
    operation = asked("{\"event\":\"pusher:unsubscribe\",\"data\":{\"channel\":\"a\"}}");
    cr_assert_eq(operation.type, RC_OPERATION_UNSUBSCRIBE);
    operation = asked("{\"event\":\"pusher:signin\",\"data\":{\"auth\":\"k:1\",\"user_data\":\"{}\"}}");
    cr_assert_eq(operation.type, RC_OPERATION_AUTH);
    must_be(operation.data, "{}");
    cr_assert_eq(asked("{\"event\":\"pusher:ping\",\"data\":{}}").type, RC_OPERATION_PING);
    operation = asked("{\"event\":\"client-x\",\"channel\":\"private-a\",\"data\":{\"n\":[1]}}");
    cr_assert(operation.type == RC_OPERATION_PUBLISH && !operation.echo);
    must_be(operation.event, "client-x");
    must_be(operation.data, "{\"n\":[1]}");
    must_be(asked("{\"event\":\"client-x\",\"channel\":\"private-a\"}").data, "null");
    struct rc_operation_error error;
    const char *pong = "{\"event\":\"pusher:pong\"}";
    cr_assert_eq(said(pong, strlen(pong), &operation, &error), 0);
}

Test(pusher_codec, what_makes_no_sense_is_an_error_and_no_more)
{
    static const char *const bad[] = {
        "",
        "1",
        "[]",
        "{}",
        "{\"event\":1}",
        "{\"event\":\"\"}",
        "{\"event\":\"what\"}",
        "{\"event\":\"pusher:subscribe\"}",
        "{\"event\":\"pusher:subscribe\",\"data\":1}",
        "{\"event\":\"pusher:subscribe\",\"data\":\"x\"}",
        "{\"event\":\"pusher:subscribe\",\"data\":{}}",
        "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":1}}",
        "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"a\",\"auth\":{}}}",
        "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"a\",\"channel_data\":{}}}",
        "{\"event\":\"pusher:signin\",\"data\":[]}",
        "{\"event\":\"client-x\"}",
        "{\"event\":\"client-\\ud800\",\"channel\":\"a\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct rc_operation operation;
        struct rc_operation_error error;
        cr_assert_lt(said(bad[i], strlen(bad[i]), &operation, &error), 0, "%s", bad[i]);
        cr_assert(error.code == RC_CODE_BAD_REQUEST && error.message[0] != '\0' && error.id.count == 0);
    }
}

Test(pusher_codec, cut_anywhere_it_is_an_error)
{
    const char *whole = "{\"event\":\"pusher:subscribe\",\"data\":{\"channel\":\"a\",\"auth\":\"k:\\u0041\"}}";
    for (size_t bytes = 0; bytes < strlen(whole); bytes++) {
        struct rc_operation operation;
        struct rc_operation_error error;
        cr_assert_lt(said(whole, bytes, &operation, &error), 0, "%zu", bytes);
    }
    must_be(asked(whole).to, "k:A");
}

/* In no more room than was said to be enough, without its frame's head. */
static const char *told(const struct rc_event *event)
{
    static char text[4096];
    const uint8_t encoding = rc_encoding_of(RC_CODEC_PUSHER, RC_FRAMING_WEBSOCKET, 0);
    const size_t bytes_max = rc_event_unit_bytes_max(encoding, event);
    uint8_t *out = malloc(bytes_max);
    cr_assert_not_null(out);
    const size_t bytes = rc_event_unit_write(encoding, NULL, event, bytes_max, out);
    cr_assert(bytes <= bytes_max && bytes > 2 && bytes < sizeof(text));
    const size_t head = out[1] < 126 ? 2 : 4;
    memcpy(text, out + head, bytes - head);
    text[bytes - head] = '\0';
    free(out);
    return text;
}

static struct rc_event message(const char *channel, const char *name, const char *data)
{
    return (struct rc_event){.type = RC_EVENT_MESSAGE,
                             .channel = rc_span_text(channel),
                             .event = rc_span_text(name),
                             .data = rc_span_text(data)};
}

Test(pusher_codec, messages)
{
    struct rc_event event = message("pusher-7:room", "e", "\"{\\\"n\\\":1}\"");
    cr_expect_str_eq(told(&event), "{\"event\":\"e\",\"channel\":\"room\",\"data\":\"{\\\"n\\\":1}\"}");
    event = message("room", "e", "{\"n\":1}"); /* of others: a string that holds it */
    cr_expect_str_eq(told(&event), "{\"event\":\"e\",\"channel\":\"room\",\"data\":\"{\\\"n\\\":1}\"}");
    event = message("room", "", "1");
    cr_expect_str_eq(told(&event), "{\"event\":\"message\",\"channel\":\"room\",\"data\":\"1\"}");
    event = message("private-a", "client-x", "{\"n\":1}"); /* of clients: as it is */
    cr_expect_str_eq(told(&event), "{\"event\":\"client-x\",\"channel\":\"private-a\",\"data\":{\"n\":1}}");
    event = message("user:pusher-7/42", "e", "\"x\"");
    cr_expect_str_eq(told(&event), "{\"event\":\"e\",\"channel\":\"#server-to-user-42\",\"data\":\"x\"}");
    event = message("room", "e", "bytes");
    event.data_kind = RC_DATA_BINARY;
    cr_expect_str_eq(told(&event), "{\"event\":\"e\",\"channel\":\"room\",\"data\":null}");
}

Test(pusher_codec, a_client_event_says_whose_it_is)
{
    uint8_t args[128];
    const struct rc_span json = RC_SPAN("[{\"n\":1},\"u\\\"1\"]");
    rc_args_write(args, json, NULL, 0);
    struct rc_event event = message("presence-a", "client-x", "");
    event.data = rc_span_of(args, rc_args_bytes(json.count, 0, NULL));
    event.data_kind = RC_DATA_ARGS;
    cr_expect_str_eq(told(&event), "{\"event\":\"client-x\",\"channel\":\"presence-a\",\"data\":{\"n\":1},"
                                   "\"user_id\":\"u\\\"1\"}");
}

Test(pusher_codec, answers_and_errors)
{
    const struct rc_welcome welcome = {.client = RC_SPAN("1.2"), .ping_interval_ms = 120000};
    struct rc_event event = {.type = RC_EVENT_WELCOME, .welcome = &welcome};
    cr_expect_str_eq(told(&event), "{\"event\":\"pusher:connection_established\",\"data\":\"{\\\"socket_id\\\":"
                                   "\\\"1.2\\\",\\\"activity_timeout\\\":120}\"}");
    event = (struct rc_event){.type = RC_EVENT_SUBSCRIBED, .channel = RC_SPAN("pusher-7:a")};
    cr_expect_str_eq(told(&event),
                     "{\"event\":\"pusher_internal:subscription_succeeded\",\"channel\":\"a\",\"data\":\"{}\"}");
    event = (struct rc_event){.type = RC_EVENT_PONG};
    cr_expect_str_eq(told(&event), "{\"event\":\"pusher:pong\",\"data\":\"{}\"}");
    event = (struct rc_event){.type = RC_EVENT_GAP, .channel = RC_SPAN("pusher-7:a")};
    cr_expect_str_eq(told(&event), "{\"event\":\"ringcast:gap\",\"channel\":\"a\",\"data\":\"{}\"}");
    event.channel = (struct rc_span){0};
    cr_expect_str_eq(told(&event), "{\"event\":\"ringcast:gap\",\"data\":\"{}\"}");
    event = (struct rc_event){.type = RC_EVENT_ERROR,
                              .code = RC_CODE_UNAUTHORIZED,
                              .channel = RC_SPAN("pusher-7:private-a"),
                              .message = RC_SPAN("no")};
    cr_expect_str_eq(told(&event),
                     "{\"event\":\"pusher:subscription_error\",\"channel\":\"private-a\",\"data\":{\"type\":"
                     "\"AuthError\",\"error\":\"no\",\"status\":401}}");
    event.channel = (struct rc_span){0};
    cr_expect_str_eq(told(&event), "{\"event\":\"pusher:error\",\"data\":{\"code\":null,\"message\":\"no\"}}");
}

Test(pusher_codec, closes_with_numbers_that_clients_know)
{
    uint16_t (*const code)(uint16_t) = rc_codec_pusher.close_code;
    cr_expect_eq(code(RC_CLOSE_SLOW_CONSUMER), 4200, "4000 would mean: never again");
    cr_expect_eq(code(RC_CLOSE_WRITE_STALLED), 4200);
    cr_expect_eq(code(RC_CLOSE_PONG_TIMEOUT), 4201);
    cr_expect_eq(code(RC_CLOSE_IDLE_TIMEOUT), 4202);
    cr_expect_eq(code(RC_CLOSE_SERVICE_RESTART), 4200);
    cr_expect_eq(code(RC_CLOSE_TRY_AGAIN_LATER), 4100);
    cr_expect_eq(code(RC_CLOSE_DISCONNECTED), 4009);
    cr_expect_eq(code(RC_CLOSE_NORMAL), 1000);
    cr_expect_eq(code(RC_PUSHER_CLOSE + RC_PUSHER_NO_APP), 4001);
}
