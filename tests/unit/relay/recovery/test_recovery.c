/* Who may come back, and what they get: rooms, exceptions, themselves, users, time, bounds, holes, a worker's and a relay's death. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/records/query.h"
#include "relay/recovery/recovery.h"
#include "tests/support/recovery_host.h"

#define BYTES (256u * 1024)
#define PID "pid-of-the-session-1"
#define SID "sid-of-the-session-1"
#define SECOND_PID "pid-of-the-session-2"
#define SECOND_SID "sid-of-the-session-2"
#define CLIENT 77u

static void *memory;
static struct rc_recovery_view view;
static struct rc_recovery recovery;
static struct rc_config config;
static struct rc_metrics metrics;
static uint64_t now_ms;
static uint64_t sequence;
static uint16_t code;      /* of the answer */
static char answer[65536]; /* data of what was missed, with spaces; or rooms of the session */
static int rooms;          /* told and not taken back */
static bool full;          /* the worker takes nothing */
static uint64_t handled;   /* sequence up to which the worker has taken what it was sent */

static uint64_t sent; /* greatest sequence that the worker was sent */

static uint64_t sent_to(void *context, uint32_t worker)
{
    (void)context;
    (void)worker;
    return sent;
}

static void on_room(void *context, struct rc_span channel, bool wanted)
{
    (void)context;
    (void)channel;
    rooms += wanted ? 1 : -1;
}

static int on_send(void *context, uint32_t worker, const struct rc_envelope_view *down)
{
    struct rc_missed_entry entry;
    struct rc_missed_parts parts;
    (void)context;
    (void)worker;
    if (full) {
        return -1;
    }
    code = down->head.code;
    struct rc_span rest = rc_span_of(down->data, down->head.data_bytes);
    if (code != 0 || rest.count < sizeof(struct rc_missed_head)) {
        return 0;
    }
    if (rest.count > sizeof(struct rc_sio_session_head) && memcmp(rest.bytes + 8, PID, RC_PID_BYTES) == 0) {
        struct rc_sio_session_head head;
        struct rc_sio_session_parts session;
        cr_assert_eq(rc_sio_session_read(rest, &head, &session), 0);
        (void)snprintf(answer, sizeof(answer), "%.*s", (int)session.set.count, (const char *)session.set.bytes);
        return 0;
    }
    rest = rc_span_of(rest.bytes + sizeof(struct rc_missed_head), rest.count - sizeof(struct rc_missed_head));
    while (rc_missed_next(&rest, &entry, &parts)) {
        const size_t used = strlen(answer);
        (void)snprintf(answer + used, sizeof(answer) - used, "%.*s ", (int)parts.data.count,
                       (const char *)parts.data.bytes);
    }
    cr_assert_eq(rest.count, 0);
    return 0;
}

static void reopen(void)
{
    struct rc_recovery_setup setup = host_setup(&view, &config, &metrics);
    setup.began = sequence;
    setup.sent = sent_to;
    setup.room = on_room;
    setup.send = on_send;
    host_begins(&recovery, &setup);
}

static void open_recovery(void)
{
    memory = calloc(1, BYTES);
    host_view(&view, memory, BYTES, &config, 1000);
    now_ms = 100000;
    reopen();
}

static void close_recovery(void)
{
    rc_recovery_close(&recovery);
    free(memory);
}

TestSuite(recovery, .init = open_recovery, .fini = close_recovery);

static bool second; /* it is of the second one that is told */
static bool again;  /* it was told of before */

static void tell(enum rc_sio_session_state state, const char *names, size_t names_bytes, bool current)
{
    uint8_t data[1024];
    struct rc_sio_session_head head = {.state = (uint8_t)state,
                                       .since_ms = 100000,
                                       .user_bytes = 3,
                                       .set_bytes = 7,
                                       .rooms_bytes = (uint32_t)names_bytes};
    memcpy(head.pid, second ? SECOND_PID : PID, RC_PID_BYTES);
    memcpy(head.sid, second ? SECOND_SID : SID, RC_SID_BYTES);
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), "ann{\"a\":1}", 10);
    memcpy(data + sizeof(head) + 10, names, names_bytes);
    const struct rc_envelope_view up = {.head = {.origin = {.random = CLIENT, .slot = 3},
                                                 .channel_bytes = 2,
                                                 .position = handled,
                                                 .code = again ? RC_SIO_SESSION_AGAIN : 0,
                                                 .data_bytes = (uint32_t)(sizeof(head) + 10 + names_bytes)},
                                        .channel = "/#",
                                        .data = data};
    rc_recovery_take(&recovery, 0, 1, current, &up, now_ms);
}

