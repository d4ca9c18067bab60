/* tls: see tls.h. */
#include "bench/tls.h"

#include "bench/conn.h"
#include "bench/receive.h"

#include "common/base/check.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#define PLAIN_BYTES 16384u /* of a record at most */

static void tls_failed(struct rc_bench_client *client, uint32_t slot, const char *what)
{
    const unsigned long error = ERR_get_error();
    const char *const reason = ERR_reason_error_string(error);
    rc_bench_client_note(client, "TLS, %s: %s", what, reason != NULL ? reason : "the server ended it");
    ERR_clear_error();
    rc_bench_conn_ended(client, slot);
}

int rc_bench_tls_start(struct rc_bench_client *client)
{
    if (!client->plan->subscribe_at.tls && !client->plan->publish_at.tls) {
        return 0;
    }
    client->tls = calloc(client->descriptors + 1, sizeof(*client->tls));
    client->tls_plain = malloc(PLAIN_BYTES);
    client->tls_context = SSL_CTX_new(TLS_client_method());
    if (client->tls == NULL || client->tls_plain == NULL || client->tls_context == NULL) {
        rc_bench_client_note(client, "no memory for TLS");
        return -ENOMEM;
    }
    SSL_CTX_set_verify(client->tls_context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(client->tls_context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(client->tls_context, SSL_SESS_CACHE_OFF);
    return 0;
}

bool rc_bench_tls_on(const struct rc_bench_client *client, uint32_t slot)
{
    return client->tls != NULL && client->tls[slot] != NULL;
}

/* Sends what OpenSSL has to say of itself: handshake, tickets' answers, alerts. */
static void send_own(struct rc_bench_client *client, uint32_t slot)
{
    BIO *const out = SSL_get_wbio(client->tls[slot]);
    for (size_t waiting = BIO_ctrl_pending(out); waiting > 0; waiting = BIO_ctrl_pending(out)) {
        uint8_t bytes[4096];
        const int count = BIO_read(out, bytes, waiting < sizeof(bytes) ? (int)waiting : (int)sizeof(bytes));
        RC_ASSERT(count > 0);
        rc_bench_conn_send_sealed(client, slot, rc_span_of(bytes, (size_t)count));
    }
}

static void tls_shake(struct rc_bench_client *client, uint32_t slot)
{
    SSL *const ssl = client->tls[slot];
    const int done = SSL_do_handshake(ssl);
    if (done != 1 && SSL_get_error(ssl, done) != SSL_ERROR_WANT_READ) {
        tls_failed(client, slot, "handshake");
        return;
    }
    send_own(client, slot);
    if (done == 1) {
        rc_bench_conn_begin(client, slot);
    }
}

void rc_bench_tls_open(struct rc_bench_client *client, uint32_t slot)
{
    SSL *const ssl = SSL_new(client->tls_context);
    BIO *const in = BIO_new(BIO_s_mem()), *const out = BIO_new(BIO_s_mem());
    RC_ASSERT(ssl != NULL && in != NULL && out != NULL && client->tls[slot] == NULL);
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    client->tls[slot] = ssl;
    tls_shake(client, slot);
}

void rc_bench_tls_receive(struct rc_bench_client *client, uint32_t slot, const uint8_t *bytes, uint32_t count,
                          uint64_t now_ns)
{
    SSL *const ssl = client->tls[slot];
    const uint16_t generation = client->conns[slot].generation;
    const int taken = BIO_write(SSL_get_rbio(ssl), bytes, (int)count);
    RC_ASSERT(taken == (int)count);
    if (SSL_is_init_finished(ssl) == 0) {
        tls_shake(client, slot);
    }
    while (client->conns[slot].generation == generation && SSL_is_init_finished(ssl) == 1) {
        const int got = SSL_read(ssl, client->tls_plain, PLAIN_BYTES);
        if (got <= 0) {
            const int error = SSL_get_error(ssl, got);
            if (error != SSL_ERROR_WANT_READ) {
                tls_failed(client, slot, "receiving");
                return;
            }
            send_own(client, slot);
            return;
        }
        rc_bench_receive(client, slot, client->tls_plain, (uint32_t)got, now_ns);
    }
}

uint32_t rc_bench_tls_seal(struct rc_bench_client *client, uint32_t slot, uint8_t *bytes, uint32_t count)
{
    SSL *const ssl = client->tls[slot];
    BIO *const out = SSL_get_wbio(ssl);
    if (SSL_write(ssl, bytes, (int)count) != (int)count) {
        tls_failed(client, slot, "sending");
        return 0;
    }
    const size_t sealed = BIO_ctrl_pending(out);
    RC_ASSERT(sealed <= RC_BENCH_TLS_ROOM(count));
    const int read = BIO_read(out, bytes, (int)sealed);
    RC_ASSERT(read == (int)sealed);
    return (uint32_t)sealed;
}

void rc_bench_tls_forget(struct rc_bench_client *client, uint32_t slot)
{
    if (rc_bench_tls_on(client, slot)) {
        SSL_free(client->tls[slot]);
        client->tls[slot] = NULL;
    }
}
