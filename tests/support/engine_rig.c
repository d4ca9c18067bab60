/* engine_rig: see engine_rig.h. */
#include "tests/support/engine_rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "acceptor/config/toml.h"
#include "common/base/check.h"
#include "common/records/emit.h"
#include "worker/adopt/rebuild.h"
#include "worker/engine/requests.h"
#include "worker/store/receiving.h"
#include "worker/ws/frame.h"

/* --- wiring, as the worker's main() does it -------------------------------------------------------------------------- */

static void rig_changed(void *context, uint32_t channel)
{
    (void)context;
    (void)channel;
}

static void rig_round(void *context)
{
    (void)context;
}

static void rig_ready(void *context, uint32_t client)
{
    struct engine_rig *r = context;
    rc_engine_ready(&r->engines, client);
}

#define TO_CLIENTS(name, function, type)            \
    static void name(void *context, uint32_t index) \
    {                                               \
        struct engine_rig *r = context;             \
        function(&r->c.clients, index);             \
    }
TO_CLIENTS(rig_joined, rc_client_joined, client)
TO_CLIENTS(rig_subscribed, rc_client_subscribed, client)
TO_CLIENTS(rig_drained, rc_socket_replies_drained, socket)
TO_CLIENTS(rig_flushed, rc_client_flushed, client)
TO_CLIENTS(rig_leaving, rc_client_leaving, client)
TO_CLIENTS(rig_answered, rc_socket_answered, socket)
TO_CLIENTS(rig_end, rc_client_end, client)
TO_CLIENTS(rig_cut_off, rc_client_cut_off, client)
TO_CLIENTS(rig_timer, rc_socket_timer, socket)
TO_CLIENTS(rig_terminated, rc_socket_terminated, socket)

static void rig_received(void *context, uint32_t socket, uint8_t *bytes, uint32_t count)
{
    struct engine_rig *r = context;
    rc_socket_received(&r->c.clients, socket, bytes, count);
}

static void rig_ended(void *context, uint32_t socket, int error)
{
    struct engine_rig *r = context;
    rc_socket_ended(&r->c.clients, socket, error);
}

static void rig_writable(void *context, uint32_t socket)
{
    struct engine_rig *r = context;
    rc_hub_writable(&r->c.rig.hub, socket);
}

static void rig_short_send(void *context, const struct rc_packet *packet, const struct rc_piece *pieces, uint32_t sent,
                           int error)
{
    struct engine_rig *r = context;
    rc_hub_short_send(&r->c.rig.hub, packet, pieces, sent, error);
}

/* Above a client rig. */
static void rig_open(struct engine_rig *r)
{
    const struct rc_hub_handlers hub = {.context = r,
                                        .interest_changed = rig_changed,
                                        .joined = rig_joined,
                                        .subscribed = rig_subscribed,
                                        .replies_drained = rig_drained,
                                        .flushed = rig_flushed,
                                        .leaving = rig_leaving,
                                        .answered = rig_answered,
                                        .ready = rig_ready,
                                        .end = rig_end,
                                        .cut_off = rig_cut_off,
                                        .round = rig_round};
    r->c.rig.hub.handlers = hub;
    struct rc_io_handlers *io = &r->c.rig.io.handlers;
    io->context = r;
    io->received = rig_received;
    io->ended = rig_ended;
    io->writable = rig_writable;
    io->short_send = rig_short_send;
    io->timer = rig_timer;
    io->terminated = rig_terminated;
    RC_ASSERT(rc_websockets_open(&r->websockets, &r->c.clients) == 0);
    rc_engines_open(&r->engines, &r->c.clients);
    static const int nobody[RC_WORKERS_MAX];
    rc_handovers_open(&r->handovers, &r->c.clients, nobody);
    rc_polling_open(&r->polling, &r->engines, &r->handovers);
    RC_ASSERT(rc_engines_start(&r->engines) == 0);
}

void engine_rig_open(struct engine_rig *r)
{
    memset(r, 0, sizeof(*r));
    client_rig_open(&r->c, ENGINE_RIG_SLOTS);
    struct rc_config *config = r->c.rig.config;
    strcpy(config->socketio.path.text, "/s/");
    config->limits.ping_interval_ms = 0; /* of native clients */
    rig_open(r);
}