#define LOBBY "/#\0lobby", 9

static void say(enum rc_record_type type, const char *channel, const char *names, size_t names_bytes, uint32_t flags,
                uint64_t origin, const char *text)
{
    const struct rc_envelope_view message = {.head = {.sequence = ++sequence,
                                                      .channel_hash = rc_channel_hash(channel, strlen(channel)),
                                                      .channel_bytes = (uint8_t)strlen(channel),
                                                      .origin = {.random = origin},
                                                      .flags = (uint16_t)flags,
                                                      .exclude_text_bytes = (uint32_t)names_bytes,
                                                      .data_bytes = (uint32_t)strlen(text)},
                                             .channel = channel,
                                             .exclude_text = names,
                                             .data = (const uint8_t *)text};
    rc_recovery_keep(&recovery, type, &message, 0, now_ms);
}

static void say_to(const char *channel, const char *text)
{
    say(RC_DOWN_MESSAGE, channel, "", 0, 0, 0, text);
}

static uint16_t ask(enum rc_query_kind kind, const char *user, const char *offset, uint64_t random)
{
    uint8_t data[256];
    const struct rc_query_head head = {.kind = (uint8_t)kind};
    struct rc_sio_session_claim claim = {.user_bytes = (uint8_t)strlen(user), .offset_bytes = (uint8_t)strlen(offset)};
    memcpy(claim.pid, PID, RC_PID_BYTES);
    memcpy(data, &head, sizeof(head));
    memcpy(data + sizeof(head), &claim, sizeof(claim));
    memcpy(data + sizeof(head) + sizeof(claim), user, strlen(user));
    memcpy(data + sizeof(head) + sizeof(claim) + strlen(user), offset, strlen(offset));
    const struct rc_envelope_view up = {
        .head = {.origin = {.random = random, .slot = 9},
                 .channel_bytes = 2,
                 .data_bytes = (uint32_t)(sizeof(head) + sizeof(claim) + strlen(user) + strlen(offset))},
        .channel = "/#",
        .data = data};
    answer[0] = '\0';
    code = 999;
    cr_assert(rc_recovery_asked(&recovery, 1, &up, now_ms));
    return code;
}

static const char *offset_of(uint64_t number)
{
    static char text[RC_OFFSET_BYTES_MAX + 1];
    text[rc_offset_write(text, recovery.origin, number)] = '\0';
    return text;
}

Test(recovery, a_lost_session_gets_what_it_missed_once)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    say_to("lobby", "got");
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    say_to("lobby", "one");
    say_to("elsewhere", "never");
    say_to("/#", "two");
    say_to("*", "three");
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(1), 5), 0);
    cr_assert_str_eq(answer, "{\"a\":1}");
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(1), 5), 0);
    cr_assert_str_eq(answer, "one two three ");
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(1), 6), RC_SIO_SESSION_CONNECTED, "it is there already");
}

Test(recovery, without_an_offset_it_has_got_nothing_yet)
{
    now_ms -= 10;
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    say_to("lobby", "before it came");
    now_ms += 10;
    say_to("lobby", "one");
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", "", 5), 0);
    cr_assert_str_eq(answer, "one ");
}

Test(recovery, what_was_not_for_it_is_not)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    say(RC_DOWN_MESSAGE, "lobby", "", 0, RC_ENVELOPE_NO_ECHO, CLIENT, "its own");
    say(RC_DOWN_MESSAGE, "lobby", "", 0, RC_ENVELOPE_VOLATILE, 0, "volatile");
    say(RC_DOWN_SELECT, "/#", "lobby\0\0muted\0", 13, 0, 0, "selected");
    say(RC_DOWN_SELECT, "/#", "\0lobby\0", 7, 0, 0, "excepted");
    say(RC_DOWN_SELECT, "/#", "other\0lobby\0\0" SID "\0", 34, 0, 0, "excepted by its id");
    say(RC_DOWN_SELECT, "/#", "other\0" SID "\0\0", 28, 0, 0, "by its id");
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(0), 5), 0);
    cr_assert_str_eq(answer, "selected by its id ");
}

