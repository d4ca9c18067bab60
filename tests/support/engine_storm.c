/* engine_storm: see engine_storm.h. */
#include "tests/support/engine_storm.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/records/emit.h"
#include "tests/support/engine_rig.h"
#include "worker/engine/acks.h"

#define STORM_WIRES 20u
#define STORM_SIDS 12u
#define STORM_BODY_MAX 4096u

static struct engine_rig r;
static uint64_t state;
static char sids[STORM_SIDS][RC_SID_BYTES + 1]; /* of sessions that are, or were */

static const char *const ROWS[] = {
    "[[event]]\non = \"say\"\nemit = [{to = \"*\"}]\nack = [\"{args}\"]\n"
    "[[event]]\non = \"join\"\njoin = [\"{args.0}\"]\nemit = [{to = \"{args.0}\"}]\nack = [1]\n"
    "[[event]]\non = \"leave\"\nleave = [\"{args.0}\"]\n"
    "[[event]]\non = \"connect\"\njoin = [\"all\"]\nemit = [{event = \"hi\", args = [\"{sid}\"]}]\n"
    "[[event]]\non = \"disconnect\"\nemit = [{event = \"gone\", to = \"*\", args = [\"{args}\", \"{auth.name}\"]}]\n",
    "[[event]]\non = \"say\"\nemit = [{to = \"*\", others = true}, {to = \"b\"}, {args = [\"{auth.name}\"]}]\n"
    "[[event]]\non = \"join\"\njoin = [\"{args.0}\", \"{args.1}\"]\nack = [\"{args}\"]\n",
};

static const char *const PACKETS[] = {
    "40",
    "40/n,",
    "40/n,{\"name\":\"J\"}",
    "40{\"name\":[1]}",
    "40/x,",
    "40[]",
    "41",
    "41/n,",
    "42[\"say\"]",
    "421[\"say\",1,\"x\"]",
    "42/n,[\"say\",{}]",
    "423[\"join\",\"a\"]",
    "42[\"join\",\"a\",\"b\"]",
    "42[\"leave\",\"a\"]",
    "42[\"join\",\"\"]",
    "42[\"none\"]",
    "42[\"connect\"]",
    "42{}",
    "42abc[\"x\"]",
    "43",
    "431[1]",
    "439999999999999999[1]",
    "461-1073741824[{\"_placeholder\":true,\"num\":0}]",
    "43/n,1073741824[]",
    "451-[\"say\",{\"_placeholder\":true,\"num\":0}]",
    "452-[\"say\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]",
    "451-[\"say\",{\"_placeholder\":true,\"num\":7}]",
    "45[\"say\"]",
    "4599-[\"say\"]",
    "bAAEC",
    "b",
    "b!",
    "bAAECAwQFBgcICQ==",
    "1",
    "2",
    "3",
    "3",
    "3",
    "5",
    "6",
    "0",
    "2probe",
    "3probe",
    "",
    "9",
    "4",
    "44{}",
    "46",
    "\x1e",
    "x",
};

/* What a client that has joined "/" may say. */
static const char *const GOOD[] = {
    "42[\"say\"]", "421[\"say\",1,\"x\"]", "423[\"join\",\"a\"]",     "42[\"join\",\"b\"]", "42[\"leave\",\"a\"]",
    "3",           "42[\"none\"]",         "424[\"say\",{\"a\":[]}]",
};

