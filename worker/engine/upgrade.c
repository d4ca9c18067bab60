/* upgrade: see upgrade.h. */
#include "worker/engine/upgrade.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "worker/ws/frame.h"

bool rc_engine_probes(const struct rc_engines *engines, uint32_t session)
{
    return rc_engine_of(engines, session)->other == 0 &&
           rc_truth_client(engines->clients->truth, session)->socket == RC_SOCKET_NONE;
}

bool rc_engine_probe(struct rc_engines *engines, uint32_t probe, uint32_t session)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *its = rc_engine_of(engines, session);
    if (!rc_engine_probes(engines, session)) {
        return false; /* one at a time, and not once it has one */
    }
    rc_truth_client(clients->truth, probe)->ping_ds = 0;
    *rc_engine_of(engines, probe) =
        (struct rc_engine){.flags = RC_ENGINE_PROBE,
                           .other = session,
                           .deadline_ds = rc_engine_deadline(engines, clients->config->socketio.upgrade_timeout_ms)};
    its->other = probe;
    rc_engine_schedule(engines, probe);
    return true;
}

/* "5": the WebSocket is the session's from here on, as soon as that may be. What comes behind it is the session's: it is not read
 * before. */
static void upgrade_begin(struct rc_engines *engines, uint32_t probe, uint32_t session)
{
    struct rc_clients *clients = engines->clients;
    struct rc_client *its = rc_truth_client(clients->truth, probe);
    rc_engine_of(engines, session)->flags |= RC_ENGINE_PROBED;
    rc_truth_client(clients->truth, session)->flags |= RC_CLIENT_POLLED; /* to be told when there is nothing more */
    its->flags |= RC_CLIENT_WAITS_SUBSCRIBE;
    rc_io_pause(clients->io, its->socket);
    rc_hub_touch(clients->hub, session);
}

void rc_engine_probe_packet(struct rc_engines *engines, uint32_t probe, const uint8_t *bytes, size_t count)
{
    static const char ping[] = "2probe";
    static const char pong[] = "3probe";
    static const uint8_t noop = RC_EIO_NOOP;
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, probe);
    const uint32_t session = engine->other;
    if (session != 0 && count == sizeof(ping) - 1 && memcmp(bytes, ping, count) == 0) {
        engine->flags |= RC_ENGINE_PROBED;
        rc_engine_reply(engines, probe, RC_PART_TEXT, pong, sizeof(pong) - 1);
        if (rc_engine_of(engines, session)->poll != 0) {
            /* The client changes over once its poll is answered. */
            engines->polls.answer(engines->polls.context, session, &noop, 1);
        }
    } else if (session != 0 && count == 1 && bytes[0] == RC_EIO_UPGRADE && (engine->flags & RC_ENGINE_PROBED)) {
        upgrade_begin(engines, probe, session);
    } else {
        rc_client_close(clients, probe, RC_WS_CLOSE_PROTOCOL_ERROR, "no probe", true);
    }
}

/* What was taken as polling payloads, as replies of the session in the encoding that it has by now. */
static void upgrade_rewrap(struct rc_engines *engines, uint32_t session, uint64_t random, uint8_t *payload,
                           size_t count)
{
    struct rc_eio_payload rest = rc_eio_payload_of(payload, count);
    struct rc_eio_packet packet;
    int rc = 0;
    while (rc_engine_lives(engines, session, random) && (rc = rc_eio_payload_next(&rest, &packet)) == 1) {
        rc_engine_reply(engines, session, packet.kind, packet.bytes, packet.count);
    }
    if (rc < 0 && rc_engine_lives(engines, session, random)) {
        rc_engine_broken(engines, session, "a message with U+001E, which separates packets");
    }
}

/* Everything that there is for the session, in one buffer that the caller frees; NULL: no memory. */
static uint8_t *upgrade_take(struct rc_engines *engines, uint32_t session, size_t *count)
{
    uint8_t *all = malloc(1);
    bool more = true;
    *count = 0;
    while (all != NULL && more) {
        /* There may be more that comes with the next turn only: that is not for now. */
        more = rc_hub_take(engines->clients->hub, session, &engines->taken) && engines->taken.count > 0;
        rc_hub_got(engines->clients->hub);
        uint8_t *larger = realloc(all, *count + engines->taken.count + 1);
        if (larger == NULL) {
            free(all);
            return NULL;
        }
        all = larger;
        if (engines->taken.count > 0) {
            memcpy(all + *count, engines->taken.bytes, engines->taken.count);
        }
        *count += engines->taken.count;
    }
    return all;
}

