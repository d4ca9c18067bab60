/*
 * A successor of a worker has its clients: what rooms above the hub know beside the truth is the same in a second set of rooms on a copy
 * of it, and sessions by polling and by WebSocket go on there as if nothing had been.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/engine_rig.h"

static struct engine_rig first;
static struct engine_rig second;

static struct engine_rig_wire *socket_wire; /* of the session by WebSocket */
static struct engine_rig_wire *get;
static char polling_sid[RC_SID_BYTES + 1];
static uint32_t polling;
static uint32_t by_socket;

static void open_all(void)
{
    engine_rig_open(&first);
    struct rc_config *config = first.c.rig.config;
    config->socketio.ack_timeout_ms = 60000;
    config->socketio.namespace_count = 1;
    config->limits.max_connections_per_address = 100;
    strcpy(config->socketio.namespaces[0].text, "/");
    engine_rig_rows(&first, "");
    rc_clients_reconfigure(&first.c.clients, config);
    engine_rig_begin(&first, true);
    polling = first.session;
    memcpy(polling_sid, first.sid, sizeof(polling_sid));
    get = engine_rig_wire(&first);
    engine_rig_begin(&first, false); /* it joins nothing: the time for that runs */
    socket_wire = engine_rig_wire(&first);
    engine_rig_upgrade(&first, socket_wire, NULL);
    engine_rig_frame(&first, socket_wire, "40");
    engine_rig_settle(&first);
    (void)engine_rig_frames(&first, socket_wire);
    by_socket = first.c.rig.truth.sockets[socket_wire->socket].client;
    client_rig_user(&first.c, by_socket, "alice");
    cr_assert_eq(rc_client_expires(&first.c.clients, by_socket, 0), 0);
    engine_rig_ask(&first, "/", 5000, 0);
    for (uint32_t i = 0; i < first.c.rig.truth.socket_count; i++) { /* as an accepted one has from the beginning */
        const struct rc_socket *socket = &first.c.rig.truth.sockets[i];
        if (socket->state == RC_SOCKET_HTTP && socket->deadline_ds == 0 && socket->input == 0) {
            rc_socket_deadline(&first.c.clients, i, 30000);
        }
    }
}

static struct engine_rig_wire *of_second(const struct engine_rig_wire *wire)
{
    return &second.wires[wire - first.wires];
}

static void same_wheel(const struct rc_wheel *a, const struct rc_wheel *b, const char *what)
{
    cr_assert_eq(a->count, b->count);
    cr_assert_eq(a->pending, b->pending, "%s: %u and %u", what, a->pending, b->pending);
    for (uint32_t i = 0; i < a->count; i++) {
        cr_assert_eq(a->nodes[i].deadline_ds, b->nodes[i].deadline_ds, "%s %u", what, i);
    }
}

Test(adopt, rooms_above_the_hub_know_the_same, .timeout = 20)
{
    open_all();
    engine_rig_adopt(&second, &first);
    const struct rc_clients *a = &first.c.clients;
    const struct rc_clients *b = &second.c.clients;
    cr_assert_eq(a->connections, 3);
    cr_assert(a->connections == b->connections && a->users == b->users && a->handshakes == b->handshakes);
    cr_assert_eq(b->users, 1);
    same_wheel(&a->io->wheel, &b->io->wheel, "socket");
    same_wheel(&first.engines.wheel, &second.engines.wheel, "session");
    same_wheel(&first.engines.emits, &second.engines.emits, "emit");
    cr_assert_gt(second.engines.emits.pending, 0);
    cr_assert_eq(
        memcmp(first.engines.acks, second.engines.acks, a->truth->clients.count_max * sizeof(*first.engines.acks)), 0);
    cr_assert_eq(rc_metric_get(a->metrics, RC_METRIC_ENGINE_UNJOINED), 1);
    cr_assert_eq(rc_metric_get(b->metrics, RC_METRIC_ENGINE_UNJOINED), 1);
    cr_assert_gt(a->addresses.map.count, 0);
    for (uint32_t i = 0; i < a->truth->socket_count; i++) {
        cr_assert_eq(rc_address_limit_of_address(&a->addresses, &a->truth->peers[i]),
                     rc_address_limit_of_address(&b->addresses, &b->truth->peers[i]));
    }
    cr_assert_eq(second.c.uplink.down.position, first.c.uplink.down.position);
    engine_rig_close(&second);
    engine_rig_close(&first);
}

