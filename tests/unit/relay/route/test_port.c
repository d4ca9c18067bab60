/* One worker's rings: full rings, overflow, gaps, back-pressure, generations. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "tests/support/relay_host.h"

#define RING_BYTES 16384u
#define OVERFLOW_BYTES 16384u

static struct relay_host host;

/* Worker 0 publishes, worker 1 wants a and b and does not read. */
static void open_two(void)
{
    relay_host_open(&host, 2, RING_BYTES, OVERFLOW_BYTES);
    relay_host_start_worker(&host, 0);
    relay_host_start_worker(&host, 1);
    relay_host_start_relay(&host);
    relay_host_interest(&host, 1, true, "a");
    relay_host_interest(&host, 1, true, "b");
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 1), "interest(a) interest(b)");
}

static void close_host(void)
{
    relay_host_close(&host);
}

TestSuite(relay_port, .init = open_two, .fini = close_host);

static void publish_numbered(const char *channel, int from, int to, const char *id)
{
    char data[160];
    for (int i = from; i < to; i++) {
        memset(data, '.', sizeof(data));
        (void)snprintf(data, sizeof(data), "%d", i);
        data[strlen(data)] = ' ';
        data[sizeof(data) - 1] = '\0';
        cr_assert(relay_host_publish(&host, 0, channel, data, id));
        relay_host_run(&host);
    }
}

/* What is digits here ends where it ends: behind it in the record may be digits too. */
static int number_of(const void *bytes, uint32_t count)
{
    char text[32];
    count = count < sizeof(text) ? count : sizeof(text) - 1;
    memcpy(text, bytes, count);
    text[count] = '\0';
    return atoi(text);
}

/* Reads all that waits, running the relay as the ring empties. Counts messages; *gaps counts gap records; checks the order. */
static int drain(uint32_t worker, int *gaps)
{
    uint32_t type;
    struct rc_envelope_view view;
    int messages = 0;
    int last = -1;
    *gaps = 0;
    for (;;) {
        if (!relay_host_down_fresh(&host, worker, &type, &view)) {
            relay_host_done(&host, worker);
            relay_host_run(&host);
            if (!relay_host_down_fresh(&host, worker, &type, &view)) {
                relay_host_done(&host, worker);
                return messages;
            }
        }
        if (type == RC_DOWN_GAP) {
            (*gaps)++;
        } else if (type == RC_DOWN_MESSAGE) {
            const int number = number_of(view.data, view.head.data_bytes);
            cr_assert_gt(number, last);
            cr_assert(*gaps > 0 || number == last + 1, "hole before %d without a gap", number);
            last = number;
            messages++;
        }
    }
}

static bool gap_pending(uint32_t worker)
{
    const bool pending = atomic_load(&host.keep->gap_pending[worker]) != 0;
    cr_assert_eq(pending, atomic_load(&host.relay->verdicts[worker].behind) != 0);
    return pending;
}

Test(relay_port, full_ring_goes_through_overflow_in_order)
{
    int gaps;
    publish_numbered("a", 0, 100, NULL);
    cr_assert_gt(relay_host_metric(&host, RC_METRIC_OVERFLOWED), 20);
    cr_assert_gt(relay_host_metric(&host, RC_METRIC_OVERFLOW_BYTES), 0);
    cr_assert(!gap_pending(1));
    cr_assert_eq(drain(1, &gaps), 100);
    cr_assert_eq(gaps, 0);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_OVERFLOW_BYTES), 0);
    publish_numbered("a", 0, 10, NULL);
    cr_assert_eq(drain(1, &gaps), 10);
}

Test(relay_port, a_successor_knows_what_its_worker_was_sent)
{
    publish_numbered("a", 0, 3, NULL);
    cr_assert_eq(host.ports[1].sent, 3);
    cr_assert_eq(host.ports[0].sent, 0);
    relay_host_start_relay(&host);
    cr_assert_eq(host.ports[1].sent, 3);
    cr_assert_eq(host.ports[0].sent, 0);
    relay_host_kill_worker(&host, 1);
    relay_host_start_worker(&host, 1);
    relay_host_run(&host);
    relay_host_start_relay(&host);
    cr_assert_eq(host.ports[1].sent, 0, "another one was sent nothing");
}

