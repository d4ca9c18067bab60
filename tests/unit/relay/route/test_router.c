/* The router on fake workers: who gets what, in which order, with which answers. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/args.h"
#include "common/records/select.h"
#include "common/records/sid.h"
#include "relay/remote.h"
#include "tests/support/recovery_host.h"
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

TestSuite(relay_router, .init = open_three, .fini = close_host);

static void reads(uint32_t worker, const char *expected)
{
    const char *got = relay_host_read(&host, worker);
    cr_assert_str_eq(got, expected, "worker %u got\n  %s\ninstead of\n  %s", worker, got, expected);
}

Test(relay_router, interest_is_answered_and_then_messages_come)
{
    relay_host_publish(&host, 1, "a", "before", NULL);
    relay_host_run(&host);
    relay_host_interest(&host, 0, true, "a");
    relay_host_run(&host);
    relay_host_publish(&host, 1, "a", "after", NULL);
    relay_host_publish(&host, 1, "b", "other", NULL);
    relay_host_run(&host);
    reads(0, "interest(a) message(a,#2):after");
    reads(1, "");
    reads(2, "");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTERESTS), 1);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_SEQUENCED), 3);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_UNROUTED), 2);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_ROUTED), 2);
}

/* An answer alone has no data: with the flag no worker would read it. */
Test(relay_router, arguments_go_down_and_the_answer_alone_has_none)
{
    uint8_t data[sizeof(struct rc_args_head) + 3];
    uint32_t type;
    rc_args_write(data, RC_SPAN("[1]"), NULL, 0);
    struct rc_envelope_view view = {.head = {.channel_bytes = 1,
                                             .event_bytes = 4,
                                             .request_id_bytes = 1,
                                             .data_bytes = sizeof(data),
                                             .origin = {.random = 1},
                                             .flags = RC_ENVELOPE_ARGS | RC_ENVELOPE_WANT_ANSWER},
                                    .channel = "a",
                                    .event = "tick",
                                    .request_id = (const uint8_t *)"7",
                                    .data = data};
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    relay_host_up(&host, 0, RC_UP_PUBLISH, &view);
    relay_host_run(&host);
    cr_assert(relay_host_down(&host, 0, &type, &view));
    cr_assert_eq(type, RC_DOWN_ANSWER);
    cr_assert_eq(view.head.flags & RC_ENVELOPE_ARGS, 0);
    cr_assert(relay_host_down(&host, 1, &type, &view) && type == RC_DOWN_INTEREST);
    cr_assert(relay_host_down(&host, 1, &type, &view) && type == RC_DOWN_MESSAGE);
    cr_assert_eq(view.head.flags, RC_ENVELOPE_ARGS);
    cr_assert(rc_span_equal(rc_span_of(view.event, view.head.event_bytes), RC_SPAN("tick")));
    cr_assert(rc_span_equal(rc_span_of(view.data, view.head.data_bytes), rc_span_of(data, sizeof(data))));
}

Test(relay_router, interest_answer_carries_the_token_of_its_request)
{
    struct rc_envelope_view view = {.head = {.channel_bytes = 1, .token = 77}, .channel = "a"};
    uint32_t type;
    relay_host_up(&host, 0, RC_UP_INTEREST_ADD, &view);
    relay_host_run(&host);
    cr_assert(relay_host_down(&host, 0, &type, &view));
    cr_assert_eq(type, RC_DOWN_INTEREST);
    cr_assert_eq(view.head.token, 77);
}

Test(relay_router, repeated_interest_is_answered_again)
{
    relay_host_interest(&host, 0, true, "a");
    relay_host_interest(&host, 0, true, "a");
    relay_host_run(&host);
    reads(0, "interest(a) interest(a)");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTERESTS), 1);
    relay_host_interest(&host, 0, false, "a");
    relay_host_publish(&host, 0, "a", "x", NULL);
    relay_host_run(&host);
    reads(0, "");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTERESTS), 0);
}

