/*
 * identity: what an [[identity]] row of kind "jwt" says, as plain memory without pointers. Part of the shared configuration.
 *
 * The members are those of config.def's keys of the same names. The files and the URL are read by the acceptor alone
 * (common/identity/material.h); what workers check signatures with is in the keys' segment (common/identity/key_board.h).
 */
#ifndef RC_COMMON_CONFIG_IDENTITY_H
#define RC_COMMON_CONFIG_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/config/values.h"

#define RC_CONFIG_IDENTITIES_MAX 8 /* [[identity]] tables */

struct rc_identity_jwt {
    struct rc_config_text secret;      /* TEXT: HMAC, its bytes as they stand; "" = none */
    struct rc_config_text secret_file; /* TEXT(PATH of a file): the same, without line breaks at its end */
    struct rc_config_list key_file;    /* LIST: PEM public keys and certificates */
    struct rc_config_text jwks_file;   /* TEXT: RFC 7517, a JWK Set or one JWK */
    struct rc_config_text jwks_url;    /* TEXT: https://…, or http:// on loopback */
    struct rc_config_text jwks_ca;     /* TEXT: PEM of the authorities of jwks_url; "" = the system's */
    uint64_t jwks_refresh_ms; /* DURATION "1h", 1m to 24h: how old keys of jwks_url become; less by Cache-Control */
    bool jwks_insecure;       /* BOOL false: http:// to other machines too */
    struct rc_config_list algorithms; /* LIST: "RS256", …; none = those that fit the keys */
    struct rc_config_list issuer;     /* LIST: `iss` must be one of them; none = it is not looked at */
    struct rc_config_list audience;   /* LIST: `aud` must be, or have, one of them; none = it is not looked at */
    uint64_t leeway_ms;               /* DURATION "60s", 0 to 10m */
    bool require_exp;                 /* BOOL true */
};

/* What must hold across the keys of a row, apart from what is in files. -EINVAL with the remedy in `err`. */
int rc_identity_jwt_check(const struct rc_identity_jwt *jwt, struct rc_err *err);

#endif
