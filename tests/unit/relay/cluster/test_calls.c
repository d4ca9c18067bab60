/* Calls between instances: who is waited for and how long, what workers and other instances are told, what is refused. */
#include "tests/support/fake_redis.h"

#include <errno.h>

#include "common/base/clock.h"
#include "common/records/sockets.h"
#include "relay/cluster/calls.h"
#include "tests/support/relay_host.h"

static struct relay_host host;
static struct rc_calls calls;
static struct rc_registry registry;
static struct rc_wire wire;
static struct rc_bridge bridge;

static void open_all(void)
{
    relay_host_open(&host, 2, 65536, 262144);
    relay_host_start_worker(&host, 0);
    relay_host_start_worker(&host, 1);
    relay_host_start_relay(&host);
    registry.state = RC_REGISTRY_OWNED;
    registry.instance_count = 2;
    cr_assert_eq(rc_wire_open(&wire, "a", 7, 1000000, host.control.metrics), 0);
    bridge = (struct rc_bridge){.timers = &fake.timers, .wire = &wire};
    fake.up = true;
    cr_assert_eq(rc_calls_open(&calls, &bridge, &registry, &host.router, NULL), 0);
    calls.everybody.confirmed = true;
    calls.serial = 4; /* its first call is the fifth */
}

static void close_all(void)
{
    while (fake.count > 0) {
        fake_answer("", NULL);
    }
    rc_calls_close(&calls);
    rc_wire_close(&wire);
    relay_host_close(&host);
}

TestSuite(cluster_calls, .init = open_all, .fini = close_all);

static const struct rc_call_tag tag = {.nonce = 1, .index = 2, .serial = 3};

static int call_as(const char *user, const char *client)
{
    char data[512];
    struct rc_call_head head = {.operation = RC_CALL_DISCONNECT,
                                .user_bytes = (uint8_t)strlen(user),
                                .text_bytes = 3,
                                .client_bytes = (uint8_t)strlen(client),
                                .close_code = 4400};
    memcpy(data, &head, sizeof(head));
    const int bytes = snprintf(data + sizeof(head), sizeof(data) - sizeof(head), "%sbye%s", user, client);
    const struct rc_envelope_view view = {.head = {.flags = RC_ENVELOPE_API,
                                                   .request_id_bytes = sizeof(tag),
                                                   .data_bytes = (uint32_t)sizeof(head) + (uint32_t)bytes},
                                          .channel = "",
                                          .request_id = (const uint8_t *)&tag,
                                          .data = (const uint8_t *)data};
    return rc_calls_send(&calls, 1, &view);
}

static void sent(long long subscribers)
{
    fake_integer(
        "PUBLISH ws:instances:call {\"operation\":\"disconnect\",\"user\":\"u1\",\"code\":4400,\"reason\":\"bye\",",
        subscribers);
}

static void reply(const char *more)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "{\"call\":\"0000000700000005\",\"from\":\"b\"%s}", more);
    calls.replies.message(&calls, RC_SPAN("ws:instance:a:reply"), rc_span_text(text));
}

/* The next reply that worker 1 was sent. */
static struct rc_reply_head told(void)
{
    struct rc_envelope_view view;
    struct rc_reply_head head;
    uint32_t type;
    cr_assert(relay_host_down(&host, 1, &type, &view), "worker 1 was told something");
    cr_assert_eq(type, RC_DOWN_REPLY);
    cr_assert_eq(view.head.origin.worker, RC_WORKER_FOREIGN);
    cr_assert_eq(memcmp(view.request_id, &tag, sizeof(tag)), 0);
    memcpy(&head, view.data, sizeof(head));
    return head;
}

static void nothing(void)
{
    cr_assert_str_eq(relay_host_read(&host, 1), "");
}

Test(cluster_calls, end_when_all_subscribers_have_replied)
{
    cr_assert_eq(call_as("u1", ""), 0);
    reply(",\"count\":2,\"last\":true"); /* before Redis has told how many got it */
    cr_assert_eq(told().count, 2);
    nothing();
    sent(3);
    nothing();
    reply(",\"count\":1,\"found\":true,\"last\":true");
    const struct rc_reply_head head = told();
    cr_assert(head.count == 1 && head.flags == RC_REPLY_FOUND);
    cr_assert_eq(told().flags, RC_REPLY_LAST);
    reply(",\"count\":1,\"last\":true");
    nothing();
}

