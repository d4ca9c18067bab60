/* What Socket.IO servers are answered: each adapter's form, and where it goes. */
#include "relay/bridge/adapter_answer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text/msgpack_json.h"

/* In place of the link. */
static char published_on[256];
static char published[1024];
static size_t published_bytes;
static uint32_t published_flags;
static int publish_rc;

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
    published[published_bytes] = '\0';
    return publish_rc;
}

static size_t ack_room(const struct rc_adapter_ack *ack)
{
    return ack->id.count;
}

/* Just its id; none: it cannot be written. */
static struct rc_span ack_write(const struct rc_adapter_ack *ack, uint8_t *buffer, size_t room)
{
    cr_assert_eq(room, ack->id.count);
    if (room > 0) {
        memcpy(buffer, ack->id.bytes, room);
    }
    return rc_span_of(buffer, room);
}

static const struct rc_bridge bridge;
static const struct rc_adapter_kind classic = {
    .answers = {.mark = "-response#", .of = rc_adapter_classic_forms}, .ack_room = ack_room, .ack_write = ack_write};
static const struct rc_adapter_kind sharded = {
    .sharded = true, .answers = {.of = rc_adapter_cluster_forms}, .ack_room = ack_room, .ack_write = ack_write};
static const struct rc_adapter_kind streams = {.answers = {.of = rc_adapter_cluster_forms, .packed = true}};
static struct rc_adapter_bridge adapter;
static const struct rc_adapter_asker asker = {
    .nsp = RC_SPAN("/\"x"), .uid = RC_SPAN("0123456789abcdef"), .id = RC_SPAN("\"r1\"")};

static void open_as(const struct rc_adapter_kind *kind)
{
    adapter = (struct rc_adapter_bridge){.bridge = &bridge, .kind = kind, .head = "k#", .head_bytes = 2};
    memcpy(adapter.uid, "~abcde", RC_ADAPTER_UID_BYTES);
}

static void close_adapter(void)
{
    free(adapter.emission.buffer.bytes);
}

TestSuite(adapter_answer, .fini = close_adapter);

static void answers(enum rc_adapter_request_type type, const char *values, const char *expected)
{
    rc_adapter_answer(&adapter, &asker, type, rc_span_text(values));
    cr_assert_str_eq(published, expected);
}

Test(adapter_answer, classic_servers_share_a_channel_of_answers)
{
    open_as(&classic);
    answers(RC_ADAPTER_SOCKETS, "\"a\",\"b\"", "{\"requestId\":\"r1\",\"sockets\":[\"a\",\"b\"]}");
    cr_assert_str_eq(published_on, "k-response#/\"x#");
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_FLEETING);
    answers(RC_ADAPTER_SOCKETS, "", "{\"requestId\":\"r1\",\"sockets\":[]}");
    answers(RC_ADAPTER_JOIN, "", "{\"requestId\":\"r1\"}");
    answers(RC_ADAPTER_SERVER_EVENT, "", "{\"type\":6,\"requestId\":\"r1\",\"data\":null}");
    answers(RC_ADAPTER_BROADCAST, "3", "{\"type\":8,\"requestId\":\"r1\",\"clientCount\":3}");
}

Test(adapter_answer, servers_of_a_cluster_are_told_who_answers_on_channels_of_their_own)
{
    open_as(&sharded);
    answers(RC_ADAPTER_FETCH, "{}",
            "{\"type\":8,\"data\":{\"requestId\":\"r1\",\"sockets\":[{}]},\"uid\":\"~abcde\",\"nsp\":\"/\\\"x\"}");
    cr_assert_str_eq(published_on, "k#/\"x#0123456789abcdef#");
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_FLEETING | RC_REDIS_PUBLISH_SHARD);
}

Test(adapter_answer, what_is_packed_is_the_same_value)
{
    uint8_t text[512];
    struct rc_msgpack_json json = {.text = text, .room = sizeof(text)};
    open_as(&streams);
    rc_adapter_answer(&adapter, &asker, RC_ADAPTER_BROADCAST, RC_SPAN("7"));
    struct rc_msgpack_reader reader = rc_msgpack_reader_of(rc_span_of(published, published_bytes));
    cr_assert_eq(rc_msgpack_to_json(&reader, &json), 0);
    cr_assert(rc_span_equal(rc_span_of(text, json.count),
                            RC_SPAN("{\"type\":11,\"data\":{\"requestId\":\"r1\",\"clientCount\":7},\"uid\":\"~abcde\","
                                    "\"nsp\":\"/\\\"x\"}")));
}

Test(adapter_answer, what_a_client_answers_is_passed_on_or_said_why_not)
{
    const struct rc_args_view args = {0};
    struct rc_adapter_asker nobody = asker;
    open_as(&sharded);
    cr_assert_eq(rc_adapter_acknowledge(&adapter, &asker, &args), 0);
    cr_assert_str_eq(published, "\"r1\"");
    cr_assert_eq(published_flags, RC_REDIS_PUBLISH_TO_ONE | RC_REDIS_PUBLISH_SHARD);
    publish_rc = -ENOBUFS;
    cr_assert_eq(rc_adapter_acknowledge(&adapter, &asker, &args), -ENOBUFS);
    publish_rc = 1; /* it waits */
    cr_assert_eq(rc_adapter_acknowledge(&adapter, &asker, &args), 0);
    nobody.id = (struct rc_span){0};
    cr_assert_eq(rc_adapter_acknowledge(&adapter, &nobody, &args), -EMSGSIZE);
}
