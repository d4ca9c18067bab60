/* receive: see receive.h. Complete frames are judged where they lie in the receive buffer; only a cut one is copied. */
#include "bench/receive.h"

#include "bench/conn.h"
#include "bench/polling.h"
#include "bench/scenario.h"
#include "bench/ws_client.h"

#include "common/base/check.h"
#include "common/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_BYTES_MAX (64u << 20)
#define ANSWER_BYTES_MAX 16384u /* an upgrade's answer longer than this is no answer */

static struct rc_bench_carry *carry_of(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (conn->carry == 0) {
        if (client->carry_free == 0) {
            const uint32_t count = client->carry_count == 0 ? 64 : client->carry_count * 2;
            struct rc_bench_carry *const grown = realloc(client->carries, count * sizeof(*grown));
            RC_ASSERT(grown != NULL);
            memset(grown + client->carry_count, 0, (count - client->carry_count) * sizeof(*grown));
            for (uint32_t i = client->carry_count; i < count; i++) {
                grown[i].next_free = i + 2 <= count ? i + 2 : 0;
            }
            grown[count - 1].next_free = 0;
            client->carry_free = client->carry_count + 1;
            client->carries = grown;
            client->carry_count = count;
        }
        conn->carry = client->carry_free;
        client->carry_free = client->carries[conn->carry - 1].next_free;
    }
    return &client->carries[conn->carry - 1];
}

void rc_bench_receive_forget(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (conn->carry == 0) {
        return;
    }
    /* The memory goes too: a million connections must not each leave a buffer behind. */
    struct rc_bench_carry *const carry = &client->carries[conn->carry - 1];
    free(carry->bytes);
    free(carry->message);
    *carry = (struct rc_bench_carry){.next_free = client->carry_free};
    client->carry_free = conn->carry;
    conn->carry = 0;
}

static void part_append(uint8_t **bytes, uint32_t *count, uint32_t *room, const uint8_t *more, uint32_t more_count)
{
    if (*room - *count < more_count) {
        *room = (*count + more_count + 1024) * 2;
        *bytes = realloc(*bytes, *room);
        RC_ASSERT(*bytes != NULL);
    }
    memcpy(*bytes + *count, more, more_count);
    *count += more_count;
}

/* --- joining ---------------------------------------------------------------------------------------------------------- */

static uint32_t steps_of(const struct rc_bench_client *client, uint8_t role)
{
    const uint32_t steps = client->protocol->steps[role];
    return role == RC_BENCH_SUBSCRIBER && steps > 0 ? steps + client->plan->options->subscriptions - 1 : steps;
}

static void conn_joined(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    const uint64_t now = rc_clock_ns();
    conn->state = RC_BENCH_CONN_READY;
    if (rc_bench_is_opener(client, slot)) {
        rc_bench_conn_upgrade(client, slot - client->slots);
        return;
    }
    client->opening--;
    rc_bench_latency_add(&client->tally->handshake, now - conn->started_ns);
    rc_bench_count(&client->tally->ready, 1);
    rc_bench_count(&client->tally->open, 1);
    if (client->scenario->ready != NULL && conn->role != RC_BENCH_PUBLISHER) {
        client->scenario->ready(client, slot, now);
    }
}

void rc_bench_receive_join(struct rc_bench_client *client, uint32_t slot)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    const uint32_t steps = steps_of(client, conn->role);
    if (conn->step >= steps) {
        conn_joined(client, slot);
        return;
    }
    const uint32_t own = client->protocol->steps[conn->role];
    const uint32_t repeated = conn->step >= own ? conn->step - own + 1 : 0;
    char name[RC_BENCH_NAME_MAX];
    rc_bench_client_channel_name(client, (conn->channel + repeated) % client->plan->channels, name);
    char text[RC_BENCH_JOIN_BYTES_MAX];
    const uint8_t step = (uint8_t)(conn->step < own ? conn->step : own - 1);
    const size_t bytes = client->scenario->join != NULL
                             ? client->scenario->join(client, slot, text)
                             : client->protocol->join(text, (enum rc_bench_role)conn->role, step, name);
    if (bytes > 0) {
        rc_bench_client_send(client, slot, rc_span_of(text, bytes));
    }
}

