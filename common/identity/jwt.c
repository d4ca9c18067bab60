/* jwt: see jwt.h. */
#include "common/identity/jwt.h"

#include <errno.h>
#include <math.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/identity/jwks_url.h"
#include "common/identity/members.h"
#include "common/identity/pkey.h"
#include "common/text/base64.h"

#define ALG_BYTES_MAX 32
#define NUMBER_BYTES_MAX 64          /* of a NumericDate as written */
#define SECONDS_MAX 9007199254740991 /* 2^53 - 1: later times are no times */
#define DER_BYTES_MAX 160            /* of an ECDSA signature: P-521 has 141 at most */

struct rc_jwt_keys {
    uint32_t count;
    struct rc_jwt_key keys[RC_JWT_KEYS_MAX]; /* borrowed from `material` */
    EVP_PKEY *pkeys[RC_JWT_KEYS_MAX];        /* owned; NULL: a secret */
    struct rc_jwt_material material;
};

/* The parts of a token, borrowed from it, and what its header says. */
struct token {
    struct rc_span signed_part; /* header and claims, as they are signed */
    struct rc_span header;
    struct rc_span claims;
    struct rc_span signature;
    enum rc_jwt_alg alg;
    bool has_kid;
    struct rc_span kid;
    uint8_t kid_bytes[RC_JWT_KID_BYTES_MAX];
    uint8_t header_bytes[RC_JWT_CLAIMS_BYTES_MAX];
    uint8_t signature_bytes[RC_JWT_CLAIMS_BYTES_MAX];
};

const char *rc_jwt_refusal_text(enum rc_jwt_refusal refusal)
{
    static const char *const texts[RC_JWT_REFUSAL_COUNT] = {
#define REFUSAL_TEXT(name, text) [name] = text,
        RC_JWT_REFUSALS(REFUSAL_TEXT)
#undef REFUSAL_TEXT
    };
    return (unsigned)refusal < RC_JWT_REFUSAL_COUNT ? texts[refusal] : "unknown";
}

/* ----------------------------------------------------------------------------------------------------------- keys */

int rc_jwt_keys_open(struct rc_jwt_keys **out, const struct rc_jwt_material *material, struct rc_err *err)
{
    uint32_t at = 0;
    int got = 0;
    struct rc_jwt_keys *keys = calloc(1, sizeof(*keys));
    *out = NULL;
    if (keys == NULL) {
        return rc_err_set(err, -ENOMEM, "no memory for keys");
    }
    keys->material = *material;
    while (keys->count < RC_JWT_KEYS_MAX &&
           (got = rc_jwt_material_next(&keys->material, &at, &keys->keys[keys->count])) == 1) {
        const struct rc_jwt_key *key = &keys->keys[keys->count];
        enum rc_jwt_key_type type = RC_JWT_KEY_SECRET;
        if (key->type != RC_JWT_KEY_SECRET) {
            keys->pkeys[keys->count] = rc_pkey_read(key->key, &type, err);
        }
        if ((key->type != RC_JWT_KEY_SECRET && keys->pkeys[keys->count] == NULL) || type != key->type) {
            got = -EBADMSG;
            break;
        }
        keys->count++;
    }
    if (got < 0 || keys->count != material->count) {
        rc_jwt_keys_close(keys);
        return rc_err_set(err, -EINVAL, "not a set of keys");
    }
    *out = keys;
    return 0;
}

void rc_jwt_keys_close(struct rc_jwt_keys *keys)
{
    if (keys == NULL) {
        return;
    }
    for (uint32_t i = 0; i < RC_JWT_KEYS_MAX; i++) {
        EVP_PKEY_free(keys->pkeys[i]);
    }
    rc_jwt_material_clear(&keys->material);
    free(keys);
}

/* --------------------------------------------------------------------------------------------------------- policy */

