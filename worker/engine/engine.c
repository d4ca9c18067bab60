/* engine: Engine.IO sessions. See engine.h. */
#include "worker/engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/socketio.h"
#include "common/text/base64.h"
#include "worker/store/named.h"
#include "worker/ws/frame.h"

#define ENGINE_TIMERS_MAX 128u /* a pass fires: each may be a send */
#define ENGINE_GOODBYE_MS 1000u
#define ENGINE_TICK_MS 10u

static struct rc_engine *engine_of(const struct rc_engines *engines, uint32_t client)
{
    return rc_truth_engine(engines->clients->truth, client);
}

static const struct rc_config_socketio *settings_of(const struct rc_engines *engines)
{
    return &engines->clients->config->socketio;
}

/* --- timers ---------------------------------------------------------------------------------------------------------- */

/* Engine.IO's times are to the moment: its wheel turns ten times as fast as io's. */
static uint32_t engine_now(const struct rc_engines *engines)
{
    return (uint32_t)(engines->clients->io->now_ns / (ENGINE_TICK_MS * 1000000u) -
                      engines->clients->io->boot_ms / ENGINE_TICK_MS) +
           1;
}

uint32_t rc_engine_deadline(const struct rc_engines *engines, uint64_t in_ms)
{
    const uint64_t ticks = in_ms / ENGINE_TICK_MS;
    return engine_now(engines) + (uint32_t)(ticks == 0 ? 1 : ticks < UINT32_MAX / 2 ? ticks : UINT32_MAX / 2);
}

void rc_engine_schedule(struct rc_engines *engines, uint32_t client)
{
    const struct rc_engine *engine = engine_of(engines, client);
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

static void engine_ping_due(struct rc_engines *engines, uint32_t client)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = engine_of(engines, client);
    if (engine->flags & RC_ENGINE_PONG_DUE) {
        rc_metric_add(clients->metrics, RC_METRIC_PONG_TIMEOUTS, 1);
        rc_named_log_client("pong_timeout", clients->truth, client, "no pong", "");
        rc_engine_end(engines, client, RC_CLOSE_PONG_TIMEOUT, rc_close_reason(RC_CLOSE_PONG_TIMEOUT), true);
        return;
    }
    engine->flags |= RC_ENGINE_PONG_DUE;
    engine->ping_ds = rc_engine_deadline(engines, settings_of(engines)->ping_timeout_ms);
    rc_metric_add(clients->metrics, RC_METRIC_PINGS, 1);
    if (rc_hub_heartbeat(clients->hub, client) < 0) {
        rc_client_failed_memory(clients, client);
        return;
    }
    rc_engine_schedule(engines, client);
}

static void engine_deadline_due(struct rc_engines *engines, uint32_t client)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = engine_of(engines, client);
    engine->deadline_ds = 0;
    rc_metric_add(clients->metrics, RC_METRIC_HANDSHAKE_TIMEOUTS, 1);
    if (engine->flags & RC_ENGINE_PROBE) {
        rc_named_log_client("upgrade_timeout", clients->truth, client, "its upgrade was not completed", "");
        rc_client_close(clients, client, RC_WS_CLOSE_NORMAL, NULL, true);
    } else if (engine->flags & RC_ENGINE_GOODBYE) {
        rc_client_end(clients, client); /* nobody asked for its last packet */
    } else {
        rc_named_log_client("connect_timeout", clients->truth, client, "it joined no namespace", "");
        rc_engine_end(engines, client, RC_WS_CLOSE_NORMAL, NULL, true);
    }
}

void rc_engines_timers(struct rc_engines *engines)
{
    const uint32_t now = engine_now(engines);
    for (uint32_t i = 0; i < ENGINE_TIMERS_MAX; i++) {
        const uint32_t client = rc_wheel_expire(&engines->wheel, now);
        if (client == RC_WHEEL_NONE) {
            return;
        }
        const struct rc_engine *engine = engine_of(engines, client);
        if (rc_truth_client(engines->clients->truth, client)->state != RC_CLIENT_OPEN) {
            continue; /* its close frame has a deadline of its own */
        }
        if (engine->deadline_ds != 0 && engine->deadline_ds <= now) {
            engine_deadline_due(engines, client);
        } else if (engine->ping_ds != 0 && engine->ping_ds <= now) {
            engine_ping_due(engines, client);
        } else {
            rc_engine_schedule(engines, client);
        }
    }
}

uint32_t rc_engines_sleep_ms(const struct rc_engines *engines, uint32_t most_ms)
{
    if (engines->wheel.pending == 0) {
        return most_ms;
    }
    if (engines->wheel.now_ds < engine_now(engines)) {
        return 0; /* more are due than one pass takes */
    }
    const uint32_t ms = rc_wheel_sleep(&engines->wheel, most_ms / ENGINE_TICK_MS) * ENGINE_TICK_MS;
    return ms < most_ms ? ms : most_ms;
}

