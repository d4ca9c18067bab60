/* A session on its way to another worker: what is written is read, in another place, and nothing else is believed. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/shm/tallies.h"
#include "tests/support/engine_rig.h"
#include "worker/engine/auth.h"
#include "worker/engine/moving.h"
#include "worker/engine/recoverable.h"
#include "worker/engine/returning.h"
#include "worker/engine/socketio.h"
#include "worker/move/move.h"

static struct engine_rig r;
static uint8_t bytes[RC_HANDOVER_BYTES_MAX];

static struct rc_limits_segment *limits;

static void open_all(void)
{
    struct rc_err err;
    engine_rig_open(&r);
    limits = mmap(NULL, sizeof(*limits), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)limits, MAP_FAILED);
    cr_assert_eq(rc_limits_segment_open(limits, &err), 0);
    r.c.rig.control->limits = limits;
    engine_rig_begin(&r, true);
    r.engines.keeps_auth = true;
}

static void close_all(void)
{
    engine_rig_close(&r);
    munmap(limits, sizeof(*limits));
}

TestSuite(engine_moving, .init = open_all, .fini = close_all);

/* In the namespace, too, with something said for it. How many bytes it is then. */
static uint32_t joined(void)
{
    static const char list[] = "\000\005/chat\001\002/b"; /* the second one after it had left one */
    struct rc_engine *engine = rc_engine_of(&r.engines, r.session);
    uint32_t capacity = 0;
    cr_assert_eq(rc_socket_input_grow(&r.c.clients, &engine->namespaces, &capacity, sizeof(list) - 1, 0), 0);
    memcpy(rc_heap_at(&r.c.rig.truth.heap, engine->namespaces), list, sizeof(list) - 1);
    engine->namespaces_bytes = sizeof(list) - 1;
    engine->left = 1;
    cr_assert_eq(rc_engine_auth_keep(&r.engines, r.session, RC_SPAN("/chat"), RC_SPAN("{\"a\":1}")), 0);
    engine->flags &= (uint16_t)~RC_ENGINE_COUNTED;
    return rc_engine_goes(&r.engines, r.session, bytes, sizeof(bytes));
}

/* Another client, as it is before it has come. */
static uint32_t another(void)
{
    const struct rc_truth *truth = &r.c.rig.truth;
    const uint32_t client = rc_client_open(&r.c.clients, RC_ENDPOINT_PATH,
                                           rc_encoding_of(RC_CODEC_SOCKETIO, RC_FRAMING_WEBSOCKET, 0), NULL);
    cr_assert_gt(client, 0);
    struct rc_client *its = rc_truth_client(truth, client);
    its->random = rc_truth_client(truth, r.session)->random;
    its->guest = true;
    truth->homes[client] = (struct rc_home){.slot = r.session, .worker = (uint16_t)r.c.clients.worker};
    return client;
}

static void ends(uint32_t client)
{
    rc_truth_client(&r.c.rig.truth, client)->random = 77; /* of nobody else */
    rc_client_end(&r.c.clients, client);
}

Test(engine_moving, what_is_written_is_read)
{
    const uint32_t count = joined();
    const uint32_t client = another();
    const struct rc_engine *before = rc_engine_of(&r.engines, r.session);
    const struct rc_engine *after = rc_engine_of(&r.engines, client);
    char sid[2][RC_SID_BYTES];
    cr_assert_gt(count, 0);
    cr_assert_eq(rc_engine_came(&r.engines, client, rc_span_of(bytes, count)), 0);
    cr_assert(after->secret == before->secret && after->left == 1 && after->root_times == before->root_times);
    cr_assert(after->ping_ds == before->ping_ds && (after->flags & RC_ENGINE_ROOT));
    cr_assert(rc_span_equal(rc_engine_auth(&r.engines, client, RC_SPAN("/chat")), RC_SPAN("{\"a\":1}")));
    static const char *const nsps[] = {"/", "/chat", "/b"};
    for (size_t i = 0; i < 3; i++) { /* its sids are those that it had, and name it */
        const struct rc_span nsp = rc_span_text(nsps[i]);
        const struct rc_client_ref ref = {.random = rc_truth_sid_token(&r.c.rig.truth, client, nsp), .worker = 9};
        rc_engine_nsp_sid(&r.engines, r.session, nsp, sid[0]);
        rc_engine_nsp_sid(&r.engines, client, nsp, sid[1]);
        cr_assert_eq(memcmp(sid[0], sid[1], RC_SID_BYTES), 0, "%s", nsps[i]);
        cr_assert(i == 0 || rc_hub_socket(&r.c.rig.hub, &ref, nsp) == client, "%s", nsps[i]);
    }
    uint32_t at = 0;
    uint32_t tokens = 0;
    for (uint64_t token; rc_truth_token_next(&r.c.rig.truth, client, &at, &token); tokens++) {
        cr_assert(token != 0 && token != rc_truth_client(&r.c.rig.truth, client)->random);
    }
    cr_assert_eq(tokens, 2, "that of / is its client's");
    rc_engine_token_ends(&r.engines, client, RC_SPAN("/chat"));
    rc_engine_token_ends(&r.engines, client, RC_SPAN("/b"));
    ends(client);
}

