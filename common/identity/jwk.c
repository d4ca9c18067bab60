/* jwk: see jwk.h. */
#include "common/identity/jwk.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/base/check.h"
#include "common/identity/members.h"
#include "common/identity/pkey.h"
#include "common/text/base64.h"

#define NUMBER_BYTES_MAX (RC_JWT_RSA_BITS_MAX / 8) /* of n, e, x, y, k, decoded */
#define WORD_BYTES_MAX 32

_Static_assert(NUMBER_BYTES_MAX >= RC_JWT_SECRET_BYTES_MAX, "a secret is one of the numbers");

enum { KTY, USE, KEY_OPS, ALG, KID, CRV, N, E, X, Y, K, D, MEMBER_COUNT };

/* A JWK while it is read. */
struct jwk {
    struct rc_member members[MEMBER_COUNT];
    uint8_t kid_bytes[RC_JWT_KID_BYTES_MAX];
    struct rc_span kid;
    uint32_t algs; /* what its `alg` leaves; all bits when it has none */
    uint8_t numbers[2][NUMBER_BYTES_MAX];
};

/* A word: -ENOENT: not there; -EINVAL: not a text; longer ones are "". */
static int word_take(const struct rc_member *member, uint8_t *scratch, struct rc_span *word)
{
    if (member->value.type == RC_JSON_NONE) {
        return -ENOENT;
    }
    const int rc = rc_json_string_decode(&member->value, scratch, WORD_BYTES_MAX, word);
    if (rc == -EMSGSIZE) {
        *word = RC_SPAN("");
        return 0;
    }
    return rc < 0 ? -EINVAL : 0;
}

/* A number or secret in base64url. */
static int number_take(const struct rc_member *member, uint8_t *out, struct rc_span *number)
{
    uint8_t text[(NUMBER_BYTES_MAX + 2) / 3 * 4];
    struct rc_span encoded;
    if (rc_json_string_decode(&member->value, text, sizeof(text), &encoded) < 0) {
        return -EINVAL;
    }
    uint8_t decoded[sizeof(text)];
    const int64_t bytes = rc_base64url_decode(decoded, encoded.bytes, encoded.count);
    if (bytes >= 0 && bytes <= NUMBER_BYTES_MAX) {
        memcpy(out, decoded, (size_t)bytes);
        *number = rc_span_of(out, (size_t)bytes);
    }
    OPENSSL_cleanse(text, sizeof(text));
    OPENSSL_cleanse(decoded, sizeof(decoded));
    return bytes > 0 && bytes <= NUMBER_BYTES_MAX ? 0 : -EINVAL;
}

/* RFC 7517 section 4.3: is "verify" among them? */
static bool may_verify(const struct rc_json_value *list)
{
    struct rc_json_cursor cursor;
    struct rc_json_value item;
    int got = rc_json_array_begin(&cursor, list->raw, 0);
    bool found = false;
    while (got >= 0 && (got = rc_json_array_next(&cursor, &item)) == 1) {
        found = found || (item.type == RC_JSON_STRING && rc_json_string_is(&item, RC_SPAN("verify")));
    }
    return found;
}

/* `use`, `key_ops` and `alg`. */
static enum rc_jwk_fate purpose_read(struct jwk *jwk, struct rc_err *err)
{
    uint8_t scratch[WORD_BYTES_MAX];
    struct rc_span word;
    int rc = word_take(&jwk->members[USE], scratch, &word);
    if (rc == -EINVAL) {
        rc_err_set(err, -EINVAL, "use is not a text");
        return RC_JWK_WRONG;
    }
    if ((rc == 0 && !rc_span_equal(word, RC_SPAN("sig"))) ||
        (jwk->members[KEY_OPS].value.type != RC_JSON_NONE && !may_verify(&jwk->members[KEY_OPS].value))) {
        return RC_JWK_NOT_FOR_US;
    }
    jwk->algs = UINT32_MAX;
    rc = word_take(&jwk->members[ALG], scratch, &word);
    if (rc == -EINVAL) {
        rc_err_set(err, -EINVAL, "alg is not a text");
        return RC_JWK_WRONG;
    }
    if (rc == 0) {
        const enum rc_jwt_alg alg = rc_jwt_alg_find(word);
        if (alg == RC_JWT_ALG_COUNT) {
            return RC_JWK_NOT_FOR_US;
        }
        jwk->algs = RC_JWT_ALG_BIT(alg);
    }
    return RC_JWK_ADDED;
}

