/*
 * material: a set of keys that verify tokens, in a form of our own: bytes without pointers, which processes hand to each other.
 *
 * It is made of secrets, PEM (RFC 7468) public keys and certificates, and JWK Sets (RFC 7517), which are checked here, so that
 * those who verify never parse what others wrote. A public key is its SubjectPublicKeyInfo (RFC 5280), a secret its bytes.
 * Private keys are refused: who verifies needs none. Refused too: RSA below 2048 bits, secrets below RC_JWT_SECRET_BYTES_MIN.
 *
 * Owned by its caller; a set that holds secrets is wiped by rc_jwt_material_clear.
 */
#ifndef RC_COMMON_IDENTITY_MATERIAL_H
#define RC_COMMON_IDENTITY_MATERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/identity.h"
#include "common/identity/jwt_alg.h"

#define RC_JWT_KEYS_MAX 32u
#define RC_JWT_KID_BYTES_MAX 256u
#define RC_JWT_SECRET_BYTES_MIN 32u /* RFC 7518 section 3.2, for HS256; more is not asked for the longer ones */
#define RC_JWT_SECRET_BYTES_MAX 1024u
#define RC_JWT_RSA_BITS_MIN 2048
#define RC_JWT_RSA_BITS_MAX 8192
#define RC_JWT_MATERIAL_BYTES (40u * 1024u)
#define RC_JWKS_BYTES_MAX (256u * 1024u) /* of a file or an answer */

struct rc_jwt_material {
    uint32_t count; /* keys */
    uint32_t bytes; /* in use */
    uint8_t data[RC_JWT_MATERIAL_BYTES];
};

/* One key of a set. Borrowed from it. */
struct rc_jwt_key {
    enum rc_jwt_key_type type;
    uint32_t algs;      /* RC_JWT_ALG_BIT, of its type; fewer when its JWK names one */
    struct rc_span kid; /* of count 0: none */
    struct rc_span key; /* the secret, or DER */
};

void rc_jwt_material_clear(struct rc_jwt_material *material);

/* Adds keys. 0; -EINVAL: not one, or one that is refused; -ENOSPC: too many. `err` says what is wrong, never bytes of it. */
int rc_jwt_material_add_secret(struct rc_jwt_material *material, struct rc_span secret, struct rc_err *err);
/* All blocks of a PEM text; at least one. */
int rc_jwt_material_add_pem(struct rc_jwt_material *material, struct rc_span text, struct rc_err *err);
/* A JWK Set, or one JWK. `foreign`: from elsewhere: keys that are not for us (of unknown types, not for signatures, secrets,
 * with private members) are left out, as RFC 7517 section 5 has it; from a file of the operator they are errors, but for
 * those of unknown types or uses. At least one must be left. */
int rc_jwt_material_add_jwks(struct rc_jwt_material *material, struct rc_span text, bool foreign, struct rc_err *err);

/* What a row names but for its URL: secret, files. The files are read with the rights of the caller. */
int rc_jwt_material_load(struct rc_jwt_material *material, const struct rc_identity_jwt *jwt, struct rc_err *err);

/* Walks a set, which may be anything: start with *at = 0. 1: given; 0: the end; -EBADMSG: it is no set. */
int rc_jwt_material_next(const struct rc_jwt_material *material, uint32_t *at, struct rc_jwt_key *key);

bool rc_jwt_material_equal(const struct rc_jwt_material *a, const struct rc_jwt_material *b);

#endif
