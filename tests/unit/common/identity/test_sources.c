/* sources: PEM and JWK Sets, from files and from elsewhere, and what is refused of them. Also pkey and jwk, which read the keys. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/identity/sources.h"
#include "tests/support/certificates.h"
#include "tests/support/jwt_maker.h"

#define EC_X "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\""
#define EC_Y "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define EC_MEMBERS "\"kty\":\"EC\",\"crv\":\"P-256\"," EC_X "," EC_Y
#define OCT "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T\"}"
#define RSA_N                                                                                                                            \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"           \
    "YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5" \
    "ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"

static struct rc_jwt_material material;
static struct rc_err err;

static void set_up(void)
{
    rc_jwt_material_clear(&material);
    err.text[0] = '\0';
}

TestSuite(sources, .init = set_up);

static int jwks(const char *text, bool foreign)
{
    rc_jwt_material_clear(&material);
    const int rc = rc_jwt_sources_jwks(&material, rc_span_text(text), foreign, &err);
    cr_assert_eq(ERR_peek_error(), 0);
    return rc;
}

static int pem(const char *text)
{
    rc_jwt_material_clear(&material);
    const int rc = rc_jwt_sources_pem(&material, rc_span_text(text), &err);
    cr_assert_eq(ERR_peek_error(), 0);
    return rc;
}

static struct rc_jwt_key key_at(uint32_t index)
{
    struct rc_jwt_key key = {0};
    uint32_t at = 0;
    for (uint32_t i = 0; i <= index; i++) {
        cr_assert_eq(rc_jwt_material_next(&material, &at, &key), 1);
    }
    return key;
}

static void refused(int rc, const char *word)
{
    cr_assert_eq(rc, -EINVAL);
    cr_assert(strstr(err.text, word) != NULL, "%s", err.text);
}

/* ------------------------------------------------------------------------------------------------------------ PEM */

Test(sources, pem_of_every_type)
{
    for (uint32_t type = RC_JWT_KEY_RSA; type < RC_JWT_KEY_TYPE_COUNT; type++) {
        cr_assert_eq(pem(jwt_maker_pem(jwt_maker_key(type), false)), 0, "%s", err.text);
        cr_assert_eq(material.count, 1);
        cr_assert_eq(key_at(0).type, type);
        cr_assert_eq(key_at(0).algs, rc_jwt_algs_of(type));
    }
}

Test(sources, pem_of_several_keys)
{
    char text[4096];
    (void)snprintf(text, sizeof(text), "old\n%s", jwt_maker_pem(jwt_maker_key(RC_JWT_KEY_RSA), false));
    (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "new\n%s",
                   jwt_maker_pem(jwt_maker_key(RC_JWT_KEY_P256), false));
    cr_assert_eq(pem(text), 0);
    cr_assert_eq(material.count, 2);
    cr_assert_eq(key_at(1).type, RC_JWT_KEY_P256);
}

Test(sources, pem_private_keys_are_refused)
{
    for (uint32_t type = RC_JWT_KEY_RSA; type < RC_JWT_KEY_TYPE_COUNT; type++) {
        refused(pem(jwt_maker_pem(jwt_maker_key(type), true)), "openssl pkey -pubout");
    }
}

Test(sources, pem_that_is_none)
{
    char text[4096];
    refused(pem(""), "no PEM block");
    refused(pem("a secret"), "no PEM block");
    refused(pem("-----BEGIN X-----\nAAAA\n-----END X-----\n"), "\"X\"");
    refused(pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), "that is none");
    refused(pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "that is none");
    (void)snprintf(text, sizeof(text), "%s", jwt_maker_pem(jwt_maker_key(RC_JWT_KEY_P256), false));
    text[strlen(text) - 30] = '\0';
    refused(pem(text), "does not end");
    /* A good one in front does not help. */
    (void)snprintf(text, sizeof(text), "%s-----BEGIN PUBLIC KEY-----\nAAAA\n",
                   jwt_maker_pem(jwt_maker_key(RC_JWT_KEY_P256), false));
    refused(pem(text), "does not end");
}

