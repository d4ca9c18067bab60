/* certificates: see certificates.h. */
#include "tests/support/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "certificates: %s failed\n", what);
        abort();
    }
}

static void extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(made != NULL && X509_add_ext(x509, made, -1) == 1, value);
    X509_EXTENSION_free(made);
}

static void name_add(X509 *x509, const char *common_name)
{
    must(X509_NAME_add_entry_by_NID(X509_get_subject_name(x509), NID_commonName, MBSTRING_UTF8,
                                    (const unsigned char *)common_name, -1, -1, 0) == 1,
         common_name);
}

struct certificate certificate_make(const char *common_name, const char *alternative, const struct certificate *issuer,
                                    bool authority)
{
    static long serial = 1;
    struct certificate made = {.x509 = X509_new(), .key = EVP_EC_gen("P-256")};
    must(made.x509 != NULL && made.key != NULL, "making a key");
    X509 *signer = issuer != NULL ? issuer->x509 : made.x509;
    X509_set_version(made.x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.x509), 86400);
    X509_set_pubkey(made.x509, made.key);
    if (common_name != NULL) {
        name_add(made.x509, common_name);
    }
    X509_set_issuer_name(made.x509, X509_get_subject_name(signer));
    if (authority) {
        extension(made.x509, signer, NID_basic_constraints, "critical,CA:TRUE");
    }
    if (alternative != NULL) {
        extension(made.x509, signer, NID_subject_alt_name, alternative);
    }
    must(X509_sign(made.x509, issuer != NULL ? issuer->key : made.key, EVP_sha256()) > 0, "signing");
    return made;
}

void certificate_add_name(struct certificate *certificate, const char *common_name, const struct certificate *issuer)
{
    name_add(certificate->x509, common_name);
    must(X509_sign(certificate->x509, issuer != NULL ? issuer->key : certificate->key, EVP_sha256()) > 0, "signing");
}

void certificate_free(struct certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
    *certificate = (struct certificate){0};
}

void certificate_write(const struct certificate *certificate, const char *path, bool with_key)
{
    FILE *out = fopen(path, "w");
    must(out != NULL && PEM_write_X509(out, certificate->x509) == 1, path);
    must(!with_key || PEM_write_PrivateKey(out, certificate->key, NULL, NULL, 0, NULL, NULL) == 1, path);
    must(fclose(out) == 0, path);
}
