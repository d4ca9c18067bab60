/* session: see session.h. */
#include "worker/engine/session.h"

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/socketio.h"
#include "common/shm/tallies.h"
#include "worker/store/named.h"
#include "worker/store/receiving.h"
#include "worker/ws/frame.h"

#define SESSION_GOODBYE_MS 1000u /* its last packet waits for a request that takes it */

/* --- time ----------------------------------------------------------------------------------------------------------- */

/* Engine.IO's times are to the moment: its wheel turns ten times as fast as io's. */
uint32_t rc_engine_now(const struct rc_engines *engines)
{
    return (uint32_t)(engines->clients->io->now_ns / (RC_ENGINE_TICK_MS * 1000000u) -
                      engines->clients->io->boot_ms / RC_ENGINE_TICK_MS) +
           1;
}

uint32_t rc_engine_deadline(const struct rc_engines *engines, uint64_t in_ms)
{
    const uint64_t ticks = in_ms / RC_ENGINE_TICK_MS;
    return rc_engine_now(engines) + (uint32_t)(ticks == 0 ? 1 : ticks < UINT32_MAX / 2 ? ticks : UINT32_MAX / 2);
}

void rc_engine_schedule(struct rc_engines *engines, uint32_t client)
{
    const struct rc_engine *engine = rc_engine_of(engines, client);
    uint32_t next = engine->ping_ds;
    if (engine->deadline_ds != 0 && (next == 0 || engine->deadline_ds < next)) {
        next = engine->deadline_ds;
    }
    if (next == 0) {
        rc_wheel_clear(&engines->wheel, client);
    } else {
        rc_wheel_set(&engines->wheel, client, next);
    }
}

void rc_engine_beat(struct rc_engines *engines, uint32_t client)
{
    const struct rc_config_socketio *settings = rc_engine_settings(engines);
    struct rc_engine *engine = rc_engine_of(engines, client);
    const bool of_client = rc_engine_is_3(engines, client);
    engine->flags = (uint16_t)((engine->flags & ~RC_ENGINE_PONG_DUE) | (of_client ? RC_ENGINE_PONG_DUE : 0));
    engine->ping_ds =
        rc_engine_deadline(engines, settings->ping_interval_ms + (of_client ? settings->ping_timeout_ms : 0));
    rc_engine_schedule(engines, client);
}

/* --- beginning ------------------------------------------------------------------------------------------------------ */

bool rc_engine_begin(struct rc_engines *engines, uint32_t index, uint32_t socket)
{
    struct rc_clients *clients = engines->clients;
    const struct rc_config_socketio *settings = rc_engine_settings(engines);
    struct rc_client *client = rc_truth_client(clients->truth, index);
    if (index > RC_SID_SLOT_MAX) {
        return false;
    }
    client->ping_ds = 0; /* the heartbeat is the session's */
    *rc_engine_of(engines, index) = (struct rc_engine){
        .secret = rc_clients_random(clients),
        .flags = RC_ENGINE_SESSION | (rc_socket_is_secure(clients, socket) ? RC_ENGINE_SECURE : 0u),
        .deadline_ds = rc_encoding_codec(client->encoding) == RC_CODEC_ENGINEIO || rc_engine_is_linked(engines, index)
                           ? 0
                           : rc_engine_deadline(engines, settings->connect_timeout_ms),
    };
    rc_engine_beat(engines, index);
    return true;
}

/* Of the place where it was opened. */
static void sid_write(const struct rc_engines *engines, uint32_t client, uint64_t token, char out[RC_SID_BYTES])
{
    struct rc_client_ref ref = rc_client_ref(engines->clients, client);
    ref.random = token;
    rc_sid_write(out, engines->instance, &ref);
}

void rc_engine_sid(const struct rc_engines *engines, uint32_t client, char out[RC_SID_BYTES])
{
    sid_write(engines, client, rc_engine_of(engines, client)->secret, out);
}

void rc_engine_nsp_sid(const struct rc_engines *engines, uint32_t client, struct rc_span nsp, char out[RC_SID_BYTES])
{
    const struct rc_truth *truth = engines->clients->truth;
    if (RC_UNLIKELY(rc_engine_of(engines, client)->flags & RC_ENGINE_MOVED)) {
        const uint32_t index = rc_truth_recoverable_of(truth, client, nsp);
        if (index != 0 && (rc_truth_recoverable(truth, index)->flags & RC_RECOVERABLE_MOVED)) {
            memcpy(out, rc_truth_recoverable(truth, index)->sid, RC_SID_BYTES);
            return;
        }
    }
    rc_engine_place_sid(engines, client, nsp, out);
}

void rc_engine_place_sid(const struct rc_engines *engines, uint32_t client, struct rc_span nsp, char out[RC_SID_BYTES])
{
    sid_write(engines, client, rc_truth_sid_token(engines->clients->truth, client, nsp), out);
}

bool rc_engine_has_joined(const struct rc_engines *engines, uint32_t client, struct rc_span nsp)
{
    const struct rc_engine *engine = rc_engine_of(engines, client);
    return nsp.count == 1 ? (engine->flags & RC_ENGINE_ROOT) != 0
                          : rc_truth_find_nsp(engines->clients->truth, engine, nsp) < engine->namespaces_bytes;
}

bool rc_engine_is_joined_as(const struct rc_engines *engines, uint32_t client, struct rc_span nsp,
                            const char sid[RC_SID_BYTES])
{
    char its[RC_SID_BYTES];
    if (!rc_engine_has_joined(engines, client, nsp)) {
        return false;
    }
    rc_engine_nsp_sid(engines, client, nsp, its);
    return memcmp(its, sid, sizeof(its)) == 0;
}

