/* A WebSocket takes a polling session over: at which moment, with what is on its way, and when it does not come to it. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/support/engine_rig.h"

static struct engine_rig r;
static struct engine_rig_wire *get;
static struct engine_rig_wire *probe;

static void open_all(void)
{
    engine_rig_open(&r);
    engine_rig_begin(&r, true);
    get = engine_rig_wire(&r);
    probe = engine_rig_wire(&r);
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(upgrade, .init = open_all, .fini = close_all, .timeout = 20);

static void say(const char *text)
{
    cr_assert_eq(hub_rig_publish(&r.c.rig, "/#", rc_span_text(text), NULL, 0), 0);
}

static bool carried(void)
{
    return engine_rig_lives(&r, r.session) && rc_truth_client(&r.c.rig.truth, r.session)->socket == probe->socket;
}

static void probed(void)
{
    engine_rig_upgrade(&r, probe, r.sid);
    engine_rig_frame(&r, probe, "2probe");
    cr_assert_str_eq(engine_rig_frames(&r, probe), "3probe");
}

Test(upgrade, a_waiting_get_is_let_go_and_messages_go_on_over_the_websocket)
{
    engine_rig_request(&r, get, r.sid, NULL);
    probed();
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "6");
    engine_rig_frame(&r, probe, "5");
    cr_assert_str_eq(engine_rig_frames(&r, probe), "");
    cr_assert(carried());
    say("1");
    cr_assert_str_eq(engine_rig_frames(&r, probe), "42[\"message\",1]");
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 400);
}

Test(upgrade, what_it_has_not_got_yet_leaves_first_and_in_order)
{
    probed();
    say("1");
    engine_rig_pass(&r);
    say("2");
    engine_rig_frame(&r, probe, "5");
    say("3");
    cr_assert_str_eq(engine_rig_frames(&r, probe), "42[\"message\",1] 42[\"message\",2] 42[\"message\",3]");
    cr_assert(carried());
}

/* Also while it has to wait for the change: whoever has said "5" takes nothing by polling any more. */
Test(upgrade, requests_behind_the_last_word_of_the_probe_are_refused)
{
    probed();
    rc_client_join(&r.c.clients, r.session, RC_SPAN("later"));
    engine_rig_frame(&r, probe, "5");
    engine_rig_pass(&r);
    cr_assert(!carried());
    say("1");
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 400);
    engine_rig_request(&r, get, r.sid, "42[\"x\"]");
    cr_assert_eq(engine_rig_answer(&r, get), 400);
    engine_rig_settle(&r);
    engine_rig_pass(&r);
    (void)engine_rig_answer(&r, get);
    cr_assert(carried());
    cr_assert_str_eq(engine_rig_frames(&r, probe), "42[\"message\",1]");
}

/* A session that waits for the relay is looked at again when it has answered, not all the time. */
Test(upgrade, it_waits_for_the_registration_of_what_the_server_joined)
{
    probed();
    rc_client_join(&r.c.clients, r.session, RC_SPAN("later"));
    engine_rig_frame(&r, probe, "5");
    engine_rig_pass(&r);
    engine_rig_pass(&r);
    cr_assert(!carried());
    cr_assert(!rc_hub_pending(&r.c.rig.hub), "it is looked at all the time");
    engine_rig_settle(&r);
    engine_rig_pass(&r);
    (void)engine_rig_answer(&r, get);
    cr_assert(carried());
}

Test(upgrade, probe_and_upgrade_in_one_go_lose_nothing)
{
    engine_rig_upgrade(&r, probe, r.sid);
    engine_rig_frame(&r, probe, "2probe");
    engine_rig_frame(&r, probe, "5");
    say("1");
    cr_assert_str_eq(engine_rig_frames(&r, probe), "3probe 42[\"message\",1]");
    cr_assert(carried());
}

Test(upgrade, what_comes_behind_it_is_the_sessions_and_holds_nobody_else_up)
{
    static const char half[] = "Content-Length: 5\r\n\r\n4";
    char text[256];
    probed();
    const int count =
        snprintf(text, sizeof(text), "POST /s/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: a\r\n%s", r.sid, half);
    engine_rig_bytes(&r, get, text, (size_t)count);
    engine_rig_frame(&r, probe, "5");
    engine_rig_frame(&r, probe, "41");
    engine_rig_pass(&r);
    cr_assert(!carried(), "a POST is on its way");
    cr_assert_eq(r.c.uplink.waiters.count, 0);
    cr_assert(rc_truth_client(&r.c.rig.truth, r.session)->subscriptions != 0);
    engine_rig_bytes(&r, get, "0/xy", 4);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    engine_rig_pass(&r);
    cr_assert(carried());
    cr_assert_eq(rc_truth_client(&r.c.rig.truth, r.session)->subscriptions, 0, "it has left");
}

