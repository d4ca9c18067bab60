/*
 * context: one certificate file as OpenSSL wants it, with the protocol settings that all listeners share.
 *
 * Workers build their contexts with it, and the acceptor builds the same ones, only to see that they can be built: what it
 * accepted, workers can load. An SSL_CTX belongs to its caller. What fails is a file: one sentence that names key and file.
 */
#ifndef RC_COMMON_TLS_CONTEXT_H
#define RC_COMMON_TLS_CONTEXT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/values.h"
#include "common/base/err.h"

#define RC_TLS_TICKET_KEYS_BYTES 80u

/* A context for the PEM file `file` (certificate, its chain and its key, in this order or any other), with the OCSP response in
 * `file`.ocsp if there is one. `ticket_keys`
 * (RC_TLS_TICKET_KEYS_BYTES): the same in all workers, so that a session resumes on any; NULL: none. -EINVAL, -EACCES ... */
int rc_tls_context_open(SSL_CTX **context, const struct rc_config_tls *config, const char *file,
                        const uint8_t *ticket_keys, struct rc_err *err);

/* A context for connections to others, who are verified by the authorities of the PEM file `ca`, or the system's when it is "". -EINVAL
 * with a sentence that names `key`. */
int rc_tls_client_context_open(SSL_CTX **context, const char *key, const char *ca, struct rc_err *err);

/* At a reload: where `ca` is a file, what it holds now counts for the next connections; the former context stays where that cannot be used. */
int rc_tls_client_context_renew(SSL_CTX **context, const char *key, const char *ca, struct rc_err *err);

/* Could the authorities of every [[backend]] with an https URL be read now, by this user? */
int rc_tls_backends_check(const struct rc_config *config, struct rc_err *err);

/* Is `file`, which the configuration's `key` names, a file that this user may read? Negative with what to do. */
int rc_tls_file_readable(const char *key, const char *file, struct rc_err *err);

/* When a certificate (NULL: none) expires, in seconds since 1970; 0 = it does not say so. */
int64_t rc_tls_not_after_of(const X509 *certificate);
/* The same of the first certificate in a PEM file's bytes, which is whose the file is, or of the one of `all` in it that expires first, as a
 * file of authorities is good for as long as each of them; 0 = there is none. */
int64_t rc_tls_not_after_in(const void *pem, size_t bytes, bool all);
/* Of the authorities that a context (NULL: none) verifies by: when the first of them expires; 0 = it has none of its own. */
int64_t rc_tls_authorities_not_after_of(const SSL_CTX *context);

/* Could every file of `config` be used now, by this user? */
int rc_tls_context_check(const struct rc_config_tls *config, struct rc_err *err);

#endif
