/*
 * tls: TLS 1.2 and 1.3 (RFC 5246, RFC 8446) by OpenSSL for the sockets of one worker.
 *
 * Owned by io; one thread. OpenSSL never touches a socket: ciphertext goes in and out through two BIOs that all connections of the
 * worker share, so that a connection costs OpenSSL's state alone (about 14 KB with released buffers). When the handshake of a TLS 1.3
 * client is over that goes, too: from then on the connection's keys are enough (worker/io/tls_record.h), some 300 bytes. TLS 1.2, and
 * connections that are made from here, stay OpenSSL's, and end with their worker. What fails is what a peer sent, or a certificate file that
 * cannot be used.
 */
#ifndef RC_WORKER_IO_TLS_H
#define RC_WORKER_IO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/base/err.h"
#include "common/tls/context.h"
#include "worker/io/tls_record.h"

#define RC_TLS_RECORD_MAX 16384u                     /* plaintext of one record (RFC 8446 5.1) */
#define RC_TLS_PLAIN_ROOM (RC_TLS_RECORD_MAX + 256u) /* of rc_tls_read: with a record's type and padding (5.4) */
#define RC_TLS_IDENTITY_MAX 256u                     /* bytes of whom a certificate names */

struct rc_tls;      /* a worker's certificates */
struct rc_tls_conn; /* one connection */

/* Loads every file of tls.certificates (each: certificate chain and private key in one PEM file; the first is the default, the others
 * are chosen by SNI). `ticket_keys` (RC_TLS_TICKET_KEYS_BYTES) as for rc_tls_context_open. */
int rc_tls_open(struct rc_tls **tls, const struct rc_config_tls *config, const uint8_t *ticket_keys,
                struct rc_err *err);
/* One without certificates, for connections that are made from here only. */
int rc_tls_open_without(struct rc_tls **tls, struct rc_err *err);
void rc_tls_close(struct rc_tls *tls);
/* Loads the files again; connections keep what they were accepted with. On an error everything stays as it was. One without
 * certificates stays so. */
int rc_tls_reload(struct rc_tls *tls, const struct rc_config_tls *config, const uint8_t *ticket_keys,
                  struct rc_err *err);

/* When the certificate of this place in tls.certificates expires, in seconds since 1970 (RFC 5280 4.1.2.5: notAfter); 0: there is none. */
int64_t rc_tls_not_after_s(const struct rc_tls *tls, uint32_t index);
/* The same of the first of the authorities of tls.client_ca that does. */
int64_t rc_tls_authorities_not_after_s(const struct rc_tls *tls);

/* A connection that has sent nothing yet. NULL: no memory. It keeps what it needs of `tls`. */
struct rc_tls_conn *rc_tls_accept(struct rc_tls *tls);
/* The same for one that was made from here, whose peer is to prove that it is `host` (a name or an address, NUL-terminated), as the
 * authorities of `context` say (RFC 9110 4.3.4). */
struct rc_tls_conn *rc_tls_connect(struct rc_tls *tls, SSL_CTX *context, const char *host);
void rc_tls_free(struct rc_tls_conn *conn);

/* What became of ciphertext that was fed in. */
enum rc_tls_result {
    RC_TLS_MORE,    /* everything was taken in: feed more when it arrives */
    RC_TLS_PLAIN,   /* *count bytes of plaintext, perhaps none; call rc_tls_read again */
    RC_TLS_ENDED,   /* the peer said that it is done (close_notify) */
    RC_TLS_FAILED,  /* handshake or record error; an alert may wait in the output */
    RC_TLS_NOT_TLS, /* the peer speaks plain HTTP */
};

/* Gives ciphertext to the connection; it must be read until RC_TLS_MORE or an end. */
void rc_tls_feed(struct rc_tls *tls, struct rc_tls_conn *conn, const uint8_t *bytes, size_t count);
/* `plain` has room for RC_TLS_PLAIN_ROOM. */
enum rc_tls_result rc_tls_read(struct rc_tls *tls, struct rc_tls_conn *conn, uint8_t *plain, size_t *count);

/* Forgets input that was not read: the connection ended meanwhile. */
void rc_tls_drop_input(struct rc_tls *tls);

/* Encrypts up to RC_TLS_RECORD_MAX bytes into the output, once the connection is ready. 0, or -EPROTO: its stream cannot go on. This
 * and rc_tls_shutdown may be called while another connection's input is being read. */
int rc_tls_write(struct rc_tls *tls, struct rc_tls_conn *conn, const uint8_t *plain, size_t count);
/* Puts close_notify into the output, if the handshake is done. */
void rc_tls_shutdown(struct rc_tls *tls, struct rc_tls_conn *conn);

/* The ciphertext that the calls above produced; emptied by rc_tls_output_clear, and before the next connection's call. */
const uint8_t *rc_tls_output(const struct rc_tls *tls, size_t *count);
void rc_tls_output_clear(struct rc_tls *tls);

/* All that there is to know of a settled connection, borrowed from it. */
struct rc_tls_state {
    struct rc_tls_keys keys;
    const uint8_t *part;  /* of a record of which not all has come */
    const char *identity; /* as rc_tls_identity, identity_bytes */
    uint32_t part_bytes;
    uint32_t identity_bytes;
};
void rc_tls_state_of(const struct rc_tls_conn *conn, struct rc_tls_state *state);
/* The keys of a settled connection are there from here on (room for struct rc_tls_keys, for as long as it lives), and nowhere else.
 * NULL: the connection has them itself again. *changing becomes 1 before rc_tls_read changes anything of them but the number of the record that comes
 * next. */
void rc_tls_keep_keys(struct rc_tls_conn *conn, void *where, uint8_t *changing);
/* Of a settled connection: that number, and how many bytes there are behind the last record that rc_tls_read has opened. */
uint64_t rc_tls_read_to(const struct rc_tls *tls, const struct rc_tls_conn *conn, uint32_t *left);
/* A connection that goes on from there, in another process too. NULL: no memory, or it is none (its suite, its sizes). */
struct rc_tls_conn *rc_tls_restore(const struct rc_tls_state *state);

bool rc_tls_ready(const struct rc_tls_conn *conn);   /* the handshake is done */
bool rc_tls_settled(const struct rc_tls_conn *conn); /* and OpenSSL's object is gone */
/* Whom a verified client certificate names: its one common name, or without any the first address, host name or URI of its
 * alternative names; UTF-8 without NUL or control characters. The bytes written, 0 when there is none or it is longer than `capacity`. */
size_t rc_tls_identity(const struct rc_tls_conn *conn, char *text, size_t capacity);

#endif
