/* jwt: the vectors of the RFCs, every algorithm, and each way in which a token can be wrong. */
#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/identity/jwt.h"
#include "common/identity/sources.h"
#include "common/text/base64.h"
#include "tests/support/jwt_maker.h"

#define NOW 1000000

static struct rc_jwt_material material;
static struct rc_jwt_keys *keys;
static struct rc_jwt_policy policy;
static struct rc_jwt_result result;
static struct rc_err err;

static void set_up(void)
{
    rc_jwt_material_clear(&material);
    policy = (struct rc_jwt_policy){0};
    keys = NULL;
}

static void tear_down(void)
{
    rc_jwt_keys_close(keys);
}

TestSuite(jwt, .init = set_up, .fini = tear_down);

static void open_keys(void)
{
    rc_jwt_keys_close(keys);
    cr_assert_eq(rc_jwt_keys_open(&keys, &material, &err), 0, "%s", err.text);
}

static void with_key(enum rc_jwt_key_type type, const char *kid)
{
    jwt_maker_add(&material, type, kid);
    open_keys();
}

static enum rc_jwt_refusal verify_at(const char *token, int64_t now_s)
{
    const int rc = rc_jwt_verify(&policy, keys, rc_span_text(token), now_s, &result);
    cr_assert_eq(rc, result.refusal == RC_JWT_GOOD ? 0 : -EACCES);
    cr_assert_eq(ERR_peek_error(), 0, "something is left for the next TLS connection to find");
    return result.refusal;
}

static enum rc_jwt_refusal verify(const char *token)
{
    return verify_at(token, NOW);
}

#define EXPECT(token, wanted)                                                              \
    do {                                                                                   \
        const enum rc_jwt_refusal expect_got = verify(token);                              \
        cr_assert_eq(expect_got, (wanted), "got \"%s\"", rc_jwt_refusal_text(expect_got)); \
    } while (0)

/* A token by the secret. */
static const char *hs(const char *claims)
{
    return jwt_maker_token(RC_JWT_HS256, NULL, claims);
}

static const char *hs_header(const char *header)
{
    return jwt_maker_token(RC_JWT_HS256, header, "{}");
}

/* ------------------------------------------------------------------------------------------------------- vectors */

#define RFC7515_CLAIMS "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
static const char rfc7515_claims[] =
    "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

static void vector_good(const char *jwk, const char *token, enum rc_jwt_alg alg)
{
    cr_assert_eq(rc_jwt_sources_jwks(&material, rc_span_text(jwk), false, &err), 0, "%s", err.text);
    open_keys();
    policy.require_exp = true;
    cr_assert_eq(verify_at(token, 1300819379), RC_JWT_GOOD, "%s", rc_jwt_refusal_text(result.refusal));
    cr_assert_eq(result.alg, alg);
    cr_assert_eq(result.exp_s, 1300819380);
    cr_assert_eq(result.claims_bytes, sizeof(rfc7515_claims) - 1);
    cr_assert_arr_eq(result.claims, rfc7515_claims, sizeof(rfc7515_claims) - 1);
    cr_assert_eq(verify_at(token, 1300819380), RC_JWT_EXPIRED);
}

Test(jwt, rfc7515_a1_hs256)
{
    vector_good(
        "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
        "\"}",
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC7515_CLAIMS ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        RC_JWT_HS256);
}

#define RFC7515_A2_JWK                                                                                                                     \
    "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS"                               \
    "2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7" \
    "WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpo" \
    "Q\",\"e\":\"AQAB\"}"

Test(jwt, rfc7515_a2_rs256)
{
    vector_good(
        RFC7515_A2_JWK,
        "eyJhbGciOiJSUzI1NiJ9." RFC7515_CLAIMS
        ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9C"
        "UAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d"
        "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igc"
        "N_IoypGlUPQGe77Rw",
        RC_JWT_RS256);
}

Test(jwt, rfc7515_a3_es256)
{
    vector_good("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
                "eyJhbGciOiJFUzI1NiJ9." RFC7515_CLAIMS
                ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
                RC_JWT_ES256);
}

/* Their payloads are no claims: what refuses them comes after the signature. */
static void vector_signature(const char *jwk, const char *token)
{
    char other[512];
    cr_assert_eq(rc_jwt_sources_jwks(&material, rc_span_text(jwk), false, &err), 0, "%s", err.text);
    open_keys();
    EXPECT(token, RC_JWT_CLAIMS_WRONG);
    (void)snprintf(other, sizeof(other), "%s", token);
    char *last = strrchr(other, '.') + 1;
    *last = *last == 'A' ? 'B' : 'A';
    EXPECT(other, RC_JWT_SIGNATURE_WRONG);
}