Test(adopt, sessions_go_on, .timeout = 20)
{
    char answer[32];
    open_all();
    (void)engine_rig_frames(&first, socket_wire);
    engine_rig_adopt(&second, &first);
    /* What waited for the one by polling is there, and is what it was asked before. */
    engine_rig_request(&second, of_second(get), polling_sid, NULL);
    cr_assert_eq(engine_rig_answer(&second, of_second(get)), 200);
    char id[16] = "";
    cr_assert_eq(sscanf(of_second(get)->text, "42%15[0-9][\"q\",1]", id), 1, "%s", of_second(get)->text);
    cr_assert_eq(second.c.rig.truth.acks.used, 2);
    (void)snprintf(answer, sizeof(answer), "43%s[7]", id);
    engine_rig_request(&second, of_second(get), polling_sid, answer);
    cr_assert_eq(engine_rig_answer(&second, of_second(get)), 200);
    cr_assert_eq(second.c.rig.truth.acks.used, 1, "its answer was taken");
    engine_rig_frame(&second, of_second(socket_wire), answer);
    cr_assert_eq(second.c.rig.truth.acks.used, 0, "and the other one's");
    /* Both are still in the namespace, and hear what comes. */
    engine_rig_ask(&second, "/", 5000, 0);
    cr_assert_not_null(strstr(engine_rig_frames(&second, of_second(socket_wire)), "[\"q\",1]"));
    engine_rig_request(&second, of_second(get), polling_sid, NULL);
    cr_assert_eq(engine_rig_answer(&second, of_second(get)), 200);
    cr_assert_not_null(strstr(of_second(get)->text, "[\"q\",1]"));
    cr_assert(engine_rig_lives(&second, polling) && engine_rig_lives(&second, by_socket));
    engine_rig_close(&second);
    engine_rig_close(&first);
}

Test(adopt, a_request_that_waits_is_begun_anew, .timeout = 20)
{
    open_all();
    engine_rig_request(&first, get, polling_sid, NULL);
    cr_assert_eq(engine_rig_answer(&first, get), 200);
    engine_rig_request(&first, get, polling_sid, NULL);
    cr_assert_eq(engine_rig_answer(&first, get), 0, "nothing is there for it");
    engine_rig_adopt(&second, &first);
    const struct rc_truth *truth = &second.c.rig.truth;
    cr_assert_eq(engine_rig_answer(&second, of_second(get)), 0, "it waits on");
    cr_assert_eq(rc_truth_engine(truth, polling)->poll, get->socket + 1);
    cr_assert((rc_truth_client(truth, polling)->flags & RC_CLIENT_POLLED) != 0);
    engine_rig_ask(&second, "/", 5000, 0);
    cr_assert_eq(engine_rig_answer(&second, of_second(get)), 200);
    cr_assert_not_null(strstr(of_second(get)->text, "[\"q\",1]"));
    cr_assert(engine_rig_lives(&second, polling));
    engine_rig_close(&second);
    engine_rig_close(&first);
}

/* Its sids name another place, where it was opened. */
Test(adopt, sockets_of_a_client_that_came_from_another_worker_are_found, .timeout = 20)
{
    open_all();
    struct rc_truth *truth = &first.c.rig.truth;
    struct rc_client *client = rc_truth_client(truth, by_socket);
    struct rc_engine *engine = rc_truth_engine(truth, by_socket);
    const struct rc_span nsp = RC_SPAN("/chat");
    uint32_t capacity = 0;
    cr_assert_eq(rc_socket_input_grow(&first.c.clients, &engine->namespaces, &capacity, nsp.count + 2, 0), 0);
    memcpy(rc_heap_at(&truth->heap, engine->namespaces), "\0\5/chat", nsp.count + 2);
    engine->namespaces_bytes = (uint16_t)(nsp.count + 2);
    client->guest = true;
    truth->homes[by_socket] = (struct rc_home){.slot = 3, .worker = 5};
    engine_rig_adopt(&second, &first);
    const struct rc_client_ref its = {.random = client->random, .slot = 3, .worker = 5};
    const struct rc_client_ref socket = {.random = rc_truth_sid_token(truth, by_socket, nsp), .slot = 3, .worker = 5};
    cr_assert_eq(rc_hub_here(&second.c.rig.hub, &its), by_socket);
    cr_assert_eq(rc_hub_socket(&second.c.rig.hub, &socket, nsp), by_socket);
    cr_assert_eq(rc_hub_session(&second.c.rig.hub, engine->secret), by_socket);
    cr_assert_eq(second.c.rig.hub.aliases.count, 3);
    engine_rig_close(&second);
    engine_rig_close(&first);
}