/* A relay that dies between the two leaves a number that is too high, never one that is too low: of what had no room it is, too. */
Test(relay_port, what_a_worker_is_sent_is_noted_before_it_is_there)
{
    publish_numbered("a", 0, 200, NULL);
    const uint64_t dropped = relay_host_metric(&host, RC_METRIC_DOWN_DROPPED);
    cr_assert_gt(dropped, 50);
    cr_expect_eq(host.ports[1].sent, 200 - dropped + 1, "the first that had no room; those behind it were not tried");
}

Test(relay_port, full_overflow_drops_the_newest_and_tells_one_gap_before_the_next)
{
    int gaps;
    publish_numbered("a", 0, 200, NULL);
    cr_assert(gap_pending(1));
    const uint64_t dropped = relay_host_metric(&host, RC_METRIC_DOWN_DROPPED);
    cr_assert_gt(dropped, 50);
    const int kept = drain(1, &gaps);
    cr_assert_eq((uint64_t)kept + dropped, 200);
    cr_assert_eq(gaps, 1);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_DOWN_GAPS), 1);
    cr_assert(!gap_pending(1));
    publish_numbered("a", 300, 301, NULL);
    cr_assert_str_eq(strtok((char *)(uintptr_t)relay_host_read(&host, 1), " "), "message(a,#201):300");
}

Test(relay_port, gap_comes_before_any_later_message_of_its_channel)
{
    uint32_t type;
    struct rc_envelope_view view;
    int number = 0;
    unsigned seed = 3;
    bool gap_due[2] = {false, false};
    int last[2] = {-1, -1}, expected[2] = {0, 0}, sent[2] = {0, 0}, seen = 0;
    for (int step = 0; step < 20000; step++) {
        if (rand_r(&seed) % 100 < 55) {
            const int c = rand_r(&seed) % 2;
            char data[300];
            memset(data, 'x', sizeof(data));
            data[32 + rand_r(&seed) % 260] = '\0';
            data[snprintf(data, 16, "%d", sent[c]++)] = ' ';
            cr_assert(relay_host_publish(&host, 0, c == 0 ? "a" : "b", data, NULL));
            number++;
        } else if (relay_host_down_fresh(&host, 1, &type, &view)) {
            const int c = view.head.channel_bytes > 0 && view.channel[0] == 'b';
            if (type == RC_DOWN_GAP) {
                gap_due[c] = true;
            } else {
                const int got = number_of(view.data, view.head.data_bytes);
                cr_assert_gt(got, last[c]);
                cr_assert(got == expected[c] || gap_due[c], "channel %d: %d instead of %d without a gap", c, got,
                          expected[c]);
                gap_due[c] = false;
                last[c] = got;
                expected[c] = got + 1;
                seen++;
            }
        }
        if (rand_r(&seed) % 4 == 0) {
            relay_host_run(&host);
        }
        if (step % 5000 == 4999) {
            relay_host_done(&host, 1);
            relay_host_run(&host);
            while (relay_host_down_fresh(&host, 1, &type, &view) ||
                   (relay_host_done(&host, 1), relay_host_run(&host), relay_host_down_fresh(&host, 1, &type, &view))) {
                const int c = view.channel[0] == 'b';
                if (type == RC_DOWN_GAP) {
                    gap_due[c] = true;
                } else {
                    const int got = number_of(view.data, view.head.data_bytes);
                    cr_assert(got == expected[c] || gap_due[c]);
                    gap_due[c] = false;
                    last[c] = got;
                    expected[c] = got + 1;
                    seen++;
                }
            }
            cr_assert(!gap_pending(1));
            for (int c = 0; c < 2; c++) {
                cr_assert(expected[c] == sent[c] || gap_due[c], "the end of channel %d is missing without a gap", c);
            }
        }
    }
    cr_assert_gt(relay_host_metric(&host, RC_METRIC_DOWN_GAPS), 10);
    cr_assert_eq((uint64_t)seen + relay_host_metric(&host, RC_METRIC_DOWN_DROPPED), (uint64_t)number);
}

