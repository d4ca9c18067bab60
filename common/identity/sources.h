/*
 * sources: what keys come from: secrets, PEM (RFC 7468) public keys and certificates, and JWK Sets (RFC 7517).
 *
 * Keys are checked here, and what is refused never gets into a set: private keys (who verifies needs none), RSA below 2048 bits, secrets
 * below RC_JWT_SECRET_BYTES_MIN bytes. All return 0; -EINVAL: not a key, or one that is refused; -ENOSPC: too many; `err` says what is
 * wrong, never bytes of it. A set may have got some of the keys after a failure.
 */
#ifndef RC_COMMON_IDENTITY_SOURCES_H
#define RC_COMMON_IDENTITY_SOURCES_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/config/values.h"
#include "common/identity/material.h"

#define RC_JWKS_BYTES_MAX (256u * 1024u) /* of a file or an answer */

/* All blocks of a PEM text; at least one. */
int rc_jwt_sources_pem(struct rc_jwt_material *material, struct rc_span text, struct rc_err *err);
/* A JWK Set, or one JWK. `foreign`: from elsewhere: keys that are not for us (of unknown types, not for signatures, secrets,
 * with private members) are left out, as RFC 7517 section 5 has it; from a file of the operator they are errors, but for
 * those of unknown types or uses. At least one must be left. */
int rc_jwt_sources_jwks(struct rc_jwt_material *material, struct rc_span text, bool foreign, struct rc_err *err);

/* What a row names but for its URL: secret, files. The files are read with the rights of the caller. */
int rc_jwt_sources_load(struct rc_jwt_material *material, const struct rc_identity_jwt *jwt, struct rc_err *err);

#endif