Test(sources, pem_weak_and_foreign_keys_are_refused)
{
    EVP_PKEY *small = EVP_RSA_gen(1024);
    refused(pem(jwt_maker_pem(small, false)), "1024 bits");
    EVP_PKEY_free(small);
    EVP_PKEY *curve = EVP_EC_gen("secp256k1");
    refused(pem(jwt_maker_pem(curve, false)), "secp256k1");
    EVP_PKEY_free(curve);
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    refused(pem(jwt_maker_pem(other, false)), "ED448");
    EVP_PKEY_free(other);
    cr_assert_eq(material.count, 0);
}

/* ----------------------------------------------------------------------------------------------------------- JWKs */

Test(sources, jwk_of_every_type)
{
    static const struct {
        const char *text;
        enum rc_jwt_key_type type;
    } rows[] = {
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}", RC_JWT_KEY_RSA},
        {"{" EC_MEMBERS "}", RC_JWT_KEY_P256},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
         RC_JWT_KEY_ED25519},
        {OCT, RC_JWT_KEY_SECRET},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char set[2048];
        cr_assert_eq(jwks(rows[i].text, false), 0, "%s", err.text);
        cr_assert_eq(key_at(0).type, rows[i].type);
        cr_assert_eq(key_at(0).algs, rc_jwt_algs_of(rows[i].type));
        (void)snprintf(set, sizeof(set), "{\"keys\":[%s,%s]}", rows[i].text, rows[i].text);
        cr_assert_eq(jwks(set, false), 0, "%s", err.text);
        cr_assert_eq(material.count, 2);
    }
}

Test(sources, jwk_members_narrow)
{
    cr_assert_eq(jwks("{" EC_MEMBERS
                      ",\"kid\":\"k\\u00e9y\",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],\"alg\":\"ES256\"}",
                      false),
                 0);
    cr_assert(rc_span_equal(key_at(0).kid, RC_SPAN("k\u00e9y")));
    cr_assert_eq(jwks("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"alg\":\"PS384\"}", false), 0);
    cr_assert_eq(key_at(0).algs, RC_JWT_ALG_BIT(RC_JWT_PS384));
}

Test(sources, jwk_for_others_is_left_out)
{
    static const char *const rows[] = {
        "{" EC_MEMBERS ",\"use\":\"enc\"}",
        "{" EC_MEMBERS ",\"key_ops\":[\"sign\"]}",
        "{" EC_MEMBERS ",\"key_ops\":[]}",
        "{" EC_MEMBERS ",\"key_ops\":\"verify\"}",
        "{" EC_MEMBERS ",\"alg\":\"ECDH-ES\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\"," EC_X "," EC_Y "}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
        "{\"kty\":\"AKP\",\"alg\":\"ML-DSA-44\",\"pub\":\"AA\"}",
        "{\"kty\":\"rsa\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char set[2048];
        refused(jwks(rows[i], true), "no key in it");
        (void)snprintf(set, sizeof(set), "{\"keys\":[%s,{" EC_MEMBERS "}]}", rows[i]);
        cr_assert_eq(jwks(set, false), 0, "%s: %s", rows[i], err.text);
        cr_assert_eq(material.count, 1, "%s", rows[i]);
    }
}