static enum rc_jwk_fate key_keep(struct rc_jwt_material *material, const struct jwk *jwk, enum rc_jwt_key_type type,
                                 struct rc_span bytes, struct rc_err *err)
{
    const struct rc_jwt_key key = {
        .type = type, .algs = jwk->algs & rc_jwt_algs_of(type), .kid = jwk->kid, .key = bytes};
    if (key.algs == 0) {
        rc_err_set(err, -EINVAL, "alg is not one of the key's type");
        return RC_JWK_WRONG;
    }
    return rc_jwt_material_append(material, &key, err) < 0 ? RC_JWK_NO_ROOM : RC_JWK_ADDED;
}

static enum rc_jwk_fate key_keep_public(struct rc_jwt_material *material, const struct jwk *jwk, EVP_PKEY *pkey,
                                        struct rc_err *err)
{
    enum rc_jwt_key_type type;
    struct rc_span der;
    uint8_t *bytes = NULL;
    if (pkey == NULL) {
        rc_err_set(err, -EINVAL, "its numbers are not those of a public key");
        return RC_JWK_WRONG;
    }
    if (rc_pkey_type(pkey, &type, err) < 0) {
        return RC_JWK_WRONG;
    }
    if (rc_pkey_write(pkey, &bytes, &der, err) < 0) {
        return RC_JWK_WRONG;
    }
    const enum rc_jwk_fate fate = key_keep(material, jwk, type, der, err);
    OPENSSL_free(bytes);
    return fate;
}

static enum rc_jwk_fate add_pair(struct rc_jwt_material *material, struct jwk *jwk, int first, int second,
                                 enum rc_jwt_key_type type, struct rc_err *err)
{
    struct rc_span one;
    struct rc_span two = RC_SPAN("");
    if (number_take(&jwk->members[first], jwk->numbers[0], &one) < 0 ||
        (second >= 0 && number_take(&jwk->members[second], jwk->numbers[1], &two) < 0)) {
        rc_err_set(err, -EINVAL, "its numbers are not in base64url, or too long");
        return RC_JWK_WRONG;
    }
    EVP_PKEY *pkey = type == RC_JWT_KEY_RSA       ? rc_pkey_rsa(one, two)
                     : type == RC_JWT_KEY_ED25519 ? rc_pkey_ed25519(one)
                                                  : rc_pkey_ec(type, one, two);
    const enum rc_jwk_fate fate = key_keep_public(material, jwk, pkey, err);
    EVP_PKEY_free(pkey);
    return fate;
}

static enum rc_jwk_fate add_secret(struct rc_jwt_material *material, struct jwk *jwk, bool foreign, struct rc_err *err)
{
    struct rc_span secret;
    enum rc_jwk_fate fate = RC_JWK_WRONG;
    if (foreign) {
        rc_err_set(err, -EINVAL, "a secret (kty oct) that is published is none");
        return RC_JWK_WRONG;
    }
    if (number_take(&jwk->members[K], jwk->numbers[0], &secret) < 0) {
        rc_err_set(err, -EINVAL, "k is not in base64url, or too long");
    } else if (rc_jwt_secret_check(secret, err) == 0) {
        fate = key_keep(material, jwk, RC_JWT_KEY_SECRET, secret, err);
    }
    return fate;
}