static void step_done(struct rc_bench_client *client, uint32_t slot, struct rc_span found)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (conn->role == RC_BENCH_TARGET && conn->step + 1u == steps_of(client, conn->role) &&
        client->shared->names != NULL) {
        if (found.count >= RC_BENCH_NAME_MAX) {
            rc_bench_client_note(client, "a client id of %zu bytes is too long", found.count);
            rc_bench_conn_ended(client, slot);
            return;
        }
        char *const name = client->shared->names[conn->number];
        memcpy(name, found.bytes, found.count);
        name[found.count] = '\0';
    }
    if (conn->step == 0 && rc_bench_opener_of(client, slot) != 0) {
        rc_bench_polling_probed(client, slot);
        return;
    }
    conn->step++;
    rc_bench_receive_join(client, slot);
}

void rc_bench_receive_upgraded(struct rc_bench_client *client, uint32_t slot)
{
    rc_bench_client_send(client, slot, RC_SPAN("5"));
    rc_bench_client_close(client, rc_bench_opener_of(client, slot));
    client->conns[slot].step = 1;
    rc_bench_receive_join(client, slot);
}

static int take_answer(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count)
{
    unsigned status;
    const int head = rc_bench_ws_answer((const char *)bytes, count, &status);
    if (head < 0 || (head == 0 && count > ANSWER_BYTES_MAX)) {
        if (status != 0 && status != 101) {
            rc_bench_client_note(client, "the upgrade was answered with HTTP status %u; check the path of --url",
                                 status);
        } else {
            rc_bench_client_note(client, "the answer to the upgrade is not that of a WebSocket server");
        }
        rc_bench_conn_ended(client, slot);
        return head < 0 ? head : -EPROTO;
    }
    if (head > 0 && client->plan->options->deflate && !rc_bench_inflate_agreed(rc_span_of(bytes, (size_t)head))) {
        rc_bench_client_note(client, "the server does not agree to permessage-deflate with server_no_context_takeover");
        rc_bench_conn_ended(client, slot);
        return -EPROTO;
    }
    if (head > 0) {
        client->conns[slot].state = RC_BENCH_CONN_JOINING;
        rc_bench_count(&client->tally->opened, 1);
        rc_bench_receive_join(client, slot);
    }
    return head;
}

/* --- messages --------------------------------------------------------------------------------------------------------- */

static void answer_tell(struct rc_bench_client *client, uint32_t slot, struct rc_span text)
{
    if (client->scenario->answer != NULL) {
        client->scenario->answer(client, slot, text);
    }
}

/* A message of a stream of deltas: its JSON text is the payload in quotes. */
static void take_delta(struct rc_bench_client *client, uint32_t slot, struct rc_span string, bool whole,
                       uint64_t now_ns)
{
    struct rc_span text;
    if (rc_bench_delta_take(&client->delta, slot, client->slots, string, whole, &text) != 0 || text.count < 2) {
        rc_bench_count(&client->tally->corrupted, 1);
        rc_bench_client_note(client, "a delta cannot be applied: %.*s", (int)(string.count < 100 ? string.count : 100),
                             (const char *)string.bytes);
        return;
    }
    rc_bench_count(&client->tally->deltas, whole ? 0 : 1);
    if (client->scenario->payload != NULL) {
        client->scenario->payload(client, slot, rc_span_of(text.bytes + 1, text.count - 2), now_ns);
    }
}

