/* staple: see staple.h. */
#include "common/tls/staple.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct staple {
    int64_t until_s; /* its next update; INT64_MAX = it names none */
    size_t bytes;
    uint8_t der[];
};

/* Of SSL_CTX's extra data, which is what ends with the context. OpenSSL hands indexes out for the whole process and takes none
 * back: asked for once, then constant. */
static int staple_index = -1;
static pthread_once_t staple_once = PTHREAD_ONCE_INIT;

static void staple_free(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number, void *argument)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)argument;
    free(pointer);
}

static void staple_make_index(void)
{
    staple_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, staple_free);
}

/* Called for clients that ask for it. What SSL_set_tlsext_status_ocsp_resp is given belongs to the connection. */
static int staple_send(SSL *ssl, void *argument)
{
    (void)argument;
    const struct staple *staple = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), staple_index);
    if (staple == NULL || (int64_t)time(NULL) >= staple->until_s) {
        return SSL_TLSEXT_ERR_NOACK; /* an old one would do more harm than none */
    }
    uint8_t *copy = OPENSSL_memdup(staple->der, staple->bytes);
    if (copy == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->bytes);
    return SSL_TLSEXT_ERR_OK;
}

void rc_tls_staple_drop(SSL *ssl)
{
    SSL_set_tlsext_status_ocsp_resp(ssl, NULL, 0);
}

/* Why the response is not one for this certificate, or NULL; *until_s is its next update. */
static const char *staple_check(const uint8_t *der, size_t bytes, X509 *certificate, int64_t *until_s)
{
    const uint8_t *at = der;
    const char *why = "it is no OCSP response in DER";
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)bytes);
    OCSP_BASICRESP *basic = NULL;
    if (response != NULL && at == der + bytes) {
        why = "it is not a successful OCSP response";
        basic = OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(response)
                                                                                  : NULL;
    }
    for (int i = 0; basic != NULL && i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;
        ASN1_GENERALIZEDTIME *next = NULL;
        struct tm tm;
        why = "it is about another certificate";
        (void)OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single));
        if (serial == NULL || ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) != 0) {
            continue;
        }
        if (OCSP_single_get0_status(single, NULL, NULL, NULL, &next) != V_OCSP_CERTSTATUS_GOOD) {
            why = "it does not say that the certificate is good";
            break;
        }
        *until_s = next != NULL && ASN1_TIME_to_tm(next, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MAX;
        why = NULL;
        break;
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return why;
}

int rc_tls_staple_load(SSL_CTX *context, const char *certificate_file, struct rc_err *err)
{
    static const char key[] = "tls.certificates";
    char file[512];
    uint8_t der[RC_TLS_STAPLE_BYTES_MAX + 1];
    (void)snprintf(file, sizeof(file), "%s.ocsp", certificate_file);
    const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const int error = errno;
        return error == ENOENT ? 0 : rc_err_set(err, -error, "%s: cannot read %s: %s", key, file, strerror(error));
    }
    const ssize_t got = read(fd, der, sizeof(der));
    const int error = errno;
    close(fd);
    if (got < 0) {
        return rc_err_set(err, -error, "%s: cannot read %s: %s", key, file, strerror(error));
    }
    if ((size_t)got > RC_TLS_STAPLE_BYTES_MAX) {
        return rc_err_set(err, -EINVAL, "%s: %s: it is larger than %u bytes", key, file, RC_TLS_STAPLE_BYTES_MAX);
    }
    int64_t until_s = 0;
    const char *why = staple_check(der, (size_t)got, SSL_CTX_get0_certificate(context), &until_s);
    if (why != NULL) {
        return rc_err_set(err, -EINVAL, "%s: %s: %s", key, file, why);
    }
    struct staple *staple = malloc(sizeof(*staple) + (size_t)got);
    if (staple == NULL || pthread_once(&staple_once, staple_make_index) != 0 || staple_index < 0 ||
        SSL_CTX_set_ex_data(context, staple_index, staple) != 1) {
        free(staple);
        return rc_err_set(err, -ENOMEM, "%s: %s: no memory", key, file);
    }
    staple->until_s = until_s;
    staple->bytes = (size_t)got;
    memcpy(staple->der, der, (size_t)got);
    SSL_CTX_set_tlsext_status_cb(context, staple_send);
    return 0;
}
