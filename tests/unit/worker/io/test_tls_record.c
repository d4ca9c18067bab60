/* What a peer may send after the handshake of TLS 1.3, byte by byte: both ends are worker/io/tls_record; beside OpenSSL it stands in test_tls. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/io/tls_record.h"

static struct rc_tls_ciphers *ciphers;
static struct rc_tls_keys server;
static struct rc_tls_keys client;
static uint8_t record[RC_TLS_SEALED_MAX + 1];
static uint8_t plain[16384 + 256];
static const uint32_t suites[] = {0x1301, 0x1302, 0x1303};

/* Keys of both ends of a connection. */
static void connect_with(uint32_t suite)
{
    uint8_t up[RC_TLS_SECRET_MAX];
    uint8_t down[RC_TLS_SECRET_MAX];
    for (uint8_t i = 0; i < RC_TLS_SECRET_MAX; i++) {
        up[i] = (uint8_t)(i * 7 + suite);
        down[i] = (uint8_t)(i * 5 + 1);
    }
    cr_assert_eq(rc_tls_keys_set(&server, suite, up, down, 2), 0);
    cr_assert_eq(rc_tls_keys_set(&client, suite, down, up, 0), 0);
    client.in.sequence = 2;
}

static void setup(void)
{
    ciphers = rc_tls_ciphers_open();
    cr_assert_not_null(ciphers);
    connect_with(suites[0]);
}

static void teardown(void)
{
    rc_tls_ciphers_close(ciphers);
}

TestSuite(tls_record, .init = setup, .fini = teardown, .timeout = 60);

static enum rc_tls_opened arrive(enum rc_tls_content type, const void *bytes, size_t count, size_t *got,
                                 enum rc_tls_alert *alert)
{
    size_t whole = 0;
    cr_assert_eq(rc_tls_seal(ciphers, &client, type, bytes, count, record), 0);
    cr_assert_eq(rc_tls_record_bytes(record, RC_TLS_HEADER_BYTES, &whole), 0);
    cr_assert_eq(whole, count + RC_TLS_SEALED_MORE);
    return rc_tls_open_record(ciphers, &server, record, whole, plain, got, NULL, alert);
}

Test(tls_record, each_suite_both_ways_under_many_keys)
{
    static const uint8_t update[] = {24, 0, 0, 1, 1};
    for (size_t s = 0; s < RC_ARRAY_COUNT(suites); s++) {
        connect_with(suites[s]);
        enum rc_tls_alert alert;
        size_t count;
        for (uint32_t i = 0; i < 300; i++) {
            cr_assert_eq(arrive(RC_TLS_APPLICATION, &i, sizeof(i), &count, &alert), RC_TLS_OPENED_DATA);
            cr_assert(count == sizeof(i) && memcmp(plain, &i, sizeof(i)) == 0);
            if (i % 100 == 50) {
                cr_assert_eq(arrive(RC_TLS_HANDSHAKE, update, sizeof(update), &count, &alert), RC_TLS_OPENED_UPDATE);
                /* The client's next secret, as RFC 8446 7.2 has it: what it seals from here on is opened with it. */
                struct rc_tls_keys next = client;
                uint8_t unused[5 + RC_TLS_SEALED_MORE];
                cr_assert_eq(rc_tls_update(ciphers, &next, unused), 0);
                client.out = next.out;
            }
            cr_assert_eq(rc_tls_seal(ciphers, &server, RC_TLS_APPLICATION, (const uint8_t *)&i, sizeof(i), record), 0);
            cr_assert_eq(rc_tls_open_record(ciphers, &client, record, sizeof(i) + RC_TLS_SEALED_MORE, plain, &count,
                                            NULL, &alert),
                         RC_TLS_OPENED_DATA);
            cr_assert(count == sizeof(i) && memcmp(plain, &i, sizeof(i)) == 0);
        }
        cr_expect_neq(memcmp(server.in.secret, server.out.secret, 32), 0);
    }
}

