/* jwt_alg: see jwt_alg.h. */
#include "common/identity/jwt_alg.h"

#define ROW(alg_name, type, md, half, probabilistic)                                                    \
    {                                                                                                   \
        .name = (alg_name), .key = (type), .digest = (md), .half_bytes = (half), .pss = (probabilistic) \
    }

const struct rc_jwt_alg_row rc_jwt_algs[RC_JWT_ALG_COUNT] = {
    [RC_JWT_HS256] = ROW("HS256", RC_JWT_KEY_SECRET, "SHA256", 0, false),
    [RC_JWT_HS384] = ROW("HS384", RC_JWT_KEY_SECRET, "SHA384", 0, false),
    [RC_JWT_HS512] = ROW("HS512", RC_JWT_KEY_SECRET, "SHA512", 0, false),
    [RC_JWT_RS256] = ROW("RS256", RC_JWT_KEY_RSA, "SHA256", 0, false),
    [RC_JWT_RS384] = ROW("RS384", RC_JWT_KEY_RSA, "SHA384", 0, false),
    [RC_JWT_RS512] = ROW("RS512", RC_JWT_KEY_RSA, "SHA512", 0, false),
    [RC_JWT_PS256] = ROW("PS256", RC_JWT_KEY_RSA, "SHA256", 0, true),
    [RC_JWT_PS384] = ROW("PS384", RC_JWT_KEY_RSA, "SHA384", 0, true),
    [RC_JWT_PS512] = ROW("PS512", RC_JWT_KEY_RSA, "SHA512", 0, true),
    [RC_JWT_ES256] = ROW("ES256", RC_JWT_KEY_P256, "SHA256", 32, false),
    [RC_JWT_ES384] = ROW("ES384", RC_JWT_KEY_P384, "SHA384", 48, false),
    [RC_JWT_ES512] = ROW("ES512", RC_JWT_KEY_P521, "SHA512", 66, false),
    [RC_JWT_EDDSA] = ROW("EdDSA", RC_JWT_KEY_ED25519, NULL, 0, false),
};

enum rc_jwt_alg rc_jwt_alg_find(struct rc_span name)
{
    uint32_t alg = 0;
    while (alg < RC_JWT_ALG_COUNT && !rc_span_equal(rc_span_text(rc_jwt_algs[alg].name), name)) {
        alg++;
    }
    return (enum rc_jwt_alg)alg;
}

uint32_t rc_jwt_algs_of(enum rc_jwt_key_type type)
{
    uint32_t algs = 0;
    for (uint32_t alg = 0; alg < RC_JWT_ALG_COUNT; alg++) {
        algs |= rc_jwt_algs[alg].key == type ? RC_JWT_ALG_BIT(alg) : 0;
    }
    return algs;
}