Test(relay_port, other_channels_go_on_while_one_waits_for_its_gap)
{
    const struct rc_gap_set *set = &host.ports[1].gaps;
    publish_numbered("a", 0, 200, NULL);
    cr_assert(rc_gap_set_covers(set, rc_channel_hash("a", 1), "a", 1));
    cr_assert(!rc_gap_set_covers(set, rc_channel_hash("b", 1), "b", 1));
    /* Some room, but not yet half of it: what the gap withholds stays withheld, the rest passes. */
    uint32_t type;
    struct rc_envelope_view view;
    for (int i = 0; i < 15; i++) {
        cr_assert(relay_host_down_fresh(&host, 1, &type, &view));
    }
    relay_host_done(&host, 1);
    relay_host_run(&host);
    cr_assert(rc_port_stalled(&host.ports[1]));
    const uint64_t dropped = relay_host_metric(&host, RC_METRIC_DOWN_DROPPED);
    relay_host_publish(&host, 0, "a", "s", NULL);
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_DOWN_DROPPED), dropped + 1);
    relay_host_publish(&host, 0, "b", "s", NULL);
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_DOWN_DROPPED), dropped + 1);
    int gaps = 0;
    int others = 0;
    while (relay_host_down_fresh(&host, 1, &type, &view) ||
           (relay_host_done(&host, 1), relay_host_run(&host), relay_host_down_fresh(&host, 1, &type, &view))) {
        gaps += type == RC_DOWN_GAP && view.head.channel_bytes == 1 && view.channel[0] == 'a';
        others += view.head.channel_bytes == 1 && view.channel[0] == 'b';
    }
    cr_assert_eq(gaps, 1);
    cr_assert_eq(others, 1);
}

Test(relay_port, too_many_channels_become_one_gap_for_all)
{
    char channel[16];
    uint32_t type;
    struct rc_envelope_view view;
    for (int i = 0; i < 400; i++) {
        (void)snprintf(channel, sizeof(channel), "c%d", i);
        relay_host_interest(&host, 1, true, channel);
        relay_host_run(&host);
        (void)relay_host_read(&host, 1);
    }
    publish_numbered("a", 0, 200, NULL);
    for (int i = 0; i < 400; i++) {
        (void)snprintf(channel, sizeof(channel), "c%d", i);
        publish_numbered(channel, i, i + 1, NULL);
    }
    cr_assert(host.ports[1].gaps.all);
    int gaps = 0;
    while (relay_host_down_fresh(&host, 1, &type, &view) ||
           (relay_host_done(&host, 1), relay_host_run(&host), relay_host_down_fresh(&host, 1, &type, &view))) {
        if (type == RC_DOWN_GAP) {
            gaps++;
            cr_assert_eq(view.head.channel_bytes, 0);
        }
    }
    cr_assert_eq(gaps, 1);
    cr_assert(!gap_pending(1));
}

Test(relay_port, gap_of_missed_messages_waits_for_room_and_comes_once)
{
    uint32_t type;
    struct rc_envelope_view view;
    for (int i = 0; !rc_port_stalled(&host.ports[1]); i++) {
        publish_numbered("a", i, i + 1, NULL);
    }
    cr_assert(!gap_pending(1));
    rc_port_gap(&host.ports[1], 0, NULL, 0, (struct rc_gap_behind){0});
    rc_port_gap(&host.ports[1], 0, NULL, 0, (struct rc_gap_behind){0});
    rc_port_gap(&host.ports[1], rc_channel_hash("a", 1), "a", 1, (struct rc_gap_behind){0});
    cr_assert(gap_pending(1));
    int gaps = 0;
    bool last = false;
    while (relay_host_down_fresh(&host, 1, &type, &view) ||
           (relay_host_done(&host, 1), relay_host_run(&host), relay_host_down_fresh(&host, 1, &type, &view))) {
        last = type == RC_DOWN_GAP && view.head.channel_bytes == 0;
        gaps += type == RC_DOWN_GAP;
    }
    cr_assert(last, "behind what was there before");
    cr_assert_eq(gaps, 1);
    cr_assert(!gap_pending(1));
}

Test(relay_port, dropped_direct_is_a_gap_without_channel)
{
    uint32_t type;
    struct rc_envelope_view view;
    int gaps = 0;
    publish_numbered("a", 0, 100, NULL);
    for (int i = 0; i < 200; i++) {
        relay_host_direct(&host, 0, (struct rc_client_ref){.random = 1, .worker = 1}, "d", NULL);
        relay_host_run(&host);
    }
    cr_assert(gap_pending(1));
    while (relay_host_down_fresh(&host, 1, &type, &view) ||
           (relay_host_done(&host, 1), relay_host_run(&host), relay_host_down_fresh(&host, 1, &type, &view))) {
        gaps += type == RC_DOWN_GAP && view.head.channel_bytes == 0;
    }
    cr_assert_eq(gaps, 1);
}

