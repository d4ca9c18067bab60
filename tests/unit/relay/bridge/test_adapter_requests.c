/* Requests of Socket.IO servers: what workers are asked, that each gets exactly one answer, and when. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/records/emit.h"
#include "common/records/select.h"
#include "common/records/sockets.h"
#include "common/text/msgpack_json.h"
#include "relay/bridge/adapter_interest.h"
#include "relay/bridge/adapter_requests.h"
#include "tests/support/fake_foreign.h"

/* In place of the link. */
static struct rc_redis_foreign_ops foreign;
static char published_on[256];
static char published[4096];
static uint32_t published_count;
static uint32_t published_flags;
static uint8_t published_raw[4096];
static size_t published_bytes;

void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription)
{
    (void)link;
    (void)subscription;
}

void rc_redis_foreign(struct rc_redis_link *link, const struct rc_redis_foreign_ops *ops)
{
    (void)link;
    foreign = *ops;
}

int rc_redis_publish(struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                     uint32_t part_count, uint32_t flags)
{
    size_t used = 0;
    (void)link;
    published_flags = flags;
    (void)snprintf(published_on, sizeof(published_on), "%.*s", (int)channel.count, (const char *)channel.bytes);
    published[0] = '\0';
    for (uint32_t i = 0; i < part_count; i++) {
        used += (size_t)snprintf(published + used, sizeof(published) - used, "%.*s", (int)parts[i].count,
                                 (const char *)parts[i].bytes);
    }
    published_bytes = 0;
    for (uint32_t i = 0; i < part_count; i++) {
        if (parts[i].count == 0) {
            continue;
        }
        memcpy(published_raw + published_bytes, parts[i].bytes, parts[i].count);
        published_bytes += parts[i].count;
    }
    published_count++;
    return 0;
}

int rc_redis_append(struct rc_redis_link *link, struct rc_span stream, uint32_t entries_max,
                    const struct rc_span *fields, uint32_t field_count, uint32_t flags)
{
    (void)link;
    (void)stream;
    (void)entries_max;
    (void)fields;
    (void)field_count;
    (void)flags;
    return 0;
}

void rc_redis_stream_open(struct rc_redis_stream *stream, struct rc_redis_link *link, struct rc_span name,
                          const struct rc_redis_stream_ops *ops)
{
    (void)stream;
    (void)link;
    (void)name;
    (void)ops;
}

bool rc_redis_stream_has(const struct rc_redis_stream *stream, struct rc_span id)
{
    (void)stream;
    return id.count == 0;
}

/* In place of the router: two workers, and the last call as text. */
static uint64_t live = 3;
static char called[1024];
static uint32_t calls;
static struct rc_call_tag tag;

static uint8_t kept_asker[RC_EMIT_ASKER_MAX];
static uint32_t kept_asker_bytes;

static bool host_call(void *context, const struct rc_envelope_view *view, struct rc_call_asked *asked)
{
    struct rc_call_head head;
    (void)context;
    calls++;
    if (view->head.target.random != 0 && (live >> view->head.target.worker & 1) == 0) {
        return true;
    }
    asked->bits[0] = view->head.target.random != 0 ? UINT64_C(1) << view->head.target.worker : live;
    memcpy(&tag, view->request_id, sizeof(tag));
    memcpy(&head, view->data, sizeof(head));
    size_t used = (size_t)snprintf(called, sizeof(called), "%u/%u %.*s %.*s", head.operation, head.close_code,
                                   view->head.channel_bytes, view->channel, view->head.event_bytes, view->event);
    struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    while (names.count > 0) {
        struct rc_span name;
        const bool more = rc_select_next(&names, &name);
        used += (size_t)snprintf(called + used, sizeof(called) - used, more ? " %.*s" : " |", (int)name.count,
                                 (const char *)name.bytes);
    }
    if (head.operation == RC_CALL_SOCKETS_EMIT) {
        struct rc_emit_head emit;
        struct rc_span asker;
        struct rc_span args;
        struct rc_args_view its;
        cr_assert_eq(rc_emit_read(rc_span_of(view->data + sizeof(head), view->head.data_bytes - sizeof(head)), &emit,
                                  &asker, &args),
                     0);
        cr_assert_eq(rc_args_read(args, &its), 0);
        (void)snprintf(called + used, sizeof(called) - used, " %u ms not:%u to:%u %.*s+%u", emit.timeout_ms,
                       view->head.exclude_count, view->head.target.slot, (int)its.json.count, its.json.bytes,
                       its.attachment_count);
        kept_asker_bytes = (uint32_t)asker.count;
        memcpy(kept_asker, asker.bytes, asker.count);
        return true;
    }
    for (uint32_t i = sizeof(head); i < view->head.data_bytes; i++) {
        const uint8_t c = view->data[i];
        used += (size_t)snprintf(called + used, sizeof(called) - used, "%c", c == 0 ? ';' : c);
    }
    return true;
}

