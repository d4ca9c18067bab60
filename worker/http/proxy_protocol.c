/*
 * The PROXY protocol, both versions. Section numbers are those of proxy-protocol.txt.
 */
#include "worker/http/proxy_protocol.h"

#include <errno.h>
#include <string.h>

#define V2_HEAD_BYTES 16u
#define TLV_HEAD_BYTES 3u
#define TLV_CRC32C 0x03u
#define TLV_INSTANCE 0xe0u /* of those that are for whoever wants one (2.2) */

static const uint8_t v1_start[6] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const uint8_t v2_start[12] = {0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};

static const uint8_t instance_mark[8] = {'r', 'i', 'n', 'g', 'c', 'a', 's', 't'};

static int proxy_refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return -EPROTO;
}

/* --- version 1: one line of text (2.1) ---------------------------------------------------------------------------- */

/* The text up to the next space or the end, and past the space; false when it is empty. */
static bool take_word(const char **at, const char *end, const char **word, size_t *bytes)
{
    const char *const space = memchr(*at, ' ', (size_t)(end - *at));
    *word = *at;
    *bytes = (size_t)((space != NULL ? space : end) - *at);
    *at = space != NULL ? space + 1 : end;
    /* A space behind the last word would be an empty word more. */
    return *bytes > 0 && (space == NULL || *at < end);
}

/* 0 to 65535 without leading zeros. */
static bool read_port(const char *text, size_t bytes, uint16_t *port)
{
    uint32_t number = 0;
    if (bytes == 0 || bytes > 5 || (text[0] == '0' && bytes > 1)) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    *port = (uint16_t)number;
    return number <= UINT16_MAX;
}

static bool read_v1_address(const char *text, size_t bytes, bool v4, struct rc_address *address)
{
    return (memchr(text, ':', bytes) == NULL) == v4 && rc_address_parse(address, text, bytes);
}

/* What stands between "PROXY " and CRLF. */
static bool read_v1(const char *at, const char *end, struct rc_proxy_header *out)
{
    const char *word;
    size_t bytes;
    if ((size_t)(end - at) >= 7 && memcmp(at, "UNKNOWN", 7) == 0) {
        return at + 7 == end || at[7] == ' '; /* the rest of the line must be ignored */
    }
    if (!take_word(&at, end, &word, &bytes) || bytes != 4 || memcmp(word, "TCP", 3) != 0 ||
        (word[3] != '4' && word[3] != '6')) {
        return false;
    }
    const bool v4 = word[3] == '4';
    out->has_addresses = true;
    return take_word(&at, end, &word, &bytes) && read_v1_address(word, bytes, v4, &out->source) &&
           take_word(&at, end, &word, &bytes) && read_v1_address(word, bytes, v4, &out->destination) &&
           take_word(&at, end, &word, &bytes) && read_port(word, bytes, &out->source_port) &&
           take_word(&at, end, &word, &bytes) && at == end && read_port(word, bytes, &out->destination_port);
}

static int parse_v1(const uint8_t *bytes, size_t n, struct rc_proxy_header *out, const char **why)
{
    const size_t seen = n < RC_PROXY_V1_BYTES_MAX ? n : RC_PROXY_V1_BYTES_MAX;
    for (size_t i = sizeof(v1_start); i < seen; i++) {
        /* Fail at the byte that proves it, and not only at the end of the line. */
        if (bytes[i] == '\r') {
            if (i + 1 == seen) {
                break;
            }
            if (bytes[i + 1] != '\n') {
                return proxy_refuse(why, "PROXY line with a bare CR");
            }
            const char *const line = (const char *)bytes;
            if (!read_v1(line + sizeof(v1_start), line + i, out)) {
                return proxy_refuse(why, "PROXY line that is malformed");
            }
            out->version = 1;
            return (int)i + 2;
        }
        if (bytes[i] == '\n' || bytes[i] == '\0') {
            return proxy_refuse(why, "PROXY line that is malformed");
        }
    }
    return seen == RC_PROXY_V1_BYTES_MAX ? proxy_refuse(why, "PROXY line that is too long") : 0;
}

/* --- version 2: binary (2.2) -------------------------------------------------------------------------------------- */

static uint32_t proxy_big16(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

/* CRC-32C (Castagnoli), a bit at a time: some hundred bytes once in a connection's life. */
static uint32_t proxy_crc32c(uint32_t crc, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1)));
        }
    }
    return crc;
}

/* The checksum is over the whole header with its own four bytes as 0 (2.2.3). */
static bool crc_is_right(const uint8_t *header, size_t n, size_t at)
{
    static const uint8_t zeros[4] = {0};
    uint32_t crc = proxy_crc32c(UINT32_MAX, header, at);
    crc = proxy_crc32c(crc, zeros, sizeof(zeros));
    crc = ~proxy_crc32c(crc, header + at + sizeof(zeros), n - at - sizeof(zeros));
    return crc == (proxy_big16(header + at) << 16 | proxy_big16(header + at + 2));
}

/* The fields from `at` to the header's end: all within it. NULL or what is wrong. */
static const char *read_tlvs(const uint8_t *header, size_t n, size_t at, struct rc_proxy_header *out)
{
    while (at < n) {
        if (n - at < TLV_HEAD_BYTES || proxy_big16(header + at + 1) > n - at - TLV_HEAD_BYTES) {
            return "PROXY header with a field beyond its end";
        }
        const size_t bytes = proxy_big16(header + at + 1);
        if (header[at] == TLV_CRC32C && (bytes != 4 || !crc_is_right(header, n, at + TLV_HEAD_BYTES))) {
            return "PROXY header with a wrong checksum";
        }
        out->from_instance |= header[at] == TLV_INSTANCE && bytes == sizeof(instance_mark) &&
                              memcmp(header + at + TLV_HEAD_BYTES, instance_mark, bytes) == 0;
        at += TLV_HEAD_BYTES + bytes;
    }
    return NULL;
}

