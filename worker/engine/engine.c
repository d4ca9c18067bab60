/* engine: Engine.IO sessions. See engine.h. */
#include "worker/engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/config/event_rules.h"
#include "common/config/socketio.h"
#include "common/metrics/event_rows.h"
#include "common/text/base64.h"
#include "worker/engine/acks.h"
#include "worker/engine/asked.h"
#include "worker/engine/does.h"
#include "worker/engine/doing.h"
#include "worker/engine/moving.h"
#include "worker/engine/recoverable.h"
#include "worker/engine/returning.h"
#include "worker/engine/rule_wait.h"
#include "worker/engine/rules.h"
#include "worker/engine/socketio.h"
#include "worker/engine/unjoined.h"
#include "worker/engine/upgrade.h"
#include "worker/store/named.h"
#include "worker/store/receiving.h"
#include "worker/ws/frame.h"

#define ENGINE_TIMERS_MAX 128u /* a pass fires: each may be a send */

/* --- timers ---------------------------------------------------------------------------------------------------------- */

/* Its packets lie here and are not looked at, for a reason of ours: its pong may be among them. Whoever does not take its replies has
 * itself to thank. */
static bool engine_unread(const struct rc_engines *engines, uint32_t client)
{
    const struct rc_clients *clients = engines->clients;
    const struct rc_client *its = rc_truth_client(clients->truth, client);
    const struct rc_socket *socket = rc_truth_socket_of(clients->truth, its);
    if (socket == NULL) {
        return rc_engine_of(engines, client)->post != 0 &&
               rc_hub_unsent(clients->hub, client) <= clients->config->limits.max_reply_bytes;
    }
    return (its->flags & RC_CLIENT_WAITS_OTHERS) || (socket->flags & (RC_SOCKET_WAITS_UPLINK | RC_SOCKET_WAITS_RATE));
}