Test(engine_moving, what_is_cut_or_of_no_session_is_refused)
{
    const uint32_t count = joined();
    const uint32_t client = another();
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *cut = malloc(i + 1); /* for a sanitizer to see what is read beyond it */
        memcpy(cut, bytes, i);
        cr_assert_eq(rc_engine_came(&r.engines, client, rc_span_of(cut, i)), -EBADMSG, "%u", i);
        free(cut);
    }
    cr_assert_eq(rc_engine_came(&r.engines, client, rc_span_of(bytes, count + 1)), -EBADMSG);
    cr_assert_eq(rc_engine_goes(&r.engines, r.session, bytes, count - 1), 0, "it does not fit");
    ends(client);
}

Test(engine_moving, a_secret_that_no_sid_has_is_refused)
{
    const uint32_t count = joined();
    const uint32_t client = another();
    uint64_t secret; /* it is the first word */
    memcpy(&secret, bytes, sizeof(secret));
    cr_assert_eq(secret, rc_engine_of(&r.engines, r.session)->secret);
    secret |= UINT64_C(1) << RC_SID_TOKEN_BITS;
    memcpy(bytes, &secret, sizeof(secret));
    cr_assert_eq(rc_engine_came(&r.engines, client, rc_span_of(bytes, count)), -EBADMSG);
    ends(client);
}

/* Its sockets may come back, of which there is room for so many. */
static void recovers(uint32_t count)
{
    static struct rc_recoverable objects[4];
    r.c.rig.config->socketio.recovery_ms = 60000;
    rc_pool_init(&r.c.rig.truth.recoverables, objects, sizeof(objects[0]), 1 + count);
    cr_assert_eq(rc_recoverable_open(&r.engines), 0);
}

/* What goes up of sockets that may come back: the state of the one record; -1: there is none. */
static uint16_t told_code;
static char told_set[16]; /* what was set on its connection */

static int told(void)
{
    struct rc_envelope_view up;
    uint32_t type;
    int state = -1;
    while (client_rig_up(&r.c, &type, &up)) {
        if (type == RC_UP_SESSION) {
            struct rc_sio_session_head head;
            cr_assert_geq(up.head.data_bytes, sizeof(head));
            memcpy(&head, up.data, sizeof(head));
            cr_assert_eq(state, -1, "one is told of");
            state = head.state;
            told_code = up.head.code;
            cr_assert_lt(head.set_bytes, sizeof(told_set));
            memcpy(told_set, up.data + sizeof(head) + head.user_bytes, head.set_bytes);
            told_set[head.set_bytes] = '\0';
        }
    }
    return state;
}

/* Of a killed worker's client, which has gone, its successor knows only that all of it is to be told. */
Test(engine_moving, who_went_is_not_told_of_again)
{
    recovers(1);
    rc_recoverable_begin(&r.engines, r.session, RC_SPAN("/"), NULL);
    cr_assert_not(rc_recoverables_told(&r.engines, r.session));
    rc_recoverables_went(&r.engines, r.session);
    cr_assert_eq(rc_truth_recoverable_of(&r.c.rig.truth, r.session, RC_SPAN("/")), 0);
    cr_assert_eq(r.c.rig.truth.recoverables.used, 1, "it is named by the list of those that are to be told");
    (void)told();
    rc_recoverables_tell(&r.engines);
    cr_assert_eq(told(), -1);
    cr_assert(r.c.rig.truth.recoverables.used == 0 && r.engines.recoverables.count == 0);
}