static bool host_known(void *context)
{
    (void)context;
    return true;
}

static bool wanted = true;

static bool host_wanted(void *context, struct rc_span name)
{
    (void)context;
    (void)name;
    return wanted;
}

static bool host_deliver(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    (void)context;
    (void)type;
    (void)view;
    cr_assert_fail("a request is a call");
    return true;
}

static struct rc_timers timers;
static struct rc_metrics metrics;
static struct rc_wire wire = {.instance_id = "here", .boot_nonce = 7, .message_bytes_max = 1000, .metrics = &metrics};
static const struct rc_bridge bridge = {
    .timers = &timers,
    .wire = &wire,
    .host = {.deliver = host_deliver, .wanted = host_wanted, .known = host_known, .call = host_call}};
static struct rc_adapter_bridge adapter;
static struct rc_adapter_requests requests;

static void open_kind(enum rc_adapter kind)
{
    static struct rc_config_socketio config = {.namespace_count = 2};
    config.adapter = kind;
    (void)snprintf(config.adapter_key.text, sizeof(config.adapter_key.text), "socket.io");
    (void)snprintf(config.namespaces[0].text, sizeof(config.namespaces[0].text), "/");
    (void)snprintf(config.namespaces[1].text, sizeof(config.namespaces[1].text), "/x*");
    cr_assert_eq(rc_adapter_open(&adapter, &bridge, &config), 0);
    cr_assert_eq(rc_adapter_requests_open(&requests, &adapter), 0);
}

static void open_requests(void)
{
    open_kind(RC_ADAPTER_CLASSIC);
}

static void close_requests(void)
{
    rc_adapter_requests_close(&requests);
    rc_adapter_close(&adapter);
}

TestSuite(adapter_requests, .init = open_requests, .fini = close_requests);

static void ask(const char *nsp, const char *text)
{
    char channel[64];
    (void)snprintf(channel, sizeof(channel), "socket.io-request#%s#", nsp);
    called[0] = '\0';
    foreign.message(foreign.context, rc_span_text(channel), rc_span_text(text));
}

/* A worker's reply with up to two entries. */
static void reply(uint32_t worker, uint32_t flags, const char *first, const char *second)
{
    uint8_t data[512];
    const char *const entries[2] = {first, second};
    struct rc_reply_head head = {.flags = flags};
    uint32_t used = sizeof(head);
    for (uint32_t i = 0; i < 2; i++) {
        if (entries[i] != NULL) {
            used = rc_sockets_entry_put(data, used, sizeof(data), rc_span_text(entries[i]));
            head.count++;
        }
    }
    memcpy(data, &head, sizeof(head));
    const struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_API, .data_bytes = used, .request_id_bytes = sizeof(tag)},
        .request_id = (const uint8_t *)&tag,
        .data = data};
    cr_assert(rc_adapter_requests_replied(&requests, worker, &view));
}

Test(adapter_requests, named_namespaces_are_subscribed_once_others_with_their_clients)
{
    cr_assert_str_eq(foreign_asked, "+socket.io-request#/# ");
    rc_adapter_interest(&adapter, RC_SPAN("/xy#"), true);
    cr_assert_str_eq(foreign_asked, "+socket.io-request#/# +socket.io#/xy# +socket.io-request#/xy# ");
    rc_adapter_interest(&adapter, RC_SPAN("/#"), true);
    cr_assert_str_eq(foreign_asked, "+socket.io-request#/# +socket.io#/xy# +socket.io-request#/xy# +socket.io#/# ");
}

