/* The router and the HTTP API's records: calls to workers, replies, directs that are confirmed, idempotency keys. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/records/call.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "tests/support/relay_host.h"

static struct relay_host host;

static void open_three(void)
{
    relay_host_open(&host, 3, 65536, 65536);
    for (uint32_t i = 0; i < 3; i++) {
        relay_host_start_worker(&host, i);
    }
    relay_host_start_relay(&host);
}

static void close_host(void)
{
    relay_host_close(&host);
}

TestSuite(relay_calls, .init = open_three, .fini = close_host);

static struct rc_call_tag tag_of(uint32_t index, uint64_t key)
{
    return (struct rc_call_tag){.nonce = 77, .index = index, .serial = index + 1, .key = {key, key == 0 ? 0 : 1}};
}

/* A record of the API; `type` RC_UP_PUBLISH asks for an answer as the API does. */
static void up(uint32_t worker, uint32_t type, const struct rc_call_tag *tag, struct rc_client_ref target,
               const char *channel, const char *data)
{
    struct rc_envelope_view view = {
        .head = {.target = target,
                 .flags = (uint16_t)(RC_ENVELOPE_API |
                                     (type == RC_UP_PUBLISH || type == RC_UP_DIRECT ? RC_ENVELOPE_WANT_ANSWER : 0)),
                 .channel_bytes = (uint8_t)strlen(channel),
                 .request_id_bytes = sizeof(*tag),
                 .data_bytes = (uint32_t)strlen(data)},
        .channel = channel,
        .request_id = (const uint8_t *)tag,
        .data = (const uint8_t *)data,
    };
    cr_assert(relay_host_up(&host, worker, type, &view));
}

/* The one record that waits for the worker, which must be this type with this tag. */
static struct rc_envelope_view down(uint32_t worker, uint32_t wanted, const struct rc_call_tag *tag)
{
    struct rc_envelope_view view;
    struct rc_call_tag got;
    uint32_t type;
    cr_assert(relay_host_down(&host, worker, &type, &view), "worker %u has a record", worker);
    cr_assert_eq(type, wanted, "worker %u got type %u instead of %u", worker, type, wanted);
    cr_assert(rc_call_tag_read(&view, &got));
    cr_assert_eq(memcmp(&got, tag, sizeof(got)), 0);
    return view;
}

static void nothing(uint32_t worker)
{
    cr_assert_str_eq(relay_host_read(&host, worker), "");
}

static struct rc_call_asked asked_of(const struct rc_envelope_view *view)
{
    struct rc_call_asked asked;
    cr_assert_eq(view->head.data_bytes, sizeof(asked));
    memcpy(&asked, view->data, sizeof(asked));
    return asked;
}

Test(relay_calls, a_call_goes_to_all_workers_and_the_asker_learns_to_whom)
{
    const struct rc_call_tag tag = tag_of(5, 0);
    up(1, RC_UP_CALL, &tag, (struct rc_client_ref){0}, "room", "data");
    relay_host_run(&host);
    for (uint32_t i = 0; i < 3; i++) {
        const struct rc_envelope_view call = down(i, RC_DOWN_CALL, &tag);
        cr_assert_eq(call.head.origin.worker, 1, "who asks is the relay's to say");
        cr_assert_eq(call.head.sequence, 0);
        cr_assert_eq(memcmp(call.channel, "room", 4), 0);
        cr_assert_eq(memcmp(call.data, "data", 4), 0);
    }
    const struct rc_envelope_view answer = down(1, RC_DOWN_ANSWER, &tag);
    cr_assert_eq(asked_of(&answer).bits[0], 7);
    cr_assert_eq(answer.head.code, 0);
    nothing(0);
    nothing(1);
    nothing(2);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_SEQUENCED), 0);
}

Test(relay_calls, a_call_for_a_client_goes_to_its_worker_alone)
{
    const struct rc_call_tag tag = tag_of(0, 0);
    up(0, RC_UP_CALL, &tag, (struct rc_client_ref){.random = 9, .slot = 4, .worker = 2}, "", "d");
    relay_host_run(&host);
    cr_assert_eq(down(2, RC_DOWN_CALL, &tag).head.target.slot, 4);
    const struct rc_envelope_view answer = down(0, RC_DOWN_ANSWER, &tag);
    cr_assert_eq(asked_of(&answer).bits[0], 4);
    nothing(1);
}