Test(jwt, rfc7515_a4_es512)
{
    vector_signature(
        "{\"kty\":\"EC\",\"crv\":\"P-521\","
        "\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\","
        "\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}",
        "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."
        "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YB"
        "JZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn");
}

Test(jwt, rfc7515_a5_unsecured_is_refused)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT("eyJhbGciOiJub25lIn0." RFC7515_CLAIMS ".", RC_JWT_ALG_NONE);
}

Test(jwt, rfc8037_a4_ed25519)
{
    vector_signature("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
                     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
                     "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
}

/* ----------------------------------------------------------------------------------------------------- algorithms */

Test(jwt, every_algorithm_verifies_its_own_and_no_other)
{
    for (uint32_t type = 0; type < RC_JWT_KEY_TYPE_COUNT; type++) {
        rc_jwt_material_clear(&material);
        with_key(type, NULL);
        for (uint32_t alg = 0; alg < RC_JWT_ALG_COUNT; alg++) {
            EXPECT(jwt_maker_token(alg, NULL, "{\"sub\":\"42\"}"),
                   rc_jwt_algs[alg].key == type ? RC_JWT_GOOD : RC_JWT_KEY_MISSING);
        }
    }
}

Test(jwt, all_keys_together_verify_all)
{
    for (uint32_t type = 0; type < RC_JWT_KEY_TYPE_COUNT; type++) {
        jwt_maker_add(&material, type, NULL);
    }
    open_keys();
    for (uint32_t alg = 0; alg < RC_JWT_ALG_COUNT; alg++) {
        EXPECT(jwt_maker_token(alg, NULL, "{}"), RC_JWT_GOOD);
        cr_assert_eq(result.alg, alg);
        cr_assert_eq(result.exp_s, RC_JWT_FOREVER);
    }
}

/* The header says one algorithm, the signature is by another of the same key. */
Test(jwt, the_algorithm_of_the_header_is_the_one_that_is_checked)
{
    for (uint32_t type = 0; type < RC_JWT_KEY_TYPE_COUNT; type++) {
        jwt_maker_add(&material, type, NULL);
    }
    open_keys();
    for (uint32_t by = 0; by < RC_JWT_ALG_COUNT; by++) {
        for (uint32_t says = 0; says < RC_JWT_ALG_COUNT; says++) {
            char header[64];
            (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", rc_jwt_algs[says].name);
            EXPECT(jwt_maker_token(by, header, "{}"), by == says ? RC_JWT_GOOD : RC_JWT_SIGNATURE_WRONG);
        }
    }
}

/* The classic: what everybody has, the public key, taken for the secret. */
Test(jwt, a_public_key_is_no_secret)
{
    with_key(RC_JWT_KEY_RSA, NULL);
    const struct rc_span pem = rc_span_text(jwt_maker_pem(jwt_maker_key(RC_JWT_KEY_RSA), false));
    EXPECT(jwt_maker_sign(RC_JWT_HS256, NULL, pem, NULL, "{}"), RC_JWT_KEY_MISSING);
    uint32_t at = 0;
    struct rc_jwt_key key;
    cr_assert_eq(rc_jwt_material_next(&material, &at, &key), 1);
    EXPECT(jwt_maker_sign(RC_JWT_HS256, NULL, key.key, NULL, "{}"), RC_JWT_KEY_MISSING);
}

Test(jwt, none_is_refused_in_any_spelling)
{
    static const char *const spellings[] = {"none", "None", "NONE", "nOnE"};
    with_key(RC_JWT_KEY_SECRET, NULL);
    for (size_t i = 0; i < 4; i++) {
        char header[64];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", spellings[i]);
        char *token = strdup(hs_header(header));
        EXPECT(token, RC_JWT_ALG_NONE);
        *(strrchr(token, '.') + 1) = '\0';
        EXPECT(token, RC_JWT_ALG_NONE);
        free(token);
    }
    EXPECT(hs_header("{\"alg\":\"non\\u0065\"}"), RC_JWT_ALG_NONE);
    EXPECT(hs_header("{\"alg\":\"none \"}"), RC_JWT_ALG_UNKNOWN);
    EXPECT(hs_header("{\"alg\":\"\"}"), RC_JWT_ALG_UNKNOWN);
}

Test(jwt, algorithms_have_one_spelling)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs_header("{\"alg\":\"hs256\"}"), RC_JWT_ALG_UNKNOWN);
    EXPECT(hs_header("{\"alg\":\"HS2560000000000000000000000000000000000\"}"), RC_JWT_ALG_UNKNOWN);
    EXPECT(hs_header("{\"alg\":\"HS256\\u0000\"}"), RC_JWT_ALG_UNKNOWN);
    EXPECT(hs_header("{\"alg\":\"HS\\u003256\"}"), RC_JWT_GOOD);
    EXPECT(hs_header("{\"alg\":[\"HS256\"]}"), RC_JWT_HEADER_WRONG);
    EXPECT(hs_header("{\"typ\":\"JWT\"}"), RC_JWT_HEADER_WRONG);
}

