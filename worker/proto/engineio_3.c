/* engineio_3: payloads of Engine.IO 3. See engineio.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/text/base64.h"
#include "common/text/json_scan.h"
#include "worker/proto/engineio.h"

#define LENGTH_DIGITS_MAX 10u
#define HEAD_BYTES_MAX (LENGTH_DIGITS_MAX + 2u)
#define LENGTH_END 0xff /* behind the digits, in a payload of bytes */

/* --- taken apart ----------------------------------------------------------------------------------------------------- */

static size_t character_bytes(uint8_t first)
{
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Bytes of what has so many units of UTF-16; -EBADMSG: it ends before, or in the middle of a character. */
static int64_t text_bytes(const uint8_t *begin, const uint8_t *end, uint64_t units)
{
    const uint8_t *at = begin;
    while (units > 0) {
        const size_t bytes = at < end ? character_bytes(*at) : SIZE_MAX;
        const uint64_t its_units = bytes == 4 ? 2 : 1;
        if (at == end || bytes > (size_t)(end - at) || its_units > units) {
            return -EBADMSG;
        }
        at += bytes;
        units -= its_units;
    }
    return at - begin;
}

/* The length before a packet; what follows it, or NULL. */
static uint8_t *length_read(uint8_t *at, const uint8_t *end, bool octets, uint64_t *length)
{
    const uint8_t *first = at;
    const uint8_t stop = octets ? LENGTH_END : ':';
    *length = 0;
    for (; at < end && *at != stop; at++) {
        const uint8_t digit = octets ? *at : (uint8_t)(*at - '0');
        if (digit > 9 || at - first >= (ptrdiff_t)LENGTH_DIGITS_MAX) {
            return NULL;
        }
        *length = *length * 10 + digit;
    }
    return at == first || at == end ? NULL : at + 1;
}

int rc_eio_payload_next_3(struct rc_eio_payload *payload, struct rc_eio_packet *packet)
{
    uint64_t length;
    if (payload->at == payload->end) {
        return -EBADMSG;
    }
    const bool octets = *payload->at <= 1;
    const enum rc_part_kind kind = *payload->at == 1 ? RC_PART_BINARY : RC_PART_TEXT;
    uint8_t *at = length_read(payload->at + octets, payload->end, octets, &length);
    if (at == NULL) {
        return -EBADMSG;
    }
    const int64_t bytes = !octets                                   ? text_bytes(at, payload->end, length)
                          : length <= (uint64_t)(payload->end - at) ? (int64_t)length
                                                                    : -EBADMSG;
    if (bytes <= 0 || (kind == RC_PART_TEXT && !rc_json_utf8_valid(rc_span_of(at, (size_t)bytes)))) {
        return -EBADMSG;
    }
    *packet = (struct rc_eio_packet){.kind = kind, .bytes = at, .count = (size_t)bytes};
    payload->at = at + bytes;
    payload->ended = payload->at == payload->end;
    return 1;
}

/* --- written --------------------------------------------------------------------------------------------------------- */

static size_t utf16_units(const uint8_t *bytes, size_t count)
{
    size_t units = 0;
    for (size_t i = 0; i < count; i++) {
        units += (bytes[i] & 0xc0) == 0x80 ? 0u : bytes[i] >= 0xf0 ? 2u : 1u;
    }
    return units;
}

/* The packet that begins there, of a payload of ours. */
static struct rc_span packet_at(struct rc_span payload, size_t at)
{
    const uint8_t *begin = payload.bytes + at;
    const uint8_t *end = memchr(begin, RC_EIO_SEPARATOR, payload.count - at);
    return rc_span_of(begin, end == NULL ? payload.count - at : (size_t)(end - begin));
}

static size_t head_write(uint8_t *out, bool octets, enum rc_part_kind kind, size_t length)
{
    char digits[24];
    const int count = snprintf(digits, sizeof(digits), "%zu", length);
    size_t at = 0;
    if (octets) {
        out[at++] = kind == RC_PART_BINARY ? 1 : 0;
    }
    for (int i = 0; i < count; i++) {
        out[at++] = octets ? (uint8_t)(digits[i] - '0') : (uint8_t)digits[i];
    }
    out[at++] = octets ? LENGTH_END : ':';
    return at;
}

/* One packet; its bytes. They are written behind where the longest head would end, and moved. */
static size_t packet_write(uint8_t *out, struct rc_span packet, bool octets)
{
    uint8_t *body = out + HEAD_BYTES_MAX;
    size_t count = packet.count;
    enum rc_part_kind kind = RC_PART_TEXT;
    const bool base64 = packet.count > 1 && packet.bytes[0] == 'b';
    const int64_t decoded = base64 ? rc_base64_decode(body, packet.bytes + 1, packet.count - 1) : 0;
    if (decoded > 0) { /* else a text that looks like it: what we write has its type as its first byte */
        count = (size_t)decoded;
        kind = RC_PART_BINARY;
        if (!octets) {
            memmove(body + 2, body + 1, count - 1);
            count = 2 + rc_base64_encode(body + 2, body + 2, count - 1);
            body[0] = 'b';
            body[1] = RC_EIO_MESSAGE;
        }
    } else {
        memcpy(body, packet.bytes, count);
    }
    const size_t head = head_write(out, octets, kind, octets ? count : utf16_units(body, count));
    memmove(out + head, body, count);
    return head + count;
}

size_t rc_eio_payload_3_bytes_max(struct rc_span payload)
{
    size_t packets = 1;
    for (size_t i = 0; i < payload.count; i++) {
        packets += payload.bytes[i] == RC_EIO_SEPARATOR;
    }
    return payload.count + packets * (HEAD_BYTES_MAX + 2u);
}

size_t rc_eio_payload_3_write(uint8_t *out, struct rc_span payload, bool base64, bool *octets)
{
    size_t written = 0;
    *octets = false;
    for (size_t at = 0; !base64 && !*octets && at < payload.count; at += packet_at(payload, at).count + 1) {
        *octets = payload.bytes[at] == 'b';
    }
    for (size_t at = 0; at < payload.count;) {
        const struct rc_span packet = packet_at(payload, at);
        written += packet_write(out + written, packet, *octets);
        at += packet.count + 1;
    }
    return written;
}
