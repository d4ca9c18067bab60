/* ws_client: see ws_client.h. */
#include "bench/ws_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

size_t rc_bench_ws_request(char *out, size_t room, const char *host, const char *path, const char *subprotocol,
                           const char *extra)
{
    const int bytes =
        snprintf(out, room,
                 "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: " RC_BENCH_WS_KEY "\r\nSec-WebSocket-Version: 13\r\n%s%s%s%s\r\n",
                 path, host, subprotocol != NULL ? "Sec-WebSocket-Protocol: " : "",
                 subprotocol != NULL ? subprotocol : "", subprotocol != NULL ? "\r\n" : "", extra != NULL ? extra : "");
    return bytes > 0 && (size_t)bytes < room ? (size_t)bytes : 0;
}

int rc_bench_ws_answer(const char *text, size_t bytes, unsigned *status)
{
    static const char line[] = "HTTP/1.1 ";
    const size_t known = bytes < sizeof(line) - 1 ? bytes : sizeof(line) - 1;
    *status = 0;
    if (memcmp(text, line, known) != 0) {
        return -EPROTO;
    }
    if (bytes < sizeof(line) - 1 + 3) {
        return 0;
    }
    for (size_t i = 0; i < 3; i++) {
        const char digit = text[sizeof(line) - 1 + i];
        if (digit < '0' || digit > '9') {
            return -EPROTO;
        }
        *status = *status * 10 + (unsigned)(digit - '0');
    }
    if (*status != 101) {
        return -EPROTO;
    }
    const char *const end = memmem(text, bytes, "\r\n\r\n", 4);
    if (end == NULL) {
        return 0;
    }
    const size_t head = (size_t)(end - text) + 4;
    if (memmem(text, head, RC_BENCH_WS_ACCEPT "\r\n", sizeof(RC_BENCH_WS_ACCEPT) + 1) == NULL) {
        return -EPROTO;
    }
    return (int)head;
}

int rc_bench_ws_parse(const uint8_t *bytes, size_t count, uint64_t payload_bytes_max, struct rc_bench_ws_frame *frame)
{
    if (count < 2) {
        return 0;
    }
    const uint8_t opcode = bytes[0] & 0x0f;
    const bool control = opcode >= RC_BENCH_WS_CLOSE;
    uint64_t payload_bytes = bytes[1] & 0x7f;
    const bool compressed = (bytes[0] & 0x40) != 0;
    if ((bytes[0] & 0x30) != 0 || (compressed && (control || opcode == RC_BENCH_WS_CONTINUATION)) ||
        (bytes[1] & 0x80) != 0 || (opcode > 2 && opcode < 8) || opcode > 10 ||
        (control && ((bytes[0] & 0x80) == 0 || payload_bytes > 125))) {
        return -EPROTO;
    }
    uint8_t header_bytes = 2;
    if (payload_bytes >= 126) {
        const uint8_t length_bytes = payload_bytes == 126 ? 2 : 8;
        header_bytes = (uint8_t)(2 + length_bytes);
        if (count < header_bytes) {
            return 0;
        }
        payload_bytes = 0;
        for (uint8_t i = 0; i < length_bytes; i++) {
            payload_bytes = payload_bytes << 8 | bytes[2 + i];
        }
    }
    if (payload_bytes > payload_bytes_max) {
        return -EPROTO;
    }
    frame->payload_bytes = payload_bytes;
    frame->header_bytes = header_bytes;
    frame->opcode = opcode;
    frame->compressed = compressed;
    frame->last = (bytes[0] & 0x80) != 0;
    return header_bytes;
}

size_t rc_bench_ws_header(uint8_t *out, enum rc_bench_ws_opcode opcode, size_t payload_bytes, uint32_t key)
{
    size_t at = 0;
    out[at++] = (uint8_t)(0x80u | opcode);
    if (payload_bytes < 126) {
        out[at++] = (uint8_t)(0x80u | payload_bytes);
    } else {
        const unsigned length_bytes = payload_bytes <= UINT16_MAX ? 2 : 8;
        out[at++] = length_bytes == 2 ? 0x80 | 126 : 0x80 | 127;
        for (unsigned i = length_bytes; i-- > 0;) {
            out[at++] = (uint8_t)(payload_bytes >> (8 * i));
        }
    }
    memcpy(out + at, &key, 4);
    return at + 4;
}

void rc_bench_ws_mask(uint8_t *bytes, size_t count, uint32_t key)
{
    if (key == 0) {
        return;
    }
    const uint64_t wide = (uint64_t)key << 32 | key;
    size_t at = 0;
    for (; at + 8 <= count; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, 8);
        word ^= wide;
        memcpy(bytes + at, &word, 8);
    }
    uint8_t key_bytes[4];
    memcpy(key_bytes, &key, 4);
    for (; at < count; at++) {
        bytes[at] ^= key_bytes[at % 4];
    }
}