/* SplitMix64. */
static uint64_t draw(uint64_t below)
{
    state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

/* An answer to what some client, not surely the one that sends it, is waited for; or to what was asked lately, in one namespace or the other. */
static size_t storm_answer(char out[256])
{
    const struct rc_truth *truth = &r.c.rig.truth;
    const uint32_t given = truth->layout->emit_count;
    const uint32_t back = 1 + (uint32_t)draw(4);
    uint32_t id = RC_ACKS_ID_FIRST + (given >= back ? given - back : 0);
    bool root = draw(3) != 0;
    const uint32_t first = 1 + (uint32_t)draw(truth->clients.high);
    for (uint32_t client = first; draw(8) != 0 && client < truth->clients.high; client++) {
        if (r.engines.acks[client] != 0) {
            const struct rc_ack *ack = rc_truth_ack(truth, r.engines.acks[client]);
            id = rc_truth_emit(truth, ack->emit)->id;
            root = ack->token == rc_truth_sid_token(truth, client, RC_SPAN("/"));
            break;
        }
    }
    return (size_t)snprintf(out, 256, "43%s%u[7]", root ? "" : "/n,", id);
}

/* Most are whole packets; the others are cut, or have a byte changed. */
static size_t storm_packet(char out[256])
{
    const bool good = draw(8) != 0;
    if (good && draw(3) == 0) {
        return storm_answer(out);
    }
    const char *packet = good ? GOOD[draw(RC_ARRAY_COUNT(GOOD))] : PACKETS[draw(RC_ARRAY_COUNT(PACKETS))];
    size_t count = strlen(packet);
    memcpy(out, packet, count + 1);
    if (good) {
        return count;
    }
    if (count > 0 && draw(12) == 0) {
        out[draw(count)] = (char)(32 + draw(95));
    }
    if (count > 0 && draw(16) == 0) {
        count = (size_t)draw(count);
        out[count] = '\0';
    }
    return count;
}

static const char *storm_sid(void)
{
    static char other[RC_SID_BYTES + 1];
    const char *sid = sids[draw(STORM_SIDS)];
    if (sid[0] == '\0' || draw(40) == 0) {
        for (size_t i = 0; i < RC_SID_BYTES; i++) {
            other[i] = "AZaz09_-"[draw(8)];
        }
        return other;
    }
    return sid;
}

static struct engine_rig_wire *storm_wire(void)
{
    if (r.wire_count < STORM_WIRES) {
        return engine_rig_wire(&r);
    }
    struct engine_rig_wire *wire = &r.wires[draw(STORM_WIRES)];
    for (uint32_t tries = 0; tries < 6 && draw(32) != 0; tries++) { /* seldom behind a request that waits */
        const struct rc_socket *socket = &r.c.rig.truth.sockets[wire->socket];
        if (socket->state == RC_SOCKET_CARRYING || (socket->state == RC_SOCKET_HTTP && socket->exchange == 0)) {
            break;
        }
        wire = &r.wires[draw(STORM_WIRES)];
    }
    return wire;
}

/* Where the id of a session that has ended stands; one of any, if none has. Few live sessions hear more than many that nobody knows. */
static char *storm_vacant(bool *vacant)
{
    struct rc_sid sid;
    bool known;
    for (uint32_t i = 0; i < STORM_SIDS; i++) {
        if (rc_engine_find(&r.engines, rc_span_of(sids[i], strlen(sids[i])), &sid, &known) == 0) {
            *vacant = true;
            return sids[i];
        }
    }
    *vacant = false;
    return sids[draw(STORM_SIDS)];
}

/* What came on a connection is looked at for a session's id, and forgotten. */
static void storm_read(struct engine_rig_wire *wire)
{
    static const char mark[] = "{\"sid\":\"";
    wire->count = 0;
    const ssize_t got = recv(wire->fd, wire->text, sizeof(wire->text) - 1, MSG_DONTWAIT);
    wire->text[got > 0 ? got : 0] = '\0';
    const char *at = got > 0 ? memmem(wire->text, (size_t)got, mark, sizeof(mark) - 1) : NULL;
    if (at != NULL && (size_t)(wire->text + got - at) > sizeof(mark) + RC_SID_BYTES) {
        bool vacant;
        char *sid = storm_vacant(&vacant);
        if (strncmp(at - 1, "0{", 2) == 0) { /* not of a namespace */
            memcpy(sid, at + sizeof(mark) - 1, RC_SID_BYTES);
            if (draw(8) != 0) {
                engine_rig_request(&r, storm_wire(), sid, "40");
            }
        }
    }
    const uint8_t of = r.c.rig.truth.sockets[wire->socket].state;
    if (of == RC_SOCKET_FREE || of == RC_SOCKET_LINGER || draw(64) == 0) { /* another one in its place */
        if (of != RC_SOCKET_FREE && of < RC_SOCKET_TERMINATING) {
            rc_io_terminate(&r.c.rig.io, wire->socket);
        }
        (void)close(wire->fd);
        wire->socket = hub_rig_socket(&r.c.rig, HUB_RIG_UNIX, 0, &wire->fd);
    }
}

/* A session's id, seldom of one whose request of that kind waits already; NULL: not now. */
static const char *storm_idle(bool post)
{
    struct rc_sid sid;
    bool known;
    const char *text = storm_sid();
    const uint32_t session = rc_engine_find(&r.engines, rc_span_of(text, RC_SID_BYTES), &sid, &known);
    const struct rc_engine *engine = session == 0 ? NULL : rc_engine_of(&r.engines, session);
    const bool waits = engine != NULL && (post ? engine->post : engine->poll) != 0;
    return (!waits && (session != 0 || draw(4) == 0)) || draw(64) == 0 ? text : NULL;
}

static void storm_get(struct engine_rig_wire *wire)
{
    const char *sid = storm_idle(false);
    if (sid != NULL) {
        engine_rig_request(&r, wire, sid, NULL);
    }
}

static void storm_post(struct engine_rig_wire *wire)
{
    char body[STORM_BODY_MAX] = "";
    size_t bytes = 0;
    const uint64_t packets = draw(8) == 0 ? draw(20) : 1;
    for (uint64_t i = 0; i < packets; i++) {
        char packet[256];
        const size_t count = storm_packet(packet);
        if (i > 0) {
            body[bytes++] = '\x1e';
        }
        memcpy(body + bytes, packet, count);
        bytes += count;
    }
    body[bytes] = '\0';
    const char *sid = storm_idle(true);
    if (sid != NULL) {
        engine_rig_request(&r, wire, sid, body);
    }
}

static void storm_frame(struct engine_rig_wire *wire)
{
    char packet[256];
    (void)storm_packet(packet);
    if (strlen(packet) < 126) {
        engine_rig_frame(&r, wire, packet);
    }
}

static void storm_probe(struct engine_rig_wire *wire)
{
    engine_rig_upgrade(&r, wire, storm_sid());
    if (draw(4) != 0) {
        engine_rig_frame(&r, wire, "2probe");
    }
    if (draw(3) != 0) {
        engine_rig_frame(&r, wire, "5");
    }
    while (draw(2) == 0) {
        storm_frame(wire);
    }
}

static void storm_ask(void)
{
    static const uint32_t timeouts_ms[] = {1, 1000, 20000, 0};
    const char *nsp = draw(3) == 0 ? "/n" : "/";
    engine_rig_ask(&r, nsp, timeouts_ms[draw(RC_ARRAY_COUNT(timeouts_ms))], draw(2) == 0 ? RC_EMIT_TELL_END : 0);
}

/* Whom something is waited for, looked at by client and as a whole. */
static void storm_check_acks(void)
{
    const struct rc_truth *truth = &r.c.rig.truth;
    uint32_t count = 0;
    for (uint32_t client = 1; client < truth->clients.high; client++) {
        uint32_t before = 0;
        for (uint32_t i = r.engines.acks[client]; i != 0; i = rc_truth_ack(truth, i)->next_of_client) {
            const struct rc_ack *ack = rc_truth_ack(truth, i);
            RC_ASSERT(ack->client == client && ack->previous_of_client == before);
            RC_ASSERT(rc_truth_client(truth, client)->state != RC_CLIENT_FREE);
            RC_ASSERT(rc_truth_emit(truth, ack->emit)->waiting > 0);
            before = i;
            count++;
        }
    }
    RC_ASSERT(count == truth->acks.used);
}

static void storm_relay(void)
{
    uint32_t type;
    struct rc_envelope_view view;
    if (draw(4) == 0) {
        storm_ask();
        return;
    }
    switch (draw(16)) { /* mostly it answers and takes */
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
        engine_rig_settle(&r);
        return;
    case 6:
        if (draw(4) != 0) {
            return;
        }
        (void)client_rig_fill(&r.c, 3000);
        (void)client_rig_fill(&r.c, 0);
        return;
    case 7:
    case 8:
    case 9:
    case 10:
        while (client_rig_up(&r.c, &type, &view)) {}
        return;
    default:
        (void)hub_rig_publish(&r.c.rig, draw(2) == 0 ? "/#" : "a", RC_SPAN("{\"n\":1}"), NULL, 0);
        return;
    }
}

/* What only the server's side does to sessions. */
static void storm_fate(void)
{
    struct rc_sid sid;
    bool known;
    const uint32_t session = rc_engine_find(&r.engines, rc_span_of(storm_sid(), RC_SID_BYTES), &sid, &known);
    if (session == 0) {
        return;
    }
    switch (draw(4)) {
    case 0:
        rc_hub_break(&r.c.rig.hub, session);
        return;
    case 1:
        rc_client_failed_memory(&r.c.clients, session);
        return;
    case 2:
        rc_client_close(&r.c.clients, session, RC_WS_CLOSE_NORMAL, NULL, draw(2) == 0);
        return;
    default:
        rc_client_end(&r.c.clients, session);
        return;
    }
}

static void storm_input(void)
{
    struct engine_rig_wire *wire = storm_wire();
    const bool frames = r.c.rig.truth.sockets[wire->socket].state == RC_SOCKET_CARRYING;
    const uint64_t what = draw(100);
    if (frames && what < 70) {
        storm_frame(wire);
    } else if (what < 12) {
        bool vacant;
        (void)storm_vacant(&vacant);
        if (vacant || draw(64) == 0) {
            engine_rig_request(&r, wire, NULL, NULL);
        }
    } else if (what < 35) {
        storm_get(wire);
    } else if (what < 70) {
        storm_post(wire);
    } else if (what < 80) {
        storm_probe(wire);
    } else if (what < 82) {
        engine_rig_upgrade(&r, wire, NULL);
    } else if (what < 90) {
        storm_relay();
    } else if (what < 92) {
        engine_rig_wait(&r, draw(1000));
    } else if (what < 93) {
        storm_fate();
    } else if (what < 94 && draw(50) == 0) {
        engine_rig_rows(&r, ROWS[draw(RC_ARRAY_COUNT(ROWS))]);
    } else {
        engine_rig_pass(&r);
    }
    storm_read(wire);
}

struct engine_storm_result engine_storm(uint64_t inputs, uint64_t seed)
{
    state = seed;
    memset(sids, 0, sizeof(sids));
    engine_rig_open(&r);
    r.c.rig.config->socketio.namespace_count = 2;
    strcpy(r.c.rig.config->socketio.namespaces[0].text, "/");
    strcpy(r.c.rig.config->socketio.namespaces[1].text, "/n*");
    r.c.rig.config->limits.max_reply_bytes = 2048;
    r.c.rig.config->socketio.ack_timeout_ms = 20000;
    engine_rig_rows(&r, ROWS[0]);
    for (uint64_t i = 0; i < inputs; i++) {
        storm_input();
        if (i % 8 == 0) {
            engine_rig_pass(&r);
        }
        if (i % 4096 == 0) {
            hub_rig_check(&r.c.rig);
        }
        if (i % 512 == 0) {
            storm_check_acks();
        }
    }
    uint32_t type;
    struct rc_envelope_view view;
    while (client_rig_up(&r.c, &type, &view)) {}
    engine_rig_wait(&r, 21000);
    RC_ASSERT(r.c.rig.truth.acks.used == 0 && r.c.rig.truth.emits.used == 0);
    const struct rc_metrics *metrics = r.c.rig.metrics;
    const struct engine_storm_result result = {.inputs = inputs,
                                               .requests = rc_metric_get(metrics, RC_METRIC_HTTP_REQUESTS),
                                               .upgrades = rc_metric_get(metrics, RC_METRIC_ENGINE_UPGRADES),
                                               .answers = rc_metric_get(metrics, RC_METRIC_ACKS_ANSWERED),
                                               .events = rc_metric_get(metrics, RC_METRIC_EVENTS),
                                               .errors = rc_metric_get(metrics, RC_METRIC_PROTOCOL_ERRORS)};
    engine_rig_close(&r);
    return result;
}
