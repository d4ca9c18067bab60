/*
 * pkey: public keys of the types that verify tokens, as OpenSSL has them. Keys that are too weak, or of other types, do not get in:
 * RSA below RC_JWT_RSA_BITS_MIN or above RC_JWT_RSA_BITS_MAX bits or with an exponent of 1, and points that are not on their curve.
 *
 * An EVP_PKEY belongs to who asked for it. Each call leaves OpenSSL's error queue empty.
 */
#ifndef RC_COMMON_IDENTITY_PKEY_H
#define RC_COMMON_IDENTITY_PKEY_H

#include <openssl/types.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/identity/jwt_alg.h"

/* What it is. -EINVAL with the reason when it is none that is taken. */
int rc_pkey_type(const EVP_PKEY *key, enum rc_jwt_key_type *type, struct rc_err *err);

/* From a SubjectPublicKeyInfo, which must end with the span. NULL with `err`. */
EVP_PKEY *rc_pkey_read(struct rc_span der, enum rc_jwt_key_type *type, struct rc_err *err);

/* The other way. `*bytes` is the caller's to give to OPENSSL_free. 0 or -ENOMEM. */
int rc_pkey_write(const EVP_PKEY *key, uint8_t **bytes, struct rc_span *der, struct rc_err *err);

/* From the numbers of a JWK, big-endian (RFC 7518 section 6; RFC 8037 section 2). NULL: they are none. */
EVP_PKEY *rc_pkey_rsa(struct rc_span modulus, struct rc_span exponent);
EVP_PKEY *rc_pkey_ec(enum rc_jwt_key_type type, struct rc_span x, struct rc_span y);
EVP_PKEY *rc_pkey_ed25519(struct rc_span x);

#endif