void engine_rig_adopt(struct engine_rig *r, const struct engine_rig *from)
{
    struct rc_err err = {0};
    memset(r, 0, sizeof(*r));
    client_rig_succeed(&r->c, &from->c);
    rig_open(r);
    r->c.rig.io.now_ns = from->c.rig.io.now_ns;
    r->c.rig.io.now_ds = from->c.rig.io.now_ds;
    const struct rc_adopt adopt = {
        .truth = &r->c.rig.truth, .hub = &r->c.rig.hub, .clients = &r->c.clients, .engines = &r->engines};
    const int rc = rc_adopt_rebuild(&adopt, &err);
    if (rc < 0) {
        fprintf(stderr, "rig: %s\n", err.text);
    }
    RC_ASSERT(rc == 0);
    memcpy(r->sid, from->sid, sizeof(r->sid));
    r->session = from->session;
    r->wire_count = from->wire_count;
    for (uint32_t i = 0; i < from->wire_count; i++) {
        const uint32_t index = from->wires[i].socket;
        struct rc_socket *socket = &r->c.rig.truth.sockets[index];
        r->wires[i] = (struct engine_rig_wire){.socket = index, .fd = hub_rig_take_socket(&r->c.rig, index, 0)};
        if (socket->client == 0) {
            rc_io_begin_anew(&r->c.rig.truth, socket);
        }
    }
    rc_engines_taken(&r->engines);
    rc_clients_taken(&r->c.clients);
}

void engine_rig_close(struct engine_rig *r)
{
    for (uint32_t i = 0; i < r->wire_count; i++) {
        (void)close(r->wires[i].fd);
    }
    for (uint32_t tries = 0; r->c.rig.io.open_count > 0; tries++) {
        RC_ASSERT(tries < 1000);
        for (uint32_t i = 0; i < ENGINE_RIG_SLOTS; i++) {
            const uint8_t state = r->c.rig.truth.sockets[i].state;
            if (state != RC_SOCKET_FREE && state < RC_SOCKET_TERMINATING) {
                rc_io_terminate(&r->c.rig.io, i);
            }
        }
        hub_rig_run(&r->c.rig);
    }
    for (uint32_t i = 1; i < r->c.rig.truth.clients.high; i++) {
        if (rc_truth_client(&r->c.rig.truth, i)->state != RC_CLIENT_FREE) {
            rc_client_end(&r->c.clients, i);
        }
    }
    RC_ASSERT(r->c.rig.hub.input_bytes == 0 && r->c.clients.connections == 0);
    RC_ASSERT(r->c.clients.exchanges.kept == 0 && r->c.clients.exchanges.bytes == 0);
    client_rig_close(&r->c);
    rc_polling_close(&r->polling);
    rc_engines_close(&r->engines);
    rc_websockets_close(&r->websockets);
}

void engine_rig_rows(struct engine_rig *r, const char *text)
{
    static struct rc_config next;
    static struct rc_config_errors errors;
    struct rc_config *config = r->c.rig.config;
    rc_config_defaults(&next);
    errors.count = 0;
    if (rc_config_load_text(&next, text, strlen(text), "rig", &errors) != 0) {
        fprintf(stderr, "rig: %s\n", errors.lines[0].text);
        RC_ASSERT(false);
    }
    rc_engines_reconfigure(&r->engines, &next);
    config->event_count = next.event_count;
    memcpy(config->events, next.events, sizeof(config->events));
    config->event_rules = next.event_rules;
}

/* --- clients --------------------------------------------------------------------------------------------------------- */

struct engine_rig_wire *engine_rig_wire(struct engine_rig *r)
{
    RC_ASSERT(r->wire_count < ENGINE_RIG_SLOTS);
    struct engine_rig_wire *wire = &r->wires[r->wire_count++];
    wire->socket = hub_rig_socket(&r->c.rig, HUB_RIG_UNIX, 0, &wire->fd);
    return wire;
}

void engine_rig_bytes(struct engine_rig *r, struct engine_rig_wire *wire, const void *bytes, size_t count)
{
    uint8_t copy[131072];
    RC_ASSERT(count <= sizeof(copy));
    memcpy(copy, bytes, count);
    rc_socket_received(&r->c.clients, wire->socket, copy, (uint32_t)count);
    rc_receiving_over(&r->c.rig.truth); /* as the loop says behind each completion */
}