/* Its rings are larger than ours: its list comes in records that fit, and nothing of it is lost. */
Test(cluster_calls, a_list_larger_than_the_ring_is_told_in_parts)
{
    static char text[1 << 17];
    enum { COUNT = 300, NAME = 200 };
    uint32_t count = 0;
    uint32_t parts = 0;
    bool more = false;
    cr_assert_eq(call_as("u1", ""), 0);
    sent(2);
    size_t used = (size_t)sprintf(text, "{\"call\":\"0000000700000005\",\"from\":\"b\",\"more\":true,\"channels\":[");
    for (int i = 0; i < COUNT; i++) {
        used += (size_t)sprintf(text + used, "%s[\"%0*d\",%d]", i == 0 ? "" : ",", NAME, i, i);
    }
    (void)sprintf(text + used, "]}");
    calls.replies.message(&calls, RC_SPAN("ws:instance:a:reply"), rc_span_text(text));
    reply(",\"count\":0,\"last\":true");
    relay_host_run(&host);
    for (;;) {
        struct rc_envelope_view view;
        struct rc_reply_head head;
        uint32_t type;
        cr_assert(relay_host_down(&host, 1, &type, &view), "there is an end");
        memcpy(&head, view.data, sizeof(head));
        if (head.flags & RC_REPLY_LAST) {
            cr_assert_eq(head.flags, RC_REPLY_LAST, "nothing was lost");
            break;
        }
        const uint8_t *at = view.data + sizeof(head);
        for (uint32_t i = 0; i < head.count; i++, at += 5 + NAME, count++) {
            uint32_t subscribers;
            memcpy(&subscribers, at, 4);
            cr_assert(subscribers == count && at[4] == NAME);
        }
        cr_assert_eq(at, view.data + view.head.data_bytes);
        cr_assert(!more || head.count == 0, "only the last part says that there are more");
        more |= (head.flags & RC_REPLY_MORE) != 0;
        parts += head.count > 0;
    }
    cr_assert_eq(count, COUNT);
    cr_assert(parts == 2 && more);
}

/* The router asks the workers of this host alone. */
Test(cluster_calls, what_is_asked_of_sockets_stays_on_its_host)
{
    const struct rc_call_head head = {.operation = RC_CALL_SOCKETS_EMIT};
    const struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_API, .request_id_bytes = sizeof(tag), .data_bytes = sizeof(head)},
        .channel = "",
        .request_id = (const uint8_t *)&tag,
        .data = (const uint8_t *)&head};
    cr_assert_eq(rc_calls_send(&calls, 1, &view), -ENOSYS);
    nothing();
}

Test(cluster_calls, nobody_else_is_there)
{
    cr_assert_eq(call_as("u1", ""), 0);
    sent(1);
    cr_assert_eq(told().flags, RC_REPLY_LAST);
}

Test(cluster_calls, whoever_is_silent_makes_it_incomplete)
{
    cr_assert_eq(call_as("u1", ""), 0);
    sent(3);
    reply(",\"count\":1,\"last\":true");
    (void)told();
    fake_pass(RC_CALLS_MS / 2);
    nothing();
    fake_pass(RC_CALLS_MS + 10);
    cr_assert_eq(told().flags, RC_REPLY_LAST | RC_REPLY_INCOMPLETE);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_CALLS_INCOMPLETE), 1);
}

Test(cluster_calls, whoever_is_not_known_is_waited_for_only_shortly)
{
    registry.instance_count = 1;
    cr_assert_eq(call_as("u1", ""), 0);
    sent(3);
    reply(",\"count\":1,\"last\":true");
    (void)told();
    nothing();
    fake_pass(RC_CALLS_LATE_MS + 10);
    cr_assert_eq(told().flags, RC_REPLY_LAST);
}

Test(cluster_calls, a_cluster_counts_the_instances_it_knows)
{
    fake.clustered = true;
    cr_assert_eq(call_as("u1", ""), 0);
    sent(0);
    nothing();
    reply(",\"last\":true");
    (void)told();
    reply(",\"last\":true");
    (void)told();
    cr_assert_eq(told().flags, RC_REPLY_LAST);
}

Test(cluster_calls, redis_is_lost_before_it_has_it)
{
    cr_assert_eq(call_as("u1", ""), 0);
    fake_answer("PUBLISH", NULL);
    cr_assert_eq(told().flags, RC_REPLY_LAST | RC_REPLY_LOCAL);
    fake.up = false;
    cr_assert_eq(call_as("u1", ""), -ENOTCONN);
    fake.up = true;
    registry.state = RC_REGISTRY_REFUSED;
    cr_assert_eq(call_as("u1", ""), -ENOTCONN);
}