Test(engine_moving, a_socket_for_which_there_is_no_room_cannot_come_back)
{
    recovers(1);
    rc_recoverable_begin(&r.engines, r.session, RC_SPAN("/"), NULL);
    const uint32_t count = rc_recoverables_write(&r.engines, r.session, bytes, sizeof(bytes));
    cr_assert(count > 0 && count != RC_RECOVERABLES_NO_ROOM);
    rc_recoverables_tell(&r.engines);
    cr_assert_eq(told(), RC_SIO_SESSION_LIVE);
    cr_assert_eq(told_code, 0, "for the first time");
    rc_recoverables_went(&r.engines, r.session);
    cr_assert_eq(r.c.rig.truth.recoverables.used, 0);
    cr_assert_eq(rc_recoverables_read(&r.engines, r.session, rc_span_of(bytes, count)), 0);
    rc_recoverables_tell(&r.engines);
    cr_assert_eq(told(), RC_SIO_SESSION_LIVE);
    cr_assert_eq(told_code, RC_SIO_SESSION_AGAIN);
    rc_recoverables_went(&r.engines, r.session);
    r.c.rig.truth.recoverables.count_max = 1;
    r.c.rig.truth.recoverables.free = 0;
    cr_assert_eq(rc_recoverables_read(&r.engines, r.session, rc_span_of(bytes, count)), 0);
    cr_assert_eq(told(), RC_SIO_SESSION_ENDED, "the relay does not keep it for ever");
    (void)client_rig_fill(&r.c, 0);
    cr_assert_eq(rc_recoverables_read(&r.engines, r.session, rc_span_of(bytes, count)), -ENOMEM);
    cr_assert_eq(told(), -1);
}

Test(engine_moving, who_does_something_stays)
{
    struct rc_engine *engine = rc_engine_of(&r.engines, r.session);
    (void)joined();
    cr_assert_null(rc_engine_hindrance(&r.engines, r.session));
    static const uint16_t flags[] = {RC_ENGINE_GOODBYE, RC_ENGINE_CUT, RC_ENGINE_MOVED};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        engine->flags |= flags[i];
        cr_assert_not_null(rc_engine_hindrance(&r.engines, r.session), "%x", flags[i]);
        engine->flags &= (uint16_t)~flags[i];
    }
    engine->deadline_ds = 1;
    cr_assert_not_null(rc_engine_hindrance(&r.engines, r.session), "it has joined nothing");
    engine->deadline_ds = 0;
    engine->poll = 1;
    cr_assert_null(rc_engine_hindrance(&r.engines, r.session), "it is answered when it has gone");
    engine->poll = 0;
    engine->post = 1;
    cr_assert_not_null(rc_engine_hindrance(&r.engines, r.session), "its POST is being carried out");
    engine->post = 0;
    engine_rig_ask(&r, "/", 1000, 0);
    cr_assert_not_null(rc_engine_hindrance(&r.engines, r.session), "its answer is waited for");
}

/* --- one that polls --------------------------------------------------------------------------------------------------- */

static uint32_t place(uint64_t secret)
{
    return rc_sid_places_find(&limits->sid_places, r.c.rig.control->core, secret);
}

/* It goes to this very worker, to another place: what it is there. */
static uint32_t goes_to_another_place(void)
{
    const uint32_t count = rc_engine_goes(&r.engines, r.session, bytes, sizeof(bytes));
    const uint32_t client =
        rc_client_open(&r.c.clients, RC_ENDPOINT_PATH, rc_encoding_of(RC_CODEC_SOCKETIO, RC_FRAMING_POLLING, 0), NULL);
    struct rc_client *its = rc_truth_client(&r.c.rig.truth, client);
    cr_assert_gt(count, 0);
    its->random = rc_truth_client(&r.c.rig.truth, r.session)->random;
    its->guest = true;
    r.c.rig.truth.homes[client] = (struct rc_home){.slot = r.session, .worker = (uint16_t)r.c.clients.worker};
    rc_truth_client(&r.c.rig.truth, r.session)->moving = true;
    rc_engine_went(&r.engines, r.session, 1);
    rc_client_went(&r.c.clients, r.session);
    cr_assert_eq(rc_hub_alias(&r.c.rig.hub, its->random, client), 0);
    cr_assert_eq(rc_engine_came(&r.engines, client, rc_span_of(bytes, count)), 0);
    return client;
}