int rc_jwt_policy_check(const struct rc_identity_jwt *jwt, struct rc_err *err)
{
    if (jwt->secret.text[0] == '\0' && jwt->secret_file.text[0] == '\0' && jwt->key_file.count == 0 &&
        jwt->jwks_file.text[0] == '\0' && jwt->jwks_url.text[0] == '\0') {
        return rc_err_set(err, -EINVAL,
                          "no key to verify tokens with: give secret, secret_file, key_file, jwks_file or jwks_url");
    }
    for (uint32_t i = 0; i < jwt->algorithms.count; i++) {
        const char *name = jwt->algorithms.items[i].text;
        if (rc_jwt_alg_find(rc_span_text(name)) == RC_JWT_ALG_COUNT) {
            return rc_err_set(err, -EINVAL,
                              "algorithms: \"%.40s\" is none: HS256, RS256, PS256, ES256, each with 384 and 512 too, "
                              "and EdDSA are known",
                              name);
        }
    }
    struct rc_jwks_url url;
    struct rc_err why = {{0}};
    if (jwt->jwks_url.text[0] != '\0' && rc_jwks_url_parse(&url, jwt->jwks_url.text, jwt->jwks_insecure, &why) < 0) {
        return rc_err_set(err, -EINVAL, "jwks_url: %.440s", why.text);
    }
    return 0;
}

struct rc_jwt_policy rc_jwt_policy_of(const struct rc_identity_jwt *jwt)
{
    struct rc_jwt_policy policy = {.require_exp = jwt->require_exp,
                                   .leeway_s = (int64_t)(jwt->leeway_ms / 1000),
                                   .issuers = &jwt->issuer,
                                   .audiences = &jwt->audience};
    for (uint32_t i = 0; i < jwt->algorithms.count; i++) {
        const enum rc_jwt_alg alg = rc_jwt_alg_find(rc_span_text(jwt->algorithms.items[i].text));
        RC_ASSERT(alg < RC_JWT_ALG_COUNT);
        policy.algs |= RC_JWT_ALG_BIT(alg);
    }
    return policy;
}

/* ---------------------------------------------------------------------------------------------------------- parts */

/* RFC 7515 section 7.1. */
static enum rc_jwt_refusal token_split(struct token *token, struct rc_span text)
{
    const uint8_t *dots[2] = {NULL, NULL};
    size_t count = 0;
    if (text.count == 0) {
        return RC_JWT_EMPTY;
    }
    if (text.count > RC_JWT_TOKEN_BYTES_MAX) {
        return RC_JWT_TOO_LONG;
    }
    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] == '.') {
            if (count < 2) {
                dots[count] = text.bytes + i;
            }
            count++;
        }
    }
    if (count != 2) {
        return count == 4 ? RC_JWT_ENCRYPTED : RC_JWT_MALFORMED; /* RFC 7516 section 7.1 */
    }
    token->header = rc_span_of(text.bytes, (size_t)(dots[0] - text.bytes));
    token->claims = rc_span_of(dots[0] + 1, (size_t)(dots[1] - dots[0] - 1));
    token->signature = rc_span_of(dots[1] + 1, (size_t)(text.bytes + text.count - dots[1] - 1));
    token->signed_part = rc_span_of(text.bytes, (size_t)(dots[1] - text.bytes));
    return RC_JWT_GOOD;
}

static bool part_decode(uint8_t *out, struct rc_span *part)
{
    const int64_t bytes = rc_base64url_decode(out, part->bytes, part->count);
    if (bytes < 0) {
        return false;
    }
    *part = rc_span_of(out, (size_t)bytes);
    return true;
}

/* RFC 7518 section 3.1 has one spelling, so that "none" in any other is as unknown as it is unwanted; logs say it all the same. */
static enum rc_jwt_refusal alg_read(struct token *token, const struct rc_json_value *value)
{
    uint8_t scratch[ALG_BYTES_MAX];
    struct rc_span name;
    const int rc = rc_json_string_decode(value, scratch, sizeof(scratch), &name);
    if (rc < 0) {
        return rc == -EMSGSIZE ? RC_JWT_ALG_UNKNOWN : RC_JWT_HEADER_WRONG;
    }
    if (name.count == 4 && strncasecmp((const char *)name.bytes, "none", 4) == 0) {
        return RC_JWT_ALG_NONE;
    }
    token->alg = rc_jwt_alg_find(name);
    return token->alg == RC_JWT_ALG_COUNT ? RC_JWT_ALG_UNKNOWN : RC_JWT_GOOD;
}

