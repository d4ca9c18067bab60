/* floor_core: see floor_core.h. */
#include "bench/floor_core.h"

#include "bench/ws_client.h"

#include "common/base/check.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES (1u << 20)

static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Accept: " RC_BENCH_WS_ACCEPT "\r\n\r\n";

void rc_bench_floor_core_init(struct rc_bench_floor_core *core, uint32_t conn_max)
{
    core->conn_max = conn_max;
    core->conns = calloc(conn_max, sizeof(*core->conns));
    core->channels = calloc(core->channel_count, sizeof(*core->channels));
    core->arena = malloc(ARENA_BYTES);
    RC_ASSERT(core->conns != NULL && core->channels != NULL && core->arena != NULL);
}

void rc_bench_floor_core_opened(struct rc_bench_floor_core *core, uint32_t conn)
{
    RC_ASSERT(conn < core->conn_max);
    core->conns[conn] = (struct rc_bench_floor_conn){
        .state = core->kind == RC_BENCH_FLOOR_TCP ? RC_BENCH_FLOOR_TALKING : RC_BENCH_FLOOR_NEW,
    };
}

static uint8_t *floor_arena_take(struct rc_bench_floor_core *core, uint32_t bytes)
{
    RC_ASSERT(bytes <= ARENA_BYTES);
    if (core->arena_used + bytes > ARENA_BYTES) {
        core->flush(core->loop);
        core->arena_used = 0;
    }
    uint8_t *const at = core->arena + core->arena_used;
    core->arena_used += bytes;
    return at;
}

static void conn_subscribe(struct rc_bench_floor_core *core, uint32_t conn, uint32_t number)
{
    struct rc_bench_floor_channel *const channel = &core->channels[number];
    if (channel->member_count == channel->member_room) {
        channel->member_room = channel->member_room * 2 + 16;
        channel->members = realloc(channel->members, channel->member_room * sizeof(*channel->members));
        RC_ASSERT(channel->members != NULL);
    }
    core->conns[conn].channel = number;
    core->conns[conn].member = channel->member_count;
    core->conns[conn].subscribed = true;
    channel->members[channel->member_count++] = conn;
}

/* "GET /sub/<text><number> ...": the number behind the last character that is no digit. */
static bool conn_upgrade(struct rc_bench_floor_core *core, uint32_t conn, const uint8_t *bytes, uint32_t count)
{
    if (count < 16 || memcmp(bytes + count - 4, "\r\n\r\n", 4) != 0 || memcmp(bytes, "GET /", 5) != 0) {
        return false;
    }
    core->conns[conn].state = RC_BENCH_FLOOR_QUIET;
    if (core->kind == RC_BENCH_FLOOR_ECHO || memcmp(bytes + 5, "pub ", 4) == 0) {
        core->conns[conn].state = RC_BENCH_FLOOR_TALKING;
    } else if (core->kind == RC_BENCH_FLOOR_FANOUT || core->kind == RC_BENCH_FLOOR_ROOMS) {
        const uint8_t *const end = memchr(bytes + 5, ' ', count - 5);
        uint32_t number = 0, scale = 1;
        for (const uint8_t *at = end; at != NULL && at > bytes && at[-1] >= '0' && at[-1] <= '9' && scale < 100000000;
             at--) {
            number += (uint32_t)(at[-1] - '0') * scale;
            scale *= 10;
        }
        if (number >= core->channel_count) {
            return false;
        }
        conn_subscribe(core, conn, number);
        core->conns[conn].state = core->kind == RC_BENCH_FLOOR_ROOMS ? RC_BENCH_FLOOR_TALKING : RC_BENCH_FLOOR_QUIET;
    }
    core->send(core->loop, conn, (const uint8_t *)answer, sizeof(answer) - 1);
    return true;
}

static uint32_t server_header(uint8_t *out, uint32_t payload_bytes)
{
    out[0] = 0x80 | RC_BENCH_WS_TEXT;
    if (payload_bytes < 126) {
        out[1] = (uint8_t)payload_bytes;
        return 2;
    }
    const uint32_t length_bytes = payload_bytes <= UINT16_MAX ? 2 : 8;
    out[1] = length_bytes == 2 ? 126 : 127;
    for (uint32_t i = 0; i < length_bytes; i++) {
        out[2 + i] = (uint8_t)((uint64_t)payload_bytes >> (8 * (length_bytes - 1 - i)));
    }
    return 2 + length_bytes;
}

static void send_channel(struct rc_bench_floor_core *core, struct rc_bench_floor_channel *channel)
{
    /* What came one after the other lies side by side in the kernel, which is worth a fifth of a send to 100,000. */
    for (uint32_t first = 0; first < core->stride; first++) {
        for (uint32_t i = first; i < channel->member_count; i += core->stride) {
            core->send(core->loop, channel->members[i], channel->pending, channel->pending_bytes);
        }
    }
    core->flush(core->loop);
    core->pending -= channel->pending_frames;
    channel->pending_bytes = channel->pending_frames = 0;
}

void rc_bench_floor_core_send_pending(struct rc_bench_floor_core *core)
{
    for (uint32_t i = 0; i < core->channel_count && core->pending > 0; i++) {
        if (core->channels[i].pending_frames > 0) {
            send_channel(core, &core->channels[i]);
        }
    }
}