Test(tls_record, what_else_may_come_and_what_may_not)
{
    static const struct {
        enum rc_tls_content type;
        const char *bytes;
        size_t count;
        enum rc_tls_opened opened;
        enum rc_tls_alert alert;
    } cases[] = {
        {RC_TLS_APPLICATION, "", 0, RC_TLS_OPENED_DATA, 0},
        {RC_TLS_ALERT, "\1\0", 2, RC_TLS_OPENED_END, 0},
        {RC_TLS_ALERT, "\2\0", 2, RC_TLS_OPENED_END, 0}, /* RFC 8446 6: the level is not looked at */
        {RC_TLS_ALERT, "\1\x5a", 2, RC_TLS_OPENED_NOTHING, 0},
        {RC_TLS_ALERT, "\2\x14", 2, RC_TLS_OPENED_ENDED, 0},
        {RC_TLS_ALERT, "\1\x29", 2, RC_TLS_OPENED_ENDED, 0},
        {RC_TLS_ALERT, "", 0, RC_TLS_OPENED_BAD, RC_TLS_DECODE_ERROR},
        {RC_TLS_ALERT, "\1", 1, RC_TLS_OPENED_BAD, RC_TLS_DECODE_ERROR},
        {RC_TLS_ALERT, "\1\0\1\0", 4, RC_TLS_OPENED_BAD, RC_TLS_DECODE_ERROR},
        {RC_TLS_HANDSHAKE, "\x18\0\0\1\0", 5, RC_TLS_OPENED_NOTHING, 0},
        {RC_TLS_HANDSHAKE, "\x18\0\0\1\1", 5, RC_TLS_OPENED_UPDATE, 0},
        {RC_TLS_HANDSHAKE, "\x18\0\0\1\2", 5, RC_TLS_OPENED_BAD, RC_TLS_DECODE_ERROR},
        {RC_TLS_HANDSHAKE, "\x18\0\0\1", 4, RC_TLS_OPENED_BAD, RC_TLS_UNEXPECTED_MESSAGE},
        {RC_TLS_HANDSHAKE, "\x18\0\0\1\0\x18\0\0\1\0", 10, RC_TLS_OPENED_BAD, RC_TLS_UNEXPECTED_MESSAGE},
        {RC_TLS_HANDSHAKE, "\x18\0\0\2\0\0", 6, RC_TLS_OPENED_BAD, RC_TLS_UNEXPECTED_MESSAGE},
        {RC_TLS_HANDSHAKE, "", 0, RC_TLS_OPENED_BAD, RC_TLS_UNEXPECTED_MESSAGE},
        {RC_TLS_HANDSHAKE, "\1\0\0\0", 4, RC_TLS_OPENED_BAD,
         RC_TLS_UNEXPECTED_MESSAGE}, /* ClientHello: renegotiation */
        {RC_TLS_HANDSHAKE, "\xb\0\0\0", 4, RC_TLS_OPENED_BAD,
         RC_TLS_UNEXPECTED_MESSAGE}, /* Certificate: nobody asked */
        {20, "\1", 1, RC_TLS_OPENED_BAD, RC_TLS_UNEXPECTED_MESSAGE},
        {0, "", 0, RC_TLS_OPENED_BAD, RC_TLS_UNEXPECTED_MESSAGE}, /* padding alone */
        {0, "\0\0\0\0", 4, RC_TLS_OPENED_BAD, RC_TLS_UNEXPECTED_MESSAGE},
        {99, "x", 1, RC_TLS_OPENED_BAD, RC_TLS_UNEXPECTED_MESSAGE},
    };
    for (size_t i = 0; i < RC_ARRAY_COUNT(cases); i++) {
        enum rc_tls_alert alert = 0;
        size_t count = 99;
        connect_with(suites[i % RC_ARRAY_COUNT(suites)]);
        cr_expect_eq(arrive(cases[i].type, cases[i].bytes, cases[i].count, &count, &alert), cases[i].opened, "case %zu",
                     i);
        cr_expect_eq(alert, cases[i].alert, "case %zu: %d", i, alert);
        cr_expect_eq(count, 0, "case %zu", i);
    }
}

