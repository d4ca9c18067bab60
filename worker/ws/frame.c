/*
 * WebSocket frame headers and close frames.
 */
#include "worker/ws/frame.h"

#include <errno.h>
#include <string.h>

size_t rc_ws_header_write(uint8_t *out, bool fin, uint8_t opcode, uint8_t rsv, uint64_t payload_bytes)
{
    out[0] = (uint8_t)((fin ? 0x80u : 0u) | rsv | opcode);
    if (payload_bytes <= 125) {
        out[1] = (uint8_t)payload_bytes;
        return 2;
    }
    if (payload_bytes <= UINT16_MAX) {
        out[1] = 126;
        out[2] = (uint8_t)(payload_bytes >> 8);
        out[3] = (uint8_t)payload_bytes;
        return 4;
    }
    out[1] = 127;
    for (int i = 0; i < 8; i++) {
        out[2 + i] = (uint8_t)(payload_bytes >> (56 - 8 * i));
    }
    return 10;
}

static int frame_broken(const char **why, const char *sentence)
{
    *why = sentence;
    return -EPROTO;
}

/* The first two bytes by themselves: what is wrong whatever follows. */
static int check_start(const uint8_t *in, size_t n, const char **why)
{
    uint8_t opcode = in[0] & 0x0F;
    bool control = opcode & 0x8;

    if ((opcode & 0x7) > 2) {
        return frame_broken(why, "reserved opcode");
    }
    if (control && !(in[0] & 0x80)) {
        return frame_broken(why, "fragmented control frame");
    }
    if (n >= 2 && control && (in[1] & 0x7F) > RC_WS_CONTROL_PAYLOAD_MAX) {
        return frame_broken(why, "control frame longer than 125 bytes");
    }
    return 0;
}

/* The extended length at in[2], of which `have` bytes are there: an error that they already prove. */
static int check_length(const uint8_t *in, size_t have, uint8_t code, const char **why)
{
    if (code == 127 && have >= 1 && (in[2] & 0x80)) {
        return frame_broken(why, "payload length with the top bit set");
    }
    if (code == 126 && have >= 2 && in[2] == 0 && in[3] <= 125) {
        return frame_broken(why, "payload length not in its shortest form");
    }
    if (code == 127 && have >= 6 && !(in[2] | in[3] | in[4] | in[5] | in[6] | in[7])) {
        return frame_broken(why, "payload length not in its shortest form");
    }
    return 0;
}

int rc_ws_header_read(const uint8_t *in, size_t n, struct rc_ws_header *out, const char **why)
{
    if (n == 0) {
        return 0;
    }
    int error = check_start(in, n, why);
    if (error < 0) {
        return error;
    }
    if (n < 2) {
        return 0;
    }

    uint8_t code = in[1] & 0x7F;
    bool masked = in[1] & 0x80;
    size_t length_bytes = code < 126 ? 0 : code == 126 ? 2 : 8;
    size_t header_bytes = 2 + length_bytes + (masked ? 4 : 0);
    if (length_bytes != 0) {
        error = check_length(in, n - 2, code, why);
        if (error < 0) {
            return error;
        }
    }
    if (n < header_bytes) {
        return 0;
    }

    uint64_t payload_bytes = length_bytes == 0 ? code : 0;
    for (size_t i = 0; i < length_bytes; i++) {
        payload_bytes = payload_bytes << 8 | in[2 + i];
    }
    out->payload_bytes = payload_bytes;
    out->key = 0;
    if (masked) {
        memcpy(&out->key, in + header_bytes - 4, sizeof(out->key));
    }
    out->opcode = in[0] & 0x0F;
    out->rsv = in[0] & (RC_WS_RSV1 | RC_WS_RSV2 | RC_WS_RSV3);
    out->fin = in[0] & 0x80;
    out->masked = masked;
    return (int)header_bytes;
}

bool rc_ws_close_code_valid_received(uint16_t code)
{
    if (code >= 3000) {
        return code <= 4999;
    }
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

size_t rc_ws_close_write(uint8_t *out, uint16_t code, const char *reason, size_t reason_bytes)
{
    if (code == RC_WS_CLOSE_NO_STATUS) {
        return rc_ws_header_write(out, true, RC_WS_CLOSE, 0, 0);
    }
    if (reason == NULL) {
        reason_bytes = 0;
    }
    if (reason_bytes > RC_WS_CLOSE_REASON_BYTES_MAX) {
        reason_bytes = RC_WS_CLOSE_REASON_BYTES_MAX;
        /* Cutting before a continuation byte would halve a code point: go back to where one starts. */
        while (reason_bytes > 0 && ((uint8_t)reason[reason_bytes] & 0xC0) == 0x80) {
            reason_bytes--;
        }
    }
    size_t at = rc_ws_header_write(out, true, RC_WS_CLOSE, 0, 2 + reason_bytes);
    out[at] = (uint8_t)(code >> 8);
    out[at + 1] = (uint8_t)code;
    if (reason_bytes != 0) {
        memcpy(out + at + 2, reason, reason_bytes);
    }
    return at + 2 + reason_bytes;
}
