/* tls: see tls.h. */
#include "worker/io/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"

#define TLS_TICKET_KEYS_BYTES 80

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
    bool out_failed; /* no memory for output: the connection must end */
};

struct rc_tls_conn {
    SSL *ssl;
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

static int bio_write(BIO *bio, const char *from, size_t bytes, size_t *count)
{
    struct rc_tls *tls = BIO_get_data(bio);
    if (tls->out_bytes + bytes > tls->out_capacity) {
        size_t capacity = tls->out_capacity == 0 ? 32768 : tls->out_capacity;
        while (capacity < tls->out_bytes + bytes) {
            capacity *= 2;
        }
        uint8_t *larger = realloc(tls->out, capacity);
        if (larger == NULL) {
            tls->out_failed = true;
            return 0;
        }
        tls->out = larger;
        tls->out_capacity = capacity;
    }
    memcpy(tls->out + tls->out_bytes, from, bytes);
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

static int tls_error(struct rc_err *err, const char *what, const char *file)
{
    char reason[256];
    ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
    ERR_clear_error();
    return rc_err_set(err, -EINVAL, "tls.certificates: %s %s: %s", what, file, reason);
}

/* RFC 7301: http/1.1 is all we speak; a client that offers only others gets no_application_protocol. */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *in,
                       unsigned int in_bytes, void *context)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)context;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_bytes, ours, sizeof(ours) - 1, in, in_bytes) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
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

static int context_client_certificates(SSL_CTX *context, const struct rc_config_tls *config, struct rc_err *err)
{
    if (config->client_ca.text[0] == 0) {
        return 0;
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(config->client_ca.text);
    if (names == NULL || SSL_CTX_load_verify_locations(context, config->client_ca.text, NULL) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return tls_error(err, "cannot use the authorities of tls.client_ca", config->client_ca.text);
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (config->client_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                       NULL);
    return 0;
}

static int context_open(struct rc_tls *tls, const struct rc_config_tls *config, const char *file,
                        const uint8_t *ticket_keys, struct rc_err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return tls_error(err, "no context for", file);
    }
    tls->contexts[tls->count++] = context;
    SSL_CTX_set_min_proto_version(context, config->min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets: no state of ours */
    static const unsigned char session_context[] = "ringcast";
    SSL_CTX_set_session_id_context(context, session_context, sizeof(session_context) - 1);
    SSL_CTX_set_num_tickets(context, 1);
    uint8_t keys[TLS_TICKET_KEYS_BYTES];
    memcpy(keys, ticket_keys, sizeof(keys));
    SSL_CTX_set_tlsext_ticket_keys(context, keys, sizeof(keys));
    OPENSSL_cleanse(keys, sizeof(keys));
    SSL_CTX_set_alpn_select_cb(context, choose_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(context, tls);
    /* Forward secrecy and authenticated encryption only, for TLS 1.2; 1.3 has nothing else. */
    if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
        return tls_error(err, "no usable ciphers for", file);
    }
    if (SSL_CTX_use_certificate_chain_file(context, file) != 1) {
        return tls_error(err, "cannot read the certificate chain in", file);
    }
    if (SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM) != 1) {
        return tls_error(err, "cannot read the private key (the same file holds chain and key) in", file);
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        return tls_error(err, "certificate and key do not belong together in", file);
    }
    return context_client_certificates(context, config, err);
}

int rc_tls_open(struct rc_tls **out, const struct rc_config_tls *config, const uint8_t *ticket_keys, struct rc_err *err)
{
    struct rc_tls *tls = calloc(1, sizeof(*tls));
    *out = NULL;
    if (tls == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for TLS");
    }
    tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "ringcast");
    if (tls->method == NULL || BIO_meth_set_read_ex(tls->method, bio_read) != 1 ||
        BIO_meth_set_write_ex(tls->method, bio_write) != 1 || BIO_meth_set_ctrl(tls->method, bio_control) != 1 ||
        (tls->source = bio_new(tls)) == NULL || (tls->sink = bio_new(tls)) == NULL) {
        rc_tls_close(tls);
        return rc_err_set(err, -ENOMEM, "no memory for TLS");
    }
    for (uint32_t i = 0; i < config->certificates.count; i++) {
        const int rc = context_open(tls, config, config->certificates.items[i].text, ticket_keys, err);
        if (rc < 0) {
            rc_tls_close(tls);
            return rc;
        }
    }
    *out = tls;
    return 0;
}

