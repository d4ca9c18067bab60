/* tls_pair: see tls_pair.h. */
#include "tests/support/tls_pair.h"

#include <criterion/criterion.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

SSL_CTX *client_context;
SSL_SESSION *session;

static int keep_session(SSL *ssl, SSL_SESSION *fresh)
{
    (void)ssl;
    SSL_SESSION_free(session);
    session = fresh;
    return 1;
}

void pair_client_open(X509 *authority)
{
    client_context = SSL_CTX_new(TLS_client_method());
    X509_STORE_add_cert(SSL_CTX_get_cert_store(client_context), authority);
    SSL_CTX_set_verify(client_context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(client_context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client_context, keep_session);
}

void forget_session(void)
{
    SSL_SESSION_free(session);
    session = NULL;
}

void pair_client_close(void)
{
    forget_session();
    SSL_CTX_free(client_context);
}

void pair_open(struct pair *pair, struct rc_tls *tls)
{
    memset(pair, 0, sizeof(*pair));
    pair->tls = tls;
    pair->server = rc_tls_accept(tls);
    RC_ASSERT(pair->server != NULL);
    pair->client = SSL_new(client_context);
    SSL_set_bio(pair->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(pair->client), -1);
    SSL_set_tlsext_host_name(pair->client, "localhost");
    SSL_set_connect_state(pair->client);
}

void pair_close(struct pair *pair)
{
    rc_tls_free(pair->server);
    SSL_set_shutdown(pair->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or its session counts as spoilt */
    SSL_free(pair->client);
}

/* The server's output to the client. */
void pair_to_client(struct pair *pair)
{
    size_t count;
    const uint8_t *bytes = rc_tls_output(pair->tls, &count);
    if (count > 0) {
        RC_ASSERT(BIO_write(SSL_get_rbio(pair->client), bytes, (int)count) == (int)count);
        pair->flight = count;
    }
    rc_tls_output_clear(pair->tls);
}

void pair_feed(struct pair *pair, const uint8_t *bytes, size_t count)
{
    rc_tls_feed(pair->tls, pair->server, bytes, count);
    for (;;) {
        size_t plain = 0;
        cr_assert_leq(pair->plain_bytes, PAIR_HOLD_MAX);
        pair->result = rc_tls_read(pair->tls, pair->server, pair->plain + pair->plain_bytes, &plain);
        pair_to_client(pair);
        if (pair->result != RC_TLS_PLAIN) {
            return;
        }
        pair->plain_bytes += plain;
    }
}

/* What the client has to say, to the server. */
bool pair_to_server(struct pair *pair)
{
    char *bytes;
    const long count = BIO_get_mem_data(SSL_get_wbio(pair->client), &bytes);
    if (count <= 0) {
        return false;
    }
    uint8_t *copy = malloc((size_t)count);
    memcpy(copy, bytes, (size_t)count);
    (void)BIO_reset(SSL_get_wbio(pair->client));
    const size_t chunk = pair->chunk == 0 ? (size_t)count : pair->chunk;
    for (size_t at = 0; at < (size_t)count; at += chunk) {
        pair_feed(pair, copy + at, (size_t)count - at < chunk ? (size_t)count - at : chunk);
        if (pair->result != RC_TLS_MORE) {
            break;
        }
    }
    free(copy);
    return true;
}

size_t pair_client_read(struct pair *pair, uint8_t *to, size_t room)
{
    size_t total = 0;
    size_t count;
    while (total < room && SSL_read_ex(pair->client, to + total, room - total, &count) == 1) {
        total += count;
    }
    return total;
}

/* Both sides until nothing moves any more. */
void pair_shake(struct pair *pair)
{
    bool moved = true;
    pair->result = RC_TLS_MORE;
    for (int i = 0; moved && i < 10; i++) {
        uint8_t nothing[1];
        ERR_clear_error();
        if (SSL_do_handshake(pair->client) == 1) {
            (void)SSL_read(pair->client, nothing, 1); /* tickets, alerts */
        }
        if (ERR_peek_error() != 0) {
            pair->client_error = ERR_GET_REASON(ERR_peek_error());
        }
        ERR_clear_error();
        moved = pair->result == RC_TLS_MORE ? pair_to_server(pair) : false;
    }
}

void pair_say(struct pair *pair, const char *text)
{
    pair->plain_bytes = 0;
    cr_assert_eq(SSL_write(pair->client, text, (int)strlen(text)), (int)strlen(text));
    cr_assert(pair_to_server(pair));
    cr_assert_eq(pair->result, RC_TLS_MORE);
    cr_assert_eq(pair->plain_bytes, strlen(text));
    cr_assert_arr_eq(pair->plain, text, strlen(text));
}

void pair_answer(struct pair *pair, const char *text)
{
    uint8_t got[256] = {0};
    cr_assert_eq(rc_tls_write(pair->tls, pair->server, (const uint8_t *)text, strlen(text)), 0);
    pair_to_client(pair);
    cr_assert_eq(pair_client_read(pair, got, sizeof(got)), strlen(text));
    cr_assert_arr_eq(got, text, strlen(text));
}

void pair_talk(struct pair *pair)
{
    pair_shake(pair);
    cr_assert(rc_tls_ready(pair->server), "the client failed with %d", pair->client_error);
    pair_say(pair, "GET / HTTP/1.1\r\n\r\n");
    pair_answer(pair, "HTTP/1.1 200 OK\r\n\r\n");
}