Test(engine_moving, who_polls_is_found_by_its_sid_and_gets_what_it_had_not)
{
    struct engine_rig_wire *wire = engine_rig_wire(&r);
    const uint64_t secret = rc_engine_of(&r.engines, r.session)->secret;
    cr_assert_eq(place(secret), UINT32_MAX);
    cr_assert_null(rc_engine_hindrance(&r.engines, r.session));
    cr_assert_eq(place(secret), 0, "as long as it is here it is found here");
    rc_engine_reply(&r.engines, r.session, RC_PART_TEXT, "42[\"one\"]", 9);
    rc_engine_reply(&r.engines, r.session, RC_PART_BINARY, "\001\036\002", 3);
    const uint32_t client = goes_to_another_place();
    cr_assert_eq(place(secret), r.c.clients.worker, "whoever took it says so, too");
    engine_rig_request(&r, wire, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, wire), 200);
    cr_assert_str_eq(wire->text, "42[\"one\"]\036bAR4C");
    engine_rig_request(&r, wire, r.sid, "1"); /* it says good-bye */
    cr_assert_eq(engine_rig_answer(&r, wire), 200);
    cr_assert(place(secret) == UINT32_MAX && rc_truth_client(&r.c.rig.truth, client)->random == 0);
    engine_rig_request(&r, wire, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, wire), 400, "it has ended");
}

Test(engine_moving, a_get_that_waits_is_answered_when_its_session_has_gone)
{
    struct engine_rig_wire *wire = engine_rig_wire(&r);
    engine_rig_request(&r, wire, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, wire), 0, "there is nothing for it");
    cr_assert_null(rc_engine_hindrance(&r.engines, r.session));
    const uint32_t client = goes_to_another_place();
    cr_assert_eq(engine_rig_answer(&r, wire), 200);
    cr_assert_str_eq(wire->text, "6");
    rc_client_end(&r.c.clients, client);
}

/* Why it cannot go, as the whole worker has it: rooms, logs, its protocol. */
static const char *hindrance(void)
{
    static struct rc_moves moves;
    moves = (struct rc_moves){.clients = &r.c.clients};
    return rc_move_hindrance(&moves, r.session);
}

#define PART_BYTES 3000u

static void publish(uint32_t parts)
{
    static char text[PART_BYTES];
    memset(text, 'x', sizeof(text));
    text[0] = text[sizeof(text) - 1] = '"';
    for (uint32_t i = 0; i < parts; i++) {
        cr_assert_eq(hub_rig_publish(&r.c.rig, "/#", rc_span_of(text, sizeof(text)), NULL, 0), 0);
        engine_rig_pass(&r);
    }
}

Test(engine_moving, who_has_more_to_read_than_a_message_has_room_for_stays_and_keeps_it_in_the_logs)
{
    const uint64_t secret = rc_engine_of(&r.engines, r.session)->secret;
    const uint64_t published = 19 * (PART_BYTES + strlen("\03642[\"message\",]"));
    publish(19);
    cr_assert_eq(rc_hub_unread(&r.c.rig.hub, r.session), published);
    cr_assert_null(hindrance());
    rc_sid_places_remove(&limits->sid_places, secret);
    rc_engine_of(&r.engines, r.session)->flags &= (uint16_t)~RC_ENGINE_PLACED;
    memset(bytes, 'x', 9000);
    rc_engine_reply(&r.engines, r.session, RC_PART_TEXT, bytes, 9000);
    cr_assert_str_eq(hindrance(), "it is behind");
    cr_assert_eq(place(secret), UINT32_MAX, "it needs none");
    cr_assert_eq(rc_hub_unread(&r.c.rig.hub, r.session), published + 9001);
    cr_assert_eq(rc_hub_unsent(&r.c.rig.hub, r.session), 9001, "the rest is in the logs, whose limits count it");
}

