/* What the router keeps and tells: retained values ride on acknowledgements in order, and only for the place of the ring where they stand. */
#include <criterion/criterion.h>
#include <string.h>

#include "common/records/query.h"
#include "tests/support/relay_host.h"

static struct relay_host host;

static void open_two(void)
{
    relay_host_open(&host, 2, 65536, 65536);
    relay_host_start_worker(&host, 0);
    relay_host_start_worker(&host, 1);
    relay_host_start_relay(&host);
}

static void close_host(void)
{
    relay_host_close(&host);
}

TestSuite(relay_kept, .init = open_two, .fini = close_host);

static void send_up(uint32_t type, const char *channel, const char *data, uint16_t flags, uint64_t token)
{
    struct rc_envelope_view view = {.head = {.token = token,
                                             .flags = flags,
                                             .channel_bytes = (uint8_t)strlen(channel),
                                             .data_bytes = (uint32_t)strlen(data)},
                                    .channel = channel,
                                    .data = (const uint8_t *)data};
    cr_assert(relay_host_up(&host, 0, type, &view));
    relay_host_run(&host);
}

/* The next record of worker 0 of that type, with the data of its only value ("" = none) in static memory. */
static struct rc_envelope next_of(uint32_t wanted, const char **value)
{
    static char text[256];
    struct rc_envelope_view view;
    struct rc_history_message message;
    uint32_t type;
    while (relay_host_down_fresh(&host, 0, &type, &view)) {
        if (type == wanted) {
            text[0] = '\0';
            if (view.head.data_bytes > 0) {
                cr_assert(rc_history_message_of(view.data, view.head.data_bytes, &message));
                cr_assert_eq(rc_history_entry_bytes(&message.entry), view.head.data_bytes);
                memcpy(text, message.data.bytes, message.data.count);
                text[message.data.count] = '\0';
            }
            *value = text;
            return view.head;
        }
    }
    cr_assert_fail("no record of type %u", wanted);
    return (struct rc_envelope){0};
}

Test(relay_kept, the_acknowledgement_has_the_values_that_were_asked_for)
{
    const char *value;
    send_up(RC_UP_PUBLISH, "a", "one", RC_ENVELOPE_RETAIN, 0);
    send_up(RC_UP_RETAIN, "a", "two", 0, 0);
    send_up(RC_UP_INTEREST_ADD, "a", "", 0, 5);
    cr_assert_eq(next_of(RC_DOWN_INTEREST, &value).flags & RC_ENVELOPE_STATE, 0);
    cr_assert_str_eq(value, "");
    send_up(RC_UP_INTEREST_ADD, "a", "", 0, 5 | RC_INTEREST_RETAINED);
    const struct rc_envelope head = next_of(RC_DOWN_INTEREST, &value);
    cr_assert_eq(head.flags & RC_ENVELOPE_STATE, RC_ENVELOPE_STATE);
    cr_assert_eq(head.token, 5 | RC_INTEREST_RETAINED);
    cr_assert_str_eq(value, "two");
    send_up(RC_UP_PUBLISH, "a", "null", RC_ENVELOPE_RETAIN, 0);
    send_up(RC_UP_INTEREST_ADD, "a", "", 0, 5 | RC_INTEREST_RETAINED);
    cr_assert_eq(next_of(RC_DOWN_INTEREST, &value).flags & RC_ENVELOPE_STATE, RC_ENVELOPE_STATE);
    cr_assert_str_eq(value, "");
}

Test(relay_kept, an_acknowledgement_that_had_to_wait_tells_nothing)
{
    static char large[8000];
    memset(large, 'x', sizeof(large) - 1);
    send_up(RC_UP_RETAIN, "a", "value", 0, 0);
    send_up(RC_UP_INTEREST_ADD, "b", "", 0, 1);
    while (!rc_port_stalled(&host.ports[0])) { /* the worker does not read */
        relay_host_publish(&host, 1, "b", large, NULL);
        relay_host_run(&host);
    }
    const struct rc_interest_request request = {
        .worker = 0, .token = 7 | RC_INTEREST_RETAINED, .hash = rc_channel_hash("a", 1), .name = "a", .name_bytes = 1};
    rc_router_interest_done(&host.router, &request, 0, 0);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_ACKNOWLEDGEMENTS_LATE), 1);
    struct rc_envelope head = {0};
    struct rc_envelope_view view;
    uint32_t type;
    while (head.channel_hash != request.hash) { /* what it reads makes room for what waits */
        while (head.channel_hash != request.hash && relay_host_down_fresh(&host, 0, &type, &view)) {
            head = view.head;
        }
        relay_host_done(&host, 0);
        relay_host_run(&host);
    }
    cr_assert_eq(type, RC_DOWN_INTEREST);
    cr_assert_eq(head.data_bytes, 0);
    cr_assert_eq(head.flags & RC_ENVELOPE_STATE, 0);
}

Test(relay_kept, a_question_about_values_is_answered)
{
    const char *value;
    const struct rc_query_head question = {.kind = RC_QUERY_RETAINED};
    send_up(RC_UP_RETAIN, "a", "value", 0, 0);
    struct rc_envelope_view view = {
        .head = {.token = 9, .origin = {.random = 1, .slot = 1}, .channel_bytes = 1, .data_bytes = sizeof(question)},
        .channel = "a",
        .data = (const uint8_t *)&question};
    cr_assert(relay_host_up(&host, 0, RC_UP_QUERY, &view));
    relay_host_run(&host);
    cr_assert_eq(next_of(RC_DOWN_QUERY, &value).token, 9);
    cr_assert_str_eq(value, "value");
}

Test(relay_kept, a_successor_has_them)
{
    const char *value;
    send_up(RC_UP_RETAIN, "a", "value", 0, 0);
    relay_host_start_relay(&host);
    send_up(RC_UP_INTEREST_ADD, "a", "", 0, 5 | RC_INTEREST_RETAINED);
    (void)next_of(RC_DOWN_INTEREST, &value);
    cr_assert_str_eq(value, "value");
}

Test(relay_kept, it_is_told_where_the_channel_stands_in_its_history)
{
    const char *value;
    host.configs->copies[0].namespaces[0].history = 10;
    rc_history_configure(&host.store, &host.configs->copies[0]);
    send_up(RC_UP_INTEREST_ADD, "a", "", 0, 5);
    struct rc_envelope head = next_of(RC_DOWN_INTEREST, &value);
    const uint64_t epoch = head.epoch;
    cr_assert(epoch != 0 && head.position == 0, "before its first message it has an epoch");
    cr_assert_eq(head.flags & RC_ENVELOPE_STATE, RC_ENVELOPE_STATE);
    send_up(RC_UP_PUBLISH, "a", "", 0, 0);
    head = next_of(RC_DOWN_MESSAGE, &value);
    cr_assert(head.epoch == epoch && head.position == 1);
    cr_assert_eq(rc_history_state(&host.store.view, head.target.slot).epoch, epoch);
    send_up(RC_UP_RETAIN, "a", "value", 0, 0);
    send_up(RC_UP_INTEREST_ADD, "a", "", 0, 5 | RC_INTEREST_RETAINED);
    head = next_of(RC_DOWN_INTEREST, &value);
    cr_assert(head.epoch == epoch && head.position == 1);
    cr_assert_eq(rc_history_state(&host.store.view, head.target.slot).last, 1);
    cr_assert_str_eq(value, "value");
}