Test(recovery, a_room_may_be_named_like_a_socket)
{
    static const char key[] = "-NxT0sAlTheRooM12345"; /* as those that databases make */
    struct rc_sid sid;
    cr_assert(rc_sid_read(&sid, rc_span_of(key, RC_SID_BYTES)));
    second = true;
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    second = false;
    tell(RC_SIO_SESSION_LOST, "/#\0-NxT0sAlTheRooM12345\0" SECOND_SID, 45, true);
    say(RC_DOWN_SELECT, "/#", "-NxT0sAlTheRooM12345\0\0muted\0", 28, 0, 0, "one");
    say(RC_DOWN_SELECT, "/#", SECOND_SID "\0\0muted\0", 28, 0, 0, "two");
    say(RC_DOWN_SELECT, "/#", SID "\0\0muted\0", 28, 0, 0, "three");
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(0), 5), 0);
    cr_assert_str_eq(answer, "one two three ");
}

Test(recovery, another_user_gets_nothing_and_does_not_take_it_away)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    cr_assert_eq(ask(RC_QUERY_SESSION, "bob", offset_of(0), 5), RC_SIO_SESSION_FOREIGN_USER);
    cr_assert_eq(ask(RC_QUERY_MISSED, "", offset_of(0), 5), RC_SIO_SESSION_FOREIGN_USER);
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(0), 5), 0);
}

Test(recovery, an_offset_that_is_none_or_of_elsewhere_is_no_place)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", "nonsense here", 5), RC_SIO_SESSION_TOO_OLD);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", "zzzzzA", 5), RC_SIO_SESSION_TOO_OLD);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence + 1000), 5), RC_SIO_SESSION_TOO_OLD, "of the future");
}

Test(recovery, too_late_is_somebody_new)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), RC_SIO_SESSION_CONNECTED, "it is not lost");
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    now_ms += 1001;
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), RC_SIO_SESSION_UNKNOWN);
    cr_assert_eq(rooms, 2);
    rc_recovery_sweep(&recovery, now_ms);
    cr_assert_eq(recovery.sessions.count, 0);
    cr_assert_eq(rooms, 0, "nobody waits for its rooms any more");
}

/* Sessions of links have times of their own. */
Test(recovery, who_is_kept_longer_keeps_nobody_else)
{
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    const uint32_t first = rc_recovery_sessions_find(&recovery.sessions, PID);
    second = true;
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    now_ms += 1001;
    rc_recovery_session_at(&recovery.sessions, first)->lost_ms = now_ms;
    rc_recovery_sweep(&recovery, now_ms);
    cr_assert_eq(recovery.sessions.count, 1);
    cr_assert_eq(rc_recovery_sessions_find(&recovery.sessions, PID), first);
}

static uint32_t asked_elsewhere;

static uint16_t elsewhere(void *context, struct rc_span channel, struct rc_span claim)
{
    (void)context;
    (void)channel;
    (void)claim;
    asked_elsewhere++;
    return 0;
}

Test(recovery, who_is_not_here_is_looked_for_elsewhere_before_it_is_taken)
{
    recovery.setup.elsewhere = elsewhere;
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(0), 5), RC_SIO_SESSION_UNKNOWN);
    cr_assert_eq(asked_elsewhere, 0);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), RC_SIO_SESSION_CONNECTED);
    cr_assert_eq(asked_elsewhere, 1);
}

Test(recovery, who_missed_more_than_is_kept_or_allowed_is_somebody_new)
{
    char text[512];
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    for (int i = 0; i < 30; i++) {
        say_to("lobby", text);
    }
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), 0);
    for (int i = 0; i < 30; i++) {
        say_to("lobby", text);
    }
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence - 10), 5), 0);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), RC_SIO_SESSION_TOO_MUCH);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), RC_SIO_SESSION_UNKNOWN, "it is looked for once");
    cr_assert_eq(recovery.sessions.count, 0);
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    for (int i = 0; i < 600; i++) {
        say_to("lobby", text);
    }
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), RC_SIO_SESSION_TOO_OLD);
}