void rc_tls_close(struct rc_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    for (uint32_t i = 0; i < tls->count; i++) {
        SSL_CTX_free(tls->contexts[i]);
    }
    BIO_free(tls->source);
    BIO_free(tls->sink);
    BIO_meth_free(tls->method);
    free(tls->out);
    free(tls);
}

int rc_tls_reload(struct rc_tls *tls, const struct rc_config_tls *config, const uint8_t *ticket_keys,
                  struct rc_err *err)
{
    struct rc_tls fresh = {0};
    for (uint32_t i = 0; i < config->certificates.count; i++) {
        const int rc = context_open(&fresh, config, config->certificates.items[i].text, ticket_keys, err);
        if (rc < 0) {
            for (uint32_t k = 0; k < fresh.count; k++) {
                SSL_CTX_free(fresh.contexts[k]);
            }
            return rc;
        }
    }
    for (uint32_t i = 0; i < tls->count; i++) {
        SSL_CTX_free(tls->contexts[i]); /* connections keep what they were accepted with */
    }
    memcpy(tls->contexts, fresh.contexts, sizeof(tls->contexts));
    tls->count = fresh.count;
    for (uint32_t i = 0; i < tls->count; i++) {
        SSL_CTX_set_tlsext_servername_arg(tls->contexts[i], tls);
    }
    return 0;
}

/* --- connections --- */

struct rc_tls_conn *rc_tls_accept(struct rc_tls *tls)
{
    struct rc_tls_conn *conn = malloc(sizeof(*conn));
    SSL *ssl = conn == NULL ? NULL : SSL_new(tls->contexts[0]);
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
    SSL_set_accept_state(ssl);
    return conn;
}

void rc_tls_free(struct rc_tls_conn *conn)
{
    if (conn != NULL) {
        SSL_free(conn->ssl);
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

enum rc_tls_result rc_tls_read(struct rc_tls *tls, struct rc_tls_conn *conn, uint8_t *plain, size_t capacity,
                               size_t *count)
{
    if (!SSL_is_init_finished(conn->ssl)) {
        const int rc = SSL_do_handshake(conn->ssl);
        if (rc != 1) {
            return tls_judge(tls, conn, rc);
        }
    }
    const int rc = SSL_read_ex(conn->ssl, plain, capacity, count);
    return rc == 1 ? RC_TLS_PLAIN : tls_judge(tls, conn, rc);
}

int rc_tls_write(struct rc_tls *tls, struct rc_tls_conn *conn, const uint8_t *plain, size_t count)
{
    RC_ASSERT_HOT(count <= RC_TLS_RECORD_MAX);
    size_t written = 0;
    tls->in_bytes = 0;
    if (SSL_write_ex(conn->ssl, plain, count, &written) != 1 || written != count || tls->out_failed) {
        ERR_clear_error();
        return -EPROTO;
    }
    return 0;
}

void rc_tls_shutdown(struct rc_tls *tls, struct rc_tls_conn *conn)
{
    tls->in_bytes = 0;
    if (SSL_is_init_finished(conn->ssl)) {
        (void)SSL_shutdown(conn->ssl);
        ERR_clear_error();
    }
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
    return SSL_is_init_finished(conn->ssl) == 1;
}

size_t rc_tls_identity(const struct rc_tls_conn *conn, char *text, size_t capacity)
{
    X509 *certificate = SSL_get0_peer_certificate(conn->ssl);
    if (certificate == NULL || SSL_get_verify_result(conn->ssl) != X509_V_OK) {
        return 0;
    }
    const int bytes =
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text, (int)capacity);
    return bytes > 0 ? (size_t)bytes : 0;
}