Test(tls_record, every_changed_bit_is_seen)
{
    enum rc_tls_alert alert;
    size_t count;
    cr_assert_eq(rc_tls_seal(ciphers, &client, RC_TLS_APPLICATION, (const uint8_t *)"hello", 5, record), 0);
    for (size_t bit = 0; bit < (5 + RC_TLS_SEALED_MORE) * 8; bit++) {
        uint8_t changed[5 + RC_TLS_SEALED_MORE];
        memcpy(changed, record, sizeof(changed));
        changed[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        const enum rc_tls_opened opened =
            rc_tls_open_record(ciphers, &server, changed, sizeof(changed), plain, &count, NULL, &alert);
        cr_assert(opened == RC_TLS_OPENED_BAD && alert == RC_TLS_BAD_RECORD_MAC, "bit %zu", bit);
        cr_assert_eq(server.in.sequence, 0);
    }
    cr_assert_eq(rc_tls_open_record(ciphers, &server, record, 5 + RC_TLS_SEALED_MORE, plain, &count, NULL, &alert),
                 RC_TLS_OPENED_DATA);
    /* The same record again is none of the next number. */
    cr_assert_eq(rc_tls_open_record(ciphers, &server, record, 5 + RC_TLS_SEALED_MORE, plain, &count, NULL, &alert),
                 RC_TLS_OPENED_BAD);
}

Test(tls_record, sizes)
{
    static uint8_t large[16384];
    static const uint8_t headers[][5] = {
        {23, 3, 3, 0x41, 0x00}, {23, 3, 3, 0x41, 0x01}, {22, 3, 3, 0, 5}, {20, 3, 3, 0, 1}};
    enum rc_tls_alert alert;
    size_t count;
    size_t whole;
    cr_assert_eq(arrive(RC_TLS_APPLICATION, large, sizeof(large), &count, &alert), RC_TLS_OPENED_DATA);
    cr_expect_eq(count, sizeof(large));
    for (size_t i = 0; i <= 16; i++) { /* no room for a type and a tag */
        cr_expect_eq(rc_tls_open_record(ciphers, &server, record, RC_TLS_HEADER_BYTES + i, plain, &count, NULL, &alert),
                     RC_TLS_OPENED_BAD);
    }
    for (size_t i = 0; i < RC_TLS_HEADER_BYTES; i++) {
        cr_expect(rc_tls_record_bytes(headers[0], i, &whole) == 0 && whole == 0);
    }
    cr_expect(rc_tls_record_bytes(headers[0], 5, &whole) == 0 && whole == RC_TLS_SEALED_MAX);
    cr_expect_eq(rc_tls_record_bytes(headers[1], 5, &whole), -EMSGSIZE);
    cr_expect_eq(rc_tls_record_bytes(headers[2], 1, &whole), -EPROTO);
    cr_expect_eq(rc_tls_record_bytes(headers[3], 5, &whole), -EPROTO);
}

Test(tls_record, a_key_is_not_used_for_ever)
{
    cr_expect_not(rc_tls_update_due(&server));
    server.out.sequence = (UINT64_C(1) << 24) - 1;
    cr_expect_not(rc_tls_update_due(&server));
    server.out.sequence++;
    cr_expect(rc_tls_update_due(&server));
    const struct rc_tls_keys before = server;
    cr_assert_eq(rc_tls_update(ciphers, &server, record), 0);
    cr_expect_not(rc_tls_update_due(&server));
    cr_expect_neq(memcmp(before.out.key, server.out.key, 16), 0);
    cr_expect_eq(memcmp(&before.in, &server.in, sizeof(before.in)), 0, "what comes in has a key of its own");
    /* The other side follows. */
    enum rc_tls_alert alert;
    size_t count;
    client.in.sequence = UINT64_C(1) << 24;
    cr_assert_eq(rc_tls_open_record(ciphers, &client, record, 5 + RC_TLS_SEALED_MORE, plain, &count, NULL, &alert),
                 RC_TLS_OPENED_NOTHING);
    cr_assert_eq(rc_tls_seal(ciphers, &server, RC_TLS_APPLICATION, (const uint8_t *)"x", 1, record), 0);
    cr_assert_eq(rc_tls_open_record(ciphers, &client, record, 1 + RC_TLS_SEALED_MORE, plain, &count, NULL, &alert),
                 RC_TLS_OPENED_DATA);
    cr_expect_eq(rc_tls_keys_set(&server, 0x1304, before.in.secret, before.out.secret, 0), -EINVAL);
    cr_expect_eq(rc_tls_secret_bytes(0x1304), 0);
}