/* RFC 7515 section 4. Keys that a header brings or names by URL (jwk, jku, x5c, x5u) are never looked at: RFC 8725 section 3.10. */
static enum rc_jwt_refusal header_read(struct token *token)
{
    enum { ALG, KID, CRIT, B64, ENC, COUNT };
    struct rc_member members[COUNT] = {
        [ALG] = {.name = RC_SPAN("alg")}, [KID] = {.name = RC_SPAN("kid")}, [CRIT] = {.name = RC_SPAN("crit")},
        [B64] = {.name = RC_SPAN("b64")}, [ENC] = {.name = RC_SPAN("enc")},
    };
    if (!part_decode(token->header_bytes, &token->header)) {
        return RC_JWT_MALFORMED;
    }
    if (rc_members_take(token->header, members, COUNT) < 0) {
        return RC_JWT_HEADER_WRONG;
    }
    if (members[ENC].value.type != RC_JSON_NONE) {
        return RC_JWT_ENCRYPTED;
    }
    /* Section 4.1.11: no extension is understood, b64 (RFC 7797) neither. */
    if (members[CRIT].value.type != RC_JSON_NONE || members[B64].value.type != RC_JSON_NONE) {
        return RC_JWT_HEADER_CRITICAL;
    }
    token->has_kid = members[KID].value.type != RC_JSON_NONE;
    if (token->has_kid) {
        const int rc =
            rc_json_string_decode(&members[KID].value, token->kid_bytes, sizeof(token->kid_bytes), &token->kid);
        if (rc < 0) {
            return RC_JWT_HEADER_WRONG;
        }
    }
    return alg_read(token, &members[ALG].value);
}

/* ------------------------------------------------------------------------------------------------------ signature */

static bool hmac_good(const struct rc_jwt_alg_row *alg, struct rc_span secret, const struct token *token)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t bytes = 0;
    const bool made = EVP_Q_mac(NULL, "HMAC", NULL, alg->digest, NULL, secret.bytes, secret.count,
                                token->signed_part.bytes, token->signed_part.count, mac, sizeof(mac), &bytes) != NULL;
    /* The whole of it, in a time that does not depend on where they differ. */
    const bool good = made && token->signature.count == bytes && CRYPTO_memcmp(mac, token->signature.bytes, bytes) == 0;
    OPENSSL_cleanse(mac, sizeof(mac));
    return good;
}

/* RFC 7518 section 3.4: R and S, each of full size; OpenSSL wants them in DER. The bytes, 0: they are none. */
static size_t ecdsa_der(uint32_t half_bytes, struct rc_span signature, uint8_t out[DER_BYTES_MAX])
{
    int bytes = 0;
    if (signature.count != 2 * (size_t)half_bytes) {
        return 0;
    }
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.bytes, (int)half_bytes, NULL);
    BIGNUM *s = BN_bin2bn(signature.bytes + half_bytes, (int)half_bytes, NULL);
    if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair's */
        unsigned char *at = out;
        bytes = i2d_ECDSA_SIG(pair, NULL);
        bytes = bytes > 0 && bytes <= DER_BYTES_MAX ? i2d_ECDSA_SIG(pair, &at) : 0;
    }
    BN_free(s);
    BN_free(r);
    ECDSA_SIG_free(pair);
    return bytes > 0 ? (size_t)bytes : 0;
}

