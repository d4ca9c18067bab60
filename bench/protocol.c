/* protocol: see protocol.h. One table at the end; the functions of a protocol stand together. */
#include "bench/protocol.h"

#include "common/base/check.h"

#include <stdio.h>
#include <string.h>

static bool starts_with(struct rc_span text, const char *prefix)
{
    return rc_span_starts_with(text, rc_span_text(prefix));
}

static size_t request_put(char *out, const char *a, const char *b, const char *c)
{
    const size_t a_bytes = strlen(a), b_bytes = strlen(b), c_bytes = strlen(c);
    memcpy(out, a, a_bytes);
    memcpy(out + a_bytes, b, b_bytes);
    memcpy(out + a_bytes + b_bytes, c, c_bytes);
    return a_bytes + b_bytes + c_bytes;
}

/* The string that follows `marker`, up to the next quote. A run's payloads all have one length and nearly always end the
 * message, so the marker is first looked for where it then must be. */
static bool string_after(struct rc_span text, const char *marker, size_t tail_bytes, size_t payload_bytes,
                         struct rc_span *found)
{
    const size_t marker_bytes = strlen(marker);
    if (text.count >= marker_bytes + payload_bytes + tail_bytes) {
        const uint8_t *const at = text.bytes + text.count - tail_bytes - payload_bytes;
        if (memcmp(at - marker_bytes, marker, marker_bytes) == 0) {
            *found = rc_span_of(at, payload_bytes);
            return true;
        }
    }
    const uint8_t *const at = memmem(text.bytes, text.count, marker, marker_bytes);
    if (at == NULL) {
        return false;
    }
    const uint8_t *const from = at + marker_bytes;
    const uint8_t *const quote = memchr(from, '"', text.count - (size_t)(from - text.bytes));
    if (quote == NULL) {
        return false;
    }
    *found = rc_span_of(from, (size_t)(quote - from));
    return true;
}

/* --- ringcast's native JSON ----------------------------------------------------------------------------------------- */

static size_t native_join(char *out, enum rc_bench_role role, uint8_t step, const char *channel)
{
    (void)step;
    return role == RC_BENCH_SUBSCRIBER
               ? request_put(out, "{\"type\":\"subscribe\",\"channel\":\"", channel, "\",\"id\":1}")
               : 0;
}

static enum rc_bench_verdict native_judge(enum rc_bench_role role, uint8_t step, struct rc_span text,
                                          size_t payload_bytes, struct rc_span *found)
{
    (void)step;
    if (starts_with(text, "{\"type\":\"message\"") || starts_with(text, "{\"type\":\"direct\"")) {
        return string_after(text, "\"data\":\"", 2, payload_bytes, found) ? RC_BENCH_PAYLOAD : RC_BENCH_REFUSED;
    }
    if (starts_with(text, "{\"type\":\"welcome\"")) {
        if (role == RC_BENCH_SUBSCRIBER) {
            return RC_BENCH_IGNORED;
        }
        return string_after(text, "\"client\":\"", 2, 0, found) ? RC_BENCH_STEP : RC_BENCH_REFUSED;
    }
    if (starts_with(text, "{\"type\":\"subscribed\"")) {
        return RC_BENCH_STEP;
    }
    if (starts_with(text, "{\"type\":\"gap\"")) {
        return RC_BENCH_GAP;
    }
    if (starts_with(text, "{\"type\":\"published\"")) {
        return RC_BENCH_ANSWER;
    }
    return starts_with(text, "{\"type\":\"error\"") ? RC_BENCH_REFUSED : RC_BENCH_IGNORED;
}

/* The same with deltas. */
static size_t delta_join(char *out, enum rc_bench_role role, uint8_t step, const char *channel)
{
    (void)step;
    return role == RC_BENCH_SUBSCRIBER ? request_put(out, "{\"type\":\"subscribe\",\"channel\":\"", channel,
                                                     "\",\"delta\":\"fossil\",\"id\":1}")
                                       : 0;
}

