/*
 * PROXY protocol headers of both versions: whole, at every split, and with every byte that does not belong.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/http/proxy_protocol.h"

static int parse(const void *bytes, size_t n, struct rc_proxy_header *out)
{
    const char *why = NULL;
    uint8_t *exact = malloc(n == 0 ? 1 : n);
    memcpy(exact, bytes, n);
    const int rc = rc_proxy_header_parse(exact, n, out, &why);
    cr_assert_eq(rc < 0, why != NULL);
    cr_assert(rc == -EPROTO || (rc >= 0 && rc <= (int)n));
    free(exact);
    return rc;
}

/* Whole, with more behind it, and every shorter piece of it asks for more. */
static struct rc_proxy_header expect_read(const void *bytes, size_t n)
{
    struct rc_proxy_header header, again;
    uint8_t *more = malloc(n + 20);
    memcpy(more, bytes, n);
    memcpy(more + n, "GET / HTTP/1.1\r\n\r\n!!", 20);
    for (size_t cut = 0; cut < n; cut++) {
        cr_assert_eq(parse(bytes, cut, &header), 0, "%zu of %zu", cut, n);
    }
    cr_assert_eq(parse(bytes, n, &header), (int)n);
    cr_assert_eq(parse(more, n + 20, &again), (int)n);
    free(more);
    return header;
}

static void expect_address(const struct rc_address *address, const char *text)
{
    char got[RC_ADDRESS_TEXT_MAX];
    rc_address_format(got, address);
    cr_expect_str_eq(got, text);
}

Test(http_proxy_protocol, version_1_is_read)
{
    static const char v4[] = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
    static const char v6[] = "PROXY TCP6 2001:db8::7 ::1 65535 0\r\n";
    static const char longest[] = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    struct rc_proxy_header header = expect_read(v4, sizeof(v4) - 1);
    cr_expect(header.version == 1 && header.has_addresses && !header.local);
    expect_address(&header.source, "192.0.2.7");
    expect_address(&header.destination, "198.51.100.1");
    cr_expect(header.source_port == 56324 && header.destination_port == 443);
    header = expect_read(v6, sizeof(v6) - 1);
    expect_address(&header.source, "2001:db8::7");
    expect_address(&header.destination, "::1");
    cr_expect(header.source_port == 65535 && header.destination_port == 0);
    cr_assert_eq(sizeof(longest) - 1, RC_PROXY_V1_BYTES_MAX);
    header = expect_read(longest, sizeof(longest) - 1);
    cr_expect(header.version == 1 && !header.has_addresses);
    header = expect_read("PROXY UNKNOWN\r\n", 15);
    cr_expect_not(header.has_addresses);
}

Test(http_proxy_protocol, what_is_not_version_1_to_the_letter_is_refused)
{
    static const char *const wrong[] = {
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4\r\n",
        "PROXY TCP4\r\n",
        "PROXY \r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 999999\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX",
        "PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXYX",
        "Q",
        "\r\nGET",
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535x\r\n",
        "PROXY UNKNOWN                                                                                                ",
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(wrong); i++) {
        struct rc_proxy_header header;
        cr_expect_eq(parse(wrong[i], strlen(wrong[i]), &header), -EPROTO, "%s", wrong[i]);
    }
    struct rc_proxy_header header;
    cr_expect_eq(parse("PROXY TCP4 1.2.3.4\0", 19, &header), -EPROTO);
}

/* A header of version 2; returns its bytes. */
static size_t v2(uint8_t *out, uint8_t command, uint8_t family, const void *block, size_t block_bytes)
{
    memcpy(out, "\r\n\r\n\0\r\nQUIT\n", 12);
    out[12] = command;
    out[13] = family;
    out[14] = (uint8_t)(block_bytes >> 8);
    out[15] = (uint8_t)block_bytes;
    if (block_bytes > 0) {
        memcpy(out + 16, block, block_bytes);
    }
    return 16 + block_bytes;
}

static const uint8_t v4_block[12] = {192, 0, 2, 7, 198, 51, 100, 1, 0xDC, 0x04, 0x01, 0xBB};

Test(http_proxy_protocol, version_2_is_read)
{
    uint8_t bytes[600], block[400] = {0x20, 0x01, 0x0d, 0xb8};
    struct rc_proxy_header header = expect_read(bytes, v2(bytes, 0x21, 0x11, v4_block, 12));
    cr_expect(header.version == 2 && header.has_addresses && !header.local);
    expect_address(&header.source, "192.0.2.7");
    expect_address(&header.destination, "198.51.100.1");
    cr_expect(header.source_port == 56324 && header.destination_port == 443);
    block[15] = 7;
    block[31] = 1;
    block[33] = 80;
    block[35] = 81;
    header = expect_read(bytes, v2(bytes, 0x21, 0x21, block, 36));
    expect_address(&header.source, "2001:db8::7");
    expect_address(&header.destination, "::1");
    cr_expect(header.source_port == 80 && header.destination_port == 81);
    /* Whose addresses are not of use to us. */
    static const struct {
        uint8_t command, family;
        size_t block_bytes;
    } others[] = {{0x20, 0x00, 0},  {0x20, 0x11, 12}, {0x20, 0xFF, 5},  {0x20, 0x31, 3},   {0x21, 0x00, 0},
                  {0x21, 0x00, 40}, {0x21, 0x12, 12}, {0x21, 0x22, 36}, {0x21, 0x31, 216}, {0x21, 0x32, 216}};
    memset(block, 0xEE, sizeof(block));
    for (size_t i = 0; i < RC_ARRAY_COUNT(others); i++) {
        header = expect_read(bytes, v2(bytes, others[i].command, others[i].family, block, others[i].block_bytes));
        cr_expect_not(header.has_addresses);
        cr_expect_eq(header.local, others[i].command == 0x20);
    }
}

