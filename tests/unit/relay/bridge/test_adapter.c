/* One more Socket.IO server: what it subscribes to, which record a broadcast becomes, what it publishes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/records/args.h"
#include "common/records/select.h"
#include "common/text/msgpack.h"
#include "relay/bridge/adapter.h"
#include "relay/bridge/adapter_interest.h"
#include "tests/support/fake_foreign.h"

/* In place of the link. */
static struct rc_redis_foreign_ops foreign;
static struct rc_redis_subscription *pattern;
static char published_on[256];
static uint8_t published[1024];
static size_t published_bytes;
static uint32_t published_flags;

void rc_redis_subscribe(struct rc_redis_link *link, struct rc_redis_subscription *subscription)
{
    (void)link;
    pattern = subscription;
}

void rc_redis_foreign(struct rc_redis_link *link, const struct rc_redis_foreign_ops *ops)
{
    (void)link;
    foreign = *ops;
}

int rc_redis_publish(struct rc_redis_link *link, struct rc_span channel, const struct rc_span *parts,
                     uint32_t part_count, uint32_t flags)
{
    (void)link;
    published_flags = flags;
    published_bytes = 0;
    (void)snprintf(published_on, sizeof(published_on), "%.*s", (int)channel.count, (const char *)channel.bytes);
    for (uint32_t i = 0; i < part_count; i++) {
        if (parts[i].count > 0) {
            memcpy(published + published_bytes, parts[i].bytes, parts[i].count);
            published_bytes += parts[i].count;
        }
    }
    return 0;
}

int rc_redis_append(struct rc_redis_link *link, struct rc_span stream, uint32_t entries_max,
                    const struct rc_span *fields, uint32_t field_count, uint32_t flags)
{
    (void)link;
    (void)flags;
    cr_assert_eq(entries_max, 10000);
    size_t used = 0;
    (void)snprintf(published_on, sizeof(published_on), "%.*s", (int)stream.count, (const char *)stream.bytes);
    for (uint32_t i = 0; i < field_count; i++) {
        used += (size_t)snprintf((char *)published + used, sizeof(published) - used, "%.*s ", (int)fields[i].count,
                                 (const char *)fields[i].bytes);
    }
    published_bytes = used;
    return 0;
}

static struct rc_redis_stream_ops stream;

void rc_redis_stream_open(struct rc_redis_stream *opened, struct rc_redis_link *link, struct rc_span name,
                          const struct rc_redis_stream_ops *ops)
{
    (void)opened;
    (void)link;
    foreign_ask('>', name);
    stream = *ops;
}

bool rc_redis_stream_has(const struct rc_redis_stream *read, struct rc_span id)
{
    (void)read;
    return id.count == 0;
}

/* In place of the router: who is wanted, and the last record as text. */
static const char *wanted_names = "";
static char delivered[1024];
static uint64_t delivered_as; /* its identity */

static bool host_wanted(void *context, struct rc_span name)
{
    char text[300];
    (void)context;
    (void)snprintf(text, sizeof(text), " %.*s ", (int)name.count, (const char *)name.bytes);
    return strstr(wanted_names, text) != NULL;
}

static bool host_known(void *context)
{
    (void)context;
    return true;
}

static char missed[256];

static void host_missed(void *context, struct rc_span name, enum rc_missed how)
{
    (void)context;
    (void)snprintf(missed, sizeof(missed), "gap %.*s%s", (int)name.count, (const char *)name.bytes,
                   how == RC_MISSED_HERE ? "" : " lost");
}

static bool host_deliver(void *context, enum rc_record_type type, const struct rc_envelope_view *view)
{
    struct rc_args_view args;
    (void)context;
    delivered_as = view->head.token;
    cr_assert_eq(view->head.flags, RC_ENVELOPE_REMOTE | RC_ENVELOPE_ARGS);
    cr_assert_eq(rc_args_read(rc_span_of(view->data, view->head.data_bytes), &args), 0);
    size_t used = (size_t)snprintf(delivered, sizeof(delivered), "%s %.*s %.*s%.*s not:%u",
                                   type == RC_DOWN_MESSAGE  ? "message"
                                   : type == RC_DOWN_DIRECT ? "direct"
                                                            : "select",
                                   view->head.channel_bytes, view->channel, view->head.event_bytes, view->event,
                                   (int)args.json.count, (const char *)args.json.bytes, view->head.exclude_count);
    struct rc_span names = rc_span_of(view->exclude_text, view->head.exclude_text_bytes);
    while (names.count > 0) {
        struct rc_span name;
        const bool more = rc_select_next(&names, &name);
        used += (size_t)snprintf(delivered + used, sizeof(delivered) - used, more ? " %.*s" : " |", (int)name.count,
                                 (const char *)name.bytes);
    }
    return true;
}