Test(relay_router, answer_is_one_record_with_the_message_for_an_interested_publisher)
{
    relay_host_interest(&host, 0, true, "a");
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    reads(0, "interest(a)");
    reads(1, "interest(a)");
    relay_host_publish(&host, 0, "a", "x", "17");
    relay_host_run(&host);
    relay_host_publish(&host, 2, "a", "y", "\"id\"");
    relay_host_publish(&host, 2, "nobody", "z", "3");
    relay_host_run(&host);
    reads(0, "message(a,#1,answer=17):x message(a,#2):y");
    reads(1, "message(a,#1):x message(a,#2):y");
    reads(2, "answer(a,#2,answer=\"id\") answer(nobody,#3,answer=3)");
}

Test(relay_router, message_keeps_its_parts_and_loses_what_is_the_relays_to_say)
{
    const struct rc_client_ref excluded[2] = {{.random = 5, .slot = 6, .worker = 1}, {.random = 7}};
    static const char exclude_text[] = "one~x\0two~y";
    static const uint8_t data[] = {0, 1, 2, 255, '\n', 0};
    struct rc_envelope_view view = {
        .head = {.sequence = 99,
                 .epoch = 98,
                 .position = 97,
                 .token = 96,
                 .code = 95,
                 .channel_hash = 94,
                 .time_ns = 123456789,
                 .origin = {.random = 1, .slot = 2, .worker = 0},
                 .flags = RC_ENVELOPE_BINARY | RC_ENVELOPE_NO_ECHO | RC_ENVELOPE_REMOTE | RC_ENVELOPE_ANSWER,
                 .exclude_count = 2,
                 .exclude_text_bytes = sizeof(exclude_text),
                 .data_bytes = sizeof(data),
                 .channel_bytes = 3,
                 .request_id_bytes = 2},
        .channel = "a:b",
        .request_id = (const uint8_t *)"12",
        .excludes = (const uint8_t *)excluded,
        .exclude_text = exclude_text,
        .data = data};
    relay_host_interest(&host, 2, true, "a:b");
    relay_host_run(&host);
    reads(2, "interest(a:b)");
    relay_host_up(&host, 0, RC_UP_PUBLISH, &view);
    relay_host_run(&host);
    uint32_t type;
    struct rc_envelope_view got;
    cr_assert(relay_host_down(&host, 2, &type, &got));
    cr_assert_eq(type, RC_DOWN_MESSAGE);
    cr_assert_eq(got.head.sequence, 1);
    cr_assert_eq(got.head.epoch, 0);
    cr_assert_eq(got.head.position, 0);
    cr_assert_eq(got.head.token, 0);
    cr_assert_eq(got.head.code, 0);
    cr_assert_eq(got.head.time_ns, 123456789);
    cr_assert_eq(got.head.channel_hash, rc_channel_hash("a:b", 3));
    cr_assert_eq(got.head.generation, host.workers[2].generation);
    cr_assert_eq(got.head.flags, RC_ENVELOPE_BINARY | RC_ENVELOPE_NO_ECHO);
    cr_assert_eq(got.head.request_id_bytes, 0);
    cr_assert_eq(got.head.origin.random, 1);
    cr_assert_eq(memcmp(got.channel, "a:b", 3), 0);
    cr_assert_eq(rc_envelope_exclude(&got, 0).slot, 6);
    cr_assert_eq(rc_envelope_exclude(&got, 1).random, 7);
    cr_assert_eq(memcmp(got.exclude_text, exclude_text, sizeof(exclude_text)), 0);
    cr_assert_eq(got.head.data_bytes, sizeof(data));
    cr_assert_eq(memcmp(got.data, data, sizeof(data)), 0);
}

Test(relay_router, everybody_is_every_live_worker)
{
    relay_host_kill_worker(&host, 1);
    relay_host_publish(&host, 0, "*", "x", "1");
    relay_host_run(&host);
    reads(0, "message(*,#1,answer=1):x");
    reads(1, "");
    reads(2, "message(*,#1):x");
}

Test(relay_router, direct_goes_to_its_worker_and_is_answered)
{
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 8, .worker = 2}, "x", "1");
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 8, .worker = 0}, "y", "2");
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 8, .worker = 2}, "z", NULL);
    relay_host_run(&host);
    reads(0, "answer(,#1,answer=1) direct(,#2,answer=2):y");
    reads(2, "direct(,#1):x direct(,#3):z");
    reads(1, "");
}