Test(upgrade, a_probe_that_fails_leaves_polling_as_it_was_and_the_next_begins_anew)
{
    probed();
    engine_rig_frame(&r, probe, "nonsense");
    cr_assert_str_eq(engine_rig_frames(&r, probe), "close");
    rc_io_terminate(&r.c.rig.io, probe->socket);
    engine_rig_pass(&r);
    cr_assert(engine_rig_lives(&r, r.session));
    /* A probe that says "5" and goes before it could change over. */
    probe = engine_rig_wire(&r);
    probed();
    rc_truth_client(&r.c.rig.truth, r.session)->flags |= RC_CLIENT_WAITS_JOIN;
    engine_rig_frame(&r, probe, "5");
    engine_rig_pass(&r);
    rc_io_terminate(&r.c.rig.io, probe->socket);
    engine_rig_pass(&r);
    rc_truth_client(&r.c.rig.truth, r.session)->flags &= (uint16_t)~RC_CLIENT_WAITS_JOIN;
    probe = engine_rig_wire(&r);
    engine_rig_upgrade(&r, probe, r.sid);
    say("1");
    engine_rig_pass(&r);
    cr_assert(!carried(), "nobody has said \"5\" on it");
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "42[\"message\",1]");
}

Test(upgrade, a_session_that_ends_takes_its_probe_with_it)
{
    probed();
    rc_client_end(&r.c.clients, r.session);
    cr_assert_str_eq(engine_rig_frames(&r, probe), "close");
    engine_rig_frame(&r, probe, "5");
    cr_assert(!engine_rig_lives(&r, r.session));
}

Test(upgrade, it_ends_between_the_last_word_of_the_probe_and_the_change)
{
    probed();
    rc_truth_client(&r.c.rig.truth, r.session)->flags |= RC_CLIENT_WAITS_JOIN;
    engine_rig_frame(&r, probe, "5");
    engine_rig_frame(&r, probe, "42[\"x\"]");
    engine_rig_pass(&r);
    rc_client_end(&r.c.clients, r.session);
    engine_rig_pass(&r);
    cr_assert_str_eq(engine_rig_frames(&r, probe), "close");
}

/* One that is about to end for want of memory has output that nobody takes any more. */
Test(upgrade, a_broken_session_does_not_change_over)
{
    probed();
    engine_rig_request(&r, get, r.sid, "40/none,");
    rc_hub_break(&r.c.rig.hub, r.session);
    rc_truth_client(&r.c.rig.truth, r.session)->flags |= RC_CLIENT_POLLED;
    rc_engine_of(&r.engines, r.session)->flags |= RC_ENGINE_PROBED;
    rc_engine_ready(&r.engines, r.session);
    cr_assert(!carried());
    engine_rig_pass(&r);
    cr_assert(!engine_rig_lives(&r, r.session));
}

Test(upgrade, who_is_sent_away_meanwhile_is_closed_on_the_websocket)
{
    probed();
    rc_engine_end(&r.engines, r.session, RC_WS_CLOSE_NORMAL, NULL, false);
    engine_rig_frame(&r, probe, "5");
    cr_assert_str_eq(engine_rig_frames(&r, probe), "close");
}

Test(upgrade, not_completed_in_time_the_probe_is_closed_and_polling_goes_on)
{
    probed();
    engine_rig_wait(&r, r.c.rig.config->socketio.upgrade_timeout_ms);
    cr_assert_str_eq(engine_rig_frames(&r, probe), "close");
    cr_assert(engine_rig_lives(&r, r.session));
}

/* The session and its WebSocket are one client to the limits of its address. */
Test(upgrade, it_counts_once_in_the_limits_of_its_address)
{
    static struct rc_config limited;
    limited = *r.c.rig.config;
    limited.limits.max_connections_per_address = 2;
    rc_engine_of(&r.engines, r.session)->address = r.c.rig.truth.peers[probe->socket] =
        (struct rc_address){{[10] = 0xff, [11] = 0xff, [12] = 9, [15] = 1}};
    const struct rc_address *its = &rc_engine_of(&r.engines, r.session)->address;
    rc_clients_reconfigure(&r.c.clients, &limited);
    const struct rc_address_limit *limits = &r.c.clients.addresses;
    cr_assert_eq(rc_address_limit_of_address(limits, its), 1, "a reload counts who is there");
    probed();
    cr_assert_eq(rc_address_limit_of_address(limits, its), 1);
    engine_rig_frame(&r, probe, "5");
    engine_rig_pass(&r);
    cr_assert(carried());
    cr_assert_eq(rc_address_limit_of_address(limits, its), 1);
    const struct rc_address address = *its;
    rc_io_terminate(&r.c.rig.io, probe->socket);
    engine_rig_pass(&r);
    cr_assert_eq(rc_address_limit_of_address(limits, &address), 0);
    rc_clients_reconfigure(&r.c.clients, r.c.rig.config);
}
