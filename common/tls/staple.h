/*
 * staple: an OCSP response (RFC 6960) that stands in a file beside a certificate and is sent along in handshakes (RFC 6066 8).
 *
 * The response belongs to the SSL_CTX it is attached to, and ends with it. Fetching it is somebody else's work (certbot, cron): no
 * process of ours asks the authority. What fails is a file, with a sentence that names it; one that is not there is no failure.
 */
#ifndef RC_COMMON_TLS_STAPLE_H
#define RC_COMMON_TLS_STAPLE_H

#include <openssl/types.h>
#include <stdint.h>

#include "common/base/err.h"

#define RC_TLS_STAPLE_BYTES_MAX 16384u /* usual are 500 to 2,000 */

/* Attaches the response in `certificate_file`.ocsp (DER), if there is such a file, to a context that has its certificate. It
 * must be a successful response that says "good" of this certificate. Past its next update it is not sent any more. -EINVAL ... */
int rc_tls_staple_load(SSL_CTX *context, const char *certificate_file, struct rc_err *err);

/* The handshake is over: the connection's copy is not needed any more. */
void rc_tls_staple_drop(SSL *ssl);

#endif
