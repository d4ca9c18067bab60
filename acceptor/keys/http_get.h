/*
 * http_get: one GET over HTTP/1.1 (RFC 9112), with or without TLS, for the child of a fetch. It waits.
 *
 * Redirects are not followed: keys come from where the operator said. Certificates are checked, names too (RFC 9525).
 */
#ifndef RC_ACCEPTOR_KEYS_HTTP_GET_H
#define RC_ACCEPTOR_KEYS_HTTP_GET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/identity/jwks_url.h"
#include "common/identity/sources.h"

struct rc_http_body {
    uint32_t max_age_s; /* RC_HTTP_NO_AGE: it says nothing; 0: not to be kept */
    size_t count;
    uint8_t bytes[RC_JWKS_BYTES_MAX];
};

#define RC_HTTP_NO_AGE UINT32_MAX

/* `ca_file` "": the system's authorities. `insecure`: without TLS to any address, not only to this machine's. 0 when the answer is 200 and
 * complete, else negative errno with `err`. */
int rc_http_get(const struct rc_jwks_url *url, const char *ca_file, bool insecure, uint32_t timeout_ms,
                struct rc_http_body *body, struct rc_err *err);

#endif