static struct rc_metrics metrics;
static struct rc_wire wire = {.instance_id = "here", .message_bytes_max = 1000, .metrics = &metrics};
static const struct rc_bridge bridge = {
    .wire = &wire,
    .host = {.deliver = host_deliver, .wanted = host_wanted, .known = host_known, .missed = host_missed}};
static struct rc_adapter_bridge adapter;
static char own_sid[RC_SID_BYTES + 1];
static char other_sid[RC_SID_BYTES + 1];

static void open_kind(enum rc_adapter kind)
{
    static struct rc_config_socketio config;
    const struct rc_client_ref client = {.random = 77, .slot = 5, .worker = 1};
    char instance[RC_SID_INSTANCE_BYTES];
    config.adapter = kind;
    config.namespace_count = 2;
    (void)snprintf(config.namespaces[0].text, sizeof(config.namespaces[0].text), "/");
    (void)snprintf(config.namespaces[1].text, sizeof(config.namespaces[1].text), "/x*");
    (void)snprintf(config.adapter_key.text, sizeof(config.adapter_key.text), "socket*io");
    (void)snprintf(config.message_event.text, sizeof(config.message_event.text), "message");
    cr_assert_eq(rc_adapter_open(&adapter, &bridge, &config), 0);
    rc_sid_instance(instance, "here");
    rc_sid_write(own_sid, instance, &client);
    rc_sid_instance(instance, "there");
    rc_sid_write(other_sid, instance, &client);
}

static void open_adapter(void)
{
    open_kind(RC_ADAPTER_CLASSIC);
}

static void close_adapter(void)
{
    rc_adapter_close(&adapter);
}

TestSuite(adapter, .init = open_adapter, .fini = close_adapter);

static void interest(const char *channel, bool wanted, const char *expected)
{
    foreign_asked[0] = '\0';
    rc_adapter_interest(&adapter, rc_span_text(channel), wanted);
    cr_assert_str_eq(foreign_asked, expected);
}

Test(adapter, one_pattern_for_clients)
{
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "socket\\*io#/*#%.5s*", own_sid);
    cr_assert_str_eq(pattern->name, expected);
    cr_assert(pattern->pattern);
    cr_assert_str_eq(foreign.heads[0], "socket*io#");
}

Test(adapter, rooms_are_subscribed_while_wanted_and_namespaces_while_any_of_theirs_is)
{
    interest("red", true, "+socket*io#/#red# +socket*io#/# ");
    interest("/#", true, "");
    interest("/admin#red", true, "+socket*io#/admin#red# +socket*io#/admin# ");
    interest("red", false, "-socket*io#/#red# ");
    interest("/#", false, "-socket*io#/# ");
    interest("*", true, "");
    interest(own_sid, true, "+socket*io#/# ");
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "+socket*io#/#%s# ", other_sid);
    interest(other_sid, true, expected);
}