Test(relay_port, answers_are_never_dropped_and_the_asker_is_held_back)
{
    uint32_t type;
    struct rc_envelope_view view;
    char id[16];
    int asked = 0, answered = 0, held = 0;
    for (int step = 0; step < 5000; step++) {
        (void)snprintf(id, sizeof(id), "%d", asked);
        if (relay_host_publish(&host, 1, step % 3 == 0 ? "a" : "nobody", "some data", id)) {
            asked++;
        } else {
            held++;
        }
        /* Others press into the same worker. */
        (void)relay_host_publish(&host, 0, "b", "some data from the other worker", NULL);
        relay_host_run(&host);
        for (int i = 0; step > 3000 && i < 3 && relay_host_down_fresh(&host, 1, &type, &view); i++) {
            if ((view.head.flags & RC_ENVELOPE_ANSWER) != 0) {
                cr_assert_eq(number_of(view.request_id, view.head.request_id_bytes), answered);
                answered++;
            }
        }
    }
    cr_assert_gt(held, 100);
    while (relay_host_down_fresh(&host, 1, &type, &view) ||
           (relay_host_done(&host, 1), relay_host_run(&host), relay_host_down_fresh(&host, 1, &type, &view))) {
        if ((view.head.flags & RC_ENVELOPE_ANSWER) != 0) {
            cr_assert_eq(number_of(view.request_id, view.head.request_id_bytes), answered);
            answered++;
        }
    }
    cr_assert_eq(answered, asked);
    cr_assert_gt(relay_host_metric(&host, RC_METRIC_DOWN_DROPPED), 0);
}

Test(relay_port, stuck_worker_does_not_hold_up_others)
{
    relay_host_interest(&host, 0, true, "a");
    relay_host_run(&host);
    (void)relay_host_read(&host, 0);
    int got = 0;
    for (int i = 0; i < 1000; i++) {
        (void)relay_host_publish(&host, 1, "a", "the stuck one publishes too", NULL);
        cr_assert(relay_host_publish(&host, 0, "a", "x", NULL));
        relay_host_run(&host);
        uint32_t type;
        struct rc_envelope_view view;
        while (relay_host_down_fresh(&host, 0, &type, &view)) {
            got += view.head.data_bytes == 1;
        }
        relay_host_done(&host, 0);
    }
    cr_assert_eq(got, 1000);
    cr_assert(rc_port_stalled(&host.ports[1]));
    cr_assert(!rc_router_pending(&host.router), "a relay that waits for a stuck worker sleeps");
}

Test(relay_port, room_again_is_noticed_by_the_sleeping_relay)
{
    uint32_t type;
    struct rc_envelope_view view;
    publish_numbered("a", 0, 100, NULL);
    rc_doorbell_sleep(&host.relay->report.process.bell);
    cr_assert(!rc_router_pending(&host.router));
    int read = 0;
    while (host.relay_rung == 0) {
        cr_assert(relay_host_down_fresh(&host, 1, &type, &view), "everything was read and nobody woke the relay");
        read++;
    }
    cr_assert_gt(read, 10);
    cr_assert(rc_router_pending(&host.router));
}

Test(relay_port, message_larger_than_overflow_is_a_gap_not_an_end)
{
    relay_host_close(&host);
    relay_host_open(&host, 2, 65536, 4096);
    relay_host_start_worker(&host, 0);
    relay_host_start_worker(&host, 1);
    relay_host_start_relay(&host);
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    (void)relay_host_read(&host, 1);
    static char big[20000];
    memset(big, 'b', sizeof(big) - 1);
    for (int i = 0; i < 5; i++) {
        cr_assert(relay_host_publish(&host, 1, "a", big, "1"));
        relay_host_run(&host);
    }
    cr_assert_str_eq(relay_host_read(&host, 1),
                     "message(a,#1,answer=1):bbbbbbbbbbbbbbbb message(a,#2,answer=1):bbbbbbbbbbbbbbbb "
                     "message(a,#3,answer=1):bbbbbbbbbbbbbbbb answer(a,#4,answer=1) gap(a) "
                     "answer(a,#5,answer=1) gap(a)");
}

/* --- generations ----------------------------------------------------------------------------------------------------- */

