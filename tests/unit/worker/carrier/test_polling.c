/* Long-polling: one GET and one POST at a time, what a POST waits for, and how a session ends in the middle of them. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/engine_rig.h"
#include "worker/adopt/crash.h"

static struct engine_rig r;
static struct engine_rig_wire *get;
static struct engine_rig_wire *post;

static void open_all(void)
{
    engine_rig_open(&r);
    engine_rig_rows(&r,
                    "[[event]]\non = \"say\"\nemit = [{to = \"*\"}]\n[[event]]\non = \"ask\"\nack = [\"{args}\"]\n");
    engine_rig_begin(&r, true);
    get = engine_rig_wire(&r);
    post = engine_rig_wire(&r);
}

static void close_all(void)
{
    engine_rig_close(&r);
}

TestSuite(polling, .init = open_all, .fini = close_all, .timeout = 20);

static void say(const char *text)
{
    cr_assert_eq(hub_rig_publish(&r.c.rig, "/#", rc_span_text(text), NULL, 0), 0);
}

static uint32_t went_up(void)
{
    uint32_t count = 0;
    uint32_t type;
    struct rc_envelope_view view;
    while (client_rig_up(&r.c, &type, &view)) {
        count += view.head.channel_bytes == 2;
    }
    return count;
}

static void fill_up_ring(void)
{
    (void)client_rig_fill(&r.c, 3000);
    (void)client_rig_fill(&r.c, 0);
}

static void expect(struct engine_rig_wire *wire, int status, const char *body)
{
    cr_assert_eq(engine_rig_answer(&r, wire), status);
    cr_assert_str_eq(wire->text, body);
}

Test(polling, a_get_waits_for_what_there_is_and_takes_all_of_it)
{
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 0);
    say("1");
    expect(get, 200, "42[\"message\",1]");
    say("2");
    engine_rig_pass(&r);
    say("3");
    engine_rig_request(&r, get, r.sid, NULL);
    expect(get, 200,
           "42[\"message\",2]\x1e"
           "42[\"message\",3]");
}

/* What is answered behind a turn leaves in the next pass, in which another tick may have begun: it is not too late for it then. */
Test(polling, an_answer_is_not_cut_off_by_a_tick)
{
    r.c.rig.config->limits.close_timeout_ms = 100;
    engine_rig_poll(&r, get, r.sid, "Connection: close\r\n");
    cr_assert_eq(engine_rig_answer(&r, get), 0);
    say("1");
    for (int i = 0; i < 3; i++) {
        engine_rig_pass(&r);
        r.c.rig.io.now_ns += UINT64_C(100000000);
        r.c.rig.io.now_ds++;
        rc_io_timers(&r.c.rig.io);
        if (r.c.rig.truth.sockets[get->socket].state == RC_SOCKET_LINGER) {
            break;
        }
    }
    cr_assert_eq(r.c.rig.truth.sockets[get->socket].state, RC_SOCKET_LINGER);
    expect(get, 200, "42[\"message\",1]");
}

static uint64_t counted(enum rc_metric_id metric)
{
    return rc_metric_get(r.c.rig.metrics, metric);
}

Test(polling, what_a_room_gets_is_compressed_once_for_polls_that_accept_it)
{
    char text[3000];
    struct engine_rig_wire *gets[3];
    char sids[3][RC_SID_BYTES + 1];
    memset(text, 'x', sizeof(text));
    text[0] = text[sizeof(text) - 2] = '"';
    text[sizeof(text) - 1] = '\0';
    for (size_t i = 0; i < 3; i++) {
        engine_rig_begin(&r, true);
        memcpy(sids[i], r.sid, sizeof(sids[i]));
        gets[i] = engine_rig_wire(&r);
        engine_rig_poll(&r, gets[i], sids[i], "Accept-Encoding: gzip\r\n");
    }
    say(text);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(engine_rig_answer(&r, gets[i]), 200);
        cr_assert_eq((uint8_t)gets[i]->text[0], 0x1f, "gzip");
    }
    cr_assert_eq(counted(RC_METRIC_POLLS_CODED), 3);
    cr_assert_eq(counted(RC_METRIC_POLLS_CODED_AGAIN), 2);
    cr_assert_gt(counted(RC_METRIC_POLLS_CODED_SAVED), 3 * 2500);
    engine_rig_poll(&r, gets[0], sids[0], "Accept-Encoding: gzip;q=0\r\n");
    say(text);
    cr_assert_eq(engine_rig_answer(&r, gets[0]), 200);
    cr_assert_eq(gets[0]->text[0], '4');
    r.c.rig.config->socketio.http_compression = false;
    engine_rig_poll(&r, gets[0], sids[0], "Accept-Encoding: gzip\r\n");
    say(text);
    cr_assert_eq(engine_rig_answer(&r, gets[0]), 200);
    cr_assert_eq(gets[0]->text[0], '4');
    cr_assert_eq(counted(RC_METRIC_POLLS_CODED), 3);
}

