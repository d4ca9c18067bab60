/* Sessions in shared memory: found by pid and token, replaced, given up for others, taken over. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/recovery/sessions.h"

#define BYTES (64u * 1024)

static void *memory;
static struct rc_recovery_view view;
static struct rc_recovery_sessions sessions;
static uint32_t evicted;

static void on_evicted(void *context, uint32_t unit)
{
    (void)context;
    (void)unit;
    evicted++;
}

static void reopen(void)
{
    cr_assert_eq(rc_recovery_sessions_open(&sessions, &view, 1000), 0);
    sessions.evicted = on_evicted;
}

static void open_sessions(void)
{
    struct rc_err err;
    memory = calloc(1, BYTES);
    cr_assert_eq(rc_recovery_view_open(&view, memory, BYTES, &err), 0);
    evicted = 0;
    reopen();
}

static void close_sessions(void)
{
    rc_recovery_sessions_close(&sessions);
    free(memory);
}

TestSuite(recovery_sessions, .init = open_sessions, .fini = close_sessions);

static const char *pid_of(unsigned number)
{
    static char text[RC_PID_BYTES + 1];
    (void)snprintf(text, sizeof(text), "pid_________________");
    text[18] = (char)('a' + number / 26);
    text[19] = (char)('a' + number % 26);
    return text;
}

static uint32_t put(unsigned number, const char *rooms, enum rc_sio_session_state state, uint64_t lost_ms)
{
    struct rc_recovery_session session = {.channel_bytes = 2, .channel = "/#", .lost_ms = lost_ms};
    const struct rc_sio_session_parts parts = {.rooms = rc_span_text(rooms)};
    memcpy(session.head.pid, pid_of(number), RC_PID_BYTES);
    memcpy(session.head.sid, pid_of(number), RC_SID_BYTES);
    session.head.rooms_bytes = (uint32_t)parts.rooms.count;
    const uint32_t unit = rc_recovery_sessions_make(&sessions, &session, &parts, state);
    if (unit != RC_SIO_SESSION_NONE) {
        cr_assert_eq(
            rc_recovery_sessions_replace(&sessions, rc_recovery_sessions_find(&sessions, pid_of(number)), unit), 0);
    }
    return unit;
}

static struct rc_span rooms_of(unsigned number)
{
    struct rc_sio_session_parts parts;
    const uint32_t unit = rc_recovery_sessions_find(&sessions, pid_of(number));
    cr_assert_neq(unit, RC_SIO_SESSION_NONE);
    rc_recovery_session_parts(rc_recovery_session_at(&sessions, unit), &parts);
    return parts.rooms;
}

Test(recovery_sessions, the_last_word_about_a_session_counts)
{
    put(1, "one", RC_SIO_SESSION_LIVE, 0);
    put(2, "two", RC_SIO_SESSION_LIVE, 0);
    put(1, "another", RC_SIO_SESSION_LIVE, 0);
    cr_assert_eq(sessions.count, 2);
    cr_assert(rc_span_equal(rooms_of(1), RC_SPAN("another")));
    const uint32_t unit = rc_recovery_sessions_find(&sessions, pid_of(2));
    cr_assert_eq(
        rc_recovery_sessions_of_token(&sessions, rc_recovery_session_token(rc_recovery_session_at(&sessions, unit))),
        unit);
    rc_recovery_sessions_remove(&sessions, unit);
    cr_assert_eq(rc_recovery_sessions_find(&sessions, pid_of(2)), RC_SIO_SESSION_NONE);
}

Test(recovery_sessions, the_one_that_was_lost_first_makes_room)
{
    unsigned count = 0;
    put(0, "first", RC_SIO_SESSION_LOST, 5);
    while (evicted == 0) {
        cr_assert_neq(put(++count, "room", RC_SIO_SESSION_LIVE, 0), RC_SIO_SESSION_NONE);
        cr_assert_lt(count, 600);
    }
    cr_assert_eq(rc_recovery_sessions_find(&sessions, pid_of(0)), RC_SIO_SESSION_NONE);
    cr_assert_eq(put(count + 1, "room", RC_SIO_SESSION_LIVE, 0), RC_SIO_SESSION_NONE, "nobody who is live makes room");
}

/* One that comes back was lost first, and is written anew: those who were lost after it make room, as for anybody. */
Test(recovery_sessions, the_one_that_is_replaced_stops_nobody_from_making_room)
{
    unsigned count = 1;
    put(0, "first", RC_SIO_SESSION_LOST, 5);
    put(1, "second", RC_SIO_SESSION_LOST, 6);
    while (sessions.blocks.used_units < sessions.blocks.unit_count) {
        cr_assert_neq(put(++count, "room", RC_SIO_SESSION_LIVE, 0), RC_SIO_SESSION_NONE);
        cr_assert_lt(count, 600);
    }
    cr_assert_eq(evicted, 0);
    cr_assert_neq(put(0, "back", RC_SIO_SESSION_LIVE, 0), RC_SIO_SESSION_NONE);
    cr_assert_eq(evicted, 1);
    cr_assert_eq(rc_recovery_sessions_find(&sessions, pid_of(1)), RC_SIO_SESSION_NONE);
    cr_assert(rc_span_equal(rooms_of(0), RC_SPAN("back")));
}