static bool public_good(const struct rc_jwt_alg_row *alg, EVP_PKEY *key, const struct token *token)
{
    uint8_t der[DER_BYTES_MAX];
    EVP_PKEY_CTX *settings = NULL; /* the context's */
    struct rc_span signature = token->signature;
    if (alg->half_bytes > 0) {
        signature = rc_span_of(der, ecdsa_der(alg->half_bytes, signature, der));
    }
    if (signature.count == 0) {
        return false;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && EVP_DigestVerifyInit_ex(context, &settings, alg->digest, NULL, NULL, key, NULL) == 1;
    if (good && alg->pss) { /* RFC 7518 section 3.5: the salt as long as the digest, MGF1 with the same */
        good = EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    good = good && EVP_DigestVerify(context, signature.bytes, signature.count, token->signed_part.bytes,
                                    token->signed_part.count) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

/* Does the set have the key that the token names? */
static bool kid_known(const struct rc_jwt_keys *keys, const struct token *token)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        if (keys->keys[i].kid.count > 0 && rc_span_equal(keys->keys[i].kid, token->kid)) {
            return true;
        }
    }
    return false;
}

/* RFC 7515 section 6. A token that names a key is for those of that name; when there is none of it, for those without a name. One that
 * names none may be for any. Of these only keys of the algorithm's own type are used: whether a secret or a public key is meant never is
 * the token's choice (RFC 8725 section 3.1). */
static enum rc_jwt_refusal signature_check(const struct rc_jwt_keys *keys, const struct token *token, bool *kid_unknown)
{
    const struct rc_jwt_alg_row *alg = &rc_jwt_algs[token->alg];
    const bool named = token->has_kid && kid_known(keys, token);
    enum rc_jwt_refusal refusal = keys->count == 0 ? RC_JWT_NO_KEYS : RC_JWT_KEY_MISSING;
    bool candidates = false;
    *kid_unknown = token->has_kid && !named;
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct rc_jwt_key *key = &keys->keys[i];
        if (token->has_kid && (named ? !rc_span_equal(key->kid, token->kid) : key->kid.count > 0)) {
            continue;
        }
        candidates = true;
        if (key->type != alg->key || (key->algs & RC_JWT_ALG_BIT(token->alg)) == 0) {
            continue;
        }
        refusal = RC_JWT_SIGNATURE_WRONG;
        if (key->type == RC_JWT_KEY_SECRET ? hmac_good(alg, key->key, token)
                                           : public_good(alg, keys->pkeys[i], token)) {
            return RC_JWT_GOOD;
        }
    }
    return !candidates && keys->count > 0 ? RC_JWT_KID_UNKNOWN : refusal;
}

/* --------------------------------------------------------------------------------------------------------- claims */

/* RFC 7519 section 2, NumericDate: seconds, which may have a fraction. `up`: to the next whole one. False: it is none. */
static bool date_read(const struct rc_json_value *value, bool up, int64_t *seconds)
{
    char text[NUMBER_BYTES_MAX + 1];
    if (value->type != RC_JSON_NUMBER || value->raw.count > NUMBER_BYTES_MAX) {
        return false;
    }
    memcpy(text, value->raw.bytes, value->raw.count);
    text[value->raw.count] = '\0';
    const double number = strtod(text, NULL);
    if (!(number >= 0 && number <= SECONDS_MAX)) {
        return false;
    }
    *seconds = (int64_t)(up ? ceil(number) : floor(number));
    return true;
}

static bool list_has(const struct rc_config_list *list, const struct rc_json_value *value)
{
    uint8_t scratch[RC_CONFIG_TEXT_MAX];
    struct rc_span text;
    if (rc_json_string_decode(value, scratch, sizeof(scratch), &text) < 0) {
        return false;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (rc_span_equal(rc_span_text(list->items[i].text), text)) {
            return true;
        }
    }
    return false;
}

/* RFC 7519 section 4.1.3: a text, or a list of them. */
static bool audience_good(const struct rc_config_list *list, const struct rc_json_value *value)
{
    struct rc_json_cursor cursor;
    struct rc_json_value item;
    if (value->type != RC_JSON_ARRAY) {
        return list_has(list, value);
    }
    int got = rc_json_array_begin(&cursor, value->raw, 0);
    bool good = false;
    while (got >= 0 && (got = rc_json_array_next(&cursor, &item)) == 1) {
        good = good || list_has(list, &item);
    }
    return good;
}