/* What is evened out is the number of connections, which stays when only a session goes. */
Test(engine_moving, who_polls_is_not_chosen_to_even_out_connections)
{
    struct rc_moves moves = {.clients = &r.c.clients};
    cr_assert_not(rc_moves_begin(&moves, 1, 8, false));
    cr_assert_eq(moves.give.stayed, 0, "it is not asked for");
    cr_assert(rc_moves_begin(&moves, 1, 8, true));
    cr_assert(moves.give.count == 1 && moves.give.items[0].client == r.session);
    rc_moves_close(&moves);
}

static void (*its_end)(void *context, uint32_t client);
static uint32_t worked_for;

static void ends_meanwhile(void *context, uint32_t client)
{
    worked_for = r.c.rig.truth.layout->working_client;
    its_end(context, client);
}

/* What was taken out of its logs is only in this process then: of a killed one that client ends, as one that is in the middle of its GET. */
Test(engine_moving, while_all_is_gathered_that_it_has_not_got_it_is_worked_for)
{
    static const char none[] =
        "42[\"a\"]\036"; /* two packets, the second of which is none: it ends in the middle of this */
    its_end = r.c.clients.engine.ended;
    r.c.clients.engine.ended = ends_meanwhile;
    rc_engine_reply(&r.engines, r.session, RC_PART_TEXT, none, sizeof(none) - 1);
    const uint32_t session = r.session;
    cr_assert_eq(rc_engine_goes(&r.engines, session, bytes, sizeof(bytes)), 0);
    cr_assert_not(engine_rig_lives(&r, session));
    cr_assert_eq(worked_for, session);
    cr_assert_eq(r.c.rig.truth.layout->working_client, 0);
    r.c.clients.engine.ended = its_end;
}

Test(engine_moving, whose_worker_died_before_its_entry_was_made_gets_one)
{
    const uint64_t secret = rc_engine_of(&r.engines, r.session)->secret;
    rc_engine_of(&r.engines, r.session)->flags |= RC_ENGINE_PLACED;
    cr_assert_null(rc_engine_hindrance(&r.engines, r.session));
    cr_assert_eq(place(secret), r.c.clients.worker);
}

Test(engine_moving, one_that_has_ended_where_it_went_is_nowhere_and_so_is_one_that_may_have_gone)
{
    const uint64_t secret = rc_engine_of(&r.engines, r.session)->secret;
    cr_assert_null(rc_engine_hindrance(&r.engines, r.session));
    rc_sid_places_remove(&limits->sid_places, secret);
    rc_engine_went(&r.engines, r.session, 1);
    cr_assert_eq(place(secret), UINT32_MAX, "who took it was faster");
    cr_assert_eq(rc_sid_places_put(&limits->sid_places, r.c.rig.control->core, secret, r.c.clients.worker), 0);
    rc_truth_client(&r.c.rig.truth, r.session)->moving = true; /* its worker was killed while it sent it */
    rc_client_end(&r.c.clients, r.session);
    cr_assert_eq(place(secret), UINT32_MAX);
}

static bool held;

static bool is_held(void *context, uint32_t client)
{
    (void)context;
    return held && client != 0;
}

Test(engine_moving, what_it_posts_while_it_is_to_go_waits)
{
    struct engine_rig_wire *posts = engine_rig_wire(&r);
    struct engine_rig_wire *polls = engine_rig_wire(&r);
    r.c.clients.move.holds = is_held;
    held = true;
    engine_rig_request(&r, posts, r.sid, "3");
    cr_assert_eq(engine_rig_answer(&r, posts), 0);
    cr_assert_eq(rc_engine_of(&r.engines, r.session)->post, 0, "it was not begun");
    rc_engine_reply(&r.engines, r.session, RC_PART_TEXT, "6", 1);
    engine_rig_request(&r, polls, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, polls), 200, "what there is it gets all the same");
    held = false;
    rc_handovers_go_on(&r.handovers);
    cr_assert_eq(engine_rig_answer(&r, posts), 200);
    cr_assert_str_eq(posts->text, "ok");
}