Test(relay_calls, workers_that_are_down_or_unknown_are_not_asked)
{
    const struct rc_call_tag tag = tag_of(0, 0);
    relay_host_kill_worker(&host, 2);
    up(0, RC_UP_CALL, &tag, (struct rc_client_ref){0}, "", "d");
    relay_host_run(&host);
    (void)down(0, RC_DOWN_CALL, &tag);
    const struct rc_envelope_view all = down(0, RC_DOWN_ANSWER, &tag);
    cr_assert_eq(asked_of(&all).bits[0], 3);
    for (uint16_t worker = 2; worker <= 4; worker++) {
        up(0, RC_UP_CALL, &tag, (struct rc_client_ref){.random = 9, .worker = worker}, "", "d");
        relay_host_run(&host);
        cr_assert_eq(down(0, RC_DOWN_ANSWER, &tag).head.code, 404);
    }
}

/* It may be with any worker, as guests are told anew; then its own place knows. */
Test(relay_calls, a_successor_asks_all_who_have_not_said_whom_they_have)
{
    const struct rc_call_tag tag = tag_of(0, 0);
    const struct rc_client_ref moved = {.random = 9, .slot = 4, .worker = 2};
    static const char *const none[] = {""};
    relay_host_start_relay(&host);
    cr_assert(relay_host_snapshot(&host, 0, none, 0));
    relay_host_run(&host);
    up(0, RC_UP_CALL, &tag, moved, "", "d");
    up(0, RC_UP_DIRECT, &tag, moved, "", "d");
    relay_host_run(&host);
    const struct rc_envelope_view answer = down(0, RC_DOWN_ANSWER, &tag);
    cr_assert_eq(asked_of(&answer).bits[0], 6);
    nothing(0);
    for (uint32_t i = 1; i < 3; i++) {
        (void)down(i, RC_DOWN_CALL, &tag);
        cr_assert_eq(down(i, RC_DOWN_DIRECT, &tag).head.code, RC_ROUTE_UNAVAILABLE, "another one may have it");
        cr_assert(relay_host_snapshot(&host, i, none, 0));
    }
    relay_host_run(&host);
    up(0, RC_UP_CALL, &tag, moved, "", "d");
    up(0, RC_UP_DIRECT, &tag, moved, "", "d");
    relay_host_run(&host);
    const struct rc_envelope_view known = down(0, RC_DOWN_ANSWER, &tag);
    cr_assert_eq(asked_of(&known).bits[0], 4);
    (void)down(2, RC_DOWN_CALL, &tag);
    cr_assert_eq(down(2, RC_DOWN_DIRECT, &tag).head.code, 0);
    nothing(1);
}

Test(relay_calls, a_reply_goes_back_to_the_asker)
{
    const struct rc_call_tag tag = tag_of(3, 0);
    up(2, RC_UP_REPLY, &tag, (struct rc_client_ref){.worker = 0}, "", "reply");
    relay_host_run(&host);
    const struct rc_envelope_view reply = down(0, RC_DOWN_REPLY, &tag);
    cr_assert_eq(reply.head.origin.worker, 2);
    cr_assert_eq(memcmp(reply.data, "reply", 5), 0);
    up(2, RC_UP_REPLY, &tag, (struct rc_client_ref){.worker = 99}, "", "reply");
    relay_host_kill_worker(&host, 0);
    up(2, RC_UP_REPLY, &tag, (struct rc_client_ref){.worker = 0}, "", "reply");
    relay_host_run(&host);
    nothing(1);
    nothing(2);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_API_REPLIES_UNWANTED), 2);
}

Test(relay_calls, records_without_the_flag_of_the_api_are_refused)
{
    struct rc_envelope_view view = {.head = {.data_bytes = 1}, .data = (const uint8_t *)"x"};
    cr_assert(relay_host_up(&host, 0, RC_UP_CALL, &view));
    cr_assert(relay_host_up(&host, 0, RC_UP_REPLY, &view));
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_RING_CORRUPT), 2);
    for (uint32_t i = 0; i < 3; i++) {
        nothing(i);
    }
}