/* [uid, {type, data: ["e", 1], nsp}, {rooms, except}], lists of at most 15 names that end with NULL. */
static struct rc_span broadcast(const char *uid, const char *nsp, const char *const *rooms, const char *const *except)
{
    static uint8_t bytes[2048];
    struct rc_msgpack_writer writer = rc_msgpack_writer_of(bytes, sizeof(bytes));
    rc_msgpack_put_array(&writer, 3);
    rc_msgpack_put_string(&writer, rc_span_text(uid));
    rc_msgpack_put_map(&writer, 3);
    rc_msgpack_put_string(&writer, RC_SPAN("type"));
    rc_msgpack_put_unsigned(&writer, 2);
    rc_msgpack_put_string(&writer, RC_SPAN("data"));
    rc_msgpack_put_array(&writer, 2);
    rc_msgpack_put_string(&writer, RC_SPAN("e"));
    rc_msgpack_put_unsigned(&writer, 1);
    rc_msgpack_put_string(&writer, RC_SPAN("nsp"));
    rc_msgpack_put_string(&writer, rc_span_text(nsp));
    rc_msgpack_put_map(&writer, 2);
    for (uint32_t i = 0; i < 2; i++) {
        const char *const *list = i == 0 ? rooms : except;
        uint32_t count = 0;
        rc_msgpack_put_string(&writer, i == 0 ? RC_SPAN("rooms") : RC_SPAN("except"));
        const size_t opened = rc_msgpack_open(&writer);
        for (; list[count] != NULL; count++) {
            rc_msgpack_put_string(&writer, rc_span_text(list[count]));
        }
        rc_msgpack_close_array(&writer, opened, count);
    }
    return rc_msgpack_written(&writer);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void receive(const char *channel, struct rc_span message, const char *expected)
{
    delivered[0] = '\0';
    foreign.message(foreign.context, rc_span_text(channel), message);
    cr_assert_str_eq(delivered, expected);
}

Test(adapter, one_room_is_a_message_on_its_channel)
{
    wanted_names = " red  /admin#red ";
    receive("socket*io#/#red#", broadcast("abc123", "/", LIST("red"), LIST(NULL)), "message red e[1] not:0");
    receive("socket*io#/admin#red#", broadcast("abc123", "/admin", LIST("red"), LIST(NULL)),
            "message /admin#red e[1] not:0");
    receive("socket*io#/#", broadcast("abc123", "/", LIST("red", "nobody's"), LIST("nor this")),
            "message red e[1] not:0");
    receive("socket*io#/#red#", broadcast("abc123", "/", LIST("red"), LIST(own_sid, other_sid)),
            "message red e[1] not:1");
}

Test(adapter, no_rooms_are_everybody_in_the_namespace)
{
    receive("socket*io#/admin#", broadcast("abc123", "/admin", LIST(NULL), LIST(NULL)), "message /admin# e[1] not:0");
    receive("socket*io#/#", broadcast("abc123", "/", LIST(NULL), LIST(own_sid)), "message /# e[1] not:1");
}

Test(adapter, several_rooms_and_exceptions_are_a_selection)
{
    char expected[256];
    wanted_names = " red  blue  muted ";
    receive("socket*io#/#", broadcast("u", "/", LIST("red", "blue"), LIST(NULL)), "select /# e[1] not:0 red blue |");
    receive("socket*io#/#", broadcast("u", "/", LIST("red"), LIST("muted", "x")), "select /# e[1] not:0 red | muted");
    receive("socket*io#/#", broadcast("u", "/", LIST(NULL), LIST("muted", own_sid)), "select /# e[1] not:1 | muted");
    (void)snprintf(expected, sizeof(expected), "select /# e[1] not:0 red %s |", own_sid);
    receive("socket*io#/#", broadcast("u", "/", LIST("red", own_sid), LIST(NULL)), expected);
    wanted_names = " /admin#red  /admin#blue ";
    receive("socket*io#/admin#", broadcast("u", "/admin", LIST("red", "blue"), LIST(NULL)),
            "select /admin# e[1] not:0 /admin#red /admin#blue |");
}

Test(adapter, a_client_is_a_direct_message)
{
    char channel[64];
    (void)snprintf(channel, sizeof(channel), "socket*io#/#%s#", own_sid);
    delivered[0] = '\0';
    pattern->message(pattern->context, rc_span_text(channel), broadcast("u", "/", LIST(own_sid), LIST(NULL)));
    cr_assert_str_eq(delivered, "direct /# e[1] not:0");
    /* A room that only looks so has a channel of its own. */
    delivered[0] = '\0';
    (void)snprintf(channel, sizeof(channel), "socket*io#/#x#%s#", own_sid);
    pattern->message(pattern->context, rc_span_text(channel), broadcast("u", "/", LIST("x"), LIST(NULL)));
    cr_assert_str_eq(delivered, "");
}

Test(adapter, what_is_for_nobody_or_from_ringcast_is_ignored)
{
    char uid[RC_ADAPTER_UID_BYTES + 1] = "~";
    wanted_names = " red ";
    memcpy(uid + 1, other_sid, RC_SID_INSTANCE_BYTES);
    receive("socket*io#/#red#", broadcast(uid, "/", LIST("red"), LIST(NULL)), "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_ECHOES), 1);
    receive("socket*io#/#red#", broadcast("u", "/other", LIST("red"), LIST(NULL)), "");
    receive("socket*io#/#blue#", broadcast("u", "/", LIST("blue"), LIST(NULL)), "");
    receive("socket*io#/#", broadcast("u", "/", LIST("blue", "green"), LIST(NULL)), "");
    receive("socket*io#red", broadcast("u", "/", LIST("red"), LIST(NULL)), "");
    receive("socket*io##", broadcast("u", "/", LIST("red"), LIST(NULL)), "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 0);
    receive("socket*io#/#red#", RC_SPAN("\xdd\xff\xff\xff\xff"), "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 1);
}

static void publish(const char *channel, const char *event, const char *expected_on)
{
    const struct rc_envelope_view view = {
        .head = {.channel_bytes = (uint8_t)strlen(channel), .event_bytes = (uint8_t)strlen(event), .data_bytes = 1},
        .channel = channel,
        .event = event,
        .data = (const uint8_t *)"7"};
    published_on[0] = '\0';
    rc_adapter_publish(&adapter, &view, 0);
    cr_assert_str_eq(published_on, expected_on);
}

Test(adapter, events_are_published_and_other_messages_are_not)
{
    struct rc_adapter_broadcast read;
    publish("red", "", "");
    publish("red", "tick", "socket*io#/#red#");
    cr_assert_eq(rc_adapter_broadcast_read(&read, rc_span_of(published, published_bytes)), 0);
    cr_assert(read.uid.count == RC_ADAPTER_UID_BYTES && read.uid.bytes[0] == '~');
    cr_assert_eq(read.rooms.count, 1);
    publish("/admin#red", "tick", "socket*io#/admin#red#");
    publish("/admin#", "tick", "socket*io#/admin#");
    cr_assert_eq(rc_adapter_broadcast_read(&read, rc_span_of(published, published_bytes)), 0);
    cr_assert(rc_span_equal(read.nsp, RC_SPAN("/admin")) && read.rooms.count == 0);
    publish("*", "tick", "socket*io#/#");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_ADAPTER_SENT), 4);
}

Test(adapter, off_unless_configured)
{
    static struct rc_adapter_bridge off;
    static struct rc_config_socketio config;
    pattern = NULL;
    cr_assert_eq(rc_adapter_open(&off, &bridge, &config), 0);
    cr_assert_null(pattern);
    foreign_asked[0] = '\0';
    rc_adapter_interest(&off, RC_SPAN("red"), true);
    cr_assert_str_eq(foreign_asked, "");
    rc_adapter_close(&off);
}

/* --- the adapters of clusters ---------------------------------------------------------------------------------------- */

static char requested[512];

static void was_requested(void *context, struct rc_span nsp, struct rc_adapter_request *request, struct rc_span message)
{
    (void)context;
    (void)message;
    (void)snprintf(requested, sizeof(requested), "%u in %.*s of %.*s id %.*s", request->type, (int)nsp.count,
                   (const char *)nsp.bytes, (int)request->uid.count, (const char *)request->uid.bytes,
                   (int)request->id.count, (const char *)request->id.bytes);
}

static void open_sharded(void)
{
    open_kind(RC_ADAPTER_SHARDED);
}

static void open_streams(void)
{
    open_kind(RC_ADAPTER_STREAMS);
}

TestSuite(adapter_sharded, .init = open_sharded, .fini = close_adapter);
TestSuite(adapter_streams, .init = open_streams, .fini = close_adapter);

Test(adapter_sharded, a_named_namespace_is_heard_for_good_a_room_while_wanted)
{
    cr_assert_null(pattern);
    cr_assert(foreign.sharded);
    rc_adapter_set_requests(&adapter, was_requested, NULL);
    cr_assert_str_eq(foreign_asked, "+socket*io#/# ");
    interest("red", true, "+socket*io#/#red# ");
    interest("/xy#red", true, "+socket*io#/xy#red# +socket*io#/xy# ");
    interest(own_sid, true, "");
    interest("red", false, "-socket*io#/#red# ");
    interest("/xy#red", false, "-socket*io#/xy#red# -socket*io#/xy# ");
    interest(own_sid, false, "");
}

#define BROADCAST(uid, nsp, rooms)                                                  \
    RC_SPAN("{\"uid\":\"" uid "\",\"nsp\":\"" nsp                                   \
            "\",\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\",1.0]}," \
            "\"opts\":{\"rooms\":[" rooms "],\"except\":[],\"flags\":{}}}}")

Test(adapter_sharded, broadcasts_are_delivered_as_they_are_meant)
{
    char text[512];
    char expected[256];
    wanted_names = " red ";
    receive("socket*io#/#red#", BROADCAST("u", "/", "\"red\""), "message red e[1.0] not:0");
    receive("socket*io#/#", BROADCAST("u", "/", ""), "message /# e[1.0] not:0");
    receive("socket*io#/#blue#", BROADCAST("u", "/", "\"blue\""), "");
    receive("socket*io#/#", BROADCAST("u", "/y", ""), "");
    receive("socket*io#/#", BROADCAST("~abcde", "/", ""), "");
    receive("socket*io#/#", RC_SPAN("{\"uid\":\"u\",\"nsp\":\"/\",\"type\":2}"), "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 0);
    receive("socket*io#/#", RC_SPAN("{\"type\":3}"), "");
    receive("socket*io#/#", RC_SPAN("\xdd\xff\xff\xff\xff"), "");
    receive("socket*io#/#", RC_SPAN(""), "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 3);
    (void)snprintf(
        text, sizeof(text),
        "{\"uid\":\"u\",\"nsp\":\"/\",\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":{"
        "\"rooms\":[\"%s\"],\"except\":[]}}}",
        own_sid);
    (void)snprintf(expected, sizeof(expected), "direct /# e[] not:0");
    receive("socket*io#/#", rc_span_text(text), expected);
}

Test(adapter_sharded, what_is_asked_is_handed_on)
{
    rc_adapter_set_requests(&adapter, was_requested, NULL);
    receive("socket*io#/#",
            RC_SPAN("{\"uid\":\"u1\",\"nsp\":\"/\",\"type\":7,\"data\":{\"opts\":{},\"requestId\":\"r\"}}"), "");
    cr_assert_str_eq(requested, "5 in / of u1 id \"r\"");
    requested[0] = '\0';
    receive("socket*io#/#",
            RC_SPAN("{\"uid\":\"~abcde\",\"nsp\":\"/\",\"type\":7,\"data\":{\"opts\":{},\"requestId\":\"r\"}}"), "");
    cr_assert_str_eq(requested, "", "ringcast's own: nobody is here for it, and it is told so");
    cr_assert_str_eq(published_on, "socket*io#/#~abcde#");
    const struct rc_span answer = RC_SPAN("{\"type\":8,\"data\":{\"requestId\":\"r\",\"sockets\":[]}");
    cr_assert(published_bytes > answer.count && memcmp(published, answer.bytes, answer.count) == 0);
    receive("socket*io#/#",
            RC_SPAN("{\"uid\":\"~abcde\",\"nsp\":\"/\",\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]},"
                    "\"opts\":{\"rooms\":[]},\"requestId\":\"r2\"}}"),
            "");
    const struct rc_span none = RC_SPAN("\"type\":11,\"data\":{\"requestId\":\"r2\",\"clientCount\":0}");
    cr_assert_not_null(memmem(published, published_bytes, none.bytes, none.count));
}

static void emit_number(const char *channel)
{
    static const uint8_t number[] = "1.0";
    const struct rc_envelope_view view = {
        .head = {.channel_bytes = (uint8_t)strlen(channel), .event_bytes = 1, .data_bytes = 3},
        .channel = channel,
        .event = "e",
        .data = number};
    memset(published, 0, sizeof(published));
    published_on[0] = '\0';
    rc_adapter_publish(&adapter, &view, 0);
}

Test(adapter_sharded, a_room_has_its_channel_and_what_may_be_a_client_the_namespaces)
{
    char expected[512];
    emit_number("red");
    cr_assert_str_eq(published_on, "socket*io#/#red#");
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_SHARD);
    (void)snprintf(
        expected, sizeof(expected),
        "{\"uid\":\"~%.5s\",\"nsp\":\"/\",\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\",1.0]},\"opts\":{"
        "\"rooms\":[\"red\"],\"except\":[],\"flags\":{}}}}",
        own_sid);
    cr_assert_str_eq((const char *)published, expected);
    emit_number("0123456789012345678\xc3\xa9"); /* 20 characters */
    cr_assert_str_eq(published_on, "socket*io#/#");
    emit_number("012345678901234567\xf0\x9f\x98\x80"); /* 19 of Unicode, 20 of JavaScript */
    cr_assert_str_eq(published_on, "socket*io#/#");
    emit_number("012345678901234567\xc3\xa9");
    cr_assert_str_eq(published_on, "socket*io#/#012345678901234567\xc3\xa9#");
    emit_number("/xy#");
    cr_assert_str_eq(published_on, "socket*io#/xy#");
}

Test(adapter_sharded, a_lost_shard_is_told_to_whom_it_concerns)
{
    foreign.missed(foreign.context, RC_SPAN("socket*io#/#red#"));
    cr_assert_str_eq(missed, "gap red");
    foreign.missed(foreign.context, RC_SPAN("socket*io#/xy#red#"));
    cr_assert_str_eq(missed, "gap /xy#red");
    foreign.missed(foreign.context, RC_SPAN("socket*io#/xy#"));
    cr_assert_str_eq(missed, "gap /xy#");
}

/* An entry, as the stream hands it on. */
static void enter(const char *type, const char *text, const char *expected)
{
    const struct rc_span values[] = {RC_SPAN("uid"),  RC_SPAN("u1"),      RC_SPAN("nsp"),  RC_SPAN("/"),
                                     RC_SPAN("type"), rc_span_text(type), RC_SPAN("data"), rc_span_text(text)};
    delivered[0] = requested[0] = '\0';
    stream.entry(stream.context, values, 8);
    cr_assert_str_eq(delivered[0] != '\0' ? delivered : requested, expected);
}

Test(adapter_streams, broadcasts_come_from_the_stream_and_rooms_have_no_channels)
{
    cr_assert_null(pattern);
    cr_assert(!foreign.sharded);
    cr_assert_str_eq(foreign_asked, ">socket*io ");
    foreign_asked[0] = '\0';
    rc_adapter_set_requests(&adapter, was_requested, NULL);
    cr_assert_str_eq(foreign_asked, "+socket*io#/# ");
    interest("red", true, "");
    interest("/xy#red", true, "+socket*io#/xy# ");
    wanted_names = " red ";
    enter("3", "{\"packet\":{\"type\":2,\"data\":[\"e\",1]},\"opts\":{\"rooms\":[\"red\"],\"except\":[]}}",
          "message red e[1] not:0");
    enter("4", "{\"opts\":{\"rooms\":[],\"except\":[]},\"rooms\":[\"a\"]}", "2 in / of u1 id ");
    enter("3", "{", "");
    enter("3", "!", "");
    enter("13", "", "");
    cr_assert_eq(rc_metric_get(&metrics, RC_METRIC_REDIS_MALFORMED), 2);
    stream.missed(stream.context);
    cr_assert_str_eq(missed, "gap ");
}

/* All hosts read the same entries: a client that comes back on another one has an event once (relay/cluster/comeback.h). */
Test(adapter_streams, what_comes_is_known_by_its_entry)
{
    static const char *const entries[] = {"1699-0", "1699-1", "1699-0"};
    uint64_t as[RC_ARRAY_COUNT(entries)];
    wanted_names = " red ";
    for (size_t i = 0; i < RC_ARRAY_COUNT(entries); i++) {
        (void)snprintf(adapter.stream.last, sizeof(adapter.stream.last), "%s", entries[i]);
        enter("3", "{\"packet\":{\"type\":2,\"data\":[\"e\",1]},\"opts\":{\"rooms\":[\"red\"],\"except\":[]}}",
              "message red e[1] not:0");
        as[i] = delivered_as;
    }
    cr_assert(as[0] != 0 && as[0] != as[1] && as[0] == as[2]);
}

Test(adapter_streams, what_clients_emit_is_added_to_the_stream)
{
    char expected[512];
    emit_number("/xy#red");
    cr_assert_str_eq(published_on, "socket*io");
    (void)snprintf(
        expected, sizeof(expected),
        "uid ~%.5s nsp /xy type 3 data {\"packet\":{\"type\":2,\"data\":[\"e\",1.0]},\"opts\":{\"rooms\":[\"red\"],"
        "\"except\":[],\"flags\":{}}} ",
        own_sid);
    cr_assert_str_eq((const char *)published, expected);
}
