/* unit: see unit.h. One row of `framings` for each way in which parts travel. */
#include "worker/proto/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/text/base64.h"
#include "worker/proto/operation.h"
#include "worker/ws/frame.h"

#define CLOSE_REASON_MAX 72u /* of one that a stream is told */

uint8_t rc_part_opcode(enum rc_part_kind kind)
{
    switch (kind) {
    case RC_PART_TEXT:
        return RC_WS_TEXT;
    case RC_PART_BINARY:
        return RC_WS_BINARY;
    case RC_PART_PING:
        return RC_WS_PING;
    }
    return RC_WS_BINARY;
}

static size_t websocket_head_write(uint8_t *out, enum rc_part_kind kind, uint8_t mark, uint64_t payload_bytes)
{
    return rc_ws_header_write(out, true, rc_part_opcode(kind), mark, payload_bytes);
}

/* Packets of a payload are apart by U+001E (engine.io-protocol v4, "HTTP long-polling"); whoever answers a poll leaves out the first
 * of them. */
static size_t polling_head_write(uint8_t *out, enum rc_part_kind kind, uint8_t mark, uint64_t payload_bytes)
{
    (void)mark;
    (void)payload_bytes;
    out[0] = 0x1e;
    if (kind != RC_PART_BINARY) {
        return 1;
    }
    out[1] = 'b';
    return 2;
}

/* What a codec of server-sent events writes is the stream. */
static size_t stream_head_write(uint8_t *out, enum rc_part_kind kind, uint8_t mark, uint64_t payload_bytes)
{
    (void)out;
    (void)kind;
    (void)mark;
    (void)payload_bytes;
    return 0;
}

/* An event "close" (HTML, 9.2.6 "Interpreting an event stream"), behind which the connection ends. Who is sent elsewhere is told when to come
 * back: its reason is the digits of that. What does not fit of another reason is cut, and what would have to be escaped ends it. */
static size_t stream_close_write(uint8_t out[RC_CLOSE_BYTES_MAX], uint16_t code, const char *reason,
                                 size_t reason_bytes)
{
    char text[RC_CLOSE_BYTES_MAX + 1];
    int bytes;
    if (code == RC_CLOSE_SERVICE_RESTART) {
        bytes = snprintf(text, sizeof(text), "retry: %.*s\nevent: close\ndata: {\"code\":%u,\"reason\":\"%s\"}\n\n",
                         (int)reason_bytes, reason, code, rc_close_reason(code));
    } else {
        size_t plain = 0;
        while (plain < reason_bytes && plain < CLOSE_REASON_MAX && (uint8_t)reason[plain] >= 0x20 &&
               (uint8_t)reason[plain] < 0x7f && reason[plain] != '"' && reason[plain] != '\\') {
            plain++;
        }
        bytes = snprintf(text, sizeof(text), "event: close\ndata: {\"code\":%u,\"reason\":\"%.*s\"}\n\n", code,
                         (int)plain, reason == NULL ? "" : reason);
    }
    RC_ASSERT(bytes > 0 && (size_t)bytes < sizeof(text));
    memcpy(out, text, (size_t)bytes);
    return (size_t)bytes;
}

const struct rc_framing rc_framings[RC_FRAMING_COUNT] = {
    [RC_FRAMING_WEBSOCKET] = {2, 4, RC_WS_SERVER_HEADER_BYTES_MAX, false, websocket_head_write, rc_ws_close_write},
    [RC_FRAMING_POLLING] = {1, 1, 2, true, polling_head_write, NULL},
    [RC_FRAMING_STREAM] = {0, 0, 0, false, stream_head_write, stream_close_write},
};

/* The end of a part whose framing carries text alone. */
static __attribute__((noinline)) void unit_text_end(struct rc_unit *unit, enum rc_part_kind kind, size_t bytes)
{
    uint8_t *out = unit->out + unit->bytes;
    const size_t head = kind == RC_PART_BINARY ? 2 : 1;
    uint8_t *payload = unit->out + unit->payload;
    if (kind == RC_PART_BINARY) {
        memmove(out + head, payload, bytes);
        bytes = rc_base64_encode(out + head, out + head, bytes);
    } else if (payload != out + head) {
        memmove(out + head, payload, bytes);
    }
    unit->bytes += unit->framing->head_write(out, kind, 0, bytes) + bytes;
}

/* The payload's bytes once it is compressed in place, 0 when it stays as it is. */
static __attribute__((noinline)) size_t unit_deflate(struct rc_unit *unit, size_t bytes)
{
    struct rc_compressor *compressor = unit->compressor;
    if (!rc_deflate_wanted(bytes, compressor->threshold_bytes)) {
        return 0;
    }
    const size_t room = rc_deflate_bound(bytes);
    if (room > compressor->scratch_bytes) {
        uint8_t *larger = realloc(compressor->scratch, room * 2);
        if (larger == NULL) {
            return 0; /* uncompressed is always right */
        }
        compressor->scratch = larger;
        compressor->scratch_bytes = room * 2;
    }
    const int64_t count = rc_deflate(&compressor->deflater, unit->window_bits, unit->out + unit->payload, bytes,
                                     compressor->scratch, room);
    if (count <= 0) {
        return 0;
    }
    rc_metric_add(compressor->metrics, RC_METRIC_DEFLATED, 1);
    rc_metric_add(compressor->metrics, RC_METRIC_DEFLATE_SAVED, bytes - (size_t)count);
    return (size_t)count;
}

void rc_unit_part_end(struct rc_unit *unit, enum rc_part_kind kind, size_t bytes)
{
    if (RC_UNLIKELY(unit->framing->text)) {
        unit_text_end(unit, kind, bytes);
        return;
    }
    uint8_t *head_at = unit->out + unit->bytes;
    const uint8_t *payload = unit->out + unit->payload;
    uint8_t mark = 0;
    const size_t deflated = RC_UNLIKELY(unit->compressor != NULL) ? unit_deflate(unit, bytes) : 0;
    if (deflated > 0) {
        payload = unit->compressor->scratch;
        bytes = deflated;
        mark = RC_WS_RSV1;
    }
    const size_t head = rc_framing_head_bytes(unit->framing, bytes);
    if (RC_UNLIKELY(payload != head_at + head)) {
        memmove(head_at + head, payload, bytes);
    }
    unit->bytes += unit->framing->head_write(head_at, kind, mark, bytes) + bytes;
}

int rc_compressor_open(struct rc_compressor *compressor, const struct rc_deflate_settings *settings,
                       struct rc_metrics *metrics)
{
    *compressor = (struct rc_compressor){.metrics = metrics};
    return rc_deflater_open(&compressor->deflater, settings);
}

void rc_compressor_close(struct rc_compressor *compressor)
{
    rc_deflater_close(&compressor->deflater);
    free(compressor->scratch);
    compressor->scratch = NULL;
    compressor->scratch_bytes = 0;
}
