/* context: see context.h. */
#include "common/tls/context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/tls/staple.h"

#define SESSION_SECONDS 7200 /* a ticket is good for: RFC 8446 allows seven days */

/* Of what OpenSSL noted last, which is the nearest to what we asked for. */
static int context_error(struct rc_err *err, const char *key, const char *what, const char *file)
{
    const unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    ERR_clear_error();
    return rc_err_set(err, -EINVAL, "%s: %s: %s%s%s", key, file, what, reason != NULL ? ": " : "",
                      reason != NULL ? reason : "");
}

/* OpenSSL's words for a file that is not there, or is a folder, help nobody. */
int rc_tls_file_readable(const char *key, const char *file, struct rc_err *err)
{
    struct stat its;
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const int error = errno;
        return rc_err_set(err, -error, "%s: cannot read %s: %s%s", key, file, strerror(error),
                          error == EACCES ? " (it must be readable by the user of the workers, server.user)" : "");
    }
    const bool regular = fstat(fd, &its) == 0 && S_ISREG(its.st_mode);
    close(fd);
    return regular ? 0 : rc_err_set(err, -EINVAL, "%s: %s is not a file", key, file);
}

/* A key with a passphrase would make OpenSSL ask for it on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    if (context != NULL) {
        *(bool *)context = true; /* asked for */
    }
    return -1;
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

/* A session that was made under other rules for client certificates must not be resumed: its certificate would never be
 * looked at again. So the rules, authorities included, are part of the sessions' context. */
static int context_session(SSL_CTX *context, const struct rc_config_tls *config, const STACK_OF(X509_NAME) * names)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int bytes = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool good = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(hash, config->client_required ? "required" : "optional", 8) == 1;
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context));
    for (int i = 0; good && names != NULL && i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        unsigned char fingerprint[EVP_MAX_MD_SIZE];
        unsigned int fingerprint_bytes = 0;
        good = authority == NULL || /* a revocation list */
               (X509_digest(authority, EVP_sha256(), fingerprint, &fingerprint_bytes) == 1 &&
                EVP_DigestUpdate(hash, fingerprint, fingerprint_bytes) == 1);
    }
    good = good && EVP_DigestFinal_ex(hash, digest, &bytes) == 1 && bytes <= SSL_MAX_SID_CTX_LENGTH &&
           SSL_CTX_set_session_id_context(context, digest, bytes) == 1;
    EVP_MD_CTX_free(hash);
    return good ? 0 : -EINVAL;
}

static int context_clients(SSL_CTX *context, const struct rc_config_tls *config, struct rc_err *err)
{
    const char *file = config->client_ca.text;
    STACK_OF(X509_NAME) *names = NULL;
    if (file[0] != 0) {
        const int rc = rc_tls_file_readable("tls.client_ca", file, err);
        if (rc < 0) {
            return rc;
        }
        names = SSL_load_client_CA_file(file);
        if (names == NULL || SSL_CTX_load_verify_file(context, file) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            return context_error(err, "tls.client_ca", "no certificates of authorities can be read from it", file);
        }
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (config->client_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                           NULL);
    }
    const int rc = context_session(context, config, names);
    if (names != NULL) {
        SSL_CTX_set_client_CA_list(context, names);
    }
    return rc < 0 ? context_error(err, "tls.client_ca", "OpenSSL refuses the session settings", file) : 0;
}

static int context_certificate(SSL_CTX *context, const char *file, struct rc_err *err)
{
    static const char key[] = "tls.certificates";
    int rc = rc_tls_file_readable(key, file, err);
    if (rc < 0) {
        return rc;
    }
    if (SSL_CTX_use_certificate_chain_file(context, file) != 1) {
        return context_error(err, key, "no certificate chain can be read from it", file);
    }
    bool asked = false;
    SSL_CTX_set_default_passwd_cb_userdata(context, &asked);
    const bool good = SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    const unsigned long code = ERR_peek_error();
    const bool foreign = ERR_GET_LIB(code) == ERR_LIB_X509 && (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH ||
                                                               ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH);
    ERR_clear_error(); /* what it says of keys ("PEM lib") helps nobody */
    if (!good && asked) {
        return context_error(err, key, "its private key has a passphrase, which nobody could type in: store it without",
                             file);
    }
    if (!good && !foreign) {
        return context_error(
            err, key, "no private key can be read from it (certificate, chain and key are all in one file)", file);
    }
    if (!good || SSL_CTX_check_private_key(context) != 1) {
        ERR_clear_error();
        return context_error(err, key, "its private key does not belong to its first certificate", file);
    }
    return 0;
}

