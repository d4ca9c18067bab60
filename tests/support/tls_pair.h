/*
 * tls_pair: a real client of OpenSSL over memory, and the connection of worker/io/tls that it speaks to. For Criterion tests: what must
 * hold is asserted.
 */
#ifndef RC_TESTS_SUPPORT_TLS_PAIR_H
#define RC_TESTS_SUPPORT_TLS_PAIR_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/io/tls.h"

#define PAIR_HOLD_MAX 65536

/* A client and the connection that it speaks to. */
struct pair {
    struct rc_tls *tls;
    struct rc_tls_conn *server;
    SSL *client;
    enum rc_tls_result result;                        /* of the last read */
    uint8_t plain[PAIR_HOLD_MAX + RC_TLS_PLAIN_ROOM]; /* what the server read */
    size_t plain_bytes;
    size_t chunk;     /* bytes that are fed at once; 0 = all */
    size_t flight;    /* bytes of the last flight to the client */
    int client_error; /* reason of the client's failure */
};

extern SSL_CTX *client_context;
extern SSL_SESSION *session; /* the client's newest */

/* Clients trust `authority`. */
void pair_client_open(X509 *authority);
void pair_client_close(void);
void forget_session(void);

void pair_open(struct pair *pair, struct rc_tls *tls);
void pair_close(struct pair *pair);
/* The server's output to the client. */
void pair_to_client(struct pair *pair);
void pair_feed(struct pair *pair, const uint8_t *bytes, size_t count);
/* What the client has to say, to the server; false: nothing. */
bool pair_to_server(struct pair *pair);
/* What the client can read now; the bytes. */
size_t pair_client_read(struct pair *pair, uint8_t *to, size_t room);
/* Both sides until nothing moves any more. */
void pair_shake(struct pair *pair);
/* A text from the client, from the server; and the handshake with one of both. */
void pair_say(struct pair *pair, const char *text);
void pair_answer(struct pair *pair, const char *text);
void pair_talk(struct pair *pair);

#endif