void engine_rig_request(struct engine_rig *r, struct engine_rig_wire *wire, const char *sid, const char *body)
{
    static char text[131072];
    const int count = snprintf(
        text, sizeof(text), "%s /s/?EIO=4&transport=polling%s%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
        body == NULL ? "GET" : "POST", sid == NULL ? "" : "&sid=", sid == NULL ? "" : sid,
        body == NULL ? 0 : strlen(body), body == NULL ? "" : body);
    RC_ASSERT(count > 0 && (size_t)count < sizeof(text));
    engine_rig_bytes(r, wire, text, (size_t)count);
}

void engine_rig_poll(struct engine_rig *r, struct engine_rig_wire *wire, const char *sid, const char *headers)
{
    char text[1024];
    const int count = snprintf(text, sizeof(text),
                               "GET /s/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: a\r\n%s\r\n", sid, headers);
    RC_ASSERT(count > 0 && (size_t)count < sizeof(text));
    engine_rig_bytes(r, wire, text, (size_t)count);
}

static void wire_read(struct engine_rig *r, struct engine_rig_wire *wire)
{
    ssize_t got;
    for (uint32_t i = 0; i < 4; i++) {
        engine_rig_pass(r);
    }
    while ((got = recv(wire->fd, wire->text + wire->count, sizeof(wire->text) - 1 - wire->count, MSG_DONTWAIT)) > 0) {
        wire->count += (size_t)got;
        RC_ASSERT(wire->count < sizeof(wire->text) - 1);
        engine_rig_pass(r);
    }
    wire->text[wire->count] = '\0';
}

int engine_rig_answer(struct engine_rig *r, struct engine_rig_wire *wire)
{
    int status = 0;
    wire_read(r, wire);
    char *body = strstr(wire->text, "\r\n\r\n");
    if (body == NULL) {
        return 0;
    }
    RC_ASSERT(sscanf(wire->text, "HTTP/1.1 %d ", &status) == 1);
    wire->count = 0;
    memmove(wire->text, body + 4, strlen(body + 4) + 1);
    return status;
}

void engine_rig_begin(struct engine_rig *r, bool connected)
{
    struct engine_rig_wire *wire = engine_rig_wire(r);
    struct rc_sid sid;
    bool known;
    engine_rig_request(r, wire, NULL, NULL);
    RC_ASSERT(engine_rig_answer(r, wire) == 200 && sscanf(wire->text, "0{\"sid\":\"%20[^\"]\"", r->sid) == 1);
    r->session = rc_engine_find(&r->engines, rc_span_of(r->sid, RC_SID_BYTES), &sid, &known);
    RC_ASSERT(known && r->session != 0);
    if (connected) {
        engine_rig_request(r, wire, r->sid, "40");
        engine_rig_settle(r);
        RC_ASSERT(engine_rig_answer(r, wire) == 200 && strcmp(wire->text, "ok") == 0);
        engine_rig_request(r, wire, r->sid, NULL);
        RC_ASSERT(engine_rig_answer(r, wire) == 200 && strncmp(wire->text, "40{\"sid\":", 9) == 0);
    }
}

