/*
 * jwks_url: the address of a JWK Set, taken apart (RFC 3986). Pure; any process may call.
 */
#ifndef RC_COMMON_IDENTITY_JWKS_URL_H
#define RC_COMMON_IDENTITY_JWKS_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/config/values.h"

struct rc_jwks_url {
    bool tls;
    bool literal;                  /* `host` is an address, which needs no look-up */
    char host[RC_CONFIG_TEXT_MAX]; /* a name or an address, without brackets */
    char port[6];
    char target[RC_CONFIG_TEXT_MAX];    /* path and query: of the request's first line */
    char authority[RC_CONFIG_TEXT_MAX]; /* of the header Host */
};

/* `insecure`: http:// to other machines too. -EINVAL with the remedy in `err`. */
int rc_jwks_url_parse(struct rc_jwks_url *url, const char *text, bool insecure, struct rc_err *err);

#endif