Test(jwt, only_algorithms_of_the_policy)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    policy.algs = RC_JWT_ALG_BIT(RC_JWT_HS384) | RC_JWT_ALG_BIT(RC_JWT_RS256);
    EXPECT(hs("{}"), RC_JWT_ALG_REFUSED);
    EXPECT(jwt_maker_token(RC_JWT_HS384, NULL, "{}"), RC_JWT_GOOD);
}

Test(jwt, only_the_algorithm_of_the_key)
{
    const struct rc_jwt_key key = {
        .type = RC_JWT_KEY_SECRET, .algs = RC_JWT_ALG_BIT(RC_JWT_HS512), .key = RC_SPAN(JWT_MAKER_SECRET)};
    cr_assert_eq(rc_jwt_material_append(&material, &key, &err), 0);
    open_keys();
    EXPECT(hs("{}"), RC_JWT_KEY_MISSING);
    EXPECT(jwt_maker_token(RC_JWT_HS512, NULL, "{}"), RC_JWT_GOOD);
}

/* ------------------------------------------------------------------------------------------------------ signatures */

Test(jwt, signatures_that_are_cut_long_or_empty)
{
    for (uint32_t alg = 0; alg < RC_JWT_ALG_COUNT; alg++) {
        char token[2048];
        rc_jwt_material_clear(&material);
        with_key(rc_jwt_algs[alg].key, NULL);
        (void)snprintf(token, sizeof(token), "%sAAAA", jwt_maker_token(alg, NULL, "{}"));
        EXPECT(token, RC_JWT_SIGNATURE_WRONG);
        (void)snprintf(token, sizeof(token), "%s", jwt_maker_token(alg, NULL, "{}"));
        char *signature = strrchr(token, '.') + 1;
        signature[strlen(signature) / 4 * 4 - 4] = '\0'; /* whole groups, so that it still is base64url */
        EXPECT(token, RC_JWT_SIGNATURE_WRONG);
        *signature = '\0';
        EXPECT(token, RC_JWT_SIGNATURE_WRONG);
    }
}

/* The order of each curve: 0 where somebody reduces before he looks. */
static const char *const orders[] = {
    [RC_JWT_ES256] = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551",
    [RC_JWT_ES384] = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
    [RC_JWT_ES512] =
        "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D0"
        "3BB5C9B8899C47AEBB6FB71E91386409",
};

/* R and S of 0 and of the order, each beside a good one: none of them is in 1 to the order less 1 (FIPS 186-5 6.4.2). */
Test(jwt, ecdsa_signature_halves_out_of_range)
{
    for (uint32_t alg = RC_JWT_ES256; alg <= RC_JWT_ES512; alg++) {
        const size_t half = rc_jwt_algs[alg].half_bytes;
        char token[512];
        uint8_t good[132];
        uint8_t forged[132];
        uint8_t wrong[2][66] = {{0}};
        long bytes = 0;
        rc_jwt_material_clear(&material);
        with_key(rc_jwt_algs[alg].key, NULL);
        unsigned char *order = OPENSSL_hexstr2buf(orders[alg], &bytes);
        cr_assert_eq((size_t)bytes, half);
        memcpy(wrong[1], order, half);
        OPENSSL_free(order);
        (void)snprintf(token, sizeof(token), "%s", jwt_maker_token(alg, NULL, "{}"));
        char *signature = strrchr(token, '.') + 1;
        cr_assert_eq(rc_base64url_decode(good, (const uint8_t *)signature, strlen(signature)), (int64_t)(2 * half));
        for (uint32_t which = 1; which < 16; which++) { /* two bits a half: good, 0, the order */
            const uint32_t r = which & 3;
            const uint32_t s = which >> 2;
            if (r == 3 || s == 3) {
                continue;
            }
            memcpy(forged, r == 0 ? good : wrong[r - 1], half);
            memcpy(forged + half, s == 0 ? good + half : wrong[s - 1], half);
            signature[rc_base64url_encode(signature, forged, 2 * half)] = '\0';
            EXPECT(token, RC_JWT_SIGNATURE_WRONG);
        }
    }
}

