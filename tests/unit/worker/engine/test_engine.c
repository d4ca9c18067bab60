/* Sessions: their ids, their heartbeat, their end. The test is every client, and the relay. */
#include <criterion/criterion.h>

#include <string.h>

#include "common/base/check.h"
#include "tests/support/engine_rig.h"

static struct engine_rig r;

static void open_all(void)
{
    engine_rig_open(&r);
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(engine, .init = open_all, .fini = close_all);

static uint32_t found(const char *sid, bool *known)
{
    struct rc_sid read;
    return rc_engine_find(&r.engines, rc_span_text(sid), &read, known);
}

Test(engine, a_session_is_found_by_its_id_alone_and_as_long_as_it_lives)
{
    bool known;
    engine_rig_begin(&r, false);
    cr_assert_eq(found(r.sid, &known), r.session);
    char other[RC_SID_BYTES + 1];
    memcpy(other, r.sid, sizeof(other));
    other[RC_SID_BYTES - 1] = other[RC_SID_BYTES - 1] == 'A' ? 'B' : 'A';
    cr_assert_eq(found(other, &known), 0);
    cr_assert(known, "it is an id of this worker");
    cr_assert_eq(found("__proto__", &known), 0);
    cr_assert(!known);
    rc_client_end(&r.c.clients, r.session);
    cr_assert_eq(found(r.sid, &known), 0);
}

Test(engine, a_ping_comes_every_interval_and_its_pong_is_waited_for_to_the_tick)
{
    const struct rc_config_socketio *settings = &r.c.rig.config->socketio;
    engine_rig_begin(&r, true);
    struct engine_rig_wire *get = engine_rig_wire(&r);
    engine_rig_request(&r, get, r.sid, NULL);
    engine_rig_wait(&r, settings->ping_interval_ms - RC_ENGINE_TICK_MS);
    cr_assert_eq(engine_rig_answer(&r, get), 0);
    engine_rig_wait(&r, RC_ENGINE_TICK_MS);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "2");
    engine_rig_request(&r, get, r.sid, "3");
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    engine_rig_wait(&r, settings->ping_interval_ms);
    engine_rig_wait(&r, settings->ping_timeout_ms - RC_ENGINE_TICK_MS);
    cr_assert(engine_rig_lives(&r, r.session));
    engine_rig_wait(&r, RC_ENGINE_TICK_MS);
    cr_assert(!engine_rig_lives(&r, r.session));
    cr_assert_eq(rc_metric_get(r.c.rig.metrics, RC_METRIC_PONG_TIMEOUTS), 1);
}

/* The pong may be among what this server does not read for now. */
Test(engine, who_is_not_read_is_not_taken_for_dead)
{
    const struct rc_config_socketio *settings = &r.c.rig.config->socketio;
    engine_rig_rows(&r, "[[event]]\non = \"say\"\nemit = [{to = \"*\"}]\n");
    engine_rig_begin(&r, true);
    (void)client_rig_fill(&r.c, 3000);
    (void)client_rig_fill(&r.c, 0);
    struct engine_rig_wire *post = engine_rig_wire(&r);
    engine_rig_wait(&r, settings->ping_interval_ms);
    engine_rig_request(&r, post, r.sid,
                       "42[\"say\"]\x1e"
                       "3");
    engine_rig_wait(&r, settings->ping_timeout_ms);
    cr_assert_eq(engine_rig_answer(&r, post), 0);
    cr_assert(engine_rig_lives(&r, r.session));
    uint32_t type;
    struct rc_envelope_view view;
    while (client_rig_up(&r.c, &type, &view)) {}
    cr_assert_eq(engine_rig_answer(&r, post), 200);
    cr_assert_str_eq(post->text, "ok");
    engine_rig_wait(&r, settings->ping_timeout_ms);
    cr_assert(engine_rig_lives(&r, r.session));
}

Test(engine, who_joins_no_namespace_is_closed)
{
    engine_rig_begin(&r, false);
    struct engine_rig_wire *get = engine_rig_wire(&r);
    engine_rig_wait(&r, r.c.rig.config->socketio.ping_interval_ms);
    engine_rig_request(&r, get, r.sid, "3");
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    engine_rig_wait(&r, r.c.rig.config->socketio.connect_timeout_ms);
    cr_assert(!engine_rig_lives(&r, r.session));
}

/* The end answers a GET, behind which another request of the session stands. */
Test(engine, requests_that_its_own_end_brings_do_not_find_a_session)
{
    engine_rig_begin(&r, true);
    struct engine_rig_wire *get = engine_rig_wire(&r);
    struct engine_rig_wire *post = engine_rig_wire(&r);
    engine_rig_request(&r, get, r.sid, NULL);
    engine_rig_request(&r, get, r.sid, "1");
    engine_rig_request(&r, post, r.sid, "1");
    cr_assert(!engine_rig_lives(&r, r.session));
    cr_assert_eq(engine_rig_answer(&r, post), 200);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_not_null(strstr(get->text, "Session ID unknown"), "%s", get->text);
}