Test(polling, a_second_get_ends_the_session)
{
    struct engine_rig_wire *second = engine_rig_wire(&r);
    engine_rig_request(&r, get, r.sid, NULL);
    engine_rig_request(&r, second, r.sid, NULL);
    expect(get, 200, "1");
    cr_assert_eq(engine_rig_answer(&r, second), 400);
    cr_assert(!engine_rig_lives(&r, r.session));
}

Test(polling, a_second_post_ends_the_session_and_the_first_is_refused)
{
    struct engine_rig_wire *second = engine_rig_wire(&r);
    fill_up_ring();
    engine_rig_request(&r, post, r.sid, "42[\"say\"]");
    engine_rig_request(&r, second, r.sid, "42[\"say\"]");
    cr_assert_eq(engine_rig_answer(&r, second), 400);
    cr_assert_eq(engine_rig_answer(&r, post), 400);
    cr_assert(!engine_rig_lives(&r, r.session));
}

Test(polling, who_gives_its_get_up_gives_up_the_session)
{
    engine_rig_request(&r, get, r.sid, NULL);
    rc_io_terminate(&r.c.rig.io, get->socket);
    engine_rig_pass(&r);
    cr_assert(!engine_rig_lives(&r, r.session));
}

Test(polling, a_post_waits_for_room_in_the_up_ring_and_goes_on_where_it_was)
{
    fill_up_ring();
    engine_rig_request(&r, post, r.sid,
                       "42[\"say\",1]\x1e"
                       "42[\"say\",2]\x1e"
                       "427[\"ask\",\"x\"]");
    cr_assert_eq(engine_rig_answer(&r, post), 0);
    cr_assert_eq(r.c.uplink.waiters.count, 1);
    cr_assert_eq(went_up(), 0);
    expect(post, 200, "ok");
    cr_assert_eq(went_up(), 2);
    engine_rig_request(&r, get, r.sid, NULL);
    expect(get, 200, "437[\"x\"]");
}

Test(polling, a_session_that_ends_while_its_post_waits_is_out_of_everything)
{
    fill_up_ring();
    engine_rig_request(&r, post, r.sid, "42[\"say\",1]");
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 0);
    rc_client_end(&r.c.clients, r.session);
    expect(get, 200, "1");
    cr_assert_eq(engine_rig_answer(&r, post), 400);
    (void)went_up();
    engine_rig_pass(&r);
    cr_assert_eq(went_up(), 0);
}

Test(polling, who_goes_while_its_post_waits_is_gone)
{
    fill_up_ring();
    engine_rig_request(&r, post, r.sid, "42[\"say\",1]");
    rc_io_terminate(&r.c.rig.io, post->socket);
    engine_rig_pass(&r);
    cr_assert(!engine_rig_lives(&r, r.session));
    cr_assert_eq(r.c.uplink.waiters.count, 0);
}

Test(polling, a_packet_that_is_none_ends_the_session_and_what_is_behind_it_is_not_carried_out)
{
    engine_rig_request(&r, post, r.sid,
                       "42[\"say\",1]\x1e"
                       "x\x1e"
                       "42[\"say\",2]");
    cr_assert_eq(engine_rig_answer(&r, post), 400);
    cr_assert_eq(went_up(), 1);
    cr_assert(!engine_rig_lives(&r, r.session));
}