Test(relay_port, old_up_ring_is_drained_without_interest_and_answers)
{
    relay_host_interest(&host, 0, true, "b");
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 0), "interest(b)");
    relay_host_publish(&host, 0, "a", "last words", "1");
    relay_host_interest(&host, 0, true, "c");
    relay_host_direct(&host, 0, (struct rc_client_ref){.random = 1, .worker = 1}, "farewell", NULL);
    relay_host_kill_worker(&host, 0);
    relay_host_start_worker(&host, 0);
    relay_host_publish(&host, 0, "a", "first words", "2");
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 1),
                     "message(a,#1):last words direct(,#2):farewell message(a,#3):first words");
    cr_assert_str_eq(relay_host_read(&host, 0), "answer(a,#3,answer=2)");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTERESTS), 2, "only what worker 1 wants");
}

Test(relay_port, dead_worker_gets_nothing_and_a_fresh_one_nothing_old)
{
    relay_host_kill_worker(&host, 1);
    relay_host_publish(&host, 0, "a", "to the dead", NULL);
    relay_host_run(&host);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_UNROUTED), 1);
    relay_host_start_worker(&host, 1);
    relay_host_publish(&host, 0, "a", "to the fresh", NULL);
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 1), "");
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    relay_host_publish(&host, 0, "a", "to the subscriber", NULL);
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 1), "interest(a) message(a,#3):to the subscriber");
}

Test(relay_port, pair_is_used_again_with_leftovers_of_two_generations_ago)
{
    publish_numbered("a", 0, 200, NULL); /* down and overflow of pair 1 full, a gap pending */
    cr_assert(gap_pending(1));
    for (int i = 0; i < 3; i++) {
        relay_host_publish(&host, 1, "a", "unread up record", "9");
    }
    relay_host_kill_worker(&host, 1);
    relay_host_bump_worker(&host, 1);
    relay_host_run(&host);
    cr_assert(!gap_pending(1));
    relay_host_kill_worker(&host, 1);
    relay_host_start_worker(&host, 1);
    relay_host_interest(&host, 1, true, "a");
    relay_host_run(&host);
    relay_host_publish(&host, 0, "a", "new", NULL);
    relay_host_run(&host);
    /* relay_host_read skips other generations as a worker does; the relay has room only after they were read. */
    char text[4096] = "";
    for (int i = 0; i < 3; i++) {
        const char *got = relay_host_read(&host, 1);
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
                       got[0] != '\0' && text[0] != '\0' ? " " : "", got);
        relay_host_run(&host);
    }
    cr_assert_str_eq(text, "interest(a) message(a,#204):new");
}

Test(relay_port, two_deaths_between_two_looks_of_the_relay)
{
    relay_host_publish(&host, 0, "a", "of 1", NULL);
    relay_host_kill_worker(&host, 0);
    relay_host_start_worker(&host, 0);
    relay_host_publish(&host, 0, "a", "of 2", NULL);
    relay_host_interest(&host, 0, true, "x");
    relay_host_kill_worker(&host, 0);
    relay_host_start_worker(&host, 0);
    relay_host_interest(&host, 0, true, "b");
    relay_host_publish(&host, 0, "a", "of 3", "1");
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 1), "message(a,#1):of 2 message(a,#2):of 1 message(a,#3):of 3");
    cr_assert_str_eq(relay_host_read(&host, 0), "interest(b) answer(a,#3,answer=1)");
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_INTERESTS), 3);
}

Test(relay_port, worker_started_while_the_relay_drains_is_adopted_first)
{
    /* The relay knows generation 1 and is in the middle of a batch when generation 2 and then 3 write. */
    struct rc_port_record record;
    relay_host_kill_worker(&host, 0);
    relay_host_start_worker(&host, 0);
    cr_assert(rc_port_follow(&host.ports[0]));
    relay_host_kill_worker(&host, 0);
    relay_host_start_worker(&host, 0);
    relay_host_interest(&host, 0, true, "b"); /* generation 3 in the pair of generation 1 */
    host.ports[0].up_pair = 1;                /* which the relay still drains */
    cr_assert_eq(rc_ring_attach_consumer(&host.ports[0].up, &host.workers[0].port->pairs[1].up,
                                         rc_port_data(&host.workers[0].view, 1, RC_PORT_UP), RING_BYTES),
                 0);
    cr_assert_eq(rc_port_next(&host.ports[0], &record), 0);
    cr_assert(rc_port_pending(&host.ports[0]));
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 0), "interest(b)");
}