Test(sources, jwk_that_is_wrong)
{
    static const struct {
        const char *text;
        const char *word;
    } rows[] = {
        {"{" EC_MEMBERS ",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}", "private"},
        {"{" EC_MEMBERS ",\"alg\":\"RS256\"}", "alg"},
        {"{" EC_MEMBERS ",\"alg\":7}", "alg"},
        {"{" EC_MEMBERS ",\"use\":7}", "use"},
        {"{" EC_MEMBERS ",\"kid\":7}", "kid"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," EC_X ",\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}",
         "not those"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," EC_X ",\"y\":\"AA\"}", "not those"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," EC_X "}", "base64url"},
        {"{\"kty\":\"EC\",\"crv\":\"P-256\"," EC_X ",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0=\"}",
         "base64url"},
        {"{\"kty\":\"EC\",\"crv\":\"P-384\"," EC_X "," EC_Y "}", "not those"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qY\"}", "not those"},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}", "exponent"},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAC\"}", "exponent"},
        {"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAAAAAAAAAB\"}", "not those"},
        {"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNg\",\"e\":\"AQAB\"}", "bits"},
        {"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umjw\"}", "bytes"},
        {"{\"kty\":\"oct\",\"k\":\"AyM1SysP pbyDfgZld3umjw\"}", "base64url"},
        {"{\"k\":\"AyM1\"}", "kty"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char set[2048];
        refused(jwks(rows[i].text, false), rows[i].word);
        (void)snprintf(set, sizeof(set), "{\"keys\":[{" EC_MEMBERS "},%s]}", rows[i].text);
        refused(jwks(set, false), rows[i].word);
        cr_assert(strncmp(err.text, "keys[1]: ", 9) == 0, "%s", err.text);
        /* From elsewhere the others of the set still count. */
        cr_assert_eq(jwks(set, true), 0, "%s", err.text);
        cr_assert_eq(material.count, 1);
        cr_assert_eq(key_at(0).type, RC_JWT_KEY_P256);
    }
}

Test(sources, jwks_published_secrets_are_none)
{
    cr_assert_eq(jwks("{\"keys\":[" OCT "]}", false), 0);
    refused(jwks("{\"keys\":[" OCT "]}", true), "no key in it");
    cr_assert_eq(material.count, 0);
}

Test(sources, jwks_that_is_none)
{
    refused(jwks("", true), "JSON object");
    refused(jwks("<html>", true), "JSON object");
    refused(jwks("[]", true), "JSON object");
    refused(jwks("{\"keys\":{}}", true), "keys is not a list");
    refused(jwks("{\"keys\":[]}", true), "no key in it");
    refused(jwks("{\"keys\":[7]}", true), "no key in it");
    refused(jwks("{\"keys\":[7]}", false), "keys[0]");
    refused(jwks("{\"keys\":[" OCT "],\"keys\":[]}", false), "twice");
    refused(jwks("{\"kty\":\"oct\",\"kty\":\"oct\"}", false), "twice");
}

Test(sources, jwks_bounds)
{
    char *large = calloc(2, RC_JWKS_BYTES_MAX);
    strcpy(large, "{\"keys\":[");
    for (uint32_t i = 0; i < RC_JWT_KEYS_MAX; i++) {
        strcat(large, OCT ",");
    }
    const size_t bytes = strlen(large);
    strcpy(large + bytes - 1, "]}");
    cr_assert_eq(jwks(large, false), 0);
    strcpy(large + bytes - 1, "," OCT "]}");
    cr_assert_eq(jwks(large, false), -ENOSPC);
    memset(large + strlen(large), ' ', RC_JWKS_BYTES_MAX);
    refused(jwks(large, false), "256 KiB");
    free(large);
}

/* ---------------------------------------------------------------------------------------------------------- files */

static char folder[64];

static const char *file_make(const char *name, const char *text)
{
    static char path[128];
    if (folder[0] == '\0') {
        strcpy(folder, "/tmp/ringcast-sources-XXXXXX");
        cr_assert(mkdtemp(folder) != NULL);
    }
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    return path;
}

