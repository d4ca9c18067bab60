/*
 * jwk: JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037) as keys of a set. The way in is rc_jwt_material_add_jwks.
 */
#ifndef RC_COMMON_IDENTITY_JWK_H
#define RC_COMMON_IDENTITY_JWK_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/identity/material.h"

/* What became of a key. */
enum rc_jwk_fate {
    RC_JWK_ADDED,
    RC_JWK_NOT_FOR_US, /* RFC 7517 section 5: of a type, curve, use or algorithm that is not ours: leave it out */
    RC_JWK_WRONG,      /* with `err`: wrong, too weak, private, or (`foreign`) a secret */
    RC_JWK_NO_ROOM,    /* with `err` */
};

enum rc_jwk_fate rc_jwk_add(struct rc_jwt_material *material, struct rc_span text, bool foreign, struct rc_err *err);

#endif