void rc_bench_receive_message(struct rc_bench_client *client, uint32_t slot, struct rc_span text, uint64_t now_ns)
{
    const struct rc_bench_conn *const conn = &client->conns[slot];
    const enum rc_bench_role role = (enum rc_bench_role)conn->role;
    const uint32_t own = client->protocol->steps[role];
    struct rc_span found = {0};
    const uint8_t step = (uint8_t)(conn->step < own ? conn->step : own == 0 ? 0 : own - 1);
    switch (client->protocol->judge(role, step, text, client->plan->options->payload_bytes, &found)) {
    case RC_BENCH_PAYLOAD:
        if (role != RC_BENCH_PUBLISHER && role != RC_BENCH_OPENER && client->scenario->payload != NULL) {
            client->scenario->payload(client, slot, found, now_ns);
        }
        break;
    case RC_BENCH_FULL:
        take_delta(client, slot, found, true, now_ns);
        break;
    case RC_BENCH_DELTA:
        take_delta(client, slot, found, false, now_ns);
        break;
    case RC_BENCH_STEP:
        if (conn->state == RC_BENCH_CONN_JOINING) {
            answer_tell(client, slot, text);
            step_done(client, slot, found);
        }
        break;
    case RC_BENCH_ANSWER:
        answer_tell(client, slot, text);
        break;
    case RC_BENCH_REPLY:
        rc_bench_count(&client->tally->pings, 1);
        rc_bench_client_send(client, slot, found);
        break;
    case RC_BENCH_GAP:
        rc_bench_count(&client->tally->gaps, 1);
        break;
    case RC_BENCH_REFUSED:
        rc_bench_count(&client->tally->refused, 1);
        rc_bench_client_note(client, "the server answered: %.*s", (int)(text.count < 180 ? text.count : 180),
                             (const char *)text.bytes);
        break;
    case RC_BENCH_IGNORED:
        break;
    }
}

/* A message as it came: compressed ones are inflated first. */
static void take_whole(struct rc_bench_client *client, uint32_t slot, struct rc_span message, bool compressed,
                       uint64_t now_ns)
{
    struct rc_span text = message;
    if (compressed) {
        if (!client->plan->options->deflate ||
            rc_bench_inflate(&client->inflate, message, FRAME_BYTES_MAX, &text) != 0) {
            rc_bench_client_note(client, "the server sent a compressed message that cannot be read");
            rc_bench_conn_ended(client, slot);
            return;
        }
        rc_bench_count(&client->tally->inflated, 1);
    }
    rc_bench_receive_message(client, slot, text, now_ns);
}

static void take_control(struct rc_bench_client *client, uint32_t slot, uint8_t opcode, struct rc_span payload)
{
    if (opcode == RC_BENCH_WS_PING) {
        rc_bench_count(&client->tally->pings, 1);
        rc_bench_conn_send_frame(client, slot, RC_BENCH_WS_PONG, payload);
    } else if (opcode == RC_BENCH_WS_CLOSE) {
        const unsigned code = payload.count >= 2 ? (unsigned)payload.bytes[0] << 8 | payload.bytes[1] : 1005;
        if (client->scenario->holds_steady) {
            rc_bench_client_note(client, "the server closed a connection with code %u", code);
        }
        rc_bench_conn_ended(client, slot);
    }
}

static void take_fragment(struct rc_bench_client *client, uint32_t slot, const struct rc_bench_ws_frame *frame,
                          const uint8_t *payload, uint64_t now_ns)
{
    struct rc_bench_carry *const carry = carry_of(client, slot);
    if (carry->fragmented != (frame->opcode == RC_BENCH_WS_CONTINUATION) ||
        carry->message_count + frame->payload_bytes > FRAME_BYTES_MAX) {
        rc_bench_client_note(client, "the server sent fragments out of order or a message above %u bytes",
                             FRAME_BYTES_MAX);
        rc_bench_conn_ended(client, slot);
        return;
    }
    if (frame->opcode != RC_BENCH_WS_CONTINUATION) {
        carry->compressed = frame->compressed;
    }
    part_append(&carry->message, &carry->message_count, &carry->message_room, payload, (uint32_t)frame->payload_bytes);
    carry->fragmented = !frame->last;
    if (frame->last) {
        /* Judged from a buffer of its own: the carry table may move or go during the callback. */
        uint8_t *const message = carry->message;
        const uint32_t count = carry->message_count;
        carry->message = NULL;
        carry->message_count = carry->message_room = 0;
        take_whole(client, slot, rc_span_of(message, count), carry->compressed, now_ns);
        free(message);
    }
}

