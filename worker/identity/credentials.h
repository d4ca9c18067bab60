/*
 * credentials: the parts of a client's request that the configuration names, kept as JSON for who asks later.
 *
 *   {"query":{"token":"…"},"header":{"user-agent":"…"},"cookie":{"connect.sid":"…"}}
 *
 * Names are as the configuration writes them (config->handshake_names), values are decoded: query values by percent and "+", cookies by
 * percent where that is possible. Of what is there twice the first counts in a query and in cookies; a header that is there twice is not
 * there: somebody may have written the other one. What is no UTF-8 is not there either. Pure.
 */
#ifndef RC_WORKER_IDENTITY_CREDENTIALS_H
#define RC_WORKER_IDENTITY_CREDENTIALS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/config/values.h"
#include "worker/http/parse.h"

#define RC_CREDENTIALS_BYTES_MAX 16384u

/* Writes them. The bytes, 0: nothing that is named is there; -E2BIG: they do not fit. */
int rc_credentials_of(const struct rc_config *config, const struct rc_http_request *request, uint8_t *out,
                      size_t capacity);

/* One of its objects (QUERY, HEADER, COOKIE); empty: there is none. */
struct rc_span rc_credentials_part(struct rc_span credentials, enum rc_event_source source);

#endif