Test(relay_router, direct_to_nobody_is_answered_404)
{
    relay_host_kill_worker(&host, 1);
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 8, .worker = 3}, "x", "1");
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 8, .worker = UINT16_MAX}, "x", "2");
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 8, .worker = 1}, "x", "3");
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 0, .worker = 2}, "x", "4");
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 8, .worker = 3}, "x", NULL);
    relay_host_run(&host);
    reads(0, "answer(,#1,answer=1,code=404) answer(,#2,answer=2,code=404) answer(,#3,answer=3,code=404) "
             "answer(,#4,answer=4,code=404)");
    reads(1, "");
    reads(2, "");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_UNROUTED), 5);
}

static uint16_t barrier_code(uint32_t worker)
{
    struct rc_envelope_view view;
    uint32_t type = 0;
    while (relay_host_down_fresh(&host, worker, &type, &view) && type != RC_DOWN_BARRIER) {}
    cr_assert_eq(type, RC_DOWN_BARRIER, "worker %u", worker);
    return view.head.code;
}

/* A worker that does not read would let the other one wait. */
Test(relay_router, clients_move_only_between_workers_that_are_not_behind)
{
    const struct rc_client_ref client = {.random = 8, .slot = 1, .worker = 0};
    struct rc_envelope_view up = {.head = {.token = 5, .target = {.worker = 1}, .data_bytes = sizeof(client)},
                                  .data = (const uint8_t *)&client};
    cr_assert(relay_host_up(&host, 0, RC_UP_BARRIER, &up));
    relay_host_run(&host);
    cr_assert_eq(barrier_code(0), 0);
    cr_assert_eq(barrier_code(1), 0);
    cr_assert_eq(rc_guests_place(&host.router.fanout.guests, &client), 1);
    relay_host_interest(&host, 1, true, "a");
    for (int i = 0; i < 1000 && rc_port_overflow_used(&host.ports[1]) == 0; i++) {
        relay_host_publish(&host, 2, "a", "some data", NULL);
        relay_host_run(&host);
    }
    cr_assert_gt(rc_port_overflow_used(&host.ports[1]), 0);
    cr_assert(relay_host_up(&host, 0, RC_UP_BARRIER, &up));
    relay_host_run(&host);
    cr_assert_eq(barrier_code(0), 503);
}

/* Which workers get a message for the room of a socket, as bits. */
static uint32_t select_reaches(const struct rc_client_ref *socket)
{
    char sid[RC_SID_BYTES];
    char names[RC_EXCLUDE_TEXT_MAX];
    struct rc_select select = {.text = names};
    uint32_t reached = 0;
    rc_sid_write(sid, "abcde", socket);
    rc_select_put(&select, RC_SPAN("/"), rc_span_of(sid, sizeof(sid)));
    rc_select_except(&select);
    struct rc_envelope_view up = {
        .head = {.channel_bytes = 2, .channel_hash = rc_channel_hash("/#", 2), .exclude_text_bytes = select.bytes},
        .channel = "/#",
        .exclude_text = names};
    cr_assert(relay_host_up(&host, 2, RC_UP_SELECT, &up));
    relay_host_run(&host);
    for (uint32_t worker = 0; worker < 3; worker++) {
        struct rc_envelope_view view;
        uint32_t type;
        while (relay_host_down_fresh(&host, worker, &type, &view)) {
            reached |= type == RC_DOWN_SELECT ? 1u << worker : 0u;
        }
    }
    return reached;
}

/* --- sockets that may come back --- */

static struct rc_recovery recovery;

/* The router keeps what is for the socket, which is at a worker. */
static void recovers(void *memory, const struct rc_client_ref *socket, uint32_t worker)
{
    host_recovers(&recovery, memory, socket, worker, RC_SPAN(""));
    host.router.setup.recovery = &recovery;
}

