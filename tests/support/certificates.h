/*
 * certificates: certificates and keys made on the spot for tests and fuzz targets, so that none lie in the tree and none expire.
 *
 * What cannot be made ends the process: it is not what a test is about.
 */
#ifndef RC_TESTS_SUPPORT_CERTIFICATES_H
#define RC_TESTS_SUPPORT_CERTIFICATES_H

#include <openssl/types.h>
#include <stdbool.h>

struct certificate {
    X509 *x509; /* owned */
    EVP_PKEY *key;
};

/* `common_name` NULL: none; `alternative` as in openssl.cnf ("DNS:a.example,email:x@y"), NULL: none; `issuer` NULL: self-signed;
 * `authority`: may issue others. */
struct certificate certificate_make(const char *common_name, const char *alternative, const struct certificate *issuer,
                                    bool authority);
/* One more common name in the subject, then signed again by `issuer` (NULL: itself). */
void certificate_add_name(struct certificate *certificate, const char *common_name, const struct certificate *issuer);
void certificate_free(struct certificate *certificate);
/* PEM: the certificate, and its key if `with_key`. */
void certificate_write(const struct certificate *certificate, const char *path, bool with_key);

#endif
