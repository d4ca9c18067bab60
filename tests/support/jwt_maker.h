/*
 * jwt_maker: keys of every type, made on the spot, and tokens signed with them, for tests of those who verify.
 *
 * What cannot be made ends the process: it is not what a test is about.
 */
#ifndef RC_TESTS_SUPPORT_JWT_MAKER_H
#define RC_TESTS_SUPPORT_JWT_MAKER_H

#include <openssl/types.h>

#include "common/identity/jwt.h"

#define JWT_MAKER_SECRET "a secret of tests with 32 bytes!"

/* The private key of a type, one for each process; NULL: RC_JWT_KEY_SECRET, whose secret is the one above. */
EVP_PKEY *jwt_maker_key(enum rc_jwt_key_type type);
/* Adds what verifies its tokens; `kid` NULL: without a name. */
void jwt_maker_add(struct rc_jwt_material *material, enum rc_jwt_key_type type, const char *kid);
/* A token by the key of the algorithm's type. `header` NULL: {"alg":"…"}. Static, until the next call. */
const char *jwt_maker_token(enum rc_jwt_alg alg, const char *header, const char *claims);
/* The same by any key. */
const char *jwt_maker_sign(enum rc_jwt_alg alg, EVP_PKEY *key, struct rc_span secret, const char *header,
                           const char *claims);
/* A PEM text of its public or (`with_private`) private key. Static, until the next call. */
const char *jwt_maker_pem(EVP_PKEY *key, bool with_private);

#endif