/* RFC 7519 section 4.1. */
static enum rc_jwt_refusal claims_check(const struct rc_jwt_policy *policy, int64_t now_s, struct rc_jwt_result *result)
{
    enum { EXP, NBF, IAT, ISS, AUD, COUNT };
    struct rc_member members[COUNT] = {
        [EXP] = {.name = RC_SPAN("exp")}, [NBF] = {.name = RC_SPAN("nbf")}, [IAT] = {.name = RC_SPAN("iat")},
        [ISS] = {.name = RC_SPAN("iss")}, [AUD] = {.name = RC_SPAN("aud")},
    };
    int64_t nbf_s = 0;
    if (rc_members_take(rc_span_of(result->claims, result->claims_bytes), members, COUNT) < 0) {
        return RC_JWT_CLAIMS_WRONG;
    }
    result->exp_s = RC_JWT_FOREVER;
    result->iat_s = 0;
    if ((members[EXP].value.type != RC_JSON_NONE && !date_read(&members[EXP].value, false, &result->exp_s)) ||
        (members[NBF].value.type != RC_JSON_NONE && !date_read(&members[NBF].value, true, &nbf_s)) ||
        (members[IAT].value.type != RC_JSON_NONE && !date_read(&members[IAT].value, false, &result->iat_s))) {
        return RC_JWT_CLAIMS_WRONG;
    }
    if (policy->require_exp && result->exp_s == RC_JWT_FOREVER) {
        return RC_JWT_EXP_MISSING;
    }
    if (now_s - policy->leeway_s >= result->exp_s) {
        return RC_JWT_EXPIRED;
    }
    if (nbf_s > now_s + policy->leeway_s) {
        return RC_JWT_TOO_EARLY;
    }
    if (result->iat_s > now_s + policy->leeway_s) {
        return RC_JWT_FROM_FUTURE;
    }
    if (policy->issuers != NULL && policy->issuers->count > 0 && !list_has(policy->issuers, &members[ISS].value)) {
        return RC_JWT_ISSUER_WRONG;
    }
    if (policy->audiences != NULL && policy->audiences->count > 0 &&
        !audience_good(policy->audiences, &members[AUD].value)) {
        return RC_JWT_AUDIENCE_WRONG;
    }
    return RC_JWT_GOOD;
}

static enum rc_jwt_refusal token_verify(const struct rc_jwt_policy *policy, const struct rc_jwt_keys *keys,
                                        struct rc_span text, int64_t now_s, struct rc_jwt_result *result)
{
    struct token token;
    token.has_kid = false;
    enum rc_jwt_refusal refusal = token_split(&token, text);
    if (refusal == RC_JWT_GOOD) {
        refusal = header_read(&token);
    }
    if (refusal != RC_JWT_GOOD) {
        return refusal;
    }
    if (policy->algs != 0 && (policy->algs & RC_JWT_ALG_BIT(token.alg)) == 0) {
        return RC_JWT_ALG_REFUSED;
    }
    const int64_t claims_bytes = rc_base64url_decode(result->claims, token.claims.bytes, token.claims.count);
    if (!part_decode(token.signature_bytes, &token.signature) || claims_bytes < 0) {
        return RC_JWT_MALFORMED;
    }
    result->alg = token.alg;
    result->claims_bytes = (uint32_t)claims_bytes;
    refusal = signature_check(keys, &token, &result->kid_unknown);
    /* What is in the claims is read only now: nobody but who has a key can make it costly. */
    return refusal == RC_JWT_GOOD ? claims_check(policy, now_s, result) : refusal;
}

int rc_jwt_verify(const struct rc_jwt_policy *policy, const struct rc_jwt_keys *keys, struct rc_span token,
                  int64_t now_s, struct rc_jwt_result *result)
{
    result->kid_unknown = false;
    result->claims_bytes = 0;
    result->refusal = token_verify(policy, keys, token, now_s, result);
    /* What a wrong signature leaves there would be taken for an error of the next TLS connection. */
    ERR_clear_error();
    return result->refusal == RC_JWT_GOOD ? 0 : -EACCES;
}