bool rc_engine_gather(struct rc_engines *engines, uint32_t session)
{
    const uint64_t random = rc_truth_client(engines->clients->truth, session)->random;
    /* What is taken out of the logs is nowhere but here until it is replies. */
    const uint32_t outer = rc_hub_works(engines->clients->hub, session);
    size_t count;
    uint8_t *taken = upgrade_take(engines, session, &count);
    if (taken == NULL) {
        rc_client_failed_memory(engines->clients, session);
    } else if (count > 0) {
        upgrade_rewrap(engines, session, random, taken + 1, count - 1);
    }
    free(taken);
    rc_hub_worked(engines->clients->hub, outer);
    return rc_engine_lives(engines, session, random);
}

/* Who counts in the limits of the address from here on: the WebSocket, instead of the session. */
static void upgrade_count(struct rc_engines *engines, struct rc_engine *engine, struct rc_socket *socket)
{
    if (!(engine->flags & RC_ENGINE_COUNTED)) {
        return;
    }
    engine->flags &= (uint16_t)~RC_ENGINE_COUNTED;
    if (socket->flags & RC_SOCKET_COUNTED) {
        rc_address_limit_remove(&engines->clients->addresses, &engine->address);
    } else { /* it came from the session's address, and was not counted beside it */
        socket->flags |= RC_SOCKET_COUNTED;
    }
}

/* The session is the WebSocket's from here on. */
static void upgrade_change_over(struct rc_engines *engines, uint32_t session, uint32_t probe)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, session);
    struct rc_client *client = rc_truth_client(clients->truth, session);
    const uint64_t random = client->random;
    const uint32_t socket = rc_truth_client(clients->truth, probe)->socket;
    const uint8_t of_probe = rc_truth_client(clients->truth, probe)->encoding;
    const uint8_t encoding =
        rc_encoding_of(rc_encoding_codec(client->encoding), RC_FRAMING_WEBSOCKET, rc_encoding_window_bits(of_probe));
    size_t count;
    uint8_t *taken = upgrade_take(engines, session, &count);
    engine->other = rc_engine_of(engines, probe)->other = 0;
    engine->flags &= (uint16_t)~RC_ENGINE_PROBED;
    client->flags &= (uint16_t)~RC_CLIENT_POLLED;
    if (taken == NULL || rc_hub_recode(clients->hub, session, encoding) < 0) {
        free(taken);
        rc_client_end(clients, probe);
        rc_client_failed_memory(clients, session);
        return;
    }
    engine->flags |= RC_ENGINE_UPGRADED;
    upgrade_count(engines, engine, &clients->truth->sockets[socket]);
    rc_client_move(clients, probe, session);
    rc_client_end(clients, probe);
    rc_metric_add(clients->metrics, RC_METRIC_ENGINE_UPGRADES, 1);
    if (rc_engine_is_linked(engines, session)) {
        engines->link.upgraded(engines->link.context, session);
    }
    if (count > 0) {
        upgrade_rewrap(engines, session, random, taken + 1, count - 1);
    }
    free(taken);
    if (!rc_engine_lives(engines, session, random)) {
        return;
    }
    if (engine->flags & RC_ENGINE_GOODBYE) { /* it was sent away meanwhile */
        engine->deadline_ds = 0;
        rc_engine_schedule(engines, session);
        rc_client_close(clients, session, RC_WS_CLOSE_NORMAL, NULL, false);
    }
    rc_socket_resume(clients, socket); /* what came behind "5" */
}

bool rc_engine_upgrade(struct rc_engines *engines, uint32_t session)
{
    static const uint8_t noop = RC_EIO_NOOP;
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, session);
    struct rc_client *client = rc_truth_client(clients->truth, session);
    const uint64_t random = client->random;
    if (!(engine->flags & RC_ENGINE_PROBED) || engine->other == 0) {
        return false;
    }
    rc_hub_begins(clients->hub);
    if (engine->poll != 0) {
        engines->polls.answer(engines->polls.context, session, &noop, 1);
        if (!rc_engine_lives(engines, session, random) || engine->other == 0) {
            return true; /* by a request behind the one that was answered */
        }
        client->flags |= RC_CLIENT_POLLED;
    }
    /* Whatever it has to wait for tells the session (resumed), or brings a turn. */
    if (!(client->flags & RC_CLIENT_WAITS) && engine->post == 0 && rc_hub_may_recode(clients->hub, session)) {
        upgrade_change_over(engines, session, engine->other);
    }
    return true;
}