/* Which workers get a message for it, as bits, and with which flags. */
static uint32_t direct_reaches(const struct rc_client_ref *socket, uint16_t flags, uint16_t *got)
{
    struct rc_envelope_view up = {
        .head = {.target = *socket, .flags = flags, .channel_bytes = 2, .event_bytes = 1, .data_bytes = 1},
        .channel = "/#",
        .event = "e",
        .data = (const uint8_t *)"1"};
    uint32_t reached = 0;
    cr_assert(relay_host_up(&host, 2, RC_UP_DIRECT, &up));
    relay_host_run(&host);
    for (uint32_t worker = 0; worker < 3; worker++) {
        struct rc_envelope_view view;
        uint32_t type;
        while (relay_host_down_fresh(&host, worker, &type, &view)) {
            if (type == RC_DOWN_DIRECT) {
                reached |= 1u << worker;
                *got = view.head.flags;
            }
        }
    }
    return reached;
}

/* Not only when that worker tells of it. */
Test(relay_router, what_is_for_a_socket_follows_its_client_to_and_from_another_worker)
{
    const struct rc_client_ref socket = {.random = 8, .slot = 1, .worker = 0};
    void *memory = calloc(1, HOST_RECOVERY_BYTES);
    uint16_t flags = 0;
    recovers(memory, &socket, 0);
    cr_assert_eq(direct_reaches(&socket, 0, &flags), 1);
    for (uint32_t from = 0; from < 2; from++) {
        struct rc_envelope_view up = {
            .head = {.token = 5, .target = {.worker = (uint16_t)(1 - from)}, .data_bytes = sizeof(socket)},
            .data = (const uint8_t *)&socket};
        cr_assert(relay_host_up(&host, from, RC_UP_BARRIER, &up));
        relay_host_run(&host);
        cr_assert_eq(barrier_code(0), 0);
        cr_assert_eq(barrier_code(1), 0);
        cr_assert_eq(direct_reaches(&socket, 0, &flags), 1u << (1 - from));
    }
    struct rc_envelope_view here = {.head = {.origin = socket}}; /* it stayed */
    cr_assert(relay_host_up(&host, 1, RC_UP_GUEST, &here));
    relay_host_run(&host);
    cr_assert_eq(direct_reaches(&socket, 0, &flags), 2);
    host.router.setup.recovery = NULL;
    rc_recovery_close(&recovery);
    free(memory);
}

Test(relay_router, what_was_sent_back_is_not_kept_again)
{
    const struct rc_client_ref socket = {.random = 8, .slot = 1, .worker = 0};
    void *memory = calloc(1, HOST_RECOVERY_BYTES);
    uint16_t flags = 0;
    recovers(memory, &socket, 0);
    const uint64_t before = recovery.log.head;
    cr_assert_eq(direct_reaches(&socket, 0, &flags), 1);
    const uint64_t kept = recovery.log.head;
    cr_assert(kept > before && (flags & RC_ENVELOPE_STRAY) == 0);
    cr_assert_eq(direct_reaches(&socket, RC_ENVELOPE_STRAY, &flags), 1);
    cr_assert(recovery.log.head == kept && (flags & RC_ENVELOPE_STRAY) != 0, "and whoever gets it knows");
    host.router.setup.recovery = NULL;
    rc_recovery_close(&recovery);
    free(memory);
}

/* Its id names another host, and a worker that this one does not have. */
Test(relay_router, what_is_for_a_lost_socket_from_elsewhere_is_kept_once)
{
    const struct rc_client_ref socket = {.random = 8, .slot = 1, .worker = 6};
    struct rc_remote *remote = calloc(1, sizeof(*remote));
    void *memory = calloc(1, HOST_RECOVERY_BYTES);
    char sid[RC_SID_BYTES];
    recovers(memory, &socket, 1);
    rc_recovery_worker_gone(&recovery, 1, 2, 1);
    rc_sid_write(sid, "abcde", &socket);
    remote->router = &host.router;
    remote->config = &host.configs->copies[0];
    memcpy(remote->registry.instances[0].sids, "abcde", 5);
    remote->registry.instance_count = 1;
    const struct rc_envelope_view view = {.head = {.channel_bytes = RC_SID_BYTES, .event_bytes = 1, .data_bytes = 1},
                                          .channel = sid,
                                          .event = "e",
                                          .data = (const uint8_t *)"1"};
    const uint64_t before = recovery.log.head;
    rc_remote_ops.publish(remote, &view);
    cr_assert_gt(recovery.log.head, before);
    rc_recovery_close(&recovery);
    host.router.setup.recovery = NULL;
    free(memory);
    free(remote);
}