static void files_remove(void)
{
    static const char *const names[] = {"secret", "key", "jwks", "certificate"};
    for (size_t i = 0; i < 4; i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    cr_assert_eq(rmdir(folder), 0);
}

static void set_text(struct rc_config_text *to, const char *text)
{
    (void)snprintf(to->text, sizeof(to->text), "%s", text);
}

Test(sources, load_takes_all_that_a_row_names, .fini = files_remove)
{
    struct rc_identity_jwt row = {0};
    const struct certificate certificate = certificate_make("x", NULL, NULL, false);
    set_text(&row.secret, "a secret in the file: 32 bytes!!");
    set_text(&row.secret_file, file_make("secret", JWT_MAKER_SECRET "\r\n\n"));
    set_text(&row.jwks_file, file_make("jwks", "{" EC_MEMBERS "}"));
    row.key_file.count = 2;
    set_text(&row.key_file.items[0], file_make("key", jwt_maker_pem(jwt_maker_key(RC_JWT_KEY_RSA), false)));
    set_text(&row.key_file.items[1], file_make("certificate", ""));
    certificate_write(&certificate, row.key_file.items[1].text, false);
    cr_assert_eq(rc_jwt_sources_load(&material, &row, &err), 0, "%s", err.text);
    cr_assert_eq(material.count, 5);
    cr_assert(rc_span_equal(key_at(0).key, RC_SPAN("a secret in the file: 32 bytes!!")));
    cr_assert(rc_span_equal(key_at(1).key, RC_SPAN(JWT_MAKER_SECRET)));
    cr_assert_eq(key_at(2).type, RC_JWT_KEY_RSA);
    cr_assert_neq(key_at(3).type, RC_JWT_KEY_SECRET);
    cr_assert_eq(key_at(4).type, RC_JWT_KEY_P256);
    /* Loading anew forgets what was. */
    row = (struct rc_identity_jwt){0};
    cr_assert_eq(rc_jwt_sources_load(&material, &row, &err), 0);
    cr_assert_eq(material.count, 0);
    certificate_free((struct certificate *)&certificate);
}

Test(sources, load_says_which_file_is_wrong, .fini = files_remove)
{
    struct rc_identity_jwt row = {0};
    set_text(&row.secret, "short");
    refused(rc_jwt_sources_load(&material, &row, &err), "secret: the secret has 5 bytes");
    row.secret.text[0] = '\0';
    set_text(&row.secret_file, "/nonexistent/secret");
    cr_assert_eq(rc_jwt_sources_load(&material, &row, &err), -ENOENT);
    cr_assert(strstr(err.text, "secret_file: /nonexistent/secret: ") != NULL, "%s", err.text);
    set_text(&row.secret_file, file_make("secret", "short\n"));
    refused(rc_jwt_sources_load(&material, &row, &err), "the secret has 5 bytes");
    cr_assert(strstr(err.text, folder) != NULL, "%s", err.text);
    row.secret_file.text[0] = '\0';
    row.key_file.count = 1;
    set_text(&row.key_file.items[0], folder);
    refused(rc_jwt_sources_load(&material, &row, &err), "key_file: ");
    set_text(&row.key_file.items[0], file_make("key", "{}"));
    refused(rc_jwt_sources_load(&material, &row, &err), "no PEM block");
    row.key_file.count = 0;
    set_text(&row.jwks_file, file_make("jwks", "{}"));
    refused(rc_jwt_sources_load(&material, &row, &err), "jwks_file: ");
    char *large = malloc(RC_JWKS_BYTES_MAX + 2);
    memset(large, ' ', RC_JWKS_BYTES_MAX + 1);
    large[RC_JWKS_BYTES_MAX + 1] = '\0';
    set_text(&row.jwks_file, file_make("jwks", large));
    cr_assert_eq(rc_jwt_sources_load(&material, &row, &err), -EFBIG);
    free(large);
}

Test(sources, load_does_not_wait_for_a_pipe, .fini = files_remove)
{
    struct rc_identity_jwt row = {0};
    char path[128];
    (void)snprintf(path, sizeof(path), "%s", file_make("secret", ""));
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    set_text(&row.secret_file, path);
    refused(rc_jwt_sources_load(&material, &row, &err), "secret_file");
}