/* From its opening quote on. The string is the message's last member. */
static bool string_at(struct rc_span text, const char *marker, struct rc_span *found)
{
    const uint8_t *const at = memmem(text.bytes, text.count, marker, strlen(marker));
    if (at != NULL) {
        const size_t before = (size_t)(at - text.bytes) + strlen(marker) - 1;
        *found = rc_span_of(text.bytes + before, text.count - before - 1);
    }
    return at != NULL;
}

static enum rc_bench_verdict delta_judge(enum rc_bench_role role, uint8_t step, struct rc_span text,
                                         size_t payload_bytes, struct rc_span *found)
{
    if (starts_with(text, "{\"type\":\"message\"") && string_at(text, ",\"full\":\"", found)) {
        return RC_BENCH_FULL;
    }
    if (starts_with(text, "{\"type\":\"message\"") && string_at(text, ",\"delta\":\"", found)) {
        return RC_BENCH_DELTA;
    }
    return native_judge(role, step, text, payload_bytes, found);
}

static size_t native_before(char *out, bool direct, const char *name, size_t payload_bytes, const char *host)
{
    (void)payload_bytes;
    (void)host;
    return direct ? request_put(out, "{\"type\":\"direct\",\"to\":\"", name, "\",\"data\":\"")
                  : request_put(out, "{\"type\":\"publish\",\"channel\":\"", name, "\",\"data\":\"");
}

static size_t native_after(char *out)
{
    return request_put(out, "\"}", "", "");
}

/* --- ringcast's server-sent events: one request each, publishers are native ------------------------------------------- */

static size_t sse_join(char *out, enum rc_bench_role role, uint8_t step, const char *channel)
{
    (void)step;
    return role == RC_BENCH_PUBLISHER ? 0
                                      : request_put(out, "GET /sse?channel=", channel,
                                                    " HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n");
}

/* An event, without the empty line behind it; first the head of the answer. */
static enum rc_bench_verdict sse_judge(enum rc_bench_role role, uint8_t step, struct rc_span text, size_t payload_bytes,
                                       struct rc_span *found)
{
    if (role == RC_BENCH_PUBLISHER) {
        return native_judge(role, step, text, payload_bytes, found);
    }
    if (starts_with(text, "HTTP/1.1 ")) {
        return starts_with(text, "HTTP/1.1 200 ") ? RC_BENCH_STEP : RC_BENCH_REFUSED;
    }
    if (string_after(text, "\"data\":\"", 2, payload_bytes, found)) {
        return RC_BENCH_PAYLOAD;
    }
    return starts_with(text, "event: gap\n") ? RC_BENCH_GAP : RC_BENCH_IGNORED;
}

/* --- servers whose messages are the payload itself: echo, broadcast, raw, floor, tcp --------------------------------- */

static size_t plain_join(char *out, enum rc_bench_role role, uint8_t step, const char *channel)
{
    (void)out;
    (void)role;
    (void)step;
    (void)channel;
    return 0;
}

static enum rc_bench_verdict plain_judge(enum rc_bench_role role, uint8_t step, struct rc_span text,
                                         size_t payload_bytes, struct rc_span *found)
{
    (void)role;
    (void)step;
    (void)payload_bytes;
    *found = text;
    return RC_BENCH_PAYLOAD;
}

static size_t plain_before(char *out, bool direct, const char *name, size_t payload_bytes, const char *host)
{
    (void)out;
    (void)direct;
    (void)name;
    (void)payload_bytes;
    (void)host;
    return 0;
}

static size_t plain_after(char *out)
{
    (void)out;
    return 0;
}

/* --- ringcast's raw endpoints: a message is a JSON text, here a string ------------------------------------------------ */