static int take_frame(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count,
                      uint64_t now_ns)
{
    struct rc_bench_ws_frame frame;
    const int header = rc_bench_ws_parse(bytes, count, FRAME_BYTES_MAX, &frame);
    if (header < 0) {
        rc_bench_client_note(client, "the server sent a frame that RFC 6455 forbids");
        rc_bench_conn_ended(client, slot);
        return header;
    }
    if (header == 0 || count - (uint32_t)header < frame.payload_bytes) {
        return 0;
    }
    const uint8_t *const payload = bytes + header;
    const struct rc_bench_conn *const conn = &client->conns[slot];
    const bool fragmented = conn->carry != 0 && client->carries[conn->carry - 1].fragmented;
    if (frame.opcode >= RC_BENCH_WS_CLOSE) {
        take_control(client, slot, frame.opcode, rc_span_of(payload, frame.payload_bytes));
    } else if (frame.last && !fragmented && frame.opcode != RC_BENCH_WS_CONTINUATION) {
        take_whole(client, slot, rc_span_of(payload, frame.payload_bytes), frame.compressed, now_ns);
    } else {
        take_fragment(client, slot, &frame, payload, now_ns);
    }
    return header + (int)frame.payload_bytes;
}

static int take_fixed(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count,
                      uint64_t now_ns)
{
    const uint32_t wanted = client->plan->options->payload_bytes;
    if (count < wanted) {
        return 0;
    }
    rc_bench_receive_message(client, slot, rc_span_of(bytes, wanted), now_ns);
    return (int)wanted;
}

/* The number that a line of RESP holds, from behind its kind to its end; false when it is none, or one beyond all bounds. */
static bool resp_number(const uint8_t *at, const uint8_t *end, long *number)
{
    const bool negative = at < end && *at == '-';
    at += negative;
    if (at == end || end - at > 9) {
        return false;
    }
    long value = 0;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        value = value * 10 + (*at - '0');
    }
    *number = negative ? -value : value;
    return true;
}

/* The bytes of the value that stands at the front, of which only what PUBLISH and SUBSCRIBE are answered with can come: a line, or
 * an array of lines and bulk strings. 0: not all of it is there. -EPROTO: it is none. */
static int resp_bytes(const uint8_t *bytes, uint32_t count)
{
    uint32_t at = 0;
    for (long left = 1; left > 0; left--) {
        if (at < count && memchr("+-:$*", bytes[at], 5) == NULL) {
            return -EPROTO;
        }
        const uint8_t *const end = memmem(bytes + at, count - at, "\r\n", 2);
        if (end == NULL) {
            return count - at > ANSWER_BYTES_MAX ? -EPROTO : 0;
        }
        const uint8_t kind = bytes[at];
        long number = 0;
        if ((kind == '*' || kind == '$') && !resp_number(bytes + at + 1, end, &number)) {
            return -EPROTO;
        }
        at = (uint32_t)(end - bytes) + 2;
        if (kind == '*' && number > 0) {
            left += number;
        } else if (kind == '$' && number >= 0) {
            if (number > FRAME_BYTES_MAX || at > FRAME_BYTES_MAX) {
                return -EPROTO;
            }
            if (count - at < (uint32_t)number + 2) {
                return 0;
            }
            at += (uint32_t)number + 2;
        }
    }
    return (int)at;
}

static int take_resp(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count,
                     uint64_t now_ns)
{
    const int whole = resp_bytes(bytes, count);
    if (whole < 0) {
        rc_bench_client_note(client, "the server sent what is no RESP");
        rc_bench_conn_ended(client, slot);
    } else if (whole > 0) {
        rc_bench_receive_message(client, slot, rc_span_of(bytes, (uint32_t)whole), now_ns);
    }
    return whole;
}

/* The head of the answer, then events, up to an empty line. */
static int take_sse(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count,
                    uint64_t now_ns)
{
    const bool head = client->conns[slot].state == RC_BENCH_CONN_JOINING;
    const struct rc_span end = head ? RC_SPAN("\r\n\r\n") : RC_SPAN("\n\n");
    const uint8_t *const at = memmem(bytes, count, end.bytes, end.count);
    if (at == NULL) {
        return 0;
    }
    rc_bench_receive_message(client, slot, rc_span_of(bytes, (size_t)(at - bytes)), now_ns);
    if (head && client->conns[slot].state == RC_BENCH_CONN_JOINING) {
        rc_bench_conn_ended(client, slot); /* refused */
    }
    return (int)(at - bytes) + (int)end.count;
}