Test(adapter_requests, one_answer_when_all_workers_have_replied)
{
    ask("/", "{\"uid\":\"u\",\"requestId\":\"r1\",\"type\":5,\"opts\":{\"rooms\":[\"a\",42],\"except\":[\"b\"]}}");
    cr_assert_str_eq(called, "16/0 /#  a 42 | b");
    reply(1, RC_REPLY_PART, "{\"id\":1}", NULL);
    reply(1, 0, "{\"id\":2}", "{\"id\":3}");
    cr_assert_eq(published_count, 0);
    reply(1, 0, "{\"id\":4}", NULL);
    reply(0, 0, NULL, NULL);
    cr_assert_eq(published_count, 1);
    cr_assert_str_eq(published_on, "socket.io-response#/#");
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_FLEETING);
    cr_assert_str_eq(published, "{\"requestId\":\"r1\",\"sockets\":[{\"id\":1},{\"id\":2},{\"id\":3}]}");
    reply(0, 0, "{\"id\":5}", NULL);
    rc_timers_run(&timers, rc_clock_ms() + RC_ADAPTER_REQUEST_MS + 1);
    cr_assert_eq(published_count, 1);
}

Test(adapter_requests, an_answer_does_not_wait_for_a_worker_for_ever)
{
    ask("/admin", "{\"uid\":\"u\",\"requestId\":\"r1\",\"type\":1}");
    cr_assert_str_eq(called, "18/0 /admin#  |");
    reply(0, 0, "\"red\"", NULL);
    rc_timers_run(&timers, rc_clock_ms() + RC_ADAPTER_REQUEST_MS + 1);
    cr_assert_str_eq(published_on, "socket.io-response#/admin#");
    cr_assert_str_eq(published, "{\"requestId\":\"r1\",\"rooms\":[\"red\"]}");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_INCOMPLETE), 1);
    reply(1, 0, "\"late\"", NULL);
    cr_assert_eq(published_count, 1);
}

Test(adapter_requests, joining_leaving_and_closing_are_passed_on_and_not_answered)
{
    ask("/admin", "{\"uid\":\"u\",\"type\":2,\"opts\":{\"rooms\":[\"a\"],\"except\":[]},\"rooms\":[\"x\",\"y\"]}");
    cr_assert_str_eq(called, "19/0 /admin#  /admin#a |/admin#x;/admin#y;");
    reply(0, 0, NULL, NULL);
    ask("/", "{\"uid\":\"u\",\"type\":3,\"opts\":{\"rooms\":[],\"except\":[]},\"rooms\":[\"x\"]}");
    cr_assert_str_eq(called, "20/0 /#  |x;");
    ask("/", "{\"type\":4,\"opts\":{\"rooms\":[\"a\"]},\"close\":true}");
    cr_assert_str_eq(called, "21/1 /#  a |");
    cr_assert_eq(published_count, 0);
}

Test(adapter_requests, rooms_that_nobody_can_be_in_are_not_everybody)
{
    ask("/", "{\"type\":4,\"opts\":{\"rooms\":[null]},\"close\":true}");
    cr_assert_str_eq(called, "");
    ask("/", "{\"requestId\":\"r\",\"type\":5,\"opts\":{\"rooms\":[\"a\\u0001\"]}}");
    cr_assert_str_eq(called, "");
    cr_assert_str_eq(published, "{\"requestId\":\"r\",\"sockets\":[]}");
}

Test(adapter_requests, old_forms_are_the_owners)
{
    char sid[RC_SID_BYTES + 1] = "";
    char text[128];
    const struct rc_client_ref client = {.random = 77, .slot = 5, .worker = 1};
    rc_sid_write(sid, adapter.uid + 1, &client);
    (void)snprintf(text, sizeof(text), "{\"requestId\":\"r\",\"type\":2,\"sid\":\"%s\",\"room\":\"x\"}", sid);
    ask("/", text);
    (void)snprintf(text, sizeof(text), "19/0 /#  %s |x;", sid);
    cr_assert_str_eq(called, text);
    reply(0, 0, NULL, NULL);
    reply(1, 0, NULL, NULL);
    cr_assert_str_eq(published, "{\"requestId\":\"r\"}");
    ask("/", "{\"requestId\":\"r\",\"type\":2,\"sid\":\"AAAAAAAAAAAAAAAAAAAA\",\"room\":\"x\"}");
    cr_assert_str_eq(called, "");
    cr_assert_eq(published_count, 1);
}