Test(relay_port, random_bytes_in_the_segment_never_crash_the_relay)
{
    unsigned seed = 99;
    for (int round = 0; round < 300; round++) {
        relay_host_close(&host);
        relay_host_open(&host, 2, 8192, 8192);
        relay_host_start_worker(&host, 0);
        relay_host_start_worker(&host, 1);
        relay_host_start_relay(&host);
        relay_host_interest(&host, 1, true, "a");
        for (int i = 0; i < 20; i++) {
            (void)relay_host_publish(&host, 0, "a", "some data", "1");
        }
        struct rc_port *port = host.workers[round % 2].port;
        const uint64_t headers = offsetof(struct rc_port, pairs) + sizeof(port->pairs);
        const uint64_t from = round % 3 == 0 ? offsetof(struct rc_port, pairs) : RC_PORT_DATA_OFFSET;
        const uint64_t span = round % 3 == 0 ? headers - from : rc_port_bytes(8192, 8192) - from;
        for (int i = 0; i < 50; i++) {
            ((uint8_t *)port)[from + (uint64_t)rand_r(&seed) % span] = (uint8_t)rand_r(&seed);
            if (i % 10 == 0) {
                (void)rc_router_turn(&host.router);
                (void)rc_router_pending(&host.router);
            }
        }
        if (round % 4 == 0) {
            relay_host_bump_worker(&host, (uint32_t)round % 2);
        }
        for (int i = 0; i < 20; i++) {
            (void)rc_router_turn(&host.router);
            (void)rc_router_pending(&host.router);
        }
        relay_host_start_relay(&host);
        (void)rc_router_turn(&host.router);
    }
}

/* --- acknowledgements --- */

static void fill_overflow(void)
{
    publish_numbered("a", 0, 300, NULL);
    cr_assert(rc_port_stalled(&host.ports[1]));
    cr_assert(gap_pending(1));
}

/* As Redis confirms a channel: not when the worker has room. */
static void confirm(uint64_t token, const char *channel)
{
    const struct rc_interest_request request = {.worker = 1,
                                                .token = token,
                                                .hash = rc_channel_hash(channel, strlen(channel)),
                                                .name = channel,
                                                .name_bytes = (uint32_t)strlen(channel)};
    rc_router_interest_done(&host.router, &request, 0, 0);
}

/* Reads everything; how many acknowledgements there were, whose tokens must count up from `token`. */
static uint64_t acknowledged(uint64_t token)
{
    uint64_t count = 0;
    for (bool more = true; more;) {
        uint32_t type;
        struct rc_envelope_view view;
        more = false;
        while (relay_host_down_fresh(&host, 1, &type, &view)) {
            more = true;
            if (type == RC_DOWN_INTEREST) {
                cr_assert_eq(view.head.token, token + count);
                count++;
            }
        }
        relay_host_done(&host, 1);
        relay_host_run(&host);
    }
    return count;
}

Test(relay_port, acknowledgement_that_meets_a_full_overflow_comes_when_there_is_room)
{
    fill_overflow();
    for (uint64_t token = 10; token < 20; token++) {
        confirm(token, "late");
    }
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_ACKNOWLEDGEMENTS_LATE), 10);
    cr_assert_eq(acknowledged(10), 10);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_ACKNOWLEDGEMENTS_DROPPED), 0);
    confirm(20, "late");
    cr_assert_eq(acknowledged(20), 1);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_ACKNOWLEDGEMENTS_LATE), 10);
}

Test(relay_port, acknowledgements_that_wait_are_bounded_and_die_with_their_worker)
{
    enum { COUNT = 20000 };
    for (int round = 0; round < 2; round++) {
        fill_overflow();
        for (uint64_t token = 0; token < COUNT; token++) {
            confirm(token, "late");
        }
        const uint64_t dropped = relay_host_metric(&host, RC_METRIC_ACKNOWLEDGEMENTS_DROPPED);
        cr_assert(dropped > 0 && dropped < COUNT);
        if (round == 0) {
            cr_assert_eq(acknowledged(0), COUNT - dropped);
            atomic_store(&host.control.metrics->values[RC_METRIC_ACKNOWLEDGEMENTS_DROPPED], 0);
        }
    }
    relay_host_kill_worker(&host, 1);
    relay_host_start_worker(&host, 1);
    relay_host_run(&host);
    cr_assert_eq(acknowledged(0), 0);
}