/* More than a session may have missed, of a segment that holds so many. */
Test(recovery, what_was_for_others_is_not_what_it_missed)
{
    rc_recovery_close(&recovery);
    free(memory);
    struct rc_err err;
    const size_t bytes = 16u * 1024 * 1024;
    memory = calloc(1, bytes);
    cr_assert_eq(rc_recovery_view_open(&view, memory, bytes, &err), 0);
    reopen();
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    say_to("lobby", "one");
    for (uint32_t i = 0; i < RC_RECOVERY_MISSED_MAX; i++) {
        say(RC_DOWN_SELECT, "/#", "den\0cave\0\0", 10, 0, 0, "for others");
    }
    say_to("lobby", "two");
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), 0);
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(0), 5), 0);
    cr_assert_str_eq(answer, "one two ");
    rc_recovery_worker_gone(&recovery, 1, 2, now_ms);
    for (uint32_t i = 0; i <= RC_RECOVERY_WALK_MAX; i++) {
        say(RC_DOWN_SELECT, "/#", "den\0cave\0\0", 10, 0, 0, "");
    }
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence - RC_RECOVERY_WALK_MAX), 6), 0);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence - RC_RECOVERY_WALK_MAX - 1), 6),
                 RC_SIO_SESSION_TOO_MUCH);
}

Test(recovery, what_the_worker_does_not_take_is_there_the_next_time)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    say_to("lobby", "one");
    full = true;
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(0), 5), 999);
    full = false;
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(0), 5), 0);
    cr_assert_str_eq(answer, "one ");
}

Test(recovery, a_hole_is_told_to_those_whose_it_is)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    rc_recovery_hole(&recovery, RC_SPAN("elsewhere"), sequence + 1, now_ms);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence), 5), 0);
    rc_recovery_hole(&recovery, RC_SPAN("lobby"), sequence + 1, now_ms);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence), 5), RC_SIO_SESSION_TOO_OLD);
}

Test(recovery, a_hole_is_not_hidden_by_one_that_counts_from_before_it)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    rc_recovery_hole(&recovery, RC_SPAN("lobby"), sequence + 1, now_ms);
    rc_recovery_hole(&recovery, RC_SPAN("elsewhere"), sequence, now_ms); /* as of who came into a room just now */
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence), 5), RC_SIO_SESSION_TOO_OLD);
}

Test(recovery, clients_of_a_dead_worker_are_lost)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    say_to("lobby", "one");
    rc_recovery_worker_gone(&recovery, 1, 2, now_ms);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), RC_SIO_SESSION_CONNECTED, "another worker");
    rc_recovery_worker_gone(&recovery, 0, 2, now_ms);
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(0), 5), 0);
    cr_assert_str_eq(answer, "one ");
    tell(RC_SIO_SESSION_LOST, LOBBY, false);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 6), RC_SIO_SESSION_CONNECTED,
                 "its past says nothing of it");
}

Test(recovery, a_successor_goes_on)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    say_to("lobby", "one");
    rc_recovery_close(&recovery);
    rooms = 0;
    reopen();
    cr_assert_eq(rooms, 2);
    say_to("lobby", "two");
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(sequence - 2), 5), 0);
    cr_assert_str_eq(answer, "one two ");
}

Test(recovery, of_a_damaged_log_nothing_is_left)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    second = true;
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    say_to("lobby", "one");
    rc_recovery_close(&recovery);
    rooms = 0;
    atomic_store(&view.segment->head, atomic_load(&view.segment->head) + 1);
    reopen();
    cr_assert_eq(metrics.values[RC_METRIC_RECOVERY_DAMAGED], 1u);
    cr_assert(recovery.sessions.count == 0 && recovery.sessions.lost_count == 0);
    cr_assert_eq(recovery.log.names.count, 0u);
    cr_assert_eq(rooms, 0, "nobody had been told of them");
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), RC_SIO_SESSION_UNKNOWN);
}

