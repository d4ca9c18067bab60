/* What Socket.IO servers are asked: in which words, who is waited for and how long, whose answers count, and the bounds. */
#include "tests/support/fake_redis.h"

#include "tests/support/fake_foreign.h"

#include "common/records/sockets.h"
#include "relay/bridge/adapter_asks.h"

/* Workers: the last call as text, and rooms as they are told. */
static char told[1024];
static uint64_t live = 3;

static bool host_call(void *context, const struct rc_envelope_view *view, struct rc_call_asked *to)
{
    struct rc_call_head head;
    struct rc_span asker;
    struct rc_span args;
    struct rc_args_view its;
    (void)context;
    if ((live >> view->head.target.worker & 1) == 0) {
        return true;
    }
    to->bits[0] = UINT64_C(1) << view->head.target.worker;
    memcpy(&head, view->data, sizeof(head));
    cr_assert_eq(head.operation, RC_CALL_ASKED);
    cr_assert_eq(
        rc_emit_asked_read(rc_span_of(view->data + sizeof(head), view->head.data_bytes - sizeof(head)), &asker, &args),
        0);
    cr_assert(args.count == 0 || rc_args_read(args, &its) == 0);
    const size_t used = strlen(told);
    (void)snprintf(told + used, sizeof(told) - used, "worker %u %.*s %.*s: %.*s missing %u; ", view->head.target.worker,
                   view->head.channel_bytes, view->channel, (int)asker.count, (const char *)asker.bytes,
                   args.count == 0 ? 1 : (int)its.json.count, args.count == 0 ? "-" : (const char *)its.json.bytes,
                   head.limit);
    return true;
}

static void room(void *context, uint64_t token, struct rc_span ids, uint32_t count)
{
    struct rc_span id;
    (void)context;
    size_t used = strlen(told);
    used += (size_t)snprintf(told + used, sizeof(told) - used, "room %u: %u", (unsigned)token, count);
    while (rc_sockets_entry_next(&ids, &id)) {
        used += (size_t)snprintf(told + used, sizeof(told) - used, " %.*s", (int)id.count, (const char *)id.bytes);
    }
    (void)snprintf(told + used, sizeof(told) - used, "; ");
}

static void room_done(void *context, uint64_t token, bool whole)
{
    (void)context;
    const size_t used = strlen(told);
    (void)snprintf(told + used, sizeof(told) - used, "room %u done %s; ", (unsigned)token, whole ? "whole" : "in part");
}

static struct rc_metrics metrics;
static struct rc_wire wire = {
    .instance_id = "here", .boot_nonce = 0xabc, .message_bytes_max = 1000, .metrics = &metrics};
static const struct rc_bridge bridge = {.timers = &fake.timers, .wire = &wire, .host = {.call = host_call}};
static struct rc_config config = {.socketio = {.ack_timeout_ms = 5000}};
static struct rc_adapter_bridge adapter;
static struct rc_adapter_asks asks;

static const struct rc_adapter_kind classic = {.ask_mark = "-request#",
                                               .write_room = rc_adapter_message_room,
                                               .ask_write = rc_adapter_ask_write,
                                               .answers = {.mark = "-response#"}};

static void open_asks(void)
{
    const struct rc_adapter_asks_ops ops = {.room = room, .room_done = room_done};
    adapter = (struct rc_adapter_bridge){.bridge = &bridge, .kind = &classic, .uid = {'~', 'A', 'B', 'C', 'D', 'E'}};
    adapter.head_bytes = (uint32_t)snprintf(adapter.head, sizeof(adapter.head), "socket.io#");
    memcpy(adapter.emission.instance, "ABCDE", 5);
    fake.up = true;
    cr_assert_eq(rc_adapter_asks_open(&asks, &adapter, &config, &ops), 0);
    asks.serial = 0;
}

static void close_asks(void)
{
    while (fake.count > 0) {
        fake_answer("", NULL);
    }
    rc_adapter_asks_close(&asks);
    free(adapter.emission.buffer.bytes);
}

TestSuite(adapter_asks, .init = open_asks, .fini = close_asks);

static void servers(long long count)
{
    redisReply name = {.type = REDIS_REPLY_STRING};
    redisReply number = {.type = REDIS_REPLY_INTEGER, .integer = count};
    redisReply *both[] = {&name, &number};
    const redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = both};
    fake_answer("PUBSUB NUMSUB socket.io-request#/#", &reply);
}

static void answers(const char *text)
{
    adapter.responded(adapter.responded_context, RC_SPAN("/"), rc_span_text(text));
}