Test(cluster_calls, an_answer_of_redis_after_the_end_is_nothing)
{
    cr_assert_eq(call_as("u1", ""), 0);
    fake_pass(RC_CALLS_MS + 10);
    cr_assert_eq(told().flags, RC_REPLY_LAST | RC_REPLY_INCOMPLETE);
    sent(2);
    nothing();
    for (uint32_t i = 0; i < RC_CALLS_MAX; i++) { /* its place is free again */
        cr_assert_eq(call_as("u1", ""), 0);
        fake.count = 0;
    }
    cr_assert_eq(call_as("u1", ""), -ENOBUFS);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_CALLS_REFUSED), 1);
}

Test(cluster_calls, a_client_is_asked_for_at_its_instance_alone)
{
    static const char id[] = "b~AAAAAQAAAAAAAQAAAAAAAAAB";
    cr_assert_eq(call_as("", id), 0);
    fake_integer("PUBLISH ws:instance:b:call {\"operation\":\"disconnect\",\"client\":\"b~AAAAAQAAAAAAAQAAAAAAAAAB\"",
                 2);
    reply(",\"count\":1,\"found\":true,\"last\":true");
    cr_assert_eq(told().flags, RC_REPLY_FOUND);
    cr_assert_eq(told().flags, RC_REPLY_LAST);
    cr_assert_eq(call_as("", "a~AAAAAQAAAAAAAQAAAAAAAAAB"), -EINVAL, "an id of this instance");
    cr_assert_eq(call_as("", "nonsense"), -EINVAL);
}

/* --- theirs --- */

static void asked(const char *text)
{
    calls.everybody.message(&calls, RC_SPAN("ws:instances:call"), rc_span_text(text));
}

/* The call that the worker was given: its tag. */
static struct rc_call_tag given(uint32_t worker, const char *data)
{
    struct rc_envelope_view view;
    struct rc_call_tag its;
    uint32_t type;
    cr_assert(relay_host_down(&host, worker, &type, &view), "worker %u was asked", worker);
    cr_assert_eq(type, RC_DOWN_CALL);
    cr_assert_eq(view.head.origin.worker, RC_WORKER_FOREIGN);
    cr_assert(rc_call_tag_read(&view, &its));
    const struct rc_span got =
        rc_span_of(view.data + sizeof(struct rc_call_head), view.head.data_bytes - sizeof(struct rc_call_head));
    cr_assert(rc_span_equal(got, rc_span_text(data)));
    return its;
}

static void answer(uint32_t worker, const struct rc_call_tag *its, uint32_t flags, uint32_t count,
                   struct rc_span entries)
{
    uint8_t data[256];
    const struct rc_reply_head head = {.flags = flags, .count = count};
    memcpy(data, &head, sizeof(head));
    if (entries.count > 0) {
        memcpy(data + sizeof(head), entries.bytes, entries.count);
    }
    const struct rc_envelope_view view = {.head = {.flags = RC_ENVELOPE_API,
                                                   .request_id_bytes = sizeof(*its),
                                                   .data_bytes = (uint32_t)(sizeof(head) + entries.count)},
                                          .request_id = (const uint8_t *)its,
                                          .data = data};
    rc_calls_replied(&calls, worker, &view);
}

Test(cluster_calls, workers_carry_it_out_and_the_asker_hears_of_it_once)
{
    asked("{\"operation\":\"disconnect\",\"user\":\"u1\",\"call\":\"c1\",\"from\":\"b\"}");
    const struct rc_call_tag its = given(0, "u1disconnected");
    (void)given(1, "u1disconnected");
    answer(0, &its, 0, 2, (struct rc_span){0});
    answer(0, &its, 0, 2, (struct rc_span){0}); /* a second time */
    cr_assert_eq(fake.publish_count, 0);
    answer(1, &its, 0, 1, (struct rc_span){0});
    cr_assert_eq(fake.publish_count, 1);
    cr_assert_str_eq(fake.published[0],
                     "ws:instance:b:reply {\"call\":\"c1\",\"from\":\"a\",\"count\":3,\"last\":true}");
    answer(1, &its, 0, 1, (struct rc_span){0});
    cr_assert_eq(fake.publish_count, 1);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_CALLS_SERVED), 1);
}