Test(recovery_sessions, a_successor_finds_them_in_the_order_of_their_loss)
{
    put(1, "one", RC_SIO_SESSION_LOST, 30);
    put(2, "two", RC_SIO_SESSION_LOST, 10);
    put(3, "three", RC_SIO_SESSION_LIVE, 0);
    put(1, "changed", RC_SIO_SESSION_LOST, 30);
    rc_recovery_sessions_close(&sessions);
    reopen();
    cr_assert_eq(sessions.count, 3);
    cr_assert_eq(sessions.lost_count, 2);
    cr_assert_eq(sessions.oldest - 1, rc_recovery_sessions_find(&sessions, pid_of(2)));
    cr_assert(rc_span_equal(rooms_of(1), RC_SPAN("changed")));
    cr_assert(rc_span_equal(rooms_of(3), RC_SPAN("three")));
}

Test(recovery_sessions, of_two_that_a_dying_relay_left_the_later_counts)
{
    put(1, "old", RC_SIO_SESSION_LIVE, 0);
    struct rc_recovery_session session;
    memcpy(&session, rc_recovery_session_at(&sessions, rc_recovery_sessions_find(&sessions, pid_of(1))),
           sizeof(session));
    const struct rc_sio_session_parts parts = {.rooms = RC_SPAN("new")};
    session.head.rooms_bytes = 3;
    cr_assert_neq(rc_recovery_sessions_make(&sessions, &session, &parts, RC_SIO_SESSION_LOST), RC_SIO_SESSION_NONE);
    rc_recovery_sessions_close(&sessions);
    reopen();
    cr_assert_eq(sessions.count, 1);
    cr_assert(rc_span_equal(rooms_of(1), RC_SPAN("new")));
}

static void on_over(void *context, uint32_t unit)
{
    ++*(uint32_t *)context;
    rc_recovery_sessions_remove(&sessions, unit);
}

static uint32_t sweep(uint64_t now_ms)
{
    uint32_t over = 0;
    rc_recovery_sessions_sweep(&sessions, now_ms, on_over, &over);
    return over;
}

Test(recovery_sessions, a_reload_lengthens_and_shortens_the_time_of_those_who_are_lost)
{
    for (unsigned i = 0; i < 6; i++) {
        (void)put(i, "", i == 5 ? RC_SIO_SESSION_LIVE : RC_SIO_SESSION_LOST, 50000 + i * 100);
    }
    rc_recovery_sessions_keep_for(&sessions, 100000);
    cr_assert_eq(sweep(51000), 0);
    cr_assert_eq(sweep(150000), 0);
    cr_assert_eq(sweep(150101), 2);
    rc_recovery_sessions_keep_for(&sessions, 10);
    cr_assert_eq(sweep(150102), 3, "they are over long since");
    cr_assert_eq(sessions.count, 1);
    rc_recovery_sessions_lose(&sessions, rc_recovery_sessions_find(&sessions, pid_of(5)), 150103);
    cr_assert_eq(sweep(150113), 0);
    cr_assert_eq(sweep(150114), 1);
    cr_assert_eq(sessions.count, 0);
}