static enum rc_bench_verdict raw_judge(enum rc_bench_role role, uint8_t step, struct rc_span text, size_t payload_bytes,
                                       struct rc_span *found)
{
    (void)role;
    (void)step;
    (void)payload_bytes;
    const bool quoted = text.count >= 2 && text.bytes[0] == '"' && text.bytes[text.count - 1] == '"';
    *found = quoted ? rc_span_of(text.bytes + 1, text.count - 2) : text;
    return RC_BENCH_PAYLOAD;
}

static size_t raw_before(char *out, bool direct, const char *name, size_t payload_bytes, const char *host)
{
    (void)direct;
    (void)name;
    (void)payload_bytes;
    (void)host;
    return request_put(out, "\"", "", "");
}

static size_t raw_after(char *out)
{
    return request_put(out, "\"", "", "");
}

/* --- Socket.IO 5 over Engine.IO 4: WebSocket, polling, or one after the other -----------------------------------------
 * The application behind it (bench/compare/socketio.mjs) has the events hello(acknowledge), subscribe(channel, acknowledge),
 * publish(channel, data), direct(id, data) and echo(data, acknowledge), and emits message(data); ringcast has them as [[event]] rows. */

static size_t socketio_join(char *out, enum rc_bench_role role, uint8_t step, const char *channel)
{
    switch (step) {
    case 0: /* the server speaks first: Engine.IO open */
        return 0;
    case 1:
        return request_put(out, "40", "", "");
    default:
        return role == RC_BENCH_SUBSCRIBER ? request_put(out, "420[\"subscribe\",\"", channel, "\"]") : 0;
    }
}

static enum rc_bench_verdict socketio_judge(enum rc_bench_role role, uint8_t step, struct rc_span text,
                                            size_t payload_bytes, struct rc_span *found)
{
    if (starts_with(text, "42[\"message\",\"")) {
        return string_after(text, "[\"message\",\"", 2, payload_bytes, found) ? RC_BENCH_PAYLOAD : RC_BENCH_REFUSED;
    }
    if (starts_with(text, "2")) {
        *found = rc_span_text("3");
        return RC_BENCH_REPLY;
    }
    if (starts_with(text, "0{")) {
        return step == 0 ? RC_BENCH_STEP : RC_BENCH_IGNORED;
    }
    if (starts_with(text, "40{")) {
        if (role == RC_BENCH_TARGET && !string_after(text, "\"sid\":\"", 2, 0, found)) {
            return RC_BENCH_REFUSED;
        }
        return step == 1 ? RC_BENCH_STEP : RC_BENCH_IGNORED;
    }
    if (starts_with(text, "430[")) {
        return RC_BENCH_STEP;
    }
    const bool refused = starts_with(text, "44") || starts_with(text, "41") || rc_span_equal(text, RC_SPAN("1"));
    return refused ? RC_BENCH_REFUSED : RC_BENCH_IGNORED;
}

static size_t socketio_before(char *out, bool direct, const char *name, size_t payload_bytes, const char *host)
{
    (void)payload_bytes;
    (void)host;
    return request_put(out, direct ? "42[\"direct\",\"" : "42[\"publish\",\"", name, "\",\"");
}

static size_t socketio_after(char *out)
{
    return request_put(out, "\"]", "", "");
}

/* Events that the application acknowledges with what they say. A number of their own: 0 is that of joining. */
static size_t socketio_ack_before(char *out, bool direct, const char *name, size_t payload_bytes, const char *host)
{
    (void)direct;
    (void)name;
    (void)payload_bytes;
    (void)host;
    return request_put(out, "421[\"echo\",\"", "", "");
}

static enum rc_bench_verdict socketio_ack_judge(enum rc_bench_role role, uint8_t step, struct rc_span text,
                                                size_t payload_bytes, struct rc_span *found)
{
    if (starts_with(text, "431[")) {
        return string_after(text, "431[\"", 2, payload_bytes, found) ? RC_BENCH_PAYLOAD : RC_BENCH_REFUSED;
    }
    return socketio_judge(role, step, text, payload_bytes, found);
}