/* CVE-2022-21449: R and S of 0 are good for every text where nobody looks. */
Test(jwt, ecdsa_signature_of_zeros)
{
    for (uint32_t alg = RC_JWT_ES256; alg <= RC_JWT_ES512; alg++) {
        char token[512];
        char zeros[256];
        rc_jwt_material_clear(&material);
        with_key(rc_jwt_algs[alg].key, NULL);
        (void)snprintf(token, sizeof(token), "%s", jwt_maker_token(alg, NULL, "{}"));
        char *signature = strrchr(token, '.') + 1;
        const uint8_t nothing[132] = {0};
        zeros[rc_base64url_encode(zeros, nothing, 2 * rc_jwt_algs[alg].half_bytes)] = '\0';
        (void)snprintf(signature, sizeof(token) - (size_t)(signature - token), "%s", zeros);
        EXPECT(token, RC_JWT_SIGNATURE_WRONG);
    }
}

/* DER is what OpenSSL speaks; in a token it is wrong. */
Test(jwt, ecdsa_signature_in_der)
{
    with_key(RC_JWT_KEY_P256, NULL);
    char token[512];
    uint8_t der[128];
    size_t bytes = sizeof(der);
    (void)snprintf(token, sizeof(token), "%s", jwt_maker_token(RC_JWT_ES256, NULL, "{}"));
    char *signature = strrchr(token, '.') + 1;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    cr_assert_eq(EVP_DigestSignInit_ex(context, NULL, "SHA256", NULL, NULL, jwt_maker_key(RC_JWT_KEY_P256), NULL), 1);
    cr_assert_eq(EVP_DigestSign(context, der, &bytes, (uint8_t *)token, (size_t)(signature - 1 - token)), 1);
    EVP_MD_CTX_free(context);
    signature[rc_base64url_encode(signature, der, bytes)] = '\0';
    EXPECT(token, RC_JWT_SIGNATURE_WRONG);
}

Test(jwt, every_part_is_signed)
{
    with_key(RC_JWT_KEY_ED25519, NULL);
    char token[512];
    (void)snprintf(token, sizeof(token), "%s", jwt_maker_token(RC_JWT_EDDSA, NULL, "{\"sub\":\"42\"}"));
    EXPECT(token, RC_JWT_GOOD);
    char *claims = strchr(token, '.') + 1;
    char forged[64];
    forged[rc_base64url_encode(forged, (const uint8_t *)"{\"sub\":\"43\"}", 12)] = '\0';
    memcpy(claims, forged, strlen(forged));
    EXPECT(token, RC_JWT_SIGNATURE_WRONG);
    /* White space in the header: the same header, another text. */
    (void)snprintf(token, sizeof(token), "%s", jwt_maker_token(RC_JWT_EDDSA, "{\"alg\":\"EdDSA\" }", "{}"));
    forged[rc_base64url_encode(forged, (const uint8_t *)"{ \"alg\":\"EdDSA\"}", 16)] = '\0';
    memcpy(token, forged, strlen(forged));
    EXPECT(token, RC_JWT_SIGNATURE_WRONG);
}

Test(jwt, another_key_of_the_same_type)
{
    with_key(RC_JWT_KEY_P256, NULL);
    EVP_PKEY *other = EVP_EC_gen("P-256");
    EXPECT(jwt_maker_sign(RC_JWT_ES256, other, RC_SPAN(""), NULL, "{}"), RC_JWT_SIGNATURE_WRONG);
    EVP_PKEY_free(other);
}

/* ----------------------------------------------------------------------------------------------------------- form */

Test(jwt, parts_and_size)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT("", RC_JWT_EMPTY);
    EXPECT("x", RC_JWT_MALFORMED);
    EXPECT("a.b", RC_JWT_MALFORMED);
    EXPECT("a.b.c.d", RC_JWT_MALFORMED);
    EXPECT("..", RC_JWT_HEADER_WRONG);
    EXPECT("a.b.c.d.e.f", RC_JWT_MALFORMED);
}

Test(jwt, encrypted_tokens_are_refused)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT("eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d", RC_JWT_ENCRYPTED);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"enc\":\"A256GCM\"}"), RC_JWT_ENCRYPTED);
}

Test(jwt, eight_kibibytes_and_no_byte_more)
{
    char claims[RC_JWT_TOKEN_BYTES_MAX];
    with_key(RC_JWT_KEY_SECRET, NULL);
    for (int bytes = 6080; bytes < 6120; bytes++) {
        memset(claims, 'x', sizeof(claims));
        memcpy(claims, "{\"a\":\"", 6);
        memcpy(claims + bytes - 2, "\"}", 3);
        const char *token = hs(claims);
        EXPECT(token, strlen(token) <= 8192 ? RC_JWT_GOOD : RC_JWT_TOO_LONG);
    }
    cr_assert_eq(result.refusal, RC_JWT_TOO_LONG);
}