Test(adapter_requests, events_of_servers_go_to_one_worker)
{
    live = 2;
    ask("/", "{\"uid\":\"u\",\"requestId\":\"r\",\"type\":6,\"data\":[\"e\",1]}");
    cr_assert_str_eq(called, "22/1 /# e |[1]");
    reply(1, 0, "{\"a\":1}", "2");
    cr_assert_str_eq(published, "{\"type\":6,\"requestId\":\"r\",\"data\":{\"a\":1}}");
    ask("/", "{\"uid\":\"u\",\"requestId\":\"r\",\"type\":6,\"data\":[\"e\"]}");
    reply(1, 0, NULL, NULL);
    cr_assert_str_eq(published, "{\"type\":6,\"requestId\":\"r\",\"data\":null}");
    ask("/", "{\"uid\":\"u\",\"type\":6,\"data\":[\"e\"]}");
    cr_assert_str_eq(called, "22/0 /# e |[]");
    cr_assert_eq(published_count, 2);
}

/* {requestId: "r1", type: 7, packet: {type: 2, data: ["e", <bytes>]}, opts: {…}} with these options in msgpack. */
static void ask_clients(const char *options, size_t count)
{
    static const char head[] = "\x84\xa9requestId\xa2r1\xa4type\x07\xa6packet\x82\xa4type\x02\xa4"
                               "data\x92\xa1"
                               "e\xc4\x01\x07\xa4opts";
    uint8_t message[256];
    memcpy(message, head, sizeof(head) - 1);
    memcpy(message + sizeof(head) - 1, options, count);
    called[0] = published[0] = '\0';
    foreign.message(foreign.context, RC_SPAN("socket.io-request#/#"), rc_span_of(message, sizeof(head) - 1 + count));
}
#define ASK_CLIENTS(options) ask_clients(options, sizeof(options) - 1)

static void count_of(uint32_t worker, uint32_t count)
{
    const struct rc_reply_head head = {.count = count};
    const struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_API, .data_bytes = sizeof(head), .request_id_bytes = sizeof(tag)},
        .request_id = (const uint8_t *)&tag,
        .data = (const uint8_t *)&head};
    cr_assert(rc_adapter_requests_replied(&requests, worker, &view));
}

/* A client's answer, with the asker of the last call. */
static void answer_of(struct rc_span args)
{
    uint8_t data[512];
    const struct rc_reply_head head = {.flags = RC_REPLY_CLIENT, .count = 1};
    const struct rc_answer_head answer = {.asker_bytes = (uint16_t)kept_asker_bytes};
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), &answer, sizeof(answer));
    memcpy(data + sizeof(head) + sizeof(answer), kept_asker, kept_asker_bytes);
    const size_t before = sizeof(head) + sizeof(answer) + kept_asker_bytes;
    if (args.count > 0) {
        memcpy(data + before, args.bytes, args.count);
    }
    const struct rc_envelope_view view = {.head = {.flags = RC_ENVELOPE_API,
                                                   .data_bytes = (uint32_t)(before + args.count),
                                                   .request_id_bytes = sizeof(tag)},
                                          .request_id = (const uint8_t *)&tag,
                                          .data = data};
    published_count = 0;
    cr_assert(rc_adapter_requests_replied(&requests, 0, &view));
}

Test(adapter_requests, clients_are_asked_counted_once_and_their_answers_go_on)
{
    ASK_CLIENTS("\x82\xa5rooms\x92\xa3red\xa4"
                "blue\xa5"
                "flags\x82\xa8volatile\xc3\xa7timeout\xcd\x01\xf4");
    cr_assert_str_eq(called, "23/0 /# e red blue | 500 ms not:0 to:0 [{\"_placeholder\":true,\"num\":0}]+1");
    cr_assert_eq(published_count, 0, "not before all workers have said how many");
    count_of(0, 2);
    count_of(0, 9);
    cr_assert_eq(published_count, 0);
    count_of(1, 3);
    cr_assert_str_eq(published, "{\"type\":8,\"requestId\":\"r1\",\"clientCount\":5}");
    cr_assert_str_eq(published_on, "socket.io-response#/#");
    cr_assert_eq(published_count, 1);
    count_of(1, 3);
    cr_assert_eq(published_count, 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_LATE), 2);
    uint8_t args[64];
    const uint32_t size = 1;
    const struct rc_span attachment = RC_SPAN("\xff");
    const struct rc_span json = RC_SPAN("[{\"_placeholder\":true,\"num\":0},2]");
    rc_args_write(args, json, &attachment, 1);
    answer_of(rc_span_of(args, rc_args_bytes(json.count, 1, &size)));
    static const char expected[] = "\x83\xa4type\x09\xa9requestId\xa2r1\xa6packet\xc4\x01\xff";
    cr_assert_eq(published_bytes, sizeof(expected) - 1);
    cr_assert_eq(memcmp(published_raw, expected, published_bytes), 0);
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_TO_ONE, "kept while Redis is away");
    cr_assert_str_eq(published_on, "socket.io-response#/#");
    cr_assert_eq(published_count, 1);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_ANSWERS), 1);
    answer_of((struct rc_span){0});
    cr_assert_eq(published_count, 0);
    kept_asker[0] = 200; /* of which there are not so many */
    answer_of(rc_span_of(args, rc_args_bytes(json.count, 1, &size)));
    cr_assert_eq(published_count, 0);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_ANSWERS_DROPPED), 2);
}

