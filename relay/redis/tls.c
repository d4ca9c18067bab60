/* tls: see tls.h. */
#include "relay/redis/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <hiredis/hiredis_ssl.h>

#include "common/base/resolve.h"

static SSL_CTX *tls_refuse(SSL_CTX *tls, struct rc_err *err, const char *what, const char *file)
{
    const unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    (void)rc_err_set(err, -EINVAL, "%s \"%s\" cannot be used: %s", what, file, reason != NULL ? reason : "unreadable");
    SSL_CTX_free(tls);
    return NULL;
}

SSL_CTX *rc_redis_tls_open(const struct rc_config_redis *config, struct rc_err *err)
{
    const char *ca = config->tls_ca.text;
    const char *certificate = config->tls_certificate.text;
    const char *key = config->tls_key.text[0] != '\0' ? config->tls_key.text : certificate;
    ERR_clear_error();
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1) {
        return tls_refuse(tls, err, "OpenSSL", "TLS 1.2");
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    /* A server that ends without close_notify is just a lost connection. */
    (void)SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (ca[0] != '\0' ? SSL_CTX_load_verify_file(tls, ca) != 1 : SSL_CTX_set_default_verify_paths(tls) != 1) {
        return tls_refuse(tls, err, "redis.tls_ca", ca);
    }
    if (certificate[0] != '\0' && SSL_CTX_use_certificate_chain_file(tls, certificate) != 1) {
        return tls_refuse(tls, err, "redis.tls_certificate", certificate);
    }
    if (certificate[0] != '\0' &&
        (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(tls) != 1)) {
        return tls_refuse(tls, err, "redis.tls_key", key);
    }
    return tls;
}

int rc_redis_tls_begin(redisContext *redis, SSL_CTX *tls, const char *name)
{
    struct rc_resolved numeric;
    SSL *ssl = SSL_new(tls);
    if (ssl == NULL) {
        return -ENOMEM;
    }
    bool good;
    if (rc_resolve_numeric(name, 1, &numeric)) {
        good = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1; /* SNI carries names only (RFC 6066) */
    } else {
        good = SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
    }
    if (!good || redisInitiateSSL(redis, ssl) != REDIS_OK) {
        SSL_free(ssl);
        return -EPROTO;
    }
    return 0;
}
