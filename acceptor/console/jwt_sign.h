/*
 * jwt_sign: makes tokens, for `ringcast token make` and tests. RFC 7515 section 5.1, compact serialization.
 *
 * Nothing is kept; keys are borrowed. It signs what it is told to: whether header and claims make sense is the caller's matter.
 */
#ifndef RC_ACCEPTOR_CONSOLE_JWT_SIGN_H
#define RC_ACCEPTOR_CONSOLE_JWT_SIGN_H

#include <openssl/types.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/identity/jwt_alg.h"

/* What signs: a private key, or with NULL a secret. */
struct rc_jwt_signer {
    EVP_PKEY *pkey;
    struct rc_span secret;
};

/* Writes a token of these two JSON texts, with a NUL behind it. Its bytes; -EMSGSIZE: more than `room`; -EINVAL: the key is not of the
 * algorithm's type, or cannot sign. */
int64_t rc_jwt_sign(enum rc_jwt_alg alg, const struct rc_jwt_signer *signer, struct rc_span header,
                    struct rc_span claims, char *out, size_t room);

#endif