Test(adapter_requests, one_client_is_asked_by_its_worker)
{
    char options[64];
    char sid[RC_SID_BYTES + 1] = "";
    const struct rc_client_ref client = {.random = 77, .slot = 5, .worker = 1};
    wanted = false;
    rc_sid_write(sid, adapter.uid + 1, &client);
    const int bytes = snprintf(options, sizeof(options), "\x81\xa5rooms\x91\xb4%s", sid);
    ask_clients(options, (size_t)bytes);
    char expected[128];
    (void)snprintf(expected, sizeof(expected), "23/0 /# e %s | 0 ms not:0 to:5 [{\"_placeholder\":true,\"num\":0}]+1",
                   sid);
    cr_assert_str_eq(called, expected);
    count_of(1, 1);
    cr_assert_str_eq(published, "{\"type\":8,\"requestId\":\"r1\",\"clientCount\":1}");
}

Test(adapter_requests, a_question_that_is_for_nobody_here_is_answered_at_once)
{
    wanted = false;
    ASK_CLIENTS("\x81\xa5rooms\x91\xa3red");
    cr_assert_str_eq(called, "");
    cr_assert_str_eq(published, "{\"type\":8,\"requestId\":\"r1\",\"clientCount\":0}");
    wanted = true;
    live = 0;
    ASK_CLIENTS("\x80");
    cr_assert_str_eq(published, "{\"type\":8,\"requestId\":\"r1\",\"clientCount\":0}");
    cr_assert_eq(requests.served_high, 1, "its place is free again");
}

Test(adapter_requests, a_question_beyond_the_bound_is_neither_asked_nor_answered)
{
    for (uint32_t i = 0; i < RC_ADAPTER_REQUESTS_MAX; i++) {
        ASK_CLIENTS("\x80");
    }
    cr_assert_eq(calls, RC_ADAPTER_REQUESTS_MAX);
    ASK_CLIENTS("\x80");
    cr_assert_eq(calls, RC_ADAPTER_REQUESTS_MAX);
    cr_assert_eq(published_count, 0);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_DROPPED), 1);
    count_of(0, 1);
    count_of(1, 1);
    cr_assert_eq(published_count, 1);
    ASK_CLIENTS("\x80");
    cr_assert_eq(calls, RC_ADAPTER_REQUESTS_MAX + 1);
}

Test(adapter_requests, beyond_the_bound_they_are_answered_empty)
{
    for (uint32_t i = 0; i < RC_ADAPTER_REQUESTS_MAX; i++) {
        ask("/", "{\"uid\":\"u\",\"requestId\":\"r\",\"type\":1}");
    }
    cr_assert_eq(published_count, 0);
    ask("/", "{\"uid\":\"u\",\"requestId\":\"last\",\"type\":1}");
    cr_assert_str_eq(published, "{\"requestId\":\"last\",\"rooms\":[]}");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_DROPPED), 1);
}

Test(adapter_requests, what_is_ours_or_no_request_is_not_answered)
{
    ask("/", "{\"uid\":\"~abcde\",\"requestId\":\"r\",\"type\":1}");
    cr_assert_str_eq(called, "");
    ask("/", "{\"type\":1}");
    ask("/", "nonsense");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 2);
    tag = (struct rc_call_tag){.nonce = 7};
    const struct rc_envelope_view view = {.head = {.flags = RC_ENVELOPE_API, .request_id_bytes = sizeof(tag)},
                                          .request_id = (const uint8_t *)&tag};
    cr_assert_not(rc_adapter_requests_replied(&requests, 0, &view), "a call of another instance");
    cr_assert_eq(published_count, 0);
}

/* --- servers of clusters --------------------------------------------------------------------------------------------- */