/* The stream is the payload's first 6 hex digits (payload.h); it is on channel stream % channels. */
static bool conn_publish(struct rc_bench_floor_core *core, const uint8_t *payload, uint32_t count)
{
    uint32_t stream = 0;
    for (uint32_t i = 0; i < 6 && i < count; i++) {
        stream = stream << 4 | (uint32_t)(payload[i] <= '9' ? payload[i] - '0' : payload[i] - 'a' + 10);
    }
    struct rc_bench_floor_channel *const channel = &core->channels[stream % core->channel_count];
    if (channel->pending == NULL) {
        channel->pending = malloc((size_t)core->coalesce * (core->payload_bytes + 10));
        RC_ASSERT(channel->pending != NULL);
    }
    if (count != core->payload_bytes) {
        return false;
    }
    channel->pending_bytes += server_header(channel->pending + channel->pending_bytes, count);
    memcpy(channel->pending + channel->pending_bytes, payload, count);
    channel->pending_bytes += count;
    channel->pending_frames++;
    core->pending++;
    if (channel->pending_frames == core->coalesce) {
        send_channel(core, channel);
    }
    return true;
}

/* Takes whole client frames; returns how much, or -1. Echoes of one receive leave in one send. */
static int64_t take_frames(struct rc_bench_floor_core *core, uint32_t conn, uint8_t *bytes, uint32_t count)
{
    const bool echo = core->kind == RC_BENCH_FLOOR_ECHO;
    uint8_t *const out = echo ? floor_arena_take(core, count + 16) : NULL;
    uint32_t out_bytes = 0, at = 0;
    while (count - at >= 6) {
        uint64_t payload_bytes = bytes[at + 1] & 0x7f;
        const uint32_t length_bytes = payload_bytes == 126 ? 2 : payload_bytes == 127 ? 8 : 0;
        const uint32_t header = 6 + length_bytes;
        if (count - at < header) {
            break;
        }
        if (length_bytes > 0) {
            payload_bytes = 0;
            for (uint32_t i = 0; i < length_bytes; i++) {
                payload_bytes = payload_bytes << 8 | bytes[at + 2 + i];
            }
        }
        if (count - at - header < payload_bytes) {
            break;
        }
        if ((bytes[at] & 0x0f) == RC_BENCH_WS_CLOSE) {
            return -1;
        }
        uint32_t key;
        memcpy(&key, bytes + at + header - 4, 4);
        uint8_t *const payload = bytes + at + header;
        rc_bench_ws_mask(payload, payload_bytes, key);
        if (echo) {
            out_bytes += server_header(out + out_bytes, (uint32_t)payload_bytes);
            memcpy(out + out_bytes, payload, payload_bytes);
            out_bytes += (uint32_t)payload_bytes;
        } else if ((core->kind != RC_BENCH_FLOOR_FANOUT && core->kind != RC_BENCH_FLOOR_ROOMS) ||
                   !conn_publish(core, payload, (uint32_t)payload_bytes)) {
            return -1;
        }
        at += header + (uint32_t)payload_bytes;
    }
    if (out_bytes > 0) {
        core->send(core->loop, conn, out, out_bytes);
    }
    return at;
}

bool rc_bench_floor_core_take(struct rc_bench_floor_core *core, uint32_t number, uint8_t *bytes, uint32_t count)
{
    struct rc_bench_floor_conn *const conn = &core->conns[number];
    if (core->kind == RC_BENCH_FLOOR_TCP) {
        uint8_t *const out = floor_arena_take(core, count);
        memcpy(out, bytes, count);
        core->send(core->loop, number, out, count);
        return true;
    }
    if (conn->state == RC_BENCH_FLOOR_NEW) {
        return conn_upgrade(core, number, bytes, count);
    }
    if (conn->carry_count > 0) {
        if (conn->carry_room - conn->carry_count < count) {
            conn->carry_room = (conn->carry_count + count) * 2;
            conn->carry = realloc(conn->carry, conn->carry_room);
            RC_ASSERT(conn->carry != NULL);
        }
        memcpy(conn->carry + conn->carry_count, bytes, count);
        bytes = conn->carry;
        count += conn->carry_count;
    }
    const int64_t took = take_frames(core, number, bytes, count);
    if (took < 0) {
        return false;
    }
    const uint32_t rest = count - (uint32_t)took;
    if (rest > 0 && conn->carry_room < rest) {
        conn->carry_room = rest * 2 + 4096;
        conn->carry = realloc(conn->carry, conn->carry_room);
        RC_ASSERT(conn->carry != NULL);
    }
    if (rest > 0) {
        memmove(conn->carry, bytes + took, rest);
    }
    conn->carry_count = rest;
    return true;
}

void rc_bench_floor_core_closed(struct rc_bench_floor_core *core, uint32_t number)
{
    struct rc_bench_floor_conn *const conn = &core->conns[number];
    if (conn->subscribed) {
        struct rc_bench_floor_channel *const channel = &core->channels[conn->channel];
        const uint32_t last = channel->members[--channel->member_count];
        channel->members[conn->member] = last;
        core->conns[last].member = conn->member;
    }
    free(conn->carry);
    *conn = (struct rc_bench_floor_conn){0};
}