Test(engine, an_end_from_outside_does_not_let_a_get_behind_the_answer_wait_for_ever)
{
    engine_rig_begin(&r, true);
    struct engine_rig_wire *get = engine_rig_wire(&r);
    engine_rig_request(&r, get, r.sid, NULL);
    engine_rig_request(&r, get, r.sid, NULL);
    engine_rig_request(&r, get, r.sid, NULL);
    rc_client_end(&r.c.clients, r.session);
    cr_assert(!engine_rig_lives(&r, r.session));
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_eq(r.c.clients.exchanges.kept, 0);
}

/* Native pings have nothing to do with sessions. */
Test(engine, a_reload_of_the_native_heartbeat_changes_nothing_for_sessions)
{
    struct engine_rig_wire *wire = engine_rig_wire(&r);
    engine_rig_upgrade(&r, wire, NULL);
    engine_rig_frame(&r, wire, "40");
    engine_rig_settle(&r);
    const uint32_t client = r.c.rig.truth.sockets[wire->socket].client;
    static struct rc_config other;
    other = *r.c.rig.config;
    other.limits.ping_interval_ms = 1000;
    rc_clients_reconfigure(&r.c.clients, &other);
    cr_assert_eq(rc_truth_client(&r.c.rig.truth, client)->ping_ds, 0);
    rc_clients_reconfigure(&r.c.clients, r.c.rig.config);
}

/* A binary message as base64 in a text, which waits: the same bytes come again. */
Test(engine, base64_that_waits_is_decoded_once_more)
{
    struct engine_rig_wire *wire = engine_rig_wire(&r);
    engine_rig_upgrade(&r, wire, NULL);
    engine_rig_frame(&r, wire, "40");
    engine_rig_settle(&r);
    const uint32_t client = r.c.rig.truth.sockets[wire->socket].client;
    uint8_t text[] = "bAAEC";
    uint32_t done = 0;
    (void)rc_engine_packet(&r.engines, client, RC_PART_TEXT, text, 5, &done);
    cr_assert_str_eq((const char *)text, "bAAEC");
}

/* It was told nothing while nothing carried it: its next request is. */
Test(engine, who_is_cut_off_while_it_does_not_poll_is_told_with_its_next_request)
{
    const struct rc_config_socketio *settings = &r.c.rig.config->socketio;
    engine_rig_begin(&r, true);
    struct engine_rig_wire *get = engine_rig_wire(&r);
    rc_engine_reply(&r.engines, r.session, RC_PART_TEXT, "42[\"old\"]", 9);
    rc_hub_cut_off(r.c.clients.hub, r.session);
    engine_rig_pass(&r);
    cr_assert(engine_rig_lives(&r, r.session));
    cr_assert_eq(rc_hub_unsent(r.c.clients.hub, r.session), 0, "what it was to get is gone");
    cr_assert_eq(rc_truth_client(r.c.clients.truth, r.session)->subscriptions, 0);
    engine_rig_wait(&r, settings->ping_timeout_ms - RC_ENGINE_TICK_MS);
    rc_engine_reply(&r.engines, r.session, RC_PART_TEXT, "42[\"new\"]", 9);
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "1", "nothing of what comes behind the hole");
    cr_assert(!engine_rig_lives(&r, r.session));
}

Test(engine, who_was_cut_off_and_does_not_come_back_is_forgotten)
{
    engine_rig_begin(&r, true);
    rc_hub_cut_off(r.c.clients.hub, r.session);
    engine_rig_pass(&r);
    cr_assert(engine_rig_lives(&r, r.session));
    engine_rig_wait(&r, r.c.rig.config->socketio.ping_timeout_ms + RC_ENGINE_TICK_MS);
    cr_assert(!engine_rig_lives(&r, r.session));
}

static void told(const char *text)
{
    cr_assert_eq(hub_rig_publish(&r.c.rig, "/#", rc_span_text(text), NULL, 0), 0);
    engine_rig_pass(&r);
}

/* What it was told last, mostly why, comes first; nothing that is said from then on, however long its next request is in coming. */
Test(engine, who_is_sent_away_without_a_request_gets_what_was_said_before_and_nothing_more)
{
    engine_rig_begin(&r, true);
    struct engine_rig_wire *get = engine_rig_wire(&r);
    told("1");
    told("2");
    rc_client_send_away(&r.c.clients, r.session, 4401, "unauthorized");
    engine_rig_pass(&r);
    told("3");
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "42[\"message\",1]\x1e"
                                "42[\"message\",2]\x1e"
                                "41");
    cr_assert(engine_rig_lives(&r, r.session), "the end has an answer of its own");
    told("4");
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "1");
    cr_assert(!engine_rig_lives(&r, r.session));
}

Test(engine, who_is_sent_away_while_a_request_waits_is_told_at_once)
{
    engine_rig_begin(&r, true);
    struct engine_rig_wire *get = engine_rig_wire(&r);
    engine_rig_request(&r, get, r.sid, NULL);
    rc_client_send_away(&r.c.clients, r.session, 4401, "unauthorized");
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "41");
    told("1");
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_str_eq(get->text, "1");
}

/* Nobody asks: its end is not put off. */
Test(engine, who_is_sent_away_and_never_asks_is_gone_within_a_second)
{
    engine_rig_begin(&r, true);
    told("1");
    rc_client_send_away(&r.c.clients, r.session, 4401, "unauthorized");
    engine_rig_pass(&r);
    engine_rig_wait(&r, 1000 + RC_ENGINE_TICK_MS);
    cr_assert(!engine_rig_lives(&r, r.session));
}