static void open_sharded(void)
{
    open_kind(RC_ADAPTER_SHARDED);
}

static void open_streams(void)
{
    open_kind(RC_ADAPTER_STREAMS);
}

TestSuite(adapter_requests_sharded, .init = open_sharded, .fini = close_requests);
TestSuite(adapter_requests_streams, .init = open_streams, .fini = close_requests);

static void ask_cluster(const char *type_and_data)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "{\"uid\":\"0123456789abcdef\",\"nsp\":\"/\",\"type\":%s}", type_and_data);
    called[0] = '\0';
    foreign.message(foreign.context, RC_SPAN("socket.io#/#"), rc_span_text(text));
}

static void expect_answer(const char *before)
{
    char expected[512];
    (void)snprintf(expected, sizeof(expected), "%s,\"uid\":\"%.6s\",\"nsp\":\"/\"}", before, adapter.uid);
    cr_assert_str_eq(published, expected);
    cr_assert_str_eq(published_on, "socket.io#/#0123456789abcdef#");
}

Test(adapter_requests_sharded, the_asker_is_answered_on_its_own_channel)
{
    cr_assert_str_eq(foreign_asked, "+socket.io#/# ");
    ask_cluster("7,\"data\":{\"opts\":{\"rooms\":[\"a\",42],\"except\":[\"b\"],\"flags\":{}},\"requestId\":\"r1\"}");
    cr_assert_str_eq(called, "16/0 /#  a 42 | b");
    reply(0, 0, "{\"id\":1}", "{\"id\":2}");
    reply(1, 0, NULL, NULL);
    cr_assert_eq(published_count, 1);
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_FLEETING | RC_REDIS_PUBLISH_SHARD);
    expect_answer("{\"type\":8,\"data\":{\"requestId\":\"r1\",\"sockets\":[{\"id\":1},{\"id\":2}]}");
    ask_cluster("9,\"data\":{\"packet\":[\"e\",1],\"requestId\":\"r2\"}");
    cr_assert_str_eq(called, "22/1 /# e |[1]");
    reply(0, 0, "7", NULL);
    expect_answer("{\"type\":10,\"data\":{\"requestId\":\"r2\",\"packet\":7}");
    ask_cluster("9,\"data\":{\"packet\":[\"disconnect\"],\"requestId\":\"r3\"}");
    expect_answer("{\"type\":10,\"data\":{\"requestId\":\"r3\",\"packet\":null}");
    cr_assert_eq(published_count, 3);
}

Test(adapter_requests_sharded, what_wants_no_answer_gets_none)
{
    ask_cluster("4,\"data\":{\"opts\":{\"rooms\":[\"a\"]},\"rooms\":[\"b\",\"c\"],\"requestId\":\"r\"}");
    cr_assert_str_eq(called, "19/0 /#  a |b;c;");
    ask_cluster("6,\"data\":{\"opts\":{\"rooms\":[\"a\"]},\"close\":true,\"requestId\":\"r\"}");
    cr_assert_str_eq(called, "21/1 /#  a |");
    ask_cluster("9,\"data\":{\"packet\":[\"e\"]}");
    cr_assert_str_eq(called, "22/0 /# e |[]");
    ask_cluster("5,\"data\":{\"opts\":{\"rooms\":[null]},\"rooms\":[\"b\"]}");
    cr_assert_str_eq(called, "", "rooms that nobody can be in are not everybody");
    rc_timers_run(&timers, rc_clock_ms() + RC_ADAPTER_REQUEST_MS + 1);
    cr_assert_eq(published_count, 0);
}

#define ASK_CLUSTER_CLIENTS \
    "3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\",1]},\"opts\":{\"rooms\":[\"a\"],\"flags\":{\"timeout\":500}},\"requestId\":\"r1\"}"

static void answer_with(struct rc_span json, const struct rc_span *attachment)
{
    uint8_t args[128];
    const uint32_t size = attachment != NULL ? (uint32_t)attachment->count : 0;
    rc_args_write(args, json, attachment, attachment != NULL);
    answer_of(rc_span_of(args, rc_args_bytes(json.count, attachment != NULL, &size)));
}