static void emit(const char *names, size_t names_bytes, uint32_t timeout_ms)
{
    uint8_t bytes[RC_EMIT_BEFORE_MAX + RC_ARGS_BEFORE_MAX + 16];
    uint8_t *json = bytes + RC_EMIT_BEFORE_MAX + RC_ARGS_BEFORE_MAX;
    memcpy(json, "[1]", 3);
    const struct rc_span args = rc_args_wrap(json, 3, 0, NULL, 0);
    const struct rc_emit_head head = {.timeout_ms = timeout_ms, .asker_bytes = 2, .flags = RC_EMIT_HOOK};
    const uint8_t *data = rc_emit_put((uint8_t *)(uintptr_t)args.bytes, &head, RC_SPAN("me"));
    const struct rc_envelope_view view = {.head = {.channel_bytes = 2,
                                                   .event_bytes = 1,
                                                   .exclude_text_bytes = (uint32_t)names_bytes,
                                                   .data_bytes = (uint32_t)(args.bytes + args.count - data)},
                                          .channel = "/#",
                                          .event = "e",
                                          .exclude_text = names,
                                          .data = data};
    rc_adapter_asks_emit(&asks, 1, &view);
}

Test(adapter_asks, a_room_is_known_when_all_have_told)
{
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red\"1"), 5), 0);
    cr_assert_str_eq(foreign_asked, "+socket.io-response#/# +socket.io-response#/#~ABCDE# ");
    cr_assert_str_eq(fake.published[0], "socket.io-request#/# {\"uid\":\"~ABCDE\",\"type\":0,\"requestId\":"
                                        "\"00000abc000000000001\",\"rooms\":[\"red\\\"1\"]}");
    answers("{\"requestId\":\"00000abc000000000001\",\"sockets\":[\"a\",\"b\"]}");
    servers(3);
    answers("{\"requestId\":\"00000abc000000000001\",\"sockets\":[]}");
    cr_assert_str_eq(told, "room 5: 2 \"a\" \"b\"; ");
    answers("{\"requestId\":\"00000abc000000000001\",\"sockets\":[\"c\"]}");
    cr_assert_str_eq(told, "room 5: 2 \"a\" \"b\"; room 5: 1 \"c\"; room 5 done whole; ");
    answers("{\"requestId\":\"00000abc000000000001\",\"sockets\":[\"late\"]}");
    cr_assert_null(strstr(told, "late"));
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red"), 6), 0);
    cr_assert_str_eq(foreign_asked, "+socket.io-response#/# +socket.io-response#/#~ABCDE# ", "once");
}

Test(adapter_asks, nobody_but_this_one)
{
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red"), 5), 0);
    servers(1);
    cr_assert_str_eq(told, "room 5 done whole; ", "its own answer is not waited for");
}

Test(adapter_asks, time_is_the_end_of_waiting)
{
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red"), 5), 0);
    servers(3);
    answers("{\"requestId\":\"00000abc000000000001\",\"sockets\":[\"a\"]}");
    fake_pass(RC_ADAPTER_ASK_ROOM_MS);
    cr_assert_str_eq(told, "room 5: 1 \"a\"; room 5 done in part; ");
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red"), 6), 0);
    fake_pass(RC_ADAPTER_ASK_ROOM_MS);
    cr_assert_not_null(strstr(told, "room 6 done in part; "), "Redis has not said how many they are");
    servers(3); /* now it has: the place is free */
    cr_assert_eq(asks.free_first, 1);
}

Test(adapter_asks, an_event_and_its_answers)
{
    emit("red\0blue\0\0mute\0", 15, 1000);
    cr_assert_not_null(memmem(fake.published[0], sizeof(fake.published[0]),
                              "requestId\xb4"
                              "00000abc000000000001",
                              30));
    for (const char *const *part = (const char *const[]){"rooms\x92\xa3red\xa4"
                                                         "blue",
                                                         "except\x91\xa4mute", NULL};
         *part != NULL; part++) {
        cr_assert_not_null(memmem(fake.published[0], sizeof(fake.published[0]), *part, strlen(*part)), "%s", *part);
    }
    servers(2);
    answers("{\"type\":8,\"requestId\":\"00000abc000000000001\",\"clientCount\":2}");
    answers("{\"type\":9,\"requestId\":\"00000abc000000000001\",\"packet\":{\"x\":1}}");
    cr_assert_str_eq(told, "worker 1 /# me: [{\"x\":1}] missing 0; ");
    live = 1; /* it died: another one tells */
    answers("{\"type\":9,\"requestId\":\"00000abc000000000001\"}");
    cr_assert_str_eq(told, "worker 1 /# me: [{\"x\":1}] missing 0; worker 0 /# me: [] missing 0; ");
    answers("{\"type\":8,\"requestId\":\"00000abc000000000001\",\"clientCount\":0}");
    fake_pass(1000);
    cr_assert_null(strstr(told, "missing 1"), "all have told, and answered");
    live = 3;
}

