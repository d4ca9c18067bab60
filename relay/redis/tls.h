/*
 * tls: the TLS settings of all connections to Redis (rediss://).
 *
 * One context per link, made at the start, where files that cannot be used are an error, and at each reload, where they leave the former one.
 */
#ifndef RC_RELAY_REDIS_TLS_H
#define RC_RELAY_REDIS_TLS_H

#include <openssl/ssl.h>

#include <hiredis/hiredis.h>

#include "common/config/config.h"
#include "common/base/err.h"

/* A context that verifies the server; NULL with the reason in `err`. Freed with SSL_CTX_free. */
SSL_CTX *rc_redis_tls_open(const struct rc_config_redis *config, struct rc_err *err);

/* Begins TLS on a connected context; the server's certificate must be that of `name`, a host or an address. -ENOMEM, -EPROTO (the reason is
 * OpenSSL's or the context's error). */
int rc_redis_tls_begin(redisContext *redis, SSL_CTX *tls, const char *name);

#endif
