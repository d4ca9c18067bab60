/*
 * tls_record: what a client can send after the handshake of TLS 1.3.
 *
 * Input: suite (bits 0-1), sealed or not (bit 2); then, sealed: {type of content, 1 byte; bytes, 2 bytes little-endian; they}..., each of which goes into
 * a record of its own with the right keys; else bytes as they come from the socket.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "worker/io/tls_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

static struct rc_tls_ciphers *ciphers;
static struct rc_tls_keys server;
static struct rc_tls_keys client;
static uint8_t record[RC_TLS_SEALED_MAX];
static uint8_t plain[16384 + 256];

static enum rc_tls_opened open_one(const uint8_t *bytes, size_t count)
{
    /* Copies of exactly this size, so that reading past it is seen. */
    uint8_t *exact = malloc(count);
    size_t plain_bytes = 0;
    enum rc_tls_alert alert = RC_TLS_CLOSE_NOTIFY;
    RC_ASSERT(exact != NULL);
    memcpy(exact, bytes, count);
    const enum rc_tls_opened opened =
        rc_tls_open_record(ciphers, &server, exact, count, plain, &plain_bytes, NULL, &alert);
    RC_ASSERT(plain_bytes <= 16384 && (plain_bytes == 0 || opened == RC_TLS_OPENED_DATA));
    RC_ASSERT((opened == RC_TLS_OPENED_BAD) == (alert != RC_TLS_CLOSE_NOTIFY));
    free(exact);
    return opened;
}

static void sealed(const uint8_t *input, size_t bytes)
{
    while (bytes >= 3) {
        const size_t said = (size_t)input[2] << 8 | input[1];
        const size_t room = bytes - 3 < 16384 ? bytes - 3 : 16384;
        const size_t count = said < room ? said : room;
        RC_ASSERT(rc_tls_seal(ciphers, &client, (enum rc_tls_content)input[0], input + 3, count, record) == 0);
        const enum rc_tls_opened opened = open_one(record, count + RC_TLS_SEALED_MORE);
        if (opened == RC_TLS_OPENED_BAD || opened == RC_TLS_OPENED_END || opened == RC_TLS_OPENED_ENDED) {
            return;
        }
        RC_ASSERT(opened != RC_TLS_OPENED_DATA || input[0] == 0 || input[0] == RC_TLS_APPLICATION);
        if (opened == RC_TLS_OPENED_UPDATE || (opened == RC_TLS_OPENED_NOTHING && server.in.sequence == 0)) {
            uint8_t unused[5 + RC_TLS_SEALED_MORE];
            RC_ASSERT(rc_tls_update(ciphers, &client, unused) == 0); /* the client goes on with its next key */
        }
        input += 3 + count;
        bytes -= 3 + count;
    }
}

static void raw(const uint8_t *input, size_t bytes)
{
    size_t whole = 0;
    while (rc_tls_record_bytes(input, bytes, &whole) == 0 && whole > 0 && whole <= bytes) {
        RC_ASSERT(open_one(input, whole) == RC_TLS_OPENED_BAD); /* nobody guesses a tag */
        input += whole;
        bytes -= whole;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    static const uint32_t suites[] = {0x1301, 0x1302, 0x1303, 0x1301};
    static const uint8_t up[RC_TLS_SECRET_MAX] = {1};
    static const uint8_t down[RC_TLS_SECRET_MAX] = {2};
    if (bytes == 0) {
        return 0;
    }
    if (ciphers == NULL) {
        ciphers = rc_tls_ciphers_open();
        RC_ASSERT(ciphers != NULL);
    }
    const uint32_t suite = suites[input[0] & 3u];
    RC_ASSERT(rc_tls_keys_set(&server, suite, up, down, 0) == 0 && rc_tls_keys_set(&client, suite, down, up, 0) == 0);
    if (input[0] & 4u) {
        sealed(input + 1, bytes - 1);
    } else {
        raw(input + 1, bytes - 1);
    }
    return 0;
}