/* --- what never fits --- */

/* The overflow could hold what the down ring cannot take: nothing of that kind may get there, or all behind it waits for ever. */
static void open_small_rings(void)
{
    relay_host_open(&host, 2, RING_BYTES, 8 * OVERFLOW_BYTES);
    relay_host_start_worker(&host, 0);
    relay_host_start_worker(&host, 1);
    relay_host_start_relay(&host);
    relay_host_interest(&host, 1, true, "a");
    relay_host_interest(&host, 1, true, "b");
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 1), "interest(a) interest(b)");
}

TestSuite(relay_port_size, .init = open_small_rings, .fini = close_host);

Test(relay_port_size, record_that_never_fits_is_refused_and_blocks_nobody)
{
    static uint8_t data[RING_BYTES];
    struct rc_envelope_view view = {.data = data};
    const uint64_t most = rc_router_record_max(&host.router, 1);
    cr_assert_eq(rc_router_record_max(&host.router, 2), 0);
    for (uint32_t bytes = (uint32_t)most - 1; bytes <= most + 1; bytes++) {
        view.head.data_bytes = bytes - (uint32_t)sizeof(view.head);
        cr_assert_eq(rc_router_send(&host.router, 1, RC_DOWN_REPLY, &view), bytes <= most ? 0 : -EMSGSIZE);
        uint32_t type;
        struct rc_envelope_view got;
        relay_host_run(&host);
        cr_assert_eq(relay_host_down(&host, 1, &type, &got), bytes <= most);
        relay_host_done(&host, 1);
    }
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_DOWN_TOO_LARGE), 1);
    cr_assert_eq(rc_port_overflow_used(&host.ports[1]), 0);
    cr_assert(relay_host_publish(&host, 0, "a", "on", NULL));
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 1), "message(a,#1):on");
}

/* From Redis, with the excluded clients found out here: larger than it was. */
Test(relay_port_size, message_that_never_fits_is_a_gap)
{
    static uint8_t data[RING_BYTES / 2 - 1024];
    static struct rc_client_ref excludes[64];
    const struct rc_envelope_view view = {
        .head = {.channel_bytes = 1, .data_bytes = sizeof(data), .exclude_count = 64, .flags = RC_ENVELOPE_REMOTE},
        .channel = "a",
        .excludes = (const uint8_t *)excludes,
        .data = data};
    (void)rc_router_deliver(&host.router, RC_DOWN_MESSAGE, &view);
    cr_assert(relay_host_publish(&host, 0, "b", "other", NULL));
    relay_host_run(&host);
    cr_assert(relay_host_publish(&host, 0, "a", "later", NULL));
    relay_host_run(&host);
    cr_assert_str_eq(relay_host_read(&host, 1), "gap(a) message(b,#2):other message(a,#3):later");
    cr_assert_not(gap_pending(1));
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_DOWN_TOO_LARGE), 1);
    cr_assert_eq(relay_host_metric(&host, RC_METRIC_DOWN_DROPPED), 1);
}

Test(relay_port, segment_that_is_none_is_refused)
{
    static struct rc_relay_port port;
    struct rc_err err;
    struct rc_port *shared = host.workers[0].port;
    const uint64_t bytes = host.workers[0].port_bytes;
    const struct rc_relay_port_setup setup = relay_host_port_setup(&host, 0);
    cr_assert_lt(rc_port_open(&port, shared, 100, &setup, &err), 0);
    cr_assert_lt(rc_port_open(&port, shared, bytes - 1, &setup, &err), 0);
    shared->ring_bytes = 3000;
    cr_assert_lt(rc_port_open(&port, shared, bytes, &setup, &err), 0);
    shared->ring_bytes = UINT64_C(1) << 63;
    cr_assert_lt(rc_port_open(&port, shared, bytes, &setup, &err), 0);
    shared->ring_bytes = RING_BYTES;
    shared->abi++;
    cr_assert_lt(rc_port_open(&port, shared, bytes, &setup, &err), 0);
    shared->abi--;
    atomic_store(&shared->ready, 0);
    cr_assert_lt(rc_port_open(&port, shared, bytes, &setup, &err), 0);
    cr_assert(strlen(err.text) > 10);
}