/* Answers to requests: only what refuses matters, and refusals are short enough to begin a receive. */
static int take_http(struct rc_bench_client *client, const uint8_t *bytes, uint32_t count)
{
    const struct rc_span text = rc_span_of(bytes, count);
    if (rc_span_starts_with(text, RC_SPAN("HTTP/1.1 4")) || rc_span_starts_with(text, RC_SPAN("HTTP/1.1 5"))) {
        rc_bench_count(&client->tally->refused, 1);
        rc_bench_client_note(client, "the server answered a publish with: %.*s", (int)(count < 60 ? count : 60),
                             (const char *)bytes);
    }
    return (int)count;
}

/* Takes as much as is complete; returns what was taken, or a negative errno when the connection is gone. */
static int take_all(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count,
                    uint64_t now_ns)
{
    const struct rc_bench_conn *const conn = &client->conns[slot];
    const uint16_t generation = conn->generation;
    uint32_t at = 0;
    while (at < count) {
        int took;
        if (conn->state == RC_BENCH_CONN_UPGRADING) {
            took = take_answer(client, slot, bytes + at, count - at);
        } else if (client->protocol->framing[conn->role] == RC_BENCH_FRAMING_WS) {
            took = take_frame(client, slot, bytes + at, count - at, now_ns);
        } else if (client->protocol->framing[conn->role] == RC_BENCH_FRAMING_FIXED) {
            took = take_fixed(client, slot, bytes + at, count - at, now_ns);
        } else if (client->protocol->framing[conn->role] == RC_BENCH_FRAMING_RESP) {
            took = take_resp(client, slot, bytes + at, count - at, now_ns);
        } else if (client->protocol->framing[conn->role] == RC_BENCH_FRAMING_SSE) {
            took = take_sse(client, slot, bytes + at, count - at, now_ns);
        } else if (client->protocol->framing[conn->role] == RC_BENCH_FRAMING_POLLING) {
            took = rc_bench_polling_take(client, slot, bytes + at, count - at, now_ns);
        } else {
            took = take_http(client, bytes + at, count - at);
        }
        if (took < 0 || conn->generation != generation) {
            return -ECONNRESET;
        }
        if (took == 0) {
            break;
        }
        at += (uint32_t)took;
    }
    return (int)at;
}

void rc_bench_receive(struct rc_bench_client *client, uint32_t slot, uint8_t *bytes, uint32_t count, uint64_t now_ns)
{
    struct rc_bench_conn *const conn = &client->conns[slot];
    if (conn->carry == 0 || client->carries[conn->carry - 1].count == 0) {
        const int took = take_all(client, slot, bytes, count, now_ns);
        if (took >= 0 && (uint32_t)took < count) {
            struct rc_bench_carry *const carry = carry_of(client, slot);
            part_append(&carry->bytes, &carry->count, &carry->room, bytes + took, count - (uint32_t)took);
        }
        return;
    }
    struct rc_bench_carry *carry = carry_of(client, slot);
    part_append(&carry->bytes, &carry->count, &carry->room, bytes, count);
    /* Taken out of the table while callbacks run: they may grow the table or give the carry back. */
    uint8_t *const joined = carry->bytes;
    const uint32_t joined_count = carry->count, joined_room = carry->room;
    carry->bytes = NULL;
    carry->count = carry->room = 0;
    const int took = take_all(client, slot, joined, joined_count, now_ns);
    if (took < 0) {
        free(joined);
        return;
    }
    carry = carry_of(client, slot);
    carry->bytes = joined;
    carry->room = joined_room;
    carry->count = joined_count - (uint32_t)took;
    memmove(carry->bytes, carry->bytes + took, carry->count);
    if (carry->count == 0 && !carry->fragmented) {
        rc_bench_receive_forget(client, slot);
    }
}