/* --- a session's life ------------------------------------------------------------------------------------------------ */

bool rc_engine_begin(struct rc_engines *engines, uint32_t index)
{
    struct rc_clients *clients = engines->clients;
    const struct rc_config_socketio *settings = settings_of(engines);
    struct rc_client *client = rc_truth_client(clients->truth, index);
    if (index > RC_SID_SLOT_MAX) {
        return false;
    }
    client->ping_ds = 0; /* the heartbeat is the session's */
    *engine_of(engines, index) = (struct rc_engine){
        .secret = rc_clients_random(clients),
        .flags = RC_ENGINE_SESSION,
        .ping_ds = rc_engine_deadline(engines, settings->ping_interval_ms),
        .deadline_ds = rc_encoding_codec(client->encoding) == RC_CODEC_ENGINEIO
                           ? 0
                           : rc_engine_deadline(engines, settings->connect_timeout_ms),
    };
    rc_engine_schedule(engines, index);
    return true;
}

size_t rc_engine_open_packet(const struct rc_engines *engines, uint32_t client, char out[RC_ENGINE_OPEN_BYTES_MAX])
{
    const struct rc_config_socketio *settings = settings_of(engines);
    const struct rc_client_ref ref = {
        .random = engine_of(engines, client)->secret, .slot = client, .worker = (uint16_t)engines->clients->worker};
    char sid[RC_SID_BYTES];
    rc_sid_write(sid, engines->instance, &ref);
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
    if (!*known || !rc_sid_is_of(sid, engines->instance) || sid->client.worker != engines->clients->worker ||
        sid->client.slot == 0 || sid->client.slot >= truth->clients.high || sid->client.random == 0) {
        return 0;
    }
    const uint32_t index = sid->client.slot;
    const struct rc_engine *engine = engine_of(engines, index);
    return (engine->flags & RC_ENGINE_SESSION) && engine->secret == sid->client.random &&
                   rc_truth_client(truth, index)->state == RC_CLIENT_OPEN
               ? index
               : 0;
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
    struct rc_engine *engine = engine_of(engines, client);
    if (rc_truth_client(clients->truth, client)->socket != RC_SOCKET_NONE) {
        rc_client_close(clients, client, code, reason, now);
    } else if (now) {
        rc_client_end(clients, client);
    } else if (!(engine->flags & RC_ENGINE_GOODBYE)) {
        const char last = RC_EIO_CLOSE;
        engine->flags |= RC_ENGINE_GOODBYE;
        engine->ping_ds = 0;
        engine->deadline_ds = rc_engine_deadline(engines, ENGINE_GOODBYE_MS);
        rc_engine_schedule(engines, client);
        rc_engine_reply(engines, client, RC_PART_TEXT, &last, 1);
    }
}

void rc_engine_broken(struct rc_engines *engines, uint32_t client, const char *why)
{
    rc_metric_add(engines->clients->metrics, RC_METRIC_PROTOCOL_ERRORS, 1);
    rc_named_log_client("protocol_error", engines->clients->truth, client, why, "");
    rc_engine_end(engines, client, RC_WS_CLOSE_PROTOCOL_ERROR, why, true);
}

/* Of clients->engine: the client is about to be freed. */
static void engine_ended(void *context, uint32_t client)
{
    struct rc_engines *engines = context;
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = engine_of(engines, client);
    if (!rc_engine_is(engines, client)) {
        return;
    }
    const uint32_t other = engine->other;
    if (engine->flags & RC_ENGINE_SESSION) {
        rc_socketio_ended(engines, client);
        engines->polls.ended(engines->polls.context, client, RC_EIO_CLOSE);
        if (engine->flags & RC_ENGINE_COUNTED) {
            rc_address_limit_remove(&clients->addresses, &engine->address);
        }
    }
    rc_wheel_clear(&engines->wheel, client);
    const bool probes = (engine->flags & RC_ENGINE_PROBE) != 0;
    *engine = (struct rc_engine){0};
    if (other != 0) {
        engine_of(engines, other)->other = 0;
        if (!probes) { /* what it probed is gone */
            rc_client_close(clients, other, RC_WS_CLOSE_NORMAL, NULL, true);
        }
    }
}

/* --- packets --------------------------------------------------------------------------------------------------------- */

static void engine_pong(struct rc_engines *engines, uint32_t client)
{
    struct rc_engine *engine = engine_of(engines, client);
    rc_metric_add(engines->clients->metrics, RC_METRIC_PONGS, 1);
    engine->flags &= (uint16_t)~RC_ENGINE_PONG_DUE;
    engine->ping_ds = rc_engine_deadline(engines, settings_of(engines)->ping_interval_ms);
    rc_engine_schedule(engines, client);
}