Test(adapter_asks, who_has_not_answered_when_the_time_is_up)
{
    emit("\0", 1, 60000); /* more than ack_timeout */
    answers("{\"type\":8,\"requestId\":\"00000abc000000000001\",\"clientCount\":3}");
    answers("{\"type\":9,\"requestId\":\"00000abc000000000001\",\"packet\":1}");
    fake_pass(4000);
    cr_assert_null(strstr(told, "missing 2"));
    fake_pass(5001);
    cr_assert_str_eq(told, "worker 1 /# me: [1] missing 0; worker 1 /# me: - missing 2; ");
}

Test(adapter_asks, what_is_for_this_instance_alone_asks_nobody)
{
    emit("ABCDEFGHIJKLMNOPQRST\0\0", 22, 0);
    cr_assert_eq(fake.publish_count, 0);
    emit("ABCDEFGHIJKLMNOPQRST\0red\0\0", 26, 0);
    cr_assert_eq(fake.publish_count, 1);
}

Test(adapter_asks, forged_answers)
{
    static const char *const wrong[] = {"{\"requestId\":\"00000abc000000000002\",\"sockets\":[\"x\"]}",
                                        "{\"requestId\":\"00000abc000100000001\",\"sockets\":[\"x\"]}",
                                        "{\"requestId\":\"00000abcffff00000001\",\"sockets\":[\"x\"]}",
                                        "{\"requestId\":\"00000abd000000000001\",\"sockets\":[\"x\"]}",
                                        "{\"requestId\":\"00000abc00000000001\",\"sockets\":[\"x\"]}",
                                        "{\"requestId\":\"00000abc000000000001\",\"clientCount\":9}",
                                        "{\"type\":9,\"requestId\":\"00000abc000000000001\",\"packet\":1}",
                                        "{\"requestId\":\"00000abc000000000001\",\"sockets\":[1]}",
                                        "{\"requestId\":\"00000abc000000000001\"",
                                        ""};
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red"), 5), 0);
    servers(2);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        answers(wrong[i]);
    }
    adapter.responded(adapter.responded_context, RC_SPAN("/admin"),
                      RC_SPAN("{\"requestId\":\"00000abc000000000001\",\"sockets\":[\"x\"]}"));
    cr_assert_str_eq(told, "");
    cr_assert_gt(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 0);
}

Test(adapter_asks, bounds)
{
    for (uint32_t i = 0; i < RC_ADAPTER_ASKS_MAX; i++) {
        emit("red\0\0", 5, 0);
        servers(3);
    }
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red"), 1), -ENOBUFS);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_ASKS_REFUSED), 1);
    fake_pass(6000);
    fake.up = false;
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red"), 1), -ENOTCONN);
    fake.up = true;
    fake.full = true;
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red"), 1), -ENOBUFS);
    fake.full = false;
    cr_assert_eq(rc_adapter_asks_room(&asks, RC_SPAN("red"), 1), 0, "the place was given back");
}

static int ask_in(uint32_t nsp)
{
    char channel[32];
    (void)snprintf(channel, sizeof(channel), "/n%u#red", nsp);
    return rc_adapter_asks_room(&asks, rc_span_text(channel), nsp);
}

/* However many namespaces there have been: the one that was asked in longest ago makes room. */
Test(adapter_asks, namespaces_in_which_nobody_asks_any_more_make_room)
{
    fake.clustered = true; /* nothing is counted: time ends a question */
    for (uint32_t i = 0; i < RC_ADAPTER_ASK_NSPS_MAX; i++) {
        cr_assert_eq(ask_in(i), 0);
    }
    cr_assert_eq(ask_in(RC_ADAPTER_ASK_NSPS_MAX), -ENOBUFS, "all of them wait for answers");
    fake_pass(RC_ADAPTER_ASK_ROOM_MS);
    cr_assert_eq(ask_in(0), 0);
    foreign_asked[0] = '\0';
    cr_assert_eq(ask_in(RC_ADAPTER_ASK_NSPS_MAX), 0);
    cr_assert_str_eq(foreign_asked, "-socket.io-response#/n1# -socket.io-response#/n1#~ABCDE# "
                                    "+socket.io-response#/n256# +socket.io-response#/n256#~ABCDE# ");
    foreign_asked[0] = '\0';
    cr_assert_eq(ask_in(0), 0);
    cr_assert_eq(ask_in(1), 0);
    cr_assert_str_eq(foreign_asked, "-socket.io-response#/n2# -socket.io-response#/n2#~ABCDE# "
                                    "+socket.io-response#/n1# +socket.io-response#/n1#~ABCDE# ");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_ASKS_REFUSED), 1);
    while (asks.timer.set) {
        fake_pass(RC_ADAPTER_ASK_ROOM_MS);
    }
}