/* It went to a worker that does not run now. How many bytes it was. */
static uint32_t goes_to_who_does_not_run(void)
{
    cr_assert_null(rc_engine_hindrance(&r.engines, r.session));
    const uint32_t count = rc_engine_goes(&r.engines, r.session, bytes, sizeof(bytes));
    r.c.rig.control->worker_count = 2;
    rc_truth_client(&r.c.rig.truth, r.session)->moving = true;
    rc_engine_went(&r.engines, r.session, 1);
    rc_client_went(&r.c.clients, r.session);
    return count;
}

/* How many tenths of a second pass until it is answered. */
static uint32_t waits(struct engine_rig_wire *wire, int status)
{
    uint32_t tenths = 0;
    int got;
    while ((got = engine_rig_answer(&r, wire)) == 0) {
        cr_assert_lt(++tenths, 1000);
        engine_rig_wait(&r, 100);
    }
    cr_assert_eq(got, status);
    return tenths;
}

Test(engine_moving, each_request_for_a_worker_that_does_not_run_has_two_seconds_of_its_own)
{
    struct engine_rig_wire *wire = engine_rig_wire(&r);
    (void)goes_to_who_does_not_run();
    engine_rig_request(&r, wire, r.sid, NULL);
    const uint32_t first = waits(wire, 400);
    cr_assert_geq(first, 20);
    engine_rig_request(&r, wire, r.sid, NULL);
    cr_assert_eq(engine_rig_answer(&r, wire), 0);
    engine_rig_wait(&r, 100);
    for (uint32_t i = 0; i < 100; i++) { /* whatever is moved meanwhile has nothing to do with it */
        r.handovers.waiting = true;
        rc_handovers_go_on(&r.handovers);
    }
    cr_assert_eq(waits(wire, 400), first - 1);
}

Test(engine_moving, a_request_that_found_somebody_leaves_the_next_one_its_time)
{
    struct engine_rig_wire *wire = engine_rig_wire(&r);
    const uint64_t secret = rc_engine_of(&r.engines, r.session)->secret;
    (void)goes_to_who_does_not_run();
    engine_rig_request(&r, wire, r.sid, NULL);
    engine_rig_wait(&r, 100);
    engine_rig_wait(&r, 100);
    cr_assert_eq(engine_rig_answer(&r, wire), 0);
    rc_sid_places_went(&limits->sid_places, r.c.rig.control->core, secret, 1, 0); /* it has ended */
    cr_assert_leq(waits(wire, 400), 2);
    cr_assert_eq(r.c.rig.truth.sockets[wire->socket].leaving, 0);
}

/* The session is back, in some place. */
static uint32_t comes_back(uint64_t random, uint32_t count)
{
    const uint32_t client =
        rc_client_open(&r.c.clients, RC_ENDPOINT_PATH, rc_encoding_of(RC_CODEC_SOCKETIO, RC_FRAMING_POLLING, 0), NULL);
    struct rc_client *its = rc_truth_client(&r.c.rig.truth, client);
    its->random = random;
    its->guest = client != r.session;
    if (its->guest) {
        r.c.rig.truth.homes[client] = (struct rc_home){.slot = r.session, .worker = (uint16_t)r.c.clients.worker};
        cr_assert_eq(rc_hub_alias(&r.c.rig.hub, random, client), 0);
    }
    cr_assert_eq(rc_engine_came(&r.engines, client, rc_span_of(bytes, count)), 0);
    cr_assert(engine_rig_lives(&r, client));
    return client;
}

Test(engine_moving, who_hangs_up_while_its_get_waits_to_be_handed_over_has_given_it_up)
{
    struct engine_rig_wire *wire = engine_rig_wire(&r);
    struct rc_socket *socket = &r.c.rig.truth.sockets[wire->socket];
    const uint64_t random = rc_truth_client(&r.c.rig.truth, r.session)->random;
    const uint32_t count = goes_to_who_does_not_run();
    engine_rig_request(&r, wire, r.sid, NULL);
    socket->flags |= RC_SOCKET_PEER_ENDED; /* as io does it */
    rc_socket_ended(&r.c.clients, wire->socket, 0);
    cr_assert_eq(socket->state, RC_SOCKET_LEAVING, "who gets it finds out, too");
    const uint32_t client = comes_back(random, count);
    for (uint32_t i = 0; i < 3; i++) {
        engine_rig_wait(&r, 100);
    }
    cr_assert_not(engine_rig_lives(&r, client));
}