static void map_v4(struct rc_address *address, const uint8_t *v4)
{
    memset(address->bytes, 0, 10);
    memset(address->bytes + 10, 0xff, 2);
    memcpy(address->bytes + 12, v4, 4);
}

/* Addresses of a PROXY command; returns their bytes. */
static size_t read_v2_addresses(const uint8_t *block, uint8_t family, struct rc_proxy_header *out)
{
    switch (family) {
    case 0x11: /* TCP over IPv4 */
        map_v4(&out->source, block);
        map_v4(&out->destination, block + 4);
        break;
    case 0x21: /* TCP over IPv6 */
        memcpy(out->source.bytes, block, 16);
        memcpy(out->destination.bytes, block + 16, 16);
        break;
    default:
        return 0;
    }
    const size_t ports = family == 0x11 ? 8 : 32;
    out->source_port = (uint16_t)proxy_big16(block + ports);
    out->destination_port = (uint16_t)proxy_big16(block + ports + 2);
    out->has_addresses = true;
    return ports + 4;
}

/* Bytes of the addresses that this family and transport has; -1 for those that are not assigned. */
static int v2_address_bytes(uint8_t family)
{
    switch (family) {
    case 0x00: /* unspecified: nothing is known about the block, fields included */
        return 0;
    case 0x11:
    case 0x12: /* datagrams: no such connection can be ours, but the header is right */
        return 12;
    case 0x21:
    case 0x22:
        return 36;
    case 0x31:
    case 0x32:
        return 216;
    default:
        return -1;
    }
}

static int parse_v2(const uint8_t *bytes, size_t n, struct rc_proxy_header *out, const char **why)
{
    if (n > 12 && (bytes[12] >> 4 != 2 || (bytes[12] & 15) > 1)) {
        return proxy_refuse(why, "PROXY header of a version or with a command that is not known");
    }
    const bool local = n > 12 && (bytes[12] & 15) == 0;
    if (n > 13 && !local && v2_address_bytes(bytes[13]) < 0) {
        return proxy_refuse(why, "PROXY header of a family that is not known");
    }
    if (n < V2_HEAD_BYTES) {
        return 0;
    }
    const size_t block = proxy_big16(bytes + 14);
    const size_t header = V2_HEAD_BYTES + block;
    /* A LOCAL command's block must be skipped whatever the family says. */
    const bool known = !local && bytes[13] != 0;
    const size_t addresses = known ? (size_t)v2_address_bytes(bytes[13]) : 0;
    if (header > RC_PROXY_HEADER_BYTES_MAX) {
        return proxy_refuse(why, "PROXY header that is too long");
    }
    if (block < addresses) {
        return proxy_refuse(why, "PROXY header too short for its addresses");
    }
    if (n < header) {
        return 0;
    }
    out->version = 2;
    out->local = local;
    if (known) {
        const char *const wrong = read_tlvs(bytes, header, V2_HEAD_BYTES + addresses, out);
        if (wrong != NULL) {
            return proxy_refuse(why, wrong);
        }
        read_v2_addresses(bytes + V2_HEAD_BYTES, bytes[13], out);
    }
    return (int)header;
}

int rc_proxy_header_parse(const uint8_t *bytes, size_t n, struct rc_proxy_header *out, const char **why)
{
    *out = (struct rc_proxy_header){0};
    if (n == 0) {
        return 0;
    }
    const bool first = bytes[0] == v1_start[0];
    const uint8_t *const start = first ? v1_start : v2_start;
    const size_t start_bytes = first ? sizeof(v1_start) : sizeof(v2_start);
    if (memcmp(bytes, start, n < start_bytes ? n : start_bytes) != 0) {
        return proxy_refuse(why, "no PROXY header where one has to be");
    }
    if (n < start_bytes) {
        return 0;
    }
    return first ? parse_v1(bytes, n, out, why) : parse_v2(bytes, n, out, why);
}

bool rc_proxy_header_may_begin(const uint8_t *bytes, size_t n)
{
    return memcmp(bytes, v2_start, n < sizeof(v2_start) ? n : sizeof(v2_start)) == 0;
}

size_t rc_proxy_header_write(uint8_t out[RC_PROXY_WRITTEN_BYTES_MAX], const struct rc_address *source,
                             uint16_t source_port, uint16_t destination_port)
{
    const bool v4 = rc_address_is_v4(source);
    const size_t address_bytes = v4 ? 4 : 16;
    const size_t block = 2 * address_bytes + 4 + TLV_HEAD_BYTES + sizeof(instance_mark);
    uint8_t *at = out + V2_HEAD_BYTES;
    memset(out, 0, RC_PROXY_WRITTEN_BYTES_MAX); /* the destination's address, too */
    memcpy(out, v2_start, sizeof(v2_start));
    out[12] = 0x21;
    out[13] = v4 ? 0x11 : 0x21;
    out[15] = (uint8_t)block;
    memcpy(at, source->bytes + sizeof(source->bytes) - address_bytes, address_bytes);
    at += 2 * address_bytes;
    *at++ = (uint8_t)(source_port >> 8);
    *at++ = (uint8_t)source_port;
    *at++ = (uint8_t)(destination_port >> 8);
    *at++ = (uint8_t)destination_port;
    *at++ = TLV_INSTANCE;
    *at++ = 0;
    *at++ = (uint8_t)sizeof(instance_mark);
    memcpy(at, instance_mark, sizeof(instance_mark));
    return V2_HEAD_BYTES + block;
}
