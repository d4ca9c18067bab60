/* tls: see tls.h. */
#include "worker/io/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/tls/staple.h"
#include "worker/store/order.h"

struct rc_tls {
    SSL_CTX *contexts[RC_CONFIG_LIST_MAX]; /* owned; connections hold a reference of their own */
    uint32_t count;
    BIO_METHOD *method;
    BIO *source;       /* owned: reads from `in` */
    BIO *sink;         /* owned: appends to `out` */
    const uint8_t *in; /* borrowed for one call of feed and its reads */
    size_t in_bytes;
    uint8_t *out; /* owned */
    size_t out_bytes;
    size_t out_capacity;
    bool out_failed;                /* no memory for output of the last call: its connection must end */
    struct rc_tls_ciphers *ciphers; /* owned */
};

/* The application traffic secrets of a handshake that is under way (RFC 8446 7.1). */
struct secrets {
    uint8_t client[RC_TLS_SECRET_MAX];
    uint8_t server[RC_TLS_SECRET_MAX];
    size_t client_bytes; /* 0: not yet */
    size_t server_bytes;
};

/* A connection is OpenSSL's (`ssl`), or after a handshake of TLS 1.3 as a server that of tls_record alone. */
struct rc_tls_conn {
    SSL *ssl;                 /* owned */
    struct secrets *secrets;  /* owned: from the first secret to the end of the handshake */
    struct rc_tls_keys *keys; /* borrowed, once `ssl` is gone: `own`, or where they are kept */
    struct rc_tls_keys own;
    uint8_t *part; /* owned: a record of which not all has come; NULL: none */
    uint32_t part_bytes;
    char *identity;    /* owned; NULL: nobody was named */
    uint8_t *changing; /* borrowed; NULL: nobody wants to know (rc_tls_keep_keys) */
};

/* --- BIOs --- */

