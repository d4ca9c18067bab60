/* What the relay is told of clients that may come back, and what comes of a REQUEST: rings that are full, answers in pieces, and none at all. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/records/link_kept.h"
#include "common/records/query.h"
#include "common/records/recovery.h"
#include "tests/support/link_rig.h"
#include "worker/store/order.h"

static struct link_rig rig;
static struct rc_link *its_link;
static uint32_t type;
static struct rc_envelope_view up;

static void open_rig(void)
{
    link_rig_open(&rig);
    its_link = link_rig_link(&rig, "one", UINT64_MAX);
    (void)link_rig_sent(&rig, its_link);
    while (client_rig_up(&rig.c, &type, &up)) {}
}

static void close_rig(void)
{
    link_rig_close(&rig);
}

/* Nothing more fits. */
static uint32_t fill_ring(void)
{
    const uint32_t count = client_rig_fill(&rig.c, 100);
    return count + client_rig_fill(&rig.c, 0);
}

TestSuite(link_recovery, .init = open_rig, .fini = close_rig);

#define LISTS "\1\0\5\0sroom\1\0\2\0sx"
#define MESSAGES "\1\0\0\1\0\0\0m"

static void broadcast(uint8_t flags, bool has_offset)
{
    static const char with[] = "\1\0/" LISTS "\3\0off" MESSAGES;
    static const char without[] = "\1\0/" LISTS "\0\0" MESSAGES;
    const struct rc_span payload =
        has_offset ? rc_span_of(with, sizeof(with) - 1) : rc_span_of(without, sizeof(without) - 1);
    const struct rc_link_head head = {.type = RC_LINK_BROADCAST, .flags = flags, .length = (uint32_t)payload.count};
    const char *why;
    cr_assert_eq(rc_link_frame_check(&head, RC_LINK_APPLICATION, payload, &why), 0);
    cr_assert(rc_link_carry_out(rig.links, its_link, &head, payload));
}

static bool next_is(enum rc_link_kept what)
{
    return client_rig_up(&rig.c, &type, &up) && type == RC_UP_LINK && up.head.code == what;
}

Test(link_recovery, what_has_an_offset_is_told_once_and_nothing_else)
{
    broadcast(0, true);
    broadcast(RC_LINK_PRIMARY, false);
    broadcast(RC_LINK_PRIMARY | RC_LINK_VOLATILE, true);
    cr_assert_not(client_rig_up(&rig.c, &type, &up));
    broadcast(RC_LINK_PRIMARY, true);
    cr_assert(next_is(RC_LINK_KEPT_SAID));
    cr_assert_eq(up.head.token, 0);
    cr_assert(rc_span_equal(rc_span_of(up.channel, up.head.channel_bytes), RC_SPAN("/")));
    cr_assert(rc_span_equal(rc_span_of(up.event, up.head.event_bytes), RC_SPAN("off")));
    cr_assert(rc_span_equal(rc_span_of(up.data, up.head.data_bytes), RC_SPAN(LISTS MESSAGES)));
    broadcast(RC_LINK_PRIMARY | RC_LINK_LOCAL, true);
    cr_assert(next_is(RC_LINK_KEPT_SAID));
    cr_assert_neq(up.head.token, 0, "for its own sockets");
    its_link->stalled = true; /* tried again */
    broadcast(RC_LINK_PRIMARY, true);
    its_link->stalled = false;
    cr_assert_not(client_rig_up(&rig.c, &type, &up));
}

Test(link_recovery, what_finds_no_room_is_known_to_be_missing)
{
    const uint32_t count = fill_ring();
    broadcast(RC_LINK_PRIMARY, true);
    broadcast(RC_LINK_PRIMARY, true);
    cr_assert_eq(rc_metric_get(rig.c.rig.metrics, RC_METRIC_LINK_UNLOGGED), 2);
    cr_assert(rc_link_recovery_waits(rig.links));
    cr_assert_eq(rig.c.rig.truth.layout->recovery_hole, 1, "for a successor, too");
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(client_rig_up(&rig.c, &type, &up));
    }
    broadcast(RC_LINK_PRIMARY, true);
    cr_assert(next_is(RC_LINK_KEPT_LOST));
    cr_assert_eq(up.head.channel_bytes, 0, "of all that it may have been for");
    cr_assert(next_is(RC_LINK_KEPT_SAID));
    cr_assert_not(rc_link_recovery_waits(rig.links));
    cr_assert_eq(rig.c.rig.truth.layout->recovery_hole, 0);
}