/* By kty and crv. */
static enum rc_jwk_fate add_typed(struct rc_jwt_material *material, struct jwk *jwk, bool foreign, struct rc_err *err)
{
    static const struct {
        const char *kty;
        const char *crv;
        enum rc_jwt_key_type type;
    } kinds[] = {
        {"RSA", NULL, RC_JWT_KEY_RSA},    {"EC", "P-256", RC_JWT_KEY_P256},       {"EC", "P-384", RC_JWT_KEY_P384},
        {"EC", "P-521", RC_JWT_KEY_P521}, {"OKP", "Ed25519", RC_JWT_KEY_ED25519}, {"oct", NULL, RC_JWT_KEY_SECRET},
    };
    uint8_t kty_scratch[WORD_BYTES_MAX];
    uint8_t crv_scratch[WORD_BYTES_MAX];
    struct rc_span kty;
    struct rc_span crv = RC_SPAN("");
    if (word_take(&jwk->members[KTY], kty_scratch, &kty) < 0) {
        rc_err_set(err, -EINVAL, "kty is missing or not a text");
        return RC_JWK_WRONG;
    }
    (void)word_take(&jwk->members[CRV], crv_scratch, &crv);
    for (size_t i = 0; i < RC_ARRAY_COUNT(kinds); i++) {
        if (!rc_span_equal(kty, rc_span_text(kinds[i].kty)) ||
            (kinds[i].crv != NULL && !rc_span_equal(crv, rc_span_text(kinds[i].crv)))) {
            continue;
        }
        if (kinds[i].type == RC_JWT_KEY_SECRET) {
            return add_secret(material, jwk, foreign, err);
        }
        if (jwk->members[D].value.type != RC_JSON_NONE) {
            rc_err_set(err, -EINVAL, "a private key (it has d): leave only its public members");
            return RC_JWK_WRONG;
        }
        const bool rsa = kinds[i].type == RC_JWT_KEY_RSA;
        return add_pair(material, jwk, rsa ? N : X,
                        rsa                                   ? E
                        : kinds[i].type == RC_JWT_KEY_ED25519 ? -1
                                                              : Y,
                        kinds[i].type, err);
    }
    return RC_JWK_NOT_FOR_US;
}

enum rc_jwk_fate rc_jwk_add(struct rc_jwt_material *material, struct rc_span text, bool foreign, struct rc_err *err)
{
    struct jwk jwk = {
        .members = {[KTY] = {.name = RC_SPAN("kty")},
                    [USE] = {.name = RC_SPAN("use")},
                    [KEY_OPS] = {.name = RC_SPAN("key_ops")},
                    [ALG] = {.name = RC_SPAN("alg")},
                    [KID] = {.name = RC_SPAN("kid")},
                    [CRV] = {.name = RC_SPAN("crv")},
                    [N] = {.name = RC_SPAN("n")},
                    [E] = {.name = RC_SPAN("e")},
                    [X] = {.name = RC_SPAN("x")},
                    [Y] = {.name = RC_SPAN("y")},
                    [K] = {.name = RC_SPAN("k")},
                    [D] = {.name = RC_SPAN("d")}},
    };
    if (rc_members_take(text, jwk.members, MEMBER_COUNT) < 0) {
        rc_err_set(err, -EINVAL, "not a JSON object of its own members, each once");
        return RC_JWK_WRONG;
    }
    if (jwk.members[KID].value.type != RC_JSON_NONE &&
        rc_json_string_decode(&jwk.members[KID].value, jwk.kid_bytes, sizeof(jwk.kid_bytes), &jwk.kid) < 0) {
        rc_err_set(err, -EINVAL, "kid is not a text of at most %u bytes", RC_JWT_KID_BYTES_MAX);
        return RC_JWK_WRONG;
    }
    enum rc_jwk_fate fate = purpose_read(&jwk, err);
    if (fate == RC_JWK_ADDED) {
        fate = add_typed(material, &jwk, foreign, err);
    }
    OPENSSL_cleanse(jwk.numbers, sizeof(jwk.numbers));
    return fate;
}
