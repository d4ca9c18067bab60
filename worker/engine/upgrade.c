/*
 * upgrade: a WebSocket takes a polling session over.
 *
 *   WebSocket with the session's id ──▶ probe (a client of its own) ──"2probe"──▶ "3probe" ──"5"──▶ the session waits for a moment
 *   in which it has got everything there is ──▶ what was taken leaves on the WebSocket first, the session's channels change over to
 *   the WebSocket's encoding, its socket carries the session, and the probe is no more
 *
 * Until then polling goes on; a probe that fails is only a WebSocket that ends. See engine.h.
 */
#include "worker/engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/ws/frame.h"

static struct rc_engine *engine_of(const struct rc_engines *engines, uint32_t client)
{
    return rc_truth_engine(engines->clients->truth, client);
}

bool rc_engine_probe(struct rc_engines *engines, uint32_t probe, uint32_t session)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *its = engine_of(engines, session);
    if (its->other != 0 || rc_truth_client(clients->truth, session)->socket != RC_SOCKET_NONE) {
        return false; /* one at a time, and not once it has one */
    }
    rc_truth_client(clients->truth, probe)->ping_ds = 0;
    *engine_of(engines, probe) =
        (struct rc_engine){.flags = RC_ENGINE_PROBE,
                           .other = session,
                           .deadline_ds = rc_engine_deadline(engines, clients->config->socketio.upgrade_timeout_ms)};
    its->other = probe;
    rc_engine_schedule(engines, probe);
    return true;
}

enum rc_engine_result rc_engine_probe_packet(struct rc_engines *engines, uint32_t probe, const uint8_t *bytes,
                                             size_t count)
{
    static const char ping[] = "2probe";
    static const char pong[] = "3probe";
    static const uint8_t noop = RC_EIO_NOOP;
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = engine_of(engines, probe);
    const uint32_t session = engine->other;
    if (engine_of(engines, session)->flags & RC_ENGINE_PROBED) {
        return RC_ENGINE_LATER; /* the session's, once it has changed over */
    }
    if (count == sizeof(ping) - 1 && memcmp(bytes, ping, count) == 0) {
        engine->flags |= RC_ENGINE_PROBED;
        rc_engine_reply(engines, probe, RC_PART_TEXT, pong, sizeof(pong) - 1);
        if (engine_of(engines, session)->poll != 0) {
            /* The client changes over once its poll is answered. */
            engines->polls.answer(engines->polls.context, session, &noop, 1);
        }
    } else if (count == 1 && bytes[0] == RC_EIO_UPGRADE && (engine->flags & RC_ENGINE_PROBED)) {
        engine_of(engines, session)->flags |= RC_ENGINE_PROBED;
        rc_truth_client(clients->truth, session)->flags |= RC_CLIENT_POLLED; /* to be told when there is nothing more */
        rc_hub_touch(clients->hub, session);
    } else {
        rc_client_close(clients, probe, RC_WS_CLOSE_PROTOCOL_ERROR, "no probe", true);
    }
    return RC_ENGINE_DONE;
}

/* What was taken as polling payloads, as WebSocket messages of the session, whose encoding is the WebSocket's by now. */
static void upgrade_rewrap(struct rc_engines *engines, uint32_t session, uint8_t *payload, size_t count)
{
    struct rc_eio_payload rest = rc_eio_payload_of(payload, count);
    struct rc_eio_packet packet;
    int rc;
    while ((rc = rc_eio_payload_next(&rest, &packet)) == 1) {
        rc_engine_reply(engines, session, packet.kind, packet.bytes, packet.count);
    }
    RC_ASSERT(rc == 0); /* we wrote it */
}

/* Everything that there is for the session, in one buffer that the caller frees; NULL: no memory. */
static uint8_t *upgrade_take(struct rc_engines *engines, uint32_t session, size_t *count)
{
    uint8_t *all = malloc(1);
    bool more = true;
    *count = 0;
    while (all != NULL && more) {
        more = rc_hub_take(engines->clients->hub, session, &engines->taken);
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

/* The session is the WebSocket's from here on. */
static void upgrade_change_over(struct rc_engines *engines, uint32_t session, uint32_t probe)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = engine_of(engines, session);
    struct rc_client *client = rc_truth_client(clients->truth, session);
    const uint8_t of_probe = rc_truth_client(clients->truth, probe)->encoding;
    const uint8_t encoding =
        rc_encoding_of(rc_encoding_codec(client->encoding), RC_FRAMING_WEBSOCKET, rc_encoding_window_bits(of_probe));
    size_t count;
    uint8_t *taken = upgrade_take(engines, session, &count);
    engine->other = engine_of(engines, probe)->other = 0;
    engine->flags &= (uint16_t)~RC_ENGINE_PROBED;
    engine->flags |= RC_ENGINE_UPGRADED;
    client->flags &= (uint16_t)~RC_CLIENT_POLLED;
    if (engine->flags & RC_ENGINE_COUNTED) { /* its WebSocket is */
        engine->flags &= (uint16_t)~RC_ENGINE_COUNTED;
        rc_address_limit_remove(&clients->addresses, &engine->address);
    }
    if (taken == NULL || rc_hub_recode(clients->hub, session, encoding) < 0 ||
        rc_client_move(clients, probe, session) < 0) {
        free(taken);
        rc_client_end(clients, probe);
        rc_client_failed_memory(clients, session);
        return;
    }
    rc_client_end(clients, probe);
    rc_metric_add(clients->metrics, RC_METRIC_ENGINE_UPGRADES, 1);
    if (count > 0) {
        upgrade_rewrap(engines, session, taken + 1, count - 1);
    }
    free(taken);
}

bool rc_engine_upgrade(struct rc_engines *engines, uint32_t session)
{
    static const uint8_t noop = RC_EIO_NOOP;
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = engine_of(engines, session);
    const uint32_t probe = engine->other;
    if (!(engine->flags & RC_ENGINE_PROBED) || probe == 0) {
        return false;
    }
    if (engine->poll != 0) {
        engines->polls.answer(engines->polls.context, session, &noop, 1);
        rc_truth_client(clients->truth, session)->flags |= RC_CLIENT_POLLED;
    }
    if ((rc_truth_client(clients->truth, session)->flags & RC_CLIENT_WAITS_JOIN) || engine->post != 0 ||
        rc_truth_client(clients->truth, probe)->output != 0 || !rc_hub_may_recode(clients->hub, session)) {
        rc_hub_touch(clients->hub, session); /* not yet: behind the next turn */
    } else {
        upgrade_change_over(engines, session, probe);
    }
    return true;
}