/* Where publishers are native clients of the same broker. */
static size_t socketio_native_join(char *out, enum rc_bench_role role, uint8_t step, const char *channel)
{
    return role == RC_BENCH_PUBLISHER ? native_join(out, role, step, channel) : socketio_join(out, role, step, channel);
}

static enum rc_bench_verdict socketio_native_judge(enum rc_bench_role role, uint8_t step, struct rc_span text,
                                                   size_t payload_bytes, struct rc_span *found)
{
    return role == RC_BENCH_PUBLISHER ? native_judge(role, step, text, payload_bytes, found)
                                      : socketio_judge(role, step, text, payload_bytes, found);
}

/* A subscriber's session has been opened and has joined its namespace by polling when its WebSocket begins: it probes, then goes on. */
static size_t socketio_upgrade_join(char *out, enum rc_bench_role role, uint8_t step, const char *channel)
{
    if (role == RC_BENCH_PUBLISHER || role == RC_BENCH_OPENER) {
        return socketio_join(out, role, step, channel);
    }
    if (step == 0) {
        return request_put(out, "2probe", "", "");
    }
    /* Its answer says that the server has upgraded: what it has not yet read when the connection is reset, it may never read. */
    return role == RC_BENCH_TARGET ? request_put(out, "420[\"hello\"]", "", "") : socketio_join(out, role, 2, channel);
}

static enum rc_bench_verdict socketio_upgrade_judge(enum rc_bench_role role, uint8_t step, struct rc_span text,
                                                    size_t payload_bytes, struct rc_span *found)
{
    const bool probes = (role == RC_BENCH_SUBSCRIBER || role == RC_BENCH_TARGET) && step == 0;
    return probes && rc_span_equal(text, RC_SPAN("3probe")) ? RC_BENCH_STEP
                                                            : socketio_judge(role, step, text, payload_bytes, found);
}

/* --- nchan: subscribers by upgrade, publishers by POST on kept-alive connections ------------------------------------- */

static size_t nchan_before(char *out, bool direct, const char *name, size_t payload_bytes, const char *host)
{
    (void)direct;
    const int bytes =
        snprintf(out, RC_BENCH_ENVELOPE_BYTES_MAX, "POST /pub/%s HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n\r\n",
                 name, host, payload_bytes);
    RC_ASSERT(bytes > 0 && bytes < RC_BENCH_ENVELOPE_BYTES_MAX);
    return (size_t)bytes;
}

/* --- Redis itself: what a broker between two others can at best do ---------------------------------------------------- */

static size_t redis_join(char *out, enum rc_bench_role role, uint8_t step, const char *channel)
{
    (void)step;
    return role == RC_BENCH_SUBSCRIBER ? request_put(out, "SUBSCRIBE ", channel, "\r\n") : 0;
}

static enum rc_bench_verdict redis_judge(enum rc_bench_role role, uint8_t step, struct rc_span text,
                                         size_t payload_bytes, struct rc_span *found)
{
    (void)role;
    (void)step;
    if (starts_with(text, "*3\r\n$7\r\nmessage\r\n") && text.count > payload_bytes + 2) {
        *found = rc_span_of(text.bytes + text.count - 2 - payload_bytes, payload_bytes);
        return RC_BENCH_PAYLOAD;
    }
    if (starts_with(text, "*3\r\n$9\r\nsubscribe\r\n")) {
        return RC_BENCH_STEP;
    }
    return starts_with(text, "-") ? RC_BENCH_REFUSED : RC_BENCH_IGNORED;
}

static size_t redis_before(char *out, bool direct, const char *name, size_t payload_bytes, const char *host)
{
    (void)direct;
    (void)host;
    const int bytes = snprintf(out, RC_BENCH_ENVELOPE_BYTES_MAX, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n",
                               strlen(name), name, payload_bytes);
    RC_ASSERT(bytes > 0 && bytes < RC_BENCH_ENVELOPE_BYTES_MAX);
    return (size_t)bytes;
}