Test(relay_calls, a_direct_is_confirmed_by_the_clients_worker)
{
    const struct rc_call_tag tag = tag_of(1, 0);
    up(0, RC_UP_DIRECT, &tag, (struct rc_client_ref){.random = 9, .slot = 1, .worker = 1}, "", "x");
    relay_host_run(&host);
    const struct rc_envelope_view direct = down(1, RC_DOWN_DIRECT, &tag);
    cr_assert_eq(direct.head.origin.worker, 0);
    cr_assert_eq(direct.head.origin.random, 0, "no publisher to reveal");
    cr_assert_eq(direct.head.sequence, 1);
    nothing(0);
    up(0, RC_UP_DIRECT, &tag, (struct rc_client_ref){.random = 9, .worker = 7}, "", "x");
    relay_host_run(&host);
    cr_assert_eq(down(0, RC_DOWN_ANSWER, &tag).head.code, 404);
}

/* A new relay does not know yet who was moved: nobody is said not to be there. */
Test(relay_calls, a_direct_while_workers_have_not_told_their_guests_goes_to_all_of_them)
{
    const struct rc_call_tag tag = tag_of(1, 0);
    relay_host_start_relay(&host);
    up(0, RC_UP_DIRECT, &tag, (struct rc_client_ref){.random = 9, .slot = 1, .worker = 1}, "", "x");
    up(0, RC_UP_DIRECT, &tag, (struct rc_client_ref){.random = 9, .worker = 7}, "", "x");
    relay_host_run(&host);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(down(i, RC_DOWN_DIRECT, &tag).head.target.worker, 1);
        const struct rc_envelope_view second = down(i, RC_DOWN_DIRECT, &tag);
        cr_assert_eq(second.head.target.worker, 7);
        cr_assert_eq(second.head.code, 503, "when it is not there");
        nothing(i);
    }
}

Test(relay_calls, a_key_is_used_once_by_whichever_worker)
{
    relay_host_interest(&host, 2, true, "a");
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 2), "interest(a)");
    const struct rc_call_tag first = tag_of(1, 1234);
    const struct rc_call_tag again = tag_of(8, 1234);
    const struct rc_call_tag other = tag_of(9, 1235);
    up(0, RC_UP_PUBLISH, &first, (struct rc_client_ref){0}, "a", "x");
    relay_host_run(&host);
    cr_assert_eq(down(0, RC_DOWN_ANSWER, &first).head.sequence, 1);
    cr_assert_str_eq(relay_host_read(&host, 2), "message(a,#1):x");
    up(1, RC_UP_PUBLISH, &again, (struct rc_client_ref){0}, "a", "x");
    relay_host_run(&host);
    const struct rc_envelope_view answer = down(1, RC_DOWN_ANSWER, &again);
    cr_assert(answer.head.flags & RC_ENVELOPE_DUPLICATE);
    cr_assert_eq(answer.head.position, 1);
    cr_assert_eq(answer.head.sequence, 0, "an answer without a message is not sequenced");
    nothing(2);
    up(1, RC_UP_PUBLISH, &other, (struct rc_client_ref){0}, "a", "y");
    relay_host_run(&host);
    cr_assert_eq(down(1, RC_DOWN_ANSWER, &other).head.sequence, 2);
    cr_assert_str_eq(relay_host_read(&host, 2), "message(a,#2):y");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_API_DUPLICATES), 1);
}

Test(relay_calls, a_key_outlives_the_relay)
{
    const struct rc_call_tag tag = tag_of(1, 4321);
    up(0, RC_UP_PUBLISH, &tag, (struct rc_client_ref){0}, "a", "x");
    relay_host_run(&host);
    (void)down(0, RC_DOWN_ANSWER, &tag);
    relay_host_crash_relay(&host);
    relay_host_start_relay(&host);
    up(2, RC_UP_PUBLISH, &tag, (struct rc_client_ref){0}, "a", "x");
    relay_host_run(&host);
    cr_assert_eq(down(2, RC_DOWN_ANSWER, &tag).head.position, 1);
}