Test(recovery, its_id_leads_to_where_it_is)
{
    struct rc_sid sid;
    cr_assert(rc_sid_read(&sid, RC_SPAN(SID)));
    struct rc_client_ref ref = sid.client;
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(0), 5), 0);
    rc_recovery_place(&recovery, &ref);
    cr_assert_eq(ref.worker, 1);
    cr_assert_eq(ref.random, sid.client.random);
}

Test(recovery, its_id_leads_to_the_worker_to_which_its_client_goes)
{
    struct rc_sid sid;
    cr_assert(rc_sid_read(&sid, RC_SPAN(SID)));
    struct rc_client_ref ref = sid.client;
    rc_recovery_moved(&recovery, sid.client.random, 1);
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    rc_recovery_moved(&recovery, sid.client.random, 1);
    rc_recovery_place(&recovery, &ref);
    cr_assert_eq(ref.worker, 1);
    rc_recovery_worker_gone(&recovery, 0, 2, now_ms);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), RC_SIO_SESSION_CONNECTED, "it was there no more");
    rc_recovery_moved(&recovery, sid.client.random, 0);
    rc_recovery_place(&recovery, &ref);
    cr_assert_eq(ref.worker, 0);
    rc_recovery_worker_gone(&recovery, 0, 2, now_ms);
    rc_recovery_moved(&recovery, sid.client.random, 1);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(0), 5), 0, "it is lost, and goes nowhere");
}

Test(recovery, messages_between_a_join_and_its_word_of_it_are_not_passed_over)
{
    tell(RC_SIO_SESSION_LIVE, "/#", 3, true);
    say_to("lobby", "old");
    handled = sequence;
    say_to("lobby", "in the ring when it joined");
    sent = sequence;
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    say_to("lobby", "kept");
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(handled), 5), RC_SIO_SESSION_TOO_OLD);
}

Test(recovery, what_is_not_remembered_may_have_been_passed_over)
{
    tell(RC_SIO_SESSION_LIVE, "/#", 3, true);
    handled = sequence;
    say_to("lobby", "in the ring when it joined");
    for (uint32_t i = 0; i < RC_RECOVERY_RECENT; i++) {
        say_to("elsewhere", "much");
    }
    sent = sequence;
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(handled), 5), RC_SIO_SESSION_TOO_OLD);
}

Test(recovery, what_a_predecessor_saw_may_have_been_passed_over)
{
    tell(RC_SIO_SESSION_LIVE, "/#", 3, true);
    handled = sequence;
    say_to("lobby", "in the ring when it joined");
    sent = sequence;
    rc_recovery_close(&recovery);
    reopen();
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    say_to("lobby", "kept");
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sent), 5), 0, "who has got it");
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(handled), 5), RC_SIO_SESSION_TOO_OLD);
}

Test(recovery, whoever_got_them_comes_back)
{
    tell(RC_SIO_SESSION_LIVE, "/#", 3, true);
    handled = sequence;
    say_to("lobby", "in the ring when it joined");
    sent = sequence;
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    say_to("lobby", "kept");
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(sent), 5), 0);
    cr_assert_str_eq(answer, "kept ");
}

Test(recovery, a_worker_that_had_handled_all_passed_nothing_over)
{
    tell(RC_SIO_SESSION_LIVE, "/#", 3, true);
    say_to("elsewhere", "the last that it was sent");
    handled = sent = sequence;
    say_to("lobby", "before it came");
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    say_to("lobby", "kept");
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", "", 5), 0);
    cr_assert_str_eq(answer, "kept ");
}

/* Its word is read when its worker is dead, which was not sent what came before that for a room in which nobody else is. */
Test(recovery, what_came_before_the_last_word_of_a_dead_worker_was_passed_over)
{
    say_to("elsewhere", "the last that it was sent");
    handled = sent = sequence;
    say_to("lobby", "before its word is read");
    tell(RC_SIO_SESSION_LIVE, LOBBY, false);
    say_to("lobby", "kept");
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(handled), 5), RC_SIO_SESSION_TOO_OLD);
}

Test(recovery, a_dead_worker_passed_over_nothing_if_nothing_came)
{
    say_to("lobby", "the last that it was sent");
    handled = sent = sequence;
    say_to("elsewhere", "for others");
    tell(RC_SIO_SESSION_LIVE, LOBBY, false);
    say_to("lobby", "kept");
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(handled), 5), 0);
    cr_assert_str_eq(answer, "kept ");
}

