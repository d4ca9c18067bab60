/*
 * What a peer can send to a TLS listener: bytes that are no TLS, handshakes and records with errors in them, and correct ones in any pieces.
 *
 * Input: mode (bits 0-1), TLS version (bit 2: 1.2), client certificates asked for (bit 3); bytes fed at once (0 = all); then by mode
 *   0  the peer's bytes as they are
 *   1  changes to a real client's bytes: {offset from the start of the connection, 2 bytes; xor, 1 byte}...
 *   2  a real handshake, then the bytes as they are
 *   3  a real handshake, then the bytes encrypted: they must come out as they went in; 0xff first: with new keys each time
 * The handshake's random numbers differ from run to run; nothing else does.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/support/certificates.h"
#include "worker/io/tls.h"

#define OUTPUT_MAX 65536u /* what one feed may make the server say */
#define PLAIN_MAX 65536u

enum mode { RAW, CHANGED, AFTER, ENCRYPTED };

struct run {
    struct rc_tls *tls;
    struct rc_tls_conn *server;
    SSL *client;
    const uint8_t *changes;
    size_t changes_bytes;
    size_t position; /* of the client's bytes so far */
    size_t chunk;
    size_t plain_bytes;
    uint8_t plain[PLAIN_MAX];
    bool over;
};

static struct rc_tls *plain_tls;
static struct rc_tls *asking_tls;
static SSL_CTX *client_context;

static void write_certificates(char *server_file, char *ca_file)
{
    const int server_fd = mkstemp(server_file);
    const int ca_fd = mkstemp(ca_file);
    RC_ASSERT(server_fd >= 0 && ca_fd >= 0);
    close(server_fd);
    close(ca_fd);
    struct certificate ca = certificate_make("authority", NULL, NULL, true);
    struct certificate server = certificate_make("localhost", "DNS:localhost", &ca, false);
    certificate_write(&ca, ca_file, false);
    certificate_write(&server, server_file, true);
    certificate_free(&ca);
    certificate_free(&server);
}

static void prepare(void)
{
    static const uint8_t keys[RC_TLS_TICKET_KEYS_BYTES] = {1, 2, 3};
    static struct rc_config_tls config = {.listen.count = 1, .certificates.count = 1, .min_version = RC_TLS_12};
    char server_file[] = "/tmp/ringcast-fuzz-XXXXXX";
    char ca_file[] = "/tmp/ringcast-fuzz-XXXXXX";
    struct rc_err err = {{0}};
    write_certificates(server_file, ca_file);
    strcpy(config.certificates.items[0].text, server_file);
    RC_ASSERT(rc_tls_open(&plain_tls, &config, keys, &err) == 0);
    strcpy(config.client_ca.text, ca_file);
    RC_ASSERT(rc_tls_open(&asking_tls, &config, keys, &err) == 0);
    unlink(server_file);
    unlink(ca_file);
    client_context = SSL_CTX_new(TLS_client_method());
    RC_ASSERT(client_context != NULL);
    SSL_CTX_set_session_cache_mode(client_context, SSL_SESS_CACHE_OFF);
}

static void take_output(struct run *run)
{
    size_t count;
    const uint8_t *bytes = rc_tls_output(run->tls, &count);
    RC_ASSERT(count <= OUTPUT_MAX);
    if (count > 0 && run->client != NULL) {
        BIO_write(SSL_get_rbio(run->client), bytes, (int)count);
    }
    rc_tls_output_clear(run->tls);
}

static void feed(struct run *run, const uint8_t *bytes, size_t count)
{
    /* A copy of exactly this size, so that reading past it is seen. */
    uint8_t *exact = malloc(count == 0 ? 1 : count);
    memcpy(exact, bytes, count);
    rc_tls_feed(run->tls, run->server, exact, count);
    for (size_t steps = 0; !run->over; steps++) {
        uint8_t record[RC_TLS_PLAIN_ROOM];
        size_t plain = 0;
        const enum rc_tls_result result = rc_tls_read(run->tls, run->server, record, &plain);
        take_output(run);
        RC_ASSERT(steps <= count); /* each step takes something in */
        if (result == RC_TLS_PLAIN) {
            RC_ASSERT(plain <= RC_TLS_RECORD_MAX && rc_tls_ready(run->server));
            if (run->plain_bytes + plain <= sizeof(run->plain)) {
                memcpy(run->plain + run->plain_bytes, record, plain);
            }
            run->plain_bytes += plain;
            /* As the worker does it: answers go out while input is left. */
            RC_ASSERT(rc_tls_write(run->tls, run->server, record, plain < 16 ? plain : 16) == 0);
            take_output(run);
        } else if (result == RC_TLS_MORE) {
            break;
        } else {
            run->over = true;
        }
    }
    rc_tls_drop_input(run->tls);
    free(exact);
}