Test(polling, what_is_posted_is_limited_as_what_comes_in_frames)
{
    static struct rc_config limited;
    limited = *r.c.rig.config;
    limited.limits.message_rate = 2;
    limited.limits.rate_policy = RC_RATE_DELAY;
    rc_clients_reconfigure(&r.c.clients, &limited);
    engine_rig_request(&r, post, r.sid,
                       "42[\"say\",1]\x1e"
                       "42[\"say\",2]\x1e"
                       "42[\"say\",3]\x1e"
                       "42[\"say\",4]");
    cr_assert_eq(engine_rig_answer(&r, post), 0);
    cr_assert_eq(went_up(), 3, "the one that is too much is still carried out");
    for (uint32_t i = 0; i < 30 && engine_rig_answer(&r, post) == 0; i++) {
        engine_rig_wait(&r, 200);
    }
    cr_assert_str_eq(post->text, "ok");
    cr_assert_eq(went_up(), 1);
    cr_assert_geq(rc_metric_get(r.c.rig.metrics, RC_METRIC_RATE_DELAYS), 1);
    limited.limits.rate_policy = RC_RATE_CLOSE;
    engine_rig_request(&r, post, r.sid,
                       "42[\"say\",1]\x1e"
                       "42[\"say\",2]\x1e"
                       "42[\"say\",3]\x1e"
                       "42[\"say\",4]");
    cr_assert_eq(engine_rig_answer(&r, post), 400);
    cr_assert(!engine_rig_lives(&r, r.session));
    rc_clients_reconfigure(&r.c.clients, r.c.rig.config);
}

/* Who asks much and takes no answers is not read on, as on a WebSocket. */
Test(polling, a_post_waits_until_replies_are_taken)
{
    char body[4096] = "";
    static char packet[1100] = "42[\"say\"]";
    const size_t bytes = (size_t)snprintf(packet, sizeof(packet), "4212[\"ask\",\"%01000d\"]", 0);
    cr_assert_lt(3 * bytes + 3, sizeof(body));
    (void)snprintf(body, sizeof(body), "%s\x1e%s\x1e%s", packet, packet, packet);
    r.c.rig.config->limits.max_reply_bytes = 1024;
    engine_rig_request(&r, post, r.sid, body);
    cr_assert_eq(engine_rig_answer(&r, post), 0);
    for (uint32_t i = 0; i < 2; i++) {
        engine_rig_request(&r, get, r.sid, NULL);
        cr_assert_eq(engine_rig_answer(&r, get), 200);
    }
    expect(post, 200, "ok");
}

Test(polling, a_server_that_goes_away_tells_every_session_and_waits_for_nobody)
{
    const uint32_t first = r.session;
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 0);
    engine_rig_begin(&r, true);
    rc_clients_drain(&r.c.clients);
    expect(get, 200, "1");
    cr_assert(!engine_rig_lives(&r, first));
    cr_assert(engine_rig_lives(&r, r.session), "its next request tells it");
    engine_rig_wait(&r, 1000);
    cr_assert(!engine_rig_lives(&r, r.session));
    cr_assert_eq(r.c.clients.connections, 0);
}

/* In the middle of what one connection asks for nobody else goes on: a chain of such requests would be one of calls. */
Test(polling, who_is_answered_by_anothers_request_goes_on_behind_it)
{
    char sids[3][RC_SID_BYTES + 1];
    struct engine_rig_wire *wires[3];
    for (uint32_t i = 0; i < 3; i++) {
        engine_rig_begin(&r, true);
        memcpy(sids[i], r.sid, sizeof(sids[i]));
        wires[i] = engine_rig_wire(&r);
        engine_rig_request(&r, wires[i], sids[i], NULL);
    }
    engine_rig_request(&r, wires[0], sids[1], "1"); /* each waits behind its GET, and answers the next one's */
    engine_rig_request(&r, wires[1], sids[2], "1");
    engine_rig_request(&r, post, sids[0], "1");
    cr_assert_eq(r.c.clients.exchanges.feeding, 0);
    cr_assert_eq(r.c.clients.exchanges.later_count, 0);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(engine_rig_answer(&r, wires[i]), 200);
    }
    expect(post, 200, "ok");
    cr_assert_eq(r.c.clients.connections, 1);
}

/* The worker ends while requests wait. */
Test(polling, requests_that_wait_end_with_the_worker)
{
    fill_up_ring();
    engine_rig_request(&r, post, r.sid, "42[\"say\",1]");
    engine_rig_request(&r, get, r.sid, NULL);
    engine_rig_request(&r, get, NULL, NULL);
    rc_exchanges_close(&r.c.clients.exchanges);
    cr_assert(!engine_rig_lives(&r, r.session));
    cr_assert_eq(r.c.clients.connections, 0);
    RC_ASSERT(rc_clients_http_open(&r.c.clients, rc_socket_resume) == 0);
}

