/* pkey: see pkey.h. */
#include "common/identity/pkey.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/check.h"
#include "common/identity/material.h"

#define COORDINATE_BYTES_MAX 66u /* P-521 */
#define EXPONENT_BITS_MAX 64     /* OpenSSL's own bound for large moduli: a larger one only makes checking slow */

static const struct {
    const char *group; /* OpenSSL's name */
    enum rc_jwt_key_type type;
    uint32_t bytes; /* of a coordinate */
} curves[] = {
    {"prime256v1", RC_JWT_KEY_P256, 32},
    {"secp384r1", RC_JWT_KEY_P384, 48},
    {"secp521r1", RC_JWT_KEY_P521, 66},
};

static int rsa_check(const EVP_PKEY *key, struct rc_err *err)
{
    BIGNUM *exponent = NULL;
    const int bits = EVP_PKEY_get_bits(key);
    if (bits < RC_JWT_RSA_BITS_MIN || bits > RC_JWT_RSA_BITS_MAX) {
        return rc_err_set(err, -EINVAL, "an RSA key of %d bits: %d to %d are taken", bits, RC_JWT_RSA_BITS_MIN,
                          RC_JWT_RSA_BITS_MAX);
    }
    /* With an exponent of 1 everybody can sign. */
    const bool good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 && BN_is_odd(exponent) &&
                      !BN_is_one(exponent) && BN_num_bits(exponent) <= EXPONENT_BITS_MAX;
    BN_free(exponent);
    return good ? 0
                : rc_err_set(err, -EINVAL, "an RSA key with an exponent that is not odd, 3 or more, and below 2^64");
}

static int ec_check(const EVP_PKEY *key, enum rc_jwt_key_type *type, struct rc_err *err)
{
    char group[32] = "";
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) != 1) {
        return rc_err_set(err, -EINVAL, "an elliptic-curve key without a named curve");
    }
    for (size_t i = 0; i < RC_ARRAY_COUNT(curves); i++) {
        if (strcmp(group, curves[i].group) == 0) {
            *type = curves[i].type;
            return 0;
        }
    }
    return rc_err_set(err, -EINVAL, "an elliptic-curve key on %s: P-256, P-384, P-521 and Ed25519 are known", group);
}

int rc_pkey_type(const EVP_PKEY *key, enum rc_jwt_key_type *type, struct rc_err *err)
{
    int rc = 0;
    if (EVP_PKEY_is_a(key, "RSA")) {
        *type = RC_JWT_KEY_RSA;
        rc = rsa_check(key, err);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        rc = ec_check(key, type, err);
    } else if (EVP_PKEY_is_a(key, "ED25519")) {
        *type = RC_JWT_KEY_ED25519;
    } else {
        const char *name = EVP_PKEY_get0_type_name(key);
        rc = rc_err_set(err, -EINVAL, "a key of type %s: RSA, EC and Ed25519 are known",
                        name != NULL ? name : "unknown");
    }
    ERR_clear_error();
    return rc;
}

EVP_PKEY *rc_pkey_read(struct rc_span der, enum rc_jwt_key_type *type, struct rc_err *err)
{
    const unsigned char *at = der.bytes;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)der.count);
    if (key == NULL || at != der.bytes + der.count) {
        (void)rc_err_set(err, -EINVAL, "not a public key");
        EVP_PKEY_free(key);
        key = NULL;
    } else if (rc_pkey_type(key, type, err) < 0) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

int rc_pkey_write(const EVP_PKEY *key, uint8_t **bytes, struct rc_span *der, struct rc_err *err)
{
    *bytes = NULL;
    const int count = i2d_PUBKEY(key, bytes);
    ERR_clear_error();
    if (count <= 0) {
        return rc_err_set(err, -ENOMEM, "a public key cannot be written (no memory?)");
    }
    *der = rc_span_of(*bytes, (size_t)count);
    return 0;
}

static EVP_PKEY *from_params(const char *algorithm, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, algorithm, NULL);
    if (context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    return key;
}

EVP_PKEY *rc_pkey_rsa(struct rc_span modulus, struct rc_span exponent)
{
    EVP_PKEY *key = NULL;
    if (modulus.count == 0 || modulus.count > RC_JWT_RSA_BITS_MAX / 8 || exponent.count == 0 ||
        exponent.count > EXPONENT_BITS_MAX / 8) {
        return NULL;
    }
    BIGNUM *n = BN_bin2bn(modulus.bytes, (int)modulus.count, NULL);
    BIGNUM *e = BN_bin2bn(exponent.bytes, (int)exponent.count, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (n != NULL && e != NULL && build != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
        params = OSSL_PARAM_BLD_to_param(build);
    }
    if (params != NULL) {
        key = from_params("RSA", params);
    }
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    BN_free(e);
    BN_free(n);
    ERR_clear_error();
    return key;
}

EVP_PKEY *rc_pkey_ec(enum rc_jwt_key_type type, struct rc_span x, struct rc_span y)
{
    uint8_t point[1 + 2 * COORDINATE_BYTES_MAX];
    char group[16];
    EVP_PKEY *key = NULL;
    for (size_t i = 0; i < RC_ARRAY_COUNT(curves); i++) {
        /* RFC 7518 section 6.2.1.2: the full size, leading zeros included. */
        if (curves[i].type != type || x.count != curves[i].bytes || y.count != curves[i].bytes) {
            continue;
        }
        point[0] = POINT_CONVERSION_UNCOMPRESSED;
        memcpy(point + 1, x.bytes, x.count);
        memcpy(point + 1 + x.count, y.bytes, y.count);
        memcpy(group, curves[i].group, strlen(curves[i].group) + 1);
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
            OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x.count + y.count),
            OSSL_PARAM_construct_end(),
        };
        key = from_params("EC", params); /* refuses a point that is not on the curve */
    }
    ERR_clear_error();
    return key;
}

EVP_PKEY *rc_pkey_ed25519(struct rc_span x)
{
    EVP_PKEY *key = x.count == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.bytes, x.count) : NULL;
    ERR_clear_error();
    return key;
}