/* What was packed, as text. */
static void expect_packed(const char *expected)
{
    uint8_t text[512];
    struct rc_span attachments[2];
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(rc_span_of(published_raw, published_bytes));
    struct rc_msgpack_json json = {
        .text = text, .room = sizeof(text), .attachments = attachments, .attachment_max = RC_ARRAY_COUNT(attachments)};
    cr_assert_eq(rc_msgpack_to_json(&reader, &json), 0);
    (void)snprintf(published, sizeof(published), "%.*s", (int)json.count, (const char *)text);
    cr_assert_str_eq(published, expected);
    cr_assert_str_eq(published_on, "socket.io#/#0123456789abcdef#");
}

/* {"uid":ours,…} */
static const char *from_us(char out[256], const char *rest)
{
    (void)snprintf(out, 256, "{\"uid\":\"%.6s\",\"nsp\":\"/\",\"type\":12,\"data\":{\"requestId\":\"r1\"%s}}",
                   adapter.uid, rest);
    return out;
}

Test(adapter_requests_sharded, clients_are_asked_and_the_asker_hears_them)
{
    static const struct rc_span attachment = RC_SPAN("\xff\xfe");
    char expected[256];
    ask_cluster(ASK_CLUSTER_CLIENTS);
    cr_assert_str_eq(called, "23/0 /# e a | 500 ms not:0 to:0 [1]+0");
    count_of(0, 2);
    cr_assert_eq(published_count, 0);
    count_of(1, 3);
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_FLEETING | RC_REDIS_PUBLISH_SHARD);
    expect_answer("{\"type\":11,\"data\":{\"requestId\":\"r1\",\"clientCount\":5}");
    answer_with(RC_SPAN("[{\"b\":[1.0]},2]"), NULL);
    cr_assert_str_eq(published, from_us(expected, ",\"packet\":{\"b\":[1.0]}"));
    cr_assert_str_eq(published_on, "socket.io#/#0123456789abcdef#");
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_TO_ONE | RC_REDIS_PUBLISH_SHARD);
    answer_with(RC_SPAN("[]"), NULL);
    cr_assert_str_eq(published, from_us(expected, ""));
    answer_with(RC_SPAN("[{\"_placeholder\":true,\"num\":0}]"), &attachment);
    expect_packed(from_us(expected, ",\"packet\":{\"_placeholder\":true,\"num\":0}"));
    cr_assert(memmem(published_raw, published_bytes, "\xc4\x02\xff\xfe", 4) != NULL);
    answer_with(RC_SPAN("[{\"_placeholder\":true,\"num\":1}]"), &attachment);
    cr_assert_eq(published_count, 0, "there is no such attachment");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_ANSWERS), 3);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_ANSWERS_DROPPED), 1);
    kept_asker[1] = UINT8_MAX; /* a uid of which there are not so many bytes */
    answer_with(RC_SPAN("[1]"), NULL);
    cr_assert_eq(published_count, 0);
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_ANSWERS_DROPPED), 2);
}

Test(adapter_requests_streams, clients_answers_are_packed)
{
    char expected[256];
    ask_cluster(ASK_CLUSTER_CLIENTS);
    count_of(0, 1);
    count_of(1, 0);
    char count[256];
    (void)snprintf(count, sizeof(count),
                   "{\"type\":11,\"data\":{\"requestId\":\"r1\",\"clientCount\":1},\"uid\":\"%.6s\",\"nsp\":\"/\"}",
                   adapter.uid);
    expect_packed(count);
    answer_with(RC_SPAN("[7]"), NULL);
    expect_packed(from_us(expected, ",\"packet\":7"));
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_TO_ONE);
    answer_with(RC_SPAN("[]"), NULL);
    expect_packed(from_us(expected, ""));
}

Test(adapter_requests_streams, answers_are_packed)
{
    ask_cluster("7,\"data\":{\"opts\":{},\"requestId\":\"r1\"}");
    reply(0, 0, "{\"id\":\"a\"}", NULL);
    reply(1, 0, NULL, NULL);
    cr_assert_eq(published_count, 1);
    cr_assert_str_eq(published_on, "socket.io#/#0123456789abcdef#");
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_FLEETING);
    uint8_t text[512];
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(rc_span_of(published_raw, published_bytes));
    struct rc_msgpack_json json = {.text = text, .room = sizeof(text)};
    cr_assert_eq(rc_msgpack_to_json(&reader, &json), 0);
    (void)snprintf(published, sizeof(published), "%.*s", (int)json.count, (const char *)text);
    expect_answer("{\"type\":8,\"data\":{\"requestId\":\"r1\",\"sockets\":[{\"id\":\"a\"}]}");
}