/* Answered with a noop is only who cannot be begun anew by a successor: what came of its request found no place. */
Test(polling, who_waits_is_let_go_and_asks_again_unless_its_request_is_kept)
{
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 0);
    cr_assert_eq(r.c.clients.exchanges.waiting, 1);
    cr_assert_not(rc_clients_answering_once(&r.c.clients));
    rc_polling_release(&r.polling);
    cr_assert_eq(engine_rig_answer(&r, get), 0);
    say("0");
    expect(get, 200, "42[\"message\",0]");
    const uint64_t budget = r.c.rig.config->limits.worker_log_bytes;
    r.c.rig.config->limits.worker_log_bytes = 64;
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert(rc_clients_answering_once(&r.c.clients));
    r.c.rig.config->limits.worker_log_bytes = budget;
    rc_polling_release(&r.polling);
    expect(get, 200, "6");
    cr_assert_not(rc_clients_answering(&r.c.clients), "nothing of it is this process's alone");
    cr_assert_eq(r.c.rig.truth.engines[r.session].poll, 0);
    say("1");
    engine_rig_request(&r, get, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, get), 200);
    cr_assert_not_null(strstr(get->text, "1"));
    cr_assert(engine_rig_lives(&r, r.session));
}

#ifdef __SANITIZE_ADDRESS__
enum { SURVIVED, KEPT, LEFT_WAITING, TOLD_TWICE, LOST };

/* What a successor finds of a worker that is killed behind so many stores of answering a GET for which there was no room: it is kept nowhere. */
static int answers_and_dies(uint64_t stores)
{
    static struct hub_rig next;
    static struct rc_crash crash;
    struct rc_err err = {0};
    int status = 0;
    open_all();
    struct rc_config_limits *limits = &r.c.rig.config->limits;
    const uint64_t room = limits->worker_log_bytes;
    limits->worker_log_bytes = 64;
    engine_rig_request(&r, get, r.sid, NULL);
    limits->worker_log_bytes = room;
    const struct rc_socket *before = &r.c.rig.truth.sockets[get->socket];
    RC_ASSERT(before->input == 0 && before->exchange != 0);
    say("1");
    hub_rig_run(&r.c.rig);
    const pid_t worker = fork();
    if (worker == 0) {
        rc_store_order_dies(stores);
        rc_hub_tell_ready(&r.c.rig.hub);
        _exit(0);
    }
    RC_ASSERT(waitpid(worker, &status, 0) == worker);
    hub_rig_succeed(&next, &r.c.rig, &(struct hub_rig_options){.slots = r.c.rig.slots});
    RC_ASSERT(rc_crash_begin(&crash, &next.truth, next.metrics, r.c.rig.io_fd, 0, false, &err) == 0);
    const struct rc_socket *socket = &next.truth.sockets[get->socket];
    const struct rc_client *client = rc_truth_client(&next.truth, r.session);
    const bool ends = socket->exchange != 0; /* given up, or in progress and kept nowhere */
    const bool answered =
        socket->output != 0 && rc_truth_output(&next.truth, socket->output)->replies_bytes > 0 && !ends;
    const bool got = client->cursor_count == 0 || next.truth.layout->took.client == r.session;
    const bool broken = (client->flags & RC_CLIENT_BROKEN) != 0;
    return !ends && !answered            ? LEFT_WAITING
           : answered && !got && !broken ? TOLD_TWICE
           : ends && got && !broken      ? LOST
           : WIFEXITED(status)           ? SURVIVED
                                         : KEPT;
}

Test(polling, a_get_that_is_kept_nowhere_is_answered_or_ends)
{
    uint64_t stores = 0;
    int became = KEPT;
    while (became != SURVIVED) {
        const pid_t child = fork();
        int status = 0;
        stores++;
        if (child == 0) {
            _exit(answers_and_dies(stores));
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status), "killed behind %lu stores", (unsigned long)stores);
        became = WEXITSTATUS(status);
        cr_assert(became == KEPT || became == SURVIVED, "killed behind %lu stores: %d", (unsigned long)stores, became);
    }
    cr_assert_gt(stores, 10);
}
#endif
