/* engineio: see engineio.h. */
#include "bench/engineio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SEPARATOR 0x1e /* between packets of a payload */

size_t rc_bench_engineio_request(char *out, size_t room, const char *host, const char *path, const char *sid,
                                 struct rc_span body)
{
    const bool post = body.count > 0;
    const int head = snprintf(out, room, "%s %s%s%s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n", post ? "POST" : "GET",
                              path, sid[0] != '\0' ? "&sid=" : "", sid, host);
    if (head < 0 || (size_t)head >= room) {
        return 0;
    }
    size_t bytes = (size_t)head;
    int more;
    if (post) {
        more = snprintf(out + bytes, room - bytes,
                        "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n\r\n", body.count);
    } else {
        more = snprintf(out + bytes, room - bytes, "\r\n");
    }
    if (more < 0 || (size_t)more >= room - bytes) {
        return 0;
    }
    bytes += (size_t)more;
    if (room - bytes < body.count) {
        return 0;
    }
    if (post) {
        memcpy(out + bytes, body.bytes, body.count);
    }
    return bytes + body.count;
}

/* The value of Content-Length; false when there is none, or one beyond all bounds. */
static bool length_of(const char *head, size_t head_bytes, size_t *length)
{
    static const char name[] = "\r\ncontent-length:";
    const size_t name_bytes = sizeof(name) - 1;
    for (size_t at = 0; at + name_bytes < head_bytes; at++) {
        if (head[at] != '\r' || strncasecmp(head + at, name, name_bytes) != 0) {
            continue;
        }
        at += name_bytes;
        while (head[at] == ' ') {
            at++;
        }
        size_t value = 0;
        const size_t from = at;
        for (; head[at] >= '0' && head[at] <= '9' && value <= RC_BENCH_POLL_PAYLOAD_MAX; at++) {
            value = value * 10 + (size_t)(head[at] - '0');
        }
        *length = value;
        return at > from && head[at] == '\r' && value <= RC_BENCH_POLL_PAYLOAD_MAX;
    }
    return false;
}

int rc_bench_engineio_answer(const uint8_t *bytes, size_t count, struct rc_bench_poll_answer *answer)
{
    static const char line[] = "HTTP/1.1 ";
    const size_t line_bytes = sizeof(line) - 1;
    *answer = (struct rc_bench_poll_answer){0};
    if (memcmp(bytes, line, count < line_bytes ? count : line_bytes) != 0) {
        return -EPROTO;
    }
    if (count < line_bytes + 3) {
        return 0;
    }
    for (size_t i = 0; i < 3; i++) {
        const uint8_t digit = bytes[line_bytes + i];
        if (digit < '0' || digit > '9') {
            return -EPROTO;
        }
        answer->status = answer->status * 10 + (unsigned)(digit - '0');
    }
    if (answer->status != 200) {
        return -EPROTO;
    }
    const uint8_t *const end = memmem(bytes, count, "\r\n\r\n", 4);
    if (end == NULL) {
        return count > RC_BENCH_POLL_ANSWER_MAX ? -EPROTO : 0;
    }
    const size_t head = (size_t)(end - bytes) + 4;
    size_t length;
    if (!length_of((const char *)bytes, head, &length)) {
        return -EPROTO;
    }
    if (count - head < length) {
        return 0;
    }
    answer->body = rc_span_of(bytes + head, length);
    return (int)(head + length);
}

bool rc_bench_engineio_packet(struct rc_span *payload, struct rc_span *packet)
{
    if (payload->count == 0) {
        return false;
    }
    const uint8_t *const end = memchr(payload->bytes, SEPARATOR, payload->count);
    const size_t bytes = end != NULL ? (size_t)(end - payload->bytes) : payload->count;
    const size_t taken = end != NULL ? bytes + 1 : bytes;
    *packet = rc_span_of(payload->bytes, bytes);
    *payload = rc_span_of(payload->bytes + taken, payload->count - taken);
    return true;
}

bool rc_bench_engineio_append(uint8_t *payload, size_t *count, size_t room, struct rc_span packet)
{
    const size_t separator = *count > 0 ? 1 : 0;
    if (room - *count < packet.count + separator) {
        return false;
    }
    if (separator > 0) {
        payload[(*count)++] = SEPARATOR;
    }
    memcpy(payload + *count, packet.bytes, packet.count);
    *count += packet.count;
    return true;
}

bool rc_bench_engineio_sid(struct rc_span packet, char *sid)
{
    static const char marker[] = "\"sid\":\"";
    if (!rc_span_starts_with(packet, RC_SPAN("0{"))) {
        return false;
    }
    const uint8_t *const at = memmem(packet.bytes, packet.count, marker, sizeof(marker) - 1);
    if (at == NULL) {
        return false;
    }
    const uint8_t *const from = at + sizeof(marker) - 1;
    const size_t left = packet.count - (size_t)(from - packet.bytes);
    const uint8_t *const quote = memchr(from, '"', left);
    const size_t bytes = quote != NULL ? (size_t)(quote - from) : 0;
    if (bytes == 0 || bytes >= RC_BENCH_SID_MAX) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        /* It goes into a URL as it is. */
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~", from[i]) == NULL ||
            from[i] == '\0') {
            return false;
        }
    }
    memcpy(sid, from, bytes);
    sid[bytes] = '\0';
    return true;
}