Test(jwt, base64url_is_strict)
{
    char token[512];
    char wrong[600];
    with_key(RC_JWT_KEY_SECRET, NULL);
    (void)snprintf(token, sizeof(token), "%s", hs("{\"a\":1}"));
    EXPECT(token, RC_JWT_GOOD);
    for (const char *add = "= \n+/%"; *add != '\0'; add++) {
        (void)snprintf(wrong, sizeof(wrong), "%s%c", token, *add);
        EXPECT(wrong, RC_JWT_MALFORMED);
        (void)snprintf(wrong, sizeof(wrong), "%c%s", *add, token);
        EXPECT(wrong, RC_JWT_MALFORMED);
    }
    /* A signature of 32 bytes leaves two bits over: others than 0 would be the same bytes in another text. */
    (void)snprintf(wrong, sizeof(wrong), "%s", token);
    char *last = wrong + strlen(wrong) - 1;
    *last = (char)(*last + 1); /* of A, E, I … 8: a character behind it has a bit more */
    EXPECT(wrong, RC_JWT_MALFORMED);
}

Test(jwt, headers_that_are_none)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs_header("[]"), RC_JWT_HEADER_WRONG);
    EXPECT(hs_header("\"HS256\""), RC_JWT_HEADER_WRONG);
    EXPECT(hs_header("{\"alg\":\"HS256\"} x"), RC_JWT_HEADER_WRONG);
    EXPECT(hs_header("{\"alg\":\"HS256\",}"), RC_JWT_HEADER_WRONG);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"x\":\"\xff\"}"), RC_JWT_HEADER_WRONG);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"kid\":7}"), RC_JWT_HEADER_WRONG);
}

Test(jwt, critical_headers_are_refused)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}"), RC_JWT_HEADER_CRITICAL);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"crit\":[]}"), RC_JWT_HEADER_CRITICAL);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}"), RC_JWT_HEADER_CRITICAL);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"b64\":true}"), RC_JWT_HEADER_CRITICAL);
}

/* RFC 8725 section 3.10, CVE-2018-0114: a key that comes with the token is the sender's. */
Test(jwt, keys_in_the_header_are_not_used)
{
    with_key(RC_JWT_KEY_RSA, NULL);
    const char *header =
        "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"YSBzZWNyZXQgb2YgdGVzdHMgd2l0aCAzMiBieXRlcyE\"},"
        "\"jku\":\"http://127.0.0.1:1/\",\"x5u\":\"http://127.0.0.1:1/\",\"x5c\":[\"MIIB\"],\"x5t\":\"AAAA\"}";
    EXPECT(hs_header(header), RC_JWT_KEY_MISSING);
    rc_jwt_material_clear(&material);
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs_header(header), RC_JWT_GOOD);
}

Test(jwt, members_that_occur_twice)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"alg\":\"HS256\"}"), RC_JWT_HEADER_WRONG);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}"), RC_JWT_HEADER_WRONG);
    EXPECT(hs("{\"sub\":\"1\",\"sub\":\"2\"}"), RC_JWT_CLAIMS_WRONG);
    EXPECT(hs("{\"sub\":\"1\",\"s\\u0075b\":\"2\"}"), RC_JWT_CLAIMS_WRONG);
    EXPECT(hs("{\"s\\u0075b\":\"1\",\"\\u0073ub\":\"2\"}"), RC_JWT_CLAIMS_WRONG);
}

Test(jwt, claims_that_are_none)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs(""), RC_JWT_CLAIMS_WRONG);
    EXPECT(hs("[]"), RC_JWT_CLAIMS_WRONG);
    EXPECT(hs("null"), RC_JWT_CLAIMS_WRONG);
    EXPECT(hs("{\"a\":1}{"), RC_JWT_CLAIMS_WRONG);
    EXPECT(hs("{\"a\":\"\xc0\x80\"}"), RC_JWT_CLAIMS_WRONG);
}

/* RFC 7519 section 5.2: a token in a token. What is inside is not looked at, whoever signed it. */
Test(jwt, nested_tokens_are_refused)
{
    char inner[512];
    with_key(RC_JWT_KEY_SECRET, NULL);
    (void)snprintf(inner, sizeof(inner), "%s", hs("{\"sub\":\"42\"}"));
    EXPECT(inner, RC_JWT_GOOD);
    EXPECT(jwt_maker_token(RC_JWT_HS256, "{\"alg\":\"HS256\",\"cty\":\"JWT\"}", inner), RC_JWT_CLAIMS_WRONG);
    EXPECT(hs(inner), RC_JWT_CLAIMS_WRONG);
}

