/* sign: see sign.h. */
#include "worker/pusher/sign.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

static bool mac_of(EVP_MAC_CTX *context, struct rc_span secret, const struct rc_span *parts, uint32_t count,
                   uint8_t *digest, size_t room)
{
    char name[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                                 OSSL_PARAM_construct_end()};
    size_t bytes = 0;
    if (EVP_MAC_init(context, secret.bytes, secret.count, params) != 1) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if ((i > 0 && EVP_MAC_update(context, (const unsigned char *)":", 1) != 1) ||
            (parts[i].count > 0 && EVP_MAC_update(context, parts[i].bytes, parts[i].count) != 1)) {
            return false;
        }
    }
    return EVP_MAC_final(context, digest, &bytes, room) == 1 && bytes == room;
}

bool rc_pusher_sign(struct rc_span secret, const struct rc_span *parts, uint32_t count,
                    char out[RC_PUSHER_SIGNATURE_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[RC_PUSHER_SIGNATURE_BYTES / 2];
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);
    const bool good = context != NULL && mac_of(context, secret, parts, count, digest, sizeof(digest));
    EVP_MAC_CTX_free(context);
    EVP_MAC_free(mac);
    if (!good) {
        ERR_clear_error();
        return false;
    }
    for (size_t i = 0; i < sizeof(digest); i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    return true;
}

bool rc_pusher_signed(struct rc_span secret, const struct rc_span *parts, uint32_t count, struct rc_span signature)
{
    char good[RC_PUSHER_SIGNATURE_BYTES];
    return signature.count == sizeof(good) && rc_pusher_sign(secret, parts, count, good) &&
           CRYPTO_memcmp(good, signature.bytes, sizeof(good)) == 0;
}