/* It may stay where it is after all, and is there then. */
Test(relay_router, a_message_for_the_room_of_a_socket_that_moves_is_for_whoever_has_it)
{
    const struct rc_client_ref socket = {.random = 8, .slot = 1, .worker = 0};
    struct rc_envelope_view up = {.head = {.token = 5, .target = {.worker = 1}, .data_bytes = sizeof(socket)},
                                  .data = (const uint8_t *)&socket};
    cr_assert_eq(select_reaches(&socket), 1);
    cr_assert(relay_host_up(&host, 0, RC_UP_BARRIER, &up));
    relay_host_run(&host);
    cr_assert_eq(barrier_code(0), 0);
    cr_assert_eq(barrier_code(1), 0);
    cr_assert_eq(select_reaches(&socket), 7);
}

Test(relay_router, all_workers_see_one_order)
{
    char channel[8], data[32], text[3][65536];
    unsigned seed = 1;
    for (uint32_t w = 0; w < 3; w++) {
        relay_host_interest(&host, w, true, "a");
        relay_host_interest(&host, w, true, "b");
    }
    relay_host_run(&host);
    for (uint32_t w = 0; w < 3; w++) {
        reads(w, "interest(a) interest(b)");
    }
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 30; i++) {
            const uint32_t w = (uint32_t)rand_r(&seed) % 3;
            (void)snprintf(channel, sizeof(channel), "%c", 'a' + rand_r(&seed) % 2);
            (void)snprintf(data, sizeof(data), "%u-%d-%d", w, round, i);
            cr_assert(relay_host_publish(&host, w, channel, data, NULL));
        }
        relay_host_run(&host);
        for (uint32_t w = 0; w < 3; w++) {
            (void)snprintf(text[w], sizeof(text[w]), "%s", relay_host_read(&host, w));
        }
        cr_assert_str_eq(text[0], text[1]);
        cr_assert_str_eq(text[0], text[2]);
    }
    cr_assert_eq(host.workers[0].last_sequence, 600);
}

Test(relay_router, refused_interest_says_so)
{
    rc_router_set_interest_max(&host.router, 1);
    relay_host_interest(&host, 0, true, "a");
    relay_host_interest(&host, 1, true, "a");
    relay_host_interest(&host, 0, true, "a");
    relay_host_run(&host);
    reads(0, "interest(a) interest(a)");
    reads(1, "interest(a,code=503)");
}

Test(relay_router, invalid_records_are_counted_and_skipped)
{
    struct rc_ring *up = &host.workers[0].up;
    memset(rc_ring_claim(up, RC_UP_PUBLISH, 10), 1, 10);
    rc_ring_commit(up, 10);
    memset(rc_ring_claim(up, RC_UP_PUBLISH, 200), 255, 200);
    rc_ring_commit(up, 200);
    relay_host_publish(&host, 0, "", "no channel", "1");
    struct rc_envelope_view view = {.head = {.channel_bytes = 1}, .channel = "a"};
    relay_host_up(&host, 0, RC_DOWN_MESSAGE, &view);
    relay_host_up(&host, 0, 77, &view);
    relay_host_publish(&host, 0, "a", "good", "2");
    relay_host_run(&host);
    reads(0, "answer(a,#1,answer=2)");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_RING_CORRUPT), 5);
}