Test(relay_calls, a_message_that_a_predecessor_died_over_is_no_duplicate_of_itself)
{
    const struct rc_call_tag tag = tag_of(1, 99);
    up(0, RC_UP_PUBLISH, &tag, (struct rc_client_ref){0}, "*", "x");
    relay_host_crash_relay(&host);
    /* As it stands when the relay dies after it remembered the key, before it sent anything. */
    struct rc_relay_truth *truth = &host.keep->truth;
    const uint64_t key[2] = {99, 1};
    atomic_store(&truth->intent_position, 0);
    atomic_store(&truth->intent_worker, 0);
    atomic_store(&truth->intent_pair, host.workers[0].generation & 1);
    atomic_store(&truth->intent_sequence, 1);
    atomic_store(&truth->next_sequence, 2);
    struct rc_idempotency_entry *entry = &host.keep->idempotency.entries[99][0];
    atomic_store(&entry->key[0], key[0]);
    atomic_store(&entry->key[1], key[1]);
    atomic_store(&entry->sequence, 1);
    atomic_store(&entry->time_ms, rc_clock_ms());
    relay_host_start_relay(&host);
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 1), "message(*,#1):x");
    const struct rc_envelope_view answer = down(0, RC_DOWN_MESSAGE, &tag);
    cr_assert(answer.head.flags & RC_ENVELOPE_ANSWER);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_API_DUPLICATES), 0);
}

Test(relay_calls, users_and_channels_are_counted)
{
    relay_host_interest(&host, 0, true, "user:1");
    relay_host_interest(&host, 1, true, "user:1");
    relay_host_interest(&host, 1, true, "user:2");
    relay_host_interest(&host, 2, true, "a");
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTEREST_USERS), 2);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTEREST_CHANNELS), 3);
    relay_host_interest(&host, 0, false, "user:1");
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTEREST_USERS), 2);
    relay_host_kill_worker(&host, 1);
    relay_host_start_worker(&host, 1);
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTEREST_USERS), 0);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTEREST_CHANNELS), 1);
}

/* --- with other instances --- */

static int call_result;
static uint32_t call_count;
static char missed[64];
static uint32_t replied_by;

static int remote_call(void *context, uint32_t worker, const struct rc_envelope_view *view)
{
    (void)context;
    (void)view;
    cr_assert_eq(worker, 0);
    call_count++;
    return call_result;
}

static void remote_replied(void *context, uint32_t worker, const struct rc_envelope_view *view)
{
    (void)context;
    cr_assert_eq(memcmp(view->data, "reply", 5), 0);
    replied_by = worker;
}

static void remote_missed(void *context, struct rc_span user)
{
    (void)context;
    (void)snprintf(missed, sizeof(missed), "%.*s", (int)user.count, user.bytes);
}

static void remote_publish(void *context, const struct rc_envelope_view *view)
{
    (void)context;
    (void)view;
}

static void connect_others(void)
{
    static const struct rc_remote_ops ops = {
        .publish = remote_publish, .call = remote_call, .replied = remote_replied, .missed = remote_missed};
    host.router.setup.remote.ops = &ops;
}

Test(relay_calls, other_instances_are_asked_too_or_alone)
{
    static const struct {
        int result;
        uint32_t scope;
        uint16_t code;       /* of a call for all */
        uint16_t code_alone; /* of a call for a client of theirs */
    } cases[] = {{0, RC_CALL_SCOPE_ALL, 0, 0},
                 {-ENOTCONN, RC_CALL_SCOPE_LOCAL, 0, 503},
                 {-EINVAL, RC_CALL_SCOPE_HOST, 404, 404},
                 {-ENOBUFS, RC_CALL_SCOPE_HOST, 503, 503}};
    const struct rc_client_ref theirs = {.random = 1, .worker = RC_WORKER_FOREIGN};
    const struct rc_call_tag tag = tag_of(5, 0);
    up(0, RC_UP_CALL, &tag, theirs, "", "d");
    relay_host_run(&host);
    cr_assert_eq(down(0, RC_DOWN_ANSWER, &tag).head.code, 404, "there are no others");
    connect_others();
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        call_result = cases[i].result;
        up(0, RC_UP_CALL, &tag, theirs, "", "d");
        relay_host_run(&host);
        struct rc_envelope_view answer = down(0, RC_DOWN_ANSWER, &tag);
        cr_assert_eq(answer.head.code, cases[i].code_alone, "case %zu", i);
        cr_assert(cases[i].code_alone != 0 || asked_of(&answer).scope == cases[i].scope);
        nothing(1);
        up(0, RC_UP_CALL, &tag, (struct rc_client_ref){0}, "", "d");
        relay_host_run(&host);
        for (uint32_t worker = 0; worker < 3 && cases[i].code == 0; worker++) {
            (void)down(worker, RC_DOWN_CALL, &tag);
        }
        answer = down(0, RC_DOWN_ANSWER, &tag);
        cr_assert_eq(answer.head.code, cases[i].code, "case %zu", i);
        cr_assert(cases[i].code != 0 || (asked_of(&answer).scope == cases[i].scope && asked_of(&answer).bits[0] == 7));
        nothing(1);
    }
    call_count = 0;
    up(0, RC_UP_CALL, &tag, (struct rc_client_ref){.random = 9, .worker = 2}, "", "d");
    relay_host_run(&host);
    cr_assert_eq(call_count, 0, "a client of this host is nobody else's");
}

