/*
 * credentials: the parts of a client's request that the configuration names, kept as JSON for who asks later.
 *
 *   {"query":{"token":"…"},"header":{"user-agent":"…"},"cookie":{"connect.sid":"…"},"proxied":true,"certificate":"alice"}
 *
 * The last two are no words of the client's, and there if a table of [[identity]] goes by them.
 * Names are as the configuration writes them (config->handshake_names), values are decoded: query values by percent and "+", cookies by
 * percent where that is possible. Of what is there twice the first counts in a query and in cookies; a header that is there twice is not
 * there: somebody may have written the other one. What is no UTF-8 is not there either. Pure.
 */
#ifndef RC_WORKER_IDENTITY_CREDENTIALS_H
#define RC_WORKER_IDENTITY_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/values.h"
#include "common/text/json_scan.h"
#include "worker/http/parse.h"

#define RC_CREDENTIALS_BYTES_MAX 16384u

/* What the broker itself knows of who sent the request. */
struct rc_credentials_known {
    bool proxied;               /* it came through one of http.trusted_proxies */
    struct rc_span certificate; /* the name in its certificate, verified; empty: it has none */
};

/* Writes them. The bytes, 0: nothing that is named is there; -E2BIG: they do not fit. */
int rc_credentials_of(const struct rc_config *config, const struct rc_http_request *request,
                      const struct rc_credentials_known *known, uint8_t *out, size_t capacity);

/* One of its objects (QUERY, HEADER, COOKIE); empty: there is none. */
struct rc_span rc_credentials_part(struct rc_span credentials, enum rc_event_source source);
bool rc_credentials_proxied(struct rc_span credentials);
/* A string, or none. */
struct rc_json_value rc_credentials_certificate(struct rc_span credentials);

#endif