Test(cluster_calls, lists_are_passed_on_as_they_come)
{
    asked("{\"operation\":\"channels\",\"prefix\":\"r\",\"limit\":5,\"call\":\"c1\",\"from\":\"b\"}");
    const struct rc_call_tag its = given(0, "r");
    answer(1, &its, RC_REPLY_MORE, 1, RC_SPAN("\2\0\0\0\4room"));
    cr_assert_str_eq(fake.published[0],
                     "ws:instance:b:reply {\"call\":\"c1\",\"from\":\"a\",\"channels\":[[\"room\",2]],\"more\":true}");
    answer(0, &its, 0, 0, (struct rc_span){0});
    cr_assert_str_eq(fake.published[1],
                     "ws:instance:b:reply {\"call\":\"c1\",\"from\":\"a\",\"count\":0,\"last\":true}");
    cr_assert_eq(fake.publish_count, 2);
}

Test(cluster_calls, a_worker_that_hangs_makes_it_incomplete)
{
    asked("{\"operation\":\"disconnect\",\"user\":\"u1\",\"call\":\"c1\",\"from\":\"b\"}");
    const struct rc_call_tag its = given(0, "u1disconnected");
    answer(0, &its, 0, 1, (struct rc_span){0});
    fake_pass(RC_CALLS_SERVED_MS + 10);
    cr_assert_str_eq(fake.published[0],
                     "ws:instance:b:reply "
                     "{\"call\":\"c1\",\"from\":\"a\",\"count\":1,\"incomplete\":true,\"last\":true}");
    answer(1, &its, 0, 1, (struct rc_span){0});
    cr_assert_eq(fake.publish_count, 1);
}

Test(cluster_calls, clients_that_are_not_here_and_own_calls)
{
    asked("{\"operation\":\"disconnect\",\"user\":\"u1\",\"call\":\"c1\",\"from\":\"a\"}");
    asked("{\"operation\":\"disconnect\",\"client\":\"b~AAAAAQAAAAAAAQAAAAAAAAAB\",\"call\":\"c2\",\"from\":\"b\"}");
    cr_assert_str_eq(relay_host_read(&host, 0), "");
    cr_assert_eq(fake.publish_count, 1);
    cr_assert_str_eq(fake.published[0],
                     "ws:instance:b:reply {\"call\":\"c2\",\"from\":\"a\",\"count\":0,\"last\":true}");
    registry.state = RC_REGISTRY_REFUSED;
    asked("{\"operation\":\"disconnect\",\"user\":\"u1\",\"call\":\"c1\",\"from\":\"b\"}");
    cr_assert_str_eq(relay_host_read(&host, 0), "", "another broker has this id: its calls are not ours");
}

Test(cluster_calls, too_many_at_once_are_told_so)
{
    for (uint32_t i = 0; i <= RC_CALLS_MAX; i++) {
        asked("{\"operation\":\"disconnect\",\"user\":\"u1\",\"call\":\"c1\",\"from\":\"b\"}");
    }
    cr_assert_eq(fake.publish_count, 1);
    cr_assert_str_eq(fake.published[0],
                     "ws:instance:b:reply {\"call\":\"c1\",\"from\":\"a\",\"count\":0,\"busy\":true,\"last\":true}");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_CALLS_REFUSED), 1);
    /* Without `from` nobody is told. */
    fake_pass(RC_CALLS_SERVED_MS + 10);
    const uint32_t before = fake.publish_count;
    asked("{\"operation\":\"disconnect\",\"user\":\"u1\"}");
    fake_pass(2 * RC_CALLS_SERVED_MS + 10);
    cr_assert_eq(fake.publish_count, before);
}

/* --- rooms --------------------------------------------------------------------------------------------------------- */

static int ask_room(uint8_t operation)
{
    const struct rc_call_head head = {.operation = operation};
    const struct rc_envelope_view view = {.head = {.flags = RC_ENVELOPE_API,
                                                   .request_id_bytes = sizeof(tag),
                                                   .channel_bytes = 4,
                                                   .data_bytes = sizeof(head)},
                                          .channel = "room",
                                          .request_id = (const uint8_t *)&tag,
                                          .data = (const uint8_t *)&head};
    return rc_calls_send(&calls, 1, &view);
}