void engine_rig_upgrade(struct engine_rig *r, struct engine_rig_wire *wire, const char *sid)
{
    char text[1024];
    const int count = snprintf(text, sizeof(text),
                               "GET /s/?EIO=4&transport=websocket%s%s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                               sid == NULL ? "" : "&sid=", sid == NULL ? "" : sid);
    engine_rig_bytes(r, wire, text, (size_t)count);
}

void engine_rig_frame(struct engine_rig *r, struct engine_rig_wire *wire, const char *text)
{
    uint8_t bytes[512];
    const size_t count = strlen(text);
    RC_ASSERT(count < 126);
    bytes[0] = 0x80 | RC_WS_TEXT;
    bytes[1] = (uint8_t)(0x80 | count);
    memset(bytes + 2, 0, 4);
    memcpy(bytes + 6, text, count);
    engine_rig_bytes(r, wire, bytes, 6 + count);
}

const char *engine_rig_frames(struct engine_rig *r, struct engine_rig_wire *wire)
{
    static char all[65536];
    size_t bytes = 0;
    wire_read(r, wire);
    size_t at = 0;
    if (strncmp(wire->text, "HTTP/1.1", 8) == 0) {
        RC_ASSERT(strncmp(wire->text, "HTTP/1.1 101 ", 13) == 0);
        at = (size_t)(strstr(wire->text, "\r\n\r\n") + 4 - wire->text);
    }
    while (at < wire->count) {
        struct rc_ws_header header;
        const char *why;
        const int head = rc_ws_header_read((uint8_t *)wire->text + at, wire->count - at, &header, &why);
        RC_ASSERT(head > 0 && at + (size_t)head + header.payload_bytes <= wire->count);
        const char *payload = header.opcode == RC_WS_CLOSE ? "close" : wire->text + at + head;
        const size_t count = header.opcode == RC_WS_CLOSE ? 5 : (size_t)header.payload_bytes;
        RC_ASSERT(bytes + count + 2 < sizeof(all));
        if (bytes > 0) {
            all[bytes++] = ' ';
        }
        memcpy(all + bytes, payload, count);
        bytes += count;
        at += (size_t)head + (size_t)header.payload_bytes;
    }
    all[bytes] = '\0';
    wire->count = 0;
    return all;
}

/* --- the loop, the clock, the relay ---------------------------------------------------------------------------------- */

void engine_rig_pass(struct engine_rig *r)
{
    const uint64_t now_ns = r->c.rig.io.now_ns;
    const uint32_t now_ds = r->c.rig.io.now_ds;
    rc_io_run(&r->c.rig.io, 0);
    r->c.rig.io.now_ns = now_ns; /* the test's clock */
    r->c.rig.io.now_ds = now_ds;
    rc_engines_timers(&r->engines);
    rc_clients_uplink_room(&r->c.clients);
    if (rc_hub_pending(&r->c.rig.hub)) {
        rc_hub_turn(&r->c.rig.hub);
        r->c.rig.io.now_ns = now_ns;
        r->c.rig.io.now_ds = now_ds;
        rc_hub_tell_ready(&r->c.rig.hub);
    }
}

void engine_rig_wait(struct engine_rig *r, uint64_t ms)
{
    r->c.rig.io.now_ns += ms * 1000000u;
    r->c.rig.io.now_ds += (uint32_t)(ms / RC_WHEEL_TICK_MS);
    rc_io_timers(&r->c.rig.io);
    engine_rig_pass(r);
}

void engine_rig_settle(struct engine_rig *r)
{
    const struct rc_truth *truth = &r->c.rig.truth;
    for (uint32_t i = 1; i < truth->channels.high; i++) {
        if (rc_truth_channel(truth, i)->pending != 0) {
            rc_hub_acknowledged(&r->c.rig.hub, i, &(struct rc_hub_acknowledgement){0});
        }
    }
    engine_rig_pass(r);
}

bool engine_rig_lives(const struct engine_rig *r, uint32_t session)
{
    return (rc_engine_of(&r->engines, session)->flags & RC_ENGINE_SESSION) != 0 &&
           rc_truth_client(&r->c.rig.truth, session)->state == RC_CLIENT_OPEN;
}

void engine_rig_ask(struct engine_rig *r, const char *nsp, uint32_t timeout_ms, uint32_t flags)
{
    uint8_t data[RC_EMIT_BEFORE_MAX + 64];
    char channel[64];
    static const char names[] = ""; /* no rooms: everybody; no exceptions */
    const struct rc_emit_head head = {.timeout_ms = timeout_ms, .asker_bytes = 3, .flags = (uint16_t)flags};
    const struct rc_call_tag tag = {.nonce = 5, .index = 6, .serial = 7};
    const struct rc_span json = RC_SPAN("[1]");
    uint8_t *args = data + RC_EMIT_BEFORE_MAX;
    rc_args_write(args, json, NULL, 0);
    const uint8_t *begin = rc_emit_put(args, &head, RC_SPAN("who"));
    const int channel_bytes = snprintf(channel, sizeof(channel), "%s#", nsp);
    const struct rc_envelope_view view = {
        .head = {.flags = RC_ENVELOPE_API,
                 .origin = {.worker = 9},
                 .channel_bytes = (uint8_t)channel_bytes,
                 .event_bytes = 1,
                 .exclude_text_bytes = sizeof(names),
                 .request_id_bytes = sizeof(tag),
                 .data_bytes = (uint32_t)((size_t)(args - begin) + rc_args_bytes(json.count, 0, NULL))},
        .channel = channel,
        .event = "q",
        .request_id = (const uint8_t *)&tag,
        .exclude_text = names,
        .data = begin};
    RC_ASSERT(rc_requests_mine(&view));
    rc_requests_serve(&r->engines, &view);
}
