/*
 * jwt: is this JSON Web Token one of an issuer that is trusted, and what does it say?
 *
 * RFC 7515 (JWS, compact serialization), 7518 and 8037 (algorithms), 7519 (claims), 8725 (best practices). Every check is
 * made before the claims are handed out; a key serves only algorithms of its own type, whatever a token's header says.
 *
 * Over OpenSSL's EVP alone. libjwt 1.x, which distributions have, has no EdDSA and no JWK, decides the algorithm by the
 * token's header from one untyped key, and parses the whole payload before it has verified anything; around it nearly all
 * that is here would be needed all the same.
 *
 * Struct rc_jwt_keys is owned by its caller, and by one thread at a time. No call allocates anything that outlives it, but
 * rc_jwt_keys_open. Work is bounded: RC_JWT_TOKEN_BYTES_MAX, RC_JWT_MEMBERS_MAX, RC_JWT_KEYS_MAX.
 */
#ifndef RC_COMMON_IDENTITY_JWT_H
#define RC_COMMON_IDENTITY_JWT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/values.h"
#include "common/identity/jwt_alg.h"
#include "common/identity/material.h"

#define RC_JWT_TOKEN_BYTES_MAX 8192u
#define RC_JWT_CLAIMS_BYTES_MAX (RC_JWT_TOKEN_BYTES_MAX / 4 * 3)
#define RC_JWT_MEMBERS_MAX 128u /* of the header, and of the claims */
#define RC_JWT_FOREVER INT64_MAX

/* Why a token is refused: name, text for logs and counters (stable, lower case), in the order of the checks. */
#define RC_JWT_REFUSALS(X)                                                      \
    X(RC_JWT_GOOD, "good")                                                      \
    X(RC_JWT_EMPTY, "empty")                                                    \
    X(RC_JWT_TOO_LONG, "longer than 8 KiB")                                     \
    X(RC_JWT_ENCRYPTED, "encrypted (JWE)")                                      \
    X(RC_JWT_MALFORMED, "not three parts of base64url")                         \
    X(RC_JWT_HEADER_WRONG, "header is not a JSON object of a token")            \
    X(RC_JWT_HEADER_CRITICAL, "header has crit or b64")                         \
    X(RC_JWT_ALG_NONE, "alg is none")                                           \
    X(RC_JWT_ALG_UNKNOWN, "alg is not known")                                   \
    X(RC_JWT_ALG_REFUSED, "alg is not one of the algorithms that are accepted") \
    X(RC_JWT_NO_KEYS, "no keys are there")                                      \
    X(RC_JWT_KID_UNKNOWN, "no key with that kid")                               \
    X(RC_JWT_KEY_MISSING, "no key for that alg")                                \
    X(RC_JWT_SIGNATURE_WRONG, "signature is wrong")                             \
    X(RC_JWT_CLAIMS_WRONG, "claims are not a JSON object of a token")           \
    X(RC_JWT_EXP_MISSING, "exp is missing")                                     \
    X(RC_JWT_EXPIRED, "expired")                                                \
    X(RC_JWT_TOO_EARLY, "nbf is in the future")                                 \
    X(RC_JWT_FROM_FUTURE, "iat is in the future")                               \
    X(RC_JWT_ISSUER_WRONG, "iss is another issuer")                             \
    X(RC_JWT_AUDIENCE_WRONG, "aud is another audience")

enum rc_jwt_refusal {
#define RC_JWT_REFUSAL_NAME(name, text) name,
    RC_JWT_REFUSALS(RC_JWT_REFUSAL_NAME)
#undef RC_JWT_REFUSAL_NAME
        RC_JWT_REFUSAL_COUNT
};

/* What is asked of a token. Borrows the lists. */
struct rc_jwt_policy {
    uint32_t algs; /* RC_JWT_ALG_BIT of those that are accepted; 0 = all that fit a key */
    bool require_exp;
    int64_t leeway_s;                       /* >= 0, for exp, nbf and iat */
    const struct rc_config_list *issuers;   /* NULL or of count 0: any */
    const struct rc_config_list *audiences; /* NULL or of count 0: any */
};

struct rc_jwt_result {
    enum rc_jwt_refusal refusal; /* RC_JWT_GOOD: what follows holds */
    bool kid_unknown; /* refused or not: the token names a key that is not there: keys may have been rotated */
    enum rc_jwt_alg alg;
    int64_t exp_s; /* seconds since 1970; RC_JWT_FOREVER when it has none */
    int64_t iat_s; /* likewise; 0 when it has none */
    uint32_t claims_bytes;
    uint8_t claims[RC_JWT_CLAIMS_BYTES_MAX]; /* a JSON object, valid UTF-8, no member twice; no NUL behind it */
};

/* Keys as OpenSSL has them. Opaque. */
struct rc_jwt_keys;

/* From a set, which is checked again. -EINVAL with `err` when it is none, -ENOMEM. An empty set is one: RC_JWT_NO_KEYS. */
int rc_jwt_keys_open(struct rc_jwt_keys **keys, const struct rc_jwt_material *material, struct rc_err *err);
void rc_jwt_keys_close(struct rc_jwt_keys *keys); /* NULL is fine */

/* What must hold across the keys of a row, apart from what is in its files. -EINVAL with the remedy in `err`. */
int rc_jwt_policy_check(const struct rc_identity_jwt *jwt, struct rc_err *err);

/* The policy of a row that was checked; borrows its lists. */
struct rc_jwt_policy rc_jwt_policy_of(const struct rc_identity_jwt *jwt);

/* Checks a token at the time `now_s` (seconds since 1970). 0: good, `result` holds the claims; -EACCES: refused, and
 * result->refusal says why. Nothing of `result` but refusal and kid_unknown holds then. */
int rc_jwt_verify(const struct rc_jwt_policy *policy, const struct rc_jwt_keys *keys, struct rc_span token,
                  int64_t now_s, struct rc_jwt_result *result);

/* The text of the table above. Static. */
const char *rc_jwt_refusal_text(enum rc_jwt_refusal refusal);

#endif