Test(http_proxy_protocol, fields_are_skipped_and_must_lie_within)
{
    uint8_t bytes[600], block[100];
    memcpy(block, v4_block, 12);
    memcpy(block + 12,
           "\x02\x00\x03"
           "abc\x04\x00\x00",
           9); /* authority, no-op */
    struct rc_proxy_header header = expect_read(bytes, v2(bytes, 0x21, 0x11, block, 21));
    expect_address(&header.source, "192.0.2.7");
    for (size_t cut = 13; cut < 21; cut++) {
        cr_expect_eq(parse(bytes, v2(bytes, 0x21, 0x11, block, cut), &header), cut == 18 ? 34 : -EPROTO, "%zu", cut);
    }
    block[14] = 200;
    cr_expect_eq(parse(bytes, v2(bytes, 0x21, 0x11, block, 21), &header), -EPROTO);
}

Test(http_proxy_protocol, a_checksum_is_checked)
{
    /* CRC-32C of the 35 bytes with the value zero, worked out with an independent table-driven routine in this test. */
    uint8_t bytes[64], block[19];
    memcpy(block, v4_block, 12);
    memcpy(block + 12, "\x03\x00\x04\0\0\0\0", 7);
    const size_t n = v2(bytes, 0x21, 0x11, block, 19);
    uint32_t table[256], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) {
            table[i] = table[i] & 1 ? table[i] >> 1 ^ 0x82F63B78u : table[i] >> 1;
        }
    }
    static const uint8_t check[] = "123456789";
    for (size_t i = 0; i < 9; i++) {
        crc = table[(crc ^ check[i]) & 0xFF] ^ crc >> 8;
    }
    cr_assert_eq(~crc, 0xE3069283u); /* the published check value of CRC-32C */
    crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc = table[(crc ^ bytes[i]) & 0xFF] ^ crc >> 8;
    }
    crc = ~crc;
    for (size_t i = 0; i < 4; i++) {
        bytes[n - 4 + i] = (uint8_t)(crc >> (24 - 8 * i));
    }
    expect_read(bytes, n);
    struct rc_proxy_header header;
    bytes[20] ^= 1;
    cr_expect_eq(parse(bytes, n, &header), -EPROTO);
    memcpy(block + 12, "\x03\x00\x03\0\0\0", 6);
    cr_expect_eq(parse(bytes, v2(bytes, 0x21, 0x11, block, 18), &header), -EPROTO);
}

Test(http_proxy_protocol, what_is_not_version_2_is_refused_at_the_byte_that_shows_it)
{
    uint8_t bytes[600], good[28];
    const size_t n = v2(good, 0x21, 0x11, v4_block, 12);
    struct rc_proxy_header header;
    for (size_t at = 0; at < 12; at++) {
        memcpy(bytes, good, n);
        bytes[at] ^= 0x20;
        cr_expect_eq(parse(bytes, at + 1, &header), -EPROTO, "%zu", at);
    }
    static const uint8_t commands[] = {0x01, 0x11, 0x31, 0x22, 0x2F, 0xA1};
    for (size_t i = 0; i < sizeof(commands); i++) {
        v2(bytes, commands[i], 0x11, v4_block, 12);
        cr_expect_eq(parse(bytes, 13, &header), -EPROTO);
    }
    static const uint8_t families[] = {0x01, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xFF};
    for (size_t i = 0; i < sizeof(families); i++) {
        v2(bytes, 0x21, families[i], v4_block, 12);
        cr_expect_eq(parse(bytes, 14, &header), -EPROTO);
    }
    for (size_t block_bytes = 0; block_bytes < 12; block_bytes++) {
        cr_expect_eq(parse(bytes, v2(bytes, 0x21, 0x11, v4_block, block_bytes), &header), -EPROTO);
    }
    v2(bytes, 0x20, 0, NULL, 0);
    bytes[14] = 0xFF; /* too long: refused by its length, not waited for */
    cr_expect_eq(parse(bytes, 16, &header), -EPROTO);
}

/* What one instance writes the other reads: whom the connection is from, and that an instance sent it. */
Test(proxy_protocol, written_header_is_read)
{
    static const char *const sources[] = {"192.0.2.7", "2001:db8::7"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t bytes[RC_PROXY_WRITTEN_BYTES_MAX];
        struct rc_address source;
        struct rc_proxy_header header = {0};
        const char *why = "";
        cr_assert(rc_address_parse(&source, sources[i], strlen(sources[i])));
        const size_t count = rc_proxy_header_write(bytes, &source, 50000, 8080);
        cr_assert_leq(count, sizeof(bytes));
        for (size_t n = 0; n < count; n++) {
            cr_assert(rc_proxy_header_may_begin(bytes, n));
            cr_assert_eq(rc_proxy_header_parse(bytes, n, &header, &why), 0, "%zu bytes: %s", n, why);
        }
        cr_assert_eq(rc_proxy_header_parse(bytes, count, &header, &why), (int)count, "%s", why);
        cr_assert(header.has_addresses && header.from_instance && !header.local);
        cr_assert(rc_address_equal(&header.source, &source));
        cr_assert_eq(header.source_port, 50000);
        cr_assert_eq(header.destination_port, 8080);
        bytes[count - 1] ^= 1; /* a field of the same type that somebody else uses */
        cr_assert_eq(rc_proxy_header_parse(bytes, count, &header, &why), (int)count, "%s", why);
        cr_assert(!header.from_instance);
    }
    cr_assert(!rc_proxy_header_may_begin((const uint8_t *)"GET / HTTP/1.1", 14));
}