Test(jwt, claims_without_end)
{
    char deep[512] = "{\"a\":";
    char many[4096] = "{\"a\":1";
    with_key(RC_JWT_KEY_SECRET, NULL);
    memset(deep + 5, '[', 200);
    EXPECT(hs(deep), RC_JWT_CLAIMS_WRONG);
    for (int i = 1; i < 128; i++) {
        (void)snprintf(many + strlen(many), 32, ",\"%d\":1", i);
    }
    char *end = many + strlen(many);
    memcpy(end, "}", 2);
    EXPECT(hs(many), RC_JWT_GOOD);
    memcpy(end, ",\"b\":1}", 8);
    EXPECT(hs(many), RC_JWT_CLAIMS_WRONG);
}

/* What is in the claims costs nothing before the signature was looked at. */
Test(jwt, claims_are_read_after_the_signature)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(jwt_maker_sign(RC_JWT_HS256, NULL, RC_SPAN("another secret with its 32 bytes"), NULL, "{\"exp\":1"),
           RC_JWT_SIGNATURE_WRONG);
}

/* ---------------------------------------------------------------------------------------------------------- times */

Test(jwt, exp_is_the_first_second_too_late)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs("{\"exp\":1000001}"), RC_JWT_GOOD);
    cr_assert_eq(result.exp_s, 1000001);
    EXPECT(hs("{\"exp\":1000000}"), RC_JWT_EXPIRED);
    policy.leeway_s = 60;
    EXPECT(hs("{\"exp\":999941}"), RC_JWT_GOOD);
    cr_assert_eq(result.exp_s, 999941);
    EXPECT(hs("{\"exp\":999940}"), RC_JWT_EXPIRED);
}

Test(jwt, exp_may_be_required)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs("{}"), RC_JWT_GOOD);
    policy.require_exp = true;
    EXPECT(hs("{}"), RC_JWT_EXP_MISSING);
    EXPECT(hs("{\"exp\":1000001}"), RC_JWT_GOOD);
}

Test(jwt, nbf_and_iat_in_the_future)
{
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs("{\"nbf\":1000000}"), RC_JWT_GOOD);
    EXPECT(hs("{\"nbf\":1000001}"), RC_JWT_TOO_EARLY);
    EXPECT(hs("{\"nbf\":1000000.5}"), RC_JWT_TOO_EARLY);
    EXPECT(hs("{\"iat\":1000000}"), RC_JWT_GOOD);
    EXPECT(hs("{\"iat\":1000001}"), RC_JWT_FROM_FUTURE);
    policy.leeway_s = 60;
    EXPECT(hs("{\"nbf\":1000060,\"iat\":1000060}"), RC_JWT_GOOD);
    EXPECT(hs("{\"nbf\":1000061}"), RC_JWT_TOO_EARLY);
    EXPECT(hs("{\"iat\":1000061}"), RC_JWT_FROM_FUTURE);
}

Test(jwt, times_are_numbers)
{
    static const char *const wrong[] = {
        "\"2000000\"", "null", "true",      "-1",
        "1e300",       "1e16", "[2000000]", "2000000.00000000000000000000000000000000000000000000000000000000000"};
    with_key(RC_JWT_KEY_SECRET, NULL);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        static const char *const names[] = {"exp", "nbf", "iat"};
        for (size_t name = 0; name < 3; name++) {
            char claims[128];
            (void)snprintf(claims, sizeof(claims), "{\"%s\":%s}", names[name], wrong[i]);
            EXPECT(hs(claims), RC_JWT_CLAIMS_WRONG);
        }
    }
    EXPECT(hs("{\"exp\":2e6}"), RC_JWT_GOOD);
    cr_assert_eq(result.exp_s, 2000000);
    EXPECT(hs("{\"exp\":1000001.9}"), RC_JWT_GOOD);
    cr_assert_eq(result.exp_s, 1000001);
}

/* ----------------------------------------------------------------------------------------------- issuer, audience */

static struct rc_config_list list_of(const char *one, const char *two)
{
    static struct rc_config_list list;
    list.count = two != NULL ? 2 : 1;
    (void)snprintf(list.items[0].text, sizeof(list.items[0].text), "%s", one);
    (void)snprintf(list.items[1].text, sizeof(list.items[1].text), "%s", two != NULL ? two : "");
    return list;
}

