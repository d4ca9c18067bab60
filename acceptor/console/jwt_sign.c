/* jwt_sign: see jwt_sign.h. */
#include "acceptor/console/jwt_sign.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdbool.h>

#include "common/identity/material.h"
#include "common/identity/pkey.h"
#include "common/text/base64.h"

#define SIGNATURE_BYTES_MAX (RC_JWT_RSA_BITS_MAX / 8)
#define ENCODED_BYTES(count) (((count)*4 + 2) / 3)

/* RFC 7518 section 3.4: from DER to R and S of full size, in place. */
static bool ecdsa_raw(uint32_t half_bytes, uint8_t *signature, size_t *bytes)
{
    const unsigned char *at = signature;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)*bytes);
    const bool good = pair != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, (int)half_bytes) >= 0 &&
                      BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + half_bytes, (int)half_bytes) >= 0;
    ECDSA_SIG_free(pair);
    *bytes = 2 * (size_t)half_bytes;
    return good;
}

static bool public_sign(const struct rc_jwt_alg_row *alg, EVP_PKEY *key, struct rc_span text, uint8_t *signature,
                        size_t *bytes)
{
    EVP_PKEY_CTX *settings = NULL; /* the context's */
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && EVP_DigestSignInit_ex(context, &settings, alg->digest, NULL, NULL, key, NULL) == 1;
    if (good && alg->pss) {
        good = EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    good = good && EVP_DigestSign(context, signature, bytes, text.bytes, text.count) == 1;
    EVP_MD_CTX_free(context);
    return good && (alg->half_bytes == 0 || ecdsa_raw(alg->half_bytes, signature, bytes));
}

static int signature_make(const struct rc_jwt_alg_row *alg, const struct rc_jwt_signer *signer, struct rc_span text,
                          uint8_t *signature, size_t *bytes)
{
    enum rc_jwt_key_type type = RC_JWT_KEY_SECRET;
    bool good = false;
    if (signer->pkey != NULL && rc_pkey_type(signer->pkey, &type, NULL) < 0) {
        return -EINVAL;
    }
    if (type == alg->key) {
        good = type == RC_JWT_KEY_SECRET
                   ? EVP_Q_mac(NULL, "HMAC", NULL, alg->digest, NULL, signer->secret.bytes, signer->secret.count,
                               text.bytes, text.count, signature, SIGNATURE_BYTES_MAX, bytes) != NULL
                   : public_sign(alg, signer->pkey, text, signature, bytes);
    }
    ERR_clear_error();
    return good ? 0 : -EINVAL;
}

int64_t rc_jwt_sign(enum rc_jwt_alg alg, const struct rc_jwt_signer *signer, struct rc_span header,
                    struct rc_span claims, char *out, size_t room)
{
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t bytes = sizeof(signature);
    const size_t signed_bytes = ENCODED_BYTES(header.count) + 1 + ENCODED_BYTES(claims.count);
    if (signed_bytes + 1 + ENCODED_BYTES(sizeof(signature)) + 1 > room) {
        return -EMSGSIZE;
    }
    size_t at = rc_base64url_encode(out, header.bytes, header.count);
    out[at++] = '.';
    at += rc_base64url_encode(out + at, claims.bytes, claims.count);
    const int rc = signature_make(&rc_jwt_algs[alg], signer, rc_span_of(out, at), signature, &bytes);
    if (rc < 0) {
        return rc;
    }
    out[at++] = '.';
    at += rc_base64url_encode(out + at, signature, bytes);
    out[at] = '\0';
    return (int64_t)at;
}
