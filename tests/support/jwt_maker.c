/* jwt_maker: see jwt_maker.h. */
#include "tests/support/jwt_maker.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "acceptor/console/jwt_sign.h"
#include "common/base/check.h"
#include "common/identity/pkey.h"

EVP_PKEY *jwt_maker_key(enum rc_jwt_key_type type)
{
    static EVP_PKEY *keys[RC_JWT_KEY_TYPE_COUNT];
    RC_ASSERT(type < RC_JWT_KEY_TYPE_COUNT);
    if (type != RC_JWT_KEY_SECRET && keys[type] == NULL) {
        keys[type] = type == RC_JWT_KEY_RSA       ? EVP_RSA_gen(2048)
                     : type == RC_JWT_KEY_P256    ? EVP_EC_gen("P-256")
                     : type == RC_JWT_KEY_P384    ? EVP_EC_gen("P-384")
                     : type == RC_JWT_KEY_P521    ? EVP_EC_gen("P-521")
                     : type == RC_JWT_KEY_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                                  : NULL;
        RC_ASSERT(keys[type] != NULL);
    }
    return keys[type];
}

void jwt_maker_add(struct rc_jwt_material *material, enum rc_jwt_key_type type, const char *kid)
{
    struct rc_jwt_key key = {.type = type, .algs = rc_jwt_algs_of(type), .kid = rc_span_text(kid)};
    uint8_t *bytes = NULL;
    if (type == RC_JWT_KEY_SECRET) {
        key.key = RC_SPAN(JWT_MAKER_SECRET);
    } else {
        RC_ASSERT(rc_pkey_write(jwt_maker_key(type), &bytes, &key.key, NULL) == 0);
    }
    RC_ASSERT(rc_jwt_material_append(material, &key, NULL) == 0);
    OPENSSL_free(bytes);
}

const char *jwt_maker_sign(enum rc_jwt_alg alg, EVP_PKEY *key, struct rc_span secret, const char *header,
                           const char *claims)
{
    static char token[64 * 1024];
    char plain[64];
    const struct rc_jwt_signer signer = {.pkey = key, .secret = secret};
    (void)snprintf(plain, sizeof(plain), "{\"alg\":\"%s\"}", rc_jwt_algs[alg].name);
    RC_ASSERT(rc_jwt_sign(alg, &signer, rc_span_text(header != NULL ? header : plain), rc_span_text(claims), token,
                          sizeof(token)) > 0);
    return token;
}

const char *jwt_maker_token(enum rc_jwt_alg alg, const char *header, const char *claims)
{
    return jwt_maker_sign(alg, jwt_maker_key(rc_jwt_algs[alg].key), RC_SPAN(JWT_MAKER_SECRET), header, claims);
}

const char *jwt_maker_pem(EVP_PKEY *key, bool with_private)
{
    static char text[8192];
    BIO *bio = BIO_new(BIO_s_mem());
    RC_ASSERT(bio != NULL);
    RC_ASSERT((with_private ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                            : PEM_write_bio_PUBKEY(bio, key)) == 1);
    const int bytes = BIO_read(bio, text, sizeof(text) - 1);
    RC_ASSERT(bytes > 0);
    text[bytes] = '\0';
    BIO_free(bio);
    return text;
}