Test(link_recovery, what_a_predecessor_was_just_telling_is_known_to_be_missing)
{
    rig.c.rig.truth.layout->recovery_hole = 1;
    cr_assert(rc_link_recovery_waits(rig.links));
    rc_link_recovery_work(rig.links);
    cr_assert(next_is(RC_LINK_KEPT_LOST));
    cr_assert_eq(rig.c.rig.truth.layout->recovery_hole, 0);
    cr_assert_not(client_rig_up(&rig.c, &type, &up));
}

#ifdef __SANITIZE_ADDRESS__ /* only such builds die where they are told to */
/* It was counted, so nobody sends it again, and the relay was not told. */
Test(link_recovery, what_a_predecessor_has_counted_and_not_told_is_known_to_be_missing)
{
    static const char payload[] = "\1\0/" LISTS "\3\0off" MESSAGES;
    uint8_t frame[RC_LINK_HEAD_BYTES + sizeof(payload) - 1];
    const struct rc_link_head head = {
        .type = RC_LINK_BROADCAST, .flags = RC_LINK_PRIMARY, .length = sizeof(payload) - 1};
    const struct rc_link_line *line = rc_truth_link_line(&rig.c.rig.truth, its_link->line);
    rc_link_head_write(frame, &head);
    memcpy(frame + RC_LINK_HEAD_BYTES, payload, sizeof(payload) - 1);
    its_link->input = frame;
    its_link->input_count = sizeof(frame);
    for (uint64_t places = 1; line->taken == 0; places++) {
        int status = 0;
        rig.c.rig.truth.layout->recovery_hole = 0;
        const pid_t pid = fork(); /* the truth is shared memory */
        cr_assert_geq(pid, 0);
        if (pid == 0) {
            rc_store_order_dies(places);
            rc_link_receive(rig.links, its_link);
            _exit(1);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    its_link->input = NULL;
    its_link->input_count = 0;
    cr_assert(rc_link_recovery_waits(rig.links));
    rc_link_recovery_work(rig.links);
    cr_assert(next_is(RC_LINK_KEPT_LOST));
    cr_assert_not(rc_link_recovery_waits(rig.links));
}
#endif

/* Counted, and then said; the one before it may be missing all the same. */
Test(link_recovery, what_is_counted_first_is_no_hole_once_it_was_said)
{
    rc_link_recovery_counts(rig.links, 0);
    rc_link_recovery_counts(rig.links, RC_LINK_PRIMARY | RC_LINK_VOLATILE);
    cr_assert_not(rc_link_recovery_waits(rig.links), "that is not told");
    for (int offset = 0; offset < 2; offset++) {
        rc_link_recovery_counts(rig.links, RC_LINK_PRIMARY);
        cr_assert(rc_link_recovery_waits(rig.links));
        broadcast(RC_LINK_PRIMARY, offset != 0);
        cr_assert_not(rc_link_recovery_waits(rig.links));
        cr_assert_eq(next_is(RC_LINK_KEPT_SAID), offset != 0, "and nothing before it");
    }
    rig.c.rig.truth.layout->recovery_hole = 1;
    rc_link_recovery_counts(rig.links, RC_LINK_PRIMARY);
    broadcast(RC_LINK_PRIMARY, false);
    cr_assert(rc_link_recovery_waits(rig.links));
    rc_link_recovery_counts(rig.links, RC_LINK_PRIMARY);
    broadcast(RC_LINK_PRIMARY, true);
    cr_assert(next_is(RC_LINK_KEPT_LOST));
    cr_assert(next_is(RC_LINK_KEPT_SAID));
    cr_assert_not(rc_link_recovery_waits(rig.links));
    const uint32_t count = fill_ring();
    rc_link_recovery_counts(rig.links, RC_LINK_PRIMARY);
    broadcast(RC_LINK_PRIMARY, true);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(client_rig_up(&rig.c, &type, &up));
    }
    rc_link_recovery_work(rig.links);
    cr_assert(next_is(RC_LINK_KEPT_LOST));
}

Test(link_recovery, what_is_larger_than_a_record_is_told_without_its_messages)
{
    static uint8_t payload[CLIENT_RIG_RING_BYTES * 2] = "\1\0/" LISTS "\3\0off" MESSAGES;
    const struct rc_span all = rc_span_of(payload, sizeof(payload));
    rc_link_recovery_said(rig.links, its_link, RC_LINK_PRIMARY, all);
    cr_assert(next_is(RC_LINK_KEPT_LOST));
    cr_assert(rc_span_equal(rc_span_of(up.data, up.head.data_bytes), RC_SPAN(LISTS)));
}

static void keep(void)
{
    static const char payload[] = "\1\0/\3\0sid\3\0pid\2\0\0\0{}\7\0\0\0{\"a\":1}\1\0\5\0sroom";
    const struct rc_link_head head = {.type = RC_LINK_KEEP, .length = sizeof(payload) - 1};
    const char *why;
    const struct rc_span span = rc_span_of(payload, sizeof(payload) - 1);
    cr_assert_eq(rc_link_frame_check(&head, RC_LINK_APPLICATION, span, &why), 0);
    cr_assert(rc_link_carry_out(rig.links, its_link, &head, span));
}

static void session_is(struct rc_span rest_wanted)
{
    struct rc_link_kept_session head;
    struct rc_span sid;
    struct rc_span pid;
    struct rc_span rest;
    cr_assert(next_is(RC_LINK_KEPT_SESSION));
    cr_assert_eq(rc_link_kept_session_read(rc_span_of(up.data, up.head.data_bytes), &head, &sid, &pid, &rest), 0);
    cr_assert_eq(head.ms, 60000);
    cr_assert(rc_span_equal(sid, RC_SPAN("sid")) && rc_span_equal(pid, RC_SPAN("pid")));
    cr_assert(rc_span_equal(rest, rest_wanted));
}

Test(link_recovery, a_session_that_the_application_keeps)
{
    keep();
    session_is(RC_SPAN("\7\0\0\0{\"a\":1}\1\0\5\0sroom"));
    its_link->ready.recovery_ms = 0;
    keep();
    cr_assert_not(client_rig_up(&rig.c, &type, &up), "for no time");
    its_link->ready.recovery_ms = 60000;
    (void)fill_ring();
    keep();
    cr_assert_eq(rc_metric_get(rig.c.rig.metrics, RC_METRIC_LINK_SESSIONS_LOST), 1);
}

Test(link_recovery, a_session_that_ends_while_no_process_has_it_is_kept_all_the_same)
{
    const uint32_t client = link_rig_client(&rig, its_link);
    const uint32_t other = link_rig_client(&rig, its_link);
    rig.links->recovery_ms = 60000;
    rc_link_join(rig.links, client, RC_SPAN("\1\0/\3\0sid\1\0\5\0sroom"));
    rc_link_session(rig.links, client, RC_SPAN("\1\0/\3\0sid\3\0pid\2\0\0\0{}\7\0\0\0{\"a\":1}"));
    rc_link_join(rig.links, other, RC_SPAN("\1\0/\3\0two\0\0"));
    while (client_rig_up(&rig.c, &type, &up)) { /* of its channels */
    }
    rc_link_recovery_gone(rig.links, client);
    cr_assert_not(client_rig_up(&rig.c, &type, &up), "its process says so");
    link_rig_cut(&rig, its_link);
    rc_link_recovery_gone(rig.links, client);
    session_is(RC_SPAN("\7\0\0\0{\"a\":1}\1\0\5\0sroom"));
    rc_link_recovery_gone(rig.links, other);
    cr_assert_not(client_rig_up(&rig.c, &type, &up), "of which nothing was said");
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

static void request(void)
{
    static const char payload[] = "\7\0\0\0\1\0/\3\0pid\3\0off";
    const struct rc_link_head head = {.type = RC_LINK_REQUEST, .length = sizeof(payload) - 1};
    cr_assert(rc_link_carry_out(rig.links, its_link, &head, rc_span_of(payload, sizeof(payload) - 1)));
    rc_link_recovery_work(rig.links); /* at the end of the pass */
}

static uint64_t asked(void)
{
    struct rc_span pid;
    struct rc_span offset;
    struct rc_query_head head;
    cr_assert(client_rig_up(&rig.c, &type, &up));
    cr_assert_eq(type, RC_UP_QUERY);
    memcpy(&head, up.data, sizeof(head));
    cr_assert_eq(head.kind, RC_QUERY_LINK);
    cr_assert_eq(rc_link_kept_question_read(rc_span_of(up.data + sizeof(head), up.head.data_bytes - sizeof(head)), &pid,
                                            &offset),
                 0);
    cr_assert(rc_span_equal(pid, RC_SPAN("pid")) && rc_span_equal(offset, RC_SPAN("off")));
    return up.head.token;
}

static void answers(uint64_t token, uint16_t code, struct rc_span part, bool last)
{
    uint8_t data[256];
    const struct rc_missed_head head = {.flags = last ? RC_MISSED_LAST : 0};
    const struct rc_envelope_view down = {
        .head = {.token = token, .code = code, .data_bytes = (uint32_t)(sizeof(head) + part.count)}, .data = data};
    memcpy(data, &head, sizeof(head));
    if (part.count > 0) {
        memcpy(data + sizeof(head), part.bytes, part.count);
    }
    rc_asks_answered(&rig.c.asks, RC_DOWN_QUERY, &down);
}

Test(link_recovery, an_answer_comes_in_pieces_and_goes_to_the_link_that_its_process_has_now)
{
    request();
    const uint64_t token = asked();
    answers(token, 0, RC_SPAN("\3\0sid\7\0\0\0{\"a\":"), false);
    cr_assert_str_eq(link_rig_sent(&rig, its_link), "");
    link_rig_cut(&rig, its_link);
    its_link = link_rig_link(&rig, "one", 0);
    answers(token, 0, RC_SPAN("1}\1\0\5\0sroom\1\0" MESSAGES), true);
    cr_assert_str_eq(link_rig_sent(&rig, its_link), "RECEIPT! 0, REPLY");
    cr_assert_eq(rig.links->question_count, 0);
    answers(token, 0, RC_SPAN("more"), true); /* nobody waits for it */
}

/* KEEP may be on its way, by another link. */
Test(link_recovery, whom_nobody_knows_is_asked_for_once_more_after_a_while)
{
    request();
    answers(asked(), RC_SIO_SESSION_UNKNOWN, (struct rc_span){0}, false);
    rc_link_recovery_work(rig.links);
    cr_assert_not(client_rig_up(&rig.c, &type, &up));
    cr_assert(rc_link_recovery_waits(rig.links));
    rig.c.rig.io.now_ns += UINT64_C(200000000);
    rc_link_recovery_work(rig.links);
    cr_assert_str_eq(link_rig_sent(&rig, its_link), "");
    answers(asked(), RC_SIO_SESSION_UNKNOWN, (struct rc_span){0}, false);
    cr_assert_str_eq(link_rig_sent(&rig, its_link), "REPLY");
    cr_assert_eq(rig.links->question_count, 0);
}

Test(link_recovery, nothing_found_nonsense_and_no_answer_are_a_reply_too)
{
    request();
    answers(asked(), RC_SIO_SESSION_TOO_OLD, (struct rc_span){0}, false);
    request();
    answers(asked(), 0, RC_SPAN("\3\0si"), true);
    request();
    (void)asked();
    rig.c.rig.io.now_ns += UINT64_C(5000000000);
    rc_asks_expire(&rig.c.asks);
    cr_assert_str_eq(link_rig_sent(&rig, its_link), "REPLY, REPLY, REPLY");
    request();
    const uint64_t token = asked();
    link_rig_cut(&rig, its_link);
    its_link = link_rig_link(&rig, "another", UINT64_MAX);
    answers(token, 0, (struct rc_span){0}, true);
    cr_assert_str_eq(link_rig_sent(&rig, its_link), "RECEIPT 0", "it has not asked");
}

Test(link_recovery, a_question_that_finds_no_room_waits_for_it)
{
    const uint32_t count = fill_ring();
    request();
    request();
    cr_assert(rc_link_recovery_waits(rig.links));
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(client_rig_up(&rig.c, &type, &up));
    }
    rc_link_recovery_work(rig.links);
    answers(asked(), RC_SIO_SESSION_TOO_OLD, (struct rc_span){0}, false);
    (void)fill_ring();
    request();
    rig.c.rig.io.now_ns += UINT64_C(5000000000);
    rc_link_recovery_work(rig.links);
    cr_assert_str_eq(link_rig_sent(&rig, its_link), "REPLY, REPLY");
    cr_assert_eq(rig.links->question_count, 1);
}

/* KEEP of a session of 100 bytes. */
static void keeps(struct rc_link *link)
{
    static const uint8_t head[] = "\1\0/\1\0s\1\0p\0\0\0\0\x64\0\0";
    uint8_t payload[sizeof(head) + 100 + 2] = {0};
    memcpy(payload, head, sizeof(head));
    rc_link_recovery_keep(rig.links, link, rc_span_of(payload, sizeof(payload)));
}

Test(link_recovery, what_is_kept_leaves_room_for_clients_that_wait)
{
    struct rc_uplink *uplink = rig.c.clients.uplink;
    rc_waiters_add(&uplink->waiters, its_link->socket);
    for (uint32_t i = 0; i < 2 * uplink->up.capacity / 100; i++) {
        keeps(its_link);
    }
    cr_assert_leq(rc_ring_used(&uplink->up) * 2, uplink->up.capacity);
    cr_assert_gt(rc_ring_used(&uplink->up) * 3, uplink->up.capacity, "what they do not need is used");
    cr_assert_gt(rc_metric_get(rig.c.rig.metrics, RC_METRIC_LINK_SESSIONS_LOST), 0);
    cr_assert_eq(rc_uplink_serve(uplink), its_link->socket, "who waits has its turn");
    (void)rc_uplink_served(uplink, its_link->socket, uplink->up.position + 1);
    const uint64_t used = rc_ring_used(&uplink->up);
    rc_waiters_add(&uplink->waiters, its_link->socket);
    uplink->first_bytes = (uint32_t)rc_ring_payload_max(&uplink->up);
    keeps(its_link);
    cr_assert_eq(rc_ring_used(&uplink->up), used, "who has not found enough has all of it");
    rc_uplink_leave(uplink, its_link->socket);
    keeps(its_link);
    cr_assert_gt(rc_ring_used(&uplink->up), used);
}

Test(link_recovery, who_asks_without_end_leaves_others_their_questions)
{
    static const uint8_t request[] = "\7\0\0\0\1\0/\1\0p\1\0o";
    struct rc_link *other = link_rig_link(&rig, "two", UINT64_MAX);
    for (uint32_t i = 0; i < 20000; i++) {
        rc_link_recovery_asked(rig.links, its_link, rc_span_of(request, sizeof(request) - 1));
    }
    const uint32_t before = rig.links->question_count;
    cr_assert_leq(before, 8192 / 2);
    for (uint32_t i = 0; i < 100; i++) {
        rc_link_recovery_asked(rig.links, other, rc_span_of(request, sizeof(request) - 1));
    }
    cr_assert_eq(rig.links->question_count, before + 100);
}