Test(relay_calls, their_calls_go_to_workers_and_the_replies_back)
{
    const struct rc_call_tag tag = tag_of(5, 0);
    struct rc_envelope_view view = {.head = {.data_bytes = 1, .request_id_bytes = sizeof(tag)},
                                    .channel = "",
                                    .request_id = (const uint8_t *)&tag,
                                    .data = (const uint8_t *)"d"};
    struct rc_call_asked asked;
    connect_others();
    cr_assert(rc_router_call(&host.router, &view, &asked));
    cr_assert_eq(asked.bits[0], 7);
    for (uint32_t worker = 0; worker < 3; worker++) {
        cr_assert_eq(down(worker, RC_DOWN_CALL, &tag).head.origin.worker, RC_WORKER_FOREIGN);
    }
    up(2, RC_UP_REPLY, &tag, (struct rc_client_ref){.worker = RC_WORKER_FOREIGN}, "", "reply");
    relay_host_run(&host);
    cr_assert_eq(replied_by, 2);
    view.head.target = (struct rc_client_ref){.random = 9, .worker = 77};
    cr_assert(rc_router_call(&host.router, &view, &asked));
    cr_assert_eq(asked.bits[0] | asked.bits[1], 0, "no such worker");
}

Test(relay_calls, a_message_for_a_user_who_is_not_here)
{
    relay_host_interest(&host, 1, true, "user:here");
    relay_host_run(&host);
    relay_host_publish(&host, 0, "user:here", "x", NULL);
    relay_host_publish(&host, 0, "user:there", "x", NULL);
    relay_host_publish(&host, 0, "room:nobody", "x", NULL);
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_FAILED_DELIVERIES), 1, "nowhere");
    connect_others();
    relay_host_publish(&host, 0, "user:there", "x", NULL);
    relay_host_run(&host);
    cr_assert_str_eq(missed, "there");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_FAILED_DELIVERIES), 1, "others know");
}

/* --- replies to a subscribe wait for Redis --- */

static enum rc_confirmation confirmation;
static uint64_t confirm_token;
static uint32_t confirm_count;

static enum rc_confirmation remote_confirm(void *context, uint64_t hash, struct rc_span name, uint64_t token)
{
    (void)context;
    cr_assert_eq(hash, rc_channel_hash((const char *)name.bytes, name.count));
    cr_assert(rc_span_equal(name, RC_SPAN("room")));
    confirm_token = token;
    confirm_count++;
    return confirmation;
}

static bool remote_interest(void *context, const struct rc_interest_request *request, bool first)
{
    (void)context;
    (void)request;
    (void)first;
    return false;
}

static void remote_no_interest(void *context, uint64_t hash, const char *name, uint32_t name_bytes)
{
    (void)context;
    (void)hash;
    (void)name;
    (void)name_bytes;
}

static void connect_confirming(void)
{
    static const struct rc_remote_ops ops = {.publish = remote_publish,
                                             .interest_add = remote_interest,
                                             .interest_remove = remote_no_interest,
                                             .confirm = remote_confirm};
    host.router.setup.remote.ops = &ops;
}

