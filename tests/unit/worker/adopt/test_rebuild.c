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