static int bio_read(BIO *bio, char *to, size_t room, size_t *count)
{
    struct rc_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (tls->in_bytes == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *count = room < tls->in_bytes ? room : tls->in_bytes;
    memcpy(to, tls->in, *count);
    tls->in += *count;
    tls->in_bytes -= *count;
    return 1;
}

/* Room for so many bytes of output; NULL: no memory. */
static uint8_t *out_room(struct rc_tls *tls, size_t bytes)
{
    if (tls->out_bytes + bytes > tls->out_capacity) {
        size_t capacity = tls->out_capacity == 0 ? 32768 : tls->out_capacity;
        while (capacity < tls->out_bytes + bytes) {
            capacity *= 2;
        }
        uint8_t *larger = realloc(tls->out, capacity);
        if (larger == NULL) {
            tls->out_failed = true;
            return NULL;
        }
        tls->out = larger;
        tls->out_capacity = capacity;
    }
    return tls->out + tls->out_bytes;
}

static int bio_write(BIO *bio, const char *from, size_t bytes, size_t *count)
{
    struct rc_tls *tls = BIO_get_data(bio);
    uint8_t *to = out_room(tls, bytes);
    if (to == NULL) {
        return 0;
    }
    memcpy(to, from, bytes);
    tls->out_bytes += bytes;
    *count = bytes;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO *bio_new(struct rc_tls *tls)
{
    BIO *bio = BIO_new(tls->method);
    if (bio != NULL) {
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* --- certificates --- */

static void contexts_close(struct rc_tls *tls)
{
    for (uint32_t i = 0; i < tls->count; i++) {
        SSL_CTX_free(tls->contexts[i]); /* connections keep what they were accepted with */
    }
    tls->count = 0;
}

/* RFC 6066 3: the first certificate that carries the name; the default one when none does. */
static int choose_certificate(SSL *ssl, int *alert, void *context)
{
    const struct rc_tls *tls = context;
    (void)alert;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    for (uint32_t i = 0; name != NULL && i < tls->count; i++) {
        X509 *certificate = SSL_CTX_get0_certificate(tls->contexts[i]);
        if (certificate != NULL && X509_check_host(certificate, name, strlen(name), 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, tls->contexts[i]);
            break;
        }
    }
    return SSL_TLSEXT_ERR_OK;
}

/* Fills `tls`, which has no contexts yet. On an error it has none either. */
static int contexts_open(struct rc_tls *tls, const struct rc_config_tls *config, const uint8_t *ticket_keys,
                         struct rc_err *err)
{
    for (uint32_t i = 0; i < config->certificates.count; i++) {
        const int rc =
            rc_tls_context_open(&tls->contexts[i], config, config->certificates.items[i].text, ticket_keys, err);
        if (rc < 0) {
            contexts_close(tls);
            return rc;
        }
        tls->count++;
    }
    return tls->count > 0 ? 0 : rc_err_set(err, -EINVAL, "listeners with TLS need tls.certificates");
}

/* One line of the key log (NSS format: label, client random, secret, in hexadecimal digits) for each secret of a handshake. */
static void secret_told(const SSL *ssl, const char *line)
{
    static const char client_label[] = "CLIENT_TRAFFIC_SECRET_0 ";
    static const char server_label[] = "SERVER_TRAFFIC_SECRET_0 ";
    struct rc_tls_conn *conn = SSL_get_app_data(ssl);
    const bool client = strncmp(line, client_label, sizeof(client_label) - 1) == 0;
    if (conn == NULL || (!client && strncmp(line, server_label, sizeof(server_label) - 1) != 0)) {
        return;
    }
    if (conn->secrets == NULL) {
        conn->secrets = calloc(1, sizeof(*conn->secrets));
    }
    const char *hex = strrchr(line, ' ') + 1;
    size_t bytes = 0;
    uint8_t *to = conn->secrets == NULL ? NULL : client ? conn->secrets->client : conn->secrets->server;
    if (to != NULL && OPENSSL_hexstr2buf_ex(to, RC_TLS_SECRET_MAX, &bytes, hex, '\0') == 1) {
        *(client ? &conn->secrets->client_bytes : &conn->secrets->server_bytes) = bytes;
    }
    ERR_clear_error();
}

/* The callbacks point to where the contexts stay. */
static void contexts_adopt(struct rc_tls *tls)
{
    for (uint32_t i = 0; i < tls->count; i++) {
        SSL_CTX_set_tlsext_servername_callback(tls->contexts[i], choose_certificate);
        SSL_CTX_set_tlsext_servername_arg(tls->contexts[i], tls);
        SSL_CTX_set_keylog_callback(tls->contexts[i], secret_told);
    }
}

int rc_tls_open_without(struct rc_tls **out, struct rc_err *err)
{
    struct rc_tls *tls = calloc(1, sizeof(*tls));
    *out = NULL;
    if (tls == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for TLS");
    }
    tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "ringcast");
    if (tls->method == NULL || BIO_meth_set_read_ex(tls->method, bio_read) != 1 ||
        BIO_meth_set_write_ex(tls->method, bio_write) != 1 || BIO_meth_set_ctrl(tls->method, bio_control) != 1 ||
        (tls->source = bio_new(tls)) == NULL || (tls->sink = bio_new(tls)) == NULL ||
        (tls->ciphers = rc_tls_ciphers_open()) == NULL) {
        rc_tls_close(tls);
        return rc_err_set(err, -ENOMEM, "no memory for TLS");
    }
    *out = tls;
    return 0;
}

int rc_tls_open(struct rc_tls **out, const struct rc_config_tls *config, const uint8_t *ticket_keys, struct rc_err *err)
{
    int rc = rc_tls_open_without(out, err);
    if (rc == 0) {
        rc = contexts_open(*out, config, ticket_keys, err);
        if (rc < 0) {
            rc_tls_close(*out);
            *out = NULL;
            return rc;
        }
        contexts_adopt(*out);
    }
    return rc;
}

void rc_tls_close(struct rc_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    contexts_close(tls);
    BIO_free(tls->source);
    BIO_free(tls->sink);
    BIO_meth_free(tls->method);
    rc_tls_ciphers_close(tls->ciphers);
    free(tls->out);
    free(tls);
}

int rc_tls_reload(struct rc_tls *tls, const struct rc_config_tls *config, const uint8_t *ticket_keys,
                  struct rc_err *err)
{
    struct rc_tls fresh = {0};
    if (tls->count == 0) {
        return 0;
    }
    const int rc = contexts_open(&fresh, config, ticket_keys, err);
    if (rc < 0) {
        return rc;
    }
    contexts_close(tls);
    memcpy(tls->contexts, fresh.contexts, sizeof(tls->contexts));
    tls->count = fresh.count;
    contexts_adopt(tls);
    return 0;
}

/* --- connections --- */

static struct rc_tls_conn *conn_new(struct rc_tls *tls, SSL_CTX *context)
{
    struct rc_tls_conn *conn = calloc(1, sizeof(*conn));
    SSL *ssl = conn == NULL ? NULL : SSL_new(context);
    if (ssl == NULL) {
        ERR_clear_error();
        free(conn);
        return NULL;
    }
    conn->ssl = ssl;
    BIO_up_ref(tls->source);
    BIO_up_ref(tls->sink);
    SSL_set0_rbio(ssl, tls->source);
    SSL_set0_wbio(ssl, tls->sink);
    return conn;
}

int64_t rc_tls_not_after_s(const struct rc_tls *tls, uint32_t index)
{
    return index < tls->count ? rc_tls_not_after_of(SSL_CTX_get0_certificate(tls->contexts[index])) : 0;
}

int64_t rc_tls_authorities_not_after_s(const struct rc_tls *tls)
{
    return tls->count > 0 ? rc_tls_authorities_not_after_of(tls->contexts[0]) : 0; /* all have the same */
}

struct rc_tls_conn *rc_tls_accept(struct rc_tls *tls)
{
    struct rc_tls_conn *conn = conn_new(tls, tls->contexts[0]);
    if (conn != NULL) {
        SSL_set_accept_state(conn->ssl);
        SSL_set_app_data(conn->ssl, conn);
    }
    return conn;
}

struct rc_tls_conn *rc_tls_connect(struct rc_tls *tls, SSL_CTX *context, const char *host)
{
    struct rc_tls_conn *conn = conn_new(tls, context);
    if (conn == NULL) {
        return NULL;
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(conn->ssl);
    /* An address is looked for among the certificate's addresses, and never sent as a name (RFC 6066 3). */
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1) {
        ERR_clear_error();
        if (SSL_set1_host(conn->ssl, host) != 1 || SSL_set_tlsext_host_name(conn->ssl, host) != 1) {
            ERR_clear_error();
            rc_tls_free(conn);
            return NULL;
        }
    }
    SSL_set_connect_state(conn->ssl);
    return conn;
}

static void secrets_forget(struct rc_tls_conn *conn)
{
    if (conn->secrets != NULL) {
        OPENSSL_cleanse(conn->secrets, sizeof(*conn->secrets));
        free(conn->secrets);
        conn->secrets = NULL;
    }
}

void rc_tls_free(struct rc_tls_conn *conn)
{
    if (conn != NULL) {
        SSL_free(conn->ssl);
        secrets_forget(conn);
        OPENSSL_cleanse(&conn->own, sizeof(conn->own));
        free(conn->part);
        free(conn->identity);
        free(conn);
    }
}

void rc_tls_feed(struct rc_tls *tls, struct rc_tls_conn *conn, const uint8_t *bytes, size_t count)
{
    (void)conn;
    RC_ASSERT(tls->in_bytes == 0);
    tls->in = bytes;
    tls->in_bytes = count;
}

void rc_tls_drop_input(struct rc_tls *tls)
{
    tls->in_bytes = 0;
}

static enum rc_tls_result tls_judge(struct rc_tls *tls, const struct rc_tls_conn *conn, int rc)
{
    enum rc_tls_result result = RC_TLS_FAILED;
    switch (SSL_get_error(conn->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        result = RC_TLS_MORE;
        break;
    case SSL_ERROR_ZERO_RETURN:
        result = RC_TLS_ENDED;
        break;
    case SSL_ERROR_SSL: {
        const int reason = ERR_GET_REASON(ERR_peek_error());
        result = reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST ? RC_TLS_NOT_TLS : RC_TLS_FAILED;
        break;
    }
    default:
        break;
    }
    if (result != RC_TLS_MORE) {
        tls->in_bytes = 0;
    }
    ERR_clear_error();
    return tls->out_failed ? RC_TLS_FAILED : result;
}

/* --- without OpenSSL's object ------------------------------------------------------------------------------------------ */

/* The records of application data in the output from there on: those that the handshake has sealed with the last keys. */
static uint64_t records_sealed(const struct rc_tls *tls, size_t from)
{
    uint64_t count = 0;
    while (from + RC_TLS_HEADER_BYTES <= tls->out_bytes) {
        const uint8_t *record = tls->out + from;
        count += record[0] == RC_TLS_APPLICATION;
        from += RC_TLS_HEADER_BYTES + ((size_t)record[3] << 8 | record[4]);
    }
    return count;
}

/* The handshake is over, and `sealed` records were written since the client's Finished: tickets. From here on the connection is that of tls_record, if it
 * can be: a server's of TLS 1.3, with records of any size, nothing read ahead, and a suite that is known there. */
static void conn_settle(struct rc_tls_conn *conn, uint64_t sealed)
{
    const struct secrets *secrets = conn->secrets;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(conn->ssl);
    const SSL_SESSION *session = SSL_get0_session(conn->ssl);
    const uint32_t suite = cipher == NULL ? 0 : SSL_CIPHER_get_protocol_id(cipher);
    const size_t bytes = rc_tls_secret_bytes(suite);
    char name[RC_TLS_IDENTITY_MAX];
    if (SSL_version(conn->ssl) == TLS1_3_VERSION && secrets != NULL && bytes > 0 && secrets->client_bytes == bytes &&
        secrets->server_bytes == bytes && session != NULL && SSL_SESSION_get_max_fragment_length(session) == 0 &&
        SSL_has_pending(conn->ssl) == 0) {
        const size_t name_bytes = rc_tls_identity(conn, name, sizeof(name));
        char *identity = name_bytes == 0 ? NULL : strndup(name, name_bytes);
        if ((name_bytes == 0 || identity != NULL) &&
            rc_tls_keys_set(&conn->own, suite, secrets->client, secrets->server, sealed) == 0) {
            conn->keys = &conn->own;
            /* Not ended, only out of OpenSSL's sight: its session stays good for the ticket. */
            SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
            SSL_free(conn->ssl);
            conn->ssl = NULL;
            conn->identity = identity;
        } else {
            free(identity);
        }
    }
    secrets_forget(conn);
}

static int own_seal(struct rc_tls *tls, struct rc_tls_conn *conn, enum rc_tls_content type, const uint8_t *plain,
                    size_t count)
{
    uint8_t *to = out_room(tls, count + RC_TLS_SEALED_MORE);
    const int rc = to == NULL ? -ENOMEM : rc_tls_seal(tls->ciphers, conn->keys, type, plain, count, to);
    tls->out_bytes += rc == 0 ? count + RC_TLS_SEALED_MORE : 0;
    return rc;
}

static int own_update(struct rc_tls *tls, struct rc_tls_conn *conn)
{
    uint8_t *to = out_room(tls, 5 + RC_TLS_SEALED_MORE);
    const int rc = to == NULL ? -ENOMEM : rc_tls_update(tls->ciphers, conn->keys, to);
    tls->out_bytes += rc == 0 ? 5 + RC_TLS_SEALED_MORE : 0;
    return rc;
}

static void own_alert(struct rc_tls *tls, struct rc_tls_conn *conn, enum rc_tls_alert alert)
{
    const uint8_t message[] = {alert == RC_TLS_CLOSE_NOTIFY ? 1 : 2, (uint8_t)alert};
    if (!conn->keys->told_end) {
        conn->keys->told_end = true;
        (void)own_seal(tls, conn, RC_TLS_ALERT, message, sizeof(message));
    }
}

/* From here on more changes than the number of the record that comes next. */
static void own_changes(const struct rc_tls_conn *conn)
{
    if (conn->changing != NULL) {
        *conn->changing = 1;
        RC_STORE_ORDER(); /* should this process be killed in it, whoever comes next knows */
    }
}

static enum rc_tls_result own_failed(struct rc_tls *tls, struct rc_tls_conn *conn, enum rc_tls_alert alert)
{
    own_changes(conn);
    own_alert(tls, conn, alert);
    tls->in_bytes = 0;
    return RC_TLS_FAILED;
}

/* The next whole record: of the input, or of what is kept of one. 0: there is none yet; -ENOMEM; as rc_tls_record_bytes. */
static int own_next(struct rc_tls *tls, struct rc_tls_conn *conn, const uint8_t **record, size_t *bytes)
{
    for (;;) {
        const uint8_t *have = conn->part != NULL ? conn->part : tls->in;
        const size_t have_bytes = conn->part != NULL ? conn->part_bytes : tls->in_bytes;
        const int rc = rc_tls_record_bytes(have, have_bytes, bytes);
        if (rc < 0) {
            return rc;
        }
        if (*bytes != 0 && have_bytes >= *bytes) {
            *record = have;
            if (conn->part == NULL) {
                tls->in += *bytes;
                tls->in_bytes -= *bytes;
            }
            return 1;
        }
        if (tls->in_bytes == 0) {
            return 0;
        }
        /* The rest of the header first, which says how much the rest is. */
        const size_t wanted = *bytes != 0 ? *bytes : RC_TLS_HEADER_BYTES;
        const size_t kept = conn->part != NULL ? conn->part_bytes : 0;
        const size_t more = wanted - kept < tls->in_bytes ? wanted - kept : tls->in_bytes;
        uint8_t *part = realloc(conn->part, wanted);
        if (part == NULL) {
            return -ENOMEM;
        }
        memcpy(part + kept, tls->in, more);
        conn->part = part;
        conn->part_bytes = (uint32_t)(kept + more);
        tls->in += more;
        tls->in_bytes -= more;
    }
}

static void own_part_free(struct rc_tls_conn *conn)
{
    free(conn->part);
    conn->part = NULL;
    conn->part_bytes = 0;
}

static enum rc_tls_result own_read(struct rc_tls *tls, struct rc_tls_conn *conn, uint8_t *plain, size_t *count)
{
    for (;;) {
        const uint8_t *record = NULL;
        size_t bytes = 0;
        enum rc_tls_alert alert = RC_TLS_INTERNAL_ERROR;
        const int rc = own_next(tls, conn, &record, &bytes);
        if (rc <= 0) {
            return rc == 0           ? RC_TLS_MORE
                   : rc == -EMSGSIZE ? own_failed(tls, conn, RC_TLS_RECORD_OVERFLOW)
                   : rc == -EPROTO   ? own_failed(tls, conn, RC_TLS_UNEXPECTED_MESSAGE)
                                     : own_failed(tls, conn, alert);
        }
        const enum rc_tls_opened opened =
            rc_tls_open_record(tls->ciphers, conn->keys, record, bytes, plain, count, conn->changing, &alert);
        own_part_free(conn);
        switch (opened) {
        case RC_TLS_OPENED_DATA:
            if (*count > 0) {
                return RC_TLS_PLAIN;
            }
            break;
        case RC_TLS_OPENED_NOTHING:
            return RC_TLS_PLAIN; /* of no bytes: behind a KeyUpdate the number of the next record is another key's */
        case RC_TLS_OPENED_UPDATE:
            own_changes(conn);
            if (own_update(tls, conn) < 0) {
                return own_failed(tls, conn, alert);
            }
            return RC_TLS_PLAIN; /* of no bytes: what it made is bounded before the next one is asked for */
        case RC_TLS_OPENED_END:
            tls->in_bytes = 0;
            return RC_TLS_ENDED;
        case RC_TLS_OPENED_ENDED:
            tls->in_bytes = 0;
            return RC_TLS_FAILED;
        case RC_TLS_OPENED_BAD:
            return own_failed(tls, conn, alert);
        }
    }
}

/* --- both -------------------------------------------------------------------------------------------------------------- */

enum rc_tls_result rc_tls_read(struct rc_tls *tls, struct rc_tls_conn *conn, uint8_t *plain, size_t *count)
{
    ERR_clear_error(); /* what others left in the thread's queue would be taken for this connection's */
    tls->out_failed = false;
    if (conn->ssl != NULL && !SSL_is_init_finished(conn->ssl)) {
        const size_t before = tls->out_bytes;
        const int rc = SSL_do_handshake(conn->ssl);
        if (rc != 1) {
            return tls_judge(tls, conn, rc);
        }
        if (SSL_is_server(conn->ssl)) {
            rc_tls_staple_drop(conn->ssl);
            conn_settle(conn, records_sealed(tls, before));
        }
    }
    if (conn->ssl == NULL) {
        const enum rc_tls_result result = own_read(tls, conn, plain, count);
        return tls->out_failed ? RC_TLS_FAILED : result;
    }
    const int rc = SSL_read_ex(conn->ssl, plain, RC_TLS_PLAIN_ROOM, count);
    return rc == 1 ? RC_TLS_PLAIN : tls_judge(tls, conn, rc);
}

static bool ssl_write(struct rc_tls *tls, struct rc_tls_conn *conn, const uint8_t *plain, size_t count)
{
    const size_t in_bytes = tls->in_bytes; /* somebody else's */
    size_t written = 0;
    tls->in_bytes = 0;
    ERR_clear_error();
    const bool good = SSL_write_ex(conn->ssl, plain, count, &written) == 1 && written == count;
    ERR_clear_error();
    tls->in_bytes = in_bytes;
    return good;
}

int rc_tls_write(struct rc_tls *tls, struct rc_tls_conn *conn, const uint8_t *plain, size_t count)
{
    RC_ASSERT_HOT(count <= RC_TLS_RECORD_MAX);
    bool good;
    tls->out_failed = false; /* another one's */
    if (conn->ssl != NULL) {
        good = ssl_write(tls, conn, plain, count);
    } else {
        good = !conn->keys->told_end && (!rc_tls_update_due(conn->keys) || own_update(tls, conn) == 0) &&
               own_seal(tls, conn, RC_TLS_APPLICATION, plain, count) == 0;
    }
    return good && !tls->out_failed ? 0 : -EPROTO;
}

void rc_tls_shutdown(struct rc_tls *tls, struct rc_tls_conn *conn)
{
    if (conn->ssl == NULL) {
        own_alert(tls, conn, RC_TLS_CLOSE_NOTIFY);
        return;
    }
    const size_t in_bytes = tls->in_bytes;
    tls->in_bytes = 0;
    if (SSL_is_init_finished(conn->ssl)) {
        ERR_clear_error();
        (void)SSL_shutdown(conn->ssl);
        ERR_clear_error();
    }
    tls->in_bytes = in_bytes;
}

const uint8_t *rc_tls_output(const struct rc_tls *tls, size_t *count)
{
    *count = tls->out_bytes;
    return tls->out;
}

void rc_tls_output_clear(struct rc_tls *tls)
{
    tls->out_bytes = 0;
    tls->out_failed = false;
}

bool rc_tls_ready(const struct rc_tls_conn *conn)
{
    return conn->ssl == NULL || SSL_is_init_finished(conn->ssl) == 1;
}

void rc_tls_state_of(const struct rc_tls_conn *conn, struct rc_tls_state *state)
{
    RC_ASSERT(conn->ssl == NULL);
    *state = (struct rc_tls_state){.keys = *conn->keys,
                                   .part = conn->part,
                                   .part_bytes = conn->part_bytes,
                                   .identity = conn->identity,
                                   .identity_bytes = conn->identity == NULL ? 0 : (uint32_t)strlen(conn->identity)};
}

struct rc_tls_conn *rc_tls_restore(const struct rc_tls_state *state)
{
    if (!rc_tls_keys_valid(&state->keys) || state->part_bytes > RC_TLS_SEALED_MAX ||
        state->identity_bytes > RC_TLS_IDENTITY_MAX) {
        return NULL;
    }
    struct rc_tls_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return NULL;
    }
    conn->own = state->keys;
    conn->keys = &conn->own;
    conn->identity = state->identity_bytes == 0 ? NULL : strndup(state->identity, state->identity_bytes);
    conn->part = state->part_bytes == 0 ? NULL : malloc(state->part_bytes);
    if ((state->identity_bytes > 0 && conn->identity == NULL) || (state->part_bytes > 0 && conn->part == NULL)) {
        rc_tls_free(conn);
        return NULL;
    }
    if (state->part_bytes > 0) {
        memcpy(conn->part, state->part, state->part_bytes);
        conn->part_bytes = state->part_bytes;
    }
    return conn;
}

void rc_tls_keep_keys(struct rc_tls_conn *conn, void *where, uint8_t *changing)
{
    struct rc_tls_keys *keys = where == NULL ? &conn->own : where;
    memmove(keys, conn->keys, sizeof(*keys));
    conn->keys = keys;
    conn->changing = where == NULL ? NULL : changing;
    if (where != NULL) {
        OPENSSL_cleanse(&conn->own, sizeof(conn->own));
    }
}

uint64_t rc_tls_read_to(const struct rc_tls *tls, const struct rc_tls_conn *conn, uint32_t *left)
{
    *left = (uint32_t)tls->in_bytes + conn->part_bytes;
    return conn->keys->in.sequence;
}

bool rc_tls_settled(const struct rc_tls_conn *conn)
{
    return conn->ssl == NULL;
}

/* Copies a name if all of it fits and can be a user's: half of one would be another user. */
static size_t identity_copy(const ASN1_STRING *name, char *text, size_t capacity)
{
    unsigned char *utf8 = NULL;
    const int bytes = ASN1_STRING_to_UTF8(&utf8, name);
    size_t copied = bytes > 0 && (size_t)bytes <= capacity ? (size_t)bytes : 0;
    for (size_t i = 0; i < copied; i++) {
        if (utf8[i] < 0x20 || utf8[i] == 0x7f) {
            copied = 0;
        }
    }
    if (copied > 0) {
        memcpy(text, utf8, copied);
    }
    OPENSSL_free(utf8);
    ERR_clear_error();
    return copied;
}

static size_t identity_alternative(X509 *certificate, char *text, size_t capacity)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t bytes = 0;
    bool found = false;
    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type == GEN_EMAIL || type == GEN_DNS || type == GEN_URI) {
            bytes = identity_copy(value, text, capacity);
            found = true;
        }
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return bytes;
}

size_t rc_tls_identity(const struct rc_tls_conn *conn, char *text, size_t capacity)
{
    if (conn->ssl == NULL) {
        const size_t bytes = conn->identity == NULL ? 0 : strlen(conn->identity);
        if (bytes == 0 || bytes > capacity) {
            return 0;
        }
        memcpy(text, conn->identity, bytes);
        return bytes;
    }
    X509 *certificate = SSL_get0_peer_certificate(conn->ssl);
    if (certificate == NULL || SSL_get_verify_result(conn->ssl) != X509_V_OK) {
        return 0;
    }
    const X509_NAME *subject = X509_get_subject_name(certificate);
    const int first = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (first < 0) {
        return identity_alternative(certificate, text, capacity);
    }
    if (X509_NAME_get_index_by_NID(subject, NID_commonName, first) >= 0) {
        return 0; /* two common names: which of them did the authority check? */
    }
    return identity_copy(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, first)), text, capacity);
}
