/*
 * material: a set of keys that verify tokens, in a form of our own: bytes without pointers, which processes hand to each other.
 *
 * Those who verify never parse what others wrote: that is done once, where a set is made (common/identity/sources.h). A public key is
 * its SubjectPublicKeyInfo (RFC 5280), a secret its bytes.
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
#include "common/config/values.h"
#include "common/identity/jwt_alg.h"

#define RC_JWT_KEYS_MAX 32u
#define RC_JWT_KID_BYTES_MAX 256u
#define RC_JWT_SECRET_BYTES_MIN 32u /* RFC 7518 section 3.2, for HS256; more is not asked for the longer ones */
#define RC_JWT_SECRET_BYTES_MAX 1024u
#define RC_JWT_RSA_BITS_MIN 2048
#define RC_JWT_RSA_BITS_MAX 8192
#define RC_JWT_MATERIAL_BYTES (40u * 1024u)

/* A program of another build goes on with what was fetched: raised when this, or what `data` holds, changes. */
#define RC_MATERIAL_ABI 1u
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

/* Appends a key that was checked. -ENOSPC with `err`. */
int rc_jwt_material_append(struct rc_jwt_material *material, const struct rc_jwt_key *key, struct rc_err *err);

/* May these bytes be a secret? -EINVAL: too short or too long, or the text of a public key (who would check signatures with that lets
 * everybody sign). */
int rc_jwt_secret_check(struct rc_span secret, struct rc_err *err);

/* Adds a secret. 0, -EINVAL, -ENOSPC. */
int rc_jwt_material_add_secret(struct rc_jwt_material *material, struct rc_span secret, struct rc_err *err);
/* Walks a set, which may be anything: start with *at = 0. 1: given; 0: the end; -EBADMSG: it is no set. */
int rc_jwt_material_next(const struct rc_jwt_material *material, uint32_t *at, struct rc_jwt_key *key);

bool rc_jwt_material_equal(const struct rc_jwt_material *a, const struct rc_jwt_material *b);

#endif