static void engine_ping_due(struct rc_engines *engines, uint32_t client)
{
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    if ((engine->flags & RC_ENGINE_PONG_DUE) && engine_unread(engines, client)) {
        engine->ping_ds = rc_engine_deadline(engines, rc_engine_settings(engines)->ping_timeout_ms);
        rc_engine_schedule(engines, client);
        return;
    }
    if (engine->flags & RC_ENGINE_PONG_DUE) {
        rc_engine_note_end(engines, client, RC_ENGINE_WHY_SILENT);
        rc_metric_add(clients->metrics, RC_METRIC_PONG_TIMEOUTS, 1);
        rc_named_log_client("pong_timeout", clients->truth, client, "no pong", "");
        rc_client_end(clients, client); /* at once: who answers no ping answers no close frame either */
        return;
    }
    engine->flags |= RC_ENGINE_PONG_DUE;
    engine->ping_ds = rc_engine_deadline(engines, rc_engine_settings(engines)->ping_timeout_ms);
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
    struct rc_engine *engine = rc_engine_of(engines, client);
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
    const uint32_t now = rc_engine_now(engines);
    rc_acks_timers(engines);
    rc_unjoined_work(engines);
    for (uint32_t i = 0; i < ENGINE_TIMERS_MAX; i++) {
        const uint32_t client = rc_wheel_expire(&engines->wheel, now);
        if (client == RC_WHEEL_NONE) {
            return;
        }
        const struct rc_engine *engine = rc_engine_of(engines, client);
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

static uint32_t wheel_sleep_ms(const struct rc_engines *engines, const struct rc_wheel *wheel, uint32_t most_ms)
{
    if (wheel->pending == 0) {
        return most_ms;
    }
    if (wheel->now_ds < rc_engine_now(engines)) {
        return 0; /* more are due than one pass takes */
    }
    const uint32_t ms = rc_wheel_sleep(wheel, most_ms / RC_ENGINE_TICK_MS) * RC_ENGINE_TICK_MS;
    return ms < most_ms ? ms : most_ms;
}

uint32_t rc_engines_sleep_ms(const struct rc_engines *engines, uint32_t most_ms)
{
    return rc_returnings_sleep_ms(
        engines, wheel_sleep_ms(engines, &engines->emits, wheel_sleep_ms(engines, &engines->wheel, most_ms)));
}

/* --- a session's end ---------------------------------------------------------------------------------------------- */

/* Of clients->engine: the client is about to be freed. */
static void engine_gone(void *context, uint32_t client)
{
    struct rc_engines *engines = context;
    const struct rc_clients *clients = engines->clients;
    rc_asked_forget(engines, client);
    if ((rc_engine_of(engines, client)->flags & RC_ENGINE_SESSION) == 0) {
        return;
    }
    if (rc_truth_client(clients->truth, client)->flags & RC_CLIENT_CLOSE_RECEIVED) {
        /* it said so itself */
    } else if (clients->draining || (rc_truth_client(clients->truth, client)->flags & RC_CLIENT_CLOSE_QUEUED)) {
        rc_engine_note_end(engines, client, RC_ENGINE_WHY_SERVER);
    }
    if (rc_engine_is_linked(engines, client)) {
        engines->link.gone(engines->link.context, client, (enum rc_engine_why)rc_engine_of(engines, client)->why);
    } else {
        rc_socketio_gone(engines, client);
    }
}

static void engine_ended(void *context, uint32_t client)
{
    struct rc_engines *engines = context;
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    if (!rc_engine_is(engines, client)) {
        return;
    }
    const uint32_t other = engine->other;
    /* Requests that are answered below may bring others of this session: they must not find it. */
    rc_engine_retire(engines, client);
    if (engine->flags & RC_ENGINE_SESSION) {
        if (rc_truth_client(clients->truth, client)->moving) {
            rc_engine_tokens_went(engines, client);
            rc_recoverables_went(engines, client);
        }
        rc_socketio_ended(engines, client);
        /* One that has gone asks again, and comes to where it is. */
        engines->polls.ended(engines->polls.context, client,
                             rc_truth_client(clients->truth, client)->moving ? RC_EIO_NOOP : RC_EIO_CLOSE);
        if (engine->flags & RC_ENGINE_COUNTED) {
            rc_address_limit_remove(&clients->addresses, &engine->address);
        }
    }
    rc_wheel_clear(&engines->wheel, client);
    rc_unjoined_remove(engines, client);
    const bool probes = (engine->flags & RC_ENGINE_PROBE) != 0;
    *engine = (struct rc_engine){0};
    if (other != 0) {
        struct rc_engine *its = rc_engine_of(engines, other);
        its->other = 0;
        if (probes) { /* polling goes on, and the next probe begins anew */
            its->flags &= (uint16_t)~RC_ENGINE_PROBED;
        } else { /* what it probed is gone */
            rc_client_close(clients, other, RC_WS_CLOSE_NORMAL, NULL, true);
        }
    }
}

/* --- packets --------------------------------------------------------------------------------------------------------- */

static void engine_pong(struct rc_engines *engines, uint32_t client)
{
    if (rc_engine_is_3(engines, client)) {
        rc_engine_broken(engines, client, "a pong of the client");
        return;
    }
    rc_metric_add(engines->clients->metrics, RC_METRIC_PONGS, 1);
    rc_engine_beat(engines, client);
}

/* Of Engine.IO 3 it is the client that asks. */
static void engine_ping(struct rc_engines *engines, uint32_t client)
{
    static const char pong = RC_EIO_PONG;
    if (!rc_engine_is_3(engines, client)) {
        rc_engine_broken(engines, client, "a ping of the client");
        return;
    }
    rc_engine_beat(engines, client);
    rc_engine_reply(engines, client, RC_PART_TEXT, &pong, 1);
}

/* Bare Engine.IO: a message is one of the raw protocol, or comes back. */
static enum rc_engine_result engine_message(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                            uint8_t *bytes, size_t count, uint32_t *done)
{
    struct rc_clients *clients = engines->clients;
    const enum rc_codec_id codec = rc_encoding_codec(rc_truth_client(clients->truth, client)->encoding);
    if (rc_codec_is_link(codec)) {
        rc_receiving_operation(clients->truth, false);
        return engines->link.message(engines->link.context, client, kind, bytes, count) ? RC_ENGINE_DONE
                                                                                        : RC_ENGINE_LATER;
    }
    if (codec != RC_CODEC_ENGINEIO) {
        return rc_socketio_message(engines, client, kind, bytes, count, done);
    }
    return rc_client_operations(clients, client, kind, bytes, count, done) ? RC_ENGINE_DONE : RC_ENGINE_LATER;
}

/* A binary message as base64: decoded beside, since the same bytes come again if it has to wait. */
static enum rc_engine_result engine_base64(struct rc_engines *engines, uint32_t client, const uint8_t *bytes,
                                           size_t count, uint32_t *done)
{
    if (count > engines->decoded_capacity) {
        uint8_t *larger = realloc(engines->decoded, count);
        if (larger == NULL) {
            rc_client_failed_memory(engines->clients, client);
            return RC_ENGINE_DONE;
        }
        engines->decoded = larger;
        engines->decoded_capacity = count;
    }
    const int64_t decoded = count == 0 ? 0 : rc_base64_decode(engines->decoded, bytes, count);
    if (decoded < 0) {
        rc_engine_broken(engines, client, "no Engine.IO packet");
        return RC_ENGINE_DONE;
    }
    return engine_message(engines, client, RC_PART_BINARY, engines->decoded, (size_t)decoded, done);
}

/* Of Engine.IO 3 its type stands before it; nothing but messages is binary. */
static enum rc_engine_result engine_binary(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                           uint8_t *bytes, size_t count, uint32_t *done)
{
    const bool text = kind == RC_PART_TEXT;
    const size_t head = text + rc_engine_is_3(engines, client);
    if (count < head || (head > text && bytes[text] != (text ? RC_EIO_MESSAGE : RC_EIO_3_MESSAGE))) {
        rc_engine_broken(engines, client, "no Engine.IO packet");
        return RC_ENGINE_DONE;
    }
    return text ? engine_base64(engines, client, bytes + head, count - head, done)
                : engine_message(engines, client, kind, bytes + head, count - head, done);
}

/* The client says good-bye: a GET of its that waits is answered, and nobody finds the session meanwhile. */
static void engine_left(struct rc_engines *engines, uint32_t client)
{
    const uint64_t random = rc_truth_client(engines->clients->truth, client)->random;
    rc_engine_retire(engines, client);
    engines->polls.ended(engines->polls.context, client, RC_EIO_NOOP);
    if (rc_engine_lives(engines, client, random)) {
        rc_engine_end(engines, client, RC_WS_CLOSE_NORMAL, NULL, true);
    }
}

enum rc_engine_result rc_engine_packet(struct rc_engines *engines, uint32_t client, enum rc_part_kind kind,
                                       uint8_t *bytes, size_t count, uint32_t *done)
{
    if (rc_engine_of(engines, client)->flags & RC_ENGINE_PROBE) {
        rc_receiving_operation(engines->clients->truth, false);
        rc_engine_probe_packet(engines, client, bytes, kind == RC_PART_TEXT ? count : 0);
        return RC_ENGINE_DONE;
    }
    if (kind == RC_PART_BINARY ||
        (count > 0 && bytes[0] == 'b')) { /* base64 is of payloads; engine.io takes it here as well */
        return engine_binary(engines, client, kind, bytes, count, done);
    }
    switch (count == 0 ? '\0' : (char)bytes[0]) {
    case RC_EIO_MESSAGE:
        return engine_message(engines, client, kind, bytes + 1, count - 1, done);
    case RC_EIO_PONG:
        engine_pong(engines, client);
        return RC_ENGINE_DONE;
    case RC_EIO_CLOSE:
        rc_receiving_operation(engines->clients->truth, false);
        engine_left(engines, client);
        return RC_ENGINE_DONE;
    case RC_EIO_OPEN:
    case RC_EIO_UPGRADE:
    case RC_EIO_NOOP:
        return RC_ENGINE_DONE; /* of no meaning here */
    case RC_EIO_PING:
        engine_ping(engines, client);
        return RC_ENGINE_DONE;
    default:
        rc_engine_broken(engines, client, "no Engine.IO packet");
        return RC_ENGINE_DONE;
    }
}

/* --- ready ----------------------------------------------------------------------------------------------------------- */

/* Whoever is sent away gets what was said to it before, that it is sent away, and nothing that is said from here on, however long its next request
 * is in coming. False: it has ended. */
static bool engine_goodbye(struct rc_engines *engines, uint32_t client)
{
    struct rc_engine *engine = rc_engine_of(engines, client);
    const uint64_t random = rc_truth_client(engines->clients->truth, client)->random;
    rc_hub_begins(engines->clients->hub);
    if (!rc_engine_gather(engines, client)) {
        return false;
    }
    engine->flags |= RC_ENGINE_DEAF;
    if (engine->poll == 0) {
        rc_truth_client(engines->clients->truth, client)->flags &= (uint16_t)~RC_CLIENT_POLLED;
    }
    if (engine->flags & RC_ENGINE_FAREWELL) {
        engine->flags &= (uint16_t)~RC_ENGINE_FAREWELL;
        rc_socketio_farewell(engines, client);
    }
    return rc_engine_lives(engines, client, random);
}

/* Its GET gets what there is for it. Killed in the middle, a successor answers it: nothing is taken before the answer is whole. */
static void engine_answer(struct rc_engines *engines, uint32_t client)
{
    struct rc_clients *clients = engines->clients;
    const struct rc_engine *engine = rc_engine_of(engines, client);
    const uint64_t random = rc_truth_client(clients->truth, client)->random;
    rc_receiving_over(clients->truth); /* what comes next is this client's */
    const bool more = (engine->flags & RC_ENGINE_DEAF) ? rc_hub_take_replies(clients->hub, client, &engines->taken)
                                                       : rc_hub_take(clients->hub, client, &engines->taken);
    if (engines->taken.count == 0) {
        rc_hub_got(clients->hub); /* that it need not look at */
        if (more) {
            rc_hub_touch(clients->hub, client);
        } else if (engine->flags & RC_ENGINE_GOODBYE) {
            /* In an answer of its own: in one with its last messages, clients would hear of the end before them. */
            rc_hub_begins(clients->hub);
            rc_client_end(clients, client);
        }
        return;
    }
    RC_ASSERT(engines->taken.bytes[0] == RC_EIO_SEPARATOR);
    engines->polls.answer(engines->polls.context, client, engines->taken.bytes + 1, engines->taken.count - 1);
    rc_hub_not_got(clients->hub);
    rc_receiving_over(clients->truth);
    if (rc_engine_lives(engines, client, random) && engine->post != 0) {
        rc_hub_begins(clients->hub);
        engines->polls.resumed(engines->polls.context, client); /* it may have waited for its replies to be taken */
    }
}

void rc_engine_ready(void *context, uint32_t client)
{
    struct rc_engines *engines = context;
    struct rc_clients *clients = engines->clients;
    struct rc_engine *engine = rc_engine_of(engines, client);
    if (!(engine->flags & RC_ENGINE_SESSION) || rc_truth_client(clients->truth, client)->state != RC_CLIENT_OPEN ||
        rc_engine_upgrade(engines, client)) {
        return;
    }
    if ((engine->flags & (RC_ENGINE_GOODBYE | RC_ENGINE_CUT | RC_ENGINE_DEAF)) == RC_ENGINE_GOODBYE &&
        !(rc_truth_client(clients->truth, client)->flags & RC_CLIENT_WAITS_JOIN) && !engine_goodbye(engines, client)) {
        return;
    }
    if (engine->poll == 0) {
        return;
    }
    if (engine->flags & RC_ENGINE_CUT) {
        rc_hub_begins(clients->hub);
        rc_client_end(clients, client);
        return;
    }
    engine_answer(engines, client);
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
    rc_hub_touch(engines->clients->hub, client); /* who polls, or wants to upgrade, may have waited for it as well */
    engines->polls.resumed(engines->polls.context, client);
}

static void ops_close(void *context, uint32_t client, uint16_t code, const char *reason, bool now)
{
    rc_engine_note_end(context, client, RC_ENGINE_WHY_SERVER);
    rc_engine_end(context, client, code, reason, now);
}

/* Too slow. It is told with its next request, which may be long in coming; what a client has to say meanwhile is heard as before. */
static void ops_cut_off(void *context, uint32_t client)
{
    struct rc_engines *engines = context;
    struct rc_engine *engine = rc_engine_of(engines, client);
    rc_engine_note_end(engines, client, RC_ENGINE_WHY_SERVER);
    engine->flags |= RC_ENGINE_GOODBYE | RC_ENGINE_CUT;
    engine->ping_ds = 0;
    engine->deadline_ds = rc_engine_deadline(engines, rc_engine_settings(engines)->ping_timeout_ms);
    rc_engine_schedule(engines, client);
    rc_hub_touch(engines->clients->hub, client);
}

static void ops_farewell(void *context, uint32_t client)
{
    struct rc_engines *engines = context;
    rc_engine_note_end(engines, client, RC_ENGINE_WHY_SENT_OFF);
    if (rc_truth_client(engines->clients->truth, client)->socket == RC_SOCKET_NONE) {
        rc_engine_of(engines, client)->flags |= RC_ENGINE_FAREWELL; /* behind what there is for it: engine_goodbye */
    } else {
        rc_socketio_farewell(engines, client);
    }
}

static void ops_let_in(void *context, uint32_t client, uint32_t backend, struct rc_span reply)
{
    rc_asked_connected(context, client, backend, rc_span_of(NULL, 0), reply);
}

static void ops_changed(void *context, uint32_t client)
{
    rc_recoverable_changed(context, client);
}

static bool ops_post(void *context, const struct rc_reply_operation *emit, struct rc_span nsp, struct rc_span backend,
                     uint32_t *rooms)
{
    const struct rc_does does = {.engines = context, .nsp = nsp, .backend = backend};
    return rc_does_post(&does, emit, rooms);
}

void rc_engines_open(struct rc_engines *engines, struct rc_clients *clients)
{
    *engines = (struct rc_engines){.clients = clients,
                                   .rules = (uint8_t)clients->truth->layout->event_rules,
                                   .dismiss = rc_socketio_dismiss,
                                   .told = rc_asked_told,
                                   .came_back = rc_socketio_came_back,
                                   .keeps_auth = rc_rules_use_auth(clients->config)};
    rc_event_rows_adopt(clients->control->own->rows, clients->config);
    rc_sid_instance(engines->instance, clients->control->instance_id);
    clients->engine = (struct rc_engine_ops){.context = engines,
                                             .message = ops_message,
                                             .resumed = ops_resumed,
                                             .close = ops_close,
                                             .cut_off = ops_cut_off,
                                             .farewell = ops_farewell,
                                             .gone = engine_gone,
                                             .ended = engine_ended,
                                             .let_in = ops_let_in,
                                             .changed = ops_changed,
                                             .post = ops_post,
                                             .moving = {.hindrance = rc_engine_hindrance,
                                                        .bytes = rc_engine_moving_bytes,
                                                        .goes = rc_engine_goes,
                                                        .came = rc_engine_came,
                                                        .went = rc_engine_went,
                                                        .lost = rc_engine_lost}};
}

void rc_engines_reconfigure(struct rc_engines *engines, const struct rc_config *config)
{
    if (!rc_event_rules_equal(engines->clients->config, config)) {
        engines->clients->truth->layout->event_rules = ++engines->rules;
    }
    engines->keeps_auth = rc_rules_use_auth(config);
    rc_event_rows_adopt(engines->clients->control->own->rows, config);
}

int rc_engines_start(struct rc_engines *engines)
{
    const struct rc_clients *clients = engines->clients;
    int rc = rc_wheel_open(&engines->wheel, clients->truth->clients.count_max, rc_engine_now(engines));
    rc = rc < 0 ? rc : rc_unjoined_open(engines);
    rc = rc < 0 ? rc : rc_recoverable_open(engines);
    rc = rc < 0 ? rc : rc_returnings_open(engines);
    rc = rc < 0 ? rc : rc_asked_open(engines);
    return rc < 0 ? rc : rc_acks_open(engines);
}

void rc_engines_set_polls(struct rc_engines *engines, const struct rc_poll_ops *ops)
{
    engines->polls = *ops;
}

void rc_engines_close(struct rc_engines *engines)
{
    rc_rule_waits_close(engines);
    rc_returnings_close(engines);
    rc_recoverable_close(engines);
    rc_wheel_close(&engines->wheel);
    rc_acks_close(engines);
    rc_unjoined_close(engines);
    free(engines->taken.bytes);
    free(engines->result);
    free(engines->decoded);
    rc_asked_close(engines);
    rc_doing_close(engines);
}