Test(relay_router, corrupt_ring_is_abandoned_until_the_worker_restarts)
{
    struct rc_port *port = host.workers[0].port;
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    reads(1, "interest(a)");
    atomic_store(&port->pairs[host.workers[0].generation & 1].up.tail, UINT64_C(1) << 40);
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_RING_CORRUPT), 1);
    relay_host_publish(&host, 2, "a", "others go on", "1");
    relay_host_run(&host);
    reads(1, "message(a,#1):others go on");
    reads(2, "answer(a,#1,answer=1)");
    relay_host_kill_worker(&host, 0);
    relay_host_start_worker(&host, 0);
    relay_host_publish(&host, 0, "a", "again", "2");
    relay_host_run(&host);
    reads(0, "answer(a,#2,answer=2)");
    reads(1, "message(a,#2):again");
    /* The generation after next gets the broken pair again: it must be of use by then. */
    relay_host_kill_worker(&host, 0);
    relay_host_start_worker(&host, 0);
    relay_host_publish(&host, 0, "a", "and again", "3");
    relay_host_run(&host);
    reads(0, "answer(a,#3,answer=3)");
    reads(1, "message(a,#3):and again");
}

static void remote_publish(void *context, const struct rc_envelope_view *view)
{
    char *text = context;
    (void)snprintf(text + strlen(text), 256, "publish(%.*s,#%d) ", view->head.channel_bytes, view->channel,
                   (int)view->head.sequence);
}

static bool remote_direct(void *context, const struct rc_envelope_view *view)
{
    char *text = context;
    (void)snprintf(text + strlen(text), 256, "direct(#%d) ", (int)view->head.sequence);
    return view->head.data_bytes > 1;
}

static bool remote_add(void *context, const struct rc_interest_request *request, bool first)
{
    char *text = context;
    cr_assert_eq(request->hash, rc_channel_hash(request->name, request->name_bytes));
    (void)snprintf(text + strlen(text), 256, "add(%.*s,%u%s) ", (int)request->name_bytes, request->name,
                   request->worker, first ? ",first" : "");
    return first;
}

static void remote_remove(void *context, uint64_t hash, const char *name, uint32_t name_bytes)
{
    char *text = context;
    cr_assert_eq(hash, rc_channel_hash(name, name_bytes));
    (void)snprintf(text + strlen(text), 256, "remove(%.*s) ", (int)name_bytes, name);
}

Test(relay_router, remote_hears_of_everything_and_may_answer_later)
{
    static const struct rc_remote_ops ops = {.publish = remote_publish,
                                             .direct = remote_direct,
                                             .interest_add = remote_add,
                                             .interest_remove = remote_remove};
    char text[4096] = "";
    host.router.setup.remote.ops = &ops;
    host.router.setup.remote.context = text;
    relay_host_interest(&host, 0, true, "a");
    relay_host_interest(&host, 1, true, "a");
    relay_host_publish(&host, 2, "a", "x", NULL);
    relay_host_run(&host);
    reads(0, "message(a,#1):x");
    reads(1, "interest(a) message(a,#1):x");
    const struct rc_interest_request request = {
        .worker = 0, .token = 5, .hash = rc_channel_hash("a", 1), .name = "a", .name_bytes = 1};
    rc_router_interest_done(&host.router, &request, RC_ENVELOPE_SCOPE_LOCAL, 0);
    uint32_t type;
    struct rc_envelope_view view;
    cr_assert(relay_host_down(&host, 0, &type, &view));
    cr_assert_eq(type, RC_DOWN_INTEREST);
    cr_assert_eq(view.head.flags, RC_ENVELOPE_SCOPE_LOCAL);
    cr_assert_eq(view.head.token, 5);
    relay_host_direct(&host, 0, (struct rc_client_ref){0}, "xx", "1");
    relay_host_direct(&host, 0, (struct rc_client_ref){0}, "x", "2");
    relay_host_interest(&host, 0, false, "a");
    relay_host_run(&host);
    relay_host_kill_worker(&host, 1);
    relay_host_start_worker(&host, 1);
    relay_host_run(&host);
    reads(0, "answer(,#2,answer=1) answer(,#3,answer=2,code=404)");
    cr_assert_str_eq(text, "add(a,0,first) add(a,1) publish(a,#1) direct(#2) direct(#3) remove(a) ");
}

