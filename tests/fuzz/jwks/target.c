/*
 * jwks: arbitrary bytes as a JWK Set of a URL, as one of a file, and as PEM. What is taken can be used by those who verify: the set can be
 * walked and opened, none of its keys is too weak, a set from elsewhere has no secrets.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/identity/jwt.h"
#include "common/identity/sources.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

static void check(const struct rc_jwt_material *material, bool foreign)
{
    struct rc_jwt_keys *keys;
    struct rc_jwt_key key;
    uint32_t at = 0;
    uint32_t count = 0;
    int got;
    while ((got = rc_jwt_material_next(material, &at, &key)) == 1) {
        RC_ASSERT(!foreign || key.type != RC_JWT_KEY_SECRET);
        RC_ASSERT(key.type != RC_JWT_KEY_SECRET || key.key.count >= RC_JWT_SECRET_BYTES_MIN);
        RC_ASSERT(key.type != RC_JWT_KEY_RSA || key.key.count > RC_JWT_RSA_BITS_MIN / 8);
        count++;
    }
    RC_ASSERT(got == 0 && count == material->count);
    RC_ASSERT(rc_jwt_keys_open(&keys, material, NULL) == 0);
    rc_jwt_keys_close(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    static struct rc_jwt_material material;
    struct rc_err err;
    uint8_t *copy = malloc(bytes + 1); /* of its size: a read behind it is found */
    RC_ASSERT(copy != NULL);
    if (bytes > 0) {
        memcpy(copy, input, bytes);
    }
    for (int way = 0; way < 3; way++) {
        rc_jwt_material_clear(&material);
        err.text[0] = '\0';
        const struct rc_span text = rc_span_of(copy, bytes);
        const int rc =
            way < 2 ? rc_jwt_sources_jwks(&material, text, way == 0, &err) : rc_jwt_sources_pem(&material, text, &err);
        RC_ASSERT(rc == 0 ? material.count > 0 : err.text[0] != '\0');
        check(&material, way == 0);
    }
    free(copy);
    return 0;
}
