/*
 * jwt_alg: the algorithms of RFC 7518 section 3.1 and RFC 8037 that are spoken, and what each needs. A constant table; any
 * process may call.
 */
#ifndef RC_COMMON_IDENTITY_JWT_ALG_H
#define RC_COMMON_IDENTITY_JWT_ALG_H

#include <stdint.h>

#include "common/base/span.h"

enum rc_jwt_alg {
    RC_JWT_HS256,
    RC_JWT_HS384,
    RC_JWT_HS512,
    RC_JWT_RS256,
    RC_JWT_RS384,
    RC_JWT_RS512,
    RC_JWT_PS256,
    RC_JWT_PS384,
    RC_JWT_PS512,
    RC_JWT_ES256,
    RC_JWT_ES384,
    RC_JWT_ES512,
    RC_JWT_EDDSA, /* Ed25519 */
    RC_JWT_ALG_COUNT
};

#define RC_JWT_ALG_BIT(alg) (UINT32_C(1) << (alg))

/* Types of keys, each with algorithms of its own. */
enum rc_jwt_key_type {
    RC_JWT_KEY_SECRET,
    RC_JWT_KEY_RSA,
    RC_JWT_KEY_P256,
    RC_JWT_KEY_P384,
    RC_JWT_KEY_P521,
    RC_JWT_KEY_ED25519,
    RC_JWT_KEY_TYPE_COUNT
};

struct rc_jwt_alg_row {
    const char *name; /* as in the header: letters count */
    enum rc_jwt_key_type key;
    const char *digest;  /* OpenSSL's name; NULL: the algorithm has its own */
    uint32_t half_bytes; /* ECDSA: of R and of S; else 0 */
    bool pss;
};

extern const struct rc_jwt_alg_row rc_jwt_algs[RC_JWT_ALG_COUNT];

/* By its exact name; RC_JWT_ALG_COUNT: there is none. */
enum rc_jwt_alg rc_jwt_alg_find(struct rc_span name);

/* The algorithms of a type of key, RC_JWT_ALG_BIT of each. */
uint32_t rc_jwt_algs_of(enum rc_jwt_key_type type);

#endif
