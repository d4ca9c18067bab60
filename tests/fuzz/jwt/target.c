/*
 * jwt: arbitrary bytes as a token, to sets with keys of every type. Nothing may be verified that was not signed: only tokens by the keys of
 * this file are, and what is found good once is found good from the cache, with the same claims.
 *
 * Signatures cannot be guessed, so that a search would never get to the claims: when the first byte is '!' the rest is header, a line break
 * and claims, which are signed here.
 */
#include <stdlib.h>
#include <string.h>

#include "acceptor/console/jwt_sign.h"
#include "common/base/check.h"
#include "common/identity/jwt.h"
#include "common/identity/jwt_cache.h"
#include "common/text/json_scan.h"

#define NOW 1300819000
#define SECRET "a secret of tests with 32 bytes!"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes);

static struct rc_jwt_keys *keys_open(void)
{
    static struct rc_jwt_material material;
    struct rc_jwt_keys *keys;
    RC_ASSERT(rc_jwt_material_add_secret(&material, RC_SPAN(SECRET), NULL) == 0);
    RC_ASSERT(rc_jwt_keys_open(&keys, &material, NULL) == 0);
    return keys;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t bytes)
{
    static struct rc_jwt_keys *keys;
    static struct rc_jwt_cache *cache;
    static struct rc_jwt_result result;
    static struct rc_jwt_result again;
    static char made[64 * 1024];
    const struct rc_jwt_policy policy = {.leeway_s = 60};
    struct rc_span token = rc_span_of(input, bytes);
    const bool ours = bytes > 0 && input[0] == '!';
    if (keys == NULL) {
        keys = keys_open();
        cache = rc_jwt_cache_open(4);
        RC_ASSERT(cache != NULL);
    }
    if (ours) {
        const uint8_t *line = memchr(input, '\n', bytes);
        const size_t header = line != NULL ? (size_t)(line - input) - 1 : bytes - 1;
        const size_t claims = line != NULL ? bytes - header - 2 : 0;
        const struct rc_jwt_signer signer = {.secret = RC_SPAN(SECRET)};
        const int64_t count = rc_jwt_sign(RC_JWT_HS256, &signer, rc_span_of(input + 1, header),
                                          rc_span_of(input + bytes - claims, claims), made, sizeof(made));
        if (count < 0) {
            return 0;
        }
        token = rc_span_of(made, (size_t)count);
    }
    uint8_t *copy = malloc(token.count + 1); /* of its size: a read behind it is found */
    RC_ASSERT(copy != NULL);
    if (token.count > 0) {
        memcpy(copy, token.bytes, token.count);
    }
    token.bytes = copy;
    const int rc = rc_jwt_verify(&policy, keys, token, NOW, &result);
    RC_ASSERT((rc == 0) == (result.refusal == RC_JWT_GOOD));
    if (rc == 0) {
        struct rc_json_value value;
        RC_ASSERT(ours || (bytes > 43 && token.count <= RC_JWT_TOKEN_BYTES_MAX));
        RC_ASSERT(result.exp_s > NOW - 60);
        RC_ASSERT(rc_json_scan(rc_span_of(result.claims, result.claims_bytes), RC_JSON_CHECK_UTF8, &value, NULL) == 0);
        RC_ASSERT(value.type == RC_JSON_OBJECT);
        result.alg = RC_JWT_ES256; /* one that is kept */
        rc_jwt_cache_keep(cache, 1, 2, token, NOW, 60, &result);
        const bool kept = result.claims_bytes <= RC_JWT_CACHE_CLAIMS_MAX && !result.kid_unknown;
        RC_ASSERT(rc_jwt_cache_find(cache, 1, 2, token, NOW, &again) == kept);
        RC_ASSERT(!kept || (again.claims_bytes == result.claims_bytes && again.exp_s == result.exp_s &&
                            memcmp(again.claims, result.claims, result.claims_bytes) == 0));
    }
    free(copy);
    return 0;
}