Test(jwt, issuer)
{
    struct rc_config_list issuers = list_of("https://a.example/", "joe");
    with_key(RC_JWT_KEY_SECRET, NULL);
    policy.issuers = &issuers;
    EXPECT(hs("{\"iss\":\"joe\"}"), RC_JWT_GOOD);
    EXPECT(hs("{\"iss\":\"https:\\/\\/a.example\\/\"}"), RC_JWT_GOOD);
    EXPECT(hs("{\"iss\":\"https://a.example\"}"), RC_JWT_ISSUER_WRONG);
    EXPECT(hs("{\"iss\":\"Joe\"}"), RC_JWT_ISSUER_WRONG);
    EXPECT(hs("{\"iss\":[\"joe\"]}"), RC_JWT_ISSUER_WRONG);
    EXPECT(hs("{}"), RC_JWT_ISSUER_WRONG);
    EXPECT(hs("{\"iss\":\"joe\\u0000\"}"), RC_JWT_ISSUER_WRONG);
    issuers.count = 0;
    EXPECT(hs("{}"), RC_JWT_GOOD);
}

Test(jwt, audience_is_one_or_in_a_list)
{
    struct rc_config_list audiences = list_of("ringcast", NULL);
    with_key(RC_JWT_KEY_SECRET, NULL);
    policy.audiences = &audiences;
    EXPECT(hs("{\"aud\":\"ringcast\"}"), RC_JWT_GOOD);
    EXPECT(hs("{\"aud\":[\"x\",\"ringcast\"]}"), RC_JWT_GOOD);
    EXPECT(hs("{\"aud\":[\"ringcast\",7]}"), RC_JWT_GOOD);
    EXPECT(hs("{\"aud\":[\"x\",\"ringcas\"]}"), RC_JWT_AUDIENCE_WRONG);
    EXPECT(hs("{\"aud\":[]}"), RC_JWT_AUDIENCE_WRONG);
    EXPECT(hs("{\"aud\":{\"ringcast\":1}}"), RC_JWT_AUDIENCE_WRONG);
    EXPECT(hs("{\"aud\":[[\"ringcast\"]]}"), RC_JWT_AUDIENCE_WRONG);
    EXPECT(hs("{}"), RC_JWT_AUDIENCE_WRONG);
    audiences.count = 0;
    EXPECT(hs("{}"), RC_JWT_GOOD);
}

/* ------------------------------------------------------------------------------------------------------------ kid */

#define KID(name) "{\"alg\":\"HS256\",\"kid\":\"" name "\"}"

Test(jwt, kid_selects)
{
    const struct rc_jwt_key other = {.type = RC_JWT_KEY_SECRET,
                                     .algs = rc_jwt_algs_of(RC_JWT_KEY_SECRET),
                                     .kid = RC_SPAN("other"),
                                     .key = RC_SPAN("another secret with its 32 bytes")};
    jwt_maker_add(&material, RC_JWT_KEY_SECRET, "mine");
    cr_assert_eq(rc_jwt_material_append(&material, &other, &err), 0);
    open_keys();
    EXPECT(hs_header(KID("mine")), RC_JWT_GOOD);
    EXPECT(hs_header(KID("m\\u0069ne")), RC_JWT_GOOD);
    cr_assert(!result.kid_unknown);
    EXPECT(hs_header(KID("other")), RC_JWT_SIGNATURE_WRONG);
    cr_assert(!result.kid_unknown);
    EXPECT(hs_header(KID("min")), RC_JWT_KID_UNKNOWN);
    cr_assert(result.kid_unknown);
    EXPECT(hs_header(KID("")), RC_JWT_KID_UNKNOWN);
    EXPECT(hs("{}"), RC_JWT_GOOD);
    EXPECT(jwt_maker_sign(RC_JWT_HS256, NULL, other.key, NULL, "{}"), RC_JWT_GOOD);
}

/* A name is compared, and nothing else is done with it: no file, no query, no URL is made of it (RFC 8725 section 3.10). */
Test(jwt, kid_is_a_name)
{
    static const char *const names[] = {"../../../../dev/null",
                                        "/dev/null",
                                        "' OR 1=1 --",
                                        "x' UNION SELECT 'AA==",
                                        "http://127.0.0.1:1/",
                                        "mine\\u0000",
                                        "mine ",
                                        "MINE",
                                        "|id",
                                        "%s%n"};
    with_key(RC_JWT_KEY_SECRET, "mine");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char header[128];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":\"%s\"}", names[i]);
        EXPECT(hs_header(header), RC_JWT_KID_UNKNOWN);
        EXPECT(jwt_maker_sign(RC_JWT_HS256, NULL, RC_SPAN(""), header, "{}"), RC_JWT_KID_UNKNOWN);
    }
    EXPECT(hs_header("{\"alg\":\"HS256\",\"kid\":null}"), RC_JWT_HEADER_WRONG);
    EXPECT(hs_header("{\"alg\":\"HS256\",\"kid\":[\"mine\"]}"), RC_JWT_HEADER_WRONG);
    char longest[RC_JWT_KID_BYTES_MAX + 64];
    (void)snprintf(longest, sizeof(longest), "{\"alg\":\"HS256\",\"kid\":\"%0*d\"}", RC_JWT_KID_BYTES_MAX + 1, 0);
    EXPECT(hs_header(longest), RC_JWT_HEADER_WRONG);
}