Test(engine_moving, for_whom_there_is_no_place_stays)
{
    const uint64_t secret = rc_engine_of(&r.engines, r.session)->secret;
    for (uint64_t i = 1; i <= RC_SID_PLACE_WAYS; i++) {
        const uint64_t other = secret % RC_SID_PLACE_SETS + i * RC_SID_PLACE_SETS;
        cr_assert_eq(rc_sid_places_put(&limits->sid_places, r.c.rig.control->core, other, 0), 0);
    }
    cr_assert_not_null(rc_engine_hindrance(&r.engines, r.session));
    cr_assert_eq(rc_metric_get(r.c.rig.metrics, RC_METRIC_SID_PLACES_REFUSED), 1);
    cr_assert_eq(rc_engine_of(&r.engines, r.session)->flags & RC_ENGINE_PLACED, 0);
    rc_sid_places_remove(&limits->sid_places, secret % RC_SID_PLACE_SETS + RC_SID_PLACE_SETS);
    cr_assert_null(rc_engine_hindrance(&r.engines, r.session));
}

Test(engine_moving, one_that_could_not_be_taken_is_nowhere)
{
    const uint64_t secret = rc_engine_of(&r.engines, r.session)->secret;
    cr_assert_null(rc_engine_hindrance(&r.engines, r.session));
    const uint32_t count = rc_engine_goes(&r.engines, r.session, bytes, sizeof(bytes));
    rc_engine_lost(&r.engines, rc_span_of(bytes, count - 1));
    cr_assert_eq(place(secret), 0);
    rc_engine_lost(&r.engines, rc_span_of(bytes, count));
    cr_assert_eq(place(secret), UINT32_MAX);
}

/* --- one that comes back ---------------------------------------------------------------------------------------------- */

/* What rows have set on it is the session's, not yet its client's. */
Test(engine_moving, who_breaks_off_while_it_comes_back_is_lost_as_who_it_was)
{
    struct rc_sio_session_head as = {.set_bytes = 7};
    struct rc_returning *one = calloc(1, sizeof(*one));
    memset(as.pid, 'p', sizeof(as.pid));
    memset(as.sid, 's', sizeof(as.sid));
    recovers(1);
    cr_assert_eq(rc_returnings_open(&r.engines), 0);
    *one = (struct rc_returning){.engines = &r.engines, .client = r.session, .takes = true, .nsp_bytes = 5};
    memcpy(one->nsp, "/chat", 5);
    one->session_bytes = sizeof(as) + as.set_bytes;
    one->session = malloc(one->session_bytes);
    memcpy(one->session, &as, sizeof(as));
    memcpy(one->session + sizeof(as), "{\"a\":1}", as.set_bytes);
    r.engines.returning[r.session] = one;
    rc_recoverable_begin(&r.engines, r.session, RC_SPAN("/chat"), &as);
    (void)told();
    rc_socketio_gone(&r.engines, r.session);
    cr_assert_eq(told(), RC_SIO_SESSION_LOST);
    cr_assert_str_eq(told_set, "{\"a\":1}");
    rc_recoverables_tell(&r.engines);
    cr_assert_eq(told(), -1);
}

/* More than a record of a small ring has room for: else the relay would go on with how it stood before. */
Test(engine_moving, who_cannot_be_told_of_does_not_come_back)
{
    char room[160];
    recovers(1);
    rc_recoverable_begin(&r.engines, r.session, RC_SPAN("/"), NULL);
    rc_recoverables_tell(&r.engines);
    cr_assert_eq(told(), RC_SIO_SESSION_LIVE);
    memset(room, 'r', sizeof(room));
    for (uint32_t i = 0; i < 300; i++) {
        memcpy(room, &(char[]){(char)('a' + i % 26), (char)('a' + i / 26)}, 2);
        rc_client_join(&r.c.clients, r.session, rc_span_of(room, sizeof(room)));
        engine_rig_settle(&r);
        while (told() != -1) {}
    }
    rc_recoverable_changed(&r.engines, r.session);
    rc_recoverables_tell(&r.engines);
    cr_assert_eq(told(), RC_SIO_SESSION_ENDED);
}