static void context_protocol(SSL_CTX *context, const struct rc_config_tls *config)
{
    SSL_CTX_set_min_proto_version(context, config->min_version == RC_TLS_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    /* No partial writes: a client may have negotiated tiny records (RFC 6066 4), and a write is then several of them. */
    SSL_CTX_clear_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets: no state of ours */
    SSL_CTX_set_timeout(context, SESSION_SECONDS);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_alpn_select_cb(context, choose_alpn, NULL);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
}

static int context_fill(SSL_CTX *context, const struct rc_config_tls *config, const char *file,
                        const uint8_t *ticket_keys, struct rc_err *err)
{
    context_protocol(context, config);
    if (ticket_keys != NULL) {
        uint8_t keys[RC_TLS_TICKET_KEYS_BYTES];
        memcpy(keys, ticket_keys, sizeof(keys));
        const long set = SSL_CTX_set_tlsext_ticket_keys(context, keys, sizeof(keys));
        OPENSSL_cleanse(keys, sizeof(keys));
        if (set != 1) {
            return context_error(err, "tls.certificates", "OpenSSL refuses the ticket keys", file);
        }
    }
    /* Forward secrecy and authenticated encryption only, for TLS 1.2; 1.3 has nothing else. */
    if (SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1) {
        return context_error(err, "tls.certificates", "OpenSSL has none of the ciphers", file);
    }
    int rc = context_certificate(context, file, err);
    if (rc == 0) {
        rc = rc_tls_staple_load(context, file, err);
    }
    return rc < 0 ? rc : context_clients(context, config, err);
}

int rc_tls_context_open(SSL_CTX **out, const struct rc_config_tls *config, const char *file, const uint8_t *ticket_keys,
                        struct rc_err *err)
{
    ERR_clear_error();
    *out = NULL;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return context_error(err, "tls.certificates", "OpenSSL makes no context", file);
    }
    const int rc = context_fill(context, config, file, ticket_keys, err);
    if (rc < 0) {
        SSL_CTX_free(context);
        return rc;
    }
    *out = context;
    return 0;
}

int64_t rc_tls_not_after_of(const X509 *certificate)
{
    struct tm at = {0};
    return certificate != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &at) == 1 ? (int64_t)timegm(&at) : 0;
}

/* 0 = it says nothing of it. */
static int64_t sooner_of(int64_t one_s, int64_t other_s)
{
    return one_s == 0 || (other_s != 0 && other_s < one_s) ? other_s : one_s;
}

int64_t rc_tls_not_after_in(const void *pem, size_t bytes, bool all)
{
    bool asked = false;
    BIO *source = bytes <= INT_MAX ? BIO_new_mem_buf(pem, (int)bytes) : NULL;
    int64_t not_after_s = 0;
    X509 *certificate;
    do {
        certificate = source != NULL ? PEM_read_bio_X509(source, NULL, no_passphrase, &asked) : NULL;
        not_after_s = sooner_of(not_after_s, rc_tls_not_after_of(certificate));
        X509_free(certificate);
    } while (all && certificate != NULL);
    BIO_free(source);
    ERR_clear_error();
    return not_after_s;
}

int64_t rc_tls_authorities_not_after_of(const SSL_CTX *context)
{
    STACK_OF(X509_OBJECT) *objects = context != NULL ? X509_STORE_get0_objects(SSL_CTX_get_cert_store(context)) : NULL;
    int64_t not_after_s = 0;
    for (int i = 0; objects != NULL && i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i)); /* NULL: a revocation list */
        not_after_s = sooner_of(not_after_s, rc_tls_not_after_of(authority));
    }
    return not_after_s;
}

int rc_tls_context_check(const struct rc_config_tls *config, struct rc_err *err)
{
    for (uint32_t i = 0; i < config->certificates.count; i++) {
        SSL_CTX *context;
        const int rc = rc_tls_context_open(&context, config, config->certificates.items[i].text, NULL, err);
        if (rc < 0) {
            return rc;
        }
        SSL_CTX_free(context);
    }
    return 0;
}

int rc_tls_client_context_open(SSL_CTX **out, const char *key, const char *ca, struct rc_err *err)
{
    static const unsigned char ours[] = "\x08http/1.1";
    *out = NULL;
    if (ca[0] != '\0') {
        const int rc = rc_tls_file_readable(key, ca, err);
        if (rc < 0) {
            return rc;
        }
    }
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(context, ours, sizeof(ours) - 1) != 0) {
        SSL_CTX_free(context);
        return context_error(err, key, "OpenSSL makes no context", ca);
    }
    if (ca[0] != '\0' ? SSL_CTX_load_verify_file(context, ca) != 1 : SSL_CTX_set_default_verify_paths(context) != 1) {
        SSL_CTX_free(context);
        return context_error(err, key, "no certificates of authorities can be read from it", ca);
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_clear_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    *out = context;
    return 0;
}

int rc_tls_client_context_renew(SSL_CTX **context, const char *key, const char *ca, struct rc_err *err)
{
    SSL_CTX *next;
    if (*context == NULL || ca[0] == '\0') {
        return 0;
    }
    const int rc = rc_tls_client_context_open(&next, key, ca, err);
    if (rc == 0) {
        SSL_CTX_free(*context); /* connections that have it hold it */
        *context = next;
    }
    return rc;
}

int rc_tls_backends_check(const struct rc_config *config, struct rc_err *err)
{
    for (uint32_t i = 0; i < config->backend_count; i++) {
        const struct rc_config_backend *backend = &config->backends[i];
        bool wanted = false;
        for (uint32_t url = 0; url < backend->url_count; url++) {
            wanted |= strncmp(backend->urls[url].text, "https://", 8) == 0;
        }
        SSL_CTX *context = NULL;
        const int rc =
            wanted ? rc_tls_client_context_open(&context, "[[backend]] tls_ca", backend->tls_ca.text, err) : 0;
        SSL_CTX_free(context);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}