void rc_engine_join_user(struct rc_engines *engines, uint32_t client)
{
    struct rc_clients *clients = engines->clients;
    const struct rc_span user = rc_client_user(clients, client);
    if (user.count > 0 && rc_engine_has_joined(engines, client, RC_SPAN("/"))) {
        char name[RC_CHANNEL_NAME_MAX];
        RC_ASSERT(RC_USER_CHANNEL_HEAD_BYTES + user.count <= sizeof(name));
        memcpy(name, RC_USER_CHANNEL_HEAD, RC_USER_CHANNEL_HEAD_BYTES);
        memcpy(name + RC_USER_CHANNEL_HEAD_BYTES, user.bytes, user.count);
        rc_client_join(clients, client, rc_span_of(name, RC_USER_CHANNEL_HEAD_BYTES + user.count));
    }
}

size_t rc_engine_open_packet(const struct rc_engines *engines, uint32_t client, char out[RC_ENGINE_OPEN_BYTES_MAX])
{
    const struct rc_config_socketio *settings = rc_engine_settings(engines);
    char sid[RC_SID_BYTES];
    rc_engine_sid(engines, client, sid);
    const bool polls = rc_truth_client(engines->clients->truth, client)->socket == RC_SOCKET_NONE;
    const struct rc_eio_open open = {.sid = rc_span_of(sid, sizeof(sid)),
                                     .upgrades_websocket =
                                         polls && rc_config_transport_allowed(settings, RC_CONFIG_WEBSOCKET),
                                     .ping_interval_ms = settings->ping_interval_ms,
                                     .ping_timeout_ms = settings->ping_timeout_ms,
                                     .payload_bytes_max = settings->max_payload_bytes};
    const size_t bytes = rc_eio_open_write(out, RC_ENGINE_OPEN_BYTES_MAX, &open);
    RC_ASSERT(bytes > 0);
    return bytes;
}

uint32_t rc_engine_find(const struct rc_engines *engines, struct rc_span text, struct rc_sid *sid, bool *known)
{
    const struct rc_truth *truth = engines->clients->truth;
    *known = rc_sid_read(sid, text);
    if (!*known || !rc_sid_is_of(sid, engines->instance) || sid->client.random == 0) {
        return 0;
    }
    const uint32_t slot =
        sid->client.worker == engines->clients->worker && sid->client.slot < truth->clients.high ? sid->client.slot : 0;
    const bool here = slot != 0 && rc_engine_of(engines, slot)->secret == sid->client.random;
    const uint32_t index = here ? slot : rc_hub_session(engines->clients->hub, sid->client.random);
    return index != 0 && (rc_engine_of(engines, index)->flags & RC_ENGINE_SESSION) &&
                   rc_truth_client(truth, index)->state == RC_CLIENT_OPEN
               ? index
               : 0;
}

void rc_engine_retire(struct rc_engines *engines, uint32_t client)
{
    const struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    const struct rc_client *its = rc_truth_client(clients->truth, client);
    if (RC_UNLIKELY(its->guest) && engine->secret != 0) {
        rc_hub_alias_end(clients->hub, engine->secret, client);
    }
    if (RC_UNLIKELY(engine->flags & RC_ENGINE_PLACED) && !its->moving) {
        rc_sid_places_remove(&clients->control->limits->sid_places, engine->secret);
    } else if (RC_UNLIKELY(engine->flags & RC_ENGINE_PLACED)) {
        /* Of a killed worker: who got it, if anybody did, says where it is. Else rc_engine_went has said it. */
        rc_sid_places_went(&clients->control->limits->sid_places, clients->control->core, engine->secret,
                           clients->worker, RC_SID_PLACE_NOWHERE);
    }
    engine->secret = 0;
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */

void rc_engine_note_end(struct rc_engines *engines, uint32_t client, enum rc_engine_why why)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    if (engine->why == RC_ENGINE_WHY_CLOSED) {
        engine->why = (uint8_t)why;
    }
}

void rc_engine_reply(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind, const void *bytes,
                     size_t count)
{
    if (rc_hub_reply_part(engines->clients->hub, client, kind, bytes, (uint32_t)count) < 0) {
        rc_client_failed_memory(engines->clients, client);
    }
}

void rc_engine_end(struct rc_engines *engines, uint32_t client, uint16_t code, const char *reason, bool now)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    if (rc_truth_client(clients->truth, client)->socket != RC_SOCKET_NONE) {
        rc_client_close(clients, client, code, reason, now);
    } else if (now) {
        rc_client_end(clients, client);
    } else if (!(engine->flags & RC_ENGINE_GOODBYE)) {
        engine->flags |= RC_ENGINE_GOODBYE;
        engine->ping_ds = 0;
        engine->deadline_ds = rc_engine_deadline(engines, SESSION_GOODBYE_MS);
        rc_engine_schedule(engines, client);
        rc_truth_client(clients->truth, client)->flags |=
            RC_CLIENT_POLLED; /* rc_engine_ready is its end, whether it asks or not */
        rc_hub_touch(clients->hub, client);
    }
}

void rc_engine_broken(struct rc_engines *engines, uint32_t client, const char *why)
{
    rc_receiving_operation(engines->clients->truth, false);
    rc_metric_add(engines->clients->metrics, RC_METRIC_PROTOCOL_ERRORS, 1);
    rc_named_log_client("protocol_error", engines->clients->truth, client, why, "");
    rc_engine_note_end(engines, client, RC_ENGINE_WHY_BROKEN);
    rc_engine_end(engines, client, RC_WS_CLOSE_PROTOCOL_ERROR, why, true);
}