Test(recovery, a_session_of_which_not_all_can_be_kept_cannot_come_back)
{
    tell(RC_SIO_SESSION_LIVE, "/#", 3, true);
    const int before = rooms;
    const uint32_t chains = recovery.log.names.count;
    recovery.log.names.count_max = chains + 1; /* as without memory for the second of two rooms */
    tell(RC_SIO_SESSION_LIVE, "/#\0one\0two", 11, true);
    cr_assert_eq(recovery.log.names.count, chains, "and wants no more than before");
    cr_assert_eq(rooms, before);
    cr_assert_eq(metrics.values[RC_METRIC_SESSIONS_REFUSED], 1u);
    tell(RC_SIO_SESSION_LOST, "/#\0one\0two", 11, true);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence), 5), RC_SIO_SESSION_TOO_OLD);
}

#define DEN "/#\0lobby\0den", 13

/* No other block fits; one of them, whose memory may be given back. */
static uint32_t fill(void)
{
    uint32_t last = RC_BLOCK_NONE;
    for (uint32_t order = RC_BLOCK_ORDERS; order-- > 0;) {
        for (uint32_t unit; (unit = rc_blocks_alloc(&recovery.sessions.blocks, order)) != RC_BLOCK_NONE;) {
            last = order == 1 ? unit : last;
        }
    }
    cr_assert_neq(last, RC_BLOCK_NONE);
    return last;
}

Test(recovery, who_does_not_fit_any_more_is_found_and_does_not_come_back_as_if_it_missed_nothing)
{
    struct rc_sid sid;
    cr_assert(rc_sid_read(&sid, RC_SPAN(SID)));
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    const uint32_t block = fill();
    again = true;
    tell(RC_SIO_SESSION_LIVE, DEN, true);
    cr_assert_eq(metrics.values[RC_METRIC_SESSIONS_REFUSED], 1u);
    cr_assert(rc_recovery_has(&recovery, sid.client.random), "what is for its id finds it");
    say_to("den", "not kept");
    rc_blocks_free(&recovery.sessions.blocks, block);
    tell(RC_SIO_SESSION_LOST, DEN, true);
    say_to("den", "kept");
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence - 1), 5), 0, "it got all before it was lost");
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence - 2), 5), RC_SIO_SESSION_TOO_OLD);
}

Test(recovery, who_is_lost_while_it_does_not_fit_is_lost)
{
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    (void)fill();
    again = true;
    tell(RC_SIO_SESSION_LOST, DEN, true);
    cr_assert_eq(recovery.sessions.lost_count, 1u);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence), 5), RC_SIO_SESSION_TOO_OLD);
    now_ms += 1001;
    rc_recovery_sweep(&recovery, now_ms);
    cr_assert_eq(recovery.sessions.count, 0u);
    cr_assert_eq(rooms, 0);
}

Test(recovery, who_comes_back_while_it_does_not_fit_is_there)
{
    struct rc_sid sid;
    cr_assert(rc_sid_read(&sid, RC_SPAN(SID)));
    tell(RC_SIO_SESSION_LOST, LOBBY, true);
    (void)fill();
    cr_assert_eq(ask(RC_QUERY_MISSED, "ann", offset_of(sequence), 5), 0);
    rc_recovery_place(&recovery, &sid.client);
    cr_assert_eq(sid.client.worker, 1);
    cr_assert_eq(recovery.sessions.lost_count, 0u);
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence), 6), RC_SIO_SESSION_CONNECTED);
}

Test(recovery, who_was_refused_and_is_taken_later_missed_what_came_meanwhile)
{
    second = true;
    tell(RC_SIO_SESSION_LIVE, LOBBY, true);
    second = false;
    say_to("den", "nobody wants it");
    again = true;
    tell(RC_SIO_SESSION_LIVE, DEN, true);
    tell(RC_SIO_SESSION_LOST, DEN, true);
    say_to("den", "kept");
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence - 1), 5), 0, "it got all before that");
    cr_assert_eq(ask(RC_QUERY_SESSION, "ann", offset_of(sequence - 2), 5), RC_SIO_SESSION_TOO_OLD);
}