Test(relay_router, message_from_outside_is_sequenced_and_delivered)
{
    struct rc_envelope_view view = {.head = {.channel_bytes = 1,
                                             .data_bytes = 1,
                                             .flags = RC_ENVELOPE_REMOTE,
                                             .target = {.random = 1, .worker = 2}},
                                    .channel = "a",
                                    .data = (const uint8_t *)"x"};
    cr_assert(!rc_router_deliver(&host.router, RC_DOWN_MESSAGE, &view));
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    cr_assert(rc_router_deliver(&host.router, RC_DOWN_MESSAGE, &view));
    view.head.channel_bytes = 0;
    cr_assert(rc_router_deliver(&host.router, RC_DOWN_DIRECT, &view));
    view.head.target.worker = 3;
    cr_assert(!rc_router_deliver(&host.router, RC_DOWN_DIRECT, &view));
    reads(1, "interest(a) message(a,#2):x");
    uint32_t type;
    cr_assert(relay_host_down(&host, 2, &type, &view));
    cr_assert_eq(type, RC_DOWN_DIRECT);
    cr_assert_eq(view.head.flags, RC_ENVELOPE_REMOTE);
    cr_assert_eq(view.head.sequence, 3);
}

Test(relay_router, gap_from_outside_goes_to_those_who_are_concerned)
{
    relay_host_interest(&host, 0, true, "a");
    relay_host_interest(&host, 1, true, "b");
    relay_host_run(&host);
    reads(0, "interest(a)");
    reads(1, "interest(b)");
    rc_router_gap(&host.router, "a", 1);
    rc_router_gap(&host.router, "nobody's", 8);
    reads(0, "gap(a)");
    reads(1, "");
    reads(2, "");
    rc_router_gap(&host.router, NULL, 0);
    for (uint32_t i = 0; i < 3; i++) {
        reads(i, "gap()");
    }
}

Test(relay_router, drained_only_when_nothing_is_left)
{
    cr_assert(rc_router_drained(&host.router));
    relay_host_publish(&host, 0, "a", "x", NULL);
    cr_assert(!rc_router_drained(&host.router));
    cr_assert(rc_router_pending(&host.router));
    relay_host_run(&host);
    cr_assert(rc_router_drained(&host.router));
    cr_assert(!rc_router_pending(&host.router));
}

Test(relay_router, sleeping_worker_is_rung_once_a_batch)
{
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    for (int i = 0; i < 10; i++) {
        relay_host_publish(&host, 0, "a", "x", NULL);
    }
    rc_doorbell_sleep(&host.workers[1].report->process.bell);
    const uint64_t before = relay_host_metric(&host, RC_METRIC_WAKES_SENT);
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_WAKES_SENT), before + 1);
    cr_assert(relay_host_rung(&host, 1));
}

Test(relay_router, worker_that_waits_for_room_is_woken)
{
    while (relay_host_publish(&host, 0, "a", "fill the ring", NULL)) {}
    cr_assert(!rc_ring_want_room(&host.workers[0].up, 200));
    rc_doorbell_sleep(&host.workers[0].report->process.bell);
    relay_host_run(&host);
    cr_assert(relay_host_rung(&host, 0));
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_WAKES_SENT), 1);
}

/* One bit has two names (RC_ENVELOPE_STRAY): it is one of a direct message, and of a membership, and of nothing else that goes down. */
Test(relay_router, a_bit_of_two_names_stays_with_the_records_that_have_it)
{
    struct rc_envelope_view view = {.head = {.channel_bytes = 1, .data_bytes = 1, .flags = RC_ENVELOPE_STRAY},
                                    .channel = "a",
                                    .data = (const uint8_t *)"1"};
    uint32_t type;
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    cr_assert(relay_host_up(&host, 0, RC_UP_PUBLISH, &view));
    relay_host_run(&host);
    cr_assert(relay_host_down(&host, 1, &type, &view) && type == RC_DOWN_INTEREST);
    cr_assert(relay_host_down(&host, 1, &type, &view) && type == RC_DOWN_MESSAGE);
    cr_assert_eq(view.head.flags & (RC_ENVELOPE_STRAY | RC_ENVELOPE_PRESENCE), 0);
}