Test(cluster_calls, a_row_asks_others_who_is_in_a_room)
{
    struct rc_envelope_view view;
    struct rc_span json;
    uint32_t type;
    cr_assert_eq(ask_room(RC_CALL_ROOM_MEMBERS), 0);
    fake_integer("PUBLISH ws:instances:call {\"operation\":\"members\",\"channel\":\"room\",", 3);
    reply(",\"ids\":[\"s1\",\"s\\u00e92\"]");
    cr_assert(relay_host_down(&host, 1, &type, &view));
    struct rc_span rest =
        rc_span_of(view.data + sizeof(struct rc_reply_head), view.head.data_bytes - sizeof(struct rc_reply_head));
    cr_assert(rc_sockets_entry_next(&rest, &json) && rc_span_equal(json, RC_SPAN("\"s1\"")));
    cr_assert(rc_sockets_entry_next(&rest, &json) && rc_span_equal(json, RC_SPAN("\"s\\u00e92\"")));
    cr_assert_eq(rest.count, 0);
    reply(",\"channels\":[[\"a\",1]]"); /* of another kind */
    reply(",\"ids\":[1]");
    nothing();
    reply(",\"count\":0,\"last\":true");
    cr_assert_eq(told().count, 0);
    reply(",\"count\":0,\"last\":true");
    (void)told();
    cr_assert_eq(told().flags, RC_REPLY_LAST);
}

Test(cluster_calls, a_room_is_waited_for_half_a_second)
{
    cr_assert_eq(ask_room(RC_CALL_ROOM_COUNT), 0);
    fake_integer("PUBLISH ws:instances:call {\"operation\":\"count\",\"channel\":\"room\",", 3);
    reply(",\"count\":7,\"last\":true");
    cr_assert_eq(told().count, 7);
    fake_pass(RC_CALLS_ROOM_MS / 2);
    nothing();
    fake_pass(RC_CALLS_ROOM_MS + 10);
    cr_assert_eq(told().flags, RC_REPLY_LAST | RC_REPLY_INCOMPLETE);
}

Test(cluster_calls, who_knows_no_others_asks_nobody)
{
    registry.instance_count = 0;
    cr_assert_eq(ask_room(RC_CALL_ROOM_USERS), -ENOSYS);
    registry.instance_count = 2;
    fake.up = false;
    cr_assert_eq(ask_room(RC_CALL_ROOM_USERS), -ENOTCONN);
    cr_assert_eq(fake.count, 0);
}

Test(cluster_calls, workers_with_somebody_in_the_room_answer_others)
{
    static const char channel[] = "room";
    uint8_t entries[64];
    cr_assert(relay_host_interest(&host, 0, true, channel));
    relay_host_run(&host);
    while (relay_host_read(&host, 0)[0] != '\0') {}
    asked("{\"operation\":\"users\",\"channel\":\"room\",\"call\":\"c1\",\"from\":\"b\"}");
    const struct rc_call_tag its = given(0, "");
    cr_assert_str_eq(relay_host_read(&host, 1), "", "nobody of worker 1 is in it");
    const uint32_t bytes = rc_sockets_entry_put(entries, 0, sizeof(entries), RC_SPAN("\"u\\n\""));
    answer(0, &its, RC_REPLY_PART, 1, rc_span_of(entries, bytes));
    cr_assert_str_eq(fake.published[0], "ws:instance:b:reply {\"call\":\"c1\",\"from\":\"a\",\"ids\":[\"u\\n\"]}");
    answer(0, &its, 0, 0, (struct rc_span){0});
    cr_assert_str_eq(fake.published[1],
                     "ws:instance:b:reply {\"call\":\"c1\",\"from\":\"a\",\"count\":0,\"last\":true}");
    asked("{\"operation\":\"count\",\"channel\":\"elsewhere\",\"call\":\"c2\",\"from\":\"b\"}");
    cr_assert_str_eq(fake.published[2],
                     "ws:instance:b:reply {\"call\":\"c2\",\"from\":\"a\",\"count\":0,\"last\":true}");
    asked("{\"operation\":\"count\",\"channel\":\"room\",\"call\":\"c3\",\"from\":\"b\"}");
    const struct rc_call_tag count = given(0, "");
    answer(0, &count, 0, 5, (struct rc_span){0});
    cr_assert_str_eq(fake.published[3],
                     "ws:instance:b:reply {\"call\":\"c3\",\"from\":\"a\",\"count\":5,\"last\":true}");
    asked("{\"operation\":\"count\",\"channel\":\"room\"}");
    asked("{\"operation\":\"count\",\"call\":\"c4\",\"from\":\"b\"}");
    cr_assert_eq(fake.publish_count, 4, "nobody wants it, and no channel");
}