static void feed_pieces(struct run *run, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i + 2 < run->changes_bytes; i += 3) {
        const size_t at = (size_t)run->changes[i] << 8 | run->changes[i + 1];
        if (at >= run->position && at < run->position + count) {
            bytes[at - run->position] ^= run->changes[i + 2];
        }
    }
    run->position += count;
    const size_t chunk = run->chunk == 0 ? count : run->chunk;
    for (size_t at = 0; at < count && !run->over; at += chunk) {
        feed(run, bytes + at, count - at < chunk ? count - at : chunk);
    }
}

/* What the client has to say. */
static bool to_server(struct run *run)
{
    char *bytes;
    const long count = BIO_get_mem_data(SSL_get_wbio(run->client), &bytes);
    if (count <= 0 || run->over) {
        return false;
    }
    uint8_t *copy = malloc((size_t)count);
    memcpy(copy, bytes, (size_t)count);
    (void)BIO_reset(SSL_get_wbio(run->client));
    feed_pieces(run, copy, (size_t)count);
    free(copy);
    return true;
}

static void shake(struct run *run, bool old)
{
    uint8_t nothing[256];
    run->client = SSL_new(client_context);
    SSL_set_bio(run->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(run->client), -1);
    SSL_set_tlsext_host_name(run->client, "localhost");
    SSL_set_max_proto_version(run->client, old ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_set_connect_state(run->client);
    bool moved = true;
    for (int i = 0; moved && i < 8; i++) {
        if (SSL_do_handshake(run->client) == 1) {
            while (SSL_read(run->client, nothing, sizeof(nothing)) > 0) {}
        }
        ERR_clear_error();
        moved = to_server(run);
    }
}

static void talk(struct run *run, const uint8_t *bytes, size_t count)
{
    const bool renew = count > 0 && bytes[0] == 0xff && SSL_version(run->client) == TLS1_3_VERSION;
    RC_ASSERT(rc_tls_ready(run->server) && !run->over);
    for (size_t at = 0; at < count;) {
        uint8_t nothing[256];
        const size_t wanted = (size_t)1 + bytes[at];
        const size_t part = count - at < wanted ? count - at : wanted;
        if (renew) {
            RC_ASSERT(SSL_key_update(run->client, SSL_KEY_UPDATE_REQUESTED) == 1);
        }
        RC_ASSERT(SSL_write(run->client, bytes + at, (int)part) == (int)part);
        at += part;
        (void)to_server(run);
        while (SSL_read(run->client, nothing, sizeof(nothing)) > 0) {}
        ERR_clear_error();
    }
    RC_ASSERT(!run->over && run->plain_bytes == count);
    RC_ASSERT(memcmp(run->plain, bytes, count) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run run;
    if (plain_tls == NULL) {
        prepare();
    }
    if (size < 2 || size > PLAIN_MAX) {
        return 0;
    }
    const enum mode mode = (enum mode)(data[0] & 3);
    memset(&run, 0, offsetof(struct run, plain));
    run.tls = data[0] & 8 ? asking_tls : plain_tls;
    run.server = rc_tls_accept(run.tls);
    run.chunk = data[1];
    run.over = false;
    RC_ASSERT(run.server != NULL);
    const bool old = (data[0] & 4) != 0;
    data += 2;
    size -= 2;
    if (mode == CHANGED) {
        run.changes = data;
        run.changes_bytes = size;
        shake(&run, old);
        if (!run.over && SSL_is_init_finished(run.client)) {
            SSL_write(run.client, "GET / HTTP/1.1\r\n\r\n", 18);
            (void)to_server(&run);
            SSL_shutdown(run.client);
            (void)to_server(&run);
        }
    } else if (mode != RAW) {
        shake(&run, old);
    }
    if (mode == ENCRYPTED) {
        talk(&run, data, size);
    } else if (mode != CHANGED) {
        uint8_t *copy = malloc(size == 0 ? 1 : size);
        memcpy(copy, data, size);
        feed_pieces(&run, copy, size);
        free(copy);
    }
    char name[64];
    (void)rc_tls_identity(run.server, name, sizeof(name));
    rc_tls_shutdown(run.tls, run.server);
    take_output(&run);
    rc_tls_free(run.server);
    SSL_free(run.client);
    ERR_clear_error();
    return 0;
}