static size_t redis_after(char *out)
{
    return request_put(out, "\r\n", "", "");
}

/* --- the table ------------------------------------------------------------------------------------------------------- */

#define ALL_WS                                                        \
    {                                                                 \
        RC_BENCH_FRAMING_WS, RC_BENCH_FRAMING_WS, RC_BENCH_FRAMING_WS \
    }

#define SOCKETIO_WS "/socket.io/?EIO=4&transport=websocket"
#define SOCKETIO_POLL "/socket.io/?EIO=4&transport=polling"

static const struct rc_bench_protocol protocols[] = {
    {
        .name = "ringcast",
        .help = "ringcast's native JSON protocol on /ws",
        .paths = {"/ws", "/ws", "/ws"},
        .framing = ALL_WS,
        .steps = {1, 1, 1},
        .channels = true,
        .direct = true,
        .join = native_join,
        .judge = native_judge,
        .before = native_before,
        .after = native_after,
    },
    {
        .name = "ringcast-delta",
        .help = "the same, whose subscribers ask for deltas; every message is made of its base and checked",
        .paths = {"/ws", "/ws", "/ws"},
        .framing = ALL_WS,
        .steps = {1, 1, 1},
        .channels = true,
        .join = delta_join,
        .judge = delta_judge,
        .before = native_before,
        .after = native_after,
    },
    {
        .name = "ringcast-sse",
        .help = "the same, whose subscribers are server-sent events on /sse",
        .paths = {"/sse", "/sse", "/ws"},
        .framing = {RC_BENCH_FRAMING_SSE, RC_BENCH_FRAMING_SSE, RC_BENCH_FRAMING_WS},
        .steps = {1, 1, 1},
        .channels = true,
        .join = sse_join,
        .judge = sse_judge,
        .before = native_before,
        .after = native_after,
    },
    {
        .name = "ringcast-raw",
        .help = "a ringcast raw endpoint that broadcasts what comes in (incoming = \"broadcast\") on /live",
        .paths = {"/live", "/live", "/live"},
        .framing = ALL_WS,
        .join = plain_join,
        .judge = raw_judge,
        .before = raw_before,
        .after = raw_after,
    },
    {
        .name = "echo",
        .help = "any server that sends back what it gets",
        .paths = {"/echo", "/echo", "/echo"},
        .framing = ALL_WS,
        .join = plain_join,
        .judge = plain_judge,
        .before = plain_before,
        .after = plain_after,
    },
    {
        .name = "broadcast",
        .help = "any server that sends what it gets to everybody",
        .paths = {"/", "/", "/"},
        .framing = ALL_WS,
        .join = plain_join,
        .judge = plain_judge,
        .before = plain_before,
        .after = plain_after,
    },
    {
        .name = "socketio",
        .help = "Socket.IO 5 over WebSocket, with the application of bench/compare (ringcast: its [[event]] rows)",
        .paths = {SOCKETIO_WS, SOCKETIO_WS, SOCKETIO_WS},
        .framing = ALL_WS,
        .steps = {3, 2, 2},
        .channels = true,
        .direct = true,
        .join = socketio_join,
        .judge = socketio_judge,
        .before = socketio_before,
        .after = socketio_after,
    },
    {
        .name = "socketio-ack",
        .help = "Socket.IO 5 over WebSocket, whose events come back as acknowledgements (echo)",
        .paths = {SOCKETIO_WS, SOCKETIO_WS, SOCKETIO_WS},
        .framing = ALL_WS,
        .steps = {3, 2, 2},
        .channels = true,
        .join = socketio_join,
        .judge = socketio_ack_judge,
        .before = socketio_ack_before,
        .after = socketio_after,
    },
    {
        .name = "socketio-native",
        .help = "the same, whose publishers are native clients of ringcast",
        .paths = {SOCKETIO_WS, SOCKETIO_WS, "/ws"},
        .framing = ALL_WS,
        .steps = {3, 2, 1},
        .channels = true,
        .join = socketio_native_join,
        .judge = socketio_native_judge,
        .before = native_before,
        .after = native_after,
    },
    {
        .name = "socketio-polling",
        .help = "Socket.IO 5 whose subscribers stay with polling; publishers have WebSockets",
        .paths = {SOCKETIO_POLL, SOCKETIO_POLL, SOCKETIO_WS},
        .framing = {RC_BENCH_FRAMING_POLLING, RC_BENCH_FRAMING_POLLING, RC_BENCH_FRAMING_WS},
        .steps = {3, 2, 2},
        .channels = true,
        .direct = true,
        .join = socketio_join,
        .judge = socketio_judge,
        .before = socketio_before,
        .after = socketio_after,
    },
    {
        .name = "socketio-upgrade",
        .help = "Socket.IO 5 whose subscribers begin by polling and upgrade, as the library's clients do by default",
        .paths = {SOCKETIO_WS, SOCKETIO_WS, SOCKETIO_WS, SOCKETIO_POLL},
        .framing = {RC_BENCH_FRAMING_WS, RC_BENCH_FRAMING_WS, RC_BENCH_FRAMING_WS, RC_BENCH_FRAMING_POLLING},
        .steps = {2, 2, 2, 2},
        .channels = true,
        .upgrades = true,
        .join = socketio_upgrade_join,
        .judge = socketio_upgrade_judge,
        .before = socketio_before,
        .after = socketio_after,
    },
    {
        .name = "nchan",
        .help = "nginx with nchan: subscribers on /sub/<channel>, POST to /pub/<channel>",
        .paths = {"/sub/%s", "/sub/%s", "/pub/%s"},
        .framing = {RC_BENCH_FRAMING_WS, RC_BENCH_FRAMING_WS, RC_BENCH_FRAMING_HTTP},
        .channels = true,
        .join = plain_join,
        .judge = plain_judge,
        .before = nchan_before,
        .after = plain_after,
    },
    {
        .name = "nchan-members",
        .help = "the same where subscribers publish over their own connections, on /both/<channel>",
        .paths = {"/both/%s", "/both/%s", "/both/%s"},
        .framing = ALL_WS,
        .channels = true,
        .join = plain_join,
        .judge = plain_judge,
        .before = plain_before,
        .after = plain_after,
    },
    {
        .name = "redis",
        .help = "a Redis server: SUBSCRIBE and PUBLISH",
        .paths = {"/", "/", "/"},
        .framing = {RC_BENCH_FRAMING_RESP, RC_BENCH_FRAMING_RESP, RC_BENCH_FRAMING_RESP},
        .steps = {1, 0, 0},
        .channels = true,
        .join = redis_join,
        .judge = redis_judge,
        .before = redis_before,
        .after = redis_after,
    },
    {
        .name = "floor",
        .help = "this program's own bare server loops",
        .paths = {"/sub/%s", "/sub/%s", "/pub"},
        .framing = ALL_WS,
        .channels = true,
        .join = plain_join,
        .judge = plain_judge,
        .before = plain_before,
        .after = plain_after,
    },
    {
        .name = "tcp",
        .help = "a bare TCP echo: no handshake, no frames",
        .paths = {"/", "/", "/"},
        .framing = {RC_BENCH_FRAMING_FIXED, RC_BENCH_FRAMING_FIXED, RC_BENCH_FRAMING_FIXED},
        .join = plain_join,
        .judge = plain_judge,
        .before = plain_before,
        .after = plain_after,
    },
};

const struct rc_bench_protocol *rc_bench_protocol_find(const char *name)
{
    for (size_t i = 0; i < RC_ARRAY_COUNT(protocols); i++) {
        if (strcmp(protocols[i].name, name) == 0) {
            return &protocols[i];
        }
    }
    return NULL;
}

const struct rc_bench_protocol *rc_bench_protocol_at(unsigned index)
{
    return index < RC_ARRAY_COUNT(protocols) ? &protocols[index] : NULL;
}