/* An unknown name may mean a key that was given without one (a PEM file), and nothing else. */
Test(jwt, unknown_kid_tries_keys_without_one)
{
    jwt_maker_add(&material, RC_JWT_KEY_P256, "named");
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs_header(KID("x")), RC_JWT_GOOD);
    cr_assert(result.kid_unknown);
    EXPECT(jwt_maker_token(RC_JWT_ES256, "{\"alg\":\"ES256\",\"kid\":\"x\"}", "{}"), RC_JWT_KEY_MISSING);
    cr_assert(result.kid_unknown);
    EXPECT(hs_header(KID("named")), RC_JWT_KEY_MISSING);
    cr_assert(!result.kid_unknown);
}

Test(jwt, no_keys)
{
    open_keys();
    EXPECT(hs("{}"), RC_JWT_NO_KEYS);
    EXPECT(hs_header(KID("x")), RC_JWT_NO_KEYS);
    cr_assert(result.kid_unknown);
}

Test(jwt, rotated_keys_are_all_tried)
{
    const struct rc_jwt_key old = {.type = RC_JWT_KEY_SECRET,
                                   .algs = rc_jwt_algs_of(RC_JWT_KEY_SECRET),
                                   .key = RC_SPAN("an older secret with its 32 byte")};
    cr_assert_eq(rc_jwt_material_append(&material, &old, &err), 0);
    with_key(RC_JWT_KEY_SECRET, NULL);
    EXPECT(hs("{}"), RC_JWT_GOOD);
    EXPECT(jwt_maker_sign(RC_JWT_HS256, NULL, old.key, NULL, "{}"), RC_JWT_GOOD);
}

/* ----------------------------------------------------------------------------------------------------- the rest */

Test(jwt, a_set_that_is_none_is_refused)
{
    jwt_maker_add(&material, RC_JWT_KEY_P256, NULL);
    struct rc_jwt_material wrong = material;
    wrong.count = 2;
    cr_assert_eq(rc_jwt_keys_open(&keys, &wrong, &err), -EINVAL);
    wrong = material;
    wrong.bytes -= 4;
    cr_assert_eq(rc_jwt_keys_open(&keys, &wrong, &err), -EINVAL);
    wrong = material;
    wrong.data[0] = RC_JWT_KEY_P384; /* the type says what it may verify */
    wrong.data[4] = 0;
    wrong.data[5] = 4;
    cr_assert_eq(rc_jwt_keys_open(&keys, &wrong, &err), -EINVAL);
    cr_assert(keys == NULL);
}

Test(jwt, policy_of_a_row)
{
    struct rc_identity_jwt row = {.leeway_ms = 90000, .require_exp = true};
    cr_assert_eq(rc_jwt_policy_check(&row, &err), -EINVAL);
    cr_assert(strstr(err.text, "jwks_url") != NULL, "%s", err.text);
    (void)snprintf(row.secret.text, sizeof(row.secret.text), "x");
    cr_assert_eq(rc_jwt_policy_check(&row, &err), 0);
    row.algorithms = list_of("ES256", "EdDSA");
    cr_assert_eq(rc_jwt_policy_check(&row, &err), 0);
    const struct rc_jwt_policy made = rc_jwt_policy_of(&row);
    cr_assert_eq(made.algs, RC_JWT_ALG_BIT(RC_JWT_ES256) | RC_JWT_ALG_BIT(RC_JWT_EDDSA));
    cr_assert_eq(made.leeway_s, 90);
    cr_assert(made.require_exp);
    row.algorithms = list_of("none", NULL);
    cr_assert_eq(rc_jwt_policy_check(&row, &err), -EINVAL);
    cr_assert(strstr(err.text, "\"none\"") != NULL, "%s", err.text);
}

Test(jwt, refusals_have_texts)
{
    for (uint32_t i = 0; i < RC_JWT_REFUSAL_COUNT; i++) {
        cr_assert(rc_jwt_refusal_text(i) != NULL && rc_jwt_refusal_text(i)[0] != '\0');
    }
    cr_assert_str_eq(rc_jwt_refusal_text(RC_JWT_REFUSAL_COUNT), "unknown");
}