/* Worker 1 tells worker 0 that it has subscribed two connections to "room". */
static void subscribed_two(const struct rc_call_tag *tag)
{
    const struct rc_reply_head head = {.flags = RC_REPLY_FOUND, .count = 2};
    struct rc_envelope_view view = {.head = {.target = {.worker = 0},
                                             .flags = RC_ENVELOPE_API,
                                             .channel_bytes = 4,
                                             .request_id_bytes = sizeof(*tag),
                                             .data_bytes = sizeof(head)},
                                    .channel = "room",
                                    .request_id = (const uint8_t *)tag,
                                    .data = (const uint8_t *)&head};
    cr_assert(relay_host_up(&host, 1, RC_UP_REPLY, &view));
    relay_host_run(&host);
}

static struct rc_reply_head reply_of(const struct rc_call_tag *tag)
{
    struct rc_reply_head head;
    const struct rc_envelope_view view = down(0, RC_DOWN_REPLY, tag);
    cr_assert_eq(view.head.data_bytes, sizeof(head));
    cr_assert_eq(view.head.origin.worker, 1);
    cr_assert_eq(view.head.channel_bytes, 0);
    memcpy(&head, view.data, sizeof(head));
    return head;
}

Test(relay_calls, a_subscribe_is_replied_to_when_redis_has_confirmed)
{
    const struct rc_call_tag tags[] = {tag_of(5, 0), tag_of(6, 0)};
    subscribed_two(&tags[0]);
    cr_assert_eq(reply_of(&tags[0]).flags, RC_REPLY_FOUND | RC_REPLY_BUSY,
                 "its interest was refused: nothing of the channel arrives");
    relay_host_interest(&host, 1, true, "room");
    relay_host_run(&host);
    uint32_t type;
    struct rc_envelope_view interest;
    cr_assert(relay_host_down(&host, 1, &type, &interest));
    subscribed_two(&tags[0]);
    struct rc_reply_head head = reply_of(&tags[0]);
    cr_assert_eq(head.flags, RC_REPLY_FOUND, "without Redis at once");
    cr_assert_eq(head.count, 2);
    connect_confirming();
    for (confirmation = RC_CONFIRMED; confirmation <= RC_CONFIRMED_HERE; confirmation++) {
        subscribed_two(&tags[0]);
        cr_assert_eq(reply_of(&tags[0]).flags,
                     RC_REPLY_FOUND | (confirmation == RC_CONFIRMED ? 0 : (uint32_t)RC_REPLY_UNCONFIRMED));
    }
    confirmation = RC_CONFIRMATION_LATER;
    subscribed_two(&tags[0]);
    const uint64_t first = confirm_token;
    subscribed_two(&tags[1]);
    nothing(0);
    rc_router_confirmed(&host.router, confirm_token, false);
    cr_assert_eq(reply_of(&tags[1]).flags, RC_REPLY_FOUND | RC_REPLY_UNCONFIRMED);
    rc_router_confirmed(&host.router, first, true);
    head = reply_of(&tags[0]);
    cr_assert_eq(head.flags, RC_REPLY_FOUND);
    cr_assert_eq(head.count, 2);
    rc_router_confirmed(&host.router, first, true);
    nothing(0);
}

Test(relay_calls, replies_that_wait_are_bounded)
{
    const struct rc_call_tag tag = tag_of(5, 0);
    uint64_t first = 0;
    relay_host_interest(&host, 1, true, "room");
    connect_confirming();
    confirmation = RC_CONFIRMATION_LATER;
    confirm_count = 0;
    for (uint32_t i = 0; i < RC_ROUTE_HELD_MAX; i++) {
        subscribed_two(&tag);
        first = i == 0 ? confirm_token : first;
    }
    cr_assert_eq(confirm_count, RC_ROUTE_HELD_MAX);
    subscribed_two(&tag);
    cr_assert_eq(confirm_count, RC_ROUTE_HELD_MAX);
    cr_assert_eq(reply_of(&tag).flags, RC_REPLY_FOUND | RC_REPLY_UNCONFIRMED);
    rc_router_confirmed(&host.router, first, true);
    cr_assert_eq(reply_of(&tag).flags, RC_REPLY_FOUND);
    subscribed_two(&tag);
    nothing(0);
    cr_assert_eq(confirm_count, RC_ROUTE_HELD_MAX + 1);
    rc_router_confirmed(&host.router, first, true);
    nothing(0);
}