/* Bare Engine.IO: a message is one of the raw protocol, or comes back. */
static enum rc_engine_result engine_message(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                            uint8_t *bytes, size_t count, uint32_t *done)
{
    struct rc_clients *clients = engines->clients;
    const enum rc_codec_id codec = rc_encoding_codec(rc_truth_client(clients->truth, client)->encoding);
    if (codec != RC_CODEC_ENGINEIO) {
        return rc_socketio_message(engines, client, kind, bytes, count, done);
    }
    return rc_client_operations(clients, client, kind, bytes, count, done) ? RC_ENGINE_DONE : RC_ENGINE_LATER;
}

enum rc_engine_result rc_engine_packet(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                       uint8_t *bytes, size_t count, uint32_t *done)
{
    if (engine_of(engines, client)->flags & RC_ENGINE_PROBE) {
        return rc_engine_probe_packet(engines, client, bytes, kind == RC_PART_TEXT ? count : 0);
    }
    if (kind == RC_PART_BINARY) {
        return engine_message(engines, client, kind, bytes, count, done);
    }
    if (count > 0 && bytes[0] == 'b') { /* of payloads; engine.io takes it here as well */
        const int64_t decoded = rc_base64_decode(bytes + 1, bytes + 1, count - 1);
        if (decoded >= 0) {
            return engine_message(engines, client, RC_PART_BINARY, bytes + 1, (size_t)decoded, done);
        }
    }
    switch (count == 0 ? '\0' : (char)bytes[0]) {
    case RC_EIO_MESSAGE:
        return engine_message(engines, client, kind, bytes + 1, count - 1, done);
    case RC_EIO_PONG:
        engine_pong(engines, client);
        return RC_ENGINE_DONE;
    case RC_EIO_CLOSE:
        engines->polls.ended(engines->polls.context, client, RC_EIO_NOOP);
        rc_engine_end(engines, client, RC_WS_CLOSE_NORMAL, NULL, true);
        return RC_ENGINE_DONE;
    case RC_EIO_OPEN:
    case RC_EIO_UPGRADE:
    case RC_EIO_NOOP:
        return RC_ENGINE_DONE; /* of no meaning here */
    case RC_EIO_PING:
        rc_engine_broken(engines, client, "a ping of the client");
        return RC_ENGINE_DONE;
    default:
        rc_engine_broken(engines, client, "no Engine.IO packet");
        return RC_ENGINE_DONE;
    }
}

/* --- ready ----------------------------------------------------------------------------------------------------------- */

void rc_engine_ready(void *context, uint32_t client)
{
    struct rc_engines *engines = context;
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = engine_of(engines, client);
    if (!(engine->flags & RC_ENGINE_SESSION) || rc_truth_client(clients->truth, client)->state != RC_CLIENT_OPEN ||
        rc_engine_upgrade(engines, client) || engine->poll == 0) {
        return;
    }
    const bool more = rc_hub_take(clients->hub, client, &engines->taken);
    if (engines->taken.count == 0) {
        if (more) {
            rc_hub_touch(clients->hub, client);
        }
        return;
    }
    const bool last = (engine->flags & RC_ENGINE_GOODBYE) && !more;
    RC_ASSERT(engines->taken.bytes[0] == RC_EIO_SEPARATOR);
    engines->polls.answer(engines->polls.context, client, engines->taken.bytes + 1, engines->taken.count - 1);
    if (last) {
        rc_client_end(clients, client);
    }
}

/* --- wiring ---------------------------------------------------------------------------------------------------------- */

static bool ops_message(void *context, uint32_t client, enum rc_part_kind kind, uint8_t *bytes, size_t count,
                        uint32_t *done)
{
    return rc_engine_packet(context, client, kind, bytes, count, done) == RC_ENGINE_DONE;
}

static void ops_resumed(void *context, uint32_t client)
{
    struct rc_engines *engines = context;
    engines->polls.resumed(engines->polls.context, client);
}

static void ops_close(void *context, uint32_t client, uint16_t code, const char *reason, bool now)
{
    rc_engine_end(context, client, code, reason, now);
}

static void ops_farewell(void *context, uint32_t client)
{
    rc_socketio_farewell(context, client);
}

void rc_engines_open(struct rc_engines *engines, struct rc_clients *clients)
{
    *engines = (struct rc_engines){.clients = clients};
    rc_sid_instance(engines->instance, clients->control->instance_id);
    clients->engine = (struct rc_engine_ops){.context = engines,
                                             .message = ops_message,
                                             .resumed = ops_resumed,
                                             .close = ops_close,
                                             .farewell = ops_farewell,
                                             .ended = engine_ended};
}

int rc_engines_start(struct rc_engines *engines)
{
    const struct rc_clients *clients = engines->clients;
    return rc_wheel_open(&engines->wheel, clients->truth->clients.count_max, engine_now(engines));
}

void rc_engines_set_polls(struct rc_engines *engines, const struct rc_poll_ops *ops)
{
    engines->polls = *ops;
}

void rc_engines_close(struct rc_engines *engines)
{
    rc_wheel_close(&engines->wheel);
    free(engines->taken.bytes);
    free(engines->scratch);
    free(engines->result);
}
